import numpy as np
import pytest
from scipy import stats

import initlab as lab
from initlab.claims import ClaimError


def test_a_true_claim_prints_its_sentence(capsys):
    lab.claim("Two is less than three.", 2 < 3)
    assert capsys.readouterr().out == "✔ Two is less than three.\n"


def test_a_false_claim_raises_with_its_numbers(capsys):
    with pytest.raises(ClaimError) as caught:
        lab.claim("Two is more than three.", 2 > 3, two=2, three=3)
    assert "does not hold: Two is more than three." in str(caught.value)
    assert "two = 2" in str(caught.value)
    assert "three = 3" in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_claim_over_seeds_needs_every_seed():
    lab.claim("All are positive.", np.array([1, 2, 3]) > 0)
    with pytest.raises(ClaimError):
        lab.claim("All are above one.", np.array([1, 2, 3]) > 1)


@pytest.mark.parametrize("condition", [1, 0.5, "yes", [1, 2], None, np.ones(3)])
def test_a_condition_that_could_not_fail_is_refused(condition):
    with pytest.raises(TypeError, match="condition must be True or False"):
        lab.claim("Something.", condition)


def test_an_empty_condition_is_refused():
    with pytest.raises(ValueError, match="at least one boolean"):
        lab.claim("Nothing is true.", np.array([], dtype=bool))


@pytest.mark.parametrize("sentence", ["", "  ", 3])
def test_a_claim_needs_a_sentence(sentence):
    with pytest.raises(ValueError, match="sentence must be a sentence"):
        lab.claim(sentence, True)


def test_the_interval_is_students():
    values = np.array([1.0, 2.0, 4.0, 4.5, 7.0])
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = lab.interval(values, level=0.9)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.n == 5


def test_the_interval_works_along_the_first_axis():
    values = np.random.default_rng(0).normal(size=(6, 2, 3))
    found = lab.interval(values)
    alone = lab.interval(values[:, 1, 2])
    assert found.mean.shape == (2, 3)
    assert found.high[1, 2] == pytest.approx(alone.high)


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    values = np.random.default_rng(1).normal(3.0, size=(5, 4000))
    found = lab.interval(values, level=0.8)
    covered = np.mean((found.low < 3) & (3 < found.high))
    assert abs(covered - 0.8) < 0.03


@pytest.mark.parametrize("values", [1.0, [2.0]])
def test_one_seed_has_no_interval(values):
    with pytest.raises(ValueError, match="at least 2 seeds"):
        lab.interval(values)


def test_diverged_runs_are_not_averaged_away():
    with pytest.raises(ValueError, match="got 1 that"):
        lab.interval([1.0, np.nan, 2.0])


@pytest.mark.parametrize("level", [0, 1, 95])
def test_the_level_is_a_probability(level):
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        lab.interval([1.0, 2.0], level)


def test_an_interval_writes_itself():
    found = lab.interval([1.0, 2.0, 3.0])
    assert f"{found:.1f}" == "2.0 [-0.5, 4.5]"
    assert f"{found}" == "2 [-0.484, 4.48]"
    with pytest.raises(TypeError, match="only an interval of one quantity"):
        format(lab.interval(np.ones((3, 2))), ".1f")


def test_a_claim_shows_intervals_of_several_quantities_when_it_fails():
    with pytest.raises(lab.claims.ClaimError, match=r"found = Interval\(mean=array"):
        lab.claim("It holds.", False, found=lab.interval(np.eye(3)))


def test_an_interval_knows_what_it_excludes():
    found = lab.interval([1.0, 2.0, 3.0])
    assert found.excludes(5)
    assert not found.excludes(4)


def test_a_running_mean_looks_back_and_never_ahead():
    curves = np.array([[1.0, 3.0, 8.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    found = lab.running_mean(curves, 2)
    assert np.array_equal(found, [[1, 2, 5.5, 4], [2, 2, 2, 2]])
    assert np.array_equal(lab.running_mean(curves, 9)[:, -1], curves.mean(axis=1))
    assert np.array_equal(lab.running_mean(curves, 1), curves)


def test_a_running_mean_loses_only_windows_with_a_lost_value():
    found = lab.running_mean([[1, np.nan, 3, 4, 5]], 2)
    assert np.array_equal(np.isnan(found), [[False, True, True, False, False]])


def test_a_running_mean_of_no_epochs_is_empty():
    assert lab.running_mean(np.ones((3, 0)), 2).shape == (3, 0)


@pytest.mark.parametrize("window", [0, -1, 1.5, 2.0, True, np.nan, np.inf, "3", None])
def test_a_running_mean_names_a_wrong_window(window):
    with pytest.raises(ValueError, match=f"window must be .* got {window!r}"):
        lab.running_mean([1, 2, 3], window)


def test_a_running_mean_needs_an_axis_of_epochs():
    with pytest.raises(ValueError, match=r"axis of epochs, got 1\.0"):
        lab.running_mean(1.0, 1)
