"""The page of a pre-training run says the same in both languages, and is written whole or not at all."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import report_pretraining as samples
from report_html import Page

import zaowu.report.pretraining
from zaowu.errors import UserError
from zaowu.records.corpus import files
from zaowu.report import chinese as common_chinese, english as common_english
from zaowu.report.pretraining import Pretraining, chinese, english, render, write

ROOM = Path(zaowu.report.pretraining.__file__).parent


@pytest.mark.parametrize("key", english.WORDS)
def test_a_sentence_has_the_same_gaps_in_both_languages(key):
    def gaps(words):
        return sorted(set(re.findall(r"{(\w+)}", words)))

    assert gaps(chinese.WORDS[key]) == gaps(english.WORDS[key])
    assert re.search("[\u4e00-\u9fff；。]", chinese.WORDS[key]) and not re.search("[\u4e00-\u9fff]", english.WORDS[key])


def test_both_languages_have_the_same_keys_and_none_of_the_common_ones():
    assert list(english.WORDS) == list(chinese.WORDS)
    assert {key for key in english.WORDS if key in common_english.WORDS} == set()
    assert {key for key in chinese.WORDS if key in common_chinese.WORDS} == set()


def test_no_sentence_is_left_over():
    sources = [path for path in ROOM.glob("*.py") if path.stem not in ("english", "chinese")]
    sources.append(ROOM.parent / "templates" / "pretraining.html.j2")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    used = set(re.findall(r"""['"]([\w.]+)['"]""", text))
    groups = {words.rstrip(".") for words in used} | set(re.findall(r"""f['"]([a-z_]+)\.{""", text))
    assert [key for key in english.WORDS if key not in used and key.split(".")[0] not in groups] == []


def test_an_english_page_has_english_words_and_a_chinese_one_chinese():
    page = render(samples.masked(), lang="zh")
    english_page, chinese_page = Page(render(samples.masked(), lang="en")), Page(page)
    assert not re.search(r"[\u4e00-\u9fff]", english_page.text("h1", "h2", "h3", "p", "dt", "figcaption", "text"))
    for words in chinese_page.text("h2", "h3", "figcaption", "dt").split("\n"):
        assert re.search(r"[\u4e00-\u9fff]", words), words
    assert {"训练", "留出", "步数"} <= set(chinese_page.text("text").split("\n"))
    assert "&#" not in page.replace("&#34;", "").replace("&#39;", "")


# ---- writing


def test_it_replaces_an_older_page_and_leaves_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    made = Pretraining(name="x")
    write(made, path, lang="zh")
    assert path.read_text(encoding="utf-8") == render(made, lang="zh")
    with pytest.raises(UserError, match="expected en or zh"):
        write(made, tmp_path / "other.html", lang="de")

    def full(self, data):
        self.open("wb").close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match=r"report\.html: the report could not be written \(No space left"):
        write(made, path, lang="en")
    assert path.read_text(encoding="utf-8") == render(made, lang="zh")
    assert list(tmp_path.iterdir()) == [path]


def test_heavy_libraries_wait_until_they_are_needed():
    code = (
        "import sys; from zaowu.report import pretraining; "
        "print([name for name in ('matplotlib', 'jinja2', 'torch', 'sklearn', 'polars') if name in sys.modules]); "
        "pretraining.render(pretraining.Pretraining(name='x'), lang='en'); print('matplotlib' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:2] == ["[]", "False"]


@pytest.mark.parametrize(("lang", "words"), [("en", "this is a PDF document"), ("zh", "是 PDF 文档")])
def test_why_a_file_was_skipped_is_said_in_the_language_of_the_page(lang, words, tmp_path):
    (tmp_path / "law.txt").write_bytes(b"%PDF-1.7 ...")
    why = files.refusal(tmp_path / "law.txt", "text")
    page = render(Pretraining(name="base", unreadable=(f"law.txt: {why}", "a.gz: odd: this is new")), lang=lang)
    assert f"law.txt: {words}" in page and "a.gz: odd: this is new" in page
