"""The answers that the checks of s03 expect are what theory and training give."""

from __future__ import annotations

import numpy as np
import pytest

from initlab.checks import core, s03
from tests.checks.answers_s03 import start


def grade(name, answer) -> core.Verdict:
    return {task.name: task for task in s03.TASKS}[name].grade(answer)


def assert_right(name, answer):
    assert grade(name, answer) == core.Verdict(core.CORRECT)


def assert_wrong(name, answer, words):
    verdict = grade(name, answer)
    assert verdict.kind == core.WRONG
    assert words in verdict.message


def test_s03_1_is_what_a_network_of_zeros_does():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 3)), 1 + rng.standard_normal((9, 2))
    start = tuple(map(np.zeros, ((3, 4), (4,), (4, 2), (2,))))
    parameters = start
    for _ in range(100):
        slopes = s03._gradients(x, y, *parameters)
        parameters = tuple(p - 0.1 * g for p, g in zip(parameters, slopes, strict=True))
    assert sum(map(np.count_nonzero, parameters)) == 2


def test_s03_2_agrees_with_differences_of_the_loss():
    x, y, *parameters = s03._network(7, 5, 3, 2, "float64")

    def loss(*parameters):
        return np.mean((s03._forward(x, *parameters) - y) ** 2)

    slopes = s03._gradients(x, y, *parameters)
    for place, slope in enumerate(slopes):
        moved = [p.copy() for p in parameters]
        moved[place].flat[0] += 1e-6
        numeric = (loss(*moved) - loss(*parameters)) / 1e-6
        assert slope.flat[0] == pytest.approx(numeric, abs=1e-5)


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
        (np.cos, lambda z: -np.sin(z)),
        (np.exp, np.exp),
        (lambda z: np.exp(z) / 2 - 1, lambda z: np.exp(z) / 2),
    ],
)
def test_s03_3_is_what_training_does(f, slope):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((9, 3)), 1 + rng.standard_normal((9, 1))
    parameters = list(map(np.zeros, ((3, 4), (4,), (4, 1), (1,))))
    seen = []
    for _ in range(4):
        w1, b1, w2, b2 = parameters
        z = x @ w1 + b1
        out = 2 * (f(z) @ w2 + b2 - y) / y.size
        hid = out @ w2.T * slope(z)
        slopes = x.T @ hid, hid.sum(0), f(z).T @ out, out.sum(0)
        parameters = [p - 0.01 * g for p, g in zip(parameters, slopes, strict=True)]
        moved = {
            n for n, p in zip(s03.NAMES, parameters, strict=True) if np.any(p != 0)
        }
        seen.append(moved)
    at_zero = f(np.zeros(1)).item(), slope(np.zeros(1)).item()
    assert (seen[0], seen[-1]) == s03._moves(*at_zero)


def test_s03_6_sees_the_shared_instance_of_a_keras_model():
    keras = pytest.importorskip("keras")

    def build(shared):
        one = keras.initializers.HeNormal()
        layers = [
            keras.layers.Dense(
                160, "relu", kernel_initializer=shared and one or "he_normal"
            )
            for _ in range(3)
        ]
        last = keras.layers.Dense(1)
        return keras.Sequential([keras.Input(shape=(64,)), *layers, last])

    assert_right("s03.6", lambda: build(shared=False))
    assert_wrong("s03.6", lambda: build(shared=True), "layers 2 and 3 start with the")


def test_s03_8_an_all_zero_start_stays_at_a_loss_of_one():
    losses, (w1, b1, w2, b2) = s03.train(*start(), steps=50)
    assert losses == pytest.approx(np.ones(50))
    assert not w1.any() and not b1.any() and not w2.any()
    assert abs(b2) < 1e-12
