"""Compiles the C files beside it with the system's compiler, once, and loads the result.

Nothing is compiled before the first batch on a CPU needs it; the library is then kept under `ZAOWU_HOME`, keyed by
the source, the compiler and the processor. Where there is no compiler, or it fails, `library` is None, `missing`
says why, and torch does the work. `ZAOWU_KERNELS=off` asks for that.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from zaowu.bases.cache import home, sha256

COMPILERS = ("gcc", "cc")  # the sources use words of gcc
SECONDS = 60.0  # that a compiler gets; it needs about three
# No flag here assumes finite numbers: NaN stays visible. Results are the same on any number of threads of one machine.
FLAGS = ("-O3", "-std=gnu11", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
# From the fastest on. The library is linked without OpenMP's: its calls are resolved from the one that torch has
# loaded, so both share one pool of threads and one number of them. Where that cannot be, one thread does the work.
TRIES = (("-march=native", "-fopenmp"), ("-march=native", "-fopenmp-simd"), ())
SOURCES = Path(__file__).parent


@cache
def library() -> ctypes.CDLL | None:
    """The kernels, compiled now if they never were."""
    return _found()[0]


def missing() -> str:
    """Why there are no kernels, in a few words; empty when there are."""
    return _found()[1]


def forget() -> None:
    """The next call looks again."""
    library.cache_clear()
    _found.cache_clear()


@cache
def _found() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get("ZAOWU_KERNELS", "").lower() in ("off", "0", "no"):
        return None, "ZAOWU_KERNELS is off"
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        return None, "there is no C compiler"
    problem = ""
    for flags in TRIES:
        try:
            return ctypes.CDLL(str(_compiled(compiler, (*FLAGS, *flags)))), ""
        except (OSError, subprocess.SubprocessError) as error:
            problem = f"{Path(compiler).name}: {_last_line(error)}"
    return None, problem


def _compiled(compiler: str, flags: tuple[str, ...]) -> Path:
    """The library as a file. Its name ends in its own checksum, so that a damaged one is seen, and made again."""
    folder, key = home() / "kernels", _key(compiler, flags)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_own(folder):
        raise OSError(f"{folder} belongs to somebody else, or others may write there")
    for path in folder.glob(f"{key}-*.so"):
        if sha256(path)[:16] == path.stem.rpartition("-")[2]:
            return path
        path.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as room:
        compiled, linked = Path(room) / "kernels.o", Path(room) / "kernels.so"
        for command in (
            [compiler, *flags, "-c", str(SOURCES / "kernels.c"), "-o", str(compiled)],
            [compiler, "-shared", str(compiled), "-o", str(linked), "-lm"],
        ):
            subprocess.run(command, check=True, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
        path = folder / f"{key}-{sha256(linked)[:16]}.so"
        linked.replace(path)
    return path


def _is_own(folder: Path) -> bool:
    """Whether nobody else can put a library there (where the system knows of owners)."""
    found = folder.stat()
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)


def _key(compiler: str, flags: tuple[str, ...]) -> str:
    """What the result depends on: source, compiler, flags and, since it is made for this processor alone, that one."""
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, timeout=SECONDS).stdout
    digest = hashlib.sha256(repr((version, flags, platform.machine(), _processor())).encode())
    for path in sorted(SOURCES.glob("*.[ch]")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """Its model and abilities, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    kinds = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(kinds)}))


def _last_line(error: Exception) -> str:
    said = getattr(error, "stderr", None) or str(error).encode()
    return (said.decode(errors="replace").strip().splitlines() or ["failed"])[-1]
