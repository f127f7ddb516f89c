"""Many small networks trained as one compiled program: the fast engine of ``race``.

The runs of one seed see the same batches, so their first layers are one wide matrix
product on a shared batch; every later layer is a batched product with the runs as its
leading axis (module ``stack_layers``). Whole epochs are compiled by XLA.
:class:`StackedRuns` holds the runs of one seed, :class:`Program` says how an epoch is
trained. Layers, losses and metrics are Keras's own functions and the optimizers follow
its update rules, so a stacked run is the run that ``model.fit`` would do on the same
batches.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from initlab import stack_optimizers
from initlab.stack_layers import forward
from initlab.stack_plan import Plan

EVALUATION_CHUNK = 1024
# By whether the model is recurrent: then a batch has many steps, and small ones stay in
# the processor's cache.
EVALUATION_BATCH = {False: EVALUATION_CHUNK, True: 32}


@functools.lru_cache(maxsize=8)
def program(plan: Plan) -> Program:
    """Return the compiled program of a plan: compiling takes longer than an epoch."""
    return Program(plan)


class Program:
    """One epoch of training, and an evaluation, for a stack of equal networks.

    Weights are lists in Keras's order. The first, a kernel or a table, has shape
    ``(fan_in, runs, units)``, so that flattening its last two axes gives a wide matrix;
    every other one has the runs as its leading axis.
    """

    def __init__(self, plan: Plan) -> None:
        """Build the layers of ``plan``; XLA compiles when shapes come up first."""
        import tensorflow as tf

        self._tf = tf
        self._plan = plan
        self._layers = [_rebuild(name, config) for name, config in plan.layers]
        self._sample_losses = _sample_losses(plan.loss)
        self._is_recurrent = any(name == "SimpleRNN" for name, _ in plan.layers)
        self._compiled: dict[Any, Callable[..., Any]] = {}

    def train_epoch(self, *arguments: Any) -> Any:
        """Train on all samples once: see :meth:`_train_epoch` for the arguments."""
        return self._run(self._train_epoch, *arguments)

    def evaluate(self, *arguments: Any) -> Any:
        """Return sums over some samples: see :meth:`_evaluate` for the arguments."""
        return self._run(self._evaluate, *arguments)

    def _run(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call a method compiled for exactly these shapes.

        Concrete functions, kept by us, because a plain ``tf.function`` warns when it
        meets several shapes, and every data set has its own.
        """
        tf = self._tf
        flat = tf.nest.flatten(arguments)
        key = (method.__name__, *((each.dtype, tuple(each.shape)) for each in flat))
        if key not in self._compiled:
            # Autograph would rewrite the methods for nothing: their loops are explicit.
            function = tf.function(method, jit_compile=True, autograph=False)
            self._compiled[key] = function.get_concrete_function(*arguments)
        return self._compiled[key](*arguments)

    def _measure(self, outputs: Any, labels: Any) -> list[Any]:
        """Return loss and hits of every sample, each of shape ``(runs, samples)``."""
        import keras

        tf = self._tf
        labels = tf.cast(labels, "float32")
        labels = tf.broadcast_to(labels[None], (outputs.shape[0], *labels.shape))
        losses = self._sample_losses(labels, outputs)
        if not self._plan.classifies:
            hits = tf.zeros_like(losses)
        elif outputs.shape[-1] == 1:
            hits = keras.metrics.binary_accuracy(labels, outputs)
        elif labels.shape.rank < outputs.shape.rank:
            hits = keras.metrics.sparse_categorical_accuracy(labels, outputs)
        else:
            same = tf.equal(tf.argmax(labels, -1), tf.argmax(outputs, -1))
            hits = tf.cast(same, "float32")
        return [
            tf.reduce_mean(values, axis=list(range(2, values.shape.rank)))
            for values in (losses, hits)
        ]

    def _step(
        self, state: tuple[Any, ...], images: Any, labels: Any, rates: Any
    ) -> tuple[tuple[Any, ...], Any, Any]:
        tf = self._tf
        weights, slots, step = state
        with tf.GradientTape() as tape:
            tape.watch(weights)
            measured = self._measure(forward(self._layers, weights, images), labels)
            loss, accuracy = (tf.reduce_mean(values, axis=1) for values in measured)
            total = tf.reduce_sum(loss)  # the runs share no weight: one gradient each
        gradients = tape.gradient(total, weights)
        step += 1
        name, options = self._plan.optimizer
        sizes = stack_optimizers.step_sizes(name, dict(options), rates, step)
        update = functools.partial(stack_optimizers.RULES[name], dict(options))
        # The runs are the axis before the units in a bias and in the first weight, and
        # the one before that in every other kernel.
        of_biases, of_kernels = sizes[:, None], sizes[:, None, None]
        new_weights, new_slots = [], []
        for weight, gradient, slot in zip(weights, gradients, slots, strict=True):
            kernel = weight.shape.rank == 3 and weight is not weights[0]
            size = of_kernels if kernel else of_biases
            weight, slot = update(weight, gradient, slot, size)
            new_weights.append(weight)
            new_slots.append(slot)
        return (new_weights, new_slots, step), loss, accuracy

    def slots(self, weights: list[Any]) -> list[list[Any]]:
        """Return the optimizer's variables at the start of training."""
        name, options = self._plan.optimizer
        return stack_optimizers.slots(name, dict(options), weights)

    def _train_epoch(
        self, state: tuple[Any, ...], images: Any, labels: Any, order: Any, rates: Any
    ) -> tuple[tuple[Any, ...], Any, Any]:
        """Train on all samples in the given order; return means as Keras's history.

        The means are those of the batches, weighted by their sizes: the last batch may
        be smaller.
        """
        tf = self._tf
        samples, size = order.shape[0], self._plan.batch_size
        full, rest = divmod(samples, size)

        def train(indices: Any, carried: tuple[Any, ...]) -> tuple[Any, ...]:
            state, loss_sum, hit_sum = carried
            state, loss, accuracy = self._step(
                state, tf.gather(images, indices), tf.gather(labels, indices), rates
            )
            weight = indices.shape[0]
            return state, loss_sum + loss * weight, hit_sum + accuracy * weight

        def train_next(batch: Any, *carried: Any) -> tuple[Any, ...]:
            return batch + 1, *train(tf.slice(order, [batch * size], [size]), carried)

        zeros = tf.zeros_like(rates)
        carried = (state, zeros, zeros)
        if full:
            first = (tf.constant(0), *carried)
            carried = tf.while_loop(lambda b, *_: b < full, train_next, first)[1:]
        if rest:
            carried = train(order[full * size :], carried)
        state, loss_sum, hit_sum = carried
        return state, loss_sum / samples, hit_sum / samples

    def _evaluate(self, weights: list[Any], images: Any, labels: Any, real: Any) -> Any:
        """Return each run's sums of loss and hits over the samples that are real.

        ``real`` is 1 for a sample and 0 for one that only fills up, so that one
        compiled shape serves data of every size.
        """
        tf = self._tf
        samples = images.shape[0]
        size = EVALUATION_BATCH[self._is_recurrent]

        def add(batch: Any, *sums: Any) -> tuple[Any, ...]:
            def here(array: Any) -> Any:
                start = [batch * size] + [0] * (array.shape.rank - 1)
                return tf.slice(array, start, [size, *array.shape[1:]])

            outputs = forward(self._layers, weights, here(images))
            measured = self._measure(outputs, here(labels))
            counted = [tf.where(here(real) > 0, values, 0.0) for values in measured]
            sums = map(tf.add, sums, (tf.reduce_sum(each, axis=1) for each in counted))
            return batch + 1, *sums

        zeros = tf.zeros([weights[-1].shape[0]])
        return tf.while_loop(
            lambda batch, *_: batch < samples // size,
            add,
            (tf.constant(0), zeros, zeros),
        )[1:]


