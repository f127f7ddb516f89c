"""Schemes against Keras's own initializers and against their own formulas."""

import math
import re

import numpy as np
import pytest

from initlab import schemes

SHAPES = [(300, 200), (200, 300), (3, 5, 40, 60)]
RANDOM = [
    name for name in schemes.names() if schemes.get(name).distribution != "constant"
]
CUSTOM = {
    "normal(0.3)": schemes.random_normal(0.3),
    "uniform(0.3)": schemes.random_uniform(0.3),
    "truncated(0.3)": schemes.truncated_normal(0.3),
    "constant(-0.3)": schemes.constant(-0.3),
    "orthogonal(1.7)": schemes.orthogonal(1.7),
    "scaling(3, fan_out, normal)": schemes.variance_scaling(3, "fan_out", "normal"),
    "scaling(.5, fan_in, uniform)": schemes.variance_scaling(0.5, "fan_in", "uniform"),
    "scaling(3, fan_avg)": schemes.variance_scaling(3, "fan_avg"),
}
ALL = {name: schemes.get(name) for name in schemes.names()} | CUSTOM


def fans_of(shape):
    """Count the fans independently of the package."""
    receptive = int(np.prod(shape[:-2]))
    return shape[-2] * receptive, shape[-1] * receptive


def sample(scheme, shape, seed=0):
    return scheme.sample(shape, np.random.default_rng(seed))


def from_keras(scheme, shape, seed=0):
    return np.asarray(scheme.keras(seed)(shape), np.float64)


def variance_error(weights, std):
    """Return the deviation of the variance from std^2, in its own standard errors."""
    squares = weights.ravel() ** 2
    return (squares.mean() - std**2) / (squares.std() / math.sqrt(squares.size))


def kurtosis(weights):
    return np.mean(weights**4) / np.mean(weights**2) ** 2


# --- the scales, as the papers give them


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("lecun_normal", lambda i, o: 1 / i),
        ("lecun_uniform", lambda i, o: 1 / i),
        ("glorot_normal", lambda i, o: 2 / (i + o)),
        ("glorot_uniform", lambda i, o: 2 / (i + o)),
        ("he_normal", lambda i, o: 2 / i),
        ("he_uniform", lambda i, o: 2 / i),
        ("random_normal", lambda i, o: 0.05**2),
        ("random_uniform", lambda i, o: 0.05**2 / 3),
        ("truncated_normal", lambda i, o: (0.05 * 0.87962566103423978) ** 2),
        ("zeros", lambda i, o: 0),
        ("ones", lambda i, o: 0),
        ("constant", lambda i, o: 0),
    ],
)
def test_the_variance_is_the_one_of_the_paper(name, variance, shape):
    std = schemes.get(name).std(shape)
    assert std == pytest.approx(math.sqrt(variance(*fans_of(shape))), rel=1e-12)


@pytest.mark.parametrize(
    ("shape", "limit"),
    [
        ((64, 25), {"lecun_uniform": 3 / 64, "he_uniform": 6 / 64}),
        ((10, 50), {"glorot_uniform": 6 / 60, "lecun_uniform": 3 / 10}),
        ((3, 3, 8, 16), {"glorot_uniform": 6 / (72 + 144), "he_uniform": 6 / 72}),
    ],
)
def test_uniform_limits_are_sqrt_three_stds(shape, limit):
    for name, square in limit.items():
        assert schemes.get(name).limit(shape) == pytest.approx(math.sqrt(square))


@pytest.mark.parametrize("label", ALL)
def test_the_formula_as_text_gives_the_number(label):
    scheme, shape = ALL[label], (30, 70)
    quantity, right = scheme.formula.split(" = ")
    known = {"sqrt": math.sqrt, "max": max, "fan_in": 30, "fan_out": 70}
    number = eval(right, known | {"rows": 30, "columns": 70})
    assert number == pytest.approx(quantity_of(scheme, quantity, shape), rel=1e-5)


@pytest.mark.parametrize("label", ALL)
def test_the_formula_as_latex_gives_the_same_number(label):
    scheme, shape = ALL[label], (30, 70)
    symbol, right = scheme.latex.split(" = ")
    for tex, number in (
        (r"n_\mathrm{in}", "30"),
        (r"n_\mathrm{out}", "70"),
        (r"n_\mathrm{rows}", "30"),
        (r"n_\mathrm{columns}", "70"),
        (r"\cdot", "*"),
        (r"\max", "max"),
    ):
        right = right.replace(tex, number)
    while "{" in right:  # from the innermost braces outwards
        right = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", right)
        right = re.sub(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)", right)
    quantity = {r"\sigma": "std", r"\ell": "limit", "w": "weight"}[symbol]
    number = eval(right, {"sqrt": math.sqrt, "max": max})
    assert number == pytest.approx(quantity_of(scheme, quantity, shape), rel=1e-5)


def quantity_of(scheme, quantity, shape):
    if quantity == "weight":
        return float(sample(scheme, shape)[0, 0])
    return {"std": scheme.std, "limit": scheme.limit}[quantity](shape)


