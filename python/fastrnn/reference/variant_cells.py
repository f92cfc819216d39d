"""One step of each cell with its options, each followed by its gradient, and the parts common to all cells.

``v`` is the variant, ``w`` its weights, ``s`` the `Step` with all its values, and ``dw`` the weights'
gradients, which are added to. A backward function takes dq and dc, returns `StepGradients` and does not
change the step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastrnn.reference._arrays import Floats, State
from fastrnn.reference.activations import dsigmoid, dtanh, sigmoid, softplus, tanh
from fastrnn.reference.variant_activations import ACTIVATIONS
from fastrnn.reference.variant_affine import (
    Affine,
    Gates,
    NamedWeights,
    Step,
    Sum,
    normalise,
    normalise_backward,
    recurrent,
    recurrent_backward,
)
from fastrnn.reference.variant_settings import Variant


class StepGradients(NamedTuple):
    """Gradients of the inputs of a step; 0.0 stands for zeros."""

    dx: Gates  # of the input part
    du: Any  # [N, P], of h0 as the recurrent product takes it
    dfar: Any  # [N, P], of h_{t-d}
    dq0: Any  # [N, H], of the carried state


def elman(v: Variant, w: NamedWeights, s: Step) -> None:
    """Compute the Elman cell, leaky if there is a leak a (Jaeger et al. 2007)."""
    phi, _ = ACTIVATIONS[v.nonlinearity]
    s.A = recurrent(v, w, s, "n")
    s.sum = Sum(v, w, s.x["n"] + s.A["n"])
    s.raw = phi(s.sum.value)
    s.n = s.raw * s.m
    s.a = sigmoid(w["leak"]) if "leak" in w else v.leak
    s.q = s.n if s.a is None else s.a * s.q0 + (1 - s.a) * s.n


def elman_backward(
    v: Variant, w: NamedWeights, s: Step, dq: Floats, dc: Any, dw: NamedWeights
) -> StepGradients:
    """Compute the gradient of `elman`."""
    _, dphi = ACTIVATIONS[v.nonlinearity]
    dn, dq0 = (dq, 0.0) if s.a is None else ((1 - s.a) * dq, s.a * dq)
    if "leak" in w:
        dleak = dq * (s.q0 - s.n) * dsigmoid(s.a)
        dw["leak"][...] += dleak.sum(axis=0) if len(s.a) == v.H else dleak.sum()
    da = {"n": s.sum.backward(w, dn * s.m * dphi(s.raw), dw)}
    return StepGradients(da, *recurrent_backward(v, w, s, da, dw), dq0)


def gru(v: Variant, w: NamedWeights, s: Step) -> None:
    """Compute the GRU, with the reset gate after or before the candidate's product."""
    sg, _ = ACTIVATIONS[v.gate_activation]
    sn, _ = ACTIVATIONS[v.nonlinearity]
    s.A = recurrent(v, w, s, "rzn" if v.reset_after else "rz")
    s.r = sg(s.x["r"] + s.A["r"])
    s.z = sg(s.x["z"] + s.A["z"])
    if v.reset_after:
        s.raw = sn(s.x["n"] + s.r * s.A["n"])
    else:
        s.B = Affine(v, w, "hh", "n", s.r * s.u)
        s.raw = sn(s.x["n"] + s.B.gate["n"])
    s.n = s.raw * s.m
    s.q = (1 - s.z) * s.n + s.z * s.q0
    s.c = s.q  # carried along with h if that is projected


def gru_backward(
    v: Variant, w: NamedWeights, s: Step, dq: Floats, dc: Any, dw: NamedWeights
) -> StepGradients:
    """Compute the gradient of `gru`."""
    _, dsg = ACTIVATIONS[v.gate_activation]
    _, dsn = ACTIVATIONS[v.nonlinearity]
    dq = dq + dc
    da_n = dq * (1 - s.z) * s.m * dsn(s.raw)
    da_z = dq * (s.q0 - s.n) * dsg(s.z)
    if v.reset_after:
        da_r = da_n * s.A["n"] * dsg(s.r)
        du, dfar = recurrent_backward(v, w, s, {"r": da_r, "z": da_z, "n": da_n * s.r}, dw)
    else:
        (dru,) = s.B.backward(w, {"n": da_n}, dw)
        da_r = dru * s.u * dsg(s.r)
        du, dfar = recurrent_backward(v, w, s, {"r": da_r, "z": da_z}, dw)
        du = du + dru * s.r
    return StepGradients({"r": da_r, "z": da_z, "n": da_n}, du, dfar, dq * s.z)


