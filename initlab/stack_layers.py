"""What the layers of a stack compute, for all its networks at once.

The networks of a stack see the same batch, so nothing has an axis of its own for the
runs until the first layer with weights. Its kernel, or table, has shape
``(fan_in, runs, units)``: flattening the last two axes gives one wide matrix. From
there on everything has the runs as its leading axis. :func:`forward` goes through the
chain; layers without weights, and all activations, are Keras's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Weights = Iterator[Any]


def forward(layers: Sequence[Any], weights: Sequence[Any], samples: Any) -> Any:
    """Return the outputs of every network, shape ``(runs, samples, units)``.

    Args:
        layers: Keras's layers, as ``stack_plan`` allows them.
        weights: All weights in Keras's order, with the runs as their leading axis, or,
            in the first, as their second.
        samples: The batch, ``(samples, ...)``.
    """
    import tensorflow as tf

    remaining = iter(weights)
    kinds = [type(layer).__name__ for layer in layers]
    hidden = tf.cast(samples, "int32" if kinds[0] == "Embedding" else "float32")
    alone = True  # no layer with weights so far
    for kind, layer in zip(kinds, layers, strict=True):
        if kind in _WITH_WEIGHTS:
            hidden = _WITH_WEIGHTS[kind](layer, hidden, remaining, alone)
            alone = False
        else:
            hidden = layer(hidden)
    return hidden


def _dense(layer: Any, hidden: Any, weights: Weights, alone: bool) -> Any:
    import tensorflow as tf

    kernel = next(weights)
    hidden = _wide_product(hidden, kernel) if alone else tf.matmul(hidden, kernel)
    if layer.use_bias:
        hidden += next(weights)[:, None, :]
    return layer.activation(hidden)


def _embedding(layer: Any, tokens: Any, weights: Weights, alone: bool) -> Any:
    """Return the rows of the tokens, shape ``(runs, steps, samples, dimension)``."""
    import tensorflow as tf

    rows = tf.gather(next(weights), tf.transpose(tokens))
    return tf.transpose(rows, (2, 0, 1, 3))  # the runs came after the samples


def _simple_rnn(layer: Any, hidden: Any, weights: Weights, alone: bool) -> Any:
    """Return the last state, or all of them, ``(runs, steps, samples, units)``.

    The input's part of all steps is one matrix product; only the state's part has to
    wait for the step before.
    """
    import tensorflow as tf

    kernel, recurrent_kernel = next(weights), next(weights)
    if alone:
        hidden = tf.transpose(hidden, (1, 0, 2))  # steps before samples
    steps, samples, features = hidden.shape[-3:]
    flat = tf.reshape(hidden, (*hidden.shape[:-3], steps * samples, features))
    drive = _wide_product(flat, kernel) if alone else tf.matmul(flat, kernel)
    if layer.use_bias:
        drive += next(weights)[:, None, :]
    runs, units = drive.shape[0], drive.shape[-1]
    drive = tf.reshape(drive, (runs, steps, samples, units))
    drive = tf.transpose(drive, (1, 0, 2, 3))
    recurrence = _recurrence(layer.activation, layer.return_sequences)
    states = recurrence(drive, recurrent_kernel)
    return tf.transpose(states, (1, 0, 2, 3)) if layer.return_sequences else states


def _wide_product(hidden: Any, kernel: Any) -> Any:
    """Multiply a batch that all runs share, ``(samples, fan_in)``, by their kernels."""
    import tensorflow as tf

    fan_in, runs, units = kernel.shape
    wide = tf.matmul(hidden, tf.reshape(kernel, (fan_in, runs * units)))
    return tf.transpose(tf.reshape(wide, (-1, runs, units)), perm=(1, 0, 2))


def _recurrence(
    activation: Callable[[Any], Any], sequences: bool
) -> Callable[[Any, Any], Any]:
    """Return h_t = f(drive_t + h_{t-1} U) as a function of drive and U.

    It gives the last state, or all of them. Its gradient is written out, because the
    one of a `while_loop` adds to the gradient of U at every step: here that is one
    product at the end.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def recurrence(drive: Any, kernel: Any) -> Any:
        steps, *state_shape = drive.shape
        start = tf.zeros(state_shape)

        def record() -> Any:
            return tf.TensorArray("float32", steps, element_shape=state_shape)

        def step(place: Any, state: Any, seen: Any) -> tuple[Any, ...]:
            pre_activation = drive[place] + tf.matmul(state, kernel)
            seen = seen.write(place, pre_activation)
            return place + 1, activation(pre_activation), seen

        _, last, seen = tf.while_loop(
            lambda place, *_: place < steps,
            step,
            (0, start, record()),
            maximum_iterations=steps,
        )
        pre_activations = seen.stack()

        def gradient(upstream: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                tape.watch(pre_activations)
                states = activation(pre_activations)
            # Of all steps at once: the activation works element by element.
            slopes = tape.gradient(states, pre_activations)
            transposed = tf.transpose(kernel, (0, 2, 1))

            def back(place: Any, later: Any, seen: Any) -> tuple[Any, ...]:
                arriving = upstream[place] + later if sequences else later
                change = arriving * slopes[place]
                seen = seen.write(place, change)
                return place - 1, tf.matmul(change, transposed), seen

            _, _, seen = tf.while_loop(
                lambda place, *_: place >= 0,
                back,
                (steps - 1, start if sequences else upstream, record()),
                maximum_iterations=steps,
            )
            changes = seen.stack()
            before = tf.concat([start[None], states[:-1]], axis=0)
            return changes, tf.einsum("trsi,trsj->rij", before, changes)

        return activation(pre_activations) if sequences else last, gradient

    return recurrence


_WITH_WEIGHTS = {
    "Dense": _dense,
    "Embedding": _embedding,
    "SimpleRNN": _simple_rnn,
}
