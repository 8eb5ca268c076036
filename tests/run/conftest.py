"""Bases of two families, of several scripts, as other people's libraries write them; and runs fitted on them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

RUSSIAN = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
LATIN = "abcdefghijklmnopqrstuvwxyz"
POSITIONS = 64


@pytest.fixture(scope="session")
def held_csv(news, tmp_path_factory) -> Path:
    """Rows for `--test`: with them nothing is cross-validated, so that a fit takes a second."""
    path = tmp_path_factory.mktemp("held") / "held.csv"
    path.write_text("text,label\n" + "".join(f'"{text}又讯",{label}\n' for text, label in news[:30]), "utf-8")
    return path


@pytest.fixture(scope="session")
def published(news, tmp_path_factory):
    """family -> a folder that `transformers` itself saved: random weights, Chinese, English and Russian pieces."""
    made: dict[str, Path] = {}

    def base(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp("published") / family
            {"bert": _bert, "xlm-roberta": _xlm_roberta}[family](made[family], [text for text, _ in news])
        return made[family]

    return base


@pytest.fixture(scope="session")
def fitted(news_csv, held_csv, published, tmp_path_factory):
    """(family, head, trim) -> the folder of a run. Tests that change it copy it first."""
    import zaowu

    made: dict[tuple[str, str, str], Path] = {}

    def run(family: str, head: str, trim: str = "off") -> Path:
        key = (family, head, trim)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("fitted") / "-".join(key)
            zaowu.fit(
                news_csv,
                test=str(held_csv),
                base="none" if family == "none" else str(published(family)),
                size="mini",
                settings={"num_pieces": 300, "warmup": 0.06},
                head=head,
                trim_vocab=trim,
                epochs=1,
                batch_size=16,
                lr=3e-3,
                out=made[key],
                quiet=True,
                threads=1,
                precision="fp32",
                lang="en",
            )
        return made[key]

    return run


def pieces_of(texts: list[str]) -> list[str]:
    """Chinese characters of the texts, English letters, and Russian, which the texts do not need."""
    common = Counter(character for text in texts for character in text if "\u4e00" <= character <= "\u9fff")
    russian = [first + second for first in RUSSIAN for second in RUSSIAN[:16]]
    marks = list(",.!?:0123456789，。！？：、“”")
    return list(dict.fromkeys([*LATIN, *RUSSIAN, *marks, *(c for c, _ in common.most_common(250)), *russian]))


def _bert(folder: Path, texts: list[str]) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = pieces_of(texts)
    pieces = [*special, *pieces, *(f"##{piece}" for piece in pieces if piece[0] in LATIN + RUSSIAN)]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(special)
    config = BertConfig(**_sizes(len(pieces)), pad_token_id=0, type_vocab_size=2, max_position_embeddings=POSITIONS)
    _save(folder, tokenizer, BertModel, config, "BertTokenizer", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))


def _xlm_roberta(folder: Path, texts: list[str]) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import XLMRobertaConfig, XLMRobertaModel

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    pieces = pieces_of(texts)
    pieces = ["▁", *pieces, *(f"▁{piece}" for piece in pieces)]
    scored = [(piece, 0.0) for piece in special] + [(p, -1.0 - i / 100) for i, p in enumerate(pieces)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([*special, "<mask>"])  # <mask> stands behind all pieces, as in theirs
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    config = XLMRobertaConfig(
        **_sizes(tokenizer.get_vocab_size()),
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        type_vocab_size=1,
        max_position_embeddings=POSITIONS + 2,
    )
    roles = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
    _save(folder, tokenizer, XLMRobertaModel, config, "XLMRobertaTokenizer", roles)


def _sizes(vocab: int) -> dict:
    return {
        "vocab_size": vocab,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "initializer_range": 0.2,
    }


def _save(folder: Path, tokenizer, model_class, config, tokenizer_class: str, roles: tuple[str, ...]) -> None:
    """The files as they lie on the hub: with a list of added pieces and their ids in tokenizer_config.json."""
    import torch

    torch.manual_seed(0)
    model_class(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), roles, strict=True))
    added = {
        str(tokenizer.token_to_id(piece)): {
            "content": piece,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for piece in roles
    }
    settings = {"tokenizer_class": tokenizer_class, "model_max_length": POSITIONS, **names}
    settings |= {"added_tokens_decoder": added, "clean_up_tokenization_spaces": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
