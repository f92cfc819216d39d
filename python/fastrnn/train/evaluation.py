"""The loss of a model over a text, over sentences or over examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._checks import as_size
from fastrnn.data.batching import as_stored_ids
from fastrnn.data.examples import ExampleBatches
from fastrnn.data.sentences import SentenceBatches
from fastrnn.language.losses import select_rows
from fastrnn.train.data_match import check_data
from fastrnn.train.distributed import Ranks, shard_rows
from fastrnn.train.distributed.agreement import as_ranks
from fastrnn.train.example_network import ExampleNetwork, Loss

if TYPE_CHECKING:
    from fastrnn.data.batching import Batch
    from fastrnn.language import LanguageModel
    from fastrnn.layers.base.module import Module
    from fastrnn.train.records import Validation

__all__ = ["Evaluation", "evaluate", "evaluate_examples", "evaluate_sentences", "validate"]

# Limits on what is read at a time, which bound the memory and do not change the result.
_MOST_STREAMS = 1 << 12
_LARGEST_BATCH = 1 << 16  # steps times streams
_LARGEST_PADDED = 1 << 20  # steps times sentences


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    Attributes
    ----------
    loss : float
        Mean over the tokens, in nats per token; of examples, over the targets, in the unit of the loss.
    tokens : int
        Number of predicted tokens: all but the first of a text; all tokens of sentences, end symbols
        included; all targets of examples.
    """

    loss: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """``exp(loss)``; infinite if that overflows a float."""
        return math.exp(self.loss) if self.loss < 709.0 else math.inf

    @property
    def bits(self) -> float:
        """The loss in bits per token."""
        return self.loss / math.log(2.0)


def evaluate(
    model: LanguageModel,
    ids: ArrayLike,
    *,
    batch_size: int = 1,
    seq_length: int = 256,
    ranks: Ranks | None = None,
) -> Evaluation:
    """Compute a model's loss over a whole text, carrying the state from start to end.

    Every token but the first is predicted, and all have equal weight. With ``batch_size`` N above 1 the text
    is read as N contiguous streams in parallel: this is faster, but each stream after the first starts
    without the text before it.

    Parameters
    ----------
    model : LanguageModel
    ids : array_like of int, shape [tokens]
        The text, at least two tokens. Those of a `PreparedText` are read through its memory map.
    batch_size : int, default 1
        N.
    seq_length : int, default 256
        Steps per call; affects memory use, not the result.
    ranks : Ranks, optional
        Processes that share the work; each returns the result. The streams are split into ``ranks.shards``
        parts, which the result depends on in its last bits, as it does on `batch_size`; it does not depend
        on the number of processes. One stream cannot be split: the first process computes it.

    Returns
    -------
    evaluation : Evaluation

    Raises
    ------
    ValueError
        If the text has fewer than two tokens, or an id is out of the model's range.

    Examples
    --------
    >>> import math
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(4, hidden_size=8, num_layers=1, seed=0)
    >>> result = evaluate(model, [0, 1, 2, 3, 0, 1])
    >>> result.tokens, abs(result.loss - math.log(4)) < 0.5
    (5, True)
    """
    text = as_stored_ids("ids", ids)
    if len(text) < 2:
        raise ValueError(f"text: expected at least 2 tokens to predict one from the other, got {len(text)}")
    streams = min(as_size("batch_size", batch_size), len(text) - 1)
    length, ranks = as_size("seq_length", seq_length), as_ranks(ranks)
    parts = shard_rows(streams, ranks.shards)
    total = _total(ranks, lambda part: _streams_loss(model, text, streams, part, length), parts)
    return Evaluation(total / (len(text) - 1), len(text) - 1)


