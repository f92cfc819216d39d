"""The tape of a layer in bfloat16: 16 bits for a gate, and gradients that lose nothing by it."""

import pickle

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.reference.kept_gates import kept_gate
from fuzz.step_judge import same_bits
from kernel_cases import backward, both_passes, expected, forward, pack, zero_gradients
from recurrent_cases import VARIANTS, make_case

GATED = [name for name in VARIANTS if not name.startswith("elman")]
#: Gates that lie in -1 .. 1; the fourth of a GRU has no bound.
BOUNDED = {"lstm": 4, "gru-after": 3, "gru-before": 3}
# (bytes in bfloat16, in float32) of each unit and step: gates of 2 bytes, h and c of 4
BYTES = {"lstm": (16, 24), "gru-after": (12, 20), "gru-before": (10, 16), "elman-tanh": (4, 4)}


@pytest.mark.parametrize("variant", BYTES)
def test_a_tape_in_bfloat16_has_two_bytes_for_each_gate(variant):
    sizes = T, N, _, H = 7, 3, 4, 37
    small, large = (
        forward(make_case(variant, sizes, dtype="float32", precision=precision))[2].nbytes
        for precision in ("bfloat16", "float32")
    )
    assert (small, large) == tuple(T * N * H * each for each in BYTES[variant])


@pytest.mark.parametrize(
    "given", [{}, {"ragged": True, "resets": True, "reverse": True}], ids=["dense", "all"]
)
@pytest.mark.parametrize("H", [1, 7, 16, 33, 130])
@pytest.mark.parametrize("variant", GATED)
def test_gates_are_rounded_and_read_as_float32(variant, H, given):
    case = make_case(variant, (6, 5, 4, H), precision="bfloat16", **given)
    tape = forward(case)[2]
    gates, bounded = tape.gates, BOUNDED[variant]
    assert gates.dtype == np.float32
    assert not gates.flags.writeable
    same_bits("gates", gates[:, :, :bounded], kept_gate(gates[:, :, :bounded]))
    assert (gates[:, :, :bounded] * 2**14 % 1 == 0).all()
    assert (gates.view("u4")[:, :, bounded:] % 2**16 == 0).all()
    assert len(np.unique(gates)) > min(20, H)
    if case.lengths is not None:
        assert not gates[np.arange(6)[:, None] >= case.lengths].any()


@pytest.mark.parametrize("variant", GATED)
def test_the_reference_keeps_the_same_gates(variant):
    """Up to one multiple of 2**-14, where the order of a sum has moved a number over a tie; one of 2**-8."""
    case = make_case(variant, (1, 5, 9, 33), precision="bfloat16")
    got, wanted = forward(case)[2].gates, case.forward()[2].gates
    bounded = BOUNDED[variant]
    off = np.abs(got - wanted)
    assert off[:, :, :bounded].max() <= 2.0**-14
    assert (off[:, :, bounded:] <= 2.0**-7 * np.abs(wanted[:, :, bounded:])).all()
    assert (off > 0).mean() < 0.02


@pytest.mark.parametrize("variant", GATED)
def test_gates_of_open_and_closed_units_are_exact(variant):
    case = make_case(variant, (3, 2, 4, 21), precision="bfloat16")
    size = len(case.weights[2]) // 21
    bias = np.repeat(np.array([40, -40, 40, -40], "f")[:size], 21)
    weights = tuple(np.zeros_like(w) for w in case.weights[:2])
    tape = forward(case.replace(weights=(*weights, bias, np.zeros_like(bias))))[2]
    ends = (1, 0, 1, 0) if variant == "lstm" else (1, 0, 1)
    assert [np.unique(tape.gates[:, :, k]).tolist() for k in range(len(ends))] == [[end] for end in ends]


