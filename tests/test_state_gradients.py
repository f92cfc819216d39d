"""The gradients of every step's state: central differences, same bits on every way, errors."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers import StateGradients
from gradient_check import numeric_gradient
from variant_cases import VARIANTS, batch, make, parts_of, random_state

PLAIN = {
    "rnn": lambda: fr.RNN(4, 5, num_layers=2, dtype="float64", seed=1),
    "relu": lambda: fr.RNN(4, 5, nonlinearity="relu", dtype="float64", seed=1),
    "gru": lambda: fr.GRU(4, 5, num_layers=2, dtype="float64", seed=1),
    "gru before": lambda: fr.GRU(4, 5, reset_after=False, dtype="float64", seed=1),
    "lstm": lambda: fr.LSTM(4, 5, num_layers=2, dtype="float64", seed=1),
    "slstm": lambda: fr.SLSTM(4, 5, dtype="float64", seed=1),
}
#: Without masks, so that inference computes what training does, and without an output that is masked.
EXACT = [
    name
    for name in VARIANTS
    if not make(name).options.random and make(name).directions == 1 and not make(name).options.reverse
]

SOME = ["lstm masks", "gru masks", "slstm both ways", "jordan norm of all", "both ways"]


def gradients_of(rnn, x, more, dy, dlast, **options):
    """Return the state's gradients, dx and the first state's gradient of a pass."""
    rnn.gradients.zero()
    rnn.rng = np.random.default_rng(7)
    tape = rnn.forward(x, **more, **options)[2]
    every = StateGradients.of(tape)
    dx, dstate = rnn.backward(tape, dy, dlast, state_gradients=every)
    return every, dx, dstate


def random_gradients(rnn, x, rows):
    random = np.random.default_rng(6)
    dy = random.normal(size=(*x.shape[:2], rnn.output_size)).astype(rnn.dtype)
    return dy, random_state(rnn, lambda *shape: random.normal(size=shape).astype(rnn.dtype), rows)


@pytest.mark.parametrize("name", [*PLAIN, *EXACT])
def test_h_of_a_step_has_the_gradient_of_all_that_comes_after_it(name):
    rnn = PLAIN[name]() if name in PLAIN else make(name)
    x, more = batch(rnn, ("state",), steps=4, rows=2)
    dy, dlast = random_gradients(rnn, x, 2)
    every, _, _ = gradients_of(rnn, x, more, dy, dlast)
    t, top = 1, rnn.num_layers - 1

    def context(steps):
        return {k: v[steps] if v.ndim == 3 else v for k, v in more.items() if k == "context"}

    _, state = rnn(x[: t + 1], more["state"], **context(slice(0, t + 1)))
    state = [np.array(part) for part in parts_of(state)]

    def loss():
        h = state[0][top]
        if "past" in rnn.state_names:
            state[-1][top, :, -1] = h  # the newest output that a skip connection reads
        given = state[0] if len(state) == 1 else tuple(state)
        y, last = rnn(x[t + 1 :], given, **context(slice(t + 1, None)))
        ends = sum((d * part).sum() for d, part in zip(parts_of(dlast), parts_of(last), strict=True))
        return (dy[t] * h).sum() + (dy[t + 1 :] * y).sum() + ends

    wanted = numeric_gradient(loss, state[0])[top]
    np.testing.assert_allclose(every.h[top, t], wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SOME)
def test_threads_checkpoints_and_neighbours_do_not_change_a_bit(name, dtype):
    rnn = make(name, dtype=dtype, layers=2)
    x, more = batch(rnn, ("lengths", "reset", "state"), steps=9, rows=4)
    dy, dlast = random_gradients(rnn, x, 4)
    every, dx, dstate = gradients_of(rnn, x, more, dy, dlast)
    plain_gradients = rnn.gradients.flat.copy()

    before = fr.get_num_threads()
    try:
        fr.set_num_threads(3)
        several, _, _ = gradients_of(rnn, x, more, dy, dlast)
    finally:
        fr.set_num_threads(before)
    segments, _, _ = gradients_of(rnn, x, more, dy, dlast, checkpoint_every=2)
    for other in (several, segments):
        assert every.h.any()
        np.testing.assert_array_equal(every.h, other.h)
        if every.c is not None:
            np.testing.assert_array_equal(every.c, other.c)
    for n, length in enumerate(more["lengths"]):
        assert not every.h[:, length:, n].any()
    # And nothing else changes.
    rnn.gradients.zero()
    rnn.rng = np.random.default_rng(7)
    tape = rnn.forward(x, **more)[2]
    dx_, dstate_ = rnn.backward(tape, dy, dlast)
    np.testing.assert_array_equal(rnn.gradients.flat, plain_gradients)
    np.testing.assert_array_equal(dx_, dx)
    for one, two in zip(parts_of(dstate_), parts_of(dstate), strict=True):
        np.testing.assert_array_equal(one, two)
    alone = fr.inspect.state_gradients(rnn, tape, dy, dlast)
    np.testing.assert_array_equal(alone.h, every.h)
    np.testing.assert_array_equal(rnn.gradients.flat, plain_gradients)


def test_a_row_has_the_same_bits_in_any_batch():
    rnn = fr.LSTM(4, 19, num_layers=2, seed=1)
    random = np.random.default_rng(0)
    x = random.normal(size=(12, 7, 4)).astype("float32")
    y, _, tape = rnn.forward(x)
    dy = random.normal(size=y.shape).astype("float32")
    every = fr.inspect.state_gradients(rnn, tape, dy, None)
    one = fr.inspect.state_gradients(rnn, rnn.forward(x[:, 3:4])[2], dy[:, 3:4], None)
    np.testing.assert_array_equal(every.h[:, :, 3:4], one.h)
    np.testing.assert_array_equal(every.c[:, :, 3:4], one.c)


def test_arrays_that_are_used_again_are_cleared_after_the_ends_of_rows():
    rnn = fr.GRU(4, 5, bidirectional=True, seed=1)
    x, more = batch(rnn, ("lengths",), steps=6, rows=3)
    for options in ({}, {"checkpoint_every": 4}):
        y, _, tape = rnn.forward(x, **(more | {"lengths": [2, 0, 3]}), **options)
        every = StateGradients.of(tape)
        every.h[...] = 7
        rnn.backward(tape, np.ones_like(y), state_gradients=every)
        assert not every.h[:, 2:, 0].any()
        assert not every.h[:, :, 1].any()
        assert not every.h[:, 3:, 2].any()
        assert every.h[:, :3, 2].all()


def test_a_batch_without_a_step_has_zeros():
    rnn = fr.LSTM(4, 5, seed=1)
    y, _, tape = rnn.forward(np.zeros((3, 2, 4), "float32"), lengths=[0, 0])
    assert not fr.inspect.state_gradients(rnn, tape, np.ones_like(y), None).h.any()


def test_lags_count_from_the_end_of_each_row_against_the_direction():
    rnn = fr.GRU(4, 5, bidirectional=True, dtype="float64", seed=1)
    y, _, tape = rnn.forward(np.random.default_rng(0).normal(size=(5, 2, 4)), lengths=[5, 3])
    every = fr.inspect.state_gradients(rnn, tape, np.ones_like(y), None)
    norms, lags = every.norms(), every.against_lag()
    np.testing.assert_allclose(norms, np.linalg.norm(every.h, axis=-1), rtol=1e-15)
    np.testing.assert_array_equal(lags[0, :, 0], norms[0, ::-1, 0])
    np.testing.assert_array_equal(lags[0, :3, 1], norms[0, 2::-1, 1])
    np.testing.assert_array_equal(lags[1, :3, 1], norms[1, :3, 1])
    assert np.isnan(lags[:, 3:, 1]).all()
    np.testing.assert_array_equal(every.against_lag(1)[0, :2], norms[0, 1::-1])
    np.testing.assert_array_equal(every.against_lag(1)[1, :4, 0], norms[1, 1:, 0])
    np.testing.assert_allclose(every.unit_norms(), np.linalg.norm(every.h, axis=2))


def test_a_stack_has_the_gradients_of_each_of_its_layers():
    stack = fr.Stack(
        fr.GRU(4, 5, dtype="float64", seed=0), fr.LSTM(5, 5, dtype="float64", seed=1), connect="residual"
    )
    x = np.random.default_rng(0).normal(size=(6, 2, 4))
    y, _, tape = stack.forward(x)
    dy = np.random.default_rng(1).normal(size=y.shape)
    lower, upper = fr.inspect.state_gradients(stack, tape, dy)
    assert not stack.gradients.flat.any()
    expected = fr.inspect.state_gradients(stack.layers[1], tape.layers[1], dy)
    np.testing.assert_array_equal(upper.h, expected.h)
    np.testing.assert_array_equal(upper.c, expected.c)
    through = stack.layers[1].backward(tape.layers[1], dy)[0] + dy
    np.testing.assert_allclose(
        lower.h, fr.inspect.state_gradients(stack.layers[0], tape.layers[0], through).h, rtol=1e-12
    )
    with pytest.raises(ValueError, match="state_gradients: expected one for each of 2 layers, got 1"):
        stack.backward(tape, dy, state_gradients=[lower])
    with pytest.raises(TypeError, match="tape: expected the StackTape"):
        fr.inspect.state_gradients(stack, tape.layers[0], dy)


def test_tiny_float32_gradients_do_not_vanish_in_the_norm():
    h = np.full((1, 2, 1, 4), 1e-30, "float32")
    every = StateGradients(h, None, np.array([2]), (False,))
    np.testing.assert_allclose(every.norms(), 2e-30, rtol=1e-6)


def test_arrays_of_another_tape_are_refused_before_anything_is_added():
    rnn = fr.GRU(4, 5, seed=1)
    y, _, tape = rnn.forward(np.zeros((3, 2, 4), "float32"))
    other = StateGradients.of(rnn.forward(np.zeros((4, 2, 4), "float32"))[2])
    with pytest.raises(ValueError, match=r"state_gradients: expected those of this tape.*StateGradients.of"):
        rnn.backward(tape, np.ones_like(y), state_gradients=other)
    with pytest.raises(TypeError, match="state_gradients: expected a StateGradients, got list"):
        rnn.backward(tape, np.ones_like(y), state_gradients=[])
    assert not rnn.gradients.flat.any()
    with pytest.raises(ValueError, match="name: expected"):
        other.norms("c")
    with pytest.raises(ValueError, match="step: expected"):
        other.against_lag(4)
