from __future__ import annotations

import random
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from zaowu.bases import convert, e5_file
from zaowu.errors import UserError


def test_four_bit_blocks_by_hand(make_e5):
    file = e5_file.parse(make_e5(), where="tiny.bin")
    row = file.tensor("embeddings.word_embeddings.weight")[3]
    # scale 0.5; low nibbles 0, 1, ... 15 are weights 0-15, high nibbles (all 9) are weights 16-31
    assert row[:16].tolist() == [(i - 8) * 0.5 for i in range(16)]
    assert row[16:].tolist() == [0.5] * 16
    assert row.dtype == np.float16 and file.tensor("embeddings.word_embeddings.weight").shape == (14, 32)


def test_plain_tensors_and_header(make_e5):
    file = e5_file.parse(make_e5(), where="tiny.bin")
    positions = file.tensor("embeddings.position_embeddings.weight")
    assert positions.shape == (6, 32) and positions[1, 2] == 1 + 34 / 1024
    assert file.tensor("encoder.layer.0.intermediate.dense.weight").shape == (64, 32)
    assert file.tensor("encoder.layer.0.output.dense.weight").shape == (32, 64)
    assert file.shape.norm_eps == 1e-12 and file.shape.num_heads == 2
    assert file.pieces[9] == "中" and file.scores[5] == -3
    assert file.normal == {0x41: "a", 0x3000: " ", 0x7F: "", 0x338F: "kg"}


def test_float16_rounds_by_at_most_one_part_in_2048():
    scale = np.float16(0.0123)
    block = struct.pack("<e", scale) + bytes(range(0x90, 0xA0))
    where = {"where": "x", "shape": None, "pieces": [], "scores": np.empty(0), "special": {}, "normal": {}}
    file = e5_file.E5File(data=block, tensors={"t": (1, (32,), 0)}, **where)
    exact = np.array([*(np.arange(16) - 8), *[1] * 16]) * float(scale)
    assert (np.abs(file.tensor("t") - exact) <= np.abs(exact) / 2048).all()


def test_every_tensor_fits_the_published_model(make_e5, tmp_path: Path):
    from transformers import AutoTokenizer, BertModel

    (tmp_path / "tiny.bin").write_bytes(make_e5())
    out = tmp_path / "base"
    out.mkdir()
    convert.from_e5(e5_file.read(tmp_path / "tiny.bin"), out)
    model, info = BertModel.from_pretrained(out, add_pooling_layer=False, output_loading_info=True)
    assert not any(info.values()), info
    assert model.dtype.itemsize == 4, "computes in float32 whatever is stored"
    assert model.encoder.layer[0].attention.self.query.weight[0, :3].tolist() == [-4, -3.5, -3]
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer("A中国").input_ids == [0, 5, 10, 2]
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.unk_token_id) == (1, 11, 3)


NAN, HUGE = struct.pack("<f", float("nan")), 2**31 - 1


def shape(*sizes: int, eps: float = 1e-12, block: int = 32) -> bytes:
    return struct.pack("<7ifi", *sizes, eps, block)


def entry(name: bytes, kind: int = 1, size: int = 448, offset: int = 0, num_bytes: int = 252) -> bytes:
    return struct.pack("<H", len(name)) + name + struct.pack("<BIQQ", kind, size, offset, num_bytes)


