"""Embedding and SimpleRNN layers in a stack compute and learn what Keras's do."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from initlab import stacked
from initlab.race import race
from initlab.stack_plan import NotStackable, make_plan

layers = keras.layers
Adam, SGD = keras.optimizers.Adam, keras.optimizers.SGD
WORDS, STEPS, BATCH = 12, 7, 16


def reviews(samples: int = 50 * BATCH) -> tuple[np.ndarray, np.ndarray]:
    """Sequences in which words come several times, and whether high words prevail."""
    x = np.random.default_rng(0).integers(0, WORDS, (samples, STEPS))
    return x.astype(np.int32), (x.mean(1) > (WORDS - 1) / 2).astype(np.float32)


def signals(samples: int = 50 * BATCH) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of two features; the target is a sum over time."""
    x = np.random.default_rng(0).normal(size=(samples, STEPS, 2)).astype(np.float32)
    return x, x[:, :, 0].sum(axis=1, keepdims=True)


def reader(*members, words: int = WORDS) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((STEPS,), dtype="int32"),
            layers.Embedding(words, 6),
            *members,
            layers.Dense(1, "sigmoid"),
        ]
    )


def listener(*members) -> keras.Model:
    return keras.Sequential([keras.Input((STEPS, 2)), *members, layers.Dense(1)])


def two_levels() -> list[layers.Layer]:
    return [
        layers.SimpleRNN(6, return_sequences=True, use_bias=False),
        layers.Activation("elu"),
        layers.SimpleRNN(4, activation="relu"),
    ]


@pytest.mark.no_cover  # slow under it; the race of readers reaches the same lines
@pytest.mark.parametrize(
    ("kind", "levels", "optimizer"),
    [
        ("words", 1, Adam(0.01)),
        ("words", 1, SGD(0.01)),
        ("words", 1, SGD(0.002, momentum=0.9)),
        ("words", 2, Adam(0.01)),
        ("features", 1, Adam(0.01)),
        ("features", 2, Adam(0.01)),
        ("features", 2, SGD(0.01)),
        ("features", 2, SGD(0.002, momentum=0.9)),
    ],
)
def test_fifty_stacked_recurrent_steps_are_the_steps_of_keras(kind, levels, optimizer):
    data, loss, network = {
        "words": (reviews, "binary_crossentropy", reader),
        "features": (signals, "mean_squared_error", listener),
    }[kind]

    def build() -> keras.Model:
        return network(*(two_levels() if levels == 2 else [layers.SimpleRNN(5)]))

    x, y = data()
    y = y.reshape(-1, 1)
    classifies = loss == "binary_crossentropy"
    model, other = build(), build()
    serialized = keras.optimizers.serialize(optimizer)
    plan = make_plan(model, loss, serialized, BATCH, classifies)
    rate = float(optimizer.learning_rate)
    stack = stacked.StackedRuns(plan, [(other, 3 * rate), (model, rate)])
    metrics = ["accuracy"] if classifies else []
    twin = keras.optimizers.deserialize(serialized)
    model.compile(twin, loss, metrics=metrics, jit_compile=False)
    for step in range(50):
        order = np.arange(step * BATCH, (step + 1) * BATCH, dtype=np.int32)
        measured = stack.train_epoch(x, y, order)
        model.reset_metrics()
        expected = model.train_on_batch(x[order], y[order], return_dict=True)
        for metric, value in expected.items():
            assert measured[metric][1] == pytest.approx(value, rel=1e-4), step
    for mine, theirs in zip(stack.weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(mine[1], theirs, rtol=1e-3, atol=1e-5)
    evaluated = stack.evaluate(x, y)
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    assert evaluated["loss"][1] == pytest.approx(expected["loss"], rel=1e-4)


def test_adam_squares_the_gradient_of_each_occurrence_of_a_word_as_keras_does():
    """Keras's velocity of a table is the sum of squares, not the square of the sum."""
    model = keras.Sequential(
        [
            keras.Input((2,), dtype="int32"),
            layers.Embedding(3, 1),
            layers.SimpleRNN(1, activation=None),
        ]
    )
    model.set_weights([np.ones_like(weight) for weight in model.get_weights()])
    plan = make_plan(
        model, "mean_squared_error", keras.optimizers.serialize(Adam()), 1, False
    )
    stack = stacked.StackedRuns(plan, [(model, 0.1)])
    x, y = np.array([[1, 1]], np.int32), np.zeros((1, 1), np.float32)
    stack.train_epoch(x, y, np.zeros(1, np.int32))
    momentum, velocity = (slot.numpy().ravel() for slot in stack._slots[0])
    error = 2 * 4  # h_1 = 1 + 1, h_2 = 1 + 1 + h_1 = 4, and the loss is h_2 squared
    assert momentum == pytest.approx([0, 0.1 * 2 * error, 0])
    assert velocity == pytest.approx([0, 0.001 * 2 * error**2, 0])


def test_a_race_of_readers_is_stacked_and_equals_fit():
    def build(initializer):
        return keras.Sequential(
            [
                keras.Input((STEPS,), dtype="int32"),
                layers.Embedding(WORDS, 6, embeddings_initializer=initializer()),
                layers.SimpleRNN(5),
                layers.Dense(1, "sigmoid"),
            ]
        )

    settings = {
        "seeds": [3], "epochs": 2, "batch_size": 16, "loss": "binary_crossentropy",
        "learning_rates": (0.001, 0.01), "progress": False,
    }  # fmt: skip
    names = ["random_uniform", "he_normal"]
    mine = race(build, reviews(100), names, **settings)
    theirs = race(build, reviews(100), names, engine="keras", **settings)
    assert mine.settings["engine"] == "stacked"
    for metric in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(
            getattr(mine, metric), getattr(theirs, metric), rtol=1e-4
        )


@pytest.mark.parametrize("value", [-1, WORDS])
def test_a_word_without_a_row_is_refused(value):
    x, y = reviews(20)
    x[3, 2] = value
    with pytest.raises(ValueError, match=rf"x must be from 0 to {WORDS - 1}, .* rows"):
        race(
            lambda _: reader(layers.SimpleRNN(2)), (x, y), ["zeros"], seeds=1,
            loss="binary_crossentropy", progress=False,
        )  # fmt: skip


def varying() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(WORDS, 6),
            layers.SimpleRNN(3),
        ]
    )


