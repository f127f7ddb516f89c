"""The rules about the end of a model: outputs, their bias, loss, the first step."""

from __future__ import annotations

import numpy as np

from initlab._doctor import cures, thresholds
from initlab._doctor.finding import Finding, output_layer
from initlab._doctor.start_loss import StartLoss
from initlab._doctor.vitals import Vitals


def softmax_twice(vitals: Vitals) -> Finding | None:
    """Probabilities that are squashed once more."""
    start = vitals.start
    if start.mismatch not in ("squashed twice", "squashed, and noticed"):
        return None
    noticed = start.mismatch == "squashed, and noticed"
    return Finding(
        "softmax twice",
        (vitals.layers[-1].name,),
        "the outputs are probabilities already, but the loss was told from_logits=True"
        + (
            "; Keras has noticed and takes the logits before the last activation."
            if noticed
            else " or a second softmax squashes them once more: however sure the "
            "model, the loss cannot come near 0."
        ),
        "take the last activation off, or say from_logits=False.",
        severity="note" if noticed else "ill",
    )


def softmax_missing(vitals: Vitals) -> Finding | None:
    """Logits where the loss wants probabilities."""
    if vitals.start.mismatch != "not squashed":
        return None
    return Finding(
        "softmax missing",
        (vitals.layers[-1].name,),
        "the outputs are no probabilities, but the loss takes their logarithm as if "
        "they were: negative ones are cut off and get no gradient.",
        "say from_logits=True in the loss, or end with a softmax (or sigmoid).",
    )


def output_bias(vitals: Vitals) -> Finding | None:
    """A mean output far from the base rates or the mean target."""
    if not _is_bias_wrong(vitals):
        return None
    start = vitals.start
    return Finding(
        "wrong output bias",
        (vitals.layers[-1].name,),
        f"the mean output alone loses {start.from_bias:.3g}, the best constant "
        f"{start.constant:.3g}: the first steps will only learn that constant.",
        cures.for_output_bias(start),
    )


def _is_bias_wrong(vitals: Vitals) -> bool:
    """Tell whether the mean output is off because the bias is, not the kernel."""
    start = vitals.start
    if start.chance is not None:
        to_win = start.from_zero - start.constant
        imbalanced = (
            to_win > thresholds.BASE_RATE_PART * start.chance
            and (start.most_frequent or 0) >= thresholds.BASE_RATE_PART
        )
        if imbalanced:
            return start.from_bias - start.constant > thresholds.BASE_RATE_PART * to_win
    needed = _is_far(start, start.from_zero, start.constant)
    needed = needed or bool(output_layer(vitals).bias)
    return needed and _is_far(start, start.from_bias, start.constant)


def large_outputs(vitals: Vitals) -> Finding | None:
    """Outputs that are sure of something before they know anything."""
    start = vitals.start
    # What a wrong bias costs has its own finding.
    least = start.from_bias if _is_bias_wrong(vitals) else start.constant
    if not _is_far(start, start.from_outputs, least):
        return None
    numbers = start.chance is None
    return Finding(
        "outputs too large",
        (output_layer(vitals).name,),
        "before it has learned anything the model is sure of itself: its "
        f"{'outputs' if numbers else 'logits'} have root mean square "
        f"{start.output_rms:.3g} and lose {start.from_outputs:.3g} where the best "
        f"constant loses {start.constant:.3g}.",
        "a smaller last kernel: zeros or keras.initializers.RandomNormal(stddev=0.01)"
        + ("; or scale the targets to std 1." if numbers else "."),
    )


def _is_far(start: StartLoss, loss: float, least: float) -> bool:
    """Tell whether a loss is far above another one."""
    if start.chance is None:
        return loss - least > thresholds.MOST_EXTRA_RATIO * start.constant > 0
    return loss - least > thresholds.MOST_EXTRA_NATS


def high_learning_rate(vitals: Vitals) -> Finding | None:
    """A first step as large as the weights."""
    steps = [s.update_ratio for s in vitals.layers if s.update_ratio]
    if not steps or not np.median(steps) > thresholds.MOST_UPDATE:
        return None
    middle = float(np.median(steps))
    return Finding(
        "learning rate too high",
        (),
        f"the first step of {vitals.optimizer} changes the kernels by {middle:.2g} of "
        "their norm (median): it replaces the initialization instead of using it.",
        f"divide the learning rate by {middle / 0.01:.0f}, for a first step of about "
        "0.01.",
    )


def not_finite_loss(vitals: Vitals) -> Finding | None:
    """A loss or gradient that is no number, for whatever reason."""
    gradients = [s.weight_gradient for s in vitals.layers if s.weight_gradient]
    if np.isfinite([vitals.start.value, *gradients]).all():
        return None
    sick = [s for s in vitals.layers if not np.isfinite(s.output)]
    return Finding(
        "non-finite loss",
        tuple(signs.name for signs in sick[:1]),
        f"the loss at the start is {vitals.start.value:.3g} or its gradient is not "
        "finite, though all weights and samples are; "
        + (
            f"the first output that is not finite is that of {sick[0].name}."
            if sick
            else "all outputs are finite."
        ),
        "look for a logarithm or a root of 0, a division by 0 or an exponential in "
        "that layer, just before it or in the loss.",
    )
