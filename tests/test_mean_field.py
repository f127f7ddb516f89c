"""Maps, fixed points and advice against closed forms, plain sums and real networks."""

import math

import numpy as np
import pytest
from scipy import special
from scipy.integrate import quad

from initlab import activations, theory

SQRT2 = math.sqrt(2)
ERF = activations.Activation(
    "erf", special.erf, lambda u: 2 / math.sqrt(math.pi) * np.exp(-(u**2))
)
SMOOTH = [name for name in activations.names() if not activations.get(name).kinks]
KINKED = [name for name in activations.names() if activations.get(name).kinks]


def by_sum(function, q, kinks=()):
    """Mean of function(u) for u ~ N(0, q): midpoint rule between the kinks."""
    ends = sorted({-12.0, 12.0, *(kink / math.sqrt(q) for kink in kinks)})
    total = 0.0
    for low, high in zip(ends, ends[1:], strict=False):
        edges = np.linspace(low, high, 50_001)
        z = (edges[1:] + edges[:-1]) / 2
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        total += np.sum(function(math.sqrt(q) * z) * density) * (high - low) / z.size
    return total


def pair_by_sum(f, q, c):
    """Mean of f(u1) f(u2) on a grid, which is exact for a smooth f."""
    x = np.linspace(-10, 10, 401)
    weight = np.exp(-(x**2) / 2) * (x[1] - x[0]) / math.sqrt(2 * math.pi)
    u2 = c * x[:, None] + math.sqrt(1 - c**2) * x
    return weight * f(math.sqrt(q) * x) @ f(math.sqrt(q) * u2) @ weight


def pair_by_quad(f, q, c, kinks):
    """Mean of f(u1) f(u2) by scipy, told where the kinks are."""
    root, s = math.sqrt(q), math.sqrt(1 - c**2)

    def value(u):
        return float(f(np.array([u]))[0])

    def over_y(x):
        cuts = [(kink / root - c * x) / s for kink in kinks]
        return quad(
            lambda y: value(root * (c * x + s * y)) * math.exp(-(y**2) / 2), -9, 9,
            points=[cut for cut in cuts if abs(cut) < 9], epsabs=1e-8, epsrel=1e-8,
        )[0]  # fmt: skip

    cuts = [kink / root for kink in kinks if abs(kink / root) < 9]
    outer = quad(
        lambda x: value(root * x) * math.exp(-(x**2) / 2) * over_y(x), -9, 9,
        points=cuts, epsabs=1e-7, epsrel=1e-7,
    )  # fmt: skip
    return outer[0] / (2 * math.pi)


def arc_cosine(c):
    """The correlation map of the ReLU: Cho and Saul's kernel of order 1."""
    return (np.sqrt(1 - c**2) + c * (np.pi - np.arccos(c))) / np.pi


# --- the variance map


@pytest.mark.parametrize(
    ("activation", "moment"),
    [
        ("relu", lambda q: q / 2),
        ("linear", lambda q: q),
        (ERF, lambda q: 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q))),
        (np.sin, lambda q: -np.expm1(-2 * q) / 2),
        (lambda u: np.maximum(u, 0), lambda q: q / 2),
        (np.sign, lambda q: (q > 0).astype(float)),
        (lambda u: (u > 0.3).astype(float), lambda q: special.ndtr(-0.3 / np.sqrt(q))),
        (np.vectorize(math.cos), lambda q: (1 + np.exp(-2 * q)) / 2),
    ],
    ids=["relu", "linear", "erf", "sin", "callable", "sign", "step", "vectorized"],
)
def test_the_variance_map_has_its_closed_form(activation, moment):
    q = np.array([[1e-6, 0.01, 0.3], [1.0, 17.0, 1e4]])
    found = theory.variance_map(activation, q, sigma_w=1.3, sigma_b=0.2)
    assert found == pytest.approx(1.69 * moment(q) + 0.04, rel=1e-7)


def test_the_exponential_has_its_closed_form_where_it_does_not_overflow():
    q = np.array([1e-3, 1, 20])
    found = theory.variance_map("exponential", q, sigma_w=1)
    assert found == pytest.approx(np.exp(2 * q), rel=1e-9)


@pytest.mark.parametrize("q", [0.04, 9.0])
@pytest.mark.parametrize("name", activations.names())
def test_both_moments_of_every_activation_agree_with_a_plain_sum(name, q):
    f = activations.get(name)
    moment = by_sum(lambda u: f(u) ** 2, q, f.kinks)
    response = by_sum(lambda u: f.derivative(u) ** 2, q, f.kinks)
    found = theory.variance_map(name, q, sigma_w=2)
    assert found == pytest.approx(4 * moment, rel=1e-6)
    assert theory.chi_1(name, q, sigma_w=2) == pytest.approx(4 * response, rel=1e-6)


