"""Backward passes in bfloat16, judged in three ways.

Central differences cannot judge them: a rounded forward pass is a staircase. Instead

- where no operand needs rounding, the gradients have the bits of float32's: one step of numbers of few bits,
  and whole passes of whole numbers;
- of one step of one sequence, db is da itself, so its products with the weights are checked bit by bit;
- whole passes are compared with the reference in bfloat16, and with float64 within the error of rounding.
"""

import itertools

import numpy as np
import pytest

from fastrnn import reference
from fastrnn.reference.time_loop import Tape
from fuzz.step_judge import EPSILON, same_bits
from kernel_cases import (
    assert_same_bits,
    backward,
    backward_into,
    both_passes,
    expected,
    forward,
    kernels,
    pack,
    with_threads,
    zero_gradients,
)
from precision_cases import COMBINATIONS, DEPTHS, FLIP, UNIT, WIDTHS
from recurrent_cases import GATES, VARIANTS, make_case

SMOOTH = [name for name in VARIANTS if name != "elman-relu"]
SIZES = [
    (5, 3, 9, 17),
    (9, 2, 5, 33),
    (4, 13, 17, 16),
    (7, 7, 3, 65),
    (3, 1, 33, 5),
    (6, 3, 2, 64),
    (2, 7, 1, 1),
]


def plain(case):
    """Return the case in float32."""
    return case.replace(options={n: v for n, v in case.options.items() if n != "precision"})


def of_few_bits(array, bits=4):
    """Round to numbers that bfloat16 holds."""
    return None if array is None else (np.round(array * 2**bits) / 2**bits).astype("f")


@pytest.mark.parametrize("variant", VARIANTS)
def test_products_of_one_step_have_the_bits_of_the_reference(variant):
    """Without a sum over time or batch the gradient of a bias is da; of a GRU the other bias has W_hh's."""
    for D, H in itertools.product(DEPTHS, WIDTHS):
        case = make_case(variant, (1, 1, D, H), precision="bfloat16")
        _, _, tape = forward(case)
        dx, _, (dweight_ih, dweight_hh, da, da_hh) = backward(case, tape)
        order = np.arange(GATES[case.cell] * H)
        order = np.roll(order, H) if case.cell == "gru" else order  # its dx is a sum over n, r, z
        columns = np.ascontiguousarray(case.weights[0][order].T)
        same_bits("dx", dx[0], reference.bfloat16_product(da[None, order], columns))
        same_bits("dweight_ih", dweight_ih, reference.bfloat16_product(da[:, None], case.x[0].T))
        h = case.state[0]
        rows = (
            np.arange(2 * H) if variant == "gru-before" else np.arange(len(da_hh))
        )  # its n is multiplied by r h
        wanted = reference.bfloat16_product(da_hh[rows, None], h.T)
        same_bits("dweight_hh", dweight_hh[rows], wanted)


@pytest.mark.parametrize("variant", ["lstm", "elman-tanh", "elman-relu"])
def test_the_gradient_of_the_state_before_one_step_has_the_bits_of_the_reference(variant):
    for H in WIDTHS:
        case = make_case(variant, (1, 1, 3, H), precision="bfloat16")
        _, _, tape = forward(case)
        _, (dh, *_), (_, _, da, _) = backward(case, tape)
        same_bits("dh", dh, reference.bfloat16_product(da[None], np.ascontiguousarray(case.weights[1].T)))


@pytest.mark.parametrize("variant", ["lstm", "gru-after", "elman-tanh", "elman-relu"])
def test_one_step_of_few_bits_has_the_outputs_of_float32(variant):
    """And without gates the same da; with gates a da of rounded ones, and all else within its rounding."""
    case = make_case(variant, (1, 7, 9, 17), precision="bfloat16")
    case = case.replace(
        x=of_few_bits(case.x),
        weights=tuple(map(of_few_bits, case.weights)),
        state=tuple(map(of_few_bits, case.state)),
    )
    got, wanted = both_passes(case), both_passes(plain(case))
    bias = [name for name in wanted if "bias" in name]
    exact = [name for name in wanted if name in ("y", "c", "h_n", "c_n")] + bias * variant.startswith("elman")
    assert len(exact) >= 2
    assert_same_bits({name: got[name] for name in exact}, {name: wanted[name] for name in exact})
    for name in bias:  # a product of four gates, each within 2**-15 and most above 1/8
        assert np.abs(got[name] - wanted[name]).max() <= 2.0**-10 * np.abs(wanted[name]).max(), name
    for name in ("dx", "dh0", "dweight_ih", "dweight_hh"):
        assert (got[name] != wanted[name]).any()
        largest = np.abs(wanted[name]).max()
        assert np.abs(got[name] - wanted[name]).max() <= 4 * UNIT * largest, name


