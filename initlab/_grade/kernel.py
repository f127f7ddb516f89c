"""Run the cells of one submission in a Jupyter kernel of its own.

`run` goes through the cells as a reader would, and goes on after an error. Nothing
that the notebook prints is read: nobody listens to the kernel's output channel, so
outputs cost no memory here, however long they are.
"""

from __future__ import annotations

import json
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from initlab._grade.recorder import REPLACED
from initlab._grade.rewrite import RECORDER
from initlab._grade.sandbox import Limits, Sandbox, Stopped, listed
from initlab._grade.submissions import Submission

_LARGEST_REPLY = 32_000_000
_SECONDS_TO_OBEY = 3.0


@dataclass
class Run:
    """What became of a notebook, apart from the records of its answers.

    Attributes:
        troubles: by the number of a cell, what went wrong in it.
        stopped: the number of the last cell that ran, if the notebook did not go to
            its end; 0 if the kernel did not even start.
        notes: what the instructor should know of the whole notebook.
        peak_mb: the most resident memory that it held.
    """

    troubles: dict[int, str] = field(default_factory=dict)
    stopped: int | None = None
    notes: list[str] = field(default_factory=list)
    peak_mb: float = 0.0


def run(
    submission: Submission,
    folder: Path,
    control: Path,
    environment: Mapping[str, str],
    limits: Limits,
    interrupted: threading.Event,
) -> Run:
    """Run all cells of ``submission`` and return what became of them.

    Args:
        submission: the notebook, its checks rewritten.
        folder: where it runs.
        control: a folder outside of that one, with a short name (sockets are there);
            the records go to ``control/records``.
        environment: the kernel's environment.
        limits: what it may take.
        interrupted: ends it from outside.
    """
    records = control / "records"
    records.mkdir()
    done = Run()
    with _Connection(control / "kernel") as connection:
        words = [sys.executable, "-P", "-m", "initlab._grade.boot"]
        words += [str(connection.file), str(records), *submission.sets]
        sandbox = Sandbox(words, folder, environment, limits, interrupted)
        try:
            _run_cells(submission, _Kernel(connection, sandbox), limits, done)
        finally:
            left = sandbox.close()
            done.peak_mb = sandbox.peak_mb
    if left:
        done.notes.append(f"left running and killed: {listed(left)}")
    if replaced := _replaced(records / REPLACED):
        done.notes.insert(0, f"replaces {replaced}, graded with the original")
    return done


def _run_cells(
    submission: Submission, kernel: _Kernel, limits: Limits, done: Run
) -> None:
    end = time.monotonic() + limits.seconds
    number = 0
    try:
        kernel.start(limits.seconds)
        for cell in submission.cells:
            number = cell.number
            left = end - time.monotonic()
            try:
                trouble = kernel.execute(cell.source, min(left, limits.cell_seconds))
            except TimeoutError:
                if left < limits.cell_seconds:
                    done.troubles[number] = (
                        f"was running when the {limits.seconds:g} s for the whole "
                        "notebook were over"
                    )
                    done.stopped = number
                    return
                done.troubles[number] = f"runs longer than {limits.cell_seconds:g} s"
                if not kernel.stop_cell():
                    done.stopped = number
                    return
                continue
            if trouble is not None:
                done.troubles[number] = trouble.text
                if trouble.is_end:
                    done.stopped = number
                    return
        kernel.execute(f"{RECORDER}.look()", _SECONDS_TO_OBEY)
    except Stopped as reason:
        done.troubles[number] = str(reason)
        done.stopped = number
    except TimeoutError:
        if not number:
            done.troubles[0] = f"does not start within {limits.seconds:g} s"
            done.stopped = 0


@dataclass(frozen=True)
class _Trouble:
    text: str
    is_end: bool = False


class _Connection:
    """The kernel's address and key; sockets in files, so no port is ever taken.

    Args:
        place: the beginning of the names of the files.
    """

    def __init__(self, place: Path) -> None:
        import zmq
        from jupyter_client.session import Session

        key = secrets.token_hex(32)
        names = ("shell", "iopub", "stdin", "control", "hb")
        ports = {f"{name}_port": port for port, name in enumerate(names, start=1)}
        told = {
            **ports,
            "transport": "ipc",
            "ip": str(place),
            "key": key,
            "signature_scheme": "hmac-sha256",
        }
        self.file = place.with_suffix(".json")
        self.file.touch(mode=0o600)
        self.file.write_text(json.dumps(told), encoding="utf-8")
        self.session = Session(key=key.encode())
        self._context = zmq.Context()
        self.shell = self._context.socket(zmq.DEALER)
        self.shell.maxmsgsize = _LARGEST_REPLY
        self.shell.linger = 0
        self.shell.connect(f"ipc://{place}-{ports['shell_port']}")

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(linger=0)


class _Kernel:
    """Send cells over a connection to the kernel in a sandbox."""

    def __init__(self, connection: _Connection, sandbox: Sandbox) -> None:
        self._shell = connection.shell
        self._session = connection.session
        self._sandbox = sandbox
        self._asked = ""

    def start(self, seconds: float) -> None:
        """Wait until the kernel answers."""
        self._ask("kernel_info_request", {})
        self._sandbox.wait(self._reply, seconds)

    def execute(self, source: str, seconds: float) -> _Trouble | None:
        """Run one cell; return what went wrong in it.

        Raises:
            TimeoutError: If it takes longer than ``seconds``.
            Stopped: If the kernel ends, or holds too much memory.
        """
        asked = {"code": source, "silent": False, "store_history": True}
        asked |= {"user_expressions": {}, "allow_stdin": False, "stop_on_error": False}
        self._ask("execute_request", asked)
        content = self._sandbox.wait(self._reply, seconds)
        if any(
            _source(payload) == "ask_exit" for payload in content.get("payload", ())
        ):
            return _Trouble("calls exit()", is_end=True)
        if content.get("status") == "ok":
            return None
        text = f"{content.get('ename')}: {content.get('evalue')}"
        if content.get("ename") == "StdinNotImplementedError":
            text = "input(), which nobody answers here"
        return _Trouble(f"raises {text[:300]}")

    def stop_cell(self) -> bool:
        """Interrupt the running cell; tell whether the kernel is free again."""
        self._sandbox.interrupt()
        try:
            self._sandbox.wait(self._reply, _SECONDS_TO_OBEY)
        except TimeoutError:
            return False
        return True

    def _ask(self, kind: str, content: dict[str, Any]) -> None:
        message = self._session.send(self._shell, kind, content)
        self._asked = message["header"]["msg_id"]

    def _reply(self, seconds: float) -> dict[str, Any] | None:
        """Return the content of the reply to the last request, if it comes in time."""
        if not self._shell.poll(int(seconds * 1000)):
            return None
        try:
            _, message = self._session.recv(self._shell, mode=1)
            if message["parent_header"].get("msg_id") != self._asked:
                return None
            return dict(message["content"])
        except (ValueError, TypeError, KeyError, AttributeError):  # not by a kernel
            return None


def _source(payload: Any) -> Any:
    return payload.get("source") if isinstance(payload, dict) else None


def _replaced(file: Path) -> str:
    """Return the names that the notebook has replaced, as far as it told us."""
    if not file.is_file():  # a pipe would make us wait for ever
        return ""
    try:
        with file.open(encoding="utf-8") as text:
            names = json.loads(text.read(100_000))
        return listed([str(name) for name in names])
    except (OSError, ValueError, TypeError):
        return ""
