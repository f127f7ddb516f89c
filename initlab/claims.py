"""Sentences that are checked: :func:`claim` prints one only if its condition holds.

A chapter states what it found as claims. The claims ledger of the book is generated
from what this module prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MARK = "✔"


class ClaimError(AssertionError):
    """A sentence of the course that its own measurement contradicts."""


def claim(sentence: str, condition: bool | Sequence[bool], **measured: Any) -> None:
    """Print a sentence of the course if it holds; stop the notebook if it does not.

    Only the sentence is printed, not the numbers, so that the output is the same on
    every machine. Print numbers that readers want to see in a cell of their own.

    Args:
        sentence: What is claimed, in words that stand alone in the ledger.
        condition: ``True`` or ``False``: one boolean, or an array of booleans that
            must all be true (one per seed, say).
        **measured: The numbers behind the condition, shown if it fails.

    Raises:
        ClaimError: If the condition is false; the message shows ``measured``.
        TypeError: If ``condition`` is anything but booleans (a number would nearly
            always count as true, and the claim could not fail).
        ValueError: If the sentence or the array of conditions is empty.
    """
    if not isinstance(sentence, str) or not sentence.strip():
        raise ValueError(f"sentence must be a sentence, got {sentence!r}")
    outcomes = np.asarray(condition)
    if outcomes.dtype != bool:
        raise TypeError(
            f"condition must be True or False, got {condition!r}; "
            "compare the number with what the sentence says"
        )
    if outcomes.size == 0:
        raise ValueError("condition must hold at least one boolean, got an empty array")
    if not outcomes.all():
        numbers = "".join(f"\n  {name} = {value}" for name, value in measured.items())
        raise ClaimError(f"does not hold: {sentence}{numbers}")
    print(f"{MARK} {sentence}")
