"""What a recurrent layer may be beside the plain cell: options, their checks, the parameters they need."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from fastrnn._checks import as_choice, as_flag, as_number, as_probability, as_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "Cell",
    "CellOptions",
    "GRUOptions",
    "LSTMOptions",
    "RNNOptions",
    "SharedOptions",
    "without_numpy",
]

ACTIVATIONS = ("sigmoid", "tanh", "relu", "identity", "hard_sigmoid", "positive")
MERGES = ("concat", "sum", "mean")


class Cell(NamedTuple):
    """A row of `CELLS`: what is fixed by the cell alone.

    Attributes
    ----------
    layer : str
        The class of its layers.
    gates : int
        G without options, the rows of weight_ih in units of H.
    carries_c : bool
        Whether it carries c beside h, without options.
    has_product : bool
        Whether there is a weight_hh.
    plain : bool
        Whether it has compiled kernels of its own, for layers without options.
    in_stacks : bool
        Whether files, stacks' descriptions and language models have it.
    options : frozenset of str
        What it takes beside `SharedOptions`.
    kernel : str
        The compiled cell that it is, if not its own.
    """

    layer: str
    gates: int
    carries_c: bool = False
    has_product: bool = True
    plain: bool = False
    in_stacks: bool = True
    options: frozenset[str] = frozenset()
    kernel: str | None = None

    @property
    def name(self) -> str:
        """What users call it: "rnn", "gru", "lstm", ..."""
        return self.layer.lower()


_GATED = frozenset({"gate_activation", "candidate_activation"})
#: Every cell there is.
CELLS: dict[str, Cell] = {
    "elman": Cell("RNN", 1, plain=True, options=frozenset({"nonlinearity", "leak"})),
    "gru": Cell("GRU", 3, plain=True, options=_GATED | {"reset_after"}),
    "lstm": Cell(
        "LSTM",
        4,
        carries_c=True,
        plain=True,
        options=_GATED | {"peephole", "coupled", "relevance", "cell_clip", "output_activation"},
    ),
    "mingru": Cell("MinGRU", 2, has_product=False, options=frozenset({"nonlinearity"})),
    "minlstm": Cell("MinLSTM", 3, has_product=False, options=frozenset({"nonlinearity"})),
    "jordan": Cell(
        "Jordan",
        1,
        in_stacks=False,
        options=frozenset({"nonlinearity", "projection_activation", "hidden_recurrence"}),
        kernel="elman",
    ),
}


class SharedOptions(TypedDict, total=False):
    """Keywords that every recurrent layer takes; see `CellOptions`."""

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


class GRUOptions(SharedOptions, total=False):
    """Keywords of `fastrnn.GRU` beside those of every layer."""

    gate_activation: str
    candidate_activation: str


class RNNOptions(SharedOptions, total=False):
    """Keywords of `fastrnn.RNN` beside those of every layer."""

    leak: float | Sequence[float] | str | None


class LSTMOptions(SharedOptions, total=False):
    """Keywords of `fastrnn.LSTM` beside those of every layer."""

    peephole: bool
    coupled: bool
    relevance: bool
    cell_clip: float | None
    gate_activation: str
    candidate_activation: str
    output_activation: str


@dataclass(frozen=True)
class CellOptions:
    """A cell with all its options, checked.

    Attributes
    ----------
    cell : str
        A name in `CELLS`.
    zoneout : (float, float)
        Of h and of c.
    cell_clip : float
        0 for none.
    candidate_activation : str
        Of RNN, MinGRU, MinLSTM and Jordan the nonlinearity.
    leak : None, float, tuple of H floats, "learned" or "shared"
        See `fastrnn.RNN`.
    projection_activation, hidden_recurrence
        Output activation and recurrence of `fastrnn.Jordan`, whose outputs are proj_size.
    others
        As for `fastrnn.LSTM` and, reset_after, `fastrnn.GRU`; numbers are 0 where an option is off.
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
    def of(cls, cell: str, hidden_size: int, directions: int, options: Mapping[str, Any]) -> CellOptions:
        """Check the options of a cell.

        Raises
        ------
        TypeError
            If a name is unknown, or a value of the wrong kind.
        ValueError
            If a value is out of range, or two options contradict each other; both are named.
        """
        known = SharedOptions.__optional_keys__ | CELLS[cell].options
        for name in options:
            if name not in known:
                raise TypeError(f"{name}: no option of this layer")
        checked = {name: _checked(name, value) for name, value in options.items()}
        if "nonlinearity" in checked:
            checked["candidate_activation"] = checked.pop("nonlinearity")
        cell_options = cls(cell, **checked)
        cell_options._refuse_contradictions(hidden_size, directions)
        return cell_options

    def _refuse_contradictions(self, hidden_size: int, directions: int) -> None:
        two_products = (self.cell == "gru" and not self.reset_after) or self.relevance
        first_product = "relevance" if self.relevance else "reset_after=False"
        pairs = [
            (self.proj_size and self.leak is not None, "proj_size", "leak"),
            (self.proj_size and two_products, "proj_size", first_product),
            (self.proj_size and not self.has_product, "proj_size", f"the cell {self.cell}"),
            (self.proj_size and self.cell == "gru" and any(self.zoneout), "proj_size", "zoneout of a GRU"),
            (self.layer_norm and self.relevance, "layer_norm", "relevance"),
            (self.layer_norm and self.skip, "layer_norm", "skip"),
            (self.skip and two_products, "skip", first_product),
            (self.reverse and directions == 2, "reverse", "bidirectional"),
            (self.merge != "concat" and directions == 1, f"merge={self.merge!r}", "one direction"),
            (
                self.zoneout[1] and not CELLS[self.cell].carries_c,
                "zoneout of c",
                f"the cell {self.cell}, which has none",
            ),
        ]
        if not self.has_product:
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
        usual = CellOptions(self.cell)
        relu = self.cell == "elman" and self.candidate_activation == "relu"  # that too is the plain cell
        return CELLS[self.cell].plain and all(
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
        return CELLS[self.cell].gates - self.coupled + self.relevance

    @property
    def has_product(self) -> bool:
        """Whether there is a weight_hh."""
        return CELLS[self.cell].has_product

    @property
    def kind(self) -> str:
        """The kernel's name of the cell."""
        if self.cell == "gru":
            return "gru_after" if self.reset_after else "gru_before"
        return CELLS[self.cell].kernel or self.cell

    @property
    def state_names(self) -> tuple[str, ...]:
        """Arrays of the state: h, c where something else than h is carried, past where steps are skipped."""
        projected = self.cell == "gru" and self.proj_size > 0
        carried = CELLS[self.cell].carries_c or projected or self.hidden_recurrence
        return ("h", *(("c",) if carried else ()), *(("past",) if self.skip else ()))

    def output_size(self, hidden_size: int) -> int:
        """P, the width of h."""
        return self.proj_size or hidden_size


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


def without_numpy(value: Any) -> Any:
    """Return an option's value as Python's own, as it is shown."""
    if isinstance(value, np.ndarray) and value.ndim:
        return tuple(value.tolist())
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
