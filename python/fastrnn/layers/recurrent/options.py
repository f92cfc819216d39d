"""The cells and their options, with the checks."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from fastrnn._cached import computed_once
from fastrnn._checks import as_choice, as_flag, as_number, as_probability, as_size
from fastrnn._other_words import refuse_arguments

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
    "SLSTMOptions",
    "SharedOptions",
    "checked_option",
    "without_numpy",
]


class SharedOptions(TypedDict, total=False):
    """Keywords of every recurrent layer whose cell has options; see `CellOptions`."""

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


# Arguments of every layer that are no options, for suggestions.
_SHARED = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bidirectional",
    "batch_first",
    "dropout",
    "dtype",
    "seed",
)
# Steps: the state holds as many outputs.
MOST_SKIPPED = 2**16
ACTIVATIONS = ("sigmoid", "tanh", "relu", "identity", "hard_sigmoid", "positive")
MERGES = ("concat", "sum", "mean")
PEEPHOLES = ("gers", "previous")


class Cell(NamedTuple):
    """A row of `CELLS`: what is fixed by the cell alone.

    Attributes
    ----------
    layer : str
        The class of the layers.
    gates : int
        G without options, the rows of weight_ih in units of H.
    carried : int
        Width of c, the state besides h, without options, in units of H; 0: there is no c.
    has_product : bool
        Whether there is a weight_hh.
    plain : bool
        Whether layers without options have compiled kernels of their own.
    precisions : bool
        Whether these have other precisions than float32.
    by_name : bool
        Whether a language model and the program make it from its name and the usual sizes.
    options : frozenset of str
        The cell's own options.
    kernel : str
        The name of the compiled cell, if it is another.
    """

    layer: str
    gates: int
    carried: int = 0
    has_product: bool = True
    plain: bool = False
    precisions: bool = False
    by_name: bool = True
    options: frozenset[str] = frozenset()
    kernel: str | None = None

    @property
    def name(self) -> str:
        """The name that users pass: "rnn", "gru", "lstm", ..."""
        return self.layer.lower()

    @property
    def accepts(self) -> frozenset[str]:
        """Every option that it takes."""
        return SharedOptions.__optional_keys__ | self.options


_GATED = frozenset({"gate_activation", "candidate_activation"})
#: Every cell there is.
CELLS: dict[str, Cell] = {
    "elman": Cell("RNN", 1, plain=True, precisions=True, options=frozenset({"nonlinearity", "leak"})),
    "gru": Cell("GRU", 3, plain=True, precisions=True, options=_GATED | {"reset_after"}),
    "lstm": Cell(
        "LSTM",
        4,
        carried=1,
        plain=True,
        precisions=True,
        options=_GATED | {"peephole", "coupled", "relevance", "cell_clip", "output_activation"},
    ),
    "slstm": Cell("SLSTM", 4, carried=3, plain=True),
    "mingru": Cell("MinGRU", 2, has_product=False, options=frozenset({"nonlinearity"})),
    "minlstm": Cell("MinLSTM", 3, has_product=False, options=frozenset({"nonlinearity"})),
    "jordan": Cell(
        "Jordan",
        1,
        by_name=False,
        options=frozenset({"nonlinearity", "projection_activation", "hidden_recurrence"}),
        kernel="elman",
    ),
}


# What a tape keeps of the cells whose gates no option changes.
_GATES_KEPT = {
    "elman": ("n",),
    "jordan": ("n",),
    "slstm": ("i", "log_f", "z", "o"),
    "mingru": ("z", "n"),
    "minlstm": ("f", "i", "n", "share"),
}


class SLSTMOptions(SharedOptions, total=False):
    """Keywords of `fastrnn.SLSTM`, which has no others."""


class GRUOptions(SharedOptions, total=False):
    """Keywords of `fastrnn.GRU` in addition to `SharedOptions`."""

    gate_activation: str
    candidate_activation: str


class RNNOptions(SharedOptions, total=False):
    """Keywords of `fastrnn.RNN` in addition to `SharedOptions`."""

    leak: float | Sequence[float] | str | None


class LSTMOptions(SharedOptions, total=False):
    """Keywords of `fastrnn.LSTM` in addition to `SharedOptions`."""

    peephole: bool | str
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
        The probabilities for h and for c.
    cell_clip : float
        0: none.
    candidate_activation : str
        For RNN, MinGRU, MinLSTM and Jordan, the nonlinearity.
    leak : None, float, tuple of H floats, "learned" or "shared"
        See `fastrnn.RNN`.
    peephole : False or str
        "gers" for True.
    projection_activation, hidden_recurrence
        Output activation and hidden recurrence of `fastrnn.Jordan`, whose output_size is proj_size.
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
    peephole: bool | str = False
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
            If an option is unknown, or a value has a wrong type.
        ValueError
            If a value is out of range, or two options contradict each other; the message names both.
        """
        unknown = {name: value for name, value in options.items() if name not in CELLS[cell].accepts}
        if "precision" in unknown:
            raise ValueError(
                f"precision: {CELLS[cell].layer} has only float32; leave it out, or choose one of "
                f"{', '.join(known.layer for known in CELLS.values() if known.precisions)}"
            )
        if unknown:
            refuse_arguments(unknown, (*_SHARED, *CELLS[cell].accepts), "an option of this layer")
        checked = {name: checked_option(name, value) for name, value in options.items()}
        if "nonlinearity" in checked:
            checked["candidate_activation"] = checked.pop("nonlinearity")
        cell_options = cls(cell, **checked)
        cell_options._refuse_contradictions(hidden_size, directions)
        return cell_options

    def _refuse_contradictions(self, hidden_size: int, directions: int) -> None:
        two_products = (self.cell == "gru" and not self.reset_after) or self.relevance
        first_product = "relevance" if self.relevance else "reset_after=False"
        pairs: list[tuple[Any, str, str]] = [
            (self.proj_size and self.leak is not None, "proj_size", "leak"),
            (self.proj_size and two_products, "proj_size", first_product),
            (self.proj_size and not self.has_product, "proj_size", f"the cell {self.cell}"),
            (self.proj_size and self.cell == "gru" and any(self.zoneout), "proj_size", "zoneout of a GRU"),
            (self.skip and two_products, "skip", first_product),
            (self.reverse and directions == 2, "reverse", "bidirectional"),
            (self.merge != "concat" and directions == 1, f"merge={self.merge!r}", "one direction"),
        ]
        if not (self.cell == "lstm" or self.hidden_recurrence):
            kind = "no hidden_recurrence" if self.cell == "jordan" else f"the cell {self.cell}"
            pairs.append((self.zoneout[1], "zoneout of c", kind))
        if not self.has_product:
            none = f"the cell {self.cell}, which has no recurrent product"
            names = ("state_dropout", "weight_drop", "skip")
            pairs += [(getattr(self, name), name, none) for name in names]
        if self.cell == "jordan":
            pairs.append((self.skip, "skip", "a Jordan network"))
        for contradict, one, other in pairs:
            if contradict:
                raise ValueError(f"{one}: contradicts {other}")
        if isinstance(self.leak, tuple) and len(self.leak) != hidden_size:
            raise ValueError(f"leak: expected a number or {hidden_size} of them, got {len(self.leak)}")
        if self.proj_size >= hidden_size and self.cell != "jordan":
            raise ValueError(
                f"proj_size: expected less than hidden_size, {hidden_size}, got {self.proj_size}"
            )

    @computed_once
    def plain(self) -> bool:
        """Whether the kernels of the plain cell suffice."""
        return CELLS[self.cell].plain and not self.beyond_plain

    @computed_once
    def beyond_plain(self) -> tuple[str, ...]:
        """The options that the kernels of the plain cell do not have."""
        here, usual = {"merge", "reverse", "learn_state", "reset_after", "cell"}, CellOptions(self.cell)
        if self.cell == "elman" and self.candidate_activation == "relu":
            here.add("candidate_activation")  # also the plain cell
        names = [field.name for field in fields(self) if field.name not in here]
        changed = [name for name in names if getattr(self, name) != getattr(usual, name)]
        nonlinear = self.cell == "elman"  # whose candidate's activation users call so
        return tuple(
            "nonlinearity" if nonlinear and name == "candidate_activation" else name for name in changed
        )

    @computed_once
    def random(self) -> bool:
        """Whether a training pass draws masks other than those between layers."""
        names = ("input_dropout", "state_dropout", "output_dropout", "recurrent_dropout", "weight_drop")
        return any(self.zoneout) or any(getattr(self, name) for name in names)

    @property
    def gates(self) -> int:
        """G: rows of weight_ih in units of H."""
        return CELLS[self.cell].gates - self.coupled + self.relevance

    @property
    def gate_names(self) -> tuple[str, ...]:
        """Names of the gates that a tape keeps, in their order; see `fastrnn.layers.LayerTape`."""
        if self.cell == "lstm":
            last = ("r",) if self.relevance else ()
            return ("i", *(() if self.coupled else ("f",)), "g", "o", *last)
        if self.cell == "gru":
            return ("r", "z", "n", *(("hn",) if self.reset_after else ()))
        return () if self.plain and self.cell == "elman" else _GATES_KEPT[self.cell]

    @property
    def has_product(self) -> bool:
        """Whether there is a weight_hh."""
        return CELLS[self.cell].has_product

    @property
    def gains(self) -> dict[str, int]:
        """Names of the gains of the gates' sums, with sizes in units of H; empty without layer_norm."""
        if not self.layer_norm:
            return {}
        if self.cell in ("elman", "jordan"):
            return {"gain": 1}  # of the sum of both products
        return dict.fromkeys(("gain_ih", "gain_hh") if self.has_product else ("gain_ih",), self.gates)

    @property
    def kind(self) -> str:
        """The name of the cell in the kernels."""
        if self.cell == "gru":
            return "gru_after" if self.reset_after else "gru_before"
        return CELLS[self.cell].kernel or self.cell

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the state's arrays: h, c if the cell carries more than h, past with skip connections."""
        projected = self.cell == "gru" and self.proj_size > 0
        carried = CELLS[self.cell].carried or projected or self.hidden_recurrence
        return ("h", *(("c",) if carried else ()), *(("past",) if self.skip else ()))

    def carried_size(self, hidden_size: int) -> int:
        """Return the width of c."""
        return max(CELLS[self.cell].carried, 1) * hidden_size

    def output_size(self, hidden_size: int) -> int:
        """P, the width of h."""
        return self.proj_size or hidden_size


def checked_option(name: str, value: Any) -> Any:
    """Check the value of one option by itself.

    Raises
    ------
    TypeError, ValueError
        If it has a wrong type or is out of range.
    """
    if name.endswith("_dropout") or name == "weight_drop":
        return as_probability(name, value)
    if name == "zoneout":
        pair = value if isinstance(value, (tuple, list)) else (value, 0.0)
        if len(pair) != 2:
            raise ValueError(f"zoneout: expected a number or a pair (h, c), got {value!r}")
        return (as_probability("zoneout", pair[0]), as_probability("zoneout", pair[1]))
    if name in ("proj_size", "skip", "context_size"):
        return as_size(name, value, least=0, most=MOST_SKIPPED if name == "skip" else None)
    if name == "cell_clip":
        return 0.0 if value is None else as_number(name, value, above=0.0, most=math.inf)
    if name == "peephole":
        known = isinstance(value, str) and as_choice(name, value, PEEPHOLES)
        return known or (as_flag(name, value) and "gers")
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
    """Return an option's value as a Python object, for display."""
    if isinstance(value, np.ndarray) and value.ndim:
        return tuple(value.tolist())
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
