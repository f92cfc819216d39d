"""`fastrnn.models.SequenceTagger` in PyTorch: words and their characters, LSTMs, then a softmax or a CRF."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.crf_cases import torch_losses
from benchmarks.training_step import TrainingStep, training_step
from fastrnn.models import SequenceTagger

SENTENCES, LENGTHS, WORDS, TAGS = 32, (5, 30), 5000, 17
EMBEDDING, HIDDEN, CHAR_EMBEDDING, CHAR_HIDDEN = 64, 100, 32, 32


class TorchTagger(nn.Module):
    """The same layers, with the same names of parameters where PyTorch has them."""

    def __init__(self, words: int, characters: int, crf: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, EMBEDDING)
        self.char_embedding = nn.Embedding(characters, CHAR_EMBEDDING)
        self.char_rnn = nn.LSTM(CHAR_EMBEDDING, CHAR_HIDDEN, bidirectional=True)
        self.rnn = nn.LSTM(EMBEDDING + 2 * CHAR_HIDDEN, HIDDEN, bidirectional=True)
        self.output = nn.Linear(2 * HIDDEN, TAGS)
        if crf:
            self.transitions = nn.Parameter(torch.empty(TAGS, TAGS))
            self.start, self.end = nn.Parameter(torch.empty(TAGS)), nn.Parameter(torch.empty(TAGS))
        self.crf = crf

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the mean loss of a step's tag."""
        packed = pack_padded_sequence(
            self.char_embedding(batch["characters"]), batch["char_lengths"], enforce_sorted=False
        )
        _, (h, _) = self.char_rnn(packed)
        spelled = torch.cat([h[0], h[1]], dim=1)[batch["places"]]
        x = torch.cat([self.embedding(batch["x"]), spelled], dim=2)
        y, _ = self.rnn(pack_padded_sequence(x, batch["lengths"], enforce_sorted=False))
        z = self.output(pad_packed_sequence(y)[0])
        if not self.crf:
            return nn.functional.cross_entropy(z.flatten(0, 1), batch["targets"].flatten(), ignore_index=-1)
        inside = batch["targets"] >= 0
        tags = batch["targets"].clamp(min=0)
        losses = torch_losses(z, self.transitions, self.start, self.end, tags, inside)
        return losses.sum() / inside.sum()


def case(seed: int = 0) -> list[TrainingStep]:
    """Return a training step with a softmax, and one with a CRF."""
    return [make_case(seed, crf=False), make_case(seed, crf=True)]


def make_case(seed: int, *, crf: bool) -> TrainingStep:
    """Return a training step on a batch of sentences of invented words, the frequent ones short."""
    random = np.random.default_rng(seed)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    spelled = ["".join(random.choice(letters, size=2 + int(i**0.25))) for i in range(WORDS)]
    tags = [str(tag) for tag in range(TAGS)]

    def sentences(count: int) -> list[list[str]]:
        lengths = random.integers(LENGTHS[0], LENGTHS[1] + 1, size=count)
        return [[spelled[int(WORDS ** random.random()) - 1] for _ in range(length)] for length in lengths]

    X = [*sentences(SENTENCES), spelled]
    y = [[tags[len(word) * 7 % TAGS] for word in words] for words in X]
    y[-1][:TAGS] = tags
    model = SequenceTagger(
        crf=crf, char_features="lstm", hidden_size=HIDDEN, embedding_size=EMBEDDING,
        char_embedding_size=CHAR_EMBEDDING, char_hidden_size=CHAR_HIDDEN, unknown_alpha=0.0,
        random_state=seed,
    )  # fmt: skip
    model._learn(X, y, model._generator())
    batch = model._examples(X, y).batch(np.arange(SENTENCES))
    network = model.network_
    twin = TorchTagger(*(network.parameters[f"{part}.embedding.weight"].shape[0] for part in PARTS), crf)
    twin.load_state_dict({theirs: torch.tensor(network.parameters[ours]) for theirs, ours in names(twin)})
    tensors = {
        name: torch.tensor(array)
        for name, array in {
            "x": batch.x, "lengths": batch.lengths, "targets": batch.targets,
            "characters": batch.words.characters, "char_lengths": batch.words.lengths,
            "places": np.maximum(batch.words.places, 0),
        }.items()
    }  # fmt: skip
    return training_step(f"SequenceTagger, {'CRF' if crf else 'softmax'}", network, batch, twin, (tensors,))


PARTS = ("encoder", "characters")


def names(twin: nn.Module) -> list[tuple[str, str]]:
    """Return the names of each parameter in PyTorch and in fastrnn."""
    ours: dict[str, Any] = {
        "embedding": "encoder.embedding", "rnn": "encoder.rnn", "char_embedding": "characters.embedding",
        "char_rnn": "characters.rnn", "output": "output",
    }  # fmt: skip
    result = []
    for name in twin.state_dict():
        module, _, parameter = name.partition(".")
        result.append((name, f"{ours[module]}.{parameter}" if parameter else f"crf.{name}"))
    return result
