"""All ratios that the laboratory promises: ``python -m benchmarks``.

Each row is measured side by side in this one process, on the same work, and the answers
are compared. ``--full`` does the case studies' whole work (about half an hour on two
cores); without it a part of it, in which compiling weighs more.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure everything; return 0 if every promise holds."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Print the ratios of times that the laboratory promises.",
    )
    parser.add_argument(
        "--full", action="store_true", help="the case studies' whole work"
    )
    options = parser.parse_args(arguments)
    from benchmarks import doctor_cost, engines, lsuv_cost, race_vs_fit
    from benchmarks.table import show

    rows = race_vs_fit.rows(list(race_vs_fit.WORKS), full=options.full)
    rows += lsuv_cost.rows() + doctor_cost.rows() + engines.rows()
    return show(rows)


if __name__ == "__main__":
    sys.exit(main())
