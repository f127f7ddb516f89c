"""Signals through deep stacks against plain loops, Keras, derivatives and theory."""

import math

import numpy as np
import pytest

import initlab as lab
from initlab import activations, schemes, theory
from initlab.signals import Convolution, Dense, Residual, correlate

FIELDS = ("activation", "pre_activation", "mean", "gradient")


def draws(seed, stream, *shape):
    """Draw what `propagate` documents: streams 0 inputs, 2 gradients, normal."""
    return np.random.default_rng([seed, stream]).normal(size=shape)


def unit(values):
    return values / np.sqrt(np.mean(values**2))


def moment(values):
    return np.mean(np.square(values))


def interval(values):
    """Return a mean over seeds with an interval that misses once in a thousand."""
    return lab.interval(values, level=0.999)


# --- dense stacks


def test_he_keeps_the_second_moment_through_fifty_relu_layers_on_average():
    signals = lab.propagate("he_normal", depth=50, width=256, seeds=60, samples=1)
    kept = lab.interval(signals.activation[:, -1] / signals.activation[:, 0])
    assert kept.low < 1 < kept.high
    assert kept.high - kept.low < 1


def test_the_numbers_of_dense_stacks_are_those_that_chapters_print():
    signals = lab.propagate("he_normal", depth=5, width=30, seeds=[0, 7], samples=10)
    for found, expected in (
        (signals.activation[:, -1], [0.5093006627467482, 0.8650546443062949]),
        (signals.pre_activation[:, 2], [1.4288648367637156, 1.8212274793615295]),
        (signals.mean[:, -1], [0.4166331164262228, 0.44999926094360554]),
        (signals.gradient[:, 0], [0.8420529378350814, 1.1492880035961774]),
    ):
        assert found == pytest.approx(expected, rel=1e-9)


def test_one_layer_is_what_numpy_computes_by_hand():
    scheme = schemes.random_normal(0.2)
    signals = lab.propagate(
        scheme, width=(4, 3), activation="tanh", seeds=[11], samples=5
    )
    x = draws(11, 0, 5, 4)
    kernel = scheme.sample((4, 3), np.random.default_rng([11, 1]))
    z = x @ kernel
    gradient = unit(draws(11, 2, 5, 3))
    back = (gradient * (1 - np.tanh(z) ** 2)) @ kernel.T
    assert signals.widths == (4, 3)
    assert signals.activation[0] == pytest.approx([moment(x), moment(np.tanh(z))])
    assert signals.pre_activation[0] == pytest.approx([moment(z)])
    assert signals.mean[0] == pytest.approx([x.mean(), np.tanh(z).mean()])
    assert signals.gradient[0] == pytest.approx([moment(back), 1.0])
    assert signals.branch is None and signals.branch_gradient is None


def test_biases_add_their_variance_to_every_unit():
    signals = lab.propagate(
        "zeros", depth=3, width=400, activation="linear", bias_std=0.3, seeds=20
    )
    for layer in range(3):
        found = interval(signals.pre_activation[:, layer])
        assert 0.08 < found.low < 0.3**2 < found.high < 0.1
    # Without weights every layer shows its own biases, and no two of them are alike.
    assert len(np.unique(signals.pre_activation)) == signals.pre_activation.size


def test_rms_and_std_differ_by_the_mean():
    signals = lab.propagate("he_normal", depth=3, width=50, seeds=2)
    assert signals.rms**2 == pytest.approx(signals.std**2 + signals.mean**2)
    assert np.all(signals.std[:, 1:] < signals.rms[:, 1:])


def test_networks_of_different_seeds_differ():
    signals = lab.propagate("he_normal", depth=2, width=20, seeds=3)
    assert len(np.unique(signals.rms[:, -1])) == 3


# --- convolutions


