"""Train a word model on WikiText-2 like that of Zaremba et al. (2014), in fastrnn and PyTorch.

    python benchmarks/wikitext.py FOLDER --out benchmarks/results/wikitext.json

FOLDER holds ``wiki.train.tokens`` and ``wiki.valid.tokens``. Both begin with the same parameters and see the
same batches in the same order: two LSTM layers of 200 units, the 10,000 most frequent words, 20 streams,
20 steps, plain SGD, no dropout. They take turns of 100 steps, so that other load on the machine affects both;
the time of a step is from the batch to the updated parameters. Validation is not timed.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn as fr
from fastrnn.train import SGD, StepSchedule, Trainer, evaluate

STREAMS, STEPS = 20, 20  # Zaremba et al., section 4.1
# Zaremba sums the loss over the 20 steps; its mean needs 20 times the rate and a twentieth of the bound.
RATE, CLIP, FLAT_EPOCHS = 20.0, 0.25, 1
BOUND = 0.1  # of the uniform distribution that parameters start from
TURN = 100
VALID_STREAMS = 10


def read_words(folder: Path) -> tuple[fr.Vocabulary, np.ndarray, np.ndarray]:
    """Return a vocabulary of the 10,000 most frequent words and both texts as ids; lines end with <eos>."""
    train = folder / "wiki.train.tokens"
    vocabulary = fr.Vocabulary.from_files(
        [train], level="word", tokenizer="whitespace", max_types=10_000, unknown="<unk>", eos="<eos>"
    )
    texts = (fr.data.read_text([folder / f"wiki.{part}.tokens"]) for part in ("train", "valid"))
    return vocabulary, *(vocabulary.encode_stream(text) for text in texts)


class Fastrnn:
    """The model in fastrnn, trained by its own trainer."""

    def __init__(self, size: int, data: fr.ChunkedText) -> None:
        self.model = fr.LanguageModel(
            size, hidden_size=200, num_layers=2, embedding_size=200, sparse_embedding=True, seed=0
        )
        fr.init.uniform(self.model, BOUND, seed=0)
        schedule = StepSchedule(RATE, every=len(data), factor=0.5, start=(FLAT_EPOCHS - 1) * len(data))
        self.trainer = Trainer(self.model, data, SGD(self.model, RATE), schedule=schedule, clip_norm=CLIP)
        self.losses: list[float] = []

    def run(self, until: int) -> None:
        """Train until a total number of steps."""
        self.losses += [record.loss for record in self.trainer.run(until)]

    def validate(self, ids: np.ndarray) -> float:
        """Return the mean loss over the validation text."""
        return evaluate(self.model, ids, batch_size=VALID_STREAMS).loss


class PyTorch:
    """The same model, parameters and schedule in PyTorch."""

    def __init__(self, model: fr.LanguageModel, data: fr.ChunkedText) -> None:
        import torch

        torch.set_num_threads(fr.get_num_threads())
        self.torch, self.data, self.steps, self.state = torch, data, 0, None
        size = model.vocabulary_size
        self.embedding, self.rnn = torch.nn.Embedding(size, 200), torch.nn.LSTM(200, 200, 2)
        self.output = torch.nn.Linear(200, size)
        parts = {"embedding": self.embedding, "rnn": self.rnn, "output": self.output}
        for name, value in model.state_dict().items():
            part, _, own = name.partition(".")
            dict(parts[part].named_parameters())[own].data.copy_(torch.from_numpy(value))
        self.parameters = [p for part in parts.values() for p in part.parameters()]
        self.optimizer = torch.optim.SGD(self.parameters, RATE)
        self.losses: list[float] = []

    def loss(self, inputs: np.ndarray, targets: np.ndarray, state: Any) -> tuple[Any, Any]:
        """Return the mean loss of a batch and the state after it."""
        y, state = self.rnn(self.embedding(self.torch.from_numpy(inputs)), state)
        wanted = self.torch.from_numpy(targets).reshape(-1)
        logits = self.output(y).reshape(len(wanted), -1)
        return self.torch.nn.functional.cross_entropy(logits, wanted), tuple(part.detach() for part in state)

    def run(self, until: int) -> None:
        """Train until a total number of steps."""
        while self.steps < until:
            chunk = self.steps % len(self.data)
            epoch = self.steps // len(self.data)
            self.optimizer.param_groups[0]["lr"] = RATE * 0.5 ** max(0, epoch - FLAT_EPOCHS + 1)
            self.optimizer.zero_grad()
            loss, self.state = self.loss(*self.data.chunk(chunk), None if chunk == 0 else self.state)
            loss.backward()
            self.torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
            self.optimizer.step()
            self.losses.append(loss.item())
            self.steps += 1

    def validate(self, ids: np.ndarray) -> float:
        """Return the mean loss over the validation text."""
        total, count, state = 0.0, 0, None
        with self.torch.no_grad():
            for inputs, targets in fr.ChunkedText(ids, VALID_STREAMS, 256):
                loss, state = self.loss(inputs, targets, state)
                total, count = total + loss.item() * targets.size, count + targets.size
        return total / count


def main() -> None:
    """Train both models and report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    fr.set_num_threads(options.threads)
    vocabulary, train, valid = read_words(options.folder)
    data = fr.ChunkedText(train, STREAMS, STEPS)
    ours = Fastrnn(len(vocabulary), data)
    peers = {"fastrnn": ours, "pytorch": PyTorch(ours.model, data)}
    print(f"{len(train):,} tokens to train on, {len(valid):,} to validate on, {len(vocabulary):,} types, "
          f"{len(data):,} steps an epoch, {ours.model.num_parameters:,} parameters")  # fmt: skip
    result: dict[str, Any] = {
        "threads": options.threads,
        "isa": fr.isa(),
        "epochs": [],
    }
    for epoch in range(1, options.epochs + 1):
        turns: dict[str, list[float]] = {name: [] for name in peers}
        for until in [*range((epoch - 1) * len(data) + TURN, epoch * len(data), TURN), epoch * len(data)]:
            for name, peer in peers.items():
                began = time.perf_counter()
                peer.run(until)
                turns[name].append(time.perf_counter() - began)
        ratios = np.array(turns["pytorch"]) / np.array(turns["fastrnn"])
        row: dict[str, Any] = {"epoch": epoch, "ratio": sum(turns["pytorch"]) / sum(turns["fastrnn"])}
        row["quartiles of the turns' ratios"] = np.quantile(ratios, [0.25, 0.5, 0.75]).round(3).tolist()
        for name, peer in peers.items():
            loss, part = peer.validate(valid), peer.losses[-len(data) :]
            row[name] = {
                "minutes": sum(turns[name]) / 60,
                "tokens a second": data.tokens / sum(turns[name]),
                "training perplexity": math.exp(sum(part) / len(part)),
                "validation perplexity": math.exp(loss),
            }
        result["epochs"].append(row)
        print(json.dumps(row), flush=True)
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
