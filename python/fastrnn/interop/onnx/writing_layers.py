"""Layers in ONNX: embeddings, linear layers, stacks and chains; where a model's state goes in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastrnn.interop.onnx.writing_recurrent import Batch, write_recurrent
from fastrnn.layers import (
    Activation,
    AdaptiveSoftmax,
    AttentionPooling,
    Embedding,
    Head,
    Linear,
    Recurrent,
    Stack,
    TiedSoftmax,
)
from fastrnn.layers.description import parts_of

if TYPE_CHECKING:
    from fastrnn.interop.onnx.writing_graph import GraphWriter
    from fastrnn.layers import Module

__all__ = ["StatePorts", "write_attention", "write_chain", "write_dense", "write_layers", "write_output"]

_ACTIVATIONS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu"}


class StatePorts:
    """Inputs and outputs of a graph for the state of each recurrent layer.

    Parameters
    ----------
    graph : GraphWriter
    wanted : bool
        False: there are none, each pass starts from the usual state.
    layers : sequence of Recurrent
        All that the graph has; with several their prefixes are part of the names.
    """

    graph: GraphWriter
    wanted: bool
    several: bool

    def __init__(self, graph: GraphWriter, wanted: bool, layers: Sequence[Recurrent[Any]]) -> None:
        self.graph, self.wanted, self.several = graph, wanted, len(layers) > 1
        self._lasts: list[tuple[str, str, list[int | str]]] = []

    def read(self, prefix: str, rnn: Recurrent[Any]) -> list[str] | None:
        """Declare the inputs of one layer's state: h_0, c_0, past_0."""
        if not self.wanted:
            return None
        return [
            self.graph.input(
                f"{self._label(prefix)}{name}_0", self.graph.dtype, shape, f"{name} before the first step"
            )
            for name, shape in self._shapes(rnn)
        ]

    def keep(self, prefix: str, rnn: Recurrent[Any], values: list[str]) -> None:
        """Remember a layer's last state, for `write`."""
        for (name, shape), value in zip(self._shapes(rnn), values, strict=True):
            self._lasts.append((f"{self._label(prefix)}{name}_n", value, shape))

    def write(self) -> None:
        """Declare the outputs h_n, c_n and past_n, in the order of the inputs."""
        for name, value, shape in self._lasts if self.wanted else ():
            what = name.rpartition(".")[2].removesuffix("_n")
            self.graph.output(name, value, self.graph.dtype, shape, f"{what} after each row's last step")

    def _label(self, prefix: str) -> str:
        return prefix if self.several else ""

    @staticmethod
    def _shapes(rnn: Recurrent[Any]) -> list[tuple[str, list[int | str]]]:
        shapes = rnn.spec.state_shapes(1)
        return [
            (name, [rnn.spec.count, "batch", *shape[1:]])
            for name, shape in zip(rnn.spec.state_names, shapes, strict=True)
        ]


def write_layers(
    graph: GraphWriter,
    rnn: Recurrent[Any] | Stack,
    prefix: str,
    x: str,
    batch: Batch,
    ports: StatePorts,
    *,
    ids: bool = False,
) -> tuple[str, list[str]]:
    """Write recurrent layers or a stack, time-major; return y and the last layer's state."""
    connect = rnn.connect if isinstance(rnn, Stack) else "plain"
    y = read = x
    last: list[str] = []
    for index, layer in enumerate(parts_of(rnn)):
        own = f"{prefix}layer{index}." if isinstance(rnn, Stack) else prefix
        if index:
            read = graph.join([read, y], -1) if connect == "dense" else y
        own_batch = batch if layer.options.context_size else batch._replace(context=None)
        first = ports.read(own, layer)
        result, last = write_recurrent(graph, layer, own, read, own_batch, first, ids=ids and not index)
        ports.keep(own, layer, last)
        y = graph.node("Add", result, y) if connect == "residual" and index else result
    return y, last


