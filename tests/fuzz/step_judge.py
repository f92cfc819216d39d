"""The judge of single steps in bfloat16 and int8: the reference, from the state that the kernels had before.

A difference of one bit in h may move its rounding by 2**-8 of it, so two passes that are both right drift
apart. So each step is judged by itself: from the h before it that the kernel has computed, the reference
multiplies and the kernels' own sigmoid and tanh follow. What comes out must have the same bits.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fastrnn._dispatch import kernels
from fastrnn.reference.bfloat16 import without_denormals
from fastrnn.reference.kept_gates import kept_gate
from fastrnn.reference.products import as_multiplied, product_of
from fastrnn.reference.time_loop import make_time_loop

#: Of float32.
EPSILON = 2.0**-23
_SMALLEST_NORMAL = 2.0**-126


class PlainLayer(Protocol):
    """One layer and direction of a cell without options, and what it has run on."""

    @property
    def cell(self) -> str: ...
    @property
    def options(self) -> dict[str, Any]: ...
    @property
    def x(self) -> np.ndarray: ...
    @property
    def weights(self) -> tuple[Any, ...]: ...
    @property
    def state(self) -> tuple[np.ndarray, ...]: ...
    @property
    def lengths(self) -> Any: ...
    @property
    def reset(self) -> Any: ...
    @property
    def reverse(self) -> bool: ...


class Steps:
    """The steps of a forward pass of the kernels, and what the reference makes of the state before each.

    All arrays are of the real steps only, one after another: [tokens, ...].
    """

    def __init__(self, case: PlainLayer, y: np.ndarray, c: Any, gates: Any) -> None:
        T, N, _ = y.shape
        self.case, self.precision = case, case.options.get("precision", "float32")
        loop = make_time_loop((T, N), case.lengths, case.reset, case.reverse)
        real = np.ones((T, N), bool) if loop.real is None else loop.real
        self.y, self.h = y[real], loop.previous(y, case.state[0])[real]
        if c is not None:
            self.c, self.c_before = c[real], loop.previous(c, case.state[1])[real]
        self.gates = None if gates is None else gates[real].swapaxes(0, 1)  # [gates, tokens, H]
        self.multiply = product_of(self.precision, y.dtype)
        weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = case.weights
        x = case.x[real]
        if x.ndim == 1:  # ids; -1 is a vector of zeros
            columns = as_multiplied(weight_ih, self.precision).T[x]
            self.s_x = np.where(x[:, None] < 0, np.float32(0), columns)
        else:
            self.s_x = self.multiply(x, weight_ih)

    def part(self, gate: int, of: np.ndarray) -> np.ndarray:
        """Return the columns of a gate."""
        H = self.weight_hh.shape[1]
        return of[..., gate * H : (gate + 1) * H]

    def bias(self, gate: int, *biases: Any) -> Any:
        """Return the sum of a gate's biases; 0 for those that are None."""
        return sum((self.part(gate, bias) for bias in biases if bias is not None), np.float32(0))

    def recurrent(self, gate: int, h: np.ndarray) -> np.ndarray:
        """Multiply h by the weights of a gate."""
        H = self.weight_hh.shape[1]
        return self.multiply(h, self.weight_hh[gate * H : (gate + 1) * H])

    def sum(self, gate: int) -> np.ndarray:
        """Return a gate before its activation: both biases, plus the product of x, plus that of h."""
        start = self.part(gate, self.s_x) + self.bias(gate, self.bias_ih, self.bias_hh)
        return start + self.recurrent(gate, self.h)

    def gate(self, index: int, name: str, wanted: np.ndarray, *, bounded: bool = True) -> np.ndarray:
        """Return the wanted gate; a tape must have its bits, as rounded there."""
        if self.gates is not None:
            same_bits(name, self.gates[index], kept_gate(wanted, bounded=bounded))
        return wanted


def assert_steps_of_the_reference(case: PlainLayer, y: np.ndarray, c: Any = None, gates: Any = None) -> None:
    """Assert that each step is the reference's, from the kernels' own state before it."""
    _JUDGES[case.cell](Steps(case, y, c, gates))


def same_bits(name: str, got: np.ndarray, wanted: np.ndarray) -> None:
    """Assert that two arrays of float32 have the same bits, the wanted with zeros for denormal numbers."""
    assert got.shape == wanted.shape
    bits, wanted_bits = (np.ascontiguousarray(array).view("u4") for array in (got, without_denormals(wanted)))
    different = int((bits != wanted_bits).sum())
    assert not different, f"{name}: {different} of {got.size} numbers have other bits than the reference"


def _near(name: str, got: np.ndarray, wanted: np.ndarray, size: np.ndarray, rounding: float = 0.0) -> None:
    """Assert equality up to four roundings of terms of a size: multiply-adds may be fused or not.

    Denormal numbers are zeros in the kernels.
    """
    assert (
        np.abs(got.astype(float) - wanted) <= 2 * EPSILON * size + 2 * _SMALLEST_NORMAL + rounding
    ).all(), name


def _judge_elman(steps: Steps) -> None:
    a = steps.sum(0)
    rectified = steps.case.options["nonlinearity"] == "relu"
    same_bits("y", steps.y, np.maximum(a, np.float32(0)) if rectified else kernels.tanh(a))


def _judge_gru(steps: Steps) -> None:
    r = steps.gate(0, "r", kernels.sigmoid(steps.sum(0)))
    z = steps.gate(1, "z", kernels.sigmoid(steps.sum(1)))
    x_n = steps.part(2, steps.s_x)
    if steps.case.options["reset_after"]:
        h_n = steps.bias(2, steps.bias_hh) + steps.recurrent(2, steps.h)
        h_n = steps.gate(3, "W_hn h + b_hn", h_n, bounded=False)
        x_n = x_n + steps.bias(2, steps.bias_ih)
        n = kernels.tanh((x_n + r.astype(float) * h_n).astype(np.float32))
        if steps.gates is not None:
            _near("n", steps.gates[2], n, np.abs(x_n) + np.abs(r * h_n) + 1, rounding=2.0**-15)
    else:
        x_n = x_n + steps.bias(2, steps.bias_ih, steps.bias_hh)
        n = steps.gate(2, "n", kernels.tanh(x_n + steps.recurrent(2, r * steps.h)))
    _near("y", steps.y, z * steps.h + (1 - z) * n, np.abs(steps.h) + np.abs(n) + 1)


def _judge_lstm(steps: Steps) -> None:
    activations = (kernels.sigmoid, kernels.sigmoid, kernels.tanh, kernels.sigmoid)
    i, f, g, o = (
        steps.gate(gate, "ifgo"[gate], activation(steps.sum(gate)))
        for gate, activation in enumerate(activations)
    )
    c_before = steps.c_before
    _near("c", steps.c, f * c_before + i * g, np.abs(f * c_before) + np.abs(i * g))
    same_bits("y", steps.y, o * kernels.tanh(np.ascontiguousarray(steps.c)))


_JUDGES = {"elman": _judge_elman, "gru": _judge_gru, "lstm": _judge_lstm}
