"""One file per modality: raw value -> features (numpy) -> vectors (an embedder).

A modality is a module of this folder with
    guess(values: polars.Series) -> str | None      why the column is of this kind, or None; strict but for text
    clean(values, folder) -> Cleaned                what is usable of a column; without it values are text
    SETTINGS                                        what `--column NAME:setting=value` may say: setting -> its choices;
                                                    none: a whole number from 1
    ENDINGS, begins(head) -> bool                   where a value may be a file: how its name may end, and whether
                                                    its first `HEAD_BYTES` bytes are those of one
    Input, BaselineFeatures                         the classes below, by duck typing

An `Input` stands for one group of columns and offers
    kind, columns, max_tokens                       its modality, what it reads, and how long its longest item is
    numbered                                        whether its tokens have places that the trunk marks (0, 1, 2, ...),
                                                    or bring their own
    Input.fit(columns, values, settings=, seed=, kinds=) -> Input     learns from training values only
    features(*values, training=, whole=) -> list of Item              unpadded numpy features, one sequence a column;
                                                    whole: one item a record at most, since other groups stand beside
    augment(features, chance) -> features           in training only: a function of the chance alone
    specs: dict[str, Feature]                       shape, dtype and pad value of each feature
    embedder(dim) -> torch.nn.Module                features of a batch -> (B, T, dim)
    shown(*values) -> Shown                         one record, for a person
    words(*values) -> str                           its words alone, where pictures and sounds take time to make
    state() / Input.from_state(state, folder)       what it learned, as plain data and files

Its `BaselineFeatures` are what the cheap linear method sees of the same columns
    fit(*values, max_features=) -> features, matrix           (N, F) scipy CSR of float32
    transform(*values) -> matrix; num_features
    state() / from_state(plain, arrays, where=)     plain data and arrays by name

`Inputs` puts the groups of a record side by side.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from zaowu import listing
from zaowu.errors import UserError, nearest, shorten

HEAD_BYTES = 512  # of a file, by which its kind is known
CELLS = ("number", "category", "date")  # kinds of column that one `table` reads together
TOGETHER = {"text": "text", **dict.fromkeys(CELLS, "table")}  # kind -> the group that all columns of it share


@dataclass(frozen=True)
class Feature:
    """What one feature of a record looks like before padding: (T, *shape) of `dtype`."""

    dtype: type
    pad: float
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Item:
    """One piece of work for the model: a record, or one window of a long one.

    features: name -> (T, ...) numpy. record: its index among the values given. share: its part of the record.
    Where answers are places in a text: `text`, and places (T, 2), the characters of it that each token stands for.
    """

    features: dict[str, np.ndarray]
    record: int
    share: float = 1.0
    text: str = ""
    places: np.ndarray | None = None

    @property
    def length(self) -> int:
        return len(next(iter(self.features.values())))


@dataclass(frozen=True)
class Beside:
    """A record of several groups. items: for each group its item, or None where the record lacks it."""

    items: tuple[Any, ...]
    record: int
    share: float = 1.0

    @property
    def length(self) -> int:
        return sum(item.length for item in self.items if item is not None)


@dataclass(frozen=True)
class Shown:
    """A record as a person sees it. picture, sound: data URIs, empty where there is none."""

    words: str
    picture: str = ""
    sound: str = ""


class Inputs:
    """All groups that a model reads, by name: `text`, `table`, `image`, and `image2` for a second column of images."""

    def __init__(self, groups: Mapping[str, Any]) -> None:
        assert groups
        self.groups = dict(groups)
        self.alone = next(iter(self.groups.values())) if len(self.groups) == 1 else None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for own in self.groups.values() for column in own.columns)

    @property
    def specs(self) -> dict[str, dict[str, Feature]]:
        return {name: own.specs for name, own in self.groups.items()}

    @property
    def numbered(self) -> dict[str, bool]:
        return {name: own.numbered for name, own in self.groups.items()}

    @property
    def kinds(self) -> frozenset[str]:
        """The modalities."""
        return frozenset(own.kind for own in self.groups.values())

    @property
    def text(self) -> Any:
        """The group of texts, or None."""
        return self.groups.get("text")

    @property
    def notes(self) -> list[str]:
        """What fitting had to decide, in sentences."""
        return [sentence for own in self.groups.values() for sentence in getattr(own, "notes", ())]

    @property
    def max_tokens(self) -> int:
        """Of the longest item."""
        return sum(own.max_tokens for own in self.groups.values())

    @property
    def max_place(self) -> int:
        """Tokens whose places the trunk must tell apart."""
        return max((own.max_tokens for own in self.groups.values() if own.numbered), default=1)

    def items(self, values: Mapping[str, Sequence[Any]], *, training: bool = False) -> list[Any]:
        """What the model reads of N records: column -> N values. With one group its items, which may be windows."""
        if self.alone is not None:
            found: list[Any] = self.alone.features(*(values[name] for name in self.alone.columns), training=training)
            return found
        num_records = len(values[self.columns[0]])
        rows: list[list[Any]] = [[None] * len(self.groups) for _ in range(num_records)]
        for place, own in enumerate(self.groups.values()):
            for item in own.features(*(values[name] for name in own.columns), training=training, whole=True):
                rows[item.record][place] = item
        return [Beside(tuple(row), record) for record, row in enumerate(rows) if any(item is not None for item in row)]

    def features(self, item: Any, *, chance: int | None = None) -> dict[str, dict[str, np.ndarray]]:
        """Group -> the features of an item, without the groups that it lacks. chance: of training's augmentation."""
        found = {}
        for (name, own), part in zip(self.groups.items(), self._parts(item), strict=True):
            if part is not None:
                found[name] = part.features if chance is None else own.augment(part.features, chance)
        return found

    def text_item(self, item: Any) -> Item | None:
        """The part of an item that is text: its tokens come first. None where the record lacks it."""
        found: Item | None = self._parts(item)[list(self.groups).index("text")]
        return found

    def _parts(self, item: Any) -> tuple[Any, ...]:
        return (item,) if self.alone is not None else item.items

    def shown(self, values: Mapping[str, Sequence[Any]], record: int) -> Shown:
        """One of N records: the words of all groups, the first picture and the first sound."""
        own = [group.shown(*(values[name][record] for name in group.columns)) for group in self.groups.values()]
        return Shown(
            " | ".join(one.words for one in own if one.words),
            next((one.picture for one in own if one.picture), ""),
            next((one.sound for one in own if one.sound), ""),
        )

    def words(self, values: Mapping[str, Sequence[Any]]) -> list[str]:
        """(N,) the words of each record; those of text columns joined, others as their kind tells them."""
        told = [
            [_words(own)(*row) for row in zip(*(values[name] for name in own.columns), strict=True)]
            for own in self.groups.values()
        ]
        return [" | ".join(words for words in row if words) for row in zip(*told, strict=True)]

    def state(self) -> dict[str, Any]:
        return {name: {"kind": own.kind, "state": own.state()} for name, own in self.groups.items()}

    @classmethod
    def from_state(cls, state: Any, folder: Any, *, where: str) -> Inputs:
        """Those that a saved run describes. Raises UserError for a hostile one."""
        if not isinstance(state, dict) or not state:
            raise UserError(f"{where}: expected the groups of columns, got {shorten(state)}.")
        groups = {}
        for name, own in state.items():
            place = f"{where}, '{shorten(name)}'"
            if not isinstance(own, dict) or set(own) != {"kind", "state"}:
                raise UserError(f"{place}: expected an object with kind and state, got {shorten(own)}.")
            module = find(own["kind"], where=place)
            if kind_of(name) != own["kind"]:
                raise UserError(f"{place}: expected a group of that kind, got {shorten(own['kind'])}.")
            groups[name] = module.Input.from_state(own["state"], folder, where=place)
        return cls(groups)


