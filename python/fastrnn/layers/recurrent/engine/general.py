"""One layer and direction of any variant: the large products around the kernel that walks over time.

`GeneralPanels` stand in for a plain cell's packed weights; `forward` and `backward` take what the compiled
ones of a plain cell take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn._dispatch import kernels
from fastrnn.layers.recurrent.engine.general_panels import (
    INPUT,
    OUTPUT,
    GeneralPanels,
    normalise,
    normalise_backward,
)
from fastrnn.layers.recurrent.engine.walk import Walk, last_steps, last_steps_backward, skipped

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GeneralTape", "backward", "forward"]


class GeneralTape:
    """What `forward` keeps; see `fastrnn.layers.LayerTape`."""

    __slots__ = ("lengths", "panels", "reset", "reverse", "saved", "segment", "state", "x")

    def __init__(self, panels: GeneralPanels, x: Array, walk: Walk, saved: dict[str, Array]) -> None:
        self.panels, self.x, self.saved = panels, x, saved
        self.state, self.lengths, self.reset, self.reverse, self.segment = walk[:5]

    @property
    def y(self) -> Array:
        """Every h, as it was before an output's mask."""
        return self.saved["y"]

    @property
    def c(self) -> Array | None:
        """Every carried state, where there is one."""
        return self.saved.get("c")

    @property
    def gates(self) -> Array | None:
        """Every gate, in the order of weight_ih's rows."""
        return self.saved["gates"]


def forward(
    panels: GeneralPanels,
    x: Array,
    state: tuple[Array, ...] | None = None,
    lengths: Ids | None = None,
    reset: NDArray[np.bool_] | None = None,
    reverse: bool = False,
    training: bool = False,
    segment: Any = None,
) -> tuple[Array, tuple[Array, ...], GeneralTape | None]:
    """Run one layer and direction over a sequence."""
    variant = panels.variant
    steps, rows = x.shape[:2]
    state = panels.zero_state(rows) if state is None else state
    walk = Walk(state, lengths, reset, reverse, segment, steps, rows)
    given = x
    if (mask := panels.locked(INPUT, variant.input_dropout, rows, panels.input_size)) is not None:
        if x.ndim == 2:
            raise ValueError("input_dropout: expected x of floats, got ids")
        given = x * mask
    gx = panels.input_part(given, walk.running)
    if panels.targets is not None:
        gx += panels.fed_back(walk)
    part = None if segment is None else (walk.first, int(segment[1]), walk.restart)
    y, last, saved = kernels.variant_forward(
        panels.native, gx, state, lengths, reset, reverse, training, part, panels.step_masks(walk)
    )
    if variant.skip:
        last = (*last, last_steps(walk, y, variant.skip))
    if panels.targets is not None:
        last = (panels.last_target(walk), *last[1:])
    if (mask := panels.locked(OUTPUT, variant.output_dropout, rows, y.shape[2])) is not None:
        y = y * mask
    return y, last, GeneralTape(panels, x, walk, saved) if training else None


def backward(
    panels: GeneralPanels,
    tape: GeneralTape,
    dy: Array | None,
    dstate: tuple[Array, ...] | None,
    gradients: Mapping[str, Array],
    need_dx: bool,
    drestart: tuple[Array, ...] | None = None,
) -> tuple[Array | None, tuple[Array, ...]]:
    """Run backpropagation through time: adds into gradients; dx or None, gradient of the first state."""
    panels, variant, saved = tape.panels, tape.panels.variant, tape.saved
    y = tape.y
    steps, rows, P = y.shape
    walk = Walk(tape.state, tape.lengths, tape.reset, tape.reverse, tape.segment, steps, rows)
    dlast = panels.zero_state(rows) if dstate is None else dstate
    dy = np.zeros_like(y) if dy is None else dy
    if (mask := panels.locked(OUTPUT, variant.output_dropout, rows, P)) is not None:
        dy = dy * mask
    if panels.targets is not None:  # the last state is a target, which has no gradient
        dlast = (np.where((walk.ends > 0)[:, None], 0, dlast[0]), *dlast[1:])
    dpast = None
    if variant.skip:
        dy = dy.copy()
        dpast = last_steps_backward(walk, dy, dlast[-1], drestart)
    masks = panels.step_masks(walk)
    part = None if tape.segment is None else (walk.first, int(tape.segment[1]), walk.restart)
    d = kernels.variant_backward(
        panels.native,
        saved,
        walk.state,
        walk.lengths,
        walk.reset,
        walk.reverse,
        part,
        masks,
        np.ascontiguousarray(dy),
        dlast,
        drestart,
    )
    if dpast is not None:
        d["dpast"] += dpast
    if panels.targets is not None:
        _first_feedback(panels, walk, d, drestart)
    dfirst = tuple(d[name] for name in ("dh", "dc", "dpast") if name in d)
    if drestart is not None and walk.first == 0:  # the resets of all segments lead here
        for own, back in zip(dfirst, drestart, strict=True):
            own += back
    _parameter_gradients(panels, walk, saved, masks, d, gradients)
    dx = _input_gradients(panels, walk, tape.x, d["dgx"], gradients, need_dx)
    return dx, dfirst


