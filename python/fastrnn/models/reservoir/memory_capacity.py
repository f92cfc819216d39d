"""The memory capacity of a reservoir: how many past inputs can be read linearly from its states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn.models.reservoir.network import ReservoirNetwork, States
from fastrnn.models.reservoir.passes import chunks
from fastrnn.models.reservoir.ridge import Moments

__all__ = ["MemoryCapacity", "measure_capacity"]

Floats = NDArray[np.float64]

_LEAST_WASHOUT = 100


class MemoryCapacity(NamedTuple):
    """The capacity of each delay and their sum.

    Attributes
    ----------
    total : float
    by_delay : ndarray, float64 [max_delay]
        Squared correlations, in [0, 1]; the first is that of delay 1.
    """

    total: float
    by_delay: Floats


def measure_capacity(
    network: ReservoirNetwork, max_delay: int | None, steps: int, seed: int
) -> MemoryCapacity:
    """Do what `EchoStateNetwork.memory_capacity` does, for the reservoirs of a network with one input."""
    units = sum(layer.output_size for layer in network.layers)
    delays = 2 * units if max_delay is None else max_delay
    rng = np.random.default_rng(seed)
    moments = Moments(units, delays)
    for z, y in _blocks(network, delays, steps, rng):
        moments.add(z, y)
    readout = moments.factorise().solve(0.0)
    both = [Moments(1, 1) for _ in range(delays)]
    for z, y in _blocks(network, delays, steps, rng):
        predictions = z @ readout.weight + readout.bias
        for k, own in enumerate(both):
            own.add(predictions[:, k : k + 1], y[:, k : k + 1])
    products = np.array([[own.zy[0, 0] ** 2, own.zz[0, 0] * own.yy[0]] for own in both])
    by_delay = np.divide(products[:, 0], products[:, 1], out=np.zeros(delays), where=products[:, 1] > 0.0)
    return MemoryCapacity(float(by_delay.sum()), by_delay)


def _blocks(
    network: ReservoirNetwork, delays: int, steps: int, rng: np.random.Generator
) -> Iterator[tuple[Floats, Floats]]:
    """Yield states [m, K] and the inputs before them, [m, delays], of a random series."""
    washout = max(delays, _LEAST_WASHOUT)
    u = rng.uniform(-0.5, 0.5, washout + steps)
    x = u.astype(network.dtype)[:, None, None]
    before = np.lib.stride_tricks.sliding_window_view(u, delays)[:, ::-1]  # [n]: u[n + delays - 1], ...
    state: States | None = None
    for start, part, own in chunks(x, np.array([len(x)]), network.width):
        parts, state = network.states(part, own, state)
        z = np.concatenate(parts, axis=2)[:, 0].astype(np.float64)
        first = max(washout - start, 0)
        if first < len(z):
            rows = np.arange(start + first, start + len(z)) - delays
            yield z[first:], before[rows]
