"""The arithmetic on measured points: against float32, against the best peer, and as a share of the limit.

All ratios are medians of ratios within a round.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from benchmarks.compare.results import case_of
from fastrnn.cli.benchmark.cases import GATES, Shape
from fastrnn.cli.benchmark.timing import ratio

__all__ = ["BYTES", "Best", "best_peer", "gain", "is_peer", "own", "share", "vs_peer", "weight_bytes"]

Point = dict[str, Any]
#: Of one weight.
BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


class Best(NamedTuple):
    """The peer that takes the least time, and its time over fastrnn's."""

    ratio: float
    name: str


def is_peer(name: str, precision: str) -> bool:
    """Return whether a task is that of another library in this precision."""
    library, _, rest = name.partition("-")
    return library != "fastrnn" and rest.split("-")[0] == precision


def own(point: Point, precision: str) -> dict[str, Any] | None:
    """Return the times of fastrnn in a precision; None if it was not measured."""
    times: dict[str, Any] | None = point["peers"].get(f"fastrnn-{precision}")
    return times


def gain(point: Point, precision: str) -> float | None:
    """Return the time of fastrnn in float32 over that in a precision."""
    times, base = own(point, precision), own(point, "float32")
    return ratio(base, times) if times and base else None


def best_peer(point: Point, precision: str) -> Best | None:
    """Return the best peer in a precision; None if there is none."""
    times = own(point, precision)
    if times is None:
        return None
    found = (
        Best(ratio(other, times), name) for name, other in point["peers"].items() if is_peer(name, precision)
    )
    return min(found, default=None)


def vs_peer(point: Point, precision: str) -> float | None:
    """Return the ratio of `best_peer` alone."""
    best = best_peer(point, precision)
    return best.ratio if best else None


def weight_bytes(point: Point) -> int:
    """Return the size of all float32 weights that a step multiplies with."""
    case, (_, _, D, H, layers) = point["case"]["cell"], case_of(point).shape
    return sum(4 * GATES[case] * H * (width + H) for width in (D, *[H] * (layers - 1)))


def share(point: Point, precision: str) -> float | None:
    """Return the least time that the machine can take as a fraction of fastrnn's.

    It is the operations at the rate of multiply-adds in registers; in the forward pass of one sequence the
    reading of W_hh at each step takes the place of its operations. None without the instructions.
    """
    times, fma = own(point, precision), f"fma-{precision}"
    if times is None or fma not in point["limits"]:
        return None
    case, amounts, limits = case_of(point), point["amounts"], point["limits"]
    operation = ratio(limits[fma], times) / amounts[fma]
    if case.shape.N > 1 or case.mode == "training":
        return point["flops"] * operation
    T, _, _, H, layers = case.shape
    recurrent = case._replace(shape=Shape(T, 1, 0, H, 1)).flops * layers
    read = f"read-{precision}"
    size = case.recurrent_bytes * BYTES[precision] / BYTES["float32"]
    reading = T * layers * size * ratio(limits[read], times) / amounts[read]
    return reading + (point["flops"] - recurrent) * operation
