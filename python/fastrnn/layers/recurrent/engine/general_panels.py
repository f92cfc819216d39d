"""Weights of one layer and direction of any variant, packed, and what is random in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels
from fastrnn.layers.base.dropout import draw, locked_mask, step_masks
from fastrnn.layers.recurrent.engine.walk import Walk
from fastrnn.layers.recurrent.shapes import state_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastrnn.layers.recurrent.options import CellOptions

__all__ = ["INPUT", "OUTPUT", "GeneralPanels", "normalise", "normalise_backward"]

EPSILON = 1e-5
# What a mask is for: a stream of random numbers of its own.
INPUT, STATE, OUTPUT, CANDIDATE, ZONE_H, ZONE_C, WEIGHTS = range(7)


class GeneralPanels:
    """A snapshot of one layer's and direction's weights, and for a pass in training what is random in it."""

    def __init__(self, variant: CellOptions, hidden_size: int, weights: Mapping[str, Array]) -> None:
        self.variant, self.hidden_size = variant, hidden_size
        self.weights = {name: value.copy() for name, value in weights.items()}
        self.dtype = weights["weight_ih"].dtype
        self.input_size = weights["weight_ih"].shape[1]
        # With the normalisation the bias comes behind it.
        bias = None if variant.layer_norm else self.weights.get("bias_ih")
        self.inputs = kernels.linear_pack(self.weights["weight_ih"], bias)
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
        leak = self.variant.leak
        if isinstance(leak, str):
            return np.broadcast_to(kernels.sigmoid(self.weights["leak"]), self.hidden_size).copy()
        return np.full(self.hidden_size, leak, self.dtype)

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
        if targets is not None and self.targets is None:  # else what is fed back is left out already
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
            np.zeros(shape, self.dtype) for shape in state_shapes(self.variant, self.hidden_size, rows)
        )

    def input_part(self, x: Array, running: NDArray[np.bool_] | None) -> Array:
        """Give ``W_ih x + b_ih``, normalised where the layer is, [T, N, G*H]; only of rows that run."""
        weights = self.weights
        width = weights["weight_ih"].shape[0]
        if x.ndim == 2:
            if self._table is None:
                self._table = self._normalised(self._inputs_by_id())
            rows = np.where(x < 0, self.input_size, x).reshape(-1)
            gx: Array = kernels.embedding_forward(rows, self._table).reshape(*x.shape, width)
        elif running is None:
            tokens = kernels.linear_forward(self.inputs, x.reshape(-1, self.input_size))
            gx = self._normalised(tokens).reshape(*x.shape[:2], width)
        else:
            gx = np.zeros((*x.shape[:2], width), self.dtype)
            gx[running] = self._normalised(kernels.linear_forward(self.inputs, x[running]))
        if self.context is not None:
            gx += kernels.linear_forward(kernels.linear_pack(weights["weight_context"], None), self.context)
        return gx

    def _inputs_by_id(self) -> Array:
        """Give ``W_ih x + b_ih`` of every one-hot x, and in the last row of x zero, [D + 1, G*H]."""
        weight = self.weights["weight_ih"]
        table = np.zeros((self.input_size + 1, weight.shape[0]), self.dtype)
        table[:-1] = weight.T
        if not self.variant.layer_norm and "bias_ih" in self.weights:
            table += self.weights["bias_ih"]
        return table

    def feedback(self, walk: Walk) -> Array:
        """What is fed back at each step, [T, N, P]: the target of the step before it."""
        assert self.targets is not None
        targets = self.targets[walk.first : walk.first + walk.steps]
        return walk.before(targets, walk.state[0], walk.restart[0])

    def fed_back(self, walk: Walk) -> Array:
        """Give the recurrent part that targets make, [T, N, G*H]."""
        weights = kernels.linear_pack(self.weights["weight_hh"], self.weights.get("bias_hh"))
        tokens = self.feedback(walk).reshape(-1, self.weights["weight_hh"].shape[1])
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
