"""The parts of a chain of layers: their names, kinds and widths, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastrnn.layers.dense.activation import Activation
from fastrnn.layers.dense.embedding import Embedding
from fastrnn.layers.dense.head import Head
from fastrnn.layers.dense.linear import Linear
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.stack.stack import Stack

__all__ = ["check_kind_of_part", "check_parts", "widths"]

_KINDS = (Recurrent, Stack, Embedding, Linear, Head, Activation)


def check_kind_of_part(name: str, part: Any) -> None:
    """Check that a part can stand in a chain.

    Raises
    ------
    TypeError
        If not.
    """
    if not isinstance(part, _KINDS):
        kinds = ", ".join(kind.__name__ for kind in _KINDS)
        raise TypeError(f"{name}: expected one of {kinds}, got {type(part).__name__}")


def check_parts(parts: Mapping[str, Any]) -> None:
    """Check that each part can read what the one before it returns.

    Raises
    ------
    ValueError
        If not.
    """
    orders = {name: part.batch_first for name, part in parts.items() if hasattr(part, "batch_first")}
    if len({*orders.values()}) > 1:
        raise ValueError(f"parts: expected one batch_first for all, got {orders}")
    before, width = "", 0
    for (name, part), (own, result) in zip(parts.items(), widths(parts), strict=True):
        if before and isinstance(part, Embedding):
            raise ValueError(f"{name}: expected an Embedding as the first part only")
        if width and own != width:
            raise ValueError(
                f"{name}: expected a layer that reads {width} numbers, the output of {before}, got {part!r}"
            )
        if getattr(getattr(part, "options", part), "context_size", 0):
            raise ValueError(f"{name}: expected a layer without a context, got {part!r}")
        before, width = name, result


def widths(parts: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Return the widths of each part's input and output; 0 for an embedding's ids and where any will do."""
    result: list[tuple[int, int]] = []
    for part in parts.values():
        if isinstance(part, Embedding):
            result.append((0, part.embedding_dim))
        elif isinstance(part, (Recurrent, Stack)):
            result.append((part.input_size, part.output_size))
        elif isinstance(part, Linear):
            result.append((part.in_features, part.out_features))
        elif isinstance(part, Head):
            result.append((part.description["in_features"], part.output.out_features))
        else:
            own = result[-1][1] if result else 0
            result.append((own, own))
    return result
