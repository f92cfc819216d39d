"""The Jordan network in plain NumPy: both passes of one layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn.reference.time_loop import TimeLoop, make_time_loop
from fastrnn.reference.variant_activations import ACTIVATIONS

State = tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class JordanTape:
    """What the forward pass keeps: of each step what it read, q before its mask, and y."""

    loop: TimeLoop
    options: Any
    x: np.ndarray
    state: State
    masks: dict[str, np.ndarray]
    free: bool
    before: dict[int, State]
    q: dict[int, np.ndarray]
    y: dict[int, np.ndarray]


def jordan_forward(
    x: np.ndarray,
    weights: dict[str, np.ndarray],
    state: State | None,
    lengths: np.ndarray | None,
    reset: np.ndarray | None,
    reverse: bool,
    *,
    masks: dict[str, np.ndarray],
    targets: np.ndarray | None,
    options: Any,
) -> tuple[np.ndarray, State, JordanTape]:
    """Run it: q = f(W_ih x + b_ih + W_hh y' + b_hh + W_inner q') * m, y = g(W_hr q + b_hr)."""
    loop = make_time_loop(x.shape[:2], lengths, reset, reverse)
    H, P = len(weights["weight_ih"]), len(weights["weight_hr"])
    widths = (P, H) if "weight_inner" in weights else (P,)
    initial = tuple(np.zeros((x.shape[1], w), x.dtype) for w in widths) if state is None else state
    f, g = ACTIVATIONS[options.candidate_activation][0], ACTIVATIONS[options.projection_activation][0]
    x = loop.zero_padding(x) * masks.get("x", 1.0)
    tape = JordanTape(loop, options, x, initial, masks, targets is None, {}, {}, {})
    state_t, y = initial, np.zeros((*loop.shape, P), x.dtype)
    for t in loop.steps:
        before = loop.restart(t, state_t, initial)
        a = x[t] @ weights["weight_ih"].T + weights.get("bias_ih", 0)
        a = a + (before[0] * masks.get("h", 1.0)) @ weights["weight_hh"].T + weights.get("bias_hh", 0)
        if "weight_inner" in weights:
            a = a + before[1] @ weights["weight_inner"].T
        raw = f(a)
        q = raw * (masks["candidate"][t] if "candidate" in masks else 1.0)
        y[t] = g(q @ weights["weight_hr"].T + weights.get("bias_hr", 0))
        tape.before[t], tape.q[t], tape.y[t] = before, raw, y[t].copy()
        after = (y[t] if targets is None else targets[t], q)[: len(widths)]
        state_t = loop.hold_padding(t, after, state_t)
    return loop.zero_padding(y), state_t, tape


def jordan_backward(
    weights: dict[str, np.ndarray], tape: JordanTape, dy: np.ndarray, dlast: State | None
) -> tuple[np.ndarray, State, dict[str, np.ndarray]]:
    """Backpropagate through time."""
    loop, masks, options = tape.loop, tape.masks, tape.options
    df, dg = ACTIVATIONS[options.candidate_activation][1], ACTIVATIONS[options.projection_activation][1]
    dstate = tuple(np.zeros_like(s) for s in tape.state) if dlast is None else dlast
    nothing = tuple(np.zeros_like(s) for s in tape.state)
    dinitial = tuple(np.zeros_like(s) for s in tape.state)
    d = {name: np.zeros_like(weight) for name, weight in weights.items()}
    dx, dy = np.zeros_like(tape.x), loop.zero_padding(dy)
    for t in reversed(loop.steps):
        after = loop.hold_padding(t, dstate, nothing)
        before, raw = tape.before[t], tape.q[t]
        m = masks["candidate"][t] if "candidate" in masks else np.ones_like(raw)
        if loop.real is not None:
            m = np.where(loop.real[t, :, None], m, 0)
        q, mask_h = raw * m, masks.get("h", 1.0)
        dout = (dy[t] + after[0] if tape.free else dy[t]) * dg(tape.y[t])
        d["weight_hr"] += dout.T @ q
        dq = dout @ weights["weight_hr"] + (after[1] if len(after) == 2 else 0)
        da = dq * m * df(raw)
        d["weight_ih"] += da.T @ tape.x[t]
        d["weight_hh"] += da.T @ (before[0] * mask_h)
        for name, of in (("bias_ih", da), ("bias_hh", da), ("bias_hr", dout)):
            if name in d:
                d[name] += of.sum(axis=0)
        dbefore = [(da @ weights["weight_hh"]) * mask_h]
        if "weight_inner" in weights:
            d["weight_inner"] += da.T @ before[1]
            dbefore.append(da @ weights["weight_inner"])
        dx[t] = da @ weights["weight_ih"]
        dstate = loop.hold_padding(t, loop.restart_backward(t, tuple(dbefore), dinitial), dstate)
    dstate = tuple(one + other for one, other in zip(dstate, dinitial, strict=True))
    return dx * masks.get("x", 1.0), dstate, d
