"""Weights in course notes' convention: one matrix per gate over [state, input], and update gate u = 1 - z."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn._arrays import Array, as_array

__all__ = ["from_notes"]

# The order of the gates in PyTorch's matrices, in the notes' letters, and the sign of each: z is 1 - u.
_GATES = {"rnn": (("a", 1),), "gru": (("r", 1), ("u", -1), ("c", 1)), "lstm": tuple((g, 1) for g in "ufco")}


def from_notes(cell: str, weights: Mapping[str, Any], *, suffix: str = "_l0") -> dict[str, Array]:
    """Convert one layer's weights from the convention of course notes to that of a `fastrnn` layer.

    In the notes (Ng, "Sequence Models", 2018) a gate is ``sigmoid(W [h', x] + b)``, with one matrix over the
    state and the input, and a GRU's new state is ``c = u * n + (1 - u) * c'``, with the reset before the
    product. PyTorch and fastrnn use z = 1 - u instead of u. Because ``sigmoid(-v) = 1 - sigmoid(v)``, the
    weights of z are those of u with the opposite sign.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    weights : mapping of str to array_like
        ``W<gate> [H, H + D]``, state columns first, and ``b<gate> [H]`` or [H, 1]. The gates are a for the
        vanilla cell; u, r, c for the GRU; u, f, o, c for the LSTM, where u is the input gate and c the
        candidate.
    suffix : str, default "_l0"
        Suffix of the returned names.

    Returns
    -------
    state : dict of str to ndarray
        weight_ih, weight_hh, bias_ih and bias_hh (zero), for ``load_state_dict`` of `fastrnn.RNN`,
        ``fastrnn.GRU(reset_after=False)`` or `fastrnn.LSTM`. The notes' LSTM with ``a = o * c`` needs
        ``output_activation="identity"``.

    Raises
    ------
    ValueError
        If the cell is unknown, a matrix is missing or unknown, or a shape does not match.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> random = np.random.default_rng(0)
    >>> H, D = 4, 3
    >>> notes = {f"W{g}": random.normal(size=(H, H + D)) for g in "urc"}
    >>> notes |= {f"b{g}": random.normal(size=H) for g in "urc"}
    >>> rnn = fr.GRU(D, H, reset_after=False, dtype="float64")
    >>> rnn.load_state_dict(fr.interop.from_notes("gru", notes))
    >>> c, x = random.normal(size=H), random.normal(size=D)
    >>> def sigmoid(v):
    ...     return 1 / (1 + np.exp(-v))
    >>> u = sigmoid(notes["Wu"] @ [*c, *x] + notes["bu"])
    >>> r = sigmoid(notes["Wr"] @ [*c, *x] + notes["br"])
    >>> n = np.tanh(notes["Wc"] @ [*(r * c), *x] + notes["bc"])
    >>> y, _ = rnn(x[None, None], c[None, None])
    >>> np.allclose(y[0, 0], u * n + (1 - u) * c)
    True
    """
    if cell not in _GATES:
        raise ValueError(f"cell: expected one of {', '.join(_GATES)}, got {cell!r}")
    gates = _GATES[cell]
    expected = {f"{kind}{gate}" for gate, _ in gates for kind in "Wb"}
    if wrong := expected ^ weights.keys():
        raise ValueError(
            f"weights: expected {', '.join(sorted(expected))}; missing or unknown: {sorted(wrong)}"
        )
    arrays = {name: as_array(name, value) for name, value in weights.items()}
    H = len(arrays[f"W{gates[0][0]}"])
    width = arrays[f"W{gates[0][0]}"].shape[-1]
    for name, array in arrays.items():
        shape = (H, width) if name.startswith("W") else (H,)
        if array.size != np.prod(shape) or len(array) != H or (array.ndim != 2 and name.startswith("W")):
            raise ValueError(f"{name}: expected {list(shape)}, got {list(array.shape)}")
    if width <= H:
        raise ValueError(f"W{gates[0][0]}: expected [H, H + D] with D >= 1, got {[H, width]}")
    both = np.concatenate([sign * arrays[f"W{gate}"] for gate, sign in gates])
    bias = np.concatenate([sign * arrays[f"b{gate}"].reshape(H) for gate, sign in gates])
    return {
        f"weight_ih{suffix}": np.ascontiguousarray(both[:, H:]),
        f"weight_hh{suffix}": np.ascontiguousarray(both[:, :H]),
        f"bias_ih{suffix}": bias,
        f"bias_hh{suffix}": np.zeros_like(bias),
    }
