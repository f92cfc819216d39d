"""`fastrnn.models.Seq2Seq` in PyTorch: a bidirectional LSTM, a decoder and additive attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fastrnn.models import Seq2Seq
from fastrnn.train import Adam

BATCH, SOURCE, TARGET = 32, (10, 30), (8, 25)
SYMBOLS, EMBEDDING, HIDDEN = 200, 64, 128
RATE = 1e-3


class Case(NamedTuple):
    """A training step in both; each returns the loss."""

    name: str
    run_fastrnn: Callable[[], float]
    run_torch: Callable[[], float]


class TorchSeq2Seq(nn.Module):
    """The same layers; the parts that fastrnn calls encoder.rnn and the like are called encoder_rnn here."""

    def __init__(self, sources: int, targets: int, input_feeding: bool) -> None:
        super().__init__()
        fed = HIDDEN if input_feeding else 0
        self.encoder_embedding = nn.Embedding(sources, EMBEDDING)
        self.encoder_rnn = nn.LSTM(EMBEDDING, HIDDEN, bidirectional=True)
        self.decoder_embedding = nn.Embedding(targets, EMBEDDING)
        self.decoder_rnn = nn.LSTM(EMBEDDING + fed, HIDDEN)
        self.initial = nn.Linear(2 * HIDDEN, 2 * HIDDEN)
        self.attention_query = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.attention_key = nn.Linear(2 * HIDDEN, HIDDEN)
        self.attention_score = nn.Linear(HIDDEN, 1, bias=False)
        self.combine = nn.Linear(3 * HIDDEN, HIDDEN, bias=False)
        self.output = nn.Linear(HIDDEN, targets)
        self.input_feeding = input_feeding

    def attend(
        self, d: torch.Tensor, y: torch.Tensor, keys: torch.Tensor, outside: torch.Tensor
    ) -> torch.Tensor:
        """Return the attentional vectors [T, N, H] of d [T, N, H]; y is [N, S, 2H], keys [N, S, H]."""
        queries = self.attention_query(d).transpose(0, 1)
        scores = self.attention_score(torch.tanh(queries[:, :, None] + keys[:, None]))[..., 0]
        weights = torch.softmax(scores.masked_fill(outside[:, None], -torch.inf), dim=-1)
        context = (weights @ y).transpose(0, 1)
        return torch.tanh(self.combine(torch.cat([context, d], dim=2)))

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean loss of a target symbol."""
        x = self.encoder_embedding(batch["sources"])
        packed, (h, _) = self.encoder_rnn(
            pack_padded_sequence(x, batch["source_lengths"], enforce_sorted=False)
        )
        y = pad_packed_sequence(packed)[0].transpose(0, 1)
        outside = torch.arange(y.shape[1]) >= batch["source_lengths"][:, None]
        first = torch.tanh(self.initial(torch.cat([h[0], h[1]], dim=1)))
        state = tuple(part[None].contiguous() for part in first.split(HIDDEN, dim=1))
        keys, e = self.attention_key(y), self.decoder_embedding(batch["inputs"])
        if self.input_feeding:
            parts = []
            fed = e.new_zeros(1, e.shape[1], HIDDEN)
            for step in e:
                d, state = self.decoder_rnn(torch.cat([step[None], fed], dim=2), state)
                fed = self.attend(d, y, keys, outside)
                parts.append(fed)
            a = torch.cat(parts)
        else:
            # Steps past the end of a target change nothing before them: no packing.
            a = self.attend(self.decoder_rnn(e, state)[0], y, keys, outside)
        return nn.functional.cross_entropy(
            self.output(a).flatten(0, 1), batch["targets"].flatten(), ignore_index=-1
        )


def case(seed: int = 0) -> list[Case]:
    """Return a training step with all steps of the decoder at once, and one with input feeding."""
    return [make_case(seed, input_feeding=False), make_case(seed, input_feeding=True)]


def make_case(seed: int, *, input_feeding: bool) -> Case:
    """Return a training step on a batch of random sources and targets."""
    random = np.random.default_rng(seed)

    def sequences(lengths: tuple[int, int]) -> list[list[int]]:
        drawn = random.integers(lengths[0], lengths[1] + 1, size=BATCH)
        return [random.integers(SYMBOLS, size=length).tolist() for length in drawn]

    X, y = [*sequences(SOURCE), list(range(SYMBOLS))], [*sequences(TARGET), list(range(SYMBOLS))]
    model = Seq2Seq(
        input_feeding=input_feeding, hidden_size=HIDDEN, embedding_size=EMBEDDING, unknown_alpha=0.0,
        random_state=seed,
    )  # fmt: skip
    model._learn(X, y, model._generator())
    batch = model._examples(X, y).batch(np.arange(BATCH))
    network, optimizer = model.network_, Adam(model.network_, RATE)
    twin = TorchSeq2Seq(
        *(network.parameters[f"{part}.embedding.weight"].shape[0] for part in ("encoder", "decoder")),
        input_feeding,
    )
    twin.load_state_dict({name: torch.tensor(network.parameters[ours(name)]) for name in twin.state_dict()})
    theirs = torch.optim.Adam(twin.parameters(), RATE)
    tensors = {name: torch.tensor(array) for name, array in batch._asdict().items()}
    tensors["targets"] = torch.tensor(np.where(batch.real, batch.targets, -1))

    def run_fastrnn() -> float:
        network.zero_gradients()
        loss: float = network.loss_and_gradients(batch)
        optimizer.step()
        return loss

    def run_torch() -> float:
        theirs.zero_grad()
        loss = twin(tensors)
        loss.backward()
        theirs.step()
        return float(loss.detach())

    name = "input feeding" if input_feeding else "additive attention"
    return Case(f"Seq2Seq, {name}", run_fastrnn, run_torch)


def ours(name: str) -> str:
    """Return what fastrnn calls a parameter of the twin."""
    module, _, parameter = name.partition(".")
    return f"{module.replace('_', '.')}.{parameter}"
