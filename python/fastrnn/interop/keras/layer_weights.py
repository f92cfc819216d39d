"""The weights of each layer in Keras's order, found in the two forms of files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from fastrnn._arrays import Array
from fastrnn.interop.keras.configuration import MODELS, LayerConfig, ModelConfig, layer_config, model_config
from fastrnn.interop.keras.hdf5_file import Group, Unreadable
from fastrnn.interop.keras.model_file import ModelFile, texts_of

__all__ = ["RECURRENT", "Weights", "stored_weights", "weights_by_layer"]

Weights: TypeAlias = list[Array | Unreadable]

#: The recurrent layers; their gates.
RECURRENT = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
_NORMALISATIONS = ("BatchNormalization", "LayerNormalization")


def weights_by_layer(file: ModelFile, model: ModelConfig) -> dict[str, Weights]:
    """Return the weights of all layers, by name; those within another model by ``model/layer``.

    Raises
    ------
    ValueError
        If a file without names of this model's layers has another number of layers with weights.
    """
    if not file.legacy:
        return dict(_numbered(_container(file.weights), model, ""))
    return _named(file.weights, model)


# --- numbered weights, in groups named after classes ---


def _container(group: Group | None) -> Group:
    found = group and (group.find("layers") or group.find("_layer_checkpoint_dependencies"))
    return found or Group()


def _numbered(container: Group, model: ModelConfig, prefix: str) -> Iterator[tuple[str, Weights]]:
    seen: dict[str, int] = {}
    for layer in model.layers:
        name = snake_case(layer.kind)
        number = seen[name] = seen.get(name, -1) + 1
        group = container.groups.get(f"{name}_{number}" if number else name, Group())
        if layer.kind in MODELS:
            yield from _numbered(_container(group), inner_model(layer), f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, _variables(layer, group)


def _variables(layer: LayerConfig, group: Group | None) -> Weights:
    if group is None:
        return []
    if layer.kind in RECURRENT:
        return stored_variables(group.find("cell"))
    if layer.kind == "Bidirectional":
        ways = [group.find(f"{way}_layer/cell") for way in ("forward", "backward")]
        return [array for way in ways for array in stored_variables(way)]
    if layer.kind == "TimeDistributed":
        return _variables(inner_layer(layer), group.find("layer"))
    return stored_variables(group)


def stored_variables(group: Group | None) -> Weights:
    """Return the numbered arrays of a layer, in order."""
    found = group and group.find("vars")
    if not found:
        return []
    numbers = sorted((name for name in found.arrays if re.fullmatch("[0-9]{1,6}", name)), key=int)
    return [found.arrays[name] for name in numbers]


def snake_case(name: str) -> str:
    """Return a class's name as groups are called: SimpleRNN is simple_rnn."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", re.sub(r"\W+", "", name))
    return words.lower()


# --- named weights ---


def stored_weights(group: Group) -> dict[str, Array | Unreadable]:
    """Return the arrays of a layer's group by the names that it lists.

    Raises
    ------
    ValueError
        If one is missing.
    """
    result: dict[str, Array | Unreadable] = {}
    for name in texts_of(group, "weight_names") or []:
        folder, _, own = name.rpartition("/")
        found = group.find(folder)
        if found is None or own not in found.arrays:
            raise ValueError(f"has no weight {name}, which it lists")
        result[name] = found.arrays[own]
    return result


def stored_layers(group: Group) -> dict[str, dict[str, Array | Unreadable]]:
    """Return the weights of each listed layer that has some.

    Raises
    ------
    ValueError
        If a layer or a weight is missing.
    """
    result: dict[str, dict[str, Array | Unreadable]] = {}
    for name in texts_of(group, "layer_names") or []:
        found = group.find(name)
        if found is None:
            raise ValueError(f"has no weights of {name}, which it lists")
        weights = stored_weights(found)
        if weights:
            result[name] = weights
    return result


def _named(group: Group, model: ModelConfig) -> dict[str, Weights]:
    stored = {name: list(weights.values()) for name, weights in stored_layers(group).items()}
    known = {layer.name: layer for layer in model.layers}
    if stored.keys() <= known.keys():
        found = {name: stored.get(name, []) for name in known}
    else:  # the names of another instance of this model; Keras goes by the order then, too
        ours = [layer for layer in model.layers if sum(weight_counts(layer))]
        if len(ours) != len(stored):
            raise ValueError(
                f"has weights of {len(stored)} layers, {', '.join(stored)}; the model has {len(ours)} with "
                f"weights, {', '.join(layer.name for layer in ours)}"
            )
        found = {layer.name: own for layer, own in zip(ours, stored.values(), strict=True)}
        found = {name: found.get(name, []) for name in known}
    result: dict[str, Weights] = {}
    for name, layer in known.items():
        if layer.kind in MODELS:
            trained = sum(weight_counts(inner)[0] for inner in _all_layers(inner_model(layer)))
            parts = iter(found[name][:trained]), iter(found[name][trained:])
            result |= dict(_divided(inner_model(layer), parts, f"{name}/"))
        else:
            result[name] = found[name]
    return result


def _divided(
    model: ModelConfig, parts: tuple[Iterator[Any], Iterator[Any]], prefix: str
) -> Iterator[tuple[str, Weights]]:
    """Yield the weights of a model within a model: all that are trained come first."""
    for layer in model.layers:
        if layer.kind in MODELS:
            yield from _divided(inner_model(layer), parts, f"{prefix}{layer.name}/")
            continue
        counts = weight_counts(layer)
        yield (
            prefix + layer.name,
            [one for part, count in zip(parts, counts, strict=True) for one in _first(part, count)],
        )


def _first(part: Iterator[Any], count: int) -> list[Any]:
    return [one for _, one in zip(range(count), part, strict=False)]


def _all_layers(model: ModelConfig) -> Iterator[LayerConfig]:
    for layer in model.layers:
        if layer.kind in MODELS:
            yield from _all_layers(inner_model(layer))
        else:
            yield layer


def weight_counts(layer: LayerConfig) -> Sequence[int]:
    """Return how many trained and how many other weights a layer has; of an unknown one, (1, 0)."""
    config = layer.config
    bias = 1 if config.get("use_bias", True) else 0
    affine = sum(1 for name in ("center", "scale") if config.get(name, True))
    if layer.kind in RECURRENT:
        return 2 + bias, 0
    if layer.kind == "Bidirectional":
        return 2 * weight_counts(inner_layer(layer))[0], 0
    if layer.kind == "TimeDistributed":
        return weight_counts(inner_layer(layer))
    if layer.kind in MODELS:
        counts = [weight_counts(inner) for inner in _all_layers(inner_model(layer))]
        return sum(one for one, _ in counts), sum(other for _, other in counts)
    if layer.kind in _NORMALISATIONS:
        return affine, 2 if layer.kind == "BatchNormalization" else 0
    return {"Dense": 1 + bias, "Embedding": 1}.get(layer.kind, 1 if layer.custom else 0), 0


def inner_layer(layer: LayerConfig, key: str = "layer") -> LayerConfig:
    """Return the layer that a wrapper holds.

    Raises
    ------
    TypeError, ValueError
        If its description is none.
    """
    return layer_config(f"{layer.name}.{key}", layer.config.get(key))


def inner_model(layer: LayerConfig) -> ModelConfig:
    """Return the model that is a layer."""
    return model_config(layer.name, {"class_name": layer.kind, "config": layer.config})