def test_a_number_gives_a_number_and_zero_gives_f_of_zero():
    found = theory.variance_map("sigmoid", 0, sigma_w=2, sigma_b=1)
    assert isinstance(found, float) and found == 2.0
    found = theory.variance_map("relu", np.array([0, 1]), sigma_w=1)
    assert found == pytest.approx([0, 0.5], abs=1e-12)


def test_the_gains_are_where_the_maps_keep_one():
    gain = theory.forward_gain("mish")
    assert theory.variance_map("mish", 1, sigma_w=gain) == pytest.approx(1, abs=1e-9)
    gain = theory.backward_gain("mish")
    assert theory.chi_1("mish", 1, sigma_w=gain) == pytest.approx(1, abs=1e-9)


# --- chi_1


@pytest.mark.parametrize(
    ("activation", "response"),
    [
        ("relu", lambda q: 0.5 + 0 * q),
        (ERF, lambda q: 4 / np.pi / np.sqrt(1 + 4 * q)),
        ("hard_tanh", lambda q: special.erf(1 / np.sqrt(2 * q))),
        (np.sin, lambda q: (1 + np.exp(-2 * q)) / 2),
        (lambda u: np.maximum(u - 0.3, 0), lambda q: special.ndtr(-0.3 / np.sqrt(q))),
        # A jump is invisible, at a cut of the quadrature and elsewhere.
        (lambda u: u + (u > 0), lambda q: 1 + 0 * q),
        (lambda u: u + (u > 0.3), lambda q: 1 + 0 * q),
    ],
    ids=["relu", "erf", "hard_tanh", "sin", "callable", "jump", "hidden jump"],
)
def test_chi_1_has_its_closed_form(activation, response):
    q = np.array([0.01, 0.3, 1.0, 17.0])
    found = theory.chi_1(activation, q, sigma_w=1.3)
    assert found == pytest.approx(1.69 * response(q), abs=1e-6)


@pytest.mark.parametrize(
    ("activation", "limit"),
    [
        ("relu", 0.5),
        ("tanh", 1),
        ("elu", 1),
        ("leaky_relu", 0.52),
        ("sigmoid", 1 / 16),
        (lambda u: np.abs(u) * u, 0),
        (np.sign, math.inf),
        (lambda u: np.sqrt(np.abs(u)), math.inf),
    ],
)
def test_at_zero_chi_1_is_the_limit_from_above(activation, limit):
    assert theory.chi_1(activation, 0, sigma_w=1) == pytest.approx(limit, abs=1e-7)


# --- the correlation map


def test_the_relu_has_the_arc_cosine_kernel_up_to_the_ends():
    c = np.array([-1, -1 + 1e-9, -0.7, -1e-5, 0, 0.3, 0.9, 0.999, 1 - 1e-9, 1])
    for relu in ("relu", lambda u: np.maximum(u, 0)):
        for q in (0.01, 1.0, 30.0):
            found = theory.correlation_map(relu, c, q=q, sigma_w=SQRT2)
            assert found == pytest.approx(arc_cosine(c), abs=1e-8)


@pytest.mark.parametrize(
    ("activation", "product"),
    [
        (ERF, lambda q, c: 2 / np.pi * np.arcsin(2 * q * c / (1 + 2 * q))),
        (np.sign, lambda q, c: 2 / np.pi * np.arcsin(c)),
        (np.sin, lambda q, c: np.exp(-q) * np.sinh(q * c)),
        (np.exp, lambda q, c: np.exp(q * (1 + c))),
        (lambda u: np.exp(9 * u), lambda q, c: np.exp(81 * q * (1 + c))),
        (lambda u: u + 1, lambda q, c: q * c + 1),
        (
            lambda u: np.sin(20 * u),
            lambda q, c: np.exp(-400 * q) * np.sinh(400 * q * c),
        ),
    ],
    ids=["erf", "sign", "sin", "exp", "steep", "affine", "fast"],
)
@pytest.mark.parametrize("q", [0.25, 1.0])
def test_the_correlation_map_has_its_closed_form(activation, product, q):
    c = np.linspace(-1, 1, 9)
    found = theory.correlation_map(activation, c, q=q, sigma_w=1.3, sigma_b=0.4)
    expected = 1.69 * product(q, c) + 0.16
    assert found == pytest.approx(expected / expected[-1], abs=1e-7)


