"""Initialization schemes: what each one draws, at which scale, and who proposed it.

Read `Scheme` (in `_scheme`) first, then `variance_scaling`, the one core of which
LeCun, Glorot and He are one-liners at the end. All is numpy; `Scheme.keras` gives the
Keras initializer of the same distribution. Shapes are Keras's, (..., fan_in, fan_out).
"""

from __future__ import annotations

import difflib
import math
from dataclasses import replace
from numbers import Real
from typing import Any

from initlab._scheme import TRUNCATION_CORRECTION, Scheme, Source, fans

__all__ = [
    "Scheme",
    "Source",
    "constant",
    "fans",
    "get",
    "names",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
]


def names() -> tuple[str, ...]:
    """Return the names that `get` knows."""
    return tuple(_REGISTRY)


def get(scheme: str | Scheme) -> Scheme:
    """Return the scheme of that name; a `Scheme` is returned as it is.

    Args:
        scheme: one of `names()`, or what `constant(…)`, `random_normal(…)` … return.

    Raises:
        ValueError: for an unknown name; the message offers the closest known ones.
        TypeError: for anything but a string or a `Scheme`.
    """
    if isinstance(scheme, Scheme):
        return scheme
    if not isinstance(scheme, str):
        raise TypeError(f"scheme must be a name or a Scheme, got {scheme!r}")
    if scheme in _REGISTRY:
        return _REGISTRY[scheme]
    letters = {name.replace("_", ""): name for name in _REGISTRY}
    asked = scheme.lower().replace("_", "").replace(" ", "")
    asked = asked.replace("xavier", "glorot").replace("kaiming", "he")
    close = [letters[c] for c in difflib.get_close_matches(asked, letters)]
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(
        f"unknown scheme {scheme!r}: {hint}The schemes are {', '.join(names())}"
    )


def variance_scaling(
    scale: float, fan_rule: str = "fan_in", distribution: str = "truncated_normal"
) -> Scheme:
    r"""Return the scheme of variance $\mathrm{scale} / n$.

    LeCun's is 1/fan_in, Glorot's 1/fan_avg, He's 2/fan_in.

    Args:
        scale: the variance at n = 1, above 0.
        fan_rule: what n is: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal" (at two sigma, its variance corrected),
            "uniform", or "normal" without truncation (Keras's "untruncated_normal").

    Raises:
        ValueError: if an argument is none of these.
    """
    scale = _positive("scale", scale)
    _check_choice("fan_rule", fan_rule, _N)
    _check_choice("distribution", distribution, _KERAS_DISTRIBUTION)
    # One weight's limit is sqrt(3) std; a mean of two fans brings a 2 to the numerator.
    factor = (3 if distribution == "uniform" else 1) * (
        2 if fan_rule == "fan_avg" else 1
    )
    n, n_latex = _N[fan_rule]
    numerator = f"{scale * factor:.6g}"
    arguments = {
        "scale": scale,
        "mode": fan_rule,
        "distribution": _KERAS_DISTRIBUTION[distribution],
    }
    return Scheme(
        name="variance_scaling",
        title=f"Variance {scale:.6g}/{fan_rule}, {distribution.replace('_', ' ')}",
        **_scale(
            distribution,
            f"sqrt({numerator} / {n})",
            rf"\sqrt{{\frac{{{numerator}}}{{{n_latex}}}}}",
        ),
        source=_GLOROT,
        keras_config=("VarianceScaling", tuple(arguments.items())),
        fan_rule=fan_rule,
        gain=math.sqrt(scale),
    )


def random_normal(std: float = 0.05) -> Scheme:
    """Return the normal distribution of a fixed std, blind to the fans.

    Args:
        std: standard deviation of the weights, above 0.

    Raises:
        ValueError: if `std` is not a finite number above 0.
    """
    std = _positive("std", std)
    return Scheme(
        name="random_normal",
        title=f"Normal, std {std:.6g}",
        **_scale("normal", f"{std:.6g}", f"{std:.6g}"),
        source=_RUMELHART,
        keras_config=("RandomNormal", (("stddev", std),)),
        gain=std,
    )


