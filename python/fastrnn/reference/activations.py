"""Activations of the cells, and their derivatives in terms of their outputs."""

from __future__ import annotations

import numpy as np

from fastrnn.reference._arrays import Floats


def sigmoid(x: Floats) -> Floats:
    r"""Compute the logistic sigmoid, :math:`\sigma(x) = 1 / (1 + e^{-x})`, without overflow for any x.

    Both branches use :math:`e^{-|x|} \le 1`: :math:`1 / (1 + e^{-x})` for x >= 0 and
    :math:`e^{x} / (1 + e^{x})` for x < 0, so that small results keep their relative accuracy.

    Parameters
    ----------
    x : ndarray, float32 or float64, any shape

    Returns
    -------
    ndarray
        Of the shape and dtype of `x`. NaN stays NaN, infinities give 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> sigmoid(np.array([-np.inf, 0.0, 800.0])).tolist()
    [0.0, 0.5, 1.0]
    >>> print(f"{sigmoid(np.array(-700.0)):.4g}")
    9.86e-305
    """
    e = np.exp(-np.abs(x))
    result: Floats = np.maximum(e, x >= 0) / (1 + e)  # e <= 1, so the numerator is 1 where x >= 0
    return result


def dsigmoid(s: Floats) -> Floats:
    r"""Compute the derivative of the sigmoid from its output `s`: :math:`s (1 - s)`.

    Parameters
    ----------
    s : ndarray, float32 or float64, any shape
        What `sigmoid` returned.

    Returns
    -------
    ndarray
        Of the shape and dtype of `s`.

    Examples
    --------
    >>> import numpy as np
    >>> dsigmoid(sigmoid(np.zeros(1))).tolist()
    [0.25]
    """
    result: Floats = s * (1 - s)
    return result


def softplus(x: Floats) -> Floats:
    """Compute log(1 + exp(x)) without overflow for any x.

    Parameters
    ----------
    x : ndarray, float32 or float64, any shape

    Returns
    -------
    ndarray
        Of the shape and dtype of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> softplus(np.array([-np.inf, 0.0, 800.0])).round(4).tolist()
    [0.0, 0.6931, 800.0]
    """
    result: Floats = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    return result


def tanh(x: Floats) -> Floats:
    """Compute the hyperbolic tangent, with NumPy's own function.

    Parameters
    ----------
    x : ndarray, float32 or float64, any shape

    Returns
    -------
    ndarray
        Of the shape and dtype of `x`.

    Examples
    --------
    >>> import numpy as np
    >>> tanh(np.array([-np.inf, 0.0, np.inf])).tolist()
    [-1.0, 0.0, 1.0]
    """
    result: Floats = np.tanh(x)
    return result


def dtanh(t: Floats) -> Floats:
    r"""Compute the derivative of tanh from its output `t`: :math:`1 - t^2`.

    Parameters
    ----------
    t : ndarray, float32 or float64, any shape
        What `tanh` returned.

    Returns
    -------
    ndarray
        Of the shape and dtype of `t`.

    Examples
    --------
    >>> import numpy as np
    >>> dtanh(tanh(np.zeros(1))).tolist()
    [1.0]
    """
    result: Floats = 1 - t * t
    return result


def relu(x: Floats) -> Floats:
    r"""Compute the rectifier, :math:`\max(x, 0)`.

    Parameters
    ----------
    x : ndarray, float32 or float64, any shape

    Returns
    -------
    ndarray
        Of the shape and dtype of `x`. NaN stays NaN.

    Examples
    --------
    >>> import numpy as np
    >>> relu(np.array([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 2.0]
    """
    result: Floats = np.maximum(x, 0)
    return result


def drelu(r: Floats) -> Floats:
    r"""Compute the derivative of the rectifier from its output `r`: 1 where r > 0, 0 elsewhere.

    Parameters
    ----------
    r : ndarray, float32 or float64, any shape
        What `relu` returned.

    Returns
    -------
    ndarray
        Of the shape and dtype of `r`.

    Examples
    --------
    >>> import numpy as np
    >>> drelu(relu(np.array([-1.0, 0.0, 2.0]))).tolist()
    [0.0, 0.0, 1.0]
    """
    result: Floats = (r > 0).astype(r.dtype)
    return result
