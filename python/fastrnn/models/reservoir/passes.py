"""One pass over sequences with the reservoirs running: vectors of states for the readout, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.data import length_buckets, pad_batch
from fastrnn.models.reservoir.network import ReservoirNetwork, States, step_weights
from fastrnn.models.reservoir.noise import NoisyReservoirs

__all__ = ["Carried", "Pass", "chunks"]

Floats = NDArray[np.float64]

_CHUNK = 2**22  # numbers of states that are in memory at once, about; 2 to 4 times as many of wide reservoirs
_TALL = 2500  # rows that are enough for a fast product of second moments, however wide


class Carried(NamedTuple):
    """Where series stopped, so that they can go on.

    Attributes
    ----------
    state : list of ndarray, float [1, N, H]
    steps : ndarray, int64 [N]
        So far, of each series.
    outputs : ndarray, float [N, O]
        Of the last step.
    """

    state: States
    steps: Ids
    outputs: Array


class Pass:
    """Sequences on their way through a network.

    Parameters
    ----------
    network : ReservoirNetwork
    inputs : sequence of ndarray, float [T, D] or int64 [T]
        What the network reads, fed-back outputs included.
    targets : sequence of ndarray, float64 [T, O], or [O] for each if the network pools
    washout : int
    batch_size : int
        Sequences that run at once.
    noisy : NoisyReservoirs, optional
        In place of the network's own layers.
    carried : Carried, optional
        All sequences go on from there.
    """

    def __init__(
        self,
        network: ReservoirNetwork,
        inputs: Sequence[Array],
        targets: Sequence[Floats],
        *,
        washout: int,
        batch_size: int,
        noisy: NoisyReservoirs | None = None,
        carried: Carried | None = None,
    ) -> None:
        self.network, self.inputs, self.targets = network, inputs, targets
        self.batch_size, self.noisy, self.carried = batch_size, noisy, carried
        self.finals: States | None = None
        before: Ids | int = 0 if carried is None else carried.steps
        self._washout = np.maximum(np.full(len(inputs), washout) - before, 0)

    def _parts(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield the rows of each chunk."""
        for rows in self._batches():
            x, lengths = pad_batch(self.inputs, rows)
            if self.network.pooling is None:
                yield from self._steps(rows, x, lengths)
            else:
                yield self._pooled(rows, x, lengths), np.stack([self.targets[row] for row in rows])

    def blocks(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield what the readout reads, z [m, K], and the targets of the same rows, y [m, O].

        z may be overwritten. m is large enough for a fast product ``z.T @ z``, but in the last block. After
        it `finals` has the states at the ends of all sequences, if they ran in one batch.
        """
        least, held, rows = min(self.network.width // 2, _TALL), [], 0
        for block in self._parts():
            held.append(block)
            rows += len(block[0])
            if rows >= least:
                yield _joined(held)
                held, rows = [], 0
        if held:
            yield _joined(held)

    def _batches(self) -> list[Ids]:
        if self.carried is not None:
            return [np.arange(len(self.inputs))]
        return length_buckets([len(one) for one in self.inputs], self.batch_size, shuffle=False)

    def _steps(self, rows: Ids, x: Array, lengths: Ids) -> Iterator[tuple[Floats, Floats]]:
        targets, _ = pad_batch([self.targets[row] for row in rows], np.arange(len(rows)))
        for start, weights, vectors in self._chunks(rows, x, lengths):
            counted = weights != 0
            z = vectors.reshape(-1, vectors.shape[2]) if counted.all() else vectors[counted]
            yield z.astype(np.float64, copy=False), targets[start : start + len(counted)][counted]

    def _pooled(self, rows: Ids, x: Array, lengths: Ids) -> Floats:
        total = np.zeros((len(lengths), self.network.width))
        for _, weights, vectors in self._chunks(rows, x, lengths):
            total += np.einsum("tn,tnk->nk", weights, vectors)
        return total

    def _chunks(self, rows: Ids, x: Array, lengths: Ids) -> Iterator[tuple[int, Floats, Array]]:
        """Yield the first step, the weights of steps and what the readout reads, [T, N, K], of each chunk."""
        network, run = self.network, self.noisy or self.network
        state = None if self.carried is None else self.carried.state
        washout = self._washout[rows]
        for start, part, own in chunks(x, lengths, network.width):
            states, state = run.states(part, own, state)
            weights = step_weights(network.pooling, len(part), lengths, washout, start)
            yield start, weights, network.vectors(part, states)
        if len(rows) == len(self.inputs):
            order = np.argsort(rows)
            self.finals = [one[:, order] for one in state or []]


def _joined(blocks: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate([z for z, _ in blocks]), np.concatenate([y for _, y in blocks])


def chunks(x: Array, lengths: Ids, width: int) -> Iterator[tuple[int, Array, Ids]]:
    """Yield the first step, the inputs and the lengths of each chunk of a batch in time.

    Parameters
    ----------
    x : ndarray, float [T, N, D] or int64 [T, N]
    lengths : ndarray, int64 [N]
    width : int
        K: the numbers of one step of one sequence that are in memory.
    """
    rows = max(_CHUNK // width, min(width // 2, _TALL))
    steps = max(rows // max(x.shape[1], 1), 16)
    for start in range(0, len(x), steps):
        part = x[start : start + steps]
        yield start, part, np.clip(lengths - start, 0, len(part))
