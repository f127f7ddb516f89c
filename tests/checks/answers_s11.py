"""Right and wrong answers to the exercises on the film-review case study."""

from __future__ import annotations

from collections import Counter

import numpy as np


def by_counters(sentences):
    total = 0
    for row in sentences.tolist():
        total += sum(c * c for word, c in Counter(row).items() if word)
    return (len(sentences) / total) ** 0.5


def by_pairs(sentences):
    """Count the pairs of equal words: their number is the sum of the squares."""
    equal = sentences[:, :, None] == sentences[:, None, :]
    return np.mean(np.sum(equal & (sentences[:, :, None] != 0), axis=(1, 2))) ** -0.5


def slipped(change):
    def table_std(sentences):
        found = []
        for row in sentences:
            words = row if change in ("padding", "length") else row[row != 0]
            counts = np.array(list(Counter(words.tolist()).values()), dtype=float)
            term = np.sum(counts**2)
            if change in ("words", "length"):
                term = np.sum(counts)
            if change == "different":
                term = len(counts)
            if change == "cubes":
                term = np.sum(counts**3)
            found.append(term)
        if change == "variance":
            return 1 / np.mean(found)
        if change == "relu":
            return np.sqrt(2 / np.mean(found))
        if change == "total":
            return 1 / np.sqrt(np.sum(found))
        if change == "roots":
            return 1 / np.mean(np.sqrt(found))
        if change == "each":
            return 1 / np.sqrt(found)
        return 1 / np.sqrt(np.mean(found))

    return table_std


def starred(seed, looks=range(3, 21), normal=False):
    from scipy import stats

    gaps = np.random.default_rng(seed).normal(0, 3, size=(12_000, 20))
    stopped = np.zeros(len(gaps), dtype=bool)
    for n in looks:
        if normal:
            error = gaps[:, :n].std(axis=1, ddof=1) / n**0.5
            stopped |= np.abs(gaps[:, :n].mean(axis=1)) > 1.96 * error
        else:
            stopped |= stats.ttest_1samp(gaps[:, :n], 0, axis=1).pvalue < 0.05
    return stopped.mean()


def orthogonal(seed, gain):
    draws = np.random.default_rng(seed).standard_normal((32, 32))
    left, _, right = np.linalg.svd(draws)
    return gain * left @ right


def normal(seed, gain):
    draws = np.random.default_rng(seed).standard_normal((32, 32))
    return gain * draws / np.sqrt(32)


def rotation():
    """Turn each of sixteen planes by another angle."""
    angles = np.linspace(0.3, 2.8, 16)
    kernel = np.zeros((32, 32))
    for plane, (c, s) in enumerate(zip(np.cos(angles), np.sin(angles), strict=True)):
        kernel[2 * plane : 2 * plane + 2, 2 * plane : 2 * plane + 2] = (c, s), (-s, c)
    return kernel


RIGHT = {
    "s11.1": [(0.125, 8), [64**-0.5, 64**0.5], np.array([1 / 8, 8]).tolist()],
    "s11.2": [by_counters, by_pairs],
    "s11.3": [starred(0), starred(1), 0.23],
    "s11.4": [
        orthogonal(30, 1.55),
        orthogonal(31, 1.55).tolist(),
        normal(3, 1.6),
    ],
}

WRONG = {
    "s11.1": [
        ((20_000**-0.5, 20_000**0.5), "you divided by the number of words"),
        ((20_000**-0.5, 8), "the std divides by the number of words"),
        ((1 / 64, 64), "1/64 is the variance"),
        ((1 / 64, 8), "1/64 is the variance"),
        ((1 / 8, 64), "take the square root"),
        ((1 / 8, 1 / 8), "the factor is above 1"),
        ((1 / 8, 1), "has that std too"),
        ((32**-0.5, 32**0.5), "the 2 is for a ReLU"),
        ((10_032**-0.5, 10_032**0.5), "Glorot's rule"),
        ((np.sqrt(3 / 64), np.sqrt(64 / 3)), "divided by √3"),
        ((0.3, 3), "makes 64 · std² equal to 1"),
        (0.125, "2 results are asked for"),
    ],
    "s11.2": [
        (slipped("words"), "as if they were independent"),
        (slipped("different"), "you count different words"),
        (slipped("padding"), "the padding is counted"),
        (slipped("length"), "you divide by the length"),
        (slipped("variance"), "this is the variance"),
        (slipped("relu"), "the 2 is for a ReLU"),
        (slipped("total"), "the sentences are added up"),
        (slipped("roots"), "the roots are averaged"),
        (slipped("each"), "a number is asked for"),
        (slipped("cubes"), "for a sentence of one word, four times"),
    ],
    "s11.3": [
        (0.05, "of a single look"),
        (1 - 0.95**18, "for independent looks"),
        (1 - starred(2), "never find a star"),
        (starred(3, range(2, 21)), "you look from two seeds on"),
        (starred(4, range(3, 11)), "you stop at ten seeds"),
        (starred(5, normal=True), "of a normal distribution"),
        (0.9, "draw 10,000 studies"),
    ],
    "s11.4": [
        (np.zeros((32, 32)), "the kernel is zero"),
        (np.eye(32), "each unit hears only itself"),
        (1.5 * np.eye(32), "each unit hears only itself"),
        (orthogonal(30, 1), "keeps every length, but"),
        (rotation(), "keeps every length, but"),
        (orthogonal(30, 1.3), "make it larger"),
        (normal(3, 1), "make it larger"),
        (orthogonal(30, 2.5), "make it smaller"),
        (orthogonal(30, 1.55)[:16], "the kernel has shape"),
        (np.full((32, 32), np.inf), "finite"),
    ],
}
