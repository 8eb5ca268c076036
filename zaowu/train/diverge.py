"""Is training still sane? A gradient that is no number, and a loss far above all that came before."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

WINDOW = 50  # steps that say what is usual
DEVIATIONS = 6.0  # deviations above the median
LEAST_DEVIATION = 0.25  # of the median: batches differ by so much in what they hold
ABOVE_FIRST = 1.5  # times the highest of the first losses
MOST_IN_A_ROW = 3

ADVICE = "lower the rate (--lr), or look at the rows named above"


@dataclass
class Watch:
    """Looks at the loss of every step before its update is applied.

    A loss is wild when it lies above the running median by six median deviations of the last 50 steps, where a
    deviation is at least a quarter of the median, and above 1.5 times every loss of the first 50. Without the first
    floor whole batches were left out for no fault of theirs: texts of one length stand together, and early in a
    training from scratch those of a rare length have twice the loss of the others. Without the second one a single
    mislabelled row would be called a divergence near the end, when the median is almost nothing.
    """

    losses: list[float] = field(default_factory=list)
    highest_at_first: float = 0.0
    seen: int = 0
    in_a_row: int = 0

    def is_wild(self, loss: float) -> bool:
        """Whether the step with this loss must not be applied. loss: may be NaN or infinite, which is wild."""
        if not loss < float("inf"):
            return True
        if len(self.losses) < WINDOW:
            return False
        middle = median(self.losses)
        deviation = median(abs(value - middle) for value in self.losses)
        usual = middle + DEVIATIONS * max(deviation, LEAST_DEVIATION * abs(middle))
        return loss > max(usual, ABOVE_FIRST * self.highest_at_first)

    def applied(self, loss: float) -> None:
        """A step went well."""
        self.seen += 1
        self.in_a_row = 0
        if self.seen <= WINDOW:
            self.highest_at_first = max(self.highest_at_first, loss)
        self.losses = [*self.losses[1 - WINDOW :], loss]

    def refused(self) -> bool:
        """A step was left out; True when there were too many in a row to go on."""
        self.in_a_row += 1
        return self.in_a_row >= MOST_IN_A_ROW
