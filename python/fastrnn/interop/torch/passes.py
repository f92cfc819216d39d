"""Passes over time-major arrays with a flat list of arrays as their tape, which autograd can keep."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np

from fastrnn._arrays import Array, Ids
from fastrnn._dispatch import kernels
from fastrnn.layers.recurrent.engine.arguments import Batch, States
from fastrnn.layers.recurrent.engine.packed import PassWeights, pack
from fastrnn.layers.recurrent.engine.sequence_pass import backward, forward, infer, levels
from fastrnn.layers.recurrent.engine.tape import Tape
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

__all__ = ["Kept", "Plan", "joined", "plan_of", "split"]

# A pickled tape of one layer and direction is a tuple; these are its parts that a plain cell has.
_X, _Y, _STATE, _LENGTHS, _C, _GATES, _Q, _REVERSE, _BOUNDED_GATES = 0, 1, 2, 3, 6, 7, 8, 13, 14
_PARTS = 15


class Kept(NamedTuple):
    """What a backward pass needs besides the weights.

    Attributes
    ----------
    x, y : ndarray, float [T, N, D] and [T, N, directions*P]
    states : list of tuple of ndarray, or None
        The first state of each layer and direction; None: zeros.
    lengths : ndarray, int64 [N], or None
    arrays : list of ndarray
        As `Plan.run_kept` returns them.
    """

    x: Array
    y: Array
    states: States | None
    lengths: Ids | None
    arrays: list[Array]


class Plan:
    """How to run a module: its specification, and the places of its weights.

    Weights and their gradients are flat lists in PyTorch's order: weight_ih, weight_hh, bias_ih, bias_hh and
    weight_hr of the first layer, as far as they exist, of its reverse direction, of the second layer, ...

    Attributes
    ----------
    spec : RecurrentSpec
        With a dropout of 0 where no mask is drawn.
    shapes : list of tuple of int
        Of all weights.
    dtype : numpy.dtype
    size : int
        Number of all weights.
    masks : int
        Dropout masks of a pass: each needs a key.
    """

    spec: RecurrentSpec
    dtype: np.dtype[Any]

    def __init__(self, spec: RecurrentSpec) -> None:
        self.spec, self.dtype = spec, spec.dtype
        self.masks: int = spec.num_layers - 1 if spec.dropout else 0
        groups = spec.groups(cast(Any, spec.parameter_shapes()))
        self._names = [tuple(group) for group in groups]
        self.shapes: list[Any] = [shape for group in groups for shape in group.values()]
        self.size: Any = sum(math.prod(shape) for shape in self.shapes)

    def groups(self, arrays: list[Array]) -> list[Group]:
        """Return weights or gradients by name for each layer and direction."""
        rest = iter(arrays)
        return [{name: next(rest) for name in names} for names in self._names]

    def pack(self, weights: list[Array]) -> PassWeights:
        """Pack the weights."""
        return PassWeights([pack(self.spec, group) for group in self.groups(weights)])

    def run(
        self, weights: PassWeights, x: Array, states: States | None, lengths: Ids | None, keys: list[int]
    ) -> tuple[Array, States]:
        """Run all layers without a tape; return y and the last states.

        Parameters
        ----------
        weights : PassWeights
        x : ndarray, float [T, N, D]
        states, lengths
            As of `Kept`.
        keys : list of int
            As many as `masks`.
        """
        batch = Batch(x, states, lengths, None)
        if not self.masks:
            return infer(self.spec, weights, batch)
        y, finals, _ = forward(self.spec, weights, batch, cast(Any, _Keys(keys)))
        return y, finals

    def run_kept(
        self, weights: PassWeights, x: Array, states: States | None, lengths: Ids | None, keys: list[int]
    ) -> tuple[Array, States, list[Array]]:
        """Run all layers; return y, the last states, and the arrays that `differentiate` needs besides."""
        y, finals, tape = forward(self.spec, weights, Batch(x, states, lengths, None), cast(Any, _Keys(keys)))
        arrays = [mask for mask in tape.dropout if mask is not None]
        for index, layer in enumerate(tape.layers):
            parts = cast(Any, layer).__getstate__()
            if self._reads_new_array(index):
                arrays.append(parts[_X])
            if not self._writes_result(index):
                arrays.append(parts[_Y])
            arrays += [parts[i] for i in (_C, _GATES, _Q) if parts[i] is not None]
        return y, finals, arrays

    def kept_shapes(self, T: int, N: int) -> list[tuple[int, ...]]:
        """Return the shapes of the arrays that `run_kept` returns."""
        spec, H = self.spec, self.spec.hidden_size
        shapes: list[tuple[int, ...]] = [(T, N, spec.output_size)] * self.masks
        for index in range(spec.count):
            shapes += [(T, N, spec.output_size)] * self._reads_new_array(index)
            shapes += [(T, N, spec.h_size)] * (not self._writes_result(index))
            shapes += [(T, N, H)] * (spec.cell == "lstm")
            shapes += [(T, N, 4, H)] * (spec.cell != "elman")
            shapes += [(T, N, H)] * bool(spec.options.proj_size)
        return shapes

    def differentiate(
        self, weights: PassWeights, kept: Kept, dy: Array | None, dstates: States | None, need_dx: bool
    ) -> tuple[Array | None, States, list[Array]]:
        """Run BPTT; return dx, the gradients of the first states, and the gradients of the weights."""
        gradients = [np.zeros(shape, self.spec.dtype) for shape in self.shapes]
        tape = self._tape(weights, kept)
        dx, firsts = backward(tape, self.groups(gradients), dy, dstates, need_dx)
        return dx, firsts, gradients

    def _tape(self, weights: PassWeights, kept: Kept) -> Tape:
        """Return the tape of a pass; its parts are taken in the order of `run_kept`."""
        spec, rest = self.spec, iter(kept.arrays)
        masks: list[Array | None] = [next(rest) for _ in range(self.masks)]
        masks += [None] * (spec.num_layers - 1 - self.masks)
        rows = kept.x.shape[1]
        zeros = tuple([np.zeros(shape, self.dtype) for shape in spec.state_shapes(rows)])
        states = kept.states or [zeros] * spec.count
        layers: list[Any] = []
        x = y = kept.x
        for index in range(spec.count):
            parts: list[Any] = [None] * _PARTS
            if self._reads_new_array(index):
                x = next(rest)
            elif spec.directions == 1:
                x = y
            y = kept.y if self._writes_result(index) else next(rest)
            parts[_X], parts[_Y], parts[_STATE], parts[_LENGTHS] = x, y, states[index], kept.lengths
            parts[_C] = next(rest) if spec.cell == "lstm" else None
            parts[_GATES] = next(rest) if spec.cell != "elman" else None
            parts[_Q] = next(rest) if spec.options.proj_size else None
            parts[_REVERSE] = spec.directions == 2 and index % 2 == 1
            parts[_BOUNDED_GATES] = 0  # modules of PyTorch keep gates as they are
            layer: Any = kernels.Tape.__new__(kernels.Tape)
            layer.__setstate__(tuple(parts))
            layers.append(layer)
        return Tape(spec, weights, levels(spec, masked=self.masks > 0), layers, masks)

    def _reads_new_array(self, index: int) -> bool:
        """Whether a layer is the first to read an array that is neither x nor the y of one below."""
        if index < self.spec.directions:
            return False
        return index % 2 == 0 if self.spec.directions == 2 else self.masks > 0

    def _writes_result(self, index: int) -> bool:
        """Whether a layer's y is the result of the pass."""
        return self.spec.directions == 1 and index == self.spec.count - 1


