"""Schemes against Keras's own initializers and against their own formulas."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from initlab import schemes

SHAPES = [(300, 200), (200, 300), (3, 5, 40, 60)]
SMALL = [(20, 30), (30, 20), (50, 6), (5, 6, 8), (3, 3, 4, 8)]
# These cannot fill every shape; test_structured_schemes.py has them.
STRUCTURED = ["identity", "delta_orthogonal", "sparse"]
RANDOM = [
    name
    for name in schemes.names()
    if schemes.get(name).distribution != "constant" and name not in STRUCTURED
]
# Names for which Keras has a class of its own.
IN_KERAS = [
    name
    for name in schemes.names()
    if name not in ("constant", "delta_orthogonal", "sparse")
    and "untruncated" not in name
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
ALL = CUSTOM | {
    name: schemes.get(name) for name in schemes.names() if name not in STRUCTURED
}
WITH_STRUCTURED = ALL | {
    "identity": schemes.get("identity"),
    "identity(1.7)": schemes.identity(1.7),
    "delta_orthogonal": schemes.get("delta_orthogonal"),
    "delta_orthogonal(1.7)": schemes.delta_orthogonal(1.7),
    "sparse": schemes.get("sparse"),
    "sparse(10, 0.3)": schemes.sparse(10, 0.3),
}


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
        ("lecun_untruncated_normal", lambda i, o: 1 / i),
        ("glorot_untruncated_normal", lambda i, o: 2 / (i + o)),
        ("he_untruncated_normal", lambda i, o: 2 / i),
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


@pytest.mark.parametrize("gain", [0.7, math.sqrt(2), 2])
@pytest.mark.parametrize(
    ("fan_rule", "n"), [("fan_in", 40), ("fan_out", 90), ("fan_avg", 65)]
)
@pytest.mark.parametrize("distribution", ["truncated_normal", "normal", "uniform"])
def test_the_square_of_any_gain_scales_any_fan_rule(gain, fan_rule, n, distribution):
    scheme = schemes.variance_scaling(gain**2, fan_rule, distribution)
    assert scheme.std((40, 90)) == pytest.approx(gain / math.sqrt(n), rel=1e-12)


@pytest.mark.parametrize("label", WITH_STRUCTURED)
def test_the_formula_as_text_gives_the_number(label):
    scheme, shape = WITH_STRUCTURED[label], shape_for(label)
    quantity, right = scheme.formula.split(" = ", maxsplit=1)
    known = {"sqrt": math.sqrt, "max": max, "fan_in": 30, "fan_out": 70}
    number = eval(right, known | {"rows": 30, "columns": 70, "row": 0, "column": 0})
    assert number == pytest.approx(quantity_of(scheme, quantity, shape), rel=1e-5)


@pytest.mark.parametrize("label", WITH_STRUCTURED)
def test_the_formula_as_latex_gives_the_same_number(label):
    scheme, shape = WITH_STRUCTURED[label], shape_for(label)
    symbol, right = scheme.latex.split(" = ")
    for tex, number in (
        (r"n_\mathrm{in}", "30"),
        (r"n_\mathrm{out}", "70"),
        (r"n_\mathrm{rows}", "30"),
        (r"n_\mathrm{columns}", "70"),
        (r"\cdot", "*"),
        (r"\, \delta_{ij}", "* 1"),
        (r"\max", "max"),
    ):
        right = right.replace(tex, number)
    while "{" in right:  # from the innermost braces outwards
        right = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", right)
        right = re.sub(r"\\sqrt\{([^{}]*)\}", r"sqrt(\1)", right)
    quantity = {r"\sigma": "std", r"\ell": "limit"}.get(symbol, "weight")
    number = eval(right, {"sqrt": math.sqrt, "max": max})
    assert number == pytest.approx(quantity_of(scheme, quantity, shape), rel=1e-5)


def shape_for(label):
    return (1, 30, 70) if label.startswith("delta") else (30, 70)


def quantity_of(scheme, quantity, shape):
    if quantity == "weight":
        return float(sample(scheme, shape)[0, 0])
    return {"std": scheme.std, "limit": scheme.limit}[quantity](shape)


# --- the samples


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("random_normal", 0.017279209603239302, -0.06515786158021805),
        ("random_uniform", 0.0011821624700256717, 0.04486494471372439),
        ("truncated_normal", 0.017279209603239302, -0.06515786158021805),
        ("lecun_normal", 0.2778055899285235, -1.0475721164572336),
        ("lecun_uniform", 0.028956948446311026, 1.0989622188680226),
        ("glorot_normal", 0.2778055899285235, -1.0475721164572336),
        ("he_normal", 0.3928764329799765, -1.4814906946577076),
        ("he_uniform", 0.04095130921771162, 1.5541672744587869),
        ("orthogonal", 0.7227690004350709, -0.7227690004350709),
    ],
)
def test_a_recorded_draw_is_drawn_again(name, first, last):
    weights = sample(schemes.get(name), (2, 2), seed=1)
    assert (weights[0, 0], weights[1, 1]) == (
        pytest.approx(first, rel=1e-12),
        pytest.approx(last, rel=1e-12),
    )


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


def statistics(draws):
    """Give three statistics of every draw, each of shape (draws,)."""
    squares = (draws**2).mean(axis=1)
    return {
        "mean": draws.mean(axis=1),
        "variance": squares,
        "kurtosis": (draws**4).mean(axis=1) / squares**2,
    }


@pytest.mark.no_cover  # slow under it; single draws reach the same lines
@pytest.mark.parametrize("name", [*RANDOM, "scaling(3, fan_avg)"])
def test_two_hundred_draws_agree_with_those_of_keras(name):
    scheme = ALL[name]
    for number, shape in enumerate(SMALL):
        seeds = range(200 * number, 200 * number + 200)
        ours = np.stack([sample(scheme, shape, seed).ravel() for seed in seeds])
        theirs = np.stack([from_keras(scheme, shape, seed).ravel() for seed in seeds])
        limit = scheme.limit(shape)
        for draws in (ours, theirs):
            assert np.abs(draws).max() <= limit * (1 + 1e-6)
            if math.isfinite(limit) and scheme.distribution != "orthogonal":
                assert np.abs(draws).max() > 0.999 * limit
        ours, theirs = statistics(ours), statistics(theirs)
        if scheme.distribution == "orthogonal":  # its squares have a fixed sum
            variance = scheme.std(shape) ** 2
            assert ours.pop("variance") == pytest.approx(variance, rel=1e-12)
            assert theirs.pop("variance") == pytest.approx(variance, rel=1e-5)
        for statistic, values in ours.items():
            pair = (values, theirs[statistic])
            error = math.sqrt(sum(part.var(ddof=1) / 200 for part in pair))
            difference = pair[0].mean() - pair[1].mean()
            assert abs(difference) < 3 * error, (statistic, shape)


@pytest.mark.parametrize("name", IN_KERAS)
def test_keras_knows_the_scheme_under_the_same_name(name):
    import keras

    ours, theirs = schemes.get(name).keras(3), keras.initializers.get(name)
    assert type(ours) is type(theirs)
    ours, theirs = ours.get_config(), theirs.get_config()
    unseeded = ("zeros", "ones", "identity")
    assert ours.pop("seed", None) == (None if name in unseeded else 3)
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
    titles = [schemes.get(name).title for name in schemes.names()]
    assert len(set(titles)) == len(titles)


def test_the_registry_holds_every_scheme_under_its_own_name():
    assert set(schemes.names()) == {
        *("zeros", "ones", "constant", "orthogonal"),
        *("random_normal", "random_uniform", "truncated_normal"),
        *("lecun_normal", "glorot_normal", "he_normal"),
        *("lecun_uniform", "glorot_uniform", "he_uniform"),
        *("lecun_untruncated_normal", "glorot_untruncated_normal"),
        *("he_untruncated_normal", "identity", "delta_orthogonal", "sparse"),
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
        ("deltaorthogonal", "delta_orthogonal"),
        ("he_untruncated", "he_untruncated_normal"),
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


@pytest.mark.parametrize("label", WITH_STRUCTURED)
def test_a_scheme_comes_back_from_its_config(label):
    scheme = WITH_STRUCTURED[label]
    config = json.loads(json.dumps(scheme.get_config()))
    assert schemes.from_config(config) == scheme


def test_a_config_of_no_scheme_is_refused():
    with pytest.raises(ValueError, match="unknown scheme 'he': The schemes are"):
        schemes.from_config({"name": "he"})
    with pytest.raises(ValueError, match="no scheme 'he_normal' takes arguments, got"):
        schemes.from_config({"name": "he_normal", "gain": 2})
    with pytest.raises(TypeError, match="unexpected keyword argument 'std'"):
        schemes.from_config({"name": "orthogonal", "std": 2})
    with pytest.raises(TypeError, match="scheme must be a name"):
        schemes.from_config({})


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf, None, "0.1"])
@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (schemes.random_normal, "std"),
        (schemes.truncated_normal, "std"),
        (schemes.random_uniform, "limit"),
        (schemes.orthogonal, "gain"),
        (schemes.identity, "gain"),
        (schemes.delta_orthogonal, "gain"),
        (lambda std: schemes.sparse(std=std), "std"),
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


def test_the_schemes_are_pure_numpy():
    code = (
        "import sys, initlab.schemes as schemes, numpy\n"
        "scheme = schemes.get('delta_orthogonal')\n"
        "scheme.sample((3, 4, 8), numpy.random.default_rng(0))\n"
        "print({'keras', 'tensorflow', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.stdout.strip() == "set()"
