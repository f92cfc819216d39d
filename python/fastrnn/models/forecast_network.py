"""The network of forecasters: layers that read a series, and quantiles of its next step."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.layers import Linear, quantile_loss
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.models.base.encoder import SequenceEncoder, hidden_state

__all__ = ["ForecastBatch", "ForecastNetwork"]


class ForecastBatch(NamedTuple):
    """Windows of series.

    Attributes
    ----------
    x : ndarray, float [T, N, D + E]
        Values, and what is known of the step after each.
    lengths : ndarray, int64 [N]
    targets : ndarray, float [T, N, D]
        The next values.
    """

    x: Array
    lengths: Ids
    targets: Array

    @property
    def weight(self) -> float:
        """The number of targets."""
        return float(self.lengths.sum() * self.targets.shape[2])


class ForecastNetwork(ModuleGroup):
    """Read a series, and map each output to Q quantiles of each of the D values of the next step.

    Parameters
    ----------
    encoder : SequenceEncoder
        In one direction.
    width : int
        D.
    levels : ndarray, float64 [Q]
        Ascending, in (0, 1).
    rng : numpy.random.Generator
    """

    width: int
    levels: NDArray[np.float64]
    rng: np.random.Generator

    encoder: SequenceEncoder
    output: Linear

    def __init__(
        self, encoder: SequenceEncoder, width: int, *, levels: NDArray[np.float64], rng: np.random.Generator
    ) -> None:
        output = Linear(encoder.output_size, width * len(levels), dtype=encoder.dtype, seed=rng)
        super().__init__(encoder=encoder, output=output)
        self.width, self.levels, self.rng = width, levels, rng

    def __call__(self, x: Array, lengths: Any, state: Any = None) -> tuple[NDArray[np.float64], Any]:
        """Return the quantiles after the last step, ascending, float64 [N, D, Q], and the state."""
        _, state = self.encoder(x, lengths, state=state)
        z = self.output(hidden_state(self.encoder.rnn, state)).astype(np.float64)
        # Quantiles that cross are sorted, which never moves them away from the true ones (Chernozhukov,
        # Fernandez-Val, Galichon 2010, "Quantile and Probability Curves without Crossing").
        return np.sort(z.reshape(len(z), self.width, -1), axis=2), state

    def loss(self, batch: ForecastBatch) -> float:
        """Return the mean quantile loss of a batch, without dropout."""
        return self._losses(self.output(self.encoder(batch.x, batch.lengths)[0]), batch)[0]

    def loss_and_gradients(self, batch: ForecastBatch, scale: float = 1.0) -> float:
        """Return the mean quantile loss in training, and add `scale` times its gradients."""
        y, _, tape = self.encoder.forward(batch.x, batch.lengths)
        z, output_tape = self.output.forward(y)
        loss, dz = self._losses(z, batch)
        dz *= dz.dtype.type(scale)
        self.encoder.backward(tape, self.output.backward(output_tape, dz))
        return loss

    def _losses(self, z: Array, batch: ForecastBatch) -> tuple[float, Array]:
        predictions = z.reshape(*z.shape[:2], self.width, len(self.levels))
        loss, d = quantile_loss(predictions, batch.targets, self.levels, lengths=batch.lengths)
        return loss, d.reshape(z.shape)
