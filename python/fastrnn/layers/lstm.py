"""Long short-term memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels
from fastrnn.layers.groups import Group
from fastrnn.layers.recurrent import Recurrent

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Unpack

    from fastrnn.layers.random import Seed
    from fastrnn.layers.variants import LSTMOptions

__all__ = ["LSTM"]


class LSTM(Recurrent[tuple[Array, Array]]):
    """Stacked long short-term memory layers, as ``torch.nn.LSTM``.

    ::

        i = sigmoid(W_ii x + b_ii + W_hi h' + b_hi)
        f = sigmoid(W_if x + b_if + W_hf h' + b_hf)
        g =    tanh(W_ig x + b_ig + W_hg h' + b_hg)
        o = sigmoid(W_io x + b_io + W_ho h' + b_ho)
        c = f * c' + i * g
        h = o * tanh(c)

    with h' and c' the state before the step.

    Parameters are ``weight_ih_l0 [4H, D]``, ``weight_hh_l0 [4H, H]``, ``bias_ih_l0`` and ``bias_hh_l0 [4H]``,
    the gates in the order i, f, g, o; ``_l1``, ... for the layers above, whose D is directions*H;
    ``_reverse`` behind the names of the reverse direction. They start uniform in ``[-1/sqrt(H), 1/sqrt(H))``.

    Parameters
    ----------
    input_size : int
        D, the width of the input, or the number of different ids.
    hidden_size : int
        H.
    num_layers : int, default 1
        L.
    bidirectional : bool, default False
        Each layer reads the sequence also from its end; y holds both directions side by side.
    batch_first : bool, default False
        x, y, reset and their gradients have the batch before the time. The state has not.
    dropout : float, default 0.0
        Probability in [0, 1) that an output of a layer is dropped on its way to the next layer; in `forward`
        only.
    bias : bool, default True
        Whether there are biases.
    dtype : {"float32", "float64"}
        Of parameters, inputs and outputs.
    seed : int or numpy.random.Generator, optional
        For the parameters, then for dropout. Without one they differ from time to time.

    Raises
    ------
    ValueError
        If a size is less than 1 or a probability out of range.
    TypeError
        If a size is no integer, or the dtype another.
    MemoryError
        If the parameters cannot be allocated; it says how many bytes.

    References
    ----------
    Hochreiter, Schmidhuber (1997), "Long Short-Term Memory". Gers, Schmidhuber, Cummins (2000), "Learning to
    Forget".

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.LSTM(3, 5, num_layers=2, seed=0)
    >>> x = np.ones((4, 2, 3), np.float32)
    >>> y, (h, c) = rnn(x)
    >>> y.shape, h.shape, c.shape
    ((4, 2, 5), (2, 2, 5), (2, 2, 5))

    Training: the loss here is the sum of y.

    >>> y, state, tape = rnn.forward(x)
    >>> dx, dstate = rnn.backward(tape, np.ones_like(y))
    >>> dx.shape, rnn.gradients["weight_hh_l1"].shape
    ((4, 2, 3), (20, 5))
    """

    _cell = "lstm"

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
        **variant: Unpack[LSTMOptions],
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bidirectional=bidirectional,
            batch_first=batch_first,
            dropout=dropout,
            bias=bias,
            dtype=dtype,
            seed=seed,
            variant=variant,
        )

    def _pack(self, group: Group) -> Any:
        return kernels.lstm_pack(*group)
