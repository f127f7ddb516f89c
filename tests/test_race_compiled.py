"""Whole epochs as a graph, compiled or not, are the steps of ``model.fit``."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest

from initlab import compiled, race_jobs
from initlab.race import race
from initlab.race_result import METRICS

# Tracing lines makes TensorFlow's tracing of graphs half as slow again; `test_race` and
# `test_race_parallel` reach the same lines.
pytestmark = pytest.mark.no_cover

layers = keras.layers
SAMPLES, CLASSES = 90, 3


def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, SAMPLES)
    x = rng.integers(0, 120, (SAMPLES, 4, 4, 1))
    x[np.arange(SAMPLES), y] += 100
    return x.astype(np.uint8), y.astype(np.uint8)


def words() -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).integers(0, 9, (SAMPLES, 5)).astype(np.int32)
    return x, x[:, 0] % CLASSES


def convolutional(initializer) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Rescaling(1 / 255),
            # A bias before a normalization has no gradient but rounding, of which Adam
            # would make whole steps.
            layers.Conv2D(
                *(4, 3),
                padding="same",
                use_bias=False,
                kernel_initializer=initializer(),
            ),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(CLASSES, "softmax", kernel_regularizer="l2"),
        ]
    )


def residual(initializer) -> keras.Model:
    inputs = keras.Input((4, 4, 1))
    h = layers.Dense(8)(layers.Flatten()(layers.Rescaling(1 / 255)(inputs)))
    branch = layers.BatchNormalization()(h)
    h = h + layers.Dense(8, "gelu", kernel_initializer=initializer())(branch)
    return keras.Model(inputs, layers.Dense(CLASSES, "softmax")(h))


def gated(initializer) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(9, 4),
            layers.Bidirectional(layers.LSTM(4, kernel_initializer=initializer())),
            layers.Dense(CLASSES, "softmax"),
        ]
    )


SETTINGS = {
    "seeds": 2,
    "epochs": 2,
    "batch_size": 16,
    "learning_rates": (0.0003, 0.001),
    "validation_split": 0.3,
    "keep_weights": True,
    "progress": False,
}
PAIR = ["glorot_normal", "he_normal"]


@pytest.mark.parametrize(
    ("build", "data", "chosen", "batch_size", "rates", "optimizer"),
    [
        (convolutional, images, "graph", 16, (0.001,), "adam"),
        (residual, images, "xla", 16, (0.0003, 0.001), "adam"),
        (residual, images, "xla", 16, (0.001,), keras.optimizers.SGD(momentum=0.9)),
        # XLA compiles gates for many seconds for each size of batch: as few as can be.
        (gated, words, "xla", 21, (0.001,), "adam"),
    ],
)
def test_every_engine_gives_the_race_of_model_fit(
    build, data, chosen, batch_size, rates, optimizer
):
    x, y = data()
    settings = SETTINGS | {
        "optimizer": optimizer,
        "batch_size": batch_size,
        "learning_rates": rates,
        "test_data": (x[:21], y[:21]),
    }
    expected = race(build, (x, y), PAIR, engine="keras", **settings)
    mine = race(build, (x, y), PAIR, **settings)
    assert mine.settings["engine"] == chosen
    for metric in METRICS:
        np.testing.assert_allclose(
            getattr(mine, metric), getattr(expected, metric), rtol=2e-4, err_msg=metric,
            # Rounding may move one sample of the smallest part over the border.
            atol=1 / 21 if "accuracy" in metric else 0,
        )  # fmt: skip
    for ours, theirs in zip(mine.final_weights, expected.final_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_fifty_steps_as_a_graph_are_fifty_steps_of_fit():
    x = np.random.default_rng(0).normal(size=(50 * 8, 4, 4, 1)).astype(np.float32)
    y = (x.sum(axis=(1, 2, 3)) > 0).astype(np.int32)
    settings = SETTINGS | {"epochs": 1, "batch_size": 8, "validation_split": 0}
    runs = [
        race(convolutional, (x, y), PAIR, engine=engine, **settings)
        for engine in ("graph", "keras")
    ]
    np.testing.assert_allclose(runs[0].loss, runs[1].loss, rtol=1e-4)
    for ours, theirs in zip(*(run.final_weights for run in runs), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_models_that_differ_in_their_numbers_are_traced_once(monkeypatch):
    made = []
    original = compiled.Graph.__init__

    def counted(self, *arguments):
        made.append(self)
        original(self, *arguments)

    monkeypatch.setattr(compiled.Graph, "__init__", counted)
    race(residual, images(), PAIR, **SETTINGS)
    assert len(made) == 1  # for 2 initializers, 2 rates and 2 seeds


@pytest.mark.parametrize("build", [residual, convolutional])  # without and with chance
def test_models_built_ahead_run_the_same_race(build, monkeypatch):
    order = []

    def watched(initializer):
        order.append(initializer.seed)
        return build(initializer)

    original = race_jobs.race_one_seed
    monkeypatch.setattr(
        "initlab.race_parallel.race_one_seed",
        lambda job, seed, advance: (
            order.append("train") or original(job, seed, advance)
        ),
    )
    ahead = race(watched, images(), PAIR, engine="graph", **SETTINGS)
    if build is residual:
        assert order == [0, 0, 1, 1, "train", "train"]
    else:
        assert order == [0, 0, "train", "train", 1, 1]
    monkeypatch.setattr(sys.modules["initlab.race"], "_MODELS_AHEAD", 0)
    in_turn = race(build, images(), PAIR, engine="graph", **SETTINGS)
    for metric in METRICS:
        values = [getattr(each, metric) for each in (ahead, in_turn)]
        np.testing.assert_array_equal(*values, err_msg=metric)
    for ours, theirs in zip(ahead.final_weights, in_turn.final_weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("engine", ["graph", "xla"])
def test_models_of_different_structure_are_not_mixed_up(engine):
    def build(initializer):
        activation = "relu" if initializer.name == "he_normal" else "tanh"
        return keras.Sequential(
            [
                keras.Input((4, 4, 1)),
                layers.Flatten(),
                layers.Dense(6, activation, kernel_initializer=initializer()),
                layers.Dense(CLASSES, "softmax"),
            ]
        )

    mine = race(build, images(), PAIR, engine=engine, **SETTINGS)
    theirs = race(build, images(), PAIR, engine="keras", **SETTINGS)
    np.testing.assert_allclose(mine.loss, theirs.loss, rtol=1e-4)


def chain(*members) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *members])


class Own(layers.Layer):
    def call(self, x):
        return x * 2


def test_a_structure_is_blind_to_names_and_draws_and_to_nothing_else():
    def dense(**options):
        return layers.Dense(3, **options)

    same = compiled.structure(chain(dense(kernel_initializer="zeros"), dense()))
    renamed = dense(name="tanh", kernel_initializer=keras.initializers.HeNormal(3))
    assert compiled.structure(chain(renamed, dense())) == same
    assert compiled.structure(chain(layers.Dropout(0.1, seed=1))) == (
        compiled.structure(chain(layers.Dropout(0.1, seed=2)))
    )
    for other in (
        chain(dense(activation="tanh"), dense()),
        chain(dense(), layers.Dense(4)),
        chain(dense(use_bias=False), dense()),
        chain(dense(), dense(), layers.ReLU()),
        chain(dense(kernel_regularizer="l2"), dense()),
    ):
        assert compiled.structure(other) != same


def test_layers_and_functions_of_ones_own_are_like_no_others():
    for make in (
        lambda: chain(Own()),
        lambda: chain(layers.Lambda(abs)),
        lambda: chain(layers.Dense(3, abs_twice)),
    ):
        one, other = make(), make()
        assert compiled.structure(one) != compiled.structure(other)
        assert compiled.structure(one) == compiled.structure(one)


def abs_twice(x):
    return keras.ops.abs(keras.ops.abs(x))


def test_what_cannot_be_reused_is_let_go():
    graphs = compiled.Graphs(
        keras.optimizers.serialize(keras.optimizers.SGD()), "mse", False, 4, False
    )
    models = [chain(Own(), layers.Dense(1)) for _ in range(3)]
    for _ in graphs.runs_in_turn([(model, 0.1) for model in models]):
        assert len(graphs._graphs) == 1
    list(graphs.runs_in_turn([(chain(layers.Dense(1)), 0.1)]))
    assert len(graphs._graphs) == 1


def test_a_model_of_ones_own_is_trained_at_each_rate_from_its_start():
    def build(initializer):
        return chain(Own(), layers.Dense(CLASSES, "softmax"))

    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    mine = race(build, (x, y), ["zeros"], engine="auto", **SETTINGS)
    theirs = race(build, (x, y), ["zeros"], engine="keras", **SETTINGS)
    assert mine.settings["engine"] == "graph"
    np.testing.assert_allclose(mine.loss, theirs.loss, rtol=1e-4)


@pytest.mark.parametrize(
    ("model", "pays"),
    [
        (chain(layers.Dense(3), layers.BatchNormalization()), True),
        (chain(layers.Reshape((4, 1)), layers.GRU(2)), True),
        (chain(layers.Reshape((4, 1)), layers.GRU(2, dropout=0.1)), False),
        (chain(layers.Reshape((4, 1)), layers.Conv1D(2, 2)), False),
        (chain(layers.Reshape((4, 1)), layers.GlobalAveragePooling1D()), True),
        (chain(layers.Reshape((4, 1)), layers.MaxPooling1D()), False),
        (chain(layers.Dense(3), layers.Dropout(0.1)), False),
        (chain(Own()), False),
        (chain(chain(layers.Dense(2), layers.GaussianNoise(0.1))), False),
    ],
)
def test_xla_is_for_models_without_convolution_chance_or_code_of_ones_own(model, pays):
    assert compiled.xla_pays(model) is pays


@pytest.mark.parametrize(
    ("member", "draws"),
    [
        (layers.Dense(3), False),
        (layers.Dropout(0.1), True),
        (layers.GaussianNoise(0.1), True),
        (layers.Lambda(abs), True),
        (layers.Dense(3, abs_twice), True),
        (Own(), True),
    ],
)
def test_chance_is_ruled_out_only_where_keras_describes_the_model(member, draws):
    assert compiled.may_draw(chain(member)) is draws


@keras.saving.register_keras_serializable("tests")
class OwnSGD(keras.optimizers.SGD):
    pass


def own_sparse_categorical_crossentropy(y_true, y_pred):
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


@pytest.mark.parametrize(
    "own",
    [{"optimizer": OwnSGD()}, {"loss": own_sparse_categorical_crossentropy}],
    ids=["optimizer", "loss"],
)
def test_a_loss_or_optimizer_of_ones_own_is_seeded_as_before(own, monkeypatch):
    jobs = []
    original = race_jobs.race_one_seed
    monkeypatch.setattr(
        "initlab.race_parallel.race_one_seed",
        lambda job, *others: jobs.append(job) or original(job, *others),
    )
    settings = SETTINGS | {"engine": "graph", "epochs": 1}
    race(residual, images(), PAIR, **settings, **own)
    race(residual, images(), PAIR, **settings)
    assert [job.draws for job in jobs] == [True, True, False, False]


def test_a_job_is_sent_without_its_graphs():
    state = race_jobs.Job(
        build=convolutional, initializers={}, learning_rates=(0.1,), optimizer={},
        loss="mse", classifies=False, epochs=1, batch_size=1, input_shape=(4,),
        keep_weights=False, engine="graph",
    )  # fmt: skip
    assert state.graphs is state.graphs
    assert "graphs" not in state.__getstate__()
