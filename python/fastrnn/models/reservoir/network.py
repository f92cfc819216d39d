"""The network of echo state models: reservoirs, deep or side by side, and a linear readout of all states."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.layers import RNN, Linear
from fastrnn.layers.base.kept import frozen
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.precision import Precision
from fastrnn.models.base.row_losses import row_losses
from fastrnn.models.reservoir.sparse_layer import SparseLayer

__all__ = ["POOLINGS", "ReservoirBatch", "ReservoirLayer", "ReservoirNetwork", "States", "step_weights"]

POOLINGS = ("last", "mean")

#: A reservoir layer; only a dense one can be trained.
ReservoirLayer: TypeAlias = "RNN | SparseLayer"
#: The state of each reservoir layer, [1, N, H].
States = list[Array]


class ReservoirBatch(NamedTuple):
    """Sequences, or windows of series, with targets.

    Attributes
    ----------
    x : ndarray, float [T, N, D] or int64 [T, N]
        Inputs, and behind them the outputs before each step, where these are fed back.
    lengths : ndarray, int64 [N]
    state : list of ndarray, float [1, N, H], or None
        Of each layer before the first step.
    weights : ndarray, float64 [T, N]
        Of each step, as `step_weights` returns them.
    targets : ndarray, float [T, N, O], or [N, O] where states are pooled
    """

    x: Array
    lengths: Ids
    state: States | None
    weights: NDArray[np.float64]
    targets: Array

    @property
    def weight(self) -> float:
        """The number of targets."""
        pooled = self.targets.ndim == 2
        rows = len(self.targets) if pooled else np.count_nonzero(self.weights)
        return float(rows * self.targets.shape[-1])


class ReservoirNetwork(ModuleGroup):
    """Groups of recurrent layers, and a linear readout of the inputs and of the states of all layers.

    The first layer of a group reads the inputs, each other layer the states below it.

    Parameters
    ----------
    groups : sequence of sequence of RNN or SparseLayer
    columns : sequence of (ndarray, int64, or None)
        The columns of x that each group reads; None: all.
    features : int
        So many columns of x, the first ones, are read by the readout.
    outputs : int
        O.
    pooling : {"last", "mean"} or None
        None: there is an output at each step. Else one for each sequence, of the last state after the washout
        or of the mean of them.
    rng : numpy.random.Generator

    Attributes
    ----------
    readout : Linear
        Of vectors of `width` numbers: the features, then the states of each group's layers in turn.
    width : int
        K.
    before_epoch : callable or None
        Called at the start of each epoch of training.
    """

    groups: list[tuple[RNN | SparseLayer, ...]]
    columns: tuple[NDArray[np.int64] | None, ...]
    layers: list[RNN | SparseLayer]
    layer_names: list[str]
    features: int
    pooling: str | None
    rng: np.random.Generator

    readout: Linear

    def __init__(
        self,
        groups: Sequence[Sequence[ReservoirLayer]],
        columns: Sequence[Ids | None],
        *,
        features: int,
        outputs: int,
        pooling: str | None,
        rng: np.random.Generator,
    ) -> None:
        layers = [layer for group in groups for layer in group]
        names = [f"group{g}_layer{i}" for g, group in enumerate(groups) for i in range(len(group))]
        self.width: int = features + sum(layer.output_size for layer in layers)
        readout = Linear(self.width, outputs, dtype=layers[0].dtype, seed=0)
        super().__init__(**dict(zip(names, layers, strict=True)), readout=readout)
        self.groups, self.columns = [tuple(group) for group in groups], tuple(columns)
        self.layers, self.layer_names = layers, names
        self.features, self.pooling, self.rng = features, pooling, rng
        self.before_epoch: Callable[[], None] | None = None
        self._patterns: list[NDArray[np.bool_] | None] | None = None

    def _set_precision(self, precision: Precision) -> None:
        """Do nothing: a solved readout has large weights that cancel.

        With weights in int8, R^2 of the shipped data `cycles` (300 units) falls from 0.50 to -539.
        """

    def __call__(self, x: Array, lengths: Any, state: States | None = None) -> tuple[Array, States]:
        """Return the outputs of each step, [T, N, O], and the states after each row's last step."""
        parts, finals = self.states(x, lengths, state)
        return self.readout(self.vectors(x, parts)), finals

    def states(self, x: Array, lengths: Any, state: States | None = None) -> tuple[list[Array], States]:
        """Return the states of each layer at each step, [T, N, H], and those after each row's last step."""
        parts: list[Array] = []
        finals: States = []
        for layer, below in self._walk(x, parts):
            y, final = layer(below, None if state is None else state[len(parts)], lengths)
            parts.append(y)
            finals.append(final)
        return parts, finals

    def vectors(self, x: Array, parts: Sequence[Array]) -> Array:
        """Return what the readout reads: features and states side by side, [..., K]."""
        if self.features:
            parts = [x[..., : self.features], *parts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def set_readout(self, weight: Array, bias: Array) -> None:
        """Set the readout to weights [K, O] and a bias [O]."""
        with self.readout.parameters.edit() as views:
            views["weight"][...], views["bias"][...] = weight.T, bias

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Do what has to be done before each epoch of training: call `before_epoch`."""
        if self.before_epoch is not None:
            self.before_epoch()

    def to_dense(self) -> ReservoirNetwork:
        """Return the same network with dense layers, which can be trained; itself if it has no others."""
        if not any(isinstance(layer, SparseLayer) for layer in self.layers):
            return self
        groups = [
            [layer.to_dense() if isinstance(layer, SparseLayer) else copy.deepcopy(layer) for layer in group]
            for group in self.groups
        ]
        dense = ReservoirNetwork(
            groups, self.columns, features=self.features, outputs=self.readout.out_features,
            pooling=self.pooling, rng=self.rng,
        )  # fmt: skip
        dense.readout.load_state_dict(self.readout.state_dict())
        return dense

    def keep_pattern(self) -> None:
        """From now on recurrent weights that are 0 stay 0 in training."""
        patterns = [layer.parameters["weight_hh_l0"] != 0 for layer in self.layers]
        self._patterns = [None if pattern.all() else pattern for pattern in patterns]

    def loss(self, batch: ReservoirBatch) -> float:
        """Return the mean squared error of a batch."""
        parts, _ = self.states(batch.x, batch.lengths, batch.state)
        return self._losses(self.readout(self._pooled(self.vectors(batch.x, parts), batch)), batch)[0]

    def loss_and_gradients(self, batch: ReservoirBatch, scale: float = 1.0) -> float:
        """Return the mean squared error of a batch, and add `scale` times its gradients."""
        parts: list[Array] = []
        tapes = []
        for layer, below in self._walk(batch.x, parts):
            state = None if batch.state is None else batch.state[len(parts)]
            y, _, tape = _trainable(layer).forward(below, state, batch.lengths)
            parts.append(y)
            tapes.append(tape)
        vectors = self._pooled(self.vectors(batch.x, parts), batch)
        y, tape_out = self.readout.forward(vectors)
        loss, dy = self._losses(y, batch)
        dvectors = self.readout.backward(tape_out, dy * dy.dtype.type(scale))
        assert dvectors is not None
        self._backward(tapes, self._unpooled(dvectors, batch))
        return loss

    def _walk(self, x: Array, parts: list[Array]) -> Iterator[tuple[ReservoirLayer, Array]]:
        """Yield each layer and what it reads, which may be the last of `parts`."""
        for columns, group in zip(self.columns, self.groups, strict=True):
            below = x if columns is None else frozen(np.ascontiguousarray(x[..., columns]))
            for layer in group:
                yield layer, below
                below = parts[-1]

    def _backward(self, tapes: list[Any], dvectors: Array) -> None:
        ends = np.cumsum([self.features, *(layer.output_size for layer in self.layers)])
        own = np.split(dvectors, ends[:-1], axis=-1)[1:]
        index = len(self.layers)
        for group in reversed(self.groups):
            dabove: Array | None = None
            for depth in reversed(range(len(group))):
                index -= 1
                dy = own[index] if dabove is None else own[index] + dabove
                dabove, _ = _trainable(group[depth]).backward(tapes[index], dy, need_dx=depth > 0)
        for layer, pattern in zip(self.layers, self._patterns or [], strict=False):
            if pattern is not None:
                layer.gradients["weight_hh_l0"] *= pattern

    def _pooled(self, vectors: Array, batch: ReservoirBatch) -> Array:
        """Return the vector of each sequence, [N, K], if there is one output for each."""
        if self.pooling is None:
            return vectors
        pooled: Array = np.einsum("tn,tnk->nk", batch.weights.astype(vectors.dtype), vectors)
        return pooled

    def _unpooled(self, dvectors: Array, batch: ReservoirBatch) -> Array:
        if self.pooling is None:
            return dvectors
        spread: Array = batch.weights.astype(dvectors.dtype)[:, :, None] * dvectors
        return spread

    def _losses(self, y: Array, batch: ReservoirBatch) -> tuple[float, Array]:
        """Return the mean squared error and the gradient of y; steps of the washout do not count."""
        counted = np.ones(len(y), np.bool_) if self.pooling is not None else batch.weights != 0
        losses, rows = row_losses("squared", y[counted], batch.targets[counted])
        dy = np.zeros_like(y)
        dy[counted] = rows / rows.dtype.type(batch.weight)
        return float(losses.sum() / batch.weight), dy


def _trainable(layer: ReservoirLayer) -> RNN:
    assert isinstance(layer, RNN)
    return layer


def step_weights(
    pooling: str | None, steps: int, lengths: Ids, washout: int | Ids, start: int = 0
) -> NDArray[np.float64]:
    """Return how much each step of a batch, or of a chunk of it, counts.

    Parameters
    ----------
    pooling : {"last", "mean"} or None
        None: 1 for each real step after the washout, 0 for all others. "mean": they add up to 1 for each
        sequence. "last": 1 for the last step alone.
    steps : int
        T, of the chunk.
    lengths : ndarray, int64 [N]
        Of the whole sequences.
    washout : int, or ndarray, int64 [N]
        For "mean", less than each length.
    start : int
        The first step of the chunk.

    Returns
    -------
    weights : ndarray, float64 [T, N]

    Examples
    --------
    >>> import numpy as np
    >>> step_weights("mean", 4, np.array([2, 3]), 1).T.tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]]
    """
    step = np.arange(start, start + steps)[:, None]
    if pooling == "last":
        return np.asarray(step == lengths - 1, np.float64)
    counted: NDArray[np.float64] = ((step >= washout) & (step < lengths)).astype(np.float64)
    if pooling == "mean":
        counted /= lengths - washout
    return counted
