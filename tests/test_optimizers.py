"""Optimisers, clipping and schedules: against the reference, against PyTorch, and by their properties."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrnn import reference
from fastrnn.layers import Linear
from fastrnn.train import (
    SGD,
    Adam,
    AdamW,
    ConstantSchedule,
    CosineSchedule,
    PlateauSchedule,
    RMSprop,
    StepSchedule,
    clip_gradient_norm,
    clip_gradient_value,
    gradient_norm,
)
from fastrnn.train.clipping import clip_gradients

OPTIMIZERS = {
    "sgd": SGD,
    "sgd-decay": partial(SGD, weight_decay=0.1),
    "sgd-momentum": partial(SGD, momentum=0.9, weight_decay=0.1),
    "sgd-nesterov": partial(SGD, momentum=0.8, nesterov=True),
    "rmsprop": partial(RMSprop, alpha=0.9, weight_decay=0.1),
    "adam": partial(Adam, betas=(0.8, 0.95), weight_decay=0.1),
    "adamw": partial(AdamW, betas=(0.8, 0.95), weight_decay=0.1),
}


def reference_step(name, p, g, moments, step, rate):
    """Run one step of the plain implementation, in place."""
    if name == "sgd":
        reference.sgd_step(p, g, None, learning_rate=rate)
    elif name == "sgd-decay":
        reference.sgd_step(p, g, None, learning_rate=rate, weight_decay=0.1)
    elif name == "sgd-momentum":
        reference.sgd_step(p, g, moments[0], learning_rate=rate, momentum=0.9, weight_decay=0.1)
    elif name == "sgd-nesterov":
        reference.sgd_step(p, g, moments[0], learning_rate=rate, momentum=0.8, nesterov=True)
    elif name == "rmsprop":
        reference.rmsprop_step(p, g, moments[0], learning_rate=rate, alpha=0.9, weight_decay=0.1)
    elif name == "adam":
        reference.adam_step(
            p, g, *moments, step=step, learning_rate=rate, beta1=0.8, beta2=0.95, weight_decay=0.1
        )
    elif name == "adamw":
        reference.adamw_step(
            p, g, *moments, step=step, learning_rate=rate, beta1=0.8, beta2=0.95, weight_decay=0.1
        )
    else:
        raise AssertionError(name)


def torch_optimizer(torch, name, parameters):
    classes = {
        "sgd": partial(torch.optim.SGD),
        "sgd-decay": partial(torch.optim.SGD, weight_decay=0.1),
        "sgd-momentum": partial(torch.optim.SGD, momentum=0.9, weight_decay=0.1),
        "sgd-nesterov": partial(torch.optim.SGD, momentum=0.8, nesterov=True),
        "rmsprop": partial(torch.optim.RMSprop, alpha=0.9, weight_decay=0.1),
        "adam": partial(torch.optim.Adam, betas=(0.8, 0.95), weight_decay=0.1),
        "adamw": partial(torch.optim.AdamW, betas=(0.8, 0.95), weight_decay=0.1),
    }
    return classes[name](parameters, lr=0.05)


def gradients_of(step, layer):
    return np.random.default_rng(step).normal(size=layer.gradients.flat.size).astype(layer.dtype)


@pytest.fixture(params=["float32", "float64"])
def layer(request):
    # 5 x 7 + 5 scalars: not a multiple of any vector width.
    return Linear(7, 5, dtype=request.param, seed=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_the_reference(name, layer):
    optimizer = OPTIMIZERS[name](layer, 0.05)
    p = layer.parameters.flat.astype(np.float64)
    moments = [np.zeros_like(p), np.zeros_like(p)]
    for step in range(1, 31):
        layer.gradients.flat[...] = gradients_of(step, layer)
        optimizer.step()
        reference_step(name, p, layer.gradients.flat.astype(np.float64), moments, step, 0.05)
    tolerance = 1e-12 if layer.dtype == np.float64 else 2e-5
    np.testing.assert_allclose(layer.parameters.flat, p, rtol=tolerance, atol=tolerance)
    assert optimizer.steps == 30


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_those_of_pytorch(name, torch):
    layer = Linear(7, 5, dtype="float64", seed=0)
    optimizer = OPTIMIZERS[name](layer, 0.05)
    parameter = torch.tensor(np.array(layer.parameters.flat), requires_grad=True)
    theirs = torch_optimizer(torch, name, [parameter])
    for step in range(1, 21):
        layer.gradients.flat[...] = gradients_of(step, layer)
        parameter.grad = torch.tensor(gradients_of(step, layer))
        optimizer.step()
        theirs.step()
    np.testing.assert_allclose(layer.parameters.flat, parameter.detach().numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_leaves_the_gradients_alone_and_makes_the_layer_use_the_new_parameters(name, layer):
    optimizer = OPTIMIZERS[name](layer, 0.05)
    layer.gradients.flat[...] = gradients_of(1, layer)
    before, x = layer.gradients.flat.copy(), np.ones((1, 7), layer.dtype)
    y = layer(x)
    optimizer.step()
    assert (layer.gradients.flat == before).all()
    assert not np.array_equal(layer(x), y)
    expected = x @ layer.parameters["weight"].T + layer.parameters["bias"]
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_carries_a_training_on_to_the_same_bits(name, layer):
    other = Linear(7, 5, dtype=layer.dtype, seed=1)
    first, second = OPTIMIZERS[name](layer, 0.05), OPTIMIZERS[name](other, 0.05)
    for step in range(1, 11):
        if step == 6:
            other.load_state_dict(layer.state_dict())
            second.load_state_dict(first.state_dict())
        layer.gradients.flat[...] = other.gradients.flat[...] = gradients_of(step, layer)
        first.step()
        if step >= 6:
            second.step()
    assert layer.parameters.flat.tobytes() == other.parameters.flat.tobytes()


def test_the_state_is_a_copy():
    optimizer = Adam(Linear(2, 2, seed=0))
    optimizer.state_dict()["first"][...] = 7.0
    assert (optimizer.moments["first"] == 0.0).all()


@pytest.mark.parametrize(
    "state",
    [
        {"steps": 1},
        {"steps": 1, "first": np.zeros(6, np.float32), "third": np.zeros(6, np.float32)},
        {"steps": 1, "first": np.ones(6, np.float32), "second": np.zeros(5, np.float32)},
        {"steps": 1, "first": np.ones(6, np.float32), "second": np.zeros(6, np.float64)},
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(state):
    optimizer = Adam(Linear(2, 2, seed=0))
    with pytest.raises(ValueError, match="optimizer state"):
        optimizer.load_state_dict(state)
    assert optimizer.steps == 0
    assert (optimizer.moments["first"] == 0.0).all()


def test_a_learning_rate_can_be_given_for_one_step():
    one, two = Linear(2, 2, seed=0), Linear(2, 2, seed=0)
    for layer, make, rate in ((one, SGD(one, 0.5), None), (two, SGD(two, 0.1), 0.5)):
        layer.gradients.flat[...] = 1.0
        make.step(rate)
    assert one.parameters.flat.tobytes() == two.parameters.flat.tobytes()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda layer: SGD(layer, -0.1), "learning_rate"),
        (lambda layer: SGD(layer, math.nan), "learning_rate"),
        (lambda layer: SGD(layer, math.inf), "learning_rate"),
        (lambda layer: SGD(layer, 0.1, momentum=1.0), "momentum"),
        (lambda layer: SGD(layer, 0.1, nesterov=True), "nesterov"),
        (lambda layer: SGD(layer, 0.1, weight_decay=-1.0), "weight_decay"),
        (lambda layer: RMSprop(layer, alpha=1.5), "alpha"),
        (lambda layer: RMSprop(layer, epsilon=-1e-8), "epsilon"),
        (lambda layer: Adam(layer, betas=(0.9, 1.0)), r"betas\[1\]"),
        (lambda layer: Adam(layer, betas=(-0.1, 0.9)), r"betas\[0\]"),
        (lambda layer: AdamW(layer, weight_decay=math.nan), "weight_decay"),
    ],
)
def test_options_out_of_range_are_refused(make, name):
    with pytest.raises(ValueError, match=f"^{name}: "):
        make(Linear(2, 2, seed=0))


@pytest.mark.parametrize("limit", [1e-3, 1.0, 1e5])
@pytest.mark.parametrize("size", [1e-3, 1e30, 3e38, 1e160, 1e307])
@pytest.mark.parametrize("way", ["in place", "in the step"])
def test_gradients_of_any_size_are_clipped_to_the_limit(layer, size, limit, way):
    size = min(size, 3e38) if layer.dtype == np.float32 else size
    layer.gradients.flat[...] = size * np.sign(gradients_of(1, layer))
    exact = float(abs(layer.gradients.flat[0])) * math.sqrt(40)
    wanted = min(limit, exact)
    if way == "in place":
        assert clip_gradient_norm(layer, limit) == pytest.approx(exact, rel=1e-14)
        clipped = layer.gradients.flat
    else:
        norm, scale = clip_gradients(layer, limit, None)
        assert norm == pytest.approx(exact, rel=1e-14)
        layer.parameters["weight"], layer.parameters["bias"] = np.zeros((5, 7)), np.zeros(5)
        SGD(layer, 1.0).step(gradient_scale=scale)
        clipped = layer.parameters.flat
    tolerance = 1e-6 / wanted if exact < 1.0 else 1e-12 if layer.dtype == np.float64 else 1e-6
    assert np.linalg.norm(clipped.astype(np.float64)) == pytest.approx(wanted, rel=tolerance + 1e-6)


def test_tiny_gradients_have_a_norm_and_are_not_clipped():
    layer = Linear(3, 2, dtype="float64", seed=0)
    layer.gradients.flat[...] = 1e-200
    assert clip_gradient_norm(layer, 1.0) == pytest.approx(1e-200 * math.sqrt(8), rel=1e-14)
    assert (layer.gradients.flat == 1e-200).all()


@pytest.mark.parametrize("limit", [0.1, 3.0, 1e9])
def test_clipping_by_norm_is_the_references(layer, limit):
    g = gradients_of(1, layer)
    layer.gradients.flat[...] = g
    expected = g.astype(np.float64)
    norm = reference.clip_norm([expected], limit)
    tolerance = 1e-12 if layer.dtype == np.float64 else 1e-6
    assert math.isclose(clip_gradient_norm(layer, limit), norm, rel_tol=tolerance)
    np.testing.assert_allclose(layer.gradients.flat, expected, rtol=1e-6)
    assert gradient_norm(layer) <= limit * (1.0 + tolerance)


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf])
def test_clipping_by_norm_reports_a_gradient_that_is_not_a_number(layer, strange):
    layer.gradients.flat[...] = 1.0
    layer.gradients.flat[3] = strange
    assert not math.isfinite(clip_gradient_norm(layer, 1.0))
    assert layer.gradients.flat[0] == 1.0


def test_clipping_by_value_is_the_references(layer):
    g = gradients_of(1, layer)
    layer.gradients.flat[...] = g
    clip_gradient_value(layer, 0.5)
    assert np.array_equal(layer.gradients.flat, np.clip(g, -0.5, 0.5))
    assert abs(g).max() > 0.5


@pytest.mark.parametrize("clip", [clip_gradient_norm, clip_gradient_value])
@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_limits_that_are_not_positive_are_refused(clip, limit):
    with pytest.raises(ValueError, match="limit: expected a number above 0"):
        clip(Linear(2, 2, seed=0), limit)


SCHEDULES = {
    "constant": ConstantSchedule,
    "step": partial(StepSchedule, every=10, factor=0.5),
    "cosine": partial(CosineSchedule, steps=100),
    "plateau": PlateauSchedule,
}


@pytest.mark.parametrize("name", SCHEDULES)
@given(rate=st.floats(1e-6, 10.0), warmup=st.integers(0, 50), step=st.integers(1, 200))
def test_rates_stay_between_zero_and_the_highest(name, rate, warmup, step):
    schedule = SCHEDULES[name](rate, warmup=warmup)
    assert 0.0 <= schedule.rate(step) <= rate
    if step < warmup:
        assert math.isclose(schedule.rate(step), rate * step / warmup)


def test_a_cosine_after_a_warm_up_begins_at_the_highest_rate_and_ends_at_the_lowest():
    schedule = CosineSchedule(0.4, steps=50, minimum=0.1, warmup=10)
    rates = [schedule.rate(step) for step in range(1, 61)]
    assert rates[9] == max(rates) == 0.4
    assert all(math.isclose(rate, 0.1) for rate in rates[50:])
    assert all(a > b for a, b in pairwise(rates[9:51]))


@pytest.mark.parametrize(("constant", "factor"), [(4, 1 / 2), (6, 1 / 1.2), (14, 1 / 1.15)])
def test_zarembas_schedules_are_constant_for_some_epochs_and_then_fall_in_each(constant, factor):
    """Check his small, medium and large models; the paper's program states the schedule by epochs."""
    steps = 37
    schedule = StepSchedule(1.0, every=steps, factor=factor, start=(constant - 1) * steps)
    for epoch in range(constant + 5):
        (rate,) = {schedule.rate(epoch * steps + step) for step in range(1, steps + 1)}
        assert rate == pytest.approx(factor ** max(epoch + 1 - constant, 0))


