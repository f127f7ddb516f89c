"""Training the parts of a study, in this process or shared by workers.

A worker computes with one thread, with TensorFlow's deterministic kernels: then a run
gives the same bits whatever else the machine does, however many workers there are, and
two workers on two cores finish sooner than one with two threads.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from typing import Any

import numpy as np

from initlab._study import Part, Study
from initlab.data import Dataset
from initlab.race import race

DIGITS = 6

_MOST_WORKERS = 4  # each holds the data and a TensorFlow of its own
_WORKER_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    # Convolutions take half the time. Other sums than in the notebooks, equally right.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
_worker: dict[str, Any] = {}


def default_workers() -> int:
    """Return one worker per core of this process, but not more than four."""
    return min(cores(), _MOST_WORKERS)


def cores() -> int:
    """Return how many cores this process may use, which a container may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_parts(
    study: Study, data: Dataset, parts: Sequence[Part], epochs: int, workers: int
) -> Iterator[tuple[Part, dict[str, Any]]]:
    """Yield every part with what :func:`run_part` says of it, as they are finished.

    Args:
        study: The study.
        data: Its data.
        parts: What to train.
        epochs: Passes over the training samples.
        workers: Number of worker processes; 0 trains in this one, with its settings.

    Raises:
        RuntimeError: If a worker dies, for instance for want of memory.
    """
    if not workers:
        for part in parts:
            yield part, run_part(study, data, part, epochs)
        return
    from joblib.externals.loky import ProcessPoolExecutor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    pool = ProcessPoolExecutor(
        workers, initializer=_begin_worker, initargs=(os.getpid(), study)
    )
    futures = [pool.submit(_in_worker, part, epochs) for part in parts]
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"a worker process died ({error}): what is finished is kept; run it again "
            f"with fewer workers, if there is not memory for {workers}"
        ) from None
    finally:
        pool.shutdown(kill_workers=True)


def _begin_worker(parent: int, study: Study) -> None:
    """Set a worker process up: TensorFlow first, then the data, once for all parts."""
    threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    os.environ.update(_WORKER_ENVIRONMENT)  # read when TensorFlow is imported
    with _silent_stderr():
        import tensorflow  # noqa: F401 – it greets once, whatever its log level is
    with contextlib.redirect_stdout(None):  # the parent has said which data these are
        _worker["data"] = study.load()
    _worker["study"] = study


def _in_worker(part: Part, epochs: int) -> tuple[Part, dict[str, Any]]:
    return part, run_part(_worker["study"], _worker["data"], part, epochs)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what native code writes to stderr, which Python cannot catch."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _end_with(parent: int) -> None:
    """End this process when the one that asked for it is killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def run_part(study: Study, data: Dataset, part: Part, epochs: int) -> dict[str, Any]:
    """Train a part and return what a recording keeps of it, as JSON holds it.

    The arrays have the axes ``(initializers, learning_rates, 1 seed, ...)``.
    """
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    variant = study.variants[part.variant]
    names = [part.initializer] if part.initializer else list(variant.initializers)
    rates = study.learning_rates if part.learning_rate is None else [part.learning_rate]
    wall, cpu = time.perf_counter(), time.process_time()
    result = race(
        functools.partial(variant.build, data=data),
        data,
        {name: variant.initializers[name] for name in names},
        seeds=[part.seed],
        learning_rates=rates,
        optimizer=study.optimizer,
        epochs=epochs,
        batch_size=study.batch_size,
        validation_split=study.validation_split,
        loss=study.loss,
        engine="stacked" if study.stacked else "graph",
        keep_weights=True,
        progress=False,
    )
    starts, ends = result.initial_weights, result.final_weights
    measured = {
        "start_std": _by_variable(np.std, starts),
        "end_std": _by_variable(np.std, ends),
        "largest_change": _by_variable(
            lambda change, axis: np.abs(change).max(axis=axis),
            [end - start for start, end in zip(starts, ends, strict=True)],
        ),
    }
    if study.units:
        kernel, bias = (ends[study.variables.index(name)] for name in study.units)
        measured["distinct_units"] = _distinct_units(kernel, bias)
    content = result.to_dict(DIGITS)
    content.pop("seconds")
    return {
        "race": content,
        **{name: listed(values) for name, values in measured.items()},
        "seconds": round(time.perf_counter() - wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "peak_memory_mb": _peak_memory_mb(),
        "threads": tf.config.threading.get_intra_op_parallelism_threads()
        or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0))
        or cores(),
    }


def _by_variable(measure: Any, weights: Sequence[np.ndarray]) -> np.ndarray:
    """Return one number per run and variable: ``(initializers, rates, 1, variables)``.

    In float64, because the mean of a million float32 numbers is not exact.
    """
    return np.stack(
        [
            measure(each.astype(float).reshape(*each.shape[:3], -1), axis=-1)
            for each in weights
        ],
        axis=-1,
    )


def _distinct_units(kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Count the units that differ in a bit of their incoming weights and bias."""
    units = np.concatenate([kernel, bias[..., None, :]], axis=-2)
    return np.array(
        [
            [[len(np.unique(run, axis=-1).T) for run in runs] for runs in rates]
            for rates in units
        ]
    )


def listed(array: np.ndarray) -> Any:
    """Return nested lists, rounded; what is not finite becomes ``None``."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(each) for each in value]
        if isinstance(value, (bool, int)):
            return value
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None

    return plain(array.tolist())


def _peak_memory_mb() -> int | None:
    """Return the most memory that this process has held; None where nobody says."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if os.uname().sysname == "Darwin" else 2**10))
