"""Where sentences and words begin."""

from itertools import pairwise

import numpy as np
import pytest

from zaowu.batching.shards.sentences import chinese_words, sentence_starts, word_starts


@pytest.mark.parametrize(
    ("paragraph", "sentences"),
    [
        ("他来了。她走了！真的？是的…好", ["他来了。", "她走了！", "真的？", "是的…", "好"]),
        ("“你好。”他说。（完。）又来", ["“你好。”", "他说。", "（完。）", "又来"]),
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ('He said "No." Then he left.', ['He said "No." ', "Then he left."]),
        ("J. Smith paid 3.5 at a.b.com/?q=1. Done", ["J. Smith paid 3.5 at a.b.com/?q=1. ", "Done"]),
        ("一行\n二行 \n\n三行\n", ["一行\n", "二行 \n\n", "三行\n"]),
        ("什么？！好……吧", ["什么？！", "好……", "吧"]),
        ("。开头", ["。开头"]),
        ("", [""]),
    ],
)
def test_sentences(paragraph: str, sentences: list[str]) -> None:
    places = [0, *sentence_starts(paragraph), len(paragraph)]
    assert [paragraph[a:b] for a, b in pairwise(places)] == sentences


def parts(text: str, found: np.ndarray) -> list[str]:
    places = [*np.flatnonzero(found).tolist(), len(text)]
    return [text[a:b] for a, b in pairwise(places)]


def test_words_without_a_dictionary_are_characters() -> None:
    assert parts("姚明 plays_it well，好", word_starts("姚明 plays_it well，好", None)) == [
        *["姚", "明 ", "plays", "_", "it ", "well", "，", "好"]
    ]


def test_chinese_words_are_several_characters() -> None:
    pytest.importorskip("jieba")
    text = "我们学习自然语言处理。"
    found = parts(text, word_starts(text, chinese_words()))
    assert found[:2] == ["我们", "学习"] and found[-1] == "。"
    assert "".join(found) == text
