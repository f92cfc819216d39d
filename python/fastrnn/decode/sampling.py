"""Random text from a language model, symbol by symbol."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.data.batching import as_text_ids
from fastrnn.decode.distribution import Sampling, next_probabilities

if TYPE_CHECKING:
    from fastrnn.data import Vocabulary
    from fastrnn.models import LanguageModel

__all__ = ["first_ids", "sample", "sample_ids"]


def sample_ids(
    model: LanguageModel,
    prompt: ArrayLike,
    length: int,
    *,
    sampling: Sampling | None = None,
    seed: int | np.random.Generator | None = None,
) -> Iterator[int]:
    """Draw ids from a model one by one, after a prompt.

    The state is zero before the prompt. Each id is given out as soon as it is drawn.

    Parameters
    ----------
    model : LanguageModel
    prompt : array_like of int, shape [symbols]
        At least one id.
    length : int
        How many ids to draw.
    sampling : Sampling, optional
        Default: the model's own distribution.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same ids.

    Returns
    -------
    ids : iterator of int

    Raises
    ------
    ValueError
        If the prompt is empty or holds an id out of range, or the length is negative.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.decode import sample_ids
    >>> model = fr.LanguageModel(4, hidden_size=8, num_layers=1, seed=0)
    >>> ids = list(sample_ids(model, [1, 2], 10, seed=0))
    >>> len(ids), ids == list(sample_ids(model, [1, 2], 10, seed=0))
    (10, True)
    """
    start = as_text_ids("prompt", prompt)
    if not start.size:
        raise ValueError("prompt: expected at least one symbol, got none")
    if operator.index(length) < 0:
        raise ValueError(f"length: expected 0 or more symbols, got {length}")
    stream = model.stream()
    logits: NDArray[Any] = np.empty(0)
    for symbol in start:
        logits = stream.step(symbol.reshape(1))
    return _draw(stream, logits.reshape(-1), length, sampling or Sampling(), np.random.default_rng(seed))


def _draw(
    stream: Any, logits: NDArray[Any], length: int, sampling: Sampling, generator: np.random.Generator
) -> Iterator[int]:
    for drawn in range(length):
        sums = next_probabilities(logits, sampling).cumsum()
        # Below the last sum in any case: a product that rounds up to it would find no symbol.
        point = min(generator.random() * sums[-1], np.nextafter(sums[-1], 0.0))
        symbol = np.searchsorted(sums, point, side="right")
        yield int(symbol)
        if drawn + 1 < length:
            logits = stream.step(np.array([symbol], dtype=np.int64)).reshape(-1)


def sample(
    model: LanguageModel,
    vocabulary: Vocabulary,
    prompt: str = "",
    length: int = 200,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | np.random.Generator | None = None,
) -> str:
    """Let a model write.

    The state is zero at the start. Without a prompt the model starts as after a line's end, or, where the
    vocabulary has none, after a symbol that the generator chooses.

    Parameters
    ----------
    model : LanguageModel
    vocabulary : Vocabulary
        The one that the model was trained with.
    prompt : str, default ""
        The model goes on from it; it is not part of the result.
    length : int, default 200
        How many symbols to draw.
    temperature, top_k, top_p
        As for `Sampling`; default is the model's own distribution.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same text.

    Returns
    -------
    text : str
        ``length`` symbols.

    Raises
    ------
    ValueError
        If the prompt has a symbol that the vocabulary lacks, or a number is out of its range.

    Examples
    --------
    >>> import fastrnn as fr
    >>> vocabulary = fr.Vocabulary.from_text("abc")
    >>> model = fr.LanguageModel(len(vocabulary), hidden_size=8, num_layers=1, seed=0)
    >>> len(sample(model, vocabulary, "ab", 20, seed=0))
    20
    """
    generator = np.random.default_rng(seed)
    start = first_ids(vocabulary, prompt, generator)
    sampling = Sampling(temperature, top_k, top_p)
    ids = sample_ids(model, start, length, sampling=sampling, seed=generator)
    return vocabulary.decode(ids)


def first_ids(vocabulary: Vocabulary, prompt: str, generator: np.random.Generator) -> NDArray[np.int64]:
    """Give the ids to start from: the prompt's, or without one those that `sample` describes."""
    if prompt:
        try:
            return vocabulary.encode(prompt)
        except ValueError as error:
            raise ValueError(f"prompt: {str(error).removeprefix('text: ')}") from None
    if "\n" in vocabulary:
        return vocabulary.encode("\n")
    return generator.integers(len(vocabulary), size=1)
