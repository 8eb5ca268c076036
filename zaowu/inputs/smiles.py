"""Chemical structures as SMILES strings -> their atoms, bonds, rings and branches as tokens -> vectors.

SMILES: Weininger 1988. The tokens are those of the regular expression of Schwaller et al. 2018, table 2, which keeps
an atom in brackets and elements of two letters whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from zaowu.errors import UserError, shorten
from zaowu.inputs import Feature, Item, Shown
from zaowu.records.records import Cleaned

if TYPE_CHECKING:
    from zaowu.inputs.text.embedder import TokenEmbedding

KIND = "smiles"
SETTINGS: dict[str, tuple[str, ...]] = {}
TOKEN = re.compile(r"\[[^\]]+\]|Br?|Cl?|[NOSPFI]|[bcnosp]|[().=#+\\/:~@?>*$-]|%[0-9]{2}|[0-9]")
PAD, UNKNOWN, START, NUM_SPECIAL = 0, 1, 2, 3
MAX_TOKENS = 256
MAX_VOCABULARY, MAX_TOKEN_CHARACTERS = 10_000, 100
RARE = 2  # occurrences below which a token counts as unknown, so that the unknown token is learned too
MAX_GRAM = 3
NUM_SAMPLED = 2000
_STRUCTURE = re.compile(r"[()=#\[\]@]|[cnos][0-9]|[A-Z][0-9].*[A-Za-z][0-9]")
_NO_STRUCTURE = "expected a chemical structure (SMILES)"


def tokens(smiles: str) -> list[str]:
    """`CC(=O)Oc1ccccc1` as ["C", "C", "(", "=", "O", ")", ...]; what matches nothing is left out."""
    return TOKEN.findall(smiles)


def problem(smiles: str) -> str | None:
    """Why a string is no structure, or None: characters, brackets and rings are checked, valences are not."""
    found = tokens(smiles)
    if "".join(found) != smiles:
        strange = TOKEN.sub("", smiles)[:1]
        return f"{_NO_STRUCTURE}, got '{shorten(smiles, 30)}', in which '{strange}' has no meaning"
    depth, rings = 0, Counter[str]()
    for token in found:
        depth += (token == "(") - (token == ")")
        if depth < 0:
            break
        if token.isdigit() or token[0] == "%":
            rings[token.lstrip("%0")] += 1
    if depth:
        return f"{_NO_STRUCTURE}, got '{shorten(smiles, 30)}', whose branches are not all closed"
    if open_rings := sorted(ring for ring, count in rings.items() if count % 2):
        return f"{_NO_STRUCTURE}, got '{shorten(smiles, 30)}', whose ring {open_rings[0] or 0} is not closed"
    if not any(token[0].isalpha() or token[0] in "[*" for token in found):
        return f"{_NO_STRUCTURE}, got '{shorten(smiles, 30)}', which has no atom"
    return None


def guess(values: pl.Series) -> str | None:
    """Nearly all strings are whole structures, and most have branches, double bonds, brackets or rings."""
    if values.dtype != pl.String:
        return None
    sample = values.drop_nulls().str.strip_chars()
    sample = sample.filter(sample != "").head(NUM_SAMPLED)
    if sample.is_empty() or sample.n_unique() < min(2, len(sample)):
        return None
    cells = sample.to_list()
    if sum(problem(cell) is None for cell in cells) < 0.95 * len(cells):
        return None
    structured = [cell for cell in cells if _STRUCTURE.search(cell)]
    lengths = [len(tokens(cell)) for cell in cells]
    if len(structured) < 0.5 * len(cells) or np.mean(lengths) < 5:
        return None
    return f"chemical structures, {np.median(lengths):.0f} tokens in the median"


def clean(values: pl.Series, folder: Path | None = None) -> Cleaned:
    """Every cell without white space at its ends; what is no structure becomes a problem. folder is not needed."""
    found: list[str | None] = []
    problems: dict[int, str] = {}
    for row, cell in enumerate(values.to_list()):
        text = None if cell is None else str(cell).strip()
        if text and (wrong := problem(text)):
            problems[row] = wrong
            text = None
        found.append(text or None)
    return Cleaned(pl.Series(values.name, found, pl.String), found, problems)


class Input:
    """One column of structures as rows of tokens, after a start token. vocabulary: the tokens that are known."""

    kind = KIND
    numbered = True

    def __init__(
        self, columns: Sequence[str], vocabulary: Sequence[str], *, max_tokens: int = MAX_TOKENS, over: int = 0
    ) -> None:
        self.columns, self.vocabulary = tuple(columns), tuple(vocabulary)
        self.max_tokens, self.over = max_tokens, over
        self._ids = {token: place + NUM_SPECIAL for place, token in enumerate(self.vocabulary)}

    @classmethod
    def fit(
        cls,
        columns: Sequence[str],
        values: Sequence[Sequence[str | None]],
        *,
        settings: Mapping[str, Mapping[str, str]] | None = None,
        seed: int = 0,
        kinds: Mapping[str, str] | None = None,
        max_tokens: int = MAX_TOKENS,
    ) -> Input:
        """Learns the tokens of training values, cells as `clean` leaves them. Raises UserError for no structure.

        `over` counts the structures that are longer than `max_tokens`, whose ends are cut off.
        """
        (column,) = columns
        every = [tokens(cell) for cell in values[0] if cell is not None]
        if not every:
            raise UserError(f"column '{column}': expected chemical structures to learn from, got none.")
        counts = Counter(chain.from_iterable(every))
        known = [token for token, count in counts.items() if count >= RARE and len(token) <= MAX_TOKEN_CHARACTERS]
        vocabulary = sorted(known, key=lambda token: (-counts[token], token))[:MAX_VOCABULARY]
        over = sum(len(found) + 1 > max_tokens for found in every)
        return cls(columns, vocabulary, max_tokens=max_tokens, over=over)

    @property
    def specs(self) -> dict[str, Feature]:
        return {"ids": Feature(np.int32, pad=PAD)}

    def features(self, *values: Sequence[str | None], training: bool = False, whole: bool = False) -> list[Item]:
        """One item per structure, of at most `max_tokens`; a missing one gives none."""
        return [Item({"ids": self.ids(cell)}, record) for record, cell in enumerate(values[0]) if cell is not None]

    def ids(self, smiles: str) -> np.ndarray:
        """(T,) int32, the start token first."""
        found = [START, *(self._ids.get(token, UNKNOWN) for token in tokens(smiles))]
        return np.array(found[: self.max_tokens], np.int32)

    def augment(self, features: dict[str, np.ndarray], chance: int) -> dict[str, np.ndarray]:
        """As they are: to write one structure in another order takes a library of chemistry."""
        return features

    def embedder(self, dim: int) -> TokenEmbedding:
        from zaowu.inputs.text.embedder import TokenEmbedding

        return TokenEmbedding(NUM_SPECIAL + len(self.vocabulary), dim, pad_id=PAD)

    def shown(self, *values: str | None) -> Shown:
        return Shown(shorten(values[0] or "", 400))

    def state(self) -> dict[str, Any]:
        return {
            "columns": list(self.columns),
            "vocabulary": list(self.vocabulary),
            "max_tokens": self.max_tokens,
            "over": self.over,
        }

    @classmethod
    def from_state(cls, state: Any, folder: Path, *, where: str) -> Input:
        """The input that a saved run describes. Raises UserError naming `where` for anything made up."""
        if not isinstance(state, dict):
            raise UserError(f"{where}: expected an object, got {type(state).__name__}.")
        columns, vocabulary, max_tokens, over = (
            state.get(key) for key in ("columns", "vocabulary", "max_tokens", "over")
        )
        if not (isinstance(columns, list) and len(columns) == 1 and isinstance(columns[0], str)):
            raise UserError(f"{where}: expected the name of one column of structures, got {shorten(repr(columns))}.")
        if not isinstance(vocabulary, list) or len(vocabulary) > MAX_VOCABULARY:
            raise UserError(
                f"{where}: expected a list of at most {MAX_VOCABULARY:,} tokens, got {shorten(vocabulary)}."
            )
        _check_tokens(vocabulary, where=where)
        if type(max_tokens) is not int or not 2 <= max_tokens <= 100_000:
            raise UserError(f"{where}: expected max_tokens from 2 to 100,000, got {shorten(max_tokens)}.")
        if type(over) is not int or over < 0:
            raise UserError(f"{where}: expected a count from 0, got {shorten(over)}.")
        return cls(columns, vocabulary, max_tokens=max_tokens, over=over)


class BaselineFeatures:
    """How often runs of one to three tokens occur in a structure, L2-normalised: a fingerprint of its neighbourhoods.

    grams: the runs, each its tokens with a space between them. size: mean and deviation of the logarithm of the
    number of tokens, which a normalised row no longer tells.
    """

    name: ClassVar[str] = "runs of SMILES tokens"

    def __init__(self, grams: Sequence[str], size: tuple[float, float]) -> None:
        self.grams, self.size = tuple(grams), size
        self._places = {gram: place for place, gram in enumerate(self.grams)}

    @classmethod
    def fit(
        cls,
        *values: Sequence[str | None],
        max_features: int = 300_000,
        kinds: Mapping[str, str] | None = None,
    ) -> tuple[BaselineFeatures, Any]:
        """Learns the runs of training values, one column, that occur in two of them or more, the most common first."""
        every = [tokens(cell) for cell in values[0] if cell is not None]
        if not every:
            raise UserError("expected chemical structures to learn from, got none.")
        frequency = Counter(gram for found in every for gram in set(_grams(found)))
        least = 2 if len(every) > 1 else 1
        common = [gram for gram, count in frequency.items() if count >= least]
        sizes = np.log1p([len(found) for found in every])
        chosen = sorted(common, key=lambda gram: (-frequency[gram], gram))[: max(0, max_features - 1)]
        made = cls(sorted(chosen), (float(sizes.mean()), float(sizes.std()) or 1.0))
        return made, made.transform(*values)

    @property
    def num_features(self) -> int:
        return len(self.grams) + 1

    def transform(self, *values: Sequence[str | None]) -> Any:
        """(N, num_features) float32 scipy CSR matrix; a missing structure is a row of zeros."""
        from scipy import sparse

        data: list[float] = []
        columns: list[int] = []
        begins = [0]
        for cell in values[0]:
            if cell is not None:
                found = tokens(cell)
                counts = Counter(place for gram in _grams(found) if (place := self._places.get(gram)) is not None)
                norm = float(np.sqrt(sum(count**2 for count in counts.values()))) or 1.0
                columns += [*counts, len(self.grams)]
                data += [*(count / norm for count in counts.values()), self._size(len(found))]
            begins.append(len(data))
        shape = (len(begins) - 1, self.num_features)
        return sparse.csr_matrix((np.array(data, np.float32), np.array(columns, np.int32), begins), shape=shape)

    def _size(self, length: int) -> float:
        return float(np.log1p(length) - self.size[0]) / self.size[1]

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"grams": list(self.grams), "size": list(self.size)}, {}

    @classmethod
    def from_state(cls, plain: Any, arrays: Mapping[str, np.ndarray], *, where: str) -> BaselineFeatures:
        """The strict inverse of `state`. Raises UserError naming `where`."""
        if not isinstance(plain, dict) or set(plain) != {"grams", "size"} or not isinstance(plain["grams"], list):
            raise UserError(f"{where}: expected runs of tokens and a size, got {shorten(plain)}.")
        for gram in plain["grams"]:
            if not isinstance(gram, str) or not 1 <= len(parts := gram.split(" ")) <= MAX_GRAM:
                raise UserError(f"{where}: expected runs of 1 to {MAX_GRAM} tokens, got {shorten(repr(gram))}.")
            if not all(TOKEN.fullmatch(part) for part in parts):
                raise UserError(f"{where}: expected runs of SMILES tokens, got {shorten(repr(gram))}.")
        if len(set(plain["grams"])) < len(plain["grams"]):
            raise UserError(f"{where}: expected each run of tokens once.")
        size = plain["size"]
        is_pair = isinstance(size, list) and len(size) == 2 and all(type(value) is float for value in size)
        if not is_pair or not np.isfinite(size).all() or not size[1] > 0:
            raise UserError(f"{where}: expected a mean and a deviation of sizes, got {shorten(size)}.")
        return cls(plain["grams"], (size[0], size[1]))


def _grams(found: Sequence[str]) -> Iterable[str]:
    """All runs of one to MAX_GRAM tokens."""
    for size in range(1, MAX_GRAM + 1):
        for place in range(len(found) - size + 1):
            yield " ".join(found[place : place + size])


def _check_tokens(vocabulary: Sequence[Any], *, where: str) -> None:
    for token in vocabulary:
        if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS or not TOKEN.fullmatch(token):
            raise UserError(f"{where}: expected SMILES tokens, got {shorten(repr(token))}.")
    if len(set(vocabulary)) < len(vocabulary):
        raise UserError(f"{where}: expected each token once.")