@pytest.mark.parametrize("shift", [0.005, 0.3, 1.0, -1.7])
def test_a_hidden_jump_is_found(shift):
    def over_y(x, c):
        reached = special.ndtr((c * x - shift) / math.sqrt(1 - c**2))
        return math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * reached

    c = np.array([-0.9, 0.2, 0.95])
    products = [quad(over_y, shift, 9, args=(each,), epsabs=1e-10)[0] for each in c]
    found = theory.correlation_map(lambda u: (u > shift) + 0.0, c, q=1, sigma_w=1)
    assert found == pytest.approx(np.array(products) / special.ndtr(-shift), abs=1e-7)


def evaluations(f):
    """At how many points the correlation map looks at f."""
    sizes = []

    def counted(u):
        sizes.append(u.size)
        return f(u)

    theory.correlation_map(counted, 0.9, q=1, sigma_w=1)
    return sum(sizes)


def test_neither_a_jump_at_a_cut_nor_single_precision_costs_much():
    jump, elsewhere = (evaluations(lambda u, at=at: (u > at) + 0.0) for at in (1, 0.9))
    assert jump < 2 * elsewhere
    single = evaluations(lambda u: np.tanh(u.astype(np.float32)))
    assert single < 10 * evaluations(np.tanh)


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_activations_agree_with_a_plain_sum(name):
    f, c = activations.get(name), np.array([-0.8, 0.35, 0.9])
    moment = by_sum(lambda u: f(u) ** 2, 1.7)
    expected = [pair_by_sum(f.f, 1.7, each) / moment for each in c]
    found = theory.correlation_map(name, c, q=1.7, sigma_w=1)
    assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", KINKED)
def test_kinked_activations_agree_with_scipy(name):
    f = activations.get(name)
    moment = by_sum(lambda u: f(u) ** 2, 1.7, f.kinks)
    expected = pair_by_quad(f.f, 1.7, 0.6, f.kinks) / moment
    found = theory.correlation_map(name, 0.6, q=1.7, sigma_w=1)
    assert found == pytest.approx(expected, abs=1e-6)


def test_at_the_ends_the_correlation_map_is_exact():
    for name in activations.names():
        assert theory.correlation_map(name, 1, q=0.7, sigma_w=2, sigma_b=0.1) == 1
    mirrored = theory.correlation_map("softsign", -1.0, q=0.7, sigma_w=2)
    assert isinstance(mirrored, float) and mirrored == pytest.approx(-1, abs=1e-12)


def test_single_precision_is_good_for_seven_digits():
    c = np.linspace(-1, 1, 5)
    found = theory.correlation_map(
        lambda u: np.tanh(u.astype(np.float32)), c, q=2, sigma_w=1
    )
    expected = theory.correlation_map("tanh", c, q=2, sigma_w=1)
    assert found == pytest.approx(expected, abs=1e-6)


# --- fixed points of the variance map


def test_tanh_has_zero_and_one_stable_fixed_point():
    found = theory.fixed_points("tanh", sigma_w=1.5)
    zero, rest = found.points
    assert (zero.value, zero.slope) == (0, pytest.approx(2.25, abs=1e-6))
    assert not zero.stable and rest.stable and found.stable == (rest,)
    q = rest.value + np.array([-1e-4, 0, 1e-4])
    low, middle, high = theory.variance_map("tanh", q, sigma_w=1.5)
    assert middle == pytest.approx(rest.value, abs=1e-9)
    assert rest.slope == pytest.approx((high - low) / 2e-4, abs=1e-6)
    assert not found.diverges and not found.continua


def test_a_relu_keeps_everything_at_its_gain_and_nothing_beside_it():
    kept = theory.fixed_points("relu", sigma_w=SQRT2)
    assert kept.continua == ((pytest.approx(1e-6), pytest.approx(1e6)),)
    assert [point.value for point in kept.points] == [0] and not kept.stable
    assert kept.points[0].marginal and not kept.diverges
    above = theory.fixed_points("relu", sigma_w=1.5)
    assert above.diverges and not above.stable and not above.continua
    (below,) = theory.fixed_points("relu", sigma_w=1.3).points
    assert (below.value, below.stable) == (0, True)
    (biased,) = theory.fixed_points("relu", sigma_w=1.2, sigma_b=0.5).points
    assert biased.value == pytest.approx(0.25 / (1 - 0.72), rel=1e-9)
    assert biased.slope == pytest.approx(0.72, abs=1e-9)


def test_gelu_at_its_forward_gain_rests_nowhere_but_at_zero():
    gain = theory.forward_gain("gelu")
    found = theory.fixed_points("gelu", sigma_w=gain)
    assert [point.value for point in found.points] == [0, pytest.approx(1, abs=1e-8)]
    assert [point.stable for point in found.points] == [True, False]
    assert found.points[1].slope == pytest.approx(1.144, abs=5e-4)
    assert found.diverges


