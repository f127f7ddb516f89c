"""Orthogonal, identity, delta-orthogonal and sparse kernels keep what they promise."""

import itertools
import math

import numpy as np
import pytest

from initlab import schemes


def sample(scheme, shape, kind="dense", seed=0, **options):
    return scheme.sample(shape, np.random.default_rng(seed), kind, **options)


def singular_values(matrices):
    return np.linalg.svd(matrices, compute_uv=False)


def operator_singular_values(kernel, size=8):
    """Singular values of the convolution with a kernel on a periodic grid, by FFT."""
    axes = range(kernel.ndim - 2)
    grid = np.fft.fftn(kernel, s=[size] * len(axes), axes=axes)
    return singular_values(grid.reshape(-1, *kernel.shape[-2:]))


# --- orthogonal


@pytest.mark.parametrize(
    "shape", [(40, 40), (60, 25), (25, 60), (3, 3, 4, 50), (3, 3, 8, 5)], ids=str
)
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
def test_an_orthogonal_matrix_is_an_isometry_to_1e_6(shape, gain):
    scheme = schemes.orthogonal(gain)
    ours = sample(scheme, shape).reshape(-1, shape[-1])
    short = ours if ours.shape[0] < ours.shape[1] else ours.T
    assert np.abs(short @ short.T - gain**2 * np.eye(len(short))).max() < 1e-12
    theirs = np.asarray(scheme.keras(0)(shape)).reshape(-1, shape[-1])
    assert np.abs(singular_values(theirs) - gain).max() < 5e-6  # in float32


@pytest.mark.parametrize("kernel", ["kernel", "recurrent_kernel"])
@pytest.mark.parametrize(("name", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_every_gate_of_a_recurrent_kernel_is_orthogonal(name, gates, kernel):
    import keras

    def gates_of(initializer):
        layer = getattr(keras.layers, name)(
            6, kernel_initializer=initializer, recurrent_initializer=initializer
        )
        layer.build((None, 9, 5))
        return np.split(np.asarray(getattr(layer.cell, kernel)), gates, axis=1)

    scheme = schemes.orthogonal(1.3)
    for gate in gates_of(scheme.keras(1, "recurrent", gates=gates)):
        assert singular_values(gate) == pytest.approx(1.3, rel=1e-5)
    # Keras makes the whole kernel orthogonal, and each gate then shrinks.
    for gate in gates_of(scheme.keras(1)):
        assert singular_values(gate).min() < 0.9 * 1.3


def test_gates_differ_from_each_other():
    gates = np.split(sample(schemes.orthogonal(), (5, 20), "recurrent", gates=4), 4, 1)
    for one, other in itertools.combinations(gates, 2):
        assert np.abs(one - other).max() > 0.1


def test_every_channel_of_an_orthogonal_depthwise_kernel_is_orthogonal():
    kernel = sample(schemes.orthogonal(2), (3, 3, 5, 4), "depthwise")
    channels = np.moveaxis(kernel, 2, 0).reshape(5, 9, 4)
    assert singular_values(channels) == pytest.approx(2)


def test_every_group_of_an_orthogonal_convolution_is_orthogonal():
    kernel = sample(schemes.orthogonal(2), (1, 3, 12), "conv", groups=3)
    groups = np.split(kernel.reshape(3, 12), 3, axis=1)
    assert singular_values(np.stack(groups)) == pytest.approx(2)


def test_an_orthogonal_transposed_convolution_without_overlap_is_an_isometry():
    import keras

    layer = keras.layers.Conv2DTranspose(
        *(3, 2), strides=2, kernel_initializer=schemes.orthogonal().keras(0)
    )
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 10))
    norms = [np.linalg.norm(part) for part in (x, layer(x))]
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


# --- identity


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3), (1, 1)], ids=str)
def test_an_identity_is_that_of_keras(shape):
    scheme = schemes.identity(1.7)
    weights = sample(scheme, shape)
    np.testing.assert_array_equal(weights, 1.7 * np.eye(*shape))
    np.testing.assert_allclose(scheme.keras()(shape), weights, rtol=1e-7)


def test_an_identity_makes_a_simple_rnn_remember():
    import keras

    layer = keras.layers.SimpleRNN(
        *(4, "linear"),
        kernel_initializer="identity",
        recurrent_initializer=schemes.get("identity").keras(kind="recurrent", gates=1),
    )
    x = np.random.default_rng(0).standard_normal((2, 9, 4))
    np.testing.assert_allclose(layer(x), x.sum(axis=1), rtol=1e-5, atol=1e-5)


def test_every_gate_of_an_identity_is_one():
    kernel = sample(schemes.identity(0.5), (3, 9), "recurrent", gates=3)
    np.testing.assert_array_equal(kernel, np.tile(np.eye(3) / 2, 3))
    initializer = schemes.identity(0.5).keras(kind="recurrent", gates=3)
    np.testing.assert_array_equal(initializer((3, 9)), kernel)


