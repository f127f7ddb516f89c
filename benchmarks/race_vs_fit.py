"""Time ``race`` against a loop of ``model.fit`` on question 8's work.

``python -m benchmarks.race_vs_fit`` trains the same networks both ways in one process,
compile time included, checks that the numbers agree within the noise of the seeds, and
prints the ratio of the times. The default is a tenth of the work; ``--full`` is all of
it: 4 initializers, 5 epochs of 48,000 images in batches of 64.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

INITIALIZERS = ("zeros", "random_normal", "glorot_normal", "he_normal")
BATCH, RATE = 64, 0.001


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its table and return 0 if the numbers agree."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    options = _parse(arguments)
    import tensorflow as tf

    from initlab import data

    tf.constant(0.0)  # starts TensorFlow, which is nobody's work
    dataset = data.load("fashion_mnist")
    samples = min(options.samples * 5 // 4, len(dataset.x_train))
    train = dataset.x_train[:samples], dataset.y_train[:samples]
    test = dataset.x_test, dataset.y_test
    work = {
        "race, first call": lambda: _by_race(train, test, options),
        "race, compiled before": lambda: _by_race(train, test, options),
        "fit, uint8 images": lambda: _by_fit(train, test, options),
        "fit, float images": lambda: _by_fit(
            (train[0] / 255, train[1]), (test[0] / 255, test[1]), options
        ),
    }
    measured = {name: _time(run) for name, run in work.items()}
    runs = len(INITIALIZERS) * options.seeds
    steps = runs * options.epochs * -(-(samples * 4 // 5) // BATCH)
    print(
        f"\n{len(INITIALIZERS)} initializers × {options.seeds} seeds × "
        f"{options.epochs} epochs of {samples * 4 // 5:,} images, batch {BATCH}, "
        f"{os.cpu_count()} cores"
    )
    print(f"{'':24}{'seconds':>9}{'ms/step':>9}{'CPU s':>8}{'ratio':>8}{'peak MB':>9}")
    base = measured["race, first call"][0]
    for name, (seconds, cpu, peak, _) in measured.items():
        print(
            f"{name:24}{seconds:9.1f}{1000 * seconds / steps:9.2f}{cpu:8.1f}"
            f"{seconds / base:8.1f}{peak:9.0f}"
        )
    return _compare(*(measured[name][3] for name in work))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.race_vs_fit",
        description="Time race against a loop of model.fit on question 8's work.",
    )
    parser.add_argument("--samples", type=int, default=9600, help="training images")
    parser.add_argument("--seeds", type=int, default=1, help="runs per initializer")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of each run")
    parser.add_argument(
        "--full", action="store_true", help="48,000 images, 5 epochs (many minutes)"
    )
    options = parser.parse_args(arguments)
    if options.full:
        options.samples, options.epochs = 48_000, 5
    for name in ("samples", "seeds", "epochs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(options, name)}")
    return options


def _time(run: Callable[[], Any]) -> tuple[float, float, float, Any]:
    """Return wall seconds, CPU seconds, the process's peak in MB, and the result.

    The peak never falls, so it tells what a row added to the rows above it.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    unit = 1024**2 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, result


def _network(initializer: Any, rescale: bool) -> Any:
    import keras

    first = [keras.layers.Rescaling(1 / 255)] if rescale else []
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            *first,
            keras.layers.Flatten(),
            keras.layers.Dense(128, "relu", kernel_initializer=initializer),
            keras.layers.Dense(10, "softmax"),
        ]
    )


def _schemes() -> dict[str, Any]:
    from initlab import schemes

    named = {name: name for name in INITIALIZERS}
    return named | {"random_normal": schemes.random_normal(std=1)}


def _by_race(train: Any, test: Any, options: argparse.Namespace) -> np.ndarray:
    from initlab.race import race

    result = race(
        lambda initializer: _network(initializer(), rescale=True),
        train,
        _schemes(),
        seeds=options.seeds,
        learning_rates=RATE,
        epochs=options.epochs,
        batch_size=BATCH,
        validation_split=0.2,
        test_data=test,
        progress=False,
    )
    return result.test_accuracy[:, 0]


def _by_fit(train: Any, test: Any, options: argparse.Namespace) -> np.ndarray:
    """Do what a reader would type: one model, one ``fit``, one ``evaluate`` each."""
    import keras

    from initlab import schemes

    accuracies = []
    for name in INITIALIZERS:
        scheme = schemes.get(_schemes()[name])
        for seed in range(options.seeds):
            keras.utils.set_random_seed(seed)
            model = _network(scheme.keras(seed), rescale=train[0].dtype == np.uint8)
            model.compile(
                keras.optimizers.Adam(RATE),
                "sparse_categorical_crossentropy",
                metrics=["accuracy"],
            )
            model.fit(
                *train,
                epochs=options.epochs,
                batch_size=BATCH,
                validation_split=0.2,
                verbose=0,
            )
            accuracies.append(model.evaluate(*test, verbose=0)[1])
    return np.reshape(accuracies, (len(INITIALIZERS), options.seeds))


def _compare(first: np.ndarray, again: np.ndarray, *others: np.ndarray) -> int:
    """Print the accuracies side by side; return 1 if they differ by more than noise.

    The ways differ in weights and data order, so single runs differ as seeds do: by
    some percent after so few steps.
    """
    print("\ntest accuracy (mean over seeds)      race   fit uint8   fit float")
    agree = np.array_equal(first, again)
    for place, name in enumerate(INITIALIZERS):
        means = [ways[place].mean() for ways in (first, *others)]
        print(f"{name:33}{means[0]:8.4f}{means[1]:12.4f}{means[2]:12.4f}")
        agree &= max(means) - min(means) < 0.05
    print("the same within noise" if agree else "THE NUMBERS DO NOT AGREE")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
