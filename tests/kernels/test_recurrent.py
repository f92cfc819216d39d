"""Every recurrent kernel against the reference: outputs, tape, last state and all gradients."""

import math

import numpy as np
import pytest

from kernel_cases import (
    MODES,
    PARAMETERS,
    assert_same_bits,
    backward,
    backward_into,
    both_passes,
    expected,
    forward,
    named,
    pack,
    zero_gradients,
)
from recurrent_cases import VARIANTS, make_case

DTYPES = ["float64", "float32"]
FIELD = ((0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0))  # addition in the field of four elements
DOUBLE = (0, 2, 3, 1)  # twice, and three times, each element
TRIPLE = (0, 3, 1, 2)
SIZES = (1, 3, 17, 65)
# 16 of the 4^5 combinations of T, N, D, H and a mode: any two of these take every pair of values.
COVER = [
    (
        (SIZES[a], SIZES[b], SIZES[FIELD[a][b]], SIZES[FIELD[a][DOUBLE[b]]]),
        list(MODES)[FIELD[a][TRIPLE[b]]],
    )
    for a in range(4)
    for b in range(4)
]
WIDTHS = [
    ((4, 5, 15, 130), "dense"),
    ((4, 5, 16, 100), "ids"),
    ((4, 5, 17, 33), "ragged"),
    ((4, 5, 31, 31), "everything"),
    ((4, 5, 33, 17), "dense"),
    ((4, 5, 100, 16), "ragged"),
    ((4, 5, 130, 15), "dense"),
]
BLOCKS = [
    ((3, 2, 3, 520), "everything"),  # a depth of more than 512 in the recurrent product
    ((2, 7, 1030, 24), "dense"),  # in the input product
    ((90, 13, 5, 20), "everything"),  # more than 512 tokens in the sums over time and batch
    ((1100, 1, 4, 7), "dense"),  # more than 1024 steps: several chunks of time
    ((600, 2, 4, 7), "everything"),
]
COMBINATIONS = [
    {"ids": ids, "bias": bias, "ragged": ragged, "resets": resets, "reverse": reverse}
    for ids in (False, True)
    for bias in ("both", "none")
    for ragged in (False, True)
    for resets in (False, True)
    for reverse in (False, True)
]


def name(given):
    """Name a case for pytest: sizes as 4x5x3x6, a combination by its non-default values."""
    if isinstance(given, tuple):
        return "x".join(map(str, given))
    if isinstance(given, dict):
        said = [f"no-{k}" if v == "none" else k for k, v in given.items() if v not in (False, "both")]
        return "-".join(said) or "plain"
    return given


def assert_close(case, got, wanted):
    """Assert equality to 1e-10 of the largest element, in float32 to the error of sums of that many terms."""
    T, N, H = case.dy.shape
    terms = T * N + case.weights[0].shape[1] + H
    assert got.keys() == wanted.keys()
    for key, value in got.items():
        largest = np.abs(wanted[key]).max()
        tolerance = 1e-10 * largest
        if case.dy.dtype == np.float32:
            tolerance = 4 * math.ceil(math.log2(terms)) * np.finfo("f").eps * max(1.0, largest)
        assert value.dtype == case.dy.dtype
        np.testing.assert_allclose(value, wanted[key], rtol=0, atol=tolerance, err_msg=key)


def compare_with_reference(case):
    assert_close(case, both_passes(case), expected(case))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("sizes", "mode"), COVER + WIDTHS + BLOCKS, ids=name)
