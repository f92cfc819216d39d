"""Random cases for the variants' reference: every option alone, and combinations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastrnn import reference

#: Name: cell, options, further weights, masks.
VARIANTS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "elman": ("elman", {}, "", ""),
    "elman relu": ("elman", {"nonlinearity": "relu"}, "", ""),
    "elman sigmoid": ("elman", {"nonlinearity": "sigmoid"}, "", ""),
    "elman identity": ("elman", {"nonlinearity": "identity"}, "", ""),
    "elman without biases": ("elman", {}, "unbiased", ""),
    "elman leak": ("elman", {"leak": 0.3}, "", ""),
    "elman learned leak": ("elman", {"leak": "learned"}, "leak", ""),
    "elman learned leak masks": ("elman", {}, "leak", "x h candidate zone_h"),
    "elman one learned leak": ("elman", {}, "one_leak", ""),
    "elman proj": ("elman", {}, "hr", ""),
    "elman norm": ("elman", {"layer_norm": True}, "", ""),
    "elman norm without biases": ("elman", {"layer_norm": True}, "unbiased", ""),
    "elman norm skip leak": ("elman", {"layer_norm": True, "skip": 2}, "leak", "x h candidate zone_h"),
    "elman norm proj": ("elman", {"layer_norm": True}, "hr unbiased", "h"),
    "elman skip 1": ("elman", {"skip": 1}, "", ""),
    "elman skip 3": ("elman", {"skip": 3}, "", ""),
    "elman skip 7": ("elman", {"skip": 7}, "", ""),
    "elman masks": ("elman", {}, "", "x h candidate zone_h"),
    "elman of all": (
        "elman",
        {"leak": 0.4, "skip": 2, "nonlinearity": "hard_sigmoid"},
        "",
        "x h candidate zone_h",
    ),
    "elman proj skip zone": ("elman", {"skip": 2}, "hr", "h candidate zone_h"),
    "gru after": ("gru", {}, "", ""),
    "gru before": ("gru", {"reset_after": False}, "", ""),
    "gru relu": ("gru", {"nonlinearity": "relu"}, "", ""),
    "gru hard": ("gru", {"gate_activation": "hard_sigmoid", "reset_after": False}, "", ""),
    "gru proj": ("gru", {}, "hr", ""),
    "gru after norm": ("gru", {"layer_norm": True}, "", ""),
    "gru before norm": ("gru", {"layer_norm": True, "reset_after": False}, "", ""),
    "gru norm skip proj": ("gru", {"layer_norm": True, "skip": 2}, "hr", "h candidate"),
    "gru skip": ("gru", {"skip": 2}, "", ""),
    "gru after masks": ("gru", {}, "", "x h candidate zone_h"),
    "gru before masks": ("gru", {"reset_after": False}, "", "x h candidate zone_h"),
    "gru before norm masks": (
        "gru",
        {"reset_after": False, "layer_norm": True},
        "unbiased",
        "h candidate zone_h",
    ),
    "gru proj skip": ("gru", {"skip": 2}, "hr", "h candidate"),
    "lstm": ("lstm", {}, "", ""),
    "lstm peephole": ("lstm", {}, "peephole", ""),
    "lstm peephole previous": ("lstm", {"peephole": "previous"}, "peephole", "zone_c"),
    "lstm coupled peephole previous norm": (
        "lstm",
        {"peephole": "previous", "coupled": True, "cell_clip": 0.7, "layer_norm": True},
        "peephole",
        "",
    ),
    "lstm coupled": ("lstm", {"coupled": True}, "", ""),
    "lstm coupled peephole": ("lstm", {"coupled": True}, "peephole", ""),
    "lstm relevance": ("lstm", {"relevance": True}, "", ""),
    "lstm relevance coupled": (
        "lstm",
        {"relevance": True, "coupled": True, "output_activation": "identity"},
        "peephole",
        "h candidate",
    ),
    "lstm proj": ("lstm", {}, "hr", ""),
    "lstm clip": ("lstm", {"cell_clip": 0.4}, "", ""),
    "lstm coupled peephole proj clip": (
        "lstm",
        {"coupled": True, "cell_clip": 0.4},
        "peephole hr",
        "",
    ),
    "lstm activations": (
        "lstm",
        {
            "gate_activation": "hard_sigmoid",
            "candidate_activation": "relu",
            "output_activation": "positive",
        },
        "peephole",
        "",
    ),
    "lstm norm": ("lstm", {"layer_norm": True}, "", ""),
    "lstm norm relevance": ("lstm", {"layer_norm": True, "relevance": True}, "", "h candidate"),
    "lstm norm relevance coupled": (
        "lstm",
        {"layer_norm": True, "relevance": True, "coupled": True},
        "peephole unbiased",
        "",
    ),
    "lstm norm skip": ("lstm", {"layer_norm": True, "skip": 2}, "hr", "h zone_h zone_c"),
    "lstm skip": ("lstm", {"skip": 2}, "", ""),
    "lstm zone h": ("lstm", {}, "", "zone_h"),
    "lstm zone c": ("lstm", {}, "", "zone_c"),
    "lstm candidate": ("lstm", {}, "", "candidate"),
    "lstm locked": ("lstm", {}, "", "x h"),
    "lstm norm of all": (
        "lstm",
        {"layer_norm": True, "cell_clip": 0.7},
        "peephole hr",
        "x h candidate zone_h zone_c",
    ),
    "lstm skip of all": (
        "lstm",
        {"skip": 3, "coupled": True, "cell_clip": 0.7},
        "peephole hr",
        "x h candidate zone_h zone_c",
    ),
    "lstm zoneout in inference": ("lstm", {"zoneout": (0.2, 0.4)}, "peephole", "inference"),
    "gru zoneout in inference": ("gru", {"zoneout": (0.2, 0.0)}, "", "inference"),
    "minlstm zoneout in inference": ("minlstm", {"zoneout": (0.2, 0.0)}, "", "inference"),
    "slstm": ("slstm", {}, "", ""),
    "slstm norm": ("slstm", {"layer_norm": True}, "", "x h candidate zone_h"),
    "slstm norm skip proj": ("slstm", {"layer_norm": True, "skip": 2}, "hr unbiased", "h candidate zone_h"),
    "mingru": ("mingru", {}, "", ""),
    "mingru norm": ("mingru", {"layer_norm": True}, "", "x candidate"),
    "minlstm norm": ("minlstm", {"layer_norm": True, "nonlinearity": "positive"}, "unbiased", "zone_h"),
    "mingru without bias": ("mingru", {}, "unbiased", ""),
    "mingru positive masks": ("mingru", {"nonlinearity": "positive"}, "", "x candidate zone_h"),
    "minlstm": ("minlstm", {}, "", ""),
    "minlstm positive masks": ("minlstm", {"nonlinearity": "positive"}, "", "x candidate zone_h"),
}
GATES = {"elman": "n", "gru": "rzn", "lstm": "ifgo", "slstm": "ifzo", "mingru": "zn", "minlstm": "fin"}


@dataclass(frozen=True, eq=False)
class VariantCase:
    """The arguments of a forward pass of a variant and of the backward pass that follows it."""

    cell: str
    options: dict[str, Any]
    x: np.ndarray
    weights: dict[str, np.ndarray]
    state: tuple[np.ndarray, ...] | None
    dy: np.ndarray | None
    dstate_n: tuple[np.ndarray, ...] | None
    masks: dict[str, np.ndarray]
    training: bool = True
    lengths: np.ndarray | None = None
    reset: np.ndarray | None = None
    reverse: bool = False

    @property
    def gates(self) -> str:
        """Return the gates' letters in the order of the weights' rows."""
        gates = GATES[self.cell].replace("f", "") if self.options.get("coupled") else GATES[self.cell]
        return gates + "r" if self.options.get("relevance") else gates

    def forward(self):
        """Run the forward pass: y, state_n, tape."""
        return reference.variant_forward(
            self.cell,
            self.x,
            self.weights,
            self.state,
            self.lengths,
            self.reset,
            self.reverse,
            masks=self.masks,
            training=self.training,
            **self.options,
        )

    def backward(self, tape=None):
        """Run the backward pass: dx, dstate, dweights."""
        tape = self.forward()[2] if tape is None else tape
        return reference.variant_backward(self.cell, self.weights, tape, self.dy, self.dstate_n)

    def loss(self) -> float:
        """Return a number whose gradients are those of `backward`: <dy, y> + <dstate_n, state_n>."""
        y, state_n, _ = self.forward()
        states = zip(self.dstate_n, state_n, strict=True)
        return float((self.dy * y).sum() + sum((d * s).sum() for d, s in states))

    def replace(self, **changes) -> VariantCase:
        """Return the case with some fields changed."""
        return replace(self, **changes)

    def arrays(self) -> list[np.ndarray]:
        """Return all arguments that are arrays."""
        more = [a for a in (self.lengths, self.reset, self.dy) if a is not None]
        return [self.x, *self.weights.values(), *self.state, *self.dstate_n, *self.masks.values(), *more]

    def cast(self, dtype: str) -> VariantCase:
        """Return the case in another dtype."""

        def to(arrays):
            if isinstance(arrays, dict):
                return {name: a.astype(dtype) for name, a in arrays.items()}
            return tuple(a.astype(dtype) for a in arrays)

        return self.replace(
            x=self.x.astype(dtype),
            dy=self.dy.astype(dtype),
            **{name: to(getattr(self, name)) for name in ("weights", "state", "dstate_n", "masks")},
        )


def make_variant_case(
    name: str,
    sizes: tuple[int, int, int, int, int] = (5, 3, 2, 3, 2),
    *,
    ragged: bool = False,
    resets: bool = False,
    reverse: bool = False,
    seed: int = 0,
) -> VariantCase:
    """Make a random case of sizes (T, N, D, H, P); P is used if there is a projection."""
    cell, options, extra, drawn = VARIANTS[name]
    T, N, D, H, P = sizes
    case = VariantCase(cell, options, np.empty(0), {}, (), None, (), {})
    G, extras, skip = len(case.gates), extra.split(), options.get("skip", 0)
    P = P if "hr" in extras else H
    random = np.random.default_rng([seed, *sizes])

    def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
        return scale * random.normal(size=shape)

    weights = {"weight_ih": normal(G * H, D, scale=0.8)}
    if (product := not cell.startswith("min")) is True:
        weights["weight_hh"] = normal(G * H, P, scale=0.8 / np.sqrt(P))
    if "unbiased" not in extras:
        weights["bias_ih"] = normal(G * H, scale=0.5)
        if product:
            weights["bias_hh"] = normal(G * H, scale=0.5)
    if "hr" in extras:
        weights["weight_hr"] = normal(P, H, scale=0.8)
    if "peephole" in extras:
        weights["weight_peephole"] = normal(2 if options.get("coupled") else 3, H, scale=0.8)
    if "leak" in extras or "one_leak" in extras:
        weights["leak"] = normal(H if "leak" in extras else 1)
    if options.get("layer_norm"):
        names = ("gain",) if cell == "elman" else ("gain_ih", "gain_hh") if product else ("gain_ih",)
        weights |= {name: 1 + normal(G * H, scale=0.3) for name in names}
        if cell == "lstm":
            weights |= {"gain_c": 1 + normal(H, scale=0.3), "bias_c": normal(H, scale=0.3)}
    if skip:
        weights["weight_skip"] = normal(G * H, P, scale=0.5)
    shapes = [(N, P)]
    if cell == "lstm" or (cell == "gru" and "hr" in extras):
        shapes.append((N, H))
    if cell == "slstm":
        shapes.append((N, 3 * H))
    if skip:
        shapes.append((N, skip, P))
    masks = {
        "x": normal(N, D),
        "h": normal(N, P),
        "candidate": (random.random((T, N, H)) < 0.7) / 0.7,
        "zone_h": (random.random((T, N, P)) < 0.3).astype(float),
        "zone_c": (random.random((T, N, H)) < 0.3).astype(float),
    }
    x, state = normal(T, N, D), tuple(normal(*shape, scale=0.5) for shape in shapes)
    if cell == "slstm":  # c, n, m: n is a sum of weights
        state[1][:, H : 2 * H] = np.abs(state[1][:, H : 2 * H]) + 0.1
    return case.replace(
        x=x,
        weights=weights,
        state=state,
        dy=normal(T, N, P),
        dstate_n=tuple(normal(*shape) for shape in shapes),
        masks={name: masks[name] for name in drawn.split() if name != "inference"},
        training="inference" not in drawn,
        lengths=random.permutation(np.linspace(1, T, N).round().astype(int)) if ragged else None,
        reset=random.random((T, N)) < 0.3 if resets else None,
        reverse=reverse,
    )
