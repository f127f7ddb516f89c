"""Time ``race`` against a loop of ``model.fit`` on the work of the case studies.

``python -m benchmarks.race_vs_fit`` trains the same networks both ways in one process,
compile time included, and prints the ratios of the times. The default is a part of the
work, of which compiling is a large share; what is promised holds for ``--full``. That
both train alike is checked on a few batches, since there the weights and the order of
the data can be the same: losses within a thousandth. Peak memory is that of a process
of its own for each way: one ``fit`` of one network there, the whole race here; it must
not be more than twice as much.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks.table import Row, peak_megabytes, show, timed
from initlab._study import Study, Variant
from initlab._study_list import cifar10, fashion_mnist, imdb
from initlab.data import Dataset


@dataclass(frozen=True)
class Work:
    """A case study as its source does it; ``samples`` include those for validation."""

    title: str
    study: Study
    variant: str
    names: tuple[str, ...]
    samples: int
    epochs: int
    wanted: str
    part: float

    @property
    def initializers(self) -> Mapping[str, Any]:
        """The schemes that are timed, by their names in the study."""
        return {name: self._variant.initializers[name] for name in self.names}

    def builder(self, data: Dataset) -> Callable[[Any], Any]:
        """Return what makes a network of a maker of initializers."""
        return functools.partial(self._variant.build, data=data)

    @property
    def _variant(self) -> Variant:
        return self.study.variants[self.variant]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its table and return 0 if all promises hold."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    options = _parse(arguments)
    if options.memory_of:
        _run_for_memory(WORKS[options.work[0]], options)
        return 0
    return show(rows(options.work, full=options.full, seeds=options.seeds))


def rows(works: Sequence[str], full: bool = False, seeds: int = 1) -> list[Row]:
    """Measure the named works."""
    import tensorflow as tf

    tf.constant(0.0)  # starts TensorFlow, which is nobody's work
    return [_measure(name, WORKS[name], full, seeds) for name in works]


def _measure(name: str, work: Work, full: bool, seeds: int) -> Row:
    data = _cut(work, full)
    epochs = work.epochs if full else 1
    ours, raced = timed(lambda: _by_race(work, data, seeds, epochs))
    theirs, fitted = timed(lambda: _by_fit(work, data, seeds, epochs, work.names))
    memory = [_memory(name, way, full) for way in ("race", "fit")]
    samples = len(data.x_train)
    return Row(
        work=f"{work.title}: {len(work.names)} initializers × {seeds} seeds × "
        f"{epochs} epochs of {samples:,}",
        ours=ours,
        theirs=theirs,
        ratio=theirs / ours,
        # Of a part of the work compiling is too large a share.
        wanted=work.wanted if full else "≥ 1.2",
        same=_trains_alike(work, data) and memory[0] <= 2 * memory[1],
        note=f"test accuracy {_means(raced)} against {_means(fitted)}; peak memory "
        f"{memory[0]:.0f} against {memory[1]:.0f} MB",
    )


def _trains_alike(work: Work, data: Dataset) -> bool:
    """Compare the losses of a race and of `fit` on the same batches and weights."""
    from initlab.race import race

    study = work.study
    few = slice(20 * study.batch_size)
    losses = [
        race(
            work.builder(data),
            (data.x_train[few], data.y_train[few]),
            work.initializers,
            seeds=1,
            epochs=1,
            batch_size=study.batch_size,
            loss=study.loss,
            engine=engine,
            progress=False,
        ).loss
        for engine in ("auto", "keras")
    ]
    return bool(np.allclose(*losses, rtol=1e-3))


def _means(accuracies: np.ndarray) -> str:
    return ", ".join(f"{mean:.3f}" for mean in accuracies.mean(axis=1))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.race_vs_fit",
        description="Time race against a loop of model.fit on the case studies' work.",
    )
    parser.add_argument(
        "work", nargs="*", default=list(WORKS), help=f"{', '.join(WORKS)} (all)"
    )
    parser.add_argument("--seeds", type=int, default=1, help="runs per initializer")
    parser.add_argument("--full", action="store_true", help="all epochs, all samples")
    parser.add_argument("--memory-of", choices=("race", "fit"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for name in options.work:
        if name not in WORKS:
            parser.error(f"work must be one of {', '.join(WORKS)}, got {name!r}")
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {options.seeds}")
    return options


def _memory(name: str, way: str, full: bool) -> float:
    """Return the peak megabytes of a process that does the work one way."""
    command = [sys.executable, "-m", "benchmarks.race_vs_fit", name]
    command += ["--memory-of", way, *(["--full"] if full else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def _run_for_memory(work: Work, options: argparse.Namespace) -> None:
    data = _cut(work, options.full)
    if options.memory_of == "race":
        _by_race(work, data, seeds=1, epochs=1)
    else:
        _by_fit(work, data, seeds=1, epochs=1, names=work.names[:1])
    print(f"\n{peak_megabytes():.0f}")


def _cut(work: Work, full: bool) -> Dataset:
    """Load the data, and keep the training samples that are worked on."""
    data = work.study.load()
    few = slice(int(work.samples * (1 if full else work.part)))
    return replace(data, x_train=data.x_train[few], y_train=data.y_train[few])


def _by_race(work: Work, data: Dataset, seeds: int, epochs: int) -> np.ndarray:
    from initlab.race import race

    study = work.study
    result = race(
        work.builder(data),
        data,
        work.initializers,
        seeds=seeds,
        epochs=epochs,
        batch_size=study.batch_size,
        validation_split=study.validation_split,
        loss=study.loss,
        progress=False,
    )
    return result.test_accuracy[:, 0]


def _by_fit(
    work: Work, data: Dataset, seeds: int, epochs: int, names: Sequence[str]
) -> np.ndarray:
    """Do what a reader would type: one model, one ``fit``, one ``evaluate`` each."""
    import keras

    from initlab.race import InitializerMaker

    study, build, accuracies = work.study, work.builder(data), []
    for name in names:
        for seed in range(seeds):
            keras.utils.set_random_seed(seed)
            # What `race` gives to a builder, so that both begin with the same kernels.
            model = build(InitializerMaker(name, seed, work.initializers[name].keras))
            model.compile(study.optimizer, study.loss, metrics=["accuracy"])
            model.fit(
                *(data.x_train, data.y_train),
                epochs=epochs,
                batch_size=study.batch_size,
                validation_split=study.validation_split,
                verbose=0,
            )
            scores = model.evaluate(data.x_test, data.y_test, verbose=0)
            accuracies.append(scores[1])
    return np.reshape(accuracies, (-1, seeds))


WORKS = {
    "question_8": Work(
        title="question 8, dense",
        study=fashion_mnist(),
        variant="hidden_only",
        names=("zeros", "random_normal", "glorot_normal", "he_normal"),
        samples=60_000,
        epochs=5,
        wanted="≥ 6",
        part=0.4,
    ),
    "slide_11": Work(
        title="slide 11, recurrent",
        study=imdb(),
        variant="embedding",
        names=("uniform", "glorot_uniform", "he_normal"),
        samples=25_000,
        epochs=3,
        wanted="≥ 6",
        part=0.2,
    ),
    "slide_10": Work(
        title="slide 10, convolutional",
        study=cifar10(),
        variant="cnn",
        names=("glorot_uniform", "he_normal", "random_normal"),
        samples=50_000,
        epochs=5,
        wanted="≥ 1.2",
        part=0.1,
    ),
}


if __name__ == "__main__":
    sys.exit(main())
