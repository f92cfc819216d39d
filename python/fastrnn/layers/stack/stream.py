"""A stream over a stack: one time step per call, with the state kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastrnn._arrays import Array, as_array, as_floats
from fastrnn.layers.stack.connections import as_entries, forward_through, reject_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

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

    __slots__ = ("_connect", "_layers", "_owner", "_parts", "batch_size")

    def __init__(
        self, layers: Sequence[Recurrent[Any]], connect: str, batch_size: int, owner: object
    ) -> None:
        self._layers, self._connect, self._owner = layers, connect, owner
        self._parts = [_part(layer, index, batch_size) for index, layer in enumerate(layers)]
        self.batch_size = self._parts[0].batch_size

    def step(self, x: Any) -> Array:
        """Run one time step.

        Parameters
        ----------
        x : array_like, float [N, D] or integer ids [N]
            With one sequence also [D] or a single id. Integers are always ids, -1 is a vector of zeros. No
            ids if the stack's `connect` is dense.

        Returns
        -------
        y : ndarray, float [N, output_size]
            [output_size] if x had no N axis.

        Raises
        ------
        ValueError
            If x has a wrong shape or an id is out of range. The state stays as it was.
        TypeError
            If x has a wrong dtype. The state stays as it was.
        """
        if self._connect == "dense":
            reject_ids(x, 2)
            alone = self.batch_size == 1 and as_array("x", x).ndim == 1
            rows = () if alone else (self.batch_size,)
            first = self._layers[0]
            x = as_floats("x", x, first.dtype, (*rows, first.input_size))
        return forward_through(self._connect, x, [part.step for part in self._parts])

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

    def copy(self) -> StackStream:
        """Return an independent stream with the same state."""
        other = object.__new__(StackStream)
        other._layers, other._connect, other._owner = self._layers, self._connect, self._owner
        other._parts, other.batch_size = [part.copy() for part in self._parts], self.batch_size
        return other

    def __copy__(self) -> StackStream:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        # A deep copy or a pickled stream brings its stack along.
        return _restored, (self._owner, self.batch_size, self.state)

    def __repr__(self) -> str:
        return f"<StackStream of {self._owner!r}: {self.batch_size} sequences>"


def _part(layer: Recurrent[Any], index: int, batch_size: int) -> Stream[Any]:
    try:
        return layer.stream(batch_size)
    except ValueError as error:
        raise ValueError(f"layer{index}: {error}") from None


def _restored(owner: Any, batch_size: int, state: Any) -> StackStream:
    """Return a stream of a copied or unpickled stack."""
    stream: StackStream = owner.stream(batch_size)
    stream.state = state
    return stream
