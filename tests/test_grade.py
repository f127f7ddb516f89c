"""Submissions are graded by what they answer, and each one costs only its own rows."""

from __future__ import annotations

import builtins
import csv
import hashlib
import json
import linecache
import os
import pickle
import secrets
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from initlab import __main__, checks, grade
from initlab._grade import (
    boot,
    fingerprint,
    grading,
    keeper,
    kernel,
    recorder,
    rewrite,
    sandbox,
    submissions,
    worker,
)
from initlab.checks import core, s03

pytestmark = pytest.mark.skipif(os.name != "posix", reason="grading needs POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's subreaper")

SOLUTION = Path(__file__).parents[1] / "solutions" / "s03-zero-initialization.ipynb"
SET_UP = """\
import initlab as lab
import numpy as np
from initlab.checks import s03"""
ORPHAN = """\
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        {extra}
        time.sleep(600)
    os._exit(0)"""


def notebook(*sources: str) -> dict:
    cells = [
        {"cell_type": "code", "id": f"c{place}", "metadata": {}, "outputs": []}
        | {"execution_count": None, "source": source}
        for place, source in enumerate(sources)
    ]
    metadata = {"kernelspec": {"name": "python3", "language": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def write(path: Path, *sources: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook(*sources)), encoding="utf-8")
    return path


def solution(task: int) -> str:
    cells = json.loads(SOLUTION.read_text(encoding="utf-8"))["cells"]
    return "".join(next(c for c in cells if c.get("id") == f"answer-{task}")["source"])


@pytest.fixture
def tokens(monkeypatch):
    """The tokens of the sandboxes that a test starts; other workers have their own."""
    given = []

    def token_hex(length):
        given.append(secrets.token_hex(length))
        return given[-1]

    monkeypatch.setattr(sandbox, "secrets", SimpleNamespace(token_hex=token_hex))
    return given


def still_running(tokens: list[str]) -> list[str]:
    return [str(found) for token in tokens for found in sandbox.with_token(token)]


# --- rewriting


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('lab.check("s03.1", 2)', 'R("s03.1", 2)'),
        ('initlab.check("s03.1", 2)', 'R("s03.1", 2)'),
        ('check("s03.1", 2)', 'R("s03.1", 2)'),
        ('lab.checks.check("s03.1", 2)', 'R("s03.1", 2)'),
        ('import initlab as il\nil.check("s03.1", 2)', 'R("s03.1", 2)'),
        ('from initlab import check as c\nc("s03.1", 2)', 'R("s03.1", 2)'),
        ('from initlab import checks as k\nk.check("s03.1", 2)', 'R("s03.1", 2)'),
        ('import initlab.checks as k\nk.check("s03.1", 2)', 'R("s03.1", 2)'),
        ('lab . check(\n    task="s03.1",  # ü\n    answer=2)', 'R(\n    task="s03.1"'),
        ('x = "ü"; lab.check("s03.1", x)', 'x = "ü"; R("s03.1", x)'),
        ('%time lab.check("s03.1", 2)', 'R("s03.1", 2)\\n\')'),
        ('%%time\nx = 2\nlab.check("s03.1", x)', 'x = 2\\nR("s03.1", x)'),
        ('%matplotlib inline\nlab.check("s03.1", 2)', '\nR("s03.1", 2)'),
        ('c = lab.check\nc("s03.1", 2)', "c = R\n"),
        ('await f()\nlab.check("s03.1", 2)', '\nR("s03.1", 2)'),
        ('def f():\n    return lab.check("s03.1", 2)  # why', 'R("s03.1", 2)  # why'),
    ],
)
def test_a_check_hands_its_answer_to_the_recorder(before, after):
    done = rewrite.Notebook([before])
    assert after.replace("R", rewrite.RECORDER) in done.cells[0].source
    assert done.checks and done.sets == ("s03",)
    if not before.startswith("c ="):
        assert done.cells[0].tasks == ("s03.1",)
    assert done.cells[0].source.count("\n") >= before.count("\n") - 2


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("lab.check('s03.1', s03.TASKS[0].expected)", True),
        ("from initlab.checks.s03 import TASKS as t", True),
        ("x = 'TASKS'", False),
        ("x = = s03.TASKS", False),
    ],
)
def test_a_notebook_that_reads_the_answers_is_seen(source, reads):
    assert rewrite.Notebook([source]).reads_tasks is reads


@pytest.mark.parametrize(
    "source",
    [
        "lab.check = print",
        "def check(a):\n    return a\nprint(check(1))",
        "other.check(1)",
        "for check in [print]:\n    check(1)",
        "def run(check):\n    check(1)",
        "%%bash\nlab.check 1",
        "%timeit -n 1 2 + 2",
        "",
    ],
)
def test_what_is_no_check_stays_as_it_is(source):
    done = rewrite.Notebook([source])
    assert rewrite.RECORDER not in done.cells[0].source
    assert not done.checks


def test_a_broken_cell_goes_to_the_kernel_as_it_is_and_still_names_its_task():
    source = 'x = = 3\nlab.check("s03.2", x)'
    done = rewrite.Notebook([source])
    assert done.cells[0] == rewrite.Rewritten(source, ("s03.2",))
    assert done.sets == ("s03",)