@pytest.mark.parametrize("sizes", [*SIZES, (8, 40, 33, 130)], ids=str)
def test_whole_numbers_have_the_bits_of_float32(sizes):
    """A network of -1, 0 and 1, sparse enough that no number needs more than 8 bits: nothing is rounded."""
    T, N, D, H = sizes
    random = np.random.default_rng([*sizes])

    def few(shape, share):
        return (random.integers(-1, 2, size=shape) * (random.random(shape) < share)).astype("f")

    for given in ({}, {"ragged": True, "resets": True, "reverse": True}):
        case = make_case("elman-relu", sizes, precision="bfloat16", **given)
        case = case.replace(
            x=few((T, N, D), 0.5),
            weights=(few((H, D), 2 / D), few((H, H), 1 / H), few(H, 0.3), few(H, 0.3)),
            state=(np.abs(few((N, H), 0.5)),),
            dy=few((T, N, H), 0.3),
            dstate_n=(few((N, H), 0.3),),
        )
        wanted = both_passes(plain(case))
        operands = np.concatenate([wanted[name].ravel() for name in ("y", "dx", "dh0")])
        assert np.abs(operands).max() <= 256
        assert min(sizes) == 1 or np.abs(wanted["dweight_hh"]).max() > 0
        got = both_passes(case)
        for name, value in got.items():
            assert np.array_equal(value, wanted[name]), name  # the sign of a zero may differ


def reference_on(case, tape):
    """Return the reference's gradients from the kernels' own tape, by name."""
    kept = Tape(case.x, tape.y, case.state, case.lengths, case.reset, case.reverse, tape.c, tape.gates)
    dx, dstate, dweights = case.backward(kept)
    named = {"dx": dx} | {f"d{letter}0": d for letter, d in zip("hc", dstate, strict=False)}
    named |= dict(zip(("dweight_ih", "dweight_hh", "dbias_ih", "dbias_hh"), dweights, strict=True))
    return {name: value for name, value in named.items() if value is not None}


# da is computed from the same tape in another order of multiplications, so it differs in its last bits,
# and in one of about 2**14 elements in its rounding to bfloat16, by 2**-8 of it. Passes without such a
# flip differ by the order of float32 sums. One flip changes an element of dh by 2**-8 of a term, which is
# less than the largest sum; through T steps, the terms of such weights add up to about T of the first.
@pytest.mark.parametrize("variant", VARIANTS)
def test_whole_passes_are_the_reference_from_the_same_tape(variant):
    near, count = 0, 0
    for number, (sizes, given) in enumerate(zip(itertools.cycle(SIZES), COMBINATIONS, strict=False)):
        case = make_case(variant, sizes, precision="bfloat16", seed=number, **given)
        _, _, tape = forward(case)
        dx, dstate, dweights = backward(case, tape)
        got = {"dx": dx} | {f"d{letter}0": d for letter, d in zip("hc", dstate, strict=False)}
        got |= dict(zip(("dweight_ih", "dweight_hh", "dbias_ih", "dbias_hh"), dweights, strict=True))
        wanted = reference_on(case, tape)
        assert {name for name, value in got.items() if value is not None} == wanted.keys()
        for name, value in wanted.items():
            off, largest = np.abs(got[name] - value).max(), max(1.0, np.abs(value).max())
            assert off <= FLIP * sizes[0] * largest, name
            near += off <= sizes[0] * sizes[1] * 4 * EPSILON * largest
            count += 1
    assert near > 0.6 * count


# Both operands of a term move by at most UNIT of themselves, at random: a sum by sqrt(2) UNIT of the root
# of its sum of squares, which is about a sum of random signs. Errors of T steps add up alike, to sqrt(T)
# of that. Eight times as much holds four standard deviations of elements that are half of the largest.
# Gates in a wrong order, or a product left out, are far beyond it. ReLU is not among them: where rounding
# moves its argument over 0, its derivative jumps.
@pytest.mark.parametrize("variant", SMOOTH)
def test_whole_passes_are_within_the_error_of_rounding_of_float64(variant):
    for number, (sizes, given) in enumerate(zip(SIZES, COMBINATIONS[::5], strict=False)):
        case = make_case(variant, sizes, precision="bfloat16", seed=number, **given)
        got, wanted = both_passes(case), expected(plain(case))
        for name, value in got.items():
            largest = max(1.0, np.abs(wanted[name]).max())
            assert np.abs(value - wanted[name]).max() <= 8 * UNIT * np.sqrt(2 * sizes[0]) * largest, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_are_added_and_dx_can_be_left_out(variant):
    case = make_case(variant, (6, 5, 4, 19), precision="bfloat16", ragged=True, resets=True)
    _, _, tape = forward(case)
    packed, first, twice = pack(case), zero_gradients(case), zero_gradients(case)
    dx, dstate = backward_into(first, case, tape, packed)
    for _ in range(2):
        none, dstate_again = backward_into(twice, case, tape, packed, need_dx=False)
    assert dx is not None
    assert none is None
    assert [d.tobytes() for d in dstate_again] == [d.tobytes() for d in dstate]
    for name, gradient in first.items():
        np.testing.assert_allclose(
            twice[name], 2 * gradient, rtol=0, atol=8 * EPSILON * np.abs(gradient).max()
        )


