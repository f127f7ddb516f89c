"""Right and wrong answers to the exercises on orthogonal initialization."""

from __future__ import annotations

import math

import numpy as np


def polar(rng, shape, gain):
    """Take the polar factor of a normal matrix, which needs no signs."""
    u, _, v = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    return gain * (u @ v)


def gram_schmidt(rng, shape, gain):
    rows, columns = max(shape), min(shape)
    basis = []
    while len(basis) < columns:
        new = rng.normal(size=rows)
        for known in basis * 2:
            new = new - (new @ known) * known
        basis.append(new / np.linalg.norm(new))
    q = gain * np.array(basis).T
    return q if shape == q.shape else q.T


def slipped(slip):
    def draw(rng, shape, gain):
        if slip == "seed":
            rng = np.random.default_rng(0)
        if slip == "normal":
            return gain * rng.normal(size=shape) / math.sqrt(shape[0])
        if slip == "square":
            return gain * np.linalg.qr(rng.normal(size=shape))[0]
        q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
        if slip != "signs":
            q = q * np.sign(np.diag(r))
        q = {"gain": q, "squared": gain**2 * q, "root": gain**0.5 * q}.get(
            slip, gain * q
        )
        if slip == "turned":
            return q
        return q if shape[0] >= shape[1] else q.T

    return draw


def permutation(rng, shape, gain):
    """Choose one input for each unit, with a sign."""
    square = np.eye(max(shape))[rng.permutation(max(shape))]
    square = square * rng.choice((-gain, gain), size=max(shape))
    return square[: shape[0], : shape[1]]


def one_basis(rng, shape, gain):
    """Use one orthogonal matrix for ever, with new signs."""
    q = polar(np.random.default_rng(6), (max(shape), min(shape)), gain)
    q = q * rng.choice((-1, 1), size=min(shape))
    return q if shape == q.shape else q.T


def half_mended(rng, shape, gain):
    """Take the signs back in square kernels only."""
    q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
    q = gain * (q * np.sign(np.diag(r)) if shape[0] == shape[1] else q)
    return q if shape == q.shape else q.T


def kernel_of(*taps, mix=None, scale=1.0):
    """Let output channel k stand in the k-th of the ``taps``."""
    if mix is None:
        mix = polar(np.random.default_rng(3), (4, 4), 1.0)
    kernel = np.zeros((3, 3, 4, 4))
    for channel in range(4):
        kernel[taps[channel % len(taps)]][:, channel] += scale * mix[:, channel]
    return kernel


def inputs_moved():
    """Move the input channels first, then mix."""
    mix = polar(np.random.default_rng(8), (4, 4), 1.0)
    kernel = np.zeros((3, 3, 4, 4))
    for channel, tap in enumerate(((0, 1), (1, 0), (2, 2), (1, 1))):
        kernel[tap][channel] = mix[channel]
    return kernel


def reshaped():
    """Do as Keras does: orthogonal for one patch."""
    return polar(np.random.default_rng(2), (36, 4), 1.0).reshape(3, 3, 4, 4)


CORNERS = ((0, 0), (0, 2), (2, 0), (2, 2))

RIGHT = {
    "s07.1": [1 / 64, 0.25 * 0.25 * 0.25],
    "s07.2": [polar, gram_schmidt],
    "s07.3": [0.63, 0.6],
    "s07.4": [inputs_moved(), kernel_of(*CORNERS).tolist()],
}

WRONG = {
    "s07.1": [
        (1, "the length is kept where a layer widens only"),
        (4.0**-6, "three of the six layers widen"),
        (1 / 8, "this is the factor of the length"),
        (64, "turned round"),
        (0.25, "this is one projection"),
        (3, "multiply what each of the six layers keeps"),
    ],
    "s07.2": [
        (slipped("seed"), "one shared seed"),
        (slipped("normal"), "the singular values are not equal"),
        (slipped("square"), "the Q of a wide matrix is square"),
        (
            slipped("turned"),
            "for shape (4, 10): an array of shape (4, 10) is asked for",
        ),
        (slipped("gain"), "every singular value is 1: multiply"),
        (slipped("squared"), "the square of the gain"),
        (slipped("root"), "the root of the gain"),
        (slipped("signs"), "take them back with those of R's diagonal"),
        (permutation, "orthogonal, but not uniform"),
        (one_basis, "orthogonal, but not uniform"),
        (half_mended, "take them back with those of R's diagonal"),
        (
            lambda rng, shape, gain: np.full(shape, np.nan),
            "not every number in this one is finite",
        ),
        (lambda rng, shape, gain: "q", "is asked for, this is 'q'"),
        (2.0, "the function itself is asked for"),
    ],
    "s07.3": [
        (1.0, "both have the same luck here"),
        (1.6, "turned round"),
        (0.79, "this is the ratio of the standard deviations"),
        (0, "without a ReLU an orthogonal network has no luck"),
        (9, "divide the variance of the log"),
    ],
    "s07.4": [
        (np.zeros((3, 3, 4, 4)), "the kernel is zero"),
        (reshaped(), "patches overlap"),
        (kernel_of((1, 1), mix=np.tri(4)), "no orthogonal matrix"),
        (kernel_of(*CORNERS, scale=2), "every image is multiplied by 2"),
        (kernel_of((1, 1)), "only 1 of the nine taps"),
        (kernel_of(*CORNERS, mix=np.eye(4)), "12 of 16 pairs of channels do not meet"),
        (np.zeros((3, 3, 4)), "finite numbers of shape (3, 3, 4, 4) are asked for"),
        ("kernel", "this is 'kernel'"),
    ],
}
