"""Schemes whose weights depend on each other, so that a kernel is built as a whole."""

from __future__ import annotations

import math
import operator

from initlab._scheme import Scheme, formulas, positive
from initlab._sources import LE, MARTENS, SAXE, XIAO


def orthogonal(gain: float = 1.0) -> Scheme:
    r"""Return a random orthogonal matrix, uniform over all of them, times `gain`.

    A kernel is seen as a matrix whose columns are its last axis. All its singular
    values are `gain`: the columns are orthogonal, or the rows if there are fewer rows.
    A weight has mean 0 and std
    $\mathrm{gain} / \sqrt{\max(n_\mathrm{rows}, n_\mathrm{columns})}$.

    Some kernels are several matrices, and Keras makes only the whole of them
    orthogonal. With the right `kind` each one is: every gate of a recurrent kernel,
    every group of a convolution, the filters of every channel of a depthwise one. As a
    map between images an orthogonal convolution kernel is no isometry, a
    `delta_orthogonal` one is.

    Args:
        gain: the singular values, above 0.

    Raises:
        ValueError: if `gain` is not a finite number above 0.
    """
    gain = positive("gain", gain)
    longest = r"\max(n_\mathrm{rows}, n_\mathrm{columns})"
    return Scheme(
        name="orthogonal",
        title=_with_gain("Orthogonal", gain),
        **formulas(
            "orthogonal",
            f"{gain:.6g} / sqrt(max(rows, columns))",
            rf"\frac{{{gain:.6g}}}{{\sqrt{{{longest}}}}}",
        ),
        source=SAXE,
        keras_config=("Orthogonal", (("gain", gain),)),
        fan_rule="longest_side",
        gain=gain,
        arguments=(("gain", gain),),
    )


def identity(gain: float = 1.0) -> Scheme:
    r"""Return `gain` on the diagonal and 0 elsewhere, $w_{ij} = g\,\delta_{ij}$.

    It makes a recurrent kernel remember: the state is passed on as it is. A matrix need
    not be square; inputs or outputs beyond the shorter side are then left out. In a
    recurrent kernel every gate is such a matrix if the `kind` says so.

    Its std is taken over all entries. With L the longer side they have mean
    $g / L$ and mean square $g^2 / L$, hence std $g \sqrt{L - 1} / L$.

    Args:
        gain: the weights on the diagonal, above 0.

    Raises:
        ValueError: if `gain` is not a finite number above 0.
    """
    gain = positive("gain", gain)
    return Scheme(
        name="identity",
        title=_with_gain("Identity", gain),
        **formulas(
            "identity",
            f"{gain:.6g} if row == column else 0",
            rf"{gain:.6g} \, \delta_{{ij}}",
        ),
        source=LE,
        keras_config=("Identity", (("gain", gain),)),
        fan_rule="diagonal",
        gain=gain,
        arguments=(("gain", gain),),
    )


def delta_orthogonal(gain: float = 1.0) -> Scheme:
    r"""Return a convolution kernel that keeps the norm of an image, times `gain`.

    All taps are 0 but the centre one, which is a random orthogonal matrix from the
    input channels to the output channels, so that all singular values of the
    convolution are `gain`. Centre means the tap that "same" padding puts upon the pixel
    itself, index (size - 1) // 2.

    Its std is taken over all entries, of which most are 0: with $i$ inputs the squares
    sum up to $g^2 i$, which leaves a mean square of $g^2 / n_\mathrm{out}$.

    It fills the kernels of Conv1D, Conv2D and Conv3D, also grouped, whose outputs are
    at least as many as their inputs and whose strides are 1; others raise a ValueError.

    Args:
        gain: the singular values, above 0.

    Raises:
        ValueError: if `gain` is not a finite number above 0.
    """
    gain = positive("gain", gain)
    return Scheme(
        name="delta_orthogonal",
        title=_with_gain("Delta-orthogonal", gain),
        **formulas(
            "delta_orthogonal",
            f"{gain:.6g} / sqrt(fan_out)",
            rf"\frac{{{gain:.6g}}}{{\sqrt{{n_\mathrm{{out}}}}}}",
        ),
        source=XIAO,
        keras_config=None,
        fan_rule="fan_out",
        gain=gain,
        arguments=(("gain", gain),),
    )


def sparse(nonzero: int = 15, std: float = 1.0) -> Scheme:
    r"""Return the scheme in which every unit listens to `nonzero` random inputs only.

    These weights are normal, of standard deviation `std`; all others of the unit are 0.
    A unit's pre-activation then has a variance that does not depend on its fan-in, and
    units differ in what they listen to.

    The std of the scheme is taken over all entries of the kernel, it is
    $\mathrm{std} \sqrt{\mathrm{nonzero} / n_\mathrm{in}}$.

    The paper fixes the number of weights. That they have standard deviation 1 was
    written by Sutskever, Martens, Dahl and Hinton, "On the importance of initialization
    and momentum in deep learning", 2013,
    https://proceedings.mlr.press/v28/sutskever13.html

    Args:
        nonzero: incoming weights of a unit that are not 0, at least 1. A kernel of a
            smaller fan-in raises a ValueError when it is drawn.
        std: their standard deviation, above 0.

    Raises:
        ValueError: if `nonzero` is below 1 or `std` is not a finite number above 0.
        TypeError: if `nonzero` is not an integer.
    """
    try:
        nonzero = operator.index(nonzero)
    except TypeError:
        raise TypeError(f"nonzero must be an integer, got {nonzero!r}") from None
    if nonzero < 1:
        raise ValueError(f"nonzero must be at least 1, got {nonzero}")
    std = positive("std", std)
    numerator = f"{nonzero * std**2:.6g}"
    return Scheme(
        name="sparse",
        title=f"Sparse, {nonzero} normal weights of std {std:.6g} per unit",
        **formulas(
            "sparse",
            f"sqrt({numerator} / fan_in)",
            rf"\sqrt{{\frac{{{numerator}}}{{n_\mathrm{{in}}}}}}",
        ),
        source=MARTENS,
        keras_config=None,
        fan_rule="fan_in",
        gain=std * math.sqrt(nonzero),
        nonzero=nonzero,
        arguments=(("nonzero", nonzero), ("std", std)),
    )


def _with_gain(title: str, gain: float) -> str:
    return title if gain == 1 else f"{title}, gain {gain:.6g}"
