"""Parameters of recurrent layers, PyTorch's names and shapes, in the groups of four that the kernels take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from fastrnn._arrays import Array

__all__ = ["Group", "groups", "recurrent_shapes"]

# weight_ih, weight_hh, bias_ih, bias_hh of one layer and direction, or their gradients; a bias may be None.
Group: TypeAlias = tuple[Any, Any, Any, Any]


def recurrent_shapes(
    gates: int, input_size: int, hidden_size: int, num_layers: int, directions: int, *, bias: bool
) -> dict[str, tuple[int, ...]]:
    """Give name and shape of each parameter of a recurrent layer, in their order."""
    rows = gates * hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    for index, suffix in enumerate(_suffixes(num_layers, directions)):
        shapes[f"weight_ih{suffix}"] = (rows, input_size if index < directions else directions * hidden_size)
        shapes[f"weight_hh{suffix}"] = (rows, hidden_size)
        if bias:
            shapes[f"bias_ih{suffix}"] = (rows,)
            shapes[f"bias_hh{suffix}"] = (rows,)
    return shapes


def _suffixes(num_layers: int, directions: int) -> list[str]:
    """End of the parameters' names for each layer and direction."""
    return [f"_l{layer}{end}" for layer in range(num_layers) for end in ("", "_reverse")[:directions]]


def groups(arrays: Mapping[str, Array], num_layers: int, directions: int) -> list[Group]:
    """Give the weights or gradients of each layer and direction."""
    return [
        (
            arrays[f"weight_ih{suffix}"],
            arrays[f"weight_hh{suffix}"],
            arrays.get(f"bias_ih{suffix}"),
            arrays.get(f"bias_hh{suffix}"),
        )
        for suffix in _suffixes(num_layers, directions)
    ]
