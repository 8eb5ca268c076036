"""Text in, tokens out: pieces, trimming, windows."""

import json

import numpy as np
import polars as pl
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from zaowu.errors import UserError
from zaowu.inputs.text import MAX_TRAIN_WINDOWS, MAX_WINDOWS, Input, guess
from zaowu.inputs.text.codec import Codec
from zaowu.inputs.text.scripts import script, scripts_of, shares

SETTINGS = {"unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"}


def unigram(pieces: list[str]) -> Codec:
    """A small SentencePiece-like vocabulary with the four special pieces in front."""
    vocab = [(piece, -float(i)) for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces])]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return Codec(json.loads(tokenizer.to_str()), dict(SETTINGS), where="test")


CYRILLIC = [chr(c) for c in range(0x430, 0x450)]
PIECES = ["▁", *"体育科技新闻", *"abc", "abc", *CYRILLIC, *(f"{a}{b}{a}" for a in CYRILLIC for b in CYRILLIC)]


@pytest.mark.parametrize(
    ("character", "expected"),
    [
        ("a", "ASCII"),
        ("é", "LATIN"),
        ("中", "CJK"),
        ("の", "HIRAGANA"),
        ("д", "CYRILLIC"),
        ("7", "COMMON"),
        ("，", "COMMON"),
        ("Ａ", "COMMON"),
    ],
)
def test_script_of_a_character(character: str, expected: str) -> None:
    assert script(character) == expected


def test_shares_count_letters_only() -> None:
    assert shares(["体育ab12，，", "科技"]) == {"CJK": 4 / 6, "ASCII": 2 / 6}
    assert scripts_of("▁体a7") == {"CJK", "ASCII"}


def test_trimming_keeps_what_the_texts_can_be_written_in() -> None:
    whole = unigram(PIECES)
    texts = ["体育新闻", "科技 abc"]
    small, kept = whole.trimmed(texts)
    assert kept is not None
    assert small.num_pieces == len(kept) < whole.num_pieces / 5
    for text in [*texts, "体育科技cab"]:
        ours, theirs = next(small.encode([text])), next(whole.encode([text]))
        assert kept[ours].tolist() == theirs.tolist()
    assert small.special == whole.special
    assert kept[small.pad_id] == whole.pad_id
    assert kept[small.unknown_id] == whole.unknown_id


def test_where_texts_are_written_only_used_pieces_and_characters_stay() -> None:
    whole = unigram(PIECES)
    loose, _ = whole.trimmed(["体育新闻", "科技 abc", "".join(CYRILLIC)])
    tight, kept = whole.trimmed(["体育新闻", "科技 abc", "".join(CYRILLIC)], tight=True)
    assert tight.num_pieces == len(kept) < loose.num_pieces
    for text in ("体育科技", "abc", "cab", "где"):
        ids = next(tight.encode([text]))
        assert tight.unknown_id not in ids and kept[ids].max() < whole.num_pieces


def test_a_script_that_was_cut_away_becomes_unknown() -> None:
    small, _ = unigram(PIECES).trimmed(["体育新闻", "科技"])
    assert small.unknown_id in next(small.encode(["где"]))


def test_little_to_win_changes_nothing() -> None:
    whole = unigram(["▁", *"体育科技新闻"])
    same, kept = whole.trimmed(["体育"])
    assert same is whole
    assert kept is None


def test_saved_and_read_again_gives_the_same_ids(tmp_path) -> None:
    small, _ = unigram(PIECES).trimmed(["体育新闻", "科技 abc"])
    small.save(tmp_path)
    again = Codec.from_folder(tmp_path)
    assert next(again.encode(["体育 abc"])).tolist() == next(small.encode(["体育 abc"])).tolist()


def test_every_further_column_has_its_mark() -> None:
    codec = unigram(PIECES)
    pair, three = next(codec.encode(["体"], ["育"])).tolist(), next(codec.encode(["体"], ["育"], ["科"])).tolist()
    third = codec.tokenizer.encode("科", add_special_tokens=False).ids
    assert three == [*pair[:-1], 2, 2, *third, 2]
    own = Codec.train(["体育新闻", "科技新闻"] * 3, num_pieces=50)
    ids = next(own.encode(["体"], ["育"], ["科"], ["技"])).tolist()
    assert own.tokenizer.decode(ids, skip_special_tokens=False) == "[CLS] 体 [SEP] 育 [SEP] 科 [SEP] 技 [SEP]"


