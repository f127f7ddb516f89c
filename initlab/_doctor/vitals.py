"""The doctor's measurement: one forward and one backward pass, listened to.

`measure` runs the model (`passes`, `listener`) and takes every number of `LayerSigns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from initlab import activations, keras_layers
from initlab._doctor import kernel_signs
from initlab._doctor.listener import Call, second_moment
from initlab._doctor.passes import Passes
from initlab._doctor.start_loss import StartLoss

# Derivatives are taken on about so many numbers of a layer: enough for a percentage.
_SAMPLED = 1 << 16
# Below this a unit's output and slope are 0 in all but name (GELU far left of 0).
_DEAD = 1e-6
# A unit whose slope is below this part of its largest slope hardly learns; it is
# the twentieth that statistics calls "small": |z| > 2.2 for tanh, > 4.4 for sigmoid.
_FLAT = 0.05


@dataclass(frozen=True)
class LayerSigns:
    """What one call of one layer showed; `None` where a sign has no meaning.

    Attributes:
        name: name of the layer, behind those of the layers that it is in.
        kind: name of its class.
        activation: name of its activation, or of the activation layer that follows.
        has_kernel: whether it has weights, or is an activation alone.
        trainable: whether training moves its kernels.
        units: number of outputs, channels for a convolution.
        input: second moment of what it was given; of no use for an Embedding.
        pre_activation: second moment before the activation.
        output: second moment after it.
        gradient: second moment of the loss's gradient before the activation (for
            recurrent layers: of their output), for the mean loss of the samples.
        gradient_sum: that gradient's squares, summed over a sample instead of averaged.
            Unlike the mean it does not depend on the widths.
        weight_std: root mean square of the kernel's weights.
        asked_std: what fan_in and activation ask for, gain / √fan_in.
        std_ratio: the first over the second; of a SeparableConv, which has two kernels
            and shows the second, the product of both ratios.
        bias: root mean square of the biases, if it has any.
        weight_gradient: second moment of the gradient of the kernel.
        update_ratio: norm of the optimizer's first step over the norm of the kernel.
        recurrent_gain: root mean square singular value of a recurrent kernel, the
            largest of its gates.
        dead: fraction of units that are 0, with slope 0, for every sample.
        saturated: fraction of slopes below a twentieth of the steepest, where the
            activation is flat at both ends (tanh, sigmoid …).
        duplicates: units that have the very weights of an earlier unit.
        zero: whether all kernels are 0.
        fresh: whether the kernels look as their initializers leave them.
        finite: whether all weights are finite.
    """

    name: str
    kind: str
    activation: str
    has_kernel: bool
    trainable: bool
    units: int
    input: float
    pre_activation: float
    output: float
    gradient: float | None
    gradient_sum: float | None
    weight_std: float | None = None
    asked_std: float | None = None
    std_ratio: float | None = None
    bias: float | None = None
    weight_gradient: float | None = None
    update_ratio: float | None = None
    recurrent_gain: float | None = None
    dead: float | None = None
    saturated: float | None = None
    duplicates: int = 0
    zero: bool = False
    fresh: bool = False
    finite: bool = True


@dataclass(frozen=True)
class Vitals:
    """Everything that was measured.

    Attributes:
        layers: the signs of every call, in the order of the calls.
        start: loss and outputs before the first step.
        samples: how many samples were measured.
        twins: pairs of layers that have the same random kernel.
        stuck: layers with a kernel of zeros that the first steps leave without
            two different units.
        merges: how many times layers of the kind `Add` were called.
        unknown: layers with weights that the doctor does not know how to read.
        optimizer: name of the optimizer and its first learning rate.
    """

    layers: tuple[LayerSigns, ...]
    start: StartLoss
    samples: int
    twins: tuple[tuple[str, str], ...]
    stuck: tuple[str, ...]
    merges: int
    unknown: tuple[str, ...]
    optimizer: str


def measure(passes: Passes, optimizer: Any) -> Vitals:
    """Take all vital signs.

    Args:
        passes: model, samples and loss.
        optimizer: a Keras optimizer; it is copied, never applied to the model.
    """
    seen = passes.run()
    gradients = {
        id(variable): gradient
        for variable, gradient in zip(
            passes.model.trainable_variables, seen.weight_gradients, strict=True
        )
    }
    ratios, description = passes.first_step(optimizer, seen.weight_gradients)
    signs = tuple(_signs(call, gradients, ratios) for call in seen.calls)
    return Vitals(
        layers=signs,
        start=seen.start,
        samples=passes.samples,
        twins=kernel_signs.twins(seen.calls),
        stuck=_stuck(passes, seen.calls, signs, gradients),
        merges=seen.merges,
        unknown=_unknown(passes.model, seen.calls),
        optimizer=description,
    )


def _signs(
    call: Call, gradients: dict[int, Any], ratios: dict[int, float]
) -> LayerSigns:
    layer = keras_layers.core(call.layer)
    name, function = _activation(layer)
    gradient = call.gradient
    dead, saturated = _slopes(call, function)
    if name == "linear" and call.follower is not None:
        name, _ = _activation(call.follower)
    signs: dict[str, Any] = {}
    if call.kernels:
        signs = kernel_signs.of(call.layer, call.kernels, name)
        moved = [k.variable for k in call.kernels if id(k.variable) in gradients]
        if moved:
            signs["weight_gradient"] = max(
                second_moment(gradients[id(variable)]) for variable in moved
            )
            steps = [ratios[id(v)] for v in moved if id(v) in ratios]
            signs["update_ratio"] = max(steps, default=None)
    return LayerSigns(
        name=call.name,
        kind=type(call.layer).__name__,
        activation=name,
        has_kernel=bool(call.kernels),
        trainable=any(k.variable.trainable for k in call.kernels),
        units=int(call.output.shape[_unit_axis(call)]),
        input=call.input_moment,
        pre_activation=second_moment(call.pre_activation),
        output=second_moment(call.output),
        gradient=None if gradient is None else second_moment(gradient),
        gradient_sum=None if gradient is None else _sample_sum(gradient),
        dead=dead,
        saturated=saturated,
        **signs,
    )


def _sample_sum(gradient: Any) -> float:
    return second_moment(gradient) * float(np.prod(gradient.shape[1:]))


def _activation(layer: Any) -> tuple[str, activations.Activation | None]:
    """Return the name of a layer's activation, and its formula if it has one."""
    import keras

    kind = type(layer)
    if kind is keras.layers.LeakyReLU:
        return "leaky_relu", activations.leaky_relu(layer.negative_slope)
    if kind is keras.layers.ELU:
        return "elu", activations.elu(layer.alpha)
    if kind is keras.layers.ReLU:
        plain = not layer.negative_slope and not layer.threshold
        if plain and layer.max_value in (None, 6):
            name = "relu" if layer.max_value is None else "relu6"
            return name, activations.get(name)
        return "relu", activations.get(lambda z: layer.call(z))
    if kind is keras.layers.PReLU:
        return "prelu", None
    if kind is keras.layers.Softmax:
        return "softmax", None
    function = getattr(layer, "activation", None)
    if function is None or isinstance(layer, keras.layers.RNN):
        return "linear", None
    name = getattr(function, "__name__", type(function).__name__)
    if name in activations.names():
        return name, activations.get(name)
    if name in ("softmax", "log_softmax", "sparsemax", "glu"):  # not elementwise
        return name, None
    return name, activations.get(function)


