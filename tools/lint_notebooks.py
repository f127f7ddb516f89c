"""Check the form of the notebooks: what a strict run of them cannot see.

``python -m tools.lint_notebooks [PATH ...]``, by default all of ``notebooks``,
``solutions`` and ``exercises``. A finding prints ``path: cell 3 (its-id): what is
wrong; the remedy`` and makes the exit status 1. Each rule is one function below that
takes a cell or a notebook and yields its findings; ``RULES`` lists them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import notebook_files
from tools.execute_notebooks import STORED, UNSTABLE
from tools.notebook_files import NotebookError, cell_name, tags
from tools.setup_cell import is_setup_cell, repository_url, setup_cell

FOLDERS = ("notebooks", "solutions", "exercises")

LONGEST_CELL = 25
FEWEST_CLAIMS = 5
LONGEST_LINE = 88

ABSOLUTE_PATH = re.compile(
    r"(?<![\w.:/~-])/(?:root|home|tmp|work|Users|mnt|content|var/folders)(?![\w-])"
    r"|\b[A-Za-z]:\\+Users\b"
    r"|\bfile://"
)
INTERACT = re.compile(
    r"(?<![\w.])(?:\w+\.)?interact(?:_manual|ive|ive_output)?\s*\("
    r"|^\s*@(?:\w+\.)?interact(?:_manual)?\b",
    re.MULTILINE,
)
INLINE_IMAGE = re.compile(r"data:(?:image|font|application)/")
H1 = re.compile(r"^# \S", re.MULTILINE)
SUMMARY = re.compile(r"^#{2,3} Summary\b", re.MULTILINE)
FENCE = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)
CLAIM = re.compile(r"^✔ ", re.MULTILINE)
EXPLORER = re.compile(r"^@lab\.explore\(", re.MULTILINE)
VERDICT = re.compile(r"\blab\.(?:claim|check|progress)\(")
NBVAL_COMMENT = re.compile(r"^\s*#\s*(?:NBVAL|PYTEST_VALIDATE)_\w+", re.MULTILINE)
NBVAL_TAGS = ("nbval-skip", "raises-exception", "nbval-raises-exception")
CHAPTER = re.compile(r"[sqx]\d+-")


@dataclass(frozen=True)
class Page:
    """A notebook with what the rules need to know of its surroundings."""

    path: Path
    notebook: NotebookNode
    setup: str

    @property
    def folder(self) -> str:
        """The name of the folder it stands in, which says what it is."""
        return self.path.resolve().parent.name

    def cells(self, kind: str | None = None) -> Iterator[tuple[str, NotebookNode]]:
        """Yield each cell of one kind (all without one), after its name."""
        for index, cell in enumerate(self.notebook.cells):
            if kind is None or cell.cell_type == kind:
                yield cell_name(index, cell), cell

    def prose(self) -> str:
        """Return all markdown without its fenced code."""
        return FENCE.sub("", "\n".join(c.source for _, c in self.cells("markdown")))


def output_texts(output: NotebookNode) -> Iterator[str]:
    """Yield every text that ``output`` shows."""
    yield output.get("text", "")
    for content in output.get("data", {}).values():
        yield content if isinstance(content, str) else str(content)


def shown(cell: NotebookNode) -> Iterator[str]:
    """Yield every text that the outputs of ``cell`` show."""
    for output in cell.get("outputs", ()):
        yield from output_texts(output)


def shows_figure(cell: NotebookNode) -> bool:
    """Tell whether a figure, not an explorer, is among the outputs of ``cell``."""
    return any(text.startswith("<Figure") for text in shown(cell))


def is_chapter(page: Page) -> bool:
    """Tell whether the page is a chapter of the book, by its folder and its name."""
    return page.folder == "notebooks" and bool(CHAPTER.match(page.path.name))


def valid_notebook(page: Page) -> Iterator[str]:
    """A notebook keeps to the notebook format, with unique ids."""
    seen: set[str] = set()
    for name, cell in page.cells():
        identity = cell.get("id")
        if not identity:
            yield f"{name}: has no id; give it a short name of its own"
        elif identity in seen:
            yield f"{name}: its id stands twice; give each cell an id of its own"
        seen.add(identity)
    if len(seen) < len(page.notebook.cells):
        return  # nbformat would warn and invent ids of its own
    try:
        nbformat.validate(page.notebook)
    except nbformat.ValidationError as error:
        yield (
            f"is not valid notebook format 4.5 ({str(error).splitlines()[0]}); save it "
            "again from Jupyter"
        )


def plain_metadata(page: Page) -> Iterator[str]:
    """A notebook's metadata is the same everywhere: no versions, widgets or timings."""
    remedy = "run `make execute` (for exercises `make exercises`)"
    if "widgets" in page.notebook.metadata:
        yield f"metadata.widgets is committed; {remedy}"
    elif page.notebook.metadata != notebook_files.METADATA:
        yield f"its metadata is not the project's; {remedy}"
    for name, cell in page.cells():
        extra = sorted(set(cell.metadata) - set(notebook_files.CELL_METADATA))
        if extra:
            yield f"{name}: has metadata {', '.join(extra)}; {remedy}"
        if cell.get("attachments"):
            yield f"{name}: has a binary attachment; draw it in a code cell instead"


