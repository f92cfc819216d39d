"""Products in int8: rows of whole numbers from -127 to 127, each with one scale; the sums are exact."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fastrnn.reference._arrays import check_floats

Float32: TypeAlias = npt.NDArray[np.float32]
Int8: TypeAlias = npt.NDArray[np.int8]

#: The largest q. -128 is not used, so that the negative of each row is quantised to the negative.
LARGEST = np.float32(127)
#: The most products of a sum: of 65,536 the sum is below 2**31.
MOST_PRODUCTS = 65_536
#: Rows without a number of this size have scale 0: below it, scales would not be normal float32.
_SMALLEST = np.float32(2.0**-100)
_FLOAT32 = np.dtype(np.float32)


def quantize_rows(weight: Float32) -> tuple[Int8, Float32]:
    """Quantise each row of a weight: w is about q times the row's scale.

    The scale is max |w| / 127, rounded up to 16 significant bits. So q times the scale is exact in float32,
    and those products, quantised again, have the same q and scale.

    Parameters
    ----------
    weight : ndarray [F, K], float32

    Returns
    -------
    q : ndarray [F, K], int8
        w / scale, rounded to the nearest, the even one of two; -127 to 127.
    scale : ndarray [F], float32
        0 for a row whose numbers are all below 2**-100. NaN for a row with a NaN or an infinity.

    Raises
    ------
    TypeError
        If `weight` is not float32.
    ValueError
        If it is not a matrix.

    References
    ----------
    Jacob et al.: Quantization and training of neural networks for efficient integer-arithmetic-only
    inference, CVPR 2018, equation 1, here without a zero point.
    Wu, Judd, Zhang, Isaev, Micikevicius: Integer quantization for deep learning inference: principles and
    empirical evaluation, arXiv:2004.09602 (2020), sections 3.1 and 3.2: symmetric, a scale of each row.

    Examples
    --------
    >>> import numpy as np
    >>> q, scale = quantize_rows(np.array([[127.0, -50.5, 0.25], [0.0, 0.0, 0.0]], "float32"))
    >>> q.tolist(), scale.tolist()
    ([[127, -50, 0], [0, 0, 0]], [1.0, 0.0])
    """
    check_floats("weight", weight, ("F", "K"), _FLOAT32)
    largest = _largest(weight)
    bits = (largest / LARGEST).view(np.uint32)
    scale = ((bits + 0xFF) & 0xFFFFFF00).astype(np.uint32).view(np.float32)
    scale = np.where(np.isnan(largest), largest, np.where(largest > 0, scale, 0)).astype(np.float32)
    return _whole(weight / _divisible(scale)[:, None], scale), scale


def quantize_activations(rows: Float32) -> tuple[Int8, Float32]:
    """Quantise each row by itself, with the scale of its largest number: x is about q times the scale.

    Parameters
    ----------
    rows : ndarray [M, K], float32

    Returns
    -------
    q : ndarray [M, K], int8
        x (127 / max |x|), rounded to the nearest, the even one of two; -127 to 127.
    scale : ndarray [M], float32
        max |x| / 127; 0 for a row whose numbers are all below 2**-100, NaN for one with a NaN or an infinity.

    Raises
    ------
    TypeError
        If `rows` is not float32.
    ValueError
        If it is not a matrix.

    References
    ----------
    Wu et al.: arXiv:2004.09602 (2020), section 3.1. There the ranges of activations come from examples; here,
    from each row at each step (dynamic quantisation).

    Examples
    --------
    >>> import numpy as np
    >>> q, scale = quantize_activations(np.array([[0.5, -1.0, 0.25], [1.0, np.inf, 0.0]], "float32"))
    >>> q.tolist(), (127 * scale).tolist()
    ([[64, -127, 32], [0, 0, 0]], [1.0, nan])
    """
    check_floats("rows", rows, ("M", "K"), _FLOAT32)
    largest = _largest(rows)
    scale = largest / LARGEST
    return _whole(rows * (LARGEST / _divisible(largest))[:, None], scale), scale


def int8_product(a: Float32, w: Float32) -> Float32:
    """Multiply each row of `a` by each row of `w`: both are quantised, the sums of the products exact.

    Parameters
    ----------
    a : ndarray [M, K], float32
        Quantised by `quantize_activations`.
    w : ndarray [F, K], float32
        Quantised by `quantize_rows`.

    Returns
    -------
    ndarray [M, F], float32
        The sum, as float32, times the product of the two scales. NaN where one of the scales is.

    Raises
    ------
    TypeError
        If the arrays are not float32.
    ValueError
        If the shapes do not fit, or K is more than 65,536.

    Examples
    --------
    >>> import numpy as np
    >>> a, w = np.array([[127.0, 1.0]], "float32"), np.array([[127.0, -3.0], [63.5, 0.0]], "float32")
    >>> int8_product(a, w).tolist()
    [[16126.0, 8064.5]]
    """
    check_floats("a", a, ("M", "K"), _FLOAT32)
    check_floats("w", w, ("F", a.shape[1]), _FLOAT32)
    if a.shape[1] > MOST_PRODUCTS:
        raise ValueError(f"a: expected at most {MOST_PRODUCTS} numbers a row for int8, got {a.shape[1]}")
    q_a, scale_a = quantize_activations(a)
    q_w, scale_w = quantize_rows(w)
    sums = q_a.astype(np.float64) @ q_w.astype(np.float64).T  # of whole numbers below 2**53: exact
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return sums.astype(np.float32) * (scale_a[:, None] * scale_w)


def _largest(rows: Float32) -> Float32:
    """Return max |x| of each row: 0 where it is below 2**-100, NaN with a NaN or an infinity."""
    largest = np.abs(rows).max(axis=1, initial=0)
    kept = np.where(largest < _SMALLEST, np.float32(0), largest)
    return np.where(np.isfinite(largest), kept, np.float32(np.nan)).astype(np.float32)


def _divisible(numbers: Float32) -> Float32:
    """Return the numbers with 1 in place of 0 and NaN."""
    return np.where(numbers > 0, numbers, np.float32(1))


def _whole(ratios: Float32, scale: Float32) -> Int8:
    """Round ratios to int8, half to even; 0 in rows whose scale is 0 or NaN."""
    return np.where(scale[:, None] > 0, np.rint(ratios), 0).astype(np.int8)
