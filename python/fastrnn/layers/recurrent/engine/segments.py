"""Backpropagation through time with checkpoints: keeps states at intervals and recomputes the rest."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn._dispatch import kernels
from fastrnn._memory import FEWER_TOKENS, named_memory
from fastrnn.layers.base.dropout import DropoutMask
from fastrnn.layers.base.kept import Kept, frozen
from fastrnn.layers.recurrent.engine.arguments import Batch, States
from fastrnn.layers.recurrent.engine.masks import Packing
from fastrnn.layers.recurrent.engine.packed import PassWeights, option_arrays
from fastrnn.layers.recurrent.engine.sequence_pass import (
    add_dropped_weight_gradients,
    columns,
    dropped_weight_gradients,
    incoming,
    joined,
)
from fastrnn.layers.recurrent.engine.tape import Tape
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

__all__ = ["AnyTape", "CheckpointedTape", "backward_segments", "forward_segments"]


class CheckpointedTape(Kept):
    """What ``forward`` with ``checkpoint_every`` keeps for ``backward``.

    It holds the state of each layer before every segment of k steps; ``backward`` recomputes one segment at a
    time, from the last to the first. The gradients are those of a `Tape`, to the last bit. Layers of a stack
    run a segment together; a bidirectional layer runs alone, and its output is kept.

    It cannot change, as a `Tape`, and ``backward`` may be called more than once.

    Attributes
    ----------
    checkpoint_every : int
        k, the steps of a segment. `nbytes` falls with 1/k, and what ``backward`` recomputes grows with k: for
        one sequence of T steps the sum is smallest for a k of the order of ``sqrt(T)``.

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
        "_weights",
        "alone",
        "checkpoint_every",
        "learned_state",
        "packing",
        "rows",
        "steps",
    )

    def __init__(
        self, spec: RecurrentSpec, weights: PassWeights, steps: int, rows: int, checkpoint_every: int
    ) -> None:
        self._owner: Any = None  # the layer whose pass it was
        self._spec, self._weights = spec, weights
        self.learned_state: bool = False  # whether the initial state was the layer's own
        self.alone: bool = False  # whether x had no axis N
        self.packing: Packing | None = None
        self.steps: int = steps
        self.rows: int = rows
        self.checkpoint_every: int = checkpoint_every
        self._levels: list[list[Run]] = []  # what runs together: all layers, or the two directions of one
        self._masks: list[DropoutMask | None] = []

    @property
    def nbytes(self) -> int:
        """Bytes of everything kept, without the input of the first layer."""
        inputs = sum(runs[0].x.nbytes for runs in self._levels[1:])
        return inputs + sum(run.nbytes for runs in self._levels for run in runs)

    @property
    def context_shape(self) -> tuple[int, ...] | None:
        """The shape of the pass's context, [N, C] or [T, N, C]; None without one."""
        context = self._levels[0][0].batch.context
        return None if context is None else context.shape

    def __reduce__(self) -> tuple[Any, ...]:
        owner = self._owner
        runs = [[(r.layers, r.batch, r.masks, r.reverse, r.starts) for r in level] for level in self._levels]
        shape = (self.steps, self.rows, self.checkpoint_every)
        flags = (self.learned_state, self.alone, self.packing)
        kept = owner._weights.pickled(self._weights)
        return _restored, (owner, kept, shape, runs, self._masks, flags)

    def __repr__(self) -> str:
        kept = f"a state kept every {self.checkpoint_every}"
        return f"<CheckpointedTape of {self._owner!r}: {self.steps} steps of {self.rows} sequences, {kept}>"


def _restored(
    owner: Any,
    kept: PassWeights,
    shape: tuple[int, int, int],
    runs: list[list[tuple[Any, ...]]],
    masks: list[DropoutMask | None],
    flags: tuple[bool, bool, Packing | None],
) -> CheckpointedTape:
    """Return a pickled tape."""
    tape = CheckpointedTape(owner.spec, owner._weights.restored(kept), *shape)
    tape._owner, tape._masks = owner, masks
    tape.learned_state, tape.alone, tape.packing = flags
    for level in runs:
        tape._levels.append([])
        for layers, batch, own, reverse, starts in level:
            run = Run(tape, layers, batch, own, reverse=reverse)
            run.starts = starts
            tape._levels[-1].append(run)
    return tape


# The tapes that a forward pass may return.
AnyTape: TypeAlias = Tape | CheckpointedTape


