"""The goals of the precisions, each judged at every point that it speaks of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.compare.goals import Goal, all_at_least, percent, times
from benchmarks.compare.results import Point
from benchmarks.precision import ratios
from fastrnn._dispatch import NATIVE_PRODUCTS

__all__ = ["SHARE", "goals", "wanted_gain", "wanted_ratio", "wanted_share"]

#: Against fastrnn in float32, in batches that the instructions are made for.
WIDE = {"bfloat16": 1.7, "int8": 2.5}
#: The same with one row, whose weights are read from beyond the second level.
ONE_ROW = {"int8": 3.0}
#: The same on an instruction set that widens the numbers: at most a tenth slower than float32.
NARROWER = 0.91
RATIO = {"float32": 1.0, "bfloat16": 1.3, "int8": 1.3}
SHARE = 0.8
SECOND_LEVEL = 1 << 20  # bytes, where the machine does not say
Machine = dict[str, Any]


def native(machine: Machine) -> bool:
    """Return whether bfloat16 and bytes have instructions of their own; else `NARROWER` is the goal."""
    return machine["isa"] in NATIVE_PRODUCTS


def wide(point: Point) -> bool:
    """Return whether a batch and its layer are large enough for `WIDE`."""
    return point["case"]["N"] >= 16 and point["case"]["H"] >= 256


def one_row_beyond(point: Point, machine: Machine) -> bool:
    """Return whether one row reads its float32 weights from beyond the second level at each step."""
    case, level = point["case"], machine["caches"].get("L2", SECOND_LEVEL)
    once = case["mode"] == "training" or case["T"] == 1
    return case["N"] == 1 and not once and ratios.weight_bytes(point) > level


def wanted_gain(point: Point, precision: str, machine: Machine) -> float:
    """Return the least ratio of fastrnn's time in float32 to that in a precision; 0 without a goal."""
    if precision == "float32":
        return 0.0
    if not native(machine):
        return NARROWER
    if wide(point):
        return WIDE[precision]
    return ONE_ROW.get(precision, 0.0) if one_row_beyond(point, machine) else 0.0


def wanted_ratio(precision: str, machine: Machine) -> float:
    """Return the least ratio of the best peer's time to fastrnn's; 0 without a goal."""
    return RATIO[precision] if precision == "float32" or native(machine) else 0.0


def wanted_share(point: Point, precision: str, machine: Machine) -> float:
    """Return the least share of the limit; 0 without a goal."""
    judged = wide(point) or one_row_beyond(point, machine)
    return SHARE if precision != "float32" and native(machine) and judged else 0.0


def goals(points: list[Point], machine: Machine, mode: str) -> Iterator[Goal]:
    """Yield the goals of a mode, of points with one number of threads."""
    points = [point for point in points if point["case"]["mode"] == mode]
    for precision in ("float32", "bfloat16") if mode == "training" else ("float32", "bfloat16", "int8"):
        gain, ratio, share = (
            partial(found, precision=precision) for found in (ratios.gain, ratios.vs_peer, ratios.share)
        )
        for wanted in sorted({wanted_gain(point, precision, machine) for point in points} - {0.0}):
            chosen = [point for point in points if wanted_gain(point, precision, machine) == wanted]
            what = f"{precision}, over own float32, {where(wanted, precision)}"
            yield Goal(what, f">= {wanted}x", *all_at_least(chosen, gain, wanted, times))
        if wanted := wanted_ratio(precision, machine):
            found = all_at_least(points, ratio, wanted, times)
            yield Goal(f"{precision}, over the best peer, every point", f">= {wanted}x", *found)
        if chosen := [point for point in points if wanted_share(point, precision, machine)]:
            found = all_at_least(chosen, share, SHARE, percent)
            yield Goal(f"{precision}, share of the limit, wide or one row", f">= {SHARE:.0%}", *found)


def where(wanted: float, precision: str) -> str:
    """Return where a gain is wanted, in words."""
    if wanted == NARROWER:
        return "every point"
    return "N >= 16, H >= 256" if wanted == WIDE[precision] else "N = 1, weights beyond L2"
