"""Layers and directions that run concurrently yield the same bits as passes run in turn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kernel_cases import (
    assert_same_bits,
    backward_into,
    forward,
    kernels,
    named,
    pack,
    with_threads,
    zero_gradients,
)
from recurrent_cases import VARIANTS, Case, make_case

#: T, N, H: few rows, so that layers form a wavefront; and enough work for more than one thread.
SIZES = {"one row": (400, 1, 37), "two rows": (260, 2, 33), "rows enough": (40, 21, 35)}
GIVEN: dict[str, dict[str, Any]] = {"dense": {}, "ragged": {"ragged": True}, "resets": {"resets": True}}


#: Different cells one above the other.
MIXED = ("gru-after", "lstm", "elman-relu", "gru-before")


def stack(variants: Sequence[str], size: tuple[int, int, int], **given) -> list[Case]:
    """Make stacked layers of one width; those above the first ignore their x."""
    T, N, H = size
    first = make_case(variants[0], (T, N, 9, H), dtype="float32", **given)
    above = [make_case(v, (T, N, H, H), dtype="float32", seed=i) for i, v in enumerate(variants[1:], 1)]
    return [first, *(case.replace(lengths=first.lengths, reset=first.reset) for case in above)]


def every(results, backs, gradients) -> list[dict[str, np.ndarray]]:
    triples = zip(results, backs, gradients, strict=True)
    return [named(*forward, *backward, dweights.values()) for forward, backward, dweights in triples]


def together(cases: list[Case], dy: np.ndarray, directions: int) -> list[dict[str, np.ndarray]]:
    first, packed, gradients = cases[0], [pack(c) for c in cases], [zero_gradients(c) for c in cases]
    states, dstates = [c.state for c in cases], [c.dstate_n for c in cases]
    given = (packed, first.x, states, first.lengths, first.reset, True, False, directions)
    results = kernels.recurrent_forward(*given)
    tapes = [tape for _, _, tape in results]
    backs = kernels.recurrent_backward(packed, tapes, dy, dstates, gradients, True, directions)
    return every(results, backs, gradients)


def layers_together(cases: list[Case]) -> list[dict[str, np.ndarray]]:
    return together(cases, cases[-1].dy, 1)


def layers_in_turn(cases: list[Case]) -> list[dict[str, np.ndarray]]:
    first, packed, gradients = cases[0], [pack(c) for c in cases], [zero_gradients(c) for c in cases]
    results, backs, x = [], [], first.x
    for case, one in zip(cases, packed, strict=True):
        results.append(forward(case.replace(x=x, lengths=first.lengths, reset=first.reset), one))
        x = results[-1][0]
    d = cases[-1].dy
    for case, one, result, into in reversed(list(zip(cases, packed, results, gradients, strict=True))):
        backs.insert(0, backward_into(into, case.replace(dy=d), result[2], one))
        d = backs[0][0]
    return every(results, backs, gradients)


def directions_together(cases: list[Case]) -> list[dict[str, np.ndarray]]:
    return together(cases, np.concatenate([c.dy for c in cases], axis=2), 2)


def directions_in_turn(cases: list[Case]) -> list[dict[str, np.ndarray]]:
    results, backs, gradients = [], [], [zero_gradients(c) for c in cases]
    for reverse, case, into in zip((False, True), cases, gradients, strict=True):
        packed = pack(case)
        results.append(forward(case.replace(reverse=reverse), packed))
        backs.append(backward_into(into, case, results[-1][2], packed))
    return every(results, backs, gradients)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_layers(variant, size, given):
    assert_layers_together_and_in_turn(stack([variant] * 3, SIZES[size], **GIVEN[given]))


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cells", [("gru-after", "lstm"), MIXED, MIXED[::-1]], ids="-".join)
def test_layers_of_different_cells(cells, size, given):
    assert_layers_together_and_in_turn(stack(cells, SIZES[size], **GIVEN[given]))


def assert_layers_together_and_in_turn(cases):
    wanted = with_threads(1, lambda: layers_in_turn(cases))
    for threads in (1, 2, 3, 5):
        for got, one in zip(with_threads(threads, lambda: layers_together(cases)), wanted, strict=True):
            assert_same_bits(got, one)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("variants", [*((v, v) for v in VARIANTS), ("lstm", "gru-after")], ids="-".join)
def test_directions(variants, size, given):
    T, N, H = SIZES[size]
    one, two = (
        make_case(variant, (T, N, 9, H), dtype="float32", seed=i, **GIVEN[given])
        for i, variant in enumerate(variants)
    )
    cases = [one, two.replace(x=one.x, lengths=one.lengths, reset=one.reset)]
    wanted = with_threads(1, lambda: directions_in_turn(cases))
    for threads in (1, 2, 3, 4):
        for got, each in zip(with_threads(threads, lambda: directions_together(cases)), wanted, strict=True):
            assert_same_bits(got, each)


def test_gradients_of_float64_layers_and_directions_without_a_state():
    """Check that None means zero states and zero gradients, also in a wavefront."""
    cases = [make_case("gru-after", (300, 1, d, 40), seed=d) for d in (3, 40)]
    packed, first = [pack(c) for c in cases], cases[0]
    results = with_threads(2, lambda: kernels.recurrent_forward(packed, first.x, training=True))
    tapes = [tape for _, _, tape in results]
    gradients = [zero_gradients(c) for c in cases]
    args = (packed, tapes, cases[1].dy, None, gradients, True)
    (dx, _), _ = with_threads(2, lambda: kernels.recurrent_backward(*args))
    zero = tuple(np.zeros_like(part) for part in first.state)
    other = [zero_gradients(c) for c in cases]
    d = cases[1].dy
    for i in (1, 0):
        d, _ = backward_into(other[i], cases[i].replace(dy=d, dstate_n=zero), tapes[i], packed[i])
    assert np.array_equal(dx, d)
    for got, wanted in zip(gradients, other, strict=True):
        assert_same_bits(got, wanted)


def test_what_does_not_fit_is_refused():
    case = make_case("lstm", (3, 2, 4, 5), dtype="float32")
    packed, wide = pack(case), pack(make_case("gru-after", (1, 1, 5, 5)))
    run_forward, run_backward = kernels.recurrent_forward, kernels.recurrent_backward
    with pytest.raises(ValueError, match="packed: expected at least one, got 0"):
        run_forward([], case.x)
    for wrong in ([packed], [packed] * 3):
        with pytest.raises(ValueError, match=f"packed: expected 2, got {len(wrong)}"):
            run_forward(wrong, case.x, directions=2)
    with pytest.raises(ValueError, match="directions: expected 1 or 2, got 3"):
        run_forward([packed] * 3, case.x, directions=3)
    for other, kind in ((wide, "Packed64"), (None, "NoneType")):
        with pytest.raises(TypeError, match=f"packed: expected weights of float32 .* got {kind}"):
            run_forward([packed, other], case.x)
    for name in ("states", "options", "restarts"):
        with pytest.raises(TypeError, match=f"{name}: expected None or a list of 2"):
            run_forward([packed, packed], case.x, directions=2, **{name: [None]})
    with pytest.raises(ValueError, match=r"x: expected \[T, N, 4\], got \[3, 2, 5\]"):
        run_forward([packed, packed], case.x)
    result = run_forward([packed], case.x, training=True)
    tapes, gradients = [result[0][2]], [zero_gradients(case)]
    with pytest.raises(ValueError, match="packed: expected at least one, got 0"):
        run_backward([], tapes, case.dy, None, gradients, True)
    with pytest.raises(ValueError, match="tapes: expected 1, got 0"):
        run_backward([packed], [], case.dy, None, gradients, True)
    with pytest.raises(ValueError, match="gradients: expected 1, got 0"):
        run_backward([packed], tapes, case.dy, None, [], True)
    with pytest.raises(
        TypeError, match=r"tapes: expected tapes that recurrent_forward returned, got NoneType"
    ):
        run_backward([packed], [None], case.dy, None, gradients, True)
    with pytest.raises(TypeError, match="dstates: expected None or a list of 1"):
        run_backward([packed], tapes, case.dy, case.dstate_n, gradients, True)
    with pytest.raises(ValueError, match=r"dy: expected \[3, 2, 10\], got \[3, 2, 5\]"):
        run_backward([packed] * 2, tapes * 2, case.dy, None, gradients * 2, True, 2)