def test_a_plateau_lowers_the_rate_when_patience_has_run_out():
    schedule = PlateauSchedule(1.0, factor=0.5, patience=1, minimum=0.2)
    rates = []
    for loss in (3.0, 2.0, 2.0, 2.5, 1.9, 1.95, 1.9, 1.9, 1.9, 1.9, 1.9):
        schedule.observe(loss)
        rates.append(schedule.rate(100))
    assert rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]


@given(st.lists(st.floats(0.1, 5.0), max_size=20), st.lists(st.floats(0.1, 5.0), max_size=20))
def test_a_plateau_goes_on_from_its_state(before, after):
    first, second = PlateauSchedule(1.0, patience=1), PlateauSchedule(1.0, patience=1)
    for loss in before:
        first.observe(loss)
    second.load_state_dict(first.state_dict())
    for loss in after:
        first.observe(loss)
        second.observe(loss)
        assert first.rate(7) == second.rate(7)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: ConstantSchedule(0.0), "learning_rate"),
        (lambda: ConstantSchedule(math.nan), "learning_rate"),
        (lambda: ConstantSchedule(0.1, warmup=-1), "warmup"),
        (lambda: StepSchedule(0.1, every=0), "every"),
        (lambda: StepSchedule(0.1, every=5, factor=0.0), "factor"),
        (lambda: StepSchedule(0.1, every=5, start=-1), "start"),
        (lambda: CosineSchedule(0.1, steps=0), "steps"),
        (lambda: CosineSchedule(0.1, steps=5, minimum=0.2), "minimum"),
        (lambda: PlateauSchedule(0.1, factor=1.1), "factor"),
        (lambda: PlateauSchedule(0.1, patience=-1), "patience"),
        (lambda: PlateauSchedule(0.1, minimum=-0.1), "minimum"),
    ],
)
def test_schedules_out_of_range_are_refused(make, name):
    with pytest.raises(ValueError, match=f"^{name}: "):
        make()
