"""Layers and models written as ONNX files, with any number of steps and rows."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._checks import as_choice, as_flag, as_size
from fastrnn._version import __version__
from fastrnn.files.atomic_files import write_atomically
from fastrnn.interop.onnx.library import onnx_library
from fastrnn.interop.onnx.writing_graph import GraphWriter
from fastrnn.interop.onnx.writing_layers import (
    StatePorts,
    write_attention,
    write_chain,
    write_dense,
    write_layers,
    write_output,
)
from fastrnn.interop.onnx.writing_models import MODELS, TaskOptions
from fastrnn.interop.onnx.writing_recurrent import Batch
from fastrnn.language.language_model import LanguageModel
from fastrnn.language.length_outputs import HaltOutput, LengthOutput
from fastrnn.language.vocabulary_match import check_vocabulary
from fastrnn.layers import (
    Activation,
    AdaptiveSoftmax,
    AttentionPooling,
    Composite,
    Embedding,
    Head,
    Linear,
    Recurrent,
    Stack,
)
from fastrnn.layers.composite.composite import chain_of
from fastrnn.layers.description import parts_of
from fastrnn.models import Seq2Seq

if TYPE_CHECKING:
    from fastrnn.data.vocabulary import Vocabulary

__all__ = ["save_onnx"]

OLDEST_OPSET = 13
_LARGEST = 2**31 - 1  # bytes of a message of protocol buffers


def save_onnx(
    path: str | os.PathLike[str],
    model: Any,
    *,
    opset: int = 17,
    state: bool | None = None,
    lengths: bool | None = None,
    ids: bool = False,
    vocabulary: Vocabulary | None = None,
    part: str | None = None,
) -> None:
    """Write a layer or model as an ONNX file, atomically. Needs the extra ``onnx``.

    The numbers of steps and of rows may differ from run to run. Layers for which ONNX's RNN, GRU and LSTM
    suffice become these nodes; all others, and those in float64, which these nodes of ONNX Runtime have not,
    become a Scan over the equations of their cell. Dropout of any kind is left out, zoneout is its expected
    value, as in a call.

    Parameters
    ----------
    path : path-like
    model : Module or a model with ``fit``
        A recurrent layer, `Stack`, `Sequential`, `LanguageModel`; `Embedding`, `Linear`, `Head`,
        `Activation`, `AttentionPooling`; or a fitted `SequenceClassifier`, `SequenceRegressor`,
        `SequenceTagger`, `Transcriber`, `Forecaster`, `Seq2Seq` or `EchoStateNetwork`.
    opset : int, default 17
        The version of ONNX's operators, at least 13. ONNX Runtime 1.15 and later run 17.
    state : bool, optional
        Whether the state is an input (``h_0``, ``c_0``, ``past_0``) and an output (``h_n``, ...), so that a
        program can go on where the last run ended; with several recurrent layers, names begin with the
        layer's. Default: where there is no reverse direction; of the models with ``fit``, an
        `EchoStateNetwork` alone has it. Without it each run starts from zero or the learned state.
    lengths : bool, optional
        Whether there is an input ``lengths``, int64 [N], the steps of each row: rows may then be padded.
        Default: for models with ``fit`` that read whole sequences.
    ids : bool, default False
        For recurrent layers, stacks and chains that begin with one: whether the input is ids, which stand
        for one-hot vectors.
    vocabulary : Vocabulary, optional
        Of a `LanguageModel`; it is kept in the file's metadata.
    part : {"encoder", "decoder"}, optional
        Of a `Seq2Seq`, which takes two files: the outputs of the encoder are inputs of the decoder, which a
        program runs step by step, the state and with input feeding ``fed_n`` going from one to the next.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    ValueError
        If an option contradicts the model, the model has a part that is not written, or the file would be
        larger than the format allows; an existing file stays as it was.
    TypeError
        If `model` is of another kind.
    OSError
        If the file cannot be written; an existing file stays as it was.

    Notes
    -----
    Inputs are ``ids``, int64 [T, N], or ``x``, float [T, N, D]; with ``batch_first`` layers [N, T] and
    [N, T, D]. The output of layers is ``y``, of a `LanguageModel` ``logits`` (``log_probabilities`` of an
    adaptive softmax); layers with a ``context_size`` read ``context``, [T, N, C], or with T = 1 one for all
    steps. Models with ``fit`` take features in their own unit and write what their ``predict_proba`` or
    ``predict`` returns; symbols and classes are in the metadata, one key ``fastrnn``, as JSON. A CRF's search
    stays with the program: its scores are there too. An id of -1 is a vector of zeros, as everywhere.

    Examples
    --------
    >>> import fastrnn as fr
    >>> net = fr.Sequential(fr.Embedding(50, 16), fr.LSTM(16, 32), fr.Linear(32, 50))
    >>> fr.interop.save_onnx("net.onnx", net)  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("net.onnx")  # doctest: +SKIP
    >>> y, h, c = session.run(None, {"ids": ids, "h_0": h, "c_0": c})  # doctest: +SKIP
    """
    # Before anything is made: a missing library is the first thing to know.
    onnx = onnx_library()
    as_size("opset", opset, least=OLDEST_OPSET, most=onnx.defs.onnx_opset_version())
    options = {
        "state": None if state is None else as_flag("state", state),
        "lengths": None if lengths is None else as_flag("lengths", lengths),
        "ids": as_flag("ids", ids),
        "part": None if part is None else as_choice("part", part, ("encoder", "decoder")),
    }
    _check_kind(model)
    if part is not None and not isinstance(model, Seq2Seq):
        raise ValueError(f"part: expected None for a {type(model).__name__}")
    if vocabulary is not None and not isinstance(model, LanguageModel):
        raise ValueError(f"vocabulary: expected None for a {type(model).__name__}")
    network = getattr(model, "network_", model)
    graph = GraphWriter(network.dtype, opset)
    if _fitted_kind(model) is not None:
        description = _task(graph, model, options)
    elif isinstance(model, LanguageModel):
        description = _language_model(graph, model, options, vocabulary)
    else:
        description = _layers(graph, model, options)
    content = _content(onnx, graph, type(model).__name__, description)
    write_atomically(path, content)


_LAYERS = (Recurrent, Stack, Composite, Embedding, Linear, Head, Activation, AttentionPooling)


def _fitted_kind(model: Any) -> type[Any] | None:
    """Return which of the models with ``fit`` that are written this is."""
    return next((kind for kind in MODELS if isinstance(model, kind)), None)


def _check_kind(model: Any) -> None:
    """Refuse what is not written, with what to do instead."""
    kind = type(model)
    if _fitted_kind(model) is not None:
        model._check_fitted("save_onnx")
        return
    if isinstance(model, (LanguageModel, *_LAYERS)):
        return
    if kind.__module__.startswith("fastrnn.models."):
        named = ", ".join(one.__name__ for one in MODELS)
        raise ValueError(
            f"model: {kind.__name__} cannot be written as ONNX, of the models with fit only {named}; "
            "write its recurrent layers alone"
        )
    known = [one.__name__ for one in (*_LAYERS, LanguageModel, *MODELS)]
    raise TypeError(f"model: expected one of {', '.join(known)}, got {kind.__name__}")


def _content(onnx: Any, graph: GraphWriter, kind: str, description: dict[str, Any]) -> bytes:
    """Return the file's bytes, checked by the library."""
    helper = onnx_library("onnx.helper")
    size = sum(one.ByteSize() for one in graph.constants)
    if size > _LARGEST:
        raise ValueError(
            f"model: an ONNX file holds at most {_LARGEST:,} bytes, its parameters take {size:,}; "
            "use a smaller vocabulary or float32"
        )
    opsets = [helper.make_opsetid("", graph.opset)]
    message = helper.make_model(
        graph.graph(kind),
        producer_name="fastrnn",
        producer_version=__version__,
        opset_imports=opsets,
        # The oldest that has these operators, so that old runtimes read it: 8 for opset 17.
        ir_version=helper.find_min_ir_version_for(opsets),
    )
    described = {"package_version": __version__, "kind": kind, **description}
    helper.set_model_props(message, {"fastrnn": json.dumps(described, allow_nan=False)})
    onnx.checker.check_model(message)
    content: bytes = message.SerializeToString()
    return content


