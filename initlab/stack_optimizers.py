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


def step_sizes(name: str, options: Mapping[str, Any], rates: Any, step: Any) -> Any:
    """Return what all weights of a run have in common in one step, shape ``(runs,)``.

    It is the learning rate, in Adam with the two corrections for the first steps.

    Args:
        name: "Adam" or "SGD".
        options: Of the optimizer, see ``stack_plan``.
        rates: The learning rates, ``(runs,)``.
        step: Number of the step, counted from 1.
    """
    import tensorflow as tf

    if name == "SGD":
        return rates
    power_1 = tf.pow(tf.constant(options["beta_1"], "float32"), step)
    power_2 = tf.pow(tf.constant(options["beta_2"], "float32"), step)
    return rates * tf.sqrt(1 - power_2) / (1 - power_1)


def adam(
    options: Mapping[str, Any],
    weight: Any,
    gradient: Any,
    slot: Sequence[Any],
    size: Any,
) -> tuple[Any, list[Any]]:
    """Return the weight and its slots after one step, as ``keras.optimizers.Adam``."""
    import keras
    import tensorflow as tf

    momentum, velocity = slot
    momentum = _towards(momentum, gradient, options["beta_1"])
    # Keras squares the row of every token of the batch before it adds up those of the
    # same token: the sum of squares, not the square of the sum.
    velocity = _towards(velocity, keras.ops.square(gradient), options["beta_2"])
    weight -= momentum * size / (tf.sqrt(velocity) + options["epsilon"])
    return weight, [momentum, velocity]


def sgd(
    options: Mapping[str, Any],
    weight: Any,
    gradient: Any,
    slot: Sequence[Any],
    size: Any,
) -> tuple[Any, list[Any]]:
    """Return the weight and its slots after one step, as ``keras.optimizers.SGD``."""
    import tensorflow as tf

    change = -tf.convert_to_tensor(gradient) * size
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
