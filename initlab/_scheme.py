"""What an initialization scheme is.

`Scheme` says which scale and which distribution. The scale needs the fans of a kernel,
which `_fans` counts; `_samplers` draws the weights; `schemes` lists the schemes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from initlab._fans import FAN_RULES, Layout, Shape, checked_shape
from initlab._samplers import LIMITS, SAMPLERS, check_fillable

Arguments = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Source:
    """The publication that a scheme comes from."""

    title: str
    authors: str
    year: int
    link: str


@dataclass(frozen=True)
class Scheme:
    r"""One initialization scheme: weights of std `gain / sqrt(n)` around `value`.

    How large n is depends on how the kernel connects inputs and outputs. Every method
    therefore takes the kernel's `kind` and its `groups`, `strides` or `gates`, which
    mean what they mean for `fans`. The default, "dense", is also right for convolutions
    without groups and strides.

    Attributes:
        name: Keras's name, "he_normal".
        title: the name for headings and legends, "He normal".
        formula: the scale as text, "std = sqrt(2 / fan_in)"; the weight itself where
            that is not random.
        latex: the same formula as LaTeX, without dollar signs.
        distribution: "normal", "truncated_normal", "uniform", "orthogonal", "identity",
            "delta_orthogonal", "sparse" or "constant".
        source: the publication that it comes from.
        keras_config: the Keras initializer that is equal where Keras counts n right:
            class name and arguments; None if Keras has no such distribution.
        fan_rule: what n is: "fan_in", "fan_out", "fan_avg", "longest_side" (of the
            kernel seen as a matrix), "diagonal" (that side squared, over itself less 1)
            or "none", which is n = 1.
        gain: the std at n = 1.
        value: what is added to every draw: the weight of a constant, 0 for all others.
        nonzero: how many incoming weights of a unit are not 0, if that is limited.
        arguments: what the function of this `name` in `schemes` was called with.
    """

    name: str
    title: str
    formula: str
    latex: str
    distribution: str
    source: Source
    keras_config: tuple[str, Arguments] | None
    fan_rule: str = "none"
    gain: float = 0.0
    value: float = 0.0
    nonzero: int | None = None
    arguments: Arguments = ()

    def std(self, shape: Sequence[int], kind: str = "dense", **options: Any) -> float:
        r"""Return the standard deviation of a weight, $\mathrm{gain} / \sqrt{n}$.

        It is taken over all entries of the kernel, also where most of them are 0 or
        depend on each other: the root of their mean square less their squared mean, in
        expectation. It is 0 for every constant.

        Args:
            shape: kernel shape, as Keras has it.
            kind: what kind of kernel it is, see `fans`.
            **options: its `groups`, `strides` or `gates`, see `fans`.

        Raises:
            ValueError: if the scheme cannot fill that kernel.
        """
        return self.std_of(*self._checked(shape, kind, options))

    def limit(self, shape: Sequence[int], kind: str = "dense", **options: Any) -> float:
        r"""Return the largest absolute weight possible; infinite for a normal.

        Of standard deviation $\sigma$ a uniform has $\sqrt{3}\,\sigma$, a truncated
        normal $2\sigma / 0.8796$. An orthogonal matrix has its gain, and so have a
        delta-orthogonal kernel and an identity.

        Args:
            shape: kernel shape, as Keras has it.
            kind: what kind of kernel it is, see `fans`.
            **options: its `groups`, `strides` or `gates`, see `fans`.

        Raises:
            ValueError: if the scheme cannot fill that kernel.
        """
        std = self.std(shape, kind, **options)
        return abs(self.value) + LIMITS[self.distribution](self, std)

    def sample(
        self,
        shape: Sequence[int],
        rng: np.random.Generator,
        kind: str = "dense",
        **options: Any,
    ) -> np.ndarray:
        """Draw the weights of one kernel.

        Args:
            shape: kernel shape, as Keras has it.
            rng: numpy's random generator; every draw moves it on.
            kind: what kind of kernel it is, see `fans`.
            **options: its `groups`, `strides` or `gates`, see `fans`.

        Returns:
            float64 array of that shape.

        Raises:
            ValueError: if the scheme cannot fill that kernel.
            TypeError: if `rng` is not a `numpy.random.Generator`.
        """
        if not isinstance(rng, np.random.Generator):
            raise TypeError(
                "rng must be a numpy Generator such as numpy.random.default_rng(0), "
                f"got {rng!r}"
            )
        layout, shape = self._checked(shape, kind, options)
        return self.value + SAMPLERS[self.distribution](self, layout, shape, rng)

    def keras(
        self, seed: int | None = None, kind: str = "dense", **options: Any
    ) -> Any:
        """Return the equal Keras initializer, a fresh one at every call.

        It is of Keras's own class wherever that has the same distribution. Otherwise,
        because Keras has no such scheme or gets the fans of this kind of kernel wrong,
        it is a `SchemeInitializer` (see `keras_initializer`), which draws what `sample`
        draws. Both are saved with a model; to load one that has a `SchemeInitializer`
        in another process, `import initlab.keras_initializer` there first.

        Layers of one shape that share an initializer of Keras's, or an integer seed,
        get identical weights. Call this method once for each layer: without a seed
        every call gives weights of its own.

        Args:
            seed: seed of the initializer; what is not random needs none and ignores it.
            kind: what kind of kernel it is for, see `fans`.
            **options: the layer's `groups`, `strides` or `gates`, see `fans`.

        Raises:
            ValueError: if the scheme needs fans and the kind has none.
        """
        layout = Layout(kind, **options)
        if self.keras_config is None or not layout.counted_by_keras(self.fan_rule):
            from initlab.keras_initializer import SchemeInitializer

            return SchemeInitializer(self, kind, **options, seed=seed)

        import keras

        class_name, arguments = self.keras_config
        random = self.distribution not in ("constant", "identity")
        seeded = {"seed": seed} if random else {}
        return getattr(keras.initializers, class_name)(**dict(arguments), **seeded)

    def get_config(self) -> dict[str, Any]:
        """Return what `schemes.from_config` makes this scheme of again, as a dict."""
        return {"name": self.name, **dict(self.arguments)}

    def std_of(self, layout: Layout, shape: Shape) -> float:
        """Return the std on a kernel that was checked before, see `std`."""
        return self.gain / math.sqrt(FAN_RULES[self.fan_rule](layout, shape))

    def _checked(
        self, shape: Sequence[int], kind: str, options: dict[str, Any]
    ) -> tuple[Layout, Shape]:
        layout, checked = Layout(kind, **options), checked_shape(shape)
        check_fillable(self, layout, checked)
        return layout, checked


def formulas(distribution: str, text: str, latex: str) -> dict[str, str]:
    """Say which quantity the formula gives: the std, a limit or the weight itself."""
    quantity, symbol = {
        "uniform": ("limit", r"\ell"),
        "constant": ("weight", "w"),
        "identity": ("weight", "w_{ij}"),
    }.get(distribution, ("std", r"\sigma"))
    return {
        "distribution": distribution,
        "formula": f"{quantity} = {text}",
        "latex": f"{symbol} = {latex}",
    }


def finite(argument: str, value: float) -> float:
    """Return the argument as a float, or say that it is no finite number."""
    if not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{argument} must be a finite number, got {value!r}")
    return float(value)


def positive(argument: str, value: float) -> float:
    """Return the argument as a float, or say that it is no finite number above 0."""
    if not isinstance(value, Real) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{argument} must be a finite number above 0, got {value!r}")
    return float(value)
