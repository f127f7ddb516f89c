"""The command line: ``python -m initlab COMMAND``; ``--help`` says the rest.

Exit status 0 means done, 2 that it could not be done (the message on stderr says why),
130 that it was interrupted. 1 is kept for a command that finds something ill.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from initlab import runtime

_ILL, _FAILED, _INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    Args:
        arguments: The words after ``python -m initlab``; by default those of the
            process.
    """
    # Before anything imports TensorFlow, which greets on stderr otherwise.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m initlab",
        description="The laboratory of the course on weight initialization.",
        epilog="`python -m initlab COMMAND --help` explains a command.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_gain(commands)
    _add_diagnose(commands)
    _add_record(commands)
    _add_grade(commands)
    return parser


def _add_gain(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "gain",
        help="print the gains that keep signal and gradient at their scale",
        description="Print two gains. Weights of variance gain² / fan_in keep the "
        "second moment of the pre-activations through a layer with this activation "
        "(forward); gain² / fan_out keeps that of their gradients (backward). Then "
        "which gain to take in a deep network, why, and what goes wrong all the same.",
        epilog="Example: python -m initlab gain mish",
    )
    parser.add_argument(
        "activation", metavar="ACTIVATION", help="its Keras name: relu, tanh, gelu ..."
    )
    parser.set_defaults(run=_gain)


def _add_diagnose(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "diagnose",
        help="examine a Keras model before it is trained, and name what ails it",
        description="Run the model once forward and backward on some samples, without "
        "changing it, and print the doctor's letter: the vital signs of every layer, "
        "then each illness with its reason and a prescription. Exit status 0 means "
        "healthy, 1 that something is ill, 2 that it could not be done.",
        epilog="Example: python -m initlab diagnose model.keras data.npz",
    )
    parser.add_argument(
        "model", metavar="MODEL.keras", type=Path, help="what model.save(...) wrote"
    )
    parser.add_argument(
        "data",
        metavar="DATA.npz",
        type=Path,
        help="arrays named x and y (or x_train and y_train), as numpy.savez writes "
        "them: numpy.savez('data.npz', x=x, y=y)",
    )
    parser.add_argument(
        "--samples", type=int, metavar="N", default=128, help="how many to use (128)"
    )
    parser.add_argument(
        "--loss",
        metavar="NAME",
        help="a Keras loss (default: the one that the model was compiled with)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, not a letter")
    parser.set_defaults(run=_diagnose)


def _add_record(commands: argparse._SubParsersAction) -> None:
    from initlab import studies

    parser = commands.add_parser(
        "record",
        help="run a case study at full size and write its results as JSON",
        description="Run a case study at full size, on the real data, and write "
        "NAME.json: every curve of every run, with versions, machine and data. What is "
        "finished is kept if the command is interrupted; run it again to go on.",
        epilog="Example: INITLAB_DATA=data python -m initlab record fashion_mnist",
    )
    parser.add_argument("name", metavar="NAME", help=" or ".join(studies.names()))
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="runs of each kind (the study's own)"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help="epochs of each run (the study's own)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write to (results)"
    )
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on with an unfinished recording, or drop it (default: go on)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes, each with one thread (one per core, at most 4); 0: this one",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="write nothing: run one seed of every initializer again and compare with "
        "the recording in --out; exit status 1 means that they differ",
    )
    parser.set_defaults(run=_record)


def _add_grade(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "grade",
        help="run submitted exercise notebooks within limits and write a table",
        description="Run every notebook (*.ipynb) under FOLDER alone, in a copy and in "
        "a kernel of its own, and write one line for each task: submission, task, "
        "result (correct, wrong, not attempted, not reached, failed) and diagnosis. "
        "The answers are graded in another process, so a notebook cannot give itself a "
        "verdict; one that crashes or never ends costs only its own lines. It does run "
        "with your rights: grade what strangers hand in inside a container.",
        epilog="Example: python -m initlab grade submissions --out grades.csv",
    )
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="what was handed in"
    )
    parser.add_argument(
        "--out",
        metavar="FILE.csv",
        type=Path,
        default=Path("grades.csv"),
        help="the table to write (grades.csv)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="notebooks at the same time (one per core, as far as memory goes)",
    )
    for name, default, text in (
        ("--seconds", 300.0, "for one whole notebook, and again for its answers"),
        ("--cell-seconds", 60.0, "for one cell, and for grading one answer"),
        ("--memory-mb", 3000.0, "resident memory of one notebook's processes"),
    ):
        parser.add_argument(
            name,
            type=float,
            metavar="N",
            default=default,
            help=f"{text} ({default:g})",
        )
    parser.set_defaults(run=_grade)


