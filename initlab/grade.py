"""Grade a folder of submitted exercise notebooks: ``python -m initlab grade FOLDER``.

`grade_folder` runs every notebook alone, in a kernel of its own, in a fresh copy, with
limits of time and memory, and returns one `Row` for each task of its exercise set. A
notebook that crashes, hangs, or fights back costs only its own rows.

The verdict is not taken from the notebook. Its checks hand the answers over instead of
judging them, and another process, with its own copy of ``initlab``, grades them. It
names an answer that replaces a part of the checker while it is called, and a notebook
that has replaced one. What a notebook prints counts for nothing.

What this cannot do: a submission runs with your rights. Somebody who sets out to attack
your machine, to read your files, to use your network, or to reach from one process into
another, can do so, and an answer written to deceive the process in which it is called
can succeed. Grade what strangers hand in inside a container. And whoever hands in the
right values may have copied them, from a friend or from ``initlab`` itself; a notebook
that reads ``TASKS`` openly is named, one that hides it is not.

Read `grade_folder` first, then the package ``initlab._grade``.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from initlab._grade import grading, kernel, sandbox, submissions
from initlab._grade.kernel import Run
from initlab._grade.rewrite import TASK
from initlab._grade.sandbox import Interrupted, Limits
from initlab._grade.submissions import Submission, Unreadable

CORRECT, WRONG, NOT_ATTEMPTED = "correct", "wrong", "not attempted"
NOT_REACHED, FAILED = "not reached", "failed"
RESULTS = (CORRECT, WRONG, NOT_ATTEMPTED, NOT_REACHED, FAILED)

_PACKAGES = {
    "joblib": "joblib",
    "cloudpickle": "cloudpickle",
    "psutil": "psutil",
    "zmq": "pyzmq",
    "jupyter_client": "jupyter_client",
    "ipykernel": "ipykernel",
}
_LONGEST_DIAGNOSIS = 600
_SECONDS_TO_END = 20.0
# One thread each: the processes of other submissions run beside this one.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PACKAGE = Path(__file__).parent


class Row(NamedTuple):
    """One line of the table.

    Args:
        submission: the notebook, as a path inside the folder.
        task: the name of the task; empty if the notebook as a whole cannot be run.
        result: one of `RESULTS`. ``"not reached"`` means that no answer was handed to
            the check, ``"failed"`` that what was handed in could not be graded.
        diagnosis: the named mistake, or why there is no verdict.
    """

    submission: str
    task: str
    result: str
    diagnosis: str = ""


@dataclass(frozen=True)
class _Job:
    """What all submissions have in common."""

    folder: Path
    scratch: Path
    laboratory: Path
    limits: Limits
    interrupted: threading.Event
    slots: threading.Semaphore


def grade_folder(
    folder: str | Path,
    out: str | Path | None = None,
    jobs: int | None = None,
    limits: Limits | None = None,
    report: Callable[[str], Any] = lambda line: None,
) -> list[Row]:
    """Grade every notebook under ``folder``.

    The submitted files are only read. If it is interrupted, ``out`` holds what was
    finished.

    Args:
        folder: is searched for ``*.ipynb``, with its subfolders.
        out: a CSV file to write, with the fields of `Row` as its columns.
        jobs: how many submissions run at the same time; by default one per processor,
            and not more than memory allows.
        limits: what one submission may take, `Limits` says how much by default.
        report: is given one line for each finished submission.

    Returns:
        The rows, sorted by submission, tasks in the order of their set.

    Raises:
        ValueError: If there is no such folder, no notebook in it, or ``jobs`` is not
            at least 1.
        OSError: If ``out`` cannot be written; nothing has run then.
        ImportError: If a package is missing.
        RuntimeError: If this system is neither Linux nor macOS.
    """
    _require()
    limits = limits or Limits()
    folder = Path(folder)
    paths = submissions.find(folder)
    jobs = _jobs(jobs, limits)
    if out is not None:
        write_csv([], out)
    finished: dict[Path, list[Row]] = {}
    scratch = Path(tempfile.mkdtemp(prefix="initlab-grade-"))
    try:
        slots = threading.Semaphore(jobs)
        clean = scratch / "clean"
        job = _Job(folder, scratch, clean, limits, threading.Event(), slots)
        _copy_laboratory(clean)
        for path, rows, line in _in_parallel(job, paths, jobs):
            finished[path] = rows
            if out is not None:  # so that even a power cut leaves what was finished
                write_csv(_sorted(finished), out)
            report(line)
    finally:
        sandbox.remove(scratch)
    return _sorted(finished)


def write_csv(rows: Iterable[Row], path: str | Path) -> None:
    """Write the rows as a CSV file in UTF-8.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    with open(
        path, "w", encoding="utf-8", errors="backslashreplace", newline=""
    ) as file:
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        for row in rows:
            writer.writerow(
                f"'{cell}" if cell.startswith(("=", "+", "-", "@")) else cell
                for cell in row
            )


