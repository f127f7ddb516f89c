"""Let every check of a notebook hand its answer over instead of judging it.

`Notebook` turns ``lab.check("s03.1", answer)`` into ``__initlab_record__("s03.1",
answer)``. Only these letters change: lines keep their numbers and their text, so what
a student's error says about a line stays true. Calls are found in the syntax tree,
after IPython has turned its magics into Python.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

RECORDER = "__initlab_record__"
TASK = re.compile(r"[sqx]\d+\.\d+")
_WRITTEN = re.compile(rf"check\(\s*[\"']({TASK.pattern})[\"']")
# The magics that run Python, which may hold a check.
_MAGICS = {"time", "timeit", "capture", "prun"}


@dataclass(frozen=True)
class Rewritten:
    """What to run instead of a cell, and the names of the tasks that it checks."""

    source: str
    tasks: tuple[str, ...] = ()


class Notebook:
    """All code cells of a notebook, rewritten.

    A check has the name that the notebook's own imports give it, whichever they are.

    Attributes:
        cells: one `Rewritten` for each text that came in.
        checks: whether there is any check in it.
        sets: the exercise sets of the checked tasks, sorted, such as ``("s03",)``.
        reads_tasks: whether it names ``TASKS``, in which the answers stand.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        """Rewrite the texts of the code cells, in their order."""
        trees = [_parse(_plain(source)) for source in sources]
        self._names = _names([tree for tree in trees if tree is not None])
        self.checks = False
        self.reads_tasks = any(
            "TASKS" in (getattr(node, "attr", ""), getattr(node, "name", ""))
            for tree in trees
            for node in (ast.walk(tree) if tree else ())
        )
        self.cells = [self._cell(source) for source in sources]
        named = {name for cell in self.cells for name in cell.tasks}
        if not any(map(TASK.fullmatch, named)):  # a loop over names, perhaps
            named = {
                node.value
                for tree in trees
                for node in _constants(tree)
                if TASK.fullmatch(node.value)
            }
        self.sets = tuple(
            sorted({name.partition(".")[0] for name in named if TASK.fullmatch(name)})
        )

    def _cell(self, source: str) -> Rewritten:
        plain = _plain(source)
        tree = _parse(plain)
        if tree is None:  # the kernel will say what is wrong with it
            tasks = tuple(dict.fromkeys(_WRITTEN.findall(source)))
            self.checks |= bool(tasks)
            return Rewritten(source, tasks)
        edits: list[tuple[ast.expr, str]] = []
        tasks: dict[str, None] = {}
        for node in ast.walk(tree):
            if _is_loaded(node) and _dotted(node) in self._names:
                edits.append((node, RECORDER))
            if not isinstance(node, ast.Call):
                continue
            if _dotted(node.func) in self._names:
                tasks.update(dict.fromkeys(_task(node)))
            body = _python_of_magic(node)
            if body is not None:
                inner = self._cell(body.value)
                tasks.update(dict.fromkeys(inner.tasks))
                edits.append((body, repr(inner.source)))
        self.checks |= any(text == RECORDER for _, text in edits)
        return Rewritten(_edit(plain, edits), tuple(tasks))


def _plain(source: str) -> str:
    """Return a cell as Python, its magics as calls; what cannot be read comes back."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        return TransformerManager().transform_cell(source.replace("\r\n", "\n"))
    except (SyntaxError, ValueError, RecursionError):
        return source


def _parse(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _names(trees: Sequence[ast.Module]) -> set[str]:
    """Return every dotted name under which the notebook can call the check."""
    names = {"lab.check", "initlab.check", "lab.checks.check", "initlab.checks.check"}
    bound = imported = False
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "initlab":
                    home = alias.asname or alias.name
                    names |= {f"{home}.check", f"{home}.checks.check"}
                elif alias.name == "initlab.checks" and alias.asname:
                    names.add(f"{alias.asname}.check")
        elif isinstance(node, ast.ImportFrom) and node.module in (
            "initlab",
            "initlab.checks",
        ):
            for alias in node.names:
                if alias.name == "check":
                    names.add(alias.asname or "check")
                    imported |= not alias.asname
                elif alias.name == "checks":
                    names.add(f"{alias.asname or 'checks'}.check")
        else:
            bound |= _binds_check(node)
    if imported or not bound:  # a notebook may have a check of its own
        names.add("check")
    return names


def _binds_check(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name == "check"
    if isinstance(node, ast.arg):
        return node.arg == "check"
    return (
        isinstance(node, ast.Name)
        and node.id == "check"
        and not isinstance(node.ctx, ast.Load)
    )


def _is_loaded(node: ast.AST) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)


def _dotted(node: ast.AST) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def _task(call: ast.Call) -> Iterator[str]:
    named = [keyword.value for keyword in call.keywords if keyword.arg == "task"]
    for node in [*call.args[:1], *named]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _constants(tree: ast.Module | None) -> Iterator[ast.Constant]:
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node


def _python_of_magic(call: ast.Call) -> ast.Constant | None:
    """Return the Python text that a magic runs, if ``call`` is such a magic."""
    function = call.func
    if not isinstance(function, ast.Attribute) or not all(
        isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        for argument in call.args
    ):
        return None
    texts = len(call.args)
    asked = {"run_cell_magic": 3, "run_line_magic": 2}.get(function.attr)
    if asked is None or texts != asked or call.args[0].value not in _MAGICS:
        return None
    return call.args[-1]


def _edit(source: str, edits: Sequence[tuple[ast.expr, str]]) -> str:
    """Put the texts in the places of the nodes; columns of a tree count bytes."""
    text = source.encode("utf-8")
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    spans = [
        (
            starts[node.lineno - 1] + node.col_offset,
            starts[node.end_lineno - 1] + node.end_col_offset,
            new,
        )
        for node, new in edits
    ]
    for start, end, new in sorted(spans, reverse=True):
        text = text[:start] + new.encode("utf-8") + text[end:]
    return text.decode("utf-8")
