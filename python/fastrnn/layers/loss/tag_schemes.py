"""Which tag may follow which in the schemes BIO and BIOES."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice

__all__ = ["allowed_transitions"]

# Other names of the same: BILOU, BMES.
_PARTS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}
_Tag: TypeAlias = tuple[str, str]  # part and type; ("O", "") outside


def allowed_transitions(tags: Sequence[str], *, scheme: str | None = None) -> NDArray[np.bool_]:
    """Return which tag may follow which, for `CRF`.

    In BIO, ``I-X`` follows only ``B-X`` or ``I-X``. In BIOES, so does ``E-X``; ``B-X`` and ``I-X`` are
    followed only by ``I-X`` or ``E-X``, and ``S-X`` stands alone. M is another name of I, L of E, and U of S.

    Parameters
    ----------
    tags : sequence of str
        The K names: ``"O"``, and names such as ``"B-PER"``, or ``"B"`` where there is one type.
    scheme : {"BIO", "BIOES"}, optional
        Default: BIOES if a name begins with E, L, S or U.

    Returns
    -------
    allowed : ndarray, bool [K + 1, K + 1]
        From and to; the last row is from the beginning, the last column to the end.

    Raises
    ------
    ValueError
        If a name does not fit the scheme or is there twice, or a tag can follow no other.
    TypeError
        If a name is not a str.

    Examples
    --------
    >>> from fastrnn.layers import allowed_transitions
    >>> allowed_transitions(["O", "B-X", "I-X"]).astype(int).tolist()
    [[1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 1]]
    """
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
        raise TypeError("tags: expected a sequence of str")
    if len(set(tags)) < len(tags):
        twice = next(tag for tag in tags if list(tags).count(tag) > 1)
        raise ValueError(f"tags: expected each once, got {twice!r} more than once")
    parsed = [_parse(tag, place) for place, tag in enumerate(tags)]
    long = any(part in "ES" for part, _ in parsed)
    scheme = as_choice("scheme", scheme or ("BIOES" if long else "BIO"), ("BIO", "BIOES"))
    if scheme == "BIO" and long:
        wrong = next(tag for tag, (part, _) in zip(tags, parsed, strict=True) if part in "ES")
        raise ValueError(f"tags: expected B, I and O with scheme='BIO', got {wrong!r}")
    for tag, (part, kind) in zip(tags, parsed, strict=True):
        if part in "IE" and ("B", kind) not in parsed:
            raise ValueError(
                f"tags: {tag!r} follows only a tag that begins with B, and of its type there is none; "
                "rename the tags that begin with I and follow no other of their type"
            )
    size = len(parsed)
    allowed = np.ones((size + 1, size + 1), np.bool_)
    outside: _Tag = ("O", "")
    ends = [*parsed, outside]
    for i, before in enumerate(ends):
        for j, after in enumerate(ends):
            allowed[i, j] = _fits(before, after, scheme == "BIOES")
    return allowed


def _parse(tag: str, place: int) -> _Tag:
    if tag == "O":
        return "O", ""
    part, _, kind = tag.partition("-")
    if part not in _PARTS:
        raise ValueError(
            f"tags: expected 'O' or names such as 'B-PER' and 'I-PER', got {tag!r} at position {place}"
        )
    return _PARTS[part], kind


def _fits(before: _Tag, after: _Tag, closing: bool) -> bool:
    """Say whether a tag may follow another; `closing`: whether what begins with B must end with E."""
    continues = after[0] in "IE"
    is_open = before[0] in "BI"
    if continues:
        return is_open and before[1] == after[1]
    return not (closing and is_open)
