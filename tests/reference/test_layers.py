"""Linear, embedding, softmax and cross-entropy, activations, clipping of the reference."""

import math

import mpmath
import numpy as np
import pytest

from fastrnn import reference
from gradient_check import assert_gradient


@pytest.fixture
def random():
    return np.random.default_rng(7)


def test_linear_gradients(random):
    x, weight, bias = random.normal(size=(2, 3, 5)), random.normal(size=(4, 5)), random.normal(size=4)
    dy = random.normal(size=(2, 3, 4))

    def loss():
        return float((dy * reference.linear_forward(x, weight, bias)).sum())

    for value, gradient in zip((x, weight, bias), reference.linear_backward(x, weight, dy), strict=True):
        assert_gradient(loss, value, gradient)
    np.testing.assert_allclose(reference.linear_forward(x, weight)[1, 2, 3], weight[3] @ x[1, 2], rtol=1e-14)


def test_linear_refuses_what_does_not_fit(random):
    with pytest.raises(ValueError, match=r"x: expected \[2, 5\], got \[2, 4\]"):
        reference.linear_forward(np.zeros((2, 4)), np.zeros((3, 5)))
    with pytest.raises(TypeError, match="x: expected float32, got float64"):
        reference.linear_forward(np.zeros((2, 5)), np.zeros((3, 5), np.float32))


def test_embedding_gradient_adds_where_ids_repeat(random):
    ids, weight = random.integers(5, size=(6, 4)), random.normal(size=(7, 3))
    dy = random.normal(size=(6, 4, 3))
    y = reference.embedding_forward(ids, weight)
    np.testing.assert_array_equal(y[5, 3], weight[ids[5, 3]])
    dweight = reference.embedding_backward(ids, dy, 7)
    assert_gradient(lambda: float((dy * reference.embedding_forward(ids, weight)).sum()), weight, dweight)
    assert not dweight[5:].any()
    assert not reference.embedding_backward(ids[:0], dy[:0], 7).any()


@pytest.mark.parametrize("ids", [[-1], [7]])
def test_embedding_refuses_ids_out_of_range(ids):
    with pytest.raises(ValueError, match=r"ids: expected ids in \[0, 7\)"):
        reference.embedding_forward(np.array(ids), np.zeros((7, 2)))


def test_softmax_cross_entropy_against_many_digits(random):
    logits, targets = random.normal(size=(5, 7)) * 30, random.integers(7, size=5)
    losses, dlogits = reference.softmax_cross_entropy(logits, targets)
    with mpmath.workdps(50):
        for row, target, loss, gradient in zip(logits.tolist(), targets, losses, dlogits, strict=True):
            exps = [mpmath.exp(a) for a in row]
            expected = mpmath.log(mpmath.fsum(exps)) - row[target]
            assert abs(loss - expected) <= 1e-15 * (abs(expected) + max(map(abs, row)))
            for v, g in enumerate(gradient):
                assert abs(g - (exps[v] / mpmath.fsum(exps) - (v == target))) <= 1e-15


def test_softmax_cross_entropy_does_not_overflow():
    losses, dlogits = reference.softmax_cross_entropy(
        np.array([[1e30, 0.0], [-1e30, 0.0]], "f"), np.array([0, 0])
    )
    np.testing.assert_array_equal(losses, np.array([0, 1e30], "f"))
    np.testing.assert_array_equal(dlogits, [[0, 0], [-1, 1]])


@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_cross_entropy_gradients(random, with_bias):
    h, weight = random.normal(size=(6, 3)), random.normal(size=(5, 3))
    bias = random.normal(size=5) if with_bias else None
    targets = np.array([0, 4, -1, 2, 2, -1])

    def loss():
        return 0.25 * float(reference.linear_cross_entropy(h, weight, bias, targets).losses.sum())

    result = reference.linear_cross_entropy(h, weight, bias, targets, scale=0.25)
    assert_gradient(loss, h, result.dh)
    assert_gradient(loss, weight, result.dweight)
    if bias is not None:
        assert_gradient(loss, bias, result.dbias)
    counted = targets >= 0
    logits = reference.linear_forward(h, weight, bias)
    losses, _ = reference.softmax_cross_entropy(logits[counted], targets[counted])
    np.testing.assert_allclose(result.losses[counted], losses, rtol=1e-14)
    assert not result.losses[~counted].any()
    assert not result.dh[~counted].any()


def test_linear_cross_entropy_with_nothing_to_count(random):
    result = reference.linear_cross_entropy(
        np.ones((2, 3), "f"), np.ones((5, 3), "f"), None, np.array([-1, -1])
    )
    assert [a.dtype for a in result] == [np.float32] * 4
    assert not any(a.any() for a in result)
    with pytest.raises(ValueError, match=r"targets: expected ids in \[0, 5\), got -2 to -2"):
        reference.linear_cross_entropy(np.ones((2, 3)), np.ones((5, 3)), None, np.array([-1, -2]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_is_accurate_everywhere(random, dtype):
    far = 80 if dtype == "float32" else 700
    x = np.concatenate([random.uniform(-far, far, 500), random.normal(size=500), [0.0, -1e-30]]).astype(dtype)
    got = reference.sigmoid(x)
    assert got.dtype == dtype
    with mpmath.workdps(40):
        expected = [1 / (1 + mpmath.exp(-mpmath.mpf(float(a)))) for a in x]
        errors = [abs(float((g - e) / e)) for g, e in zip(map(float, got), expected, strict=True)]
    assert max(errors) <= 3 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_at_the_ends(dtype):
    x = np.array([-np.inf, -1e4, 1e4, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(reference.sigmoid(x), np.array([0, 0, 1, 1, np.nan], dtype))
    np.testing.assert_array_equal(reference.tanh(x), np.array([-1, -1, 1, 1, np.nan], dtype))
    np.testing.assert_array_equal(reference.relu(x), np.array([0, 0, 1e4, np.inf, np.nan], dtype))


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_derivatives_of_activations(random, name):
    x = random.normal(size=20)
    phi, dphi = getattr(reference, name), getattr(reference, "d" + name)
    assert_gradient(lambda: float(phi(x).sum()), x, dphi(phi(x)))


def test_clip_norm(random):
    gradients = [random.normal(size=(3, 4)), random.normal(size=5)]
    before = [g.copy() for g in gradients]
    norm = math.sqrt(sum(float(a) ** 2 for g in before for a in g.ravel()))
    assert reference.global_norm(gradients) == pytest.approx(norm, rel=1e-14)
    assert reference.clip_norm(gradients, 2 * norm) == pytest.approx(norm, rel=1e-14)
    for g, kept in zip(gradients, before, strict=True):
        np.testing.assert_array_equal(g, kept)  # not even rounded
    reference.clip_norm(gradients, norm / 2)
    for g, kept in zip(gradients, before, strict=True):
        np.testing.assert_allclose(g, kept / 2, rtol=1e-5)
    assert reference.global_norm(gradients) <= norm / 2
    assert math.isnan(reference.clip_norm([np.array([np.nan])], 1.0))


def test_sum_of_squares_of_float32_is_computed_in_float64():
    g = np.full(1_000_000, 1e-3, np.float32)
    assert reference.sum_of_squares(g) == pytest.approx(1e6 * float(np.float32(1e-3)) ** 2, rel=1e-14)


@pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
def test_clipping_needs_a_limit(limit):
    with pytest.raises(ValueError, match="limit: expected a positive number"):
        reference.clip_norm([np.ones(2)], limit)
    with pytest.raises(ValueError, match="limit: expected a positive number"):
        reference.clip_value(np.ones(2), limit)
