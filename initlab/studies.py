"""The case studies at full size: how they are run, recorded and read back.

A chapter has seconds; a full study takes minutes. So it is recorded once, by
``python -m initlab record NAME`` (:func:`record`), and the chapter shows what
:func:`results` reads: every curve, with the date, versions, machine and data behind it.
:func:`verify` runs one seed of everything again and compares.
"""

from __future__ import annotations

import importlib.resources
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from initlab import _study_list, recordings
from initlab._study import Part, Study, parts_of, parts_to_repeat
from initlab._study_runs import default_workers, run_parts
from initlab.data import Dataset
from initlab.race_setup import check_whole_number, progress_bar
from initlab.recordings import Recording

__all__ = [
    *("Comparison", "Recording", "Verification"),
    *("dataset", "names", "record", "results", "verify"),
]

_REPOSITORY_RESULTS = Path(__file__).resolve().parents[1] / "results"
_STUDIES: dict[str, Callable[[], Study]] = {
    "fashion_mnist": _study_list.fashion_mnist,
    "cifar10": _study_list.cifar10,
    "imdb": _study_list.imdb,
    "adding_problem": _study_list.adding_problem,
}
# How far a standard deviation of freshly drawn weights may be from the recorded one:
# they are rounded to six digits.
_STD_TOLERANCE = 1e-4
# Beyond what seeds differ among each other. Rounding differs from machine to machine,
# and training amplifies it up to the size of another seed's luck, but not further.
_CURVE_TOLERANCE = 0.01


def names() -> tuple[str, ...]:
    """Return the names of the studies."""
    return tuple(_STUDIES)


def dataset(name: str) -> Dataset:
    """Return a study's data in the form that its networks take; says which they are.

    For imdb these are reviews cut or padded to 200 words; adding_problem is generated.

    Args:
        name: One of :func:`names`.

    Raises:
        ValueError: If there is no such study, or if a data file is damaged.
    """
    return _study(name).load()


def results(name: str, directory: str | Path | None = None) -> Recording:
    """Return the recording of a study.

    Args:
        name: One of :func:`names`.
        directory: Where to look; by default the folder ``results`` beside the package,
            then the one inside it.

    Raises:
        ValueError: If there is no such study, or if the file is no recording of it.
        FileNotFoundError: If it has not been recorded.
    """
    _study(name)
    places = [Path(directory)] if directory else [_REPOSITORY_RESULTS]
    if not directory:
        places.append(importlib.resources.files("initlab") / "results")
    for place in places:
        file = place / f"{name}.json"
        if file.is_file():
            return recordings.read(file)
    raise FileNotFoundError(
        f"there is no recording {name}.json in {' or '.join(map(str, places))}: "
        f"make one with `python -m initlab record {name}`"
    )


