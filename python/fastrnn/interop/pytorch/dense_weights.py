"""Linear layers and embeddings recognised by the names and shapes of their weights; what else it may be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array
from fastrnn.interop.pytorch.recurrent_weights import Misfit, RecurrentWeights

__all__ = ["Neighbours", "TiedWeights", "dense_weights", "neighbours"]

_EMBEDDING = re.compile(r"emb|wte|lookup|vectors|(^|[._])(encoder|tokens?|words?|chars?)$", re.IGNORECASE)
_LINEAR = re.compile(
    r"lin|dec|out|fc|proj|head|logit|dense|classif|hidden|att|(^|[._])(h2o|h2t|h2h|i2h|i2o|o2o)",
    re.IGNORECASE,
)
_PARAMETRISED = re.compile(r"_(g|v|orig|u)$|^original\d$")
_MOST_COMPARED = 8  # embeddings of equal first rows
_CONVOLUTIONS = {3: "Conv1d", 4: "Conv2d", 5: "Conv3d"}


class Neighbours(NamedTuple):
    """By width: the last place of a recurrent layer that reads it, and the first of one that returns it."""

    reads: dict[int, int]
    returns: dict[int, int]


def neighbours(places: Mapping[str, int], recurrent: Mapping[str, RecurrentWeights]) -> Neighbours:
    """Return where the recurrent layers are, by what they read and return."""
    found = Neighbours({}, {})
    for name, layer in recurrent.items():
        place, width = places[name], _output_width(layer.arguments)
        found.reads[layer.arguments["input_size"]] = place  # in ascending order
        found.returns.setdefault(width, place)
    return found


def dense_weights(
    name: str,
    tensors: Mapping[str, Array],
    place: int,
    around: Neighbours,
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
    around : Neighbours
        The recurrent layers.
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
        "Linear" if bias is not None else _linear_or_embedding(name, weight, place, around, notes)
    )
    if kind == "Embedding":
        if bias is not None:
            raise Misfit("an Embedding with a bias")
        return RecurrentWeights(
            kind, {"num_embeddings": weight.shape[0], "embedding_dim": weight.shape[1]}, dict(tensors)
        )
    sizes = {"in_features": weight.shape[1], "out_features": weight.shape[0], "bias": bias is not None}
    return RecurrentWeights("Linear", sizes, dict(tensors))


class TiedWeights:
    """The embeddings whose weight a linear layer may share."""

    def __init__(self, made: Mapping[str, RecurrentWeights], around: Neighbours) -> None:
        self._equal: dict[Any, list[tuple[str, Array]]] = {}
        self._by_rows: dict[int, list[str]] = {}
        for name, layer in made.items():
            if layer.kind == "Embedding":
                weight = layer.weights["weight"]
                self._equal.setdefault(_first_row(weight), []).append((name, weight))
                if weight.shape[1] in around.returns:
                    self._by_rows.setdefault(weight.shape[0], []).append(name)

    def of(self, weight: Array) -> str | None:
        """Return the embedding whose weight is this one, in memory or by its values."""
        for name, other in self._equal.get(_first_row(weight), ())[:_MOST_COMPARED]:
            if weight is other or np.array_equal(weight, other):
                return name
        return None

    def left_out(self, bias: Array) -> str | None:
        """Return the only embedding that a lone bias goes with, as where a file leaves out tied weights."""
        fit = self._by_rows.get(len(bias), []) if bias.ndim == 1 else []
        return fit[0] if len(fit) == 1 else None


def _first_row(weight: Array) -> tuple[Any, ...]:
    return weight.shape, weight[0].astype(np.complex128).tobytes()


def _linear_or_embedding(name: str, weight: Array, place: int, around: Neighbours, notes: list[str]) -> str:
    """Return what a matrix without a bias is: by its name, else by what reads it and its place."""
    width = weight.shape[1]
    if _EMBEDDING.search(name) and (width in around.reads or not _LINEAR.search(name)):
        return "Embedding"
    if _LINEAR.search(name):
        return "Linear"
    is_read = around.reads.get(width, -1) > place
    is_fed = around.returns.get(width, place) < place
    kind = "Embedding" if is_read and not is_fed else "Linear"
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
    if "parametrizations" in name or any(_PARAMETRISED.search(own) for own in names):
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
