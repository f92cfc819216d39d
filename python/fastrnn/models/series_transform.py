"""What a forecaster does to a series before it reads it, and the exact inverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_flag, as_number, as_size
from fastrnn._plain import as_fields, as_list

__all__ = ["SeriesTransform"]

Floats = NDArray[np.float64]


class SeriesTransform:
    """A logarithm if asked for, then differences, then mean 0 and standard deviation 1.

    Attributes
    ----------
    log : bool
    lags : tuple of int
        A difference to the value so many steps before, one after the other.
    mean, scale : ndarray, float64 [D]
        Of the differences.

    Examples
    --------
    >>> x = np.array([[1.0], [2.0], [4.0], [8.0]])
    >>> transform = SeriesTransform.learn([x], log=True, lags=(1,))
    >>> z = transform.encode(x)
    >>> transform.decode(z, transform.bases(x)).ravel().round(6).tolist()
    [2.0, 4.0, 8.0]
    """

    log: bool
    lags: tuple[int, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __init__(self, log: bool, lags: Sequence[int], mean: Floats, scale: Floats) -> None:
        self.log, self.lags, self.mean, self.scale = log, tuple(lags), mean, scale

    @property
    def lost(self) -> int:
        """The number of steps at the start of a series that have no difference."""
        return sum(self.lags)

    @classmethod
    def learn(cls, panel: Sequence[Floats], *, log: bool, lags: Sequence[int]) -> SeriesTransform:
        """Return the transformation of series [T, D], each of more than `lost` steps."""
        width = panel[0].shape[1]
        plain = cls(log, lags, np.zeros(width), np.ones(width))
        values = np.concatenate([plain.encode(series) for series in panel])
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = values.mean(axis=0), values.std(axis=0)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
            raise ValueError("series: the numbers are too large to standardize; divide them first")
        scale[scale <= 1e-12 * np.abs(mean)] = 1.0
        scale[scale == 0.0] = 1.0
        return cls(log, lags, mean, scale)

    def encode(self, series: Floats) -> Floats:
        """Return what the network reads of a series [T, D]: [T - lost, D]."""
        return (self._stages(series)[-1] - self.mean) / self.scale

    def bases(self, series: Floats) -> Floats:
        """Return what the past adds to the difference of each step, [T - lost, D]."""
        stages = self._stages(series)
        base: Floats = stages[0][self.lost :] - stages[-1]
        return base

    def decode(self, z: Floats, bases: Floats) -> Floats:
        """Return values in the unit of the series, from scaled differences and what the past adds."""
        values = z * self.scale + self.mean + bases
        return np.exp(values) if self.log else values

    def memory(self, series: Floats, until: Sequence[int]) -> list[Floats]:
        """Return, for each difference, the values before given steps that it looks back to, [N, lag, D]."""
        memory, lost = [], 0
        for lag, stage in zip(self.lags, self._stages(series), strict=False):
            memory.append(np.stack([stage[end - lost - lag : end - lost] for end in until]))
            lost += lag
        return memory

    def advance(self, z: Floats, memory: list[Floats]) -> Floats:
        """Return the next values [N, D] of scaled differences [N, D], and put them in the memory."""
        values = z * self.scale + self.mean
        for place in reversed(range(len(memory))):
            values = values + memory[place][:, 0]
            memory[place] = np.concatenate([memory[place][:, 1:], values[:, None]], axis=1)
        with np.errstate(over="ignore"):
            return np.exp(values) if self.log else values

    def to_plain(self) -> dict[str, Any]:
        """Return plain values, ready for ``json.dumps``."""
        return {
            "log": self.log, "lags": list(self.lags), "mean": self.mean.tolist(), "scale": self.scale.tolist()
        }  # fmt: skip

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> SeriesTransform:
        """Return what `to_plain` described.

        Raises
        ------
        ValueError, TypeError
            If a value is missing or wrong.
        """
        checks: dict[str, Any] = {
            "log": as_flag,
            "lags": partial(as_list, check=as_size),
            "mean": partial(as_list, check=as_number),
            "scale": partial(as_list, check=partial(as_number, above=0.0)),
        }
        fields = as_fields("transform", values, checks)
        if not len(fields["mean"]) == len(fields["scale"]) > 0:
            raise ValueError("transform: expected a mean and a scale for each column")
        return cls(fields["log"], fields["lags"], np.array(fields["mean"]), np.array(fields["scale"]))

    def _stages(self, series: Floats) -> list[Floats]:
        stages = [np.log(series) if self.log else series]
        for lag in self.lags:
            stages.append(stages[-1][lag:] - stages[-1][:-lag])
        return stages
