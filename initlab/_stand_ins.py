"""Small generated data sets with the shapes and dtypes of the real ones.

They are given where there is neither a copy nor a network, so that every cell still
runs and still learns something: pictures of garments, coloured figures, reviews with a
mood. Numbers measured on them say nothing about the real data. All are deterministic.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
IMAGE_COUNTS = {"fashion_mnist": (6000, 1000), "cifar10": (5000, 1000)}
REVIEW_COUNTS = (2500, 1000)


def generate(name: str) -> Arrays:
    """Return `(x_train, y_train, x_test, y_test)` in the form of the real data set.

    Args:
        name: "fashion_mnist", "cifar10" or "imdb".
    """
    return {"fashion_mnist": _garments, "cifar10": _figures, "imdb": _reviews}[name]()


def _split(x: np.ndarray, y: np.ndarray, train: int) -> Arrays:
    return x[:train], y[:train], x[train:], y[train:]


def _labels(
    rng: np.random.Generator, counts: tuple[int, int], classes: int
) -> np.ndarray:
    """Return shuffled labels, equally many of every class in both splits."""
    parts = [rng.permutation(np.arange(count) % classes) for count in counts]
    return np.concatenate(parts).astype(np.uint8)


def _grid(
    rng: np.random.Generator, count: int, size: int, scale: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates about [-1, 1], stretched and shifted by image: (n, s, s)."""
    axis = (np.arange(size) - (size - 1) / 2) / (size / 2)
    v, u = np.meshgrid(axis, axis, indexing="ij")
    stretch = rng.uniform(*scale, (2, count, 1, 1))
    shift = rng.uniform(-0.12, 0.12, (2, count, 1, 1))
    return (u - shift[0]) / stretch[0], (v - shift[1]) / stretch[1]


def _garments() -> Arrays:
    """Draw the ten garments of Fashion-MNIST in their order: bright on black."""
    rng = np.random.default_rng(20170825)
    y = _labels(rng, IMAGE_COUNTS["fashion_mnist"], 10)
    x = np.empty((y.size, 28, 28), np.uint8)
    for label, inside in enumerate(_GARMENTS):
        rows = np.flatnonzero(y == label)
        u, v = _grid(rng, rows.size, 28, (0.85, 1.15))
        cut = rng.uniform(0, 1, (rows.size, 1, 1))
        shape = inside(np.abs(u) if label not in (5, 7, 9) else u, v, cut)
        wave = rng.uniform(-9, 9, (3, rows.size, 1, 1))
        cloth = rng.uniform(0.4, 1.0, (rows.size, 1, 1))
        cloth = cloth + 0.2 * np.cos(wave[0] * u + wave[1] * v + wave[2])
        cloth = cloth + rng.normal(0, 0.1, u.shape)
        image = np.where(shape, np.clip(cloth, 0.05, 1), 0)
        x[rows] = (255 * image).astype(np.uint8)
    return _split(x, y, IMAGE_COUNTS["fashion_mnist"][0])


def _torso(u: np.ndarray, v: np.ndarray, width: float, bottom: float) -> np.ndarray:
    neck = (u < 0.16) & (v < -0.72)
    return (u < width) & (v > -0.85) & (v < bottom) & ~neck


