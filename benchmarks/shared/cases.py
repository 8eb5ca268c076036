"""The four cases of `finetune.py`, and the base folders that both sides load: the same weights, the same token ids."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zaowu import bases
from zaowu.batching.order import chance
from zaowu.config import DataConfig
from zaowu.inputs import guessers
from zaowu.inputs.text.codec import Codec
from zaowu.records.prepare import prepare
from zaowu.records.records import Records
from zaowu.records.split import split_off

E5 = "multilingual-e5-small"
TABLE = "embeddings.word_embeddings.weight"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CHECKED = 1000  # texts whose ids are compared between the two sides


@dataclass(frozen=True)
class Case:
    """One shape and batch size. source: `trimmed` or `full` e5-small, or `random` for fresh weights.

    speed, memory: what is asked of it, as a ratio to the Trainer; aim: the ratio of speed that is aimed at.
    """

    name: str
    source: str
    batch_size: int
    speed: float
    aim: float | None
    memory: float


CASES = {
    case.name: case
    for case in (
        Case("trimmed-32", "trimmed", 32, speed=1.9, aim=2.2, memory=0.75),
        Case("small-16", "random", 16, speed=2.3, aim=2.8, memory=0.75),
        Case("full-32", "full", 32, speed=3.0, aim=None, memory=0.5),
        Case("full-8", "full", 8, speed=4.0, aim=None, memory=0.5),
        Case("tiny-8", "tiny", 8, speed=0.0, aim=None, memory=9.0),  # to try the scripts with
    )
}


def base_folder(case: Case, texts: Sequence[str], work: Path) -> Path:
    """The folder of the case's base, made once under `work`. Raises AssertionError where the two sides' ids differ."""
    if case.source == "full":
        folder = bases.resolve(E5)
    else:
        folder = work / case.source
        if not (folder / "ready").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _write(case.source, texts, folder)
            (folder / "ready").touch()
    check_ids(folder, texts[:CHECKED])
    return folder


def _write(source: str, texts: Sequence[str], folder: Path) -> None:
    if source == "trimmed":
        _write_trimmed(bases.resolve(E5), texts, folder)
    elif source == "random":
        write_random(texts, folder, pieces=21128, layers=6, dim=384, heads=12)
    else:
        write_random(texts, folder, pieces=2000, layers=2, dim=64, heads=2)


def _write_trimmed(base: Path, texts: Sequence[str], folder: Path) -> None:
    """e5-small with the pieces that Zaowu keeps for these texts, and their rows of the token table."""
    from safetensors.numpy import load_file, save_file

    codec, kept = Codec.from_folder(base).trimmed(texts)
    assert kept is not None
    codec.save(folder)
    tensors = load_file(base / "model.safetensors")
    tensors[TABLE] = np.ascontiguousarray(tensors[TABLE][kept])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((base / "config.json").read_text("utf-8"))
    told = {"vocab_size": len(kept), "pad_token_id": codec.pad_id}
    (folder / "config.json").write_text(json.dumps({**config, **told}), "utf-8")


def write_random(
    texts: Sequence[str], folder: Path, *, pieces: int, layers: int, dim: int, heads: int, masked: bool = False
) -> None:
    """A BERT with fresh weights; its pieces are the characters of the texts, filled up to the size that is wanted.

    masked: with the output layers of a masked language model.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, BertModel, logging

    logging.disable_progress_bar()

    common = Counter(character for text in texts for character in text.lower() if not character.isspace())
    ascii_pieces = [*"abcdefghijklmnopqrstuvwxyz0123456789"]
    known = [*SPECIAL, *ascii_pieces, *(f"##{piece}" for piece in ascii_pieces)]
    known = list(dict.fromkeys([*known, *(character for character, _ in common.most_common(pieces))]))[:pieces]
    known += [f"[unused{number}]" for number in range(pieces - len(known))]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(known)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **roles}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=pieces,
        hidden_size=dim,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * dim,
    )
    (BertForMaskedLM if masked else BertModel)(config).save_pretrained(folder)


def check_ids(folder: Path, texts: Sequence[str]) -> None:
    """Both sides must read the same ids from the folder, or nothing that is compared is the same work."""
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)(list(texts))["input_ids"]
    ours = [ids.tolist() for ids in Codec.from_folder(folder).encode(texts)]
    different = sum(one != other for one, other in zip(theirs, ours, strict=True))
    assert not different, f"{folder}: {different} of {len(texts)} texts have other ids in transformers"


def read(path: Path, target: str = "topic") -> Records:
    """All rows of a labelled file that can be used."""
    return prepare(str(path), DataConfig(target=(target,)), guessers=guessers(), cross_validate_below=0).whole


def thinned(records: Records, rows: int, test_rows: int) -> tuple[Records, Records, Records]:
    """`rows` records to learn from, a tenth of which choose the epoch, and at most `test_rows` others. By hash."""
    order = np.argsort(chance(records.ids, seed=0, epoch=0))
    pool, test = records.take(np.sort(order[:rows])), records.take(np.sort(order[rows:][:test_rows]))
    assert len(test), f"{len(records)} records: none is left beside {rows}"
    sides = split_off(pool)
    return pool.take(sides.train), pool.take(sides.valid), test


def classes_of(labels: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The classes in Zaowu's order, and the (N,) number of each label."""
    classes = sorted(set(labels))
    return classes, np.searchsorted(classes, labels)
