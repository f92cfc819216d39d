"""The native passes as operators ``fastrnn::recurrent``, which ``torch.compile`` puts into its graphs."""

from __future__ import annotations

from typing import Any

import torch

from fastrnn.interop.torch.layout import as_tensor, read
from fastrnn.interop.torch.passes import Kept, Plan, joined, plan_of, split

__all__ = ["recurrent"]

# The arguments of `plan_of` but the dtype, which is that of x.
_SETTINGS = "str cell, int[] sizes, str option, bool bidirectional, float dropout, bool bias"


def _recurrent(x: Any, hx: list[Any], weights: list[Any], keys: Any, kept: bool, *settings: Any) -> list[Any]:
    """Run all layers over x [T, N, D]; return y, the last state and, if `kept`, what BPTT needs."""
    plan = _plan(x, settings)
    packed, states = plan.pack([read(one) for one in weights]), split([read(one) for one in hx] or None)
    if not kept:
        y, finals = plan.run(packed, read(x), states, None, keys.tolist())
        return [as_tensor(one) for one in (y, *joined(finals))]
    y, finals, arrays = plan.run_kept(packed, read(x), states, None, keys.tolist())
    return [as_tensor(one) for one in (y, *joined(finals), *arrays)]


def _recurrent_shapes(
    x: Any, hx: list[Any], weights: list[Any], keys: Any, kept: bool, *settings: Any
) -> list[Any]:
    plan = _plan(x, settings)
    T, N = x.shape[:2]
    shapes = [(T, N, plan.spec.output_size), *((plan.spec.count, *one) for one in plan.spec.state_shapes(N))]
    return [x.new_empty(shape) for shape in shapes + (plan.kept_shapes(T, N) if kept else [])]


def _backward(
    x: Any, hx: list[Any], weights: list[Any], outputs: list[Any], gradients: list[Any], *settings: Any
) -> list[Any]:
    """Return dx, the gradients of the first state, and those of the weights."""
    plan = _plan(x, settings)
    states = split([read(one) for one in hx] or None)
    own = [read(one) for one in outputs]
    dy, *dstates = [read(one) for one in gradients]
    kept = Kept(read(x), own[0], states, None, own[1:])
    packed = plan.pack([read(one) for one in weights])
    dx, dfirsts, dweights = plan.differentiate(packed, kept, dy, split(dstates), True)
    assert dx is not None
    return [as_tensor(one) for one in (dx, *joined(dfirsts), *dweights)]


def _backward_shapes(
    x: Any, hx: list[Any], weights: list[Any], outputs: list[Any], gradients: list[Any], *settings: Any
) -> list[Any]:
    return [torch.empty_like(one) for one in (x, *gradients[1:], *weights)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[Any]) -> None:
    """Keep what `_differentiate` needs."""
    x, hx, weights, _, _, *ctx.settings = inputs
    ctx.counts = 1 + (ctx.settings[0] == "lstm"), len(hx), len(weights)
    first = 1 + ctx.counts[0]
    ctx.save_for_backward(x, *hx, *weights, output[0], *output[first:])


def _differentiate(ctx: Any, gradients: list[Any]) -> tuple[Any, ...]:
    states, given, count = ctx.counts
    x, *rest = ctx.saved_tensors
    hx, weights, outputs = rest[:given], rest[given : given + count], rest[given + count :]
    of_results = [one.contiguous() for one in gradients[: 1 + states]]
    dx, *others = _recurrent_backward(x, hx, weights, outputs, of_results, *ctx.settings)
    # Without a first state its gradient has no place to go.
    return dx, others[:given], others[states:], None, None, *[None] * len(ctx.settings)


def _plan(x: Any, settings: tuple[Any, ...]) -> Plan:
    cell, sizes, option, *rest = settings
    dtype = str(x.dtype).removeprefix("torch.")
    return plan_of(cell, tuple(sizes), int(option) if cell == "lstm" else option, *rest, dtype)


_inputs = "Tensor x, Tensor[] hx, Tensor[] weights"
_make = torch.library.custom_op
recurrent = _make(
    "fastrnn::recurrent",
    _recurrent,
    mutates_args=(),
    schema=f"({_inputs}, Tensor keys, bool kept, {_SETTINGS}) -> Tensor[]",
)
_recurrent_backward = _make(
    "fastrnn::recurrent_backward",
    _backward,
    mutates_args=(),
    schema=f"({_inputs}, Tensor[] outputs, Tensor[] gradients, {_SETTINGS}) -> Tensor[]",
)
recurrent.register_fake(_recurrent_shapes)
recurrent.register_autograd(_differentiate, setup_context=_keep)
_recurrent_backward.register_fake(_backward_shapes)
