"""Sources that lie elsewhere: `hf://`, `s3://`, `https://` and the like through fsspec, and data sets of the hub.

A remote file is copied to a temporary place and read there as any other. Nothing here imports fsspec or
huggingface_hub before such a source is named.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zaowu.bases import hub
from zaowu.errors import UserError, nearest, shorten
from zaowu.progress import note

URL = re.compile(r"([a-z][a-z0-9+.\-]+)://\S+")
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx", ".csv.gz", ".jsonl.gz")


def is_remote(source: str) -> bool:
    """Whether `source` is a URL."""
    return URL.fullmatch(source) is not None


def is_hub_name(source: str) -> bool:
    """Whether `source` is written as a data set's name on the hub is, and nothing of that name is here.

    A name with the ending of a table is a file that is missing.
    """
    return hub.is_name(source) and not source.lower().endswith((*TABLES, ".txt")) and not Path(source).parent.exists()


@contextmanager
def fetched(url: str) -> Iterator[Path]:
    """A local copy of the file at `url`, under its own name, for as long as the context lasts.

    Raises UserError, in one sentence, for a library that is not installed, a file that is not there, and a
    machine that is offline.
    """
    scheme = url.partition("://")[0]
    try:
        import fsspec
    except ImportError:
        raise UserError(f"{url}: reading from elsewhere needs fsspec: {hub.INSTALL}.") from None
    name = url.rpartition("/")[2].partition("?")[0] or "data"
    with tempfile.TemporaryDirectory(prefix="zaowu-") as folder:
        path = Path(folder) / name
        note(f"Reading {url}.")
        try:
            with fsspec.open(url, "rb") as remote, path.open("wb") as local:
                shutil.copyfileobj(remote, local, 1 << 20)
        except ImportError as error:
            raise UserError(
                f"{url}: '{scheme}' needs a library that is not here ({shorten(error, 100)}): {hub.INSTALL}."
            ) from None
        except FileNotFoundError:
            raise UserError(f"{url}: there is no such file there.") from None
        except ValueError as error:  # fsspec's word for a scheme that it does not know
            known = ("hf", "s3", "https", "file", "gs")
            raise UserError(f"{url}: cannot be read ({shorten(error, 100)}).{nearest(scheme, known)}") from None
        except Exception as error:  # each file system raises its own: connection, permission, bucket
            raise UserError(
                f"{url}: cannot be reached ({type(error).__name__}: {shorten(error, 100)}). Is this machine online, "
                "and allowed to read it?"
            ) from None
        yield path


def hub_table(name: str) -> Path:
    """The table of the hub's data set `org/name` or `org/name@revision`, in the hub's own cache.

    Of several tables the only one with "train" in its name. Raises UserError naming the others' URLs.
    """
    patterns = [f"*{suffix}" for suffix in TABLES]
    folder = hub.snapshot(name, patterns, kind="dataset", where=name, instead="the path of a file")
    found = sorted(path for path in folder.rglob("*") if path.name.lower().endswith(TABLES))
    chosen = [path for path in found if "train" in path.name.lower()] if len(found) > 1 else found
    if len(chosen) != 1:
        urls = ", ".join(f"hf://datasets/{name}/{path.relative_to(folder)}" for path in found[:6])
        raise UserError(f"{name}: expected one table, got {len(found)}. Choose one: {urls or 'there is none'}.")
    note(f"{name}: reading {chosen[0].relative_to(folder)}, revision {folder.name[:12]}.")
    return chosen[0]
