"""One-line English descriptions of Debian's packages -> the section of the archive that they stand in."""

from __future__ import annotations

from pathlib import Path

from sets import fetch
from sets.rows import Row, Source, TextSet, clean, sample, split, unique
from zaowu.errors import UserError

# Sections about a subject. Those about a language or a form (python, libs, doc) are told by a single word.
SECTIONS = {
    *("admin", "database", "fonts", "games", "graphics", "mail", "math", "net", "science", "sound", "video"),
    "web",
}
PER_SECTION = 700
NOT_ABOUT_ANYTHING = ("transitional", "dummy package", "metapackage", "meta-package")


def parse(dump: str) -> list[Row]:
    """Descriptions and sections from `apt-cache dumpavail`: one package, the main one, for each source.

    Packages of one source describe the same thing ("... - data files"), so a second one would leak.
    """
    chosen: dict[str, tuple[tuple[int, str], Row]] = {}
    for block in dump.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1].isalpha() and ": " in line)
        text = clean(fields.get("Description", fields.get("Description-en", "")))
        package, section = fields.get("Package", ""), fields.get("Section", "").rpartition("/")[2]
        if not text or any(word in text.lower() for word in NOT_ABOUT_ANYTHING):
            continue
        source = fields.get("Source", package).split(" ")[0]
        order = (len(package), package)  # the shortest name: neither -data nor -dev
        if source not in chosen or order < chosen[source][0]:
            chosen[source] = (order, (text, section))
    return [row for _, (_, row) in sorted(chosen.items())]


def release(os_release: Path = Path("/etc/os-release")) -> str:
    """`Debian GNU/Linux 12 (bookworm)`, or that it is unknown."""
    if not os_release.exists():
        return "unknown"
    lines = dict(line.split("=", 1) for line in os_release.read_text().splitlines() if "=" in line)
    return lines.get("PRETTY_NAME", "unknown").strip('"')


def build() -> TextSet:
    """`packages`: twelve sections of unequal size."""
    rows = [row for row in unique(parse(fetch.run(["apt-cache", "dumpavail"]))) if row[1] in SECTIONS]
    if len(rows) < 4000:
        raise UserError(f"apt's package lists hold only {len(rows):,} fitting packages; run 'apt-get update' first.")
    train, test = split(sample(rows, PER_SECTION, per_label=True), train=3000, test=1500)
    source = Source("Debian package lists (main)", release(), "that of each package's packaging")
    return TextSet("packages", "left out", "package description -> section", source, train, test)
