import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from docutils import nodes
from docutils.utils import new_document

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
book_extension = importlib.import_module("book_extension")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.delenv("INITLAB_DATA", raising=False)
    for name in ("initlab/a.py", "initlab/assets/a.js", "results/a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    (tmp_path / "requirements.txt").write_text("numpy==1")
    return tmp_path


@pytest.fixture
def app(project):
    cache = project / "_build" / ".jupyter_cache"
    cache.mkdir(parents=True)
    (cache / "kept").touch()
    return SimpleNamespace(
        outdir=str(project / "_build" / "html"),
        confdir=str(project),
        config=SimpleNamespace(nb_execution_cache_path="", root_doc="book/index"),
    )


def test_the_cache_is_dropped_once_after_a_change(app, project):
    kept = project / "_build" / ".jupyter_cache" / "kept"
    book_extension.drop_stale_outputs(app)
    assert app.initlab_changed
    assert not kept.exists()

    kept.touch()
    book_extension.drop_stale_outputs(app)
    assert not app.initlab_changed
    assert kept.exists()

    (project / "initlab" / "a.py").write_text("2")
    book_extension.drop_stale_outputs(app)
    assert app.initlab_changed
    assert not kept.exists()


def test_pages_are_read_again_also_when_a_test_run_has_renewed_the_cache(app, project):
    book_extension.drop_stale_outputs(app)
    (project / "initlab" / "a.py").write_text("2")
    cache = project / "_build" / ".jupyter_cache"
    now = book_extension.execution_cache.fingerprint(project)
    book_extension.execution_cache.drop_if_stale(cache, now)
    (cache / "kept").touch()
    book_extension.drop_stale_outputs(app)
    assert app.initlab_changed
    assert (cache / "kept").exists()


def test_after_a_change_every_executed_page_is_read_again(app):
    env = SimpleNamespace(
        found_docs={"book/index", "book/claims", "notebooks/a", "exercises/a"}
    )
    app.initlab_changed = True
    again = book_extension.reread_after_a_change(app, env)
    assert set(again) == {"book/index", "notebooks/a", "exercises/a"}
    app.initlab_changed = False
    assert book_extension.reread_after_a_change(app, env) == []


def test_a_changed_stylesheet_is_reason_enough_to_build(app, project):
    for folder in ("book/assets", "_build/html/_static"):
        (project / folder).mkdir(parents=True)
        (project / folder / "course.css").write_text("a {}")
    app.initlab_changed = False
    env = SimpleNamespace(found_docs={"book/index", "notebooks/a"})
    assert book_extension.reread_after_a_change(app, env) == []
    (project / "book/assets/course.css").write_text("b {}")
    assert book_extension.reread_after_a_change(app, env) == ["book/index"]


def test_only_notebooks_keep_their_launch_button(app):
    kernel = {"kernelspec": {"name": "python3"}}
    app.env = SimpleNamespace(
        metadata={"book/index": dict(kernel), "notebooks/a": dict(kernel)}
    )
    for page in app.env.metadata:
        book_extension.keep_launch_buttons_on_notebooks(app, page)
    assert app.env.metadata == {"book/index": {}, "notebooks/a": kernel}


def test_sentences_wrap_and_tables_do_not():
    texts = {"✔ Two is less than three.\n✔ Always.": True, "a    b\n1    2": False}
    document = new_document("page")
    document += [nodes.literal_block(text, text, classes=["output"]) for text in texts]
    document += nodes.literal_block("code", "code", classes=["input"])
    book_extension.mark_sentences(None, document)
    wrapped = ["sentences" in block["classes"] for block in document]
    assert wrapped == [*texts.values(), False]


def test_a_claim_is_linked_to_the_section_that_checks_it():
    cells = [
        nbformat.v4.new_markdown_cell("# Title\n\ntext\n\n## First"),
        nbformat.v4.new_code_cell(
            outputs=[nbformat.v4.new_output("stream", text="x\n✔ One.\n✔ Two.\n")]
        ),
        nbformat.v4.new_markdown_cell("## Second"),
    ]
    found = [
        (claim, heading)
        for cell, heading in book_extension._with_headings(cells)
        for claim in book_extension._claims(cell)
    ]
    assert found == [("One.", "First"), ("Two.", "First")]


def test_a_correction_is_found_whole():
    text = (
        "Before.\n\n:::{admonition} Commonly said: “Wrong.”\n:class: correction\n"
        "**What holds.** Right.\n:::\n\nAfter."
    )
    [match] = book_extension._CORRECTION.finditer(text)
    assert match["said"] == "“Wrong.”"
    assert match["body"] == "**What holds.** Right."


def test_every_correction_of_the_chapters_has_the_form_that_the_errata_read():
    for path in (Path(__file__).parents[1] / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            found = len(book_extension._CORRECTION.findall(source))
            assert found == source.count(":class: correction"), cell["id"]


# ------------------------------------------------------------------ the reference


def typeset(text, what="function"):
    lines = text.split("\n")
    book_extension.typeset(None, what, "name", None, None, lines)
    return lines


def test_dollars_in_a_docstring_are_mathematics_also_over_two_lines():
    assert typeset("Weights of $g / \\sqrt{n}$ keep it.") == [
        "Weights of :math:`g / \\sqrt{n}` keep it."
    ]
    assert typeset("With $a +\n    b$ it\nends.") == ["With :math:`a + b` it", "ends."]


def test_prices_are_no_mathematics():
    assert typeset("It costs $ 5 or 6 $ a run.") == ["It costs $ 5 or 6 $ a run."]


def test_of_a_module_only_the_first_paragraph_is_for_readers():
    assert typeset("What it is.\nFor whom.\n\nWhere to begin.", "module") == [
        "What it is.",
        "For whom.",
    ]
    assert typeset("What it is.", "module") == ["What it is."]


@pytest.mark.parametrize(("processors", "parallel"), [(1, 1), (2, 3), (None, 1)])
def test_pages_are_written_by_all_processors(processors, parallel, monkeypatch):
    monkeypatch.setattr(book_extension.os, "cpu_count", lambda: processors)
    app = SimpleNamespace(parallel=1)
    book_extension.write_with_all_processors(app, None)
    assert app.parallel == parallel
