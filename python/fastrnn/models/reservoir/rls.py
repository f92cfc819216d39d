"""Recursive least squares: a readout that learns row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_number
from fastrnn.models.reservoir.ridge import Readout, checked_tensors

__all__ = ["RecursiveLeastSquares"]

Floats = NDArray[np.float64]

# The prior of the bias is so much wider than that of the weights: it is practically not penalised.
_BIAS_PRIOR = 1e3


class RecursiveLeastSquares:
    """Learn a linear readout row by row, the newest rows counting most if asked for.

    After rows 1 .. n the weights minimise ``sum_i f^(n-i) (y_i - z_i W - b)^2 + f^n ridge * sum W^2`` with
    the forgetting factor f: without forgetting, the ridge regression of all rows (but for a penalty of the
    bias, 1e-6 of that of the weights). A square root S of the inverse correlation ``P = S S^T`` is updated in
    place of P, which stays positive definite by construction whatever the rounding.

    Parameters
    ----------
    states, targets : int
        K and O.
    ridge : float
        Above 0.
    forgetting : float
        f, in (0, 1].

    Attributes
    ----------
    weight : ndarray, float64 [1 + K, O]
        The bias in the first row.
    root : ndarray, float64 [1 + K, 1 + K]
        S.

    Raises
    ------
    ValueError
        If the ridge or the forgetting factor is out of range.

    References
    ----------
    Haykin (2002), "Adaptive Filter Theory", chapter 9. Potter's square-root update: Bierman (1977),
    "Factorization Methods for Discrete Sequential Estimation", section II.6. For readouts of reservoirs:
    Jaeger (2003), "Adaptive Nonlinear System Identification with Echo State Networks".

    Examples
    --------
    >>> import numpy as np
    >>> z = np.random.default_rng(0).normal(size=(50, 2))
    >>> rls = RecursiveLeastSquares(2, 1, ridge=1e-8, forgetting=0.99)
    >>> error = rls.add(z, z @ [[2.0], [-1.0]] + 3)
    >>> rls.weight[:, 0].round(6).tolist()
    [3.0, 2.0, -1.0]
    """

    weight: NDArray[np.float64]
    root: Any

    def __init__(self, states: int, targets: int, *, ridge: float, forgetting: float = 1.0) -> None:
        ridge = as_number("ridge", ridge, above=0.0)
        self.forgetting: float = as_number("forgetting", forgetting, above=0.0, most=1.0)
        self.weight = np.zeros((1 + states, targets))
        self.root = np.eye(1 + states) / np.sqrt(ridge)
        self.root[0, 0] *= _BIAS_PRIOR

    def add(self, z: Floats, y: Floats) -> float:
        """Learn rows in their order.

        Parameters
        ----------
        z : ndarray, float64 [m, K]
        y : ndarray, float64 [m, O]

        Returns
        -------
        error : float
            The sum over rows of the mean squared error of each before it was learned.
        """
        root, weight, f = self.root, self.weight, self.forgetting
        row, total = np.ones(len(weight)), 0.0
        for one, target in zip(z, y, strict=True):
            row[1:] = one
            seen = row @ root
            power = f + seen @ seen
            gain = root @ seen  # (f + z P z) times the gain of the textbooks
            error = target - row @ weight
            weight += np.multiply.outer(gain / power, error)
            # Potter: P - g g^T / power = S (I - a s s^T)^2 S^T
            root -= np.multiply.outer(gain * (1.0 / (power + np.sqrt(power * f))), seen)
            if f < 1.0:
                root /= np.sqrt(f)
            total += float(np.mean(error**2))
        return total

    @property
    def readout(self) -> Readout:
        """The map that was learned so far."""
        return Readout(self.weight[1:].copy(), self.weight[0].copy())

    def to_tensors(self) -> dict[str, Floats]:
        """Return all that was learned, as arrays by name."""
        return {"weight": self.weight, "root": self.root}

    def load_tensors(self, tensors: dict[str, Floats]) -> None:
        """Restore what `to_tensors` returned.

        Raises
        ------
        ValueError
            If an array is missing or has another shape.
        """
        self.weight, self.root = checked_tensors("rls", self.to_tensors(), tensors).values()
