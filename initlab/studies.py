"""The case studies at full size: how they are run, recorded and read back.

A chapter has seconds; five epochs of 80 networks take minutes. So a study is recorded
once, by ``python -m initlab record NAME`` (:func:`record`), and the chapter shows what
:func:`results` reads: every curve, with the date, versions, machine and data behind it.
Each study is defined in one place, at the end of this module.
"""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from initlab import recordings
from initlab.race import Race, race
from initlab.race_setup import check_whole_number, progress_bar
from initlab.recordings import Recording

__all__ = ["Recording", "Study", "Variant", "names", "record", "results"]

_REPOSITORY_RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True)
class Variant:
    """One network of a study and the initializers that race on it."""

    description: str
    build: Callable[[Any], Any]
    initializers: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """A case study: networks, data and everything that decides the numbers.

    ``variables`` names the model's weights in Keras's order.
    """

    title: str
    dataset: str
    variants: Mapping[str, Variant]
    variables: tuple[str, ...]
    learning_rates: tuple[float, ...]
    optimizer: str
    loss: str
    epochs: int
    batch_size: int
    validation_split: float
    seeds: int


def names() -> tuple[str, ...]:
    """Return the names of the studies."""
    return tuple(_STUDIES)


def results(name: str, directory: str | Path | None = None) -> Recording:
    """Return the recording of a study.

    Args:
        name: One of :func:`names`.
        directory: Where to look; by default the folder ``results`` beside the package,
            then the one inside it.

    Raises:
        ValueError: If there is no such study, or if the file is no recording of it.
        FileNotFoundError: If it has not been recorded.
    """
    _study(name)
    places = [Path(directory)] if directory else [_REPOSITORY_RESULTS]
    if not directory:
        places.append(importlib.resources.files("initlab") / "results")
    for place in places:
        file = place / f"{name}.json"
        if file.is_file():
            return recordings.read(file)
    raise FileNotFoundError(
        f"there is no recording {name}.json in {' or '.join(map(str, places))}: "
        f"make one with `python -m initlab record {name}`"
    )


def record(
    name: str,
    *,
    seeds: int | None = None,
    epochs: int | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    progress: bool | str = True,
    report: Callable[[str], Any] = lambda message: None,
) -> Path:
    """Run a study at full size and write ``NAME.json``.

    After every finished seed of a variant the state is written to
    ``NAME.partial.json``, so that an interrupted recording goes on where it stopped;
    ``NAME.json`` itself is replaced only by a complete recording.

    Args:
        name: One of :func:`names`.
        seeds: How many seeds, by default the study's own number.
        epochs: How many epochs, by default the study's own number.
        out: Folder to write to, by default ``results`` of the checkout, or, where the
            package is installed, of the working directory.
        resume: Go on with an unfinished recording if there is one; otherwise drop it.
        progress: As for ``race``.
        report: Called with a sentence about what happens.

    Returns:
        The path of the recording.

    Raises:
        ValueError: If there is no such study, if a number is below 1, or if the
            unfinished recording was made with other settings.
        RuntimeError: If only the stand-in of the data set is there.
    """
    from initlab import data as data_sets

    study = _study(name)
    for argument, value in (("seeds", seeds), ("epochs", epochs)):
        if value is not None:
            check_whole_number(argument, value)
    seeds, epochs = seeds or study.seeds, epochs or study.epochs
    folder = Path(out) if out else _folder_to_write()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.partial.json"

    dataset = data_sets.load(study.dataset)
    if dataset.is_stand_in:
        raise RuntimeError(
            f"a recording needs the real {study.dataset}, but there is only a stand-in "
            "of it: set INITLAB_DATA to its folder, or allow the download"
        )
    state = recordings.start(name, study, dataset, seeds, epochs)
    if resume and unfinished.exists():
        state = recordings.resume(unfinished, state)
    parts = [(variant, seed) for variant in study.variants for seed in range(seeds)]
    todo = [part for part in parts if not recordings.holds(state, *part)]
    if len(todo) < len(parts):
        report(f"going on: {len(parts) - len(todo)} of {len(parts)} parts are done")
    with progress_bar(len(todo), progress, f"record {name}", "part") as advance:
        for variant, seed in todo:
            with recordings.timed(state):
                result = _run(study, study.variants[variant], dataset, seed, epochs)
            recordings.add(state, variant, study.variants[variant].description, result)
            recordings.write(unfinished, state)
            advance()
    finished = folder / f"{name}.json"
    recordings.write(unfinished, state)
    os.replace(unfinished, finished)
    seconds = state["recorded"]["seconds"]
    report(f"recorded {name}: {len(parts)} parts in {seconds:.0f} s")
    return finished


def _run(study: Study, variant: Variant, dataset: Any, seed: int, epochs: int) -> Race:
    return race(
        variant.build,
        dataset,
        variant.initializers,
        seeds=[seed],
        learning_rates=study.learning_rates,
        optimizer=study.optimizer,
        epochs=epochs,
        batch_size=study.batch_size,
        validation_split=study.validation_split,
        loss=study.loss,
        keep_weights=True,
        progress=False,
    )


def _folder_to_write() -> Path:
    """Return the results of the checkout that this is, or of the working directory."""
    checkout = (_REPOSITORY_RESULTS.parent / "pyproject.toml").is_file()
    return _REPOSITORY_RESULTS if checkout else Path("results")


def _study(name: str) -> Study:
    if name not in _STUDIES:
        raise ValueError(f"name must be one of {', '.join(_STUDIES)}, got {name!r}")
    return _STUDIES[name]


def _fashion_network(activation: str, both_layers: bool) -> Callable[[Any], Any]:
    """Return the builder of question 8's network."""

    def build(initializer: Any) -> Any:
        import keras

        return keras.Sequential(
            [
                keras.Input((28, 28)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Flatten(),
                keras.layers.Dense(128, activation, kernel_initializer=initializer()),
                keras.layers.Dense(
                    10,
                    "softmax",
                    kernel_initializer=initializer()
                    if both_layers
                    else "glorot_uniform",
                ),
            ]
        )

    return build


def _fashion_mnist() -> Study:
    from initlab import schemes

    four = {
        "zeros": schemes.get("zeros"),
        "random_normal": schemes.random_normal(std=1),
        "glorot_normal": schemes.get("glorot_normal"),
        "he_normal": schemes.get("he_normal"),
    }
    where = {
        "hidden_only": "the initializer in the hidden layer, Glorot uniform in the "
        "output layer",
        "both_layers": "the initializer in both layers",
    }
    variants = {}
    for activation in ("relu", "tanh", "sigmoid"):
        for place, words in where.items():
            key = place if activation == "relu" else f"{activation}_{place}"
            variants[key] = Variant(
                description=f"{activation} hidden layer, {words}",
                build=_fashion_network(activation, place == "both_layers"),
                initializers=four if activation == "relu" else {"zeros": four["zeros"]},
            )
    return Study(
        title="Fashion-MNIST: 784 pixels, 128 hidden units, 10 classes",
        dataset="fashion_mnist",
        variants=variants,
        variables=("hidden kernel", "hidden bias", "output kernel", "output bias"),
        learning_rates=(0.0003, 0.001, 0.003, 0.01, 0.03),
        optimizer="adam",
        loss="sparse_categorical_crossentropy",
        epochs=5,
        batch_size=64,
        validation_split=0.2,
        seeds=5,
    )


_STUDIES = {"fashion_mnist": _fashion_mnist()}