@lru_cache(maxsize=256)
def plan_of(
    cell: str,
    sizes: tuple[int, int, int],
    option: str | int,
    bidirectional: bool,
    dropout: float,
    bias: bool,
    dtype: str,
) -> Plan:
    """Return the plan of a layer with PyTorch's arguments.

    Parameters
    ----------
    cell : {"elman", "gru", "lstm"}
    sizes : (int, int, int)
        input_size, hidden_size and num_layers.
    option : str or int
        Of an Elman cell the nonlinearity, of an LSTM proj_size.
    bidirectional, dropout, bias, dtype
        As the arguments of these names; the dropout that acts in this pass.
    """
    options = {"elman": {"nonlinearity": option}, "gru": {}, "lstm": {"proj_size": option}}
    spec = RecurrentSpec.of(
        cell,
        sizes,
        bidirectional=bidirectional,
        batch_first=False,
        dropout=dropout if sizes[2] > 1 else 0.0,
        bias=bias,
        dtype=dtype,
        options=options[cell],
    )
    return Plan(spec)


def split(states: list[Array] | None) -> States | None:
    """Return the state of each layer and direction of arrays [L*directions, N, width]."""
    return None if states is None else list(zip(*states, strict=True))


def joined(states: States) -> list[Array]:
    """Return arrays [L*directions, N, width] of the state of each layer and direction."""
    if len(states) == 1:
        return [part[None] for part in states[0]]
    return [np.stack(parts) for parts in zip(*states, strict=True)]


class _Keys:
    """Keys that were drawn elsewhere, in place of a generator for `draw_key`."""

    def __init__(self, keys: list[int]) -> None:
        self._rest = iter(keys)

    def integers(self, high: int) -> int:
        return next(self._rest)