def _slopes(
    call: Call, function: activations.Activation | None
) -> tuple[float | None, float | None]:
    """Return the fraction of dead units, and of flat slopes."""
    import tensorflow as tf

    if function is None or function.name == "linear":
        return None, None
    try:
        bounded = _is_bounded(function)
        z = _thinned(call.pre_activation)
        slope = np.abs(function.derivative(z))
    except (ValueError, TypeError):  # a callable that knows no numpy
        return None, None
    if bounded:
        steepest = abs(float(function.derivative(np.zeros(1))[0]))
        return None, float(np.mean(slope < _FLAT * steepest))
    axis = _unit_axis(call)
    others = [i for i in range(len(call.output.shape)) if i != axis % z.ndim]
    largest = tf.reduce_max(tf.abs(call.output), axis=others).numpy()
    still = slope.max(axis=tuple(others)) < _DEAD
    return float(np.mean((largest < _DEAD) & still)), None


def _is_bounded(function: activations.Activation) -> bool:
    """Tell whether f is steepest near 0 and flat at both ends, as tanh is."""
    ends, middle = function.derivative(np.array([-30.0, 30.0])), np.linspace(-4, 4, 81)
    slopes = np.abs(function.derivative(middle))
    steepest, beside = slopes[40], min(slopes[35], slopes[45])  # at 0, at ±½
    return bool(
        beside > steepest / 4
        and slopes.max() <= 1.01 * steepest
        and np.abs(ends).max() < _FLAT * steepest
    )


def _thinned(values: Any) -> np.ndarray:
    """Return about `_SAMPLED` numbers of a tensor: whole samples, evenly spread."""
    samples = values.shape[0]
    per_sample = int(np.prod(values.shape[1:]))
    keep = min(samples, max(4, _SAMPLED // max(1, per_sample)))
    return np.asarray(values[:: -(-samples // keep)], np.float32)


def _unit_axis(call: Call) -> int:
    return 1 if getattr(call.layer, "data_format", "") == "channels_first" else -1


def _stuck(
    passes: Passes,
    calls: tuple[Call, ...],
    signs: tuple[LayerSigns, ...],
    gradients: dict[int, Any],
) -> tuple[str, ...]:
    """Return the layers of zeros that the first steps do not bring to life.

    A kernel of zeros is harmless where its own gradient tells its units apart, at once
    or as soon as another layer of zeros has moved: so steps are tried, on copies.
    """
    zero = [
        call
        for call, sign in zip(calls, signs, strict=True)
        if sign.zero and all(id(k.variable) in gradients for k in call.kernels)
    ]
    if not zero:
        return ()
    if all(kernel_signs.tells_units_apart(call, gradients) for call in zero):
        return ()
    after = passes.trial_steps()
    return tuple(
        call.name for call in zero if not kernel_signs.tells_units_apart(call, after)
    )


def _unknown(model: Any, calls: tuple[Call, ...]) -> tuple[str, ...]:
    known = {id(k.variable) for call in calls for k in call.kernels}
    called = {id(keras_layers.core(call.layer)) for call in calls}
    names = []
    for layer in model._flatten_layers():
        own = [v for v in layer._trainable_variables if len(v.shape) > 1]
        if id(layer) not in called and any(id(v) not in known for v in own):
            names.append(layer.name)
    return tuple(names)