def test_every_size(sizes, mode, variant, dtype):
    compare_with_reference(make_case(variant, sizes, dtype=dtype, **MODES[mode]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("given", COMBINATIONS, ids=name)
def test_every_combination(given, variant, dtype):
    compare_with_reference(make_case(variant, (7, 5, 4, 19), dtype=dtype, **given))


@pytest.mark.parametrize("bias", ["ih", "hh"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_with_one_bias(variant, bias):
    case = make_case(variant, bias=bias)
    y, (h_n, *_), tape = forward(case)
    y_, (h_n_, *_), tape_ = case.forward()
    assert_close(case, {"y": y, "h_n": h_n}, {"y": y_, "h_n": h_n_})
    if tape.gates is not None:
        assert_close(case, {"gates": tape.gates}, {"gates": tape_.gates})


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_not_given_is_zero(variant):
    case = make_case(variant, ragged=True)
    zero = case.replace(
        state=tuple(np.zeros_like(s) for s in case.state),
        dy=np.zeros_like(case.dy),
        dstate_n=tuple(np.zeros_like(s) for s in case.state),
    )
    without = case.replace(state=None)
    assert_same_bits({"y": forward(without)[0]}, {"y": forward(zero)[0]})
    _, _, tape = forward(case)
    for given in ({"dy": None}, {"dstate_n": None}, {"dy": None, "dstate_n": None}):
        dx, dstate, dweights = backward(case.replace(**given), tape)
        dx_, dstate_, dweights_ = backward(case.replace(**{key: getattr(zero, key) for key in given}), tape)
        for got, wanted in zip((dx, *dstate, *dweights), (dx_, *dstate_, *dweights_), strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_are_added_and_the_tape_is_kept(variant):
    case = make_case(variant, (6, 5, 4, 19), ragged=True, resets=True)
    _, _, tape = forward(case)
    kept = [np.copy(a) for a in (tape.x, tape.y, *tape.state, tape.c, tape.gates) if a is not None]
    _, dstate, dweights = backward(case, tape)
    gradients = [case.random.normal(size=w.shape) for w in case.weights]
    before = [g.copy() for g in gradients]
    by_name = dict(zip(PARAMETERS, gradients, strict=True))
    none, dstate_again = backward_into(by_name, case, tape, pack(case), need_dx=False)
    assert none is None
    for got, start, gradient in zip(gradients, before, dweights, strict=True):
        np.testing.assert_allclose(got, start + gradient, rtol=0, atol=1e-13 * np.abs(got).max())
    for got, wanted in zip(dstate_again, dstate, strict=True):
        np.testing.assert_array_equal(got, wanted)
    after = [a for a in (tape.x, tape.y, *tape.state, tape.c, tape.gates) if a is not None]
    for got, wanted in zip(after, kept, strict=True):
        np.testing.assert_array_equal(got, wanted)


def assert_private_copy(array, given):
    assert np.array_equal(array, given)
    assert not np.shares_memory(array, given)
    assert not array.flags.writeable


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_tape_is_what_was_given_and_made(variant):
    case = make_case(variant, ragged=True, resets=True, reverse=True)
    y, _, tape = forward(case)
    assert tape.x is case.x
    assert tape.y is y
    assert_private_copy(tape.lengths, case.lengths)
    assert_private_copy(tape.reset, case.reset)
    assert tape.reverse
    assert all(a is b for a, b in zip(tape.state, case.state, strict=True))
    assert (tape.c is None) == (case.cell != "lstm")
    assert (tape.gates is None) == (case.cell == "elman")
    assert forward(case, training=False)[2] is None


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_is_ignored(variant, reverse):
    case = make_case(variant, (6, 5, 4, 19), ragged=True, reverse=reverse)
    wanted = both_passes(case)
    padding = np.arange(6)[:, None] >= case.lengths
    x, dy = case.x.copy(), case.dy.copy()
    x[padding] = dy[padding] = np.nan
    assert_same_bits(both_passes(case.replace(x=x, dy=dy)), wanted)
    for key in wanted.keys() & {"y", "c", "gates", "dx"}:
        assert not wanted[key][padding].any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_packed_weights_are_a_snapshot(variant):
    """Change the weights later: neither pass changes, though backward packs only when first called."""
    case = make_case(variant, (3, 4, 5, 33))
    wanted = both_passes(case)
    packed = pack(case)
    for weight in case.weights:
        weight[...] = np.nan
    y, state_n, tape = forward(case, packed)
    gradients = zero_gradients(case)
    dx, dstate = backward_into(gradients, case, tape, packed)
    assert_same_bits(named(y, state_n, tape, dx, dstate, gradients.values()), wanted)
    assert (packed.input_size, packed.hidden_size, packed.dtype) == (5, 33, "float64")
    assert packed.cell == case.cell
    assert packed.nbytes >= sum(w.nbytes for w in case.weights[:2])
