"""transformers' Trainer at its best settings: the peer that `finetune.py` and `pretrain.py` measure Zaowu against.

Dynamic padding, batches of similar length, AdamW fused, no logging, saving or evaluation unless asked. Nothing of
Zaowu is imported, so that the memory of a process that runs this is the peer's own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoTokenizer,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    logging,
)

logging.set_verbosity_error()
logging.disable_progress_bar()


class MeanPooled(nn.Module):
    """A published encoder with Zaowu's default head: the mean of the real tokens' states, then one linear layer."""

    def __init__(self, folder: Path, num_classes: int, *, seed: int = 0, attention: str = "sdpa") -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = AutoModel.from_pretrained(folder, attn_implementation=attention, add_pooling_layer=False)
        self.head = nn.Linear(self.encoder.config.hidden_size, num_classes)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, T, D)
        real = attention_mask.unsqueeze(-1).to(states.dtype)
        logits = self.head((states * real).sum(1) / real.sum(1))
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits.float(), labels), "logits": logits}


class StepClock(TrainerCallback):
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.ends.append(time.perf_counter())


class InOrder(Trainer):
    """A Trainer that takes the items in the order they are given, for work that must be equal on both sides."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return range(len(train_dataset if train_dataset is not None else self.train_dataset))


def encoded(folder: Path, texts: Sequence[str], labels: Sequence[int]) -> list[dict[str, Any]]:
    """Items as the Trainer takes them, tokenised once before training."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(list(texts), truncation=True, max_length=512, return_token_type_ids=False)["input_ids"]
    return [
        {"input_ids": own, "attention_mask": [1] * len(own), "labels": label}
        for own, label in zip(ids, labels, strict=True)
    ]


def make(
    kind: type[Trainer],
    model: nn.Module,
    items: Sequence[dict[str, Any]],
    folder: Path,
    *,
    batch_size: int,
    epochs: int = 1,
    lr: float = 1e-4,
    bf16: bool = False,
    seed: int = 0,
    collator: Any = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Trainer:
    """The Trainer with everything that makes it fast, and warm-up and decay as in Zaowu.

    collator: None for dynamic padding.
    """
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(),  # nothing is written
        per_device_train_batch_size=batch_size,
        num_train_epochs=epochs,
        learning_rate=lr,
        warmup_steps=0.06,  # a share
        lr_scheduler_type="linear",
        weight_decay=0.01,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        bf16=bf16,
        seed=seed,
        use_cpu=True,
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    collator = collator or DataCollatorWithPadding(AutoTokenizer.from_pretrained(folder))
    made = kind(model=model, args=arguments, train_dataset=items, data_collator=collator, callbacks=list(callbacks))
    made.remove_callback(PrinterCallback)
    return made


@torch.inference_mode()
def predicted(model: nn.Module, items: Sequence[dict[str, Any]], folder: Path, *, batch_size: int = 64) -> np.ndarray:
    """(N,) the classes that the model gives, batches sorted by length."""
    collator = DataCollatorWithPadding(AutoTokenizer.from_pretrained(folder))
    was_training = model.training
    model.eval()
    found = np.zeros(len(items), np.int64)
    for index in _batches([len(item["input_ids"]) for item in items], batch_size):
        batch = collator([{name: items[i][name] for name in ("input_ids", "attention_mask")} for i in index])
        found[index] = model(**batch)["logits"].argmax(-1).numpy()
    model.train(was_training)
    return found


def _batches(lengths: Sequence[int], batch_size: int) -> Iterator[np.ndarray]:
    order = np.argsort(np.asarray(lengths), kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
