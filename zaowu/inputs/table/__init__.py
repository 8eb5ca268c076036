"""Tables: numbers, categories (yes and no among them) and dates -> one token a column.

"34"            number     where it lies among the training values, in quantile bins
"own", "true"   category   one of the training values; others are unknown; very many are hashed into buckets
"2024年3月1日"   date       its moment, month, day of the week, day and hour, as numbers
""              missing    a state of its own, learned
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zaowu.inputs import Feature, Item, Shown
from zaowu.inputs.table.baseline import BaselineFeatures
from zaowu.inputs.table.columns import KINDS, MISSING, NO_PLACE, PARTS, UNKNOWN, Columns
from zaowu.progress import note
from zaowu.records.identity import mixed

if TYPE_CHECKING:
    import polars as pl

    from zaowu.inputs.table.embedder import TableEmbedding
    from zaowu.records.records import Cleaned

__all__ = ["KIND", "SETTINGS", "BaselineFeatures", "Input", "clean"]
KIND = "table"
SETTINGS: dict[str, tuple[str, ...]] = {}
SHOWN_CHARS = 400
HIDDEN = 0.01  # of the cells in training, for each state that would not be learned otherwise


def clean(values: pl.Series, folder: Path | None) -> Cleaned:
    """Cells as strings without white space at their ends, null where nothing is left. No cell is a problem: what
    cannot be read counts as missing, and fitting says so."""
    import polars as pl

    from zaowu.records.facts import as_strings
    from zaowu.records.identity import normalised
    from zaowu.records.records import Cleaned

    cells = as_strings(values).str.strip_chars()
    cells = cells.set(cells == "", None).cast(pl.String)
    different = cells.drop_nulls().unique()
    content = dict(zip(different.to_list(), map(normalised, different.to_list()), strict=True))
    return Cleaned(cells, [None if cell is None else content[cell] for cell in cells.to_list()], {})


class Input:
    """The columns of a table as one row of tokens, one a column that carries something; `tokens` names them."""

    kind = KIND
    numbered = False

    def __init__(self, fitted: Columns) -> None:
        self.fitted = fitted
        self.columns = fitted.names
        self.tokens = tuple(column.name for column in fitted.used)
        self.notes = fitted.notes
        sizes = [column.num_codes for column in fitted.used]
        self.num_codes = sum(sizes)
        self.starts = np.cumsum([0, *sizes[:-1]]).astype(np.int32)  # of each column's codes
        self.unseen = {  # state -> (T,) bool: whether no training row has it
            state: np.array([state in column.unseen for column in fitted.used]) for state in (MISSING, UNKNOWN)
        }
        self.num_parts = len(PARTS) if fitted.count("date") else 1

    @property
    def max_tokens(self) -> int:
        return len(self.tokens)

    @classmethod
    def fit(
        cls,
        columns: Sequence[str],
        values: Sequence[Sequence[str | None]],
        *,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        seed: int = 0,
        kinds: Mapping[str, str] | None = None,
    ) -> Input:
        """Learns from training values, one sequence per column. kinds: column -> number, category or date; a column
        without one is a category. What had to be decided is noted."""
        kinds = {name: (kinds or {}).get(name, "category") for name in columns}
        found = cls(Columns.fit(columns, values, kinds))
        for sentence in found.notes:
            note(sentence)
        return found

    @property
    def specs(self) -> dict[str, Feature]:
        return {"codes": Feature(np.int32, pad=0), "places": Feature(np.float32, pad=NO_PLACE, shape=(self.num_parts,))}

    def features(self, *values: Sequence[str | None], training: bool = False, whole: bool = False) -> list[Item]:
        """One item a record, of `max_tokens` tokens; a cell without a value is a token as well.

        values: one sequence per column, in the order of `columns`.
        """
        read = self.fitted.read(values)
        codes = np.stack([cells.codes for cells in read], axis=1) + self.starts  # (N, T)
        places = np.full((*codes.shape, self.num_parts), NO_PLACE, np.float32)  # (N, T, P)
        for token, cells in enumerate(read):
            places[:, token, : cells.places.shape[1]] = cells.places
        return [Item({"codes": codes[i], "places": places[i]}, i) for i in range(len(codes))]

    def augment(self, features: dict[str, np.ndarray], chance: int) -> dict[str, np.ndarray]:
        """A few cells take a state that no training row has, missing or unknown, so that its vector is learned too.

        chance: 64 bits, of which the draws are a function.
        """
        draws = mixed(np.arange(len(self.tokens), dtype=np.uint64) + mixed(np.array([chance % 2**64], np.uint64)))
        states = (draws / 2.0**64 / HIDDEN).astype(np.int64)  # (T,): 0 missing, 1 unknown, others: left as it is
        hidden = np.zeros(len(states), bool)
        for state in (MISSING, UNKNOWN):
            hidden |= (states == state) & self.unseen[state]
        if not hidden.any():
            return features
        codes = np.where(hidden, self.starts + states, features["codes"]).astype(np.int32)
        return {"codes": codes, "places": np.where(hidden[:, None], np.float32(NO_PLACE), features["places"])}

    def embedder(self, dim: int) -> TableEmbedding:
        from zaowu.inputs.table.embedder import TableEmbedding

        return TableEmbedding(
            self.num_codes,
            num_numbers=self.fitted.count(KINDS[0]),
            num_dates=self.fitted.count(KINDS[1]),
            num_parts=self.num_parts,
            dim=dim,
        )

    def shown(self, *values: str | None) -> Shown:
        """The row of one record: `age: 34, housing: own`."""
        cells = ", ".join(
            f"{name}: {'–' if value is None else value}" for name, value in zip(self.columns, values, strict=True)
        )
        return Shown(cells if len(cells) <= SHOWN_CHARS else cells[: SHOWN_CHARS - 1] + "…")

    def state(self) -> dict[str, Any]:
        return self.fitted.state()

    @classmethod
    def from_state(cls, state: Any, folder: Path, *, where: str) -> Input:
        """The input that a saved run describes. Raises UserError for anything made up."""
        return cls(Columns.from_state(state, where=where))