CONVOLUTIONS = [
    Convolution((7,), 3),
    Convolution((6,), 4),
    Convolution((2,), 5),
    Convolution((5, 6), 3),
    Convolution((5, 6), (2, 3)),
    Convolution((3, 4, 2), (3, 1, 2)),
    Convolution((7,), 3, "circular"),
    Convolution((6,), 4, "circular"),
    Convolution((5, 6), 3, "circular"),
    Convolution((5, 6), (2, 3), "circular"),
    Convolution((3, 4, 2), (3, 1, 2), "circular"),
]


def keras_convolution(layer, x, kernel, upstream):
    """Return the output and the gradient of x, by TensorFlow, in double precision."""
    import keras
    import tensorflow as tf

    cls = getattr(keras.layers, f"Conv{len(layer.size)}D")
    convolution = cls(
        kernel.shape[-1],
        layer.kernel_size,
        padding="same" if layer.padding == "same" else "valid",
        use_bias=False,
        dtype="float64",
    )
    images = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        padded = images
        if layer.padding == "circular":
            for axis, k in enumerate(layer.kernel_size, start=1):
                ends = tf.split(padded, padded.shape[axis], axis)
                before, after = (k - 1) // 2, k // 2
                padded = tf.concat(
                    [*ends[len(ends) - before :], *ends, *ends[:after]], axis
                )
        convolution.build(padded.shape)
        convolution.set_weights([kernel])
        y = convolution(padded)
    return y.numpy(), tape.gradient(y, images, upstream).numpy()


@pytest.mark.parametrize("layer", CONVOLUTIONS, ids=str)
def test_convolutions_and_their_gradients_are_those_of_keras(layer):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, *layer.size, 4))
    kernels = rng.normal(size=(2, *layer.kernel_shape(4, 5)))
    upstream = rng.normal(size=(2, 3, *layer.size, 5))
    forward = layer.forward(x, kernels)
    backward = layer.backward(upstream, kernels)
    for seed in range(2):
        y, gradient = keras_convolution(layer, x[seed], kernels[seed], upstream[seed])
        assert forward[seed] == pytest.approx(y, abs=1e-12)
        assert backward[seed] == pytest.approx(gradient, abs=1e-12)


def test_a_circular_window_larger_than_the_image_goes_round_it():
    layer = Convolution((2,), 5, "circular")
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(1, 1, 2, 3)), rng.normal(size=(1, 5, 3, 2))
    by_hand = sum(np.roll(x, 2 - k, axis=2) @ kernel[:, k] for k in range(5))
    assert layer.forward(x, kernel) == pytest.approx(by_hand)
    upstream = rng.normal(size=(1, 1, 2, 2))
    assert np.sum(layer.forward(x, kernel) * upstream) == pytest.approx(
        np.sum(x * layer.backward(upstream, kernel))
    )


def test_a_convolutional_network_is_what_a_loop_over_its_layers_computes():
    layer = Convolution((4, 5), (3, 2))
    signals = lab.propagate(
        "glorot_uniform",
        architecture=layer,
        width=(2, 3, 4),
        activation="tanh",
        bias_std=0.5,
        seeds=[6, 3],
        samples=3,
    )
    rng, bias_rng = (np.random.default_rng([3, stream]) for stream in (1, 3))
    h = draws(3, 0, 1, 3, 4, 5, 2)
    outputs, before, tape = [h], [], []
    for inputs, units in ((2, 3), (3, 4)):
        kernel = schemes.get("glorot_uniform").sample((3, 2, inputs, units), rng)
        z = layer.forward(h, kernel[None]) + bias_rng.normal(0, 0.5, units)
        h = np.tanh(z)
        tape.append((kernel, 1 - h**2))
        outputs.append(h)
        before.append(z)
    gradient = unit(draws(3, 2, 1, 3, 4, 5, 4))
    gradients = [gradient]
    for kernel, slope in reversed(tape):
        gradient = layer.backward(gradient * slope, kernel[None])
        gradients.insert(0, gradient)
    assert signals.activation[1] == pytest.approx([moment(h) for h in outputs])
    assert signals.mean[1] == pytest.approx([h.mean() for h in outputs])
    assert signals.pre_activation[1] == pytest.approx([moment(z) for z in before])
    assert signals.gradient[1] == pytest.approx([moment(g) for g in gradients])


