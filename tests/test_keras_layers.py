"""What is known of Keras layers, and that listening to a model leaves no trace."""

import keras
import numpy as np
import pytest
from keras import layers

from initlab.keras_layers import (
    before_activation,
    core,
    kernels,
    listening,
    without_activation,
)

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def built(layer, *shape):
    """Build a layer by calling it; give it biases other than 0."""
    layer(np.zeros(shape, "float32"))
    for variable in layer.weights:
        variable.assign(normal(*variable.shape) * 0.3)
    return layer


def told(layer):
    return [
        (each.name, each.kind, each.shape, each.groups, each.strides, each.gates)
        for each in kernels(layer)
    ]


def listen(model, x, **options):
    """Return the layers that were called, with the shapes that they were given."""
    heard = []

    def hook(layer, call, inputs):
        shapes = [tuple(each.shape) for each in keras.tree.flatten(inputs)]
        heard.append((layer, *shapes))
        return call(*inputs)

    with listening(hook):
        model(x, **options)
    return heard


# --- kernels


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (layers.Dense(5), (2, 3), [("kernel", "dense", (3, 5), 1, 1, 1)]),
        (
            layers.Conv1D(6, 3, strides=2),
            (2, 9, 4),
            [("kernel", "conv", (3, 4, 6), 1, 2, 1)],
        ),
        (
            layers.Conv2D(6, (3, 2), strides=(2, 3), groups=2),
            (2, 9, 9, 4),
            [("kernel", "conv", (3, 2, 2, 6), 2, 6, 1)],
        ),
        (
            layers.Conv3D(5, 2),
            (2, 4, 4, 4, 3),
            [("kernel", "conv", (2, 2, 2, 3, 5), 1, 1, 1)],
        ),
        (
            layers.Conv1DTranspose(6, 3, strides=2),
            (2, 9, 4),
            [("kernel", "conv_transpose", (3, 6, 4), 1, 2, 1)],
        ),
        (
            layers.Conv2DTranspose(6, 3, strides=2),
            (2, 5, 5, 4),
            [("kernel", "conv_transpose", (3, 3, 6, 4), 1, 4, 1)],
        ),
        (
            layers.Conv3DTranspose(2, 2),
            (2, 3, 3, 3, 4),
            [("kernel", "conv_transpose", (2, 2, 2, 2, 4), 1, 1, 1)],
        ),
        (
            layers.DepthwiseConv1D(3, depth_multiplier=2),
            (2, 9, 4),
            [("kernel", "depthwise", (3, 4, 2), 1, 1, 1)],
        ),
        (
            layers.DepthwiseConv2D(3, strides=2),
            (2, 9, 9, 4),
            [("kernel", "depthwise", (3, 3, 4, 1), 1, 4, 1)],
        ),
        (
            layers.SeparableConv1D(6, 3, strides=2, depth_multiplier=2),
            (2, 9, 4),
            [
                ("depthwise_kernel", "depthwise", (3, 4, 2), 1, 2, 1),
                ("pointwise_kernel", "conv", (1, 8, 6), 1, 1, 1),
            ],
        ),
        (
            layers.SeparableConv2D(6, 3),
            (2, 9, 9, 4),
            [
                ("depthwise_kernel", "depthwise", (3, 3, 4, 1), 1, 1, 1),
                ("pointwise_kernel", "conv", (1, 1, 4, 6), 1, 1, 1),
            ],
        ),
        (
            layers.SimpleRNN(5),
            (2, 7, 3),
            [
                ("kernel", "recurrent", (3, 5), 1, 1, 1),
                ("recurrent_kernel", "recurrent", (5, 5), 1, 1, 1),
            ],
        ),
        (
            layers.GRU(5),
            (2, 7, 3),
            [
                ("kernel", "recurrent", (3, 15), 1, 1, 3),
                ("recurrent_kernel", "recurrent", (5, 15), 1, 1, 3),
            ],
        ),
        (
            layers.LSTM(5),
            (2, 7, 3),
            [
                ("kernel", "recurrent", (3, 20), 1, 1, 4),
                ("recurrent_kernel", "recurrent", (5, 20), 1, 1, 4),
            ],
        ),
        (
            layers.Embedding(10, 4),
            (2, 7),
            [("embeddings", "embedding", (10, 4), 1, 1, 1)],
        ),
        (
            layers.TimeDistributed(layers.TimeDistributed(layers.Dense(5))),
            (2, 7, 4, 3),
            [("kernel", "dense", (3, 5), 1, 1, 1)],
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_kernels_are_listed_with_the_map_that_they_are(layer, shape, expected):
    assert kernels(layer) == ()  # not built yet
    layer(np.zeros(shape, "float32"))
    assert told(layer) == expected


@pytest.mark.skipif(
    not hasattr(layers, "ReversibleEmbedding"), reason="this Keras has none"
)
def test_an_embedding_that_can_be_reversed_is_a_lookup_table_too():
    layer = layers.ReversibleEmbedding(10, 4)
    layer(np.zeros((2, 7), "int32"))
    assert told(layer) == [("embeddings", "embedding", (10, 4), 1, 1, 1)]


def test_only_the_recurrent_kernel_multiplies_the_state():
    layer = built(layers.GRU(5), 2, 7, 3)
    assert [each.from_state for each in kernels(layer)] == [False, True]
    assert kernels(layer)[1].variable is layer.cell.recurrent_kernel


def test_an_einsum_kernel_comes_with_its_equation():
    layer = built(layers.EinsumDense("abc,cde->abde", (None, 2, 5)), 2, 7, 3)
    (kernel,) = kernels(layer)
    assert (kernel.kind, kernel.shape) == ("einsum", (3, 2, 5))
    assert kernel.equation == "abc,cde->abde"


def test_a_layer_owns_no_kernels_of_layers_inside_it():
    for layer, shape in (
        (layers.Bidirectional(layers.LSTM(3)), (2, 5, 4)),
        (keras.Sequential([layers.Dense(3)]), (2, 4)),
        (layers.TimeDistributed(keras.Sequential([layers.Dense(3)])), (2, 5, 4)),
        (layers.BatchNormalization(), (2, 4)),
        (layers.Dropout(0.5), (2, 4)),
    ):
        assert kernels(built(layer, *shape)) == ()


def test_a_layer_of_the_readers_own_has_the_kernels_of_its_keras_class():
    class Mine(layers.Dense):
        pass

    class Unknown(layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 3))

        def call(self, x):
            return x @ self.kernel

    assert told(built(Mine(5), 2, 3)) == [("kernel", "dense", (3, 5), 1, 1, 1)]
    assert kernels(built(Unknown(), 2, 4)) == ()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Dense(5), (2, 3)),
        (layers.Conv2D(5, 3), (2, 4, 4, 3)),
        (layers.EinsumDense("ab,bc->ac", 5), (2, 3)),
        (layers.Embedding(9, 5), (2, 3)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_with_lora_the_kernel_is_the_variable_without_its_product(layer, shape):
    built(layer, *shape)
    before = kernels(layer)[0].variable
    layer.enable_lora(2)
    (kernel,) = kernels(layer)
    assert kernel.variable is before and not kernel.variable.trainable


def test_core_is_the_layer_within_time_distributed_wrappers():
    dense = layers.Dense(3)
    assert core(dense) is dense
    assert core(layers.TimeDistributed(layers.TimeDistributed(dense))) is dense
    bidirectional = layers.Bidirectional(layers.LSTM(3))
    assert core(bidirectional) is bidirectional


# --- listening


def test_layers_are_heard_in_the_order_of_their_calls_also_nested_ones():
    inner = keras.Sequential([layers.Dense(4, name="a"), layers.ReLU(name="b")])
    outer = keras.Sequential([keras.Input((3,)), inner, layers.Dense(2, name="c")])
    heard = listen(outer, normal(5, 3))
    assert [(layer.name, shape) for layer, shape in heard if layer.name in "abc"] == [
        ("a", (5, 3)),
        ("b", (5, 4)),
        ("c", (5, 4)),
    ]
    assert heard[0][0] is outer and any(layer is inner for layer, _ in heard)


def test_a_functional_model_is_heard_with_all_inputs_of_a_merge():
    i = keras.Input((3,))
    h = layers.Dense(3, name="branch")(i)
    model = keras.Model(i, layers.Add(name="sum")([i, h]))
    heard = {layer.name: shapes for layer, *shapes in listen(model, normal(5, 3))}
    assert heard["branch"] == [(5, 3)] and heard["sum"] == [(5, 3), (5, 3)]


def test_a_subclassed_model_is_heard_whatever_its_call_does():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [layers.Dense(4), layers.Dense(4)]
            self.last = layers.Dense(2)

        def call(self, x):
            for block in reversed(self.blocks):
                x = keras.ops.relu(block(x)) + 1
            return self.last(inputs=x)

    model = Model()
    model(normal(5, 4))
    first, second = model.blocks
    heard = listen(model, normal(5, 4), training=False)
    assert [layer for layer, *_ in heard] == [model, second, first, model.last]
    assert heard[-1][1] == (5, 4)  # though it was given by keyword


def test_a_model_compiled_as_a_tf_function_is_heard_even_if_traced_before():
    import tensorflow as tf

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)

        @tf.function
        def call(self, x):
            return self.dense(x)

    model, x = Model(), normal(5, 4)
    expected = model(x)
    assert not tf.config.functions_run_eagerly()
    assert [layer for layer, *_ in listen(model, x)] == [model, model.dense]
    assert not tf.config.functions_run_eagerly()
    np.testing.assert_allclose(model(x), expected, rtol=1e-6)


