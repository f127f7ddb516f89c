"""How the doctor runs a model: in the mode of training, and without a trace.

Everything happens in a `keras.StatelessScope`: what layers assign to their variables
(moving averages, the state of random generators) goes to the scope and vanishes with
it, so there is nothing to restore, not even after an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from initlab import keras_layers
from initlab._doctor.listener import Call, Listener, without_noise
from initlab._doctor.start_loss import StartLoss, Target

# A trial step moves a kernel by this root mean square: of the size of weights, so that
# what it brings to life is not lost in rounding.
_TRIAL_STEP = 0.01
# Keeps the gradients of float16 outputs out of its subnormal numbers.
_HALF_SCALE = 2.0**12
# Output layer, last layer of a branch, last layer of a branch within it: they may all
# start at zeros, and come to life one after the other.
_TRIALS = 3


@dataclass(frozen=True, eq=False)
class Seen:
    """What one forward and backward pass showed."""

    calls: tuple[Call, ...]
    merges: int
    start: StartLoss
    weight_gradients: list[Any]


class Passes:
    """A model, samples and a loss, ready to be run.

    Args:
        model: a built Keras model with one output.
        x: what the model is called with: tensors of `samples` rows.
        target: labels and loss.
        samples: number of samples.
    """

    def __init__(self, model: Any, x: Any, target: Target, samples: int) -> None:
        """Keep what is given."""
        self.model, self.x, self.target, self.samples = model, x, target, samples

    def run(self) -> Seen:
        """Run forward and backward once, and listen to every layer."""
        import keras
        import tensorflow as tf

        listener = Listener()
        with (
            keras.StatelessScope(collect_losses=True),
            tf.GradientTape() as tape,
            keras_layers.listening(listener),
        ):
            outputs = self._outputs()
            if not any(call.kernels for call in listener.calls):
                raise ValueError(
                    "model must have a layer whose kernel is known (Dense, Conv, "
                    f"Embedding, LSTM ...), found none in {self.model.name!r}"
                )
            calls = listener.calls
            start, loss = self.target.start(outputs, calls[-1])
            half = any(call.output.dtype == tf.float16 for call in calls)
            scale = _HALF_SCALE if half else 1.0
            scaled = loss * scale
        weights = [variable.value for variable in self.model.trainable_variables]
        at_z, at_output, at_weights = tape.gradient(
            scaled,
            [
                [call.pre_activation for call in calls],
                [call.output for call in calls],
                weights,
            ],
        )
        for call, before, after in zip(calls, at_z, at_output, strict=True):
            gradient = after if before is None else before
            if gradient is not None:
                call.gradient = tf.cast(gradient, tf.float32) / scale
        return Seen(
            tuple(calls),
            listener.merges,
            start,
            [_dense(g, w) / scale for g, w in zip(at_weights, weights, strict=True)],
        )

    def first_step(
        self, optimizer: Any, gradients: list[Any]
    ) -> tuple[dict[int, float], str]:
        """Let a copy of the optimizer step on copies of the weights.

        Returns:
            `(ratios, description)`: the norm of the step over the norm of the weights,
            by `id` of the variable, where the weights are not 0; and the optimizer's
            name with its learning rate.
        """
        import keras

        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
        copied = optimizer.from_config(optimizer.get_config())
        rate = float(keras.ops.convert_to_tensor(copied.learning_rate))
        description = f"{type(optimizer).__name__}, learning rate {rate:.3g}"
        variables = self.model.trainable_variables
        if not variables:
            return {}, description
        before = [variable.value.numpy().ravel() for variable in variables]
        slopes = [np.ravel(gradient) for gradient in gradients]
        if _is_elementwise(copied):  # then one long copy is much the fastest
            sizes = np.cumsum([each.size for each in before])[:-1]
            (step,) = _step(copied, [np.concatenate(before)], [np.concatenate(slopes)])
            steps = np.split(step, sizes)
        else:
            shapes = [tuple(variable.shape) for variable in variables]
            steps = _step(
                copied,
                [each.reshape(s) for each, s in zip(before, shapes, strict=True)],
                [each.reshape(s) for each, s in zip(slopes, shapes, strict=True)],
            )
        return {
            id(variable): float(np.linalg.norm(step) / np.linalg.norm(weights))
            for variable, weights, step in zip(variables, before, steps, strict=True)
            if weights.any()
        }, description

    def trial_steps(self) -> dict[int, Any]:
        """Return by how much a few steps of gradient descent would move each weight.

        The steps have one size for all kernels, whatever the size of the gradients.
        """
        import keras
        import tensorflow as tf

        variables = self.model.trainable_variables
        started = [tf.convert_to_tensor(variable.value) for variable in variables]
        values = started
        for _ in range(_TRIALS):
            with (
                tf.GradientTape(watch_accessed_variables=False) as tape,
                keras.StatelessScope(list(zip(variables, values, strict=True))),
                keras_layers.listening(without_noise),
            ):
                tape.watch(values)
                loss = self.target.loss(self._outputs())
            gradients = tape.gradient(loss, values)
            values = [
                value - _TRIAL_STEP * _unit(_dense(gradient, value))
                for value, gradient in zip(values, gradients, strict=True)
            ]
        return {
            id(variable): value - start
            for variable, value, start in zip(variables, values, started, strict=True)
        }

    def _outputs(self) -> Any:
        outputs = self.model(self.x, training=True)
        if isinstance(outputs, (list, tuple, dict)):
            raise ValueError(
                f"model must have one output, got {len(outputs)}: diagnose a "
                "keras.Model of the same inputs and one of the outputs"
            )
        return outputs


def _is_elementwise(optimizer: Any) -> bool:
    """Tell whether each weight's step depends on its own gradient only."""
    import keras

    kinds = keras.optimizers
    plain = (
        *(kinds.SGD, kinds.RMSprop, kinds.Adam, kinds.AdamW, kinds.Nadam),
        *(kinds.Adamax, kinds.Adagrad, kinds.Adadelta, kinds.Ftrl, kinds.Lion),
    )
    return type(optimizer) in plain and optimizer.clipnorm is None


def _step(
    optimizer: Any, weights: list[np.ndarray], gradients: list[np.ndarray]
) -> list[np.ndarray]:
    """Return by how much the optimizer would move these weights at once."""
    import keras

    copies = [keras.Variable(each) for each in weights]
    optimizer.build(copies)
    optimizer.apply([keras.ops.convert_to_tensor(each) for each in gradients], copies)
    return [
        copy.value.numpy() - each for copy, each in zip(copies, weights, strict=True)
    ]


def _dense(gradient: Any, like: Any) -> Any:
    """Return a gradient as a tensor: zeros for none, a lookup's rows put in place."""
    import tensorflow as tf

    return tf.zeros_like(like) if gradient is None else tf.convert_to_tensor(gradient)


def _unit(gradient: Any) -> Any:
    """Return a gradient scaled to root mean square 1; zeros stay zeros."""
    import tensorflow as tf

    size = tf.sqrt(tf.reduce_mean(tf.square(gradient)))
    return tf.math.divide_no_nan(gradient, size)
