"""The registered initializer draws what the scheme draws, and is saved with a model."""

import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from initlab import schemes
from initlab.keras_initializer import SchemeInitializer

ROOT = Path(__file__).parents[1]
# What Keras's own initializers do not fill: scheme, shape, kind and its options.
BEYOND_KERAS = {
    "delta": (schemes.delta_orthogonal(1.4), (3, 3, 4, 6), "conv", {}),
    "delta, unsaid": (schemes.get("delta_orthogonal"), (3, 4, 6), "dense", {}),
    "sparse": (schemes.sparse(5, 0.3), (9, 4), "dense", {}),
    "he depthwise": (schemes.get("he_normal"), (3, 3, 4, 2), "depthwise", {}),
    "glorot strided": (
        *(schemes.get("glorot_uniform"), (3, 3, 4, 6), "conv"),
        {"strides": (2, 1)},
    ),
    "glorot grouped": (
        *(schemes.get("glorot_normal"), (3, 4, 6), "conv"),
        {"groups": 2, "strides": 2},
    ),
    "lecun transposed": (
        *(schemes.get("lecun_untruncated_normal"), (3, 3, 6, 4), "conv_transpose"),
        {"strides": 2},
    ),
    "gates": (schemes.orthogonal(1.2), (4, 12), "recurrent", {"gates": 3}),
    "glorot gates": (
        *(schemes.get("glorot_uniform"), (4, 12), "recurrent"),
        {"gates": 3},
    ),
    "identities": (schemes.identity(0.9), (3, 12), "recurrent", {"gates": 4}),
    "scaled": (
        *(schemes.variance_scaling(3, "fan_out", "normal"), (3, 4, 2), "depthwise"),
        {"strides": 2},
    ),
}


def model_of(*layers):
    return keras.Sequential([keras.Input((12, 12, 4)), *layers])


def weights_of(model):
    return [weight.numpy() for weight in model.weights]


def initializers_of(model):
    convolution, depthwise, _, recurrent, dense = model.layers
    return [
        convolution.kernel_initializer,
        depthwise.depthwise_initializer,
        recurrent.cell.recurrent_initializer,
        dense.kernel_initializer,
    ]


@pytest.mark.parametrize("case", BEYOND_KERAS)
def test_it_draws_what_the_scheme_draws_with_the_same_seed(case):
    scheme, shape, kind, options = BEYOND_KERAS[case]
    initializer = scheme.keras(7, kind, **options)
    assert type(initializer) is SchemeInitializer
    assert isinstance(initializer, keras.initializers.Initializer)
    expected = scheme.sample(shape, np.random.default_rng(7), kind, **options)
    for _ in range(2):
        np.testing.assert_array_equal(initializer(shape, dtype="float64"), expected)
    other = np.asarray(scheme.keras(8, kind, **options)(shape, "float64"))
    assert (other != expected).any() or scheme.name == "identity"


@pytest.mark.parametrize("case", BEYOND_KERAS)
def test_its_config_makes_it_again(case):
    scheme, shape, kind, options = BEYOND_KERAS[case]
    initializer = scheme.keras(7, kind, **options)
    saved = json.loads(json.dumps(keras.initializers.serialize(initializer)))
    assert saved["registered_name"] == "initlab>SchemeInitializer"
    for again in (
        keras.initializers.deserialize(saved),
        keras.initializers.get(saved),
        SchemeInitializer.from_config(initializer.get_config()),
        initializer.clone(),
        pickle.loads(pickle.dumps(initializer)),
    ):
        assert type(again) is SchemeInitializer and again is not initializer
        assert again.get_config() == initializer.get_config()
        np.testing.assert_array_equal(again(shape), initializer(shape))


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        *((name, "dense", {}) for name in schemes.names()),
        ("he_normal", "conv", {"groups": 2, "strides": 2}),
        ("he_normal", "recurrent", {"gates": 4}),
        ("glorot_normal", "conv", {"strides": (1, 1)}),
        ("glorot_normal", "recurrent", {"gates": 1}),
        ("random_normal", "depthwise", {"strides": 2}),
        ("zeros", "embedding", {}),
        ("orthogonal", "conv", {"strides": 2}),
        ("orthogonal", "conv_transpose", {"strides": 2}),
    ],
)
def test_keras_keeps_its_own_class_where_it_draws_the_same(name, kind, options):
    scheme = schemes.get(name)
    initializer = scheme.keras(3, kind, **options)
    if name in ("delta_orthogonal", "sparse"):
        assert type(initializer) is SchemeInitializer
    else:
        assert type(initializer) is type(scheme.keras(3))
        assert type(initializer).__module__.startswith("keras")


