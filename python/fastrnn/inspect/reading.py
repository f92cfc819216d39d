"""What a model reads of one text or series: the inputs of its recurrent layers, and its output layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids, as_array, as_floats, as_ids
from fastrnn.data import Vocabulary
from fastrnn.data.reading import split_lines
from fastrnn.language import LanguageModel
from fastrnn.language.length_outputs import HaltOutput
from fastrnn.language.vocabulary_match import check_vocabulary
from fastrnn.layers import Module, Recurrent, Stack
from fastrnn.models.base.row_losses import softmax

__all__ = ["Output", "Reading", "line_end", "read_language_model", "read_layers", "tokens_of"]


class Output(NamedTuple):
    """The output layer of a model of the next step.

    Attributes
    ----------
    losses : callable
        Takes the layers' outputs [t, P] at steps ``first .. first + t - 1`` and `first`; returns -log p of
        the steps ``first + 1 ..`` that they predict, as many as there are, in nats.
    probabilities : callable, or None
        Takes the same; returns the probability of each symbol after each step, float64 [t, V].
    size : int
        V.
    symbols : sequence of str, or None
        The symbols of the ids.
    """

    losses: Callable[[Array, int], NDArray[Any]]
    probabilities: Callable[[Array, int], NDArray[np.float64]] | None = None
    size: int = 0
    symbols: Sequence[str] | None = None


class Reading(NamedTuple):
    """The layers of a model, and what they read.

    Attributes
    ----------
    module : Module
        The model, whose parameters are those of the layers and the output.
    rnn : Recurrent or Stack
    inputs : callable
        Takes two steps; returns what the layers read from the first to before the second, float [t, D] or ids
        [t].
    steps : int
        Steps that the layers read.
    before : int
        How many of them come before the data: 1 for a start.
    symbols : tuple of str, or None
    ids : ndarray, int64, or None
    output : Output or None
    state : optional
        Before the first step; default: the layers' own.
    context : ndarray, float [C] or [steps, C], optional
    offset : int
        The step of the data that is read first.
    backward : bool
        Whether the data are read from the last step to the first.
    """

    module: Module
    rnn: Recurrent[Any] | Stack
    inputs: Callable[[int, int], Array]
    steps: int
    before: int = 0
    symbols: tuple[str, ...] | None = None
    ids: Ids | None = None
    output: Output | None = None
    state: Any = None
    context: Array | None = None
    offset: int = 0
    backward: bool = False

    def context_of(self, first: int, last: int) -> Array | None:
        """Return the context of some steps."""
        return self.context if self.context is None or self.context.ndim == 1 else self.context[first:last]


def read_layers(rnn: Recurrent[Any] | Stack, data: Any, context: Any) -> Reading:
    """Return what layers read of a series, float [T, D], or of ids, int [T].

    Raises
    ------
    ValueError, TypeError
        If the data have another shape or dtype, or an id is out of range.
    """
    array = as_array("data", data, None)
    if array.dtype.kind in "iu" and array.ndim == 1:
        x: Array = as_ids("data", array, ("T",))
        _check_ids(x, rnn.input_size, least=-1)
    else:
        if array.ndim == 3:
            raise ValueError(
                f"data: expected one series [T, {rnn.input_size}], or ids [T], got a batch "
                f"{list(array.shape)}"
            )
        x = as_floats("data", data, rnn.dtype, ("T", rnn.input_size))
    _check_some(len(x), "step")
    given = _as_context(context, rnn, len(x))
    return Reading(rnn, rnn, lambda first, last: x[first:last], len(x), context=given)


def read_language_model(
    model: LanguageModel, data: Any, vocabulary: Vocabulary | None, context: Any
) -> Reading:
    """Return what a language model reads of a text: its start, if it has one, then the symbols.

    Raises
    ------
    ValueError, TypeError
        If a symbol is unknown, there is no vocabulary for it, or the model is one whose next symbol depends
        on a length drawn first.
    """
    if model.length_model == "tau":
        raise ValueError("model: expected one whose next symbol does not depend on a length drawn first")
    if vocabulary is not None:
        if not isinstance(vocabulary, Vocabulary):
            raise TypeError(f"vocabulary: expected a Vocabulary, got {type(vocabulary).__name__}")
        check_vocabulary(model, vocabulary)
    symbols, ids = _symbols_and_ids(model, data, vocabulary)
    _check_some(len(ids), "symbol")
    before = 0 if model.start is None else 1
    read = ids if model.start is None else np.concatenate([[model.start], ids])

    def inputs(first: int, last: int) -> Array:
        return read[first:last] if model.embedding is None else model.embedding(read[first:last])

    def losses(y: Array, first: int) -> NDArray[Any]:
        targets = read[first + 1 : first + 1 + len(y)]
        h = np.ascontiguousarray(y[: len(targets)])
        return model.output.losses(h if model.head is None else model.head(h), targets)

    def probabilities(y: Array, first: int) -> NDArray[np.float64]:
        p = softmax(model.output(y if model.head is None else model.head(y)))
        if isinstance(model.length, HaltOutput):
            goes_on = 1.0 - model.length.probability(y).astype(np.float64)
            goes_on[: max(1 - first, 0)] = 1.0  # no text ends before its first predicted symbol
            p *= goes_on[:, None]
        return p

    names = None if vocabulary is None else vocabulary.symbols
    return Reading(
        model,
        model.rnn,
        inputs,
        len(read),
        before=before,
        symbols=symbols,
        ids=ids,
        output=Output(losses, probabilities, model.vocabulary_size, names),
        context=_as_context(context, model.rnn, len(read)),
    )


def _as_context(context: Any, rnn: Recurrent[Any] | Stack, steps: int) -> Array | None:
    """Check a context: float [C], or [steps, C] of each step.

    Raises
    ------
    ValueError, TypeError
        If there is one and no layer reads it, or the reverse, or its shape or dtype is wrong.
    """
    size = rnn.options.context_size if isinstance(rnn, Recurrent) else rnn.context_size
    if not size:
        if context is not None:
            raise ValueError("context: expected None, as no layer has a context_size")
        return None
    if context is None:
        raise ValueError(
            f"context: expected [{size}] or [{steps}, {size}], as a layer has a context_size, got None"
        )
    alone = np.ndim(context) == 1
    return as_floats("context", context, rnn.dtype, (size,) if alone else (steps, size))


def _check_some(count: int, what: str) -> None:
    """Raise ValueError if there is nothing to read."""
    if not count:
        raise ValueError(f"data: expected at least one {what}, got none")


def _check_ids(ids: Ids, size: int, *, least: int = 0) -> None:
    wrong = (ids < least) | (ids >= size)
    if wrong.any():
        place = int(wrong.argmax())
        raise ValueError(f"data: expected ids in {least} .. {size - 1}, got {ids[place]} at position {place}")


def _symbols_and_ids(
    model: LanguageModel, data: Any, vocabulary: Vocabulary | None
) -> tuple[tuple[str, ...] | None, Ids]:
    """Return the symbols of a text, symbols or ids, and their ids."""
    symbolic = isinstance(data, str) or (
        isinstance(data, (list, tuple)) and any(isinstance(one, str) for one in data)
    )
    if not symbolic:
        ids = as_ids("data", data, ("T",))
        _check_ids(ids, model.vocabulary_size)
        return None if vocabulary is None else tuple(vocabulary.symbols[i] for i in ids), ids
    if vocabulary is None:
        raise ValueError(
            "vocabulary: expected that of the model, to read a text, got None; write trace(model, text, "
            "vocabulary=vocabulary), or pass the Checkpoint as the model"
        )
    tokens = tokens_of(vocabulary, data) if isinstance(data, str) else list(data)
    id_of = {symbol: index for index, symbol in enumerate(vocabulary.symbols)}
    unknown = vocabulary.unknown_id
    if vocabulary.unknown == "skip":
        tokens = [token for token in tokens if token in id_of]
    elif unknown is None:
        _check_known(tokens, id_of, vocabulary.level)
    return tuple(tokens), np.array([id_of.get(token, unknown) for token in tokens], np.int64)


def tokens_of(vocabulary: Vocabulary, text: str, most: int | None = None) -> list[str]:
    """Return the first symbols of a text: its characters, or its words, with the end symbol after each line.

    Parameters
    ----------
    vocabulary : Vocabulary
    text : str
    most : int, optional
        How many; default all.
    """
    if vocabulary.level == "char":
        return list(text[:most])
    end, tokens = line_end(vocabulary), list[str]()
    for line in split_lines(text):
        tokens += vocabulary.tokens(line) + end
        if most is not None and len(tokens) >= most:
            break
    return tokens[:most]


def line_end(vocabulary: Vocabulary) -> list[str]:
    """Return the symbol at the end of a line, or nothing if a vocabulary has none."""
    return [] if vocabulary.eos_id is None else [vocabulary.symbols[vocabulary.eos_id]]


def _check_known(tokens: Sequence[Any], known: Any, level: str) -> None:
    """Raise ValueError with the symbols that are not known, and the place of the first of each."""
    missing = {token: place for place, token in reversed([*enumerate(tokens)]) if token not in known}
    if not missing:
        return
    what = "characters" if level == "char" else "words"
    shown = sorted(missing, key=missing.__getitem__)
    listed = ", ".join(f"{token!r} at position {missing[token]}" for token in shown[:5])
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    raise ValueError(
        f"data: expected {what} of the vocabulary, got {listed}{more}; remove or replace them, or train the "
        'model with an unknown symbol: unknown="<unk>"'
    )
