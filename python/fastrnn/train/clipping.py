"""Keeping gradients in bounds, natively, on the flat buffer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fastrnn import _dispatch
from fastrnn._checks import as_number
from fastrnn.layers.base.module import sparse_parts
from fastrnn.layers.base.sparse import dense_parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastrnn._arrays import Array
    from fastrnn.layers import Module

__all__ = ["as_limit", "clip_gradient_norm", "clip_gradient_value", "clip_gradients", "gradient_norm"]


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
    flat, sparse = module.gradients.flat, sparse_parts(module)
    squares = sum(_dispatch.kernels.sum_of_squares(part) for part in dense_parts(flat, sparse))
    for part in sparse:  # rows that nothing was added to are zero
        squares += _dispatch.kernels.sum_of_squares(part.matrix(flat)[part.rows].reshape(-1))
    return math.sqrt(squares)


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
    limit = as_limit("limit", limit)
    norm = gradient_norm(module)
    factor = _factor(norm, limit)
    if factor < 1.0:
        _in_place(module, lambda values: _dispatch.kernels.scale(values, factor))
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
    limit = as_limit("limit", limit)
    _in_place(module, lambda values: _dispatch.kernels.clip_value(values, limit))


def clip_gradients(
    module: Module, norm_limit: float | None, value_limit: float | None
) -> tuple[float, float]:
    """Clip by value, then by norm, as far as limits are given.

    Returns
    -------
    norm : float
        The global norm before both.
    scale : float
        What the gradients are still to be multiplied with for the bound on the norm, by ``Optimizer.step``.
    """
    norm = clipped = gradient_norm(module)
    if value_limit is not None:
        clip_gradient_value(module, value_limit)
        clipped = gradient_norm(module) if norm_limit is not None else norm
    if norm_limit is None:
        return norm, 1.0
    return norm, _factor(clipped, as_limit("limit", norm_limit))


def _factor(norm: float, limit: float) -> float:
    factor = limit / (norm + 1e-6)  # as PyTorch's clip_grad_norm_ has it
    return factor if 0.0 < factor < 1.0 else 1.0


def _in_place(module: Module, change: Callable[[Array], None]) -> None:
    """Change all gradients that may differ from zero."""
    flat, sparse = module.gradients.flat, sparse_parts(module)
    for part in dense_parts(flat, sparse):
        change(part)
    for rows in sparse:
        matrix = rows.matrix(flat)
        values = matrix[rows.rows]
        change(values.reshape(-1))
        matrix[rows.rows] = values


def as_limit(name: str, limit: float) -> float:
    """Check a bound on gradients: a number above 0, infinity included."""
    return as_number(name, limit, above=0.0, most=math.inf)