def _rebuild(name: str, config: str) -> Any:
    import keras

    return getattr(keras.layers, name).from_config(json.loads(config))


def _sample_losses(description: str) -> Any:
    """Return the Keras loss as a function of labels and outputs, without its mean."""
    import keras

    loss = keras.losses.get(json.loads(description))
    return loss if inspect.isfunction(loss) else loss.call


class StackedRuns:
    """The runs of one seed: same batches, each with its own weights and rate.

    Args:
        plan: What all of them have in common.
        runs: For each run its freshly built model and its learning rate.
    """

    def __init__(self, plan: Plan, runs: Sequence[tuple[Any, float]]) -> None:
        """Stack the weights of all runs on the axis that :class:`Program` wants."""
        import tensorflow as tf

        self._metrics = ("loss", "accuracy") if plan.classifies else ("loss",)
        self._program = program(plan)
        weights = zip(*(model.get_weights() for model, _ in runs), strict=True)
        self._weights = [
            tf.constant(np.stack(each, axis=1 if place == 0 else 0))
            for place, each in enumerate(weights)
        ]
        self._rates = tf.constant([rate for _, rate in runs], "float32")
        self._slots = self._program.slots(self._weights)
        self._step = tf.constant(0.0)

    def train_epoch(self, x: Any, y: Any, order: np.ndarray) -> dict[str, np.ndarray]:
        """Train one epoch in the given order; return the metrics of each run."""
        state = (self._weights, self._slots, self._step)
        state, *measured = self._program.train_epoch(
            state, *_tensors(x, y, order), self._rates
        )
        self._weights, self._slots, self._step = state
        return self._name(measured)

    def evaluate(self, x: Any, y: Any) -> dict[str, np.ndarray]:
        """Return each run's metrics on data that the runs do not train on."""
        sums = 0.0
        for start in range(0, len(x), EVALUATION_CHUNK):
            part = [array[start : start + EVALUATION_CHUNK] for array in (x, y)]
            missing = EVALUATION_CHUNK - len(part[0])
            real = np.ones(len(part[0]), np.float32)
            padded = [
                np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
                for array in (*part, real)
            ]
            measured = self._program.evaluate(self._weights, *_tensors(*padded))
            sums += np.array(measured, dtype=float)
        return self._name(sums / len(x))

    def weights(self) -> list[np.ndarray]:
        """Return the weights in Keras's order, each of shape ``(runs, ...)``."""
        first, *others = (weight.numpy() for weight in self._weights)
        return [np.moveaxis(first, 1, 0), *others]

    def _name(self, measured: Sequence[Any]) -> dict[str, np.ndarray]:
        return {
            name: np.array(measured[place]) for place, name in enumerate(self._metrics)
        }


def _tensors(*arrays: np.ndarray) -> list[Any]:
    import tensorflow as tf

    return [tf.constant(array) for array in arrays]