def test_a_clip_keeps_what_it_does_not_clip():
    ((low, high),) = theory.fixed_points("hard_tanh", sigma_w=1).continua
    assert low == pytest.approx(1e-6) and 0.02 < high < 0.04
    ((_, high),) = theory.fixed_points("relu6", sigma_w=SQRT2).continua
    assert 0.8 < high < 1.2


@pytest.mark.parametrize("above", [0.5, 1e-2, 1e-4, 1e-7])
def test_two_fixed_points_are_told_apart_until_they_meet(above):
    # g^2 e^(2q) = q has two solutions for g^2 < 1 / 2e, by the branches of Lambert's W.
    scale = math.exp(-1 - above) / 2
    found = theory.fixed_points("exponential", sigma_w=math.sqrt(scale))
    expected = [-special.lambertw(-2 * scale, branch).real / 2 for branch in (0, -1)]
    assert [point.value for point in found.points] == pytest.approx(expected, rel=1e-6)
    assert [point.stable for point in found.points] == [True, False]
    assert theory.fixed_points("exponential", sigma_w=0.45).points == ()


def test_where_the_map_becomes_infinite_there_is_no_fixed_point():
    # E f^2 is 1 / sqrt(1 - 4 q / 5).
    found = theory.fixed_points(lambda u: np.exp(u**2 / 5), sigma_w=0.01, sigma_b=0.1)
    (rest,) = found.points
    assert rest.stable and found.diverges
    kept = 1e-4 / math.sqrt(1 - 0.8 * rest.value) + 0.01
    assert rest.value == pytest.approx(kept, rel=1e-8)


def test_only_the_range_is_searched():
    found = theory.fixed_points("tanh", sigma_w=1.5, sigma_b=0.1, q_range=(1, 10))
    assert found.points == () and found.searched == (1, 10)
    found = theory.fixed_points("tanh", sigma_w=1.5, q_range=(0.7, 0.8))
    assert len(found.points) == 2


def test_a_jump_at_zero_leaves_zero_at_once():
    zero, rest = theory.fixed_points(np.sign, sigma_w=1.5).points
    assert (zero.value, zero.slope, zero.stable) == (0, math.inf, False)
    assert (rest.value, rest.slope) == (pytest.approx(2.25), pytest.approx(0, abs=1e-9))


# --- fixed points of the correlation map


def test_chaotic_tanh_forgets_what_inputs_had_in_common():
    q = theory.fixed_points("tanh", sigma_w=1.5).points[-1].value
    found = theory.correlation_fixed_points("tanh", q=q, sigma_w=1.5)
    chi = theory.chi_1("tanh", q, sigma_w=1.5)
    assert [point.value for point in found.points] == [-1, 0, 1]
    assert [point.stable for point in found.points] == [False, True, False]
    assert found.points[2].slope == pytest.approx(chi, abs=1e-7)
    steps = np.array([-1e-4, 1e-4])
    low, high = theory.correlation_map("tanh", steps, q=q, sigma_w=1.5)
    assert found.points[1].slope == pytest.approx((high - low) / 2e-4, abs=1e-6)


def test_with_biases_the_correlation_settles_where_iteration_does():
    weights = {"sigma_w": 1.6, "sigma_b": 0.3}
    q = theory.fixed_points("tanh", **weights).points[-1].value
    between, one = theory.correlation_fixed_points("tanh", q=q, **weights).points
    c = 0.2
    for _ in range(400):
        c = theory.correlation_map("tanh", c, q=q, **weights)
    assert between.value == pytest.approx(c, abs=1e-8)
    nearby = between.value + np.array([-1e-4, 1e-4])
    low, high = theory.correlation_map("tanh", nearby, q=q, **weights)
    assert between.slope == pytest.approx((high - low) / 2e-4, abs=1e-5)
    assert between.stable and (one.value, one.stable) == (1, False)


def test_the_slope_at_one_is_chi_1():
    (one,) = theory.correlation_fixed_points("relu", q=2.5, sigma_w=SQRT2).points
    assert one.value == 1 and one.marginal
    (one,) = theory.correlation_fixed_points("gelu", q=1, sigma_w=1.2, sigma_b=1).points
    step = 1 - theory.correlation_map("gelu", 1 - 1e-6, q=1, sigma_w=1.2, sigma_b=1)
    assert one.slope == pytest.approx(step / 1e-6, abs=1e-4) and one.stable


def test_a_linear_layer_keeps_every_correlation():
    found = theory.correlation_fixed_points("linear", q=1, sigma_w=1)
    assert found.continua == ((-1, 1),) and found.points == ()
    (one,) = theory.correlation_fixed_points(
        "linear", q=1, sigma_w=0.8, sigma_b=0.6
    ).points
    assert (one.value, one.slope) == (1, pytest.approx(0.64))


