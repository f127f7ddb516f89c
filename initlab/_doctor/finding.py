"""What a finding is, and the few questions about layers that several rules ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from initlab._doctor import cures
from initlab._doctor.vitals import LayerSigns, Vitals


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor found.

    Attributes:
        illness: its name, always the same words.
        layers: names of the layers that have it; empty for the model as a whole.
        reason: what was measured, and why that is bad.
        prescription: what to change.
        severity: "ill", or "note" for what may be meant.
    """

    illness: str
    layers: tuple[str, ...]
    reason: str
    prescription: str
    severity: str = "ill"


def chain_of(vitals: Vitals) -> list[LayerSigns]:
    """Return the layers that sum over inputs, in the order of their calls.

    It ends with the first recurrent layer: the gates of an LSTM set a scale of their
    own, which no scheme for the kernel keeps.
    """
    chain = []
    for signs in vitals.layers:
        if signs.has_kernel and signs.kind != "Embedding":
            chain.append(signs)
        if signs.recurrent_gain is not None:
            break
    return chain


def output_layer(vitals: Vitals) -> LayerSigns:
    """Return the last layer with weights."""
    return [signs for signs in vitals.layers if signs.has_kernel][-1]


def names_of(layers: Iterable[LayerSigns]) -> tuple[str, ...]:
    """Return the names of layers, each once."""
    return tuple(dict.fromkeys(signs.name for signs in layers))


def activation_of(layers: Sequence[LayerSigns]) -> str:
    """Return the activation that most of these layers have."""
    names = [signs.activation for signs in layers]
    return max(dict.fromkeys(names), key=names.count, default="linear")


def initializer_for(vitals: Vitals, names: Sequence[str]) -> str:
    """Return the initializer that the activation of these layers asks for."""
    chosen = [signs for signs in vitals.layers if signs.name in names]
    activation = activation_of(chosen)
    miscounted = cures.miscounted({signs.kind for signs in chosen}, activation)
    return cures.initializer(activation) + miscounted
