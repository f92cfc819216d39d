"""Memory of BPTT: what a tape keeps, and checkpointing, which keeps less and yields the same bits."""

import itertools
import tracemalloc

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers import CheckpointedTape, Tape

CELLS = {
    "rnn-tanh": (fr.RNN, {}),
    "rnn-relu": (fr.RNN, {"nonlinearity": "relu"}),
    "gru-after": (fr.GRU, {}),
    "gru-before": (fr.GRU, {"reset_after": False}),
    "lstm": (fr.LSTM, {}),
}
# Scalars per step, sequence, unit and layer; see Tape.nbytes.
SCALARS = {"rnn-tanh": 1, "rnn-relu": 1, "gru-after": 5, "gru-before": 4, "lstm": 6}
T, N, D, H = 19, 5, 6, 9


def arrays_of(value):
    return value if isinstance(value, tuple) else (value,)


def batch_of(rnn, *, ids=False, ragged=False, resets=False, seed=0):
    """Make x, state, lengths and reset, and the gradients dy and dstate."""
    random = np.random.default_rng(seed)

    def normal(*shape):
        return random.normal(size=shape).astype(rnn.dtype)

    def state():
        arrays = [normal(rnn.num_layers * rnn.directions, N, H) for _ in rnn.state_names]
        return arrays[0] if len(arrays) == 1 else tuple(arrays)

    x = random.integers(D, size=(T, N)) if ids else normal(T, N, D)
    lengths = random.integers(1, T - 1, size=N) if ragged else None
    reset = random.random((T, N)) < 0.3 if resets else None
    return (x, state(), lengths, reset), (normal(T, N, H * rnn.directions), state())


def results(rnn, given, gradients, **options):
    """Return all results of both passes, as bytes."""
    rnn.gradients.zero()
    y, last, tape = rnn.forward(*given, **options)
    dx, first = rnn.backward(tape, *gradients)
    arrays = {"y": y, "dx": dx, "gradients": rnn.gradients.flat}
    arrays |= {f"last{i}": array for i, array in enumerate(arrays_of(last))}
    arrays |= {f"first{i}": array for i, array in enumerate(arrays_of(first))}
    return {name: None if array is None else array.tobytes() for name, array in arrays.items()}


@pytest.mark.filterwarnings("ignore:dropout")  # of one layer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_the_same_bits_whatever_is_kept(cell, layers, bidirectional, dropout, dtype):
    make, options = CELLS[cell]
    options = {**options, "bidirectional": bidirectional, "dropout": dropout, "dtype": dtype, "seed": 3}
    flags = [False, True]
    for ids, ragged, resets, every in itertools.product(flags, flags, flags, [1, 4, 7, T, 50]):
        plain, other = make(D, H, layers, **options), make(D, H, layers, **options)
        given, gradients = batch_of(plain, ids=ids, ragged=ragged, resets=resets)
        expected = results(plain, given, gradients)
        kept = results(other, given, gradients, checkpoint_every=every)
        differing = [name for name in expected if kept[name] != expected[name]]
        assert not differing, (ids, ragged, resets, every)
        # The next dropout masks are also the same.
        assert plain.rng.bit_generator.state == other.rng.bit_generator.state


@pytest.mark.parametrize("every", [2, 5])
def test_batch_first_and_without_states(every):
    rnn = fr.LSTM(D, H, 2, batch_first=True, seed=0)
    x, dy = np.random.default_rng(0).normal(size=(2, N, T, D)).astype("f")
    dy = np.concatenate([dy, dy], axis=2)[:, :, :H]
    given, gradients = (x,), (dy,)
    assert results(rnn, given, gradients, checkpoint_every=every) == results(rnn, given, gradients)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads(threads):
    rnn = fr.GRU(40, 70, seed=0)
    random = np.random.default_rng(0)
    x, dy = random.normal(size=(60, 17, 40)).astype("f"), random.normal(size=(60, 17, 70)).astype("f")
    alone = results(rnn, (x,), (dy,))
    before = fr.get_num_threads()
    fr.set_num_threads(threads)
    try:
        assert results(rnn, (x,), (dy,), checkpoint_every=13) == alone
    finally:
        fr.set_num_threads(before)


def test_one_of_the_two_gradients_and_no_dx():
    for index in (0, 1):
        rnn = fr.LSTM(D, H, 2, seed=0)
        given, gradients = batch_of(rnn, ragged=True, resets=True)
        gradients = [gradient if i == index else None for i, gradient in enumerate(gradients)]
        assert results(rnn, given, gradients, checkpoint_every=4) == results(rnn, given, gradients)
    _, _, tape = rnn.forward(*given, checkpoint_every=4)
    assert rnn.backward(tape, None, gradients[1], need_dx=False)[0] is None


