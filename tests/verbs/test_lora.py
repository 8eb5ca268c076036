"""`zaowu fit --lora`: it learns, it goes on after an interruption, it takes less memory, and what cannot be is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import zaowu
from zaowu.config import FitConfig, TextConfig, TrainConfig
from zaowu.errors import UserError
from zaowu.inputs import cleaners, guessers
from zaowu.learn import make_ready
from zaowu.records.prepare import prepare
from zaowu.train.checkpoint import Checkpoint
from zaowu.train.labelled import train

HOW = {"precision": "fp32", "threads": 1, "quiet": True, "lang": "en"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Texts whose class is one of their characters, which a random base knows nothing of."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("lora")

    def write(name: str, num: int) -> str:
        labels = rng.choice(["yes", "no"], num)
        words = ["".join(rng.choice(list("abcdefgh"), 6)) + {"yes": "x", "no": "z"}[label] for label in labels]
        rows = [f"{' '.join(rng.permutation(list(text)))},{label}" for text, label in zip(words, labels, strict=True)]
        (folder / name).write_text("text,label\n" + "\n".join(rows) + "\n", "utf-8")
        return str(folder / name)

    return write("train.csv", 300), write("test.csv", 60), folder


def ready_of(made, tiny_base, *, lora: int | None, **choices):
    config = FitConfig(
        text=TextConfig(base=str(tiny_base), lora=lora, trim_vocab="off"),
        train=TrainConfig(precision="fp32", threads=1, epochs=2, **choices),
    )
    config = replace(config, data=replace(config.data, test=made[1]))
    prepared = prepare(made[0], config.data, guessers=guessers(), cleaners=cleaners())
    return make_ready(prepared.train, prepared.test, config)


def test_a_made_task_is_learned_and_the_base_is_left_alone(made, tiny_base):
    train_csv, test_csv, folder = made
    run = zaowu.fit(train_csv, test=test_csv, base=str(tiny_base), lora=4, epochs=12, out=folder / "run", **HOW)
    assert run.summary()["accuracy"] > 0.9
    assert run.config.train.lr == 1e-3, "ten times the rate of all weights"
    base, after = load_file(tiny_base / "model.safetensors"), load_file(folder / "run" / "trunk" / "model.safetensors")
    changed = {name for name in after if "word_embeddings" not in name and not torch.equal(base[name], after[name])}
    assert len(changed) == 12 and all(name.endswith(".weight") and "LayerNorm" not in name for name in changed)
    again = zaowu.load(folder / "run")
    texts = ["a b x c d e", "h g z a b c"]
    found, wanted = (one.predict(texts).prediction.probabilities for one in (again, run))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    config = json.loads((folder / "run" / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert config["r"] == 4 and config["lora_alpha"] == 8 and len(config["target_modules"]) == 6


def test_going_on_is_as_if_nothing_had_happened(made, tiny_base, tmp_path, monkeypatch):
    """Interrupted after a checkpoint in the midst of an epoch; frozen weights are not in it."""
    ready = ready_of(made, tiny_base, lora=2, checkpoint_steps=7)
    whole = ready.learn()

    class Halted(Exception):
        pass

    checkpoint = Checkpoint(tmp_path)
    save = checkpoint.save

    def halting(*given) -> None:
        save(*given)
        if given[3]["step"] >= 14:
            raise Halted

    monkeypatch.setattr(checkpoint, "save", halting)
    model = ready.model()
    with pytest.raises(Halted):
        train(
            model,
            ready.source,
            ready.part,
            ready.validation,
            ready.settings,
            checkpoint=checkpoint,
            head_start=ready.ahead,
        )
    monkeypatch.undo()
    kept = load_file(checkpoint.found[0] / "model.safetensors")
    assert kept and all(name.endswith((".lora_a", ".lora_b")) or name.startswith("heads.") for name in kept)
    moments = load_file(checkpoint.found[0] / "optimizer.safetensors")
    assert {name.rpartition("/")[0] for name in moments} == kept.keys()
    gone_on = ready.learn(checkpoint=Checkpoint(tmp_path))
    for (name, ours), other in zip(whole.model.state_dict().items(), gone_on.model.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-6, atol=1e-7, msg=name)


def test_only_adapters_and_the_last_layer_have_moments(made, tiny_base):
    from zaowu.train.optim import Optimizer

    ready = ready_of(made, tiny_base, lora=2)
    model = ready.model()
    optimizer = Optimizer(model, TrainConfig(lr=1e-3))
    assert not optimizer.tables
    learned = sum(weight.numel() for _, weight in optimizer.named)
    layers = 2 * (4 * 2 * (32 + 32) + 2 * 2 * (32 + 64))
    assert learned == layers + 2 * 32 + 2 == ready.num_adapted(ready.new_model())


def test_other_columns_learn_beside_it(made, tiny_base, tmp_path):
    """No base knows them: their embedders and the marks of the groups are not left as chance made them."""
    lines = Path(made[0]).read_text("utf-8").splitlines()
    rows = [f"{line},{number % 7 / 3}" for number, line in enumerate(lines[1:])]
    (tmp_path / "both.csv").write_text("text,label,size\n" + "\n".join(rows) + "\n", "utf-8")
    ready = ready_of((str(tmp_path / "both.csv"), None), tiny_base, lora=2)
    model = ready.model()
    learned = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert "marks.weight" in learned and any(name.startswith("embedders.table.") for name in learned)
    assert not any(name.startswith("embedders.text.") for name in learned)
    assert ready.num_adapted(ready.new_model()) == sum(model.get_parameter(name).numel() for name in learned)
    before = model.marks.weight.detach().clone()
    assert not torch.equal(before, ready.learn().model.marks.weight)


def test_the_last_layer_is_fitted_ahead_and_the_base_stays(made, tiny_base):
    ready = ready_of(made, tiny_base, lora=2)
    assert ready.ahead
    base = ready.model().state_dict()
    learned = ready.learn()
    first = learned.training.history[0]
    assert (first.step, first.train_loss) == (0, None) and first.valid["accuracy"] > 0.6
    after = learned.model.state_dict()
    layers = {f"trunk.{name}.weight" for name in learned.adapters.pairs}
    same = {name for name in after if not name.startswith("heads.") and torch.equal(base[name], after[name])}
    assert {name for name in after if not name.startswith("heads.")} - same <= layers


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"base": "none", "lora": 4}, "--lora: adapts a base"),
        ({"lora": 0}, "--lora: expected 1 to 1024"),
        ({"lora": 2, "settings": {"lora_alpha": -1}}, "--set lora_alpha: expected 0.001"),
    ],
)
def test_refusals(made, tiny_base, choices, words, tmp_path):
    with pytest.raises(UserError, match=words):
        zaowu.fit(made[0], **{"base": str(tiny_base), **choices}, out=tmp_path / "run", **HOW)


def test_the_command(made, tiny_base, tmp_path, command):
    done = command(
        *("fit", made[0], "--test", made[1], "--base", tiny_base, "--lora", 2, "--epochs", 1, "--threads", 1),
        *("--set", "lora_alpha=16", "--out", tmp_path / "run", "--precision", "fp32"),
    )
    assert done.code == 0
    config = json.loads((tmp_path / "run" / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert (config["r"], config["lora_alpha"]) == (2, 16)
