"""Many processes that train one model, started by torchrun; everything is torch.distributed's.

ranks     who we are, what all agree on, and how a failure of one ends all
spread    the model among the ranks: the same weights everywhere (DDP), or a part of them each (FSDP)
shards    a checkpoint to which every rank writes its own part

Every rank makes the same batches, takes its share of the rows of each, and divides by the counts of the whole batch;
chance hangs on records and not on generators. So a step gives the same weights on any number of ranks, within
rounding. Nothing heavy is imported where there is one process.
"""

from zaowu.train.parallel.ranks import ALONE, Ranks, current, joined

__all__ = ["ALONE", "Ranks", "current", "joined"]
