"""The native forward and backward passes as one operation of PyTorch's autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from fastrnn._arrays import Array
from fastrnn.interop.torch.layout import Layout, as_tensor, read
from fastrnn.interop.torch.passes import Kept, Plan, joined, split
from fastrnn.layers.recurrent.engine.arguments import States
from fastrnn.layers.recurrent.engine.packed import PassWeights

__all__ = ["Call", "RecurrentFunction", "run"]


class Call(NamedTuple):
    """A call of a module, without its tensors.

    Attributes
    ----------
    plan : Plan
    weights : PassWeights
    layout : Layout
    keys : list of int
        Of the dropout masks.
    states : int
        Number of tensors of the first state that were passed, 0, 1 or 2.
    """

    plan: Plan
    weights: PassWeights
    layout: Layout
    keys: list[int]
    states: int


def run(call: Call, x: Array, *hx: Array) -> tuple[Any, ...]:
    """Return y and the tensors of the last state, without a tape."""
    plan, weights, layout, keys, _ = call
    y, finals = plan.run(weights, layout.to_kernel(x), _states(hx, layout), layout.lengths, keys)
    return as_tensor(layout.to_user(y)), *_joined(finals, layout)


class RecurrentFunction(torch.autograd.Function):
    """``apply(call, x, *hx, *weights)`` returns y and the tensors of the last state.

    Everything that the backward pass needs is kept by autograd itself: it is released, offloaded or computed
    again as for PyTorch's own operations, and an x or y that has been written to since is refused.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, x: Any, *tensors: Any) -> tuple[Any, ...]:
        """Run all layers."""
        plan, weights, layout, keys, count = call
        hx = tensors[:count]
        own = layout.to_kernel(x.detach().numpy())
        states = _states([part.detach().numpy() for part in hx], layout)
        y, finals, arrays = plan.run_kept(weights, own, states, layout.lengths, keys)
        out = as_tensor(layout.to_user(y))
        shared = own.__array_interface__["data"][0] == x.data_ptr()
        padded = layout.places is not None
        ctx.call, ctx.first = call, states
        ctx.x_shared, ctx.y_shared = shared, not padded
        ctx.save_for_backward(
            x if shared else as_tensor(own),
            as_tensor(y) if padded else out,
            *hx,  # `ctx.first` shows their memory; kept here, too, autograd notices a change
            *map(as_tensor, arrays),
        )
        ctx.set_materialize_grads(False)
        return out, *_joined(finals, layout)

    @staticmethod
    def backward(ctx: Any, dy: Any, *dstates: Any) -> tuple[Any, ...]:
        """Run BPTT through all layers."""
        need = ctx.needs_input_grad
        if dy is None and all(part is None for part in dstates):
            return (None,) * len(need)
        gradients = _gradients(ctx, dy, dstates)
        if torch.is_grad_enabled():  # create_graph=True
            trigger = torch.zeros((), device="cpu", requires_grad=True)
            gradients = [None if one is None else _Once.apply(one, trigger) for one in gradients]
        return tuple(gradients)


class _Once(torch.autograd.Function):
    """A gradient that has no derivative."""

    @staticmethod
    def forward(ctx: Any, gradient: Any, trigger: Any) -> Any:
        """Return the gradient; `trigger` requires one."""
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *given: Any) -> Any:
        """Refuse."""
        raise RuntimeError(
            "fastrnn.interop.torch: expected first derivatives only, got a backward pass through a backward "
            "pass; use the module of the same name in torch.nn for second derivatives"
        )


def _gradients(ctx: Any, dy: Any, dstates: tuple[Any, ...]) -> list[Any]:
    """Return the gradients of the arguments of `RecurrentFunction.apply`, None where they are not needed."""
    need = ctx.needs_input_grad
    plan, weights, layout, _, count = ctx.call
    x, y, *rest = [tensor.detach().numpy() for tensor in ctx.saved_tensors]
    kept = Kept(
        layout.to_kernel(x) if ctx.x_shared else x,
        layout.to_kernel(y) if ctx.y_shared else y,
        ctx.first,
        layout.lengths,
        rest[count:],
    )
    dx, dfirsts, gradients = plan.differentiate(
        weights,
        kept,
        None if dy is None else layout.to_kernel(dy.detach().numpy()),
        _state_gradients(plan, dstates, kept, layout),
        need[1],
    )
    results: list[Any] = [None, None if dx is None else as_tensor(layout.to_user(dx))]
    if count:
        results += _joined(dfirsts, layout) if any(need[2 : 2 + count]) else [None] * count
    wanted = need[2 + count :]
    results += [as_tensor(one) if want else None for one, want in zip(gradients, wanted, strict=True)]
    return results


def _states(hx: Sequence[Array], layout: Layout) -> States | None:
    if not hx:
        return None
    parts = [np.ascontiguousarray(part) for part in hx]
    return split([part[:, None] for part in parts] if layout.alone else parts)


def _joined(states: States, layout: Layout) -> list[Any]:
    return [as_tensor(part[:, 0] if layout.alone else part) for part in joined(states)]


def _state_gradients(plan: Plan, given: tuple[Any, ...], kept: Kept, layout: Layout) -> States | None:
    """Return the gradients of the last states; those of an array that is not used are zero."""
    if all(part is None for part in given):
        return None
    shapes = plan.spec.state_shapes(kept.x.shape[1])
    arrays = [
        np.zeros((plan.spec.count, *shape), plan.spec.dtype) if part is None else read(part)
        for part, shape in zip(given, shapes, strict=True)
    ]
    return split([part.reshape(plan.spec.count, *shape) for part, shape in zip(arrays, shapes, strict=True)])