def forward_segments(
    spec: RecurrentSpec, weights: PassWeights, batch: Batch, rng: np.random.Generator, checkpoint_every: int
) -> tuple[Array, States, CheckpointedTape]:
    """Do what `forward` does, but keep only the states before every `checkpoint_every` steps."""
    steps, rows = batch.x.shape[:2]
    tape = CheckpointedTape(spec, weights, steps, rows, checkpoint_every)
    tape.packing = batch.packing

    def mask() -> DropoutMask | None:
        shape = (tape.steps, tape.rows, spec.output_size)
        return DropoutMask(shape, spec.dropout, spec.dtype, rng) if spec.dropout else None

    if spec.directions == 1:
        masks = [mask() for _ in range(1, spec.count)]
        run = Run(tape, range(spec.count), batch, masks, reverse=spec.options.reverse)
        tape._levels.append([run])
        y, finals = run.forward()
        return frozen(joined(spec, batch, [y], top=True)), finals, tape
    x, finals = batch.x, []
    for index in range(0, spec.count, 2):
        if index > 0:
            tape._masks.append(mask())
            x = frozen(_dropped(x, tape._masks[-1], 0, tape.steps))
        level = batch._replace(x=x)
        runs = [Run(tape, range(i, i + 1), level, [], reverse=i > index) for i in (index, index + 1)]
        tape._levels.append(runs)
        outputs = []
        for run in runs:
            y, final = run.forward()
            outputs.append(y)
            finals += final
        x = frozen(joined(spec, batch, outputs, top=index + 2 == spec.count))
    return x, finals, tape


def backward_segments(
    tape: CheckpointedTape,
    gradients: list[Group],
    dy: Array | None,
    dstates: States | None,
    need_dx: bool,
    every: States | None = None,
) -> tuple[Array | None, States]:
    """Do what `backward` does, and run each segment forward again first."""
    both = tape._spec.directions == 2
    own = dropped_weight_gradients(tape._weights, gradients)
    firsts: States = []
    dx = dy if dy is None else incoming(tape._spec, tape.packing, dy)
    for number in range(len(tape._levels) - 1, -1, -1):
        below: Array | None = None
        parts: States = []
        for i, run in enumerate(tape._levels[number]):
            part = columns(dx, i) if both and dx is not None else dx
            one, first = run.backward(own, part, dstates, number > 0 or need_dx, every)
            below = one if below is None or one is None else np.add(below, one, out=below)
            parts += first
        firsts = parts + firsts
        dx = below
        mask = tape._masks[number - 1] if number > 0 else None
        if mask is not None and dx is not None:
            dx *= mask.steps(0, tape.steps)
        dx = incoming(tape._spec, None, dx) if number > 0 and dx is not None else dx
    add_dropped_weight_gradients(tape._weights, own, gradients)
    return dx, firsts