@pytest.mark.parametrize("sizes", [(600, 2, 4, 7), (90, 13, 5, 20), (1100, 1, 4, 7)], ids=str)
@pytest.mark.parametrize("variant", SMOOTH)
def test_passes_of_more_than_one_chunk_of_time(variant, sizes):
    """Gradients of weights are sums over 1,000 tokens: near those of float64 as a whole, by their norm."""
    case = make_case(variant, sizes, precision="bfloat16", resets=True)
    got, wanted = both_passes(case), expected(plain(case))
    for name, value in got.items():
        off = np.linalg.norm(value - wanted[name]) / np.linalg.norm(wanted[name])
        assert off < 8 * UNIT, name
    for threads in (2, 3):
        assert_same_bits(with_threads(threads, lambda: both_passes(case)), got)


@pytest.mark.parametrize("variant", VARIANTS)
def test_backwards_through_two_calls_is_backwards_through_one(variant):
    case = make_case(variant, (11, 5, 17, 33), precision="bfloat16")
    packed = pack(case)
    whole = both_passes(case)
    first, second = case.replace(x=case.x[:4], dy=case.dy[:4]), case.replace(x=case.x[4:], dy=case.dy[4:])
    _, middle, first_tape = forward(first, packed)
    second = second.replace(state=middle)
    _, _, second_tape = forward(second, packed)
    dx_second, dmiddle, _ = backward(second, second_tape, packed)
    dx_first, dstate, _ = backward(first.replace(dstate_n=dmiddle), first_tape, packed)
    assert np.concatenate([dx_first, dx_second]).tobytes() == whole["dx"].tobytes()
    for letter, got in zip("hc", dstate, strict=False):
        assert got.tobytes() == whole[f"d{letter}0"].tobytes()


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_is_ignored(variant):
    case = make_case(variant, (6, 5, 4, 19), precision="bfloat16", ragged=True)
    wanted = both_passes(case)
    padding = np.arange(6)[:, None] >= case.lengths
    x, dy = case.x.copy(), case.dy.copy()
    x[padding] = dy[padding] = np.nan
    assert_same_bits(both_passes(case.replace(x=x, dy=dy)), wanted)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_gradient_of_nan_stays_in_its_sequence(variant):
    case = make_case(variant, (4, 5, 9, 17), precision="bfloat16")
    clean, dy = both_passes(case), case.dy.copy()
    dy[2, 3] = np.nan
    got = both_passes(case.replace(dy=dy))
    others = np.arange(5) != 3
    for name, axis in (("dx", 1), ("dh0", 0)):
        parts = [np.ascontiguousarray(np.compress(others, results[name], axis)) for results in (got, clean)]
        assert parts[0].tobytes() == parts[1].tobytes()
    assert np.isnan(got["dweight_ih"]).any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_layers_backwards_in_one_call_are_two_calls(variant):
    first = make_case(variant, (9, 5, 17, 33), precision="bfloat16")
    second = make_case(variant, (9, 5, 33, 21), precision="bfloat16")
    packed = [pack(first), pack(second)]
    results = kernels.recurrent_forward(packed, first.x, [first.state, second.state], training=True)
    tapes = [tape for _, _, tape in results]
    gradients = [zero_gradients(first), zero_gradients(second)]
    dstates = [first.dstate_n, second.dstate_n]
    (dx, _), *_ = kernels.recurrent_backward(packed, tapes, second.dy, dstates, gradients, True)
    dh, _, dweights = backward(second.replace(x=tapes[1].x), tapes[1])
    dx_, _, dweights_ = backward(first.replace(dy=dh), tapes[0])
    assert dx.tobytes() == dx_.tobytes()
    for got, wanted in zip(
        (g for one in gradients for g in one.values()), (*dweights_, *dweights), strict=True
    ):
        assert got.tobytes() == wanted.tobytes()
