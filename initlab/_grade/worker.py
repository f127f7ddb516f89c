"""Grade recorded answers in a clean process: ``… worker REQUESTS REPLIES``.

The arguments are the numbers of two pipes. A request is a line of JSON with a task, the
file of its record, and a random word; the reply carries the same word, which the
student's function was never given, so that what it prints is no reply.
"""

from __future__ import annotations

import builtins
import json
import linecache
import os
import pickle
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from initlab import checks
from initlab._grade.fingerprint import Originals
from initlab._grade.rewrite import RECORDER
from initlab._grade.sandbox import listed

FAILED = "failed"
_LONGEST_MESSAGE = 2000


def main(arguments: Sequence[str]) -> None:
    """Answer requests until there are no more, or until this process is unclean."""
    requests, replies = map(int, arguments)
    setattr(builtins, RECORDER, lambda *_: None)  # a check inside of an answer
    with os.fdopen(requests, encoding="utf-8") as lines:
        for line in lines:
            request = json.loads(line)
            kind, message, clean = grade(request["task"], Path(request["record"]))
            reply = {
                "word": request["word"],
                "kind": kind,
                "message": message[:_LONGEST_MESSAGE],
                "clean": clean,
            }
            os.write(replies, json.dumps(reply).encode() + b"\n")
            if not clean:
                return


def grade(task: str, record: Path) -> tuple[str, str, bool]:
    """Grade one recorded answer.

    Returns:
        The verdict's kind, or ``"failed"``; its message; and whether this process is
        still fit to grade another answer.
    """
    found = checks._find(task)
    if isinstance(found, str):
        return FAILED, found, True
    threads = threading.active_count()
    originals = Originals()
    kind, message = _judge(found, record)
    if replaced := originals.replaced():
        kind, message = FAILED, f"replaces {listed(replaced)} while it is graded"
    return kind, message, not replaced and threading.active_count() <= threads


def _judge(task: Any, record: Path) -> tuple[str, str]:
    try:
        with record.open("rb") as file:
            header = json.loads(file.readline())
            if error := header.get("error"):
                return FAILED, f"the answer cannot be handed to the grader: {error}"
            answer = pickle.load(file)  # a pickle of cloudpickle is an ordinary one
            for name, text in json.loads(file.read()).items():
                lines = text.splitlines(keepends=True)
                linecache.cache[name] = (len(text), None, lines, name)
    except BaseException as error:  # loading runs what the student wrote
        return FAILED, f"the answer cannot be loaded: {type(error).__name__}: {error}"
    home = getattr(answer, "__module__", None)
    if callable(answer) and str(home).startswith("initlab.checks"):
        name = getattr(answer, "__qualname__", type(answer).__name__)
        return FAILED, f"hands in {home}.{name}, a part of the checker"
    try:
        verdict = task.grade(answer)
    except BaseException as error:  # even an exit() costs this task only
        return FAILED, f"raises {type(error).__name__} while it is graded: {error}"
    return str(verdict.kind), str(verdict.message)


if __name__ == "__main__":
    main(sys.argv[1:])
