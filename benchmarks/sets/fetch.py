"""Packages as data: fetched by their ordinary clients into a folder of ours, nothing of theirs installed.

No client is asked to install, so a package's own code stays unused - with one exception: pip asks the
`setup.py` of a source archive for its metadata. That archive's sha256 is pinned, and pip runs it in an
environment that is thrown away.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from zaowu.errors import UserError, shorten
from zaowu.progress import note

TIMEOUT_S = 900


def run(command: list[str], *, cwd: Path | None = None) -> str:
    """The standard output of `command`; UserError when it is not installed, fails or hangs."""
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    if shutil.which(command[0]) is None:
        raise UserError(f"'{command[0]}' is not installed here.")
    try:
        done = subprocess.run(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"'{' '.join(command[:2])}' gave no answer within {TIMEOUT_S} s.") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"]
        reason = next((line for line in said if line.lower().startswith(("e:", "error", "npm err"))), said[-1])
        raise UserError(f"'{' '.join(command[:3])}' failed: {shorten(reason, 160)}")
    return done.stdout.decode("utf-8")


def debian(package: str, work: Path) -> tuple[Path, str]:
    """A Debian package unpacked under `work`; returns that folder and the version."""
    note(f"fetching the Debian package {package} ...")
    folder = work / package
    folder.mkdir()
    try:
        run(["apt-get", "download", "-qq", package], cwd=folder)
    except UserError as problem:
        raise UserError(f"{problem} On Debian or Ubuntu, 'apt-get update' may help.") from None
    (archive,) = folder.glob("*.deb")
    run(["dpkg-deb", "-x", str(archive), str(folder / "root")])
    return folder / "root", run(["dpkg-deb", "-f", str(archive), "Version"]).strip()


def npm(package: str, version: str, *, sha256: str, work: Path) -> Path:
    """The .tgz of an npm package, as it was published; its scripts are not run."""
    note(f"fetching the npm package {package} {version} ...")
    cache = f"--cache={work / 'npm-cache'}"
    said = run(["npm", "pack", f"{package}@{version}", "--ignore-scripts", "--json", cache], cwd=work)
    archive = work / Path(json.loads(said)[0]["filename"]).name
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256:
        raise UserError(f"{archive.name}: expected sha256 {sha256}, got {found}; it was not opened.")
    return archive


def pypi(package: str, version: str, *, sha256: str, work: Path) -> Path:
    """The archive of a PyPI package; pip compares the sha256 before anything in it is run."""
    note(f"fetching the PyPI package {package} {version} ...")
    python = work / "pip" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run([sys.executable, "-m", "venv", str(work / "pip")])
    wanted = work / f"{package}.txt"
    wanted.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
    pip = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--require-hashes"]
    run([*pip, "--dest", str(work / package), "-r", str(wanted)])
    (archive,) = (work / package).iterdir()
    return archive
