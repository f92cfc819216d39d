"""Stacked and bidirectional layers of any cell, in PyTorch's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastrnn.reference._arrays import Booleans, Floats, Integers, State, Weights
from fastrnn.reference.elman import elman_backward, elman_forward
from fastrnn.reference.gru import gru_backward, gru_forward
from fastrnn.reference.lstm import lstm_backward, lstm_forward
from fastrnn.reference.time_loop import Tape


class Cell(NamedTuple):
    """A cell's forward and backward pass."""

    forward: Callable[..., tuple[Floats, State, Tape]]
    backward: Callable[..., tuple[Floats | None, State, Weights]]


#: The cells by name.
CELLS = {
    "elman": Cell(elman_forward, elman_backward),
    "gru": Cell(gru_forward, gru_backward),
    "lstm": Cell(lstm_forward, lstm_backward),
}


class Rows(NamedTuple):
    """Lengths [N] and resets [T, N] of the rows of a batch, or None; the same for every layer."""

    lengths: Integers | None = None
    reset: Booleans | None = None


def stack_forward(
    cell: str,
    x: npt.NDArray[Any],
    weights: Sequence[Sequence[Weights]],
    states: Sequence[Sequence[State]] | None = None,
    rows: Rows = Rows(),  # noqa: B008 - immutable
    **options: Any,
) -> tuple[Floats, list[list[State]], list[list[Tape]]]:
    """Run stacked layers; the outputs of a layer's two directions are concatenated.

    Parameters
    ----------
    cell : str
        "elman", "gru" or "lstm".
    x : ndarray [T, N, D], float32 or float64, or [T, N], any integer dtype
    weights : sequence over layers of sequences over directions (forward, then reverse if there is one)
        The weights of the cell's forward pass; D is 2*H after a layer with two directions.
    states : likewise, optional
        Initial states; zeros if not given.
    rows : Rows
        Lengths and resets.
    **options
        ``nonlinearity`` for "elman", ``reset_after`` for "gru"; ``precision``.

    Returns
    -------
    y : ndarray [T, N, H * directions]
        The last layer's output.
    states_n : list over layers of lists over directions
        Final states.
    tapes : list over layers of lists over directions
        What `stack_backward` needs.

    Raises
    ------
    TypeError, ValueError
        As the cell's forward pass.

    Examples
    --------
    >>> import numpy as np
    >>> w1 = np.ones((3, 2)), np.ones((3, 3)), None, None
    >>> w2 = np.ones((4, 6)), np.ones((4, 4)), None, None
    >>> y, states, tapes = stack_forward("elman", np.ones((5, 1, 2)), [[w1, w1], [w2]])
    >>> y.shape, tapes[1][0].x.shape
    ((5, 1, 4), (5, 1, 6))
    """
    states_n, tapes = [], []
    for layer, directions in enumerate(weights):
        runs = []
        for d, w in enumerate(directions):
            state = None if states is None else states[layer][d]
            runs.append(CELLS[cell].forward(x, w, state, rows.lengths, rows.reset, d == 1, **options))
        ys, finals, layer_tapes = zip(*runs, strict=True)
        x = np.concatenate(ys, axis=2)
        states_n.append(list(finals))
        tapes.append(list(layer_tapes))
    return x, states_n, tapes


def stack_backward(
    cell: str,
    weights: Sequence[Sequence[Weights]],
    tapes: Sequence[Sequence[Tape]],
    dy: Floats,
    dstates_n: Sequence[Sequence[State]] | None = None,
    **options: Any,
) -> tuple[Floats | None, list[list[State]], list[list[Weights]]]:
    """Backpropagate through stacked layers, from the last to the first.

    Parameters
    ----------
    cell, weights, **options
        As in `stack_forward`.
    tapes : list over layers of lists over directions
        From `stack_forward`; not changed.
    dy : ndarray [T, N, H * directions]
    dstates_n : sequence over layers of sequences over directions, optional
        Gradients of the final states; zeros if not given.

    Returns
    -------
    dx : ndarray [T, N, D] or None
        None where x is ids.
    dstates : list over layers of lists over directions
        Gradients of the initial states.
    dweights : list over layers of lists over directions
        Gradients of the weights.

    Raises
    ------
    TypeError, ValueError
        As the cell's backward pass.

    Examples
    --------
    >>> import numpy as np
    >>> w = np.ones((3, 3)), np.ones((3, 3)), None, None
    >>> y, _, tapes = stack_forward("elman", np.ones((5, 1, 3)), [[w], [w]], nonlinearity="relu")
    >>> dx, _, dweights = stack_backward("elman", [[w], [w]], tapes, np.ones_like(y), nonlinearity="relu")
    >>> dx.shape, len(dweights)
    ((5, 1, 3), 2)
    """
    dstates: list[list[State]] = []
    dweights: list[list[Weights]] = []
    for layer in reversed(range(len(weights))):
        runs = []
        dys = np.split(dy, len(weights[layer]), axis=2)
        for d, w in enumerate(weights[layer]):
            dstate_n = None if dstates_n is None else dstates_n[layer][d]
            runs.append(CELLS[cell].backward(w, tapes[layer][d], dys[d], dstate_n, **options))
        dxs, dinitials, layer_dweights = zip(*runs, strict=True)
        dstates.insert(0, list(dinitials))
        dweights.insert(0, list(layer_dweights))
        dx = None if dxs[0] is None else sum(dxs[1:], dxs[0])
        dy = dy if dx is None else dx
    return dx, dstates, dweights