@pytest.mark.parametrize("source", ["(" * 5000, "-" * 20_000 + "1", "x = '\0'"])
def test_no_text_of_a_cell_breaks_the_grader(source):
    assert rewrite.Notebook([source]).cells[0].tasks == ()


def test_checks_in_a_loop_name_their_set_elsewhere():
    done = rewrite.Notebook(["for name in ('s03.1', 's03.2'): lab.check(name, 2)"])
    assert done.checks and done.sets == ("s03",) and done.cells[0].tasks == ()


# --- reading


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b'{"cells": [', "its JSON is broken"),
        (b"\xff\xfe\x00", "its JSON is broken"),
        (b"[" * 100_000, "its JSON is broken"),
        (b"[1, 2]", "names no nbformat"),
        (b'{"nbformat": 3, "worksheets": []}', "nbformat is 3, asked for is 4"),
        (b'{"nbformat": 4}', "no list of cells"),
        (b'{"nbformat": 4, "cells": [7]}', "cell 1 has no source"),
        (b'{"nbformat": 4, "cells": []}', "there is no check in it"),
        (json.dumps(notebook("x = 1")).encode(), "there is no check in it"),
        (json.dumps(notebook("lab.check(x, 1)")).encode(), "do not name their tasks"),
        (
            b'{"nbformat": 4, "cells": [], "metadata": '
            b'{"language_info": {"name": "R"}}}',
            "written in R, not in Python",
        ),
    ],
)
def test_what_is_no_notebook_gets_a_sentence(content, message, tmp_path):
    (tmp_path / "a.ipynb").write_bytes(content)
    with pytest.raises(submissions.Unreadable, match=message):
        submissions.read(tmp_path / "a.ipynb")


def test_pipes_and_giants_are_not_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.ipynb")
    with pytest.raises(submissions.Unreadable, match="no regular file|not a regular"):
        submissions.read(tmp_path / "pipe.ipynb")
    monkeypatch.setattr(submissions, "LARGEST_MB", 1e-5)
    with pytest.raises(submissions.Unreadable, match="larger than"):
        submissions.read(write(tmp_path / "a.ipynb", 'lab.check("s03.1", 2)'))


def test_a_cell_keeps_its_number_among_all_cells(tmp_path):
    content = notebook("x = '\ud800'", 'lab.check("s03.1", 2)', 'check("s03.9", 1)')
    content["cells"].insert(0, {"cell_type": "markdown", "source": ["# Title"]})
    content["cells"][1]["source"] = ["x = 1\n", "y = '\ud800'"]
    (tmp_path / "a.ipynb").write_text(json.dumps(content))
    read = submissions.read(tmp_path / "a.ipynb")
    assert [cell.number for cell in read.cells] == [2, 3, 4]
    assert read.cells[0].source == "x = 1\ny = '?'\n"
    assert read.checked == ["s03.1", "s03.9"] and read.sets == ("s03",)


def test_notebooks_are_found_in_subfolders_and_sorted(tmp_path):
    for name in ("b/x.ipynb", "a.ipynb", ".ipynb_checkpoints/a-checkpoint.ipynb"):
        write(tmp_path / name)
    (tmp_path / "folder.ipynb").mkdir()
    found = submissions.find(tmp_path)
    assert found == [tmp_path / "a.ipynb", tmp_path / "b/x.ipynb"]


# --- what was replaced


def _fake(*_, **__):
    return True


@pytest.mark.parametrize(
    ("place", "name", "value", "told"),
    [
        (core, "agree", _fake, "initlab.checks.core.agree"),
        (core, "Verdict", SimpleNamespace, "initlab.checks.core.Verdict"),
        (core, "np", SimpleNamespace(), "initlab.checks.core.np"),
        (core.ValueTask, "mistake", _fake, "initlab.checks.core.ValueTask.mistake"),
        (core.ValueTask, "grade", _fake, "initlab.checks.core.ValueTask.grade"),
        (core, "all", _fake, "initlab.checks.core.all"),
        (s03, "TASKS", (), "initlab.checks.s03.TASKS"),
        (checks, "check", _fake, "initlab.checks.check"),
        (np, "all", _fake, "numpy.all"),
        (builtins, "hash", _fake, "builtins.hash"),
    ],
)
def test_a_replaced_part_of_the_checker_is_named(place, name, value, told, monkeypatch):
    originals = fingerprint.Originals()
    assert originals.replaced() == []
    with monkeypatch.context() as patch:
        patch.setattr(place, name, value, raising=False)
        found = originals.replaced()
    assert told in found
    assert originals.replaced() == []


def test_a_function_changed_in_its_place_is_named(monkeypatch):
    originals = fingerprint.Originals()
    monkeypatch.setattr(core.agree, "__code__", _fake.__code__)
    assert "initlab.checks.core.agree" in originals.replaced()


