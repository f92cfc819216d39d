"""Examples for training reservoirs by backpropagation through time: windows of series, or whole sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.data import length_buckets, pad_batch
from fastrnn.models.base.examples import Examples
from fastrnn.models.reservoir.network import ReservoirBatch, ReservoirNetwork, States, step_weights

__all__ = ["Windows", "whole_sequences"]


class _Place(NamedTuple):
    """Where a window is."""

    series: int
    start: int
    stop: int


class Windows:
    """Windows of series, each with the state in which the network reaches it.

    Backpropagation through time is truncated at the start of a window; the state there is carried over. As
    windows come in any order, the states are those of the weights at the start of the epoch (`refresh`), and
    a little out of date at its end.

    Parameters
    ----------
    network : ReservoirNetwork
    inputs, targets : sequence of ndarray
        As for `Pass`; targets [T, O].
    washout : int
        So many steps at the start of each series do not count.
    window : int
        Steps of a window.
    batch_size : int
        Series that run at once.
    follow : bool
        Whether to refresh the states whenever the weights have changed: for validation.
    settle : callable, optional
        Called before states are refreshed: makes the readout what it should be.
    """

    network: ReservoirNetwork
    inputs: Sequence[NDArray[Any]]
    targets: Sequence[NDArray[np.float64]]
    washout: int
    window: int
    batch_size: int
    follow: bool

    def __init__(
        self,
        network: ReservoirNetwork,
        inputs: Sequence[Array],
        targets: Sequence[NDArray[np.float64]],
        *,
        washout: int,
        window: int,
        batch_size: int,
        follow: bool = False,
        settle: Callable[[], None] | None = None,
    ) -> None:
        self.settle = settle
        self.network, self.inputs, self.targets = network, inputs, targets
        self.washout, self.window, self.batch_size, self.follow = washout, window, batch_size, follow
        self.places: list[_Place] = [
            _Place(row, start, min(start + window, len(one)))
            for row, one in enumerate(inputs)
            for start in range(0, len(one), window)
            if min(start + window, len(one)) > washout
        ]
        self._numbers = {(place.series, place.start): i for i, place in enumerate(self.places)}
        self._states: States = []
        self._version = float("nan")

    def examples(self) -> Examples:
        """Return the windows as examples."""
        return Examples([place.stop - place.start for place in self.places], self.batch)

    def refresh(self) -> None:
        """Run all series with the weights as they are, and keep the states at the start of each window."""
        network = self.network
        if self.settle is not None:
            self.settle()
        shapes = [(1, len(self.places), layer.output_size) for layer in network.layers]
        self._states = [np.zeros(shape, network.dtype) for shape in shapes]
        for rows in length_buckets([len(one) for one in self.inputs], self.batch_size, shuffle=False):
            x, lengths = pad_batch(self.inputs, rows, fill=0)
            state: States | None = None
            for start in range(0, len(x), self.window):
                if state is not None:
                    self._keep(rows, start, state)
                part = x[start : start + self.window]
                _, state = network.states(part, np.clip(lengths - start, 0, len(part)), state)
        self._version = network.parameters.version

    def batch(self, rows: Ids) -> ReservoirBatch:
        """Return some windows as a batch."""
        if not self._states or (self.follow and self._version != self.network.parameters.version):
            self.refresh()
        places = [self.places[row] for row in rows]
        every = np.arange(len(places))
        x, lengths = pad_batch([self.inputs[p.series][p.start : p.stop] for p in places], every, fill=0)
        targets, _ = pad_batch([self.targets[p.series][p.start : p.stop] for p in places], every, fill=0)
        early = np.array([max(self.washout - p.start, 0) for p in places])
        weights = step_weights(None, len(x), lengths, early)
        state = [one[:, rows] for one in self._states]
        return ReservoirBatch(x, lengths, state, weights, targets.astype(self.network.dtype))

    def _keep(self, rows: Ids, start: int, state: States) -> None:
        pairs = [(i, self._numbers.get((int(row), start))) for i, row in enumerate(rows)]
        inside = [(i, number) for i, number in pairs if number is not None]
        if inside:
            here, there = (list(numbers) for numbers in zip(*inside, strict=True))
            for own, one in zip(self._states, state, strict=True):
                own[:, there] = one[:, here]


def whole_sequences(
    network: ReservoirNetwork,
    inputs: Sequence[Array],
    targets: Sequence[NDArray[np.float64]],
    washout: int,
    settle: Callable[[], None] | None = None,
) -> Examples:
    """Return examples of whole sequences with one target [O] each; `settle` is called before each batch."""

    def make(rows: Ids) -> ReservoirBatch:
        if settle is not None:
            settle()
        x, lengths = pad_batch(inputs, rows, fill=0)
        wanted = np.stack([targets[row] for row in rows]).astype(network.dtype)
        return ReservoirBatch(
            x, lengths, None, step_weights(network.pooling, len(x), lengths, washout), wanted
        )

    return Examples([len(one) for one in inputs], make)
