"""The roofline and the ratios, drawn with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.compare import results
from benchmarks.compare.results import Result, select
from benchmarks.compare.shapes import CELLS, MODES
from fastrnn.cli.benchmark.peers import PEERS

MARKERS = {"rnn": "o", "gru": "s", "lstm": "^"}
COLOURS = {
    "fastrnn": "#0b6e4f",
    "numpy": "#8d8d8d",
    "pytorch": "#d1495b",
    "jax": "#30638e",
    "onnxruntime": "#edae49",
}


def draw(result: Result, folder: Path) -> list[Path]:
    """Draw a roofline and a plot of ratios for each number of threads; return the files.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for threads in results.thread_counts(result):
        if not select(result, "grid", threads):
            continue
        for name, make in (("roofline", roofline), ("ratios", ratios)):
            figure = make(result, threads)
            written.append(folder / f"{name}-{threads}-thread{'s' if threads > 1 else ''}.png")
            figure.savefig(written[-1], dpi=150)
    return written


def roofline(result: Result, threads: int) -> Any:
    """Draw operations per second over operations per byte of weights, forward, under the machine's limits.

    A step that reads each weight once uses it for N rows: N/2 operations per byte. (W_ih may be read less
    often than once per step, so a point may lie above its line.)
    """
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    points = select(result, "grid", threads, mode="forward")
    peak = max(p["amounts"]["fma"] / min(p["limits"]["fma"]["samples_us"]) / 1e3 for p in points)
    intensities = [0.3, 64.0]
    for name, level in result["limits"][str(threads)]["levels"].items():
        bandwidth = level["bytes_per_second"] / 1e9
        reach = [min(peak, bandwidth * x) for x in (intensities[0], peak / bandwidth, intensities[1])]
        axes.plot([intensities[0], peak / bandwidth, intensities[1]], reach, color="0.6", lw=1)
        axes.annotate(name, (intensities[0], bandwidth * intensities[0]), fontsize=8, color="0.4")
    axes.axhline(peak, color="0.3", lw=1, ls="--", label=f"multiply-adds: {peak:.0f} GFLOP/s")
    for cell in CELLS:
        for name in ("fastrnn", "best peer"):
            chosen = [p for p in points if p["case"]["cell"] == cell and results.vs_best(p)]
            rates = [p["flops"] / time_of(p, name) / 1e3 for p in chosen]
            shift = 0.97 if name == "fastrnn" else 1.03
            axes.plot(
                [p["case"]["N"] / 2 * shift for p in chosen],
                rates,
                MARKERS[cell],
                color=COLOURS["fastrnn"] if name == "fastrnn" else "0.55",
                label=f"{name}, {cell}",
            )
    axes.set(xscale="log", yscale="log", xlabel="operations per byte of weights (N / 2)", ylabel="GFLOP/s")
    axes.set_xticks([0.5, 1, 2, 4, 8, 16, 32], labels=["0.5", "1", "2", "4", "8", "16", "32"])
    axes.set_yticks([2, 5, 10, 20, 50, 100, 200], labels=["2", "5", "10", "20", "50", "100", "200"])
    axes.minorticks_off()
    axes.set_title(f"Forward on {result['machine']['cpu']}, {threads} thread{'s' if threads > 1 else ''}")
    axes.legend(fontsize=8, ncols=2)
    return figure


def time_of(point: dict[str, Any], name: str) -> float:
    """Return the microseconds of fastrnn or of the best float32 peer."""
    names = [name] if name == "fastrnn" else [peer for peer in results.PEERS if peer in point["peers"]]
    return min(point["peers"][peer]["median_us"] for peer in names)


def ratios(result: Result, threads: int) -> Any:
    """Draw the ratio of each peer's time to fastrnn's at every point."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(14, 8), layout="constrained")
    grid = figure.subplots(len(MODES), len(CELLS), sharey=True, sharex=True)
    for row, mode in zip(grid, MODES, strict=True):
        for axes, cell in zip(row, CELLS, strict=True):
            points = select(result, "grid", threads, mode=mode, cell=cell)
            for place, point in enumerate(points):
                for peer in results.PEERS:
                    value = results.vs(point, peer)
                    if value is not None:
                        axes.plot(value, place, "o", color=COLOURS[peer], ms=6)
            axes.axvline(1.0, color=COLOURS["fastrnn"], lw=2)
            axes.set(xscale="log", title=f"{cell}, {mode}")
            shapes = [str(results.case_of(point).shape) for point in points]
            axes.set_yticks(range(len(points)), shapes, fontsize=8)
            axes.set_ylim(max(1, len(points)) - 0.5, -0.5)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.grid(axis="x", color="0.9")
            axes.set_axisbelow(True)
    for peer in results.PEERS:
        grid[0][0].plot([], [], "o", color=COLOURS[peer], label=PEERS[peer].title)
    figure.legend(loc="outside lower center", ncols=len(results.PEERS), fontsize=9)
    figure.suptitle(
        f"Time of each peer over that of fastrnn (the line); T,N,D,H,layers; "
        f"{result['machine']['cpu']}, threads: {threads}"
    )
    return figure
