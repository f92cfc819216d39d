"""JAX on the CPU: `lax.scan` over the steps under `jit`, after one input product for all steps.

JAX uses one thread per CPU that its process may use.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from fastrnn.cli.benchmark.cases import Problem
from fastrnn.cli.benchmark.task import Answer, Task, Unsupported

__all__ = ["prepare"]


def _rnn(jax: Any, state: Any, a: Any, w_hh: Any, b_hh: Any) -> Any:
    (h,) = state
    h = jax.numpy.tanh(a + h @ w_hh.T + b_hh)
    return (h,), h


def _gru(jax: Any, state: Any, a: Any, w_hh: Any, b_hh: Any) -> Any:
    (h,) = state
    a_r, a_z, a_n = jax.numpy.split(a, 3, axis=-1)
    h_r, h_z, h_n = jax.numpy.split(h @ w_hh.T + b_hh, 3, axis=-1)
    r = jax.nn.sigmoid(a_r + h_r)
    z = jax.nn.sigmoid(a_z + h_z)
    n = jax.numpy.tanh(a_n + r * h_n)
    h = (1 - z) * n + z * h
    return (h,), h


def _lstm(jax: Any, state: Any, a: Any, w_hh: Any, b_hh: Any) -> Any:
    h, c = state
    i, f, g, o = jax.numpy.split(a + h @ w_hh.T + b_hh, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jax.numpy.tanh(g)
    h = jax.nn.sigmoid(o) * jax.numpy.tanh(c)
    return (h, c), h


_STEPS = {"rnn": _rnn, "gru": _gru, "lstm": _lstm}


def prepare(problem: Problem) -> Task:
    """Return a task that runs one compiled function, in the calling thread because that is faster here."""
    if problem.lengths is not None:
        raise Unsupported("rows of different lengths: not supported by lax.scan")
    jax = importlib.import_module("jax")
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    step, states = _STEPS[problem.case.cell], ("h", "c") if problem.case.cell == "lstm" else ("h",)

    def forward(layers: Any, x: Any) -> Any:
        finals = []
        for w_ih, w_hh, b_ih, b_hh in layers:
            zero = tuple(jax.numpy.zeros((x.shape[1], w_hh.shape[1]), x.dtype) for _ in states)
            state, x = jax.lax.scan(
                lambda s, a, w=w_hh, b=b_hh: step(jax, s, a, w, b), zero, x @ w_ih.T + b_ih
            )
            finals.append(state)
        return x, tuple(map(jax.numpy.stack, zip(*finals, strict=True)))

    def training(layers: Any, x: Any, dy: Any) -> Any:
        (y, state), backward = jax.vjp(forward, layers, x)
        dlayers, dx = backward((dy, jax.tree.map(jax.numpy.zeros_like, state)))
        return y, state, dx, dlayers

    layers = [problem.layer(index) for index in range(problem.case.shape.layers)]
    given = (layers, problem.x, problem.dy) if problem.training else (layers, problem.x)
    arguments = jax.device_put(given)
    compiled = jax.jit(training if problem.training else forward)

    def run() -> Any:
        result = compiled(*arguments)
        result[0].block_until_ready()  # all results of an executable are ready together
        return result

    def answer(result: Any) -> Answer:
        y, state, *gradients = result
        found = {"y": y, **dict(zip(states, state, strict=True))}
        if gradients:
            found["dx"] = gradients[0]
            for index, layer in enumerate(gradients[1]):
                names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                found.update({f"d{name}_l{index}": value for name, value in zip(names, layer, strict=True)})
        return {name: np.asarray(value) for name, value in found.items()}

    return Task(run, answer)
