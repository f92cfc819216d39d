"""Gradients of the linear layer, and losses of the output layer, in bfloat16 and int8."""

import itertools

import numpy as np
import pytest

from fastrnn import reference
from fuzz.step_judge import EPSILON, same_bits
from kernel_cases import kernels, with_threads
from precision_cases import DEPTHS, FLIP, PRECISIONS, ROWS, UNIT, WIDTHS, expected_linear


@pytest.fixture
def random():
    return np.random.default_rng(16)


def assert_gradients_are_the_reference(x, weight, dy):
    """Compare the bits of dx and dweight, whose sums over rows have the reference's order, and dbias."""
    rows, F = dy.shape
    dweight, dbias = np.zeros_like(weight), np.zeros(F, "f")
    dx = kernels.linear_backward(x, weight, dy, dweight, dbias, True, "bfloat16")
    wanted = reference.linear_backward(x, weight, dy, precision="bfloat16")
    same_bits("dx", dx, wanted[0])
    same_bits("dweight", dweight, wanted[1])
    assert (np.abs(dbias - wanted[2]) <= rows * EPSILON * np.abs(dy).sum(axis=0)).all()


@pytest.mark.parametrize("rows", ROWS)
def test_gradients_of_a_linear_layer_have_the_bits_of_the_reference(random, rows):
    for K, F in itertools.product(DEPTHS, WIDTHS):
        x, weight, dy = (random.normal(size=s).astype("f") for s in ((rows, K), (F, K), (rows, F)))
        assert_gradients_are_the_reference(x, weight, dy)


@pytest.mark.parametrize("sizes", [(513, 33, 65), (1100, 7, 130), (40, 520, 24), (5, 24, 1030)], ids=str)
def test_gradients_of_more_than_one_block_have_the_bits_of_the_reference(random, sizes):
    M, K, F = sizes
    x, weight, dy = (random.normal(size=s).astype("f") for s in ((M, K), (F, K), (M, F)))
    assert_gradients_are_the_reference(x, weight, dy)


def test_gradients_are_within_the_rounding_of_their_operands():
    """Each operand moves by at most 2**-9 of itself, so a sum by 2**-8, and a little, of all its |terms|."""
    random = np.random.default_rng(2)
    x, weight, dy = (random.normal(size=s).astype("f") for s in ((600, 33), (65, 33), (600, 65)))
    dweight, dbias = np.zeros_like(weight), np.zeros(65, "f")
    dx = kernels.linear_backward(x, weight, dy, dweight, dbias, True, "bfloat16")
    exact = reference.linear_backward(*(a.astype(float) for a in (x, weight, dy)))
    bound = 2 * UNIT + UNIT**2 + 600 * EPSILON
    assert (np.abs(dx - exact[0]) <= bound * (np.abs(dy) @ np.abs(weight))).all()
    assert (np.abs(dweight - exact[1]) <= bound * (np.abs(dy).T @ np.abs(x))).all()
    assert (np.abs(dbias - exact[2]) <= 600 * EPSILON * np.abs(dy).sum(axis=0)).all()
    assert np.abs(dx - exact[0]).max() > UNIT / 16  # rounded indeed


