"""`fastrnn.models.SequenceRegressor` in PyTorch: an LSTM in both directions, a number from last states."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from benchmarks.training_step import TrainingStep, training_step
from fastrnn.models import SequenceRegressor

SEQUENCES, LENGTHS, FEATURES, HIDDEN = 32, (20, 60), 8, 64


class TorchRegressor(nn.Module):
    """The same layers."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.output = nn.LSTM(FEATURES, HIDDEN, bidirectional=True), nn.Linear(2 * HIDDEN, 1)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error of a sequence."""
        _, (h, _) = self.rnn(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return nn.functional.mse_loss(self.output(torch.cat([h[0], h[1]], dim=1)), targets)


def case(seed: int = 0) -> TrainingStep:
    """Return a training step on sequences of features, whose targets are their means."""
    random = np.random.default_rng(seed)
    lengths = random.integers(LENGTHS[0], LENGTHS[1] + 1, size=SEQUENCES)
    X = [random.normal(size=(length, FEATURES)) for length in lengths]
    y = [one.mean() for one in X]
    model = SequenceRegressor(hidden_size=HIDDEN, random_state=seed)
    model._learn(X, y, model._generator())
    batch = model._examples(X, y).batch(np.arange(SEQUENCES))
    network = model.network_
    twin = TorchRegressor()
    twin.load_state_dict({
        name: torch.tensor(network.parameters[f"encoder.{name}" if name.startswith("rnn") else name])
        for name in twin.state_dict()
    })  # fmt: skip
    tensors = [torch.tensor(array) for array in (batch.x, batch.lengths, batch.targets)]
    return training_step("regressor", network, batch, twin, (*tensors,))