def peepholes(v: Variant, w: NamedWeights) -> dict[str, Any]:
    """Return the peephole weights of i, f and o, zeros if there are none (Gers, Schmidhuber 2000)."""
    gates = "io" if v.coupled else "ifo"
    if "weight_peephole" not in w:
        return dict.fromkeys(gates, 0.0)
    return dict(zip(gates, w["weight_peephole"], strict=True))


def peepholes_backward(v: Variant, s: Step, da: Gates, dw: NamedWeights) -> None:
    """Add the gradients of the peephole weights: i and f read the old cell state, o the one it saw."""
    if "weight_peephole" not in dw:
        return
    dp = peepholes(v, dw)
    dp["i"] += (da["i"] * s.q0).sum(axis=0)
    if not v.coupled:
        dp["f"] += (da["f"] * s.q0).sum(axis=0)
    dp["o"] += (da["o"] * s.seen).sum(axis=0)


def lstm(v: Variant, w: NamedWeights, s: Step) -> None:
    """Compute the LSTM with all its options; coupled i and f are those of Greff et al. (2015)."""
    sg, _ = ACTIVATIONS[v.gate_activation]
    sc, _ = ACTIVATIONS[v.candidate_activation]
    so, _ = ACTIVATIONS[v.output_activation]
    p = peepholes(v, w)
    s.A = recurrent(v, w, s, v.gates.replace("g", "") if v.relevance else v.gates)
    s.i = sg(s.x["i"] + s.A["i"] + p["i"] * s.q0)
    s.f = 1 - s.i if v.coupled else sg(s.x["f"] + s.A["f"] + p["f"] * s.q0)
    if v.relevance:
        s.r = sg(s.x["r"] + s.A["r"])
        s.B = Affine(v, w, "hh", "g", s.r * s.u)
        s.raw = sc(s.x["g"] + s.B.gate["g"])
    else:
        s.raw = sc(s.x["g"] + s.A["g"])
    s.g = s.raw * s.m
    s.unclipped = s.f * s.q0 + s.i * s.g
    s.c = s.unclipped if v.cell_clip is None else np.clip(s.unclipped, -v.cell_clip, v.cell_clip)
    s.seen = s.q0 if v.peephole == "previous" else s.c
    s.o = sg(s.x["o"] + s.A["o"] + p["o"] * s.seen)
    s.k = s.c
    if v.layer_norm:
        s.normal, s.root = normalise(s.c)
        s.k = s.normal * w["gain_c"] + w["bias_c"]
    s.squashed = so(s.k)
    s.q = s.o * s.squashed


def lstm_backward(
    v: Variant, w: NamedWeights, s: Step, dq: Floats, dc: Any, dw: NamedWeights
) -> StepGradients:
    """Compute the gradient of `lstm`."""
    _, dsg = ACTIVATIONS[v.gate_activation]
    _, dsc = ACTIVATIONS[v.candidate_activation]
    _, dso = ACTIVATIONS[v.output_activation]
    p = peepholes(v, w)
    da = {"o": dq * s.squashed * dsg(s.o)}
    dk = dq * s.o * dso(s.squashed)
    if v.layer_norm:
        dw["gain_c"][...] += (dk * s.normal).sum(axis=0)
        dw["bias_c"][...] += dk.sum(axis=0)
        dk = normalise_backward(s.normal, s.root, dk * w["gain_c"])
    dseen = p["o"] * da["o"]
    dc = dc + dk + (0.0 if v.peephole == "previous" else dseen)
    if v.cell_clip is not None:
        dc = np.where(np.abs(s.unclipped) <= v.cell_clip, dc, dc.dtype.type(0))
    da["g"] = dc * s.i * s.m * dsc(s.raw)
    if v.coupled:
        da["i"] = dc * (s.g - s.q0) * dsg(s.i)
    else:
        da["i"] = dc * s.g * dsg(s.i)
        da["f"] = dc * s.q0 * dsg(s.f)
    dq0 = dc * s.f + p["i"] * da["i"] + (0.0 if v.coupled else p["f"] * da["f"])
    if v.peephole == "previous":
        dq0 = dq0 + dseen
    peepholes_backward(v, s, da, dw)
    if not v.relevance:
        return StepGradients(da, *recurrent_backward(v, w, s, da, dw), dq0)
    (dru,) = s.B.backward(w, da, dw)
    da["r"] = dru * s.u * dsg(s.r)
    du, dfar = recurrent_backward(v, w, s, da, dw)
    return StepGradients(da, du + dru * s.r, dfar, dq0)


