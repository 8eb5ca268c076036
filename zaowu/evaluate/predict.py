"""A model over many items, streaming: batches by length, one row of outputs per record, in the records' order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from zaowu.batching.batch import collate
from zaowu.batching.order import predict_batches
from zaowu.inputs import Item
from zaowu.model import Model
from zaowu.progress import Bar


def predict(
    model: Model, source: Any, items: Sequence[Item], *, num_records: int, label: str = "predicting"
) -> np.ndarray:
    """The model's outputs for each record, (N, C) float32: the mean over the windows of a long one.

    source: the `Input` that made `items`. A record without an item gets zeros.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    outputs: np.ndarray | None = None
    lengths = np.array([item.length for item in items])
    with torch.inference_mode(), Bar(label, float(lengths.sum())) as bar:
        for index in predict_batches(lengths):
            chosen = [items[i] for i in index]
            batch = collate(source.kind, [item.features for item in chosen], source.specs).to(device)
            logits = model(batch).float().cpu().numpy()  # (B, C)
            if outputs is None:
                outputs = np.zeros((num_records, logits.shape[1]), np.float32)
            shares = np.array([item.share for item in chosen], np.float32)[:, None]
            np.add.at(outputs, [item.record for item in chosen], logits * shares)
            bar.advance(float(lengths[index].sum()))
    model.train(was_training)
    return outputs if outputs is not None else np.zeros((num_records, 0), np.float32)
