"""Reservoirs with noise in each unit, as they run while a readout is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn.layers import RNN
from fastrnn.models.reservoir.network import ReservoirNetwork, States
from fastrnn.models.reservoir.sparse_layer import SparseLayer

__all__ = ["NoisyReservoirs"]


class NoisyReservoirs:
    """The reservoirs of a network with Gaussian noise added to what each unit sums up, within its tanh.

    Noise in training makes a readout robust against its own errors in closed loop (Jaeger 2001, section 4.4):
    an input for each unit carries it, so that the kernels of the layers compute it.

    Parameters
    ----------
    network : ReservoirNetwork
    deviation : float
        Of the noise.
    rng : numpy.random.Generator
    """

    network: ReservoirNetwork
    deviation: float
    rng: np.random.Generator

    def __init__(self, network: ReservoirNetwork, deviation: float, rng: np.random.Generator) -> None:
        self.network, self.deviation, self.rng = network, deviation, rng
        self._layers = [
            layer if isinstance(layer, SparseLayer) else _with_noise_inputs(layer) for layer in network.layers
        ]

    def states(self, x: Array, lengths: Any, state: States | None = None) -> tuple[list[Array], States]:
        """Do what `ReservoirNetwork.states` does."""
        if x.dtype.kind == "i":  # ids
            x = np.eye(self.network.layers[0].input_size, dtype=self.network.dtype)[x]
        parts: list[Array] = []
        finals: States = []
        for layer, below in self.network._walk(x, parts):
            index = len(parts)
            drawn = self.rng.normal(scale=self.deviation, size=(*below.shape[:2], layer.hidden_size))
            noise, own = drawn.astype(below.dtype), self._layers[index]
            before = None if state is None else state[index]
            if isinstance(own, SparseLayer):
                y, final = own(below, before, lengths, noise=noise)
            else:
                y, final = own(np.concatenate([below, noise], axis=2), before, lengths)
            parts.append(y)
            finals.append(final)
        return parts, finals


def _with_noise_inputs(layer: RNN) -> RNN:
    """Return a layer with the same weights and an input more for each unit."""
    size = layer.hidden_size
    noisy = RNN(
        layer.input_size + size, size, nonlinearity=layer.nonlinearity, dtype=layer.dtype, seed=0,
        leak=layer.options.leak,
    )  # fmt: skip
    own = layer.state_dict()
    own["weight_ih_l0"] = np.concatenate([own["weight_ih_l0"], np.eye(size, dtype=layer.dtype)], axis=1)
    noisy.load_state_dict(own)
    return noisy
