"""Where the data come from, and everything that can be wrong on the way.

Nothing here needs the network, and nothing outside the tests' folders is touched.
"""

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import pickle
import socket
import sys
import threading
import time
import zipfile

import numpy as np
import pytest

from initlab import _archives, _official, data

NAMES = data.names()


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """Start without a folder, without a cache and without a network."""
    monkeypatch.delenv("INITLAB_DATA", raising=False)
    monkeypatch.setenv("INITLAB_OFFLINE", "1")
    monkeypatch.setenv("no_proxy", "*")
    home = tmp_path / "keras"
    monkeypatch.setenv("KERAS_HOME", str(home))
    if "keras" in sys.modules:
        config = sys.modules["keras.src.backend.config"]
        monkeypatch.setattr(config, "_KERAS_DIR", str(home))
    (home / "datasets").mkdir(parents=True)
    return home / "datasets"


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """Return an empty folder that INITLAB_DATA names."""
    path = tmp_path / "data"
    path.mkdir()
    monkeypatch.setenv("INITLAB_DATA", str(path))
    return path


def arrays_of(name, rng=None, train=30, test=20):
    """Return small arrays in the form of an archive of that data set."""
    rng = rng or np.random.default_rng(0)
    form, arrays = _archives.FORMS[name], {}
    for split, count in (("train", train), ("test", test)):
        labels = rng.integers(0, form.classes, (count, *form.label), np.uint8)
        labels.flat[0] = form.classes - 1
        arrays[f"y_{split}"] = labels
        if form.item is None:
            lengths = rng.integers(0, 9, count, dtype=np.int32)
            arrays[f"len_{split}"] = lengths
            arrays[f"x_{split}"] = rng.integers(1, 99, lengths.sum(), dtype=np.int32)
        else:
            arrays[f"x_{split}"] = rng.integers(0, 256, (count, *form.item), np.uint8)
    return arrays


def save(path, arrays):
    np.savez_compressed(path, **arrays)


def refused(folder, name="fashion_mnist"):
    """Load and return the message of the one error, which must be the reader's."""
    with pytest.raises(data.DataError) as caught:
        data.load(name)
    error, message = caught.value, str(caught.value)
    assert isinstance(error, ValueError)
    assert error.__suppress_context__ or error.__context__ is None
    assert str(folder / f"{name}.npz") in message and "\n" not in message
    assert "Replace it by a good copy, or unset INITLAB_DATA" in message
    return message


# --- a folder of data


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_images_come_from_the_folder_that_the_variable_names(name, folder, capsys):
    arrays = arrays_of(name)
    save(folder / f"{name}.npz", arrays)
    loaded = data.load(name)
    for key, array in arrays.items():
        np.testing.assert_array_equal(getattr(loaded, key), array)
        assert getattr(loaded, key).dtype == np.uint8
        assert getattr(loaded, key).flags.writeable
    assert (loaded.name, loaded.source, loaded.is_stand_in) == (
        *(name, "INITLAB_DATA", False),
    )
    assert loaded.note == f"{name}: 30 training and 20 test images, from INITLAB_DATA."
    assert capsys.readouterr() == (loaded.note + "\n", "")


def test_reviews_are_cut_and_coded_as_keras_does(folder, capsys):
    arrays = {
        "x_train": np.array([5, 1, 7, 2, 2], np.int32),
        "len_train": np.array([2, 0, 3], np.int32),
        "y_train": np.array([1, 0, 1], np.uint8),
        "x_test": np.array([9], np.int32),
        "len_test": np.array([1], np.int32),
        "y_test": np.array([0], np.uint8),
        "vocabulary": np.array(["the", "and"]),
    }
    save(folder / "imdb.npz", arrays)
    loaded = data.load("imdb")
    assert [list(review) for review in loaded.x_train] == [
        [1, 8, 4],
        [1],
        [1, 10, 5, 5],
    ]
    assert [list(review) for review in loaded.x_test] == [[1, 12]]
    assert loaded.x_train.dtype == object and loaded.x_train.shape == (3,)
    assert {review.dtype for review in loaded.x_train} == {np.dtype(np.int32)}
    np.testing.assert_array_equal(loaded.y_train, [1, 0, 1])
    assert loaded.note == "imdb: 3 training and 1 test reviews, from INITLAB_DATA."
    assert capsys.readouterr() == (loaded.note + "\n", "")


