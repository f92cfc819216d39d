"""From the losses of elements to one number: the mean over those that count, their sum, or none."""

from __future__ import annotations

from fastrnn._arrays import Array
from fastrnn._checks import as_choice

__all__ = ["REDUCTIONS", "gradient_scale", "reduce_losses"]

REDUCTIONS = ("mean", "sum", "none")


def gradient_scale(reduction: str, count: float) -> float:
    """Return the factor of the gradients of a sum of losses: that of their mean, or 1.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    count : float
        The elements that count, or the sum of their weights.

    Raises
    ------
    ValueError
        If there is no such reduction, or none counts of which to take the mean.
    TypeError
        If the reduction is not a str.
    """
    if as_choice("reduction", reduction, REDUCTIONS) != "mean":
        return 1.0
    if count == 0:
        raise ValueError("targets: expected at least one that counts, got none; reduction='sum' is 0 then")
    return 1.0 / count


def reduce_losses(losses: Array, reduction: str, count: float, shape: tuple[int, ...]) -> float | Array:
    """Return the mean or sum of losses, summed in float64, or the losses themselves in this shape."""
    if reduction == "none":
        return losses.reshape(shape)
    total = float(losses.sum(dtype="float64"))
    return total / count if reduction == "mean" else total
