"""How often units and gates are saturated: so far out on their activation that its slope is small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn._checks import as_number
from fastrnn.inspect.gradients import as_layer
from fastrnn.layers import CheckpointedTape, LayerTape, Tape
from fastrnn.layers.recurrent.engine.backpropagation import check_tape
from fastrnn.layers.recurrent.options import CellOptions

__all__ = ["Saturation", "saturation"]

Floats = NDArray[np.float64]

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


def saturation(layer: Any, tape: Any, threshold: float = 0.9) -> list[dict[str, Saturation]]:
    """Return how often each gate and unit is saturated, for each layer and direction by name.

    A saturated sigmoid or tanh has a small slope, so that little gradient flows into what it adds up. But a
    forget gate at 1 or an LSTM's input gate at 0 also is what keeps a memory: see Karpathy, Johnson and Li.

    Parameters
    ----------
    layer : Recurrent
    tape : Tape
        From ``layer.forward``. Steps after a row's end do not count.
    threshold : float, default 0.9
        How far out is saturated: a sigmoid above `threshold` or below ``1 - threshold``, a tanh above
        `threshold` or below ``-threshold``, a relu at exactly 0.

    Returns
    -------
    list of dict of str to Saturation
        Names are those of the gates on the tape (``layer.spec.gate_names``): i, f, g, o of an LSTM; r, z, n
        of a GRU; of a vanilla network h, with options n. SLSTM: f and o are sigmoids, z is a tanh, i is
        ``exp(log_i - m)`` in (0, 1]. Candidates are taken before a dropout.

    Raises
    ------
    ValueError
        If the tape is another layer's, or `threshold` is not in (0.5, 1).
    TypeError
        If the tape keeps no gates, or `layer` is not a recurrent layer.

    References
    ----------
    Karpathy, Johnson, Li (2015), "Visualizing and Understanding Recurrent Networks", section 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.LSTM(3, 4, seed=0)
    >>> fr.init.forget_bias(rnn, 3.0)
    >>> tape = rnn.forward(np.random.default_rng(0).normal(size=(50, 2, 3)).astype("float32"))[2]
    >>> gates = fr.inspect.saturation(rnn, tape)[0]
    >>> {name: float(gate.either.mean().round(2)) for name, gate in gates.items()}
    {'i': 0.01, 'f': 0.94, 'g': 0.04, 'o': 0.0}
    """
    own = as_layer(layer)
    threshold = as_number("threshold", threshold, above=0.5, below=1.0)
    if isinstance(tape, CheckpointedTape):
        raise TypeError("tape: expected a Tape, which keeps the gates; run forward without checkpoint_every")
    check_tape(own, tape)
    return [
        {
            name: _shares(values, activation, threshold)
            for name, values, activation in _signals(own.options, own.spec.gate_names, one, _real_steps(tape))
        }
        for one in tape.layers
    ]


def _real_steps(tape: Tape) -> NDArray[np.bool_]:
    """Return which steps of which rows are before the rows' ends, bool [T, N]."""
    lengths = tape.layers[0].lengths
    if lengths is None:
        return np.ones((tape.steps, tape.rows), np.bool_)
    real: NDArray[np.bool_] = np.arange(tape.steps)[:, None] < lengths
    return real


def _signals(
    options: CellOptions, names: tuple[str, ...], tape: LayerTape, real: NDArray[np.bool_]
) -> list[tuple[str, Array, str]]:
    """Return name, values [steps, H] and activation of every gate and unit of a layer and direction."""
    if tape.gates is None:  # a vanilla network: its state is its activation
        return [("h", tape.y[real], options.candidate_activation)]
    gates, candidate = options.gate_activation, options.candidate_activation
    activations = {"g": candidate, "n": candidate, "z": candidate if options.cell == "slstm" else gates}
    signals = []
    for k, name in enumerate(names):
        if name in ("hn", "share"):  # no gate's output
            continue
        values = tape.gates[:, :, k][real]
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