class Run:
    """Layers of one direction, run over a batch segment by segment.

    A reverse direction starts at each row's end, so its segments are ranges of its own steps, not of time.
    Inputs are put into the order of its steps, and outputs back into the order of time.
    """

    def __init__(
        self,
        tape: CheckpointedTape,
        layers: range,
        batch: Batch,
        masks: list[DropoutMask | None],
        *,
        reverse: bool,
    ) -> None:
        self.spec, self.weights, self.every = tape._spec, tape._weights, tape.checkpoint_every
        self.layers, self.masks, self.batch, self.reverse = layers, masks, batch, reverse
        self.x, self.lengths, self.reset = batch.x, batch.lengths, batch.reset
        self.first: list[Any] = [None if batch.states is None else batch.states[i] for i in layers]
        # The state of each layer before each segment.
        self.starts: list[list[Any]] = []

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for start in self.starts[1:] for state in start for array in state)

    @named_memory("y", FEWER_TOKENS)
    def forward(self) -> tuple[Array, States]:
        state = list(self.first)
        total, rows = self.x.shape[:2]
        if not self._segments():  # no step to run
            parts = [self.spec.zero_state(rows) if part is None else part for part in state]
            state = [tuple([array.copy() for array in part]) for part in parts]
        y = np.zeros((total, rows, self.spec.h_size), self.spec.dtype)
        for begin, end in self._segments():
            self.starts.append(list(state))
            part, state, _ = self._run_segment(begin, end, state, training=False)
            self._put(y, part, begin, end)
        return y, state

    @named_memory("dx", FEWER_TOKENS)
    def backward(
        self,
        gradients: list[Group],
        dy: Array | None,
        dstates: States | None,
        need_dx: bool,
        every: States | None,
    ) -> tuple[Array | None, States]:
        first, count = self.layers.start, len(self.layers)
        carried: list[Any] = [None] * count
        if dstates is not None:
            carried = dstates[first : first + count]
        if not self._segments():
            parts = [self.spec.zero_state(self.x.shape[1]) if part is None else part for part in carried]
            carried = [tuple([array.copy() for array in part]) for part in parts]
        # The gradient that resets send back to the first state of the whole pass.
        back: list[Any] = [None] * count
        if self.reset is not None:
            back = [self.spec.zero_state(self.x.shape[1]) for _ in range(count)]
        dx = np.zeros(self.x.shape, self.spec.dtype) if need_dx and self.x.ndim == 3 else None
        gradients = [self._with_sums(group) for group in gradients]
        for (begin, end), start in zip(reversed(self._segments()), reversed(self.starts), strict=True):
            _, _, tapes = self._run_segment(begin, end, start, training=True)
            part = None if dy is None else self._take(dy, begin, end)
            for own in reversed(self._together()):
                layers = slice(first + own.start, first + own.stop)
                groups, dcontext = self._of_segment(gradients[layers], begin, end)
                kept = None if every is None else self._parts(every[layers], begin, end)
                results = kernels.recurrent_backward(
                    self.weights.packed[layers],
                    tapes[own],
                    part,
                    carried[own],
                    groups,
                    own.start > 0 or need_dx,
                    1,
                    back[own],
                    kept,
                )
                for whole, some in zip(every[layers] if every else (), kept or (), strict=True):
                    for array, one in zip(whole, some, strict=True):
                        self._put(array, one, begin, end)
                if dcontext is not None:
                    self._put(gradients[layers.start]["context"], dcontext, begin, end)
                part, carried[own] = results[0][0], [state for _, state in results]
                if own.start > 0 and part is not None:
                    part = _dropped(part, self.masks[own.start - 1], begin, end)
            if dx is not None and part is not None:
                self._put(dx, part, begin, end)
        return dx, carried

    def _parts(self, arrays: States, begin: int, end: int) -> States:
        """Return new arrays for some steps of arrays of all steps."""
        return [tuple([np.zeros((end - begin, *a.shape[1:]), a.dtype) for a in parts]) for parts in arrays]

    def _with_sums(self, group: Group) -> Group:
        """Add the sums that all segments add to before they become gradients, as in a whole pass."""
        sums: dict[str, Array] = {}
        if self.spec.options.leak == "shared":
            sums["leak_sum"] = np.zeros(self.spec.hidden_size, self.spec.dtype)
        if "weight_context" in group and self.batch.context is not None and self.batch.context.ndim == 2:
            shape = (self.x.shape[1], group["weight_context"].shape[0])
            sums["context_sum"] = np.zeros(shape, self.spec.dtype)
        return {**group, **sums} if sums else group

    def _run_segment(
        self, begin: int, end: int, state: list[Any], *, training: bool
    ) -> tuple[Array, list[Any], list[Any]]:
        """Run all layers over one segment: y, the states after it and, in training, the tapes."""
        x = self._take(self.x, begin, end)
        reset = None if self.reset is None else self._take(self.reset, begin, end)
        finals, tapes, first = [], [], self.layers.start
        steps = range(begin, end)
        for own in self._together():
            if own.start > 0:
                x = _dropped(x, self.masks[own.start - 1], begin, end)
            layers = slice(first + own.start, first + own.stop)
            results = kernels.recurrent_forward(
                self.weights.packed[layers],
                x,
                state[own],
                self.lengths,
                reset,
                training,
                False,
                1,
                [self._options(i, steps) for i in self.layers[own]],
                (begin, self.x.shape[0]),
                self.first[own],
            )
            x = results[-1][0]
            finals += [final for _, final, _ in results]
            tapes += [tape for _, _, tape in results]
        return x, finals, tapes

    def _options(self, index: int, steps: range) -> dict[str, Array] | None:
        """Return the arrays that the options of one layer need in a segment."""
        arrays = option_arrays(self.spec, self.weights, self.batch, index, steps)
        if self.reverse and arrays is not None and "context" in arrays and arrays["context"].ndim == 3:
            assert self.batch.context is not None
            arrays["context"] = self._take(self.batch.context, steps.start, steps.stop)
        return arrays

    def _of_segment(self, groups: list[Group], begin: int, end: int) -> tuple[list[Group], Array | None]:
        """Return gradients with a segment's part of the contexts of all steps, and that part."""
        whole = groups[0].get("context")
        if whole is None or whole.ndim == 2:
            return groups, None
        part = np.zeros((end - begin, *whole.shape[1:]), whole.dtype)
        return [{**groups[0], "context": part}, *groups[1:]], part

    def _together(self) -> list[slice]:
        """Return which layers run in one call of a kernel: those between two dropout masks."""
        count = len(self.layers)
        step = 1 if any(mask is not None for mask in self.masks) else count
        return [slice(i, i + step) for i in range(0, count, step)]

    def _segments(self) -> list[tuple[int, int]]:
        total = self.x.shape[0] if self.lengths is None else int(self.lengths.max(initial=0))
        total = total if self.x.shape[1] else 0
        return [(begin, min(begin + self.every, total)) for begin in range(0, total, self.every)]

    def _take(self, array: Array, begin: int, end: int) -> Array:
        """Return some steps of the direction, contiguous: array[begin:end] unless it is reverse."""
        if not self.reverse:
            return array[begin:end]
        times, _ = self._times(begin, end)
        taken: Array = array[times, np.arange(times.shape[1])]
        return taken

    def _put(self, array: Array, part: Array, begin: int, end: int) -> None:
        """Write some steps of the direction to their times."""
        if not self.reverse:
            array[begin:end] = part
            return
        times, running = self._times(begin, end)
        array[times[running], running.nonzero()[1]] = part[running]

    def _times(self, begin: int, end: int) -> tuple[Ids, NDArray[np.bool_]]:
        """Return the time in each row at some steps of a reverse direction, and which rows still run."""
        total, rows = self.x.shape[:2]
        lengths = np.full(rows, total) if self.lengths is None else self.lengths
        times = lengths - 1 - np.arange(begin, end)[:, None]
        return np.maximum(times, 0), times >= 0


def _dropped(x: Array, mask: DropoutMask | None, begin: int, end: int) -> Array:
    return x if mask is None else x * mask.steps(begin, end)
