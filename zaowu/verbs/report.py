"""`zaowu report`: writes the page of a saved run again, for instance in the other language."""

from __future__ import annotations

from pathlib import Path

from zaowu.report.say import language
from zaowu.report.write import write
from zaowu.run.folder import opened, seal
from zaowu.run.load import read_content


def report(run: str | Path, *, out: str | Path | None = None, lang: str | None = None) -> Path:
    """Returns the page that was written: `out`, or report.html in the run. Raises UserError for a damaged run."""
    folder = Path(run)
    manifest = opened(folder)
    path = Path(out) if out is not None else folder / "report.html"
    write(path, read_content(folder), lang=language(lang))
    if out is None:
        seal(folder, {name: value for name, value in manifest.items() if name not in ("format", "files")})
    return path
