"""What a race is given, checked and brought into one form before anything is trained.

Each function takes one or two arguments of ``race`` and refuses with a clear error what
cannot be used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from initlab.race_seeds import LARGEST_SEED, InitializerMaker


def build_model(
    build: Callable[[InitializerMaker], Any],
    maker: InitializerMaker,
    input_shape: tuple[int, ...],
) -> Any:
    """Return the model that the user's function builds, built for the data."""
    import keras

    if not callable(build):
        raise ValueError(
            "build must be a function that takes an initializer maker and returns a "
            f"Keras model, got {build!r}"
        )
    model = build(maker)
    if not isinstance(model, keras.Model):
        raise ValueError(f"build must return a Keras model, got {model!r}")
    if model.compiled:
        raise ValueError(
            "build must return an uncompiled model, because race compiles it with its "
            "own optimizer and loss, got a compiled one"
        )
    if not model.built:
        model.build((None, *input_shape))
    expected = getattr(model, "input_shape", None)
    if isinstance(expected, tuple) and not _fits(input_shape, expected[1:]):
        raise ValueError(
            f"the model takes samples of shape {expected[1:]}, "
            f"the data has samples of shape {input_shape}"
        )
    if not isinstance(model.output_shape, tuple):
        raise ValueError(
            f"the model must have one output, got outputs {model.output_shape}"
        )
    return model


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        want in (None, have) for have, want in zip(shape, expected, strict=True)
    )


