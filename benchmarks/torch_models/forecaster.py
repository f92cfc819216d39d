"""`fastrnn.models.Forecaster` in PyTorch: a GRU over windows of a series, the quantile loss of each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from fastrnn.models import Forecaster
from fastrnn.train import Adam

WINDOWS, WINDOW, HIDDEN, LEVELS, RATE = 32, 48, 64, 19, 1e-3


class Case(NamedTuple):
    """A training step in both; each returns the loss."""

    name: str
    run_fastrnn: Callable[[], float]
    run_torch: Callable[[], float]


class TorchForecaster(nn.Module):
    """The same layers."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.output = nn.GRU(1, HIDDEN), nn.Linear(HIDDEN, LEVELS)
        self.register_buffer("levels", torch.arange(1, LEVELS + 1) / (LEVELS + 1), persistent=False)

    def forward(self, x: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean quantile loss of a step."""
        error = targets - self.output(self.rnn(x)[0])
        return torch.maximum(self.levels * error, (self.levels - 1) * error).mean()


def case(seed: int = 0) -> Case:
    """Return a training step on windows of a sum of a wave and noise."""
    random = np.random.default_rng(seed)
    steps = np.arange(WINDOWS + WINDOW)
    series = np.sin(steps / 5) + 0.1 * random.normal(size=len(steps))
    model = Forecaster(cell="gru", hidden_size=HIDDEN, window=WINDOW, levels=LEVELS, random_state=seed)
    model._learn(series, None, model._generator())
    batch = model._examples(series, None).batch(np.arange(WINDOWS))
    network, optimizer = model.network_, Adam(model.network_, RATE)
    twin = TorchForecaster()
    twin.load_state_dict({
        name: torch.tensor(network.parameters[f"encoder.{name}" if name.startswith("rnn") else name])
        for name in twin.state_dict()
    })  # fmt: skip
    theirs = torch.optim.Adam(twin.parameters(), RATE)
    x, targets = torch.tensor(batch.x), torch.tensor(batch.targets)

    def run_fastrnn() -> float:
        network.zero_gradients()
        loss: float = network.loss_and_gradients(batch)
        optimizer.step()
        return loss

    def run_torch() -> float:
        theirs.zero_grad()
        loss = twin(x, targets)
        loss.backward()
        theirs.step()
        return loss.item()

    return Case("forecaster", run_fastrnn, run_torch)
