"""What ``fastrnn predict`` writes for a model of a series: its next steps, with quantiles."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrnn.cli.data_files import DataFile
from fastrnn.cli.model_tasks import Columns, read_targets

__all__ = ["LEVELS", "forecast_table", "forecast_text"]

LEVELS = (0.1, 0.9)  # the band of a forecast


def forecast_table(
    model: Any, data: Sequence[DataFile], columns: Columns, steps: int, seed: int
) -> dict[str, list[float]]:
    """Return the forecast of a series and its band, by name of column.

    Parameters
    ----------
    model : Forecaster
    data : sequence of DataFile
        The series to go on with; if there are none, that of training.
    columns : Columns
    steps : int
    seed : int
        Of the simulated paths.
    """
    history = np.array(read_targets(data, columns), np.float64) if data else None
    point = np.asarray(model.predict(steps, history)).reshape(steps, -1)
    band = model.predict(steps, history, quantiles=LEVELS, seed=seed)
    names = columns.y if len(columns.y) == point.shape[1] else [f"y{k}" for k in range(point.shape[1])]
    table: dict[str, list[float]] = {}
    for k, name in enumerate(names):
        table[name] = point[:, k].tolist()
        for level in LEVELS:
            table[f"{name}:{level:g}"] = np.reshape(band[level], (steps, -1))[:, k].tolist()
    return table


def forecast_text(table: dict[str, list[float]]) -> str:
    """Return a forecast as CSV, a row for each step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", *table])
    for step, row in enumerate(zip(*table.values(), strict=True), 1):
        writer.writerow([step, *(f"{value:.6g}" for value in row)])
    return text.getvalue()
