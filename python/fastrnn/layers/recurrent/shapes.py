"""Parameters of recurrent layers, PyTorch's names and shapes, in groups of one layer and direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from fastrnn._arrays import Array

if TYPE_CHECKING:
    from fastrnn.layers.recurrent.options import Variant

__all__ = ["Group", "groups", "recurrent_shapes"]

# Of one layer and direction, weights or gradients: weight_ih, weight_hh, bias_ih, bias_hh of a plain cell,
# where a bias may be None; of any other variant a mapping of names to arrays.
Group: TypeAlias = Any
PLAIN = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def recurrent_shapes(
    variant: Variant, input_size: int, hidden_size: int, num_layers: int, directions: int, *, bias: bool
) -> dict[str, tuple[int, ...]]:
    """Give name and shape of each parameter of a recurrent layer, in their order."""
    width = variant.output_size(hidden_size)
    above = width * directions if variant.merge == "concat" else width
    shapes: dict[str, tuple[int, ...]] = {}
    for index, suffix in enumerate(_suffixes(num_layers, directions)):
        first = index < directions
        own = variant.shapes(input_size if first else above, hidden_size, first=first, bias=bias)
        shapes |= {f"{name}{suffix}": shape for name, shape in own.items()}
    if variant.learn_state:
        states = zip(variant.state_names, variant.state_shapes(hidden_size, 1), strict=True)
        shapes |= {f"initial_{name}": (num_layers * directions, *shape[1:]) for name, shape in states}
    return shapes


def _suffixes(num_layers: int, directions: int) -> list[str]:
    """End of the parameters' names for each layer and direction."""
    return [f"_l{layer}{end}" for layer in range(num_layers) for end in ("", "_reverse")[:directions]]


def groups(arrays: Mapping[str, Array], variant: Variant, num_layers: int, directions: int) -> list[Group]:
    """Give the weights or gradients of each layer and direction."""
    suffixes = _suffixes(num_layers, directions)
    if variant.plain:
        return [tuple(arrays.get(f"{name}{suffix}") for name in PLAIN) for suffix in suffixes]
    return [
        {name.removesuffix(suffix): array for name, array in arrays.items() if name.endswith(suffix)}
        for suffix in suffixes
    ]
