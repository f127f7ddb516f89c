"""What `lsuv` and `doctor` need to know of any Keras layer, and how they listen to it.

`kernels` lists the weight tensors of a layer and what kind of map each one is.
`listening` lets a function stand between a model and its layers while the model is
called, whatever kind of model it is; the model itself is never touched for that.
`before_activation` calls a layer up to, but without, its activation.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# Called as hook(layer, call, inputs) in the place of layer(inputs); returns the output.
Hook = Callable[[Any, Callable[..., Any], tuple[Any, ...]], Any]

_CONVOLUTION = re.compile(r"Conv[123]D$")
_TRANSPOSED = re.compile(r"Conv[123]DTranspose$")
_DEPTHWISE = re.compile(r"DepthwiseConv[12]D$")
_SEPARABLE = re.compile(r"SeparableConv[12]D$")
_GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True, eq=False)
class Kernel:
    """One weight tensor of a layer, and the linear map that it stands for.

    Attributes:
        name: the layer's own name for it, "kernel", "depthwise_kernel" …
        variable: the Keras variable.
        kind: "dense", "conv", "conv_transpose", "depthwise", "recurrent", "embedding"
            or "einsum".
        groups: groups of a convolution, whose inputs and outputs do not meet.
        strides: product of a convolution's strides.
        gates: matrices that lie side by side in a recurrent kernel.
        from_state: whether it multiplies the recurrent state, not the input.
        equation: of an `EinsumDense` kernel; else empty.
    """

    name: str
    variable: Any
    kind: str
    groups: int = 1
    strides: int = 1
    gates: int = 1
    from_state: bool = False
    equation: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the variable."""
        return tuple(self.variable.shape)


def kernels(layer: Any) -> tuple[Kernel, ...]:
    """Return the weight tensors of one layer, biases and normalisations left out.

    Recurrent layers own the kernels of their cell, and `TimeDistributed` those of its
    layer; every other layer owns only its own, not those of layers inside it. A layer
    of a kind that is not known here (a subclass of `Layer` with weights of its own)
    has none.

    Args:
        layer: a Keras layer. One that is not built has no kernels yet.
    """
    layer = core(layer)
    name = _kind_name(layer)
    if not layer.built:
        return ()
    if name == "Dense":
        return (Kernel("kernel", _variable(layer, "kernel"), "dense"),)
    if name == "EinsumDense":
        return (
            Kernel(
                "kernel", _variable(layer, "kernel"), "einsum", equation=layer.equation
            ),
        )
    if name in ("Embedding", "ReversibleEmbedding"):
        return (Kernel("embeddings", _variable(layer, "embeddings"), "embedding"),)
    if name in _GATES:
        cell, gates = layer.cell, _GATES[name]
        return (
            Kernel("kernel", cell.kernel, "recurrent", gates=gates),
            Kernel(
                *("recurrent_kernel", cell.recurrent_kernel, "recurrent"),
                gates=gates,
                from_state=True,
            ),
        )
    strides = _product(getattr(layer, "strides", 1))
    if _DEPTHWISE.match(name):
        return (Kernel("kernel", layer.kernel, "depthwise", strides=strides),)
    if _SEPARABLE.match(name):
        return (
            Kernel(
                "depthwise_kernel", layer.depthwise_kernel, "depthwise", strides=strides
            ),
            Kernel("pointwise_kernel", layer.pointwise_kernel, "conv"),
        )
    if _TRANSPOSED.match(name):
        return (Kernel("kernel", layer.kernel, "conv_transpose", strides=strides),)
    if _CONVOLUTION.match(name):
        return (
            Kernel(
                *("kernel", _variable(layer, "kernel"), "conv"),
                groups=layer.groups,
                strides=strides,
            ),
        )
    return ()


def core(layer: Any) -> Any:
    """Return the layer inside a `TimeDistributed` wrapper, else the layer itself."""
    while _kind_name(layer) == "TimeDistributed":
        layer = layer.layer
    return layer


