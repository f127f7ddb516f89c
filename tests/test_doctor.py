"""The doctor names each illness of the clinic, alarms no one else, touches nothing."""

import functools
import json
import math
import random

import keras
import numpy as np
import pytest
import sick_models as clinic
from keras import layers, ops

from initlab import plots, schemes, theory
from initlab._doctor import cures, depth_rules
from initlab.doctor import diagnose


@functools.cache
def examined(name):
    patient = clinic.SICK[name].sick(0)
    return diagnose(patient.model, patient.x, patient.y)


@functools.cache
def findings_of_cured(build):
    patient = build(0)
    return diagnose(patient.model, patient.x, patient.y).findings


def examine(patient, **options):
    return diagnose(patient.model, patient.x, patient.y, **options)


def signs_of(diagnosis, name):
    (signs,) = (each for each in diagnosis.vitals.layers if each.name == name)
    return signs


def knows_no_numpy(z):
    if isinstance(z, np.ndarray):
        raise TypeError("tensors only")
    return z


def compiled(stack, loss=clinic.SPARSE, optimizer="adam"):
    model = keras.Sequential(stack)
    model.compile(optimizer, loss)
    return model


# --- the clinic


@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
@pytest.mark.parametrize("name", clinic.SICK)
def test_each_illness_is_named_with_its_reason_and_a_prescription(name):
    diagnosis = examined(name)
    assert diagnosis.illnesses == (clinic.SICK[name].illness,)
    assert not diagnosis.healthy
    (finding,) = diagnosis.findings
    assert finding.reason.endswith(".") and finding.prescription.endswith(".")
    known = {signs.name for signs in diagnosis.vitals.layers}
    assert set(finding.layers) <= known


@pytest.mark.parametrize("name", clinic.SICK)
def test_what_the_prescription_says_cures(name):
    assert findings_of_cured(clinic.SICK[name].cured) == ()


def test_there_are_enough_illnesses():
    assert len({case.illness for case in clinic.SICK.values()}) >= 16


@pytest.mark.parametrize("name", clinic.HEALTHY)
def test_no_healthy_model_is_called_ill(name):
    for seed in range(5):
        diagnosis = examine(clinic.HEALTHY[name](seed))
        assert diagnosis.findings == (), (seed, str(diagnosis))
        assert diagnosis.healthy


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Glorot on 50 ReLU layers", ["shrinks by a factor of", "0.7 times the std"]),
        ("residual stack", ["12 additions", "1/√12 = 0.29"]),
        ("He on 50 GELU layers", ["VarianceScaling(2.35", "No stable second moment"]),
        ("saturated tanh", ["VarianceScaling(2.54", "slope of tanh"]),
        ("rare positives", ["Constant(-3.89)"]),
        ("far targets", ["mean (or median) of the targets", "Constant(50"]),
        ("one class preferred", ["logarithms of the class frequencies"]),
        ("hasty", ["Adam, learning rate 0.1", "divide the learning rate by 5"]),
        ("raw pixels", ["root mean square 1", "Rescaling(1 / 255)"]),
        ("overflow", ["more than 1e300", "he_normal"]),
        ("deep sigmoid", ["slope of sigmoid is at most ¼"]),
        ("tiny targets", ["scale the targets"]),
        ("Glorot on a vocabulary", ["std 0.0063"]),
        ("dead ReLU", ["100% of the 64 units"]),
        ("constant", ["63 of the 64 units"]),
    ],
)
def test_reason_and_prescription_carry_the_numbers(name, words):
    (finding,) = examined(name).findings
    told = f"{finding.reason} {finding.prescription}"
    assert [word for word in words if word not in told] == [], told


def test_cures_speak_of_the_activation():
    assert "1 / E f(z)² = 2.35 for gelu" in cures.initializer("gelu")
    assert "glorot_uniform" in cures.initializer("sigmoid")
    assert "glorot_uniform" in cures.initializer("softmax")
    assert "VarianceScaling" not in cures.initializer("no such activation")
    assert cures.caution("relu") == cures.caution("no such activation") == ""
    assert "Normalize" in cures.caution("silu")
    assert "¼" in cures.for_vanishing_gradient("hard_sigmoid")
    assert "¼" not in cures.for_vanishing_gradient("tanh")


def test_only_the_layers_that_are_ill_are_named():
    patient = clinic.plain(0)
    first, second, *_ = patient.model.layers
    second.bias.assign(np.full(64, -50.0))
    (finding,) = examine(patient).findings
    assert finding.illness == "dead units" and finding.layers == (second.name,)
    second.bias.assign(np.zeros(64))
    first.kernel.assign(second.kernel)
    (finding,) = examine(patient).findings
    assert finding.illness == "shared seed"
    assert finding.layers == (first.name, second.name)


