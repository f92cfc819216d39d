"""Activations by Keras's names: of recurrent layers, and as functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels

__all__ = ["Unsupported", "activation_name", "function_of", "part_of", "recurrent_name"]

Function: TypeAlias = Callable[[Array], Array]


class Unsupported(ValueError):
    """A layer has a form that cannot be loaded or run here; the message is the reason."""


def activation_name(value: Any) -> str:
    """Return an activation's name from the configuration of a layer.

    Raises
    ------
    Unsupported
        If it is not one of Keras's own functions.
    """
    if value is None:
        return "linear"
    if isinstance(value, Mapping):
        if value.get("class_name") != "function" or value.get("registered_name", "") not in (
            None,
            value.get("config"),
            "function",
        ):
            raise Unsupported(
                f"has the activation {value.get('class_name')!r}, a layer or a class of its own"
            )
        value = value.get("config")
    if not isinstance(value, str):
        raise Unsupported("has an activation that is not one of Keras's functions")
    return {"swish": "silu", "None": "linear"}.get(value, value)


_RECURRENT = {"tanh": "tanh", "sigmoid": "sigmoid", "relu": "relu", "linear": "identity"}


def recurrent_name(value: Any, version: str | None) -> tuple[str, float]:
    """Return the name of an activation of a recurrent layer here, and a factor for what goes into it.

    ``hard_sigmoid`` is ``0.2 x + 0.5``, clipped, here and in Keras 2, but ``x / 6 + 0.5`` in Keras 3: the
    same with 5/6 of the weights.

    Raises
    ------
    Unsupported
        If there is no such activation here.
    """
    name = activation_name(value)
    if name == "hard_sigmoid":
        return "hard_sigmoid", 5 / 6 if is_third(version) else 1.0
    if name not in _RECURRENT:
        raise Unsupported(
            f"has the activation {name!r}; recurrent layers here have {', '.join(_RECURRENT)}, hard_sigmoid"
        )
    return _RECURRENT[name], 1.0


def is_third(version: str | None) -> bool:
    """Return whether a file is of Keras 3.

    Raises
    ------
    Unsupported
        If it does not say.
    """
    if not version or not version[0].isdigit():
        raise Unsupported(
            "has the activation 'hard_sigmoid', which is another function in Keras 2 and 3; "
            "put keras_version into config"
        )
    return int(version.split(".")[0]) >= 3


def _softmax(x: Array) -> Array:
    powers: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def _log_softmax(x: Array) -> Array:
    shifted: Array = x - x.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def _softplus(x: Array) -> Array:
    result: Array = np.logaddexp(x, x.dtype.type(0))
    return result


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _selu(x: Array) -> Array:
    scale, alpha = x.dtype.type(1.0507009873554805), x.dtype.type(1.6732632423543772)
    result: Array = scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
    return result


def _gelu(x: Array) -> Array:
    erf = np.vectorize(math.erf, otypes=[x.dtype])
    result: Array = x * x.dtype.type(0.5) * (1 + erf(x * x.dtype.type(0.5**0.5)))
    return result


def _sigmoid(x: Array) -> Array:
    result: Array = kernels.sigmoid(np.ascontiguousarray(x))
    return result


def _tanh(x: Array) -> Array:
    result: Array = kernels.tanh(np.ascontiguousarray(x))
    return result


_FUNCTIONS: dict[str, Function] = {
    "linear": lambda x: x,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "silu": lambda x: x * _sigmoid(x),
    "leaky_relu": lambda x: np.where(x > 0, x, x * x.dtype.type(0.2)),
    "mish": lambda x: x * _tanh(_softplus(x)),
    "softplus": _softplus,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "exponential": lambda x: np.exp(x),
}


def function_of(value: Any, version: str | None) -> Function:
    """Return the function of an activation.

    Raises
    ------
    Unsupported
        If it is none of those known here.
    """
    name = activation_name(value)
    if name == "hard_sigmoid":
        slope = 1 / 6 if is_third(version) else 0.2
        return lambda x: np.clip(x * x.dtype.type(slope) + x.dtype.type(0.5), 0, 1)
    if name not in _FUNCTIONS:
        raise Unsupported(f"has the activation {name!r}, which is not among {', '.join(_FUNCTIONS)}")
    function = _FUNCTIONS[name]
    return lambda x: function(x) if x.size else x


def part_of(value: Any, version: str | None) -> str | None:
    """Return the function of an `Activation` layer here that is the same; None: it does nothing.

    Raises
    ------
    Unsupported
        If there is none.
    """
    name = activation_name(value)
    if name == "linear":
        return None
    if name == "hard_sigmoid" and is_third(version):
        raise Unsupported("has the hard_sigmoid of Keras 3, x / 6 + 0.5; that of Activation is 0.2 x + 0.5")
    if name not in ("tanh", "sigmoid", "relu", "hard_sigmoid", "softmax", "log_softmax"):
        raise Unsupported(f"has the activation {name!r}, which is none of those of Activation")
    return name