def write_dense(graph: GraphWriter, part: Module, prefix: str, x: str) -> str:
    """Write an `Embedding`, `Linear`, `Head` or `Activation`."""
    if isinstance(part, Embedding):
        return graph.rows(graph.constant(f"{prefix}weight", part.parameters["weight"]), x)
    if isinstance(part, Linear):
        weights = part.parameters
        return graph.linear(x, prefix.removesuffix("."), weights["weight"], weights.get("bias"))
    if isinstance(part, Head):
        for index, linear in enumerate(part.hidden):
            x = write_dense(graph, linear, f"{prefix}hidden{index}.", x)
            x = graph.node(_ACTIVATIONS[part.activation], x)
        return write_dense(graph, part.output, f"{prefix}output.", x)
    assert isinstance(part, Activation)
    if part.function == "hard_sigmoid":
        line = graph.node("Add", graph.node("Mul", x, graph.number(0.2)), graph.number(0.5))
        return graph.node("Clip", line, graph.number(0.0), graph.number(1.0))
    if part.function in _ACTIVATIONS:
        return graph.node(_ACTIVATIONS[part.function], x)
    return graph.node("Softmax" if part.function == "softmax" else "LogSoftmax", x, axis=-1)


def write_chain(
    graph: GraphWriter, layers: Mapping[str, Any], x: str, batch: Batch, ports: StatePorts, *, ids: bool
) -> str:
    """Write the layers of a chain, time-major."""
    for index, (name, part) in enumerate(layers.items()):
        if isinstance(part, (Recurrent, Stack)):
            own_ids = ids and not index
            x, _ = write_layers(graph, part, f"{name}.", x, batch, ports, ids=own_ids)
        else:
            x = write_dense(graph, part, f"{name}.", x)
    return x


def write_output(graph: GraphWriter, output: Module, embedding: Embedding | None, h: str) -> str:
    """Write the output layer of a language model: logits, or log-probabilities of an adaptive softmax."""
    if isinstance(output, TiedSoftmax):
        assert embedding is not None
        table = graph.constant("embedding.weight", embedding.parameters["weight"])
        logits = graph.node("MatMul", h, graph.node("Transpose", table, perm=[1, 0]))
        return graph.node("Add", logits, graph.constant("output.bias", output.parameters["bias"]))
    if not isinstance(output, AdaptiveSoftmax):
        return write_dense(graph, output, "output.", h)
    head = graph.node("LogSoftmax", write_dense(graph, output.head, "output.head.", h), axis=-1)
    first, count = output.cutoffs[0], len(output.tails)
    own, *clusters = graph.split(head, [first, *[1] * count])
    parts = [own]
    for index, (tail, cluster) in enumerate(zip(output.tails, clusters, strict=True)):
        narrow = write_dense(graph, tail.project, f"output.tail{index}.project.", h)
        within = write_dense(graph, tail.output, f"output.tail{index}.output.", narrow)
        parts.append(graph.node("Add", cluster, graph.node("LogSoftmax", within, axis=-1)))
    return graph.join(parts, -1)


def write_attention(
    graph: GraphWriter, pooling: AttentionPooling, prefix: str, values: str, batch: Batch
) -> tuple[str, str]:
    """Write attention pooling; return the pooled vectors [N, K] and the weights [N, T]."""
    hidden = graph.node("Tanh", write_dense(graph, pooling.key, f"{prefix}key.", values))
    score = write_dense(graph, pooling.score, f"{prefix}score.", hidden)
    inside = None
    if batch.lengths is not None:
        inside = graph.node("Unsqueeze", graph.inside(batch.steps, batch.lengths), graph.integers(-1))
        score = graph.node("Where", inside, score, graph.number(-1e30))
    weights = graph.node("Softmax", score, axis=0)
    if inside is not None:
        weights = graph.node("Where", inside, weights, graph.number(0.0))
        values = graph.node("Where", inside, values, graph.number(0.0))
    pooled = graph.reduce("ReduceSum", graph.node("Mul", weights, values), 0)
    narrow = graph.node("Squeeze", weights, graph.integers(-1))
    return pooled, graph.node("Transpose", narrow, perm=[1, 0])
