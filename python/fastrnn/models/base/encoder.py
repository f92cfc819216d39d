"""The layers that read a sequence: an embedding of symbols, or features, then recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn._checks import as_choice, as_probability
from fastrnn._plain import as_mapping
from fastrnn.layers import Embedding, Module, Recurrent
from fastrnn.layers.base.dropout import dropout_mask
from fastrnn.layers.base.kept import frozen
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.random import rows_generator
from fastrnn.layers.description import from_description
from fastrnn.layers.recurrent.options import CELLS

if TYPE_CHECKING:
    from fastrnn.layers import Tape

__all__ = ["CELL_NAMES", "EncoderTape", "SequenceEncoder", "hidden_state", "make_recurrent", "state_gradient"]

CELL_NAMES = tuple(cell.name for cell in CELLS.values() if cell.by_name)


class EncoderTape(NamedTuple):
    """What `SequenceEncoder.forward` keeps for `backward`."""

    inputs: Array
    joined: int
    input_mask: Array | None
    rnn: Tape
    output_mask: Array | None
    state: Any


class SequenceEncoder(ModuleGroup):
    """Read a batch of sequences: an embedding of ids, or features, then recurrent layers.

    Dropout is applied after the embedding, between the layers and to their last outputs, as in Zaremba et
    al. (2014); never to recurrent connections, unless `cell_options` ask for it.

    Parameters
    ----------
    width : int
        The number of ids, or of features D.
    embedding_size : int, optional
        The width of an id's vector. None: ids are read as one-hot vectors, or the inputs are features.
    cell, hidden_size, num_layers, bidirectional, dropout, cell_options
        As for a model with ``fit``.
    dtype : {"float32", "float64"}
    rng : numpy.random.Generator
        For the parameters, then for dropout.
    unknown : ndarray, float [width], optional
        In training, the probability with which each id is read as 0, the unknown symbol.
    joined_size : int, default 0
        The width of what calls get as `joined`: further features of each step, computed by another layer.

    Attributes
    ----------
    output_size : int
        Width of the outputs and of the final state: hidden_size, or twice that if bidirectional.
    """

    dropout: float
    rng: np.random.Generator
    unknown: NDArray[np.float64] | None

    embedding: Embedding | None
    rnn: Recurrent[Any]

    def __init__(
        self,
        width: int,
        *,
        embedding_size: int | None,
        cell: str,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        dropout: float,
        cell_options: Mapping[str, Any] | None,
        dtype: Any,
        rng: np.random.Generator,
        unknown: NDArray[np.float64] | None = None,
        joined_size: int = 0,
    ) -> None:
        parts: dict[str, Module] = {}
        if embedding_size is not None:
            parts["embedding"] = Embedding(width, embedding_size, dtype=dtype, seed=rng)
        parts["rnn"] = make_recurrent(
            cell,
            (width if embedding_size is None else embedding_size) + joined_size,
            hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,
            cell_options=cell_options,
            dtype=dtype,
            rng=rng,
        )
        self.embedding = None
        super().__init__(**parts)
        self.dropout, self.rng, self.unknown = as_probability("dropout", dropout), rng, unknown
        self.output_size: int = self.rnn.output_size

    def __call__(
        self,
        x: Array,
        lengths: Any,
        joined: Array | None = None,
        *,
        state: Any = None,
        context: Array | None = None,
    ) -> tuple[Array, Any]:
        """Return the outputs [T, N, output_size] and the final state, without dropout.

        Parameters
        ----------
        x : ndarray, int64 [T, N] or float [T, N, D]
        lengths : ndarray, int64 [N]
        joined : ndarray, float [T, N, joined_size], optional
            Joined to each step's vector, if there is an embedding or x holds features.
        state : optional
            Before the first step, as for the recurrent layers.
        context : ndarray, float [N, C] or [T, N, C], optional
            For a cell with a `context_size`.
        """
        x = x if self.embedding is None else self.embedding(x)
        if joined is not None:
            x = np.concatenate([x, joined], axis=2)
        return self.rnn(x, state, lengths, context=context)

    def forward(
        self,
        x: Array,
        lengths: Any,
        joined: Array | None = None,
        *,
        state: Any = None,
        context: Array | None = None,
    ) -> tuple[Array, Any, EncoderTape]:
        """Do the same in training: with dropout, and with a tape for `backward`."""
        if self.unknown is not None:
            x = np.where(rows_generator(self.rng).random(x.shape) < self.unknown[x], 0, x)
        inputs, mask = x, None
        if self.embedding is not None:
            x = self.embedding(x)
        if joined is not None:
            x = np.concatenate([x, joined], axis=2)
        if x.ndim == 3:
            mask = dropout_mask(x.shape, self.dropout, self.dtype, self.rng)
            x = x if mask is None else x * mask
            x = frozen(x) if x is not inputs else x
        y, final, tape = self.rnn.forward(x, state, lengths, context=context)
        output_mask = dropout_mask(y.shape, self.dropout, self.dtype, self.rng)
        width = 0 if joined is None else joined.shape[2]
        result = EncoderTape(inputs, width, mask, tape, output_mask, final)
        return (y if output_mask is None else frozen(y * output_mask)), final, result

    def backward(
        self, tape: EncoderTape, dy: Array | None, dstate: Any = None, *, dcontext: Array | None = None
    ) -> tuple[Array | None, Any]:
        """Add to the gradients; return those of `joined` (None if there was none) and of the first state.

        Parameters
        ----------
        tape : EncoderTape
        dy : ndarray, float [T, N, output_size], optional
        dstate : as the state, optional
        dcontext : ndarray, float, of the context's shape, optional
            The gradient of the context is added to it.
        """
        if dy is not None and tape.output_mask is not None:
            dy = dy * tape.output_mask
        need_dx = self.embedding is not None or tape.joined > 0
        dx, dfirst = self.rnn.backward(tape.rnn, dy, dstate, need_dx=need_dx, dcontext=dcontext)
        if dx is None:
            return None, dfirst
        if tape.input_mask is not None:
            dx *= tape.input_mask
        own, djoined = np.split(dx, [dx.shape[2] - tape.joined], axis=2)
        if self.embedding is not None:
            self.embedding.backward(tape.inputs, own)
        return (djoined if tape.joined else None), dfirst


def make_recurrent(
    cell: str,
    input_size: int,
    hidden_size: int,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    dropout: float = 0.0,
    cell_options: Mapping[str, Any] | None = None,
    dtype: Any = "float32",
    rng: np.random.Generator,
) -> Recurrent[Any]:
    """Return recurrent layers by the name of their cell.

    Raises
    ------
    ValueError, TypeError
        If the name is unknown, or an option is wrong or not one of the cell's.
    """
    names = {row.name: row.layer for row in CELLS.values() if row.by_name}
    layer = names[as_choice("cell", cell, names)]
    options = {} if cell_options is None else as_mapping("cell_options", cell_options)
    description = {
        "kind": layer,
        "input_size": input_size,
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "bidirectional": bidirectional,
        "dropout": dropout,
        "dtype": np.dtype(dtype).name,
    }
    own = sorted(options.keys() & description.keys())
    if own:
        raise ValueError(f"cell_options: expected options of the cell alone, got {', '.join(own)}")
    description |= options
    rnn = from_description(description, rng)
    assert isinstance(rnn, Recurrent)
    rnn.rng = rng
    return rnn


def hidden_state(rnn: Recurrent[Any], state: Any) -> Array:
    """Return the last layer's h, its directions side by side, [N, directions * width]."""
    h: Array = state[0] if isinstance(state, tuple) else state
    return np.concatenate(list(h[-rnn.directions :]), axis=1)


def state_gradient(rnn: Recurrent[Any], state: Any, dh: Array) -> Any:
    """Return the gradient of a final state from that of what `hidden_state` returned."""
    parts = state if isinstance(state, tuple) else (state,)
    gradients = [np.zeros_like(part) for part in parts]
    for direction, part in enumerate(np.split(dh, rnn.directions, axis=1)):
        gradients[0][direction - rnn.directions] = part
    return tuple(gradients) if isinstance(state, tuple) else gradients[0]
