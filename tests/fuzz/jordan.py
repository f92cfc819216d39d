"""The Jordan network in plain NumPy: both passes of one layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn.reference.time_loop import TimeLoop, make_time_loop
from fastrnn.reference.variant_activations import ACTIVATIONS
from fastrnn.reference.variant_affine import normalise, normalise_backward

State = tuple[np.ndarray, ...]
Arrays = dict[str, np.ndarray]


@dataclass(eq=False)
class JordanStep:
    """What a step keeps: what it read, its normalised sum, q before its mask, g, and zoneout's parts."""

    before: State
    normal: Any
    root: Any
    q: np.ndarray
    out: np.ndarray
    keep_y: Any
    keep_q: Any


@dataclass(frozen=True, eq=False)
class JordanTape:
    """What the forward pass keeps."""

    loop: TimeLoop
    options: Any
    x: np.ndarray
    state: State
    masks: Arrays
    free: bool
    steps: dict[int, JordanStep]


def jordan_forward(
    x: np.ndarray,
    weights: Arrays,
    state: State | None,
    lengths: np.ndarray | None,
    reset: np.ndarray | None,
    reverse: bool,
    *,
    masks: Arrays,
    targets: np.ndarray | None,
    options: Any,
    zoneout: tuple[float, float],
) -> tuple[np.ndarray, State, JordanTape]:
    """Run it: q = f(W_ih x + W_hh y' + W_inner q' + b) * m, out = g(W_hr q + b_hr), y = k y' + (1 - k) out.

    Where there is a gain, it is f(LN(W_ih x + W_hh y' + W_inner q') * gain + b).
    """
    loop = make_time_loop(x.shape[:2], lengths, reset, reverse)
    H, P = len(weights["weight_ih"]), len(weights["weight_hr"])
    widths = (P, H) if "weight_inner" in weights else (P,)
    initial = tuple(np.zeros((x.shape[1], w), x.dtype) for w in widths) if state is None else state
    f, g = ACTIVATIONS[options.candidate_activation][0], ACTIVATIONS[options.projection_activation][0]
    x = loop.zero_padding(x) * masks.get("x", 1.0)
    tape = JordanTape(loop, options, x, initial, masks, targets is None, {})
    state_t, y = initial, np.zeros((*loop.shape, P), x.dtype)
    for t in loop.steps:
        before, normal, root = loop.restart(t, state_t, initial), None, None
        a = x[t] @ weights["weight_ih"].T + (before[0] * masks.get("h", 1.0)) @ weights["weight_hh"].T
        if "weight_inner" in weights:
            a = a + before[1] @ weights["weight_inner"].T
        if "gain" in weights:
            normal, root = normalise(a)
            a = normal * weights["gain"]
        raw = f(a + weights.get("bias_ih", 0) + weights.get("bias_hh", 0))
        q = raw * _at(masks, "candidate", t, 1.0)
        out = g(q @ weights["weight_hr"].T + weights.get("bias_hr", 0))
        keep_y, keep_q = _at(masks, "zone_h", t, zoneout[0]), _at(masks, "zone_c", t, zoneout[1])
        y[t] = keep_y * before[0] + (1 - keep_y) * out
        tape.steps[t] = JordanStep(before, normal, root, raw, out, keep_y, keep_q)
        after = [y[t].copy() if targets is None else targets[t]]
        if "weight_inner" in weights:
            after.append(keep_q * before[1] + (1 - keep_q) * q)
        state_t = loop.hold_padding(t, tuple(after), state_t)
    return loop.zero_padding(y), state_t, tape


def _at(masks: Arrays, name: str, t: int, otherwise: float) -> Any:
    return np.nan_to_num(masks[name][t]) if name in masks else otherwise


def jordan_backward(
    weights: Arrays, tape: JordanTape, dy: np.ndarray, dlast: State | None
) -> tuple[np.ndarray, State, Arrays]:
    """Backpropagate through time; a target in place of an output takes no gradient."""
    loop, masks, options = tape.loop, tape.masks, tape.options
    df, dg = ACTIVATIONS[options.candidate_activation][1], ACTIVATIONS[options.projection_activation][1]
    dstate = tuple(np.zeros_like(s) for s in tape.state) if dlast is None else dlast
    nothing = tuple(np.zeros_like(s) for s in tape.state)
    dinitial = tuple(np.zeros_like(s) for s in tape.state)
    d = {name: np.zeros_like(weight) for name, weight in weights.items()}
    dx, dy, mask_h = np.zeros_like(tape.x), loop.zero_padding(dy), masks.get("h", 1.0)
    for t in reversed(loop.steps):
        step, after = tape.steps[t], loop.hold_padding(t, dstate, nothing)
        real = True if loop.real is None else loop.real[t, :, None]
        dy_t = dy[t] + after[0] if tape.free else dy[t]
        dbefore = [step.keep_y * dy_t]
        dout = np.where(real, (1 - step.keep_y) * dy_t * dg(step.out), 0)
        m = _at(masks, "candidate", t, 1.0)
        q = step.q * m
        dq = dout @ weights["weight_hr"]
        if "weight_inner" in weights:
            dq = dq + (1 - step.keep_q) * after[1]
            dbefore.append(step.keep_q * after[1])
        d["weight_hr"] += dout.T @ q
        da = np.where(real, dq * m * df(step.q), 0)
        for name, of in (("bias_ih", da), ("bias_hh", da), ("bias_hr", dout)):
            if name in d:
                d[name] += of.sum(axis=0)
        if "gain" in weights:
            d["gain"] += (da * step.normal).sum(axis=0)
            da = normalise_backward(step.normal, step.root, da * weights["gain"])
        d["weight_ih"] += da.T @ tape.x[t]
        d["weight_hh"] += da.T @ (step.before[0] * mask_h)
        dbefore[0] = dbefore[0] + (da @ weights["weight_hh"]) * mask_h
        if "weight_inner" in weights:
            d["weight_inner"] += da.T @ step.before[1]
            dbefore[1] = dbefore[1] + da @ weights["weight_inner"]
        dx[t] = da @ weights["weight_ih"]
        dstate = loop.hold_padding(t, loop.restart_backward(t, tuple(dbefore), dinitial), dstate)
    dstate = tuple(one + other for one, other in zip(dstate, dinitial, strict=True))
    return dx * masks.get("x", 1.0), dstate, d
