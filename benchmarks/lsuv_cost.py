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

CALLS_ALLOWED, DOUBLING_ALLOWED = 1.5, 2.3
TOLERANCE = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its tables and return 0 if all limits are kept."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    options = _parse(arguments)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(options.samples, options.width)).astype(np.float32)
    good = _cost(options, x)
    good &= _growth(options, x)
    print("\nall limits are kept" if good else "\nA LIMIT IS NOT KEPT")
    return 0 if good else 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
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
    return parser.parse_args(arguments)


def _cost(options: argparse.Namespace, x: np.ndarray) -> bool:
    """Compare one network's cost with that of its forward passes; print a table."""
    from initlab.lsuv import lsuv

    model = _network(options.depth, options.width)
    start = model.get_weights()
    report = lsuv(model, x, tolerance=TOLERANCE, orthonormal=False)
    kernels = model.get_weights()[::2]
    model.set_weights(start)
    started = time.perf_counter()
    textbook_calls = _textbook(model, x)
    textbook_seconds = time.perf_counter() - started
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
        options.repeats,
        before_each=lambda: model.set_weights(start),
    )
    print(
        f"{options.depth} layers of {options.width} units, {options.samples} samples, "
        f"{sum(needed) - len(needed)} iterations, {os.cpu_count()} cores"
    )
    print(f"{'':30}{'layer calls':>12}{'ratio':>8}{'seconds':>10}{'ratio':>8}")
    for name, calls, seconds in (
        ("the calls that are needed", sum(needed), alone),
        ("lsuv from the given kernels", report.layer_calls, rescaling),
        ("lsuv from orthonormal ones", report.layer_calls, whole),
        ("a new model for every layer", textbook_calls, textbook_seconds),
    ):
        print(
            f"{name:30}{calls:12,}{calls / sum(needed):8.2f}"
            f"{seconds:10.3f}{seconds / alone:8.2f}"
        )
    print(f"largest relative difference of the kernels: {apart:.1e}")
    return apart < 1e-3 and report.layer_calls <= CALLS_ALLOWED * sum(needed)


def _growth(options: argparse.Namespace, x: np.ndarray) -> bool:
    """Time lsuv at half, once and twice the depth; print a table."""
    from initlab.lsuv import lsuv

    depths = [options.depth // 2, options.depth, options.depth * 2]
    models = [_network(depth, options.width) for depth in depths]
    runs = [lambda model=model: lsuv(model, x, tolerance=TOLERANCE) for model in models]
    seconds = _fastest(runs, options.repeats)
    print(f"\n{'depth':>8}{'seconds':>10}{'of the half':>13}")
    for place, depth in enumerate(depths):
        ratio = f"{seconds[place] / seconds[place - 1]:13.2f}" if place else ""
        print(f"{depth:8}{seconds[place]:10.3f}{ratio}")
    return all(
        after <= DOUBLING_ALLOWED * before
        for before, after in zip(seconds[:-1], seconds[1:], strict=True)
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
