"""The Jordan network: its output, not its hidden units, is what it remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fastrnn._arrays import Array, as_floats, contiguous
from fastrnn._checks import as_choice, as_flag, as_size
from fastrnn.layers.recurrent.engine.arguments import as_input
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.recurrent.options import ACTIVATIONS
from fastrnn.layers.recurrent.rnn import as_nonlinearity

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Unpack

    from fastrnn._checks import Seed
    from fastrnn.layers.recurrent.options import SharedOptions

__all__ = ["Jordan"]


class Jordan(Recurrent[Any]):
    """A Jordan network: the output before feeds the hidden units, alone or beside the hidden recurrence.

    ::

        q = tanh(W_ih x + b_ih + W_hh y' + b_hh)        + W_inner q' where `hidden_recurrence`
        y = g(W_hr q + b_hr)

    with y' and q' the output and the hidden units before the step. Running free, y' is the network's own
    output; in teacher forcing it is the target of the step before, given as `targets`.

    Parameters are ``weight_ih_l0 [H, D]``, ``weight_hh_l0 [H, O]``, ``bias_ih_l0`` and ``bias_hh_l0 [H]``,
    ``weight_hr_l0 [O, H]``, ``bias_hr_l0 [O]`` and ``weight_inner_l0 [H, H]``. The state is y [1, N, O], or
    the pair (y, q), q [1, N, H].

    Parameters
    ----------
    input_size : int
        D, the width of the input, or the number of different ids.
    hidden_size : int
        H.
    output_size : int
        O.
    nonlinearity : {"tanh", "relu"}
        Of q.
    output_activation : {"identity", "sigmoid", "tanh", "relu", "hard_sigmoid", "positive"}
        g.
    hidden_recurrence : bool, default False
        Whether q' is read too.
    batch_first, bias, dtype, seed
        As for `LSTM`.
    **options
        recurrent_dropout, input_dropout, state_dropout, output_dropout, weight_drop, context_size, reverse
        and learn_state, as for `RNN`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As for `LSTM`.

    References
    ----------
    Jordan (1986), "Serial Order: A Parallel Distributed Processing Approach". Williams, Zipser (1989), "A
    Learning Algorithm for Continually Running Fully Recurrent Neural Networks" (teacher forcing).

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> net = fr.Jordan(3, 8, 2, seed=0)
    >>> x, targets = np.ones((5, 4, 3), np.float32), np.zeros((5, 4, 2), np.float32)
    >>> y, state, tape = net.forward(x, targets=targets)
    >>> dx, dstate = net.backward(tape, y - targets)
    >>> free, state = net(x)
    >>> free.shape, np.allclose(free[0], y[0]), np.allclose(free[1], y[1])
    ((5, 4, 2), True, False)
    """

    _cell = "jordan"
    _own: ClassVar = {"nonlinearity": "tanh"}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        nonlinearity: str = "tanh",
        output_activation: str = "identity",
        hidden_recurrence: bool = False,
        batch_first: bool = False,
        bias: bool = True,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
        **options: Unpack[SharedOptions],
    ) -> None:
        self.nonlinearity = as_nonlinearity(nonlinearity)
        self._output = (
            as_size("output_size", output_size),
            as_choice("output_activation", output_activation, ACTIVATIONS),
            as_flag("hidden_recurrence", hidden_recurrence),
        )
        super().__init__(
            (input_size, hidden_size, 1),
            {
                **options,
                "nonlinearity": self.nonlinearity,
                "proj_size": self._output[0],
                "projection_activation": self._output[1],
                "hidden_recurrence": self._output[2],
            },
            bidirectional=False,
            batch_first=batch_first,
            dropout=0.0,
            bias=bias,
            dtype=dtype,
            seed=seed,
        )

    def __call__(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        context: Any = None,
        targets: Any = None,
    ) -> tuple[Array, Any]:
        """Run over a batch of sequences: free, or with `targets` fed back, [T, N, O] as y.

        The rest as for `RNN`. The state after teacher forcing holds the last targets.
        """
        packed = self._packed_with(x, targets)
        return self._infer(packed, self._weights.batch(x, state, lengths, reset, context))

    def forward(
        self,
        x: Any,
        state: Any = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        checkpoint_every: int | None = None,
        context: Any = None,
        targets: Any = None,
    ) -> tuple[Array, Any, Any]:
        """Run over a batch of sequences in training: free, or with `targets` fed back, [T, N, O] as y.

        The rest as for `RNN`.
        """
        packed = self._packed_with(x, targets)
        batch = self._weights.batch(x, state, lengths, reset, context)
        return self._forward(packed, batch, checkpoint_every, initial=state is None)

    def _packed_with(self, x: Any, targets: Any) -> list[Any]:
        packed = self._weights.current()
        if targets is None:
            return packed
        if self.options.reverse or self.options.state_dropout or self.options.weight_drop:
            raise ValueError("targets: contradict reverse, state_dropout and weight_drop")
        rows, steps = ("N", "T") if self.batch_first else ("T", "N")
        given = as_floats("targets", targets, self.dtype, (rows, steps, self.output_size))
        given = contiguous("targets", given.swapaxes(0, 1) if self.batch_first else given)
        batch = as_input(self.spec, x).shape[:2]
        if given.shape[:2] != batch:
            raise ValueError(f"targets: expected {[*batch, self.output_size]}, got {list(given.shape)}")
        return [packed[0].for_pass(None, None, given)]

    def __repr__(self) -> str:
        output_size, activation, hidden = self._output
        given = [str(self.input_size), str(self.hidden_size), str(output_size)]
        options = [
            ("nonlinearity", self.nonlinearity, "tanh"),
            ("output_activation", activation, "identity"),
            ("hidden_recurrence", hidden, False),
            *(option for option in self._options() if option[0] not in _SHOWN),
        ]
        given += [f"{name}={value!r}" for name, value, usual in options if value != usual]
        return f"Jordan({', '.join(given)})"


_SHOWN = ("nonlinearity", "proj_size", "projection_activation", "hidden_recurrence")
