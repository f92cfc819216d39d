"""The data set reber: strings of the embedded Reber grammar."""

from __future__ import annotations

from fastrnn.data.shipped.subsets import is_training
from fastrnn.data.synthetic import embedded_reber

__all__ = ["load_reber"]


def load_reber(subset: str = "train") -> list[str]:
    """Return strings of the embedded Reber grammar, for a `SequenceGenerator`: ``"BTBPVVETE"``.

    The last symbol but one is the second one again, so a model must remember it over the whole string; see
    `synthetic.embedded_reber`. `synthetic.legal_continuations` says which symbols may come next.

    A string of "valid" costs 4.70 nats if what is legal is known at each place, and 0.69 more without memory
    of the second symbol.

    Generated from a fixed seed; as fastrnn itself, under its licence.

    Parameters
    ----------
    subset : {"train", "valid"}, default "train"
        The 1,000 strings to train on, or the 200 to measure on. Short strings are in both.

    Returns
    -------
    strings : list of str

    Raises
    ------
    ValueError, TypeError
        If there is no such subset.

    Examples
    --------
    >>> import fastrnn as fr
    >>> strings = fr.data.load_reber()
    >>> len(strings), strings[0]
    (1000, 'BPBPVPXTTTTVVEPE')
    """
    strings = embedded_reber(1200, seed=0)
    return strings[:1000] if is_training(subset) else strings[1000:]
