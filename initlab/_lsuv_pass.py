"""The algorithm behind `lsuv`: one call of a model that finishes layer after layer.

`Pass.hook` is called in the place of every layer. It decides whether the layer is one
to rescale, does so until its output has variance 1, and hands that output on.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from initlab._fans import Layout, join
from initlab.keras_layers import Kernel, before_activation, core, kernels

Call = Callable[..., Any]

DONE, NOT_CONVERGED = "unit variance", "not converged"
CONSTANT = "constant output"
FROZEN, SKIPPED, LOOKUP_TABLE = "frozen", "skipped", "lookup table"
SHARED_KERNEL, UNKNOWN, NEVER_CALLED = "shared kernel", "unknown kind", "never called"


@dataclass(frozen=True)
class LayerVariance:
    """What `lsuv` did to one layer, and the variance of its output.

    Attributes:
        name: the layer's path in the model, "block/dense".
        kind: its class, "Dense".
        status: "unit variance" if it is within the tolerance now; "not converged" if
            not, after all iterations; "constant output" if its output is the same for
            all samples, so that no scale could help. All others are as they were:
            "frozen", "skipped", "lookup table", "shared kernel" (one that an earlier
            layer uses), "unknown kind" (weights that `lsuv` does not know) or "never
            called".
        before: variance with the weights that the model came with, infinite if the
            output overflows; nan if not measured.
        start: variance with the orthonormal kernel, all layers below being finished.
        end: variance in the end.
        iterations: how often the kernel was rescaled.
        uses: how often the model calls the layer; only the first call counts.
        calls: how often `lsuv` called it.
    """

    name: str
    kind: str
    status: str = UNKNOWN
    before: float = math.nan
    start: float = math.nan
    end: float = math.nan
    iterations: int = 0
    uses: int = 1
    calls: int = 1


@dataclass
class Pass:
    """One call of the model, in which each layer is finished when it is called.

    It belongs into a `keras.StatelessScope`: what is assigned there is gone with it, so
    that nothing is half-done after an error. `changed` is what to assign in the end.

    Attributes:
        names: the path of every layer of the model, by layer.
        skip: paths of layers, or of blocks of layers, to leave as they are.
        tolerance: largest allowed deviation of a variance from 1.
        max_iterations: how often a kernel may be rescaled.
        orthonormal: whether to start from orthonormal kernels and biases of 0.
        rng: draws the kernels.
        rows: what was done, by layer (the inner one of a `TimeDistributed`).
        changed: new values of variables, by the variable's id.
        used: ids of the kernels that a layer was called with. If one of them changed,
            outputs that have been handed on already would be stale.
        inside: whether a layer with kernels is being called.
    """

    names: dict[Any, str]
    skip: Sequence[str]
    tolerance: float
    max_iterations: int
    orthonormal: bool
    rng: np.random.Generator
    rows: dict[Any, LayerVariance] = field(default_factory=dict)
    changed: dict[int, tuple[Any, np.ndarray]] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    inside: bool = False

    def hook(self, layer: Any, call: Call, inputs: tuple[Any, ...]) -> Any:
        """Stand in the place of `layer(inputs)`, see `keras_layers.listening`."""
        if not layer.built:
            raise ValueError(
                f"layer {layer.name!r} is not built: call the model once on some data, "
                "model(x), before lsuv"
            )
        own = kernels(layer)
        # Cells and activations are called within the layer that they belong to.
        if self.inside or not (own or _has_matrices(core(layer))):
            return call(*inputs)
        self.inside = bool(own)
        try:
            return self._meet(layer, own, call, inputs)
        finally:
            self.inside = False

    def _meet(
        self,
        layer: Any,
        own: Sequence[Kernel],
        call: Call,
        inputs: tuple[Any, ...],
    ) -> Any:
        """Finish a layer at its first call, write down every call of it."""
        inner = core(layer)
        if inner in self.rows:
            row = self.rows[inner]
            self.rows[inner] = replace(row, uses=row.uses + 1, calls=row.calls + 1)
            return call(*inputs)
        row = LayerVariance(self.names.get(layer, layer.name), type(inner).__name__)
        if not own:
            self.rows[inner] = row
            return call(*inputs)
        status = self._why_left({row.name, self.names.get(inner, inner.name)}, own)
        self.used |= {id(kernel.variable) for kernel in own}
        if status:
            _, variance, output = _measure_finite(row.name, layer, call, inputs)
            row = replace(row, status=status, start=variance, end=variance)
        else:
            row, output = self._rescale(row, layer, own, call, inputs)
        self.rows[inner] = row
        return output

    def _why_left(self, names: set[str], own: Sequence[Kernel]) -> str:
        """Return the status of a layer that is to stay as it is, else nothing."""
        if own[0].kind == "embedding":
            return LOOKUP_TABLE
        if any(f"{name}/".startswith(f"{s}/") for name in names for s in self.skip):
            return SKIPPED
        if not all(kernel.variable.trainable for kernel in own):
            return FROZEN
        if any(id(kernel.variable) in self.used for kernel in own):
            return SHARED_KERNEL
        return ""

    def _rescale(
        self,
        row: LayerVariance,
        layer: Any,
        own: Sequence[Kernel],
        call: Call,
        inputs: tuple[Any, ...],
    ) -> tuple[LayerVariance, Any]:
        """Do Algorithm 1 for one layer; return what to report, and its output."""
        own = [kernel for kernel in own if not kernel.from_state]
        if self.orthonormal:
            self._start_anew(core(layer), own)
        scaled = own[-1].variable
        z, start, output = _measure_finite(row.name, layer, call, inputs)
        if _is_constant(row.name, _by_unit(core(layer), own[-1], z)):
            return replace(row, status=CONSTANT, start=start, end=start), output
        end, iterations = start, 0
        while abs(end - 1) > self.tolerance and iterations < self.max_iterations:
            self._assign(scaled, self._value(scaled) / math.sqrt(end))
            _, end, output = _measure_finite(row.name, layer, call, inputs)
            iterations += 1
        return (
            replace(
                row,
                status=DONE if abs(end - 1) <= self.tolerance else NOT_CONVERGED,
                start=start,
                end=end,
                iterations=iterations,
                calls=iterations + 1,
            ),
            output,
        )

    def _start_anew(self, layer: Any, own: Sequence[Kernel]) -> None:
        for kernel in own:
            self._assign(kernel.variable, _orthonormal(kernel, self.rng))
        bias = getattr(layer, "bias", None)  # that of a recurrent layer is its cell's
        if bias is not None:
            self._assign(bias, np.zeros(bias.shape))

    def _assign(self, variable: Any, value: np.ndarray) -> None:
        variable.assign(value)
        self.changed[id(variable)] = variable, value

    def _value(self, variable: Any) -> np.ndarray:
        if id(variable) in self.changed:
            return self.changed[id(variable)][1]
        # Past `variable.value`, which is rounded within a model of mixed precision.
        return np.asarray(variable._value, np.float64)

    def finished_rows(self) -> tuple[LayerVariance, ...]:
        """Return what was done to each layer; the ones never called come last."""
        never = {
            core(layer): LayerVariance(
                name, type(core(layer)).__name__, NEVER_CALLED, uses=0, calls=0
            )
            for layer, name in self.names.items()
            if kernels(layer) and core(layer) not in self.rows
        }
        rows = (*self.rows.values(), *never.values())
        if not {row.status for row in rows} & {DONE, CONSTANT, NOT_CONVERGED}:
            found = ", ".join(f"{row.name} ({row.status})" for row in rows)
            raise ValueError(
                "model must have a layer that lsuv can rescale, "
                f"got {found or 'none with weights'}"
            )
        return rows


def measure(
    layer: Any, call: Call, inputs: tuple[Any, ...]
) -> tuple[np.ndarray, float, Any]:
    """Return the output before the activation, its variance, and the layer's output.

    The variance is computed in double precision, and infinite if the output is not
    finite.
    """
    z, output = before_activation(layer, call, inputs)
    z = np.asarray(z)
    if z.dtype.itemsize < 4:
        z = z.astype(np.float32)
    with np.errstate(all="ignore"):
        variance = float(z.var(dtype=np.float64))
    return z, variance if math.isfinite(variance) else math.inf, output


def _measure_finite(
    name: str, layer: Any, call: Call, inputs: tuple[Any, ...]
) -> tuple[np.ndarray, float, Any]:
    z, variance, output = measure(layer, call, inputs)
    if variance == math.inf:
        raise ValueError(
            f"the output of layer {name!r} is not finite on x: it overflows, or a "
            "weight is NaN or infinity"
        )
    return z, variance, output


def _by_unit(layer: Any, kernel: Kernel, z: np.ndarray) -> np.ndarray:
    """Return a layer's output as (all samples of a unit, units)."""
    axes: tuple[int, ...] = (-1,)
    if kernel.kind == "einsum":
        _, weights, result = re.split(",|->", kernel.equation.replace("...", "."))
        start, length = result.find("."), len(result)
        axes = tuple(
            place if place < start else place - length
            for place, letter in enumerate(result)
            if letter in weights
        )
    elif getattr(layer, "data_format", None) == "channels_first":
        axes = (1 - len(kernel.shape),)
    units = math.prod(z.shape[axis] for axis in axes)
    return np.moveaxis(z, axes, range(-len(axes), 0)).reshape(-1, units)