def test_a_changed_task_and_a_changed_default_are_named(monkeypatch):
    originals = fingerprint.Originals()
    task, right = s03.TASKS[0], s03.TASKS[0].expected
    object.__setattr__(task, "expected", 26)
    monkeypatch.setattr(core.agree, "__defaults__", (1e9,))
    found = originals.replaced()
    object.__setattr__(task, "expected", right)
    assert "initlab.checks.s03.TASKS[0].expected" in found
    assert "initlab.checks.core.agree" in found


def test_names_that_the_package_fetches_late_are_no_news_but_fakes_are(monkeypatch):
    import initlab

    monkeypatch.delitem(vars(initlab), "check", raising=False)
    originals = fingerprint.Originals(foreign=False)
    assert initlab.check is checks.check
    assert originals.replaced() == []
    monkeypatch.delitem(vars(initlab), "hint", raising=False)
    originals = fingerprint.Originals(foreign=False)
    monkeypatch.setitem(vars(initlab), "hint", _fake)
    assert originals.replaced() == ["initlab.hint"]
    monkeypatch.setitem(vars(initlab), "own_thing", _fake)
    assert originals.replaced() == ["initlab.hint"]


def test_arrays_among_defaults_are_compared_as_objects():
    assert not fingerprint._equal((np.ones(2),), (np.ones(2),))
    assert not fingerprint._same((1,), (1, 2, 3, 4))


# --- recording and grading, in this process


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "records"
    folder.mkdir()
    return recorder.Recorder(folder)


def graded(tmp_path: Path, task: str) -> tuple[str, str, bool]:
    return worker.grade(task, tmp_path / "records" / task)


def test_an_answer_is_what_it_was_at_its_check(record, tmp_path):
    answer = [2, ...]
    record("s03.1", 2)
    record(task="s03.8", answer=answer)
    answer[1] = 3
    assert graded(tmp_path, "s03.1") == ("correct", "", True)
    kind, message, clean = graded(tmp_path, "s03.8")
    assert kind == "not attempted" and clean and "entry 1" in message


def test_the_last_check_counts(record, tmp_path):
    record("s03.1", 26)
    assert graded(tmp_path, "s03.1")[0] == "wrong"
    record("s03.1", 2)
    assert graded(tmp_path, "s03.1")[0] == "correct"
    record("s03.1", threading.Lock())
    assert graded(tmp_path, "s03.1")[0] == "failed"


def test_what_cannot_be_pickled_is_said(record, tmp_path, monkeypatch):
    record("s03.1", (n for n in range(3)))
    kind, message, clean = graded(tmp_path, "s03.1")
    assert kind == "failed" and clean
    assert "cannot be handed to the grader: TypeError: cannot pickle" in message
    monkeypatch.setattr(recorder, "LARGEST_MB", 0.001)
    record("s03.2", np.ones(1000))
    assert "larger than 0.001 MB" in graded(tmp_path, "s03.2")[1]


@pytest.mark.parametrize("name", [None, 3, "../s03.1", "task", "s03.1/../x"])
def test_only_names_of_tasks_become_files(name, record, tmp_path):
    record(name, 2)
    assert list((tmp_path / "records").iterdir()) == []


def test_the_recorder_tells_what_the_notebook_has_replaced(
    record, tmp_path, monkeypatch
):
    record("s03.1", 2)
    file = tmp_path / "records" / recorder.REPLACED
    assert kernel._replaced(file) == ""
    monkeypatch.setattr(checks, "check", _fake)
    record.look()
    assert "initlab.checks.check" in kernel._replaced(file)
    file.write_text("{")
    assert kernel._replaced(file) == ""


def test_a_message_quotes_the_line_of_the_students_cell(record, tmp_path):
    source = "def moves(value, slope):\n    return undefined_name\n"
    name = str(tmp_path / "cell.py")
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    home = {"__name__": "__main__"}
    exec(compile(source, name, "exec"), home)
    record("s03.3", home["moves"])
    linecache.cache.pop(name)
    _, message, _ = graded(tmp_path, "s03.3")
    assert "NameError" in message and "return undefined_name" in message


