"""What the cells share: the tape, and the walk over a ragged batch, in either direction and with resets.

A batch is [T, N, ...]. Row n has ``lengths[n]`` real steps, 0 .. lengths[n] - 1, and padding behind them. The
walk takes t = 0 .. T - 1, or T - 1 .. 0 in reverse. A row lets padding pass with its state untouched: in
reverse it sets out from its own last real step, and forwards its final state is that of its last real step.
Where ``reset[t, n]`` is set, row n starts again at step t from its initial state, in whichever direction it
walks. Every output is 0 on padding; nothing that stands there in an input, NaN included, has any effect,
except that ids must be in range everywhere.

The gradient retraces this: at padding it passes by, at a reset it is cut and goes to the initial state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastrnn.reference._arrays import (
    Booleans,
    Floats,
    Integers,
    State,
    Weights,
    check_floats,
    check_shape,
    check_state,
    is_ids,
    kind,
)
from fastrnn.reference.embedding import embedding_backward, embedding_forward
from fastrnn.reference.linear import linear_backward, linear_forward


@dataclass(frozen=True, eq=False)
class Tape:
    """What a forward pass leaves for the backward one; it refers to the caller's arrays, without a copy.

    Attributes
    ----------
    x : ndarray
        The input: [T, N, D] floats or [T, N] ids.
    y : ndarray [T, N, H]
        The output: h after each step, 0 on padding.
    state : tuple of ndarray [N, H]
        The initial state, (h,) or (h, c).
    lengths : ndarray [N], int64, or None
    reset : ndarray [T, N], bool, or None
    reverse : bool
    c : ndarray [T, N, H] or None
        LSTM: the cell after each step, 0 on padding.
    gates : ndarray or None
        After their activations, 0 on padding. LSTM: [T, N, 4, H], i, f, g, o. GRU with ``reset_after``:
        [T, N, 4, H], r, z, n and W_hn h + b_hn; GRU without: [T, N, 3, H], r, z, n. Vanilla: None.
    """

    x: npt.NDArray[Any]
    y: Floats
    state: State
    lengths: Integers | None
    reset: Booleans | None
    reverse: bool
    c: Floats | None = None
    gates: Floats | None = None


@dataclass(frozen=True, eq=False)
class Walk:
    """The way through time: which rows are alive at each step, which start again, in which direction."""

    shape: tuple[int, int]  # T, N
    lengths: Integers | None
    reset: Booleans | None  # [T, N]; only where alive
    reverse: bool
    alive: Booleans | None  # [T, N]; None: all are

    @property
    def steps(self) -> range:
        """The values of t in walking order."""
        forwards = range(self.shape[0])
        return forwards[::-1] if self.reverse else forwards

    def enter(self, t: int, state: State, initial: State) -> State:
        """Let the rows that start again at step t do so: the state that step t works on."""
        if self.reset is None:
            return state
        again = self.reset[t, :, None]
        return tuple(np.where(again, s0, s) for s, s0 in zip(state, initial, strict=True))

    def leave(self, t: int, new: State, old: State) -> State:
        """Keep the old state, or its gradient, of rows that are on padding at step t: the same both ways."""
        if self.alive is None:
            return new
        alive = self.alive[t, :, None]
        return tuple(np.where(alive, s, s_old) for s, s_old in zip(new, old, strict=True))

    def enter_backward(self, t: int, dstate: State, dinitial: State) -> State:
        """Cut the gradient of rows that started again at step t; add it to the initial state's, in place."""
        if self.reset is None:
            return dstate
        again = self.reset[t, :, None]
        for d, d0 in zip(dstate, dinitial, strict=True):
            d0 += np.where(again, d, 0)
        return tuple(np.where(again, 0, d) for d in dstate)

    def real(self, values: Floats) -> Floats:
        """Write 0 over the padding of `values` [T, N, ...]; a copy where there is padding."""
        if self.alive is None:
            return values
        alive = self.alive.reshape(*self.shape, *[1] * (values.ndim - 2))
        return np.where(alive, values, values.dtype.type(0))

    def before(self, values: Floats, initial: Floats) -> Floats:
        """From what each step left behind, [T, N, H], and the initial [N, H]: what each step began with."""
        result = np.empty_like(values)
        if self.reverse:
            result[:-1], result[-1:] = values[1:], initial
            if self.lengths is not None:
                rows = np.arange(self.shape[1])
                result[self.lengths - 1, rows] = initial
        else:
            result[1:], result[:1] = values[:-1], initial
        if self.reset is not None:
            result = np.where(self.reset[:, :, None], initial, result)
        return result

    def project(self, x: npt.NDArray[Any], weight: Floats, bias: Floats | None) -> Floats:
        """`project` for all real steps at once, 0 on padding: [T, N, F]."""
        return self._scatter(project(x if self.alive is None else x[self.alive], weight, bias))

    def project_backward(
        self, x: npt.NDArray[Any], weight: Floats, da: Floats
    ) -> tuple[Floats | None, Floats]:
        """Gradients dx (None where x is ids) and dW of `project`, each in one product over all real steps."""
        if self.alive is not None:
            x, da = x[self.alive], da[self.alive]
        if is_ids(x):
            return None, np.ascontiguousarray(embedding_backward(x, da, weight.shape[1]).T)
        dx, dweight, _ = linear_backward(x, weight, da)
        return self._scatter(dx), dweight

    def _scatter(self, real: Floats) -> Floats:
        """Put the rows of real steps, [real steps, F], back into [T, N, F], with 0 on padding."""
        if self.alive is None:
            return real
        result = np.zeros((*self.shape, real.shape[-1]), real.dtype)
        result[self.alive] = real
        return result


