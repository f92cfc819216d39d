"""Imported layers as a language model: an embedding, recurrent layers and a linear layer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastrnn.data import Vocabulary
from fastrnn.interop.layer_order import fit_together
from fastrnn.language import LanguageModel
from fastrnn.layers import GRU, RNN, Embedding, Linear, Recurrent, Stack

__all__ = ["language_model", "with_vocabulary"]

_FORM = "an Embedding (or none, for one-hot vectors), recurrent layers and a Linear, in this order"


def language_model(layers: Mapping[str, Any]) -> LanguageModel:
    """Return the language model that the layers are; see `Imported.to_language_model`.

    Raises
    ------
    ValueError
        If they are none.
    """
    embedding, rnns, output = _parts(layers)
    _check_widths(embedding, rnns, output)
    given, rnn = _layers(rnns)
    model = LanguageModel(
        output.out_features,
        embedding_size=None if embedding is None else embedding.embedding_dim,
        tied=_is_tied(embedding, output),
        dtype=output.dtype,
        **given,
    )
    state = {f"rnn.{name}": value for name, value in rnn.parameters.items()}
    state |= {} if embedding is None else {"embedding.weight": embedding.parameters["weight"]}
    state |= {f"output.{name}": value for name, value in output.parameters.items()}
    state.setdefault("output.bias", np.zeros(output.out_features, output.dtype))  # a model always has one
    model.load_state_dict({name: state[name] for name in model.parameters})
    return model


def with_vocabulary(model: LanguageModel, symbols: Any) -> Vocabulary:
    """Return the vocabulary of the symbols, which must be as many as the model's ids."""
    if not isinstance(symbols, Vocabulary):
        if isinstance(symbols, str) or not all(isinstance(symbol, str) for symbol in symbols):
            raise TypeError("vocabulary: expected a list of str, one for each id")
        level: Any = "char" if all(len(symbol) == 1 for symbol in symbols) else "word"
        symbols = Vocabulary(symbols, level=level)
    if len(symbols) != model.vocabulary_size:
        raise ValueError(f"vocabulary: expected {model.vocabulary_size} symbols, got {len(symbols)}")
    vocabulary: Vocabulary = symbols
    return vocabulary


def _parts(layers: Mapping[str, Any]) -> tuple[Embedding | None, dict[str, Recurrent[Any]], Linear]:
    embeddings = [layer for layer in layers.values() if isinstance(layer, Embedding)]
    outputs = [layer for layer in layers.values() if isinstance(layer, Linear)]
    rnns = {name: layer for name, layer in layers.items() if isinstance(layer, Recurrent)}
    others = len(layers) - len(embeddings) - len(outputs) - len(rnns)
    # Files without an order list the output anywhere; where the layers fit together, their order is meant.
    meant = fit_together(layers) and not isinstance([*layers.values()][-1], Linear)
    if len(embeddings) > 1 or len(outputs) != 1 or not rnns or others or meant:
        found = ", ".join(f"{name}: {layer!r}" for name, layer in layers.items())
        raise ValueError(f"layers: expected {_FORM}, got {found}")
    return embeddings[0] if embeddings else None, rnns, outputs[0]


def _check_widths(embedding: Embedding | None, rnns: dict[str, Recurrent[Any]], output: Linear) -> None:
    V = output.out_features
    before, width = ("the vocabulary", V) if embedding is None else ("the embedding", embedding.embedding_dim)
    if embedding is not None and embedding.num_embeddings != V:
        raise ValueError(
            f"layers: expected as many outputs as symbols, got {V} outputs and "
            f"{embedding.num_embeddings} symbols"
        )
    for name, rnn in rnns.items():
        if rnn.bidirectional:
            raise ValueError(
                f"{name}: expected one that runs forward, as it predicts what comes next, got {rnn!r}"
            )
        if rnn.input_size != width:
            raise ValueError(
                f"{name}: expected input_size {width}, the width of {before}, got {rnn.input_size}"
            )
        before, width = name, rnn.output_size
    if output.in_features != width:
        raise ValueError(
            f"layers: the output layer reads {output.in_features} numbers, {before} returns {width}"
        )
    dtypes = {layer.dtype for layer in (embedding, *rnns.values(), output) if layer is not None}
    if len(dtypes) > 1:
        raise ValueError("dtype: expected one for all layers; write from_state_dict(..., dtype='float32')")


def _layers(rnns: dict[str, Recurrent[Any]]) -> tuple[dict[str, Any], Recurrent[Any] | Stack]:
    """Return the settings of the recurrent layers, and the module with their weights."""
    if len(rnns) > 1:
        stack = Stack(*map(copy.deepcopy, rnns.values()), connect="plain")
        return {"rnn": stack}, stack
    (rnn,) = rnns.values()
    proj_size = rnn.output_size if rnn.output_size != rnn.hidden_size else 0
    options: dict[str, Any] = {**rnn._given, **({} if rnn.bias else {"bias": False})}
    options |= {"proj_size": proj_size} if proj_size else {}
    given = {"cell": type(rnn).__name__.lower(), "hidden_size": rnn.hidden_size, "num_layers": rnn.num_layers}
    given |= {"nonlinearity": rnn.nonlinearity} if isinstance(rnn, RNN) else {}
    given |= {"reset_after": rnn.reset_after} if isinstance(rnn, GRU) else {}
    return {**given, "cell_options": options or None}, rnn


def _is_tied(embedding: Embedding | None, output: Linear) -> bool:
    return embedding is not None and np.array_equal(
        embedding.parameters["weight"], output.parameters["weight"]
    )
