"""Activations as layers: functions without parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array, as_dtype, as_floats
from fastrnn._checks import as_choice
from fastrnn._dispatch import kernels
from fastrnn.layers.base.kept import frozen
from fastrnn.layers.base.module import Module

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["FUNCTIONS", "Activation"]


class _Function(NamedTuple):
    """A function, and the gradient of a loss with respect to its input from its output and dy."""

    value: Callable[[Array], Array]
    backward: Callable[[Array, Array], Array]


def _softmax(x: Array) -> Array:
    powers: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _relu(x: Array) -> Array:
    result: Array = np.maximum(x, 0)
    return result


def _hard_sigmoid(x: Array) -> Array:
    # The constants in x's dtype, as the recurrent layers have them.
    result: Array = np.clip(x * x.dtype.type(0.2) + x.dtype.type(0.5), 0, 1)
    return result


_FUNCTIONS: dict[str, _Function] = {
    "tanh": _Function(kernels.tanh, lambda y, dy: dy * (1 - y * y)),
    "sigmoid": _Function(kernels.sigmoid, lambda y, dy: dy * y * (1 - y)),
    "relu": _Function(_relu, lambda y, dy: dy * (y > 0)),
    "hard_sigmoid": _Function(_hard_sigmoid, lambda y, dy: dy * y.dtype.type(0.2) * ((y > 0) & (y < 1))),
    "softmax": _Function(_softmax, lambda y, dy: y * (dy - (y * dy).sum(axis=-1, keepdims=True))),
    "log_softmax": _Function(_log_softmax, lambda y, dy: dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)),
}
#: The names of all functions.
FUNCTIONS = tuple(_FUNCTIONS)


class Activation(Module):
    """A function of each number, or of each step's numbers, without parameters.

    ``hard_sigmoid`` is ``max(0, min(1, 0.2 x + 0.5))``, as in the recurrent layers and in Keras 2;
    ``softmax`` and its logarithm are over the last axis.

    Parameters
    ----------
    function : {"tanh", "sigmoid", "relu", "hard_sigmoid", "softmax", "log_softmax"}
    dtype : {"float32", "float64"}
        Of inputs and outputs.

    Raises
    ------
    ValueError
        If the function is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> relu = fr.Activation("relu")
    >>> y, tape = relu.forward(np.array([-1.0, 2.0], np.float32))
    >>> y.tolist(), relu.backward(tape, np.ones(2, np.float32)).tolist()
    ([0.0, 2.0], [0.0, 1.0])
    """

    def __init__(self, function: str, *, dtype: DTypeLike = "float32") -> None:
        self.function: str = as_choice("function", function, FUNCTIONS)
        super().__init__({}, as_dtype(dtype))

    def __call__(self, x: Any) -> Array:
        """Apply the function.

        Parameters
        ----------
        x : array_like, float [...]

        Returns
        -------
        y : ndarray, float [...]

        Raises
        ------
        TypeError
            If x has another dtype.
        """
        return self._apply(as_floats("x", x, self.dtype, ("...",)))

    def forward(self, x: Any) -> tuple[Array, Array]:
        """Apply the function and keep what `backward` needs.

        Parameters
        ----------
        x : array_like, float [...]

        Returns
        -------
        y : ndarray, float [...]
            Read-only.
        tape : ndarray
            The same.

        Raises
        ------
        TypeError
            As for a call.
        """
        y = frozen(self(x))
        return y, y

    def backward(self, tape: Array, dy: Any) -> Array:
        """Return the gradient with respect to x.

        Parameters
        ----------
        tape : ndarray
            From `forward`.
        dy : array_like, float [...]
            Gradient of the loss with respect to y.

        Returns
        -------
        dx : ndarray, float [...]

        Raises
        ------
        ValueError
            If the shapes of dy and y differ.
        TypeError
            If dy has another dtype.
        """
        dy = as_floats("dy", dy, self.dtype, tape.shape)
        return _FUNCTIONS[self.function].backward(tape, dy)

    def _apply(self, x: Array) -> Array:
        return _FUNCTIONS[self.function].value(x) if x.size else x.copy()

    def __repr__(self) -> str:
        options = "" if self.dtype.name == "float32" else f", dtype={self.dtype.name!r}"
        return f"Activation({self.function!r}{options})"
