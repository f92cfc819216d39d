"""Backpropagation through time that keeps states at intervals and makes the rest again when it is needed."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.layers.base.dropout import DropoutMask
from fastrnn.layers.recurrent.engine.arguments import Batch, States
from fastrnn.layers.recurrent.engine.packed import for_pass
from fastrnn.layers.recurrent.engine.sequence_pass import columns, kernels_of, merged, unmerged
from fastrnn.layers.recurrent.engine.tape import Tape
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

__all__ = ["AnyTape", "CheckpointedTape", "backward_segments", "forward_segments"]


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

    __slots__ = (
        "_levels",
        "_masks",
        "_owner",
        "_spec",
        "checkpoint_every",
        "learned_state",
        "rows",
        "steps",
    )

    def __init__(self, spec: RecurrentSpec, steps: int, rows: int, checkpoint_every: int) -> None:
        self._owner: object = None  # the layer whose pass it was
        self._spec = spec
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

    def __repr__(self) -> str:
        kept = f"a state kept every {self.checkpoint_every}"
        return f"<CheckpointedTape of {self._owner!r}: {self.steps} steps of {self.rows} sequences, {kept}>"


# What a forward pass in training may leave.
AnyTape: TypeAlias = Tape | CheckpointedTape


def forward_segments(
    spec: RecurrentSpec, packed: list[Any], batch: Batch, rng: np.random.Generator, checkpoint_every: int
) -> tuple[Array, States, CheckpointedTape]:
    """Do what `forward` does, keeping only the states before every so many steps."""
    packed = for_pass(spec, packed, batch.context, rng)
    steps, rows = batch.x.shape[:2]
    tape = CheckpointedTape(spec, steps, rows, checkpoint_every)

    def mask() -> DropoutMask | None:
        shape = (tape.steps, tape.rows, spec.output_size)
        return DropoutMask(shape, spec.dropout, spec.dtype, rng) if spec.dropout else None

    if spec.directions == 1:
        masks = [mask() for _ in packed[1:]]
        run = Run(spec, 0, packed, batch, masks, checkpoint_every, reverse=spec.options.reverse)
        tape._levels.append([run])
        return *run.forward(), tape
    x, finals = batch.x, []
    for index in range(0, len(packed), 2):
        if index > 0:
            tape._masks.append(mask())
            x = _dropped(x, tape._masks[-1], 0, tape.steps)
        level = batch._replace(x=x)
        runs = [
            Run(spec, i, packed[i : i + 1], level, [], checkpoint_every, reverse=i > index)
            for i in (index, index + 1)
        ]
        tape._levels.append(runs)
        outputs = []
        for run in runs:
            y, final = run.forward()
            outputs.append(y)
            finals += final
        x = merged(spec, outputs)
    return x, finals, tape


def backward_segments(
    tape: CheckpointedTape, gradients: list[Group], dy: Array | None, dstates: States | None, need_dx: bool
) -> tuple[Array | None, States]:
    """Do what `backward` does, running each segment again."""
    both = tape._spec.directions == 2
    firsts: States = []
    dx = dy
    for number in range(len(tape._levels) - 1, -1, -1):
        if dx is not None and both:
            dx = unmerged(tape._spec, dx)
        below: Array | None = None
        parts: States = []
        for i, run in enumerate(tape._levels[number]):
            part = columns(dx, i) if both and dx is not None else dx
            one, first = run.backward(gradients, part, dstates, number > 0 or need_dx)
            below = one if below is None or one is None else np.add(below, one, out=below)
            parts += first
        firsts = parts + firsts
        dx = below
        mask = tape._masks[number - 1] if number > 0 else None
        if mask is not None and dx is not None:
            dx *= mask.steps(0, tape.steps)
    return dx, firsts


class Run:
    """Layers of one direction on their way through a batch, segment by segment.

    A reverse direction walks from each row's end, so that its segments are steps of that walk, not of time:
    what it reads is put into the order of its walk, and what it gives is put back.
    """

    def __init__(
        self,
        spec: RecurrentSpec,
        index: int,
        packed: list[Any],
        batch: Batch,
        masks: list[DropoutMask | None],
        every: int,
        reverse: bool = False,
    ) -> None:
        self.spec, self.index, self.packed, self.masks, self.every = spec, index, packed, masks, every
        self.x, self.lengths, self.reset = batch.x, batch.lengths, batch.reset
        self.reverse = reverse
        self.first: list[Any] = [batch.state(i) for i in range(index, index + len(packed))]
        # Of each segment, the state of each layer before it.
        self.starts: list[list[Any]] = []

    @property
    def nbytes(self) -> int:
        kept: list[Array] = [array for start in self.starts[1:] for state in start for array in state]
        return sum(array.nbytes for array in kept)

    def forward(self) -> tuple[Array, States]:
        state = list(self.first)
        total, rows = self.x.shape[:2]
        y = np.zeros((total, rows, self.spec.h_size), self.spec.dtype)
        for begin, end in self._segments():
            self.starts.append(list(state))
            part, state, _ = self._run_segment(begin, end, state, training=False)
            self._put(y, part, begin, end)
        return y, state

    def backward(
        self, gradients: list[Group], dy: Array | None, dstates: States | None, need_dx: bool
    ) -> tuple[Array | None, States]:
        count, kernels = len(self.packed), kernels_of(self.spec)
        gradients = gradients[self.index : self.index + count]
        carried: list[Any] = [None] * count
        if dstates is not None:
            carried = dstates[self.index : self.index + count]
        # What flows back into the very first state from resets.
        back: list[Any] = [None] * count
        if self.reset is not None:
            back = [self.spec.zero_state(self.x.shape[1]) for _ in range(count)]
        dx = np.zeros(self.x.shape, self.spec.dtype) if need_dx and self.x.ndim == 3 else None
        for (begin, end), start in zip(reversed(self._segments()), reversed(self.starts), strict=True):
            _, _, tapes = self._run_segment(begin, end, start, training=True)
            part = None if dy is None else self._take(dy, begin, end)
            for i in range(count - 1, -1, -1):
                part, carried[i] = kernels.backward(
                    self.packed[i], tapes[i], part, carried[i], gradients[i], i > 0 or need_dx, back[i]
                )
                if i > 0 and part is not None:
                    part = _dropped(part, self.masks[i - 1], begin, end)
            if dx is not None and part is not None:
                self._put(dx, part, begin, end)
        return dx, carried

    def _run_segment(
        self, begin: int, end: int, state: list[Any], *, training: bool
    ) -> tuple[Array, list[Any], list[Any]]:
        """Run all layers over one segment: y, the states after it and, in training, the tapes."""
        x = self._take(self.x, begin, end)
        reset = None if self.reset is None else self._take(self.reset, begin, end)
        finals, tapes, kernels = [], [], kernels_of(self.spec)
        for i, packed in enumerate(self.packed):
            if i > 0:
                x = _dropped(x, self.masks[i - 1], begin, end)
            segment = (begin, self.x.shape[0], self.first[i])
            x, final, tape = kernels.forward(
                packed, x, state[i], self.lengths, reset, False, training, segment
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
