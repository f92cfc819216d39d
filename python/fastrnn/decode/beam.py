"""Beam search for the likeliest texts of a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._checks import as_number, as_size
from fastrnn._memory import named_memory
from fastrnn.decode.distribution import Sampling, log_probabilities
from fastrnn.decode.prompts import as_prompt, context_of
from fastrnn.decode.state_rows import select_stream_rows
from fastrnn.decode.stop_rule_choice import as_eos

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastrnn.language import LanguageModel

__all__ = ["Hypothesis", "beam_search"]


class Hypothesis(NamedTuple):
    """A text found by beam search.

    Attributes
    ----------
    ids : ndarray, int64, shape [symbols]
        Neither the prompt nor the symbol that ended it.
    log_probability : float
        Given the prompt, in nats; includes the end symbol if `stopped_by` is "eos".
    score : float
        What texts are compared by: `log_probability` divided by the length penalty.
    stopped_by : {"eos", "length"}
    """

    ids: NDArray[np.int64]
    log_probability: float
    score: float
    stopped_by: str


@named_memory("beam_search", "use a smaller beam, or shorter texts")
def beam_search(
    model: LanguageModel,
    prompt: ArrayLike | None = None,
    *,
    beam_size: int = 5,
    max_length: int,
    eos: int | None = None,
    length_penalty: float = 0.0,
    banned: Iterable[int] = (),
    context: ArrayLike | None = None,
) -> list[Hypothesis]:
    """Search for the texts with the highest scores.

    Each step continues each text of the beam with every symbol. Of the likeliest `beam_size` continuations,
    those that end with `eos` are finished and set aside; the likeliest that do not end, again up to
    `beam_size`, are the next beam. The search ends at `max_length`, or when `beam_size` texts are finished
    and no continuation of the beam could score higher than the worst of them: a log-probability only falls,
    and the penalty's divisor is largest at `max_length`.

    The score is ``log_probability / ((5 + n) / 6) ** length_penalty``, where n is the number of symbols
    including `eos`. Texts cut off at `max_length` are scored in the same way. Ties in the score, and in the
    log-probability within the beam, are broken in favour of the smaller ids.

    Parameters
    ----------
    model : LanguageModel
    prompt : array_like of int, shape [symbols], optional
        As for `generate`.
    beam_size : int, default 5
        1 is the same as `greedy`, if there is no length penalty.
    max_length : int
        Maximum number of symbols, including `eos`.
    eos : int, optional
        As for `generate`.
    length_penalty : float, default 0.0
        Alpha, at least 0: higher values favour longer texts. 0 compares probabilities.
    banned : iterable of int, default ()
        Ids that no text may contain.
    context : array_like, float [C], optional
        What the text is about, for a model whose layers have a `context_size`.

    Returns
    -------
    hypotheses : list of Hypothesis
        At most `beam_size`, the best first; fewer if fewer texts exist.

    Raises
    ------
    ValueError
        If a number or an id is out of range, the prompt is empty and the model has no start, the ban leaves
        nothing to generate, or the model does not end texts with a symbol.
    TypeError
        If the prompt does not hold integers or a size is not an integer.

    References
    ----------
    Wu et al. (2016), "Google's Neural Machine Translation System: Bridging the Gap between Human and Machine
    Translation", equation 14 (length penalty).

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.decode import beam_search
    >>> model = fr.LanguageModel(4, hidden_size=8, num_layers=1, seed=0)
    >>> best, *others = beam_search(model, [1, 2], beam_size=3, max_length=5, eos=0)
    >>> len(others), best.log_probability >= others[0].log_probability
    (2, True)
    """
    read = as_prompt(model, "prompt", prompt)
    size, longest = as_size("beam_size", beam_size), as_size("max_length", max_length)
    alpha = as_number("length_penalty", length_penalty, least=0.0)
    kind = model.length_model
    if kind is not None:
        raise ValueError(
            f"model: beam search needs a model that ends texts with a symbol, got length_model={kind!r}"
        )
    never = list(Sampling(banned=banned).banned)
    if never and never[-1] >= model.vocabulary_size:
        raise ValueError(f"banned: {never[-1]} is out of range for {model.vocabulary_size} symbols")
    beam = _Beam(size, as_eos(model, eos), alpha, longest, never)
    return beam.search(model, read, **context_of(context, 1))


class _Beam:
    """A search. Rows of the beam are always sorted by their ids, so that a stable sort breaks ties."""

    def __init__(self, size: int, eos: int | None, alpha: float, longest: int, banned: list[int]) -> None:
        self.size, self.eos, self.alpha, self.longest, self.banned = size, eos, alpha, longest, banned
        self.texts = np.empty((1, 0), dtype=np.int64)
        self.nats = np.zeros(1)
        self.finished: list[Hypothesis] = []

    def search(self, model: Any, read: NDArray[np.int64], **context: Any) -> list[Hypothesis]:
        stream = model.stream(1, **context)
        for symbol in read:
            logits = stream.step(symbol.reshape(1))
        while True:
            parents = self._extend(logits)
            if self.texts.shape[1] == self.longest:
                self._finish(self.texts, self.nats, "length")
                break
            if not self._can_improve():
                break
            stream = select_stream_rows(model, stream, parents)
            logits = stream.step(self.texts[:, -1])
        if not self.finished:
            raise ValueError("banned: nothing is left to generate")
        return self.finished

    def _extend(self, logits: NDArray[Any]) -> NDArray[np.intp]:
        """Append a symbol to each text; return the row of the old beam that each new text extends."""
        nats = self.nats[:, None] + log_probabilities(logits)
        nats[:, self.banned] = -np.inf
        best = highest(nats.reshape(-1), self.size + len(nats))
        parents, symbols = np.divmod(best, nats.shape[1])
        ends = np.zeros(len(best), dtype=np.bool_) if self.eos is None else symbols == self.eos
        ended = best[: self.size][ends[: self.size]]
        rows = ended // nats.shape[1]
        self._finish(self.texts[rows], nats.reshape(-1)[ended], "eos")
        kept = np.sort(best[~ends][: self.size])
        parents, symbols = np.divmod(kept, nats.shape[1])
        self.texts = np.concatenate([self.texts[parents], symbols[:, None]], axis=1)
        self.nats = nats.reshape(-1)[kept]
        return parents

    def _can_improve(self) -> bool:
        """Return whether a continuation of the beam could still become one of the best texts."""
        if len(self.finished) < self.size:
            return self.nats.size > 0
        bound = self._score(float(self.nats.max(initial=-np.inf)), self.longest)
        return bound >= self.finished[-1].score

    def _finish(self, texts: NDArray[np.int64], nats: NDArray[np.float64], reason: str) -> None:
        """Add finished texts and keep the best."""
        for ids, log_probability in zip(texts, nats.tolist(), strict=True):
            score = self._score(log_probability, len(ids) + (reason == "eos"))
            self.finished.append(Hypothesis(ids, log_probability, score, reason))
        self.finished.sort(key=lambda one: (-one.score, one.ids.tolist()))
        del self.finished[self.size :]

    def _score(self, log_probability: float, length: int) -> float:
        return log_probability / float(((5.0 + length) / 6.0) ** self.alpha)


def highest(values: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Return the indices of the highest finite values in descending order; ties go to the first."""
    least = -np.inf if count >= len(values) else np.partition(values, -count)[-count]
    indices = np.flatnonzero((values >= least) & (values > -np.inf))
    return indices[np.argsort(-values[indices], kind="stable")][:count]
