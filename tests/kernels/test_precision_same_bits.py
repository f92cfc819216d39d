"""The guarantee of the same bits in bfloat16 and int8, for any threads, batch, chunks, steps and CPU."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastrnn as fr
from kernel_cases import MODES, assert_same_bits, both_passes, forward, kernels, pack, with_threads
from precision_cases import PRECISIONS, inference
from recurrent_cases import VARIANTS, make_case

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def one_thread():
    """Use one thread unless the test sets more."""
    before = fr.get_num_threads()
    fr.set_num_threads(1)
    yield
    fr.set_num_threads(before)


def results_of(case):
    """Return all that a precision computes: both passes in bfloat16, outputs in int8."""
    return both_passes(case) if case.options["precision"] == "bfloat16" else inference(case)


@pytest.mark.parametrize("sizes", [(40, 23, 37, 67), (35, 1, 11, 203), (35, 3, 11, 203)], ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_two_or_three_threads(variant, precision, mode, sizes):
    case = make_case(variant, sizes, precision=precision, **MODES[mode])
    alone = results_of(case)
    for threads in (2, 3):
        assert_same_bits(with_threads(threads, lambda: results_of(case)), alone)


def rows_of(case, rows):
    """Return the case with only these rows of its batch, in this order."""

    def take(array, axis):
        return None if array is None else np.ascontiguousarray(np.take(array, rows, axis))

    return case.replace(
        x=take(case.x, 1),
        state=tuple(take(s, 0) for s in case.state),
        dy=take(case.dy, 1),
        dstate_n=tuple(take(s, 0) for s in case.dstate_n),
        lengths=take(case.lengths, 0),
        reset=None if case.reset is None else take(case.reset, 1),
    )


def of_sequences(results, rows):
    """Select the results of single sequences: all except the gradients of the weights."""
    single = {}
    for name, value in results.items():
        if not name.startswith(("dweight", "dbias")):
            axis = 0 if name.endswith(("_n", "0")) else 1
            single[name] = np.ascontiguousarray(np.take(value, rows, axis))
    return single


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_sequence_alone_or_in_any_batch(variant, precision, mode):
    case = make_case(variant, (6, 17, 5, 21), precision=precision, **MODES[mode])
    whole = results_of(case)
    batches = [np.arange(n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 16)] + [
        np.array([n]) for n in range(1, 17, 3)
    ]
    for rows in [*batches, np.random.default_rng(5).permutation(17)]:
        part = of_sequences(results_of(rows_of(case, rows)), np.arange(len(rows)))
        assert_same_bits(part, of_sequences(whole, rows))


@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
@pytest.mark.parametrize("sizes", [(13, 9, 70, 35), (13, 1, 33, 65)], ids=str)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_in_one_call_in_chunks_or_step_by_step(variant, precision, sizes, ids):
    case = make_case(variant, sizes, precision=precision, ids=ids)
    y, state_n, _ = forward(case, training=False)
    for cuts in ([5], [1, 2, 11], list(range(1, 13))):
        state, parts = case.state, []
        for begin, end in zip([0, *cuts], [*cuts, 13], strict=True):
            part, state, _ = forward(case.replace(x=case.x[begin:end], state=state), training=False)
            parts.append(part)
        assert np.concatenate(parts).tobytes() == y.tobytes()
        assert [s.tobytes() for s in state] == [s.tobytes() for s in state_n]
    for threads in (1, 2):
        steps, state = with_threads(threads, lambda: stream_of(case))
        assert np.array(steps).tobytes() == y.tobytes()
        assert [s.tobytes() for s in state] == [s.tobytes() for s in state_n]


def stream_of(case):
    """Run a case step by step; return the outputs and the last state."""
    stream = kernels.Stream([pack(case)], case.dy.shape[1])
    stream.set_state([case.state])
    return [stream.step(np.ascontiguousarray(x_t)) for x_t in case.x], stream.get_state()[0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_in_training_or_not(variant, mode):
    case = make_case(variant, (9, 7, 5, 35), precision="bfloat16", **MODES[mode])
    y, state_n, _ = forward(case)
    assert_same_bits(
        {"y": y} | {f"{letter}_n": s for letter, s in zip("hc", state_n, strict=False)}, inference(case)
    )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_two_layers_in_one_call_are_two_calls(variant, precision):
    first = make_case(variant, (40, 9, 17, 33), precision=precision)
    second = make_case(variant, (40, 9, 33, 21), precision=precision)
    packed = [pack(first), pack(second)]
    y, _, _ = forward(first, training=False)
    y, state_n, _ = forward(second.replace(x=y), training=False)
    for threads in (1, 2):
        results = with_threads(
            threads, lambda: kernels.recurrent_forward(packed, first.x, [first.state, second.state])
        )
        assert results[1][0].tobytes() == y.tobytes()
        assert results[1][1][0].tobytes() == state_n[0].tobytes()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_two_directions_in_one_call_are_two_calls(variant, precision):
    given = {"ragged": True, "resets": True}
    case = make_case(variant, (12, 9, 17, 21), precision=precision, **given)
    other = make_case(variant, (12, 9, 17, 21), precision=precision, seed=1, **given)
    back = other.replace(x=case.x, lengths=case.lengths, reset=case.reset, reverse=True)
    results = kernels.recurrent_forward(
        [pack(case), pack(back)],
        case.x,
        [case.state, back.state],
        case.lengths,
        case.reset,
        directions=2,
    )
    for (y, state_n, _), one in zip(results, (case, back), strict=True):
        y_, state_n_, _ = forward(one, training=False)
        assert np.ascontiguousarray(y).tobytes() == y_.tobytes()
        assert state_n[0].tobytes() == state_n_[0].tobytes()


def results_of_module(isa, path):
    """Return what an instruction set computes in both precisions, in a separate process."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from precision_cases import save; save(sys.argv[2])"
    )
    command = [sys.executable, "-c", script, str(TESTS), str(path)]
    subprocess.run(command, check=True, env={**os.environ, "FASTRNN_ISA": isa})
    with np.load(path) as results:
        return dict(results)


@pytest.fixture(scope="module")
def by_isa(tmp_path_factory):
    folder = tmp_path_factory.mktemp("isa")
    return {isa: results_of_module(isa, folder / f"{isa}.npz") for isa in fr.available_isas()}


def test_products_of_all_instruction_sets(by_isa):
    """bfloat16 products are exact with or without fused multiply-adds, and sums of int8 are whole numbers."""
    first, *others = by_isa.values()
    names = [name for name in first if "x" in name.split()[1]]
    assert len(names) > 20
    for other in others:
        assert_same_bits({name: other[name] for name in names}, {name: first[name] for name in names})


@pytest.mark.skipif(
    len(set(fr.available_isas()) - {"baseline"}) < 2, reason="needs two with fused multiply-adds"
)
def test_passes_of_all_instruction_sets_with_fused_multiply_adds(by_isa):
    first, *others = (results for isa, results in by_isa.items() if isa != "baseline")
    assert len(first) > 200
    for other in others:
        assert_same_bits(other, first)