@pytest.mark.parametrize("rule", ["fan_in", "fan_out", "fan_avg"])
@pytest.mark.parametrize(
    ("shape", "kind", "options"),
    [
        ((3, 5, 8), "conv", {"groups": 2}),
        ((3, 5, 8), "conv", {"strides": 2}),
        ((3, 5, 8), "conv", {}),
        ((3, 8, 5), "conv_transpose", {}),
        ((3, 5, 8), "depthwise", {}),
        ((5, 8), "recurrent", {"gates": 4}),
        ((3, 5, 8), "depthwise", {"strides": 2}),
        ((3, 8, 5), "conv_transpose", {"strides": 2}),
        ((5, 8), "recurrent", {"gates": 1}),
    ],
)
def test_the_class_says_whether_keras_has_the_right_std(rule, shape, kind, options):
    scheme = schemes.variance_scaling(2, rule)
    ours = type(scheme.keras(0, kind, **options)) is SchemeInitializer
    assert ours == (scheme.std(shape, kind, **options) != scheme.std(shape))


# --- in a model


@pytest.fixture
def saved(tmp_path):
    he, orthogonal = schemes.get("he_normal"), schemes.orthogonal(1.2)
    model = model_of(
        keras.layers.Conv2D(
            6, 3, kernel_initializer=schemes.get("delta_orthogonal").keras()
        ),
        keras.layers.DepthwiseConv2D(
            3, depthwise_initializer=he.keras(3, "depthwise", strides=(1, 1))
        ),
        keras.layers.Reshape((64, 6)),
        keras.layers.LSTM(
            5, recurrent_initializer=orthogonal.keras(4, "recurrent", gates=4)
        ),
        keras.layers.Dense(3, kernel_initializer=schemes.sparse(4).keras(5)),
    )
    model.save(tmp_path / "model.keras")
    return model, tmp_path / "model.keras"


def test_a_model_is_saved_and_loaded_with_it(saved):
    model, path = saved
    again = keras.models.load_model(path)
    for left, right in zip(weights_of(model), weights_of(again), strict=True):
        np.testing.assert_array_equal(left, right)
    x = np.random.default_rng(0).standard_normal((2, 12, 12, 4))
    np.testing.assert_array_equal(model(x), again(x))
    for left, right in zip(initializers_of(model), initializers_of(again), strict=True):
        assert type(right) is SchemeInitializer
        assert left.get_config() == right.get_config()


def test_a_clone_of_a_model_starts_from_the_same_seeded_weights(saved):
    model, _ = saved
    clone = keras.models.clone_model(model)
    pairs = list(zip(weights_of(model), weights_of(clone), strict=True))
    depthwise, dense, unseeded = pairs[2], pairs[-2], pairs[0]
    np.testing.assert_array_equal(*depthwise)
    np.testing.assert_array_equal(*dense)
    assert (unseeded[0] != unseeded[1]).any()


LOAD = """
import sys
{first}
import keras
model = keras.models.load_model(sys.argv[1], safe_mode=True)
print(type(model.layers[0].kernel_initializer).__module__, end=" ")
print(float(abs(model.layers[0].kernel.numpy()).sum()))
"""


def test_a_fresh_process_loads_it_once_the_module_is_imported(saved):
    model, path = saved
    code = LOAD.format(first="import initlab.keras_initializer")
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    module, total = done.stdout.split()
    assert module == "initlab.keras_initializer"
    expected = np.abs(model.layers[0].kernel.numpy()).sum()
    assert float(total) == pytest.approx(float(expected), rel=1e-6)


