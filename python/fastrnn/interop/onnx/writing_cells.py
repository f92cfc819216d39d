"""One step of each cell in ONNX's elementwise operators, with every option: the body of a Scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array
from fastrnn.interop.onnx.writing_graph import GraphWriter
from fastrnn.layers.recurrent.options import CellOptions

__all__ = ["Affine", "CellStep", "StepState", "activation", "step"]

_EPSILON = 1e-5


class Affine(NamedTuple):
    """One product or several, normalised in groups and split into gates.

    Attributes
    ----------
    options : CellOptions
    weights : mapping of str to ndarray
        Of one layer and direction.
    H : int
    prefix : str
        Of the constants' names.
    """

    options: CellOptions
    weights: Any
    H: int
    prefix: str

    @property
    def letters(self) -> str:
        """The gates, in the order of the weights' rows."""
        cell = self.options.cell
        if cell == "lstm":
            return ("igo" if self.options.coupled else "ifgo") + ("r" if self.options.relevance else "")
        return {"gru": "rzn", "slstm": "ifzo", "mingru": "zn", "minlstm": "fin"}.get(cell, "n")

    @property
    def joint(self) -> bool:
        """Whether both products are summed, then normalised once."""
        return self.options.layer_norm and self.options.cell in ("elman", "jordan")

    def groups(self, gates: str) -> list[str]:
        """Return these gates in groups whose products are normalised together."""
        if not self.options.layer_norm or self.joint:
            return [gates]
        alone = "g" if self.options.relevance else "n" if self.options.cell in ("gru", "mingru") else ""
        both = ("".join(one for one in gates if one not in alone), "".join(set(gates) & set(alone)))
        return [group for group in both if group]

    def rows(self, gates: str) -> Any:
        """Return the rows of some gates in the weights."""
        first = (self.letters.index(gate) * self.H for gate in gates)
        return np.concatenate([np.arange(row, row + self.H) for row in first])

    def part(self, name: str, gates: str) -> Array | None:
        """Return the rows of some gates in one of the weights; None if it is not there."""
        found = self.weights.get(name)
        return None if found is None else found[self.rows(gates)]

    def write(
        self, graph: GraphWriter, end: str, gates: str, products: Sequence[str], add: Sequence[str] = ()
    ) -> str:
        """Normalise the sum of products of a group of gates, then add the bias and more; [..., gates * H]."""
        total = products[0]
        for one in products[1:]:
            total = graph.node("Add", total, one)
        gain = None if self.joint else self.part(f"gain_{end}", gates)
        if gain is not None:
            total = self.normalised(graph, total, f"gain_{end}.{gates}", gain)
        bias = None if self.joint else self.part(f"bias_{end}", gates)
        if bias is not None:
            total = graph.node("Add", total, graph.constant(f"{self.prefix}bias_{end}.{gates}", bias))
        for one in add:
            total = graph.node("Add", total, one)
        return total

    def normalised(self, graph: GraphWriter, value: str, name: str, gain: Array) -> str:
        """Return LN(v) * gain."""
        scale = graph.constant(f"{self.prefix}{name}", gain)
        # The operator computes in float32, and is of opset 17.
        if graph.opset >= 17 and graph.dtype == np.float32:
            return graph.node("LayerNormalization", value, scale, epsilon=_EPSILON)
        centred = graph.node("Sub", value, graph.reduce("ReduceMean", value, -1, keep=True))
        square = graph.reduce("ReduceMean", graph.node("Mul", centred, centred), -1, keep=True)
        root = graph.node("Sqrt", graph.node("Add", square, graph.number(_EPSILON)))
        return graph.node("Mul", graph.node("Div", centred, root), scale)

    def product(self, graph: GraphWriter, value: str, name: str, gates: str) -> str:
        """Return the product with the rows of some gates."""
        own = self.part(name, gates)
        assert own is not None
        label = f"{self.prefix}{name}_T" + ("" if gates == self.letters else f".{gates}")
        return graph.node("MatMul", value, graph.constant(label, own.T))


class StepState(NamedTuple):
    """The state before a step: h [N, P], c and past [N, d * P] where there are any."""

    h: str
    c: str | None
    past: str | None