def _sleeves(u: np.ndarray, v: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Return two sleeves that hang from the shoulders, `length` 0 to 1."""
    slope = v + 0.85 - 0.6 * (u - 0.4)
    return (u >= 0.4) & (u < 0.8) & (slope > 0) & (slope < 0.3 + 1.2 * length)


# (|u| or u, v, a number in [0, 1] that varies the cut) -> inside; v grows downwards.
_GARMENTS: tuple[Callable[..., np.ndarray], ...] = (
    lambda u, v, c: _torso(u, v, 0.45, 0.85) | _sleeves(u, v, 0.1 + 0.3 * c),
    lambda u, v, c: (
        (np.abs(v) < 0.95) & (u < 0.4) & ((u > 0.05 + 0.1 * c) | (v < -0.5))
    ),
    lambda u, v, c: _torso(u, v, 0.45, 0.8) | _sleeves(u, v, 0.7 + 0.3 * c),
    lambda u, v, c: (np.abs(v) < 0.95) & (u < 0.25 + (0.05 + 0.2 * c) * (v + 1)),
    lambda u, v, c: (
        (_torso(u, v, 0.42, 0.9) & (u > 0.09 * c)) | _sleeves(u, v, 0.7 + 0.3 * c)
    ),
    lambda u, v, c: (
        (np.abs(u) < 0.9)
        & (
            (np.abs(v - 0.45) < 0.08)
            | ((v < 0.4) & (v > 0.3 - 0.8 * c) & (np.cos(7 * u + 5 * v + 6 * c) > 0.6))
        )
    ),
    lambda u, v, c: _torso(u, v, 0.43, 0.88) | _sleeves(u, v, 0.2 + 0.65 * c),
    lambda u, v, c: (np.abs(u) < 0.9) & (v < 0.45) & (v > -0.3 * (u + 0.9 * c)),
    lambda u, v, c: (
        ((u < 0.8) & (v > -0.25) & (v < 0.75))
        | (np.abs(np.hypot(u, v + 0.25) - 0.45) < 0.05 + 0.05 * c)
    ),
    lambda u, v, c: (
        ((np.abs(u - 0.4) < 0.35) & (v > -0.9 + 0.6 * c) & (v < 0.5))
        | ((u > -0.85) & (u < 0.75) & (v > 0.1) & (v < 0.5))
    ),
)


def _figures() -> Arrays:
    """Draw ten figures in any colour on a coloured, noisy ground."""
    rng = np.random.default_rng(20090408)
    train, test = IMAGE_COUNTS["cifar10"]
    y = _labels(rng, (train, test), 10)
    x = np.empty((y.size, 32, 32, 3), np.uint8)
    for label, inside in enumerate(_FIGURES):
        rows = np.flatnonzero(y == label)
        u, v = _grid(rng, rows.size, 32, (0.4, 0.9))
        ground = rng.uniform(0.2, 0.8, (rows.size, 1, 1, 3))
        contrast = rng.choice([-1, 1], ground.shape) * rng.uniform(
            0.05, 0.4, ground.shape
        )
        light = 0.15 * np.cos(3 * u + rng.uniform(0, 6, (rows.size, 1, 1)))
        image = ground + contrast * inside(u, v)[..., None] + light[..., None]
        image = image + rng.normal(0, 0.15, image.shape)
        x[rows] = (255 * np.clip(image, 0, 1)).astype(np.uint8)
    return _split(x, y[:, None], train)


_FIGURES: tuple[Callable[..., np.ndarray], ...] = (
    lambda u, v: np.hypot(u, v) < 0.75,
    lambda u, v: np.abs(np.hypot(u, v) - 0.6) < 0.2,
    lambda u, v: np.maximum(np.abs(u), np.abs(v)) < 0.65,
    lambda u, v: np.abs(np.maximum(np.abs(u), np.abs(v)) - 0.6) < 0.18,
    lambda u, v: np.abs(u) + np.abs(v) < 0.85,
    lambda u, v: (v < 0.7) & (2 * np.abs(u) < v + 0.8),
    lambda u, v: (np.abs(u) < 0.22) | (np.abs(v) < 0.22),
    lambda u, v: np.abs(np.abs(u) - np.abs(v)) < 0.25,
    lambda u, v: np.cos(9 * v) > 0,
    lambda u, v: np.cos(9 * u) > 0,
)


def _reviews() -> Arrays:
    """Write reviews word by word: Zipf's law, and some words that betray the mood."""
    rng = np.random.default_rng(20110619)
    train, test = REVIEW_COUNTS
    y = _labels(rng, (train, test), 2)
    words = 20_000
    frequency = 1 / (np.arange(words) + 3.0)
    moody = rng.choice(np.arange(50, 5000), 600, replace=False)
    lengths = np.clip(rng.lognormal(np.log(174), 0.76, y.size), 10, 2000).astype(int)
    x = np.empty(y.size, object)
    for mood in (0, 1):
        tilted = frequency.copy()
        tilted[moody] *= np.where(np.arange(moody.size) % 2 == mood, 1.4, 0.6)
        edges = np.cumsum(tilted / tilted.sum())
        for row in np.flatnonzero(y == mood):
            ranks = np.searchsorted(edges, rng.uniform(0, edges[-1], lengths[row]))
            # As in Keras 1 starts a review, and a word of rank r = 1, 2, … is r + 3.
            x[row] = np.concatenate([[1], ranks + 4]).astype(np.int32)
    return _split(x, y, train)
