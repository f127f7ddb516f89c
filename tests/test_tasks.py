"""The tasks can be learned, have the scale that they promise, and repeat themselves."""

import numpy as np
import pytest

from initlab import tasks


def test_the_regression_has_second_moment_one_in_and_out():
    x, y = tasks.smooth_regression(200_000)
    assert x.shape == (200_000, 10)
    assert y.shape == (200_000, 1)
    assert x.dtype == y.dtype == np.float32
    assert np.mean(x**2) == pytest.approx(1, abs=0.01)
    assert y.mean() == pytest.approx(0, abs=0.01)
    assert y.var() == pytest.approx(1, abs=0.02)


def test_noise_adds_its_variance():
    clean, noisy = (tasks.smooth_regression(100_000, noise=n)[1] for n in (0, 0.5))
    assert np.var(noisy - clean) == pytest.approx(0.25, rel=0.02)


def test_a_linear_model_leaves_most_of_the_regression_unexplained():
    x, y = (part.astype(float) for part in tasks.smooth_regression(100_000))
    residual = y - x @ np.linalg.lstsq(x, y)[0]
    assert np.mean(residual**2) == pytest.approx(0.95, abs=0.02)


def test_only_the_first_three_features_matter():
    x, y = tasks.smooth_regression(1000, features=4)
    sine, product = np.sin(2 * x[:, :1]), x[:, 1:2] * x[:, 2:3]
    assert y == pytest.approx((sine + product) / np.sqrt(1.5), abs=2e-3)


def test_spirals_have_balanced_classes_and_second_moment_one():
    x, y = tasks.spirals(30_001, classes=4)
    assert x.shape == (30_001, 2)
    assert x.dtype == np.float32
    assert y.dtype == np.uint8
    assert np.mean(x**2) == pytest.approx(1, abs=0.01)
    assert sorted(np.bincount(y)) == [7500, 7500, 7500, 7501]


def test_spirals_are_learned_by_neighbours_and_not_by_a_linear_model():
    x, y = tasks.spirals(600)
    fresh, labels = tasks.spirals(300, seed=1)
    nearest = np.linalg.norm(fresh[:, None] - x, axis=2).argmin(axis=1)
    assert np.mean(y[nearest] == labels) > 0.9
    padded, ones = (np.c_[part, np.ones(len(part))] for part in (x, fresh))
    linear = np.linalg.lstsq(padded, np.eye(3)[y])[0]
    assert np.mean((ones @ linear).argmax(axis=1) == labels) < 0.7


def test_more_turns_wind_the_arms_further():
    straight, y = tasks.spirals(300, turns=0, noise=0)
    angles = np.arctan2(straight[:, 1], straight[:, 0]) / (2 * np.pi) % 1 * 3
    assert np.abs((angles - y + 1.5) % 3 - 1.5).max() < 1e-5


@pytest.mark.parametrize("task", [tasks.smooth_regression, tasks.spirals])
def test_the_seed_decides_everything(task):
    for one, same, other in zip(task(99), task(99), task(99, seed=1), strict=True):
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tasks.smooth_regression(0), "samples must be at least 1, got 0"),
        (lambda: tasks.smooth_regression(features=2), "features must be at least 3"),
        (lambda: tasks.smooth_regression(noise=-1), "noise must be a finite number"),
        (lambda: tasks.spirals(classes=1), "classes must be from 2 to 256"),
        (lambda: tasks.spirals(3, classes=4), "classes must be from 2 to 3"),
        (lambda: tasks.spirals(turns=np.inf), "turns must be a finite number"),
        (lambda: tasks.spirals(noise=np.nan), "noise must be a finite number"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
