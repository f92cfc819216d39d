"""The two parts of a shipped data set."""

from __future__ import annotations

from fastrnn._checks import as_choice

__all__ = ["SUBSETS", "is_training"]

#: To train on, and to measure on.
SUBSETS = ("train", "valid")


def is_training(subset: str) -> bool:
    """Say whether a subset is the one to train on.

    Raises
    ------
    ValueError, TypeError
        If there is none of that name.
    """
    return as_choice("subset", subset, SUBSETS) == "train"
