"""What was met while a corpus was read, for the person and the report."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_NAMED = 1000  # files whose names are kept


@dataclass(frozen=True)
class Skipped:
    """A file, or a row of one, that was left out. why: a few words."""

    name: str
    why: str

    def __str__(self) -> str:
        return f"{self.name}: {self.why}"


@dataclass
class Counts:
    """Of one reading. Bytes are those on disk; documents, paragraphs and characters are what is left in the end.

    duplicates, near_duplicates: paragraphs removed. cut: paragraphs or documents longer than the bounds, in parts.
    bad_rows: rows without a text. replaced: characters in place of bytes that no character has.
    """

    files: int = 0
    bytes: int = 0
    documents: int = 0
    held_out: int = 0
    paragraphs: int = 0
    characters: int = 0
    duplicates: int = 0
    near_duplicates: int = 0
    cut: int = 0
    bad_rows: int = 0
    replaced: int = 0
    num_skipped: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def skip(self, name: str, why: str) -> None:
        self.num_skipped += 1
        if len(self.skipped) < MAX_NAMED:
            self.skipped.append(Skipped(name, why))

    def sentences(self) -> list[str]:
        """What a person should know beyond the sizes, one sentence each; without what did not happen."""
        found = list(self.notes)
        if self.duplicates:
            found.append(f"{self.duplicates:,} paragraphs stood there before and are removed.")
        if self.near_duplicates:
            found.append(f"{self.near_duplicates:,} paragraphs are nearly equal to one before and are removed.")
        if self.cut:
            found.append(f"{self.cut:,} paragraphs or documents are longer than what is held at once and are cut.")
        if self.bad_rows:
            found.append(f"{self.bad_rows:,} rows hold no text and are left out.")
        if self.replaced:
            found.append(f"{self.replaced:,} characters could not be decoded and are marked with {chr(0xFFFD)}.")
        if self.num_skipped:
            first = "; ".join(map(str, self.skipped[:5]))
            more = f"; and {self.num_skipped - 5:,} more" if self.num_skipped > 5 else ""
            found.append(f"{self.num_skipped:,} files are skipped ({first}{more}).")
        return found
