"""What a race found: every curve of every run, and the questions to ask of them.

:class:`Race` is what ``race`` returns and what a recording stores. Ask it for
``values`` of one initializer, for their ``interval`` over seeds, for the ``paired``
difference of two initializers, or for the ``best_learning_rate`` of one.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from initlab.intervals import Interval, interval

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
ENDS = ("test_loss", "test_accuracy")
METRICS = (*CURVES, *ENDS)
BEST = "best"

_MEASURED = (*METRICS, "diverged")
_WEIGHTS = ("initial_weights", "final_weights")


@dataclass(frozen=True, eq=False, repr=False)
class Race:
    """Every run of a race, diverged ones included.

    A run that gave a loss that is not finite has ``diverged``: its curves are NaN from
    that epoch on, and so are its test results.

    Attributes:
        initializers: Names, in the order of axis 0.
        learning_rates: The rates, in the order of axis 1.
        seeds: The seeds, in the order of axis 2. One seed means the same data order for
            every initializer and rate, so the runs of a seed can be compared in pairs.
        loss: Training loss, shape ``(initializers, learning_rates, seeds, epochs)``:
            the mean over the samples while the weights move, as in Keras's history.
        accuracy: Training accuracy, shape and meaning likewise.
        val_loss: Loss on the validation samples after each epoch, shape likewise.
        val_accuracy: Their accuracy, shape likewise.
        test_loss: Loss on the test data, measured once, after the last epoch, shape
            ``(initializers, learning_rates, seeds)``.
        test_accuracy: Accuracy on the test data, shape likewise.
        diverged: Booleans, shape ``(initializers, learning_rates, seeds)``.
        settings: How the race was run (epochs, batch size, optimizer, engine ...).
        seconds: Wall time.
        initial_weights: If they were kept, one array per variable of the model, shape
            ``(initializers, learning_rates, seeds, ...)``; not stored as JSON.
        final_weights: The same at the end of training.

    What was not measured is ``None``: accuracy of a regression, validation without a
    validation split, test results without test data.
    """

    initializers: tuple[str, ...]
    learning_rates: tuple[float, ...]
    seeds: tuple[int, ...]
    loss: np.ndarray
    accuracy: np.ndarray | None
    val_loss: np.ndarray | None
    val_accuracy: np.ndarray | None
    test_loss: np.ndarray | None
    test_accuracy: np.ndarray | None
    diverged: np.ndarray
    settings: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    initial_weights: tuple[np.ndarray, ...] | None = None
    final_weights: tuple[np.ndarray, ...] | None = None

    def __repr__(self) -> str:
        """Say what was raced; the numbers are in the methods."""
        counts = (
            (len(self.initializers), "initializer"),
            (len(self.learning_rates), "learning rate"),
            (len(self.seeds), "seed"),
            (self.loss.shape[-1], "epoch"),
        )
        size = " × ".join(f"{n} {noun}{'s' * (n != 1)}" for n, noun in counts)
        diverged = int(self.diverged.sum())
        return f"Race({size}{f', {diverged} diverged' if diverged else ''})"

    def values(
        self,
        initializer: str,
        metric: str = "test_accuracy",
        learning_rate: float | str | None = None,
    ) -> np.ndarray:
        """Return one initializer's numbers, one row per seed.

        Args:
            initializer: One of ``initializers``.
            metric: ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy`` (a curve) or
                ``test_loss``, ``test_accuracy`` (one number per run).
            learning_rate: One of ``learning_rates``, or ``"best"``: see
                :meth:`best_learning_rate`. Needed only if the race had several.

        Returns:
            Array of shape ``(seeds, epochs)`` for a curve, ``(seeds,)`` otherwise.

        Raises:
            ValueError: If the race has no such initializer, metric or learning rate.
        """
        chosen = self._rate_index(initializer, learning_rate)
        return self._metric(metric)[self._index(initializer), chosen]

    def mean(
        self,
        initializer: str,
        metric: str = "test_accuracy",
        learning_rate: float | str | None = None,
    ) -> np.ndarray | float:
        """Return the mean over seeds of :meth:`values`: per epoch, or one number.

        It is NaN where a run has diverged: a mean over the survivors would flatter.
        """
        mean = self.values(initializer, metric, learning_rate).mean(axis=0)
        return float(mean) if mean.ndim == 0 else mean

    def interval(
        self,
        initializer: str,
        metric: str = "test_accuracy",
        learning_rate: float | str | None = None,
        *,
        level: float = 0.95,
    ) -> Interval:
        """Return the mean over seeds of :meth:`values` and its Student-t interval.

        Returns:
            An ``Interval(mean, low, high, n)``: see ``initlab.interval``.

        Raises:
            ValueError: If there are fewer than 2 seeds, or if a run has diverged.
        """
        values = self.values(initializer, metric, learning_rate)
        return self._interval(values, (initializer,), learning_rate, level)

    def paired(
        self,
        a: str,
        b: str,
        metric: str = "test_accuracy",
        learning_rate: float | str | None = None,
        *,
        level: float = 0.95,
    ) -> Interval:
        """Return the interval of ``a - b``, taken seed by seed.

        The runs of one seed share their data order, so the difference loses the noise
        that both have in common: a paired t interval.

        Args:
            a: The initializer to subtract from.
            b: The initializer to subtract.
            metric: As for :meth:`values`.
            learning_rate: One rate for both, or ``"best"`` for each one's own best.
            level: Confidence level.

        Returns:
            An ``Interval(mean, low, high, n)`` of the differences.

        Raises:
            ValueError: If there are fewer than 2 seeds, or if a run has diverged.
        """
        difference = self.values(a, metric, learning_rate) - self.values(
            b, metric, learning_rate
        )
        return self._interval(difference, (a, b), learning_rate, level)

    def best_learning_rate(self, initializer: str, metric: str | None = None) -> float:
        """Return the rate with the best mean over seeds at the end of training.

        The test data has no say in it. A rate with a diverged run loses to every rate
        without one; of equally good rates the smallest is taken.

        Args:
            initializer: One of ``initializers``.
            metric: A curve whose last epoch counts: by default ``val_accuracy``, or,
                where it was not measured, ``val_loss``, or else ``loss``.

        Raises:
            ValueError: If the metric is no curve, or if every rate has a diverged run.
        """
        if metric is None:
            candidates = ("val_accuracy", "val_loss", "loss")
            metric = next(m for m in candidates if getattr(self, m) is not None)
        if metric not in CURVES:
            raise ValueError(
                f"metric must be one of {', '.join(CURVES)} to choose a learning rate "
                f"(the test data must not choose), got {metric!r}"
            )
        index = self._index(initializer)
        ends = self._metric(metric)[index, :, :, -1].mean(axis=-1)
        score = ends if metric.endswith("accuracy") else -ends
        score[self.diverged[index].any(axis=-1)] = -np.inf
        if np.isneginf(score).all():
            raise ValueError(
                f"{initializer} has no best learning rate: "
                "at every rate at least one run diverged"
            )
        order = np.argsort(self.learning_rates, kind="stable")
        return self.learning_rates[order[np.argmax(score[order])]]

    def to_dict(self, digits: int | None = None) -> dict[str, Any]:
        """Return the race as lists and numbers; NaN becomes ``None``.

        Args:
            digits: Significant digits to keep; all of them by default.
        """
        return {
            "initializers": list(self.initializers),
            "learning_rates": list(self.learning_rates),
            "seeds": list(self.seeds),
            "settings": dict(self.settings),
            "seconds": round(self.seconds, 2),
            **{name: _to_list(getattr(self, name), digits) for name in _MEASURED},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Race:
        """Return the race that :meth:`to_dict` wrote.

        Raises:
            ValueError: If something is missing, unknown or of another shape.
        """
        fields = {each.name for each in dataclasses.fields(cls)}
        names = fields.difference(_WEIGHTS)
        wrong = sorted(names ^ set(content))
        if wrong:
            raise ValueError(
                f"content must hold exactly the parts of a race; wrong: {wrong}"
            )
        axes = ("initializers", "learning_rates", "seeds")
        parts: dict[str, Any] = {name: content[name] for name in names}
        parts.update({name: tuple(content[name]) for name in axes})
        shape = tuple(len(parts[name]) for name in axes)
        for name in _MEASURED:
            if content[name] is None:
                continue
            kind = bool if name == "diverged" else float
            parts[name] = np.array(content[name], dtype=kind)
            if parts[name].shape[:3] != shape:
                raise ValueError(
                    f"{name} must have the shape {shape} of the initializers, "
                    f"learning rates and seeds, got {parts[name].shape}"
                )
        return cls(**parts)

    def to_json(self, digits: int | None = None) -> str:
        """Return the race as JSON; weights that were kept are left out."""
        return json.dumps(self.to_dict(digits), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Race:
        """Return the race that :meth:`to_json` wrote.

        Raises:
            ValueError: If the text is not JSON, or not a race.
        """
        return cls.from_dict(json.loads(text))

    @classmethod
    def join(cls, races: Sequence[Race]) -> Race:
        """Return one race from races that differ in their seeds only.

        Raises:
            ValueError: If they differ in more, or share a seed.
        """
        if not races:
            raise ValueError("races must hold at least one race, got none")
        first = races[0]
        for other in races[1:]:
            for name in ("initializers", "learning_rates", "settings"):
                if getattr(other, name) != getattr(first, name):
                    raise ValueError(
                        f"races must have the same {name}, got "
                        f"{getattr(first, name)} and {getattr(other, name)}"
                    )
        seeds = tuple(seed for each in races for seed in each.seeds)
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"races must not share a seed, got seeds {seeds}")

        def joined(name: str) -> Any:
            parts = [getattr(each, name) for each in races]
            if any(part is None for part in parts):
                return None
            if isinstance(parts[0], tuple):  # weights: one array per variable
                by_variable = zip(*parts, strict=True)
                return tuple(np.concatenate(each, axis=2) for each in by_variable)
            return np.concatenate(parts, axis=2)

        return cls(
            initializers=first.initializers,
            learning_rates=first.learning_rates,
            seeds=seeds,
            settings=first.settings,
            seconds=sum(each.seconds for each in races),
            **{name: joined(name) for name in (*_MEASURED, *_WEIGHTS)},
        )

    def _index(self, initializer: str) -> int:
        if initializer not in self.initializers:
            raise ValueError(
                f"initializer must be one of {', '.join(self.initializers)}, "
                f"got {initializer!r}"
            )
        return self.initializers.index(initializer)

    def _rate_index(self, initializer: str, learning_rate: float | str | None) -> int:
        if learning_rate == BEST:
            learning_rate = self.best_learning_rate(initializer)
        elif learning_rate is None and len(self.learning_rates) == 1:
            return 0
        if learning_rate not in self.learning_rates:
            rates = ", ".join(f"{rate:g}" for rate in self.learning_rates)
            raise ValueError(
                f'learning_rate must be one of {rates}, or "best", '
                f"got {learning_rate!r}"
            )
        return self.learning_rates.index(learning_rate)

    def _metric(self, metric: str) -> np.ndarray:
        if metric not in METRICS:
            raise ValueError(
                f"metric must be one of {', '.join(METRICS)}, got {metric!r}"
            )
        values = getattr(self, metric)
        if values is None:
            raise ValueError(f"this race did not measure {metric}")
        return values

    def _interval(
        self,
        values: np.ndarray,
        initializers: Sequence[str],
        learning_rate: float | str | None,
        level: float,
    ) -> Interval:
        for name in initializers:
            runs = self.diverged[
                self._index(name), self._rate_index(name, learning_rate)
            ]
            if runs.any():
                raise ValueError(
                    f"{name} diverged in {int(runs.sum())} of {len(runs)} runs: report "
                    "that number, because an interval over the others would flatter"
                )
        return interval(values, level)


def _to_list(array: np.ndarray | None, digits: int | None) -> Any:
    if array is None or array.dtype == bool:
        return None if array is None else array.tolist()

    def clean(value: Any) -> Any:
        if isinstance(value, list):
            return [clean(each) for each in value]
        if not np.isfinite(value):
            return None
        return value if digits is None else float(f"{value:.{digits}g}")

    return clean(array.tolist())
