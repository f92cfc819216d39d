"""Models with ``fit`` in ONNX: what they do before and after their network is part of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn.interop.onnx.writing_layers import StatePorts, write_attention, write_dense, write_layers
from fastrnn.interop.onnx.writing_recurrent import Batch
from fastrnn.interop.onnx.writing_seq2seq import write_decoder, write_memory
from fastrnn.models import (
    EchoStateNetwork,
    Forecaster,
    Seq2Seq,
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
    Transcriber,
)
from fastrnn.models.seq2seq_search import END, UNKNOWN

if TYPE_CHECKING:
    from fastrnn.interop.onnx.writing_graph import GraphWriter
    from fastrnn.models.base.encoder import SequenceEncoder
    from fastrnn.models.base.input_codec import InputCodec

__all__ = ["MODELS", "TaskOptions"]


class TaskOptions(NamedTuple):
    """What the caller of `save_onnx` chose."""

    lengths: bool
    part: str | None
    state: bool


class _Input(NamedTuple):
    """The input of a model: the value its encoder reads, and what goes with it."""

    x: str
    batch: Batch
    lengths: str


def _double(graph: GraphWriter, value: str) -> str:
    return graph.node("Cast", value, to=graph._helper.np_dtype_to_tensor_dtype(np.dtype(np.float64)))


def _single(graph: GraphWriter, value: str) -> str:
    return graph.node("Cast", value, to=graph._helper.np_dtype_to_tensor_dtype(graph.dtype))


def _standardized(graph: GraphWriter, value: str, mean: Any, scale: Any) -> str:
    """Return (v - mean) / scale of float64 values."""
    shifted = graph.node("Sub", value, graph.constant("input.mean", mean, np.float64))
    return graph.node("Div", shifted, graph.constant("input.scale", scale, np.float64))


def _unscaled(graph: GraphWriter, value: str, mean: Any, scale: Any) -> str:
    """Return v * scale + mean of values of the model's dtype, in float64."""
    scaled = graph.node("Mul", _double(graph, value), graph.constant("output.scale", scale, np.float64))
    return graph.node("Add", scaled, graph.constant("output.mean", mean, np.float64))


def _read(graph: GraphWriter, codec: InputCodec, options: TaskOptions) -> _Input:
    """Declare the input, and standardize it: in float64, as the model does, since a mean may be large."""
    symbols = codec.symbols is not None
    if symbols:
        x = given = graph.input("ids", np.int64, ["time", "batch"], "ids of symbols; 0: unknown")
    else:
        given = graph.input("x", graph.dtype, ["time", "batch", codec.width], "features in their own unit")
        x = _single(graph, _standardized(graph, _double(graph, given), codec.mean, codec.scale))
    steps, rows = graph.size(given, 0), graph.size(given, 1)
    if options.lengths:
        lengths = graph.input("lengths", np.int64, ["batch"], "steps of each row")
        return _Input(x, Batch(steps, rows, lengths), lengths)
    return _Input(x, Batch(steps, rows), graph.node("Expand", steps, rows))


def _encode(
    graph: GraphWriter, encoder: SequenceEncoder, x: str, batch: Batch, joined: str | None = None
) -> tuple[str, list[str]]:
    """Write an encoder without dropout; return y [T, N, width] and the last layer's state."""
    ids = encoder.embedding is None and joined is None and _reads_ids(graph, x)
    if encoder.embedding is not None:
        x = write_dense(graph, encoder.embedding, "encoder.embedding.", x)
    if joined is not None:
        x = graph.join([x, joined], -1)
    return write_layers(
        graph, encoder.rnn, "encoder.rnn.", x, batch, StatePorts(graph, False, [encoder.rnn]), ids=ids
    )


def _reads_ids(graph: GraphWriter, x: str) -> bool:
    return x == "ids"


def _hidden(graph: GraphWriter, encoder: SequenceEncoder, last: list[str]) -> str:
    """Return the last layer's h, its directions side by side, [N, width]."""
    rnn = encoder.rnn
    count = rnn.spec.count
    h = last[0] if rnn.num_layers == 1 else graph.cut(last[0], count - rnn.directions, count, 0)
    if rnn.directions == 1:
        return graph.node("Squeeze", h, graph.integers(0))
    side = graph.node("Transpose", h, perm=[1, 0, 2])
    return graph.node("Reshape", side, graph.integers(0, rnn.directions * rnn.spec.h_size))


