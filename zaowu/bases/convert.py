"""Data files of a package -> a base folder: config.json, tokenizer files, model.safetensors, NOTICE, receipt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from zaowu.bases import e5_file, unigram
from zaowu.bases.cache import CONVERSION, RECEIPT, sha256
from zaowu.bases.names import Base

MIT = """\
MIT License (the terms under which the authors named in NOTICE publish this)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation
the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and
to permit persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of
the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO
THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF
CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
IN THE SOFTWARE.
"""


def convert(base: Base, files: Mapping[str, Path], out: Path) -> None:
    """Writes the base folder `out`, which must exist and be empty.

    files: path inside the wheel -> where it was unpacked. Raises UserError for a file that is not as expected.
    """
    by_name = {Path(name).name: path for name, path in files.items()}
    packed = [path for name, path in by_name.items() if name.endswith(".bin")]
    if packed:
        from_e5(e5_file.read(packed[0]), out)
    else:
        from_transformers(by_name, out)
    (out / "NOTICE").write_text(notice(base), "utf-8")
    licence = by_name["LICENSE"].read_text("utf-8") if "LICENSE" in by_name else MIT
    (out / "LICENSE").write_text(licence, "utf-8")
    write_receipt(base, out)


def from_e5(file: e5_file.E5File, out: Path) -> None:
    """`config.json`, tokenizer files and `model.safetensors` of an E5S1 file."""
    shape = file.shape
    write_json(
        out / "config.json",
        {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": shape.dim,
            "num_hidden_layers": shape.num_layers,
            "num_attention_heads": shape.num_heads,
            "intermediate_size": shape.ffn_dim,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "initializer_range": 0.02,
            "layer_norm_eps": shape.norm_eps,
            "max_position_embeddings": shape.max_positions,
            "type_vocab_size": shape.num_segments,
            "vocab_size": shape.vocab_size,
            "bos_token_id": file.special["bos"],
            "eos_token_id": file.special["eos"],
            "pad_token_id": file.special["pad"],
            "torch_dtype": "float32",  # to compute in, whatever the file stores
        },
    )
    tokenizer = unigram.build(file.pieces, file.scores, normal=file.normal)
    (out / "tokenizer.json").write_text(tokenizer.to_str(), "utf-8")
    write_tokenizer_config(out, ("<s>", "</s>", "<pad>", "<unk>", "<mask>"), shape.max_positions)
    tensors = {name: file.tensor(name) for name in file.tensors}
    write_weights(out, tensors)


def from_transformers(files: Mapping[str, Path], out: Path) -> None:
    """The same from files that already are what transformers publishes, cleaned of what is not the model."""
    config = json.loads(files["config.json"].read_text("utf-8"))
    for name in ("_name_or_path", "transformers_version", "gradient_checkpointing"):
        config.pop(name, None)
    write_json(out / "config.json", config)
    tokenizer = json.loads(files["tokenizer.json"].read_text("utf-8"))
    tokenizer["truncation"] = tokenizer["padding"] = None  # theirs cut at 128 and pad to 128
    (out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), "utf-8")
    special = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")
    write_tokenizer_config(out, special, config["max_position_embeddings"])
    tensors = load_file(files["model.safetensors"])
    tensors.pop("embeddings.position_ids", None)  # 0, 1, 2, ...: not a weight
    write_weights(out, tensors)


def write_weights(out: Path, tensors: dict[str, np.ndarray]) -> None:
    """`model.safetensors`, with the permissions of the other files: the library's are its owner's alone."""
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})  # transformers asks for "pt"
    shutil.copymode(out / "config.json", out / "model.safetensors")


def write_tokenizer_config(out: Path, special: tuple[str, str, str, str, str], max_tokens: int) -> None:
    """special: the pieces that begin and end a text, pad, stand for the unknown and mask."""
    start, end, pad, unknown, mask = special
    write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": start,
            "eos_token": end,
            "cls_token": start,
            "sep_token": end,
            "pad_token": pad,
            "unk_token": unknown,
            "mask_token": mask,
            "model_max_length": max_tokens,
            "clean_up_tokenization_spaces": False,
        },
    )


def write_receipt(base: Base, out: Path) -> None:
    """`zaowu_base.json`: what this base is, and size and sha256 of every file beside it."""
    paths = sorted(path for path in out.iterdir() if path.name != RECEIPT)
    write_json(
        out / RECEIPT,
        {
            "name": base.name,
            "conversion": CONVERSION,
            "package": base.package,
            "version": base.version,
            "source_sha256": base.files,
            "origin": base.origin,
            "languages": base.languages,
            "licence": base.licence,
            "pooling": base.pooling,
            "prefix": base.prefix,
            "sizes": {path.name: path.stat().st_size for path in paths},
            "sha256": {path.name: sha256(path) for path in paths},
        },
    )


def notice(base: Base) -> str:
    return (
        f"{base.name}\n\n"
        f"Weights and pieces: {base.origin} (https://huggingface.co/{base.origin}).\n"
        f"Licence: {base.licence}.\n"
        f"Read from the Python package {base.package} {base.version} and converted by Zaowu: "
        f"tensors renamed and expanded, settings of the tokenizer rewritten.\n"
    )


def write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False, indent=2) + "\n", "utf-8")
