"""Tensors as arrays and back, with shared memory, in the layouts of a module's input."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fastrnn._arrays import Array, Ids

__all__ = ["Layout", "as_tensor", "read"]


class _Writable:
    """An array's memory, although the array is read-only: PyTorch knows no tensor that is."""

    __slots__ = ("__array_interface__", "_array")

    def __init__(self, array: Array) -> None:
        interface = array.__array_interface__
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__, self._array = interface, array


def as_tensor(array: Array) -> Any:
    """Return a tensor that shows an array's memory.

    Arrays of a tape are read-only; a tensor of one is kept by autograd, which refuses to use it once it has
    been written to.
    """
    return torch.from_numpy(array if array.flags.writeable else np.asarray(_Writable(array)))


def read(tensor: Any) -> Array:
    """Return a C-contiguous array of a tensor's values, if possible its own memory."""
    array: Array = tensor.detach().numpy()
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


class Layout:
    """Where the axes of x and y are: ``[T, N, ...]``, ``[N, T, ...]`` or ``[T, ...]``.

    `to_kernel` and `to_user` return views or, where the axes' order demands it, a contiguous copy.
    """

    batch_first: bool
    alone: bool

    lengths: Ids | None = None
    places: Ids | None = None

    def __init__(self, *, batch_first: bool = False, alone: bool = False) -> None:
        self.batch_first, self.alone = batch_first, alone

    def to_kernel(self, array: Array) -> Array:
        """Return x, y or a gradient of one as [T, N, width], contiguous."""
        if self.alone:
            array = array[:, None]
        elif self.batch_first:
            array = array.swapaxes(0, 1)
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def to_user(self, array: Array) -> Array:
        """Return an array [T, N, width] in the layout of the input."""
        if self.alone:
            return array[:, 0]
        return array.swapaxes(0, 1) if self.batch_first else array


class PackedLayout(Layout):
    """The steps of a ``PackedSequence``, without padding: [steps of all rows, width].

    Parameters
    ----------
    batch_sizes : ndarray, int64 [T]
        Rows of each step, not increasing.
    """

    def __init__(self, batch_sizes: Ids) -> None:
        super().__init__()
        N = int(batch_sizes[0])
        self.shape: tuple[int, int] = len(batch_sizes), N
        self.places = None
        if int(batch_sizes[-1]) != N:
            runs = np.arange(N) < batch_sizes[:, None]
            self.places = np.flatnonzero(runs)
            self.lengths = np.count_nonzero(runs, axis=0)

    def to_kernel(self, array: Array) -> Array:
        T, N = self.shape
        width = array.shape[1]
        if self.places is None:
            return np.ascontiguousarray(array).reshape(T, N, width)
        padded = np.zeros((T, N, width), array.dtype)
        padded.reshape(T * N, width)[self.places] = array
        return padded

    def to_user(self, array: Array) -> Array:
        flat = array.reshape(-1, array.shape[2])
        return flat if self.places is None else flat.take(self.places, axis=0)
