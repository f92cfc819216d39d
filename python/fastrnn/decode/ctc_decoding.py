"""Symbols from frames, for networks trained with `fastrnn.ctc_loss`: greedily, or by prefix beam search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._arrays import FLOAT_DTYPES, as_array, as_floats, as_ids, as_lengths
from fastrnn._checks import as_number, as_size
from fastrnn._memory import named_memory
from fastrnn.decode.ctc_prefixes import FusedLanguageModel, NoLanguageModel, Prefixes
from fastrnn.decode.distribution import log_probabilities
from fastrnn.layers.loss.ctc import as_blank

if TYPE_CHECKING:
    from fastrnn.language import LanguageModel

__all__ = ["CTCHypothesis", "ctc_beam", "ctc_greedy"]


class CTCHypothesis(NamedTuple):
    """A sequence of symbols found by prefix beam search.

    Attributes
    ----------
    ids : ndarray, int64, shape [symbols]
        Without blanks.
    log_probability : float
        Given the frames, in nats: the sum over the paths that the beam kept, so at most that of `ctc_loss`,
        and equal to it if the beam lost none.
    score : float
        What hypotheses are compared by: `log_probability`, plus ``lm_weight`` times the language model's
        log-probability, plus ``insertion_bonus`` for each symbol.
    """

    ids: NDArray[np.int64]
    log_probability: float
    score: float


def ctc_greedy(logits: Any, lengths: Any = None, *, blank: int = 0) -> list[NDArray[np.int64]]:
    """Return the symbols of each row's likeliest path: of each frame the likeliest, merged, without blanks.

    The likeliest path is not always one of the likeliest symbols; see `ctc_beam`. Ties go to the smaller id.

    Parameters
    ----------
    logits : array_like, float [T, N, V]
        Logits or log-probabilities, float32 or float64.
    lengths : array_like, int [N], optional
        Frames of each row, in ``0 .. T``. Default: T.
    blank : int, default 0
        Its id, in ``-V .. V - 1``: -1 is the last.

    Returns
    -------
    rows : list of ndarray, int64 [symbols]
        One for each row.

    Raises
    ------
    ValueError
        If a shape does not fit, or a length or the blank is out of range.
    TypeError
        If the logits are neither float32 nor float64, or the lengths are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.decode import ctc_greedy
    >>> frames = [0, 2, 2, 0, 2, 1]  # 0 is the blank
    >>> [ids.tolist() for ids in ctc_greedy(np.eye(3)[frames][:, None])]
    [[2, 2, 1]]
    """
    frames = _frames(logits)
    steps, rows, size = frames.shape
    own = as_blank(blank, size)
    ends = as_lengths(lengths, steps, rows)
    best = frames.argmax(axis=2) if steps else np.zeros((0, rows), np.int64)
    kept = best != own
    kept[1:] &= best[1:] != best[:-1]
    if ends is not None:
        kept &= np.arange(steps)[:, None] < ends
    return [best[kept[:, n], n].astype(np.int64) for n in range(rows)]


@named_memory("ctc_beam", "use a smaller beam")
def ctc_beam(
    logits: Any,
    lengths: Any = None,
    *,
    beam_size: int = 16,
    blank: int = 0,
    n_best: int = 1,
    language_model: LanguageModel | None = None,
    language_ids: ArrayLike | None = None,
    lm_weight: float = 1.0,
    insertion_bonus: float = 0.0,
) -> list[list[CTCHypothesis]]:
    """Search for the symbols with the highest scores, whatever their alignment: prefix beam search.

    After each frame the beam holds the `beam_size` prefixes with the highest scores, each with the summed
    probability of its paths that end in a blank and of those that do not. The result is exact if the beam is
    wide enough for all prefixes.

    The score of symbols y is ``log p(y | frames) + lm_weight * log p_lm(y) + insertion_bonus * len(y)``; a
    prefix is compared by its own. A language model prefers short texts, which the bonus makes up for. The
    model reads its ``start``; without one it does not predict the first symbol, whose p_lm is then 1. If it
    has an ``eos``, that the text ends is part of p_lm. Ties go to prefixes that are in the beam already,
    then to the smaller ids.

    Parameters
    ----------
    logits, lengths, blank
        As for `ctc_greedy`.
    beam_size : int, default 16
        Prefixes kept after each frame.
    n_best : int, default 1
        Hypotheses to return for each row, at most `beam_size`.
    language_model : LanguageModel, optional
        Of the symbols; without a length model, and with layers that need no context.
    language_ids : array_like, int [V], optional
        The language model's id of each symbol; the blank's is not read, and -1 stands for a symbol that the
        model does not have and no hypothesis may contain. Default: the same ids, and an id beyond the
        vocabulary is an error. With the blank first and the model's symbols in the same order:
        ``numpy.arange(-1, V - 1)``.
    lm_weight : float, default 1.0
        At least 0.
    insertion_bonus : float, default 0.0
        For each symbol, in nats.

    Returns
    -------
    rows : list of list of CTCHypothesis
        For each row at most `n_best`, the best first.

    Raises
    ------
    ValueError
        If a shape does not fit, a number or id is out of range, a row has a frame without a finite highest
        logit, or the language model has a length model.
    TypeError
        If the logits are neither float32 nor float64, or an argument is of the wrong kind.

    References
    ----------
    Hannun, Maas, Jurafsky, Ng (2014), "First-Pass Large Vocabulary Continuous Speech Recognition using
    Bi-Directional Recurrent DNNs", algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.decode import ctc_beam, ctc_greedy
    >>> logits = np.log([[[0.6, 0.4]], [[0.6, 0.4]]])  # the likeliest path is two blanks: 0.36
    >>> ctc_greedy(logits)[0].tolist()
    []
    >>> [best] = ctc_beam(logits)[0]
    >>> best.ids.tolist(), round(float(np.exp(best.log_probability)), 4)
    ([1], 0.64)
    """
    frames = _frames(logits)
    steps, rows, size = frames.shape
    own = as_blank(blank, size)
    ends = as_lengths(lengths, steps, rows)
    width = as_size("beam_size", beam_size)
    best = as_size("n_best", n_best, most=width)
    weight = as_number("lm_weight", lm_weight, least=0.0)
    bonus = as_number("insertion_bonus", insertion_bonus)
    ids = None
    if language_model is not None:
        ids = _language_ids(language_model, language_ids, size, own)
    elif language_ids is not None:
        raise ValueError("language_ids: expected None without a language_model")
    found = []
    for n in range(rows):
        end = steps if ends is None else int(ends[n])
        scorer = NoLanguageModel() if ids is None else FusedLanguageModel(language_model, ids, weight)
        prefixes = Prefixes(size, own, width, bonus, scorer)
        if not np.isfinite(frames[:end, n].max(axis=1)).all():
            raise ValueError(f"logits: row {n}: expected a finite highest logit in every frame")
        for frame in log_probabilities(frames[:end, n]):
            prefixes.read(frame)
        found.append([CTCHypothesis(*one) for one in prefixes.best(best)])
    return found


def _frames(logits: Any) -> NDArray[Any]:
    array = as_array("logits", logits, np.dtype(np.float64))
    if array.dtype not in FLOAT_DTYPES:
        raise TypeError(f"logits: expected float32 or float64, got {array.dtype}")
    array = as_floats("logits", array, array.dtype, ("T", "N", "V"))
    if array.shape[2] == 0:
        raise ValueError(f"logits: expected at least one symbol, got {list(array.shape)}")
    return array


def _language_ids(model: Any, language_ids: Any, size: int, blank: int) -> NDArray[np.int64]:
    """Return the model's id of each symbol; -1 for the blank and for those that it does not have."""
    if not hasattr(model, "length_model"):
        raise TypeError(f"language_model: expected a LanguageModel, got {type(model).__name__}")
    if model.length_model is not None:
        raise ValueError(
            "language_model: expected one that ends texts with a symbol or not at all, got "
            f"length_model={model.length_model!r}"
        )
    count = model.vocabulary_size
    ids = np.arange(size) if language_ids is None else as_ids("language_ids", language_ids, (size,)).copy()
    ids[blank] = -1
    wrong = np.flatnonzero((ids < -1) | (ids >= count))
    if wrong.size:
        hint = f"; write numpy.arange(-1, {size - 1})" if blank == 0 and count == size - 1 else ""
        got = f"{ids[wrong[0]]} for symbol {wrong[0]}"
        raise ValueError(f"language_ids: expected 0 .. {count - 1} (-1: none), got {got}{hint}")
    return ids
