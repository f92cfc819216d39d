"""Keeping gradients in bounds, natively, on the flat buffer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fastrnn import _dispatch

if TYPE_CHECKING:
    from fastrnn.layers import Module

__all__ = ["clip_gradient_norm", "clip_gradient_value", "gradient_norm"]


def gradient_norm(module: Module) -> float:
    """Give the global Euclidean norm of all gradients of a module.

    Examples
    --------
    >>> from fastrnn.layers import Linear
    >>> from fastrnn.train import gradient_norm
    >>> layer = Linear(2, 2, bias=False, seed=0)
    >>> layer.gradients["weight"][...] = 2.0
    >>> gradient_norm(layer)
    4.0
    """
    return math.sqrt(_dispatch.kernels.sum_of_squares(module.gradients.flat))


def clip_gradient_norm(module: Module, limit: float) -> float:
    """Scale all gradients of a module so that their global norm is at most a limit.

    Parameters
    ----------
    module : Module
        Its gradients are changed in place, by one common factor; not where their norm is NaN or infinite.
    limit : float
        Above 0.

    Returns
    -------
    norm : float
        The norm before clipping.

    Raises
    ------
    ValueError
        If the limit is not above 0.

    References
    ----------
    Pascanu, Mikolov, Bengio (2013), "On the difficulty of training recurrent neural networks".

    Examples
    --------
    >>> from fastrnn.layers import Linear
    >>> from fastrnn.train import clip_gradient_norm, gradient_norm
    >>> layer = Linear(2, 2, bias=False, seed=0)
    >>> layer.gradients["weight"][...] = 2.0
    >>> clip_gradient_norm(layer, 1.0)
    4.0
    >>> round(gradient_norm(layer), 5)
    1.0
    """
    _check_limit(limit)
    norm = gradient_norm(module)
    factor = limit / (norm + 1e-6)  # as PyTorch's clip_grad_norm_ has it
    if 0.0 < factor < 1.0:
        _dispatch.kernels.scale(module.gradients.flat, factor)
    return norm


def clip_gradient_value(module: Module, limit: float) -> None:
    """Cut every single gradient of a module to ``-limit .. limit``, in place.

    Raises
    ------
    ValueError
        If the limit is not above 0.

    Examples
    --------
    >>> from fastrnn.layers import Linear
    >>> from fastrnn.train import clip_gradient_value
    >>> layer = Linear(1, 1, bias=False, seed=0)
    >>> layer.gradients["weight"][...] = -3.0
    >>> clip_gradient_value(layer, 0.5)
    >>> layer.gradients["weight"]
    array([[-0.5]], dtype=float32)
    """
    _check_limit(limit)
    _dispatch.kernels.clip_value(module.gradients.flat, limit)


def _check_limit(limit: float) -> None:
    if not limit > 0.0:
        raise ValueError(f"limit: expected a number above 0, got {limit}")
