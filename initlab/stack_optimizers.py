"""Adam and SGD for a stack: Keras's update rules, with a learning rate for every run.

A gradient is a tensor or, of an embedding table, `IndexedSlices`: one row per token of
the batch, of which several may belong to the same token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def slots(name: str, options: Mapping[str, Any], weights: Sequence[Any]) -> list[Any]:
    """Return the optimizer's variables at the start of training, all zeros.

    Args:
        name: "Adam" or "SGD".
        options: Of the optimizer, see ``stack_plan``.
        weights: All weights; each gets a list of tensors of its shape.
    """
    import tensorflow as tf

    count = 2 if name == "Adam" else int(bool(options["momentum"]))
    return [[tf.zeros_like(weight)] * count for weight in weights]


def adam(
    options: Mapping[str, Any],
    weight: Any,
    gradient: Any,
    slot: Sequence[Any],
    rate: Any,
    step: Any,
) -> tuple[Any, list[Any]]:
    """Return the weight and its slots after one step, as ``keras.optimizers.Adam``."""
    import keras
    import tensorflow as tf

    momentum, velocity = slot
    power_1 = tf.pow(tf.constant(options["beta_1"], "float32"), step)
    power_2 = tf.pow(tf.constant(options["beta_2"], "float32"), step)
    alpha = rate * tf.sqrt(1 - power_2) / (1 - power_1)
    momentum = _towards(momentum, gradient, options["beta_1"])
    # Keras squares the row of every token of the batch before it adds up those of the
    # same token: the sum of squares, not the square of the sum.
    velocity = _towards(velocity, keras.ops.square(gradient), options["beta_2"])
    weight -= momentum * alpha / (tf.sqrt(velocity) + options["epsilon"])
    return weight, [momentum, velocity]


def sgd(
    options: Mapping[str, Any],
    weight: Any,
    gradient: Any,
    slot: Sequence[Any],
    rate: Any,
    step: Any,
) -> tuple[Any, list[Any]]:
    """Return the weight and its slots after one step, as ``keras.optimizers.SGD``."""
    import tensorflow as tf

    change = -tf.convert_to_tensor(gradient) * rate
    if not slot:
        return weight + change, []
    momentum = slot[0] * options["momentum"] + change
    if options["nesterov"]:
        return weight + momentum * options["momentum"] + change, [momentum]
    return weight + momentum, [momentum]


RULES = {"Adam": adam, "SGD": sgd}


def _towards(average: Any, value: Any, kept: float) -> Any:
    """Move a running average; rows are added in place, which spares a whole table."""
    import tensorflow as tf

    if isinstance(value, tf.IndexedSlices):
        rows, added = value.indices[:, None], value.values * (1 - kept)
        return tf.tensor_scatter_nd_add(average * kept, rows, added)
    return average + (value - average) * (1 - kept)
