"""Consistency between runs of the reference: steps and sequences, rows and batches, padding, dtypes."""

import numpy as np
import pytest

from fastrnn import reference
from recurrent_cases import VARIANTS, make_case

every_variant = pytest.mark.parametrize("variant", VARIANTS)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def flat(result):
    """Return the arrays of a forward or backward result."""
    return [
        a
        for part in result
        for a in (part if isinstance(part, tuple) else [part])
        if isinstance(a, np.ndarray)
    ]


@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
@every_variant
def test_steps_are_the_sequence(variant, ids):
    case = make_case(variant, ids=ids)
    y, state_n, _ = case.forward()
    state = case.state
    for t, x in enumerate(case.x):
        state = case.step(x, state)
        close(state[0], y[t])
    for s, expected in zip(state, state_n, strict=True):
        close(s, expected)


@every_variant
def test_two_calls_with_the_state_carried_are_one(variant):
    case = make_case(variant, (7, 3, 2, 5))
    y, state_n, _ = case.forward()
    y1, state, _ = case.replace(x=case.x[:3]).forward()
    y2, state, _ = case.replace(x=case.x[3:], state=state).forward()
    close(np.concatenate([y1, y2]), y)
    for s, expected in zip(state, state_n, strict=True):
        close(s, expected)


@every_variant
def test_a_reset_is_a_new_call(variant):
    case = make_case(variant, (7, 3, 2, 5))
    reset = np.zeros((7, 3), bool)
    reset[3] = True
    y, _, tape = case.replace(reset=reset).forward()
    dx, dstate, dweights = case.replace(reset=reset).backward(tape)
    one = case.replace(x=case.x[:3], dy=case.dy[:3], dstate_n=None)
    two = case.replace(x=case.x[3:], dy=case.dy[3:])
    (y1, _, tape1), (y2, _, tape2) = one.forward(), two.forward()
    close(np.concatenate([y1, y2]), y)
    (dx1, dstate1, dweights1), (dx2, dstate2, dweights2) = one.backward(tape1), two.backward(tape2)
    close(np.concatenate([dx1, dx2]), dx)
    for total, a, b in zip((*dstate, *dweights), (*dstate1, *dweights1), (*dstate2, *dweights2), strict=True):
        close(a + b, total)


@both_ways
@every_variant
def test_each_row_of_a_ragged_batch_is_its_own_sequence(variant, reverse):
    case = make_case(variant, (6, 5, 2, 3), ragged=True, resets=True, reverse=reverse)
    y, state_n, tape = case.forward()
    dx, dstate, dweights = case.backward(tape)
    total = [np.zeros_like(w) for w in case.weights]
    for n, length in enumerate(case.lengths):
        row = case.replace(
            x=case.x[:length, n : n + 1],
            state=tuple(s[n : n + 1] for s in case.state),
            lengths=None,
            reset=case.reset[:length, n : n + 1],
            dy=case.dy[:length, n : n + 1],
            dstate_n=tuple(s[n : n + 1] for s in case.dstate_n),
        )
        y_row, state_row, tape_row = row.forward()
        dx_row, dstate_row, dweights_row = row.backward(tape_row)
        close(y_row[:, 0], y[:length, n])
        close(dx_row[:, 0], dx[:length, n])
        for whole, part in zip((*state_n, *dstate), (*state_row, *dstate_row), strict=True):
            close(part[0], whole[n])
        for t, d in zip(total, dweights_row, strict=True):
            t += d
        assert not y[length:, n].any()
        assert not dx[length:, n].any()
    for t, d in zip(total, dweights, strict=True):
        close(t, d)


@every_variant
def test_reverse_runs_the_reversed_sequence(variant):
    case = make_case(variant, resets=True)
    turned = case.replace(x=case.x[::-1], dy=case.dy[::-1], reset=case.reset[::-1], reverse=True)
    (y, state_n, tape), (y_turned, state_turned, tape_turned) = case.forward(), turned.forward()
    close(y_turned[::-1], y)
    dx, dstate, dweights = case.backward(tape)
    dx_turned, dstate_turned, dweights_turned = turned.backward(tape_turned)
    close(dx_turned[::-1], dx)
    for a, b in zip(
        (*state_n, *dstate, *dweights), (*state_turned, *dstate_turned, *dweights_turned), strict=True
    ):
        close(b, a)