def test_reviews_share_the_memory_of_the_words(folder):
    save(folder / "imdb.npz", arrays_of("imdb"))
    first, second = data.load("imdb").x_train[:2]
    assert first.base is second.base is not None


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_names_no_folder(value, monkeypatch):
    monkeypatch.setenv("INITLAB_DATA", value)
    note = data.load("fashion_mnist").note
    assert "stand-in" in note and "INITLAB_DATA" not in note


def test_the_variable_may_start_with_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("INITLAB_DATA", "~")
    save(tmp_path / "cifar10.npz", arrays_of("cifar10"))
    assert data.load("cifar10").source == "INITLAB_DATA"


def test_pixels_that_are_not_the_published_ones_are_told(folder, monkeypatch):
    form = _archives.FORMS["cifar10"]
    monkeypatch.setitem(
        _archives.FORMS,
        "cifar10",
        _archives.Form(form.item, form.label, 10, (30, 20), form.channel_std),
    )
    arrays = arrays_of("cifar10")
    save(folder / "cifar10.npz", arrays)
    std = "/".join(f"{s:.3f}" for s in (arrays["x_train"] / 255).std((0, 1, 2)))
    assert data.load("cifar10").note == (
        "cifar10: 30 training and 20 test images, from INITLAB_DATA "
        f"(not the official pixels: std {std}, published 0.247/0.243/0.262)."
    )
    # Scaled about their mean to the published std, the pixels count as official.
    x = arrays["x_train"].astype(float)
    for _ in range(3):
        mean, std = x.mean((0, 1, 2)), x.std((0, 1, 2))
        x = mean + (x - mean) * (255 * np.array(form.channel_std) / std)
    save(folder / "cifar10.npz", arrays | {"x_train": x.round().astype(np.uint8)})
    assert data.load("cifar10").note.endswith("from INITLAB_DATA.")


# --- a folder or an archive with something wrong


def test_a_missing_folder_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(
        data.DataError,
        match="the folder that INITLAB_DATA names cannot be read: .*nowhere "
        ".*Correct the variable, or unset it",
    ):
        data.load("fashion_mnist")


def test_a_file_in_place_of_the_folder_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path / "file"))
    with pytest.raises(data.DataError, match="cannot be read: .*file "):
        data.load("fashion_mnist")


def test_an_unreadable_folder_is_an_error(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(
        data.DataError, match=r"INITLAB_DATA names cannot be read: .*Permission denied"
    ):
        data.load("fashion_mnist")


def test_a_folder_without_the_file_is_said_in_the_line(folder, capsys):
    loaded = data.load("fashion_mnist")
    assert loaded.is_stand_in and "INITLAB_DATA has no fashion_mnist.npz" in loaded.note
    assert capsys.readouterr().out == loaded.note + "\n"
    assert str(folder) not in loaded.note


def test_a_folder_in_place_of_the_archive_is_refused(folder):
    (folder / "fashion_mnist.npz").mkdir()
    assert "it cannot be read (" in refused(folder)


def test_a_dangling_link_is_refused(folder):
    (folder / "fashion_mnist.npz").symlink_to(folder / "gone")
    assert "it cannot be read (No such file" in refused(folder)


def test_an_unreadable_archive_is_refused(folder, monkeypatch):
    path = folder / "fashion_mnist.npz"
    save(path, arrays_of("fashion_mnist"))

    def refuse(self, *args):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(path), "open", refuse)
    assert "it cannot be read (Permission denied)" in refused(folder)


