"""Lengths of a batch's rows, checked."""

from __future__ import annotations

from typing import Any

from fastrnn._arrays import Ids, as_ids

__all__ = ["as_lengths"]


def as_lengths(lengths: Any, steps: int, rows: int) -> Ids | None:
    """Check the lengths of a batch's rows."""
    if lengths is None:
        return None
    array = as_ids("lengths", lengths, (rows,))
    wrong = (array < 1) | (array > steps)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"lengths: expected 1 .. {steps}, got {array[row]} at position {row}")
    return array