# --- the samples


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("label", ALL)
def test_samples_have_the_shape_the_mean_the_std_and_the_limit(label, shape):
    scheme = ALL[label]
    weights = sample(scheme, shape)
    assert weights.shape == shape and weights.dtype == np.float64
    assert np.abs(weights).max() <= scheme.limit(shape) * (1 + 1e-12)
    if scheme.distribution == "constant":
        assert (weights == scheme.value).all() and scheme.std(shape) == 0
        return
    assert abs(weights.mean()) < 4 * scheme.std(shape) / math.sqrt(weights.size)
    if scheme.distribution == "orthogonal":  # the sum of its squares is exact
        assert weights.std() == pytest.approx(scheme.std(shape), rel=1e-4)
    else:
        assert abs(variance_error(weights, scheme.std(shape))) < 4


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (schemes.get("he_uniform"), 9 / 5),
        (schemes.get("random_normal"), 3),
        (schemes.get("he_normal"), 2.3655),  # a normal cut off at two sigma
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_kurtosis_is_that_of_the_distribution(scheme, expected):
    assert kurtosis(sample(scheme, (1000, 1000))) == pytest.approx(expected, abs=0.02)


def test_the_truncated_normal_fills_its_range_up_to_the_cut():
    scheme, shape = schemes.truncated_normal(0.05), (500, 500)
    largest = np.abs(sample(scheme, shape)).max()
    assert 0.0999 < largest <= 0.1 == pytest.approx(scheme.limit(shape))


@pytest.mark.parametrize(
    "shape", [(40, 40), (60, 25), (25, 60), (3, 3, 4, 50)], ids=str
)
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2)])
def test_orthogonal_has_all_singular_values_equal_to_its_gain(shape, gain):
    weights = sample(schemes.orthogonal(gain), shape).reshape(-1, shape[-1])
    assert np.linalg.svd(weights, compute_uv=False) == pytest.approx(gain, rel=1e-12)


def test_orthogonal_is_uniform_over_the_group_both_signs_equally_likely():
    rng = np.random.default_rng(0)
    draws = [schemes.orthogonal().sample((2, 2), rng) for _ in range(2000)]
    traces = np.array([np.trace(draw) for draw in draws])
    # Haar: E tr = 0 and E tr^2 = 1. Q as LAPACK leaves it has a trace far below 0.
    assert abs(traces.mean()) < 4 / math.sqrt(2000)
    assert np.mean(traces**2) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("name", RANDOM)
def test_a_generator_moves_on_and_a_seed_repeats(name):
    scheme = schemes.get(name)
    rng = np.random.default_rng(7)
    first, second = scheme.sample((20, 30), rng), scheme.sample((20, 30), rng)
    assert (first != second).any()
    np.testing.assert_array_equal(first, sample(scheme, (20, 30), seed=7))


# --- against Keras


@pytest.mark.parametrize("label", ALL)
def test_keras_draws_from_the_same_distribution(label):
    scheme = ALL[label]
    for shape in SHAPES:
        theirs = from_keras(scheme, shape)
        assert theirs.shape == shape
        if scheme.distribution == "constant":
            np.testing.assert_allclose(theirs, sample(scheme, shape), rtol=1e-7)
            continue
        limit = scheme.limit(shape)
        assert np.abs(theirs).max() <= limit * (1 + 1e-6)
        if scheme.distribution == "orthogonal":
            singular = np.linalg.svd(theirs.reshape(-1, shape[-1]), compute_uv=False)
            assert singular == pytest.approx(scheme.gain, rel=1e-5)
            continue
        assert abs(variance_error(theirs, scheme.std(shape))) < 4
        assert kurtosis(theirs) == pytest.approx(
            kurtosis(sample(scheme, shape)), abs=0.1
        )
        if math.isfinite(limit):
            assert np.abs(theirs).max() == pytest.approx(limit, rel=1e-2)


@pytest.mark.parametrize("name", [n for n in schemes.names() if n != "constant"])
def test_keras_knows_the_scheme_under_the_same_name(name):
    import keras

    ours, theirs = schemes.get(name).keras(3), keras.initializers.get(name)
    assert type(ours) is type(theirs)
    ours, theirs = ours.get_config(), theirs.get_config()
    assert ours.pop("seed", None) == (None if name in ("zeros", "ones") else 3)
    theirs.pop("seed", None)
    assert ours == theirs


@pytest.mark.parametrize("name", RANDOM)
def test_keras_initializers_are_fresh_and_never_twins(name):
    scheme = schemes.get(name)
    first, second = scheme.keras(), scheme.keras()
    assert first is not second
    assert (np.asarray(first((8, 8))) != np.asarray(second((8, 8)))).any()
    seeded = [np.asarray(scheme.keras(5)((8, 8))) for _ in range(2)]
    np.testing.assert_array_equal(*seeded)