@both_ways
@every_variant
def test_padding_never_matters(variant, reverse):
    case = make_case(variant, (6, 5, 2, 3), ragged=True, resets=True, reverse=reverse)
    padding = np.arange(6)[:, None] >= case.lengths
    assert padding.any()
    x, dy = case.x.copy(), case.dy.copy()
    x[padding] = np.nan
    dy[padding] = np.inf
    spoilt = case.replace(x=x, dy=dy, reset=case.reset | padding)
    (y, state_n, tape), (y_spoilt, state_spoilt, tape_spoilt) = case.forward(), spoilt.forward()
    for a, b in zip(flat((y, state_n)), flat((y_spoilt, state_spoilt)), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(flat(case.backward(tape)), flat(spoilt.backward(tape_spoilt)), strict=True):
        np.testing.assert_array_equal(a, b)


@both_ways
@every_variant
def test_ids_are_one_hot_vectors(variant, reverse):
    case = make_case(variant, (6, 5, 7, 3), ids=True, ragged=True, reverse=reverse)
    dense = case.replace(x=reference.one_hot(case.x, 7, "float64"))
    (y, _, tape), (y_dense, _, tape_dense) = case.forward(), dense.forward()
    close(y, y_dense)
    dx, dstate, dweights = case.backward(tape)
    _, dstate_dense, dweights_dense = dense.backward(tape_dense)
    assert dx is None
    for a, b in zip((*dstate, *dweights), (*dstate_dense, *dweights_dense), strict=True):
        close(a, b)


@every_variant
def test_no_state_is_zeros(variant):
    case = make_case(variant)
    zeros = case.replace(state=tuple(np.zeros_like(s) for s in case.state))
    np.testing.assert_array_equal(case.replace(state=None).forward()[0], zeros.forward()[0])


@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
@every_variant
def test_float32_stays_float32_and_is_close_to_float64(variant, ids):
    rough = make_case(variant, (9, 4, 3, 8), ids=ids, ragged=True, resets=True, dtype="float32")

    def widen(a):
        return a.astype("float64") if isinstance(a, np.ndarray) and a.dtype == np.float32 else a

    fine = rough.replace(
        x=widen(rough.x),
        weights=tuple(map(widen, rough.weights)),
        state=tuple(map(widen, rough.state)),
        dy=widen(rough.dy),
        dstate_n=tuple(map(widen, rough.dstate_n)),
    )
    (y, state_n, tape), (y_fine, state_fine, tape_fine) = rough.forward(), fine.forward()
    results = flat((y, state_n)) + flat(rough.backward(tape))
    expected = flat((y_fine, state_fine)) + flat(fine.backward(tape_fine))
    for a, b in zip(results, expected, strict=True):
        assert a.dtype == np.float32
        assert b.dtype == np.float64
        assert np.abs(a - b).max() <= 2e-6 * max(1.0, np.abs(b).max())
    assert tape.gates is None or tape.gates.dtype == np.float32


@every_variant
def test_nothing_that_was_passed_in_is_changed(variant):
    case = make_case(variant, ragged=True, resets=True)
    passed = [case.x, *case.weights, *case.state, case.dy, *case.dstate_n, case.lengths, case.reset]
    before = [a.copy() for a in passed]
    _, _, tape = case.forward()
    on_tape = [a for a in (tape.y, tape.c, tape.gates) if a is not None]
    tape_before = [a.copy() for a in on_tape]
    first = flat(case.backward(tape))
    second = flat(case.backward(tape))
    for a, b in zip(passed + on_tape + first, before + tape_before + second, strict=True):
        np.testing.assert_array_equal(a, b)


@both_ways
@every_variant
def test_outputs_are_c_contiguous(variant, reverse):
    for ids in (False, True):
        case = make_case(variant, ids=ids, ragged=True, resets=True, reverse=reverse)
        y, state_n, tape = case.forward()
        for a in flat((y, state_n, (tape.y, tape.c, tape.gates))) + flat(case.backward(tape)):
            assert a.flags.c_contiguous


@every_variant
def test_an_empty_sequence_leaves_the_state_alone(variant):
    case = make_case(variant)
    y, state_n, tape = case.replace(x=case.x[:0]).forward()
    assert y.shape == (0, 4, 6)
    np.testing.assert_array_equal(state_n[0], case.state[0])
    _, dstate, dweights = case.replace(dy=case.dy[:0]).backward(tape)
    np.testing.assert_array_equal(dstate[0], case.dstate_n[0])
    assert not any(d.any() for d in dweights)


@every_variant
def test_an_empty_batch_has_empty_results(variant):
    case = make_case(variant)
    none = case.replace(
        x=case.x[:, :0],
        state=tuple(s[:0] for s in case.state),
        dy=case.dy[:, :0],
        dstate_n=tuple(d[:0] for d in case.dstate_n),
    )
    y, _, tape = none.forward()
    dx, _, dweights = none.backward(tape)
    assert y.shape == (5, 0, 6)
    assert dx.shape == (5, 0, 3)
    assert not any(d.any() for d in dweights)


def wrong(**changes):
    return changes


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (wrong(x=np.zeros((5, 4, 2))), ValueError, r"x: expected \[T, N, 3\], got \[5, 4, 2\]"),
        (wrong(x=np.zeros((5, 3))), ValueError, r"x: expected \[T, N, 3\], got \[5, 3\]"),
        (wrong(x=np.zeros((5, 4, 3), np.float32)), TypeError, "x: expected float64, got float32"),
        (wrong(x=np.zeros((5, 4), bool)), TypeError, "x: expected float64, got bool"),
        (wrong(x=[[1.0]]), TypeError, "x: expected float64, got list"),
        (wrong(x=np.full((5, 4), -1)), ValueError, r"x: expected ids in \[0, 3\), got -1 to -1"),
        (wrong(x=np.full((5, 4), 3)), ValueError, r"x: expected ids in \[0, 3\), got 3 to 3"),
        (wrong(x=np.zeros((5, 4, 3), int)), ValueError, r"x: expected \[T, N\], got \[5, 4, 3\]"),
        (
            wrong(state=(np.zeros((1, 6)), np.zeros((1, 6)))),
            ValueError,
            r"state: h: expected \[4, 6\], got \[1, 6\]",
        ),
        (wrong(state=(np.zeros((4, 6)),)), ValueError, "state: expected a tuple of 2 arrays, got 1"),
        (wrong(lengths=np.array([1, 2, 3, 6])), ValueError, "lengths: expected 0 to 5, got 1 to 6"),
        (wrong(lengths=np.array([1, 2, 3, -1])), ValueError, "lengths: expected 0 to 5, got -1 to 3"),
        (wrong(lengths=np.array([1, 2, 3])), ValueError, r"lengths: expected \[4\], got \[3\]"),
        (wrong(lengths=np.ones(4)), TypeError, "lengths: expected integers, got float64"),
        (wrong(reset=np.zeros((5, 1), bool)), ValueError, r"reset: expected \[5, 4\], got \[5, 1\]"),
        (wrong(reset=np.zeros((5, 4))), TypeError, "reset: expected bool, got float64"),
    ],
)
def test_what_does_not_fit_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        make_case("lstm").replace(**changes).forward()