def test_a_frozen_layer_that_nobody_trained_is_noted_but_not_ill():
    patient = clinic.frozen(0)
    diagnosis = examine(patient)
    (finding,) = diagnosis.findings
    assert diagnosis.healthy and diagnosis.illnesses == ()
    assert (finding.illness, finding.severity) == ("frozen at random", "note")
    layer = patient.model.layers[0]
    assert finding.layers == (layer.name,)
    assert "Note: frozen at random" in str(diagnosis)
    layer.bias.assign(np.full(64, 0.01))  # now it has been trained
    assert examine(patient).findings == ()
    layer.bias.assign(np.zeros(64))
    layer.kernel.assign(layer.kernel * 1.2)
    assert examine(patient).findings == ()
    assert examine(clinic.frozen(0, trainable=True)).findings == ()


@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
def test_what_keras_mends_itself_is_only_noted():
    diagnosis = examine(clinic.logit_loss(0, "softmax", True))
    (finding,) = diagnosis.findings
    assert (finding.illness, finding.severity) == ("softmax twice", "note")
    assert diagnosis.healthy


def test_a_layer_of_zeros_is_ill_only_if_it_stays_so():
    """One alone comes to life, two in a row do not, whatever is behind them."""

    def zeros_at(*places, activation="tanh"):
        keras.utils.set_random_seed(0)
        x, y = clinic.table(0)
        stack = [layers.Dense(16, activation) for _ in range(3)]
        model = compiled([keras.Input((64,)), *stack, layers.Dense(10, "softmax")])
        for place in places:
            kernel = model.layers[place].kernel
            kernel.assign(np.zeros(kernel.shape))
        return diagnose(model, x, y).illnesses

    assert zeros_at(3) == zeros_at(1) == ()
    assert zeros_at(2, 3) == ("zero weights",)
    assert zeros_at(1, activation="relu") == ("zero weights",)
    assert zeros_at(3, activation="relu") == ()


def test_branches_of_zeros_under_a_last_layer_of_zeros_come_to_life():
    patient = clinic.residual(0, "zeros", blocks=3)
    last = patient.model.layers[-1].kernel
    last.assign(np.zeros(last.shape))
    assert examine(patient).findings == ()


def test_branches_of_zeros_within_branches_of_zeros_come_to_life():
    """The output moves first, then the outer branch, then the inner one."""
    keras.utils.set_random_seed(0)
    x, y = clinic.table(0)

    def zeros(units, activation=None):
        return layers.Dense(units, activation, kernel_initializer="zeros")

    inputs = keras.Input((64,))
    inner = layers.Add()([inputs, zeros(64)(layers.Dense(64, "relu")(inputs))])
    outer = layers.Add()([inputs, zeros(64)(layers.Dense(64, "relu")(inner))])
    model = keras.Model(inputs, zeros(10, "softmax")(outer))
    assert diagnose(model, x, y).findings == ()


def test_zeros_that_cannot_be_trained_are_not_called_zero_weights():
    patient = clinic.plain(0)
    patient.model.layers[1].kernel.assign(np.zeros((64, 64)))
    assert "zero weights" in examine(patient).illnesses
    patient.model.layers[1].trainable = False
    assert "zero weights" not in examine(patient).illnesses
    patient.model.trainable = False
    assert examine(patient).vitals.layers[0].update_ratio is None


def test_raw_pixels_before_a_normalization_are_no_illness():
    assert examine(clinic.convolutional(0, pixels=True)).findings == ()


def test_a_logistic_regression_may_start_at_zero():
    x, y = clinic.table(0)
    head = layers.Dense(10, "softmax", kernel_initializer="zeros")
    assert diagnose(compiled([keras.Input((64,)), head]), x, y).findings == ()


def test_a_loss_that_is_not_finite_is_never_healthy():
    x, y = clinic.table(0)
    model = compiled(
        [
            keras.Input((64,)),
            layers.Dense(8, lambda z: ops.log(z - 100.0)),
            layers.Dense(10, "softmax"),
        ]
    )
    diagnosis = diagnose(model, x, y)
    assert diagnosis.illnesses == ("non-finite loss",)
    (finding,) = diagnosis.findings
    assert finding.layers == (model.layers[0].name,)
    assert f"that of {model.layers[0].name}" in finding.reason


