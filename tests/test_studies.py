"""A recording is complete or unfinished, never half; and it says where it is from."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import keras
import numpy as np
import pytest

from initlab import _study_list, _study_runs, recordings, schemes, studies, tasks
from initlab._study import Study, Variant
from initlab.race import InitializerMaker, Race, race

layers = keras.layers
RATES = (0.01, 1e38)  # the second makes runs diverge, which must be recordable too


RESULTS = Path(__file__).parents[1] / "results"
SCHEMA = json.loads((RESULTS / "recording.schema.json").read_text(encoding="utf-8"))


def network(initializer, data) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            layers.Dense(5, "tanh", kernel_initializer=initializer()),
            layers.Dense(3, kernel_initializer=initializer()),
        ]
    )


TINY = Study(
    title="Three classes of four numbers",
    load=lambda: load("tiny"),
    variants={
        "one": Variant("the first", network, {"he": "he_normal"}),
        "two": Variant("the second", network, {"zeros": "zeros"}),
    },
    variables=("hidden kernel", "hidden bias", "output kernel", "output bias"),
    learning_rates=RATES,
    usual_rate=0.01,
    optimizer="sgd",
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    epochs=2,
    batch_size=8,
    validation_split=0.25,
    seeds=2,
    units=("hidden kernel", "hidden bias"),
)


@pytest.fixture
def tiny(monkeypatch) -> Study:
    """A study of two variants that trains in no time, registered as ``tiny``."""
    return register(TINY, monkeypatch)


@pytest.fixture
def run_by_run(monkeypatch) -> Study:
    """The same, every run a part of its own, with two starts in the first variant."""
    variants = {
        **TINY.variants,
        "one": Variant("the first", network, {"he": "he_normal", "ones": "ones"}),
    }
    study = dataclasses.replace(TINY, variants=variants, stacked=False)
    return register(study, monkeypatch)


def register(study: Study, monkeypatch) -> Study:
    monkeypatch.setitem(studies._STUDIES, "tiny", lambda: study)
    return study


def load(name: str) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 4)).astype(np.float32)
    y = x[:, :3].argmax(axis=1).astype(np.uint8)
    home = str(Path.home())
    return SimpleNamespace(
        name=name, x_train=x[:64], y_train=y[:64], x_test=x[64:], y_test=y[64:],
        source="INITLAB_DATA", is_stand_in=False, note=f"{name}: read in {home}/data",
    )  # fmt: skip


def record(folder: Path, **options) -> Path:
    return studies.record(
        "tiny", out=folder, **{"progress": False, "workers": 0, **options}
    )


def without_times(file: Path) -> dict:
    content = json.loads(file.read_text(encoding="utf-8"))
    for name in ("seconds", "cpu_seconds", "peak_memory_mb", "workers", "threads"):
        content["recorded"].pop(name)
    for variant in content["variants"].values():
        variant["race"].pop("seconds")
    return content


def interrupt_after(parts: int, monkeypatch) -> None:
    run, done = _study_runs.run_part, []

    def interrupted(*arguments):
        if len(done) == parts:
            raise KeyboardInterrupt
        done.append(arguments)
        return run(*arguments)

    monkeypatch.setattr(_study_runs, "run_part", interrupted)


# --------------------------------------------------------------------- recording


def test_a_recording_brings_back_what_was_raced(tiny, tmp_path):
    file = record(tmp_path)
    assert file == tmp_path / "tiny.json"
    assert [each.name for each in tmp_path.iterdir()] == ["tiny.json"]
    recording = studies.results("tiny", tmp_path)
    assert recording.title == tiny.title and recording.variables == tiny.variables
    assert recording.descriptions == {"one": "the first", "two": "the second"}
    direct = studies_race(tiny, "one")
    back = recording.races["one"]
    np.testing.assert_allclose(back.loss, direct.loss, rtol=1e-5)
    assert back.to_dict()["loss"] == direct.to_dict(_study_runs.DIGITS)["loss"]
    assert back.seeds == (0, 1) and back.learning_rates == RATES
    assert back.diverged.tolist() == [[[False, False], [True, True]]]


def studies_race(study: Study, variant: str) -> Race:
    """Race the seeds of a variant as a user would who has not this module."""
    data = load("tiny")
    return race(
        lambda initializer: network(initializer, data),
        data,
        study.variants[variant].initializers,
        seeds=study.seeds,
        learning_rates=study.learning_rates,
        optimizer=study.optimizer,
        epochs=study.epochs,
        batch_size=study.batch_size,
        validation_split=study.validation_split,
        loss=study.loss,
        progress=False,
    )


def test_run_by_run_the_numbers_are_those_of_one_race(run_by_run, tmp_path):
    file = record(tmp_path)
    recording, direct = studies.results("tiny", tmp_path), studies_race(TINY, "one")
    back = recording.races["one"]
    assert back.initializers == ("he", "ones")
    assert back.loss.shape == (2, 2, 2, 2)
    np.testing.assert_allclose(back.loss[:1, :1], direct.loss[:, :1], rtol=1e-4)
    assert back.diverged[:, 1].all() and not back.diverged[:, 0].any()
    assert recording.start_std["one"][1, 0, 0].tolist() == [0, 0, 0, 0]  # ones
    assert (recording.start_std["one"][0, :, :, 0] > 0.3).all()
    jsonschema.validate(json.loads(file.read_text(encoding="utf-8")), SCHEMA)


def test_a_recording_says_how_wide_the_weights_were(tiny, tmp_path):
    record(tmp_path)
    recording = studies.results("tiny", tmp_path)
    start, end = recording.start_std["one"], recording.end_std["one"]
    assert start.shape == end.shape == (1, 2, 2, 4)
    maker = InitializerMaker("he", 1, lambda s: schemes.get("he_normal").keras(seed=s))
    kernel = network(maker, load("tiny")).get_weights()[0]
    np.testing.assert_allclose(start[0, :, 1, 0], kernel.std(), rtol=1e-5)
    assert (start[0, 0] != end[0, 0]).all()


def test_a_recording_says_what_moved_and_how_many_units_differ(tiny, tmp_path):
    record(tmp_path)
    recording = studies.results("tiny", tmp_path)
    change = recording.largest_change
    assert change["one"].shape == (1, 2, 2, 4)
    assert (change["one"][0, 0] > 0).all()
    assert _study_runs.listed(np.array([np.nan, 1])) == [
        None,
        1,
    ]  # a weight of a diverged run
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
    assert recording.data["note"] == "tiny: read in ~/data"
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
    generated = dataclasses.replace(
        recording, data={**recording.data, "source": "generated"}
    )
    assert "on generated data" in generated.provenance()


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
        patch.setitem(
            studies._STUDIES,
            "tiny",
            lambda: dataclasses.replace(tiny, load=lambda: shuffled("tiny")),
        )
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
    stand_in = load("tiny")
    stand_in.is_stand_in = True
    register(dataclasses.replace(tiny, load=lambda: stand_in), monkeypatch)
    with pytest.raises(RuntimeError, match="only a stand-in of it: set INITLAB_DATA"):
        record(tmp_path)


@pytest.mark.parametrize("options", [{"seeds": 0}, {"epochs": 0}, {"workers": -1}])
def test_numbers_below_one_are_refused(tiny, tmp_path, options):
    with pytest.raises(ValueError, match="must be at least 1, got (0|-1)"):
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
        ("[]", "not a recording of format 2"),
        ('{"format": 99}', "not a recording of format 2"),
        ('{"format": 2}', "is damaged .KeyError: 'variants'"),
        ('{"format": 2, "variants": {"a": {"race": {}}}, "name": "", "title": "", '
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
    assert recordings._cpu_model() and _study_runs.cores() >= 1
    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert recordings._cpu_model() and _study_runs.cores() >= 1


# ------------------------------------------------------- workers, and their deaths

# A study in a file of its own, as workers and a process that is killed need it. It is
# killed while it writes the file with so many parts, before that takes the old one's
# place.
SCRIPT = """
    import json, os, signal, sys
    sys.path[:0] = {paths!r}
    import test_studies
    from initlab import studies
    study = test_studies.TINY
    studies._STUDIES["tiny"] = lambda: study
    replace = os.replace

    def replace_or_die(new, old):
        with open(new, encoding="utf-8") as file:
            if len(json.load(file).get("parts", ())) == {killed_at}:
                os.kill(os.getpid(), signal.SIGKILL)
        replace(new, old)

    if __name__ == "__main__":
        os.replace = replace_or_die
        studies.record("tiny", out={folder!r}, workers={workers}, seeds=6)
