import numpy as np
import pytest

import initlab as lab
from initlab import activations, schemes


def test_he_keeps_the_second_moment_through_fifty_relu_layers_on_average():
    signals = lab.propagate("he_normal", depth=50, width=256, seeds=60, samples=1)
    kept = lab.interval(signals.activation[:, -1] / signals.activation[:, 0])
    assert kept.low < 1 < kept.high
    assert kept.high - kept.low < 1


def test_one_layer_is_what_numpy_computes_by_hand():
    scheme = schemes.random_normal(0.2)
    signals = lab.propagate(
        scheme, width=(4, 3), activation="tanh", seeds=[11], samples=5
    )
    x = np.random.default_rng([11, 0]).normal(size=(5, 4))
    kernel = scheme.sample((4, 3), np.random.default_rng([11, 1]))
    z = x @ kernel
    gradient = np.random.default_rng([11, 2]).normal(size=(5, 3))
    gradient /= np.sqrt(np.mean(gradient**2))
    back = (gradient * (1 - np.tanh(z) ** 2)) @ kernel.T
    assert signals.widths == (4, 3)
    assert signals.activation[0] == pytest.approx(
        [np.mean(x**2), np.mean(np.tanh(z) ** 2)]
    )
    assert signals.pre_activation[0] == pytest.approx([np.mean(z**2)])
    assert signals.mean[0] == pytest.approx([x.mean(), np.tanh(z).mean()])
    assert signals.gradient[0] == pytest.approx([np.mean(back**2), 1.0])


def test_the_backward_pass_is_the_gradient_of_the_forward_pass():
    scheme, rng = schemes.get("lecun_normal"), np.random.default_rng([0, 1])
    kernels = [scheme.sample(shape, rng) for shape in ((3, 4), (4, 2))]
    x = np.random.default_rng([0, 0]).normal(size=(2, 3))
    upstream = np.random.default_rng([0, 2]).normal(size=(2, 2))
    upstream /= np.sqrt(np.mean(upstream**2))

    def objective(inputs):
        h = inputs
        for kernel in kernels:
            h = np.tanh(h @ kernel)
        return np.sum(h * upstream)

    steps = 1e-6 * np.eye(6).reshape(6, 2, 3)
    slopes = [(objective(x + s) - objective(x - s)) / 2e-6 for s in steps]
    signals = lab.propagate(
        "lecun_normal", width=(3, 4, 2), activation="tanh", seeds=1, samples=2
    )
    assert signals.gradient[0, 0] == pytest.approx(np.mean(np.square(slopes)), 1e-6)


def test_rms_and_std_differ_by_the_mean():
    signals = lab.propagate("he_normal", depth=3, width=50, seeds=2)
    assert signals.rms**2 == pytest.approx(signals.std**2 + signals.mean**2)
    assert np.all(signals.std[:, 1:] < signals.rms[:, 1:])


def test_a_seed_means_the_same_network_alone_and_in_company():
    together = lab.propagate("glorot_uniform", depth=4, width=20, seeds=[5, 9])
    alone = lab.propagate("glorot_uniform", depth=4, width=20, seeds=[9])
    assert together.rms[1] == pytest.approx(alone.rms[0])
    assert together.seeds == (5, 9)


def test_networks_of_different_seeds_differ():
    signals = lab.propagate("he_normal", depth=2, width=20, seeds=3)
    assert len(np.unique(signals.rms[:, -1])) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"width": (5, 0, 5)}, "width must be at least 1, got 0"),
        ({"width": (5,)}, "at least one layer, got 1 numbers"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"seeds": []}, "seeds must be at least 1, got 0"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
    ],
)
def test_bad_sizes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        lab.propagate("he_normal", **arguments)


def test_overflow_is_reported_with_its_layer():
    with pytest.raises(OverflowError, match="activation left double precision at lay"):
        lab.propagate(schemes.random_normal(1e40), depth=10, seeds=1)
    bounded = activations.Activation("sine", np.sin, np.cos)
    with pytest.raises(OverflowError, match="gradient left double precision at layer"):
        lab.propagate(
            schemes.random_normal(1e40), depth=10, seeds=1, activation=bounded
        )
