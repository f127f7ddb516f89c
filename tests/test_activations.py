"""Activations against Keras, TensorFlow's gradients, and themselves in the tails."""

import inspect
import math

import numpy as np
import pytest

from initlab import activations

NAMES = activations.names()
# Kinks, tails, and a grid in between; the kinks are where conventions could differ.
POINTS = np.unique(
    np.concatenate(
        [
            np.linspace(-9, 9, 181),
            [-0.5, 0.5, -1, 1, -3, 3, 0, 6, -40, 40, 1e-6, -1e-6],
        ]
    )
)
PARAMETRISED = {
    "leaky_relu(0.01)": (activations.leaky_relu(0.01), {"negative_slope": 0.01}),
    "leaky_relu(-1)": (activations.leaky_relu(-1), {"negative_slope": -1.0}),
    "elu(0.5)": (activations.elu(0.5), {"alpha": 0.5}),
    "gelu(approximate)": (activations.gelu(approximate=True), {"approximate": True}),
}
ALL = {name: (activations.get(name), {}) for name in NAMES} | PARAMETRISED


def keras_value_and_gradient(name, x, **arguments):
    import keras
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = getattr(keras.activations, name)(x, **arguments)
    return y.numpy(), tape.gradient(y, x).numpy()


@pytest.mark.parametrize("label", ALL)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_f_and_its_derivative_are_those_of_keras(label, dtype):
    activation, arguments = ALL[label]
    x = POINTS.astype(dtype)
    if activation.name == "celu":
        x = x[x != 0]  # TensorFlow's max and min both pass the gradient on: it says 2
    precision = 1e-11 if dtype == "float64" else 5e-6
    if activation.name in ("gelu", "leaky_relu"):
        precision = max(precision, 4e-7)  # TensorFlow keeps their constants in float32
    value, gradient = keras_value_and_gradient(label.split("(")[0], x, **arguments)
    np.testing.assert_allclose(activation.f(x), value, precision, precision)
    np.testing.assert_allclose(activation.derivative(x), gradient, precision, precision)


def test_every_elementwise_activation_of_keras_is_here():
    import keras

    axis_wise = {"softmax", "log_softmax", "sparsemax", "glu"}
    no_defaults = {"threshold"}
    tools = {"get", "serialize", "deserialize"}
    theirs = {n for n, f in vars(keras.activations).items() if inspect.isfunction(f)}
    assert theirs - axis_wise - no_defaults - tools <= set(NAMES)


