"""Weights of a layer as passes take them: packed, made again when the parameters have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array, as_lengths
from fastrnn._dispatch import kernels
from fastrnn.layers.base.dropout import draw_key
from fastrnn.layers.recurrent.engine.arguments import (
    Batch,
    States,
    as_context,
    as_input,
    as_reset,
    as_states,
)
from fastrnn.layers.recurrent.engine.general_panels import GeneralPanels
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

if TYPE_CHECKING:
    from fastrnn.layers.base.parameters import Parameters

__all__ = ["PackedWeights", "for_pass", "native_group", "pack"]


def native_group(group: Group) -> tuple[Array, Array, Array | None, Array | None]:
    """Return a plain cell's weights or gradients as the compiled functions take them."""
    return group["weight_ih"], group["weight_hh"], group.get("bias_ih"), group.get("bias_hh")


def pack(spec: RecurrentSpec, group: Group) -> Any:
    """Pack the weights of one layer and direction."""
    options = spec.options
    if not options.plain:
        return GeneralPanels(options, spec.hidden_size, group)
    weights = native_group(group)
    if spec.cell == "elman":
        return kernels.elman_pack(*weights, options.candidate_activation)
    if spec.cell == "gru":
        return kernels.gru_pack(*weights, options.reset_after)
    return kernels.lstm_pack(*weights)


def for_pass(
    spec: RecurrentSpec, packed: list[Any], context: Array | None, rng: np.random.Generator | None = None
) -> list[Any]:
    """Return packed weights with what is theirs in one pass: context and, in training, a key for masks."""
    if spec.options.plain:
        return packed
    random = rng if spec.options.random else None
    return [
        one.for_pass(
            None if random is None else draw_key(random),
            context if i < spec.directions else None,
            one.targets,
        )
        for i, one in enumerate(packed)
    ]


class PackedWeights:
    """A layer's parameters as passes take them: packed weights, initial states."""

    def __init__(self, spec: RecurrentSpec, parameters: Parameters) -> None:
        self.spec, self.parameters = spec, parameters
        self.forget()

    def forget(self) -> None:
        """Drop what was made: the parameters have moved."""
        self._version: float = -1
        self._packed: list[Any] = []
        self._groups: list[Group] | None = None

    def groups(self) -> list[Group]:
        """Return the weights of each layer and direction by name."""
        if self._groups is None:
            self._groups = self.spec.groups(self.parameters)
        return self._groups

    def current(self) -> list[Any]:
        """Return packed weights of each layer and direction, made again if the version has changed."""
        version = self.parameters.version
        if self._version != version:
            self._packed = [pack(self.spec, group) for group in self.groups()]
            self._version = version
        return self._packed

    def initial_states(self, rows: int) -> States | None:
        """Return the learned initial state for so many rows; None where it is zero."""
        spec = self.spec
        if not spec.options.learn_state:
            return None
        learned = [self.parameters[f"initial_{name}"] for name in spec.state_names]
        return [
            tuple(np.repeat(part[i : i + 1], rows, axis=0) for part in learned) for i in range(spec.count)
        ]

    def batch(
        self, x: Any, state: Any = None, lengths: Any = None, reset: Any = None, context: Any = None
    ) -> Batch:
        """Check the arguments of a pass; without a state it starts from the initial one."""
        x = as_input(self.spec, x)
        steps, rows = x.shape[:2]
        return Batch(
            x,
            self.initial_states(rows) if state is None else as_states(self.spec, "state", state, rows),
            as_lengths(lengths, steps, rows),
            as_reset(self.spec, reset, steps, rows),
            as_context(self.spec, context, rows),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedWeights, (self.spec, self.parameters)
