"""Vectors of words from their characters: recurrent layers that read each distinct word of a batch once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn._dispatch import kernels
from fastrnn.data import pad_batch
from fastrnn.layers import Embedding, Recurrent
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.random import rows_generator
from fastrnn.models.base.encoder import hidden_state, make_recurrent, state_gradient
from fastrnn.models.base.symbol_ids import SymbolIds

if TYPE_CHECKING:
    from fastrnn.layers import Tape

__all__ = ["CharacterTape", "SpelledWords", "WordBatch", "WordCharacters"]


class WordBatch(NamedTuple):
    """The distinct words of a batch, and where each of them is.

    Attributes
    ----------
    characters : ndarray, int64 [C, M]
        The ids of each word's characters, 0 after the end of a word.
    lengths : ndarray, int64 [M]
        Characters of each word.
    places : ndarray, int64 [T, N]
        The number of the word at each step; -1 after the end of a sequence.
    """

    characters: Ids
    lengths: Ids
    places: Ids


class SpelledWords:
    """The words of a data set as characters, each distinct word once.

    Parameters
    ----------
    sequences : sequence of sequences of str
    symbols : SymbolIds
        The characters; others are read as the unknown one, id 0.
    """

    def __init__(self, sequences: Sequence[Sequence[str]], symbols: SymbolIds) -> None:
        numbers: dict[str, int] = {}
        self._words = [
            np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)
            for words in sequences
        ]
        # A word without characters is read as an unknown one.
        self._spelled = [symbols.encode(word) if word else np.zeros(1, np.int64) for word in numbers]

    def batch(self, rows: NDArray[np.int64]) -> WordBatch:
        """Return the words of some sequences."""
        padded, _ = pad_batch([self._words[row] + 1 for row in rows], fill=0)
        distinct, places = np.unique(padded, return_inverse=True)
        places = places.reshape(padded.shape)
        if distinct[0] == 0:  # what comes after the shorter sequences
            distinct, places = distinct[1:], places - 1
        characters, lengths = pad_batch(self._spelled, distinct - 1, fill=0)
        return WordBatch(characters, lengths, places)


class CharacterTape(NamedTuple):
    """What `WordCharacters.forward` keeps for `backward`."""

    characters: Ids
    places: Ids
    rnn: Tape
    state: Any


class WordCharacters(ModuleGroup):
    """Read the characters of each word in both directions; a word's vector is the two last states.

    Parameters
    ----------
    symbols : int
        The number of ids of characters.
    embedding_size : int
        The width of a character's vector.
    cell : str
        The recurrent layer, by its name.
    hidden_size : int
        Its units in each direction.
    dtype : {"float32", "float64"}
    rng : numpy.random.Generator
        For the parameters, then for unknown characters.
    unknown : ndarray, float [symbols], optional
        In training, the probability with which each character is read as 0, the unknown one.

    Attributes
    ----------
    output_size : int
        Width of a word's vector, twice `hidden_size`.

    References
    ----------
    Ling et al. (2015), "Finding Function in Form: Compositional Character Models for Open Vocabulary Word
    Representation". Lample et al. (2016), "Neural Architectures for Named Entity Recognition".
    """

    rng: np.random.Generator
    unknown: NDArray[np.float64] | None

    embedding: Embedding
    rnn: Recurrent[Any]

    def __init__(
        self,
        symbols: int,
        *,
        embedding_size: int,
        cell: str,
        hidden_size: int,
        dtype: Any,
        rng: np.random.Generator,
        unknown: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__(
            embedding=Embedding(symbols, embedding_size, dtype=dtype, seed=rng),
            rnn=make_recurrent(cell, embedding_size, hidden_size, bidirectional=True, dtype=dtype, rng=rng),
        )
        self.rng, self.unknown = rng, unknown
        self.output_size: int = 2 * hidden_size

    def __call__(self, words: WordBatch) -> Array:
        """Return the vector of the word at each step [T, N, output_size], 0 after the end of a sequence."""
        _, state = self.rnn(self.embedding(words.characters), None, words.lengths)
        return self._at_places(state, words.places)

    def forward(self, words: WordBatch) -> tuple[Array, CharacterTape]:
        """Do the same in training, with a tape for `backward`."""
        characters = words.characters
        if self.unknown is not None:
            chosen = rows_generator(self.rng).random(characters.shape) < self.unknown[characters]
            characters = np.where(chosen, 0, characters)
        vectors, read = self.embedding.forward(characters)
        _, state, tape = self.rnn.forward(vectors, None, words.lengths)
        return self._at_places(state, words.places), CharacterTape(read, words.places, tape, state)

    def backward(self, tape: CharacterTape, dy: Array) -> None:
        """Add to the gradients; a word's is the sum of those at its places.

        Parameters
        ----------
        tape : CharacterTape
        dy : ndarray, float [T, N, output_size]
        """
        dwords = np.zeros((tape.characters.shape[1], self.output_size), dy.dtype)
        rows = np.ascontiguousarray(dy).reshape(-1, self.output_size)
        kernels.embedding_backward(tape.places.reshape(-1), rows, dwords)
        dvectors, _ = self.rnn.backward(tape.rnn, None, state_gradient(self.rnn, tape.state, dwords))
        assert dvectors is not None
        self.embedding.backward(tape.characters, dvectors)

    def _at_places(self, state: Any, places: Ids) -> Array:
        words = np.ascontiguousarray(hidden_state(self.rnn, state))
        vectors: Array = kernels.embedding_forward(places.reshape(-1), words)
        return vectors.reshape(*places.shape, self.output_size)
