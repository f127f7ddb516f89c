"""Right and wrong answers to the exercises on Glorot's formula and its assumptions."""

from __future__ import annotations

import numpy as np

from initlab import schemes


def moment_by_correlation(mean, square, n_in, std, weight_mean, bias_std):
    """Sum E[h_i h_k] E[w_i w_k] over all pairs of inputs."""
    inputs = np.full((n_in, n_in), float(mean) ** 2)
    weights = np.full((n_in, n_in), weight_mean**2)
    np.fill_diagonal(inputs, square)
    np.fill_diagonal(weights, weight_mean**2 + std**2)
    return (inputs * weights).sum() + bias_std**2


def moment(change):
    def next_moment(mean, square, n_in, std, weight_mean, bias_std):
        spread = n_in * (square - mean**2)
        first = n_in * std**2 * square
        second = weight_mean**2 * (spread + (n_in * mean) ** 2)
        third = bias_std**2
        if change == "variance":
            first = std**2 * spread
        if change == "no crowd":
            second = weight_mean**2 * n_in * square
        if change == "crowd only":
            second = (weight_mean * n_in * mean) ** 2
        if change == "all crowd":
            second = weight_mean**2 * n_in**2 * square
        if change == "bias std":
            third = bias_std
        if change == "std":
            first = n_in * std * square
        if change == "no bias":
            third = 0
        if change == "one input":
            first, second = first / n_in, second / n_in
        if change == "array":
            first = np.full(3, first)
        total = first + second + third
        return np.sqrt(total) if change == "rms" else total

    return next_moment


def keeping_scale_by_simulation():
    """Find the scale from drawn pre-activations, without quadrature."""
    z = np.random.default_rng(0).standard_normal(200_000)

    def factor(scale):
        q = 1.0
        for _ in range(15):
            q = scale**2 * np.mean(1 / (1 + np.exp(-np.sqrt(q) * z)) ** 2)
        h = 1 / (1 + np.exp(-np.sqrt(q) * z))
        return scale**2 * np.mean((h * (1 - h)) ** 2)

    scales = np.array([9.0, 10.0, 11.0])
    return np.interp(1, [factor(scale) for scale in scales], scales)


def sigmoid_start(scale, share=-0.5, scheme="glorot_normal", seed=None):
    def start(n_in, n_out, rng):
        rng = rng if seed is None else np.random.default_rng(seed)
        kernel = scale * schemes.get(scheme).sample((n_in, n_out), rng)
        return kernel, share * kernel.sum(axis=0)

    return start


def by_hand(n_in, n_out, rng):
    kernel = rng.uniform(-1, 1, size=(n_in, n_out))
    kernel -= kernel.mean(axis=0)  # then the sum of each unit's weights is zero
    kernel *= 5.2 * np.sqrt(2 / (n_in + n_out)) / kernel.std()
    return [kernel, np.zeros(n_out)]


def half_of_the_bias_in_one_number(n_in, n_out, rng):
    kernel, bias = sigmoid_start(5.2)(n_in, n_out, rng)
    return kernel, np.full(n_out, bias.mean())


RIGHT = {
    "q6.1": [
        [0.84327, 0.59628],
        (np.sqrt(0.8 * 8 / 9), np.float32(0.8) * np.sqrt(5) / 3),
    ],
    "q6.2": [moment(None), moment_by_correlation],
    "q6.3": [keeping_scale_by_simulation(), 10, np.float64(10.3)],
    "q6.4": [sigmoid_start(5.5), sigmoid_start(5.2, seed=None), by_hand],
}

WRONG = {
    "q6.1": [
        ((0.7111, 0.3556), "the factors on the second moments"),
        ((0.5963, 0.8433), "signal and gradient are exchanged"),
        ((1, 1), "neither of them is"),
        ((0.4216, 0.2981), "half of what it should be"),
        ((1, 0.7071), "LeCun's 1/fan_in where Glorot's"),
        ((1.4142, 1), "1/fan_out where Glorot's"),
        ((1.1547, 0.8165), "the two ends only"),
        ((0.9, 0.9), "multiply n_in · variance over the two layers"),
        (0.8433, "2 results are asked for"),
    ],
    "q6.2": [
        (moment("variance"), "the variance of h where its second moment"),
        (moment("no crowd"), "meets all inputs with the same sign"),
        (moment("crowd only"), "has a variance as well"),
        (moment("all crowd"), "only the means of the inputs add up"),
        (moment("bias std"), "square bias_std"),
        (moment("std"), "as if it were the variance"),
        (moment("rms"), "this is the rms of z"),
        (moment("no bias"), "the bias is forgotten"),
        (moment("one input"), "for all assumptions kept: your function gives 0.0025"),
        (moment("array"), "a number is asked for, this is an array of shape (3,)"),
    ],
    "q6.3": [
        (103, "the factor on the variance"),
        (4, "the recipe's four"),
        (4.73, "let q settle before you take the slope"),
        (6.33, "let q settle anew for each scale"),
        (22.4, "the root is missing"),
        (1, "look for the scale at which that is 1 (within 3 % counts as right)"),
    ],
    "q6.4": [
        (sigmoid_start(5.2, seed=3), "one shared seed"),
        (sigmoid_start(5.2, share=0), "and the biases are zero"),
        (sigmoid_start(5.2, share=-1), "half of the sum is enough"),
        (sigmoid_start(5.2, share=0.5), "its sign has to be the other"),
        (sigmoid_start(4), "the weights, 4.0 times Glorot's, do not make up"),
        (sigmoid_start(1), "the weights, 1.0 times Glorot's, do not make up"),
        (half_of_the_bias_in_one_number, "look at the mean of the pre-activations"),
        (sigmoid_start(7), "make the weights, 7.0 times Glorot's, smaller"),
        (sigmoid_start(10.6, share=0), "all inputs come out alike"),
        (
            lambda n_in, n_out, rng: (np.zeros((n_out, n_in)), np.zeros(n_out)),
            "kernel: an array of shape (100, 60) is asked for",
        ),
        (
            lambda n_in, n_out, rng: rng.normal(size=(n_in, n_out)),
            "2 results are asked for (kernel, bias)",
        ),
        (5.2, "the function itself is asked for"),
    ],
}