@pytest.mark.parametrize("name", NAMES)
def test_an_archive_cut_off_anywhere_is_refused(name, folder):
    path = folder / f"{name}.npz"
    save(path, arrays_of(name))
    whole = path.read_bytes()
    for length in {0, 1, 4, *range(0, len(whole), len(whole) // 60), len(whole) - 1}:
        path.write_bytes(whole[:length])
        message = refused(folder, name)
        assert "not a complete .npz archive" in message or "is damaged" in message


def test_a_flipped_byte_never_gives_other_data(folder):
    path = folder / "fashion_mnist.npz"
    arrays = arrays_of("fashion_mnist")
    save(path, arrays)
    whole = path.read_bytes()
    found = 0
    for position in range(30, len(whole), len(whole) // 150):
        flipped = bytearray(whole)
        flipped[position] ^= 0x10
        path.write_bytes(flipped)
        try:
            loaded = data.load("fashion_mnist")
        except data.DataError as error:
            assert str(path) in str(error)
            found += 1
        else:  # a date or a flag in a header that nobody reads
            for key, array in arrays.items():
                np.testing.assert_array_equal(getattr(loaded, key), array)
    assert found > 120


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><title>Log in to the network</title>",
        b"\x93NUMPY\x01\x00garbage",
        b"PK\x03\x04 is how a zip begins",
        pickle.dumps({"x_train": 1}),
        gzip.compress(b"x" * 1000),
    ],
    ids=["empty", "html", "numpy", "zip", "pickle", "gzip"],
)
def test_garbage_is_refused(content, folder):
    (folder / "fashion_mnist.npz").write_bytes(content)
    assert "it is not a complete .npz archive" in refused(folder)


def test_a_single_array_is_no_archive(folder):
    with (folder / "fashion_mnist.npz").open("wb") as file:
        np.save(file, np.zeros((3, 28, 28), np.uint8))
    assert "it is not a complete .npz archive" in refused(folder)


def test_a_member_that_is_no_array_is_refused(folder):
    path = folder / "fashion_mnist.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for key in arrays_of("fashion_mnist"):
            archive.writestr(f"{key}.npy", b"no array at all")
    message = refused(folder)
    assert "x_train is damaged" in message or "x_train must be uint8" in message


class Bomb:
    """Leave a trace if it is ever unpickled."""

    def __reduce__(self):
        return exec, ("import os; os.environ['INITLAB_TEST_BOMB'] = 'exploded'",)


@pytest.mark.parametrize(
    ("name", "key"), [("fashion_mnist", "x_train"), ("imdb", "x_test")]
)
def test_pickles_are_refused_and_never_opened(name, key, folder):
    arrays = arrays_of(name)
    arrays[key] = np.array([Bomb()], object)
    save(folder / f"{name}.npz", arrays)
    assert f"its array {key} is damaged or not a plain array" in refused(folder, name)
    assert "INITLAB_TEST_BOMB" not in os.environ


IMAGES = np.zeros((30, 28, 28), np.uint8)
LABELS = np.zeros(30, np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": None}, "it lacks x_train"),
        ({"y_train": None, "x_test": None}, "it lacks y_train, x_test"),
        ({"x_train": IMAGES / 255}, "x_train must be uint8, got float64"),
        ({"x_test": IMAGES.astype(np.int64)}, "x_test must be uint8, got int64"),
        ({"y_train": LABELS.astype(np.int32)}, "y_train must be uint8, got int32"),
        ({"y_train": LABELS.astype(str)}, "y_train must be uint8, got <U"),
        (
            {"x_train": IMAGES[:, :27]},
            "x_train must have shape (n, 28, 28), got (30, 27",
        ),
        (
            {"x_train": IMAGES[..., None]},
            "must have shape (n, 28, 28), got (30, 28, 28, 1",
        ),
        ({"x_train": IMAGES[0]}, "must have shape (n, 28, 28), got (28, 28)"),
        ({"x_train": IMAGES[:0]}, "must have shape (n, 28, 28), got (0, 28, 28)"),
        ({"y_train": LABELS[:, None]}, "y_train must have shape (n), got (30, 1)"),
        ({"y_train": LABELS[:-1]}, "x_train has 30 images but y_train has 29 labels"),
        ({"y_test": LABELS[:21]}, "x_test has 20 images but y_test has 21 labels"),
        ({"y_train": LABELS + 10}, "the labels of y_train must be 0 to 9, got 10"),
    ],
)
def test_images_of_another_form_are_refused(changes, message, folder):
    arrays = arrays_of("fashion_mnist") | changes
    arrays = {key: array for key, array in arrays.items() if array is not None}
    save(folder / "fashion_mnist.npz", arrays)
    assert message in refused(folder)


