"""Validation of arguments: which arrays and sizes are accepted, and the errors for all others."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn._memory import FEWER_TOKENS, out_of_memory

WRITE = "write x.astype(np.float32)"  # the end of messages about another dtype
T, N, D, H = 4, 2, 3, 5


def floats(*shape, dtype=np.float32):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


class OnlyArray:
    """An object that is not a NumPy array but converts to one."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype=dtype)


class OnlyDlpack:
    """An object that supports DLPack only."""

    def __init__(self, array, device=1):
        self.array, self.device = array, device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return (self.device, 0)


def misaligned(array):
    room = np.zeros(array.nbytes + 1, np.uint8)
    view = room[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert view.flags.aligned == (array.itemsize == 1)
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


SAME_VALUES = {
    "fortran": np.asfortranarray,
    "every second": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed twice": lambda x: x[::-1].copy()[::-1],
    "misaligned": misaligned,
    "read-only": read_only,
    "__array__": OnlyArray,
    "__dlpack__": OnlyDlpack,
    "list": lambda x: x.tolist(),
}


@pytest.mark.parametrize("form", SAME_VALUES)
def test_every_form_of_an_array_gives_the_same_bits(form):
    other = SAME_VALUES[form]
    rnn = fr.LSTM(D, H, seed=0)
    x, state = floats(T, N, D), (floats(1, N, H), floats(1, N, H))
    y, (h, c) = rnn(x, state)
    for result in (
        rnn(other(x), tuple(map(other, state))),
        rnn.forward(other(x), list(map(other, state)))[:2],
    ):
        assert result[0].tobytes() == y.tobytes()
        assert result[1][0].tobytes() == h.tobytes()
        assert result[1][1].tobytes() == c.tobytes()
    stream = rnn.stream(N)
    stream.state = tuple(map(other, state))
    assert stream.step(other(x[0])).tobytes() == y[0].tobytes()
    _, _, tape = rnn.forward(x, state)
    dx, _ = rnn.backward(tape, y, (h, c))
    expected = rnn.gradients.flat.copy()
    rnn.zero_gradients()
    assert rnn.backward(tape, other(y), (other(h), other(c)))[0].tobytes() == dx.tobytes()
    assert rnn.gradients.flat.tobytes() == expected.tobytes()
    linear = fr.Linear(D, H, seed=0)
    assert linear(other(x)).tobytes() == linear(x).tobytes()


@pytest.mark.parametrize("form", SAME_VALUES)
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
def test_every_form_of_ids_gives_the_same_bits(form, dtype):
    ids = np.random.default_rng(0).integers(0, 7, (T, N))
    given = SAME_VALUES[form](ids.astype(dtype))
    for layer in (fr.GRU(7, H, seed=0), fr.Embedding(7, H, seed=0)):
        expected = layer(ids)[0] if isinstance(layer, fr.GRU) else layer(ids)
        result = layer(given)[0] if isinstance(layer, fr.GRU) else layer(given)
        assert result.tobytes() == expected.tobytes()


def test_nothing_that_is_given_is_written_to():
    rnn = fr.LSTM(D, H, num_layers=2, seed=0)
    given = [read_only(a) for a in (floats(T, N, D), floats(2, N, H), floats(2, N, H), floats(T, N, H))]
    x, h, c, dy = given
    before = [a.tobytes() for a in given]
    _, state, tape = rnn.forward(x, (h, c), lengths=[T, 2])
    inside = [a.tobytes() for layer in tape.layers for a in (layer.x, layer.y, layer.c, layer.gates)]
    rnn.backward(tape, dy, state)
    rnn.backward(tape, dy)
    assert [a.tobytes() for a in given] == before
    assert [a.tobytes() for layer in tape.layers for a in (layer.x, layer.y, layer.c, layer.gates)] == inside


def check(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (floats(T, N, 4), ValueError, "x: expected [T, N, 3], got [4, 2, 4]"),
        (floats(T, 4), ValueError, "x: expected [T, 3], got [4, 4]"),
        (floats(D), ValueError, "x: expected [T, N, 3], got [3]"),
        (floats(), ValueError, "x: expected [T, N, 3], got []"),
        (floats(1, T, N, D), ValueError, "x: expected [T, N, 3], got [1, 4, 2, 3]"),
        (
            floats(T, N, D, dtype=np.float64),
            TypeError,
            f"x: expected float32, got float64; {WRITE}",
        ),
        (
            floats(T, N, D, dtype=np.float16),
            TypeError,
            f"x: expected float32, got float16; {WRITE}",
        ),
        (floats(T, N, D, dtype=np.complex64), TypeError, "x: expected float32, got complex64"),
        (floats(T, N, D, dtype=">f4"), TypeError, f"x: expected float32, got >f4; {WRITE}"),
        (
            np.zeros((T, N, D), np.int64),
            TypeError,
            f"x: expected float32, got int64; {WRITE}",
        ),
        (np.zeros((T, N), bool), TypeError, "x: expected float32, got bool"),
        (np.full((T, N), 3), ValueError, "x: expected ids in 0 .. 2 (-1: none), got 3 at position 0"),
        (
            np.array([[0, 1], [2, -2]]),
            ValueError,
            "x: expected ids in 0 .. 2 (-1: none), got -2 at position 3",
        ),
        (np.full((T, N), 2**63, np.uint64), ValueError, "x: 9223372036854775808 is out of range"),
        ("text", TypeError, "x: expected an array, got str"),
        (None, TypeError, "x: expected an array, got NoneType"),
        ([["a"]], TypeError, "x: expected float32, got <U1"),
        (
            OnlyDlpack(floats(T, N, D), device=2),
            TypeError,
            "x: expected an array on the CPU, got one on DLPack device 2 (CUDA)",
        ),
    ],
)
@pytest.mark.parametrize("cell", [fr.RNN, fr.GRU, fr.LSTM])
def test_errors_name_wrong_inputs(cell, x, error, message):
    rnn = cell(D, H, seed=0)
    check(lambda: rnn(x), error, message)
    check(lambda: rnn.forward(x), error, message)


