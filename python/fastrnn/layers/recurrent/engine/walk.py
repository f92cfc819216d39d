"""How a pass goes through its batch: which rows run when, where they start, what stood a step before."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids

__all__ = ["Walk", "last_steps", "last_steps_backward", "skipped"]


class Walk(NamedTuple):
    """How a pass goes through its batch."""

    state: tuple[Array, ...]
    lengths: Ids | None
    reset: NDArray[np.bool_] | None
    reverse: bool
    segment: Any
    steps: int
    rows: int

    @property
    def first(self) -> int:
        """Number of the first step: more than 0 in a segment of a longer pass."""
        return 0 if self.segment is None else int(self.segment[0])

    @property
    def restart(self) -> tuple[Array, ...]:
        """The state that resets go back to."""
        return self.state if self.segment is None else self.segment[2] or self._zeros

    @property
    def _zeros(self) -> tuple[Array, ...]:
        return tuple(np.zeros_like(part) for part in self.state)

    @property
    def ends(self) -> Ids:
        """Steps that each row runs, [N]."""
        if self.lengths is None:
            return np.full(self.rows, self.steps)
        ends: Ids = np.clip(self.lengths - self.first, 0, self.steps)
        return ends

    @property
    def running(self) -> NDArray[np.bool_] | None:
        """Which rows run at which time, [T, N]; None where all do."""
        return None if self.lengths is None else np.arange(self.steps)[:, None] < self.ends

    @property
    def times(self) -> Ids | None:
        """The step of the walk at each time and row, [T, N]; None where the walk goes with time."""
        if not self.reverse:
            return None
        steps: Ids = np.maximum(self.ends - 1 - np.arange(self.steps)[:, None], 0)
        return steps

    @property
    def starts(self) -> NDArray[np.bool_]:
        """Where a row starts, at its first step or at a reset, [T, N]."""
        first = np.zeros((self.steps, self.rows), np.bool_)
        if self.reverse:
            rows = self.ends > 0
            first[self.ends[rows] - 1, np.arange(self.rows)[rows]] = True
        else:
            first[0] = True
        return first if self.reset is None else first | self.reset

    def before(self, values: Array, first: Array, restart: Array) -> Array:
        """Give `values` of the step before; at a start the rows of `first`, at a reset of `restart`."""
        shifted = np.empty_like(values)
        if self.reverse:
            shifted[:-1], shifted[-1] = values[1:], first
            rows = self.ends > 0
            shifted[self.ends[rows] - 1, np.arange(self.rows)[rows]] = first[rows]
        else:
            shifted[1:], shifted[0] = values[:-1], first
        if self.reset is not None:
            time, row = self.reset.nonzero()
            shifted[time, row] = restart[row]
        return shifted


def _walked(walk: Walk, n: int, y: Array) -> Array:
    """One row's steps in the order of its walk."""
    row = y[: walk.ends[n], n]
    return row[::-1] if walk.reverse else row


def _start_of(walk: Walk, n: int) -> Ids:
    """Of each step of one row's walk, the step of the last reset; -1 where there was none yet."""
    end = int(walk.ends[n])
    start = np.full(end, -1)
    if walk.reset is not None:
        resets = walk.reset[:end, n][::-1] if walk.reverse else walk.reset[:end, n]
        start = np.maximum.accumulate(np.where(resets, np.arange(end), -1))
    return start


def skipped(walk: Walk, y: Array, skip: int) -> Array:
    """What each step's connection over `skip` steps reads, [T, N, P]."""
    past, restart = walk.state[-1], walk.restart[-1]
    result = np.zeros_like(y)
    for n in range(walk.rows):
        steps, start = _walked(walk, n, y), _start_of(walk, n)
        read = np.empty_like(steps)
        for s, since in enumerate(np.arange(len(steps)) - np.maximum(start, 0)):
            read[s] = steps[s - skip] if since >= skip else (restart if start[s] >= 0 else past)[n, since]
        result[: len(steps), n] = read[::-1] if walk.reverse else read
    return result


def last_steps(walk: Walk, y: Array, skip: int) -> Array:
    """The last `skip` outputs of each row, oldest first: the next pass's past."""
    past, restart = walk.state[-1], walk.restart[-1]
    last = np.empty_like(past)
    for n in range(walk.rows):
        steps, start = _walked(walk, n, y), _start_of(walk, n)
        began = int(start[-1]) if len(start) else -1
        before = (restart if began >= 0 else past)[n]
        last[n] = np.concatenate([before, steps[max(began, 0) :]])[-skip:]
    return last


def last_steps_backward(walk: Walk, dy: Array, dlast: Array, drestart: tuple[Array, ...] | None) -> Array:
    """Add the gradient of `last_steps` into dy; gives what falls to the past before the first step."""
    dpast = np.zeros_like(dlast)
    skip = dlast.shape[1]
    for n in range(walk.rows):
        end, start = int(walk.ends[n]), _start_of(walk, n)
        began = int(start[-1]) if end else -1
        ran = min(end - max(began, 0), skip)
        into = dpast if began < 0 or drestart is None else drestart[-1]
        into[n, ran:] += dlast[n, : skip - ran]
        for k in range(ran):
            time = k if walk.reverse else end - 1 - k
            dy[time, n] += dlast[n, skip - 1 - k]
    return dpast
