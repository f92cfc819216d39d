"""Masks with holes: which steps of a batch count, and the packed batch in which they stand side by side.

A masked step carries the state on, so that a row's counted steps alone, moved to its front, are the same
sequence: a ragged batch whose lengths are the numbers of counted steps. Its outputs go back to their times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn._memory import FEWER_TOKENS, named_memory

__all__ = ["Packing", "pack_resets", "packing_of"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the counted steps of a batch stand in the packed one, and where its outputs go.

    Attributes
    ----------
    steps : int
        T of the batch as the user passed it.
    lengths : ndarray, int64 [N]
        Counted steps of each row.
    times : ndarray, int64 [S, N], or None
        The time of each step of the packed batch, S the most counted steps of a row; 0 after a row's end.
        None if the counted steps of all rows are at the front already: S = T, and nothing moves.
    own : ndarray, int64 [T, N]
        The packed step of each time, -1 where it does not count.
    outputs : tuple of (ndarray, int64 [T, N], or None)
        For a forward and a reverse direction: the packed step whose output stands at each time, -1 for zero;
        None if the outputs of the packed batch are in place.
    """

    steps: int
    lengths: Ids
    times: Ids | None
    own: Ids
    outputs: tuple[Ids | None, Ids | None]

    def pack(self, name: str, array: Array) -> Array:
        """Return the counted steps [S, N, ...] of an array [T, N, ...]; ids elsewhere are -1."""
        if self.times is None and array.dtype.kind != "i":
            return array
        rows = np.arange(array.shape[1])
        with named_memory(name, FEWER_TOKENS):
            packed: Array = array.copy() if self.times is None else array[self.times, rows]
        if packed.dtype.kind == "i":  # nothing there is read
            packed[np.arange(len(packed))[:, None] >= self.lengths] = -1
        packed.flags.writeable = False
        return packed

    def unpack(self, name: str, packed: Array) -> Array:
        """Return an array [T, N, ...] with values of the packed batch at their times, and zeros elsewhere."""
        return packed if self.times is None else _taken(name, packed, self.own)

    def spread(self, outputs: list[Array], *, reverse: bool) -> list[Array]:
        """Return the outputs [T, N, P] of one direction, or of both, from those of the packed batch."""
        result = []
        for i, packed in enumerate(outputs):
            at = self.outputs[int(reverse or i == 1)]
            result.append(packed if at is None else _taken("y", packed, at))
        return result

    def collect(self, dy: Array, *, directions: int, reverse: bool) -> Array:
        """Return the gradients of the packed outputs from those of `spread`, side by side if two."""
        if directions == 1:
            return self._collected(dy, self.outputs[int(reverse)])
        width = dy.shape[2] // 2
        halves = [self._collected(dy[..., i * width : (i + 1) * width], self.outputs[i]) for i in (0, 1)]
        with named_memory("dy", FEWER_TOKENS):
            return np.concatenate(halves, axis=2)

    def _collected(self, dy: Array, at: Ids | None) -> Array:
        if at is None:
            return dy
        rows = np.arange(dy.shape[1])
        with named_memory("dy", FEWER_TOKENS):
            packed = dy.copy() if self.times is None else dy[self.times, rows]
        repeated = (at >= 0) & (self.own < 0)
        for t in np.flatnonzero(repeated.any(axis=1)):
            (which,) = repeated[t].nonzero()
            packed[at[t, which], which] += dy[t, which]
        return packed


def packing_of(counted: Mask, lengths: Ids | None, *, zero_masked: bool) -> Packing:
    """Return the packing of a mask [T, N] within the lengths of the rows.

    `zero_masked`: the output of a masked step is zero, else that of the counted step before it in the
    direction's order, zero if there is none.
    """
    steps, rows = counted.shape
    inside = np.ones_like(counted) if lengths is None else np.arange(steps)[:, None] < lengths
    counted = counted & inside
    through = counted.cumsum(axis=0)  # counted steps up to this one
    counts: Ids = through[-1].astype(np.int64) if steps else np.zeros(rows, np.int64)
    own: Ids = np.where(counted, through - 1, -1)
    prefix = np.arange(steps)[:, None] < counts
    times: Ids | None = None
    if not np.array_equal(prefix, counted):
        times = np.zeros((int(counts.max(initial=0)), rows), np.int64)
        t, n = counted.nonzero()
        times[own[t, n], n] = t
    if zero_masked:
        forward = reverse = own
    else:
        forward = np.where(inside, through - 1, -1)
        reverse = np.where(inside & (through - counted < counts), through - counted, -1)
    if times is None:  # the packed outputs are zero after each row's end
        places = [None if np.array_equal(at, own) else at for at in (forward, reverse)]
    else:
        places = [forward, reverse]
    return Packing(steps, counts, times, own, (places[0], places[1]))


def pack_resets(packing: Packing, reset: Mask, *, directions: int, reverse: bool) -> Mask:
    """Return the resets of the packed batch: one at a masked step is that of the row's next counted step.

    Raises
    ------
    ValueError
        If there is one between two counted steps and there are two directions, whose next steps differ.
    """
    if packing.times is None:
        return reset
    counted = packing.own >= 0
    through = counted.cumsum(axis=0)
    between = reset & ~counted & (through > 0) & (through < packing.lengths)
    if directions == 2 and between.any():
        t, n = np.argwhere(between)[0]
        raise ValueError(
            f"reset: expected false at masked steps for a bidirectional layer, got true at [{t}, {n}]; "
            "set it at a counted step"
        )
    if directions == 2:  # those before the first or after the last counted step: in its order, each direction
        reset = reset & counted  # has them before it starts, or after it has ended
    last = np.zeros((1, reset.shape[1]), np.int64)
    if reverse:
        after = np.concatenate([reset[::-1].cumsum(axis=0)[::-1], last])  # resets from each step on
        here, before = packing.times, np.concatenate([packing.times[1:], last])
        before[packing.lengths - 1, np.arange(before.shape[1])] = packing.steps
        sums = after
    else:
        sums = np.concatenate([last, reset.cumsum(axis=0)])  # resets before each step
        here = packing.times + 1
        before = np.concatenate([last, here[:-1]])
    rows = np.arange(reset.shape[1])
    moved: Mask = sums[here, rows] > sums[before, rows]
    moved &= np.arange(len(moved))[:, None] < packing.lengths
    moved.flags.writeable = False
    return moved


@named_memory("y", FEWER_TOKENS)
def _zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    return np.zeros(shape, dtype)


def _taken(name: str, packed: Array, at: Ids) -> Array:
    """Return the packed step `at` of each time and row, zero where it is -1."""
    if not len(packed):
        return _zeros((*at.shape, *packed.shape[2:]), packed.dtype)
    with named_memory(name, FEWER_TOKENS):
        result: Array = packed[np.maximum(at, 0), np.arange(at.shape[1])]
    result[at < 0] = 0
    return result