def slstm(v: Variant, w: NamedWeights, s: Step) -> None:
    """Compute the sLSTM, whose carried state is c, n and m side by side (Beck et al. 2024)."""
    c0, n0, m0 = np.split(s.q0, 3, axis=1)
    s.A = recurrent(v, w, s, v.gates)
    log_i, s.log_f = s.x["i"] + s.A["i"], -softplus(-(s.x["f"] + s.A["f"]))
    s.raw = tanh(s.x["z"] + s.A["z"])
    s.z = s.raw * s.m
    s.o = sigmoid(s.x["o"] + s.A["o"])
    new_m = np.where(n0 > 0, np.maximum(s.log_f + m0, log_i), log_i)
    s.i = np.exp(log_i - new_m)
    s.f = np.exp(np.minimum(s.log_f + m0 - new_m, 88))  # where nothing is stored yet it may be large
    new_c, new_n = s.f * c0 + s.i * s.z, s.f * n0 + s.i
    s.q = s.o * (new_c / new_n)
    s.c = np.concatenate([new_c, new_n, new_m], axis=1)


def slstm_backward(
    v: Variant, w: NamedWeights, s: Step, dq: Floats, dmemory: Any, dw: NamedWeights
) -> StepGradients:
    """Compute the gradient of `slstm`; `fastrnn.reference.slstm_backward` explains that of m."""
    (c0, n0, _), (c, n, _) = np.split(s.q0, 3, axis=1), np.split(s.c, 3, axis=1)
    dc, dn, dm = np.split(dmemory, 3, axis=1)
    dc = dc + dq * s.o / n
    dn = dn - dq * s.o * c / n**2
    di = dc * s.z + dn
    df = dc * c0 + dn * n0
    dm = dm - di * s.i - df * s.f
    dlog_f = df * s.f + np.where(s.i < 1, dm, 0)
    da = {
        "i": di * s.i + np.where(s.i < 1, 0, dm),
        "f": dlog_f * -np.expm1(s.log_f),
        "z": dc * s.i * s.m * dtanh(s.raw),
        "o": dq * c / n * dsigmoid(s.o),
    }
    dbefore = np.concatenate([dc * s.f, dn * s.f, dlog_f], axis=1)
    return StepGradients(da, *recurrent_backward(v, w, s, da, dw), dbefore)


def mingru(v: Variant, w: NamedWeights, s: Step) -> None:
    """Compute the minimal GRU: gate and candidate see only the input (Feng et al. 2024, section 3.1)."""
    sn, _ = ACTIVATIONS[v.nonlinearity]
    s.z = sigmoid(s.x["z"])
    s.raw = sn(s.x["n"])
    s.n = s.raw * s.m
    s.q = (1 - s.z) * s.q0 + s.z * s.n


def mingru_backward(
    v: Variant, w: NamedWeights, s: Step, dq: Floats, dc: Any, dw: NamedWeights
) -> StepGradients:
    """Compute the gradient of `mingru`."""
    _, dsn = ACTIVATIONS[v.nonlinearity]
    da_z = dq * (s.n - s.q0) * dsigmoid(s.z)
    da_n = dq * s.z * s.m * dsn(s.raw)
    return StepGradients({"z": da_z, "n": da_n}, 0.0, 0.0, dq * (1 - s.z))


