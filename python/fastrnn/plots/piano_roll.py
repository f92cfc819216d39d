"""A piano roll: which notes sound at which step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from fastrnn._checks import as_size
from fastrnn.plots.figure import new_figure, save_figure

__all__ = ["plot_piano_roll"]


def plot_piano_roll(chords: Sequence[Sequence[int]], path: str | os.PathLike[str] | None = None) -> Any:
    """Draw chords as a piano roll.

    Parameters
    ----------
    chords : list of list of int
        For each step its notes, MIDI numbers in 0 .. 127 (60 is middle C, C4).
    path : path, optional
        A file to write: .png, .svg or .pdf.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        If a note is out of range or not an integer, or there are no notes.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from fastrnn.plots import plot_piano_roll
    >>> figure = plot_piano_roll([[60, 64, 67], [60, 65, 69]])  # doctest: +SKIP
    """
    steps = [
        {as_size(f"chords[{step}][{order}]", note, least=0, most=127) for order, note in enumerate(chord)}
        for step, chord in enumerate(chords)
    ]
    notes = sorted(set().union(*steps))
    if not notes:
        raise ValueError("chords: expected at least one note, got none")
    low, high = notes[0] - 2, notes[-1] + 2
    figure, axes = new_figure(min(4.0 + 0.09 * len(steps), 14.0), min(1.6 + 0.1 * (high - low), 7.0))
    for note in range(low, high + 1):
        if note % 12 in (1, 3, 6, 8, 10):  # a black key
            axes.axhspan(note - 0.5, note + 0.5, color="0.94", linewidth=0)
    for note in notes:
        bars: list[tuple[int, int]] = []  # first step, steps
        for step, chord in enumerate(steps):
            if note in chord:
                held = bars and sum(bars[-1]) == step
                bars[-1:] = [(bars[-1][0], bars[-1][1] + 1)] if held else [*bars[-1:], (step, 1)]
        axes.broken_barh(bars, (note - 0.42, 0.84), facecolor="tab:blue", edgecolor="white", linewidth=0.5)
    names = [note for note in range(low, high + 1) if note % 12 in (0, 7)]
    axes.set_yticks(names, [f"{'C' if note % 12 == 0 else 'G'}{note // 12 - 1}" for note in names])
    axes.set_xlim(0, len(steps))
    axes.set_ylim(low - 0.5, high + 0.5)
    axes.set_xlabel("Step")
    axes.set_ylabel("Note")
    axes.grid(axis="y", color="0.8", linewidth=0.5)
    axes.set_axisbelow(True)
    return save_figure(figure, path)
