"""Benchmark cases: cells, shapes and modes, and the arrays of a case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["CELLS", "GATES", "MODES", "Case", "Problem", "Shape", "make_problem"]

Array = NDArray[Any]

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
CELLS = tuple(GATES)
#: Training is forward and backward from a given dy to all weights and x, without an optimiser.
MODES = ("forward", "training")


class Shape(NamedTuple):
    """T time steps, N sequences, D input width, H hidden width, number of layers."""

    T: int
    N: int
    D: int
    H: int
    layers: int = 1

    def __str__(self) -> str:
        return ",".join(map(str, self))


class Case(NamedTuple):
    """A cell, a mode and a shape: one point of the grid."""

    cell: str
    mode: str
    shape: Shape

    @property
    def flops(self) -> int:
        """Floating point operations of all products; activations are not counted.

        Examples
        --------
        >>> Case("lstm", "forward", Shape(T=1, N=1, D=64, H=128)).flops  # 2 * 4 * 128 * (64 + 128)
        196608
        """
        T, N, D, H, layers = self.shape
        per_row = sum(2 * GATES[self.cell] * H * (width + H) for width in (D, *[H] * (layers - 1)))
        return per_row * T * N * (3 if self.mode == "training" else 1)

    @property
    def recurrent_bytes(self) -> int:
        """Size of one layer's W_hh, which every step reads."""
        return 4 * GATES[self.cell] * self.shape.H**2

    def described(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        return {"cell": self.cell, "mode": self.mode, **self.shape._asdict()}

    def __str__(self) -> str:
        return f"{self.cell} {self.mode} {self.shape}"


@dataclass(frozen=True)
class Problem:
    """The arrays of a case, identical for all peers; the initial state is zero.

    Attributes
    ----------
    case : Case
    threads : int
        Threads that a peer may use.
    parameters : dict of str to ndarray
        PyTorch's names and shapes.
    x : ndarray [T, N, D]
    dy : ndarray [T, N, H]
        Gradient of y, from which the backward pass starts.
    lengths : ndarray of int64 [N], optional
        Unpadded steps of each row.
    """

    case: Case
    threads: int
    parameters: dict[str, Array]
    x: Array
    dy: Array
    lengths: Array | None = None

    @property
    def training(self) -> bool:
        """Whether the case includes the backward pass."""
        return self.case.mode == "training"

    def layer(self, index: int) -> tuple[Array, Array, Array, Array]:
        """Return weight_ih, weight_hh, bias_ih and bias_hh of a layer."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w_ih, w_hh, b_ih, b_hh = (self.parameters[f"{name}_l{index}"] for name in names)
        return w_ih, w_hh, b_ih, b_hh

    def in_dtype(self, dtype: DTypeLike) -> Problem:
        """Return the same problem in another precision."""
        parameters = {name: value.astype(dtype) for name, value in self.parameters.items()}
        return replace(self, parameters=parameters, x=self.x.astype(dtype), dy=self.dy.astype(dtype))


def make_problem(case: Case, threads: int = 1, *, seed: int = 0) -> Problem:
    """Return random float32 arrays: weights distributed as in PyTorch, x and dy normal.

    Examples
    --------
    >>> problem = make_problem(Case("gru", "forward", Shape(T=5, N=2, D=3, H=4, layers=2)))
    >>> problem.x.shape, problem.layer(1)[0].shape
    ((5, 2, 3), (12, 4))
    """
    random = np.random.default_rng(seed)
    T, N, D, H, layers = case.shape
    rows, bound = GATES[case.cell] * H, H**-0.5
    parameters = {}
    for index in range(layers):
        shapes = {"weight_ih": (rows, D if index == 0 else H), "weight_hh": (rows, H)}
        for name, shape in {**shapes, "bias_ih": (rows,), "bias_hh": (rows,)}.items():
            values = random.uniform(-bound, bound, shape)
            parameters[f"{name}_l{index}"] = values.astype(np.float32)
    x = random.standard_normal((T, N, D), dtype=np.float32)
    dy = random.standard_normal((T, N, H), dtype=np.float32)
    return Problem(case, threads, parameters, x, dy)
