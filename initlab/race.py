"""Race initializers: train one model from each, over seeds, and keep every curve.

:func:`race` is the whole of it; its result is a ``Race`` (module ``race_result``). What
a seed decides is public (``race_seeds``), so that a run can be repeated by hand. Chains
of Dense layers, and of an Embedding and SimpleRNN layers before them, are trained all
at once by a compiled program (``stacked``); all other models run whole epochs of
Keras's own step (``compiled``). Same batches, same numbers as ``model.fit``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from initlab import compiled, race_parallel, race_setup
from initlab.race_jobs import Job
from initlab.race_result import Race
from initlab.race_seeds import (
    InitializerMaker,
    epoch_order,
    initializer_functions,
    seeded,
)
from initlab.stack_plan import NotStackable, Plan, make_plan

__all__ = ["InitializerMaker", "Race", "epoch_order", "race"]

# What may be held in memory before it is needed: 20 MB of weights, and Keras's objects.
_NUMBERS_AHEAD, _MODELS_AHEAD = 5_000_000, 100
ENGINES = ("auto", "stacked", "xla", "graph", "keras")


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
    parallel: int | None = None,
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
            why if that is impossible. ``"graph"``: one run after the other, whole
            epochs of Keras's own training step. ``"xla"``: the same, compiled.
            ``"keras"``: one ``fit`` after the other. ``"auto"``: stacked wherever it
            gives the same numbers, else xla or graph, whichever measures faster for
            such a model (``settings["engine"]`` says which).
        parallel: Number of worker processes that share the seeds, through joblib;
            ``-1`` for one per processor, ``None`` for none. Inside
            ``joblib.parallel_config("dask")`` the workers are those of the Dask
            cluster. The numbers are the same. If a worker dies, its seeds are trained
            again.
        keep_weights: Keep the weights of all runs before and after training.
        progress: Show a bar, if tqdm is there and stderr is a terminal;
            ``"notebook"`` for a bar in a notebook, where there is none otherwise.

    Returns:
        A ``Race`` with all curves. Diverged runs are in it, marked.

    Raises:
        ValueError: If an argument, the model or the data cannot be used; the message
            names it, what came and what is allowed.
        ImportError: If ``parallel`` is used without joblib.
        RuntimeError: If workers die again and again.

    Warns:
        RuntimeWarning: If it is interrupted (Ctrl-C, or Stop in a notebook) after at
            least one seed is finished: the result then holds the finished seeds.
            Before that, the ``KeyboardInterrupt`` goes on.

    Note:
        Python's and numpy's random states are as before afterwards; Keras's seed is
        the one of the last run.
    """
    started = time.perf_counter()
    race_setup.check_backend()
    race_setup.check_whole_number("epochs", epochs)
    race_setup.check_whole_number("batch_size", batch_size)
    race_setup.check_workers(parallel)
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
    x, y, test = race_setup.arrays(data, test_data)
    seeds = race_setup.seed_numbers(seeds)
    loss_name, classifies = race_setup.describe_loss(loss)
    with seeded(seeds[0]):  # what Keras draws while we build is undone afterwards
        job = Job(
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
        first = next(iter(models.values()))
        for name, inputs in (("x", x), ("test x", test[0] if test else None)):
            race_setup.check_tokens(name, inputs, first)
        y = race_setup.fit_labels("y", y, first.output_shape, loss_name)
        train, validation = race_setup.split(x, y, validation_split)
        if test is not None:
            labels = race_setup.fit_labels(
                "test y", test[1], first.output_shape, loss_name
            )
            test = test[0], labels
        engine, plan = _choose_engine(engine, job, models)
        settings = {
            "epochs": epochs,
            "batch_size": batch_size,
            "optimizer": job.optimizer["class_name"],
            "loss": loss_name,
            "training_samples": len(train[0]),
            "validation_samples": len(validation[0]) if validation else 0,
            "test_samples": len(test[0]) if test else 0,
            "engine": engine,
        }
        job = replace(
            job,
            train=train,
            validation=validation,
            test=test,
            engine=engine,
            plan=plan,
            draws=engine not in ("graph", "xla") or _may_draw(job, models),
            settings=settings,
            built={(name, seeds[0]): model for name, model in models.items()},
        )
        if parallel is None:
            _build_ahead(job, seeds, models)
        total = len(seeds) * job.stages
        with race_setup.progress_bar(total, progress) as advance:
            races = race_parallel.race_all_seeds(job, seeds, parallel, advance)
    return replace(Race.join(races), seconds=time.perf_counter() - started)


def _choose_engine(
    wanted: str, job: Job, models: Mapping[str, Any]
) -> tuple[str, Plan | None]:
    """Return the engine and, for a stack, its plan."""
    if wanted in ("auto", "stacked"):
        try:
            return "stacked", _plan(job, models)
        except NotStackable as reason:
            if wanted == "stacked":
                raise ValueError(
                    f'engine "stacked" cannot train this: {reason}; '
                    'use "auto", "xla", "graph" or "keras"'
                ) from None
        wanted = "xla" if all(map(compiled.xla_pays, models.values())) else "graph"
    return wanted, None


def _may_draw(job: Job, models: Mapping[str, Any]) -> bool:
    """Tell whether training may draw random numbers: what is not Keras's own might."""
    modules = [job.optimizer["module"] or ""]
    if not isinstance(job.loss, str):
        modules.append(type(job.loss).__module__)
    foreign = not all(each.startswith("keras.") for each in modules)
    return foreign or any(map(compiled.may_draw, models.values()))


def _build_ahead(job: Job, seeds: Sequence[int], models: Mapping[str, Any]) -> None:
    """Build the small models of all seeds before one is trained.

    Building sets TensorFlow's seed, which empties its cache of graphs: between two
    seeds it would cost as much as an epoch. Training that draws random numbers sets it
    in any case.
    """
    numbers = sum(model.count_params() for model in models.values()) * len(seeds)
    small = numbers <= _NUMBERS_AHEAD and len(models) * len(seeds) <= _MODELS_AHEAD
    if job.draws or not small:
        return
    for name, seed in itertools.product(models, seeds):
        if (name, seed) not in job.built:
            job.built[name, seed] = job.model(name, seed)


def _plan(job: Job, models: Mapping[str, Any]) -> Plan:
    """Return how to stack the models, or raise `NotStackable` with the reason."""
    plans = {
        make_plan(model, job.loss, job.optimizer, job.batch_size, job.classifies)
        for model in models.values()
    }
    if len(plans) > 1:
        raise NotStackable("build gives different models by initializer")
    return plans.pop()
