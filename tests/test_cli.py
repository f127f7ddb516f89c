"""The command line answers, and a user's mistake gets a sentence, not a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from initlab import __main__, schemes, studies


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
    assert "fixed point    second moment 1, slope 1.0000 (marginal)" in output
    assert "recommended    gain 1.4142   Var w = 2.0000 / fan_in" in output
    assert "warning        none" in output


def test_gain_says_what_a_layer_does_and_warns(capsys):
    assert run("gain", "mish") == 0
    output = capsys.readouterr().out
    assert "forward gain   1.486848" in output and "backward gain  1.4447" in output
    assert "second moment of gradients by\n               1.059" in output
    assert "fixed point    second moment 1, slope 1.0763 (unstable)" in output
    assert "warning        No stable second moment: after 50 layers" in output
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize(
    ("name", "gain", "rest"),
    [
        ("selu", "1.0000", "second moment 1, slope 0.7826 (stable)"),
        ("tanh", "1.0000", "second moment 0, slope 1.0000 (marginal)"),
        ("softplus", "1.4142", "none, second moments go on growing"),
    ],
)
def test_gain_recommends_one_and_says_where_it_leads(name, gain, rest, capsys):
    assert run("gain", name) == 0
    output = capsys.readouterr().out
    assert f"recommended    gain {gain}" in output
    assert f"fixed point    {rest}" in output
    assert "\nwhy            " in output


def test_record_records_and_says_where(monkeypatch, tmp_path, capsys):
    asked = {}

    def record(name, **options):
        asked.update(options, name=name)
        options["report"]("going on: 1 of 2 parts are done")
        return tmp_path / "fashion_mnist.json"

    monkeypatch.setattr(studies, "record", record)
    folder = str(tmp_path)
    words = ("--seeds", "2", "--epochs", "1", "--out", folder, "--no-resume")
    words = (*words, "--workers", "1")
    assert run("record", "fashion_mnist", *words) == 0
    asked.pop("report")
    assert asked == {
        "name": "fashion_mnist", "seeds": 2, "epochs": 1, "out": tmp_path,
        "resume": False, "workers": 1,
    }  # fmt: skip
    output = capsys.readouterr().out.splitlines()
    assert output == [
        "going on: 1 of 2 parts are done",
        f"written: {tmp_path / 'fashion_mnist.json'}",
    ]


@pytest.mark.parametrize(("differs", "status"), [(False, 0), (True, 1)])
def test_verify_says_what_came_of_it(differs, status, monkeypatch, tmp_path, capsys):
    def verify(name, **options):
        assert options == {"directory": tmp_path, "workers": None}
        std = 0.1 if differs else 0.0
        found = studies.Comparison("cnn", "he_normal", std, 0.0, not differs)
        return studies.Verification(name, 0, (found,))

    monkeypatch.setattr(studies, "verify", verify)
    words = ("record", "cifar10", "--verify", "--out", str(tmp_path))
    assert run(*words) == status
    output = capsys.readouterr().out
    assert output.startswith("cifar10, seed 0, run again\n  cnn")
    assert output.endswith("NOT verified\n" if differs else "\nverified\n")
    assert run(*words, "--seeds", "2") == 2
    assert "leave out --seeds and --epochs" in capsys.readouterr().err


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
        (("record", "mnist"), "error: name must be one of fashion_mnist,"),
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


# --- diagnose


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A healthy and a sick model, their data, and files that are none of these."""
    import keras

    folder = tmp_path_factory.mktemp("diagnose")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 16)), rng.integers(0, 3, 200)
    for name, kernel in (
        ("healthy", schemes.get("he_normal").keras()),
        ("sparse", schemes.get("sparse").keras()),
        ("zeros", "zeros"),
    ):
        hidden = keras.layers.Dense(16, "relu", kernel_initializer=kernel)
        last = keras.layers.Dense(3, "softmax", kernel_initializer=kernel)
        model = keras.Sequential([keras.Input((16,)), hidden, last])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.save(folder / f"{name}.keras")
    np.savez(folder / "data.npz", x=x, y=y)
    np.savez(folder / "train.npz", x_train=x, y_train=y, x_test=x[:0])
    np.savez(folder / "names.npz", images=x, labels=y)
    np.savez(folder / "pickled.npz", x=np.array([{}, None]), y=y)
    np.savez(folder / "narrow.npz", x=x[:, :5], y=y)
    np.save(folder / "array.npy", x)
    (folder / "text.keras").write_text("not a model")
    (folder / "text.npz").write_text("not an archive")
    (folder / "empty.npz").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("model", "data", "status", "verdict"),
    [
        ("healthy", "data", 0, "Nothing is ill"),
        ("healthy", "train", 0, "Nothing is ill"),
        ("zeros", "data", 1, "1. zero weights (dense"),
    ],
)
def test_diagnose_prints_the_letter(files, model, data, status, verdict, capsys):
    words = (str(files / f"{model}.keras"), str(files / f"{data}.npz"))
    assert run("diagnose", *words) == status
    caught = capsys.readouterr()
    assert verdict in caught.out and caught.err == ""
    assert "128 samples" in caught.out


def test_diagnose_prints_json_and_takes_a_loss_and_a_number_of_samples(files, capsys):
    words = (str(files / "zeros.keras"), str(files / "data.npz"), "--json")
    loss = "sparse_categorical_crossentropy"
    assert run("diagnose", *words, "--loss", loss, "--samples", "50") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["findings"][0]["illness"] == "zero weights"
    assert told["vitals"]["samples"] == 50 and told["vitals"]["start"]["name"] == loss


def test_diagnose_loads_models_with_initializers_of_the_laboratory(files):
    """In a new process, where nothing has registered them yet."""
    words = [str(files / "sparse.keras"), str(files / "data.npz")]
    done = subprocess.run(
        [sys.executable, "-m", "initlab", "diagnose", *words],
        capture_output=True, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.startswith("Diagnosis of ")


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        ("none.keras", "data.npz", "there is no file "),
        ("healthy.keras", "none.npz", "there is no file "),
        ("text.keras", "data.npz", "text.keras is no Keras model that can be loaded"),
        ("healthy.keras", "text.npz", "must be an .npz file of plain numpy arrays"),
        ("healthy.keras", "empty.npz", "must be an .npz file of plain numpy arrays"),
        ("healthy.keras", "array.npy", "must be an .npz file of plain numpy arrays"),
        ("healthy.keras", "pickled.npz", "must be an .npz file of plain numpy arrays"),
        ("healthy.keras", "names.npz", "it holds images, labels"),
        ("healthy.keras", "narrow.npz", "takes samples of shape (16,)"),
        ("healthy.keras", "data.npz --loss nonsense", "name of a Keras loss"),
        ("healthy.keras", "data.npz --samples 1", "at least 2, got 1"),
    ],
)
def test_what_cannot_be_diagnosed_gets_a_sentence(files, model, data, message, capsys):
    data, *options = data.split()
    assert run("diagnose", str(files / model), str(files / data), *options) == 2
    caught = capsys.readouterr()
    assert message in caught.err and "Traceback" not in caught.err
    assert len(caught.err.splitlines()) == 1 and caught.out == ""


def test_diagnose_explains_itself_and_its_exit_status(capsys):
    assert run("diagnose", "--help") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Example: python -m initlab diagnose" in told
    assert "1 that something is ill" in told and "x_train" in told
