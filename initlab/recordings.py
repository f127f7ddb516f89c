"""The file of a recording: what stands in it, how it grows and how it is read.

:class:`Recording` is what a chapter gets. ``studies.record`` begins one with
:func:`start`, puts in one part after the other with :func:`add` and lets :func:`write`
replace the file as a whole, so that no half file can ever be seen; :func:`resume` takes
up an unfinished one and :func:`finished` turns its parts into whole races. The form of
the file is also a JSON schema, ``results/recording.schema.json``.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from initlab._study import Part, Study, parts_of
from initlab._study_runs import cores, listed
from initlab.race_result import METRICS, Race

FORMAT = 2

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_BY_VARIABLE = ("start_std", "end_std", "largest_change")
_KINDS = {
    "real": "the real data",
    "generated": "generated data",
    "stand-in": "a generated stand-in",
}


@dataclass(frozen=True)
class Recording:
    """A study as it was recorded.

    Attributes:
        name: The study's name.
        title: What was raced, in a line.
        recorded: ``date``, ``command``, ``python``, ``versions``, ``cpu``, ``cores``,
            ``system``, ``workers`` (processes), ``threads`` of each, ``seconds``
            (wall), ``cpu_seconds`` of all and ``peak_memory_mb`` of one of them.
        data: ``name``, ``source``, ``note``, ``is_stand_in`` and the ``sha256`` of
            every array.
        descriptions: Each variant in words.
        races: Each variant's ``Race``.
        variables: Names of the weights, in the order of the last axis of the next
            three.
        start_std: For each variant the standard deviation of every variable before
            training, shape ``(initializers, learning_rates, seeds, variables)``.
        end_std: The same after training.
        largest_change: For each variant how far the weight that moved most came from
            its start, shape likewise; an exact 0 means that every weight of the
            variable ended where it began.
        distinct_units: For each variant how many hidden units differ in at least one
            bit of their incoming weights and bias after training, shape
            ``(initializers, learning_rates, seeds)``; empty if the study does not ask.
    """

    name: str
    title: str
    recorded: Mapping[str, Any]
    data: Mapping[str, Any]
    descriptions: Mapping[str, str]
    races: Mapping[str, Race]
    variables: tuple[str, ...]
    start_std: Mapping[str, np.ndarray]
    end_std: Mapping[str, np.ndarray]
    largest_change: Mapping[str, np.ndarray]
    distinct_units: Mapping[str, np.ndarray]

    def provenance(self) -> str:
        """Say in a sentence or two where the numbers come from."""
        recorded, data = self.recorded, self.data
        versions = recorded["versions"]
        count = len(next(iter(self.races.values())).seeds)
        seeds = f"{count} seed{'s' * (count != 1)}"
        return (
            f"Recorded on {recorded['date']} with `{recorded['command']}` on "
            f"{_KINDS[self._kind]} ({data['name']}, SHA-256 of the training inputs "
            f"{data['sha256']['x_train'][:12]}…): {seeds}, "
            f"{recorded['seconds'] / 60:.1f} minutes on {recorded['cores']} cores of "
            f"{recorded['cpu']}; Python {recorded['python']}, TensorFlow "
            f"{versions['tensorflow']}, Keras {versions['keras']}, numpy "
            f"{versions['numpy']}."
        )

    @property
    def _kind(self) -> str:
        if self.data["is_stand_in"]:
            return "stand-in"
        return "generated" if self.data["source"] == "generated" else "real"


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
            **{
                name: {key: _numbers(each[name]) for key, each in variants.items()}
                for name in _BY_VARIABLE
            },
            distinct_units={
                key: np.array(each["distinct_units"])
                for key, each in variants.items()
                if "distinct_units" in each
            },
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{file} is damaged ({type(error).__name__}: {error}): record it again, or "
            "restore it from the repository"
        ) from None


def start(
    name: str, study: Study, dataset: Any, seeds: int, epochs: int, workers: int
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
            "cores": cores(),
            "system": f"{platform.system()} {platform.machine()}",
            "workers": workers,
            "threads": 0,
            "seconds": 0.0,
            "cpu_seconds": 0.0,
            "peak_memory_mb": None,
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
        "parts": {},
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


def check_data(recording: Recording, dataset: Any) -> None:
    """Raise if these are not the data of the recording.

    Raises:
        ValueError: With the name of the first array that differs.
    """
    for each in _ARRAYS:
        if _sha256(getattr(dataset, each)) != recording.data["sha256"][each]:
            raise ValueError(
                f"{each} of {recording.data['name']} is not what was recorded (its "
                "SHA-256 differs): numbers from other data cannot be compared"
            )


def holds(state: Mapping[str, Any], part: Part) -> bool:
    """Tell whether this part is already in the recording."""
    return str(part) in state["parts"]


def add(
    state: dict[str, Any], part: Part, content: Mapping[str, Any], seconds: float
) -> None:
    """Put a finished part into the recording.

    Args:
        state: The unfinished recording.
        part: Which part.
        content: What was measured.
        seconds: How long the recording has taken so far, in all its sessions.
    """
    state["parts"][str(part)] = content
    recorded = state["recorded"]
    recorded["seconds"] = round(seconds, 1)
    recorded["cpu_seconds"] = round(recorded["cpu_seconds"] + content["cpu_seconds"], 1)
    recorded["threads"] = content["threads"]
    if content["peak_memory_mb"] is not None:
        before = recorded["peak_memory_mb"] or 0
        recorded["peak_memory_mb"] = max(before, content["peak_memory_mb"])


def finished(study: Study, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recording with its parts put together, in the order of the study."""
    content = {key: value for key, value in state.items() if key != "parts"}
    seeds = state["seeds"]
    content["variants"] = {}
    for name, variant in study.variants.items():
        keys = [str(each) for each in parts_of(study, seeds) if each.variant == name]
        parts = [state["parts"][key] for key in keys]
        axes = (list(variant.initializers), state["learning_rates"], list(range(seeds)))

        def whole(get: Callable[[Any], Any], parts: Any = parts, axes: Any = axes):
            return listed(_placed(parts, get, axes))

        first = parts[0]
        races = {
            metric: whole(lambda part, metric=metric: part["race"][metric])
            if first["race"][metric] is not None
            else None
            for metric in (*METRICS, "diverged")
        }
        content["variants"][name] = {
            "description": variant.description,
            "race": {
                "initializers": axes[0],
                "learning_rates": axes[1],
                "seeds": axes[2],
                "settings": first["race"]["settings"],
                "seconds": round(sum(part["seconds"] for part in parts), 1),
                **races,
            },
            **{
                each: whole(lambda part, each=each: part[each])
                for each in (*_BY_VARIABLE, "distinct_units")
                if each in first
            },
        }
    return content


