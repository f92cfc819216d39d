"""The cases of ``precision_speed``: sizes that people use, and squares from the second level to memory."""

from __future__ import annotations

from collections.abc import Iterable

from fastrnn.cli.benchmark.cases import MODES, Case, Shape

__all__ = ["QUICK", "STANDARD", "cases"]

CellsOfShape = tuple[tuple[str, ...], Shape]

ALL, GATED, LSTM = ("lstm", "gru", "rnn"), ("lstm", "gru"), ("lstm",)
STANDARD: tuple[CellsOfShape, ...] = (
    (LSTM, Shape(T=100, N=1, D=256, H=512)),
    (LSTM, Shape(T=50, N=1, D=512, H=1024)),
    (LSTM, Shape(T=60, N=16, D=300, H=320)),
    (GATED, Shape(T=20, N=128, D=400, H=640)),
    (ALL, Shape(T=1, N=1, D=64, H=128)),
    (ALL, Shape(T=100, N=1, D=40, H=128)),
    (ALL, Shape(T=50, N=50, D=128, H=128, layers=2)),
    (LSTM, Shape(T=20, N=20, D=200, H=200, layers=2)),
    (LSTM, Shape(T=35, N=20, D=650, H=650, layers=2)),
    (GATED, Shape(T=1000, N=8, D=32, H=64)),
    # D = H: 256, 512, 1024; as few steps as show the speed.
    (ALL, Shape(T=100, N=1, D=256, H=256)),
    (ALL, Shape(T=64, N=1, D=512, H=512)),
    (ALL, Shape(T=32, N=1, D=1024, H=1024)),
    (ALL, Shape(T=64, N=16, D=256, H=256)),
    (ALL, Shape(T=32, N=16, D=512, H=512)),
    (ALL, Shape(T=16, N=16, D=1024, H=1024)),
    (ALL, Shape(T=32, N=64, D=256, H=256)),
    (ALL, Shape(T=16, N=64, D=512, H=512)),
    (ALL, Shape(T=8, N=64, D=1024, H=1024)),
)

QUICK: tuple[CellsOfShape, ...] = (
    (LSTM, Shape(T=50, N=1, D=256, H=512)),
    (GATED, Shape(T=16, N=16, D=256, H=256)),
)


def cases(shapes: Iterable[CellsOfShape], modes: Iterable[str] = MODES) -> list[Case]:
    """Return all cases, shape by shape."""
    modes = tuple(modes)
    return [Case(cell, mode, shape) for cells, shape in shapes for mode in modes for cell in cells]