def test_rows_of_unequal_length_are_not_an_array():
    with pytest.raises(ValueError, match=r"^x: expected rows of equal length"):
        fr.RNN(D, H)([[[1.0, 2.0, 3.0]], [[1.0]]])


def test_batch_first_swaps_the_letters():
    rnn = fr.RNN(D, H, batch_first=True, seed=0)
    check(lambda: rnn(floats(N, T, 4)), ValueError, "x: expected [N, T, 3], got [2, 4, 4]")
    _, _, tape = rnn.forward(floats(N, T, D))
    check(lambda: rnn.backward(tape, floats(T, N, H)), ValueError, "dy: expected [2, 4, 5], got [4, 2, 5]")


@pytest.mark.parametrize("name", ["state", "dstate"])
def test_errors_name_wrong_states(name):
    def run(cell, state):
        rnn = cell(D, H, num_layers=2, seed=0)
        if name == "state":
            return lambda: rnn(floats(T, N, D), state)
        y, _, tape = rnn.forward(floats(T, N, D))
        return lambda: rnn.backward(tape, y, state)

    h = floats(2, N, H)
    check(run(fr.GRU, h[:1]), ValueError, f"{name}: expected [2, 2, 5], got [1, 2, 5]")
    check(run(fr.GRU, h[0]), ValueError, f"{name}: expected [2, 2, 5], got [2, 5]")
    check(
        run(fr.RNN, h.astype(np.float64)),
        TypeError,
        f"{name}: expected float32, got float64; write {name}.astype(np.float32)",
    )
    check(run(fr.RNN, (h, h)), TypeError, f"{name}: expected one array, got a tuple of 2")
    check(run(fr.LSTM, h), TypeError, f"{name}: expected the pair (h, c), got ndarray")
    check(run(fr.LSTM, (h,)), TypeError, f"{name}: expected the pair (h, c), got 1 arrays")
    check(run(fr.LSTM, (h, h[..., :4])), ValueError, f"{name}[1]: expected [2, 2, 5], got [2, 2, 4]")
    check(run(fr.LSTM, (h[:, :1], h)), ValueError, f"{name}[0]: expected [2, 2, 5], got [2, 1, 5]")
    if name == "state":  # of a gradient, None is zero
        check(run(fr.LSTM, (h, None)), TypeError, "state[1]: expected an array, got NoneType")


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([4, -2], ValueError, "lengths: expected 0 .. 4, got -2 at position 1"),
        ([-1, 4], ValueError, "lengths: expected 0 .. 4, got -1 at position 0"),
        ([4, 5], ValueError, "lengths: expected 0 .. 4, got 5 at position 1"),
        ([4], ValueError, "lengths: expected [2], got [1]"),
        ([4.0, 2.0], TypeError, "lengths: expected integers, got float64"),
        ([True, True], TypeError, "lengths: expected integers, got bool"),
    ],
)
def test_errors_name_wrong_lengths(lengths, error, message):
    rnn = fr.GRU(D, H, seed=0)
    check(lambda: rnn(floats(T, N, D), lengths=lengths), error, message)
    check(lambda: rnn.forward(floats(T, N, D), lengths=np.array(lengths)), error, message)


