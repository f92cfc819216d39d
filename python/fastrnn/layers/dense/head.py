"""An output network: linear layers with activations between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastrnn._arrays import Array, as_dtype
from fastrnn._checks import as_choice, as_generator, as_probability, as_size
from fastrnn._dispatch import kernels
from fastrnn._memory import check_memory
from fastrnn.layers.base.dropout import dropout_mask, token_mask
from fastrnn.layers.base.kept import Kept, frozen
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.dense.linear import Linear, LinearTape

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from fastrnn._checks import Seed

__all__ = ["ACTIVATIONS", "Head", "HeadTape", "as_sizes"]

ACTIVATIONS = ("tanh", "relu")


class HeadTape(Kept):
    """What ``forward`` of a `Head` keeps for ``backward``; it cannot change.

    Attributes
    ----------
    inputs : tuple of ndarray, float [..., width]
        Input of each linear layer, after dropout.
    activations : tuple of ndarray, float [..., width]
        Output of each activation, before dropout.
    dropout : tuple of (ndarray or None)
        Mask applied to each activation.
    """

    activations: tuple[Array, ...]
    dropout: tuple[Array | None, ...]

    __slots__ = ("_head", "_linear", "activations", "dropout", "inputs")

    def __init__(
        self, head: Head, linear: list[LinearTape], activations: list[Array], dropout: list[Array | None]
    ) -> None:
        self._head, self._linear = head, tuple(linear)
        self.inputs: tuple[Array, ...] = tuple(tape.x for tape in linear)
        self.activations, self.dropout = tuple(activations), tuple(dropout)

    def __repr__(self) -> str:
        return f"<HeadTape of {self._head!r}: x {list(self.inputs[0].shape)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return HeadTape, (self._head, list(self._linear), list(self.activations), list(self.dropout))


class Head(ModuleGroup):
    """A deep output: linear layers with an activation and dropout between them.

    ::

        a = x
        a = tanh(a W_i^T + b_i)     for each hidden layer i
        y = a W^T + b

    Parameters are ``hidden0.weight [F, K]``, ``hidden0.bias [F]``, ``hidden1.weight``, ... and
    ``output.weight``, ``output.bias``, as in `Linear`.

    Parameters
    ----------
    in_features : int
        K, the width of x.
    hidden_sizes : sequence of int
        Widths of the hidden layers, lowest first; if empty, the head is a `Linear`.
    out_features : int
        F, the width of y.
    activation : {"tanh", "relu"}
    dropout : float, default 0.0
        Probability in [0, 1) that a hidden unit is dropped, in `forward` only.
    bias : bool, default True
        Whether the layers have biases.
    dtype : {"float32", "float64"}
        Of parameters, inputs and outputs.
    precision : {"float32", "bfloat16"}
        Of the products of all its layers, as for `Linear`.
    seed : int or numpy.random.Generator, optional
        Initialises the parameters, then drives dropout.

    Attributes
    ----------
    hidden : tuple of Linear
        Also ``hidden0``, ``hidden1``, ...
    output : Linear
    rng : numpy.random.Generator
        Draws the dropout masks; its state is needed to resume a training run.

    Raises
    ------
    ValueError
        If a size is less than 1, the activation or the precision is unknown or the probability is out of
        range.
    TypeError
        If a size is not an integer, `hidden_sizes` is not a sequence, or the dtype is not supported.

    References
    ----------
    Pascanu, Gulcehre, Cho, Bengio (2014), "How to Construct Deep Recurrent Neural Networks", section 3.2, the
    deep hidden-to-output function.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> head = fr.Head(8, [16, 16], 3, activation="relu", seed=0)
    >>> x = np.ones((5, 2, 8), np.float32)
    >>> y, tape = head.forward(x)
    >>> y.shape, head.backward(tape, np.ones_like(y)).shape
    ((5, 2, 3), (5, 2, 8))
    >>> head.gradients["hidden1.weight"].shape, head.gradients["output.bias"].tolist()
    ((16, 16), [10.0, 10.0, 10.0])
    """

    output: Linear

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int],
        out_features: int,
        *,
        activation: str = "tanh",
        dropout: float = 0.0,
        bias: bool = True,
        dtype: DTypeLike = "float32",
        precision: str = "float32",
        seed: Seed = None,
    ) -> None:
        self.activation: str = as_choice("activation", activation, ACTIVATIONS)
        self.dropout: float = as_probability("dropout", dropout)
        self.rng: np.random.Generator = as_generator(seed)
        sizes = [as_size("in_features", in_features), *as_sizes(hidden_sizes)]
        widths = [*sizes, as_size("out_features", out_features)]
        shapes = {f"weight of layer {i}": (F, K) for i, (K, F) in enumerate(pairwise(widths))}
        check_memory("parameters", shapes, as_dtype(dtype))
        same: Any = {"dtype": dtype, "precision": precision, "seed": self.rng}
        hidden = [Linear(K, F, bias, **same) for K, F in pairwise(sizes)]
        output = Linear(sizes[-1], out_features, bias, **same)
        super().__init__(**{f"hidden{i}": linear for i, linear in enumerate(hidden)}, output=output)
        self.hidden: tuple[Linear, ...] = tuple(hidden)

    def __call__(self, x: Any) -> Array:
        """Map x without dropout; nothing is kept.

        Parameters
        ----------
        x : array_like, float [..., K]

        Returns
        -------
        y : ndarray, float [..., F]

        Raises
        ------
        ValueError
            If x has another width.
        TypeError
            If x has another dtype.
        """
        for linear in self.hidden:
            x = self._activate(linear(x))
        return self.output(x)

    def forward(self, x: Any) -> tuple[Array, HeadTape]:
        """Map x in training: apply dropout and keep what `backward` needs.

        Parameters
        ----------
        x : array_like, float [..., K]

        Returns
        -------
        y : ndarray, float [..., F]
            Read-only.
        tape : HeadTape

        Raises
        ------
        ValueError, TypeError
            As for a call.
        """
        return self._forward(x, None)

    def _forward(self, x: Any, counted: NDArray[np.bool_] | None) -> tuple[Array, HeadTape]:
        """Do so for x [M, K] of the counted tokens of a batch, bool [T, N]; None: x has axes of its own."""
        tapes: list[LinearTape] = []
        activations: list[Array] = []
        masks: list[Array | None] = []
        for linear in self.hidden:
            z, tape = linear.forward(x)
            a = frozen(self._activate(z))
            how = self.dropout, self.dtype, self.rng
            mask = dropout_mask(a.shape, *how) if counted is None else token_mask(counted, a.shape[1], *how)
            x = a if mask is None else frozen(a * mask)
            tapes.append(tape)
            activations.append(a)
            masks.append(None if mask is None else frozen(mask))
        y, tape = self.output.forward(x)
        return y, HeadTape(self, [*tapes, tape], activations, masks)

    @overload
    def backward(self, tape: HeadTape, dy: Any, *, need_dx: Literal[True] = True) -> Array: ...

    @overload
    def backward(self, tape: HeadTape, dy: Any, *, need_dx: Literal[False]) -> None: ...

    @overload
    def backward(self, tape: HeadTape, dy: Any, *, need_dx: bool) -> Array | None: ...

    def backward(self, tape: HeadTape, dy: Any, *, need_dx: bool = True) -> Array | None:
        """Add to `gradients` and return the gradient with respect to x.

        Parameters
        ----------
        tape : HeadTape
            From `forward`; it is not changed.
        dy : array_like, float [..., F]
            Gradient of the loss with respect to y.
        need_dx : bool, default True
            False skips the computation of dx.

        Returns
        -------
        dx : ndarray, float [..., K], or None
            None if `need_dx` is false.

        Raises
        ------
        ValueError
            If the tape is another head's, or the shapes of dy and y differ.
        TypeError
            If dy has another dtype.
        """
        if not isinstance(tape, HeadTape):
            raise TypeError(f"tape: expected the HeadTape that forward returned, got {type(tape).__name__}")
        if tape._head is not self and tape._head._identity != self._identity:
            raise ValueError("tape: expected one of this head, got another head's")
        da = self.output.backward(tape._linear[-1], dy, need_dx=need_dx or bool(self.hidden))
        for index in range(len(self.hidden) - 1, -1, -1):
            assert da is not None
            a, mask = tape.activations[index], tape.dropout[index]
            da = da if mask is None else da * mask
            dz = da * (1 - a * a) if self.activation == "tanh" else da * (a > 0)
            da = self.hidden[index].backward(tape._linear[index], dz, need_dx=need_dx or index > 0)
        return da

    @property
    def description(self) -> dict[str, Any]:
        """The arguments that make such a head, but for dtype, precision and seed: plain values for JSON."""
        first = self.hidden[0] if self.hidden else self.output
        return {
            "in_features": first.in_features,
            "hidden_sizes": [linear.out_features for linear in self.hidden],
            "out_features": self.output.out_features,
            "activation": self.activation,
            "dropout": self.dropout,
            "bias": "bias" in self.output.parameters,
        }

    def _activate(self, z: Array) -> Array:
        activated: Array = kernels.tanh(z) if self.activation == "tanh" else np.maximum(z, 0)
        return activated

    def __repr__(self) -> str:
        own = self.description
        options = [
            ("activation", own["activation"], "tanh"),
            ("dropout", own["dropout"], 0.0),
            ("bias", own["bias"], True),
            ("dtype", self.dtype.name, "float32"),
            ("precision", self.precision, "float32"),
        ]
        given = [f"{own['in_features']}, {own['hidden_sizes']}, {own['out_features']}"]
        given += [f"{name}={value!r}" for name, value, usual in options if value != usual]
        return f"Head({', '.join(given)})"


def as_sizes(hidden_sizes: Any) -> list[int]:
    """Check the widths of hidden layers."""
    try:
        given = list(hidden_sizes)
    except TypeError:
        raise TypeError(
            f"hidden_sizes: expected a sequence of integers, got {type(hidden_sizes).__name__}"
        ) from None
    return [as_size(f"hidden_sizes[{index}]", size) for index, size in enumerate(given)]
