"""`fastrnn.models.SequenceRegressor` in PyTorch: an LSTM in both directions, a number from last states."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from fastrnn.models import SequenceRegressor
from fastrnn.train import Adam

SEQUENCES, LENGTHS, FEATURES, HIDDEN, RATE = 32, (20, 60), 8, 64, 1e-3


class Case(NamedTuple):
    """A training step in both; each returns the loss."""

    name: str
    run_fastrnn: Callable[[], float]
    run_torch: Callable[[], float]


class TorchRegressor(nn.Module):
    """The same layers."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.output = nn.LSTM(FEATURES, HIDDEN, bidirectional=True), nn.Linear(2 * HIDDEN, 1)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error of a sequence."""
        _, (h, _) = self.rnn(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return nn.functional.mse_loss(self.output(torch.cat([h[0], h[1]], dim=1)), targets)


def case(seed: int = 0) -> Case:
    """Return a training step on sequences of features, whose targets are their means."""
    random = np.random.default_rng(seed)
    lengths = random.integers(LENGTHS[0], LENGTHS[1] + 1, size=SEQUENCES)
    X = [random.normal(size=(length, FEATURES)) for length in lengths]
    y = [one.mean() for one in X]
    model = SequenceRegressor(hidden_size=HIDDEN, random_state=seed)
    model._learn(X, y, model._generator())
    batch = model._examples(X, y).batch(np.arange(SEQUENCES))
    network, optimizer = model.network_, Adam(model.network_, RATE)
    twin = TorchRegressor()
    twin.load_state_dict({
        name: torch.tensor(network.parameters[f"encoder.{name}" if name.startswith("rnn") else name])
        for name in twin.state_dict()
    })  # fmt: skip
    theirs = torch.optim.Adam(twin.parameters(), RATE)
    tensors = [torch.tensor(array) for array in (batch.x, batch.lengths, batch.targets)]

    def run_fastrnn() -> float:
        network.zero_gradients()
        loss: float = network.loss_and_gradients(batch)
        optimizer.step()
        return loss

    def run_torch() -> float:
        theirs.zero_grad()
        loss = twin(*tensors)
        loss.backward()
        theirs.step()
        return loss.item()

    return Case("regressor", run_fastrnn, run_torch)
