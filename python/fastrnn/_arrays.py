"""Arrays that come from users: checked once, here, and never converted in silence.

Taken are NumPy arrays and whatever lies on the CPU and has ``__array__``, ``__dlpack__`` or a buffer (see
`fastrnn._foreign`), of exactly the dtype that is expected. Python lists and tuples of numbers have no dtype
and take the one expected. Ids and lengths may be of any integer dtype. A PyTorch tensor that requires its
gradient is read as detached. A masked array is refused, as its mask would be lost, and so is a column with
missing values. A message names the argument, what was expected and what came: ``x: expected [T, N, 128], got
[50, 32, 64]``.

Floats that are C-contiguous are read where they lie, whoever made them: NumPy arrays, PyTorch and JAX arrays,
pandas and polars columns, buffers. Copied are floats in another order of memory (Fortran's, with a stride or
a negative one, misaligned; tables of pandas and polars are stored by columns), ids, lengths and masks, and
what a training pass keeps for its backward pass, unless nobody can write to it.

Copies made here are read-only, so that no training pass needs to copy them again.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn._foreign import is_foreign, of_others, read_foreign
from fastrnn._memory import FEWER_TOKENS, named_memory, out_of_memory

__all__ = [
    "FLOAT_DTYPES",
    "NO_TARGET",
    "Array",
    "Ids",
    "Pattern",
    "as_array",
    "as_dtype",
    "as_floats",
    "as_ids",
    "as_lengths",
    "as_mask",
    "narrow_bfloat16",
    "widen_bfloat16",
]

Array: TypeAlias = NDArray[Any]
Ids: TypeAlias = NDArray[np.int64]
# Sizes that are fixed and letters for those that are not; "..." in front stands for any number of axes.
Pattern: TypeAlias = tuple[int | str, ...]

FLOAT_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
_INT64 = np.dtype(np.int64)

NO_TARGET = -1  # a target that is not counted
_CACHED = 1 << 16  # numbers whose passes one after the other stay in a second-level cache


def as_floats(name: str, value: Any, dtype: np.dtype[Any], pattern: Pattern) -> Array:
    """Check an array of floats.

    Parameters
    ----------
    name : str
        How messages call it.
    value : array_like
    dtype : numpy.dtype
        float32 or float64; numbers without a dtype take it.
    pattern : tuple of int and str
        Its shape.

    Returns
    -------
    array : ndarray of `dtype`, C-contiguous
        The value itself where it already is one.

    Raises
    ------
    TypeError
        If it is no array or of another dtype.
    ValueError
        If it has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> as_floats("x", [[1, 2, 3]], np.dtype("float32"), ("N", 3))
    array([[1., 2., 3.]], dtype=float32)
    >>> as_floats("x", np.zeros((2, 4)), np.dtype("float64"), ("N", 3))
    Traceback (most recent call last):
    ValueError: x: expected [N, 3], got [2, 4]
    """
    array = as_array(name, value, dtype)
    if array.dtype != dtype:
        raise TypeError(
            f"{name}: expected {dtype}, got {array.dtype}{_conversion(name, value, array, dtype)}"
        )
    check_shape(name, array, pattern)
    return contiguous(name, array)


def as_ids(name: str, value: Any, pattern: Pattern) -> Ids:
    """Check an array of integers; return a copy in int64.

    Always a copy, as of masks: they choose rows and steps while other threads may write to the original.

    Raises
    ------
    TypeError
        If it is no array of integers; bool is none.
    ValueError
        If it has another shape, or a number too large for int64.
    """
    array = as_array(name, value, _INT64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integers, got {array.dtype}")
    check_shape(name, array, pattern)
    own = copied(name, array)
    if own.dtype == _INT64:
        return own
    if own.dtype.kind == "u" and own.size and own.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name}: {own.max()} is out of range")
    with named_memory(name, FEWER_TOKENS):
        own = own.astype(_INT64)
    own.flags.writeable = False
    return own


def as_mask(name: str, value: Any, pattern: Pattern) -> NDArray[np.bool_]:
    """Check an array of bool; return a copy.

    Raises
    ------
    TypeError
        If it is no array of bool.
    ValueError
        If it has another shape.
    """
    array = as_array(name, value, np.dtype(np.bool_))
    if array.dtype.kind != "b":
        raise TypeError(f"{name}: expected bool, got {array.dtype}")
    check_shape(name, array, pattern)
    return copied(name, array)


def as_array(name: str, value: Any, dtype: np.dtype[Any] | None = None) -> Array:
    """Return the array that a value is; numbers without a dtype take `dtype` if they can be it."""
    if type(value) is np.ndarray:
        return value
    if isinstance(value, (list, tuple, range, int, float)):
        return _from_numbers(name, value, dtype)
    if isinstance(value, np.ma.MaskedArray):
        raise _masked(name)
    if is_foreign(value):
        return read_foreign(name, value)
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value)
    raise TypeError(f"{name}: expected an array, got {type(value).__name__}")


def _conversion(name: str, value: Any, array: Array, dtype: np.dtype[Any]) -> str:
    """Return what to write instead of an array of another dtype, for a message."""
    if array.dtype.kind == "O":
        kinds = [type(part).__name__ for part in array.ravel()]
        gaps = [k for k, kind in enumerate(kinds) if kind in ("NoneType", "NAType")]
        return f", with a missing value at position {gaps[0]}" if gaps else ""
    if array.dtype.kind not in "fiuV" or array.dtype.names:
        return ""
    if hasattr(value, "detach"):
        return f"; write {name}.{'float' if dtype.itemsize == 4 else 'double'}()"
    return f"; write {name}.astype(np.{dtype})"


def _masked(name: str) -> TypeError:
    return TypeError(f"{name}: expected no masked array, as its mask would be lost; write {name}.filled(0)")


def widen_bfloat16(bits: Array, out: Array | None = None) -> Array:
    """Return the float32 values of bfloat16 numbers, which are the upper halves of their bits: exactly.

    Parameters
    ----------
    bits : ndarray, uint16
    out : ndarray, float32, optional
        Of the same shape, to be filled and returned.
    """
    wide: Array = np.empty(np.shape(bits), np.float32) if out is None else out
    words = wide.view(np.uint32)
    words[...] = bits
    np.left_shift(words, np.uint32(16), out=words)
    return wide


def narrow_bfloat16(values: Array, out: NDArray[np.uint16] | None = None) -> NDArray[np.uint16]:
    """Return the bits of bfloat16 numbers: float32 values rounded to nearest even; a NaN stays one.

    Parameters
    ----------
    values : ndarray, float32
    out : ndarray, uint16 [n], optional
        With as many elements, to be filled and returned.

    Examples
    --------
    >>> import numpy as np
    >>> widen_bfloat16(narrow_bfloat16(np.float32([1.0, 1.01, np.inf, np.nan]))).tolist()
    [1.0, 1.0078125, inf, nan]
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    narrow = np.empty(flat.shape, np.uint16) if out is None else out
    buffer = np.empty(min(len(flat), _CACHED), np.uint32)
    for begin in range(0, len(flat), _CACHED):
        part = slice(begin, begin + _CACHED)
        bits = flat[part].view(np.uint32)
        rounded = buffer[: len(bits)]
        np.right_shift(bits, np.uint32(16), out=rounded)
        rounded &= np.uint32(1)
        rounded += np.uint32(0x7FFF)
        rounded += bits
        rounded >>= np.uint32(16)
        narrow[part] = rounded
        narrow[part][np.isnan(flat[part])] = 0x7FC0
    return narrow.reshape(np.shape(values))


