"""Recurrent layers in ONNX: as nodes RNN, GRU and LSTM where these suffice, else as a Scan over the cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn.interop.onnx.recurrent import COUNTS, GATES, PEEPHOLES
from fastrnn.interop.onnx.writing_cells import Affine, CellStep, StepState, step
from fastrnn.interop.onnx.writing_graph import GraphWriter

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.layers import Recurrent
    from fastrnn.layers.recurrent.options import CellOptions
    from fastrnn.layers.recurrent.shapes import Group

__all__ = ["Batch", "write_recurrent"]

_OPERATORS = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}
_ACTIVATIONS: dict[str, tuple[str, float | None, float | None]] = {
    "sigmoid": ("Sigmoid", None, None),
    "tanh": ("Tanh", None, None),
    "relu": ("Relu", None, None),
    "identity": ("Affine", 1.0, 0.0),
    "hard_sigmoid": ("HardSigmoid", 0.2, 0.5),
}


class Batch(NamedTuple):
    """What all recurrent layers of a model read besides their input.

    Attributes
    ----------
    steps, rows : str
        T and N, lists of one integer.
    lengths : str or None
        int64 [N].
    context : str or None
        Float [T or 1, N, C].
    """

    steps: str
    rows: str
    lengths: str | None = None
    context: str | None = None


class _Layer(NamedTuple):
    """One of the stacked layers of a `Recurrent`, in its directions."""

    rnn: Recurrent[Any]
    number: int
    groups: list[Group]
    prefix: str
    ids: bool

    @property
    def options(self) -> CellOptions:
        return self.rnn.options

    @property
    def reversed(self) -> tuple[bool, ...]:
        return (False, True) if self.rnn.directions == 2 else (self.options.reverse,)

    def name(self, direction: int) -> str:
        return f"{self.prefix}l{self.number}{'_reverse' if direction else ''}."


def write_recurrent(
    graph: GraphWriter,
    rnn: Recurrent[Any],
    prefix: str,
    x: str,
    batch: Batch,
    state: Sequence[str] | None,
    *,
    ids: bool = False,
) -> tuple[str, list[str]]:
    """Write recurrent layers.

    Parameters
    ----------
    graph : GraphWriter
    rnn : Recurrent
    prefix : str
        Of the names in the file.
    x : str
        Float [T, N, D]; with `ids` int64 [T, N].
    batch : Batch
    state : sequence of str or None
        The arrays of the state before the first step, [L*directions, N, ...]; None for the usual one.
    ids : bool
        Whether x is ids, which stand for one-hot vectors.

    Returns
    -------
    y : str
        Float [T, N, output_size], zero after a row's end.
    state : list of str
        The arrays of the state after each row's last step.
    """
    every = rnn.spec.groups(rnn.parameters)
    lasts: list[list[str]] = []
    for index in range(rnn.num_layers):
        own = every[index * rnn.directions : (index + 1) * rnn.directions]
        layer = _Layer(rnn, index, own, prefix, ids and index == 0)
        write = _write_node if _is_node(rnn) else _write_scans
        x, last = write(graph, layer, x, batch, state)
        lasts.append(last)
    return x, [graph.join(values, 0) for values in zip(*lasts, strict=True)]


def _is_node(rnn: Recurrent[Any]) -> bool:
    """Whether RNN, GRU or LSTM of ONNX suffice; ONNX Runtime has these in float32 only."""
    options = rnn.options
    names = (options.gate_activation, options.candidate_activation, options.output_activation)
    other = (
        options.proj_size, options.layer_norm, any(options.zoneout), options.skip, options.context_size,
        options.relevance, options.cell_clip, options.leak is not None, options.peephole == "previous",
    )  # fmt: skip
    known = options.cell in _OPERATORS and all(name in _ACTIVATIONS for name in names)
    return known and not any(other) and rnn.dtype == np.float32


# ---- nodes


def _write_node(
    graph: GraphWriter, layer: _Layer, x: str, batch: Batch, state: Sequence[str] | None
) -> tuple[str, list[str]]:
    options, H, count = layer.options, layer.rnn.hidden_size, layer.rnn.directions
    op = _OPERATORS[options.cell]
    weights = _node_weights(op, layer)
    if layer.ids:
        x, weights["W"] = _one_hot(graph, layer, x, weights["W"])
    names = [graph.constant(f"{layer.prefix}l{layer.number}.{one}", value) for one, value in weights.items()]
    constants = dict(zip(weights, names, strict=True))
    inputs = [x, constants["W"], constants["R"], constants.get("B", "")]
    inputs.append("" if batch.lengths is None else _as_int32(graph, batch.lengths))
    firsts = [_initial(graph, layer, place, batch, state) for place in range(len(layer.rnn.spec.state_names))]
    inputs += firsts
    if "P" in constants:
        inputs.append(constants["P"])
    while not inputs[-1]:
        inputs.pop()
    directions = ("bidirectional",) if count == 2 else ("reverse",) if options.reverse else ("forward",)
    attributes: dict[str, Any] = {"hidden_size": H, "direction": directions[0]}
    attributes |= _activation_attributes(op, options, count)
    if op == "GRU":
        attributes["linear_before_reset"] = int(options.reset_after)
    if options.coupled:
        attributes["input_forget"] = 1
    outputs = 3 if op == "LSTM" else 2
    label = f"{layer.prefix}l{layer.number}."
    y, *lasts = graph.several(op, outputs, *inputs, name=label, **attributes)
    if batch.lengths is not None:
        lasts = [_kept(graph, batch.lengths, *pair) for pair in zip(firsts, lasts, strict=True)]
    return _merged(graph, layer, y), lasts


def _kept(graph: GraphWriter, lengths: str, first: str, last: str) -> str:
    """Return the last state, the first one in rows without a step: ONNX Runtime makes zeros of it."""
    if not first:
        return last
    none = graph.node("Equal", lengths, graph.number(0, np.int64))
    return graph.node("Where", graph.node("Unsqueeze", none, graph.integers(1)), first, last)


def _merged(graph: GraphWriter, layer: _Layer, y: str) -> str:
    """Return Y [T, directions, N, H] as [T, N, width]."""
    count, merge = layer.rnn.directions, layer.options.merge
    if count == 1:
        return graph.node("Squeeze", y, graph.integers(1))
    if merge == "concat":
        side = graph.node("Transpose", y, perm=[0, 2, 1, 3])
        return graph.node("Reshape", side, graph.integers(0, 0, count * layer.rnn.hidden_size))
    return graph.reduce("ReduceSum" if merge == "sum" else "ReduceMean", y, 1)


def _node_weights(op: str, layer: _Layer) -> dict[str, Array]:
    """Return W, R, B and P of a node, gates in ONNX's order."""
    coupled, H = layer.options.coupled, layer.rnn.hidden_size
    blocks, count = GATES["LSTM coupled" if coupled else op], COUNTS[op]

    def ordered(array: Array) -> Array:
        result = np.zeros((count, H, *array.shape[1:]), array.dtype)
        result[list(blocks)] = array.reshape(-1, H, *array.shape[1:])
        return result.reshape(-1, *array.shape[1:])

    groups = layer.groups
    found = {
        "W": np.stack([ordered(own["weight_ih"]) for own in groups]),
        "R": np.stack([ordered(own["weight_hh"]) for own in groups]),
    }
    if "bias_ih" in groups[0]:
        pairs = [(ordered(own["bias_ih"]), ordered(own["bias_hh"])) for own in groups]
        found["B"] = np.stack([np.concatenate(pair) for pair in pairs])
    if "weight_peephole" in groups[0]:
        rows = np.zeros((len(groups), 3, H), layer.rnn.dtype)
        rows[:, list(PEEPHOLES[coupled])] = [own["weight_peephole"] for own in groups]
        found["P"] = rows.reshape(len(groups), 3 * H)
    return found


