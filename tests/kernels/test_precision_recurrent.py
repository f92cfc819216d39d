"""Forward passes in bfloat16 and int8: each step is the reference's, from the state that the kernels had."""

import itertools

import numpy as np
import pytest

from fastrnn import reference
from fuzz.step_judge import assert_steps_of_the_reference
from kernel_cases import backward, forward, kernels, pack
from precision_cases import COMBINATIONS, DEPTHS, PRECISIONS, ROWS, WIDTHS, inference, inference_of_every_step
from recurrent_cases import VARIANTS, make_case


def judge(case):
    """Judge every step of a pass; in bfloat16 with its gates, which the tape has."""
    if case.options["precision"] == "int8":
        assert_steps_of_the_reference(case, *inference_of_every_step(case))
        return
    y, _, tape = forward(case)
    assert_steps_of_the_reference(case, y, tape.c, tape.gates)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_step_of_every_odd_size_is_the_reference(variant, precision, rows):
    for D, H in itertools.product(DEPTHS, WIDTHS):
        judge(make_case(variant, (3, rows, D, H), precision=precision))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_step_of_every_combination_is_the_reference(variant, precision):
    for given in COMBINATIONS:
        judge(make_case(variant, (7, 5, 4, 19), precision=precision, **given))


@pytest.mark.parametrize("bias", ["ih", "hh"])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_step_with_one_bias_is_the_reference(variant, precision, bias):
    judge(make_case(variant, (3, 5, 9, 17), precision=precision, bias=bias))


@pytest.mark.parametrize(
    "sizes", [(2, 3, 5, 520), (2, 7, 1030, 24), (40, 23, 37, 67), (1100, 1, 4, 7)], ids=str
)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", ["lstm", "gru-after", "gru-before"])
def test_each_step_of_more_than_one_block_or_chunk_is_the_reference(variant, precision, sizes):
    if precision == "int8" and sizes[0] > 100:
        sizes = (100, *sizes[1:])  # its steps are found by as many calls
    judge(make_case(variant, sizes, precision=precision, resets=True))


def reference_of(case):
    """Return outputs and last state of the reference's own pass, by name."""
    y, state_n, _ = case.forward()
    return {"y": y} | {f"{letter}_n": s for letter, s in zip("hc", state_n, strict=False)}


