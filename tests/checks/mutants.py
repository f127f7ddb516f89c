"""Small wrong changes of a right answer: what the mutation test tries on every check.

`answers_of` reads a solutions notebook and gives, for each check of a function, the
cell that defines it and the code that it needs. `mutants` changes one place of the
answer at a time, as a student's slip would: fan_in for fan_out, a root or a ½ dropped,
the variance for the standard deviation, the output of an activation for its input, one
seed for all.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

_BLOCK = re.compile(
    r"^ *# BEGIN SOLUTION.*?\n(?P<body>.*?)^ *# END SOLUTION", re.MULTILINE | re.DOTALL
)
_SWAPPED = {
    "fan_in": "fan_out",
    "fan_out": "fan_in",
    "n_in": "n_out",
    "n_out": "n_in",
    "inputs": "outputs",
    "outputs": "inputs",
    "width_in": "width_out",
    "width_out": "width_in",
}
_POST = {"z": "h", "pre": "post", "pre_activation": "activation", "before": "after"}
_ROOTS = {"sqrt"}
_STDS = {"std": "var"}


@dataclass(frozen=True)
class Answer:
    """A function that a solution gives to a check, with the code that makes it."""

    task: str
    name: str
    setup: ast.Module
    cell: ast.Module
    lines: frozenset[int]


def answers_of(path: Path) -> Iterator[Answer]:
    """Give each function that the notebook at ``path`` hands to `lab.check`."""
    before: list[ast.stmt] = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code" or "%pip" in cell.source:
            continue
        if "lab.strict()" in cell.source:
            continue
        tree = ast.parse(cell.source)
        defined = {s.name for s in tree.body if isinstance(s, ast.FunctionDef)}
        for task, name in _checks(tree):
            if name in defined:
                body = [s for s in tree.body if not _is_check(s)]
                needed = _needed(before, ast.Module(body, []))
                yield Answer(
                    task,
                    name,
                    ast.Module(needed, []),
                    ast.Module(_needed(body, ast.parse(name)), []),
                    _marked(cell.source),
                )
        before += [s for s in tree.body if not _is_check(s)]


def build(answer: Answer, cell: ast.Module | None = None) -> Any:
    """Return the function of ``answer``, or of its mutant ``cell``."""
    import initlab

    space: dict[str, Any] = {"lab": initlab, "__name__": "notebook"}
    for tree in (answer.setup, cell or answer.cell):
        fixed = ast.fix_missing_locations(copy.deepcopy(tree))
        exec(compile(fixed, f"<{answer.task}>", "exec"), space)
    return space[answer.name]


def mutants(answer: Answer) -> Iterator[tuple[str, str, ast.Module]]:
    """Give every mutant: the slip, the line that it changes as it reads now, the code.

    Only what stands between the solution's markers is changed.
    """
    places = [
        (index, node)
        for index, node in enumerate(ast.walk(answer.cell))
        if getattr(node, "lineno", 0) in answer.lines
    ]
    seen = {ast.unparse(answer.cell)}
    for index, original in places:
        for slip, change in SLIPS.items():
            if change(original) is None:
                continue
            tree = copy.deepcopy(answer.cell)
            node = list(ast.walk(tree))[index]
            new = change(node)
            line = node.lineno
            tree = _Replace(node, new).visit(tree)
            text = ast.unparse(ast.fix_missing_locations(tree))
            if text not in seen:
                seen.add(text)
                yield slip, _line(tree, line), tree


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        return self.new if node is self.old else super().visit(node)


def _line(tree: ast.Module, number: int) -> str:
    """Return the innermost statement at that line of the mutant."""
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= number <= node.end_lineno
    ]
    return ast.unparse(found[-1]).splitlines()[0] if found else ""


# The changes. Each takes a node and returns what stands in its place, or None.


def _swap(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Name) and node.id in _SWAPPED:
        return _named(node, _SWAPPED[node.id])
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "shape"
        and isinstance(node.slice, ast.Constant | ast.UnaryOp)
    ):
        place = ast.literal_eval(node.slice)
        other = {0: 1, 1: 0, -1: -2, -2: -1}.get(place)
        if other is not None:
            return ast.copy_location(
                ast.Subscript(node.value, ast.Constant(other), node.ctx), node
            )
    return None


def _post(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        if node.id in _POST:
            return _named(node, _POST[node.id])
    return None


def _drop_root(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Call) and _called(node) in _ROOTS and node.args:
        return node.args[0]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        if isinstance(node.right, ast.Constant) and node.right.value == 0.5:
            return node.left
    return None


def _drop_factor(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        if _is_half_or_two(node.right):
            return node.left
        if _is_half_or_two(node.left):
            one = ast.copy_location(ast.Constant(1), node.left)
            return ast.copy_location(ast.BinOp(one, node.op, node.right), node)
    return None


def _variance(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Call) and _called(node) in _STDS:
        new = copy.deepcopy(node)
        if isinstance(new.func, ast.Attribute):
            new.func.attr = _STDS[new.func.attr]
            return new
    if isinstance(node, ast.Name) and node.id == "std":
        if isinstance(node.ctx, ast.Load):
            square = ast.BinOp(node, ast.Pow(), ast.Constant(2))
            return ast.copy_location(square, node)
    return None


def _one_seed(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.Call) and _called(node) in ("default_rng", "RandomState"):
        if node.args and not isinstance(node.args[0], ast.Constant):
            new = copy.deepcopy(node)
            new.args[0] = ast.copy_location(ast.Constant(0), node.args[0])
            return new
    if isinstance(node, ast.Name) and node.id == "rng":
        if isinstance(node.ctx, ast.Load):
            call = ast.parse("np.random.default_rng(0)", mode="eval").body
            for part in ast.walk(call):
                ast.copy_location(part, node)
            return call
    if isinstance(node, ast.keyword) and node.arg == "seed":
        if not isinstance(node.value, ast.Constant):
            zero = ast.copy_location(ast.Constant(0), node.value)
            return ast.copy_location(ast.keyword("seed", zero), node)
    return None


SLIPS = {
    "fans swapped": _swap,
    "post- for pre-activation": _post,
    "root dropped": _drop_root,
    "factor dropped": _drop_factor,
    "variance for std": _variance,
    "one seed for all": _one_seed,
}


def _named(node: ast.Name, name: str) -> ast.Name:
    return ast.copy_location(ast.Name(name, node.ctx), node)


def _called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _is_half_or_two(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value in (2, 0.5)


# Reading the notebook.


def _checks(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for statement in tree.body:
        if _is_check(statement) and isinstance(statement.value.args[1], ast.Name):
            task, answer = statement.value.args
            yield task.value, answer.id


def _is_check(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and _called(statement.value) == "check"
        and len(statement.value.args) == 2
    )


def _marked(source: str) -> frozenset[int]:
    """Return the numbers of the lines between the solution's markers."""
    return frozenset(
        source.count("\n", 0, match.start("body")) + 1 + place
        for match in _BLOCK.finditer(source)
        for place in range(match["body"].count("\n"))
    )


def _needed(statements: list[ast.stmt], user: ast.AST) -> list[ast.stmt]:
    """Return those ``statements`` that make the names that ``user`` reads."""
    wanted = _loaded(user)
    kept: list[ast.stmt] = []
    for statement in reversed(statements):
        if _bound(statement) & wanted:
            kept.append(statement)
            wanted |= _loaded(statement)
    return kept[::-1]


def _loaded(tree: ast.AST) -> set[str]:
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
    }


def _bound(statement: ast.stmt) -> set[str]:
    names: set[str] = set()
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    for node in ast.walk(statement):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            # A method may change what it is called on: rng.shuffle(x), model.fit(x).
            root = node.func.value
            if isinstance(root, ast.Name):
                names.add(root.id)
        elif isinstance(node, ast.Subscript | ast.Attribute):
            if isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
                names.add(node.value.id)
    return names