@pytest.mark.parametrize(
    ("index", "array", "error", "message"),
    [
        (0, np.zeros((23, 3)), ValueError, r"weight_ih: expected \[24, D\], got \[23, 3\]"),
        (1, np.zeros((18, 6)), ValueError, r"weight_hh: expected \[24, H\], got \[18, 6\]"),
        (1, np.zeros((24, 6), int), TypeError, "weight_hh: expected float32 or float64, got int64"),
        (2, np.zeros(1), ValueError, r"bias_ih: expected \[24\], got \[1\]"),
        (3, np.zeros(24, np.float32), TypeError, "bias_hh: expected float64, got float32"),
    ],
)
def test_weights_that_do_not_fit_are_refused(index, array, error, message):
    case = make_case("lstm")
    weights = (*case.weights[:index], array, *case.weights[index + 1 :])
    with pytest.raises(error, match=message):
        case.replace(weights=weights).forward()


def test_a_tape_of_something_else_is_refused():
    lstm, after, before = (make_case(v) for v in ("lstm", "gru-after", "gru-before"))
    with pytest.raises(ValueError, match="tape: expected one of lstm_forward"):
        lstm.backward(after.forward()[2])
    with pytest.raises(ValueError, match="tape: expected one of gru_forward with reset_after=True"):
        after.backward(before.forward()[2])
    with pytest.raises(ValueError, match=r"dy: expected \[5, 4, 6\], got \[1, 4, 6\]"):
        lstm.replace(dy=lstm.dy[:1]).backward(lstm.forward()[2])
    with pytest.raises(ValueError, match="nonlinearity: expected"):
        make_case("elman-tanh").replace(options={"nonlinearity": "sigmoid"}).forward()
