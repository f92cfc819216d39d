"""Recurrent layers without a recurrent product: minGRU and minLSTM."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fastrnn._arrays import Array
from fastrnn.layers.recurrent.layer import Recurrent

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Unpack

    from fastrnn._checks import Seed
    from fastrnn.layers.recurrent.options import SharedOptions

__all__ = ["MinGRU", "MinLSTM"]


class _Minimal(Recurrent[Array]):
    """The constructor of both."""

    _own: ClassVar = {"nonlinearity": "identity"}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "identity",
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
        **options: Unpack[SharedOptions],
    ) -> None:
        if nonlinearity not in ("identity", "positive"):
            raise ValueError(f"nonlinearity: expected 'identity' or 'positive', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(
            (input_size, hidden_size, num_layers),
            {**options, "nonlinearity": nonlinearity},
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=dropout,
            bias=bias,
            dtype=dtype,
            seed=seed,
        )


class MinGRU(_Minimal):
    """Stacked minimal gated recurrent units: gates and candidate read only the input.

    ::

        z = sigmoid(W_iz x + b_iz)
        n =         W_in x + b_in
        h = (1 - z) * h' + z * n

    where h' is the state before the step. There is no product with h', so all large products of a sequence
    run at once, and a step costs only a few operations per unit. A stream returns the same bits.

    The parameters are ``weight_ih_l0 [2*H, D]`` and ``bias_ih_l0 [2*H]``, with the rows in the order z, n;
    ``_l1``, ... and ``_reverse`` as for `LSTM`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, batch_first, dropout, bias, dtype, seed
        As for `LSTM`.
    nonlinearity : {"identity", "positive"}
        The activation of n. "positive" is the paper's g: ``x + 0.5`` where x >= 0, else ``sigmoid(x)``.
    **options
        layer_norm, zoneout (of h), recurrent_dropout, input_dropout, output_dropout, context_size, merge,
        reverse and learn_state, as for `LSTM`. layer_norm is of ``W_ih x``, with ``gain_ih_l0``: in a MinGRU
        of z and n each alone, as in a GRU, in a MinLSTM of f, i and n together, as in an LSTM.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As for `LSTM`.

    References
    ----------
    Feng, Tung, Ahmed, Bengio, Hajimirsadeghi (2024), "Were RNNs All We Needed?", sections 3.1 and B.2.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.MinGRU(3, 5, seed=0)
    >>> x = np.ones((4, 2, 3), np.float32)
    >>> y, h = rnn(x)
    >>> stream = rnn.stream(batch_size=2)
    >>> np.array_equal([stream.step(x_t) for x_t in x], y)
    True
    >>> sorted(rnn.parameters)
    ['bias_ih_l0', 'weight_ih_l0']
    """

    _cell = "mingru"


class MinLSTM(_Minimal):
    """Stacked minimal long short-term memory layers: gates and candidate read only the input.

    ::

        f = sigmoid(W_if x + b_if)
        i = sigmoid(W_ii x + b_ii)
        n =         W_in x + b_in
        h = f / (f + i) * h' + i / (f + i) * n

    where h' is the state before the step; see `MinGRU`. The fraction ``i / (f + i)`` is computed without
    dividing by f + i, so it is right even where both gates are too small for their dtype.

    The parameters are ``weight_ih_l0 [3*H, D]`` and ``bias_ih_l0 [3*H]``, with the rows in the order f, i, n.

    Parameters
    ----------
    input_size, hidden_size, num_layers, nonlinearity, bidirectional, batch_first, dropout, bias, dtype, seed
        As for `MinGRU`.
    **options
        As for `MinGRU`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As for `LSTM`.

    References
    ----------
    Feng, Tung, Ahmed, Bengio, Hajimirsadeghi (2024), "Were RNNs All We Needed?", sections 3.2 and B.2.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.MinLSTM(3, 5, num_layers=2, seed=0)
    >>> y, h, tape = rnn.forward(np.ones((4, 2, 3), np.float32))
    >>> f, i, n, share = tape.layers[0].gates.transpose(2, 0, 1, 3)
    >>> np.allclose(share, i / (f + i))
    True
    """

    _cell = "minlstm"