def test_he_keeps_the_second_moment_through_fifty_circular_convolutions():
    signals = lab.propagate(
        "he_normal",
        architecture=Convolution((3,), 3, "circular"),
        depth=50,
        width=128,
        seeds=40,
        samples=1,
    )
    kept = lab.interval(signals.activation[:, -1] / signals.activation[:, 0])
    assert kept.low < 1 < kept.high
    factors = signals.activation[:, 1:] / signals.activation[:, :-1]
    by_layer = lab.interval(factors.mean(axis=1))
    assert 0.98 < by_layer.low < 1 < by_layer.high < 1.02


@pytest.mark.parametrize("padding", ["same", "circular"])
def test_delta_orthogonal_convolutions_keep_every_single_signal(padding):
    signals = lab.propagate(
        "delta_orthogonal",
        architecture=Convolution((6, 6), 3, padding),
        depth=20,
        width=16,
        activation="linear",
        samples=2,
    )
    assert np.ptp(signals.activation, axis=1) == pytest.approx(0, abs=1e-12)
    assert signals.gradient == pytest.approx(1)


def test_zeros_beyond_the_edge_cost_he_a_part_of_the_signal():
    same, circular = (
        lab.propagate(
            "he_normal",
            architecture=Convolution((8, 8), 3, padding),
            width=(64, 64),
            activation="linear",
            samples=4,
        )
        for padding in ("same", "circular")
    )
    # A row of 8 positions with windows of 3 sees 22 of 24 positions, both ways.
    for found in (same.activation[:, 1] / same.activation[:, 0], same.gradient[:, 0]):
        left = interval(found / 2)
        assert 0.82 < left.low < (22 / 24) ** 2 < left.high < 0.86
    kept = interval(circular.activation[:, 1] / circular.activation[:, 0] / 2)
    assert 0.98 < kept.low < 1 < kept.high < 1.02


# --- residual stacks


def plain_residual(stack, x, kernels, biases):
    """Send x (samples, ..., units) through the blocks, written out case by case."""
    trunk, branches, before = [x], [], []

    def weigh(h, block, i):
        z = stack.layer.forward(h[None], kernels[block][i][None])[0]
        before.append(z + biases[block][i])
        return before[-1]

    for block in range(len(kernels)):
        h = trunk[-1]
        if stack.order == "pre_activation":
            branch = weigh(np.tanh(h), block, 0)
            if stack.branch_layers == 2:
                branch = weigh(np.tanh(branch), block, 1)
            trunk.append(h + stack.alpha * branch)
        else:
            branch = weigh(h, block, 0)
            if stack.branch_layers == 2:
                branch = weigh(np.tanh(branch), block, 1)
            trunk.append(np.tanh(h + stack.alpha * branch))
        branches.append(stack.alpha * branch)
    return trunk, branches, before


def derivative(function, x):
    """Differentiate a function of an array numerically, one number after the other."""
    slopes = np.empty(x.size)
    for i in range(x.size):
        step = np.zeros(x.size)
        step[i] = 1e-6
        step = step.reshape(x.shape)
        slopes[i] = (function(x + step) - function(x - step)) / 2e-6
    return slopes.reshape(x.shape)


