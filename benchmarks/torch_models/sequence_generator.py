"""`fastrnn.models.SequenceGenerator` in PyTorch: characters after a class, as initial state and as input."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from benchmarks.training_step import TrainingStep, training_step
from fastrnn.models import SequenceGenerator

TEXTS, LENGTHS, LETTERS, CLASSES = 64, (10, 60), 60, 10
EMBEDDING, HIDDEN = 64, 128


class TorchGenerator(nn.Module):
    """The same layers. With the class as an input, its vector is joined to each letter's."""

    def __init__(self, letters: int, classes: int, condition_as: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(letters, EMBEDDING)
        self.reads_class = condition_as == "input"
        self.rnn = nn.LSTM(EMBEDDING + classes * self.reads_class, HIDDEN)
        if not self.reads_class:
            self.initial = nn.Linear(classes, 2 * HIDDEN)
        self.output = nn.Linear(HIDDEN, letters)

    def forward(
        self, inputs: torch.Tensor, lengths: torch.Tensor, targets: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean loss of a letter."""
        x, state = self.embedding(inputs), None
        if self.reads_class:
            x = torch.cat([x, condition.expand(len(x), -1, -1)], dim=2)
        else:
            h, c = self.initial(condition).chunk(2, dim=1)
            state = (h[None].contiguous(), c[None].contiguous())
        y, _ = self.rnn(pack_padded_sequence(x, lengths, enforce_sorted=False), state)
        z = self.output(pad_packed_sequence(y)[0])
        return nn.functional.cross_entropy(z.flatten(0, 1), targets.flatten(), ignore_index=-1)


def case(seed: int = 0) -> list[TrainingStep]:
    """Return a training step with the class as initial state, and one with it as an input of each step."""
    return [make_case(seed, "state"), make_case(seed, "input")]


def make_case(seed: int, condition_as: str) -> TrainingStep:
    """Return a training step on a batch of random texts, each of a class."""
    random = np.random.default_rng(seed)
    alphabet = [chr(ord("A") + letter) for letter in range(LETTERS)]
    lengths = random.integers(LENGTHS[0], LENGTHS[1] + 1, size=TEXTS)
    y = ["".join(random.choice(alphabet, size=length)) for length in lengths]
    X = (np.arange(TEXTS) % CLASSES).tolist()
    model = SequenceGenerator(
        condition_as=condition_as, hidden_size=HIDDEN, embedding_size=EMBEDDING, unknown_alpha=0.0,
        random_state=seed,
    )  # fmt: skip
    model._learn(X, y, model._generator())
    batch = model._examples(X, y).batch(np.arange(TEXTS))
    network = model.network_
    twin = TorchGenerator(model._steps.width, CLASSES, condition_as)
    twin.load_state_dict({name: torch.tensor(value) for name, value in weights(model).items()})
    targets = np.where(batch.real, batch.targets, -1)
    tensors = [torch.tensor(array) for array in (batch.inputs, batch.lengths, targets, batch.condition)]
    return training_step(f"SequenceGenerator, the class as {condition_as}", network, batch, twin, (*tensors,))


def weights(model: SequenceGenerator) -> dict[str, np.ndarray]:
    """Return the parameters under PyTorch's names; the matrix over the class is joined to the other."""
    own = {name.removeprefix("encoder."): value for name, value in model.network_.parameters.items()}
    context = own.pop("rnn.weight_context_l0", None)
    if context is not None:
        own["rnn.weight_ih_l0"] = np.concatenate([own["rnn.weight_ih_l0"], context], axis=1)
    return own
