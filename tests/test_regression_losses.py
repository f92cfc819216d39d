"""Losses of real numbers: the reference, central differences, PyTorch, bad input."""

import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import losses, reference
from gradient_check import assert_gradient
from kernel_cases import with_threads

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
TAUS = np.array([0.1, 0.5, 0.9])

# name: the loss of an array [..., 3], with targets of that shape or without the last axis; and the reference.
CALLS = {
    "squared": (losses.mean_squared_error, reference.squared_error),
    "absolute": (losses.mean_absolute_error, reference.absolute_error),
    "huber": (
        lambda x, y, **more: losses.huber(x, y, delta=0.7, **more),
        lambda x, y: reference.huber(x, y, 0.7),
    ),
    "quantile": (
        lambda x, y, **more: losses.quantile(x, y, TAUS, **more),
        lambda x, y: reference.quantile_loss(x, y, TAUS),
    ),
}
KINDS = pytest.mark.parametrize("kind", CALLS)


def make(kind, shape, dtype="float64", seed=0):
    random = np.random.default_rng(seed)
    x, y = (2 * random.normal(size=shape) for _ in range(2))
    return x.astype(dtype), (y[..., 0] if kind == "quantile" else y).astype(dtype)


@DTYPES
@KINDS
@pytest.mark.parametrize("shape", [(3,), (1, 3), (5, 17, 3), (4, 3, 33, 3), (700, 3)], ids=str)
def test_loss_and_gradient_are_those_of_the_reference(shape, kind, dtype):
    call, plain = CALLS[kind]
    x, y = make(kind, shape, dtype)
    loss, dx = call(x, y)
    wanted, dwanted = plain(x.astype(np.float64), y.astype(np.float64))
    tolerance = 1e-13 if dtype == "float64" else 2e-6
    assert loss == pytest.approx(wanted.mean(), rel=tolerance)
    np.testing.assert_allclose(dx, dwanted / x.size, rtol=tolerance, atol=tolerance / x.size)
    assert dx.dtype == dtype


@KINDS
def test_the_gradient_is_that_of_central_differences(kind):
    call, _ = CALLS[kind]
    x, y = make(kind, (4, 3, 3))
    given = {"lengths": [4, 2, 0], "mask": np.random.default_rng(1).random((4, 3)) < 0.8}
    assert_gradient(lambda: call(x, y, **given)[0], x, call(x, y, **given)[1])


def test_they_are_those_of_pytorch(torch):
    functional = torch.nn.functional
    x, y = make("squared", (6, 4, 9))
    y[0] = x[0]  # ties: their gradient of an absolute error is 0 too
    cases = [(losses.mean_squared_error(x, y), functional.mse_loss, {})]
    cases += [(losses.mean_absolute_error(x, y), functional.l1_loss, {})]
    cases += [
        (losses.huber(x, y, delta=delta), functional.huber_loss, {"delta": delta}) for delta in (0.3, 1, 2)
    ]
    for (loss, dx), theirs, options in cases:
        tensor = torch.tensor(x, requires_grad=True)
        wanted = theirs(tensor, torch.tensor(y), **options)
        wanted.backward()
        assert loss == pytest.approx(wanted.item(), rel=1e-13)
        np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=1e-12, atol=1e-17)


@KINDS
def test_mask_and_lengths_leave_out_the_same_elements_whatever_they_hold(kind):
    call, _ = CALLS[kind]
    x, y = make(kind, (5, 3, 3), "float32")
    lengths = np.array([5, 0, 3])
    inside = np.arange(5)[:, None] < lengths
    wanted = call(x[inside], y[inside])
    x[~inside], y[~inside] = np.nan, np.inf
    for given in ({"lengths": lengths}, {"mask": inside}, {"mask": inside, "lengths": lengths}):
        loss, dx = call(x, y, **given)
        assert loss == pytest.approx(wanted[0], rel=1e-6)
        assert dx[inside].tobytes() == wanted[1].tobytes()
        assert not dx[~inside].any()


