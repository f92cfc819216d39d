"""Whether sequences of tags keep to what a tag scheme allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["check_order"]


def check_order(
    targets: Sequence[NDArray[np.int64]],
    allowed: NDArray[np.bool_],
    classes: NDArray[np.str_],
    scheme: str,
) -> None:
    """Check that each sequence of tags is allowed, or can be filled in so that it is.

    Parameters
    ----------
    targets : sequence of ndarray, int64 [T]
        Indices of tags; -1 where the tag is not known.
    allowed : ndarray, bool [K + 1, K + 1]
        From and to; the last row is from the beginning, the last column to the end.
    classes : ndarray, str [K]
    scheme : str
        For messages.

    Raises
    ------
    ValueError
        If not; the message names the tag and its place.

    Examples
    --------
    >>> from fastrnn.layers import allowed_transitions
    >>> tags = np.array(["B", "I", "O"])
    >>> check_order([np.array([0, 1, 2]), np.array([2, 1])], allowed_transitions(tags.tolist()), tags, "BIO")
    Traceback (most recent call last):
    ValueError: y[1]: expected tags in the order of BIO, got 'I' at step 1 after 'O'; correct it, or write \
tag_scheme=None
    """
    for row, tags in enumerate(targets):
        path = np.concatenate([[-1], tags, [-1]])  # -1: the last row and column, before and after all tags
        if (tags >= 0).all() and allowed[path[:-1], path[1:]].all():
            continue
        possible: NDArray[np.bool_] = allowed[-1, :-1]
        for step, tag in enumerate(tags.tolist()):
            if step:
                possible = np.asarray(allowed[:-1, :-1][possible].any(axis=0))
            if tag >= 0:
                possible = possible & (np.arange(len(classes)) == tag)
            if not possible.any():
                _refuse(row, step, tags, classes, scheme)
        if not (possible & allowed[:-1, -1]).any():
            _refuse(row, len(tags), tags, classes, scheme)


def _refuse(row: int, step: int, tags: NDArray[np.int64], classes: NDArray[np.str_], scheme: str) -> None:
    names = [None if tag < 0 else str(classes[tag]) for tag in tags.tolist()]
    what = "the end" if step == len(names) else f"{names[step]!r} at step {step}"
    before = "at the beginning" if step == 0 else f"after {names[step - 1] or 'an unknown tag'!r}"
    raise ValueError(
        f"y[{row}]: expected tags in the order of {scheme}, got {what} {before}; correct it, or write "
        "tag_scheme=None"
    )
