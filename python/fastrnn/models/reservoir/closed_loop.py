"""Outputs of reservoir networks: at each step of series, and in closed loop, where they are read again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn.data import pad_batch
from fastrnn.models.base.examples import batches_of
from fastrnn.models.reservoir.network import ReservoirNetwork, States
from fastrnn.models.reservoir.passes import chunks

__all__ = ["continue_outputs", "continue_series", "step_outputs"]

Floats = NDArray[np.float64]


def step_outputs(network: ReservoirNetwork, panel: Sequence[Floats], batch_size: int) -> list[Floats]:
    """Return the outputs of each series, float64 [T, O]; states are in memory for a few steps only."""
    arrays = [one.astype(network.dtype) for one in panel]
    results = [np.empty((len(one), network.readout.out_features)) for one in panel]
    for rows, x, lengths in batches_of(arrays, batch_size):
        state: States | None = None
        for start, part, own in chunks(x, lengths, network.width):
            y, state = network(part, own, state)
            for i, row in enumerate(rows):
                results[row][start : start + own[i]] = y[: own[i], i]
    return results


def continue_series(network: ReservoirNetwork, past: Sequence[Floats], steps: int) -> Floats:
    """Return the steps after series [T, D], of which the network predicts the next: [N, S, D]."""
    y, state = _warmed(network, [one.astype(network.dtype) for one in past])
    path = np.empty((len(past), steps, y.shape[1]))
    for step in range(steps):
        path[:, step] = y
        if step + 1 < steps:
            outputs, state = network(y[None], None, state)
            y = outputs[0]
    return path


def continue_outputs(
    network: ReservoirNetwork, past: Sequence[Floats], known: Sequence[Floats], steps: int
) -> Floats:
    """Return the outputs after those of the past, which are fed back: [N, S, O].

    Parameters
    ----------
    network : ReservoirNetwork
        Its inputs are those that are known and, behind them, the outputs of the step before.
    past : sequence of ndarray, float64 [T, O]
        T may be 0.
    known : sequence of ndarray, float64 [T + S, D]
    steps : int
        S.
    """
    outputs = network.readout.out_features
    state: States | None = None
    last = np.zeros((len(past), outputs), network.dtype)
    if any(len(one) for one in past):
        before = [np.concatenate([np.zeros((1, outputs)), one[:-1]]) for one in past]
        warm = [np.concatenate([u[: len(b)], b], axis=1) for u, b in zip(known, before, strict=True)]
        _, state = _warmed(network, [one.astype(network.dtype) for one in warm])
        last = np.stack([one[-1] for one in past]).astype(network.dtype)
    ahead = np.stack([u[len(one) : len(one) + steps] for u, one in zip(known, past, strict=True)])
    ahead = ahead.astype(network.dtype)
    path = np.empty((len(past), steps, outputs))
    for step in range(steps):
        y, state = network(np.concatenate([ahead[:, step], last], axis=1)[None], None, state)
        last = path[:, step] = y[0]
    return path


def _warmed(network: ReservoirNetwork, inputs: Sequence[Array]) -> tuple[Array, States]:
    """Return the outputs of the last step of each sequence, [N, O], and the states there."""
    x, lengths = pad_batch(inputs, fill=0)
    state: States | None = None
    for _, part, own in chunks(x, lengths, network.width):
        _, state = network.states(part, own, state)
    assert state is not None
    ends = x[lengths - 1, np.arange(len(inputs))]
    return network.readout(network.vectors(ends, [one[0] for one in state])), state
