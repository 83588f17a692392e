"""How much memory processes take, in megabytes."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path


def peak_memory_mb() -> float:
    """The largest resident memory of this process so far, in megabytes.

    On Linux `getrusage` also counts what the process that started this one held at that moment,
    so the kernel's account of this program alone is asked first.
    """
    return _of_kernel("VmHWM") or _megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def resident_memory_mb() -> float:
    """The resident memory of this process now, in megabytes; elsewhere than on Linux, the peak."""
    return _of_kernel("VmRSS") or peak_memory_mb()


def peak_memory_of_children_mb() -> float:
    """The largest resident memory of any process that this one started and saw end; 0: none."""
    return _megabytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _of_kernel(field: str) -> float | None:
    """A size in Linux's account of this process, in megabytes; None elsewhere."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(errors="replace").splitlines():
            if line.startswith(f"{field}:"):
                return round(int(line.split()[1]) / 1024, 1)
    return None


def _megabytes(peak: int) -> float:
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)