def _activation_attributes(op: str, options: CellOptions, count: int) -> dict[str, Any]:
    """Return the attributes of activations that are not the usual ones."""
    names = [options.gate_activation, options.candidate_activation, options.output_activation]
    names, usual = {
        "RNN": (names[1:2], ["tanh"]),
        "GRU": (names[:2], ["sigmoid", "tanh"]),
        "LSTM": (names, ["sigmoid", "tanh", "tanh"]),
    }[op]
    if names == usual:
        return {}
    rows = [_ACTIVATIONS[name] for name in names] * count
    attributes: dict[str, Any] = {"activations": [row[0] for row in rows]}
    if any(row[1] is not None for row in rows):
        attributes["activation_alpha"] = [row[1] for row in rows if row[1] is not None]
        attributes["activation_beta"] = [row[2] for row in rows if row[2] is not None]
    return attributes


def _one_hot(graph: GraphWriter, layer: _Layer, ids: str, W: Array) -> tuple[str, Array]:
    """Return the input of a node that reads ids, and its W: one-hot vectors, or rows of W itself."""
    count, rows, width = W.shape
    if width <= count * rows:
        outside = graph.node("Less", ids, graph.number(0, np.int64))
        known = graph.node("Where", outside, graph.number(width, np.int64), ids)
        depth, values = graph.number(width, np.int64), graph.constant("integers", [0, 1], np.int64)
        hot = graph.node("OneHot", known, depth, values, axis=-1)
        kind = graph._helper.np_dtype_to_tensor_dtype(graph.dtype)
        return graph.node("Cast", hot, to=kind), W
    table = W.transpose(2, 0, 1).reshape(width, count * rows)
    name = graph.constant(f"{layer.prefix}l{layer.number}.rows", table)
    identity = np.eye(count * rows, dtype=W.dtype).reshape(count, rows, count * rows)
    return graph.rows(name, ids), identity