def record(
    name: str,
    *,
    seeds: int | None = None,
    epochs: int | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    workers: int | None = None,
    progress: bool | str = True,
    report: Callable[[str], Any] = lambda message: None,
) -> Path:
    """Run a study at full size and write ``NAME.json``.

    After every finished run (or stack of runs) the state is written to
    ``NAME.partial.json``, so that an interrupted recording, even a killed one, goes on
    where it stopped; ``NAME.json`` itself is replaced only by a complete recording.
    The numbers do not depend on the interruptions, nor on the number of workers.

    Args:
        name: One of :func:`names`.
        seeds: How many seeds, by default the study's own number.
        epochs: How many epochs, by default the study's own number.
        out: Folder to write to, by default ``results`` of the checkout, or, where the
            package is installed, of the working directory.
        resume: Go on with an unfinished recording if there is one; otherwise drop it.
        workers: Number of processes that share the runs, each with one thread; by
            default one per core, at most four. 0 trains in this process, as it is set
            up, so that sums may be rounded otherwise than in a worker.
        progress: As for ``race``.
        report: Called with a sentence about what happens.

    Returns:
        The path of the recording.

    Raises:
        ValueError: If there is no such study, if a number is out of range, or if the
            unfinished recording was made with other settings.
        RuntimeError: If only the stand-in of the data set is there, or if a worker
            process dies.
        ImportError: If workers are asked for without joblib.
    """
    study = _study(name)
    for argument, value in (("seeds", seeds), ("epochs", epochs)):
        if value is not None:
            check_whole_number(argument, value)
    workers = _checked_workers(workers)
    seeds, epochs = seeds or study.seeds, epochs or study.epochs
    folder = Path(out) if out else _folder_to_write()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.partial.json"

    data = _real_data(name, study)
    state = recordings.start(name, study, data, seeds, epochs, workers)
    if resume and unfinished.exists():
        state = recordings.resume(unfinished, state)
    parts = parts_of(study, seeds)
    todo = [part for part in parts if not recordings.holds(state, part)]
    if len(todo) < len(parts):
        report(f"going on: {len(parts) - len(todo)} of {len(parts)} parts are done")
    before, started = state["recorded"]["seconds"], time.perf_counter()
    with progress_bar(len(todo), progress, f"record {name}", "part") as advance:
        for part, content in run_parts(study, data, todo, epochs, workers):
            seconds = before + time.perf_counter() - started
            recordings.add(state, part, content, seconds)
            recordings.write(unfinished, state)
            advance()
    recordings.write(folder / f"{name}.json", recordings.finished(study, state))
    os.remove(unfinished)
    seconds = state["recorded"]["seconds"]
    report(f"recorded {name}: {len(parts)} parts in {seconds:.0f} s")
    return folder / f"{name}.json"


@dataclass(frozen=True)
class Comparison:
    """One initializer of one variant, run again.

    Attributes:
        variant: The variant.
        initializer: The initializer.
        std: Largest difference of a variable's standard deviation before training,
            relative to the recorded one.
        curves: Largest difference of a curve or of a test result, beyond what the
            recorded seeds differ among each other at that place; 0 if it is within.
        identical: Whether every number is the recorded one.
    """

    variant: str
    initializer: str
    std: float
    curves: float
    identical: bool

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.std <= _STD_TOLERANCE and self.curves <= _CURVE_TOLERANCE


@dataclass(frozen=True)
class Verification:
    """What came of running one seed of a recorded study again."""

    name: str
    seed: int
    comparisons: tuple[Comparison, ...]

    @property
    def passed(self) -> bool:
        """Whether everything agrees with the recording."""
        return all(each.agrees for each in self.comparisons)

    def __str__(self) -> str:
        """Return a table, one line per variant and initializer."""
        lines = [f"{self.name}, seed {self.seed}, run again"]
        for each in self.comparisons:
            verdict = "identical" if each.identical else "agrees"
            if not each.agrees:
                verdict = (
                    f"DIFFERS: std of a start by {each.std:.2g} of it, curves by "
                    f"{each.curves:.2g} more than seeds differ"
                )
            lines.append(f"  {each.variant:<20}{each.initializer:<16}{verdict}")
        lines.append("verified" if self.passed else "NOT verified")
        return "\n".join(lines)


def verify(
    name: str,
    *,
    seed: int = 0,
    directory: str | Path | None = None,
    workers: int | None = None,
    progress: bool | str = True,
) -> Verification:
    """Run one seed of every initializer of a recorded study again, and compare.

    On the machine and with the versions of the recording the numbers should be
    identical. Elsewhere sums are rounded otherwise, and training amplifies that. So
    what is drawn must agree to 1e-4 (the standard deviation of every variable before
    training), and what is trained to 0.01 beyond the spread of the recorded seeds at
    the same place (every curve, every test result).

    Args:
        name: One of :func:`names`.
        seed: Which seed, one that was recorded.
        directory: Where the recording is, as for :func:`results`.
        workers: As for :func:`record`.
        progress: As for ``race``.

    Returns:
        A ``Verification``: ``passed`` or not, and one comparison for each initializer.

    Raises:
        ValueError: If there is no such study or seed, or if the data are not those of
            the recording.
        FileNotFoundError: If it has not been recorded.
        RuntimeError: If only the stand-in of the data set is there, or if a worker
            process dies.
    """
    study, recorded = _study(name), results(name, directory)
    workers = _checked_workers(workers)
    first = next(iter(recorded.races.values()))
    if seed not in first.seeds:
        raise ValueError(
            f"seed must be one of the recorded {', '.join(map(str, first.seeds))}, "
            f"got {seed!r}"
        )
    data = _real_data(name, study)
    recordings.check_data(recorded, data)
    parts, epochs = parts_to_repeat(study, seed), first.loss.shape[-1]
    comparisons: dict[tuple[str, str], Comparison] = {}
    with progress_bar(len(parts), progress, f"verify {name}", "part") as advance:
        for part, content in run_parts(study, data, parts, epochs, workers):
            for each in _compared(recorded, part, content):
                comparisons[each.variant, each.initializer] = each
            advance()
    order = [(v, i) for v, race in recorded.races.items() for i in race.initializers]
    return Verification(name, seed, tuple(comparisons[key] for key in order))