def _is_constant(name: str, columns: np.ndarray) -> bool:
    """Tell whether no unit's output changes with the sample, up to rounding."""
    if len(columns) < 2:
        raise ValueError(
            f"layer {name!r} gets {len(columns)} sample per unit, and a variance needs "
            "at least 2: give x more samples"
        )
    return bool(np.ptp(columns, axis=0).max() <= 1e-6 * np.abs(columns).max())


def _has_matrices(layer: Any) -> bool:
    return any(len(variable.shape) > 1 for variable in layer._trainable_variables)


def _orthonormal(kernel: Kernel, rng: np.random.Generator) -> np.ndarray:
    """Draw a kernel whose separate matrices are orthonormal, each uniform (Haar)."""
    if kernel.kind != "einsum":
        gates = kernel.gates if kernel.kind == "recurrent" else None
        layout = Layout(kernel.kind, groups=kernel.groups, gates=gates)
        return _isometries(layout, kernel.shape, rng)
    given, weights, result = re.split(",|->", kernel.equation)
    size = dict(zip(weights, kernel.shape, strict=True))
    # Letters of both sides number separate matrices, as a depthwise kernel has them.
    sides = (
        [letter for letter in weights if letter not in result],
        [letter for letter in weights if letter in result and letter in given],
        [letter for letter in weights if letter in result and letter not in given],
    )
    shape = tuple(math.prod(size[letter] for letter in side) for side in sides)
    order = "".join(itertools.chain(*sides))
    drawn = _isometries(Layout("depthwise"), shape, rng)
    drawn = drawn.reshape([size[letter] for letter in order])
    return drawn.transpose([order.index(letter) for letter in weights])


def _isometries(
    layout: Layout, shape: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Do what `schemes.orthogonal` does, in the single precision of a model's weights.

    In double precision it would take longer than all the rest of the algorithm.
    """
    from scipy.linalg import qr

    matrices, rows, columns = layout.matrices(shape)
    drawn = np.empty((matrices, rows, columns), np.float32)
    long, short = max(rows, columns), min(rows, columns)
    for matrix in drawn:
        gaussian = rng.standard_normal((long, short), np.float32)
        q, r = qr(gaussian, mode="economic", overwrite_a=True, check_finite=False)
        q *= np.where(np.diag(r) < 0, np.float32(-1), np.float32(1))
        matrix[:] = q if rows >= columns else q.T
    return join(drawn, shape)
