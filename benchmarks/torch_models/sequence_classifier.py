"""`fastrnn.models.SequenceClassifier` in PyTorch: an embedding, a bidirectional LSTM, a pooling."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.training_step import TrainingStep, training_step
from fastrnn.models import SequenceClassifier

ROWS, LENGTHS, SYMBOLS, CLASSES = 64, (4, 20), 60, 18  # names and their languages
EMBEDDING, HIDDEN = 64, 128


class TorchClassifier(nn.Module):
    """The same layers, with the same names of parameters."""

    def __init__(self, symbols: int, pooling: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(symbols, EMBEDDING)
        self.rnn = nn.LSTM(EMBEDDING, HIDDEN, bidirectional=True)
        self.output = nn.Linear(2 * HIDDEN, CLASSES)
        self.pooling = pooling

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss."""
        packed = pack_padded_sequence(self.embedding(x), lengths, enforce_sorted=False)
        y, (h, _) = self.rnn(packed)
        if self.pooling == "last":
            pooled = torch.cat([h[0], h[1]], dim=1)
        else:
            padded, _ = pad_packed_sequence(y)
            pooled = padded.sum(dim=0) / lengths[:, None]
        return nn.functional.cross_entropy(self.output(pooled), targets)


def case(seed: int = 0) -> list[TrainingStep]:
    """Return a training step that pools by the last states, and one by the mean."""
    return [make_case(seed, "last"), make_case(seed, "mean")]


def make_case(seed: int, pooling: str) -> TrainingStep:
    """Return a training step on a batch of sequences of random symbols."""
    random = np.random.default_rng(seed)
    X = [random.integers(0, SYMBOLS, random.integers(*LENGTHS)).tolist() for _ in range(ROWS)]
    y = [*range(CLASSES), *random.integers(0, CLASSES, ROWS - CLASSES).tolist()]
    model = SequenceClassifier(
        pooling=pooling, hidden_size=HIDDEN, embedding_size=EMBEDDING, unknown_alpha=0.0, random_state=seed
    )
    model._learn(X, y, model._generator())
    batch = model._examples(X, y).batch(np.arange(ROWS))
    network = model.network_
    twin = TorchClassifier(network.parameters["encoder.embedding.weight"].shape[0], pooling)
    twin.load_state_dict(
        {
            name: torch.tensor(network.parameters[name if name.startswith("output") else f"encoder.{name}"])
            for name in twin.state_dict()
        }
    )
    x, lengths, targets = torch.tensor(batch.x), torch.tensor(batch.lengths), torch.tensor(batch.targets)
    return training_step(
        f"SequenceClassifier, {pooling}",
        network,
        batch,
        twin,
        (
            x,
            lengths,
            targets,
        ),
    )
