"""Which units and gates of a tape are saturated: so far out on their activation that its slope is small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn.layers.recurrent.engine.tape import Tape
from fastrnn.layers.recurrent.options import CellOptions
from fastrnn.layers.recurrent.spec import RecurrentSpec

__all__ = ["SATURATED", "Saturation", "gate_saturation", "saturation_of"]

Floats = NDArray[np.float64]

SATURATED = 0.9  # the usual threshold: beyond it a sigmoid or tanh counts as saturated

# The ends of each activation's range; None: none, so that it cannot saturate there.
_RANGES: dict[str, tuple[float | None, float | None]] = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "relu": (0.0, None),
    "positive": (0.0, None),
    "identity": (None, None),
}


@dataclass(frozen=True, eq=False)
class Saturation:
    """The fractions of real steps in which each unit of a gate is near an end of its range.

    Attributes
    ----------
    low, high : ndarray, float64 [H]
        Near the lower end (0 of a sigmoid: the gate is closed; -1 of a tanh; 0 of a relu: the unit is off),
        and near the upper end. NaN where the activation has no such end.
    """

    low: Floats
    high: Floats

    @property
    def either(self) -> Floats:
        """The fraction of steps near one of the ends, float64 [H]; NaN if there is none."""
        both = np.stack([self.low, self.high])
        none = np.isnan(both).all(axis=0)
        return np.where(none, np.nan, np.nansum(both, axis=0))


def saturation_of(tape: Tape, threshold: float) -> list[dict[str, Saturation]]:
    """Return how often each gate and unit is saturated, for each layer and direction; see `inspect`."""
    real, spec = _real_steps(tape), tape._spec
    return [
        gate_saturation(spec, None if gates is None else gates[real], one.y[real], threshold)
        for one, gates in ((one, one.gates) for one in tape.layers)
    ]


def gate_saturation(
    spec: RecurrentSpec, gates: Array | None, h: Array, threshold: float
) -> dict[str, Saturation]:
    """Return the same for one layer and direction, from its gates [steps, gates, H] and h [steps, H]."""
    return {
        name: _shares(values, activation, threshold)
        for name, values, activation in _signals(spec.options, spec.gate_names, gates, h)
    }


def _real_steps(tape: Tape) -> NDArray[np.bool_]:
    """Return which steps of which rows are before the rows' ends, bool [T, N]."""
    lengths = tape.layers[0].lengths
    if lengths is None:
        return np.ones((tape.steps, tape.rows), np.bool_)
    real: NDArray[np.bool_] = np.arange(tape.steps)[:, None] < lengths
    return real


def _signals(
    options: CellOptions, names: tuple[str, ...], kept: Array | None, h: Array
) -> list[tuple[str, Array, str]]:
    """Return name, values [steps, H] and activation of every gate and unit of a layer and direction."""
    if kept is None:  # a vanilla network: its state is its activation
        return [("h", h, options.candidate_activation)]
    gates, candidate = options.gate_activation, options.candidate_activation
    activations = {"g": candidate, "n": candidate, "z": candidate if options.cell == "slstm" else gates}
    signals = []
    for k, name in enumerate(names):
        if name in ("hn", "share"):  # no gate's output
            continue
        values = kept[:, k]
        if name == "log_f":
            name, values = "f", np.exp(values)
        signals.append((name, values, activations.get(name, gates)))
    return signals


def _shares(values: Array, activation: str, threshold: float) -> Saturation:
    lower, upper = _RANGES[activation]
    count = max(len(values), 1)
    none = np.full(values.shape[1], np.nan)
    if activation == "relu":
        low = (values <= 0.0).sum(axis=0) / count
    elif lower is None:
        low = none
    else:
        low = (values < (1.0 - threshold if lower == 0.0 else -threshold)).sum(axis=0) / count
    high = none if upper is None else (values > threshold).sum(axis=0) / count
    return Saturation(low, high)