def test_a_module_beside_the_notebook_goes_with_the_answer(
    record, tmp_path, monkeypatch
):
    (tmp_path / "helper_of_mine.py").write_text(
        "def moves(value, slope):\n    return {'b2'}, {'b2'}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import helper_of_mine

    record("s03.3", helper_of_mine.moves)
    monkeypatch.delitem(sys.modules, "helper_of_mine")
    (tmp_path / "helper_of_mine.py").unlink()
    assert graded(tmp_path, "s03.3")[0] == "wrong"


class _Bomb:
    def __reduce__(self):
        return exit, (3,)


def _patching(value, slope):
    core.agree = _fake
    return {"b2"}, {"b2"}


_ASKED = threading.Event()  # set when the worker has looked, however long that took


def _threading(value, slope):
    threading.Thread(target=_ASKED.wait, daemon=True).start()
    return {"b2"}, {"b2"}


def _interrupting(value, slope):
    raise KeyboardInterrupt("5")


@pytest.mark.parametrize(
    ("answer", "kind", "message", "clean"),
    [
        (_patching, "failed", "replaces initlab.checks.core.agree while", False),
        (_threading, "wrong", "for f(0)", False),
        (_interrupting, "failed", "raises KeyboardInterrupt while it is", True),
        (s03._moves, "failed", "hands in initlab.checks.s03._moves, a part of", True),
        (_Bomb(), "failed", "cannot be loaded: SystemExit", True),
    ],
)
def test_an_answer_that_fights_back_is_named(
    answer, kind, message, clean, tmp_path, monkeypatch
):
    monkeypatch.setattr(core, "agree", core.agree)  # and put it back
    record = tmp_path / "s03.3"
    record.write_bytes(b"{}\n" + pickle.dumps(answer) + b"{}")
    _ASKED.clear()
    found = worker.grade("s03.3", record)
    _ASKED.set()
    assert found[0] == kind and message in found[1] and found[2] is clean


def test_a_broken_record_and_an_unknown_task_get_a_sentence(tmp_path):
    (tmp_path / "s03.1").write_bytes(b"{}")
    assert worker.grade("s03.1", tmp_path / "s03.1")[0] == "failed"
    kind, message, clean = worker.grade("s03.99", tmp_path / "s03.1")
    assert kind == "failed" and "there is no task 's03.99'" in message and clean


def test_the_worker_answers_requests_until_it_is_unclean(tmp_path, monkeypatch):
    monkeypatch.setattr(core, "agree", core.agree)
    monkeypatch.setattr(builtins, rewrite.RECORDER, None, raising=False)
    for name, answer in (("a", 2), ("b", _patching)):
        (tmp_path / name).write_bytes(b"{}\n" + pickle.dumps(answer) + b"{}")
    theirs, ours = os.pipe()
    ours_too, theirs_too = os.pipe()
    for task, file in (("s03.1", "a"), ("s03.3", "b"), ("s03.1", "a")):
        asked = {"task": task, "record": str(tmp_path / file), "word": f"w{file}"}
        os.write(ours, json.dumps(asked).encode() + b"\n")
    os.close(ours)
    worker.main([str(theirs), str(theirs_too)])
    os.close(theirs_too)
    with os.fdopen(ours_too) as lines:
        replies = [json.loads(line) for line in lines]
    assert [reply["word"] for reply in replies] == ["wa", "wb"]
    assert [reply["kind"] for reply in replies] == ["correct", "failed"]
    assert sandbox.listed(list("abcde")) == "a, b, c and 2 more"


def test_the_recorder_stands_among_the_builtins(tmp_path, monkeypatch):
    monkeypatch.setattr(builtins, rewrite.RECORDER, None, raising=False)
    boot.install(tmp_path, ["s03", "s99"])
    getattr(builtins, rewrite.RECORDER)("s03.1", 2)
    assert (tmp_path / "s03.1").is_file()


# --- sandboxes


def start(code: str, folder: Path, **limits: float) -> sandbox.Sandbox:
    words = [sys.executable, "-c", code]
    return sandbox.Sandbox(
        words, folder, os.environ, sandbox.Limits(**limits), threading.Event()
    )


def ending(box: sandbox.Sandbox, seconds: float = 20.0) -> str:
    try:
        box.wait(lambda wait: time.sleep(wait), seconds)
    except sandbox.Stopped as reason:
        return str(reason)
    finally:
        box.left = box.close()
    return ""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os._exit(3)", "ends its process (exit status 3)"),
        ("import os; os.kill(os.getpid(), 9)", "kills its process (SIGKILL)"),
        ("import os; os.kill(os.getppid(), 9)", "ends the process that watches it"),
        ("x = b'x' * 200_000_000; input()\nimport time; time.sleep(60)", "EOF"),
        ("x = b'x' * 200_000_000; import time; time.sleep(60)", "more than 100 MB"),
    ],
)
def test_a_sandbox_says_why_its_command_has_ended(code, message, tmp_path):
    if message == "EOF":  # nothing waits for input: the command ends with an error
        message, memory = "ends its process (exit status 1)", 1000
    else:
        memory = 100
    box = start(code, tmp_path, memory_mb=memory)
    assert message in ending(box)
    assert list(sandbox.with_token(box.token)) == []


def test_a_limit_of_addresses_stands_behind_the_watch(tmp_path):
    code = "try: bytearray(10**10)\nexcept MemoryError: import os; os._exit(7)"
    assert "exit status 7" in ending(start(code, tmp_path, memory_mb=100))


def test_a_sandbox_times_out_and_can_be_interrupted(tmp_path):
    code = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print()"
    box = start(code, tmp_path)
    with pytest.raises(TimeoutError):
        box.wait(lambda wait: time.sleep(wait), 0.5)
    box.interrupt()
    assert "exit status 0" in ending(box)
    box = start(code, tmp_path)
    box._interrupted.set()
    with pytest.raises(sandbox.Interrupted):
        box.watch()
    box.close()
    assert list(sandbox.with_token(box.token)) == []


