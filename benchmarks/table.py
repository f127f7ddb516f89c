"""The table that every benchmark prints: ratios of times measured side by side.

A machine's seconds mean nothing on another one; the ratio of two ways to do the same
work, measured one after the other in one process, does. Both must give the same answer.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        work: what was done.
        ours: seconds that `initlab` took.
        theirs: seconds that the straightforward way took.
        ratio: what the promise is about: theirs / ours, unless `work` names another.
        wanted: the bound that the course promises, with its direction: "≥ 6".
        same: whether both gave the same answer.
        note: what else was measured.
    """

    work: str
    ours: float
    theirs: float
    ratio: float
    wanted: str
    same: bool
    note: str = ""

    @property
    def kept(self) -> bool:
        """Whether the promise holds."""
        sign, bound = self.wanted.split()
        holds = (
            self.ratio >= float(bound) if sign == "≥" else self.ratio <= float(bound)
        )
        return holds and self.same


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the wall seconds of a call, and its result."""
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, result


def peak_megabytes() -> float:
    """Return the largest memory that this process has had so far.

    Linux hands `ru_maxrss` on from the process that started this one, so that there
    the kernel's own count of this program's memory is read.
    """
    status = Path("/proc/self/status")
    if status.exists():
        [kilobytes] = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(kilobytes) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def show(rows: Sequence[Row]) -> int:
    """Print the table; return 1 if a promise is broken or two answers differ."""
    width = max(len(row.work) for row in rows)
    print(
        f"{'':{width}}{'ours s':>9}{'theirs s':>10}{'ratio':>8}{'wanted':>8}  answers"
    )
    for row in rows:
        verdict = "the same" if row.same else "DIFFER"
        verdict += "" if row.kept or not row.same else ", RATIO MISSED"
        print(
            f"{row.work:{width}}{row.ours:9.2f}{row.theirs:10.2f}{row.ratio:8.2f}"
            f"{row.wanted:>8}  {verdict}{'; ' if row.note else ''}{row.note}"
        )
    return 0 if all(row.kept for row in rows) else 1
