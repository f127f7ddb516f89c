"""The exercises on the papers: check a link, reproduce a number, make one's own.

The four tasks take up LeCun (1998), the links of the list, Hanin and Rolnick (2018),
and Klambauer (2017). Each task stands after what grades it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from initlab.checks.core import (
    Case,
    FunctionTask,
    MeasuredTask,
    Task,
    ValueTask,
    answered,
)

TITLE = "s15 · The papers"

# s15.1: where LeCun's sigmoid bends most

# The slope of tanh is 1 - t², so its second derivative is -2t(1 - t²), which is largest
# in size where 3t² = 1.
_BEND = math.atanh(1 / math.sqrt(3))

_LECUN = ValueTask(
    name="s15.1",
    section="Symmetry and scale",
    title="read LeCun with a ruler",
    hints=(
        "Write t for tanh(u). Its slope is 1 - t², and the slope of that is "
        "-2t(1 - t²). For which t between 0 and 1 is this largest in size?",
        "3t² = 1, so u = artanh(1/√3). That is the argument of the tanh; with u = 2x/3 "
        "you get x. Or try many x with np.gradient, twice.",
    ),
    expected=1.5 * _BEND,
    mistakes=(
        (
            1.0,
            "that is what the paper says, and it is rounded; compute one more digit "
            "or two",
        ),
        (
            _BEND,
            "this is the argument of the tanh; the argument of the tanh is 2x/3, so x "
            "is 3/2 times as large",
        ),
        (
            _BEND / 1.5,
            "the argument of the tanh is 2x/3, so x is 3/2 times as large as it, not "
            "2/3 times",
        ),
        (
            1.7159 / math.sqrt(3),
            "this is the value of the function there; the place x is asked for",
        ),
        (
            1 / math.sqrt(3),
            "this is the value of the tanh there; the place x is asked for",
        ),
        (-1.5 * _BEND, "this is the mirror image; x > 0 is asked for"),
        (
            0.0,
            "at 0 the slope is largest and the second derivative is zero; take the "
            "derivative once more",
        ),
    ),
    rtol=1e-3,
    remedy="set the third derivative to zero, or look for the largest size of the "
    "second one on a fine grid",
)


# s15.2: what a link can tell

_ABSTRACT = r"https://arxiv\.org/abs/(\d\d)(\d\d)\.(\d{4,5})"


def _faults_by(
    pattern: str = _ABSTRACT,
    match: Callable[..., Any] = re.fullmatch,
    lowest: int = 0,
    highest: int = 1,
    months: range = range(1, 13),
    five_digits_from: int | None = 15,
    only_first: bool = False,
) -> Callable[[int, str], set[str]]:
    def faults(year: int, link: str) -> set[str]:
        found = match(pattern, link, flags=re.ASCII)
        if not found:
            return {"form"}
        posted, month, number = int(found[1]), int(found[2]), found[3]
        wrong = []
        if month not in months:
            wrong.append("month")
        if five_digits_from is not None:
            if (len(number) == 5) != (posted >= five_digits_from):
                wrong.append("digits")
        if not lowest <= year - 2000 - posted <= highest:
            wrong.append("year")
        return set(wrong[:1] if only_first else wrong)

    return faults


_faults = _faults_by()


def _link(identifier: str) -> str:
    return f"https://arxiv.org/abs/{identifier}"


_LINKS = FunctionTask(
    name="s15.2",
    section="Links checked",
    title="what a link can tell",
    hints=(
        "Take the identifier apart with re.fullmatch, which accepts nothing before and "
        r"nothing behind: two groups of \d\d, then a dot, then \d{4,5}.",
        "If nothing matches, return {'form'}. Otherwise begin with an empty set and "
        "add: the month not in 1 … 12; five digits without a posting year from 2015, "
        "or the other way round; year - posted not in (0, 1).",
    ),
    reference=_faults,
    cases=tuple(
        Case(f"{link} and {year}", (year, link))
        for year, link in (
            (2015, _link("1502.01852")),
            (2014, _link("1312.6120")),
            (2010, _link("1001.3014")),
            (2015, _link("1412.6980")),
            (2016, _link("1511.06422")),
            (2014, _link("1511.06422")),
            (2012, _link("1511.06422")),
            (2018, _link("1511.06422")),
            (2015, _link("1513.01852")),
            (2015, _link("1500.01852")),
            (2015, _link("1502.1852")),
            (2014, _link("1412.06980")),
            (2013, _link("1413.06980")),
            (2015, _link("1502.01852v2")),
            (2015, _link("1502.018520")),
            (2015, "http://arxiv.org/abs/1502.01852"),
            (2015, "https://arxiv.org/pdf/1502.01852"),
            (2015, "see https://arxiv.org/abs/1502.01852"),
            (2010, "https://proceedings.mlr.press/v9/glorot10a.html"),
            (2017, _link("1711.04735")),
            (2010, _link("0912.0001")),
        )
    ),
    mistakes=(
        (
            _faults_by(match=re.match),
            "what stands behind the identifier is accepted, as in 1502.018520: match "
            "the whole link, with re.fullmatch",
        ),
        (
            _faults_by(match=re.search),
            "what stands before or behind the link is accepted: match the whole link, "
            "with re.fullmatch",
        ),
        (
            _faults_by(highest=0),
            "a paper may be published in the year after it was posted, as many "
            "conference papers are",
        ),
        (
            _faults_by(lowest=-1),
            "a paper cannot be posted in the year after it was published here: the "
            "year of publication is that of posting or the next",
        ),
        (
            _faults_by(lowest=-99),
            "a paper cannot be published years before it was posted: ask for both "
            "bounds of the difference",
        ),
        (
            _faults_by(highest=99),
            "a year of publication long after the posting is accepted: it is that of "
            "posting or the next",
        ),
        (
            _faults_by(months=range(100)),
            "the month is not checked: it runs from 01 to 12",
        ),
        (
            _faults_by(months=range(13)),
            "there is no month 00",
        ),
        (
            _faults_by(five_digits_from=None),
            "the number of digits is not checked: four up to 2014, five from 2015",
        ),
        (
            _faults_by(five_digits_from=16),
            "five digits begin with January 2015, not with 2016",
        ),
        (
            _faults_by(five_digits_from=14),
            "five digits begin with January 2015, not with 2014",
        ),
        (
            _faults_by(only_first=True),
            "you stop at the first fault: return all of them, except that nothing "
            "more can be said where the form is wrong",
        ),
    ),
)


# s15.3: Hanin and Rolnick's constant

# One layer multiplies the second moment by the mean over n units of 2 relu(g)² with a
# standard normal g. Its variance is 4 (E[g⁴; g > 0] - E[g²; g > 0]²) / n.
_CONSTANT = 4 * (3 / 2 - (1 / 2) ** 2)

_SCATTER = ValueTask(
    name="s15.3",
    section="Theory: order, chaos, and luck",
    title="Hanin and Rolnick's constant",
    hints=(
        "Take networks of ten ReLU layers of width 100 and one input. The logarithm of "
        "the last second moment differs from network to network: take its variance.",
        "Divide it by the sum of 1/n over the ten layers, 0.1. You need many networks, "
        "but no matrices: given the second moment q of a layer's input, its "
        "pre-activations are independent normal numbers of variance 2q.",
    ),
    expected=_CONSTANT,
    mistakes=(
        (
            _CONSTANT / math.log(10) ** 2,
            "this is the constant of the decimal logarithm; take np.log",
        ),
        (
            _CONSTANT / 4,
            "this is the constant of the logarithm of the rms; the second moment is "
            "its square, so the logarithm doubles and its variance is four times that",
        ),
        (
            2.0,
            "this is the constant of a linear network; here a ReLU stands behind each "
            "layer",
        ),
        (
            6.8,
            "that is near what the standard deviation gives, and what the variance of "
            "the second moment without its logarithm gives; take the variance of the "
            "logarithm",
        ),
        (
            _CONSTANT / 10,
            "this is the variance behind ten layers of 100 units; divide it by the sum "
            "of the reciprocal widths, 0.1",
        ),
        (
            _CONSTANT / 100,
            "you multiplied by the sum of the reciprocal widths; divide by it",
        ),
        (
            10 * _CONSTANT,
            "the variance is divided by 1/100, that of a single layer; the sum over "
            "ten layers is 0.1",
        ),
    ),
    # Of 2,000 networks of width 100 the constant has a standard error of 3 %, and a
    # finite width adds up to 5 %.
    rtol=0.15,
    remedy="the variance over networks of the logarithm of the last second moment, "
    "divided by the sum of 1/n over the layers",
)


# s15.4: an activation that normalizes itself

_GRID, _STEP = np.linspace(-12, 12, 6001, retstep=True)
_DENSITY = np.exp(-(_GRID**2) / 2) / math.sqrt(2 * math.pi) * _STEP

_HOLDS = 0.95
"""Largest share of a small deviation of the second moment that a layer may pass on."""

_FAR, _GROWN = 20.0, 5.0


def _selu(z: np.ndarray) -> np.ndarray:
    return 1.0507 * np.where(z > 0, z, 1.6733 * np.expm1(np.minimum(z, 0)))


def _at(f: Any, z: np.ndarray) -> np.ndarray:
    """Return the student's ``f(z)`` as an array of the shape of ``z``."""
    return answered(f, (z,), z, label="an array of numbers from -15 to 20")


