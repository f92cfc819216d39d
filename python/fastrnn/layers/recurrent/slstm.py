"""sLSTM: long short-term memory with an exponential input gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastrnn._arrays import Array
from fastrnn.layers.recurrent.layer import Recurrent

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Unpack

    from fastrnn._checks import Seed
    from fastrnn.layers.recurrent.options import SLSTMOptions

__all__ = ["SLSTM"]


class SLSTM(Recurrent[tuple[Array, Array]]):
    """Stacked sLSTM layers: the scalar cell of xLSTM, with one head.

    ::

        log_i =             W_ii x + b_ii + W_hi h' + b_hi
        log_f = log sigmoid(W_if x + b_if + W_hf h' + b_hf)
        z     =        tanh(W_iz x + b_iz + W_hz h' + b_hz)
        o     =     sigmoid(W_io x + b_io + W_ho h' + b_ho)
        m = max(log_f + m', log_i)                            where n' = 0: m = log_i
        c = exp(log_f + m' - m) * c' + exp(log_i - m) * z
        n = exp(log_f + m' - m) * n' + exp(log_i - m)
        h = o * c / n

    where h', c', n' and m' are the state before the step. h is o times a weighted mean of all z so far: a
    large log_i lets one step outweigh all earlier ones. m keeps the exponentials in range and does not change
    h.

    The parameters are ``weight_ih_l0 [4H, D]``, ``weight_hh_l0 [4H, H]``, ``bias_ih_l0`` and ``bias_hh_l0
    [4H]``, with the gates in the order i, f, z, o; ``_l1``, ... and ``_reverse`` as for `LSTM`.

    The state is the pair (h, c): h [L*directions, N, H], and c, n and m side by side in c [L*directions, N,
    3*H]. It starts at zero. An n that you pass must be 0 or more, as every n that the layer returns is; a
    learned n counts by its magnitude.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, batch_first, dropout, bias, dtype, seed
        As for `LSTM`.
    **options
        proj_size, layer_norm (of ``W_ih x`` and ``W_hh h'``), zoneout (of h), recurrent_dropout (of z),
        input_dropout, state_dropout, output_dropout, weight_drop, skip, context_size, merge, reverse and
        learn_state, as for `LSTM`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As for `LSTM`.

    References
    ----------
    Beck, Pöppel, Spanring, Auer, Prudnikova, Kopp, Klambauer, Brandstetter, Hochreiter (2024), "xLSTM:
    Extended Long Short-Term Memory", section 2.2; the forget gate is a sigmoid.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.SLSTM(3, 5, num_layers=2, seed=0)
    >>> x = np.ones((4, 2, 3), np.float32)
    >>> y, (h, c) = rnn(x)
    >>> y.shape, h.shape, c.shape
    ((4, 2, 5), (2, 2, 5), (2, 2, 15))

    >>> y, state, tape = rnn.forward(x)
    >>> dx, dstate = rnn.backward(tape, np.ones_like(y))
    >>> dx.shape, rnn.gradients["weight_hh_l1"].shape
    ((4, 2, 3), (20, 5))
    """

    _cell = "slstm"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
        **options: Unpack[SLSTMOptions],
    ) -> None:
        super().__init__(
            (input_size, hidden_size, num_layers),
            options,
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=dropout,
            bias=bias,
            dtype=dtype,
            seed=seed,
        )
