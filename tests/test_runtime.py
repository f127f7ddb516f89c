import importlib
import os
import random
import subprocess
import sys

import numpy as np
import pytest

import initlab as lab
from initlab import runtime


def legacy_draw():
    """A number from numpy's global generator, which chapters' own code may use."""
    return np.random.random_sample()  # noqa: NPY002 – seeding it is what is tested


def test_setup_repeats_every_generator():
    import keras

    draws = []
    for _ in range(2):
        lab.setup(seed=7)
        kernel = np.array(keras.random.normal((3,)))
        draws.append((random.random(), legacy_draw(), *kernel))
    assert draws[0] == draws[1]
    lab.setup(seed=8)
    assert random.random() != draws[0][0]


def test_setup_turns_on_deterministic_kernels(monkeypatch):
    import tensorflow as tf

    asked = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: asked.append(True)
    )
    lab.setup()
    assert asked == [True]


@pytest.mark.parametrize("seed", [1.0, "0", True, None])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(TypeError, match="seed must be a whole number"):
        lab.setup(seed)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be from 0 to"):
        lab.setup(seed)


def test_setup_keeps_what_the_user_set(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    lab.setup()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


DRAW = """
import random, sys
import numpy as np
{first}
import initlab as lab
lab.setup(seed=7)
early = "tensorflow" in sys.modules, any(w in sys.modules for w in ("keras",))
before = random.random(), np.random.random_sample()
{second}
import keras, tensorflow as tf
after = random.random(), np.random.random_sample()
weights = keras.layers.Dense(2)
weights.build((None, 3))
print(before, after, np.array(keras.random.normal((2,))), np.array(weights.kernel))
print(tf.random.normal((2,)).numpy())
waiting = [type(f).__name__ for f in sys.meta_path if type(f).__name__ == "_Waiting"]
print(early, waiting, file=sys.stderr)
"""


def drawn(first="", second=""):
    """Return what a fresh process draws, and when it loads TensorFlow."""
    code = DRAW.format(first=first, second=second)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.strip().splitlines()[-1]


def test_tensorflow_is_loaded_late_and_seeded_as_if_it_had_been_loaded_early():
    at_once, told = drawn(first="import keras")
    assert told == "(True, True) []"
    for second in (
        "",
        "import importlib.util; importlib.util.find_spec('keras'); import tensorflow",
    ):
        late, told = drawn(second=second)
        assert told == "(False, False) []", "loaded by nobody before it is imported"
        assert late == at_once


def test_a_second_setup_replaces_the_first_one(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    for name in ("keras", "tensorflow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    lab.setup(1)
    lab.setup(2)
    waiting = [f for f in sys.meta_path if isinstance(f, runtime._Waiting)]
    assert [each.seed for each in waiting] == [2]


def test_setup_works_without_tensorflow(monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    for name in ("keras", "tensorflow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    lab.setup(3)
    assert not any(isinstance(each, runtime._Waiting) for each in sys.meta_path)
    assert legacy_draw() == np.random.RandomState(3).random_sample()


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("0", False), ("", False)]
)
def test_the_book_build_is_told_by_its_variable(monkeypatch, value, expected):
    monkeypatch.setenv(runtime.BOOK_VARIABLE, value)
    assert runtime.building_book() is expected


def test_importing_the_laboratory_loads_nothing_heavy():
    code = (
        "import sys, initlab; "
        "print([m for m in ('tensorflow', 'keras', 'matplotlib', 'scipy', 'IPython') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_fetched():
    for name in lab.__all__:
        assert getattr(lab, name) is not None
    assert set(dir(lab)) == set(lab.__all__)


def test_functions_win_over_modules_of_the_same_name():
    for name in ("explore", "race"):
        importlib.import_module(f"initlab.{name}")
    assert callable(lab.explore)
    assert callable(lab.race)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'lsvu'"):
        lab.lsvu  # noqa: B018 – fetching it is the test
