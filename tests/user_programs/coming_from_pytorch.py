"""What a user of PyTorch writes first: layers, a loop, a loss that falls, weights by PyTorch's names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import fastrnn as fr
from fastrnn.train import Adam

Floats = NDArray[np.float32]

rng = np.random.default_rng(0)
lstm = fr.LSTM(input_size=2, hidden_size=16, num_layers=2, dropout=0.1, batch_first=True, seed=0)
linear = fr.Linear(16, 1, seed=1)
optimizer = Adam([lstm, linear], learning_rate=0.01)


def batch(rows: int, steps: int) -> tuple[Floats, Floats]:
    """Return numbers with two of each row marked, and the sum of these two (the adding problem)."""
    x = rng.random((rows, steps, 2), dtype=np.float32)
    x[..., 1] = 0
    for row in x:
        row[rng.choice(steps, 2, replace=False), 1] = 1
    return x, (x[..., 0] * x[..., 1]).sum(axis=1)


def loss_of(x: Floats, target: Floats) -> float:
    y, _ = lstm(x)
    prediction = linear(y[:, -1])[:, 0]
    return float(((prediction - target) ** 2).mean())


x_valid, target_valid = batch(64, 10)
before = loss_of(x_valid, target_valid)
for _ in range(300):
    x, target = batch(32, 10)
    optimizer.zero_grad()
    y, (h, c), tape = lstm.forward(x)
    prediction, linear_tape = linear.forward(y[:, -1])
    loss, dprediction = fr.losses.mean_squared_error(prediction[:, 0], target)
    dlast = linear.backward(linear_tape, dprediction[:, None])
    dy = np.zeros_like(y)
    dy[:, -1] = dlast.reshape(len(x), 16)
    dx, (dh0, dc0) = lstm.backward(tape, dy)
    assert dx.shape == x.shape
    optimizer.step()
after = loss_of(x_valid, target_valid)

twin = fr.LSTM(2, 16, num_layers=2, batch_first=True)
missing, unexpected = twin.load_state_dict(lstm.state_dict(), strict=False)
weights: dict[str, tuple[int, ...]] = {name: value.shape for name, value in twin.named_parameters()}
assert not missing
assert not unexpected
assert np.array_equal(twin.weight_ih_l0, lstm.parameters["weight_ih_l0"])
print(f"loss fell: {after < before / 3}; {weights['weight_hh_l1']}; {sum(p.size for p in lstm.parameters())}")
