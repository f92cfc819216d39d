"""The encoder and the decoder of a `Seq2Seq` in ONNX, a file each: the search is the program's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.interop.onnx.writing_graph import GraphWriter
from fastrnn.interop.onnx.writing_layers import StatePorts, write_dense, write_layers
from fastrnn.interop.onnx.writing_recurrent import Batch
from fastrnn.layers import AdditiveAttention

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastrnn.models.seq2seq_network import Seq2SeqNetwork

__all__ = ["write_decoder", "write_memory"]


def write_memory(graph: GraphWriter, network: Seq2SeqNetwork, y: str, final: str, rows: str) -> None:
    """Declare what an encoder hands to the decoder: its first state, the memory, and the context."""
    rnn = network.decoder.rnn
    shapes = dict(zip(rnn.spec.state_names, rnn.spec.state_shapes(1), strict=True))
    found = {} if network.initial is None else _first_state(graph, network, final)
    for name, (_, *shape) in shapes.items():
        sizes = graph.join([graph.integers(rnn.num_layers), rows, graph.integers(*shape)], 0)
        value = found[name] if name in found else graph.node("Expand", graph.number(0.0), sizes)
        axes: list[int | str] = [rnn.num_layers, "batch", *shape]
        graph.output(f"{name}_0", value, graph.dtype, axes, "of the decoder before its first step")
    if network.reads_context:
        graph.output("context", final, graph.dtype, ["batch", network.encoder.output_size])
    if network.attention is not None:
        keys = y
        if hasattr(network.attention, "key"):
            keys = write_dense(graph, network.attention.key, "attention.key.", y)
        graph.output("keys", keys, graph.dtype, ["source_time", "batch", _key_width(network)])
        graph.output("values", y, graph.dtype, ["source_time", "batch", network.encoder.output_size])


def _key_width(network: Seq2SeqNetwork) -> int:
    """Return the width of the attention's keys."""
    attention = network.attention
    key = getattr(attention, "key", None)
    return int(network.encoder.output_size if key is None else key.out_features)


def _first_state(graph: GraphWriter, network: Seq2SeqNetwork, final: str) -> dict[str, str]:
    """Return the arrays of the decoder's first state that are computed, as `StateLayout` places them."""
    assert network.initial is not None
    layout, spec = network.layout, network.decoder.rnn.spec
    values = graph.node("Tanh", write_dense(graph, network.initial, "initial.", final))
    each = graph.node("Reshape", values, graph.integers(0, spec.num_layers, sum(layout._widths)))
    parts = graph.split(graph.swapped(each, 3), layout._widths)
    return {spec.state_names[order]: part for order, part in zip(layout._mapped, parts, strict=True)}


def write_decoder(graph: GraphWriter, network: Seq2SeqNetwork, *, lengths: bool) -> None:
    """Write a decoder: the logits of each next symbol, for any number of steps, or one with input feeding."""
    decoder, width = network.decoder, network.decoder.output_size
    assert decoder.embedding is not None
    time: int | str = 1 if network.feeds else "time"
    ids = graph.input("ids", np.int64, [time, "batch"], "the symbols before; the end symbol begins a target")
    x = write_dense(graph, decoder.embedding, "decoder.embedding.", ids)
    if network.feeds:
        fed = graph.input("fed_0", graph.dtype, ["batch", width], "zero before the first step")
        x = graph.join([x, graph.node("Unsqueeze", fed, graph.integers(0))], -1)
    context = None
    if network.reads_context:
        given = graph.input("context", graph.dtype, ["batch", network.encoder.output_size])
        context = graph.node("Unsqueeze", given, graph.integers(0))
    batch = Batch(graph.size(ids, 0), graph.size(ids, 1), None, context)
    ports = StatePorts(graph, True, [decoder.rnn])
    d, _ = write_layers(graph, decoder.rnn, "decoder.rnn.", x, batch, ports)
    a, weights = d, None
    if network.attention is not None:
        assert network.combine is not None
        attended, weights = _attend(graph, network, d, lengths)
        joined = graph.join([attended, d], -1)
        a = graph.node("Tanh", write_dense(graph, network.combine, "combine.", joined))
    z = write_dense(graph, network.output, "output.", a)
    graph.output(
        "logits", z, graph.dtype, [time, "batch", network.output.out_features], "of each next symbol"
    )
    if weights is not None:
        graph.output("attention", weights, graph.dtype, [time, "batch", "source_time"])
    ports.write()
    if network.feeds:
        after = graph.node("Squeeze", a, graph.integers(0))
        graph.output("fed_n", after, graph.dtype, ["batch", width])


def _attend(graph: GraphWriter, network: Seq2SeqNetwork, d: str, lengths: bool) -> tuple[str, str]:
    """Write attention of queries [T, N, Q]; return the attended values [T, N, K] and weights [T, N, S]."""
    attention: Any = network.attention
    axes: Sequence[int | str] = ["source_time", "batch"]
    keys = graph.input("keys", graph.dtype, [*axes, _key_width(network)])
    values = graph.input("values", graph.dtype, [*axes, network.encoder.output_size])
    one = graph.integers(1)
    if isinstance(attention, AdditiveAttention):
        queries = graph.node("Unsqueeze", write_dense(graph, attention.query, "attention.query.", d), one)
        hidden = graph.node("Tanh", graph.node("Add", queries, keys))
        score = write_dense(graph, attention.score, "attention.score.", hidden)
    else:
        products = graph.node("Mul", graph.node("Unsqueeze", d, one), keys)
        total = graph.reduce("ReduceSum", products, -1, keep=True)
        score = graph.node("Mul", total, graph.number(attention.scale))
    inside = None
    if lengths:
        ends = graph.input("lengths", np.int64, ["batch"], "steps of each source")
        inside = graph.node("Unsqueeze", graph.inside(graph.size(keys, 0), ends), graph.integers(-1))
        score = graph.node("Where", inside, score, graph.number(-1e30))
    weights = graph.node("Softmax", score, axis=1)
    if inside is not None:
        weights = graph.node("Where", inside, weights, graph.number(0.0))
    attended = graph.reduce("ReduceSum", graph.node("Mul", weights, values), 1)
    narrow = graph.node("Squeeze", weights, graph.integers(-1))
    return attended, graph.node("Transpose", narrow, perm=[0, 2, 1])
