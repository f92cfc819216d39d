"""The cost model: seconds of a step from its computation, messages and bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "REDUCTIONS",
    "Fit",
    "break_even",
    "bytes_sent",
    "compute_seconds",
    "fit_costs",
    "messages_sent",
    "seconds",
]

REDUCTIONS = ("ordered", "fastest", "bfloat16")  # the last one: ordered, rounded on the wire


class Fit(NamedTuple):
    """Costs of a reduction, from `fit_costs`.

    Attributes
    ----------
    latency : float
        Seconds of a message.
    per_byte : float
        Seconds of each byte sent, with the additions and roundings that go with it.
    error : float
        Median distance of a measured time from the fit, relative.
    """

    latency: float
    per_byte: float
    error: float


def messages_sent(reduction: str, ranks: int) -> int:
    """Return how many messages a rank sends one after the other.

    In the fixed order, and a power of two of ranks in float32, and in MPI's fastest way: halves are exchanged
    with one rank after the other, there and back. Otherwise a slice goes to each of the other ranks, and one
    comes back.

    Examples
    --------
    >>> [messages_sent("ordered", ranks) for ranks in (1, 2, 3, 8, 1000, 1024)]
    [0, 2, 4, 6, 1998, 20]
    >>> messages_sent("bfloat16", 8), messages_sent("fastest", 1000)
    (14, 20)
    """
    in_pairs = ranks & (ranks - 1) == 0 and reduction == "ordered"
    if in_pairs or reduction == "fastest":
        return 2 * math.ceil(math.log2(ranks))
    return 2 * (ranks - 1)


def bytes_sent(reduction: str, ranks: int, parameters: int) -> float:
    """Return how many bytes a rank sends: ``2 (K - 1) / K`` times those of the gradients.

    Examples
    --------
    >>> bytes_sent("ordered", 2, 1000), bytes_sent("bfloat16", 4, 1000)
    (4000.0, 3000.0)
    """
    size = 2 if reduction == "bfloat16" else 4
    return 2 * (ranks - 1) / ranks * size * parameters


def seconds(reduction: str, ranks: int, parameters: int, latency: float, per_byte: float) -> float:
    """Return the seconds of a reduction."""
    sent = bytes_sent(reduction, ranks, parameters)
    return latency * messages_sent(reduction, ranks) + per_byte * sent


def fit_costs(points: Sequence[Mapping[str, Any]], reduction: str) -> Fit:
    """Fit latency and seconds a byte to measured reductions; relative errors count alike for every size.

    Parameters
    ----------
    points : sequence of mapping
        With "ranks", "parameters" and "times" by reduction, in microseconds.
    reduction : str
    """
    rows, times = [], []
    for point in points:
        ranks, parameters = point["ranks"], point["parameters"]
        rows.append([messages_sent(reduction, ranks), bytes_sent(reduction, ranks, parameters)])
        times.append(point["times"][reduction]["median_us"] / 1e6)
    relative = np.array(rows) / np.array(times)[:, None]
    solution = np.linalg.lstsq(relative, np.ones(len(times)), rcond=None)[0]
    latency, per_byte = (max(0.0, float(value)) for value in solution)
    error = float(np.median(np.abs(relative @ [latency, per_byte] - 1)))
    return Fit(latency, per_byte, error)


def break_even(wide: Fit, narrow: Fit) -> float:
    """Return the bandwidth, in bytes a second, below which half of the bytes save more than rounding costs.

    Examples
    --------
    >>> break_even(Fit(0.0, 1e-9, 0.0), Fit(0.0, 4e-9, 0.0))
    500000000.0
    >>> break_even(Fit(0.0, 1e-9, 0.0), Fit(0.0, 2e-9, 0.0))
    inf
    """
    dearer = narrow.per_byte - 2 * wide.per_byte
    return round(1 / dearer, 3) if dearer > 0 else math.inf


def compute_seconds(measured: Mapping[int, float], rows: float) -> float:
    """Return the seconds of a step without communication, from steps measured with other numbers of rows.

    Between two measured numbers of rows it is on the line between them, above the largest one in proportion.

    Examples
    --------
    >>> compute_seconds({1: 2.0, 2: 3.0, 4: 5.0}, 3), compute_seconds({1: 2.0, 2: 3.0, 4: 5.0}, 8)
    (4.0, 10.0)
    """
    known = sorted(measured)
    inside = float(np.interp(rows, known, [measured[number] for number in known]))
    return inside * max(1.0, rows / known[-1])
