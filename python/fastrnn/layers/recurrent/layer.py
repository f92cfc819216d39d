"""What RNN, GRU and LSTM share: construction, the passes over a batch, packed weights and their cache."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

import numpy as np

from fastrnn._arrays import Array, as_dtype, as_floats, as_lengths
from fastrnn._checks import as_generator, as_probability, as_size
from fastrnn.layers.base.dropout import draw_key
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.random import fill_uniform
from fastrnn.layers.recurrent.engine.arguments import (
    as_dy,
    as_input,
    as_reset,
    as_states,
    join_states,
)
from fastrnn.layers.recurrent.engine.cell_kernels import CellKernels, cell_kernels
from fastrnn.layers.recurrent.engine.general_panels import GeneralPanels
from fastrnn.layers.recurrent.engine.segments import CheckpointedTape
from fastrnn.layers.recurrent.engine.sequence_pass import Batch, forward_stack, infer_stack
from fastrnn.layers.recurrent.engine.stream import Stream
from fastrnn.layers.recurrent.engine.tape import Tape
from fastrnn.layers.recurrent.options import Variant
from fastrnn.layers.recurrent.shapes import Group, groups, recurrent_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike

    from fastrnn._checks import Seed
    from fastrnn.layers.recurrent.engine.arguments import States
    from fastrnn.layers.recurrent.engine.tape import AnyTape

__all__ = ["Recurrent"]

StateT = TypeVar("StateT")


class Recurrent(Module, Generic[StateT]):
    """What RNN, GRU and LSTM share; not made directly.

    Attributes
    ----------
    input_size, hidden_size, num_layers : int
    directions : int
        2 where bidirectional, else 1.
    batch_first : bool
    dropout : float
    rng : numpy.random.Generator
        Draws the dropout masks; its state is part of what a training run needs to be resumed.
    """

    _cell: ClassVar[str]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        *,
        bidirectional: bool,
        batch_first: bool,
        dropout: float,
        bias: bool,
        dtype: DTypeLike,
        seed: Seed,
        variant: Mapping[str, Any],
    ) -> None:
        self.input_size = as_size("input_size", input_size)
        self.hidden_size = as_size("hidden_size", hidden_size)
        self.num_layers = as_size("num_layers", num_layers)
        self.directions = 2 if bidirectional else 1
        self.batch_first = bool(batch_first)
        self.dropout = as_probability("dropout", dropout)
        self.bias = bool(bias)
        own = ("reset_after", "nonlinearity")  # shown among a class's own options
        self._given = {
            name: tuple(value.tolist()) if isinstance(value, np.ndarray) else value
            for name, value in variant.items()
            if name not in own
        }
        self.variant = Variant.of(self._cell, self.hidden_size, self.directions, variant)
        sizes = (self.input_size, self.hidden_size, self.num_layers, self.directions)
        super().__init__(recurrent_shapes(self.variant, *sizes, bias=self.bias), as_dtype(dtype))
        self.rng: np.random.Generator = as_generator(seed)
        fill_uniform(self.parameters._writable_flat(), self.hidden_size**-0.5, self.rng)
        self._start_gains()
        self._packed: tuple[float, list[Any]] = (-1, [])
        self._weight_groups: list[Group] | None = None
        self._gradient_groups: list[Group] | None = None

    def _start_gains(self) -> None:
        """Gains start at one, what stands for no effect at zero."""
        with self.parameters.edit() as views:
            for name, view in views.items():
                if name.startswith("gain_"):
                    view[...] = 1
                elif name.startswith(("bias_c", "initial_", "leak")):
                    view[...] = 0

    @property
    def gates(self) -> int:
        """G: rows of weight_ih in units of H."""
        return self.variant.gates

    @property
    def state_names(self) -> tuple[str, ...]:
        """The arrays of a state: h; c where the cell carries more; past where it looks further back."""
        return self.variant.state_names

    @property
    def output_size(self) -> int:
        """Width of y."""
        width = self.variant.output_size(self.hidden_size)
        return width * self.directions if self.variant.merge == "concat" else width

    @cached_property
    def _kernels(self) -> CellKernels:
        return cell_kernels(self._cell, plain=self.variant.plain, reverse=self.variant.reverse)

    @property
    def bidirectional(self) -> bool:
        """Whether each layer also reads the sequence from its end."""
        return self.directions == 2

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
            Steps of each row, in ``1 .. T`` and any order. y is zero behind a row's end, its last state is
            the one at its own end, and a reverse direction starts there.
        reset : array_like, bool [T, N], optional
            Where true, the row starts again from `state` at this step. ``batch_first``: [N, T].
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
        return self._infer(self._panels(), x, state, lengths, reset, context)

    def _infer(
        self,
        panels: list[Any],
        x: Any,
        state: Any,
        lengths: Any = None,
        reset: Any = None,
        context: Any = None,
    ) -> tuple[Array, StateT]:
        batch = self._batch(x, state, lengths, reset)
        if not self.variant.plain:
            panels = self._for_pass(panels, self._checked_context(context, batch.x.shape[1]), training=False)
        elif context is not None:
            raise ValueError("context: expected None, as the layer has no context_size")
        y, finals = infer_stack(self, panels, batch)
        return (y.swapaxes(0, 1) if self.batch_first else y), join_states(finals)

    @overload
    def forward(
        self,
        x: Any,
        state: StateT | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        context: Any = None,
    ) -> tuple[Array, StateT, Tape]: ...

    @overload
    def forward(
        self,
        x: Any,
        state: StateT | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        checkpoint_every: int,
        context: Any = None,
    ) -> tuple[Array, StateT, CheckpointedTape]: ...

    @overload
    def forward(
        self,
        x: Any,
        state: StateT | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        checkpoint_every: int | None,
        context: Any = None,
    ) -> tuple[Array, StateT, AnyTape]: ...

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
            As for a call.
        checkpoint_every : int, optional
            Keep only the state before every so many steps; `backward` then runs each segment again. Less
            memory, the same bits, one more forward pass.

        Returns
        -------
        y, state
            As for a call.
        tape : Tape, or CheckpointedTape where `checkpoint_every` is given
            Every input, h, c and gate of every layer, or the states that were kept.

        Raises
        ------
        ValueError, TypeError, MemoryError
            As for a call.
        """
        return self._forward(self._panels(), x, state, lengths, reset, checkpoint_every, context)

    def _forward(
        self,
        panels: list[Any],
        x: Any,
        state: Any,
        lengths: Any = None,
        reset: Any = None,
        checkpoint_every: int | None = None,
        context: Any = None,
    ) -> tuple[Array, StateT, AnyTape]:
        batch = self._batch(x, state, lengths, reset)
        if not self.variant.plain:
            panels = self._for_pass(panels, self._checked_context(context, batch.x.shape[1]), training=True)
        elif context is not None:
            raise ValueError("context: expected None, as the layer has no context_size")
        tape: AnyTape
        if checkpoint_every is None:
            y, finals, tapes, masks = forward_stack(self, panels, batch)
            tape = Tape(self, panels, tapes, masks)
        else:
            every = as_size("checkpoint_every", checkpoint_every)
            tape = CheckpointedTape(self, batch.x.shape[0], batch.x.shape[1], every)
            y, finals = tape._forward(panels, batch)
        tape.learned_state = state is None and self.variant.learn_state
        return (y.swapaxes(0, 1) if self.batch_first else y), join_states(finals), tape

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
            raise TypeError(f"tape: expected the Tape that forward gave, got {type(tape).__name__}")
        if tape._rnn is not self:
            raise ValueError("tape: expected one of this layer, got another layer's")
        if dy is None and dstate is None:
            raise ValueError("dy, dstate: expected at least one gradient, got None for both")
        gradients = self._layer_gradients()
        if dcontext is not None:
            gradients = self._with_context(gradients, dcontext, tape.rows)
        return self._backward(tape, gradients, dy, dstate, need_dx)

    def _with_context(self, gradients: list[Group], dcontext: Array, rows: int) -> list[Group]:
        size = self.variant.context_size
        shape = (rows, size)
        if not size:
            raise ValueError("dcontext: expected None, as the layer has no context_size")
        if dcontext.dtype != self.dtype:
            raise TypeError(f"dcontext: expected {self.dtype}, got {dcontext.dtype}")
        if dcontext.shape != shape:
            raise ValueError(f"dcontext: expected {list(shape)}, got {list(dcontext.shape)}")
        first = [{**group, "context": dcontext} for group in gradients[: self.directions]]
        return first + gradients[self.directions :]

    def _backward(
        self, tape: AnyTape, gradients: list[Group], dy: Any, dstate: Any, need_dx: bool
    ) -> tuple[Array | None, StateT]:
        """Run BPTT into other gradients than the layer's own."""
        dy = None if dy is None else as_dy(self, dy, tape.steps, tape.rows)
        dx, firsts = tape._backward(gradients, dy, as_states(self, "dstate", dstate, tape.rows), need_dx)
        if tape.learned_state:
            for i, parts in enumerate(firsts):
                for name, part in zip(self.state_names, parts, strict=True):
                    self.gradients[f"initial_{name}"][i] += part.sum(axis=0)
        if self.batch_first and dx is not None:
            dx = dx.swapaxes(0, 1)
        return dx, join_states(firsts)

    def stream(self, batch_size: int = 1, *, context: Any = None) -> Stream[StateT]:
        """Make a stepper that keeps the state: one time step a call.

        Parameters
        ----------
        batch_size : int, default 1
            N, the number of sequences side by side.
        context : array_like, float [N, C]
            As for a call.

        Returns
        -------
        stream : Stream
            Its state is zero.

        Raises
        ------
        ValueError
            If the layer is bidirectional or reversed: it needs the whole sequence.
        """
        return Stream(self, batch_size, context)

    def __repr__(self) -> str:
        given = [str(self.input_size), str(self.hidden_size)]
        given += [f"{name}={value!r}" for name, value, usual in self._options() if value != usual]
        return f"{type(self).__name__}({', '.join(given)})"

    def _options(self) -> list[tuple[str, Any, Any]]:
        """Name, value and default of each option."""
        return [
            ("num_layers", self.num_layers, 1),
            ("bidirectional", self.bidirectional, False),
            ("batch_first", self.batch_first, False),
            ("dropout", self.dropout, 0.0),
            ("bias", self.bias, True),
            ("dtype", self.dtype.name, "float32"),
            *((name, value, None) for name, value in self._given.items()),
        ]

    def _layer_gradients(self) -> list[Group]:
        if self._gradient_groups is None:
            self._gradient_groups = groups(self.gradients, self.variant, self.num_layers, self.directions)
        return self._gradient_groups

    def _layer_weights(self) -> list[Group]:
        if self._weight_groups is None:
            self._weight_groups = groups(self.parameters, self.variant, self.num_layers, self.directions)
        return self._weight_groups

    def _panels(self) -> list[Any]:
        """Packed weights of each layer and direction, made anew when the parameters' version has changed."""
        version, panels = self._packed
        current = self.parameters.version
        if version != current:
            pack = self._pack if self.variant.plain else self._pack_general
            panels = [pack(group) for group in self._layer_weights()]
            self._packed = (current, panels)
        return panels

    def _fold_biases(self, bias_ih: Array | None, bias_hh: Array | None) -> tuple[Array | None, Array | None]:
        """Sum what is added to ``W_ih x`` whatever the state; the rest is still to be added as bias_hh."""
        return (None if bias_ih is None or bias_hh is None else bias_ih + bias_hh), None

    def _pack(self, group: Group) -> Any:
        raise NotImplementedError

    def _pack_general(self, group: Group) -> GeneralPanels:
        return GeneralPanels(self.variant, self.hidden_size, group)

    def _checked_context(self, context: Any, rows: int) -> Array | None:
        size = self.variant.context_size
        if size and context is None:
            raise ValueError(f"context: expected [{rows}, {size}], got None")
        if not size and context is not None:
            raise ValueError("context: expected None, as the layer has no context_size")
        return as_floats("context", context, self.dtype, (rows, size)) if size else None

    def _for_pass(self, panels: list[Any], context: Array | None, *, training: bool) -> list[Any]:
        """Give packed weights what is theirs in one pass: a key for masks, the context."""
        random = training and self.variant.random
        return [
            one.for_pass(
                draw_key(self.rng) if random else None, context if i < self.directions else None, one.targets
            )
            for i, one in enumerate(panels)
        ]

    def _initial_states(self, rows: int) -> States | None:
        """Give the learned initial state for so many rows; None where it is zero."""
        if not self.variant.learn_state:
            return None
        learned = [self.parameters[f"initial_{name}"] for name in self.state_names]
        return [
            tuple(np.repeat(part[i : i + 1], rows, axis=0) for part in learned)
            for i in range(self.num_layers * self.directions)
        ]

    def _batch(self, x: Any, state: Any, lengths: Any, reset: Any) -> Batch:
        x = as_input(self, x)
        steps, rows = x.shape[:2]
        return Batch(
            x,
            self._initial_states(rows) if state is None else as_states(self, "state", state, rows),
            as_lengths(lengths, steps, rows),
            as_reset(self, reset, steps, rows),
        )

    def _bind(self, buffer: Any, start: int) -> None:
        super()._bind(buffer, start)
        self._packed = (-1, [])
        self._weight_groups = self._gradient_groups = None

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_kernels", None)
        return {
            **state,
            "_packed": (-1, []),
            "_weight_groups": None,
            "_gradient_groups": None,
        }
