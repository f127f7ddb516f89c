"""Right and wrong answers to the exercises on the papers."""

from __future__ import annotations

import string

import numpy as np

Z = np.linspace(-14, 14, 40_001)
DENSITY = np.exp(-(Z**2) / 2)
DENSITY = DENSITY / DENSITY.sum()


def steepest_fall():
    """Look for the smallest second difference of LeCun's function."""
    x = np.arange(0, 20_001) / 5000
    return x[1 + np.argmin(np.diff(np.tanh(x / 1.5), n=2))]


def by_hand(year, link):
    """Read the link without a regular expression."""
    head, dot, number = link.partition("https://arxiv.org/abs/")[2].partition(".")
    digits = set(string.digits)
    form = (
        link == f"https://arxiv.org/abs/{head}.{number}"
        and len(head) == 4
        and len(number) in (4, 5)
        and set(head + number) <= digits
    )
    if not form:
        return ["form"]
    wrong = set()
    if head[2:] not in [f"{month:02d}" for month in range(1, 13)]:
        wrong.add("month")
    if (head < "1500") == (len(number) == 5):
        wrong.add("digits")
    if year % 100 not in (int(head[:2]), int(head[:2]) + 1):
        wrong.add("year")
    return wrong


def slipped(change):
    def faults(year, link):
        start = link.find("https://arxiv.org/abs/")
        rest = link[start + 22 :]
        if change == "behind":
            rest = rest[: 10 if rest[9:10].isdigit() else 9]
        if change == "anywhere":
            rest = rest[: 10 if rest[9:10].isdigit() else 9]
            start = min(start, 0)
        clean = "https://arxiv.org/abs/" + rest
        found = by_hand(year, clean if start == 0 else "")
        if "form" in found:
            return {"form"}
        found, posted, month = set(found), 2000 + int(rest[:2]), rest[2:4]
        if change == "month" or (change == "month 00" and month == "00"):
            found -= {"month"}
        if change == "digits":
            found -= {"digits"}
        if change in ("2014", "2016"):
            five = posted >= int(change)
            found -= {"digits"}
            found |= {"digits"} if five != (len(rest) == 10) else set()
        allowed = {
            "same year": range(0, 1),
            "year before": range(-1, 2),
            "any before": range(-99, 2),
            "any after": range(0, 99),
            "next only": range(1, 2),
        }
        if change in allowed:
            found -= {"year"}
            found |= set() if year - posted in allowed[change] else {"year"}
        if change == "first":
            found = set(sorted(found, key=["month", "digits", "year"].index)[:1])
        if change == "text":
            return ", ".join(found)
        return found

    return faults


def scatter(seed, linear=False, of=np.log):
    """Draw the matrices themselves, for 1500 networks of three layers of 50."""
    rng = np.random.default_rng(seed)
    h = np.ones((1500, 1, 50))
    for _ in range(3):
        kernels = rng.normal(0, ((1 if linear else 2) / 50) ** 0.5, (1500, 50, 50))
        h = h @ kernels
        h = h if linear else np.maximum(h, 0)
    return np.var(of(np.mean(h**2, axis=(1, 2)))) / (3 / 50)


def standardized(g, centred=True, power=0.5):
    centre = np.sum(g(Z) * DENSITY) if centred else 0
    scale = np.sum((g(Z) - centre) ** 2 * DENSITY) ** power
    return lambda x: (g(x) - centre) / scale


def elu(alpha):
    return lambda x: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def selu(x):
    return 1.0507 * elu(1.6733)(x)


def relu(x):
    return np.maximum(x, 0)


def softplus(x):
    return np.logaddexp(0, x)


def wavy(x):
    return x + np.sin(2 * x)


def without_mean():
    """Variance 1, but the mean of the ELU is left."""
    g = standardized(elu(2.5))
    return lambda x: g(x) + 0.3


RIGHT = {
    "s15.1": [steepest_fall(), 0.98772, np.log(2 + 3**0.5) * 0.75],
    "s15.2": [by_hand, slipped("")],
    "s15.3": [scatter(0), 5, 5.24],
    "s15.4": [
        standardized(wavy),
        standardized(elu(1.0)),
        standardized(elu(3.0)),
        lambda x: standardized(wavy)(x).tolist(),
    ],
}

WRONG = {
    "s15.1": [
        (1, "what the paper says"),
        (np.arctanh(3**-0.5), "this is the argument of the tanh"),
        (np.arctanh(3**-0.5) / 1.5, "not 2/3"),
        (1.7159 * np.tanh(0.98772 / 1.5), "the value of the function there"),
        (3**-0.5, "the value of the tanh there"),
        (-0.98772, "the mirror image"),
        (0.0, "take the derivative once more"),
        (2.0, "set the third derivative to zero"),
    ],
    "s15.2": [
        (slipped("behind"), "with re.fullmatch"),
        (slipped("anywhere"), "before or behind"),
        (slipped("same year"), "may be published in the year after"),
        (slipped("year before"), "cannot be posted in the year after"),
        (slipped("any before"), "ask for both bounds"),
        (slipped("any after"), "long after the posting"),
        (slipped("month"), "the month is not checked"),
        (slipped("month 00"), "there is no month 00"),
        (slipped("digits"), "the number of digits is not checked"),
        (slipped("2014"), "not with 2014"),
        (slipped("2016"), "not with 2016"),
        (slipped("first"), "you stop at the first fault"),
        (slipped("next only"), "for https://arxiv.org/abs/1502.01852 and 2015"),
        (slipped("text"), "a set of names is asked for"),
    ],
    "s15.3": [
        (scatter(1, of=lambda q: np.log(q) / 2), "the logarithm of the rms"),
        (scatter(2, linear=True), "of a linear network"),
        (scatter(3, of=np.log10), "the decimal logarithm"),
        (7.2, "the standard deviation gives"),
        (6.4, "without its logarithm"),
        (0.52, "divide it by the sum"),
        (0.052, "you multiplied by the sum"),
        (52, "that of a single layer"),
        (20, "the variance over networks of the logarithm"),
    ],
    "s15.4": [
        (selu, "SELU itself"),
        (without_mean(), "the variance is 1, but the mean"),
        (relu, "the mean of f(z) over a standard normal z"),
        (standardized(elu(2.5), centred=False), "the mean of f(z) over"),
        (standardized(elu(2.5), power=1), "divide by the std"),
        (np.tanh, "divide by the std"),
        (standardized(softplus), "but it repels"),
        (standardized(relu), "it hardly attracts"),
        (lambda x: x, "it hardly attracts"),
        (standardized(np.tanh), "loses the gradient of large inputs"),
        (standardized(np.arcsinh), "loses the gradient of large inputs"),
        (lambda x: x.mean(), "an array of shape (6001,) is asked for, this is 0"),
        (lambda x: np.sqrt(x), "not every number in this one is finite"),
        (1.0, "the function itself is asked for"),
    ],
}