def test_errors_name_wrong_resets():
    rnn = fr.GRU(D, H, seed=0)
    x = floats(T, N, D)
    check(lambda: rnn(x, reset=np.zeros((T, N), int)), TypeError, "reset: expected bool, got int64")
    check(lambda: rnn(x, reset=np.zeros((N, T), bool)), ValueError, "reset: expected [4, 2], got [2, 4]")


def test_errors_name_wrong_gradients():
    rnn, other = fr.GRU(D, H, seed=0), fr.GRU(D, H, seed=0)
    y, _, tape = rnn.forward(floats(T, N, D))
    check(lambda: rnn.backward(tape, y[1:]), ValueError, "dy: expected [4, 2, 5], got [3, 2, 5]")
    check(
        lambda: rnn.backward(tape, y.astype(float)),
        TypeError,
        "dy: expected float32, got float64; write dy.astype(np.float32)",
    )
    check(
        lambda: rnn.backward(tape, None),
        ValueError,
        "dy, dstate: expected at least one gradient, got None for both",
    )
    check(lambda: rnn.backward(y, y), TypeError, "tape: expected the Tape that forward returned, got ndarray")
    check(
        lambda: other.backward(tape, y), ValueError, "tape: expected one of this layer, got another layer's"
    )
    assert not rnn.gradients.flat.any()
    assert not other.gradients.flat.any()


def test_wrong_steps_are_named_and_leave_the_state():
    stream = fr.LSTM(D, H, seed=0).stream(2)
    stream.step(floats(2, D))
    before = np.array(stream.state)
    check(lambda: stream.step(floats(2, 4)), ValueError, "x: expected [2, 3], got [2, 4]")
    check(lambda: stream.step(floats(3, D)), ValueError, "x: expected [2, 3], got [3, 3]")
    check(lambda: stream.step(floats(D)), ValueError, "x: expected [2, 3], got [3]")
    check(
        lambda: stream.step(floats(2, D).astype(float)),
        TypeError,
        f"x: expected float32, got float64; {WRITE}",
    )
    check(
        lambda: stream.step(np.array([0, 3])),
        ValueError,
        "x: expected ids in 0 .. 2 (-1: none), got 3 at position 1",
    )
    check(
        lambda: stream.step(np.array([0, -2])),
        ValueError,
        "x: expected ids in 0 .. 2 (-1: none), got -2 at position 1",
    )
    check(
        lambda: stream.step([0, 1, 2]),
        ValueError,
        "x: expected ids [2], got [3]. Integers are ids; write a vector as floats: np.array(x, np.float32)",
    )
    check(lambda: stream.step(1), ValueError, "x: expected [2], got []")
    check(lambda: stream.step([True, False]), TypeError, "x: expected float32, got bool")
    assert np.array_equal(stream.state, before)
    alone = fr.LSTM(D, H, seed=0).stream()
    check(lambda: alone.step(floats(4)), ValueError, "x: expected [3], got [4]")
    check(lambda: alone.step(3), ValueError, "x: expected ids in 0 .. 2 (-1: none), got 3 at position 0")


