"""The linear layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from fastrnn._arrays import Array, as_dtype, as_floats
from fastrnn._checks import as_flag, as_generator, as_size
from fastrnn._dispatch import kernels
from fastrnn._other_words import answers_other_words
from fastrnn.layers.base.kept import Kept, frozen, kept
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.precision import Precision, as_precision, check_trainable
from fastrnn.layers.base.random import fill_uniform

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastrnn._checks import Seed

__all__ = ["Linear", "LinearTape"]


class LinearTape(Kept):
    """What ``forward`` of a `Linear` keeps for ``backward``.

    It cannot change. The weights are those of the forward pass, even if the parameters have changed since.

    Attributes
    ----------
    x : ndarray, float [..., K]
        The input, read-only: a copy if somebody could write to it.
    """

    x: Array

    __slots__ = ("_packed", "_precision", "x")

    def __init__(self, x: Array, packed: Any, precision: Precision = "float32") -> None:
        self.x, self._packed, self._precision = x, packed, precision

    def __repr__(self) -> str:
        return f"<LinearTape: x {list(self.x.shape)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.x, kernels.linear_weight(self._packed), self._precision)


def _restored(x: Array, weight: Array, precision: Precision = "float32") -> LinearTape:
    """Return a pickled tape."""
    return LinearTape(kept("x", x), kernels.linear_pack(weight, None, precision), precision)


class Linear(Module):
    """A linear map ``y = x W^T + b``, like ``torch.nn.Linear``.

    Parameters are ``weight [F, K]`` and ``bias [F]``, initially uniform in ``[-1/sqrt(K), 1/sqrt(K))``.

    Parameters
    ----------
    in_features : int
        K, the width of x.
    out_features : int
        F, the width of y.
    bias : bool, default True
        Whether there is a bias.
    dtype : {"float32", "float64"}
        Of parameters, inputs and outputs.
    precision : {"float32", "bfloat16"}
        Of the products, as for `LSTM`. For int8 write ``fr.quantize(layer, "int8")``.
    seed : int or numpy.random.Generator, optional
        Initialises the parameters.

    Raises
    ------
    ValueError
        If a size is less than 1, or the precision is not one of the two or contradicts the dtype.
    TypeError
        If a size is not an integer or the dtype is not supported.
    MemoryError
        If the parameters cannot be allocated; the message states the number of bytes.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> linear = fr.Linear(3, 2, seed=0)
    >>> linear.load_state_dict({"weight": [[1, 0, 0], [0, 2, 0]], "bias": [0, 1]})
    UnmatchedKeys(missing_keys=[], unexpected_keys=[])
    >>> x = np.ones((4, 3), np.float32)
    >>> y, tape = linear.forward(x)
    >>> y[0].tolist()
    [1.0, 3.0]
    >>> linear.backward(tape, np.ones_like(y))[0].tolist()
    [1.0, 2.0, 0.0]
    >>> linear.gradients["bias"]
    array([4., 4.], dtype=float32)

    In bfloat16 a factor has 8 bits: 257 is rounded to 256.

    >>> linear = fr.Linear(1, 1, bias=False, precision="bfloat16")
    >>> linear.load_state_dict({"weight": [[1]]})
    UnmatchedKeys(missing_keys=[], unexpected_keys=[])
    >>> linear(np.array([[257]], np.float32)).tolist()
    [[256.0]]
    """

    _has_precisions: ClassVar[bool] = True

    @answers_other_words
    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = "float32",
        precision: str = "float32",
        seed: Seed = None,
    ) -> None:
        self.in_features: int = as_size("in_features", in_features)
        self.out_features: int = as_size("out_features", out_features)
        shapes: dict[str, tuple[int, ...]] = {"weight": (self.out_features, self.in_features)}
        if as_flag("bias", bias):
            shapes["bias"] = (self.out_features,)
        super().__init__(shapes, as_dtype(dtype))
        self._precision = self._checked_precision(precision)
        fill_uniform(self.parameters._writable_flat(), self.in_features**-0.5, as_generator(seed))
        self._packed: tuple[float, Any] = (-1, None)

    def _checked_precision(self, precision: Any) -> Precision:
        checked = as_precision(precision, self.dtype)
        if checked != "float32" and not self._has_precisions:
            kind = type(self).__name__
            raise ValueError(f"precision: expected 'float32' in a {kind}, got {checked!r}")
        return checked

    def _set_precision(self, precision: Precision) -> None:
        if self._has_precisions:
            self._precision = precision
            self.parameters._buffer.touch()  # the weights are packed again

    def __call__(self, x: Any) -> Array:
        """Map x.

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
        return self._map(as_floats("x", x, self.dtype, ("...", self.in_features)), self._packed_weights())

    def forward(self, x: Any) -> tuple[Array, LinearTape]:
        """Map x and keep what `backward` needs.

        Parameters
        ----------
        x : array_like, float [..., K]

        Returns
        -------
        y : ndarray, float [..., F]
            Read-only.
        tape : LinearTape

        Raises
        ------
        ValueError, TypeError
            As for a call.
        """
        check_trainable(self)
        x = kept("x", as_floats("x", x, self.dtype, ("...", self.in_features)))
        packed = self._packed_weights()
        return frozen(self._map(x, packed)), LinearTape(x, packed, self._precision)

    def _map(self, x: Array, packed: Any) -> Array:
        shape = (*x.shape[:-1], self.out_features)
        y: Array = kernels.linear_forward(packed, x.reshape(math.prod(shape[:-1]), self.in_features))
        return y if len(shape) == 2 else y.reshape(shape)

    @overload
    def backward(self, tape: LinearTape, dy: Any, *, need_dx: Literal[True] = True) -> Array: ...

    @overload
    def backward(self, tape: LinearTape, dy: Any, *, need_dx: Literal[False]) -> None: ...

    @overload
    def backward(self, tape: LinearTape, dy: Any, *, need_dx: bool) -> Array | None: ...

    def backward(self, tape: LinearTape, dy: Any, *, need_dx: bool = True) -> Array | None:
        """Add to `gradients` and return the gradient with respect to x.

        Parameters
        ----------
        tape : LinearTape
            From `forward`.
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
            If the shapes of dy and y differ.
        TypeError
            If dy has another dtype, or the tape is not a LinearTape.
        """
        if not isinstance(tape, LinearTape):
            raise TypeError(f"tape: expected the LinearTape that forward returned, got {type(tape).__name__}")
        x, packed = tape.x, tape._packed
        dy = as_floats("dy", dy, self.dtype, (*x.shape[:-1], self.out_features))
        version, current = self._packed
        same = packed is current and version == self.parameters.version
        rows = math.prod(x.shape[:-1])
        dx = kernels.linear_backward(
            x.reshape(rows, self.in_features),
            self.parameters["weight"] if same else kernels.linear_weight(packed),
            dy.reshape(rows, self.out_features),
            self.gradients["weight"],
            self.gradients.get("bias"),
            need_dx,
            tape._precision,
        )
        return None if dx is None else dx.reshape(x.shape)

    def _packed_weights(self) -> Any:
        """Return the packed weights, repacked if the parameters' version has changed."""
        version, packed = self._packed
        current = self.parameters.version
        if version != current:
            own = self.parameters
            packed = kernels.linear_pack(own["weight"], own.get("bias"), self._precision)
            self._packed = (current, packed)
        return packed

    def _quantizable(self) -> tuple[str, ...]:
        return () if self.precision == "float32" else ("weight",)

    def _bind(self, buffer: Any, start: int) -> None:
        super()._bind(buffer, start)
        self._packed = (-1, None)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_packed": (-1, None)}

    def __repr__(self) -> str:
        options = "" if "bias" in self.parameters else ", bias=False"
        options += "" if self.dtype.name == "float32" else f", dtype={self.dtype.name!r}"
        options += "" if self.precision == "float32" else f", precision={self.precision!r}"
        return f"{type(self).__name__}({self.in_features}, {self.out_features}{options})"
