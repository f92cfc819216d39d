"""One pass over sequences with the reservoirs running: vectors of states for the readout, a few at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

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

    network: ReservoirNetwork
    inputs: Sequence[NDArray[Any]]
    targets: Sequence[NDArray[np.float64]]
    batch_size: int
    noisy: NoisyReservoirs | None
    carried: Carried | None

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

    def blocks(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield what the readout reads, z [m, K], and the targets of the same rows, y [m, O].

        z may be overwritten, and is so for the next block. m is large enough for a fast product ``z.T @ z``,
        if there are as many rows. After the last block `finals` has the states at the ends of all sequences,
        if they ran in one batch.
        """
        rows = _Rows(self.network, min(self.network.width // 2, _TALL))
        for batch in self._batches():
            x, lengths = pad_batch(self.inputs, batch, fill=0)
            if self.network.pooling is None:
                yield from self._steps(rows, batch, x, lengths)
            else:
                yield self._pooled(batch, x, lengths), np.stack([self.targets[row] for row in batch])
        yield from rows.rest()

    def _batches(self) -> list[Ids]:
        if self.carried is not None:
            return [np.arange(len(self.inputs))]
        return length_buckets([len(one) for one in self.inputs], self.batch_size, shuffle=False)

    def _steps(self, rows: _Rows, batch: Ids, x: Array, lengths: Ids) -> Iterator[tuple[Floats, Floats]]:
        targets, _ = pad_batch([self.targets[row] for row in batch], fill=0)
        for start, weights, part, states in self._chunks(batch, x, lengths):
            counted = weights != 0
            yield from rows.add(part, states, targets[start : start + len(counted)], counted)

    def _pooled(self, rows: Ids, x: Array, lengths: Ids) -> Floats:
        total = np.zeros((len(lengths), self.network.width))
        for _, weights, part, states in self._chunks(rows, x, lengths):
            total += np.einsum("tn,tnk->nk", weights, self.network.vectors(part, states))
        return total

    def _chunks(self, rows: Ids, x: Array, lengths: Ids) -> Iterator[tuple[int, Floats, Array, list[Array]]]:
        """Yield the first step, the weights of steps, the inputs and the states of each chunk."""
        network, run = self.network, self.noisy or self.network
        state = None if self.carried is None else self.carried.state
        washout = self._washout[rows]
        for start, part, own in chunks(x, lengths, network.width):
            states, state = run.states(part, own, state)
            weights = step_weights(network.pooling, len(part), lengths, washout, start)
            yield start, weights, part, states
        if len(rows) == len(self.inputs):
            order = np.argsort(rows)
            self.finals = [one[:, order] for one in state or []]


class _Rows:
    """Rows for the readout, collected in one array until there are enough of them."""

    def __init__(self, network: ReservoirNetwork, least: int) -> None:
        self.network, self.least = network, least
        self._z = np.empty((0, network.width))
        self._y: list[Floats] = []
        self._filled = 0

    def add(
        self, x: Array, states: list[Array], targets: Floats, counted: NDArray[np.bool_]
    ) -> Iterator[tuple[Floats, Floats]]:
        """Add the rows of a chunk; yield those that there are once they are enough."""
        count = int(np.count_nonzero(counted))
        if self._filled + count > len(self._z):
            yield from self.rest()
            if count > len(self._z):
                self._z = np.empty((max(count, 2 * self.least), self.network.width))
        begin, place = 0, slice(self._filled, self._filled + count)
        features = [x[..., : self.network.features]] if self.network.features else []
        for part in (*features, *states):
            end = begin + part.shape[2]
            self._z[place, begin:end] = part.reshape(-1, part.shape[2]) if counted.all() else part[counted]
            begin = end
        self._y.append(targets[counted])
        self._filled += count
        if self._filled >= max(self.least, 1):
            yield from self.rest()

    def rest(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield the rows that there are."""
        if self._filled:
            y, filled = np.concatenate(self._y), self._filled
            self._y, self._filled = [], 0
            yield self._z[:filled], y


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
