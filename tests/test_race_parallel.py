"""Workers share the seeds of a race, change no number, and lose nothing."""

from __future__ import annotations

import contextlib
import os
import signal
from types import SimpleNamespace

import joblib
import keras
import numpy as np
import pytest

from initlab import race_parallel, race_setup
from initlab.race import race
from initlab.race_result import CURVES

layers = keras.layers


def data() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    return x, (x.sum(axis=1) > 0).astype(np.int32)


def plain():
    """Return a builder; being local it is sent by value, as a notebook's would be."""

    def build(initializer):
        return keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(5, "tanh", kernel_initializer=initializer()),
                layers.Dense(2, "softmax"),
            ]
        )

    return build


def with_dropout():
    def build(initializer):
        return keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(5, "tanh", kernel_initializer=initializer()),
                layers.Dropout(0.3),
                layers.Dense(2, "softmax"),
            ]
        )

    return build


def killed_once(marker, seed):
    """Return a builder whose process is killed the first time that it builds a seed."""
    here, inner, path = os.getpid(), plain(), str(marker)

    def build(initializer):
        if (
            initializer.seed == seed
            and os.getpid() != here
            and not os.path.exists(path)
        ):
            open(path, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(initializer)

    return build


def run(build, **changes):
    settings = {
        "seeds": 3, "epochs": 2, "batch_size": 16, "learning_rates": (0.001, 0.01),
        "keep_weights": True, "progress": False,
    } | changes  # fmt: skip
    return race(build, data(), ["glorot_normal", "he_normal"], **settings)


def assert_same(one, other):
    assert one.seeds == other.seeds and one.settings == other.settings
    for metric in CURVES:
        np.testing.assert_array_equal(getattr(one, metric), getattr(other, metric))
    for mine, theirs in zip(one.final_weights, other.final_weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("build", [plain(), with_dropout()], ids=["stacked", "graph"])
def test_two_workers_give_the_numbers_of_one_process(build):
    assert_same(run(build, parallel=2), run(build))


def test_a_killed_worker_loses_nothing(tmp_path):
    marker = tmp_path / "killed"
    survived = run(killed_once(marker, seed=1), parallel=2)
    assert marker.exists()
    assert_same(survived, run(plain()))


def test_workers_that_always_die_are_not_started_for_ever():
    here, inner = os.getpid(), plain()

    def build(initializer):
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(initializer)

    with pytest.raises(RuntimeError, match=r"died 3 times, .* seeds \[0\]"):
        run(build, seeds=1, parallel=2)


def test_a_dask_cluster_gives_the_same_numbers_and_may_lose_a_worker(tmp_path):
    distributed = pytest.importorskip("distributed")
    marker = tmp_path / "killed"
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        shared = run(plain(), parallel=-1)
        survived = run(killed_once(marker, seed=1), parallel=-1)
    assert marker.exists()
    alone = run(plain())
    assert_same(shared, alone)
    assert_same(survived, alone)


def interrupted_at(seed):
    inner = plain()

    def build(initializer):
        if initializer.seed == seed:
            raise KeyboardInterrupt
        return inner(initializer)

    return build


def test_an_interrupt_keeps_the_finished_seeds():
    with pytest.warns(RuntimeWarning, match="holds the 2 of 3 seeds"):
        kept = run(interrupted_at(2))
    assert_same(kept, run(plain(), seeds=2))


def test_an_interrupt_before_the_first_seed_is_finished_goes_on():
    with pytest.raises(KeyboardInterrupt):
        run(interrupted_at(0))


def test_an_interrupt_keeps_what_the_workers_finished(monkeypatch):
    @contextlib.contextmanager
    def stopped_after_the_first(*_, **__):
        def advance(stages):
            raise KeyboardInterrupt

        yield advance

    monkeypatch.setattr(race_setup, "progress_bar", stopped_after_the_first)
    with pytest.warns(RuntimeWarning, match="holds the 1 of 3 seeds"):
        kept = run(plain(), parallel=1)
    monkeypatch.undo()
    assert_same(kept, run(plain(), seeds=[*kept.seeds]))


def test_the_bar_moves_by_all_stages_of_a_seed(monkeypatch):
    def trained(job, seed, *how):
        return SimpleNamespace(seeds=(seed,))

    moved = []
    monkeypatch.setattr(race_parallel, "_in_worker", trained)
    with joblib.parallel_config("sequential"):
        done = race_parallel.race_all_seeds(
            SimpleNamespace(stages=7), [4, 9], 1, moved.append
        )
    assert [each.seeds for each in done] == [(4,), (9,)] and moved == [7, 7]


def test_a_missing_joblib_is_named(monkeypatch):
    monkeypatch.setattr(race_setup.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs joblib: `pip install joblib`"):
        run(plain(), parallel=2)
