"""Figures of matplotlib without its global state, and their files."""

from __future__ import annotations

import importlib
import io
import os
from pathlib import Path
from typing import Any

from fastrnn.files.atomic_files import write_atomically

__all__ = ["new_figure", "save_figure"]


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """Create a figure with one pair of axes; sizes in inches."""
    try:
        module = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "fastrnn[plot]"') from error
    figure = module.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


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
    return figure