def _as_int32(graph: GraphWriter, lengths: str) -> str:
    return graph.node("Cast", lengths, to=graph._helper.np_dtype_to_tensor_dtype(np.dtype(np.int32)))


def _learned(layer: _Layer, place: int) -> Array | None:
    """Return the learned initial value of one of the state's arrays, for each direction."""
    name, count = layer.rnn.spec.state_names[place], layer.rnn.directions
    if not layer.options.learn_state:
        return None
    own = layer.rnn.parameters[f"initial_{name}"][layer.number * count : (layer.number + 1) * count]
    value: Array = np.array(own)
    if layer.options.cell == "slstm" and name == "c":  # n counts by its magnitude
        H = layer.rnn.hidden_size
        value[:, H : 2 * H] = abs(value[:, H : 2 * H])
    return value


def _initial(graph: GraphWriter, layer: _Layer, place: int, batch: Batch, state: Sequence[str] | None) -> str:
    """Return an array of the state before the first step, [directions, N, ...]; "" for zeros."""
    count = layer.rnn.directions
    if state is not None:
        if layer.rnn.num_layers == 1:
            return state[place]
        return graph.cut(state[place], layer.number * count, (layer.number + 1) * count, 0)
    learned = _learned(layer, place)
    if learned is None:
        return ""
    name = graph.constant(f"{layer.prefix}l{layer.number}.initial", learned[:, None])
    tail = [graph.integers(*learned.shape[1:])]
    return graph.node("Expand", name, graph.join([graph.integers(count), batch.rows, *tail], 0))


# ---- scans


def _write_scans(
    graph: GraphWriter, layer: _Layer, x: str, batch: Batch, state: Sequence[str] | None
) -> tuple[str, list[str]]:
    places = range(len(layer.rnn.spec.state_names))
    firsts = [_initial(graph, layer, place, batch, state) for place in places]
    outputs, lasts = [], []
    for direction in range(layer.rnn.directions):
        own = [_of_direction(graph, layer, place, firsts[place], direction, batch) for place in places]
        y, last = _write_scan(graph, layer, direction, x, batch, own)
        outputs.append(y)
        lasts.append([graph.node("Unsqueeze", one, graph.integers(0)) for one in last])
    if layer.options.merge == "concat":
        y = graph.join(outputs, -1)
    else:
        y = graph.node("Add", *outputs)
        y = y if layer.options.merge == "sum" else graph.node("Mul", y, graph.number(0.5))
    return y, [graph.join(values, 0) for values in zip(*lasts, strict=True)]


