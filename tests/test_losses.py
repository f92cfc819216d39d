"""The losses as one family: the same arguments, reductions, errors, and what other libraries call them."""

import inspect
import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import losses, reference
from gradient_check import assert_gradient
from kernel_cases import with_threads

T, N, V = 5, 3, 4


def make(name, dtype="float64", shape=(T, N, V)):
    """Return predictions and targets of a loss."""
    random = np.random.default_rng(0)
    x = (2 * random.normal(size=shape)).astype(dtype)
    if name == "softmax_cross_entropy":
        return x, random.integers(0, shape[-1], shape[:-1])
    y = random.random(shape).astype(dtype)
    return x, y[..., 0] if name == "quantile" else y


def call(name, x, y, **given):
    more = ([0.1, 0.3, 0.5, 0.9],) if name == "quantile" else ()
    return getattr(losses, name)(x, y, *more, **given)


FAMILY = [name for name in losses.__all__ if name != "ctc"]
EACH = pytest.mark.parametrize("name", FAMILY)


@EACH
def test_all_take_a_mask_lengths_and_a_reduction_by_name(name):
    parameters = inspect.signature(getattr(losses, name)).parameters
    first, second, *_ = parameters
    assert first in ("logits", "predictions")
    assert second == "targets"
    for option in ("mask", "lengths", "reduction"):
        assert parameters[option].kind is inspect.Parameter.KEYWORD_ONLY


@EACH
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sum_mean_and_none_are_of_the_same_losses(name, dtype):
    x, y = make(name, dtype)
    given = {"lengths": [5, 0, 2]}
    each, dsum = call(name, x, y, reduction="none", **given)
    total, dtotal = call(name, x, y, reduction="sum", **given)
    mean, dmean = call(name, x, y, **given)
    count = 7 * (1 if each.ndim == 2 else V)
    assert each.shape == (y.shape if name == "softmax_cross_entropy" else x.shape)
    assert each.dtype == dtype
    assert total == float(each.sum(dtype=np.float64))
    assert mean == total / count
    assert dsum.tobytes() == dtotal.tobytes()
    np.testing.assert_allclose(dmean, dtotal / count, rtol=1e-6 if dtype == "float32" else 1e-14)
    assert not each[:, 1].any()
    assert not dsum[2:, 2].any()


@EACH
def test_the_gradient_of_the_sum_is_that_of_central_differences(name):
    x, y = make(name)
    given = {"mask": np.random.default_rng(1).random((T, N)) < 0.7, "reduction": "sum"}
    assert_gradient(lambda: call(name, x, y, **given)[0], x, call(name, x, y, **given)[1])


@EACH
@pytest.mark.parametrize("shape", [(0, N, V), (T, 0, V)], ids=str)
def test_of_nothing_the_sum_is_0_and_there_is_no_mean(name, shape):
    x, y = make(name, shape=shape)
    assert call(name, x, y, reduction="sum")[0] == 0.0
    assert call(name, x, y, reduction="none")[1].shape == shape
    with pytest.raises(ValueError, match="targets: expected at least one that counts, got none"):
        call(name, x, y)


@EACH
def test_an_unknown_reduction_is_refused(name):
    x, y = make(name)
    with pytest.raises(ValueError, match=r"reduction: expected one of 'mean', 'sum', 'none', got 'avg'"):
        call(name, x, y, reduction="avg")
    with pytest.raises(TypeError, match="reduction: expected one of"):
        call(name, x, y, reduction=None)


@EACH
def test_predictions_of_integers_are_refused_with_the_line_to_type(name):
    _, y = make(name)
    with pytest.raises(
        TypeError, match=r"expected float32 or float64, got int64; write \w+.astype\(np.float32"
    ):
        call(name, np.zeros((T, N, V), np.int64), y)


@EACH
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_bits_do_not_depend_on_threads(name, dtype):
    x, y = make(name, dtype, (700, 9, V))
    one, two = (with_threads(n, lambda: call(name, x, y)) for n in (1, 2))
    assert (one[0], one[1].tobytes()) == (two[0], two[1].tobytes())


@EACH
@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_far_and_near_predictions_stay_finite(name, size):
    x, y = make(name)
    with np.errstate(over="ignore"):
        loss, dx = call(name, np.sign(x) * size, y)
    assert np.isfinite(loss)
    assert np.isfinite(dx).all()


def test_masks_lengths_and_minus_one_leave_out_the_same_rows_of_a_softmax():
    x, y = make("softmax_cross_entropy", "float32")
    lengths = np.array([5, 0, 3])
    inside = np.arange(T)[:, None] < lengths
    wanted = fr.softmax_cross_entropy(x[inside], y[inside])
    x[~inside], y[~inside] = np.nan, 99
    for targets, given in (
        (y, {"lengths": lengths}), (y, {"mask": inside}), (np.where(inside, y, -1), {}),
    ):  # fmt: skip
        loss, dx = fr.softmax_cross_entropy(x, targets, **given)
        assert loss == pytest.approx(wanted[0], rel=1e-6)
        assert dx[inside].tobytes() == wanted[1].tobytes()
        assert not dx[~inside].any()


