"""The file of a recording: what stands in it, how it grows and how it is read.

:class:`Recording` is what a chapter gets. ``studies.record`` begins one with
:func:`start`, adds the runs of one seed after the other with :func:`add` and lets
:func:`write` replace the file as a whole, so that no half file can ever be seen;
:func:`resume` takes up an unfinished one.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from initlab.race_result import Race

FORMAT = 1
DIGITS = 6

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True)
class Recording:
    """A study as it was recorded.

    Attributes:
        name: The study's name.
        title: What was raced, in a line.
        recorded: ``date``, ``command``, ``python``, ``versions``, ``cpu``, ``cores``,
            ``system``, ``seconds`` (wall) and ``cpu_seconds``.
        data: ``name``, ``source``, ``note``, ``is_stand_in`` and the ``sha256`` of
            every array.
        descriptions: Each variant in words.
        races: Each variant's ``Race``.
        variables: Names of the weights, in the order of the last axis of
            ``largest_change``.
        largest_change: For each variant how far the weight that moved most came from
            its start, shape ``(initializers, learning_rates, seeds, variables)``; an
            exact 0 means that every weight of the variable ended where it began.
        distinct_units: For each variant how many hidden units differ in at least one
            bit of their incoming weights and bias after training, shape
            ``(initializers, learning_rates, seeds)``.
    """

    name: str
    title: str
    recorded: Mapping[str, Any]
    data: Mapping[str, Any]
    descriptions: Mapping[str, str]
    races: Mapping[str, Race]
    variables: tuple[str, ...]
    largest_change: Mapping[str, np.ndarray]
    distinct_units: Mapping[str, np.ndarray]

    def provenance(self) -> str:
        """Say in a sentence or two where the numbers come from."""
        recorded = self.recorded
        versions = recorded["versions"]
        count = len(next(iter(self.races.values())).seeds)
        seeds = f"{count} seed{'s' * (count != 1)}"
        source = "a generated stand-in" if self.data["is_stand_in"] else "the real data"
        return (
            f"Recorded on {recorded['date']} with `{recorded['command']}` on {source} "
            f"({self.data['name']}, SHA-256 of the training images "
            f"{self.data['sha256']['x_train'][:12]}…): {seeds}, "
            f"{recorded['seconds'] / 60:.1f} minutes on {recorded['cores']} cores of "
            f"{recorded['cpu']}; Python {recorded['python']}, TensorFlow "
            f"{versions['tensorflow']}, Keras {versions['keras']}, numpy "
            f"{versions['numpy']}."
        )


def read(file: Any) -> Recording:
    """Return the recording in a file.

    Raises:
        ValueError: If the file is no recording; the message names it and the remedy.
    """
    content = _read(file)
    try:
        variants = content["variants"]
        return Recording(
            name=content["name"],
            title=content["title"],
            recorded=content["recorded"],
            data=content["data"],
            descriptions={key: each["description"] for key, each in variants.items()},
            races={key: Race.from_dict(each["race"]) for key, each in variants.items()},
            variables=tuple(content["variables"]),
            largest_change={
                key: _numbers(each["largest_change"]) for key, each in variants.items()
            },
            distinct_units={
                key: np.array(each["distinct_units"]) for key, each in variants.items()
            },
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{file} is damaged ({type(error).__name__}: {error}): record it again, or "
            "restore it from the repository"
        ) from None


def start(
    name: str, study: Any, dataset: Any, seeds: int, epochs: int
) -> dict[str, Any]:
    """Return the content of a recording before anything has run."""
    import keras
    import tensorflow as tf

    import initlab

    options = ""
    if seeds != study.seeds:
        options += f" --seeds {seeds}"
    if epochs != study.epochs:
        options += f" --epochs {epochs}"
    return {
        "format": FORMAT,
        "name": name,
        "title": study.title,
        "recorded": {
            "date": datetime.date.today().isoformat(),
            "command": f"python -m initlab record {name}{options}",
            "python": platform.python_version(),
            "versions": {
                "initlab": initlab.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
            "cpu": _cpu_model(),
            "cores": _cores(),
            "system": f"{platform.system()} {platform.machine()}",
            "seconds": 0.0,
            "cpu_seconds": 0.0,
        },
        "data": {
            "name": dataset.name,
            "source": _without_paths(str(dataset.source)),
            "note": _without_paths(str(dataset.note)),
            "is_stand_in": bool(dataset.is_stand_in),
            "sha256": {each: _sha256(getattr(dataset, each)) for each in _ARRAYS},
        },
        "seeds": seeds,
        "epochs": epochs,
        "learning_rates": list(study.learning_rates),
        "variables": list(study.variables),
        "variants": {},
    }


def resume(file: Path, fresh: dict[str, Any]) -> dict[str, Any]:
    """Return the unfinished recording if it was begun as the fresh one would be.

    Raises:
        ValueError: If something that decides the numbers differs.
    """
    old = _read(file)
    for part in ("format", "name", "seeds", "epochs", "learning_rates", "variables"):
        _same(file, part, old.get(part), fresh[part])
    _same(file, "data", old.get("data", {}).get("sha256"), fresh["data"]["sha256"])
    for part in ("python", "versions", "cpu"):
        _same(file, part, old.get("recorded", {}).get(part), fresh["recorded"][part])
    return old


def _same(file: Path, part: str, old: Any, new: Any) -> None:
    if old != new:
        raise ValueError(
            f"the unfinished recording {file} has another {part}: {old} there, {new} "
            "now; finish it as it was begun, or drop it (--no-resume)"
        )


def holds(state: Mapping[str, Any], variant: str, seed: int) -> bool:
    """Tell whether the runs of this variant and seed are already in the recording."""
    content = state["variants"].get(variant)
    return content is not None and seed in content["race"]["seeds"]


@contextlib.contextmanager
def timed(state: Mapping[str, Any]) -> Iterator[None]:
    """Add the wall and CPU time of the block to the recording's."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    recorded = state["recorded"]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    recorded["seconds"] = round(recorded["seconds"] + wall, 1)
    recorded["cpu_seconds"] = round(recorded["cpu_seconds"] + cpu, 1)


