"""Gradient clipping by native kernels on the flat buffer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastrnn import _dispatch
from fastrnn._checks import as_number
from fastrnn.layers.base.module import trained_parts
from fastrnn.train.modules import Modules, as_modules

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastrnn._arrays import Array
    from fastrnn.layers import Module

__all__ = ["as_limit", "clip_gradient_norm", "clip_gradient_value", "clip_gradients", "gradient_norm"]

_FAR = 2.0**-100


def gradient_norm(module: Modules) -> float:
    """Return the global Euclidean norm of all gradients of a module, or of several modules together.

    Frozen parameters are left out. The sum of squares neither overflows nor vanishes: the norm is infinite
    only if a gradient is, or if the norm itself exceeds float64.

    Examples
    --------
    >>> from fastrnn.layers import Linear
    >>> from fastrnn.train import gradient_norm
    >>> layer = Linear(2, 2, bias=False, seed=0)
    >>> layer.gradients["weight"][...] = 2.0
    >>> gradient_norm(layer)
    4.0
    """
    return math.hypot(
        *(
            _dispatch.kernels.norm(part.read(one.gradients.flat))
            for one in as_modules(module)
            for part in trained_parts(one)
        )
    )


def clip_gradient_norm(module: Modules, limit: float) -> float:
    """Scale all gradients of one or several modules so that their global norm is at most a limit.

    Parameters
    ----------
    module : Module or iterable of Module
        All gradients but those of frozen parameters are scaled in place by one factor. If their norm is NaN
        or infinite they do not change: check the norm before a step, as `Trainer` does.
    limit : float
        Maximum norm, above 0.

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
    modules = as_modules(module)
    norm = gradient_norm(modules)
    factor = _factor(modules, norm, limit)
    if factor < 1.0:
        _in_place(modules, lambda values: _dispatch.kernels.scale(values, factor))
    return norm


def clip_gradient_value(module: Modules, limit: float) -> None:
    """Clip each gradient element of one or several modules to ``[-limit, limit]``, in place.

    The gradients of frozen parameters do not change.

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
    _in_place(as_modules(module), lambda values: _dispatch.kernels.clip_value(values, limit))


def clip_gradients(
    module: Modules, norm_limit: float | None, value_limit: float | None
) -> tuple[float, float]:
    """Clip by value, then compute the scale that clips by norm; either limit may be None.

    Returns
    -------
    norm : float
        The global norm before clipping.
    scale : float
        Factor that limits the norm, to be applied by ``Optimizer.step``.
    """
    modules = as_modules(module)
    norm = clipped = gradient_norm(modules)
    if value_limit is not None:
        clip_gradient_value(modules, value_limit)
        clipped = gradient_norm(modules) if norm_limit is not None else norm
    if norm_limit is None:
        return norm, 1.0
    return norm, _factor(modules, clipped, as_limit("limit", norm_limit))


def _factor(modules: tuple[Module, ...], norm: float, limit: float) -> float:
    """Return the factor that clips a norm, 1 if there is nothing to clip.

    If it is too small to be a normal number of the gradients' dtype, and so would lose digits or become 0,
    the gradients are first divided by a power of two.
    """
    if not math.isfinite(norm):
        return 1.0
    norm += 1e-6  # as in PyTorch's clip_grad_norm_
    if limit / norm < max(float(np.finfo(module.dtype).tiny) for module in modules):
        _in_place(modules, lambda values: _dispatch.kernels.scale(values, _FAR))
        norm *= _FAR
    return min(limit / norm, 1.0)


def _in_place(modules: tuple[Module, ...], change: Callable[[Array], None]) -> None:
    """Apply a change to all gradients that may be nonzero, but not to those of frozen parameters."""
    for module in modules:
        flat = module.gradients.flat
        for part in trained_parts(module):
            values = part.read(flat)
            change(values)
            part.write(flat, values)


def as_limit(name: str, limit: float) -> float:
    """Check a bound on gradients: a number above 0, infinity included."""
    return as_number(name, limit, above=0.0, most=math.inf)
