"""Tables from a file to a report: numbers, dates in three formats, infinities, columns that hold nothing."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from zaowu import bases
from zaowu.run.load import load
from zaowu.verbs.evaluate import evaluate
from zaowu.verbs.fit import fit
from zaowu.verbs.predict import predict

NUM_ROWS = 90
QUICK = {"target": "churn", "quiet": True, "epochs": 1, "threads": 1}


def rows(seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=NUM_ROWS)
    months, plans = rng.integers(1, 13, NUM_ROWS), rng.choice(["basic", "plus", "pro"], NUM_ROWS)
    forms = ("2023-{m:02d}-05", "5.{m}.2023", "2023年{m}月5日")
    return pl.DataFrame(
        {
            "since": [forms[k % 3].format(m=months[k]) for k in range(NUM_ROWS)],
            "x": ["inf" if k % 15 == 0 else "-inf" if k % 15 == 1 else f"{numbers[k]:.3f}" for k in range(NUM_ROWS)],
            "plan": plans,
            "vip": rng.choice(["true", "false"], NUM_ROWS),
            "nothing": [""] * NUM_ROWS,
            "same": ["always"] * NUM_ROWS,
            "spend": [f"{value:,.2f}" for value in rng.lognormal(7, 1, NUM_ROWS)],
            "churn": np.where((months > 6) ^ (rng.random(NUM_ROWS) < 0.1), "yes", "no"),
        }
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "churn.csv"
    rows().write_csv(path)
    return path


@pytest.fixture(scope="module")
def run(table):
    return fit(table, out=table.parent / "run", **QUICK)


def test_every_column_is_taken_for_what_it_is_and_the_report_says_what_was_left_out(run):
    assert {column.name: (column.role, column.kind) for column in run.schema.columns} == {
        "since": ("input", "date"),
        "x": ("input", "number"),
        "plan": ("input", "category"),
        "vip": ("input", "category"),
        "nothing": ("ignored", "empty"),
        "same": ("input", "category"),
        "spend": ("input", "number"),
        "churn": ("target", "category"),
    }
    assert "column 'x': infinite values count as missing (12)." in run.content.notes
    assert "column 'same': nothing that tells rows apart, so it is left out." in run.content.notes
    assert run.source.groups["table"].tokens == ("x", "spend", "since", "plan", "vip")


def test_three_cheap_methods_stand_beside_it_and_the_first_line_names_the_strongest(run):
    [answer] = run.content.answers
    assert list(answer.baselines) == list(answer.comparison) == ["majority", "linear", "boosting"]
    assert answer.baselines["boosting"]["accuracy"] > 0.75 > answer.evaluation["accuracy"]
    assert run.lines()[0].startswith("The cheap baseline wins: ")
    assert {"linear model", "gradient boosting"} & {run.lines()[0].split(": ")[1].split(" names")[0]}
    page = (run.folder / "report.html").read_text("utf-8")
    assert "gradient boosting" in page and "linear model" in page and "num_pieces" not in page


def test_it_opens_again_and_answers_the_same(run, table):
    again = load(run.folder)
    for ours, theirs in ((run, again), (again, load(run.folder))):
        frames = [each.predict(table).to_frame().get_column("confidence").to_numpy() for each in (ours, theirs)]
        np.testing.assert_array_equal(*frames)
    found = evaluate(run.folder, table, quiet=True).to_plain()
    assert list(found["baselines"]) == ["majority", "linear", "boosting"] and found["rows"] == NUM_ROWS


def test_cells_that_nobody_has_seen_are_answered(run, tmp_path):
    odd = tmp_path / "odd.csv"
    header = "since,x,plan,vip,nothing,same,spend"
    odd.write_text(f"{header}\n99.99.9999,inf,gold,perhaps,,never,abc\n,,,,,,\n", "utf-8")
    assert predict(run.folder, odd, out=tmp_path / "said.csv", quiet=True).rows == 2
    found = run.predict(odd)
    assert len(found) == 2 and np.isfinite(found.prediction.confidence).all()


def test_folds_do_not_repeat_what_was_said(table, capsys):
    fit(table, out=table.parent / "loud", **QUICK | {"quiet": False})
    assert capsys.readouterr().err.count("column 'same': nothing that tells rows apart") == 1


def test_a_column_that_knows_the_answer_is_said_everywhere(table, tmp_path, command):
    leak = tmp_path / "leak.csv"
    pl.read_csv(table).with_columns(closed=(pl.col("churn") == "yes").cast(pl.Int8)).write_csv(leak)
    found = command("check", leak, "--target", "churn")
    assert found.code == 1 and "'closed' alone tells 'churn' right in 100.0%" in found.out
    honest = command("check", leak, "--target", "churn", "--ignore", "closed")
    assert honest.code == 0 and "leak:" not in honest.out.replace(str(leak), "")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["--target", "x", "--column", "x:kind=date"], "kind 'date' is not one of category, tags, number"),
        (["--target", "x", "--group", "x"], "column 'x' cannot be both --target and --group"),
        (
            ["--target", "churn", "--column", "nothing:kind=image"],
            "column 'nothing': expected images to learn from, got none.",
        ),
    ],
)
def test_a_target_that_is_also_something_else_is_one_sentence(table, tmp_path, command, said, expected):
    found = command("fit", table, *said, "--epochs", 1, "--out", tmp_path / "none")
    assert found.code == 2 and found.out == ""
    assert expected in found.err and "Traceback" not in found.err and not (tmp_path / "none").exists()


def test_the_kind_of_the_answer_may_be_named_and_it_is_no_input_then(table, tmp_path):
    run = fit(table, **QUICK | {"target": "x"}, columns=["x:kind=number"], out=tmp_path / "run")
    assert [column.name for column in run.schema.targets] == ["x"]
    assert "x" not in run.source.columns
    assert list(json.loads((run.folder / "metrics.json").read_text("utf-8"))["answers"][0]["baselines"]) == [
        "mean",
        "linear",
        "boosting",
    ]


def test_a_table_without_texts_needs_no_base(monkeypatch, tmp_path):
    """Nothing is looked for, let alone fetched: the usual base reads texts, and there are none."""
    monkeypatch.setattr(bases, "resolve", lambda name, **more: pytest.fail(f"{name} was asked for"))
    run = fit(rows(), **QUICK, out=tmp_path / "run")
    assert (run.folder / "report.html").is_file()
    with pytest.raises(pytest.fail.Exception):
        fit(rows().with_columns(note=pl.lit("a longer text about ") + pl.col("x")), **QUICK,
            columns=["note:kind=text"], out=tmp_path / "other")  # fmt: skip
