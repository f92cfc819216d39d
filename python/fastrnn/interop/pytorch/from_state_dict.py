"""`from_state_dict`: layers made of a state dict, by the names and shapes of its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from fastrnn._arrays import Array, as_dtype
from fastrnn._checks import as_choice
from fastrnn._memory import check_memory
from fastrnn._plain import as_mapping
from fastrnn.interop.imported import Imported
from fastrnn.interop.layer_order import fitting_orders
from fastrnn.interop.pytorch.dense_weights import Neighbours, TiedWeights, dense_weights, neighbours
from fastrnn.interop.pytorch.found_state import Weight, find_state
from fastrnn.interop.pytorch.recurrent_weights import (
    Misfit,
    RecurrentWeights,
    is_recurrent,
    recurrent_weights,
    reordered,
)
from fastrnn.layers import GRU, LSTM, RNN, Embedding, Linear, Module

__all__ = ["from_state_dict"]

_CLASSES: dict[str, Any] = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM, "Linear": Linear, "Embedding": Embedding}
_UNNAMED = "RNN GRU LSTM Linear Embedding".split()
_MOST_NOTES = 1000


def from_state_dict(
    mapping: Mapping[Any, Any],
    *,
    dtype: Any = None,
    nonlinearity: str | Mapping[str, str] = "tanh",
    gate_order: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> Imported:
    """Make layers of a PyTorch state dict, by the names and shapes of its arrays.

    Finds ``nn.RNN``, ``GRU``, ``LSTM``, their cells (``nn.LSTMCell``, ...), ``Linear`` and ``Embedding``
    under any prefix, with all layers, directions, projections and without biases. A checkpoint that holds the
    state dict, as ``{"model": ..., "epoch": 3}``, will do. Dropout and ``batch_first`` leave no weights: the
    layers have neither.

    Parameters
    ----------
    mapping : mapping of str to array_like
        Arrays or tensors by name, as from `load_pt` or ``module.state_dict()``.
    dtype : {"float32", "float64"}, optional
        Of all layers. Default: float64 where a weight is float64, else float32; float16 and bfloat16 become
        float32, and ``notes`` says so.
    nonlinearity : {"tanh", "relu"} or mapping of str to these, default "tanh"
        Of RNNs, or of each by name: their weights do not say it. ``notes`` says what was assumed.
    gate_order : mapping of str to str, optional
        By layer, for weights whose gates are not in PyTorch's order, "ifgo" for LSTM and "rzn" for GRU:
        ``{"rnn": "ifog"}``. `Imported.check` finds it out.
    kinds : mapping of str to {"Embedding", "Linear"}, optional
        By layer, where a matrix without a bias is taken for the wrong one of the two.

    Returns
    -------
    imported : Imported
        ``layers``, by their names in the model; ``unplaced``, with a reason each; ``notes``; ``tied``. The
        only layer of a state dict without prefixes is named after its class: ``lstm``.

    Raises
    ------
    TypeError
        If it is not a mapping.
    ValueError
        If it holds no arrays, or an option names a layer that is not there.
    MemoryError
        If the layers do not fit into memory.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> lstm = fr.LSTM(3, 4, bidirectional=True)
    >>> state = {f"encoder.{name}": value for name, value in lstm.state_dict().items()}
    >>> state |= {"norm.weight": np.ones(8, np.float32), "norm.bias": np.zeros(8, np.float32)}
    >>> imported = fr.interop.from_state_dict({"model": state, "epoch": 3})
    >>> imported.layers
    {'encoder': LSTM(3, 4, bidirectional=True)}
    >>> imported.unplaced
    {'norm': 'a LayerNorm or GroupNorm, of its shapes: weight [8], bias [8]'}
    >>> imported.notes
    ["read 'model', left out epoch"]
    """
    options = _Options(dtype, nonlinearity, gate_order, kinds)
    found = find_state(mapping)
    groups = _grouped(found.weights)
    options.check_names(groups)
    imported = Imported(notes=found.notes)
    made = _recurrent(groups, options, imported)
    places = {name: place for place, name in enumerate(groups)}
    around = neighbours(places, made)
    for name, tensors in groups.items():
        if name in made or name in imported.unplaced:
            continue
        arrays = {own: weight.array for own, weight in tensors.items()}
        try:
            made[name] = dense_weights(name, arrays, places[name], around, options.kinds, imported.notes)
        except Misfit as reason:
            imported.unplaced[name] = str(reason)
    _place_tied(groups, made, around, imported)
    _build({name: made[name] for name in groups if name in made}, groups, options, imported)
    if not getattr(mapping, "ordered", True):
        _put_in_order(imported)
    _note_functions(imported)
    return imported


class _Options:
    """The options of an import, checked."""

    def __init__(self, dtype: Any, nonlinearity: Any, gate_order: Any, kinds: Any) -> None:
        self.dtype = None if dtype is None else as_dtype(dtype)
        self.gate_order = as_mapping("gate_order", gate_order or {})
        self.kinds = as_mapping("kinds", kinds or {})
        for name, kind in self.kinds.items():
            as_choice(f"kinds[{name!r}]", kind, ("Embedding", "Linear"))
        self.usual = nonlinearity if isinstance(nonlinearity, str) else "tanh"
        self.nonlinearity = {} if isinstance(nonlinearity, str) else as_mapping("nonlinearity", nonlinearity)
        for name in ("nonlinearity", *self.nonlinearity):
            as_choice("nonlinearity", self.nonlinearity.get(name, self.usual), ("tanh", "relu"))

    def check_names(self, groups: Mapping[str, Any]) -> None:
        """Check that every layer that an option names is there."""
        options = {"nonlinearity": self.nonlinearity, "gate_order": self.gate_order, "kinds": self.kinds}
        known = {*groups, *([kind.lower() for kind in _UNNAMED] if "" in groups else [])}
        for option, names in options.items():
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{option}: expected a name of {', '.join(groups) or 'layers'}, got {name!r}"
                    )

    def own(self, option: Mapping[str, str], name: str, kind: str) -> str | None:
        """Return an option of a layer, whose name is that of its class if it has none."""
        return option.get(name) or (option.get(kind.lower()) if not name else None)


def _grouped(weights: Mapping[str, Weight]) -> dict[str, dict[str, Weight]]:
    """Return the weights by module and by their names there."""
    groups: dict[str, dict[str, Weight]] = {}
    for full, weight in weights.items():
        module, _, name = full.rpartition(".")
        groups.setdefault(module, {})[name] = weight
    return groups


def _recurrent(
    groups: Mapping[str, dict[str, Weight]], options: _Options, imported: Imported
) -> dict[str, RecurrentWeights]:
    made: dict[str, RecurrentWeights] = {}
    for name, tensors in groups.items():
        if not is_recurrent(tensors):
            continue
        try:
            layer = recurrent_weights({own: weight.array for own, weight in tensors.items()})
        except Misfit as reason:
            imported.unplaced[name] = str(reason)
            continue
        order = options.own(options.gate_order, name, layer.kind)
        if order is not None:
            layer = layer._replace(weights=reordered(layer.kind, layer.weights, order))
            imported.notes.append(f"{name or layer.kind.lower()}: gates reordered from {order}")
        if layer.kind == "RNN":
            layer.arguments["nonlinearity"] = given = (
                options.own(options.nonlinearity, name, "RNN") or options.usual
            )
            if not options.own(options.nonlinearity, name, "RNN"):
                imported.notes.append(
                    f"{name or 'rnn'}: weights of an RNN do not say its activation, {given} is assumed; "
                    "check(inputs, outputs) tells"
                )
        made[name] = layer
    return made


def _place_tied(
    groups: Mapping[str, dict[str, Weight]],
    made: dict[str, RecurrentWeights],
    around: Neighbours,
    imported: Imported,
) -> None:
    """Find linear layers whose weight is an embedding's: shared, equal, or left out of the file."""
    embeddings = TiedWeights(made, around)
    for name in groups:
        layer = made.get(name)
        if layer is None and groups[name].keys() == {"bias"}:
            bias = groups[name]["bias"].array
            found = embeddings.left_out(bias)
            if found is not None:
                weight = made[found].weights["weight"]
                sizes = {"in_features": weight.shape[1], "out_features": weight.shape[0]}
                made[name] = RecurrentWeights("Linear", sizes, {"weight": weight, "bias": bias})
                del imported.unplaced[name]
                imported.tied[name] = found
                imported.notes.append(f"{name}: has no weight of its own, {found}'s is taken")
        elif layer is not None and layer.kind == "Linear":
            found = embeddings.of(layer.weights["weight"])
            if found is not None:
                imported.tied[name] = found
                imported.notes.append(f"{name}: its weight is {found}'s, they are tied")


