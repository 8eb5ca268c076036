"""What every test may use: its own caches, one thread, a slice of the news, a tiny base and a tiny saved run."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[_name] = "1"  # read when numpy, torch and polars are first imported: tiny work is faster on one
os.environ["TOKENIZERS_PARALLELISM"] = "false"

NUM_ROWS, NUM_TEST = 120, 40
VOCAB, DIM, LAYERS, HEADS, FFN, POSITIONS = 300, 32, 2, 2, 64, 64
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory):
    """Caches and logs go to a folder of this test session; nothing of the person's is read or written.

    A base that was fetched before is still used where a test asks for the real one: it is linked, not copied.
    """
    from zaowu.bases.cache import home

    patch = pytest.MonkeyPatch()
    real, own = home(), tmp_path_factory.mktemp("home")
    if (real / "bases").is_dir():
        (own / "zaowu").mkdir()
        (own / "zaowu" / "bases").symlink_to(real / "bases", target_is_directory=True)
    patch.setenv("HOME", str(own))
    patch.setenv("XDG_CACHE_HOME", str(own))
    patch.setenv("ZAOWU_HOME", str(own / "zaowu"))
    patch.setenv("NO_COLOR", "1")
    patch.setenv("HF_HUB_OFFLINE", "1")
    patch.setenv("LC_ALL", "C.UTF-8")  # reports are English unless a test asks
    yield own
    patch.undo()


@pytest.fixture(scope="session")
def news() -> list[tuple[str, str]]:
    """(text, label) of the embedded set's first rows of both classes, evenly."""
    with (files("zaowu.tasks") / "data" / "news_zh.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    classes = sorted({label for _, label in rows})
    each = [[row for row in rows if row[1] == label][: NUM_ROWS // len(classes)] for label in classes]
    return [row for pair in zip(*each, strict=True) for row in pair]


@pytest.fixture(scope="session")
def news_csv(news, tmp_path_factory) -> Path:
    """That slice as a file, columns `text` and `label`."""
    path = tmp_path_factory.mktemp("data") / "news.csv"
    write_csv(path, news)
    return path


@pytest.fixture(scope="session")
def other_csv(news, tmp_path_factory) -> Path:
    """Some of those rows with other words at their end: labelled, and not in `news_csv`."""
    path = tmp_path_factory.mktemp("data") / "other.csv"
    write_csv(path, [(f"{text} 续", label) for text, label in news[:NUM_TEST]])
    return path


@pytest.fixture(scope="session")
def tiny_base(news, tmp_path_factory) -> Path:
    """A base folder as others publish them: a random BERT of 2 x 32 with 300 pieces."""
    folder = tmp_path_factory.mktemp("bases") / "tiny"
    folder.mkdir()
    write_base(folder, [text for text, _ in news])
    return folder


@pytest.fixture(scope="session")
def tiny_run(news_csv, other_csv, tiny_base, tmp_path_factory) -> Path:
    """The folder of a saved run, fitted on `news_csv` from `tiny_base`, scored on `other_csv`.

    Tests that change it copy it first. The test file spares it the folds, which would take five times as long.
    """
    import zaowu

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    zaowu.fit(
        str(news_csv),
        test=str(other_csv),
        base=str(tiny_base),
        out=folder,
        epochs=1,
        batch_size=32,
        quiet=True,
        threads=1,
        precision="fp32",
        lang="en",
    )
    return folder


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory) -> Path:
    """A causal base as others publish them: a random Llama of 2 x 32 whose pieces are characters."""
    folder = tmp_path_factory.mktemp("causal") / "tiny"
    folder.mkdir()
    write_causal(folder)
    return folder


def write_csv(path: Path, rows: list[tuple[str, str]], header: tuple[str, str] = ("text", "label")) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def write_base(folder: Path, texts: list[str]) -> None:
    """config.json, tokenizer files and random weights under the names that BERT's authors gave them."""
    common = Counter(character for text in texts for character in text.lower() if not character.isspace())
    ascii_letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + list("0123456789")
    pieces = list(dict.fromkeys([*SPECIAL, *ascii_letters, *(f"##{letter}" for letter in ascii_letters)]))
    pieces += [character for character, _ in common.most_common() if character not in pieces][: VOCAB - len(pieces)]
    _write_tokenizer(folder, pieces)
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": len(pieces),
        "hidden_size": DIM,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": FFN,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    _write_weights(folder, len(pieces))


def _write_tokenizer(folder: Path, pieces: list[str]) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(piece, pieces.index(piece)) for piece in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")


def _write_weights(folder: Path, vocab: int) -> None:
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    tensors = {}

    def matrix(name: str, *shape: int) -> None:
        tensors[name] = torch.randn(*shape, generator=generator) * 0.1

    def linear(name: str, wide: int, narrow: int) -> None:
        matrix(f"{name}.weight", wide, narrow)
        matrix(f"{name}.bias", wide)

    def norm(name: str) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = torch.ones(DIM), torch.zeros(DIM)

    for name, rows in (("word", vocab), ("position", POSITIONS), ("token_type", 2)):
        matrix(f"embeddings.{name}_embeddings.weight", rows, DIM)
    norm("embeddings.LayerNorm")
    for layer in (f"encoder.layer.{index}" for index in range(LAYERS)):
        for part in ("query", "key", "value"):
            linear(f"{layer}.attention.self.{part}", DIM, DIM)
        linear(f"{layer}.attention.output.dense", DIM, DIM)
        norm(f"{layer}.attention.output.LayerNorm")
        linear(f"{layer}.intermediate.dense", FFN, DIM)
        linear(f"{layer}.output.dense", DIM, FFN)
        norm(f"{layer}.output.LayerNorm")
    linear("pooler.dense", DIM, DIM)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def write_causal(folder: Path, *, positions: int = 256) -> None:
    """The files of a Llama; its pieces are two special ones, ASCII's characters and a few Chinese ones."""
    from dataclasses import replace

    import torch
    from tokenizers import Tokenizer, decoders, models

    from zaowu.config import AttentionConfig
    from zaowu.train.rule import from_scratch
    from zaowu.trunk import families
    from zaowu.trunk.transformer.encoder import Encoder

    letters = [chr(code) for code in (10, *range(32, 127))] + list("甲乙丙丁子丑寅卯天地人好坏大红")
    pieces = {piece: number for number, piece in enumerate(["<unk>", "<end>", *letters])}
    tokenizer = Tokenizer(models.BPE(pieces, [], unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(["<unk>", "<end>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>", "eos_token": "<end>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    trunk = replace(
        from_scratch("mini", max_positions=positions, causal=True),
        dim=DIM,
        num_layers=LAYERS,
        ffn_dim=FFN,
        attention=AttentionConfig(num_heads=4, num_groups=2, bias=False),
    )
    facts = {"vocab_size": len(pieces), "pad_id": 1, "position_offset": 0, "start_id": 1, "end_id": 1, "tied": 1}
    family = families.find("llama")
    config = family.write_config(trunk, facts, heads=("causal",))
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    torch.manual_seed(0)
    state = {f"trunk.{name}": tensor for name, tensor in Encoder(trunk).state_dict().items()}
    state["embedder.tokens.weight"] = torch.randn(len(pieces), DIM) * 0.02
    families.save_tensors(folder / "model.safetensors", state, family.names(trunk, facts, heads=("causal",)))
