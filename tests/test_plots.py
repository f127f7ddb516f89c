import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

import initlab as lab
from initlab import plots, schemes

matplotlib.use("Agg")


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_every_registered_scheme_has_a_colour_and_families_share_one():
    colours = {name: plots.color(name) for name in schemes.names()}
    assert colours["he_normal"] == colours["he_uniform"]
    assert colours["he_normal"] != colours["glorot_normal"]
    with pytest.raises(ValueError, match="no colour for the scheme 'xavier'"):
        plots.color("xavier")


def test_a_band_is_the_mean_and_its_interval(axes):
    values = np.random.default_rng(0).normal(size=(6, 4))
    plots.band(axes, range(4), values, label="runs")
    expected = lab.interval(values)
    assert axes.lines[0].get_ydata() == pytest.approx(expected.mean)
    corners = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert corners.max() == pytest.approx(expected.high.max())
    assert corners.min() == pytest.approx(expected.low.min())


def test_a_logarithmic_band_shows_the_geometric_mean(axes):
    plots.band(axes, [0], [[1.0], [100.0]], log=True)
    assert axes.lines[0].get_ydata() == pytest.approx([10.0])


def test_logarithmic_axes_keep_their_limits_and_write_plain_ticks(axes):
    plots.logarithmic(axes, "y", 1e-9, 1e9)
    axes.plot([0, 1], [1e-20, 1e20])
    assert axes.get_ylim() == (1e-9, 1e9)
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert texts == ["10⁻⁹", "10⁻⁶", "10⁻³", "1", "10³", "10⁶", "10⁹"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("z", 1, 2), "which must be 'x' or 'y', got 'z'"),
        (("x", 0, 2), "limits must be positive and increasing"),
        (("x", 2, 1), "limits must be positive and increasing"),
    ],
)
def test_impossible_axes_are_refused(axes, arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.logarithmic(axes, *arguments)


def test_references_are_drawn_in_the_colour_of_the_text(axes):
    with matplotlib.rc_context({"text.color": "#123456"}):
        plots.reference(axes, x=1, text="theory")
        plots.reference(axes, y=2)
    assert [line.get_color() for line in axes.lines] == ["#123456"] * 2
    assert axes.lines[0].get_label() == "theory"


def test_signals_by_layer_draws_both_directions_and_clips():
    signals = lab.propagate(schemes.random_normal(50.0), depth=12, seeds=2, samples=3)
    figure = plots.signals_by_layer(signals, decades=4)
    forward, backward = figure.axes
    assert forward.get_ylim() == backward.get_ylim() == (1e-4, 1e4)
    assert max(forward.lines[0].get_ydata()) == pytest.approx(1e5)
    assert backward.lines[0].get_ydata()[-1] == pytest.approx(1.0)
    plt.close(figure)


def test_zeros_can_be_drawn_on_a_logarithmic_axis():
    figure = plots.signals_by_layer(lab.propagate("zeros", depth=2, seeds=2))
    assert np.isfinite(figure.axes[0].lines[0].get_ydata()).all()
    plt.close(figure)
