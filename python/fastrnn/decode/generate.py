"""Generate a batch of texts with a language model, as ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from fastrnn._foreign import of_others
from fastrnn._memory import FEWER_TEXTS, named_memory
from fastrnn.decode.categorical import UniformStreams
from fastrnn.decode.distribution import Sampling
from fastrnn.decode.generation_loop import Generated, GenerationLoop
from fastrnn.decode.prompts import as_prompts, context_of
from fastrnn.decode.stop_rule_choice import choose_stop_rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastrnn._checks import Seed
    from fastrnn.language import LanguageModel

__all__ = ["Generated", "generate", "greedy"]


@named_memory("generate", FEWER_TEXTS)
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
    context: ArrayLike | None = None,
) -> list[Generated]:
    """Generate texts, all in one batch.

    Each text begins with the initial state: the model reads its start, if it has one, then the prompt, then
    what it draws. All rows advance together; a row with a shorter prompt generates while others still read.

    Parameters
    ----------
    model : LanguageModel
        Its attributes ``start`` (the id before every text), ``eos`` and ``length_model`` are used if set.
    prompts : array_like of int [symbols], or a list of them, optional
        One for all texts, or one for each; lengths may differ.
    count : int, optional
        Number of texts; default: the number of prompts.
    max_length : int, optional
        Maximum length. Without it a model that rarely ends a text can run for very long.
    min_length : int, default 0
        Minimum length, however the end is decided.
    eos : int, optional
        The id that ends a text; default: the model's own; -1 for none.
    sampling : Sampling, optional
        Default: the model's own distribution. With a temperature of 0 a model that halts takes the likelier
        of ending and continuing.
    seed : int or numpy.random.Generator, optional
        The same seed gives the same texts. Text i depends neither on `count` nor on the other texts. One
        number is taken from a generator.
    context : array_like, float [C] or [N, C], optional
        For a model whose layers have a `context_size`: one for all texts, or one for each.

    Returns
    -------
    texts : list of Generated

    Raises
    ------
    ValueError
        If a prompt is empty and the model has no start, an id is out of range, the list of prompts is empty
        or its length is not `count`, nothing would end a text (no symbol, length or length model), or
        `min_length` is above `max_length` or leaves nothing to draw.
    TypeError
        If a prompt does not hold integers.

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
    inputs = as_prompts(model, prompts, count)
    chosen = sampling or Sampling()
    rule = choose_stop_rule(model, chosen, eos=eos, min_length=min_length, max_length=max_length)
    loop = GenerationLoop(model, inputs, chosen, rule, UniformStreams(len(inputs), seed))
    return loop.run(**context_of(context, len(inputs)))


def greedy(
    model: LanguageModel,
    prompt: ArrayLike | None = None,
    *,
    max_length: int,
    eos: int | None = None,
    context: ArrayLike | None = None,
) -> Generated:
    """Generate the text whose every symbol is the likeliest; ties go to the smallest id.

    Parameters
    ----------
    model, prompt, max_length, eos, context
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
    prompts = None if prompt is None else np.asarray(of_others("prompt", prompt))
    [text] = generate(
        model, prompts, max_length=max_length, eos=eos, sampling=Sampling(0.0), seed=0, context=context
    )
    return text