def _sorted(finished: Mapping[Path, list[Row]]) -> list[Row]:
    return [row for path in sorted(finished) for row in finished[path]]


def _in_parallel(
    job: _Job, paths: Sequence[Path], jobs: int
) -> Iterable[tuple[Path, list[Row], str]]:
    """Yield what comes of each submission, as they are finished.

    The threads only supervise: every notebook runs in processes of its own.
    """
    import joblib

    workers = joblib.Parallel(
        n_jobs=jobs, backend="threading", return_as="generator_unordered", batch_size=1
    )
    tasks = (
        joblib.delayed(_grade_one)(job, place, path) for place, path in enumerate(paths)
    )
    try:
        yield from workers(tasks)
    finally:  # an interruption reaches only the main thread
        job.interrupted.set()
        for _ in range(jobs):
            job.slots.acquire(timeout=_SECONDS_TO_END)


def _grade_one(job: _Job, place: int, path: Path) -> tuple[Path, list[Row], str]:
    name = _clean(str(path.relative_to(job.folder)))
    used = ""
    try:
        with job.slots:
            if job.interrupted.is_set():
                raise Interrupted
            begin = time.monotonic()
            submission = submissions.read(path)
            rows, done = _rows(job, place, submission, name)
            seconds = time.monotonic() - begin
        used = f" ({seconds:.1f} s, {done.peak_mb:.0f} MB)"
    except Unreadable as error:
        rows = [Row(name, "", FAILED, _clean(str(error)))]
    except Interrupted:
        rows = [Row(name, "", FAILED, "grading was interrupted")]
    except Exception as error:  # one notebook must not cost the others their rows
        text = f"the grader itself failed: {type(error).__name__}: {error}"
        rows = [Row(name, "", FAILED, _clean(text))]
    counts = {word: sum(row.result == word for row in rows) for word in RESULTS}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    why = f": {rows[0].diagnosis}" if not rows[0].task else ""
    return path, rows, f"{name}: {told}{why}{used}"


def _rows(
    job: _Job, place: int, submission: Submission, name: str
) -> tuple[list[Row], Run]:
    """Run one submission in a copy, grade what it recorded, and say it row by row."""
    control = job.scratch / str(place)
    folder, empty = control / "work", control / "empty"
    try:
        # Python never looks again for a folder of packages that was not there at first.
        for made in ("", "work", "empty", "tmp", "tmp/packages"):
            (control / made).mkdir()
        shutil.copyfile(submission.path, folder / submission.path.name)
        lab = _fresh(job.laboratory, control)
        done = kernel.run(
            submission,
            folder,
            control,
            _environment(lab, control / "tmp"),
            job.limits,
            job.interrupted,
        )
        records = control / "records"
        tasks = _tasks(submission)
        recorded = [
            task
            for task in tasks
            if TASK.fullmatch(task) and (records / task).is_file()
        ]
        verdicts = grading.grade(
            recorded,
            records,
            empty,
            lambda: _environment(_fresh(job.laboratory, control), empty),
            job.limits,
            job.interrupted,
        )
    finally:
        sandbox.remove(control)
    rows = []
    looks = ["reads TASKS, where the answers stand"] if submission.reads_tasks else []
    notes = looks + done.notes
    for task in tasks:
        result, message = verdicts.get(task) or _missing(task, submission, done)
        texts = [message, *(f"the notebook {note}" for note in notes)]
        rows.append(Row(name, task, result, _clean("; ".join(filter(None, texts)))))
    return rows, done


