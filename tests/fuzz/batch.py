"""The arrays of a plan: what is passed to the layer, and the same as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .plan import Plan

#: The scales of features; the last saturates every gate.
X_SCALES = (0.3, 0.3, 1.0, 1.0, 1.0, 3.0, 3.0, 1000.0)


@dataclass(frozen=True, eq=False)
class Batch:
    """Arguments of both passes as plain arrays, time-major.

    Attributes
    ----------
    x : ndarray [T, N, D] or [T, N]
    state : tuple of ndarray [L*directions, N, ...], or None
    lengths : ndarray [N], or None
    reset : ndarray [T, N], or None
    context : ndarray [N, C] or [T, N, C], or None
    targets : ndarray [T, N, P], or None
    dy : ndarray [T, N, P], or None
    dstate : tuple of ndarray, or None
    """

    x: np.ndarray
    state: tuple[np.ndarray, ...] | None
    lengths: np.ndarray | None
    reset: np.ndarray | None
    context: np.ndarray | None
    targets: np.ndarray | None
    dy: np.ndarray | None
    dstate: tuple[np.ndarray, ...] | None

    @property
    def steps(self) -> int:
        """T."""
        return len(self.x)

    @property
    def rows(self) -> int:
        """N."""
        return self.x.shape[1]

    def padding(self) -> np.ndarray:
        """Return which steps of each row are padding, [T, N]."""
        if self.lengths is None:
            return np.zeros(self.x.shape[:2], bool)
        return np.arange(self.steps)[:, None] >= self.lengths

    def part(self, rows: slice = slice(None), steps: slice = slice(None)) -> Batch:
        """Return some rows and steps."""

        def of(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else np.ascontiguousarray(array[steps, rows])

        def states(given: tuple[np.ndarray, ...] | None) -> tuple[np.ndarray, ...] | None:
            return None if given is None else tuple(np.ascontiguousarray(a[:, rows]) for a in given)

        context = self.context
        if context is not None:
            context = of(context) if context.ndim == 3 else context[rows]
        return Batch(
            x=of(self.x),
            state=states(self.state),
            lengths=None if self.lengths is None else self.lengths[rows],
            reset=of(self.reset),
            context=context,
            targets=of(self.targets),
            dy=of(self.dy),
            dstate=states(self.dstate),
        )

    def floats(self) -> dict[str, np.ndarray]:
        """Return all arrays of floats by name."""
        named: dict[str, Any] = {"x": self.x, "context": self.context, "targets": self.targets, "dy": self.dy}
        for name in ("state", "dstate"):
            named |= {f"{name}[{i}]": part for i, part in enumerate(getattr(self, name) or ())}
        return {name: a for name, a in named.items() if a is not None and a.dtype.kind == "f"}


def draw_batch(plan: Plan, rnn: Any) -> Batch:
    """Draw the arrays of a plan."""
    random = np.random.default_rng([plan.seed, 2])
    T, N, count = plan.steps, plan.rows, rnn.num_layers * rnn.directions

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(rnn.dtype)

    def state() -> tuple[np.ndarray, ...]:
        parts = [normal(count, *shape) for shape in rnn.spec.state_shapes(N)]
        if plan.layer == "SLSTM":  # c, n and m; n is not negative
            n = parts[1][:, :, rnn.hidden_size : 2 * rnn.hidden_size]
            np.abs(n, out=n)
            n += 0.1
        return tuple(parts)

    of_context = (T, N) if plan.context_of_steps else (N,)
    lengths = random.integers(0, T + 1, size=N) if plan.lengths else None
    if plan.ids:
        least = -1 if plan.ids[0] == "i" and random.random() < 0.3 else 0  # -1: a vector of zeros
        x = random.integers(least, min(rnn.input_size, np.iinfo(plan.ids).max), size=(T, N))
    else:
        scale = float(random.choice(X_SCALES))
        x = normal(T, N, rnn.input_size) * rnn.dtype.type(scale)
    return Batch(
        x=x,
        state=state() if plan.state else None,
        lengths=lengths,
        reset=random.random((T, N)) < plan.reset if plan.reset else None,
        context=normal(*of_context, rnn.options.context_size) if rnn.options.context_size else None,
        targets=normal(T, N, rnn.output_size) if plan.targets else None,
        dy=normal(T, N, rnn.output_size) if plan.gradients != "state" else None,
        dstate=tuple(normal(*part.shape) for part in state()) if plan.gradients != "y" else None,
    )


def laid_out(array: Any, layout: str) -> Any:
    """Return the same numbers, lying otherwise in memory."""
    if array is None or layout == "plain":
        return array
    if layout == "list":
        return array.tolist() if 0 < array.size < 300 else array
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "negative":
        flip = (slice(None, None, -1),) * array.ndim
        return np.ascontiguousarray(array[flip])[flip]
    if layout == "strided":
        wide = np.full([2 * size for size in array.shape], 7, array.dtype)
        view = wide[tuple(slice(1, None, 2) for _ in array.shape)]
        view[...] = array
        return view
    if layout == "axes":
        return np.ascontiguousarray(array.swapaxes(0, array.ndim - 1)).swapaxes(0, array.ndim - 1)
    if layout == "unaligned":
        view = np.frombuffer(bytearray(array.nbytes + 1), np.uint8)[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    array = array.copy()
    array.flags.writeable = False
    return array


def arguments(plan: Plan, rnn: Any, batch: Batch) -> dict[str, Any]:
    """Return the arguments of a forward pass, in the plan's layouts."""

    def time_first(array: Any) -> Any:
        swapped = (
            array if array is None or not rnn.batch_first else np.ascontiguousarray(array.swapaxes(0, 1))
        )
        return laid_out(swapped, plan.layout)

    x = batch.x.astype(plan.ids) if plan.ids else batch.x
    lengths: Any = batch.lengths
    if lengths is not None:
        lengths = lengths.tolist() if plan.lengths == "list" else lengths.astype(plan.lengths or "int64")
    given = {
        "x": time_first(x),
        "state": joined(batch.state, plan.layout),
        "lengths": lengths,
        "reset": time_first(batch.reset),
    }
    if batch.context is not None:
        of_steps = batch.context.ndim == 3
        given["context"] = time_first(batch.context) if of_steps else laid_out(batch.context, plan.layout)
    if batch.targets is not None:
        given["targets"] = time_first(batch.targets)
    return given


def gradient_arguments(plan: Plan, rnn: Any, batch: Batch) -> dict[str, Any]:
    """Return the gradients that are passed to a backward pass, in the plan's layouts."""
    dy = batch.dy
    if dy is not None and rnn.batch_first:
        dy = np.ascontiguousarray(dy.swapaxes(0, 1))
    return {"dy": laid_out(dy, plan.layout), "dstate": joined(batch.dstate, plan.layout)}


def joined(state: tuple[np.ndarray, ...] | None, layout: str) -> Any:
    """Return a state in the form that users pass."""
    if state is None:
        return None
    parts = tuple(laid_out(part, layout) for part in state)
    return parts[0] if len(parts) == 1 else parts