# Two right passes differ by some last bits of h, until one of these flips the rounding of a number in one
# of them: by 2**-8 of it (bfloat16), or by a 127th of the row's largest (int8). A flip moves a gate by
# that times a weight, here of about 1 / sqrt(H), and reaches all units a step later. Weights of this size
# pass on about as much as they get, so that flips at T steps add up to sqrt(T) of one. Most of these
# passes have none.
DRIFT = {"bfloat16": 2.0**-8, "int8": 1 / 127}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_whole_passes_stay_near_the_reference(variant, precision):
    exact = 0
    sizes = [(5, 3, 9, 17), (9, 2, 5, 33), (12, 4, 17, 16), (7, 13, 3, 65), (3, 7, 33, 5), (20, 1, 2, 64)]
    for number, (T, N, D, H) in enumerate(sizes):
        given = COMBINATIONS[5 * number % len(COMBINATIONS)]
        case = make_case(variant, (T, N, D, H), precision=precision, **given)
        got, wanted = inference(case), reference_of(case)
        assert got.keys() == wanted.keys()
        for name, value in got.items():
            largest = max(1.0, np.abs(wanted[name]).max())
            off = np.abs(value - wanted[name]).max()
            assert off <= DRIFT[precision] * np.sqrt(T) * largest, name
            exact += off <= 2e-6 * largest
    assert exact >= len(sizes)  # of twice or three times as many arrays


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pass_with_rounded_weights_is_the_same(variant, precision):
    case = make_case(variant, (9, 5, 17, 33), precision=precision)

    def rounded(weight):
        if precision == "bfloat16":
            return reference.round_to_bfloat16(weight)
        q, scale = reference.quantize_rows(weight)
        return q * scale[:, None]

    again = case.replace(weights=(*map(rounded, case.weights[:2]), *case.weights[2:]))
    assert inference(again)["y"].tobytes() == inference(case)["y"].tobytes()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_ids_are_columns_of_the_rounded_weight(variant, precision):
    case = make_case(variant, (5, 7, 19, 17), precision=precision, ids=True)
    judge(case)
    judge(case.replace(x=np.ascontiguousarray(case.x[:, :1]), state=tuple(s[:1] for s in case.state)))


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_nan_and_infinity_stay_in_their_sequence(variant, precision, special):
    case = make_case(variant, (5, 7, 9, 17), precision=precision)
    clean = inference(case)
    x = case.x.copy()
    x[2, 3, 4] = special
    got = inference(case.replace(x=x))
    others = np.arange(7) != 3
    assert (
        np.ascontiguousarray(got["y"][:, others]).tobytes()
        == np.ascontiguousarray(clean["y"][:, others]).tobytes()
    )
    assert got["y"][:2].tobytes() == clean["y"][:2].tobytes()
    if precision == "int8" or np.isnan(special):  # infinity saturates gates in bfloat16
        assert np.isnan(got["y"][2:, 3]).all()
        assert np.isnan(got["h_n"][3]).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_features_that_saturate_every_gate(variant, precision):
    for scale in (1e3, 1e6):
        case = make_case(variant, (2, 5, 9, 17), precision=precision)
        if variant == "elman-relu":
            scale = min(scale, 1e3)
        judge(case.replace(x=case.x * np.float32(scale)))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_state_of_zeros_or_of_denormal_numbers_adds_nothing(variant, precision):
    case = make_case(variant, (1, 5, 9, 17), precision=precision)
    zeros = tuple(np.zeros_like(s) for s in case.state)
    denormal = (np.full_like(case.state[0], 1e-40), *zeros[1:])
    y = inference(case.replace(state=zeros))["y"]
    judge(case.replace(state=zeros))
    np.testing.assert_allclose(inference(case.replace(state=denormal))["y"], y, rtol=0, atol=1e-37)


def test_the_precision_can_be_read():
    case = make_case("lstm", dtype="float32")
    assert pack(case).precision == "float32"
    for precision in PRECISIONS:
        assert pack(make_case("lstm", precision=precision)).precision == precision


@pytest.mark.parametrize("variant", VARIANTS)
def test_int8_has_no_tape(variant):
    case = make_case(variant, precision="int8")
    with pytest.raises(ValueError, match=r"precision|int8"):
        forward(case, training=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_int8_refuses_the_tape_of_another_precision(variant):
    case = make_case(variant, dtype="float32")
    _, _, tape = forward(case)
    with pytest.raises(ValueError, match=r"precision: expected .*'bfloat16' for gradients, got 'int8'"):
        backward(case, tape, pack(case.replace(options=case.options | {"precision": "int8"})))


@pytest.mark.parametrize("variant", VARIANTS)
def test_float64_and_unknown_precisions_are_refused(variant):
    case = make_case(variant)
    for precision in PRECISIONS:
        with pytest.raises(ValueError, match="precision"):
            pack(case.replace(options=case.options | {"precision": precision}))
    case = make_case(variant, dtype="float32")
    with pytest.raises(ValueError, match="precision"):
        pack(case.replace(options=case.options | {"precision": "float16"}))


@pytest.mark.parametrize("name", ["lstm", "gru", "elman"])
def test_a_depth_beyond_the_exact_sums_is_refused_in_int8(name):
    G = {"lstm": 4, "gru": 3, "elman": 1}[name]
    weights = np.zeros((G, 65_537), "f"), np.zeros((G, 1), "f"), None, None
    with pytest.raises(ValueError, match=r"65,?536"):
        getattr(kernels, f"{name}_pack")(*weights, precision="int8")
