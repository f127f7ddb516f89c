"""Gains against closed forms, sampling and other quadratures; and what has no gain."""

import math

import numpy as np
import pytest

from initlab import activations, theory

SQRT2 = math.sqrt(2)
BUMP = (math.erfc(5 / SQRT2) - math.erfc(5.1 / SQRT2)) / 2  # P(5 < z < 5.1)
# Closed forms of E f(z)^2 and E f'(z)^2 for z ~ N(0, 1).
CLOSED_FORWARD = {
    "linear": 1,
    "relu": 1 / 2,
    "leaky_relu": (1 + 0.2**2) / 2,
    "gelu": 1 / 3 + 1 / (2 * math.pi * math.sqrt(3)),
    "exponential": math.e**2,
    "selu": 1,
    # E (e^z - 1)^2 over z < 0 is e^2 Phi(-2) - 2 e^(1/2) Phi(-1) + 1/2.
    "elu": 1
    + math.e**2 * math.erfc(2 / SQRT2) / 2
    - 2 * math.sqrt(math.e) * math.erfc(1 / SQRT2) / 2,
    "squareplus": 3 / 2,
}
CLOSED_BACKWARD = {
    "linear": 1,
    "relu": 1 / 2,
    "relu6": (math.erf(6 / SQRT2)) / 2,
    "leaky_relu": (1 + 0.2**2) / 2,
    "exponential": math.e**2,
    "hard_tanh": math.erf(1 / SQRT2),
    "soft_shrink": math.erfc(0.5 / SQRT2),
    "hard_sigmoid": math.erf(3 / SQRT2) / 36,
}


def by_gauss_hermite(function):
    z, weight = np.polynomial.hermite_e.hermegauss(180)
    return np.sum(weight * function(z) ** 2) / np.sum(weight)


def by_sum(function, kinks):
    """Midpoint rule between the kinks: slow, plain, and right to 1e-9."""
    ends = sorted({-12.0, 12.0, *kinks})
    total = 0.0
    for low, high in zip(ends, ends[1:], strict=False):
        edges = np.linspace(low, high, 100_001)
        z = (edges[1:] + edges[:-1]) / 2
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        total += np.sum(function(z) ** 2 * density) * (high - low) / z.size
    return total


@pytest.mark.parametrize("name", CLOSED_FORWARD)
def test_the_forward_gain_has_its_closed_form(name):
    expected = 1 / math.sqrt(CLOSED_FORWARD[name])
    assert theory.forward_gain(name) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", CLOSED_BACKWARD)
def test_the_backward_gain_has_its_closed_form(name):
    expected = 1 / math.sqrt(CLOSED_BACKWARD[name])
    assert theory.backward_gain(name) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "silu", "softplus", "tanh_shrink"])
def test_smooth_activations_agree_with_gauss_hermite(name):
    activation = activations.get(name)
    for gain, function in (
        (theory.forward_gain, activation.f),
        (theory.backward_gain, activation.derivative),
    ):
        expected = 1 / math.sqrt(by_gauss_hermite(function))
        assert gain(name) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", activations.names())
def test_every_activation_agrees_with_a_plain_sum(name):
    activation = activations.get(name)
    for gain, function in (
        (theory.forward_gain, activation.f),
        (theory.backward_gain, activation.derivative),
    ):
        expected = 1 / math.sqrt(by_sum(function, activation.kinks))
        assert gain(name) == pytest.approx(expected, rel=1e-7)


def test_the_gains_that_the_literature_prints():
    assert theory.forward_gain("tanh") == pytest.approx(1.5925, abs=5e-5)
    assert theory.forward_gain("relu") == pytest.approx(SQRT2, abs=1e-9)
    assert theory.forward_gain("selu") == pytest.approx(1, abs=1e-6)
    assert theory.backward_gain("relu") == pytest.approx(SQRT2, abs=1e-9)


def test_for_relus_both_gains_agree_and_for_tanh_they_do_not():
    for activation in ("linear", "relu", activations.leaky_relu(0.3)):
        forward, backward = (
            theory.forward_gain(activation),
            theory.backward_gain(activation),
        )
        assert forward == pytest.approx(backward, abs=1e-9)
    assert theory.forward_gain("tanh") > theory.backward_gain("tanh") + 0.1


