"""Time ``race`` against a loop of ``model.fit`` on the work of the case studies.

``python -m benchmarks.race_vs_fit`` trains the same networks both ways in one process,
compile time included, and prints the ratios of the times. The default is a part of the
work, of which compiling is a large share; what is promised holds for ``--full``. That
both train alike is checked on a few batches, since there the weights and the order of
the data can be the same: losses within a thousandth. Peak memory is that of a process
of its own for each way: one ``fit`` of one network there, the whole race here; it must
not be more than twice as much.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.table import Row, peak_megabytes, show, timed

Data = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
WORDS, WORDS_OF_A_REVIEW = 10_000, 200


@dataclass(frozen=True)
class Work:
    """A case study as its source does it; ``samples`` include those for validation."""

    title: str
    load: Callable[[], Data]
    build: Callable[[Any], Any]
    initializers: tuple[str, ...]
    samples: int
    epochs: int
    batch_size: int
    loss: str
    wanted: str
    part: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its table and return 0 if all promises hold."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    options = _parse(arguments)
    if options.memory_of:
        _run_for_memory(WORKS[options.work[0]], options)
        return 0
    return show(rows(options.work, full=options.full, seeds=options.seeds))


def rows(works: Sequence[str], full: bool = False, seeds: int = 1) -> list[Row]:
    """Measure the named works."""
    import tensorflow as tf

    tf.constant(0.0)  # starts TensorFlow, which is nobody's work
    return [_measure(name, WORKS[name], full, seeds) for name in works]


def _measure(name: str, work: Work, full: bool, seeds: int) -> Row:
    train, test = _cut(work, work.load(), full)
    epochs = work.epochs if full else 1
    ours, raced = timed(lambda: _by_race(work, train, test, seeds, epochs))
    theirs, fitted = timed(lambda: _by_fit(work, train, test, seeds, epochs))
    memory = [_memory(name, way, full) for way in ("race", "fit")]
    samples = len(train[0])
    return Row(
        work=f"{work.title}: {len(work.initializers)} initializers × {seeds} seeds × "
        f"{epochs} epochs of {samples:,}",
        ours=ours,
        theirs=theirs,
        ratio=theirs / ours,
        # Of a part of the work compiling is too large a share.
        wanted=work.wanted if full else "≥ 1.2",
        same=_trains_alike(work, train) and memory[0] <= 2 * memory[1],
        note=f"test accuracy {_means(raced)} against {_means(fitted)}; peak memory "
        f"{memory[0]:.0f} against {memory[1]:.0f} MB",
    )


def _trains_alike(work: Work, train: tuple[np.ndarray, np.ndarray]) -> bool:
    """Compare the losses of a race and of `fit` on the same batches and weights."""
    from initlab.race import race

    few = tuple(array[: 20 * work.batch_size] for array in train)
    losses = [
        race(
            work.build,
            few,
            _schemes(work.initializers),
            seeds=1,
            epochs=1,
            batch_size=work.batch_size,
            loss=work.loss,
            engine=engine,
            progress=False,
        ).loss
        for engine in ("auto", "keras")
    ]
    return bool(np.allclose(*losses, rtol=1e-3))


def _means(accuracies: np.ndarray) -> str:
    return ", ".join(f"{mean:.3f}" for mean in accuracies.mean(axis=1))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.race_vs_fit",
        description="Time race against a loop of model.fit on the case studies' work.",
    )
    parser.add_argument(
        "work", nargs="*", default=list(WORKS), help=f"{', '.join(WORKS)} (all)"
    )
    parser.add_argument("--seeds", type=int, default=1, help="runs per initializer")
    parser.add_argument("--full", action="store_true", help="all epochs, all samples")
    parser.add_argument("--memory-of", choices=("race", "fit"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for name in options.work:
        if name not in WORKS:
            parser.error(f"work must be one of {', '.join(WORKS)}, got {name!r}")
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {options.seeds}")
    return options


def _memory(name: str, way: str, full: bool) -> float:
    """Return the peak megabytes of a process that does the work one way."""
    command = [sys.executable, "-m", "benchmarks.race_vs_fit", name]
    command += ["--memory-of", way, *(["--full"] if full else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _run_for_memory(work: Work, options: argparse.Namespace) -> None:
    train, test = _cut(work, work.load(), options.full)
    if options.memory_of == "race":
        _by_race(work, train, test, seeds=1, epochs=1)
    else:
        _by_fit(work, train, test, seeds=1, epochs=1, names=work.initializers[:1])
    print(f"\n{peak_megabytes():.0f}")


def _cut(work: Work, data: Data, full: bool) -> Data:
    (x, y), test = data
    samples = min(len(x), int(work.samples * (1 if full else work.part)))
    return (x[:samples], y[:samples]), test


def _schemes(names: Sequence[str]) -> Mapping[str, Any]:
    from initlab import schemes

    given = {name: schemes.get(name) for name in names}
    return given | (
        {"random_normal": schemes.random_normal(1)} if "zeros" in names else {}
    )


def _by_race(work: Work, train: Any, test: Any, seeds: int, epochs: int) -> np.ndarray:
    from initlab.race import race

    result = race(
        work.build,
        train,
        _schemes(work.initializers),
        seeds=seeds,
        epochs=epochs,
        batch_size=work.batch_size,
        validation_split=0.2,
        loss=work.loss,
        test_data=test,
        progress=False,
    )
    return result.test_accuracy[:, 0]


def _by_fit(
    work: Work,
    train: Any,
    test: Any,
    seeds: int,
    epochs: int,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """Do what a reader would type: one model, one ``fit``, one ``evaluate`` each."""
    import keras

    accuracies = []
    for scheme in _schemes(names or work.initializers).values():
        for seed in range(seeds):
            keras.utils.set_random_seed(seed)
            model = work.build(scheme.keras)
            model.compile("adam", work.loss, metrics=["accuracy"])
            model.fit(
                *train,
                epochs=epochs,
                batch_size=work.batch_size,
                validation_split=0.2,
                verbose=0,
            )
            accuracies.append(model.evaluate(*test, verbose=0)[1])
    return np.reshape(accuracies, (-1, seeds))


def _images(name: str) -> Data:
    from initlab import data

    given = data.load(name)
    return (given.x_train, given.y_train.ravel()), (given.x_test, given.y_test.ravel())


def _reviews() -> Data:
    import keras

    from initlab import data

    given = data.load("imdb")

    def numbers(reviews: np.ndarray) -> np.ndarray:
        padded = keras.utils.pad_sequences(reviews, maxlen=WORDS_OF_A_REVIEW)
        return np.where(padded < WORDS, padded, 2)  # 2 stands for an unknown word

    return (
        (numbers(given.x_train), given.y_train),
        (numbers(given.x_test), given.y_test),
    )


def _dense_network(initializer: Any) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(128, "relu", kernel_initializer=initializer()),
            keras.layers.Dense(10, "softmax"),
        ]
    )


def _convolutional_network(initializer: Any) -> Any:
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, activation="relu", kernel_initializer=initializer()),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu", kernel_initializer=initializer()),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, "relu", kernel_initializer=initializer()),
            layers.Dense(10, "softmax", kernel_initializer=initializer()),
        ]
    )


def _recurrent_network(initializer: Any) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input((WORDS_OF_A_REVIEW,), dtype="int32"),
            keras.layers.Embedding(WORDS, 32, embeddings_initializer=initializer()),
            keras.layers.SimpleRNN(32),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )


WORKS = {
    "question_8": Work(
        title="question 8, dense",
        load=lambda: _images("fashion_mnist"),
        build=_dense_network,
        initializers=("zeros", "random_normal", "glorot_normal", "he_normal"),
        samples=60_000,
        epochs=5,
        batch_size=64,
        loss="sparse_categorical_crossentropy",
        wanted="≥ 6",
        part=0.4,
    ),
    "slide_11": Work(
        title="slide 11, recurrent",
        load=_reviews,
        build=_recurrent_network,
        initializers=("random_uniform", "glorot_uniform", "he_normal"),
        samples=25_000,
        epochs=3,
        batch_size=32,
        loss="binary_crossentropy",
        wanted="≥ 6",
        part=0.2,
    ),
    "slide_10": Work(
        title="slide 10, convolutional",
        load=lambda: _images("cifar10"),
        build=_convolutional_network,
        initializers=("glorot_uniform", "he_normal", "random_normal"),
        samples=50_000,
        epochs=5,
        batch_size=32,
        loss="sparse_categorical_crossentropy",
        wanted="≥ 1.2",
        part=0.1,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