def minlstm(v: Variant, w: NamedWeights, s: Step) -> None:
    """Compute the minimal LSTM, its two gates scaled to sum to 1 (Feng et al. 2024, section 3.2).

    The fraction b = i / (f + i) is computed from the logarithms of f and i (section B.2), because both may be
    too small for their dtype.
    """
    sn, _ = ACTIVATIONS[v.nonlinearity]
    s.f = sigmoid(s.x["f"])
    s.i = sigmoid(s.x["i"])
    s.b = sigmoid(softplus(-s.x["f"]) - softplus(-s.x["i"]))
    s.raw = sn(s.x["n"])
    s.n = s.raw * s.m
    s.q = (1 - s.b) * s.q0 + s.b * s.n


def minlstm_backward(
    v: Variant, w: NamedWeights, s: Step, dq: Floats, dc: Any, dw: NamedWeights
) -> StepGradients:
    """Compute the gradient of `minlstm`; that of softplus(-x) is -(1 - sigmoid(x))."""
    _, dsn = ACTIVATIONS[v.nonlinearity]
    db = dq * (s.n - s.q0) * dsigmoid(s.b)
    da_f = -db * (1 - s.f)
    da_i = db * (1 - s.i)
    da_n = dq * s.b * s.m * dsn(s.raw)
    return StepGradients({"f": da_f, "i": da_i, "n": da_n}, 0.0, 0.0, dq * (1 - s.b))


Forward = Callable[[Variant, NamedWeights, Step], None]
Backward = Callable[[Variant, NamedWeights, Step, Floats, Any, NamedWeights], StepGradients]
CELLS: dict[str, tuple[Forward, Backward]] = {
    "elman": (elman, elman_backward),
    "gru": (gru, gru_backward),
    "lstm": (lstm, lstm_backward),
    "slstm": (slstm, slstm_backward),
    "mingru": (mingru, mingru_backward),
    "minlstm": (minlstm, minlstm_backward),
}


def step(v: Variant, w: NamedWeights, s: Step, mask_h: Any, before: State) -> State:
    """Compute a whole step and return the state after it. `s` holds x, m, keep_h and keep_c.

    A projection (Sak et al. 2014) maps q to h; zoneout (Krueger et al. 2017) comes last, so that the past
    holds the values of h that were output.
    """
    state = dict(zip(v.state_widths, before, strict=True))
    s.h0 = state["h"]
    s.q0 = state.get("c", s.h0)
    s.u = s.h0 * mask_h
    s.far = state["past"][:, : v.P] if v.skip else None
    forward, _ = CELLS[v.cell]
    forward(v, w, s)
    h = s.q @ w["weight_hr"].T if v.projected else s.q
    h = s.keep_h * s.h0 + (1 - s.keep_h) * h
    after = {"h": h}
    if "c" in state:
        after["c"] = s.keep_c * s.q0 + (1 - s.keep_c) * s.c
    if v.skip:
        after["past"] = np.concatenate([state["past"][:, v.P :], h], axis=1)
    return tuple(after.values())


def step_backward(
    v: Variant, w: NamedWeights, s: Step, mask_h: Any, dafter: State, dw: NamedWeights
) -> tuple[Gates, State]:
    """Compute the gradient of `step`: of the input part, by gate, and of the state before."""
    d = dict(zip(v.state_widths, dafter, strict=True))
    dh, dc = d["h"], d.get("c", 0.0)
    if v.skip:
        dh = dh + d["past"][:, -v.P :]
    dh0, dh = s.keep_h * dh, (1 - s.keep_h) * dh
    dc0, dc = s.keep_c * dc, (1 - s.keep_c) * dc
    dq = dh
    if v.projected:
        dw["weight_hr"][...] += dh.T @ s.q
        dq = dh @ w["weight_hr"]
    _, backward = CELLS[v.cell]
    dx, du, dfar, dq0 = backward(v, w, s, dq, dc, dw)
    dh0 = dh0 + du * mask_h
    if "c" not in d:
        return dx, (dh0 + dq0, *_past_before(v, d, dfar))
    return dx, (dh0, dc0 + dq0, *_past_before(v, d, dfar))


def _past_before(v: Variant, d: dict[str, Floats], dfar: Any) -> State:
    """Compute the gradient of the past before a step: its first h entered the step, the others moved up."""
    if not v.skip:
        return ()
    dpast = np.concatenate([np.zeros_like(d["h"]), d["past"][:, : -v.P]], axis=1)
    dpast[:, : v.P] += dfar
    return (dpast,)
