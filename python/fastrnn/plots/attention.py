"""The weights of attention: what each target symbol looked at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn._foreign import of_others
from fastrnn.plots.figure import new_figure, save_figure, visible

__all__ = ["plot_attention"]


def plot_attention(
    weights: Any, source: Sequence[str], target: Sequence[str], path: str | os.PathLike[str] | None = None
) -> Any:
    """Draw attention weights, a row for each target symbol and a column for each source symbol.

    Parameters
    ----------
    weights : float array [len(target), len(source)]
        In [0, 1].
    source, target : sequence of str
        Their symbols; a str is one of characters.
    path : path, optional
        A file to write: .png, .svg or .pdf.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the weights have another shape or are not in [0, 1], or a side is empty.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from fastrnn.plots import plot_attention
    >>> figure = plot_attention([[0.9, 0.1], [0.2, 0.8]], "ab", "ba")  # doctest: +SKIP
    """
    array = np.asarray(of_others("weights", weights), dtype=np.float64)
    shape = (len(target), len(source))
    if array.shape != shape or not array.size:
        raise ValueError(
            f"weights: expected shape [target, source] of at least one symbol each, here {list(shape)}, "
            f"got {list(array.shape)}"
        )
    if not ((array >= 0) & (array <= 1 + 1e-5)).all():
        raise ValueError("weights: expected numbers in [0, 1], got others")
    figure, axes = new_figure(min(2.4 + 0.3 * len(source), 16.0), min(1.6 + 0.3 * len(target), 16.0))
    image = axes.imshow(array, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    turned = any(len(symbol) > 2 for symbol in source)
    axes.set_xticks(
        range(len(source)), _labels(source), rotation=60 if turned else 0, ha="right" if turned else "center"
    )
    axes.set_yticks(range(len(target)), _labels(target))
    axes.set_xlabel("Source")
    axes.set_ylabel("Target")
    figure.colorbar(image, ax=axes, label="Attention weight", shrink=0.9)
    return save_figure(figure, path)


def _labels(symbols: Sequence[str]) -> list[str]:
    # A dollar sign would begin a formula.
    return [symbol.replace("$", r"\$") for symbol in visible(symbols)]