@DTYPES
@KINDS
def test_the_bits_do_not_depend_on_threads_or_neighbours(kind, dtype):
    call, _ = CALLS[kind]
    x, y = make(kind, (120_000, 3), dtype)
    one, two = (with_threads(n, lambda: call(x, y)) for n in (1, 2))
    assert (one[0], one[1].tobytes()) == (two[0], two[1].tobytes())
    part = call(x[777:779], y[777:779])[1] * (2 / len(x))
    np.testing.assert_allclose(one[1][777:779], part, rtol=1e-6)


def test_the_least_quantile_loss_is_at_the_quantiles():
    y = np.random.default_rng(0).normal(size=20_000)
    x = np.zeros((1, 3))
    for _ in range(400):
        x -= 40 * losses.quantile(np.broadcast_to(x, (len(y), 3)), y, TAUS)[1].sum(axis=0) / 10
    np.testing.assert_allclose(x[0], np.quantile(y, TAUS), atol=0.01)


def test_a_prediction_that_equals_its_target_has_no_gradient_and_nan_stays_nan():
    loss, dx = losses.quantile([[1.0, 1.0]], [1], [0.2, 0.9])
    assert (loss, dx.tolist()) == (0.0, [[0.0, 0.0]])
    loss, dx = losses.mean_absolute_error([1.0, -0.0, 3.0], [1, 0, 0])
    assert (loss, dx.tolist()) == (1.0, [0.0, 0.0, 1 / 3])
    for kind, (call, _) in CALLS.items():
        x, y = make(kind, (2, 3))
        x[0, 0] = np.nan
        assert np.isnan(call(x, y)[0])


def test_squared_errors_of_one_sequence_take_no_axis_of_width():
    loss, dx = losses.mean_squared_error(np.array([1.0, 2.0], np.float32), [0, 0])
    assert (loss, dx.tolist()) == (2.5, [1.0, 2.0])


X = np.zeros((3, 2, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: losses.mean_squared_error(X, X[0]), ValueError, "targets: expected [3, 2, 4], got [2, 4]"),
        (lambda: losses.mean_squared_error(X, X + np.nan), ValueError, "targets: expected finite numbers"),
        (lambda: losses.mean_squared_error(X, X * 1j), TypeError, "targets: expected integers or floats"),
        (lambda: losses.mean_squared_error(X.astype("f2"), X), TypeError, "predictions: expected float32 or"),
        (lambda: losses.huber(X, X, delta=0), ValueError, "delta: expected a finite number above 0, got 0"),
        (lambda: losses.huber(X, X, lengths=[1, 4]), ValueError, "lengths: expected 0 .. 3, got 4"),
        (
            lambda: losses.huber(X, X, lengths=[0, 0]),
            ValueError,
            "targets: expected at least one that counts",
        ),
        (lambda: losses.huber(X[:0], X[:0]), ValueError, "targets: expected at least one that counts"),
        (
            lambda: losses.huber(X[0, 0], X[0, 0], lengths=[4]),
            ValueError,
            "expected targets [T, N, ...] with",
        ),
        (lambda: losses.quantile(X, X[..., 0], [0.5]), ValueError, "quantiles: expected [4], got [1]"),
        (
            lambda: losses.quantile(X[..., 0], X[:, 0, 0], [0.5, 1]),
            ValueError,
            "neither included, got 1.0 at",
        ),
        (lambda: losses.quantile(X, X, [0.1, 0.2, 0.3, 0.4]), ValueError, "targets: expected [3, 2], got"),
        (lambda: losses.quantile(X[..., :0], X[..., 0], []), ValueError, "quantiles: expected at least one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_the_names_of_losses_are_those_of_layers():
    assert losses is fr.losses
    for name in losses.__all__:
        other = {"quantile": "quantile_loss", "ctc": "ctc_loss"}.get(name, name)
        assert getattr(losses, name) is getattr(fr.layers, other)
