"""The specification of a recurrent layer: all that a pass needs to know, except the weights."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastrnn._arrays import Array, as_dtype
from fastrnn._checks import as_flag, as_probability, as_size
from fastrnn._memory import check_memory, named_memory
from fastrnn.layers.base.precision import Precision, as_precision
from fastrnn.layers.recurrent.options import CELLS, CellOptions
from fastrnn.layers.recurrent.shapes import Group, group_shapes, groups, state_shapes, suffixes

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["MOST_LAYERS", "RecurrentSpec", "SpecAttributes"]

MOST_LAYERS = 10_000
_FEWER_SEQUENCES = "use fewer sequences or a smaller layer"


@dataclass(frozen=True)
class RecurrentSpec:
    """Sizes and options of a recurrent layer, checked.

    Attributes
    ----------
    input_size, hidden_size, num_layers : int
        D, H and L.
    directions : int
        2 if bidirectional, else 1.
    batch_first : bool
    dropout : float
    bias : bool
    dtype : numpy.dtype
    options : CellOptions
        The cell and its options.
    precision : str
        Of the products.
    """

    input_size: int
    hidden_size: int
    num_layers: int
    directions: int
    batch_first: bool
    dropout: float
    bias: bool
    dtype: np.dtype[Any]
    options: CellOptions
    precision: Precision = "float32"

    @classmethod
    def of(
        cls,
        cell: str,
        sizes: tuple[int, int, int],
        *,
        bidirectional: bool,
        batch_first: bool,
        dropout: float,
        bias: bool,
        dtype: DTypeLike,
        options: Mapping[str, Any],
        precision: str = "float32",
    ) -> RecurrentSpec:
        """Check a layer's arguments; `sizes` are input_size, hidden_size and num_layers.

        Raises
        ------
        ValueError
            If a size is less than 1, a probability is out of range, two options contradict each other, or the
            layer does not have the precision.
        TypeError
            If a size is not an integer, the dtype is not float32 or float64, or an option is unknown.
        """
        names = ("input_size", "hidden_size", "num_layers")
        input_size, hidden_size, num_layers = map(as_size, names, sizes)
        as_size("num_layers", num_layers, most=MOST_LAYERS)
        directions = 2 if as_flag("bidirectional", bidirectional) else 1
        probability = as_probability("dropout", dropout)
        checked = CellOptions.of(cell, hidden_size, directions, options)
        spec = cls(
            input_size,
            hidden_size,
            num_layers,
            directions,
            batch_first=as_flag("batch_first", batch_first),
            dropout=probability,
            bias=as_flag("bias", bias),
            dtype=as_dtype(dtype),
            options=checked,
        )
        return replace(spec, precision=spec.checked_precision(precision))

    @property
    def has_precisions(self) -> bool:
        """Whether the layer has other precisions than float32: a cell that has them, without options."""
        return CELLS[self.cell].precisions and self.options.plain

    def checked_precision(self, precision: Any) -> Precision:
        """Check the precision of a layer that is to be trained.

        Raises
        ------
        ValueError
            If the layer does not have it; the message names the option that has only float32.
        TypeError
            If it is not a str.
        """
        checked = as_precision(precision, self.dtype)
        if checked != "float32" and not self.has_precisions:
            reason = " and ".join(self.options.beyond_plain) or CELLS[self.cell].layer
            raise ValueError(f"precision: expected 'float32' with {reason}, got {checked!r}")
        return checked

    def warn_of_dropout(self, stacklevel: int) -> None:
        """Warn of dropout between layers where there is only one, as PyTorch does."""
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"dropout: {self.dropout:g} has no effect on one layer, as it is between layers; write "
                f"num_layers=2 or more, or output_dropout={self.dropout:g}",
                UserWarning,
                stacklevel=stacklevel,
            )

    def check_memory(self, rows: int = 1) -> None:
        """Judge the sizes before anything is made: the parameters, and the state of some sequences.

        Raises
        ------
        MemoryError
            If this machine cannot hold one of them; with the number of bytes.
        """
        check_memory("parameters", self.parameter_shapes(), self.dtype)
        states = zip(self.state_names, self.state_shapes(self.count * rows), strict=True)
        check_memory("state", dict(states), self.dtype, _FEWER_SEQUENCES)

    @property
    def cell(self) -> str:
        """The cell's name in `CELLS`."""
        return self.options.cell

    @property
    def gates(self) -> int:
        """G: rows of weight_ih in units of H."""
        return self.options.gates

    @property
    def gate_names(self) -> tuple[str, ...]:
        """Names of the gates that a tape keeps, along the third axis of `LayerTape.gates`.

        LSTM: i, f, g, o, without f if coupled, then r with a relevance gate. GRU: r, z, n, then hn, which is
        ``W_hn h' + b_hn``, with ``reset_after``. SLSTM: i, log_f, z, o, where i is ``exp(log_i - m)``.
        MinGRU: z, n. MinLSTM: f, i, n, share, which is ``i / (f + i)``. RNN: none, or with options n, the new
        value; Jordan: n.
        """
        return self.options.gate_names

    @property
    def carried_names(self) -> tuple[str, ...]:
        """Names of the states in `LayerTape.c`, side by side: c; of an SLSTM c, n and m; none without c."""
        if "c" not in self.state_names:
            return ()
        return ("c", "n", "m") if self.cell == "slstm" else ("c",)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers and directions in their order: l0, l0_reverse, l1, ..., as parameters end."""
        return tuple(suffix[1:] for suffix in suffixes(self.num_layers, self.directions))

    @property
    def count(self) -> int:
        """Number of layers and directions, L*directions."""
        return self.num_layers * self.directions

    @property
    def h_size(self) -> int:
        """P, the width of h."""
        return self.options.output_size(self.hidden_size)

    @property
    def output_size(self) -> int:
        """The width of y."""
        return self.h_size * self.directions if self.options.merge == "concat" else self.h_size

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the state's arrays: h, c if the cell carries more than h, past with skip connections."""
        return self.options.state_names

    def state_shapes(self, rows: int) -> list[tuple[int, ...]]:
        """Return the shape of each array of the state of one layer and direction."""
        return state_shapes(self.options, self.hidden_size, rows)

    def zero_state(self, rows: int) -> tuple[Array, ...]:
        """Return a zero state of one layer and direction."""
        with named_memory("state", _FEWER_SEQUENCES):
            return tuple([np.zeros(shape, self.dtype) for shape in self.state_shapes(rows)])

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of each parameter, in order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for index, suffix in enumerate(suffixes(self.num_layers, self.directions)):
            first = index < self.directions
            width = self.input_size if first else self.output_size
            own = group_shapes(self.options, width, self.hidden_size, first=first, bias=self.bias)
            shapes |= {f"{name}{suffix}": shape for name, shape in own.items()}
        if self.options.learn_state:
            states = zip(self.state_names, self.state_shapes(1), strict=True)
            shapes |= {f"initial_{name}": (self.count, *shape[1:]) for name, shape in states}
        return shapes

    def groups(self, arrays: Mapping[str, Array]) -> list[Group]:
        """Return the weights or gradients of each layer and direction by name."""
        return groups(arrays, self.num_layers, self.directions)


