"""What is computed: the cells, shapes and modes, and the arrays of one such case."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["CELLS", "GATES", "MODES", "Case", "Problem", "Shape", "make_problem"]

Array = NDArray[Any]

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
CELLS = tuple(GATES)
#: Training is forward, and backward to all weights and x, from a given dy; no optimiser.
MODES = ("forward", "training")


class Shape(NamedTuple):
    """T time steps, N sequences, D input width, H hidden width, and how many layers."""

    T: int
    N: int
    D: int
    H: int
    layers: int = 1

    def __str__(self) -> str:
        return ",".join(map(str, self))


class Case(NamedTuple):
    """One point of the grid."""

    cell: str
    mode: str
    shape: Shape

    @property
    def flops(self) -> int:
        """Operations of all products; what activations cost is not counted.

        Examples
        --------
        >>> Case("lstm", "forward", Shape(T=1, N=1, D=64, H=128)).flops  # 2 * 4 * 128 * (64 + 128)
        196608
        """
        T, N, D, H, layers = self.shape
        a_row = sum(2 * GATES[self.cell] * H * (width + H) for width in (D, *[H] * (layers - 1)))
        return a_row * T * N * (3 if self.mode == "training" else 1)

    @property
    def recurrent_bytes(self) -> int:
        """Size of one layer's W_hh, which a step cannot do without."""
        return 4 * GATES[self.cell] * self.shape.H**2

    def described(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"cell": self.cell, "mode": self.mode, **self.shape._asdict()}

    def __str__(self) -> str:
        return f"{self.cell} {self.mode} {self.shape}"


@dataclass(frozen=True)
class Problem:
    """The arrays of a case, the same for every peer; the initial state is zero.

    Attributes
    ----------
    case : Case
    threads : int
        How many a peer may use.
    parameters : dict of str to ndarray
        PyTorch's names and shapes.
    x : ndarray [T, N, D]
    dy : ndarray [T, N, H]
        The gradient that training starts from.
    lengths : ndarray of int64 [N], optional
        Real steps of each row.
    """

    case: Case
    threads: int
    parameters: dict[str, Array]
    x: Array
    dy: Array
    lengths: Array | None = None

    @property
    def training(self) -> bool:
        """Whether gradients are asked for."""
        return self.case.mode == "training"

    def layer(self, index: int) -> tuple[Array, Array, Array, Array]:
        """weight_ih, weight_hh, bias_ih and bias_hh of a layer."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        w_ih, w_hh, b_ih, b_hh = (self.parameters[f"{name}_l{index}"] for name in names)
        return w_ih, w_hh, b_ih, b_hh

    def in_dtype(self, dtype: DTypeLike) -> Problem:
        """The same numbers in another precision."""
        parameters = {name: value.astype(dtype) for name, value in self.parameters.items()}
        return replace(self, parameters=parameters, x=self.x.astype(dtype), dy=self.dy.astype(dtype))


def make_problem(case: Case, threads: int = 1, *, seed: int = 0) -> Problem:
    """Draw float32 arrays: weights as PyTorch draws them, x and dy from a normal distribution.

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
