"""Arguments that the recurrent kernels refuse: each message has the name, what was expected and what came."""

import numpy as np
import pytest

from kernel_cases import PARAMETERS, backward, backward_into, forward, kernels, pack, zero_gradients
from recurrent_cases import VARIANTS, make_case

T, N, D, H = 5, 4, 3, 6
CASE = make_case("lstm", (T, N, D, H))
IDS = make_case("lstm", (T, N, D, H), ids=True)
PACKED = pack(CASE)
F64, F32, INT = np.float64, np.float32, np.int64


def lstm(**changes):
    return lambda: forward(CASE.replace(**changes), PACKED)


FORWARD = {
    "rank": (lstm(x=np.zeros((N, D))), ValueError, r"x: expected \[T, N, 3\], got \[4, 3\]"),
    "width": (lstm(x=np.zeros((T, N, 4))), ValueError, r"x: expected \[T, N, 3\], got \[5, 4, 4\]"),
    "dtype": (lstm(x=np.zeros((T, N, D), F32)), TypeError, "x: expected float64, got float32"),
    "half": (lstm(x=np.zeros((T, N, D), np.float16)), TypeError, "x: expected float64, got float16"),
    "bytes": (lstm(x=np.zeros((T, N, D), ">f8")), TypeError, "x: expected float64, got >f8"),
    "complex": (lstm(x=np.zeros((T, N, D), complex)), TypeError, "x: expected int64, got complex128"),
    "list": (lstm(x=[[[0.0] * D]]), TypeError, "x: expected a NumPy array of float64, got list"),
    "none": (lstm(x=None), TypeError, "x: expected a NumPy array of float64, got NoneType"),
    "strides": (lstm(x=np.zeros((N, T, D)).swapaxes(0, 1)), ValueError, "x: expected a C-contiguous array"),
    "ids int32": (lstm(x=np.zeros((T, N), np.int32)), TypeError, "x: expected int64, got int32"),
    "ids bool": (lstm(x=np.zeros((T, N), bool)), TypeError, "x: expected int64, got bool"),
    "id above": (
        lstm(x=np.full((T, N), D)),
        ValueError,
        r"x: expected ids in 0 .. 2 \(-1: none\), got 3 at position 0",
    ),
    "id below": (
        lstm(x=np.full((T, N), -2)),
        ValueError,
        r"x: expected ids in 0 .. 2 \(-1: none\), got -2 at position 0",
    ),
    "state": (lstm(state=(np.zeros((N, H)),)), TypeError, "state: expected a tuple of 2 arrays for lstm"),
    "h": (lstm(state=(np.zeros((N, 7)),) * 2), ValueError, r"state: expected \[4, 6\], got \[4, 7\]"),
    "c": (
        lstm(state=(np.zeros((N, H)), np.zeros((3, H)))),
        ValueError,
        r"state\[1\]: expected \[4, 6\], got \[3, 6\]",
    ),
    "short": (lstm(lengths=np.zeros(3, INT)), ValueError, r"lengths: expected \[4\], got \[3\]"),
    "length -1": (
        lstm(lengths=np.array([1, 2, -1, 1])),
        ValueError,
        "lengths: expected values in 0 .. 5, got -1 at",
    ),
    "length 6": (lstm(lengths=np.array([1, 6, 1, 1])), ValueError, "lengths: .* got 6 at position 1"),
    "lengths": (lstm(lengths=np.ones(N)), TypeError, "lengths: expected int64, got float64"),
    "reset": (lstm(reset=np.zeros((N, T), bool)), ValueError, r"reset: expected \[5, 4\], got \[4, 5\]"),
    "resets": (lstm(reset=np.zeros((T, N), INT)), TypeError, "reset: expected bool, got int64"),
}


@pytest.mark.parametrize("name", FORWARD)
def test_forward(name):
    call, error, message = FORWARD[name]
    with pytest.raises(error, match=message):
        call()


def pack_lstm(*shapes, dtypes=(F64,) * 4, **options):
    return kernels.lstm_pack(*(np.zeros(s, d) for s, d in zip(shapes, dtypes, strict=True)), **options)


