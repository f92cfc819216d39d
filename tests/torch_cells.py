"""Every variant of the layers in PyTorch, one step at a time; autograd supplies the gradients.

Only methods of tensors are used, so that the module loads without PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastrnn.layers.recurrent.options import CellOptions

    Tensors = Mapping[str, Any]

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": lambda x: x.tanh(),
    "relu": lambda x: x.relu(),
    "identity": lambda x: x,
    "hard_sigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "positive": lambda x: (x + 0.5).where(x >= 0, x.sigmoid()),
}


def norm(v: Any) -> Any:
    """Normalise to mean 0 and variance 1 over the last axis."""
    variance, mean = v.var(-1, correction=0, keepdim=True), v.mean(-1, keepdim=True)
    return (v - mean) / (variance + 1e-5).sqrt()


def norm_by_gate(v: CellOptions, a: Any) -> Any:
    """Normalise the sums of all gates: together, but a candidate that a gate resets by itself."""
    gates = list(a.chunk(v.gates, -1))
    if v.cell in ("gru", "mingru") or v.relevance:
        k = (1 if v.coupled else 2) if v.cell == "lstm" else v.gates - 1
        alone = norm(gates.pop(k))
        gates = list(norm(joined(gates)).chunk(v.gates - 1, -1))
        gates.insert(k, alone)
        return joined(gates)
    return norm(a)


def joined(parts: list[Any]) -> Any:
    """Join tensors along the last axis."""
    width = parts[0].shape[-1]
    whole = parts[0].new_zeros(*parts[0].shape[:-1], width * len(parts))
    for k, part in enumerate(parts):
        whole[..., k * width : (k + 1) * width] = part
    return whole


def input_part(v: CellOptions, w: Tensors, x: Any, context: Any) -> Any:
    """Return the contribution of x to the gates; where a cell normalises the whole sum, without bias."""
    gx = x @ w["weight_ih"].T
    if "gain_ih" in w:
        gx = norm_by_gate(v, gx) * w["gain_ih"]
    if "gain" not in w:
        gx = gx + w.get("bias_ih", 0)
    return gx + context @ w["weight_context"].T if "weight_context" in w else gx


def recurrent_part(v: CellOptions, w: Tensors, u: Any, state: Tensors) -> Any:
    """Return the contribution of u, the masked h', and of an earlier h to the gates."""
    A = u @ w["weight_hh"].T
    if v.skip:
        A = A + state["past"][:, 0] @ w["weight_skip"].T
    if v.layer_norm:
        A = norm_by_gate(v, A) * w["gain_hh"]
    return A + w.get("bias_hh", 0)


def candidate_part(v: CellOptions, w: Tensors, u: Any, rows: slice) -> Any:
    """Return the contribution of r * u to the candidate, whose rows these are."""
    A = u @ w["weight_hh"][rows].T
    if v.layer_norm:
        A = norm(A) * w["gain_hh"][rows]
    return A + (w["bias_hh"][rows] if "bias_hh" in w else 0)


def elman(v: CellOptions, w: Tensors, gx: Any, state: Tensors, m: Tensors) -> dict[str, Any]:
    a = gx + (state["h"] * m["h"]) @ w["weight_hh"].T
    if v.skip:
        a = a + state["past"][:, 0] @ w["weight_skip"].T
    if v.hidden_recurrence:
        a = a + state["c"] @ w["weight_inner"].T
    if v.layer_norm:
        a = norm(a) * w["gain"] + w.get("bias_ih", 0)
    a = a + w.get("bias_hh", 0)
    n = ACTIVATIONS[v.candidate_activation](a) * m["candidate"]
    if v.leak is not None:
        keep = w["leak"].sigmoid() if isinstance(v.leak, str) else a.new_tensor(v.leak)
        n = keep * state["h"] + (1 - keep) * n
    return {"h": projected(v, w, n), "c": n}


def gru(v: CellOptions, w: Tensors, gx: Any, state: Tensors, m: Tensors) -> dict[str, Any]:
    u, H = state["h"] * m["h"], gx.shape[1] // 3
    gate, candidate = ACTIVATIONS[v.gate_activation], ACTIVATIONS[v.candidate_activation]
    gates, last = slice(2 * H), slice(2 * H, 3 * H)
    A = recurrent_part(v, w, u, state)
    r, z = gate(gx[:, gates] + A[:, gates]).chunk(2, 1)
    n = candidate(gx[:, last] + (r * A[:, last] if v.reset_after else candidate_part(v, w, r * u, last)))
    q = (1 - z) * n * m["candidate"] + z * state["c" if v.proj_size else "h"]
    return {"h": projected(v, w, q), "c": q}