@pytest.mark.parametrize(
    "shape", [(), (7,), (3, 5), (3, 5, 7), (2, 3, 5, 7), (2, 3, 4, 5, 6)], ids=str
)
def test_fans_are_those_of_keras(shape):
    from keras.src.initializers.random_initializers import compute_fans

    assert schemes.fans(shape) == compute_fans(shape)


def test_fans_of_a_dense_and_of_a_convolution_kernel():
    assert schemes.fans((784, 128)) == (784, 128)
    assert schemes.fans([np.int64(3), 3, 16, 32]) == (144, 288)


def test_a_single_unit_has_a_kernel_too():
    assert schemes.fans((1, 1)) == (1, 1)
    assert schemes.get("he_normal").std((1, 7)) == pytest.approx(math.sqrt(2))


# --- the registry and its errors


def test_constants_are_what_they_say_and_no_wider():
    for scheme, value in (
        (schemes.get("zeros"), 0),
        (schemes.get("ones"), 1),
        (schemes.get("constant"), 0),
        (schemes.constant(-0.3), -0.3),
    ):
        assert scheme.value == value and scheme.limit((5, 5)) == abs(value)


def test_titles_tell_parameters_apart():
    assert schemes.get("lecun_normal").title == "LeCun normal"
    assert schemes.get("orthogonal").title == "Orthogonal"
    assert schemes.orthogonal(2).title == "Orthogonal, gain 2"
    assert schemes.random_normal(0.1).title == "Normal, std 0.1"


def test_the_registry_holds_every_scheme_under_its_own_name():
    assert set(schemes.names()) == {
        *("zeros", "ones", "constant", "orthogonal"),
        *("random_normal", "random_uniform", "truncated_normal"),
        *("lecun_normal", "glorot_normal", "he_normal"),
        *("lecun_uniform", "glorot_uniform", "he_uniform"),
    }
    for name in schemes.names():
        scheme = schemes.get(name)
        assert scheme.name == name and schemes.get(scheme) is scheme
        assert scheme.title and hash(scheme)
        source = scheme.source
        assert source.title and source.authors and 1980 < source.year < 2030
        assert source.link.startswith("https://")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("he_norml", "he_normal"),
        ("HeNormal", "he_normal"),
        ("xavier_uniform", "glorot_uniform"),
        ("kaiming normal", "he_normal"),
        ("zeroes", "zeros"),
    ],
)
def test_an_unknown_name_is_answered_with_the_closest_ones(wrong, meant):
    with pytest.raises(ValueError, match=f"{wrong!r}: did you mean {meant}"):
        schemes.get(wrong)


def test_a_name_like_no_other_is_answered_with_all_of_them():
    with pytest.raises(ValueError, match="unknown scheme 'qqq': The schemes are zeros"):
        schemes.get("qqq")


@pytest.mark.parametrize("wrong", [None, 3, schemes.Scheme])
def test_what_is_no_name_is_refused(wrong):
    with pytest.raises(TypeError, match="scheme must be a name or a Scheme, got"):
        schemes.get(wrong)


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf, None, "0.1"])
@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (schemes.random_normal, "std"),
        (schemes.truncated_normal, "std"),
        (schemes.random_uniform, "limit"),
        (schemes.orthogonal, "gain"),
        (schemes.variance_scaling, "scale"),
    ],
)
def test_a_scale_must_be_positive_and_finite(make, argument, bad):
    with pytest.raises(
        ValueError, match=rf"{argument} must be a finite number above 0, got {bad!r}"
    ):
        make(bad)


@pytest.mark.parametrize("bad", [math.nan, -math.inf, "1"])
def test_a_constant_must_be_finite(bad):
    with pytest.raises(ValueError, match="value must be a finite number, got"):
        schemes.constant(bad)


def test_variance_scaling_names_what_it_allows():
    with pytest.raises(
        ValueError,
        match="fan_rule must be one of 'fan_in', 'fan_out', 'fan_avg', got 'mean'",
    ):
        schemes.variance_scaling(1, "mean")
    with pytest.raises(ValueError, match="distribution must be one of .*, got 'gauss'"):
        schemes.variance_scaling(1, "fan_in", "gauss")


def test_a_bad_shape_is_named():
    he = schemes.get("he_normal")
    with pytest.raises(TypeError, match="shape must be a tuple of integers, got 5"):
        he.std(5)
    with pytest.raises(TypeError, match=r"got \(2\.5, 3\)"):
        he.sample((2.5, 3), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"must be at least 1, got \(0, 3\)"):
        he.limit((0, 3))
    with pytest.raises(ValueError, match=r"at least 2 axes, got shape \(4,\)"):
        schemes.orthogonal().sample((4,), np.random.default_rng(0))


@pytest.mark.parametrize("wrong", [0, None, np.random, np.random.RandomState(0)])
def test_only_a_generator_may_draw(wrong):
    with pytest.raises(TypeError, match="rng must be a numpy Generator"):
        schemes.get("zeros").sample((2, 2), wrong)
