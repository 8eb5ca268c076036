"""The folder of a tokenised corpus: `shards.json`, and the shards that it names with their checksums."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zaowu.bases.cache import sha256
from zaowu.batching.shards import file
from zaowu.batching.shards.sentences import chinese_words
from zaowu.batching.shards.shard import Shard
from zaowu.config import from_plain
from zaowu.errors import UserError, shorten
from zaowu.inputs.text.codec import Codec
from zaowu.progress import note
from zaowu.records.corpus import Corpus, Counts, refuse_weight

MANIFEST = "shards.json"
PASSING = "passing"  # a file that says: nobody asked to keep these shards
FORMAT = 2
SIDES = ("train", "valid")
_NAME = re.compile(r"(train|valid)-(\d{5}-)?\d{5}\.safetensors")
_OURS = re.compile(
    r"(pieces|passing|shards\.json|part-\d+-of-\d+\.json|(train|valid)-[\d-]+\.safetensors)(\.[0-9a-f]{8})?(\.new)?"
)
# What changes the tokens; the rest of CorpusConfig is about learning the pieces.
SETTINGS = (
    "text_column", "document_column", "held_out", "duplicates", "near_duplicates", "whole_word", "shard_tokens"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One shard: its file's name in the folder, sha256, what is in it, and for what ("train" or "valid").

    by_source: its tokens of each source.
    """

    file: str
    sha256: str
    tokens: int
    by_source: list[int]
    documents: int
    sentences: int
    side: Literal["train", "valid"]