def arrays(
    data: Any, test_data: Any
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """Return x, y and the test data, with equal lengths and finite."""
    if hasattr(data, "x_train"):
        if test_data is None and hasattr(data, "x_test"):
            test_data = (data.x_test, data.y_test)
        data = (data.x_train, data.y_train)
    x, y = _pair("data", data)
    return x, y, None if test_data is None else _pair("test_data", test_data)


def _pair(argument: str, data: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise ValueError(
            f"{argument} must be a pair of arrays (x, y) or a data set from load, "
            f"got {type(data).__name__}"
        )
    x, y = (np.asarray(array) for array in data)
    for name, array in (("x", x), ("y", y)):
        if array.ndim == 0 or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{name} of {argument} must be an array of numbers, one row per "
                f"sample, got dtype {array.dtype} and shape {array.shape}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} of {argument} must be finite, got NaN or inf")
    if len(x) != len(y) or not len(x):
        raise ValueError(
            f"x and y of {argument} must have as many samples, at least one: "
            f"got {len(x)} and {len(y)}"
        )
    if x.dtype == np.float64:
        x = x.astype(np.float32)
    return x, y


def fit_labels(
    argument: str, y: np.ndarray, output_shape: tuple[int | None, ...], loss_name: str
) -> np.ndarray:
    """Return labels of the shape and dtype that the loss wants for these outputs."""
    if "sparse" in loss_name:
        classes = output_shape[-1]
        if y.shape[1:] == (1,):
            y = y[:, 0]
        whole = y.astype(np.int32)
        if y.shape[1:] != output_shape[1:-1] or (whole != y).any():
            raise ValueError(
                f"{argument} must hold one class number per sample for {loss_name}, "
                f"got shape {y.shape} and dtype {y.dtype}"
            )
        if whole.min() < 0 or whole.max() >= classes:
            raise ValueError(
                f"{argument} must be from 0 to {classes - 1}, because the model has "
                f"{classes} outputs, got {whole.min()} to {whole.max()}"
            )
        return whole
    if y.ndim == 1 and output_shape[1:] == (1,):
        y = y[:, None]
    if not _fits(y.shape[1:], output_shape[1:]):
        raise ValueError(
            f"{argument} must have the shape of the outputs, {output_shape[1:]} per "
            f"sample, got {y.shape[1:]}"
        )
    return y.astype(np.float32)


def check_tokens(argument: str, x: np.ndarray | None, model: Any) -> None:
    """Refuse tokens that an Embedding layer at the input has no row for.

    Compiled by XLA, it would silently take the last row for them.
    """
    layers = [each for each in model.layers if type(each).__name__ != "InputLayer"]
    if x is None or type(layers[0]).__name__ != "Embedding":
        return
    rows = layers[0].input_dim
    if x.min() < 0 or x.max() >= rows:
        raise ValueError(
            f"{argument} must be from 0 to {rows - 1}, because the Embedding layer "
            f"has {rows} rows, got {x.min()} to {x.max()}"
        )


def split(
    x: np.ndarray, y: np.ndarray, validation_split: float
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    """Keep the last fraction for validation, at the sample where Keras cuts."""
    if not 0 <= validation_split < 1:
        raise ValueError(
            f"validation_split must be from 0 to below 1, got {validation_split}"
        )
    if not validation_split:
        return (x, y), None
    cut = math.floor(len(x) * (1.0 - validation_split))
    if cut in (0, len(x)):
        raise ValueError(
            f"validation_split={validation_split} leaves nothing to train or to "
            f"validate on: there are {len(x)} samples"
        )
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def describe_loss(loss: Any) -> tuple[str, bool]:
    """Return the loss's name and whether accuracy goes with it."""
    import keras

    try:
        function = keras.losses.get(loss)
    except (TypeError, ValueError):
        function = None
    if function is None:
        raise ValueError(f"loss must be the name of a Keras loss or one, got {loss!r}")
    name = getattr(getattr(function, "fn", function), "__name__", None)
    name = name or type(function).__name__
    return name, "crossentropy" in name.lower()


def optimizer_config(optimizer: Any) -> dict[str, Any]:
    """Return the serialized optimizer, which is the same for every run."""
    import keras

    try:
        optimizer = keras.optimizers.get(optimizer)
    except (TypeError, ValueError):
        raise ValueError(
            f"optimizer must be the name of a Keras optimizer or one, got {optimizer!r}"
        ) from None
    config = keras.optimizers.serialize(optimizer)
    if isinstance(config["config"]["learning_rate"], dict):
        raise ValueError(
            "optimizer must not have a learning-rate schedule: "
            "the race sets the rates of learning_rates"
        )
    return config


def rates(learning_rates: float | Sequence[float]) -> tuple[float, ...]:
    """Return the learning rates, positive and different."""
    given = tuple(float(rate) for rate in np.atleast_1d(np.asarray(learning_rates)))
    if not given or len(set(given)) < len(given):
        raise ValueError(f"learning_rates must be different rates, got {given}")
    if not all(math.isfinite(rate) and rate > 0 for rate in given):
        raise ValueError(f"learning_rates must be above 0 and finite, got {given}")
    return given


def seed_numbers(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Return the seeds: 0, 1, ... for a count, or those given."""
    if isinstance(seeds, (int, np.integer)):
        check_whole_number("seeds", seeds)
        return tuple(range(seeds))
    given = tuple(seeds)
    if not given or len(set(given)) < len(given):
        raise ValueError(f"seeds must be different seeds, at least one, got {given}")
    for seed in given:
        if not isinstance(seed, (int, np.integer)) or not 0 <= seed <= LARGEST_SEED:
            raise ValueError(
                f"seeds must be whole numbers from 0 to {LARGEST_SEED}, got {seed!r}"
            )
    return tuple(int(seed) for seed in given)


def check_whole_number(argument: str, value: Any) -> None:
    """Refuse anything but a whole number from 1 on."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{argument} must be a whole number, got {value!r}")
    if value < 1:
        raise ValueError(f"{argument} must be at least 1, got {value}")


def check_workers(parallel: int | None) -> None:
    """Refuse a number of workers that joblib does not know, or a missing joblib."""
    if parallel is None:
        return
    whole = isinstance(parallel, (int, np.integer)) and not isinstance(parallel, bool)
    if not whole or parallel == 0 or parallel < -1:
        raise ValueError(
            "parallel must be a number of worker processes, -1 for one per processor, "
            f"or None, got {parallel!r}"
        )
    if importlib.util.find_spec("joblib") is None:
        raise ImportError("parallel needs joblib: `pip install joblib`")


def check_backend() -> None:
    """Refuse a Keras that does not run on TensorFlow."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "race needs Keras on TensorFlow, got the backend "
            f"{keras.backend.backend()!r}: set KERAS_BACKEND=tensorflow"
        )


@contextlib.contextmanager
def progress_bar(
    total: int, wanted: bool | str, title: str = "race", unit: str = "epoch"
) -> Iterator[Callable[[], Any]]:
    """Give a function that counts stages, one by default; draw a bar if wanted."""
    if wanted not in (True, False, "notebook"):
        raise ValueError(f'progress must be True, False or "notebook", got {wanted!r}')
    if not wanted or (wanted is True and not sys.stderr.isatty()):
        yield lambda stages=1: None
        return
    try:
        if wanted == "notebook":
            from tqdm.notebook import tqdm
        else:
            from tqdm import tqdm
    except ImportError:
        yield lambda stages=1: None
        return
    with tqdm(total=total, desc=title, unit=unit) as bar:
        yield bar.update


@contextlib.contextmanager
def expected_retracing() -> Iterator[None]:
    """Keep TensorFlow from warning that every new model is traced anew: it must be."""
    import tensorflow as tf

    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
