"""Gradient clipping by global norm and by value, in place."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from fastrnn.reference._arrays import Floats


def sum_of_squares(g: Floats) -> float:
    """Compute the sum of the squares of all elements in double precision.

    Parameters
    ----------
    g : ndarray, float32 or float64, any shape

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> sum_of_squares(np.array([3.0, -4.0], np.float32))
    25.0
    """
    wide = g.astype(np.float64, copy=False).ravel()
    return float((wide * wide).sum())  # NumPy sums pairwise; a dot product would not


def global_norm(gradients: Iterable[Floats]) -> float:
    r"""Compute the Euclidean norm of all gradients as one vector, :math:`\sqrt{\sum_k \lVert g_k \rVert^2}`.

    All are divided by a power of two first, so that no square overflows or vanishes.

    Parameters
    ----------
    gradients : iterable of ndarray, float32 or float64

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> global_norm([np.array([3.0]), np.array([[-4.0]])])
    5.0
    """
    wide = [g.astype(np.float64, copy=False) for g in gradients]
    top = max((float(np.abs(g).max(initial=0.0)) for g in wide), default=0.0)
    exponent = max(math.frexp(top)[1], -1000) if math.isfinite(top) else 0
    return math.ldexp(math.sqrt(sum(sum_of_squares(np.ldexp(g, -exponent)) for g in wide)), exponent)


def clip_norm(gradients: Iterable[Floats], limit: float) -> float:
    r"""Scale all gradients by one factor so that their global norm is at most `limit`.

    .. math:: g \leftarrow g \cdot \min(1, \mathrm{limit} / (\lVert g \rVert + 10^{-6}))

    as ``torch.nn.utils.clip_grad_norm_`` does, including its small constant. If the norm is not finite the
    gradients are useless: check the returned norm before using them.

    Parameters
    ----------
    gradients : iterable of ndarray, float32 or float64
        Changed in place.
    limit : float
        Positive.

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    ValueError
        If `limit` is not positive.

    References
    ----------
    Pascanu, Mikolov, Bengio: On the difficulty of training recurrent neural networks, ICML 2013, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> g = np.array([3.0, -4.0])
    >>> clip_norm([g], 1.0)
    5.0
    >>> g.round(4).tolist()
    [0.6, -0.8]
    """
    if not limit > 0:
        raise ValueError(f"limit: expected a positive number, got {limit}")
    gradients = list(gradients)
    norm = global_norm(gradients)
    if not norm + 1e-6 <= limit:
        for g in gradients:
            g *= limit / (norm + 1e-6)
    return norm


def clip_value(g: Floats, limit: float) -> None:
    """Clip every element to -limit .. limit, in place; NaN stays NaN.

    Parameters
    ----------
    g : ndarray, float32 or float64, any shape
        Changed in place.
    limit : float
        Positive.

    Raises
    ------
    ValueError
        If `limit` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> g = np.array([0.5, -3.0, 7.0])
    >>> clip_value(g, 2.0)
    >>> g.tolist()
    [0.5, -2.0, 2.0]
    """
    if not limit > 0:
        raise ValueError(f"limit: expected a positive number, got {limit}")
    np.clip(g, -limit, limit, out=g)
