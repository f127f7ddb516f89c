"""A pytest plugin: what nbval has just computed and compared, the book shows.

``pytest -p tools.keep_outputs --nbval … --keep-outputs`` runs the notebooks as the book
runs them, with static explorers, and stores the outputs of each notebook whose cells
all pass in the book's cache. `make test` uses it, so that each notebook is executed
once and not twice. Without ``--keep-outputs`` nothing changes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from jupyter_cache import get_cache
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell

from tools import execution_cache

FLAG = "--keep-outputs"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag."""
    parser.addoption(
        FLAG, action="store_true", help="store the outputs in the book's cache"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Set the book's switch for the kernels, and empty a cache that is out of date."""
    if not config.getoption(FLAG):
        return
    os.environ["INITLAB_BOOK"] = "1"
    if not hasattr(config, "workerinput"):
        root = config.rootpath
        execution_cache.drop_if_stale(cache(root), execution_cache.fingerprint(root))
    config.pluginmanager.register(Keeper(cache(config.rootpath)), "keeper")


def cache(root: Path) -> Path:
    """Return the folder of the book's cache."""
    return execution_cache.folder(root / "_build")


def without_explorer(output: Any) -> Any:
    """Return ``output`` without the page of an explorer, if it has one."""
    data = dict(output.get("data", {}))
    if 'class="initlab-explorer"' not in data.get("text/html", ""):
        return output
    del data["text/html"]
    return NotebookNode({**output, "data": data})


class Keeper:
    """Stores each notebook after its last cell."""

    def __init__(self, cache: Path) -> None:
        """Keep outputs in the folder ``cache``."""
        self.cache = cache
        self.passed: dict[Path, list[Any]] = {}

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Compare of an explorer its text alone: Jupyter's widget is not stored."""
        if isinstance(item, IPyNbCell):
            compare = item.compare_outputs
            item.compare_outputs = lambda made, stored: compare(
                [without_explorer(output) for output in made], stored
            )

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: Any) -> Any:
        """Remember the outputs of a cell that passed."""
        outcome = yield
        if isinstance(item, IPyNbCell) and call.when == "call":
            if outcome.get_result().passed:
                self.passed.setdefault(item.path, []).append(item.test_outputs)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> None:
        """Store the notebook if this was its last cell and all have passed."""
        if not isinstance(item, IPyNbCell):
            return
        if nextitem is not None and nextitem.path == item.path:
            return
        outputs = self.passed.pop(item.path, [])
        codes = [c for c in item.parent.nb.cells if c.cell_type == "code"]
        if len(outputs) == len(codes):
            execution_cache.store(get_cache(self.cache), item.path, outputs)
