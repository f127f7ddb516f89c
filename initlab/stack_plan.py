"""Which models can be trained as a stack, and what a stack of them has in common.

:func:`make_plan` answers both: it describes a chain of Keras's own layers, its loss and
its optimizer as a :class:`Plan`, the recipe from which ``stacked`` compiles a program,
or raises :class:`NotStackable` with the reason. It is strict: what it accepts must give
the numbers that Keras gives.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from initlab import activations

_SHARED_LAYERS = ("Rescaling", "Flatten")
_ELEMENTWISE_LAYERS = ("Activation", "ReLU", "LeakyReLU", "ELU")
# What a stack needs to know of a layer with weights; all else must be Keras's default.
_OPTIONS_OF = {
    "Dense": ("units", "activation", "use_bias"),
    "Embedding": ("input_dim", "output_dim"),
    "SimpleRNN": ("units", "activation", "use_bias", "return_sequences"),
}
_MUST_BE_OFF = {
    "Dense": ("quantization_config",),
    "Embedding": ("mask_zero", "sparse", "quantization_config"),
    "SimpleRNN": (
        *("dropout", "recurrent_dropout", "return_state", "go_backwards"),
        *("stateful", "zero_output_for_mask"),
    ),
}
_STACKABLE_LOSSES = (
    "sparse_categorical_crossentropy",
    "categorical_crossentropy",
    "binary_crossentropy",
    "mean_squared_error",
    "mean_absolute_error",
)
_OPTIONS = {
    "Adam": ("beta_1", "beta_2", "epsilon"),
    "SGD": ("momentum", "nesterov"),
}
_UNSUPPORTED_OPTIONS = (
    "amsgrad",
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


class NotStackable(Exception):
    """Why a model, loss or optimizer must go through the plain Keras loop."""


@dataclass(frozen=True)
class Plan:
    """All that a compiled program depends on, hashable so that programs are reused.

    ``layers`` are ``(class name, configuration as JSON)``; ``loss`` is the JSON of a
    name or of a loss object; ``optimizer`` is ``(name, ((option, value), ...))``.
    """

    layers: tuple[tuple[str, str], ...]
    loss: str
    optimizer: tuple[str, tuple[tuple[str, Any], ...]]
    batch_size: int
    classifies: bool


def make_plan(
    model: Any,
    loss: Any,
    optimizer: Mapping[str, Any],
    batch_size: int,
    classifies: bool,
) -> Plan:
    """Describe how to train a stack of models like this one.

    Args:
        model: A built Keras model.
        loss: Name of a Keras loss, or a Keras loss object.
        optimizer: A serialized Keras optimizer (its learning rate is ignored).
        batch_size: Samples per step.
        classifies: Whether accuracy is measured.

    Raises:
        NotStackable: With the reason, if the stacked engine cannot reproduce what
            Keras would do.
    """
    return Plan(
        layers=tuple(_describe_layer(layer) for layer in _linear_layers(model)),
        loss=_describe_loss(loss),
        optimizer=_describe_optimizer(optimizer),
        batch_size=batch_size,
        classifies=classifies,
    )


def _linear_layers(model: Any) -> list[Any]:
    """Return the layers of a chain, without its inputs, the first Dense included."""
    kind = type(model)
    if not (kind.__module__.startswith("keras.") and model.layers):
        raise NotStackable(f"{kind.__name__} has a forward pass of its own")
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise NotStackable("the model has several inputs or outputs")
    # From the output back, because a layer that `Sequential.add` has added was called
    # more than once, and only one of its calls belongs to the finished model.
    tensor, by = model.outputs[0], "the output"
    for layer in reversed(layers):
        operation, call, _ = tensor._keras_history
        inputs = operation._inbound_nodes[call].input_tensors
        if operation is not layer or len(inputs) != 1:
            raise NotStackable(f"{by} is not fed by a simple chain of layers")
        tensor, by = inputs[0], f"layer {layer.name!r}"
    if tensor is not model.inputs[0]:
        raise NotStackable(f"{by} is not fed by a simple chain of layers")
    _check_order(layers)
    return layers


def _check_order(layers: list[Any]) -> None:
    """Refuse chains in which a layer gets what a stack cannot give it."""
    names = [type(layer).__name__ for layer in layers]
    weighted = [place for place, name in enumerate(names) if name in _OPTIONS_OF]
    if not weighted:
        raise NotStackable("the model has no Dense, SimpleRNN or Embedding layer")
    if any(name in _SHARED_LAYERS for name in names[weighted[0] :]):
        raise NotStackable("a Rescaling or Flatten layer comes after one with weights")
    if len(layers[-1].output.shape) != 2:
        raise NotStackable("the outputs are not flat")
    for place in weighted:
        name, axes = names[place], len(layers[place].input.shape)
        if name == "Dense" and axes != 2:
            raise NotStackable(f"the input of {layers[place].name!r} is not flat")
        if name == "Embedding" and (place or axes != 2):
            raise NotStackable(f"{layers[place].name!r} does not come first")
        if name == "SimpleRNN" and None in layers[place].input.shape[1:]:
            raise NotStackable(f"{layers[place].name!r} has inputs of varying length")


def _describe_layer(layer: Any) -> tuple[str, str]:
    kind = type(layer)
    name = kind.__name__
    known = (*_SHARED_LAYERS, *_ELEMENTWISE_LAYERS, *_OPTIONS_OF)
    if not kind.__module__.startswith("keras.") or name not in known:
        raise NotStackable(f"layer {layer.name!r} is a {name}")
    if layer.dtype_policy.name != "float32":
        raise NotStackable(
            f"layer {layer.name!r} computes in {layer.dtype_policy.name}"
        )
    config = layer.get_config()
    if getattr(layer, "activation", None) is not None:
        _check_keras_activation(layer)
    if name == "SimpleRNN" and layer.activation.__name__ not in activations.names():
        raise NotStackable(f"layer {layer.name!r} mixes its units' activations")
    if name in _OPTIONS_OF:
        for option, value in config.items():
            unusual = option.endswith(("regularizer", "constraint"))
            if value and (unusual or option in _MUST_BE_OFF[name]):
                raise NotStackable(f"layer {layer.name!r} has {option}={value}")
        if not layer.trainable or getattr(layer, "lora_enabled", False):
            raise NotStackable(f"layer {layer.name!r} is frozen or adapted")
        config = {key: config[key] for key in _OPTIONS_OF[name]}
    config.pop("name", None)
    config.pop("dtype", None)
    return name, json.dumps(config, sort_keys=True)


def _check_keras_activation(layer: Any) -> None:
    """Refuse a function of the user's: it need not act on each sample alone."""
    import keras

    activation = layer.activation
    name = getattr(activation, "__name__", "")
    if not inspect.isfunction(activation) or (
        getattr(keras.activations, name, None) is not activation
    ):
        raise NotStackable(f"layer {layer.name!r} has an activation of your own")


