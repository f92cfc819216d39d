"""Ridge regression in closed form: moments accumulated in float64, and leave-one-out errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Factorisation", "LeaveOneOut", "Moments", "Readout", "checked_tensors"]

Floats = NDArray[np.float64]


class Readout(NamedTuple):
    """A linear map of states, ``y = z W + b``.

    Attributes
    ----------
    weight : ndarray, float64 [K, O]
    bias : ndarray, float64 [O]
    """

    weight: Floats
    bias: Floats


class Moments:
    """The count, the means and the centered second moments of states z [K] and targets y [O].

    Blocks of rows may come in any number and order. The moments are centered at once (Chan et al.), as the
    difference of large sums would lose the digits that a small ridge needs.

    Parameters
    ----------
    states, targets : int
        K and O.

    Attributes
    ----------
    count : int
        Rows so far.
    z_mean, y_mean : ndarray, float64 [K] and [O]
    zz, zy, yy : ndarray, float64 [K, K], [K, O] and [O]
        Sums over the rows of products of what is left when the means are taken away.

    References
    ----------
    Chan, Golub, LeVeque (1983), "Algorithms for Computing the Sample Variance", equation 1.5.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.arange(8.0)[:, None]
    >>> moments = Moments(1, 1)
    >>> for part in (z[:3], z[3:]):
    ...     moments.add(part.copy(), 2 * part + 1)
    >>> moments.solve(0.0)
    Readout(weight=array([[2.]]), bias=array([1.]))
    """

    zz: NDArray[np.float64]
    zy: NDArray[np.float64]
    yy: NDArray[np.float64]
    z_mean: NDArray[np.float64]
    y_mean: NDArray[np.float64]

    def __init__(self, states: int, targets: int) -> None:
        self.count: int = 0
        self.z_mean, self.y_mean = np.zeros(states), np.zeros(targets)
        self.zz, self.zy = np.zeros((states, states)), np.zeros((states, targets))
        self.yy = np.zeros(targets)

    def add(self, z: Floats, y: Floats) -> None:
        """Add rows.

        Parameters
        ----------
        z : ndarray, float64 [m, K]
            It is overwritten.
        y : ndarray, float64 [m, O]
        """
        rows = len(z)
        if rows == 0:
            return
        z_mean, y_mean = z.mean(axis=0), y.mean(axis=0)
        z -= z_mean
        y = y - y_mean
        total = self.count + rows
        dz, dy, share = z_mean - self.z_mean, y_mean - self.y_mean, self.count * rows / total
        self.zz += z.T @ z
        self.zy += z.T @ y
        self.yy += (y**2).sum(axis=0)
        if self.count:
            self.zz += share * np.multiply.outer(dz, dz)
            self.zy += share * np.multiply.outer(dz, dy)
            self.yy += share * dy**2
        self.z_mean += dz * (rows / total)
        self.y_mean += dy * (rows / total)
        self.count = total

    def solve(self, ridge: float) -> Readout:
        """Return the minimiser of ``sum (y - z W - b)^2 + ridge * sum W^2``.

        Raises
        ------
        ValueError
            If the system is singular; the message has the rank, and a ridge to try.
        """
        if ridge == 0.0:
            self.factorise().check_rank()
        system = self.zz.copy()
        system[np.diag_indices(len(system))] += ridge
        try:
            weight: Floats = np.linalg.solve(system, self.zy).astype(np.float64, copy=False)
        except np.linalg.LinAlgError:
            self.factorise().check_rank()
            raise
        return self.readout(weight)

    def readout(self, weight: Floats) -> Readout:
        """Return the readout of weights [K, O], with the bias that goes with them."""
        return Readout(weight, self.y_mean - self.z_mean @ weight)

    def factorise(self) -> Factorisation:
        """Return the eigenvalues and eigenvectors of the states' second moments."""
        values, vectors = np.linalg.eigh(self.zz)
        return Factorisation(self, np.maximum(values, 0.0), vectors)

    def training_error(self, readout: Readout) -> float:
        """Return the mean squared error of the rows so far, the mean over the O targets."""
        W = readout.weight
        sums = self.yy - 2 * (W * self.zy).sum(axis=0) + (W * (self.zz @ W)).sum(axis=0)
        return float(np.maximum(sums, 0.0).mean() / self.count)

    def to_tensors(self) -> dict[str, Floats]:
        """Return all that was accumulated, as arrays by name."""
        return {
            "count": np.array([float(self.count)]), "z_mean": self.z_mean, "y_mean": self.y_mean,
            "zz": self.zz, "zy": self.zy, "yy": self.yy,
        }  # fmt: skip

    def load_tensors(self, tensors: dict[str, NDArray[np.float64]]) -> None:
        """Restore what `to_tensors` returned.

        Raises
        ------
        ValueError
            If an array is missing or has another shape.
        """
        for name, array in checked_tensors("moments", self.to_tensors(), tensors).items():
            setattr(self, name, int(array[0]) if name == "count" else array)


