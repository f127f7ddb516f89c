"""Give the project its public address, everywhere at once.

``python -m tools.repository https://github.com/OWNER/NAME`` replaces the address that
``_config.yml`` has now by the new one, in every text file of the project and in the
set-up cell of every notebook. Run it again and it finds nothing to do.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools import notebook_files
from tools.lint_notebooks import FOLDERS
from tools.notebook_files import NotebookError
from tools.setup_cell import (
    is_setup_cell,
    repository_url,
    setup_cell,
    valid_address,
)

HOST = "https://github.com/"


def project_files(root: Path) -> list[Path]:
    """Return the files that belong to the project: all that git does not ignore.

    Raises:
        ValueError: if ``root`` is not a git repository.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if listed.returncode:
        raise ValueError(f"git cannot list the files here: {listed.stderr.strip()}")
    paths = (root / name for name in listed.stdout.split("\0") if name)
    return sorted({path for path in paths if path.is_file()})


def restamp(text: str, old: str, new: str) -> tuple[str, int]:
    """Replace the address ``old`` by ``new`` in ``text``; return it and the count.

    Links that open a notebook in Colab hold the address in a form of their own
    (``…/github/OWNER/NAME/…``) and follow. A longer name that merely begins like the
    old address stays.
    """
    end = r"(?![\w-]|\.(?!git\b)\w)"
    count = 0
    for form in (HOST, "colab.research.google.com/github/"):
        pattern = re.escape(form + old.removeprefix(HOST)) + end
        replacement = form + new.removeprefix(HOST)
        text, replaced = re.subn(pattern, lambda _, r=replacement: r, text)
        count += replaced
    return text, count


def stamp_file(path: Path, old: str, new: str) -> int:
    """Replace the address in the file at ``path``; return how often it stood there."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return 0  # a picture or an archive
    text, count = restamp(text, old, new)
    if count:
        path.write_bytes(text.encode("utf-8"))
    return count


def stamp_setup_cells(path: Path, url: str) -> int:
    """Give the set-up cell of a notebook the address ``url``, whatever it had.

    Returns:
        The number of cells that changed.
    """
    notebook = notebook_files.read(path)
    source = setup_cell(url)
    changed = 0
    for cell in notebook.cells:
        stale = is_setup_cell(cell.source) and cell.source != source
        if cell.cell_type == "code" and stale:
            cell.source = source
            changed += 1
    if changed:
        notebook_files.write(path, notebook)
    return changed


def change_address(root: Path, new: str) -> dict[Path, int]:
    """Give the project under ``root`` the address ``new``.

    Returns:
        How many places changed in each file that did.

    Raises:
        ValueError: if the new address is not valid or the old one not to be found.
        NotebookError: if a notebook cannot be read.
    """
    new = valid_address(new)
    old = repository_url(root)
    changed: dict[Path, int] = {}
    if new != old:
        # The file that knows the old address comes last: a broken run can be repeated.
        source = root / "_config.yml"
        for path in sorted(project_files(root), key=lambda path: path == source):
            if count := stamp_file(path, old, new):
                changed[path] = count
    for folder in FOLDERS:
        for path in sorted((root / folder).glob("*.ipynb")):
            if count := stamp_setup_cells(path, new):
                changed[path] = changed.get(path, 0) + count
    return changed


def main(arguments: Sequence[str] | None = None, root: Path = Path()) -> int:
    """Change the project's address; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url", metavar="URL", help="https://github.com/OWNER/NAME")
    url = parser.parse_args(arguments).url
    try:
        changed = change_address(root, url)
    except (ValueError, NotebookError) as error:
        print(error, file=sys.stderr)
        return 1
    for path, count in changed.items():
        print(f"{path}: {count} changed")
    if not changed:
        print("nothing to change: the project has this address already")
    return 0


if __name__ == "__main__":
    sys.exit(main())