@dataclass(frozen=True, kw_only=True)
class SourceFacts:
    """One source as it was read. digest: of its files' names and sizes."""

    path: str
    weight: float
    files: int
    bytes: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Made:
    """What shards were made from: equal for all of a folder, and for every part of an array job."""

    format: int = FORMAT
    sources: list[SourceFacts]
    settings: dict[str, Any]
    codec: str  # fingerprint
    num_pieces: int
    parts: int

    @classmethod
    def of(cls, corpus: Corpus, codec: Codec, parts: int) -> Made:
        settings = {name: getattr(corpus.config, name) for name in SETTINGS}
        if corpus.config.whole_word:  # two machines of one job must agree
            settings["whole_word"] = "characters" if chinese_words() is None else "jieba"
        if corpus.config.near_duplicates:
            settings["memory_mb"] = corpus.config.memory_mb
        sources = [SourceFacts(**asdict(source)) for source in corpus.sources]
        return cls(
            sources=sources, settings=settings, codec=codec.fingerprint, num_pieces=codec.num_pieces, parts=parts
        )

    def difference(self, other: Made) -> str:
        """What `other` has and this has not, in a few words; "" where both make the same shards."""
        if len(self.sources) != len(other.sources):
            return f"{len(other.sources)} sources, {len(self.sources)} before"
        for old, new in zip(self.sources, other.sources, strict=True):
            if (old.files, old.bytes) != (new.files, new.bytes):
                before = f"{old.files:,} files of {old.bytes:,} bytes before"
                return f"'{new.path}' has {new.files:,} files of {new.bytes:,} bytes, {before}"
            if old.digest != new.digest:
                return f"the files of '{new.path}' have other names or sizes"
        if self.codec != other.codec:
            return f"the tokenizer is another one ({other.num_pieces:,} pieces, {self.num_pieces:,} before)"
        for name in sorted({*self.settings, *other.settings}):
            old_value, new_value = (made.settings.get(name) for made in (self, other))
            if old_value != new_value:
                return f"the setting {name} is {new_value}, {shorten(old_value, 30)} before"
        if self.parts != other.parts:
            return f"--part is of {other.parts}, {self.parts} before"
        return ""

    def refuse_other(self, other: Made, folder: Path) -> None:
        """Raises UserError where `other` would make other shards than stand in `folder`."""
        if what := self.difference(other):
            raise UserError(
                f"{folder}: the shards here were made from something else: {what}. Give what they were made from, "
                "or choose another folder."
            )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """`shards.json`, and while shards are made the file of one part. counts: what was met while reading."""

    made: Made
    shards: list[Entry] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    complete: bool = False

    def write(self, path: Path) -> None:
        fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.new")  # two parts may end at the same moment
        fresh.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1), "utf-8")
        fresh.replace(path)

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Raises UserError for a file that is missing, broken or hostile."""
        try:
            data = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path.parent}: expected a file '{path.name}', found none.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read as JSON ({shorten(error, 100)}).") from None
        made = data.get("made") if isinstance(data, dict) else None
        if isinstance(made, dict) and made.get("format") != FORMAT:
            found = shorten(repr(made.get("format")), 20)
            raise UserError(f"{path}: expected format {FORMAT}, got {found}; it needs another Zaowu.")
        manifest = from_plain(cls, data, where=str(path))
        for entry in manifest.shards:
            if not _NAME.fullmatch(entry.file):
                raise UserError(f"{path}: {shorten(repr(entry.file))} is not the name of a shard in this folder.")
            if min(entry.tokens, entry.documents, entry.sentences) < 1:
                raise UserError(f"{path}, '{entry.file}': expected sizes of at least 1.")
            own = entry.by_source
            if len(own) != len(manifest.made.sources) or min(own) < 0 or sum(own) != entry.tokens:
                raise UserError(f"{path}, '{entry.file}': its tokens by source are not those of the shard.")
        for source in manifest.made.sources:
            refuse_weight(source.weight, where=str(path))
        numbers = {name: number for name, number in vars(manifest.counts).items() if isinstance(number, int)}
        if low := next((name for name, number in numbers.items() if number < 0), ""):
            raise UserError(f"{path}, 'counts': expected '{low}' to be at least 0, got {numbers[low]}.")
        return manifest


class Shards:
    """A whole tokenised corpus. train, valid: its shards, in order. weights: of the sources, for mixing."""

    def __init__(self, folder: Path, manifest: Manifest, *, weights: Sequence[float] | None = None) -> None:
        self.folder, self.made, self.counts = folder, manifest.made, manifest.counts
        self.train, self.valid = (
            tuple(entry for entry in manifest.shards if entry.side == side) for side in SIDES
        )  # fmt: skip
        self.weights = tuple(weights or (source.weight for source in manifest.made.sources))
        self._checked: set[str] = set()

    @property
    def sources(self) -> list[SourceFacts]:
        return self.made.sources

    def entries(self, side: str) -> tuple[Entry, ...]:
        return {"train": self.train, "valid": self.valid}[side]

    def num_tokens(self, side: str) -> int:
        return sum(entry.tokens for entry in self.entries(side))

    def seen_tokens(self, entry: Entry, weights: Sequence[float] = ()) -> float:
        """Of a shard by an epoch, sources weighted."""
        return (
            sum(weight * num for weight, num in zip(weights, entry.by_source, strict=True)) if weights else entry.tokens
        )

    def epoch_tokens(self, side: str) -> float:
        """Of a side by an epoch, sources weighted."""
        return sum(self.seen_tokens(entry, self.weights) for entry in self.entries(side))

    def tokens_by_source(self, side: str) -> list[int]:
        return [sum(entry.by_source[place] for entry in self.entries(side)) for place in range(len(self.sources))]

    def num_documents(self, side: str) -> int:
        return sum(entry.documents for entry in self.entries(side))

    def by_source(self) -> list[int]:
        """How many documents are of each source, on both sides."""
        counts = np.zeros(len(self.sources), np.int64)
        for entry in (*self.train, *self.valid):
            counts += np.bincount(self.open(entry).sources, minlength=len(counts))
        return [int(count) for count in counts]

    def open(self, entry: Entry) -> Shard:
        """The shard, memory-mapped; its checksum is compared the first time. Raises UserError naming a damaged one."""
        path = self.folder / entry.file
        if entry.file not in self._checked:
            verify(path, entry)
        shard = file.read(path, num_pieces=self.made.num_pieces)
        sizes = (shard.num_tokens, shard.num_documents, len(shard.sentences) - 1)
        if sizes != (entry.tokens, entry.documents, entry.sentences):
            raise UserError(f"{path}: {MANIFEST} says other sizes than the shard has. Tokenise the corpus anew.")
        if int(shard.sources.max()) >= len(self.weights):
            raise UserError(f"{path}: the shard is damaged (it names a source that is none). Tokenise anew.")
        self._checked.add(entry.file)
        return shard


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns a full disk or a forbidden folder into one sentence."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or shorten(error, 200)
        raise UserError(
            f"{folder}: the tokenised corpus cannot be written ({reason}). Choose another folder with --shards."
        ) from None


def verify(path: Path, entry: Entry) -> None:
    """Raises UserError where the file is missing or not the one that was written."""
    try:
        found = sha256(path)
    except FileNotFoundError:
        raise UserError(f"{path}: the shard is missing. Copy the folder again, or tokenise anew.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if found != entry.sha256:
        raise UserError(
            f"{path}: the shard is damaged (its sha256 is not the one in the list). Copy it again, or delete the "
            "folder and tokenise anew."
        )


def begin_shards(folder: Path, *, keep: bool, anew: bool) -> None:
    """Says of a folder whether its shards stay; anew: those that nobody asked to keep go first.

    Shards that were asked for once stay, whatever a later call says. Raises UserError as `remove_shards`, and OSError
    where nothing can be written.
    """
    if keep:
        (folder / PASSING).unlink(missing_ok=True)
        return
    if anew:
        remove_shards(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        if not (folder / PASSING).is_file():
            note(f"{folder}: the tokenised corpus here was kept with --shards; it is used, and stays.")
    else:
        (folder / PASSING).touch()


def leave_nothing(folder: Path) -> None:
    """Away with a folder that was begun and holds nothing yet, and with the one around it if that is empty too."""
    if folder.is_dir() and [path.name for path in folder.iterdir()] == [PASSING]:
        (folder / PASSING).unlink()
        folder.rmdir()
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def remove_shards(folder: Path) -> None:
    """Away with a folder that `build` made, where nobody asked to keep it; nothing happens where there is none.

    Raises UserError where anything else lies in it: that is somebody's, and stays.
    """
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    strange = [name for name in names if not _OURS.fullmatch(name)]
    if strange or folder.is_file() or folder.is_symlink():
        what = f"'{shorten(strange[0])}' lies in it" if strange else "it is no folder"
        raise UserError(
            f"{folder}: the tokenised corpus would go here, and {what}, which is not of our making. Move it, choose "
            "another --out, or name a folder with --shards."
        )
    if PASSING in names:
        for path in (folder / name for name in names if name != PASSING):  # the mark goes last, for a kill may come
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(folder, ignore_errors=True)


def open_shards(folder: Path) -> Shards:
    """The tokenised corpus in `folder`. Raises UserError naming what is missing, and which parts are not done."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: expected the folder of a tokenised corpus, found none.")
    if not (folder / MANIFEST).is_file() and (found := sorted(folder.glob("part-*-of-*.json"))):
        parts = [Manifest.read(path) for path in found]
        num_done, num = sum(part.complete for part in parts), parts[0].made.parts
        raise UserError(
            f"{folder}: the corpus is tokenised by {num} parts, of which {num_done} are done. Call the same command "
            f"{'again' if num == 1 else 'with --part for the others'}; what is there is kept."
        )
    return Shards(folder, Manifest.read(folder / MANIFEST))
