"""One layer and direction of any variant: the large products around the kernel that walks over time.

It stands in for a plain cell's packed weights and kernels: `GeneralPanels` is an immutable snapshot of
weights, `forward` and `backward` take what the compiled ones take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn._dispatch import kernels
from fastrnn.layers.masks import draw, locked_mask, step_masks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastrnn.layers.variants import Variant

__all__ = ["GeneralPanels", "GeneralStream", "GeneralTape", "backward", "forward"]

EPSILON = 1e-5
# What a mask is for: a stream of random numbers of its own.
INPUT, STATE, OUTPUT, CANDIDATE, ZONE_H, ZONE_C, WEIGHTS = range(7)


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


class Walk(NamedTuple):
    """How a pass goes through its batch."""

    state: tuple[Array, ...]
    lengths: Ids | None
    reset: NDArray[np.bool_] | None
    reverse: bool
    segment: Any
    steps: int
    rows: int

    @property
    def first(self) -> int:
        """Number of the first step: more than 0 in a segment of a longer pass."""
        return 0 if self.segment is None else int(self.segment[0])

    @property
    def restart(self) -> tuple[Array, ...]:
        """The state that resets go back to."""
        return self.state if self.segment is None else self.segment[2] or self._zeros

    @property
    def _zeros(self) -> tuple[Array, ...]:
        return tuple(np.zeros_like(part) for part in self.state)

    @property
    def ends(self) -> Ids:
        """Steps that each row runs, [N]."""
        if self.lengths is None:
            return np.full(self.rows, self.steps)
        ends: Ids = np.clip(self.lengths - self.first, 0, self.steps)
        return ends

    @property
    def running(self) -> NDArray[np.bool_] | None:
        """Which rows run at which time, [T, N]; None where all do."""
        return None if self.lengths is None else np.arange(self.steps)[:, None] < self.ends

    @property
    def times(self) -> Ids | None:
        """The step of the walk at each time and row, [T, N]; None where the walk goes with time."""
        if not self.reverse:
            return None
        steps: Ids = np.maximum(self.ends - 1 - np.arange(self.steps)[:, None], 0)
        return steps

    @property
    def starts(self) -> NDArray[np.bool_]:
        """Where a row starts, at its first step or at a reset, [T, N]."""
        first = np.zeros((self.steps, self.rows), np.bool_)
        if self.reverse:
            rows = self.ends > 0
            first[self.ends[rows] - 1, np.arange(self.rows)[rows]] = True
        else:
            first[0] = True
        return first if self.reset is None else first | self.reset

    def before(self, values: Array, first: Array, restart: Array) -> Array:
        """Give `values` of the step before; at a start the rows of `first`, at a reset of `restart`."""
        shifted = np.empty_like(values)
        if self.reverse:
            shifted[:-1], shifted[-1] = values[1:], first
            rows = self.ends > 0
            shifted[self.ends[rows] - 1, np.arange(self.rows)[rows]] = first[rows]
        else:
            shifted[1:], shifted[0] = values[:-1], first
        if self.reset is not None:
            time, row = self.reset.nonzero()
            shifted[time, row] = restart[row]
        return shifted


class GeneralPanels:
    """A snapshot of one layer's and direction's weights, and for a pass in training what is random in it."""

    def __init__(self, variant: Variant, hidden_size: int, weights: Mapping[str, Array]) -> None:
        self.variant, self.hidden_size = variant, hidden_size
        self.weights = {name: value.copy() for name, value in weights.items()}
        self.dtype = weights["weight_ih"].dtype
        self.input_size = weights["weight_ih"].shape[1]
        # With the normalisation the bias comes behind it.
        bias = None if variant.layer_norm else self.weights.get("bias_ih")
        self._inputs = kernels.linear_pack(self.weights["weight_ih"], bias)
        self.native = self._pack(self.weights.get("weight_hh"))
        self.key: int | None = None
        self.context: Array | None = None
        self.targets: Array | None = None
        self._table: Array | None = None

    def _pack(self, weight_hh: Array | None) -> Any:
        variant = self.variant
        own = {"weight_ih", "weight_hh", "bias_ih", "gain_ih", "weight_context", "leak"}
        weights = {name: value for name, value in self.weights.items() if name not in own}
        if weight_hh is not None:
            weights["weight_hh"] = weight_hh
        if variant.leak is not None:
            weights["leak"] = self.leak
        options = {
            "coupled": variant.coupled,
            "relevance": variant.relevance,
            "layer_norm": variant.layer_norm,
            "skip": variant.skip,
            "cell_clip": variant.cell_clip,
            "zone_h": variant.zoneout[0],
            "zone_c": variant.zoneout[1],
            "gate_activation": variant.gate_activation,
            "candidate_activation": variant.candidate_activation,
            "output_activation": variant.output_activation,
            "projection_activation": variant.projection_activation,
        }
        wide = self.dtype == np.float64
        return kernels.variant_pack(variant.kind, self.hidden_size, weights, options, wide)

    @property
    def leak(self) -> Array:
        """Share of h' that stays in h, [H]."""
        if self.variant.leak == "learned":
            return kernels.sigmoid(self.weights["leak"])
        return np.full(self.hidden_size, self.variant.leak, self.dtype)

    def for_pass(
        self, key: int | None, context: Array | None = None, targets: Array | None = None
    ) -> GeneralPanels:
        """Give the same weights for one pass.

        `key` is what its masks hang on, None for inference; `targets` stand for outputs that are fed back.
        """
        if key is None and context is None and targets is None:
            return self
        twin = object.__new__(GeneralPanels)
        twin.__dict__.update(self.__dict__)
        twin.key, twin.context, twin.targets = key, context, targets
        if targets is not None:
            twin.native = self._pack(None)
        if key is not None and self.variant.weight_drop:
            twin.native = self._pack(self.weights["weight_hh"] * twin.weight_mask)
        return twin

    @property
    def weight_mask(self) -> Array:
        """What weight_hh is multiplied with in this pass."""
        shape = self.weights["weight_hh"].shape
        return locked_mask(self._key, WEIGHTS, shape, self.variant.weight_drop, self.dtype)

    @property
    def _key(self) -> int:
        assert self.key is not None
        return self.key

    def locked(self, purpose: int, probability: float, rows: int, width: int) -> Array | None:
        """Give the mask of every step, [N, width]; None where nothing is dropped."""
        if self.key is None or not probability:
            return None
        return locked_mask(self.key, purpose, (rows, width), probability, self.dtype)

    def step_masks(self, walk: Walk) -> dict[str, Array]:
        """Give the kernel's masks for a pass."""
        if self.key is None:
            return {}
        variant, rows = self.variant, walk.rows
        P = variant.output_size(self.hidden_size)
        masks: dict[str, Array] = {}
        if (h := self.locked(STATE, variant.state_dropout, rows, P)) is not None:
            masks["h"] = h
        times = walk.times

        def steps(purpose: int, probability: float, width: int) -> Any:
            dropped = draw(self._key, purpose, walk.first, walk.steps, rows * width, probability)
            return np.ascontiguousarray(step_masks(dropped, (walk.steps, rows, width), times))

        if p := variant.recurrent_dropout:
            scale = self.dtype.type(1.0 / (1.0 - p))
            masks["candidate"] = np.multiply(~steps(CANDIDATE, p, self.hidden_size), scale, dtype=self.dtype)
        if p := variant.zoneout[0]:
            masks["zone_h"] = steps(ZONE_H, p, P).astype(self.dtype)
        if p := variant.zoneout[1]:
            masks["zone_c"] = steps(ZONE_C, p, self.hidden_size).astype(self.dtype)
        return masks

    def zero_state(self, rows: int) -> tuple[Array, ...]:
        """Give the state of zeros."""
        return tuple(
            np.zeros(shape, self.dtype) for shape in self.variant.state_shapes(self.hidden_size, rows)
        )

    def input_part(self, x: Array, running: NDArray[np.bool_] | None) -> Array:
        """Give ``W_ih x + b_ih``, normalised where the layer is, [T, N, G*H]; only of rows that run."""
        weights = self.weights
        width = weights["weight_ih"].shape[0]
        if x.ndim == 2:
            if self._table is None:
                identity = np.eye(self.input_size, dtype=self.dtype)
                self._table = self._normalised(kernels.linear_forward(self._inputs, identity))
            gx: Array = kernels.embedding_forward(x.reshape(-1), self._table).reshape(*x.shape, width)
        elif running is None:
            tokens = kernels.linear_forward(self._inputs, x.reshape(-1, self.input_size))
            gx = self._normalised(tokens).reshape(*x.shape[:2], width)
        else:
            gx = np.zeros((*x.shape[:2], width), self.dtype)
            gx[running] = self._normalised(kernels.linear_forward(self._inputs, x[running]))
        if self.context is not None:
            gx += kernels.linear_forward(kernels.linear_pack(weights["weight_context"], None), self.context)
        return gx

    def _targets(self, walk: Walk) -> Array:
        """What is fed back at each step, [T, N, P]: the target of the step before it."""
        assert self.targets is not None
        targets = self.targets[walk.first : walk.first + walk.steps]
        return walk.before(targets, walk.state[0], walk.restart[0])

    def fed_back(self, walk: Walk) -> Array:
        """Give the recurrent part that targets make, [T, N, G*H]."""
        weights = kernels.linear_pack(self.weights["weight_hh"], self.weights.get("bias_hh"))
        tokens = self._targets(walk).reshape(-1, self.weights["weight_hh"].shape[1])
        part: Array = kernels.linear_forward(weights, tokens)
        return part.reshape(walk.steps, walk.rows, -1)

    def last_target(self, walk: Walk) -> Array:
        """Give each row's target at its last step; the state before, where it has no step."""
        assert self.targets is not None
        last, rows = walk.state[0].copy(), walk.ends > 0
        last[rows] = self.targets[walk.first + walk.ends[rows] - 1, np.arange(walk.rows)[rows]]
        return last

    def _normalised(self, tokens: Array) -> Array:
        if not self.variant.layer_norm:
            return tokens
        tokens = normalise(tokens)[0] * self.weights["gain_ih"]
        bias = self.weights.get("bias_ih")
        return tokens if bias is None else tokens + bias


