"""A model over many items, streaming: batches by length, one row of outputs per record, in the records' order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from zaowu.batching.batch import Batch, collate, padded_answers
from zaowu.batching.order import predict_batches
from zaowu.evaluate.write import BehindPen, fingerprint, pen_of
from zaowu.inputs import Inputs, Item
from zaowu.model import Model
from zaowu.progress import Bar
from zaowu.targets.text.behind import joined


def predict(
    model: Model,
    source: Inputs,
    items: Sequence[Item],
    *,
    num_records: int,
    label: str = "predicting",
    told: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> dict[str, np.ndarray]:
    """The model's outputs for each record by target, (N, C) float32: the mean over the windows of a long one.

    Of a target that reads tokens (N,) object: what it keeps of each window (`reduce`), put together (`merge`); of one
    that reads states likewise what is written. source: the `Inputs` that made `items`. A record without an item gets
    zeros, or what is kept of no window.

    told: target -> N answers, (U,) each. Such a target writes nothing: its outputs are (N, 3) float64, what the model
    says of these answers, as `Target.told` reads it.
    """
    told = told or {}
    with _at_rest(model):
        pens = {name: pen_of(*own, model.trunk) for name, own in model.writers().items() if name not in told}
    listed: dict[str, Any] = {
        name: target for name, target in model.targets.items() if target.reads != "pooled" and name not in told
    }
    kept: dict[str, list[list[Any]]] = {name: [[] for _ in range(num_records)] for name in listed}
    outputs: dict[str, np.ndarray] = {
        name: np.zeros(
            (num_records, 3 if name in told else target.num_outputs), np.float64 if name in told else np.float32
        )
        for name, target in model.targets.items()
        if name not in listed
    }

    def read(chosen: list[Item], rows: list[Any], batch: Batch) -> None:
        shares = np.array([item.share for item in chosen], np.float32)[:, None]
        records = [item.record for item in chosen]
        answers = {name: batch.targets.pop(name) for name in told}
        for name, raw in model(batch).items() if len(told) + len(pens) < len(model.targets) else ():
            values = raw.float().cpu().numpy()
            if name not in listed:
                np.add.at(outputs[name], records, values * shares)
                continue
            for item, row in zip(chosen, values, strict=True):
                if (words := source.text_item(item)) is not None:
                    kept[name][item.record].append(listed[name].reduce(row[: words.length], words.text, words.places))
        if told:
            batch.targets |= answers
            for name, sums in model.told(batch).items():
                np.add.at(outputs[name], records, sums.double().cpu().numpy() * shares)
        if pens:
            behind = any(isinstance(pen, BehindPen) for pen in pens.values())  # such a target is the only one
            states = batch.inputs["text"]["ids"] if behind else model.states(batch)
            keys = list(map(fingerprint, rows))
            for name, pen in pens.items():
                for record, texts in zip(records, pen(states, batch.mask, keys), strict=True):
                    kept[name][record].append(texts)

    pass_over(model, source, items, read, label=label, told=told, plain=bool(pens))
    for name, target in listed.items():
        outputs[name] = np.empty(num_records, object)
        for record, windows in enumerate(kept[name]):
            outputs[name][record] = target.merge(windows)
    return outputs


def pass_over(
    model: Model,
    source: Inputs,
    items: Sequence[Item],
    read: Callable[[list[Item], list[Any], Batch], None],
    *,
    label: str,
    told: Mapping[str, Sequence[np.ndarray]] | None = None,
    plain: bool = False,
) -> None:
    """Calls `read` with batches of similar length: items, their features and the batch. No dropout, no gradients.

    told: as in `predict`: the answers that the batch has, behind its tokens where the target has them there.
    plain: tensors that `read` makes are not of inference's own kind, which cannot be trained later.
    """
    device = next(model.parameters()).device
    lengths = np.array([item.length for item in items])
    # Nor may weights be that are put together for a pass (FSDP).
    fast = not (model.is_sharded or plain)
    bar = Bar(label, float(lengths.sum()))
    with _at_rest(model), torch.inference_mode(fast), torch.no_grad(), bar:
        for index in predict_batches(lengths):
            chosen = [items[i] for i in index]
            rows: list[Any] = [source.features(item) for item in chosen]
            labels = {name: [answers[item.record] for item in chosen] for name, answers in (told or {}).items()}
            for name in labels:
                target: Any = model.targets[name]
                if target.behind:
                    rows, labels[name] = joined(rows, labels[name])
            batch = collate(rows, source.specs, numbered=source.numbered).to(device)
            batch.targets |= {name: torch.from_numpy(padded_answers(own)).to(device) for name, own in labels.items()}
            read(chosen, rows, batch)
            bar.advance(float(lengths[index].sum()))


@contextmanager
def _at_rest(model: Model) -> Iterator[None]:
    """Without dropout, and then as it was."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        yield
    finally:
        if was_training:
            model.train()
