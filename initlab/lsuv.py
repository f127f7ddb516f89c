"""Layer-sequential unit variance: data, not a formula, sets the scale of every layer.

`lsuv` rescales the kernels of a Keras model until the output of each layer has variance
1 on the user's own data, and reports what it did; `output_variances` measures the same
quantity and changes nothing. How the algorithm goes through a model is in `_lsuv_pass`.
"""

from __future__ import annotations

import difflib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from initlab._lsuv_pass import (
    CONSTANT,
    NOT_CONVERGED,
    Call,
    LayerVariance,
    Pass,
    measure,
)
from initlab.keras_layers import Hook, kernels, listening
from initlab.race_setup import check_whole_number

__all__ = ["LayerVariance", "LsuvReport", "lsuv", "output_variances"]


@dataclass(frozen=True)
class LsuvReport:
    """The layers with weights, in the order in which the model calls them.

    Attributes:
        layers: one entry per layer; those that are never called come last.
        tolerance: what was asked for.
    """

    layers: tuple[LayerVariance, ...]
    tolerance: float

    @property
    def layer_calls(self) -> int:
        """How often `lsuv` called layers with weights: its cost."""
        return sum(layer.calls for layer in self.layers)

    def __getitem__(self, name: str) -> LayerVariance:
        """Return the entry of the layer of that name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"no layer {name!r}, only {[each.name for each in self.layers]}")

    def __str__(self) -> str:
        """Return a table, one line per layer."""
        head = ("layer", "kind", "before", "start", "end", "iterations", "status")
        rows = [head]
        for each in self.layers:
            numbers = (
                "" if math.isnan(variance) else f"{variance:.4g}"
                for variance in (each.before, each.start, each.end)
            )
            used = f", called {each.uses} times" if each.uses > 1 else ""
            iterations = str(each.iterations or "")
            rows.append(
                (each.name, each.kind, *numbers, iterations, each.status + used)
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        align = "<<>>>><"
        return "\n".join(
            "  ".join(
                f"{cell:{side}{width}}"
                for cell, side, width in zip(row, align, widths, strict=True)
            ).rstrip()
            for row in rows
        )


def lsuv(
    model: Any,
    x: Any,
    *,
    tolerance: float = 0.05,
    max_iterations: int = 10,
    orthonormal: bool = True,
    skip: Sequence[str] = (),
    measure_before: bool = False,
    seed: int = 0,
) -> LsuvReport:
    r"""Give every layer's output variance 1 on the data `x`; the model is changed.

    Layer after layer, from the input to the output, the last one included: draw an
    orthonormal kernel W, then repeat $W \leftarrow W / \sqrt{\mathrm{Var}(B)}$ while
    $|\mathrm{Var}(B) - 1|$ is above the tolerance. B is the layer's output before its
    activation, for a batch that has passed the finished layers below. The
    variance is over all elements of B (samples, positions and units together) around
    their one mean, which itself is not corrected. The model is called once, in
    inference mode, and a layer's output is handed on when it is finished. So the cost
    is one call of each layer, and one more for each iteration.

    - Dense, EinsumDense and all convolutions: a matrix per group, and per channel of a
      depthwise kernel, is orthonormal; biases become 0. A SeparableConv has two such
      kernels, of which the pointwise one is rescaled.
    - SimpleRNN, GRU and LSTM: B is x W + b, what the input alone contributes. W is
      orthonormal per gate; the recurrent kernel stays as it is, and so does the bias,
      because the 1 of an LSTM's forget gate is there on purpose.
    - An Embedding is a lookup table, no map of its input: it stays as it is, and so do
      frozen layers and those of a kind of the user's own. The report names them.
      Normalisations stay as they are, too; a fresh BatchNormalization changes nothing
      in inference mode.
    - A layer that is called twice is finished at its first call and only applied at
      the second, where its variance may be another one.
    - Optimizer, metrics and the state of recurrent layers stay as they are. If an error
      occurs, so do all weights.

    Source: Mishkin and Matas, "All you need is a good init", 2016,
    https://arxiv.org/abs/1511.06422, Algorithm 1.

    Args:
        model: a built `keras.Model`: Sequential, functional or subclassed.
        x: inputs as the model takes them: an array or tensor with one row per sample,
            or a list or dict of them. All of it is one batch. Some hundred samples that
            are representative suffice; at least 2 per unit are needed.
        tolerance: largest allowed $|\mathrm{Var}(B) - 1|$, between 0 and 1.
        max_iterations: how often a kernel may be rescaled, at least 1.
        orthonormal: whether to start from orthonormal kernels and zero biases, as in
            the paper; if not, those that the model has are kept and only rescaled.
        skip: names of layers to leave as they are, as the report has them; the name of
            a model or block stands for all layers in it.
        measure_before: whether to measure the variances of the given model as well, by
            one more call of the model.
        seed: of the orthonormal kernels; the same seed gives the same weights.

    Returns:
        What was done to each layer. A layer whose variance is not 1 in the end is also
        warned about.

    Raises:
        TypeError: if `model` is not a Keras model.
        ValueError: if the model is not built or has no layer to rescale; if `x` is
            empty, does not fit the model or contains NaN or infinity; if a unit of a
            layer gets fewer than 2 samples; if a layer's output is not finite; or if
            another argument is out of range.
    """
    _check_model(model)
    x = _checked_inputs(model, x)
    if not isinstance(tolerance, Real) or not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be between 0 and 1, got {tolerance!r}")
    check_whole_number("max_iterations", max_iterations)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a whole number from 0 on, got {seed!r}")
    names = _names(model)
    skip = _checked_skip(skip, names)
    before = output_variances(model, x) if measure_before else {}
    rng = np.random.default_rng(seed)
    run = Pass(names, skip, tolerance, max_iterations, orthonormal, rng)
    _call(model, x, run.hook)
    rows = run.finished_rows()
    for variable, value in run.changed.values():
        variable.assign(value)
    if measure_before:
        rows = tuple(
            replace(
                row,
                before=before.get(row.name, math.nan),
                calls=row.calls + row.uses,
            )
            for row in rows
        )
    _warn(rows)
    return LsuvReport(rows, float(tolerance))


def output_variances(model: Any, x: Any) -> dict[str, float]:
    """Return the variance of every layer's output before its activation.

    It is the quantity that `lsuv` makes 1, over all elements of the output at the
    layer's first call in inference mode, for layers of a kind that `lsuv` knows.

    Args:
        model: a built `keras.Model`; it is not changed.
        x: inputs as the model takes them, all in one batch.

    Returns:
        The variances by name of the layer, in the order in which the model calls them;
        infinite if an output overflows.

    Raises:
        TypeError: if `model` is not a Keras model.
        ValueError: if the model is not built, or if `x` is empty, does not fit the
            model or contains NaN or infinity.
    """
    _check_model(model)
    x, names, variances = _checked_inputs(model, x), _names(model), {}

    def hook(layer: Any, call: Call, inputs: tuple[Any, ...]) -> Any:
        name = names.get(layer, layer.name)
        if name in variances or not kernels(layer):
            return call(*inputs)
        _, variances[name], output = measure(layer, call, inputs)
        return output

    _call(model, x, hook)
    return variances


def _call(model: Any, x: Any, hook: Hook) -> None:
    """Call a model in inference mode; what is assigned meanwhile is gone afterwards."""
    import keras

    with keras.StatelessScope(), listening(hook):
        model(x, training=False)


def _warn(rows: Sequence[LayerVariance]) -> None:
    ill = [
        f"{row.name!r} ({row.status}, variance {row.end:.3g})"
        for row in rows
        if row.status in (CONSTANT, NOT_CONVERGED)
    ]
    if ill:
        warnings.warn(
            f"lsuv could not give variance 1 to {', '.join(ill)}", stacklevel=3
        )


def _check_model(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}")
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built: give it a keras.Input, or call it "
            "once on some data, model(x)"
        )


def _checked_inputs(model: Any, x: Any) -> Any:
    """Return x with numpy arrays in it, if the model can take them."""
    import keras

    x = keras.tree.map_structure(_checked_array, x)
    arrays = keras.tree.flatten(x)
    lengths = {len(array) for array in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            "x must have at least one sample, and as many in each input, got "
            f"{', '.join(str(len(array)) for array in arrays) or 'no array'}"
        )
    # A subclassed model has no `inputs`; those of a dict are in no order of ours.
    expected = getattr(model, "inputs", None) if not isinstance(x, dict) else None
    if expected:
        shapes = [tuple(tensor.shape[1:]) for tensor in expected]
        got = [array.shape[1:] for array in arrays]
        fits = len(shapes) == len(got) and all(map(_fits, got, shapes))
        if not fits:
            raise ValueError(
                f"x must have samples of shape {_joined(shapes)}, as the model's "
                f"inputs, got {_joined(got)}"
            )
    return x


def _checked_array(each: Any) -> np.ndarray:
    array = np.asarray(each)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise ValueError(
            "x must be an array of numbers with one row per sample, or a list or dict "
            f"of such arrays, got {type(each).__name__} in it"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("x must be finite, got NaN or infinity in it")
    return array


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        want in (None, have) for have, want in zip(shape, expected, strict=True)
    )


def _joined(shapes: Sequence[tuple[int | None, ...]]) -> str:
    return " and ".join(map(str, shapes))


def _names(model: Any) -> dict[Any, str]:
    """Return the path of every layer in the model, by layer."""
    return {
        layer: (layer.path or layer.name).removeprefix(f"{model.path}/")
        for layer in model._flatten_layers(include_self=False)
    }


def _checked_skip(skip: Sequence[str], names: dict[Any, str]) -> Sequence[str]:
    skip = (skip,) if isinstance(skip, str) else tuple(skip)
    for each in skip:
        if each not in names.values():
            close = difflib.get_close_matches(str(each), names.values())
            raise ValueError(
                f"skip must name layers of the model, got {each!r}"
                + (f": did you mean {' or '.join(map(repr, close))}?" if close else "")
            )
    return skip
