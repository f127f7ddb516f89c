"""Any Keras model, one ``model.fit`` after the other: the engine "keras" of ``race``.

It calls ``fit`` epoch by epoch, so it works for whatever Keras can train, on batches in
the order that ``race`` gives: the measure of all other engines. A run is treated as a
stack of one, so that all engines look alike from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from initlab.race_setup import expected_retracing


def runs_in_turn(
    pairs: Sequence[tuple[Any, float]],
    optimizer: Mapping[str, Any],
    loss: Any,
    classifies: bool,
    batch_size: int,
) -> Iterator[LoopedRun]:
    """Yield the runs one after the other; finish with each before taking the next.

    Args:
        pairs: For each run its freshly built model and its learning rate. The runs of
            one model, which must be neighbours, share it: compiling costs seconds.
        optimizer: A serialized Keras optimizer.
        loss: Name of a Keras loss, or a Keras loss object.
        classifies: Whether accuracy is measured.
        batch_size: Samples per step.
    """
    import keras

    compiled = None
    for model, learning_rate in pairs:
        if model is not compiled:
            compiled = model
            model.compile(
                optimizer=keras.optimizers.deserialize(dict(optimizer)),
                loss=loss,
                metrics=["accuracy"] if classifies else [],
                # On CPUs XLA takes longer to compile and then trains no faster here.
                jit_compile=False,
            )
            model.optimizer.build(model.trainable_variables)
            variables = [*model.variables, *model.optimizer.variables]
            untouched = [variable.numpy() for variable in variables]
        for variable, value in zip(variables, untouched, strict=True):
            variable.assign(value)
        model.optimizer.learning_rate = learning_rate
        yield LoopedRun(model, batch_size)


class LoopedRun:
    """One run of a compiled Keras model; arrays have a leading axis of length 1."""

    def __init__(self, model: Any, batch_size: int) -> None:
        """Take the model as it is, freshly built and compiled."""
        self._model = model
        self._batch_size = batch_size

    def train_epoch(self, x: Any, y: Any, order: np.ndarray) -> dict[str, np.ndarray]:
        """Train one epoch in the given order; return the metrics of Keras's history."""
        import tensorflow as tf

        x, y = tf.constant(x), tf.constant(y)
        batches = (
            tf.data.Dataset.from_tensor_slices(order)
            .batch(self._batch_size)
            .map(lambda indices: (tf.gather(x, indices), tf.gather(y, indices)))
            .prefetch(2)
        )
        with expected_retracing():
            history = self._model.fit(batches, shuffle=False, verbose=0).history
        return {name: np.array(values) for name, values in history.items()}

    def evaluate(self, x: Any, y: Any) -> dict[str, np.ndarray]:
        """Return the metrics on data that the run does not train on."""
        with expected_retracing():
            measured = self._model.evaluate(
                x, y, batch_size=self._batch_size, verbose=0, return_dict=True
            )
        return {name: np.array([value]) for name, value in measured.items()}

    def weights(self) -> list[np.ndarray]:
        """Return the weights in Keras's order, each of shape ``(1, ...)``."""
        return [weight[None] for weight in self._model.get_weights()]