def run_in_order(page: Page) -> Iterator[str]:
    """A chapter or solution was run from top to bottom; an exercise never was."""
    if page.folder == "exercises":
        for name, cell in page.cells("code"):
            if cell.outputs or cell.execution_count is not None:
                yield f"{name}: an exercise keeps no output; run `make exercises`"
        return
    for expected, (name, cell) in enumerate(page.cells("code"), start=1):
        if not cell.source.strip():
            yield f"{name}: is empty; delete it"
        elif cell.execution_count is None:
            yield (
                f"{name}: was not run, so nothing compares its output; "
                "run `make execute`"
            )
        elif cell.execution_count != expected:
            yield (
                f"{name}: was run as number {cell.execution_count} and stands as "
                f"number {expected}; run `make execute`"
            )


def text_outputs(page: Page) -> Iterator[str]:
    """What is committed of the outputs is text without errors and warnings."""
    for name, cell in page.cells("code"):
        for output in cell.outputs:
            if output.output_type == "error":
                yield (
                    f"{name}: its output is the error {output.get('ename')}; "
                    "repair the cell and run `make execute`"
                )
            if output.get("name") == "stderr":
                yield (
                    f"{name}: its output holds stderr; repair the cause and run "
                    "`make execute`"
                )
            for mime in sorted(set(output.get("data", {})) - set(STORED)):
                yield f"{name}: its output holds {mime}; run `make execute`"
            if any(INLINE_IMAGE.search(text) for text in output_texts(output)):
                yield f"{name}: its output holds a picture in HTML; show text instead"


def strictly_compared(page: Page) -> Iterator[str]:
    """No verdict stands in a cell whose output nbval is told not to compare."""
    for name, cell in page.cells("code"):
        for tag in sorted(set(NBVAL_TAGS) & set(tags(cell))):
            yield f"{name}: is tagged {tag}; every cell must run without an exception"
        if NBVAL_COMMENT.search(cell.source):
            yield f"{name}: steers nbval by a comment; use the tag {UNSTABLE}"
        if UNSTABLE in tags(cell) and VERDICT.search(cell.source):
            yield (
                f"{name}: its verdicts are never compared, it is tagged {UNSTABLE}; "
                "move lab.claim, lab.check and lab.progress to a cell without the tag"
            )


def no_absolute_paths(page: Page) -> Iterator[str]:
    """No path of somebody's machine stands in a notebook."""
    for name, cell in page.cells():
        for where, texts in (("source", (cell.source,)), ("output", shown(cell))):
            found = next(filter(None, map(ABSOLUTE_PATH.search, texts)), None)
            if found:
                yield (
                    f"{name}: its {where} holds the absolute path {found.group()}…; "
                    "use a relative one, or do not print it"
                )


def no_plain_interact(page: Page) -> Iterator[str]:
    """In a static page the slider of a plain ``interact`` moves and nothing follows."""
    for name, cell in page.cells("code"):
        if INTERACT.search(cell.source):
            yield f"{name}: uses ipywidgets' interact; use @lab.explore(...)"


def same_setup_cell(page: Page) -> Iterator[str]:
    """The first code cell is the set-up cell, letter by letter, and the only one."""
    remedy = "copy it from another notebook, or run `make repository URL=…`"
    codes = list(page.cells("code"))
    if not codes:
        yield "has no code cell; begin its code with the set-up cell"
        return
    name, first = codes[0]
    if not is_setup_cell(first.source):
        yield f"{name}: the first code cell is not the set-up cell; {remedy}"
    elif first.source != page.setup:
        yield f"{name}: the set-up cell differs from the project's; {remedy}"
    for name, cell in codes[1:]:
        if is_setup_cell(cell.source):
            yield f"{name}: a second set-up cell; delete it"


