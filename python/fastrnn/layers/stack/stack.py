"""A stack of recurrent layers of any kinds and widths, as one module."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np

from fastrnn._arrays import Array, as_floats
from fastrnn._checks import as_choice, as_generator, as_probability
from fastrnn._memory import FEWER_TOKENS, named_memory
from fastrnn._other_words import answers_other_words, refuse_arguments
from fastrnn.layers.base.dropout import dropout_mask
from fastrnn.layers.base.kept import frozen
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.recurrent.engine.arguments import read_input
from fastrnn.layers.recurrent.engine.backpropagation import no_gradient
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.stack.connections import (
    CONNECTIONS,
    as_entries,
    backward_through,
    check_context,
    check_layers,
    check_widths,
    context_size,
    forward_through,
    reject_ids,
)
from fastrnn.layers.stack.stream import StackStream
from fastrnn.layers.stack.tape import StackTape, check_state_gradients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Never

    from fastrnn._checks import Seed
    from fastrnn.layers.recurrent.engine.state_gradients import StateGradients
    from fastrnn.layers.recurrent.engine.tape import Tape

__all__ = ["Stack", "StackTape"]

# One entry for each layer: that layer's own state.
StackState: TypeAlias = tuple[Any, ...]


class Stack(ModuleGroup):
    """A stack of recurrent layers as one module: any kinds, widths, layers and directions.

    With the stack's input x, layers f and outputs v, ``y = v[L-1]``, ``v[0] = f[0](x)`` and::

        plain       v[i] = f[i](v[i-1])
        residual    v[i] = f[i](v[i-1]) + v[i-1]
        dense       v[i] = f[i]([x, v[0], ..., v[i-1]])

    Dropout applies between layers: to each v that a layer reads, but not to the v added to the layer's
    result. Each output is masked once, so that all layers above read the same values.

    Parameters are named ``layer0.weight_ih_l0``, ``layer0.weight_hh_l0``, ... ``layer1.weight_ih_l0``, ...
    ``stack[0]`` is the lowest layer, ``len(stack)`` their number; a loop over the stack goes through them.

    Parameters
    ----------
    *layers : Recurrent
        `RNN`, `GRU`, `LSTM` or another, lowest first. Each keeps its own dropout between its own layers.
    connect : {"plain", "residual", "dense"}
        Residual connections begin at the second layer; each of these must be as wide as its input.
    dropout : float, default 0.0
        Probability in [0, 1) that an output unit is dropped between layers, in `forward` only.
    seed : int or numpy.random.Generator, optional
        For dropout.

    Attributes
    ----------
    layers : tuple of Recurrent
        Also ``layer0``, ``layer1``, ...
    input_size, output_size : int
        Widths of x and y.
    context_size : int
        C, the width of the context; 0: no layer reads one.
    batch_first : bool
        As in the layers.
    connect : str
    dropout : float
    rng : numpy.random.Generator
        Draws the dropout masks; its state and those of the layers' generators are needed to resume a training
        run.

    Raises
    ------
    ValueError
        If there is no layer or one appears twice, widths do not fit, or the layers' dtypes, `batch_first` or
        context sizes differ.
    TypeError
        If a layer is not a recurrent layer.

    References
    ----------
    Hermans, Schrauwen (2013), "Training and Analysing Deep Recurrent Neural Networks". Wu et al. (2016),
    "Google's Neural Machine Translation System", section 3.1, for the residual connections. Huang, Liu, van
    der Maaten, Weinberger (2017), "Densely Connected Convolutional Networks", for the dense ones.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> stack = fr.Stack(fr.GRU(3, 8, seed=0), fr.LSTM(8, 8, seed=1), connect="residual")
    >>> x = np.ones((5, 2, 3), np.float32)
    >>> y, (gru_h, (h, c)) = stack(x)
    >>> np.array_equal(y[-1], gru_h[0] + h[0])
    True
    >>> y, state, tape = stack.forward(x)
    >>> dx, dstate = stack.backward(tape, np.ones_like(y))
    >>> dx.shape, stack.gradients["layer1.weight_ih_l0"].shape
    ((5, 2, 3), (32, 8))

    With dense connections, each layer reads the input and all outputs below:

    >>> fr.Stack(fr.GRU(3, 8), fr.GRU(3 + 8, 4), fr.RNN(3 + 8 + 4, 6), connect="dense")(x)[0].shape
    (5, 2, 6)
    """

    input_size: int
    output_size: int

    layers: tuple[Recurrent[Any], ...]

    @answers_other_words
    def __init__(
        self, *layers: Recurrent[Any], connect: str = "plain", dropout: float = 0.0, seed: Seed = None
    ) -> None:
        check_layers(layers)
        self.connect: str = as_choice("connect", connect, CONNECTIONS)
        check_widths(self.connect, layers)
        self.context_size: int = context_size(layers)
        self.dropout: float = as_probability("dropout", dropout)
        super().__init__(**{f"layer{index}": layer for index, layer in enumerate(layers)})
        self.layers = layers
        self.input_size, self.output_size = layers[0].input_size, layers[-1].output_size
        self.batch_first: bool = layers[0].batch_first
        self.rng: np.random.Generator = as_generator(seed)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Recurrent[Any]]:
        return iter(self.layers)

    @overload
    def __getitem__(self, index: int) -> Recurrent[Any]: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Recurrent[Any], ...]: ...

    def __getitem__(self, index: int | slice) -> Any:
        """Return a layer, ``stack[0]``, or several as a tuple, ``stack[1:]``."""
        return self.layers[index]

    def __call__(
        self,
        x: Any,
        state: StackState | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        context: Any = None,
        mask: Any = None,
        zero_masked: bool = False,
        **other: Never,
    ) -> tuple[Array, StackState]:
        """Run over a batch of sequences without dropout; nothing is kept.

        Parameters
        ----------
        x : array_like, float [T, N, D] or integer ids [T, N]
            ``batch_first``: [N, T, D] or [N, T]. No ids if `connect` is dense. An id of -1 is a vector of
            zeros. Floats [T, D] or ids [T] are one sequence, without the axis N, as for `RNN`.
        state : tuple, optional
            The state before the first step: for each layer its own state, or None for its default.
        lengths : array_like, int [N], optional
            Steps of each row, as for `RNN`.
        reset : array_like, bool [T, N], optional
            Where true, the row restarts from `state` at this step. ``batch_first``: [N, T].
        context : array_like, float [N, C] or [T, N, C]
            As for a layer: required if, and only if, a layer has a `context_size`. All that do read it.
        mask : array_like, bool [T, N], optional
        zero_masked : bool, default False
            As for a layer; each of the stack has the same.

        Returns
        -------
        y : ndarray, float [T, N, output_size]
            ``batch_first``: [N, T, output_size]. Zero after a row's end.
        state : tuple
            The state after each row's last step: an entry for each layer.

        Raises
        ------
        ValueError
            If an array has a wrong shape, an id is out of range, a length not in 0 .. T, or the state has
            another number of entries.
        TypeError
            If an array has a wrong dtype, x is ids and `connect` is dense, or an entry of the state is
            another cell's.
        """
        x, steps, rows, alone = self._input(x, **other)
        states = as_entries(self.layers, "state", state, rows, alone=alone)
        contexts = check_context(self.layers, context, rows, steps, alone=alone)
        lasts: list[Any] = []

        def run(index: int, read: Array) -> Array:
            given = (read, states[index], lengths, reset)
            y, last = self.layers[index](*given, context=contexts[index], mask=mask, zero_masked=zero_masked)
            lasts.append(last)
            return y

        return forward_through(self.connect, x, self._passes(run)), tuple(lasts)

    def forward(
        self,
        x: Any,
        state: StackState | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        context: Any = None,
        mask: Any = None,
        zero_masked: bool = False,
        **other: Never,
    ) -> tuple[Array, StackState, StackTape]:
        """Run over a batch of sequences in training: apply dropout and keep what `backward` needs.

        Parameters
        ----------
        x, state, lengths, reset, context, mask, zero_masked
            As for a call.

        Returns
        -------
        y, state
            As for a call; y is read-only.
        tape : StackTape

        Raises
        ------
        ValueError, TypeError
            As for a call.
        """
        x, steps, rows, alone = self._input(x, **other)
        states = as_entries(self.layers, "state", state, rows, alone=alone)
        contexts = check_context(self.layers, context, rows, steps, alone=alone)
        lasts: list[Any] = []
        tapes: list[Tape] = []
        masks: list[Array | None] = []

        def run(index: int, read: Array) -> Array:
            read = frozen(read) if index > 0 else read  # no copy for the tape
            layer, given = self.layers[index], (read, states[index], lengths, reset)
            y, last, tape = layer.forward(*given, context=contexts[index], mask=mask, zero_masked=zero_masked)
            lasts.append(last)
            tapes.append(tape)
            return y

        def drop(y: Array) -> Array:
            mask = self._mask(y.shape)
            masks.append(mask if mask is None else frozen(mask))
            return y if mask is None else frozen(y * mask)

        y = frozen(forward_through(self.connect, x, self._passes(run), drop))
        return y, tuple(lasts), StackTape(self, tapes, masks, y.shape)

    def backward(
        self,
        tape: StackTape,
        dy: Any,
        dstate: StackState | None = None,
        *,
        need_dx: bool = True,
        dcontext: Array | None = None,
        state_gradients: Sequence[StateGradients] | None = None,
    ) -> tuple[Array | Any, StackState]:
        """Backpropagate through time and add to `gradients`.

        Parameters
        ----------
        tape : StackTape
            From `forward`; not changed.
        dy : array_like, float, of y's shape, or None
            Gradient of the loss with respect to y; None for zero.
        dstate : as the state, optional
            Gradient with respect to the last state; default zero.
        need_dx : bool, default True
            False skips the computation of dx.
        dcontext : ndarray, float, of the context's shape, optional
            The gradient with respect to the context is added to it.
        state_gradients : sequence of StateGradients, optional
            For each layer one for its tape: they are filled with the gradients of every step's state.

        Returns
        -------
        dx : ndarray, float, of x's shape, or None
            None if x was ids or `need_dx` is false.
        dstate : as the state
            Gradient with respect to the first state.

        Raises
        ------
        ValueError
            If the tape is another stack's, an array has a wrong shape, or `dy` and `dstate` are both None.
        TypeError
            If an array has a wrong dtype.
        """
        if not isinstance(tape, StackTape):
            raise TypeError(f"tape: expected the StackTape that forward returned, got {type(tape).__name__}")
        if tape._stack is not self and tape._stack._identity != self._identity:
            raise ValueError("tape: expected one of this stack, got another stack's")
        if dy is None and no_gradient(dstate):
            raise ValueError("dy, dstate: expected at least one gradient, got None for both")
        zero = dy is None
        with named_memory("dy", FEWER_TOKENS):
            dy = np.zeros(tape._shape, self.dtype) if zero else as_floats("dy", dy, self.dtype, tape._shape)
        dstates = as_entries(self.layers, "dstate", dstate, tape.rows, alone=tape.alone)
        if dcontext is not None and not self.context_size:
            raise ValueError("dcontext: expected None, as no layer has a context_size")
        every = check_state_gradients(tape, state_gradients)
        firsts: list[Any] = []

        def run(index: int, dresult: Array) -> Array | None:
            layer, given = self.layers[index], (tape.layers[index], dresult, dstates[index])
            own = dcontext if layer.options.context_size else None
            dread, first = layer.backward(
                *given, need_dx=need_dx or index > 0, dcontext=own, state_gradients=every[index]
            )
            firsts.insert(0, first)
            return dread

        widths = [layer.output_size for layer in self.layers]
        return backward_through(self.connect, dy, self._passes(run), tape.dropout, widths), tuple(firsts)

    def stream(self, batch_size: int = 1, *, context: Any = None) -> StackStream:
        """Return a stream that keeps the state and runs one time step per call.

        Parameters
        ----------
        batch_size : int, default 1
            N, the number of parallel sequences.
        context : array_like, float [N, C], optional
            As for a layer's stream: for all steps; else each step needs its own.

        Returns
        -------
        stream : StackStream

        Raises
        ------
        ValueError
            If a layer has no stream; the message names it.
        """
        return StackStream(self.layers, self.connect, batch_size, self, context)

    def _passes(self, run: Any) -> list[Any]:
        return [partial(run, index) for index in range(len(self.layers))]

    def _input(self, x: Any, **other: Any) -> tuple[Array, int, int, bool]:
        """Return x, checked and in its own layout, T, N, and whether x has no axis N."""
        if other:
            refuse_arguments(other)
        if self.connect == "dense":
            reject_ids(x, 3)
        array, alone = read_input(self.layers[0].spec, x)
        steps, rows = array.shape[:2]
        if alone:
            return array[:, 0], steps, 1, True
        return (array.swapaxes(0, 1) if self.batch_first else array), steps, rows, False

    def _mask(self, shape: tuple[int, ...]) -> Array | None:
        """Draw a dropout mask that does not depend on `batch_first`."""
        if not self.batch_first or len(shape) == 2:
            return dropout_mask(shape, self.dropout, self.dtype, self.rng)
        mask = dropout_mask((shape[1], shape[0], shape[2]), self.dropout, self.dtype, self.rng)
        return None if mask is None else mask.swapaxes(0, 1)

    def __repr__(self) -> str:
        given = [repr(layer) for layer in self.layers]
        given += [f"connect={self.connect!r}"] if self.connect != "plain" else []
        given += [f"dropout={self.dropout!r}"] if self.dropout else []
        return f"Stack({', '.join(given)})"
