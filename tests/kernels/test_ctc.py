"""Connectionist temporal classification: against all alignments, the reference, differences and PyTorch."""

import itertools
import math
import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from gradient_check import assert_gradient
from kernel_cases import with_threads

kernels = fr._dispatch.kernels
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
OPTIONS = {"reduction": "none"}


def frames_needed(target):
    return len(target) + sum(one == two for one, two in itertools.pairwise(target))


def make(random, steps, rows, size, dtype="float64", spread=2.0, least=0):
    """Draw logits, targets that fit, lengths and a blank."""
    blank = int(random.integers(size))
    logits = (spread * random.normal(size=(steps, rows, size))).astype(dtype)
    lengths = random.integers(least, steps + 1, size=rows)
    symbols = [v for v in range(size) if v != blank]
    targets = []
    for length in lengths:
        target = [] if not symbols else random.choice(symbols, size=random.integers(length + 1)).tolist()
        while frames_needed(target) > length:
            target.pop()
        targets.append(target)
    return logits, targets, lengths, blank


def merge(path, blank):
    return [symbol for symbol, _ in itertools.groupby(path) if symbol != blank]


def all_paths(logits, target, blank):
    """Return the likelihood of a target by summing over all paths, its gradient, and its best path."""
    log_y = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    steps, size = logits.shape
    total, counts, best = 0.0, np.zeros((steps, size)), (-math.inf, ())
    for path in itertools.product(range(size), repeat=steps):
        if merge(path, blank) != target:
            continue
        log_p = float(log_y[range(steps), list(path)].sum())
        total += math.exp(log_p)
        counts[range(steps), list(path)] += math.exp(log_p)
        best = max(best, (log_p, path))
    return total, np.exp(log_y) - counts / total, best


def test_loss_gradient_and_alignment_are_those_of_all_alignments_in_1000_cases():
    random = np.random.default_rng(0)
    tried = repeats = empty = 0
    while tried < 1000:
        steps, size = int(random.integers(1, 6)), int(random.integers(1, 5))
        logits, targets, lengths, blank = make(random, steps, 2, size)
        losses, dlogits = fr.ctc_loss(logits, targets, lengths, blank=blank, **OPTIONS)
        positions, log_p = fr.ctc_align(logits, targets, lengths, blank=blank)
        for n, (target, end) in enumerate(zip(targets, lengths, strict=True)):
            total, gradient, (best, _) = all_paths(logits[:end, n], target, blank)
            assert losses[n] == pytest.approx(-math.log(total), rel=1e-12, abs=1e-12)
            np.testing.assert_allclose(dlogits[:end, n], gradient, rtol=1e-9, atol=1e-13)
            assert not dlogits[end:, n].any()
            assert log_p[n] == pytest.approx(best, rel=1e-12, abs=1e-12)
            path = [blank if i < 0 else target[i] for i in positions[:end, n]]
            assert merge(path, blank) == target
            log_y = logits[:end, n] - np.logaddexp.reduce(logits[:end, n], axis=1, keepdims=True)
            assert log_y[range(end), path].sum() == pytest.approx(best, rel=1e-12, abs=1e-12)
            assert (positions[end:, n] == -1).all()
            tried, empty = tried + 1, empty + (not target)
            repeats += frames_needed(target) > len(target)
    assert min(repeats, empty) > 50


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 3, 2), (40, 5, 17), (90, 4, 33)], ids=str)
def test_loss_and_gradient_are_those_of_the_reference(shape, dtype):
    random = np.random.default_rng(1)
    for _ in range(5):
        logits, targets, lengths, blank = make(random, *shape, dtype)
        losses, dlogits = fr.ctc_loss(logits, targets, lengths, blank=blank, **OPTIONS)
        arrays = [np.array(target, np.int64) for target in targets]
        wanted, gradient = reference.ctc_loss(logits.astype(np.float64), arrays, lengths, blank)
        tolerance = 1e-10 if dtype == "float64" else 5e-6
        np.testing.assert_allclose(losses, wanted, rtol=tolerance, atol=10 * tolerance)
        np.testing.assert_allclose(dlogits, gradient, rtol=0, atol=tolerance)
        assert losses.dtype == dlogits.dtype == dtype


@pytest.mark.parametrize("reduction", ["mean", "batch_mean", "sum", "none"])
def test_the_gradient_is_that_of_central_differences(reduction):
    logits, targets, lengths, blank = make(np.random.default_rng(2), 7, 3, 4, least=5)
    given = {"blank": blank, "reduction": reduction}
    dlogits = fr.ctc_loss(logits, targets, lengths, **given)[1]
    assert_gradient(lambda: float(np.sum(fr.ctc_loss(logits, targets, lengths, **given)[0])), logits, dlogits)


