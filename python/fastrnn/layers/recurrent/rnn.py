"""The vanilla recurrent network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastrnn._arrays import Array
from fastrnn._checks import as_choice
from fastrnn._dispatch import kernels
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.recurrent.shapes import Group

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

    with h' the state before the step.

    Parameters are ``weight_ih_l0 [H, D]``, ``weight_hh_l0 [H, H]``, ``bias_ih_l0`` and ``bias_hh_l0 [H]``;
    ``_l1``, ... for the layers above, whose D is directions*H; ``_reverse`` behind the names of the reverse
    direction. They start uniform in ``[-1/sqrt(H), 1/sqrt(H))``.

    Parameters
    ----------
    input_size : int
        D, the width of the input, or the number of different ids.
    hidden_size : int
        H.
    num_layers : int, default 1
        L.
    nonlinearity : {"tanh", "relu", "sigmoid", "identity", "hard_sigmoid", "positive"}
        The first two are the plain cell; "identity" with a `leak` is a running average.
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
        P < H: h is ``W_hr q``, [P], where q is what the equations give, through ``weight_hr_l0 [P, H]``.
    layer_norm : bool, default False
        Normalise ``W_ih x`` and ``W_hh h'`` over all gates, with ``gain_ih_l0`` and ``gain_hh_l0 [H]``;
        the biases come behind.
    zoneout : float, default 0
        Probability that a unit of h keeps its value for a step; without training the expectation.
    recurrent_dropout : float, default 0
        Of the new value, anew at each step.
    input_dropout, state_dropout, output_dropout : float, default 0
        Of the units of x, of h' in the recurrent product and of y: the same ones at every step of a pass.
    weight_drop : float, default 0
        Of single weights of weight_hh, for a pass.
    skip : int, default 0
        d: adds ``W_skip h(t - d)``, with ``weight_skip_l0 [H, P]``. The state then has a further array,
        past [L*directions, N, d, P]: the last d h's, oldest first.
    context_size : int, default 0
        C: adds ``W_context context`` at every step of the first layer, ``weight_context_l0 [H, C]``.
    merge : {"concat", "sum", "mean"}
        What becomes of two directions' outputs.
    reverse : bool, default False
        The only direction runs from each row's end.
    learn_state : bool, default False
        The state before the first step, where none is given, is a parameter: ``initial_h [L*directions, P]``.
    leak : float, sequence of H floats, "learned" or "shared", optional
        a, the share of h' that stays: ``h = a h' + (1 - a) tanh(...)``, one for all units or one for each.
        "learned": ``sigmoid(leak_l0)``, [H]; "shared": the same of one number, [1], for all units.

    Raises
    ------
    ValueError
        If a size is less than 1, a probability out of range, the nonlinearity unknown, or two options
        contradict each other.
    TypeError
        If a size is no integer, the dtype another, or an option unknown.
    MemoryError
        If the parameters cannot be allocated; it says how many bytes.

    References
    ----------
    Elman (1990), "Finding Structure in Time". Jaeger et al. (2007), "Optimization and Applications of Echo
    State Networks with Leaky-Integrator Neurons". The other options' papers: see `LSTM`.

    Examples
    --------
    Token ids stand for one-hot vectors, which never exist:

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
        seed: Seed = None,
        **variant: Unpack[RNNOptions],
    ) -> None:
        self.nonlinearity = nonlinearity
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
            variant={**variant, "nonlinearity": self.nonlinearity},
        )

    def _options(self) -> list[tuple[str, Any, Any]]:
        return [*super()._options(), ("nonlinearity", self.nonlinearity, "tanh")]

    def _pack(self, group: Group) -> Any:
        weight_ih, weight_hh, bias_ih, bias_hh = group
        return kernels.elman_pack(weight_ih, weight_hh, bias_ih, bias_hh, self.nonlinearity)


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
