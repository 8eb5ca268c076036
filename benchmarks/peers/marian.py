"""transformers' Marian by their Trainer, of the size of a run of ours, with its pieces, in as many minutes.

Dynamic padding, batches of similar length, AdamW fused, label smoothing, warm-up and a decay to zero over the minutes;
the weights of the lowest validation loss are kept, and of greedy writing and four beams what is better on validation
rows. Validation rows are cut from training by the source; test rows choose nothing.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from sets.rows import share
from torch import Tensor
from transformers import MarianConfig, MarianMTModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

VALID, MAX_VALID, BEAMS = 0.05, 500, (1, 4)
IGNORED = -100  # labels of padding
WARM_UP = 0.06  # of the minutes
MAX_EPOCHS = 1000
LR = 7e-4


class Pairs:
    """Pieces of both sides, by a run's codec."""

    def __init__(self, run: Path) -> None:
        from zaowu.inputs.text.codec import Codec

        self.codec = Codec.from_folder(run)
        self.start, self.end = self.codec.end_pieces()
        self.pad = self.codec.pad_id

    def items(self, sources: Sequence[str], answers: Sequence[str]) -> list[dict[str, list[int]]]:
        both = (self.codec.bare(list(texts)) for texts in (sources, answers))
        return [
            {"input_ids": [*map(int, one[:510]), self.end], "labels": [*map(int, other[:510]), self.end]}
            for one, other in zip(*both, strict=True)
        ]

    def collate(self, items: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
        def padded(name: str, fill: int) -> Tensor:
            width = max(len(item[name]) for item in items)
            return torch.tensor([item[name] + [fill] * (width - len(item[name])) for item in items])

        ids = padded("input_ids", self.pad)
        lengths = torch.tensor([len(item["input_ids"]) for item in items])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        labels = padded("labels", IGNORED)
        before = torch.cat([torch.full((len(items), 1), self.start), labels[:, :-1]], 1)
        before[before == IGNORED] = self.pad  # the Trainer's label smoothing leaves this shift to the collator
        return {"input_ids": ids, "attention_mask": mask, "labels": labels, "decoder_input_ids": before}


class Keeper(TrainerCallback):
    """Ends after the minutes; keeps the weights of the lowest validation loss, looked at after each epoch."""

    def __init__(self, model: MarianMTModel, valid: list[dict[str, list[int]]], pairs: Pairs, seconds: float) -> None:
        self.model, self.valid, self.pairs, self.seconds = model, valid, pairs, seconds
        self.start, self.best, self.weights, self.epochs = time.perf_counter(), float("inf"), None, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if time.perf_counter() - self.start > self.seconds:
            control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.look()

    def look(self) -> None:
        self.epochs += 1
        loss = loss_of(self.model, self.valid, self.pairs)
        if loss < self.best:
            self.best, self.weights = loss, copy.deepcopy(self.model.state_dict())


def written(
    run: Path, train: pl.DataFrame, test: pl.DataFrame, source: str, target: str, *, minutes: float, seed: int
) -> tuple[list[str], dict[str, Any]]:
    """What it writes of the test rows, and what was done."""
    from zaowu.targets.text import scores

    pairs = Pairs(run)
    torch.manual_seed(seed)
    places = np.array([share(text, "valid") for text in train[source]])
    held = pl.Series(places <= np.quantile(places, VALID))  # all rows of a source, and at least one
    valid, rest = train.filter(held)[:MAX_VALID], train.filter(~held)
    model = MarianMTModel(config_like(run, pairs))
    items = pairs.items(rest[source].to_list(), rest[target].to_list())
    valid_items = pairs.items(valid[source].to_list(), valid[target].to_list())
    keeper = trained(model, items, valid_items, pairs, seconds=60 * minutes, seed=seed)
    chosen: dict[int, float] = {}
    most = max(len(item["labels"]) for item in items) + 4
    for beams in BEAMS:
        said = texts_of(model, valid_items, pairs, beams=beams, most=most)
        chosen[beams] = scores.chrf(said, valid[target].to_list(), valid[source].to_list())
    beams = max(chosen, key=lambda number: chosen[number])
    said = texts_of(model, pairs.items(test[source].to_list(), [""] * len(test)), pairs, beams=beams, most=most)
    size = sum(own.numel() for own in model.parameters())
    facts = {"epochs": keeper.epochs, "valid_loss": keeper.best, "beams": beams, "parameters": size, "lr": LR}
    return said, facts


def config_like(run: Path, pairs: Pairs) -> MarianConfig:
    """Their config of the size of a run's model."""
    from zaowu.run.load import load

    opened = load(run)
    [target] = opened.targets.values()
    trunk = opened.model.config.trunk
    decoder = target.decoder(trunk)
    return MarianConfig(
        vocab_size=pairs.codec.num_pieces,
        d_model=trunk.dim,
        encoder_layers=trunk.num_layers,
        decoder_layers=decoder.num_layers,
        encoder_attention_heads=trunk.attention.num_heads,
        decoder_attention_heads=decoder.attention.num_heads,
        encoder_ffn_dim=trunk.ffn_dim,
        decoder_ffn_dim=decoder.ffn_dim,
        activation_function="relu",
        dropout=0.1,
        scale_embedding=True,
        max_position_embeddings=512,
        pad_token_id=pairs.pad,
        bos_token_id=None,
        eos_token_id=pairs.end,
        forced_eos_token_id=None,
        decoder_start_token_id=pairs.start,
        tie_word_embeddings=True,
    )


def trained(
    model: MarianMTModel,
    items: list[dict[str, list[int]]],
    valid: list[dict[str, list[int]]],
    pairs: Pairs,
    *,
    seconds: float,
    seed: int,
    batch_size: int = 64,
) -> Keeper:
    keeper = Keeper(model, valid, pairs, seconds)
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),  # nothing is written
        per_device_train_batch_size=batch_size,
        num_train_epochs=MAX_EPOCHS,
        learning_rate=LR,
        weight_decay=0.01,
        max_grad_norm=1.0,
        label_smoothing_factor=0.1,
        optim="adamw_torch_fused",
        seed=seed,
        use_cpu=True,
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.98), weight_decay=0.01, fused=True)

    def rate(_: int) -> float:
        gone = min(1.0, (time.perf_counter() - keeper.start) / seconds)
        return min((gone + 1e-3) / WARM_UP, (1 - gone) / (1 - WARM_UP))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=items,
        data_collator=pairs.collate,
        callbacks=[keeper],
        optimizers=(optimizer, schedule),
    )
    trainer.remove_callback(PrinterCallback)
    keeper.start = time.perf_counter()
    trainer.train()
    keeper.look()
    model.load_state_dict(keeper.weights)
    model.eval()
    return keeper