@DTYPES
def test_it_is_pytorchs_ctc_loss_in_100_ragged_cases(torch, dtype):
    random = np.random.default_rng(3)
    for case in range(100):
        size = int(random.integers(2, 30))
        logits, targets, lengths, blank = make(random, int(random.integers(1, 50)), 4, size, dtype, least=1)
        if case % 3 == 0:  # one that does not fit
            targets[1] = [(blank + 1) % size] * (int(lengths[1]) + 1)
        reduction, hide = ("none", "mean", "sum")[case % 7 % 3], case % 3 == 0
        x = torch.tensor(logits, requires_grad=True)
        flat = torch.tensor([*itertools.chain(*targets)], dtype=torch.long)
        counts = torch.tensor([*map(len, targets)])
        wanted = torch.nn.functional.ctc_loss(
            x.log_softmax(2), flat, torch.tensor(lengths), counts, blank, reduction, zero_infinity=hide
        )
        wanted.sum().backward()
        loss, dlogits = fr.ctc_loss(
            logits, targets, lengths, blank=blank, reduction=reduction, zero_infinity=hide
        )
        tolerance = 1e-9 if dtype == "float64" else 2e-4  # PyTorch's own error in float32
        np.testing.assert_allclose(loss, wanted.detach().numpy(), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(dlogits, x.grad.numpy(), rtol=0, atol=tolerance)


def test_float32_is_right_for_2000_frames():
    random = np.random.default_rng(4)
    logits = 2.0 * random.normal(size=(2000, 2, 40))
    logits[:, 1, 0] += 12.0  # nearly all blank, as early in training: the target's paths are e^-3000 of all
    targets = [random.integers(1, 40, size=count) for count in (700, 150)]
    wanted, gradient = fr.ctc_loss(logits, targets, **OPTIONS)
    losses, dlogits = fr.ctc_loss(logits.astype(np.float32), targets, **OPTIONS)
    np.testing.assert_allclose(losses, wanted, rtol=3e-7)
    np.testing.assert_allclose(dlogits, gradient, rtol=0, atol=2e-5)
    exact, right = reference.ctc_loss(logits[:, 1:], targets[1:])
    np.testing.assert_allclose(wanted[1:], exact, rtol=1e-12)
    np.testing.assert_allclose(gradient[:, 1:], right, rtol=0, atol=1e-9)


@DTYPES
def test_far_logits_neither_overflow_nor_lose_the_gradient(dtype):
    random = np.random.default_rng(5)
    logits = (1000 * random.normal(size=(60, 1, 5))).astype(dtype)
    target = [np.array([1, 1, 2, 4, 3])]
    losses, dlogits = fr.ctc_loss(logits, target, **OPTIONS)
    wanted, gradient = reference.ctc_loss(logits.astype(np.float64), target)
    assert wanted[0] > 1000
    np.testing.assert_allclose(losses, wanted, rtol=1e-6)
    np.testing.assert_allclose(dlogits, gradient, rtol=0, atol=1e-3 if dtype == "float32" else 1e-9)
    np.testing.assert_allclose(dlogits.sum(axis=2), 0, atol=1e-6)
    sure = np.full((3, 1, 3), -1e30, dtype)
    sure[[0, 1, 2], 0, [1, 0, 1]] = 1e30
    losses, dlogits = fr.ctc_loss(sure, [[1, 1]], **OPTIONS)
    assert losses[0] == 0
    np.testing.assert_allclose(dlogits, 0, atol=1e-37)


@DTYPES
def test_logits_of_minus_infinity_are_impossible_and_nan_is_not_hidden(dtype):
    logits = np.random.default_rng(6).normal(size=(5, 4, 4)).astype(dtype)
    logits[:, 0, 3] = -np.inf  # never used
    logits[2, 1] = [0, -np.inf, -np.inf, -np.inf]  # a path through the blank remains
    logits[:, 2, 1] = -np.inf  # none remains
    logits[1, 3, 2] = np.nan
    targets = [[1, 2], [1, 2], [1, 2], [1, 2]]
    losses, dlogits = fr.ctc_loss(logits, targets, **OPTIONS)
    wanted, gradient = reference.ctc_loss(logits[:, :2].astype(np.float64), [np.array([1, 2])] * 2)
    np.testing.assert_allclose(losses[:2], wanted, rtol=1e-5)
    np.testing.assert_allclose(dlogits[:, :2], gradient, atol=1e-6)
    assert losses[2] == np.inf
    assert np.isnan(losses[3])
    assert np.isnan(dlogits[:, 2:]).all()
    losses, dlogits = fr.ctc_loss(logits, targets, zero_infinity=True, **OPTIONS)
    assert losses[2] == 0
    assert not dlogits[:, 2].any()
    assert np.isnan(losses[3])
    assert np.isnan(dlogits[:, 3]).all()
    for row in (2, 3):
        with pytest.raises(ValueError, match="every path of row 0's target has a probability of 0"):
            fr.ctc_align(logits[:, row : row + 1].copy(), [[1, 2]])


@DTYPES
def test_the_bits_do_not_depend_on_threads_neighbours_padding_or_the_form_of_the_targets(dtype):
    random = np.random.default_rng(7)
    logits, targets, lengths, blank = make(random, 60, 40, 21, dtype)
    one, two, three = (
        with_threads(n, lambda: fr.ctc_loss(logits, targets, lengths, blank=blank, **OPTIONS))
        for n in (1, 2, 3)
    )
    assert [a.tobytes() for a in one] == [a.tobytes() for a in two] == [a.tobytes() for a in three]
    aligned = [with_threads(n, lambda: fr.ctc_align(logits, targets, lengths, blank=blank)) for n in (1, 3)]
    assert [a.tobytes() for a in aligned[0]] == [a.tobytes() for a in aligned[1]]
    for n in (0, 7, 39):
        alone = fr.ctc_loss(logits[: lengths[n], n : n + 1].copy(), [targets[n]], blank=blank - 21, **OPTIONS)
        assert alone[0].tobytes() == one[0][n : n + 1].tobytes()
        assert alone[1].tobytes() == one[1][: lengths[n], n : n + 1].tobytes()
    for n, end in enumerate(lengths):
        logits[end:, n] = np.nan
    counts = np.array([*map(len, targets)])
    padded = random.integers(-99, 99, size=(40, 60))
    for n, target in enumerate(targets):
        padded[n, : len(target)] = target
    arrays = [np.array(target, np.int32) for target in targets]
    for given in ({"targets": padded, "target_lengths": counts}, {"targets": arrays}, {"targets": targets}):
        again = fr.ctc_loss(logits, lengths=lengths, blank=blank, **given, **OPTIONS)
        assert [a.tobytes() for a in again] == [a.tobytes() for a in one]


def test_reductions_are_what_they_say():
    logits, targets, lengths, blank = make(np.random.default_rng(8), 9, 5, 6, least=4)
    targets[2] = []
    given = {"lengths": lengths, "blank": blank}
    losses, dlogits = fr.ctc_loss(logits, targets, reduction="none", **given)
    counts = np.maximum([*map(len, targets)], 1)
    for name, weights in {"mean": 1 / counts / 5, "batch_mean": np.full(5, 0.2), "sum": np.ones(5)}.items():
        loss, gradient = fr.ctc_loss(logits, targets, reduction=name, **given)
        assert loss == pytest.approx((losses * weights).sum(), rel=1e-13)
        np.testing.assert_allclose(gradient, dlogits * weights[:, None], rtol=1e-12, atol=1e-15)


def test_empty_targets_rows_without_frames_and_batches_without_rows():
    logits = np.random.default_rng(9).normal(size=(3, 2, 4))
    losses, dlogits = fr.ctc_loss(logits, [[], []], [3, 0], **OPTIONS)
    log_y = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    np.testing.assert_allclose(losses, [-log_y[:, 0, 0].sum(), 0], rtol=1e-13)
    assert not dlogits[:, 1].any()
    losses, dlogits = fr.ctc_loss(np.zeros((3, 0, 4)), [], **OPTIONS)
    assert (losses.shape, dlogits.shape) == ((0,), (3, 0, 4))
    losses, dlogits = fr.ctc_loss(np.zeros((0, 2, 4)), [[], []], **OPTIONS)
    assert (losses.tolist(), dlogits.shape) == ([0, 0], (0, 2, 4))
    assert fr.ctc_align(np.zeros((0, 2, 4)), [[], []]).positions.shape == (0, 2)


TOO_LONG = "3 symbols, which need 5 frames (one more where a symbol is repeated), got 3"
LOGITS = np.zeros((3, 2, 4), np.float32)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"logits": LOGITS.astype(np.float16)},
            TypeError,
            "logits: expected float32 or float64, got float16; write logits.astype(np.float32)",
        ),
        ({"logits": LOGITS[0]}, ValueError, "logits: expected [T, N, V], got [2, 4]"),
        ({"logits": LOGITS[:, :, :0]}, ValueError, "logits: expected at least one symbol, got [3, 2, 0]"),
        (
            {"logits": LOGITS[:, :0], "targets": []},
            ValueError,
            "logits: expected at least one row for reduction='mean', got none",
        ),
        ({"targets": [[1]]}, ValueError, "targets: expected a sequence for each of 2 rows, got 1"),
        (
            {"targets": [[1], [4]]},
            ValueError,
            "targets: expected ids in 0 .. 3 (-1: none), got 4 at position 1",
        ),
        ({"targets": [[1], [2, -1]]}, ValueError, "targets: row 1: expected symbols, got -1 at position 1"),
        (
            {"targets": [[1], [2, 0]]},
            ValueError,
            "targets: row 1: expected symbols, got the blank, 0, at position 1",
        ),
        ({"targets": [[1.5], [2]]}, TypeError, "targets: expected integers, got float64"),
        ({"targets": [np.array([1.0]), [2]]}, TypeError, "targets[0]: expected integers, got float64"),
        ({"targets": [1, 2]}, ValueError, "targets[0]: expected [L], got []"),
        (
            {"targets": [[1], [2, 2, 2]]},
            ValueError,
            f"targets: row 1 has {TOO_LONG}; leave the row out, or ignore its loss with zero_infinity=True",
        ),
        (
            {"targets": [[1], [2]], "lengths": [0, 3]},
            ValueError,
            "targets: row 0 has 1 symbol, which needs 1 frame, got 0; ",
        ),
        ({"lengths": [3]}, ValueError, "lengths: expected [2], got [1]"),
        ({"lengths": [3, 4]}, ValueError, "lengths: expected 0 .. 3, got 4 at position 1"),
        (
            {"targets": [[1, 2], [1, 2]], "target_lengths": [1, 3]},
            ValueError,
            "target_lengths: expected 0 .. 2, got 3 at position 1",
        ),
        (
            {"targets": np.ones((2, 2), int), "target_lengths": [1]},
            ValueError,
            "target_lengths: expected [2], got [1]",
        ),
        ({"blank": 4}, ValueError, "blank: expected -4 .. 3, got 4"),
        ({"blank": "-"}, TypeError, "blank: expected an integer, got str"),
        ({"zero_infinity": 1}, TypeError, "zero_infinity: expected True or False, got int"),
        (
            {"reduction": "max"},
            ValueError,
            "reduction: expected one of 'mean', 'batch_mean', 'sum', 'none', got 'max'",
        ),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(given, error, message):
    with pytest.raises(error, match=re.escape(message)):
        fr.ctc_loss(**{"logits": LOGITS, "targets": [[1], [2]], **given})


