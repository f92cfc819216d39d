"""Forecasts of several steps: each step is drawn, read again, and the state kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.models.base.examples import as_batch
from fastrnn.models.forecast_network import ForecastNetwork
from fastrnn.models.quantile_function import quantile_at
from fastrnn.models.series_transform import SeriesTransform

__all__ = ["ClosedLoop"]

Floats = NDArray[np.float64]
_ROWS = 20000  # paths that run as one batch


class ClosedLoop:
    """A series and a network that forecasts it.

    Parameters
    ----------
    network : ForecastNetwork
    transform : SeriesTransform
    window : int
        Steps that are read before a forecast.
    series : ndarray, float64 [T, D]
    known : ndarray, float64 [T', E]
        Standardized; of the steps that are forecast too.
    """

    network: ForecastNetwork
    transform: SeriesTransform
    window: int
    series: NDArray[np.float64]
    known: NDArray[np.float64]
    z: NDArray[np.float64]

    def __init__(
        self, network: ForecastNetwork, transform: SeriesTransform, window: int, series: Floats, known: Floats
    ) -> None:
        self.network, self.transform, self.window = network, transform, window
        self.series, self.known, self.z = series, known, transform.encode(series)

    def run(
        self,
        origins: Sequence[int] | NDArray[np.int64],
        steps: int,
        levels: tuple[float, ...] | None,
        paths: int,
        rng: np.random.Generator,
    ) -> dict[float | None, Floats]:
        """Return quantiles of the steps from each origin on, float64 [O, S, D].

        Without levels there is one path, of the middle of each distribution: its key is None.
        """
        copies = 1 if levels is None else paths
        chunk = max(_ROWS // copies, 1)
        parts: list[dict[float | None, Floats]] = []
        for begin in range(0, len(origins), chunk):
            some = [int(origin) for origin in origins[begin : begin + chunk]]
            values = self._paths(some, steps, copies, None if levels is None else rng)
            found = values.reshape(steps, len(some), copies, -1).swapaxes(0, 1)
            if levels is None:
                parts.append({None: found[:, :, 0]})
            else:
                parts.append(dict(zip(levels, np.quantile(found, levels, axis=2), strict=True)))
        return {level: np.concatenate([part[level] for part in parts]) for level in parts[0]}

    def _paths(self, origins: list[int], steps: int, copies: int, rng: np.random.Generator | None) -> Floats:
        """Return values [S, O * copies, D]; without a generator, those in the middle."""
        quantiles, state = self._read(origins)
        quantiles, state = np.repeat(quantiles, copies, axis=0), _repeated(state, copies)
        memory = [np.repeat(one, copies, axis=0) for one in self.transform.memory(self.series, origins)]
        values = np.empty((steps, len(quantiles), self.series.shape[1]))
        for step in range(steps):
            if rng is None:
                z = quantiles.mean(axis=2)
            else:
                z = quantile_at(quantiles, self.network.levels, rng.random(quantiles.shape[:2]))
            values[step] = self.transform.advance(z, memory)
            if step + 1 < steps:
                known = np.repeat(self.known[[origin + step + 1 for origin in origins]], copies, axis=0)
                x = np.concatenate([z, known], axis=1).astype(self.network.encoder.dtype)
                quantiles, state = self.network(x[None], None, state)
        return values

    def _read(self, origins: list[int]) -> tuple[Floats, Any]:
        """Return the quantiles of each origin's step, and the state after the window before it."""
        windows, lost = [], self.transform.lost
        for end in origins:
            first = max(end - self.window, lost)
            read = [self.z[first - lost : end - lost], self.known[first + 1 : end + 1]]
            windows.append(np.concatenate(read, axis=1).astype(self.network.encoder.dtype))
        return self.network(*as_batch(windows, np.arange(len(origins))))


def _repeated(state: Any, copies: int) -> Any:
    if isinstance(state, tuple):
        parts = [np.repeat(one, copies, axis=1) for one in state]
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    return np.repeat(state, copies, axis=1)