def _placed(
    parts: Sequence[Mapping[str, Any]],
    get: Callable[[Any], Any],
    axes: tuple[list[Any], ...],
) -> np.ndarray:
    """Return one array over all initializers, learning rates and seeds."""
    whole = None
    for part in parts:
        values = np.array(get(part))
        if values.dtype == object:  # None stands for what is not finite
            values = values.astype(float)
        if whole is None:
            shape = (*map(len, axes), *values.shape[3:])
            whole = np.zeros(shape, values.dtype)
        whole = whole.astype(np.result_type(whole, values))
        race = part["race"]
        names = (race["initializers"], race["learning_rates"], race["seeds"])
        places = [
            [axis.index(each) for each in own]
            for axis, own in zip(axes, names, strict=True)
        ]
        whole[np.ix_(*places)] = values
    return whole


def _numbers(nested: Any) -> np.ndarray:
    return np.array(nested, dtype=float)


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON with one line per innermost list, all of it or nothing.

    What a process left that was killed while it wrote this file is removed.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    text = re.sub(r"\[[^\[\]{}]*\]", _on_one_line, text)
    for left in file.parent.glob(f"{file.name}.*.tmp"):
        pid = left.suffixes[-2][1:]
        if pid.isdigit() and not _is_running(int(pid)):
            left.unlink(missing_ok=True)
    scratch = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        scratch.write_text(text + "\n", encoding="utf-8")
        os.replace(scratch, file)
    finally:
        scratch.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    """Tell whether a process lives; yes, where a system does not let one ask."""
    if os.name == "posix":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it is somebody else's
            return True
    return True


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
