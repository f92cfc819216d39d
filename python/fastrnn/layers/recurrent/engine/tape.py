"""The tape: what a forward pass in training keeps for backpropagation through time, as readable arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fastrnn._arrays import Array, Ids
from fastrnn.layers.base.kept import Kept
from fastrnn.layers.recurrent.engine.masks import Packing
from fastrnn.layers.recurrent.engine.packed import PassWeights, mask_bytes
from fastrnn.layers.recurrent.spec import RecurrentSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LayerTape", "Tape"]


class LayerTape(Protocol):
    """One layer and direction of a `Tape`. Arrays are time-major, even with ``batch_first``."""

    @property
    def x(self) -> Array:
        """The layer's input, dropout included: float [T, N, D] or int64 ids [T, N]."""

    @property
    def y(self) -> Array:
        """Every h, float [T, N, H], in the order of time for a reverse direction too."""

    # Any for None: whoever asks for c or gates knows whether the cell has them.
    @property
    def c(self) -> Array | Any:
        """LSTM: every cell state, float [T, N, H]. SLSTM: c, n and m, float [T, N, 3*H]. Others: None."""

    @property
    def gates(self) -> Array | Any:
        """Every gate, float [T, N, gates, H]; ``rnn.spec.gate_names`` has their names.

        LSTM: i, f, g, o; with options those that exist, then r. GRU: r, z, n, and with ``reset_after`` also
        ``W_hn h' + b_hn``. RNN: None, because y is enough; with options n, the new value. SLSTM: ``exp(log_i
        - m)``, log_f, z, o. MinGRU: z, n. MinLSTM: f, i, n, ``i / (f + i)``. Candidates are kept as they were
        before dropout.

        With ``precision="bfloat16"`` the tape keeps 16 bits for each: gates are multiples of 2**-14, and
        ``W_hn h' + b_hn`` is in bfloat16. Each reading returns a new array of float32: read it once.
        """

    @property
    def state(self) -> tuple[Array, ...]:
        """The state before the first step: (h,), for LSTM (h, c), each float [N, H]."""

    @property
    def lengths(self) -> Ids | None:
        """Steps of each row, int64 [N]; None if all are T."""

    @property
    def reset(self) -> NDArray[np.bool_] | None:
        """Steps at which a row restarts from `state`, bool [T, N]; None if there are none."""

    @property
    def reverse(self) -> bool:
        """Whether the direction runs from each row's end to its start."""

    @property
    def options(self) -> dict[str, Array] | None:
        """What the options needed in the pass: masks, the context, targets; None if nothing."""

    @property
    def nbytes(self) -> int:
        """Bytes of y, c, gates and whatever else backward needs, without x and `options`."""


class Tape(Kept):
    """What ``forward`` of a recurrent layer keeps for ``backward``.

    It cannot change: its arrays are read-only. They are the results of the forward pass and its arguments,
    copied if somebody could write to them. The weights are those of the forward pass, even if the parameters
    have changed since. ``backward`` may be called more than once.

    A copy of a tape is the tape itself, and copies of its layer can use it too. A pickled tape brings its
    layer along; pickle both together, ``(rnn, tape)``.

    Attributes
    ----------
    steps, rows : int
        T and N of the pass.
    layers : tuple of LayerTape
        One for each layer and direction, in the order of the state's first axis: layer 0 forward, layer 0
        reverse if bidirectional, layer 1 forward, ...
    dropout : tuple of (ndarray [T, N, directions*H] or None)
        The mask by which each layer's output was multiplied before the next layer: 0 or ``1 / (1 -
        probability)``.
    packing : Packing or None
        After a pass with a mask, where its steps stand: all arrays of the tape are those of the packed batch,
        in which each row's counted steps are at its front (``packing.times`` [S, N], None if they were), and
        `steps` is S, the most counted steps of a row.

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

    steps: Any
    rows: Any

    __slots__ = (
        "_levels",
        "_owner",
        "_spec",
        "_weights",
        "alone",
        "dropout",
        "layers",
        "learned_state",
        "packing",
        "rows",
        "steps",
    )

    layers: tuple[LayerTape, ...]
    dropout: tuple[Array | None, ...]

    def __init__(
        self,
        spec: RecurrentSpec,
        weights: PassWeights,
        levels: Sequence[slice],
        layers: list[Any],
        dropout: list[Array | None],
    ) -> None:
        self._owner: Any = None  # the layer whose pass it was
        self._spec, self._weights, self._levels = spec, weights, levels
        self.learned_state: bool = False  # whether the initial state was the layer's own
        self.alone: bool = False  # whether x had no axis N
        self.packing: Packing | None = None
        self.layers = tuple(layers)
        self.dropout = tuple(dropout)
        self.steps, self.rows = self.layers[0].x.shape[:2]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays that the forward pass created and the tape keeps.

        Without dropout, scalars per step, sequence, unit and layer: RNN 1 (h), GRU 5 (h, r, z, n and
        ``W_hn h' + b_hn``; 4 with the reset before the product), LSTM 6 (h, c and four gates), SLSTM 8 (h,
        c, n, m and four gates). Between two layers, dropout adds 2, the mask and the next layer's input; the
        joined output of a bidirectional layer adds 2, 1 for each direction. Of the options, a projection adds
        1, a normalisation 1 for each gate, and a mask for each step 1. With ``precision="bfloat16"`` a gate
        of an LSTM or GRU is half a scalar: LSTM 4, GRU 3 (2.5 with the reset before the product).
        """
        total = sum(layer.nbytes + mask_bytes(layer.options) for layer in self.layers)
        total += sum(mask.nbytes for mask in self.dropout if mask is not None)
        inputs = {id(layer.x): layer.x.nbytes for layer in self.layers[self._spec.directions :]}
        counted = {id(layer.y) for layer in self.layers}
        return total + sum(size for array, size in inputs.items() if array not in counted)

    @property
    def context_shape(self) -> tuple[int, ...] | None:
        """The shape of the pass's context, [N, C] or [T, N, C]; None without one."""
        context = (self.layers[0].options or {}).get("context")
        return None if context is None else context.shape

    def __reduce__(self) -> tuple[Any, ...]:
        owner = self._owner
        kept = (owner._weights.pickled(self._weights), self._levels, list(self.layers), list(self.dropout))
        return _restored, (owner, *kept, self.learned_state, self.alone, self.packing)

    def __repr__(self) -> str:
        return f"<Tape of {self._owner!r}: {self.steps} steps of {self.rows} sequences>"


def _restored(
    owner: Any,
    kept: PassWeights,
    levels: Sequence[slice],
    layers: list[Any],
    dropout: list[Array | None],
    learned_state: bool,
    alone: bool,
    packing: Packing | None = None,
) -> Tape:
    """Return a pickled tape."""
    weights = owner._weights.restored(kept)
    tape = Tape(owner.spec, weights, levels, layers, dropout)
    tape._owner, tape.learned_state, tape.alone = owner, learned_state, alone
    tape.packing = packing
    return tape