@contextlib.contextmanager
def listening(hook: Hook) -> Iterator[None]:
    """Call `hook` in the place of every layer that is called in this block.

    It sees layers inside layers too, containers and models included, in the order in
    which they are called, and must return what the layer would: usually
    `call(*inputs)`. Keyword arguments of the caller are kept by `call`. Symbolic calls
    (those that build a functional model) are let through unseen.

    Keras has no hooks of its own: its `Layer.__call__` is exchanged for this time, for
    all layers of the process, so nothing else may run Keras in another thread. What is
    compiled as a `tf.function` calls no layer any more, so it runs eagerly meanwhile.
    """
    import keras

    original = keras.layers.Layer.__call__

    def called(layer: Any, *inputs: Any, **options: Any) -> Any:
        if not inputs:
            first = next(iter(inspect.signature(layer.call).parameters))
            inputs = (options.pop(first),) if first in options else ()

        def call(*given: Any) -> Any:
            return original(layer, *given, **options)

        flat = keras.tree.flatten(inputs)
        if any(isinstance(each, keras.KerasTensor) for each in flat):
            return call(*inputs)
        return hook(layer, call, inputs)

    keras.layers.Layer.__call__ = called
    try:
        with _tensorflow_functions_run_eagerly():
            yield
    finally:
        keras.layers.Layer.__call__ = original


@contextlib.contextmanager
def _tensorflow_functions_run_eagerly() -> Iterator[None]:
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@contextlib.contextmanager
def without_activation(layer: Any) -> Iterator[Any]:
    """Take the activation off a layer for this block; yield the activation.

    Only layers whose output is the activation of an affine map have one to take off:
    Dense, EinsumDense and all convolutions. For others, `None` is yielded.
    """
    import keras

    layer = core(layer)
    kinds = {kernel.kind for kernel in kernels(layer)}
    if not kinds or kinds & {"recurrent", "embedding"}:
        yield None
        return
    activation = layer.activation
    # Past Keras's tracking of attributes, which would note the change on a layer.
    layer.__dict__["activation"] = keras.activations.linear
    try:
        yield activation
    finally:
        layer.__dict__["activation"] = activation


def before_activation(
    layer: Any, call: Callable[..., Any], inputs: tuple[Any, ...]
) -> tuple[Any, Any]:
    """Return a layer's output before its activation, and after it.

    Args:
        layer: a layer that `kernels` knows.
        call: how to call it, as a `Hook` gets it.
        inputs: what to call it with.

    Returns:
        `(pre_activation, output)`. For recurrent layers the first is what their input
        kernel makes of the input, x W + b, shape (samples, steps, gates · units); for
        an Embedding both are its output.
    """
    with without_activation(layer) as activation:
        value = call(*inputs)
    if activation is not None:
        output = activation(value)
        # Keras hangs a mask on what a layer returns; a bare function loses it.
        mask = getattr(value, "_keras_mask", None)
        if mask is not None and output is not value:
            output._keras_mask = mask
        return value, output
    inner = core(layer)
    if _kind_name(inner) in _GATES:
        return _input_drive(inner, inputs[0]), value
    return value, value


def _input_drive(layer: Any, x: Any) -> Any:
    from keras import ops

    x = ops.cast(x, layer.compute_dtype)
    drive = ops.matmul(x, ops.cast(layer.cell.kernel, x.dtype))
    bias = getattr(layer.cell, "bias", None)
    if bias is not None:
        bias = ops.cast(bias, x.dtype)
        drive = drive + (bias[0] if len(bias.shape) == 2 else bias)
    return drive


def _variable(layer: Any, name: str) -> Any:
    """Return the variable itself: `layer.kernel` may have a product of LoRA's in it."""
    return getattr(layer, f"_{name}" if hasattr(layer, f"_{name}") else name)


def _kind_name(layer: Any) -> str:
    """Return the name of the Keras class that the layer is, or is made from."""
    kinds = type(layer).__mro__
    return next(kind.__name__ for kind in kinds if kind.__module__.startswith("keras."))


def _product(strides: Any) -> int:
    result = 1
    for stride in strides if isinstance(strides, (tuple, list)) else (strides,):
        result *= stride
    return result
