"""Connectionist temporal classification: the loss of labels without positions, and the best alignment."""

from __future__ import annotations

from itertools import chain
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import FLOAT_DTYPES, Array, Ids, as_array, as_floats, as_ids, as_lengths
from fastrnn._checks import as_choice, as_flag, as_size
from fastrnn._dispatch import kernels

__all__ = ["CTCAlignment", "ctc_align", "ctc_loss"]

REDUCTIONS = ("mean", "batch_mean", "sum", "none")


class CTCAlignment(NamedTuple):
    """The likeliest alignment of targets with frames.

    Attributes
    ----------
    positions : ndarray, int64 [T, N]
        Of each frame's symbol in its row's target; -1 for the blank, and after the row's end.
    log_probabilities : ndarray, float64 [N]
        Of each row's path, in nats: a product over frames, not summed over paths as in the loss.
    """

    positions: NDArray[np.int64]
    log_probabilities: NDArray[np.float64]


@overload
def ctc_loss(
    logits: Any, targets: Any, lengths: Any = None, *, target_lengths: Any = None, blank: int = 0,
    zero_infinity: bool = False, reduction: Literal["mean", "batch_mean", "sum"] = "mean",
) -> tuple[float, Array]: ...  # fmt: skip


@overload
def ctc_loss(
    logits: Any, targets: Any, lengths: Any = None, *, target_lengths: Any = None, blank: int = 0,
    zero_infinity: bool = False, reduction: Literal["none"],
) -> tuple[Array, Array]: ...  # fmt: skip


def ctc_loss(
    logits: Any,
    targets: Any,
    lengths: Any = None,
    *,
    target_lengths: Any = None,
    blank: int = 0,
    zero_infinity: bool = False,
    reduction: str = "mean",
) -> tuple[float | Array, Array]:
    """Return the loss of targets whose places in the frames are unknown, and its gradient.

    The loss of a row is ``-log p(target | frames)``: the softmax of each frame gives the probability of a
    symbol or of the blank, and p is the sum over all paths that become the target when repetitions are merged
    and then blanks are removed. So a target needs a frame for each symbol, and one more for a blank between
    two equal ones.

    Sums are computed with an exponent for each number, so that float32 serves for thousands of frames.
    Results have the same bits for any number of threads and any other rows.

    Parameters
    ----------
    logits : array_like, float [T, N, V]
        float32 or float64. The softmax is part of the loss; log-probabilities are logits too.
    targets : sequence of sequences of int, or array_like, int [N, L]
        The symbols of each row, without blanks; a row may be empty. With `target_lengths` an array, padded
        with anything.
    lengths : array_like, int [N], optional
        Frames of each row, in ``0 .. T``; later ones are never read. Default: T.
    target_lengths : array_like, int [N], optional
        Symbols of each row of a padded array.
    blank : int, default 0
        Its id, in ``-V .. V - 1``: -1 is the last, as in an index.
    zero_infinity : bool, default False
        Whether rows whose target is impossible, as it needs more frames or has the probability 0, have a loss
        and gradient of 0. Otherwise too few frames are an error, and a probability of 0 has an infinite loss
        and the gradient NaN.
    reduction : {"mean", "batch_mean", "sum", "none"}
        "mean": each row's loss divided by its number of symbols (at least 1), and the mean of that over rows,
        as PyTorch's; "batch_mean": the mean over rows; "sum": the sum over rows; "none": each row's own.

    Returns
    -------
    loss : float
        In nats. With "none": ndarray, float [N].
    dlogits : ndarray, float [T, N, V]
        Gradient of that loss, with "none" of the sum; zero after a row's end. For "sum" and "none" it is the
        softmax minus the probability of each symbol at each frame given the target.

    Raises
    ------
    ValueError
        If a shape does not fit, a symbol is the blank or out of range, a length is out of range, there is no
        row to take the mean of, or, without `zero_infinity`, a target needs more frames than its row has.
    TypeError
        If the logits are neither float32 nor float64, or targets or lengths are not integers.

    References
    ----------
    Graves, Fernández, Gomez, Schmidhuber (2006), "Connectionist Temporal Classification: Labelling
    Unsegmented Sequence Data with Recurrent Neural Networks".

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> logits = np.zeros((3, 2, 3), np.float32)  # three frames of two rows, the blank and two symbols
    >>> loss, dlogits = fr.ctc_loss(logits, [[1, 2], [2]], lengths=[3, 1], reduction="sum")
    >>> round(float(np.exp(-loss)) * 3**4)  # 5 of 3^3 paths are [1, 2], 1 of 3 is [2]
    5
    >>> dlogits[0, 1].astype(float).round(4).tolist()
    [0.3333, 0.3333, -0.6667]

    `fastrnn.decode.ctc_greedy` and `fastrnn.decode.ctc_beam` go from logits to symbols.
    """
    frames = _logits(logits)
    steps, rows, size = frames.shape
    kind = as_choice("reduction", reduction, REDUCTIONS)
    hide = as_flag("zero_infinity", zero_infinity)
    ids, counts = _targets(targets, target_lengths, rows)
    ends = as_lengths(lengths, steps, rows)
    if rows == 0 and kind in ("mean", "batch_mean"):
        raise ValueError(f"logits: expected at least one row for reduction={kind!r}, got none")
    scales = None
    if kind == "mean":
        scales = (1.0 / (np.maximum(counts, 1) * rows)).astype(frames.dtype)
    elif kind == "batch_mean":
        scales = np.full(rows, 1.0 / rows, frames.dtype)
    losses, dlogits = kernels.ctc_loss(frames, ids, counts, ends, as_blank(blank, size), hide, scales)
    if kind == "none":
        return losses, dlogits
    wide = losses.astype(np.float64)
    if kind == "mean":
        wide /= np.maximum(counts, 1)
    total = float(wide.sum())
    return (total if kind == "sum" else total / rows), dlogits


