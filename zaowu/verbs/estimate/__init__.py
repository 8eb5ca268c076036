"""`zaowu estimate ...`: what another verb would take of time, memory, disk and energy, before it runs."""

from zaowu.verbs.estimate.fit import estimate_fit
from zaowu.verbs.estimate.pretrain import estimate_pretrain

__all__ = ["estimate_fit", "estimate_pretrain"]
