"""Step by step: one time step per call from Python, the state kept by the caller or the peer.

A turn begins with a zero state; an answer is the outputs of four consecutive steps. "smallest" is a stream of
a layer 1 -> 1, which computes almost nothing: the time spent outside the kernel.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.compare.job import Job
from benchmarks.compare.limits import Limits
from fastrnn import _dispatch, reference
from fastrnn.cli.benchmark.cases import Case, Problem, Shape, make_problem
from fastrnn.cli.benchmark.peers import native, onnx_runtime, pytorch
from fastrnn.cli.benchmark.points import Point
from fastrnn.cli.benchmark.task import Task

SHAPE = Shape(T=1, N=1, D=64, H=128)
STEPS = 4


def points(job: Job, limits: Limits) -> Iterator[Point]:
    """Yield a point for each cell."""
    for cell in job.cells:
        problem = make_problem(Case(cell, "forward", SHAPE), job.threads)
        point = Point("step", problem.case.described(), job.threads, expected(problem))
        for peer in job.peers:
            for name, make in TASKS.get(peer, {}).items():
                point.add(name, make(problem))
            if peer not in TASKS:
                point.unsupported[peer] = "not written for single steps"
        smallest = make_problem(Case(cell, "forward", Shape(1, 1, 1, 1)), job.threads)
        point.add("smallest", fastrnn_task(smallest), None)
        yield point


def expected(problem: Problem) -> dict[str, Any]:
    """Return the reference's outputs for the same x four times."""
    cell = {"rnn": "elman"}.get(problem.case.cell, problem.case.cell)
    precise = problem.in_dtype(np.float64)
    y, _, _ = reference.CELLS[cell].forward(np.repeat(precise.x, STEPS, axis=0), precise.layer(0))
    return {"y": y}


def stepping(step: Callable[[], Any], read: Callable[[Any], Any], before: Callable[[], None]) -> Task:
    """Make a task of one step; its answer takes three more."""

    def answer(first: Any) -> dict[str, Any]:
        outputs = [np.array(read(first))]
        outputs += [np.array(read(step())) for _ in range(STEPS - 1)]
        return {"y": np.stack(outputs).reshape(STEPS, 1, -1)}

    return Task(step, answer, before)


def fastrnn_task(problem: Problem) -> Task:
    """Make a task of `fastrnn.LSTM.stream`."""
    stream = native.make_layer(problem).stream()
    x = problem.x[0]

    def before() -> None:
        _dispatch.set_num_threads(problem.threads)
        stream.reset()

    return stepping(lambda: stream.step(x), lambda y: y, before)


def numpy_task(problem: Problem) -> Task:
    """Make a task of `fastrnn.reference.lstm_step`."""
    step_of = {"rnn": reference.elman_step, "gru": reference.gru_step, "lstm": reference.lstm_step}
    cell_step, x, weights = step_of[problem.case.cell], problem.x[0], problem.layer(0)
    kept: dict[str, Any] = {}

    def step() -> Any:
        kept["state"] = cell_step(x, kept["state"], weights)
        return kept["state"][0]

    count = 2 if problem.case.cell == "lstm" else 1
    zero = tuple(np.zeros((1, problem.case.shape.H), np.float32) for _ in range(count))
    return stepping(step, lambda h: h, lambda: kept.update(state=zero))


def torch_task(problem: Problem) -> Task:
    """Make a task of `torch.nn.LSTM` on a sequence of one step."""
    torch = importlib.import_module("torch")
    module, x, kept = pytorch.make_module(problem), torch.from_numpy(problem.x), {"state": None}

    def step() -> Any:
        with torch.inference_mode():
            y, kept["state"] = module(x, kept["state"])
            return y

    return stepping(step, lambda y: y.numpy(), lambda: kept.update(state=None))


def torch_cell_task(problem: Problem) -> Task:
    """Make a task of `torch.nn.LSTMCell`."""
    torch = importlib.import_module("torch")
    cell, shape = problem.case.cell, problem.case.shape
    module = getattr(torch.nn, f"{cell.upper()}Cell")(shape.D, shape.H)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    module.load_state_dict(
        {name: torch.from_numpy(value) for name, value in zip(names, problem.layer(0), strict=True)}
    )
    x, kept = torch.from_numpy(problem.x[0]), {"state": None}

    def step() -> Any:
        with torch.inference_mode():
            kept["state"] = module(x, kept["state"])
            return kept["state"]

    def read(state: Any) -> Any:
        return (state[0] if cell == "lstm" else state).numpy()

    return stepping(step, read, lambda: kept.update(state=None))


def onnx_task(problem: Problem) -> Task:
    """Make a task of a session with the state as input and output."""
    session = onnx_runtime.make_session(problem, state_inputs=True)
    names = ("h0", "c0") if problem.case.cell == "lstm" else ("h0",)
    zero = np.zeros((1, 1, problem.case.shape.H), np.float32)
    feed = {"x": problem.x, **dict.fromkeys(names, zero)}

    def step() -> Any:
        y, *state = session.run(None, feed)
        feed.update(zip(names, state, strict=True))
        return y

    return stepping(step, lambda y: y, lambda: feed.update(dict.fromkeys(names, zero)))


TASKS: dict[str, dict[str, Callable[[Problem], Task]]] = {
    "fastrnn": {"fastrnn": fastrnn_task},
    "numpy": {"numpy": numpy_task},
    "pytorch": {"pytorch": torch_task, "pytorch-cell": torch_cell_task},
    "onnxruntime": {"onnxruntime": onnx_task},
}
