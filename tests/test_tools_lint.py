"""Each rule of the notebook lint, against a notebook that breaks just that rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nbformat import NotebookNode, v4

from tools import lint_notebooks, notebook_files
from tools.setup_cell import repository_url, setup_cell, valid_address

URL = "https://github.com/somebody/some-course"
NAME = "s99-a-chapter.ipynb"


def code(identity, source, outputs=(), **metadata) -> NotebookNode:
    return v4.new_code_cell(
        source, id=identity, outputs=list(outputs), metadata=metadata
    )


def text(identity, source) -> NotebookNode:
    return v4.new_markdown_cell(source, id=identity)


def stream(words, name="stdout") -> NotebookNode:
    return v4.new_output("stream", name=name, text=words)


def display(**data) -> NotebookNode:
    mimes = {key.replace("_", "/", 1): value for key, value in data.items()}
    return v4.new_output("display_data", data=mimes)


def figure() -> NotebookNode:
    return display(text_plain="<Figure size 616x385 with 1 Axes>")


def chapter() -> NotebookNode:
    """A chapter in which nothing is wrong."""
    cells = [
        text("title", "# A chapter\n\n```python\n# a comment, no second title\n```"),
        code("setup", setup_cell(URL)),
        code(
            "figure",
            "plt.plot(values)\nplt.show()",
            [figure()],
            mystnb={"image": {"alt": "The curve falls."}},
        ),
        text("caption", "**Figure 1.** *The curve falls.*"),
        code("explorer", "@lab.explore(alt=alt)\ndef draw(): ..."),
        code("claim", 'lab.claim("It falls.", True)', [stream("✔ It falls.\n" * 5)]),
        text("summary", "## Summary\n\nIt falls."),
    ]
    notebook = v4.new_notebook(cells=cells, metadata=notebook_files.METADATA)
    return numbered(notebook)


def numbered(notebook) -> NotebookNode:
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(codes, start=1):
        cell.execution_count = count
    return notebook


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "_config.yml").write_text(f"repository:\n  url: {URL}\n")
    for folder in lint_notebooks.FOLDERS:
        (tmp_path / folder).mkdir()
    return tmp_path


def findings(root, notebook, folder="notebooks", name=NAME) -> list[str]:
    path = root / folder / name
    path.write_text(notebook_files.dumps(notebook), encoding="utf-8")
    found = lint_notebooks.lint(path, setup_cell(URL))
    assert all(finding.startswith(f"{path}: ") for finding in found)
    return [finding.removeprefix(f"{path}: ") for finding in found]


def only(found) -> str:
    assert len(found) == 1, found
    assert ";" in found[0], "a finding names its remedy"
    return found[0]


def test_a_good_chapter_has_no_finding(root):
    assert findings(root, chapter()) == []


def edited(edit) -> NotebookNode:
    notebook = chapter()
    edit(notebook.cells)
    return numbered(notebook)


def add(*cells):
    return lambda all_cells: all_cells.__setitem__(slice(4, 4), cells)


BROKEN_CELLS = {
    "error output": (
        add(code("e", "1/0", [v4.new_output("error", ename="ZeroDivisionError")])),
        "cell 4 (e): its output is the error ZeroDivisionError",
    ),
    "stderr": (
        add(code("e", "warn()", [stream("careful", "stderr")])),
        "cell 4 (e): its output holds stderr",
    ),
    "png": (
        add(code("e", "show()", [display(image_png="aGk=", text_plain="x")])),
        "cell 4 (e): its output holds image/png",
    ),
    "svg": (
        add(code("e", "show()", [display(**{"image_svg+xml": "<svg/>"})])),
        "cell 4 (e): its output holds image/svg+xml",
    ),
    "widget": (
        add(
            code(
                "e",
                "show()",
                [display(**{"application_vnd.jupyter.widget-view+json": {}})],
            )
        ),
        "cell 4 (e): its output holds application/vnd.jupyter.widget-view+json",
    ),
    "picture in html": (
        add(
            code(
                "e",
                "show()",
                [display(text_html='<img src="data:image/png;base64,aGk=">')],
            )
        ),
        "cell 4 (e): its output holds a picture in HTML",
    ),
    "path in source": (
        add(code("e", 'open("/home/ann/x.csv")')),
        "cell 4 (e): its source holds the absolute path /home…",
    ),
    "path in markdown": (
        add(text("e", "It lies under C:\\Users\\ann.")),
        "cell 4 (e): its source holds the absolute path C:\\Users…",
    ),
    "path in output": (
        add(code("e", "print(path)", [stream("saved to /root/x\n")])),
        "cell 4 (e): its output holds the absolute path /root…",
    ),
    "file address": (
        add(code("e", "print(path)", [stream("file:///x/y\n")])),
        "cell 4 (e): its output holds the absolute path file://…",
    ),
    "interact": (
        add(code("e", "ipywidgets.interact(draw, x=3)")),
        "cell 4 (e): uses ipywidgets' interact",
    ),
    "interact as decorator": (
        add(code("e", "@widgets.interact\ndef draw(x=3): ...")),
        "cell 4 (e): uses ipywidgets' interact",
    ),
    "long cell": (
        add(code("e", "\n".join(["x = 1"] * 26))),
        "cell 4 (e): has 26 lines, at most 25",
    ),
    "wide line": (
        add(code("e", "y = 1\nx = " + "1" * 85)),
        "cell 4 (e): line 2 has 89 columns, at most 88",
    ),
    "figure without alt text": (
        add(code("e", "plt.show()", [figure()]), text("c", "**Figure 2.** *It.*")),
        "cell 4 (e): shows a figure without alt text",
    ),
    "figure with blank alt text": (
        add(
            code("e", "plt.show()", [figure()], mystnb={"image": {"alt": " "}}),
            text("c", "**Figure 2.** *It.*"),
        ),
        "cell 4 (e): shows a figure without alt text",
    ),
    "empty cell": (add(code("e", "")), "cell 4 (e): is empty"),
    "id twice": (
        add(text("title", "A word.")),
        "cell 4 (title): its id stands twice",
    ),
    "editor state": (
        add(code("e", "x = 1", collapsed=True)),
        "cell 4 (e): has metadata collapsed",
    ),
    "attachment": (
        add(text("e", "![x](attachment:x.png)")),
        "cell 4 (e): has a binary attachment",
    ),
    "skipped": (
        add(code("e", "x = 1", tags=["nbval-skip"])),
        "cell 4 (e): is tagged nbval-skip",
    ),
    "steered by a comment": (
        add(code("e", "# NBVAL_IGNORE_OUTPUT\nx = 1")),
        "cell 4 (e): steers nbval by a comment",
    ),
    "claim that nothing compares": (
        add(code("e", 'lab.claim("x", True)', tags=["nbval-ignore-output"])),
        "cell 4 (e): its verdicts are never compared",
    ),
    "second set-up cell": (
        add(code("e", setup_cell(URL))),
        "cell 4 (e): a second set-up cell",
    ),
    "set-up cell not first": (
        lambda cells: cells.insert(1, code("e", "import os")),
        "cell 1 (e): the first code cell is not the set-up cell",
    ),
    "no title": (
        lambda cells: cells.__setitem__(0, text("title", "A chapter")),
        "does not open with its title",
    ),
    "code before the title": (
        lambda cells: cells.insert(0, cells.pop(1)),
        "does not open with its title",
    ),
    "two titles": (
        add(text("e", "# Another title")),
        "has 2 first-level headings",
    ),
    "no summary": (
        lambda cells: cells.__setitem__(6, text("summary", "It falls.")),
        "has no summary",
    ),
    "too few claims": (
        lambda cells: cells.__setitem__(
            5, code("claim", "lab.claim(...)", [stream("✔ It falls.\n" * 4)])
        ),
        "makes 4 claims, at least 5 are wanted",
    ),
    "no explorer": (lambda cells: cells.pop(4), "has no explorer"),
    "figure without caption": (
        lambda cells: cells.__setitem__(3, text("caption", "The curve falls.")),
        "cell 2 (figure): its figure has no caption",
    ),
    "figures counted wrongly": (
        lambda cells: cells.__setitem__(
            3, text("caption", "**Figure 2.** *It falls.*")
        ),
        "cell 2 (figure): its figure has no caption",
    ),
}


@pytest.mark.parametrize("case", BROKEN_CELLS)
def test_a_broken_cell_is_named_with_its_remedy(root, case):
    edit, message = BROKEN_CELLS[case]
    notebook = edited(edit)
    if case == "attachment":
        notebook.cells[4].attachments = {"x.png": {"image/png": "aGk="}}
    found = findings(root, notebook)
    if case == "set-up cell not first":
        assert found.pop().startswith("cell 2 (setup): a second set-up cell")
    assert only(found).startswith(message)


def test_a_cell_that_was_not_run_is_named(root):
    notebook = chapter()
    notebook.cells[2].execution_count = None
    assert only(findings(root, notebook)).startswith("cell 2 (figure): was not run")


def test_cells_run_out_of_order_are_named(root):
    notebook = chapter()
    notebook.cells[2].execution_count, notebook.cells[4].execution_count = 3, 2
    first, second = findings(root, notebook)
    assert first.startswith("cell 2 (figure): was run as number 3 and stands as")
    assert second.startswith("cell 4 (explorer): was run as number 2 and stands as")


def test_a_set_up_cell_with_another_address_is_named(root):
    notebook = chapter()
    notebook.cells[1].source = setup_cell("https://github.com/somebody/else")
    message = only(findings(root, notebook))
    assert message.startswith("cell 1 (setup): the set-up cell differs")


def test_a_notebook_without_code_lacks_its_set_up_cell(root):
    notebook = chapter()
    notebook.cells = [notebook.cells[0]]
    message = only(findings(root, notebook, name="a-page.ipynb"))
    assert message.startswith("has no code cell")


def test_widget_state_and_foreign_metadata_are_named(root):
    notebook = chapter()
    notebook.metadata["widgets"] = {}
    assert only(findings(root, notebook)).startswith("metadata.widgets is committed")
    notebook = chapter()
    notebook.metadata.language_info["version"] = "3.11.7"
    assert only(findings(root, notebook)).startswith("its metadata is not the project")


def test_a_cell_without_an_id_and_a_key_of_no_meaning_are_named(root):
    path = root / "notebooks" / NAME
    content = json.loads(notebook_files.dumps(chapter()))
    content["cells"][0]["id"] = ""
    content["cells"][3]["mood"] = "good"
    path.write_text(json.dumps(content))
    found = lint_notebooks.lint(path, setup_cell(URL))
    assert any("cell 0 (): has no id" in finding for finding in found)
    assert any("is not valid notebook format 4.5" in finding for finding in found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "its JSON is broken"),
        ("[]", "it has no list of cells"),
        ('{"cells": [], "nbformat": 4, "nbformat_minor": 4}', "format 4.4"),
        (
            '{"cells": [{"id": "a"}], "nbformat": 4, "nbformat_minor": 5}',
            "cell 0 has no type",
        ),
    ],
)
def test_what_is_no_notebook_is_one_finding(root, content, message):
    path = root / "notebooks" / NAME
    path.write_text(content)
    (found,) = lint_notebooks.lint(path, setup_cell(URL))
    assert found.startswith(f"{path}: ")
    assert message in found


def exercise() -> NotebookNode:
    cells = [
        text("title", f"# Exercises\n\nThe [chapter](../notebooks/{NAME})."),
        code("setup", setup_cell(URL)),
        code("task", "answer = ..."),
    ]
    return v4.new_notebook(cells=cells, metadata=notebook_files.METADATA)


def test_a_good_exercise_has_no_finding(root):
    assert findings(root, exercise(), folder="exercises") == []


@pytest.mark.parametrize("leftover", ["output", "count"])
def test_an_exercise_keeps_no_output_and_no_count(root, leftover):
    notebook = exercise()
    if leftover == "output":
        notebook.cells[2].outputs = [stream("42\n")]
    else:
        notebook.cells[2].execution_count = 2
    message = only(findings(root, notebook, folder="exercises"))
    assert message.startswith("cell 2 (task): an exercise keeps no output")


def test_chapter_and_exercises_link_each_other(root):
    lonely = exercise()
    lonely.cells[0].source = "# Exercises"
    assert findings(root, lonely, folder="exercises") == []
    message = only(findings(root, chapter()))
    assert message.startswith(f"does not link ../exercises/{NAME}")
    message = only(findings(root, lonely, folder="exercises"))
    assert message.startswith(f"does not link ../notebooks/{NAME}")
    linking = chapter()
    linking.cells[-1].source += f"\n\n[Exercises](../exercises/{NAME})"
    assert findings(root, linking) == []


@pytest.mark.parametrize(
    "innocent",
    [
        "https://example.org/home/page",
        "train/test and/or/work",
        "the /ratio/ of a/tmp",
        "../notebooks/x.ipynb",
        "an /homework",
    ],
)
def test_what_only_looks_like_a_path_is_no_finding(root, innocent):
    assert findings(root, edited(add(text("e", innocent)))) == []


def test_a_method_named_interactive_is_no_finding(root):
    assert findings(root, edited(add(code("e", "reinteract(x)\ninteraction()")))) == []


def test_the_command_reports_counts_and_status(root, capsys):
    assert lint_notebooks.main([], root) == 1
    assert "no notebook in" in capsys.readouterr().err
    findings(root, chapter())
    assert lint_notebooks.main([], root) == 0
    assert capsys.readouterr().out == "1 notebooks in good form\n"
    findings(root, edited(add(code("e", ""))))
    assert lint_notebooks.main([str(root / "notebooks" / NAME)], root) == 1
    shown = capsys.readouterr()
    assert "cell 4 (e): is empty" in shown.out
    assert shown.err == "1 findings in 1 notebooks\n"
    assert lint_notebooks.main([str(root / "nowhere")], root) == 1
    assert "no such notebook or folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "no _config.yml"),
        ("title: x\n", "repository.url is missing"),
        ("- x\n", "repository.url is missing"),
        ("repository:\n  url: https://example.org/x\n", "must look like"),
        (f"repository:\n  url: {URL}.git\n", "without .git"),
    ],
)
def test_a_missing_or_odd_address_is_a_clear_error(tmp_path, config, message):
    if config is not None:
        (tmp_path / "_config.yml").write_text(config)
    with pytest.raises(ValueError, match=message):
        repository_url(tmp_path)


def test_an_address_is_brought_into_its_plain_form():
    assert valid_address(f" {URL}.git/ ") == f"{URL}.git".removesuffix(".git")
    for wrong in ("http://github.com/a/b", "https://github.com/a", "a/b", f"{URL}/x"):
        with pytest.raises(ValueError, match="OWNER/NAME"):
            valid_address(wrong)
