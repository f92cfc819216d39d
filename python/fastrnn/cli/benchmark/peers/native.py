"""fastrnn."""

from __future__ import annotations

from typing import Any

from fastrnn import _dispatch, layers
from fastrnn.cli.benchmark.cases import Problem
from fastrnn.cli.benchmark.task import Answer, Task, Unsupported
from fastrnn.layers.base.precision import Precision
from fastrnn.layers.recurrent.options import CELLS

__all__ = ["make_layer", "prepare"]

_LAYERS: dict[str, Any] = {cell.name: getattr(layers, cell.layer) for cell in CELLS.values() if cell.plain}


def make_layer(problem: Problem, precision: Precision = "float32") -> Any:
    """Return a layer with the problem's parameters."""
    _, _, D, H, num_layers = problem.case.shape
    rnn = _LAYERS[problem.case.cell](D, H, num_layers, seed=0)
    rnn.load_state_dict(problem.parameters)
    rnn._set_precision(precision)
    return rnn


def prepare(problem: Problem, *, layer: Any = None, precision: Precision = "float32") -> Task:
    """Return a task of one call of a layer, by default that of `make_layer`.

    In training the weights count as new each time, as after an optimiser.
    """
    if problem.training and precision == "int8":
        raise Unsupported("for inference")
    rnn = layer or make_layer(problem, precision)
    lengths = problem.lengths

    def forward() -> Any:
        return rnn(problem.x, lengths=lengths)

    def training() -> Any:
        rnn.parameters._writable_flat()  # as an optimiser does: invalidates the packed weights
        rnn.zero_grad()
        y, state, tape = rnn.forward(problem.x, lengths=lengths)
        dx, _ = rnn.backward(tape, problem.dy)
        return y, state, dx

    def answer(result: Any) -> Answer:
        y, state, *dx = result
        h, *c = state if problem.case.cell == "lstm" else (state,)
        found: Answer = {"y": y, "h": h, **({"c": c[0]} if c else {})}
        if dx:
            found["dx"] = dx[0]
            found.update({f"d{name}": value for name, value in rnn.gradients.items()})
        return found

    return Task(
        training if problem.training else forward,
        answer,
        before=lambda: _dispatch.set_num_threads(problem.threads),
    )