def test_a_gradient_that_is_not_finite_is_found_behind_finite_outputs():
    x, y = clinic.table(0)
    model = compiled(
        [
            keras.Input((64,)),
            layers.Dense(
                8, lambda z: ops.sqrt(ops.relu(z))
            ),  # steep without bound at 0
            layers.Dense(10, "softmax"),
        ]
    )
    (finding,) = diagnose(model, x, y).findings
    assert finding.illness == "non-finite loss" and finding.layers == ()
    assert "all outputs are finite" in finding.reason


# --- nothing is changed


def state_of(model):
    optimizer = model.optimizer.variables if model.compiled else []
    metrics = [v for metric in model.metrics for v in metric.variables]
    variables = [*model.variables, *optimizer, *metrics]
    return {
        "values": [v.value.numpy() for v in variables],
        "flags": [layer.trainable for layer in model._flatten_layers()],
        "activations": [
            getattr(layer, "activation", None) for layer in model._flatten_layers()
        ],
        "losses": [float(each) for each in model.losses],
        "call": keras.layers.Layer.__call__,
        "compiled": [getattr(model, name, 0) for name in ("optimizer", "loss")],
        "attributes": [sorted(layer.__dict__) for layer in model._flatten_layers()],
        "generator": random.getstate(),
    }


def assert_same(before, after):
    for old, new in zip(before.pop("values"), after.pop("values"), strict=True):
        assert old.dtype == new.dtype and old.tobytes() == new.tobytes()
    assert before == after


@pytest.mark.parametrize(
    "build",
    [
        clinic.convolutional,
        clinic.bidirectional,
        clinic.transformer,
        clinic.all_zero,
        clinic.not_a_number,
        clinic.subclassed,
        clinic.separable,
        clinic.frozen,
    ],
    ids=lambda build: build.__name__,
)
def test_nothing_of_the_model_changes(build):
    patient = build(0)
    if patient.model.compiled:  # so that optimizer and metrics have a state
        patient.model.run_eagerly = True
        patient.model.train_on_batch(patient.x[:16], patient.y[:16])
    before = state_of(patient.model)
    examine(patient)
    assert_same(before, state_of(patient.model))


def test_nothing_changes_after_an_exception():
    patient = clinic.convolutional(0)

    def broken(y, outputs):
        raise RuntimeError("no loss today")

    before = state_of(patient.model)
    with pytest.raises(RuntimeError, match="no loss today"):
        examine(patient, loss=broken)
    assert_same(before, state_of(patient.model))


def test_training_goes_on_as_if_the_doctor_had_not_come():
    """Dropout draws the same masks, and BatchNormalization has the same averages."""

    def trained(visited):
        patient = clinic.convolutional(0)
        patient.model.run_eagerly = True
        patient.model.train_on_batch(patient.x[:16], patient.y[:16])
        if visited:
            examine(patient)
        for _ in range(2):
            patient.model.train_on_batch(patient.x[:16], patient.y[:16])
        return patient.model.get_weights()

    for alone, visited in zip(trained(False), trained(True), strict=True):
        np.testing.assert_array_equal(alone, visited)


def test_the_same_model_gets_the_same_diagnosis():
    patient = clinic.bidirectional(0)
    assert examine(patient).to_dict() == examine(patient).to_dict()


# --- the vital signs, by hand


def by_hand():
    """A dense net with its signals and gradients in numpy."""
    patient = clinic.plain(0, depth=1)
    model = patient.model
    x, y = patient.x[:128].astype(np.float64), patient.y[:128]
    first, last = model.layers
    w, v = (np.asarray(layer.kernel, np.float64) for layer in (first, last))
    z = x @ w
    h = np.maximum(z, 0)
    p = np.exp(h @ v)
    p /= p.sum(axis=1, keepdims=True)
    at_logits = (p - np.eye(10)[y]) / len(x)
    at_z = at_logits @ v.T * (z > 0)
    loss = -np.mean(np.log(p[np.arange(len(y)), y]))
    return model, x, y, (w, v), (z, h, h @ v), (at_z, at_logits), loss


