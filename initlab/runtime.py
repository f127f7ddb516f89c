"""What every notebook does first: fix the seeds, quiet TensorFlow, set the plot style.

Call :func:`setup` once, before anything imports TensorFlow: two of its settings are
read by TensorFlow at import and ignored afterwards.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

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
    style. Settings that the user made in the environment stay as they are. TensorFlow
    takes seconds to load, so it is not loaded here: it is seeded when something first
    imports it, with the same numbers as if it had been loaded now.

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
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _Waiting)]
    if not {"tensorflow", "keras"}.isdisjoint(sys.modules):
        _seed_tensorflow(seed)
    elif importlib.util.find_spec("tensorflow") is not None:
        sys.meta_path.insert(0, _Waiting(seed))

    from initlab import plots

    plots.use_style()


class _Waiting(MetaPathFinder):
    """Seeds TensorFlow and Keras right after the first of them has been imported.

    Python's and numpy's generators are left as they are at that moment.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.asking = False

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> ModuleSpec | None:
        if name not in ("tensorflow", "keras") or self.asking:
            return None
        self.asking = True  # whoever only asks for the spec does not import it
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.asking = False
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self._then_seed(spec.loader.exec_module)
        return spec

    def _then_seed(self, run: Callable[[ModuleType], None]) -> Callable[..., None]:
        def run_and_seed(module: ModuleType) -> None:
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            import numpy as np

            # Loading it draws numbers too, some of them for names of its own.
            states = random.getstate(), np.random.get_state()  # noqa: NPY002
            with warnings.catch_warnings(), no_garbage_collection():
                warnings.simplefilter("ignore")
                run(module)
            _seed_tensorflow(self.seed)
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002 – as it was, not a new one

        return run_and_seed


@contextlib.contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect no garbage for a while: an import makes little, and TensorFlow's is big.

    Python would look through all of its objects again and again, which takes a fifth of
    the import's time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _seed_tensorflow(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages' deprecations, not ours
        import keras
        import tensorflow as tf
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
