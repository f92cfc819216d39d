"""A language model in PyTorch, with PyTorch's recurrent module or fastrnn's in its place.

The network and the loop are those of PyTorch's example "word_language_model": an embedding, a stack of
recurrent layers with dropout, a linear output; truncated backpropagation through 35 steps, plain gradient
descent on clipped gradients, and a quarter of the learning rate after an epoch that did not improve the
validation loss. One line chooses the module:

    python examples/pytorch_language_model.py text.txt --cell lstm              # fastrnn.interop.torch
    python examples/pytorch_language_model.py text.txt --cell lstm --torch      # torch.nn
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import torch

import fastrnn as fr
import fastrnn.interop.torch as ft

EMBEDDING_SIZE = 200
HIDDEN_SIZE = 200
LAYERS = 2
STREAMS = 20  # parts of the training text that are read side by side
BPTT = 35  # steps of truncated backpropagation
CLIP = 0.25  # of the norm of all gradients
INITIAL = 0.1  # bound of the initial weights of embedding and output
VALIDATION = 0.1  # share of the text, its end
CELLS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM"}
SMALL = "the quick brown fox jumps over the lazy dog and then the dog jumps over the fox\n" * 500


class LanguageModel(torch.nn.Module):
    """Embedding, recurrent layers, output; `modules` is ``torch.nn`` or ``fastrnn.interop.torch``."""

    def __init__(self, modules, cell: str, vocabulary_size: int, *, dropout: float, tied: bool) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout)
        self.embedding = torch.nn.Embedding(vocabulary_size, EMBEDDING_SIZE)
        self.rnn = getattr(modules, CELLS[cell])(EMBEDDING_SIZE, HIDDEN_SIZE, LAYERS, dropout=dropout)
        self.output = torch.nn.Linear(HIDDEN_SIZE, vocabulary_size)
        if tied:
            self.output.weight = self.embedding.weight
        torch.nn.init.uniform_(self.embedding.weight, -INITIAL, INITIAL)
        torch.nn.init.uniform_(self.output.weight, -INITIAL, INITIAL)
        torch.nn.init.zeros_(self.output.bias)

    def forward(self, ids, state=None):
        """Return the logits of the symbols after `ids` [T, N], [T*N, V], and the last state."""
        y, state = self.rnn(self.dropout(self.embedding(ids)), state)
        return self.output(self.dropout(y)).flatten(0, 1), state


def detached(state):
    """Return the state as the start of the next chunk, into whose past no gradient flows."""
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def chunks(ids, streams: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield inputs [T, N] and targets [T*N] of consecutive chunks of a text."""
    length = len(ids) // streams
    columns = ids[: length * streams].view(streams, length).t().contiguous()
    for begin in range(0, length - 1, BPTT):
        end = min(begin + BPTT, length - 1)
        yield columns[begin:end], columns[begin + 1 : end + 1].flatten()


def train(model, ids, rate: float, arguments, done: int) -> int:
    """Train for one epoch, or as many steps as are left; return the steps done."""
    model.train()
    state, start, printed = None, time.perf_counter(), 0.0
    for inputs, targets in chunks(ids, STREAMS):
        if arguments.steps and done >= arguments.steps:
            break
        model.zero_grad()
        logits, state = model(inputs, None if state is None else detached(state))
        loss = torch.nn.functional.cross_entropy(logits, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(parameter.grad, alpha=rate)
        done += 1
        printed += loss.item()
        if done % arguments.every == 0:
            spent = (time.perf_counter() - start) / arguments.every
            print(
                f"step {done}: loss {printed / arguments.every:.6f}, {1000 * spent:.1f} ms a step", flush=True
            )
            start, printed = time.perf_counter(), 0.0
    return done


@torch.no_grad()
def evaluate(model, ids) -> float:
    """Return the mean loss over a text, nats a symbol."""
    model.eval()
    total, count, state = 0.0, 0, None
    for inputs, targets in chunks(ids, 10):
        logits, state = model(inputs, state)
        total += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
        count += len(targets)
    return total / count


def read(arguments) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Return ids of the training and of the validation text, and the number of different symbols."""
    text = SMALL if arguments.small else arguments.file.read_text(encoding="utf-8")
    symbols = list(text) if arguments.level == "char" else text.replace("\n", " <eos> ").split()
    known = {symbol: index for index, symbol in enumerate(sorted(set(symbols)))}
    ids = torch.tensor([known[symbol] for symbol in symbols])
    held_out = int(len(ids) * VALIDATION)
    return ids[:-held_out], ids[-held_out:], len(known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", help="a text")
    parser.add_argument("--cell", choices=CELLS, default="lstm")
    parser.add_argument("--torch", action="store_true", help="PyTorch's own recurrent module")
    parser.add_argument("--level", choices=["word", "char"], default="word", help="what the symbols are")
    parser.add_argument("--tied", action="store_true", help="one matrix for embedding and output")
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument(
        "--rate", type=float, default=20.0, help="the first learning rate; 20 is much for an RNN"
    )
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many; 0: after the epochs")
    parser.add_argument("--every", type=int, default=50, help="steps from one printed line to the next")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch, and as many of fastrnn")
    parser.add_argument("--seed", type=int, default=1111)
    parser.add_argument("--small", action="store_true", help="a short text and one epoch, as a test")
    arguments = parser.parse_args()
    if arguments.file is None and not arguments.small:
        parser.error("a file is needed")
    if arguments.small:
        arguments.epochs, arguments.every, arguments.rate = 1, 1, 1.0
    torch.set_num_threads(arguments.threads)
    fr.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    train_ids, validation_ids, vocabulary_size = read(arguments)
    model = LanguageModel(
        torch.nn if arguments.torch else ft,
        arguments.cell,
        vocabulary_size,
        dropout=arguments.dropout,
        tied=arguments.tied,
    )
    rate, best, done = arguments.rate, math.inf, 0
    for epoch in range(1, arguments.epochs + 1):
        done = train(model, train_ids, rate, arguments, done)
        loss = evaluate(model, validation_ids)
        print(
            f"epoch {epoch}: validation loss {loss:.6f}, perplexity {math.exp(min(loss, 100)):.2f}",
            flush=True,
        )
        if arguments.steps and done >= arguments.steps:
            break
        best, rate = (loss, rate) if loss < best else (best, rate / 4)


if __name__ == "__main__":
    main()
