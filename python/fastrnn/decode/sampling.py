"""Sample random text from a language model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn._checks import Seed, as_flag, as_generator, as_size
from fastrnn._memory import FEWER_TEXTS, named_memory
from fastrnn.decode.categorical import sample_categorical
from fastrnn.decode.distribution import Sampling, next_probabilities
from fastrnn.decode.generate import generate
from fastrnn.decode.prompts import as_prompt, context_of
from fastrnn.decode.special_ids import banned_ids, first_ids
from fastrnn.decode.stop_rule_choice import as_eos

if TYPE_CHECKING:
    from fastrnn.data import Vocabulary
    from fastrnn.language import LanguageModel, LanguageModelStream

__all__ = ["first_ids", "sample", "sample_ids", "samples"]


def sample_ids(
    model: LanguageModel,
    prompt: ArrayLike,
    length: int,
    *,
    sampling: Sampling | None = None,
    seed: Seed = None,
    context: ArrayLike | None = None,
) -> Iterator[int]:
    """Draw ids from a model one by one, after a prompt.

    The state is zero before the prompt, or before the model's start if it has one. Each id is yielded as soon
    as it is drawn; no id ends the text, and no length model does: for those see `generate`.

    Parameters
    ----------
    model : LanguageModel
    prompt : array_like of int, shape [symbols]
        At least one id, unless the model has a start.
    length : int
        Number of ids to draw.
    sampling : Sampling, optional
        Default: the model's own distribution.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same ids.
    context : array_like, float [C], optional
        What the text is about, for a model whose layers have a `context_size`.

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
    stream = model.stream(1, **context_of(context, 1))
    return _draw_one_by_one(model, stream, read, count, sampling or Sampling(), as_generator(seed))


def _draw_one_by_one(
    model: LanguageModel,
    stream: LanguageModelStream,
    read: NDArray[np.int64],
    length: int,
    sampling: Sampling,
    generator: np.random.Generator,
) -> Iterator[int]:
    seen = None
    if sampling.repetition_penalty != 1.0:
        seen = np.zeros((1, model.vocabulary_size), dtype=np.bool_)
        seen[0, read if model.start is None else read[1:]] = True
    for symbol in read[:-1]:
        stream.step(symbol.reshape(1))
    ids = read[-1:]
    for _ in range(length):
        ids = sample_categorical(
            next_probabilities(stream.step(ids), sampling, seen), np.array([generator.random()])
        )
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
    until_eos: bool = True,
    seed: Seed = None,
    context: ArrayLike | None = None,
) -> str:
    """Generate a text up to its end, or to a given length.

    The text ends where one of `samples` does. The state is zero at the beginning. Without a prompt the model
    begins with its start. A model without one begins after the vocabulary's start symbol, else after a line
    end, else, if the vocabulary has neither, after a random symbol.

    Parameters
    ----------
    model : LanguageModel
    vocabulary : Vocabulary
        The one the model was trained with. Symbols that only surround texts (start, padding) are never drawn.
    prompt : str, default ""
        The text to continue; not part of the result.
    length : int, default 200
        Maximum number of symbols; the exact one if nothing ends the model's texts.
    temperature, top_k, top_p, typical, repetition_penalty
        As for `Sampling`; default: the model's own distribution.
    reject_unknown : bool, default False
        Never draw the unknown symbol.
    until_eos : bool, default True
        End the text at the vocabulary's end symbol, or the model's, if there is one. False: treat that symbol
        like any other, as for several lines of a model that was trained on a stream of lines.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same text.
    context : array_like, float [C], optional
        What the text is about, for a model whose layers have a `context_size`.

    Returns
    -------
    text : str
        Without the prompt and the end symbol.

    Raises
    ------
    ValueError
        If the prompt has a symbol that is not in the vocabulary, or a number is out of range.

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
    eos = as_eos(model, vocabulary.eos_id if as_flag("until_eos", until_eos) else -1)
    if model.length_model is not None:
        end = -1 if eos is None else eos
        [text] = generate(
            model, [read], max_length=length, eos=end, sampling=sampling, seed=generator, context=context
        )
        return vocabulary.decode(text.ids)
    ids = sample_ids(model, read, length, sampling=sampling, seed=generator, context=context)
    return vocabulary.decode(itertools.takewhile(lambda symbol: symbol != eos, ids))


@named_memory("samples", FEWER_TEXTS)
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
    context: ArrayLike | None = None,
) -> list[str]:
    """Generate several texts at once.

    Parameters
    ----------
    model, vocabulary, prompt
        As for `sample`.
    count : int
        Number of texts.
    max_length : int, optional
        Maximum number of symbols of a text. Use None only if each text is sure to end.
    until_eos : bool, default True
        End a text at the vocabulary's end symbol, or the model's, if there is one. False: treat that symbol
        like any other.
    temperature, top_k, top_p, typical, repetition_penalty, reject_unknown
        As for `sample`.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same texts; `count` does not change the first ones.
    context : array_like, float [C] or [count, C], optional
        As for `generate`.

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
    # A separate generator for the starts, so that their number does not change the texts.
    starts = np.random.default_rng(generator.integers(2**63))
    prompts = [first_ids(vocabulary, prompt, starts, model) for _ in range(as_size("count", count))]
    sampling = Sampling(temperature, top_k, top_p, typical=typical, repetition_penalty=repetition_penalty)
    sampling = replace(sampling, banned=banned_ids(vocabulary, reject_unknown))
    eos = vocabulary.eos_id if as_flag("until_eos", until_eos) else -1
    texts = generate(
        model,
        prompts,
        count=count,
        max_length=max_length,
        eos=eos,
        sampling=sampling,
        seed=generator,
        context=context,
    )
    return [vocabulary.decode(text.ids) for text in texts]
