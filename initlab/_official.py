"""The official files: in Keras's cache, or downloaded into it, and always verified.

The addresses are those of `keras.datasets`, which also reads the files. Keras verifies
some of them; here each one is verified on every use, and a download only gets its name
in the cache when it is complete. Nothing is printed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import importlib.util
import io
import os
import queue
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from initlab._archives import FORMS, Arrays, DataError, check

CONNECT_SECONDS = 4.0
READ_SECONDS = 10.0


class OfficialFile(NamedTuple):
    """A file of `keras.datasets`: where it lies in the cache, its address, its hash."""

    path: str
    url: str
    algorithm: str
    digest: str


_GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
FILES = {
    "fashion_mnist": tuple(
        OfficialFile(f"fashion-mnist/{file}", _GOOGLE + file, "md5", digest)
        for file, digest in (
            ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
            ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
            ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        )
    ),
    "cifar10": (
        OfficialFile(
            "cifar-10-batches-py-target_archive",
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "sha256",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        ),
    ),
    "imdb": (
        OfficialFile(
            "imdb.npz",
            _GOOGLE + "imdb.npz",
            "sha256",
            "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
        ),
    ),
}


class Unavailable(Exception):
    """The official files cannot be had now; the message says why, in a few words."""


def fetch(name: str) -> str:
    """Make sure that Keras's cache holds a data set's files, each of the right hash.

    Returns:
        "from Keras's cache" or "downloaded".

    Raises:
        DataError: if a file in the cache is damaged.
        Unavailable: if one is missing and cannot be downloaded; nothing half is left.
    """
    if importlib.util.find_spec("keras") is None:
        raise Unavailable("Keras is not installed")
    cache = keras_cache()
    missing = []
    for file in FILES[name]:
        path = cache / file.path
        if not os.path.exists(path):
            missing.append(file)
        elif _digest(path, file.algorithm) != file.digest:
            raise DataError(
                f"{path}: it is damaged, for its {file.algorithm} hash is not the "
                "published one. Delete it, and the next call downloads it again."
            )
    if not missing:
        return "from Keras's cache"
    if os.environ.get("INITLAB_OFFLINE", "").strip() not in ("", "0"):
        raise Unavailable("INITLAB_OFFLINE is set")
    for file in missing:
        _download(file, cache / file.path)
    return "downloaded"


def read(name: str) -> Arrays:
    """Return `(x_train, y_train, x_test, y_test)`, read by `keras.datasets`.

    Raises:
        DataError: if Keras cannot read its own files.
    """
    import keras

    silence = io.StringIO()
    try:
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            train, test = getattr(keras.datasets, name).load_data()
        form = FORMS[name]
        splits = []
        for split, (x, y) in (("train", train), ("test", test)):
            x = _reviews(x) if form.item is None else _images(x, form.item)
            y = np.require(y, np.uint8, "CW")
            check(form, x, y, split)
            splits += [x, y]
    except Exception as error:
        # The hashes were right, so it is the disk or another version of Keras.
        raise DataError(
            f"{keras_cache()}: keras.datasets.{name} cannot read its files there "
            f"({type(error).__name__}: {error}). Free some disk space, or delete them "
            "to download them again."
        ) from None
    return tuple(splits)


def keras_cache() -> Path:
    """Return the folder where Keras keeps its data sets, by Keras's own rules."""
    temporary = Path(os.sep, "tmp")  # not $TMPDIR
    if not temporary.is_dir():
        temporary = Path(tempfile.gettempdir())
    config = sys.modules.get("keras.src.backend.config")
    if config is not None:  # already imported, so it has already decided
        home = Path(config.keras_home()).expanduser()
    elif "KERAS_HOME" in os.environ:
        home = Path(os.environ["KERAS_HOME"]).expanduser()
    else:
        user = Path.home()
        home = (user if os.access(user, os.W_OK) else temporary) / ".keras"
    if home.exists() and not os.access(home, os.W_OK):
        home = temporary / ".keras"
    return home / "datasets"


def _images(x: np.ndarray, item: tuple[int, ...]) -> np.ndarray:
    if len(item) == 3 and x.shape[1:] == (item[2], *item[:2]):
        x = x.transpose(0, 2, 3, 1)  # Keras is set to channels first
    return np.require(x, requirements="CW")


def _reviews(x: np.ndarray) -> np.ndarray:
    reviews = np.empty(len(x), object)
    for i, review in enumerate(x):
        reviews[i] = np.array(review, np.int32)
    return reviews


def _digest(path: Path, algorithm: str) -> str:
    try:
        with path.open("rb") as file:
            # "Not for security" lets MD5 through on machines that ban it for that.
            new = functools.partial(hashlib.new, algorithm, usedforsecurity=False)
            return hashlib.file_digest(file, new).hexdigest()
    except OSError as error:
        raise DataError(
            f"{path}: it cannot be read ({error.strerror}). Delete it, and the next "
            "call downloads it again."
        ) from None


def _download(file: OfficialFile, target: Path) -> None:
    """Download beside the target, verify, and only then give it its name."""
    name = target.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".initlab-", dir=target.parent, ignore_cleanup_errors=True
        ) as folder:
            staged = Path(folder) / name
            with _open(file.url) as response, staged.open("wb") as copy:
                promised = response.headers.get("Content-Length")
                while chunk := response.read(1 << 18):
                    copy.write(chunk)
                received = copy.tell()
            if promised is not None and received < int(promised):
                raise Unavailable(f"the download of {name} was cut off")
            if _digest(staged, file.algorithm) != file.digest:
                raise Unavailable(f"the download of {name} has the wrong hash")
            os.replace(staged, target)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        reason = str(getattr(reason, "strerror", None) or reason)
        one_line = " ".join(reason.split())
        raise Unavailable(f"the download of {name} failed: {one_line}") from None


def _open(url: str) -> Any:
    """Open an address, or give up after CONNECT_SECONDS, also while looking up a name.

    A socket's timeout does not cover the resolver, which may hang for half a minute on
    a machine without network. Hence the thread, which is left to itself.
    """
    answer: queue.Queue[Any] = queue.Queue()

    def connect() -> None:
        try:
            answer.put(urllib.request.urlopen(url, timeout=READ_SECONDS))
        except Exception as error:
            answer.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        response = answer.get(timeout=CONNECT_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS:g} seconds") from None
    if isinstance(response, Exception):
        raise response
    return response
