"""Array types and checks of the reference: no wrong shape may broadcast and no wrong dtype be promoted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Integers: TypeAlias = npt.NDArray[np.integer[Any]]
Booleans: TypeAlias = npt.NDArray[np.bool_]
#: weight_ih [G*H, D], weight_hh [G*H, H], bias_ih [G*H] or None, bias_hh [G*H] or None.
Weights: TypeAlias = tuple[Floats, Floats, Floats | None, Floats | None]
#: (h,) for the vanilla cell and the GRU, (h, c) for the LSTM; each [N, H].
State: TypeAlias = tuple[Floats, ...]


def is_ids(x: object) -> bool:
    """Return whether `x` holds token ids (integers) rather than features (floats)."""
    return isinstance(x, np.ndarray) and bool(np.issubdtype(x.dtype, np.integer))


def kind(x: object) -> object:
    """Return what a message calls `x`: the dtype of an array, the type of anything else."""
    return x.dtype if isinstance(x, np.ndarray) else type(x).__name__


def check_shape(name: str, array: npt.NDArray[Any], shape: Sequence[int | str]) -> None:
    """Raise ValueError unless `array` has `shape`; a letter stands for any size."""
    wanted = [n if isinstance(s, str) else s for s, n in zip(shape, array.shape, strict=False)]
    if len(array.shape) != len(shape) or list(array.shape) != wanted:
        expected = ", ".join(str(s) for s in shape)
        raise ValueError(f"{name}: expected [{expected}], got {list(array.shape)}")


def check_floats(
    name: str, array: Floats, shape: Sequence[int | str], dtype: np.dtype[Any] | None = None
) -> None:
    """Raise TypeError unless `array` is float32 or float64, or `dtype`; ValueError unless it has `shape`."""
    got = kind(array)
    if dtype is None and got not in (np.float32, np.float64):
        raise TypeError(f"{name}: expected float32 or float64, got {got}")
    if dtype is not None and got != dtype:
        raise TypeError(f"{name}: expected {dtype}, got {got}")
    check_shape(name, array, shape)


def check_ids(name: str, ids: Integers, count: int) -> None:
    """Raise unless `ids` are integers in 0 .. count - 1; NumPy would let a negative one wrap around."""
    if not is_ids(ids):
        raise TypeError(f"{name}: expected integers, got {kind(ids)}")
    if ids.size and not (ids.min() >= 0 and ids.max() < count):
        raise ValueError(f"{name}: expected ids in [0, {count}), got {ids.min()} to {ids.max()}")


def check_cell(x: npt.NDArray[Any], weights: Weights, gates: int, x_shape: Sequence[str]) -> None:
    """Check the weights of a cell with `gates` gates, and its input: [..., D] floats or [...] ids."""
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    check_floats("weight_hh", weight_hh, ("G*H", "H"))
    width, dtype = gates * weight_hh.shape[1], weight_hh.dtype
    check_shape("weight_hh", weight_hh, (width, "H"))
    check_floats("weight_ih", weight_ih, (width, "D"), dtype)
    for name, bias in (("bias_ih", bias_ih), ("bias_hh", bias_hh)):
        if bias is not None:
            check_floats(name, bias, (width,), dtype)
    if is_ids(x):
        check_shape("x", x, x_shape)
        check_ids("x", x, weight_ih.shape[1])
    else:
        check_floats("x", x, (*x_shape, weight_ih.shape[1]), dtype)


def check_state(name: str, state: State, like: State) -> None:
    """Check that `state` has as many arrays as `like`, with its shapes and dtypes."""
    if len(state) != len(like):
        raise ValueError(f"{name}: expected a tuple of {len(like)} arrays, got {len(state)}")
    for letter, array, example in zip("hc", state, like, strict=False):
        check_floats(f"{name}: {letter}", array, example.shape, example.dtype)