# --- twins


def kernels(initializer):
    """Give the kernels of two layers of one shape that share an initializer."""
    model = keras.Sequential([keras.Input((9, 4))])
    for _ in range(2):
        model.add(keras.layers.Conv1D(4, 3, kernel_initializer=initializer))
    return [layer.kernel.numpy() for layer in model.layers]


def test_layers_that_share_an_unseeded_one_are_no_twins():
    first, second = kernels(schemes.get("delta_orthogonal").keras())
    assert (first != second).any()


def test_layers_that_share_a_seeded_one_are_twins_as_in_keras():
    np.testing.assert_array_equal(*kernels(schemes.get("delta_orthogonal").keras(3)))
    np.testing.assert_array_equal(*kernels(schemes.get("he_normal").keras(3)))


def test_keras_can_seed_the_unseeded():
    scheme, draws = schemes.sparse(3), []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        draws.append(np.asarray(scheme.keras()((8, 8))))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


# --- types and errors


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_type_is_the_one_asked_for(dtype):
    scheme = schemes.get("delta_orthogonal")
    weights = scheme.keras(0)((3, 4, 4), dtype=dtype)
    assert keras.backend.standardize_dtype(weights.dtype) == dtype
    expected = scheme.sample((3, 4, 4), np.random.default_rng(0))
    tolerance = {"float16": 1e-3, "bfloat16": 1e-2, "float32": 1e-7, "float64": 0}
    weights = np.asarray(keras.ops.cast(weights, "float64"))
    np.testing.assert_allclose(weights, expected, rtol=tolerance[dtype])


def test_the_type_is_that_of_the_layer_and_else_that_of_keras():
    initializer = schemes.sparse(3).keras(0)
    assert keras.backend.standardize_dtype(initializer((8, 8)).dtype) == "float32"
    layer = keras.layers.Dense(4, dtype="float64", kernel_initializer=initializer)
    layer.build((None, 8))
    assert layer.kernel.dtype == "float64"
    with pytest.raises(ValueError, match="must be a floating-point type, got 'int32'"):
        initializer((8, 8), dtype="int32")


def test_any_scheme_can_be_asked_for_by_name():
    weights = SchemeInitializer("he_uniform", seed=2)((5, 6), "float64")
    expected = schemes.get("he_uniform").sample((5, 6), np.random.default_rng(2))
    np.testing.assert_array_equal(weights, expected)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("he_norml",), ValueError, "did you mean he_normal"),
        (("he_normal", "embedding"), ValueError, "an embedding has no fans"),
        (("he_normal", "recurrent"), ValueError, "needs gates"),
        ((None,), TypeError, "scheme must be a name or a Scheme"),
    ],
)
def test_what_cannot_fill_a_kernel_is_refused_at_once(arguments, error, message):
    with pytest.raises(error, match=message):
        SchemeInitializer(*arguments)


def test_a_seed_is_a_whole_number():
    with pytest.raises(TypeError, match="seed must be an integer or None, got 1.5"):
        SchemeInitializer("sparse", seed=1.5)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        SchemeInitializer("sparse", seed=-1)
    assert SchemeInitializer("sparse", seed=np.int64(3)).get_config()["seed"] == 3


def test_a_scheme_that_its_config_does_not_describe_is_refused():
    wider = dataclasses.replace(schemes.sparse(), gain=9.0)
    with pytest.raises(ValueError, match="one that the functions of schemes return"):
        SchemeInitializer(wider)


def test_training_goes_on_from_its_weights():
    layer = keras.layers.Dense(1, kernel_initializer=schemes.sparse(2).keras(0))
    model = keras.Sequential([keras.Input((4,)), layer])
    before = layer.kernel.numpy()
    model.compile("sgd", "mse")
    model.fit(np.eye(4), np.ones((4, 1)), verbose=0)
    assert (layer.kernel.numpy() != before).all()
