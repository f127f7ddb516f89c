"""What the doctor writes down at every call of a layer: what came and what left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from initlab import keras_layers


@dataclass(eq=False)
class Call:
    """One call of a layer: what came, what left, and the gradient there.

    `follower` is the activation layer that gets the output, if there is one; between
    them may be normalizations only.
    """

    name: str
    layer: Any
    kernels: tuple[keras_layers.Kernel, ...]
    input_moment: float
    pre_activation: Any
    output: Any
    gradient: Any = None
    follower: Any = None


class Listener:
    """The hook that writes down every call of a layer with kernels or an activation."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.merges = 0
        self._inside: list[str] = []
        self._deaf = False
        self._pending: tuple[Call, Any] | None = None

    def __call__(
        self, layer: Any, call: Callable[..., Any], inputs: tuple[Any, ...]
    ) -> Any:
        import keras

        if self._deaf or not inputs:
            return call(*inputs)
        if _is_noise(layer):
            return inputs[0]
        call = _group_by_group(layer, call)
        kernels = keras_layers.kernels(layer)
        if kernels or _is_activation(layer):
            return self._write_down(layer, kernels, call, inputs)
        self.merges += isinstance(layer, keras.layers.Add)
        self._inside.append(layer.name)
        try:
            output = call(*inputs)
        finally:
            self._inside.pop()
        if "Normalization" in type(layer).__name__ and self._is_pending(inputs[0]):
            self._pending = self._pending[0], output
        return output

    def _is_pending(self, tensor: Any) -> bool:
        return self._pending is not None and tensor is self._pending[1]

    def _write_down(
        self,
        layer: Any,
        kernels: tuple[keras_layers.Kernel, ...],
        call: Callable[..., Any],
        inputs: tuple[Any, ...],
    ) -> Any:
        self._deaf = True  # to the layer in a TimeDistributed, the cell in an RNN
        try:
            if kernels:
                before, output = keras_layers.before_activation(layer, call, inputs)
            else:
                before, output = inputs[0], call(*inputs)
        finally:
            self._deaf = False
        returned, output = output, _first(output)  # not a recurrent layer's states
        name = "/".join([*self._inside[1:], layer.name])
        moment = second_moment(_first(inputs))
        self.calls.append(Call(name, layer, kernels, moment, before, output))
        if kernels:
            self._pending = self.calls[-1], output
        elif self._is_pending(inputs[0]):
            self._pending[0].follower = layer
        return returned


def without_noise(layer: Any, call: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
    """Be the hook that only switches dropout and noise off."""
    if inputs and _is_noise(layer):
        return inputs[0]
    return _group_by_group(layer, call)(*inputs)


def second_moment(values: Any) -> float:
    """Return the mean of the squares of a tensor, right in all of float32's range."""
    import tensorflow as tf

    values = tf.cast(values, tf.float32)
    moment = float(tf.reduce_mean(tf.square(values)))
    if moment < 1e-30 or not np.isfinite(moment):  # float32 has no such squares
        moment = float(tf.reduce_mean(tf.square(tf.cast(values, tf.float64))))
    return moment


def _first(tensors: Any) -> Any:
    while isinstance(tensors, (tuple, list)):
        tensors = tensors[0]
    return tensors


def _group_by_group(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the call of a layer, for a grouped convolution one with a gradient.

    TensorFlow has none for it on a CPU, unless it is compiled.
    """
    from keras import ops

    groups = getattr(layer, "groups", 1)
    if groups == 1 or not hasattr(layer, "convolution_op"):
        return call
    channels = 1 if layer.data_format == "channels_first" else -1
    whole = layer.convolution_op

    def convolution_op(inputs: Any, kernel: Any) -> Any:
        parts = zip(
            ops.split(inputs, groups, axis=channels),
            ops.split(kernel, groups, axis=-1),
            strict=True,
        )
        return ops.concatenate([whole(x, w) for x, w in parts], axis=channels)

    def split_call(*inputs: Any) -> Any:
        layer.__dict__["convolution_op"] = convolution_op  # untracked by Keras
        try:
            return call(*inputs)
        finally:
            del layer.__dict__["convolution_op"]

    return split_call


def _is_noise(layer: Any) -> bool:
    import keras

    kinds = keras.layers
    return isinstance(
        layer,
        (
            kinds.Dropout,
            kinds.AlphaDropout,
            kinds.GaussianDropout,
            kinds.GaussianNoise,
        ),
    )


def _is_activation(layer: Any) -> bool:
    import keras

    kinds = keras.layers
    return isinstance(
        layer,
        (
            kinds.Activation,
            kinds.ReLU,
            kinds.LeakyReLU,
            kinds.ELU,
            kinds.PReLU,
            kinds.Softmax,
        ),
    )
