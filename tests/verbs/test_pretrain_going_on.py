"""`zaowu pretrain` that is stopped or called again: what stays, what goes, and what the person is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import zaowu
from zaowu.batching.shards import make
from zaowu.errors import Stopped, UserError

QUICK = {"size": "mini", "length": 32, "steps": 2, "batch_size": 8, "threads": 1, "quiet": True, "precision": "fp32"}
QUICK |= {"lang": "en", "settings": {"held_out": 0.2}}
FLAGS = ["--size", "mini", "--length", "32", "--steps", "2", "--batch-size", "8", "--threads", "1"]
FLAGS += ["--set", "held_out=0.2"]


@pytest.fixture(scope="module")
def corpus(news, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(0, 60, 3):
        (folder / f"{number:03d}.txt").write_text("\n\n".join(text for text, _ in news[number : number + 3]), "utf-8")
    return folder


@pytest.fixture(scope="module")
def first(corpus, tmp_path_factory) -> Path:
    """A base beside its shards, which were to stay, and have the name that passing ones would have."""
    folder = tmp_path_factory.mktemp("first")
    assert zaowu.pretrain(corpus, out=folder / "base", shards=folder / "base.shards", **QUICK)
    return folder


def copied(first: Path, to: Path) -> Path:
    shutil.copytree(first, to, dirs_exist_ok=True)
    return to / "base"


def test_shards_that_were_to_stay_stay(corpus, first, tmp_path, command):
    base = copied(first, tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "base.shards").glob("*.*")}
    ended = command("pretrain", corpus, "--out", base, "--overwrite", *FLAGS)
    assert ended.code == 0 and "kept with --shards" in ended.err
    assert {path.name: path.read_bytes() for path in (tmp_path / "base.shards").glob("*.*")} == before


def test_shards_that_nobody_asked_for_go(corpus, tmp_path):
    zaowu.pretrain(corpus, out=tmp_path / "base", **QUICK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]


def test_shards_that_are_asked_for_later_stay(corpus, tmp_path, monkeypatch):
    """A call without --shards is stopped, and the next one names its folder."""
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr("zaowu.verbs.pretrain.make_ready", _stopped)
        zaowu.pretrain(corpus, out=tmp_path / "base", **QUICK)
    zaowu.pretrain(corpus, out=tmp_path / "base", shards=tmp_path / "base.shards", **QUICK)
    zaowu.pretrain(corpus, out=tmp_path / "base", overwrite=True, **QUICK)
    assert (tmp_path / "base.shards" / "shards.json").is_file()


def _stopped(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_while_tokenising_says_how_to_go_on(corpus, first, tmp_path, command, monkeypatch):
    fresh, base = tmp_path / "fresh", copied(first, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "base.shards")
    with monkeypatch.context() as patch:
        patch.setattr(make._Building, "_write", _stopped)
        for more, how in (
            ((fresh,), "and --resume."),
            ((fresh, "--shards", tmp_path / "shards"), "command again."),
            ((base, "--overwrite"), f"and --shards {base}.shards."),
            ((fresh, "--shards", tmp_path / "shards", "--part", "1/2"), "command again."),
        ):
            ended = command("pretrain", corpus, *FLAGS, "--out", *more)
            assert ended.code == 130 and "Go on with the same command" in ended.err and how in ended.err
    assert command("pretrain", corpus, *FLAGS, "--out", fresh, "--resume").code == 0
    ended = command("pretrain", corpus, *FLAGS, "--out", base, "--overwrite", "--shards", f"{base}.shards")
    assert ended.code == 0


def test_a_stopped_run_of_other_settings_is_refused_before_anything_is_copied(corpus, first, tmp_path):
    base = copied(first, tmp_path)
    place = base / "checkpoint" / "000000001"
    place.mkdir(parents=True)
    (place / "state.json").write_text(json.dumps({"identity": {"objective": "mlm"}}), "utf-8")
    before = sorted(path.relative_to(base) for path in base.rglob("*"))
    with pytest.raises(UserError, match="not the run that was interrupted"):
        zaowu.pretrain(corpus, out=base, shards=tmp_path / "base.shards", resume=True, **QUICK)
    assert not (tmp_path / "base.partial").exists()
    assert sorted(path.relative_to(base) for path in base.rglob("*")) == before


def test_shards_that_cannot_be_written_are_told_by_their_flag(corpus, tmp_path, command):
    (tmp_path / "file").touch()
    for part in ((), ("--part", "1/2")):
        ended = command("pretrain", corpus, "--out", tmp_path / "base", "--shards", tmp_path / "file" / "a", *part)
        assert ended.code == 2 and "Choose another folder with --shards" in ended.err and "--out" not in ended.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.update(counts=[]), "expected an object for Counts"),
        (lambda data: data["counts"].update(documents="many"), "'documents': expected int"),
        (lambda data: data["counts"].update(held_out=-1), "expected 'held_out' to be at least 0"),
        (lambda data: data["counts"].update(skipped=["a"]), "'skipped': expected an object"),
        (lambda data: data["counts"].update(more=1), "unknown setting 'more'"),
        (lambda data: data["shards"][0].update(by_source=[1]), "by source"),
        (lambda data: data["made"]["sources"][0].update(weight=0), "above 0"),
    ],
)
def test_a_damaged_list_of_shards_is_one_sentence(change, words, corpus, first, tmp_path, command):
    shards = tmp_path / "shards"
    shutil.copytree(first / "base.shards", shards)
    data = json.loads((shards / "shards.json").read_text("utf-8"))
    change(data)
    (shards / "shards.json").write_text(json.dumps(data), "utf-8")
    ended = command("pretrain", corpus, "--out", tmp_path / "base", "--shards", shards, *FLAGS)
    assert ended.code == 2 and "shards.json" in ended.err and words in ended.err, ended.err
