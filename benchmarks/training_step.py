"""A training step of one network in fastrnn and in PyTorch, from equal weights and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from fastrnn.train import Adam

__all__ = ["RATE", "TrainingStep", "training_step"]

RATE = 1e-3


class TrainingStep(NamedTuple):
    """A training step in both; each returns the loss."""

    name: str
    run_fastrnn: Callable[[], float]
    run_torch: Callable[[], float]


def training_step(
    name: str, network: Any, batch: Any, twin: torch.nn.Module, inputs: tuple[Any, ...]
) -> TrainingStep:
    """Return the step: gradients set to zero, loss, backward, Adam.

    Parameters
    ----------
    name : str
    network : Module
        With ``loss_and_gradients``.
    batch : Batch
    twin : torch.nn.Module
        Returns the loss of `inputs`, the same batch.
    inputs : tuple
    """
    ours, theirs = Adam(network, RATE), torch.optim.Adam(twin.parameters(), RATE)

    def run_fastrnn() -> float:
        network.zero_grad()
        loss: float = network.loss_and_gradients(batch)
        ours.step()
        return loss

    def run_torch() -> float:
        theirs.zero_grad()
        loss = twin(*inputs)
        loss.backward()
        theirs.step()
        return float(loss.detach())

    return TrainingStep(name, run_fastrnn, run_torch)
