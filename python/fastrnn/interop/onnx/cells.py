"""Recurrent nodes in NumPy, step by step: for what no layer has, such as a clip and unusual activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.activations import Activation

__all__ = ["NumpyCell"]


@dataclass(eq=False)
class NumpyCell:
    """One direction of a node, with ONNX's weights and equations.

    Attributes
    ----------
    op : {"RNN", "GRU", "LSTM"}
    activations : tuple of Activation
        f, g and h of the specification.
    W, R, B : ndarray, float [G*H, D], [G*H, H], [2*G*H]
    P : ndarray, float [3*H]
        Peepholes; zero without any.
    clip : float or None
        Bounds the sums of gates and candidate; not c, as ONNX Runtime reads the specification.
    reverse : bool
    variant : bool
        `linear_before_reset` of a GRU, `input_forget` of an LSTM.
    """

    op: str
    activations: tuple[Activation, ...]
    W: Array
    R: Array
    B: Array
    P: Array
    clip: float | None
    reverse: bool
    variant: bool

    def run(self, x: Array, lengths: Array | None, h: Array, c: Array) -> tuple[Array, Array, Array]:
        """Run a batch: x [T, N, D], lengths [N] and the state [N, H]; return y [T, N, H] and the state."""
        T, N = x.shape[:2]
        y = np.zeros((T, N, self.R.shape[1]), x.dtype)
        for t in reversed(range(T)) if self.reverse else range(T):
            new_h, new_c = self._step(x[t], h, c)
            if lengths is None:
                y[t], h, c = new_h, new_h, new_c
            else:
                runs = (t < lengths)[:, None]
                y[t], h, c = np.where(runs, new_h, 0), np.where(runs, new_h, h), np.where(runs, new_c, c)
        return y, h, c

    def _step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        return {"RNN": self._rnn, "GRU": self._gru, "LSTM": self._lstm}[self.op](x, h, c)

    def _bounded(self, x: Array) -> Array:
        return x if self.clip is None else np.clip(x, -self.clip, self.clip)

    def _rnn(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        (f,) = self.activations
        Wb, Rb = np.split(self.B, 2)
        return f(self._bounded(x @ self.W.T + h @ self.R.T + Wb + Rb)), c

    def _gru(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        f, g = self.activations
        Wbz, Wbr, Wbh, Rbz, Rbr, Rbh = np.split(self.B, 6)
        xz, xr, xh = np.split(x @ self.W.T, 3, 1)
        Rz, Rr, Rh = np.split(self.R, 3)
        z = f(self._bounded(xz + h @ Rz.T + Wbz + Rbz))
        r = f(self._bounded(xr + h @ Rr.T + Wbr + Rbr))
        recurrent = r * (h @ Rh.T + Rbh) if self.variant else (r * h) @ Rh.T + Rbh
        return (1 - z) * g(self._bounded(xh + recurrent + Wbh)) + z * h, c

    def _lstm(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        f, g, output = self.activations
        Wb, Rb = np.split(self.B, 2)
        Pi, Po, Pf = np.split(self.P, 3)
        ai, ao, af, ac = np.split(x @ self.W.T + h @ self.R.T + Wb + Rb, 4, 1)
        i = f(self._bounded(ai + Pi * c))
        forget = 1 - i if self.variant else f(self._bounded(af + Pf * c))
        c = forget * c + i * g(self._bounded(ac))
        o = f(self._bounded(ao + Po * c))
        return o * output(c), c
