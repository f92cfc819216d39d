"""The logistic loss: alone and as an output layer, against the reference, central differences and PyTorch."""

import math
import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from fastrnn.layers import Logistic
from gradient_check import assert_gradient
from kernel_cases import with_threads

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
SHAPES = [(1,), (7,), (5, 1), (3, 17), (4, 3, 33), (2, 3, 5, 65)]


def make(shape, dtype, seed=0):
    random = np.random.default_rng(seed)
    logits = (5 * random.normal(size=shape)).astype(dtype)
    targets = random.random(shape).round(2).astype(dtype)
    targets[random.random(shape) < 0.5] = 1.0
    weights = (0.5 + random.random(shape[-1])).astype(dtype)
    return logits, targets, weights


@DTYPES
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_and_gradient_are_those_of_the_reference(shape, dtype, smoothing):
    logits, targets, weights = make(shape, dtype)
    if logits.size > 3:
        targets.flat[2] = -1
    for weight in (None, 2.5, weights):
        loss, dlogits = fr.binary_cross_entropy(logits, targets, pos_weight=weight, label_smoothing=smoothing)
        given = 1.0 if weight is None else np.float64(weight)
        losses, wanted = reference.binary_cross_entropy(
            logits.astype(np.float64), targets.astype(np.float64), given, smoothing
        )
        count = (targets != -1).sum()
        tolerance = 1e-12 if dtype == "float64" else 2e-6
        assert loss == pytest.approx(losses.sum() / count, rel=tolerance)
        np.testing.assert_allclose(dlogits, wanted / count, rtol=tolerance, atol=tolerance / count)
        assert dlogits.dtype == dtype


def test_the_gradient_is_that_of_central_differences():
    logits, targets, weights = make((4, 3, 5), "float64")
    given = {"pos_weight": weights, "lengths": [4, 2, 1], "label_smoothing": 0.1}
    dlogits = fr.binary_cross_entropy(logits, targets, **given)[1]
    assert_gradient(lambda: fr.binary_cross_entropy(logits, targets, **given)[0], logits, dlogits)


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_pytorchs_bce_with_logits(torch, weighted):
    logits, targets, weights = make((6, 4, 9), "float64")
    mask = np.random.default_rng(1).random((6, 4)) < 0.7
    x = torch.tensor(logits, requires_grad=True)
    module = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weights) if weighted else None)
    wanted = module(x[torch.tensor(mask)], torch.tensor(targets)[torch.tensor(mask)])
    wanted.backward()
    loss, dlogits = fr.binary_cross_entropy(
        logits, targets, mask=mask, pos_weight=weights if weighted else None
    )
    assert loss == pytest.approx(wanted.item(), rel=1e-13)
    np.testing.assert_allclose(dlogits, x.grad.numpy(), rtol=1e-12, atol=1e-16)


@DTYPES
def test_far_logits_neither_overflow_nor_lose_small_gradients(dtype):
    logits = np.array([1e4, 1e4, -1e4, -1e4, np.inf, -np.inf, -20.0], dtype)
    losses, dlogits = fr._dispatch.kernels.binary_cross_entropy(
        logits[None], np.array([[1, 0, 1, 0, 1, 0, 0]], dtype), None, 1.0
    )
    tiny = 2 * np.finfo(dtype).tiny
    np.testing.assert_allclose(losses[0, :6], [0, 1e4, 1e4, 0, 0, 0], rtol=1e-6, atol=tiny)
    np.testing.assert_allclose(dlogits[0, :6], [0, 1, -1, 0, 0, 0], rtol=1e-6, atol=tiny)
    assert losses[0, 6] == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)
    assert dlogits[0, 6] == pytest.approx(math.exp(-20) / (1 + math.exp(-20)), rel=1e-6)


def test_mask_lengths_and_minus_one_leave_out_the_same_elements_whatever_they_hold():
    logits, targets, _ = make((5, 3, 4), "float32")
    lengths = np.array([5, 1, 3])
    inside = np.arange(5)[:, None] < lengths
    logits[~inside] = np.nan
    marked = np.where(inside[..., None], targets, -1)
    wanted = fr.binary_cross_entropy(logits, marked)
    full = np.broadcast_to(inside[..., None], logits.shape)
    for given in ({"lengths": lengths}, {"mask": inside}, {"mask": full}, {"mask": full, "lengths": lengths}):
        loss, dlogits = fr.binary_cross_entropy(logits, targets, **given)
        assert loss == wanted[0]
        assert dlogits.tobytes() == wanted[1].tobytes()
    assert not dlogits[~inside].any()
    assert dlogits[inside].all()