def lstm(v: CellOptions, w: Tensors, gx: Any, state: Tensors, m: Tensors) -> dict[str, Any]:
    u, H, before = state["h"] * m["h"], gx.shape[1] // v.gates, state["c"]
    gate, candidate = ACTIVATIONS[v.gate_activation], ACTIVATIONS[v.candidate_activation]
    A = recurrent_part(v, w, u, state)
    names = ["i", *([] if v.coupled else ["f"]), "g", "o", *(["r"] if v.relevance else [])]
    s = dict(zip(names, (gx + A).chunk(v.gates, 1), strict=True))
    p = {"i": 0, "f": 0, "o": 0}
    if v.peephole:
        p |= dict(zip(("i", "o") if v.coupled else ("i", "f", "o"), w["weight_peephole"], strict=True))
    if v.relevance:
        k = names.index("g")
        own = slice(k * H, (k + 1) * H)
        s["g"] = gx[:, own] + candidate_part(v, w, gate(s["r"]) * u, own)

    i = gate(s["i"] + p["i"] * before)
    f = 1 - i if v.coupled else gate(s["f"] + p["f"] * before)
    g = candidate(s["g"]) * m["candidate"]
    c = f * before + i * g
    if v.cell_clip:
        c = c.clamp(-v.cell_clip, v.cell_clip)
    o = gate(s["o"] + p["o"] * (before if v.peephole == "previous" else c))
    k = norm(c) * w["gain_c"] + w["bias_c"] if v.layer_norm else c
    return {"h": projected(v, w, o * ACTIVATIONS[v.output_activation](k)), "c": c}


def slstm(v: CellOptions, w: Tensors, gx: Any, state: Tensors, m: Tensors) -> dict[str, Any]:
    log_i, f, z, o = (gx + recurrent_part(v, w, state["h"] * m["h"], state)).chunk(4, 1)
    c0, n0, m0 = state["c"].chunk(3, 1)
    kept = m0 - (1 + (-f).exp()).log()
    most = kept.maximum(log_i).where(n0 > 0, log_i)
    i, f = (log_i - most).exp(), (kept - most).exp()
    c, n = f * c0 + i * z.tanh() * m["candidate"], f * n0 + i
    memory = joined([c, n, most])
    c, n, _ = memory.chunk(3, 1)  # so that h reads the state whose gradient autograd keeps
    return {"h": projected(v, w, o.sigmoid() * c / n), "c": memory}


def mingru(v: CellOptions, w: Tensors, gx: Any, state: Tensors, m: Tensors) -> dict[str, Any]:
    z, n = gx.chunk(2, 1)
    z, n = z.sigmoid(), ACTIVATIONS[v.candidate_activation](n) * m["candidate"]
    return {"h": (1 - z) * state["h"] + z * n}


def minlstm(v: CellOptions, w: Tensors, gx: Any, state: Tensors, m: Tensors) -> dict[str, Any]:
    f, i, n = gx.chunk(3, 1)
    f, i, n = f.sigmoid(), i.sigmoid(), ACTIVATIONS[v.candidate_activation](n) * m["candidate"]
    return {"h": (f * state["h"] + i * n) / (f + i)}


def projected(v: CellOptions, w: Tensors, q: Any) -> Any:
    """Return h for q."""
    if not v.proj_size:
        return q
    return ACTIVATIONS[v.projection_activation](q @ w["weight_hr"].T + w.get("bias_hr", 0))


CELLS = {"elman": elman, "jordan": elman, "gru": gru, "lstm": lstm, "slstm": slstm}
CELLS |= {"mingru": mingru, "minlstm": minlstm}


def run_steps(
    torch: Any, v: CellOptions, w: Tensors, gx: Any, first: Tensors, how: Tensors
) -> tuple[Any, Any]:
    """Run one layer and direction over [T, N, G*H]; return every h and the last state.

    `how` has the masks, the batch's running and reset, bool [T, N], the targets [T, N, P] to feed back, or
    None, and a list to which the states of all steps are added, in the order of time, with their gradients.
    """
    every: list[Any] = [None] * len(gx)
    how["every"].append(every)
    state, outputs = dict(first), [None] * len(gx)
    order = range(len(gx))
    for t in reversed(order) if how["reverse"] else order:
        state = {name: first[name].where(over(how["reset"][t], part), part) for name, part in state.items()}
        m = {name: mask[t] if mask.dim() == 3 else mask for name, mask in how["masks"].items()}
        new = CELLS[v.cell](v, w, gx[t], state, m)
        new["h"] = m["zone_h"] * state["h"] + (1 - m["zone_h"]) * new["h"]
        every[t] = dict(new)
        if "c" in state and v.cell in ("lstm", "jordan"):
            new["c"] = m["zone_c"] * state["c"] + (1 - m["zone_c"]) * new["c"]
        if v.zoneout[1]:
            every[t]["c"] = new["c"]
        for name in ("h", "c"):
            if name in state:
                every[t][name].retain_grad()
        if v.skip:
            new["past"] = torch.cat([state["past"][:, 1:], new["h"][:, None]], 1)
        running = how["running"][t]
        state = {name: new[name].where(over(running, part), part) for name, part in state.items()}
        outputs[t] = state["h"] * running[:, None]
        if how["targets"] is not None:
            state["h"] = how["targets"][t].where(running[:, None], state["h"])
    return torch.stack(outputs), state


def over(rows: Any, part: Any) -> Any:
    """Reshape a mask of rows to broadcast over a part of the state."""
    return rows.reshape(-1, *[1] * (part.dim() - 1))
