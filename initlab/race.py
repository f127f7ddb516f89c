"""Race initializers: train one model from each, over seeds, and keep every curve.

:func:`race` is the whole of it; its result is a ``Race`` (module ``race_result``). What
a seed decides is public (``race_seeds``), so that a run can be repeated by hand. Chains
of Dense layers are trained all at once by a compiled program (``stacked``), everything
else by Keras's own ``fit`` (``looped``): same batches, same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from initlab import looped, race_setup, stacked
from initlab.race_result import CURVES, ENDS, Race
from initlab.race_seeds import (
    InitializerMaker,
    epoch_order,
    initializer_functions,
    seeded,
)
from initlab.stack_plan import NotStackable, Plan, make_plan

__all__ = ["InitializerMaker", "Race", "epoch_order", "race"]

ENGINES = ("auto", "stacked", "keras")


def race(
    build: Callable[[InitializerMaker], Any],
    data: Any,
    initializers: Mapping[str, Any] | Sequence[str],
    *,
    seeds: int | Sequence[int] = 5,
    learning_rates: float | Sequence[float] = (0.001,),
    optimizer: Any = "adam",
    epochs: int = 5,
    batch_size: int = 32,
    validation_split: float = 0.2,
    loss: Any = "sparse_categorical_crossentropy",
    test_data: tuple[Any, Any] | None = None,
    engine: str = "auto",
    keep_weights: bool = False,
    progress: bool | str = True,
) -> Race:
    """Train a model from every initializer, seed and learning rate.

    One seed means one data order for all its runs, and the same draw for every layer
    that does not ask the maker, so initializers can be compared in pairs::

        def network(initializer):
            return keras.Sequential([
                keras.Input((28, 28)),
                keras.layers.Rescaling(1 / 255),
                keras.layers.Flatten(),
                keras.layers.Dense(128, "relu", kernel_initializer=initializer()),
                keras.layers.Dense(10, "softmax"),
            ])

        data = lab.load("fashion_mnist")
        result = race(network, data, ["glorot_normal", "he_normal"])
        result.paired("he_normal", "glorot_normal", "val_accuracy")

    Args:
        build: Called as ``build(initializer)``; returns an uncompiled Keras model.
            Each call ``initializer()`` makes a fresh Keras initializer with a seed of
            its own: call it once for each layer it is meant for. Also has ``.name``
            and ``.seed``.
        data: ``(x, y)`` arrays, or what ``load`` gives: then ``test_data`` is its test
            part unless given. Images may stay uint8; rescale them inside the model.
        initializers: Names, or a mapping from your names to a scheme, the name of a
            scheme or of a Keras initializer, a Keras initializer, or a function that
            takes a seed and returns one.
        seeds: How many (then 0, 1, ...), or which ones.
        learning_rates: One or several; each initializer is trained with each.
        optimizer: A Keras name or optimizer; its own learning rate is not used.
        epochs: Passes over the training samples.
        batch_size: Samples per step; the last batch of an epoch may be smaller.
        validation_split: Fraction of the samples, the last ones, kept for validation,
            as in ``model.fit``; 0 for none.
        loss: A Keras name or loss object. Accuracy is measured for crossentropies.
        test_data: ``(x, y)``, measured once, after the last epoch.
        engine: ``"stacked"``: all runs of a seed in one compiled program; an error says
            why if that is impossible. ``"keras"``: one ``fit`` after the other.
            ``"auto"``: stacked wherever it gives the same numbers.
        keep_weights: Keep the weights of all runs before and after training.
        progress: Show a bar, if tqdm is there and stderr is a terminal;
            ``"notebook"`` for a bar in a notebook, where there is none otherwise.

    Returns:
        A ``Race`` with all curves. Diverged runs are in it, marked.

    Raises:
        ValueError: If an argument, the model or the data cannot be used; the message
            names it, what came and what is allowed.

    Note:
        Python's and numpy's random states are as before afterwards; Keras's seed is
        the one of the last run.
    """
    started = time.perf_counter()
    race_setup.check_backend()
    race_setup.check_whole_number("epochs", epochs)
    race_setup.check_whole_number("batch_size", batch_size)
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    x, y, test = race_setup.arrays(data, test_data)
    seeds = race_setup.seed_numbers(seeds)
    loss_name, classifies = race_setup.describe_loss(loss)
    with seeded(seeds[0]):  # what Keras draws while we build is undone afterwards
        job = _Job(
            build=build,
            initializers=initializer_functions(initializers),
            learning_rates=race_setup.rates(learning_rates),
            optimizer=race_setup.optimizer_config(optimizer),
            loss=loss,
            classifies=classifies,
            epochs=epochs,
            batch_size=batch_size,
            input_shape=x.shape[1:],
            keep_weights=keep_weights,
        )
        models = {name: job.model(name, seeds[0]) for name in job.initializers}
        outputs = next(iter(models.values())).output_shape
        y = race_setup.fit_labels("y", y, outputs, loss_name)
        train, validation = race_setup.split(x, y, validation_split)
        if test is not None:
            test = test[0], race_setup.fit_labels("test y", test[1], outputs, loss_name)
        plan = (
            None
            if engine == "keras"
            else _plan(job, models, insist=engine == "stacked")
        )
        settings = {
            "epochs": epochs,
            "batch_size": batch_size,
            "optimizer": job.optimizer["class_name"],
            "loss": loss_name,
            "training_samples": len(train[0]),
            "validation_samples": len(validation[0]) if validation else 0,
            "test_samples": len(test[0]) if test else 0,
            "engine": "stacked" if plan else "keras",
        }
        job = replace(
            job,
            train=train,
            validation=validation,
            test=test,
            plan=plan,
            settings=settings,
        )
        with race_setup.progress_bar(len(seeds) * job.stages, progress) as advance:
            races = [_race_one_seed(job, seed, advance) for seed in seeds]
    return replace(Race.join(races), seconds=time.perf_counter() - started)


@dataclass(frozen=True)
class _Job:
    """What the runs of all seeds have in common: all that a worker would be sent."""

    build: Callable[[InitializerMaker], Any]
    initializers: Mapping[str, Callable[[int], Any]]
    learning_rates: tuple[float, ...]
    optimizer: Mapping[str, Any]
    loss: Any
    classifies: bool
    epochs: int
    batch_size: int
    input_shape: tuple[int, ...]
    keep_weights: bool
    train: tuple[np.ndarray, np.ndarray] | None = None
    validation: tuple[np.ndarray, np.ndarray] | None = None
    test: tuple[np.ndarray, np.ndarray] | None = None
    plan: Plan | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def model(self, name: str, seed: int) -> Any:
        """Build the model of one initializer and seed, the same one every time."""
        maker = InitializerMaker(name, seed, self.initializers[name])
        with seeded(seed):
            return race_setup.build_model(self.build, maker, self.input_shape)

    @property
    def stages(self) -> int:
        """Steps of the progress bar per seed: epochs of the stack, or of each run."""
        runs = len(self.initializers) * len(self.learning_rates)
        return self.epochs * (1 if self.plan else runs)


def _plan(job: _Job, models: Mapping[str, Any], insist: bool) -> Plan | None:
    """Return how to stack the models, or None if only Keras's loop can train them."""
    try:
        plans = {
            make_plan(model, job.loss, job.optimizer, job.batch_size, job.classifies)
            for model in models.values()
        }
        if len(plans) > 1:
            raise NotStackable("build gives different models by initializer")
    except NotStackable as reason:
        if insist:
            raise ValueError(
                f'engine "stacked" cannot train this: {reason}; use "auto" or "keras"'
            ) from None
        return None
    return plans.pop()


