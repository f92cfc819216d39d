"""`to_keras_weights`: the weights of layers as Keras's `set_weights` takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn.layers import GRU, LSTM, RNN, Activation, Embedding, Head, Linear, Recurrent, Sequential, Stack

__all__ = ["to_keras_weights"]

_ORDERS = {RNN: (0,), GRU: (1, 0, 2), LSTM: (0, 1, 2, 3)}  # Keras's gates among ours
# Options whose effect on the equations Keras's layers lack, with the values that have none.
_LACKING: dict[str, Any] = {
    "proj_size": 0,
    "layer_norm": False,
    "zoneout": (0.0, 0.0),
    "skip": 0,
    "context_size": 0,
    "coupled": False,
    "leak": None,
    "cell_clip": 0.0,
    "peephole": False,
    "relevance": False,
    "learn_state": False,
}


def to_keras_weights(layer: Any) -> list[Array]:
    """Return the weights of a layer in the order and shapes of Keras's ``layer.set_weights``.

    Parameters
    ----------
    layer : RNN, GRU, LSTM, Embedding, Linear, Head, Stack or Sequential
        Of several recurrent layers the weights follow one another, as those of a Keras model with a layer for
        each do: ``model.set_weights``.

    Returns
    -------
    weights : list of ndarray
        Of a recurrent layer the kernel [D, G*H], the recurrent kernel [H, G*H] and, unless there is none, the
        bias [G*H], [2, 3H] of ``GRU(reset_after=True)``; of two directions those of the forward one, then of
        the backward one. Gates are i, f, c, o and z, r, h. Of a `Linear` the kernel [K, F] and the bias; of
        an `Embedding` its table. Two biases that Keras has as one are added.

    Raises
    ------
    ValueError
        If the layer has an option that Keras's lacks.
    TypeError
        If it is another.

    See Also
    --------
    load_keras : The other way.

    Examples
    --------
    >>> import fastrnn as fr
    >>> [array.shape for array in fr.interop.to_keras_weights(fr.GRU(3, 5))]
    [(3, 15), (5, 15), (2, 15)]

    With Keras, for a layer that is built:

    >>> keras_layer.set_weights(fr.interop.to_keras_weights(rnn))  # doctest: +SKIP
    """
    if isinstance(layer, Sequential):
        return [array for part in layer.parts.values() for array in to_keras_weights(part)]
    if isinstance(layer, Stack):
        if layer.connect != "plain":
            raise ValueError(f"layer: expected a plain Stack, got connect={layer.connect!r}")
        return [array for part in layer.layers for array in to_keras_weights(part)]
    if isinstance(layer, Head):
        return [array for part in (*layer.hidden, layer.output) for array in to_keras_weights(part)]
    if isinstance(layer, Embedding):
        return [layer.parameters["weight"].copy()]
    if isinstance(layer, Linear):
        return [np.array(array.T, order="C") for array in layer.parameters.values()]
    if isinstance(layer, Activation):
        return []
    if type(layer) not in _ORDERS:
        raise TypeError(
            "layer: expected RNN, GRU, LSTM, Embedding, Linear, Head, Stack or Sequential, "
            f"got {type(layer).__name__}"
        )
    return _recurrent_weights(layer)


def _recurrent_weights(layer: Recurrent[Any]) -> list[Array]:
    for name, usual in _LACKING.items():
        if getattr(layer.options, name) != usual:
            raise ValueError(f"layer: expected one without {name}, which Keras's layers lack, got {layer!r}")
    result: list[Array] = []
    for index in range(layer.num_layers):
        for suffix in ("", "_reverse")[: layer.directions]:
            result += _direction_weights(layer, f"_l{index}{suffix}")
    return result


def _direction_weights(layer: Recurrent[Any], suffix: str) -> list[Array]:
    order, gates = _ORDERS[type(layer)], layer.gates

    def columns(array: Array) -> Array:  # [G*H, ...] -> [..., G*H]
        parts = np.split(array, gates)
        return np.array(np.concatenate([parts[one] for one in order]).T, order="C")

    found = {name: layer.parameters[name + suffix] for name in ("weight_ih", "weight_hh")}
    weights = [columns(array) for array in found.values()]
    if layer.bias:
        one, two = (columns(layer.parameters[name + suffix]) for name in ("bias_ih", "bias_hh"))
        if isinstance(layer, GRU) and layer.reset_after:
            weights.append(np.stack([one, two]))
        else:
            weights.append(np.where(two == 0, one, one + two))  # not a sum with zero: it has no negative zero
    return weights
