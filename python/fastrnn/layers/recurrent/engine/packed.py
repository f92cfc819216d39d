"""Packed weights of a layer, and what else a pass takes: masks, contexts, initial states."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array, Ids, as_lengths
from fastrnn._checks import as_flag
from fastrnn._dispatch import kernels
from fastrnn._other_words import refuse_arguments
from fastrnn.layers.base.batch_rows import BatchRows, current_rows
from fastrnn.layers.base.dropout import draw_key, draw_mask, draw_row_mask
from fastrnn.layers.base.kept import frozen, kept
from fastrnn.layers.recurrent.engine.arguments import (
    Batch,
    States,
    as_context,
    as_states,
    as_step_mask,
    packed_batch,
    read_input,
)
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

if TYPE_CHECKING:
    from fastrnn.layers.base.parameters import Gradients, Parameters

__all__ = [
    "PackedWeights",
    "PassWeights",
    "learned_signs",
    "option_arrays",
    "pack",
    "reverse_order",
    "set_neutral",
]

# The purpose of a mask; each has its own stream of random numbers.
INPUT, STATE, OUTPUT, CANDIDATE, ZONE_H, ZONE_C, WEIGHTS = range(7)


def pack(spec: RecurrentSpec, group: Group) -> Any:
    """Pack the weights of one layer and direction."""
    options = spec.options
    if not options.plain:
        return _pack_variant(spec, group)
    weights = group["weight_ih"], group["weight_hh"], group.get("bias_ih"), group.get("bias_hh")
    if spec.cell == "elman":
        return kernels.elman_pack(*weights, options.candidate_activation, spec.precision)
    if spec.cell == "gru":
        return kernels.gru_pack(*weights, options.reset_after, spec.precision)
    if spec.cell == "slstm":
        return kernels.slstm_pack(*weights)
    return kernels.lstm_pack(*weights, spec.precision)


def _pack_variant(spec: RecurrentSpec, group: Group) -> Any:
    options, weights = spec.options, dict(group)
    leak = options.leak
    if isinstance(leak, str):
        weights["leak"] = np.broadcast_to(kernels.sigmoid(group["leak"]), spec.hidden_size).copy()
    elif leak is not None:
        weights["leak"] = np.full(spec.hidden_size, leak, spec.dtype)
    given = {
        "coupled": options.coupled,
        "relevance": options.relevance,
        "peephole": options.peephole or "none",
        "skip": options.skip,
        "cell_clip": options.cell_clip,
        "zone_h": options.zoneout[0],
        "zone_c": options.zoneout[1],
        "gate_activation": options.gate_activation,
        "candidate_activation": options.candidate_activation,
        "output_activation": options.output_activation,
        "projection_activation": options.projection_activation,
        "leak": leak if isinstance(leak, str) else "fixed",
    }
    return kernels.variant_pack(options.kind, spec.hidden_size, weights, given)


class PassWeights(NamedTuple):
    """Packed weights of each layer and direction, and the keys and masks of one pass.

    Attributes
    ----------
    packed : list
    keys : list of int, or None
        Keys of the masks of each layer and direction; None if there are no masks.
    weight_masks : list of ndarray, or None
        The masks by which each weight_hh was multiplied.
    version : float
        That of the parameters that were packed; NaN, which equals nothing, if it is not known.
    part : BatchRows, or None
        The rows of the batch that the pass computes, whose masks it draws; None for a whole batch.
    """

    packed: list[Any]
    keys: list[int] | None = None
    weight_masks: list[Array] | None = None
    version: float = math.nan
    part: BatchRows | None = None


class PackedWeights:
    """A layer's packed weights and initial states, packed again after the parameters change."""

    spec: RecurrentSpec
    parameters: Parameters

    def __init__(self, spec: RecurrentSpec, parameters: Parameters) -> None:
        self.spec, self.parameters = spec, parameters
        self.forget()

    def forget(self) -> None:
        """Drop everything cached, because the parameters have moved."""
        # Version and weights are one value, as threads that share the layer may read it at any time.
        self._current: tuple[float, PassWeights] = (-1, PassWeights([]))
        self._groups: list[Group] | None = None
        self._gradients: tuple[Gradients, list[Group]] | None = None

    def use(self, spec: RecurrentSpec) -> None:
        """Pack the weights as another specification says from now on, those of streams too."""
        self.spec = spec
        self.parameters._buffer.touch()

    def groups(self) -> list[Group]:
        """Return the weights of each layer and direction by name."""
        if self._groups is None:
            self._groups = self.spec.groups(self.parameters)
        return self._groups

    def gradient_groups(self, gradients: Gradients) -> list[Group]:
        """Return the gradients of each layer and direction by name."""
        if self._gradients is None or self._gradients[0] is not gradients:
            self._gradients = gradients, self.spec.groups(gradients)
        return self._gradients[1]

    def current(self) -> PassWeights:
        """Return packed weights of each layer and direction; pack again if the version has changed."""
        version, weights = self._current
        current = self.parameters.version
        if version != current:
            weights = PassWeights([pack(self.spec, group) for group in self.groups()], version=current)
            self._current = (current, weights)
        return weights

    def for_pass(self, rng: np.random.Generator) -> PassWeights:
        """Return packed weights for one pass in training; `rng` draws the keys of its masks."""
        weights, options = self.current(), self.spec.options
        if not options.random:
            return weights
        packed = weights.packed
        keys = [draw_key(rng) for _ in packed]
        if not options.weight_drop:
            return weights._replace(keys=keys, part=current_rows())
        masks = [self._weight_mask(key, group) for key, group in zip(keys, self.groups(), strict=True)]
        return PassWeights(self._pack_masked(masks), keys, masks, weights.version, current_rows())

    def pickled(self, weights: PassWeights) -> PassWeights:
        """Return what `restored` takes to make the weights of a pass again from the parameters.

        Raises
        ------
        ValueError
            If the parameters have changed since.
        """
        if weights.version != self.parameters.version:
            raise ValueError(
                "tape: expected the parameters of its forward pass, to pickle it with them; they have changed"
            )
        return weights._replace(packed=[])

    def restored(self, given: PassWeights) -> PassWeights:
        """Return the current weights as a pass in training used them."""
        weights, masks = self.current(), given.weight_masks
        packed = weights.packed if masks is None else self._pack_masked(masks)
        return given._replace(packed=packed, version=weights.version)

    def _pack_masked(self, masks: list[Array]) -> list[Any]:
        return [
            pack(self.spec, {**group, "weight_hh": group["weight_hh"] * mask})
            for group, mask in zip(self.groups(), masks, strict=True)
        ]

    def _weight_mask(self, key: int, group: Group) -> Array:
        weight = group["weight_hh"]
        drop, dtype = self.spec.options.weight_drop, self.spec.dtype
        return draw_mask(key, WEIGHTS, range(1), weight.size, drop, dtype).reshape(weight.shape)

    def initial_states(self, rows: int) -> States | None:
        """Return the learned initial state, repeated for each row; None if it is zero."""
        spec = self.spec
        if not spec.options.learn_state:
            return None
        values = {name: self.parameters[f"initial_{name}"] for name in spec.state_names}
        learned = [value * learned_signs(spec, name, value) for name, value in values.items()]
        return [
            tuple(frozen(np.repeat(part[i : i + 1], rows, axis=0)) for part in learned)
            for i in range(spec.count)
        ]

    def batch(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        context: Any = None,
        targets: Array | None = None,
        *,
        mask: Any = None,
        zero_masked: bool = False,
        keep: bool = False,
        **other: Any,
    ) -> Batch:
        """Check the arguments of a pass; without a state, take the initial one.

        `keep`: for a tape, so that nobody can change them before the backward pass. `other`: what a pass does
        not have.
        """
        if other:
            refuse_arguments(other)
        spec = self.spec
        zero_masked = zero_masked is not False and as_flag("zero_masked", zero_masked)
        x, alone = read_input(spec, x, view=mask is not None)
        steps, rows = x.shape[:2]
        if alone and lengths is not None:
            raise ValueError("lengths: expected None for an x without the axis N, got lengths")
        batch = Batch(
            x,
            self.initial_states(rows)
            if state is None
            else as_states(spec, "state", state, rows, alone=alone),
            None if lengths is None else as_lengths(lengths, steps, rows),
            None if reset is None else as_step_mask(spec, "reset", reset, steps, rows, alone=alone),
            None
            if context is None and spec.options.plain
            else as_context(spec, context, rows, steps, alone=alone),
            targets,
            alone,
        )
        if mask is not None:
            counted = as_step_mask(spec, "mask", mask, steps, rows, alone=alone)
            batch = packed_batch(spec, batch, counted, zero_masked=zero_masked)
        return kept_batch(batch) if keep else batch

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedWeights, (self.spec, self.parameters)


