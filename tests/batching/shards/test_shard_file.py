"""A shard on disk: the same arrays again, memory-mapped, and every damage named."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from zaowu.batching.shards import Shard, file
from zaowu.errors import UserError


def small(*, words: bool = True, dtype: type = np.uint16) -> Shard:
    return Shard(
        tokens=np.array([5, 6, 7, 8, 9, 5, 6], dtype),
        documents=np.array([0, 4, 7], np.int64),
        sentences=np.array([0, 2, 4, 7], np.int64),
        ids=np.array([1, 2**64 - 1], np.uint64),
        sources=np.array([0, 1], np.uint8),
        words=np.array([1, 0, 1, 1, 1, 0, 1], bool) if words else None,
    )


def same(one: Shard, other: Shard) -> bool:
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype if b is not None else a is None
        for a, b in zip(vars(one).values(), vars(other).values(), strict=True)
    )


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_what_is_written_is_read_and_mapped(tmp_path, words: bool, dtype: type) -> None:
    shard = small(words=words, dtype=dtype)
    file.write(tmp_path / "a.safetensors", shard)
    found = file.read(tmp_path / "a.safetensors", num_pieces=10)
    assert same(found, shard)
    assert isinstance(found.tokens, np.memmap)
    assert load_file(tmp_path / "a.safetensors")["tokens"].tolist() == shard.tokens.tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_parts_of_a_shard_join_to_it() -> None:
    shard = small()
    for num in range(3):
        first, rest = file.split(shard, num)
        assert first.num_documents == num
        if 0 < num < 2:
            assert same(file.joined([first, rest]), shard)


def rewritten(path: Path, change) -> None:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    new = json.dumps(change(header)).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + length :])


def changed(name: str, key: str, value: object):
    return lambda header: {**header, name: {**header[name], key: value}}


@pytest.mark.parametrize(
    "change",
    [
        changed("tokens", "dtype", "F32"),
        changed("tokens", "dtype", ["U16"]),
        changed("tokens", "shape", [2**60]),
        changed("tokens", "shape", [-1]),
        changed("tokens", "shape", [7.0]),
        changed("tokens", "shape", None),
        changed("tokens", "shape", [8]),
        changed("tokens", "data_offsets", [10**9, 10**9 + 14]),
        changed("tokens", "data_offsets", [True, 15]),
        lambda header: {name: facts for name, facts in header.items() if name != "ids"},
        lambda header: {**header, "more": header["ids"]},
        lambda header: {**header, "tokens": 3},
        lambda header: [header],
    ],
)
def test_a_hostile_header_is_one_sentence(tmp_path, change) -> None:
    path = tmp_path / "train-00000.safetensors"
    file.write(path, small())
    rewritten(path, change)
    with pytest.raises(UserError, match=r"train-00000\.safetensors: the shard is damaged"):
        file.read(path)


@pytest.mark.parametrize(
    "content", [b"", b"12", b"\xff" * 8 + b"{}", (2).to_bytes(8, "little") + b"{", b"\x02" + b"\0" * 7 + b"{]"]
)
def test_what_is_no_safetensors_file(tmp_path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        file.read(path)


def test_a_file_cut_short(tmp_path) -> None:
    path = tmp_path / "a.safetensors"
    file.write(path, small())
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match="cut short"):
        file.read(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("documents", [0, 4, 6]),
        ("documents", [1, 4, 7]),
        ("documents", [0, 5, 7]),
        ("sentences", [0, 4, 2, 4, 7]),
        ("sentences", [0, 4, 4, 7]),
        ("ids", [1]),
        ("sources", [1]),
        ("words", [True]),
        ("tokens", [5, 6, 7, 8, 9, 5, 10]),
    ],
)
def test_arrays_that_do_not_fit_one_another(tmp_path, name: str, value: list) -> None:
    shard = small()
    arrays = {**vars(shard), name: np.array(value, getattr(shard, name).dtype)}
    file.write(tmp_path / "a.safetensors", Shard(**arrays))
    with pytest.raises(UserError, match="damaged"):
        file.read(tmp_path / "a.safetensors", num_pieces=10)
