"""Right and wrong answers to the exercises on debugging a start."""

from __future__ import annotations

import math

import numpy as np

from initlab.checks import s13

SHARES = np.array([0.9, 0.09, 0.01])


def starts(bias="log", weight="balanced"):
    """Count ten thousand labels instead of weighing shares."""
    labels = np.repeat([0, 1, 2], [9000, 900, 100])
    biases = {
        "log": np.log(SHARES),
        "logit": np.log(SHARES / (1 - SHARES)),
        "turned": -np.log(SHARES),
        "shares": SHARES,
    }[bias]
    weights = {
        "balanced": len(labels) / (3 * np.bincount(labels)),
        "no third": 1 / SHARES,
        "none": np.ones(3),
        "shares": SHARES,
    }[weight][labels]
    found = {}
    for name, logits in (("zero", np.zeros(3)), ("prior", biases)):
        p = np.exp(logits) / np.exp(logits).sum()
        losses = -np.log(p[labels])
        found[name] = np.mean(losses)
        found[f"weighted {name}"] = np.mean(weights * losses)
    return found


def census(change=None):
    """Go unit by unit, and fit each unit by a line in each other."""

    def same(a, b):
        a, b = a.astype(float), b.astype(float)
        if change == "equal":
            return np.array_equal(a, b)
        ones = np.zeros_like(a) if change == "no bias" else np.ones_like(a)
        # Powers of ten keep a saturated unit's tiny outputs in the fit.
        scale_a, scale_b = np.abs(a - a.mean()).max(), np.abs(b - b.mean()).max()
        if not scale_a or not scale_b:
            return False
        if change != "no bias":
            a, b = (a - a.mean()) / scale_a, (b - b.mean()) / scale_b
        line = np.stack([a, ones], axis=1)
        fit, *_ = np.linalg.lstsq(line, b, rcond=None)
        if change == "signed" and fit[0] < 0:
            return False
        return np.abs(line @ fit - b).max() < 1e-4 * np.abs(b).max()

    def function(h, slopes, steepest):
        samples, units = h.shape
        found = np.zeros((3, units), dtype=bool)
        for unit in range(units):
            column = slopes[:, unit]
            found[0, unit] = np.count_nonzero(column) == 0
            if change == "outputs":
                found[0, unit] = np.count_nonzero(h[:, unit]) == 0
            if change == "any":
                found[0, unit] = np.count_nonzero(column) < samples
            limit = 0.05 * (1 if change == "absolute" else steepest)
            flat = np.count_nonzero(column < limit) >= 0.9 * samples
            if change == "mean":
                flat = column.sum() / samples < limit
            if change == "all":
                flat = column.max() < limit
            found[1, unit] = flat and (change == "both" or not found[0, unit])
        for one in range(units):
            for other in range(one):
                if found[0, one] or found[0, other]:
                    if change != "dead twins" or not found[0, [one, other]].all():
                        continue
                    found[2, [one, other]] = True
                elif same(h[:, one], h[:, other]):
                    found[2, one] = True
                    found[2, other] |= change != "second"
        return tuple(found)

    return function


TRUTH = {
    "P": "loud output",
    "Q": "healthy",
    "R": "weak column",
    "S": "two wrongs",
    "T": "twins",
    "U": "dead units",
}


def repair(**change):
    """Rescale by measuring the signal, layer by layer, instead of the kernel."""

    def function(network):
        x, y, kernels, biases = network
        if change.get("center", True):
            x = x - x.mean(axis=0)
        if change.get("columns", True):
            x = x / np.sqrt((x**2).mean(axis=0) - x.mean(axis=0) ** 2)
        if change.get("biases", True):
            biases = [0 * bias for bias in biases]
        kernels, h = list(kernels), x
        for layer, bias in enumerate(biases):
            if change.get("kernels", True):
                z = h @ kernels[layer]
                kernels[layer] = kernels[layer] * (
                    change.get("size", math.sqrt(2)) / np.sqrt(np.mean(z**2))
                )
                if layer == len(biases) - 1:
                    kernels[layer] = 0.2 * kernels[layer]
            h = np.maximum(h @ kernels[layer] + bias, 0)
        return s13.Network(x, y, kernels, biases)

    return function


def by_norm(power, **change):
    """Rescale each kernel by its Frobenius norm."""

    def function(network):
        fixed = repair(kernels=False, **change)(network)
        kernels = []
        for kernel in fixed.kernels:
            norm = np.linalg.norm(kernel)
            kernels.append(kernel / norm * math.sqrt(power * kernel.shape[1]))
        return fixed._replace(kernels=kernels)

    return function


