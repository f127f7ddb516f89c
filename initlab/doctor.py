"""A model's check-up before training: what ails it at its start, why, and the cure.

`diagnose` runs a Keras model once forward and backward on some samples and returns a
`Diagnosis`; printed, it reads like a doctor's letter. How it measures and judges is in
the package `_doctor`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from initlab import race_setup
from initlab._doctor import letter, verdicts
from initlab._doctor.finding import Finding
from initlab._doctor.passes import Passes
from initlab._doctor.start_loss import StartLoss, Target
from initlab._doctor.vitals import LayerSigns, Vitals, measure

__all__ = ["Diagnosis", "Finding", "LayerSigns", "StartLoss", "diagnose"]


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found; `print` it to read the letter.

    Attributes:
        model: name of the model.
        vitals: everything that was measured: `vitals.layers` has the signs of every
            layer (`LayerSigns`), `vitals.start` the loss before the first step.
        findings: what is wrong or worth knowing, the root of most trouble first.
    """

    model: str
    vitals: Vitals
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is ill; notes do not count."""
        return all(finding.severity != "ill" for finding in self.findings)

    @property
    def illnesses(self) -> tuple[str, ...]:
        """The names of what is ill."""
        return tuple(f.illness for f in self.findings if f.severity == "ill")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain dictionaries, lists, strings and numbers.

        Numbers that JSON does not have are strings: "nan", "inf", "-inf".
        """
        return _plain(
            {
                "model": self.model,
                "healthy": self.healthy,
                "findings": [dataclasses.asdict(each) for each in self.findings],
                "vitals": dataclasses.asdict(self.vitals),
            }
        )

    def __str__(self) -> str:
        """Return the letter, at most 80 columns wide."""
        return letter.write(self.model, self.vitals, self.findings)


def diagnose(
    model: Any,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    optimizer: Any = None,
    batch_size: int = 128,
) -> Diagnosis:
    r"""Examine a model before it is trained, and name what ails it.

    One forward and one backward pass over some of the samples; then a step of the
    optimizer, on copies. Nothing of the model is changed: not a weight, not a moving
    average, not the state of a random generator, of the optimizer or of a metric.

    The model runs as in training: batch normalization uses the statistics of the
    samples, because at the start its moving averages (0 and 1) would normalize nothing.
    But dropout and noise are off: they are to come, and would only blur what is
    measured (those inside a recurrent layer stay on). Penalties on weights are left out
    of the loss.

    The signal has grown by $e^{s (n - 1)}$ over n layers, where s is the slope of the
    logarithm of its second moment over depth; the same holds for the gradient. A layer
    of fan-in n and activation f asks for weights of std
    $1 / \sqrt{n\, \mathbb{E} f(z)^2}$, z ~ N(0, 1). At the start a model should lose
    what its best constant prediction loses: $\ln C$ for C balanced classes.

    Sources: Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", 2010, https://proceedings.mlr.press/v9/glorot10a.html;
    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015,
    https://arxiv.org/abs/1502.01852; Schoenholz, Gilmer, Ganguli and Sohl-Dickstein,
    "Deep information propagation", 2017, https://arxiv.org/abs/1611.01232; the loss at
    the start and the size of the first step are folklore, written down by Karpathy, "A
    recipe for training neural networks", 2019,
    http://karpathy.github.io/2019/04/25/recipe/.

    Args:
        model: a built Keras model with one output, compiled or not.
        x: samples, an array (samples, …), or a list or dictionary of arrays for a model
            with several inputs.
        y: labels, (samples, …).
        loss: a Keras loss, its name, or a function of labels and outputs. By default
            the loss that the model was compiled with; if there is none, the one that
            usually goes with such outputs and labels.
        optimizer: a Keras optimizer or its name, of which the first step is measured.
            By default the one that the model was compiled with, else Adam at 0.001.
        batch_size: how many samples are measured, evenly spread over all; at least 2.

    Returns:
        What was measured and found.

    Raises:
        ValueError: if the model is not built, has several outputs or no layer that the
            doctor knows; if samples or labels are not finite, do not fit each other,
            the model or the loss; if an argument is out of its range.
        TypeError: if `model` is not a Keras model.
    """
    race_setup.check_backend()
    _check_model(model)
    race_setup.check_whole_number("batch_size", batch_size)
    if batch_size < 2:
        raise ValueError(f"batch_size must be at least 2, got {batch_size}")
    inputs, labels = _checked(x, y)
    _check_inputs(model, inputs)
    chosen = _spread(len(labels), batch_size)
    target = Target(labels[chosen], labels, _loss(model, loss))
    passes = Passes(model, _map(lambda a: a[chosen], inputs), target, len(chosen))
    vitals = measure(passes, _optimizer(model, optimizer))
    return Diagnosis(model.name, vitals, verdicts.examine(vitals))


