"""Execute the book's notebooks several at a time, before Sphinx reads them one by one.

Sphinx reads pages in turn, and each page that is a notebook then waits for its own
kernel. `execute_ahead` runs them beforehand in a few processes, with Jupyter Book's own
cache and worker, and Sphinx finds the outputs there. A notebook that fails here is not
in the cache: Sphinx runs it again and reports it as it reports every failure.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import execution_cache
from jupyter_cache import get_cache
from jupyter_cache.executors.basic import ExecutionWorkerLocalMProc, ProcessData
from sphinx.application import Sphinx
from sphinx.util import logging

# A kernel with TensorFlow takes up to 1 GB and wants a core of its own.
MOST_AT_ONCE = 4

_LOGGER = logging.getLogger(__name__)


def cache_folder(app: Sphinx) -> Path:
    """Return where Jupyter Book keeps the outputs of executed notebooks."""
    default = execution_cache.folder(Path(app.outdir).parent)
    return Path(app.config.nb_execution_cache_path or default)


def reader(path: Path) -> str:
    """Return which of jupyter-cache's readers reads a page; "" if it has no code."""
    if path.suffix == ".ipynb":
        return "nbformat"
    has_code = "\n```{code-cell}" in path.read_text(encoding="utf-8")
    return "myst_nb_md" if path.suffix == ".md" and has_code else ""


def execute_ahead(app: Sphinx, env: Any, docnames: Sequence[str]) -> None:
    """Fill the cache with those pages that are notebooks, before Sphinx reads them."""
    if app.config.nb_execution_mode != "cache":
        return
    readers = {str(path): reader(Path(path)) for path in map(env.doc2path, docnames)}
    notebooks = [path for path, name in readers.items() if name]
    cache = get_cache(cache_folder(app))
    for path in notebooks:
        how = {"type": "plugin", "name": readers[path]}
        cache.add_nb_to_project(path, read_data=how)
    records = cache.list_unexecuted(notebooks)
    at_once = min(MOST_AT_ONCE, os.cpu_count() or 1, len(records))
    if at_once < 2:
        return  # Sphinx can do that itself
    _LOGGER.info("executing %d notebooks, %d at a time", len(records), at_once)
    timeout = app.config.nb_execution_timeout
    work = [
        ProcessData(record.pk, record.uri, cache, timeout, False) for record in records
    ]
    with ProcessPoolExecutor(at_once) as pool:
        list(pool.map(ExecutionWorkerLocalMProc(), work))