def test_the_labels_of_cifar10_are_a_column(folder):
    save(folder / "cifar10.npz", arrays_of("cifar10") | {"y_train": LABELS})
    message = refused(folder, "cifar10")
    assert "y_train must have shape (n, 1), got (30,)" in message


WORDS = np.arange(1, 31, dtype=np.int32)
LENGTHS = np.ones(30, np.int32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"len_train": None}, "it lacks len_train"),
        ({"x_train": WORDS.astype(np.int64)}, "x_train must be int32, got int64"),
        ({"len_train": LENGTHS.astype(float)}, "len_train must be int32, got float64"),
        ({"x_train": WORDS[:, None]}, "x_train must have shape (n), got (30, 1)"),
        (
            {"x_train": WORDS[:-1]},
            "len_train must add up to the 29 words of x_train, got 30",
        ),
        (
            {"len_train": -LENGTHS},
            "len_train must add up to the 30 words of x_train, got -30",
        ),
        (
            {"len_train": np.array([31, -1] + 28 * [0], np.int32)},
            "len_train must add up to the 30 words",
        ),
        (
            {"x_train": WORDS - 1},
            "the words of x_train must be ranks from 1, got 0 to 29",
        ),
        (
            {"x_train": WORDS + 2**30},
            "the words of x_train must be ranks from 1, got 1073",
        ),
        ({"y_train": LABELS[:-1]}, "x_train has 30 reviews but y_train has 29 labels"),
        ({"y_train": LABELS + 2}, "the labels of y_train must be 0 to 1, got 2"),
    ],
)
def test_reviews_of_another_form_are_refused(changes, message, folder):
    whole = {"x_train": WORDS, "len_train": LENGTHS, "y_train": LABELS}
    arrays = arrays_of("imdb") | whole | changes
    arrays = {key: array for key, array in arrays.items() if array is not None}
    save(folder / "imdb.npz", arrays)
    assert message in refused(folder, "imdb")


def test_a_damaged_archive_is_an_error_even_with_the_official_files_at_hand(
    folder, monkeypatch
):
    monkeypatch.setattr(_official, "fetch", lambda name: pytest.fail("fell through"))
    (folder / "fashion_mnist.npz").write_bytes(b"garbage")
    refused(folder)


# --- the official files: a server that behaves in one way or another