@pytest.mark.parametrize(
    ("step", "values"),
    [(np.sign, [-1, 0, 1]), (lambda u: np.where(u > 0.3, 1.0, -1.0), None)],
)
def test_a_jump_tells_all_inputs_apart(step, values):
    found = theory.correlation_fixed_points(step, q=1, sigma_w=1)
    assert found.points[-1].slope == math.inf
    if values:
        assert [point.value for point in found.points] == values
        assert found.points[1].slope == pytest.approx(2 / math.pi, abs=1e-7)
    else:
        between = found.points[0]
        kept = theory.correlation_map(step, between.value, q=1, sigma_w=1)
        assert 0 < between.value < 1 and kept == pytest.approx(between.value, abs=1e-7)


# --- depth scales


def test_relus_with_biases_forget_at_one_rate():
    scales = theory.depth_scales("relu", sigma_w=1.2, sigma_b=0.5)
    assert scales.q == pytest.approx(0.25 / 0.28)
    assert scales.xi_q == pytest.approx(-1 / math.log(0.72))
    assert (scales.c, scales.xi_c) == (1, pytest.approx(-1 / math.log(0.72)))


def test_a_linear_layer_with_no_bias_never_forgets():
    scales = theory.depth_scales("linear", sigma_w=1)
    assert (scales.q, scales.xi_q, scales.xi_c) == (1, math.inf, math.inf)


def test_a_deviation_falls_to_1_over_e_in_xi_layers():
    weights = {"sigma_w": 1.6, "sigma_b": 0.3}
    scales = theory.depth_scales("tanh", **weights)
    q, c = scales.q * 1.001, scales.c + 1e-3
    for _ in range(4):
        q = theory.variance_map("tanh", q, **weights)
    for _ in range(10):
        c = theory.correlation_map("tanh", c, q=scales.q, **weights)
    left = q / scales.q - 1
    assert left == pytest.approx(1e-3 * math.exp(-4 / scales.xi_q), rel=0.01)
    assert c - scales.c == pytest.approx(1e-3 * math.exp(-10 / scales.xi_c), rel=0.01)


@pytest.mark.parametrize(
    ("activation", "gain"), [("tanh", 1), ("relu", SQRT2), ("linear", 1)]
)
def test_on_the_critical_line_depth_has_no_scale(activation, gain):
    scales = theory.depth_scales(activation, sigma_w=gain)
    assert scales.xi_c == math.inf and scales.xi_q == math.inf


def test_small_tanh_layers_and_constant_ones_have_their_scales():
    scales = theory.depth_scales("tanh", sigma_w=0.9)
    assert (scales.q, scales.c) == (0, 1)
    assert scales.xi_q == scales.xi_c == pytest.approx(-1 / math.log(0.81), rel=1e-6)
    # From 1 a GELU network at its gain of 1.4 goes down, to zero.
    assert theory.depth_scales("gelu", sigma_w=1.4).q == 0
    constant = theory.depth_scales(lambda u: 0 * u + 1, sigma_w=1, sigma_b=1)
    assert (constant.q, constant.xi_c) == (2, 0)


@pytest.mark.parametrize(("activation", "gain"), [("relu", 1.5), ("gelu", 1.7)])
def test_what_diverges_has_no_depth_scale(activation, gain):
    with pytest.raises(ValueError, match="comes to rest nowhere; take a gain"):
        theory.depth_scales(activation, sigma_w=gain)


def test_an_unstable_fixed_point_at_one_is_no_rest():
    with pytest.raises(ValueError, match="has no depth scale at sigma_w = 1.53"):
        theory.depth_scales("gelu", sigma_w=theory.forward_gain("gelu"))


# --- the critical line


@pytest.mark.parametrize("activation", ["tanh", "elu", "gelu", "sigmoid", np.tanh])
def test_on_the_critical_line_signal_and_gradient_are_kept(activation):
    line = theory.critical_line(activation)
    assert line.q.shape == line.sigma_w.shape == line.sigma_b.shape == line.slope.shape
    for q, sigma_w, sigma_b, slope in list(
        zip(line.q, line.sigma_w, line.sigma_b, line.slope, strict=True)
    )[1::40]:
        weights = {"sigma_w": sigma_w, "sigma_b": sigma_b}
        chi = theory.chi_1(activation, q, sigma_w=sigma_w)
        assert chi == pytest.approx(1, abs=1e-6)
        near = q * np.array([1 - 1e-4, 1, 1 + 1e-4])
        low, kept, high = theory.variance_map(activation, near, **weights)
        assert kept == pytest.approx(q, rel=1e-6)
        assert slope == pytest.approx((high - low) / (2e-4 * q), abs=1e-4)


