"""Quantized copies of modules and models: weights that lie on the grid of bfloat16 or int8."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from fastrnn._arrays import Array
from fastrnn._checks import as_choice
from fastrnn.files.quantized_tensors import QUANTIZED, Quantized, rounded_weight
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.precision import Precision

__all__ = ["in_float32", "quantize", "quantized_form", "restore_quantized"]

ModelT = TypeVar("ModelT")
ModuleT = TypeVar("ModuleT", bound=Module)

_MOST_COLUMNS = 65536  # of a weight in int8: sums of products stay within int32


def quantize(model: ModelT, precision: str) -> ModelT:
    """Return a copy for inference whose weights have fewer bits, in memory traffic and in files.

    The weights of products are rounded once: to bfloat16, or to int8 with one scale for each row. Products
    are then computed in that precision; int8 rounds what they multiply, too, with one scale for each row and
    step. These are `LSTM`, `GRU` and `RNN` without options, `Linear`, `Head` and the softmax of a language
    model. The tables of `Embedding` are rounded, too, for the sake of the file. All else stays float32:
    biases, states, activations, and layers that have no other precision.

    ``save`` stores the rounded weights in a half (bfloat16) or a quarter (int8) of the bytes, and what is
    loaded has the same bits. The parameters themselves remain float32 arrays, with the rounded values, so an
    export to PyTorch or ONNX has exactly these. They cannot be written to, and the copy cannot be trained.

    Parameters
    ----------
    model : Module or model with ``fit``
        Of dtype float32: a layer, a `Stack`, a `Sequential` or `Composite`, a `LanguageModel`, or a fitted
        model of `fastrnn.models`. It is not changed.
    precision : {"int8", "bfloat16"}

    Returns
    -------
    quantized : of the same class
        Its `quantized` is True, and its `precision` is the given one; that of an `Embedding` alone, which has
        no product, stays float32. A model with ``fit`` has it in its `network_`: its own `precision` remains
        the parameter that `fit` reads.

    Raises
    ------
    ValueError
        If the precision is unknown, the dtype is float64, the model has been quantized before or has no
        weight to quantize, a weight is not finite, or has more than 65,536 columns for int8.
    TypeError
        If it is no module and no model.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> linear = fr.Linear(3, 2, seed=0)
    >>> small = fr.quantize(linear, "bfloat16")
    >>> small.precision, small.quantized, linear.quantized
    ('bfloat16', True, False)
    >>> difference = np.abs(small.parameters["weight"] - linear.parameters["weight"])
    >>> bool((difference <= np.abs(linear.parameters["weight"]) / 256).all())
    True
    >>> small.parameters["bias"] = [0.0, 0.0]
    Traceback (most recent call last):
    ValueError: quantized: these parameters are for inference; write to the model they were made of, \
then fr.quantize(model, ...)
    """
    chosen = _as_grid(precision)
    network = _network_of(model)
    if network.quantized:
        raise ValueError("model: quantized already; quantize the model that it was made of")
    result = copy.deepcopy(model)
    result.__dict__.pop("_optimizer", None)  # of a model that partial_fit trains
    _round(_network_of(result), chosen)
    return result


def in_float32(network: ModuleT) -> ModuleT:
    """Return a network with the same parameters whose products are in float32: itself, or a copy.

    This is what other programs compute of a file that a model was exported to.

    Examples
    --------
    >>> import fastrnn as fr
    >>> small = fr.quantize(fr.Linear(3, 2, seed=0), "int8")
    >>> wide = in_float32(small)
    >>> wide.precision, wide.quantized, bool((wide.parameters.flat == small.parameters.flat).all())
    ('float32', False, True)
    """
    if network.precision == "float32" and not network.quantized:
        return network
    result = copy.deepcopy(network)
    result.parameters._buffer.grid = "float32"
    result._set_precision("float32")
    return result


def quantized_form(network: Module) -> Quantized | None:
    """Return how a file stores a network; None if it has not been quantized."""
    return Quantized(network.parameters.grid, tuple(_weights(network))) if network.quantized else None


def restore_quantized(network: Module, form: Quantized | None) -> None:
    """Make a network of a file, whose parameters are loaded, the quantized one that it was.

    Raises
    ------
    ValueError
        If the file has stored other parameters in the precision, or numbers that do not lie on its grid.
    """
    if form is None:
        return
    before = network.parameters.flat.copy()
    names = _round(network, _as_grid(form.precision))
    stored = {"int8": "I8", "bfloat16": "BF16"}[form.precision]
    for name in sorted(names ^ set(form.names)):
        wanted, got = (stored, "F32") if name in names else ("F32", stored)
        raise ValueError(f"{name}: expected {wanted} in a file in {form.precision}, got {got}")
    changed = before.view(np.uint32) != network.parameters.flat.view(np.uint32)
    if changed.any():
        raise ValueError(f"{_at(network, changed)}: expected weights as fr.quantize rounds them, got others")


def _as_grid(precision: object) -> Precision:
    return "int8" if as_choice("precision", precision, QUANTIZED) == "int8" else "bfloat16"


def _network_of(model: object) -> Module:
    """Return the module that a model is, or has once it is fitted."""
    if isinstance(model, Module):
        return model
    if hasattr(model, "_check_fitted") and not isinstance(model, type):
        model._check_fitted("quantize")
    network = getattr(model, "network_", None)
    if not isinstance(network, Module):
        inner = isinstance(getattr(model, "model", None), Module)  # a Checkpoint, a Trainer
        hint = "; pass its attribute model" if inner else ""
        raise TypeError(f"model: expected a layer or a model, got {type(model).__name__}{hint}")
    return network


def _weights(network: Module) -> dict[str, Array]:
    """Return the weights to quantize, by the names that they have in the network."""
    own = zip(network.parameters.items(), network._own_parameters(), strict=True)
    return {name: view for (name, view), (part, name_there) in own if name_there in part._quantizable()}


def _round(network: Module, precision: Precision) -> set[str]:
    """Round the weights of a network in place, for good; return their names."""
    if network.dtype != np.float32:
        raise ValueError(f"model: expected dtype float32 to quantize, got {network.dtype}")
    network._set_precision(precision)
    rounded = _rounded(network, precision)
    with network.parameters.edit() as views:
        for name, array in rounded.items():
            views[name] = array
    network.parameters._buffer.grid = precision
    return set(rounded)


def _rounded(network: Module, precision: Precision) -> Mapping[str, Array]:
    weights = _weights(network)
    if not weights:
        raise ValueError(
            f"model: expected weights to quantize, got none in this {type(network).__name__}; LSTM, GRU and "
            "RNN without options, Linear, Head, Softmax and Embedding, which has a TiedSoftmax's, have some"
        )
    for name, weight in weights.items():
        if precision == "int8" and weight.shape[1] > _MOST_COLUMNS:
            raise ValueError(f"{name}: expected at most 65,536 columns for int8, got {weight.shape[1]:,}")
    return {name: rounded_weight(name, np.asarray(weight), precision) for name, weight in weights.items()}


def _at(network: Module, changed: Array) -> str:
    """Return the name of the parameter that the first flag belongs to."""
    place = int(changed.argmax())
    for name, view in network.parameters.items():
        if place < view.size:
            return name
        place -= view.size
    raise AssertionError("a flag for each scalar")