def test_backward_may_be_called_again_and_keeps_the_weights_of_its_forward_pass():
    rnn = fr.LSTM(D, H, 2, dropout=0.3, seed=0)
    given, gradients = batch_of(rnn)
    _, _, tape = rnn.forward(*given, checkpoint_every=4)
    rnn.backward(tape, *gradients)
    once = rnn.gradients.flat.copy()
    rnn.parameters["weight_hh_l0"] = np.zeros((4 * H, H))
    rnn.gradients.zero()
    rnn.backward(tape, *gradients)
    assert rnn.gradients.flat.tobytes() == once.tobytes()


@pytest.mark.parametrize(
    ("every", "error", "message"),
    [
        (0, ValueError, "checkpoint_every: expected 1 or more, got 0"),
        (-3, ValueError, "checkpoint_every: expected .* got -3"),
        (2.5, TypeError, "checkpoint_every: expected an integer, got float"),
        ("7", TypeError, "checkpoint_every: expected an integer, got str"),
    ],
)
def test_a_bad_interval_is_refused(every, error, message):
    rnn = fr.RNN(D, H, seed=0)
    with pytest.raises(error, match=message):
        rnn.forward(np.zeros((T, N, D), "f"), checkpoint_every=every)


def test_a_tape_of_another_layer_is_refused():
    one, two = fr.RNN(D, H, seed=0), fr.RNN(D, H, seed=0)
    y, _, tape = one.forward(np.zeros((T, N, D), "f"), checkpoint_every=3)
    with pytest.raises(ValueError, match="tape: expected one of this layer"):
        two.backward(tape, y)
    with pytest.raises(ValueError, match=r"dy: expected \[19, 5, 9\], got \[18, 5, 9\]"):
        one.backward(tape, y[:-1])


# --- memory ---


@pytest.mark.filterwarnings("ignore:dropout")  # of one layer
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_what_a_tape_keeps(cell, layers):
    make, options = CELLS[cell]
    rnn = make(D, H, layers, **options, seed=0)
    tape = rnn.forward(np.zeros((T, N, D), "f"))[2]
    assert isinstance(tape, Tape)
    assert tape.nbytes == 4 * SCALARS[cell] * layers * T * N * H
    both = make(D, H, layers, **options, dropout=0.5, bidirectional=True, seed=0)
    scalars = 2 * (SCALARS[cell] * layers + 2 * (layers - 1))  # between layers: mask and input
    assert both.forward(np.zeros((T, N, D), "f"))[2].nbytes == 4 * scalars * T * N * H


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_what_a_checkpointed_tape_keeps(cell, layers):
    make, options = CELLS[cell]
    rnn = make(D, H, layers, **options, seed=0)
    tape = rnn.forward(np.zeros((T, N, D), "f"), checkpoint_every=4)[2]
    assert isinstance(tape, CheckpointedTape)
    segments = -(-T // 4)
    assert tape.nbytes == 4 * len(rnn.state_names) * layers * (segments - 1) * N * H
    masked = make(D, H, 2, **options, dropout=0.5, seed=0)
    # Of a mask only its key is kept.
    assert (
        masked.forward(np.zeros((T, N, D), "f"), checkpoint_every=4)[2].nbytes
        == 4 * len(rnn.state_names) * 2 * (segments - 1) * N * H
    )


def peak_of(rnn, x, dy, **options):
    """Return the peak bytes of arrays in both passes, without arguments and results."""
    tracemalloc.start()
    y, _, tape = rnn.forward(x, **options)
    rnn.backward(tape, dy, need_dx=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - y.nbytes


@pytest.mark.parametrize("cell", CELLS)
def test_measured_memory_of_both_passes(cell):
    make, options = CELLS[cell]
    steps, width, layers = 2500, 64, 2
    rnn = make(8, width, layers, **options, seed=0)
    x, dy = np.zeros((steps, 1, 8), "f"), np.ones((steps, 1, width), "f")
    x.flags.writeable = False  # the tape keeps x itself, not a copy
    rnn.backward(rnn.forward(x)[2], dy)  # allocates gradients and packed weights
    step = 4 * width  # bytes of one scalar per unit
    slack = 200_000
    whole = peak_of(rnn, x, dy)
    # The last layer's y does not count; in backward a second layer's dx does.
    assert whole <= (SCALARS[cell] * layers - 1 + 1) * steps * step + slack
    assert whole >= (SCALARS[cell] * layers - 1) * steps * step
    every = 50  # sqrt(T)
    kept = peak_of(rnn, x, dy, checkpoint_every=every)
    states = len(rnn.state_names) * layers * steps // every
    assert kept <= (states + (SCALARS[cell] * layers + 2) * every) * step + slack
    assert kept < whole / 3