@pytest.mark.parametrize("shift", [0.0, 0.3, -1.7])
def test_the_hidden_kink_of_a_callable_is_found(shift):
    gain = theory.forward_gain(lambda z: np.maximum(z - shift, 0))
    known = activations.Activation("", lambda z: np.maximum(z - shift, 0), np.ones_like)
    assert gain == pytest.approx(1 / math.sqrt(by_sum(known.f, (shift,))), rel=1e-8)
    slope = 1 / math.sqrt(math.erfc(shift / SQRT2) / 2)
    assert theory.backward_gain(lambda z: np.maximum(z - shift, 0)) == pytest.approx(
        slope, rel=1e-6
    )


@pytest.mark.parametrize(
    ("function", "moment"),
    [
        (lambda z: np.sin(50 * z), 0.5),
        (np.sign, 1),
        (lambda z: np.exp(10 * z), math.e**200),
        (lambda z: np.exp(z**2 / 5), math.sqrt(5)),
        (lambda z: 1e-12 * z, 1e-24),
        (lambda z: ((z > 5) & (z < 5.1)).astype(float), BUMP),
        (np.vectorize(math.cos), (1 + math.exp(-2)) / 2),
    ],
    ids=["fast", "jump", "steep", "growing", "tiny", "bump", "vectorized"],
)
def test_awkward_callables_have_their_gain(function, moment):
    expected = 1 / math.sqrt(moment)
    assert theory.forward_gain(function) == pytest.approx(expected, rel=1e-6)


def test_keras_and_tensorflow_functions_have_their_gain():
    import keras
    import tensorflow as tf

    assert theory.forward_gain(keras.activations.relu) == pytest.approx(SQRT2)
    assert theory.forward_gain(tf.nn.tanh) == pytest.approx(
        theory.forward_gain("tanh"), rel=1e-9
    )
    assert theory.backward_gain(tf.nn.tanh) == pytest.approx(
        theory.backward_gain("tanh"), rel=1e-7
    )


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2), ("linear", 1)])
def test_the_critical_std_is_he_for_relu_and_lecun_for_linear(activation, gain):
    for fan_in in (1, 100, np.int64(784)):
        std = theory.critical_std(activation, fan_in)
        assert std == pytest.approx(math.sqrt(gain / fan_in), rel=1e-9)


def test_a_layer_at_the_critical_std_keeps_its_second_moment():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2000, 400))
    weights = rng.normal(0, theory.critical_std("tanh", 400), (400, 400))
    assert np.mean((np.tanh(z) @ weights) ** 2) == pytest.approx(1, abs=0.02)


# --- what has no gain


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z: 0 * z, r"no gain: f\(z\) is 0 for every z"),
        (lambda z: np.maximum(z - 30, 0), r"no gain: f\(z\) is 0 for every z"),
        (np.log, r"'log' has no finite second moment: f\(z\) is nan at z = -"),
        (np.sqrt, r"f\(z\) is nan at z = -"),
        (lambda z: np.exp(z**2), r"f\(z\) is inf at z = -"),
        (lambda z: np.exp(z**2 / 4), "does not converge"),
        (lambda z: np.exp(0.249 * z**2), "does not converge"),
        (lambda z: 1 / z, "does not converge"),
        (lambda z: np.abs(z - 0.3) ** -0.5, "does not converge"),
        (lambda z: z.sum(), r"must keep the shape of its input: it was given \(1,\)"),
        (lambda z: z / z.sum(), "must work element by element"),
        (lambda z: None, "must keep the shape of its input"),
        (lambda z: np.tanh(z.astype(np.float16)), "less than double precision"),
    ],
)
def test_what_has_no_forward_gain_is_told_why(function, message, recwarn):
    with pytest.raises(ValueError, match=message):
        theory.forward_gain(function)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (np.ones_like, r"no gain: f'\(z\) is 0 for every z"),
        (np.sign, r"no gain: f'\(z\) is 0 for every z"),
        (np.log, r"f'\(z\) is nan at z = -"),
        (lambda z: np.exp(z**2 / 4), r"mean of f'\(z\)\^2 .* does not converge"),
        (lambda z: np.cumsum(z), "must work element by element"),
    ],
)
def test_what_has_no_backward_gain_is_told_why(function, message, recwarn):
    with pytest.raises(ValueError, match=message):
        theory.backward_gain(function)
    assert not recwarn.list


def test_an_unknown_name_and_a_bad_fan_in_are_named():
    with pytest.raises(ValueError, match="did you mean relu"):
        theory.forward_gain("relo")
    with pytest.raises(ValueError, match="fan_in must be at least 1, got 0"):
        theory.critical_std("relu", 0)
    with pytest.raises(TypeError, match="fan_in must be an integer, got 2.5"):
        theory.critical_std("relu", 2.5)
