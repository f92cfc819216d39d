"""How `Seq2Seq` finds a target: greedily, by drawing, or by beam search, for many sources at once."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.decode import Sampling, log_probabilities, next_probabilities, select_rows
from fastrnn.decode.categorical import sample_categorical
from fastrnn.models.seq2seq_network import Seq2SeqNetwork

__all__ = ["Found", "beam_targets", "draw_targets"]

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
    longest: int,
    sampling: Sampling,
    generator: np.random.Generator,
    *,
    unknown: bool,
) -> list[Found]:
    """Draw a target for each source; with temperature 0 take the likeliest symbol at each step.

    Parameters
    ----------
    network : Seq2SeqNetwork
    sources : ndarray, int64 [S, N] or float [S, N, D]
    lengths : ndarray, int64 [N]
    longest : int
        Most symbols of a target; only the end symbol can follow them.
    sampling : Sampling
    generator : numpy.random.Generator
    unknown : bool
        Whether the unknown symbol may be drawn.
    """
    decoder = _Decoder(network, sources, lengths)
    rows, read = np.arange(len(lengths)), np.full(len(lengths), END)
    ids: list[list[int]] = [[] for _ in lengths]
    weights: list[list[Array]] = [[] for _ in lengths]
    nats = np.zeros(len(lengths))
    if not unknown:
        sampling = replace(sampling, banned=(UNKNOWN,))
    for step in range(longest + 1):
        logits, seen = decoder.step(read)
        read = sample_categorical(next_probabilities(logits, sampling), generator.random(len(rows)))
        if step == longest:
            read = np.full(len(rows), END)
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
    return [_found(own, given, total) for own, given, total in zip(ids, weights, nats.tolist(), strict=True)]


def beam_targets(
    network: Seq2SeqNetwork,
    sources: Array,
    lengths: Ids,
    longest: int,
    beam: int,
    penalty: float,
    *,
    unknown: bool,
) -> list[Found]:
    """Search for the likeliest target of each source, with a beam of hypotheses for each.

    A finished hypothesis keeps its place in the beam; the search of all sources ends when all places are
    finished, or with the end symbol after `longest` others. Hypotheses are compared by
    ``log p / ((5 + n) / 6) ** penalty`` in the end (Wu et al. 2016, equation 14), and by log p in the beam.

    Parameters
    ----------
    network, sources, lengths, longest, unknown
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
    for step in range(longest + 1):
        logits, seen = decoder.step(read)
        each = log_probabilities(logits).reshape(count, beam, -1)
        if not unknown:
            each[:, :, UNKNOWN] = -np.inf
        if step == longest:
            each[:, :, :END] = each[:, :, END + 1 :] = -np.inf
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
        if ended.all():
            break
        decoder.select((np.arange(count)[:, None] * beam + parents).reshape(-1))
        read = chosen.reshape(-1)
    sizes = (ids != END).sum(axis=2) + 1
    winners = (nats / ((5.0 + sizes) / 6.0) ** penalty).argmax(axis=1)
    result = []
    for row, place in enumerate(winners.tolist()):
        best_ids = ids[row, place]
        best_ids = best_ids[best_ids != END]
        given = [] if seen is None else list(weights[row, place, : len(best_ids), : lengths[row]])
        result.append(_found(best_ids.tolist(), given, float(nats[row, place])))
    return result


def _found(ids: list[int], weights: list[Array], nats: float) -> Found:
    return Found(np.array(ids, np.int64), np.stack(weights) if weights else None, nats)
