"""LSUV against the paper's algorithm, on every kind of layer, and what it refuses."""

import math
import warnings

import keras
import numpy as np
import pytest
from keras import layers

from initlab import keras_layers
from initlab.lsuv import LsuvReport, lsuv, output_variances

SAMPLES = 200


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def mlp(depth=3, width=16, activation="relu", **options):
    keras.utils.set_random_seed(1)
    hidden = [layers.Dense(width, activation, **options) for _ in range(depth)]
    return keras.Sequential([keras.Input((width,)), *hidden])


def stack(*given, shape):
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input(shape), *given])


def linear_twin(layer):
    """Return a fresh layer of the same weights without an activation."""
    if isinstance(layer, layers.TimeDistributed):
        return layers.TimeDistributed(linear_twin(layer.layer))
    config = layer.get_config() | {"activation": "linear"}
    twin = type(layer).from_config(config)
    twin.build(layer.get_build_config()["input_shape"])
    twin.set_weights(layer.get_weights())
    return twin


def variances(model, x):
    """Measure a Sequential model independently of the package, layer by layer."""
    measured = []
    for layer in model.layers:
        if hasattr(layer, "cell"):
            bias = np.asarray(layer.cell.bias)
            bias = bias[0] if bias.ndim == 2 else bias
            measured.append(
                np.var(np.asarray(x) @ np.asarray(layer.cell.kernel) + bias)
            )
        elif layer.weights and not isinstance(layer, layers.BatchNormalization):
            measured.append(np.var(np.asarray(linear_twin(layer)(x))))
        x = layer(x, training=False)
    return np.array(measured)


def weights_of(model):
    return [np.asarray(each).copy() for each in model.weights]


def assert_unchanged(model, before):
    for now, then in zip(weights_of(model), before, strict=True):
        np.testing.assert_array_equal(now, then)


def algorithm_1(weights, x, tolerance, max_iterations):
    """Do the paper's Algorithm 1 in plain numpy for a ReLU network."""
    finished, iterations = [], []
    for kernel, bias in weights:
        t = 0
        variance = np.var(x @ kernel + bias)
        while abs(variance - 1) > tolerance and t < max_iterations:
            kernel = kernel / np.sqrt(variance)
            variance = np.var(x @ kernel + bias)
            t += 1
        finished.append(kernel)
        iterations.append(t)
        x = np.maximum(x @ kernel + bias, 0)
    return finished, iterations


