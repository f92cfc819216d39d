"""The recurrent weights of a reservoir: which units are connected, and how strongly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Ids
from fastrnn._checks import as_choice, as_number, as_size
from fastrnn.layers.recurrent.sparse_reservoir import CompressedRows, SparseReservoir
from fastrnn.layers.spectrum import eigenvalues, has_cycle, largest_modulus
from fastrnn.models.reservoir.sparse_layer import MOST_DENSE

__all__ = ["TOPOLOGIES", "RecurrentWeights", "make_weights"]

Floats = NDArray[np.float64]

TOPOLOGIES = ("random", "small_world", "cycle", "orthogonal")
_ALL_EIGENVALUES = 300  # rows up to which all eigenvalues are computed
_TOLERANCE = 1e-6  # of the largest modulus of others


class RecurrentWeights(NamedTuple):
    """A square matrix by its nonzero entries, row by row.

    Attributes
    ----------
    rows, columns : ndarray, int64 [n]
    values : ndarray, float64 [n]
    size : int
        H.
    """

    rows: Ids
    columns: Ids
    values: Floats
    size: int

    @property
    def density(self) -> float:
        """The fraction of entries that are not zero."""
        return len(self.values) / self.size**2

    def dense(self) -> Floats:
        """Return the matrix, float64 [H, H]."""
        matrix = np.zeros((self.size, self.size))
        matrix[self.rows, self.columns] = self.values
        return matrix

    def row_ends(self) -> Ids:
        """Return where each row of entries ends, int64 [H]."""
        return np.cumsum(np.bincount(self.rows, minlength=self.size))

    def scaled(self, radius: float, density: str) -> RecurrentWeights:
        """Return the matrix scaled to a spectral radius.

        Parameters
        ----------
        radius : float
        density : str
            The setting that made the matrix so sparse, for messages.

        Raises
        ------
        ValueError
            If all its eigenvalues are 0.
        """
        if not has_cycle(self.rows, self.columns, self.size):
            found = "one of zeros"
            if len(self.values):
                found = (
                    "a nilpotent one, whose eigenvalues are all 0, as its "
                    f"{len(self.values)} nonzero entries form no cycle"
                )
            raise ValueError(
                f"spectral_radius: expected a matrix that can be scaled to {radius:g}, got {found}; "
                f"raise {density}"
            )
        return self._replace(values=self.values * (radius / self._radius()))

    def _radius(self) -> float:
        if self.size <= _ALL_EIGENVALUES:
            return float(np.abs(eigenvalues(self.dense())[0]))
        if self.density > MOST_DENSE:
            matrix = self.dense()
            return largest_modulus(lambda v: np.asarray(matrix @ v), self.size, tolerance=_TOLERANCE)
        weight = CompressedRows(self.values, self.columns, np.append(0, self.row_ends()))
        linear, nothing = SparseReservoir(weight, nonlinearity="identity"), np.zeros((1, self.size))
        return largest_modulus(lambda v: linear.step(nothing, v[None])[0], self.size, tolerance=_TOLERANCE)


def make_weights(
    topology: str,
    size: int,
    radius: float,
    *,
    density: float,
    rewiring: float,
    rng: np.random.Generator,
) -> RecurrentWeights:
    """Return random recurrent weights of a spectral radius.

    Parameters
    ----------
    topology : {"random", "small_world", "cycle", "orthogonal"}
        "random": each entry is there with the probability `density` (Erdős and Rényi). "small_world": a ring
        in which each unit is connected to its nearest neighbours, ``density * H`` of them, and each
        connection is moved to a random unit with the probability `rewiring` (Watts and Strogatz). The entries
        of both are uniform in [-1, 1), then scaled. "cycle": unit i reads unit i - 1 only, all with one
        weight (Rodan and Tino). "orthogonal": a random rotation, uniform over all, times the radius.
    size : int
        H.
    radius : float
        Above 0.
    density : float
        In (0, 1]; without effect on a cycle and on an orthogonal matrix.
    rewiring : float
        In [0, 1].
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        If a number is out of range, or the matrix is zero or nilpotent.

    References
    ----------
    Erdős, Rényi (1959), "On Random Graphs I". Watts, Strogatz (1998), "Collective dynamics of 'small-world'
    networks". Rodan, Tino (2011), "Minimum Complexity Echo State Network". Mezzadri (2007), "How to Generate
    Random Matrices from the Classical Compact Groups".

    Examples
    --------
    >>> weights = make_weights("cycle", 3, 0.9, density=1.0, rewiring=0.0, rng=np.random.default_rng(0))
    >>> weights.dense()
    array([[0. , 0. , 0.9],
           [0.9, 0. , 0. ],
           [0. , 0.9, 0. ]])
    """
    as_choice("topology", topology, TOPOLOGIES)
    size, radius = as_size("hidden_size", size), as_number("spectral_radius", radius, above=0.0)
    density = as_number("density", density, above=0.0, most=1.0)
    rewiring = as_number("rewiring", rewiring, least=0.0, most=1.0)
    if topology == "cycle":
        units = np.arange(size)
        return RecurrentWeights(units, (units - 1) % size, np.full(size, radius), size)
    if topology == "orthogonal":
        q, r = np.linalg.qr(rng.normal(size=(size, size)))
        q *= np.sign(np.diag(r))
        rows, columns = np.divmod(np.arange(size * size), size)
        return RecurrentWeights(rows, columns, radius * q.reshape(-1), size)
    if topology == "small_world":
        rows, columns = _small_world(size, density, rewiring, rng)
    else:
        rows, columns = _erdos_renyi(size, density, rng)
    weights = RecurrentWeights(rows, columns, rng.uniform(-1.0, 1.0, len(rows)), size)
    return weights.scaled(radius, f"density={density:g}")


def _erdos_renyi(size: int, density: float, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Return the rows and columns of entries that are there with a probability, row by row."""
    parts = [np.flatnonzero(rng.random(size) < density) for _ in range(size)]
    rows = np.repeat(np.arange(size), [len(part) for part in parts])
    return rows, np.concatenate(parts)


def _small_world(size: int, density: float, rewiring: float, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Return the rows and columns of a ring's entries, both ways, some of them moved."""
    half = min(max(round(density * size / 2), 1), (size - 1) // 2)
    neighbours: list[set[int]] = [set() for _ in range(size)]

    def connect(one: int, other: int) -> None:
        neighbours[one].add(other)
        neighbours[other].add(one)

    for offset in range(1, half + 1):
        for unit in range(size):
            connect(unit, (unit + offset) % size)
    moved = rng.random((half, size)) < rewiring
    for index, unit in zip(*np.nonzero(moved), strict=True):
        old, one = int(unit + index + 1) % size, int(unit)
        if old not in neighbours[one] or len(neighbours[one]) >= size - 1:
            continue
        new = int(rng.integers(size))
        while new == one or new in neighbours[one]:
            new = int(rng.integers(size))
        neighbours[one].discard(old)
        neighbours[old].discard(one)
        connect(one, new)
    rows = np.repeat(np.arange(size), [len(own) for own in neighbours])
    return rows, np.array([column for own in neighbours for column in sorted(own)], np.int64)
