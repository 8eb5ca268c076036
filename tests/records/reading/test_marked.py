"""Files that mark places in a text: SQuAD's layout and CoNLL's columns."""

import json

import pytest

from zaowu.errors import UserError
from zaowu.records.read import read
from zaowu.records.reading.marked.bio import is_bio


def squad(*paragraphs, **more):
    return {
        "version": "2.0",
        "data": [{"title": f"文章{k}", "paragraphs": [p]} for k, p in enumerate(paragraphs)],
        **more,
    }


def question(words, *answers, **more):
    return {"question": words, "id": words, "answers": [{"text": t, "answer_start": s} for t, s in answers], **more}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), "utf-8")
    return path


def test_squad_is_read_as_it_is(tmp_path):
    data = squad(
        {
            "context": "姚明生于上海。",
            "qas": [question("谁？", ("姚明", 0), ("姚", 0)), question("何时？", is_impossible=True)],
        },
        {
            "context": "长城在北京。",
            "qas": [question("哪里？", ("北京", 3), is_impossible=False), {"question": "何时？"}],
        },
    )
    table = read(write(tmp_path / "train.json", data))
    assert table.frame.columns == ["context", "question", "answer", "document"]
    assert (table.group, dict(table.kinds)) == ("document", {"context": "text", "question": "text"})
    assert table.frame["document"].to_list() == ["文章0", "文章0", "文章1", "文章1"]
    assert table.rows.tolist() == [1, 2, 3, 4]
    answers = [None if cell is None else json.loads(cell) for cell in table.frame["answer"]]
    assert answers[0] == [{"text": "姚明", "start": 0}, {"text": "姚", "start": 0}]
    assert answers[1:] == [[], [{"text": "北京", "start": 3}], None]
    assert "4 questions on 2 contexts of 2 documents" in table.notes[0]


def test_squad_without_titles_counts_its_articles(tmp_path):
    data = squad(
        {"context": "a b", "qas": [question("q?", ("a", 0))]}, {"context": "c d", "qas": [question("r?", ("d", 2))]}
    )
    for article in data["data"]:
        del article["title"]
    assert read(write(tmp_path / "t.json", data)).frame["document"].to_list() == ["document 1", "document 2"]


@pytest.mark.parametrize(
    ("paragraph", "problem"),
    [
        ({"context": " ", "qas": [question("谁？", ("姚明", 0))]}, "expected a context"),
        ({"context": "姚明", "qas": [question("", ("姚明", 0))]}, "expected a question"),
        ({"context": "姚明", "qas": ["谁？"]}, "expected a question"),
        ({"context": "姚明", "qas": [{"question": "谁？", "answers": ["姚明"]}]}, "'answer_start'"),
        (
            {"context": "姚明", "qas": [{"question": "谁？", "answers": [{"text": "姚明", "answer_start": "0"}]}]},
            "'answer_",
        ),
    ],
)
def test_a_bad_question_is_named(tmp_path, paragraph, problem):
    path = write(tmp_path / "t.json", squad({"context": "北京", "qas": [question("哪里？", ("北京", 0))]}, paragraph))
    with pytest.raises(UserError, match=f"row 2.*{problem}"):
        read(path)
    table = read(path, on_bad_row="skip")
    assert table.frame.height == 1 and len(table.bad_rows) == 1


def test_squad_without_a_question_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected questions"):
        read(write(tmp_path / "t.json", squad({"context": "姚明", "qas": []})))


def test_another_document_with_data_is_no_squad(tmp_path):
    table = read(write(tmp_path / "t.json", {"data": [{"text": "a", "label": "b"}]}))
    assert table.frame.columns == ["text", "label"] and table.group == ""


BIO = """\
EU B-ORG
rejects O
German B-MISC
call O
. O

Peter B-PER
Blackburn I-PER
in O
New I-LOC
York I-LOC
"""


def test_bio_becomes_sentences_with_places(tmp_path):
    table = read(write(tmp_path / "train.bio", BIO))
    assert table.frame.columns == ["text", "entities"] and table.rows.tolist() == [1, 7]
    texts = table.frame["text"].to_list()
    assert texts == ["EU rejects German call .", "Peter Blackburn in New York"]
    for text, cell in zip(texts, table.frame["entities"], strict=True):
        assert all(text[one["start"] : one["end"]] == one["text"] for one in json.loads(cell))
    told = [[(one["text"], one["label"]) for one in json.loads(cell)] for cell in table.frame["entities"]]
    assert told == [[("EU", "ORG"), ("German", "MISC")], [("Peter Blackburn", "PER"), ("New York", "LOC")]]


@pytest.mark.parametrize("tags", ["B-LOC I-LOC B-LOC", "B-LOC E-LOC S-LOC", "B-LOC L-LOC U-LOC", "I-LOC I-LOC B-LOC"])
def test_every_scheme_of_tags_is_understood_and_chinese_has_no_spaces(tmp_path, tags):
    lines = [f"{sign}\tx\t{tag}" for sign, tag in zip("上海京", tags.split(), strict=True)]
    table = read(write(tmp_path / "t.txt", "我\tx\tO\n去\tx\tO\n\n" + "\n".join(lines) + "\n去\tx\tO\n"))
    assert table.frame["text"].to_list() == ["我去", "上海京去"]
    found = [(one["start"], one["end"], one["label"]) for one in json.loads(table.frame["entities"][1])]
    assert found == [(0, 2, "LOC"), (2, 3, "LOC")]


def test_documents_of_conll_stay_together(tmp_path):
    text = "-DOCSTART- -X- O O\n\n" + BIO + "\n-DOCSTART- -X- O O\n\n" + BIO
    table = read(write(tmp_path / "eng.train", text))
    assert table.group == "document" and dict(table.kinds) == {"text": "text"}
    assert table.frame["document"].to_list() == ["document 1"] * 2 + ["document 2"] * 2


def test_a_line_without_a_tag_makes_its_sentence_a_bad_row(tmp_path):
    many = BIO + "\n" + BIO + "\n" + BIO + "\n" + BIO
    path = write(tmp_path / "t.bio", many + "\n\nMary B-PER\nsings\n")
    with pytest.raises(UserError, match=r"row 50.*expected a token and its tag, got 'sings' in row 51"):
        read(path)
    assert read(path, on_bad_row="skip").frame.height == 8


@pytest.mark.parametrize(
    "sample",
    [
        "",
        "text label\na O\nb O\n",
        "a,b\n1,2\n\n3,4\n",
        "a B-x\nb I-x\nc I-x\n\n",
        "word tag\n\nother tag\nmore tag\nand tag\n",
    ],
)
def test_other_files_are_no_bio(sample):
    assert not is_bio(sample)
