"""The data sets of the case studies: the real ones wherever they can be had.

`load` looks in the folder that the environment variable INITLAB_DATA names, then in
Keras's cache, then downloads the official files, and at last generates a small
stand-in. It says in one line what it gave. The three sources are `_archives`,
`_official` and `_stand_ins`.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass

import numpy as np

from initlab import _archives, _official, _stand_ins
from initlab._archives import FORMS, DataError

__all__ = ["DataError", "Dataset", "load", "names"]


@dataclass(frozen=True)
class Dataset:
    """A data set, and where it is from.

    Attributes:
        name: "fashion_mnist", "cifar10" or "imdb".
        x_train: images, uint8 (n, 28, 28) or (n, 32, 32, 3); or reviews, an object
            array (n,) of int32 arrays, coded as in `keras.datasets.imdb`: 1 starts a
            review, 2 is an unknown word, the word of rank r = 1, 2, … is r + 3, and 0
            is left for padding.
        y_train: classes, uint8 (n,); for cifar10 (n, 1), as in Keras.
        x_test: the same for the test split.
        y_test: the same for the test split.
        source: "INITLAB_DATA", "keras" or "stand-in".
        is_stand_in: whether the data are generated, so that results mean nothing.
        note: the line that `load` printed.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    source: str
    is_stand_in: bool
    note: str


def names() -> tuple[str, ...]:
    """Return the names that `load` knows."""
    return tuple(FORMS)


def load(name: str) -> Dataset:
    """Load a data set, and print one line that says which one it is.

    Looked for in this order:

    1. `name`.npz in the folder that INITLAB_DATA names (unset or empty: no folder);
    2. Keras's cache, else the official download (not if INITLAB_OFFLINE=1), through
       `keras.datasets`, every file verified by its published hash;
    3. a small generated stand-in of the same form.

    A damaged file is never passed over: it is an error, which names the file. From a
    folder nothing is unpickled; Keras unpickles only what has the official hash.

    Args:
        name: one of `names()`.

    Raises:
        ValueError: for an unknown name.
        DataError: (a ValueError) if the folder is missing or unreadable, or if a file
            in it or in Keras's cache is damaged or has not the form of the data set.
    """
    if name not in FORMS:
        close = difflib.get_close_matches(str(name).lower(), FORMS)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(
            f"unknown data set {name!r}: {hint}The data sets are {', '.join(FORMS)}"
        )
    arrays, source, remark = _find(name)
    noun = FORMS[name].noun
    counts = f"{len(arrays[0]):,} training and {len(arrays[2]):,} test {noun}"
    note = f"{name}: {counts}, {remark}."
    print(note)
    return Dataset(name, *arrays, source, source == "stand-in", note)


def _find(name: str) -> tuple[_archives.Arrays, str, str]:
    """Return the arrays, their source, and what the line says about it."""
    path = _archives.find(name)
    absent = ""
    if path is not None:
        if os.path.lexists(path):
            arrays = _archives.read(name, path)
            pixels = _archives.describe_pixels(name, arrays[0])
            remark = f"from INITLAB_DATA ({pixels})" if pixels else "from INITLAB_DATA"
            return arrays, "INITLAB_DATA", remark
        absent = f"INITLAB_DATA has no {path.name}"
    try:
        remark = f"the official files, {_official.fetch(name)}"
    except _official.Unavailable as reason:
        why = "; ".join(filter(None, (absent, str(reason))))
        return (
            _stand_ins.generate(name),
            "stand-in",
            f"GENERATED as a stand-in for the real data ({why})",
        )
    remark += f" ({absent})" if absent else ""
    return _official.read(name), "keras", remark
