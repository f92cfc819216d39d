"""A reservoir of leaky units: recurrent weights that are not trained, in compressed rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastrnn.reference._arrays import Floats, check_floats
from fastrnn.reference.activations import relu, sigmoid, tanh

_UNITS = {"tanh": tanh, "relu": relu, "identity": lambda v: v, "sigmoid": sigmoid}


def dense_from_rows(data: Floats, indices: NDArray[np.int64], indptr: NDArray[np.int64]) -> Floats:
    """Return the square matrix that compressed rows (CSR) stand for; elements of one place are added up.

    Parameters
    ----------
    data : ndarray, float [K]
    indices : ndarray, int [K]
        The column of each.
    indptr : ndarray, int [H + 1]
        Where each row begins, and the end.

    Returns
    -------
    W : ndarray, float [H, H]

    Examples
    --------
    >>> import numpy as np
    >>> dense_from_rows(np.array([3.0, 1.0, 2.0]), np.array([1, 0, 0]), np.array([0, 1, 3]))
    array([[0., 3.],
           [3., 0.]])
    """
    H = len(indptr) - 1
    W = np.zeros((H, H), data.dtype)
    for row in range(H):
        for k in range(indptr[row], indptr[row + 1]):
            W[row, indices[k]] += data[k]
    return W


def reservoir_forward(
    inputs: Floats, state: Floats, weight: Floats, leak_rate: Floats, nonlinearity: str = "tanh"
) -> tuple[Floats, Floats]:
    """Run a reservoir, ``h = (1 - a) h' + a f(W h' + u)``.

    Parameters
    ----------
    inputs : ndarray, float [T, N, H]
        u, all that does not depend on the state.
    state : ndarray, float [N, H]
        h before the first step.
    weight : ndarray, float [H, H]
        W.
    leak_rate : ndarray, float [H]
        a, the fraction of each state that is new.
    nonlinearity : {"tanh", "relu", "identity", "sigmoid"}
        f.

    Returns
    -------
    states : ndarray, float [T, N, H]
    state : ndarray, float [N, H]
        h after the last step.

    Raises
    ------
    ValueError
        If a shape or the nonlinearity is wrong.
    TypeError
        If dtypes differ.

    References
    ----------
    Lukoševičius (2012), "A Practical Guide to Applying Echo State Networks", equations 2 and 3.

    Examples
    --------
    >>> import numpy as np
    >>> states, state = reservoir_forward(
    ...     np.ones((2, 1, 1)), np.zeros((1, 1)), np.array([[0.5]]), np.array([0.5]), "identity"
    ... )
    >>> states.ravel().tolist()
    [0.5, 0.875]
    """
    check_floats("inputs", inputs, ("T", "N", "H"))
    _, N, H = inputs.shape
    named = {"state": state, "weight": weight, "leak_rate": leak_rate}
    for (name, array), shape in zip(named.items(), ((N, H), (H, H), (H,)), strict=True):
        check_floats(name, array, shape, inputs.dtype)
    if nonlinearity not in _UNITS:
        raise ValueError(f"nonlinearity: expected {', '.join(_UNITS)}, got {nonlinearity!r}")
    f, h = _UNITS[nonlinearity], state
    states = np.empty_like(inputs)
    for t in range(len(inputs)):
        h = (1 - leak_rate) * h + leak_rate * f(h @ weight.T + inputs[t])
        states[t] = h
    return states, h.copy()
