"""Outputs of networks row by row: their losses with gradients, and their probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels

__all__ = ["LOSSES", "row_losses", "sigmoid", "softmax"]

LOSSES = ("softmax", "sigmoid", "squared", "absolute", "huber")


def row_losses(
    kind: str, z: Array, targets: Array, pos_weight: Array | None = None
) -> tuple[NDArray[np.float64], Array]:
    """Return the loss of each row, float64 [M], and the gradient of its outputs, [M, K].

    Parameters
    ----------
    kind : {"softmax", "sigmoid", "squared", "absolute", "huber"}
        The cross-entropy of one class or of several labels, or the sum of the errors of K numbers.
    z : ndarray, float [M, K]
    targets : ndarray
        int64 [M] for "softmax", else float [M, K].
    pos_weight : ndarray, float [K], optional
        For "sigmoid": the weight of each label's presence.
    """
    if kind == "softmax":
        losses, dz = kernels.softmax_cross_entropy(z, targets)
        return losses.astype(np.float64), dz
    if kind == "sigmoid":
        losses, dz = kernels.binary_cross_entropy(z, targets, pos_weight, 1.0, 0.0)
        return losses.sum(axis=1, dtype=np.float64), dz
    # The absolute error is twice the quantile loss of the median; Huber's bends at 1.
    name, parameter, factor = {
        "squared": ("squared", None, 1.0),
        "absolute": ("quantile", 0.5, 2.0),
        "huber": ("huber", 1.0, 1.0),
    }[kind]
    parameters = None if parameter is None else np.array([parameter], z.dtype)
    losses, dz = kernels.regression_loss(
        np.ascontiguousarray(z).reshape(-1, 1), targets.reshape(-1), None, name, parameters, factor
    )
    return factor * losses.reshape(z.shape).sum(axis=1, dtype=np.float64), dz.reshape(z.shape)


def softmax(z: Array) -> NDArray[np.float64]:
    """Return the probabilities of logits [..., K], float64."""
    wide = z.astype(np.float64)
    exponents = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def sigmoid(z: Array) -> NDArray[np.float64]:
    """Return the probability of each logit, float64."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * z.astype(np.float64))))
