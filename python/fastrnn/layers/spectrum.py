"""Eigenvalues of square matrices: all of a small one, and the spectral radius of a large or sparse one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, as_array, as_ids

__all__ = ["eigenvalues", "has_cycle", "is_nilpotent", "largest_modulus", "spectral_radius", "square_matrix"]

Floats = NDArray[np.float64]

TOLERANCE = 1e-8  # of the largest modulus, relative; the residual of its eigenvector
_DENSE = 500  # rows up to which all eigenvalues are faster than Arnoldi's iteration
_LARGEST_SPACE = 1200  # vectors of the Krylov space


def eigenvalues(W: Any) -> NDArray[np.complex128]:
    """Return all eigenvalues of a square matrix, complex128 [H], the largest modulus first.

    Raises
    ------
    TypeError, ValueError
        If it is not a square matrix of finite floats.

    Examples
    --------
    >>> import numpy as np
    >>> eigenvalues(np.array([[0.0, 2.0], [-2.0, 0.0]]))
    array([0.+2.j, 0.-2.j])
    """
    values = np.linalg.eigvals(square_matrix(W).astype(np.float64)).astype(np.complex128)
    order = np.lexsort((-values.imag, -values.real, -np.abs(values)))
    result: NDArray[np.complex128] = values[order]
    return result


def spectral_radius(W: Any) -> float:
    """Return the largest modulus of a square matrix's eigenvalues.

    A matrix whose nonzero entries form no cycle is nilpotent: exactly 0 is returned. Up to 500 rows that is
    also so for a matrix that is nilpotent but for rounding (`is_nilpotent`), and all eigenvalues of others
    are computed; of a larger matrix, Arnoldi's iteration finds the largest (`largest_modulus`).

    Parameters
    ----------
    W : array_like, float [H, H]

    Raises
    ------
    TypeError, ValueError
        If it is not a square matrix of finite floats.

    Examples
    --------
    >>> import numpy as np
    >>> spectral_radius(np.diag([0.5, -0.8]))
    0.8
    >>> spectral_radius(np.array([[0.0, 1.0], [0.0, 0.0]]))
    0.0
    """
    matrix = square_matrix(W).astype(np.float64)
    rows, columns = np.nonzero(matrix)
    if not has_cycle(rows, columns, len(matrix)):
        return 0.0
    if len(matrix) <= _DENSE:
        if is_nilpotent(matrix):
            return 0.0
        return float(np.abs(eigenvalues(matrix)[0]))
    scale = float(np.abs(matrix).max())  # products of very large or small entries would over- or underflow
    matrix /= scale
    return scale * largest_modulus(lambda v: np.asarray(matrix @ v), len(matrix))


def largest_modulus(product: Callable[[Floats], Floats], size: int, *, tolerance: float = TOLERANCE) -> float:
    """Return the spectral radius of a matrix of which only the product with a vector is known.

    Arnoldi's iteration, without restarts: the Krylov space grows until the largest Ritz value is an
    eigenvalue of a matrix that differs by at most `tolerance` times it. If 1,200 vectors do not suffice, the
    largest Ritz value is returned all the same.

    Parameters
    ----------
    product : callable
        Takes and returns a vector, float64 [size].
    size : int
        H.
    tolerance : float

    References
    ----------
    Arnoldi (1951), "The principle of minimized iterations in the solution of the matrix eigenvalue problem".
    Saad (2011), "Numerical Methods for Large Eigenvalue Problems", section 6.2.

    Examples
    --------
    >>> import numpy as np
    >>> scale = np.linspace(0.0, 0.9, 50)
    >>> round(largest_modulus(lambda v: scale * v, 50), 6)
    0.9
    """
    most = min(size, _LARGEST_SPACE)
    basis, H = np.zeros((most + 1, size)), np.zeros((most + 1, most))
    basis[0] = np.random.default_rng(0).normal(size=size)
    basis[0] /= np.linalg.norm(basis[0])
    check, found = 40, 0.0
    for k in range(most):
        v, own = product(basis[k]), basis[: k + 1]
        for _ in range(2):  # twice is enough to be orthogonal to rounding
            coefficients = own @ v
            v = v - coefficients @ own
            H[: k + 1, k] += coefficients
        H[k + 1, k] = rest = float(np.linalg.norm(v))
        invariant = rest <= 1e-14 * np.abs(H[: k + 1, k]).max(initial=0.0)
        if k + 1 == most or k + 1 >= check or invariant:
            check = int(1.3 * (k + 1))
            values, vectors = np.linalg.eig(H[: k + 1, : k + 1])
            largest = int(np.abs(values).argmax())
            found = float(np.abs(values[largest]))
            if invariant or rest * np.abs(vectors[-1, largest]) <= tolerance * found:
                break
        basis[k + 1] = v / rest
    return found


def is_nilpotent(W: Any) -> bool:
    """Return whether some power of a square matrix is zero but for rounding.

    Its eigenvalues cannot tell: those of a nilpotent matrix of 30 rows may be computed as a third of its
    norm. Here the matrix is squared until the power is at least the number of rows, with a bound on the
    rounding errors: a power's trace, the sum of the eigenvalues' powers, or its norm decides.

    Raises
    ------
    TypeError, ValueError
        If it is not a square matrix of finite floats.

    Examples
    --------
    >>> import numpy as np
    >>> is_nilpotent(np.array([[1.0, -1.0], [1.0, -1.0]])), is_nilpotent(np.array([[1.0, -1.0], [1.0, 0.0]]))
    (True, False)
    """
    power = square_matrix(W).astype(np.float64)
    size, exponent = len(power), 1
    rounding = 4.0 * np.sqrt(size) * np.finfo(np.float64).eps
    error = rounding  # of the power, relative to its norm
    power = power / (np.abs(power).max() or 1.0)
    while (norm := float(np.linalg.norm(power, 2))) > error:
        power, error = power / norm, error / norm
        if exponent >= size or abs(np.trace(power)) > size * error:
            return False
        power, error, exponent = power @ power, 2.0 * error + rounding, 2 * exponent
    return True


def has_cycle(rows: Any, columns: Any, size: int) -> bool:
    """Return whether the nonzero entries of a matrix form a cycle; if not, it is nilpotent.

    An entry (i, j) is an edge from j to i. Units that no edge enters are taken away until none is left
    (Kahn 1962, "Topological sorting of large networks").

    Parameters
    ----------
    rows, columns : array_like, int [n]
        Of the nonzero entries.
    size : int
        H.

    Examples
    --------
    >>> has_cycle([1, 2], [0, 1], 3), has_cycle([1, 2, 0], [0, 1, 2], 3)
    (False, True)
    """
    rows, columns = as_ids("rows", rows, ("n",)), as_ids("columns", columns, ("n",))
    entering = np.bincount(rows, minlength=size)
    left = np.ones(size, np.bool_)
    while True:
        free = left & (entering == 0)
        if not free.any():
            return bool(left.any())
        left[free] = False
        entering -= np.bincount(rows[free[columns]], minlength=size)


def square_matrix(W: Any) -> Array:
    """Check a square matrix of finite floats.

    Raises
    ------
    TypeError, ValueError
        If it is not one.
    """
    matrix = as_array("W", W, np.dtype(np.float64))
    if matrix.dtype.kind != "f":
        raise TypeError(f"W: expected floats, got {matrix.dtype}")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise ValueError(f"W: expected a square matrix [H, H], got shape {[*matrix.shape]}")
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise ValueError(f"W: expected finite numbers, got {matrix[row, column]} at [{row}, {column}]")
    return matrix