def test_targets_may_be_bool_or_integers():
    logits = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    answers = logits > 0.3
    wanted = fr.binary_cross_entropy(logits, answers.astype(np.float32))
    for targets in (answers, answers.astype(np.int64), answers.tolist(), answers.astype(np.float64)):
        assert fr.binary_cross_entropy(logits, targets)[0] == wanted[0]


@DTYPES
def test_the_bits_do_not_depend_on_threads_or_neighbours(dtype):
    logits, targets, weights = make((4000, 33), dtype)
    one, two = (with_threads(n, lambda: fr.binary_cross_entropy(logits, targets)) for n in (1, 2))
    assert one[1].tobytes() == two[1].tobytes()
    kernel = fr._dispatch.kernels.binary_cross_entropy
    whole = kernel(logits, targets, weights, 1.0)
    part = kernel(logits[7:9].copy(), targets[7:9].copy(), weights, 1.0)
    assert [a[7:9].tobytes() for a in whole] == [a.tobytes() for a in part]


@DTYPES
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 17, 3), (65, 3, 33), (300, 4, 1100)], ids=str)
def test_the_layer_is_a_linear_layer_and_the_loss(sizes, bias, dtype):
    M, K, F = sizes
    output, linear = (kind(K, F, bias, dtype=dtype, seed=0) for kind in (Logistic, fr.Linear))
    h = np.random.default_rng(1).normal(size=(M, K)).astype(dtype)
    _, targets, weights = make((M, F), dtype)
    targets[0, 0] = -1
    logits, tape = linear.forward(h)
    wide = (logits.astype(np.float64), targets.astype(np.float64), weights.astype(np.float64))
    wanted, dlogits = reference.binary_cross_entropy(*wide, 0.1)
    dh = linear.backward(tape, (0.25 * dlogits).astype(dtype))
    options = {"scale": 0.25, "smoothing": 0.1, "pos_weight": weights}
    losses, got = output.losses_and_gradients(h, targets, **options)
    tolerance = 1e-11 if dtype == "float64" else 2e-4
    for one, two in [(losses, wanted), (got, dh), (output.gradients.flat, linear.gradients.flat)]:
        np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)
    plain = output.losses(h, targets, pos_weight=weights)
    wide_losses = reference.binary_cross_entropy(*wide)[0]
    np.testing.assert_allclose(plain, wide_losses, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(output.probabilities(h), reference.sigmoid(wide[0]), rtol=tolerance)


LOGITS = np.zeros((3, 2, 4), np.float32)
ZEROS = np.zeros(LOGITS.shape)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"targets": ZEROS + 1.5}, ValueError, "targets: expected 0 .. 1, or -1 for none, got 1.5"),
        ({"targets": ZEROS + np.nan}, ValueError, "targets: expected 0 .. 1, or -1 for none, got nan"),
        ({"targets": ZEROS - 1}, ValueError, "targets: expected at least one"),
        ({"targets": ZEROS[0]}, ValueError, "targets: expected [3, 2, 4], got [2, 4]"),
        ({"targets": ZEROS.astype(complex)}, TypeError, "targets: expected bool, integers or floats"),
        ({"mask": np.ones((3, 4), bool)}, ValueError, "mask: expected [3, 2], got [3, 4]"),
        ({"mask": np.ones((3, 2))}, TypeError, "mask: expected bool, got float64"),
        ({"lengths": [1, 4]}, ValueError, "lengths: expected"),
        ({"pos_weight": [1.0, 2.0]}, ValueError, "pos_weight: expected [4], got [2]"),
        ({"pos_weight": -1.0}, ValueError, "pos_weight: expected finite numbers of at least 0, got -1"),
        ({"pos_weight": "x"}, TypeError, "pos_weight: expected"),
        ({"label_smoothing": 1.0}, ValueError, "label_smoothing: "),
        ({"logits": LOGITS.astype(np.float16)}, TypeError, "logits: expected float32 or float64"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused(given, error, message):
    arguments = {"logits": LOGITS, "targets": ZEROS, **given}
    with pytest.raises(error, match=re.escape(message)):
        fr.binary_cross_entropy(arguments.pop("logits"), arguments.pop("targets"), **arguments)
