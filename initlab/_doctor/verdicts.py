"""From vital signs to findings: which rules there are, and which explains which."""

from __future__ import annotations

from collections.abc import Callable

from initlab._doctor import depth_rules, layer_rules, output_rules
from initlab._doctor.finding import Finding
from initlab._doctor.vitals import Vitals


def examine(vitals: Vitals) -> tuple[Finding, ...]:
    """Return all findings, roots before what they explain."""
    findings: list[Finding] = []
    for rule, explained_by in _RULES:
        found = {finding.illness for finding in findings}
        if not found & explained_by and (finding := rule(vitals)):
            findings.append(finding)
    return tuple(findings)


_SYMMETRY = {"non-finite weights", "zero weights"}
_SIGNAL = {
    "weights too small",
    "weights too large",
    "wrong gain",
    "growing residual stream",
}
_SCALE = _SYMMETRY | _SIGNAL | {"unscaled input", "identical units"}
_Rule = Callable[[Vitals], Finding | None]
# Each rule with the illnesses of which its own would only be a consequence.
_RULES: tuple[tuple[_Rule, set[str]], ...] = (
    (layer_rules.not_finite, set()),
    (output_rules.softmax_twice, set()),
    (output_rules.softmax_missing, set()),
    (layer_rules.zero_weights, {"non-finite weights"}),
    (layer_rules.identical_units, _SYMMETRY),
    (layer_rules.shared_seed, set()),
    (depth_rules.unscaled_input, {"non-finite weights"}),
    (layer_rules.dead_units, _SYMMETRY),
    (depth_rules.signal, _SYMMETRY | {"identical units", "dead units"}),
    (layer_rules.small_embedding, set()),
    (layer_rules.recurrent_gain, set()),
    (layer_rules.saturated_units, _SCALE),
    (depth_rules.gradient, _SCALE | {"saturated units", "dead units"}),
    (output_rules.output_bias, _SCALE),
    (output_rules.large_outputs, _SCALE),
    (output_rules.high_learning_rate, _SCALE),
    (output_rules.not_finite_loss, _SCALE),
    (layer_rules.frozen, set()),
)
