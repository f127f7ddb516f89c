"""How every figure of the book looks, and the few drawings that chapters share.

A scheme has one colour in all chapters (:func:`color`). Functions here draw on axes
that they are given; they compute nothing but the interval of what they draw.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.ticker
import numpy as np

from initlab.intervals import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from initlab.doctor import Diagnosis
    from initlab.signals import Signals

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# Okabe & Ito's palette, told apart with every common colour-vision deficiency
# ("Color Universal Design", 2008, https://jfly.uni-koeln.de/color/). Yellow and black
# are left out: one disappears on a white page, the other on a dark one.
_ORANGE, _SKY, _GREEN = "#e69f00", "#56b4e9", "#009e73"
_BLUE, _VERMILION, _PURPLE, _GREY = "#0072b2", "#d55e00", "#cc79a7", "#8c8c8c"
_OLIVE = "#999933"  # for a ninth scheme, from Paul Tol's muted palette
CYCLE = (_BLUE, _ORANGE, _GREEN, _VERMILION, _PURPLE, _SKY, _GREY)

_FAMILY_COLORS = {
    "zeros": _GREY,
    "ones": _PURPLE,
    "constant": _PURPLE,
    "random": _VERMILION,
    "truncated": _VERMILION,
    "lecun": _SKY,
    "glorot": _ORANGE,
    "he": _BLUE,
    "orthogonal": _GREEN,
    "delta": _GREEN,
    "identity": _PURPLE,
    "sparse": _VERMILION,
    "gain": _PURPLE,  # the gain that `theory` finds for the activation at hand
    "lsuv": _OLIVE,
}
_STYLE = {
    "figure.figsize": (5.6, 3.5),
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.35,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 10,
}


def use_style() -> None:
    """Set the course's plot style for all figures from now on."""
    matplotlib.rcParams.update(_STYLE)
    matplotlib.rcParams["axes.prop_cycle"] = matplotlib.cycler(color=CYCLE)


def color(scheme: str) -> str:
    """The colour of a scheme, the same in every chapter.

    Args:
        scheme: A scheme's name; its family (the part before the first ``_``) decides.

    Raises:
        ValueError: If the family has no colour.
    """
    family = scheme.split("_")[0]
    if family not in _FAMILY_COLORS:
        raise ValueError(
            f"no colour for the scheme {scheme!r}; "
            f"families with one are {', '.join(_FAMILY_COLORS)}"
        )
    return _FAMILY_COLORS[family]


def band(axes: Axes, x: Any, values: Any, *, log: bool = False, **style: Any) -> None:
    """Draw the mean over seeds as a line and its 95 % interval as a band.

    Args:
        axes: Where to draw.
        x: ``(points,)``.
        values: ``(seeds, points)``.
        log: Average the logarithms (the geometric mean), as a log axis needs: the
            plain mean of numbers over several decades is that of the largest one.
        **style: ``color``, ``label`` and other options of the line.
    """
    values = np.asarray(values, dtype=float)
    summary = interval(np.log(values) if log else values)
    mean, low, high = (
        np.exp(part) if log else part
        for part in (summary.mean, summary.low, summary.high)
    )
    (line,) = axes.plot(x, mean, **style)
    axes.fill_between(x, low, high, color=line.get_color(), alpha=0.25, linewidth=0)


def logarithmic(axes: Axes, which: str, low: float, high: float) -> None:
    """Give an axis a logarithmic scale with fixed limits and ticks at powers of ten.

    Fixed limits let a reader see a curve move between two figures, or under a slider.
    The ticks are plain text: a static page then needs no mathematical font for them.

    Args:
        axes: The axes to change.
        which: ``"x"`` or ``"y"``.
        low: Smallest value shown, above 0.
        high: Largest value shown, above ``low``.

    Raises:
        ValueError: If the limits are not positive and increasing.
    """
    if which not in ("x", "y"):
        raise ValueError(f"which must be 'x' or 'y', got {which!r}")
    if not 0 < low < high:
        raise ValueError(f"limits must be positive and increasing, got {low}, {high}")
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    every = max(1, math.ceil(len(powers) / 7))
    ticks = [10.0**power for power in powers if power % every == 0]
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis.set_ticks(ticks, [power_of_ten(tick) for tick in ticks])
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


