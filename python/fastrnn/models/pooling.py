"""Pooling: one vector for a whole sequence, from its outputs and its last state."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array, Ids
from fastrnn.layers import AttentionPooling
from fastrnn.models.base.encoder import SequenceEncoder, hidden_state, state_gradient
from fastrnn.models.base.examples import steps_inside

__all__ = ["POOLINGS", "PoolTape", "pool", "pool_backward", "pool_forward"]

POOLINGS = ("last", "mean", "max", "attention")


class PoolTape(NamedTuple):
    """What `pool_forward` keeps: how, the lengths, and the state, the argmax or the attention's tape."""

    pooling: str
    lengths: Ids
    shape: tuple[int, ...]
    kept: Any


def pool(
    pooling: str,
    encoder: SequenceEncoder,
    y: Array,
    state: Any,
    lengths: Ids,
    attention: AttentionPooling | None,
) -> tuple[Array, Array | None]:
    """Return the pooled vectors [N, output_size], and the attention's weights [N, T] if it pools by them.

    Parameters
    ----------
    pooling : {"last", "mean", "max", "attention"}
        The last h of each direction, the mean or the maximum over the real steps, or a learned weighted mean.
    encoder : SequenceEncoder
    y : ndarray, float [T, N, output_size]
        Zero after the end of each row.
    state : as the encoder returned it
    lengths : ndarray, int64 [N]
    attention : AttentionPooling or None
    """
    if pooling == "attention":
        assert attention is not None
        return attention(y, lengths)
    return _pool(pooling, encoder, y, state, lengths)[0], None


def pool_forward(
    pooling: str,
    encoder: SequenceEncoder,
    y: Array,
    state: Any,
    lengths: Ids,
    attention: AttentionPooling | None,
) -> tuple[Array, PoolTape]:
    """Do the same in training."""
    if pooling == "attention":
        assert attention is not None
        pooled, _, tape = attention.forward(y, lengths)
        return pooled, PoolTape(pooling, lengths, y.shape, tape)
    pooled, kept = _pool(pooling, encoder, y, state, lengths)
    return pooled, PoolTape(pooling, lengths, y.shape, kept)


def pool_backward(
    encoder: SequenceEncoder, tape: PoolTape, dpooled: Array, attention: AttentionPooling | None
) -> tuple[Array | None, Any]:
    """Return the gradients of y and of the state; one of them is None."""
    steps, rows, width = tape.shape
    if tape.pooling == "last":
        return None, state_gradient(encoder.rnn, tape.kept, dpooled)
    if tape.pooling == "attention":
        assert attention is not None
        return attention.backward(tape.kept, dpooled), None
    if tape.pooling == "mean":
        share = dpooled / tape.lengths[:, None].astype(dpooled.dtype)
        inside = steps_inside(steps, tape.lengths)
        return inside[:, :, None] * share, None
    dy = np.zeros(tape.shape, dpooled.dtype)
    dy[tape.kept, np.arange(rows)[:, None], np.arange(width)] = dpooled
    return dy, None


def _pool(pooling: str, encoder: SequenceEncoder, y: Array, state: Any, lengths: Ids) -> tuple[Array, Any]:
    if pooling == "last":
        return hidden_state(encoder.rnn, state), state
    if pooling == "mean":
        mean: Array = y.sum(axis=0) / lengths[:, None].astype(y.dtype)
        return mean, None
    outside = ~steps_inside(len(y), lengths)
    masked = np.where(outside[:, :, None], -np.inf, y)
    best = masked.argmax(axis=0)
    return np.take_along_axis(y, best[None], axis=0)[0], best
