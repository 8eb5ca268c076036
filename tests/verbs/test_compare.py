"""Several models side by side: paired where the rows are the same, honest where they are not."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

import zaowu
from zaowu.errors import UserError
from zaowu.verbs.compare import compare


@pytest.fixture(scope="module")
def runs(tiny_run, news_csv, other_csv, tmp_path_factory):
    """`tiny_run`, and a second model that has learned more."""
    folder = tmp_path_factory.mktemp("runs") / "second"
    zaowu.fit(
        str(news_csv),
        test=str(other_csv),
        base="none",
        size="mini",
        epochs=8,
        out=folder,
        quiet=True,
        threads=1,
        lang="en",
    )
    return [tiny_run, folder]


def test_scores_are_paired_on_the_same_rows(runs, other_csv, tmp_path):
    found = compare(runs, data=str(other_csv), out=tmp_path / "page.html", quiet=True, threads=1)
    (content,) = found.contents
    truth = pl.read_csv(other_csv)["label"].to_list()
    said = [zaowu.load(run).predict(str(other_csv)).prediction.labels for run in runs]
    right = [np.array([a == b for a, b in zip(answers, truth, strict=True)], float) for answers in said]
    for model, values in zip(content.models, right, strict=True):
        assert model.score == pytest.approx(values.mean()) and model.low <= model.score <= model.high
        assert model.rows == len(truth) and model.rows_per_s > 0
    assert content.models[0].lead is None
    lead, low, high = content.models[1].lead
    assert lead == pytest.approx(right[1].mean() - right[0].mean()) and low <= lead <= high
    assert content.num_disagreements == sum(a != b for a, b in zip(*said, strict=True)) > 0
    for row in content.disagreements:
        place = truth_row = row.row - 2  # below the header
        assert row.truth == truth[truth_row] and row.answers == tuple(answers[place] for answers in said)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert content.disagreements[0].text in page and "http" not in page.replace("http-equiv", "").replace("w3.org", "")


def test_without_data_nothing_is_called_a_difference(runs, tmp_path):
    found = compare(runs, out=tmp_path / "page.html", quiet=True)
    (content,) = found.contents
    assert all(model.lead is None for model in content.models) and content.num_disagreements is None
    assert any("--data" in line for line in found.lines())
    reported = json.loads((runs[0] / "metrics.json").read_text("utf-8"))["answers"][0]["evaluation"]["accuracy"]
    assert content.models[0].score == reported


def test_two_copies_of_one_model_are_equal(runs, other_csv, tmp_path):
    copy = shutil.copytree(runs[0], tmp_path / "copy")
    found = compare([runs[0], copy], data=str(other_csv), out=tmp_path / "page.html", quiet=True, threads=1)
    (content,) = found.contents
    assert content.models[1].lead == (0, 0, 0) and content.num_disagreements == 0
    assert any("may be noise" in line for line in found.lines())


def test_its_page_speaks_chinese_and_its_json_is_whole(runs, other_csv, tmp_path):
    found = compare(runs, data=str(other_csv), out=tmp_path / "page.html", quiet=True, lang="zh", threads=1)
    assert "模型比较" in (tmp_path / "page.html").read_text("utf-8")
    plain = json.loads(json.dumps(found.to_plain(), allow_nan=False))
    assert set(plain["targets"]) == {"label"} and len(plain["targets"]["label"]["models"]) == 2


def test_what_cannot_be_compared_is_refused(runs, other_csv, tmp_path):
    with pytest.raises(UserError, match="at least two runs"):
        compare([runs[0]])
    with pytest.raises(UserError, match="no folder"):
        compare(runs, out=tmp_path / "nowhere" / "page.html")
    rows = [{"text": f"第{k}条新闻 {k % 2}", "kind": "ab"[k % 2]} for k in range(40)]
    other = tmp_path / "other"
    zaowu.fit(rows, target="kind", base="none", size="mini", epochs=1, out=other, quiet=True, threads=1)
    with pytest.raises(UserError, match="same column"):
        compare([runs[0], other], quiet=True)
    with pytest.raises(UserError, match="label"):
        compare(runs, data={"text": ["一条"]}, out=tmp_path / "page.html", quiet=True)
