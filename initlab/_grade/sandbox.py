"""Run one command within limits, and leave nothing of it behind.

`Sandbox` starts it through `keeper`. Whoever waits for the command calls
`Sandbox.watch` meanwhile, which raises `Stopped` with the reason when the command has
ended, holds too much memory, or when grading is interrupted. `Sandbox.close` kills
what is still there and says what it was: descendants, and on any system also those who
carry its token in their environment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import psutil

TOKEN = "INITLAB_GRADE_TOKEN"
POLL_SECONDS = 0.1
# TensorFlow reserves more addresses than it uses: 2.2 GB were measured on two cores,
# and every further thread reserves its own.
_SPARE_ADDRESSES_MB = 4000 + 200 * (os.cpu_count() or 1)
_LARGEST_FILE_MB = 1000
_MOST_PROCESSES = 200
_HELPERS = ("joblib.externals", "multiprocessing.resource_tracker")

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What a submission may take.

    Args:
        seconds: for the whole notebook, and again for grading all its answers.
        cell_seconds: for one cell, and for grading one answer.
        memory_mb: resident memory of all processes of a submission together.
    """

    seconds: float = 300.0
    cell_seconds: float = 60.0
    memory_mb: float = 3000.0

    def __post_init__(self) -> None:
        """Refuse limits within which nothing can run."""
        for name in ("seconds", "cell_seconds", "memory_mb"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name} must be more than 0, got {value}")


class Stopped(Exception):
    """The command cannot go on; the message says why, after "the cell" or the like."""


class Interrupted(Exception):
    """Somebody wants the whole grading to end."""


class Sandbox:
    """One running command with everything that it starts.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        environment: its environment; a token is added.
        limits: of them only the memory is watched here.
        interrupted: set from outside to stop waiting.
        pipes: file descriptors that the command inherits.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        limits: Limits,
        interrupted: threading.Event,
        pipes: Sequence[int] = (),
    ) -> None:
        """Start the command."""
        self.token = secrets.token_hex(16)
        self.peak_mb = 0.0
        self._limits = limits
        self._interrupted = interrupted
        self._said = b""
        addresses = int((2 * limits.memory_mb + _SPARE_ADDRESSES_MB) * 1e6)
        keeper = Path(__file__).with_name("keeper.py")
        self._keeper = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", str(keeper), str(addresses)),
                *(str(int(_LARGEST_FILE_MB * 1e6)), " ".join(map(str, pipes))),
                *command,
            ],
            cwd=folder,
            env={**environment, TOKEN: self.token},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=pipes,
            start_new_session=True,  # Ctrl-C is for us alone
        )

    def watch(self) -> None:
        """Look once at the command.

        Raises:
            Stopped: If it has ended, or if it holds too much memory.
            Interrupted: If somebody wants the whole grading to end.
        """
        if self._interrupted.is_set():
            raise Interrupted
        status = self._told("exit")
        if status is not None:
            raise Stopped(_ending(status))
        if self._keeper.poll() is not None:
            raise Stopped("ends the process that watches it")
        family = list(self._below())
        self._measure(family)

    def wait(self, ready: Callable[[float], T | None], seconds: float) -> T:
        """Return what ``ready(poll_seconds)`` gives, as soon as it is not None.

        Raises:
            TimeoutError: If it takes longer than ``seconds``.
            Stopped, Interrupted: as `watch`.
        """
        end = time.monotonic() + seconds
        while True:
            found = ready(POLL_SECONDS)
            if found is not None:
                return found
            self.watch()
            if time.monotonic() > end:
                raise TimeoutError

    def is_alone(self) -> bool:
        """Tell whether the command has started nothing that still runs."""
        return sum(map(is_running, self._below())) <= 1

    def interrupt(self) -> None:
        """Send the command what Ctrl-C would send."""
        pid = self._told("pid")
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)

    def close(self) -> list[str]:
        """Kill all that is left, and return what it was, without the command itself."""
        leftover: dict[int, str] = {}
        command = self._told("pid")
        for _ in range(100):
            family = [process for process in self._family() if is_running(process)]
            for process in family:  # all stand still before the first one dies
                _quietly(process.suspend)
            for process in family:
                if process.pid != command and process.pid not in leftover:
                    leftover[process.pid] = _describe(process)
                _quietly(process.kill)
            if not family:
                break
            time.sleep(0.02)
        self._keeper.stdin.close()
        try:
            self._keeper.wait(10)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        self._keeper.stdout.close()
        return sorted(set(leftover.values()) - {""})

    def _told(self, word: str) -> int | None:
        """Return the number that the keeper has said after ``word``."""
        stream = self._keeper.stdout
        while select.select([stream], [], [], 0)[0]:
            part = os.read(stream.fileno(), 4096)
            if not part:
                break
            self._said += part
        for line in self._said.decode("ascii", "replace").split("\n")[:-1]:
            name, _, number = line.partition(" ")
            if name == word:
                return int(number)
        return None

    def _below(self) -> Iterator[psutil.Process]:
        import psutil

        try:
            yield from psutil.Process(self._keeper.pid).children(recursive=True)
        except psutil.Error:
            return

    def _family(self) -> Iterator[psutil.Process]:
        """Yield the descendants, then whoever else carries the token."""
        below = list(self._below())
        yield from below
        known = {self._keeper.pid, *(process.pid for process in below)}
        for process in with_token(self.token):
            if process.pid not in known:
                yield process

    def _measure(self, family: Sequence[psutil.Process]) -> None:
        import psutil

        total = 0.0
        for process in family:
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss / 1e6
        self.peak_mb = max(self.peak_mb, total)
        if total > self._limits.memory_mb:
            raise Stopped(
                f"holds {total:.0f} MB, more than {self._limits.memory_mb:.0f} MB"
            )
        if len(family) > _MOST_PROCESSES:
            raise Stopped(f"starts more than {_MOST_PROCESSES} processes")


def with_token(token: str) -> Iterator[psutil.Process]:
    """Yield the running processes that have inherited a sandbox's token."""
    import psutil

    for process in psutil.process_iter():
        try:
            found = process.environ().get(TOKEN) == token and is_running(process)
        except (psutil.Error, OSError):  # ended, or somebody else's
            continue
        if found:
            yield process


def remove(folder: Path) -> None:
    """Remove a folder, however deep its folders go and whatever their rights are."""
    for words in (["rm", "-rf"], ["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
        if folder.exists():
            subprocess.run([*words, "--", str(folder)], capture_output=True)


def listed(names: Sequence[str]) -> str:
    """Return the first three names, and how many there are besides."""
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def is_running(process: psutil.Process) -> bool:
    """Tell whether a process has not ended, not even as a zombie."""
    import psutil

    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _ending(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"kills its process ({signal.Signals(-status).name})"
    return f"ends its process (exit status {status})"


def _describe(process: psutil.Process) -> str:
    """Name a process; joblib's workers wait for more work, that is their way."""
    import psutil

    try:
        words = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return "a process that ended at once"
    if any(helper in words for helper in _HELPERS):
        return ""
    if "initlab._grade" in words:
        return "a copy of the kernel"
    return words if len(words) <= 60 else words[:57] + "..."


def _quietly(action: Callable[[], None]) -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        action()
