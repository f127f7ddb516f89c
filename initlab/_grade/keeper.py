"""Keep one command and all its descendants in hand; a script of its own.

``python keeper.py MEMORY FILES PIPES COMMAND …`` starts the command with limits on its
address space and its files (in bytes), and lets it inherit the numbered pipes. On
Linux whoever loses its parent below comes to this process and not to init, so that no
double fork escapes. It says "pid N" and "exit N" on stdout. When stdin ends, even
because the grader was killed, it kills everything below it and ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(arguments: Sequence[str]) -> None:
    """Start the command, reap everything that ends, until stdin says that it is over.

    Args:
        arguments: as in the module's docstring.
    """
    memory, files, pipes, *command = arguments
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if not child:
        try:
            _become(command, int(memory), int(files), [int(p) for p in pipes.split()])
        finally:
            os._exit(127)
    for pipe in pipes.split():
        os.close(int(pipe))  # so that the other side sees when the command has gone
    _say(f"pid {child}")
    over = threading.Event()
    lifeline = threading.Thread(target=_end_with_stdin, args=(child, over), daemon=True)
    lifeline.start()
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            break
        if pid == child:
            _say(f"exit {os.waitstatus_to_exitcode(status)}")
    over.set()
    lifeline.join()


def _become(
    command: Sequence[str], memory: int, files: int, pipes: Sequence[int]
) -> None:
    """Turn the forked process into the command, within its limits."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)  # a group without the keeper, to be killed at once
    # Under nohup it would be ignored, and no cell could be interrupted.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    limit(memory, files)
    for pipe in pipes:
        os.set_inheritable(pipe, True)
    os.execvp(command[0], command)


def limit(memory: int, files: int) -> None:
    """Limit this process, and what it starts; no core dumps."""
    import resource

    wanted = {"RLIMIT_AS": memory, "RLIMIT_FSIZE": files, "RLIMIT_CORE": 0}
    for name, value in wanted.items():
        kind = getattr(resource, name)
        _, most = resource.getrlimit(kind)
        if most != resource.RLIM_INFINITY:
            value = min(value, most)
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):  # macOS knows no limit of the address space
            continue


def _end_with_stdin(child: int, over: threading.Event) -> None:
    while os.read(0, 1):
        pass
    # Until the system itself knows of no child: a look at /proc can miss a process
    # that is born while its parent dies. A whole group dies at once.
    linux, mine = sys.platform == "linux", os.getpgrp()
    while not over.is_set():
        below = descendants(os.getpid()) if linux else {child: child}
        for pid, group in below.items():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if group == mine:  # it has not yet a group of its own
                    os.kill(pid, signal.SIGKILL)
                else:
                    os.killpg(group, signal.SIGKILL)
        over.wait(0.02)


def descendants(ancestor: int) -> dict[int, int]:
    """Return the running processes below one, and the group of each, from /proc."""
    parents: dict[int, int] = {}
    groups: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The name in brackets may hold anything, brackets too.
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            if fields[0] != b"Z":
                parents[int(name)], groups[int(name)] = int(fields[1]), int(fields[2])
    found = [ancestor]
    for known in found:
        found += [pid for pid, parent in parents.items() if parent == known]
    return {pid: groups[pid] for pid in found[1:]}


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _say(line: str) -> None:
    try:
        os.write(1, f"{line}\n".encode())
    except BrokenPipeError:  # the grader has gone; stdin ends next
        return


if __name__ == "__main__":
    main(sys.argv[1:])
