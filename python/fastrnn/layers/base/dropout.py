"""Random masks as functions of a key and a step: the same on replay, in segments and for any thread count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels
from fastrnn.layers.base.batch_rows import BatchRows, current_rows

__all__ = ["DropoutMask", "draw_key", "draw_mask", "draw_row_mask", "dropout_mask", "token_mask"]

BETWEEN_LAYERS = 100  # a purpose of `draw_mask`; those of one layer's masks are in engine/packed.py


def draw_key(generator: np.random.Generator) -> int:
    """Draw the key that determines all masks of one pass."""
    return int(generator.integers(1 << 63))


def draw_mask(
    key: int,
    purpose: int,
    steps: range,
    width: int,
    probability: float,
    dtype: np.dtype[Any],
    *,
    values: tuple[float, float] | None = None,
    window: tuple[int, int] | None = None,
) -> Array:
    """Draw a mask of `width` numbers at each of some steps.

    The numbers are those of the counter-based generator Philox 4x64: a step begins at a counter of its own,
    so that any can be drawn alone.

    Parameters
    ----------
    key : int
        From `draw_key`.
    purpose : int
        What the mask is for: a stream of random numbers of its own.
    steps : range
        Of step 1.
    width : int
    probability : float
        That a number is dropped.
    dtype : numpy.dtype
    values : (float, float), optional
        Of what is dropped and what is kept; default 0 and ``1 / (1 - probability)``.
    window : (int, int), optional
        Offset and total: of the `total` numbers of a step, draw those from the offset on.

    Returns
    -------
    mask : ndarray, float [steps, width]

    References
    ----------
    Salmon, Moraes, Dror, Shaw (2011), "Parallel Random Numbers: As Easy as 1, 2, 3".
    """
    dropped, kept = values or (0.0, 1.0 / (1.0 - probability))
    threshold = min(round(probability * 2.0**32), 2**32 - 1)
    mask: Array = kernels.dropout_mask(
        key, purpose, steps.start, len(steps), width, threshold, dropped, kept, dtype == np.float64,
        *(window or ()),
    )  # fmt: skip
    return mask


def draw_row_mask(
    key: int,
    purpose: int,
    steps: range,
    shape: tuple[int, int],
    probability: float,
    dtype: np.dtype[Any],
    *,
    part: BatchRows | None,
    values: tuple[float, float] | None = None,
) -> Array:
    """Draw the mask of some rows at each of some steps.

    Parameters
    ----------
    key, purpose, steps, probability, dtype, values
        As for `draw_mask`.
    shape : (int, int)
        Rows, and numbers of each.
    part : BatchRows or None
        The rows of the batch that these are: the mask is theirs in that of the whole batch. If their number
        is another, they are not rows of the batch, and the mask is one of its own for this part.

    Returns
    -------
    mask : ndarray, float [steps, rows, width]
    """
    rows, width = shape
    window = None
    if part is not None and rows == part.rows:
        window = part.first * width, part.total * width
    elif part is not None:
        purpose = _of_part(purpose, part)
    mask = draw_mask(key, purpose, steps, rows * width, probability, dtype, values=values, window=window)
    return mask.reshape(len(steps), rows, width)


def _of_part(purpose: int, part: BatchRows) -> int:
    """Return a purpose that only one part of a batch has; those of whole batches are below 2**32."""
    return purpose + ((part.first + 1) << 32)


def dropout_mask(
    shape: tuple[int, ...], probability: float, dtype: np.dtype[Any], generator: np.random.Generator
) -> Array | None:
    """Draw a dropout mask [T, N, width] or [N, width]: 0 with the given probability p, else ``1 / (1 - p)``.

    Inside a block of `batch_rows` it is that of these rows. Arrays that are not time-major may have rows as
    their first axis.

    Returns None if the probability is 0.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), "Dropout: A Simple Way to Prevent Neural
    Networks from Overfitting". The mask is scaled in training, so inference needs no change.
    """
    if probability == 0.0:
        return None
    return DropoutMask(shape, probability, dtype, generator).steps(0, shape[0])


def token_mask(
    counted: NDArray[np.bool_],
    width: int,
    probability: float,
    dtype: np.dtype[Any],
    generator: np.random.Generator,
) -> Array | None:
    """Draw a dropout mask [M, width] of the M tokens of a batch that are counted.

    `counted`, bool [T, N], says which they are. Inside a block of `batch_rows` the mask of a token follows
    from its step and its row in the batch. It is that of a pass over the whole batch if all are counted
    there; else that pass numbers its tokens without the others.

    Returns None if the probability is 0.
    """
    if current_rows() is None or probability == 0.0:
        return dropout_mask((int(counted.sum()), width), probability, dtype, generator)
    steps, rows = counted.shape
    shape = rows, 8 * -(-width // 8)  # a token begins at a block of eight numbers, as a step of `draw_mask`
    key, part = draw_key(generator), current_rows()
    mask = draw_row_mask(key, BETWEEN_LAYERS, range(steps), shape, probability, dtype, part=part)
    return np.ascontiguousarray(mask[counted][:, :width])


class DropoutMask:
    """A mask as drawn by `dropout_mask`; only its key is stored.

    Parameters
    ----------
    shape, probability, dtype, generator
        As for `dropout_mask`; the generator advances as it does there.
    """

    shape: tuple[int, ...]
    probability: float
    dtype: np.dtype[Any]
    part: BatchRows | None

    __slots__ = ("dtype", "key", "part", "probability", "shape")

    def __init__(
        self,
        shape: tuple[int, ...],
        probability: float,
        dtype: np.dtype[Any],
        generator: np.random.Generator,
    ) -> None:
        self.shape, self.probability, self.dtype = shape, probability, dtype
        self.key: int = draw_key(generator)
        self.part = current_rows()  # that of the forward pass, wherever the backward pass runs

    def steps(self, begin: int, end: int) -> Array:
        """Return the mask of steps ``begin .. end - 1``, float [end - begin, N, width]."""
        steps, part = range(begin, end), self.part
        if part is not None and self.shape[0] == part.rows not in self.shape[1:2]:  # the rows come first
            steps, part = range(part.first + begin, part.first + end), None
        rows, *widths = *self.shape[1:], 1
        mask = draw_row_mask(
            self.key,
            BETWEEN_LAYERS,
            steps,
            (rows, math.prod(widths)),
            self.probability,
            self.dtype,
            part=part,
        )
        return mask.reshape(end - begin, *self.shape[1:])
