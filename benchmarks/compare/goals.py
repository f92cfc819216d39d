"""The project's speed goals, each with its measured value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from benchmarks.compare import results
from benchmarks.compare.results import Point, Result, select
from benchmarks.compare.shapes import CELLS
from fastrnn.cli.benchmark.timing import geometric_mean


class Goal(NamedTuple):
    """A goal, the measured value, and whether it reaches the goal; None if nothing was measured."""

    what: str
    goal: str
    measured: str
    reached: bool | None


NOT_MEASURED = ("not measured", None)


def goals(result: Result, threads: int) -> list[Goal]:
    """Judge each goal by the points with that many threads."""
    rows = []
    for mode, wanted in (("forward", 1.5), ("training", 1.8)):
        for cell in CELLS:
            points = select(result, "grid", threads, mode=mode, cell=cell)
            what, goal = f"{mode}, {cell}, vs the best peer at each point", f"G >= {wanted}x, all >= 1.0x"
            rows.append(Goal(what, goal, *mean_and_least(points, results.vs_best, wanted, 1.0)))
    for peer, title, wanted in (("pytorch", "PyTorch", 3.0), ("numpy", "the NumPy reference", 10.0)):
        for mode in ("forward", "training"):
            points = select(result, "grid", threads, mode=mode)
            found = mean_and_least(points, lambda point, peer=peer: results.vs(point, peer), wanted)
            rows.append(Goal(f"{mode}, all cells, vs {title}", f"G >= {wanted:g}x", *found))
    for mode, wanted in (("forward", 0.92), ("training", 0.88)):
        points = select(result, "grid", threads, mode=mode)
        points = [p for p in points if p["case"]["N"] >= 32 and p["case"]["H"] >= 512]
        found = all_at_least(points, results.fma_share, wanted, percent)
        rows.append(Goal(f"{mode}, share of the FMA limit, N >= 32, H >= 512", f">= {wanted:.0%}", *found))
    points = [p for p in select(result, "grid", threads, mode="forward", N=1) if streams_weights(result, p)]
    found = all_at_least(points, results.read_share, 0.85, percent)
    rows.append(Goal("N = 1, weights in L2 or L3, share of the read limit", ">= 85%", *found))
    rows += [*step_goals(result, threads), *ragged_goals(result, threads), two_threads(result, threads)]
    points = select(result, "character", threads)
    found = all_at_least(points, lambda point: results.vs(point, "pytorch"), 2.0, times)
    rows.append(Goal("character model, whole training step, vs PyTorch", ">= 2x", *found))
    found = all_at_most(points, python_share, 0.03, percent)
    rows.append(Goal("character model, Python's share of a training step", "<= 3%", *found))
    points = select(result, "denormal", threads)
    found = all_at_most(points, lambda point: results.slow_down(point, "fastrnn"), 1.05, times)
    rows.append(Goal("denormal input over ordinary input", "<= 1.05x", *found))
    points = [point for point in select(result, "isa", threads) if "fastrnn-avx512" in point["peers"]]
    found = all_at_most(points, avx2_over_avx512, 1.15, times)
    rows.append(Goal("AVX2 over AVX-512, N >= 16", "<= 1.15x", *found))
    return rows


def streams_weights(result: Result, point: Point) -> bool:
    """Return whether W_hh is too large for L1, so that each step reads it from a further cache level."""
    case = results.case_of(point)
    caches = result["machine"]["caches"]
    last = caches.get("L3", caches.get("L2", 16 << 20))
    return case.shape.T > 1 and caches.get("L1", 32 << 10) < case.recurrent_bytes <= last


def step_goals(result: Result, threads: int) -> list[Goal]:
    """Judge one step from Python, LSTM 64 -> 128."""
    points = select(result, "step", threads, cell="lstm")
    least = all_at_most(points, lambda p: p["limits"]["smallest"]["median_us"], 1.5, "{:.2f} us".format)
    onnx = all_at_least(points, lambda p: results.vs(p, "onnxruntime"), 4.0, times)
    torch = all_at_least(points, best_of_torch, 15.0, times)
    return [
        Goal("one LSTM step from Python, above the kernel's own time", "<= 1.5 us", *least),
        Goal("one LSTM step from Python, vs ONNX Runtime", ">= 4x", *onnx),
        Goal("one LSTM step from Python, vs PyTorch's better form", ">= 15x", *torch),
    ]


def best_of_torch(point: Point) -> float | None:
    """Compare with `nn.LSTM` or `nn.LSTMCell`, whichever is faster."""
    ratios = [r for name in ("pytorch", "pytorch-cell") if (r := results.vs(point, name)) is not None]
    return min(ratios, default=None)


def ragged_goals(result: Result, threads: int) -> list[Goal]:
    """Judge ragged batches."""
    points = select(result, "ragged", threads)
    cost = all_at_most(points, results.ragged_cost, 1.10, times)
    torch = all_at_least(points, lambda point: results.vs(point, "pytorch"), 4.0, times)
    return [
        Goal("ragged batch, cost over the real steps' share", "<= 1.10x", *cost),
        Goal("ragged batch, vs PyTorch's packed sequences", ">= 4x", *torch),
    ]


def two_threads(result: Result, threads: int) -> Goal:
    """Judge the gain of the second thread against that of two cores' limit in the same rounds."""
    points = [p for p in select(result, "grid", threads) if p["case"]["N"] * p["case"]["H"] >= 8000]
    points = points if threads == 2 else []

    def of_the_limit(point: Point) -> float:
        own, limit = results.speed_up(point)
        return 2 * own / limit

    found = all_at_least(points, of_the_limit, 1.85, times)
    return Goal("two threads over one, N*H >= 8000, two cores' limit as 2x", ">= 1.85x", *found)


def python_share(point: Point) -> float:
    """Return the time of a step with every size at 1 over that of the step."""
    return results.ratio(point["limits"]["smallest"], point["peers"]["fastrnn"])


def avx2_over_avx512(point: Point) -> float:
    """Return the time on AVX2 over that on AVX-512."""
    return results.ratio(point["peers"]["fastrnn-avx2"], point["peers"]["fastrnn-avx512"])


Found = tuple[str, bool | None]
Value = Callable[[Point], float | None]


def times(value: float) -> str:
    """Format a ratio."""
    return f"{value:.2f}x"


def percent(value: float) -> str:
    """Format a fraction as a percentage."""
    return f"{value:.0%}"


def values_of(points: Iterable[Point], value: Value) -> list[float]:
    """Return the values of the points that have one."""
    return [number for point in points if (number := value(point)) is not None]


def mean_and_least(points: list[Point], value: Value, mean: float, least: float = 0.0) -> Found:
    """Judge by the geometric mean and the least value."""
    found = values_of(points, value)
    if not found:
        return NOT_MEASURED
    g = geometric_mean(found)
    text = f"G {times(g)}, least {times(min(found))} ({results.worst(points, value)})"
    return text, g >= mean and min(found) >= least


def all_at_least(points: list[Point], value: Value, wanted: float, write: Callable[[float], str]) -> Found:
    """Judge by the least value."""
    found = values_of(points, value)
    if not found:
        return NOT_MEASURED
    text = f"{write(min(found))} ({results.worst(points, value)}) to {write(max(found))}"
    return text, min(found) >= wanted


def all_at_most(points: list[Point], value: Value, wanted: float, write: Callable[[float], str]) -> Found:
    """Judge by the largest value."""
    found = values_of(points, value)
    if not found:
        return NOT_MEASURED
    text = f"{write(min(found))} to {write(max(found))} ({results.worst(points, value, largest=True)})"
    return text, max(found) <= wanted
