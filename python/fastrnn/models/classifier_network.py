"""The network of sequence classifiers and regressors: layers that read, a pooling, a linear output."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array, Ids
from fastrnn.layers import AttentionPooling, Linear, Module
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.base.row_losses import row_losses
from fastrnn.models.pooling import PoolTape, pool, pool_backward, pool_forward

__all__ = ["PooledBatch", "PooledNetwork"]


class PooledBatch(NamedTuple):
    """A batch of sequences with a target each.

    Attributes
    ----------
    x : ndarray, int64 [T, N] or float [T, N, D]
    lengths : ndarray, int64 [N]
    targets : ndarray
        int64 [N] for "softmax", else float [N, K].
    weights : ndarray, float64 [N]
    """

    x: Array
    lengths: Ids
    targets: Array
    weights: Array

    @property
    def weight(self) -> float:
        """The sum of the weights."""
        return float(self.weights.sum())


class PooledNetwork(ModuleGroup):
    """Read a sequence, pool its outputs into a vector, and map that to K outputs.

    Parameters
    ----------
    encoder : SequenceEncoder
    outputs : int
        K.
    pooling : {"last", "mean", "max", "attention"}
    loss : {"softmax", "sigmoid", "squared", "absolute", "huber"}
        The cross-entropy of one class or of several labels, or the mean error of K numbers.
    rng : numpy.random.Generator

    Attributes
    ----------
    attention : AttentionPooling or None
    output : Linear
    """

    pooling: str
    loss_kind: str
    rng: np.random.Generator

    encoder: SequenceEncoder
    attention: AttentionPooling | None
    output: Linear

    def __init__(
        self, encoder: SequenceEncoder, outputs: int, *, pooling: str, loss: str, rng: np.random.Generator
    ) -> None:
        parts: dict[str, Module] = {"encoder": encoder}
        width, dtype = encoder.output_size, encoder.dtype
        self.attention = None
        if pooling == "attention":
            parts["attention"] = AttentionPooling(width, width, dtype=dtype, seed=rng)
        parts["output"] = Linear(width, outputs, dtype=dtype, seed=rng)
        super().__init__(**parts)
        self.pooling, self.loss_kind, self.rng = pooling, loss, rng

    def __call__(self, x: Array, lengths: Ids) -> tuple[Array, Array | None]:
        """Return the outputs [N, K], logits or numbers, and the attention's weights [N, T] or None."""
        y, state = self.encoder(x, lengths)
        pooled, weights = pool(self.pooling, self.encoder, y, state, lengths, self.attention)
        return self.output(pooled), weights

    def loss(self, batch: PooledBatch) -> float:
        """Return the weighted mean loss of a batch, without dropout."""
        z, _ = self(batch.x, batch.lengths)
        losses, _ = row_losses(self.loss_kind, z, batch.targets)
        return float(losses @ batch.weights) / batch.weight

    def loss_and_gradients(self, batch: PooledBatch, scale: float = 1.0) -> float:
        """Return the weighted mean loss in training, and add `scale` times its gradients."""
        y, state, tape = self.encoder.forward(batch.x, batch.lengths)
        pooled, pool_tape = pool_forward(self.pooling, self.encoder, y, state, batch.lengths, self.attention)
        z, output_tape = self.output.forward(pooled)
        losses, dz = row_losses(self.loss_kind, z, batch.targets)
        dz *= (batch.weights * (scale / batch.weight)).astype(dz.dtype)[:, None]
        self._backward(tape, pool_tape, self.output.backward(output_tape, dz))
        return float(losses @ batch.weights) / batch.weight

    def _backward(self, tape: Any, pool_tape: PoolTape, dpooled: Array | None) -> None:
        assert dpooled is not None
        dy, dstate = pool_backward(self.encoder, pool_tape, dpooled, self.attention)
        self.encoder.backward(tape, dy, dstate)