def _from_numbers(name: str, value: Any, dtype: np.dtype[Any] | None) -> Array:
    if isinstance(value, (list, tuple)) and any(isinstance(part, np.ma.MaskedArray) for part in value):
        raise _masked(name)
    if hasattr(value, "batch_sizes"):  # PyTorch's tuple
        raise TypeError(
            f"{name}: expected a padded array, got a {type(value).__name__}; write "
            f"{name}, lengths = pad_packed_sequence(packed), then pass lengths=lengths"
        )
    value = of_others(name, value)
    try:
        array = np.array(value)
    except (ValueError, RuntimeError) as error:  # the latter: tensors deeper in
        raise ValueError(f"{name}: expected rows of equal length: {error}") from None
    if dtype is None:
        return array
    # Integers may stand for floats, never the other way round.
    fits = array.dtype.kind in {"f": "fiu", "i": "iu", "b": "b"}[dtype.kind] or array.size == 0
    array = array.astype(dtype, copy=False) if fits else array
    array.flags.writeable = False
    return array


def check_shape(name: str, array: Array, pattern: Pattern) -> None:
    """Refuse an array that has not the shape expected."""
    fixed, shape = pattern, array.shape
    if shape == pattern:
        return
    if pattern[:1] == ("...",):
        fixed = pattern[1:]
        shape = shape[max(0, len(shape) - len(fixed)) :]
    if len(shape) == len(fixed):
        for want, size in zip(fixed, shape, strict=True):
            if want != size and not isinstance(want, str):
                break
        else:
            return
    raise ValueError(f"{name}: expected {describe(pattern)}, got {describe(array.shape)}")