def truncated_normal(std: float = 0.05) -> Scheme:
    """Return the normal distribution cut off at two sigma, blind to the fans.

    As in Keras, `std` is that of the normal before its tails are cut off. What remains
    has 0.8796 of it, and this is what `Scheme.std` returns.

    Args:
        std: standard deviation before truncation, above 0.

    Raises:
        ValueError: if `std` is not a finite number above 0.
    """
    std = _positive("std", std)
    kept = f"{TRUNCATION_CORRECTION:.6g}"
    return Scheme(
        name="truncated_normal",
        title=f"Truncated normal, std {std:.6g} before truncation",
        **_scale("truncated_normal", f"{kept} * {std:.6g}", rf"{kept} \cdot {std:.6g}"),
        source=_RUMELHART,
        keras_config=("TruncatedNormal", (("stddev", std),)),
        gain=std * TRUNCATION_CORRECTION,
    )


def random_uniform(limit: float = 0.05) -> Scheme:
    r"""Return the uniform distribution on [-limit, limit], of std limit/√3.

    Args:
        limit: largest absolute weight, above 0.

    Raises:
        ValueError: if `limit` is not a finite number above 0.
    """
    limit = _positive("limit", limit)
    return Scheme(
        name="random_uniform",
        title=f"Uniform, limit {limit:.6g}",
        **_scale("uniform", f"{limit:.6g}", f"{limit:.6g}"),
        source=_RUMELHART,
        keras_config=("RandomUniform", (("minval", -limit), ("maxval", limit))),
        gain=limit / math.sqrt(3),
    )


def constant(value: float = 0.0) -> Scheme:
    """Return the scheme whose every weight is `value`, so that all units are twins.

    Args:
        value: the weight, any finite number.

    Raises:
        ValueError: if `value` is not a finite number.
    """
    value = _number("value", value)
    return Scheme(
        name="constant",
        title=f"Constant {value:.6g}",
        **_scale("constant", f"{value:.6g}", f"{value:.6g}"),
        source=_RUMELHART,
        keras_config=("Constant", (("value", value),)),
        value=value,
    )


def orthogonal(gain: float = 1.0) -> Scheme:
    r"""Return a random orthogonal matrix, uniform over all of them, times `gain`.

    A kernel is seen as a matrix whose columns are its last axis. All its singular
    values are `gain`: the columns are orthogonal, or the rows if there are fewer rows.
    A weight has mean 0 and std
    $\mathrm{gain} / \sqrt{\max(n_\mathrm{rows}, n_\mathrm{columns})}$.

    Args:
        gain: the singular values, above 0.

    Raises:
        ValueError: if `gain` is not a finite number above 0.
    """
    gain = _positive("gain", gain)
    longest = r"\max(n_\mathrm{rows}, n_\mathrm{columns})"
    return Scheme(
        name="orthogonal",
        title="Orthogonal" if gain == 1 else f"Orthogonal, gain {gain:.6g}",
        **_scale(
            "orthogonal",
            f"{gain:.6g} / sqrt(max(rows, columns))",
            rf"\frac{{{gain:.6g}}}{{\sqrt{{{longest}}}}}",
        ),
        source=_SAXE,
        keras_config=("Orthogonal", (("gain", gain),)),
        fan_rule="longest_side",
        gain=gain,
    )


def _scale(distribution: str, text: str, latex: str) -> dict[str, str]:
    """Say which quantity the formula gives: the std, a limit or the weight itself."""
    quantity, symbol = {"uniform": ("limit", r"\ell"), "constant": ("weight", "w")}.get(
        distribution, ("std", r"\sigma")
    )
    return {
        "distribution": distribution,
        "formula": f"{quantity} = {text}",
        "latex": f"{symbol} = {latex}",
    }


