"""The cache in which Jupyter Book keeps the outputs of executed notebooks.

Its key is the notebook's text alone. So `drop_if_stale` empties it when anything else
changed that outputs depend on (`fingerprint`), and `store` adds what a test run of the
notebooks has just computed, for the book to use.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn, JupyterCacheAbstract

_EXECUTED_WITH = ("initlab/**/*", "results/*.json", "requirements.txt")
_STAMP = "executed-with"


def folder(build: Path) -> Path:
    """Return where Jupyter Book keeps its cache below its build folder."""
    return build / ".jupyter_cache"


def fingerprint(root: Path) -> str:
    """Hash everything but the notebook that its outputs depend on."""
    digest = hashlib.sha256()
    for pattern in _EXECUTED_WITH:
        for path in sorted(root.glob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(root)).encode())
                digest.update(path.read_bytes())
    data = os.environ.get("INITLAB_DATA", "")
    if data:
        for path in sorted(Path(data).glob("*.npz")):
            digest.update(f"{path.name} {path.stat().st_size}".encode())
    return digest.hexdigest()


def drop_if_stale(cache: Path, now: str) -> bool:
    """Empty the ``cache`` if it was not made with the fingerprint ``now``.

    Returns:
        Whether there was something to drop.
    """
    stamp = cache / _STAMP
    if stamp.exists() and stamp.read_text(encoding="utf-8") == now:
        return False
    dropped = cache.exists()
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    _ = get_cache(cache).db  # its tables are made here, before two workers want them
    stamp.write_text(now, encoding="utf-8")
    return dropped


def store(
    cache: JupyterCacheAbstract, path: Path, outputs: Sequence[Sequence[Any]]
) -> None:
    """Store the ``outputs`` of all code cells of the notebook at ``path``, in order."""
    notebook = nbformat.read(path, as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, (cell, made) in enumerate(zip(codes, outputs, strict=True), start=1):
        cell.execution_count = count
        cell.outputs = [nbformat.from_dict(output) for output in made]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    nbformat.validate(notebook)
    cache.cache_notebook_bundle(CacheBundleIn(notebook, str(path)), overwrite=True)
