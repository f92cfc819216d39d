"""Cases of attention, forward and backward, each in fastrnn and in PyTorch operators from equal weights.

``attention_cases()`` returns them. A case has a name, a call that runs fastrnn, one that runs PyTorch, and a
check that both agree: outputs and the gradients of queries, values and parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastrnn as fr

#: T queries, N sequences, S source steps, and one width for queries, keys and the hidden layer.
SHAPES = ((1, 32, 20, 128), (20, 32, 30, 128), (10, 64, 30, 64), (50, 16, 50, 256))
KINDS = ("additive", "multiplicative")


@dataclass(frozen=True)
class AttentionCase:
    """One problem for both libraries."""

    name: str
    run_fastrnn: Callable[[], dict[str, np.ndarray]]
    run_torch: Callable[[], dict[str, Any]]

    def check(self) -> None:
        """Raise AssertionError unless both agree."""
        ours, theirs = self.run_fastrnn(), self.run_torch()
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            wanted = theirs[name].detach().numpy()
            scale = max(1.0, float(np.abs(wanted).max()))
            np.testing.assert_allclose(value, wanted, rtol=1e-3, atol=2e-5 * scale, err_msg=name)


def make_case(kind: str, T: int, N: int, S: int, width: int, seed: int = 0) -> AttentionCase:
    """Return the case of one kind of score and one shape, ragged: lengths from S / 2 to S."""
    import torch

    random = np.random.default_rng(seed)
    queries, values, dcontext = (
        random.normal(size=shape).astype("f") for shape in ((T, N, width), (S, N, width), (T, N, width))
    )
    lengths = random.integers(S // 2, S + 1, size=N)
    lengths[0] = S
    layer: Any = (
        fr.AdditiveAttention(width, width, width, seed=seed)
        if kind == "additive"
        else fr.MultiplicativeAttention(width, width, seed=seed)
    )

    def run_fastrnn() -> dict[str, np.ndarray]:
        layer.zero_gradients()
        memory = layer.prepare(values, lengths)
        context, weights, tape = layer.forward(queries, memory)
        dqueries = layer.backward(tape, dcontext)
        dvalues = layer.backward_memory(memory)
        found = {"context": context, "weights": weights, "dqueries": dqueries, "dvalues": dvalues}
        return found | dict(layer.gradients)

    modules = {name: torch.tensor(value, requires_grad=True) for name, value in layer.parameters.items()}
    q, h = torch.tensor(queries, requires_grad=True), torch.tensor(values, requires_grad=True)
    slope = torch.tensor(dcontext).transpose(0, 1)
    hidden = torch.arange(S)[None, None, :] >= torch.tensor(lengths)[:, None, None]
    linear = torch.nn.functional.linear

    def run_torch() -> dict[str, Any]:
        for leaf in (q, h, *modules.values()):
            leaf.grad = None
        keys = linear(h, modules["key.weight"], modules.get("key.bias")).transpose(0, 1)
        rows = h.transpose(0, 1)
        if kind == "additive":
            own = linear(q, modules["query.weight"]).transpose(0, 1)
            scores = torch.tanh(own[:, :, None] + keys[:, None]) @ modules["score.weight"][0]
        else:
            scores = q.transpose(0, 1) @ keys.transpose(1, 2)
        weights = torch.softmax(scores.masked_fill(hidden, -torch.inf), dim=-1)
        context = weights @ rows
        context.backward(slope)
        found = {"context": context.transpose(0, 1), "weights": weights.transpose(0, 1)}
        found |= {"dqueries": q.grad, "dvalues": h.grad}
        return found | {name: leaf.grad for name, leaf in modules.items()}

    return AttentionCase(f"{kind} T={T} N={N} S={S} width={width}", run_fastrnn, run_torch)


def attention_cases() -> list[AttentionCase]:
    """Return all cases."""
    return [make_case(kind, *shape) for kind in KINDS for shape in SHAPES]