def project(x: npt.NDArray[Any], weight: Floats, bias: Floats | None) -> Floats:
    """W x + b for floats [..., D]; for ids [...], which stand for one-hot vectors, column x of W, plus b."""
    if not is_ids(x):
        return linear_forward(x, weight, bias)
    columns = embedding_forward(x, weight.T)
    return columns if bias is None else columns + bias


def by_gate(a: Floats, gates: int) -> Floats:
    """View [N, G*H] as [G, N, H], to be unpacked into one array a gate."""
    batch_size, width = a.shape
    return a.reshape(batch_size, gates, width // gates).swapaxes(0, 1)


def recurrent_part(weights: Weights, *, copy: bool) -> tuple[Floats, Floats]:
    """W_hh^T and b_hh (zeros where there is none); a copy of W_hh^T pays when many steps multiply by it."""
    _, weight_hh, _, bias_hh = weights
    weight = np.ascontiguousarray(weight_hh.T) if copy else weight_hh.T
    return weight, np.zeros(len(weight_hh), weight_hh.dtype) if bias_hh is None else bias_hh


def weight_gradient(da: Floats, h: Floats) -> Floats:
    """Sum of da h^T over time and batch, [G*H, H], from da [T, N, G*H] and h [T, N, H], in one product."""
    result: Floats = da.reshape(-1, da.shape[-1]).T @ h.reshape(-1, h.shape[-1])
    return result


def make_walk(
    shape: tuple[int, int],
    lengths: Integers | None = None,
    reset: Booleans | None = None,
    reverse: bool = False,
) -> Walk:
    """Check `lengths` [N], in 1 .. T, and `reset` [T, N] against the shape (T, N) and lay out the way."""
    num_steps, batch_size = shape
    alive = None
    if lengths is not None:
        if not is_ids(lengths):
            raise TypeError(f"lengths: expected integers, got {kind(lengths)}")
        check_shape("lengths", lengths, (batch_size,))
        if lengths.size and not (lengths.min() >= 1 and lengths.max() <= num_steps):
            raise ValueError(f"lengths: expected 1 to {num_steps}, got {lengths.min()} to {lengths.max()}")
        lengths = lengths.astype(np.int64)
        alive = np.arange(num_steps)[:, None] < lengths
    if reset is not None:
        if kind(reset) != np.bool_:
            raise TypeError(f"reset: expected bool, got {kind(reset)}")
        check_shape("reset", reset, shape)
        reset = reset if alive is None else reset & alive
    return Walk(shape, lengths, reset, reverse, alive)


def initial_state(state: State | None, weights: Weights, batch_size: int, count: int) -> State:
    """The state to set out from, checked: `state`, or `count` arrays of zeros [N, H]."""
    weight_hh = weights[1]
    zeros = tuple(np.zeros((batch_size, weight_hh.shape[1]), weight_hh.dtype) for _ in range(count))
    if state is None:
        return zeros
    check_state("state", state, zeros)
    return tuple(state)


def retrace(tape: Tape, dy: Floats | None, dstate_n: State | None) -> tuple[Walk, Floats, State]:
    """The walk of a tape, and the gradients that come in: dy [T, N, H], 0 on padding, and dstate_n."""
    num_steps, batch_size, _ = tape.y.shape
    walk = make_walk((num_steps, batch_size), tape.lengths, tape.reset, tape.reverse)
    if dy is None:
        dy = np.zeros_like(tape.y)
    check_floats("dy", dy, tape.y.shape, tape.y.dtype)
    if dstate_n is None:
        dstate_n = tuple(np.zeros_like(s) for s in tape.state)
    check_state("dstate_n", dstate_n, tape.state)
    return walk, walk.real(dy), tuple(dstate_n)


def bias_gradient(da: Floats, bias: Floats | None) -> Floats | None:
    """Sum of da [T, N, G*H] over time and batch, where there is a bias."""
    return None if bias is None else da.sum(axis=(0, 1))