def _check_model(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model, got {type(model).__name__}")
    if not model.built:
        raise ValueError(
            f"model {model.name!r} must be built: give it an Input, call it once, or "
            "call model.build(input_shape)"
        )


def _checked(x: Any, y: Any) -> tuple[Any, np.ndarray]:
    """Return samples and labels as arrays of equal length, finite, in Keras's dtype."""
    labels = _numbers("y", y)
    inputs = _map(lambda each: _numbers("x", each), x)
    for array in _arrays(inputs):
        if len(array) != len(labels):
            raise ValueError(
                f"x and y must have as many samples, got {len(array)} and {len(labels)}"
            )
    if len(labels) < 2:
        raise ValueError(f"x must have at least 2 samples, got {len(labels)}")
    return inputs, labels


def _check_inputs(model: Any, inputs: Any) -> None:
    """Refuse samples of another shape than a functional model was made for."""
    wanted = getattr(model, "inputs", None) or []
    if isinstance(inputs, dict):
        pairs = [(each, inputs[each.name]) for each in wanted if each.name in inputs]
    else:
        pairs = list(zip(wanted, _arrays(inputs), strict=False))
    for tensor, array in pairs:
        expected, got = tensor.shape[1:], array.shape[1:]
        fits = len(expected) == len(got) and all(
            want in (None, have) for want, have in zip(expected, got, strict=True)
        )
        if not fits:
            raise ValueError(
                f"x does not fit the model: it takes samples of shape "
                f"{tuple(expected)}, x has samples of shape {got}"
            )


def _numbers(argument: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{argument} must be an array: {error}") from None
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{argument} must be an array of numbers, one row per sample, "
            f"got dtype {array.dtype} and shape {array.shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{argument} must be finite, got NaN or infinity")
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _map(function: Any, x: Any) -> Any:
    if isinstance(x, Mapping):
        return {name: function(each) for name, each in x.items()}
    if isinstance(x, (tuple, list)) and any(hasattr(each, "shape") for each in x):
        return [function(each) for each in x]
    return function(x)


def _arrays(x: Any) -> list[np.ndarray]:
    if isinstance(x, dict):
        return list(x.values())
    return x if isinstance(x, list) else [x]


def _spread(samples: int, wanted: int) -> np.ndarray:
    """Return the places of some samples, spread evenly: files may be sorted."""
    return np.unique(np.linspace(0, samples - 1, min(samples, wanted)).astype(int))


def _loss(model: Any, loss: Any) -> Any:
    if loss is None and model.compiled:
        loss = model.loss
    if isinstance(loss, (list, tuple, dict)):
        raise ValueError(
            "loss must be one loss, for a model with one output, got "
            f"{type(loss).__name__}: diagnose a model of one of the outputs"
        )
    return loss


def _optimizer(model: Any, optimizer: Any) -> Any:
    import keras

    if optimizer is None:
        compiled = model.optimizer if model.compiled else None
        return compiled or keras.optimizers.Adam(0.001)
    try:
        return keras.optimizers.get(optimizer)
    except (TypeError, ValueError):
        raise ValueError(
            f"optimizer must be the name of a Keras optimizer or one, got {optimizer!r}"
        ) from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
