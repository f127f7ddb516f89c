"""The loss before the first step, and what it is made of.

A model that knows nothing yet should lose what a constant prediction loses. `Target`
holds labels and loss (given, compiled or guessed); `StartLoss` is what was measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from initlab import keras_layers, race_setup
from initlab._doctor.listener import Call

# Keras's own clipping of probabilities before the logarithm.
_CLIP = 1e-7
_SQUASHING = ("softmax", "sigmoid")


@dataclass(frozen=True, eq=False)
class StartLoss:
    r"""The loss of the samples before any step, taken apart.

    Attributes:
        name: name of the loss.
        guessed: whether the doctor had to guess it.
        kind: "classes" (one of C), "yes or no" (each output), "numbers", or "unknown"
            for a function of labels and outputs of different shapes, which cannot be
            taken apart: all losses below are then its value.
        value: mean loss of the samples.
        constant: loss of the best constant prediction: the entropy of the labels' base
            rates, or the loss of their mean (or median, if that is less).
        chance: $\ln C$, the loss of equal probabilities; `None` for numbers.
        from_zero: loss of all outputs (logits) at 0.
        from_bias: loss of the model's mean output, as a constant prediction.
        from_outputs: loss of the outputs themselves; for classes the cross-entropy in
            nats, whatever the loss adds to it.
        output_rms: root mean square of the outputs; for probabilities that of their
            logits, without what is common to all classes.
        best_bias: what the output bias should be, one number per output.
        most_frequent: share of the most frequent label; `None` for numbers.
        mismatch: "not squashed" (logits where the loss wants probabilities), "squashed
            twice", "squashed, and noticed" (Keras found the logits) or empty.
    """

    name: str
    guessed: bool
    kind: str
    value: float
    constant: float
    chance: float | None
    from_zero: float
    from_bias: float
    from_outputs: float
    output_rms: float
    best_bias: np.ndarray
    most_frequent: float | None
    mismatch: str


class Target:
    """Labels, and the loss that compares outputs with them.

    Args:
        y: labels of the measured samples.
        every_y: labels of all samples, from which base rates are taken.
        loss: a Keras loss, its name, a function, or None to guess one.
    """

    def __init__(self, y: np.ndarray, every_y: np.ndarray, loss: Any) -> None:
        """Keep labels and loss; they are checked when the outputs are known."""
        self.y, self.every_y, self._given = y, every_y, loss
        self._function: Any = None

    def start(self, outputs: Any, last: Call) -> tuple[StartLoss, Any]:
        """Return what the first outputs show, and the loss as a tensor.

        Args:
            outputs: the model's outputs, (samples, …).
            last: the last layer that was called.
        """
        import keras

        values = np.asarray(outputs, np.float64)
        activation = _activation(last.layer) if last.output is outputs else ""
        squashed = _is_squashed(values, activation)
        loss = self._given if self._given is not None else self._guess(values, squashed)
        name, _ = race_setup.describe_loss(loss)
        self._fit(name, values.shape)
        self._function = keras.losses.get(loss)
        tensor = self.loss(outputs)
        kind = _kind(name, same_shape=self.y.shape == values.shape)
        mismatch = ""
        if kind == "unknown":
            parts = _untaken(values, float(tensor))
        elif kind == "numbers":
            parts = self._numbers(values)
        else:
            logits = values
            if activation in _SQUASHING:
                logits = np.asarray(last.pre_activation, np.float64)
            elif squashed:
                logits = _logits(values, kind)
            truth = _truth(self.y, values.shape[-1], kind)
            parts = _classes(logits, self._rates(kind, values.shape), truth, kind)
            if not squashed and not _from_logits(loss):
                mismatch = "not squashed"
            elif squashed and _from_logits(loss):
                # Keras looks for the logits before the last softmax, and may find them.
                right, wrong = (_loss(each, truth, kind) for each in (logits, values))
                found = abs(float(tensor) - right) < abs(float(tensor) - wrong)
                mismatch = "squashed, and noticed" if found else "squashed twice"
            if activation in _SQUASHING and _sums_to_one(logits):
                mismatch = "squashed twice"
        return (
            StartLoss(
                name=name,
                guessed=self._given is None,
                kind=kind,
                value=float(tensor),
                mismatch=mismatch,
                **parts,
            ),
            tensor,
        )

    def loss(self, outputs: Any) -> Any:
        """Return the mean loss of the samples, a tensor."""
        import tensorflow as tf

        outputs = tf.cast(outputs, tf.float32)
        return tf.reduce_mean(self._function(tf.convert_to_tensor(self.y), outputs))

    def _guess(self, outputs: np.ndarray, squashed: bool) -> Any:
        """Take the loss that labels of this kind usually go with."""
        import keras

        y, units = self.every_y, outputs.shape[-1]
        whole = bool((y == np.round(y)).all())
        options = {"from_logits": not squashed}
        as_outputs = y.shape[1:] == outputs.shape[1:]
        if as_outputs and squashed and units > 1 and np.allclose(y.sum(-1), 1):
            return keras.losses.CategoricalCrossentropy(**options)
        one = as_outputs or (y.ndim == 1 and outputs.shape[1:] == (1,))
        if one and whole and y.min() >= 0 and y.max() == 1:
            if units > 1 and (y.sum(-1) == 1).all():
                return keras.losses.CategoricalCrossentropy(**options)
            return keras.losses.BinaryCrossentropy(**options)
        classes = y.shape[1:] in ((), (1,)) or y.shape[1:] == outputs.shape[1:-1]
        if classes and units > 1 and whole and y.min() >= 0 and y.max() < units:
            return keras.losses.SparseCategoricalCrossentropy(**options)
        return keras.losses.MeanSquaredError()

    def _fit(self, name: str, shape: tuple[int, ...]) -> None:
        """Bring the labels into the shape that the loss wants."""
        import keras

        of_keras = hasattr(keras.losses, name)
        column = self.y.ndim == 1 and shape[1:] == (1,)
        if not (of_keras or column or self.y.shape[1:] == shape[1:]):
            return  # a function of the user's may take any labels
        wanted = (None, *shape[1:])
        self.y = race_setup.fit_labels("y", self.y, wanted, name)
        self.every_y = race_setup.fit_labels("y", self.every_y, wanted, name)

    def _rates(self, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return how frequent each class is: (classes,), or per output the ones."""
        y, units = self.every_y, shape[-1]
        if kind == "yes or no":
            return y.reshape(-1, units).mean(axis=0)
        if y.dtype == np.int32:
            return np.bincount(y.ravel(), minlength=units) / y.size
        return y.reshape(-1, units).mean(axis=0)

    def _numbers(self, outputs: np.ndarray) -> dict[str, Any]:
        y = np.asarray(self.y, np.float64)
        mean = outputs.mean(axis=0)
        everything = np.asarray(self.every_y, np.float64)
        candidates = [everything.mean(axis=0), np.median(everything, axis=0)]
        losses = [
            float(self.loss(np.broadcast_to(each, y.shape))) for each in candidates
        ]
        best = candidates[int(np.argmin(losses))]
        return {
            "constant": min(losses),
            "chance": None,
            "from_zero": float(self.loss(np.zeros_like(outputs))),
            "from_bias": float(self.loss(np.broadcast_to(mean, outputs.shape))),
            "from_outputs": float(self.loss(outputs)),
            "output_rms": float(np.sqrt(np.mean(outputs**2))),
            "best_bias": best,
            "most_frequent": None,
        }