class CellStep:
    """A step of one layer and direction, being written.

    Parameters
    ----------
    graph : GraphWriter
        The body.
    affine : Affine
    inputs : dict of str to str
        The input part: the values of a group of gates, side by side, by their letters.
    before : StepState
    """

    graph: GraphWriter
    affine: Affine
    options: CellOptions

    def __init__(self, graph: GraphWriter, affine: Affine, inputs: dict[str, str], before: StepState) -> None:
        self.graph, self.affine, self.options, self.H = graph, affine, affine.options, affine.H
        self.x: dict[str, str] = {}
        for gates, value in inputs.items():
            self.x |= dict(zip(gates, graph.split(value, [self.H] * len(gates)), strict=True))
        self.before = before
        self.far: str | None = None
        if before.past is not None:
            self.far = graph.cut(before.past, 0, self.options.output_size(self.H), -1)

    @property
    def carried(self) -> str:
        """C before the step; h where there is no c."""
        return self.before.h if self.before.c is None else self.before.c

    def recurrent(self, gates: str, value: str | None = None) -> dict[str, str]:
        """Return W_hh h' + W_skip h(t - d) + b_hh by gate, or its normalised form."""
        found: dict[str, str] = {}
        for group in self.affine.groups(gates):
            products = [
                self.affine.product(self.graph, self.before.h if value is None else value, "weight_hh", group)
            ]
            if self.far is not None:
                products.append(self.affine.product(self.graph, self.far, "weight_skip", group))
            total = self.affine.write(self.graph, "hh", group, products)
            found |= dict(zip(group, self.graph.split(total, [self.H] * len(group)), strict=True))
        return found

    def op(self, op: str, *inputs: str) -> str:
        """Add a node to the body."""
        return self.graph.node(op, *inputs)

    def mixed(self, keep: str, old: str, new: str) -> str:
        """Return ``keep * old + (1 - keep) * new``."""
        rest = self.op("Sub", self.graph.number(1.0), keep)
        return self.op("Add", self.op("Mul", keep, old), self.op("Mul", rest, new))

    def weight(self, name: str, row: int | None = None) -> str:
        """Return one of the weights, or a row of it, as a constant."""
        value = self.affine.weights[name]
        label = f"{self.affine.prefix}{name}" + ("" if row is None else f".{row}")
        return self.graph.constant(label, value if row is None else value[row])


def activation(graph: GraphWriter, name: str, value: str) -> str:
    """Return an activation of the recurrent layers."""
    plain = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}
    if name in plain:
        return graph.node(plain[name], value)
    if name == "hard_sigmoid":
        line = graph.node("Add", graph.node("Mul", value, graph.number(0.2)), graph.number(0.5))
        return graph.node("Clip", line, graph.number(0.0), graph.number(1.0))
    if name == "positive":
        low = graph.node("Sigmoid", graph.node("Min", value, graph.number(0.0)))
        return graph.node("Add", graph.node("Relu", value), low)
    return value


def _elman(s: CellStep) -> tuple[str, str | None]:
    graph, weights = s.graph, s.affine.weights
    total = s.op("Add", s.x["n"], s.recurrent("n")["n"])
    if "weight_inner" in weights:
        assert s.before.c is not None
        inner = graph.constant(f"{s.affine.prefix}weight_inner_T", weights["weight_inner"].T)
        total = s.op("Add", total, s.op("MatMul", s.before.c, inner))
    if s.affine.joint:
        total = s.affine.normalised(graph, total, "gain", weights["gain"])
        for bias in ("bias_ih", "bias_hh"):
            if bias in weights:
                total = s.op("Add", total, s.weight(bias))
    new = activation(graph, s.options.candidate_activation, total)
    leak = s.options.leak
    if leak is None:
        return new, new
    if isinstance(leak, str):
        keep = graph.constant(f"{s.affine.prefix}kept", 1 / (1 + np.exp(-weights["leak"].astype(np.float64))))
    else:
        keep = graph.constant(f"{s.affine.prefix}kept", leak)
    return s.mixed(keep, s.carried, new), None


def _gru(s: CellStep) -> tuple[str, str | None]:
    graph, options = s.graph, s.options
    A = s.recurrent("rzn" if options.reset_after else "rz")
    r = activation(graph, options.gate_activation, s.op("Add", s.x["r"], A["r"]))
    z = activation(graph, options.gate_activation, s.op("Add", s.x["z"], A["z"]))
    if options.reset_after:
        product = s.op("Mul", r, A["n"])
    else:
        product = s.recurrent("n", s.op("Mul", r, s.before.h))["n"]
    n = activation(graph, options.candidate_activation, s.op("Add", s.x["n"], product))
    q = s.mixed(z, s.carried, n)
    return q, q


