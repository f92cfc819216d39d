"""Figures of matplotlib without its global state, and their files."""

from __future__ import annotations

import functools
import importlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastrnn.files.atomic_files import write_atomically

__all__ = ["matplotlib_module", "new_figure", "new_panels", "save_figure", "visible"]

_SHOWN = {" ": "␣", "\n": "⏎", "\t": "⇥", "\x7f": "␡"}


def matplotlib_module(name: str) -> Any:
    """Return matplotlib or one of its modules, an extra that type checkers need not see."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "fastrnn[plot]"') from error


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """Create a figure with one pair of axes; sizes in inches."""
    figure, (axes,) = new_panels(width, height, 1)
    return figure, axes


def new_panels(
    width: float, height: float, count: int, shares: Sequence[float] | None = None
) -> tuple[Any, list[Any]]:
    """Create a figure with axes one below the other, which share the x axis; sizes in inches.

    Their heights are in proportion to `shares`, by default equal.
    """
    figure = matplotlib_module("matplotlib.figure").Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(count, 1, sharex=True, squeeze=False, height_ratios=shares)
    return figure, list(panels[:, 0])


def save_figure(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    """Write a figure, in the format that the suffix names, if there is a path; return it."""
    if path is not None:
        kinds = figure.canvas.get_supported_filetypes()
        kind = Path(path).suffix[1:].lower()
        if kind not in kinds:
            raise ValueError(f"path: expected one that ends in .png, .svg or .pdf, got {os.fspath(path)!r}")
        content = io.BytesIO()
        figure.savefig(content, format=kind, dpi=150)
        write_atomically(path, content.getvalue())
    figure._repr_png_ = functools.partial(_picture, figure)  # a notebook shows it even without pyplot
    return figure


def _picture(figure: Any) -> bytes:
    """Return what a notebook shows of a figure."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def visible(symbols: Sequence[str]) -> list[str]:
    r"""Return symbols as labels show them: a sign for a space, each control character and half of a pair.

    Examples
    --------
    >>> visible(["a", " ", "\n", "\r"])
    ['a', '␣', '⏎', '␍']
    """
    return ["".join(_SHOWN.get(one) or _sign(one) for one in symbol) for symbol in symbols]


def _sign(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code < 0xE000:  # half of a surrogate pair, which no font draws and no file holds
        return "\N{REPLACEMENT CHARACTER}"
    return chr(0x2400 + code) if code < 0x20 else character
