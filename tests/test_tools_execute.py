"""Notebooks are stored as a strict run accepts them, and a bad one is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from nbformat import NotebookNode, v4

from tools import execute_notebooks, notebook_files
from tools.notebook_files import NotebookError


def notebook(*cells, **metadata) -> NotebookNode:
    built = [
        v4.new_code_cell(source, id=f"cell-{place}", metadata={"tags": tags})
        for place, (source, tags) in enumerate(cells)
    ]
    return v4.new_notebook(cells=built, metadata=metadata)


FIGURE = """\
import matplotlib.pyplot as plt

print("before")
plt.plot([1, 2])
plt.show()
print("after")"""

WIDGET = """\
import ipywidgets
from IPython.display import display

slider = ipywidgets.IntSlider()
view = {"model_id": slider.model_id, "version_major": 2, "version_minor": 0}
display(
    {"text/plain": "A slider", "application/vnd.jupyter.widget-view+json": view},
    raw=True,
)"""

ALL_KINDS = (
    ("import os, sys, time\nprint('✔ one', flush=True)\nprint('two')", []),
    (FIGURE, []),
    (WIDGET, []),
    ("time.time()", ["nbval-ignore-output"]),
    ("print('10%\\r100%')", []),
    ("print(os.path.basename(os.getcwd()), os.environ.get('INITLAB_BOOK'))", []),
    ("6 * 7", []),
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """A notebook with every kind of output, executed once."""
    path = tmp_path_factory.mktemp("project") / "notebooks" / "s99-x.ipynb"
    made = notebook(*ALL_KINDS, widgets={"x": 1}, colab={"name": "x"})
    made.cells[0].metadata["execution"] = {"iopub.status.busy": "2020"}
    notebook_files.write(path, made)
    os.environ["INITLAB_BOOK"] = "1"
    try:
        assert execute_notebooks.main([str(path)]) == 0
    finally:
        del os.environ["INITLAB_BOOK"]
    return path


def test_only_texts_are_stored(stored):
    read = notebook_files.read(stored)
    assert read.metadata == notebook_files.METADATA
    assert read.cells[0].metadata == {"tags": []}
    first, figure, widget, _, overwritten, where, value = (
        cell.outputs for cell in read.cells
    )
    assert [output.text for output in first] == ["✔ one\ntwo\n"]
    assert [sorted(o.get("data", ["stream"])) for o in figure] == [
        ["stream"],
        ["text/plain"],
        ["stream"],
    ]
    assert figure[1].data["text/plain"].startswith("<Figure size")
    assert [output.data for output in widget] == [{"text/plain": "A slider"}]
    assert overwritten[0].text == "100%\n"
    assert where[0].text == "notebooks None\n", "runs in its own folder, not as a book"
    assert value[0].data == {"text/plain": "42"}
    counts = [cell.execution_count for cell in read.cells]
    assert counts == list(range(1, len(counts) + 1))


def test_a_second_run_gives_the_same_bytes(stored, capsys):
    before = stored.read_bytes()
    assert execute_notebooks.main([str(stored.parent)]) == 0
    assert capsys.readouterr().out.startswith(f"{stored}: unchanged")
    assert stored.read_bytes() == before
    assert [path.name for path in stored.parent.iterdir()] == [stored.name]


def strict_run(path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", "-q", "--color=no", "--nbval"]
    command += ["--nbval-current-env", "-p", "no:cacheprovider", "-c", os.devnull]
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    return subprocess.run(
        [*command, f"--rootdir={path.parent}", str(path)],
        capture_output=True,
        text=True,
        env=outside,
    )


def test_strict_nbval_accepts_it_and_sees_one_changed_line(stored, tmp_path):
    changed = tmp_path / "notebooks" / stored.name
    changed.parent.mkdir()
    text = stored.read_text(encoding="utf-8")
    assert text.count('"✔ one\\n"') == 1
    changed.write_text(text.replace('"✔ one\\n"', '"✘ one\\n"'), encoding="utf-8")
    accepted = strict_run(stored)
    assert accepted.returncode == 0, accepted.stdout
    refused = strict_run(changed)
    assert refused.returncode == 1
    assert "1 failed, 6 passed" in refused.stdout
    assert "✘ one" in refused.stdout


REFUSED = {
    "raises": (
        "print('before')\nraise ValueError('no such depth')",
        ["raises-exception"],
        "cell 1 (cell-1): raises ValueError: no such depth",
    ),
    "writes to stderr": (
        "import sys\nprint('careful', file=sys.stderr)",
        ["nbval-ignore-output"],
        "cell 1 (cell-1): writes to stderr; repair the cause or silence it: careful",
    ),
    "shows an svg": (
        "from IPython.display import SVG, display\ndisplay(SVG('<svg/>'))",
        [],
        "cell 1 (cell-1): shows image/svg+xml",
    ),
    "kills its kernel": (
        "import os\nos._exit(1)",
        [],
        "cell 1 (cell-1): ends the kernel",
    ),
    "takes too long": (
        "import time\ntime.sleep(60)",
        [],
        "cell 1 (cell-1): takes more than 2 s",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_notebook_is_refused_and_left_as_it_was(
    tmp_path, capsys, monkeypatch, case
):
    source, tags, message = REFUSED[case]
    if case == "takes too long":
        monkeypatch.setattr(execute_notebooks, "SECONDS_PER_CELL", 2)
    path = tmp_path / "s99-x.ipynb"
    notebook_files.write(path, notebook(("x = 1", []), (source, tags)))
    before = path.read_bytes()
    assert execute_notebooks.main([str(path)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"{path}: {message}")
    assert "nothing was stored" in shown.err
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def ran(text, tags=("nbval-ignore-output",), count=1) -> NotebookNode:
    made = notebook(("time_it()", list(tags)))
    made.cells[0].outputs = [
        v4.new_output("execute_result", {"text/plain": text}, execution_count=count)
    ]
    made.cells[0].execution_count = count
    return made


def shown(made) -> str:
    return made.cells[0].outputs[0].data["text/plain"]


def test_an_unstable_output_is_kept_while_only_its_numbers_differ():
    kept = execute_notebooks.normalize(ran("took  2.5e+01 s", count=2), ran("took 3 s"))
    assert shown(kept) == "took 3 s"
    assert kept.cells[0].outputs[0].execution_count == 2
    words = execute_notebooks.normalize(ran("took ages"), ran("took 3 s"))
    assert shown(words) == "took ages"
    strict = execute_notebooks.normalize(ran("took 4 s", ()), ran("took 3 s", ()))
    assert shown(strict) == "took 4 s"


def test_an_output_of_pictures_alone_leaves_nothing():
    made = ran("x")
    made.cells[0].outputs = [v4.new_output("display_data", {"image/png": "aGk="})]
    assert execute_notebooks.normalize(made, ran("x", ())).cells[0].outputs == []


def test_what_is_no_notebook_is_said(tmp_path, capsys):
    assert execute_notebooks.main([str(tmp_path)]) == 1
    assert "no notebook in" in capsys.readouterr().err
    path = tmp_path / "x.ipynb"
    path.write_text("{")
    assert execute_notebooks.main([str(path)]) == 1
    assert "its JSON is broken" in capsys.readouterr().err
    with pytest.raises(NotebookError, match="cannot be read"):
        notebook_files.read(tmp_path / "missing.ipynb")


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.ipynb"
    path.write_text("old")

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(notebook_files.os, "replace", fails)
    with pytest.raises(OSError, match="disk full"):
        notebook_files.write(path, notebook())
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["x.ipynb"]
