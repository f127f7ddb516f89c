"""Any Keras model, whole epochs at a time: the engines "graph" and "xla" of ``race``.

The step is Keras's own ``train_step``, so a run is the run that ``model.fit`` would do
on the same batches. What is saved is the way from batch to batch: an epoch is one
TensorFlow graph, and models that differ in their numbers only are traced once. "xla"
compiles the step besides; :func:`xla_pays` says where that is worth it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from initlab.race_setup import expected_retracing

EVALUATION_BATCH = 256
_SLOW_IN_XLA = re.compile(r"Conv|^(Max|Average|Adaptive\w*)Pooling")
_DRAWN = ("initializer", "seed")
_UNIQUE = "only "


def xla_pays(model: Any) -> bool:
    """Tell whether compiling the step is faster than running it as it is, on a CPU.

    So it measures (``python -m benchmarks.engines``) for all models but those with
    convolutions or pooling windows. Models with layers that are not Keras's own may not
    compile at all, and dropout would draw other numbers than in ``fit``: they are left
    alone. On a GPU nothing has been measured.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return False
    return all(
        type(layer).__module__.startswith("keras.")
        and layer.supports_jit
        and not _SLOW_IN_XLA.search(type(layer).__name__)
        and not _draws(layer)
        for layer in model._flatten_layers()
    )


def may_draw(model: Any) -> bool:
    """Tell whether random numbers may be drawn while a model is trained.

    Dropout and noise draw them; what Keras cannot describe in full might.
    """
    unknown = structure(model).startswith(_UNIQUE)
    return unknown or any(map(_draws, model._flatten_layers()))


class Graphs:
    """Trains one run after the other; keeps what is traced for all seeds of a race.

    Args:
        optimizer: A serialized Keras optimizer.
        loss: Name of a Keras loss, or a Keras loss object.
        classifies: Whether accuracy is measured.
        batch_size: Samples per step.
        xla: Compile the step with XLA.
    """

    def __init__(
        self,
        optimizer: Mapping[str, Any],
        loss: Any,
        classifies: bool,
        batch_size: int,
        xla: bool,
    ) -> None:
        """Remember how models are to be compiled."""
        self._settings = (optimizer, loss, classifies, batch_size, xla)
        self._graphs: dict[str, Graph] = {}

    def runs_in_turn(self, pairs: Sequence[tuple[Any, float]]) -> Iterator[CompiledRun]:
        """Yield the runs of models and learning rates; finish with each one first."""
        for model, learning_rate in pairs:
            key = structure(model)
            values = [variable.numpy() for variable in model.variables]
            if key not in self._graphs:
                self._forget_the_unique()
                self._graphs[key] = Graph(model, *self._settings)
            graph = self._graphs[key]
            if graph.model is model:  # it has been trained since
                values = graph.original
            yield CompiledRun(graph, values, learning_rate)

    def _forget_the_unique(self) -> None:
        """Let go of graphs that no later model can use."""
        for key in [key for key in self._graphs if key.startswith(_UNIQUE)]:
            del self._graphs[key]


