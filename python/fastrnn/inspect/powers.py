"""The powers of a recurrent matrix: how fast W^t decays or grows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_size
from fastrnn.layers.spectrum import square_matrix

__all__ = ["power_norms"]


def power_norms(W: Any, steps: int) -> NDArray[np.float64]:
    """Return the norms of W^0, W^1, ..., W^steps: their largest singular values.

    A gradient that flows t steps back through a network without a nonlinearity is multiplied with W^t. Its
    norm is at most ``sigma^t``, where sigma is the largest singular value of W; for many steps the spectral
    radius rho decides, because ``norm(W^t)^(1/t)`` tends to rho (Gelfand's formula). At first the norms of a
    matrix that is not normal may grow although rho is below 1.

    Parameters
    ----------
    W : array_like, float [H, H]
        For example ``rnn.parameters["weight_hh_l0"]`` of an RNN.
    steps : int

    Returns
    -------
    ndarray, float64 [steps + 1]
        0 or infinity where a float64 is too small for the norm.

    Raises
    ------
    TypeError, ValueError
        If `W` is not a square matrix of finite floats, or `steps` is below 0.

    References
    ----------
    Pascanu, Mikolov, Bengio (2013), "On the difficulty of training Recurrent Neural Networks", section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> W = np.array([[0.5, 5.0], [0.0, 0.4]])
    >>> power_norms(W, 20)[[0, 1, 2, 5, 20]].round(6).tolist()
    [1.0, 5.040677, 4.50977, 1.051015, 4.7e-05]
    """
    matrix = square_matrix(W).astype(np.float64)
    logs = np.zeros(as_size("steps", steps, least=0) + 1)
    power, scale = np.eye(len(matrix)), 0.0
    largest = float(np.abs(matrix).max())
    unit = matrix / largest if largest > 0.0 else matrix
    for t in range(1, len(logs)):
        power = unit @ power
        size = float(np.abs(power).max())
        if size == 0.0:
            logs[t:] = -np.inf
            break
        power /= size
        scale += np.log(size) + np.log(largest)
        logs[t] = scale + np.log(np.linalg.norm(power, 2))
    with np.errstate(over="ignore"):
        norms: NDArray[np.float64] = np.exp(logs)
    return norms