@pytest.mark.parametrize(
    "extra", ["pass", pytest.param("os.execve('/bin/sleep', ['sleep', '600'], {})")]
)
@linux
def test_no_double_fork_escapes(extra, tmp_path):
    """Neither with the token in its environment nor without."""
    code = ORPHAN.format(extra=extra) + "\ntime.sleep(0.5)"
    box = start(code, tmp_path)
    assert "exit status 0" in ending(box)
    assert len(box.left) == 1
    assert box.left[0].startswith("sleep 600" if "execve" in extra else sys.executable)


BORN = "open('born', 'w').close()"
# Whoever of the chain is born while its parent dies is in no list of /proc.
CHAIN = f"import os\n{BORN}\nwhile not os.fork(): pass\nos._exit(0)"


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(ORPHAN.format(extra=BORN) + "\ntime.sleep(600)", id="orphan"),
        pytest.param(CHAIN, id="chain"),
    ],
)
@linux
def test_a_command_ends_with_its_grader(code, tmp_path):
    """Even if the grader is killed and can tell nobody."""
    box = start(code, tmp_path)
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "born").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        box._keeper.stdin.close()
        assert box._keeper.wait(60) == 0
        assert list(sandbox.with_token(box.token)) == []
    finally:
        box.close()


def test_the_keeper_limits_addresses_files_and_cores(monkeypatch):
    import resource

    asked = {}
    monkeypatch.setattr(resource, "setrlimit", lambda k, v: asked.update({k: v}))
    monkeypatch.setattr(resource, "getrlimit", lambda k: (0, 70))
    keeper.limit(100, 50)
    assert asked[resource.RLIMIT_AS] == (70, 70)
    assert asked[resource.RLIMIT_FSIZE] == (50, 50)
    assert asked[resource.RLIMIT_CORE] == (0, 0)


def test_a_folder_is_removed_however_deep_it_is(tmp_path):
    deep = tmp_path / "deep"
    deep.mkdir()
    here = os.getcwd()
    try:
        os.chdir(deep)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        os.chmod(".", 0)
    finally:
        os.chdir(here)
    sandbox.remove(deep)
    assert not deep.exists()


@pytest.mark.parametrize("name", ["seconds", "cell_seconds", "memory_mb"])
def test_limits_are_more_than_nothing(name):
    with pytest.raises(ValueError, match=f"{name} must be more than 0, got 0"):
        sandbox.Limits(**{name: 0})


def test_a_reply_counts_only_with_its_word():
    read, write_end = os.pipe()
    held = SimpleNamespace(_replies=read, _said=b"")
    os.write(write_end, b'noise\n[]\n{"word": "guess", "kind": "correct"}\n')
    assert grading._Worker._reply(held, "word", 0.1) is None
    real = {"word": "word", "kind": "wrong", "message": "", "clean": True}
    os.write(write_end, json.dumps(real).encode() + b"\n")
    assert grading._Worker._reply(held, "word", 0.1) == real
    assert grading._Worker._reply(held, "other", 0.0) is None
    os.close(write_end)
    assert grading._Worker._reply(held, "other", 0.0) is None
    os.close(read)


# --- the whole folder

RIGHT = {task: solution(task) for task in (1, 2, 3, 5, 7, 8)}
WRONG_MOVES = """\
def moves(value, slope):
    names = {"w1", "b1", "w2", "b2"}
    return (names, names) if value else ({"b2"}, {"b2"})
lab.check("s03.3", moves)"""
OTHER_COLLAPSE = """\
def collapse(w1, b1, w2):
    units = {}
    for unit in range(len(b1)):
        units.setdefault((*w1[:, unit], b1[unit]), []).append(unit)
    first = [places[0] for places in units.values()]
    return w1[:, first], b1[first], [w2[p].sum(0) for p in units.values()]"""
BAD = "lab.check('s03.1', 26)"
GOOD = "lab.check('s03.1', 2)"

