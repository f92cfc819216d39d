"""A variant of a cell: its options, and the weights, masks and states that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn.reference._arrays import Floats, Integers, check_floats, check_shape, kind
from fastrnn.reference.variant_activations import ACTIVATIONS

#: Gates in the order of the weights' rows; an LSTM may have no f, and may have an r at the end.
GATES = {"elman": "n", "gru": "rzn", "lstm": "ifgo", "slstm": "ifzo", "mingru": "zn", "minlstm": "fin"}
#: Options of each cell.
OPTIONS = {
    "elman": {"nonlinearity", "leak", "layer_norm", "skip", "zoneout"},
    "gru": {"nonlinearity", "gate_activation", "reset_after", "layer_norm", "skip", "zoneout"},
    "lstm": {
        *("peephole", "coupled", "relevance", "cell_clip", "layer_norm", "skip", "zoneout"),
        *("gate_activation", "candidate_activation", "output_activation"),
    },
    "slstm": {"layer_norm", "skip", "zoneout"},
    "mingru": {"nonlinearity", "layer_norm", "zoneout"},
    "minlstm": {"nonlinearity", "layer_norm", "zoneout"},
}
#: Weights that a cell may or may not have; all others follow from the options.
OPTIONAL = {
    "elman": {"bias_ih", "bias_hh", "weight_hr", "leak"},
    "gru": {"bias_ih", "bias_hh", "weight_hr"},
    "lstm": {"bias_ih", "bias_hh", "weight_hr", "weight_peephole"},
    "slstm": {"bias_ih", "bias_hh", "weight_hr"},
    "mingru": {"bias_ih"},
    "minlstm": {"bias_ih"},
}


@dataclass(frozen=True)
class Variant:
    """A cell with its options, checked; see `variant_forward` for their meaning.

    Attributes
    ----------
    cell : str
        "elman", "gru", "lstm", "slstm", "mingru" or "minlstm".
    H, P : int
        Hidden width, and the width of h: H, or less with a projection.
    weights : frozenset of str
        The names of the weights given.
    """

    cell: str
    H: int
    P: int
    weights: frozenset[str]
    nonlinearity: str = "tanh"
    gate_activation: str = "sigmoid"
    candidate_activation: str = "tanh"
    output_activation: str = "tanh"
    leak: float | str | None = None
    reset_after: bool = True
    peephole: str = "gers"
    coupled: bool = False
    relevance: bool = False
    cell_clip: float | None = None
    layer_norm: bool = False
    zoneout: tuple[float, float] = (0.0, 0.0)
    skip: int = 0

    @property
    def projected(self) -> bool:
        """Whether h is W_hr q instead of q."""
        return "weight_hr" in self.weights

    @property
    def gates(self) -> str:
        """The gates' letters, in the order of the weights' rows."""
        return _gates(self.cell, self.coupled, self.relevance)

    @property
    def has_product(self) -> bool:
        """Whether the gates depend on h."""
        return self.cell not in ("mingru", "minlstm")

    @property
    def state_widths(self) -> dict[str, int]:
        """The arrays of the state and their row widths; the past is flattened to one vector."""
        widths = {"h": self.P}
        if self.cell == "lstm" or (self.cell == "gru" and self.projected):
            widths["c"] = self.H
        if self.cell == "slstm":
            widths["c"] = 3 * self.H
        if self.skip:
            widths["past"] = self.skip * self.P
        return widths

    @property
    def joint(self) -> bool:
        """Whether the input part and the recurrent part are summed and then normalised."""
        return self.layer_norm and self.cell == "elman"

    def groups(self, gates: str) -> list[str]:
        """Return these gates in groups that are normalised together: a GRU's candidate is alone."""
        alone = "g" if self.relevance else "n" if self.cell in ("gru", "mingru") else ""
        both = ("".join(gate for gate in gates if gate not in alone), "".join(set(gates) & set(alone)))
        return [group for group in both if group]

    def rows(self, gates: str) -> Integers:
        """Return the indices of some gates' rows in weight_ih, weight_hh and the biases."""
        return self.columns(self.gates, gates)

    def columns(self, all_gates: str, gates: str) -> Integers:
        """Return the indices of some gates' numbers among those of others."""
        first = (all_gates.index(gate) * self.H for gate in gates)
        return np.concatenate([np.arange(row, row + self.H) for row in first])

    def shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all weights that the options allow, given or not."""
        G, H, P = len(self.gates), self.H, self.P
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (G * H, input_size), "bias_ih": (G * H,)}
        if self.has_product:
            shapes |= {"weight_hh": (G * H, P), "bias_hh": (G * H,), "weight_hr": (P, H)}
        if self.cell == "lstm":
            shapes["weight_peephole"] = (2 if self.coupled else 3, H)
        if self.joint:
            shapes["gain"] = (H,)
        elif self.layer_norm:
            shapes["gain_ih"] = (G * H,)
            if self.has_product:
                shapes["gain_hh"] = (G * H,)
        if self.layer_norm and self.cell == "lstm":
            shapes |= {"gain_c": (H,), "bias_c": (H,)}
        if self.cell == "elman":
            shapes["leak"] = (H,)
        if self.skip:
            shapes["weight_skip"] = (G * H, P)
        return shapes


def make_variant(cell: str, weights: Mapping[str, Floats], options: Mapping[str, Any]) -> Variant:
    """Return the variant of a cell, its weights and options; raise if they do not fit each other."""
    if cell not in GATES:
        raise ValueError(f"cell: expected one of {', '.join(GATES)}, got {cell!r}")
    if unknown := sorted(set(options) - OPTIONS[cell]):
        raise TypeError(f"{unknown[0]}: not an option of the cell {cell}")
    if "weight_ih" not in weights:
        raise ValueError("weights: expected weight_ih, got none")
    gates = _gates(cell, options.get("coupled", False), options.get("relevance", False))
    H = len(weights["weight_ih"]) // len(gates)
    P = len(weights["weight_hr"]) if "weight_hr" in weights else H
    usual = {"nonlinearity": "identity"} if cell in ("mingru", "minlstm") else {}
    variant = Variant(cell, H, P, frozenset(weights), **{**usual, **options})
    _check_activations(variant)
    _check_numbers(variant)
    _check_contradictions(variant)
    _check_weights(variant, weights)
    return variant


def _gates(cell: str, coupled: bool, relevance: bool) -> str:
    gates = GATES[cell].replace("f", "") if coupled else GATES[cell]
    return gates + "r" if relevance else gates


def _check_activations(variant: Variant) -> None:
    names = ("nonlinearity", "gate_activation", "candidate_activation", "output_activation")
    for name in names:
        value, choices = getattr(variant, name), list(ACTIVATIONS)
        if name == "nonlinearity" and not variant.has_product:
            choices = ["identity", "positive"]
        if value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")
    if variant.peephole not in ("gers", "previous"):
        raise ValueError(f"peephole: expected gers or previous, got {variant.peephole!r}")


def _check_numbers(variant: Variant) -> None:
    if isinstance(variant.leak, str):
        if variant.leak != "learned":
            raise ValueError(f'leak: expected a number or "learned", got {variant.leak!r}')
    elif variant.leak is not None and not 0 <= variant.leak < 1:
        raise ValueError(f"leak: expected a number in [0, 1), got {variant.leak}")
    if variant.cell_clip is not None and not variant.cell_clip > 0:
        raise ValueError(f"cell_clip: expected a number above 0, got {variant.cell_clip}")
    zone_h, zone_c = variant.zoneout
    if not (0 <= zone_h <= 1 and 0 <= zone_c <= 1):
        raise ValueError(f"zoneout: expected two numbers in [0, 1], got {variant.zoneout}")
    if variant.skip < 0:
        raise ValueError(f"skip: expected 0 or more, got {variant.skip}")


def _check_contradictions(variant: Variant) -> None:
    learned = "leak" in variant.weights
    first_resets = (variant.cell == "gru" and not variant.reset_after) or variant.relevance
    resets = "relevance" if variant.relevance else "reset_after=False"
    projected_gru = variant.cell == "gru" and variant.projected
    pairs: list[tuple[Any, str, str]] = [
        (variant.projected and (learned or variant.leak is not None), "weight_hr", "leak"),
        (variant.projected and first_resets, "weight_hr", resets),
        (projected_gru and any(variant.zoneout), "weight_hr", "zoneout of a GRU"),
        (variant.skip and first_resets, "skip", resets),
        (variant.zoneout[1] and variant.cell != "lstm", "zoneout of c", f"the cell {variant.cell}"),
        (learned and variant.leak not in (None, "learned"), "leak", "the weight of this name"),
        (not learned and variant.leak == "learned", "leak", "weights without it"),
    ]
    for contradict, one, other in pairs:
        if contradict:
            raise ValueError(f"{one}: contradicts {other}")


def _check_weights(variant: Variant, weights: Mapping[str, Floats]) -> None:
    weight_ih = weights["weight_ih"]
    if not np.issubdtype(getattr(weight_ih, "dtype", type(None)), np.floating):
        raise TypeError(f"weight_ih: expected floats, got {kind(weight_ih)}")
    check_shape("weight_ih", weight_ih, ("G*H", "D"))
    shapes = variant.shapes(weight_ih.shape[1])
    if missing := sorted(set(shapes) - set(weights) - OPTIONAL[variant.cell]):
        raise ValueError(f"weights: expected {missing[0]}, got none")
    for name, weight in weights.items():
        if name not in shapes:
            raise ValueError(f"weights: {name} does not belong to this variant")
        shape = (1,) if name == "leak" and weight.shape == (1,) else shapes[name]
        check_floats(name, weight, shape, weight_ih.dtype)


def check_masks(variant: Variant, masks: Mapping[str, Floats], x: Floats) -> None:
    """Raise unless each mask belongs to the variant, with its shape and the dtype of x."""
    steps, rows, D = x.shape
    shapes: dict[str, tuple[int, ...]] = {"x": (rows, D), "candidate": (steps, rows, variant.H)}
    if variant.has_product:
        shapes["h"] = (rows, variant.P)
    if not (variant.cell == "gru" and variant.projected):
        shapes["zone_h"] = (steps, rows, variant.P)
    if variant.cell == "lstm":
        shapes["zone_c"] = (steps, rows, variant.H)
    for name, mask in masks.items():
        if name not in shapes:
            raise ValueError(f"masks: expected some of {', '.join(shapes)}, got {name}")
        check_floats(f"masks: {name}", mask, shapes[name], x.dtype)
