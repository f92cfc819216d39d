"""The trace of the beginning of a text: cut to a length, and line by line for models of separate lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array
from fastrnn.data import Vocabulary
from fastrnn.data.reading import split_lines
from fastrnn.inspect.reading import line_end, tokens_of
from fastrnn.inspect.trace import Trace, trace
from fastrnn.language import LanguageModel
from fastrnn.models import SequenceModel

__all__ = ["TextTrace", "trace_text"]


class TextTrace(NamedTuple):
    """A trace with symbols.

    Attributes
    ----------
    trace : Trace
    line_ends : list of int
        The steps after which a line ends.
    words : bool
        Whether the symbols are words.
    """

    trace: Trace
    line_ends: list[int]
    words: bool


def trace_text(model: Any, text: Any, vocabulary: Vocabulary | None, count: int) -> TextTrace:
    """Return the trace of the first symbols of a text.

    A language model whose input before a text is a vector of zeros was trained on separate lines: it reads
    each line that is not empty from a zero state, as in training.

    Parameters
    ----------
    model, vocabulary
        As for `trace`.
    text : str or sequence of str
    count : int
        The maximum number of symbols.

    Raises
    ------
    ValueError, TypeError
        As `trace`, and if the model reads no symbols or computes NaN.
    """
    try:
        if isinstance(model, LanguageModel) and isinstance(text, str) and vocabulary is not None:
            pieces = list(_pieces(model, vocabulary, text, count))
        else:
            pieces = [_first_symbols(model, text, count)]
        traces = [trace(model, piece, vocabulary=vocabulary) for piece in pieces or [[]]]
    except ValueError as error:
        message = str(error).replace("data:", "text:", 1).replace("text[0]:", "text:", 1)
        raise ValueError(message) from None
    ends = np.cumsum([one.steps for one in traces])[:-1] - 1
    seen = _joined(traces)
    if seen.symbols is None:
        raise ValueError(
            "text: expected symbols, as a report shows a text, got numbers; `trace` and `fastrnn.plots` "
            "show those"
        )
    _check_finite(seen)
    words = sum(len(symbol) > 1 for symbol in seen.symbols) > len(seen) / 2
    if vocabulary is not None:
        words = vocabulary.level == "word"
    ending = ["\n", *([] if vocabulary is None else line_end(vocabulary))]
    found = {step for step, symbol in enumerate(seen.symbols) if symbol in ending}
    return TextTrace(seen, sorted(found.union(ends.tolist())), words)


def _check_finite(seen: Trace) -> None:
    """Raise ValueError if a model computes NaN or infinity."""
    arrays = {
        f"{name} of {layer}": array
        for group in (seen.gates, seen.states)
        for layer, own in group.items()
        for name, array in own.items()
    }
    if seen.loss is not None:
        arrays["the loss"] = np.nan_to_num(seen.loss[1:], nan=np.nan, posinf=0.0)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(
                f"model: expected finite numbers, got others in {name}; its parameters are unusable"
            )


def _pieces(model: LanguageModel, vocabulary: Vocabulary, text: str, count: int) -> Iterator[list[str]]:
    """Yield the symbols of the texts that a language model reads one by one: its lines, or all at once."""
    if model.start != -1:
        yield tokens_of(vocabulary, text, count)
        return
    end = line_end(vocabulary)
    for line in split_lines(text):
        tokens = vocabulary.tokens(line)
        if tokens and count > 0:
            yield (tokens + end)[:count]
            count -= len(tokens) + len(end)


def _first_symbols(model: Any, text: Any, count: int) -> Any:
    """Return the first symbols of what a model with ``fit``, or a language model of symbols, reads."""
    if isinstance(model, SequenceModel) and isinstance(text, str):
        codec = getattr(model, "_codec", None) or getattr(getattr(model, "_steps", None), "codec", None)
        if codec is None or codec.symbols is None:
            raise ValueError(
                "model: expected one that reads text: a LanguageModel, or a SequenceClassifier, "
                "SequenceRegressor, SequenceTagger, Seq2Seq or SequenceGenerator fitted on texts, got a "
                f"{type(model).__name__} of numbers"
            )
        return codec.split("text", 0, text)[:count]
    return text[:count] if isinstance(text, Sequence) else text


def _joined(traces: Sequence[Trace]) -> Trace:
    """Return the traces of separate texts as one; what is asked of it later, the longest one answers."""
    if len(traces) == 1:
        return traces[0]
    longest = max(traces, key=len)

    def join(arrays: list[Array]) -> Array:
        joined = np.concatenate(arrays)
        joined.flags.writeable = False
        return joined

    def group(kind: str) -> dict[str, dict[str, Array]]:
        return {
            layer: {name: join([getattr(one, kind)[layer][name] for one in traces]) for name in own}
            for layer, own in getattr(longest, kind).items()
        }

    symbols = [symbol for one in traces for symbol in one.symbols or ()]
    return Trace(
        tuple(symbols),
        join([one.ids for one in traces if one.ids is not None]),
        longest.layers,
        group("gates"),
        group("states"),
        join([one.outputs for one in traces]),
        join([one.loss for one in traces if one.loss is not None]),
        0,
        longest._reading,
        longest._version,
    )