def _gain(options: argparse.Namespace) -> int:
    from initlab import theory

    forward = theory.forward_gain(options.activation)
    backward = theory.backward_gain(options.activation)
    advice = theory.recommend(options.activation)
    rest = advice.fixed_point
    stability = "stable" if rest.stable else "marginal" if rest.marginal else "unstable"
    lines = {
        "activation": advice.activation,
        "forward gain": f"{forward:.6f}   Var w = {forward**2:.6f} / fan_in",
        "backward gain": f"{backward:.6f}   Var w = {backward**2:.6f} / fan_out",
        "per layer": "the forward gain multiplies the second moment of gradients by "
        f"{(forward / backward) ** 2:.3f}",
        "recommended": f"gain {advice.gain:.4f}   "
        f"Var w = {advice.gain**2:.4f} / {advice.fan_rule}",
        "fixed point": "none, second moments go on growing"
        if math.isinf(rest.value)
        else f"second moment {rest.value:.4g}, slope {rest.slope:.4f} ({stability})",
        "why": advice.why,
        "warning": advice.warning or "none",
    }
    for name, text in lines.items():
        for part in textwrap.wrap(text, 64, break_on_hyphens=False):
            print(f"{name:<15}{part}")
            name = ""
    return 0


def _diagnose(options: argparse.Namespace) -> int:
    x, y = _samples(options.data)
    from initlab.doctor import diagnose

    diagnosis = diagnose(
        _model(options.model), x, y, loss=options.loss, batch_size=options.samples
    )
    if options.json:
        print(json.dumps(diagnosis.to_dict(), indent=2, allow_nan=False))
    else:
        print(diagnosis)
    return 0 if diagnosis.healthy else _ILL


def _samples(path: Path) -> tuple[Any, Any]:
    """Read x and y of a file of numpy arrays; nothing in it is executed."""
    import numpy as np

    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = arrays.files
            for pair in (("x", "y"), ("x_train", "y_train")):
                if set(pair) <= set(names):
                    return arrays[pair[0]], arrays[pair[1]]
    except (ValueError, TypeError, OSError, EOFError, BadZipFile) as error:
        raise ValueError(
            f"{path} must be an .npz file of plain numpy arrays, which it is not: "
            f"{_first_line(error)}"
        ) from None
    raise ValueError(
        f"{path} must hold arrays x and y, or x_train and y_train; "
        f"it holds {', '.join(names) or 'none'}"
    )


def _model(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    with runtime.no_garbage_collection():
        import keras

    # Registers the initializers with which a model of this laboratory may be saved.
    from initlab import keras_initializer  # noqa: F401

    try:
        with warnings.catch_warnings():  # of the optimizer's state, which is not used
            warnings.simplefilter("ignore")
            return keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # a broken file may raise anything
        raise ValueError(
            f"{path} is no Keras model that can be loaded: {_first_line(error)}"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _record(options: argparse.Namespace) -> int:
    from initlab import studies

    if options.verify:
        return _verify(options)
    file = studies.record(
        options.name,
        seeds=options.seeds,
        epochs=options.epochs,
        out=options.out,
        resume=options.resume,
        workers=options.workers,
        report=print,
    )
    print(f"written: {file}")
    return 0


def _grade(options: argparse.Namespace) -> int:
    from initlab import grade

    limits = grade.Limits(options.seconds, options.cell_seconds, options.memory_mb)
    try:
        grade.grade_folder(
            options.folder, options.out, options.jobs, limits, report=_print_now
        )
    except ImportError as error:
        raise RuntimeError(error) from None
    print(f"written: {options.out}")
    return 0


def _print_now(line: str) -> None:
    print(line, flush=True)


def _verify(options: argparse.Namespace) -> int:
    from initlab import studies

    if options.seeds is not None or options.epochs is not None:
        raise ValueError(
            "--verify repeats what was recorded: leave out --seeds and --epochs"
        )
    verification = studies.verify(
        options.name, directory=options.out, workers=options.workers
    )
    print(verification)
    return 0 if verification.passed else _ILL


if __name__ == "__main__":
    sys.exit(main())