def set_neutral(parameters: Parameters) -> None:
    """Give the parameters that options add the values with which they have no effect."""
    with parameters.edit() as views:
        for name, view in views.items():
            if name.startswith("gain"):
                view[...] = 1
            elif name.startswith(("bias_c", "initial_", "leak")):
                view[...] = 0


def learned_signs(spec: RecurrentSpec, name: str, value: Array) -> Array:
    """Return the factors by which a pass reads an array of the learned initial state, each 1 or -1.

    An sLSTM divides by n, which must not be negative: a learned n counts by its magnitude.
    """
    signs = np.ones_like(value)
    if spec.cell == "slstm" and name == "c":
        n = slice(spec.hidden_size, 2 * spec.hidden_size)  # of c, n, m
        signs[:, n] = np.where(value[:, n] < 0, -1, 1)
    return signs


def kept_batch(batch: Batch) -> Batch:
    """Return a batch whose arrays nobody can change."""
    states = batch.states
    if states is not None:
        states = [tuple([kept("state", part) for part in parts]) for parts in states]
    return Batch(
        kept("x", batch.x),
        states,
        None if batch.lengths is None else kept("lengths", batch.lengths),
        None if batch.reset is None else kept("reset", batch.reset),
        None if batch.context is None else kept("context", batch.context),
        None if batch.targets is None else kept("targets", batch.targets),
        batch.alone,
        batch.packing,
    )


