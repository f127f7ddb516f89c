"""The doctor's letter: the table of the layers and the findings, as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from initlab._doctor.finding import Finding
from initlab._doctor.vitals import LayerSigns, Vitals

_WIDTH = 80
_NAME = 20
# A longer table is cut in the middle: its ends show what grows and what dies.
_ROWS = 24
_HEAD = (
    f"{'':{_NAME}}{'second moments':^26}{'weights':^16}{'units, %':>17}",
    f"{'layer':{_NAME}}{'before f':>9}{'after':>9}{'gradient':>9}"
    f"{'std/asked':>10}{'step':>8}{'dead':>5}{'flat':>5}{'same':>5}",
)
_KEY = (
    "before f, after: of the signal, around the activation; gradient: of the loss, "
    "before f; std/asked: std of the weights over what fan-in and activation ask for; "
    "step: the optimizer's first step over the weights; dead: 0 for every sample; "
    "flat: slopes where f saturates; same: units with the weights of another."
)


def write(model: str, vitals: Vitals, findings: Sequence[Finding]) -> str:
    """Return the letter."""
    ill = sum(finding.severity == "ill" for finding in findings)
    state = {0: "healthy", 1: "1 illness"}.get(ill, f"{ill} illnesses")
    parts = [
        f"Diagnosis of {model}: {state}",
        _wrapped(
            f"{vitals.samples} samples, one forward and one backward pass, as in "
            f"training but without dropout; {vitals.optimizer}."
        ),
        "\n".join([*_HEAD, *_table(vitals.layers)]),
        _wrapped(_KEY),
        _wrapped(_start(vitals)),
    ]
    if vitals.unknown:
        parts.append(_wrapped(f"Not examined: {', '.join(vitals.unknown)}."))
    for number, finding in enumerate(findings, 1):
        parts.append(_paragraph(number, finding))
    if not findings:
        parts.append("Nothing is ill: train it.")
    return "\n\n".join(parts)


def _table(layers: Sequence[LayerSigns]) -> list[str]:
    if len(layers) <= _ROWS:
        return [_row(signs) for signs in layers]
    half = _ROWS // 2
    return [
        *(_row(signs) for signs in layers[:half]),
        f"… {len(layers) - 2 * half} more …",
        *(_row(signs) for signs in layers[-half:]),
    ]


def _row(signs: LayerSigns) -> str:
    name = signs.name
    if len(name) >= _NAME:
        name = "…" + name[2 - _NAME :]
    same = 100 * signs.duplicates / signs.units if signs.has_kernel else None
    return (
        f"{name:{_NAME}}{_moment(signs.pre_activation)}{_moment(signs.output)}"
        f"{_moment(signs.gradient)}{_number(signs.std_ratio, '10.2f')}"
        f"{_number(signs.update_ratio, '8.0e')}"
        f"{_percent(signs.dead)}{_percent(signs.saturated)}{_percent(same, 1)}"
    )


def _moment(value: float | None) -> str:
    return _number(value, "9.1e")


def _number(value: float | None, form: str) -> str:
    if value is None:
        return f"{'-':>{form.split('.')[0]}}"
    return f"{value:{form}}"


def _percent(fraction: float | None, scale: float = 100) -> str:
    return _number(None if fraction is None else scale * fraction, "5.0f")


def _start(vitals: Vitals) -> str:
    start = vitals.start
    name = f"{start.name} (guessed)" if start.guessed else start.name
    text = f"Loss at the start: {start.value:.4g} ({name}). "
    if start.kind == "unknown":
        return text + "What a constant would lose, such a loss does not tell."
    if start.chance is None:
        return text + f"The best constant prediction loses {start.constant:.4g}."
    return text + (
        f"Equal probabilities lose {start.chance:.4g}, "
        f"the base rates of the labels {start.constant:.4g}."
    )


def _paragraph(number: int, finding: Finding) -> str:
    title = finding.illness if finding.severity == "ill" else f"Note: {finding.illness}"
    where = f" ({_listed(finding.layers)})" if finding.layers else ""
    return "\n".join(
        [
            _wrapped(f"{number}. {title}{where}", "   "),
            _wrapped(f"   Reason: {finding.reason}", "     "),
            _wrapped(f"   Prescription: {finding.prescription}", "     "),
        ]
    )


def _listed(names: Sequence[str]) -> str:
    if len(names) <= 4:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} … {names[-1]}, {len(names)} in all"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)
