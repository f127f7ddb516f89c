"""The clinic: models that are sick on purpose, each with its cure, and healthy ones.

A builder takes a seed and returns a `Patient`. `SICK` maps a case to its illness, its
builder, and the same builder after the prescription was followed.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers

SPARSE = "sparse_categorical_crossentropy"


@dataclass(frozen=True)
class Patient:
    model: Any
    x: Any
    y: Any
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    illness: str
    sick: Any
    cured: Any


# --- data


def table(seed, samples=256, features=64, classes=10):
    """Standardized features, labels of a random linear teacher."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, features)).astype(np.float32)
    return x, (x @ rng.standard_normal((features, classes))).argmax(axis=1)


def images(seed, samples=64):
    """Smooth images of mean 0 and variance 1, labelled by their brightest channel."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((samples, 4, 4, 3))
    x = coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)
    return x / x.std(), coarse.mean(axis=(1, 2)).argmax(axis=1)


def tokens(seed, samples=128, steps=20, vocabulary=500):
    rng = np.random.default_rng(seed)
    x = rng.integers(1, vocabulary, (samples, steps))
    return x, (x.mean(axis=1) > vocabulary / 2).astype(int)


# --- dense stacks


def dense(
    seed,
    kernel="he_normal",
    activation="relu",
    *,
    depth=3,
    width=64,
    bias="zeros",
    last="glorot_uniform",
    last_bias="zeros",
    between=None,
    scale=1.0,
    loss=SPARSE,
    optimizer="adam",
    head="softmax",
):
    keras.utils.set_random_seed(seed)
    x, y = table(seed)
    stack = []
    for _ in range(depth):
        stack.append(
            layers.Dense(width, kernel_initializer=anew(kernel), bias_initializer=bias)
        )
        stack += [between()] if between else []
        stack.append(layers.Activation(activation))
    last_layer = layers.Dense(
        10, head, kernel_initializer=last, bias_initializer=last_bias
    )
    model = keras.Sequential([keras.Input(x.shape[1:]), *stack, last_layer])
    model.compile(optimizer, loss)
    return Patient(model, scale * x, y)


def plain(seed, kernel="he_normal", activation="relu", depth=3, width=64, **options):
    """The same stack with its activations inside the dense layers."""
    keras.utils.set_random_seed(seed)
    x, y = table(seed)
    bias = options.get("bias", "zeros")
    hidden = [
        layers.Dense(
            width,
            activation,
            kernel_initializer=anew(kernel),
            bias_initializer=bias,
        )
        for _ in range(depth)
    ]
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), *hidden, layers.Dense(10, "softmax")]
    )
    model.compile("adam", SPARSE)
    return Patient(model, x, y)


def anew(initializer):
    """A fresh initializer where a function makes them; else what is given."""
    return initializer() if inspect.isfunction(initializer) else initializer


def normal(std):
    return lambda: keras.initializers.RandomNormal(stddev=std)


def scaling(scale):
    return lambda: keras.initializers.VarianceScaling(scale, "fan_in")


def all_zero(seed, **options):
    return dense(seed, "zeros", last="zeros", **options)


def all_constant(seed):
    return dense(
        seed, keras.initializers.Constant(0.01), last=keras.initializers.Constant(0.01)
    )


def one_initializer(seed):
    shared = keras.initializers.HeNormal(seed=seed)
    return plain(seed, shared)


def not_a_number(seed):
    patient = plain(seed)
    weights = patient.model.layers[1].kernel.numpy()
    weights[3, 4] = np.nan
    patient.model.layers[1].kernel.assign(weights)
    return patient


def rare_positives(seed, bias="zeros"):
    keras.utils.set_random_seed(seed)
    x, _ = table(seed, 1000)
    y = (np.arange(1000) % 50 == 0).astype(int)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(64, "relu", kernel_initializer="he_normal"),
            layers.Dense(
                1, "sigmoid", kernel_initializer=normal(0.01)(), bias_initializer=bias
            ),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    return Patient(model, x, y)


def regression(seed, bias="zeros", mean=0.0, spread=1.0, last="lecun_normal"):
    keras.utils.set_random_seed(seed)
    x, _ = table(seed)
    y = mean + spread * (x @ np.ones(64) / 8 + 0.1 * x[:, 0] ** 2)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(64, "relu", kernel_initializer="he_normal"),
            layers.Dense(1, kernel_initializer=last, bias_initializer=bias),
        ]
    )
    model.compile("adam", "mse")
    return Patient(model, x, y)


def logit_loss(seed, head, from_logits):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    return dense(seed, head=head, loss=loss)


def softmax_layer_twice(seed):
    patient = plain(seed)
    model = keras.Sequential([patient.model, layers.Softmax()])
    model.compile("adam", SPARSE)
    return Patient(model, patient.x, patient.y)


def hidden_softmax(seed, from_logits=True):
    """Keras finds the logits before a softmax, but not through a reshaping."""
    patient = plain(seed)
    model = keras.Sequential([patient.model, layers.Reshape((10,))])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    model.compile("adam", loss)
    return Patient(model, patient.x, patient.y)


def frozen(seed, trainable=False):
    patient = plain(seed)
    patient.model.layers[0].trainable = trainable
    patient.model.compile("adam", SPARSE)
    return patient


# --- residual, convolutional, recurrent


def residual(seed, last="he_normal", blocks=12, norm=False, width=64):
    keras.utils.set_random_seed(seed)
    x, y = table(seed)
    inputs = stream = keras.Input(x.shape[1:])
    stream = layers.Dense(width, kernel_initializer="lecun_normal")(stream)
    for _ in range(blocks):
        branch = layers.LayerNormalization()(stream) if norm else stream
        branch = layers.Dense(width, "relu", kernel_initializer="he_normal")(branch)
        branch = layers.Dense(width, kernel_initializer=anew(last))(branch)
        stream = layers.Add()([stream, branch])
    if norm:
        stream = layers.LayerNormalization()(stream)
    outputs = layers.Dense(10, "softmax", kernel_initializer=normal(0.01)())(stream)
    model = keras.Model(inputs, outputs)
    model.compile("adam", SPARSE)
    return Patient(model, x, y)


def convolutional(seed, bias="zeros", pixels=False, rescale=False, normalize=True):
    keras.utils.set_random_seed(seed)
    x, y = images(seed)
    if pixels:
        x = np.clip(128 + 64 * x, 0, 255).astype(np.uint8)
    stack = [layers.Rescaling(1 / 255)] if rescale else []
    for filters in (16, 32, 32):
        stack.append(
            layers.Conv2D(
                filters,
                3,
                padding="same",
                kernel_initializer="he_normal",
                bias_initializer=bias,
            )
        )
        stack += [layers.BatchNormalization()] if normalize else []
        stack += [layers.ReLU(), layers.MaxPooling2D()]
    stack += [layers.Flatten(), layers.Dropout(0.4), layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input(x.shape[1:]), *stack])
    model.compile("adam", SPARSE)
    return Patient(model, x, y)


def separable(seed):
    keras.utils.set_random_seed(seed)
    x, y = images(seed)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(16, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu6"),
            layers.DepthwiseConv2D(3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.SeparableConv2D(24, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    return Patient(model, x, y)


def recurrent(
    seed,
    kind=layers.LSTM,
    embedding="uniform",
    recurrence="orthogonal",
    vocabulary=500,
    units=32,
):
    keras.utils.set_random_seed(seed)
    x, y = tokens(seed, vocabulary=vocabulary)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Embedding(vocabulary, 16, embeddings_initializer=embedding),
            kind(units, recurrent_initializer=recurrence),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("rmsprop", "binary_crossentropy")
    return Patient(model, x, y)


def bidirectional(seed):
    return recurrent(
        seed,
        lambda units, **options: layers.Bidirectional(
            layers.GRU(units, dropout=0.2, **options)
        ),
    )


def transformer(seed, blocks=2, width=32):
    keras.utils.set_random_seed(seed)
    x, y = tokens(seed)
    inputs = keras.Input(x.shape[1:])
    stream = layers.Embedding(500, width)(inputs)
    for _ in range(blocks):
        normed = layers.LayerNormalization()(stream)
        attended = layers.MultiHeadAttention(4, width // 4, dropout=0.1)(normed, normed)
        stream = layers.Add()([stream, attended])
        normed = layers.LayerNormalization()(stream)
        hidden = layers.Dense(4 * width, "gelu")(normed)
        stream = layers.Add()([stream, layers.Dense(width)(hidden)])
    stream = layers.LayerNormalization()(stream)
    outputs = layers.Dense(2)(layers.GlobalAveragePooling1D()(stream))
    model = keras.Model(inputs, outputs)
    model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return Patient(model, x, y)


def autoencoder(seed):
    keras.utils.set_random_seed(seed)
    x, _ = images(seed)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(16, 3, 2, "same", activation="elu"),
            layers.Conv2D(16, 3, 2, "same", activation="elu"),
            layers.Conv2DTranspose(16, 3, 2, "same", activation="elu"),
            layers.Conv2DTranspose(3, 3, 2, "same"),
        ]
    )
    return Patient(model, x, x)


class Subclassed(keras.Model):
    """A model whose layers are called in Python, and added by a plain +."""

    def __init__(self):
        super().__init__()
        self.first = layers.Dense(64, "relu", kernel_initializer="he_normal")
        self.inner = keras.Sequential(
            [layers.Dense(64, "tanh"), layers.Dropout(0.5), layers.Dense(64)]
        )
        self.last = layers.Dense(10)

    def call(self, x):
        x = self.first(x)
        return self.last(x + self.inner(x))


def subclassed(seed):
    keras.utils.set_random_seed(seed)
    x, y = table(seed)
    model = Subclassed()
    model(x[:1])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return Patient(model, x, y)


def starting(builder, *arguments, **options):
    """A builder whose first argument is still the seed."""
    return lambda seed: builder(seed, *arguments, **options)


_RARE = math.log(0.02 / 0.98)
_TWO = keras.initializers.RandomNormal(stddev=2.0)
_ONE_CLASS = keras.initializers.Constant([10.0] + 9 * [0.0])

SICK = {
    "all zero, ReLU": Case("zero weights", all_zero, plain),
    "all zero, tanh": Case(
        "zero weights", starting(all_zero, activation="tanh"), plain
    ),
    "all zero, sigmoid": Case(
        "zero weights", starting(all_zero, activation="sigmoid"), plain
    ),
    "constant": Case("identical units", all_constant, plain),
    "one initializer for all": Case("shared seed", one_initializer, plain),
    "too small": Case(
        "weights too small",
        starting(plain, normal(0.01), depth=6),
        starting(plain, depth=6),
    ),
    "too large": Case(
        "weights too large",
        starting(plain, normal(1), depth=6),
        starting(plain, depth=6),
    ),
    "overflow": Case(
        "weights too large",
        starting(plain, normal(3), depth=40, width=128),
        starting(plain, depth=40, width=128),
    ),
    "dead ReLU": Case(
        "dead units",
        starting(plain, bias=keras.initializers.Constant(-10)),
        plain,
    ),
    "dead convolution": Case(
        "dead units",
        starting(convolutional, bias=keras.initializers.Constant(-20), normalize=False),
        starting(convolutional, normalize=False),
    ),
    "saturated tanh": Case(
        "saturated units",
        starting(plain, normal(1), "tanh"),
        starting(plain, scaling(2.54), "tanh"),
    ),
    "saturated sigmoid": Case(
        "saturated units",
        starting(plain, normal(3), "sigmoid"),
        starting(plain, "glorot_uniform", "sigmoid"),
    ),
    "Glorot on 50 ReLU layers": Case(
        "wrong gain",
        starting(plain, "glorot_normal", depth=50, width=128),
        starting(plain, "he_normal", depth=50, width=128),
    ),
    "He on 50 GELU layers": Case(
        "wrong gain",
        starting(dense, "he_normal", "gelu", depth=50, width=256),
        starting(
            dense,
            scaling(2.35),
            "gelu",
            depth=50,
            width=256,
            between=layers.LayerNormalization,
        ),
    ),
    "He on 50 linear layers": Case(
        "wrong gain",
        starting(dense, "he_normal", "linear", depth=50),
        starting(dense, "lecun_normal", "linear", depth=50),
    ),
    "deep sigmoid": Case(
        "vanishing gradient",
        starting(plain, "glorot_uniform", "sigmoid", depth=10),
        starting(plain, depth=10),
    ),
    "deep batch normalization": Case(
        "exploding gradient",
        starting(dense, depth=50, between=layers.BatchNormalization),
        starting(dense, depth=5, between=layers.BatchNormalization),
    ),
    "residual stack": Case(
        "growing residual stream",
        residual,
        starting(residual, "zeros"),
    ),
    "rare positives": Case(
        "wrong output bias",
        rare_positives,
        starting(rare_positives, keras.initializers.Constant(_RARE)),
    ),
    "one class preferred": Case(
        "wrong output bias",
        starting(dense, last_bias=_ONE_CLASS),
        dense,
    ),
    "far targets": Case(
        "wrong output bias",
        starting(regression, mean=50.0),
        starting(regression, keras.initializers.Constant(50.0), 50.0),
    ),
    "sure of itself": Case(
        "outputs too large",
        starting(dense, last=_TWO),
        starting(dense, last="zeros"),
    ),
    "tiny targets": Case(
        "outputs too large",
        starting(regression, spread=0.01),
        starting(regression, spread=0.01, last="zeros"),
    ),
    "raw pixels": Case(
        "unscaled input",
        starting(convolutional, pixels=True, normalize=False),
        starting(convolutional, pixels=True, rescale=True, normalize=False),
    ),
    "unscaled table": Case(
        "unscaled input", starting(dense, activation="tanh", scale=100.0), dense
    ),
    "softmax twice": Case("softmax twice", softmax_layer_twice, plain),
    "softmax and from_logits": Case(
        "softmax twice", hidden_softmax, starting(hidden_softmax, False)
    ),
    "softmax missing": Case(
        "softmax missing",
        starting(logit_loss, "linear", False),
        starting(logit_loss, "linear", True),
    ),
    "not a number": Case("non-finite weights", not_a_number, plain),
    "Glorot on a vocabulary": Case(
        "embedding too small",
        starting(recurrent, embedding="glorot_uniform", vocabulary=50_000),
        starting(recurrent, embedding="uniform", vocabulary=50_000),
    ),
    "large recurrence": Case(
        "recurrent kernel too large",
        starting(recurrent, layers.SimpleRNN, recurrence=normal(1)()),
        starting(recurrent, layers.SimpleRNN),
    ),
    "hasty": Case(
        "learning rate too high",
        starting(dense, optimizer=keras.optimizers.Adam(0.1)),
        dense,
    ),
}

HEALTHY = {
    "He and ReLU": plain,
    "He and 30 ReLU layers": starting(plain, depth=30, width=128),
    "Glorot and tanh": starting(plain, "glorot_uniform", "tanh", depth=8),
    "a last layer of zeros": starting(dense, last="zeros"),
    "SELU and LeCun, 30 layers": starting(plain, "lecun_normal", "selu", depth=30),
    "logits": starting(logit_loss, "linear", True),
    "regression": regression,
    "convolutions and batch normalization": convolutional,
    "convolutions without": starting(convolutional, normalize=False),
    "separable convolutions": separable,
    "residual, branches end in zeros": starting(residual, "zeros", blocks=6),
    "residual, branches scaled": starting(residual, scaling(1 / 6), blocks=6),
    "residual, normalized": starting(residual, "lecun_normal", blocks=6, norm=True),
    "LSTM": recurrent,
    "SimpleRNN": starting(recurrent, layers.SimpleRNN),
    "bidirectional GRU": bidirectional,
    "transformer": transformer,
    "autoencoder": autoencoder,
    "subclassed": subclassed,
}