def _number(argument: str, value: float) -> float:
    if not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{argument} must be a finite number, got {value!r}")
    return float(value)


def _positive(argument: str, value: float) -> float:
    if not isinstance(value, Real) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{argument} must be a finite number above 0, got {value!r}")
    return float(value)


def _check_choice(argument: str, value: str, allowed: dict[str, Any]) -> None:
    if value not in allowed:
        choices = ", ".join(map(repr, allowed))
        raise ValueError(f"{argument} must be one of {choices}, got {value!r}")


# How n is written, as text and as LaTeX, with the ½ of the mean in the numerator.
_N = {
    "fan_in": ("fan_in", r"n_\mathrm{in}"),
    "fan_out": ("fan_out", r"n_\mathrm{out}"),
    "fan_avg": ("(fan_in + fan_out)", r"n_\mathrm{in} + n_\mathrm{out}"),
}
_KERAS_DISTRIBUTION = {
    "truncated_normal": "truncated_normal",
    "uniform": "uniform",
    "normal": "untruncated_normal",
}
_RUMELHART = Source(
    "Learning internal representations by error propagation",
    "D. E. Rumelhart, G. E. Hinton, R. J. Williams",
    1986,
    "https://doi.org/10.21236/ADA164453",
)
_LECUN = Source(
    "Efficient BackProp",
    "Y. LeCun, L. Bottou, G. B. Orr, K.-R. Müller",
    1998,
    "https://doi.org/10.1007/3-540-49430-8_2",
)
_GLOROT = Source(
    "Understanding the difficulty of training deep feedforward neural networks",
    "X. Glorot, Y. Bengio",
    2010,
    "https://proceedings.mlr.press/v9/glorot10a.html",
)
_HE = Source(
    "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet "
    "Classification",
    "K. He, X. Zhang, S. Ren, J. Sun",
    2015,
    "https://arxiv.org/abs/1502.01852",
)
_SAXE = Source(
    "Exact solutions to the nonlinear dynamics of learning in deep linear neural "
    "networks",
    "A. M. Saxe, J. L. McClelland, S. Ganguli",
    2014,
    "https://arxiv.org/abs/1312.6120",
)


def _named(
    name: str, title: str, keras_class: str, source: Source, scheme: Scheme
) -> Scheme:
    """Give a scheme the name under which the literature and Keras know it."""
    return replace(
        scheme, name=name, title=title, source=source, keras_config=(keras_class, ())
    )


_SCHEMES = (
    _named("zeros", "Zeros", "Zeros", _RUMELHART, constant(0)),
    _named("ones", "Ones", "Ones", _RUMELHART, constant(1)),
    constant(),
    random_normal(),
    random_uniform(),
    truncated_normal(),
    _named(
        *("lecun_normal", "LeCun normal", "LecunNormal", _LECUN),
        variance_scaling(1, "fan_in", "truncated_normal"),
    ),
    _named(
        *("lecun_uniform", "LeCun uniform", "LecunUniform", _LECUN),
        variance_scaling(1, "fan_in", "uniform"),
    ),
    _named(
        *("glorot_normal", "Glorot normal", "GlorotNormal", _GLOROT),
        variance_scaling(1, "fan_avg", "truncated_normal"),
    ),
    _named(
        *("glorot_uniform", "Glorot uniform", "GlorotUniform", _GLOROT),
        variance_scaling(1, "fan_avg", "uniform"),
    ),
    _named(
        *("he_normal", "He normal", "HeNormal", _HE),
        variance_scaling(2, "fan_in", "truncated_normal"),
    ),
    _named(
        *("he_uniform", "He uniform", "HeUniform", _HE),
        variance_scaling(2, "fan_in", "uniform"),
    ),
    orthogonal(),
)
_REGISTRY = {scheme.name: scheme for scheme in _SCHEMES}
