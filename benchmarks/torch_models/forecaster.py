"""`fastrnn.models.Forecaster` in PyTorch: a GRU over windows of a series, the quantile loss of each step."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from benchmarks.training_step import TrainingStep, training_step
from fastrnn.models import Forecaster

WINDOWS, WINDOW, HIDDEN, LEVELS = 32, 48, 64, 19


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


def case(seed: int = 0) -> TrainingStep:
    """Return a training step on windows of a sum of a wave and noise."""
    random = np.random.default_rng(seed)
    steps = np.arange(WINDOWS + WINDOW)
    series = np.sin(steps / 5) + 0.1 * random.normal(size=len(steps))
    model = Forecaster(cell="gru", hidden_size=HIDDEN, window=WINDOW, levels=LEVELS, random_state=seed)
    model._learn(series, None, model._generator())
    batch = model._examples(series, None).batch(np.arange(WINDOWS))
    network = model.network_
    twin = TorchForecaster()
    twin.load_state_dict({
        name: torch.tensor(network.parameters[f"encoder.{name}" if name.startswith("rnn") else name])
        for name in twin.state_dict()
    })  # fmt: skip
    x, targets = torch.tensor(batch.x), torch.tensor(batch.targets)
    return training_step(
        "forecaster",
        network,
        batch,
        twin,
        (
            x,
            targets,
        ),
    )