def _describe_loss(loss: Any) -> str:
    import keras

    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    if inspect.isfunction(loss):
        if loss.__name__ in _STACKABLE_LOSSES and (
            getattr(keras.losses, loss.__name__, None) is loss
        ):
            return json.dumps(loss.__name__)
        raise NotStackable(f"loss {loss.__name__!r} is not one of the stackable losses")
    function = getattr(loss, "fn", None)
    if getattr(function, "__name__", None) not in _STACKABLE_LOSSES or (
        loss.reduction != "sum_over_batch_size"
    ):
        raise NotStackable(f"loss {loss!r} is not one of the stackable losses")
    return json.dumps(keras.losses.serialize(loss), sort_keys=True)


def _describe_optimizer(
    optimizer: Mapping[str, Any],
) -> tuple[str, tuple[tuple[str, Any], ...]]:
    name, config = optimizer["class_name"], optimizer["config"]
    if not str(optimizer["module"]).startswith("keras.") or name not in _OPTIONS:
        raise NotStackable(f"optimizer {name} is neither Adam nor SGD")
    for option in _UNSUPPORTED_OPTIONS:
        if config.get(option):
            raise NotStackable(f"optimizer {name} has {option}={config[option]}")
    return name, tuple((option, config[option]) for option in _OPTIONS[name])
