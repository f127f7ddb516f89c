"""Everything public is explained, argument by argument, and stands in the reference."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import initlab as lab

BOOK = Path(__file__).parents[1] / "book"
PAGES = sorted(BOOK.glob("api-*.md"))
DIRECTIVE = re.compile(
    r"^\.\. auto(module|class|function):: (\S+)\n(?:   (.+)\n)?", re.M
)
MEMBERS = re.compile(r":members:(.*)")
ARGUMENT = re.compile(r"^ {4}\*{0,2}(\w+):", re.MULTILINE)


def described():
    """Yield the full name and the object of everything that the reference describes."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for kind, name, option in DIRECTIVE.findall(text):
        if kind != "module":
            module, _, member = name.rpartition(".")
            yield name, getattr(importlib.import_module(module), member)
            continue
        module = importlib.import_module(name)
        chosen = MEMBERS.search(option)[1].replace(",", " ").split()
        for member in chosen or public(module):
            yield f"{name}.{member}", getattr(module, member)


def public(module):
    if hasattr(module, "__all__"):
        return module.__all__
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and getattr(thing, "__module__", "") == module.__name__
    ]


DESCRIBED = dict(described())
CALLABLES = {
    name: thing
    for name, thing in DESCRIBED.items()
    if inspect.isfunction(thing) or inspect.isclass(thing)
}


def test_every_name_of_the_package_is_in_the_reference():
    documented = list(DESCRIBED.values())
    modules = {name.rpartition(".")[0] for name in DESCRIBED}
    for name in set(lab.__all__) - {"__version__"}:
        thing = getattr(lab, name)
        if inspect.ismodule(thing):
            assert thing.__name__ in modules, name
        else:
            assert any(thing is each for each in documented), name


@pytest.mark.parametrize("name", CALLABLES)
def test_every_argument_of_a_public_function_is_explained(name):
    thing = CALLABLES[name]
    docstring = inspect.getdoc(thing)
    assert docstring and docstring.splitlines()[0].endswith((".", "?")), name
    if inspect.isclass(thing):
        return
    parameters = inspect.signature(thing).parameters
    section = docstring.partition("\nArgs:\n")[2]
    section = re.split(r"\n\n(?=\S)", section)[0]
    assert set(ARGUMENT.findall(section)) == set(parameters) or len(parameters) <= 1, (
        f"{name} has the arguments {list(parameters)}"
    )


def test_the_reference_knows_the_commands_that_readers_are_promised():
    overview = (BOOK / "api.md").read_text(encoding="utf-8")
    for name in re.findall(r"<(initlab\.[\w.]+)>", overview):
        module, _, member = name.rpartition(".")
        in_pages = any(name in page.read_text(encoding="utf-8") for page in PAGES)
        assert in_pages or f"{module}.{member}" in DESCRIBED, name