def ctc_align(
    logits: Any, targets: Any, lengths: Any = None, *, target_lengths: Any = None, blank: int = 0
) -> CTCAlignment:
    """Return the likeliest path through the frames that reads each target: which frame is which symbol.

    Parameters
    ----------
    logits, targets, lengths, target_lengths, blank
        As for `ctc_loss`.

    Returns
    -------
    alignment : CTCAlignment
        ``positions`` [T, N] and ``log_probabilities`` [N].

    Raises
    ------
    ValueError
        As for `ctc_loss`, and if every path of a target has the probability 0.
    TypeError
        As for `ctc_loss`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> frames = [0, 2, 2, 0, 1]  # what each frame says; 0 is the blank
    >>> logits = 3.0 * np.eye(3)[frames][:, None]
    >>> positions, log_p = fr.ctc_align(logits, [[2, 1]])
    >>> positions[:, 0].tolist()
    [-1, 0, 0, -1, 1]
    """
    frames = _logits(logits)
    steps, rows, size = frames.shape
    ids, counts = _targets(targets, target_lengths, rows)
    ends = as_lengths(lengths, steps, rows)
    positions, log_p = kernels.ctc_align(frames, ids, counts, ends, as_blank(blank, size))
    wrong = np.flatnonzero(~np.isfinite(log_p))
    if wrong.size:
        raise ValueError(f"logits: every path of row {wrong[0]}'s target has a probability of 0 or NaN")
    return CTCAlignment(positions, log_p)


def as_blank(blank: Any, size: int) -> int:
    """Check the id of the blank among `size`; return it counted from the front."""
    own = as_size("blank", blank, least=-size, most=size - 1)
    return own + size if own < 0 else own


def _logits(logits: Any) -> Array:
    array = as_array("logits", logits, np.dtype(np.float64))
    if array.dtype not in FLOAT_DTYPES:
        hint = "; write logits.astype(np.float32)" if array.dtype.kind in "fiuV" else ""
        raise TypeError(f"logits: expected float32 or float64, got {array.dtype}{hint}")
    array = as_floats("logits", array, array.dtype, ("T", "N", "V"))
    if array.shape[2] == 0:
        raise ValueError(f"logits: expected at least one symbol, got {list(array.shape)}")
    return array


def _targets(targets: Any, target_lengths: Any, rows: int) -> tuple[Ids, Ids]:
    """Return the symbols of all rows, one after the other, and the number of each row's."""
    if target_lengths is not None:
        padded = as_ids("targets", targets, (rows, "L"))
        counts = as_ids("target_lengths", target_lengths, (rows,))
        wrong = (counts < 0) | (counts > padded.shape[1])
        if wrong.any():
            row = int(wrong.argmax())
            expected = f"target_lengths: expected 0 .. {padded.shape[1]}"
            raise ValueError(f"{expected}, got {counts[row]} at position {row}")
        return padded[np.arange(padded.shape[1]) < counts[:, None]], counts
    if not isinstance(targets, (list, tuple)):
        array = as_ids("targets", targets, (rows, "L"))
        return array.reshape(-1), np.full(rows, array.shape[1])
    given = list(targets)
    if len(given) != rows:
        raise ValueError(f"targets: expected a sequence for each of {rows} rows, got {len(given)}")
    if all(isinstance(one, (list, tuple, range)) for one in given):
        flat = as_ids("targets", [*chain.from_iterable(given)], ("symbols",))
        return flat, np.array([*map(len, given)], np.int64)
    parts = [as_ids(f"targets[{row}]", one, ("L",)) for row, one in enumerate(given)]
    return np.concatenate(parts), np.array([*map(len, parts)], np.int64)
