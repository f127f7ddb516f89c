"""A limit on the time that a student's code may take, so that no check ever hangs.

`limited` is the one function. Where Python can be interrupted by an alarm (the main
thread of Linux and macOS, Colab among them) it uses one; elsewhere, as on Windows, the
code runs in a thread of its own, which is left behind when its time is over. Neither
can stop a single call into compiled code that never returns to Python: for that,
interrupt the kernel.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["TimeUp", "limited"]


class TimeUp(BaseException):
    """The time is over; no `except Exception` of the student's stops it."""


def limited(function: Callable[[], Any], seconds: float) -> Any:
    """Return ``function()``, or raise `TimeUp` after that many seconds.

    Raises:
        TimeUp: when the time is over.
        ValueError: if ``seconds`` is not positive.
        BaseException: whatever ``function`` raises.
    """
    if not seconds > 0:
        raise ValueError(f"seconds must be positive, got {seconds}")
    in_main = threading.current_thread() is threading.main_thread()
    if hasattr(signal, "setitimer") and in_main:
        with _alarm(seconds) as rung:
            result = function()
        if rung:  # and a bare `except:` swallowed it
            raise TimeUp
        return result
    return _in_a_thread(function, seconds)


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[list[bool]]:
    rung: list[bool] = []

    def ring(*_: Any) -> None:
        rung.append(True)
        raise TimeUp

    before = signal.signal(signal.SIGALRM, ring)
    # Again every half second: a bare `except:` inside a loop swallows one ring only.
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _in_a_thread(function: Callable[[], Any], seconds: float) -> Any:
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = function()
        except BaseException as error:
            outcome["error"] = error

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _raise_in(thread)
        thread.join(0.5)  # one that sleeps, or swallows what it is told, is left behind
        raise TimeUp
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def _raise_in(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(TimeUp)
    )
