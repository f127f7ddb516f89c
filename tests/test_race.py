"""A race gives the numbers that Keras gives, in pairs that can be compared."""

from __future__ import annotations

import io
import json
import random
import sys
import threading
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from initlab import race_seeds, race_setup, schemes, stacked
from initlab.race import InitializerMaker, Race, epoch_order, race
from initlab.race_result import METRICS
from initlab.race_seeds import initializer_functions
from initlab.stack_plan import NotStackable, make_plan

layers = keras.layers
SAMPLES, CLASSES = 110, 3


def images(samples: int = SAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Learnable images of 4 × 4 pixels: each class lights its own pixels up."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, samples)
    x = rng.integers(0, 120, (samples, 4, 4))
    x[np.arange(samples), y] += 100
    return x.astype(np.uint8), y.astype(np.uint8)


def network(initializer) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4, 4)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(8, "tanh", kernel_initializer=initializer()),
            layers.Dense(8, "relu", kernel_initializer=initializer()),
            layers.Dense(CLASSES, "softmax", kernel_initializer=initializer()),
        ]
    )


def convolutional(initializer) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(2, 3, activation="relu", kernel_initializer=initializer()),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(CLASSES, "softmax"),
        ]
    )


PAIR = ("glorot_normal", "he_normal")
SETTINGS = {
    "seeds": 2,
    "epochs": 2,
    "batch_size": 16,
    "learning_rates": (0.001, 0.01),
    "progress": False,
}


@pytest.fixture(scope="module")
def raced() -> Race:
    return race(
        network, images(), PAIR, test_data=images(40, seed=1), keep_weights=True,
        **SETTINGS,
    )  # fmt: skip


@pytest.fixture(scope="module")
def raced_by_keras() -> Race:
    return race(
        network, images(), PAIR, test_data=images(40, seed=1), keep_weights=True,
        engine="keras", **{**SETTINGS, "seeds": [1]},
    )  # fmt: skip


# ---------------------------------------------------------------- same as Keras


def dense(units: int, activation: str | None) -> keras.Model:
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(12, "relu"), layers.Dense(units, activation)]
    )


def targets(kind: str, x: np.ndarray) -> np.ndarray:
    score = x @ np.linspace(-1, 1, 6)
    classes = np.digitize(score, [-0.5, 0.5])
    return {
        "classes": classes.astype(np.int32),
        "one_hot": np.eye(3, dtype=np.float32)[classes],
        "binary": (score > 0).astype(np.float32)[:, None],
        "real": score.astype(np.float32)[:, None],
    }[kind]


from_logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


SPARSE = "sparse_categorical_crossentropy"
Adam, SGD = keras.optimizers.Adam, keras.optimizers.SGD