@torch.inference_mode()
def loss_of(model: MarianMTModel, items: list[dict[str, list[int]]], pairs: Pairs) -> float:
    """Of a piece."""
    was, total, count = model.training, 0.0, 0
    model.eval()
    for index in _batches(items):
        batch = pairs.collate([items[row] for row in index])
        num = int((batch["labels"] != IGNORED).sum())
        total, count = total + float(model(**batch).loss) * num, count + num
    model.train(was)
    return total / max(1, count)


@torch.inference_mode()
def texts_of(
    model: MarianMTModel, items: list[dict[str, list[int]]], pairs: Pairs, *, beams: int, most: int
) -> list[str]:
    found = [""] * len(items)
    for index in _batches(items):
        batch = pairs.collate([items[row] for row in index])
        ids = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            num_beams=beams,
            do_sample=False,
            max_new_tokens=most,
            bad_words_ids=None,
        )
        for row, own in zip(index.tolist(), ids[:, 1:].tolist(), strict=True):
            kept = own[: own.index(pairs.end)] if pairs.end in own else own
            found[row] = pairs.codec.tokenizer.decode(kept, skip_special_tokens=True).strip()
    return found


def _batches(items: list[dict[str, list[int]]], size: int = 64) -> list[np.ndarray]:
    order = np.argsort([len(item["input_ids"]) for item in items], kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]
