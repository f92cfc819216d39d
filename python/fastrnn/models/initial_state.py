"""Which numbers of a vector are which of a recurrent state: for initial states that are computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn.layers import Recurrent

__all__ = ["StateLayout"]


class StateLayout:
    """Where the numbers of a vector go in the state of recurrent layers of one direction.

    Parameters
    ----------
    rnn : Recurrent

    Attributes
    ----------
    size : int
        The numbers that a state is made of: h, and c if the cell has one of the same meaning, of all layers.
    """

    def __init__(self, rnn: Recurrent[Any]) -> None:
        self._spec = spec = rnn.spec
        # c of the sLSTM holds other quantities too, and is wider.
        self._mapped = [
            order
            for order, shape in enumerate(spec.state_shapes(1))
            if spec.state_names[order] == "h" or shape[1:] == (spec.hidden_size,)
        ]
        self._widths = [spec.state_shapes(1)[order][1] for order in self._mapped]
        self.size: int = spec.num_layers * sum(self._widths)

    def state(self, values: Array) -> Any:
        """Return the state of all layers that values [N, size] describe."""
        spec, rows = self._spec, len(values)
        parts = [np.zeros((spec.num_layers, *shape), spec.dtype) for shape in spec.state_shapes(rows)]
        each = values.reshape(rows, spec.num_layers, -1).swapaxes(0, 1)
        begin = 0
        for order, width in zip(self._mapped, self._widths, strict=True):
            parts[order][...] = each[:, :, begin : begin + width]
            begin += width
        return tuple(parts) if len(parts) > 1 else parts[0]

    def gradient(self, dstate: Any) -> Array:
        """Return the gradient of the values, [N, size]: the reverse of `state`."""
        parts = dstate if isinstance(dstate, tuple) else (dstate,)
        joined = np.concatenate([parts[order] for order in self._mapped], axis=2)
        return np.ascontiguousarray(joined.swapaxes(0, 1)).reshape(joined.shape[1], -1)
