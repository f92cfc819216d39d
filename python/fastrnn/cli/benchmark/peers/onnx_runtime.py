"""ONNX Runtime: a model with the operator RNN, GRU or LSTM, forward only.

ONNX orders the gates i, o, f, g (LSTM) and z, r, n (GRU), and stores weights as [1, G*H, D] and biases as
[1, 2*G*H]; Y is [T, 1, N, H].
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.cli.benchmark.cases import Problem
from fastrnn.cli.benchmark.task import Answer, Task, Unsupported

__all__ = ["make_model", "make_session", "prepare", "session_of"]

_ORDER = {"rnn": [0], "gru": [1, 0, 2], "lstm": [0, 3, 1, 2]}


def _reordered(cell: str, value: NDArray[Any]) -> NDArray[Any]:
    gates = value.reshape(len(_ORDER[cell]), -1, *value.shape[1:])
    return gates[_ORDER[cell]].reshape(value.shape)


def make_session(problem: Problem, *, state_inputs: bool = False, spinning: bool = False) -> Any:
    """Return a session with the model of `make_model`; `spinning` as in `session_of`."""
    model = make_model(problem, state_inputs=state_inputs)
    return session_of(model.SerializeToString(), problem.threads, spinning=spinning)


def session_of(model: bytes, threads: int, *, spinning: bool = False) -> Any:
    """Return a session with a serialised model.

    With `spinning`, which is ONNX Runtime's default, its threads spin for a while after a run and take CPU
    time from the peer whose turn is next.
    """
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if not spinning:
        options.add_session_config_entry("session.force_spinning_stop", "1")
    return runtime.InferenceSession(model, options, ["CPUExecutionProvider"])


def make_model(problem: Problem, *, state_inputs: bool = False) -> Any:
    """Return a model of the problem, an ``onnx.ModelProto``.

    The inputs are "x" and, with ``state_inputs``, the first layer's "h0" and "c0" [1, N, H]. The outputs are
    "y0" [T, 1, N, H] (numbered as the last layer), then "h0_n", "c0_n", "h1_n", ... [1, N, H].
    """
    onnx = importlib.import_module("onnx")
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    cell, (T, N, D, H, layers) = problem.case.cell, problem.case.shape
    states = ("h", "c") if cell == "lstm" else ("h",)

    def info(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    initializers, nodes, outputs = [], [], []
    if layers > 1:
        initializers.append(from_array(np.array([1], np.int64), "directions"))
    inputs, source = [info("x", T, N, D)], "x"
    if state_inputs:
        inputs += [info(f"{s}0", 1, N, H) for s in states]
    for index in range(layers):
        w_ih, w_hh, b_ih, b_hh = (_reordered(cell, value) for value in problem.layer(index))
        for name, value in (("W", w_ih), ("R", w_hh), ("B", np.concatenate([b_ih, b_hh]))):
            initializers.append(from_array(value[None], f"{name}{index}"))
        given = [source, f"W{index}", f"R{index}", f"B{index}"]
        given += ["", *(f"{s}0" for s in states)] if state_inputs and index == 0 else []
        made = [f"y{index}", *(f"{s}{index}_n" for s in states)]
        options = {"linear_before_reset": 1} if cell == "gru" else {}
        nodes.append(helper.make_node(cell.upper(), given, made, hidden_size=H, **options))
        outputs += [info(name, 1, N, H) for name in made[1:]]
        if index < layers - 1:
            source = f"x{index + 1}"
            nodes.append(helper.make_node("Squeeze", [made[0], "directions"], [source]))
    outputs.insert(0, info(f"y{layers - 1}", T, 1, N, H))
    graph = helper.make_graph(nodes, cell, inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def prepare(problem: Problem, *, spinning: bool = False, session: Any = None) -> Task:
    """Return a task of one run of a session: of the problem's own, or of one with the same names.

    `spinning` is that of `session_of`.
    """
    if problem.training:
        raise Unsupported("forward only")
    if problem.lengths is not None:
        raise Unsupported("rows of different lengths are not measured")
    session = session or make_session(problem, spinning=spinning)
    feed = {"x": problem.x}
    names = ("h", "c") if problem.case.cell == "lstm" else ("h",)

    def answer(result: Any) -> Answer:
        y, *states = result
        found = {"y": y[:, 0]}
        for index, name in enumerate(names):
            found[name] = np.concatenate(states[index :: len(names)])
        return found

    return Task(lambda: session.run(None, feed), answer)