def uncentred(network):
    fixed = by_norm(2, center=False)(network)
    *kernels, last = fixed.kernels
    return fixed._replace(kernels=[*kernels, last / math.sqrt(2)])


def drawn_anew(network):
    rng = np.random.default_rng(0)
    kernels = [
        rng.normal(scale=math.sqrt(2 / len(kernel)), size=kernel.shape)
        for kernel in network.kernels
    ]
    return repair(kernels=False)(network)._replace(kernels=kernels)


def other_data(network):
    return network._replace(x=s13.healthy(0).x)


def other_labels(network):
    return network._replace(y=np.roll(network.y, 1, axis=0))


def beyond_bounds(factor):
    """Repair all, and then scale the kernels until squares under- or overflow."""

    def scaled(network):
        new = repair()(network)
        return new._replace(kernels=[factor * kernel for kernel in new.kernels])

    return scaled


RIGHT = {
    "s13.1": [
        starts(),
        {
            "zero": 1.0986,
            "prior": 0.3576,
            "weighted zero": 1.0986,
            "weighted prior": 2.3728,
        },
    ],
    "s13.2": [census()],
    "s13.3": [TRUTH, dict(reversed(TRUTH.items()))],
    "s13.4": [repair(), by_norm(2)],
}

WRONG = {
    "s13.1": [
        ({k: v / math.log(2) for k, v in starts().items()}, "these are bits"),
        (starts(bias="logit"), "is the bias of one sigmoid"),
        (starts(bias="turned"), "the sign of the bias is turned"),
        (starts(bias="shares"), "their logarithms are the bias"),
        (starts(weight="no third"), "without the 1/3"),
        (starts(weight="none"), "as the plain ones"),
        (starts(weight="shares"), "which drown a rare class further"),
        (starts() | {"weighted zero": 1.5}, "“weighted zero” is 1.5"),
        (starts() | {"weighted prior": math.log(3)}, "“weighted prior” is 1.09861"),
        ({"zero": 1.0986}, "the dict lacks"),
        (1.0986, "a dict is asked for"),
    ],
    "s13.2": [
        (census("outputs"), "as dead as one that always says 0"),
        (census("any"), "dead means without slope for all"),
        (census("both"), "each unit has one name"),
        (census("absolute"), "use the third argument"),
        (census("mean"), "takes the mean slope"),
        (census("all"), "not for all"),
        (census("equal"), "this finds equal outputs only"),
        (census("signed"), "a unit with the opposite sign is a twin too"),
        (census("no bias"), "for the next layer has a bias"),
        (census("second"), "mark both"),
        (census("dead twins"), "for twelve ReLU units: the values of twins are wrong"),
        (lambda h, slopes, steepest: (slopes == 0).all(axis=0), "3 results are asked"),
    ],
    "s13.3": [
        (TRUTH | {"P": "wrong gain"}, "patient P, “wrong gain”: a wrong gain is one"),
        (TRUTH | {"Q": "weak layer"}, "for one step; is that an illness?"),
        (TRUTH | {"Q": "dead units"}, "for one step; is that an illness?"),
        (TRUTH | {"R": "healthy"}, "patient R is ill: signal and gradient are fine"),
        (TRUTH | {"S": "weak layer"}, "stays small in all layers behind it"),
        (TRUTH | {"S": "healthy"}, "does not fit its neighbours'"),
        (TRUTH | {"T": "dead units"}, "are off for all samples, which"),
        (TRUTH | {"T": "weak column"}, "the smallest std of a column is 1.0 times"),
        (TRUTH | {"T": "healthy"}, "how many different things"),
        (TRUTH | {"U": "two wrongs"}, "a kernel too small before one too large"),
        (TRUTH | {"U": "twins"}, "of a layer are multiples of another"),
        (TRUTH | {"U": "loud output"}, "which is not loud"),
        (TRUTH | {"U": "sick"}, "'sick' is no name in s13.ILLNESSES (patient U)"),
        ({"P": "healthy"}, "the dict's keys are the patients"),
    ],
    "s13.4": [
        (beyond_bounds(1e-250), "what holds them down?"),
        (beyond_bounds(1e200), "such layers explode"),
        (lambda network: network, "the columns of x are still in different units"),
        (repair(columns=False), "the columns of x are still in different units"),
        (repair(biases=False, kernels=False), "what holds them down?"),
        (repair(kernels=False), "the gradient between is not"),
        (by_norm(1), "such layers leave little of signal and gradient"),
        (by_norm(5), "such layers explode"),
        (uncentred, "take the means off"),
        (drawn_anew, "scale it, do not draw it anew"),
        (other_data, "that would be other data"),
        (other_labels, "the labels have changed"),
        (lambda network: network.x, "has to return a Network"),
    ],
}