def test_pack():
    fit = (24, 3), (24, 6), (24,), (24,)
    with pytest.raises(ValueError, match=r"weight_hh: expected \[4\*H, H\], got \[18, 6\]"):
        pack_lstm(fit[0], (18, 6), *fit[2:])
    with pytest.raises(ValueError, match=r"weight_ih: expected \[24, D\], got \[18, 3\]"):
        pack_lstm((18, 3), *fit[1:])
    with pytest.raises(ValueError, match=r"weight_ih: expected \[G\*H, D\] with D >= 1, got \[24, 0\]"):
        pack_lstm((24, 0), *fit[1:])
    with pytest.raises(ValueError, match="weight_hh: "):
        pack_lstm((0, 3), (0, 0), (0,), (0,))
    with pytest.raises(ValueError, match=r"bias_hh: expected \[24\], got \[6\]"):
        pack_lstm(*fit[:3], (6,))
    with pytest.raises(TypeError, match="weight_hh: expected float64, got float32"):
        pack_lstm(*fit, dtypes=(F64, F32, F64, F64))
    with pytest.raises(TypeError, match="weight_ih: expected float32, got int64"):
        pack_lstm(*fit, dtypes=(INT, F32, F32, F32))
    with pytest.raises(ValueError, match="nonlinearity: expected 'tanh' or 'relu', got 'gelu'"):
        kernels.elman_pack(np.zeros((6, 3)), np.zeros((6, 6)), None, None, nonlinearity="gelu")


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("weight_ih", np.zeros((24, 4)), ValueError, r"dweight_ih: expected \[24, 3\], got \[24, 4\]"),
        ("weight_hh", np.zeros((24, 6), F32), TypeError, "dweight_hh: expected float64, got float32"),
        ("weight_hh", [], TypeError, "dweight_hh: expected a NumPy array of float64, got list"),
        ("weight_hh", None, TypeError, "gradients: expected weight_hh, got none"),
        ("weight_ih", read_only(np.zeros((24, 3))), ValueError, "dweight_ih: expected a writable array"),
        (
            "bias_ih",
            read_only(np.zeros(24)),
            ValueError,
            "dbias_ih: expected a writable array, got a read-only one",
        ),
        ("weight_hh", np.zeros((6, 24)).T, ValueError, "dweight_hh: expected a C-contiguous array"),
        ("bias_hh", None, ValueError, "gradients: expected both bias_ih and bias_hh, or neither"),
    ],
)
def test_gradients(name, value, error, message):
    _, _, tape = forward(CASE, PACKED)
    gradients = zero_gradients(CASE) | {name: value}
    with pytest.raises(error, match=message):
        backward_into(gradients, CASE, tape, PACKED)
    assert not any(np.any(g) for g in gradients.values() if g is not None)


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_missing_gradient(name):
    _, _, tape = forward(CASE, PACKED)
    gradients = zero_gradients(CASE)
    del gradients[name]
    message = "expected both bias_ih and bias_hh" if name.startswith("bias") else f"expected {name}, got none"
    with pytest.raises((TypeError, ValueError), match=f"gradients: {message}"):
        backward_into(gradients, CASE, tape, PACKED)
    assert not any(g.any() for g in gradients.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_of_biases_may_be_missing_or_none(variant):
    case = make_case(variant, (T, N, D, H))
    _, _, tape = forward(case)
    wanted = backward(case, tape)[2][:2]
    weights = {name: zero for name, zero in zero_gradients(case).items() if name.startswith("weight")}
    for none in ({}, {"bias_ih": None, "bias_hh": None}, {"bias_hh": None}):
        gradients = {name: np.zeros_like(zero) for name, zero in weights.items()} | none
        backward_into(gradients, case, tape, pack(case))
        for name, gradient in zip(weights, wanted, strict=True):
            assert gradients[name].tobytes() == gradient.tobytes()


def test_backward():
    _, _, tape = forward(CASE, PACKED)
    with pytest.raises(ValueError, match=r"dy: expected \[5, 4, 6\], got \[4, 4, 6\]"):
        backward(CASE.replace(dy=CASE.dy[:4]), tape, PACKED)
    with pytest.raises(TypeError, match="dstate: expected a tuple of 2 arrays for lstm"):
        backward(CASE.replace(dstate_n=CASE.dstate_n[:1]), tape, PACKED)
    with pytest.raises(TypeError, match="gradients: expected a dict of arrays, got tuple"):
        backward_into(tuple(zero_gradients(CASE).values()), CASE, tape, PACKED)
    for wrong in (None, CASE.x):
        kind = type(wrong).__name__
        with pytest.raises(TypeError, match=f"tapes: expected tapes that recurrent_forward .* got {kind}"):
            backward(CASE, wrong, PACKED)


@pytest.mark.parametrize("variant", ["elman-tanh", "gru-after", "gru-before"])
def test_the_tape_of_another_cell(variant):
    other = make_case(variant, (T, N, D, H))
    _, _, tape = forward(other)
    with pytest.raises((TypeError, ValueError), match=r"state: expected|tape"):
        backward(CASE, tape, PACKED)


def test_the_tape_of_another_dtype_or_width():
    for other in (make_case("lstm", (T, N, D, H), dtype="float32"), make_case("lstm", (T, N, D, 7))):
        _, _, tape = forward(other)
        with pytest.raises((TypeError, ValueError), match="expected"):
            backward(CASE, tape, PACKED)


def test_streams():
    with pytest.raises(ValueError, match="packed: expected at least one layer"):
        kernels.Stream([], 1)
    with pytest.raises(ValueError, match="batch_size: expected 1 or more, got 0"):
        kernels.Stream([PACKED], 0)
    with pytest.raises(ValueError, match="packed: expected each layer's input_size"):
        kernels.Stream([PACKED, PACKED], 1)
    with pytest.raises((TypeError, RuntimeError)):
        kernels.Stream([PACKED, pack(make_case("lstm", (1, 1, H, H), dtype="float32"))], 1)
    stream = kernels.Stream([PACKED], N)
    for x, error, message in (
        (np.zeros((3, D)), ValueError, r"x: expected \[4, 3\], got \[3, 3\]"),
        (np.zeros((N, D), F32), TypeError, "x: expected float64, got float32"),
        (np.full(N, 3), ValueError, r"x: expected ids in 0 .. 2 \(-1: none\), got 3"),
        (np.zeros(3, INT), ValueError, r"x: expected \[4\], got \[3\]"),
    ):
        with pytest.raises(error, match=message):
            stream.step(x)
    for state, error, message in (
        ([], ValueError, "state: expected 1 layers, got 0"),
        ([(np.zeros((N, H)),)], TypeError, "state: expected a tuple of 2 arrays for lstm"),
        ([(np.ones((N, H)), np.zeros((N, 7)))], ValueError, r"state\[1\]: expected \[4, 6\], got \[4, 7\]"),
    ):
        with pytest.raises(error, match=message):
            stream.set_state(state)
    assert not any(part.any() for part in stream.get_state()[0])


@pytest.mark.parametrize(
    ("segment", "lengths", "error", "message"),
    [
        (
            (0, 5, None),
            None,
            TypeError,
            r"segment: expected None or a tuple \(first, total\), got \(0, 5, None\)",
        ),
        (5, None, TypeError, r"segment: expected None or a tuple \(first, total\), got 5"),
        ((-1, 9), None, ValueError, r"segment: expected .* first \+ 5 <= total, got first -1 and total 9"),
        ((5, 9), None, ValueError, r"segment: expected .* first \+ 5 <= total, got first 5 and total 9"),
        ((4, 9), [1, 2, 3, 4], ValueError, "segment: expected first below the longest length, got 4"),
        ((4, 9), [1, 2, 3, 10], ValueError, "lengths: expected values in 0 .. 9, got 10 at position 3"),
    ],
)
def test_segments(segment, lengths, error, message):
    lengths = None if lengths is None else np.array(lengths)
    with pytest.raises(error, match=message):
        kernels.recurrent_forward([PACKED], CASE.x, [CASE.state], lengths, training=True, segment=segment)


def test_the_state_that_resets_of_a_segment_return_to():
    restart = np.zeros((N, H)), np.zeros((N, 2))
    with pytest.raises(ValueError, match=r"restart\[1\]: expected \[4, 6\]"):
        kernels.recurrent_forward([PACKED], CASE.x, segment=(4, 9), restarts=[restart])


def test_a_segment_with_resets_needs_where_to_send_their_gradients():
    case = make_case("lstm", (T, N, D, H), resets=True)
    ((_, _, tape),) = kernels.recurrent_forward(
        [PACKED], case.x, reset=case.reset, training=True, segment=(4, 9)
    )
    arguments = ([PACKED], [tape], case.dy, None, [zero_gradients(case)], True)
    with pytest.raises(ValueError, match="drestart: expected arrays to add to, got None"):
        kernels.recurrent_backward(*arguments)
    wrong = (np.zeros((N, H)), read_only(np.zeros((N, H))))
    with pytest.raises(ValueError, match="drestart: expected writable arrays, got a read-only one"):
        kernels.recurrent_backward(*arguments, drestarts=[wrong])


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ([], TypeError, "state_gradients: expected None or a list of 1"),
        ([(np.zeros((T, N, H)),)], TypeError, "state_gradients: expected a tuple of 2 arrays for lstm"),
        ([np.zeros((T, N, H))], TypeError, "state_gradients: expected a tuple of 2 arrays for lstm"),
        (
            [(np.zeros((T, N, H)), np.zeros((T, N, H - 1)))],
            ValueError,
            rf"state_gradients: expected \[{T}, {N}, {H}\]",
        ),
        ([(np.zeros((T, N, H), "f"), np.zeros((T, N, H)))], TypeError, "state_gradients: expected float64"),
        ([(read_only(np.zeros((T, N, H))), np.zeros((T, N, H)))], ValueError, "state_gradients: .*read-only"),
    ],
)
def test_arrays_for_the_gradients_of_all_states(given, kind, message):
    case = make_case("lstm", (T, N, D, H))
    packed = pack(case)
    _, _, tape = forward(case, packed)
    gradients = zero_gradients(case)
    with pytest.raises(kind, match=message):
        kernels.recurrent_backward([packed], [tape], case.dy, None, [gradients], True, state_gradients=given)
    assert not any(d.any() for d in gradients.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_computed_if_anything_is_refused(variant):
    case = make_case(variant, (T, N, D, H))
    packed = pack(case)
    _, _, tape = forward(case, packed)
    before = [np.copy(a) for a in (*case.weights, *case.state, tape.y)]
    with pytest.raises(ValueError, match="dy"):
        backward(case.replace(dy=case.dy[1:]), tape, packed)
    for array, kept in zip((*case.weights, *case.state, tape.y), before, strict=True):
        assert np.array_equal(array, kept)