def add(state: dict[str, Any], variant: str, description: str, result: Race) -> None:
    """Put the runs of one more seed, their weights kept, into the recording."""
    change = np.stack(
        [
            np.abs(final - initial).reshape(*final.shape[:3], -1).max(axis=-1)
            for initial, final in zip(
                result.initial_weights, result.final_weights, strict=True
            )
        ],
        axis=-1,
    )
    kernel, bias = result.final_weights[:2]
    units = np.concatenate([kernel, bias[..., None, :]], axis=-2)
    distinct = np.array(
        [
            [[len(np.unique(run, axis=-1).T) for run in runs] for runs in rates]
            for rates in units
        ]
    )
    before = state["variants"].get(variant)
    if before:
        result = Race.join([Race.from_dict(before["race"]), result])
        change = np.concatenate([_numbers(before["largest_change"]), change], axis=2)
        distinct = np.concatenate([before["distinct_units"], distinct], axis=2)
    state["variants"][variant] = {
        "description": description,
        "race": result.to_dict(DIGITS),
        "largest_change": [
            [[[_rounded(each) for each in run] for run in runs] for runs in rates]
            for rates in change
        ],
        "distinct_units": distinct.tolist(),
    }


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def _numbers(nested: Any) -> np.ndarray:
    return np.array(nested, dtype=float)


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with one line per innermost list, all of it or nothing."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    text = re.sub(r"\[[^\[\]{}]*\]", _on_one_line, text)
    scratch = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        scratch.write_text(text + "\n", encoding="utf-8")
        os.replace(scratch, file)
    finally:
        scratch.unlink(missing_ok=True)


def _on_one_line(innermost_list: re.Match[str]) -> str:
    return "[" + re.sub(r"\s+", " ", innermost_list[0][1:-1]).strip() + "]"


def _read(file: Any) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{file} is not a recording: it is not JSON ({error}); record it again, or "
            "restore it from the repository"
        ) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{file} is not a recording of format {FORMAT}: record it again, or "
            "restore it from the repository"
        )
    return content


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def _without_paths(text: str) -> str:
    """Name folders of this machine by what they are: a recording is published."""
    for name, folder in (
        ("$INITLAB_DATA", os.environ.get("INITLAB_DATA")),
        ("~", str(Path.home())),
    ):
        if folder and folder != "/":
            text = text.replace(folder.rstrip("/"), name)
    return text


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return found[1] if found else platform.processor() or sys.platform


def _cores() -> int:
    """Return how many cores this process may use, which a container may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
