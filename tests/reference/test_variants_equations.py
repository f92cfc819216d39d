"""The variants' reference against its equations, one row and one vector at a time."""

import numpy as np
import pytest

from variant_reference_cases import VARIANTS, make_variant_case

ACTIVATIONS = {
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "relu": lambda a: np.where(a > 0, a, 0),
    "identity": lambda a: a,
    "hard_sigmoid": lambda a: np.minimum(1, np.maximum(0, a / 5 + 0.5)),
    "positive": lambda a: np.where(a >= 0, a + 0.5, 1 / (1 + np.exp(-a))),
}
sigmoid = ACTIVATIONS["sigmoid"]


def normalised(v):
    return (v - np.mean(v)) / np.sqrt(np.var(v) + 1e-5)


class Row:
    """One sequence of a case."""

    def __init__(self, case, n):
        self.case, self.n = case, n
        self.H = case.weights["weight_ih"].shape[0] // len(case.gates)
        self.at = {gate: slice(k * self.H, (k + 1) * self.H) for k, gate in enumerate(case.gates)}

    def affine(self, end, v, past=None):
        """Return W v + b by gate, or LN(W v) * gain + b; `past`: with W_skip h_{t-d} in the sum."""
        w, sums = self.case.weights, {}
        for gate, at in self.at.items():
            sums[gate] = w[f"weight_{end}"][at] @ v
            if past is not None:
                sums[gate] = sums[gate] + w["weight_skip"][at] @ past
        return self.finish(end, sums)

    def finish(self, end, sums):
        """Normalise sums by gate, where the case does, and add their bias."""
        w = self.case.weights
        if f"gain_{end}" in w:
            alone = (
                "n" if self.case.cell in ("gru", "mingru") else "g" if self.option("relevance", False) else ""
            )
            for group in (
                [gate for gate in sums if gate not in alone],
                [gate for gate in sums if gate in alone],
            ):
                if group:
                    parts = np.split(normalised(np.concatenate([sums[gate] for gate in group])), len(group))
                    sums |= {
                        g: w[f"gain_{end}"][self.at[g]] * part for g, part in zip(group, parts, strict=True)
                    }
        if f"bias_{end}" in w and "gain" not in w:
            sums = {gate: a + w[f"bias_{end}"][self.at[gate]] for gate, a in sums.items()}
        return sums

    def candidate(self, gate, v):
        """Return the candidate's recurrent part where it has a product of its own."""
        return self.finish("hh", {gate: self.case.weights["weight_hh"][self.at[gate]] @ v})[gate]

    def option(self, name, default):
        return self.case.options.get(name, default)

    def activation(self, name, default, a):
        return ACTIVATIONS[self.option(name, default)](a)

    def mask(self, name, t, default):
        masks = self.case.masks
        if name not in masks:
            return default
        return masks[name][self.n] if name in ("x", "h") else masks[name][t, self.n]

    def run(self):
        """Return y of this row and its last state."""
        case, n = self.case, self.n
        steps = range(len(case.x) if case.lengths is None else case.lengths[n])
        y = np.zeros(case.dy.shape[::2])
        state = self.start()
        for t in reversed(steps) if case.reverse else steps:
            if case.reset is not None and case.reset[t, n]:
                state = self.start()
            y[t] = self.step(t, state)
        return y, [np.array(part) for part in state.values()]

    def start(self):
        names = ["h"]
        if self.case.cell in ("lstm", "slstm") or (
            self.case.cell == "gru" and "weight_hr" in self.case.weights
        ):
            names.append("c")
        if self.option("skip", 0):
            names.append("past")
        return {name: part[self.n].copy() for name, part in zip(names, self.case.state, strict=True)}

    def step(self, t, state):
        """Update `state` to the one after step t; return its h."""
        h = state["h"]
        self.m = self.mask("candidate", t, 1.0)
        self.u = h * self.mask("h", t, 1.0)
        self.x = self.affine("ih", self.case.x[t, self.n] * self.mask("x", t, 1.0))
        if "weight_hh" in self.case.weights:
            self.a = self.affine("hh", self.u, state["past"][0] if "past" in state else None)
        q, c = getattr(self, self.case.cell)(state.get("c", h))
        new = self.case.weights["weight_hr"] @ q if "weight_hr" in self.case.weights else q
        zone = (0.0, 0.0) if self.case.training else self.option("zoneout", (0.0, 0.0))
        k, k_c = self.mask("zone_h", t, zone[0]), self.mask("zone_c", t, zone[1])
        state["h"] = k * h + (1 - k) * new
        if "c" in state:
            state["c"] = k_c * state["c"] + (1 - k_c) * c
        if "past" in state:
            state["past"] = np.array([*state["past"][1:], state["h"]])
        return state["h"]

    def elman(self, h):
        a = self.x["n"] + self.a["n"]
        if self.option("layer_norm", False):
            w = self.case.weights
            a = normalised(a) * w["gain"] + w.get("bias_ih", 0) + w.get("bias_hh", 0)
        n = self.activation("nonlinearity", "tanh", a) * self.m
        leak = self.option("leak", None)
        if "leak" in self.case.weights:
            leak = sigmoid(self.case.weights["leak"])
        return (n if leak is None else leak * h + (1 - leak) * n), None

    def gru(self, c):
        r = self.activation("gate_activation", "sigmoid", self.x["r"] + self.a["r"])
        z = self.activation("gate_activation", "sigmoid", self.x["z"] + self.a["z"])
        after = self.option("reset_after", True)
        a_n = r * self.a["n"] if after else self.candidate("n", r * self.u)
        n = self.activation("nonlinearity", "tanh", self.x["n"] + a_n) * self.m
        q = (1 - z) * n + z * c
        return q, q

    def lstm(self, c):
        coupled = self.option("coupled", False)
        p = self.case.weights.get("weight_peephole", np.zeros((3, self.H)))
        sum_of = {gate: self.x[gate] + self.a[gate] for gate in self.case.gates}
        i = self.activation("gate_activation", "sigmoid", sum_of["i"] + p[0] * c)
        f = None if coupled else self.activation("gate_activation", "sigmoid", sum_of["f"] + p[1] * c)
        if self.option("relevance", False):
            r = self.activation("gate_activation", "sigmoid", sum_of["r"])
            sum_of["g"] = self.x["g"] + self.candidate("g", r * self.u)
        g = self.activation("candidate_activation", "tanh", sum_of["g"]) * self.m
        before = c
        c = (1 - i if coupled else f) * c + i * g
        if (clip := self.option("cell_clip", None)) is not None:
            c = np.minimum(clip, np.maximum(-clip, c))
        seen = before if self.option("peephole", "gers") == "previous" else c
        o = self.activation("gate_activation", "sigmoid", sum_of["o"] + p[1 if coupled else 2] * seen)
        k = c
        if self.option("layer_norm", False):
            k = normalised(c) * self.case.weights["gain_c"] + self.case.weights["bias_c"]
        return o * self.activation("output_activation", "tanh", k), c

    def slstm(self, memory):
        c, n, m = np.split(memory, 3)
        log_i, log_f = self.x["i"] + self.a["i"], np.log(sigmoid(self.x["f"] + self.a["f"]))
        z, o = np.tanh(self.x["z"] + self.a["z"]) * self.m, sigmoid(self.x["o"] + self.a["o"])
        scale = np.where(n > 0, np.maximum(log_f + m, log_i), log_i)
        i, f = np.exp(log_i - scale), np.exp(log_f + m - scale)
        c, n = f * c + i * z, f * n + i
        return o * c / n, np.concatenate([c, n, scale])

    def mingru(self, h):
        z = sigmoid(self.x["z"])
        n = self.activation("nonlinearity", "identity", self.x["n"]) * self.m
        return (1 - z) * h + z * n, None

    def minlstm(self, h):
        f, i = sigmoid(self.x["f"]), sigmoid(self.x["i"])
        n = self.activation("nonlinearity", "identity", self.x["n"]) * self.m
        return (f * h + i * n) / (f + i), None


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
@pytest.mark.parametrize("rows", ["plain", "ragged-resets"])
@pytest.mark.parametrize("name", VARIANTS)
def test_forward_is_the_equations(name, rows, reverse):
    ragged = rows != "plain"
    case = make_variant_case(name, (9, 4, 3, 5, 2), ragged=ragged, resets=ragged, reverse=reverse)
    y, state_n, _ = case.forward()
    results = [Row(case, n).run() for n in range(4)]
    expected = [np.stack([y for y, _ in results], axis=1)]
    expected += [np.stack(parts) for parts in zip(*(state for _, state in results), strict=True)]
    for ours, theirs in zip((y, *state_n), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


def test_cases_use_what_they_are_for():
    clipped = make_variant_case("lstm coupled peephole proj clip", (9, 4, 3, 5, 2))
    _, _, tape = clipped.forward()
    c = np.stack([s.unclipped for s in tape.steps])
    assert (np.abs(c) > 0.4).any()
    assert (np.abs(c) < 0.4).any()
    lstm = make_variant_case("lstm activations", (9, 4, 3, 5, 2))
    _, _, tape = lstm.forward()
    i, raw, squashed = (np.stack([getattr(s, a) for s in tape.steps]) for a in ("i", "raw", "squashed"))
    assert (raw == 0).any()
    assert (raw > 0).any()
    assert (i == 1).any() or (i == 0).any()
    assert ((i > 0) & (i < 1)).any()
    assert (squashed < 0.5).any() or (squashed > 0.5).any()
