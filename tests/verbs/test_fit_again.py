"""The same data, seed and threads give the same weights: at once, after Ctrl-C, and with --like."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import zaowu
from zaowu.errors import UserError
from zaowu.inputs.text.codec import Codec

SCRATCH = {"base": "none", "size": "mini", "settings": {"num_pieces": 300}, "epochs": 2, "batch_size": 4}
COMMON = {"threads": 1, "quiet": True, "lang": "en"}
FLAGS = ["--base", "none", "--size", "mini", "--set", "num_pieces=300", "--epochs", "2", "--batch-size", "4"]
FLAGS += ["--threads", "1", "--precision", "fp32"]


def command(news_csv: Path, out: Path) -> list[str]:
    fit = ["fit", str(news_csv), "--test", str(news_csv), "--out", str(out), *FLAGS]
    return [sys.executable, "-c", "from zaowu.cli import main; main()", *fit]


def weights(folder: Path) -> list[str]:
    names = ("tokenizer.json", "model.safetensors", "trunk/model.safetensors")
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]


def interrupt(arguments: list[str], times: int) -> int:
    """Ctrl-C in the second epoch, and the second one as soon as the first is answered."""
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 1"):
                process.send_signal(signal.SIGINT)
            if times == 2 and "Stopping" in line:
                process.send_signal(signal.SIGINT)
    return process.returncode


def test_stopped_resumed_and_repeated(news_csv, tmp_path, capsys):
    whole, once, twice, like = (tmp_path / name for name in ("whole", "once", "twice", "like"))
    scratch = {**SCRATCH, **COMMON, "test": str(news_csv), "precision": "fp32"}
    zaowu.fit(str(news_csv), out=whole, **scratch)
    assert interrupt(command(news_csv, once), 1) == 130
    assert (once / "report.html").is_file() and (once / "checkpoint").is_dir()
    assert zaowu.load(once).content.stopped == "stopped with Ctrl-C"
    assert interrupt(command(news_csv, twice), 2) == 130
    assert not twice.exists() and list((tmp_path / "twice.partial" / "checkpoint").glob("*/state.json"))
    for folder in (once, twice):
        capsys.readouterr()
        zaowu.fit(str(news_csv), out=folder, resume=True, **{**scratch, "quiet": False})
        assert "Going on from epoch 2" in capsys.readouterr().err
        assert not (folder / "checkpoint").exists()
    zaowu.fit(str(news_csv), out=like, like=whole, quiet=True, lang="en")
    assert weights(whole) == weights(once) == weights(twice) == weights(like)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["like", "once", "twice", "whole"]
    points = [json.loads(line) for line in (once / "log.jsonl").read_text("utf-8").splitlines()]
    assert [point["epoch"] for point in points] == [1, 2]


def test_pieces_from_scratch_are_repeatable(news):
    texts = [f"{text} English words, letters{number}" for number, (text, _) in enumerate(news)]
    assert len({json.dumps(Codec.train(texts, num_pieces=900).spec) for _ in range(4)}) == 1


def test_folds_that_are_done_survive_a_ctrl_c(news_csv, tmp_path, monkeypatch, capsys):
    from zaowu.errors import Stopped
    from zaowu.learn import Ready
    from zaowu.run import folds

    choices = {"base": "none", "size": "mini", "epochs": 1, "settings": {"num_pieces": 300}, "threads": 1}
    whole = zaowu.fit(str(news_csv), out=tmp_path / "whole", quiet=True, **choices)
    calls: list[str] = []
    pressed, make_ready = iter([False, False, True]), folds.make_ready

    class Pressed(Ready):
        def learn(self, **more):
            calls.append(more["label"])
            found = super().learn(**more)
            found.training.stopped = next(pressed, False)  # Ctrl-C in the third fold
            return found

    with monkeypatch.context() as patch:
        patch.setattr(folds, "make_ready", lambda *given, **more: Pressed(**vars(make_ready(*given, **more))))
        with pytest.raises(Stopped):
            zaowu.fit(str(news_csv), out=tmp_path / "broken", quiet=True, **choices)
        with pytest.raises(UserError, match="--resume"):
            zaowu.fit(str(news_csv), out=tmp_path / "broken", quiet=True, **choices)
        calls.clear()
        broken = zaowu.fit(str(news_csv), out=tmp_path / "broken", resume=True, **choices)
        assert calls == ["fold 3 of 5", "fold 4 of 5", "fold 5 of 5"]
        with pytest.raises(UserError, match="stands here already"):
            zaowu.fit(str(news_csv), out=tmp_path / "broken", quiet=True, **choices)
    assert "Fold 2 was done before" in capsys.readouterr().err
    assert broken.content.answers[0].evaluation == whole.content.answers[0].evaluation
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")
    assert not (tmp_path / "broken" / "checkpoint").exists()
