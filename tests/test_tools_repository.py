"""One command gives the whole project its address, and changes nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from nbformat import v4

from tools import notebook_files, repository
from tools.setup_cell import repository_url, setup_cell

OLD = "https://github.com/weights/course"
NEW = "https://github.com/a-school/initialization.book"


def notebook(url):
    cells = [
        v4.new_markdown_cell(f"# A chapter\n\nSee <{url}>.", id="title"),
        v4.new_code_cell(
            setup_cell(url),
            id="setup",
            execution_count=1,
            outputs=[v4.new_output("stream", name="stdout", text="kept\n")],
        ),
        v4.new_code_cell("x = 1", id="x"),
    ]
    return v4.new_notebook(cells=cells, metadata=notebook_files.METADATA)


@pytest.fixture
def project(tmp_path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("ignored/\n")
    (tmp_path / "_config.yml").write_text(
        f"title: x  # a comment\nrepository:\n  url: {OLD}\n"
    )
    (tmp_path / "README.md").write_text(
        f"{OLD}/issues {OLD}.git, {OLD}. {OLD}-old {OLD}.io\n"
        "https://colab.research.google.com/github/weights/course/blob/main/x.ipynb\n"
    )
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff" + OLD.encode())
    (tmp_path / "ignored").mkdir()
    (tmp_path / "ignored" / "x.md").write_text(OLD)
    notebook_files.write(tmp_path / "notebooks" / "s01-x.ipynb", notebook(OLD))
    stray = notebook("https://github.com/typing/error")
    notebook_files.write(tmp_path / "solutions" / "s01-x.ipynb", stray)
    return tmp_path


def contents(project) -> dict[Path, bytes]:
    files = (path for path in project.rglob("*") if ".git" not in path.parts)
    return {path: path.read_bytes() for path in files if path.is_file()}


def test_every_place_gets_the_new_address(project, capsys):
    assert repository.main([NEW], project) == 0
    assert capsys.readouterr().out == "".join(
        f"{project / name}: {count} changed\n"
        for name, count in [
            ("README.md", 4),
            ("notebooks/s01-x.ipynb", 2),
            ("_config.yml", 1),
            ("solutions/s01-x.ipynb", 1),
        ]
    )
    assert repository_url(project) == NEW
    assert "# a comment" in (project / "_config.yml").read_text()
    assert (project / "README.md").read_text() == (
        f"{NEW}/issues {NEW}.git, {NEW}. {OLD}-old {OLD}.io\n"
        "https://colab.research.google.com/github/a-school/initialization.book"
        "/blob/main/x.ipynb\n"
    )
    for folder in ("notebooks", "solutions"):
        cells = notebook_files.read(project / folder / "s01-x.ipynb").cells
        assert cells[1].source == setup_cell(NEW)
        assert cells[1].outputs[0].text == "kept\n"
    assert OLD.encode() in (project / "picture.png").read_bytes()
    assert (project / "ignored" / "x.md").read_text() == OLD


def test_a_second_run_changes_nothing(project, capsys):
    repository.main([NEW], project)
    before = contents(project)
    capsys.readouterr()
    assert repository.main([NEW + ".git"], project) == 0
    assert capsys.readouterr().out.startswith("nothing to change")
    assert contents(project) == before


def test_there_and_back_again_gives_the_same_bytes(project):
    repository.main([OLD], project)
    before = contents(project)
    repository.main([NEW], project)
    repository.main([OLD], project)
    assert contents(project) == before


@pytest.mark.parametrize(
    "wrong",
    ["", "github.com/a/b", "https://gitlab.com/a/b", "https://github.com/a/b c"],
)
def test_a_wrong_address_changes_nothing(project, capsys, wrong):
    before = contents(project)
    assert repository.main([wrong], project) == 1
    assert "must look like https://github.com/OWNER/NAME" in capsys.readouterr().err
    assert contents(project) == before


def test_outside_a_repository_the_reason_is_said(tmp_path, capsys):
    (tmp_path / "_config.yml").write_text(f"repository:\n  url: {OLD}\n")
    assert repository.main([NEW], tmp_path) == 1
    assert "git cannot list the files" in capsys.readouterr().err
    assert repository.main([NEW], tmp_path / "nowhere") == 1
    assert "no _config.yml" in capsys.readouterr().err


def test_a_broken_notebook_is_named(project, capsys):
    (project / "exercises").mkdir()
    (project / "exercises" / "s01-x.ipynb").write_text("{")
    assert repository.main([NEW], project) == 1
    assert "s01-x.ipynb: is not a notebook" in capsys.readouterr().err