def test_a_weight_multiplies_the_loss_of_its_class_and_counts_in_the_mean():
    x, y = make("softmax_cross_entropy")
    rows, ids, weight = x.reshape(-1, V), y.reshape(-1), np.array([0.5, 2.0, 0.0, 1.0])
    each, dlogits = reference.softmax_cross_entropy(rows, ids)
    loss, dx = fr.softmax_cross_entropy(x, y, class_weight=weight)
    total = weight[ids].sum()
    assert loss == pytest.approx((each * weight[ids]).sum() / total, rel=1e-13)
    np.testing.assert_allclose(
        dx.reshape(-1, V), dlogits * weight[ids][:, None] / total, rtol=1e-12, atol=1e-17
    )


def test_a_class_of_weight_0_counts_nothing_not_even_an_infinite_loss():
    loss, dx = fr.softmax_cross_entropy([[0.0, -np.inf], [0.0, 0.0]], [1, 0], class_weight=[1, 0])
    assert loss == pytest.approx(np.log(2))
    assert dx[0].tolist() == [0.0, 0.0]


def test_a_softmax_with_weights_or_smoothing_is_that_of_pytorch(torch):
    x, y = make("softmax_cross_entropy")
    y[0, 0] = -1
    weight = np.array([0.5, 2.0, 0.1, 1.0])
    for own, theirs in (
        ({"class_weight": weight}, {"weight": torch.tensor(weight)}),
        ({"label_smoothing": 0.1}, {"label_smoothing": 0.1}),
        (
            {"class_weight": weight, "reduction": "none"},
            {"weight": torch.tensor(weight), "reduction": "none"},
        ),
    ):
        tensor = torch.tensor(x, requires_grad=True)
        wanted = torch.nn.functional.cross_entropy(
            tensor.reshape(-1, V), torch.tensor(y).reshape(-1), ignore_index=-1, **theirs
        )
        wanted.sum().backward()
        loss, dx = fr.softmax_cross_entropy(x, y, **own)
        np.testing.assert_allclose(np.reshape(loss, -1), wanted.detach().numpy().reshape(-1), rtol=1e-12)
        np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=1e-11, atol=1e-16)


def test_the_gradient_of_a_smoothed_weighted_softmax_is_that_of_central_differences():
    x, y = make("softmax_cross_entropy")
    given = {"class_weight": [0.5, 2.0, 0.1, 1.0], "label_smoothing": 0.2, "lengths": [5, 1, 2]}
    assert_gradient(
        lambda: fr.softmax_cross_entropy(x, y, **given)[0], x, fr.softmax_cross_entropy(x, y, **given)[1]
    )


X = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"class_weight": [1, 2]}, ValueError, "class_weight: expected [3], got [2]"),
        (
            {"class_weight": [1, -2, 0]},
            ValueError,
            "class_weight: expected finite numbers of at least 0, got -2",
        ),
        ({"class_weight": [1, np.inf, 0]}, ValueError, "got inf"),
        ({"class_weight": {0: 1.0}}, TypeError, "class_weight: expected floats [3], a weight for each class"),
        ({"class_weight": [0, 0, 1]}, ValueError, "targets: expected at least one that counts"),
        ({"label_smoothing": 1}, ValueError, "label_smoothing: expected"),
        ({"targets": [0, -100]}, ValueError, "write np.where(targets == -100, -1, targets)"),
        ({"targets": np.eye(3)[:2]}, ValueError, "of one-hot rows write targets.argmax(-1)"),
        ({"targets": [3, 3]}, ValueError, "targets: expected"),
        ({"mask": [1, 0]}, TypeError, "mask: expected"),
        ({"lengths": [1]}, ValueError, "lengths: expected targets [T, N, ...] with them"),
    ],
)
def test_what_does_not_fit_a_softmax_is_refused(given, error, message):
    with pytest.raises(error, match=re.escape(message)):
        fr.softmax_cross_entropy(X, **{"targets": [0, 1], **given})


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("cross_entropy", "softmax_cross_entropy(logits, targets)"),
        ("nll_loss", "log-probabilities are logits too"),
        ("mse_loss", "mean_squared_error(predictions, targets)"),
        ("l1_loss", "mean_absolute_error(predictions, targets)"),
        ("smooth_l1_loss", "huber(predictions, targets, delta=1.0)"),
        ("bce_with_logits", "binary_cross_entropy(logits, targets)"),
        ("ctc_loss", "ctc(logits, targets, lengths)"),
        ("hinge", "there are binary_cross_entropy, ctc, huber"),
    ],
)
def test_names_of_other_libraries_are_answered_with_the_line_to_type(name, line):
    with pytest.raises(AttributeError, match=re.escape(line)):
        getattr(losses, name)
    assert not hasattr(losses, name)


def test_every_line_to_type_names_a_loss_that_exists():
    for line in losses._OTHER_NAMES.values():
        assert hasattr(losses, line.partition("(")[0])


def test_smooth_l1_is_huber_divided_by_beta_as_the_message_says(torch):
    x, y = make("huber")
    wanted = torch.nn.functional.smooth_l1_loss(torch.tensor(x), torch.tensor(y), beta=0.3).item()
    assert losses.huber(x, y, delta=0.3)[0] / 0.3 == pytest.approx(wanted, rel=1e-13)


def test_dir_lists_the_losses_alone():
    assert dir(losses) == sorted(losses.__all__)
