"""The curves of trainings: their losses and learning rates."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice
from fastrnn.plots.figure import new_panels, save_figure

__all__ = ["X_AXES", "plot_training"]

# Of each x axis the field of a record, and the label.
X_AXES = {"steps": ("step", "Step"), "epochs": ("epoch", "Epoch"), "seconds": ("seconds", "Time in seconds")}
# Okabe and Ito (2008): told apart with any colour vision.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MOST_POINTS = 150  # of a curve: more steps are averaged
_BAND = (10.0, 90.0)  # percentiles of the steps that are averaged
_EARLY = 0.05  # fraction of a training whose losses may lie above the picture


def plot_training(
    logs: Mapping[str, Sequence[Any]],
    path: str | os.PathLike[str] | None = None,
    *,
    x: str | None = None,
) -> Any:
    """Draw the training loss, the validation loss and the learning rate of one training or of several.

    A curve of more than 150 steps is drawn as means over as many intervals; one alone has a band from the
    tenth to the ninetieth percentile. Losses of the first 5 % of a training may lie above the picture.

    Parameters
    ----------
    logs : mapping of str to sequence of (Record or mapping)
        For each name the records of a training, such as ``list(trainer.run(1000))``, or the objects in the
        lines of its log. Fields are ``loss``, ``step``, ``epoch``, ``seconds``, ``valid_loss`` and
        ``learning_rate``; all but the first and the one on the x axis may be missing.
    path : path, optional
        A file to write: .png, .svg or .pdf.
    x : {"steps", "epochs", "seconds"}, optional
        The x axis. Default: steps, or epochs if a record has no step.

    Returns
    -------
    figure : matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are no records, or one lacks a loss or what is on the x axis.
    ImportError
        If matplotlib is not installed.
    OSError
        If the file cannot be written.

    References
    ----------
    Okabe, Ito (2008). Color universal design: how to make figures and presentations that are friendly to
    colorblind people.

    Examples
    --------
    >>> from fastrnn.plots import plot_training
    >>> log = [{"step": 1, "loss": 3.2}, {"step": 2, "loss": 2.9, "valid_loss": 3.0}]
    >>> figure = plot_training({"lstm": log})  # doctest: +SKIP
    """
    if not logs:
        raise ValueError("logs: expected at least one, got none")
    records = {name: [_as_mapping(one) for one in log] for name, log in logs.items()}
    axis = _axis(records, x)
    curves = [_Curves(name, log, axis) for name, log in records.items()]
    rates = any(len(one.rate) for one in curves)
    figure, panels = new_panels(8.0, 5.2 if rates else 4.2, 1 + rates, [3.4, 1.0] if rates else None)
    for number, one in enumerate(curves):
        _draw(panels, one, number, alone=len(curves) == 1)
    losses = panels[0]
    losses.set_ylim(*_limits(curves))
    per_token = all("tokens_per_second" in log[0] for log in records.values())
    losses.set_ylabel("Loss, nats per token" if per_token else "Loss")
    if rates:
        panels[1].set_ylabel("Learning rate")
        highest = max(one.rate[:, 1].max(initial=0.0) for one in curves)
        panels[1].set_ylim(0.0, 1.15 * highest or 1.0)
        figure.align_ylabels()
    panels[-1].set_xlabel(X_AXES[axis][1])
    for axes in panels:
        axes.margins(x=0.01)
        axes.grid(color="0.92", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    _add_legend(figure, losses, curves)
    return save_figure(figure, path)


class _Curves:
    """The points of one training: arrays [2, n] of x and y, the loss also with its band."""

    def __init__(self, name: str, log: Sequence[Mapping[str, Any]], axis: str) -> None:
        field = X_AXES[axis][0]
        self.name = name
        steps = _column(name, log, field)
        loss = _column(name, log, "loss")
        self.steps, self.loss, self.low, self.high = _averaged(steps, loss)
        valid = [(s, one["valid_loss"]) for s, one in zip(steps, log, strict=True) if _is(one, "valid_loss")]
        rate = [
            (s, one["learning_rate"]) for s, one in zip(steps, log, strict=True) if _is(one, "learning_rate")
        ]
        self.valid = np.array(valid, np.float64).reshape(-1, 2)
        self.rate = np.array(rate, np.float64).reshape(-1, 2)
        self.averaged = len(self.steps) < len(steps)
        start = steps[0] + _EARLY * (steps[-1] - steps[0])
        self.late = self.steps >= start
        self.late_valid = self.valid[:, 0] >= start


def _draw(panels: Sequence[Any], curves: _Curves, number: int, *, alone: bool) -> None:
    color, style = _look(number)
    losses = panels[0]
    if alone and curves.averaged:
        losses.fill_between(curves.steps, curves.low, curves.high, color=color, alpha=0.15, linewidth=0)
    marker = "o" if len(curves.steps) == 1 else None
    losses.plot(curves.steps, curves.loss, color=color, linestyle=style, linewidth=1.0, marker=marker)
    if len(curves.valid):
        other = _COLORS[1] if alone else color
        size = 4.0 if len(curves.valid) <= 40 else 0.0
        losses.plot(
            *curves.valid.T,
            color=other,
            linestyle=style,
            linewidth=2.0,
            marker="o",
            markersize=size,
            zorder=3,
        )
    if len(curves.rate):
        panels[-1].plot(*curves.rate.T, color=color, linestyle=style, linewidth=1.4)


def _look(number: int) -> tuple[str, str]:
    """Return the colour and the line style of a training: where the colours end, dashes begin."""
    return _COLORS[number % len(_COLORS)], ("-", "--", ":")[number // len(_COLORS) % 3]


def _add_legend(figure: Any, axes: Any, curves: Sequence[_Curves]) -> None:
    """Add a legend above the picture: of the two kinds of losses, and of several trainings by colour."""
    alone = len(curves) == 1
    shown: list[tuple[Any, str]] = []
    if not alone:
        for number, one in enumerate(curves):
            color, style = _look(number)
            shown.append((axes.plot([], [], color=color, linestyle=style, linewidth=4.0)[0], one.name))
    first, second = ("0.35", "0.35") if not alone else _COLORS[:2]
    training = "Training, mean and 80 % band" if alone and curves[0].averaged else "Training"
    shown.append((axes.plot([], [], color=first, linewidth=1.0)[0], training))
    if any(len(one.valid) for one in curves):
        line = axes.plot([], [], color=second, linewidth=2.0, marker="o", markersize=4.0)[0]
        shown.append((line, "Validation"))
    handles, labels = zip(*shown, strict=True)
    columns = len(labels) if sum(map(len, labels)) < 70 else 2
    legend = figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _limits(curves: Sequence[_Curves]) -> tuple[float, float]:
    """Return the ends of the axis of losses, without the first steps if these would take most of it."""
    bands = [[one.loss] if len(curves) > 1 else [one.loss, one.low, one.high] for one in curves]
    late = [band[one.late] for one, own in zip(curves, bands, strict=True) for band in own]
    low, high = _range([*late, *(one.valid[one.late_valid, 1] for one in curves)])
    lowest, highest = _range([*(band for own in bands for band in own), *(one.valid[:, 1] for one in curves)])
    if highest - lowest < 1.5 * (high - low):
        low, high = lowest, highest
    space = 0.06 * (high - low) or 0.1 * abs(high) or 0.1
    return low - space, high + space


def _range(parts: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


def _averaged(steps: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[Any, Any, Any, Any]:
    """Return points of a curve: x, mean, low and high end of the band."""
    if len(steps) <= _MOST_POINTS:
        return steps, values, values, values
    parts = np.array_split(np.arange(len(steps)), _MOST_POINTS)
    ends = [np.percentile(values[part], _BAND) for part in parts]
    low, high = np.array(ends).T
    return (
        np.array([steps[part].mean() for part in parts]),
        np.array([values[part].mean() for part in parts]),
        low,
        high,
    )


def _axis(records: Mapping[str, Sequence[Mapping[str, Any]]], x: str | None) -> str:
    for name, log in records.items():
        if not log:
            raise ValueError(f"logs[{name!r}]: expected at least one record, got none")
    if x is not None:
        return as_choice("x", x, X_AXES)
    return "steps" if all(_is(one, "step") for log in records.values() for one in log) else "epochs"


def _column(name: str, log: Sequence[Mapping[str, Any]], field: str) -> NDArray[np.float64]:
    for number, one in enumerate(log):
        if not _is(one, field):
            raise ValueError(
                f"logs[{name!r}][{number}]: expected a number as {field!r}, got {one.get(field)!r:.40}"
            )
    return np.array([one[field] for one in log], np.float64)


def _is(record: Mapping[str, Any], field: str) -> bool:
    value = record.get(field)
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _as_mapping(record: Any) -> Mapping[str, Any]:
    if isinstance(record, Mapping):
        return record
    if is_dataclass(record) and not isinstance(record, type):
        return asdict(record)
    raise TypeError(f"logs: expected records of a training or mappings, got {type(record).__name__}")
