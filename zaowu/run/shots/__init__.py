"""In-context examples: a causal model classifies texts by the labelled ones that stand before them; nothing is learned.

prompt   examples -> tokens, as many as fit         judge   accuracy over several draws, beside a linear model

The examples are read once: all texts go on from their keys and values, with the labels behind them as branches.
Labels are scored, never written, and calibrated (`decode.labels.calibrated`; Zhao et al. 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from zaowu.decode.labels import calibrated, score_branches
from zaowu.errors import UserError
from zaowu.inputs import cleaners, guessers
from zaowu.progress import Bar, note
from zaowu.records import check, read, schema as schemas
from zaowu.records.records import Records, Table
from zaowu.run import Predicted
from zaowu.run.language import Language
from zaowu.run.shots.prompt import FREE, Prompt, Shots, Words, build
from zaowu.targets.category import CategoryPrediction

TOKENS = 2048  # that are read at once
LOGITS = 2**25  # of the same pass: 128 MB


def read_shots(source: Any, *, target: str | None = None) -> Shots:
    """A table with texts and a label for each. target: the column of labels, where it cannot be guessed.

    Raises UserError for a table without a text, or with a target that is no class.
    """
    table = source if isinstance(source, Table) else read.read(source)
    words = [name for name in table.frame.columns if table.frame[name].dtype == pl.String]
    if target is None and len(table.frame.columns) == len(words) == 2:  # the texts differ more than their labels
        different = [table.frame[name].n_unique() for name in words]
        target = words[different[0] >= different[1]]
    wanted = () if target is None else (target,)
    kinds = {} if target is None else {target: "category"}
    if target in words and len(words) == 2:  # few or short texts may look like classes, or like nothing
        kinds |= {name: "text" for name in words if name != target}
    schema = schemas.guess(table, guessers=guessers(), target=wanted, columns=kinds)
    (label,) = schema.targets
    schema = replace(
        schema,
        columns=tuple(
            replace(column, role="ignored") if column.role == "input" and column.kind != "text" else column
            for column in schema.columns
        ),
    )
    if label.kind != "category" or not schema.inputs:
        raise UserError(
            f"{table.source}: expected a column with texts and one with a label for each, got "
            f"{', '.join(f'{column.name} ({column.kind})' for column in schema.columns)}. Name the column of labels "
            "with --target."
        )
    records = check.clean(table, schema, cleaners=cleaners())
    _, places = np.unique(records.ids, return_index=True)  # equal texts once
    records = records.take(np.sort(places))
    return Shots(
        texts=list(zip(*records.inputs.values(), strict=True)),
        labels=records.values(label.name),
        ids=records.ids,
        columns=tuple(records.inputs),
        target=label.name,
        schema=schema,
        skipped=len(records.skipped),
    )


class InContext:
    """A model that writes, with labelled examples. Raises UserError for an encoder-decoder.

    num_shots: most examples; None: as many as there is room for.
    """

    def __init__(self, language: Language, shots: Shots, *, num_shots: int | None = None) -> None:
        if language.encoder is not None:
            raise UserError("--shots: expected a causal model such as GPT-2, Llama or Qwen2, got an encoder-decoder.")
        self.language, self.shots, self.num_shots = language, shots, num_shots
        self.words = Words(language.codec, shots.columns, shots.target)
        self.labels = {name: self.words.label(name) for name in shots.classes}
        if len(set(map(tuple, self.labels.values()))) < len(self.labels):
            raise UserError("--shots: some labels are the same to this model's tokenizer. Write them in other letters.")

    def predict(self, data: Any, *, seed: int = 0) -> Predicted:
        """data: texts, a path, or any table that `fit` reads, with the columns of the examples' texts.

        Raises UserError when they are not there.
        """
        table = self._table(data)
        usable = check.clean_inputs(self._columns(table), self.shots.schema, table.folder, cleaners(("text",)))
        texts = list(zip(*(series.to_list() for series in usable.values), strict=True))
        warnings = []
        if empty := int(usable.blank.sum()):
            warnings.append(f"{empty} of {len(texts)} texts are empty: what is said of them means nothing.")
        prediction, _, told = self.answer(texts, seed=seed)
        shown = [" | ".join(filter(None, row)) for row in texts]
        return Predicted(table.frame, shown, {self.shots.target: prediction}, tuple(warnings + told))

    def labelled(self, data: Any, *, on_bad_row: str | None = None) -> Records:
        """The rows of a table that can be scored. Raises UserError as `predict`, and for a table without labels."""
        expect = (*self.shots.columns, self.shots.target)
        table = data if isinstance(data, Table) else read.read(data, on_bad_row=on_bad_row, expect=expect)
        if self.shots.target not in table.frame.columns:
            raise UserError(f"{table.source}: expected the column '{self.shots.target}' with the true labels.")
        self._columns(table)
        return check.clean(table, self.shots.schema, on_bad_row=on_bad_row, min_classes=1, cleaners=cleaners())

    def answer(
        self, texts: Sequence[tuple[str, ...]], *, seed: int = 0, label: str = "predicting"
    ) -> tuple[CategoryPrediction, Prompt, list[str]]:
        """What one draw of examples says of N texts, the prompt of it, and what a person should know."""
        questions = [self.words.question(text) for text in texts]
        free = [self.words.question((word,) * len(self.shots.columns)) for word in FREE]
        prompt = build(
            self.shots,
            self.words,
            self.labels,
            context=self.language.context,
            longest=max(map(len, questions + free)),
            num_shots=self.num_shots,
            seed=seed,
        )
        long = [place for place, question in enumerate(questions) if len(question) > prompt.room]
        for place in long:
            questions[place] = self.words.question(texts[place], room=prompt.room)
        told = []
        if long:
            told.append(f"{len(long):,} of {len(texts):,} texts are cut at their end to {prompt.room:,} tokens.")
        if prompt.cut:
            told.append(f"The examples of {prompt.cut} classes are cut at their end: none of theirs is short enough.")
        scores = self._scores(prompt, free + questions, label=label)
        probabilities = calibrated(scores[len(free) :], scores[: len(free)]).astype(np.float32)
        return CategoryPrediction(probabilities, self.shots.classes), prompt, told

    def _scores(self, prompt: Prompt, questions: Sequence[list[int]], *, label: str) -> np.ndarray:
        """(N, L) log probabilities of the labels behind each question, behind the prompt that is read once."""
        writer, device = self.language.writer, self.language.device
        ids = torch.tensor([prompt.tokens], device=device)
        _, state = writer.begin(ids, torch.ones_like(ids, dtype=torch.bool))
        told = [[*own, self.words.between] for own in self.labels.values()]
        tail = sum(len(own) - 1 for own in told)
        scores = np.empty((len(questions), len(told)))
        read_behind = partial(writer.read_behind, state)
        with Bar(label, len(questions)) as bar:
            for index in _portions(questions, tail, num_pieces=len(writer.output)):
                part = [questions[place] for place in index]
                scores[index] = score_branches(read_behind, part, labels=told, start=len(prompt.tokens), device=device)
                bar.advance(len(index))
        return scores

    def _table(self, data: Any) -> Table:
        several = isinstance(data, (list, tuple)) and all(isinstance(item, (str, Path)) for item in data)
        if not several:
            return data if isinstance(data, Table) else read.read(data, expect=self.shots.columns)
        if len(self.shots.columns) > 1:
            names = ", ".join(self.shots.columns)
            raise UserError(f"The examples have {len(self.shots.columns)} texts ({names}): give a table with them.")
        frame = pl.Series(self.shots.columns[0], [str(item) for item in data], pl.String).to_frame()
        return Table(frame=frame, rows=np.arange(1, len(data) + 1), source="the given texts")

    def _columns(self, table: Table) -> pl.DataFrame:
        for name in self.shots.columns:
            if name not in table.frame.columns:
                raise UserError(
                    f"{table.source}: expected the columns of the examples, '{name}' is missing; it has "
                    f"{', '.join(table.frame.columns)}."
                )
        return table.frame


def say(prompt: Prompt, shots: Shots) -> None:
    """How many examples the model is shown."""
    note(f"{len(prompt.rows):,} of {len(shots.labels):,} examples, {len(prompt.tokens):,} tokens, before each text.")


def _portions(questions: Sequence[list[int]], tail: int, *, num_pieces: int) -> Iterator[np.ndarray]:
    """Places of questions of similar length that are read together."""
    lengths = np.array([len(question) for question in questions])
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = min(TOKENS // (int(lengths[order[start]]) + tail), LOGITS // ((1 + tail) * num_pieces))
        yield order[start : start + max(1, size)]
        start += max(1, size)
