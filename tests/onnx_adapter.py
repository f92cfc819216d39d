"""Run ONNX's nodes RNN, GRU and LSTM with layers of fastrnn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import fastrnn as fr

if TYPE_CHECKING:
    from collections.abc import Mapping

#: ONNX's index of each of our gates, blocks of H rows: GRU z, r, h; LSTM i, o, f, c.
GATES = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1), "LSTM coupled": (0, 3, 1)}
#: The same for peepholes: i, o, f.
PEEPHOLES = {False: (0, 2, 1), True: (0, 1)}
#: Our names of an operator's activations, in its order.
ACTIVATIONS = {
    "RNN": ("nonlinearity",),
    "GRU": ("gate_activation", "candidate_activation"),
    "LSTM": ("gate_activation", "candidate_activation", "output_activation"),
}
NAMES = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "hardsigmoid": "hard_sigmoid"}
#: Attributes that no layer supports.
UNSUPPORTED = ("clip", "activation_alpha", "activation_beta")


def run_node(node: Any, attributes: Mapping[str, Any], feeds: Mapping[str, Any]) -> dict[str, Any]:
    """Run one node on arrays by name; return Y, Y_h and, for an LSTM, Y_c.

    Raises
    ------
    NotImplementedError
        If no layer supports the node.
    """
    names = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
    given = {
        name: feeds[own] for name, own in zip(names, node.input, strict=False) if own and feeds[own].size
    }
    batch_first = attributes.get("layout", 0) == 1
    rnn = layer_of(node.op_type, attributes, given)
    load(rnn, node.op_type, given)

    def swapped(array: Any) -> Any:
        return array.swapaxes(0, 1) if batch_first else array

    x = given["X"]
    parts = {name: swapped(given[name]) for name in ("initial_h", "initial_c") if name in given}
    zero = np.zeros((rnn.directions, x.shape[0 if batch_first else 1], rnn.hidden_size), x.dtype)
    h = parts.get("initial_h", zero)
    state = (h, parts.get("initial_c", zero)) if node.op_type == "LSTM" else h
    y, last = rnn(x, state, given.get("sequence_lens"))
    y = y.reshape(*y.shape[:2], rnn.directions, rnn.hidden_size)
    lasts = [swapped(part) for part in (last if isinstance(last, tuple) else (last,))]
    return dict(zip(("Y", "Y_h", "Y_c"), (y if batch_first else y.swapaxes(1, 2), *lasts), strict=False))


def layer_of(op: str, attributes: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Make the layer that matches a node with these attributes and inputs."""
    for name in UNSUPPORTED:
        if name in attributes:
            raise NotImplementedError(f"{name}: no layer supports it")
    direction = attributes.get("direction", "forward")
    options: dict[str, Any] = {
        "bidirectional": direction == "bidirectional",
        "reverse": direction == "reverse",
        "batch_first": attributes.get("layout", 0) == 1,
        "bias": "B" in given,
        "dtype": given["X"].dtype,
    }
    if "activations" in attributes:
        options |= activations_of(op, attributes["activations"], 1 + options["bidirectional"])
    if op == "GRU":
        options["reset_after"] = attributes.get("linear_before_reset", 0) != 0
    if op == "LSTM":
        options |= {"coupled": attributes.get("input_forget", 0) != 0, "peephole": "P" in given}
    H = given["R"].shape[2]
    if attributes.get("hidden_size", H) != H:
        raise ValueError(f"hidden_size: expected {H}, as R has it, got {attributes['hidden_size']}")
    return getattr(fr, op)(given["W"].shape[2], H, **options)


def activations_of(op: str, given: list[str], directions: int) -> dict[str, str]:
    """Return the layer's options for a node's activations, listed direction by direction."""
    options = ACTIVATIONS[op]
    names = [name.lower() for name in given]
    if names != names[: len(options)] * directions:
        raise NotImplementedError(f"activations: expected the same ones in each direction, got {given}")
    for name in names:
        if name not in NAMES:
            raise NotImplementedError(f"activations: no layer has {name}")
    return {option: NAMES[name] for option, name in zip(options, names, strict=False)}


def load(rnn: Any, op: str, given: Mapping[str, Any]) -> None:
    """Copy a node's weights into a layer."""
    coupled = rnn.options.coupled

    def ordered(array: Any, blocks: tuple[int, ...]) -> Any:
        rows = array.reshape(-1, rnn.hidden_size, *array.shape[1:])
        return rows[list(blocks)].reshape(-1, *array.shape[1:])

    gates = GATES["LSTM coupled" if coupled else op]
    with rnn.parameters.edit() as views:
        for direction, suffix in enumerate(("_l0", "_l0_reverse")[: rnn.directions]):
            views[f"weight_ih{suffix}"][...] = ordered(given["W"][direction], gates)
            views[f"weight_hh{suffix}"][...] = ordered(given["R"][direction], gates)
            if rnn.bias:
                both = np.split(given["B"][direction], 2)
                for name, bias in zip(("bias_ih", "bias_hh"), both, strict=True):
                    views[f"{name}{suffix}"][...] = ordered(bias, gates)
            if rnn.options.peephole:
                rows = given["P"][direction].reshape(3, -1)
                views[f"weight_peephole{suffix}"][...] = rows[list(PEEPHOLES[coupled])]
