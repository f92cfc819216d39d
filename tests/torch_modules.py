"""Pairs of a module of PyTorch and its drop-in with the same weights, and drawn calls of both."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

CELLS = ("RNN", "GRU", "LSTM")


class Pair(NamedTuple):
    """A module of ``torch.nn`` and a drop-in with the same weights."""

    theirs: Any
    ours: Any


def pair(torch, cell: str, *args: Any, **kwargs: Any) -> Pair:
    import fastrnn.interop.torch as ft

    theirs, ours = getattr(torch.nn, cell)(*args, **kwargs), getattr(ft, cell)(*args, **kwargs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return Pair(theirs, ours)


class Case(NamedTuple):
    """A drawn call: a pair, tensors for its input and state, and how the input is passed."""

    settings: dict[str, Any]
    modules: Pair
    x: Any
    hx: list[Any]  # empty: no state is passed
    lengths: list[int] | None
    enforce_sorted: bool


def draw_case(torch, seed: int) -> Case:
    """Draw a module of any cell and option, and a call of it."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    cell = CELLS[seed % 3]
    D, H, L = draw.randint(1, 9), draw.randint(2, 19), draw.choice([1, 1, 2, 3])
    form = draw.choice(["batch", "batch", "alone", "packed", "packed"])
    settings: dict[str, Any] = {
        "num_layers": L,
        "bias": draw.random() < 0.8,
        "batch_first": draw.random() < 0.5,
        "bidirectional": draw.random() < 0.5,
        "dtype": draw.choice([torch.float32, torch.float64]),
    }
    if cell == "LSTM" and draw.random() < 0.4:
        settings["proj_size"] = draw.randint(1, H - 1)
    if cell == "RNN":
        settings["nonlinearity"] = draw.choice(["tanh", "relu"])
    T, N = draw.randint(1, 7), draw.randint(1, 5)
    axes = (T,) if form == "alone" else (N, T) if settings["batch_first"] else (T, N)
    lengths, enforce_sorted = None, False
    if form == "packed":
        lengths, enforce_sorted = [draw.randint(1, T) for _ in range(N)], draw.random() < 0.5
        lengths = sorted(lengths, reverse=True) if enforce_sorted else lengths
    dtype = settings["dtype"]
    hx = []
    if draw.random() < 0.6:
        count = L * (2 if settings["bidirectional"] else 1)
        rows = (count,) if form == "alone" else (count, N)
        widths = [settings.get("proj_size", H), H][: 2 if cell == "LSTM" else 1]
        hx = [torch.randn(*rows, width, dtype=dtype) for width in widths]
    modules = pair(torch, cell, D, H, **settings)
    return Case(settings, modules, torch.randn(*axes, D, dtype=dtype), hx, lengths, enforce_sorted)


def called(torch, case: Case, module: Any, x: Any, hx: list[Any]) -> list[Any]:
    """Call a module as the case says; return y, of a packed result its data, and the tensors of the state."""
    if case.lengths is not None:
        x = torch.nn.utils.rnn.pack_padded_sequence(
            x, case.lengths, batch_first=case.settings["batch_first"], enforce_sorted=case.enforce_sorted
        )
    state = None if not hx else tuple(hx) if len(hx) == 2 else hx[0]
    y, last = module(x) if state is None else module(x, state)
    if case.lengths is not None:
        assert isinstance(y, torch.nn.utils.rnn.PackedSequence)
        assert torch.equal(y.batch_sizes, x.batch_sizes)
        assert y.sorted_indices is x.sorted_indices
        assert y.unsorted_indices is x.unsorted_indices
        y = y.data
    return [y, *(last if isinstance(last, tuple) else (last,))]
