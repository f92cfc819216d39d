"""Softmax and cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._arrays import FLOAT_DTYPES, NO_TARGET, Array, as_array, as_floats, as_ids
from fastrnn._dispatch import kernels

__all__ = ["softmax_cross_entropy"]


def softmax_cross_entropy(logits: Any, targets: Any) -> tuple[float, Array]:
    """Return the mean cross-entropy of softmax(logits) and its gradient.

    Parameters
    ----------
    logits : array_like, float [..., V]
        float32 or float64.
    targets : array_like, int [...]
        In ``0 .. V - 1``; -1 means no target.

    Returns
    -------
    loss : float
        Mean over the targets that are not -1, in nats.
    dlogits : ndarray, float [..., V]
        Gradient of that mean; zero where the target is -1.

    Raises
    ------
    ValueError
        If a shape does not fit, a target is out of range or all targets are -1.
    TypeError
        If the logits are neither float32 nor float64, or the targets are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> loss, dlogits = fr.softmax_cross_entropy(np.zeros((2, 4)), [3, -1])
    >>> round(loss, 6), dlogits[0].tolist()
    (1.386294, [0.25, 0.25, 0.25, -0.75])
    """
    array = as_array("logits", logits, np.dtype(np.float64))
    if array.dtype not in FLOAT_DTYPES:
        hint = "; write logits.astype(np.float32)" if array.dtype.kind in "fiuV" else ""
        raise TypeError(f"logits: expected float32 or float64, got {array.dtype}{hint}")
    array = as_floats("logits", array, array.dtype, ("...", "V"))
    ids = as_ids("targets", targets, array.shape[:-1])
    count = count_targets(ids)
    losses, dlogits = kernels.softmax_cross_entropy(array.reshape(-1, array.shape[-1]), ids.reshape(-1))
    dlogits /= count
    return mean_loss(losses, count), dlogits.reshape(array.shape)


def count_targets(targets: Array) -> int:
    """Count the targets that are not -1.

    Raises
    ------
    ValueError
        If there is none.
    """
    count = int(np.count_nonzero(targets != NO_TARGET))
    if count == 0:
        raise ValueError(f"targets: expected at least one that is not {NO_TARGET}, got none")
    return count


def mean_loss(losses: Array, count: int) -> float:
    """Return the mean over the counted losses, summed in float64."""
    return float(losses.sum(dtype=np.float64)) / count
