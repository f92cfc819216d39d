"""The reference's backward passes against central differences of its forward passes, in float64."""

import numpy as np
import pytest

from gradient_check import assert_gradient, assert_slope
from recurrent_cases import VARIANTS, make_case


def pairs(case):
    """Return every array that the loss depends on, and its gradient."""
    _, _, tape = case.forward()
    dx, dstate, dweights = case.backward(tape)
    assert (dx is None) == (case.x.ndim == 2)
    found = [("x", case.x, dx)] if dx is not None else []
    found += [(f"state {k}", s, d) for k, (s, d) in enumerate(zip(case.state, dstate, strict=True))]
    found += [(f"weight {k}", w, d) for k, (w, d) in enumerate(zip(case.weights, dweights, strict=True))]
    for name, value, gradient in found:
        assert (value is None) == (gradient is None), name
    return [pair for pair in found if pair[1] is not None]


@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@pytest.mark.parametrize("rows", ["plain", "ragged", "resets", "ragged-resets"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_element_of_every_gradient(variant, rows, reverse, ids):
    case = make_case(
        variant, (4, 3, 2, 3), ids=ids, ragged="ragged" in rows, resets="resets" in rows, reverse=reverse
    )
    for _, value, gradient in pairs(case):
        assert_gradient(case.loss, value, gradient)


@pytest.mark.parametrize("bias", ["ih", "hh", "none"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_with_fewer_biases(variant, bias):
    case = make_case(variant, (3, 2, 2, 2), bias=bias)
    for _, value, gradient in pairs(case):
        assert_gradient(case.loss, value, gradient)


SIZES = [
    (1, 1, 1, 1),
    (1, 17, 3, 17),
    (3, 1, 17, 3),
    (17, 3, 1, 1),
    (17, 17, 3, 3),
    (65, 1, 1, 3),
    (3, 65, 3, 1),
    (3, 3, 65, 17),
    (1, 3, 17, 65),
]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_at_odd_sizes(variant, reverse, sizes):
    case = make_case(variant, sizes, ragged=True, resets=True, reverse=reverse)
    for _, value, gradient in pairs(case):
        assert_slope(case.loss, value, gradient, case.random)


@pytest.mark.parametrize("variant", VARIANTS)
def test_zero_output_gradients_yield_zero_gradients(variant):
    case = make_case(variant)
    _, _, tape = case.forward()
    only_state = case.replace(dy=None).backward(tape)
    only_y = case.replace(dstate_n=None).backward(tape)
    both = case.backward(tape)
    neither = case.replace(dy=None, dstate_n=None).backward(tape)
    for a, b, total, none in zip(*map(arrays, (only_state, only_y, both, neither)), strict=True):
        np.testing.assert_allclose(a + b, total, rtol=1e-10, atol=1e-13)
        assert not none.any()


def arrays(result):
    dx, dstate, dweights = result
    return [dx, *dstate, *dweights]
