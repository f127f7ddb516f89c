"""The runs of one seed of a race: everything that a worker process is sent, and does.

A :class:`Job` is what all seeds have in common; :func:`race_one_seed` trains the runs
of one of them and returns them as a ``Race``. Nothing here depends on another seed.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from initlab import compiled, looped, race_setup, stacked
from initlab.race_result import CURVES, ENDS, Race
from initlab.race_seeds import InitializerMaker, epoch_order, seeded
from initlab.stack_plan import Plan


@dataclass(frozen=True)
class Job:
    """What the runs of all seeds have in common: all that a worker is sent.

    ``engine`` is "stacked" (then there is a ``plan``), "xla", "graph" or "keras".
    ``draws`` is false only if training is known to draw no random numbers.
    """

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
    engine: str = "keras"
    plan: Plan | None = None
    draws: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    built: dict[tuple[str, int], Any] = field(default_factory=dict)

    def model(self, name: str, seed: int) -> Any:
        """Build the model of one initializer and seed, the same one every time.

        One that was ``built`` already, and that nobody has trained, is given once.
        """
        if (name, seed) in self.built:
            return self.built.pop((name, seed))
        maker = InitializerMaker(name, seed, self.initializers[name])
        with seeded(seed):
            return race_setup.build_model(self.build, maker, self.input_shape)

    @property
    def stages(self) -> int:
        """Steps of the progress bar per seed: epochs of the stack, or of each run."""
        runs = len(self.initializers) * len(self.learning_rates)
        return self.epochs * (1 if self.plan else runs)

    @functools.cached_property
    def graphs(self) -> compiled.Graphs:
        """What the compiled engines have traced, kept from seed to seed."""
        return compiled.Graphs(
            *(self.optimizer, self.loss, self.classifies, self.batch_size),
            xla=self.engine == "xla",
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what another process must build and trace for itself."""
        kept = {key: value for key, value in vars(self).items() if key != "graphs"}
        return {**kept, "built": {}}

    def runs(self, pairs: Sequence[tuple[Any, float]]) -> Iterable[Any]:
        """Return the runs of a seed, all in one stack or one after the other."""
        if self.engine == "stacked":
            return [stacked.StackedRuns(self.plan, pairs)]
        if self.engine == "keras":
            return looped.runs_in_turn(
                pairs, self.optimizer, self.loss, self.classifies, self.batch_size
            )
        return self.graphs.runs_in_turn(pairs)


def race_one_seed(job: Job, seed: int, advance: Callable[[], Any]) -> Race:
    """Train all runs of one seed; nothing here depends on another seed."""
    models = {name: job.model(name, seed) for name in job.initializers}
    pairs = [(model, rate) for model in models.values() for rate in job.learning_rates]
    starts = [model.get_weights() for model, _ in pairs] if job.keep_weights else []
    parts, ends = [], []
    # Once for all runs, or never: it empties TensorFlow's cache of graphs.
    with seeded(seed) if job.draws else contextlib.nullcontext():
        for runs in job.runs(pairs):
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
    job: Job, runs: Any, seed: int, advance: Callable[[], Any]
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
