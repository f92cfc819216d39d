"""`fastrnn.models.Seq2Seq` in PyTorch: encoder, decoder, additive attention; also with input feeding."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.training_step import TrainingStep, training_step
from fastrnn.models import Seq2Seq

PAIRS, SOURCES, TARGETS, SYMBOLS = 64, (10, 40), (10, 40), 60
EMBEDDING, HIDDEN = 64, 128


class TorchSeq2Seq(nn.Module):
    """The same layers, with the same names of parameters in each."""

    def __init__(self, sources: int, targets: int, width: int, hidden: int, *, input_feeding: bool) -> None:
        super().__init__()
        read = nn.LSTM(width, hidden, bidirectional=True)
        self.encoder = nn.ModuleDict({"embedding": nn.Embedding(sources, width), "rnn": read})
        write = nn.LSTMCell(width + hidden, hidden) if input_feeding else nn.LSTM(width, hidden)
        self.decoder = nn.ModuleDict({"embedding": nn.Embedding(targets, width), "rnn": write})
        self.initial = nn.Linear(2 * hidden, 2 * hidden)
        self.attention = nn.ModuleDict(
            {
                "query": nn.Linear(hidden, hidden, bias=False),
                "key": nn.Linear(2 * hidden, hidden),
                "score": nn.Linear(hidden, 1, bias=False),
            }
        )
        self.combine = nn.Linear(3 * hidden, hidden, bias=False)
        self.output = nn.Linear(hidden, targets)
        self.input_feeding = input_feeding

    def forward(
        self,
        sources: torch.Tensor,
        source_lengths: torch.Tensor,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        lengths: torch.Tensor,
    ) -> torch.Tensor:
        """Return the mean loss of a target; targets are -1 after the end."""
        x = self.encoder["embedding"](sources)
        packed, (h, _) = self.encoder["rnn"](pack_padded_sequence(x, source_lengths, enforce_sorted=False))
        values = pad_packed_sequence(packed)[0].transpose(0, 1)  # [N, S, 2H]
        keys = self.attention["key"](values)
        outside = torch.arange(len(sources)) >= source_lengths[:, None]
        h, c = torch.tanh(self.initial(torch.cat([h[0], h[1]], dim=1))).chunk(2, dim=1)
        y = self.decoder["embedding"](inputs)
        if self.input_feeding:
            fed, vectors = torch.zeros_like(h), []
            for step in y:
                h, c = self.decoder["rnn"](torch.cat([step, fed], dim=1), (h, c))
                fed = self.attend(h[:, None], values, keys, outside)[:, 0]
                vectors.append(fed)
            attended = torch.stack(vectors, dim=1)
        else:
            state = (h[None].contiguous(), c[None].contiguous())
            d = self.decoder["rnn"](pack_padded_sequence(y, lengths, enforce_sorted=False), state)[0]
            attended = self.attend(pad_packed_sequence(d)[0].transpose(0, 1), values, keys, outside)
        z = self.output(attended)
        wanted = targets.transpose(0, 1)
        return nn.functional.cross_entropy(z.flatten(0, 1), wanted.flatten(), ignore_index=-1)

    def attend(
        self, d: torch.Tensor, values: torch.Tensor, keys: torch.Tensor, outside: torch.Tensor
    ) -> torch.Tensor:
        """Return the attentional vectors [N, T, H] of the decoder's outputs d [N, T, H]."""
        hidden = torch.tanh(self.attention["query"](d)[:, :, None] + keys[:, None])
        scores = self.attention["score"](hidden)[:, :, :, 0].masked_fill(outside[:, None], -torch.inf)
        context = torch.bmm(scores.softmax(dim=2), values)
        return torch.tanh(self.combine(torch.cat([context, d], dim=2)))


def case(seed: int = 0) -> list[TrainingStep]:
    """Return a training step with attention over all steps at once, and one with input feeding."""
    return [make_case(seed, input_feeding=False), make_case(seed, input_feeding=True)]


def make_case(seed: int, *, input_feeding: bool) -> TrainingStep:
    """Return a training step on a batch of random pairs of texts."""
    random = np.random.default_rng(seed)
    X, y = ([random_text(random, *limits) for _ in range(PAIRS)] for limits in (SOURCES, TARGETS))
    model = Seq2Seq(
        input_feeding=input_feeding, hidden_size=HIDDEN, embedding_size=EMBEDDING, unknown_alpha=0.0,
        random_state=seed,
    )  # fmt: skip
    model._learn(X, y, model._generator())
    batch = model._examples(X, y).batch(np.arange(PAIRS))
    network = model.network_
    twin = twin_of(model)
    tensors = as_tensors(batch)
    name = "Seq2Seq, additive attention" + (", input feeding" if input_feeding else "")
    return training_step(name, network, batch, twin, (*tensors,))


def twin_of(model: Seq2Seq) -> TorchSeq2Seq:
    """Return the model with additive attention in PyTorch, with equal parameters."""
    network = model.network_
    twin = TorchSeq2Seq(
        model._codec.width, model._target.width, model.embedding_size, model.hidden_size,
        input_feeding=network.feeds,
    )  # fmt: skip
    twin.to(getattr(torch, network.dtype.name))
    twin.load_state_dict({name: torch.tensor(array) for name, array in as_theirs(model, network.parameters)})
    return twin


def as_theirs(model: Seq2Seq, arrays: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Return parameters, or gradients, under PyTorch's names; those of an LSTMCell have no layer's number."""
    cell = "decoder.rnn." if model.network_.feeds else "none"
    return [
        (name.removesuffix("_l0") if name.startswith(cell) else name, array) for name, array in arrays.items()
    ]


def as_tensors(batch) -> list[torch.Tensor]:
    """Return a batch as tensors, with targets of -1 after the end."""
    targets = np.where(batch.real, batch.targets, -1)
    return [torch.tensor(np.asarray(array)) for array in batch._replace(targets=targets)]


def random_text(random: np.random.Generator, least: int, most: int) -> str:
    """Return a text of random length."""
    letters = [chr(ord("A") + letter) for letter in range(SYMBOLS)]
    return "".join(random.choice(letters, size=random.integers(least, most + 1)))
