"""The NumPy reference, with which all other peers are verified."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import reference
from fastrnn.cli.benchmark.cases import Problem
from fastrnn.cli.benchmark.task import Answer, Task

__all__ = ["prepare"]

_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def prepare(problem: Problem) -> Task:
    """Return a task in the precision of the problem's arrays; the process sets the threads of BLAS."""
    cell = {"rnn": "elman"}.get(problem.case.cell, problem.case.cell)
    weights = [[problem.layer(index)] for index in range(problem.case.shape.layers)]
    rows = reference.Rows(problem.lengths)

    def run() -> Any:
        y, states, tapes = reference.stack_forward(cell, problem.x, weights, rows=rows)
        if not problem.training:
            return y, states
        dx, _, dweights = reference.stack_backward(cell, weights, tapes, problem.dy)
        return y, states, dx, dweights

    def answer(result: Any) -> Answer:
        y, states, *gradients = result
        state_names = ("h", "c") if cell == "lstm" else ("h",)
        found: Answer = {"y": y}
        for index, name in enumerate(state_names):
            found[name] = np.stack([state[index] for (state,) in states])
        if gradients:
            found["dx"] = gradients[0]
            for index, (layer,) in enumerate(gradients[1]):
                found.update({f"d{n}_l{index}": value for n, value in zip(_NAMES, layer, strict=True)})
        return found

    return Task(run, answer)