def _pooled(graph: GraphWriter, network: Any, own: _Input) -> tuple[str, str | None]:
    """Write a classifier's or regressor's network; return its outputs [N, K] and the attention's weights."""
    y, last = _encode(graph, network.encoder, own.x, own.batch)
    weights = None
    if network.pooling == "attention":
        pooled, weights = write_attention(graph, network.attention, "attention.", y, own.batch)
    elif network.pooling == "last":
        pooled = _hidden(graph, network.encoder, last)
    elif network.pooling == "mean":
        count = graph.node("Unsqueeze", _single(graph, own.lengths), graph.integers(1))
        pooled = graph.node("Div", graph.reduce("ReduceSum", y, 0), count)
    else:
        inside = graph.node("Unsqueeze", graph.inside(own.batch.steps, own.lengths), graph.integers(-1))
        pooled = graph.reduce("ReduceMax", graph.node("Where", inside, y, graph.number(-np.inf)), 0)
    return write_dense(graph, network.output, "output.", pooled), weights


def _symbols(codec: InputCodec) -> dict[str, Any]:
    if codec.symbols is None:
        return {}
    return {"level": codec.level, "symbols": list(codec.symbols.symbols), "first_id": codec.symbols.reserved}


def _classifier(graph: GraphWriter, model: SequenceClassifier, options: TaskOptions) -> dict[str, Any]:
    own = _read(graph, model._codec, options)
    z, weights = _pooled(graph, model.network_, own)
    count = len(model.classes_)
    p = graph.node("Sigmoid", z) if model.multilabel_ else graph.node("Softmax", z, axis=-1)
    graph.output("probabilities", p, graph.dtype, ["batch", count], "of each class")
    graph.output("logits", z, graph.dtype, ["batch", count])
    _attention_output(graph, weights)
    multilabel = {"multilabel": True, "threshold": model.threshold} if model.multilabel_ else {}
    return {**_symbols(model._codec), "classes": model.classes_.tolist(), **multilabel}


def _attention_output(graph: GraphWriter, weights: str | None) -> None:
    if weights is not None:
        graph.output("attention", weights, graph.dtype, ["batch", "time"], "the weight of each step")


def _regressor(graph: GraphWriter, model: SequenceRegressor, options: TaskOptions) -> dict[str, Any]:
    own = _read(graph, model._codec, options)
    z, weights = _pooled(graph, model.network_, own)
    targets = model._targets
    values = _single(graph, _unscaled(graph, z, targets.mean, targets.scale))
    shape: list[int | str] = ["batch", len(targets.mean)]
    if targets.flat:
        values, shape = graph.node("Squeeze", values, graph.integers(1)), ["batch"]
    graph.output("values", values, graph.dtype, shape, "in the unit of the targets")
    _attention_output(graph, weights)
    return _symbols(model._codec)


def _tagger(graph: GraphWriter, model: SequenceTagger, options: TaskOptions) -> dict[str, Any]:
    own, network = _read(graph, model._codec, options), model.network_
    joined = None
    further: dict[str, Any] = {}
    if network.characters is not None:
        assert model._characters is not None
        joined = _spelled(graph, network.characters)
        further["characters"] = list(model._characters.symbols)
        further["first_character_id"] = model._characters.reserved
    y, _ = _encode(graph, network.encoder, own.x, own.batch, joined)
    z = write_dense(graph, network.output, "output.", y)
    shape: list[int | str] = ["time", "batch", network.output.out_features]
    if network.crf is not None:
        graph.output("emissions", z, graph.dtype, shape, "scores of each tag, for the Viterbi search")
        # JSON has no infinity: what may not follow is null.
        scores = zip(("transitions", "start", "end"), network.crf._scores(), strict=True)
        further["crf"] = {name: _plain_scores(value) for name, value in scores}
    else:
        sigmoid = network.loss_kind == "sigmoid"
        p = graph.node("Sigmoid", z) if sigmoid else graph.node("Softmax", z, axis=-1)
        if model._binary:
            p = graph.join([graph.node("Sub", graph.number(1.0), p), p], -1)
        graph.output("probabilities", p, graph.dtype, [*shape[:2], len(model.classes_)], "of each tag")
        graph.output("logits", z, graph.dtype, shape)
        if model.multilabel_:
            further |= {"multilabel": True, "threshold": model.threshold}
    return {**_symbols(model._codec), "classes": model.classes_.tolist(), **further}