def _of_direction(
    graph: GraphWriter, layer: _Layer, place: int, first: str, direction: int, batch: Batch
) -> str:
    """Return the first state of one direction, [N, width]."""
    shape = layer.rnn.spec.state_shapes(1)[place][1:]
    if not first:
        sizes = graph.join([batch.rows, graph.integers(int(np.prod(shape)))], 0)
        return graph.node("Expand", graph.number(0.0), sizes)
    own = graph.node("Gather", first, graph.number(direction, np.int64), axis=0)
    return graph.node("Reshape", own, graph.integers(0, int(np.prod(shape)))) if len(shape) > 1 else own


def _write_scan(
    graph: GraphWriter, layer: _Layer, direction: int, x: str, batch: Batch, firsts: list[str]
) -> tuple[str, list[str]]:
    """Write one direction; return y [T, N, P], and the arrays of the last state, [N, ...]."""
    options, H, back = layer.options, layer.rnn.hidden_size, layer.reversed[direction]
    affine = Affine(options, layer.groups[direction], H, layer.name(direction))
    parts = {
        group: _input_part(graph, layer, affine, group, x, batch) for group in affine.groups(affine.letters)
    }
    turned = back and batch.lengths is not None
    if turned:
        parts = {group: _turned(graph, value, batch) for group, value in parts.items()}
    body, names = graph.body(), layer.rnn.spec.state_names
    shapes = [int(np.prod(shape[1:])) for shape in layer.rnn.spec.state_shapes(1)]
    label = affine.prefix
    before = [
        body.input(f"{label}{name}", graph.dtype, ("batch", width))
        for name, width in zip(names, shapes, strict=True)
    ]
    inputs = {
        group: body.input(f"{label}x.{group}", graph.dtype, ("batch", len(group) * H)) for group in parts
    }
    scanned = list(parts.values())
    real = None
    if batch.lengths is not None:
        inside = graph.inside(batch.steps, batch.lengths)
        scanned.append(graph.node("Unsqueeze", inside, graph.integers(-1)))
        real = body.input(f"{label}real", np.bool_, ("batch", 1))
    given = dict(zip(names, before, strict=True))
    cell = CellStep(body, affine, inputs, StepState(given["h"], given.get("c"), given.get("past")))
    after = [one for one in step(cell) if one is not None]
    y = after[0]
    if real is not None:
        y = body.node("Where", real, y, body.number(0.0))
        after = [body.node("Where", real, new, old) for new, old in zip(after, before, strict=True)]
    for name, value, width in zip(names, after, shapes, strict=True):
        body.output(f"{label}{name}_after", value, graph.dtype, ("batch", width))
    body.output(f"{label}y", y, graph.dtype, ("batch", shapes[0]))
    backwards = int(back and not turned)
    results = graph.several(
        "Scan", len(before) + 1, *firsts, *scanned, name=label, body=body.graph(f"{label}step"),
        num_scan_inputs=len(scanned), scan_input_directions=[backwards] * len(scanned),
        scan_output_directions=[backwards],
    )  # fmt: skip
    *lasts, y = results
    y = _turned(graph, y, batch) if turned else y
    if "past" in names:
        lasts[-1] = graph.node("Reshape", lasts[-1], graph.integers(0, options.skip, shapes[0]))
    return y, lasts


def _turned(graph: GraphWriter, value: str, batch: Batch) -> str:
    """Reverse each row up to its end."""
    assert batch.lengths is not None
    # ONNX Runtime 1.15 returns what lay in memory for a length of 0.
    some = graph.node("Max", batch.lengths, graph.number(1, np.int64))
    return graph.node("ReverseSequence", value, some, time_axis=0, batch_axis=1)


def _input_part(graph: GraphWriter, layer: _Layer, affine: Affine, group: str, x: str, batch: Batch) -> str:
    """Return what the gates of a group read of all steps' inputs, [T, N, width]."""
    if layer.ids:
        table = affine.part("weight_ih", group)
        assert table is not None
        product = graph.rows(graph.constant(f"{affine.prefix}weight_ih_T.{group}", table.T), x)
    else:
        product = affine.product(graph, x, "weight_ih", group)
    further = []
    if layer.options.context_size and layer.number == 0:
        assert batch.context is not None
        further.append(affine.product(graph, batch.context, "weight_context", group))
    if affine.joint:
        return affine.write(graph, "ih", group, [product, *further])
    return affine.write(graph, "ih", group, [product], further)
