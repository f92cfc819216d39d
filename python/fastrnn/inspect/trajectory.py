"""A recurrent layer along one run: a copy in float64, its states, and products with its Jacobians."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn.inspect.gradients import as_layer
from fastrnn.layers import Recurrent
from fastrnn.layers.description import describe, from_description
from fastrnn.layers.recurrent.engine.arguments import join_states

__all__ = ["Trajectory"]

Floats = NDArray[np.float64]

# What inference does not have, and what `Trajectory` does itself.
_LEFT_OUT = frozenset(
    {
        "dropout",
        "input_dropout",
        "state_dropout",
        "output_dropout",
        "recurrent_dropout",
        "weight_drop",
        "batch_first",
        "precision",
        "reverse",
        "dtype",
    }
)


class Trajectory:
    """The states that a layer passes through, as vectors, and its Jacobians along them.

    A state is a vector of d numbers: h of all layers, then c and the past outputs where there are any. The
    layer itself is not used: a copy in float64 runs, as in inference, without dropout.

    Parameters
    ----------
    layer : Recurrent
        With one direction and without zoneout.
    x, state, context
        As for a call of the layer.

    Attributes
    ----------
    steps, rows, size : int
        T, N and d.
    alone : bool
        Whether x had no axis N.
    """

    steps: Any
    rows: Any

    def __init__(self, layer: Any, x: Any, state: Any = None, context: Any = None) -> None:
        own = as_layer(layer)
        if own.directions == 2:
            raise ValueError(
                "layer: expected one direction, got a bidirectional layer, whose states do not follow from "
                "each other; load the parameters of one direction into a layer of its own"
            )
        if any(own.options.zoneout):
            raise ValueError(
                "layer: expected no zoneout, which makes each step random; load its parameters into a layer "
                "without it"
            )
        batch = own._weights.batch(x, state, None, None, context)
        self.alone: bool = batch.alone
        self.steps, self.rows = batch.x.shape[:2]
        if self.steps < 1 or self.rows < 1:
            raise ValueError(f"x: expected at least one step of one sequence, got {list(batch.x.shape)}")
        self._layer = _copy(own)
        self._x = _in_order(own, batch.x)
        self._context = None if batch.context is None else batch.context
        if self._context is not None and self._context.ndim == 3:
            self._context = _in_order(own, self._context)
        elif self._context is not None:
            self._context = self._context.astype(np.float64)
        self._shapes = [(own.spec.count, *shape[1:]) for shape in own.spec.state_shapes(1)]
        self.size: int = sum(int(np.prod(shape)) for shape in self._shapes)
        first = None if batch.states is None else join_states(batch.states)
        self._first = np.zeros((self.rows, self.size)) if first is None else self._flat(first)

    def states(self) -> Floats:
        """Return the state before each step, and the last one: float64 [T + 1, N, d]."""
        states = np.empty((self.steps + 1, self.rows, self.size))
        states[0] = self._first
        for t in range(self.steps):
            given = self._arguments(t, t + 1, 1)
            states[t + 1] = self._flat(self._layer(given.pop("x"), self._parts(states[t]), **given)[1])
        if not np.isfinite(states).all():
            step = int(np.flatnonzero(~np.isfinite(states).all(axis=(1, 2)))[0])
            raise ValueError(
                f"x: expected a run with finite states, got others after step {step - 1}: an input is not "
                "finite, or the states grow without bound"
                if step
                else "state: expected finite numbers, got others"
            )
        return states

    def pull_back(self, begin: int, end: int, state: Floats, vectors: Floats) -> Floats:
        """Return products of vectors with a Jacobian, from the left.

        Parameters
        ----------
        begin, end : int
            The Jacobian is that of the state after step ``end - 1`` by the state before step `begin`.
        state : ndarray, float64 [N, d]
            The state before step `begin`.
        vectors : ndarray, float64 [N, k, d]

        Returns
        -------
        ndarray, float64 [N, k, d]
        """
        N, k, d = vectors.shape
        given = self._arguments(begin, end, k)
        _, _, tape = self._layer.forward(given.pop("x"), self._parts(np.repeat(state, k, axis=0)), **given)
        _, first = self._layer.backward(tape, None, self._parts(vectors.reshape(N * k, d)), need_dx=False)
        return self._flat(first).reshape(N, k, d)

    def backwards(self, every: int) -> Iterator[tuple[int, int, Floats]]:
        """Yield the pieces of `every` steps, the last one first: begin, end and the state before them."""
        states = self.states()
        for begin in reversed(range(0, self.steps, every)):
            yield begin, min(begin + every, self.steps), states[begin]

    def _arguments(self, begin: int, end: int, k: int) -> dict[str, Any]:
        """Return x and the context of some steps, each row k times."""
        given = {"x": np.repeat(self._x[begin:end], k, axis=1)}
        if self._context is not None:
            steps = self._context.ndim == 3
            context = self._context[begin:end] if steps else self._context
            given["context"] = np.repeat(context, k, axis=1 if steps else 0)
        return given

    def _flat(self, state: Any) -> Floats:
        """Return a state as vectors, [N, d]."""
        parts = state if isinstance(state, tuple) else (state,)
        rows = [np.moveaxis(part, 1, 0).reshape(part.shape[1], -1) for part in parts]
        return np.concatenate(rows, axis=1).astype(np.float64, copy=False)

    def _parts(self, vectors: Floats) -> Any:
        """Return vectors as a state of the layer."""
        parts, begin = [], 0
        for shape in self._shapes:
            size = int(np.prod(shape))
            part = vectors[:, begin : begin + size].reshape(len(vectors), *shape)
            parts.append(np.ascontiguousarray(np.moveaxis(part, 0, 1)))
            begin += size
        return parts[0] if len(parts) == 1 else tuple(parts)


def _copy(layer: Recurrent[Any]) -> Recurrent[Any]:
    """Return a layer in float64 that computes what a layer does in inference, forward in time."""
    description = {name: value for name, value in describe(layer).items() if name not in _LEFT_OUT}
    copy: Any = from_description({**description, "dtype": "float64"}, seed=0)
    copy.load_state_dict({name: value.astype(np.float64) for name, value in layer.parameters.items()})
    result: Recurrent[Any] = copy
    return result


def _in_order(layer: Recurrent[Any], x: Array) -> Array:
    """Return floats in float64 and ids, in the order in which a layer reads them."""
    x = x if x.dtype.kind == "i" else x.astype(np.float64)
    return np.ascontiguousarray(x[::-1]) if layer.options.reverse else x
