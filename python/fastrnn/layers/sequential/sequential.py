"""A chain of layers as one network: embedding, recurrent layers, linear layers, activations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from fastrnn._arrays import Array
from fastrnn._checks import as_flag
from fastrnn._memory import FEWER_TOKENS, named_memory
from fastrnn._other_words import refuse_arguments
from fastrnn.layers.base.kept import Kept
from fastrnn.layers.base.module import Composite, Module
from fastrnn.layers.recurrent.engine.arguments import as_states
from fastrnn.layers.recurrent.engine.backpropagation import no_gradient
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.sequential.file import read_file, write_file
from fastrnn.layers.sequential.parts import check_parts, named_parts, widths
from fastrnn.layers.sequential.stream import SequentialStream
from fastrnn.layers.stack.connections import as_entries
from fastrnn.layers.stack.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Never

__all__ = ["Sequential", "SequentialTape", "is_reserved"]

# One entry for each recurrent part: its own state.
SequentialState: TypeAlias = tuple[Any, ...]

_OWN = ("parts", "recurrent", "output_size", "dtype", "parameters")


class SequentialTape(Kept):
    """What ``forward`` of a `Sequential` keeps for ``backward``.

    Attributes
    ----------
    parts : tuple
        The tape of each part.
    """

    __slots__ = ("_network", "_shape", "parts")

    def __init__(self, network: Sequential, parts: tuple[Any, ...], shape: tuple[int, ...]) -> None:
        self._network, self.parts, self._shape = network, parts, shape

    def __reduce__(self) -> tuple[Any, ...]:
        return SequentialTape, (self._network, self.parts, self._shape)

    def __repr__(self) -> str:
        return f"<SequentialTape of {self._network!r}: y {list(self._shape)}>"


class Sequential(Composite):
    """A chain of layers as one network: each reads what the one before it returns.

    Parameters are named after the parts: ``encoder.weight``, ``rnn.weight_ih_l0``, ... ``net[0]`` and
    ``net["encoder"]`` are a part, ``len(net)`` is their number; a loop over the network goes through them.

    Parameters
    ----------
    *parts : Module, or one mapping of str to Module
        In order: `Embedding` (first only), recurrent layers, `Stack`, `Linear`, `Head`, `Activation`. Without
        a mapping, their names are ``part0``, ``part1``, ...

    Attributes
    ----------
    parts : dict of str to Module
    recurrent : tuple of Recurrent or Stack
        The parts with a state.
    output_size : int
        Width of y.

    Raises
    ------
    ValueError
        If there is no part, a name is reserved, widths or dtypes do not fit, or one part is batch-first and
        another is not.
    TypeError
        If a part is of another kind.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> parts = {"encoder": fr.Embedding(10, 4), "rnn": fr.GRU(4, 8), "decoder": fr.Linear(8, 10)}
    >>> net = fr.Sequential(parts)
    >>> y, state = net(np.array([[1], [2], [3]]))
    >>> y.shape, state[0].shape
    ((3, 1, 10), (1, 1, 8))
    >>> stream = net.stream()
    >>> np.array_equal([stream.step(i) for i in (1, 2, 3)], y[:, 0])
    True
    """

    def __init__(self, *parts: Module | Mapping[str, Module]) -> None:
        self.parts: dict[str, Any] = named_parts(parts)
        taken = [name for name in self.parts if is_reserved(name)]
        if taken:
            raise ValueError(f"parts: {taken[0]!r} is reserved; choose another name")
        check_parts(self.parts)
        super().__init__(**self.parts)
        self.recurrent: tuple[Any, ...] = tuple(
            part for part in self.parts.values() if isinstance(part, (Recurrent, Stack))
        )
        self.output_size: int = widths(self.parts)[-1][1]

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.parts.values())

    @overload
    def __getitem__(self, index: int | str) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...

    def __getitem__(self, index: int | str | slice) -> Any:
        """Return a part, ``net[0]`` or ``net["rnn"]``, or some of them as a tuple, ``net[1:]``."""
        return self.parts[index] if isinstance(index, str) else tuple(self.parts.values())[index]

    def __call__(
        self,
        x: Any,
        state: SequentialState | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        mask: Any = None,
        zero_masked: bool = False,
        **other: Never,
    ) -> tuple[Array, SequentialState]:
        """Run over a batch of sequences without dropout; nothing is kept.

        Parameters
        ----------
        x : array_like, float [T, N, D] or integer ids [T, N]
            As the first part reads it; with ``batch_first`` layers [N, T, D] or [N, T]. One sequence may come
            without the axis N.
        state : tuple, optional
            An entry for each recurrent part: its own state before the first step, or None.
        lengths : array_like, int [N], optional
            Steps of each row. What recurrent parts return after a row's end is zero; what the parts after the
            last of them make of it has no meaning.
        reset : array_like, bool [T, N], optional
            Where true, the row restarts from `state` at this step.
        mask : array_like, bool [T, N], optional
            True where a step counts, as for `RNN`; of all recurrent parts.
        zero_masked : bool, default False
            Whether what recurrent parts return is zero at masked steps, not what it was before.

        Returns
        -------
        y : ndarray, float [T, N, output_size]
        state : tuple
            The state after each row's last step: an entry for each recurrent part.

        Raises
        ------
        ValueError, TypeError
            As for the parts.
        """
        if other:
            refuse_arguments(other)
        given = self._entries("state", state)
        masked = {"mask": mask, "zero_masked": zero_masked}
        states: list[Any] = []
        for part in self.parts.values():
            if isinstance(part, (Recurrent, Stack)):
                x, last = part(x, given[len(states)], lengths, reset, **masked)
                states.append(last)
            else:
                x = part(x)
        return x, tuple(states)

    def forward(
        self,
        x: Any,
        state: SequentialState | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        mask: Any = None,
        zero_masked: bool = False,
        **other: Never,
    ) -> tuple[Array, SequentialState, SequentialTape]:
        """Run over a batch of sequences in training: with dropout, and with a tape for `backward`.

        Parameters
        ----------
        x, state, lengths, reset, mask, zero_masked
            As for a call.

        Returns
        -------
        y, state
            As for a call; y is read-only.
        tape : SequentialTape

        Raises
        ------
        ValueError, TypeError
            As for a call.
        """
        if other:
            refuse_arguments(other)
        given = self._entries("state", state)
        masked = {"mask": mask, "zero_masked": zero_masked}
        states: list[Any] = []
        tapes: list[Any] = []
        for part in self.parts.values():
            if isinstance(part, (Recurrent, Stack)):
                x, last, tape = part.forward(x, given[len(states)], lengths, reset, **masked)
                states.append(last)
            else:
                x, tape = part.forward(x)
            tapes.append(tape)
        return x, tuple(states), SequentialTape(self, tuple(tapes), x.shape)

    def backward(
        self, tape: SequentialTape, dy: Any, dstate: SequentialState | None = None
    ) -> tuple[Array | Any, SequentialState]:
        """Backpropagate through all parts; add to `gradients`.

        Parameters
        ----------
        tape : SequentialTape
            From `forward`; it is not changed.
        dy : array_like, float, of y's shape, or None
            Gradient of the loss with respect to y; None for zero.
        dstate : as the state, optional
            Gradient with respect to the last state; default zero.

        Returns
        -------
        dx : ndarray, float, of x's shape, or None
            None if x was ids.
        dstate : as the state
            Gradient with respect to the state before the first step.

        Raises
        ------
        ValueError
            If the tape is another network's, an array has a wrong shape, or `dy` and `dstate` are both None.
        TypeError
            If an array has a wrong dtype.
        """
        if not isinstance(tape, SequentialTape):
            raise TypeError(f"tape: expected the SequentialTape of forward, got {type(tape).__name__}")
        if tape._network is not self and tape._network._identity != self._identity:
            raise ValueError("tape: expected one of this network, got another network's")
        given = list(self._entries("dstate", dstate))
        if dy is None:
            if no_gradient(dstate):
                raise ValueError("dy, dstate: expected at least one gradient, got None for both")
            with named_memory("dy", FEWER_TOKENS):
                dy = np.zeros(tape._shape, self.dtype)
        entries = iter(given)
        for part, own in zip(self.parts.values(), tape.parts, strict=True):  # before a gradient is added
            if isinstance(part, Stack):
                as_entries(part.layers, "dstate", next(entries), own.rows, alone=own.alone)
            elif isinstance(part, Recurrent):
                as_states(part.spec, "dstate", next(entries), own.rows, alone=own.alone)
        firsts: list[Any] = []
        for part, own in zip(reversed(self.parts.values()), reversed(tape.parts), strict=True):
            if isinstance(part, (Recurrent, Stack)):
                dy, first = part.backward(own, dy, given.pop())
                firsts.insert(0, first)
            else:
                dy = part.backward(own, dy)
        return dy, tuple(firsts)

    def stream(self, batch_size: int = 1) -> SequentialStream:
        """Return a stream that keeps the state and runs one time step per call.

        Parameters
        ----------
        batch_size : int, default 1
            N, the number of sequences.

        Raises
        ------
        ValueError
            If a part has a reverse direction, which needs the whole sequence; the message names it.
        """
        return SequentialStream(self, batch_size)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file, atomically; `load` and the C library read it.

        Parameters
        ----------
        path : path

        Raises
        ------
        OSError
            If the file cannot be written; an existing file stays as it was.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import fastrnn as fr
        >>> net = fr.Sequential(fr.LSTM(1, 16), fr.Linear(16, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "effect.safetensors")
        ...     net.save(path)
        ...     fr.Sequential.load(path)
        Sequential({'part0': LSTM(1, 16), 'part1': Linear(16, 1)})
        """
        write_file(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, allow_nonfinite: bool = False) -> Sequential:
        """Read a network from a file that `save` wrote.

        Parameters
        ----------
        path : path
        allow_nonfinite : bool, default False
            Take parameters that are NaN or infinite too.

        Raises
        ------
        CheckpointError
            If the file is damaged or holds something else; the message names it.
        OSError
            If the file cannot be read.
        """
        return read_file(path, cls, allow_nonfinite=as_flag("allow_nonfinite", allow_nonfinite))

    def _entries(self, name: str, state: Any) -> tuple[Any, ...]:
        if state is None:
            return (None,) * len(self.recurrent)
        expected = f"{name}: expected a tuple of one entry for each of {len(self.recurrent)} recurrent parts"
        if not isinstance(state, (tuple, list)):
            raise TypeError(f"{expected}, got {type(state).__name__}")
        if len(state) != len(self.recurrent):
            raise ValueError(f"{expected}, got {len(state)}")
        return tuple(state)

    def __repr__(self) -> str:
        return f"Sequential({self.parts!r})"


def is_reserved(name: str) -> bool:
    """Return whether a part cannot have this name, as the network has it for something else."""
    return not name or name.startswith("_") or name in _OWN or hasattr(Sequential, name)
