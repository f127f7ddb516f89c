"""What every notebook does first: fix the seeds, quiet TensorFlow, set the plot style.

Call :func:`setup` once, before anything imports TensorFlow: two of its settings are
read by TensorFlow at import and ignored afterwards.
"""

from __future__ import annotations

import importlib.util
import os
import random
import warnings

BOOK_VARIABLE = "INITLAB_BOOK"
_LARGEST_SEED = 2**32 - 1
_TENSORFLOW_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # no start-up chatter on stderr, which nbval compares
    "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN reorders sums: outputs would vary by CPU
}


def building_book() -> bool:
    """Tell whether the static book is being built (the build sets ``INITLAB_BOOK``)."""
    return os.environ.get(BOOK_VARIABLE, "") not in ("", "0")


def setup(seed: int = 0) -> None:
    """Make a notebook repeatable and readable.

    Seeds Python, numpy's legacy generator and Keras, turns on TensorFlow's
    deterministic kernels, silences its start-up messages and sets the course's plot
    style. Settings that the user made in the environment stay as they are.

    Args:
        seed: A whole number from 0 to 2**32 - 1, used for all generators.

    Raises:
        TypeError: If ``seed`` is not a whole number.
        ValueError: If ``seed`` is outside its range.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be a whole number, got {seed!r}")
    if not 0 <= seed <= _LARGEST_SEED:
        raise ValueError(f"seed must be from 0 to {_LARGEST_SEED}, got {seed}")
    for name, value in _TENSORFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 – chapters reproduce code that uses it
    if importlib.util.find_spec("tensorflow") is not None:
        _seed_tensorflow(seed)

    from initlab import plots

    plots.use_style()


def _seed_tensorflow(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages' deprecations, not ours
        import keras
        import tensorflow as tf
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