class Server:
    """Serve four gzipped IDX files on loopback, in the manner that `mode` says."""

    def __init__(self):
        self.mode, self.requests, self.files = "good", [], {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                content = outer.files[self.path.strip("/")]
                mode = outer.mode
                if mode == "missing":
                    self.send_error(404)
                    return
                if mode == "hangs":
                    time.sleep(9)
                self.send_response(200)
                if mode != "no length":
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if mode in ("cut", "no length", "stalls") or mode == self.path.strip(
                    "/"
                ):
                    content = content[: len(content) // 2]
                if mode == "garbage":
                    content = bytes(len(content))
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(content)
                if mode == "stalls":
                    self.wfile.flush()
                    time.sleep(9)
                if mode == "reset":
                    linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
                    self.connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, linger
                    )
                    self.connection.close()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def idx(array):
    return bytes(16 if array.ndim == 3 else 8) + array.tobytes()


@pytest.fixture
def server(monkeypatch):
    """Put small files with their own hashes in place of the official ones."""
    server, arrays, files = Server(), arrays_of("fashion_mnist"), []
    for official in _official.FILES["fashion_mnist"]:
        file = official.path.split("/")[1]
        kind = "x" if "images" in file else "y"
        split = "train" if "train" in file else "test"
        server.files[file] = gzip.compress(idx(arrays[f"{kind}_{split}"]), mtime=0)
        digest = hashlib.md5(server.files[file]).hexdigest()
        files.append(
            official._replace(url=server.url + file, algorithm="md5", digest=digest)
        )
    server.arrays = arrays
    monkeypatch.setitem(_official.FILES, "fashion_mnist", tuple(files))
    monkeypatch.setenv("INITLAB_OFFLINE", "0")
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def keras_in(nowhere, monkeypatch):
    """Make Keras, imported or not, keep its data sets in the tests' folder."""
    import keras.src.backend.config as config

    monkeypatch.setattr(config, "_KERAS_DIR", str(nowhere.parent))
    return nowhere


def files_in(cache):
    return sorted(str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file())


def test_the_official_files_are_downloaded_verified_and_kept(keras_in, server, capfd):
    loaded = data.load("fashion_mnist")
    for key, array in server.arrays.items():
        np.testing.assert_array_equal(getattr(loaded, key), array)
        assert getattr(loaded, key).flags.writeable
    assert (loaded.source, loaded.is_stand_in) == ("keras", False)
    assert loaded.note == (
        "fashion_mnist: 30 training and 20 test images, the official files, downloaded."
    )
    assert capfd.readouterr() == (loaded.note + "\n", "")
    assert files_in(keras_in) == [f"fashion-mnist/{f}" for f in sorted(server.files)]
    assert len(list((keras_in / "fashion-mnist").iterdir())) == 4

    again = data.load("fashion_mnist")
    assert again.note.endswith("the official files, from Keras's cache.")
    assert len(server.requests) == 4


def test_a_folder_without_the_file_leads_to_the_official_one(keras_in, server, folder):
    assert data.load("fashion_mnist").note.endswith(
        "the official files, downloaded (INITLAB_DATA has no fashion_mnist.npz)."
    )


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("cut", "the download of train-labels-idx1-ubyte.gz was cut off"),
        ("no length", "the download of train-labels-idx1-ubyte.gz has the wrong hash"),
        ("garbage", "has the wrong hash"),
        ("missing", "the download of train-labels-idx1-ubyte.gz failed: Not Found"),
        ("reset", ""),
    ],
)
def test_a_bad_download_leaves_nothing_and_is_tried_again(
    mode, reason, keras_in, server, capfd
):
    server.mode = mode
    if mode == "reset":
        server.files = {k: v + bytes(1 << 20) for k, v in server.files.items()}
    loaded = data.load("fashion_mnist")
    assert loaded.is_stand_in and reason in loaded.note
    assert capfd.readouterr() == (loaded.note + "\n", "")
    assert files_in(keras_in) == [] and len(server.requests) == 1
    assert not any((keras_in / "fashion-mnist").iterdir())

    if mode != "reset":
        server.mode = "good"
        assert data.load("fashion_mnist").source == "keras"


def test_what_was_complete_stays_and_the_rest_is_fetched_the_next_time(
    keras_in, server
):
    server.mode = "t10k-labels-idx1-ubyte.gz"  # the third of the four is cut off
    assert data.load("fashion_mnist").is_stand_in
    assert len(files_in(keras_in)) == 2 and len(server.requests) == 3
    server.mode = "good"
    assert not data.load("fashion_mnist").is_stand_in
    assert len(server.requests) == 5


def test_an_interrupted_download_leaves_nothing(keras_in, server, monkeypatch):
    class Interrupted(io.BytesIO):
        headers = {"Content-Length": "100"}

        def read(self, size):
            if self.tell():
                raise KeyboardInterrupt
            return super().read(size)

    monkeypatch.setattr(_official, "_open", lambda url: Interrupted(b"half a file"))
    with pytest.raises(KeyboardInterrupt):
        data.load("fashion_mnist")
    assert files_in(keras_in) == []
    assert not any((keras_in / "fashion-mnist").iterdir())


def test_a_server_that_does_not_answer_is_left_after_a_moment(
    keras_in, server, monkeypatch
):
    monkeypatch.setattr(_official, "CONNECT_SECONDS", 0.2)
    server.mode = "hangs"
    start = time.perf_counter()
    note = data.load("fashion_mnist").note
    assert time.perf_counter() - start < 6
    assert "failed: no answer within 0.2 seconds" in note


@pytest.mark.parametrize("mode", ["hangs", "stalls"])
def test_a_server_that_stops_sending_is_left_after_a_moment(
    mode, keras_in, server, monkeypatch
):
    monkeypatch.setattr(_official, "READ_SECONDS", 0.2)
    server.mode = mode
    note = data.load("fashion_mnist").note
    assert "failed: timed out" in note
    assert files_in(keras_in) == []