class SpecAttributes:
    """The attributes of a layer that its `RecurrentSpec` determines."""

    spec: RecurrentSpec
    options: CellOptions
    input_size: int
    hidden_size: int
    directions: int
    bidirectional: bool
    num_layers: int
    batch_first: bool
    bias: bool
    gates: int
    state_names: tuple[str, ...]
    output_size: int
    proj_size: int
    _precision: Precision
    #: A class's own arguments that are also attributes, with their defaults; and the options that were given.
    _own: ClassVar[Mapping[str, Any]] = {}
    _given: dict[str, Any]

    def _set_attributes(self, spec: RecurrentSpec) -> None:
        self.spec, self.options = spec, spec.options
        self.input_size, self.hidden_size = spec.input_size, spec.hidden_size
        self.directions, self.bidirectional = spec.directions, spec.directions == 2
        self.num_layers, self.batch_first, self.bias = spec.num_layers, spec.batch_first, spec.bias
        self.gates, self.state_names, self.output_size = spec.gates, spec.state_names, spec.output_size
        self.proj_size, self._precision = spec.options.proj_size, spec.precision

    def _options(self) -> list[tuple[str, Any, Any]]:
        """Return name, value and default of each option."""
        spec = self.spec
        return [
            ("num_layers", spec.num_layers, 1),
            ("bidirectional", self.bidirectional, False),
            ("batch_first", spec.batch_first, False),
            ("dropout", spec.dropout, 0.0),
            ("bias", spec.bias, True),
            ("dtype", spec.dtype.name, "float32"),
            *((("precision", spec.precision, "float32"),) if spec.has_precisions else ()),
            *((name, value, None) for name, value in self._given.items()),
            *((name, getattr(self, name), usual) for name, usual in self._own.items()),
        ]