class GeneralStream:
    """A stack of layers run one step at a time: what the compiled Stream is to plain cells."""

    def __init__(self, panels: Sequence[GeneralPanels], batch_size: int) -> None:
        self._panels = panels
        self._states = [one.zero_state(batch_size) for one in panels]

    def step(self, x: Array, out: Array | None = None) -> Array:
        """Feed one step: x [N, D] or ids [N] -> y [N, P]."""
        first, (rows, *_) = self._panels[0], self._states[0][0].shape
        if x.dtype.kind == "i" and x.shape != (rows,):
            raise ValueError(f"x: expected [{rows}], got {list(x.shape)}")
        if x.dtype.kind != "i" and (x.dtype != first.dtype or x.shape != (rows, first.input_size)):
            raise ValueError(f"x: expected {first.dtype} [{rows}, {first.input_size}], got {list(x.shape)}")
        y, states = np.ascontiguousarray(x)[None], []
        for panels, state in zip(self._panels, self._states, strict=True):
            y, last, _ = forward(panels, y, state)
            states.append(last)
        if out is not None:
            if out.dtype != first.dtype:
                raise TypeError(f"out: expected {first.dtype}, got {out.dtype}")
            if out.shape != y.shape[1:]:
                raise ValueError(f"out: expected {list(y.shape[1:])}, got {list(out.shape)}")
            out[...] = y[0]
        self._states = states
        return y[0] if out is None else out

    def get_state(self) -> list[tuple[Array, ...]]:
        """Give copies of the state of each layer."""
        return [tuple(part.copy() for part in state) for state in self._states]

    def set_state(self, states: Sequence[tuple[Array, ...]]) -> None:
        """Take copies of a state."""
        self._states = [tuple(np.array(part, order="C") for part in state) for state in states]

    def copy(self) -> GeneralStream:
        """Make a twin."""
        twin = GeneralStream(self._panels, self._states[0][0].shape[0])
        twin.set_state(self._states)
        return twin