def test_a_resolver_that_hangs_does_not_hold_up(nowhere, server, monkeypatch):
    monkeypatch.setattr(_official, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(9))
    start = time.perf_counter()
    assert data.load("fashion_mnist").is_stand_in
    assert time.perf_counter() - start < 6


def test_without_a_network_the_stand_in_comes_with_the_reason(
    nowhere, server, monkeypatch, capsys
):
    def no_network(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    loaded = data.load("fashion_mnist")
    assert loaded.note == (
        "fashion_mnist: 6,000 training and 1,000 test images, GENERATED as a stand-in "
        "for the real data (the download of train-labels-idx1-ubyte.gz failed: "
        "Name or service not known)."
    )
    assert capsys.readouterr() == (loaded.note + "\n", "")


@pytest.mark.parametrize("value", ["1", "yes"])
def test_offline_by_wish_asks_nobody(value, nowhere, server, monkeypatch):
    monkeypatch.setenv("INITLAB_OFFLINE", value)
    assert "(INITLAB_OFFLINE is set)" in data.load("fashion_mnist").note
    assert server.requests == []


def test_a_full_disk_is_a_failed_download(nowhere, server, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_official.tempfile, "TemporaryDirectory", full)
    assert "failed: No space left on device" in data.load("fashion_mnist").note


def test_without_keras_there_is_the_stand_in(nowhere, monkeypatch):
    monkeypatch.setattr(_official.importlib.util, "find_spec", lambda name: None)
    assert "(Keras is not installed)" in data.load("fashion_mnist").note


# --- Keras's cache


def test_a_damaged_file_in_the_cache_is_an_error_that_names_it(keras_in, server):
    data.load("fashion_mnist")
    path = keras_in / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(data.DataError) as caught:
        data.load("fashion_mnist")
    assert str(path) in str(caught.value)
    assert "Delete it, and the next call downloads it again" in str(caught.value)
    path.unlink()
    assert not data.load("fashion_mnist").is_stand_in


def test_a_damaged_file_in_the_cache_is_an_error_offline_too(nowhere):
    (nowhere / "imdb.npz").write_bytes(b"half a file")
    with pytest.raises(data.DataError, match="imdb.npz: it is damaged"):
        data.load("imdb")


def test_an_unreadable_file_in_the_cache_is_an_error(nowhere):
    (nowhere / "imdb.npz").mkdir()
    with pytest.raises(data.DataError, match="imdb.npz: it cannot be read .*Delete it"):
        data.load("imdb")


def test_what_keras_cannot_read_is_an_error(keras_in, server, monkeypatch):
    import keras

    def broken():
        raise OSError("no space left")

    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", broken)
    with pytest.raises(
        data.DataError, match=r"fashion_mnist cannot read .*OSError: no space left"
    ):
        data.load("fashion_mnist")


def test_what_keras_prints_is_not_shown(keras_in, server, monkeypatch, capsys):
    import keras

    read = keras.datasets.fashion_mnist.load_data

    def chatty():
        print("Downloading data")
        print("26421880/26421880 [====]", file=sys.stderr)
        return read()

    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", chatty)
    assert capsys.readouterr() == ("", "")
    assert capsys.readouterr().out == "" != data.load("fashion_mnist").note
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and err == ""


def verified(name, cache, content, monkeypatch):
    """Put a file with its own hash into the cache, as if it were the official one."""
    (official,) = _official.FILES[name]
    path = cache / official.path
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(_official.FILES, name, (official._replace(digest=digest),))
    return path


def test_the_reviews_of_keras_become_the_same_form(keras_in, monkeypatch):
    from keras.src.datasets import imdb

    reviews = np.empty(2, object)
    reviews[:] = [[4, 1], [7, 7, 2]]
    buffer = io.BytesIO()
    labels = np.array([0, 1])
    np.savez(buffer, x_train=reviews, y_train=labels, x_test=reviews, y_test=labels)
    path = verified("imdb", keras_in, buffer.getvalue(), monkeypatch)
    monkeypatch.setattr(imdb, "get_file", lambda *args, **kwargs: str(path))
    loaded = data.load("imdb")
    for x, y in ((loaded.x_train, loaded.y_train), (loaded.x_test, loaded.y_test)):
        assert x.dtype == object and y.dtype == np.uint8
        by_label = {int(k): list(v) for k, v in zip(y, x, strict=True)}
        # Keras's default takes the rarest word of all, here 7, for an unknown one.
        assert by_label == {0: [1, 7, 4], 1: [1, 2, 2, 5]}
        assert {v.dtype for v in x} == {np.dtype(np.int32)}


@pytest.mark.parametrize("channels_first", [False, True])
def test_the_pictures_of_keras_have_their_channels_last(
    channels_first, keras_in, monkeypatch
):
    import keras

    arrays = arrays_of("cifar10")
    if channels_first:
        for split in ("train", "test"):
            arrays[f"x_{split}"] = arrays[f"x_{split}"].transpose(0, 3, 1, 2)
    pairs = [(arrays[f"x_{s}"], arrays[f"y_{s}"]) for s in ("train", "test")]
    verified("cifar10", keras_in, b"an archive", monkeypatch)
    monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: pairs)
    loaded = data.load("cifar10")
    np.testing.assert_array_equal(loaded.x_train, arrays_of("cifar10")["x_train"])
    assert loaded.x_train.flags.c_contiguous and loaded.y_train.shape == (30, 1)


