"""The vanilla recurrent network."""

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
    from fastrnn.layers.variants import RNNOptions

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
    nonlinearity : {"tanh", "relu"}
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
        If a size is less than 1, a probability out of range, or the nonlinearity unknown.
    TypeError
        If a size is no integer, or the dtype another.
    MemoryError
        If the parameters cannot be allocated; it says how many bytes.

    References
    ----------
    Elman (1990), "Finding Structure in Time".

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
        self.nonlinearity = as_nonlinearity(nonlinearity)
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
            variant={**variant, "candidate_activation": self.nonlinearity},
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
    ValueError
        If it is neither "tanh" nor "relu".
    """
    if name not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', got {name!r}")
    return name
