"""Transcribe sequences of frames: recordings, pen strokes or symbols into shorter texts, by CTC."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_size
from fastrnn._plain import as_fields, as_mapping
from fastrnn.layers import ctc_align
from fastrnn.models.augmentation import Augmentation
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.examples import Examples, as_batch, batches_of, fraction_of
from fastrnn.models.base.input_codec import InputCodec
from fastrnn.models.base.row_losses import softmax
from fastrnn.models.base.sequences import as_pairs, as_rows, check_counts
from fastrnn.models.edit_distance import edit_distance
from fastrnn.models.transcriber_network import BLANK, TranscriberBatch, TranscriberNetwork, check_frames
from fastrnn.models.transcript_decoding import (
    DECODERS,
    AlignedSymbol,
    TextSearch,
    aligned_symbols,
    language_ids,
)
from fastrnn.models.transcripts import TranscriptCodec

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastrnn._arrays import Array, Ids
    from fastrnn.data import Vocabulary
    from fastrnn.language import LanguageModel
    from fastrnn.train.distributed import Ranks

__all__ = ["AlignedSymbol", "Transcriber"]


@dataclass(eq=False, repr=False, kw_only=True)
class Transcriber(SequenceModel):
    """Read frames and write the text they hold, without knowing where in them each symbol is.

    For example sound as log-mel features (`fastrnn.data.log_mel`) and what is said in it. The network
    computes the probability of each symbol, or of none (the blank), at each frame; CTC sums over all
    alignments of a text with the frames. A text needs a frame for each symbol, and one more between two that
    are equal.

    The settings that all models share are those of `fastrnn.models.SequenceModel`; the others:

    Parameters
    ----------
    bidirectional : bool, default True
    level : {"char", "word"}
        What a transcript given as one str is a sequence of: characters, or words between white space.
    stack_frames : int, default 1
        How many neighbouring frames of features are joined into one, so that the layers make so many times
        fewer steps. The last one is filled with zeros.
    noise : float, default 0.0
        In training, the standard deviation of Gaussian noise that is added to features.
    time_mask, feature_mask : int, default 0
        In training, the maximum width of a mask: neighbouring frames, or features, that are set to 0, the
        mean of standardized ones (SpecAugment). A time mask hides at most a fifth of a sequence.
    masks : int, default 2
        How many masks of each kind a sequence gets, each of random width, from 0 to the maximum, and place.
    decoder : {"greedy", "beam"}
        How texts are read from the probabilities: the likeliest symbol at each frame, or a search for the
        likeliest text over all its alignments.
    beam_size : int, default 16
        Texts that the search keeps after each frame.

    Attributes
    ----------
    symbols_ : list of str or int
        The symbols of the transcripts, the most frequent first.

    Raises
    ------
    ValueError, TypeError
        By ``fit``, if a setting is wrong, a transcript needs more frames than its sequence has, or all are
        empty. Some may be, such as those of silence.

    Notes
    -----
    Losses are in nats a symbol. Tests hold the CTC loss to the sum over all paths, and to PyTorch's.

    References
    ----------
    Graves, Fernández, Gomez, Schmidhuber (2006), "Connectionist Temporal Classification". Park et al. (2019),
    "SpecAugment". Hannun, Maas, Jurafsky, Ng (2014), "First-Pass Large Vocabulary Continuous Speech
    Recognition using Bi-Directional Recurrent DNNs", for the search with a language model.

    Examples
    --------
    Symbols of one to three frames, and another frame after each:

    >>> import numpy as np
    >>> import fastrnn as fr
    >>> random = np.random.default_rng(0)
    >>> y = ["".join(random.choice(list("abc"), size=3)) for _ in range(200)]
    >>> def frames(text):
    ...     parts = [part for s in text for part in ["abc".index(s)] * random.integers(1, 4) + [3]]
    ...     return np.eye(4)[parts] + 0.1 * random.normal(size=(len(parts), 4))
    >>> X = [frames(text) for text in y]
    >>> model = fr.models.Transcriber(hidden_size=16, epochs=12, learning_rate=0.02, random_state=0)
    >>> model.fit(X, y).score(X, y)
    1.0
    >>> model.predict([frames("cab"), frames("aa")])
    ['cab', 'aa']
    >>> model.error_rate([frames("abba")], ["abbas"])  # one of five symbols is missing
    0.2
    """

    bidirectional: bool = True
    stack_frames: int = 1
    noise: float = 0.0
    time_mask: int = 0
    feature_mask: int = 0
    masks: int = 2
    decoder: str = "greedy"
    beam_size: int = 16

    def predict(
        self,
        X: Any,
        *,
        decoder: str | None = None,
        beam_size: int | None = None,
        language_model: LanguageModel | None = None,
        vocabulary: Vocabulary | None = None,
        lm_weight: float = 0.5,
        insertion_bonus: float = 0.0,
    ) -> list[Any]:
        """Return the transcript of each sequence.

        Parameters
        ----------
        X : sequence of sequences
        decoder, beam_size : in place of the settings, optional
        language_model : LanguageModel, optional
            A model of the same symbols as the transcripts; the decoder is then "beam". A text is compared by
            ``log p(text | frames) + lm_weight * log p_lm(text) + insertion_bonus * symbols``.
        vocabulary : Vocabulary, optional
            Of the language model.
        lm_weight : float, default 0.5
            At least 0.
        insertion_bonus : float, default 0.0
            In nats: makes up for the language model's preference for short texts.

        Returns
        -------
        y : list of str, or list of list

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict")
        search = self._search(decoder, beam_size, language_model, vocabulary, lm_weight, insertion_bonus)
        return [self._transcripts.decode(ids) for ids in self._read(self._encoded(X), search)]

    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        """Return the probability of each symbol at each frame.

        Returns
        -------
        probabilities : list of ndarray, float64 [frames, 1 + K]
            One for each sequence, after frames are joined. Column 0 is the blank, the others ``symbols_``.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict_proba")
        arrays = self._encoded(X)
        result: list[Any] = [None] * len(arrays)
        for rows, z, frames in self._logits(arrays):
            probabilities = softmax(z)
            for column, row in enumerate(rows):
                result[row] = probabilities[: frames[column], column].copy()
        return result

    def align(self, X: Any, y: Any) -> list[list[AlignedSymbol]]:
        """Return the frames of each symbol of known transcripts, by their likeliest alignment.

        A symbol's frames are those at which the network says it; blanks may take most of its sound.

        Parameters
        ----------
        X, y
            As for `fit`.

        Returns
        -------
        alignments : list of list of AlignedSymbol
            One for each sequence: the symbols in order.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            Also if a transcript has a symbol not seen in training, or needs more frames than there are.
        """
        self._check_fitted("align")
        arrays, texts = self._pairs(X, y)
        result: list[Any] = [None] * len(arrays)
        for rows, z, frames in self._logits(arrays):
            positions, _ = ctc_align(z, [texts[row] for row in rows], frames, blank=BLANK)
            for column, row in enumerate(rows):
                path, joined = positions[: frames[column], column], self.network_.stack_frames
                symbols = self._transcripts.symbols.decode(texts[row])
                result[row] = [*aligned_symbols(symbols, path, joined, len(arrays[row]))]
        return result

    def score(self, X: Any, y: Any, **decoding: Any) -> float:
        """Return the fraction of transcripts that are exactly right.

        Parameters
        ----------
        X, y
            As for `fit`. A transcript with a symbol not seen in training counts as wrong.
        **decoding
            As for `predict`.
        """
        found, wanted = self._compared(X, y, decoding)
        return float(np.mean([*map(operator.eq, found, wanted)]))

    def error_rate(self, X: Any, y: Any, *, unit: str = "symbol", **decoding: Any) -> float:
        """Return the edit distance to the transcripts, divided by their length: 0 is right, 1 is useless.

        Parameters
        ----------
        X, y
            As for `fit`.
        unit : {"symbol", "word"}
            What is edited: symbols, such as characters, or the words between white space.
        **decoding
            As for `predict`.

        Returns
        -------
        rate : float
            Insertions, deletions and substitutions for each symbol or word of y; it can be greater than 1.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            Also if y has no symbols, or no words.
        """
        as_choice("unit", unit, ("symbol", "word"))
        found, wanted = self._compared(X, y, decoding)
        if unit == "word" and not self._transcripts.as_text:
            raise ValueError("unit: expected 'symbol', as the transcripts are lists of tokens, got 'word'")
        if unit == "word" and self._transcripts.level == "char":
            found, wanted = ([("".join(text)).split() for text in side] for side in (found, wanted))
        total = sum(map(len, wanted))
        if total == 0:
            raise ValueError(f"y: expected at least one {unit}, got none in {len(wanted)} rows")
        return float(sum(map(edit_distance, found, wanted)) / total)

    def partial_fit(self, X: Any, y: Any, symbols: Any = None, *, ranks: Ranks | None = None) -> Self:
        """Train for one pass over further data.

        Parameters
        ----------
        X, y
            As for `fit`.
        symbols : sequence of str or int, optional
            For the first call: what later transcripts may hold, besides what those in y do.
        ranks : Ranks, optional
            As for `fit`.

        Returns
        -------
        self
        """
        return self._fit_further(X, y, ranks, symbols=symbols)

    def _learn(self, X: Any, y: Any, rng: np.random.Generator, symbols: Any = None) -> None:
        rows, texts = as_pairs(X, y)
        self._learn_input(rows)
        self._transcripts = TranscriptCodec.learn("y", texts, level=self.level, known=symbols)
        self.symbols_: list[Any] = list(self._transcripts.symbols.symbols)
        self.network_: Any = self._new_network(rng)

    def _check_own_settings(self) -> Augmentation:
        as_size("stack_frames", self.stack_frames)
        as_choice("decoder", self.decoder, DECODERS)
        as_size("beam_size", self.beam_size)
        for name, none in (("stack_frames", 1), ("noise", 0), ("time_mask", 0), ("feature_mask", 0)):
            if self._codec.symbols is not None and (given := getattr(self, name)) != none:
                raise ValueError(f"{name}: expected {none} for sequences of symbols, got {given}")
        return Augmentation.checked(self.noise, self.time_mask, self.feature_mask, self.masks)

    def _make_network(self, rng: np.random.Generator) -> TranscriberNetwork:
        augmentation = self._check_own_settings()
        return TranscriberNetwork(
            self._encoder(self._codec, rng, stacked=self.stack_frames),
            len(self.symbols_),
            stack_frames=self.stack_frames,
            augmentation=augmentation,
            rng=rng,
        )

    def _pairs(self, X: Any, y: Any) -> tuple[list[NDArray[Any]], list[Ids]]:
        """Return encoded sequences and transcripts, which their frames must allow."""
        arrays, rows = self._encoded(X), as_rows("y", y)
        check_counts("X", len(arrays), "y", len(rows))
        texts = self._transcripts.encode("y", rows)
        for row, (array, ids) in enumerate(zip(arrays, texts, strict=True)):
            check_frames(row, ids, len(array), self.network_.stack_frames)
        return arrays, texts

    def _examples(self, X: Any, y: Any) -> Examples:
        arrays, texts = self._pairs(X, y)

        def make(rows: NDArray[np.int64]) -> TranscriberBatch:
            own = [texts[row] for row in rows]
            return TranscriberBatch(*as_batch(arrays, rows), np.concatenate(own), np.array([*map(len, own)]))

        return Examples([len(array) for array in arrays], make)

    def _measure(self, rows: NDArray[np.int64], batch: TranscriberBatch) -> tuple[int, int]:
        z, frames = self.network_(batch.x, batch.lengths)
        wanted = np.split(batch.targets, np.cumsum(batch.target_lengths)[:-1])
        return sum(map(np.array_equal, self._search()(z, frames), wanted)), len(rows)

    def _score_of(self, measured: list[tuple[int, int]]) -> float:
        return fraction_of(measured)

    def _compared(
        self, X: Any, y: Any, decoding: Mapping[str, Any]
    ) -> tuple[list[list[Any]], list[list[Any]]]:
        """Return the symbols found in each row, and those that should be."""
        self._check_fitted("score")
        arrays, rows = self._encoded(X), as_rows("y", y)
        check_counts("X", len(arrays), "y", len(rows))
        wanted = self._transcripts.split("y", rows)
        found = self._read(arrays, self._search(**decoding))
        return [self._transcripts.symbols.decode(ids) for ids in found], wanted

    def _logits(self, arrays: list[NDArray[Any]]) -> Iterator[tuple[Ids, Array, Ids]]:
        """Yield row numbers, their logits [T', N, 1 + K], and their frames."""
        for rows, x, lengths in batches_of(arrays, self.batch_size):
            yield rows, *self.network_(x, lengths)

    def _read(self, arrays: list[NDArray[Any]], search: TextSearch) -> list[Ids]:
        """Return the ids of each sequence's transcript."""
        found: list[Any] = [None] * len(arrays)
        for rows, z, frames in self._logits(arrays):
            for row, ids in zip(rows, search(z, frames), strict=True):
                found[row] = ids
        return found

    def _search(
        self, decoder: Any = None, beam_size: Any = None, language_model: Any = None, vocabulary: Any = None,
        lm_weight: Any = 0.5, insertion_bonus: Any = 0.0,
    ) -> TextSearch:  # fmt: skip
        """Return the way to read texts that the arguments of `predict` say."""
        if decoder is None:
            decoder = self.decoder if language_model is None else "beam"
        size = self.beam_size if beam_size is None else beam_size
        ids = None if language_model is None else language_ids(self.symbols_, language_model, vocabulary)
        if language_model is None and vocabulary is not None:
            raise ValueError("vocabulary: expected None without a language_model")
        return TextSearch.checked(decoder, size, language_model, ids, lm_weight, insertion_bonus)

    def _learned(self) -> dict[str, Any]:
        return {"input": self._codec.to_plain(), "transcripts": self._transcripts.to_plain()}

    def _restore(self, values: Mapping[str, Any]) -> None:
        fields = as_fields("learned", values, {"input": as_mapping, "transcripts": as_mapping})
        self._set_codec(InputCodec.from_plain(fields["input"]))
        self._transcripts = TranscriptCodec.from_plain(fields["transcripts"])
        self.symbols_ = list(self._transcripts.symbols.symbols)
