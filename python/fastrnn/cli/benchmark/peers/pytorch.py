"""PyTorch on the CPU in eager mode: `torch.nn.RNN`, `GRU` and `LSTM`."""

from __future__ import annotations

import importlib
from typing import Any

from fastrnn.cli.benchmark.cases import Problem
from fastrnn.cli.benchmark.task import Answer, Task, Unsupported

__all__ = ["make_module", "prepare"]


def make_module(problem: Problem) -> Any:
    """Return a module with the problem's parameters."""
    torch = importlib.import_module("torch")
    _, _, D, H, layers = problem.case.shape
    module = getattr(torch.nn, problem.case.cell.upper())(D, H, layers)
    module.load_state_dict({name: torch.from_numpy(value) for name, value in problem.parameters.items()})
    return module


def prepare(problem: Problem, *, autocast: bool = False, dtype: str = "float32") -> Task:
    """Return a task of one call; with `autocast` PyTorch uses bfloat16 where it considers that safe.

    Parameters and inputs have the dtype, ``"float32"`` or ``"bfloat16"``.

    Gradients come from ``autograd.grad``, so that nothing is cleared or accumulated between calls.

    Raises
    ------
    Unsupported
        If this CPU does not support bfloat16.
    """
    torch = importlib.import_module("torch")
    kind = getattr(torch, dtype)
    module = make_module(problem).to(kind)
    x, dy = torch.from_numpy(problem.x).to(kind), torch.from_numpy(problem.dy).to(kind)
    names, parameters = zip(*module.named_parameters(), strict=True)
    if problem.lengths is not None:
        lengths = torch.from_numpy(problem.lengths)
        x = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        dy = torch.nn.utils.rnn.pack_padded_sequence(dy, lengths, enforce_sorted=False).data
    values = x if problem.lengths is None else x.data
    values.requires_grad_(problem.training)

    def call() -> Any:
        if not autocast:
            return module(x)
        with torch.autocast("cpu", torch.bfloat16):
            return module(x)

    def forward() -> Any:
        with torch.inference_mode():
            return call()

    def training() -> Any:
        y, state = call()
        data = y if problem.lengths is None else y.data
        gradients = torch.autograd.grad(data, (values, *parameters), dy.to(data.dtype))
        return y, state, gradients

    def padded(data: Any) -> Any:
        if problem.lengths is None:
            return data
        packed = torch.nn.utils.rnn.PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return torch.nn.utils.rnn.pad_packed_sequence(packed, total_length=problem.case.shape.T)[0]

    def answer(result: Any) -> Answer:
        y, state, *gradients = result
        state = state if problem.case.cell == "lstm" else (state,)
        found = {
            "y": padded(y if problem.lengths is None else y.data),
            **dict(zip("hc", state, strict=False)),
        }
        if gradients:
            dx, *dparameters = gradients[0]
            found["dx"] = padded(dx)
            found.update({f"d{name}": value for name, value in zip(names, dparameters, strict=True)})
        return {name: value.detach().float().numpy() for name, value in found.items()}

    run = training if problem.training else forward
    if autocast or dtype == "bfloat16":  # this CPU may lack the instructions of oneDNN's bfloat16 kernels
        try:
            run()
        except RuntimeError as error:
            raise Unsupported(f"bfloat16 on this CPU: {error}") from error
    return Task(run, answer, before=lambda: torch.set_num_threads(problem.threads))