def test_the_signs_are_what_numpy_computes():
    model, x, y, (w, v), (z, h, logits), (at_z, at_logits), loss = by_hand()
    diagnosis = diagnose(model, x, y, optimizer=keras.optimizers.SGD(0.1))
    first, last = diagnosis.vitals.layers

    def moment(values):
        return pytest.approx(np.mean(values**2), rel=1e-4)

    assert (first.input, first.pre_activation) == (moment(x), moment(z))
    assert (first.output, last.input) == (moment(h), moment(h))
    assert last.pre_activation == moment(logits)
    assert (first.gradient, last.gradient) == (moment(at_z), moment(at_logits))
    assert first.gradient_sum == pytest.approx(64 * np.mean(at_z**2), rel=1e-4)
    assert first.weight_gradient == moment(x.T @ at_z)
    assert last.weight_gradient == moment(h.T @ at_logits)
    ratio = 0.1 * np.linalg.norm(x.T @ at_z) / np.linalg.norm(w)
    assert first.update_ratio == pytest.approx(ratio, rel=1e-4)
    assert first.weight_std == pytest.approx(np.sqrt(np.mean(w**2)), rel=1e-5)
    assert first.asked_std == pytest.approx(math.sqrt(2 / 64))
    assert last.asked_std == pytest.approx(math.sqrt(1 / 64))
    assert first.std_ratio == pytest.approx(first.weight_std / first.asked_std)
    assert first.dead == np.mean(~(z > 0).any(axis=0))
    assert diagnosis.vitals.start.value == pytest.approx(loss, rel=1e-5)
    assert diagnosis.vitals.samples == 128


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.Adam(0.003),
        keras.optimizers.Adam(0.003, clipnorm=0.01),
        keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.05),
        keras.optimizers.Adafactor(0.01),
    ],
    ids=["Adam", "clipped", "SGD", "Adafactor"],
)
def test_the_first_step_is_the_one_that_training_takes(optimizer):
    patient = clinic.plain(0)
    patient.model.compile(optimizer, clinic.SPARSE)
    x, y = patient.x[:128], patient.y[:128]
    signs = diagnose(patient.model, x, y).vitals.layers
    before = [layer.kernel.numpy() for layer in patient.model.layers]
    patient.model.train_on_batch(x, y)
    for layer, old, sign in zip(patient.model.layers, before, signs, strict=True):
        step = np.linalg.norm(layer.kernel.numpy() - old)
        expected = pytest.approx(step / np.linalg.norm(old), rel=2e-3)
        assert sign.update_ratio == expected


def test_normalization_uses_the_batch_and_dropout_is_off():
    patient = clinic.convolutional(0)
    bn = patient.model.layers[1]
    bn.moving_variance.assign(np.full(16, 1e4))  # inference mode would divide by 100
    diagnosis = examine(patient)
    relu = diagnosis.vitals.layers[1]
    assert relu.kind == "ReLU"
    assert relu.pre_activation == pytest.approx(1, abs=0.05)
    pooled, last = diagnosis.vitals.layers[-2:]
    model = keras.Model(patient.model.inputs, patient.model.layers[-3].output)
    flat = np.asarray(model(patient.x, training=True))
    assert last.input == pytest.approx(np.mean(flat**2), rel=1e-4)


@pytest.mark.parametrize(
    ("layer", "shape", "fan_in", "activation"),
    [
        (layers.Dense(8, "tanh"), (20,), 20, "tanh"),
        (layers.Conv2D(8, 3, groups=2, activation="relu"), (9, 9, 4), 18, "relu"),
        (layers.DepthwiseConv2D(3, activation="gelu"), (9, 9, 4), 9, "gelu"),
        (layers.Conv1DTranspose(8, 4, strides=2), (9, 4), 8, "linear"),
        (layers.LSTM(8), (9, 5), 5, "linear"),
        (layers.TimeDistributed(layers.Dense(8, "relu")), (9, 5), 5, "relu"),
        (layers.EinsumDense("abc,cd->abd", (9, 6), "relu"), (9, 5), 5, "relu"),
        (layers.EinsumDense("abc,bcde->ade", (2, 3)), (9, 5), 45, "linear"),
    ],
    ids=lambda each: getattr(each, "name", None),
)  # fmt: skip
def test_each_kind_of_layer_is_asked_for_its_own_std(layer, shape, fan_in, activation):
    model = keras.Sequential([keras.Input(shape), layer, layers.Flatten()])
    model.add(layers.Dense(1))
    x = np.random.default_rng(0).normal(size=(16, *shape))
    signs = diagnose(model, x, x.reshape(16, -1)[:, 0]).vitals.layers[0]
    gain = theory.forward_gain(activation)
    assert signs.asked_std == pytest.approx(gain / math.sqrt(fan_in), rel=1e-6)


def test_an_activation_layer_behind_a_normalization_counts_as_the_layers_own():
    def ratios(*behind):
        keras.utils.set_random_seed(0)
        x, y = clinic.table(0)
        kernel = layers.Dense(64, kernel_initializer="he_normal")
        stack = [keras.Input((64,)), kernel, *behind, layers.Dense(10, "softmax")]
        return diagnose(compiled(stack), x, y).vitals.layers[0].std_ratio

    he = pytest.approx(1, abs=0.05)
    assert ratios(layers.LayerNormalization(), layers.ReLU()) == he
    assert ratios(layers.Activation("relu")) == he
    assert ratios(layers.ELU()) == pytest.approx(math.sqrt(2 / 1.5505), rel=0.05)
    assert ratios() == pytest.approx(math.sqrt(2), rel=0.05)
    assert ratios(layers.UnitNormalization(), layers.Flatten(), layers.ReLU()) != he


