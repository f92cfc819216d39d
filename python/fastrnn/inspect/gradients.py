"""Gradients through time: those of every step's state, from one backward pass."""

from __future__ import annotations

import copy
from typing import Any, overload

from fastrnn.layers import CheckpointedTape, Recurrent, Stack, StackTape, StateGradients, Tape
from fastrnn.layers.recurrent.engine.backpropagation import state_gradients as run

__all__ = ["state_gradients"]


@overload
def state_gradients(
    layer: Recurrent[Any], tape: Tape | CheckpointedTape, dy: Any, dstate: Any = None
) -> StateGradients: ...


@overload
def state_gradients(layer: Stack, tape: StackTape, dy: Any, dstate: Any = None) -> list[StateGradients]: ...


def state_gradients(layer: Any, tape: Any, dy: Any, dstate: Any = None) -> Any:
    """Return the gradient of the loss with respect to every h, and every c, of a recurrent layer.

    One backward pass on the native kernels. ``layer.gradients`` stay as they are; ``layer.backward(...,
    state_gradients=)`` returns the same in a backward pass that adds to them.

    Parameters
    ----------
    layer : Recurrent or Stack
        RNN, GRU, LSTM or any other recurrent layer, or a stack of them.
    tape : Tape, CheckpointedTape or StackTape
        From ``layer.forward``.
    dy : array_like, float, of y's shape, or None
        Gradient of the loss with respect to y; None for zero.
    dstate : as the state, optional
        Gradient with respect to the last state; default zero.

    Returns
    -------
    StateGradients
        ``h``, float [L*directions, T, N, P], and ``c`` or None; time-major, even with ``batch_first``. Of a
        stack a list of them, one for each layer.

    Raises
    ------
    ValueError
        If the tape is another layer's, an array has a wrong shape, or both `dy` and `dstate` are None.
    TypeError
        If `layer` is not a recurrent layer, or an array has a wrong dtype.

    References
    ----------
    Bengio, Simard, Frasconi (1994), "Learning Long-Term Dependencies with Gradient Descent is Difficult".
    Pascanu, Mikolov, Bengio (2013), "On the difficulty of training Recurrent Neural Networks", equation 5.

    Examples
    --------
    How much do the steps of a sequence count for the last output of an untrained LSTM?

    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.LSTM(3, 16, seed=0)
    >>> y, state, tape = rnn.forward(np.random.default_rng(0).normal(size=(50, 1, 3)).astype("float32"))
    >>> dy = np.zeros_like(y)
    >>> dy[-1] = 1
    >>> gradients = fr.inspect.state_gradients(rnn, tape, dy)
    >>> gradients.h.shape, gradients.c.shape
    ((1, 50, 1, 16), (1, 50, 1, 16))
    >>> [f"{norm:.1e}" for norm in gradients.against_lag()[0, [0, 1, 10, 40], 0]]
    ['4.0e+00', '4.7e-01', '3.1e-03', '2.0e-09']
    """
    if not isinstance(layer, Stack):
        return run(as_layer(layer), tape, dy, dstate)
    if not isinstance(tape, StackTape):
        raise TypeError(f"tape: expected the StackTape that forward returned, got {type(tape).__name__}")
    every = [StateGradients.of(one) for one in tape.layers]
    copy.deepcopy(layer).backward(tape, dy, dstate, need_dx=False, state_gradients=every)
    return every


def as_layer(layer: Any) -> Recurrent[Any]:
    """Check that an argument is a recurrent layer.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if isinstance(layer, Recurrent):
        return layer
    hint = (
        "; a model has its layers in its attributes, for example model.rnn" if hasattr(layer, "rnn") else ""
    )
    raise TypeError(f"layer: expected a recurrent layer such as LSTM, got {type(layer).__name__}{hint}")
