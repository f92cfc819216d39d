"""What a researcher writes: every state, gate and gradient of a pass, and a check against differences."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import fastrnn as fr
from fastrnn.layers import StateGradients, Tape

Doubles = NDArray[np.float64]

rng = np.random.default_rng(0)
lstm = fr.LSTM(3, 5, dtype="float64", seed=0, peephole=True)
x: Doubles = rng.standard_normal((7, 2, 3))
weight: Doubles = rng.standard_normal((7, 2, 5))


def loss() -> float:
    y, _ = lstm(x)
    return float((weight * y).sum())


y, (h, c), tape = lstm.forward(x)
every = StateGradients.of(tape)
dx, (dh0, dc0) = lstm.backward(tape, weight, state_gradients=every)


def forget_gates(of: Tape) -> Doubles:
    """Return the forget gate of every step, [T, N, H]."""
    gates = of.layers[0].gates
    assert gates is not None
    forget: Doubles = gates[:, :, 1]
    return forget


def difference(name: str, index: tuple[int, ...], step: float = 1e-5) -> float:
    """Return the slope of the loss in one parameter, from two losses."""
    slopes = []
    for sign in (1, -1):
        with lstm.parameters.edit() as views:
            views[name][index] += sign * step
        slopes.append(sign * loss())
        with lstm.parameters.edit() as views:
            views[name][index] -= sign * step
    return sum(slopes) / (2 * step)


errors = [
    abs(difference(name, index) - lstm.gradients[name][index])
    for name, value in lstm.parameters.items()
    for index in [tuple(int(rng.integers(size)) for size in value.shape)]
]
lstm.zero_grad()
_, first = lstm.backward(tape, None, dstate=(np.ones_like(h), None))
nothing, _ = lstm.backward(tape, weight, need_dx=False)
assert nothing is None
print(f"gradients agree: {max(errors) < 1e-6}; {forget_gates(tape).shape}; {dx.shape}; {first[0].shape}")
