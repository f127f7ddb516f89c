"""Check that an environment still has the versions that a requirements file pins.

Installing `initlab` must move nothing on Colab; `make test-colab` installs it over
Colab's versions and then runs this.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", flags=re.MULTILINE)


def moved(requirements: str) -> list[str]:
    """Name every pinned package whose installed version is another one, or none."""
    problems = []
    for name, pinned in _PIN.findall(requirements):
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = "nothing"
        if installed != pinned:
            problems.append(f"{name}: {pinned} is pinned, {installed} is installed")
    return problems


def main() -> None:
    """Exit with 1 and the list if anything has moved."""
    [path] = sys.argv[1:]
    requirements = Path(path).read_text(encoding="utf-8")
    if problems := moved(requirements):
        sys.exit("not Colab's versions any more:\n  " + "\n  ".join(problems))
    print(f"all {len(_PIN.findall(requirements))} pinned versions are in place")


if __name__ == "__main__":
    main()