@pytest.mark.parametrize(
    ("optimizer", "loss", "kind", "units", "activation"),
    [
        (Adam(), SPARSE, "classes", 3, "softmax"),
        (Adam(), "mse", "real", 1, None),
        (Adam(epsilon=0.1), from_logits, "classes", 3, None),
        (SGD(momentum=0.9), SPARSE, "classes", 3, "softmax"),
        (SGD(momentum=0.9), "mse", "real", 1, None),
        (
            SGD(momentum=0.9, nesterov=True),
            "binary_crossentropy",
            "binary",
            1,
            "sigmoid",
        ),
        (SGD(), "categorical_crossentropy", "one_hot", 3, "softmax"),
    ],
)
def test_fifty_stacked_steps_are_the_steps_of_keras(
    optimizer, loss, kind, units, activation
):
    batch, steps, rate = 16, 50, 0.05
    x = np.random.default_rng(0).normal(size=(steps * batch, 6)).astype(np.float32)
    y = targets(kind, x)
    serialized = keras.optimizers.serialize(optimizer)
    classifies = kind != "real"
    model, other = dense(units, activation), dense(units, activation)
    plan = make_plan(model, loss, serialized, batch, classifies)
    stack = stacked.StackedRuns(plan, [(other, 0.2), (model, rate)])
    twin = keras.optimizers.deserialize(serialized)
    twin.learning_rate = rate
    metrics = ["accuracy"] if classifies else []
    model.compile(twin, loss, metrics=metrics, jit_compile=False)
    for step in range(steps):
        order = np.arange(step * batch, (step + 1) * batch, dtype=np.int32)
        measured = stack.train_epoch(x, y, order)
        model.reset_metrics()  # else train_on_batch gives the mean of all steps so far
        expected = model.train_on_batch(x[order], y[order], return_dict=True)
        assert measured.keys() == expected.keys()
        for metric, value in expected.items():
            assert measured[metric][1] == pytest.approx(value, rel=1e-4)
    for mine, theirs in zip(stack.weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(mine[1], theirs, rtol=1e-3, atol=1e-5)


def test_a_race_can_be_repeated_by_hand_with_model_fit(raced):
    seed, rate = 1, 0.01
    (x, y), test = images(), images(40, seed=1)
    train, rest = (x[:88], y[:88]), (x[88:], y[88:])
    maker = InitializerMaker(
        "he_normal", seed, lambda s: keras.initializers.HeNormal(seed=s)
    )
    model = network(maker)
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    for epoch in range(2):
        order = epoch_order(88, seed, epoch)
        history = model.fit(
            train[0][order], train[1][order], shuffle=False, batch_size=16, verbose=0,
            validation_data=rest,
        ).history  # fmt: skip
        for metric in ("loss", "accuracy", "val_loss", "val_accuracy"):
            mine = raced.values("he_normal", metric, rate)[seed, epoch]
            assert mine == pytest.approx(history[metric][0], rel=1e-4)
    loss, accuracy = model.evaluate(*test, verbose=0)
    assert raced.values("he_normal", "test_loss", rate)[seed] == pytest.approx(
        loss, 1e-4
    )
    assert raced.values("he_normal", "test_accuracy", rate)[seed] == pytest.approx(
        accuracy
    )


@pytest.mark.parametrize(("samples", "fraction"), [(45, 0.3), (60, 0.2), (8, 0.75)])
def test_validation_is_the_last_fraction_as_keras_cuts_it(samples, fraction):
    x, y = images(samples)
    (train, _), (rest, _) = race_setup.split(x, y, fraction)
    their_train, their_rest = keras_split(x, y, fraction)
    np.testing.assert_array_equal(train, their_train)
    np.testing.assert_array_equal(rest, their_rest)


def keras_split(x, y, fraction):
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    (train, _), (rest, _) = train_validation_split((x, y), fraction)
    return np.asarray(train[:]), np.asarray(rest[:])


def test_both_engines_give_the_same_race(raced, raced_by_keras):
    assert raced.settings["engine"] == "stacked"
    assert raced_by_keras.settings["engine"] == "keras"
    for metric in METRICS:
        np.testing.assert_allclose(
            getattr(raced, metric)[:, :, 1:], getattr(raced_by_keras, metric), rtol=1e-4
        )
    for mine, theirs in zip(
        raced.initial_weights, raced_by_keras.initial_weights, strict=True
    ):
        np.testing.assert_array_equal(mine[:, :, 1:], theirs)
    for mine, theirs in zip(
        raced.final_weights, raced_by_keras.final_weights, strict=True
    ):
        np.testing.assert_allclose(mine[:, :, 1:], theirs, atol=1e-4)


def test_a_race_is_the_same_every_time_bit_by_bit(raced):
    again = race(
        network, images(), PAIR, test_data=images(40, seed=1), **SETTINGS
    )  # fmt: skip
    np.testing.assert_array_equal(again.loss, raced.loss)
    np.testing.assert_array_equal(again.test_loss, raced.test_loss)
    assert again.final_weights is None


def test_what_cannot_be_stacked_runs_as_a_graph_repeatably():
    x, y = images(40)
    settings = {
        "seeds": 1, "epochs": 2, "learning_rates": (0.001, 0.01), "progress": False,
        "validation_split": 0,
    }  # fmt: skip
    first, second = (
        race(convolutional, (x[..., None], y), ["he_normal"], **settings)
        for _ in range(2)
    )
    assert first.settings["engine"] == "graph"
    assert first.val_loss is None and first.test_loss is None
    assert first.loss.shape == (1, 2, 1, 2)
    np.testing.assert_array_equal(first.loss, second.loss)  # dropout included


def test_a_functional_chain_is_stacked_like_a_sequential_one(raced):
    def functional(initializer):
        inputs = keras.Input((4, 4))
        x = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
        x = layers.Dense(8, kernel_initializer=initializer())(x)
        x = layers.Activation("tanh")(x)
        x = layers.ReLU()(layers.Dense(8, kernel_initializer=initializer())(x))
        x = layers.Dense(CLASSES, "softmax", kernel_initializer=initializer())(x)
        return keras.Model(inputs, x)

    result = race(functional, images(), PAIR, engine="stacked", **SETTINGS)
    np.testing.assert_allclose(result.loss, raced.loss, rtol=1e-5)


# ------------------------------------------------------------------ what a seed is


def test_the_runs_of_a_seed_share_their_data_order_and_their_draws(raced):
    glorot, he = (kernel[0, 0] for kernel in np.split(raced.initial_weights[0], 2))
    np.testing.assert_allclose(
        he / he.std(axis=(-2, -1), keepdims=True),
        glorot / glorot.std(axis=(-2, -1), keepdims=True),
        rtol=1e-4,
    )
    assert not np.allclose(he[0], he[1])
    np.testing.assert_array_equal(
        epoch_order(9, seed=4, epoch=2),
        np.random.default_rng((4, 1, 2)).permutation(9),
    )
    assert epoch_order(9, 4, 2).tolist() != epoch_order(9, 4, 3).tolist()


def test_every_layer_gets_a_seed_of_its_own(raced):
    assert raced.initial_weights[0].shape == (2, 2, 2, 16, 8)
    maker = InitializerMaker(
        "he_normal", 0, lambda seed: keras.initializers.HeNormal(seed=seed)
    )
    first, second = (np.asarray(maker()((5, 5))) for _ in range(2))
    assert not np.allclose(first, second)
    assert maker.layer_seed(0) != maker.layer_seed(1)


def test_layers_that_do_not_ask_the_maker_are_drawn_alike_for_all_initializers():
    def hidden_only(initializer):
        assert initializer.name in PAIR and initializer.seed in (0, 1)
        return keras.Sequential(
            [
                keras.Input((4, 4)),
                layers.Rescaling(1 / 255),
                layers.Flatten(),
                layers.Dense(8, "tanh", kernel_initializer=initializer()),
                layers.Dense(8, "relu"),
                layers.Dense(CLASSES, "softmax"),
            ]
        )

    result = race(hidden_only, images(), PAIR, keep_weights=True, **SETTINGS)
    glorot, he = result.initial_weights[2]
    np.testing.assert_array_equal(glorot, he)
    assert not np.allclose(glorot[:, 0], glorot[:, 1])


def test_a_race_leaves_the_random_states_of_python_and_numpy_alone():
    random.seed(3)
    legacy = np.random.mtrand._rand  # what np.random.seed and its like act on
    legacy.seed(3)
    expected = random.random(), legacy.random()
    random.seed(3)
    legacy.seed(3)
    race(network, images(40), ["zeros"], seeds=1, epochs=1, progress=False)
    assert (random.random(), legacy.random()) == expected


@pytest.mark.parametrize(
    "given",
    [
        schemes.get("he_normal"),
        "he_normal",
        "HeNormal",
        keras.initializers.HeNormal(),
        keras.initializers.HeNormal,
        lambda seed: keras.initializers.HeNormal(seed=seed),
    ],
)
def test_an_initializer_may_be_given_in_many_forms(given):
    make = initializer_functions({"mine": given})["mine"]
    drawn = [np.array(make(seed)((5, 5))) for seed in (7, 7, 8)]
    expected = np.array(keras.initializers.HeNormal(seed=7)((5, 5)))
    np.testing.assert_array_equal(drawn[0], expected)
    np.testing.assert_array_equal(drawn[1], expected)
    assert not np.allclose(drawn[2], expected)


def test_an_initializer_without_a_seed_is_made_fresh_each_time():
    for given in (keras.initializers.Constant(2.0), keras.initializers.Zeros):
        make = initializer_functions({"mine": given})["mine"]
        assert make(1) is not make(1)
        assert np.ptp(np.array(make(1)((3, 3)))) == 0


# -------------------------------------------------------------------- divergence


@pytest.mark.parametrize("engine", ["stacked", "keras"])
def test_a_diverged_run_is_kept_and_marked(engine):
    x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    result = race(
        lambda initializer: keras.Sequential(
            [keras.Input((6,)), layers.Dense(1, kernel_initializer=initializer())]
        ),
        (x, targets("real", x)[:, 0]), ["glorot_normal"], seeds=2, epochs=2,
        batch_size=16, validation_split=0.5,
        learning_rates=(0.01, 1e30), optimizer="sgd", loss="mse", engine=engine,
        test_data=(x, targets("real", x)), progress=False,
    )  # fmt: skip
    assert result.diverged.tolist() == [[[False, False], [True, True]]]
    assert np.isnan(result.loss[0, 1]).all() and np.isnan(result.test_loss[0, 1]).all()
    assert np.isfinite(result.loss[0, 0]).all()
    assert result.accuracy is None and result.test_accuracy is None
    assert result.best_learning_rate("glorot_normal") == 0.01
    assert np.isnan(result.mean("glorot_normal", "test_loss", 1e30))
    with pytest.raises(ValueError, match="diverged in 2 of 2 runs"):
        result.interval("glorot_normal", "loss", 1e30)
    assert repr(result).endswith("2 diverged)")
    assert (
        Race.from_json(result.to_json()).diverged.tolist() == result.diverged.tolist()
    )


def test_a_run_that_comes_back_from_infinity_stays_diverged(monkeypatch):
    train, calls = stacked.StackedRuns.train_epoch, []

    def once_infinite(self, *arguments):
        measured = train(self, *arguments)
        calls.append(arguments)
        if len(calls) == 1:
            measured["loss"][0] = np.inf
        return measured

    monkeypatch.setattr(stacked.StackedRuns, "train_epoch", once_infinite)
    result = race(network, images(), PAIR, **{**SETTINGS, "seeds": 1})
    assert result.diverged[:, :, 0].tolist() == [[True, False], [False, False]]
    assert np.isnan(result.val_accuracy[0, 0]).all()


def test_no_rate_is_best_where_every_rate_diverged(raced):
    lost = replaced(raced, diverged=np.ones_like(raced.diverged))
    with pytest.raises(ValueError, match="he_normal has no best learning rate"):
        lost.best_learning_rate("he_normal")


def replaced(result: Race, **changes) -> Race:
    import dataclasses

    return dataclasses.replace(result, **changes)


# -------------------------------------------------------------------- the result


def test_values_means_and_intervals_have_their_axes(raced):
    assert raced.loss.shape == (2, 2, 2, 2)
    assert raced.values("he_normal", "val_loss", 0.01).shape == (2, 2)
    assert raced.values("he_normal", learning_rate=0.01).shape == (2,)
    assert isinstance(raced.mean("he_normal", learning_rate=0.01), float)
    curve = raced.interval("he_normal", "val_accuracy", "best")
    assert curve.mean.shape == (2,) and curve.n == 2
    assert (curve.low <= curve.mean).all()
    assert repr(raced) == "Race(2 initializers × 2 learning rates × 2 seeds × 2 epochs)"


def test_paired_is_the_interval_of_the_differences_per_seed(raced):
    difference = raced.values("he_normal", "test_loss", 0.01) - raced.values(
        "glorot_normal", "test_loss", 0.01
    )
    paired = raced.paired("he_normal", "glorot_normal", "test_loss", 0.01)
    assert paired.mean == pytest.approx(difference.mean())
    # Student's t for one degree of freedom
    assert paired.high - paired.mean == pytest.approx(
        12.706 * np.ptp(difference) / 2, 1e-3
    )


def test_the_best_rate_is_chosen_by_the_end_of_validation_and_ties_take_the_smallest(
    raced,
):
    val = np.zeros_like(raced.val_accuracy)
    val[0, 1, :, -1], val[0, 0, :, 0] = 0.5, 0.9
    chosen = replaced(raced, val_accuracy=val)
    assert chosen.best_learning_rate("glorot_normal") == 0.01
    assert chosen.best_learning_rate("he_normal") == 0.001
    ends = raced.loss[1, :, :, -1].mean(-1)
    best = raced.learning_rates[int(ends.argmin())]
    assert raced.best_learning_rate("he_normal", "loss") == best
    regression = replaced(raced, val_accuracy=None, accuracy=None)
    lowest = raced.val_loss[1, :, :, -1].mean(-1).argmin()
    assert regression.best_learning_rate("he_normal") == raced.learning_rates[lowest]


def test_json_brings_everything_back_but_the_weights(raced):
    back = Race.from_json(raced.to_json())
    assert back.to_dict() == raced.to_dict()
    np.testing.assert_array_equal(back.loss, raced.loss)
    assert back.final_weights is None and back.learning_rates == (0.001, 0.01)
    short = json.loads(raced.to_json(digits=3))
    assert short["loss"][0][0][0][0] == float(f"{raced.loss[0, 0, 0, 0]:.3g}")


def test_races_of_different_seeds_join(raced):
    parts = [
        race(
            network, images(), PAIR, **{**SETTINGS, "seeds": [seed]}, keep_weights=True
        )
        for seed in (0, 1)
    ]
    joined = Race.join(parts)
    np.testing.assert_array_equal(joined.loss, raced.loss)
    np.testing.assert_array_equal(joined.final_weights[0], raced.final_weights[0])
    assert joined.seeds == (0, 1) and joined.test_loss is None
    with pytest.raises(ValueError, match="share a seed"):
        Race.join([parts[0], parts[0]])
    with pytest.raises(ValueError, match="same learning_rates"):
        Race.join([parts[0], replaced(parts[1], learning_rates=(1.0, 2.0))])
    with pytest.raises(ValueError, match="at least one race"):
        Race.join([])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda r: r.values("xavier", "loss", 0.01), "glorot_normal, he_normal, got"),
        (lambda r: r.values("he_normal", "f1", 0.01), "metric must be one of loss"),
        (lambda r: r.values("he_normal"), r'one of 0.001, 0.01, or "best", got None'),
        (lambda r: r.values("he_normal", "loss", 0.5), "got 0.5"),
        (lambda r: r.best_learning_rate("he_normal", "test_loss"), "must not choose"),
        (lambda r: replaced(r, accuracy=None).mean("he_normal", "accuracy", 0.01),
         "did not measure accuracy"),
        (lambda r: Race.from_json("[1"), "Expecting"),
        (lambda r: Race.from_dict({**r.to_dict(), "more": 1}), r"wrong: \['more'\]"),
        (lambda r: Race.from_dict({**r.to_dict(), "loss": [[[1.0]]]}),
         r"loss must have the shape \(2, 2, 2\)"),
    ],
)  # fmt: skip
def test_wrong_questions_get_clear_answers(raced, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(raced)


# ------------------------------------------------------------------ wrong arguments

X, Y = images(40)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"build": "he_normal"}, "build must be a function"),
        ({"build": lambda i: "a model"}, "must return a Keras model, got 'a model'"),
        ({"build": lambda i: compiled(network(i))}, "uncompiled"),
        ({"build": lambda i: network(lambda: i)}, "with parentheses"),
        ({"build": lambda i: network(lambda: i(kind="depthwise"))}, "no options, got"),
        ({"build": lambda i: two_outputs()}, "must have one output"),
        ({"data": (X[:, :3], Y)}, r"samples of shape \(4, 4\)"),
        ({"data": X}, "must be a pair of arrays"),
        ({"data": (X, Y[:-1])}, "got 40 and 39"),
        ({"data": (X[:0], Y[:0])}, "at least one"),
        ({"data": (X.astype(str), Y)}, "array of numbers"),
        ({"data": (np.where(X > 3, np.nan, X), Y)}, "x of data must be finite"),
        ({"data": (X, Y + 1)}, r"y must be from 0 to 2, .* got 1 to 3"),
        ({"data": (X, Y / 7)}, "one class number per sample"),
        ({"test_data": (X, Y + 9)}, "test y must be from 0 to 2"),
        ({"loss": "mse"}, r"y must have the shape of the outputs, \(3,\)"),
        ({"loss": "hinges"}, "loss must be the name of a Keras loss"),
        ({"loss": None}, "loss must be the name of a Keras loss"),
        ({"optimizer": "adams"}, "optimizer must be the name of a Keras optimizer"),
        ({"optimizer": keras.optimizers.SGD(
            keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5))}, "schedule"),
        ({"initializers": {}}, "at least one initializer"),
        ({"initializers": ["zeros", "zeros"]}, "different names"),
        ({"initializers": [keras.initializers.Zeros()]}, "without a name"),
        ({"initializers": "kaiming_he"}, "'kaiming_he'; the schemes are"),
        ({"initializers": {"mine": 3}}, "'mine' must be a scheme"),
        ({"learning_rates": ()}, "different rates"),
        ({"learning_rates": (0.1, 0.1)}, "different rates"),
        ({"learning_rates": (0.1, -1)}, "above 0"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"seeds": [1, 1]}, "different seeds"),
        ({"seeds": [-1]}, "got -1"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, got 2.5"),
        ({"validation_split": 1}, "from 0 to below 1"),
        ({"validation_split": 0.99}, "leaves nothing"),
        ({"engine": "jax"}, "one of auto, stacked, xla, graph, keras"),
        ({"engine": "stacked", "build": convolutional,
          "data": (X[..., None], Y)}, 'engine "stacked" cannot train this'),
        ({"progress": "bar"}, "progress must be True, False"),
        ({"parallel": 0}, "parallel must be a number of worker processes"),
        ({"parallel": -2}, "-1 for one per processor, or None, got -2"),
        ({"parallel": 2.0}, "got 2.0"),
        ({"parallel": True}, "got True"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(changes, message):
    arguments = {
        "build": network, "data": (X, Y), "initializers": ["zeros"], "seeds": 1,
        "epochs": 1, "progress": False,
    } | changes  # fmt: skip
    build, data, given = (
        arguments.pop(name) for name in ("build", "data", "initializers")
    )
    with pytest.raises(ValueError, match=message):
        race(build, data, given, **arguments)


def compiled(model):
    model.compile("sgd", "mse")
    return model


def two_outputs():
    inputs = keras.Input((4, 4))
    flat = layers.Flatten()(inputs)
    return keras.Model(inputs, [layers.Dense(3)(flat), layers.Dense(3)(flat)])


def test_another_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="needs Keras on TensorFlow"):
        race(network, (X, Y), ["zeros"])


def test_a_model_without_an_input_is_built_for_the_data():
    def deferred(initializer):
        return keras.Sequential(
            [layers.Flatten(), layers.Dense(3, kernel_initializer=initializer())]
        )

    result = race(
        deferred, (X, Y[:, None]), ["zeros"], seeds=[3], epochs=1, loss=from_logits,
        progress=False,
    )  # fmt: skip
    assert result.settings["engine"] == "stacked" and result.seeds == (3,)


def test_a_data_set_brings_its_test_part():
    data = SimpleNamespace(x_train=X / 255, y_train=Y, x_test=X[:9], y_test=Y[:9])
    result = race(network, data, ["zeros"], seeds=1, epochs=1, progress=False)
    assert result.settings["test_samples"] == 9
    assert result.test_loss.shape == (1, 1, 1)
    assert result.mean("zeros", "test_loss") == result.test_loss.item()  # only one rate


# ------------------------------------------------------------------ what is stacked


class Subclassed(keras.Model):
    pass


def chain(*members) -> keras.Model:
    return keras.Sequential([keras.Input((6,)), *members])


def skipping() -> keras.Model:
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(6)(inputs) + inputs)


