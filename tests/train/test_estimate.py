"""What is foretold of a training against independent counts, and what is measured against the cache."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from zaowu.bases.cache import home
from zaowu.config import AttentionConfig, ModelConfig, PositionConfig, TrainConfig, TrunkConfig
from zaowu.model import Model
from zaowu.targets import sum_losses
from zaowu.targets.category import Category
from zaowu.train.estimate import cost, probe as probes
from zaowu.train.estimate.machine import allocated_bytes
from zaowu.train.estimate.probe import Probe, Shape, Step, probe
from zaowu.train.optim import Optimizer
from zaowu.trunk.transformer.encoder import Encoder

TRUNK = TrunkConfig(
    dim=16,
    num_layers=3,
    ffn_dim=40,
    positions=PositionConfig(max_positions=64),
    attention=AttentionConfig(num_heads=4, dropout=0.1),
)
CPU = torch.device("cpu")
SHAPES = {"train": [Shape(4, 16)], "predict": [Shape(4, 16)]}


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZAOWU_HOME", str(tmp_path))


def fitting(lengths, **choices) -> cost.Fitting:
    lengths = np.asarray(lengths)
    nothing = np.empty(0, np.int64)
    given = {"valid": nothing, "asked": nothing, "epochs": 2, "batch_size": 2} | choices
    return cost.Fitting(lengths=lengths, ids=np.arange(len(lengths), dtype=np.uint64), **given)


def sizes(**changes) -> cost.Sizes:
    return replace(cost.Sizes(trunk=TRUNK, num_weights=10_000, table_rows=100, touched=np.arange(10)), **changes)


def measured(**changes) -> Probe:
    given = {"fresh_s": 0.0, "fresh_bytes": 0.0, "dense_s": 0.0, "build_s": 0.0, "zeros_share": 0.0, "library_s": 0.0}
    given |= {"library_bytes": 0.0, "train": {"2x8": Step(entry_s=0.0, layer_s=0.0)}, "predict": {}, **changes}
    return Probe(identity={}, **given)


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@pytest.mark.parametrize("groups", [0, 2])
def test_the_products_of_a_forward_pass_are_those_that_torch_counts(activation, groups):
    trunk = replace(TRUNK, activation=activation, attention=AttentionConfig(num_heads=4, num_groups=groups))
    batch, length = 3, 64  # from here on attention is one call of torch's, which "math" does by products it counts
    every = torch.ones(batch, length, dtype=torch.bool)
    places = torch.arange(length).expand(batch, length)
    vectors = torch.randn(batch, length, trunk.dim)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        Encoder(trunk).eval()(vectors, mask=every, positions=places, segments=torch.zeros_like(places))
    assert cost.flops(trunk, batch * length, batch * length**2) == counter.get_total_flops()


def test_a_training_takes_three_forward_passes_a_token_and_one_for_every_answer():
    """By hand: two layers of width 2, inner width 3. A token: 2 (4 4 + 2 6) = 56 a layer, and 4 T 2 = 8 T."""
    trunk = TrunkConfig(dim=2, num_layers=2, ffn_dim=3, attention=AttentionConfig(num_heads=1))
    forward = 2 * (56 * 5 + 8 * 25)  # of one record of five tokens
    given = fitting([5, 5, 5], valid=np.array([5]), asked=np.array([5, 5]), epochs=4)
    assert cost.fit_flops(given, trunk) == forward * (3 * 4 * 3 + (4 + 1) * 1 + 2)


def test_seconds_are_tokens_times_layers_and_what_each_step_costs():
    step = Step(entry_s=0.5, layer_s=0.25)  # three layers: 1.25 s a token
    found = measured(train={"2x8": step}, predict={"2x8": Step(entry_s=0.1, layer_s=0.0)}, dense_s=1e-3)
    given = fitting([8, 8, 4], valid=np.array([10]), asked=np.array([30]))
    seconds = cost.fit_seconds(given, sizes(), found)
    dense = 10_000 - 100 * 16
    assert seconds.training == pytest.approx(2 * 20 * 1.25 + 4 * dense * 1e-3)
    assert seconds.validating == pytest.approx(2 * 10 * 0.1)
    assert seconds.answering == pytest.approx((10 + 30) * 0.1)
    limited = cost.fit_seconds(replace(given, time_limit=10.0), sizes(), found)
    assert limited.training <= 10


def test_between_two_shapes_a_token_costs_what_lies_between():
    steps = {"2x8": Step(entry_s=1.0, layer_s=0.0), "2x16": Step(entry_s=3.0, layer_s=0.0)}
    found = cost.fit_seconds(fitting([12], epochs=1), sizes(), measured(train=steps))
    assert found.training == pytest.approx(12 * 2.0)


def test_memory_is_weights_moments_best_weights_and_the_largest_batch():
    step = Step(entry_s=0.0, layer_s=0.0, entry_bytes=1000.0, layer_bytes=2000.0, copy_bytes=50.0)
    given = fitting([8, 8, 4], valid=np.array([10]), epochs=1)
    found = cost.fit_memory(given, sizes(), measured(train={"2x8": step}, fresh_bytes=7.0), fresh=5)
    largest = given.epoch().num_tokens.max()
    assert found.weights == found.kept == 40_000
    assert found.moments == 2 * (4 * (10_000 - 1600) + 4096)  # ten rows of 64 bytes lie in one page
    assert found.working == largest * (1000 + 3 * 2000)
    assert found.kernels == 3 * 50 + 5 * 7
    everything = cost.fit_memory(given, sizes(), measured(train={"2x8": step}, zeros_share=1.0), fresh=0)
    assert everything.moments == 2 * 40_000
    assert cost.fit_memory(replace(given, valid=np.empty(0, np.int64)), sizes(), measured(), fresh=0).kept == 0


def test_a_number_of_tokens_is_new_once_in_a_process():
    one = fitting([8, 8, 4, 4], valid=np.array([16, 30]), asked=np.array([46]))  # steps of 16 and 8 tokens
    other = fitting([8, 8, 8, 8])
    assert cost.num_fresh([one, other]) == 2 + 1 / 3  # both answers are one batch of 46
    near = fitting([255, 256, 257, 258, 259], batch_size=1)
    assert cost.num_fresh([near]) == 2  # products of 256 and, since above them they come in steps of 8, 264


def test_pages_of_rows():
    assert cost._pages(np.array([0, 1, 2]), 1024) == 1
    assert cost._pages(np.array([0, 4]), 1024) == 2
    assert cost._pages(np.array([1]), 3000) == 2  # bytes 3000 to 5999
    assert cost._pages(np.array([], np.int64), 1024) == 0


def test_what_autograd_keeps_grows_by_a_layer_as_foretold():
    """Counted here for a trunk of five layers; the probe has seen one and three."""
    bench = probes._Bench(TRUNK, CPU, torch.float32)
    step = bench.train(Shape(6, 16))
    model = Model({"text": probes._Ids()}, {"answer": Category.fit(["0", "1"])},
                  ModelConfig(trunk=replace(TRUNK, num_layers=5)))  # fmt: skip
    model.initialise(0)
    Optimizer(model, TrainConfig(lr=1e-6))  # the token table learns by touched rows, as in training
    batch, seed = bench._batch(Shape(6, 16))
    weights, kept = {weight.untyped_storage().data_ptr() for weight in model.parameters()}, {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = sum_losses(model.train().loss(batch, seed=seed))
    counted = sum(size for place, size in kept.items() if place not in weights)
    assert loss.requires_grad
    assert 6 * 16 * (step.entry_bytes + 5 * step.layer_bytes) == pytest.approx(counted, rel=0.03)


def test_a_probe_leaves_nothing_behind():
    """An output that its own graph holds would stay for ever: with a real base 64 MB each time."""
    bench = probes._Bench(TRUNK, CPU, torch.float32)
    kept = bench._kept(probes.MANY, Shape(64, 64))
    before = allocated_bytes()
    bench._kept(probes.MANY, Shape(64, 64))
    assert allocated_bytes() - before < kept / 20


def test_what_was_measured_is_not_measured_again(own_cache, monkeypatch):
    first = probe(TRUNK, **SHAPES, device=CPU, dtype=torch.float32)
    assert first.train.keys() == first.predict.keys() == {"4x16"}
    with monkeypatch.context() as patch:
        patch.setattr(probes, "_Bench", None)  # a bench would fail
        assert probe(TRUNK, **SHAPES, device=CPU, dtype=torch.float32) == first
        deeper = replace(TRUNK, num_layers=30)
        assert probe(deeper, **SHAPES, device=CPU, dtype=torch.float32) == first
        with pytest.raises(TypeError):
            probe(replace(TRUNK, ffn_dim=48), **SHAPES, device=CPU, dtype=torch.float32)
    more = probe(TRUNK, train=[Shape(4, 16), Shape(4, 24)], predict=[], device=CPU, dtype=torch.float32)
    assert more.train["4x16"] == first.train["4x16"] and more.train.keys() == {"4x16", "4x24"}
    assert not list((home() / "probes").glob("*.new"))


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"identity": {}}', "numbers", "other machine"])
def test_a_damaged_cache_is_measured_again(damage, own_cache):
    first = probe(TRUNK, **SHAPES, device=CPU, dtype=torch.float32)
    (place,) = (home() / "probes").iterdir()
    data = json.loads(place.read_text("utf-8"))
    if damage == "numbers":
        data["dense_s"] = -1.0
    if damage == "other machine":
        data["identity"]["processor"] = "another"
    place.write_text(json.dumps(data) if len(damage) > 2 and damage[0] != "{" else damage, "utf-8")
    again = probe(TRUNK, **SHAPES, device=CPU, dtype=torch.float32)
    assert again.identity == first.identity
    assert json.loads(place.read_text("utf-8"))["dense_s"] == again.dense_s >= 0


def test_a_disk_that_cannot_be_written_is_no_reason_to_stop(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZAOWU_HOME", str(tmp_path / "file"))
    assert probe(TRUNK, train=[Shape(2, 8)], predict=[], device=CPU, dtype=torch.float32).train


def test_lengths_are_rounded_up_a_little_and_never_beyond_what_the_model_takes():
    for length in range(1, 513):
        assert length <= cost.rounded(length, 512) <= max(8, length * 1.25 + 8)
    assert cost.rounded(50, 50) == 50
    assert len({cost.rounded(length, 512) for length in range(1, 513)}) < 25


def test_records_longer_than_the_places_of_the_trunk_can_be_probed():
    """Those of a table have no places, so its trunk may have fewer than a record has tokens."""
    few = replace(TRUNK, positions=replace(TRUNK.positions, max_positions=1))
    bench = probes._Bench(few, CPU, torch.float32, longest=100)
    bench._learning(probes.FEW, probes.Shape(2, 100))()