"""


def recording_process(
    folder: Path, workers: int, killed_at: int | None = None
) -> subprocess.Popen:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    script = folder / "record.py"
    words = {"paths": paths, "folder": str(folder / "out"), "workers": workers}
    text = textwrap.dedent(SCRIPT).format(**words, killed_at=killed_at)
    script.write_text(text, encoding="utf-8")
    return subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)


def test_a_recording_that_is_killed_ends_as_if_it_had_not_been(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    for each in (whole, folder):
        (each / "out").mkdir(parents=True)
    assert recording_process(whole, 0).wait(300) == 0
    for killed_at, workers in ((2, 0), (6, 2)):
        process = recording_process(folder, workers, killed_at)
        children: set[int] = set()
        while process.poll() is None:
            children |= descendants(process.pid)
            time.sleep(0.05)
        assert process.returncode == -signal.SIGKILL
        assert bool(children) == bool(workers)
        wait_until_gone(children)
        assert parts_in(folder / "out" / "tiny.partial.json") == killed_at - 1
    assert recording_process(folder, 0).wait(300) == 0
    expected = without_times(whole / "out" / "tiny.json")
    assert without_times(folder / "out" / "tiny.json") == expected
    assert [e.name for e in (folder / "out").iterdir()] == ["tiny.json"]


def parts_in(unfinished: Path) -> int:
    """Count the parts; whenever one looks, the file is whole."""
    try:
        return len(json.loads(unfinished.read_text(encoding="utf-8"))["parts"])
    except FileNotFoundError:
        return 0


def descendants(pid: int) -> set[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return {int(each) for each in listing.read_text().split()}
    except OSError:
        return set()


def wait_until_gone(pids: set[int]) -> None:
    """A worker ends with the process that asked for it, within seconds."""
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, f"workers live on: {pids}"
        time.sleep(0.1)


def test_a_worker_that_dies_is_said_and_costs_only_its_part(
    tiny, tmp_path, monkeypatch
):
    whole = record(tmp_path / "whole")

    def fatal(initializer, data):
        os._exit(9) if initializer.name == "zeros" else None
        return network(initializer, data)

    variants = {
        key: dataclasses.replace(each, build=fatal)
        for key, each in tiny.variants.items()
    }
    with monkeypatch.context() as patch:
        register(dataclasses.replace(tiny, variants=variants), patch)
        with pytest.raises(
            RuntimeError, match="(?s)a worker process died.*kept; run it"
        ):
            record(tmp_path / "again", workers=1)
    assert parts_in(tmp_path / "again" / "tiny.partial.json") == 2
    assert without_times(record(tmp_path / "again", workers=1)) == without_times(whole)


# ------------------------------------------------------------------- verification


def verify(folder: Path, **options) -> studies.Verification:
    return studies.verify(
        "tiny", directory=folder, workers=0, progress=False, **options
    )


def test_a_recording_is_verified_by_running_a_seed_of_everything_again(
    run_by_run, tmp_path
):
    record(tmp_path)
    result = verify(tmp_path, seed=1)
    assert result.passed and all(each.identical for each in result.comparisons)
    assert [(each.variant, each.initializer) for each in result.comparisons] == [
        ("one", "he"), ("one", "ones"), ("two", "zeros"),
    ]  # fmt: skip
    assert str(result).splitlines() == [
        "tiny, seed 1, run again",
        "  one                 he              identical",
        "  one                 ones            identical",
        "  two                 zeros           identical",
        "verified",
    ]


def changed(folder: Path, change) -> None:
    """Put something else into the first initializer of variant "one"."""
    file = folder / "tiny.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content["variants"]["one"])
    recordings.write(file, content)


def wider(variant: dict) -> None:
    variant["start_std"][0][0][0][0] *= 1.001


def better(variant: dict) -> None:
    for seed in (0, 1):
        variant["race"]["val_accuracy"][0][0][seed][1] += 0.5


def diverged(variant: dict) -> None:
    for seed in (0, 1):
        variant["race"]["loss"][0][0][seed] = [None, None]


@pytest.mark.parametrize("change", [wider, better, diverged])
def test_a_recording_that_is_not_what_the_study_gives_is_not_verified(
    change, tiny, tmp_path
):
    record(tmp_path)
    changed(tmp_path, change)
    result = verify(tmp_path)
    assert not result.passed
    assert [each.agrees for each in result.comparisons] == [False, True]
    assert "DIFFERS" in str(result) and str(result).endswith("NOT verified")


def other_rounding(variant: dict) -> None:
    variant["race"]["loss"][0][0][0][1] *= 1.002


def test_a_difference_as_other_machines_make_it_is_within_the_tolerance(tiny, tmp_path):
    record(tmp_path)
    changed(tmp_path, other_rounding)
    result = verify(tmp_path)
    assert result.passed and not result.comparisons[0].identical
    assert "  one                 he              agrees" in str(result)


def test_another_initializer_of_the_same_name_is_found_out(tiny, tmp_path, monkeypatch):
    record(tmp_path)
    variants = {**tiny.variants, "one": Variant("", network, {"he": "glorot_normal"})}
    register(dataclasses.replace(tiny, variants=variants), monkeypatch)
    assert [each.agrees for each in verify(tmp_path).comparisons] == [False, True]


def test_other_data_are_not_compared(tiny, tmp_path, monkeypatch):
    record(tmp_path)
    register(dataclasses.replace(tiny, load=lambda: shuffled("tiny")), monkeypatch)
    with pytest.raises(ValueError, match="x_train of tiny is not what was recorded"):
        verify(tmp_path)


def test_a_seed_that_was_not_recorded_cannot_be_verified(tiny, tmp_path):
    record(tmp_path)
    with pytest.raises(ValueError, match="one of the recorded 0, 1, got 2"):
        verify(tmp_path, seed=2)


# -------------------------------------------------------------------- the schema


@pytest.mark.parametrize("name", studies.names())
def test_every_recording_has_the_form_of_the_schema(name):
    content = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(content, SCHEMA)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content.pop("recorded"),
        lambda content: content.update(parts={}),
        lambda content: content["recorded"].update(command="rm -r results"),
        lambda content: content["recorded"].pop("cpu_seconds"),
        lambda content: content["data"].update(is_stand_in=True),
        lambda content: content["data"]["sha256"].update(x_train="0" * 63),
        lambda content: content["variants"]["one"]["race"].pop("test_accuracy"),
        lambda content: content["variants"]["one"].update(start_std=[1.0]),
        lambda content: content["variants"]["one"]["race"].update(loss=None),
    ],
)
def test_the_schema_refuses_what_is_no_recording(spoil, tiny, tmp_path):
    content = json.loads(record(tmp_path).read_text(encoding="utf-8"))
    jsonschema.validate(content, SCHEMA)
    spoil(content)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


# -------------------------------------------------------------- the four studies


@pytest.mark.parametrize("name", studies.names())
def test_every_recording_is_the_full_study_on_the_real_data(name):
    study, recording = studies._study(name), studies.results(name)
    assert recording.recorded["command"] == f"python -m initlab record {name}"
    assert recording.data["is_stand_in"] is False
    assert recording.title == study.title and recording.variables == study.variables
    assert list(recording.races) == list(study.variants)
    for key, each_race in recording.races.items():
        starts = tuple(study.variants[key].initializers)
        assert each_race.initializers == starts
        assert each_race.learning_rates == study.learning_rates
        assert each_race.seeds == tuple(range(study.seeds))
        runs = (len(starts), len(study.learning_rates), study.seeds)
        assert each_race.loss.shape == (*runs, study.epochs)
        assert each_race.settings["batch_size"] == study.batch_size
        for each in ("start_std", "end_std", "largest_change"):
            table = getattr(recording, each)[key]
            assert table.shape == (*runs, len(study.variables))
        assert np.isfinite(recording.start_std[key]).all()
        if study.units:
            assert recording.distinct_units[key].shape == runs
    file = Path(studies._REPOSITORY_RESULTS) / f"{name}.json"
    assert file.stat().st_size < 300_000
    assert not re.search(r'"(/|~|[A-Z]:\\)', file.read_text(encoding="utf-8"))


def test_the_recordings_together_take_at_most_an_hour_on_two_cores():
    recorded = [studies.results(name).recorded for name in studies.names()]
    assert sum(each["seconds"] for each in recorded) <= 3600
    assert {each["cores"] for each in recorded} == {2}
    assert all(each["peak_memory_mb"] < 2048 for each in recorded)


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10", "imdb"])
def test_the_case_studies_have_the_settings_of_their_slides(name):
    study = studies._study(name)
    assert study.epochs == 5 and study.validation_split == 0.2
    assert study.usual_rate == 0.001 and 0.001 in study.learning_rates
    assert study.batch_size == (64 if name == "fashion_mnist" else 32)
    assert study.optimizer == "adam"


def weights(name: str, variant: str, start: str, data) -> list[np.ndarray]:
    """Return the weights with which a run of a study begins."""
    chosen = studies._study(name).variants[variant]
    given = chosen.initializers[start]
    make = given if callable(given) else lambda seed: given.keras(seed=seed)
    return chosen.build(InitializerMaker(start, 0, make), data).get_weights()


def test_fashion_mnist_is_question_8s_network_in_both_ways():
    four = studies._study("fashion_mnist").variants["hidden_only"].initializers
    assert list(four) == ["zeros", "random_normal", "glorot_normal", "he_normal"]
    assert four["random_normal"].std((784, 128)) == 1
    hidden, _, output, _ = weights("fashion_mnist", "hidden_only", "zeros", None)
    assert hidden.shape == (784, 128) and not hidden.any() and output.any()
    hidden, _, output, _ = weights(
        "fashion_mnist", "sigmoid_both_layers", "zeros", None
    )
    assert not hidden.any() and not output.any()


def test_cifar10_is_slide_10s_network_with_two_more_starts():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (600, 32, 32, 3)).astype(np.uint8)
    data = SimpleNamespace(x_train=images)
    shapes = [(3, 3, 3, 32), (32,), (3, 3, 32, 64), (64,), (2304, 64), (64,), (64, 10)]
    starts = studies._study("cifar10").variants["cnn"].initializers
    assert list(starts)[:3] == ["glorot_uniform", "he_normal", "random_normal"]
    drawn = {name: weights("cifar10", "cnn", name, data) for name in starts}
    for each in drawn.values():
        assert [weight.shape for weight in each[:-1]] == shapes
    assert abs(drawn["he_normal"][2].std() / np.sqrt(2 / 288) - 1) < 0.02
    # Rescaled, LSUV's kernels are orthogonal ones up to a factor.
    kernel = drawn["lsuv"][2].reshape(288, 64)
    gram = kernel.T @ kernel
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(64), atol=1e-4 * gram[0, 0])
    assert abs(drawn["lsuv"][2].std() - drawn["orthogonal"][2].std()) > 0.001


def test_imdb_is_slide_11s_network():
    drawn = weights("imdb", "embedding", "he_normal", None)
    assert [weight.shape for weight in drawn] == [
        (10_000, 32), (32, 32), (32, 32), (32,), (32, 1), (1,),
    ]  # fmt: skip
    assert abs(drawn[0].std() - np.sqrt(2 / 10_000)) < 1e-4
    np.testing.assert_allclose(drawn[2].T @ drawn[2], np.eye(32), atol=1e-5)


def test_reviews_are_cut_and_padded_as_keras_does_it(monkeypatch):
    def reviews(name):
        return SimpleDataset(
            x_train=[np.array([1, 5, 10_000, 9_999]), np.arange(1, 302)],
            x_test=[np.array([1])],
        )

    monkeypatch.setattr(_study_list.data, "load", reviews)
    padded = _study_list.padded_reviews()
    expected = keras.utils.pad_sequences(
        [[1, 5, 2, 9_999], list(range(1, 302))], maxlen=200
    )
    assert padded.x_train.dtype == np.int32
    np.testing.assert_array_equal(padded.x_train, expected)
    assert padded.x_test.shape == (1, 200) and padded.x_test.sum() == 1


@dataclasses.dataclass
class SimpleDataset:
    x_train: list
    x_test: list


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_adding_problem_starts_only_the_recurrent_kernel_in_five_ways(activation):
    data = studies.dataset("adding_problem")
    assert data.x_train.shape == (20_000, 50, 2) and not data.is_stand_in
    singular = {}
    for name in studies._study("adding_problem").variants[activation].initializers:
        kernel = weights("adding_problem", activation, name, data)[1]
        singular[name] = np.linalg.svd(kernel, compute_uv=False)
    np.testing.assert_allclose(singular["orthogonal"], 1, atol=1e-5)
    np.testing.assert_allclose(singular["identity"], 1)
    np.testing.assert_allclose(singular["too small"], 0.5, atol=1e-5)
    np.testing.assert_allclose(singular["too large"], 1.5, atol=1e-5)
    assert singular["glorot_uniform"].max() > 1.3


def test_the_adding_problem_is_the_sum_of_one_marked_number_of_each_half():
    x, y = tasks.adding_problem(200, length=9, seed=3)
    assert x.shape == (200, 9, 2) and y.shape == (200, 1)
    marks = x[..., 1]
    assert (marks[:, :4].sum(axis=1) == 1).all()
    assert (marks[:, 4:].sum(axis=1) == 1).all()
    np.testing.assert_allclose((x[..., 0] * marks).sum(axis=1), y[:, 0], rtol=1e-6)
