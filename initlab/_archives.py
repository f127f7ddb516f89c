"""Reading the archives of a folder of data, and refusing what is wrong with them.

An archive is a plain numpy .npz without pickles. Whatever is wrong with it becomes one
`DataError` that names the file and what to do about it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
VARIABLE = "INITLAB_DATA"
REMEDY = f"Replace it by a good copy, or unset {VARIABLE} to use the official download."


class DataError(ValueError):
    """A data file or folder cannot be used; the message names it and the remedy."""


@dataclass(frozen=True)
class Form:
    """What a data set must look like: images of `item` shape, or reviews if None.

    Attributes:
        item: shape of one image.
        label: shape of one label.
        classes: labels are 0 … classes - 1.
        examples: how many the real data set has, for training and for testing.
        channel_std: the published standard deviations of the training pixels / 255.
    """

    item: tuple[int, ...] | None
    label: tuple[int, ...]
    classes: int
    examples: tuple[int, int]
    channel_std: tuple[float, ...] = ()

    @property
    def noun(self) -> str:
        """What an example is called."""
        return "reviews" if self.item is None else "images"


FORMS = {
    "fashion_mnist": Form((28, 28), (), 10, (60_000, 10_000), (0.3530,)),
    "cifar10": Form((32, 32, 3), (1,), 10, (50_000, 10_000), (0.2470, 0.2435, 0.2616)),
    "imdb": Form(None, (), 2, (25_000, 25_000)),
}


def find(name: str) -> Path | None:
    """Return the path of a data set's archive in the folder that INITLAB_DATA names.

    Returns:
        None if the variable is unset or empty; otherwise a path, which need not exist.

    Raises:
        DataError: if the folder is missing, is not a folder or cannot be read.
    """
    value = os.environ.get(VARIABLE, "").strip()
    if not value:
        return None
    folder = Path(os.path.expanduser(value)).absolute()
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError as error:
        raise DataError(
            f"the folder that {VARIABLE} names cannot be read: {folder} "
            f"({error.strerror}). Correct the variable, or unset it to use the "
            "official download."
        ) from None
    return folder / f"{name}.npz"


def read(name: str, path: Path) -> Arrays:
    """Return `(x_train, y_train, x_test, y_test)` of an archive, checked.

    Raises:
        DataError: if the file cannot be read, is damaged, or lacks an array, or if an
            array has another dtype, shape or range than the data set has.
    """
    form = FORMS[name]
    keys = [f"{kind}_{split}" for split in ("train", "test") for kind in "xy"]
    if form.item is None:
        keys += ["len_train", "len_test"]
    arrays = _read_arrays(path, keys)
    try:
        for split in ("train", "test"):
            if form.item is None:
                words, lengths = arrays[f"x_{split}"], arrays.pop(f"len_{split}")
                arrays[f"x_{split}"] = _reviews(words, lengths, split)
            check(form, arrays[f"x_{split}"], arrays[f"y_{split}"], split)
    except _Wrong as wrong:
        raise DataError(f"{path}: {wrong}. {REMEDY}") from None
    return tuple(arrays[key] for key in keys[:4])


def check(form: Form, x: np.ndarray, y: np.ndarray, split: str) -> None:
    """Raise if one split of a data set has not the form of the real one."""
    if form.item is not None:
        _require(x, f"x_{split}", np.uint8, form.item)
    _require(y, f"y_{split}", np.uint8, form.label)
    if len(x) != len(y):
        raise _Wrong(
            f"x_{split} has {len(x)} {form.noun} but y_{split} has {len(y)} labels"
        )
    if y.max() >= form.classes:
        raise _Wrong(
            f"the labels of y_{split} must be 0 to {form.classes - 1}, got {y.max()}"
        )


def describe_pixels(name: str, x_train: np.ndarray) -> str:
    """Say that the training images are not the official ones, if their std tells so."""
    form = FORMS[name]
    if not form.channel_std or len(x_train) != form.examples[0]:
        return ""
    pixels = x_train.reshape(-1, len(form.channel_std))
    counts = np.zeros((len(form.channel_std), 256))
    for chunk in np.array_split(pixels, 50):  # bincount makes an int64 copy
        for channel, values in enumerate(chunk.T):
            counts[channel] += np.bincount(values, minlength=256)
    value, share = np.arange(256) / 255, counts / len(pixels)
    std = np.sqrt(share @ value**2 - (share @ value) ** 2)
    if np.allclose(std, form.channel_std, atol=6e-4):
        return ""
    measured, published = (
        "/".join(f"{value:.3f}" for value in stds) for stds in (std, form.channel_std)
    )
    return f"not the official pixels: std {measured}, published {published}"


class _Wrong(Exception):
    """What is wrong with an array, to be completed by the file and the remedy."""


def _read_arrays(path: Path, keys: list[str]) -> dict[str, np.ndarray]:
    problem = ""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                problem = f"it lacks {', '.join(missing)}"
            else:
                arrays = {}
                for key in keys:
                    problem = f"its array {key} is damaged or not a plain array"
                    arrays[key] = np.asarray(archive[key])
                return arrays
    except OSError as error:
        problem = problem or f"it cannot be read ({error.strerror or error})"
    except Exception:
        # numpy, zipfile and zlib raise a dozen types on a damaged file, and the reader
        # can do the same about each of them.
        problem = problem or "it is not a complete .npz archive"
    raise DataError(f"{path}: {problem}. {REMEDY}") from None


def _require(
    array: np.ndarray, key: str, dtype: type[np.generic], item: tuple[int, ...]
) -> None:
    """Raise unless an array is at least one `item` of that dtype."""
    if array.dtype != dtype:
        raise _Wrong(f"{key} must be {np.dtype(dtype)}, got {array.dtype}")
    if array.ndim != 1 + len(item) or array.shape[1:] != item or not len(array):
        wanted = ", ".join(map(str, ("n", *item)))
        raise _Wrong(f"{key} must have shape ({wanted}), got {array.shape}")


def _reviews(words: np.ndarray, lengths: np.ndarray, split: str) -> np.ndarray:
    """Cut words laid end to end into reviews, coded as `keras.datasets.imdb` does."""
    _require(words, f"x_{split}", np.int32, ())
    _require(lengths, f"len_{split}", np.int32, ())
    if lengths.min() < 0 or lengths.sum(dtype=np.int64) != len(words):
        raise _Wrong(
            f"the lengths of len_{split} must add up to the {len(words)} words of "
            f"x_{split}, got {lengths.sum(dtype=np.int64)}"
        )
    if words.min() < 1 or words.max() > 1_000_000:
        raise _Wrong(
            f"the words of x_{split} must be ranks from 1, "
            f"got {words.min()} to {words.max()}"
        )
    ends = np.cumsum(lengths.astype(np.int64) + 1)
    starts = ends - lengths - 1
    coded = np.empty(ends[-1], np.int32)
    is_word = np.ones(coded.size, bool)
    is_word[starts] = False
    coded[starts] = 1
    coded[is_word] = words
    coded[is_word] += 3
    reviews = np.empty(len(lengths), object)
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        reviews[i] = coded[start:end]
    return reviews
