"""The guarantee of the same bits for any threads, batch, chunks, mode (training or not) and CPU."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastrnn as fr
from kernel_cases import (
    MODES,
    assert_same_bits,
    both_passes,
    forward,
    kernels,
    multiply_adds,
    pack,
    results_without_cell,
    with_threads,
)
from recurrent_cases import VARIANTS, make_case

DTYPES = ["float64", "float32"]
TESTS = Path(__file__).resolve().parents[1]
WORK_OF_A_THREAD = 400_000  # multiply-adds; useful_threads in cpp/kernels/runtime/parallel.hpp


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread unless the test sets more."""
    before = fr.get_num_threads()
    fr.set_num_threads(1)
    yield
    fr.set_num_threads(before)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_two_or_three_threads(variant, dtype, mode):
    case = make_case(variant, (40, 23, 37, 67), dtype=dtype, **MODES[mode])
    assert multiply_adds(case) >= 3 * WORK_OF_A_THREAD  # smaller work uses fewer threads
    alone = both_passes(case)
    for threads in (2, 3):
        assert_same_bits(with_threads(threads, lambda: both_passes(case)), alone)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_few_rows_have_their_hidden_units_shared(variant, dtype, mode, rows):
    case = make_case(variant, (35, rows, 11, 203), dtype=dtype, **MODES[mode])
    assert multiply_adds(case) >= 3 * WORK_OF_A_THREAD  # work_split.hpp: a barrier after every step
    alone = both_passes(case)
    for threads in (2, 3):
        assert_same_bits(with_threads(threads, lambda: both_passes(case)), alone)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_or_two_threads_of_other_kernels(dtype):
    assert_same_bits(with_threads(2, lambda: results_without_cell(dtype)), results_without_cell(dtype))


@pytest.mark.parametrize(("rows", "width"), [(40, 250), (1, 900)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_or_two_threads_of_a_stream(variant, dtype, rows, width):
    case = make_case(variant, (3, rows, 70, width), dtype=dtype)
    assert multiply_adds(case) >= 3 * 2 * WORK_OF_A_THREAD  # three steps
    y = forward(case)[0].tobytes()
    assert np.array(stream_of(case)[0]).tobytes() == y
    assert np.array(with_threads(2, lambda: stream_of(case)[0])).tobytes() == y


def stream_of(case):
    """Run a case step by step; return the outputs and the last state."""
    stream = kernels.Stream([pack(case)], case.dy.shape[1])
    stream.set_state([case.state])
    return [stream.step(np.ascontiguousarray(x_t)) for x_t in case.x], stream.get_state()[0]


def rows_of(case, rows, steps=None):
    """Return the case with only these rows of its batch, in this order."""

    def take(array, axis):
        return None if array is None else np.ascontiguousarray(np.take(array, rows, axis))

    return case.replace(
        x=take(case.x, 1)[:steps],
        state=tuple(take(s, 0) for s in case.state),
        dy=take(case.dy, 1)[:steps],
        dstate_n=tuple(take(s, 0) for s in case.dstate_n),
        lengths=take(case.lengths, 0),
        reset=None if case.reset is None else take(case.reset, 1)[:steps],
    )


def of_each_sequence(results, rows, steps=None):
    """Select the results of single sequences: all except the gradients of the weights."""
    single = {}
    for name, value in results.items():
        if name.startswith(("dweight", "dbias")):
            continue
        batch_axis = 0 if name.endswith(("_n", "0")) else 1
        value = np.take(value, rows, batch_axis)
        single[name] = np.ascontiguousarray(value if batch_axis == 0 else value[:steps])
    return single


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_sequence_alone_or_in_any_batch(variant, dtype, mode):
    """Compare outputs, tape, dx and dstate of each sequence in batches of 1 to 17 and in another order."""
    case = make_case(variant, (6, 17, 5, 21), dtype=dtype, **MODES[mode])
    whole = both_passes(case)
    batches = [np.arange(n) for n in range(1, 17)] + [np.array([n]) for n in range(1, 17)]
    for rows in [*batches, np.random.default_rng(5).permutation(17)]:
        part = both_passes(rows_of(case, rows))
        assert_same_bits(of_each_sequence(part, np.arange(len(rows))), of_each_sequence(whole, rows))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_sequence_with_or_without_padding(variant, dtype, reverse):
    case = make_case(variant, (9, 7, 5, 19), dtype=dtype, ragged=True, resets=True, reverse=reverse)
    whole = both_passes(case)
    for n, steps in enumerate(case.lengths):
        part = both_passes(rows_of(case, [n], steps).replace(lengths=None))
        assert_same_bits(of_each_sequence(part, [0]), of_each_sequence(whole, [n], steps))


@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_in_one_call_in_chunks_or_step_by_step(variant, dtype, ids):
    case = make_case(variant, (13, 9, 70, 35), dtype=dtype, ids=ids)
    y, state_n, _ = forward(case)
    for cuts in ([5], [1, 2, 11], list(range(1, 13))):
        state, parts = case.state, []
        for begin, end in zip([0, *cuts], [*cuts, 13], strict=True):
            part, state, _ = forward(case.replace(x=case.x[begin:end], state=state))
            parts.append(part)
        assert np.concatenate(parts).tobytes() == y.tobytes()
        assert [s.tobytes() for s in state] == [s.tobytes() for s in state_n]
    steps, state = stream_of(case)
    assert np.array(steps).tobytes() == y.tobytes()
    assert [s.tobytes() for s in state] == [s.tobytes() for s in state_n]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_in_training_or_not(variant, dtype, mode):
    case = make_case(variant, (9, 7, 5, 35), dtype=dtype, **MODES[mode])
    y, state_n, _ = forward(case, training=False)
    y_, state_n_, _ = forward(case)
    assert y.tobytes() == y_.tobytes()
    assert [s.tobytes() for s in state_n] == [s.tobytes() for s in state_n_]


def results_of_module(isa, path):
    """Return everything that an instruction set's module computes, in a separate process."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import kernel_cases; kernel_cases.save(sys.argv[2])"
    )
    command = [sys.executable, "-c", script, str(TESTS), str(path)]
    subprocess.run(command, check=True, env={**os.environ, "FASTRNN_ISA": isa})
    with np.load(path) as results:
        return dict(results)


@pytest.mark.skipif(
    not {"avx2", "avx512"} <= set(fr.available_isas()), reason="needs the modules and a CPU of both"
)
def test_avx2_and_avx512(tmp_path):
    results = {isa: results_of_module(isa, tmp_path / f"{isa}.npz") for isa in ("avx2", "avx512")}
    assert len(results["avx2"]) > 400
    assert_same_bits(results["avx2"], results["avx512"])