def shared_layer() -> keras.Model:
    inputs, layer = keras.Input((6,)), layers.Dense(6)
    return keras.Model(inputs, layer(layer(inputs)))


def unordered() -> keras.Model:
    inputs, first, second = keras.Input((6,)), layers.Dense(6), layers.Dense(6)
    return keras.Model(inputs, layers.Add()([second(inputs), first(inputs)]))


def frozen() -> keras.Model:
    model = chain(layers.Dense(3))
    model.layers[0].trainable = False
    return model


def test_a_model_built_with_add_is_stacked_like_one_built_at_once():
    added = keras.Sequential()
    members = layers.Dense(4, "relu", name="one"), layers.Dense(3, name="two")
    added.add(keras.Input((6,)))
    for member in members:
        added.add(member)
    at_once = chain(*(type(m).from_config(m.get_config()) for m in members))
    sgd = keras.optimizers.serialize(keras.optimizers.SGD())
    plans = [make_plan(m, "mse", sgd, 8, False) for m in (added, at_once)]
    assert plans[0] == plans[1]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Subclassed(), "a forward pass of its own"),
        (two_outputs(), "several inputs or outputs"),
        (skipping(), "the output is not fed by a simple chain"),
        (shared_layer(), "is not fed by a simple chain"),
        (unordered(), "the output is not fed by a simple chain"),
        (chain(layers.ReLU()), "no Dense, SimpleRNN or Embedding layer"),
        (keras.Sequential([keras.Input((4, 4)), layers.Dense(3)]), "not flat"),
        (chain(layers.Dense(3), layers.Flatten()), "comes after"),
        (chain(layers.BatchNormalization(), layers.Dense(3)), "is a BatchNorm"),
        (chain(layers.Dense(3, dtype="float64")), "computes in float64"),
        (chain(layers.Dense(3, lambda x: x)), "an activation of your own"),
        (chain(layers.Dense(3, kernel_regularizer="l2")), "has kernel_regularizer="),
        (frozen(), "frozen"),
    ],
)  # fmt: skip
def test_a_model_that_a_stack_cannot_reproduce_is_not_stacked(model, reason):
    with pytest.raises(NotStackable, match=reason):
        make_plan(
            model, "mse", keras.optimizers.serialize(keras.optimizers.SGD()), 8, False
        )