@pytest.mark.parametrize("variant", GATED)
def test_a_gate_of_nan_is_kept_in_its_sequence(variant):
    case = make_case(variant, (4, 5, 9, 17), precision="bfloat16")
    x = case.x.copy()
    x[1, 3] = np.nan
    gates = forward(case.replace(x=x))[2].gates
    assert np.isnan(gates[1:, 3, : BOUNDED[variant]]).all()
    assert not np.isnan(np.delete(gates, 3, axis=1)).any()
    assert not np.isnan(gates[0]).any()


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e38])
def test_a_recurrent_sum_of_a_gru_without_bound_is_kept(value):
    case = make_case("gru-after", (2, 2, 3, 18), precision="bfloat16")
    bias = case.weights[3].copy()
    bias[-1] = value
    gates = forward(case.replace(weights=(*case.weights[:3], bias)))[2].gates
    np.testing.assert_allclose(gates[:, :, 3, -1], value, rtol=2.0**-8)


@pytest.mark.parametrize("variant", GATED)
def test_a_pickled_tape_has_the_same_gates_and_gradients(variant):
    case = make_case(variant, (5, 3, 4, 19), precision="bfloat16")
    tape, packed = forward(case)[2], pack(case)
    again = pickle.loads(pickle.dumps(tape))
    assert again.nbytes == tape.nbytes
    assert again.gates.tobytes() == tape.gates.tobytes()
    results = [backward(case, one, packed) for one in (tape, again)]
    assert pickle.dumps(results[0]) == pickle.dumps(results[1])


@pytest.mark.parametrize(
    ("of", "for_"), [("float32", "bfloat16"), ("bfloat16", "float32")], ids=["float32", "bfloat16"]
)
@pytest.mark.parametrize("variant", GATED)
def test_a_tape_of_another_precision_is_refused(variant, of, for_):
    cases = {name: make_case(variant, (2, 3, 4, 5), dtype="float32", precision=name) for name in (of, for_)}
    tape, case = forward(cases[of])[2], cases[for_]
    expects = {"float32": "float32, got uint16", "bfloat16": "uint16, got float32"}
    with pytest.raises(TypeError, match=f"tape.gates: expected {expects[for_]}"):
        backward(case, tape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", GATED)
def test_tapes_of_other_precisions_keep_gates_as_they_are(variant, dtype):
    tape = forward(make_case(variant, (3, 2, 4, 9), dtype=dtype))[2]
    assert tape.gates is tape.gates
    assert tape.gates.dtype == dtype
    assert (tape.gates * 2**14 % 1 != 0).any()


@pytest.mark.parametrize("make", [fr.LSTM, fr.GRU])
def test_segments_have_the_gradients_of_a_whole_pass(make):
    rnn = make(5, 19, 2, precision="bfloat16", seed=0)
    x = np.random.default_rng(0).standard_normal((23, 4, 5), dtype=np.float32)
    found = []
    for every in (None, 5):
        rnn.gradients.zero()
        y, _, tape = rnn.forward(x, checkpoint_every=every)
        dx, _ = rnn.backward(tape, np.cos(y))
        found.append(dx.tobytes() + rnn.gradients.flat.tobytes())
    assert found[0] == found[1]


# Both operands of every product are rounded anyway. In bfloat16, gates would make errors 1.2 to 3 times as
# large: an almost open gate z has 1 - z, which is small, with an error of 2**-9.
@pytest.mark.parametrize("open_gates", [0.0, 2.0])
@pytest.mark.parametrize("variant", GATED)
def test_rounded_gates_add_less_than_a_tenth_to_the_error_of_gradients(variant, open_gates, monkeypatch):
    case = make_case(variant, (40, 8, 16, 32), precision="bfloat16")
    bias = case.weights[2].copy()
    bias[32:64] += open_gates  # of f, or of z
    case = case.replace(weights=(*case.weights[:2], bias, case.weights[3]))
    exact = expected(case.replace(options={n: v for n, v in case.options.items() if n != "precision"}))
    rounded = both_passes(case)
    monkeypatch.setattr(f"fastrnn.reference.{case.cell}.kept_gates", lambda gates, *_: gates)
    _, _, tape = case.forward()
    dx, dstate, dweights = case.backward(tape)
    assert not np.array_equal(tape.gates, rounded["gates"])
    unrounded = dict(zip(zero_gradients(case), dweights, strict=True))
    unrounded |= {"x": dx, "h0": dstate[0]}
    for name, value in unrounded.items():
        errors = [np.linalg.norm(one - exact[f"d{name}"]) for one in (rounded[f"d{name}"], value)]
        assert errors[0] < 1.1 * errors[1], name