def test_keras_reads_the_verified_archive_of_cifar10(keras_in, monkeypatch):
    """The place in the cache is where this version of Keras looks for it."""
    import keras.src.datasets.cifar10 as module

    asked = {}

    def get_file(**arguments):
        asked.update(arguments)
        raise OSError("far enough")

    verified("cifar10", keras_in, b"an archive", monkeypatch)
    monkeypatch.setattr(module, "get_file", get_file)
    with pytest.raises(data.DataError, match="far enough"):
        data.load("cifar10")
    (official,) = _official.FILES["cifar10"]
    assert asked["fname"] + "_archive" == official.path
    assert asked["origin"] == official.url


@pytest.mark.parametrize("name", NAMES)
def test_addresses_hashes_and_places_are_those_of_keras(name):
    import inspect

    import keras

    source = inspect.getsource(getattr(keras.datasets, name).load_data)
    for file in _official.FILES[name]:
        base, _, last = file.url.rpartition("/")
        assert base in source and last in source
        assert file.path.split("/")[-1].removesuffix("_archive") in source
        assert len(file.digest) == {"md5": 32, "sha256": 64}[file.algorithm]
        if file.algorithm == "sha256":
            assert file.digest in source


def test_the_cache_is_where_keras_has_it(monkeypatch, tmp_path):
    import keras.src.backend.config as config

    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path / "chosen"))
    assert _official.keras_cache() == tmp_path / "chosen" / "datasets"
    (tmp_path / "chosen").mkdir()
    with monkeypatch.context() as read_only:
        read_only.setattr(os, "access", lambda path, mode: False)
        assert _official.keras_cache().parts[-2:] == (".keras", "datasets")
        assert tmp_path not in _official.keras_cache().parents
    monkeypatch.delitem(sys.modules, "keras.src.backend.config")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    assert _official.keras_cache() == tmp_path / "home" / "datasets"
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert _official.keras_cache() == tmp_path / ".keras" / "datasets"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert _official.keras_cache().parts[-2:] == (".keras", "datasets")
    assert tmp_path not in _official.keras_cache().parents
    monkeypatch.setattr(_official.Path, "is_dir", lambda self: False)
    assert _official.keras_cache().parts[-2:] == (".keras", "datasets")


# --- the stand-ins


