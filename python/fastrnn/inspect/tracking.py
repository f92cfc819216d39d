"""How well each gate and state of each unit tracks each property of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn.inspect.report_data import Signal
from fastrnn.inspect.units import UnitScore, correlations

__all__ = ["Tracking", "track"]

Floats = NDArray[np.float64]


class Tracking(NamedTuple):
    """Correlations of units with properties.

    Attributes
    ----------
    properties : dict of str to ndarray, float64 [T]
    ranked : list of ndarray, float64 [properties, H]
        For each signal the correlations over the first half of the text, by which units are ranked.
    measured : list of ndarray, float64 [properties, H]
        The same over the second half; where a property is constant in one half, both are over the whole text.
    """

    properties: Mapping[str, Floats]
    ranked: list[Floats]
    measured: list[Floats]

    def best(self, signals: Sequence[Signal]) -> dict[str, UnitScore]:
        """Return for each property the unit that ranks first."""
        found = {}
        for row, name in enumerate(self.properties):
            number = int(np.argmax([np.abs(own[row]).max() for own in self.ranked]))
            unit = int(np.abs(self.ranked[number][row]).argmax())
            found[name] = UnitScore(
                signals[number].layer,
                signals[number].name,
                unit,
                float(self.measured[number][row, unit]),
                float(self.ranked[number][row, unit]),
            )
        return found


def track(signals: Sequence[Signal], properties: Mapping[str, Floats]) -> Tracking:
    """Return the correlations of all units of some signals with some properties."""
    if not properties:
        none = [np.zeros((0, signal.values.shape[1])) for signal in signals]
        return Tracking(properties, none, none)
    halves = np.concatenate([_halves(values) for values in properties.values()])
    found = [correlations(signal.values, halves) for signal in signals]
    return Tracking(properties, [both[::2] for both in found], [both[1::2] for both in found])


def _halves(values: Floats) -> Floats:
    """Return the values to rank by and those to measure on, float64 [2, T]; NaN does not count."""
    first = np.arange(len(values)) < round(len(values) / 2)
    halves = np.where([first, ~first], values, np.nan)
    varied = all(len(own) and np.ptp(own) > 0 for own in (half[~np.isnan(half)] for half in halves))
    return halves if varied else np.stack([values, values])
