"""Backpropagation through time that keeps states at intervals and makes the rest again when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.layers.base.dropout import DropoutMask
from fastrnn.layers.recurrent.engine.sequence_pass import Batch, columns, merged, unmerged

if TYPE_CHECKING:
    from fastrnn.layers.recurrent.engine.arguments import States
    from fastrnn.layers.recurrent.layer import Recurrent
    from fastrnn.layers.recurrent.shapes import Group

__all__ = ["CheckpointedTape"]


class CheckpointedTape:
    """What ``forward`` keeps for ``backward`` where it was given ``checkpoint_every``.

    It holds the state of each layer before every segment of so many steps; ``backward`` makes one segment's
    gates again at a time, from the last to the first. The gradients are those of a `Tape`, to the last bit.
    Layers of a stack go through a segment together; a bidirectional layer goes alone, and its output is kept.

    Write into none of the arrays that the forward pass was given before ``backward``, which itself leaves
    them as they are and may be called more than once.

    Attributes
    ----------
    checkpoint_every : int
        Steps of a segment, k. `nbytes` falls with 1/k, what ``backward`` makes again grows with k: for one
        sequence of T steps both together are smallest at a k of the order of ``sqrt(T)``.

    References
    ----------
    Chen, Xu, Zhang, Guestrin (2016), "Training Deep Nets with Sublinear Memory Cost". Gruslys, Munos,
    Danihelka, Lanctot, Graves (2016), "Memory-Efficient Backpropagation Through Time".

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.LSTM(3, 20, seed=0)
    >>> x = np.zeros((900, 2, 3), np.float32)
    >>> y, state, tape = rnn.forward(x, checkpoint_every=30)
    >>> tape
    <CheckpointedTape of LSTM(3, 20): 900 steps of 2 sequences, a state kept every 30>
    >>> tape.nbytes, rnn.forward(x)[2].nbytes
    (9280, 864000)
    >>> dx, dstate = rnn.backward(tape, np.ones_like(y))
    """

    __slots__ = ("_levels", "_masks", "_rnn", "checkpoint_every", "learned_state", "rows", "steps")

    def __init__(self, rnn: Recurrent[Any], steps: int, rows: int, checkpoint_every: int) -> None:
        self._rnn = rnn
        self.learned_state = False  # whether the initial state was the layer's own
        self.steps, self.rows = steps, rows
        self.checkpoint_every = checkpoint_every
        # What goes through the batch together: the whole stack, or one layer's two directions side by side.
        self._levels: list[list[Run]] = []
        self._masks: list[DropoutMask | None] = []

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept, without the input of the first layer."""
        inputs = sum(runs[0].x.nbytes for runs in self._levels[1:])
        return inputs + sum(run.nbytes for runs in self._levels for run in runs)

    def _forward(self, panels: list[Any], batch: Batch) -> tuple[Array, States]:
        rnn = self._rnn
        if rnn.directions == 1:
            masks = [self._mask() for _ in panels[1:]]
            run = Run(rnn, 0, panels, batch, masks, self.checkpoint_every, reverse=rnn.variant.reverse)
            self._levels.append([run])
            return run.forward()
        x, finals = batch.x, []
        for index in range(0, len(panels), 2):
            if index > 0:
                self._masks.append(self._mask())
                x = _dropped(x, self._masks[-1], 0, self.steps)
            level = batch._replace(x=x)
            runs = [
                Run(rnn, i, panels[i : i + 1], level, [], self.checkpoint_every, reverse=i > index)
                for i in (index, index + 1)
            ]
            self._levels.append(runs)
            outputs = []
            for run in runs:
                y, final = run.forward()
                outputs.append(y)
                finals += final
            x = merged(rnn, outputs)
        return x, finals

    def _backward(
        self, gradients: list[Group], dy: Array | None, dstates: States | None, need_dx: bool
    ) -> tuple[Array | None, States]:
        rnn = self._rnn
        firsts: States = []
        dx = dy
        for number in range(len(self._levels) - 1, -1, -1):
            if dx is not None and rnn.directions == 2:
                dx = unmerged(rnn, dx)
            below: Array | None = None
            parts: States = []
            for i, run in enumerate(self._levels[number]):
                part = dx if dx is None or rnn.directions == 1 else columns(dx, i)
                one, first = run.backward(gradients, part, dstates, number > 0 or need_dx)
                below = one if below is None or one is None else np.add(below, one, out=below)
                parts += first
            firsts = parts + firsts
            dx = below
            mask = self._masks[number - 1] if number > 0 else None
            if mask is not None and dx is not None:
                dx *= mask.steps(0, self.steps)
        return dx, firsts

    def _mask(self) -> DropoutMask | None:
        rnn = self._rnn
        if rnn.dropout == 0.0:
            return None
        shape = (self.steps, self.rows, rnn.output_size)
        return DropoutMask(shape, rnn.dropout, rnn.dtype, rnn.rng)

    def __repr__(self) -> str:
        kept = f"a state kept every {self.checkpoint_every}"
        return f"<CheckpointedTape of {self._rnn!r}: {self.steps} steps of {self.rows} sequences, {kept}>"


