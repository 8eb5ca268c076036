"""How fast this machine takes a step, and what a step keeps in memory: measured with the real code, in seconds.

A trunk of the model's own width with one layer and one with three take the same steps: half the difference is a
layer's share, the rest of the first is what a step costs beside its layers. What was measured is kept among the
caches, so that the next run of the same kind on this machine does not measure again.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from zaowu import trunk as trunk_package
from zaowu.bases.cache import home
from zaowu.batching.batch import Batch, collate
from zaowu.config import ModelConfig, TrainConfig, TrunkConfig, from_plain, to_plain
from zaowu.errors import UserError
from zaowu.inputs import Feature
from zaowu.inputs.text.embedder import TokenEmbedding
from zaowu.model import Model
from zaowu.targets import sum_losses
from zaowu.targets.category import Category
from zaowu.train import optim
from zaowu.train.estimate.machine import allocated_bytes, processor, resident_bytes
from zaowu.train.optim import Optimizer, TouchedRows
from zaowu.trunk import precision
from zaowu.trunk.kernels import build

FEW, MANY = 1, 3  # layers of the two trunks
TIMED = 600_000  # tokens x width of the largest step that is timed; a larger one is taken to cost as much a token
WEIGHED = 1_500_000  # the same of the largest step whose memory is counted
ENOUGH_S, REPEATS = 0.4, 3  # a step is timed so often, or until it has taken so long
FIRST, FRESH = 24, 8  # lengths that were never seen before, downwards, to find what a new one costs
DENSE = 8_000_000  # weights on which the optimizer is timed
ZEROS = 10_000_000  # weights whose empty moments are weighed: no allocator serves them from what it holds already
NUM_PIECES = 4096


@dataclass(frozen=True)
class Shape:
    """A batch of `batch` records of `length` tokens."""

    batch: int
    length: int

    @property
    def num_tokens(self) -> int:
        return self.batch * self.length

    def at_most(self, num_tokens: float) -> Shape:
        """With fewer records, so that there are no more tokens."""
        return replace(self, batch=max(1, min(self.batch, int(num_tokens / self.length))))


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step costs beside its layers (entry) and in each of them; the dense weights' update is not in it.

    _s, _bytes: seconds and bytes kept for the gradient, a token. copy_bytes: kept in each layer whatever the batch,
    which is the copies of its weights in low precision. Nothing is kept where nothing is learned.
    """

    entry_s: float
    layer_s: float
    entry_bytes: float = 0.0
    layer_bytes: float = 0.0
    copy_bytes: float = 0.0


@dataclass(kw_only=True)
class Probe:
    """Measurements of one width of trunk. Shapes are written "BxT".

    fresh_s, fresh_bytes: seconds and bytes that a number of tokens costs when it comes for the first time in
    training: libraries then make kernels for it and keep them. dense_s: of the optimizer, a weight. build_s: of
    making a model with its moments, a weight. zeros_share: of a token table's moments, what takes memory before any
    row is touched. library_s, library_bytes: of what is loaded for the first step.
    """

    identity: dict[str, str]
    fresh_s: float
    fresh_bytes: float
    dense_s: float
    build_s: float
    zeros_share: float
    library_s: float
    library_bytes: float
    train: dict[str, Step] = field(default_factory=dict)
    predict: dict[str, Step] = field(default_factory=dict)


def probe(
    trunk: TrunkConfig,
    *,
    train: Iterable[Shape],
    predict: Iterable[Shape],
    device: torch.device,
    dtype: torch.dtype,
) -> Probe:
    """What is known of this machine for these shapes; measures those that are not known yet, in a few seconds."""
    identity = _identity(trunk, device, dtype)
    place = home() / "probes" / f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]}.json"
    found = _read(place, identity)
    steps = {_name(shape): shape for shape in train}
    answers = {_name(shape): shape for shape in predict}
    if found is None or not (steps.keys() <= found.train.keys() and answers.keys() <= found.predict.keys()):
        longest = max((shape.length for shape in (*steps.values(), *answers.values())), default=0)
        bench = _Bench(trunk, device, dtype, longest=longest)
        found = found or bench.begin(identity)
        found.train |= {name: bench.train(steps[name]) for name in steps.keys() - found.train.keys()}
        found.predict |= {name: bench.predict(answers[name]) for name in answers.keys() - found.predict.keys()}
        _write(place, found)
    return replace(
        found,
        train={name: found.train[name] for name in steps},
        predict={name: found.predict[name] for name in answers},
    )


