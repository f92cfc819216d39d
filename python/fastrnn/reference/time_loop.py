"""The tape, and the loop over time of a ragged batch in either direction, with resets; shared by all cells.

A batch is [T, N, ...]. Row n has ``lengths[n]`` real steps, 0 .. lengths[n] - 1, followed by padding; it may
have none. The loop runs over t = 0 .. T - 1, or T - 1 .. 0 in reverse. Padding leaves the state of a row
unchanged: a reversed row starts at its own last real step, and the final state of a forward row is that of
its last real step. Where ``reset[t, n]`` is True, row n restarts at step t from its initial state, in either
direction. Every output is 0 on padding. Input values there, NaN included, have no effect, but ids must be in
range everywhere.

The gradient follows the same path backwards: padding leaves it unchanged, and at a reset it goes to the
initial state instead of the step before.
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
from fastrnn.reference.products import Multiply, as_multiplied, sum_over_rows


@dataclass(frozen=True, eq=False)
class Tape:
    """What a forward pass keeps for the backward pass; it holds the caller's arrays without a copy.

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
        After their activations; 0 on padding. LSTM: [T, N, 4, H], i, f, g, o. GRU with ``reset_after``:
        [T, N, 4, H], r, z, n and W_hn h + b_hn; GRU without: [T, N, 3, H], r, z, n. Vanilla: None. In
        bfloat16 rounded, as `kept_gates` says.
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
class TimeLoop:
    """The loop over time: its direction, and the rows that are real and that restart at each step."""

    shape: tuple[int, int]  # T, N
    lengths: Integers | None
    reset: Booleans | None  # [T, N]; only on real steps
    reverse: bool
    real: Booleans | None  # [T, N], False on padding; None without padding

    @property
    def steps(self) -> range:
        """The values of t in the order of the loop."""
        forward = range(self.shape[0])
        return forward[::-1] if self.reverse else forward

    def restart(self, t: int, state: State, initial: State) -> State:
        """Return the state before step t: the initial state in rows that restart there."""
        if self.reset is None:
            return state
        restarts = self.reset[t, :, None]
        return tuple(np.where(restarts, s0, s) for s, s0 in zip(state, initial, strict=True))

    def hold_padding(self, t: int, new: State, old: State) -> State:
        """Return the state (or its gradient) after step t: `old` in rows where step t is padding."""
        if self.real is None:
            return new
        real = self.real[t, :, None]
        return tuple(np.where(real, s, s_old) for s, s_old in zip(new, old, strict=True))

    def restart_backward(self, t: int, dstate: State, dinitial: State) -> State:
        """Return the gradient before step t, 0 in rows that restart there: theirs is added to `dinitial`."""
        if self.reset is None:
            return dstate
        restarts = self.reset[t, :, None]
        for d, d0 in zip(dstate, dinitial, strict=True):
            d0 += np.where(restarts, d, 0)
        return tuple(np.where(restarts, 0, d) for d in dstate)

    def zero_padding(self, values: Floats) -> Floats:
        """Return `values` [T, N, ...] with 0 on padding; not a copy if there is no padding."""
        if self.real is None:
            return values
        real = self.real.reshape(*self.shape, *[1] * (values.ndim - 2))
        return np.where(real, values, values.dtype.type(0))

    def previous(self, values: Floats, initial: Floats) -> Floats:
        """Return the values before each step, from those after each step [T, N, H] and the initial [N, H]."""
        result = np.empty_like(values)
        if self.reverse:
            result[:-1], result[-1:] = values[1:], initial
            if self.lengths is not None and self.shape[0]:
                rows = np.arange(self.shape[1])
                result[self.lengths - 1, rows] = initial
        else:
            result[1:], result[:1] = values[:-1], initial
        if self.reset is not None:
            result = np.where(self.reset[:, :, None], initial, result)
        return result

    def project(
        self, x: npt.NDArray[Any], weight: Floats, bias: Floats | None, precision: str = "float32"
    ) -> Floats:
        """Apply `project` to all real steps at once: [T, N, F], 0 on padding."""
        return self._scatter(project(x if self.real is None else x[self.real], weight, bias, precision))

    def project_backward(
        self, x: npt.NDArray[Any], weight: Floats, da: Floats, precision: str = "float32"
    ) -> tuple[Floats | None, Floats]:
        """Compute dx (None where x is ids) and dW of `project`, each in one product over all real steps."""
        if self.real is not None:
            x, da = x[self.real], da[self.real]
        if is_ids(x):
            return None, np.ascontiguousarray(embedding_backward(x, da, weight.shape[1]).T)
        dx, dweight, _ = linear_backward(x, weight, da, precision=precision)
        return self._scatter(dx), dweight

    def _scatter(self, values: Floats) -> Floats:
        """Put the rows of real steps, [real steps, F], back into [T, N, F], with 0 on padding."""
        if self.real is None:
            return values
        result = np.zeros((*self.shape, values.shape[-1]), values.dtype)
        result[self.real] = values
        return result