def test_an_alignment_of_too_few_frames_is_refused_without_the_advice_for_losses():
    with pytest.raises(ValueError, match=re.escape(TOO_LONG) + "$"):
        fr.ctc_align(LOGITS, [[1], [2, 2, 2]])


IDS, COUNTS = np.array([1, 2]), np.array([1, 1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((LOGITS.astype(int), IDS, COUNTS, None, 0), TypeError, "logits: expected float32, got int64"),
        ((LOGITS, IDS, COUNTS, None, -1), ValueError, "blank: expected 0 .. 3, got -1"),
        (
            (LOGITS, IDS, COUNTS + 1, None, 0),
            ValueError,
            "targets: expected the sum of target_lengths, got 2",
        ),
        (
            (LOGITS, IDS, COUNTS - 1, None, 0),
            ValueError,
            "targets: expected the sum of target_lengths, got 2",
        ),
        (
            (LOGITS, IDS, -COUNTS, None, 0),
            ValueError,
            "target_lengths: expected 0 .. 2, got -1 at position 0",
        ),
        ((LOGITS, IDS, COUNTS, COUNTS + 3, 0), ValueError, "lengths: expected 0 .. 3, got 4 at position 0"),
        ((LOGITS, IDS + 2, COUNTS, None, 0), ValueError, "targets: expected ids in 0 .. 3 (-1: none), got 4"),
    ],
)
def test_the_kernels_check_their_arguments(arguments, error, message):
    for call in (lambda: kernels.ctc_loss(*arguments, False, None), lambda: kernels.ctc_align(*arguments)):
        with pytest.raises(error, match=re.escape(message)):
            call()
