"""Start a kernel whose checks record: ``python -m initlab._grade.boot CONNECTION …``.

The arguments are Jupyter's connection file, the folder of the records, and the
exercise sets, which are loaded first so that a replaced function is recognized.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from initlab._grade.recorder import Recorder
from initlab._grade.rewrite import RECORDER


def install(records: Path, sets: Sequence[str]) -> None:
    """Put the recorder where no ``%reset`` and no ``del`` of a notebook reaches it."""
    for name in sets:
        with contextlib.suppress(ImportError):  # a set that there is not
            importlib.import_module(f"initlab.checks.{name}")
    setattr(builtins, RECORDER, Recorder(records))


def main(arguments: Sequence[str]) -> None:
    """Install the recorder, then run the kernel until it is stopped."""
    connection, records, *sets = arguments
    install(Path(records), sets)
    sys.path.insert(0, "")  # what the notebook writes beside itself it can import
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(
        argv=["-f", connection, "--HistoryManager.enabled=False"]
    )


if __name__ == "__main__":
    main(sys.argv[1:])
