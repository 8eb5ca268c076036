"""What this machine is called, and how much memory this process holds and has held."""

from __future__ import annotations

import ctypes
import platform
import sys
from contextlib import suppress
from pathlib import Path


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def peak_memory_mb() -> float | None:
    """The process's largest resident size so far, in MB; None where the system does not say (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)  # macOS counts bytes, Linux kB


def resident_bytes() -> int:
    """The process's resident size now; where the system does not say, its largest so far, or 0."""
    try:
        import resource

        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except (OSError, ImportError):
        return int(1e6 * (peak_memory_mb() or 0))


def allocated_bytes() -> int:
    """What this process has asked for and not given back. Where only glibc's allocator would know, the resident size:
    that does not grow where something new goes into what was freed before."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except (OSError, AttributeError, TypeError):
        return resident_bytes()
    ask.restype = _Allocator
    found = ask()
    return int(found.hblkhd + found.uordblks)


def give_back() -> None:
    """Lets glibc's allocator return to the system what was freed; others do so themselves or not at all."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


FIGURES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"  # of mallinfo(3)


class _Allocator(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in FIGURES.split()]