def evaluate_sentences(
    model: LanguageModel,
    sentences: SentenceBatches | Sequence[ArrayLike],
    *,
    batch_size: int = 32,
    ranks: Ranks | None = None,
) -> Evaluation:
    """Compute a model's loss over sequences that each start from a zero state.

    All tokens have equal weight, the end of each sequence included.

    Parameters
    ----------
    model : LanguageModel
    sentences : SentenceBatches, or sequence of array_like, int [n]
        Sequences are batched with the model's `start` (-1 if it has none) and `eos`.
    batch_size : int, default 32
        Used for sequences; `SentenceBatches` have their own.
    ranks : Ranks, optional
        Processes that share the batches; each returns the result of one process, to the last bit.

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
    check_data("sentences", model, sentences)
    rows = list(sentences.rows_within(_LARGEST_PADDED))
    total = _total(as_ranks(ranks), lambda own: _sentences_loss(model, sentences.batch_of(own)), rows)
    return Evaluation(total / sentences.tokens, sentences.tokens)


def evaluate_examples(
    model: Module, data: ExampleBatches, loss: Loss, *, ranks: Ranks | None = None
) -> Evaluation:
    """Compute a network's mean loss over examples, without dropout.

    Parameters
    ----------
    model : Module
        As for a `Trainer`.
    data : ExampleBatches
    loss : callable
        As for a `Trainer`.
    ranks : Ranks, optional
        Processes that share the batches; each returns the result of one process, to the last bit.

    Returns
    -------
    evaluation : Evaluation
        Its loss is the mean over all targets of the data; of a loss with class weights it is the mean of the
        batches' means by their numbers of targets, which depends on the batches.

    Raises
    ------
    ValueError, TypeError
        As the model and the loss.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> from fastrnn.train import evaluate_examples
    >>> data = fr.data.ExampleBatches(np.zeros((10, 5, 3), np.float32), np.zeros((10, 5), int), 4)
    >>> model = fr.Composite(rnn=fr.GRU(3, 8, seed=0), fc=fr.Linear(8, 2, seed=1))
    >>> result = evaluate_examples(model, data, fr.losses.softmax_cross_entropy)
    >>> result.tokens, 0.2 < result.loss < 1.2
    (50, True)
    """
    if not isinstance(data, ExampleBatches):
        raise TypeError(f"data: expected ExampleBatches, got {type(data).__name__}")
    return _evaluate_examples(ExampleNetwork(model, loss, data), data, as_ranks(ranks))


def validate(model: Any, validation: Validation, ranks: Ranks | None = None) -> Evaluation:
    """Evaluate a language model, or an `ExampleNetwork`, on the data of a `Validation`."""
    data = validation.data
    if isinstance(model, ExampleNetwork):
        assert isinstance(data, ExampleBatches)
        network = ExampleNetwork(model.module, model.loss_of_outputs, data)
        return _evaluate_examples(network, data, as_ranks(ranks))
    assert not isinstance(data, ExampleBatches)
    if isinstance(data, SentenceBatches):
        return evaluate_sentences(model, data, ranks=ranks)
    return evaluate(model, data, batch_size=validation.batch_size, ranks=ranks)


def _evaluate_examples(network: ExampleNetwork, data: ExampleBatches, ranks: Ranks) -> Evaluation:
    total = _total(ranks, lambda number: _examples_loss(network, data.batch(number)), range(len(data)))
    return Evaluation(total / data.tokens, data.tokens)


def _total(ranks: Ranks, loss_of: Callable[[Any], float], items: Sequence[Any]) -> float:
    """Return the sum of the losses of some items, which the ranks share, added in the order of the items."""
    total = 0.0
    for loss in ranks.map(loss_of, items):  # not sum(), which rounds in another way since Python 3.12
        total += loss
    return total


def _streams_loss(model: LanguageModel, text: NDArray[Any], streams: int, part: slice, length: int) -> float:
    """Return the sum of the losses of some of a text's streams; the last one reads on to the text's end."""
    steps, total, state = (len(text) - 1) // streams, 0.0, None
    for first in range(part.start, part.stop, _MOST_STREAMS):  # a stream has the same bits in any batch
        rows = min(_MOST_STREAMS, part.stop - first)
        own = text[first * steps : (first + rows) * steps + 1]
        loss, state = _total_loss(model, own, rows, length, None)
        total += loss
    rest = text[streams * steps :]
    if part.start < part.stop == streams and len(rest) > 1:
        last = select_rows(state, slice(-1, None))
        total += _total_loss(model, rest, 1, len(rest) - 1, last)[0]
    return total


def _sentences_loss(model: LanguageModel, batch: Batch) -> float:
    return model.loss(batch.inputs, batch.targets, lengths=batch.lengths)[0] * batch.tokens


def _examples_loss(network: ExampleNetwork, batch: Batch) -> float:
    return network.loss(batch) * batch.tokens if batch.tokens else 0.0


def _total_loss(
    model: LanguageModel, text: NDArray[Any], streams: int, length: int, state: Any
) -> tuple[float, Any]:
    """Return the sum of the losses of parallel streams, and the state after them."""
    steps = (len(text) - 1) // streams
    inputs, targets = (ids[: streams * steps].reshape(streams, steps) for ids in (text, text[1:]))
    length = min(length, max(1, _LARGEST_BATCH // streams))
    total = 0.0
    for first in range(0, steps, length):
        part = (slice(None), slice(first, first + length))
        x, wanted = (np.ascontiguousarray(ids[part].T, np.int64) for ids in (inputs, targets))
        loss, state = model.loss(x, wanted, state)
        total += loss * wanted.size
    return total, state
