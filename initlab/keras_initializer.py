"""The Keras initializer of a scheme, for what Keras's own initializers do not fill.

`Scheme.keras` makes it when it is needed. To load a model that was saved with one, in a
process that has not made any, `import initlab.keras_initializer` first: Keras imports
no module on behalf of a file. Importing this module imports Keras, so nothing in
`initlab` does before it has to.
"""

from __future__ import annotations

import operator
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from initlab import schemes
from initlab._fans import Layout

__all__ = ["SchemeInitializer"]


def _define() -> type:
    """Derive the class from Keras's, and register it as `initlab>SchemeInitializer`."""
    import keras

    @keras.saving.register_keras_serializable(package="initlab")
    class SchemeInitializer(keras.initializers.Initializer):
        """Fills kernels as `Scheme.sample` does, and is saved with the model.

        With a seed, its weights are those of `sample` with the generator
        `numpy.random.default_rng(seed)`: the same at every call, as in Keras, hence
        also for two layers of one shape that share it. Without a seed every call draws
        anew, so that layers that share it do not become twins, as they would with an
        initializer of Keras's; `keras.utils.set_random_seed` makes the draws
        repeatable.

        Args:
            scheme: a scheme of `schemes`, or the name of one.
            kind: what kind of kernel it fills, see `schemes.fans`.
            groups: the layer's groups, for the kind "conv".
            strides: the layer's strides, for convolutions of any kind.
            gates: how many matrices a recurrent kernel is.
            seed: a whole number from 0 on, or None.

        Raises:
            ValueError: if the scheme is unknown or was not made by a function of
                `schemes`, if it needs fans and the kind has none, if an option belongs
                to another kind, or if the seed is below 0.
            TypeError: if the seed is not an integer.
        """

        # As if it stood at the top of the module, where pickle looks for it.
        __qualname__ = "SchemeInitializer"

        def __init__(
            self,
            scheme: str | schemes.Scheme,
            kind: str = "dense",
            *,
            groups: int = 1,
            strides: int | Sequence[int] = 1,
            gates: int | None = None,
            seed: int | None = None,
        ) -> None:
            self.scheme = schemes.get(scheme)
            self.layout = Layout(kind, groups, strides, gates)
            self.layout.check_rule(self.scheme.fan_rule)
            if schemes.from_config(self.scheme.get_config()) != self.scheme:
                raise ValueError(
                    "scheme must be one that the functions of schemes return, because "
                    f"it is saved by its name and arguments, got {self.scheme!r}"
                )
            self.seed = seed if seed is None else _seed(seed)

        def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
            """Return the weights of one kernel.

            Args:
                shape: kernel shape, as Keras has it.
                dtype: a floating-point type; by default Keras's `floatx`.

            Raises:
                ValueError: if the scheme cannot fill that kernel, or if `dtype` is not
                    a floating-point type.
            """
            dtype = keras.backend.standardize_dtype(dtype)
            if not keras.backend.is_float_dtype(dtype):
                raise ValueError(f"dtype must be a floating-point type, got {dtype!r}")
            seed = random.getrandbits(64) if self.seed is None else self.seed
            weights = self.scheme.sample(
                shape, np.random.default_rng(seed), **self.layout.get_config()
            )
            return keras.ops.convert_to_tensor(weights, dtype=dtype)

        def get_config(self) -> dict[str, Any]:
            """Return what `from_config` makes this initializer of again."""
            return {
                "scheme": self.scheme.get_config(),
                **self.layout.get_config(),
                "seed": self.seed,
            }

        @classmethod
        def from_config(cls, config: dict[str, Any]) -> SchemeInitializer:
            """Return the initializer that `get_config` described."""
            return cls(**{**config, "scheme": schemes.from_config(config["scheme"])})

    return SchemeInitializer


def _seed(seed: Any) -> int:
    try:
        whole = operator.index(seed)
    except TypeError:
        raise TypeError(f"seed must be an integer or None, got {seed!r}") from None
    if whole < 0:
        raise ValueError(f"seed must be at least 0, got {whole}")
    return whole


SchemeInitializer = _define()