def reverse_order(lengths: Ids | None, steps: int, rows: int) -> Ids:
    """Return the step of a reverse direction at each time and row, [T, N]; 0 after a row's end."""
    ends = np.full(rows, steps) if lengths is None else lengths
    order: Ids = np.maximum(ends - 1 - np.arange(steps)[:, None], 0)
    return order


def option_arrays(
    spec: RecurrentSpec,
    weights: PassWeights,
    batch: Batch,
    index: int,
    steps: range,
    *,
    reverse: bool = False,
) -> dict[str, Array] | None:
    """Return the arrays that the options of one layer and direction need in a pass, by name.

    Parameters
    ----------
    spec, weights, batch
    index : int
        The index of the layer and direction.
    steps : range
        The steps of the pass, counted in the direction of its loop.
    reverse : bool
        Whether the loop runs in reverse while the arrays stay in the order of time.
    """
    options = spec.options
    if options.plain:
        return None
    rows = batch.x.shape[1]
    arrays: dict[str, Array] = {}
    if batch.context is not None and index < spec.directions:
        own = slice(steps.start, steps.stop) if batch.context.ndim == 3 else slice(None)
        arrays["context"] = batch.context[own]
    if batch.targets is not None:
        arrays["targets"] = batch.targets[steps.start : steps.stop]
    if weights.keys is None:
        return arrays or None
    key, dtype, H, P = weights.keys[index], spec.dtype, spec.hidden_size, spec.h_size
    order = reverse_order(batch.lengths, len(steps), rows) if reverse else None

    def one(name: str, purpose: int, probability: float, width: int) -> None:
        """Add a mask for all steps, [N, width]."""
        if probability:
            mask = draw_row_mask(key, purpose, range(1), (rows, width), probability, dtype, part=weights.part)
            arrays[name] = frozen(mask[0])

    def each(name: str, purpose: int, probability: float, width: int, values: Any = None) -> None:
        """Add a mask for each step, [T, N, width]."""
        if not probability:
            return
        mask = draw_row_mask(
            key, purpose, steps, (rows, width), probability, dtype, part=weights.part, values=values
        )
        arrays[name] = frozen(mask if order is None else mask[order, np.arange(rows)])

    below = spec.input_size if index < spec.directions else spec.output_size
    one("input_mask", INPUT, options.input_dropout, below)
    one("state_mask", STATE, options.state_dropout, P)
    one("output_mask", OUTPUT, options.output_dropout, P)
    each("candidate_mask", CANDIDATE, options.recurrent_dropout, H)
    each("zone_h", ZONE_H, options.zoneout[0], P, (1.0, 0.0))
    each("zone_c", ZONE_C, options.zoneout[1], H, (1.0, 0.0))
    return arrays or None


def mask_bytes(arrays: Mapping[str, Array] | None) -> int:
    """Return the bytes of the masks among the arrays of a pass."""
    given = ("context", "targets")
    return sum(array.nbytes for name, array in (arrays or {}).items() if name not in given)
