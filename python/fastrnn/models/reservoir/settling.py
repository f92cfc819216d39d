"""The readout in closed form again, whenever the reservoirs below it have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastrnn.models.reservoir.network import ReservoirNetwork
from fastrnn.models.reservoir.passes import Pass
from fastrnn.models.reservoir.ridge import Moments

__all__ = ["SettledReadout"]


class SettledReadout:
    """Solve the readout of a network by ridge regression if a weight has changed since the last time.

    So training moves the reservoirs alone, and meets the best readout for each of them: variable projection.

    Parameters
    ----------
    network : ReservoirNetwork
    make_pass : callable
        Returns a new pass over the training data.
    ridge : float

    References
    ----------
    Golub, Pereyra (1973), "The Differentiation of Pseudo-Inverses and Nonlinear Least Squares Problems Whose
    Variables Separate".
    """

    network: ReservoirNetwork
    make_pass: Callable[..., Any]
    ridge: float

    def __init__(self, network: ReservoirNetwork, make_pass: Callable[[], Pass], ridge: float) -> None:
        self.network, self.make_pass, self.ridge = network, make_pass, ridge
        self._version = float("nan")

    def __call__(self) -> None:
        """Solve the readout, if need be."""
        if self._version == self.network.parameters.version:
            return
        moments = Moments(self.network.width, self.network.readout.out_features)
        for z, y in self.make_pass().blocks():
            moments.add(z, y)
        self.network.set_readout(*moments.solve(self.ridge))
        self._version = self.network.parameters.version