@pytest.mark.parametrize("label", ALL)
def test_the_formula_as_text_gives_the_same_numbers(label):
    activation, _ = ALL[label]
    known = {name: getattr(math, name) for name in ("exp", "log", "tanh", "sqrt", "pi")}
    known |= {"Phi": lambda x: math.erfc(-x / math.sqrt(2)) / 2, "max": max, "min": min}
    x = np.array([-4.0, -1.5, -0.7, -0.3, 0.2, 0.4, 0.8, 2.0, 7.0])
    expected = [eval(activation.formula, known, {"x": float(v)}) for v in x]
    np.testing.assert_allclose(activation.f(x), expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("label", ALL)
def test_the_derivative_is_the_slope_away_from_the_kinks(label):
    activation, _ = ALL[label]
    x = np.linspace(-7.03, 7.07, 300)
    far = np.all([np.abs(x - kink) > 1e-3 for kink in activation.kinks], axis=0)
    x, h = x[far], 1e-5
    slope = (activation.f(x + h) - activation.f(x - h)) / (2 * h)
    np.testing.assert_allclose(activation.derivative(x), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("label", ALL)
def test_only_listed_points_are_kinks(label):
    activation, _ = ALL[label]
    x = np.array([-6, -3, -1, -0.5, 0, 0.5, 1, 3, 6.0])
    h = 1e-4
    left, right = activation.derivative(x - h), activation.derivative(x + h)
    jumps = set(x[np.abs(right - left) > 50 * h * np.maximum(1, np.abs(right))])
    assert jumps <= set(activation.kinks)


@pytest.mark.parametrize("label", ALL)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_dtype_and_the_shape_stay(label, dtype):
    activation, _ = ALL[label]
    for shape in [(), (0,), (5,), (2, 3, 4)]:
        x = np.full(shape, 0.3, dtype)
        for y in (activation.f(x), activation(x), activation.derivative(x)):
            assert y.dtype == dtype and y.shape == shape


@pytest.mark.parametrize("label", ALL)
def test_integers_and_lists_become_float64(label):
    activation, _ = ALL[label]
    for function in (activation.f, activation.derivative):
        assert function([1, 2]).dtype == np.float64
        np.testing.assert_array_equal(function([1, 2]), function(np.array([1.0, 2.0])))


@pytest.mark.parametrize("label", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_arguments_give_neither_nan_nor_warnings(label, dtype, recwarn):
    activation, _ = ALL[label]
    x = np.array([-1e30, -1e4, -200, -90, 90, 200, 1e4, 1e30], dtype)
    assert not np.isnan(activation.f(x)).any()
    assert not np.isnan(activation.derivative(x)).any()
    if activation.name != "exponential":
        assert np.isfinite(activation.f(x)).all()
        assert np.isfinite(activation.derivative(x)).all()
    assert not recwarn.list


@pytest.mark.parametrize(
    ("name", "which", "x", "expected"),
    [
        ("sigmoid", "f", -100.0, math.exp(-100)),
        ("sigmoid", "derivative", 100.0, math.exp(-100)),
        ("tanh", "derivative", 30.0, 4 * math.exp(-60)),
        ("softplus", "f", -50.0, math.exp(-50)),
        ("log_sigmoid", "f", 50.0, -math.exp(-50)),
        ("silu", "f", -60.0, -60 * math.exp(-60)),
        ("mish", "f", -50.0, -50 * math.exp(-50)),
        ("elu", "f", -1e-12, -1e-12),
        ("squareplus", "f", -1e6, 1e-6),
        ("gelu", "f", -10.0, -10 * math.erfc(10 / math.sqrt(2)) / 2),
    ],
)
def test_small_results_keep_their_digits(name, which, x, expected):
    got = getattr(activations.get(name), which)(np.array([x]))[0]
    assert got == pytest.approx(expected, rel=1e-9)


def test_the_derivative_at_zero_is_the_one_that_frameworks_use():
    at_zero = {"relu": 0, "relu6": 0, "leaky_relu": 0.2, "elu": 1, "softsign": 1}
    for name, expected in at_zero.items():
        assert activations.get(name).derivative(np.zeros(1))[0] == expected


def test_the_input_is_not_aliased():
    x = np.ones(3)
    y = activations.get("linear").f(x)
    y += 1
    np.testing.assert_array_equal(x, 1)


# --- get


def test_names_aliases_activations_and_none():
    assert activations.get("swish") is activations.get("silu")
    assert activations.get("hard_swish") is activations.get("hard_silu")
    assert activations.get(None) is activations.get("linear")
    mine = activations.leaky_relu(0.3)
    assert activations.get(mine) is mine
    assert all(activations.get(name).name for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_keras_functions_are_recognised(name):
    import keras

    ours = activations.get(getattr(keras.activations, name))
    assert ours is activations.get(name)


def test_keras_ops_with_other_defaults_are_not_mistaken_for_activations():
    import keras

    ours = activations.get(keras.ops.gelu)  # approximate by default
    x = np.linspace(-3, 3, 13)
    expected = activations.gelu(approximate=True)
    np.testing.assert_allclose(ours.f(x), expected.f(x), atol=1e-6)
    np.testing.assert_allclose(ours.derivative(x), expected.derivative(x), atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("Relu", "relu"), ("leaky relu", "leaky_relu"), ("tnh", "tanh")],
)
def test_an_unknown_name_is_answered_with_the_closest_ones(wrong, meant):
    with pytest.raises(ValueError, match=f"{wrong!r}: did you mean .*{meant}"):
        activations.get(wrong)


def test_a_name_like_no_other_is_answered_with_all_of_them():
    with pytest.raises(
        ValueError, match="unknown activation 'qqq': The activations are"
    ):
        activations.get("qqq")


def test_what_is_no_activation_is_refused():
    with pytest.raises(TypeError, match="a name, a function or an Activation, got 3"):
        activations.get(3)


@pytest.mark.parametrize("make", [activations.leaky_relu, activations.elu])
@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "1"])
def test_parameters_must_be_finite_numbers(make, bad):
    with pytest.raises(ValueError, match="must be a finite number, got"):
        make(bad)


# --- any callable


def test_a_callable_is_differentiated_by_central_difference():
    def cubic(x):
        return x**3 - 2 * x

    activation = activations.get(cubic)
    x = np.linspace(-3, 3, 101)
    assert activation.name == "cubic" and activation.formula == ""
    np.testing.assert_allclose(activation.f(x), x**3 - 2 * x)
    np.testing.assert_allclose(activation.derivative(x), 3 * x**2 - 2, atol=1e-8)
    x = x.astype(np.float32)
    assert activation.f(x).dtype == activation.derivative(x).dtype == np.float32
    np.testing.assert_allclose(activation.derivative(x), 3 * x**2 - 2, atol=1e-5)


def test_at_a_kink_the_difference_is_the_mean_of_both_slopes():
    activation = activations.get(lambda x: np.maximum(x, 0))
    np.testing.assert_allclose(activation.derivative(np.zeros(1)), 0.5)


def test_a_function_that_works_in_float32_is_differentiated_with_a_wider_step():
    activation = activations.get(lambda x: np.sin(np.asarray(x, np.float32)))
    x = np.linspace(-3, 3, 101)
    np.testing.assert_allclose(activation.derivative(x), np.cos(x), atol=1e-4)


def test_a_tensorflow_function_works():
    import tensorflow as tf

    activation = activations.get(tf.nn.softplus)
    x = np.linspace(-3, 3, 13)
    np.testing.assert_allclose(
        activation.derivative(x), activations.get("sigmoid").f(x), atol=1e-8
    )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (math.tanh, r"'tanh' failed on a numpy array of shape \(2,\).*numpy.vectorize"),
        (lambda x: x.sum(), r"was given \(2,\) and returned \(\)"),
        (lambda x: x[:, None] * x, r"was given \(2,\) and returned \(2, 2\)"),
        (lambda x: x * 1j, "must return real numbers, got dtype complex128"),
        (lambda x: x.astype(str), "must return real numbers, got dtype <U"),
    ],
)
def test_a_callable_that_is_not_elementwise_is_named(function, message):
    activation = activations.get(function)
    for call in (activation.f, activation.derivative):
        with pytest.raises(ValueError, match=message):
            call(np.array([0.5, 1.0]))
