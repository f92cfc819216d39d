"""`fastrnn.models.Transcriber` in PyTorch: frames joined, a bidirectional LSTM, a linear layer, CTC."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.training_step import TrainingStep, training_step
from fastrnn.models import Transcriber

RECORDINGS, FRAMES, FEATURES, SYMBOLS, TEXTS = 32, (100, 200), 40, 27, (8, 20)
HIDDEN, LAYERS, JOINED = 128, 2, 2


class TorchTranscriber(nn.Module):
    """The same layers, with the same names of parameters in each."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(JOINED * FEATURES, HIDDEN, LAYERS, bidirectional=True)
        self.output = nn.Linear(2 * HIDDEN, 1 + SYMBOLS)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor, counts: torch.Tensor):
        """Return the loss for each symbol."""
        steps, rows, width = x.shape
        x = nn.functional.pad(x, (0, 0, 0, 0, 0, -steps % JOINED))
        x = x.view(-1, JOINED, rows, width).transpose(1, 2).reshape(-1, rows, JOINED * width)
        frames = (lengths + JOINED - 1) // JOINED
        y, _ = self.rnn(pack_padded_sequence(x, frames, enforce_sorted=False))
        logits = self.output(pad_packed_sequence(y)[0])
        losses = nn.functional.ctc_loss(logits.log_softmax(2), targets, frames, counts, reduction="sum")
        return losses / counts.sum()


def case(seed: int = 0) -> TrainingStep:
    """Return a training step on a batch of recordings of 1 to 2 seconds, 100 frames a second."""
    random = np.random.default_rng(seed)
    alphabet = "abcdefghijklmnopqrstuvwxyz "
    X = [random.normal(size=(length, FEATURES)) for length in random.integers(*FRAMES, size=RECORDINGS)]
    y = ["".join(random.choice(list(alphabet), size=n)) for n in random.integers(*TEXTS, size=RECORDINGS)]
    model = Transcriber(hidden_size=HIDDEN, num_layers=LAYERS, stack_frames=JOINED, random_state=seed)
    model._learn(X, y, model._generator(), alphabet)
    batch = model._examples(X, y).batch(np.arange(RECORDINGS))
    network = model.network_
    twin = TorchTranscriber()
    ours = {"rnn": "encoder.rnn", "output": "output"}
    weights = {}
    for name in twin.state_dict():
        module, _, parameter = name.partition(".")
        weights[name] = torch.tensor(network.parameters[f"{ours[module]}.{parameter}"])
    twin.load_state_dict(weights)
    tensors = [torch.tensor(np.asarray(array)) for array in batch]
    return training_step(f"Transcriber, LSTM {LAYERS} x 2 x {HIDDEN}, CTC", network, batch, twin, (*tensors,))