BROKEN = [  # part, what it becomes, what the sentence says
    ("magic", b"E5S2\1\0\0\0", "E5S1"),
    ("magic", b"E5S1\2\0\0\0", "expected version 1, got 2"),
    ("shape", shape(*[HUGE] * 7), "impossible shape"),
    ("shape", shape(2**30, 999, 2, 2**30, HUGE, HUGE, 2), "expected 15989 tensors"),
    ("shape", shape(32, -1, 2, 64, 14, 6, 2), "impossible shape"),
    ("shape", shape(32, 1, 0, 64, 14, 6, 2), "impossible shape"),
    ("shape", shape(32, 1, 2, 64, 14, 6, 2, eps=float("nan")), "impossible shape"),
    ("shape", shape(33, 1, 3, 64, 14, 6, 2), "do not divide"),
    ("shape", shape(32, 1, 2, 64, 14, 6, 2, block=16), "do not divide"),
    ("shape", shape(32, 1, 2, 96, 14, 6, 2), "'l0.fi.w' has 2048 values"),
    ("shape", shape(32, 1, 2, 64, HUGE, 6, 2), "'emb.word' has 448 values"),
    ("head", struct.pack("<5iQ", HUGE, 0, 2, 1, 3, 43), "pieces for a table of 14 rows"),
    ("head", struct.pack("<5iQ", -1, 0, 2, 1, 3, 43), "-1 pieces"),
    ("head", struct.pack("<5iQ", 12, 0, 2, 1, 3, 2**64 - 1), "ends inside the pieces"),
    ("head", struct.pack("<5iQ", 12, 0, 2, 1, 99, 43), "special pieces at"),
    ("head", struct.pack("<5iQ", 12, 0, 1, 2, 3, 43), "special pieces <s>, </s>, <pad>, <unk> instead"),
    ("offsets", struct.pack("<13I", *range(12, -1, -1)), "do not rise"),
    ("offsets", struct.pack("<13I", *range(0, 1300, 100)), "do not rise"),
    ("scores", NAN * 12, "score is not a finite number"),
    ("blob", b"\xff" * 43, "not UTF-8"),
    ("blob", b"a" * 43, "instead of|stands twice"),
    ("normal_head", struct.pack("<iI", HUGE, 2**32 - 1), "ends inside the normalisation"),
    ("normal_head", struct.pack("<iI", -1, 0), "expected -1 normalisation entries"),
    ("normal_head", struct.pack("<iI", HUGE, 36), "ends inside a normalisation entry"),
    ("normal_head", struct.pack("<iI", 3, 36), "expected 3 normalisation entries"),
    ("normal", struct.pack("<IB", 0x110000, 0) + bytes(31), "0x110000 of the normalisation is not"),
    ("normal", struct.pack("<IB", 0xD800, 0) + bytes(31), "0xd800 of the normalisation is not"),
    ("count", struct.pack("<i", HUGE), "expected 21 tensors"),
    ("count", struct.pack("<i", -5), "expected 21 tensors"),
    ("entry", entry(b"emb.wurd"), "unknown tensor 'emb.wurd'"),
    ("entry", entry(b"l0.q.w", size=1024, num_bytes=576), "unknown tensor 'l0.q.w'"),  # it comes again
    ("entry", entry(b"emb.word", kind=7), "unknown kind 7"),
    ("entry", entry(b"emb.word", size=449), "449 values"),
    ("entry", entry(b"emb.word", num_bytes=2**64 - 1), "448 values in"),
    ("entry", entry(b"emb.word", offset=2**64 - 1), "ends beyond the file"),
    ("entry", entry(b"emb.word", offset=10**5), "ends beyond the file"),
    ("entry", struct.pack("<H", 65535), "ends inside a tensor's name"),
]


@pytest.mark.parametrize(("part", "value", "says"), BROKEN, ids=[f"{p}-{s}" for p, _, s in BROKEN])
def test_a_hostile_file_is_one_sentence_and_no_memory(make_e5, part, value, says):
    data = make_e5(**{part: value})
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=rf"^evil\.bin: not a whole E5S1 file: .*({says})"):
            e5_file.parse(data, where="evil.bin")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_values_that_are_not_numbers_are_refused(make_e5):
    data = make_e5().replace(struct.pack("<e", 0.5), struct.pack("<e", float("inf")))
    with pytest.raises(UserError, match="not finite"):
        e5_file.parse(data, where="evil.bin").tensor("embeddings.word_embeddings.weight")


def test_a_file_cut_anywhere_is_refused(make_e5):
    whole = make_e5()
    for length in range(0, len(whole), 7):
        with pytest.raises(UserError):
            e5_file.parse(whole[:length], where="cut.bin")


def test_random_damage_never_ends_in_another_error(make_e5):
    rng, whole = random.Random(0), make_e5()
    start = len(whole) - whole[::-1].index(b"w.nlo.0l") + 200  # past the directory; the rest is plain numbers
    refused = 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(start)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        try:
            file = e5_file.parse(bytes(data), where="x")
            for name in file.tensors:
                file.tensor(name)
        except UserError:
            refused += 1
    assert refused > 1000
