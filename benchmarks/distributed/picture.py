"""The picture of the cost model: speed and efficiency over the number of ranks, for each network."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.distributed.simulation import RANKS
from fastrnn.plots.figure import matplotlib_module, save_figure

__all__ = ["draw"]

COLOURS = ("#8d99ae", "#e09f3e", "#d1495b", "#2e86ab", "#0b6e4f")  # from the slowest network to the fastest
STYLES = {"ordered": "-", "bfloat16": ":"}


def draw(simulated: dict[str, Any], batch: int, path: str | os.PathLike[str]) -> None:
    """Draw a row for each model: speed with a batch of all ranks, efficiency with a batch of each rank.

    Parameters
    ----------
    simulated : dict
        By model, then "strong" or "weak", network and reduction: efficiencies.
    batch : int
        Rows of the batch of all ranks.
    """
    figure = matplotlib_module("matplotlib.figure").Figure(
        figsize=(9, 3.4 * len(simulated)), layout="constrained"
    )
    grid = figure.subplots(len(simulated), 2, squeeze=False, sharex=True)
    for (name, kinds), (left, right) in zip(simulated.items(), grid, strict=True):
        _speeds(left, kinds["strong"])
        _efficiencies(right, kinds["weak"])
        left.set_title(f"{name}: {batch:,} rows on all ranks together")
        right.set_title(f"{name}: as many rows on each rank")
    for axes in grid[-1]:
        axes.set_xlabel("ranks, one thread each")
        axes.xaxis.set_major_formatter("{x:,.0f}")
    handles = grid[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, path)


def _speeds(axes: Any, networks: dict[str, Any]) -> None:
    """Draw how many times as fast as one rank they are."""
    axes.plot(RANKS, RANKS, color="0.7", lw=1, label="as many times as fast as ranks")
    for network, reduction, values, style in _lines(networks):
        speeds = [ranks * value for ranks, value in zip(RANKS, values, strict=True)]
        axes.plot(RANKS, speeds, label=network if reduction == "ordered" else None, **style)
    axes.plot([], [], color="0.4", ls=STYLES["bfloat16"], label="dotted: bfloat16 on the wire")
    axes.set(xscale="log", yscale="log", ylabel="times as fast as one rank", ylim=(0.5, None))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(color="0.92")


def _efficiencies(axes: Any, networks: dict[str, Any]) -> None:
    """Draw what is left of each rank's speed."""
    axes.axhline(1, color="0.7", lw=1)
    for _, _, values, style in _lines(networks):
        axes.plot(RANKS, values, **style)
    axes.set(xscale="log", ylabel="speed of a rank over one alone", ylim=(0, 1.05))
    axes.grid(color="0.92")


def _lines(networks: dict[str, Any]) -> Any:
    """Yield network, reduction, efficiencies and style of each line."""
    for colour, (network, reductions) in zip(COLOURS, networks.items(), strict=True):
        for reduction, line in STYLES.items():
            yield network, reduction, reductions[reduction], {"color": colour, "ls": line, "lw": 1.5}
