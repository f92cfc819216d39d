"""A hash of training data: whether all ranks of a training have the same."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np

from fastrnn._foreign import is_foreign, of_others
from fastrnn.train.distributed import Ranks

__all__ = ["check_same", "content_hash"]

# What repr writes in full, and alike in every process.
_PLAIN = frozenset({str, int, float, bool, complex, bytes, type(None)})


def check_same(ranks: Ranks, values: Mapping[str, Any]) -> None:
    """Check that all ranks have the same values, by their content. Collective.

    Raises
    ------
    ValueError
        On every rank; the message names the first value that differs, and the ranks.
    """
    if ranks.size > 1:
        for name, value in values.items():
            ranks.check_same(name, content_hash(value))


def content_hash(value: Any) -> str:
    """Return a hash of data that is the same in every process: of numbers, texts, arrays and lists of them.

    Of objects of other kinds, and of what cannot be read, only the class counts.

    Examples
    --------
    >>> import numpy as np
    >>> content_hash([["a", "b"], {"x", "y"}]) == content_hash([["a", "b"], {"y", "x"}])
    True
    >>> content_hash(np.ones(3)) == content_hash(np.ones(4))
    False
    """
    hasher = blake2b(digest_size=16)
    try:
        _feed(hasher.update, value)
    except (TypeError, ValueError):  # such as a tensor on another device; ``fit`` says what is wrong with it
        _say(hasher.update, type(value).__qualname__)
    return hasher.hexdigest()


def _feed(update: Callable[[Any], None], value: Any) -> None:
    if is_foreign(value):
        value = of_others("data", value)
    if isinstance(value, np.random.RandomState):
        value = value.get_state(legacy=False)
    elif isinstance(value, np.random.Generator):
        value = value.bit_generator.state
    elif isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.dtype.hasobject):
        value = value.tolist()
    if isinstance(value, np.ndarray):
        update(f"{value.dtype.str} {value.shape} ".encode())
        update(value.tobytes())
    elif type(value) in _PLAIN:
        _say(update, repr(value))
    elif isinstance(value, (list, tuple)) and _PLAIN.issuperset(map(type, value)):
        _say(update, repr([*value]))
    elif isinstance(value, (set, frozenset)):
        _say(update, f"set {sorted(map(content_hash, value))}")
    elif isinstance(value, Mapping):
        pairs = sorted((content_hash(key), content_hash(own)) for key, own in value.items())
        _say(update, f"mapping {pairs}")
    elif isinstance(value, Collection):
        _say(update, f"list {len(value)}")
        for one in value:
            _feed(update, one)
    else:
        _say(update, type(value).__qualname__)


def _say(update: Callable[[Any], None], text: str) -> None:
    update(f"{len(text)} {text}".encode("utf-8", "surrogatepass"))
