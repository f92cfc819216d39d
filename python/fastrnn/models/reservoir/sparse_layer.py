"""A reservoir layer with sparse recurrent weights: only the connections that exist are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn._dispatch import kernels
from fastrnn.layers import RNN
from fastrnn.layers.base.module import Module
from fastrnn.layers.recurrent.sparse_reservoir import CompressedRows, SparseReservoir

__all__ = ["MOST_DENSE", "SparseLayer"]

#: Up to this density the sparse product is faster than the dense one, for 100 units and more.
MOST_DENSE = 0.15


class SparseLayer(Module):
    """A layer that computes what a `fastrnn.RNN` of the same weights does, to rounding, for inference only.

    Its parameters are ``weight_ih_l0 [H, D]``, ``bias_ih_l0 [H]`` and ``connections_l0``, the recurrent
    weights that are not 0.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    connections : int
        The number of recurrent weights.
    leak_rate : float
    nonlinearity : {"tanh", "relu", "identity", "sigmoid"}
    dtype : {"float32", "float64"}

    Attributes
    ----------
    columns : ndarray, int64 [connections]
        Of each recurrent weight, row by row.
    row_ends : ndarray, int64 [H]
        Where each row ends.
    """

    input_size: int
    hidden_size: int
    output_size: int
    leak_rate: float
    nonlinearity: str
    columns: NDArray[np.int64]
    row_ends: NDArray[np.int64]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        connections: int,
        *,
        leak_rate: float,
        nonlinearity: str,
        dtype: str,
    ) -> None:
        shapes = {
            "weight_ih_l0": (hidden_size, input_size),
            "bias_ih_l0": (hidden_size,),
            "connections_l0": (connections,),
        }
        super().__init__(shapes, np.dtype(dtype))
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, hidden_size
        self.leak_rate, self.nonlinearity = leak_rate, nonlinearity
        self.columns, self.row_ends = np.zeros(connections, np.int64), np.zeros(hidden_size, np.int64)
        self._packed: tuple[float, Any, Any] = (-1, None, None)

    def set_pattern(self, columns: Ids, row_ends: Ids) -> None:
        """Set which connections there are.

        Raises
        ------
        ValueError
            If an array has another shape, or a number is out of range.
        """
        columns, row_ends = np.asarray(columns, np.int64), np.asarray(row_ends, np.int64)
        count, H = len(self.columns), self.hidden_size
        fits = columns.shape == (count,) and row_ends.shape == (H,) and row_ends[-1] == count
        if not fits or (np.diff(row_ends, prepend=0) < 0).any() or ((columns < 0) | (columns >= H)).any():
            raise ValueError(f"pattern: expected {count} columns below {H}, and the ends of {H} rows")
        self.columns, self.row_ends = columns, row_ends
        self._packed = (-1, None, None)

    def __call__(
        self, x: Array, state: Array | None = None, lengths: Any = None, *, noise: Array | None = None
    ) -> tuple[Array, Array]:
        """Run a batch of sequences.

        Parameters
        ----------
        x : ndarray, float [T, N, D] or int64 [T, N]
        state : ndarray, float [1, N, H], optional
        lengths : ndarray, int64 [N], optional
            Of each row; what is returned behind a row's end is of no meaning.
        noise : ndarray, float [T, N, H], optional
            Added to what each unit sums up.

        Returns
        -------
        y : ndarray, float [T, N, H]
        state : ndarray, float [1, N, H]
            After each row's last step.
        """
        _, linear, reservoir = self._current()
        if x.ndim == 2:
            inputs = self.parameters["weight_ih_l0"].T[x] + self.parameters["bias_ih_l0"]
        else:
            flat = np.ascontiguousarray(x).reshape(-1, self.input_size)
            inputs = kernels.linear_forward(linear, flat).reshape(*x.shape[:2], self.hidden_size)
        if noise is not None:
            inputs += noise
        y, last = reservoir.run(inputs, None if state is None else state[0], overwrite=True)
        if lengths is not None and (lengths != len(x)).any():
            rows = np.flatnonzero(lengths > 0)
            last = np.zeros_like(last) if state is None else state[0].copy()
            last[rows] = y[lengths[rows] - 1, rows]
        return y, last[None]

    def to_dense(self) -> RNN:
        """Return a layer with all recurrent weights, those that were not there 0."""
        rnn = RNN(
            self.input_size, self.hidden_size, nonlinearity=self.nonlinearity, dtype=self.dtype, seed=0,
            leak=1.0 - self.leak_rate or None,
        )  # fmt: skip
        rows = np.repeat(np.arange(self.hidden_size), np.diff(self.row_ends, prepend=0))
        with rnn.parameters.edit() as views:
            views["weight_ih_l0"][...] = self.parameters["weight_ih_l0"]
            views["bias_ih_l0"][...] = self.parameters["bias_ih_l0"]
            views["bias_hh_l0"][...] = 0.0
            views["weight_hh_l0"][...] = 0.0
            views["weight_hh_l0"][rows, self.columns] = self.parameters["connections_l0"]
        return rnn

    def _current(self) -> tuple[float, Any, SparseReservoir]:
        """Return the version of the weights, and what the kernels make of them."""
        version = self.parameters.version
        if self._packed[0] != version:
            own = self.parameters
            weight = CompressedRows(own["connections_l0"], self.columns, np.append(0, self.row_ends))
            linear = kernels.linear_pack(own["weight_ih_l0"], own["bias_ih_l0"])
            reservoir = SparseReservoir(weight, leak_rate=self.leak_rate, nonlinearity=self.nonlinearity)
            self._packed = (version, linear, reservoir)
        return self._packed

    def _bind(self, buffer: Any, start: int) -> None:
        super()._bind(buffer, start)
        self._packed = (-1, None, None)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_packed": (-1, None, None)}