def test_wrong_states_of_a_stream_are_named_and_leave_it():
    stream = fr.LSTM(D, H, seed=0).stream(2)
    stream.step(floats(2, D))
    before = np.array(stream.state)

    def put(state):
        stream.state = state

    h = floats(1, 2, H)
    check(lambda: put(h), TypeError, "state: expected the pair (h, c), got ndarray")
    check(lambda: put((h, h[:, :1])), ValueError, "state[1]: expected [1, 2, 5], got [1, 1, 5]")
    assert np.array_equal(stream.state, before)


def test_linear_and_embedding_name_what_is_wrong():
    linear, embedding = fr.Linear(D, H, seed=0), fr.Embedding(7, H, seed=0)
    check(lambda: linear(floats(T, 4)), ValueError, "x: expected [..., 3], got [4, 4]")
    check(lambda: linear(floats()), ValueError, "x: expected [..., 3], got []")
    check(
        lambda: linear(floats(T, D).astype(float)),
        TypeError,
        f"x: expected float32, got float64; {WRITE}",
    )
    _, tape = linear.forward(floats(T, N, D))
    check(lambda: linear.backward(tape, floats(T, H)), ValueError, "dy: expected [4, 2, 5], got [4, 5]")
    check(
        lambda: embedding([1, 7]), ValueError, "ids: expected ids in 0 .. 6 (-1: none), got 7 at position 1"
    )
    check(
        lambda: embedding([[-2]]), ValueError, "ids: expected ids in 0 .. 6 (-1: none), got -2 at position 0"
    )
    check(lambda: embedding([1.0]), TypeError, "ids: expected integers, got float64")
    check(lambda: embedding(np.array([True])), TypeError, "ids: expected integers, got bool")
    _, tape = embedding.forward([1, 2])
    check(lambda: embedding.backward(tape, floats(2, 4)), ValueError, "dy: expected [2, 5], got [2, 4]")


def test_empty_arrays_are_allowed_where_there_is_no_time_axis():
    assert fr.Linear(D, H)(np.zeros((0, D), np.float32)).shape == (0, H)
    assert fr.Embedding(7, H)(np.zeros((2, 0), np.int64)).shape == (2, 0, H)


def test_losses_name_what_is_wrong():
    logits = floats(T, 7)
    check(
        lambda: fr.softmax_cross_entropy(logits, [0, 1, 2, 7]),
        ValueError,
        "targets: expected ids in 0 .. 6 (-1: none), got 7 at position 3",
    )
    check(
        lambda: fr.softmax_cross_entropy(logits, [0, 1, 2, -2]),
        ValueError,
        "targets: expected ids in 0 .. 6 (-1: none), got -2 at position 3",
    )
    check(lambda: fr.softmax_cross_entropy(logits, [0, 1]), ValueError, "targets: expected [4], got [2]")
    check(
        lambda: fr.softmax_cross_entropy(logits, [-1] * 4),
        ValueError,
        "targets: expected at least one that counts, got none; reduction='sum' is 0 then",
    )
    check(
        lambda: fr.softmax_cross_entropy(logits.astype(np.float16), [0] * 4),
        TypeError,
        "logits: expected float32 or float64, got float16; write logits.astype(np.float32)",
    )


