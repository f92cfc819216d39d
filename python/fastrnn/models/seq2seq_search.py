"""How `Seq2Seq` finds a target: greedily, by drawing, or by beam search, for many sources at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.decode import Sampling, log_probabilities, next_probabilities, select_rows
from fastrnn.decode.categorical import sample_categorical
from fastrnn.models.seq2seq_network import Seq2SeqNetwork

__all__ = ["Found", "Limits", "beam_targets", "draw_targets"]

UNKNOWN, END = 0, 1  # END is also what the decoder reads first


class Found(NamedTuple):
    """A target that was found.

    Attributes
    ----------
    ids : ndarray, int64 [T]
        Without the end symbol.
    weights : ndarray, float [T, S], or None
        The attention of each step.
    log_probability : float
        In nats; of the end symbol too.
    """

    ids: Ids
    weights: Array | None
    log_probability: float


class Limits(NamedTuple):
    """What a target may be.

    Attributes
    ----------
    longest : int
        Most symbols.
    unknown : bool
        Whether the unknown symbol may be among them.
    """

    longest: int
    unknown: bool


class _Decoder:
    """The decoder, run step by step for a number of rows, each of one source."""

    def __init__(self, network: Seq2SeqNetwork, sources: Array, lengths: Ids) -> None:
        self.network = network
        y, encoded = network.encoder(sources, lengths)
        self.memory = None if network.attention is None else network.attention.prepare(y, lengths)
        self.state, self.context = network.start(encoded)
        self.fed = network.no_vector(len(lengths)) if network.feeds else None

    def step(self, ids: Ids) -> tuple[Array, Array | None]:
        """Read a symbol in each row; return the logits of the next, [N, V], and the weights, [N, S]."""
        joined = None if self.fed is None else self.fed[None]
        d, self.state = self.network.decoder(ids[None], None, joined, state=self.state, context=self.context)
        a, weights = self.network.attend(d, self.memory)
        if self.fed is not None:
            self.fed = a[0]
        return self.network.output(a[0]), None if weights is None else weights[0]

    def select(self, rows: NDArray[np.intp]) -> None:
        """Keep some rows, each any number of times, in the order of their numbers."""
        self.state = None if self.state is None else select_rows(self.state, rows)
        self.context = None if self.context is None else self.context[rows]
        self.memory = None if self.memory is None else self.memory.select(rows)
        self.fed = None if self.fed is None else self.fed[rows]


def draw_targets(
    network: Seq2SeqNetwork,
    sources: Array,
    lengths: Ids,
    limits: Limits,
    sampling: Sampling,
    random: Callable[[NDArray[np.intp]], NDArray[np.float64]] | None,
) -> list[Found]:
    """Draw a target for each source; with temperature 0 take the likeliest symbol at each step.

    Parameters
    ----------
    network : Seq2SeqNetwork
    sources : ndarray, int64 [S, N] or float [S, N, D]
    lengths : ndarray, int64 [N]
    limits : Limits
    sampling : Sampling
    random : callable, optional
        Returns the next random number in [0, 1) of each of some places in the batch; not used, and not
        needed, with temperature 0.
    """
    decoder = _Decoder(network, sources, lengths)
    rows, read = np.arange(len(lengths)), np.full(len(lengths), END)
    ids: list[list[int]] = [[] for _ in lengths]
    weights: list[list[Array]] = [[] for _ in lengths]
    nats = np.zeros(len(lengths))
    if not limits.unknown:
        sampling = replace(sampling, banned=(UNKNOWN,))
    for _ in range(limits.longest + 1):
        logits, seen = decoder.step(read)
        points = np.zeros(len(rows)) if random is None else random(rows)
        read = sample_categorical(next_probabilities(logits, sampling), points)
        nats[rows] += log_probabilities(logits)[np.arange(len(rows)), read]
        goes_on = read != END
        for place in np.flatnonzero(goes_on).tolist():
            row = rows[place]
            ids[row].append(int(read[place]))
            if seen is not None:
                weights[row].append(seen[place, : lengths[row]])
        if not goes_on.any():
            break
        if not goes_on.all():
            kept = np.flatnonzero(goes_on)
            decoder.select(kept)
            rows, read = rows[kept], read[kept]
    longest = limits.longest
    results = []
    for row, own in enumerate(ids):
        given = None
        if network.attention is not None:
            given = np.array(weights[row][:longest], network.dtype).reshape(-1, lengths[row])
        results.append(Found(np.array(own[:longest], np.int64), given, float(nats[row])))
    return results


def beam_targets(
    network: Seq2SeqNetwork,
    sources: Array,
    lengths: Ids,
    limits: Limits,
    beam: int,
    penalty: float,
) -> list[Found]:
    """Search for the likeliest target of each source, with a beam of hypotheses for each.

    A finished hypothesis keeps its place in the beam while its log p is among the highest. A source's search
    ends when no hypothesis could score higher than the best finished one: its log p only falls, and the
    penalty's divisor is largest at the longest. Scores are ``log p / ((5 + n) / 6) ** penalty``, where n
    counts the end symbol (Wu et al. 2016, equation 14).

    Parameters
    ----------
    network, sources, lengths, limits
        As for `draw_targets`.
    beam : int
        Hypotheses for each source.
    penalty : float
    """
    count = len(lengths)
    decoder = _Decoder(network, sources, lengths)
    decoder.select(np.repeat(np.arange(count), beam))
    nats = np.full((count, beam), -np.inf)
    nats[:, 0] = 0.0  # all begin alike: only one counts
    ids = np.full((count, beam, 0), END)
    ended = np.zeros((count, beam), np.bool_)
    weights = np.zeros((count, beam, 0, len(sources)), network.dtype)
    read = np.full(count * beam, END)
    largest = _divisor(limits.longest + 1, penalty)
    for _ in range(limits.longest + 1):
        logits, seen = decoder.step(read)
        each = log_probabilities(logits).reshape(count, beam, -1)
        if not limits.unknown:
            each[:, :, UNKNOWN] = -np.inf
        each[ended] = -np.inf
        each[ended, END] = 0.0
        symbols = each.shape[2]
        total = (nats[:, :, None] + each).reshape(count, -1)
        best = np.argsort(-total, axis=1, kind="stable")[:, :beam]
        parents, chosen = np.divmod(best, symbols)
        nats = np.take_along_axis(total, best, axis=1)
        ids = np.concatenate(
            [np.take_along_axis(ids, parents[:, :, None], axis=1), chosen[:, :, None]], axis=2
        )
        if seen is not None:
            weights = np.concatenate([weights, seen.reshape(count, beam, 1, -1)], axis=2)
            weights = np.take_along_axis(weights, parents[:, :, None, None], axis=1)
        ended = np.take_along_axis(ended, parents, axis=1) | (chosen == END)
        scores = np.where(ended, nats / _divisor(_sizes(ids, ended), penalty), -np.inf)
        best_scores = scores.max(axis=1, keepdims=True)
        hopeless = ~ended & (nats / largest <= best_scores)
        over = (ended | hopeless).all(axis=1, keepdims=True)
        nats[over & hopeless] = -np.inf
        ended |= over
        if ended.all():
            break
        decoder.select((np.arange(count)[:, None] * beam + parents).reshape(-1))
        read = chosen.reshape(-1)
    winners = (nats / _divisor(_sizes(ids, ended), penalty)).argmax(axis=1)
    result = []
    for row, place in enumerate(winners.tolist()):
        own = ids[row, place]
        own = own[own != END][: limits.longest]
        given = None
        if network.attention is not None:
            given = weights[row, place, : len(own), : lengths[row]].copy()
        result.append(Found(own, given, float(nats[row, place])))
    return result


def _sizes(ids: Ids, ended: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the symbols of each hypothesis, the end symbol included."""
    sizes: NDArray[np.int64] = (ids != END).sum(axis=2) + ended
    return sizes


def _divisor(sizes: Any, penalty: float) -> Any:
    return ((5.0 + sizes) / 6.0) ** penalty
