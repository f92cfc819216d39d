"""Recurrent layers recognised by the names and shapes of their weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array

__all__ = ["GATE_ORDERS", "Misfit", "RecurrentWeights", "is_recurrent", "recurrent_weights", "reordered"]

_NAME = re.compile(r"(weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?:_l(\d{1,4})(_reverse)?)?(_raw)?")
_CLASSES = {1: "RNN", 3: "GRU", 4: "LSTM"}
GATE_ORDERS = {"GRU": "rzn", "LSTM": "ifgo"}


class Misfit(ValueError):
    """Why weights make no layer that we have."""


class RecurrentWeights(NamedTuple):
    """A layer's class, the arguments that its weights determine, and the weights by our names."""

    kind: str
    arguments: dict[str, Any]
    weights: dict[str, Array]


def is_recurrent(names: Mapping[str, Any]) -> bool:
    """Return whether local names have a recurrent layer's weights among them."""
    return any(match and match[1] == "weight_hh" for match in map(_NAME.fullmatch, names))


def recurrent_weights(tensors: Mapping[str, Array]) -> RecurrentWeights:
    """Return what the weights of an ``nn.RNN``, ``GRU`` or ``LSTM``, or of one of their cells, say.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        By their local names: ``weight_ih_l0``, ..., or ``weight_ih`` of a cell.

    Raises
    ------
    Misfit
        If a weight is missing, unknown or has another shape than the others ask for.
    """
    weights = _renamed(tensors)
    layers = 1 + max(_layer(name) for name in weights)
    if layers > len(weights):
        raise Misfit(f"weights of layer {layers - 1}, but only {len(weights)} weights")
    bidirectional = any(name.endswith("_reverse") for name in weights)
    bias, projected = "bias_ih_l0" in weights, "weight_hr_l0" in weights
    kinds = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if bias else [])]
    kinds += ["weight_hr"] if projected else []
    ends = [f"_l{layer}{end}" for layer in range(layers) for end in ["", "_reverse"][: 1 + bidirectional]]
    expected = [f"{kind}{end}" for end in ends for kind in kinds]
    for problem, names in (
        ("no", set(expected) - set(weights)),
        ("unexpected", set(weights) - set(expected)),
    ):
        if names:
            raise Misfit(f"{problem} {', '.join(sorted(names))}")
    gates, H, P, D = _sizes(weights, projected)
    _check_shapes(weights, gates, (D, H, P), 1 + bidirectional)
    arguments: dict[str, Any] = {"input_size": D, "hidden_size": H}
    options = {
        "num_layers": layers,
        "bidirectional": bidirectional,
        "bias": bias,
        "proj_size": P if projected else 0,
    }
    usual = {"num_layers": 1, "bidirectional": False, "bias": True, "proj_size": 0}
    arguments |= {name: value for name, value in options.items() if value != usual[name]}
    return RecurrentWeights(_CLASSES[gates], arguments, {name: weights[name] for name in expected})


def reordered(kind: str, weights: Mapping[str, Array], order: str) -> dict[str, Array]:
    """Return weights with their gates in our order.

    Parameters
    ----------
    kind : {"GRU", "LSTM"}
    weights : mapping of str to ndarray, [G*H, ...] but weight_hr
    order : str
        The letters of our order, "rzn" or "ifgo", as the weights have them: "zrn", for example.

    Raises
    ------
    ValueError
        If it is another cell, or the letters are others.
    """
    ours = GATE_ORDERS.get(kind, "")
    if sorted(order) != sorted(ours):
        raise ValueError(f"gate_order: expected the letters {ours or 'of a GRU or LSTM'}, got {order!r}")
    places = [order.index(gate) for gate in ours]
    return {
        name: value
        if name.startswith("weight_hr")
        else np.concatenate([np.split(value, len(ours))[place] for place in places])
        for name, value in weights.items()
    }


def _renamed(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Return weights by our names: a cell's are those of layer 0; ``_raw`` is what weight drop drops from."""
    plain: dict[str, Array] = {}
    raw: dict[str, Array] = {}
    for name, value in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise Misfit(f"a recurrent layer with {name} {list(value.shape)}, which PyTorch's have not")
        own = f"{match[1]}_l{int(match[2] or 0)}{match[3] or ''}"
        weights = raw if match[4] else plain
        if own in weights:
            raise Misfit(f"{own} twice")
        weights[own] = value
    return plain | raw


def _layer(name: str) -> int:
    return int(name.partition("_l")[2].partition("_")[0])


def _sizes(weights: Mapping[str, Array], projected: bool) -> tuple[int, int, int, int]:
    """Return gates, H, P and D."""
    ih, hh = weights["weight_ih_l0"], weights["weight_hh_l0"]
    if ih.ndim != 2 or hh.ndim != 2 or 0 in ih.shape or 0 in hh.shape:
        raise Misfit(f"weight_ih_l0 {list(ih.shape)} and weight_hh_l0 {list(hh.shape)}, not two matrices")
    rows, P = hh.shape
    H = P
    if projected:
        hr = weights["weight_hr_l0"]
        if hr.ndim != 2 or hr.shape[0] != P or not hr.shape[1] > P:
            raise Misfit(f"weight_hr_l0 {list(hr.shape)} beside weight_hh_l0 {list(hh.shape)}")
        H = hr.shape[1]
    if rows % H or rows // H not in _CLASSES:
        raise Misfit(
            f"weight_hh_l0 {list(hh.shape)}: {rows} rows for {H} units, not 1, 3 or 4 gates "
            "as RNN, GRU and LSTM have"
        )
    return rows // H, H, P, ih.shape[1]


def _check_shapes(
    weights: Mapping[str, Array], gates: int, sizes: tuple[int, int, int], directions: int
) -> None:
    D, H, P = sizes
    for name, value in weights.items():
        kind, _, end = name.partition("_l")
        width = D if end.partition("_")[0] == "0" else P * directions
        rows = gates * H
        shapes = {"weight_ih": (rows, width), "weight_hh": (rows, P), "weight_hr": (P, H)}
        expected = shapes.get(kind, (rows,))
        if value.shape != expected:
            raise Misfit(f"{name}: expected {list(expected)}, got {list(value.shape)}")
