"""One update of parameters from their gradients: clip, check, step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastrnn.train.clipping import clip_gradients
from fastrnn.train.records import check_finite

if TYPE_CHECKING:
    from fastrnn.train.optimizer import Optimizer

__all__ = ["checked_scale", "clipped_update"]


def checked_scale(
    optimizer: Optimizer, loss: float, step: int, clip_norm: float | None, clip_value: float | None = None
) -> tuple[float, float]:
    """Return the norm of the gradients and the scale that clips them, after a check of both.

    Raises
    ------
    TrainingDiverged
        If the loss or the norm is NaN or infinite.
    """
    norm, scale = clip_gradients(optimizer.modules, clip_norm, clip_value)
    check_finite("loss", loss, step)
    check_finite("gradient norm", norm, step)
    return norm, scale


def clipped_update(
    optimizer: Optimizer, loss: float, step: int, learning_rate: float, clip_norm: float | None
) -> float:
    """Make a step of the optimizer, with the gradients clipped by norm; return the norm before clipping.

    Raises
    ------
    TrainingDiverged
        If the loss or the norm of the gradients is NaN or infinite; then nothing has changed.
    """
    norm, scale = checked_scale(optimizer, loss, step, clip_norm)
    optimizer.step(learning_rate, gradient_scale=scale)
    return norm
