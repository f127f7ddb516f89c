"""Fans against counts on real Keras layers, and against what Keras makes of them."""

import math

import numpy as np
import pytest

from initlab import schemes
from initlab._fans import Layout, join

# Every interior holds whole periods of every stride, and no window reaches a border.
SIZE, INTERIOR, CHANNELS = 32, slice(4, 12), 4
# The Keras layer and its arguments; the kind of its kernel and that kind's options.
LAYERS = {
    "dense": ("Dense", (5,), {}, "dense"),
    "1-d": ("Conv1D", (5, 3), {}, "conv"),
    "2-d": ("Conv2D", (5, (3, 2)), {}, "conv"),
    "3-d": ("Conv3D", (3, (3, 2, 1)), {}, "conv"),
    "dilated": ("Conv2D", (5, 3), {"dilation_rate": 2}, "conv"),
    "strided 1-d": ("Conv1D", (5, 3), {"strides": 2}, "conv"),
    "strided 2-d": ("Conv2D", (5, 3), {"strides": 2}, "conv"),
    "strided unevenly": ("Conv2D", (5, (5, 3)), {"strides": (2, 1)}, "conv"),
    "grouped": ("Conv2D", (6, 3), {"groups": 2}, "conv"),
    "both": ("Conv1D", (8, 3), {"groups": 4, "strides": 2}, "conv"),
    "transposed 1-d": ("Conv1DTranspose", (5, 3), {}, "conv_transpose"),
    "transposed 2-d": (
        *("Conv2DTranspose", (5, (3, 2)), {"strides": 2}, "conv_transpose"),
    ),
    "transposed unevenly": (
        *("Conv2DTranspose", (5, (4, 3)), {"strides": (2, 1)}, "conv_transpose"),
    ),
    "transposed 3-d": ("Conv3DTranspose", (3, 3), {"strides": 2}, "conv_transpose"),
    "depthwise 1-d": ("DepthwiseConv1D", (3,), {"depth_multiplier": 2}, "depthwise"),
    "depthwise 2-d": ("DepthwiseConv2D", ((3, 2),), {}, "depthwise"),
    "depthwise strided": (
        *("DepthwiseConv2D", (3,), {"depth_multiplier": 3, "strides": 2}, "depthwise"),
    ),
    "recurrent": ("SimpleRNN", (5,), {"activation": "linear"}, "recurrent"),
}


def counted(layer):
    """Fill a layer with ones: what an output then gets, and what an input gives."""
    import tensorflow as tf

    axes = getattr(layer, "rank", 0)
    time = (1,) if type(layer).__name__ == "SimpleRNN" else ()
    x = tf.ones((1, *time, *[SIZE] * axes, CHANNELS))
    layer.build(x.shape)
    for weight in layer.weights:
        weight.assign(tf.ones_like(weight))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        total = tf.reduce_sum(y)
    inside = (0, *[INTERIOR] * axes)
    return [np.mean(part.numpy()[inside]) for part in (y, tape.gradient(total, x))]


@pytest.mark.parametrize("case", LAYERS)
def test_fans_are_what_a_layer_of_ones_counts(case):
    import keras

    name, arguments, settings, kind = LAYERS[case]
    padding = {"padding": "same"} if "Conv" in name else {}
    make = getattr(keras.layers, name)
    layer = make(*arguments, **settings, **padding, use_bias=False)
    fan_in, fan_out = counted(layer)
    options = {k: v for k, v in settings.items() if k in ("groups", "strides")}
    if kind == "recurrent":
        options = {"gates": 1}
    fans = schemes.fans(layer.weights[0].shape, kind, **options)
    assert fans == (pytest.approx(fan_in), pytest.approx(fan_out))


@pytest.mark.parametrize(
    "shape", [(), (7,), (3, 5), (3, 5, 7), (2, 3, 5, 7), (2, 3, 4, 5, 6)], ids=str
)
def test_fans_of_the_default_kind_are_those_of_keras(shape):
    from keras.src.initializers.random_initializers import compute_fans

    assert schemes.fans(shape) == compute_fans(shape)