def _race_one_seed(job: _Job, seed: int, advance: Callable[[], Any]) -> Race:
    """Train all runs of one seed; nothing here depends on another seed."""
    models = {name: job.model(name, seed) for name in job.initializers}
    pairs = [(model, rate) for model in models.values() for rate in job.learning_rates]
    starts = [model.get_weights() for model, _ in pairs] if job.keep_weights else []
    if job.plan:
        groups = [stacked.StackedRuns(job.plan, pairs)]
    else:
        groups = looped.runs_in_turn(
            pairs, job.optimizer, job.loss, job.classifies, job.batch_size
        )
    parts, ends = [], []
    for runs in groups:
        with seeded(seed):
            parts.append(_train(job, runs, seed, advance))
        ends.append(runs.weights() if job.keep_weights else [])

    shape = (len(job.initializers), len(job.learning_rates), 1)

    def arrange(arrays: Sequence[np.ndarray]) -> np.ndarray:
        stack = np.concatenate(arrays)
        return stack.reshape(*shape, *stack.shape[1:])

    measured = {name: arrange([part[name] for part in parts]) for name in parts[0]}
    finite = np.isfinite(measured["loss"])
    if job.validation:
        finite &= np.isfinite(measured["val_loss"])
    lost = np.logical_or.accumulate(~finite, axis=-1)
    for name, values in measured.items():
        values[lost if name in CURVES else lost[..., -1]] = np.nan
    weights = {}
    if job.keep_weights:
        initial = (
            [array[None] for array in each] for each in zip(*starts, strict=True)
        )
        weights["initial_weights"] = tuple(map(arrange, initial))
        weights["final_weights"] = tuple(map(arrange, zip(*ends, strict=True)))
    return Race(
        initializers=tuple(job.initializers),
        learning_rates=job.learning_rates,
        seeds=(seed,),
        diverged=lost[..., -1],
        settings=job.settings,
        **{name: measured.get(name) for name in (*CURVES, *ENDS)},
        **weights,
    )


def _train(
    job: _Job, runs: Any, seed: int, advance: Callable[[], Any]
) -> dict[str, np.ndarray]:
    """Train some runs of a seed; return curves ``(runs, epochs)`` and ends ``(runs,)``.

    ``runs`` is a stack, or one run as a stack of one. Once no run of it is finite,
    nothing can change any more: the remaining epochs are NaN without being trained.
    """
    epochs: list[dict[str, np.ndarray]] = []
    alive = True
    for epoch in range(job.epochs):
        if alive:
            order = epoch_order(len(job.train[0]), seed, epoch)
            measured = runs.train_epoch(*job.train, order)
            alive = np.isfinite(measured["loss"]).any()
            if job.validation:
                values = runs.evaluate(*job.validation)
                measured |= {f"val_{name}": value for name, value in values.items()}
        else:
            measured = {name: value * np.nan for name, value in epochs[-1].items()}
        epochs.append(measured)
        advance()
    result = {
        name: np.stack([measured[name] for measured in epochs], axis=-1, dtype=float)
        for name in epochs[0]
    }
    if job.test:
        values = runs.evaluate(*job.test)
        result |= {
            f"test_{name}": value.astype(float) for name, value in values.items()
        }
    return result