@pytest.mark.parametrize(
    ("layer", "shape", "duplicates"),
    [
        (layers.Dense(8, kernel_initializer="ones"), (5,), 7),
        (layers.Dense(8, kernel_initializer="ones", use_bias=False), (5,), 7),
        (layers.Conv2D(8, 3, kernel_initializer="ones", groups=2), (9, 9, 4), 6),
        (layers.Conv2DTranspose(8, 3, kernel_initializer="ones"), (9, 9, 4), 7),
        (layers.DepthwiseConv2D(3, depthwise_initializer="ones"), (9, 9, 4), 0),
        (
            layers.DepthwiseConv2D(3, depth_multiplier=2, depthwise_initializer="ones"),
            (9, 9, 4),
            4,
        ),
        (layers.SeparableConv2D(8, 3, pointwise_initializer="ones"), (9, 9, 4), 7),
        (
            layers.GRU(8, kernel_initializer="ones", recurrent_initializer="ones"),
            (9, 4),
            7,
        ),
        (layers.SimpleRNN(8, kernel_initializer="ones"), (9, 4), 0),
        (
            layers.EinsumDense("abc,cd->abd", (9, 6), kernel_initializer="ones"),
            (9, 5),
            5,
        ),
        (
            layers.EinsumDense(
                "abc,cde->abde", (9, 2, 3), bias_axes="e", kernel_initializer="ones"
            ),
            (9, 5),
            5,
        ),
        (layers.Dense(8, kernel_initializer="zeros"), (5,), 0),
        (
            layers.Dense(8, kernel_initializer="ones", bias_initializer="uniform"),
            (5,),
            0,
        ),
    ],
)
def test_units_are_twins_if_all_their_weights_and_inputs_are_the_same(
    layer, shape, duplicates
):
    model = keras.Sequential([keras.Input(shape), layer, layers.Flatten()])
    model.add(layers.Dense(1))
    x = 0.1 * np.random.default_rng(0).normal(size=(16, *shape))
    signs = diagnose(model, x, x.reshape(16, -1)[:, 0]).vitals.layers[0]
    assert signs.duplicates == duplicates


def test_two_uses_of_one_layer_are_no_twins_and_identities_neither():
    shared = layers.Dense(64, "relu", kernel_initializer="he_normal")
    identity = [layers.Dense(64, kernel_initializer="identity") for _ in "12"]
    stack = [keras.Input((64,)), layers.Dense(64), *identity]
    model = keras.Sequential(stack)
    inputs = keras.Input((64,))
    outputs = layers.Dense(10, "softmax")(shared(shared(model(inputs))))
    x, y = clinic.table(0)
    diagnosis = diagnose(keras.Model(inputs, outputs), x, y)
    assert diagnosis.vitals.twins == ()
    names = [signs.name for signs in diagnosis.vitals.layers]
    assert names.count(shared.name) == 2
    assert names[0].startswith(f"{model.name}/")


@pytest.mark.parametrize(
    ("activation", "signs"),
    [
        ("relu", "dead"),
        (layers.ReLU(max_value=6), "dead"),
        (layers.ReLU(threshold=0.5), "dead"),
        (layers.ELU(), "dead"),
        (layers.LeakyReLU(), "dead"),
        ("tanh", "saturated"),
        ("hard_sigmoid", "saturated"),
        (layers.PReLU(), ""),
        (lambda z: ops.sqrt(ops.relu(z) + 1.0), "dead"),
        (lambda z: z + knows_no_numpy(z), ""),
        ("linear", ""),
        (lambda z: ops.softmax(z) if z.shape[0] == 0 else ops.tanh(z), "saturated"),
    ],
    # Not by str: the address of a lambda differs from process to process.
    ids=lambda given: getattr(given, "__name__", None) or str(given),
)
def test_units_die_or_saturate_by_what_their_activation_is(activation, signs):
    if not isinstance(activation, layers.Layer):
        activation = layers.Activation(activation)
    x, y = clinic.table(0)
    stack = [keras.Input((64,)), layers.Dense(64), activation]
    model = compiled([*stack, layers.Dense(10, "softmax")])
    measured = diagnose(model, x, y).vitals.layers[1]
    assert (measured.dead is not None) == (signs == "dead")
    assert (measured.saturated is not None) == (signs == "saturated")
    assert measured.activation != "softmax"


