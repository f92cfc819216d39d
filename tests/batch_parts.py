"""Run a pass over a whole batch and over its parts, and compare them to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from fastrnn.layers.base.batch_rows import batch_rows
from fastrnn.train.example_network import generators_of

#: The first row of each part, and the number of rows, for batches of four rows.
SPLITS = {"two halves": (0, 2, 4), "uneven": (0, 1, 4), "single rows": (0, 1, 2, 3, 4)}
ROWS = 4


def parts(split: str) -> list[slice]:
    """Return the rows of each part of a batch of `ROWS` rows."""
    bounds = SPLITS[split]
    return [slice(first, end) for first, end in pairwise(bounds)]


class Replay:
    """A module's generators, set back to their first state before each pass."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._generators = generators_of(module)
        self._states = [one.bit_generator.state for one in self._generators]

    def whole(self, run: Callable[[], Any]) -> Any:
        """Run without a block, from the first state, and with gradients of zero."""
        self._start()
        return run()

    def part(self, rows: slice, run: Callable[[], Any], total: int = ROWS) -> Any:
        """Run as the pass of some rows."""
        self._start()
        with batch_rows(rows.start, rows.stop - rows.start, total):
            return run()

    def after(self) -> list[str]:
        """Return the states of the generators."""
        return [str(one.bit_generator.state) for one in self._generators]

    def _start(self) -> None:
        self._module.zero_grad()
        for one, state in zip(self._generators, self._states, strict=True):
            one.bit_generator.state = state


def passes(module: Any, forward: tuple[Any, ...], dy: Any, dstate: Any) -> dict[str, tuple[Any, int]]:
    """Run the backward pass; return all arrays of both passes, each with its axis of rows."""
    y, last, tape = forward
    dx, first = module.backward(tape, dy, dstate)
    own = {name: (array, axis) for name, array, axis in arrays_of(tape)}
    return {"y": (y, 1), "last": (last, 1), "dx": (dx, 1), "first": (first, 1), **own}


def rows_of(given: dict[str, Any], rows: slice) -> dict[str, Any]:
    """Return the arguments of a pass for some rows of its batch."""
    axes = {"lengths": 0, "reset": 1, "mask": 1, "state": 1, "targets": 1, "context": -2}
    return {name: taken(value, rows, axes[name]) for name, value in given.items()}


def taken(value: Any, rows: slice, axis: int) -> Any:
    """Return some rows of an array, of a state's arrays, or of None."""
    if value is None or isinstance(value, tuple):
        return value and tuple(taken(one, rows, axis) for one in value)
    return np.ascontiguousarray(np.take(value, np.arange(rows.start, rows.stop), axis))


def same(part: Any, whole: Any, rows: slice, axis: int) -> bool:
    """Return whether an array, or a state's arrays, are those rows of the whole batch's, bit for bit."""
    if part is None or isinstance(part, tuple):
        pairs = zip(part or (), whole or (), strict=True)
        return all(same(one, other, rows, axis) for one, other in pairs)
    expected = taken(whole, rows, axis)
    return part.dtype == expected.dtype and part.tobytes() == expected.tobytes()


def arrays_of(tape: Any) -> Iterator[tuple[str, Any, int]]:
    """Yield each array of a tape that has an axis of rows: its name, itself, the axis."""
    if not hasattr(tape, "dropout"):  # one with checkpoints
        return
    for index, mask in enumerate(tape.dropout):
        yield f"dropout{index}", mask, 1
    for index, layer in enumerate(tape.layers):
        if hasattr(layer, "layers"):  # of a stack
            yield from ((f"{index}.{name}", *more) for name, *more in arrays_of(layer))
            continue
        yield f"x{index}", layer.x, 1
        yield f"y{index}", layer.y, 1
        yield from ((f"{name}{index}", mask, mask.ndim - 2) for name, mask in (layer.options or {}).items())


def assert_sums(sums: dict[str, np.ndarray], whole: dict[str, np.ndarray]) -> None:
    """Check that gradients of the parts add up to the whole batch's, up to rounding."""
    for name, gradient in whole.items():
        tolerance = (1e-4 if gradient.dtype == np.float32 else 1e-11) * max(1.0, float(abs(gradient).max()))
        np.testing.assert_allclose(sums[name], gradient, rtol=0, atol=tolerance, err_msg=name)