def test_gradients_are_added_and_threads_change_no_bit(random):
    x, weight, dy = (random.normal(size=s).astype("f") for s in ((700, 70), (123, 70), (700, 123)))

    def run():
        dweight, dbias = np.ones_like(weight), np.ones(123, "f")
        dx = kernels.linear_backward(x, weight, dy, dweight, dbias, True, "bfloat16")
        return dx.tobytes(), dweight.tobytes(), dbias.tobytes()

    alone = run()
    assert with_threads(2, run) == alone
    assert with_threads(3, run) == alone
    zero = np.zeros_like(weight)
    kernels.linear_backward(x, weight, dy, zero, None, False, "bfloat16")
    added = np.frombuffer(alone[1], "f").reshape(zero.shape)
    assert (np.abs(added - (1 + zero)) <= 700 * EPSILON * (np.abs(dy).T @ np.abs(x) + 1)).all()


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (5, 17, 33), (65, 3, 100), (6, 520, 1003), (300, 4, 1100)], ids=str
)
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_loss_of_the_output_layer_in_bfloat16(random, sizes, with_bias):
    """Logits have the reference's bits, so losses differ by the rounding of the softmax alone.

    A gradient of the logits may differ in its last bits, which may flip its rounding, by 2**-8 of it. So
    each element of dh and dweight is within that fraction of the sum of its |terms|, nearly all much nearer.
    """
    M, K, V = sizes
    h, weight, bias = (random.normal(size=s).astype("f") for s in ((M, K), (V, K), (V,)))
    weight /= np.sqrt(np.float32(K))
    bias = bias if with_bias else None
    targets = random.integers(V, size=M)
    targets[2::5] = -1
    dweight, dbias = np.zeros_like(weight), None if bias is None else np.zeros_like(bias)
    losses, dh = kernels.linear_cross_entropy(
        h, weight, bias, targets, 0.125, dweight, dbias, True, 0.0, "bfloat16"
    )
    logits = expected_linear(h, weight, bias, "bfloat16").astype(float)
    counted = targets != -1
    exact = np.zeros(M)
    exact[counted], dlogits = reference.softmax_cross_entropy(logits[counted], targets[counted])
    np.testing.assert_allclose(losses, exact, rtol=0, atol=16 * EPSILON * max(1, np.abs(logits).max()))
    wanted = reference.linear_cross_entropy(h, weight, bias, targets, 0.125, precision="bfloat16")
    for got, expected, terms in (
        (dh[counted], wanted.dh[counted], np.abs(0.125 * dlogits) @ np.abs(weight)),
        (dweight, wanted.dweight, np.abs(0.125 * dlogits).T @ np.abs(h[counted])),
    ):
        off = np.abs(got - expected)
        assert (off <= 1.01 * FLIP * terms + 1e-9).all()
        assert (off <= (M + V) * EPSILON * terms + 1e-9).mean() > 0.95
    assert not dh[~counted].any()
    assert not losses[~counted].any()


def test_threads_and_the_batch_change_no_bit_of_a_loss(random):
    h, weight, bias = (random.normal(size=s).astype("f") for s in ((300, 70), (1100, 70), (1100,)))
    targets = random.integers(-1, 1100, size=300)

    def run(rows=slice(None)):
        dweight, dbias = np.zeros_like(weight), np.zeros_like(bias)
        given = h[rows], weight, bias, targets[rows], 0.25, dweight, dbias
        return *kernels.linear_cross_entropy(*given, True, 0.1, "bfloat16"), dweight, dbias

    alone = run()
    for threads in (2, 3):
        assert [a.tobytes() for a in with_threads(threads, run)] == [a.tobytes() for a in alone]
    for rows in (slice(0, 1), slice(7, 20), slice(299, 300)):
        losses, dh, *_ = run(rows)
        assert losses.tobytes() == alone[0][rows].tobytes()
        assert dh.tobytes() == alone[1][rows].tobytes()


@pytest.mark.parametrize("V", [2100, 100_003])
def test_the_gradient_of_the_weight_does_not_depend_on_how_rows_are_cut(random, V):
    """An even number of rows leaves the pairs of rows as they are; a chunk may have no odd number of them."""
    h, weight = random.normal(size=(400, 3)).astype("f"), random.normal(size=(V, 3)).astype("f")
    targets = random.integers(V, size=400)
    whole, parts = np.zeros_like(weight), np.zeros_like(weight)
    for dweight, cuts in ((whole, (0, 400)), (parts, (0, 100, 400))):
        for rows in (slice(*pair) for pair in itertools.pairwise(cuts)):
            given = h[rows], weight, None, targets[rows], 1.0, dweight, None
            kernels.linear_cross_entropy(*given, False, 0.0, "bfloat16")
    assert whole.tobytes() == parts.tobytes()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_losses_without_gradients(random, precision):
    h, weight, bias = (random.normal(size=s).astype("f") for s in ((13, 33), (65, 33), (65,)))
    targets = random.integers(65, size=13)
    losses, none = kernels.linear_cross_entropy(
        h, weight, bias, targets, 1.0, None, None, False, 0.0, precision
    )
    logits = expected_linear(h, weight, bias, precision).astype(float)
    exact, _ = reference.softmax_cross_entropy(logits, targets)
    assert none is None
    np.testing.assert_allclose(losses, exact, rtol=0, atol=16 * EPSILON * np.abs(logits).max())
