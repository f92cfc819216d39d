"""Layers and directions that run concurrently yield the same bits as passes run in turn."""

from typing import Any

import numpy as np
import pytest

from kernel_cases import assert_same_bits, kernels, named, pack, with_threads, zero_gradients
from recurrent_cases import VARIANTS, Case, make_case

#: T, N, H: few rows, so that layers form a wavefront; and enough work for more than one thread.
SIZES = {"one row": (400, 1, 37), "two rows": (260, 2, 33), "rows enough": (40, 21, 35)}
GIVEN: dict[str, dict[str, Any]] = {"dense": {}, "ragged": {"ragged": True}, "resets": {"resets": True}}


def stack(variant: str, size: tuple[int, int, int], layers: int, **given) -> list[Case]:
    """Make stacked layers of one width; those above the first ignore their x."""
    T, N, H = size
    first = make_case(variant, (T, N, 9, H), dtype="float32", **given)
    above = [make_case(variant, (T, N, H, H), dtype="float32", seed=i) for i in range(1, layers)]
    return [first, *(case.replace(lengths=first.lengths, reset=first.reset) for case in above)]


def run(case: Case, name: str) -> Any:
    return getattr(kernels, f"{case.cell}_{name}")


def every(results, backs, gradients) -> list[dict[str, np.ndarray]]:
    triples = zip(results, backs, gradients, strict=True)
    return [named(*forward, *backward, dweights) for forward, backward, dweights in triples]


def layers_together(cases: list[Case]) -> list[dict[str, np.ndarray]]:
    first, panels, gradients = cases[0], [pack(c) for c in cases], [zero_gradients(c) for c in cases]
    states = [c.state for c in cases]
    results = run(first, "forward_layers")(panels, first.x, states, first.lengths, first.reset, True)
    backs = run(first, "backward_layers")(
        panels,
        [tape for _, _, tape in results],
        cases[-1].dy,
        [c.dstate_n for c in cases],
        gradients,
        True,
    )
    return every(results, backs, gradients)


def layers_in_turn(cases: list[Case]) -> list[dict[str, np.ndarray]]:
    first, panels, gradients = cases[0], [pack(c) for c in cases], [zero_gradients(c) for c in cases]
    results, backs, x = [], [], first.x
    for case, packed in zip(cases, panels, strict=True):
        results.append(run(first, "forward")(packed, x, case.state, first.lengths, first.reset, False, True))
        x = results[-1][0]
    d = cases[-1].dy
    for case, packed, result, into in reversed(list(zip(cases, panels, results, gradients, strict=True))):
        backs.insert(0, run(first, "backward")(packed, result[2], d, case.dstate_n, into, True))
        d = backs[0][0]
    return every(results, backs, gradients)


def directions_together(cases: list[Case]) -> list[dict[str, np.ndarray]]:
    first, panels, gradients = cases[0], [pack(c) for c in cases], [zero_gradients(c) for c in cases]
    states = [c.state for c in cases]
    results = run(first, "forward_directions")(panels, first.x, states, first.lengths, first.reset, True)
    dy = np.concatenate([c.dy for c in cases], axis=2)
    tapes, dstates = [tape for _, _, tape in results], [c.dstate_n for c in cases]
    backs = run(first, "backward_directions")(panels, tapes, dy, dstates, gradients, True)
    return every(results, backs, gradients)


def directions_in_turn(cases: list[Case]) -> list[dict[str, np.ndarray]]:
    results, backs, gradients = [], [], [zero_gradients(c) for c in cases]
    for reverse, case, into in zip((False, True), cases, gradients, strict=True):
        panels = pack(case)
        args = (case.x, case.state, case.lengths, case.reset, reverse, True)
        results.append(run(case, "forward")(panels, *args))
        backs.append(run(case, "backward")(panels, results[-1][2], case.dy, case.dstate_n, into, True))
    return every(results, backs, gradients)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_layers(variant, size, given):
    cases = stack(variant, SIZES[size], 3, **GIVEN[given])
    wanted = with_threads(1, lambda: layers_in_turn(cases))
    for threads in (1, 2, 3, 5):
        for got, one in zip(with_threads(threads, lambda: layers_together(cases)), wanted, strict=True):
            assert_same_bits(got, one)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_directions(variant, size, given):
    T, N, H = SIZES[size]
    one, two = (make_case(variant, (T, N, 9, H), dtype="float32", seed=i, **GIVEN[given]) for i in (0, 1))
    cases = [one, two.replace(x=one.x, lengths=one.lengths, reset=one.reset)]
    wanted = with_threads(1, lambda: directions_in_turn(cases))
    for threads in (1, 2, 3, 4):
        for got, each in zip(with_threads(threads, lambda: directions_together(cases)), wanted, strict=True):
            assert_same_bits(got, each)


def test_gradients_of_float64_layers_and_directions_without_a_state():
    """Check that None means zero states and zero gradients, also in a wavefront."""
    cases = [make_case("gru-after", (300, 1, d, 40), seed=d) for d in (3, 40)]
    panels, first = [pack(c) for c in cases], cases[0]
    results = with_threads(2, lambda: kernels.gru_forward_layers(panels, first.x, None, None, None, True))
    tapes = [tape for _, _, tape in results]
    gradients = [zero_gradients(c) for c in cases]
    args = (panels, tapes, cases[1].dy, None, gradients, True)
    (dx, _), _ = with_threads(2, lambda: kernels.gru_backward_layers(*args))
    zero = tuple(np.zeros_like(part) for part in first.state)
    other = [zero_gradients(c) for c in cases]
    d, _ = kernels.gru_backward(panels[1], tapes[1], cases[1].dy, zero, other[1], True)
    d, _ = kernels.gru_backward(panels[0], tapes[0], d, zero, other[0], True)
    assert np.array_equal(dx, d)
    assert all(
        np.array_equal(a, b) for g, o in zip(gradients, other, strict=True) for a, b in zip(g, o, strict=True)
    )


def test_what_does_not_fit_is_refused():
    case = make_case("lstm", (3, 2, 4, 5), dtype="float32")
    panels, args = pack(case), (None, None, False)
    forward, both = kernels.lstm_forward_layers, kernels.lstm_forward_directions
    with pytest.raises(ValueError, match=r"panels: expected at least one, got 0"):
        forward([], case.x, None, *args)
    with pytest.raises(ValueError, match=r"panels: expected 2, got 1"):
        both([panels], case.x, None, *args)
    with pytest.raises(TypeError, match=r"panels: expected those of gru_pack, got those of lstm_pack"):
        kernels.gru_forward_layers([panels], case.x, None, *args)
    with pytest.raises(TypeError, match=r"states: expected None or a list of 2"):
        both([panels, panels], case.x, [case.state], *args)
    with pytest.raises(ValueError, match=r"x: expected \[T, N, 4\], got \[3, 2, 5\]"):
        forward([panels, panels], case.x, None, *args)
    result = forward([panels], case.x, None, None, None, True)
    tapes, gradients = [result[0][2]], [zero_gradients(case)]
    with pytest.raises(ValueError, match=r"tapes: expected 1, got 0"):
        kernels.lstm_backward_layers([panels], [], case.dy, None, gradients, True)
    with pytest.raises(ValueError, match=r"gradients: expected 1, got 0"):
        kernels.lstm_backward_layers([panels], tapes, case.dy, None, [], True)
    with pytest.raises(ValueError, match=r"dy: expected \[3, 2, 10\], got \[3, 2, 5\]"):
        kernels.lstm_backward_directions([panels] * 2, tapes * 2, case.dy, None, gradients * 2, True)
