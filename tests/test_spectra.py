"""Singular values against isometries, random matrix theory and true derivatives."""

import math

import numpy as np
import pytest

import initlab as lab
from initlab import schemes, spectra, theory


def test_orthogonal_layers_keep_every_direction_of_a_deep_linear_network():
    (values,) = spectra.network_singular_values("orthogonal", depth=60, width=40)
    assert values.shape == (20, 40)
    assert np.abs(values - 1).max() < 1e-12


def test_a_gain_is_multiplied_once_per_layer():
    scheme = schemes.orthogonal(gain=1.1)
    found = spectra.network_singular_values(scheme, depth=30, width=10, after=(1, 30))
    assert found[0] == pytest.approx(np.full((20, 10), 1.1), rel=1e-12)
    assert found[1] == pytest.approx(np.full((20, 10), 1.1**30), rel=1e-12)


def test_a_square_gaussian_kernel_has_the_quarter_circle_s_mean():
    scheme = schemes.random_normal(1 / math.sqrt(300))
    layers = spectra.layer_singular_values(scheme, depth=2, width=300, seeds=5)
    for values in layers:
        assert values.mean() == pytest.approx(8 / (3 * math.pi), abs=0.01)
        assert values.max() == pytest.approx(2, abs=0.1)


def test_rectangular_layers_have_as_many_values_as_their_smaller_side():
    layers = spectra.layer_singular_values("glorot_normal", width=(7, 3, 5), seeds=4)
    assert [values.shape for values in layers] == [(4, 3), (4, 3)]
    network = spectra.network_singular_values(
        "glorot_normal", width=(7, 3, 5), seeds=4, after=(2, 1)
    )
    assert [values.shape for values in network] == [(4, 5), (4, 3)]
    assert network[1] == pytest.approx(layers[0])
    # Three units in the middle let three directions through, and say so.
    assert np.all(network[0][:, 3:] == 0)
    assert np.all(network[0][:, :3] > 1e-6)


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
def test_the_jacobian_is_the_derivative_of_the_network(activation):
    scheme, widths = schemes.get("he_normal"), (6, 5, 4)
    (found,) = spectra.network_singular_values(
        scheme, width=widths, activation=activation, bias_std=0.2, seeds=[3]
    )
    kernel_rng, bias_rng = (np.random.default_rng([3, stream]) for stream in (1, 3))
    weights = [
        (scheme.sample(shape, kernel_rng), bias_rng.normal(0, 0.2, shape[1]))
        for shape in ((6, 5), (5, 4))
    ]
    f = lab.activations.get(activation).f

    def network(x):
        for kernel, bias in weights:
            x = f(x @ kernel + bias)
        return x

    x, step = np.random.default_rng([3, 0]).normal(size=6), 1e-6
    nudges = step * np.eye(6)
    jacobian = (network(x + nudges) - network(x - nudges)) / (2 * step)
    expected = np.linalg.svd(jacobian, compute_uv=False)
    assert found[0] == pytest.approx(expected, abs=1e-7)


def test_their_mean_square_is_the_gradient_that_propagate_measures_on_average():
    given = {"depth": 5, "width": 60, "activation": "tanh", "seeds": 40}
    (values,) = spectra.network_singular_values("glorot_normal", **given)
    gradient = lab.propagate("glorot_normal", samples=1, **given).gradient[:, 0]
    difference = lab.interval(np.mean(values**2, axis=1) - gradient, level=0.999)
    assert difference.low < 0 < difference.high
    assert difference.high - difference.low < 0.2


def test_a_layer_s_mean_square_is_chi_1_in_wide_networks():
    layers = spectra.layer_singular_values(
        schemes.random_normal(1.5 / math.sqrt(400)),
        depth=1,
        width=400,
        activation="tanh",
        seeds=5,
    )
    # z has second moment 1.5² behind an input of second moment 1.
    expected = theory.chi_1("tanh", 1.5**2, sigma_w=1.5)
    assert np.mean(layers[0] ** 2) == pytest.approx(expected, rel=0.05)


def test_a_shared_kernel_is_a_power_of_one_matrix():
    scheme = schemes.random_normal(0.3)
    first, tenth = spectra.network_singular_values(
        scheme, depth=10, width=8, seeds=3, shared=True, after=(1, 10)
    )
    for seed in range(3):
        kernel = scheme.sample((8, 8), np.random.default_rng([seed, 1]))
        for found, power in ((first, 1), (tenth, 10)):
            product = np.linalg.matrix_power(kernel, power)
            expected = np.linalg.svd(product, compute_uv=False)
            resolved = expected > 1e-9 * expected[0]
            assert found[seed][resolved] == pytest.approx(expected[resolved], rel=1e-4)


def test_a_shared_kernel_meets_new_biases_at_every_step():
    given = {"depth": 6, "width": 8, "activation": "tanh", "seeds": 3, "shared": True}
    quiet, driven = (
        spectra.network_singular_values("orthogonal", bias_std=std, **given)[0]
        for std in (0.0, 2.0)
    )
    assert np.all(driven.max(axis=1) < quiet.max(axis=1))


def test_what_rounding_decides_is_given_as_zero_and_what_overflows_as_inf():
    (values,) = spectra.network_singular_values("lecun_normal", depth=60, width=60)
    assert np.all(values[:, 0] > 0)
    assert np.all(values[:, -1] == 0)
    smallest = np.where(values > 0, values, np.inf).min(axis=1)
    assert np.all(smallest > 1e-15 * values[:, 0])
    (large,) = spectra.network_singular_values(
        schemes.orthogonal(gain=1e8), depth=40, width=3, activation="sigmoid"
    )
    assert np.isfinite(large).all()
    (overflowed,) = spectra.network_singular_values(
        schemes.orthogonal(gain=10.0), depth=320, width=2, activation=_ramp, seeds=2
    )
    assert np.all(overflowed == np.inf)


def _ramp(z):
    """The identity near 0, kept in range: its slope is 1 where the signal stays."""
    return np.remainder(z + 1, 2) - 1


def test_all_zero_weights_let_nothing_through():
    (values,) = spectra.network_singular_values("zeros", depth=3, width=4, seeds=2)
    assert np.all(values == 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"after": (0,)}, "after must be at least 1, got 0"),
        ({"after": (4,), "depth": 3}, "after must be from 1 to 3, got 4"),
        (
            {"width": (3, 4), "shared": True},
            "width must be one number where the kernel",
        ),
        ({"depth": 0}, "depth must be at least 1"),
        (
            {"scheme": schemes.random_normal(1e200), "depth": 3},
            "the signal must stay finite, but overflowed in layer 2",
        ),
    ],
)
def test_what_has_no_singular_values_is_refused_by_name(given, message):
    with pytest.raises(ValueError, match=message):
        spectra.network_singular_values(**{"scheme": "he_normal", **given})