def _parameter_gradients(
    panels: GeneralPanels,
    walk: Walk,
    saved: Mapping[str, Array],
    masks: Mapping[str, Array],
    d: Mapping[str, Array],
    gradients: Mapping[str, Array],
) -> None:
    variant, H = panels.variant, panels.hidden_size
    y, gates, dgx = saved["y"], saved["gates"], d["dgx"]
    running = walk.running

    def tokens(values: Array) -> Array:
        """Real steps, one behind the other."""
        return values.reshape(-1, values.shape[-1]) if running is None else values[running]

    first, restart = walk.state[0], walk.restart[0]
    h_prev = None
    if panels.targets is not None:
        h_prev = panels.feedback(walk)
    elif variant.has_product or variant.leak is not None:
        h_prev = walk.before(y, first, restart)
    if variant.has_product:
        assert h_prev is not None
        drecurrent = d.get("drecurrent", dgx)
        source = tokens(d.get("dnormed", drecurrent))
        u = h_prev if "h" not in masks else h_prev * masks["h"]
        _recurrent_gradients(
            panels, tokens(u), source, tokens(gates.reshape(*gates.shape[:2], -1)), gradients
        )
        _add(gradients, "bias_hh", lambda: tokens(drecurrent).sum(axis=0))
        _add(gradients, "gain_hh", lambda: (tokens(drecurrent) * tokens(saved["normed"])).sum(axis=0))
        if variant.skip:
            past = tokens(skipped(walk, y, variant.skip))
            _product(panels.weights["weight_skip"], past, source, gradients["weight_skip"])
    if variant.hidden_recurrence:
        inner = walk.before(saved["c"], walk.state[1], walk.restart[1])
        _product(panels.weights["weight_inner"], tokens(inner), source, gradients["weight_inner"])
    if variant.proj_size:
        _add(gradients, "bias_hr", lambda: tokens(d["dprojected"]).sum(axis=0))
        _product(
            panels.weights["weight_hr"], tokens(saved["q"]), tokens(d["dprojected"]), gradients["weight_hr"]
        )
    if isinstance(variant.leak, str):
        assert h_prev is not None
        n = gates[:, :, 0] * masks.get("candidate", panels.dtype.type(1))
        a = panels.leak
        dleak = tokens(d["dinner"] * (h_prev - n)).sum(axis=0) * (a * (1 - a))
        gradients["leak"][...] += dleak if variant.leak == "learned" else dleak.sum()
    if variant.cell == "lstm" and (variant.peephole or variant.layer_norm):
        c_prev = walk.before(saved["c"], walk.state[1], walk.restart[1])
        i, o = 0, 2 if variant.coupled else 3
        f = 1 - gates[:, :, 0] if variant.coupled else gates[:, :, 1]
        candidate = gates[:, :, o - 1] * masks.get("candidate", panels.dtype.type(1))
        c = f * c_prev + gates[:, :, i] * candidate
        if variant.cell_clip:
            np.clip(c, -variant.cell_clip, variant.cell_clip, out=c)
        if variant.peephole:
            met = [(i, c_prev), *([] if variant.coupled else [(1, c_prev)]), (o, c)]
            for row, (gate, cell) in enumerate(met):
                part = dgx[:, :, gate * H : (gate + 1) * H]
                gradients["weight_peephole"][row] += tokens(part * cell).sum(axis=0)
        if variant.layer_norm:
            dk = tokens(d["dinner"])
            gradients["gain_c"][...] += (dk * normalise(tokens(c))[0]).sum(axis=0)
            gradients["bias_c"][...] += dk.sum(axis=0)


