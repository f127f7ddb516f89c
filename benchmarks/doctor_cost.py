"""Time ``diagnose`` against five training steps on the same batch.

``python -m benchmarks.doctor_cost`` measures both side by side, in one process, for a
multi-layer perceptron, a convolutional and a recurrent network on 128 samples. A step
is ``model.train_on_batch``, Keras's compiled step. Two kinds of five steps are shown:
the first five of a new model, which is what a user waits for after the diagnosis, since
TensorFlow traces and compiles then; and five later ones, without that. ``diagnose``
runs eagerly: it has nothing to compile. Checked beside it: the doctor measures the very
loss that the first step reports, and leaves every weight as it was.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

SAMPLES, CLASSES, STEPS = 128, 10, 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a check fails or the doctor takes too long."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    rounds = _parse(arguments).rounds
    import tensorflow as tf

    tf.constant(0.0)  # starts TensorFlow, which is nobody's work
    print(f"{SAMPLES} samples, Adam, {os.cpu_count()} cores, median of {rounds} models")
    print(
        f"{'milliseconds':12}{'diagnose':>10}{'again':>8}{'first 5':>9}{'later 5':>9}"
    )
    passed = True
    for name, build in (("MLP", _mlp), ("CNN", _cnn), ("LSTM", _lstm)):
        measured = [_round(*build(seed)) for seed in range(rounds)]
        first, again, compiling, warm = (
            1000 * statistics.median(column)
            for column in zip(*(times for times, _ in measured), strict=True)
        )
        agrees = all(agrees for _, agrees in measured)
        print(
            f"{name:12}{first:10.0f}{again:8.0f}{compiling:9.0f}{warm:9.0f}"
            f"   ratio {first / compiling:.2f} to the first five steps, "
            f"{again / warm:.2f} to later ones; checks "
            f"{'passed' if agrees else 'FAILED'}"
        )
        passed &= agrees and first <= compiling
    return 0 if passed else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.doctor_cost",
        description="Time diagnose against five training steps on the same batch.",
    )
    parser.add_argument("--rounds", type=int, default=5, help="models of each kind")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    return options


def _round(model: Any, x: np.ndarray) -> tuple[tuple[float, ...], bool]:
    """Return the four times in seconds, and whether the checks passed."""
    from initlab.doctor import diagnose

    y = np.random.default_rng(1).integers(0, CLASSES, SAMPLES)
    model.compile("adam", "sparse_categorical_crossentropy")
    before = [variable.numpy() for variable in model.variables]
    first, diagnosis = _time(lambda: diagnose(model, x, y, batch_size=SAMPLES))
    again, _ = _time(lambda: diagnose(model, x, y, batch_size=SAMPLES))
    unchanged = all(
        np.array_equal(old, variable.numpy())
        for old, variable in zip(before, model.variables, strict=True)
    )

    def steps() -> list[float]:
        return [float(model.train_on_batch(x, y)) for _ in range(STEPS)]

    compiling, losses = _time(steps)
    warm, _ = _time(steps)
    same = abs(diagnosis.vitals.start.value - losses[0]) < 1e-3 * losses[0]
    return (first, again, compiling, warm), unchanged and same


def _time(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _mlp(seed: int) -> tuple[Any, np.ndarray]:
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    hidden = [layers.Dense(256, "relu", kernel_initializer="he_normal") for _ in "123"]
    stack = [keras.Input((784,)), *hidden, layers.Dense(CLASSES, "softmax")]
    x = np.random.default_rng(seed).normal(size=(SAMPLES, 784)).astype(np.float32)
    return keras.Sequential(stack), x


def _cnn(seed: int) -> tuple[Any, np.ndarray]:
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    stack = [keras.Input((32, 32, 3))]
    for filters in (32, 64, 64):
        stack += [
            layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
        ]
    stack += [layers.Flatten(), layers.Dense(CLASSES, "softmax")]
    x = np.random.default_rng(seed).normal(size=(SAMPLES, 32, 32, 3))
    return keras.Sequential(stack), x.astype(np.float32)


def _lstm(seed: int) -> tuple[Any, np.ndarray]:
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    stack = [
        keras.Input((100,)),
        layers.Embedding(5000, 32),
        layers.LSTM(64),
        layers.Dense(CLASSES, "softmax"),
    ]
    return keras.Sequential(stack), np.random.default_rng(seed).integers(
        0, 5000, (SAMPLES, 100)
    )


if __name__ == "__main__":
    sys.exit(main())
