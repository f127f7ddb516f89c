"""Inside the kernel: write each answer down at the moment of its check.

A record is one file: a line of JSON, which may hold an error instead of an answer; the
pickled answer; and JSON again, the student's own lines, so that a later message can
quote them. Functions and classes of the notebook go by value, those of ``initlab`` by
name, so that whatever was replaced here means its original where it is graded.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType
from typing import IO, Any

from initlab._grade.fingerprint import Originals
from initlab._grade.rewrite import TASK

REPLACED = "replaced.json"
LARGEST_MB = 200
_LONGEST_SOURCE = 100_000


class Recorder:
    """What a rewritten check calls: ``recorder(task, answer)``.

    Args:
        folder: where the records go; one file for each task, the last one counts.
    """

    def __init__(self, folder: Path) -> None:
        """Remember what is in place now, and which files are the student's own."""
        import cloudpickle

        self._cloudpickle = cloudpickle
        self._folder = folder
        self._home = os.getcwd() + os.sep
        self._known = frozenset(sys.modules)
        self._originals = Originals(foreign=False)
        self._replaced: set[str] = set()

    def __call__(self, task: Any = None, answer: Any = None) -> None:
        """Write ``answer`` down under the name of its task; nothing is judged here."""
        self.look()
        if not isinstance(task, str) or not TASK.fullmatch(task):
            return
        try:
            self._write(task, {}, answer)
        except Exception as error:  # an object may raise anything when it is pickled
            text = f"{type(error).__name__}: {error}"
            self._write(task, {"error": text[:500]})

    def look(self) -> None:
        """Write down which names of ``initlab`` the notebook has replaced so far."""
        self._replaced.update(self._originals.replaced())
        if self._replaced:
            _replace_file(
                self._folder / REPLACED,
                lambda file: file.write(json.dumps(sorted(self._replaced)).encode()),
            )

    def _write(self, task: str, header: dict[str, Any], *answer: Any) -> None:
        def write(file: IO[bytes]) -> None:
            file.write(json.dumps(header).encode() + b"\n")
            for value in answer:
                pickler = _pickler(_Bounded(file))
                pickler.dump(value)
                file.write(json.dumps(_sources(pickler.files)).encode())

        with self._own_modules_by_value():
            _replace_file(self._folder / task, write)

    @contextlib.contextmanager
    def _own_modules_by_value(self) -> Iterator[None]:
        """Let a helper.py that the notebook wrote beside itself go with the answer."""
        own = [
            module
            for name, module in list(sys.modules.items())
            if name not in self._known
            and str(getattr(module, "__file__", "")).startswith(self._home)
        ]
        for module in own:
            self._cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:  # others in this process pickle too
            for module in own:
                self._cloudpickle.unregister_pickle_by_value(module)


class _Bounded:
    """A file that refuses to grow without end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = int(LARGEST_MB * 1e6)

    def write(self, data: Any) -> int:
        self._left -= memoryview(data).nbytes
        if self._left < 0:
            raise ValueError(f"the answer is larger than {LARGEST_MB} MB")
        return self._file.write(data)


def _replace_file(path: Path, write: Any) -> None:
    """Write a whole file or none: a kernel may be killed at any moment."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        write(file)
    os.replace(part, path)


def _pickler(file: Any) -> Any:
    """Return a pickler that lets code keep the name of its cell, and lists them."""
    import cloudpickle

    class Pickler(cloudpickle.Pickler):
        files: set[str] = set()

        def reducer_override(self, value: Any) -> Any:
            if not isinstance(value, CodeType):
                return super().reducer_override(value)
            self.files.add(value.co_filename)
            make, arguments = self.dispatch_table[CodeType](value)
            return make, tuple(
                value.co_filename if part == "<dynamic-code>" else part
                for part in arguments
            )

    return Pickler(file)


def _sources(files: Iterable[str]) -> dict[str, str]:
    """Return the texts of the cells in which functions were written."""
    texts = {name: "".join(linecache.getlines(name)) for name in sorted(files)}
    return {
        name: text for name, text in texts.items() if 0 < len(text) <= _LONGEST_SOURCE
    }
