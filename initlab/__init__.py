"""The laboratory of the course "Weight initialization, executed".

Three floors; a module imports only from its own floor or from below:

3. ``runtime``, ``explore``, ``plots``, ``claims``, ``checks``: what a notebook shows.
2. ``signals``, ``spectra``, ``race``, ``lsuv``, ``doctor``, ``studies``, ``data``,
   ``tasks``: experiments. TensorFlow is imported here only, when a function needs it.
1. ``schemes``, ``activations``, ``theory``, ``intervals``: the mathematics, in numpy.

``import initlab as lab`` loads nothing heavy: every name below is fetched on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

# Three functions have the name of their module. Importing them here, once, settles that
# `lab.explore` is the function, in whatever order the modules are imported later.
from initlab.explore import choice, explore, slider
from initlab.lsuv import lsuv
from initlab.race import race

__version__ = "0.1.0"

_HOME = {
    "setup": "runtime",
    "claim": "claims",
    "interval": "intervals",
    "Interval": "intervals",
    "running_mean": "intervals",
    "check": "checks",
    "hint": "checks",
    "progress": "checks",
    "strict": "checks",
    "load": "data",
    "propagate": "signals",
    "correlate": "signals",
    "output_variances": "lsuv",
    "diagnose": "doctor",
    "Diagnosis": "doctor",
    "results": "studies",
}
_MODULES = (
    "activations",
    "checks",
    "claims",
    "data",
    "doctor",
    "intervals",
    "keras_layers",
    "plots",
    "runtime",
    "schemes",
    "signals",
    "spectra",
    "studies",
    "tasks",
    "theory",
)

__all__ = [
    "__version__",
    "choice",
    "explore",
    "lsuv",
    "race",
    "slider",
    *_HOME,
    *_MODULES,
]


def __getattr__(name: str) -> Any:
    """Fetch a public name from its module on first use (PEP 562)."""
    if name in _HOME:
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, so that completion works before they are fetched."""
    return sorted(__all__)