class Factorisation(NamedTuple):
    """The eigenvalues [K] and eigenvectors [K, K] of centered second moments: any ridge's solution at once.

    Attributes
    ----------
    moments : Moments
    values : ndarray, float64 [K]
        Ascending, at least 0.
    vectors : ndarray, float64 [K, K]
    """

    moments: Moments
    values: Floats
    vectors: Floats

    @property
    def _tolerance(self) -> float:
        return float(len(self.values) * np.finfo(np.float64).eps * self.values[-1])

    @property
    def rank(self) -> int:
        """The number of eigenvalues that are not 0 to rounding."""
        return int((self.values > self._tolerance).sum())

    def check_rank(self) -> None:
        """Refuse a singular system.

        Raises
        ------
        ValueError
            If the rank is less than K.
        """
        rank, size = self.rank, len(self.values)
        if rank < size:
            raise ValueError(
                f"ridge: expected above 0, as the {size} columns of states have rank {rank} "
                f"({self.moments.count} rows of training); try ridge={self.suggested():.0e}"
            )

    def suggested(self) -> float:
        """Return a small ridge: a power of ten, about 1e-8 of the mean eigenvalue."""
        mean = float(self.values.mean())
        return 10.0 ** round(np.log10(1e-8 * mean)) if mean > 0.0 else 1e-8

    def candidates(self) -> tuple[float, ...]:
        """Return 15 ridges, powers of ten around the mean eigenvalue: from 1e-12 to 1e2 of it."""
        mean = float(self.values.mean())
        power = round(np.log10(mean)) if mean > 0.0 else 0
        return tuple(10.0 ** (power + k) for k in range(-12, 3))

    def solve(self, ridge: float) -> Readout:
        """Return what `Moments.solve` returns; without a ridge, the smallest of the best weights."""
        scale = np.zeros_like(self.values)
        least = self._tolerance if ridge == 0.0 else 0.0
        np.divide(1.0, self.values + ridge, out=scale, where=self.values + ridge > least)
        projected = self.vectors.T @ self.moments.zy
        return self.moments.readout(self.vectors @ (scale[:, None] * projected))


class LeaveOneOut:
    """The exact leave-one-out error of each of several ridges, from one factorisation.

    The residual of a row by the readout that is fitted without it is ``e / (1 - h)``, where e is its residual
    by that of all rows and h its diagonal entry of the hat matrix; here, with the intercept not penalised,
    ``h = 1 / n + sum_j (v_j . z)^2 / (s_j + ridge)`` with the centered row z, the eigenvalues s and the
    eigenvectors v. So a second pass over the rows is enough.

    Parameters
    ----------
    factorisation : Factorisation
    ridges : sequence of float

    Attributes
    ----------
    errors : ndarray, float64 [R]
        The mean over rows and targets of the squared error.

    References
    ----------
    Allen (1974), "The Relationship between Variable Selection and Data Augmentation and a Method for
    Prediction". Hastie, Tibshirani, Friedman (2009), "The Elements of Statistical Learning", equation 7.64.
    """

    factorisation: Factorisation
    ridges: tuple[float, ...]

    def __init__(self, factorisation: Factorisation, ridges: Sequence[float]) -> None:
        self.factorisation, self.ridges = factorisation, tuple(ridges)
        values, moments = factorisation.values, factorisation.moments
        with np.errstate(divide="ignore"):
            scale = 1.0 / (values[:, None] + np.array(self.ridges))
        self._scale = np.where(np.isfinite(scale), scale, 0.0)
        projected = factorisation.vectors.T @ moments.zy
        self._maps = self._scale[:, :, None] * projected[:, None]  # [K, R, O]
        self._sums, self._count = np.zeros(len(self.ridges)), 0

    def add(self, z: Floats, y: Floats) -> None:
        """Add the errors of rows, z [m, K] (overwritten) and y [m, O]; all rows once."""
        moments = self.factorisation.moments
        z -= moments.z_mean
        projected = z @ self.factorisation.vectors
        K, R, O = self._maps.shape  # noqa: E741  # the letters of this package
        predictions = (projected @ self._maps.reshape(K, R * O)).reshape(-1, R, O)
        hat = 1.0 / moments.count + np.square(projected, out=projected) @ self._scale
        errors = (y - moments.y_mean)[:, None] - predictions
        left = np.maximum(1.0 - hat, 1e-12)  # 0 where a row alone decides on a direction
        self._sums += np.square(errors / left[:, :, None]).mean(axis=2).sum(axis=0)
        self._count += len(z)

    @property
    def errors(self) -> Floats:
        """The mean squared leave-one-out error of each ridge."""
        return self._sums / max(self._count, 1)

    @property
    def best(self) -> float:
        """The ridge of the smallest error; of equal ones the largest."""
        errors = self.errors
        return max(ridge for ridge, error in zip(self.ridges, errors, strict=True) if error == errors.min())

    def add_all(self, blocks: Iterable[tuple[Floats, Floats]]) -> None:
        """Add the errors of blocks of rows."""
        for z, y in blocks:
            self.add(z, y)


def checked_tensors(name: str, own: dict[str, Floats], given: dict[str, Floats]) -> dict[str, Floats]:
    """Return arrays of a file if they have the names and shapes of those that there are.

    Raises
    ------
    ValueError
        If not, or if a number is not finite.
    """
    unknown = sorted(given.keys() - own.keys())
    if unknown:
        raise ValueError(f"{name}: unknown {', '.join(unknown)}")
    for key, array in own.items():
        found = given.get(key)
        if found is None or found.shape != array.shape or not np.isfinite(found).all():
            raise ValueError(f"{name}.{key}: expected finite numbers of shape {[*array.shape]}")
    return {key: given[key].astype(np.float64) for key in own}