def haar(count, seed=0):
    """Draw orthogonal 16 × 16 matrices, uniform over all of them, one after another."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        q, r = np.linalg.qr(rng.standard_normal((16, 16), np.float32).astype(float))
        yield q * np.sign(np.diag(r))


# --- the algorithm


@pytest.mark.parametrize("bias_std", [0, 0.5], ids=["no bias", "biases"])
def test_the_kernels_are_those_of_algorithm_1_in_plain_numpy(bias_std):
    model, x = mlp(4), normal(SAMPLES, 16) * 3 + 1
    for layer in model.layers:  # an orthonormal start that both are given
        kernel = np.linalg.qr(np.asarray(layer.kernel, np.float64))[0]
        layer.set_weights([kernel, bias_std * normal(16)])
    start = [
        [w.astype(np.float64) for w in each.get_weights()] for each in model.layers
    ]
    expected, iterations = algorithm_1(start, x.astype(np.float64), 0.01, 10)
    report = lsuv(model, x, tolerance=0.01, orthonormal=False)
    for layer, kernel, (_, bias) in zip(model.layers, expected, start, strict=True):
        np.testing.assert_allclose(layer.kernel, kernel, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer.bias, bias, rtol=1e-6)
    assert [each.iterations for each in report.layers] == iterations
    assert max(iterations) > 1 if bias_std else max(iterations) == 1


def test_the_orthonormal_start_is_that_of_saxe_drawn_layer_by_layer():
    model, x = mlp(3), normal(SAMPLES, 16) * 2
    lsuv(model, x, seed=7)
    start = [(kernel, 0) for kernel in haar(3, seed=7)]
    expected, _ = algorithm_1(start, x.astype(np.float64), 0.05, 10)
    for layer, kernel in zip(model.layers, expected, strict=True):
        np.testing.assert_allclose(layer.kernel, kernel, rtol=1e-5, atol=1e-6)


def test_the_variance_is_taken_before_the_activation_not_after_it():
    model, x = mlp(5), normal(SAMPLES, 16)
    lsuv(model, x)
    before, after = variances(model, x), []
    for layer in model.layers:
        x = layer(x)
        after.append(np.var(x))
    assert np.abs(before - 1).max() <= 0.05
    assert np.max(after) < 0.6  # rescaling for them would have given other kernels


def test_stale_outputs_of_the_layer_below_would_give_other_kernels():
    model, x = mlp(5), normal(SAMPLES, 16)
    lsuv(model, x)
    stale = x.astype(np.float64)
    for kernel in haar(5):
        z = stale @ kernel
        stale_kernel, stale = kernel / z.std(), np.maximum(z, 0)
    apart = np.abs(np.asarray(model.layers[-1].kernel) / stale_kernel - 1)
    assert np.median(apart) > 0.3


def test_the_mean_is_taken_off_once_for_all_units_and_not_corrected():
    model, x = stack(layers.Dense(1, use_bias=False), shape=(4,)), normal(SAMPLES, 4)
    x += 10
    lsuv(model, x, tolerance=0.001)
    output = np.asarray(model(x), np.float64)
    assert output.var() == pytest.approx(1, abs=0.001)
    assert abs(output.mean()) > 3


def test_the_variance_counts_the_units_means_too():
    model = stack(layers.Dense(8), shape=(4,))
    x = normal(SAMPLES, 4) + 5
    lsuv(model, x, tolerance=0.001)
    output = np.asarray(model(x), np.float64)
    assert output.var() == pytest.approx(1, abs=0.001)
    assert output.var(axis=0).mean() < 0.7


def test_the_tolerance_ends_the_iterations():
    x = normal(SAMPLES, 16)
    loose = lsuv(mlp(3), x, tolerance=0.9)
    assert [each.iterations for each in loose.layers] == [0, 0, 0]
    assert max(abs(each.end - 1) for each in loose.layers) > 0.3
    tight = lsuv(mlp(3), x, tolerance=1e-4)
    assert [each.status for each in tight.layers] == ["unit variance"] * 3
    assert max(abs(each.end - 1) for each in tight.layers) < 1e-4


def test_a_variance_far_from_1_is_one_division_away():
    model, x = mlp(3), normal(SAMPLES, 16) * 1e12
    report = lsuv(model, x)
    assert [each.iterations for each in report.layers] == [1, 1, 1]
    assert np.abs(variances(model, x) - 1).max() <= 0.05


def test_the_same_seed_gives_the_same_weights_and_another_one_others():
    x, models = normal(SAMPLES, 16), [mlp(), mlp(), mlp()]
    for model, seed in zip(models, (3, 3, 4), strict=True):
        lsuv(model, x, seed=seed)
    same, again, other = map(weights_of, models)
    for one, two, three in zip(same, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        if one.ndim == 2:
            assert np.median(np.abs(one - three)) > 0.1


def test_layers_of_one_shape_get_kernels_of_their_own():
    model = mlp()
    lsuv(model, normal(SAMPLES, 16))
    first, second, _ = (np.asarray(each.kernel) for each in model.layers)
    assert np.median(np.abs(first - second)) > 0.1


def test_a_second_time_changes_nothing_without_an_orthonormal_start():
    model, x = mlp(), normal(SAMPLES, 16)
    lsuv(model, x)
    before = weights_of(model)
    report = lsuv(model, x, orthonormal=False)
    assert_unchanged(model, before)
    assert [each.iterations for each in report.layers] == [0, 0, 0]


def test_biases_become_0_with_the_orthonormal_start_only():
    x = normal(SAMPLES, 16)
    for orthonormal in (True, False):
        model = mlp(bias_initializer=keras.initializers.Constant(0.3))
        lsuv(model, x, orthonormal=orthonormal)
        for layer in model.layers:
            assert np.ptp(layer.bias) == 0
            assert float(layer.bias[0]) == pytest.approx(0 if orthonormal else 0.3)


# --- all kinds of layers

KINDS = {
    "dense": stack(
        *(layers.Dense(size, "tanh") for size in (30, 9)),
        *(layers.Dropout(0.5), layers.BatchNormalization()),
        *(layers.Dense(40, activation=layers.LeakyReLU(0.3)), layers.Dense(1)),
        shape=(12,),
    ),
    "conv1d": stack(
        layers.Conv1D(8, 3, activation="relu"),
        layers.Conv1D(6, 3, strides=2, padding="same", activation="relu"),
        layers.Conv1DTranspose(5, 3, strides=2, activation="relu"),
        *(layers.Flatten(), layers.Dense(3)),
        shape=(20, 3),
    ),
    "conv2d": stack(
        layers.Conv2D(8, 3, activation="relu"),
        layers.Conv2D(12, 3, dilation_rate=2, activation="gelu"),
        *(layers.MaxPooling2D(), layers.Conv2D(9, 1, activation="softmax")),
        *(layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax")),
        shape=(12, 12, 3),
    ),
    "conv3d": stack(
        layers.Conv3D(4, 2, activation="relu"),
        layers.Conv3DTranspose(3, 2, activation="relu"),
        shape=(5, 5, 5, 2),
    ),
    "grouped": stack(
        layers.Conv2D(12, 3, groups=3, activation="relu"),
        layers.Conv2D(8, 3, groups=4, activation="relu"),
        # Fewer inputs than outputs: as a whole it would not be orthonormal per group.
        layers.Conv2D(16, 1, groups=4, activation="relu"),
        shape=(8, 8, 6),
    ),
    "transposed": stack(
        layers.Conv2DTranspose(8, 3, strides=2, activation="relu"),
        layers.Conv2DTranspose(3, 4, padding="same", activation="relu"),
        shape=(6, 6, 5),
    ),
    "depthwise": stack(
        layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
        layers.DepthwiseConv2D(3, activation="relu"),
        *(layers.Reshape((16, 10)), layers.DepthwiseConv1D(3, activation="relu")),
        shape=(8, 8, 5),
    ),
    "separable": stack(
        layers.SeparableConv2D(8, 3, depth_multiplier=2, activation="relu"),
        layers.SeparableConv2D(10, 3, activation="relu"),
        *(layers.Reshape((16, 10)), layers.SeparableConv1D(4, 3, activation="relu")),
        shape=(8, 8, 5),
    ),
    "recurrent": stack(
        layers.SimpleRNN(7, return_sequences=True),
        layers.GRU(6, return_sequences=True),
        layers.GRU(6, reset_after=False, return_sequences=True),
        layers.TimeDistributed(layers.Dense(9, "relu")),
        *(layers.LSTM(5), layers.Dense(2)),
        shape=(7, 4),
    ),
    "einsum": stack(
        layers.EinsumDense("abc,cd->abd", (7, 6), activation="relu"),
        layers.EinsumDense("...c,cd->...d", 5, activation="relu"),
        layers.EinsumDense("abc,bcd->abd", (7, 6), activation="relu"),
        layers.EinsumDense("abc,bcd->ad", 9, bias_axes="d"),
        shape=(7, 4),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_variance_of_every_layer_is_within_the_tolerance(kind):
    model = KINDS[kind]
    x = 3 * normal(SAMPLES, *model.input_shape[1:]) + 0.5
    weighted = len(variances(model, x))
    assert np.abs(variances(model, x) - 1).max() > 0.3  # there is something to do
    report = lsuv(model, x, tolerance=0.02)
    measured = variances(model, x)
    assert np.abs(measured - 1).max() <= 0.02 + 1e-5
    assert len(measured) == len(report.layers) == weighted
    np.testing.assert_allclose([each.end for each in report.layers], measured, 1e-4)
    assert {each.status for each in report.layers} == {"unit variance"}


def matrices(layer):
    """Return the separate matrices of every input kernel: (rows, columns) each."""
    for kernel in keras_layers.kernels(layer):
        values, kind = np.asarray(kernel.variable, np.float64), kernel.kind
        if kernel.from_state:
            continue
        if kind == "einsum":
            yield from einsum_matrices(values, kernel.equation)
        elif kind == "depthwise":
            for channel in range(values.shape[-2]):
                yield values[..., channel, :].reshape(-1, values.shape[-1])
        else:
            parts = kernel.groups * kernel.gates
            for part in np.split(values, parts, axis=-1):
                yield part.reshape(-1, part.shape[-1])


def einsum_matrices(values, equation):
    return {
        "abc,cd->abd": lambda: [values],
        "...c,cd->...d": lambda: [values],
        "abc,bcd->abd": lambda: list(values),
        "abc,bcd->ad": lambda: [values.reshape(-1, values.shape[-1])],
    }[equation]()


@pytest.mark.parametrize("kind", KINDS)
def test_the_matrices_of_every_kernel_are_orthonormal_up_to_their_scale(kind):
    model = KINDS[kind]
    lsuv(model, normal(SAMPLES, *model.input_shape[1:]))
    for layer in model.layers:
        singular = [np.linalg.svd(m, compute_uv=False) for m in matrices(layer)]
        pointwise = [singular.pop()] if "separable" in layer.name else []
        for group in (singular, pointwise):  # each kernel has one scale
            if group:
                each = np.concatenate(group)
                np.testing.assert_allclose(each, each[0], rtol=1e-5)
        if pointwise:
            np.testing.assert_allclose(singular[0], 1, rtol=1e-5)


def test_attention_is_rescaled_through_all_its_maps():
    i = keras.Input((6, 8))
    attended = layers.MultiHeadAttention(2, 3, name="attention")(i, i)
    model = keras.Model(i, layers.LayerNormalization()(attended))
    x = normal(SAMPLES, 6, 8) * 2
    report = lsuv(model, x)
    names = [f"attention/{n}" for n in ("query", "key", "value", "attention_output")]
    assert [each.name for each in report.layers] == names
    attention = model.layers[1]
    for sublayer in (attention.query_dense, attention.key_dense, attention.value_dense):
        kernel, bias = sublayer.get_weights()
        z = np.einsum("abc,cde->abde", x, kernel) + bias
        assert z.var() == pytest.approx(1, abs=0.05)
        flat = kernel.reshape(8, 6)
        np.testing.assert_allclose(
            flat.T @ flat, np.eye(6) * (flat**2).sum() / 6, 1e-4, 1e-5
        )
    assert np.var(attention(x, x)) == pytest.approx(1, abs=0.05)


def test_both_directions_of_a_bidirectional_layer_are_rescaled():
    model = stack(
        layers.Bidirectional(layers.LSTM(4), name="two"), layers.Dense(2), shape=(7, 3)
    )
    x = normal(SAMPLES, 7, 3) * 4
    report = lsuv(model, x)
    both = model.layers[0].forward_layer, model.layers[0].backward_layer
    names = [f"two/{layer.name}" for layer in both]
    assert [each.name for each in report.layers][:2] == names
    for layer in both:
        drive = x @ np.asarray(layer.cell.kernel) + np.asarray(layer.cell.bias)
        assert drive.var() == pytest.approx(1, abs=0.05)
    assert np.var(model(x)) == pytest.approx(1, abs=0.05)


def test_recurrent_kernels_and_their_biases_stay_as_they_are():
    model = stack(layers.LSTM(5), layers.Dense(2), shape=(7, 3))
    _, recurrent, bias = model.layers[0].get_weights()
    lsuv(model, normal(SAMPLES, 7, 3))
    np.testing.assert_array_equal(model.layers[0].get_weights()[1], recurrent)
    np.testing.assert_array_equal(model.layers[0].get_weights()[2], bias)
    assert bias[5:10].tolist() == [1] * 5  # of the forget gate


def test_a_residual_net_is_rescaled_along_both_paths():
    keras.utils.set_random_seed(0)
    i = h = keras.Input((8, 8, 4))
    for block in range(4):
        branch = layers.Conv2D(6, 3, padding="same", name=f"in_{block}")(h)
        branch = layers.ReLU()(layers.BatchNormalization()(branch))
        branch = layers.Conv2D(4, 3, padding="same", name=f"out_{block}")(branch)
        h = layers.ReLU()(layers.Add()([h, branch]))
    model = keras.Model(i, layers.Dense(3, name="top")(layers.Flatten()(h)))
    x = normal(SAMPLES, 8, 8, 4) * 5
    report = lsuv(model, x)
    assert len(report.layers) == 9
    for each in report.layers:
        output = keras.Model(i, model.get_layer(each.name).output)(x)
        assert np.var(output) == pytest.approx(1, abs=0.05), each.name


def test_a_nested_model_is_rescaled_layer_by_layer():
    inner = keras.Sequential([layers.Dense(9, name="a"), layers.ReLU()], name="inner")
    model = keras.Sequential([keras.Input((5,)), inner, layers.Dense(3, name="a_too")])
    x = normal(SAMPLES, 5) * 3
    report = lsuv(model, x)
    assert [each.name for each in report.layers] == ["inner/a", "a_too"]
    assert np.var(inner.layers[0](x)) == pytest.approx(1, abs=0.05)
    assert np.var(model(x)) == pytest.approx(1, abs=0.05)


class Subclassed(keras.Model):
    """It calls its layers as no graph of layers could tell."""

    def __init__(self, compiled=False):
        super().__init__(name="mine")
        self.blocks = [layers.Dense(12, "relu", name=f"block_{n}") for n in range(3)]
        self.top = layers.Dense(2, name="top")
        self.spare = layers.Dense(2, name="spare")
        if compiled:
            import tensorflow as tf

            # Where Keras builds layers while it traces, it freezes their first weights.
            for layer in (*self.blocks, self.top):
                layer.build((None, 12))
            self.call = tf.function(self.call)

    def call(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.top(inputs=keras.ops.sin(x))


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "tf.function"])
def test_a_subclassed_model_is_rescaled_in_the_order_of_its_calls(compiled):
    model, x = Subclassed(compiled), normal(SAMPLES, 12) * 2
    model.spare(x)
    model(x)
    report = lsuv(model, x)
    names = ["block_0", "block_1", "block_2", "top", "spare"]
    assert [each.name for each in report.layers] == names
    h = x
    for block in model.blocks:
        kernel, bias = block.get_weights()
        z = h @ kernel + bias
        assert z.var() == pytest.approx(1, abs=0.05)
        h = h + np.maximum(z, 0)
    assert np.var(model(x)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", [list, dict])
def test_a_model_may_have_several_inputs(kind):
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((6,), name="b")}
    joined = layers.Concatenate()([inputs["a"], layers.Dense(3)(inputs["b"])])
    given = inputs if kind is dict else list(inputs.values())
    model = keras.Model(given, layers.Dense(2)(joined))
    x = {"a": normal(SAMPLES, 4), "b": normal(SAMPLES, 6) * 9}
    lsuv(model, x if kind is dict else list(x.values()))
    assert np.var(model(x if kind is dict else list(x.values()))) == pytest.approx(
        1, abs=0.05
    )


def test_x_may_be_a_tensor_and_float64():
    import tensorflow as tf

    x, models = normal(SAMPLES, 16), [mlp(), mlp(), mlp()]
    for model, given in zip(models, (x, tf.constant(x), x.astype(float)), strict=True):
        lsuv(model, given)
    plain, tensor, double = map(weights_of, models)
    for one, two, three in zip(plain, tensor, double, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


def test_an_embedding_stays_as_it_is_and_what_follows_is_rescaled():
    model = stack(
        layers.Embedding(20, 8, name="table"),
        *(layers.GlobalAveragePooling1D(), layers.Dense(3, name="top")),
        shape=(6,),
    )
    table = np.asarray(model.layers[0].embeddings).copy()
    x = np.random.default_rng(0).integers(0, 20, (SAMPLES, 6))
    report = lsuv(model, x)
    np.testing.assert_array_equal(model.layers[0].embeddings, table)
    assert report["table"].status == "lookup table"
    assert report["table"].end == pytest.approx(table[x].var(), rel=1e-4)
    assert np.var(model(x)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_other_precisions_reach_the_tolerance_and_keep_their_dtypes(policy):
    model = mlp(4, dtype=policy)
    dtypes = [each.dtype for each in model.weights]
    x = normal(SAMPLES, 16) * 7
    report = lsuv(model, x)
    assert {each.status for each in report.layers} == {"unit variance"}
    assert [each.dtype for each in model.weights] == dtypes
    h = x
    for layer in model.layers:
        kernel = np.asarray(layer.kernel, np.float64)
        singular = np.linalg.svd(kernel, compute_uv=False)
        np.testing.assert_allclose(singular, singular[0], rtol=1e-5)
        z = np.asarray(h, np.float64) @ kernel
        assert z.var() == pytest.approx(1, abs=0.06)
        h = np.maximum(z, 0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_in_mixed_precision_the_given_kernel_is_not_rounded(policy):
    keras.config.set_dtype_policy(policy)
    try:  # a policy of the model too, not of its layer alone
        model = mlp(1)
    finally:
        keras.config.set_dtype_policy("float32")
    before = np.asarray(model.layers[0].kernel).copy()
    report = lsuv(model, normal(SAMPLES, 16) * 7, orthonormal=False)
    assert report.layers[0].iterations == 1
    ratio = np.asarray(model.layers[0].kernel) / before
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-6)


# --- layers that stay as they are, or cannot get there


def test_frozen_layers_stay_as_they_are_and_are_told():
    model, x = mlp(), normal(SAMPLES, 16) * 2
    frozen = model.layers[1]
    frozen.trainable = False
    before = frozen.get_weights()
    report = lsuv(model, x)
    for now, then in zip(frozen.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    statuses = [each.status for each in report.layers]
    assert statuses == ["unit variance", "frozen", "unit variance"]
    measured = variances(model, x)
    assert report.layers[1].end == pytest.approx(measured[1], rel=1e-4)
    assert np.abs(measured[[0, 2]] - 1).max() <= 0.05


def test_a_kernel_under_lora_counts_as_frozen():
    model = mlp()
    model.layers[0].enable_lora(2)
    before = model.layers[0].get_weights()
    report = lsuv(model, normal(SAMPLES, 16))
    assert report.layers[0].status == "frozen"
    for now, then in zip(model.layers[0].get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("skip", ["inner", ["inner/a", "inner/b/dense"], ["inner"]])
def test_skipped_layers_stay_as_they_are_also_whole_blocks(skip):
    inner = keras.Sequential(
        [
            layers.Dense(9, name="a"),
            layers.TimeDistributed(layers.Dense(7, name="dense"), name="b"),
        ],
        name="inner",
    )
    model = keras.Sequential([keras.Input((4, 5)), inner, layers.Dense(3, name="in")])
    before = weights_of(inner)
    report = lsuv(model, normal(SAMPLES, 4, 5), skip=skip)
    assert_unchanged(inner, before)
    assert [each.status for each in report.layers] == [
        "skipped",
        "skipped",
        "unit variance",
    ]


def test_a_layer_called_twice_is_finished_at_its_first_call():
    i = keras.Input((8,))
    shared = layers.Dense(8, "relu", name="shared")
    model = keras.Model(i, layers.Dense(3)(shared(shared(i))))
    x = normal(SAMPLES, 8) * 3
    report = lsuv(model, x)
    kernel = np.asarray(shared.kernel)
    assert (x @ kernel).var() == pytest.approx(1, abs=0.05)
    assert (np.maximum(x @ kernel, 0) @ kernel).var() < 0.8
    assert report["shared"].uses == 2
    assert report["shared"].calls == report["shared"].iterations + 2
    assert "unit variance, called 2 times" in str(report)
    assert np.var(model(x)) == pytest.approx(1, abs=0.05)


def test_a_kernel_that_an_earlier_layer_uses_is_not_changed_again():
    first = layers.Dense(16, "relu", use_bias=False)

    class Second(layers.Dense):
        def build(self, shape):
            self._kernel, self.bias = first.kernel, None

    model, x = stack(first, Second(16), layers.Dense(3), shape=(16,)), normal(200, 16)
    report = lsuv(model, x * 3)
    statuses = [each.status for each in report.layers]
    assert statuses == ["unit variance", "shared kernel", "unit variance"]
    assert (3 * x @ np.asarray(first.kernel)).var() == pytest.approx(1, abs=0.05)
    assert np.var(model(3 * x)) == pytest.approx(1, abs=0.05)


def test_a_kernel_tied_to_an_embedding_is_not_changed_behind_its_back():
    class Tied(layers.Dense):
        def build(self, shape):
            self._kernel, self.bias = self.table.embeddings, None

    table, tied = layers.Embedding(9, 9, name="table"), Tied(9, name="tied")
    tied.table = table
    model = stack(table, layers.Dense(9), tied, shape=(4,))
    before = np.asarray(table.embeddings).copy()
    report = lsuv(model, np.random.default_rng(0).integers(0, 9, (SAMPLES, 4)))
    np.testing.assert_array_equal(table.embeddings, before)
    assert report["tied"].status == "shared kernel"


def test_layers_that_are_never_called_are_told():
    model, x = Subclassed(), normal(SAMPLES, 12)
    model.spare(x)
    model(x)
    before = model.spare.get_weights()
    spare = lsuv(model, x)["spare"]
    assert (spare.status, spare.uses, spare.calls) == ("never called", 0, 0)
    assert math.isnan(spare.end)
    np.testing.assert_array_equal(model.spare.get_weights()[0], before[0])


def test_layers_of_the_readers_own_kind_are_told_and_left():
    class Mine(layers.Layer):
        def build(self, shape):
            self.matrix = self.add_weight(shape=(shape[-1], 5))
            self.inner = layers.Dense(5, name="inner")
            self.inner.build((None, 5))

        def call(self, x):
            return self.inner(x @ self.matrix)

    mine = Mine(name="mine")
    model, x = stack(mine, layers.Dense(2), shape=(4,)), normal(SAMPLES, 4)
    before = np.asarray(mine.matrix).copy()
    report = lsuv(model, x)
    np.testing.assert_array_equal(mine.matrix, before)
    assert report["mine"].status == "unknown kind" and report["mine"].kind == "Mine"
    assert report["mine/inner"].status == "unit variance"
    assert np.var(mine(x)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("constant", [0, 1, -1e6])
def test_a_constant_output_is_left_orthonormal_and_warned_about(constant):
    model = mlp(2)
    x = np.full((SAMPLES, 16), constant, "float32")
    with pytest.warns(UserWarning, match=r"variance 1 to 'dense.*\(constant output, "):
        report = lsuv(model, x)
    assert [each.status for each in report.layers] == ["constant output"] * 2
    assert [each.iterations for each in report.layers] == [0, 0]
    for layer in model.layers:
        singular = np.linalg.svd(layer.kernel, compute_uv=False)
        np.testing.assert_allclose(singular, 1, rtol=1e-5)


def test_behind_a_dead_layer_all_is_constant_and_before_it_nothing():
    model = mlp(4)
    model.layers[1].set_weights([np.zeros((16, 16)), -np.ones(16)])
    model.layers[1].trainable = False
    with pytest.warns(UserWarning, match="constant output, variance 0") as caught:
        report = lsuv(model, normal(SAMPLES, 16) * 3)
    assert len(caught) == 1
    assert [each.status for each in report.layers] == [
        "unit variance",
        "frozen",
        *["constant output"] * 2,
    ]


def test_what_does_not_follow_its_kernel_is_reported_as_not_converged():
    model, x = mlp(2), normal(SAMPLES, 16)
    model.layers[0].bias.assign(3 * normal(16))
    with pytest.warns(UserWarning, match=r"variance 1 to 'dense.*\(not converged, v"):
        report = lsuv(model, x, orthonormal=False, max_iterations=4)
    first, second = report.layers
    assert (first.status, first.iterations, first.calls) == ("not converged", 4, 5)
    assert (
        first.end == pytest.approx(variances(model, x)[0], rel=1e-4) and first.end > 2
    )
    assert second.status == "unit variance"


def test_a_healthy_model_is_not_warned_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lsuv(mlp(), normal(SAMPLES, 16))


# --- what it costs, and the report


def count_calls(monkeypatch):
    counts, call = {}, layers.Dense.call

    def counted(self, *inputs, **options):
        counts[self.name] = counts.get(self.name, 0) + 1
        return call(self, *inputs, **options)

    monkeypatch.setattr(layers.Dense, "call", counted)
    return counts


def test_a_hundred_layers_cost_no_call_more_than_their_iterations_need(monkeypatch):
    model = mlp(100, 256)
    counts = count_calls(monkeypatch)
    report = lsuv(model, normal(64, 256))
    needed = {each.name: each.iterations + 1 for each in report.layers}
    assert counts == needed and len(needed) == 100
    assert sum(needed.values()) > 150  # there was something to do
    assert report.layer_calls == sum(counts.values())


@pytest.mark.parametrize("measure_before", [False, True])
def test_the_report_counts_every_call_of_a_layer(monkeypatch, measure_before):
    i = keras.Input((8,))
    shared, frozen = layers.Dense(8, name="shared"), layers.Dense(8, name="frozen")
    model = keras.Model(i, layers.Dense(3, name="top")(frozen(shared(shared(i)))))
    frozen.trainable = False
    counts = count_calls(monkeypatch)
    report = lsuv(model, normal(SAMPLES, 8) * 3, measure_before=measure_before)
    assert {each.name: each.calls for each in report.layers} == counts
    assert counts["frozen"] == 2 if measure_before else counts["frozen"] == 1


def test_the_report_tells_the_variances_before_at_the_start_and_in_the_end():
    x = normal(SAMPLES, 16) * 3
    given, model = mlp(), mlp()
    report = lsuv(model, x, measure_before=True)
    before = [each.before for each in report.layers]
    np.testing.assert_allclose(before, variances(given, x), rtol=1e-4)
    np.testing.assert_allclose(list(output_variances(given, x).values()), before, 1e-6)
    h = x
    for each, layer, kernel in zip(report.layers, model.layers, haar(3), strict=True):
        assert each.start == pytest.approx((h @ kernel).var(), rel=1e-4)
        h = np.asarray(layer(h))
    np.testing.assert_allclose(
        [each.end for each in report.layers], variances(model, x), rtol=1e-4
    )
    assert all(math.isnan(each.before) for each in lsuv(mlp(), x).layers)


def test_the_report_reads_as_a_table():
    model = stack(
        layers.Embedding(20, 8, name="table"),
        *(layers.Flatten(), layers.Dense(3, name="top")),
        shape=(6,),
    )
    report = lsuv(model, np.arange(240).reshape(40, 6) % 20)
    assert isinstance(report, LsuvReport) and report.tolerance == 0.05
    head, table, top = str(report).splitlines()
    assert head.split() == "layer kind before start end iterations status".split()
    assert table.split()[:2] == ["table", "Embedding"]
    assert table.endswith("lookup table") and top.endswith("1  unit variance")
    assert report["top"] is report.layers[1]
    with pytest.raises(KeyError, match=r"no layer 'nowhere', only \['table', 'top'\]"):
        report["nowhere"]


# --- nothing half-done


def test_an_exception_on_the_way_leaves_all_weights_as_they_were():
    class Broken(layers.Layer):
        broken = False

        def call(self, x):
            if self.broken:
                raise RuntimeError("on the way")
            return x

    broken = Broken()
    model = stack(layers.Dense(8), layers.Dense(8), broken, layers.Dense(2), shape=(5,))
    before, call = weights_of(model), layers.Layer.__call__
    broken.broken = True
    with pytest.raises(RuntimeError, match="on the way"):
        lsuv(model, normal(SAMPLES, 5))
    assert_unchanged(model, before)
    assert layers.Layer.__call__ is call
    broken.broken = False
    assert lsuv(model, normal(SAMPLES, 5)).layers[0].status == "unit variance"


def test_optimizer_metrics_and_the_state_of_layers_stay_as_they_are():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4, 3), batch_size=20),
            layers.GRU(5, stateful=True),
            *(layers.BatchNormalization(), layers.Dropout(0.5)),
            layers.Dense(1, kernel_regularizer="l2", activity_regularizer="l2"),
        ]
    )
    model.compile("adam", "mse", metrics=["mae"])
    x = normal(20, 4, 3)
    model.fit(x, normal(20, 1), batch_size=20, epochs=2, verbose=0)
    untouched = [
        *model.optimizer.variables,
        *(each for each in model.non_trainable_variables),
        *(variable for metric in model.metrics for variable in metric.variables),
        *model.layers[0].states,
    ]
    before, compiled = [np.asarray(each).copy() for each in untouched], model.optimizer
    lsuv(model, x)
    output_variances(model, x)
    for now, then in zip(untouched, before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert model.optimizer is compiled and model.compiled
    model.fit(x, normal(20, 1), batch_size=20, epochs=1, verbose=0)


def test_measuring_changes_nothing():
    model = mlp()
    before = weights_of(model)
    output_variances(model, normal(SAMPLES, 16))
    assert_unchanged(model, before)


def test_measuring_counts_a_layers_first_call_and_tells_an_overflow():
    i = keras.Input((8,))
    shared = layers.Dense(8, name="shared", kernel_initializer="ones")
    model = keras.Model(i, layers.Dense(3, name="top")(shared(shared(i))))
    x = normal(SAMPLES, 8)
    measured = output_variances(model, x)
    assert list(measured) == ["shared", "top"]
    assert measured["shared"] == pytest.approx((x @ np.ones((8, 8))).var(), rel=1e-4)
    shared.kernel.assign(np.full((8, 8), 1e25))
    assert output_variances(model, x)["top"] == math.inf
    report = lsuv(model, x, measure_before=True)  # it cures just that
    assert report["top"].before == math.inf
    assert report["top"].end == pytest.approx(1, abs=0.05)


# --- what it refuses


@pytest.mark.parametrize("wrong", [None, layers.Dense(3), "model", keras.Model])
def test_only_a_keras_model_is_taken(wrong):
    for function in (lsuv, output_variances):
        with pytest.raises(TypeError, match="model must be a keras.Model, got "):
            function(wrong, normal(4, 3))


def test_a_model_that_is_not_built_is_refused_with_a_remedy():
    unbuilt = keras.Sequential([layers.Dense(3)], name="raw")
    for model in (unbuilt, Subclassed()):
        with pytest.raises(
            ValueError, match=f"model '{model.name}' is not built: .*Inp"
        ):
            lsuv(model, normal(4, 3))


def test_a_layer_that_is_not_built_is_refused_with_a_remedy():
    class Lazy(Subclassed):
        def build(self, shape):
            self.built = True

    model = Lazy()
    model.build((None, 12))
    with pytest.raises(ValueError, match=r"'block_0' is not built: call the model"):
        lsuv(model, normal(SAMPLES, 12))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 16)), "x must have at least one sample, .* got 0"),
        ([], "x must have at least one sample, .* got no array"),
        (normal(9, 15), r"samples of shape \(16,\), .* got \(15,\)"),
        (normal(9, 4, 16), r"samples of shape \(16,\), .* got \(4, 16\)"),
        (normal(16), r"samples of shape \(16,\), .* got \(\)"),
        ([normal(9, 16)] * 2, r"\(16,\), as the model's inputs, got \(16,\) and"),
        ([[1.0, 2.0], [3.0, 4.0]], "x must be an array of numbers .* got float in it"),
        (None, "x must be an array of numbers .* got NoneType in it"),
        (np.array(["a"] * 9), "x must be an array of numbers .* got ndarray in it"),
        (np.full((9, 16), np.nan), "x must be finite, got NaN or infinity"),
        (np.full((9, 16), -np.inf), "x must be finite, got NaN or infinity"),
    ],
    ids=repr,
)
def test_bad_data_is_named_and_nothing_is_changed(x, message):
    model = mlp()
    before = weights_of(model)
    for function in (lsuv, output_variances):
        with pytest.raises(ValueError, match=message):
            function(model, x)
    assert_unchanged(model, before)


def test_inputs_of_different_length_are_refused():
    inputs = [keras.Input((4,)), keras.Input((6,))]
    model = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(inputs)))
    with pytest.raises(ValueError, match="as many in each input, got 5, 6"):
        lsuv(model, [normal(5, 4), normal(6, 6)])


def test_one_sample_per_unit_is_refused_by_the_layers_name():
    model = stack(
        layers.Conv2D(4, 3, name="image"),
        *(layers.GlobalAveragePooling2D(), layers.Dense(3, name="top")),
        shape=(6, 6, 2),
    )
    before = weights_of(model)
    with pytest.raises(
        ValueError, match="layer 'top' gets 1 sample per unit.*at least"
    ):
        lsuv(model, normal(1, 6, 6, 2))  # enough for `image`, with its 16 positions
    assert_unchanged(model, before)
    assert lsuv(model, normal(2, 6, 6, 2))["top"].status == "unit variance"


@pytest.mark.parametrize(
    ("layer", "shape", "columns"),
    [
        (
            layers.EinsumDense("ab,bcd->adc", (4, 3)),
            *((5, 6), lambda z: z.reshape(5, 12)),
        ),
        (
            layers.EinsumDense("ab...,bc->ac...", 3),
            *((5, 6, 7), lambda z: z.swapaxes(1, 2).reshape(35, 3)),
        ),
        (
            layers.EinsumDense("...ab,bc->...ca", (3, 7)),
            *((5, 7, 6), lambda z: z.swapaxes(1, 2).reshape(35, 3)),
        ),
        (
            layers.Conv2DTranspose(3, 2, data_format="channels_first"),
            *((5, 2, 3, 3), lambda z: np.moveaxis(z, 1, -1).reshape(-1, 3)),
        ),
        (
            layers.TimeDistributed(layers.Conv1D(3, 2, data_format="channels_first")),
            *((5, 4, 2, 6), lambda z: np.moveaxis(z, 2, -1).reshape(-1, 3)),
        ),
    ],
    ids=["einsum", "ellipsis at the end", "at the start", "image", "video"],
)
def test_samples_are_counted_per_unit_wherever_the_axis_of_units_is(
    layer, shape, columns
):
    from initlab._lsuv_pass import _by_unit

    layer.build(shape)
    z = normal(*layer.compute_output_shape(shape))
    (kernel,) = keras_layers.kernels(layer)
    result = _by_unit(keras_layers.core(layer), kernel, z)
    np.testing.assert_array_equal(result, columns(z))


def test_an_output_that_overflows_is_named_and_nothing_is_changed():
    model = mlp(3, dtype="mixed_float16")
    before = weights_of(model)
    with pytest.raises(
        ValueError, match="output of layer 'dense.*' is not finite on x"
    ):
        lsuv(model, normal(SAMPLES, 16) * 1e5)
    model.layers[1].kernel.assign(np.full((16, 16), np.nan))
    with pytest.raises(
        ValueError, match="output of layer 'dense.*' is not finite on x"
    ):
        lsuv(model, normal(SAMPLES, 16), orthonormal=False)
    np.testing.assert_array_equal(model.layers[0].kernel, before[0])


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (stack(layers.ReLU(), shape=(16,)), "none with weights"),
        (
            stack(layers.Dense(3, trainable=False, name="top"), shape=(16,)),
            r"top \(fro",
        ),
    ],
    ids=["no weights", "all frozen"],
)
def test_a_model_with_nothing_to_rescale_is_refused(model, found):
    with pytest.raises(ValueError, match=f"that lsuv can rescale, got {found}"):
        lsuv(model, normal(SAMPLES, 16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0}, "tolerance must be between 0 and 1, got 0"),
        ({"tolerance": 1}, "tolerance must be between 0 and 1, got 1"),
        ({"tolerance": math.nan}, "tolerance must be between 0 and 1, got nan"),
        ({"tolerance": "5 %"}, "tolerance must be between 0 and 1, got '5 %'"),
        ({"max_iterations": 0}, "max_iterations must be at least 1, got 0"),
        ({"max_iterations": 2.5}, "max_iterations must be a whole number, got 2.5"),
        ({"seed": -1}, "seed must be a whole number from 0 on, got -1"),
        ({"seed": None}, "seed must be a whole number from 0 on, got None"),
        ({"seed": True}, "seed must be a whole number from 0 on, got True"),
        (
            {"skip": ["densse"]},
            "skip must name layers .* got 'densse': did you mean 'dense",
        ),
        ({"skip": "qqq"}, "skip must name layers of the model, got 'qqq'$"),
        ({"skip": [3]}, "skip must name layers of the model, got 3"),
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_named(options, message):
    model = mlp()
    before = weights_of(model)
    with pytest.raises(ValueError, match=message):
        lsuv(model, normal(SAMPLES, 16), **options)
    assert_unchanged(model, before)
