"""Tag sequences: a tag, or several labels, for each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_flag, as_number, as_size
from fastrnn._plain import as_fields, as_list, as_mapping, optional
from fastrnn.data import pad_batch
from fastrnn.layers import allowed_transitions
from fastrnn.models.base.encoder import CELL_NAMES
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.examples import Examples, as_batch, batches_of, fraction_of
from fastrnn.models.base.input_codec import InputCodec
from fastrnn.models.base.sequences import as_pairs, as_rows, check_counts
from fastrnn.models.base.symbol_ids import SymbolIds
from fastrnn.models.step_labels import StepLabels
from fastrnn.models.tag_order import check_order
from fastrnn.models.tagger_network import TaggedBatch, TaggerNetwork
from fastrnn.models.word_characters import SpelledWords, WordCharacters
from fastrnn.train.distributed import OneProcess

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastrnn.train.distributed import Ranks

__all__ = ["SequenceTagger"]

SCHEMES = ("BIO", "BIOES")


@dataclass(eq=False, repr=False, kw_only=True)
class SequenceTagger(SequenceModel):
    """Tag each step of a sequence: words, characters, ids or features.

    The settings that all models share are those of `fastrnn.models.SequenceModel`; the others:

    Parameters
    ----------
    bidirectional : bool, default True
    crf : bool, default False
        Whether the tags of a sequence are chosen together, by a linear-chain conditional random field: the
        most probable sequence of tags in ``predict``, its marginals in ``predict_proba``.
    tag_scheme : {"BIO", "BIOES"}, optional
        With `crf`: tags that the scheme does not allow after one another are never predicted, such as
        ``I-PER`` after ``O``.
    char_features : str, optional
        A recurrent layer in lower case, such as "lstm", that reads the characters of each word in both
        directions; its last states are joined to the word's vector. It sees what words that were not in
        training look like. Needs sequences of words, and `embedding_size`.
    char_embedding_size : int, default 32
        The width of a character's vector.
    char_hidden_size : int, default 32
        The units of each direction over the characters.
    class_weight : mapping of tag to float, "balanced" or None
        The weight of each tag in the loss; "balanced": inversely proportional to its frequency. With several
        labels a step, the weight of each label's presence; "balanced": steps without it for each with it.
        Not with `crf`.
    threshold : float, default 0.5
        With two tags and no `crf`, the second of ``classes_`` is predicted where its probability is at least
        this; with several labels, so is each label.

    Attributes
    ----------
    classes_ : ndarray [K]
        The tags, or the labels, sorted.
    multilabel_ : bool
        Whether a step has any number of labels.

    Raises
    ------
    ValueError, TypeError
        By ``fit``, if a setting is wrong.

    Notes
    -----
    The targets are a sequence of tags for each sequence of X, equally long: a list or an array of str, int or
    bool, or a str with a character for each step. A tag of None or -1 is not known, and does not count: with
    `crf` the loss is then that of all ways to fill it in. Several labels a step are sets, or a matrix [T, K]
    of 0 and 1. What ``predict`` returns has the form of the first sequence's tags in training.

    A str in X is a sequence of characters, or with ``level="word"`` of words. Where the number of words must
    be certain, give a list of str.

    References
    ----------
    Huang, Xu, Yu (2015), "Bidirectional LSTM-CRF Models for Sequence Tagging"; Lample et al. (2016), "Neural
    Architectures for Named Entity Recognition", for the features from characters.

    Examples
    --------
    >>> import fastrnn as fr
    >>> X = [["the", "old", "dog", "sleeps"], ["a", "cat", "sees", "the", "dog"]] * 10
    >>> y = [["DET", "ADJ", "NOUN", "VERB"], ["DET", "NOUN", "VERB", "DET", "NOUN"]] * 10
    >>> model = fr.models.SequenceTagger(hidden_size=16, epochs=10, random_state=0).fit(X, y)
    >>> model.predict([["the", "cat", "sleeps"]])
    [['DET', 'NOUN', 'VERB']]
    >>> model.predict_proba(X[:2])[1].shape, model.score(X, y)
    ((5, 4), 1.0)

    Names, of which no two parts are out of order:

    >>> X = [["Ada", "Lovelace", "met", "Charles", "Babbage"], ["they", "met", "in", "London"]] * 10
    >>> y = [["B-PER", "I-PER", "O", "B-PER", "I-PER"], ["O", "O", "O", "B-LOC"]] * 10
    >>> model = fr.models.SequenceTagger(
    ...     crf=True, tag_scheme="BIO", char_features="gru", hidden_size=16, epochs=15, random_state=0
    ... ).fit(X, y)
    >>> model.predict([["Charles", "Babbage", "met", "Ada"]])
    [['B-PER', 'I-PER', 'O', 'B-PER']]
    """

    bidirectional: bool = True
    crf: bool = False
    tag_scheme: str | None = None
    char_features: str | None = None
    char_embedding_size: int = 32
    char_hidden_size: int = 32
    class_weight: Mapping[Any, float] | str | None = None
    threshold: float = 0.5

    def predict(self, X: Any) -> list[Any]:
        """Return the tags of each sequence.

        Parameters
        ----------
        X : sequence of sequences

        Returns
        -------
        y : list
            For each sequence, what its tags were in training: a list, an array [T] or a str; with several
            labels a step a list of sets, or a matrix [T, K] of 0 and 1.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict")
        threshold = as_number("threshold", self.threshold, least=0.0, most=1.0)

        def choose(z: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[Any]:
            chosen: NDArray[Any] = self.network_.choose(z, lengths, threshold)
            return chosen[:, :, 0].astype(np.int64) if self._binary else chosen

        return [self._tags.decode(found) for found in self._at_each_step(X, choose)]

    def predict_proba(self, X: Any) -> list[NDArray[np.float64]]:
        """Return the probability of each tag, or of each label, at each step.

        Returns
        -------
        probabilities : list of ndarray, float64 [T, K]
            In the order of ``classes_``; with `crf` each given the whole sequence.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict_proba")

        def probabilities(z: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
            p: NDArray[np.float64] = self.network_.probabilities(z, lengths)
            return np.concatenate([1 - p, p], axis=2) if self._binary else p

        return self._at_each_step(X, probabilities)

    def score(self, X: Any, y: Any) -> float:
        """Return the accuracy: the fraction of steps, of those known, whose tag or set of labels is right.

        For entities of BIO or BIOES tags use ``seqeval.metrics.f1_score(y, model.predict(X))``.
        """
        self._check_fitted("score")
        return self._score_examples(self._examples(X, y), OneProcess())

    def partial_fit(self, X: Any, y: Any, classes: Any = None, *, ranks: Ranks | None = None) -> Self:
        """Train for one pass over further data.

        Parameters
        ----------
        X, y
            As for `fit`. Symbols and characters that the first call did not see stay unknown.
        classes : sequence, optional
            For the first call: all tags that later calls may have; default: those in y.
        ranks : Ranks, optional
            As for `fit`.

        Returns
        -------
        self
        """
        return self._fit_further(X, y, ranks, classes=classes)

    def _learn(self, X: Any, y: Any, rng: np.random.Generator, classes: Any = None) -> None:
        self._check_own_settings()
        rows, _ = as_pairs(X, y)
        self._learn_input(rows)
        self._characters = None
        if self.char_features is not None:
            words = {word for sequence in self._words(rows) for word in sequence}
            self._characters = SymbolIds.learn(sorted(words))
        self._set_tags(StepLabels.learn(y, classes))
        self._weights = self._tags.weights(self.class_weight, y)
        self.network_: Any = self._new_network(rng)

    def _check_own_settings(self) -> None:
        as_flag("crf", self.crf)
        as_number("threshold", self.threshold, least=0.0, most=1.0)
        as_size("char_embedding_size", self.char_embedding_size)
        as_size("char_hidden_size", self.char_hidden_size)
        if self.tag_scheme is not None:
            as_choice("tag_scheme", self.tag_scheme, SCHEMES)
            if not self.crf:
                raise ValueError("tag_scheme: expected None without a CRF; write crf=True")
        if self.char_features is not None:
            as_choice("char_features", self.char_features, CELL_NAMES)
            if self.embedding_size is None:
                raise ValueError("embedding_size: expected a number with char_features, got None")
        if self.class_weight is not None and self.crf:
            raise ValueError(
                "class_weight: expected None with crf=True, as its loss is that of whole sequences"
            )

    def _set_tags(self, tags: StepLabels) -> None:
        """Take over the tags; check that they go with the output layer."""
        if tags.several and self.crf:
            raise ValueError("crf: expected False with several labels at a step")
        self._tags, self._allowed = tags, None
        if self.tag_scheme is not None:
            self._allowed = allowed_transitions(tags.labels.classes.tolist(), scheme=self.tag_scheme)
        self.classes_: NDArray[Any] = tags.labels.classes
        self.multilabel_: bool = tags.several
        self._binary = len(tags.labels) == 2 and not tags.several and not self.crf

    def _make_network(self, rng: np.random.Generator) -> TaggerNetwork:
        sigmoid = self._binary or self.multilabel_
        characters = None
        if self._characters is not None:
            assert self.char_features is not None
            characters = WordCharacters(
                len(self._characters),
                embedding_size=self.char_embedding_size,
                cell=self.char_features,
                hidden_size=self.char_hidden_size,
                dtype=self.dtype,
                rng=rng,
                unknown=self._characters.unknown_probabilities(self.unknown_alpha),
            )
        return TaggerNetwork(
            self._encoder(self._codec, rng, 0 if characters is None else characters.output_size),
            1 if self._binary else len(self.classes_),
            loss="crf" if self.crf else "sigmoid" if sigmoid else "softmax",
            characters=characters,
            allowed=self._allowed,
            pos_weight=self._weights if self.multilabel_ else None,
            rng=rng,
        )

    def _examples(self, X: Any, y: Any) -> Examples:
        rows = as_rows("X", X)
        check_counts("X", len(rows), "y", len(as_rows("y", y)))
        arrays = self._codec.encode_rows("X", rows, self.dtype)
        targets = self._tags.encode(y, [len(array) for array in arrays])
        if all((target < 0).all() for target in targets):
            raise ValueError("y: expected a tag that is known at one step at least, got none")
        if self._allowed is not None:
            assert self.tag_scheme is not None
            check_order(targets, self._allowed, self.classes_, self.tag_scheme)
        spelled = self._spelled(rows)

        def make(chosen: NDArray[np.int64]) -> TaggedBatch:
            x, lengths = as_batch(arrays, chosen)
            wanted = pad_batch([targets[row] for row in chosen], fill=-1)[0]
            known = (wanted >= 0).any(axis=2) if self.multilabel_ else wanted >= 0
            own = 1.0 if self._weights is None or self.multilabel_ else self._weights[wanted]
            weights = np.where(known, own, 0.0)
            if self._binary:
                wanted = wanted[:, :, None]
            if self._binary or self.multilabel_:
                wanted = wanted.astype(self.dtype)
            words = None if spelled is None else spelled.batch(chosen)
            return TaggedBatch(x, lengths, words, wanted, weights)

        return Examples([len(array) for array in arrays], make)

    def _words(self, rows: list[Any]) -> list[list[str]]:
        """Return sequences of words, of which characters can be read."""
        if self._codec.symbols is None:
            raise TypeError("char_features: expected sequences of words, got features; write None")
        sequences = [self._codec.split("X", number, row) for number, row in enumerate(rows)]
        for number, words in enumerate(sequences):
            if any(not isinstance(word, str) for word in words):
                raise TypeError(f"X[{number}]: expected words (str) with char_features, got ids")
        if self._codec.level == "char" and any(isinstance(row, str) for row in rows):
            raise ValueError(
                'char_features: expected sequences of words, got characters; write level="word", or give '
                "lists of words"
            )
        return sequences

    def _spelled(self, rows: list[Any]) -> SpelledWords | None:
        return None if self._characters is None else SpelledWords(self._words(rows), self._characters)

    def _at_each_step(self, X: Any, convert: Callable[..., NDArray[Any]]) -> list[NDArray[Any]]:
        """Return for each sequence what a function makes of a batch's outputs [T, N, K] and lengths."""
        given = as_rows("X", X)
        arrays, spelled = self._codec.encode_rows("X", given, self.dtype), self._spelled(given)
        result: list[Any] = [None] * len(arrays)
        for rows, x, lengths in batches_of(arrays, self.batch_size):
            words = None if spelled is None else spelled.batch(rows)
            found = convert(self.network_(x, lengths, words), lengths)
            for column, row in enumerate(rows.tolist()):
                result[row] = found[: lengths[column], column].copy()
        return result

    def _measure(self, rows: NDArray[np.int64], batch: TaggedBatch) -> tuple[int, int]:
        z = self.network_(batch.x, batch.lengths, batch.words)
        chosen = self.network_.choose(z, batch.lengths, self.threshold)
        counted: Any = batch.targets >= 0
        same: Any = chosen == batch.targets
        if self._binary or self.multilabel_:
            same = (same | ~counted).all(axis=2)
            counted = counted.any(axis=2)
        return int((same & counted).sum()), int(counted.sum())

    def _score_of(self, measured: list[tuple[int, int]]) -> float:
        return fraction_of(measured)

    def _learned(self) -> dict[str, Any]:
        return {
            "input": self._codec.to_plain(),
            "tags": self._tags.to_plain(),
            "characters": None if self._characters is None else self._characters.to_plain(),
            "weights": None if self._weights is None else self._weights.tolist(),
        }

    def _restore(self, values: Mapping[str, Any]) -> None:
        checks = {
            "input": as_mapping,
            "tags": as_mapping,
            "characters": optional(as_mapping),
            "weights": _weights,
        }
        fields = as_fields("learned", values, checks)
        self._check_own_settings()
        self._set_codec(InputCodec.from_plain(fields["input"]))
        self._set_tags(StepLabels.from_plain(fields["tags"]))
        characters, self._weights = fields["characters"], fields["weights"]
        if (characters is None) != (self.char_features is None):
            raise ValueError("learned.characters: expected them with char_features, and only then")
        self._characters = None if characters is None else SymbolIds.from_plain(characters)
        if self._weights is not None and len(self._weights) != len(self.classes_):
            raise ValueError("learned.weights: expected one for each tag")


def _weights(name: str, value: Any) -> NDArray[np.float64] | None:
    return None if value is None else np.array(as_list(name, value, as_number), np.float64)
