"""Every backward kernel against central differences of its own forward kernel, in float64."""

import numpy as np
import pytest

from fastrnn import reference
from gradient_check import assert_gradient, assert_slope
from kernel_cases import MODES, backward, forward, kernels
from recurrent_cases import VARIANTS, make_case

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


@pytest.fixture
def random():
    return np.random.default_rng(3)


def values_and_gradients(case):
    """Return every array that the loss depends on, with the kernels' gradient of it."""
    _, _, tape = forward(case)
    dx, dstate, dweights = backward(case, tape)
    pairs = list(zip((*case.state, *case.weights), (*dstate, *dweights), strict=True))
    if dx is not None:
        pairs.append((case.x, dx))
    return [(value, gradient) for value, gradient in pairs if value is not None]


def loss_of(case):
    """Return <dy, y> + <dstate_n, state_n>, whose gradients are those of the backward pass."""

    def loss():
        y, state_n, _ = forward(case, training=False)
        states = zip(case.dstate_n, state_n, strict=True)
        return float((case.dy * y).sum() + sum((d * s).sum() for d, s in states))

    return loss


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_element(variant, mode):
    case = make_case(variant, (5, 3, 2, 5), **MODES[mode])
    for value, gradient in values_and_gradients(case):
        assert_gradient(loss_of(case), value, gradient)


# Sizes of 1, 3, 17 and 65, and next to vector widths; the slope along one direction of signs.
@pytest.mark.parametrize(
    "sizes",
    [(65, 1, 3, 17), (17, 65, 1, 3), (3, 17, 65, 1), (1, 3, 17, 65), (9, 4, 31, 33), (4, 9, 33, 15)],
    ids=str,
)
@pytest.mark.parametrize("mode", ["dense", "everything"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_slopes_of_odd_sizes(variant, mode, sizes):
    case = make_case(variant, sizes, **MODES[mode])
    for value, gradient in values_and_gradients(case):
        assert_slope(loss_of(case), value, gradient, case.random)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 17, 5), (7, 5, 33)], ids=str)
def test_linear(random, sizes):
    M, K, F = sizes
    x, weight, bias, dy = (random.normal(size=s) for s in ((M, K), (F, K), (F,), (M, F)))
    dweight, dbias = np.zeros_like(weight), np.zeros_like(bias)
    dx = kernels.linear_backward(x, weight, dy, dweight, dbias, True)

    def loss():
        return float((dy * kernels.linear_forward(kernels.linear_pack(weight, bias), x)).sum())

    for value, gradient in ((x, dx), (weight, dweight), (bias, dbias)):
        assert_gradient(loss, value, gradient)


def test_embedding(random):
    ids, weight, dy = random.integers(5, size=9), random.normal(size=(6, 17)), random.normal(size=(9, 17))
    dweight = np.zeros_like(weight)
    kernels.embedding_backward(ids, dy, dweight)
    assert_gradient(lambda: float((dy * kernels.embedding_forward(ids, weight)).sum()), weight, dweight)
    assert not dweight[5].any()


@pytest.mark.parametrize("V", [1, 2, 7, 8, 17])
def test_softmax_cross_entropy(random, V):
    logits, targets = random.normal(size=(4, V)), random.integers(-1, V, size=4)
    _, dlogits = kernels.softmax_cross_entropy(logits, targets)
    assert_gradient(lambda: float(kernels.softmax_cross_entropy(logits, targets)[0].sum()), logits, dlogits)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1, 2), (6, 3, 5), (5, 9, 33)], ids=str)
def test_linear_cross_entropy(random, sizes, with_bias):
    M, K, V = sizes
    h, weight = random.normal(size=(M, K)), random.normal(size=(V, K))
    bias = random.normal(size=V) if with_bias else None
    targets = random.integers(V, size=M)
    targets[1:2] = -1
    dweight, dbias = np.zeros_like(weight), None if bias is None else np.zeros_like(bias)
    _, dh = kernels.linear_cross_entropy(h, weight, bias, targets, 0.25, dweight, dbias, True)

    def loss():
        losses, _ = kernels.linear_cross_entropy(h, weight, bias, targets, 1.0, None, None, False)
        return 0.25 * float(losses.sum())

    for value, gradient in ((h, dh), (weight, dweight), (bias, dbias)):
        if value is not None:
            assert_gradient(loss, value, gradient)


@pytest.mark.parametrize(("name", "derivative"), [("sigmoid", "dsigmoid"), ("tanh", "dtanh")])
def test_activations(random, name, derivative):
    x, phi = random.normal(size=40), getattr(kernels, name)
    assert_gradient(lambda: float(phi(x).sum()), x, getattr(reference, derivative)(phi(x)))