def normalise(v: Array) -> tuple[Array, Array]:
    """Normalise rows: ``(v - mean) / sqrt(variance + 1e-5)``, and one over that root, [M, 1]."""
    centred = v - v.mean(axis=1, keepdims=True)
    scale = 1.0 / np.sqrt(np.einsum("mk,mk->m", centred, centred)[:, None] / v.shape[1] + EPSILON)
    scale = scale.astype(v.dtype, copy=False)
    return centred * scale, scale


def normalise_backward(x: Array, scale: Array, d: Array) -> Array:
    """Give the gradient of `normalise`, which gave x and scale."""
    along = np.einsum("mk,mk->m", d, x)[:, None] / d.shape[1]
    back: Array = (d - d.mean(axis=1, keepdims=True) - x * along.astype(d.dtype, copy=False)) * scale
    return back


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
        last = (*last, _last_steps(walk, y, variant.skip))
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
        dpast = _last_steps_backward(walk, dy, dlast[-1], drestart)
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
        h_prev = panels._targets(walk)
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
            past = tokens(_skipped(walk, y, variant.skip))
            _product(panels.weights["weight_skip"], past, source, gradients["weight_skip"])
    if variant.hidden_recurrence:
        inner = walk.before(saved["c"], walk.state[1], walk.restart[1])
        _product(panels.weights["weight_inner"], tokens(inner), source, gradients["weight_inner"])
    if variant.proj_size:
        _add(gradients, "bias_hr", lambda: tokens(d["dprojected"]).sum(axis=0))
        _product(
            panels.weights["weight_hr"], tokens(saved["q"]), tokens(d["dprojected"]), gradients["weight_hr"]
        )
    if variant.leak == "learned":
        assert h_prev is not None
        n = gates[:, :, 0] * masks.get("candidate", panels.dtype.type(1))
        a = panels.leak
        gradients["leak"][...] += tokens(d["dinner"] * (h_prev - n)).sum(axis=0) * (a * (1 - a))
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
            normed, scale = normalise(np.ascontiguousarray(weights["weight_ih"].T[ids]))
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
        normed, scale = normalise(kernels.linear_forward(panels._inputs, tokens))
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