def describe(shape: Pattern) -> str:
    """Write a shape as messages do: ``[T, N, 128]``."""
    return f"[{', '.join(map(str, shape))}]"


def contiguous(name: str, array: Array) -> Array:
    """Return the array itself where it is C-contiguous and aligned, else a copy that is."""
    flags = array.flags
    return array if flags.c_contiguous and flags.aligned else copied(name, array)


def copied(name: str, array: Array) -> Array:
    """Return a copy that is C-contiguous."""
    try:
        copy = array.copy()
    except MemoryError:
        raise out_of_memory(name, array.nbytes, FEWER_TOKENS) from None
    copy.flags.writeable = False
    return copy


def as_lengths(lengths: Any, steps: int, rows: int) -> Ids | None:
    """Check the lengths of a batch's rows; None if all have every step.

    Raises
    ------
    TypeError
        If they are not integers.
    ValueError
        If there is not one for each row, or one is not in ``0 .. steps``.
    """
    if lengths is None:
        return None
    array = as_ids("lengths", lengths, (rows,))
    wrong = (array < 0) | (array > steps)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"lengths: expected 0 .. {steps}, got {array[row]} at position {row}")
    return array


# What to type instead of a dtype that is the precision of products here.
_NARROW = {
    **dict.fromkeys(("float16", "half"), '; write precision="bfloat16" where the layer has one'),
    "int8": '; write fr.quantize(layer, "int8")',
}


def as_dtype(value: Any) -> np.dtype[Any]:
    """Check the dtype that a layer computes in; PyTorch's ``torch.float32`` is NumPy's of the same name.

    Raises
    ------
    TypeError
        If it is neither float32 nor float64.
    """
    name = str(value)
    own = name.removeprefix("torch.") if name.startswith("torch.") else value
    own = "float32" if name == "torch.float" else own  # NumPy's float has 64 bits
    try:
        dtype: np.dtype[Any] | None = None if value is None else np.dtype(own)
    except (TypeError, ValueError, SyntaxError):  # NumPy parses some texts as Python
        dtype = None
    # NumPy finds None equal to float64.
    if dtype is None or dtype not in FLOAT_DTYPES:
        got = str(dtype or repr(value))
        narrow = next((hint for word, hint in _NARROW.items() if word in got.lower()), "")
        raise TypeError(f"dtype: expected float32 or float64, got {got}{narrow}")
    return dtype