def _normalizer(f: Any) -> dict[str, Any]:
    """Return mean, second moment and what becomes of a deviation of it by 2 %."""
    plain, narrow, wide = (
        _at(f, _GRID * math.sqrt(q)) for q in (1.0, 1 - 0.02, 1 + 0.02)
    )
    moments = [float(np.sum(v**2 * _DENSITY)) for v in (narrow, plain, wide)]
    return {
        "mean": float(np.sum(plain * _DENSITY)),
        "moment": moments[1],
        "passed": (moments[2] - moments[0]) / 0.04,
        "selu": bool(np.abs(plain - _selu(_GRID))[np.abs(_GRID) < 4].max() < 0.02),
        "far": float(_at(f, np.array([_FAR]))[0]),
    }


def _off(value: float, right: float) -> bool:
    return abs(value - right) > 1e-3


_OWN = MeasuredTask(
    name="s15.4",
    section="Scales from data, and normalization",
    title="challenge: your own SELU",
    hints=(
        "Any activation can be shifted and scaled to mean 0 and second moment 1. That "
        "is a fixed point. Whether it attracts depends on the shape: what happens to "
        "large inputs must be weaker than proportional somewhere.",
        "GELU and softplus bend upwards and repel, a shifted ReLU does neither. Try an "
        "ELU with another α than 1.6733, or x plus something that saturates, and "
        "subtract the mean, then divide by the std, both computed on a fine grid.",
    ),
    measure=_normalizer,
    diagnoses=(
        (
            lambda found: found["selu"],
            "this is SELU itself; find another function",
        ),
        (
            lambda found: (
                _off(found["mean"], 0)
                and not _off(found["moment"] - found["mean"] ** 2, 1)
            ),
            lambda found: (
                f"the variance is 1, but the mean is {found['mean']:.3f}: subtract it, "
                "the next layer feels the second moment"
            ),
        ),
        (
            lambda found: _off(found["mean"], 0),
            lambda found: (
                f"the mean of f(z) over a standard normal z is {found['mean']:.3f}, "
                "and 0 is asked for (within 0.001): subtract it"
            ),
        ),
        (
            lambda found: _off(found["moment"], 1),
            lambda found: (
                f"the mean is 0, the second moment {found['moment']:.3f} where 1 is "
                "asked for (within 0.001): divide by the std, its square root"
            ),
        ),
        (
            lambda found: found["passed"] > 1.005,
            lambda found: (
                f"(0, 1) is a fixed point, but it repels: {found['passed']:.2f} of a "
                "small deviation of the second moment comes out of a layer, and it "
                "grows from layer to layer; try a function that bends less upwards"
            ),
        ),
        (
            lambda found: found["passed"] > _HOLDS,
            lambda found: (
                "(0, 1) is a fixed point, but it hardly attracts: "
                f"{found['passed']:.2f} of a small deviation is passed on, where "
                f"{_HOLDS:g} is the most; a ReLU's two straight pieces pass on all of "
                "it, so bend one of them"
            ),
        ),
        (
            lambda found: found["far"] < _GROWN,
            lambda found: (
                f"(0, 1) attracts, but f({_FAR:.0f}) is {found['far']:.1f}, and at "
                f"least {_GROWN:.0f} is asked for: a function that goes flat loses the "
                "gradient of large inputs"
            ),
        ),
    ),
)

TASKS: tuple[Task, ...] = (_LECUN, _LINKS, _SCATTER, _OWN)
