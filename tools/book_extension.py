"""What the book adds to Sphinx, so that a plain `jupyter-book build .` does all of it.

1. Explorers are told that no kernel will be there (`INITLAB_BOOK=1`).
2. Cached outputs are dropped when the laboratory, the recorded results, the lock or the
   data changed: the cache of Jupyter Book keys on the notebook's text alone.
   Notebooks are executed several at a time (`execute_ahead`).
3. Two directives fill the pages that are generated: `claims-ledger` and `errata`.
4. Only real notebooks keep a launch button.
5. Text outputs that are sentences, such as claims, wrap; tables scroll.
6. The reference is made of the docstrings, in which `$…$` is mathematics.
7. Pages are written by several processes at a time.

Each in a module of its own: the map of the chapters (`book_map`), links to the glossary
(`glossary_links`), what search engines learn (`page_meta`), the last hand on every
page, for speed and accessibility (`finish_pages`), and the icons (`icon_fonts`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import book_map
import execution_cache
import finish_pages
import glossary_links
import icon_fonts
import nbformat
import page_meta
from docutils import nodes
from docutils.statemachine import StringList
from execute_ahead import cache_folder, execute_ahead
from mdit_py_plugins.anchors.index import slugify
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

_LOGGER = logging.getLogger(__name__)
_LAUNCHED_FROM = ("notebooks/", "exercises/", "solutions/")
_CLAIM = re.compile(r"^✔ (.+)$", flags=re.MULTILINE)
_HEADING = re.compile(r"^#{1,3} (.+)$", flags=re.MULTILINE)
_CORRECTION = re.compile(
    r"^:::\{admonition\} Commonly said: (?P<said>.+?)\n:class: correction\n"
    r"(?P<body>.+?)\n:::$",
    flags=re.MULTILINE | re.DOTALL,
)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives and the hooks (called by Sphinx)."""
    root = Path(app.confdir)
    os.environ["INITLAB_BOOK"] = "1"
    # Before the reference imports what imports TensorFlow, which greets on stderr.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    paths = [str(root), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    app.add_directive("claims-ledger", ClaimsLedger)
    app.add_directive("errata", Errata)
    app.add_directive("book-map", book_map.BookMap)
    for module in (glossary_links, page_meta, finish_pages, icon_fonts):
        module.setup(app)
    app.connect("builder-inited", drop_stale_outputs)
    app.connect("env-get-outdated", reread_after_a_change)
    app.connect("env-before-read-docs", execute_ahead)
    app.connect("doctree-read", mark_sentences)
    app.connect("autodoc-process-docstring", typeset)
    app.connect("html-page-context", keep_launch_buttons_on_notebooks, priority=100)
    app.connect("env-updated", write_with_all_processors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


# 1 and 2: execution


def drop_stale_outputs(app: Sphinx) -> None:
    """Empty the execution cache if what the notebooks run on has changed."""
    build = Path(app.outdir).parent
    stamp = build / ".read-with"
    now = execution_cache.fingerprint(Path(app.confdir))
    before = stamp.read_text(encoding="utf-8") if stamp.exists() else ""
    # The cache has a stamp of its own: a test run of the notebooks fills it too.
    if execution_cache.drop_if_stale(cache_folder(app), now):
        _LOGGER.info("the laboratory changed: all notebooks will be executed again")
    app.initlab_changed = now != before
    if app.initlab_changed:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(now, encoding="utf-8")


def reread_after_a_change(app: Sphinx, env: Any, *_: Any) -> list[str]:
    """Name the pages that Sphinx must read again although their text is the same."""
    if not app.initlab_changed:
        # Sphinx copies our css and js only in a build that writes some page.
        return [app.config.root_doc] if assets_changed(app) else []
    return [name for name in env.found_docs if name.startswith(_LAUNCHED_FROM)] + [
        name for name in env.found_docs if name == app.config.root_doc
    ]


def assets_changed(app: Sphinx) -> bool:
    """Tell whether a file of `book/assets` differs from the built book's copy."""
    copies = Path(app.outdir) / "_static"
    for path in (Path(app.confdir) / "book" / "assets").glob("*"):
        copy = copies / path.name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            return True
    return False


# 3: generated pages


class ClaimsLedger(SphinxDirective):
    """Every claim of every chapter, linked to the section whose cell checks it."""

    def run(self) -> list[nodes.Node]:
        """Build the ledger from the notebooks' committed outputs."""
        lines: list[str] = []
        total = 0
        for title, path, cells in _chapters(self):
            claims = [
                (sentence, heading)
                for cell, heading in _with_headings(cells)
                for sentence in _claims(cell)
            ]
            total += len(claims)
            lines += ["", f"## {title}", ""]
            lines += [
                f"1. {sentence} [(checked here)](../{path}#{slugify(heading)})"
                for sentence, heading in claims
            ]
        head = [f"**{total} claims** are checked whenever the book is tested.", ""]
        return _parsed(self, head + lines)


class Errata(SphinxDirective):
    """Every correction of every chapter, linked to the evidence."""

    def run(self) -> list[nodes.Node]:
        """Build the page from the `correction` admonitions of the notebooks."""
        lines: list[str] = []
        for title, path, cells in _chapters(self):
            found = [
                (match["said"], match["body"], heading)
                for cell, heading in _with_headings(cells)
                if cell.cell_type == "markdown"
                for match in _CORRECTION.finditer(cell.source)
            ]
            if found:
                lines += ["", f"## {title}", ""]
            for said, body, heading in found:
                body = re.sub(r"\]\((?!https?:|\.\./)", "](../notebooks/", body)
                lines += [
                    f":::{{admonition}} Commonly said: {said}",
                    ":class: correction",
                    *body.splitlines(),
                    "",
                    f"[The evidence](../{path}#{slugify(heading)})",
                    ":::",
                    "",
                ]
        return _parsed(self, lines)


def _chapters(directive: SphinxDirective) -> Iterator[tuple[str, str, list[Any]]]:
    """Give title, path and cells of every chapter in the order of the contents."""
    root = Path(directive.env.app.confdir)
    contents = (root / "_toc.yml").read_text(encoding="utf-8")
    for name in re.findall(r"file: (notebooks/\S+)", contents):
        path = root / f"{name}.ipynb"
        directive.env.note_dependency(str(path))
        cells = nbformat.read(path, as_version=4).cells
        title = _HEADING.search(cells[0].source)
        yield title[1] if title else path.stem, f"{name}.ipynb", cells


def _with_headings(cells: list[Any]) -> Iterator[tuple[Any, str]]:
    heading = ""
    for cell in cells:
        if cell.cell_type == "markdown" and (found := _HEADING.findall(cell.source)):
            heading = found[-1]
        yield cell, heading


def _claims(cell: Any) -> list[str]:
    if cell.cell_type != "code":
        return []
    return _CLAIM.findall("".join(out.get("text", "") for out in cell.outputs))


def _parsed(directive: SphinxDirective, lines: list[str]) -> list[nodes.Node]:
    holder = nodes.section()
    holder.document = directive.state.document
    directive.state.nested_parse(StringList(lines), 0, holder, match_titles=True)
    return holder.children


# 4: launch buttons


def keep_launch_buttons_on_notebooks(
    app: Sphinx, pagename: str, *_: Any, **__: Any
) -> None:
    """Take the button from pages that Colab could not open (text notebooks)."""
    if not pagename.startswith(_LAUNCHED_FROM):
        app.env.metadata[pagename].pop("kernelspec", None)


# 5: text outputs


def mark_sentences(_: Sphinx, doctree: nodes.document) -> None:
    """Give text outputs without columns the class `sentences`, so that they wrap."""
    for block in doctree.findall(nodes.literal_block):
        if "output" in block["classes"] and "  " not in block.astext():
            block["classes"].append("sentences")


# 6: the reference

_MATHS = re.compile(r"\$(?=\S)([^$]+?)(?<=\S)\$")


def typeset(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """Turn `$…$` into mathematics; of a module's docstring keep what readers need."""
    if what == "module":
        # What follows the first paragraph is for those who open the file.
        del lines[lines.index("") if "" in lines else len(lines) :]
    text = "\n".join(lines)
    # A formula may go over two lines, which a role must not.
    text = _MATHS.sub(lambda m: f":math:`{' '.join(m[1].split())}`", text)
    lines[:] = text.split("\n")


# 7: speed


def write_with_all_processors(app: Sphinx, _: Any) -> None:
    """Write in parallel; not all extensions of Jupyter Book allow it for reading."""
    processors = os.cpu_count() or 1
    if processors > 1:
        app.parallel = processors + 1  # Sphinx counts the process that hands out pages
