"""The data gate as a person meets it."""

from __future__ import annotations

import json

import polars as pl
import pytest

from zaowu.errors import UserError
from zaowu.verbs.check import check

TRAIN = (
    "编号,标题,类别\n1,姚明宣布退役了,体育\n2,姚明宣布退役了 ,体育\n3,苹果发布新手机,科技\n4,苹果发布新手机,体育\n"
    "5,,科技\n6,国足再次输球,\n7,芯片工厂开工,科技\n8,乒乓球队夺冠,体育\n9,航天飞船返回,航天\n"
)
TEST = "编号,标题,类别\n1,芯片工厂开工,科技\n2,全新的一条标题,军事\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "train.csv").write_text(TRAIN, "utf-8")
    (tmp_path / "test.csv").write_text(TEST, "utf-8")
    return str(tmp_path / "train.csv"), str(tmp_path / "test.csv")


def test_what_is_found(files):
    train, test = files
    result = check(train, test=test, quiet=True)
    plain = result.to_plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["rows"] == 7 + 2
    assert plain["duplicates_within"] == 2
    assert plain["duplicates_across"] == 1
    assert plain["conflicting_labels"] == 2
    assert plain["skipped"] == {"标题: expected a text": 1, "类别: expected a label": 1}
    assert plain["one_member_classes"] == ["航天"]
    assert plain["unseen_labels"] == {"test": {"军事": 1}}
    assert [column["role"] for column in plain["columns"]] == ["ignored", "input", "target"]
    assert plain["problems"] is result.problems is True


def test_it_is_said_in_sentences(files):
    train, test = files
    text = "\n".join(check(train, test=test, quiet=True).lines())
    assert f"train ({train}): 7 usable rows, 6 to 8 characters" in text
    assert "3 classes: 体育 4, 科技 2, 航天 1." in text
    assert "row 6, column '标题': expected a text, got nothing" in text
    assert "train: 2 rows more than there are different contents." in text
    assert "'姚明宣布退役了' (体育): rows train 2, train 3" in text
    assert "test: 1 row with a content of train; a score on them is too good to be true." in text
    assert "2 rows whose content stands elsewhere with another label." in text
    assert "test: 1 row with labels that train lacks: '军事'." in text


def test_nothing_to_look_at(tmp_path):
    path = tmp_path / "fine.csv"
    path.write_text("text,label\n好球进了球门,体育\n芯片今天发布,科技\n两队战平收场,体育\n火箭今晨升空,科技\n", "utf-8")
    result = check(path, quiet=True)
    assert not result.problems
    assert result.lines()[-1] == "Nothing needs to be looked at."


def test_notes_of_reading_are_shown(tmp_path):
    path = tmp_path / "gb.tsv"
    path.write_bytes(
        "好球进了球门\t体育\n芯片今天发布\t科技\n两队战平收场\t体育\n火箭今晨升空\t科技\n".encode("gb18030")
    )
    notes = " ".join(check(path, quiet=True).notes)
    assert "Read as GB18030." in notes
    assert "No header" in notes


def test_it_refuses_what_fit_refuses(tmp_path, files):
    path = tmp_path / "bad.csv"
    path.write_text("text,label\none two,x\nthree four,y,z\nfive six,y\n", "utf-8")
    with pytest.raises(UserError, match="row 3: expected 2 fields, got 3"):
        check(path, quiet=True)
    result = check(path, on_bad_row="skip", quiet=True)
    assert result.findings.skipped["train"] == {"expected 2 fields": 1}
    assert result.problems
    train, _ = files
    with pytest.raises(UserError, match="row 6"):
        check(train, on_bad_row="stop", quiet=True)
    with pytest.raises(UserError, match="no column '标题', the input"):
        check(train, test=str(path), on_bad_row="skip", quiet=True)


def test_columns_can_be_named(files):
    train, _ = files
    for columns in (["编号:kind=text"], {"编号": "text"}):
        result = check(train, columns=columns, target="类别", ignore=["标题"], quiet=True)
        assert [column.name for column in result.schema.inputs] == ["编号"]
        assert result.findings.duplicates_within == 0


def test_a_group_is_no_input(files):
    result = check(files[0], group="编号", quiet=True)
    assert [column.name for column in result.schema.named("group")] == ["编号"]


def test_frames_are_taken_too():
    frame = pl.DataFrame({"text": ["好球进了球门", "芯片今天发布"] * 2, "label": ["体育", "科技"] * 2})
    assert check(frame, quiet=True).findings.duplicates_within == 2


def test_quiet_and_not(files, capsys):
    check(files[0], quiet=True)
    assert capsys.readouterr() == ("", "")
    check(files[0])
    out, err = capsys.readouterr()
    assert out == ""
    assert files[0] in err