# --- delta-orthogonal


@pytest.mark.parametrize(
    "shape",
    [(3, 4, 4), (5, 4, 7), (2, 3, 5), (3, 3, 6, 8), (4, 1, 5, 5), (3, 2, 3, 2, 4)],
    ids=str,
)
@pytest.mark.parametrize("gain", [1.0, 1.5])
def test_a_delta_orthogonal_convolution_has_all_singular_values_at_its_gain(
    shape, gain
):
    scheme = schemes.delta_orthogonal(gain)
    for kernel in (sample(scheme, shape), np.asarray(scheme.keras(0, "conv")(shape))):
        values = operator_singular_values(kernel)
        assert values.shape[1] == shape[-2]
        assert np.abs(values - gain).max() < 1e-5


def test_a_gaussian_convolution_of_the_same_std_is_no_isometry():
    shape = (3, 3, 6, 8)
    std = schemes.get("delta_orthogonal").std(shape)
    values = operator_singular_values(sample(schemes.random_normal(std), shape))
    assert values.min() < 0.5 and values.max() > 1.5


@pytest.mark.parametrize(
    ("name", "window"),
    [("Conv1D", 5), ("Conv1D", 4), ("Conv2D", (3, 2)), ("Conv3D", (3, 1, 2))],
)
def test_a_padded_convolution_keeps_the_norm_up_to_the_borders(name, window):
    import keras

    layer = getattr(keras.layers, name)(
        *(9, window),
        padding="same",
        kernel_initializer=schemes.delta_orthogonal(2).keras(0),
    )
    x = np.random.default_rng(0).standard_normal((2, *[6] * layer.rank, 5))
    norms = [np.linalg.norm(part) for part in (x, layer(x))]
    assert norms[1] == pytest.approx(2 * norms[0], rel=1e-5)


def test_every_group_of_a_delta_orthogonal_convolution_is_one():
    kernel = sample(schemes.delta_orthogonal(2), (3, 3, 3, 12), "conv", groups=3)
    groups = np.split(kernel, 3, axis=-1)
    for group in groups:
        assert operator_singular_values(group) == pytest.approx(2)
    assert (groups[0] != groups[1]).any()


def test_a_thousand_delta_orthogonal_convolutions_keep_a_signal():
    rng, scheme = np.random.default_rng(0), schemes.get("delta_orthogonal")
    signal = rng.standard_normal((10, 6))
    norm = np.linalg.norm(signal)
    for _ in range(1000):
        kernel = scheme.sample((3, 6, 6), rng)
        padded = np.pad(signal, ((1, 1), (0, 0)), mode="wrap")
        signal = sum(padded[tap : tap + 10] @ kernel[tap] for tap in range(3))
    assert np.linalg.norm(signal) == pytest.approx(norm, rel=1e-10)


@pytest.mark.parametrize(
    ("shape", "kind", "options", "message"),
    [
        ((4, 4), "dense", {}, r"have 3 to 5 axes, got shape \(4, 4\)"),
        ((1, 1, 1, 1, 2, 2), "conv", {}, "have 3 to 5 axes"),
        ((3, 4, 4), "conv_transpose", {}, "got .* kind 'conv_transpose'"),
        ((3, 3, 4, 4), "depthwise", {}, "got .* kind 'depthwise'"),
        ((3, 5, 4), "dense", {}, "at least as many .* got 5 inputs and 4 outputs"),
        ((3, 5, 8), "conv", {"groups": 2}, "got 5 inputs and 4 outputs"),
        ((3, 4, 8), "conv", {"strides": 2}, "strides must be 1, got 2"),
    ],
)
def test_what_cannot_be_delta_orthogonal_is_told_why(shape, kind, options, message):
    scheme = schemes.get("delta_orthogonal")
    for ask in (
        lambda: scheme.std(shape, kind, **options),
        lambda: scheme.limit(shape, kind, **options),
        lambda: sample(scheme, shape, kind, **options),
        lambda: scheme.keras(0, kind, **options)(shape),
    ):
        with pytest.raises(ValueError, match=message):
            ask()


# --- sparse


@pytest.mark.parametrize(
    ("shape", "kind", "options"),
    [
        ((40, 30), "dense", {}),
        ((3, 3, 4, 6), "conv", {}),
        ((3, 4, 6), "conv", {"groups": 2}),
        ((12, 20), "recurrent", {"gates": 4}),
        ((4, 3, 5, 6), "depthwise", {}),
    ],
)
def test_every_unit_has_exactly_so_many_weights(shape, kind, options):
    kernel = sample(schemes.sparse(7, 0.5), shape, kind, **options)
    # A unit is a channel and a multiplier of a depthwise kernel, else the last axis.
    units = (-2, -1) if kind == "depthwise" else (-1,)
    others = tuple(range(len(shape) - len(units)))
    assert (np.count_nonzero(kernel, axis=others) == 7).all()


