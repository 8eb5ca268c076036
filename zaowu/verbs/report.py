"""`zaowu report`: writes the page of a saved run again, for instance in the other language."""

from __future__ import annotations

from pathlib import Path

from zaowu.errors import UserError
from zaowu.report.say import language
from zaowu.report.write import write
from zaowu.run.folder import opened, seal
from zaowu.run.load import read_content


def report(run: str | Path, *, out: str | Path | None = None, lang: str | None = None) -> Path:
    """Returns the page that was written: `out`, or report.html in the run. Raises UserError for a damaged run."""
    folder, words = Path(run), language(lang)
    manifest = opened(folder)
    path = checked_page(out) if out is not None else folder / "report.html"
    write(path, read_content(folder), lang=words)
    if out is None:
        seal(folder, {name: value for name, value in manifest.items() if name not in ("format", "files")})
    return path


def checked_page(out: str | Path) -> Path:
    """A path where a page can be written, as far as can be seen before any work. Raises UserError."""
    path = Path(out)
    if path.is_dir():
        raise UserError(f"--out {path}: expected the name of a page, such as report.html, found a folder.")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.parent}.")
    return path