class Run:
    """Layers of one direction on their way through a batch, segment by segment.

    A reverse direction walks from each row's end, so that its segments are steps of that walk, not of time:
    what it reads is put into the order of its walk, and what it gives is put back.
    """

    def __init__(
        self,
        rnn: Recurrent[Any],
        index: int,
        panels: list[Any],
        batch: Batch,
        masks: list[DropoutMask | None],
        every: int,
        reverse: bool = False,
    ) -> None:
        self.rnn, self.index, self.panels, self.masks, self.every = rnn, index, panels, masks, every
        self.x, states, self.lengths, self.reset = batch
        self.reverse = reverse
        own = range(index, index + len(panels))
        self.first: list[Any] = [None if states is None else states[i] for i in own]
        # Of each segment, the state of each layer before it.
        self.starts: list[list[Any]] = []

    @property
    def nbytes(self) -> int:
        kept: list[Array] = [array for start in self.starts[1:] for state in start for array in state]
        return sum(array.nbytes for array in kept)

    def forward(self) -> tuple[Array, States]:
        state = list(self.first)
        total, rows = self.x.shape[:2]
        width = self.rnn.variant.output_size(self.rnn.hidden_size)
        y = np.zeros((total, rows, width), self.rnn.dtype)
        for begin, end in self._segments():
            self.starts.append(list(state))
            part, state, _ = self._run_segment(begin, end, state, training=False)
            self._put(y, part, begin, end)
        return y, state

    def backward(
        self, gradients: list[Group], dy: Array | None, dstates: States | None, need_dx: bool
    ) -> tuple[Array | None, States]:
        rnn, count = self.rnn, len(self.panels)
        gradients = gradients[self.index : self.index + count]
        carried: list[Any] = [None] * count
        if dstates is not None:
            carried = dstates[self.index : self.index + count]
        # What flows back into the very first state from resets.
        back: list[Any] = [None] * count
        if self.reset is not None:
            shapes = rnn.variant.state_shapes(rnn.hidden_size, self.x.shape[1])
            back = [tuple(np.zeros(shape, rnn.dtype) for shape in shapes) for _ in range(count)]
        dx = np.zeros(self.x.shape, rnn.dtype) if need_dx and self.x.ndim == 3 else None
        for (begin, end), start in zip(reversed(self._segments()), reversed(self.starts), strict=True):
            _, _, tapes = self._run_segment(begin, end, start, training=True)
            part = None if dy is None else self._take(dy, begin, end)
            for i in range(count - 1, -1, -1):
                part, carried[i] = rnn._kernels.backward(
                    self.panels[i], tapes[i], part, carried[i], gradients[i], i > 0 or need_dx, back[i]
                )
                if i > 0 and part is not None:
                    part = _dropped(part, self.masks[i - 1], begin, end)
            if dx is not None and part is not None:
                self._put(dx, part, begin, end)
        return dx, carried

    def _run_segment(
        self, begin: int, end: int, state: list[Any], *, training: bool
    ) -> tuple[Array, list[Any], list[Any]]:
        """Run all layers over one segment: y, the states behind it and, in training, the tapes."""
        x = self._take(self.x, begin, end)
        reset = None if self.reset is None else self._take(self.reset, begin, end)
        finals, tapes = [], []
        for i, panels in enumerate(self.panels):
            if i > 0:
                x = _dropped(x, self.masks[i - 1], begin, end)
            segment = (begin, self.x.shape[0], self.first[i])
            x, final, tape = self.rnn._kernels.forward(
                panels, x, state[i], self.lengths, reset, False, training, segment
            )
            finals.append(final)
            tapes.append(tape)
        return x, finals, tapes

    def _segments(self) -> list[tuple[int, int]]:
        total = self.x.shape[0] if self.lengths is None else int(self.lengths.max())
        return [(begin, min(begin + self.every, total)) for begin in range(0, total, self.every)]

    def _take(self, array: Array, begin: int, end: int) -> Array:
        """Steps of the walk, contiguous: array[begin:end] where it goes forward."""
        if not self.reverse:
            return array[begin:end]
        times, _ = self._times(begin, end)
        taken: Array = array[times, np.arange(times.shape[1])]
        return taken

    def _put(self, array: Array, part: Array, begin: int, end: int) -> None:
        """Write steps of the walk back to their times."""
        if not self.reverse:
            array[begin:end] = part
            return
        times, running = self._times(begin, end)
        array[times[running], running.nonzero()[1]] = part[running]

    def _times(self, begin: int, end: int) -> tuple[Ids, NDArray[np.bool_]]:
        """Of steps of a reverse walk, the time in each row, and which rows still run."""
        total, rows = self.x.shape[:2]
        lengths = np.full(rows, total) if self.lengths is None else self.lengths
        times = lengths - 1 - np.arange(begin, end)[:, None]
        return np.maximum(times, 0), times >= 0


def _dropped(x: Array, mask: DropoutMask | None, begin: int, end: int) -> Array:
    return x if mask is None else x * mask.steps(begin, end)