def test_attention_is_heard_as_four_einsum_layers():
    attention = layers.MultiHeadAttention(2, 5)
    x = normal(3, 6, 4)
    attention(x, x)
    heard = [layer for layer, *_ in listen(attention, x, value=x) if kernels(layer)]
    assert [kernels(layer)[0].shape for layer in heard] == [
        *[(4, 2, 5)] * 3,
        (2, 5, 4),
    ]


def test_what_the_hook_returns_takes_the_place_of_the_output():
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(3, name="first"), layers.Dense(2)]
    )

    def hook(layer, call, inputs):
        output = call(*inputs)
        return output * 0 + 7 if layer.name == "first" else output

    x = normal(5, 3)
    with listening(hook):
        output = model(x)
    kernel, bias = model.layers[1].get_weights()
    np.testing.assert_allclose(output, np.tile(7 * kernel.sum(0) + bias, (5, 1)), 1e-5)


def test_call_keeps_the_keyword_arguments_of_the_caller():
    layer, x = layers.Dropout(0.5), np.ones((50, 4), "float32")
    outputs = []

    def hook(layer, call, inputs):
        outputs.append(call(*inputs))
        return call(inputs[0] * 3)

    with listening(hook):
        asleep = layer(x, training=False)
        layer(x, training=True)
    np.testing.assert_array_equal(outputs[0], x)
    np.testing.assert_array_equal(asleep, 3 * x)
    assert 0.2 < np.mean(np.equal(outputs[1], 0)) < 0.8