def _task(graph: GraphWriter, model: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Write a fitted model."""
    kind = _fitted_kind(model)
    assert kind is not None
    name = kind.__name__
    echo = name == "EchoStateNetwork"
    if options["state"] and not echo:
        raise ValueError(f"state: expected False or None for a {name}, which reads whole sequences")
    if options["ids"]:
        raise ValueError(f"ids: expected False for a {name}, which knows what it reads")
    padded = name not in ("Forecaster", "EchoStateNetwork")
    lengths = padded if options["lengths"] is None else options["lengths"]
    state = echo if options["state"] is None else options["state"]
    return MODELS[kind](graph, model, TaskOptions(lengths, options["part"], state))


def _has_reverse(layers: list[Recurrent[Any]]) -> bool:
    return any(layer.directions == 2 or layer.options.reverse for layer in layers)


def _ports(graph: GraphWriter, layers: list[Recurrent[Any]], options: dict[str, Any]) -> StatePorts:
    wanted = options["state"]
    wanted = bool(layers) and not _has_reverse(layers) if wanted is None else wanted
    if wanted and not layers:
        raise ValueError("state: expected False or None, as no layer has a state")
    return StatePorts(graph, wanted, layers)


def _batch(
    graph: GraphWriter, x: str, axes: tuple[int, int], options: dict[str, Any], context_size: int
) -> Batch:
    """Declare the inputs besides x; `axes` are those of time and batch in x."""
    steps, rows = (graph.size(x, axis) for axis in axes)
    lengths = context = None
    if options["lengths"]:
        lengths = graph.input("lengths", np.int64, ["batch"], "steps of each row")
    if context_size:
        shape: list[int | str] = ["context_time", "batch", context_size]
        shape[axes[0]], shape[axes[1]] = "context_time", "batch"
        context = graph.input("context", graph.dtype, shape, "of each step, or of all")
        context = graph.swapped(context, 3) if axes[0] else context
    return Batch(steps, rows, lengths, context)


def _layers(graph: GraphWriter, model: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Write a layer, a stack or a chain."""
    chain = chain_of(model).layers if isinstance(model, Composite) else {}
    parts = [*chain.values()] or [model]
    recurrent = [part for part in parts if isinstance(part, (Recurrent, Stack))]
    layers = [layer for part in recurrent for layer in parts_of(part)]
    first, batch_first = parts[0], any(part.batch_first for part in recurrent)
    _check_ids(first, options["ids"])
    if options["lengths"] and not (layers or isinstance(model, AttentionPooling)):
        raise ValueError(
            f"lengths: expected False or None for a {type(model).__name__}, whose steps are apart"
        )
    ids = options["ids"] or isinstance(first, Embedding)
    axes: list[int | str] = ["batch", "time"] if batch_first else ["time", "batch"]
    if ids:
        x = graph.input("ids", np.int64, axes, "-1 is a vector of zeros")
    else:
        x = graph.input("x", graph.dtype, [*axes, _input_width(first)])
    context_size = max((layer.options.context_size for layer in layers), default=0)
    batch = _batch(graph, x, (1, 0) if batch_first else (0, 1), options, context_size)
    ports = _ports(graph, layers, options)
    if isinstance(model, AttentionPooling):
        pooled, weights = write_attention(graph, model, "", x, batch)
        graph.output("pooled", pooled, graph.dtype, ["batch", model.key_size])
        graph.output("weights", weights, graph.dtype, ["batch", "time"])
        return {"layer": repr(model)}
    x = graph.swapped(x, 2 if ids else 3) if batch_first else x
    if chain:
        y = write_chain(graph, chain, x, batch, ports, ids=options["ids"])
    elif isinstance(model, (Recurrent, Stack)):
        y, _ = write_layers(graph, model, "", x, batch, ports, ids=ids)
    else:
        y = write_dense(graph, model, "", x)
    y = graph.swapped(y, 3) if batch_first else y
    graph.output("y", y, graph.dtype, [*axes, _output_width(parts)])
    ports.write()
    return {"layer": repr(model)}


def _check_ids(first: Any, ids: bool) -> None:
    if not ids:
        return
    if not isinstance(first, (Recurrent, Stack)):
        raise ValueError(f"ids: expected False, as the first layer is a {type(first).__name__}")
    if isinstance(first, Stack) and first.connect == "dense":
        raise ValueError("ids: expected False, as connect='dense' concatenates the input with outputs")


def _input_width(part: Any) -> int | str:
    if isinstance(part, Head):
        width: int = part.description["in_features"]
        return width
    for name in ("input_size", "in_features", "key_size"):
        if hasattr(part, name):
            return int(getattr(part, name))
    return "width"


def _output_width(parts: list[Any]) -> int | str:
    """Return the width of the last part that has one: an activation has that of its input."""
    for part in reversed(parts):
        if isinstance(part, Head):
            return int(part.output.out_features)
        for name in ("output_size", "out_features", "embedding_dim"):
            if hasattr(part, name):
                return int(getattr(part, name))
    return "width"


def _language_model(
    graph: GraphWriter, model: LanguageModel, options: dict[str, Any], vocabulary: Vocabulary | None
) -> dict[str, Any]:
    """Write a language model."""
    if options["ids"]:
        raise ValueError("ids: expected False for a LanguageModel, which always reads ids")
    if vocabulary is not None:
        check_vocabulary(model, vocabulary)
    layers = parts_of(model.rnn)
    if model.rnn.batch_first:
        raise ValueError("model: expected layers without batch_first in a LanguageModel")
    x = ids = graph.input("ids", np.int64, ["time", "batch"], "-1 is a vector of zeros")
    context_size = max(layer.options.context_size for layer in layers)
    batch = _batch(graph, ids, (0, 1), options, context_size)
    if model.embedding is not None:
        x = write_dense(graph, model.embedding, "embedding.", ids)
    if isinstance(model.length, LengthOutput):
        text = "symbols still to come, minus one; -1 where that is not known yet"
        left = graph.input("left", np.int64, ["time", "batch"], text)
        x = graph.node("Add", x, write_dense(graph, model.length.left, "length.left.", left))
    ports = _ports(graph, layers, options)
    y, _ = write_layers(graph, model.rnn, "rnn.", x, batch, ports, ids=model.embedding is None)
    h = y if model.head is None else write_dense(graph, model.head, "head.", y)
    result = write_output(graph, model.output, model.embedding, h)
    name = "log_probabilities" if isinstance(model.output, AdaptiveSoftmax) else "logits"
    graph.output(name, result, graph.dtype, ["time", "batch", model.vocabulary_size], "of each next id")
    if isinstance(model.length, HaltOutput):
        halt = graph.node("Sigmoid", write_dense(graph, model.length, "length.", y))
        halt = graph.node("Squeeze", halt, graph.integers(-1))
        graph.output("halt", halt, graph.dtype, ["time", "batch"], "the probability that the text ends here")
    if isinstance(model.length, LengthOutput):
        lengths = write_dense(graph, model.length.output, "length.output.", y)
        shape: list[int | str] = ["time", "batch", model.length.max_length]
        graph.output("length_logits", lengths, graph.dtype, shape, "of the length, after the start")
    ports.write()
    described: dict[str, Any] = {"start": model.start, "eos": model.eos}
    return described if vocabulary is None else described | {"vocabulary": vocabulary.to_json()}