def _recurrent_gradients(
    panels: GeneralPanels, u: Array, source: Array, gates: Array, gradients: Mapping[str, Array]
) -> None:
    """Of weight_hh, from tokens' h' and the gradients of what weight_hh made of it."""
    variant, H = panels.variant, panels.hidden_size
    weight, into = panels.weights["weight_hh"], gradients["weight_hh"]
    dropped = panels.key is not None and variant.weight_drop > 0.0
    candidate = None
    if variant.relevance:
        candidate, reset = (1, 3) if variant.coupled else (2, 4)
    elif variant.kind == "gru_before":
        candidate, reset = 2, 0
    if candidate is None and not dropped:
        return _product(weight, u, source, into)
    dweight = np.zeros_like(weight)
    _product(weight, u, source, dweight)
    if candidate is not None:
        own = slice(candidate * H, (candidate + 1) * H)
        ru = np.ascontiguousarray(gates[:, reset * H : (reset + 1) * H] * u)
        dweight[own] = 0
        _product(weight[own], ru, np.ascontiguousarray(source[:, own]), dweight[own])
    if dropped:
        dweight *= panels.weight_mask
    into[...] += dweight
    return None


def _input_gradients(
    panels: GeneralPanels,
    walk: Walk,
    x: Array,
    dgx: Array,
    gradients: Mapping[str, Array],
    need_dx: bool,
) -> Array | None:
    """Of weight_ih, its bias and gain, and the context; gives dx."""
    variant, weights, running = panels.variant, panels.weights, walk.running
    if panels.context is not None:
        dcontext = dgx.sum(axis=0)
        _product(weights["weight_context"], panels.context, dcontext, gradients["weight_context"])
        if "context" in gradients:
            gradients["context"][...] += dcontext @ weights["weight_context"]
    d = dgx.reshape(-1, dgx.shape[2]) if running is None else dgx[running]
    _add(gradients, "bias_ih", lambda: d.sum(axis=0))
    if x.ndim == 2:
        ids = x.reshape(-1) if running is None else x[running]
        if variant.layer_norm:
            normed, scale = normalise(
                kernels.embedding_forward(ids, np.ascontiguousarray(weights["weight_ih"].T))
            )
            gradients["gain_ih"][...] += (d * normed).sum(axis=0)
            d = normalise_backward(normed, scale, d * weights["gain_ih"])
        dtable = np.zeros(weights["weight_ih"].shape[::-1], panels.dtype)
        kernels.embedding_backward(ids, np.ascontiguousarray(d), dtable)
        gradients["weight_ih"][...] += dtable.T
        return None
    mask = panels.locked(INPUT, variant.input_dropout, walk.rows, panels.input_size)
    given = x if mask is None else x * mask
    tokens = given.reshape(-1, x.shape[2]) if running is None else given[running]
    if variant.layer_norm:
        normed, scale = normalise(kernels.linear_forward(panels.inputs, tokens))
        gradients["gain_ih"][...] += (d * normed).sum(axis=0)
        d = normalise_backward(normed, scale, d * weights["gain_ih"])
    back = kernels.linear_backward(
        tokens, weights["weight_ih"], np.ascontiguousarray(d), gradients["weight_ih"], None, need_dx
    )
    if back is None:
        return None
    dx = np.zeros_like(x)
    dx[... if running is None else running] = back.reshape(x.shape) if running is None else back
    return dx if mask is None else np.multiply(dx, mask, out=dx)


def _product(weight: Array, x: Array, d: Array, into: Array) -> None:
    """Add ``d^T x``, the gradient of a weight that x was multiplied with."""
    kernels.linear_backward(
        np.ascontiguousarray(x), np.ascontiguousarray(weight), np.ascontiguousarray(d), into, None, False
    )


def _add(gradients: Mapping[str, Array], name: str, make: Any) -> None:
    into = gradients.get(name)
    if into is not None:
        into[...] += make()


def _first_feedback(
    panels: GeneralPanels, walk: Walk, d: dict[str, Array], drestart: tuple[Array, ...] | None
) -> None:
    """Add the gradient of what is fed back where a row starts: there it is the state, and no target."""
    dstart = d["dgx"] @ panels.weights["weight_hh"]
    starts = walk.starts if walk.running is None else walk.starts & walk.running
    resets = np.zeros_like(starts) if walk.reset is None else starts & walk.reset
    d["dh"] += np.where((starts & ~resets)[:, :, None], dstart, 0).sum(axis=0)
    into = d["dh"] if drestart is None else drestart[0]
    into += np.where(resets[:, :, None], dstart, 0).sum(axis=0)
