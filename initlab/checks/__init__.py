"""Immediate feedback on exercises: `check`, `hint`, `progress`, and `strict`.

`check` prints one line: correct, not attempted, or wrong with the mistake in plain
words. It never raises in an exercise notebook; a solutions notebook calls `strict`
first, and there a failing check is an error. How a task is graded stands in `core`;
each exercise set is a module of its own (`s03`, …).
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import dataclass, field
from typing import Any

from initlab.checks.core import CORRECT, NOT_ATTEMPTED, WRONG, Task, Verdict
from initlab.checks.record import Record

__all__ = ["CheckFailed", "check", "hint", "progress", "strict"]

_MARKS = {CORRECT: "✔", WRONG: "✘", NOT_ATTEMPTED: "…"}


class CheckFailed(AssertionError):
    """A check that did not pass in a solutions notebook."""


@dataclass
class _Session:
    """What happened in this notebook so far."""

    strict: bool = False
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    hints: dict[str, int] = field(default_factory=dict)
    sets: dict[str, Any] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    told: set[str] = field(default_factory=set)


_session = _Session()


def check(task: str, answer: Any) -> None:
    """Print the verdict on an answer: correct, not attempted, or which mistake it is.

    Args:
        task: Name of the task, such as ``"s03.1"``.
        answer: The student's answer, or ``...`` where there is none yet.

    Raises:
        CheckFailed: only after `strict`, if the answer is not correct.
    """
    found = _find(task)
    if isinstance(found, str):
        _say(f"✘ {found}", failed=True)
        return
    verdict = found.grade(answer)
    _session.verdicts[found.name] = verdict
    mark = _MARKS[verdict.kind]
    if verdict.kind == CORRECT:
        _say(f"{mark} {found.name} correct")
    elif verdict.kind == WRONG:
        _say(f"{mark} {found.name}: {verdict.message}", failed=True)
    else:
        _say(
            f"{mark} {found.name} not attempted: {verdict.message} (stuck? "
            f'lab.hint("{found.name}"))',
            failed=True,
        )
    if not _session.strict:
        _tell_once(_session.record.add(found.name, verdict.kind))


def hint(task: str) -> None:
    """Print the next of the two hints on the task of that name.

    The second one also names the section of the chapter that teaches it.
    """
    found = _find(task)
    if isinstance(found, str):
        _say(f"✘ {found}", failed=True)
        return
    step = min(_session.hints.get(found.name, 0) + 1, len(found.hints))
    _session.hints[found.name] = step
    text = found.hints[step - 1]
    if step == len(found.hints) and found.section:
        text += f' (in the chapter: "{found.section}")'
    print(f"{found.name}, hint {step} of {len(found.hints)}: {text}")


def progress() -> None:
    """Print how far each task of this notebook is, and how far the other sets are.

    The other sets' verdicts come from the progress file (see `initlab.checks.record`).
    In a solutions notebook, after `strict`, there is only its own set.
    """
    kept, trouble = ({}, "") if _session.strict else _session.record.read()
    _tell_once(trouble)
    now = {name: verdict.kind for name, verdict in _session.verdicts.items()}
    if not _session.sets:
        print("no exercise set is in use here yet: check an answer first")
    for _, module in sorted(_session.sets.items()):
        print(module.TITLE)
        width = max(len(task.title) for task in module.TASKS)
        for task in module.TASKS:
            kind = now.get(task.name, NOT_ATTEMPTED)
            if kept.get(task.name) == CORRECT:
                kind = CORRECT
            now[task.name] = kind
            print(f"{_MARKS[kind]} {task.name}  {task.title:<{width}}  {kind}")
        print(_count(module, now))
    others = {name.partition(".")[0] for name in kept} - set(_session.sets)
    for name in _set_names():
        if name in others:
            module = _module(name)
            print(f"{module.TITLE}: {_count(module, kept)}")


def _count(module: Any, kinds: dict[str, str]) -> str:
    done = sum(kinds.get(task.name) == CORRECT for task in module.TASKS)
    return f"{done} of {len(module.TASKS)} correct"


def strict() -> None:
    """From now on, make every check raise that does not pass (for solutions)."""
    _session.strict = True


def _say(line: str, failed: bool = False) -> None:
    if failed and _session.strict:
        raise CheckFailed(line)
    print(line)


def _tell_once(trouble: str) -> None:
    if trouble and trouble not in _session.told:
        _session.told.add(trouble)
        print(f"! {trouble}")


def _set_names() -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if re.fullmatch(r"[sqx]\d+", name))


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")


def _find(task: Any) -> Task | str:
    """Return the task of that name, or a sentence that says why there is none."""
    name = task.partition(".")[0] if isinstance(task, str) else None
    if name not in _set_names():
        known = ", ".join(_set_names())
        return f'there is no task {task!r}; tasks begin with {known}, as in "s03.1"'
    module = _module(name)
    _session.sets[name] = module
    tasks = {known.name: known for known in module.TASKS}
    if task not in tasks:
        return f"there is no task {task!r}; the tasks are {', '.join(tasks)}"
    return tasks[task]
