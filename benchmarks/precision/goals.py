"""The goals of the precisions, each judged at every point that it speaks of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.compare.goals import Goal, all_at_least, percent, times
from benchmarks.compare.results import Point
from benchmarks.precision import ratios

__all__ = ["SHARE", "VS_FLOAT32", "VS_FLOAT32_ONE_ROW", "VS_PEER", "goals", "one_row_beyond", "wide"]

#: Against fastrnn in float32, in batches that the instructions are made for.
VS_FLOAT32 = {"bfloat16": 1.7, "int8": 2.5}
#: The same with one row, whose weights are read from beyond the second level.
VS_FLOAT32_ONE_ROW = {"int8": 3.0}
VS_PEER = {"float32": 1.0, "bfloat16": 1.3, "int8": 1.3}
SHARE = 0.8
SECOND_LEVEL = 1 << 20  # bytes, where the machine does not say


def wide(point: Point) -> bool:
    """Return whether a batch and its layer are large enough for `VS_FLOAT32`."""
    return point["case"]["N"] >= 16 and point["case"]["H"] >= 256


def one_row_beyond(point: Point, machine: dict[str, Any]) -> bool:
    """Return whether one row reads its float32 weights from beyond the second level at each step."""
    level = machine["caches"].get("L2", SECOND_LEVEL)
    case = point["case"]
    return case["N"] == 1 and case["T"] > 1 and ratios.weight_bytes(point) > level


def goals(points: list[Point], machine: dict[str, Any], mode: str) -> Iterator[Goal]:
    """Yield the goals of a mode, of points with one number of threads."""
    points = [point for point in points if point["case"]["mode"] == mode]
    large = [point for point in points if wide(point)]
    alone = [point for point in points if one_row_beyond(point, machine)]
    narrow = ("bfloat16",) if mode == "training" else ("bfloat16", "int8")
    for precision in narrow:
        wanted = VS_FLOAT32[precision]
        found = all_at_least(large, lambda point, p=precision: ratios.gain(point, p), wanted, times)
        yield Goal(f"{precision}, over own float32, N >= 16, H >= 256", f">= {wanted}x", *found)
        if precision in VS_FLOAT32_ONE_ROW:
            wanted = VS_FLOAT32_ONE_ROW[precision]
            found = all_at_least(alone, lambda point, p=precision: ratios.gain(point, p), wanted, times)
            yield Goal(f"{precision}, over own float32, N = 1, weights beyond L2", f">= {wanted}x", *found)
    for precision in ("float32", *narrow):
        wanted = VS_PEER[precision]
        found = all_at_least(points, lambda point, p=precision: ratios.vs_peer(point, p), wanted, times)
        yield Goal(f"{precision}, over the best peer, every point", f">= {wanted}x", *found)
    for precision in narrow:
        found = all_at_least(large, lambda point, p=precision: ratios.share(point, p), SHARE, percent)
        yield Goal(f"{precision}, share of the limit, N >= 16, H >= 256", f">= {SHARE:.0%}", *found)
        if mode == "forward":
            found = all_at_least(alone, lambda point, p=precision: ratios.share(point, p), SHARE, percent)
            yield Goal(
                f"{precision}, share of the limit, N = 1, weights beyond L2", f">= {SHARE:.0%}", *found
            )
