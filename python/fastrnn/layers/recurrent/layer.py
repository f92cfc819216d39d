"""What all recurrent layers share: construction, the passes over a batch, the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

import numpy as np

from fastrnn._arrays import Array
from fastrnn._checks import as_generator, as_probability, as_size
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.random import fill_uniform
from fastrnn.layers.recurrent.engine.arguments import Batch, as_dy, as_states, join_states, with_dcontext
from fastrnn.layers.recurrent.engine.packed import PackedWeights
from fastrnn.layers.recurrent.engine.segments import (
    AnyTape,
    CheckpointedTape,
    backward_segments,
    forward_segments,
)
from fastrnn.layers.recurrent.engine.sequence_pass import backward, forward, infer
from fastrnn.layers.recurrent.engine.stream import Stream
from fastrnn.layers.recurrent.engine.tape import Tape
from fastrnn.layers.recurrent.options import without_numpy
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

if TYPE_CHECKING:
    from fastrnn._checks import Seed

__all__ = ["Recurrent"]

StateT = TypeVar("StateT")


class Recurrent(Module, Generic[StateT]):
    """What all recurrent layers share; not made directly. `LSTM` documents the parameters.

    Attributes
    ----------
    input_size, hidden_size, num_layers : int
    directions : int
        2 where bidirectional, else 1.
    batch_first : bool
    dropout : float
    spec : RecurrentSpec
        All of these, and the options, in one.
    rng : numpy.random.Generator
        Draws the dropout masks; its state is part of what a training run needs to be resumed.
    """

    _cell: ClassVar[str]
    # Arguments of one class alone that have an attribute, and their defaults.
    _own: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self, sizes: tuple[int, int, int], options: Mapping[str, Any], *, seed: Seed, **shared: Any
    ) -> None:
        self.spec = spec = RecurrentSpec.of(self._cell, sizes, options=options, **shared)
        self.input_size, self.hidden_size = spec.input_size, spec.hidden_size
        self.num_layers, self.directions = spec.num_layers, spec.directions
        self.bidirectional = spec.directions == 2
        self.batch_first, self.bias, self.options = spec.batch_first, spec.bias, spec.options
        self.gates, self.state_names, self.output_size = spec.gates, spec.state_names, spec.output_size
        self._given = {name: without_numpy(value) for name, value in options.items() if name not in self._own}
        super().__init__(spec.parameter_shapes(), spec.dtype)
        self._weights = PackedWeights(spec, self.parameters)
        self.rng: np.random.Generator = as_generator(seed)
        fill_uniform(self.parameters._writable_flat(), self.hidden_size**-0.5, self.rng)
        with self.parameters.edit() as views:
            for name, view in views.items():
                if name.startswith("gain_"):
                    view[...] = 1
                elif name.startswith(("bias_c", "initial_", "leak")):  # without effect
                    view[...] = 0

    @property
    def dropout(self) -> float:
        """Probability that an output of a layer is dropped on its way to the next layer."""
        return self.spec.dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self.spec = self._weights.spec = replace(self.spec, dropout=as_probability("dropout", value))

    def __call__(
        self,
        x: Any,
        state: StateT | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        context: Any = None,
    ) -> tuple[Array, StateT]:
        """Run over a batch of sequences, without dropout and keeping nothing.

        Parameters
        ----------
        x : array_like, float [T, N, D] or integer ids [T, N]
            ``batch_first``: [N, T, D] or [N, T]. Ids, in ``0 .. input_size - 1``, stand for one-hot vectors.
        state : ndarray, float [L*directions, N, H], or for LSTM a pair (h, c) of them, optional
            The state before the first step; default zero.
        lengths : array_like, int [N], optional
            Steps of each row, in ``1 .. T`` and any order. y is zero after a row's end, its last state is
            the one at its own end, and a reverse direction starts there.
        reset : array_like, bool [T, N], optional
            Where true, the row restarts from `state` at this step. ``batch_first``: [N, T].
        context : array_like, float [N, C]
            Added to every step through weight_context; exactly where the layer has a `context_size`.

        Returns
        -------
        y : ndarray, float [T, N, directions*H]
            Every h of the last layer; ``batch_first``: a view with the first two axes swapped.
        state : as `state`
            The state after each row's last step; for a reverse direction after its first.

        Raises
        ------
        ValueError
            If an array has a wrong shape, an id is out of range or a length not in 1 .. T.
        TypeError
            If an array has a wrong dtype or the state is another cell's.
        MemoryError
            If a result cannot be allocated; it says how many bytes.
        """
        return self._infer(self._weights.current(), self._weights.batch(x, state, lengths, reset, context))

    @overload
    def forward(
        self, x: Any, state: Any = None, lengths: Any = None, reset: Any = None, *, context: Any = None
    ) -> tuple[Array, StateT, Tape]: ...

    @overload
    def forward(
        self, x: Any, state: Any = None, lengths: Any = None, reset: Any = None, *,
        checkpoint_every: int, context: Any = None,
    ) -> tuple[Array, StateT, CheckpointedTape]: ...  # fmt: skip

    @overload
    def forward(
        self, x: Any, state: Any = None, lengths: Any = None, reset: Any = None, *,
        checkpoint_every: int | None, context: Any = None,
    ) -> tuple[Array, StateT, AnyTape]: ...  # fmt: skip

    def forward(
        self,
        x: Any,
        state: StateT | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        checkpoint_every: int | None = None,
        context: Any = None,
    ) -> tuple[Array, StateT, AnyTape]:
        """Run over a batch of sequences in training: with dropout, and keeping what `backward` needs.

        Parameters
        ----------
        x, state, lengths, reset, context
            As for a call, and so are the errors.
        checkpoint_every : int, optional
            Keep only the state before every so many steps; `backward` then runs each segment again. Less
            memory, the same bits, one more forward pass.

        Returns
        -------
        y, state
            As for a call.
        tape : Tape, or CheckpointedTape where `checkpoint_every` is given
            Every input, h, c and gate of every layer, or the states that were kept.
        """
        batch = self._weights.batch(x, state, lengths, reset, context)
        return self._forward(self._weights.current(), batch, checkpoint_every, initial=state is None)

    def backward(
        self,
        tape: AnyTape,
        dy: Any,
        dstate: StateT | None = None,
        *,
        need_dx: bool = True,
        dcontext: Array | None = None,
    ) -> tuple[Array | None, StateT]:
        """Backpropagation through time: adds into `gradients`.

        Parameters
        ----------
        tape : Tape or CheckpointedTape
            From `forward`; it is not changed.
        dy : array_like, float, of y's shape, or None
            Gradient of the loss with respect to y; None for zero.
        dstate : as the state, optional
            Gradient with respect to the last state; default zero.
        need_dx : bool, default True
            False saves the work for dx.
        dcontext : ndarray, float [N, C], optional
            The gradient with respect to the context is added to it.

        Returns
        -------
        dx : ndarray, float, of x's shape, or None
            None where x was ids or `need_dx` is false.
        dstate : as the state
            Gradient with respect to the first state.

        Raises
        ------
        ValueError
            If the tape is another layer's, an array has a wrong shape, or `dy` and `dstate` are both None.
        TypeError
            If an array has a wrong dtype.
        """
        if not isinstance(tape, (Tape, CheckpointedTape)):
            raise TypeError(f"tape: expected the Tape that forward returned, got {type(tape).__name__}")
        if tape._owner is not self:
            raise ValueError("tape: expected one of this layer, got another layer's")
        if dy is None and dstate is None:
            raise ValueError("dy, dstate: expected at least one gradient, got None for both")
        gradients = self.spec.groups(self.gradients)
        if dcontext is not None:
            gradients = with_dcontext(self.spec, gradients, dcontext, tape.rows)
        return self._backward(tape, gradients, dy, dstate, need_dx)

    def stream(self, batch_size: int = 1, *, context: Any = None) -> Stream[StateT]:
        """Make a stepper that keeps the state: one time step a call.

        Parameters
        ----------
        batch_size : int, default 1
            N, the number of sequences side by side.
        context : array_like, float [N, C]
            As for a call.

        Raises
        ------
        ValueError
            If the layer is bidirectional or reversed: it needs the whole sequence.
        """
        return Stream(self._weights, batch_size, context, self)

    def __repr__(self) -> str:
        given = [str(self.input_size), str(self.hidden_size)]
        given += [f"{name}={value!r}" for name, value, usual in self._options() if value != usual]
        return f"{type(self).__name__}({', '.join(given)})"

    def _options(self) -> list[tuple[str, Any, Any]]:
        """Return name, value and default of each option."""
        return [
            ("num_layers", self.num_layers, 1),
            ("bidirectional", self.bidirectional, False),
            ("batch_first", self.batch_first, False),
            ("dropout", self.dropout, 0.0),
            ("bias", self.bias, True),
            ("dtype", self.dtype.name, "float32"),
            *((name, value, None) for name, value in self._given.items()),
            *((name, getattr(self, name), usual) for name, usual in self._own.items()),
        ]

    def _infer(self, packed: list[Any], batch: Batch) -> tuple[Array, StateT]:
        y, finals = infer(self.spec, packed, batch)
        return (y.swapaxes(0, 1) if self.batch_first else y), join_states(finals)

    def _forward(
        self, packed: list[Any], batch: Batch, checkpoint_every: int | None, *, initial: bool
    ) -> tuple[Array, StateT, AnyTape]:
        """Run with packed weights; `initial`: no state was given."""
        tape: AnyTape
        if checkpoint_every is None:
            y, finals, tape = forward(self.spec, packed, batch, self.rng)
        else:
            every = as_size("checkpoint_every", checkpoint_every)
            y, finals, tape = forward_segments(self.spec, packed, batch, self.rng, every)
        tape._owner, tape.learned_state = self, initial and self.options.learn_state
        return (y.swapaxes(0, 1) if self.batch_first else y), join_states(finals), tape

    def _backward(
        self, tape: AnyTape, gradients: list[Group], dy: Any, dstate: Any, need_dx: bool
    ) -> tuple[Array | None, StateT]:
        """Run BPTT into any groups of gradients."""
        dy = None if dy is None else as_dy(self.spec, dy, tape.steps, tape.rows)
        dstates = as_states(self.spec, "dstate", dstate, tape.rows)
        run: Any = backward if isinstance(tape, Tape) else backward_segments
        dx, firsts = run(tape, gradients, dy, dstates, need_dx)
        if tape.learned_state:
            for i, parts in enumerate(firsts):
                for name, part in zip(self.state_names, parts, strict=True):
                    self.gradients[f"initial_{name}"][i] += part.sum(axis=0)
        if self.batch_first and dx is not None:
            dx = dx.swapaxes(0, 1)
        return dx, join_states(firsts)

    def _bind(self, buffer: Any, start: int) -> None:
        super()._bind(buffer, start)
        self._weights.forget()
