"""The doctor's cures: which initializer an activation asks for, and in which words."""

from __future__ import annotations

import numpy as np

from initlab import theory
from initlab._doctor.start_loss import StartLoss

_NAMED = {
    "relu": '"he_normal" (variance 2 / fan_in, since a ReLU passes half of the signal)',
    "selu": '"lecun_normal" (variance 1 / fan_in, where SELU has its fixed point)',
    "linear": '"lecun_normal" (variance 1 / fan_in keeps the signal of a linear layer)',
}
# Squash into (0, 1): their mean of ½ goes through a stack whatever the weights do.
_SIGMOIDS = ("sigmoid", "hard_sigmoid")


def initializer(activation: str) -> str:
    """Return which kernel initializer to set for layers with this activation."""
    if activation in _NAMED:
        return f"kernel_initializer={_NAMED[activation]}"
    try:
        scale = theory.forward_gain(activation) ** 2
    except ValueError:  # softmax, or a callable that theory does not know
        return 'kernel_initializer="glorot_uniform"'
    if activation in _SIGMOIDS:
        return 'kernel_initializer="glorot_uniform"'
    return (
        f'kernel_initializer=keras.initializers.VarianceScaling({scale:.3g}, "fan_in") '
        f"(1 / E f(z)² = {scale:.3g} for {activation})"
    )


def miscounted(kinds: set[str], activation: str) -> str:
    """Return what to set instead where Keras counts the fan-in of a kernel wrong."""
    words = {"depthwise": ("Depthwise", "Separable"), "conv_transpose": ("Transpose",)}
    wrong = [
        kind
        for kind, parts in words.items()
        if any(part in name for part in parts for name in kinds)
    ]
    try:
        scale = theory.forward_gain(activation) ** 2
    except ValueError:
        scale = 1.0
    cures = (
        f'; for kernels of kind "{kind}", whose fan-in Keras miscounts, '
        f'initlab.schemes.variance_scaling({scale:.3g}).keras(kind="{kind}")'
        for kind in wrong
    )
    return "".join(cures)


def caution(activation: str) -> str:
    """Return what theory warns of where no gain alone keeps a deep stack alive."""
    try:
        return theory.recommend(activation).warning
    except ValueError:
        return ""


def for_vanishing_gradient(activation: str) -> str:
    """Return what to do where the signal survives and its gradient does not."""
    if activation in _SIGMOIDS:
        return (
            f"another activation in the hidden layers: the slope of {activation} is at "
            'most ¼. Take relu with kernel_initializer="he_normal", or tanh with '
            'VarianceScaling(2.54, "fan_in").'
        )
    return (
        "residual connections, or an activation of slope 1 where it is active: relu "
        'with kernel_initializer="he_normal".'
    )


def for_output_bias(start: StartLoss) -> str:
    """Return the output bias that puts the model at the base rates of the labels."""
    bias = np.ravel(start.best_bias)
    if start.kind == "classes":
        formula = "the logarithms of the class frequencies"
    elif start.kind == "yes or no":
        formula = "log(p / (1 - p)) of the share p of ones"
    else:
        formula = "the mean (or median) of the targets"
    if len(bias) == 1:
        formula += f", keras.initializers.Constant({bias[0]:.3g})"
    elif len(bias) <= 5:
        formula += f", {', '.join(f'{each:.3g}' for each in bias)}"
    return f"start the output bias at {formula}."
