"""Gated recurrent units."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fastrnn._arrays import Array
from fastrnn._checks import as_flag
from fastrnn.layers.recurrent.layer import Recurrent

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Unpack

    from fastrnn._checks import Seed
    from fastrnn.layers.recurrent.options import GRUOptions

__all__ = ["GRU"]


class GRU(Recurrent[Array]):
    """Stacked gated recurrent units, as ``torch.nn.GRU``, or with the reset gate before the product.

    ::

        r = sigmoid(W_ir x + b_ir + W_hr h' + b_hr)
        z = sigmoid(W_iz x + b_iz + W_hz h' + b_hz)
        n =    tanh(W_in x + b_in + r * (W_hn h' + b_hn))       reset_after=True: PyTorch, cuDNN
        n =    tanh(W_in x + b_in + W_hn (r * h') + b_hn)       reset_after=False: Cho et al. 2014
        h = (1 - z) * n + z * h'

    where h' is the state before the step. z keeps the old state; where a text writes
    ``h = u * n + (1 - u) * h'``, its u is 1 - z.

    The parameters are ``weight_ih_l0 [3H, D]``, ``weight_hh_l0 [3H, H]``, ``bias_ih_l0`` and ``bias_hh_l0
    [3H]``, with the gates in the order r, z, n. Those of more layers and of a reverse direction, and their
    initial values, are as for `LSTM`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, batch_first, dropout, bias, dtype, precision, seed
        As for `LSTM`.
    reset_after : bool, default True
        Whether the reset gate is applied after the product with h' or before it.
    gate_activation, candidate_activation : str, default "sigmoid", "tanh"
        The activations of r and z, and of n: "sigmoid", "tanh", "relu", "identity", "hard_sigmoid" or
        "positive".
    **options
        proj_size, layer_norm, zoneout (of h), recurrent_dropout (of n), input_dropout, state_dropout,
        output_dropout, weight_drop, skip, context_size, merge, reverse and learn_state, as for `LSTM` with 3H
        in place of 4H: ``weight_hr_l0 [P, H]``, ``gain_ih_l0`` and ``gain_hh_l0 [3H]``, ``weight_skip_l0 [3H,
        P]``, ``weight_context_l0 [3H, C]`` and ``initial_h [L*directions, P]``. With proj_size the state is
        the pair (h, c), where c is the q that z keeps. With layer_norm, ``W_ih x`` and ``W_hh h'`` are each
        normalised over r and z together and over n alone (Ba et al. 2016, supplement, skip-thoughts).

    Raises
    ------
    ValueError, TypeError, MemoryError
        As for `LSTM`.

    References
    ----------
    Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
    Translation". For the papers of the options, see `LSTM`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.GRU(3, 5, bidirectional=True, seed=0)
    >>> y, h = rnn(np.ones((4, 2, 3), np.float32), lengths=[4, 2])
    >>> y.shape, h.shape
    ((4, 2, 10), (2, 2, 5))
    >>> float(abs(y[2:, 1]).max())
    0.0
    """

    _cell = "gru"
    _own: ClassVar = {"reset_after": True}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        reset_after: bool = True,
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        dtype: DTypeLike = "float32",
        precision: str = "float32",
        seed: Seed = None,
        **options: Unpack[GRUOptions],
    ) -> None:
        self.reset_after: bool = as_flag("reset_after", reset_after)
        super().__init__(
            (input_size, hidden_size, num_layers),
            {**options, "reset_after": self.reset_after},
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=dropout,
            bias=bias,
            dtype=dtype,
            precision=precision,
            seed=seed,
        )
