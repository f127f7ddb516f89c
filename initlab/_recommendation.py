"""Which gain to take for an activation, worked out from the maps of mean-field theory.

A gain can keep second moment 1, or put the layer on the edge of chaos, where gradients
keep theirs. `recommend` sends signals through fifty layers of theory with each of the
gains that do one or the other, and takes the one with which signal and gradient stray
least. `theory` makes it public.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from initlab import activations, mean_field
from initlab._crossings import crossings
from initlab._fixed_points import FixedPoint
from initlab._pair import Pair
from initlab._quadrature import second_moments, unit_gain
from initlab.mean_field import AnyActivation

_DEPTH = 50
# Second moments of the first pre-activations: nobody's data have exactly 1.
_STARTS = (0.5, 1.0, 2.0)
# A gradient whose second moment changes by more than this in 50 layers is lost.
_LOST = 1000.0


@dataclass(frozen=True)
class Recommendation:
    """What `recommend` says.

    Attributes:
        activation: its name.
        gain: the gain; weights of variance gain^2 / n with n by `fan_rule`.
        fan_rule: "fan_in".
        why: what the gain keeps, in a sentence or two.
        warning: what goes wrong in a deep network all the same; empty if nothing.
        fixed_point: the second moment that the gain keeps, with its slope; infinite if
            it is only approached.
        chi_1: by how much a layer multiplies a gradient's second moment there.
    """

    activation: str
    gain: float
    fan_rule: str
    why: str
    warning: str
    fixed_point: FixedPoint
    chi_1: float


@dataclass(frozen=True)
class _Candidate:
    """A gain, the second moment that it keeps, and what fifty layers of it do."""

    gain: float
    rest: FixedPoint
    chi_1: float


@dataclass(frozen=True)
class _Journey:
    """Fifty layers from each of the starts.

    Attributes:
        signals: ``(layers + 1, starts)``: second moments.
        log_gradient: ``(starts,)``: logarithm of what gradients' are multiplied by.
    """

    signals: np.ndarray
    log_gradient: np.ndarray

    @property
    def strays(self) -> float:
        """The largest factor, as a logarithm, by which anything has changed."""
        log_signal = np.log(self.signals[-1] / _STARTS)
        return float(np.max(np.abs([log_signal, self.log_gradient])))


def recommend(activation: AnyActivation) -> Recommendation:
    r"""Return the gain with which signals and gradients stray least in a deep network.

    The candidates: the forward gain, which keeps second moment 1, and the gains without
    biases at which $\chi_1 = 1$: at a stable fixed point, for very small signals, or
    for very large ones. Each is followed by the variance map and $\chi_1$ over 50
    layers, from second moments ½, 1 and 2; the one whose signals and gradients change
    by the smallest factor is taken, the forward gain where it is no worse. Nothing is
    looked up by name.

    The fan rule is always fan_in: it keeps the signal, and the factors fan_out / fan_in
    that a gradient meets multiply to no more than the ratio of the network's two ends.

    The gain is for the layers behind the activation. The first layer sees the inputs,
    which no activation has shrunk: if their second moment is 1, gain 1 hands it on, and
    the gain for the others would start the network at its square.

    Source: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015,
    https://arxiv.org/abs/1502.01852, for the fan rule; Klambauer, Unterthiner, Mayr and
    Hochreiter, "Self-normalizing neural networks", 2017,
    https://arxiv.org/abs/1706.02515, for stable fixed points; Hayou, Doucet and
    Rousseau, "On the impact of the activation function on deep neural networks
    training", 2019, https://arxiv.org/abs/1902.06853, for the edge of chaos.

    Args:
        activation: a Keras name, a function of numpy arrays, or an `Activation`.

    Raises:
        ValueError: as `forward_gain` and `backward_gain` do.
        TypeError: if `activation` is neither a name nor a function.
    """
    activation = activations.get(activation)
    if activation.formula:  # one of ours: it will not change
        return _remembered(activation)
    return _recommended(activation)


# Half a second each; a doctor asks for one layer after the other.
@functools.lru_cache(maxsize=64)
def _remembered(activation: activations.Activation) -> Recommendation:
    return _recommended(activation)


def _recommended(activation: activations.Activation) -> Recommendation:
    candidates = _candidates(activation)
    journeys = _journeys(activation, np.array([each.gain for each in candidates]))
    best = min(range(len(candidates)), key=lambda i: round(journeys[i].strays, 2))
    forward, chosen, journey = candidates[0], candidates[best], journeys[best]
    return Recommendation(
        activation.name,
        chosen.gain,
        "fan_in",
        _why(activation, chosen, forward, journey),
        _warning(chosen.rest, journey),
        chosen.rest,
        chosen.chi_1,
    )


def _candidates(activation: activations.Activation) -> list[_Candidate]:
    """Return the forward gain, then those of the edge of chaos."""
    one = np.ones(1)
    gain = unit_gain(activation)
    slope = float(gain**2 * mean_field.moment_slopes(activation, one)[0])
    chi = (gain / unit_gain(activation, of_derivative=True)) ** 2
    found = [_Candidate(gain, FixedPoint(1.0, slope), chi)]
    ends = ((0.0, _slope_at_zero(activation)), (math.inf, _slope_far_out(activation)))
    for value, end_slope in ends:
        if 1e-9 < end_slope < math.inf:
            rest = FixedPoint(value, 1.0)
            found.append(_Candidate(1 / math.sqrt(end_slope), rest, 1.0))

    def log_ratio(q: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            response = second_moments(activation, q, of_derivative=True).value
            ratio = second_moments(activation, q).value / (q * response)
            return np.nan_to_num(np.log(ratio), nan=math.inf)

    critical, _ = crossings(log_ratio, 1e-6, 1e6)
    responses = second_moments(activation, critical, of_derivative=True).value
    slopes = mean_field.moment_slopes(activation, critical) / responses
    for q, response, slope in zip(critical, responses, slopes, strict=True):
        rest = FixedPoint(float(q), float(slope))
        if rest.stable:
            found.append(_Candidate(float(response**-0.5), rest, 1.0))
    return found


def _slope_at_zero(activation: activations.Activation) -> float:
    """Return the limit of E f^2 / q as q goes to 0."""
    start = float(activation.f(np.zeros(1))[0])
    return mean_field.slope_at_zero(activation) if start == 0 else math.inf


def _slope_far_out(activation: activations.Activation) -> float:
    """Return the limit of E f^2 / q for large q; 0 where there is none."""
    far = np.array([[1e6], [1e8]]) * [1.0, -1.0]
    with np.errstate(all="ignore"):
        near, limit = np.mean((activation.f(far) / far) ** 2, axis=1)
    settled = np.isfinite(limit) and abs(near - limit) <= 1e-3 * limit
    return float(limit) if settled else 0.0


def _journeys(activation: activations.Activation, gains: np.ndarray) -> list[_Journey]:
    """Follow the starts through fifty layers, with all gains at once."""
    weights = np.repeat(gains**2, len(_STARTS))
    signals = [np.tile(_STARTS, len(gains))]
    log_gradient = np.zeros(weights.shape)
    with np.errstate(all="ignore"):
        for _ in range(_DEPTH):
            q = signals[-1]
            chi = weights * second_moments(activation, q, of_derivative=True).value
            log_gradient += np.log(np.clip(chi, 1e-200, 1e200))
            q = weights * second_moments(activation, q).value
            signals.append(np.clip(q, 1e-200, 1e200))
    each = len(gains)
    return [
        _Journey(*both)
        for both in zip(
            np.split(np.stack(signals), each, axis=1),
            np.split(log_gradient, each),
            strict=True,
        )
    ]


def _correlation(activation: activations.Activation, path: np.ndarray) -> float:
    """Return the correlation that unrelated inputs have after the layers of the path.

    Without biases the gain cancels: c becomes E f(u1) f(u2) / E f(u1)^2.
    """
    c = 0.0
    for q in path:
        pair = Pair(activation, float(q))
        c = min(max(pair.product(c) / pair.second_moment, 0.0), 1.0)
    return c


def _why(
    activation: activations.Activation,
    chosen: _Candidate,
    forward: _Candidate,
    journey: _Journey,
) -> str:
    rest, chi = chosen.rest, f"{chosen.chi_1:.3f}"
    if chosen is not forward:
        kept = (
            f"{_edge(rest, journey)} The forward gain {forward.gain:.4f} keeps 1, but "
            f"multiplies that of gradients by {forward.chi_1:.3f} per layer."
        )
    elif rest.marginal:
        kept = (
            "Second moment 1 is kept, and so is every other one near it: deviations "
            f"neither grow nor shrink. A layer multiplies that of gradients by {chi}."
        )
    else:
        kept = (
            "Second moment 1 is a fixed point; a layer multiplies a deviation from it "
            f"by {rest.slope:.3f}, and the second moment of gradients by {chi}."
        )
    if not (rest.stable or rest.marginal):
        return kept
    c = _correlation(activation, journey.signals[:-1, 1])
    return (
        f"{kept} Two unrelated inputs have correlation {c:.3f} after {_DEPTH} layers."
    )


def _edge(rest: FixedPoint, journey: _Journey) -> str:
    if 0 < rest.value < math.inf:
        return (
            "The edge of chaos: gradients keep their second moment at the stable fixed "
            f"point {_short(rest.value)}, where f is mostly flat (pre-activations of "
            f"rms {math.sqrt(rest.value):.1f})."
        )
    size = "small" if rest.value == 0 else "large"
    return (
        f"The edge of chaos for {size} signals: second moments of signals and "
        "gradients change like a power of the depth, not by a factor per layer; "
        f"1 becomes {_short(journey.signals[-1, 1])} after {_DEPTH} layers."
    )


def _warning(rest: FixedPoint, journey: _Journey) -> str:
    if not (rest.stable or rest.marginal):
        low, _, high = map(_short, journey.signals[-1])
        return (
            f"No stable second moment: after {_DEPTH} layers ½ has become {low} and 2 "
            f"has become {high}. Normalize the layers, or stay shallow."
        )
    worst = journey.log_gradient[np.argmax(np.abs(journey.log_gradient))]
    if abs(worst) <= math.log(_LOST):
        return ""
    return (
        f"Gradients {'vanish' if worst < 0 else 'explode'}: over {_DEPTH} layers their "
        f"second moment is multiplied by {_short(np.exp(worst))}. Normalize the "
        "layers, or stay shallow."
    )


def _short(value: float) -> str:
    """Return three digits, and words where the numbers end."""
    if value > 1e100:
        return "more than 1e100"
    return f"{value:.3g}" if value > 1e-100 else "less than 1e-100"
