"""Random text from a language model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._checks import Seed, as_flag, as_generator, as_size
from fastrnn.decode.distribution import Sampling, next_probabilities
from fastrnn.decode.draws import draw
from fastrnn.decode.generate import generate
from fastrnn.decode.prompts import as_prompt
from fastrnn.decode.texts import banned_ids, first_ids

if TYPE_CHECKING:
    from fastrnn.data import Vocabulary
    from fastrnn.models import LanguageModel

__all__ = ["first_ids", "sample", "sample_ids", "samples"]


def sample_ids(
    model: LanguageModel,
    prompt: ArrayLike,
    length: int,
    *,
    sampling: Sampling | None = None,
    seed: Seed = None,
) -> Iterator[int]:
    """Draw ids from a model one by one, after a prompt.

    The state is the initial one before the prompt, or before the model's start where it has one. Each id is
    given out as soon as it is drawn, and none of them ends the text.

    Parameters
    ----------
    model : LanguageModel
    prompt : array_like of int, shape [symbols]
        At least one id, unless the model has a start.
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
    read = as_prompt(model, "prompt", prompt)
    count = as_size("length", length, least=0)
    return _draw_one_by_one(model, read, count, sampling or Sampling(), as_generator(seed))


def _draw_one_by_one(
    model: LanguageModel,
    read: NDArray[np.int64],
    length: int,
    sampling: Sampling,
    generator: np.random.Generator,
) -> Iterator[int]:
    seen = None
    if sampling.repetition_penalty != 1.0:
        seen = np.zeros((1, model.vocabulary_size), dtype=np.bool_)
        seen[0, read if model.start is None else read[1:]] = True
    stream = model.stream()
    for symbol in read[:-1]:
        stream.step(symbol.reshape(1))
    ids = read[-1:]
    for _ in range(length):
        ids = draw(next_probabilities(stream.step(ids), sampling, seen), np.array([generator.random()]))
        yield int(ids[0])
        if seen is not None:
            seen[0, ids] = True


def sample(
    model: LanguageModel,
    vocabulary: Vocabulary,
    prompt: str = "",
    length: int = 200,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    typical: float | None = None,
    repetition_penalty: float = 1.0,
    reject_unknown: bool = False,
    seed: Seed = None,
) -> str:
    """Let a model write a text of a given length.

    The state is the initial one at the start. Without a prompt the model starts from its start of a text. One
    that has none starts after the vocabulary's start symbol or as after a line's end, or, where there is
    neither, after a symbol that the generator chooses.

    Parameters
    ----------
    model : LanguageModel
    vocabulary : Vocabulary
        The one that the model was trained with. Symbols that only stand around texts (start, padding) are
        never written.
    prompt : str, default ""
        The model goes on from it; it is not part of the result.
    length : int, default 200
        How many symbols to draw.
    temperature, top_k, top_p, typical, repetition_penalty
        As for `Sampling`; default is the model's own distribution.
    reject_unknown : bool, default False
        Never draw the symbol that stands for unknown ones.
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
    generator = as_generator(seed)
    read = first_ids(vocabulary, prompt, generator, model)
    sampling = Sampling(temperature, top_k, top_p, typical=typical, repetition_penalty=repetition_penalty)
    sampling = replace(sampling, banned=banned_ids(vocabulary, reject_unknown))
    return vocabulary.decode(sample_ids(model, read, length, sampling=sampling, seed=generator))


def samples(
    model: LanguageModel,
    vocabulary: Vocabulary,
    count: int,
    prompt: str = "",
    *,
    max_length: int | None,
    until_eos: bool = True,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    typical: float | None = None,
    repetition_penalty: float = 1.0,
    reject_unknown: bool = False,
    seed: Seed = None,
) -> list[str]:
    """Let a model write many texts at once.

    Parameters
    ----------
    model, vocabulary, prompt
        As for `sample`.
    count : int
        How many.
    max_length : int, optional
        No text gets more symbols. None only where an end is sure to come.
    until_eos : bool, default True
        End a text at the vocabulary's end symbol, or the model's, where there is one; else that symbol is one
        like all others.
    temperature, top_k, top_p, typical, repetition_penalty, reject_unknown
        As for `sample`.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same texts, and the same first ones whatever `count` is.

    Returns
    -------
    texts : list of str
        Without the prompt and the end symbol.

    Raises
    ------
    ValueError
        As `sample` and `generate`.

    Examples
    --------
    >>> import fastrnn as fr
    >>> vocabulary = fr.Vocabulary.from_text("abc")
    >>> model = fr.LanguageModel(len(vocabulary), hidden_size=8, num_layers=1, seed=0)
    >>> texts = samples(model, vocabulary, 3, "ab", max_length=20, seed=0)
    >>> [len(text) for text in texts]
    [20, 20, 20]
    """
    generator = as_generator(seed)
    # Starts have a generator of their own, so that how many there are does not change the texts.
    starts = np.random.default_rng(generator.integers(2**63))
    prompts = [first_ids(vocabulary, prompt, starts, model) for _ in range(as_size("count", count))]
    sampling = Sampling(temperature, top_k, top_p, typical=typical, repetition_penalty=repetition_penalty)
    sampling = replace(sampling, banned=banned_ids(vocabulary, reject_unknown))
    eos = vocabulary.eos_id if as_flag("until_eos", until_eos) else -1
    texts = generate(
        model, prompts, count=count, max_length=max_length, eos=eos, sampling=sampling, seed=generator
    )
    return [vocabulary.decode(text.ids) for text in texts]