def _plain_scores(scores: Any) -> Any:
    if scores.ndim > 1:
        return [_plain_scores(row) for row in scores]
    return [float(one) if np.isfinite(one) else None for one in scores]


def _spelled(graph: GraphWriter, characters: Any) -> str:
    """Write the layers that read the characters of words; return the vector of the word at each step."""
    ids = graph.input("characters", np.int64, ["characters", "words"], "ids of each word's characters")
    lengths = graph.input("character_lengths", np.int64, ["words"], "characters of each word")
    places = graph.input("places", np.int64, ["time", "batch"], "the word at each step; -1 after a row's end")
    vectors = write_dense(graph, characters.embedding, "characters.embedding.", ids)
    batch = Batch(graph.size(ids, 0), graph.size(ids, 1), lengths)
    ports = StatePorts(graph, False, [characters.rnn])
    _, last = write_layers(graph, characters.rnn, "characters.rnn.", vectors, batch, ports)
    return graph.rows(_hidden(graph, characters, last), places)


def _transcriber(graph: GraphWriter, model: Transcriber, options: TaskOptions) -> dict[str, Any]:
    own, network = _read(graph, model._codec, options), model.network_
    x, batch, frames, count = own.x, own.batch, own.lengths, network.stack_frames
    if count > 1:
        x, batch, frames = _joined_frames(graph, own, count)
    y, _ = _encode(graph, network.encoder, x, batch)
    z = graph.node("LogSoftmax", write_dense(graph, network.output, "output.", y), axis=-1)
    width = network.output.out_features
    text = "of the blank, then of each symbol, in nats"
    graph.output("log_probabilities", z, graph.dtype, ["frames", "batch", width], text)
    graph.output("frame_lengths", frames, np.int64, ["batch"], "frames of each row")
    transcripts = {"transcript_symbols": list(model.symbols_), "blank": 0, "frames_joined": count}
    return {**_symbols(model._codec), **transcripts}


def _joined_frames(graph: GraphWriter, own: _Input, count: int) -> tuple[str, Batch, str]:
    """Join neighbouring frames, as `fastrnn.models.transcriber_network.join_frames` does."""
    inside = graph.node("Unsqueeze", graph.inside(own.batch.steps, own.lengths), graph.integers(-1))
    x = graph.node("Where", inside, own.x, graph.number(0.0))

    def after(number: str) -> str:
        more = graph.node("Add", number, graph.integers(count - 1))
        return graph.node("Div", more, graph.integers(count))

    steps = after(own.batch.steps)
    missing = graph.node("Sub", graph.node("Mul", steps, graph.integers(count)), own.batch.steps)
    x = graph.node("Pad", x, graph.join([graph.integers(0, 0, 0), missing, graph.integers(0, 0)], 0))
    width = graph.size(x, 2)
    shape = [steps, graph.integers(count), own.batch.rows, width]
    turned = graph.node("Transpose", graph.node("Reshape", x, graph.join(shape, 0)), perm=[0, 2, 1, 3])
    wide = graph.node("Mul", width, graph.integers(count))
    x = graph.node("Reshape", turned, graph.join([steps, own.batch.rows, wide], 0))
    frames = after(own.lengths)
    lengths = None if own.batch.lengths is None else frames
    return x, Batch(steps, own.batch.rows, lengths), frames