def power_of_ten(value: float) -> str:
    """Write a power of ten as a reader would: 0.01, 0.1, 1, 10, 100, else 10⁶."""
    power = round(math.log10(value))
    if -2 <= power <= 2:
        return f"{10.0**power:g}"
    return "10" + str(power).translate(_SUPERSCRIPTS)


def reference(
    axes: Axes,
    *,
    x: float | None = None,
    y: float | None = None,
    text: str = "",
) -> None:
    """Draw a dashed line where theory, or chance, puts a value.

    Args:
        axes: Where to draw.
        x: Where a vertical line stands, if there is one.
        y: Where a horizontal line lies, if there is one.
        text: Its name in the legend.
    """
    ink = matplotlib.rcParams["text.color"]
    style = {"color": ink, "linestyle": "--", "linewidth": 1.2, "label": text or None}
    if x is not None:
        axes.axvline(x, **style)
    if y is not None:
        axes.axhline(y, **style)


def signals_by_layer(signals: Signals, *, decades: int = 9) -> Figure:
    """Draw how large the signal is at every layer, forward above and backward below.

    Both panels show root mean squares, geometric mean and 95 % interval over the
    networks, from 10 to the minus to 10 to the plus ``decades``; curves that leave the
    range end at its edge.

    Args:
        signals: What ``propagate`` returned.
        decades: How many powers of ten are shown on either side of 1.
    """
    import matplotlib.pyplot as plt

    low, high = 10.0**-decades, 10.0**decades
    figure, panels = plt.subplots(2, 1, figsize=(5, 4.8), sharex=True)
    layers = np.arange(len(signals.widths))
    for axes, values, name, ink in (
        (panels[0], signals.rms, "Forward: rms of the signal", _BLUE),
        (panels[1], signals.gradient_rms, "Backward: rms of the gradient", _VERMILION),
    ):
        band(axes, layers, np.clip(values, low / 10, high * 10), log=True, color=ink)
        reference(axes, y=1)
        logarithmic(axes, "y", low, high)
        axes.set_title(name, loc="left")
    panels[1].set_xlabel("layer (0 is the input)")
    return figure


def diagnosis(result: Diagnosis) -> Figure:
    """Draw a diagnosis: how large signal, gradient and weights are at every layer.

    The dashed line is where a healthy layer is: root mean square 1 before the
    activation, and weights of the std that fan-in and activation ask for. Layers that
    a finding names are marked; what is 0 or not finite is left out.

    Args:
        result: what ``diagnose`` returns.
    """
    import matplotlib.pyplot as plt

    layers = [signs for signs in result.vitals.layers if signs.has_kernel]
    named = {name for found in result.findings for name in found.layers}
    sick = np.array([signs.name in named for signs in layers])
    places = np.arange(1, len(layers) + 1)
    figure, panels = plt.subplots(3, 1, figsize=(5, 6), sharex=True)
    rms = [math.sqrt(signs.pre_activation) for signs in layers]
    slopes = [math.sqrt(signs.gradient or 0) for signs in layers]
    ratios = [signs.std_ratio or 0 for signs in layers]
    for axes, values, name in (
        (panels[0], rms, "Forward: rms before the activation"),
        (panels[1], slopes, "Backward: rms of the gradient"),
        (panels[2], ratios, "Std of the weights over the std asked for"),
    ):
        drawn = np.array([v if 0 < v < math.inf else math.nan for v in values])
        axes.plot(places, drawn, "o-", color=_BLUE, markersize=4)
        axes.plot(places[sick], drawn[sick], "s", color=_VERMILION, label="ill")
        shown = drawn[np.isfinite(drawn)] if np.isfinite(drawn).any() else np.ones(1)
        low, high = (math.log10(end) for end in (shown.min(), shown.max()))
        decades = 10.0 ** math.floor(min(low, 0)), 10.0 ** math.ceil(max(high, 0) + 0.1)
        logarithmic(axes, "y", decades[0] / 1.5, decades[1])
        axes.set_title(name, loc="left")
        if axes is not panels[1]:
            reference(axes, y=1)
    if sick.any():
        panels[0].legend()
    panels[2].set_xlabel("layer with weights, in the order of the calls")
    panels[2].xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    return figure
