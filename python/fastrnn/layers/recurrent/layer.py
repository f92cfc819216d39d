"""The base class of recurrent layers: construction, passes over a batch, streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

import numpy as np

from fastrnn._arrays import Array
from fastrnn._checks import as_generator, as_probability, as_size
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.precision import Precision, check_trainable
from fastrnn.layers.base.random import fill_uniform
from fastrnn.layers.recurrent.engine import arguments
from fastrnn.layers.recurrent.engine.arguments import Batch, StateParts, States
from fastrnn.layers.recurrent.engine.backpropagation import add_learned, backpropagate, check_backward
from fastrnn.layers.recurrent.engine.packed import PackedWeights, PassWeights, set_neutral
from fastrnn.layers.recurrent.engine.segments import AnyTape, CheckpointedTape, forward_segments
from fastrnn.layers.recurrent.engine.sequence_pass import forward, infer
from fastrnn.layers.recurrent.engine.state_gradients import StateGradients
from fastrnn.layers.recurrent.engine.stream import Stream
from fastrnn.layers.recurrent.engine.tape import Tape
from fastrnn.layers.recurrent.options import without_numpy
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec, SpecAttributes

if TYPE_CHECKING:
    from typing_extensions import Never

    from fastrnn._checks import Seed

__all__ = ["Recurrent"]

StateT = TypeVar("StateT")


class Recurrent(Module, SpecAttributes, Generic[StateT]):
    """The base class of all recurrent layers, not for direct use. `LSTM` documents the parameters.

    Attributes
    ----------
    input_size, hidden_size, num_layers : int
    directions : int
        2 if bidirectional, else 1.
    batch_first : bool
    dropout : float
    spec : RecurrentSpec
        All of these, the options and the precision.
    rng : numpy.random.Generator
        Draws the dropout masks; a checkpoint must keep its state so that training can resume.
    """

    spec: RecurrentSpec
    _cell: ClassVar[str]

    def __init__(
        self, sizes: tuple[int, int, int], options: Mapping[str, Any], *, seed: Seed, **shared: Any
    ) -> None:
        spec = RecurrentSpec.of(self._cell, sizes, options=options, **shared)
        spec.check_memory()
        self._set_attributes(spec)
        self._given = {name: without_numpy(value) for name, value in options.items() if name not in self._own}
        super().__init__(spec.parameter_shapes(), spec.dtype)
        self._weights = PackedWeights(spec, self.parameters)
        spec.warn_of_dropout(stacklevel=4)  # the caller of a cell's constructor
        self.rng: np.random.Generator = as_generator(seed)
        fill_uniform(self.parameters._writable_flat(), self.hidden_size**-0.5, self.rng)
        set_neutral(self.parameters)

    @property
    def dropout(self) -> float:
        """Probability of dropping an output of a layer before the next layer reads it."""
        return self.spec.dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self.spec = self._weights.spec = replace(self.spec, dropout=as_probability("dropout", value))

    def _set_precision(self, precision: Precision) -> None:
        if self.spec.has_precisions:
            self._set_attributes(replace(self.spec, precision=precision))
            self._weights.use(self.spec)

    def __call__(
        self,
        x: Any,
        state: StateT | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        context: Any = None,
        mask: Any = None,
        zero_masked: bool = False,
        **other: Never,
    ) -> tuple[Array, StateT]:
        """Run a batch of sequences, without dropout and without a tape.

        Parameters
        ----------
        x : array_like, float [T, N, D] or integer ids [T, N]
            With ``batch_first``, [N, T, D] or [N, T]. Ids in ``0 .. input_size - 1`` are one-hot vectors, -1
            is a vector of zeros. Floats [T, D] or ids [T] are one sequence; no array has the axis N then.
        state : ndarray, float [L*directions, N, H], or for LSTM a pair (h, c) of them, optional
            The state before the first step; by default the learned state if there is one, else zero.
        lengths : array_like, int [N], optional
            Steps of each row, in ``0 .. T`` and any order. After the end of a row y is zero; the row's last
            state is the one at its own end (its first for length 0), where a reverse direction starts.
        reset : array_like, bool [T, N], optional
            Where true, the row restarts from `state` at this step. With ``batch_first``, [N, T].
        context : array_like, float [N, C] or [T, N, C]
            One for all steps, or of each; ``batch_first``: [N, T, C]. Required if there is a `context_size`.
        mask : array_like, bool [T, N], optional
            True where a step counts. A masked step carries the state on and nothing there is read; a reset
            there is one at the row's next counted step. With ``batch_first``, [N, T].
        zero_masked : bool, default False
            Whether y is zero at masked steps. Else it is what it was at the counted step before (of a reverse
            direction, after), zero if there is none.

        Returns
        -------
        y : ndarray, float [T, N, directions*H]
            Every h of the last layer. With ``batch_first``, a view with the first two axes swapped.
        state : as `state`
            The state after each row's last step; of a reverse direction, after its first step in time.

        Raises
        ------
        ValueError
            If an array has a wrong shape, an id is out of range, or a length is not in 0 .. T; in a
            bidirectional layer, if there is a reset at a masked step between two that count.
        TypeError
            If an array has a wrong dtype, the state has another cell's form, or an argument is unknown.
        MemoryError
            If a result cannot be allocated; the message names the number of bytes.
        """
        given = (x, state, lengths, reset, context)
        batch = self._weights.batch(*given, mask=mask, zero_masked=zero_masked, **other)
        return self._result(*infer(self.spec, self._weights.current(), batch), alone=batch.alone)

    @overload
    def forward(
        self, x: Any, state: StateT | None = None, lengths: Any = None, reset: Any = None, *,
        context: Any = None, mask: Any = None, zero_masked: bool = False
    ) -> tuple[Array, StateT, Tape]: ...  # fmt: skip

    @overload
    def forward(
        self, x: Any, state: Any = None, lengths: Any = None, reset: Any = None, *, context: Any = None,
        mask: Any = None, zero_masked: bool = False, checkpoint_every: int
    ) -> tuple[Array, StateT, CheckpointedTape]: ...  # fmt: skip

    @overload
    def forward(
        self, x: Any, state: Any = None, lengths: Any = None, reset: Any = None, *, context: Any = None,
        mask: Any = None, zero_masked: bool = False, checkpoint_every: int | None
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
        mask: Any = None,
        zero_masked: bool = False,
        **other: Never,
    ) -> tuple[Array, StateT, AnyTape]:
        """Run a batch of sequences in training: with dropout, and with a tape for `backward`.

        Parameters
        ----------
        x, state, lengths, reset, context, mask, zero_masked
            As for a call; so are the errors.
        checkpoint_every : int, optional
            k: keep only the state before every k steps. `backward` then runs each segment again: the same
            bits, less memory, one more forward pass.

        Returns
        -------
        y, state
            As for a call; y is read-only. The tape keeps the arguments, and copies those that are writable.
        tape : Tape, or CheckpointedTape with `checkpoint_every`
            Every input, h, c and gate of every layer, or only the states kept.
        """
        given = (x, state, lengths, reset, context)
        batch = self._weights.batch(*given, mask=mask, zero_masked=zero_masked, keep=True, **other)
        return self._forward(batch, checkpoint_every, initial=state is None)

    def backward(
        self,
        tape: AnyTape,
        dy: Any,
        dstate: StateT | StateParts | None = None,
        *,
        need_dx: bool = True,
        dcontext: Array | None = None,
        state_gradients: StateGradients | None = None,
    ) -> tuple[Array | Any, StateT]:
        """Backpropagate through time; add to `gradients`.

        Parameters
        ----------
        tape : Tape or CheckpointedTape
            From `forward`; it is not changed.
        dy : array_like, float, of y's shape, or None
            Gradient of the loss with respect to y; None for zero.
        dstate : as the state, optional
            Gradient with respect to the last state; default zero. Of a pair, one may be None for zero.
        need_dx : bool, default True
            Whether to compute dx.
        dcontext : ndarray, float, of the context's shape, optional
            The gradient with respect to the context is added to it.
        state_gradients : StateGradients, optional
            ``StateGradients.of(tape)``: is filled with the gradient of every step's state.

        Returns
        -------
        dx : ndarray, float, of x's shape, or None
            None if x was ids or `need_dx` is false.
        dstate : as the state
            Gradient with respect to the state before the first step.

        Raises
        ------
        ValueError
            If the tape is another layer's, an array has a wrong shape, or both `dy` and `dstate` are None.
        TypeError
            If an array has a wrong dtype.
        """
        check_backward(self, tape, dy, dstate)
        own = self._weights.gradient_groups(self.gradients)
        gradients, parts = arguments.with_dcontext(tape, own, dcontext)
        result = self._backward(tape, gradients, dy, dstate, need_dx, state_gradients)
        arguments.add_dcontext(tape, parts)
        return result

    def stream(self, batch_size: int = 1, *, context: Any = None) -> Stream[StateT]:
        """Return a `Stream`, which keeps the state and runs one time step per call.

        Parameters
        ----------
        batch_size : int, default 1
            N, the number of sequences.
        context : array_like, float [N, C], optional
            One for all steps; without it each step of such a layer needs its own.

        Raises
        ------
        ValueError
            If the layer has a reverse direction, which needs the whole sequence.
        """
        return Stream(self._weights, batch_size, context, self)

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value, usual in self._options() if value != usual]
        return f"{type(self).__name__}({', '.join([str(self.input_size), str(self.hidden_size), *given])})"

    def _result(self, y: Array, finals: States, *, alone: bool) -> tuple[Array, StateT]:
        """Return y and the state in the form that users receive."""
        return arguments.own_axes(self.spec, y, alone=alone), arguments.join_states(finals, alone=alone)

    def _forward(
        self, batch: Batch, checkpoint_every: int | None, *, initial: bool, packed: list[Any] | None = None
    ) -> tuple[Array, StateT, AnyTape]:
        """Run with the layer's packed weights or with `packed`; `initial`: no state was passed."""
        check_trainable(self)
        tape: AnyTape
        every = None if checkpoint_every is None else as_size("checkpoint_every", checkpoint_every)
        weights = PassWeights(packed) if packed else self._weights.for_pass(self.rng)
        if every is None:
            y, finals, tape = forward(self.spec, weights, batch, self.rng)
        else:
            y, finals, tape = forward_segments(self.spec, weights, batch, self.rng, every)
        tape._owner, tape.learned_state, tape.alone = self, initial and self.options.learn_state, batch.alone
        return *self._result(y, finals, alone=batch.alone), tape

    def _backward(
        self, tape: AnyTape, gradients: list[Group], dy: Any, dstate: Any, need_dx: bool, every: Any = None
    ) -> tuple[Array | None, StateT]:
        """Run BPTT; add to the given groups of gradients, and to those of a learned state."""
        dx, firsts = backpropagate(tape, gradients, dy, dstate, need_dx, every)
        if tape.learned_state:
            add_learned(self, firsts)
        first = arguments.join_states(firsts, alone=tape.alone)
        return None if dx is None else arguments.own_axes(self.spec, dx, alone=tape.alone), first

    def _quantizable(self) -> list[str]:
        products = ("weight_ih", "weight_hh")
        return [name for name in self.parameters if self.precision != "float32" and name.startswith(products)]

    def _bind(self, buffer: Any, start: int) -> None:
        super()._bind(buffer, start)
        self._weights.forget()