# name: (cells after the set-up cell, {task: (result, part of the diagnosis)})
HONEST = {
    "right-all": ([*RIGHT.values()], dict.fromkeys(RIGHT, ("correct", ""))),
    "right-count": ([RIGHT[1]], {1: ("correct", "")}),
    "right-gradients": ([RIGHT[2]], {2: ("correct", "")}),
    "right-moves": ([RIGHT[3], RIGHT[1]], {1: ("correct", ""), 3: ("correct", "")}),
    "group b/right-wake": ([RIGHT[8]], {8: ("correct", "")}),
    "other-names": (
        ["from initlab import check as hand_in", "hand_in('s03.1', np.float32(2))"],
        {1: ("correct", "")},
    ),
    "other-magic": (
        ["%%time\nmoves = lambda v, s: ({'b2'} | ({'w2'} if v else set()), {'b2'} | "
         "({'w2'} if v else set()) | ({'w1', 'b1'} if v and s else set()))\n"
         "lab.check('s03.3', moves)"],
        {3: ("correct", "")},
    ),
    "other-module": (
        [f"%%writefile mine.py\nimport numpy as np\n{OTHER_COLLAPSE}",
         "import mine\nlab.check('s03.5', mine.collapse)"],
        {5: ("correct", "")},
    ),
    "other-workers": (
        ["from joblib import Parallel, delayed\nwith_two = Parallel(2)\n"
         "total = sum(with_two(delayed(abs)(n) for n in (-1, 1)))\n"
         "lab.check('s03.1', total)"],
        {1: ("correct", "")},
    ),
    "other-loop": (
        ["for name, answer in {'s03.1': 2}.items():\n    lab.check(name, answer)"],
        {1: ("correct", ""), 2: ("not reached", 'no lab.check("s03.2", …)')},
    ),
    "wrong-count": ([BAD], {1: ("wrong", "this is every number there is")}),
    "wrong-gradients": (
        [RIGHT[2].replace("2 * residual", "residual")],
        {2: ("wrong", "every gradient is half of what it should be")},
    ),
    "wrong-moves": ([WRONG_MOVES], {3: ("wrong", "in the first step w2 is still")}),
    "wrong-collapse": (
        ["lab.check('s03.5', lambda w1, b1, w2: (w1, b1, w2))"],
        {5: ("wrong", "nothing is merged")},
    ),
    "wrong-decade": (
        [RIGHT[7].replace(") / 6", ")")],
        {7: ("wrong", "divide by 6")},
    ),
    "wrong-raises": (
        ["def moves(value, slope):\n    return nothing\nlab.check('s03.3', moves)"],
        {3: ("wrong", "(line 2: return nothing)")},
    ),
    "half": (
        [GOOD, "lab.check('s03.2', lambda *a: (..., ...))", "lab.check('s03.8', ...)"],
        {1: ("correct", ""), 2: ("not attempted", "does not return"),
         8: ("not attempted", "replace the ..."), 5: ("not reached", "no lab.check")},
    ),
    "half-error": (
        [GOOD, "x = missing\nlab.check('s03.2', x)", RIGHT[3],
         "lab.check('s03.5', = 3"],
        {1: ("correct", ""), 2: ("not reached", "cell 3 raises NameError"),
         3: ("correct", ""), 5: ("not reached", "cell 5 raises SyntaxError")},
    ),
    "half-mended": ([BAD, GOOD], {1: ("correct", "")}),
}  # fmt: skip
HOSTILE = {
    "endless-cell": (
        [GOOD, "while True: pass\nlab.check('s03.2', 1)", RIGHT[3]],
        {1: ("correct", ""), 2: ("not reached", "cell 3 runs longer than 8 s"),
         3: ("correct", "")},
    ),
    "endless-answer": (
        ["def moves(*a):\n    while True:\n        try:\n            while True: pass"
         "\n        except BaseException: pass\nlab.check('s03.3', moves)", GOOD],
        {3: ("failed", "grading it takes longer than 8 s"), 1: ("correct", "")},
    ),
    "deadly-answer": (
        ["import os\nlab.check('s03.3', lambda *a: os._exit(4))", GOOD, RIGHT[5]],
        {3: ("failed", "ends its process (exit status 4) while it is graded"),
         1: ("correct", ""), 5: ("correct", "")},
    ),
    "hog": (
        [GOOD, "hog = []\nwhile True: hog.append(b'x' * 20_000_000)", RIGHT[3]],
        {1: ("correct", ""), 3: ("not reached", "MB, more than 400 MB")},
    ),
    "orphan": (
        [GOOD, ORPHAN.format(extra="pass")],
        {1: ("correct", "left running and killed: a copy of the kernel")},
    ),
    "replaces-check": (
        ["def fake(task, answer): print('✔', task, 'correct')\nlab.check = fake", BAD],
        {1: ("wrong", "replaces initlab.check, graded with the original")},
    ),
    "patches-agree": (
        ["from initlab.checks import core\ndef moves(v, s):\n"
         "    core.agree = lambda *a: True\n    return {'b2'}, {'b2'}\n"
         "lab.check('s03.3', moves)", RIGHT[5]],
        {3: ("failed", "replaces initlab.checks.core.agree"), 5: ("correct", "")},
    ),
    "patches-files": (
        ["import pathlib\nfile = pathlib.Path(s03.__file__)\nfile.write_text('1 / 0')",
         BAD],
        {1: ("wrong", "this is every number there is")},
    ),
    "deletes-itself": (
        ["import os, shutil\nshutil.rmtree(os.getcwd())", GOOD],
        {1: ("correct", "")},
    ),
    "prints-for-ever": (
        [GOOD, "while True: print('x' * 10_000)", BAD.replace("1", "2", 1)],
        {1: ("correct", "")},
    ),
    "os-exit": (
        [GOOD, "import os\nos._exit(3)\nlab.check('s03.2', 1)", RIGHT[3]],
        {1: ("correct", ""), 2: ("not reached", "cell 3 ends its process (exit stat"),
         3: ("not reached", "the notebook stops before: cell 3 ends its")},
    ),
    "exit": (
        [GOOD, "exit()", RIGHT[3]],
        {1: ("correct", ""), 3: ("not reached", "cell 3 calls exit()")},
    ),
    "forged": (
        ["print('✔ s03.1 correct')\nlab.check('s03.1', 26)\nprint('✔ s03.1 correct')"],
        {1: ("wrong", "this is every number there is")},
    ),
    "asks": (
        ["name = input()\nlab.check('s03.1', 2)", "lab.check('s03.2', iter([1]))",
         "import _thread\nlab.check('s03.3', _thread.allocate_lock())"],
        {1: ("not reached", "cell 2 raises input(), which nobody answers"),
         2: ("wrong", ""), 3: ("failed", "cannot pickle")},
    ),
    "copies": (
        ["lab.check('s03.1', s03.TASKS[0].expected)\n"
         "lab.check('s03.2', s03.TASKS[1].reference)"],
        {1: ("correct", "the notebook reads TASKS, where the answers stand"),
         2: ("failed", "hands in initlab.checks.s03._gradients, a part of the che")},
    ),
    "orphan-of-an-answer": (
        ["import subprocess\ndef moves(v, s):\n"
         "    subprocess.Popen(['sleep', '600'])\n    return {'b2'}, {'b2'}\n"
         "lab.check('s03.3', moves)", GOOD],
        {3: ("wrong", "; left running and killed: sleep 600"), 1: ("correct", "")},
    ),
    "fork": (
        [GOOD, "import os, time\nfor _ in range(3):\n    if not os.fork():\n"
         "        x = b'x' * 150_000_000\n        time.sleep(600)\ntime.sleep(600)",
         RIGHT[3]],
        {1: ("correct", ""), 3: ("not reached", "MB, more than 400 MB")},
    ),
    "unknown": ([GOOD, "lab.check('s03.99', 1)"], {1: ("correct", "")}),
}  # fmt: skip