def _build(
    made: Mapping[str, RecurrentWeights],
    groups: Mapping[str, dict[str, Weight]],
    options: _Options,
    imported: Imported,
) -> None:
    dtypes = {name: options.dtype or _dtype(layer.weights) for name, layer in made.items()}
    shapes = {
        f"{name}.{own}": value.shape for name, layer in made.items() for own, value in layer.weights.items()
    }
    check_memory("state_dict", shapes, "float64" if np.dtype("float64") in dtypes.values() else "float32")
    for name, layer in made.items():
        dtype = dtypes[name]
        try:
            built: Module = _CLASSES[layer.kind](**layer.arguments, dtype=dtype)
            built.load_state_dict(layer.weights)
        except (ValueError, TypeError) as error:
            imported.unplaced[name] = str(error)
            continue
        own_name = name or layer.kind.lower()
        while not name and own_name in groups:
            own_name += "_"
        imported.layers[own_name] = built
        for own, weight in groups[name].items():
            if weight.dtype != dtype.name and len(imported.notes) < _MOST_NOTES:
                full = f"{name}.{own}" if name else own
                imported.notes.append(f"{full}: {weight.dtype} became {dtype}")


def _put_in_order(imported: Imported) -> None:
    """Put the layers of a file without an order into the only one in which they fit together."""
    orders = fitting_orders(imported.layers)
    if len(orders) == 1 and orders[0] != tuple(imported.layers):
        imported.layers = {name: imported.layers[name] for name in orders[0]}
        imported.notes.append(f"the file keeps no order; only {', '.join(orders[0])} fit together")
    elif len(orders) > 1:
        imported.orders = tuple(orders)


def _note_functions(imported: Imported) -> None:
    """Say where a function without weights probably is: two linear maps in a row would be one."""
    for (first, one), (second, other) in pairwise(imported.layers.items()):
        dense = (
            isinstance(one, Linear) and isinstance(other, Linear) and one.out_features == other.in_features
        )
        if dense and len(imported.notes) < _MOST_NOTES:
            imported.notes.append(
                f"{first}, {second}: weights do not say which function is between them, none is assumed; "
                "check(inputs, outputs) tells, Sequential takes an Activation"
            )


def _dtype(weights: Mapping[str, Array]) -> np.dtype[Any]:
    return np.dtype("float64" if any(value.dtype == np.float64 for value in weights.values()) else "float32")