def _kind(name: str, same_shape: bool) -> str:
    if "categorical" in name and "crossentropy" in name:
        return "classes"
    if name == "binary_crossentropy":
        return "yes or no"
    return "numbers" if same_shape else "unknown"


def _untaken(outputs: np.ndarray, value: float) -> dict[str, Any]:
    """Return the parts of a loss that cannot be taken apart."""
    names = ("constant", "from_zero", "from_bias", "from_outputs")
    return {
        **dict.fromkeys(names, value),
        "chance": None,
        "output_rms": float(np.sqrt(np.mean(outputs**2))),
        "best_bias": np.zeros(0),
        "most_frequent": None,
    }


def _from_logits(loss: Any) -> bool:
    """Return what the loss was told; a name or a function was told nothing."""
    try:
        return bool(loss.get_config().get("from_logits", False))
    except AttributeError:
        return False


def _activation(layer: Any) -> str:
    """Return the name of a layer's activation; "softmax" for a layer of that kind."""
    import keras

    layer = keras_layers.core(layer)
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", "")


def _is_squashed(outputs: np.ndarray, activation: str) -> bool:
    """Tell whether outputs are probabilities: by what made them, or by their values."""
    if activation in _SQUASHING:
        return True
    between = bool(((outputs >= 0) & (outputs <= 1)).all())
    return between and (activation != "linear" or _sums_to_one(outputs))


