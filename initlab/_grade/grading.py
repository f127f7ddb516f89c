"""Have recorded answers graded by clean processes.

`grade` gives each answer to a `worker`. One worker serves a whole submission as long as
it stays clean; after an answer that hangs, kills it or changes it, the next answer gets
a new one.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from initlab._grade.sandbox import Limits, Sandbox, Stopped, listed
from initlab._grade.worker import FAILED

_LONGEST_REPLY = 100_000


def grade(
    tasks: Sequence[str],
    records: Path,
    folder: Path,
    environment: Callable[[], Mapping[str, str]],
    limits: Limits,
    interrupted: threading.Event,
) -> dict[str, tuple[str, str]]:
    """Return (kind of verdict or ``"failed"``, message) for each task with a record.

    Args:
        tasks: the names of the tasks.
        records: the folder of their records.
        folder: where the workers run; it should be empty.
        environment: makes the environment of a new worker, with a laboratory that no
            answer has touched.
        limits: what an answer and all answers together may take.
        interrupted: ends it from outside.
    """
    end = time.monotonic() + limits.seconds
    verdicts: dict[str, tuple[str, str]] = {}
    worker: _Worker | None = None
    try:
        for task in tasks:
            seconds = min(limits.cell_seconds, end - time.monotonic())
            if seconds <= 0:
                verdicts[task] = FAILED, "no time was left to grade it"
                continue
            if worker is None:
                worker = _Worker(folder, environment(), limits, interrupted)
            kind, message, clean = worker.grade(task, records / task, seconds)
            if not clean:
                if left := worker.close():
                    message += f"; left running and killed: {listed(left)}"
                worker = None
            verdicts[task] = kind, message.removeprefix("; ")
    finally:
        if worker is not None:
            worker.close()
    return verdicts


class _Worker:
    """A process that grades answers, one after the other."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        limits: Limits,
        interrupted: threading.Event,
    ) -> None:
        theirs, self._requests = os.pipe()
        self._replies, theirs_too = os.pipe()
        words = [sys.executable, "-P", "-m", "initlab._grade.worker"]
        words += [str(theirs), str(theirs_too)]
        pipes = (theirs, theirs_too)
        self._sandbox = Sandbox(words, folder, environment, limits, interrupted, pipes)
        for pipe in pipes:
            os.close(pipe)
        self._said = b""

    def grade(self, task: str, record: Path, seconds: float) -> tuple[str, str, bool]:
        """Return the verdict, and whether this worker can grade another answer."""
        word = secrets.token_hex(16)
        request = {"task": task, "record": str(record), "word": word}
        try:
            os.write(self._requests, json.dumps(request).encode() + b"\n")
            reply = self._sandbox.wait(lambda wait: self._reply(word, wait), seconds)
        except TimeoutError:
            return FAILED, f"grading it takes longer than {seconds:.0f} s", False
        except BrokenPipeError:
            return FAILED, "the process that grades it has ended", False
        except Stopped as reason:
            return FAILED, f"{reason} while it is graded", False
        clean = reply["clean"] is True and self._sandbox.is_alone()
        return str(reply["kind"]), str(reply["message"]), clean

    def close(self) -> list[str]:
        """End the process; return what the answers have left running in it."""
        left = self._sandbox.close()
        for pipe in (self._requests, self._replies):
            os.close(pipe)
        return left

    def _reply(self, word: str, seconds: float) -> dict[str, Any] | None:
        """Return the line that carries our word, if it comes in time."""
        if not select.select([self._replies], [], [], seconds)[0]:
            return None
        part = os.read(self._replies, 65536)
        if not part:
            time.sleep(seconds)  # it is ending: `watch` will say how
        self._said = (self._said + part)[-_LONGEST_REPLY:]
        for line in self._said.splitlines():
            try:
                reply = json.loads(line)
                if reply["word"] == word and {"kind", "message", "clean"} <= set(reply):
                    return reply
            except (ValueError, TypeError, KeyError):
                continue
        return None