@pytest.fixture(scope="module")
def hand_in(tmp_path_factory):
    folder = tmp_path_factory.mktemp("submissions")
    for name, (cells, _) in {**HONEST, **HOSTILE}.items():
        write(folder / f"{name}.ipynb", SET_UP, *cells)
    (folder / "broken.ipynb").write_text('{"cells": [')
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_thirty_submissions_are_graded_row_by_row(
    hand_in, tmp_path, monkeypatch, capsys, tokens
):
    assert len(HONEST) + len(HOSTILE) + 1 >= 30
    before = digests(hand_in)
    scratch = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))  # sockets: short names
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    out = tmp_path / "grades.csv"
    words = ["grade", str(hand_in), "--out", str(out), "--jobs", "2"]
    words += ["--seconds", "80", "--cell-seconds", "8", "--memory-mb", "400"]
    assert __main__.main(words) == 0
    told = capsys.readouterr().out

    assert digests(hand_in) == before
    assert list(scratch.iterdir()) == []
    scratch.rmdir()
    assert tokens
    assert still_running(tokens) == []

    with out.open(encoding="utf-8", newline="") as file:
        rows = {(row["submission"], row["task"]): row for row in csv.DictReader(file)}
    mistaken = []
    for name, (_, expected) in {**HONEST, **HOSTILE}.items():
        for number in range(1, 9):
            row = rows[f"{name}.ipynb", f"s03.{number}"]
            result, diagnosis = expected.get(number, ("not reached", ""))
            right = row["result"] == result and diagnosis in row["diagnosis"]
            if result == "correct" and not diagnosis and name in HONEST:
                right &= row["diagnosis"] == ""
            if not right:
                mistaken.append((row, result, diagnosis))
    assert mistaken == []
    assert rows["broken.ipynb", ""]["result"] == "failed"
    assert "its JSON is broken" in rows["broken.ipynb", ""]["diagnosis"]
    unknown = rows["unknown.ipynb", "s03.99"]
    assert unknown["result"] == "failed" and "no task 's03.99'" in unknown["diagnosis"]
    assert len(rows) == 8 * (len(HONEST) + len(HOSTILE)) + 2
    assert {row["result"] for row in rows.values()} == set(grade.RESULTS)

    lines = told.splitlines()
    assert len(lines) == len(before) + 1 and lines[-1] == f"written: {out}"
    assert any(line.startswith("right-all.ipynb: 6 correct, 2 not") for line in lines)
    assert any(line.startswith("broken.ipynb: 1 failed: it is not") for line in lines)


def test_the_solutions_are_all_correct_with_keras_in_them(tmp_path):
    (tmp_path / "s03.ipynb").write_bytes(SOLUTION.read_bytes())
    rows = grade.grade_folder(tmp_path, jobs=1)
    assert [row[1:] for row in rows] == [
        (task.name, "correct", "") for task in s03.TASKS
    ]


def test_the_rows_come_back_sorted_without_a_file(tmp_path):
    write(tmp_path / "b.ipynb", "import time\ntime.sleep(30)", GOOD)
    (tmp_path / "a.ipynb").write_text("")
    rows = grade.grade_folder(tmp_path, jobs=2, limits=grade.Limits(seconds=6))
    assert [row.submission for row in rows] == ["a.ipynb"] + ["b.ipynb"] * 8
    assert rows[0] == grade.Row("a.ipynb", "", "failed", "the file is empty")
    assert rows[1].result == "not reached"
    assert "cell 1 was running when the 6 s for the whole" in rows[1].diagnosis


