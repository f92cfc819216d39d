"""What a forward pass in training keeps for backpropagation through time, open to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from fastrnn._arrays import Array, Ids
from fastrnn.layers.recurrent.engine.general import GeneralTape
from fastrnn.layers.recurrent.spec import RecurrentSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LayerTape", "Tape"]


class LayerTape(Protocol):
    """One layer and direction of a `Tape`. Arrays are time-major, whatever ``batch_first`` says."""

    @property
    def x(self) -> Array:
        """The layer's input, dropout included: float [T, N, D] or int64 ids [T, N]."""

    @property
    def y(self) -> Array:
        """Every h, float [T, N, H]; at its own time also where the direction is reversed."""

    @property
    def c(self) -> Array | None:
        """LSTM: every cell state, float [T, N, H]."""

    @property
    def gates(self) -> Array | None:
        """Every gate, float [T, N, gates, H].

        LSTM: i, f, g, o, with options those that there are, and r. GRU: r, z, n, and behind them, with
        ``reset_after``, ``W_hn h' + b_hn``. RNN: None, as y is all there is; with options n, the new value.
        MinGRU: z, n. MinLSTM: f, i, n. A candidate is as it was before dropout.
        """

    @property
    def state(self) -> tuple[Array, ...]:
        """The state before the first step: (h,), for LSTM (h, c), each float [N, H]."""

    @property
    def lengths(self) -> Ids | None:
        """Steps of each row, int64 [N]; None where all are T."""

    @property
    def reset(self) -> NDArray[np.bool_] | None:
        """Steps that start again from `state`, bool [T, N]; None where none does."""

    @property
    def reverse(self) -> bool:
        """Whether the direction runs from each row's end to its start."""


class Tape:
    """What ``forward`` of an RNN, GRU or LSTM keeps for ``backward``.

    Its arrays are the ones that the forward pass was given and made, not copies: write into none of them
    before ``backward``, which itself leaves them as they are and may be called more than once. The weights
    are those of the forward pass, even if the parameters have changed since.

    Attributes
    ----------
    steps, rows : int
        T and N of the pass.
    layers : tuple of LayerTape
        One of each layer and direction, in the order of the state's first axis: layer 0 forward, layer 0
        reverse where bidirectional, layer 1 forward, ...
    dropout : tuple of (ndarray [T, N, directions*H] or None)
        What each layer's output was multiplied with on its way to the next layer: 0 or ``1 / (1 -
        probability)``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.LSTM(3, 5, num_layers=2, seed=0)
    >>> y, state, tape = rnn.forward(np.zeros((4, 2, 3), np.float32))
    >>> len(tape.layers), tape.layers[0].gates.shape
    (2, (4, 2, 4, 5))
    >>> forget = tape.layers[1].gates[:, :, 1]  # i, f, g, o
    >>> bool(((0 < forget) & (forget < 1)).all())
    True
    """

    __slots__ = ("_owner", "_packed", "_spec", "dropout", "layers", "learned_state", "rows", "steps")

    layers: tuple[LayerTape, ...]
    dropout: tuple[Array | None, ...]

    def __init__(
        self, spec: RecurrentSpec, packed: list[Any], layers: list[Any], dropout: list[Array | None]
    ) -> None:
        self._owner: object = None  # the layer whose pass it was
        self._spec, self._packed = spec, packed
        self.learned_state = False  # whether the initial state was the layer's own
        self.layers = tuple(layers)
        self.dropout = tuple(dropout)
        self.steps, self.rows = self.layers[0].x.shape[:2]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays that the forward pass made and the tape keeps.

        Without dropout, scalars per step, sequence, unit and layer: RNN 1 (h), GRU 5 (h, r, z, n and
        ``W_hn h' + b_hn``; 4 with the reset before the product), LSTM 6 (h, c and four gates). Dropout adds 2
        between two layers, the mask and the next layer's input; so does a bidirectional layer's joined
        output, 1 for each direction. Options: a projection adds 1, a normalisation 1 for each gate.
        """
        arrays: dict[int, Array] = {}
        for i, layer in enumerate(self.layers):
            made = layer.saved.values() if isinstance(layer, GeneralTape) else (layer.y, layer.c, layer.gates)
            kept = (*made, layer.x if i >= self._spec.directions else None)
            arrays.update((id(array), array) for array in kept if array is not None)
        arrays.update((id(mask), mask) for mask in self.dropout if mask is not None)
        return sum(array.nbytes for array in arrays.values())

    def __repr__(self) -> str:
        return f"<Tape of {self._owner!r}: {self.steps} steps of {self.rows} sequences>"
