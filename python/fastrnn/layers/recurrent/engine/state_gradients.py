"""The gradients of the loss with respect to every state of a pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn._checks import as_choice, as_size
from fastrnn._memory import FEWER_TOKENS, named_memory
from fastrnn.layers.recurrent.engine.segments import AnyTape
from fastrnn.layers.recurrent.engine.tape import Tape

__all__ = ["StateGradients"]


@dataclass(frozen=True, eq=False)
class StateGradients:
    """The gradients of the loss with respect to every h, and every c, of one pass.

    The gradient of h_t is summed over all paths from h_t to the loss: its own output, and all later steps
    (of a reverse direction, earlier ones) as far as the next reset. That of c_t includes the path through
    h_t of the same step; with a zoneout of c, h_t reads the c before it, and only later steps count. Arrays
    are time-major, and N is 1 for a single sequence, as on the tape; after a row's end they are zero.

    Attributes
    ----------
    h : ndarray, float [L*directions, T, N, P]
    c : ndarray, float [L*directions, T, N, H], or None
        None if the cell's state is h alone. SLSTM: of c, n and m side by side, [L*directions, T, N, 3*H].
    lengths : ndarray, int64 [N]
        Steps of each row.
    reverse : tuple of bool
        For each layer and direction, whether it runs from each row's end to its start.

    Examples
    --------
    The loss is the sum of the last output. Its gradient gets smaller with every step back:

    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.RNN(3, 8, dtype="float64", seed=0)
    >>> y, state, tape = rnn.forward(np.random.default_rng(0).normal(size=(30, 2, 3)))
    >>> into = fr.layers.StateGradients.of(tape)
    >>> dx, dstate = rnn.backward(tape, None, np.ones_like(state), state_gradients=into)
    >>> into.against_lag()[0, [0, 10, 20], 0].round(6).tolist()
    [2.828427, 0.000101, 0.0]
    """

    h: Array
    c: Array | None
    lengths: Ids
    reverse: tuple[bool, ...]

    @classmethod
    @named_memory("state_gradients", FEWER_TOKENS)
    def of(cls, tape: AnyTape) -> StateGradients:
        """Return zeros for the gradients of a tape, which ``rnn.backward(..., state_gradients=)`` fills."""
        spec, T, N = tape._spec, tape.steps, tape.rows
        widths = [shape[-1] for shape in spec.state_shapes(1)]
        arrays = [np.zeros((spec.count, T, N, width), spec.dtype) for width in widths]
        lengths = tape.layers[0].lengths if isinstance(tape, Tape) else tape._levels[0][0].lengths
        full = np.full(N, T, np.int64) if lengths is None else lengths.copy()
        reverse = tuple(
            spec.options.reverse or (spec.directions == 2 and i % 2 == 1) for i in range(spec.count)
        )
        return cls(arrays[0], arrays[1] if "c" in spec.state_names else None, full, reverse)

    @property
    def steps(self) -> int:
        """T, the number of steps."""
        return int(self.h.shape[1])

    def norms(self, name: str = "h") -> NDArray[np.float64]:
        """Return the norm over the units at each step, [L*directions, T, N].

        Parameters
        ----------
        name : {"h", "c"}
        """
        return self._norms(name, "ltnp,ltnp->ltn")

    def unit_norms(self, name: str = "h") -> NDArray[np.float64]:
        """Return the norm of each unit over the sequences of the batch at each step, [L*directions, T, P]."""
        return self._norms(name, "ltnp,ltnp->ltp")

    def against_lag(self, step: int | None = None, name: str = "h") -> NDArray[np.float64]:
        """Return the norms, `norms`, in the order of the distance from a step.

        Parameters
        ----------
        step : int, optional
            The step of the loss, in ``0 .. T - 1``; by default the last step of each row and direction.
        name : {"h", "c"}

        Returns
        -------
        ndarray, float64 [L*directions, T, N]
            Element k is the norm k steps before `step`, of a reverse direction k steps after it; NaN where a
            row has no such step.

        Raises
        ------
        ValueError
            If `step` is not a step of the pass, or the cell has no state of that name.
        """
        norms = self.norms(name)
        L, T, N = norms.shape
        if step is not None:
            step = as_size("step", step, least=0, most=T - 1)
        lags = np.full((L, T, N), np.nan)
        k = np.arange(T)[:, None]
        for i, reverse in enumerate(self.reverse):
            if reverse:
                times = k + (0 if step is None else step)
            else:
                times = (self.lengths - 1 if step is None else np.full(N, step)) - k
            exists = (times >= 0) & (times < self.lengths)
            values = np.take_along_axis(norms[i], np.clip(np.broadcast_to(times, (T, N)), 0, T - 1), axis=0)
            lags[i] = np.where(exists, values, np.nan)
        return lags

    def cleared(self) -> list[tuple[Array, ...]]:
        """Set everything to zero; return the arrays of each layer and direction as the kernels take them."""
        for array in (self.h, self.c):
            if array is not None:
                array[...] = 0
        if self.c is None:
            return [(h,) for h in self.h]
        return list(zip(self.h, self.c, strict=True))

    @staticmethod
    def check(given: Any, tape: AnyTape) -> StateGradients:
        """Check arrays that a backward pass is to fill.

        Raises
        ------
        ValueError
            If they are for another tape's pass.
        TypeError
            If they are something else.
        """
        if not isinstance(given, StateGradients):
            raise TypeError(f"state_gradients: expected a StateGradients, got {type(given).__name__}")
        spec = tape._spec
        expected = (spec.count, tape.steps, tape.rows, spec.h_size)
        if (
            given.h.shape != expected
            or given.h.dtype != spec.dtype
            or (given.c is None) == ("c" in spec.state_names)
        ):
            got = f"{given.h.dtype} {list(given.h.shape)}"
            raise ValueError(
                f"state_gradients: expected those of this tape, {spec.dtype} {list(expected)}, got {got}; "
                "make them with StateGradients.of(tape)"
            )
        return given

    def _norms(self, name: str, axes: str) -> NDArray[np.float64]:
        arrays = {"h": self.h} if self.c is None else {"h": self.h, "c": self.c}
        array = arrays[as_choice("name", name, arrays)]
        squares: NDArray[np.float64] = np.einsum(axes, array, array, dtype=np.float64)
        return np.sqrt(squares)
