"""What an import found: layers by name, what it could not place, and what it converted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastrnn.layers import Module

__all__ = ["Imported"]


@dataclass
class Imported:
    """Layers read from another library's model.

    Attributes
    ----------
    layers : dict of str to Module
        The layers by the names that they have there, in the order in which the model lists them.
    unplaced : dict of str to str
        What became no layer, by name: the reason of each.
    notes : list of str
        Conversions, one sentence each: ``"rnn.weight_ih_l0: float16 became float32"``.
    """

    layers: dict[str, Module] = field(default_factory=dict)
    unplaced: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{name}: {layer!r}" for name, layer in self.layers.items()]
        lines += [f"{name}: not placed, {reason}" for name, reason in self.unplaced.items()]
        return "\n".join([*lines, *self.notes])