class Graph:
    """One compiled model, and the graphs of its epochs and evaluations."""

    def __init__(
        self,
        model: Any,
        optimizer: Mapping[str, Any],
        loss: Any,
        classifies: bool,
        batch_size: int,
        xla: bool,
    ) -> None:
        """Compile the model as ``fit`` would; graphs are made when they are needed."""
        import keras
        import tensorflow as tf

        model.compile(
            optimizer=keras.optimizers.deserialize(dict(optimizer)),
            loss=loss,
            metrics=["accuracy"] if classifies else [],
            jit_compile=False,
        )
        model.optimizer.build(model.trainable_variables)
        self.model = model
        self.original = [variable.numpy() for variable in model.variables]
        self._variables = [*model.variables, *model.optimizer.variables]
        self._untouched = [variable.numpy() for variable in self._variables]
        self._batch_size = batch_size
        # As functions of their own, so that layers are traced as `fit` traces them.
        self._steps = {
            "train": tf.function(model.train_step, jit_compile=xla),
            "test": tf.function(model.test_step, jit_compile=xla),
        }
        self._graphs: dict[Any, Any] = {}

    def start(self, values: Sequence[np.ndarray], learning_rate: float) -> None:
        """Put the model where a run begins, and its optimizer where every run does."""
        rest = self._untouched[len(values) :]
        for variable, value in zip(self._variables, [*values, *rest], strict=True):
            variable.assign(value)
        self.model.optimizer.learning_rate = learning_rate

    def train_epoch(self, x: Any, y: Any, order: np.ndarray) -> dict[str, float]:
        """Train on all samples in the given order; return the means of the epoch."""
        return self._run("train", x, y, order, self._batch_size)

    def evaluate(self, x: Any, y: Any) -> dict[str, float]:
        """Return the metrics on some samples."""
        order = np.arange(len(x), dtype=np.int32)
        return self._run("test", x, y, order, EVALUATION_BATCH)

    def _run(
        self, what: str, x: Any, y: Any, order: np.ndarray, size: int
    ) -> dict[str, float]:
        import tensorflow as tf

        x, y, order = (tf.convert_to_tensor(array) for array in (x, y, order))
        key = (what, x.dtype, *x.shape, y.dtype, *y.shape, *order.shape)
        with expected_retracing():
            if not self._graphs:
                self._let_keras_make_its_metrics(x[:1], y[:1])
            if key not in self._graphs:
                function = tf.function(self._epoch, autograph=False)
                self._graphs[key] = function.get_concrete_function(
                    what, x, y, order, size
                )
            self.model.reset_metrics()
            self._graphs[key](x, y, order)
        metrics = self.model.get_metrics_result()
        return {name: float(value) for name, value in metrics.items()}

    def _epoch(self, what: str, x: Any, y: Any, order: Any, size: int) -> Any:
        """Take all batches in turn, the smaller rest last."""
        import tensorflow as tf

        full, rest = divmod(order.shape[0], size)

        def take(indices: Any) -> None:
            self._steps[what]((tf.gather(x, indices), tf.gather(y, indices)))

        def take_next(batch: Any) -> Any:
            take(tf.slice(order, [batch * size], [size]))
            return batch + 1

        done = tf.constant(0)
        if full:
            done = tf.while_loop(lambda batch: batch < full, take_next, [done])
        if rest:
            take(order[full * size :])
        return done

    def _let_keras_make_its_metrics(self, x: Any, y: Any) -> None:
        """Take one step on one sample and undo it: inside a graph it is too late."""
        before = [variable.numpy() for variable in self._variables]
        self.model.train_step((x, y))
        for variable, value in zip(self._variables, before, strict=True):
            variable.assign(value)


class CompiledRun:
    """One run on a compiled graph; arrays have a leading axis of length 1."""

    def __init__(
        self, graph: Graph, values: Sequence[np.ndarray], learning_rate: float
    ) -> None:
        """Put the graph's model where this run begins."""
        self._graph = graph
        graph.start(values, learning_rate)

    def train_epoch(self, x: Any, y: Any, order: np.ndarray) -> dict[str, np.ndarray]:
        """Train one epoch in the given order; return the metrics of Keras's history."""
        return _as_stack(self._graph.train_epoch(x, y, order))

    def evaluate(self, x: Any, y: Any) -> dict[str, np.ndarray]:
        """Return the metrics on data that the run does not train on."""
        return _as_stack(self._graph.evaluate(x, y))

    def weights(self) -> list[np.ndarray]:
        """Return the weights in Keras's order, each of shape ``(1, ...)``."""
        return [weight[None] for weight in self._graph.model.get_weights()]


def structure(model: Any) -> str:
    """Return a text that is the same for models that differ in their numbers only.

    Names count by their place, initializers and seeds not at all. What Keras cannot
    describe in full (layers and functions of one's own) is like nothing else.
    """
    layers = model._flatten_layers()
    if not all(type(each).__module__.startswith("keras.") for each in layers):
        return f"{_UNIQUE}{id(model)}"
    names: dict[str, str] = {}

    def plain(value: Any, key: str = "") -> Any:
        if isinstance(value, Mapping):
            kept = {k: v for k, v in value.items() if not k.endswith(_DRAWN)}
            return {k: plain(v, k) for k, v in kept.items()}
        if isinstance(value, (list, tuple)):
            return [plain(each, "name in a list") for each in value]
        if isinstance(value, str):
            if key == "name":
                return names.setdefault(value, f"#{len(names)}")
            return names.get(value, value) if key == "name in a list" else value
        return value

    text = json.dumps(plain(model.get_config()), sort_keys=True, default=str)
    described = '"function"' not in text and '"Lambda"' not in text
    return text if described else f"{_UNIQUE}{id(model)}"


def _draws(layer: Any) -> bool:
    """Tell whether a layer draws random numbers; recurrent cells can, but seldom do."""
    rates = [getattr(layer, name, None) for name in ("dropout", "recurrent_dropout")]
    never = all(rate == 0 for rate in rates)
    return getattr(layer, "seed_generator", None) is not None and not never


def _as_stack(metrics: Mapping[str, float]) -> dict[str, np.ndarray]:
    return {name: np.array([value]) for name, value in metrics.items()}
