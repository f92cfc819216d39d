"""Random cases for the recurrent cells, in one form for the reference and the kernels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fastrnn import reference

#: Every cell with its variants: the cell's name and the options of its passes.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "elman-tanh": ("elman", {"nonlinearity": "tanh"}),
    "elman-relu": ("elman", {"nonlinearity": "relu"}),
    "gru-after": ("gru", {"reset_after": True}),
    "gru-before": ("gru", {"reset_after": False}),
    "lstm": ("lstm", {}),
}
GATES = {"elman": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True, eq=False)
class Case:
    """The arguments of a forward pass and of the backward pass that follows it."""

    cell: str
    options: dict[str, Any]
    x: np.ndarray
    weights: tuple[np.ndarray | None, ...]
    state: tuple[np.ndarray, ...]
    dy: np.ndarray
    dstate_n: tuple[np.ndarray, ...]
    lengths: np.ndarray | None = None
    reset: np.ndarray | None = None
    reverse: bool = False
    random: np.random.Generator = field(default_factory=np.random.default_rng)

    def forward(self):
        """Run the reference's forward pass: y, state_n, tape."""
        run = getattr(reference, f"{self.cell}_forward")
        return run(self.x, self.weights, self.state, self.lengths, self.reset, self.reverse, **self.options)

    def backward(self, tape):
        """Run the reference's backward pass: dx, dstate, dweights."""
        run = getattr(reference, f"{self.cell}_backward")
        return run(self.weights, tape, self.dy, self.dstate_n, **self.options)

    def step(self, x, state):
        """Run the reference's single step."""
        return getattr(reference, f"{self.cell}_step")(x, state, self.weights, **self.options)

    def loss(self) -> float:
        """Return a number whose gradients are those of `backward`: <dy, y> + <dstate_n, state_n>."""
        y, state_n, _ = self.forward()
        states = zip(self.dstate_n, state_n, strict=True)
        return float((self.dy * y).sum() + sum((d * s).sum() for d, s in states))

    def replace(self, **changes) -> Case:
        """Return the case with some fields changed."""
        return replace(self, **changes)


def make_case(
    variant: str,
    sizes: tuple[int, int, int, int] = (5, 4, 3, 6),
    *,
    dtype: str = "float64",
    ids: bool = False,
    bias: str = "both",
    ragged: bool = False,
    resets: bool = False,
    reverse: bool = False,
    precision: str = "float32",
    seed: int = 0,
) -> Case:
    """Make a random case of sizes (T, N, D, H); `bias` is "both", "ih", "hh" or "none"."""
    cell, options = VARIANTS[variant]
    if precision != "float32":
        dtype, options = "float32", options | {"precision": precision}
    T, N, D, H = sizes
    G = GATES[cell]
    random = np.random.default_rng([seed, *sizes])

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * random.normal(size=shape)).astype(dtype)

    states = 2 if cell == "lstm" else 1
    lengths = random.integers(1, T + 1, size=N) if ragged else None
    if lengths is not None:
        lengths[random.integers(N)] = T
    return Case(
        cell=cell,
        options=options,
        x=random.integers(D, size=(T, N)) if ids else normal(T, N, D),
        weights=(
            normal(G * H, D, scale=0.8 if ids else 0.8 / np.sqrt(D)),
            normal(G * H, H, scale=0.8 / np.sqrt(H)),
            normal(G * H, scale=0.5) if bias in ("both", "ih") else None,
            normal(G * H, scale=0.5) if bias in ("both", "hh") else None,
        ),
        state=tuple(normal(N, H, scale=0.5) for _ in range(states)),
        dy=normal(T, N, H),
        dstate_n=tuple(normal(N, H) for _ in range(states)),
        lengths=lengths,
        reset=random.random((T, N)) < 0.3 if resets else None,
        reverse=reverse,
        random=random,
    )