def small_cells(page: Page) -> Iterator[str]:
    """A code cell fits on a small screen."""
    for name, cell in page.cells("code"):
        lines = cell.source.splitlines()
        if len(lines) > LONGEST_CELL:
            yield (
                f"{name}: has {len(lines)} lines, at most {LONGEST_CELL} fit a screen; "
                "split it, or move a function to initlab"
            )
        if cell.source == page.setup:
            continue  # its one long line is the repository's address
        for number, line in enumerate(lines, start=1):
            if len(line) > LONGEST_LINE:
                yield (
                    f"{name}: line {number} has {len(line)} columns, at most "
                    f"{LONGEST_LINE} fit; break it"
                )


def figures_have_alt(page: Page) -> Iterator[str]:
    """Who cannot see a figure gets its message in words."""
    for name, cell in page.cells("code"):
        image = cell.metadata.get("mystnb", {}).get("image", {})
        alt = image.get("alt") if isinstance(image, dict) else None
        if shows_figure(cell) and not (isinstance(alt, str) and alt.strip()):
            yield (
                f"{name}: shows a figure without alt text; say what it shows in the "
                "cell's metadata, mystnb.image.alt"
            )


def figures_have_captions(page: Page) -> Iterator[str]:
    """A chapter says under each figure what to see in it, and numbers them in order."""
    if not is_chapter(page):
        return
    cells, count = list(page.cells()), 0
    for (name, cell), (_, after) in zip(cells, [*cells[1:], (None, None)], strict=True):
        if cell.cell_type != "code" or not shows_figure(cell):
            continue
        count += 1
        if after is None or not after.source.startswith(f"**Figure {count}.** *"):
            yield (
                f"{name}: its figure has no caption; begin the next cell with "
                f"`**Figure {count}.** *What to see.*`"
            )


def chapter_form(page: Page) -> Iterator[str]:
    """A page opens with its one title; a chapter explores, claims and sums up."""
    first = page.notebook.cells[0] if page.notebook.cells else None
    if (
        first is None
        or first.cell_type != "markdown"
        or not first.source.startswith("# ")
    ):
        yield "does not open with its title; begin the first cell with `# Title`"
    titles = len(H1.findall(page.prose()))
    if titles > 1:
        yield f"has {titles} first-level headings; keep one title, use ## below it"
    if not is_chapter(page):
        return
    if not SUMMARY.search(page.prose()):
        yield "has no summary; end it with a heading `## Summary`"
    if not any(EXPLORER.search(cell.source) for _, cell in page.cells("code")):
        yield "has no explorer; add one with @lab.explore(...)"
    outputs = (text for _, cell in page.cells("code") for text in shown(cell))
    claims = sum(len(CLAIM.findall(text)) for text in outputs)
    if claims < FEWEST_CLAIMS:
        yield (
            f"makes {claims} claims, at least {FEWEST_CLAIMS} are wanted; put its "
            "sentences into lab.claim(...)"
        )


def linked_pair(page: Page) -> Iterator[str]:
    """A chapter and its exercises, known by their common file name, link each other."""
    name = page.path.name
    others = {
        "notebooks": "exercises",
        "exercises": "notebooks",
        "solutions": "notebooks",
    }
    other = others.get(page.folder)
    if other is None:
        return
    has_twin = (page.path.resolve().parents[1] / other / name).is_file()
    if has_twin and f"../{other}/{name}" not in page.prose():
        yield f"does not link ../{other}/{name}; add the link"


RULES = (
    valid_notebook,
    plain_metadata,
    run_in_order,
    text_outputs,
    strictly_compared,
    no_absolute_paths,
    no_plain_interact,
    same_setup_cell,
    small_cells,
    figures_have_alt,
    figures_have_captions,
    chapter_form,
    linked_pair,
)


def lint(path: Path, setup: str) -> list[str]:
    """Return every finding in the notebook at ``path``; ``setup`` is its first cell."""
    try:
        notebook = notebook_files.read(path)
    except NotebookError as error:
        return [str(error)]
    page = Page(path, notebook, setup)
    return [f"{path}: {finding}" for rule in RULES for finding in rule(page)]


def lint_all(paths: Iterable[Path], root: Path) -> tuple[int, list[str]]:
    """Lint all notebooks at ``paths``; return how many there were, and the findings.

    Raises:
        NotebookError, ValueError: if there is nothing to lint or no repository address.
    """
    setup = setup_cell(repository_url(root))
    notebooks = notebook_files.find(paths)
    return len(notebooks), [f for path in notebooks for f in lint(path, setup)]


def main(arguments: Sequence[str] | None = None, root: Path = Path()) -> int:
    """Lint the notebooks named on the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    paths = parser.parse_args(arguments).paths or [root / name for name in FOLDERS]
    try:
        count, findings = lint_all(paths, root)
    except (NotebookError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} findings in {count} notebooks", file=sys.stderr)
        return 1
    print(f"{count} notebooks in good form")
    return 0


if __name__ == "__main__":
    sys.exit(main())
