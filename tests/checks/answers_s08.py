"""Right and wrong answers to the exercises on LSUV."""

from __future__ import annotations

import numpy as np

NAMES = ("half of He, 0.9", "half of He, 1.5", "twice He, 0.9", "twice He, 1.5")


def counts(*numbers):
    return dict(zip(NAMES, numbers, strict=True))


def scaled(change=None):
    """Return LSUV by SVD with one slip."""

    def function(draws, x, f):
        kernels, signal = [], np.asarray(x)
        for draw in draws:
            if change == "qr":
                start = np.linalg.qr(draw)[0]
            elif change == "raw":
                start = draw
            elif change == "identity":
                start = np.eye(*draw.shape)
            else:
                u, _, v = np.linalg.svd(draw, full_matrices=False)
                start = u @ v
            z = signal @ start
            seen = f(z) if change in ("after", "after and stale") else z
            scale = np.sqrt(np.var(seen, ddof=1 if change == "ddof" else 0))
            if change == "moment":
                scale = np.sqrt(np.mean(z**2))
            if change == "variance":
                scale = scale**2
            if change == "units":
                scale = z.std(axis=0)
            if change == "none":
                scale = 1
            kernel = start / scale
            kernels.append(kernel)
            if change in ("stale", "after and stale"):
                signal = f(z)
            elif change == "linear":
                signal = signal @ kernel
            elif change != "same input":
                signal = f(signal @ kernel)
        return kernels[:-1] if change == "short" else kernels

    return function


def only_the_last(draws, x, f):
    """Divide the last layer alone."""
    kernels = scaled("none")(draws, x, f)
    for kernel in kernels[:-1]:
        x = f(x @ kernel)
    return [*kernels[:-1], *[k / (x @ k).std() for k in kernels[-1:]]]


def padded(draws, x, f):
    """Fill what the QR of a wide draw lacks with zeros."""
    kernels = []
    for draw in draws:
        q = np.zeros(draw.shape)
        found = np.linalg.qr(draw).Q
        q[:, : found.shape[1]] = found
        kernels.append(q / (x @ q).std())
        x = f(x @ kernels[-1])
    return kernels


def left_behind(seed, networks=2000, samples=8):
    """Scale two layers by hand."""
    rng = np.random.default_rng([8, seed])
    found = []
    for _ in range(networks):
        first = np.linalg.qr(rng.standard_normal((16, 16)))[0]
        second = rng.standard_normal(16)
        few, many = rng.standard_normal((samples, 16)), rng.standard_normal((200, 16))
        first /= (few @ first).std()
        second /= (np.tanh(few @ first) @ second).std()
        found.append(np.var(np.tanh(many @ first) @ second))
    return float(np.mean(found))


def settled(centre, share=1.0, scale=1.0, stale=False):
    """Give every unit the mean ``centre``, or only part of the way to it."""

    def function(kernels, x):
        found, biases = [], []
        for kernel in kernels:
            z = x @ kernel
            mean = share * z.mean(axis=0)
            std = (z - mean).std() / scale
            found.append(kernel / std)
            biases.append(centre - mean / std)
            x = np.maximum(z, 0) if stale else np.maximum((z - mean) / std + centre, 0)
        return found, biases

    return function


def plain(kernels, x):
    kernels = scaled()(kernels, x, lambda z: np.maximum(z, 0))
    return kernels, [np.zeros(64) for _ in kernels]


RIGHT = {
    "s08.1": [counts(14, 0, 60, 30), counts(14.0, np.int64(0), 60, 30)],
    "s08.2": [scaled(), scaled("ddof")],
    "s08.3": [left_behind(0), left_behind(1), 1.6],
    "s08.4": [settled(1.1), settled(0.9, share=0.9), settled(0.85)],
}

WRONG = {
    "s08.1": [
        (counts(60, 60, 60, 60), "leaves a layer alone"),
        (counts(56, 0, 60, 60), "the variance starts again from 1"),
        (counts(8, 0, 30, 20), "compare the standard deviation with 1"),
        (counts(59, 29, 60, 30), "a difference and no ratio"),
        (counts(1, 0, 60, 60), "the ReLU's ½ is missing"),
        (counts(15, 0, 60, 30), "no ReLU stands before the first layer"),
        (counts(29, 0, 20, 20), "measure after the ReLU"),
        (counts(14, 14, 60, 30), "the count for 'half of He, 1.5' is wrong"),
        (14, "a dict is asked for"),
    ],
    "s08.2": [
        (scaled("qr"), "a QR of the wrong shape"),
        (scaled("after"), "the variance is taken after the activation"),
        (scaled("stale"), "stale inputs"),
        (scaled("after and stale"), "two faults"),
        (scaled("moment"), "the second moment is 1 and not the variance"),
        (scaled("variance"), "the square root is missing"),
        (scaled("units"), "divided by a std of its own"),
        (scaled("none"), "never rescaled"),
        (scaled("raw"), "not orthonormal times one number"),
        (scaled("identity"), "does not come from its draw"),
        (padded, "does not come from its draw"),
        (scaled("linear"), "the activation between the layers is missing"),
        (scaled("short"), "a list with one kernel per layer is asked for"),
        (only_the_last, "the output variance of layer 1 is"),
        (lambda draws, x, f: x, "a list with one kernel per layer is asked for"),
        (lambda draws, x, f: [x[0] for _ in draws], "an array of shape (5, 10)"),
        (scaled()([np.eye(3)], np.eye(3), np.tanh), "the function itself is asked"),
    ],
    "s08.3": [
        (1.02, "on the eight samples themselves"),
        (0.645, "this is the inverse"),
        (0.875, "what eight samples measure"),
        (1.245, "the standard deviation, or the median"),
        (1.143, "n − 1 for n"),
        (1.36, "with n − 1 (ddof=1)"),
        (3.0, "average the variance of the output on 200 others (within 8 %"),
    ],
    "s08.4": [
        (plain, "of the last layer's variance lies between samples"),
        (settled(0), "but the gradient changes by a factor of"),
        (settled(2), "the network is all but linear"),
        (settled(1, scale=np.sqrt(2)), "the variance of a layer is off by"),
        (settled(1, scale=1.15), "the variance of a layer is off by 0.3"),
        (settled(1, stale=True), "hand the finished output on"),
        (settled(1, share=0), "of the last layer's variance lies between samples"),
        (
            lambda kernels, x: ([0 * k for k in kernels], [k[0] for k in kernels]),
            "the variance of a layer is off by 0.9",
        ),
        (lambda kernels, x: kernels, "2 results are asked for (kernels, biases)"),
    ],
}
