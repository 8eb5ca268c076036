"""A model over many items, streaming: batches by length, one row of outputs per record, in the records' order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from zaowu.batching.batch import Batch, collate
from zaowu.batching.order import predict_batches
from zaowu.inputs import Inputs, Item
from zaowu.model import Model
from zaowu.progress import Bar


def predict(
    model: Model, source: Inputs, items: Sequence[Item], *, num_records: int, label: str = "predicting"
) -> dict[str, np.ndarray]:
    """The model's outputs for each record by target, (N, C) float32: the mean over the windows of a long one.

    Of a target that reads tokens (N,) object: what it keeps of each window (`reduce`), put together (`merge`).
    source: the `Inputs` that made `items`. A record without an item gets zeros, or what is kept of no window.
    """
    finders: dict[str, Any] = {name: target for name, target in model.targets.items() if target.reads == "tokens"}
    kept: dict[str, list[list[Any]]] = {name: [[] for _ in range(num_records)] for name in finders}
    outputs: dict[str, np.ndarray] = {
        name: np.zeros((num_records, target.num_outputs), np.float32)
        for name, target in model.targets.items()
        if name not in finders
    }

    def read(chosen: list[Item], batch: Batch) -> None:
        shares = np.array([item.share for item in chosen], np.float32)[:, None]
        records = [item.record for item in chosen]
        for name, raw in model(batch).items():
            values = raw.float().cpu().numpy()
            if name not in finders:
                np.add.at(outputs[name], records, values * shares)
                continue
            for item, row in zip(chosen, values, strict=True):
                if (words := source.text_item(item)) is not None:
                    kept[name][item.record].append(finders[name].reduce(row[: words.length], words.text, words.places))

    pass_over(model, source, items, read, label=label)
    for name, target in finders.items():
        outputs[name] = np.empty(num_records, object)
        for record, windows in enumerate(kept[name]):
            outputs[name][record] = target.merge(windows)
    return outputs


def pass_over(
    model: Model, source: Inputs, items: Sequence[Item], read: Callable[[list[Item], Batch], None], *, label: str
) -> None:
    """Calls `read` with the items in batches of similar length, without dropout and without gradients."""
    device = next(model.parameters()).device
    lengths = np.array([item.length for item in items])
    was_training = model.training
    if was_training:
        model.eval()
    # Weights that are put together for a pass (FSDP) must not be made as inference's own kind, which cannot be trained.
    with torch.inference_mode(not model.is_sharded), torch.no_grad(), Bar(label, float(lengths.sum())) as bar:
        for index in predict_batches(lengths):
            chosen = [items[i] for i in index]
            rows = [source.features(item) for item in chosen]
            read(chosen, collate(rows, source.specs, numbered=source.numbered).to(device))
            bar.advance(float(lengths[index].sum()))
    if was_training:
        model.train()
