"""Products in bfloat16: operands of 8 significant bits, products that are exact, sums in float32."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fastrnn.reference._arrays import check_floats

Float32: TypeAlias = npt.NDArray[np.float32]

_SMALLEST_NORMAL = np.finfo(np.float32).tiny
_FLOAT32 = np.dtype(np.float32)


def round_to_bfloat16(x: Float32) -> Float32:
    """Round to the nearest bfloat16, the even one of two; NaN, infinity and the sign of zero are kept.

    A bfloat16 is a float32 without its lower 16 bits: the same range, 8 significant bits instead of 24. So
    gradients need no scale that keeps them from underflow, as they do in float16.

    Parameters
    ----------
    x : ndarray, float32

    Returns
    -------
    ndarray, float32
        Numbers whose lower 16 bits are 0. What is nearer to 2**128 than to the largest bfloat16 is infinity.

    Raises
    ------
    TypeError
        If `x` is not float32.

    References
    ----------
    Kalamkar et al.: A study of BFLOAT16 for deep learning training, arXiv:1905.12322 (2019).

    Examples
    --------
    >>> import numpy as np
    >>> round_to_bfloat16(np.array([1 + 1 / 256, 1 + 3 / 256, 3.14159], "float32")).tolist()
    [1.0, 1.015625, 3.140625]
    """
    check_floats("x", x, x.shape, _FLOAT32)
    bits = x.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return np.where(np.isnan(x), x, rounded.astype(np.uint32).view(np.float32)).astype(np.float32)


def bfloat16_product(a: Float32, w: Float32) -> Float32:
    """Multiply each row of `a` by each row of `w`: both are rounded, the sums are float32 in a fixed order.

    For k = 0, 1, 2, ... each sum s, 0 at first, becomes ``a[2k] w[2k] + (a[2k + 1] w[2k + 1] + s)``; each of
    the two additions is rounded to float32, the products are not. (Kernels without fused multiply-adds agree
    unless a product leaves the range of float32.) Numbers smaller than the smallest normal float32 count as
    zero, as operands and as sums.

    Parameters
    ----------
    a : ndarray [M, K], float32
    w : ndarray [F, K], float32

    Returns
    -------
    ndarray [M, F], float32

    Raises
    ------
    TypeError
        If the arrays are not float32.
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> a, w = np.array([[1.0, 2.0, 4.0]], "float32"), np.array([[1 + 1 / 256, 0.5, 0.25]], "float32")
    >>> bfloat16_product(a, w).tolist()  # 1 + 1/256 is rounded to 1
    [[3.0]]
    """
    check_floats("a", a, ("M", "K"), _FLOAT32)
    check_floats("w", w, ("F", a.shape[1]), _FLOAT32)
    a_columns, w_columns = (round_to_bfloat16(without_denormals(m)).astype(np.float64).T for m in (a, w))
    sums = np.zeros((len(a), len(w)), np.float32)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for k in pairwise_order(a.shape[1]):
            # Rounded once: a product has 16 bits and a sum 24, so float64's 53 lose nothing that counts.
            sums = without_denormals((a_columns[k][:, None] * w_columns[k] + sums).astype(np.float32))
    return sums


def pairwise_order(count: int) -> list[int]:
    """Return 1, 0, 3, 2, ...: the second of each pair first.

    >>> pairwise_order(5)
    [1, 0, 3, 2, 4]
    """
    return [k for even in range(0, count, 2) for k in (even + 1, even) if k < count]


def without_denormals(x: Float32) -> Float32:
    """Return `x` with zeros, of their signs, in place of numbers below the smallest normal float32."""
    return np.where(np.abs(x) < _SMALLEST_NORMAL, np.copysign(np.float32(0), x), x)