def _lstm(s: CellStep) -> tuple[str, str | None]:
    graph, options, c = s.graph, s.options, s.carried
    letters = s.affine.letters
    A = s.recurrent(letters.replace("g", "") if options.relevance else letters)
    rows = {gate: row for row, gate in enumerate("io" if options.coupled else "ifo")}

    def gate(letter: str, seen: str | None = None) -> str:
        total = s.op("Add", s.x[letter], A[letter])
        if options.peephole and seen is not None:
            total = s.op("Add", total, s.op("Mul", s.weight("weight_peephole", rows[letter]), seen))
        return activation(graph, options.gate_activation, total)

    i = gate("i", c)
    f = s.op("Sub", graph.number(1.0), i) if options.coupled else gate("f", c)
    product = s.recurrent("g", s.op("Mul", gate("r"), s.before.h))["g"] if options.relevance else A["g"]
    g = activation(graph, options.candidate_activation, s.op("Add", s.x["g"], product))
    new = s.op("Add", s.op("Mul", f, c), s.op("Mul", i, g))
    if options.cell_clip:
        new = s.op("Clip", new, graph.number(-options.cell_clip), graph.number(options.cell_clip))
    o = gate("o", c if options.peephole == "previous" else new)
    read = new
    if options.layer_norm:
        scaled = s.affine.normalised(graph, new, "gain_c", s.affine.weights["gain_c"])
        read = s.op("Add", scaled, s.weight("bias_c"))
    return s.op("Mul", o, activation(graph, options.output_activation, read)), new


def _slstm(s: CellStep) -> tuple[str, str | None]:
    graph = s.graph
    c, n, m = graph.split(s.carried, [s.H] * 3)
    A = s.recurrent("ifzo")
    total = {letter: s.op("Add", s.x[letter], A[letter]) for letter in "ifzo"}
    log_i, log_f = total["i"], _log_sigmoid(s, total["f"])
    z, o = s.op("Tanh", total["z"]), s.op("Sigmoid", total["o"])
    kept = s.op("Add", log_f, m)
    stored = s.op("Greater", n, graph.number(0.0))
    new_m = s.op("Where", stored, s.op("Max", kept, log_i), log_i)
    i = s.op("Exp", s.op("Sub", log_i, new_m))
    f = s.op("Exp", s.op("Min", s.op("Sub", kept, new_m), graph.number(88.0)))
    new_c = s.op("Add", s.op("Mul", f, c), s.op("Mul", i, z))
    new_n = s.op("Add", s.op("Mul", f, n), i)
    return s.op("Mul", o, s.op("Div", new_c, new_n)), graph.join([new_c, new_n, new_m], -1)


def _mingru(s: CellStep) -> tuple[str, str | None]:
    n = activation(s.graph, s.options.candidate_activation, s.x["n"])
    return s.mixed(s.op("Sigmoid", s.x["z"]), n, s.carried), None


def _minlstm(s: CellStep) -> tuple[str, str | None]:
    ratio = s.op("Sub", _log_sigmoid(s, s.x["i"]), _log_sigmoid(s, s.x["f"]))
    n = activation(s.graph, s.options.candidate_activation, s.x["n"])
    return s.mixed(s.op("Sigmoid", ratio), n, s.carried), None


def _log_sigmoid(s: CellStep, value: str) -> str:
    """Return log sigmoid(x) = min(x, 0) - log(1 + exp(-|x|)), which no x takes out of range."""
    small = s.op("Exp", s.op("Neg", s.op("Abs", value)))
    rest = s.op("Log", s.op("Add", small, s.graph.number(1.0)))
    return s.op("Sub", s.op("Min", value, s.graph.number(0.0)), rest)


_CELLS: dict[str, Callable[[CellStep], tuple[str, str | None]]] = {
    "elman": _elman,
    "jordan": _elman,
    "gru": _gru,
    "lstm": _lstm,
    "slstm": _slstm,
    "mingru": _mingru,
    "minlstm": _minlstm,
}


def step(s: CellStep) -> StepState:
    """Write a whole step; return the state after it: the cell, its projection, then zoneout."""
    graph, options, weights = s.graph, s.options, s.affine.weights
    q, c = _CELLS[options.cell](s)
    h = q
    if "weight_hr" in weights:
        h = s.op("MatMul", q, graph.constant(f"{s.affine.prefix}weight_hr_T", weights["weight_hr"].T))
        if "bias_hr" in weights:
            h = s.op("Add", h, s.weight("bias_hr"))
        h = activation(graph, options.projection_activation, h)
    keep_h, keep_c = options.zoneout
    if keep_h:
        h = s.mixed(graph.number(keep_h), s.before.h, h)
    if s.before.c is None:
        c = None
    elif keep_c:
        assert c is not None
        c = s.mixed(graph.number(keep_c), s.before.c, c)
    past = None
    if s.before.past is not None:
        width = options.output_size(s.H)
        later = graph.cut(s.before.past, width, options.skip * width, -1) if options.skip > 1 else None
        past = h if later is None else graph.join([later, h], -1)
    return StepState(h, c, past)