def test_the_critical_line_of_tanh_starts_at_one_and_no_bias():
    line = theory.critical_line("tanh")
    assert (line.q[0], line.sigma_b[0]) == (0, 0)
    assert line.sigma_w[0] == pytest.approx(1, abs=1e-9)
    assert np.all(np.diff(line.sigma_w) > 0) and np.all(np.diff(line.sigma_b) > 0)
    # Small q: sigma_b^2 is 4 q^3 / 3.
    assert line.sigma_b[1] ** 2 == pytest.approx(4e-12 / 3, rel=1e-2)


@pytest.mark.parametrize(("activation", "gain"), [("relu", SQRT2), ("linear", 1)])
def test_the_critical_line_of_a_relu_is_a_point(activation, gain):
    line = theory.critical_line(activation)
    assert line.sigma_w == pytest.approx([gain]) and line.sigma_b == pytest.approx([0])
    assert line.slope == pytest.approx([1])


def test_the_values_of_q_may_be_chosen():
    line = theory.critical_line("tanh", [0.5, 2])
    assert line.q.tolist() == [0.5, 2]


@pytest.mark.parametrize("activation", ["softplus", np.sign])
def test_where_there_is_no_critical_line_the_error_says_so(activation):
    with pytest.raises(ValueError, match="has no critical line for q from 0 to 100"):
        theory.critical_line(activation)


# --- real networks


def simulate(runs, seeds=4, depth=50, width=512, samples=12):
    """Send the same inputs through the same random layers, once per activation.

    Returns per run the second moments (runs, seeds, layers) of the pre-activations, and
    the factor per layer by which that of a random gradient changed, (runs, seeds).
    """
    functions = [activations.get(activation) for activation, _ in runs]
    gains = np.array([gain for _, gain in runs], np.float32)[:, None, None]
    moments = np.empty((len(runs), seeds, depth))
    factors = np.empty((len(runs), seeds))
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        shape = (depth, width, width)
        kernels = rng.standard_normal(shape, np.float32) / np.float32(math.sqrt(width))
        start, gradient = rng.standard_normal((2, samples, width), np.float32)
        z, kept = np.stack([start] * len(runs)), []
        for kernel in kernels:
            kept.append(z)
            z = np.stack([f(each) for f, each in zip(functions, z, strict=True)])
            z = (gains * z).reshape(-1, width) @ kernel
            z = z.reshape(len(runs), samples, width)
        moments[:, seed] = np.mean(np.square(kept), axis=(2, 3)).T
        g = np.stack([gradient] * len(runs))
        for kernel, z in zip(kernels[::-1], kept[::-1], strict=True):
            slopes = [f.derivative(each) for f, each in zip(functions, z, strict=True)]
            g = (g.reshape(-1, width) @ kernel.T).reshape(g.shape) * gains * slopes
        change = np.mean(g**2, axis=(1, 2)) / np.mean(gradient**2)
        factors[:, seed] = change ** (1 / depth)
    return moments, factors


STABLE = [
    ("tanh", 1.0), ("tanh", 1.5925), ("hard_tanh", 1.0), ("elu", 1.2452), ("selu", 1.0),
    ("softsign", 2.3375), ("softplus", 1.0419), ("sigmoid", 10.1493),
]  # fmt: skip
UNSTABLE = [("relu", SQRT2), ("gelu", 1.5335), ("mish", 1.4868)]


@pytest.fixture(scope="module")
def simulated():
    return simulate(STABLE + UNSTABLE)


def predicted(activation, gain, depth=50):
    q = [1.0]
    for _ in range(depth - 1):
        q.append(theory.variance_map(activation, q[-1], sigma_w=gain))
    return np.array(q)


@pytest.mark.parametrize(("activation", "gain"), STABLE)
def test_fifty_real_layers_follow_the_variance_map(activation, gain, simulated):
    moments = simulated[0][STABLE.index((activation, gain))].mean(axis=0)
    ratio = moments / predicted(activation, gain)
    # Ten layers at a time: a single one has a few hundred random units.
    assert ratio.reshape(5, 10).mean(axis=1) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(("activation", "gain"), STABLE)
def test_fifty_real_layers_change_gradients_by_chi_1(activation, gain, simulated):
    chi = theory.chi_1(activation, predicted(activation, gain), sigma_w=gain)
    factors = simulated[1][STABLE.index((activation, gain))]
    expected = math.exp(np.mean(np.log(chi)))
    assert np.mean(factors) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("activation", "gain"), UNSTABLE)
