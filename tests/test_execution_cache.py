"""The book shows what a test run of the notebooks has computed, and nothing stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_cache import get_cache
from nbformat import v4

from tools import execution_cache

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.delenv("INITLAB_DATA", raising=False)
    for name in ("initlab/a.py", "initlab/assets/a.js", "results/a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "requirements.txt").write_text("numpy==1")
    return tmp_path


@pytest.mark.parametrize(
    "changed",
    ["initlab/a.py", "initlab/assets/a.js", "results/a.json", "requirements.txt"],
)
def test_what_notebooks_run_on_decides_the_fingerprint(project, changed):
    before = execution_cache.fingerprint(project)
    (project / changed).write_text("2")
    assert execution_cache.fingerprint(project) != before


def test_what_they_do_not_run_on_leaves_it_alone(project):
    before = execution_cache.fingerprint(project)
    (project / "README.md").write_text("2")
    (project / "initlab" / "__pycache__").mkdir()
    (project / "initlab" / "__pycache__" / "a.pyc").write_text("2")
    assert execution_cache.fingerprint(project) == before


def test_other_data_are_another_fingerprint(project, monkeypatch, tmp_path):
    before = execution_cache.fingerprint(project)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fashion_mnist.npz").write_text("1")
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path / "data"))
    assert execution_cache.fingerprint(project) != before


def test_a_cache_is_dropped_when_its_fingerprint_is_another(tmp_path):
    cache = tmp_path / "cache"
    assert not execution_cache.drop_if_stale(cache, "a"), "there was none"
    (cache / "kept").touch()
    assert not execution_cache.drop_if_stale(cache, "a")
    assert (cache / "kept").exists()
    assert execution_cache.drop_if_stale(cache, "b")
    assert not (cache / "kept").exists()


# --- the plugin ----------------------------------------------------------------------


def notebook(*codes):
    cells = [v4.new_markdown_cell("# Title")]
    for count, (code, text) in enumerate(codes, start=1):
        outputs = [v4.new_output("stream", name="stdout", text=text)] if text else []
        cells.append(v4.new_code_cell(code, outputs=outputs, execution_count=count))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python"}}
    return v4.new_notebook(cells=cells, metadata=metadata)


SWITCH = "import os; print(os.environ.get('INITLAB_BOOK'))"
EXPLORER = """\
from IPython.display import display
page = '<div class="initlab-explorer"></div>'
display({"text/plain": "an explorer", "text/html": page}, raw=True)"""


@pytest.fixture
def course(project):
    """A project of three notebooks: good, of another output than stored, failing."""
    folder = project / "notebooks"
    folder.mkdir()
    good = notebook((SWITCH, "1\n"), ("print(2)\n3", "2\n"), (EXPLORER, ""))
    good.cells[3].outputs.append(
        v4.new_output("display_data", {"text/plain": "an explorer"})
    )
    good.cells[2].outputs.append(
        v4.new_output("execute_result", {"text/plain": "3"}, execution_count=2)
    )
    nbformat.write(good, folder / "good.ipynb")
    nbformat.write(notebook(("print(4)", "5\n")), folder / "other.ipynb")
    nbformat.write(notebook(("1 / 0", "")), folder / "failing.ipynb")
    (project / "pytest.ini").write_text("[pytest]")
    return project


def run(course, *flags):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tools.keep_outputs"]
    command += ["--nbval", "--nbval-current-env", "-p", "no:cacheprovider", *flags]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(
        [*command, "notebooks"],
        cwd=course,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("workers", [(), ("-n", "2", "--dist", "loadscope")])
def test_what_passed_is_in_the_cache_and_what_failed_is_not(course, workers):
    assert "2 failed, 3 passed" in run(course, "--keep-outputs", *workers)
    cache = get_cache(execution_cache.folder(course / "_build"))
    assert [Path(each.uri).name for each in cache.list_cache_records()] == [
        "good.ipynb"
    ]
    stored = nbformat.read(course / "notebooks" / "good.ipynb", as_version=4)
    _, executed = cache.merge_match_into_notebook(stored)
    switch, both, explorer = executed.cells[1:]
    assert "initlab-explorer" in explorer.outputs[0].data["text/html"]
    assert switch.outputs[0].text == "1\n", "explorers know that it is the book"
    assert both.outputs[0].text == "2\n"
    assert both.outputs[1].data == {"text/plain": "3"}
    assert (switch.execution_count, both.execution_count) == (1, 2)


def test_without_the_flag_a_run_is_as_in_jupyter_and_keeps_nothing(course):
    assert "4 failed, 1 passed" in run(course), "switch and explorer"
    assert not (course / "_build").exists()
