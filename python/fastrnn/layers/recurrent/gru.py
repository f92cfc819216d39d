"""Gated recurrent units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._checks import as_flag
from fastrnn._dispatch import kernels
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.recurrent.shapes import Group

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

    with h' the state before the step. z keeps the old state; where a text writes
    ``h = u * n + (1 - u) * h'``, its u is 1 - z.

    Parameters are ``weight_ih_l0 [3H, D]``, ``weight_hh_l0 [3H, H]``, ``bias_ih_l0`` and ``bias_hh_l0 [3H]``,
    the gates in the order r, z, n; ``_l1``, ... for the layers above, whose D is directions*H; ``_reverse``
    behind the names of the reverse direction. They start uniform in ``[-1/sqrt(H), 1/sqrt(H))``.

    Parameters
    ----------
    input_size : int
        D, the width of the input, or the number of different ids.
    hidden_size : int
        H.
    num_layers : int, default 1
        L.
    reset_after : bool, default True
        Whether the reset gate works after the product with h' or before it.
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
    proj_size : int, default 0
        P < H: h is ``W_hr q``, [P], where q is what the equations give, through ``weight_hr_l0 [P, H]``. The
        state is then the pair (h, c), c the q that z keeps.
    layer_norm : bool, default False
        Normalise ``W_ih x`` and ``W_hh h'`` over all gates, with ``gain_ih_l0`` and ``gain_hh_l0 [3H]``;
        the biases come behind.
    zoneout : float, default 0
        Probability that a unit of h keeps its value for a step; without training the expectation.
    recurrent_dropout : float, default 0
        Of n, anew at each step.
    input_dropout, state_dropout, output_dropout : float, default 0
        Of the units of x, of h' in the recurrent product and of y: the same ones at every step of a pass.
    weight_drop : float, default 0
        Of single weights of weight_hh, for a pass.
    skip : int, default 0
        d: adds ``W_skip h(t - d)``, with ``weight_skip_l0 [3H, P]``. The state then has a further array,
        past [L*directions, N, d, P]: the last d h's, oldest first.
    context_size : int, default 0
        C: adds ``W_context context`` at every step of the first layer, ``weight_context_l0 [3H, C]``.
    merge : {"concat", "sum", "mean"}
        What becomes of two directions' outputs.
    reverse : bool, default False
        The only direction runs from each row's end.
    learn_state : bool, default False
        The state before the first step, where none is given, is a parameter: ``initial_h [L*directions, P]``.
    gate_activation, candidate_activation : str, default "sigmoid", "tanh"
        "sigmoid", "tanh", "relu", "identity", "hard_sigmoid" or "positive".

    Raises
    ------
    ValueError
        If a size is less than 1, a probability out of range, or two options contradict each other.
    TypeError
        If a size is no integer, the dtype another, or an option unknown.
    MemoryError
        If the parameters cannot be allocated; it says how many bytes.

    References
    ----------
    Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
    Translation". The options' papers: see `LSTM`.

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
        seed: Seed = None,
        **variant: Unpack[GRUOptions],
    ) -> None:
        self.reset_after = as_flag("reset_after", reset_after)
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
            variant={**variant, "reset_after": self.reset_after},
        )

    def _options(self) -> list[tuple[str, Any, Any]]:
        return [*super()._options(), ("reset_after", self.reset_after, True)]

    def _fold_biases(self, bias_ih: Array | None, bias_hh: Array | None) -> tuple[Array | None, Array | None]:
        if bias_ih is None or bias_hh is None or not self.reset_after:
            return super()._fold_biases(bias_ih, bias_hh)
        # b_hn stands behind r.
        folded, rest, candidate = bias_ih.copy(), np.zeros_like(bias_hh), 2 * self.hidden_size
        folded[:candidate] += bias_hh[:candidate]
        rest[candidate:] = bias_hh[candidate:]
        return folded, rest

    def _pack(self, group: Group) -> Any:
        weight_ih, weight_hh, bias_ih, bias_hh = group
        return kernels.gru_pack(weight_ih, weight_hh, bias_ih, bias_hh, self.reset_after)