def test_where_nothing_is_stable_each_real_layer_still_does(
    activation, gain, simulated
):
    moments = simulated[0][len(STABLE) + UNSTABLE.index((activation, gain))]
    following = theory.variance_map(activation, moments[:, :-1], sigma_w=gain)
    steps = np.mean(moments[:, 1:] / following)
    assert steps == pytest.approx(1, abs=0.03)


# --- what is recommended


@pytest.mark.parametrize(
    ("activation", "gain"),
    [
        ("linear", 1),
        ("relu", SQRT2),
        ("leaky_relu", math.sqrt(2 / 1.04)),
        ("selu", 1),
        ("elu", theory.forward_gain("elu")),
        ("tanh", 1),
        (np.tanh, 1),
        ("hard_tanh", 1),
        (lambda u: np.maximum(u, 0), SQRT2),
    ],
)
def test_a_gain_without_a_warning(activation, gain):
    advice = theory.recommend(activation)
    assert advice.gain == pytest.approx(gain, abs=1e-6)
    assert (advice.fan_rule, advice.warning) == ("fan_in", "")


@pytest.mark.parametrize("activation", ["gelu", "silu", "mish", "hard_silu"])
def test_what_has_no_stable_variance_is_warned_of(activation):
    advice = theory.recommend(activation)
    assert advice.gain == pytest.approx(theory.forward_gain(activation))
    assert advice.fixed_point.value == 1 and advice.fixed_point.slope > 1.05
    assert "No stable second moment: after 50 layers ½ has become" in advice.warning


def test_the_numbers_of_the_warning_are_those_of_the_map():
    gain, q = theory.forward_gain("mish"), np.array([0.5, 2])
    for _ in range(50):
        q = theory.variance_map("mish", q, sigma_w=gain)
    warning = theory.recommend("mish").warning
    assert f"become {q[0]:.3g} and 2 has become {q[1]:.3g}." in warning


def test_beyond_double_precision_the_warning_says_more_or_less():
    warning = theory.recommend("soft_shrink").warning
    assert "½ has become less than 1e-100 and 2 has become 9.38e+17" in warning
    assert "2 has become more than 1e100" in theory.recommend("exponential").warning


def test_tanh_is_told_that_its_signal_falls_like_a_power():
    advice = theory.recommend("tanh")
    assert (advice.fixed_point.value, advice.fixed_point.slope) == (0, 1)
    assert "like a power of the depth" in advice.why
    left = predicted("tanh", 1.0, depth=51)[-1]
    assert f"1 becomes {left:.3g} after 50 layers" in advice.why
    assert "forward gain 1.5925 keeps 1, but multiplies" in advice.why
    assert "by 1.178 per layer" in advice.why


@pytest.mark.parametrize("activation", ["sigmoid", "hard_sigmoid"])
def test_a_sigmoid_needs_a_large_gain_for_its_gradients(activation):
    advice = theory.recommend(activation)
    rest = advice.fixed_point
    weights = {"sigma_w": advice.gain}
    assert 9 < advice.gain < 11 and rest.stable
    kept = theory.variance_map(activation, rest.value, **weights)
    assert kept == pytest.approx(rest.value, rel=1e-6)
    assert theory.chi_1(activation, rest.value, **weights) == pytest.approx(1, abs=1e-6)
    assert "unrelated inputs have correlation 0.99" in advice.why


def test_a_softplus_is_a_relu_far_out_and_loses_its_gradients():
    advice = theory.recommend("softplus")
    assert advice.gain == pytest.approx(SQRT2) and advice.fixed_point.value == math.inf
    assert "large signals" in advice.why and "Gradients vanish" in advice.warning


def test_a_growing_gradient_is_warned_of():
    def steep(u):
        return np.tanh(5 * u**3)

    # Flat at 0 and far out: only its forward gain keeps anything, in chaos.
    advice = theory.recommend(steep)
    assert advice.gain == pytest.approx(theory.forward_gain(steep))
    assert advice.chi_1 > 1.5 and "Gradients explode" in advice.warning


def test_the_correlation_that_is_told_is_iterated_by_the_map():
    c = 0.0
    for _ in range(50):
        c = arc_cosine(c)
    assert f"have correlation {c:.3f} after 50 layers" in theory.recommend("relu").why


def test_the_forward_gain_is_told_with_what_it_does_to_gradients():
    advice = theory.recommend("selu")
    chi = (theory.forward_gain("selu") / theory.backward_gain("selu")) ** 2
    assert advice.chi_1 == pytest.approx(chi)
    assert f"second moment of gradients by {chi:.3f}" in advice.why
    slope = theory.fixed_points("selu", sigma_w=1).points[-1].slope
    assert advice.fixed_point.slope == pytest.approx(slope, abs=1e-6)


