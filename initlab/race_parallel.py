"""All seeds of a race, in this process or shared by workers.

What is finished is kept: when somebody interrupts, when a worker process dies, and when
a whole Dask cluster loses one.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from initlab.race_jobs import Job, race_one_seed
from initlab.race_result import Race

# TensorFlow reads these when it is imported: a worker must compute as we do.
_ENVIRONMENT = ("TF_ENABLE_ONEDNN_OPTS", "TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")
_ATTEMPTS = 3
# A worker with several threads takes one seed at a time: Keras has one random state.
_ONE_AT_A_TIME = threading.Lock()


def race_all_seeds(
    job: Job,
    seeds: Sequence[int],
    parallel: int | None,
    advance: Callable[..., Any],
) -> list[Race]:
    """Train all seeds; return one race per seed, in the order of the seeds.

    Args:
        job: What the seeds have in common.
        seeds: The seeds.
        parallel: Number of workers, -1 for one per processor, None for none.
        advance: Moves the progress bar on by some stages, by default one.

    Raises:
        KeyboardInterrupt: If it is interrupted before any seed is finished.
        RuntimeError: If workers die again and again.

    Warns:
        RuntimeWarning: If it is interrupted later: the finished seeds are returned.
    """
    finished: dict[int, Race] = {}
    source = (
        _one_after_the_other(job, seeds, advance)
        if parallel is None
        else _by_workers(job, seeds, parallel, advance)
    )
    try:
        for race in source:
            finished[race.seeds[0]] = race
    except KeyboardInterrupt:
        if not finished:
            raise
        warnings.warn(
            f"interrupted: the race holds the {len(finished)} of {len(seeds)} seeds "
            "that were finished",
            RuntimeWarning,
            stacklevel=3,
        )
    return [finished[seed] for seed in seeds if seed in finished]


def _one_after_the_other(
    job: Job, seeds: Sequence[int], advance: Callable[..., Any]
) -> Iterator[Race]:
    for seed in seeds:
        yield race_one_seed(job, seed, advance)


def _by_workers(
    job: Job, seeds: Sequence[int], parallel: int, advance: Callable[..., Any]
) -> Iterator[Race]:
    """Yield the races as workers finish them; give lost seeds to new workers."""
    import joblib
    from tensorflow.python.framework.config import is_op_determinism_enabled

    environment = {
        name: os.environ[name] for name in _ENVIRONMENT if name in os.environ
    }
    deterministic = is_op_determinism_enabled()
    missing = list(seeds)
    for _ in range(_ATTEMPTS):
        tasks = [
            joblib.delayed(_in_worker)(job, seed, environment, deterministic)
            for seed in missing
        ]
        workers = joblib.Parallel(
            n_jobs=parallel, return_as="generator_unordered", batch_size=1
        )
        try:
            for race in workers(tasks):
                missing.remove(race.seeds[0])
                yield race
                advance(job.stages)
            return
        except _lost_worker() as error:
            reason = error
    raise RuntimeError(
        f"worker processes died {_ATTEMPTS} times, last while training the seeds "
        f"{missing}: {reason}; is there memory for {parallel} of them?"
    )


def _in_worker(
    job: Job, seed: int, environment: Mapping[str, str], deterministic: bool
) -> Race:
    """Compute as the process does that asked for it."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    import tensorflow as tf

    if deterministic:
        tf.config.experimental.enable_op_determinism()
    with _ONE_AT_A_TIME:
        return race_one_seed(job, seed, lambda *_: None)


def _lost_worker() -> tuple[type[BaseException], ...]:
    """Return what joblib and Dask raise when a worker is gone."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    try:
        from distributed.scheduler import KilledWorker
    except ImportError:
        return (BrokenProcessPool,)
    return BrokenProcessPool, KilledWorker
