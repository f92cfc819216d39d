"""Recurrent layers described in plain values, from which a file can restore them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._checks import as_size
from fastrnn._plain import as_list, as_mapping
from fastrnn.layers.recurrent.gru import GRU
from fastrnn.layers.recurrent.jordan import Jordan
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.recurrent.lstm import LSTM
from fastrnn.layers.recurrent.minimal import MinGRU, MinLSTM
from fastrnn.layers.recurrent.options import CELLS
from fastrnn.layers.recurrent.rnn import RNN
from fastrnn.layers.recurrent.slstm import SLSTM
from fastrnn.layers.recurrent.spec import MOST_LAYERS, RecurrentSpec
from fastrnn.layers.stack.stack import Stack

if TYPE_CHECKING:
    from fastrnn._checks import Seed

__all__ = [
    "count_layers",
    "describe",
    "described_kind",
    "described_parts",
    "described_shapes",
    "from_description",
    "parts_of",
    "plain_value",
]

_CLASSES: dict[str, type[Recurrent[Any]]] = {
    layer._cell: layer for layer in (RNN, GRU, LSTM, SLSTM, MinGRU, MinLSTM, Jordan)
}
_KINDS = {cell.layer: _CLASSES[name] for name, cell in CELLS.items()}
_SIZES = ("input_size", "hidden_size")
_NAMED = (*_SIZES, "num_layers")
_COMMON: dict[str, Any] = {
    "bidirectional": False,
    "batch_first": False,
    "dropout": 0.0,
    "bias": True,
    "dtype": "float32",
    "precision": "float32",
}


def describe(rnn: Recurrent[Any] | Stack) -> dict[str, Any]:
    """Return a description of a layer or a stack in plain values, ready for ``json.dumps``.

    Of a quantized layer it is that of the layer before: what has no constructor is not described.

    Raises
    ------
    TypeError
        If it is not an RNN, GRU, LSTM, SLSTM, MinGRU, MinLSTM, Jordan or Stack.

    Examples
    --------
    >>> import fastrnn as fr
    >>> describe(fr.GRU(3, 5, num_layers=2, layer_norm=True))
    {'kind': 'GRU', 'input_size': 3, 'hidden_size': 5, 'num_layers': 2, 'layer_norm': True}
    """
    if isinstance(rnn, Stack):
        layers = [describe(layer) for layer in rnn.layers]
        return {"kind": "Stack", "layers": layers, "connect": rnn.connect, "dropout": rnn.dropout}
    kind = type(rnn).__name__
    if _KINDS.get(kind) is not type(rnn):
        raise TypeError(f"rnn: expected one of {', '.join(_KINDS)} or a Stack of them, got {kind}")
    options = {name: plain_value(value) for name, value, _ in rnn._options()}
    usual = {name: value for name, _, value in rnn._options()}
    given = {name: value for name, value in options.items() if value != usual[name]}
    if rnn.quantized:
        given.pop("precision", None)
    return {"kind": kind, **{name: getattr(rnn, name) for name in _sizes(kind)}, **given}


def from_description(description: Mapping[str, Any], seed: Seed = None) -> Recurrent[Any] | Stack:
    """Make the layer or stack that a description from `describe` specifies.

    Raises
    ------
    ValueError, TypeError
        If an entry is unknown, missing or wrong.
    """
    if described_kind(description) != "Stack":
        return _layer_from(description, seed)
    layers = [_layer_from(layer, seed) for layer in described_parts(description)]
    given = {name: value for name, value in description.items() if name not in ("kind", "layers")}
    return Stack(*layers, seed=seed, **given)


def described_shapes(description: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of each parameter that `from_description` would make, allocating nothing.

    Raises
    ------
    ValueError, TypeError
        As for `from_description`.
    """
    if described_kind(description) == "Stack":
        return {
            f"layer{index}.{name}": shape
            for index, layer in enumerate(described_parts(description))
            for name, shape in _layer_shapes(layer).items()
        }
    return _layer_shapes(description)


def _layer_from(description: Mapping[str, Any], seed: Seed) -> Recurrent[Any]:
    given = {name: _tuple(value) for name, value in description.items() if name != "kind"}
    return _layer_class(description.get("kind"))(**given, seed=seed)


def _layer_shapes(description: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    given = {name: value for name, value in description.items() if name != "kind"}
    cell = _layer_class(description.get("kind"))._cell
    missing = [name for name in _sizes(description["kind"]) if name not in given]
    if missing:
        raise ValueError(f"{description['kind']}: missing {', '.join(missing)}")
    sizes = (given["input_size"], given["hidden_size"], given.get("num_layers", 1))
    common = {name: given.get(name, usual) for name, usual in _COMMON.items()}
    options = {name: _tuple(value) for name, value in given.items() if name not in (*_NAMED, *_COMMON)}
    if cell == Jordan._cell:
        options = _jordan_options(options, given)
    return RecurrentSpec.of(cell, sizes, **common, options=options).parameter_shapes()


def count_layers(description: Mapping[str, Any]) -> int:
    """Return the number of layers; for a stack, the total over its layers.

    Raises
    ------
    ValueError, TypeError
        As for `from_description`, as far as this is what is read.
    """
    return sum(
        as_size("num_layers", part.get("num_layers", 1), most=MOST_LAYERS)
        for part in described_parts(description)
    )


def described_parts(description: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the description of a single layer, or of each layer of a stack, in a list.

    Raises
    ------
    ValueError, TypeError
        As for `from_description`, as far as this is what is read.
    """
    if described_kind(description) != "Stack":
        return [description]
    layers: list[Mapping[str, Any]] = as_list("layers", description.get("layers", ()), as_mapping)
    if not layers:
        raise ValueError("layers: expected at least one, got none")
    return layers


def described_kind(description: Mapping[str, Any]) -> str:
    """Return the class that is described.

    Raises
    ------
    ValueError, TypeError
        If it is not a mapping, or the class is not a layer's nor ``Stack``.
    """
    kind = as_mapping("rnn", description).get("kind")
    return "Stack" if kind == "Stack" else _layer_class(kind).__name__


def parts_of(rnn: Recurrent[Any] | Stack) -> list[Recurrent[Any]]:
    """Return a single layer, or the layers of a stack, in a list."""
    return list(rnn.layers) if isinstance(rnn, Stack) else [rnn]


def _sizes(kind: str) -> tuple[str, ...]:
    return (*_SIZES, "output_size") if kind == Jordan.__name__ else _SIZES


def _jordan_options(options: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a Jordan network by the names that they have in `CellOptions`."""
    for name in ("num_layers", "bidirectional", "dropout", "proj_size", "projection_activation"):
        if name in given:
            raise TypeError(f"{name}: not an option of this layer")
    renamed = {"output_size": "proj_size", "output_activation": "projection_activation"}
    as_size("output_size", options["output_size"])
    return {renamed.get(name, name): value for name, value in options.items()}


def _layer_class(kind: Any) -> type[Recurrent[Any]]:
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"kind: expected one of {', '.join(_KINDS)} or Stack, got {kind!r}")
    return _KINDS[kind]


def plain_value(value: Any) -> Any:
    """Return an option's value in a form that JSON can store."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
