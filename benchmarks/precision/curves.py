"""The picture of ``precision_quality``: validation losses over steps, and their relative difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["COLOURS", "draw"]

COLOURS = {"float32": "#0b6e4f", "bfloat16": "#d1495b"}


def draw(trainings: dict[str, Any], goal: float, path: Path) -> None:
    """Draw a column for each training: the curves above, bfloat16's distance from float32 below.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.figure

    size = (5.5 * len(trainings), 5.5)
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
    ratios = {"height_ratios": (3, 1)}
    axes = figure.subplots(2, len(trainings), sharex="col", squeeze=False, gridspec_kw=ratios)
    for (name, training), (above, below) in zip(trainings.items(), axes.T, strict=True):
        curves = training["curves"]
        steps = [point["step"] for point in curves["float32"]]
        losses = {precision: [point["loss"] for point in curve] for precision, curve in curves.items()}
        for precision, style in (("float32", "-"), ("bfloat16", "--")):
            above.plot(steps, losses[precision], style, marker=".", label=precision, color=COLOURS[precision])
        above.set(title=name, ylabel="validation loss, nats a token")
        above.legend()
        pairs = zip(losses["float32"], losses["bfloat16"], strict=True)
        below.axhspan(-100 * goal, 100 * goal, color="0.92")
        below.axhline(0, color="0.7", lw=1)
        below.plot(steps, [100 * (b / a - 1) for a, b in pairs], marker=".", color=COLOURS["bfloat16"])
        below.set(xlabel="step", ylabel="difference, %")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
