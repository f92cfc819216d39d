"""Activations over time: heat maps of all units of a gate, and one unit over the text that it read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_size
from fastrnn._foreign import of_others
from fastrnn.plots.figure import matplotlib_module, new_figure, new_panels, save_figure, visible

__all__ = ["plot_gates", "plot_unit"]

_MOST_SYMBOLS = 5000  # of a coloured text in one picture
_MOST_LABELS = 120  # of steps, on an axis
_CELL = (0.076, 0.19)  # inches of a character


def plot_gates(
    gates: Mapping[str, Any],
    symbols: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    units: Sequence[int] | None = None,
) -> Any:
    """Draw heat maps of gates or states, one below the other: a column for each step, a row for each unit.

    Parameters
    ----------
    gates : mapping of str to float array [T, H]
        Such as ``trace.gates["l0"]`` or ``trace.states["l0"]`` of `fastrnn.inspect.trace`. What lies in [0,
        1] is drawn from white to blue, everything else from red through white (0) to blue.
    symbols : sequence of str, optional
        What was read at each step; shown if there are at most 120.
    path : path, optional
        A file to write: .png, .svg or .pdf.
    units : sequence of int, optional
        Only these, in this order from the top.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are no gates, shapes differ or are not [T, H], a number is not finite, or a unit does not
        exist.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from fastrnn.plots import plot_gates
    >>> figure = plot_gates({"f": [[0.9, 0.1], [0.5, 0.2]]}, "ab")  # doctest: +SKIP
    """
    arrays = _as_gates(gates)
    T, H = next(iter(arrays.values())).shape
    if symbols is not None and len(symbols) != T:
        raise ValueError(f"symbols: expected one for each of {T} steps, got {len(symbols)}")
    rows = list(range(H)) if units is None else [as_size("units", u, least=0, most=H - 1) for u in units]
    if not rows:
        raise ValueError("units: expected at least one, got none")
    labelled = symbols is not None and T <= _MOST_LABELS
    width = min(max(0.115 * T, 4.0), 14.0) + 1.6
    height = min(max(0.05 * len(rows), 1.1), 2.6)
    figure, panels = new_panels(width, 0.6 + height * len(arrays), len(arrays))
    for axes, (name, array) in zip(panels, arrays.items(), strict=True):
        shown = array[:, rows].T
        image = axes.imshow(shown, aspect="auto", interpolation="nearest", **_colors(shown))
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=12)
        if axes is not panels[-1]:
            axes.tick_params(axis="x", bottom=False)
        if len(rows) <= 12:
            axes.set_yticks(range(len(rows)), rows)
        elif units is not None:
            axes.set_yticks([])
        figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
    if labelled:
        assert symbols is not None
        names = visible(symbols)
        turned = any(len(symbol) > 2 for symbol in names)
        panels[-1].set_xticks(range(T), names, rotation=60 if turned else 0, fontsize=8)
        for label in panels[-1].get_xticklabels():
            label.set(ha="right" if turned else "center", parse_math=False)
        panels[-1].tick_params(axis="x", length=2)
    panels[-1].set_xlabel("Symbol" if labelled else "Step")
    figure.supylabel("Unit", fontsize="medium")
    return save_figure(figure, path)


def plot_unit(
    activation: Any,
    symbols: Sequence[str],
    path: str | os.PathLike[str] | None = None,
    *,
    columns: int = 72,
    limits: tuple[float, float] | None = None,
    label: str = "Activation",
) -> Any:
    r"""Draw a text with each symbol coloured by what one unit did when it was read.

    Lines are broken at line ends, drawn as ⏎, and where they are full.

    Parameters
    ----------
    activation : float array [T]
        Such as ``trace.states["l0"]["c"][:, 20]`` of `fastrnn.inspect.trace`, or the weights of attention.
    symbols : sequence of str
        At most 5,000; a str is one of characters. Longer symbols, such as words, are set apart by spaces.
    path : path, optional
        A file to write: .png, .svg or .pdf.
    columns : int, default 72
        Characters in a line.
    limits : (float, float), optional
        The activations of the two ends of the colours. Default: 0 and the largest, or if some are negative,
        the largest magnitude on both sides, so that 0 is white. Colours end there.
    label : str
        Of the scale.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is not one activation for each symbol, one is not finite, there are none or too many, or the
        limits are not in order.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.

    References
    ----------
    Karpathy, Johnson, Li (2015), "Visualizing and Understanding Recurrent Networks", figure 2.

    Examples
    --------
    >>> from fastrnn.plots import plot_unit
    >>> figure = plot_unit([-1, 0, 1, 0.5], "a\nbc")  # doctest: +SKIP
    """
    values = np.asarray(of_others("activation", activation), dtype=np.float64)
    if values.shape != (len(symbols),) or not values.size:
        raise ValueError(
            f"activation: expected a number for each of the symbols, here {len(symbols)}, at least one, got "
            f"shape {list(values.shape)}"
        )
    if len(symbols) > _MOST_SYMBOLS:
        raise ValueError(
            f"symbols: expected at most {_MOST_SYMBOLS} in one picture, got {len(symbols)}; draw a part"
        )
    if not np.isfinite(values).all():
        raise ValueError("activation: expected finite numbers, got others")
    width = as_size("columns", columns)
    places = _placed(symbols, width)
    lines = places[-1][0] + 1
    used = max(column + len(text) for _, column, text in places)
    grid = np.full((lines, used), np.nan)
    for value, (line, column, text) in zip(values, places, strict=True):
        grid[line, column : column + len(text)] = value
    colors = _colors(values, limits, pale=True)
    flat = lines < 7  # too low for a scale at the side
    size = used * _CELL[0] + (0.2 if flat else 1.3), lines * _CELL[1] + (0.75 if flat else 0.3)
    figure, axes = new_figure(max(size[0], 2.2), size[1])
    image = axes.imshow(grid, aspect="auto", interpolation="nearest", **colors)
    axes.axis("off")
    for line, column, text in places:
        for offset, character in enumerate(text):
            if character != " ":
                sign = character == "⏎"
                axes.text(
                    column + offset, line, character, ha="center", va="center_baseline", fontsize=8.5,
                    family="DejaVu Sans Mono", color="0.45" if sign else "black", parse_math=False,
                )  # fmt: skip
    if flat:
        side: dict[str, Any] = {"location": "bottom", "aspect": 12, "shrink": min(1.0, 1.8 / size[0])}
    else:
        side = {"pad": 0.01, "fraction": 0.04, "aspect": 25}
    bar = figure.colorbar(image, ax=axes, label=label, **side)
    bar.outline.set_linewidth(0.5)
    return save_figure(figure, path)


def _placed(symbols: Sequence[str], columns: int) -> list[tuple[int, int, str]]:
    """Return line, column and text of each symbol."""
    words = any(len(symbol) > 1 for symbol in symbols)
    places, line, column = [], 0, 0
    for symbol in symbols:
        text = "".join(
            one if one == " " else shown for one, shown in zip(symbol, visible(symbol), strict=True)
        )
        text = text or " "
        if column and column + len(text) > columns:
            line, column = line + 1, 0
        places.append((line, column, text))
        column += len(text) + words
        if symbol.endswith("\n"):
            line, column = line + 1, 0
    return places


def _colors(
    values: NDArray[np.float64], limits: tuple[float, float] | None = None, *, pale: bool = False
) -> dict[str, Any]:
    """Return the colour map of values, and its ends; `pale`: so that black letters stay readable."""
    largest = float(np.abs(values).max()) or 1.0
    signed = bool(values.min() < 0)
    if limits is None:
        low, high = (-largest, largest) if signed else (0.0, 1.0 if not pale and largest <= 1 else largest)
    else:
        low, high = map(float, limits)
        if not -np.inf < low < high < np.inf:
            raise ValueError(f"limits: expected two finite numbers in ascending order, got {limits}")
        signed = low < 0 < high
    ends = ((0.14, 0.86) if signed else (0.0, 0.6)) if pale else ((0.06, 0.94) if signed else (0.0, 0.95))
    whole = matplotlib_module("matplotlib").colormaps["RdBu" if signed else "Blues"]
    picked = matplotlib_module("matplotlib.colors").ListedColormap(whole(np.linspace(*ends, 256)))
    return {"cmap": picked, "vmin": low, "vmax": high}


def _as_gates(gates: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Return gates as float64 arrays of one shape."""
    if not isinstance(gates, Mapping):
        raise TypeError(f"gates: expected a mapping of names to arrays, got {type(gates).__name__}")
    arrays = {name: np.asarray(of_others(name, array), dtype=np.float64) for name, array in gates.items()}
    if not arrays:
        raise ValueError("gates: expected at least one; an RNN has none: draw its states")
    shape = next(iter(arrays.values())).shape
    for name, array in arrays.items():
        if array.ndim != 2 or not array.size or array.shape != shape:
            raise ValueError(
                f"gates[{name!r}]: expected [T, H], the same for all, here {list(shape)}, got "
                f"{list(array.shape)}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"gates[{name!r}]: expected finite numbers, got others")
    return arrays