def test_fans_of_a_dense_and_of_a_convolution_kernel():
    assert schemes.fans((784, 128)) == (784, 128)
    assert schemes.fans([np.int64(3), 3, 16, 32]) == (144, 288)
    assert all(type(fan) is int for fan in schemes.fans((3, 3, 16, 32)))


def test_where_keras_counts_a_depthwise_kernel_wrong_ours_counts_the_window():
    he, shape = schemes.get("he_normal"), (3, 3, 64, 1)
    keras_std = np.asarray(he.keras(0)(shape)).std()
    assert keras_std == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.1)
    assert he.std(shape, "depthwise") == pytest.approx(math.sqrt(2 / 9), rel=1e-12)
    ours = np.asarray(he.keras(0, "depthwise")(shape))
    assert ours.std() == pytest.approx(math.sqrt(2 / 9), rel=0.1)


def test_a_separable_convolution_is_a_depthwise_kernel_and_a_convolution_kernel():
    import keras

    layer = keras.layers.SeparableConv2D(10, (3, 2), depth_multiplier=2)
    layer.build((None, 8, 8, 4))
    depthwise, pointwise = layer.depthwise_kernel, layer.pointwise_kernel
    assert schemes.fans(depthwise.shape, "depthwise") == (6, 12)
    assert schemes.fans(pointwise.shape, "conv") == (8, 10)


@pytest.mark.parametrize(("name", "gates"), [("LSTM", 4), ("GRU", 3), ("SimpleRNN", 1)])
def test_fans_of_a_recurrent_kernel_are_those_of_a_gate(name, gates):
    import keras

    layer = getattr(keras.layers, name)(6)
    layer.build((None, 9, 5))
    kernel, recurrent = layer.cell.kernel, layer.cell.recurrent_kernel
    assert schemes.fans(kernel.shape, "recurrent", gates=gates) == (5, 6)
    assert schemes.fans(recurrent.shape, "recurrent", gates=gates) == (6, 6)


def test_fans_of_a_convolutional_lstm_are_those_of_a_gate():
    import keras

    layer = keras.layers.ConvLSTM2D(6, 3)
    layer.build((None, 4, 9, 9, 5))
    fans = schemes.fans(layer.cell.kernel.shape, "recurrent", gates=4)
    assert fans == (9 * 5, 9 * 6)


@pytest.mark.parametrize(
    ("name", "settings", "kind", "options"),
    [
        ("DepthwiseConv2D", {"depth_multiplier": 9}, "depthwise", {}),
        (
            *("Conv2DTranspose", {"filters": 4, "strides": 2}, "conv_transpose"),
            {"strides": 2},
        ),
    ],
)
def test_a_signal_keeps_its_second_moment_only_with_the_right_fans(
    name, settings, kind, options
):
    import keras

    x = np.random.default_rng(0).standard_normal((4, 24, 24, 32))
    make, lecun = getattr(keras.layers, name), schemes.get("lecun_normal")
    argument = "depthwise_initializer" if kind == "depthwise" else "kernel_initializer"

    def second_moment(initializer):
        layer = make(kernel_size=4, **settings, **{argument: initializer})
        inside = np.asarray(layer(x))[:, 4:-4, 4:-4]
        return np.mean(inside**2)

    assert second_moment(lecun.keras(0, kind, **options)) == pytest.approx(1, rel=0.1)
    assert not 0.5 < second_moment(lecun.keras(0)) < 1.8


# --- the separate matrices of a kernel


@pytest.mark.parametrize(
    ("layout", "shape", "expected"),
    [
        (Layout(), (5, 7), (1, 5, 7)),
        (Layout(), (3, 2, 5, 7), (1, 30, 7)),
        (Layout("conv_transpose", strides=2), (3, 2, 7, 5), (1, 42, 5)),
        (Layout("conv", groups=2, strides=2), (3, 5, 8), (2, 15, 4)),
        (Layout("depthwise"), (3, 2, 5, 4), (5, 6, 4)),
        (Layout("recurrent", gates=4), (5, 12), (4, 5, 3)),
        (Layout("recurrent", gates=4), (3, 3, 5, 12), (4, 45, 3)),
    ],
)
def test_a_kernel_is_one_matrix_for_each_separate_map(layout, shape, expected):
    assert layout.matrices(shape) == expected
    assert math.prod(expected) == math.prod(shape)


