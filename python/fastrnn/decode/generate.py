"""Many texts at once from a language model, as ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.decode.distribution import Sampling
from fastrnn.decode.draws import Uniforms
from fastrnn.decode.prompts import as_prompts
from fastrnn.decode.rules import stop_rule
from fastrnn.decode.writing import Generated, Writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastrnn._checks import Seed
    from fastrnn.models import LanguageModel

__all__ = ["Generated", "generate", "greedy"]


def generate(
    model: LanguageModel,
    prompts: ArrayLike | Sequence[ArrayLike] | None = None,
    *,
    count: int | None = None,
    max_length: int | None = None,
    min_length: int = 0,
    eos: int | None = None,
    sampling: Sampling | None = None,
    seed: Seed = None,
) -> list[Generated]:
    """Let a model write texts, all in one batch.

    Each text begins from the initial state: the model reads its start, if it has one, then the prompt, then
    what it draws. All rows move in step; one whose prompt is shorter begins to write while others still read.

    Parameters
    ----------
    model : LanguageModel
        Its attributes ``start`` (what stands before every text), ``eos`` and ``length_model`` are used where
        it has them.
    prompts : array_like of int [symbols], or a list of them, optional
        One for all texts, or one for each, of any lengths.
    count : int, optional
        How many texts; default as many as there are prompts.
    max_length : int, optional
        No text gets longer. Without it a model that hardly ever ends a text can write for very long.
    min_length : int, default 0
        No text ends earlier, by whatever its end is decided.
    eos : int, optional
        The id that ends a text; default the model's own, -1 is none.
    sampling : Sampling, optional
        Default: the model's own distribution. A temperature of 0 also takes the likelier of ending and going
        on where the model tosses a coin for it.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same texts. Text i is the same whatever `count` is, and whatever the others
        are; from a generator one number is taken.

    Returns
    -------
    texts : list of Generated

    Raises
    ------
    ValueError
        If a prompt is empty and the model has no start, if an id is out of range, if the list of prompts is
        empty or not of `count`, if neither a symbol nor a length nor the model would end a text, or if
        `min_length` is above `max_length` or forbids all there is to draw.
    TypeError
        If a prompt holds no integers.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.decode import generate
    >>> model = fr.LanguageModel(4, hidden_size=8, num_layers=1, seed=0)
    >>> texts = generate(model, [[1, 2], [3]], eos=0, max_length=20, seed=0)
    >>> [text.stopped_by for text in texts]
    ['eos', 'eos']
    >>> one = generate(model, [[1, 2]], eos=0, max_length=20, seed=0)
    >>> one[0].ids.tolist() == texts[0].ids.tolist()
    True
    """
    fed = as_prompts(model, prompts, count)
    chosen = sampling or Sampling()
    rule = stop_rule(model, chosen, eos=eos, min_length=min_length, max_length=max_length)
    return Writing(model, fed, chosen, rule, Uniforms(len(fed), seed)).run()


def greedy(
    model: LanguageModel, prompt: ArrayLike | None = None, *, max_length: int, eos: int | None = None
) -> Generated:
    """Write the text whose every symbol is the likeliest; among equals the smallest id.

    Parameters
    ----------
    model, prompt, max_length, eos
        As for `generate`.

    Returns
    -------
    text : Generated

    Raises
    ------
    ValueError, TypeError
        As `generate`.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.decode import greedy
    >>> model = fr.LanguageModel(4, hidden_size=8, num_layers=1, seed=0)
    >>> len(greedy(model, [1], max_length=7).ids)
    7
    """
    prompts = None if prompt is None else np.asarray(prompt)
    return generate(model, prompts, max_length=max_length, eos=eos, sampling=Sampling(0.0), seed=0)[0]