def test_a_kernel_that_does_not_start_in_time_is_named(tmp_path):
    write(tmp_path / "a.ipynb", GOOD)
    rows = grade.grade_folder(tmp_path, jobs=1, limits=grade.Limits(seconds=0.05))
    assert len(rows) == 8
    assert rows[0].diagnosis == "the kernel does not start within 0.05 s"


def test_an_interruption_keeps_what_was_finished(tmp_path, tokens):
    folder, out = tmp_path / "in", tmp_path / "grades.csv"
    write(folder / "a.ipynb").write_text("")
    write(folder / "b.ipynb", "import time\ntime.sleep(60)", GOOD)

    def report(line):
        raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        grade.grade_folder(folder, out, jobs=1, report=report)
    assert time.monotonic() - begin < 30
    assert "a.ipynb,,failed,the file is empty" in out.read_text()
    assert still_running(tokens) == []


def test_a_failure_of_the_grader_costs_one_row(tmp_path, monkeypatch):
    write(tmp_path / "a.ipynb", GOOD)
    write(tmp_path / "b.ipynb")

    def broken(*_):
        raise ZeroDivisionError("by a bug")

    monkeypatch.setattr(grade, "_rows", broken)
    rows = grade.grade_folder(tmp_path, jobs=1)
    assert rows[0].diagnosis == "the grader itself failed: ZeroDivisionError: by a bug"
    assert "there is no check in it" in rows[1].diagnosis


def test_a_spreadsheet_finds_no_formula_in_the_table(tmp_path):
    rows = [grade.Row("=1+1.ipynb", "s03.1", "wrong", 'a, "b" and \udcff')]
    grade.write_csv(rows, tmp_path / "g.csv")
    with (tmp_path / "g.csv").open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    assert header == ["submission", "task", "result", "diagnosis"]
    assert row == ["'=1+1.ipynb", "s03.1", "wrong", 'a, "b" and \\udcff']


def test_a_diagnosis_is_one_line_without_commands_for_the_terminal():
    assert grade._clean("\x1b[31mred\x1b[0m\n\tand\x07 blue") == "red and blue"
    assert len(grade._clean("x" * 5000)) == 600


def test_the_environment_of_a_kernel_is_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setenv("PYTHONPATH", "/else")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = grade._environment(tmp_path / "lab", tmp_path / "tmp")
    paths = found["PYTHONPATH"].split(os.pathsep)
    assert paths == [str(tmp_path / "lab"), str(tmp_path / "tmp/packages"), "/else"]
    assert found["TMPDIR"] == str(tmp_path / "tmp") and "JPY_PARENT_PID" not in found
    assert found["OMP_NUM_THREADS"] == "3"


def test_jobs_fit_into_the_memory():
    assert grade._jobs(None, grade.Limits(memory_mb=1e9)) == 1
    assert 1 <= grade._jobs(None, grade.Limits(memory_mb=1)) <= os.cpu_count()
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        grade._jobs(0, grade.Limits())


def test_no_file_is_run_if_the_table_cannot_be_written(tmp_path, monkeypatch, capsys):
    write(tmp_path / "a.ipynb", GOOD)
    monkeypatch.setattr(grade, "_grade_one", None)
    out = tmp_path / "nowhere" / "grades.csv"
    assert __main__.main(["grade", str(tmp_path), "--out", str(out)]) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none"], "there is no folder none"),
        (["empty"], "there is no notebook (*.ipynb) in empty"),
        (["full", "--jobs", "0"], "jobs must be at least 1, got 0"),
        (["full", "--seconds", "0"], "seconds must be more than 0, got 0.0"),
    ],
)
def test_a_mistake_on_the_command_line_gets_a_sentence(
    words, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "full/a.ipynb", GOOD)
    assert __main__.main(["grade", *words]) == 2
    caught = capsys.readouterr()
    assert f"error: {message}" in caught.err and caught.out == ""
    assert not (tmp_path / "grades.csv").exists()


def test_grade_explains_itself_and_its_limits(capsys):
    with pytest.raises(SystemExit) as stop:
        __main__.main(["grade", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0 and "Example: python -m initlab grade" in told
    assert "not reached" in told and "inside a container" in told


def test_a_missing_package_is_named_with_its_pip_line(tmp_path, monkeypatch, capsys):
    write(tmp_path / "a.ipynb", GOOD)
    packages = {"joblib": "joblib", "no_zmq_here": "pyzmq"}
    monkeypatch.setattr(grade, "_PACKAGES", packages)
    assert __main__.main(["grade", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert "grading needs pyzmq: `python -m pip install pyzmq`" in told


def test_another_system_is_refused_with_a_sentence(monkeypatch):
    monkeypatch.setattr(grade, "os", SimpleNamespace(name="nt"))
    with pytest.raises(RuntimeError, match="needs Linux or macOS"):
        grade._require()


def test_the_laboratory_needs_none_of_the_graders_packages():
    code = "import sys, initlab, initlab.grade, initlab.__main__\n"
    code += f"print([n for n in {[*grade._PACKAGES]} if n in sys.modules])\n"
    code += "print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.stdout.split() == ["[]", "False"]