class _Bench:
    """The two trunks, and how a step of them is taken. longest: tokens of a record; those of a table have no places."""

    def __init__(self, trunk: TrunkConfig, device: torch.device, dtype: torch.dtype, *, longest: int = 0) -> None:
        self.device, self.dtype, self.width = device, dtype, trunk.dim
        self.start, self.resident = time.perf_counter(), resident_bytes()
        places = replace(trunk.positions, max_positions=max(FIRST + 1, longest, trunk.positions.max_positions))
        trunk = replace(trunk, positions=places)
        self.models, self.optimizers = dict[int, Model](), dict[int, Optimizer]()
        for layers in (FEW, MANY):
            start = time.perf_counter()
            answer: dict[str, Any] = {"answer": Category.fit(["0", "1"])}
            model = Model({"text": _Ids()}, answer, ModelConfig(trunk=replace(trunk, num_layers=layers)))
            model.initialise(0)
            self.models[layers] = model.to(device)
            precision.use(model, dtype)
            self.optimizers[layers] = Optimizer(model, TrainConfig(lr=1e-6))
            self.build_s = (time.perf_counter() - start) / model.num_parameters  # the second time nothing is imported

    def begin(self, identity: dict[str, str]) -> Probe:
        """Warms up; then what a new number of tokens costs, the optimizer, and empty moments."""
        for _ in range(3):
            self._learning(FEW, Shape(8, FIRST + 1))()
        library_s, library_bytes = time.perf_counter() - self.start, resident_bytes() - self.resident
        steps = [self._learning(FEW, Shape(8, FIRST - number)) for number in range(FRESH)]
        held, before = allocated_bytes(), resident_bytes()
        firsts = [_timed(step) for step in steps]
        grown = max(allocated_bytes() - held, resident_bytes() - before)  # what is in pieces cannot be used again
        extra = [first - _timed(step) for first, step in zip(firsts, steps, strict=True)]
        return Probe(
            identity=identity,
            fresh_s=max(0.0, statistics.median(extra)),
            fresh_bytes=max(0.0, grown / FRESH),
            dense_s=self._dense(),
            build_s=self.build_s,
            zeros_share=self._zeros_share(),
            library_s=library_s,
            library_bytes=max(0.0, library_bytes),
        )

    def train(self, shape: Shape) -> Step:
        timed = shape.at_most(TIMED / self.width)
        few, many = (_seconds(self._learning(layers, timed)) for layers in (FEW, MANY))
        small, large = Shape(1, shape.length), shape.at_most(WEIGHED / self.width)
        few_kept, many_kept = (self._kept_by_a_record(layers, small) for layers in (FEW, MANY))
        entry = few_kept.a_record - (many_kept.a_record - few_kept.a_record) * FEW / (MANY - FEW)
        layer = (self._kept_by_a_record(FEW, large).a_record - entry) / FEW
        return replace(
            _split(few, many, timed.num_tokens),
            entry_bytes=max(0.0, entry / shape.length),
            layer_bytes=max(0.0, layer / shape.length),
            copy_bytes=max(0.0, (many_kept.whatever - few_kept.whatever) / (MANY - FEW)),
        )

    def predict(self, shape: Shape) -> Step:
        timed = shape.at_most(TIMED / self.width)
        few, many = (_seconds(self._answering(layers, timed)) for layers in (FEW, MANY))
        return _split(few, many, timed.num_tokens)

    def _learning(self, layers: int, shape: Shape) -> Callable[[], None]:
        """One step of training, all of it but the dense weights' update."""
        model, optimizer, batch, seed = self.models[layers], self.optimizers[layers], *self._batch(shape)

        def step() -> None:
            sum_losses(model.train().loss(batch, seed=seed)).backward()
            for name, table in optimizer.tables.items():
                if (touched := table.gather()) is not None:
                    optimizer.tables[name].step(*touched, lr=1e-6, weight_decay=0.0)
            optimizer.dense.zero_grad()
            self._wait()

        return step

    def _answering(self, layers: int, shape: Shape) -> Callable[[], None]:
        model, batch = self.models[layers].eval(), self._batch(shape)[0]

        def step() -> None:
            with torch.inference_mode():
                model(batch)
            self._wait()

        return step

    def _kept_by_a_record(self, layers: int, shape: Shape) -> _Kept:
        one, other = (self._kept(layers, replace(shape, batch=shape.batch + more)) for more in (0, 1))
        return _Kept(a_record=other - one, whatever=one - shape.batch * (other - one))

    def _kept(self, layers: int, shape: Shape) -> int:
        model, (batch, seed) = self.models[layers].train(), self._batch(shape)
        own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # an output that its own graph holds would never be freed

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = sum_losses(model.loss(batch, seed=seed))
        for table in self.optimizers[layers].tables.values():
            table.table.leaves.clear()
        assert loss.requires_grad  # and so the graph has lived until here: no address was given away twice
        return sum(kept.values())

    def _batch(self, shape: Shape) -> tuple[Batch, Tensor]:
        chance = np.random.default_rng(0).random((shape.batch, shape.length))
        ids = (NUM_PIECES**chance).astype(np.int32)  # the n-th piece as often as 1 / n, as in a text (Zipf 1935)
        batch = collate(
            [{"text": {"ids": row}} for row in ids],
            {"text": {"ids": Feature(np.int32, pad=0)}},
            targets={"answer": np.arange(shape.batch) % 2},
            target_mask={"answer": np.ones(shape.batch, bool)},
        )
        return batch.to(self.device), torch.arange(shape.batch)

    def _dense(self) -> float:
        """Seconds of the optimizer, a weight: on more of them than fit a processor's cache."""
        net = nn.ParameterList(torch.zeros(DENSE // 8, 1, device=self.device) for _ in range(8))
        optimizer = Optimizer(net, TrainConfig(lr=1e-6))

        def step() -> None:
            for weight in net:
                weight.grad = torch.full_like(weight, 1e-3)
            start = time.perf_counter()
            optimizer.step(1.0)
            self._wait()
            seconds.append(time.perf_counter() - start)

        seconds: list[float] = []
        for _ in range(3):
            step()
        return min(seconds) / sum(weight.numel() for weight in net)

    def _zeros_share(self) -> float:
        """0 where the system gives memory to the moments of a row when it is first written, 1 where at once."""
        table = TokenEmbedding(max(1, ZEROS // self.width), self.width, pad_id=0).to(self.device)
        before = resident_bytes()
        moments = TouchedRows(table)
        grown = resident_bytes() - before
        return min(1.0, max(0.0, grown / (moments.first.nbytes + moments.second.nbytes)))

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class _Kept:
    """Bytes that autograd keeps from the forward pass to the backward pass: for each record, and whatever the batch."""

    a_record: int
    whatever: int


class _Ids:
    """An input of token ids alone, for the model's first part."""

    kind: ClassVar[str] = "text"

    def embedder(self, dim: int) -> TokenEmbedding:
        return TokenEmbedding(NUM_PIECES, dim, pad_id=0)


def _split(few: float, many: float, num_tokens: int) -> Step:
    layer = max(0.0, many - few) / (MANY - FEW)
    return Step(entry_s=max(0.0, few - FEW * layer) / num_tokens, layer_s=layer / num_tokens)


def _seconds(step: Callable[[], None]) -> float:
    """Of a step that was taken before."""
    step()
    found: list[float] = []
    while len(found) < REPEATS and sum(found) < ENOUGH_S:
        found.append(_timed(step))
    return statistics.median(found)


def _timed(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _name(shape: Shape) -> str:
    return f"{shape.batch}x{shape.length}"


def _identity(trunk: TrunkConfig, device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """What a measurement holds for: the machine, the libraries, the code of a step, the shape of a layer."""
    own = Path(trunk_package.__file__).parent / "transformer"
    code = hashlib.sha256()
    steps = (optim.__file__, __file__)
    for path in (*sorted(own.glob("*.py")), *sorted(own.parent.glob("kernels/*.*")), *map(Path, steps)):
        code.update(path.read_bytes())
    layer = to_plain(replace(trunk, num_layers=1))
    return {
        "processor": processor() if device.type == "cpu" else torch.cuda.get_device_name(device),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "zaowu": metadata.version("zaowu"),
        "code": code.hexdigest()[:16],
        "kernels": build.missing() or "on",
        "precision": str(dtype).removeprefix("torch."),
        "layer": json.dumps(layer, sort_keys=True),
    }


def _read(place: Path, identity: dict[str, str]) -> Probe | None:
    """What was measured before, or None where there is nothing of use."""
    try:
        found = from_plain(Probe, json.loads(place.read_text("utf-8")), where=str(place))
    except (OSError, ValueError, RecursionError, UserError):
        return None
    steps = (*found.train.values(), *found.predict.values())
    numbers = [n for n in vars(found).values() if isinstance(n, float)]
    numbers += [n for step in steps for n in asdict(step).values()]
    return found if found.identity == identity and all(0 <= number < 1e12 for number in numbers) else None


def _write(place: Path, found: Probe) -> None:
    """Whole or not at all. A disk without room only means that the next run measures again."""
    fresh = place.with_name(f"{place.name}.{os.getpid()}.new")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(to_plain(found), indent=1), "utf-8")
        fresh.replace(place)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