def _words(own: Any) -> Callable[..., str]:
    found: Callable[..., str] = getattr(own, "words", None) or (lambda *values: own.shown(*values).words)
    return found


def grouped(columns: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """(name, kind) of each input column -> group -> its columns: all texts together and first, all cells together."""
    groups: dict[str, list[str]] = {}
    for column, kind in columns:
        name, number = TOGETHER.get(kind, kind), 1
        while kind not in TOGETHER and name in groups:
            number += 1
            name = f"{kind}{number}"
        groups.setdefault(name, []).append(column)
    return {name: groups[name] for name in sorted(groups, key=lambda name: name != "text")}


def modality(kind: str) -> str:
    """A kind of column -> the file that reads it."""
    return TOGETHER.get(kind, kind)


def kind_of(group: str) -> str:
    """A group's name -> the file that reads it: `image2` -> `image`."""
    return group.rstrip("0123456789")


def find(name: object, *, where: str) -> ModuleType:
    """The module of a modality. Raises UserError naming `where`."""
    return listing.load(sys.modules[__name__], name, where=where)


def files_of(kind: str) -> tuple[tuple[str, ...], Callable[[bytes], bool]] | None:
    """Of a kind whose values may be files: their endings, and whether first bytes are those of one; else None."""
    module = find(modality(kind), where="inputs")
    return (module.ENDINGS, module.begins) if hasattr(module, "ENDINGS") else None


def guessers() -> dict[str, Callable]:
    """Kind of column -> the function that says why a column is of that kind, or None.

    Numbers, categories and dates are known by sight already: there it is always None.
    """
    return {kind: getattr(module, "guess", _never) for kind, module in _by_kind()}


def cleaners(kinds: Iterable[str] | None = None) -> dict[str, Callable]:
    """Kind of column -> the function that makes its values usable, for those that have one.

    kinds: those that are wanted, and no other is imported; None: all.
    """
    modules = _by_kind() if kinds is None else [(kind, _module(modality(kind))) for kind in dict.fromkeys(kinds)]
    return {kind: module.clean for kind, module in modules if hasattr(module, "clean")}


@cache
def _module(name: str) -> ModuleType:
    """Looked up once: a model asks for it at every call."""
    return find(name, where="inputs")


def check_settings(kinds: Mapping[str, str], settings: Mapping[str, Mapping[str, str]]) -> None:
    """Whether what is said of columns can be said of their kind. Raises UserError naming the flag.

    kinds: column -> kind, of the inputs. settings: column -> its settings.
    """
    for column, own in settings.items():
        flag = f"--column {shorten(column)}"
        if column not in kinds:
            raise UserError(f"{flag}: expected a column that is learned from.{nearest(column, kinds)}")
        known = getattr(find(modality(kinds[column]), where=flag), "SETTINGS", {})
        for name, value in own.items():
            if name not in known:
                choices = f"one of kind, {', '.join(known)}" if known else "kind and nothing else"
                raise UserError(f"{flag}: expected {choices} for a column of {kinds[column]}, got '{shorten(name)}'.")
            if known[name] and value not in known[name]:
                raise UserError(f"{flag}:{name}: expected {', '.join(known[name])}, got '{shorten(value)}'.")
            if not known[name] and not re.fullmatch(r"[1-9]\d{0,7}", value, re.ASCII):
                raise UserError(f"{flag}:{name}: expected a whole number from 1, got '{shorten(value)}'.")


def _by_kind() -> Iterator[tuple[str, ModuleType]]:
    package = sys.modules[__name__]
    for name in listing.names(package):
        module = listing.load(package, name, where="inputs")
        yield from ((kind, module) for kind in (CELLS if name == "table" else (name,)))


def _never(values: Any) -> None:
    return None