def test_channels_may_come_first():
    stack = [
        keras.Input((3, 8, 8)),
        layers.Permute((2, 3, 1)),
        layers.Conv2D(4, 3, activation="relu"),
        layers.Permute((3, 1, 2)),
    ]
    model = compiled([*stack, layers.Flatten(), layers.Dense(2, "softmax")])
    kernel, bias = model.layers[1].get_weights()
    bias[2] = -1e3
    model.layers[1].set_weights([kernel, bias])
    x = np.random.default_rng(0).normal(size=(16, 3, 8, 8))
    signs = diagnose(model, x, np.arange(16) % 2).vitals.layers[0]
    assert signs.units == 4 and signs.dead == 0.25


@pytest.mark.parametrize("states", [False, True])
def test_masks_and_states_of_recurrent_layers_are_kept(states):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((9,))
    words = layers.Embedding(20, 8, mask_zero=True)(inputs)
    words = layers.Dense(8, "relu")(words)
    last = layers.LSTM(8, return_state=states)(words)
    last = last[0] if states else last
    model = keras.Model(inputs, layers.Dense(1)(last))
    x = np.random.default_rng(0).integers(0, 20, (32, 9))
    x[:, 3:] = 0
    signs = diagnose(model, x, x[:, 0]).vitals.layers[2]
    expected = np.asarray(keras.Model(inputs, last)(x))
    assert signs.kind == "LSTM"
    assert signs.output == pytest.approx(np.mean(expected**2), rel=1e-5)


def test_growth_is_the_slope_of_the_logarithm():
    assert depth_rules.growth([1.0]) is None
    assert depth_rules.growth([1.0, math.e, math.e**2]) == pytest.approx(2)
    assert depth_rules.growth([1.0, 1e-3, 1.0, 1.0, 1e-3, 1.0]) == pytest.approx(0)
    assert depth_rules.growth([1.0, 0.0, 0.0]) < -100
    assert depth_rules.growth([1.0, math.inf, math.nan]) > 100


def test_mixed_precision_is_measured_like_single():
    def gradient(policy):
        keras.utils.set_random_seed(0)
        x, y = clinic.table(0)
        hidden = [
            layers.Dense(64, "relu", kernel_initializer="he_normal", dtype=policy)
            for _ in range(3)
        ]
        last = layers.Dense(10, "softmax", kernel_initializer=clinic.normal(0.001)())
        model = compiled([keras.Input((64,)), *hidden, last])
        diagnosis = diagnose(model, x, y)
        assert diagnosis.findings == ()
        return [signs.gradient for signs in diagnosis.vitals.layers]

    half = gradient("mixed_float16")
    assert half == pytest.approx(gradient("float32"), rel=0.05)


# --- loss and labels


def test_the_base_rates_are_those_of_all_labels():
    start = examined("rare positives").vitals.start
    entropy = -0.02 * math.log(0.02) - 0.98 * math.log(0.98)
    assert start.constant == pytest.approx(entropy, rel=1e-6)
    assert start.best_bias == pytest.approx([math.log(0.02 / 0.98)], rel=1e-6)
    assert (start.kind, start.chance) == ("yes or no", pytest.approx(math.log(2)))
    start = examined("far targets").vitals.start
    assert (start.kind, start.chance) == ("numbers", None)
    patient = clinic.SICK["far targets"].sick(0)
    assert start.best_bias == pytest.approx([patient.y.mean()], rel=1e-4)
    assert start.from_zero > 2000 > 10 > start.constant


def test_one_hot_labels_are_read_like_class_numbers():
    patient = clinic.dense(0)
    numbers = examine(patient).vitals.start
    one_hot = np.eye(10)[patient.y]
    for loss in ("categorical_crossentropy", keras.losses.CategoricalCrossentropy()):
        start = diagnose(patient.model, patient.x, one_hot, loss=loss).vitals.start
        for field in ("value", "constant", "from_bias", "from_outputs", "output_rms"):
            expected = pytest.approx(getattr(numbers, field), rel=1e-5)
            assert getattr(start, field) == expected


