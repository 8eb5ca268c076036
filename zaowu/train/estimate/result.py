"""What a training will take, as figures and as words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from zaowu.errors import UserError
from zaowu.progress import aligned, duration

WATTS = 65.0  # of a whole small computer at work; nobody measured yours
Row = tuple[str, str, str]  # what it is, the figure, more about it


def check_watts(watts: float) -> None:
    """Raises UserError for what no machine draws."""
    if not 0 < watts < 1e7:
        raise UserError(f"--watts: expected a number above 0, got {watts:g}.")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a training takes on this machine. Times hold if nothing ends it before its limits.

    tokens: in all steps. seconds, memory: part -> seconds, bytes; their sums are the whole. disk_bytes: of what is
    made; checkpoint_bytes: beside it while training goes on, at most. watts: assumed, not measured.
    """

    num_parameters: int
    num_pieces: int
    num_pieces_before: int
    batch_size: int
    tokens_per_epoch: int
    tokens: int
    flops: float
    precision: str
    threads: int
    seconds: dict[str, float]
    memory: dict[str, float]
    disk_bytes: float
    checkpoint_bytes: float
    watts: float

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())

    @property
    def peak_bytes(self) -> float:
        return sum(self.memory.values())

    @property
    def watt_hours(self) -> float:
        return self.watts * self.total_s / 3600

    def to_plain(self) -> dict[str, Any]:
        """JSON-ready: all fields, and the sums."""
        return {
            **asdict(self),
            "total_s": self.total_s,
            "peak_bytes": self.peak_bytes,
            "energy_wh": self.watt_hours,
            "energy_is": f"an assumption of {self.watts:g} W, not a measurement",
        }

    def lines(self) -> list[str]:
        """A table for reading."""
        before = self.num_pieces_before
        trimmed = f", {before - self.num_pieces:,} of {before:,} pieces trimmed away" * (self.num_pieces < before)
        times = ", ".join(f"{part} {duration(value)}" for part, value in self.seconds.items() if value >= 0.5)
        parts = ", ".join(f"{part} {size(value)}" for part, value in self.memory.items())
        training, tokens = self._training()
        table: list[Row] = [
            self._data(),
            ("parameters", f"{self.num_parameters:,}", f"{self.num_pieces:,} pieces{trimmed}"),
            ("training", self._amount(), f"{self.precision}, {self.threads} threads, {training}"),
            ("tokens", f"{self.tokens:,}", tokens),
            ("FLOPs", f"{self.flops:.3g}", f"{self.flops / max(1e-9, self.total_s) / 1e9:,.0f} GFLOPs a second"),
            ("time", f"at most {duration(self.total_s)}", times),
            ("peak memory", size(self.peak_bytes), parts),
            ("disk", size(self.disk_bytes), self._meanwhile()),
            ("energy", f"at most {_energy(self.watt_hours)}", f"assuming {self.watts:g} W (--watts)"),
        ]
        return aligned(table).splitlines()

    def short(self) -> list[str]:
        """The same in three lines, for the beginning of a training."""
        return [
            f"{self.num_parameters / 1e6:.1f} M parameters, {self._amount()} of {self._tokens_of_one():,} tokens, "
            f"{self.flops:.2g} FLOPs.",
            f"At most {duration(self.total_s)} in all, about {size(self.peak_bytes)} of memory at the peak, "
            f"{size(self.disk_bytes)} on disk ({self._beside()}).",
            f"Energy: at most {_energy(self.watt_hours)}, assuming {self.watts:g} W.",
        ]

    # ---- what the kinds of training say differently

    def _data(self) -> Row:
        raise NotImplementedError

    def _amount(self) -> str:
        raise NotImplementedError

    def _training(self) -> tuple[str, str]:
        """More about how it is trained, and about its tokens."""
        raise NotImplementedError

    def _tokens_of_one(self) -> int:
        """Of one of those that `_amount` counts."""
        return self.tokens_per_epoch

    def _meanwhile(self) -> str:
        return f"and at most {size(self.checkpoint_bytes)} of checkpoints meanwhile"

    def _beside(self) -> str:
        return f"checkpoints meanwhile: up to {size(self.checkpoint_bytes)}"


@dataclass(frozen=True, kw_only=True)
class FitEstimate(Estimate):
    """Of a fit. rows: side -> records. epochs, tokens_per_epoch: of the final model. trainings: with the folds'."""

    source: str
    rows: dict[str, int]
    scored_on: str
    trainings: int
    epochs: int

    def _data(self) -> Row:
        rows = ", ".join(f"{side} {count:,}" for side, count in self.rows.items())
        return "rows", rows, f"scored on: {self.scored_on}"

    def _amount(self) -> str:
        epochs = f"at most {self.epochs} epoch" + "s" * (self.epochs > 1)
        return epochs if self.trainings == 1 else f"{self.trainings} trainings of {epochs}"

    def _training(self) -> tuple[str, str]:
        return f"batches of {self.batch_size}", f"{self.tokens_per_epoch:,} in an epoch on all training rows"


@dataclass(frozen=True, kw_only=True)
class PretrainEstimate(Estimate):
    """Of a pre-training. corpus_bytes: on disk, of all sources; read_share: what was read of it for the estimate.

    corpus_tokens: side -> tokens of the corpus. steps, evaluations: at most. epochs: that the tokens are.
    step_tokens: of one step. batch_size: rows. shards_bytes: of the tokenised corpus, which goes in the end if no
    folder was named for it.
    """

    sources: list[str]
    corpus_bytes: int
    read_share: float
    corpus_tokens: dict[str, int]
    length: int
    steps: int
    evaluations: int
    epochs: float
    step_tokens: int
    shards_bytes: float

    def _data(self) -> Row:
        share = "all of it is read for this estimate"
        if self.read_share < 1:
            share = f"{100 * self.read_share:.2g} % of it is read for this estimate, and the rest taken to be alike"
        return "text", f"{size(self.corpus_bytes)}", share

    def _amount(self) -> str:
        return f"at most {self.steps:,} step" + "s" * (self.steps > 1)

    def _training(self) -> tuple[str, str]:
        batches = f"batches of {self.batch_size} rows of {self.length}, {self.evaluations} evaluations"
        held = self.corpus_tokens["valid"]
        return batches, f"{self.epochs:.3g} epochs of {self.tokens_per_epoch:,}; {held:,} more are held out"

    def _tokens_of_one(self) -> int:
        return self.step_tokens

    def _meanwhile(self) -> str:
        shards = f"{size(self.shards_bytes)} of tokenised text"
        return f"and at most {size(self.checkpoint_bytes)} of checkpoints and {shards} meanwhile"

    def _beside(self) -> str:
        return f"{super()._beside()}, and {size(self.shards_bytes)} of tokenised text"


def size(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{max(1, num_bytes / 1e6):.0f} MB"


def _energy(watt_hours: float) -> str:
    return f"{watt_hours / 1000:.1f} kWh" if watt_hours >= 1000 else f"{watt_hours:.2g} Wh"
