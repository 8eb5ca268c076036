"""`zaowu predict`: what a saved model says about texts, or about every row of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zaowu import bases
from zaowu.errors import UserError, shorten
from zaowu.learn import choose_device
from zaowu.progress import note, speaking
from zaowu.records.read import part_of
from zaowu.records.remote import TABLES, is_remote
from zaowu.records.stream import is_large
from zaowu.run import Predicted
from zaowu.run.given import files_read
from zaowu.run.language import open_language
from zaowu.run.load import load
from zaowu.run.stream import FORMATS, predict_to_file, write_whole

if TYPE_CHECKING:
    from zaowu.run.shots import InContext

SHOWN = 48  # characters of a text in a table


@dataclass(frozen=True)
class Predictions:
    """What was predicted, and how many answers of each row are wanted.

    found: None for a large file, whose answers are in `path` alone. rows: how many were answered.
    """

    found: Predicted | None
    top: int
    rows: int
    path: Path | None = None
    told: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.told if self.found is None else self.found.warnings

    def to_plain(self) -> list[dict[str, Any]] | dict[str, Any]:
        """One object per row; of a large file `rows` and `out`."""
        if self.found is None:
            return {"rows": self.rows, "out": str(self.path)}
        return self.found.to_plain(top=self.top)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows for a terminal."""
        if self.found is None:
            return ["rows", "out"], [[f"{self.rows:,}", str(self.path)]]
        return table(self.found, top=self.top)


def predict(
    run: str | Path,
    what: Any,
    *,
    text: bool = False,
    top: int = 1,
    shots: Any = None,
    num_shots: int | None = None,
    target: str | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Predictions:
    """what: texts, one path, or any table that `fit` reads. A single argument that exists is a file, unless `text`.
    For a model of images alone, or of recordings alone: paths of them, a folder, a pattern, or a table as before.

    shots: a table of labelled texts, which a causal model (`run` as `generate` takes it) is shown before each text
    instead of having learned from them; its answers are calibrated (Zhao et al. 2021). num_shots: most examples; None:
    as many as fit. target: their column of labels, where it cannot be guessed. seed: which are drawn.
    out: a .csv, .jsonl or .parquet with the rows as they were, in order, and the answers beside them. A file beyond
    64 MB is then read and answered in portions, in memory that does not grow with it; after a kill the same call goes
    on where it was.
    Raises UserError for a run, a file or columns that cannot be used.
    """
    with speaking(quiet=quiet):
        if top < 1:
            raise UserError(f"--top: expected 1 or more, got {top}.")
        path = None if out is None else checked_out(out)
        use_threads(threads)
        if shots is not None:
            model = in_context(run, shots, num_shots=num_shots, target=target, device=device, precision=precision)
            found = model.predict(given_data(what, text=text), seed=seed)
            return _written(found, path, top=top)
        say_idle(num_shots=num_shots, target=target, seed=seed or None)
        opened = load(run, device=str(choose_device(device)), precision=precision)
        files = files_read(opened.source) is not None
        if files and text:
            note("--text has no effect: this model reads files, not texts.")
        data = given_data(what, text=text, files=files)
        if path is not None and is_large(data) and opened.config.data.series_id is None:
            rows, told = predict_to_file(opened, data, path, top=top)
            note(f"{rows:,} predictions: {path}")
            return Predictions(None, top, rows, path, told)
        return _written(opened.predict(data), path, top=top)


def _written(found: Predicted, path: Path | None, *, top: int) -> Predictions:
    if path is not None:
        write_whole(found.to_frame(top=top), path)
        note(f"{len(found):,} predictions: {path}")
    return Predictions(found, top, len(found), path)


def in_context(
    run: str | Path, shots: Any, *, num_shots: int | None, target: str | None, device: str, precision: str
) -> InContext:
    """A causal model that is shown examples. Raises UserError for a model, a table or a number that cannot be used."""
    from zaowu.run.shots import InContext, read_shots

    folder = Path(run) if Path(run).is_dir() else bases.resolve(str(run))
    language = open_language(folder, device=choose_device(device), precision_name=precision)
    return InContext(language, read_shots(shots, target=target), num_shots=num_shots)


def say_idle(**choices: Any) -> None:
    """A note for each choice of in-context examples that was made without them."""
    for name, value in choices.items():
        if value is not None:
            note(f"--{name.replace('_', '-')} has no effect without --shots.")


def table(found: Predicted, *, top: int = 1) -> tuple[list[str], list[list[str]]]:
    """Texts with their answers, as header and rows of cells."""
    names = list(found.predictions)
    shown = [prediction.shown(top=top) for prediction in found.predictions.values()]
    sure = any(share is not None for answers in shown for row in answers for _, share in row)
    header = ["text", *(cell for name in names for cell in ((name, "confidence") if sure else (name,)))]
    rows = []
    for words, *answers in zip(found.texts, *shown, strict=True):
        for place in range(max(map(len, answers))):
            cells = [shorten(words, SHOWN) if place == 0 else ""]
            for ranked in answers:
                answer, share = ranked[place] if place < len(ranked) else ("", None)
                cells += [answer, "" if share is None else f"{share:.1%}"] if sure else [answer]
            rows.append(cells)
    return header, rows


def checked_out(out: str | Path) -> Path:
    """A path with an ending that we can write, in a folder that is there. Raises UserError before any work."""
    path = Path(out)
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--out {path}: expected a name that ends in {', '.join(FORMATS)}.")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no folder {path.parent}.")
    return path


def use_threads(threads: int | None) -> None:
    """How many processor threads torch works with. Raises UserError for less than one."""
    if threads is None:
        return
    if threads < 1:
        raise UserError(f"--threads: expected 1 or more, got {threads}.")
    import torch

    torch.set_num_threads(threads)


def given_data(what: Any, *, text: bool, files: bool = False) -> Any:
    """An existing path is a file, and so is a single word with the ending of a table; all other strings are texts.

    files: the model reads nothing but files of one kind; then all are paths.
    """
    if isinstance(what, (str, Path)):
        what = [what]
    if not isinstance(what, Sequence) or not all(isinstance(item, (str, Path)) for item in what):
        return what
    if files:
        return what[0] if len(what) == 1 else what
    paths = [item for item in what if not text and (_exists(item) or (len(what) == 1 and _is_tables_name(item)))]
    if not paths:
        return [str(item) for item in what]
    if len(what) > 1:
        raise UserError(f"'{paths[0]}' is a file: give one file, or pass --text to take all arguments as texts.")
    return paths[0]


def _is_tables_name(item: str | Path) -> bool:
    """Whether nobody would ask a model about it: a file that is missing, which reading it will say."""
    return str(item).lower().endswith(TABLES) and not any(map(str.isspace, str(item)))


def _exists(item: str | Path) -> bool:
    try:
        return part_of(Path(item))[0].exists() or is_remote(str(item))
    except (OSError, ValueError):  # too long for a name, or with a NUL in it
        return False
