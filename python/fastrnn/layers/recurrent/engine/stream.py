"""Streams: recurrent layers that run one time step per call and keep the state."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from fastrnn._arrays import Array, as_array, as_floats, as_ids, as_mask
from fastrnn._checks import as_flag, as_size
from fastrnn._dispatch import kernels
from fastrnn._memory import out_of_memory
from fastrnn.layers.recurrent.engine.arguments import States, as_context, as_states, join_states
from fastrnn.layers.recurrent.engine.packed import PackedWeights

if TYPE_CHECKING:
    from fastrnn.layers.base.buffer import Buffer

__all__ = ["Stream"]

StateT = TypeVar("StateT")
_INT64 = np.dtype(np.int64)


class Stream(Generic[StateT]):
    """A recurrent layer that runs step by step and keeps its state; ``rnn.stream()`` returns one.

    Single steps return the same bits as one call over the sequence. After the layer's parameters change, the
    next step uses the new ones and continues from the state. ``copy.copy`` makes a `copy`; a deep copy or a
    pickled stream brings its layer along. Use a stream from one thread at a time; several
    streams of one layer may run at the same time.

    Attributes
    ----------
    batch_size : int
        N, the number of sequences.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.GRU(3, 4, seed=0)
    >>> x = np.ones((2, 1, 3), np.float32)
    >>> stream = rnn.stream()
    >>> steps = [stream.step(x_t) for x_t in x]
    >>> y, h = rnn(x)
    >>> np.array_equal(steps, y), np.array_equal(stream.state, h)
    (True, True)
    >>> stream.step([0.0, 0.5, 1.0]).shape
    (4,)
    """

    batch_size: int

    __slots__ = (
        "_buffer",
        "_context",
        "_native",
        "_native_step",
        "_now",
        "_owner",
        "_spec",
        "_version",
        "_weights",
        "batch_size",
    )

    def __init__(self, weights: PackedWeights, batch_size: int, context: Any, owner: object) -> None:
        spec = weights.spec
        if spec.directions == 2 or spec.options.reverse:
            kind = "bidirectional" if spec.directions == 2 else "reversed"
            raise ValueError(f"stream: a {kind} layer needs the whole sequence; call it instead")
        self.batch_size = as_size("batch_size", batch_size)
        spec.check_memory(self.batch_size)
        self._weights, self._spec, self._owner = weights, spec, owner
        # The context of all steps, or None where each step has its own; `_now` is what the next step reads.
        own = context is None and spec.options.context_size
        self._context = None if own else as_context(spec, context, self.batch_size)
        self._now: Array | None = None
        self._repack(weights.initial_states(self.batch_size))

    def _repack(self, state: Any = None) -> None:
        """Pack the layer's current parameters."""
        buffer = self._weights.parameters._buffer
        version = buffer.version
        native = self._make()
        if state is not None:
            native.set_state(state)
        self._use(native, buffer, version)

    def _make(self) -> Any:
        spec, packed = self._spec, self._weights.current().packed
        try:
            options: list[Any] | None = None
            if spec.options.context_size:
                self._now = np.zeros((self.batch_size, spec.options.context_size), spec.dtype)
                options = [{"context": self._now}, *[None] * (spec.num_layers - 1)]
            return kernels.Stream(packed, self.batch_size, options)
        except (MemoryError, TypeError, ValueError):  # the last two: too large for C++ integers
            scalars = spec.num_layers * self.batch_size * spec.hidden_size * len(spec.state_names)
            advice = "use fewer sequences or a smaller layer"
            raise out_of_memory("state", scalars * spec.dtype.itemsize, advice) from None

    def _use(self, native: Any, buffer: Buffer, version: float) -> None:
        self._native, self._native_step = native, native.step
        self._buffer, self._version = buffer, version

    def step(
        self,
        x: Any,
        out: Array | None = None,
        *,
        context: Any = None,
        mask: Any = None,
        zero_masked: bool = False,
    ) -> Array:
        """Run one time step.

        Parameters
        ----------
        x : array_like, float [N, D] or integer ids [N]
            For one sequence also [D], or a single id. Integers are always ids, -1 is a vector of zeros; a
            one-hot vector is written as floats, [0.0, 1.0, 0.0].
        out : ndarray, float [N, H], optional
            C-contiguous, of the layer's dtype: y is written to it. A step with `out` allocates no memory if x
            is a C-contiguous array [N, D] or [N] of the right dtype.
        context : array_like, float [N, C], optional
            The context of this step alone, in place of the one given to `stream`.
        mask : array_like, bool [N], optional
            True for the rows whose step counts. The others keep their state, and y is the last layer's h.
        zero_masked : bool, default False
            Whether y is zero instead in rows that do not count.

        Returns
        -------
        y : ndarray, float [N, H]
            The last layer's h: `out`, or a new array; [H] if x has no axis N.

        Raises
        ------
        ValueError
            If x, out or context has a wrong shape, an id is out of range, or there is no context where the
            layer needs one. The state stays as it was.
        TypeError
            If x, out or context has a wrong dtype. The state stays as it was.

        Examples
        --------
        >>> import numpy as np
        >>> import fastrnn as fr
        >>> stream = fr.LSTM(3, 4, seed=0).stream()
        >>> y = np.empty((1, 4), np.float32)
        >>> for x in np.ones((5, 1, 3), np.float32):
        ...     _ = stream.step(x, out=y)
        >>> np.array_equal(y, stream.state[0][-1])
        True
        """
        if mask is not None:
            return self._masked_step(x, out, context, as_flag("zero_masked", zero_masked), mask)
        if self._version != self._buffer.version:
            self._repack(self._native.get_state())
        if self._now is not None or context is not None:
            self._set_context(context)
        usual = out is None or type(out) is np.ndarray
        if type(x) is np.ndarray and (x.ndim == 2 or x.dtype is _INT64) and usual:
            try:
                return self._native_step(x, out)  # type: ignore[no-any-return]
            except (TypeError, ValueError):
                pass  # not contiguous or wrong; the checks below tell
        return self._step_of_anything(x, out)

    def _masked_step(self, x: Any, out: Array | None, context: Any, zero: bool, mask: Any) -> Array:
        """Run one time step of the rows that count."""
        skipped = ~as_mask("mask", mask, (self.batch_size,))
        x = as_array("x", x)
        if x.dtype.kind in "iu" and x.shape == skipped.shape:  # nothing there is read
            x = np.where(skipped, -1, as_ids("x", x, x.shape))
        before = self._native.get_state()
        y = self.step(x, out, context=context)
        try:
            state = self._native.get_state()
            for now, kept in zip(chain(*state), chain(*before), strict=True):
                now[skipped] = kept[skipped]
            (y if y.ndim == 2 else y[None])[skipped] = 0 if zero else before[-1][0][skipped]
            self._native.set_state(state)
        except MemoryError:
            self._native.set_state(before)
            raise
        return y

    def _set_context(self, context: Any) -> None:
        """Write the context that the next step reads."""
        given = self._context
        if context is not None or given is None:
            given = as_context(self._spec, context, self.batch_size)
        if self._now is not None:
            self._now[...] = given

    def _step_of_anything(self, x: Any, out: Array | None) -> Array:
        array, rows, width = as_array("x", x), self.batch_size, self._spec.input_size
        alone = rows == 1
        if array.dtype.kind in "iu" and array.ndim < 2:
            alone &= array.ndim == 0
            if not alone and array.shape == (width,) != (rows,):
                raise ValueError(
                    f"x: expected ids [{rows}], got [{width}]. Integers are ids; write a vector as floats: "
                    f"np.array(x, np.{self._spec.dtype})"
                )
            given: Array = as_ids("x", array, () if alone else (rows,)).reshape(rows)
        else:
            alone &= array.ndim == 1
            given = as_floats("x", x, self._spec.dtype, (width,) if alone else (rows, width)).reshape(
                rows, width
            )
        if out is not None and type(out) is not np.ndarray:
            raise TypeError(f"out: expected a NumPy array of {self._spec.dtype}, got {type(out).__name__}")
        y: Array = self._native_step(given, out)
        return y[0] if alone else y

    @property
    def context(self) -> Array | None:
        """A copy of the context of all steps, [N, C]; None if there is none, or each step has its own."""
        return None if self._context is None else self._context.copy()

    @property
    def state(self) -> StateT:
        """A copy of the state, as a call returns it. Assigning copies too; None is the initial state."""
        return join_states(self._native.get_state())  # type: ignore[no-any-return]

    @state.setter
    def state(self, value: StateT | None) -> None:
        self._native.set_state(self._states(value, self.batch_size))

    def _states(self, state: StateT | None, rows: int) -> States:
        """Check a state; None stands for the initial one."""
        states = as_states(self._spec, "state", state, rows) or self._weights.initial_states(rows)
        return states or [self._spec.zero_state(rows) for _ in range(self._spec.num_layers)]

    def reset(self) -> None:
        """Set the state to the initial one: learned or zero."""
        self.state = None

    def join(self, state: StateT | None = None, context: Any = None) -> int:
        """Add one sequence to the batch.

        Parameters
        ----------
        state : as `state`, with N = 1, optional
            The state that it continues from, as `leave` returns it; by default the initial one.
        context : array_like, float [1, C]
            Its context, required if, and only if, the stream was given one for all steps.

        Returns
        -------
        row : int
            Its index in the batch, the last.

        Examples
        --------
        >>> import numpy as np
        >>> import fastrnn as fr
        >>> stream = fr.LSTM(3, 4, seed=0).stream(batch_size=2)
        >>> y = stream.step(np.ones((2, 3), np.float32))
        >>> kept = stream.leave(0)  # one is left
        >>> stream.join(kept), stream.batch_size
        (1, 2)
        >>> np.array_equal(stream.state[0][:, 1], kept[0][:, 0])
        True
        """
        if context is not None and self._now is not None and self._context is None:
            raise ValueError("context: expected None, as each step of this stream has its own")
        added = (
            None if self._now is not None and self._context is None else as_context(self._spec, context, 1)
        )
        layers = zip(self._native.get_state(), self._states(state, 1), strict=True)
        both = None if self._context is None or added is None else np.concatenate([self._context, added])
        self._resize([tuple(map(np.concatenate, zip(*pair, strict=True))) for pair in layers], both)
        return self.batch_size - 1

    def leave(self, row: int) -> StateT:
        """Remove one sequence from the batch; those after it move up.

        Parameters
        ----------
        row : int
            Its index, in ``0 .. batch_size - 1``.

        Returns
        -------
        state : as `state`, with N = 1
            Its state, for `join` or for another stream.

        Raises
        ------
        ValueError
            If the row does not exist, or is the only one.
        """
        if not 0 <= row < self.batch_size or self.batch_size == 1:
            last = f"0 .. {self.batch_size - 1}" if self.batch_size > 1 else "none, as only one is left"
            raise ValueError(f"row: expected {last}, got {row}")
        layers = self._native.get_state()
        gone: StateT = join_states([tuple(part[row : row + 1] for part in parts) for parts in layers])
        left = None if self._context is None else np.delete(self._context, row, axis=0)
        self._resize([tuple(np.delete(part, row, axis=0) for part in parts) for parts in layers], left)
        return gone

    def _resize(self, states: States, context: Array | None) -> None:
        kept = self.batch_size, self._context, self._now
        self.batch_size, self._context = len(states[0][0]), context
        try:
            self._repack(states)
        except MemoryError:
            self.batch_size, self._context, self._now = kept
            raise

    def copy(self) -> Stream[StateT]:
        """Return an independent stream that continues from the same state."""
        twin: Stream[StateT] = object.__new__(type(self))
        twin._weights, twin._spec, twin._owner = self._weights, self._spec, self._owner
        twin.batch_size, twin._context = self.batch_size, self._context
        twin._now = None
        if self._now is None:
            twin._use(self._native.copy(), self._buffer, self._version)
        else:  # which the native copy would share
            twin._repack(self._native.get_state())
        return twin

    def __copy__(self) -> Stream[StateT]:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        # A deep copy or a pickled stream brings its layer along.
        return _restored, (self._owner, self.batch_size, self._context, self.state)

    def __repr__(self) -> str:
        return f"<Stream of {self._owner!r}: {self.batch_size} sequences>"


def _restored(owner: Any, batch_size: int, context: Any, state: Any) -> Stream[Any]:
    """Return a stream of a copied or unpickled layer."""
    stream: Stream[Any] = owner.stream(batch_size, context=context)
    stream.state = state
    return stream
