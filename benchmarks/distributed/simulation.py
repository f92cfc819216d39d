"""Steps on more ranks than there are here, from measured and published costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.distributed.cost import Fit, compute_seconds, seconds
from benchmarks.distributed.networks import Network

__all__ = [
    "RANKS",
    "Measured",
    "efficiencies",
    "fastest",
    "largest_efficient",
    "measured_models",
    "step_seconds",
]

RANKS = tuple(2**power for power in range(11))  # 1 to 1,024


class Measured(NamedTuple):
    """What was measured of a model.

    Attributes
    ----------
    parameters : int
    rows : int
        Of the batch that was measured.
    steps : dict of int to float
        Seconds of a step of one process of one thread, by rows.
    contenders : dict of str to float
        Seconds of a step of each contender of `distributed_steps`.
    """

    parameters: int
    rows: int
    steps: dict[int, float]
    contenders: dict[str, float]


def measured_models(points: Sequence[Mapping[str, Any]]) -> dict[str, Measured]:
    """Return what `distributed_steps` measured, by model."""
    found = {}
    for point in points:
        times = {key: one["step"]["median_us"] / 1e6 for key, one in point["contenders"].items()}
        steps = {int(key.split()[0]): time for key, time in times.items() if key.endswith("rows")}
        contenders = {key: time for key, time in times.items() if not key.endswith("rows")}
        found[point["model"]] = Measured(point["parameters"], point["N"], steps, contenders)
    return found


def step_seconds(
    model: Measured, rows: float, ranks: int, reduction: str, fit: Fit, network: Network | None = None
) -> float:
    """Return the seconds of a step of ranks with so many rows each.

    A message and a byte cost what they cost here, in shared memory, and on top of that what the network
    takes. All ranks are equally fast, and each has an adapter and a free way of its own.
    """
    latency, per_byte = fit.latency, fit.per_byte
    if network is not None:
        latency, per_byte = latency + network.latency, per_byte + 1 / network.bandwidth
    added = seconds(reduction, ranks, model.parameters, latency, per_byte)
    losses = latency * 2 * math.ceil(math.log2(ranks))  # their lengths are gathered, and then they
    return compute_seconds(model.steps, rows) + added + losses


def efficiencies(
    model: Measured, rows: int, reduction: str, fit: Fit, network: Network, *, strong: bool
) -> list[float]:
    """Return the fraction of the ranks' time that one rank would need for the same work, for each of `RANKS`.

    Parameters
    ----------
    rows : int
        Of all ranks together (strong scaling), or of each of them (weak scaling).
    """
    alone = compute_seconds(model.steps, rows)
    found = []
    for ranks in RANKS:
        own, share = (rows / ranks, ranks) if strong else (rows, 1)
        found.append(alone / (share * step_seconds(model, own, ranks, reduction, fit, network)))
    return found


def fastest(model: Measured, reduction: str, fit: Fit, network: Network) -> tuple[int, float]:
    """Return the number of ranks that train fastest with the batch that was measured, and their speed.

    The number divides the rows; the speed is relative to one rank.
    """
    alone = compute_seconds(model.steps, model.rows)
    numbers = [ranks for ranks in range(1, model.rows + 1) if model.rows % ranks == 0]
    speeds = {
        ranks: alone / step_seconds(model, model.rows / ranks, ranks, reduction, fit, network)
        for ranks in numbers
    }
    best = max(speeds, key=speeds.__getitem__)
    return best, speeds[best]


def largest_efficient(values: Sequence[float], least: float = 0.5) -> int:
    """Return the number of ranks up to which the efficiency is at least so much.

    Examples
    --------
    >>> largest_efficient([1.0, 0.8, 0.5, 0.3])
    4
    """
    first_below = next((place for place, value in enumerate(values) if value < least), len(values))
    return RANKS[first_below - 1]
