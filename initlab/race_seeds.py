"""What a seed decides in a race: the weights of every layer, the order of the data.

Both are public, so that a run can be repeated by hand: :func:`epoch_order` and
:meth:`InitializerMaker.layer_seed`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

LARGEST_SEED = 2**31 - 1
# Streams of one seed that must not meet.
_WEIGHTS, _ORDER = 0, 1


def epoch_order(samples: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order in which an epoch takes the training samples.

    It is ``numpy.random.default_rng((seed, 1, epoch)).permutation(samples)``: batch
    ``b`` holds the samples ``order[b * batch_size : (b + 1) * batch_size]``.

    Args:
        samples: How many training samples there are.
        seed: The seed of the run.
        epoch: Counted from 0.

    Returns:
        Array of shape ``(samples,)`` and dtype int32.
    """
    generator = np.random.default_rng((seed, _ORDER, epoch))
    return generator.permutation(samples).astype(np.int32)


class InitializerMaker:
    """Makes a fresh Keras initializer for each layer that asks: ``initializer()``.

    Keras gives identical weights to two layers of one shape that share an initializer
    instance, so every call has a seed of its own: the ``k``-th call, counted from 0, of
    a run uses ``layer_seed(k)``.

    Attributes:
        name: The initializer's name in the race.
        seed: The seed of the run.
    """

    def __init__(self, name: str, seed: int, make: Callable[[int], Any]) -> None:
        """Start counting layers; ``make`` turns a seed into an initializer."""
        self.name = name
        self.seed = seed
        self._make = make
        self._calls = 0

    def layer_seed(self, layer: int) -> int:
        """Return the seed of the initializer made by the given call."""
        sequence = np.random.SeedSequence((self.seed, _WEIGHTS, layer))
        return int(sequence.generate_state(1)[0] & LARGEST_SEED)

    def __call__(self, *shape: Any, **options: Any) -> Any:
        """Return a fresh Keras initializer.

        Raises:
            ValueError: If Keras calls this instead of an initializer, because the
                maker itself was given to a layer; or if it is given an option.
        """
        if options and not shape:
            raise ValueError(
                f"the maker of initializers takes no options, got {options}: for "
                "another kind of kernel write scheme.keras(initializer().seed, kind=…)"
            )
        if shape:
            raise ValueError(
                "the layer got the maker of initializers instead of an initializer: "
                "write kernel_initializer=initializer(), with parentheses"
            )
        self._calls += 1
        return self._make(self.layer_seed(self._calls - 1))


def initializer_functions(
    initializers: Mapping[str, Any] | Sequence[Any],
) -> dict[str, Callable[[int], Any]]:
    """Return, by name, the function that makes an initializer from a seed."""
    if isinstance(initializers, str):
        initializers = [initializers]
    if not isinstance(initializers, Mapping):
        named = [(getattr(each, "name", each), each) for each in initializers]
        for name, each in named:
            if not isinstance(name, str):
                raise ValueError(
                    "initializers must be names, or a mapping from names to "
                    f"initializers, got {each!r} without a name"
                )
        initializers = dict(named)
        if len(initializers) < len(named):
            names = [name for name, _ in named]
            raise ValueError(f"initializers must have different names, got {names}")
    if not initializers:
        raise ValueError("initializers must name at least one initializer, got none")
    return {name: _from_seed(name, each) for name, each in initializers.items()}


def _from_seed(name: str, given: Any) -> Callable[[int], Any]:
    import keras

    from initlab import schemes

    if isinstance(given, str) and given in schemes.names():
        given = schemes.get(given)
    if isinstance(given, schemes.Scheme):
        return lambda seed: given.keras(seed=seed)
    if isinstance(given, str):
        try:
            given = keras.initializers.get(given)
        except ValueError:
            raise ValueError(
                f"initializer {name!r}: neither a scheme nor a Keras initializer is "
                f"called {given!r}; the schemes are {', '.join(schemes.names())}"
            ) from None
    if isinstance(given, keras.initializers.Initializer):
        kind, config = type(given), given.get_config()
        if "seed" not in config:
            return lambda seed: kind.from_config(config)
        return lambda seed: kind.from_config({**config, "seed": seed})
    if inspect.isclass(given) and issubclass(given, keras.initializers.Initializer):
        seeded_kind = "seed" in inspect.signature(given).parameters
        return lambda seed: given(seed=seed) if seeded_kind else given()
    if callable(given):
        return given
    raise ValueError(
        f"initializer {name!r} must be a scheme, a name, a Keras initializer or a "
        f"function of a seed, got {given!r}"
    )


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed everything that a builder might draw from; put Python's and numpy's back."""
    import keras

    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 – to put it back
    with _other_threads_draw_elsewhere():
        keras.utils.set_random_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002 – what a builder drew is undone


@contextlib.contextmanager
def _other_threads_draw_elsewhere() -> Iterator[None]:
    """Keep Python's random numbers to this thread.

    Keras takes the seeds of initializers that have none from the module ``random``. So
    does the network thread of a Dask worker for its waiting times, and every number
    that it takes in between would give our layers other weights.
    """
    mine, elsewhere = threading.get_ident(), random.Random()
    functions = {
        name: function
        for name in random.__all__
        if isinstance(
            getattr(function := getattr(random, name), "__self__", None), random.Random
        )
    }

    def of_this_thread(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def draw(*arguments: Any, **options: Any) -> Any:
            own = threading.get_ident() == mine
            return (function if own else getattr(elsewhere, name))(
                *arguments, **options
            )

        return draw

    for name, function in functions.items():
        setattr(random, name, of_this_thread(name, function))
    try:
        yield
    finally:
        for name, function in functions.items():
            setattr(random, name, function)