@pytest.mark.parametrize("layer", [Dense(), Convolution((2, 3), (3, 2))], ids=str)
@pytest.mark.parametrize("order", ["pre_activation", "post_activation"])
@pytest.mark.parametrize("branch_layers", [1, 2])
def test_a_residual_stack_is_a_plain_loop_and_its_gradient(layer, order, branch_layers):
    stack = Residual(layer, -0.7, branch_layers, order)
    scheme = schemes.get("he_normal")
    signals = lab.propagate(
        scheme,
        architecture=stack,
        depth=3,
        width=2,
        activation="tanh",
        bias_std=0.4,
        seeds=[8, 2],
        samples=2,
    )
    rng, bias_rng = (np.random.default_rng([2, stream]) for stream in (1, 3))
    shape = layer.kernel_shape(2, 2)
    kernels, biases = (
        [[draw() for _ in range(branch_layers)] for _ in range(3)]
        for draw in (
            lambda: scheme.sample(shape, rng),
            lambda: bias_rng.normal(0, 0.4, 2),
        )
    )
    x = draws(2, 0, 2, *layer.signal_shape(2))
    trunk, branches, before = plain_residual(stack, x, kernels, biases)
    assert stack.alpha == -0.7
    assert signals.activation[1] == pytest.approx([moment(h) for h in trunk])
    assert signals.mean[1] == pytest.approx([h.mean() for h in trunk])
    assert signals.branch[1] == pytest.approx([moment(b) for b in branches])
    assert signals.pre_activation[1] == pytest.approx([moment(z) for z in before])

    upstream = unit(draws(2, 2, 2, *layer.signal_shape(2)))
    gradients = [upstream]
    for block in (2, 1, 0):
        after = [part[block:] for part in (kernels, biases)]

        def objective(h, after=after):
            return np.sum(plain_residual(stack, h, *after)[0][-1] * upstream)

        gradients.insert(0, derivative(objective, trunk[block]))
    expected = [moment(g) for g in gradients]
    assert signals.gradient[1] == pytest.approx(expected, rel=1e-6)
    # What the trunk passes on by itself and what the branch adds make the gradient.
    added = []
    for block in range(3):
        shortcut = gradients[block + 1]
        if order == "post_activation":
            shortcut = shortcut * (1 - trunk[block + 1] ** 2)
        added.append(moment(gradients[block] - shortcut))
    assert signals.branch_gradient[1] == pytest.approx(added, rel=1e-5)


@pytest.mark.parametrize("branch_layers", [1, 2])
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_a_residual_block_multiplies_both_second_moments_by_one_plus_alpha_squared(
    alpha, branch_layers
):
    signals = lab.propagate(
        "he_normal",
        architecture=Residual(alpha=alpha, branch_layers=branch_layers),
        depth=10,
        width=128,
        samples=10,
        seeds=40,
    )
    forward = signals.activation[:, 1:] / signals.activation[:, :-1]
    backward = signals.gradient[:, :-1] / signals.gradient[:, 1:]
    for factors in (forward, backward):
        found = interval(factors.mean(axis=1))
        assert found.low < 1 + alpha**2 < found.high
        assert found.high - found.low < 0.1
    share = interval((signals.branch / signals.activation[:, :-1]).mean(axis=1))
    assert share.low < alpha**2 < share.high


@pytest.mark.parametrize("depth", [5, 50])
def test_branches_scaled_by_the_root_of_the_depth_stay_below_e(depth):
    signals = lab.propagate(
        "he_normal",
        architecture=Residual(alpha=1 / math.sqrt(depth)),
        depth=depth,
        width=64,
        samples=10,
    )
    for found in (
        interval(signals.activation[:, -1] / signals.activation[:, 0]),
        interval(signals.gradient[:, 0]),
    ):
        assert found.low < (1 + 1 / depth) ** depth < found.high
        assert 2 < found.low < math.e


def test_a_zero_last_layer_makes_every_block_the_identity():
    signals = lab.propagate(
        "he_normal", architecture=Residual(last_scheme="zeros"), depth=6, width=20
    )
    assert np.ptp(signals.activation, axis=1) == pytest.approx(0, abs=1e-15)
    assert signals.gradient == pytest.approx(1)
    assert not signals.branch.any() and not signals.branch_gradient.any()
    first, last = signals.pre_activation[:, ::2], signals.pre_activation[:, 1::2]
    assert not last.any()
    assert interval(first.mean(axis=1)).low > 0.9


# --- the limits of the precision


