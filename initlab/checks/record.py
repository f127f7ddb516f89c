"""Where a student's progress is kept between notebooks: one small file.

`Record` reads and writes it. It stands in the home directory, or where the environment
variable ``INITLAB_PROGRESS`` says (``off``: nowhere). On Colab, whose disk lasts no
longer than the notebook's session, nothing is written. A file that cannot be read or
written is left as it is: the student is told once, and goes on.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Record", "progress_path"]

_VERSION = 1
_KINDS = ("correct", "wrong")


def progress_path() -> Path | None:
    """Return the path of the progress file, or None where none is kept."""
    chosen = os.environ.get("INITLAB_PROGRESS", "")
    if chosen == "off" or (not chosen and "google.colab" in sys.modules):
        return None
    return Path(chosen) if chosen else Path.home() / ".initlab" / "progress.json"


@dataclass
class Record:
    """The verdicts kept in the file at ``path``: task names and correct or wrong.

    A task that was once correct stays so: trying something out later loses nothing.
    """

    path: Path | None = field(default_factory=progress_path)

    def read(self) -> tuple[dict[str, str], str]:
        """Return the kept verdicts, and a sentence about trouble ("" if none)."""
        if self.path is None:
            return {}, ""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}, ""
        except (OSError, UnicodeDecodeError) as error:
            return {}, self._trouble("read", error)
        try:
            return _verdicts(text), ""
        except ValueError as error:
            return {}, self._trouble("read", error)

    def add(self, task: str, kind: str) -> str:
        """Keep a verdict beside those already there; return trouble ("" if none)."""
        if self.path is None or kind not in _KINDS:
            return ""
        kept, trouble = self.read()
        if trouble:
            return trouble
        if kept.get(task) in ("correct", kind):
            return ""
        kept[task] = kind
        text = json.dumps({"version": _VERSION, "tasks": kept}, indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _replace(self.path, text + "\n")
        except OSError as error:
            return self._trouble("written", error)
        return ""

    def _trouble(self, what: str, error: Exception) -> str:
        return (
            f"the progress file {self.path} cannot be {what} ({error}); it is left as "
            "it is and this notebook's progress is kept until its kernel stops (mend "
            "or delete the file, or name another in INITLAB_PROGRESS)"
        )


def _verdicts(text: str) -> dict[str, str]:
    """Return the verdicts in the text of a file, or raise `ValueError`."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise ValueError(f"it is not a progress file of version {_VERSION}")
    tasks = content.get("tasks")
    if not isinstance(tasks, dict) or not all(k in _KINDS for k in tasks.values()):
        raise ValueError("its verdicts are not all correct or wrong")
    return tasks


def _replace(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in one step: never half a file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