def test_a_sparse_unit_chooses_any_inputs_and_normal_weights():
    weights = sample(schemes.sparse(15, 0.5), (50, 20_000))
    chosen = np.count_nonzero(weights, axis=1)  # of every input, binomial
    error = math.sqrt(20_000 * 0.3 * 0.7)
    assert np.abs(chosen - 6000).max() < 4 * error
    drawn = weights[weights != 0]
    assert drawn.std() == pytest.approx(0.5, rel=0.01)
    assert np.mean(drawn**4) / np.mean(drawn**2) ** 2 == pytest.approx(3, abs=0.1)
    # Pairs of inputs too: P(both) = 15 · 14 / (50 · 49).
    both = np.count_nonzero(weights[0] * weights[1]) / 20_000
    assert both == pytest.approx(15 * 14 / (50 * 49), abs=0.008)


def test_what_cannot_be_sparse_is_told_why():
    with pytest.raises(ValueError, match=r"at most the fan-in 10 of .* \(10, 4\), got"):
        sample(schemes.get("sparse"), (10, 4))
    with pytest.raises(ValueError, match="fan-in 9 of shape"):
        schemes.get("sparse").std((3, 3, 20, 2), "depthwise")
    with pytest.raises(ValueError, match="kind 'conv_transpose': how many of its"):
        schemes.get("sparse").limit((3, 3, 20, 20), "conv_transpose")
    with pytest.raises(ValueError, match="identity fills a matrix, got shape"):
        sample(schemes.get("identity"), (3, 4, 4))
    with pytest.raises(ValueError, match="nonzero must be at least 1, got 0"):
        schemes.sparse(0)
    with pytest.raises(TypeError, match="nonzero must be an integer, got 2.5"):
        schemes.sparse(2.5)


# --- their std over all entries, and their limit


@pytest.mark.parametrize(
    ("scheme", "shape", "kind", "options", "squared"),
    [
        (schemes.identity(1.5), (4, 4), "dense", {}, 1.5**2 * (1 / 4 - 1 / 16)),
        (schemes.identity(1.5), (3, 9), "dense", {}, 1.5**2 * (1 / 9 - 1 / 81)),
        (
            *(schemes.identity(1.5), (3, 9), "recurrent", {"gates": 3}),
            1.5**2 * (1 / 3 - 1 / 9),
        ),
        (schemes.identity(1.5), (1, 1), "dense", {}, 0),
        (schemes.delta_orthogonal(1.5), (3, 4, 8), "conv", {}, 1.5**2 / 24),
        (schemes.delta_orthogonal(2), (3, 3, 4, 8), "dense", {}, 4 / 72),
        (schemes.delta_orthogonal(2), (3, 2, 8), "conv", {"groups": 4}, 4 / 6),
        (schemes.sparse(15, 0.5), (40, 9000), "dense", {}, 0.25 * 15 / 40),
        (schemes.sparse(5, 2), (3, 3, 20, 300), "depthwise", {}, 4 * 5 / 9),
        (schemes.orthogonal(2), (5, 24), "recurrent", {"gates": 4}, 4 / 6),
        (schemes.orthogonal(2), (3, 3, 5, 4), "depthwise", {}, 4 / 9),
        (schemes.orthogonal(2), (1, 3, 12), "conv", {"groups": 3}, 4 / 4),
    ],
    ids=lambda value: getattr(value, "title", None),
)
def test_the_std_is_that_of_all_entries(scheme, shape, kind, options, squared):
    std = scheme.std(shape, kind, **options)
    assert std == pytest.approx(math.sqrt(squared), rel=1e-12)
    weights = sample(scheme, shape, kind, **options)
    assert np.abs(weights).max() <= scheme.limit(shape, kind, **options) * (1 + 1e-12)
    if scheme.name == "identity":
        assert weights.std() == pytest.approx(std, rel=1e-12)
    else:  # their mean is 0 in expectation
        tolerance = 0.02 if scheme.name == "sparse" else 1e-12
        assert np.sqrt(np.mean(weights**2)) == pytest.approx(std, rel=tolerance)


def test_their_limits_are_the_gain_or_none():
    assert schemes.identity(1.5).limit((4, 4)) == 1.5
    assert schemes.delta_orthogonal(1.5).limit((3, 4, 4)) == 1.5
    assert schemes.orthogonal(1.5).limit((7, 4)) == 1.5
    assert schemes.sparse().limit((20, 4)) == math.inf
