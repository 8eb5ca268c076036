"""`zaowu estimate fit` against the fit itself, and as a person meets it."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import pytest

import zaowu
from zaowu.config import DataConfig, FitConfig, TextConfig, TrainConfig
from zaowu.errors import UserError
from zaowu.inputs import guessers
from zaowu.learn import make_ready
from zaowu.records.prepare import prepare
from zaowu.verbs.estimate.fit import estimate_fit, fittings
from zaowu.verbs.fit import fit

SCRATCH = ("--base", "none", "--size", "mini", "--epochs", "1", "--set", "num_pieces=300", "--threads", "1")


def test_its_sizes_are_those_of_the_run(news_csv, other_csv, tiny_base, tiny_run):
    """`tiny_run` was fitted so."""
    found = estimate_fit(
        str(news_csv),
        test=str(other_csv),
        base=str(tiny_base),
        epochs=1,
        batch_size=32,
        quiet=True,
        threads=1,
        precision="fp32",
    )
    run = zaowu.load(tiny_run)
    assert found.num_parameters == run.model.num_parameters
    assert found.rows == {"train": 120, "test": 40}
    assert (found.trainings, found.epochs, found.batch_size, found.threads) == (1, 1, 32, 1)
    on_disk = sum(path.stat().st_size for path in tiny_run.rglob("*") if path.is_file())
    assert found.disk_bytes == pytest.approx(on_disk, rel=0.2)
    assert found.watt_hours == pytest.approx(65 * found.total_s / 3600)
    assert found.total_s > 0 and found.peak_bytes > 1e8


def test_its_tokens_and_steps_are_those_of_the_training(news_csv):
    text = TextConfig(base="none", size="mini", num_pieces=300)
    config = FitConfig(text=text, train=TrainConfig(epochs=2, batch_size=16, threads=1))
    prepared = prepare(str(news_csv), DataConfig(), guessers=guessers(), cross_validate_below=0)
    ready = make_ready(prepared.train, prepared.valid, config, known=prepared.whole)
    (told,) = fittings(prepared, ready, config)
    training = ready.learn().training
    assert (told.num_tokens, told.num_steps) == (training.num_tokens, training.num_steps)


def test_folds_are_five_more_trainings_on_the_other_rows(news_csv):
    config = FitConfig(text=TextConfig(base="none", size="mini", num_pieces=300), train=TrainConfig(time_limit=60.0))
    prepared = prepare(str(news_csv), DataConfig(), guessers=guessers())
    ready = make_ready(prepared.train, prepared.valid, config, known=prepared.whole)
    final, *folds = fittings(prepared, ready, config)
    assert len(folds) == 5
    assert sum(len(fold.asked) for fold in folds) == len(final.lengths) == 120
    assert all(len(fold.asked) + len(fold.lengths) == 120 for fold in folds)
    assert final.time_limit == 60 and all(fold.time_limit == 10 for fold in folds)
    whole = replace(prepared, folds=None)
    assert len(fittings(whole, ready, config)) == 1


def test_the_command_prints_a_table_or_one_document(command, news_csv):
    table = command("estimate", "fit", news_csv, *SCRATCH)
    assert table.code == 0
    names = ("rows", "parameters", "training", "tokens", "FLOPs", "time", "peak memory", "disk", "energy")
    assert [line.split("  ")[0] for line in table.out.splitlines()] == list(names)
    assert "assuming 65 W" in table.out and "6 trainings of at most 1 epoch" in table.out
    found = json.loads(command("estimate", "fit", news_csv, *SCRATCH, "--watts", 200, "--json").out)
    assert found["watts"] == 200 and found["energy_wh"] == pytest.approx(200 * found["total_s"] / 3600)
    assert found["total_s"] == pytest.approx(sum(found["seconds"].values()))
    assert found["peak_bytes"] == pytest.approx(sum(found["memory"].values()))


def test_every_fit_says_what_it_will_take(command, news_csv, other_csv, tmp_path):
    done = command("fit", news_csv, *SCRATCH, "--test", other_csv, "--out", tmp_path / "run")
    assert done.code == 0
    lines = done.err.splitlines()
    first = next(place for place, line in enumerate(lines) if "FLOPs" in line)
    assert lines[first + 1].startswith("At most ") and "assuming 65 W" in lines[first + 2]
    assert first < next(place for place, line in enumerate(lines) if line.startswith("epoch 1"))
    quiet = command("fit", news_csv, *SCRATCH, "--test", other_csv, "--out", tmp_path / "other", "--quiet")
    assert quiet.code == 0 and not quiet.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--watts", "0"], "--watts: expected a number above 0, got 0."),
        (["--watts", "nan"], "--watts"),
        (["--target", "labl"], "label"),
        (["--size", "huge"], "--size"),
        (["--epochs", "0"], "--epochs"),
    ],
)
def test_what_cannot_be_estimated_is_the_persons_input(flags, words, command, news_csv):
    done = command("estimate", "fit", news_csv, "--base", "none", *flags)
    assert (done.code, done.out) == (2, "")
    assert words in done.err and "Traceback" not in done.err


def test_a_file_that_is_not_there(command, tmp_path):
    assert command("estimate", "fit", tmp_path / "absent.csv", "--base", "none").code == 2
    with pytest.raises(UserError, match="absent"):
        estimate_fit(str(tmp_path / "absent.csv"), base="none", quiet=True)


def test_its_parameters_are_those_of_fit_and_of_the_command():
    from zaowu.cli import estimate

    own = dict(inspect.signature(estimate_fit).parameters)
    theirs = inspect.signature(fit).parameters
    typed = inspect.signature(estimate.fit).parameters
    assert typed.keys() - {"as_json"} == {{"columns": "column"}.get(name, name) for name in own}
    assert typed["watts"].default == own.pop("watts").default
    assert theirs.keys() - own.keys() == {"like", "resume", "overwrite", "out", "lang"}
    assert {name: p.default for name, p in own.items()} == {name: theirs[name].default for name in own}