def _forecaster(graph: GraphWriter, model: Forecaster, options: TaskOptions) -> dict[str, Any]:
    if options.lengths:
        raise ValueError(
            "lengths: expected False or None for a Forecaster, whose rows all end at the last step"
        )
    transform, network, known = model._transform, model.network_, model._known_width
    width = len(transform.mean)
    series = graph.input("series", np.float64, ["time", "batch", width], "the last values, in their own unit")
    stages = [graph.node("Log", series) if transform.log else series]
    end = np.iinfo(np.int64).max
    for lag in transform.lags:
        later = graph.cut(stages[-1], lag, end, 0)
        stages.append(graph.node("Sub", later, graph.cut(stages[-1], 0, -lag, 0)))
    x = _standardized(graph, stages[-1], transform.mean, transform.scale)
    if known:
        text = "what is known of the step after each of the series"
        given = graph.input("exogenous", np.float64, ["time", "batch", known], text)
        given = graph.cut(given, transform.lost, end, 0) if transform.lost else given
        mean = graph.constant("exogenous.mean", model._known_mean, np.float64)
        scale = graph.constant("exogenous.scale", model._known_scale, np.float64)
        given = graph.node("Div", graph.node("Sub", given, mean), scale)
        x = graph.join([x, given], -1)
    x = _single(graph, x)
    batch = Batch(graph.size(x, 0), graph.size(x, 1))
    _, last = _encode(graph, network.encoder, x, batch)
    z = write_dense(graph, network.output, "output.", _hidden(graph, network.encoder, last))
    count = len(network.levels)
    z = graph.node("Reshape", _double(graph, z), graph.integers(0, width, count))
    # Quantiles that cross are sorted; the forecast is the mean over them, as in the closed loop.
    ordered, _ = graph.several("TopK", 2, z, graph.integers(count), axis=-1, largest=0, sorted=1)
    forecast = graph.reduce("ReduceMean", ordered, -1)

    def decoded(values: str, column: bool) -> str:
        def aligned(name: str, value: Any) -> str:
            return graph.constant(name, value[:, None] if column else value, np.float64)

        scaled = graph.node("Mul", values, aligned("output.scale", transform.scale))
        result = graph.node("Add", scaled, aligned("output.mean", transform.mean))
        for lag, stage in reversed([*zip(transform.lags, stages, strict=False)]):
            past = graph.node("Gather", stage, graph.number(-lag, np.int64), axis=0)
            past = graph.node("Unsqueeze", past, graph.integers(-1)) if column else past
            result = graph.node("Add", result, past)
        return graph.node("Exp", result) if transform.log else result

    graph.output("forecast", decoded(forecast, False), np.float64, ["batch", width], "of the next step")
    graph.output("quantiles", decoded(ordered, True), np.float64, ["batch", width, count], "of the next step")
    return {"levels": network.levels.tolist(), "window": int(model.window), "steps_lost": transform.lost}


def _seq2seq(graph: GraphWriter, model: Seq2Seq, options: TaskOptions) -> dict[str, Any]:
    network, target = model.network_, model._target.symbols
    assert target is not None
    described = {
        "part": options.part,
        "target_symbols": list(target.symbols),
        "first_target_id": target.reserved,
    }
    described |= {"end": END, "unknown": UNKNOWN}
    if options.part == "decoder":
        write_decoder(graph, network, lengths=options.lengths)
        return described
    if options.part != "encoder":
        raise ValueError(
            "part: expected 'encoder' or 'decoder' for a Seq2Seq, a file each, as the search between them is "
            f"the program's, got {options.part!r}"
        )
    own = _read(graph, model._codec, options)
    y, last = _encode(graph, network.encoder, own.x, own.batch)
    write_memory(graph, network, y, _hidden(graph, network.encoder, last), own.batch.rows)
    return {**_symbols(model._codec), **described}


def _echo_state(graph: GraphWriter, model: EchoStateNetwork, options: TaskOptions) -> dict[str, Any]:
    if model._feedback:
        raise ValueError(
            "model: an EchoStateNetwork with feedback_scaling reads its outputs again, step by step"
        )
    network = model.network_.to_dense()
    x = graph.input("x", graph.dtype, ["time", "batch", model._inputs])
    lengths = graph.input("lengths", np.int64, ["batch"], "steps of each row") if options.lengths else None
    batch = Batch(graph.size(x, 0), graph.size(x, 1), lengths)
    ports = StatePorts(graph, options.state, network.layers)
    names, parts = iter(network.layer_names), [x] if network.features else []
    if 0 < network.features < model._inputs:
        parts = [graph.cut(x, 0, network.features, -1)]
    for columns, group in zip(network.columns, network.groups, strict=True):
        below = x
        if columns is not None:
            below = graph.node("Gather", x, graph.constant("columns", columns, np.int64), axis=-1)
        for layer in group:
            below, _ = write_layers(graph, layer, f"{next(names)}.", below, batch, ports)
            parts.append(below)
    y = write_dense(graph, network.readout, "readout.", graph.join(parts, -1))
    graph.output("y", y, graph.dtype, ["time", "batch", network.readout.out_features])
    ports.write()
    return {"washout": int(model._washout)}


#: Writes a fitted model's graph and returns what a program must know besides, ready for JSON.
MODELS: dict[type[Any], Callable[[GraphWriter, Any, TaskOptions], dict[str, Any]]] = {
    SequenceClassifier: _classifier,
    SequenceRegressor: _regressor,
    SequenceTagger: _tagger,
    Transcriber: _transcriber,
    Forecaster: _forecaster,
    Seq2Seq: _seq2seq,
    EchoStateNetwork: _echo_state,
}
