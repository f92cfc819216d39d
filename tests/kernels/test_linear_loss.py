"""Linear layer, embedding and losses against the reference, in both dtypes."""

import math

import numpy as np
import pytest

from fastrnn import reference
from kernel_cases import kernels

DTYPES = ["float64", "float32"]


@pytest.fixture
def random():
    return np.random.default_rng(11)


def wide(*arrays):
    """Return the arrays in float64, so that the reference is exact."""
    return [None if a is None else a.astype(np.float64) for a in arrays]


def assert_close(got, wanted, terms=2):
    """Assert equality to 1e-10 of the largest element, in float32 to the error of a sum of `terms` terms."""
    largest = np.abs(wanted).max(initial=0.0)
    tolerance = 1e-10 * largest
    if got.dtype == np.float32:
        tolerance = 4 * math.ceil(math.log2(terms)) * np.finfo("f").eps * max(1.0, largest)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)


# Rows, depth and columns: odd, next to vector widths, more than one block of rows, depth or columns.
SIZES = [
    (1, 1, 1),
    (3, 17, 65),
    (17, 65, 3),
    (65, 3, 17),
    (5, 16, 31),
    (7, 33, 100),
    (4, 33, 100),
    (9, 1100, 7),
    (7, 2100, 13),
    (1030, 5, 4),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_linear(random, sizes, with_bias, dtype):
    M, K, F = sizes
    x, weight, bias, dy = (random.normal(size=s).astype(dtype) for s in ((M, K), (F, K), (F,), (M, F)))
    if not with_bias:
        bias = None
    terms = 2 + M + K + F
    assert_close(
        kernels.linear_forward(kernels.linear_pack(weight, bias), x),
        reference.linear_forward(*wide(x, weight, bias)),
        terms,
    )
    dweight, dbias = np.ones_like(weight), None if bias is None else np.ones_like(bias)
    dx = kernels.linear_backward(x, weight, dy, dweight, dbias, True)
    wanted = reference.linear_backward(*wide(x, weight, dy))
    assert_close(dx, wanted[0], terms)
    assert_close(dweight, 1 + wanted[1], terms)
    if dbias is not None:
        assert_close(dbias, 1 + wanted[2], terms)
    assert kernels.linear_backward(x, weight, dy, dweight, dbias, False) is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("E", [1, 16, 33])
def test_embedding(random, E, dtype):
    ids, weight = random.integers(6, size=200), random.normal(size=(9, E)).astype(dtype)
    dy = random.normal(size=(200, E)).astype(dtype)
    assert np.array_equal(kernels.embedding_forward(ids, weight), weight[ids])
    dweight = np.ones_like(weight)
    kernels.embedding_backward(ids, dy, dweight)
    assert_close(dweight, 1 + reference.embedding_backward(ids, *wide(dy), 9), 200)
    assert np.array_equal(dweight[6:], np.ones((3, E)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("V", [1, 2, 15, 16, 17, 33, 1000, 1003])
def test_softmax_cross_entropy(random, V, dtype):
    logits = (8 * random.normal(size=(7, V))).astype(dtype)
    targets = random.integers(V, size=7)
    given = logits.copy()
    losses, dlogits = kernels.softmax_cross_entropy(logits, targets)
    losses_, dlogits_ = reference.softmax_cross_entropy(*wide(logits), targets)
    assert_close(losses, losses_, V + 1)
    assert_close(dlogits, dlogits_, V + 1)
    assert np.array_equal(logits, given)
    targets[3] = -1
    losses_[3] = dlogits_[3] = 0
    losses, dlogits = kernels.softmax_cross_entropy(logits, targets)
    assert_close(losses, losses_, V + 1)
    assert_close(dlogits, dlogits_, V + 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_cross_entropy_of_far_logits(dtype):
    """Check for overflow and 0 * inf; a NaN logit affects only its own row."""
    logits = np.array([[1e30, 0.0], [-1e30, 0.0], [-3e4, 3e4], [np.nan, 0.0]], dtype)
    losses, dlogits = kernels.softmax_cross_entropy(logits, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(losses[:3], np.array([0, 1e30, 0], dtype))
    smallest = np.finfo(dtype).tiny  # probabilities may stop there instead of at 0
    np.testing.assert_allclose(dlogits[:3], [[0, 0], [-1, 1], [0, 0]], rtol=0, atol=2 * smallest)
    assert np.isnan(losses[3])
    assert np.isnan(dlogits[3]).all()


# The last two take several chunks of rows: 262,144 logits at a time.
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (5, 17, 33), (65, 3, 100), (6, 520, 1003), (300, 4, 1100), (50, 3, 9001)], ids=str
)
def test_linear_cross_entropy(random, sizes, with_bias, dtype):
    M, K, V = sizes
    h, weight, bias = (random.normal(size=s).astype(dtype) for s in ((M, K), (V, K), (V,)))
    weight /= np.sqrt(K)
    if not with_bias:
        bias = None
    targets = random.integers(V, size=M)
    targets[2::5] = -1
    dweight, dbias = np.ones_like(weight), None if bias is None else np.ones_like(bias)
    losses, dh = kernels.linear_cross_entropy(h, weight, bias, targets, 0.125, dweight, dbias, True)
    wanted = reference.linear_cross_entropy(*wide(h, weight, bias), targets, scale=0.125)
    assert_close(losses, wanted.losses, V + K + 1)
    assert_close(dh, wanted.dh, V + K + 1)
    assert_close(dweight, 1 + wanted.dweight, V + K + M + 1)
    if dbias is not None:
        assert_close(dbias, 1 + wanted.dbias, V + K + M + 1)
    assert not losses[targets == -1].any()
    assert not dh[targets == -1].any()
    alone, none = kernels.linear_cross_entropy(h, weight, bias, targets, 0.125, None, None, False)
    assert none is None
    assert np.array_equal(alone, losses)
