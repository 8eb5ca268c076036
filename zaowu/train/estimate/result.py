"""What a fit will take, as figures and as words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from zaowu.progress import aligned, duration

WATTS = 65.0  # of a whole small computer at work; nobody measured yours


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a fit takes on this machine. Times hold if no epoch is left out.

    rows: side -> records. tokens_per_epoch, epochs: of the final model. trainings: with those of the folds. tokens: in
    all steps of all trainings. seconds, memory: part -> seconds, bytes; their sums are the whole. disk_bytes: of the
    run's folder; checkpoint_bytes: beside it while training goes on, at most. watts: assumed, not measured.
    """

    source: str
    rows: dict[str, int]
    scored_on: str
    num_parameters: int
    num_pieces: int
    num_pieces_before: int
    trainings: int
    epochs: int
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
        rows = ", ".join(f"{side} {count:,}" for side, count in self.rows.items())
        trimmed = f", {self.num_pieces_before - self.num_pieces:,} of {self.num_pieces_before:,} pieces trimmed away"
        times = ", ".join(f"{part} {duration(value)}" for part, value in self.seconds.items() if value >= 0.5)
        parts = ", ".join(f"{part} {_size(value)}" for part, value in self.memory.items())
        table = [
            ("rows", rows, f"scored on: {self.scored_on}"),
            ("parameters", f"{self.num_parameters:,}", f"{self.num_pieces:,} pieces" + trimmed * self._trimmed),
            ("training", self._amount(), f"{self.precision}, {self.threads} threads, batches of {self.batch_size}"),
            ("tokens", f"{self.tokens:,}", f"{self.tokens_per_epoch:,} in an epoch on all training rows"),
            ("FLOPs", f"{self.flops:.3g}", f"{self.flops / max(1e-9, self.total_s) / 1e9:,.0f} GFLOPs a second"),
            ("time", f"at most {duration(self.total_s)}", times),
            ("peak memory", _size(self.peak_bytes), parts),
            ("disk", _size(self.disk_bytes), f"and at most {_size(self.checkpoint_bytes)} of checkpoints meanwhile"),
            ("energy", f"at most {_energy(self.watt_hours)}", f"assuming {self.watts:g} W (--watts)"),
        ]
        return aligned(table).splitlines()

    def short(self) -> list[str]:
        """The same in three lines, for the beginning of a fit."""
        return [
            f"{self.num_parameters / 1e6:.1f} M parameters, {self._amount()} of {self.tokens_per_epoch:,} tokens, "
            f"{self.flops:.2g} FLOPs.",
            f"At most {duration(self.total_s)} in all, about {_size(self.peak_bytes)} of memory at the peak, "
            f"{_size(self.disk_bytes)} on disk (checkpoints meanwhile: up to {_size(self.checkpoint_bytes)}).",
            f"Energy: at most {_energy(self.watt_hours)}, assuming {self.watts:g} W.",
        ]

    @property
    def _trimmed(self) -> bool:
        return self.num_pieces < self.num_pieces_before

    def _amount(self) -> str:
        epochs = f"at most {self.epochs} epoch" + "s" * (self.epochs > 1)
        return epochs if self.trainings == 1 else f"{self.trainings} trainings of {epochs}"


def _size(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{max(1, num_bytes / 1e6):.0f} MB"


def _energy(watt_hours: float) -> str:
    return f"{watt_hours / 1000:.1f} kWh" if watt_hours >= 1000 else f"{watt_hours:.2g} Wh"
