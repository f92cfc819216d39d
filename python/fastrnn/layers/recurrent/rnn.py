"""The vanilla recurrent network."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fastrnn._arrays import Array
from fastrnn._checks import as_choice
from fastrnn.layers.recurrent.layer import Recurrent

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Unpack

    from fastrnn._checks import Seed
    from fastrnn.layers.recurrent.options import RNNOptions

__all__ = ["RNN", "as_nonlinearity"]


class RNN(Recurrent[Array]):
    """Stacked vanilla (Elman) recurrent layers, as ``torch.nn.RNN``.

    ::

        h = tanh(W_ih x + b_ih + W_hh h' + b_hh)        or relu

    where h' is the state before the step.

    The parameters are ``weight_ih_l0 [H, D]``, ``weight_hh_l0 [H, H]``, ``bias_ih_l0`` and ``bias_hh_l0
    [H]``. Those of more layers and of a reverse direction, and their initial values, are as for `LSTM`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bidirectional, batch_first, dropout, bias, dtype, precision, seed
        As for `LSTM`.
    nonlinearity : {"tanh", "relu", "sigmoid", "identity", "hard_sigmoid", "positive"}
        The first two are the plain cell; "identity" with a `leak` is a running average.
    leak : float, sequence of H floats, "learned" or "shared", optional
        a, the fraction of h' that is kept: ``h = a h' + (1 - a) tanh(...)``. One number for all units, or one
        for each. "learned": ``sigmoid(leak_l0)`` with ``leak_l0 [H]``; "shared": with ``leak_l0 [1]``, for
        all units.
    **options
        proj_size, zoneout (of h), recurrent_dropout (of the new value), input_dropout, state_dropout,
        output_dropout, weight_drop, skip, context_size, merge, reverse and learn_state, as for `LSTM` with H
        in place of 4H: ``weight_hr_l0 [P, H]``, ``weight_skip_l0 [H, P]``, ``weight_context_l0 [H, C]`` and
        ``initial_h [L*directions, P]``. layer_norm: all that is summed is normalised once, ``h = tanh(LN(W_ih
        x + W_hh h') * gain + b_ih + b_hh)`` with ``gain_l0 [H]`` (Ba et al. 2016, equation 4); a skip and a
        context are within the sum.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As for `LSTM`.

    References
    ----------
    Elman (1990), "Finding Structure in Time". Jaeger et al. (2007), "Optimization and Applications of Echo
    State Networks with Leaky-Integrator Neurons". For the other options, see `LSTM`.

    Examples
    --------
    Token ids stand for one-hot vectors, which are never built:

    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.RNN(4, 5, seed=0, dtype="float64")
    >>> ids = np.array([[0, 3], [1, 2]])
    >>> y, h = rnn(ids)
    >>> one_hot, _ = rnn(np.eye(4)[ids])
    >>> np.allclose(y, one_hot, rtol=0, atol=1e-15)
    True
    """

    _cell = "elman"
    _own: ClassVar = {"nonlinearity": "tanh"}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        bidirectional: bool = False,
        batch_first: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
        dtype: DTypeLike = "float32",
        precision: str = "float32",
        seed: Seed = None,
        **options: Unpack[RNNOptions],
    ) -> None:
        self.nonlinearity = nonlinearity
        super().__init__(
            (input_size, hidden_size, num_layers),
            {**options, "nonlinearity": self.nonlinearity},
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=dropout,
            bias=bias,
            dtype=dtype,
            precision=precision,
            seed=seed,
        )


def as_nonlinearity(name: str) -> str:
    """Check the name of a nonlinearity.

    Raises
    ------
    TypeError
        If it is not a str.
    ValueError
        If it is neither "tanh" nor "relu".
    """
    return as_choice("nonlinearity", name, ("tanh", "relu"))
