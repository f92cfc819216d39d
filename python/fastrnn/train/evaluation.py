"""The loss of a model over a whole text, or over sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from fastrnn._checks import as_size
from fastrnn.data.batching import ChunkedText, as_text_ids
from fastrnn.data.sentences import SentenceBatches

if TYPE_CHECKING:
    from fastrnn.models import LanguageModel
    from fastrnn.train.records import Validation

__all__ = ["Evaluation", "evaluate", "evaluate_sentences", "validate"]


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    Attributes
    ----------
    loss : float
        Mean over the tokens, in nats a token.
    tokens : int
        Tokens that were predicted: all of the text but its first; of sentences all, and the end of each
        where it has one.
    """

    loss: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """``exp(loss)``; infinite where that is too large for a float."""
        return math.exp(self.loss) if self.loss < 709.0 else math.inf

    @property
    def bits(self) -> float:
        """The loss in bits a token."""
        return self.loss / math.log(2.0)


def evaluate(
    model: LanguageModel, ids: ArrayLike, *, batch_size: int = 1, seq_length: int = 256
) -> Evaluation:
    """Give a model's loss over a whole text, the state carried from its start to its end.

    Every token but the first is predicted and counts the same. With ``batch_size`` N above 1 the text is read
    as N contiguous streams side by side: faster, and each stream but the first starts without knowing what
    stood before it.

    Parameters
    ----------
    model : LanguageModel
    ids : array_like of int, shape [tokens]
        The text, at least two tokens.
    batch_size : int, default 1
        N.
    seq_length : int, default 256
        Steps of one call; changes the use of memory, not the result.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    ValueError
        If the text has less than two tokens, or an id is out of the model's range.

    Examples
    --------
    >>> import math
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(4, hidden_size=8, num_layers=1, seed=0)
    >>> result = evaluate(model, [0, 1, 2, 3, 0, 1])
    >>> result.tokens, abs(result.loss - math.log(4)) < 0.5
    (5, True)
    """
    text = as_text_ids("ids", ids)
    if len(text) < 2:
        raise ValueError(f"text: expected at least 2 tokens to predict one from the other, got {len(text)}")
    streams = min(as_size("batch_size", batch_size), len(text) - 1)
    length = min(as_size("seq_length", seq_length), (len(text) - 1) // streams)
    data = ChunkedText(text, streams, length)
    total, state = _total_loss(model, data, None)
    # What is left over behind the last stream goes on with that stream's state.
    rest = text[data.tokens :]
    if len(rest) > 1:
        more, _ = _total_loss(model, ChunkedText(rest, 1, len(rest) - 1), _last_row(state))
        total += more
    return Evaluation(total / (len(text) - 1), len(text) - 1)


def evaluate_sentences(
    model: LanguageModel, sentences: SentenceBatches | Sequence[ArrayLike], *, batch_size: int = 32
) -> Evaluation:
    """Give a model's loss over sequences that each begin with a zero state.

    Every token counts the same, the end of each sequence included.

    Parameters
    ----------
    model : LanguageModel
    sentences : SentenceBatches, or sequence of array_like, int [n]
        Sequences get the model's own `start` (-1 where it has none) and `eos`.
    batch_size : int, default 32
        Of sequences; batches have their own.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    ValueError, TypeError
        As for `SentenceBatches`, or if an id is out of the model's range.

    Examples
    --------
    >>> import math
    >>> import fastrnn as fr
    >>> from fastrnn.train.evaluation import evaluate_sentences
    >>> model = fr.LanguageModel(4, hidden_size=8, num_layers=1, eos=0, seed=0)
    >>> result = evaluate_sentences(model, [[1, 2, 3], [2], [3, 1]])
    >>> result.tokens, abs(result.loss - math.log(4)) < 0.5
    (9, True)
    """
    if not isinstance(sentences, SentenceBatches):
        start = -1 if model.start is None else model.start
        sentences = SentenceBatches(sentences, batch_size, start=start, eos=model.eos, seed=0)
    total = 0.0
    for batch in sentences:
        loss, _ = model.loss(batch.inputs, batch.targets, lengths=batch.lengths)
        total += loss * batch.tokens
    return Evaluation(total / sentences.tokens, sentences.tokens)


def validate(model: LanguageModel, validation: Validation) -> Evaluation:
    """Evaluate a model on a validation's data, of either kind."""
    if isinstance(validation.data, SentenceBatches):
        return evaluate_sentences(model, validation.data)
    return evaluate(model, validation.data, batch_size=validation.batch_size)


def _total_loss(model: LanguageModel, data: ChunkedText, state: Any) -> tuple[float, Any]:
    total = 0.0
    for inputs, targets in data:
        loss, state = model.loss(inputs, targets, state)
        total += loss * targets.size
    return total, state


def _last_row(state: Any) -> Any:
    """State of the last sequence of a batch alone."""
    if isinstance(state, tuple):
        return tuple(_last_row(part) for part in state)
    return state[:, -1:].copy()
