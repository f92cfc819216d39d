"""What a MemoryError says: what could not be allocated, how many bytes it takes, and what to reduce."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["FEWER_TEXTS", "FEWER_TOKENS", "SMALLER_LAYER", "named_memory", "out_of_memory"]

FEWER_TOKENS = "use fewer sequences or fewer steps at a time, or a smaller layer"
FEWER_TEXTS = "use fewer or shorter texts at a time"
SMALLER_LAYER = "use a smaller or fewer layers, or a smaller vocabulary"


def out_of_memory(what: str, nbytes: int, advice: str) -> MemoryError:
    """Make the error for an allocation of `nbytes`.

    Examples
    --------
    >>> out_of_memory("parameters", 32 * 10**9, "use a smaller layer")
    MemoryError('parameters: cannot allocate 32000000000 bytes (32.0 GB); use a smaller layer')
    """
    gigabytes = f" ({nbytes // 10**8 / 10} GB)" if 10**8 <= nbytes < 2**70 else ""
    return MemoryError(f"{what}: cannot allocate {nbytes} bytes{gigabytes}; {advice}")


@contextmanager
def named_memory(what: str, advice: str) -> Iterator[None]:
    """Complete the message of a MemoryError that does not say what to reduce; also a decorator.

    Examples
    --------
    >>> import numpy as np
    >>> with named_memory("mask", "use fewer rows"):
    ...     np.empty(2**60, np.uint8)
    Traceback (most recent call last):
    MemoryError: mask: cannot allocate 1152921504606846976 bytes (1152921504.6 GB); use fewer rows
    """
    try:
        yield
    except MemoryError as error:
        if "; " in str(error):
            raise
        size = getattr(error, "_total_size", None)  # NumPy's own subclass has it
        if size is None:
            raise MemoryError(f"{what}: out of memory; {advice}") from None
        raise out_of_memory(what, int(size), advice) from None
