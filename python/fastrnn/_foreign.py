"""Arrays of other libraries, as NumPy's: tensors, columns, buffers; without a copy where that is possible."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_foreign", "of_others", "read_foreign"]

Array = NDArray[Any]

_BUFFERS = (array.array, memoryview)
# DLPack's devices whose memory the CPU reads: its own, and what CUDA and ROCm have pinned there.
_HOST = (1, 3, 11)
_DEVICES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 13: "CUDA, managed", 14: "oneAPI"}


def is_foreign(value: Any) -> bool:
    """Return whether a value is an array, a tensor, a column or a table of another library than NumPy."""
    return _is_foreign_type(type(value))


def _is_foreign_type(kind: type) -> bool:
    if issubclass(kind, (np.ndarray, np.generic, str, bytes, list, tuple, int, float)):
        return False
    return issubclass(kind, _BUFFERS) or hasattr(kind, "__array__") or hasattr(kind, "__dlpack__")


def of_others(name: str, value: Any) -> Any:
    """Return the NumPy array of a value of another library, also in a list; anything else as it is.

    Raises
    ------
    TypeError
        If NumPy cannot read it; the message says what to write instead.
    ValueError
        If it has missing values.

    Examples
    --------
    >>> import array
    >>> of_others("x", array.array("f", [1, 2]))
    array([1., 2.], dtype=float32)
    >>> of_others("x", "text")
    'text'
    """
    if is_foreign(value):
        return read_foreign(name, value)
    if isinstance(value, (list, tuple)) and any(map(_is_foreign_type, {*map(type, value)})):
        return [of_others(f"{name}[{i}]", part) for i, part in enumerate(value)]
    return value


def read_foreign(name: str, value: Any) -> Array:
    """Do the same for what `is_foreign`."""
    if hasattr(value, "detach"):
        return _from_tensor(name, value)
    dtype = _dtype_of_columns(name, value)
    if isinstance(value, _BUFFERS) or hasattr(value, "__array__"):
        try:
            return np.asarray(value) if dtype is None else np.asarray(value.to_numpy(dtype=dtype))
        except MemoryError:
            raise
        except Exception as error:  # a stranger's
            raise TypeError(f"{name}: expected an array that NumPy can read: {error}") from None
    return _from_dlpack(name, value)


def _from_tensor(name: str, tensor: Any) -> Array:
    """Return the array of a PyTorch tensor, which shares its memory."""
    if not getattr(tensor, "is_cpu", True):
        way = "it holds no numbers" if str(tensor.device) == "meta" else f"write {name}.cpu()"
        raise TypeError(f"{name}: expected a tensor on the CPU, got one on {tensor.device}; {way}")
    tensor = tensor.detach()
    for lazy, done in (("is_conj", "resolve_conj"), ("is_neg", "resolve_neg")):
        if hasattr(tensor, lazy) and getattr(tensor, lazy)():
            tensor = getattr(tensor, done)()
    try:
        return np.asarray(tensor)
    except (TypeError, RuntimeError) as error:
        if "ScalarType" in str(error):
            reason = f"{tensor.dtype}; write {name}.{'dequantize' if tensor.is_quantized else 'float'}()"
            raise TypeError(f"{name}: expected a dtype that NumPy has, got {reason}") from None
        raise TypeError(f"{name}: expected an array that NumPy can read: {error}") from None


def _dtype_of_columns(name: str, value: Any) -> np.dtype[Any] | None:
    """Return NumPy's dtype for columns that pandas can mark as missing; refuse those with missing values.

    None if they have NumPy's dtypes or come from another library.
    """
    count = getattr(value, "null_count", None)
    if count is not None:  # polars, Arrow
        count = count() if callable(count) else count
        if hasattr(count, "to_numpy"):
            count = count.to_numpy().sum()
        if count:
            raise _missing(name, int(count), "fill_null")
        return None
    if not hasattr(value, "isna"):
        return None
    found = value.dtypes if hasattr(value, "columns") else [getattr(value, "dtype", None)]
    dtypes = [dtype for dtype in found if hasattr(dtype, "na_value")]
    if not dtypes:
        return None
    count = int(np.sum(np.asarray(value.isna())))
    if count:
        raise _missing(name, count, "fillna")
    own = [getattr(dtype, "numpy_dtype", dtype) for dtype in found]
    if not all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in own):
        return None
    return np.result_type(*own)


def _missing(name: str, count: int, fill: str) -> ValueError:
    return ValueError(f"{name}: expected no missing values, got {count}; write {name}.{fill}(0)")


def _from_dlpack(name: str, value: Any) -> Array:
    try:
        device = int(value.__dlpack_device__()[0])
        if device in _HOST:
            return np.from_dlpack(value)
    except MemoryError:
        raise
    except Exception as error:  # a stranger's
        raise TypeError(f"{name}: expected an array that NumPy can read: {error}") from None
    kind = f" ({_DEVICES[device]})" if device in _DEVICES else ""
    raise TypeError(f"{name}: expected an array on the CPU, got one on DLPack device {device}{kind}")
