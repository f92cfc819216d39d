"""Batches of sequences of similar lengths, which need little padding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._arrays import NO_TARGET, as_ids
from fastrnn._checks import Seed, as_flag, as_generator, as_number, as_size
from fastrnn._foreign import of_others
from fastrnn._memory import named_memory

__all__ = ["length_buckets", "pad_batch"]


def length_buckets(
    lengths: ArrayLike,
    batch_size: int | None = None,
    *,
    shuffle: bool = True,
    seed: Seed = None,
    tokens: int | None = None,
) -> list[NDArray[np.int64]]:
    """Split sequences into batches of similar lengths: one epoch, each sequence once.

    Parameters
    ----------
    lengths : array_like, int [sequences]
        Steps of each sequence, 1 or more.
    batch_size : int, optional
        Maximum number of sequences in a batch.
    shuffle : bool, default True
        Shuffle the batches, and the sequences of equal length among them. False: the shortest sequences come
        first, those of equal length in their original order.
    seed : int or numpy.random.Generator, optional
        For the shuffling. A generator gives a new epoch each time, an int the same one.
    tokens : int, optional
        Maximum number of steps in a padded batch: the number of sequences times the longest one's steps. At
        least one of `batch_size` and `tokens` must be given; if both are, both hold.

    Returns
    -------
    batches : list of ndarray, int64 [N]
        Indices into `lengths`, the shortest sequence of a batch first.

    Raises
    ------
    ValueError
        If a length, `batch_size` or `tokens` is less than 1, `batch_size` and `tokens` are both None, or a
        sequence is longer than `tokens`.
    TypeError
        If one of them is not an integer.

    Examples
    --------
    The fraction of padding in batches of 32, for 10,000 sequences with geometrically distributed lengths, in
    random order and sorted by length:

    >>> import numpy as np
    >>> import fastrnn as fr
    >>> random = np.random.default_rng(0)
    >>> lengths = random.geometric(1 / 30, size=10_000)
    >>> def padding(batches):
    ...     steps = sum(len(batch) * lengths[batch].max() for batch in batches)
    ...     return float(round(1 - lengths.sum() / steps, 2))
    >>> padding(np.array_split(random.permutation(10_000), 313))
    0.75
    >>> padding(fr.data.length_buckets(lengths, 32, seed=0))
    0.01

    Batches of any number of sequences, with at most 4,000 steps:

    >>> batches = fr.data.length_buckets(lengths, tokens=4000, seed=0)
    >>> padding(batches), min(map(len, batches)), max(map(len, batches))
    (0.03, 7, 1000)
    """
    steps = _as_steps(lengths)
    if steps.size and steps.min() < 1:
        position = int(steps.argmin())
        raise ValueError(f"lengths: expected 1 or more, got {steps[position]} at position {position}")
    if batch_size is None and tokens is None:
        raise ValueError("batch_size, tokens: expected at least one, got None for both")
    most = len(steps) if batch_size is None else min(as_size("batch_size", batch_size), len(steps))
    limit = int(steps.sum()) * most if tokens is None else as_size("tokens", tokens)
    if steps.size and steps.max() > limit:
        position = int(steps.argmax())
        raise ValueError(
            f"tokens: expected {steps[position]} or more, the steps of sequence {position}, got {limit}"
        )

    random, shuffle = as_generator(seed), as_flag("shuffle", shuffle)
    order = random.permutation(len(steps)) if shuffle else np.arange(len(steps))
    order = order[np.argsort(steps[order], kind="stable")]
    batches = _split(order, steps[order], most, limit)
    return [batches[i] for i in random.permutation(len(batches))] if shuffle else batches


def _split(
    order: NDArray[np.int64], steps: NDArray[np.int64], most: int, limit: int
) -> list[NDArray[np.int64]]:
    """Split sequences in ascending order of length, taking as many as fit into each batch."""
    batches = []
    first = 0
    while first < len(order):
        reach = min(most, limit // int(steps[first]))
        padded = steps[first : first + reach] * np.arange(1, len(steps[first : first + reach]) + 1)
        last = first + int(np.searchsorted(padded, limit, side="right"))
        batches.append(order[first:last])
        first = last
    return batches


def pad_batch(
    sequences: Iterable[Any], indices: ArrayLike | None = None, *, fill: float | None = None
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Stack sequences into a batch, and fill up the shorter ones.

    Parameters
    ----------
    sequences : iterable of array_like
        Each int or bool [T], float [T] or float [T, D]; all of one kind.
    indices : array_like, int [N], optional
        The sequences of the batch, as `length_buckets` returns them; default: all, in order.
    fill : float, optional
        What comes after the shorter ones. Default: -1 for integers, which is no target to every loss and a
        vector of zeros to every layer that takes ids; 0 for floats.

    Returns
    -------
    x : ndarray, [T, N] or [T, N, D]
        T is the length of the longest. Integers and bool become int64; floats keep their dtype.
    lengths : ndarray, int64 [N]
        For the `lengths` argument of recurrent layers.

    Raises
    ------
    ValueError
        If there is no sequence, one is empty, or its axes or width differ from those of the first.
    TypeError
        If indices are not integers, a sequence holds neither integers nor floats, or their dtypes differ; or
        `fill` is no number, or no integer where the sequences hold some.
    IndexError
        If an index is out of range.

    Examples
    --------
    >>> import fastrnn as fr
    >>> x, lengths = fr.data.pad_batch([[1, 2, 3], [4], [5, 6]], [1, 0])
    >>> x.tolist(), lengths.tolist()
    ([[4, 1], [-1, 2], [-1, 3]], [1, 3])

    One epoch:

    >>> texts = [[1, 2, 3], [4], [5, 6], [7]]
    >>> batches = fr.data.length_buckets([len(text) for text in texts], 2, shuffle=False)
    >>> [fr.data.pad_batch(texts, batch)[0].T.tolist() for batch in batches]
    [[[4], [7]], [[5, 6, -1], [1, 2, 3]]]
    """
    rows: Any = sequences if hasattr(sequences, "__getitem__") else list(sequences)
    every = np.arange(len(rows)) if indices is None else indices
    chosen = as_ids("indices", every, ("N",)).tolist()
    if not chosen:
        name = "sequences" if indices is None else "indices"
        raise ValueError(f"{name}: expected at least one, got none")
    arrays = [_as_sequence(index, rows[index]) for index in chosen]
    first = arrays[0]
    for index, array in zip(chosen, arrays, strict=True):
        if array.dtype != first.dtype:
            raise TypeError(f"sequences[{index}]: expected {first.dtype}, got {array.dtype}")
        if array.shape[1:] != first.shape[1:]:
            expected = ", ".join(map(str, ("T", *first.shape[1:])))
            raise ValueError(f"sequences[{index}]: expected [{expected}], got {list(array.shape)}")
    lengths = np.array([len(array) for array in arrays])
    with named_memory("x", "use a smaller batch_size, or split the longest sequences"):
        x = np.full((lengths.max(), len(arrays), *first.shape[1:]), _as_fill(fill, first.dtype), first.dtype)
    for row, array in enumerate(arrays):
        x[: len(array), row] = array
    return x, lengths


