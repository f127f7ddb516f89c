"""The rules that look at one layer: its weights, its units, its gates."""

from __future__ import annotations

import math

from initlab._doctor import thresholds
from initlab._doctor.finding import Finding, chain_of, initializer_for, names_of
from initlab._doctor.vitals import LayerSigns, Vitals


def not_finite(vitals: Vitals) -> Finding | None:
    """Weights that are NaN or infinite."""
    sick = names_of(signs for signs in vitals.layers if not signs.finite)
    if not sick:
        return None
    return Finding(
        "non-finite weights",
        sick,
        "some weights are NaN or infinite, so everything behind them is, too.",
        "draw them anew; if they came out of training, it diverged: start again at a "
        "lower learning rate, from weights saved before.",
    )


def zero_weights(vitals: Vitals) -> Finding | None:
    """Kernels of zeros that no gradient brings to life."""
    if not vitals.stuck:
        return None
    cure = initializer_for(vitals, vitals.stuck)
    return Finding(
        "zero weights",
        vitals.stuck,
        "all weights are 0, and after three trial steps their units are still all 0 "
        "or all alike: there is no gradient that would tell them apart.",
        f"draw the kernels: {cure}. Zeros are right for biases, and for a last layer "
        "whose input is random.",
    )


def identical_units(vitals: Vitals) -> Finding | None:
    """Units that were given the same weights."""
    sick = [s for s in vitals.layers if s.duplicates and s.trainable]
    if not sick:
        return None
    worst = max(sick, key=lambda signs: signs.duplicates / signs.units)
    return Finding(
        "identical units",
        names_of(sick),
        f"{worst.duplicates} of the {worst.units} units of {worst.name} have the very "
        "weights of another unit: they compute the same, and where the layers behind "
        "them are alike, too, they get the same gradient and stay one unit for ever.",
        f"draw every weight: {initializer_for(vitals, names_of(sick))}.",
    )


def shared_seed(vitals: Vitals) -> Finding | None:
    """Layers that were given the same random weights."""
    if not vitals.twins:
        return None
    first, second = vitals.twins[0]
    return Finding(
        "shared seed",
        tuple(dict.fromkeys(name for pair in vitals.twins for name in pair)),
        f"{second} has the very weights of {first}: both were drawn by one initializer "
        "instance, or with one integer seed.",
        "give every layer an initializer of its own: its name as a string, or a fresh "
        "instance without a seed or with another one.",
    )


def dead_units(vitals: Vitals) -> Finding | None:
    """More units off than weights alone can switch off."""

    def is_sick(signs: LayerSigns) -> bool:
        tolerated = 0.5 + thresholds.DEAD_DEVIATIONS * 0.5 / math.sqrt(signs.units)
        if signs.dead is None or not signs.pre_activation:  # dead layers are before it
            return False
        return signs.dead > min(tolerated, 0.99)

    sick = [signs for signs in vitals.layers if is_sick(signs)]
    if not sick:
        return None
    worst = max(sick, key=lambda signs: signs.dead or 0)
    return Finding(
        "dead units",
        names_of(sick),
        f"{worst.dead:.0%} of the {worst.units} units of {worst.name} are 0 for all "
        f"{vitals.samples} samples, and so is their gradient: they cannot come back. "
        "Weights alone switch off half of them at most.",
        'start the biases at 0 (bias_initializer="zeros") and centre what the layer '
        "gets; a leaky ReLU cannot die.",
    )


def saturated_units(vitals: Vitals) -> Finding | None:
    """Pre-activations out where tanh and sigmoid are flat."""
    hidden = [s for s in vitals.layers[:-1] if s.saturated is not None]
    sick = [s for s in hidden if (s.saturated or 0) > thresholds.MOST_SATURATED]
    if not sick:
        return None
    worst = max(sick, key=lambda signs: signs.saturated or 0)
    return Finding(
        "saturated units",
        names_of(sick),
        f"at {worst.saturated:.0%} of the outputs of {worst.name} the slope of "
        f"{worst.activation} is below a twentieth of its steepest: pre-activations "
        f"have root mean square {math.sqrt(worst.pre_activation):.3g}, where 1 is due, "
        "and no gradient gets through.",
        f"smaller weights: {initializer_for(vitals, names_of(sick))}; biases at 0.",
    )


def small_embedding(vitals: Vitals) -> Finding | None:
    """A lookup table scaled by the size of its vocabulary."""
    tables = [s for s in vitals.layers if s.has_kernel and s.kind == "Embedding"]
    sick = [
        s for s in tables if 0 < (s.weight_std or 0) < thresholds.SMALLEST_EMBEDDING
    ]
    chain = chain_of(vitals)
    normalized = chain and chain[0].input > thresholds.SMALLEST_EMBEDDING**2
    if not sick or normalized:
        return None
    return Finding(
        "embedding too small",
        names_of(sick),
        f"the rows have std {sick[0].weight_std:.2g}, and that is what the next layer "
        "gets: a lookup sums nothing, so a scheme that divides by the size of the "
        "vocabulary (Glorot, He, LeCun) divides for nothing.",
        'choose the std itself: embeddings_initializer="uniform" (Keras\'s default, '
        "std 0.029) or keras.initializers.RandomNormal(stddev=0.05), up to 1.",
    )


def recurrent_gain(vitals: Vitals) -> Finding | None:
    """A recurrence that multiplies its state at every step."""
    sick = [
        s
        for s in vitals.layers
        if (s.recurrent_gain or 0) > thresholds.MOST_RECURRENT_GAIN
    ]
    if not sick:
        return None
    return Finding(
        "recurrent kernel too large",
        names_of(sick),
        f"one step multiplies the state by {sick[0].recurrent_gain:.3g} (root mean "
        "square singular value of a gate), the next one again: the state saturates and "
        "its gradient explodes or dies.",
        'recurrent_initializer="orthogonal", which multiplies by 1.',
    )


def frozen(vitals: Vitals) -> Finding | None:
    """Layers that nobody trained and nobody will train."""
    frozen = [s for s in vitals.layers if s.has_kernel and not s.trainable and s.fresh]
    if not frozen:
        return None
    return Finding(
        "frozen at random",
        names_of(frozen),
        "the layer is not trainable, and its weights look as its initializer leaves "
        "them: it will stay random.",
        "load its pretrained weights, or set trainable = True; leave it if random "
        "features are what you want.",
        severity="note",
    )
