"""The product of many triangular matrices whose entries would under- or overflow, and its singular values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ScaledProduct"]

Floats = NDArray[np.float64]

_ZERO = -1e6  # stands for the logarithm of zero
_SWEEPS = 400
_NEAR = 0.05  # singular values whose logarithms differ by less are separated by an SVD of their block


class ScaledProduct:
    """A product of square matrices as ``diag(exp(logs)) @ rows``, where the rows' largest entries are 1.

    Examples
    --------
    >>> product = ScaledProduct(2)
    >>> for _ in range(1000):
    ...     product.multiply_left(np.diag([10.0, 0.01]))
    >>> (product.log_singular_values() / np.log(10)).round(6).tolist()
    [1000.0, -2000.0]
    """

    rows: NDArray[np.float64]

    def __init__(self, size: int) -> None:
        self.logs: NDArray[np.float64] = np.zeros(size)
        self.rows = np.eye(size)

    def multiply_left(self, factor: Floats) -> None:
        """Multiply with an upper triangular matrix from the left."""
        logs, rows = _scaled(factor)
        # diag(e^a) F diag(e^b) R = diag(e^(a + b)) (diag(e^-b) F diag(e^b)) R
        self._set(logs + self.logs, _conjugated(rows, self.logs) @ self.rows)

    def log_singular_values(self) -> Floats:
        """Return the natural logarithms of the singular values, the largest first; -inf for zero.

        Transposing and factorising again makes the triangular matrix diagonal, the faster the further apart
        the singular values are (the QR iteration); those that are close are computed together at the end.
        """
        logs, rows = self.logs.copy(), self.rows.copy()
        for _ in range(_SWEEPS):
            order = np.argsort(-logs, kind="stable")
            logs, rows = logs[order], rows[order]
            # (diag(e^a) R)^T = R^T diag(e^a) = Q T diag(e^a)
            triangle: Floats = np.linalg.qr(rows.T, mode="r")  # type: ignore[assignment]  # for "r" an array
            more, rows = _scaled(_conjugated(triangle, logs))
            logs = logs + more
            apart = np.abs(logs[:, None] - logs) > _NEAR
            if np.abs(np.where(apart, rows, 0.0)).max(initial=0.0) < 1e-12:
                break
        return _of_blocks(logs, rows)

    def _set(self, logs: Floats, rows: Floats) -> None:
        more, self.rows = _scaled(rows)
        self.logs = np.maximum(logs + more, _ZERO)


def _scaled(matrix: Floats) -> tuple[Floats, Floats]:
    """Return the logarithm of each row's largest entry, and the rows divided by it."""
    largest = np.abs(matrix).max(axis=1)
    empty = largest == 0.0
    rows = matrix / np.where(empty, 1.0, largest)[:, None]
    rows[empty, empty] = 1.0
    return np.where(empty, _ZERO, np.log(np.where(empty, 1.0, largest))), rows


def _conjugated(matrix: Floats, logs: Floats) -> Floats:
    """Return ``diag(e^-logs) @ matrix @ diag(e^logs)`` of an upper triangular matrix."""
    return np.triu(matrix) * np.exp(np.clip(logs - logs[:, None], -700.0, 300.0))


def _of_blocks(logs: Floats, rows: Floats) -> Floats:
    """Return the singular values' logarithms of a matrix that is diagonal but for blocks of close ones."""
    order = np.argsort(-logs, kind="stable")
    logs, rows = logs[order], rows[np.ix_(order, order)]
    values = np.empty_like(logs)
    begin = 0
    for end in range(1, len(logs) + 1):
        if end < len(logs) and logs[end - 1] - logs[end] <= _NEAR:
            continue
        own = slice(begin, end)
        block = np.exp(logs[own] - logs[begin])[:, None] * rows[own, own]
        with np.errstate(divide="ignore"):
            values[own] = np.log(np.linalg.svd(block, compute_uv=False)) + logs[begin]
        begin = end
    values = -np.sort(-values)
    return np.where(values < _ZERO / 2, -np.inf, values)
