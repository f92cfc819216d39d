"""The Reber grammar and the embedded one: strings, and which symbols may continue each."""

from __future__ import annotations

import numpy as np

from fastrnn._checks import Seed, as_flag, as_generator, as_size

__all__ = ["embedded_reber", "legal_continuations", "reber"]

# For each state of a grammar's graph, the symbols that leave it and the states they lead to.
_Arrows = tuple[dict[str, int], ...]
_REBER: _Arrows = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
    {},
)


def _embed(inner: _Arrows) -> _Arrows:
    """Return the graph of a grammar between two symbols T, or between two symbols P."""
    first = {"T": 2, "P": 2 + len(inner)}  # the inner graph's beginning after each symbol
    last = 2 + 2 * len(inner)
    arrows: list[dict[str, int]] = [{"B": 1}, first]
    for symbol, shift in first.items():
        arrows += [{own: shift + state for own, state in leaving.items()} for leaving in inner[:-1]]
        arrows.append({symbol: last})
    return (*arrows, {"E": last + 1}, {})


_EMBEDDED = _embed(_REBER)


def reber(count: int, *, seed: Seed = None) -> list[str]:
    """Return strings of the Reber grammar; where two symbols are legal, each has probability 1/2.

    ::

        B -> T or P;  T -> S* X;  P -> T* V;  then X -> X T* V ..., or S;  V -> P and back, or V;  E

    Parameters
    ----------
    count : int
        N, at least 1. Short strings occur often.
    seed : int or numpy.random.Generator, optional

    Returns
    -------
    strings : list of str
        Of the symbols B, T, P, S, X, V, E; at least 5 of them.

    Raises
    ------
    ValueError, TypeError
        If the count is less than 1 or not an integer, or the seed is of another kind.

    References
    ----------
    Reber (1967), "Implicit Learning of Artificial Grammars". Cleeremans, Servan-Schreiber, McClelland (1989),
    "Finite State Automata and Simple Recurrent Networks".

    Examples
    --------
    >>> reber(3, seed=0)
    ['BPVVE', 'BTSSSSSXSE', 'BPVVE']
    """
    random = as_generator(seed)
    return [_walk(_REBER, random) for _ in range(as_size("count", count))]


def embedded_reber(count: int, *, seed: Seed = None) -> list[str]:
    """Return strings of the embedded Reber grammar: ``BT...TE`` or ``BP...PE`` around a string of `reber`.

    The last symbol but one is the second one again: who foresees it has remembered it over the whole string.

    Parameters
    ----------
    count : int
        N, at least 1. Short strings occur often.
    seed : int or numpy.random.Generator, optional

    Returns
    -------
    strings : list of str
        At least 9 symbols each.

    Raises
    ------
    ValueError, TypeError
        If the count is less than 1 or not an integer, or the seed is of another kind.

    References
    ----------
    Hochreiter, Schmidhuber (1997), "Long Short-Term Memory", experiment 1. Cleeremans, Servan-Schreiber,
    McClelland (1989), "Finite State Automata and Simple Recurrent Networks".

    Examples
    --------
    >>> embedded_reber(2, seed=0)
    ['BPBPVPXTTTTVVEPE', 'BPBPVVEPE']
    """
    random = as_generator(seed)
    return [_walk(_EMBEDDED, random) for _ in range(as_size("count", count))]


def legal_continuations(text: str, *, embedded: bool = False) -> list[str]:
    """Return which symbols may come next after each beginning of a string.

    Parameters
    ----------
    text : str
        A string of the grammar, or the beginning of one.
    embedded : bool, default False
        Whether the grammar is that of `embedded_reber`.

    Returns
    -------
    continuations : list of str, len(text) + 1 of them
        The symbols, sorted, that may be the first, that may come after the first, ...; the empty str after
        the end.

    Raises
    ------
    ValueError
        If a symbol is not legal; the message names its place.
    TypeError
        If `text` is not a str, or `embedded` is neither True nor False.

    Examples
    --------
    >>> legal_continuations("BTXSE")
    ['B', 'PT', 'SX', 'SX', 'E', '']
    >>> legal_continuations("BTBPVVET", embedded=True)
    ['B', 'PT', 'B', 'PT', 'TV', 'PV', 'E', 'T', 'E']
    """
    if not isinstance(text, str):
        raise TypeError(f"text: expected a str, got {type(text).__name__}")
    arrows = _EMBEDDED if as_flag("embedded", embedded) else _REBER
    state, result = 0, ["B"]
    for place, symbol in enumerate(text):
        if symbol not in arrows[state]:
            expected = " or ".join(sorted(arrows[state])) or "the end"
            raise ValueError(f"text: expected {expected} at place {place}, got {symbol!r} in {text!r}")
        state = arrows[state][symbol]
        result.append("".join(sorted(arrows[state])))
    return result


def _walk(arrows: _Arrows, random: np.random.Generator) -> str:
    """Return the symbols of a random walk through a graph, from its first state to the one without arrows."""
    state, symbols = 0, []
    while arrows[state]:
        legal = [*arrows[state]]
        symbols.append(legal[random.integers(2)] if len(legal) == 2 else legal[0])
        state = arrows[state][symbols[-1]]
    return "".join(symbols)