def project(x: npt.NDArray[Any], weight: Floats, bias: Floats | None, precision: str = "float32") -> Floats:
    """Compute W x + b for floats [..., D]; for ids [...], as one-hot vectors, column x of W, plus b.

    The columns are those of W as it is multiplied: rounded to the precision. The ids are not.
    """
    if not is_ids(x):
        return linear_forward(x, weight, bias, precision=precision)
    columns = embedding_forward(x, as_multiplied(weight, precision).T)
    return columns if bias is None else columns + bias


def split_gates(a: Floats, gates: int) -> Floats:
    """Return [N, G*H] viewed as [G, N, H], to be unpacked into one array per gate."""
    batch_size, width = a.shape
    return a.reshape(batch_size, gates, width // gates).swapaxes(0, 1)


def recurrent_weights(weights: Weights, *, copy: bool) -> tuple[Floats, Floats]:
    """Return W_hh^T and b_hh (zeros if None); a copy of W_hh^T pays off when many steps multiply by it."""
    _, weight_hh, _, bias_hh = weights
    weight = np.ascontiguousarray(weight_hh.T) if copy else weight_hh.T
    return weight, np.zeros(len(weight_hh), weight_hh.dtype) if bias_hh is None else bias_hh


def weight_gradient(da: Floats, h: Floats, multiply: Multiply) -> Floats:
    """Sum da h^T over time and batch, [G*H, H], from da [T, N, G*H] and h [T, N, H], in one product."""
    return sum_over_rows(da.reshape(-1, da.shape[-1]), h.reshape(-1, h.shape[-1]), multiply)


def make_time_loop(
    shape: tuple[int, int],
    lengths: Integers | None = None,
    reset: Booleans | None = None,
    reverse: bool = False,
    mask: Booleans | None = None,
) -> TimeLoop:
    """Check `lengths` [N], in 0 .. T, and `reset` [T, N], and return the loop of a batch of shape (T, N).

    Where a `mask` [T, N] is False, a step is as padding, except that a reset there is one at the row's next
    real step.
    """
    num_steps, batch_size = shape
    real = None
    if lengths is not None:
        if not is_ids(lengths):
            raise TypeError(f"lengths: expected integers, got {kind(lengths)}")
        check_shape("lengths", lengths, (batch_size,))
        if lengths.size and not (lengths.min() >= 0 and lengths.max() <= num_steps):
            raise ValueError(f"lengths: expected 0 to {num_steps}, got {lengths.min()} to {lengths.max()}")
        lengths = lengths.astype(np.int64)
        real = np.arange(num_steps)[:, None] < lengths
    if reset is not None:
        if kind(reset) != np.bool_:
            raise TypeError(f"reset: expected bool, got {kind(reset)}")
        check_shape("reset", reset, shape)
        reset = reset if real is None else reset & real
    if mask is not None:
        if kind(mask) != np.bool_:
            raise TypeError(f"mask: expected bool, got {kind(mask)}")
        check_shape("mask", mask, shape)
        real = mask if real is None else mask & real
        reset = None if reset is None else _next_real(reset, real, reverse)
    return TimeLoop(shape, lengths, reset, reverse, real)


def _next_real(reset: Booleans, real: Booleans, reverse: bool) -> Booleans:
    """Move resets to the next real step of their rows."""
    moved, waiting = np.zeros_like(reset), np.zeros_like(reset[:1])
    order = slice(None, None, -1 if reverse else 1)
    for now, given, counts in zip(moved[order], reset[order], real[order], strict=True):
        waiting = waiting | given
        now[...] = waiting & counts
        waiting = waiting & ~counts
    return moved


def initial_state(state: State | None, weights: Weights, batch_size: int, count: int) -> State:
    """Return the initial state: `state`, checked, or `count` arrays of zeros [N, H]."""
    weight_hh = weights[1]
    zeros = tuple(np.zeros((batch_size, weight_hh.shape[1]), weight_hh.dtype) for _ in range(count))
    if state is None:
        return zeros
    check_state("state", state, zeros)
    return tuple(state)


def start_backward(tape: Tape, dy: Floats | None, dstate_n: State | None) -> tuple[TimeLoop, Floats, State]:
    """Return the loop of a tape, and the checked gradients dy [T, N, H], 0 on padding, and dstate_n."""
    num_steps, batch_size, _ = tape.y.shape
    loop = make_time_loop((num_steps, batch_size), tape.lengths, tape.reset, tape.reverse)
    if dy is None:
        dy = np.zeros_like(tape.y)
    check_floats("dy", dy, tape.y.shape, tape.y.dtype)
    if dstate_n is None:
        dstate_n = tuple(np.zeros_like(s) for s in tape.state)
    check_state("dstate_n", dstate_n, tape.state)
    return loop, loop.zero_padding(dy), tuple(dstate_n)


def bias_gradient(da: Floats, bias: Floats | None) -> Floats | None:
    """Sum da [T, N, G*H] over time and batch; None without a bias."""
    return None if bias is None else da.sum(axis=(0, 1))
