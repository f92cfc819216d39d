"""The step of a stream of one sequence: the bits of whole sequences, and the numbers of the reference."""

import numpy as np
import pytest

from kernel_cases import forward, kernels, pack
from recurrent_cases import VARIANTS, make_case

DTYPES = ["float64", "float32"]
#: One to nine vectors of units: whole ones and parts of one, with 2, 4, 8 or 16 lanes.
WIDTHS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 40, 47, 48, 49, 64, 65, 80, 97, 113, 131]
EVERY_VARIANT = pytest.mark.parametrize("variant", VARIANTS)
BOTH_DTYPES = pytest.mark.parametrize("dtype", DTYPES)


def steps_of(case, copies=1):
    """Return the outputs [T, N, H] and the last state of a stream of the sequence, or of copies of it."""
    stream = kernels.Stream([pack(case)], copies)
    stream.set_state([tuple(np.repeat(part, copies, 0) for part in case.state)])
    return np.array([stream.step(np.repeat(x, copies, 0)) for x in case.x]), stream.get_state()[0]


def assert_the_bits_of_the_whole_sequence(case):
    y, state_n, _ = forward(case)
    steps, state = steps_of(case)
    assert steps.tobytes() == y.tobytes()
    assert [part.tobytes() for part in state] == [part.tobytes() for part in state_n]


@pytest.mark.parametrize("inputs", [1, 19])
@pytest.mark.parametrize("ids", [False, True], ids=["dense", "ids"])
@BOTH_DTYPES
@EVERY_VARIANT
def test_any_width_has_the_bits_of_whole_sequences(variant, dtype, ids, inputs):
    for width in WIDTHS:
        case = make_case(variant, (4, 1, inputs, width), dtype=dtype, ids=ids)
        if ids:
            case.x[1] = -1  # zeros
        assert_the_bits_of_the_whole_sequence(case)


@pytest.mark.parametrize("scale", [20, 1e3, 1e30])
@BOTH_DTYPES
@EVERY_VARIANT
def test_arguments_that_need_bounds_have_the_same_bits(variant, dtype, scale):
    """The step leaves out the bounds of activations where it can; here it must not in some or all units."""
    for width in (5, 16, 40):
        case = make_case(variant, (5, 1, 3, width), dtype=dtype)
        weights = tuple(np.asarray(w * scale, dtype) for w in case.weights)
        case = case.replace(
            weights=weights, state=tuple(np.asarray(part * scale, dtype) for part in case.state)
        )
        assert_the_bits_of_the_whole_sequence(case)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e-310, 5e-324])
@BOTH_DTYPES
@EVERY_VARIANT
def test_what_is_no_normal_number_has_the_same_bits(variant, dtype, value):
    case = make_case(variant, (4, 1, 3, 21), dtype=dtype)
    case.x[1, 0, 1] = value
    for part in case.state:
        part[0, 4] = value
    assert_the_bits_of_the_whole_sequence(case)


@BOTH_DTYPES
@EVERY_VARIANT
def test_a_sequence_alone_and_beside_others(variant, dtype):
    case = make_case(variant, (4, 1, 6, 37), dtype=dtype)
    alone, state = steps_of(case)
    together, states = steps_of(case, 3)
    assert together.tobytes() == np.repeat(alone, 3, 1).tobytes()
    assert all(np.repeat(a, 3, 0).tobytes() == b.tobytes() for a, b in zip(state, states, strict=True))


@pytest.mark.parametrize("bias", ["both", "ih", "hh", "none"])
@EVERY_VARIANT
def test_the_numbers_of_the_reference(variant, bias):
    for width in (1, 9, 40):
        case = make_case(variant, (6, 1, 5, width), bias=bias)
        y, state_n, _ = case.forward()
        steps, state = steps_of(case)
        np.testing.assert_allclose(steps, y, rtol=1e-12, atol=1e-13)
        for part, wanted in zip(state, state_n, strict=True):
            np.testing.assert_allclose(part, wanted, rtol=1e-12, atol=1e-13)


def test_layers_on_each_other():
    """The lower layer's output is the next one's input in the same step; each cell follows each other."""
    for below in VARIANTS:
        for above in VARIANTS:
            first = make_case(below, (5, 1, 3, 18), dtype="float32")
            second = make_case(above, (5, 1, 18, 9), dtype="float32", seed=1)
            second = second.replace(x=np.ascontiguousarray(forward(first)[0]))
            stream = kernels.Stream([pack(first), pack(second)], 1)
            stream.set_state([first.state, second.state])
            y = np.array([stream.step(x) for x in first.x])
            assert y.tobytes() == forward(second)[0].tobytes()
