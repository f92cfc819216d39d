"""The description of a model: its layers, and which output each reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from fastrnn._plain import as_is, as_list, as_mapping, as_text

__all__ = ["MODELS", "Call", "LayerConfig", "ModelConfig", "Reference", "layer_config", "model_config"]

MODELS = ("Sequential", "Functional", "Model")
_OWN_MODULES = ("keras", "tf_keras")
_DEEPEST = 16
#: Operations on masks, which Keras 3 lists among the layers.
MASK_OPERATIONS = ("NotEqual", "Any", "ExpandDims", "ZerosLike", "LogicalOr", "LogicalAnd", "Concatenate")


class Reference(NamedTuple):
    """An output: of which layer, of which of its calls, and which one."""

    layer: str
    call: int
    output: int


class Call(NamedTuple):
    """What a call of a layer reads.

    Attributes
    ----------
    inputs : list of Reference
        Its arguments, and after them an initial state.
    masks : list of (Reference or None)
        The masks of its first arguments that it is given; others come with the arguments.
    constant : object
        A number that is an argument; None: there is none.
    """

    inputs: list[Reference]
    masks: list[Reference | None] = []  # noqa: RUF012, it is never written to
    constant: Any = None


@dataclass
class LayerConfig:
    """A layer of a model.

    Attributes
    ----------
    name, kind : str
        Its own name and its class's.
    config : dict
    calls : list of Call
    custom : str
        Why its class is none of Keras's own; "" if it is.
    """

    name: str
    kind: str
    config: dict[str, Any]
    calls: list[Call] = field(default_factory=list)
    custom: str = ""


@dataclass
class ModelConfig:
    """A model: its layers in order, and its inputs and outputs.

    Attributes
    ----------
    faults : dict of str to str
        What cannot be run, by the name of the layer.
    """

    name: str
    layers: list[LayerConfig]
    inputs: list[Reference]
    outputs: list[Reference]
    faults: dict[str, str] = field(default_factory=dict)


def layer_config(where: str, value: Any) -> LayerConfig:
    """Read the description of one layer.

    Raises
    ------
    TypeError, ValueError
        If it has not the form of one.
    """
    given = as_mapping(where, value)
    kind = as_text(f"{where}.class_name", given.get("class_name"))
    config = as_mapping(f"{where}.config", given.get("config"))
    name = as_text(f"{where}.name", given.get("name", config.get("name")))
    if not name or "/" in name or not name.isprintable():
        raise ValueError(f"{where}.name: expected the name of a layer, got {name!r}")
    layer = LayerConfig(name, kind, config)
    module, registered = given.get("module"), given.get("registered_name")
    if isinstance(module, str) and module.split(".")[0] not in _OWN_MODULES:
        layer.custom = f"is of a class of its own, {module}.{kind}"
    elif isinstance(module, str) and ".ops." in module and kind not in MASK_OPERATIONS:
        layer.custom = f"is the operation {kind}, not a layer"
    elif isinstance(registered, str) and registered not in (kind, f"Keras>{kind}"):
        layer.custom = f"is of a class of its own, {registered}"
    elif ">" in kind:
        layer.custom = f"is of a class of its own, {kind}"
    return layer


def model_config(where: str, value: Any, depth: int = 0) -> ModelConfig:
    """Read the description of a model.

    Raises
    ------
    TypeError, ValueError
        If it has not the form of one.
    """
    if depth > _DEEPEST:
        raise ValueError(f"{where}: nested deeper than {_DEEPEST} models")
    given = as_mapping(where, value)
    kind = as_text(f"{where}.class_name", given.get("class_name"))
    if kind not in MODELS:
        raise ValueError(
            f"{where}: expected a Sequential or functional model, got {kind}, whose code is not in the file; "
            "build it from layers, or save the weights and pass config="
        )
    config = given.get("config")
    if isinstance(config, list):  # as the first Keras 2 wrote it
        config = {"layers": config}
    config = as_mapping(f"{where}.config", config)
    name = as_text(f"{where}.name", config.get("name", "model"))
    listed = as_list(f"{where}.layers", config.get("layers"), as_is)
    layers = [layer_config(f"{where}.layers[{index}]", one) for index, one in enumerate(listed)]
    if len({layer.name for layer in layers}) < len(layers):
        raise ValueError(f"{where}.layers: expected different names")
    if not layers:
        raise ValueError(f"{where}.layers: expected at least one")
    if kind == "Sequential" or "output_layers" not in config:
        return _sequential(name, layers)
    faults: dict[str, str] = {}
    for layer, one in zip(layers, listed, strict=True):
        nodes = as_list(f"{layer.name}.inbound_nodes", one.get("inbound_nodes", []), as_is)
        layer.calls = [_call(layer.name, node, faults) for node in nodes]
        if layer.kind == "InputLayer":
            layer.calls = [Call([])]
    outputs = list(_references(config["output_layers"]))
    inputs = list(_references(config.get("input_layers")))
    model = ModelConfig(name, layers, inputs, outputs, faults)
    _check_references(where, model)
    _count_from_zero(model)
    return model


def _sequential(name: str, layers: list[LayerConfig]) -> ModelConfig:
    if layers[0].kind != "InputLayer":
        layers.insert(0, LayerConfig("the input", "InputLayer", {}))
    layers[0].calls = [Call([])]
    for before, layer in pairwise(layers):
        layer.calls = [Call([Reference(before.name, 0, 0)])]
    ends = [Reference(layers[0].name, 0, 0)], [Reference(layers[-1].name, 0, 0)]
    return ModelConfig(name, layers, *ends)


def _call(name: str, node: Any, faults: dict[str, str]) -> Call:
    constant = None
    if not isinstance(node, dict):  # Keras 2
        entries = node if isinstance(node, list) else []
        if len(entries) > 1 and isinstance(entries[0], str):
            entries = [entries]
        given: Any = [entry[3] for entry in entries if isinstance(entry, list) and len(entry) > 3]
        options: Any = given[0] if given and isinstance(given[0], dict) else {}
        read = [one for entry in entries for one in _references(entry[:3] if isinstance(entry, list) else 0)]
    else:
        options = node.get("kwargs") if isinstance(node.get("kwargs"), dict) else {}
        given = node.get("args")
        read = list(_references(given))
        if isinstance(given, list) and len(given) == 2 and type(given[1]) in (int, float):
            constant = given[1]
    read += list(_references(options.get("initial_state")))
    mask = options.get("mask")
    masks = [next(_references(one), None) for one in (mask if isinstance(mask, list) else [mask])]
    for option, value in options.items():
        known = option in ("initial_state", "mask") or (option == "training" and not value)
        if value is not None and not known:
            faults[name] = f"is called with {option}, which is not run here"
    return Call(read, masks if any(masks) else [], constant)


def _is_reference(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and all(type(number) is int for number in value[1:])
    )


def _references(value: Any, depth: int = 0) -> Iterator[Reference]:
    """Yield every output that a structure of lists and mappings names."""
    if depth > _DEEPEST:
        raise ValueError("inbound_nodes: nested too deep")
    if _is_reference(value):
        yield Reference(*value)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one, depth + 1)
    elif isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            yield from _references(
                config.get("keras_history") if isinstance(config, dict) else None, depth + 1
            )
        else:
            for one in value.values():
                yield from _references(one, depth + 1)


def _count_from_zero(model: ModelConfig) -> None:
    """Let the calls of each layer count from 0: Keras 2 counts one that made a model within the model."""
    most = {layer.name: 0 for layer in model.layers}
    for one in [*_all_read(model), *model.outputs]:
        most[one.layer] = max(most[one.layer], one.call + 1)
    shifts = {layer.name: max(0, most[layer.name] - len(layer.calls)) for layer in model.layers}

    def moved(one: Reference) -> Reference:
        return one._replace(call=one.call - shifts[one.layer])

    for layer in model.layers:
        layer.calls = [
            call._replace(inputs=[*map(moved, call.inputs)], masks=[one and moved(one) for one in call.masks])
            for call in layer.calls
        ]
    model.outputs = [*map(moved, model.outputs)]


def _all_read(model: ModelConfig) -> list[Reference]:
    calls = [call for layer in model.layers for call in layer.calls]
    return [one for call in calls for one in (*call.inputs, *filter(None, call.masks))]


def _check_references(where: str, model: ModelConfig) -> None:
    known = {layer.name: len(layer.calls) for layer in model.layers}
    for one in [*_all_read(model), *model.inputs, *model.outputs]:
        if one.layer not in known:
            raise ValueError(f"{where}: reads from a layer {one.layer!r} that it does not have")
        if not one.call >= 0 or not one.output >= 0:
            raise ValueError(f"{where}: reads output {one.output} of call {one.call} of {one.layer}")
    if not model.outputs or not model.inputs:
        raise ValueError(f"{where}: expected inputs and outputs")
