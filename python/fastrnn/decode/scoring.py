"""Score texts with a language model: log-probabilities of tokens and texts, ranking, and next symbols."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._checks import as_choice, as_flag, as_size
from fastrnn._memory import FEWER_TEXTS, named_memory
from fastrnn.decode.prompts import context_of
from fastrnn.language.vocabulary_match import check_vocabulary

if TYPE_CHECKING:
    from fastrnn.data import Vocabulary
    from fastrnn.language import LanguageModel
    from fastrnn.train.distributed import Ranks

__all__ = ["UNITS", "NextSymbols", "Score", "next_symbols", "rank", "score"]

# Factor from nats to each unit.
UNITS = {"nats": 1.0, "bits": 1.0 / math.log(2.0), "log10": 1.0 / math.log(10.0)}
_BATCH_SIZE = 64  # texts scored side by side,
_LARGEST_BATCH = 1 << 20  # and their number times the longest one's tokens


class Score(NamedTuple):
    """The log-probability of a text.

    Attributes
    ----------
    text : str
    tokens : tuple of str
        The predicted tokens, including the end symbol if it counts.
    log_probabilities : ndarray, float64 [tokens]
        Of each token given those before it, in `unit`.
    length_log_probability : float
        Of the text's length under a length model, in `unit`; 0 without one.
    unknown : int
        Number of tokens scored as the unknown symbol.
    unit : str
    given : tuple of str
        Tokens read but not predicted: the first one, if the model has no start.
    """

    text: str
    tokens: tuple[str, ...]
    log_probabilities: NDArray[np.float64]
    length_log_probability: float
    unknown: int
    unit: str
    given: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """The log-probability of the whole text."""
        return float(self.log_probabilities.sum()) + self.length_log_probability

    @property
    def per_token(self) -> float:
        """``total`` divided by the number of tokens."""
        return self.total / len(self.tokens)

    @property
    def perplexity(self) -> float:
        """``exp(-per_token)`` with the logarithm in nats; infinite if too large for a float."""
        nats = -self.per_token / UNITS[self.unit]
        return math.exp(nats) if nats < 709.0 else math.inf


class NextSymbols(NamedTuple):
    """The distribution of the next symbol.

    Attributes
    ----------
    symbols : tuple of str
        In descending order of probability; ties by id.
    probabilities : ndarray, float64 [symbols]
    end : float or None
        With ``length_model="halt"``, the probability that the text ends here; the symbols' probabilities then
        include the factor ``1 - end``. None for other models.
    """

    symbols: tuple[str, ...]
    probabilities: NDArray[np.float64]
    end: float | None = None


def score(
    model: LanguageModel,
    vocabulary: Vocabulary,
    texts: str | Iterable[str],
    *,
    end: bool | None = None,
    unit: str = "nats",
    unknown: str | None = None,
    context: ArrayLike | None = None,
    ranks: Ranks | None = None,
) -> list[Score]:
    """Return the log-probability of texts and of each of their tokens.

    Texts are independent: the state is zero before each, and the model reads its ``start`` first.

    Parameters
    ----------
    model : LanguageModel
    vocabulary : Vocabulary
    texts : str or iterable of str
    end : bool, optional
        Whether to include the probability that the text ends: of ``<eos>``, or from the length model.
        Default: if the model has an end.
    unit : {"nats", "bits", "log10"}
    unknown : str, optional
        Another policy for unknown tokens than the vocabulary's, as for `Vocabulary.encode`.
    context : array_like, float [C] or [N, C], optional
        For a model whose layers have a `context_size`: one for all texts, or one for each.
    ranks : Ranks, optional
        Processes of `fastrnn.train.distributed` that share the texts, which are the same on all of them; each
        returns the result of one process, to the last bit.

    Returns
    -------
    scores : list of Score
        In the order of the texts.

    Raises
    ------
    ValueError
        If a text has nothing to predict or is longer than the model allows, a token is not in the vocabulary,
        `end` is True but the model has none, the unit is unknown, or the vocabulary is not the model's.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.decode import score
    >>> vocabulary = fr.Vocabulary("ab")
    >>> model = fr.LanguageModel(2, hidden_size=4, num_layers=1, start=-1, seed=0)
    >>> [result] = score(model, vocabulary, "aab", unit="bits")
    >>> result.tokens, len(result.log_probabilities), -4 < result.total < -2
    (('a', 'a', 'b'), 3, True)
    """
    unit = as_choice("unit", unit, UNITS)
    check_vocabulary(model, vocabulary)
    given = [texts] if isinstance(texts, str) else list(texts)
    with_end = _has_end(model) if end is None else as_flag("end", end)
    if with_end and not _has_end(model):
        raise ValueError("end: expected a model with an end symbol or a length model, got one without")
    eos = model.eos if with_end else None
    contexts = context_of(context, len(given)).get("context")
    if contexts is not None and len(contexts) != len(given):
        raise ValueError(f"context: expected one for all texts or {len(given)}, got {len(contexts)}")
    sequences = _with_end(model, vocabulary.encode_batch(given, unknown=unknown), given, eos)
    results: list[Any] = [None] * len(given)
    batches = _batches(sequences)

    def losses_of(rows: list[int]) -> list[tuple[NDArray[np.float64], float]]:
        own = {} if contexts is None else {"context": contexts[rows]}
        return _losses(model, [sequences[index] for index in rows], **own)

    share = map if ranks is None else ranks.map
    for rows, found in zip(batches, share(losses_of, batches), strict=True):
        for index, (losses, of_length) in zip(rows, found, strict=True):
            ids, factor = sequences[index], UNITS[unit]
            skipped = 0 if model.start is not None else 1
            results[index] = Score(
                given[index],
                tuple(vocabulary.symbols[i] for i in ids[skipped:]),
                0.0 - losses * factor,  # no minus before a zero
                0.0 - of_length * factor if with_end else 0.0,
                int(np.count_nonzero(ids[skipped:] == vocabulary.unknown_id)),
                unit,
                tuple(vocabulary.symbols[i] for i in ids[:skipped]),
            )
    return results


def rank(
    model: LanguageModel,
    vocabulary: Vocabulary,
    candidates: Sequence[str],
    *,
    per_token: bool = False,
    end: bool | None = None,
    unit: str = "nats",
    unknown: str | None = None,
    context: ArrayLike | None = None,
    ranks: Ranks | None = None,
) -> list[Score]:
    """Sort candidate texts, the likeliest first.

    Parameters
    ----------
    model, vocabulary, end, unit, unknown, context, ranks
        As for `score`.
    candidates : sequence of str
        At least one.
    per_token : bool, default False
        Compare the mean log-probability per token instead of the sum, which favours short texts.

    Returns
    -------
    scores : list of Score
        Ties stay in the order given.

    Raises
    ------
    ValueError
        As for `score`, and if there is no candidate.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.decode import rank
    >>> vocabulary = fr.Vocabulary("ab")
    >>> model = fr.LanguageModel(2, hidden_size=4, num_layers=1, start=-1, seed=0)
    >>> [best, worst] = rank(model, vocabulary, ["abab", "a"])
    >>> best.text
    'a'
    """
    if isinstance(candidates, str) or not len(candidates):
        raise ValueError(f"candidates: expected a list of at least one text, got {candidates!r}")
    by_token = as_flag("per_token", per_token)
    options: dict[str, Any] = {"end": end, "unit": unit, "unknown": unknown, "context": context}
    scores = score(model, vocabulary, candidates, **options, ranks=ranks)
    return sorted(scores, key=lambda each: each.per_token if by_token else each.total, reverse=True)


def next_symbols(
    model: LanguageModel,
    vocabulary: Vocabulary,
    prefix: str = "",
    *,
    top: int | None = None,
    context: ArrayLike | None = None,
) -> NextSymbols:
    """Return the distribution of the symbol after a prefix.

    Parameters
    ----------
    model : LanguageModel
    vocabulary : Vocabulary
    prefix : str, default ""
        The beginning of a text; may be empty only if the model has a start.
    top : int, optional
        Number of symbols to return, the likeliest first; default: all.
    context : array_like, float [C], optional
        What the text is about, for a model whose layers have a `context_size`.

    Raises
    ------
    ValueError
        If there is neither a prefix nor a start, a token is not in the vocabulary, `top` is less than 1, or
        the model predicts the length first, as the next symbol depends on it.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.decode import next_symbols
    >>> vocabulary = fr.Vocabulary("abc")
    >>> model = fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0)
    >>> found = next_symbols(model, vocabulary, "ab", top=2)
    >>> len(found.symbols), bool(found.probabilities[0] >= found.probabilities[1])
    (2, True)
    """
    count = None if top is None else as_size("top", top)
    check_vocabulary(model, vocabulary)
    if model.length_model == "tau":
        raise ValueError("model: expected one whose next symbol does not depend on a length drawn first")
    try:
        ids = vocabulary.encode(prefix)
    except ValueError as error:
        raise ValueError(f"prefix: {str(error).removeprefix('text: ')}") from None
    if model.start is not None:
        ids = np.concatenate([[model.start], ids])
    if not ids.size:
        raise ValueError("prefix: expected at least one token, as the model has no start, got none")
    stream = model.stream(1, **context_of(context, 1))
    logits: Any = None
    for symbol in ids:
        logits = stream.step(symbol.reshape(1))
    values = logits.reshape(-1).astype(np.float64)
    p = np.exp(values - values.max())
    p /= p.sum()
    end = None
    if model.length_model == "halt":  # no text ends before its first predicted symbol
        end = float(stream.halt_probability[0]) if len(ids) > 1 else 0.0
        p *= 1.0 - end
    order = np.argsort(-p, kind="stable")[:count]
    return NextSymbols(tuple(vocabulary.symbols[i] for i in order), p[order], end)


def _batches(sequences: list[NDArray[np.int64]]) -> list[list[int]]:
    """Return the texts that are scored side by side: similar in length, the shortest first."""
    batches: list[list[int]] = []
    for index in sorted(range(len(sequences)), key=lambda index: len(sequences[index])):
        rows = batches[-1] if batches else []
        if rows and len(rows) < _BATCH_SIZE and len(sequences[index]) * (len(rows) + 1) <= _LARGEST_BATCH:
            rows.append(index)
        else:
            batches.append([index])
    return batches


def _has_end(model: LanguageModel) -> bool:
    return model.eos is not None or model.length_model is not None


def _with_end(
    model: LanguageModel, sequences: list[NDArray[np.int64]], texts: list[str], eos: int | None
) -> list[NDArray[np.int64]]:
    """Return the ids of each text, with `eos` if given; raise ValueError for too few or too many."""
    given = 0 if model.start is not None else 1
    least, longest = (1 if eos is not None else 1 + given), model.config["max_length"]
    for index, ids in enumerate(sequences):
        if len(ids) < least:
            raise ValueError(
                f"texts[{index}]: expected at least {_tokens(least)} to score, got {len(ids)} in "
                f"{texts[index]!r}"
            )
        if longest is not None and len(ids) - given > longest:
            raise ValueError(
                f"texts[{index}]: expected at most {_tokens(longest + given)}, the model's maximum length, "
                f"got {len(ids)}"
            )
    return sequences if eos is None else [np.append(ids, eos) for ids in sequences]


def _tokens(count: int) -> str:
    return f"{count} token{'' if count == 1 else 's'}"


@named_memory("score", FEWER_TEXTS)
def _losses(
    model: LanguageModel, sequences: list[NDArray[np.int64]], **context: Any
) -> list[tuple[NDArray[np.float64], float]]:
    """Return -log p of the tokens, and of the length, of each of some sequences scored as one batch."""
    start = np.array([] if model.start is None else [model.start], np.int64)
    lengths = np.array([len(ids) - 1 + len(start) for ids in sequences])
    inputs = np.zeros((lengths.max(), len(sequences)), np.int64)
    targets = np.full_like(inputs, -1)
    for row, ids in enumerate(sequences):
        inputs[: lengths[row], row] = np.concatenate([start, ids[:-1]])
        targets[: lengths[row], row] = ids if len(start) else ids[1:]
    losses, of_lengths, _ = model.target_losses(inputs, targets, lengths=lengths, **context)
    return [(losses[:length, row], float(of_lengths[row])) for row, length in enumerate(lengths)]
