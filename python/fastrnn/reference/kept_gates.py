"""Gates as a tape in bfloat16 keeps them: 16 bits each, half of float32's memory."""

from __future__ import annotations

import numpy as np

from fastrnn.reference._arrays import Floats
from fastrnn.reference.bfloat16 import round_to_bfloat16, without_denormals

#: Floats of this size are 2**-14 apart.
_SHIFTER = np.float32(768)


def kept_gate(gate: Floats, *, bounded: bool = True) -> Floats:
    """Round a gate of float32: one in -1 .. 1 to the nearest multiple of 2**-14, another to bfloat16.

    Numbers of bfloat16 just below 1 are 2**-8 apart. The derivative of a sigmoid, f (1 - f), and a GRU's 1 -
    z would be far off for gates that are almost open.

    >>> import numpy as np
    >>> kept_gate(np.array([0.999, 1, -0.25], "float32")).tolist()  # bfloat16 would have 1.0, 1.0, -0.25
    [0.9990234375, 1.0, -0.25]
    >>> kept_gate(np.array([0.999, 300], "float32"), bounded=False).tolist()
    [1.0, 300.0]
    """
    if not bounded:
        return round_to_bfloat16(without_denormals(gate))
    kept: Floats = (gate + _SHIFTER) - _SHIFTER
    return kept


def kept_gates(gates: Floats, precision: str, bounded: int) -> Floats:
    """Return gates [T, N, Q, H] as the tape has them, of which the first `bounded` are sigmoids and tanhs."""
    if precision != "bfloat16":
        return gates
    parts = kept_gate(gates[:, :, :bounded]), kept_gate(gates[:, :, bounded:], bounded=False)
    return np.concatenate(parts, axis=2)
