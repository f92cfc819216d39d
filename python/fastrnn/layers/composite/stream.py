"""A stream over a chain of layers: one time step per call, with the state kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastrnn._checks import as_size
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.stack.stack import Stack

if TYPE_CHECKING:
    from fastrnn._arrays import Array

__all__ = ["SequentialStream"]


class SequentialStream:
    """A network with its state, which runs step by step; ``stream`` of `Composite` and `Sequential` makes it.

    Attributes
    ----------
    batch_size : int
        N, the number of sequences.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> stream = fr.Sequential(fr.LSTM(1, 16), fr.Linear(16, 1)).stream()
    >>> stream.step(np.array([0.5], np.float32)).shape
    (1,)
    >>> other = stream.copy()
    >>> stream.reset()
    >>> bool(stream.state[0][0].any()), bool(other.state[0][0].any())
    (False, True)
    """

    batch_size: int

    __slots__ = ("_network", "_parts", "batch_size")

    def __init__(self, network: Any, batch_size: int) -> None:
        self._network, self.batch_size = network, as_size("batch_size", batch_size)
        self._parts: list[tuple[Any, Any]] = []  # what runs a step, and the stream itself if there is a state
        for name, part in network._chain().layers.items():
            if not isinstance(part, (Recurrent, Stack)):
                self._parts.append((part, None))
                continue
            try:
                stream: Any = part.stream(self.batch_size)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            self._parts.append((stream.step, stream))

    def step(self, x: Any, *, mask: Any = None, zero_masked: bool = False) -> Array:
        """Run one time step.

        Parameters
        ----------
        x : array_like, float [N, D] or integer ids [N]
            With one sequence also [D] or a single id.
        mask : array_like, bool [N], optional
        zero_masked : bool, default False
            As for the stream of a recurrent layer; each recurrent part has the same.

        Returns
        -------
        y : ndarray, float [N, output_size]
            [output_size] if x had no N axis.

        Raises
        ------
        ValueError, TypeError
            As for the parts, whose state stays as it was if the first refuses x.
        """
        for run, stream in self._parts:
            masked = mask is not None and stream is not None
            x = run(x, mask=mask, zero_masked=zero_masked) if masked else run(x)
        y: Array = x
        return y

    @property
    def state(self) -> tuple[Any, ...]:
        """A copy of the state: an entry for each recurrent part. Setting it copies too; None: the default."""
        return tuple(stream.state for stream in self._streams())

    @state.setter
    def state(self, value: tuple[Any, ...] | None) -> None:
        before, entries = self.state, self._network._chain().entries("state", value)
        streams = self._streams()
        try:
            for stream, entry in zip(streams, entries, strict=True):
                stream.state = entry
        except (ValueError, TypeError):
            for stream, entry in zip(streams, before, strict=True):
                stream.state = entry
            raise

    def reset(self) -> None:
        """Set each part's state to its default."""
        for stream in self._streams():
            stream.reset()

    def copy(self) -> SequentialStream:
        """Return an independent stream with the same state."""
        other = SequentialStream(self._network, self.batch_size)
        other.state = self.state
        return other

    def _streams(self) -> list[Any]:
        return [stream for _, stream in self._parts if stream is not None]

    def __copy__(self) -> SequentialStream:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._network, self.batch_size, self.state)

    def __repr__(self) -> str:
        return f"<SequentialStream of {self._network!r}: {self.batch_size} sequences>"


def _restored(network: Any, batch_size: int, state: Any) -> SequentialStream:
    """Return a pickled or copied stream."""
    stream = SequentialStream(network, batch_size)
    stream.state = state
    return stream
