"""The four case studies of the course, each defined in one place.

A chapter shows their recorded results and runs a small version of the same networks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from initlab import data, schemes, tasks
from initlab._study import Study, Variant

REVIEW_WORDS = 10_000
REVIEW_LENGTH = 200
_UNKNOWN_WORD = 2
_LSUV_IMAGES = 512


def fashion_mnist() -> Study:
    """Return question 8: one hidden layer, four starts, in one layer or in both."""
    four = {
        "zeros": schemes.get("zeros"),
        "random_normal": schemes.random_normal(std=1),
        "glorot_normal": schemes.get("glorot_normal"),
        "he_normal": schemes.get("he_normal"),
    }
    where = {
        "hidden_only": "the initializer in the hidden layer, Glorot uniform in the "
        "output layer",
        "both_layers": "the initializer in both layers",
    }
    variants = {}
    for activation in ("relu", "tanh", "sigmoid"):
        for place, words in where.items():
            key = place if activation == "relu" else f"{activation}_{place}"
            variants[key] = Variant(
                description=f"{activation} hidden layer, {words}",
                build=_fashion_network(activation, place == "both_layers"),
                initializers=four if activation == "relu" else {"zeros": four["zeros"]},
            )
    return Study(
        title="Fashion-MNIST: 784 pixels, 128 hidden units, 10 classes",
        load=lambda: data.load("fashion_mnist"),
        variants=variants,
        variables=("hidden kernel", "hidden bias", "output kernel", "output bias"),
        learning_rates=(0.0003, 0.001, 0.003, 0.01, 0.03),
        loss="sparse_categorical_crossentropy",
        epochs=5,
        batch_size=64,
        seeds=10,
        units=("hidden kernel", "hidden bias"),
    )


def _fashion_network(activation: str, both_layers: bool) -> Callable[..., Any]:
    """Return the builder of question 8's network."""

    def build(initializer: Any, data: Any) -> Any:
        import keras

        return keras.Sequential(
            [
                keras.Input((28, 28)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Flatten(),
                keras.layers.Dense(128, activation, kernel_initializer=initializer()),
                keras.layers.Dense(
                    10,
                    "softmax",
                    kernel_initializer=initializer()
                    if both_layers
                    else "glorot_uniform",
                ),
            ]
        )

    return build


def cifar10() -> Study:
    """Return slide 10: a small convolutional network, three starts and two more."""
    return Study(
        title="CIFAR-10: two convolutions, 64 hidden units, 10 classes",
        load=lambda: data.load("cifar10"),
        variants={
            "cnn": Variant(
                description="the initializer in all four layers with weights",
                build=_cifar_network,
                initializers={
                    "glorot_uniform": schemes.get("glorot_uniform"),
                    "he_normal": schemes.get("he_normal"),
                    "random_normal": schemes.random_normal(std=0.05),
                    "orthogonal": schemes.get("orthogonal"),
                    "lsuv": schemes.get("orthogonal"),  # rescaled in the builder
                },
            )
        },
        variables=tuple(
            f"{layer} {kind}"
            for layer in ("first convolution", "second convolution", "hidden", "output")
            for kind in ("kernel", "bias")
        ),
        loss="sparse_categorical_crossentropy",
        epochs=5,
        batch_size=32,
        seeds=5,
        stacked=False,
    )


def _cifar_network(initializer: Any, data: Any) -> Any:
    """Return slide 10's network; a start called "lsuv" sees the first images."""
    import keras

    from initlab.lsuv import lsuv

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, activation="relu", kernel_initializer=initializer()),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu", kernel_initializer=initializer()),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, "relu", kernel_initializer=initializer()),
            layers.Dense(10, "softmax", kernel_initializer=initializer()),
        ]
    )
    if initializer.name == "lsuv":
        images = data.x_train[:_LSUV_IMAGES].astype(np.float32)
        lsuv(model, images, seed=initializer.seed)
    return model


def imdb() -> Study:
    """Return slide 11: the embedding of a recurrent network, started in five ways."""
    return Study(
        title="IMDB: 200 words, an embedding of 32 numbers, 32 recurrent units",
        load=padded_reviews,
        variants={
            "embedding": Variant(
                description="the initializer in the embedding, Keras's defaults in the "
                "recurrent and the output layer",
                build=_imdb_network,
                initializers={
                    "uniform": schemes.random_uniform(limit=0.05),
                    "glorot_uniform": schemes.get("glorot_uniform"),
                    "he_normal": schemes.get("he_normal"),
                    "std 0.001": schemes.random_normal(std=0.001),
                    "std 1": schemes.random_normal(std=1),
                },
            )
        },
        variables=(
            *("embedding", "recurrent layer input kernel"),
            *("recurrent layer recurrent kernel", "recurrent layer bias"),
            *("output kernel", "output bias"),
        ),
        loss="binary_crossentropy",
        epochs=5,
        batch_size=32,
        seeds=10,
    )


def padded_reviews() -> data.Dataset:
    """Return IMDB as slide 11 takes it: the last 200 words of a review, int32.

    Words beyond the 10,000 most frequent codes become the unknown word; shorter reviews
    are padded with zeros in front.
    """
    reviews = data.load("imdb")
    padded = {}
    for split in ("x_train", "x_test"):
        rows = getattr(reviews, split)
        padded[split] = np.zeros((len(rows), REVIEW_LENGTH), np.int32)
        for row, words in zip(padded[split], rows, strict=True):
            words = words[-REVIEW_LENGTH:]
            known = np.where(words < REVIEW_WORDS, words, _UNKNOWN_WORD)
            row[len(row) - len(known) :] = known
    return replace(reviews, **padded)


def _imdb_network(initializer: Any, data: Any) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input((REVIEW_LENGTH,)),
            keras.layers.Embedding(
                REVIEW_WORDS, 32, embeddings_initializer=initializer()
            ),
            keras.layers.SimpleRNN(32),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )


def adding_problem() -> Study:
    """Return the task with a long memory, where the recurrent kernel decides."""
    recurrent = {
        "orthogonal": schemes.get("orthogonal"),
        "identity": schemes.get("identity"),
        "glorot_uniform": schemes.get("glorot_uniform"),
        "too small": schemes.orthogonal(gain=0.5),
        "too large": schemes.orthogonal(gain=1.5),
    }
    return Study(
        title="The adding problem: 50 steps, 32 recurrent units, one sum",
        load=_adding_data,
        variants={
            activation: Variant(
                description=f"{activation} units, the initializer in the recurrent "
                "kernel, Keras's defaults elsewhere",
                build=partial(_adding_network, activation),
                initializers=recurrent,
            )
            for activation in ("tanh", "relu")
        },
        variables=(
            *("input kernel", "recurrent kernel", "recurrent bias"),
            *("output kernel", "output bias"),
        ),
        loss="mean_squared_error",
        epochs=15,
        batch_size=64,
        seeds=10,
    )


def _adding_data() -> data.Dataset:
    x, y = tasks.adding_problem(24_000, length=50, seed=0)
    return data.Dataset(
        *("adding_problem", x[:20_000], y[:20_000], x[20_000:], y[20_000:]),
        source="generated",
        is_stand_in=False,
        note="adding_problem: 20,000 training and 4,000 test sequences, generated.",
    )


def _adding_network(activation: str, initializer: Any, data: Any) -> Any:
    import keras

    return keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            keras.layers.SimpleRNN(32, activation, recurrent_initializer=initializer()),
            keras.layers.Dense(1),
        ]
    )
