"""The rules that follow the signal down through the layers, and the gradient up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from initlab._doctor import cures, thresholds
from initlab._doctor.finding import (
    Finding,
    activation_of,
    chain_of,
    initializer_for,
    names_of,
)
from initlab._doctor.vitals import Vitals

# Second moments pass this on their way to infinity, which is above 1e77 in float32.
_BEFORE_OVERFLOW = 1e30


def unscaled_input(vitals: Vitals) -> Finding | None:
    """Inputs far from root mean square 1 that nothing normalizes."""
    first, *_ = chain_of(vitals) or [None]
    if first is None or not first.input > thresholds.LARGEST_INPUT**2:
        return None
    behind = vitals.layers[vitals.layers.index(first) + 1 :]
    normalized = behind and not behind[0].input > thresholds.LARGEST_INPUT**2
    if normalized and not (first.saturated or 0) > thresholds.MOST_SATURATED:
        return None
    rms = math.sqrt(first.input)
    return Finding(
        "unscaled input",
        (first.name,),
        f"the first layer gets numbers of root mean square {rms:.3g}; every scheme is "
        f"made for 1, so all that follows is {rms:.3g} times too large.",
        "scale the input: keras.layers.Rescaling(1 / 255) for pixels, "
        "keras.layers.Normalization() (adapted) for other numbers.",
    )


def signal(vitals: Vitals) -> Finding | None:
    """A signal that grows or shrinks over depth, by its cause."""
    chain = chain_of(vitals)
    if any(signs.zero for signs in chain):  # healthy zeros: nothing is behind them yet
        chain = [signs for signs in chain if signs.input]
    bound = thresholds.LARGEST_INPUT**2  # an input out of scale is a finding of its own
    moments = [signs.input for signs in chain]
    finite = [moment for moment in moments if math.isfinite(moment)]
    if len(finite) < len(moments) and max(finite, default=0) < _BEFORE_OVERFLOW:
        return None  # not too large, but no number at all
    if moments:
        moments[0] = min(max(moments[0], 1 / bound), bound)
    grown = growth(moments)
    if grown is None or abs(grown) <= thresholds.MOST_GROWTH:
        return None
    hidden = [s for s in chain[:-1] if s.std_ratio]
    ratio = float(np.exp(np.mean([math.log(s.std_ratio) for s in hidden] or [0.0])))
    by_merges = vitals.merges * math.log(2)  # if a branch is as large as its stream
    names = names_of(chain[:-1])
    change = "grows" if grown > 0 else "shrinks"
    measured = (
        f"the signal's second moment {change} by a factor of "
        f"{_factor(abs(grown))} over {len(moments) - 1} layers, "
        f"{_factor(abs(grown) / (len(moments) - 1))} a layer"
    )
    weights = f"the weights have {ratio:.2g} times the std that their fan-in asks for"
    if by_merges > grown / 2 > 0:
        return Finding(
            "growing residual stream",
            names,
            f"{measured}: each of the {vitals.merges} additions puts a branch as large "
            "as the stream on top of it.",
            f"start each branch small: its last kernel at zeros, or scaled by "
            f"1/√{vitals.merges} = {1 / math.sqrt(vitals.merges):.2g}; or normalize at "
            "the start of every branch.",
        )
    cure = f"{initializer_for(vitals, names)}."
    if caution := cures.caution(activation_of(hidden)):
        cure += f" {caution}"
    if grown > 0 and ratio > thresholds.MOST_STD_RATIO:
        return Finding("weights too large", names, f"{measured}; {weights}.", cure)
    if grown < 0 and ratio < 1 / thresholds.MOST_STD_RATIO:
        return Finding("weights too small", names, f"{measured}; {weights}.", cure)
    return Finding(
        "wrong gain",
        names,
        f"{measured}; {weights}. That is little for one layer, but the factors of all "
        "layers multiply.",
        cure,
    )


def gradient(vitals: Vitals) -> Finding | None:
    """A gradient that grows or shrinks although the signal does not."""
    # Without the output layer: a small last kernel is no illness.
    chain = [s for s in chain_of(vitals)[:-1] if s.gradient_sum]
    sums = [signs.gradient_sum or 0.0 for signs in chain]
    grown = growth(sums[::-1])
    if grown is None or abs(grown) <= thresholds.MOST_GROWTH:
        return None
    measured = (
        "by a factor of "
        f"{_factor(abs(grown))} on its way back over {len(sums) - 1} layers, "
        f"{_factor(abs(grown) / (len(sums) - 1))} a layer, although the signal keeps "
        "its scale on the way forward."
    )
    if grown < 0:
        return Finding(
            "vanishing gradient",
            names_of(chain),
            f"the gradient's square shrinks {measured}",
            cures.for_vanishing_gradient(activation_of(chain)),
        )
    return Finding(
        "exploding gradient",
        names_of(chain),
        f"the gradient's square grows {measured}",
        "residual connections around every layer or two, or fewer layers; until then, "
        "clip the gradient (clipnorm) and warm the learning rate up.",
    )


def growth(moments: Sequence[float]) -> float | None:
    """Return the logarithm of how much moments grow over depth, by their slope.

    The slope is fitted to all layers, since one of them (a pooling, an attention, a
    normalization at the end) says little. Moments that are 0 have vanished; those that
    are not finite have exploded.
    """
    if len(moments) < 2:
        return None
    finite = np.nan_to_num(moments, nan=1e300, posinf=1e300)
    logarithms = np.log(np.clip(finite, 1e-300, 1e300))
    slope = np.polyfit(np.arange(len(moments)), logarithms, 1)[0]
    return float(slope * (len(moments) - 1))


def _factor(logarithm: float) -> str:
    if logarithm > 690:  # beyond the range of floating point
        return "more than 1e300"
    return f"{math.exp(logarithm):.2g}"