@pytest.mark.parametrize(
    ("loss", "optimizer", "reason"),
    [
        ("hinge", SGD(), "'hinge' is not one"),
        (keras.losses.MeanSquaredError(reduction="sum"), SGD(), "is not one"),
        (lambda y, p: y - p, SGD(), "is not one"),
        ("mse", keras.optimizers.RMSprop(), "RMSprop is neither Adam nor SGD"),
        ("mse", keras.optimizers.Adam(amsgrad=True), "Adam has amsgrad=True"),
        ("mse", keras.optimizers.SGD(clipnorm=1.0), "SGD has clipnorm=1.0"),
    ],
)  # fmt: skip
def test_a_loss_or_optimizer_that_is_not_reproduced_is_not_stacked(
    loss, optimizer, reason
):
    with pytest.raises(NotStackable, match=reason):
        make_plan(
            chain(layers.Dense(1)),
            loss,
            keras.optimizers.serialize(optimizer),
            8,
            False,
        )


def test_models_that_differ_by_initializer_are_not_stacked():
    def build(initializer):
        units = 4 if initializer.name == "zeros" else 5
        return keras.Sequential(
            [keras.Input((4, 4)), layers.Flatten(), layers.Dense(units, "relu"),
             layers.Dense(3, "softmax", kernel_initializer=initializer())]
        )  # fmt: skip

    result = race(
        build, (X, Y), ["zeros", "ones"], seeds=1, epochs=1, batch_size=40,
        validation_split=0, progress=False,
    )  # fmt: skip
    assert result.settings["engine"] == "xla"


