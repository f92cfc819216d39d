"""The output head of a language model: its description, checked, and the shapes of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn._checks import as_choice, as_flag, as_probability, as_size
from fastrnn.layers import Head
from fastrnn.layers.base.precision import as_precision
from fastrnn.layers.dense.head import ACTIVATIONS, as_sizes

__all__ = ["described_head", "head_shapes"]

_USUAL = {"activation": "tanh", "dropout": 0.0, "bias": True}


def described_head(given: Any, width: int, dtype: str) -> dict[str, Any] | None:
    """Return the description of a head, or of a mapping of a head's arguments, in plain values.

    Parameters
    ----------
    given : Head, mapping or None
        A mapping may leave out in_features and what has a default; in the result, only a precision of
        float32 is left out, as in older files.
    width : int
        Of the layers' output, which the head reads.
    dtype : str
        The model's.

    Raises
    ------
    ValueError, TypeError
        If it does not fit the layers, or is neither.
    """
    if given is None:
        return None
    if isinstance(given, Head):
        if given.dtype.name != dtype:
            raise ValueError(f"dtype: expected the head's, {given.dtype.name}, got {dtype}")
        own = {} if given.quantized else {"precision": given.precision}  # quantized: refused as a part
        given = {**given.description, **own}
    if not isinstance(given, Mapping):
        raise TypeError(f"head: expected a Head or a mapping of its arguments, got {type(given).__name__}")
    known = {"in_features", "hidden_sizes", "out_features", *_USUAL, "precision"}
    for name in given:
        if name not in known:
            raise ValueError(f"head: unknown {name}; expected {', '.join(sorted(known))}")
    for name in ("hidden_sizes", "out_features"):
        if name not in given:
            raise ValueError(f"head: missing {name}")
    values = {"in_features": width, **_USUAL, **given}
    description = {
        "in_features": as_size("in_features", values["in_features"]),
        "hidden_sizes": as_sizes(values["hidden_sizes"]),
        "out_features": as_size("out_features", values["out_features"]),
        "activation": as_choice("activation", values["activation"], ACTIVATIONS),
        "dropout": as_probability("dropout", values["dropout"]),
        "bias": as_flag("bias", values["bias"]),
    }
    if description["in_features"] != width:
        raise ValueError(
            f"head: expected in_features {width}, the width of the layers' output, got "
            f"{description['in_features']}"
        )
    precision = as_precision(values.get("precision", "float32"), np.dtype(dtype))
    return description if precision == "float32" else {**description, "precision": precision}


def head_shapes(description: Mapping[str, Any] | None) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of each parameter of a described head; none without one."""
    if description is None:
        return {}
    hidden = description["hidden_sizes"]
    sizes = [description["in_features"], *hidden, description["out_features"]]
    names = [*(f"hidden{index}" for index in range(len(hidden))), "output"]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, below, size in zip(names, sizes[:-1], sizes[1:], strict=True):
        shapes[f"{name}.weight"] = (size, below)
        if description["bias"]:
            shapes[f"{name}.bias"] = (size,)
    return shapes
