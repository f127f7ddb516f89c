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
from typing import Any

import numpy as np

from benchmarks.table import Row, show, timed

SAMPLES, CLASSES, STEPS = 128, 10, 5


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return 1 if a check fails or the doctor takes too long."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.doctor_cost",
        description="Time diagnose against five training steps on the same batch.",
    )
    parser.add_argument("--rounds", type=int, default=5, help="models of each kind")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    return show(rows(options.rounds))


def rows(rounds: int = 5) -> list[Row]:
    """Measure three kinds of models, so many of each."""
    import tensorflow as tf

    tf.constant(0.0)  # starts TensorFlow, which is nobody's work
    models = {"MLP": _mlp, "CNN": _cnn, "LSTM": _lstm}
    return [
        _row(name, [_round(*build(seed)) for seed in range(rounds)])
        for name, build in models.items()
    ]


def _row(name: str, measured: list[tuple[tuple[float, ...], bool]]) -> Row:
    first, again, compiling, later = (
        statistics.median(column)
        for column in zip(*(times for times, _ in measured), strict=True)
    )
    return Row(
        work=f"diagnose, {name}: over the first {STEPS} training steps",
        ours=first,
        theirs=compiling,
        ratio=first / compiling,
        wanted="≤ 1",
        same=all(agrees for _, agrees in measured),
        note=f"a second time {again:.2f} s, {STEPS} later steps {later:.2f} s",
    )


def _round(model: Any, x: np.ndarray) -> tuple[tuple[float, ...], bool]:
    """Return the four times in seconds, and whether the checks passed."""
    from initlab.doctor import diagnose

    y = np.random.default_rng(1).integers(0, CLASSES, SAMPLES)
    model.compile("adam", "sparse_categorical_crossentropy")
    before = [variable.numpy() for variable in model.variables]
    first, diagnosis = timed(lambda: diagnose(model, x, y, batch_size=SAMPLES))
    again, _ = timed(lambda: diagnose(model, x, y, batch_size=SAMPLES))
    unchanged = all(
        np.array_equal(old, variable.numpy())
        for old, variable in zip(before, model.variables, strict=True)
    )

    def steps() -> list[float]:
        return [float(model.train_on_batch(x, y)) for _ in range(STEPS)]

    compiling, losses = timed(steps)
    later, _ = timed(steps)
    same = abs(diagnosis.vitals.start.value - losses[0]) < 1e-3 * losses[0]
    return (first, again, compiling, later), unchanged and same


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
