"""The tape of a stack: what its layers' forward passes keep, and the masks between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn.layers.base.kept import Kept
from fastrnn.layers.recurrent.engine.state_gradients import StateGradients

if TYPE_CHECKING:
    from fastrnn.layers.recurrent.engine.tape import Tape

__all__ = ["StackTape", "check_state_gradients"]


class StackTape(Kept):
    """What ``forward`` of a `Stack` keeps for ``backward``.

    The rules of `fastrnn.layers.Tape` apply to its arrays.

    Attributes
    ----------
    steps, rows : int
        T and N of the pass; with a mask, as of its layers.
    layers : tuple of Tape
        One for each layer.
    dropout : tuple of (ndarray [T, N, width] or None)
        Masks applied to the outputs of all layers but the last.
    """

    layers: tuple[Tape, ...]
    dropout: tuple[Array | None, ...]
    steps: Any
    rows: Any

    __slots__ = ("_shape", "_stack", "alone", "dropout", "layers", "rows", "steps")

    def __init__(
        self, stack: Any, layers: list[Tape], dropout: list[Array | None], shape: tuple[int, ...]
    ) -> None:
        self._stack, self._shape = stack, shape
        self.layers, self.dropout = tuple(layers), tuple(dropout)
        self.alone: bool = self.layers[0].alone
        self.steps, self.rows = self.layers[0].steps, self.layers[0].rows

    @property
    def nbytes(self) -> int:
        """Total bytes of the arrays that the forward pass made and the tape keeps."""
        total = sum(tape.nbytes for tape in self.layers)
        total += sum(mask.nbytes for mask in self.dropout if mask is not None)
        for below, tape in pairwise(self.layers):
            x = tape.layers[0].x
            if not np.may_share_memory(x, below.layers[-1].y):
                total += x.nbytes
        return total

    def __reduce__(self) -> tuple[Any, ...]:
        return StackTape, (self._stack, list(self.layers), list(self.dropout), self._shape)

    def __repr__(self) -> str:
        return f"<StackTape of {self._stack!r}: {self.steps} steps of {self.rows} sequences>"


def check_state_gradients(tape: StackTape, given: Any) -> Sequence[StateGradients | None]:
    """Check what a backward pass is to fill, before any layer runs: one for each layer's tape, or nothing.

    Raises
    ------
    ValueError, TypeError
        If it is not a sequence of as many `StateGradients` as there are layers, each for its tape.
    """
    if given is None:
        return [None] * len(tape.layers)
    if not isinstance(given, Sequence) or len(given) != len(tape.layers):
        got = len(given) if isinstance(given, Sequence) else type(given).__name__
        raise ValueError(f"state_gradients: expected one for each of {len(tape.layers)} layers, got {got}")
    return [StateGradients.check(one, below) for one, below in zip(given, tape.layers, strict=True)]
