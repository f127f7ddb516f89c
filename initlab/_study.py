"""What a case study is: networks, data, and everything that decides its numbers.

The studies themselves stand in ``_study_list``; ``_study_runs`` trains them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from initlab.data import Dataset


@dataclass(frozen=True)
class Variant:
    """One network of a study and the initializers that race on it.

    ``build(initializer, data)`` returns the network; of the data a data-dependent
    initializer may use the training inputs.
    """

    description: str
    build: Callable[[Any, Dataset], Any]
    initializers: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A case study.

    Attributes:
        title: What is raced, in a line.
        load: Returns the data in the form that the networks take.
        variants: The networks, by name.
        variables: The weights of every variant, in Keras's order.
        loss: A Keras name or loss object.
        epochs: Passes over the training samples.
        batch_size: Samples per step.
        seeds: How many.
        learning_rates: Each initializer is trained with each of them; 0.0003, 0.001 and
            0.003 by default.
        usual_rate: The one that ``verify`` repeats, where runs are trained one by one;
            0.001 by default.
        optimizer: A Keras name; Adam by default.
        validation_split: The share of the samples, the last ones, that is kept for
            validation; a fifth by default.
        stacked: Whether the runs of a seed are trained at once, as one part of the
            recording, as by default; otherwise every run is a part of its own.
        units: The kernel and bias of the hidden layer whose different units are
            counted; none by default.
    """

    title: str
    load: Callable[[], Dataset]
    variants: Mapping[str, Variant]
    variables: tuple[str, ...]
    loss: Any
    epochs: int
    batch_size: int
    seeds: int
    learning_rates: tuple[float, ...] = (0.0003, 0.001, 0.003)
    usual_rate: float = 0.001
    optimizer: str = "adam"
    validation_split: float = 0.2
    stacked: bool = True
    units: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """What is trained, and written to the recording, as a whole.

    Initializer and learning rate are ``None`` where all of them are trained at once.
    """

    variant: str
    seed: int
    initializer: str | None = None
    learning_rate: float | None = None

    def __str__(self) -> str:
        """Return its key in an unfinished recording."""
        names = (self.variant, f"seed {self.seed}", self.initializer)
        rate = None if self.learning_rate is None else f"{self.learning_rate:g}"
        return " · ".join(filter(None, (*names, rate)))


def parts_of(study: Study, seeds: int) -> list[Part]:
    """Return all parts of a recording, seed by seed in every variant."""
    parts = []
    for name, variant in study.variants.items():
        for seed in range(seeds):
            if study.stacked:
                parts.append(Part(name, seed))
                continue
            parts += [
                Part(name, seed, initializer, rate)
                for initializer in variant.initializers
                for rate in study.learning_rates
            ]
    return parts


def parts_to_repeat(study: Study, seed: int) -> list[Part]:
    """Return parts with which every initializer of every variant is run once more."""
    return [
        part
        for part in parts_of(study, seed + 1)
        if part.seed == seed and part.learning_rate in (None, study.usual_rate)
    ]
