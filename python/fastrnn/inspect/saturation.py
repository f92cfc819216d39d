"""How often units and gates are saturated: so far out on their activation that its slope is small."""

from __future__ import annotations

from typing import Any

from fastrnn._checks import as_number
from fastrnn.inspect.gradients import as_layer
from fastrnn.layers import CheckpointedTape
from fastrnn.layers.recurrent.engine.backpropagation import check_tape
from fastrnn.layers.recurrent.engine.saturation import SATURATED, Saturation, saturation_of

__all__ = ["Saturation", "saturation"]


def saturation(layer: Any, tape: Any, threshold: float = SATURATED) -> list[dict[str, Saturation]]:
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
    return saturation_of(tape, threshold)
