"""The Jordan network: it feeds back its output instead of its hidden units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fastrnn._arrays import Array, as_floats, contiguous
from fastrnn._checks import as_choice, as_flag, as_size
from fastrnn.layers.recurrent.engine.arguments import read_input
from fastrnn.layers.recurrent.engine.sequence_pass import infer
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.recurrent.options import ACTIVATIONS
from fastrnn.layers.recurrent.rnn import as_nonlinearity

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Never, Unpack

    from fastrnn._checks import Seed
    from fastrnn.layers.recurrent.options import SharedOptions

__all__ = ["Jordan"]


class Jordan(Recurrent[Any]):
    """A Jordan network: the hidden units read the previous output, and optionally their own previous values.

    ::

        q = tanh(W_ih x + b_ih + W_hh y' + b_hh)        + W_inner q' where `hidden_recurrence`
        y = g(W_hr q + b_hr)

    where y' and q' are the output and the hidden units before the step. When the network runs free, y' is its
    own output; with teacher forcing it is the target of the step before, from `targets`.

    The parameters are ``weight_ih_l0 [H, D]``, ``weight_hh_l0 [H, O]``, ``bias_ih_l0`` and ``bias_hh_l0
    [H]``, ``weight_hr_l0 [O, H]``, ``bias_hr_l0 [O]`` and, with `hidden_recurrence`, ``weight_inner_l0
    [H, H]``. The state is y [1, N, O], or with `hidden_recurrence` the pair (y, q), with q [1, N, H].

    Parameters
    ----------
    input_size : int
        D, the width of the input or the number of different ids.
    hidden_size : int
        H.
    output_size : int
        O.
    nonlinearity : {"tanh", "relu"}
        The activation of q.
    output_activation : {"identity", "sigmoid", "tanh", "relu", "hard_sigmoid", "positive"}
        The activation g of the output.
    hidden_recurrence : bool, default False
        Whether the hidden units also read q'.
    batch_first, bias, dtype, seed
        As for `LSTM`.
    **options
        layer_norm (of ``W_ih x + W_hh y' + W_inner q'``, with ``gain_l0``), recurrent_dropout (of q),
        input_dropout, state_dropout (of y' in the product, or of the target in its place), output_dropout,
        weight_drop (of weight_hh), context_size, reverse and learn_state, as for `RNN`. zoneout: the
        probability that an output keeps the value of y', or of the target in its place; with
        `hidden_recurrence` also a pair of it and the probability that q' stays what the next step reads.

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
        self.nonlinearity: str = as_nonlinearity(nonlinearity)
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
        mask: Any = None,
        zero_masked: bool = False,
        **other: Never,
    ) -> tuple[Array, Any]:
        """Run a batch of sequences: free, or with `targets`, [T, N, O], fed back in place of y.

        Everything else is as for `RNN`. After teacher forcing the state holds the last targets.
        """
        given = (x, state, lengths, reset, context, self._targets(x, targets))
        batch = self._weights.batch(*given, mask=mask, zero_masked=zero_masked, **other)
        return self._result(*infer(self.spec, self._weights.current(), batch), alone=batch.alone)

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
        mask: Any = None,
        zero_masked: bool = False,
        **other: Never,
    ) -> tuple[Array, Any, Any]:
        """Run a batch of sequences in training: free, or with `targets`, [T, N, O], fed back in place of y.

        Everything else is as for `RNN`.
        """
        given = (x, state, lengths, reset, context, self._targets(x, targets))
        batch = self._weights.batch(*given, mask=mask, zero_masked=zero_masked, keep=True, **other)
        return self._forward(batch, checkpoint_every, initial=state is None)

    def _targets(self, x: Any, targets: Any) -> Array | None:
        """Check targets: as many steps and rows as x."""
        if targets is None:
            return None
        if self.options.reverse:
            raise ValueError("targets: contradict reverse")
        array, alone = read_input(self.spec, x)
        steps, rows = array.shape[:2]
        axes = (steps,) if alone else (rows, steps) if self.batch_first else (steps, rows)
        given = as_floats("targets", targets, self.dtype, (*axes, self.output_size))
        if alone:
            return given[:, None]
        return contiguous("targets", given.swapaxes(0, 1) if self.batch_first else given)

    def _options(self) -> list[tuple[str, Any, Any]]:
        _, activation, hidden = self._output
        return [
            ("nonlinearity", self.nonlinearity, "tanh"),
            ("output_activation", activation, "identity"),
            ("hidden_recurrence", hidden, False),
            *(option for option in super()._options() if option[0] not in _OTHERWISE),
        ]

    def __repr__(self) -> str:
        given = [str(self.input_size), str(self.hidden_size), str(self.output_size)]
        given += [f"{name}={value!r}" for name, value, usual in self._options() if value != usual]
        return f"Jordan({', '.join(given)})"


# What its constructor does not take, or takes by another name.
_OTHERWISE = {"nonlinearity", "proj_size", "projection_activation", "hidden_recurrence"}
_OTHERWISE |= {"num_layers", "bidirectional", "dropout"}
