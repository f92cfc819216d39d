"""Synthetic data: the classic tasks with long lags, artificial grammars, sums as texts, chaotic series."""

from fastrnn.data.synthetic.addition import character_addition
from fastrnn.data.synthetic.chaos import lorenz, mackey_glass
from fastrnn.data.synthetic.grammar import embedded_reber, legal_continuations, reber
from fastrnn.data.synthetic.lags import adding_problem, copy_memory, temporal_order
from fastrnn.data.synthetic.narma import narma10

__all__ = [
    "adding_problem",
    "character_addition",
    "copy_memory",
    "embedded_reber",
    "legal_continuations",
    "lorenz",
    "mackey_glass",
    "narma10",
    "reber",
    "temporal_order",
]


def __dir__() -> list[str]:
    return sorted(__all__)