def _compared(recorded: Recording, part: Part, content: dict[str, Any]) -> Any:
    """Yield the comparison of every initializer of a part that was run again."""
    race = recorded.races[part.variant]
    rates = [
        race.learning_rates.index(each) for each in content["race"]["learning_rates"]
    ]
    seed = race.seeds.index(part.seed)
    for place, initializer in enumerate(content["race"]["initializers"]):
        row = race.initializers.index(initializer)
        new = np.array(content["start_std"], float)[place, :, 0]
        old = recorded.start_std[part.variant][row, rates, seed]
        std = float(np.max(np.abs(new - old) / np.maximum(old, 1e-12)))
        identical, excess = bool(np.all(new == old)), 0.0
        for metric in recordings.METRICS:
            whole = getattr(race, metric)
            if whole is None:
                continue
            new = np.array(content["race"][metric], float)[place, :, 0]
            old, seeds = whole[row, rates, seed], whole[row][rates]
            identical &= np.array_equal(new, old, equal_nan=True)
            excess = max(excess, _excess(new, old, seeds))
        yield Comparison(part.variant, initializer, std, excess, identical)


def _excess(new: np.ndarray, old: np.ndarray, seeds: np.ndarray) -> float:
    """Return how much more two runs differ than seeds do, relative to values above 1.

    Args:
        new: One run per learning rate, ``(rates, ...)``.
        old: The recorded one, shape likewise.
        seeds: All recorded seeds, ``(rates, seeds, ...)``.
    """
    if not np.array_equal(np.isnan(new), np.isnan(old)):
        # A run that diverges elsewhere is luck only if it does so for some seeds.
        lost = np.isnan(seeds)
        luck = lost.any(axis=1) & ~lost.all(axis=1)
        if np.any((np.isnan(new) != np.isnan(old)) & ~luck):
            return float("inf")
    with np.errstate(invalid="ignore"):
        spread = np.max(seeds, axis=1) - np.min(seeds, axis=1)
        excess = (np.abs(new - old) - spread) / np.maximum(np.abs(old), 1)
    return float(np.max(np.nan_to_num(excess, nan=0.0), initial=0.0))


def _real_data(name: str, study: Study) -> Dataset:
    data = study.load()
    if data.is_stand_in:
        raise RuntimeError(
            f"a recording needs the real {name}, but there is only a stand-in "
            "of it: set INITLAB_DATA to its folder, or allow the download"
        )
    return data


def _checked_workers(workers: int | None) -> int:
    if workers is None:
        return default_workers()
    if workers != 0:
        check_whole_number("workers", workers)
    return int(workers)


def _folder_to_write() -> Path:
    """Return the results of the checkout that this is, or of the working directory."""
    checkout = (_REPOSITORY_RESULTS.parent / "pyproject.toml").is_file()
    return _REPOSITORY_RESULTS if checkout else Path("results")


def _study(name: str) -> Study:
    if name not in _STUDIES:
        raise ValueError(f"name must be one of {', '.join(_STUDIES)}, got {name!r}")
    return _STUDIES[name]()