def test_models_can_be_built_meanwhile_unheard():
    heard = []
    with listening(lambda layer, call, inputs: heard.append(layer) or call(*inputs)):
        i = keras.Input((3,))
        h = layers.Dense(3)(i)
        model = keras.Model(i, layers.Concatenate()([h, layers.Dense(2)(inputs=i)]))
    assert heard == [] and model.output_shape == (None, 5)


def test_inputs_of_any_name_are_left_to_the_layer():
    class Sum(layers.Layer):
        def call(self, **parts):
            return parts["a"] + parts["b"]

    total, heard = Sum(), []
    with listening(lambda layer, call, inputs: heard.append(inputs) or call(*inputs)):
        np.testing.assert_array_equal(total(a=np.ones(3), b=np.ones(3)), [2, 2, 2])
    assert heard == [()]


def test_listening_ends_with_its_block_even_after_an_exception():
    original, dense = layers.Layer.__call__, layers.Dense(3)

    def hook(layer, call, inputs):
        raise KeyError("in the hook")

    with pytest.raises(KeyError, match="in the hook"), listening(hook):
        dense(normal(2, 3))
    assert layers.Layer.__call__ is original
    assert dense(normal(2, 3)).shape == (2, 3)


# --- before the activation


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Dense(5, "tanh"), (4, 3)),
        (layers.Conv1D(6, 3, activation="tanh"), (4, 9, 3)),
        (layers.Conv2D(6, 3, groups=3, activation="tanh"), (4, 6, 6, 3)),
        (layers.Conv3D(2, 2, activation="tanh"), (4, 4, 4, 4, 3)),
        (layers.Conv2DTranspose(6, 3, activation="tanh"), (4, 5, 5, 3)),
        (layers.DepthwiseConv1D(3, activation="tanh"), (4, 9, 3)),
        (layers.DepthwiseConv2D(3, activation="tanh"), (4, 6, 6, 3)),
        (layers.SeparableConv1D(5, 3, activation="tanh"), (4, 9, 3)),
        (layers.SeparableConv2D(5, 3, activation="tanh"), (4, 6, 6, 3)),
        (layers.EinsumDense("ab,bc->ac", 5, activation="tanh"), (4, 3)),
        (layers.TimeDistributed(layers.Dense(5, "tanh")), (4, 6, 3)),
        (layers.Dense(5), (4, 3)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_activation_of_the_pre_activation_is_the_output(layer, shape):
    built(layer, *shape)
    x = normal(*shape)
    expected = np.asarray(layer(x))
    activation = core(layer).activation
    z, output = before_activation(layer, layer, (x,))
    np.testing.assert_allclose(output, expected, rtol=1e-6)
    if activation is keras.activations.linear:
        np.testing.assert_array_equal(z, output)
    else:
        np.testing.assert_allclose(np.tanh(z), expected, rtol=1e-5, atol=1e-6)
        assert np.abs(z).max() > 1.01 * np.abs(expected).max()
    assert core(layer).activation is activation


def test_the_pre_activation_of_a_dense_layer_is_its_affine_map():
    layer, x = built(layers.Dense(5, "relu"), 4, 3), normal(4, 3)
    kernel, bias = layer.get_weights()
    z, output = before_activation(layer, layer, (x,))
    np.testing.assert_allclose(z, x @ kernel + bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(output, np.maximum(z, 0))


def test_an_activation_may_be_a_layer_with_weights_of_its_own():
    layer = built(layers.Dense(5, activation=layers.PReLU()), 4, 3)
    weights, x = [id(each) for each in layer.weights], normal(4, 3)
    expected = np.asarray(layer(x))
    slope = np.asarray(layer.activation.alpha)
    z, output = before_activation(layer, layer, (x,))
    np.testing.assert_allclose(output, expected, rtol=1e-6)
    np.testing.assert_allclose(output, np.where(z < 0, slope * z, z), rtol=1e-6)
    assert isinstance(layer.activation, layers.PReLU)
    assert [id(each) for each in layer.weights] == weights


def test_with_lora_the_pre_activation_holds_its_product():
    layer, x = built(layers.Dense(5, "relu"), 4, 3), normal(4, 3)
    layer.enable_lora(2, b_initializer="ones")
    z, _ = before_activation(layer, layer, (x,))
    np.testing.assert_allclose(
        z, x @ np.asarray(layer.kernel) + np.asarray(layer.bias), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("layer", "row"),
    [
        (layers.SimpleRNN(5), None),
        (layers.LSTM(5), None),
        (layers.LSTM(5, use_bias=False), None),
        (layers.GRU(5, reset_after=False), None),
        (layers.GRU(5, reset_after=True), 0),  # the second row belongs to the state
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_pre_activation_of_a_recurrent_layer_is_what_its_input_contributes(
    layer, row
):
    built(layer, 4, 7, 3)
    x = normal(4, 7, 3)
    bias = 0 if layer.cell.bias is None else np.asarray(layer.cell.bias)
    bias = bias if row is None else bias[row]
    z, output = before_activation(layer, layer, (x,))
    np.testing.assert_allclose(
        z, x @ np.asarray(layer.cell.kernel) + bias, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(output, layer(x), rtol=1e-6)


def test_a_recurrent_layer_may_be_given_whole_numbers():
    layer = built(layers.SimpleRNN(5), 4, 7, 3)
    x = RNG.integers(0, 9, (4, 7, 3))
    z, _ = before_activation(layer, layer, (keras.ops.convert_to_tensor(x),))
    kernel, bias = np.asarray(layer.cell.kernel), np.asarray(layer.cell.bias)
    np.testing.assert_allclose(z, x @ kernel + bias, rtol=1e-5, atol=1e-5)


def test_an_embedding_has_no_activation():
    layer, x = built(layers.Embedding(9, 4), 2, 7), RNG.integers(0, 9, (2, 7))
    z, output = before_activation(layer, layer, (x,))
    np.testing.assert_array_equal(z, layer(x))
    np.testing.assert_array_equal(output, layer(x))


def test_in_mixed_precision_both_have_the_dtype_of_the_output():
    layer = layers.Dense(5, "relu", dtype="mixed_float16")
    x = normal(4, 3)
    expected = layer(x)
    z, output = before_activation(layer, layer, (x,))
    assert z.dtype == output.dtype == expected.dtype == "float16"
    np.testing.assert_array_equal(output, expected)


def test_the_mask_of_padded_steps_stays_on_the_output():
    table = layers.Embedding(9, 4, mask_zero=True)
    steps = layers.TimeDistributed(layers.Dense(5, "tanh", bias_initializer="ones"))
    last = layers.LSTM(3)

    def model(x):  # a functional model would keep the mask by itself
        return last(steps(table(x)))

    def hook(layer, call, inputs):
        return before_activation(layer, call, inputs)[1]

    x = np.array([[3, 5, 0, 0], [1, 0, 0, 0]])
    expected = model(x)
    with listening(hook):
        output = model(x)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-7)


def test_the_activation_comes_back_after_an_exception():
    layer = built(layers.Conv1D(6, 3, activation="tanh"), 4, 9, 3)
    with pytest.raises(KeyError), without_activation(layer) as activation:
        assert layer.activation is keras.activations.linear
        raise KeyError
    assert layer.activation is activation is keras.activations.tanh


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.LSTM(5), (2, 7, 3)),
        (layers.Embedding(9, 4), (2, 7)),
        (layers.Activation("tanh"), (2, 7)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_other_layers_keep_their_activation(layer, shape):
    built(layer, *shape)
    with without_activation(layer) as activation:
        assert activation is None
        if hasattr(layer, "activation"):
            assert layer.activation is keras.activations.tanh