def test_pairs_use_the_base_s_own_template() -> None:
    codec = unigram(PIECES)
    ids = next(codec.encode(["体"], ["育"])).tolist()
    assert [ids[0], ids[-1]] == [0, 2]
    assert ids.count(2) == 3


def test_pieces_learned_from_scratch_split_chinese_by_character() -> None:
    codec = Codec.train(["体育新闻 news", "科技新闻 news"] * 3, num_pieces=200)
    pieces = codec.tokenizer.encode("体育 news").tokens
    assert pieces == ["[CLS]", "体", "育", "news", "[SEP]"]


def test_missing_tokenizer_files_are_named(tmp_path) -> None:
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        Codec.from_folder(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": {}}', "null"])
def test_broken_tokenizer_files_are_one_sentence(tmp_path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(SETTINGS))
    with pytest.raises(UserError, match="tokenizer"):
        Codec.from_folder(tmp_path)


def make_input(*, long: str = "window") -> Input:
    return Input(["text"], unigram(PIECES), max_tokens=8, long=long)


def test_windows_lose_nothing_and_keep_their_special_pieces() -> None:
    given = make_input()
    text = "体育科技新闻" * 3
    items = given.features([text])
    assert [item.record for item in items] == [0] * len(items)
    assert sum(item.share for item in items) == pytest.approx(1)
    inner = [piece for item in items for piece in item.features["ids"][1:-1].tolist()]
    assert inner == next(given.codec.encode([text]))[1:-1].tolist()
    assert all(item.features["ids"][0] == 0 and item.features["ids"][-1] == 2 for item in items)
    assert max(item.length for item in items) == 8


def test_truncating_keeps_the_beginning_alone() -> None:
    items = make_input(long="truncate").features(["体育科技新闻" * 3])
    assert len(items) == 1
    assert items[0].length == 8


def test_very_long_records_do_not_fill_an_epoch() -> None:
    given = make_input()
    text = "体育科技新闻" * 100
    assert len(given.features([text], training=True)) == MAX_TRAIN_WINDOWS
    assert len(given.features([text])) == MAX_WINDOWS
    assert (
        given.features([text])[-1].features["ids"].tolist()
        == given.windows(next(given.codec.encode([text])))[-1].tolist()
    )


def test_lengths_for_the_report() -> None:
    given = make_input()
    items = given.features(["体", "体育科技新闻" * 3, "где"])
    found = given.lengths(items, 3)
    assert found.over == 1
    assert sum(found.counts) == 3
    assert found.longest == sum(item.length for item in items if item.record == 1)
    assert found.unknown_share == 0


def test_unknown_shares_are_per_record() -> None:
    given = Input(["text"], unigram(["▁", *"体育"]))
    found = given.unknown_shares(given.features(["体育", "体❄", "❄"]), 3)
    assert found[0] == 0
    assert 0 < found[1] < found[2]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"columns": "text"},
        {"columns": [], "max_tokens": 8, "long": "window"},
        {"columns": ["a"], "max_tokens": 10**12, "long": "window"},
        {"columns": ["a"], "max_tokens": 8, "long": "os.system"},
    ],
)
def test_hostile_states_are_refused(tmp_path, state: dict) -> None:
    with pytest.raises(UserError, match="zaowu"):
        Input.from_state(state, tmp_path, where="zaowu.json")


@pytest.mark.parametrize(
    ("values", "is_text"),
    [
        (["姚明宣布退役", "新手机发布了", "火箭队赢了"], True),
        (["the cat sat", "a dog ran away"], True),
        (["A1", "B2", "C3"], False),
        (["1", "2", "3"], False),
        (["", None, " "], False),
    ],
)
def test_guess(values: list, is_text: bool) -> None:
    assert (guess(pl.Series("x", values)) is not None) == is_text


def test_numbers_are_no_text() -> None:
    assert guess(pl.Series("x", np.arange(5))) is None
