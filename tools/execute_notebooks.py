"""Run notebooks from top to bottom and store their text outputs.

``python -m tools.execute_notebooks [PATH ...]``, by default all of ``notebooks`` and
``solutions``. Each notebook runs as ``pytest --nbval`` will run it: in its own folder,
with this Python as its kernel. Read ``main`` first, then ``execute``, then
``normalize``, which says what is kept.

What nbval compares is kept, what it never compares is not stored: the two image
formats of inline figures and the views of widgets (``NOT_STORED``). The sentence that
stands beside them, ``<Figure size …>`` or an explorer's description, is text, is kept,
and is compared. So a notebook without its pictures passes the strict comparison with
no option and no hook.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import (
    CellExecutionError,
    CellTimeoutError,
    DeadKernelError,
)
from nbformat import NotebookNode
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager

from tools import notebook_files
from tools.notebook_files import NotebookError, cell_name, tags

FOLDERS = ("notebooks", "solutions")

NOT_STORED = (
    "image/png",
    "image/jpeg",
    "application/vnd.jupyter.widget-view+json",
)
"""The formats that nbval leaves out of its comparison (its ``skip_compare``)."""

STORED = ("text/plain", "text/html", "text/markdown", "text/latex")

UNSTABLE = "nbval-ignore-output"

SECONDS_PER_CELL = 300


def run(notebook: NotebookNode, folder: Path) -> None:
    """Run ``notebook`` in a fresh kernel started in ``folder``, and fill its outputs.

    Raises:
        NotebookError: naming the cell that raises, takes too long or ends the kernel.
    """
    at = "before the first cell"

    def starts(cell: NotebookNode, cell_index: int) -> None:
        nonlocal at
        at = cell_name(cell_index, cell)

    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(
            kernel_name=CURRENT_ENV_KERNEL_NAME,
            kernel_spec_manager=NbvalKernelspecManager(),
        ),
        timeout=SECONDS_PER_CELL,
        force_raise_errors=True,
        store_widget_state=False,
        record_timing=False,
        on_cell_start=starts,
    )
    client.owns_km = True  # nbclient stops only the kernels that it calls its own
    # The book build sets INITLAB_BOOK to get static explorers; here a kernel is alive.
    environment = {k: v for k, v in os.environ.items() if k != "INITLAB_BOOK"}
    try:
        # The kernel's own chatter goes where nbval sends it; what a cell writes to
        # stderr is an output all the same.
        client.execute(cwd=str(folder), env=environment, stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        raise NotebookError(f"{at}: raises {error.ename}: {error.evalue}") from error
    except CellTimeoutError as error:
        raise NotebookError(f"{at}: takes more than {SECONDS_PER_CELL} s") from error
    except DeadKernelError as error:
        raise NotebookError(f"{at}: ends the kernel") from error


def merge_streams(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    """Join neighbouring outputs of one stream, whose cut is a matter of timing."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if output.output_type == "stream" and last and last.get("name") == output.name:
            last.text += output.text
        else:
            merged.append(output)
    for output in merged:
        if output.output_type == "stream":
            # What a carriage return overwrote was never meant to stay.
            output.text = re.sub(r"(?m)^.*\r(?=[^\n])", "", output.text)
    return merged


def stored_output(output: NotebookNode) -> NotebookNode | None:
    """Return what is stored of one output, or None if nothing of it is.

    Raises:
        ValueError: if it holds a format that could neither be left out nor committed.
    """
    if "data" not in output:
        return output
    for mime in list(output.data):
        if mime in NOT_STORED:
            del output.data[mime]
        elif mime not in STORED:
            raise ValueError(
                f"shows {mime}, which is no text and which nbval compares; show a PNG "
                "figure, a widget or text"
            )
    output.metadata = NotebookNode()
    if output.output_type == "display_data":
        output.pop("execution_count", None)
    return output if output.data else None


def masked(outputs: Sequence[NotebookNode]) -> str:
    """Return ``outputs`` as text in which numbers and spacing do not count."""
    counted = [{**output, "execution_count": None} for output in outputs]
    text = json.dumps(counted, sort_keys=True)
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", "#", text))


def normalize(notebook: NotebookNode, before: NotebookNode) -> NotebookNode:
    """Return an executed ``notebook`` in the form in which it is stored.

    ``before`` is the notebook that stood there. A cell tagged ``nbval-ignore-output``
    keeps its old outputs while they differ in numbers only (a time, a speed), so that
    running twice gives the same bytes.

    Raises:
        NotebookError: if a cell wrote to stderr or shows what cannot be stored.
    """
    old = {cell.id: cell for cell in before.cells if "id" in cell}
    for index, cell in enumerate(notebook.cells):
        for key in set(cell.metadata) - set(notebook_files.CELL_METADATA):
            del cell.metadata[key]
        if cell.cell_type != "code":
            continue
        name = cell_name(index, cell)
        outputs = merge_streams(cell.outputs)
        for output in outputs:
            if output.get("name") == "stderr":
                raise NotebookError(
                    f"{name}: writes to stderr; repair the cause or silence it: "
                    f"{output.text.strip()}"
                )
        try:
            kept = [stored_output(output) for output in outputs]
        except ValueError as error:
            raise NotebookError(f"{name}: {error}") from error
        cell.outputs = [output for output in kept if output is not None]
        stood = old.get(cell.get("id"))
        if (
            UNSTABLE in tags(cell)
            and stood is not None
            and stood.get("outputs")
            and masked(stood.outputs) == masked(cell.outputs)
        ):
            cell.outputs = stood.outputs
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = cell.execution_count
    notebook.metadata = NotebookNode(notebook_files.METADATA)
    return notebook


def execute(path: Path) -> bool:
    """Run the notebook at ``path``, store its outputs, tell whether the file changed.

    Raises:
        NotebookError: if it cannot be read, run or stored. The file is then untouched.
    """
    before = notebook_files.read(path)
    notebook = notebook_files.read(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    try:
        run(notebook, path.parent.resolve())
        after = normalize(notebook, before)
    except NotebookError as error:
        raise NotebookError(f"{path}: {error}; nothing was stored") from error
    text = notebook_files.dumps(after)
    if text == path.read_text(encoding="utf-8"):
        return False
    notebook_files.write(path, after)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute the notebooks named on the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    paths = parser.parse_args(arguments).paths or [Path(name) for name in FOLDERS]
    failed = 0
    try:
        notebooks = notebook_files.find(paths)
    except NotebookError as error:
        print(error, file=sys.stderr)
        return 1
    for path in notebooks:
        start = time.perf_counter()
        try:
            changed = execute(path)
        except NotebookError as error:
            print(error, file=sys.stderr)
            failed += 1
            continue
        seconds = time.perf_counter() - start
        what = "stored" if changed else "unchanged"
        print(f"{path}: {what} ({seconds:.0f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