def _as_steps(lengths: Any) -> NDArray[np.int64]:
    """Return lengths as integers; sequences in their place are answered with the line to type."""
    if isinstance(lengths, Iterable) and not hasattr(lengths, "__array__"):
        lengths = list(lengths)
        if any(isinstance(one, (str, list, tuple, np.ndarray)) for one in lengths):
            raise TypeError(
                "lengths: expected integers, got sequences; write [len(sequence) for sequence in sequences]"
            )
    return as_ids("lengths", lengths, ("sequences",))


def _as_fill(fill: float | None, dtype: np.dtype[Any]) -> float:
    if fill is None:
        return 0.0 if dtype.kind == "f" else NO_TARGET
    if dtype.kind == "f":
        return as_number("fill", fill)
    return as_size("fill", fill, least=-(2**63), most=2**63 - 1)


def _as_sequence(index: int, sequence: Any) -> NDArray[Any]:
    if isinstance(sequence, str):
        raise TypeError(
            f"sequences[{index}]: expected numbers, got str; write vocabulary.encode_batch(sequences)"
        )
    array: NDArray[Any] = np.asarray(of_others(f"sequences[{index}]", sequence))
    if array.ndim not in (1, 2):
        raise ValueError(f"sequences[{index}]: expected [T] or [T, D], got {list(array.shape)}")
    if array.size == 0:
        raise ValueError(f"sequences[{index}]: expected at least one step, got {list(array.shape)}")
    if array.dtype.kind not in "biuf":
        hint = "; write vocabulary.encode_batch(sequences)" if array.dtype.kind in "UO" else ""
        raise TypeError(f"sequences[{index}]: expected integers or floats, got {array.dtype}{hint}")
    return array if array.dtype.kind == "f" else array.astype(np.int64)
