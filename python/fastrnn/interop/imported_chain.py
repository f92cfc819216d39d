"""Imported layers as a chain, its parity, and what to look at where the outputs differ."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from fastrnn.interop.parity import Parity, compare
from fastrnn.interop.pytorch.recurrent_weights import GATE_ORDERS, reordered
from fastrnn.layers import GRU, LSTM, RNN, Recurrent, Sequential
from fastrnn.layers.composite.composite import is_reserved

__all__ = ["chain", "checked", "refuse_unplaced"]


def chain(layers: Mapping[str, Any]) -> Sequential:
    """Return copies of the layers as a `Sequential`.

    Raises
    ------
    ValueError
        If there is none, or they do not fit.
    """
    if not layers:
        raise ValueError("layers: expected at least one, got none")
    parts: dict[str, Any] = {}
    for name, layer in layers.items():
        own = name
        while is_reserved(own) or own in parts or (own != name and own in layers):
            own = f"{own}_" if not own.startswith("_") else f"part{own}"
        parts[own] = copy.deepcopy(layer)
    return Sequential(parts)


def refuse_unplaced(unplaced: Mapping[str, str], orders: Sequence[tuple[str, ...]] = ()) -> None:
    """Raise a ValueError if something became no layer, or the layers could be meant in several orders."""
    if unplaced:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in [*unplaced.items()][:5])
        raise ValueError(
            f"not placed: {reasons}. If the model computes the same without, delete these from "
            "imported.unplaced"
        )
    if orders:
        choices = " or ".join(f"in_order{order}" for order in orders)
        raise ValueError(f"layers: the file keeps no order and several fit; choose one by {choices}")


def checked(
    layers: Mapping[str, Any], inputs: Any, outputs: Any, *, tolerance: float, batch_first: bool
) -> Parity:
    """Compare the outputs of the layers with those that are expected, see `Imported.check`."""
    with_state = isinstance(outputs, tuple)
    if with_state and len(layers) != 1:
        raise ValueError("outputs: expected y alone, as the state is of one of several layers")
    inputs = _time_first(inputs, batch_first)
    expected = (
        (_time_first(outputs[0], batch_first), *outputs[1:])
        if with_state
        else _time_first(outputs, batch_first)
    )

    def run(read: Mapping[str, Any]) -> Parity:
        x: Any = inputs
        for layer in read.values():
            result = layer(x)
            x = result[0] if isinstance(layer, Recurrent) and not with_state else result
        return compare(x, expected, tolerance=tolerance)

    parity = run(layers)
    if parity.equal:
        return parity
    hints = [hint for hint, read in _readings(layers) if run(read).equal]
    return parity._replace(hints=tuple(hints))


def _readings(layers: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield other readings of the same weights: of all RNNs, of all GRUs and of all LSTMs."""
    rnns = {name: layer for name, layer in layers.items() if type(layer) is RNN}
    if rnns:
        other = {name: "relu" if layer.nonlinearity == "tanh" else "tanh" for name, layer in rnns.items()}
        new = {name: _remade(layer, nonlinearity=other[name]) for name, layer in rnns.items()}
        yield f"nonlinearity={other}", {**layers, **new}
    for kind in (GRU, LSTM):
        found = {name: layer for name, layer in layers.items() if type(layer) is kind}
        ours = GATE_ORDERS[kind.__name__]
        for order in map("".join, permutations(ours) if found else ()):
            new = {name: _remade(layer) for name, layer in found.items()}
            for layer in new.values():
                layer.load_state_dict(reordered(kind.__name__, layer.state_dict(), order))
            if order != ours:
                yield f"gate_order={dict.fromkeys(found, order)}", {**layers, **new}


def _remade(layer: Any, **options: Any) -> Any:
    """Return a layer of the same weights with other options."""
    given = {name: value for name, value, _ in layer._options()} | options
    new = type(layer)(layer.input_size, layer.hidden_size, **given)
    new.load_state_dict(layer.state_dict())
    return new


def _time_first(value: Any, batch_first: bool) -> Any:
    return np.swapaxes(np.asarray(value), 0, 1) if batch_first else value
