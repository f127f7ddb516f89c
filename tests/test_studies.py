"""A recording is complete or unfinished, never half; and it says where it is from."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from initlab import data, recordings, schemes, studies
from initlab.race import InitializerMaker, Race

layers = keras.layers
RATES = (0.01, 1e38)  # the second makes runs diverge, which must be recordable too


def network(initializer) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, "tanh", kernel_initializer=initializer()),
            layers.Dense(3, kernel_initializer=initializer()),
        ]
    )


@pytest.fixture
def tiny(monkeypatch) -> studies.Study:
    """A study of two variants that trains in no time, registered as ``tiny``."""
    study = studies.Study(
        title="Three classes of four numbers",
        dataset="fashion_mnist",
        variants={
            "one": studies.Variant("the first", network, {"he": "he_normal"}),
            "two": studies.Variant("the second", network, {"zeros": "zeros"}),
        },
        variables=("hidden kernel", "hidden bias", "output kernel", "output bias"),
        learning_rates=RATES,
        optimizer="sgd",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        epochs=2,
        batch_size=8,
        validation_split=0.25,
        seeds=2,
    )
    monkeypatch.setitem(studies._STUDIES, "tiny", study)
    monkeypatch.setattr(data, "load", load)
    return study


def load(name: str) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4)).astype(np.float32)
    y = x[:, :3].argmax(axis=1).astype(np.uint8)
    home = str(Path.home())
    return SimpleNamespace(
        name=name, x_train=x[:64], y_train=y[:64], x_test=x[64:], y_test=y[64:],
        source=f"{home}/data", is_stand_in=False, note=f"{name}: read in {home}/data",
    )  # fmt: skip


def record(folder: Path, **options) -> Path:
    return studies.record("tiny", out=folder, progress=False, **options)


def without_times(file: Path) -> dict:
    content = json.loads(file.read_text(encoding="utf-8"))
    for name in ("seconds", "cpu_seconds"):
        content["recorded"].pop(name)
    for variant in content["variants"].values():
        variant["race"].pop("seconds")
    return content


def interrupt_after(parts: int, monkeypatch) -> None:
    run, done = studies._run, []

    def interrupted(*arguments):
        if len(done) == parts:
            raise KeyboardInterrupt
        done.append(arguments)
        return run(*arguments)

    monkeypatch.setattr(studies, "_run", interrupted)


# --------------------------------------------------------------------- recording


def test_a_recording_brings_back_what_was_raced(tiny, tmp_path):
    file = record(tmp_path)
    assert file == tmp_path / "tiny.json"
    assert [each.name for each in tmp_path.iterdir()] == ["tiny.json"]
    recording = studies.results("tiny", tmp_path)
    assert recording.title == tiny.title and recording.variables == tiny.variables
    assert recording.descriptions == {"one": "the first", "two": "the second"}
    direct = Race.join(
        [
            studies._run(tiny, tiny.variants["one"], load("x"), seed, 2)
            for seed in (0, 1)
        ]
    )
    back = recording.races["one"]
    np.testing.assert_allclose(back.loss, direct.loss, rtol=1e-5)
    assert back.to_dict()["loss"] == direct.to_dict(recordings.DIGITS)["loss"]
    assert back.seeds == (0, 1) and back.learning_rates == RATES
    assert back.diverged.tolist() == [[[False, False], [True, True]]]


def test_a_recording_says_what_moved_and_how_many_units_differ(tiny, tmp_path):
    record(tmp_path)
    recording = studies.results("tiny", tmp_path)
    change = recording.largest_change
    assert change["one"].shape == (1, 2, 2, 4)
    assert (change["one"][0, 0] > 0).all()
    assert recordings._rounded(np.nan) is None  # a weight of a diverged run
    # All-zero kernels and tanh(0) = 0: the output bias alone can move.
    assert (change["two"][0, 0, :, :3] == 0).all()
    assert (change["two"][0, 0, :, 3] > 0).all()
    assert recording.distinct_units["one"][0, 0].tolist() == [5, 5]
    assert recording.distinct_units["two"][0, 0].tolist() == [1, 1]


def test_a_recording_says_where_it_is_from_without_naming_a_folder(tiny, tmp_path):
    file = record(tmp_path, seeds=1, epochs=1)
    recording = studies.results("tiny", tmp_path)
    text = file.read_text(encoding="utf-8")
    assert str(Path.home()) not in text and str(tmp_path) not in text
    assert recording.data["note"] == "fashion_mnist: read in ~/data"
    assert len(recording.data["sha256"]["y_test"]) == 64
    assert recording.recorded["command"] == (
        "python -m initlab record tiny --seeds 1 --epochs 1"
    )
    words = recording.provenance()
    assert "on the real data" in words and "1 seed," in words
    assert f"Keras {keras.__version__}" in words
    assert recording.recorded["seconds"] > 0
    stand_in = dataclasses.replace(
        recording, data={**recording.data, "is_stand_in": True}
    )
    assert "on a generated stand-in" in stand_in.provenance()


def test_the_file_has_one_line_per_list_of_numbers(tiny, tmp_path):
    lines = record(tmp_path).read_text(encoding="utf-8").splitlines()
    assert ' "learning_rates": [0.01, 1e+38],' in lines
    assert all(len(line) < 200 for line in lines)
    assert lines[0] == "{" and lines[-1] == "}"


# ----------------------------------------------------------------- interruption


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_an_interrupted_recording_goes_on_where_it_stopped(
    parts, tiny, tmp_path, monkeypatch
):
    whole = record(tmp_path / "whole")
    folder, said = tmp_path / "resumed", []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(parts, patch)
        record(folder)
    assert not (folder / "tiny.json").exists()
    with monkeypatch.context() as patch:
        interrupt_after(4 - parts, patch)  # not one run more than what is missing
        resumed = record(folder, report=said.append)
    assert without_times(resumed) == without_times(whole)
    assert [each.name for each in folder.iterdir()] == ["tiny.json"]
    going_on = [f"going on: {parts} of 4 parts are done"] if parts else []
    assert said[:-1] == going_on and said[-1].startswith("recorded tiny: 4 parts in")


def test_an_interruption_leaves_the_complete_recording_as_it_was(
    tiny, tmp_path, monkeypatch
):
    before = record(tmp_path).read_bytes()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(2, patch)
        record(tmp_path, epochs=1)
    assert (tmp_path / "tiny.json").read_bytes() == before
    assert (tmp_path / "tiny.partial.json").exists()


def test_an_unfinished_recording_is_finished_as_it_was_begun_or_dropped(
    tiny, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_after(1, patch)
        record(tmp_path)
    with pytest.raises(
        ValueError, match="has another epochs: 2 there, 1 now.*--no-res"
    ):
        record(tmp_path, epochs=1)
    with (
        monkeypatch.context() as patch,
        pytest.raises(ValueError, match="another data"),
    ):
        patch.setattr(data, "load", shuffled)
        record(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(ValueError, match="another cpu"):
        patch.setattr(recordings, "_cpu_model", lambda: "abacus")
        record(tmp_path)
    said: list[str] = []
    record(tmp_path, epochs=1, resume=False, report=said.append)
    assert len(said) == 1
    assert studies.results("tiny", tmp_path).races["one"].loss.shape[-1] == 1


def shuffled(name: str) -> SimpleNamespace:
    dataset = load(name)
    dataset.x_train = dataset.x_train[::-1]
    return dataset


def test_a_write_that_fails_leaves_the_old_file_and_no_scratch(tmp_path, monkeypatch):
    file = tmp_path / "some.json"
    recordings.write(file, {"format": 1})
    monkeypatch.setattr(recordings.os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        recordings.write(file, {"format": 2})
    assert json.loads(file.read_text()) == {"format": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["some.json"]


def refuse(*_, **__):
    raise OSError("disk full")


# ------------------------------------------------------------------------ errors


def test_a_stand_in_is_not_recorded(tiny, tmp_path, monkeypatch):
    stand_in = load("fashion_mnist")
    stand_in.is_stand_in = True
    monkeypatch.setattr(data, "load", lambda name: stand_in)
    with pytest.raises(RuntimeError, match="only a stand-in of it: set INITLAB_DATA"):
        record(tmp_path)


@pytest.mark.parametrize("options", [{"seeds": 0}, {"epochs": 0}])
def test_numbers_below_one_are_refused(tiny, tmp_path, options):
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        record(tmp_path, **options)


def test_an_unknown_study_is_named():
    with pytest.raises(ValueError, match="one of fashion_mnist.*, got 'mnist'"):
        studies.results("mnist")


def test_a_study_that_is_not_recorded_names_the_command(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="python -m initlab record fashion_mnist"
    ):
        studies.results("fashion_mnist", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is not JSON"),
        ("[]", "not a recording of format 1"),
        ('{"format": 99}', "not a recording of format 1"),
        ('{"format": 1}', "is damaged .KeyError: 'variants'"),
        ('{"format": 1, "variants": {"a": {"race": {}}}, "name": "", "title": "", '
         '"recorded": {}, "data": {}}', "is damaged"),
    ],
)  # fmt: skip
def test_a_damaged_recording_is_named(tmp_path, text, message):
    (tmp_path / "fashion_mnist.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        studies.results("fashion_mnist", tmp_path)
    assert "fashion_mnist.json" in str(caught.value)


def test_an_installed_package_brings_its_results_and_writes_to_where_one_works(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(
        studies, "_REPOSITORY_RESULTS", tmp_path / "nowhere" / "results"
    )
    package = tmp_path / "initlab"
    (package / "results").mkdir(parents=True)
    (package / "results" / "fashion_mnist.json").write_text("[]", encoding="utf-8")
    monkeypatch.setattr(studies.importlib.resources, "files", lambda name: package)
    with pytest.raises(ValueError, match="not a recording"):  # so it was found
        studies.results("fashion_mnist")
    assert studies._folder_to_write() == Path("results")


def test_in_a_checkout_the_results_folder_is_written():
    folder = studies._folder_to_write()
    assert folder.name == "results" and folder.is_absolute()


def test_the_machine_is_described_wherever_it_can_be(monkeypatch):
    assert recordings._cpu_model() and recordings._cores() >= 1
    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.delattr(recordings.os, "sched_getaffinity", raising=False)
    assert recordings._cpu_model() and recordings._cores() >= 1


# ------------------------------------------------------------------ fashion_mnist


def test_fashion_mnist_is_question_8s_network_in_both_ways():
    study = studies._STUDIES["fashion_mnist"]
    assert (study.epochs, study.batch_size, study.seeds) == (5, 64, 5)
    assert 0.001 in study.learning_rates and study.optimizer == "adam"
    four = study.variants["hidden_only"].initializers
    assert list(four) == ["zeros", "random_normal", "glorot_normal", "he_normal"]
    assert four["random_normal"].std((784, 128)) == 1

    def weights(variant: str):
        make = schemes.get("zeros").keras
        model = study.variants[variant].build(InitializerMaker("zeros", 0, make))
        return model.get_weights()

    hidden, _, output, _ = weights("hidden_only")
    assert hidden.shape == (784, 128) and not hidden.any() and output.any()
    hidden, _, output, _ = weights("sigmoid_both_layers")
    assert not hidden.any() and not output.any()


def test_the_recording_of_fashion_mnist_is_the_full_study_on_the_real_data():
    study = studies._STUDIES["fashion_mnist"]
    recording = studies.results("fashion_mnist")
    assert recording.recorded["command"] == "python -m initlab record fashion_mnist"
    assert recording.data["is_stand_in"] is False
    assert list(recording.races) == list(study.variants)
    for name, race in recording.races.items():
        runs = (len(study.variants[name].initializers), len(study.learning_rates), 5)
        assert race.loss.shape == (*runs, 5) and not race.diverged.any()
        assert race.settings["training_samples"] == 48_000
        assert recording.largest_change[name].shape == (*runs, 4)
        assert recording.distinct_units[name].shape == runs
    file = Path(studies._REPOSITORY_RESULTS) / "fashion_mnist.json"
    assert file.stat().st_size < 200_000
    assert not re.search(r'"(/|~|[A-Z]:\\)', file.read_text(encoding="utf-8"))
