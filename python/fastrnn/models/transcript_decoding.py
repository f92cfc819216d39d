"""From a transcriber's logits to ids and to aligned symbols: its decoders, and their language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array, Ids
from fastrnn._checks import as_choice, as_number, as_size
from fastrnn.data import Vocabulary
from fastrnn.decode import ctc_beam, ctc_greedy
from fastrnn.language import LanguageModel
from fastrnn.models.transcriber_network import BLANK

__all__ = ["DECODERS", "AlignedSymbol", "TextSearch", "aligned_symbols", "language_ids"]

DECODERS = ("greedy", "beam")


class AlignedSymbol(NamedTuple):
    """A symbol of a transcript and the frames in which the network says it.

    Attributes
    ----------
    symbol : str or int
    start, stop : int
        Of the frames of X, before any are joined; `stop` is not included.
    """

    symbol: Any
    start: int
    stop: int


@dataclass(frozen=True)
class TextSearch:
    """A way to read ids from logits.

    Parameters
    ----------
    decoder : {"greedy", "beam"}
    beam_size : int
    language_model : LanguageModel, optional
        Needs the decoder "beam".
    language_ids : ndarray, int64 [1 + K], optional
        Its id of each symbol.
    lm_weight, insertion_bonus : float
    """

    decoder: str
    beam_size: int
    language_model: LanguageModel | None
    language_ids: Ids | None
    lm_weight: float
    insertion_bonus: float

    @classmethod
    def checked(
        cls, decoder: Any, beam_size: Any, model: Any, ids: Ids | None, lm_weight: Any, insertion_bonus: Any
    ) -> TextSearch:
        """Return one from the arguments of ``predict``.

        Raises
        ------
        ValueError, TypeError
            If one is wrong, or the decoder has no use for the language model.
        """
        as_choice("decoder", decoder, DECODERS)
        if model is not None and decoder != "beam":
            raise ValueError(f"decoder: expected 'beam' with a language_model, got {decoder!r}")
        return cls(
            decoder,
            as_size("beam_size", beam_size),
            model,
            ids,
            lm_weight=as_number("lm_weight", lm_weight, least=0.0),
            insertion_bonus=as_number("insertion_bonus", insertion_bonus),
        )

    def __call__(self, logits: Array, lengths: Ids) -> list[Ids]:
        """Return the ids of each row's text.

        Parameters
        ----------
        logits : ndarray, float [T, N, 1 + K]
        lengths : ndarray, int64 [N]
        """
        if self.decoder == "greedy":
            return ctc_greedy(logits, lengths, blank=BLANK)
        found = ctc_beam(
            logits,
            lengths,
            blank=BLANK,
            beam_size=self.beam_size,
            language_model=self.language_model,
            language_ids=self.language_ids,
            lm_weight=self.lm_weight,
            insertion_bonus=self.insertion_bonus,
        )
        return [hypotheses[0].ids for hypotheses in found]


def aligned_symbols(symbols: Sequence[Any], path: Ids, joined: int, steps: int) -> Iterator[AlignedSymbol]:
    """Yield the symbols of a path with their frames.

    Parameters
    ----------
    symbols : sequence
        Those of the transcript.
    path : ndarray, int64 [T']
        The position in the transcript at each frame, -1 for the blank.
    joined : int
        The frames of X in each.
    steps : int
        Those of X.
    """
    for place, symbol in enumerate(symbols):
        frames = np.flatnonzero(path == place)
        stop = min((int(frames[-1]) + 1) * joined, steps)
        yield AlignedSymbol(symbol, int(frames[0]) * joined, stop)


def language_ids(symbols: Sequence[Any], language_model: Any, vocabulary: Any) -> Ids:
    """Return the language model's id of each symbol, after one for the blank.

    Raises
    ------
    ValueError, TypeError
        If the vocabulary is missing, not the model's, or does not have all symbols.
    """
    if not isinstance(language_model, LanguageModel):
        raise TypeError(f"language_model: expected a LanguageModel, got {type(language_model).__name__}")
    if vocabulary is None:
        raise ValueError("vocabulary: expected that of the language_model, got None; write vocabulary=...")
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError(f"vocabulary: expected a Vocabulary, got {type(vocabulary).__name__}")
    if len(vocabulary) != language_model.vocabulary_size:
        raise ValueError(
            f"vocabulary: expected the {language_model.vocabulary_size} symbols of the language_model, "
            f"got {len(vocabulary)}"
        )
    known = {symbol: i for i, symbol in enumerate(vocabulary.symbols)}
    ids = [known.get(symbol, vocabulary.unknown_id) for symbol in symbols]
    if None in ids:
        raise ValueError(
            f"vocabulary: expected every symbol of the transcripts, but {symbols[ids.index(None)]!r} is "
            "missing; train the language model on texts with all of them"
        )
    return np.array([-1, *ids], np.int64)
