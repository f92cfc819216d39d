"""What a recurrent layer may be beside the plain cell: options, their checks, the parameters they need."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from fastrnn._checks import as_choice, as_flag, as_number, as_probability, as_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ACTIVATIONS", "GRUOptions", "LSTMOptions", "RNNOptions", "Variant", "VariantOptions"]

ACTIVATIONS = ("sigmoid", "tanh", "relu", "identity", "hard_sigmoid", "positive")
MERGES = ("concat", "sum", "mean")
# What single cells take beside `VariantOptions`.
OWN_OPTIONS = {
    "elman": {"nonlinearity", "leak"},
    "gru": {"reset_after", "gate_activation", "candidate_activation"},
    "lstm": {
        "peephole",
        "coupled",
        "relevance",
        "cell_clip",
        "gate_activation",
        "candidate_activation",
        "output_activation",
    },
    "jordan": {"nonlinearity", "projection_activation", "hidden_recurrence"},
    "mingru": {"nonlinearity"},
    "minlstm": {"nonlinearity"},
}


class VariantOptions(TypedDict, total=False):
    """Keywords that every recurrent layer takes; see `Variant`."""

    proj_size: int
    layer_norm: bool
    zoneout: float | tuple[float, float]
    recurrent_dropout: float
    input_dropout: float
    state_dropout: float
    output_dropout: float
    weight_drop: float
    skip: int
    context_size: int
    merge: str
    reverse: bool
    learn_state: bool


class GRUOptions(VariantOptions, total=False):
    """Keywords of `fastrnn.GRU` beside those of every layer."""

    gate_activation: str
    candidate_activation: str


class RNNOptions(VariantOptions, total=False):
    """Keywords of `fastrnn.RNN` beside those of every layer."""

    leak: float | Sequence[float] | str | None


class LSTMOptions(VariantOptions, total=False):
    """Keywords of `fastrnn.LSTM` beside those of every layer."""

    peephole: bool
    coupled: bool
    relevance: bool
    cell_clip: float | None
    gate_activation: str
    candidate_activation: str
    output_activation: str


@dataclass(frozen=True)
class Variant:
    """A cell with all its options, checked.

    Attributes
    ----------
    cell : {"elman", "gru", "lstm", "mingru", "minlstm"}
    proj_size : int
        P: h is ``W_hr q``, [P], q what the cell gives (Sak, Senior, Beaufays 2014); 0: h is q itself.
    layer_norm : bool
        Normalise ``W_ih x``, ``W_hh h'`` and an LSTM's c (Ba, Kiros, Hinton 2016).
    zoneout : (float, float)
        Probabilities that a unit of h, and of c, keeps its value for a step (Krueger et al. 2017).
    recurrent_dropout : float
        Of the candidate, anew at each step (Semeniuta, Severyn, Barth 2016).
    input_dropout, state_dropout, output_dropout : float
        Of a layer's input, of h' in the recurrent product and of a layer's output, the same units at every
        step of a pass (Gal, Ghahramani 2016).
    weight_drop : float
        Of single weights of weight_hh, for a pass (Wan et al. 2013; Merity, Keskar, Socher 2017).
    skip : int
        Steps d that a further recurrent connection, weight_skip, goes over (El Hihi, Bengio 1995); 0: none.
    context_size : int
        C: a vector [N, C] is added to every step of the first layer through weight_context; 0: none.
    merge : {"concat", "sum", "mean"}
        What becomes of the outputs of two directions.
    reverse : bool
        The only direction runs from each row's end.
    learn_state : bool
        The initial states are parameters.
    peephole, coupled, relevance, cell_clip
        LSTM. See `fastrnn.LSTM`.
    gate_activation, candidate_activation, output_activation : str
        One of `ACTIVATIONS`.
    leak : None, float, tuple of H floats, "learned" or "shared"
        RNN. See `fastrnn.RNN`.
    reset_after : bool
        GRU.
    projection_activation, hidden_recurrence
        Jordan. See `fastrnn.Jordan`.
    """

    cell: str
    proj_size: int = 0
    layer_norm: bool = False
    zoneout: tuple[float, float] = (0.0, 0.0)
    recurrent_dropout: float = 0.0
    input_dropout: float = 0.0
    state_dropout: float = 0.0
    output_dropout: float = 0.0
    weight_drop: float = 0.0
    skip: int = 0
    context_size: int = 0
    merge: str = "concat"
    reverse: bool = False
    learn_state: bool = False
    peephole: bool = False
    coupled: bool = False
    relevance: bool = False
    cell_clip: float = 0.0
    gate_activation: str = "sigmoid"
    candidate_activation: str = "tanh"
    output_activation: str = "tanh"
    leak: float | tuple[float, ...] | str | None = None
    reset_after: bool = True
    projection_activation: str = "identity"
    hidden_recurrence: bool = False

    @classmethod
    def of(cls, cell: str, hidden_size: int, directions: int, options: Mapping[str, Any]) -> Variant:
        """Check the options of a cell.

        Raises
        ------
        TypeError
            If a name is unknown, or a value of the wrong kind.
        ValueError
            If a value is out of range, or two options contradict each other; both are named.
        """
        known = VariantOptions.__optional_keys__ | OWN_OPTIONS[cell]
        for name in options:
            if name not in known:
                raise TypeError(f"{name}: no option of this layer")
        checked = {name: _checked(name, value) for name, value in options.items()}
        if "nonlinearity" in checked:
            checked["candidate_activation"] = checked.pop("nonlinearity")
        variant = cls(cell, **checked)
        variant._refuse_contradictions(hidden_size, directions)
        return variant

    def _refuse_contradictions(self, hidden_size: int, directions: int) -> None:
        two_products = (self.cell == "gru" and not self.reset_after) or self.relevance
        first_product = "relevance" if self.relevance else "reset_after=False"
        pairs = [
            (self.proj_size and self.leak is not None, "proj_size", "leak"),
            (self.proj_size and two_products, "proj_size", first_product),
            (self.proj_size and self.cell in ("mingru", "minlstm"), "proj_size", f"the cell {self.cell}"),
            (self.proj_size and self.cell == "gru" and any(self.zoneout), "proj_size", "zoneout of a GRU"),
            (self.layer_norm and self.relevance, "layer_norm", "relevance"),
            (self.layer_norm and self.skip, "layer_norm", "skip"),
            (self.skip and two_products, "skip", first_product),
            (self.reverse and directions == 2, "reverse", "bidirectional"),
            (self.merge != "concat" and directions == 1, f"merge={self.merge!r}", "one direction"),
            (
                self.zoneout[1] and self.cell != "lstm",
                "zoneout of c",
                f"the cell {self.cell}, which has none",
            ),
        ]
        if self.cell in ("mingru", "minlstm"):
            none = f"the cell {self.cell}, which has no recurrent product"
            names = ("layer_norm", "state_dropout", "weight_drop", "skip")
            pairs += [(getattr(self, name), name, none) for name in names]
        if self.cell == "jordan":
            given = [(any(self.zoneout), "zoneout"), (self.skip, "skip"), (self.layer_norm, "layer_norm")]
            pairs += [(one, name, "a Jordan network") for one, name in given]
        for contradict, one, other in pairs:
            if contradict:
                raise ValueError(f"{one}: contradicts {other}")
        if isinstance(self.leak, tuple) and len(self.leak) != hidden_size:
            raise ValueError(f"leak: expected a number or {hidden_size} of them, got {len(self.leak)}")
        if self.proj_size >= hidden_size and self.cell != "jordan":
            raise ValueError(
                f"proj_size: expected less than hidden_size, {hidden_size}, got {self.proj_size}"
            )

    @cached_property
    def plain(self) -> bool:
        """Whether the plain cell's own kernels do it all."""
        here = {"merge", "reverse", "learn_state", "reset_after", "cell"}
        usual = Variant(self.cell)
        relu = self.cell == "elman" and self.candidate_activation == "relu"  # that too is the plain cell
        return self.cell in ("elman", "gru", "lstm") and all(
            getattr(self, field.name) == getattr(usual, field.name)
            for field in fields(self)
            if field.name not in here and not (relu and field.name == "candidate_activation")
        )

    @property
    def random(self) -> bool:
        """Whether a pass in training draws masks, beside those between layers."""
        names = ("input_dropout", "state_dropout", "output_dropout", "recurrent_dropout", "weight_drop")
        return any(self.zoneout) or any(getattr(self, name) for name in names)

    @property
    def gates(self) -> int:
        """G, the rows of weight_ih in units of H."""
        if self.cell == "lstm":
            return 4 - self.coupled + self.relevance
        return {"elman": 1, "jordan": 1, "gru": 3, "mingru": 2, "minlstm": 3}[self.cell]

    @property
    def has_product(self) -> bool:
        """Whether there is a weight_hh."""
        return self.cell not in ("mingru", "minlstm")

    @property
    def kind(self) -> str:
        """The kernel's name of the cell."""
        if self.cell == "gru":
            return "gru_after" if self.reset_after else "gru_before"
        return "elman" if self.cell == "jordan" else self.cell

    @property
    def state_names(self) -> tuple[str, ...]:
        """Arrays of the state: h, c where something else than h is carried, past where steps are skipped."""
        projected = self.cell == "gru" and self.proj_size > 0
        carried = self.cell == "lstm" or projected or self.hidden_recurrence
        return ("h", *(("c",) if carried else ()), *(("past",) if self.skip else ()))

    def output_size(self, hidden_size: int) -> int:
        """P, the width of h."""
        return self.proj_size or hidden_size

    def state_shapes(self, hidden_size: int, rows: int) -> list[tuple[int, ...]]:
        """Shape of each array of one layer's and direction's state."""
        P = self.output_size(hidden_size)
        shapes = {"h": (rows, P), "c": (rows, hidden_size), "past": (rows, self.skip, P)}
        return [shapes[name] for name in self.state_names]

    def shapes(
        self, input_size: int, hidden_size: int, *, first: bool, bias: bool
    ) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter of one layer and direction, without the names' end."""
        G, H, P = self.gates, hidden_size, self.output_size(hidden_size)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (G * H, input_size)}
        if self.has_product:
            shapes["weight_hh"] = (G * H, P)
        if bias:
            shapes["bias_ih"] = (G * H,)
            if self.has_product:
                shapes["bias_hh"] = (G * H,)
        if self.proj_size:
            shapes["weight_hr"] = (P, H)
        if self.cell == "jordan":
            if bias:
                shapes["bias_hr"] = (P,)
            if self.hidden_recurrence:
                shapes["weight_inner"] = (H, H)
        if self.peephole:
            shapes["weight_peephole"] = (2 if self.coupled else 3, H)
        if self.layer_norm:
            shapes |= {"gain_ih": (G * H,), "gain_hh": (G * H,)}
            if self.cell == "lstm":
                shapes |= {"gain_c": (H,), "bias_c": (H,)}
        if isinstance(self.leak, str):
            shapes["leak"] = (H if self.leak == "learned" else 1,)
        if self.skip:
            shapes["weight_skip"] = (G * H, P)
        if self.context_size and first:
            shapes["weight_context"] = (G * H, self.context_size)
        return shapes


def _checked(name: str, value: Any) -> Any:
    if name.endswith("_dropout") or name == "weight_drop":
        return as_probability(name, value)
    if name == "zoneout":
        pair = value if isinstance(value, (tuple, list)) else (value, 0.0)
        if len(pair) != 2:
            raise ValueError(f"zoneout: expected a number or a pair (h, c), got {value!r}")
        return (as_probability("zoneout", pair[0]), as_probability("zoneout", pair[1]))
    if name in ("proj_size", "skip", "context_size"):
        return as_size(name, value, least=0)
    if name == "cell_clip":
        return 0.0 if value is None else as_number(name, value, above=0.0, most=math.inf)
    if name == "leak":
        if isinstance(value, str):
            return as_choice(name, value, ("learned", "shared"))
        if np.ndim(value) == 1:
            return tuple(as_probability(name, one) for one in value)
        return None if value is None else as_probability(name, value)
    if name in ("merge", "nonlinearity") or name.endswith("_activation"):
        return as_choice(name, value, MERGES if name == "merge" else ACTIVATIONS)
    return as_flag(name, value)
