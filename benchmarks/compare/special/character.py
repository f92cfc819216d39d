"""A complete training step of a character model.

Embedding, two LSTM layers, output layer, softmax and cross-entropy, gradient clipping, Adam. A turn begins
with the initial parameters; an answer is the loss and gradient norm of four consecutive steps on one batch.
"smallest" is the same step with every size at 1: the cost of Python.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from benchmarks.compare.job import Job
from benchmarks.compare.limits import Limits
from fastrnn import LanguageModel, _dispatch, reference
from fastrnn.cli.benchmark.points import Point
from fastrnn.cli.benchmark.task import Task
from fastrnn.train import Adam, clip_gradient_norm

RATE = 2e-3
CLIP = 0.1  # below the gradient norm of an untrained model, so that clipping acts
STEPS = 4
TOLERANCE = 1e-3  # four steps of Adam, which amplifies small differences


class Size(NamedTuple):
    """T steps, N sequences, V symbols, embedding width E, hidden width H, layers."""

    T: int
    N: int
    V: int
    E: int
    H: int
    layers: int


SIZES = (Size(50, 50, 65, 128, 128, 2), Size(100, 32, 96, 256, 256, 2))


@dataclass(frozen=True)
class Batch:
    """Initial parameters and one batch of ids."""

    size: Size
    parameters: dict[str, np.ndarray]
    inputs: np.ndarray  # int64 [T, N]
    targets: np.ndarray


def points(job: Job, limits: Limits) -> Iterator[Point]:
    """Yield a point for each size."""
    for size in SIZES:
        batch = make_batch(size)
        precise = Batch(
            size, {n: v.astype(np.float64) for n, v in batch.parameters.items()}, batch.inputs, batch.targets
        )
        exact = numpy_task(precise)
        exact.before()
        point = Point(
            "character",
            {"cell": "lstm", **size._asdict()},
            job.threads,
            exact.answer(exact.run()),
        )
        for peer in job.peers:
            if peer in TASKS:
                point.add(peer, TASKS[peer](batch, job.threads), TOLERANCE)
            else:
                point.unsupported[peer] = "not written for a whole training step"
        smallest = make_batch(Size(1, 1, 1, 1, 1, 1))
        point.add("smallest", fastrnn_task(smallest, job.threads), None)
        yield point


def make_model(size: Size, **options: Any) -> LanguageModel:
    """Make fastrnn's model."""
    sizes = {"hidden_size": size.H, "num_layers": size.layers, "embedding_size": size.E}
    return LanguageModel(size.V, **sizes, seed=0, **options)


def make_batch(size: Size) -> Batch:
    """Draw ids; take the initial parameters from fastrnn's model."""
    ids = np.random.default_rng(0).integers(0, size.V, (size.T + 1, size.N))
    parameters = {name: np.array(value) for name, value in make_model(size).state_dict().items()}
    return Batch(size, parameters, np.ascontiguousarray(ids[:-1]), np.ascontiguousarray(ids[1:]))


def stepping(step: Callable[[], tuple[float, float]], before: Callable[[], None]) -> Task:
    """Make a task of one step; its answer takes three more."""

    def answer(first: Any) -> dict[str, np.ndarray]:
        losses, norms = zip(first, *(step() for _ in range(STEPS - 1)), strict=True)
        return {"loss": np.array(losses, np.float64), "norm": np.array(norms, np.float64)}

    return Task(step, answer, before)


def fastrnn_task(batch: Batch, threads: int, **options: Any) -> Task:
    """Train with `LanguageModel`, `clip_gradient_norm` and `Adam`."""
    model, optimizers = make_model(batch.size, **options), {}

    def before() -> None:
        _dispatch.set_num_threads(threads)
        model.load_state_dict(batch.parameters)
        optimizers["adam"] = Adam(model, RATE)

    def step() -> tuple[float, float]:
        model.zero_gradients()
        loss, _ = model.loss_and_gradients(batch.inputs, batch.targets)
        norm = clip_gradient_norm(model, CLIP)
        optimizers["adam"].step()
        return loss, norm

    return stepping(step, before)


def torch_task(batch: Batch, threads: int, *, dtype: str = "float32", autocast: bool = False) -> Task:
    """Train with PyTorch's modules and its fused Adam: parameters of a dtype, or in bfloat16 by autocast."""
    torch = importlib.import_module("torch")
    size, kept = batch.size, {}
    model = torch.nn.Module()
    model.embedding = torch.nn.Embedding(size.V, size.E)
    model.rnn = torch.nn.LSTM(size.E, size.H, size.layers)
    model.output = torch.nn.Linear(size.H, size.V)
    model.to(getattr(torch, dtype))
    inputs, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets).reshape(-1)

    def before() -> None:
        torch.set_num_threads(threads)
        model.load_state_dict({name: torch.from_numpy(value) for name, value in batch.parameters.items()})
        kept["adam"] = torch.optim.Adam(model.parameters(), RATE, fused=True)

    def step() -> tuple[float, float]:
        kept["adam"].zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y, _ = model.rnn(model.embedding(inputs))
            loss = torch.nn.functional.cross_entropy(model.output(y).reshape(-1, size.V), targets)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        kept["adam"].step()
        return loss.item(), norm.item()

    return stepping(step, before)


def numpy_task(batch: Batch, threads: int = 1) -> Task:
    """Train with the NumPy reference, against which the others are verified."""
    size, p, moments = batch.size, {}, {}
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

    def before() -> None:
        p.update({name: value.copy() for name, value in batch.parameters.items()})
        moments.update({name: (np.zeros_like(value), np.zeros_like(value)) for name, value in p.items()})
        moments["step"] = 0

    def step() -> tuple[float, float]:
        weights = [[tuple(p[f"rnn.{n}_l{index}"] for n in names)] for index in range(size.layers)]
        x = reference.embedding_forward(batch.inputs, p["embedding.weight"])
        y, _, tapes = reference.stack_forward("lstm", x, weights)
        rows, targets = y.reshape(-1, size.H), batch.targets.reshape(-1)
        end = reference.linear_cross_entropy(
            rows, p["output.weight"], p["output.bias"], targets, 1 / targets.size
        )
        dx, _, dlayers = reference.stack_backward("lstm", weights, tapes, end.dh.reshape(y.shape))
        g = {"output.weight": end.dweight, "output.bias": end.dbias}
        g["embedding.weight"] = reference.embedding_backward(batch.inputs, dx, size.V)
        for index, (layer,) in enumerate(dlayers):
            g.update({f"rnn.{name}_l{index}": value for name, value in zip(names, layer, strict=True)})
        norm = reference.clip_norm(g.values(), CLIP)
        moments["step"] += 1
        for name, value in p.items():
            reference.adam_step(value, g[name], *moments[name], moments["step"], RATE)
        return float(end.losses.mean()), norm

    return stepping(step, before)


TASKS = {
    "fastrnn": fastrnn_task,
    "numpy": numpy_task,
    "pytorch": torch_task,
}
