"""Names and shapes of parameters and states, as PyTorch's, in a group for each layer and direction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from fastrnn._arrays import Array
from fastrnn.layers.recurrent.options import CellOptions

__all__ = ["Group", "group_shapes", "groups", "state_shapes", "suffixes"]

# Weights or gradients of one layer and direction by name, without the suffix: "weight_ih", ...
Group: TypeAlias = Mapping[str, Array]


def state_shapes(options: CellOptions, hidden_size: int, rows: int) -> list[tuple[int, ...]]:
    """Return the shape of each array in the state of one layer and direction, as in `state_names`."""
    P = options.output_size(hidden_size)
    shapes = {"h": (rows, P), "c": (rows, options.carried_size(hidden_size)), "past": (rows, options.skip, P)}
    return [shapes[name] for name in options.state_names]


def group_shapes(
    options: CellOptions, input_size: int, hidden_size: int, *, first: bool, bias: bool
) -> dict[str, tuple[int, ...]]:
    """Return name and shape of each parameter of one layer and direction; `first`: in the first layer."""
    G, H, P = options.gates, hidden_size, options.output_size(hidden_size)
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (G * H, input_size)}
    if options.has_product:
        shapes["weight_hh"] = (G * H, P)
    if bias:
        shapes["bias_ih"] = (G * H,)
        if options.has_product:
            shapes["bias_hh"] = (G * H,)
    if options.proj_size:
        shapes["weight_hr"] = (P, H)
    if options.cell == "jordan" and bias:
        shapes["bias_hr"] = (P,)
    if options.hidden_recurrence:
        shapes["weight_inner"] = (H, H)
    if options.peephole:
        shapes["weight_peephole"] = (2 if options.coupled else 3, H)
    shapes |= {name: (count * H,) for name, count in options.gains.items()}
    if options.layer_norm and options.cell == "lstm":
        shapes |= {"gain_c": (H,), "bias_c": (H,)}
    if isinstance(options.leak, str):
        shapes["leak"] = (H if options.leak == "learned" else 1,)
    if options.skip:
        shapes["weight_skip"] = (G * H, P)
    if options.context_size and first:
        shapes["weight_context"] = (G * H, options.context_size)
    return shapes


def suffixes(num_layers: int, directions: int) -> list[str]:
    """Return the suffix of the parameters' names for each layer and direction."""
    return [f"_l{layer}{end}" for layer in range(num_layers) for end in ("", "_reverse")[:directions]]


def groups(arrays: Mapping[str, Array], num_layers: int, directions: int) -> list[Group]:
    """Return the weights or gradients of each layer and direction."""
    return [
        {name.removesuffix(suffix): array for name, array in arrays.items() if name.endswith(suffix)}
        for suffix in suffixes(num_layers, directions)
    ]