@pytest.mark.parametrize("name", NAMES)
def test_a_stand_in_has_the_form_of_the_real_data(name, capsys):
    first, second = data.load(name), data.load(name)
    form = _archives.FORMS[name]
    assert first.is_stand_in and first.source == "stand-in"
    assert capsys.readouterr().out == 2 * (first.note + "\n")
    for split in ("train", "test"):
        x, y = getattr(first, f"x_{split}"), getattr(first, f"y_{split}")
        _archives.check(form, x, y, split)
        assert set(np.unique(y)) == set(range(form.classes))
        assert np.bincount(y.ravel()).std() < 1
        same = map(np.array_equal, x, getattr(second, f"x_{split}"))
        assert all(same)
    if form.item is None:
        assert {r.dtype for r in first.x_train} == {np.dtype(np.int32)}
        assert all(r[0] == 1 and (r[1:] >= 4).all() for r in first.x_train)
        assert max(r.max() for r in first.x_train) <= 20_003
        assert 220 < np.mean([r.size for r in first.x_train]) < 250


def test_the_garments_have_about_the_pixels_of_the_real_ones():
    pixels = data.load("fashion_mnist").x_train / 255
    assert pixels.mean() == pytest.approx(0.286, abs=0.03)
    assert pixels.std() == pytest.approx(0.353, abs=0.03)


def test_one_hidden_layer_learns_the_garments_well_but_not_perfectly():
    loaded = data.load("fashion_mnist")
    accuracy = train_one_hidden_layer(loaded)
    assert 0.85 < accuracy < 0.96


def train_one_hidden_layer(loaded, hidden=32, epochs=5, batch=100, lr=0.2):
    """Train 784-hidden-10 with ReLU by plain SGD in numpy; return test accuracy."""
    rng = np.random.default_rng(0)
    x = loaded.x_train.reshape(-1, 784) / np.float32(255)
    y = loaded.y_train
    w1 = rng.normal(0, np.sqrt(2 / 784), (784, hidden)).astype(np.float32)
    w2 = rng.normal(0, np.sqrt(1 / hidden), (hidden, 10)).astype(np.float32)
    b1, b2 = np.zeros(hidden, np.float32), np.zeros(10, np.float32)
    for _ in range(epochs):
        for rows in rng.permutation(len(x)).reshape(-1, batch):
            h = np.maximum(x[rows] @ w1 + b1, 0)
            scores = h @ w2 + b2
            p = np.exp(scores - scores.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            p[np.arange(batch), y[rows]] -= 1
            p /= batch
            back = (p @ w2.T) * (h > 0)
            w2 -= lr * h.T @ p
            b2 -= lr * p.sum(0)
            w1 -= lr * x[rows].T @ back
            b1 -= lr * back.sum(0)
    x = loaded.x_test.reshape(-1, 784) / np.float32(255)
    scores = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    return np.mean(scores.argmax(1) == loaded.y_test)


def test_the_words_of_the_reviews_tell_their_mood():
    loaded = data.load("imdb")
    x, y = loaded.x_train, loaded.y_train
    bad, good = (
        np.bincount(np.concatenate(x[y == mood]), minlength=20_004) + 0.5
        for mood in (0, 1)
    )
    weight = np.log(good / good.sum()) - np.log(bad / bad.sum())
    verdict = np.array([weight[review].sum() > 0 for review in loaded.x_test])
    assert 0.75 < np.mean(verdict == loaded.y_test) < 0.95


def test_the_figures_differ_by_class_and_not_by_colour():
    loaded = data.load("cifar10")
    x, y = loaded.x_test / 255, loaded.y_test[:, 0]
    colours = np.stack([x[y == c].mean((0, 1, 2)) for c in range(10)])
    assert np.ptp(colours) < 0.1
    edges = np.abs(np.diff(x.mean(-1), axis=1)).mean((1, 2))
    assert edges[y == 8].mean() > 1.05 * edges[y == 9].mean()  # stripes lie or stand


# --- names


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [("fashion-mnist", "fashion_mnist"), ("cifar100", "cifar10"), ("IMDb", "imdb")],
)
def test_an_unknown_name_is_answered_with_the_closest(wrong, hint, capsys):
    with pytest.raises(
        ValueError, match=f"{wrong}': did you mean {hint}.*cifar10, imdb"
    ):
        data.load(wrong)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("wrong", ["qqqq", None, 3])
def test_a_name_like_no_other_is_answered_with_all(wrong):
    with pytest.raises(
        ValueError,
        match=f"unknown data set {wrong!r}: The data sets are fashion_mnist, cifar10",
    ):
        data.load(wrong)
