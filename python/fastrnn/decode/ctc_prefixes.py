"""The beam of prefix beam search: prefixes, probabilities of their paths, a language model's scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastrnn.decode.beam import highest
from fastrnn.decode.distribution import log_probabilities
from fastrnn.decode.state_rows import select_rows

__all__ = ["FusedLanguageModel", "NoLanguageModel", "Prefixes"]

_Floats = NDArray[np.float64]
_Ids = NDArray[np.int64]
_Rows = NDArray[np.intp]
_ROOT = 0  # the node of the empty prefix


class PrefixScorer(Protocol):
    """Scores each prefix of a beam besides its frames. The beam begins with the empty prefix alone."""

    def continuations(self) -> _Floats | float:
        """Return what each symbol adds to the score of each prefix: [prefixes, V], or one number."""

    def keep(self, stays: _Rows, parents: _Rows, symbols: _Ids) -> None:
        """Replace the beam by prefixes that stay, and after them by parents extended by a symbol each."""

    def ends(self) -> _Floats | float:
        """Return what the end adds to the score of each prefix: [prefixes], or one number."""


class NoLanguageModel:
    """Adds nothing."""

    def continuations(self) -> float:
        """Return 0."""
        return 0.0

    def keep(self, stays: _Rows, parents: _Rows, symbols: _Ids) -> None:
        """Do nothing: there is no state."""

    def ends(self) -> float:
        """Return 0."""
        return 0.0


class FusedLanguageModel:
    """Adds the weighted log-probability of each symbol under a language model; a batch row for each prefix.

    Parameters
    ----------
    model : LanguageModel
    ids : ndarray, int64 [V]
        The model's id of each symbol; -1 for none.
    weight : float
    """

    def __init__(self, model: Any, ids: _Ids, weight: float) -> None:
        self._model, self._ids, self._weight = model, ids, weight
        self._missing = ids < 0
        stream = model.stream(1)
        # Of each id after each prefix. A model without a start does not predict the first symbol.
        self._nats = np.zeros((1, model.vocabulary_size))
        if model.start is not None:
            self._nats = log_probabilities(stream.step(np.array([model.start])))
        self._state = stream.state

    def continuations(self) -> _Floats:
        """Return the weighted log-probabilities; -inf where the model has no such symbol."""
        added = self._weighted(self._nats[:, self._ids])
        added[:, self._missing] = -np.inf
        return added

    def keep(self, stays: _Rows, parents: _Rows, symbols: _Ids) -> None:
        """Step the model for the extended prefixes; the others keep their state."""
        state, nats = select_rows(self._state, stays), self._nats[stays]
        if len(parents):
            stream = self._model.stream(len(parents))
            stream.state = select_rows(self._state, parents)
            nats = np.concatenate([nats, log_probabilities(stream.step(self._ids[symbols]))])
            state = _joined(state, stream.state)
        self._state, self._nats = state, nats

    def ends(self) -> _Floats | float:
        """Return the weighted log-probability of the end; 0 if the model has none."""
        return 0.0 if self._model.eos is None else self._weighted(self._nats[:, self._model.eos])

    def _weighted(self, nats: _Floats) -> _Floats:
        return self._weight * nats if self._weight else np.zeros_like(nats)


def _joined(one: Any, two: Any) -> Any:
    """Return the state of two batches as one."""
    if isinstance(one, tuple):
        return tuple(_joined(a, b) for a, b in zip(one, two, strict=True))
    return np.concatenate([one, two], axis=1)


class Prefixes:
    """A beam of prefixes. Each is a node of a tree: a parent and a symbol, so that equal ones have one node.

    Parameters
    ----------
    size : int
        V, the number of symbols with the blank.
    blank : int
    width : int
        Prefixes to keep.
    bonus : float
        Added to the score for each symbol.
    scorer : PrefixScorer
        For a beam that holds the empty prefix.
    """

    def __init__(self, size: int, blank: int, width: int, bonus: float, scorer: PrefixScorer) -> None:
        self._size, self._blank, self._width, self._bonus, self._scorer = size, blank, width, bonus, scorer
        self._tree = [(-1, -1)]  # of each node its parent and symbol
        self._children: dict[tuple[int, int], int] = {}
        self._nodes = np.array([_ROOT])
        self._blank_nats = np.zeros(1)  # of the paths that end in a blank, and of those that do not
        self._symbol_nats = np.full(1, -np.inf)
        self._added = np.zeros(1)  # to the score, by language model and bonus

    def read(self, frame: _Floats) -> None:
        """Read a frame's log-probabilities [V]."""
        totals = np.logaddexp(self._blank_nats, self._symbol_nats)
        origins = np.array([self._tree[node] for node in self._nodes.tolist()]).reshape(-1, 2)
        last, filled = origins[:, 1], np.flatnonzero(origins[:, 1] >= 0)
        to_blank = totals + frame[self._blank]
        to_symbol = np.full(len(totals), -np.inf)
        to_symbol[filled] = self._symbol_nats[filled] + frame[last[filled]]
        extended = totals[:, None] + frame
        extended[filled, last[filled]] = self._blank_nats[filled] + frame[last[filled]]  # after a blank only
        extended[:, self._blank] = -np.inf
        # An extension that is in the beam already adds to it.
        row_of = {node: row for row, node in enumerate(self._nodes.tolist())}
        for row, (parent, symbol) in enumerate(origins.tolist()):
            above = row_of.get(parent)
            if above is not None:
                to_symbol[row] = np.logaddexp(to_symbol[row], extended[above, symbol])
                extended[above, symbol] = -np.inf
        added = self._added[:, None] + self._bonus + self._scorer.continuations()
        scores = np.concatenate(
            [np.logaddexp(to_blank, to_symbol) + self._added, (extended + added).reshape(-1)]
        )
        best = highest(scores, self._width)
        stays, new = np.sort(best[best < len(totals)]), np.sort(best[best >= len(totals)]) - len(totals)
        parents, symbols = np.divmod(new, self._size)
        nodes = [
            self._node(*pair) for pair in zip(self._nodes[parents].tolist(), symbols.tolist(), strict=True)
        ]
        self._nodes = np.concatenate([self._nodes[stays], np.array(nodes, np.int64)])
        self._blank_nats = np.concatenate([to_blank[stays], np.full(len(new), -np.inf)])
        self._symbol_nats = np.concatenate([to_symbol[stays], extended[parents, symbols]])
        full = np.broadcast_to(added, extended.shape)
        self._added = np.concatenate([self._added[stays], full[parents, symbols]])
        self._scorer.keep(stays, parents, symbols)

    def best(self, count: int) -> Iterator[tuple[_Ids, float, float]]:
        """Yield the ids, log-probability and score of the best prefixes."""
        totals = np.logaddexp(self._blank_nats, self._symbol_nats)
        scores = totals + self._added + self._scorer.ends()
        for row in highest(scores, count).tolist():
            yield self._ids(int(self._nodes[row])), float(totals[row]), float(scores[row])

    def _node(self, parent: int, symbol: int) -> int:
        node = self._children.setdefault((parent, symbol), len(self._tree))
        if node == len(self._tree):
            self._tree.append((parent, symbol))
        return node

    def _ids(self, node: int) -> _Ids:
        ids = []
        while node != _ROOT:
            node, symbol = self._tree[node]
            ids.append(symbol)
        return np.array(ids[::-1], np.int64)
