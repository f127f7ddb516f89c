"""Turn requirements.in into requirements.txt, the lock of one working environment.

The lock is universal: where a package differs between systems or Python versions, each
line says for which it is. Needs `uv`, which `make lock` installs first. Versions that
the lock has and requirements.in still allows stay; `--upgrade` looks for newer ones.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HEADER = """\
# The complete lock of one working environment, Python 3.11 to 3.13. Made by
# `make lock` from requirements.in; do not edit.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write requirements.txt, or leave it alone and say what uv said."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--upgrade", action="store_true", help="to newer versions")
    upgrade = parser.parse_args(arguments).upgrade
    lock = Path("requirements.txt")
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / lock.name
        if lock.exists() and not upgrade:
            new.write_bytes(lock.read_bytes())  # uv keeps what it finds there
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet"]
        command += ["--universal", "--python-version", "3.11", "--no-header"]
        command += ["--output-file", str(new), "requirements.in"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"requirements.txt is unchanged; uv says:\n{done.stderr}")
        lock.write_text(HEADER + new.read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main()