def limits(found, dtype=np.float32):
    """Return the first layer of rms beyond the dtype's range and below it, by seed."""
    info = np.finfo(dtype)
    over = found > float(info.max)
    under = found < float(info.smallest_subnormal) / 2
    return tuple(
        np.where(beyond.any(axis=1), beyond.argmax(axis=1), -1)
        for beyond in (over, under)
    )


@pytest.mark.parametrize(
    "architecture",
    [Dense(), Convolution((3, 3), padding="circular"), Residual(branch_layers=1)],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("std", [1e6, 3e-7])
def test_float32_leaves_its_range_where_float64_says_it_must(
    std, architecture, recwarn
):
    if std < 1 and isinstance(architecture, Residual):
        std = 1e8  # nothing vanishes beside a shortcut
    double, single = (
        lab.propagate(
            schemes.random_normal(std),
            architecture=architecture,
            depth=12,
            width=30,
            seeds=3,
            samples=3,
            dtype=dtype,
        )
        for dtype in ("float64", "float32")
    )
    over, under = limits(double.rms)
    assert (over > 0).all() or (under > 0).all()
    assert (single.overflow_layer == over).all()
    assert (single.vanished_layer == under).all()
    assert (double.overflow_layer == -1).all() and (double.vanished_layer == -1).all()
    layers = np.arange(13)
    for seed, (up, down) in enumerate(zip(over, under, strict=True)):
        end = up if up > 0 else down
        # Near the bottom of the range the last digits are gone before the number is.
        usable = (layers < end) & (double.rms[seed] > 1e-38)
        assert usable.sum() > 4
        assert single.rms[seed, usable] == pytest.approx(
            double.rms[seed, usable], rel=1e-4
        )
        beyond = single.rms[seed, end:]
        assert (np.isinf(beyond) if up > 0 else beyond == 0).all()
        assert (single.std[seed, end:] == beyond).all()
    assert not recwarn.list


@pytest.mark.parametrize(
    ("std", "activation", "fate"),
    [(1e4, activations.Activation("sine", np.sin, np.cos), 0), (1e-6, "sigmoid", 1)],
)
def test_a_gradient_is_lost_in_float32_where_float64_says_it_must(
    std, activation, fate, recwarn
):
    double, single = (
        lab.propagate(
            schemes.random_normal(std),
            depth=14,
            seeds=3,
            samples=3,
            activation=activation,
            dtype=dtype,
        )
        for dtype in ("float64", "float32")
    )
    # Counted from the last layer back; the signal itself stays near 1 all the way.
    back = limits(double.gradient_rms[:, ::-1])[fate]
    assert (back > 0).all()
    found = (single.gradient_overflow_layer, single.gradient_vanished_layer)
    assert (found[fate] == 14 - back).all()
    assert (found[1 - fate] == -1).all()
    assert (single.overflow_layer == -1).all() and (single.vanished_layer == -1).all()
    assert not recwarn.list


def in_double(function):
    return lambda z: function(z.astype(np.float64))


@pytest.mark.parametrize(
    "arguments",
    [
        {"bias_std": 1.0},
        {"architecture": Residual(alpha=np.float64(1), branch_layers=1)},
        {"activation": activations.Activation("wide", in_double(np.abs), np.sign)},
        {"activation": activations.Activation("wide", np.sin, in_double(np.cos))},
    ],
    ids=["biases", "alpha", "f", "derivative"],
)
def test_nothing_lifts_a_float32_network_into_double_precision(arguments):
    signals = lab.propagate(
        schemes.random_normal(1e6),
        depth=12,
        width=30,
        seeds=2,
        samples=3,
        dtype="float32",
        **arguments,
    )
    assert (signals.gradient_overflow_layer >= 0).all()
    if signals.activation[0, -1] > 1:
        assert (signals.overflow_layer == 6).all()


def test_double_precision_reports_its_own_limits_in_the_same_way(recwarn):
    over = lab.propagate(schemes.random_normal(1e40), depth=6, seeds=2)
    assert (over.overflow_layer == 4).all()
    assert (over.gradient_overflow_layer == 2).all()
    assert np.isfinite(over.activation[:, :4]).all()
    under = lab.propagate(schemes.random_normal(1e-43), depth=6, seeds=2)
    assert (under.vanished_layer == 4).all()
    assert not recwarn.list


def test_overflow_is_not_hidden_by_an_activation_that_compares(recwarn):
    # Of inf - inf a comparison makes 0, as hard_shrink does, or a slope of 0, as relu.
    for activation in ("hard_shrink", "relu", "leaky_relu", "gelu"):
        signals = lab.propagate(
            schemes.random_normal(1e15),
            depth=8,
            activation=activation,
            seeds=2,
            samples=2,
            dtype="float32",
        )
        assert (signals.overflow_layer == 3).all()
        assert np.isinf(signals.activation[:, 3:]).all()
        assert np.isinf(signals.gradient[:, :6]).all()
        assert not np.isnan(signals.mean).any()
    assert not recwarn.list


def test_a_seed_means_the_same_network_alone_and_in_company():
    # At this scale and width some networks overflow and others do not.
    arguments = {
        "depth": 60,
        "width": 3,
        "samples": 2,
        "dtype": "float32",
        "activation": "linear",
    }
    scheme = schemes.random_normal(3.5)
    together = lab.propagate(scheme, seeds=range(12), **arguments)
    assert 0 < np.count_nonzero(together.overflow_layer < 0) < 12
    for row, seed in enumerate(together.seeds):
        alone = lab.propagate(scheme, seeds=[seed], **arguments)
        for field in FIELDS:
            np.testing.assert_allclose(
                getattr(together, field)[row], getattr(alone, field)[0], rtol=1e-5
            )


def test_an_activation_that_is_undefined_somewhere_is_told_so(recwarn):
    with pytest.raises(ValueError, match=r"'log' .*: f\(z\) is nan at z = -"):
        lab.propagate("he_normal", activation=np.log)
    undefined = activations.Activation("cut", np.tanh, np.sqrt)
    with pytest.raises(ValueError, match=r"'cut' .*: f'\(z\) is nan at z = -"):
        lab.propagate("he_normal", activation=undefined)
    assert not recwarn.list


# --- the correlation of two inputs


@pytest.mark.parametrize("start", [-1, -0.3, 0.0, 0.5, 0.9, 1])
def test_the_correlation_of_relus_follows_the_arc_cosine_map(start):
    found = interval(
        correlate("he_normal", start, depth=2, width=300, seeds=20, samples=20)
    )
    assert found.mean[0] == pytest.approx(start, abs=1e-12)
    assert found.low[1] - 1e-12 <= start <= found.high[1] + 1e-12
    # Cho and Saul, "Kernel methods for deep learning", 2009.
    angle = math.acos(start)
    expected = (math.sin(angle) + (math.pi - angle) * start) / math.pi
    assert found.low[2] - 1e-3 < expected < found.high[2] + 1e-3


def test_biases_draw_two_inputs_together():
    found = interval(
        correlate(
            "lecun_normal",
            -0.5,
            depth=3,
            width=300,
            activation="linear",
            bias_std=0.8,
            seeds=40,
            samples=10,
        )
    )
    shared, own = -0.5, 1.0
    for layer in range(1, 4):
        shared, own = shared + 0.8**2, own + 0.8**2
        assert found.low[layer] < shared / own < found.high[layer]
        assert found.high[layer] - found.low[layer] < 0.06


def test_variance_and_correlation_follow_the_maps_of_mean_field_theory():
    sigma = {"sigma_w": 1.5, "sigma_b": 0.3}
    scheme = schemes.random_normal(sigma["sigma_w"] / math.sqrt(400))
    arguments = {
        "depth": 6,
        "width": 400,
        "activation": "tanh",
        "bias_std": sigma["sigma_b"],
        "seeds": 40,
        "samples": 20,
    }
    moments = interval(lab.propagate(scheme, **arguments).pre_activation)
    correlations = interval(correlate(scheme, 0.5, **arguments))
    q = 1.5**2 + 0.3**2
    c = (1.5**2 * 0.5 + 0.3**2) / q
    for layer in range(6):
        assert moments.low[layer] < q < moments.high[layer] < 1.1 * q
        assert correlations.low[layer + 1] < c < correlations.high[layer + 1] < 1.1 * c
        c = theory.correlation_map("tanh", c, q=q, **sigma)
        q = theory.variance_map("tanh", q, **sigma)


def test_the_correlation_of_a_dead_signal_is_unknown(recwarn):
    found = correlate("zeros", 0.5, depth=2, width=5, seeds=2)
    assert found[:, 0] == pytest.approx(0.5) and np.isnan(found[:, 1:]).all()
    assert not recwarn.list


# --- bad arguments


@pytest.mark.parametrize(
    "function", [lab.propagate, lambda *a, **k: correlate(*a, 0, **k)]
)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"depth": 2.5}, "depth must be a whole number, got 2.5"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"width": 7.5}, "width must be a whole number, got 7.5"),
        ({"width": (5, 0, 5)}, "width must be at least 1, got 0"),
        ({"width": (5,)}, "at least one layer, got 1 numbers"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"seeds": 1.5}, "seeds must be a whole number, got 1.5"),
        ({"seeds": []}, "seeds must be .*at least one"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"bias_std": -0.1}, "bias_std must be a finite number from 0 on, got -0.1"),
        ({"bias_std": math.inf}, "bias_std must be a finite number from 0 on, got inf"),
    ],
)
def test_bad_sizes_are_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function("he_normal", **arguments)


