"""Layers of files of weights alone, found by names and shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fastrnn._arrays import Array
from fastrnn.interop.keras.activations import Unsupported
from fastrnn.interop.keras.configuration import LayerConfig
from fastrnn.interop.keras.hdf5_file import Group, Unreadable
from fastrnn.interop.keras.layer_weights import Weights, stored_layers, stored_variables
from fastrnn.interop.keras.model_file import ModelFile
from fastrnn.interop.keras.operation import Built, Operation
from fastrnn.interop.keras.other_layers import dense, embedding
from fastrnn.interop.keras.recurrent_layers import bidirectional, recurrence

__all__ = ["layers_by_names"]

_KINDS = {1: "SimpleRNN", 3: "GRU", 4: "LSTM"}
_ASSUMED = "activations and other settings are not in a file of weights; the usual ones are assumed"
_DEEPEST = 16


def layers_by_names(file: ModelFile, built: Built) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the layers that are certain, and the reasons of the others, by name.

    Raises
    ------
    ValueError
        If nothing is found.
    """
    found = _of_names(file.weights) if file.legacy else _of_numbers(file.weights, "", 0)
    modules: dict[str, Any] = {}
    unplaced: dict[str, str] = {}
    for name, kind, weights in found:
        try:
            modules[name] = _operation(name, kind, weights, built).module
        except Unsupported as reason:
            unplaced[name] = str(reason)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{name}: {error}") from None
    if not modules:
        others = "; ".join(f"{name} {reason}" for name, reason in unplaced.items())
        raise ValueError(f"no layer found by names and shapes ({others or 'no weights'}); pass config=")
    built.note(_ASSUMED)
    return modules, unplaced


def _of_names(group: Group) -> Iterator[tuple[str, str, Weights]]:
    """Yield name, kind and weights of each layer of a file that names weights."""
    for layer, weights in stored_layers(group).items():
        own = [re.sub(r":\d+$", "", name).rpartition("/")[2] for name in weights]
        arrays = list(weights.values())
        if own in (["kernel", "recurrent_kernel"], ["kernel", "recurrent_kernel", "bias"]):
            yield layer, "recurrent", arrays
        elif own and own == [*own[: len(own) // 2]] * 2 and own[1] == "recurrent_kernel":
            yield layer, "bidirectional", arrays
        elif own in (["kernel"], ["kernel", "bias"]):
            yield layer, "dense", arrays
        else:
            yield layer, "embedding" if own == ["embeddings"] else f"has {', '.join(own)}", arrays


def _of_numbers(group: Group, prefix: str, depth: int) -> Iterator[tuple[str, str, Weights]]:
    """Yield name, kind and weights of each layer of a file that names groups after classes."""
    if depth > _DEEPEST:
        return
    container = group.find("layers") or group.find("_layer_checkpoint_dependencies") or Group()
    for member, own in container.groups.items():
        variables = own.find("vars")
        given = variables.attributes.get("name") if variables else None
        name = prefix + (given if isinstance(given, str) and given else member)
        if own.find("layers") or own.find("_layer_checkpoint_dependencies"):
            yield from _of_numbers(own, f"{name}/", depth + 1)
        elif own.find("forward_layer"):
            ways = [stored_variables(own.find(f"{way}_layer/cell")) for way in ("forward", "backward")]
            yield name, "bidirectional", [*ways[0], *ways[1]]
        elif stored_variables(own.find("cell")):
            yield name, "recurrent", stored_variables(own.find("cell"))
        else:
            kind = re.sub(r"_\d+$", "", member)
            inner = own.find("layer") if kind == "time_distributed" else None
            arrays = stored_variables(inner or own)
            if arrays:
                kinds = ("dense", "embedding") if not inner else ("time_distributed",)
                sure = kind in kinds and (kind != "time_distributed" or len(arrays) == 2)
                yield name, {"time_distributed": "dense"}.get(kind, kind) if sure else f"is a {kind}", arrays


def _operation(name: str, kind: str, weights: Weights, built: Built) -> Operation:
    for array in weights:
        if isinstance(array, Unreadable):
            raise Unsupported(str(array))
    arrays: list[Array] = [array for array in weights if not isinstance(array, Unreadable)]
    if kind == "dense":
        return dense(LayerConfig(name, "Dense", {"use_bias": len(arrays) > 1}), weights, built)
    if kind == "embedding":
        return embedding(LayerConfig(name, "Embedding", {}), weights, built)
    if kind not in ("recurrent", "bidirectional"):
        raise Unsupported(f"{kind}; what it does is not certain without config=")
    each = len(arrays) // (2 if kind == "bidirectional" else 1)
    recurrent = arrays[1] if len(arrays) > 1 else arrays[0]
    gates = recurrent.shape[1] / max(recurrent.shape[0], 1) if recurrent.ndim == 2 else 0
    if gates not in _KINDS or each not in (2, 3):
        raise Unsupported(f"has {len(arrays)} weights, of which the second is {list(recurrent.shape)}")
    config = {"name": name, "units": recurrent.shape[0], "use_bias": each == 3}
    if gates == 3:
        config["reset_after"] = each == 2 or arrays[2].ndim == 2
        if each == 2:
            built.note(f"{name}: reset_after is assumed to be True, as there is no bias to tell")
    if kind == "recurrent":
        return recurrence(LayerConfig(name, _KINDS[int(gates)], config), weights, built)
    inner = {"class_name": _KINDS[int(gates)], "config": config}
    return bidirectional(LayerConfig(name, "Bidirectional", {"layer": inner}), weights, built)
