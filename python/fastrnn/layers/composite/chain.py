"""The passes of a chain: each layer reads what the one before it returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastrnn._memory import FEWER_TOKENS, named_memory
from fastrnn._other_words import refuse_arguments
from fastrnn.layers.base.kept import Kept
from fastrnn.layers.composite.parts import check_kind_of_part, check_parts, widths
from fastrnn.layers.recurrent.engine.arguments import as_states
from fastrnn.layers.recurrent.engine.backpropagation import no_gradient
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.stack.connections import as_entries
from fastrnn.layers.stack.stack import Stack

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.layers.base.module import Module

__all__ = ["Chain", "SequentialState", "SequentialTape"]

# One entry for each recurrent layer: its own state.
SequentialState: TypeAlias = tuple[Any, ...]


class SequentialTape(Kept):
    """What ``forward`` of a `Sequential`, or a `Composite` that is a chain, keeps for ``backward``.

    Attributes
    ----------
    parts : tuple
        The tape of each layer, in the order in which they run.
    """

    parts: tuple[Any, ...]

    __slots__ = ("_network", "_shape", "parts")

    def __init__(self, network: Module, parts: tuple[Any, ...], shape: tuple[int, ...]) -> None:
        self._network, self.parts, self._shape = network, parts, shape

    def __reduce__(self) -> tuple[Any, ...]:
        return SequentialTape, (self._network, self.parts, self._shape)

    def __repr__(self) -> str:
        return f"<SequentialTape of {self._network!r}: y {list(self._shape)}>"


class Chain:
    """The layers of a network in the order in which they run, and their passes.

    Parameters
    ----------
    layers : mapping of str to Module
        Not a copy: those of the network itself.

    Attributes
    ----------
    recurrent : tuple of Recurrent or Stack
        The layers with a state.
    output_size : int
        Width of y.

    Raises
    ------
    ValueError
        If a layer cannot read what the one before it returns.
    TypeError
        If a layer is of another kind.
    """

    __slots__ = ("layers", "output_size", "recurrent")

    def __init__(self, layers: Mapping[str, Any]) -> None:
        for name, layer in layers.items():
            check_kind_of_part(name, layer)
        check_parts(layers)
        self.layers: dict[str, Any] = dict(layers)
        self.recurrent: tuple[Any, ...] = tuple(
            layer for layer in layers.values() if isinstance(layer, (Recurrent, Stack))
        )
        self.output_size: int = widths(layers)[-1][1]

    def infer(
        self,
        x: Any,
        state: SequentialState | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        mask: Any = None,
        zero_masked: bool = False,
        **other: Any,
    ) -> tuple[Array, SequentialState]:
        """See `Sequential.__call__`."""
        if other:
            refuse_arguments(other)
        given = self.entries("state", state)
        masked = {"mask": mask, "zero_masked": zero_masked}
        states: list[Any] = []
        for layer in self.layers.values():
            if isinstance(layer, (Recurrent, Stack)):
                x, last = layer(x, given[len(states)], lengths, reset, **masked)
                states.append(last)
            else:
                x = layer(x)
        return x, tuple(states)

    def forward(
        self,
        network: Module,
        x: Any,
        state: SequentialState | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        mask: Any = None,
        zero_masked: bool = False,
        **other: Any,
    ) -> tuple[Array, SequentialState, SequentialTape]:
        """See `Sequential.forward`; the tape is that of `network`."""
        if other:
            refuse_arguments(other)
        given = self.entries("state", state)
        masked = {"mask": mask, "zero_masked": zero_masked}
        states: list[Any] = []
        tapes: list[Any] = []
        for layer in self.layers.values():
            if isinstance(layer, (Recurrent, Stack)):
                x, last, tape = layer.forward(x, given[len(states)], lengths, reset, **masked)
                states.append(last)
            else:
                x, tape = layer.forward(x)
            tapes.append(tape)
        return x, tuple(states), SequentialTape(network, tuple(tapes), x.shape)

    def backward(
        self, network: Module, tape: SequentialTape, dy: Any, dstate: SequentialState | None = None
    ) -> tuple[Array | Any, SequentialState]:
        """See `Sequential.backward`; the tape is to be that of `network`."""
        if not isinstance(tape, SequentialTape):
            raise TypeError(f"tape: expected the SequentialTape of forward, got {type(tape).__name__}")
        if tape._network is not network and tape._network._identity != network._identity:
            raise ValueError("tape: expected one of this network, got another network's")
        given = list(self.entries("dstate", dstate))
        if dy is None:
            if no_gradient(dstate):
                raise ValueError("dy, dstate: expected at least one gradient, got None for both")
            with named_memory("dy", FEWER_TOKENS):
                dy = np.zeros(tape._shape, network.dtype)
        self._check_dstate(tape, given)
        firsts: list[Any] = []
        for layer, own in zip(reversed(self.layers.values()), reversed(tape.parts), strict=True):
            if isinstance(layer, (Recurrent, Stack)):
                dy, first = layer.backward(own, dy, given.pop())
                firsts.insert(0, first)
            else:
                dy = layer.backward(own, dy)
        return dy, tuple(firsts)

    def entries(self, name: str, state: Any) -> tuple[Any, ...]:
        """Return a state's entry for each recurrent layer.

        Raises
        ------
        ValueError
            If there are more or fewer.
        TypeError
            If it is not a tuple.
        """
        if state is None:
            return (None,) * len(self.recurrent)
        expected = f"{name}: expected a tuple of one entry for each of {len(self.recurrent)} recurrent parts"
        if not isinstance(state, (tuple, list)):
            raise TypeError(f"{expected}, got {type(state).__name__}")
        if len(state) != len(self.recurrent):
            raise ValueError(f"{expected}, got {len(state)}")
        return tuple(state)

    def _check_dstate(self, tape: SequentialTape, given: list[Any]) -> None:
        """Check the gradient of the last state, before any gradient is added."""
        entries = iter(given)
        for layer, own in zip(self.layers.values(), tape.parts, strict=True):
            if isinstance(layer, Stack):
                as_entries(layer.layers, "dstate", next(entries), own.rows, alone=own.alone)
            elif isinstance(layer, Recurrent):
                as_states(layer.spec, "dstate", next(entries), own.rows, alone=own.alone)
