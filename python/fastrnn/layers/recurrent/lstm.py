"""Long short-term memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastrnn._arrays import Array
from fastrnn.layers.recurrent.layer import Recurrent

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Unpack

    from fastrnn._checks import Seed
    from fastrnn.layers.recurrent.options import LSTMOptions

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
    ``_reverse`` ends the names of the reverse direction. They start uniform in ``[-1/sqrt(H), 1/sqrt(H))``.

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
        For the parameters, then for dropout. Without one they differ each time.
    proj_size : int, default 0
        P < H: h is ``W_hr q``, [P], where q is what the equations give, through ``weight_hr_l0 [P, H]``.
    layer_norm : bool, default False
        Normalise ``W_ih x`` and ``W_hh h'`` over all gates, with ``gain_ih_l0`` and ``gain_hh_l0 [4H]``, and
        c before the output, with ``gain_c_l0`` and ``bias_c_l0 [H]``; the biases come after it.
    zoneout : float or (float, float), default 0
        Probability that a unit of h (and of c) keeps its value for a step; without training the expectation.
    recurrent_dropout : float, default 0
        Of the candidate g, anew at each step.
    input_dropout, state_dropout, output_dropout : float, default 0
        Of the units of x, of h' in the recurrent product and of y: the same ones at every step of a pass.
    weight_drop : float, default 0
        Of single weights of weight_hh, for a pass.
    skip : int, default 0
        d: adds ``W_skip h(t - d)``, with ``weight_skip_l0 [4H, P]``. The state then has a further array,
        past [L*directions, N, d, P]: the last d h's, oldest first.
    context_size : int, default 0
        C: adds ``W_context context`` at every step of the first layer, ``weight_context_l0 [4H, C]``.
    merge : {"concat", "sum", "mean"}
        What becomes of two directions' outputs.
    reverse : bool, default False
        The only direction runs from each row's end.
    learn_state : bool, default False
        The state before the first step, where none is given, is made of the parameters ``initial_h
        [L*directions, P]`` and ``initial_c``.
    peephole : bool, default False
        The gates also see c: i and f the one before the step, o the new one, unit by unit, through
        ``weight_peephole_l0 [3, H]`` in the order i, f, o.
    coupled : bool, default False
        f = 1 - i; there are three gates then, i, g, o (and two peepholes).
    relevance : bool, default False
        A fifth gate r, after o: ``g = tanh(W_ig x + b_ig + W_hg (r * h') + b_hg)``.
    cell_clip : float, optional
        c is kept in [-cell_clip, cell_clip].
    gate_activation, candidate_activation, output_activation : str, default "sigmoid", "tanh", "tanh"
        "sigmoid", "tanh", "relu", "identity", "hard_sigmoid" or "positive"; ``output_activation="identity"``
        is h = o * c.

    Raises
    ------
    ValueError
        If a size is less than 1, a probability out of range, or two options contradict each other.
    TypeError
        If a size is not an integer, the dtype is another, or an option is unknown.
    MemoryError
        If the parameters cannot be allocated; it says how many bytes.

    References
    ----------
    Hochreiter, Schmidhuber (1997), "Long Short-Term Memory". Gers, Schmidhuber, Cummins (2000), "Learning to
    Forget". Gers, Schmidhuber (2000), "Recurrent Nets that Time and Count" (peepholes). Greff et al. (2015),
    "LSTM: A Search Space Odyssey" (coupled gates). Sak, Senior, Beaufays (2014), "Long Short-Term Memory
    Based Recurrent Neural Network Architectures" (projection). Ba, Kiros, Hinton (2016), "Layer
    Normalization". Krueger et al. (2017), "Zoneout". Semeniuta, Severyn, Barth (2016), "Recurrent Dropout
    without Memory Loss". Gal, Ghahramani (2016), "A Theoretically Grounded Application of Dropout in
    Recurrent Neural Networks" (the same units at every step). Wan et al. (2013), "Regularization of Neural
    Networks using DropConnect". El Hihi, Bengio (1995), "Hierarchical Recurrent Neural Networks for
    Long-Term Dependencies" (skip).

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
        **options: Unpack[LSTMOptions],
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
