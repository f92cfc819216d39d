"""Batches of examples: sequences of numbers or ids, each with its targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import NO_TARGET
from fastrnn._checks import Seed, as_flag
from fastrnn._foreign import of_others
from fastrnn._memory import named_memory
from fastrnn.data.batching import Batch
from fastrnn.data.shuffled_batches import ShuffledBatches

__all__ = ["ExampleBatches"]

_FEWER_ROWS = "use a smaller batch_size, or split the longest sequences"


class ExampleBatches(ShuffledBatches):
    """Sequences and their targets in batches, with which a `Trainer` trains a network of one's own.

    A batch is time-major, ``[T, N, ...]``. Where its sequences differ in length it has ``lengths``, its
    inputs are padded with zeros, and targets of steps with -1 if they are integers, with zeros otherwise.
    Each epoch has every example once, in an order that depends only on the seed and the number of the epoch.

    Parameters
    ----------
    inputs : sequence of array_like, or array
        Of each example float [T, D], or int [T] for ids. An array [N, T, D] or [N, T] is such a sequence;
        write ``x.swapaxes(0, 1)`` if yours begins with time.
    targets : sequence of array_like, or array
        As many: a value for each step, [T] or [T, ...], or one for the sequence, [...]. Of integers, -1 means
        no target.
    batch_size : int, default 32
        N; one batch of an epoch may have fewer.
    per_step : bool, optional
        Whether targets have a value for each step. Default: whether all have as many as their inputs.
    batch_first : bool, default False
        Make batches ``[N, T, ...]``, for layers with ``batch_first``.
    seed : int or numpy.random.Generator, optional
        For the order. None: a different order for each object, so that training cannot be resumed.
    bucket : bool, default True
        Group sequences of similar lengths, which saves padding; see `length_buckets`. False: at random.

    Attributes
    ----------
    batch_size, per_step, batch_first, bucket
        As given, or as found.
    lengths : ndarray, int64 [examples]
        Steps of each example.
    tokens : int
        Number of targets of one epoch.
    order : int
        The seed of the order of all epochs.

    Raises
    ------
    ValueError
        If there is no example, there are more or fewer targets, a sequence is empty, or shapes differ.
    TypeError
        If dtypes differ, or are neither integers nor floats.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.data import ExampleBatches
    >>> inputs = [np.ones((3, 2), np.float32), np.ones((1, 2), np.float32)]
    >>> data = ExampleBatches(inputs, [[0, 1, 1], [0]], batch_size=2, seed=0)
    >>> batch = data.batch(0)
    >>> batch.inputs.shape, batch.targets.T.tolist(), batch.lengths.tolist()
    ((3, 2, 2), [[0, -1, -1], [0, 1, 1]], [1, 3])

    A class for each sequence:

    >>> data = ExampleBatches(np.zeros((6, 5, 3)), [0, 1, 0, 1, 2, 2], batch_size=4, seed=0)
    >>> sorted(batch.targets.shape for batch in data), data.per_step, len(data), data.tokens
    ([(2,), (4,)], False, 2, 6)
    """

    def __init__(
        self,
        inputs: Sequence[Any] | NDArray[Any],
        targets: Sequence[Any] | NDArray[Any],
        batch_size: int = 32,
        *,
        per_step: bool | None = None,
        batch_first: bool = False,
        seed: Seed = None,
        bucket: bool = True,
    ) -> None:
        super().__init__(batch_size, seed, bucket=bucket)
        self.batch_first: bool = as_flag("batch_first", batch_first)
        self._inputs = _as_examples("inputs", inputs)
        self._targets = _as_examples("targets", targets)
        if len(self._inputs) != len(self._targets):
            raise ValueError(
                f"targets: expected {len(self._inputs)}, one for each input, got {len(self._targets)}"
            )
        self.lengths: NDArray[np.int64] = _steps("inputs", self._inputs)
        self.per_step: bool = _are_per_step(self._targets, self.lengths, per_step)
        self._counts = np.array([_count(target) for target in self._targets])
        self.tokens: int = int(self._counts.sum())
        if not self.tokens:
            raise ValueError(f"targets: expected at least one that is not {NO_TARGET}, got none")

    def _make_batch(self, rows: NDArray[np.int64]) -> Batch:
        lengths = self.lengths[rows]
        inputs = _stacked(self._inputs, rows, lengths, 0)
        padding = NO_TARGET if self._targets[0].dtype.kind == "i" else 0
        targets = _stacked(self._targets, rows, lengths if self.per_step else None, padding)
        if self.batch_first:
            inputs = inputs.swapaxes(0, 1)
            targets = targets.swapaxes(0, 1) if self.per_step else targets
        ragged = bool((lengths != lengths[0]).any())
        return Batch(inputs, targets, lengths if ragged else None, 0, int(self._counts[rows].sum()))

    def __repr__(self) -> str:
        steps = f"{self.lengths.min()} to {self.lengths.max()}"
        return (
            f"<ExampleBatches: {len(self.lengths)} sequences of {steps} steps, {len(self)} batches an epoch>"
        )


def _as_examples(name: str, examples: Any) -> Sequence[NDArray[Any]]:
    """Return the array of each example; all have the same dtype, and the same axes after the first."""
    whole = of_others(name, examples)
    if isinstance(whole, np.ndarray) and whole.dtype != object:
        if not whole.ndim:
            raise TypeError(f"{name}: expected an entry for each example, got a single number")
        arrays: Any = _numbers(name, whole)
    elif not isinstance(whole, Iterable):
        raise TypeError(f"{name}: expected an entry for each example, got {type(whole).__name__}")
    else:
        arrays = [
            _numbers(f"{name}[{index}]", of_others(f"{name}[{index}]", one))
            for index, one in enumerate(whole)
        ]
    if not len(arrays):
        raise ValueError(f"{name}: expected at least one, got none")
    for index, array in enumerate(arrays):
        if array.dtype != arrays[0].dtype:
            raise TypeError(f"{name}[{index}]: expected {arrays[0].dtype}, got {array.dtype}")
        if array.ndim != arrays[0].ndim or array.shape[1:] != arrays[0].shape[1:]:
            expected = ", ".join(map(str, ("T", *arrays[0].shape[1:]))) if arrays[0].ndim else ""
            raise ValueError(f"{name}[{index}]: expected [{expected}], got {list(array.shape)}")
    checked: Sequence[NDArray[Any]] = arrays
    return checked


def _numbers(name: str, value: Any) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(value)
    if array.dtype.kind in "biu":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected integers or floats, got {array.dtype}")
    return array


def _steps(name: str, inputs: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    if inputs[0].ndim not in (1, 2):
        raise ValueError(f"{name}: expected examples of [T] or [T, D], got {list(inputs[0].shape)}")
    lengths = np.array([len(one) for one in inputs], np.int64)
    if not lengths.all():
        raise ValueError(f"{name}[{int(lengths.argmin())}]: expected at least one step, got none")
    return lengths


def _are_per_step(targets: Sequence[NDArray[Any]], lengths: NDArray[np.int64], given: bool | None) -> bool:
    """Return whether targets have a value for each step, after a check that their shapes allow it."""
    own = np.array([len(one) if one.ndim else -1 for one in targets])
    wrong = np.flatnonzero(own != lengths)
    per_step = not len(wrong) if given is None else as_flag("per_step", given)
    if per_step and len(wrong):
        index, found = int(wrong[0]), list(targets[wrong[0]].shape)
        raise ValueError(f"targets[{index}]: expected {lengths[index]} steps, as its input has, got {found}")
    if not per_step and (own != own[0]).any():
        index = int((own != own[0]).argmax())
        raise ValueError(
            f"targets[{index}]: expected {list(targets[0].shape)}, as of the first, or a value for each of "
            f"{lengths[index]} steps, got {list(targets[index].shape)}"
        )
    return per_step


def _count(target: NDArray[Any]) -> int:
    """Return the number of targets that count."""
    return int(np.count_nonzero(target != NO_TARGET)) if target.dtype.kind == "i" else target.size


def _stacked(
    arrays: Sequence[NDArray[Any]], rows: NDArray[np.int64], lengths: NDArray[np.int64] | None, padding: int
) -> NDArray[Any]:
    """Return rows of one batch: [T, N, ...] with lengths, of single values [N, ...] without."""
    first = arrays[0]
    if lengths is None:
        return np.array([arrays[row] for row in rows.tolist()], first.dtype)
    with named_memory("inputs", _FEWER_ROWS):
        batch = np.full((int(lengths.max()), len(rows), *first.shape[1:]), padding, first.dtype)
    for column, (row, length) in enumerate(zip(rows.tolist(), lengths.tolist(), strict=True)):
        batch[:length, column] = arrays[row]
    return batch
