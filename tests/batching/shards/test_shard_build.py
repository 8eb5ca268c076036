"""A corpus to a folder of shards: what is in them, kill and resume, parts, and what is refused."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zaowu.batching.shards import Shards, begin_shards, build, make, open_shards, remove_shards
from zaowu.config import CorpusConfig
from zaowu.errors import UserError
from zaowu.inputs.text.codec import Codec
from zaowu.inputs.text.learn_pieces import learn
from zaowu.records.corpus import Corpus, corpus as reading, documents, text

NUM = 60
CONFIG = CorpusConfig(held_out=0.1, shard_tokens=200)


@pytest.fixture
def folder(tmp_path) -> Path:
    """60 files of three paragraphs, one of several sentences."""
    path = tmp_path / "texts"
    path.mkdir()
    for number in range(NUM):
        text = f"第{number}篇。它说了{number}句话！\n\nPage {number} is here. So it is.\n\n末段{number}"
        (path / f"{number:02d}.txt").write_text(text, "utf-8")
    return path


@pytest.fixture(scope="module")
def codec() -> Codec:
    return learn(["第篇它说了句话末段。！ Page is here. So it is. 0123456789"] * 3, num_pieces=120)


def corpus_of(folder: Path, config: CorpusConfig = CONFIG, weight: float = 1.0) -> Corpus:
    return documents([(str(folder), weight)], config)


def made(corpus: Corpus, codec: Codec, out: Path, part: tuple[int, int] = (0, 1)) -> Shards:
    shards = build(corpus, codec, out, part=part)
    assert shards is not None
    return shards


def every(shards: Shards, side: str) -> dict[int, list[int]]:
    """Tokens of each document."""
    found = {}
    for entry in shards.entries(side):
        shard = shards.open(entry)
        for number, begin, end in zip(shard.ids.tolist(), shard.documents, shard.documents[1:], strict=False):
            found[number] = shard.tokens[begin:end].tolist()
    return found


def expected(corpus: Corpus, codec: Codec, *, side: str) -> dict[int, list[int]]:
    def ids(paragraph: str) -> list[int]:
        return codec.tokenizer.encode(paragraph, add_special_tokens=False).ids

    chosen = (own for own in corpus if own.is_held_out == (side == "valid"))
    return {own.id: [number for text in own.paragraphs for number in ids(text)] for own in chosen}


def test_shards_hold_the_tokens_of_every_document(folder, tmp_path, codec) -> None:
    corpus = corpus_of(folder)
    shards = made(corpus, codec, tmp_path / "out")
    for side in ("train", "valid"):
        assert every(shards, side) == expected(corpus_of(folder), codec, side=side)
    assert len(every(shards, "train")) + len(every(shards, "valid")) == NUM
    assert len(shards.train) > 3 and shards.valid
    for entry in shards.train[:-1]:
        assert entry.tokens >= 200
    assert shards.num_tokens("train") == sum(map(len, every(shards, "train").values()))
    assert shards.counts.documents == NUM
    again = open_shards(tmp_path / "out")
    assert every(again, "train") == every(shards, "train")
    assert again.weights == (1.0,)


def test_sentences_stay_within_paragraphs(folder, tmp_path, codec) -> None:
    shards = made(corpus_of(folder), codec, tmp_path / "out")
    shard = shards.open(shards.train[0])
    number = int(np.flatnonzero(shard.sentences == shard.documents[1])[0])
    assert number == 5
    texts = [
        codec.tokenizer.decode(shard.tokens[a:b].tolist())
        for a, b in zip(shard.sentences, shard.sentences[1:6], strict=False)
    ]
    assert [text[-1] for text in texts[:4]] == ["。", "!", ".", "."]
    assert np.isin(shard.documents, shard.sentences).all()


def test_pieces_of_a_text_that_look_special_are_text(tmp_path, codec) -> None:
    for number in range(2):
        (tmp_path / f"{number}.txt").write_text(f"第{number}篇 [SEP] [MASK] it is")
    shards = made(corpus_of(tmp_path), codec, tmp_path / "out")
    special = {codec.piece(role) for role in ("sep_token", "cls_token", "mask_token", "pad_token")}
    assert not special & {number for own in every(shards, "train").values() for number in own}


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_causal_codec_writes_the_lines_again(folder, tmp_path, kind: str) -> None:
    texts = [text for own in corpus_of(folder) for text in own.paragraphs]
    own = learn(texts, kind=kind, num_pieces=400, causal=True)
    shards = made(corpus_of(folder), own, tmp_path / "out")
    first = next(iter(every(shards, "train").values()))
    text = own.tokenizer.decode(first)
    assert text.count("\n") == 2 and text.endswith("末段0") and "So it is." in text
    assert own.piece("eos_token") not in first
    shard = shards.open(shards.train[0])
    assert int(np.flatnonzero(shard.sentences == shard.documents[1])[0]) == 5


def test_words_are_kept_where_asked_for(folder, tmp_path, codec) -> None:
    shards = made(corpus_of(folder, replace(CONFIG, whole_word=True)), codec, tmp_path / "out")
    shard = shards.open(shards.train[-1])
    assert shard.words is not None and shard.words[shard.sentences[:-1]].all()
    pieces = [codec.tokenizer.id_to_token(number) for number in shard.tokens.tolist()]
    inside = [word for word, piece in zip(shard.words.tolist(), pieces, strict=True) if piece.startswith("##")]
    assert inside and not any(inside)
    plain = made(corpus_of(folder), codec, tmp_path / "plain")
    assert plain.open(plain.train[0]).words is None


class Killed(Exception):
    pass


class Dying(Corpus):
    """A corpus whose reading ends in the midst of it."""

    alive = 0

    def __iter__(self):
        for place, document in enumerate(super().__iter__()):
            if place == self.alive:
                raise Killed
            yield document


def test_a_kill_loses_one_shard_and_the_end_is_the_same(folder, tmp_path, codec, monkeypatch) -> None:
    monkeypatch.setattr(make, "BATCH_DOCUMENTS", 4)
    whole = made(corpus_of(folder), codec, tmp_path / "whole")
    dying = Dying([(str(folder), 1.0)], CONFIG)
    out = tmp_path / "out"
    for alive in (25, 40, 55):
        dying.alive = alive
        with pytest.raises(Killed):
            build(dying, codec, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    assert len(before) >= 2
    with pytest.raises(UserError, match="of which 0 are done"):
        open_shards(out)
    shards = made(corpus_of(folder), codec, out)
    assert [entry.sha256 for entry in shards.train] == [entry.sha256 for entry in whole.train]
    assert [entry.sha256 for entry in shards.valid] == [entry.sha256 for entry in whole.valid]
    assert all((out / name).stat().st_mtime_ns == time for name, time in before.items())


def test_parts_together_are_the_whole(folder, tmp_path, codec) -> None:
    whole, out = made(corpus_of(folder), codec, tmp_path / "whole"), tmp_path / "out"
    assert build(corpus_of(folder), codec, out, part=(2, 3)) is None
    assert build(corpus_of(folder), codec, out, part=(0, 3)) is None
    with pytest.raises(UserError, match="3 parts, of which 2 are done"):
        open_shards(out)
    shards = made(corpus_of(folder), codec, out, part=(1, 3))
    for side in ("train", "valid"):
        assert every(shards, side) == every(whole, side)
    assert {number % 3 for number in every(shards, "train")} == {0, 1, 2}
    assert made(corpus_of(folder), codec, out).num_tokens("train") == shards.num_tokens("train")  # however many made it


def test_parts_of_another_number_are_refused(folder, tmp_path, codec) -> None:
    assert build(corpus_of(folder), codec, tmp_path / "out", part=(0, 3)) is None
    with pytest.raises(UserError, match="--part is of 2, 3 before"):
        build(corpus_of(folder), codec, tmp_path / "out", part=(0, 2))


def test_only_what_is_ours_is_removed(folder, tmp_path, codec) -> None:
    out = tmp_path / "out"
    begin_shards(out, keep=False, anew=True)
    made(corpus_of(folder), codec, out)
    (out / "thesis.txt").write_text("three years of work")
    with pytest.raises(UserError, match=r"'thesis\.txt' lies in it"):
        remove_shards(out)
    assert len(list(out.iterdir())) > 2
    (out / "thesis.txt").unlink()
    (out / "train-00009.safetensors.new").touch()  # of a call that was killed
    remove_shards(out)
    assert not out.exists()
    remove_shards(out)  # which is no fault


def test_shards_that_were_asked_for_are_not_removed(folder, tmp_path, codec, capsys) -> None:
    out = tmp_path / "out"
    for keep in (False, True, False):  # the first call is stopped, the second one names the folder
        begin_shards(out, keep=keep, anew=False)
        shards = made(corpus_of(folder), codec, out)
    begin_shards(out, keep=False, anew=True)
    assert "kept with --shards" in capsys.readouterr().err
    remove_shards(out)
    assert every(open_shards(out), "train") == every(shards, "train")


def test_documents_are_counted_by_source(folder, tmp_path, codec) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"text": f"Another source, row {number}."}) + "\n" for number in range(7)))
    shards = made(documents([(str(folder), 1.0), (str(other), 2.0)], CONFIG), codec, tmp_path / "out")
    assert shards.by_source()[1] == 7
    assert sum(shards.by_source()) == shards.num_documents("train") + shards.num_documents("valid")


@pytest.mark.parametrize("part", [(3, 3), (-1, 2), (0, 0)])
def test_a_part_that_cannot_be(folder, tmp_path, codec, part: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="--part"):
        build(corpus_of(folder), codec, tmp_path / "out", part=part)


def test_a_finished_folder_is_not_read_again(folder, tmp_path, codec) -> None:
    made(corpus_of(folder), codec, tmp_path / "out")
    dying = Dying([(str(folder), 3.0)], CONFIG)
    assert made(dying, codec, tmp_path / "out").weights == (3.0,)


def test_what_was_made_from_something_else_is_refused(folder, tmp_path, codec) -> None:
    out = tmp_path / "out"
    made(corpus_of(folder), codec, out)
    other = learn(["another tokenizer of other texts"] * 3, num_pieces=100)
    with pytest.raises(UserError, match="the tokenizer is another one"):
        build(corpus_of(folder), other, out)
    with pytest.raises(UserError, match=r"the setting whole_word is (jieba|characters), False before"):
        build(corpus_of(folder, replace(CONFIG, whole_word=True)), codec, out)
    with pytest.raises(UserError, match=r"the setting held_out is 0\.2, 0\.1 before"):
        build(corpus_of(folder, replace(CONFIG, held_out=0.2)), codec, out)
    (folder / "more.txt").write_text("更多")
    with pytest.raises(UserError, match=r"61 files of .* 60 files"):
        build(corpus_of(folder), codec, out)


@pytest.mark.parametrize("number", [0, 30, 59])
def test_a_corpus_that_changed_before_going_on_is_refused(folder, tmp_path, codec, monkeypatch, number: int) -> None:
    """As many bytes under the same name, so that only reading shows it."""
    monkeypatch.setattr(make, "BATCH_DOCUMENTS", 4)
    dying = Dying([(str(folder), 1.0)], replace(CONFIG, held_out=0))
    dying.alive = NUM - 2
    with pytest.raises(Killed):
        build(dying, codec, tmp_path / "out")
    path = folder / f"{number:02d}.txt"
    path.write_text(path.read_text("utf-8").replace("末", "篇"), "utf-8")
    again = documents([(str(folder), 1.0)], replace(CONFIG, held_out=0))
    if number == 59:  # it was not tokenised yet
        assert made(again, codec, tmp_path / "out").num_documents("train") == NUM
    else:
        with pytest.raises(UserError, match="has changed since"):
            build(again, codec, tmp_path / "out")


def test_a_damaged_shard_is_named(folder, tmp_path, codec) -> None:
    shards = made(corpus_of(folder), codec, tmp_path / "out")
    path = tmp_path / "out" / shards.train[1].file
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"{shards.train[1].file}: the shard is damaged"):
        open_shards(tmp_path / "out").open(shards.train[1])
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        open_shards(tmp_path / "out").open(shards.train[1])


def set_in(data: dict, *keys: object, value: object) -> None:
    for key in keys[:-1]:
        data = data[key]
    data[keys[-1]] = value


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("shards", 0, "file"), "../train-00000.safetensors"),
        (("shards", 0, "file"), "/etc/passwd"),
        (("shards", 0, "tokens"), -1),
        (("shards", 0, "tokens"), "many"),
        (("shards", 0, "side"), "test"),
        (("shards", 0), None),
        (("made", "format"), 99),
        (("made", "sources", 0, "weight"), 1e300),
        (("made", "sources"), {}),
        (("made",), []),
        (("more",), 1),
    ],
)
def test_a_hostile_list_of_shards_is_one_sentence(folder, tmp_path, codec, keys: tuple, value: object) -> None:
    made(corpus_of(folder), codec, tmp_path / "out")
    path = tmp_path / "out" / "shards.json"
    data = json.loads(path.read_text("utf-8"))
    set_in(data, *keys, value=value)
    path.write_text(json.dumps(data), "utf-8")
    with pytest.raises(UserError, match=r"shards\.json"):
        open_shards(tmp_path / "out")


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, "null"])
def test_a_broken_list_of_shards(tmp_path, content: str) -> None:
    (tmp_path / "shards.json").write_text(content)
    with pytest.raises(UserError, match=r"shards\.json"):
        open_shards(tmp_path)


def test_other_sizes_than_the_list_says(folder, tmp_path, codec) -> None:
    shards = made(corpus_of(folder), codec, tmp_path / "out")
    with pytest.raises(UserError, match="other sizes"):
        shards.open(replace(shards.train[0], tokens=7))


def test_a_corpus_without_documents_leaves_no_list(tmp_path, codec) -> None:
    (tmp_path / "a.txt").write_text("one line")
    with pytest.raises(UserError, match="a single line"):
        build(corpus_of(tmp_path), codec, tmp_path / "out")
    assert not (tmp_path / "out" / "shards.json").exists()


def test_memory_does_not_grow_with_what_is_tokenised(tmp_path, codec, monkeypatch) -> None:
    """With small portions, so that a small corpus is many of them."""
    for module, name in (
        (text, "BLOCK_BYTES"),
        (text, "MAX_DOCUMENT"),
        (reading, "GROUP_CHARS"),
        (make, "BATCH_CHARS"),
    ):
        monkeypatch.setattr(module, name, 1 << 15)

    def most(num: int) -> int:
        (path := tmp_path / f"{num}.txt").write_text(
            "\n".join(f"Page {number}: " + "so it is here. " * 20 for number in range(num))
        )
        corpus = documents([(str(path), 1.0)], replace(CONFIG, held_out=0, shard_tokens=5000))
        tracemalloc.start()
        build(corpus, codec, tmp_path / f"out-{num}")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    most(300)
    assert most(4000) < 1.3 * most(1000)
