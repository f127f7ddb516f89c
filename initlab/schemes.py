"""Initialization schemes: what each one draws, at which scale, and who proposed it.

Read `Scheme` (in `_scheme`) first, then `variance_scaling`, the one core of which
LeCun, Glorot and He are one-liners at the end. `orthogonal` and the other schemes whose
weights depend on each other are in `_structured`. All is numpy; `Scheme.keras` gives
the Keras initializer of the same distribution. Shapes are Keras's; `fans` says how the
kernel of each kind of layer is read.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from initlab._fans import fans
from initlab._samplers import TRUNCATION_CORRECTION
from initlab._scheme import Scheme, Source, finite, formulas, positive
from initlab._sources import GLOROT, HE, LECUN, RUMELHART
from initlab._structured import delta_orthogonal, identity, orthogonal, sparse

__all__ = [
    "Scheme",
    "Source",
    "constant",
    "delta_orthogonal",
    "fans",
    "from_config",
    "get",
    "identity",
    "names",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "sparse",
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


def from_config(config: Mapping[str, Any]) -> Scheme:
    """Return the scheme that `Scheme.get_config` described.

    Args:
        config: its "name", with the arguments of the function of that name if there
            were any: `{"name": "he_normal"}`, `{"name": "orthogonal", "gain": 1.4}`.

    Raises:
        ValueError: if no scheme has that name.
        TypeError: if the function of that name takes other arguments.
    """
    arguments = dict(config)
    name = arguments.pop("name", None)
    if arguments and name in _MAKERS:
        return _MAKERS[name](**arguments)
    if arguments:
        raise ValueError(f"no scheme {name!r} takes arguments, got {arguments}")
    return get(name)


def variance_scaling(
    scale: float, fan_rule: str = "fan_in", distribution: str = "truncated_normal"
) -> Scheme:
    r"""Return the scheme of variance $\mathrm{scale} / n$.

    LeCun's is 1/fan_in, Glorot's 1/fan_avg, He's 2/fan_in. The scale is the square of
    a gain, so the scheme of any gain g is that of g**2; for an activation say
    `variance_scaling(theory.forward_gain("gelu") ** 2)`.

    Args:
        scale: the variance at n = 1, above 0.
        fan_rule: what n is: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal" (at two sigma, its variance corrected),
            "uniform", or "normal" without truncation (Keras's "untruncated_normal").

    Raises:
        ValueError: if an argument is none of these.
    """
    scale = positive("scale", scale)
    _check_choice("fan_rule", fan_rule, _N)
    _check_choice("distribution", distribution, _KERAS_DISTRIBUTION)
    # One weight's limit is sqrt(3) std; a mean of two fans brings a 2 to the numerator.
    factor = (3 if distribution == "uniform" else 1) * (
        2 if fan_rule == "fan_avg" else 1
    )
    n, n_latex = _N[fan_rule]
    numerator = f"{scale * factor:.6g}"
    return Scheme(
        name="variance_scaling",
        title=f"Variance {scale:.6g}/{fan_rule}, {distribution.replace('_', ' ')}",
        **formulas(
            distribution,
            f"sqrt({numerator} / {n})",
            rf"\sqrt{{\frac{{{numerator}}}{{{n_latex}}}}}",
        ),
        source=GLOROT,
        keras_config=(
            "VarianceScaling",
            (
                ("scale", scale),
                ("mode", fan_rule),
                ("distribution", _KERAS_DISTRIBUTION[distribution]),
            ),
        ),
        fan_rule=fan_rule,
        gain=math.sqrt(scale),
        arguments=(
            ("scale", scale),
            ("fan_rule", fan_rule),
            ("distribution", distribution),
        ),
    )


def random_normal(std: float = 0.05) -> Scheme:
    """Return the normal distribution of a fixed std, blind to the fans.

    Args:
        std: standard deviation of the weights, above 0.

    Raises:
        ValueError: if `std` is not a finite number above 0.
    """
    std = positive("std", std)
    return Scheme(
        name="random_normal",
        title=f"Normal, std {std:.6g}",
        **formulas("normal", f"{std:.6g}", f"{std:.6g}"),
        source=RUMELHART,
        keras_config=("RandomNormal", (("stddev", std),)),
        gain=std,
        arguments=(("std", std),),
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
    std = positive("std", std)
    kept = f"{TRUNCATION_CORRECTION:.6g}"
    return Scheme(
        name="truncated_normal",
        title=f"Truncated normal, std {std:.6g} before truncation",
        **formulas(
            "truncated_normal", f"{kept} * {std:.6g}", rf"{kept} \cdot {std:.6g}"
        ),
        source=RUMELHART,
        keras_config=("TruncatedNormal", (("stddev", std),)),
        gain=std * TRUNCATION_CORRECTION,
        arguments=(("std", std),),
    )


def random_uniform(limit: float = 0.05) -> Scheme:
    r"""Return the uniform distribution on [-limit, limit], of std limit/√3.

    Args:
        limit: largest absolute weight, above 0.

    Raises:
        ValueError: if `limit` is not a finite number above 0.
    """
    limit = positive("limit", limit)
    return Scheme(
        name="random_uniform",
        title=f"Uniform, limit {limit:.6g}",
        **formulas("uniform", f"{limit:.6g}", f"{limit:.6g}"),
        source=RUMELHART,
        keras_config=("RandomUniform", (("minval", -limit), ("maxval", limit))),
        gain=limit / math.sqrt(3),
        arguments=(("limit", limit),),
    )


def constant(value: float = 0.0) -> Scheme:
    """Return the scheme whose every weight is `value`, so that all units are twins.

    Args:
        value: the weight, any finite number.

    Raises:
        ValueError: if `value` is not a finite number.
    """
    value = finite("value", value)
    return Scheme(
        name="constant",
        title=f"Constant {value:.6g}",
        **formulas("constant", f"{value:.6g}", f"{value:.6g}"),
        source=RUMELHART,
        keras_config=("Constant", (("value", value),)),
        value=value,
        arguments=(("value", value),),
    )


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

_MAKERS = {
    make.__name__: make
    for make in (
        *(constant, random_normal, random_uniform, truncated_normal, variance_scaling),
        *(orthogonal, identity, delta_orthogonal, sparse),
    )
}


def _named(
    name: str,
    title: str,
    source: Source,
    scheme: Scheme,
    keras_class: str | None = None,
) -> Scheme:
    """Give a scheme the name under which the literature knows it, and maybe Keras."""
    return replace(
        scheme,
        name=name,
        title=title,
        source=source,
        keras_config=(keras_class, ()) if keras_class else scheme.keras_config,
        arguments=(),
    )


def _family(
    title: str, source: Source, scale: float, fan_rule: str
) -> tuple[Scheme, ...]:
    """Return a proposal in its three distributions; the last has no name in Keras."""
    name = title.lower()
    return (
        _named(
            *(f"{name}_normal", f"{title} normal", source),
            variance_scaling(scale, fan_rule, "truncated_normal"),
            f"{name.capitalize()}Normal",
        ),
        _named(
            *(f"{name}_uniform", f"{title} uniform", source),
            variance_scaling(scale, fan_rule, "uniform"),
            f"{name.capitalize()}Uniform",
        ),
        _named(
            *(f"{name}_untruncated_normal", f"{title} normal, untruncated", source),
            variance_scaling(scale, fan_rule, "normal"),
        ),
    )


_REGISTRY = {
    scheme.name: scheme
    for scheme in (
        _named("zeros", "Zeros", RUMELHART, constant(0), "Zeros"),
        _named("ones", "Ones", RUMELHART, constant(1), "Ones"),
        *(constant(), random_normal(), random_uniform(), truncated_normal()),
        *_family("LeCun", LECUN, 1, "fan_in"),
        *_family("Glorot", GLOROT, 1, "fan_avg"),
        *_family("He", HE, 2, "fan_in"),
        *(orthogonal(), identity(), delta_orthogonal(), sparse()),
    )
}