def test_what_has_no_gain_gets_no_recommendation():
    with pytest.raises(ValueError, match=r"no gain: f'\(z\) is 0 for every z"):
        theory.recommend(np.sign)
    with pytest.raises(ValueError, match="'log' has no finite second moment"):
        theory.recommend(np.log)


# --- bad input

MAPS = {
    "variance_map": lambda f, **k: theory.variance_map(
        f, **{"q": 1, "sigma_w": 1, **k}
    ),
    "chi_1": lambda f, **k: theory.chi_1(f, **{"q": 1, "sigma_w": 1, **k}),
    "correlation_map": lambda f, **k: theory.correlation_map(
        f, **{"c": 0.5, "q": 1, "sigma_w": 1, **k}
    ),
    "fixed_points": lambda f, **k: theory.fixed_points(f, **{"sigma_w": 1, **k}),
    "correlation_fixed_points": lambda f, **k: theory.correlation_fixed_points(
        f, **{"q": 1, "sigma_w": 1, **k}
    ),
    "depth_scales": lambda f, **k: theory.depth_scales(f, **{"sigma_w": 1, **k}),
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "2", None])
def test_a_gain_that_is_no_positive_number_is_refused(name, value):
    message = f"sigma_w must be a finite number above 0, got {value!r}"
    with pytest.raises(ValueError, match=message):
        MAPS[name]("tanh", sigma_w=value)


@pytest.mark.parametrize("name", [name for name in MAPS if name != "chi_1"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "0"])
def test_a_bias_below_zero_is_refused(name, value):
    message = f"sigma_b must be a finite number of at least 0, got {value!r}"
    with pytest.raises(ValueError, match=message):
        MAPS[name]("tanh", sigma_b=value)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("variance_map", {"q": -1}, "q must be finite and at least 0, got -1.0"),
        (
            "variance_map",
            {"q": [1, math.nan]},
            "q must be finite and at least 0, got nan",
        ),
        ("variance_map", {"q": "one"}, "q must be numbers, at least 0, got 'one'"),
        ("chi_1", {"q": math.inf}, "q must be finite and at least 0, got inf"),
        (
            "correlation_map",
            {"c": 1.1},
            "c must be finite and between -1 and 1, got 1.1",
        ),
        ("correlation_map", {"c": [0, -2]}, "between -1 and 1, got -2.0"),
        ("correlation_map", {"q": 0}, "q must be a finite number above 0, got 0"),
        ("fixed_points", {"q_range": (2, 1)}, r"from low to high, got \(2, 1\)"),
        (
            "fixed_points",
            {"q_range": (0, 1)},
            "q_range must be a finite number above 0",
        ),
        ("fixed_points", {"q_range": 3}, "q_range must be two numbers, .* got 3"),
        ("fixed_points", {"q_range": (1, 2, 3)}, "q_range must be two numbers"),
        ("correlation_fixed_points", {"q": -2}, "q must be a finite number above 0"),
    ],
)
def test_an_argument_out_of_its_range_is_named(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        MAPS[name]("tanh", **arguments)


@pytest.mark.parametrize("name", [name for name in MAPS if name != "chi_1"])
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (np.log, r"'log' has no finite second moment: f\(z\) is nan at z = -"),
        (lambda z: 1 / z, "does not converge"),
        (lambda z: np.exp(z**2), "has no finite second moment"),
        (lambda z: z.sum(), "must keep the shape of its input"),
        (lambda z: z / np.abs(z).max(), "must work element by element"),
    ],
)
def test_what_has_no_second_moment_is_told_why(name, function, message, recwarn):
    if name == "fixed_points" and message == "has no finite second moment":
        assert theory.fixed_points(function, sigma_w=1).diverges  # finite for small q
        return
    with pytest.raises(ValueError, match=message):
        MAPS[name](function)
    assert not recwarn.list


def test_an_endless_start_and_nothing_at_all_are_told():
    with pytest.raises(ValueError, match=r"must be finite: f\(0\) is -inf"):
        theory.variance_map(lambda z: np.log(np.abs(z)), 0, sigma_w=1)
    with pytest.raises(ValueError, match="f'.z. is nan"):
        theory.chi_1(np.log, 1, sigma_w=1)
    with pytest.raises(ValueError, match=r"has no correlation map: f\(z\) is 0"):
        theory.correlation_map(lambda z: 0 * z, 0.5, q=1, sigma_w=1)
    with pytest.raises(ValueError, match="one row of numbers, got an array of"):
        theory.critical_line("tanh", np.ones((2, 2)))
    with pytest.raises(ValueError, match="q must be finite and at least 0, got -1"):
        theory.critical_line("tanh", [-1])
    with pytest.raises(ValueError, match=r"'log' has no finite second moment: f\(z\)"):
        theory.critical_line(np.log)
