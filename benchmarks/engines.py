"""Time the engines of ``race`` on six kinds of models that cannot be stacked.

``python -m benchmarks.engines`` trains each model with plain ``fit`` ("keras"), with
whole epochs of Keras's step as a graph ("graph") and with the step compiled ("xla").
It says which one ``race`` chooses by itself, and whether that is the fastest, or takes
at most half as long again. Times are those of the fastest epoch; the first, with
tracing and compiling, is counted apart: a race of several runs pays for it once.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.table import Row, show, timed

SAMPLES, BATCH, CLASSES = 1600, 32, 10
ENGINES = ("keras", "graph", "xla")
WITHIN = 1.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its table and return 0 if the choices are right."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines",
        description="Time the engines of race on models that cannot be stacked.",
    )
    parser.add_argument(
        "--epochs", type=int, default=3, help="epochs of each measurement"
    )
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {options.epochs}")
    return show(rows(options.epochs))


def rows(epochs: int = 3) -> list[Row]:
    """Measure every kind of model."""
    return [_measure(name, *make(), epochs) for name, make in MODELS.items()]


def _measure(name: str, build: Callable[[], Any], x: np.ndarray, epochs: int) -> Row:
    from initlab import compiled

    chosen = "xla" if compiled.xla_pays(build()) else "graph"
    y = np.random.default_rng(1).integers(0, CLASSES, len(x)).astype(np.int32)
    seconds, losses, traced = {}, {}, {}
    epoch = x, y, np.arange(SAMPLES, dtype=np.int32)
    for engine in ENGINES:
        train = functools.partial(_run(build, engine).train_epoch, *epoch)
        traced[engine], measured = timed(train)
        losses[engine] = measured["loss"][0]
        seconds[engine] = min(timed(train)[0] for _ in range(epochs))
    others = {engine: seconds[engine] for engine in ENGINES if engine != chosen}
    best = min(others.values())
    steps = SAMPLES // BATCH
    each = ", ".join(
        f"{engine} {1000 * seconds[engine] / steps:.2f} ms/step after "
        f"{traced[engine]:.1f} s"
        for engine in ENGINES
    )
    return Row(
        work=f"{name}: {chosen} is chosen; its time over the best other's",
        ours=seconds[chosen],
        theirs=best,
        ratio=seconds[chosen] / best,
        wanted=f"≤ {WITHIN}",
        same=bool(np.ptp(list(losses.values())) < 1e-2 * losses["keras"]),
        note=each,
    )


def _run(build: Callable[[], Any], engine: str) -> Any:
    """Return one run of an engine, as `race` would start it."""
    import keras

    from initlab import compiled, looped

    keras.utils.set_random_seed(0)
    optimizer = keras.optimizers.serialize(keras.optimizers.Adam())
    given = optimizer, "sparse_categorical_crossentropy", True, BATCH
    pairs = [(build(), 0.001)]
    if engine == "keras":
        return next(iter(looped.runs_in_turn(pairs, *given)))
    return next(compiled.Graphs(*given, xla=engine == "xla").runs_in_turn(pairs))


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(SAMPLES, *shape)).astype(np.float32)


def _words() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, (SAMPLES, 50)).astype(np.int32)


def _convolutional() -> tuple[Callable[[], Any], np.ndarray]:
    def build() -> Any:
        from keras import Input, Sequential, layers

        return Sequential(
            [
                Input((32, 32, 3)),
                layers.Conv2D(32, 3, activation="relu"),
                layers.MaxPooling2D(),
                layers.Conv2D(64, 3, activation="relu"),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dense(64, "relu"),
                layers.Dense(CLASSES, "softmax"),
            ]
        )

    return build, _numbers(32, 32, 3)


def _small_convolutional() -> tuple[Callable[[], Any], np.ndarray]:
    def build() -> Any:
        from keras import Input, Sequential, layers

        return Sequential(
            [
                Input((28, 28, 1)),
                layers.Conv2D(8, 3, activation="relu"),
                layers.BatchNormalization(),
                layers.MaxPooling2D(),
                layers.Conv2D(8, 3, activation="relu"),
                layers.Flatten(),
                layers.Dense(CLASSES, "softmax"),
            ]
        )

    return build, _numbers(28, 28, 1)


def _normalized() -> tuple[Callable[[], Any], np.ndarray]:
    def build() -> Any:
        from keras import Input, Sequential, layers

        model = Sequential([Input((784,))])
        for _ in range(10):
            model.add(layers.Dense(128))
            model.add(layers.BatchNormalization())
            model.add(layers.ReLU())
        model.add(layers.Dense(CLASSES, "softmax"))
        return model

    return build, _numbers(784)


def _residual() -> tuple[Callable[[], Any], np.ndarray]:
    def build() -> Any:
        from keras import Input, Model, layers

        inputs = Input((784,))
        h = layers.Dense(64)(inputs)
        for _ in range(10):
            h = h + layers.Dense(64)(layers.Dense(64, "relu")(h))
        return Model(inputs, layers.Dense(CLASSES, "softmax")(h))

    return build, _numbers(784)


def _gated() -> tuple[Callable[[], Any], np.ndarray]:
    def build() -> Any:
        from keras import Input, Sequential, layers

        return Sequential(
            [
                Input((50,), dtype="int32"),
                layers.Embedding(1000, 16),
                layers.LSTM(32),
                layers.Dense(CLASSES, "softmax"),
            ]
        )

    return build, _words()


def _attentive() -> tuple[Callable[[], Any], np.ndarray]:
    def build() -> Any:
        from keras import Input, Model, layers

        inputs = Input((50,), dtype="int32")
        h = layers.Embedding(1000, 32)(inputs)
        for _ in range(2):
            normal = layers.LayerNormalization()(h)
            h = h + layers.MultiHeadAttention(2, 16)(normal, normal)
            wide = layers.Dense(64, "gelu")(layers.LayerNormalization()(h))
            h = h + layers.Dense(32)(wide)
        mean = layers.GlobalAveragePooling1D()(h)
        return Model(inputs, layers.Dense(CLASSES, "softmax")(mean))

    return build, _words()


MODELS = {
    "slide 10's CNN": _convolutional,
    "small CNN, BatchNorm": _small_convolutional,
    "10 dense layers, BatchNorm": _normalized,
    "residual dense net": _residual,
    "LSTM on words": _gated,
    "two attention blocks": _attentive,
}


if __name__ == "__main__":
    sys.exit(main())