def test_matrices_are_joined_where_keras_reads_them():
    count, rows, columns = 3, 4, 2
    matrices = np.arange(24).reshape(count, rows, columns)
    gates = np.split(join(matrices, (4, 6)), 3, axis=1)
    channels = join(matrices, (2, 2, 3, 2))  # height, width, channel, multiplier
    for index in range(count):
        np.testing.assert_array_equal(gates[index], matrices[index])
        np.testing.assert_array_equal(
            channels[:, :, index].reshape(4, 2), matrices[index]
        )


# --- what is refused


def test_an_embedding_has_no_fans():
    message = "a lookup table puts out is its weight itself, so choose the std directly"
    with pytest.raises(ValueError, match=message):
        schemes.fans((20000, 64), "embedding")
    for name in ("he_normal", "orthogonal", "identity", "sparse"):
        scheme = schemes.get(name)
        for ask in (scheme.std, scheme.limit):
            with pytest.raises(ValueError, match="an embedding has no fans"):
                ask((200, 64), "embedding")
        with pytest.raises(ValueError, match="an embedding has no fans"):
            scheme.sample((200, 64), np.random.default_rng(0), "embedding")
        with pytest.raises(ValueError, match="an embedding has no fans"):
            scheme.keras(kind="embedding")


def test_an_embedding_takes_a_scheme_of_chosen_std():
    import keras

    scheme = schemes.random_normal(0.02)
    assert scheme.std((200, 64), "embedding") == 0.02
    assert type(scheme.keras(0, "embedding")) is keras.initializers.RandomNormal


@pytest.mark.parametrize(
    ("shape", "kind", "options", "message"),
    [
        ((3, 3), "convolution", {}, "kind must be one of 'dense', .*, got 'convolu"),
        ((3, 3), "conv", {}, r"'conv' needs at least 3 axes, got shape \(3, 3\)"),
        ((5,), "recurrent", {"gates": 4}, "'recurrent' needs at least 2 axes"),
        ((5, 8), "recurrent", {}, "needs gates: 4 for an LSTM, 3 for a GRU"),
        ((5, 8), "recurrent", {"gates": 3}, r"gates must divide .* \(5, 8\), got 3"),
        ((3, 4, 8), "conv", {"groups": 3}, r"groups must divide .* got 3"),
        ((3, 4, 8), "conv", {"groups": 0}, "groups must be at least 1, got 0"),
        ((3, 4, 8), "conv", {"strides": (0,)}, r"strides must be at least 1, got \(0,"),
        ((3, 4, 8), "conv", {"strides": (2, 2)}, r"one number or 1, .* got \(2, 2\)"),
        ((3, 4, 8), "dense", {"groups": 2}, "groups is an option of kind 'conv', got"),
        ((3, 4, 8), "conv", {"gates": 4}, "gates is an option of kind 'recurrent'"),
        (
            *((4, 8), "recurrent", {"gates": 1, "strides": 2}),
            "strides is an option of kind 'conv' or 'conv_transpose' or 'depthwise', "
            "got strides=2 for kind 'recurrent'",
        ),
        ((3, 4, 0), "conv", {}, "every dimension of shape must be at least 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_name(shape, kind, options, message):
    with pytest.raises(ValueError, match=message):
        schemes.fans(shape, kind, **options)
    with pytest.raises(ValueError, match=message):
        schemes.get("random_normal").std(shape, kind, **options)


@pytest.mark.parametrize(
    "options", [{"groups": 1.5}, {"groups": (2,)}, {"strides": "2"}, {"strides": None}]
)
def test_an_option_that_is_no_count_is_refused(options):
    (name,) = options
    with pytest.raises(TypeError, match=f"{name} must be a whole number, got"):
        schemes.fans((3, 4, 8), "conv", **options)