def _walked(walk: Walk, n: int, y: Array) -> Array:
    """One row's steps in the order of its walk."""
    row = y[: walk.ends[n], n]
    return row[::-1] if walk.reverse else row


def _start_of(walk: Walk, n: int) -> Ids:
    """Of each step of one row's walk, the step of the last reset; -1 where there was none yet."""
    end = int(walk.ends[n])
    start = np.full(end, -1)
    if walk.reset is not None:
        resets = walk.reset[:end, n][::-1] if walk.reverse else walk.reset[:end, n]
        start = np.maximum.accumulate(np.where(resets, np.arange(end), -1))
    return start


def _skipped(walk: Walk, y: Array, skip: int) -> Array:
    """What each step's connection over `skip` steps reads, [T, N, P]."""
    past, restart = walk.state[-1], walk.restart[-1]
    result = np.zeros_like(y)
    for n in range(walk.rows):
        steps, start = _walked(walk, n, y), _start_of(walk, n)
        read = np.empty_like(steps)
        for s, since in enumerate(np.arange(len(steps)) - np.maximum(start, 0)):
            read[s] = steps[s - skip] if since >= skip else (restart if start[s] >= 0 else past)[n, since]
        result[: len(steps), n] = read[::-1] if walk.reverse else read
    return result


def _last_steps(walk: Walk, y: Array, skip: int) -> Array:
    """The last `skip` outputs of each row, oldest first: the next pass's past."""
    past, restart = walk.state[-1], walk.restart[-1]
    last = np.empty_like(past)
    for n in range(walk.rows):
        steps, start = _walked(walk, n, y), _start_of(walk, n)
        began = int(start[-1]) if len(start) else -1
        before = (restart if began >= 0 else past)[n]
        last[n] = np.concatenate([before, steps[max(began, 0) :]])[-skip:]
    return last


def _last_steps_backward(walk: Walk, dy: Array, dlast: Array, drestart: tuple[Array, ...] | None) -> Array:
    """Add the gradient of `_last_steps` into dy; gives what falls to the past before the first step."""
    dpast = np.zeros_like(dlast)
    skip = dlast.shape[1]
    for n in range(walk.rows):
        end, start = int(walk.ends[n]), _start_of(walk, n)
        began = int(start[-1]) if end else -1
        ran = min(end - max(began, 0), skip)
        into = dpast if began < 0 or drestart is None else drestart[-1]
        into[n, ran:] += dlast[n, : skip - ran]
        for k in range(ran):
            time = k if walk.reverse else end - 1 - k
            dy[time, n] += dlast[n, skip - 1 - k]
    return dpast