def test_a_bad_precision_architecture_or_correlation_is_named():
    with pytest.raises(ValueError, match="dtype must be 'float64' or 'float32', got"):
        lab.propagate("he_normal", dtype="float16")
    with pytest.raises(TypeError, match="architecture must be a Dense, Convolution or"):
        lab.propagate("he_normal", architecture="cnn")
    with pytest.raises(ValueError, match=r"width must be one number in a residual st"):
        lab.propagate("he_normal", architecture=Residual(), width=(3, 4))
    with pytest.raises(ValueError, match="correlation must be from -1 to 1, got 1.5"):
        correlate("he_normal", 1.5)
    with pytest.raises(ValueError, match="width of the input must be at least 2"):
        correlate("he_normal", 0.5, width=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Convolution(8), r"size must be a tuple of whole numbers .*, got 8"),
        (lambda: Convolution((8, 0)), "size must be at least 1, got 0"),
        (lambda: Convolution((8, 2.5)), "size must be a whole number, got 2.5"),
        (lambda: Convolution(()), r"size must have 1 to 3 dimensions, got \(\)"),
        (lambda: Convolution((2, 2, 2, 2)), "size must have 1 to 3 dimensions"),
        (lambda: Convolution((8, 8), 0), "kernel_size must be at least 1, got 0"),
        (lambda: Convolution((8, 8), (3,)), r"whole number or 2 of them.*got \(3,\)"),
        (
            lambda: Convolution((8,), 3, "valid"),
            "padding must be 'same' or 'circular', got 'valid'",
        ),
        (lambda: Residual(alpha=math.nan), "alpha must be a finite number, got nan"),
        (lambda: Residual(alpha="1"), "alpha must be a finite number, got '1'"),
        (lambda: Residual(branch_layers=0), "branch_layers must be at least 1, got 0"),
        (lambda: Residual(branch_layers=3), "branch_layers must be 1 or 2, got 3"),
        (
            lambda: Residual(order="post"),
            "order must be 'pre_activation' or 'post_activation', got 'post'",
        ),
        (lambda: Residual(last_scheme="zero"), "unknown scheme 'zero'"),
    ],
)
def test_a_bad_architecture_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_block_of_blocks_is_refused():
    with pytest.raises(
        TypeError, match="layer must be a Dense or Convolution, got Res"
    ):
        Residual(Residual())
