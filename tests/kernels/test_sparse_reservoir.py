"""The sparse reservoir against the reference, the same bits on every way, and what it refuses."""

import threading

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from fastrnn._dispatch import kernels
from fastrnn.layers.recurrent.sparse_reservoir import RESERVOIR_UNITS, CompressedRows, SparseReservoir

DTYPES = ["float32", "float64"]
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}
SIZES = [1, 3, 17, 64, 65]


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread unless the test sets more."""
    before = fr.get_num_threads()
    fr.set_num_threads(1)
    yield
    fr.set_num_threads(before)


def random_rows(H, density, dtype, seed=0):
    """Return a random matrix in compressed rows; row 0 is empty unless all elements are there."""
    random = np.random.default_rng(seed)
    there = random.random((H, H)) < density
    there[0] &= density == 1
    indptr = np.r_[0, np.cumsum(there.sum(axis=1))]
    data = random.normal(size=there.sum()) / max(1, density * H) ** 0.5
    return CompressedRows(data.astype(dtype), there.nonzero()[1], indptr)


def problem(H, N, T, dtype, seed=1):
    """Return inputs, a state and leak rates."""
    random = np.random.default_rng(seed)
    arrays = random.normal(size=(T, N, H)), random.normal(size=(N, H)), random.random(H)
    return tuple(array.astype(dtype) for array in arrays)


@pytest.mark.parametrize("unit", RESERVOIR_UNITS)
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_states_are_those_of_the_reference(dtype, density, unit):
    for H in SIZES:
        for N in (1, 2, 5, 19):
            rows, (inputs, state, leak) = random_rows(H, density, dtype), problem(H, N, 6, dtype)
            states, last = SparseReservoir(rows, leak_rate=leak, nonlinearity=unit).run(inputs, state)
            wide = [array.astype(np.float64) for array in (inputs, state, rows.data, leak)]
            dense = reference.dense_from_rows(wide[2], rows.indices, rows.indptr)
            wanted, wanted_last = reference.reservoir_forward(wide[0], wide[1], dense, wide[3], unit)
            scale = np.abs(wanted).max()
            np.testing.assert_allclose(states, wanted, rtol=0, atol=TOLERANCE[dtype] * scale * 10)
            assert states.dtype == last.dtype == dtype
            assert np.array_equal(last, states[-1])
            assert np.allclose(last, wanted_last, atol=1e-4)


def test_the_reference_adds_up_what_is_in_one_place_and_refuses_wrong_shapes():
    rows = (np.array([1.0, 2.0]), np.array([1, 1]), np.array([0, 2, 2]))
    assert reference.dense_from_rows(*rows).tolist() == [[0, 3], [0, 0]]
    inputs, state, leak = problem(2, 1, 1, "float64")
    assert np.array_equal(
        SparseReservoir(rows, nonlinearity="identity").run(inputs, state)[0][0],
        state @ reference.dense_from_rows(*rows).T + inputs[0],
    )
    with pytest.raises(ValueError, match=r"leak_rate: expected \[2\], got \[1\]"):
        reference.reservoir_forward(inputs, state, np.eye(2), leak[:1])
    with pytest.raises(ValueError, match=r"nonlinearity: expected tanh, .* got 'softmax'"):
        reference.reservoir_forward(inputs, state, np.eye(2), leak, "softmax")


@pytest.mark.parametrize("dtype", DTYPES)
def test_more_than_65535_units_have_wider_columns(dtype):
    H = 65_537
    ring = CompressedRows(np.full(H, 0.5, dtype), (np.arange(H) - 1) % H, np.arange(H + 1))
    for N in (1, 4):
        inputs = np.zeros((2, N, H), dtype)
        inputs[0, :, [0, H - 2, H - 1]] = [[1], [2], [4]]
        states, last = SparseReservoir(ring, nonlinearity="identity").run(inputs)
        for n in range(N):
            assert [(int(i), float(last[n, i])) for i in last[n].nonzero()[0]] == [
                (0, 2),
                (1, 0.5),
                (H - 1, 1),
            ]
        assert np.array_equal(states[0], inputs[0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_has_the_same_bits_alone_and_in_any_batch(dtype):
    reservoir = SparseReservoir(random_rows(45, 0.3, dtype), leak_rate=0.3)
    inputs, state, _ = problem(45, 37, 4, dtype)
    whole, last = reservoir.run(inputs, state)
    for rows in ([0], [5, 6], [30, 2, 9], range(16), range(7, 26), range(36, -1, -1)):
        rows = list(rows)
        part, part_last = reservoir.run(inputs[:, rows], state[rows])
        assert part.tobytes() == whole[:, rows].tobytes()
        assert part_last.tobytes() == last[rows].tobytes()


@pytest.mark.parametrize("N", [1, 3, 40])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_on_one_two_and_three_threads(dtype, N):
    H = 700  # of one group of rows, threads share every step from 100,000 elements on
    reservoir = SparseReservoir(random_rows(H, 0.7, dtype), leak_rate=0.5)
    inputs, state, _ = problem(H, N, 3, dtype)
    alone = reservoir.run(inputs, state)
    for threads in (2, 3):
        fr.set_num_threads(threads)
        for _ in range(5):
            together = reservoir.run(inputs, state)
            assert [array.tobytes() for array in together] == [array.tobytes() for array in alone]


@pytest.mark.parametrize("N", [1, 5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_at_once_in_chunks_and_step_by_step(dtype, N):
    reservoir = SparseReservoir(random_rows(33, 0.2, dtype), leak_rate=0.7)
    inputs, state, _ = problem(33, N, 9, dtype)
    whole, last = reservoir.run(inputs, state)
    for cut in (1, 4, 9):
        first, carried = reservoir.run(inputs[:cut], state)
        rest, end = reservoir.run(inputs[cut:], carried)
        assert np.concatenate([first, rest]).tobytes() == whole.tobytes()
        assert end.tobytes() == last.tobytes()
    for t in range(9):
        state = reservoir.step(inputs[t], state)
        assert state.tobytes() == whole[t].tobytes()


@pytest.mark.parametrize("H", [50, 65_600])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits_with_gather_instructions_and_without(dtype, H):
    random = np.random.default_rng(2)
    counts = random.integers(9, size=H)
    rows = random.integers(H, size=counts.sum()), np.r_[0, np.cumsum(counts)]
    data, results = random.normal(size=counts.sum()).astype(dtype), []
    inputs, state, leak = problem(H, 2, 3, dtype)
    for gathers in (True, False, None):
        packed = kernels.sparse_reservoir_pack(data, *rows, leak, "tanh", gathers)
        states, last = inputs.copy(), state.copy()
        kernels.sparse_reservoir_run(packed, states, last)
        results.append(states.tobytes() + last.tobytes())
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("N", [1, 4])
def test_the_same_bits_whatever_the_lengths_of_other_rows_of_w(N):
    """Rows that are shorter than their slice is long get padding, which must change no sum."""
    full = random_rows(24, 1.0, "float64")
    inputs, state, _ = problem(24, N, 1, "float64")
    wanted, _ = SparseReservoir(full, nonlinearity="identity").run(inputs, state)
    data, columns = full.data.reshape(24, 24), np.arange(24)
    for row in (0, 9, 23):
        lengths = np.where(np.arange(24) == row, 24, np.arange(24) % 5)
        keep = columns < lengths[:, None]
        part = CompressedRows(data[keep], keep.nonzero()[1], np.r_[0, np.cumsum(lengths)])
        states, _ = SparseReservoir(part, nonlinearity="identity").run(inputs, state)
        assert states[0, :, row].tobytes() == wanted[0, :, row].tobytes()


@pytest.mark.parametrize("N", [1, 3])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_row_and_spreads_along_connections_only(bad, N):
    ring = CompressedRows(np.ones(20), (np.arange(20) - 1) % 20, np.arange(21))  # unit i reads unit i - 1
    inputs = np.zeros((3, N, 20))
    inputs[0, 0, 0] = bad
    states, _ = SparseReservoir(ring, nonlinearity="identity").run(inputs)
    for t in range(3):
        # 1 - a = 0, but 0 times what is not finite is not 0
        assert np.flatnonzero(~np.isfinite(states[t, 0])).tolist() == list(range(t + 1))
    assert not states[:, 1:].any()
    inputs[0, 0, 0] = 0
    inputs[:, 0, 7] = np.nan
    assert np.isnan(SparseReservoir(ring).run(inputs)[0][:, 0, 7]).all()


def test_nothing_to_run_leaves_the_state_as_it_was():
    reservoir = SparseReservoir(random_rows(5, 0.5, "float64"))
    _, state, _ = problem(5, 2, 1, "float64")
    states, last = reservoir.run(np.zeros((0, 2, 5)), state)
    assert states.shape == (0, 2, 5)
    assert np.array_equal(last, state)
    states, last = reservoir.run(np.zeros((4, 0, 5)))
    assert (states.shape, last.shape) == ((4, 0, 5), (0, 5))


def test_arguments_are_left_alone_unless_the_states_may_overwrite_the_inputs():
    reservoir = SparseReservoir(random_rows(6, 0.5, "float64"))
    inputs, state, _ = problem(6, 2, 3, "float64")
    before = inputs.copy(), state.copy()
    states, last = reservoir.run(inputs, state)
    reservoir.step(inputs[0], state)
    assert np.array_equal(inputs, before[0])
    assert np.array_equal(state, before[1])
    assert not np.shares_memory(last, states)
    same, _ = reservoir.run(inputs, state, overwrite=True)
    assert same is inputs
    assert np.array_equal(inputs, states)
    inputs.flags.writeable = False
    for refused in (inputs, [[[0.0] * 6]], np.zeros((3, 2, 12))[..., ::2]):
        with pytest.raises(ValueError, match="inputs: expected a writable C-contiguous array"):
            reservoir.run(refused, overwrite=True)


def test_a_reservoir_keeps_a_copy_of_its_weights():
    rows = random_rows(6, 0.5, "float64")
    inputs, state, leak = problem(6, 1, 3, "float64")
    reservoir = SparseReservoir(rows, leak_rate=leak)
    wanted, _ = reservoir.run(inputs, state)
    for array in (*rows, leak):
        array[...] = 0
    assert np.array_equal(reservoir.run(inputs, state)[0], wanted)


def test_rows_that_another_thread_overwrites_are_read_once_or_refused():
    data, indices, indptr = random_rows(60, 0.5, "float64")
    good, over = [indices.copy(), indptr.copy()], threading.Event()

    def overwrite():
        while not over.is_set():
            for array, right in zip((indices, indptr), good, strict=True):
                array[...] = 2**40
                array[...] = right

    thread = threading.Thread(target=overwrite)
    thread.start()
    inputs, refused = np.zeros((2, 1, 60)), []
    for _ in range(200):
        try:
            SparseReservoir((data, indices, indptr)).run(inputs)
        except ValueError as error:
            refused.append(str(error))
    over.set()
    thread.join()
    assert all(message.startswith(("indices", "indptr")) for message in refused)


def test_a_csr_matrix_of_scipy_is_taken_as_it_is():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.random(30, 30, 0.2, format="csr", random_state=0, dtype="float32")
    inputs, state, _ = problem(30, 2, 3, "float32")
    wanted, _ = SparseReservoir((matrix.data, matrix.indices, matrix.indptr)).run(inputs, state)
    for given in (matrix, sparse.csr_array(matrix)):
        assert np.array_equal(SparseReservoir(given).run(inputs, state)[0], wanted)
    with pytest.raises(TypeError, match=r"expected compressed rows \(CSR\), got csc; write weight.tocsr\(\)"):
        SparseReservoir(matrix.tocsc())
    with pytest.raises(ValueError, match=r"weight: expected a square matrix, got \[2, 30\]"):
        SparseReservoir(matrix[:2])


GOOD = {"data": np.ones(3), "indices": [0, 1, 1], "indptr": [0, 1, 3]}
BAD_ROWS = [
    ({"indices": [0, 1, 2]}, ValueError, "indices: expected columns in 0 .. 1, got 2 at position 2"),
    ({"indices": [0, -1, 1]}, ValueError, "indices: expected columns in 0 .. 1, got -1 at position 1"),
    ({"indices": [0, 1]}, ValueError, r"indices: expected \[3\], got \[2\]"),
    ({"indices": [0.0, 1.0, 1.0]}, TypeError, "indices: expected integers, got float64"),
    (
        {"indptr": [1, 1, 3]},
        ValueError,
        "indptr: expected numbers that rise from 0 to the 3 of data, got 1",
    ),
    ({"indptr": [0, 1, 2]}, ValueError, r"indptr: .* got 2 at position 2"),
    ({"indptr": [0, 4, 3]}, ValueError, r"indptr: .* got 4 at position 1"),
    ({"indptr": [0, 2, 1, 3]}, ValueError, r"indptr: .* got 1 at position 2"),
    ({"indptr": [0, -1, 3]}, ValueError, r"indptr: .* got -1 at position 1"),
    ({"indptr": [0]}, ValueError, "indptr: expected the beginnings of 1 row or more"),
    ({"data": np.ones(3, np.int64)}, TypeError, "float32 or float64, got int64"),
    ({"data": np.ones((3, 1))}, ValueError, r"data: expected \[K\], got \[3, 1\]"),
]


@pytest.mark.parametrize(("change", "kind", "message"), BAD_ROWS)
def test_inconsistent_rows_are_refused(change, kind, message):
    SparseReservoir(CompressedRows(**GOOD))
    with pytest.raises(kind, match=message):
        SparseReservoir(CompressedRows(**{**GOOD, **change}))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            {"weight": np.eye(3)},
            TypeError,
            r"weight: expected a CSR matrix.* got ndarray; write scipy",
        ),
        ({"leak_rate": 1.5}, ValueError, r"leak_rate: expected a number in .*, got 1.5"),
        ({"leak_rate": [0.5, np.nan]}, ValueError, "leak_rate: expected numbers in 0 .. 1, got nan"),
        ({"leak_rate": [0.5] * 3}, ValueError, r"leak_rate: expected \[2\], got \[3\]"),
        ({"leak_rate": "fast"}, TypeError, "leak_rate: expected a number, got "),
        ({"nonlinearity": "softmax"}, ValueError, r"nonlinearity: expected .*tanh.*, got 'softmax'"),
    ],
)
def test_wrong_settings_are_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        SparseReservoir(**{"weight": CompressedRows(**GOOD), **arguments})


@pytest.mark.parametrize(
    ("inputs", "state", "kind", "message"),
    [
        (np.zeros((3, 1, 4)), None, ValueError, r"inputs: expected \[T, N, 2\], got \[3, 1, 4\]"),
        (np.zeros((3, 2)), None, ValueError, r"inputs: expected \[T, N, 2\], got \[3, 2\]"),
        (np.zeros((3, 1, 2), "f"), None, TypeError, "inputs: expected float64, got float32"),
        (np.zeros((3, 1, 2)), np.zeros((2, 2)), ValueError, r"state: expected \[1, 2\], got \[2, 2\]"),
        (np.zeros((3, 1, 2)), np.zeros((1, 2), "f"), TypeError, "state: expected float64, got float32"),
    ],
)
def test_wrong_arrays_are_refused(inputs, state, kind, message):
    with pytest.raises(kind, match=message):
        SparseReservoir(CompressedRows(**GOOD)).run(inputs, state)