def late_table() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((STEPS,)),
            layers.ReLU(),
            layers.Embedding(WORDS, 6),
            layers.SimpleRNN(3),
        ]
    )


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (reader(layers.SimpleRNN(3, dropout=0.1)), "has dropout=0.1"),
        (reader(layers.SimpleRNN(3, recurrent_dropout=0.1)), "recurrent_dropout"),
        (reader(layers.SimpleRNN(3, go_backwards=True)), "go_backwards"),
        (reader(layers.SimpleRNN(3, recurrent_regularizer="l2")), "recurrent_reg"),
        (reader(layers.SimpleRNN(3, activation="softmax")), "mixes its units"),
        (reader(layers.LSTM(3)), "is a LSTM"),
        (reader(layers.Flatten()), "comes after one with weights"),
        (reader(layers.SimpleRNN(3, return_sequences=True)), "the outputs are not"),
        (
            keras.Sequential([keras.Input((STEPS,)), layers.Embedding(4, 2)]),
            "the outputs are not flat",
        ),
        (varying(), "inputs of varying length"),
        (late_table(), "does not come first"),
        (
            keras.Sequential(
                [
                    keras.Input((STEPS,)),
                    layers.Embedding(WORDS, 3, mask_zero=True),
                    layers.SimpleRNN(3),
                ]
            ),
            "is not fed by a simple chain",
        ),
    ],
)  # fmt: skip
def test_what_a_recurrent_stack_cannot_reproduce_is_not_stacked(model, reason):
    with pytest.raises(NotStackable, match=reason):
        make_plan(model, "mse", keras.optimizers.serialize(SGD()), 8, False)
