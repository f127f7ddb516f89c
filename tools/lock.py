"""Turn requirements.in into requirements.txt, the lock of one working environment.

The lock is universal: where a package differs between systems or Python versions, each
line says for which it is. Needs `uv`, which `make lock` installs first.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEADER = """\
# The complete lock of one working environment, Python 3.11 to 3.13. Made by
# `make lock` from requirements.in; do not edit.
"""


def main() -> None:
    """Write requirements.txt, or leave it alone and say what uv said."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"]
    options = ["--python-version", "3.11", "--no-header", "requirements.in"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"requirements.txt is unchanged; uv says:\n{done.stderr}")
    Path("requirements.txt").write_text(HEADER + done.stdout, encoding="utf-8")


if __name__ == "__main__":
    main()
