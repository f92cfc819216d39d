"""A result file, and the arithmetic on its points. All ratios are medians of ratios within one round."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fastrnn.cli.benchmark.cases import Case, Shape
from fastrnn.cli.benchmark.timing import ratio

FORMAT = "fastrnn-benchmark 1"
POINT_KEYS = {"kind", "case", "threads", "peers", "limits", "unsupported"}
TIME_KEYS = {"median_us", "low_us", "high_us", "samples_us"}

#: Candidates for the best peer of a point: those that compute in float32.
PEERS = ("numpy", "pytorch", "jax", "onnxruntime")

Point = dict[str, Any]
Result = dict[str, Any]


def load(path: Path) -> Result:
    """Read a result file.

    Raises
    ------
    ValueError
        If it is not a result file; the message says why.
    """
    try:
        result = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    try:
        check(result)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return result


def check(result: Any) -> None:
    """Check the form of a result.

    Raises
    ------
    ValueError
        If the form is wrong.
    """
    found = result.get("format") if isinstance(result, dict) else None
    if found != FORMAT:
        raise ValueError(f"format: expected {FORMAT!r}, got {found!r}")
    missing = {"machine", "missing", "peers", "limits", "points"} - set(result)
    if missing:
        raise ValueError(f"lacks {sorted(missing)}")
    for number, point in enumerate(result["points"]):
        if lacking := POINT_KEYS - set(point):
            raise ValueError(f"point {number} lacks {sorted(lacking)}")
        for name, times in [*point["peers"].items(), *point["limits"].items()]:
            if lacking := TIME_KEYS - set(times):
                raise ValueError(f"point {number}, {name} lacks {sorted(lacking)}")
        for name, times in point["peers"].items():
            if "difference" not in times:
                raise ValueError(f"point {number}, {name}: timed without having been verified")


def select(result: Result, kind: str, threads: int, **case: Any) -> list[Point]:
    """Return the points of a kind and a number of threads whose case has these values."""
    return [
        point
        for point in result["points"]
        if (point["kind"], point["threads"]) == (kind, threads) and case.items() <= point["case"].items()
    ]


def thread_counts(result: Result) -> list[int]:
    """Return the measured numbers of threads."""
    return sorted({point["threads"] for point in result["points"]})


def case_of(point: Point) -> Case:
    """Return the case of a grid point."""
    case = point["case"]
    return Case(case["cell"], case["mode"], Shape(*(case[name] for name in Shape._fields)))


def label(point: Point) -> str:
    """Return a point's case in short, such as "lstm forward 50,50,128,128,2"."""
    words = [value for value in point["case"].values() if isinstance(value, str)]
    sizes = [str(value) for value in point["case"].values() if not isinstance(value, str)]
    return " ".join([*words, ",".join(sizes)])


def vs(point: Point, peer: str) -> float | None:
    """Return the ratio of a peer's time to fastrnn's; None if it was not measured."""
    if peer not in point["peers"]:
        return None
    return ratio(point["peers"][peer], point["peers"]["fastrnn"])


def vs_best(point: Point) -> float | None:
    """Return the same for the best of the float32 peers; None if there is none."""
    ratios = [value for peer in PEERS if (value := vs(point, peer)) is not None]
    return min(ratios, default=None)


def fma_share(point: Point) -> float:
    """Return fastrnn's rate of operations as a fraction of that of the multiply-adds in the same rounds."""
    return point["flops"] / point["amounts"]["fma"] * ratio(point["limits"]["fma"], point["peers"]["fastrnn"])


def read_share(point: Point) -> float:
    """Return the least time that one sequence can take, as a fraction of fastrnn's time.

    Each step reads W_hh, at the bandwidth measured on a buffer of its size. W_ih is not counted, but the
    operations of its product for all steps are, at the rate of multiply-adds.
    """
    case, amounts, limits = case_of(point), point["amounts"], point["limits"]
    T, _, _, H, layers = case.shape
    own = point["peers"]["fastrnn"]
    recurrent_flops = case._replace(shape=Shape(T, 1, 0, H, 1)).flops * layers
    reading = T * layers * case.recurrent_bytes / amounts["read"] * ratio(limits["read"], own)
    inputs = (point["flops"] - recurrent_flops) / amounts["fma"] * ratio(limits["fma"], own)
    return reading + inputs


def speed_up(point: Point) -> tuple[float, float]:
    """Return the speed-up over one thread of fastrnn and of the multiply-adds in the same rounds."""
    amounts, limits = point["amounts"], point["limits"]
    own = ratio(limits["fastrnn-1-thread"], point["peers"]["fastrnn"])
    fma = amounts["fma"] / amounts["fma-1-thread"] * ratio(limits["fma-1-thread"], limits["fma"])
    return own, fma


def ragged_cost(point: Point) -> float:
    """Return time as a fraction of the padded batch's, over the fraction of real steps."""
    return ratio(point["peers"]["fastrnn"], point["limits"]["fastrnn-padded"]) / point["real_share"]


def slow_down(point: Point, peer: str) -> float | None:
    """Return time on denormal input over that on ordinary input; None if not measured."""
    if peer not in point["peers"]:
        return None
    return ratio(point["peers"][peer], point["limits"][f"{peer}-ordinary"])


def worst(points: Iterable[Point], value: Callable[[Point], float | None], *, largest: bool = False) -> str:
    """Return the name of the point with the least (or the largest) value."""
    found = [(number, label(point)) for point in points if (number := value(point)) is not None]
    return (max if largest else min)(found)[1]