def _tasks(submission: Submission) -> list[str]:
    """Return all tasks of the submission's sets, then the unknown names it checks."""
    from initlab import checks

    tasks: list[str] = []
    for name in submission.sets:
        if name in checks._set_names():
            module = importlib.import_module(f"initlab.checks.{name}")
            tasks += [task.name for task in module.TASKS]
    return tasks + [name for name in submission.checked if name not in tasks]


def _missing(task: str, submission: Submission, done: Run) -> tuple[str, str]:
    """Say why there is no answer to a task."""
    from initlab import checks

    found = checks._find(task)
    if isinstance(found, str):
        return FAILED, found
    if done.stopped == 0:
        return NOT_REACHED, f"the kernel {done.troubles[0]}"
    cells = [cell.number for cell in submission.cells if task in cell.tasks]
    if not cells:
        why = f'the notebook has no lab.check("{task}", …)'
        if done.stopped is None:
            return NOT_REACHED, why
        return NOT_REACHED, f"{why} up to its end; {_stop(done)}"
    for number in reversed(cells):
        if number in done.troubles:
            return NOT_REACHED, f"cell {number} {done.troubles[number]}"
    if done.stopped is not None and done.stopped < cells[-1]:
        return NOT_REACHED, _stop(done)
    return NOT_REACHED, f"cell {cells[-1]} does not come to its check"


def _stop(done: Run) -> str:
    return (
        f"the notebook stops before: cell {done.stopped} {done.troubles[done.stopped]}"
    )


def _copy_laboratory(to: Path) -> None:
    """Copy ``initlab``, and the recorded results beside it, into a new folder."""
    shutil.copytree(_PACKAGE, to / _PACKAGE.name)
    results = _PACKAGE.parent / "results"
    if results.is_dir():
        shutil.copytree(results, to / "results")


def _fresh(laboratory: Path, folder: Path) -> Path:
    """Copy the laboratory once more: who changes its files changes only this copy."""
    copy = Path(tempfile.mkdtemp(prefix="lab-", dir=folder))
    return Path(shutil.copytree(laboratory, copy, dirs_exist_ok=True))


def _environment(laboratory: Path, temporary: Path) -> dict[str, str]:
    """Return the environment of a process that imports ``initlab`` from a folder."""
    environment = dict(os.environ)
    for name in ("JPY_PARENT_PID", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONSAFEPATH"):
        environment.pop(name, None)  # of the kernel in which we may run ourselves
    for name in _ONE_THREAD:
        environment.setdefault(name, "1")
    packages = str(temporary / "packages")
    paths = [str(laboratory), packages, environment.get("PYTHONPATH", "")]
    return {
        **environment,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "INITLAB_PROGRESS": "off",  # the file is that of whoever grades
        "IPYTHONDIR": str(temporary / "ipython"),
        "PIP_TARGET": packages,  # what a notebook installs goes with it
        "TMPDIR": str(temporary),
    }


def _jobs(jobs: int | None, limits: Limits) -> int:
    if jobs is None:
        import psutil

        room = psutil.virtual_memory().available / 1e6 // limits.memory_mb
        return max(1, min(os.cpu_count() or 1, int(room)))
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    return jobs


def _require() -> None:
    if os.name != "posix":
        raise RuntimeError(
            f"grading needs Linux or macOS, this is {sys.platform}; on Windows it runs "
            "in WSL"
        )
    missing = [
        package
        for module, package in _PACKAGES.items()
        if importlib.util.find_spec(module) is None
    ]
    if missing:
        raise ImportError(
            f"grading needs {', '.join(missing)}: "
            f"`python -m pip install {' '.join(missing)}`"
        )


def _clean(text: str) -> str:
    """Return one line of text that no terminal takes for a command."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(text) <= _LONGEST_DIAGNOSIS:
        return text
    return text[: _LONGEST_DIAGNOSIS - 3] + "..."