# ---------------------------------------------------------------------- the bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def advance_twice(wanted) -> str:
    with race_setup.progress_bar(2, wanted, "race") as advance:
        advance()
        advance()
    return sys.stderr.getvalue()


def test_a_bar_is_drawn_on_a_terminal_only(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert advance_twice(True) == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert advance_twice(False) == ""
    assert "2/2" in advance_twice(True)


def test_without_tqdm_there_is_no_bar_and_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    for module in ("tqdm", "tqdm.notebook"):
        monkeypatch.setitem(sys.modules, module, None)
    assert advance_twice(True) == ""
    assert advance_twice("notebook") == ""


def test_the_notebook_bar_is_drawn_where_it_is_asked_for(monkeypatch):
    bars = []

    class Bar:
        def __init__(self, **options):
            bars.append(options)
            self.update = lambda: None

        __enter__ = lambda self: self  # noqa: E731 – a stand-in of three lines
        __exit__ = lambda self, *_: None  # noqa: E731

    monkeypatch.setitem(sys.modules, "tqdm.notebook", SimpleNamespace(tqdm=Bar))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    advance_twice("notebook")
    assert bars[0]["total"] == 2


def test_the_plain_loop_leaves_the_level_of_tensorflows_logger_alone():
    import tensorflow as tf

    level = tf.get_logger().level
    with race_setup.expected_retracing():
        assert tf.get_logger().level > level
    assert tf.get_logger().level == level


def test_another_thread_that_draws_random_numbers_disturbs_no_seed():
    def weights() -> list[np.ndarray]:
        with race_seeds.seeded(3):
            dense = [keras.layers.Dense(4) for _ in range(30)]  # no seeds of their own
            for layer in dense:
                layer.build((None, 4))
        return [layer.kernel.numpy() for layer in dense]

    alone, stop, drawn = weights(), threading.Event(), []

    def draw() -> None:  # as the network thread of a Dask worker does
        while not stop.is_set():
            drawn.append(random.random())

    before = random.getstate()
    other = threading.Thread(target=draw)
    with race_seeds.seeded(0):  # its start draws nothing of ours either
        pass
    assert random.getstate() == before
    other.start()
    try:
        disturbed = weights()
    finally:
        stop.set()
        other.join()
    np.testing.assert_array_equal(alone, disturbed)
    assert len(set(drawn)) > 100 and random.random.__self__ is random.randint.__self__
