"""The command line: ``python -m initlab COMMAND``; ``--help`` says the rest.

Exit status 0 means done, 2 that it could not be done (the message on stderr says why),
130 that it was interrupted. 1 is kept for a command that finds something ill.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_FAILED, _INTERRUPTED = 2, 130


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
    _add_record(commands)
    return parser


def _add_gain(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "gain",
        help="print the gains that keep signal and gradient at their scale",
        description="Print two gains. Weights of variance gain² / fan_in keep the "
        "second moment of the pre-activations through a layer with this activation "
        "(forward); gain² / fan_out keeps that of their gradients (backward).",
        epilog="Example: python -m initlab gain relu",
    )
    parser.add_argument(
        "activation", metavar="ACTIVATION", help="its Keras name: relu, tanh, gelu ..."
    )
    parser.set_defaults(run=_gain)


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
        "--seeds", type=int, metavar="N", help="runs of each kind (the study's own: 5)"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help="epochs of each run (the study's own: 5)",
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
    parser.set_defaults(run=_record)


def _gain(options: argparse.Namespace) -> int:
    from initlab import theory

    forward = theory.forward_gain(options.activation)
    backward = theory.backward_gain(options.activation)
    print(f"activation     {options.activation}")
    print(f"forward gain   {forward:.6f}   Var w = {forward**2:.6f} / fan_in")
    print(f"backward gain  {backward:.6f}   Var w = {backward**2:.6f} / fan_out")
    return 0


def _record(options: argparse.Namespace) -> int:
    from initlab import studies

    file = studies.record(
        options.name,
        seeds=options.seeds,
        epochs=options.epochs,
        out=options.out,
        resume=options.resume,
        report=print,
    )
    print(f"written: {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
