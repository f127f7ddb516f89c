"""Time ``lsuv`` against plain forward passes, and over the depth of the network.

``python -m benchmarks.lsuv_cost`` rescales a deep ReLU network in one process in three
ways: by ``lsuv``; by calling its layers exactly as often as ``lsuv`` does and nothing
else; and the textbook way, with a new model up to each layer, which calls the layers
below again for every iteration. It checks that both algorithms give the same kernels,
that the calls, which are counted, are at most 1.5 times those that the iterations need,
and that twice the depth takes at most 2.3 times as long.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.table import Row, show, timed

TOLERANCE = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its table and return 0 if all limits are kept."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lsuv_cost",
        description="Time lsuv against plain forward passes, and over the depth.",
    )
    parser.add_argument("--depth", type=int, default=100, help="layers")
    parser.add_argument("--width", type=int, default=256, help="units of each layer")
    parser.add_argument(
        "--samples", type=int, default=1024, help="samples in the batch"
    )
    parser.add_argument("--repeats", type=int, default=5, help="the fastest one counts")
    options = parser.parse_args(arguments)
    for name, value in vars(options).items():
        if value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    return show(rows(**vars(options)))


def rows(
    depth: int = 100, width: int = 256, samples: int = 1024, repeats: int = 5
) -> list[Row]:
    """Measure cost and growth."""
    x = np.random.default_rng(0).normal(size=(samples, width)).astype(np.float32)
    return [*_cost(depth, width, x, repeats), _growth(depth, width, x, repeats)]


def _cost(depth: int, width: int, x: np.ndarray, repeats: int) -> list[Row]:
    """Compare lsuv with its own forward passes, and with the textbook way."""
    from initlab.lsuv import lsuv

    model = _network(depth, width)
    start = model.get_weights()
    report = lsuv(model, x, tolerance=TOLERANCE, orthonormal=False)
    kernels = model.get_weights()[::2]
    model.set_weights(start)
    textbook, textbook_calls = timed(lambda: _textbook(model, x))
    apart = max(
        np.abs(ours - theirs).max() / np.abs(theirs).max()
        for ours, theirs in zip(kernels, model.get_weights()[::2], strict=True)
    )
    needed = [layer.iterations + 1 for layer in report.layers]
    alone, rescaling, whole = _fastest(
        [
            lambda: _call_layers(model, x, needed),
            lambda: lsuv(model, x, tolerance=TOLERANCE, orthonormal=False),
            lambda: lsuv(model, x, tolerance=TOLERANCE),
        ],
        repeats,
        before_each=lambda: model.set_weights(start),
    )
    size = f"lsuv, {depth} × {width}"
    same = bool(apart < 1e-3)
    return [
        Row(
            work=f"{size}: layer calls, over those that its iterations need",
            ours=rescaling,
            theirs=alone,
            ratio=report.layer_calls / sum(needed),
            wanted="≤ 1.5",
            same=same,
            note=f"{report.layer_calls} calls; with orthonormal kernels {whole:.2f} s",
        ),
        Row(
            work=f"{size}: a new model for every layer, {textbook_calls:,} calls",
            ours=rescaling,
            theirs=textbook,
            ratio=textbook / rescaling,
            wanted="≥ 2",
            same=same,
            note=f"kernels apart by {apart:.0e}",
        ),
    ]


def _growth(depth: int, width: int, x: np.ndarray, repeats: int) -> Row:
    """Time lsuv at half, once and twice the depth."""
    from initlab.lsuv import lsuv

    depths = [max(depth // 2, 1), depth, depth * 2]
    models = [_network(each, width) for each in depths]
    runs = [lambda model=model: lsuv(model, x, tolerance=TOLERANCE) for model in models]
    seconds = _fastest(runs, repeats)
    ratios = [seconds[1] / seconds[0], seconds[2] / seconds[1]]
    times = ", ".join(
        f"{layers} layers {taken:.2f} s"
        for layers, taken in zip(depths, seconds, strict=True)
    )
    return Row(
        work="lsuv: twice the depth, over once",
        ours=seconds[2],
        theirs=seconds[1],
        ratio=max(ratios),
        wanted="≤ 2.3",
        same=True,
        note=times,
    )


def _network(depth: int, width: int) -> Any:
    import keras

    from initlab import schemes

    orthogonal = schemes.orthogonal()
    hidden = [
        keras.layers.Dense(width, "relu", kernel_initializer=orthogonal.keras(seed))
        for seed in range(depth)
    ]
    return keras.Sequential([keras.Input((width,)), *hidden])


def _call_layers(model: Any, x: np.ndarray, calls: Sequence[int]) -> None:
    """Call each layer on the output of the one below, and do nothing else."""
    import keras

    x = keras.ops.convert_to_tensor(x)
    for layer, times in zip(model.layers, calls, strict=True):
        for _ in range(times):
            output = layer(x)
        x = output
    np.asarray(x)


def _textbook(model: Any, x: np.ndarray) -> int:
    """Rescale with a new model for every layer; return how often layers were called."""
    import keras

    calls = 0
    for depth, layer in enumerate(model.layers, start=1):
        below = keras.Model(model.inputs[0], layer.input)
        kernel, bias = layer.get_weights()
        variance = 0.0
        while abs(variance - 1) > TOLERANCE:
            if variance:
                kernel /= np.sqrt(variance)
            z = keras.ops.matmul(below(x, training=False), kernel) + bias
            variance = float(np.var(z))
            calls += depth
        layer.kernel.assign(kernel)
    return calls


def _fastest(
    runs: Sequence[Callable[[], Any]],
    repeats: int,
    before_each: Callable[[], Any] = lambda: None,
) -> list[float]:
    """Return the shortest time of each run; they take turns."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, taken in zip(runs, times, strict=True):
            before_each()
            started = time.perf_counter()
            run()
            taken.append(time.perf_counter() - started)
    return [min(taken) for taken in times]


if __name__ == "__main__":
    sys.exit(main())
