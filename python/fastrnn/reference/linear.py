"""The linear layer, y = W x + b, and its backward pass."""

from __future__ import annotations

from fastrnn.reference._arrays import Floats, check_floats
from fastrnn.reference.products import product_of, sum_over_rows


def linear_forward(
    x: Floats, weight: Floats, bias: Floats | None = None, *, precision: str = "float32"
) -> Floats:
    """Multiply every row of `x` by `weight` and add `bias`, in one matrix product.

    Parameters
    ----------
    x : ndarray [..., K], float32 or float64
    weight : ndarray [F, K], dtype of `x`
    bias : ndarray [F], dtype of `x`, optional
    precision : str
        Of the product: "float32", "bfloat16" or "int8", the last two for float32 arrays. The bias is float32.

    Returns
    -------
    ndarray [..., F], dtype of `x`

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit, or `precision` is unknown or not for these arrays.

    Examples
    --------
    >>> import numpy as np
    >>> linear_forward(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([0.5])).tolist()
    [[11.5]]
    """
    check_floats("weight", weight, ("F", "K"))
    features, width = weight.shape
    check_floats("x", x, (*x.shape[:-1], width), weight.dtype)
    rows = x.reshape(x.size // width, width)
    y = product_of(precision, weight.dtype)(rows, weight)
    if bias is not None:
        check_floats("bias", bias, (features,), weight.dtype)
        y += bias
    return y.reshape(*x.shape[:-1], features)


def linear_backward(
    x: Floats, weight: Floats, dy: Floats, *, precision: str = "float32"
) -> tuple[Floats, Floats, Floats]:
    """Compute the gradients of the linear layer: dx = W^T dy, dW = sum over rows of dy x^T, db = sum of dy.

    Parameters
    ----------
    x : ndarray [..., K], float32 or float64
        The input of the forward pass.
    weight : ndarray [F, K], dtype of `x`
    dy : ndarray [..., F], dtype of `x`
    precision : str
        Of both products: "float32" or "bfloat16". The gradient of the bias is a float32 sum.

    Returns
    -------
    dx : ndarray [..., K], dtype of `x`
    dweight : ndarray [F, K], dtype of `x`
    dbias : ndarray [F], dtype of `x`
        Ignore it if the layer has no bias.

    Raises
    ------
    TypeError
        If the arrays are not all float32 or all float64.
    ValueError
        If the shapes do not fit, or `precision` is unknown or not for these arrays.

    Examples
    --------
    >>> import numpy as np
    >>> x, weight = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    >>> [g.tolist() for g in linear_backward(x, weight, np.array([[10.0]]))]
    [[[30.0, 40.0]], [[10.0, 20.0]], [10.0]]
    """
    check_floats("weight", weight, ("F", "K"))
    features, width = weight.shape
    check_floats("x", x, (*x.shape[:-1], width), weight.dtype)
    check_floats("dy", dy, (*x.shape[:-1], features), weight.dtype)
    rows, drows = x.reshape(x.size // width, width), dy.reshape(dy.size // features, features)
    multiply = product_of(precision, weight.dtype, training=True)
    dx = multiply(drows, weight.T).reshape(x.shape)
    return dx, sum_over_rows(drows, rows, multiply), drows.sum(axis=0)