def _sums_to_one(outputs: np.ndarray) -> bool:
    if outputs.ndim < 2 or outputs.shape[-1] == 1 or not np.isfinite(outputs).all():
        return False
    sums = outputs.sum(axis=-1)
    return bool((outputs >= 0).all() and np.allclose(sums, 1, atol=1e-3))


def _logits(probabilities: np.ndarray, kind: str) -> np.ndarray:
    p = np.clip(probabilities, _CLIP, 1 - _CLIP)
    return np.log(p) if kind == "classes" else np.log(p) - np.log1p(-p)


def _truth(y: np.ndarray, units: int, kind: str) -> np.ndarray:
    """Return class numbers, (n,), or answers, (n, units)."""
    if y.dtype == np.int32:
        return y.ravel()
    answers = y.reshape(-1, units)
    return answers.argmax(axis=-1) if kind == "classes" else answers


def _classes(
    logits: np.ndarray, rates: np.ndarray, truth: np.ndarray, kind: str
) -> dict[str, Any]:
    """Take a cross-entropy apart, from logits."""
    units = logits.shape[-1]
    logits = logits.reshape(-1, units)
    if kind == "classes":
        entropy = -np.sum(rates * np.log(np.maximum(rates, _CLIP)))
        best = np.log(np.maximum(rates, _CLIP))
        best = best - best.max()
        chance, most = math.log(units), rates.max()
    else:
        both = np.stack([rates, 1 - rates])
        entropy = -np.sum(both * np.log(np.maximum(both, _CLIP))) / units
        p = np.clip(rates, _CLIP, 1 - _CLIP)
        best = np.log(p) - np.log1p(-p)
        chance, most = math.log(2), both.max(axis=0).mean()
    if kind == "classes":  # which a softmax does not see
        logits = logits - logits.mean(axis=-1, keepdims=True)
    mean = logits.mean(axis=0)
    return {
        "constant": float(entropy),
        "chance": chance,
        "from_zero": chance,
        "from_bias": _constant_loss(mean, rates, kind),
        "from_outputs": _loss(logits, truth, kind),
        "output_rms": float(np.sqrt(np.mean(logits**2))),
        "best_bias": best,
        "most_frequent": float(most),
    }


def _constant_loss(logits: np.ndarray, rates: np.ndarray, kind: str) -> float:
    """Return the mean loss of one vector of logits for all samples."""
    if kind == "classes":
        return float(_log_sum(logits) - np.sum(rates * logits))
    return float(np.mean(np.logaddexp(0, logits) - rates * logits))


def _loss(logits: np.ndarray, truth: np.ndarray, kind: str) -> float:
    """Return the cross-entropy of logits."""
    logits = logits.reshape(-1, logits.shape[-1])
    if kind == "classes":
        return float(np.mean(_log_sum(logits) - logits[np.arange(len(logits)), truth]))
    return float(np.mean(np.logaddexp(0, logits) - truth * logits))


def _log_sum(logits: np.ndarray) -> np.ndarray:
    largest = logits.max(axis=-1)
    return largest + np.log(np.exp(logits - largest[..., None]).sum(axis=-1))
