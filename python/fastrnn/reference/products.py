"""The products of a pass in any precision: rows times rows, in forward and backward passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from fastrnn.reference._arrays import Floats
from fastrnn.reference.bfloat16 import (
    bfloat16_product,
    pairwise_order,
    round_to_bfloat16,
    without_denormals,
)
from fastrnn.reference.int8 import int8_product, quantize_rows

#: From a [M, K] and w [F, K]: each row of a times each row of w, [M, F].
Multiply: TypeAlias = Callable[[Floats, Floats], Floats]


def product_of(precision: str, dtype: np.dtype[Any], *, training: bool = False) -> Multiply:
    """Return the function that multiplies in a precision: "float32", "bfloat16" or "int8".

    With "float32" it multiplies in the dtype of its arrays, float64 too. The others round or quantise both of
    their arguments and are for float32 arrays. In `training`, int8 is refused.

    >>> import numpy as np
    >>> multiply = product_of("bfloat16", np.dtype("float32"))
    >>> multiply(np.ones((1, 2), "float32"), np.array([[1 + 1 / 256, 2]], "float32")).tolist()
    [[3.0]]
    """
    if precision not in _PRODUCTS:
        raise ValueError(f"precision: expected one of {', '.join(_PRODUCTS)}, got {precision!r}")
    if precision != "float32" and dtype != np.float32:
        raise ValueError(f"precision: expected 'float32' for {dtype} weights, got {precision!r}")
    if precision == "int8" and training:
        raise ValueError("precision: int8 is for inference, it has no gradients")
    return _PRODUCTS[precision][0]


def sum_over_rows(a: Floats, b: Floats, multiply: Multiply) -> Floats:
    """Return the products of each column of a [M, F] and of b [M, K], summed over the rows in their order.

    >>> import numpy as np
    >>> a, b = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0, 10.0], [1.0, 0.0], [2.0, 0.0]])
    >>> sum_over_rows(a, b, product_of("float32", a.dtype)).tolist()
    [[9.0, 10.0]]
    """
    order = pairwise_order(len(a))  # a product takes the second of each pair first
    return multiply(a[order].T, b[order].T)


def as_multiplied(weight: Floats, precision: str) -> Floats:
    """Return a weight's numbers as the products have them: rounded, or each q times the scale of its row."""
    return _PRODUCTS[precision][1](weight)


def _float_product(a: Floats, w: Floats) -> Floats:
    product: Floats = a @ w.T
    return product


def _on_grid(weight: Floats) -> Floats:
    q, scale = quantize_rows(weight)
    return q * scale[:, None]


_PRODUCTS: dict[str, tuple[Multiply, Callable[[Floats], Floats]]] = {
    "float32": (_float_product, lambda weight: weight),
    "bfloat16": (bfloat16_product, lambda weight: round_to_bfloat16(without_denormals(weight))),
    "int8": (int8_product, _on_grid),
}
