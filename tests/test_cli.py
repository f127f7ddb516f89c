"""The command line answers, and a user's mistake gets a sentence, not a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from initlab import __main__, studies


def run(*words: str) -> int:
    try:
        return __main__.main(words)
    except SystemExit as stop:  # argparse's way to end
        return int(stop.code or 0)


def test_python_m_initlab_starts_without_loading_tensorflow():
    code = "import runpy, sys; sys.argv = ['initlab', '--help']\n"
    code += "try: runpy.run_module('initlab', run_name='__main__')\n"
    code += "except SystemExit: print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False"
    assert "gain" in done.stdout and "record" in done.stdout


def test_gain_prints_both_gains(capsys):
    assert run("gain", "relu") == 0
    output = capsys.readouterr().out
    assert output.count("1.414214") == 2
    assert "Var w = 2.000000 / fan_in" in output


def test_record_records_and_says_where(monkeypatch, tmp_path, capsys):
    asked = {}

    def record(name, **options):
        asked.update(options, name=name)
        options["report"]("going on: 1 of 2 parts are done")
        return tmp_path / "fashion_mnist.json"

    monkeypatch.setattr(studies, "record", record)
    folder = str(tmp_path)
    words = ("--seeds", "2", "--epochs", "1", "--out", folder, "--no-resume")
    assert run("record", "fashion_mnist", *words) == 0
    asked.pop("report")
    assert asked == {
        "name": "fashion_mnist", "seeds": 2, "epochs": 1, "out": tmp_path,
        "resume": False,
    }  # fmt: skip
    output = capsys.readouterr().out.splitlines()
    assert output == [
        "going on: 1 of 2 parts are done",
        f"written: {tmp_path / 'fashion_mnist.json'}",
    ]


def test_by_default_the_study_decides_and_goes_on(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        studies, "record", lambda name, **options: asked.update(options)
    )
    assert run("record", "fashion_mnist") == 0
    assert asked["seeds"] is None and asked["epochs"] is None and asked["resume"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("gain", "rellu"), "error: unknown activation 'rellu'"),
        (("record", "mnist"), "error: name must be one of fashion_mnist, got 'mnist'"),
        (
            ("record", "fashion_mnist", "--seeds", "0"),
            "seeds must be at least 1, got 0",
        ),
        (("record", "fashion_mnist", "--seeds", "two"), "invalid int value: 'two'"),
        (("paint",), "invalid choice: 'paint'"),
        ((), "required: COMMAND"),
    ],
)
def test_a_mistake_gets_a_sentence_and_status_2(words, message, capsys):
    assert run(*words) == 2
    caught = capsys.readouterr()
    assert message in caught.err and "Traceback" not in caught.err
    assert caught.out == ""


def test_an_interruption_has_its_own_status(monkeypatch, capsys):
    def interrupted(name, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(studies, "record", interrupted)
    assert run("record", "fashion_mnist") == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["gain", "record"])
def test_every_command_explains_itself(command, capsys):
    assert run(command, "--help") == 0
    assert "Example: " in capsys.readouterr().out
