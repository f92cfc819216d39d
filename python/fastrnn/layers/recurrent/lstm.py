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

    where h' and c' are the state before the step.

    The parameters are ``weight_ih_l0 [4H, D]``, ``weight_hh_l0 [4H, H]``, ``bias_ih_l0`` and ``bias_hh_l0
    [4H]``, with the gates in the order i, f, g, o. In the layers above, names end in ``_l1``, ..., and D is
    the width of y; in a reverse direction, names end in ``_reverse``. Initial values are uniform in
    ``[-1/sqrt(H), 1/sqrt(H))``.

    Parameters
    ----------
    input_size : int
        D, the width of the input or the number of different ids.
    hidden_size : int
        H.
    num_layers : int, default 1
        L.
    bidirectional : bool, default False
        Whether each layer also has a reverse direction; `merge` says how y combines both.
    batch_first : bool, default False
        Whether x, y, reset and their gradients have the axes [N, T, ...]. The state keeps its axes.
    dropout : float, default 0.0
        Probability, in [0, 1), of dropping an output of a layer before the next layer reads it; in `forward`
        only.
    bias : bool, default True
        Whether there are biases.
    dtype : {"float32", "float64"}
        The dtype of parameters, inputs and outputs.
    precision : {"float32", "bfloat16"}
        The precision of products, forward and backward, for dtype float32; not with options (from `proj_size`
        on, except merge, reverse and learn_state). "bfloat16": both factors are rounded to bfloat16, their
        products are summed in float32; see Notes. For int8 write ``fr.quantize(layer, "int8")``.
    seed : int or numpy.random.Generator, optional
        Draws the initial parameters, then the dropout masks. Without a seed they differ each time.
    proj_size : int, default 0
        P, less than H: projects the h of the equations, called q, to ``h = W_hr q`` [P] with ``weight_hr_l0
        [P, H]``. 0: no projection, P is H.
    layer_norm : bool, default False
        Normalises ``W_ih x`` and ``W_hh h'``, each over all gates, with ``gain_ih_l0`` and ``gain_hh_l0
        [4H]``, and c before the output, with ``gain_c_l0`` and ``bias_c_l0 [H]``; ``LN(v) = (v - mean(v)) /
        sqrt(var(v) + 1e-5)``. The other biases and a context are added after normalisation. With `skip`,
        ``W_hh h' + W_skip h(t - d)`` is normalised as one; with `relevance`, the rows of g are normalised
        alone in both products, as a GRU's candidate is.
    zoneout : float or (float, float), default 0
        Probability that a unit of h, or one for h and one for c, keeps its value at a step. Outside training
        the unit takes the expected value.
    recurrent_dropout : float, default 0
        Probability of dropping a unit of the candidate g; a new mask for each step.
    input_dropout, state_dropout, output_dropout : float, default 0
        Probability of dropping a unit of x, of h' in the recurrent product, and of y; one mask for all steps
        of a pass.
    weight_drop : float, default 0
        Probability of dropping a single weight of weight_hh; one mask for each pass.
    skip : int, default 0
        d: adds ``W_skip h(t - d)`` to the sums of the gates, with ``weight_skip_l0 [4H, P]``. The state then
        has one more array, past [L*directions, N, d, P]: the last d values of h, oldest first.
    context_size : int, default 0
        C: adds ``W_context context`` to the sums of the first layer's gates at every step, with
        ``weight_context_l0 [4H, C]``.
    merge : {"concat", "sum", "mean"}
        How the outputs of two directions are combined.
    reverse : bool, default False
        Whether the only direction is a reverse one: from the end of each row to its start.
    learn_state : bool, default False
        Whether the initial state, used where no state is passed, is learned: ``initial_h [L*directions, P]``,
        ``initial_c [L*directions, H]`` and, with `skip`, ``initial_past [L*directions, d, P]``.
    peephole : bool or {"gers", "previous"}, default False
        Whether the gates also read c, unit by unit. "gers" (or True): i and f the c before the step, o the
        new c (Gers and Schmidhuber). "previous": all three the c before the step, as course notes write it.
        The weights are ``weight_peephole_l0 [3, H]``, in the order i, f, o.
    coupled : bool, default False
        Whether f is 1 - i. The gates are then i, g, o, and there are two peepholes, i, o.
    relevance : bool, default False
        Adds a gate r, after o: ``g = tanh(W_ig x + b_ig + W_hg (r * h') + b_hg)``.
    cell_clip : float, optional
        Clips c to [-cell_clip, cell_clip].
    gate_activation, candidate_activation, output_activation : str, default "sigmoid", "tanh", "tanh"
        The activations of the gates, of g and of c in the output: "sigmoid", "tanh", "relu", "identity",
        "hard_sigmoid" or "positive". With ``output_activation="identity"``, h is o * c.

    Raises
    ------
    ValueError
        If a size is less than 1, a probability is out of range, or two options contradict each other.
    TypeError
        If a size is not an integer, the dtype is not one of the two, or an option is unknown.
    MemoryError
        If the parameters cannot be allocated; the message names the number of bytes.

    Notes
    -----
    In bfloat16, float32 stay: the parameters that the optimiser changes (steps may be smaller than the gap
    between two bfloat16), the state, activations, biases, sums and gradients. An x of ids is looked up in
    weight_ih as rounded. bfloat16 has float32's exponent, so small gradients do not vanish, and no loss
    scaling is needed as in float16.

    References
    ----------
    Hochreiter, Schmidhuber (1997), "Long Short-Term Memory". Gers, Schmidhuber, Cummins (2000), "Learning to
    Forget". Gers, Schmidhuber (2000), "Recurrent Nets that Time and Count" (peepholes). Greff et al. (2015),
    "LSTM: A Search Space Odyssey" (coupled gates). Sak, Senior, Beaufays (2014), "Long Short-Term Memory
    Based Recurrent Neural Network Architectures" (projection). Ba, Kiros, Hinton (2016), "Layer
    Normalization". Krueger et al. (2017), "Zoneout". Semeniuta, Severyn, Barth (2016), "Recurrent Dropout
    without Memory Loss". Gal, Ghahramani (2016), "A Theoretically Grounded Application of Dropout in
    Recurrent Neural Networks" (one mask for all steps). Wan et al. (2013), "Regularization of Neural
    Networks using DropConnect". El Hihi, Bengio (1995), "Hierarchical Recurrent Neural Networks for
    Long-Term Dependencies" (skip). Kalamkar et al. (2019), "A Study of BFLOAT16 for Deep Learning Training".
    Micikevicius et al. (2018), "Mixed Precision Training" (float32 parameters).

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.LSTM(3, 5, num_layers=2, seed=0)
    >>> x = np.ones((4, 2, 3), np.float32)
    >>> y, (h, c) = rnn(x)
    >>> y.shape, h.shape, c.shape
    ((4, 2, 5), (2, 2, 5), (2, 2, 5))

    Train; the loss here is the sum of y:

    >>> y, state, tape = rnn.forward(x)
    >>> dx, dstate = rnn.backward(tape, np.ones_like(y))
    >>> dx.shape, rnn.gradients["weight_hh_l1"].shape
    ((4, 2, 3), (20, 5))

    In bfloat16, with results and gradients in float32:

    >>> rnn = fr.LSTM(3, 5, precision="bfloat16", seed=0)
    >>> y, state, tape = rnn.forward(x)
    >>> dx, dstate = rnn.backward(tape, np.ones_like(y))
    >>> y.dtype.name, rnn.gradients["weight_hh_l0"].dtype.name, rnn
    ('float32', 'float32', LSTM(3, 5, precision='bfloat16'))
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
        precision: str = "float32",
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
            precision=precision,
            seed=seed,
        )
