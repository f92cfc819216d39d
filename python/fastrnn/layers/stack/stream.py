"""A stream over a stack: one time step per call, with the state kept."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fastrnn._arrays import Array, as_array, as_floats
from fastrnn._checks import as_size
from fastrnn.layers.stack.connections import as_entries, check_context, forward_through, reject_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastrnn.layers.recurrent.engine.stream import Stream
    from fastrnn.layers.recurrent.layer import Recurrent

__all__ = ["StackStream"]


class StackStream:
    """A `Stack` that runs step by step and keeps its state; made by ``stack.stream()``.

    A sequence run step by step yields the same bits as in one call. When parameters change, the next step
    uses the new ones and continues from the current state.

    Attributes
    ----------
    batch_size : int
        N, the number of parallel sequences.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> stack = fr.Stack(fr.GRU(3, 4, seed=0), fr.LSTM(4, 4, seed=1), connect="residual")
    >>> x = np.ones((5, 2, 3), np.float32)
    >>> stream = stack.stream(batch_size=2)
    >>> np.array_equal([stream.step(x_t) for x_t in x], stack(x)[0])
    True
    """

    batch_size: int

    __slots__ = ("_connect", "_given", "_layers", "_owner", "_parts", "batch_size")

    def __init__(
        self,
        layers: Sequence[Recurrent[Any]],
        connect: str,
        batch_size: int,
        owner: object,
        context: Any = None,
    ) -> None:
        self._layers, self._connect, self._owner = layers, connect, owner
        self._given = context is not None  # one context for all steps
        contexts = check_context(layers, context, as_size("batch_size", batch_size)) if self._given else None
        self._parts = [
            _part(layer, index, batch_size, None if contexts is None else contexts[index])
            for index, layer in enumerate(layers)
        ]
        self.batch_size = self._parts[0].batch_size

    def step(self, x: Any, *, context: Any = None, mask: Any = None, zero_masked: bool = False) -> Array:
        """Run one time step.

        Parameters
        ----------
        x : array_like, float [N, D] or integer ids [N]
            With one sequence also [D] or a single id. Integers are always ids, -1 is a vector of zeros. No
            ids if the stack's `connect` is dense.
        context : array_like, float [N, C], optional
            The context of this step alone, in place of the one given to `stream`.
        mask : array_like, bool [N], optional
        zero_masked : bool, default False
            As for a layer's stream; each layer has the same.

        Returns
        -------
        y : ndarray, float [N, output_size]
            [output_size] if x had no N axis.

        Raises
        ------
        ValueError
            If x or context has a wrong shape, an id is out of range, or there is no context where the layers
            need one. The state stays as it was.
        TypeError
            If x or context has a wrong dtype. The state stays as it was.
        """
        steps: list[Callable[..., Array]] = [part.step for part in self._parts]
        if context is not None or not self._given:
            contexts = check_context(self._layers, context, self.batch_size)
            steps = [
                part.step if own is None else partial(part.step, context=own)
                for part, own in zip(self._parts, contexts, strict=True)
            ]
        if self._connect == "dense":
            reject_ids(x, 2)
            alone = self.batch_size == 1 and as_array("x", x).ndim == 1
            rows = () if alone else (self.batch_size,)
            first = self._layers[0]
            x = as_floats("x", x, first.dtype, (*rows, first.input_size))
        if mask is not None:
            steps = [partial(run, mask=mask, zero_masked=zero_masked) for run in steps]
        return forward_through(self._connect, x, steps)

    @property
    def context(self) -> Array | None:
        """A copy of the context of all steps, [N, C]; None if there is none, or each step has its own."""
        return next((part.context for part in self._parts if part.context is not None), None)

    @property
    def state(self) -> tuple[Any, ...]:
        """A copy of the state: an entry for each layer. Setting it copies too; None means the default."""
        return tuple(part.state for part in self._parts)

    @state.setter
    def state(self, value: tuple[Any, ...] | None) -> None:
        entries = as_entries(self._layers, "state", value, self.batch_size)
        for part, entry in zip(self._parts, entries, strict=True):
            part.state = entry

    def reset(self) -> None:
        """Set each layer's state to its default."""
        for part in self._parts:
            part.reset()

    def join(self, state: tuple[Any, ...] | None = None, context: Any = None) -> int:
        """Add one sequence to the batch.

        Parameters
        ----------
        state : tuple, as `state`, with N = 1, optional
            The state that it continues from, as `leave` returns it; by default the initial one.
        context : array_like, float [1, C]
            Its context, required if, and only if, the stream was given one for all steps.

        Returns
        -------
        row : int
            Its index in the batch, the last.

        Raises
        ------
        ValueError, TypeError
            If the state or the context does not fit. The batch stays as it was.

        Examples
        --------
        >>> import numpy as np
        >>> import fastrnn as fr
        >>> stream = fr.Stack(fr.GRU(3, 4, seed=0), fr.LSTM(4, 5, seed=1)).stream(batch_size=2)
        >>> y = stream.step(np.ones((2, 3), np.float32))
        >>> kept = stream.leave(0)  # one is left
        >>> stream.join(kept), stream.batch_size
        (1, 2)
        """
        entries = as_entries(self._layers, "state", state, 1)
        contexts = [None] * len(entries)
        if self._given or context is not None:
            contexts = check_context(self._layers, context, 1)
            if not self._given:
                raise ValueError("context: expected None, as each step of this stream has its own")
        parts = [part.copy() for part in self._parts]  # if memory ends, the batch stays as it was
        for part, entry, own in zip(parts, entries, contexts, strict=True):
            part.join(entry, own)
        self._parts, self.batch_size = parts, self.batch_size + 1
        return self.batch_size - 1

    def leave(self, row: int) -> tuple[Any, ...]:
        """Remove one sequence from the batch; those after it move up.

        Parameters
        ----------
        row : int
            Its index, in ``0 .. batch_size - 1``.

        Returns
        -------
        state : tuple, as `state`, with N = 1
            Its state, for `join` or for another stream.

        Raises
        ------
        ValueError
            If the row does not exist, or is the only one.
        """
        parts = [part.copy() for part in self._parts]
        gone = tuple([part.leave(row) for part in parts])
        self._parts, self.batch_size = parts, self.batch_size - 1
        return gone

    def copy(self) -> StackStream:
        """Return an independent stream with the same state."""
        other = object.__new__(StackStream)
        other._layers, other._connect, other._owner = self._layers, self._connect, self._owner
        other._parts, other.batch_size = [part.copy() for part in self._parts], self.batch_size
        other._given = self._given
        return other

    def __copy__(self) -> StackStream:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        # A deep copy or a pickled stream brings its stack along.
        return _restored, (self._owner, self.batch_size, self.context, self.state)

    def __repr__(self) -> str:
        return f"<StackStream of {self._owner!r}: {self.batch_size} sequences>"


def _part(layer: Recurrent[Any], index: int, batch_size: int, context: Any) -> Stream[Any]:
    try:
        return layer.stream(batch_size, context=context)
    except ValueError as error:
        raise ValueError(f"layer{index}: {error}") from None


def _restored(owner: Any, batch_size: int, context: Any, state: Any) -> StackStream:
    """Return a stream of a copied or unpickled stack."""
    stream: StackStream = owner.stream(batch_size, context=context)
    stream.state = state
    return stream
