"""Layers of any variant run one step at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastrnn._arrays import Array
from fastrnn.layers.recurrent.engine.general import forward
from fastrnn.layers.recurrent.engine.general_panels import GeneralPanels

__all__ = ["GeneralStream"]


class GeneralStream:
    """A stack of layers run one step at a time: what the compiled Stream is to plain cells."""

    def __init__(self, panels: Sequence[GeneralPanels], batch_size: int) -> None:
        self._panels = panels
        self._states = [one.zero_state(batch_size) for one in panels]

    def step(self, x: Array, out: Array | None = None) -> Array:
        """Feed one step: x [N, D] or ids [N] -> y [N, P]."""
        first, (rows, *_) = self._panels[0], self._states[0][0].shape
        if x.dtype.kind == "i" and x.shape != (rows,):
            raise ValueError(f"x: expected [{rows}], got {list(x.shape)}")
        if x.dtype.kind != "i" and (x.dtype != first.dtype or x.shape != (rows, first.input_size)):
            raise ValueError(f"x: expected {first.dtype} [{rows}, {first.input_size}], got {list(x.shape)}")
        y, states = np.ascontiguousarray(x)[None], []
        for panels, state in zip(self._panels, self._states, strict=True):
            y, last, _ = forward(panels, y, state)
            states.append(last)
        if out is not None:
            if out.dtype != first.dtype:
                raise TypeError(f"out: expected {first.dtype}, got {out.dtype}")
            if out.shape != y.shape[1:]:
                raise ValueError(f"out: expected {list(y.shape[1:])}, got {list(out.shape)}")
            out[...] = y[0]
        self._states = states
        return y[0] if out is None else out

    def get_state(self) -> list[tuple[Array, ...]]:
        """Give copies of the state of each layer."""
        return [tuple(part.copy() for part in state) for state in self._states]

    def set_state(self, states: Sequence[tuple[Array, ...]]) -> None:
        """Take copies of a state."""
        self._states = [tuple(np.array(part, order="C") for part in state) for state in states]

    def copy(self) -> GeneralStream:
        """Make a twin."""
        twin = GeneralStream(self._panels, self._states[0][0].shape[0])
        twin.set_state(self._states)
        return twin
