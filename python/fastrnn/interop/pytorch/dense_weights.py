"""Linear layers and embeddings recognised by the names and shapes of their weights; what else it may be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn.interop.pytorch.recurrent_weights import Misfit, RecurrentWeights

__all__ = ["dense_weights", "same_values", "tied_weight"]

_EMBEDDING = re.compile(r"emb|wte|lookup|vectors|(^|[._])(encoder|tokens?|words?|chars?)$", re.IGNORECASE)
_LINEAR = re.compile(
    r"lin|dec|out|fc|proj|head|logit|dense|classif|hidden|att|(^|[._])(h2o|h2t|h2h|i2h|i2o|o2o)",
    re.IGNORECASE,
)
_CONVOLUTIONS = {3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}


def dense_weights(
    name: str,
    tensors: Mapping[str, Array],
    place: int,
    recurrent: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, str],
    notes: list[str],
) -> RecurrentWeights:
    """Return what the weights of an ``nn.Linear`` or ``nn.Embedding`` say.

    Parameters
    ----------
    name : str
        Of the module.
    tensors : mapping of str to ndarray
        By their local names.
    place : int
        Of the module in the state dict.
    recurrent : sequence of mappings
        The arguments of the recurrent layers, and the ``place`` of each.
    kinds : mapping of str to {"Embedding", "Linear"}
        What users say.
    notes : list of str
        Gets a sentence if a kind was guessed.

    Raises
    ------
    Misfit
        If it is neither; the message says what it may be.
    """
    weight, bias = tensors.get("weight"), tensors.get("bias")
    fits = (
        weight is not None
        and weight.ndim == 2
        and 0 not in weight.shape
        and tensors.keys() <= {"weight", "bias"}
    )
    if not fits or (bias is not None and weight is not None and bias.shape != weight.shape[:1]):
        raise Misfit(_guess(name, tensors))
    assert weight is not None
    kind = kinds.get(name or "linear") or (
        "Linear" if bias is not None else _linear_or_embedding(name, weight, place, recurrent, notes)
    )
    if kind == "Embedding":
        if bias is not None:
            raise Misfit("an Embedding with a bias")
        return RecurrentWeights(
            kind, {"num_embeddings": weight.shape[0], "embedding_dim": weight.shape[1]}, dict(tensors)
        )
    sizes = {"in_features": weight.shape[1], "out_features": weight.shape[0], "bias": bias is not None}
    return RecurrentWeights("Linear", sizes, dict(tensors))


def tied_weight(
    bias: Array, embeddings: Mapping[str, RecurrentWeights], made: Mapping[str, Any]
) -> str | None:
    """Return the embedding whose weight a lone bias goes with, as where a file leaves out tied weights."""
    widths = {_output_width(layer.arguments) for layer in made.values() if "hidden_size" in layer.arguments}
    shapes = {name: layer.weights["weight"].shape for name, layer in embeddings.items()}
    fit = [name for name, (rows, width) in shapes.items() if bias.shape == (rows,) and width in widths]
    return fit[0] if len(fit) == 1 else None


def same_values(one: Array, other: Array) -> bool:
    """Return whether two matrices are one in memory, or equal."""
    return one is other or (
        one.shape == other.shape and np.array_equal(one[:1], other[:1]) and np.array_equal(one, other)
    )


def _linear_or_embedding(
    name: str, weight: Array, place: int, recurrent: Sequence[Mapping[str, Any]], notes: list[str]
) -> str:
    """Return what a matrix without a bias is: by its name, else by what reads it and its place."""
    width = weight.shape[1]
    read = [layer for layer in recurrent if layer["input_size"] == width]
    if _EMBEDDING.search(name) and not (_LINEAR.search(name) and not read):
        return "Embedding"
    if _LINEAR.search(name):
        return "Linear"
    follows = any(layer["place"] > place for layer in read)
    follows_none = any(_output_width(layer) == width and layer["place"] < place for layer in recurrent)
    kind = "Embedding" if follows and not follows_none else "Linear"
    other = "Linear" if kind == "Embedding" else "Embedding"
    notes.append(
        f"{name or 'linear'}: a matrix without a bias is taken for {kind}; if it is not, write "
        f"kinds={{{name or 'linear'!r}: {other!r}}}"
    )
    return kind


def _output_width(arguments: Mapping[str, Any]) -> int:
    width = int(arguments.get("proj_size") or arguments["hidden_size"])
    return 2 * width if arguments.get("bidirectional") else width


def _guess(name: str, tensors: Mapping[str, Array]) -> str:
    """Return what a module may be."""
    shapes = ", ".join(f"{own} {list(value.shape)}" for own, value in [*tensors.items()][:6])
    names, weight = set(tensors), tensors.get("weight")
    if "running_mean" in names:
        return f"a BatchNorm, of its names: {shapes}"
    if names & {"in_proj_weight", "q_proj_weight", "in_proj_bias"}:
        return f"a MultiheadAttention, of its names: {shapes}"
    if "weight_g" in names or "original0" in names or "parametrizations" in name:
        return f"a weight with a parametrisation ({shapes}); remove it in PyTorch before saving"
    if names & {"_packed_params", "scale", "zero_point"}:
        return f"a quantised module: {shapes}"
    if weight is None:
        return f"no layer that fastrnn knows by these names: {shapes}"
    if weight.ndim == 1:
        return f"a LayerNorm or GroupNorm, of its shapes: {shapes}"
    if weight.ndim in _CONVOLUTIONS:
        return f"a {_CONVOLUTIONS[weight.ndim]}, of its shapes: {shapes}"
    return f"neither a Linear nor an Embedding, of its shapes: {shapes}"