MAKERS = {
    "input_size": lambda size: fr.LSTM(size, H),
    "hidden_size": lambda size: fr.GRU(D, size),
    "num_layers": lambda size: fr.RNN(D, H, size),
    "batch_size": lambda size: fr.LSTM(D, H).stream(size),
    "in_features": lambda size: fr.Linear(size, H),
    "out_features": lambda size: fr.Linear(D, size),
    "num_embeddings": lambda size: fr.Embedding(size, H),
    "embedding_dim": lambda size: fr.Embedding(D, size),
    "vocabulary_size": lambda size: fr.LanguageModel(size),
    "embedding_size": lambda size: fr.LanguageModel(D, embedding_size=size),
}


@pytest.mark.parametrize("name", MAKERS)
def test_sizes_are_positive_integers(name):
    make = MAKERS[name]
    make(np.int32(2))
    for size in (0, -1, -(2**70)):
        check(lambda size=size: make(size), ValueError, f"{name}: expected 1 or more, got {size}")
    for size, kind in [(2.0, "float"), ("2", "str"), (True, "bool"), ([2], "list")]:
        check(lambda size=size: make(size), TypeError, f"{name}: expected an integer, got {kind}")


@pytest.mark.parametrize(
    ("make", "scalars"),
    [
        (lambda: fr.LSTM(2**40, 2**20), 4 * 2**20 * (2**40 + 2**20 + 2)),
        (lambda: fr.GRU(1, 2**40), 3 * 2**40 * (1 + 2**40 + 2)),
        (lambda: fr.RNN(2**62, 2**62, bias=False), 2 * 2**124),
        (lambda: fr.Linear(2**60, 1, bias=False), 2**60),
        (lambda: fr.Embedding(2**31, 2**31), 2**62),
    ],
)
def test_parameters_that_cannot_be_allocated(make, scalars):
    with pytest.raises(
        MemoryError, match=f"^parameters: cannot allocate {4 * scalars} bytes.*; the largest is "
    ):
        make()


def test_results_that_cannot_be_allocated():
    embedding = fr.Embedding(1, 2**22, seed=0)
    ids = np.zeros(2**24, np.int8)
    check(lambda: embedding(ids), MemoryError, str(out_of_memory("y", 2**48, FEWER_TOKENS)))
    rnn = fr.RNN(2, 2, seed=0)
    x = np.broadcast_to(np.float32(0), (2**26, 2**20, 2))
    check(lambda: rnn(x), MemoryError, str(out_of_memory("x", 2**49, FEWER_TOKENS)))
    for rows in (2**50, 2**61, 2**70):
        advice = f"the largest is h [{rows}, 2]; use fewer sequences or a smaller layer"
        message = str(out_of_memory("state", 2 * 4 * 2 * rows, advice))
        check(lambda rows=rows: fr.LSTM(2, 2).stream(rows), MemoryError, message)


@pytest.mark.parametrize("dtype", ["float16", "int64", "complex64", ">f4", "nonsense", None, 3])
def test_layers_are_float32_or_float64(dtype):
    for make in (fr.LSTM, fr.Linear, fr.Embedding):
        with pytest.raises(TypeError, match=r"^dtype: expected float32 or float64, got "):
            make(D, H, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "f4", np.float32, np.dtype("float32"), "float64", float])
def test_a_dtype_has_many_names(dtype):
    assert fr.Linear(D, H, dtype=dtype)(np.zeros((1, D), dtype)).dtype == dtype


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5, float("nan")])
def test_probabilities_are_in_range(dropout):
    message = f"dropout: expected a probability in [0, 1), got {dropout}"
    check(lambda: fr.LSTM(D, H, 2, dropout=dropout), ValueError, message)
    check(lambda: fr.LanguageModel(D, dropout=dropout), ValueError, message)


def test_names_of_options_are_known():
    names = ("sigmoid", "tanh", "relu", "identity", "hard_sigmoid", "positive")
    message = f"nonlinearity: expected one of {', '.join(map(repr, names))}, got 'sin'"
    check(lambda: fr.RNN(D, H, nonlinearity="sin"), ValueError, message)
    message = "stream: a bidirectional layer needs the whole sequence; call it instead"
    check(lambda: fr.GRU(D, H, bidirectional=True).stream(), ValueError, message)