def guess(outputs, activation, y):
    x = np.random.default_rng(0).normal(size=(len(y), 4))
    model = keras.Sequential([keras.Input((4,)), layers.Dense(outputs, activation)])
    start = diagnose(model, x, y).vitals.start
    assert start.guessed and start.mismatch == ""
    return start.name


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_a_missing_loss_is_guessed_from_outputs_and_labels(activation):
    y = np.arange(12) % 3
    assert guess(3, activation, y) == "sparse_categorical_crossentropy"
    assert guess(3, activation, y[:, None]) == "sparse_categorical_crossentropy"
    assert guess(3, activation, np.eye(3)[y]) == "categorical_crossentropy"
    assert guess(3, "linear", np.ones((12, 3)) * y[:, None]) == "mean_squared_error"
    assert guess(1, "linear", y / 7) == "mean_squared_error"
    assert guess(1, activation.replace("softmax", "sigmoid"), y % 2) == (
        "binary_crossentropy"
    )
    several = np.stack([y % 2, y > 0, 1 - y % 2], axis=1)
    assert guess(3, "sigmoid", several) == "binary_crossentropy"
    soft = 0.1 / 3 + 0.9 * np.eye(3)[y]
    assert guess(3, "softmax", soft) == "categorical_crossentropy"


def test_probabilities_made_outside_of_layers_are_recognised():
    inputs = keras.Input((4,))
    outputs = ops.sigmoid(layers.Dense(1)(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("adam", "binary_crossentropy")
    x = np.random.default_rng(0).normal(size=(32, 4))
    assert diagnose(model, x, np.arange(32) % 2).findings == ()


def test_any_loss_function_will_do():
    patient = clinic.regression(0)

    def huber_like(y, outputs):
        return ops.mean(ops.sqrt(1 + (y - outputs) ** 2) - 1, axis=-1)

    start = examine(patient, loss=huber_like).vitals.start
    assert (start.name, start.guessed, start.kind) == ("huber_like", False, "numbers")
    y = np.exp(3 * patient.y)  # whose mean is far from its median
    absolute = diagnose(patient.model, patient.x, y, loss="mae").vitals.start
    median = np.median(y)
    assert absolute.best_bias == pytest.approx([median], rel=1e-3)


def test_a_loss_of_other_labels_is_measured_but_not_taken_apart():
    patient = clinic.plain(0)

    def mine(y, outputs):
        return -ops.log(ops.sum(ops.one_hot(y, 10) * outputs, axis=-1))

    diagnosis = examine(patient, loss=mine)
    start = diagnosis.vitals.start
    assert (start.name, start.kind) == ("mine", "unknown")
    assert start.value == pytest.approx(examine(patient).vitals.start.value, rel=1e-5)
    assert (
        "does not tell." in " ".join(str(diagnosis).split())
        and diagnosis.findings == ()
    )


def test_several_inputs_come_as_a_list_or_a_dictionary():
    left, right = keras.Input((3,), name="left"), keras.Input((5,), name="right")
    both = layers.Concatenate()([layers.Dense(4)(left), layers.Dense(4)(right)])
    model = keras.Model([left, right], layers.Dense(1)(both))
    rng = np.random.default_rng(0)
    x = {"left": rng.normal(size=(40, 3)), "right": rng.normal(size=(40, 5))}
    y = x["left"][:, 0]
    as_dict = diagnose(model, x, y).to_dict()
    assert as_dict == diagnose(model, list(x.values()), y).to_dict()


def test_samples_are_spread_over_the_data():
    x, y = clinic.table(0, samples=1000)
    x = np.sort(x, axis=0)  # the first hundred are not like the others
    diagnosis = diagnose(clinic.plain(0).model, x, y, batch_size=100)
    assert diagnosis.vitals.samples == 100
    assert diagnosis.vitals.layers[0].input == pytest.approx(1, abs=0.2)


# --- what is told


@pytest.mark.parametrize("name", clinic.SICK)
def test_the_letter_fits_eighty_columns_and_tells_every_finding(name):
    diagnosis = examined(name)
    letter = str(diagnosis)
    assert max(map(len, letter.splitlines())) <= 80
    unfolded = " ".join(letter.split())
    for finding in diagnosis.findings:
        assert f"1. {finding.illness}" in unfolded
        assert f"Reason: {' '.join(finding.reason.split())}" in unfolded
        assert f"Prescription: {finding.prescription}" in unfolded
    assert "1 illness" in letter


def test_a_long_table_is_cut_in_the_middle():
    letter = str(examined("Glorot on 50 ReLU layers"))
    assert "… 27 more …" in letter
    assert len(letter.splitlines()) < 60


def test_a_healthy_letter_says_so_and_lists_what_was_not_examined():
    class Own(layers.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(shape[-1], 4), initializer="he_normal")

        def call(self, x):
            return x @ self.w

    x, y = clinic.table(0)
    own = Own(name="of_its_own_kind")
    model = keras.Sequential([keras.Input((64,)), own, layers.Dense(10, "softmax")])
    letter = str(diagnose(model, x, y))
    assert "healthy" in letter and "Nothing is ill" in letter
    assert "Not examined: of_its_own_kind." in letter
    assert "(guessed)" in letter


@pytest.mark.parametrize("name", ["not a number", "dead convolution", "far targets"])
def test_the_dictionary_is_json(name):
    diagnosis = examined(name)
    told = json.loads(json.dumps(diagnosis.to_dict(), allow_nan=False))
    assert told["healthy"] is False
    assert told["findings"][0]["illness"] == clinic.SICK[name].illness
    assert len(told["vitals"]["layers"]) == len(diagnosis.vitals.layers)
    if name == "not a number":
        assert told["vitals"]["start"]["value"] == "nan"


def test_the_figure_marks_the_layers_that_are_ill():
    figure = plots.diagnosis(examined("residual stack"))
    forward, backward, weights = figure.axes
    assert len(forward.lines[1].get_xdata()) == 25
    rms = [
        math.sqrt(signs.pre_activation)
        for signs in examined("residual stack").vitals.layers
    ]
    assert forward.lines[0].get_ydata() == pytest.approx(rms)
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    plots.diagnosis(examined("not a number"))  # NaN and 0 are left out
    plots.diagnosis(examine(clinic.recurrent(0)))
    import matplotlib.pyplot as plt

    plt.close("all")


# --- mistakes


def two_outputs():
    inputs = keras.Input((64,))
    model = keras.Model(inputs, [layers.Dense(10)(inputs), layers.Dense(1)(inputs)])
    return model


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": "resnet"}, TypeError, "model must be a Keras model, got str"),
        (
            {"model": keras.Sequential([layers.Dense(3)])},
            ValueError,
            "must be built: give it an Input",
        ),
        (
            {"model": keras.Sequential([keras.Input((64,)), layers.Flatten()])},
            ValueError,
            "model must have a layer whose kernel is known",
        ),
        ({"model": two_outputs()}, ValueError, "model must have one output"),
        ({"loss": ["mse", "mse"]}, ValueError, "loss must be one loss"),
        ({"loss": "no_such_loss"}, ValueError, "loss must be the name of a Keras loss"),
        ({"optimizer": "no_such"}, ValueError, "optimizer must be the name of a Keras"),
        ({"batch_size": 1}, ValueError, "batch_size must be at least 2, got 1"),
        ({"batch_size": 2.5}, ValueError, "batch_size must be a whole number"),
        ({"x": np.full((256, 64), np.nan)}, ValueError, "x must be finite, got NaN"),
        ({"x": np.full((256, 64), "a")}, ValueError, "x must be an array of numbers"),
        ({"x": [[1.0], [1.0, 2.0]]}, ValueError, "x must be an array: "),
        ({"x": np.zeros((3, 64))}, ValueError, "as many samples, got 3 and 256"),
        ({"x": np.zeros((256, 63))}, ValueError, "x does not fit the model"),
        ({"y": np.full(256, 10)}, ValueError, "y must be from 0 to 9"),
        ({"y": np.full(256, 0.5)}, ValueError, "one class number per sample"),
        ({"y": np.zeros((256, 7))}, ValueError, "got shape"),
        ({"x": np.zeros((1, 64)), "y": [0]}, ValueError, "at least 2 samples, got 1"),
    ],
)
def test_a_mistake_is_named(change, error, message):
    patient = clinic.plain(0)
    given = {"model": patient.model, "x": patient.x, "y": patient.y} | change
    with pytest.raises(error, match=message):
        diagnose(given.pop("model"), given.pop("x"), given.pop("y"), **given)


def test_the_cure_of_a_depthwise_stack_counts_its_windows_right():
    def stack(depthwise, pointwise):
        blocks = [
            layer
            for seed in range(8)
            for layer in (
                layers.DepthwiseConv2D(
                    *(3, 1, "same"),
                    activation="relu",
                    depthwise_initializer=depthwise(2 * seed),
                ),
                layers.Conv2D(
                    *(16, 1),
                    activation="relu",
                    kernel_initializer=pointwise(2 * seed + 1),
                ),
            )
        ]
        head = [layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax")]
        return keras.Sequential([keras.Input((8, 8, 16)), *blocks, *head])

    he = schemes.get("he_normal")
    x = np.random.default_rng(0).normal(size=(64, 8, 8, 16)).astype(np.float32)
    y = np.arange(64) % 3
    [found] = diagnose(stack(he.keras, he.keras), x, y).findings
    assert found.illness == "weights too small"
    assert 'schemes.variance_scaling(2).keras(kind="depthwise")' in found.prescription

    def right(seed):
        return schemes.variance_scaling(2).keras(seed, kind="depthwise")

    assert diagnose(stack(right, he.keras), x, y).healthy
