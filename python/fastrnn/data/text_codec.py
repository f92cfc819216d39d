"""Encoding texts as ids, and decoding ids to texts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

from fastrnn._cached import computed_once
from fastrnn._checks import as_flag
from fastrnn.data.counting import Coverage, count_text, measure_coverage
from fastrnn.data.reading import line_pieces, split_lines, text_chunks
from fastrnn.data.symbol_table import MARKS, SymbolTable
from fastrnn.data.symbols import POLICIES
from fastrnn.data.tokenize import check_text

__all__ = ["TextCodec"]

_NOT_A_SYMBOL = -1


class TextCodec(SymbolTable):
    """The part of a `Vocabulary` that works on texts: their tokens, encoding, decoding and coverage."""

    def tokens(self, text: str) -> list[str]:
        """Return the characters or words of a text, as `encode` splits it.

        Parameters
        ----------
        text : str

        Returns
        -------
        tokens : list of str

        Examples
        --------
        >>> from fastrnn.data import Vocabulary
        >>> Vocabulary(["a"], level="word").tokens("It's a <unk>, again.")
        ["It's", 'a', '<unk>', ',', 'again', '.']
        """
        check_text("text", text)
        if self._tokenizer is None:
            return list(text)
        return list(chain.from_iterable(map(self._tokenizer.split, split_lines(text))))

    def encode(
        self, text: str | Iterable[str], *, unknown: str | None = None, bos: bool = False, eos: bool = False
    ) -> NDArray[np.int64]:
        """Return the ids of a text, or of its tokens.

        At the word level a line end is the same as any other white space.

        Parameters
        ----------
        text : str or iterable of str
            A text, or its characters or words, such as `tokens` returns; may be empty.
        unknown : str, optional
            Another policy for this call: ``"error"``, ``"skip"`` or a symbol of the vocabulary.
        bos, eos : bool, default False
            Put the special symbol before or after the text.

        Returns
        -------
        ids : ndarray, int64, shape [symbols]
            One for each token, without unknown ones that are skipped.

        Raises
        ------
        ValueError
            If the policy is "error" and a character or word is not in the vocabulary (the message has it and
            its position, in characters or words), or if the vocabulary lacks a requested `bos` or `eos`.
            It is also raised for tokens that are longer texts; several are for `encode_batch`.
        TypeError
            If the text is neither a str nor an iterable of str.

        Examples
        --------
        >>> from fastrnn.data import Vocabulary
        >>> vocabulary = Vocabulary(["the", "cat"], level="word", unknown="<unk>")
        >>> vocabulary.encode("the dog"), vocabulary.encode(["the", "dog"])
        (array([0, 2]), array([0, 2]))
        """
        policy = self._policy(unknown)
        before, after = self._mark("bos", bos), self._mark("eos", eos)
        if not isinstance(text, str):
            ids = self._token_ids(text, policy)
        elif self.level == "char":
            ids = self._character_ids(text, policy)
        else:
            ids = _flat(self._word_line_ids(line_pieces(text_chunks(text)), policy, []))
        if before or after:
            return np.concatenate([np.array(part, dtype=np.int64) for part in (before, ids, after)])
        return ids

    def encode_batch(
        self,
        texts: Iterable[str | Iterable[str]],
        *,
        unknown: str | None = None,
        bos: bool = False,
        eos: bool = False,
    ) -> list[NDArray[np.int64]]:
        """Return the ids of each text, as `encode` does.

        Parameters
        ----------
        texts : iterable of str, or of iterables of str
        unknown, bos, eos
            As for `encode`.

        Returns
        -------
        ids : list of ndarray, int64, shape [symbols]

        Raises
        ------
        ValueError, TypeError
            As `encode`; the message has the number of the text.

        Examples
        --------
        >>> from fastrnn.data import Vocabulary
        >>> Vocabulary("ab", eos="<eos>").encode_batch(["ab", ""], eos=True)
        [array([0, 1, 2]), array([2])]
        """
        if isinstance(texts, str):
            raise TypeError("texts: expected an iterable of str, got str; write [text]")
        result = []
        for index, text in enumerate(texts):
            try:
                result.append(self.encode(text, unknown=unknown, bos=bos, eos=eos))
            except (ValueError, TypeError) as error:
                message = str(error)
                if not message.startswith(("text: ", "text[")):
                    raise
                raise type(error)(f"texts[{index}]{message.removeprefix('text')}") from None
        return result

    def encode_stream(self, text: str | Iterable[str], *, unknown: str | None = None) -> NDArray[np.int64]:
        r"""Return a corpus as one stream of ids, in memory for the result and a few lines.

        At the word level the words of each line are followed by ``eos``, if the vocabulary has it, as is
        usual for language models since Mikolov et al. (2010); a line without words is ``eos`` alone.
        At the character level this is `encode`, with the line ends as they are.

        Parameters
        ----------
        text : str or iterable of str
            A text, or its lines with or without their ends: an open file, or `read_lines`.
        unknown : str, optional
            As for `encode`.

        Returns
        -------
        ids : ndarray, int64, shape [symbols]

        Raises
        ------
        ValueError, TypeError
            As `encode`; a position counts from the start of the stream at the word level, and from the start
            of the line if lines of characters are given.

        References
        ----------
        Mikolov, Karafiát, Burget, Černocký, Khudanpur (2010). Recurrent neural network based language model.

        Examples
        --------
        >>> from fastrnn.data import Vocabulary
        >>> vocabulary = Vocabulary(["a", "b"], level="word", eos="<eos>")
        >>> vocabulary.encode_stream("a b\n\nb\n")
        array([0, 1, 2, 2, 1, 2])
        """
        policy = self._policy(unknown)
        if isinstance(text, (bytes, os.PathLike)) or not isinstance(text, Iterable):
            check_text("text", text)
        if self.level == "char":
            if isinstance(text, str):
                return self._character_ids(text, policy)
            return _flat(self._character_line_ids(text, policy))
        lines = line_pieces(text_chunks(text)) if isinstance(text, str) else _without_ends(text)
        return _flat(self._word_line_ids(lines, policy, self._mark("eos", self.eos_id is not None)))

    def decode(self, ids: Iterable[int]) -> str:
        r"""Return the text of ids.

        ``bos`` and ``pad`` are left out. At the character level ``eos`` is left out too. At the word level it
        becomes a line end and words are joined by single spaces, as the original white space is not known. A
        tokeniser of the package ``tokenizers`` with a decoder joins the tokens of a line itself.

        Parameters
        ----------
        ids : iterable of int
            Each in ``0 .. len(vocabulary) - 1``.

        Raises
        ------
        ValueError
            If an id is out of range; the message has it.
        TypeError
            If an id is not an integer.

        Examples
        --------
        >>> from fastrnn.data import Vocabulary
        >>> vocabulary = Vocabulary(["a", "b"], level="word", eos="<eos>")
        >>> vocabulary.decode([0, 1, 2, 1])
        'a b\nb'
        """
        numbers = self._checked_ids(ids)
        if self._tokenizer is None:
            marks = {self._special[part] for part in MARKS if part in self._special}
            return "".join([self.symbols[number] for number in numbers if number not in marks])
        eos, bos, pad = map(self._special.get, MARKS)
        lines: list[list[str]] = [[]]
        for number in numbers:
            if number == eos:
                lines.append([])
            elif number not in (bos, pad):
                lines[-1].append(self.symbols[number])
        return "\n".join([self._tokenizer.join(line) if line else "" for line in lines])

    def decode_batch(self, ids: Iterable[Iterable[int]]) -> list[str]:
        """Return the text of each row of ids, as `decode` does."""
        return [self.decode(row) for row in ids]

    def coverage(self, text: str) -> Coverage:
        """Return how much of a text the vocabulary covers.

        Parameters
        ----------
        text : str

        Returns
        -------
        coverage : Coverage

        Examples
        --------
        >>> from fastrnn.data import Vocabulary
        >>> coverage = Vocabulary.from_text("a b c", level="word").coverage("a b x x b a y a")
        >>> coverage.fraction, coverage.most_common_unknown
        (0.625, (('x', 2), ('y', 1)))
        """
        check_text("text", text)
        split = None if self._tokenizer is None else self._tokenizer.split
        return measure_coverage(count_text(text, split), self._id_of)

    @computed_once
    def _id_of_code(self) -> NDArray[np.int64]:
        """The id of each code point up to the highest symbol; the last entry is for all above it."""
        single = {ord(symbol): index for symbol, index in self._id_of.items() if len(symbol) == 1}
        table = np.full(max(single, default=0) + 2, _NOT_A_SYMBOL, dtype=np.int64)
        for code, index in single.items():
            table[code] = index
        return table

    def _policy(self, unknown: str | None) -> str | int:
        """Return the policy of a call: its name, or the id of the replacement."""
        policy = self.unknown if unknown is None else unknown
        if policy in POLICIES:
            return policy
        if policy not in self._id_of:
            raise ValueError(f"unknown: {policy!r} is not a symbol of the vocabulary")
        return self._id_of[policy]

    def _mark(self, part: str, wanted: bool) -> list[int]:
        if not as_flag(part, wanted):
            return []
        if part not in self._special:
            raise ValueError(f"{part}: expected a vocabulary that has this special symbol, got one without")
        return [self._special[part]]

    def _character_ids(self, text: str, policy: str | int) -> NDArray[np.int64]:
        ids = np.empty(len(text), np.int64)
        first = last = 0  # of the text, and of the ids
        for chunk in text_chunks(text):
            codes = np.frombuffer(chunk.encode("utf-32-le", "surrogatepass"), dtype="<u4")
            own: NDArray[np.int64] = self._id_of_code[np.minimum(codes, len(self._id_of_code) - 1)]
            strange: NDArray[np.bool_] = own == _NOT_A_SYMBOL
            if strange.any():
                position = int(strange.argmax())
                if policy == "error":
                    raise ValueError(
                        f"text: {chunk[position]!r} at position {first + position} is not in the vocabulary"
                    )
                if policy == "skip":
                    own = own[~strange]
                else:
                    own[strange] = policy
            ids[last : last + len(own)] = own
            first, last = first + len(chunk), last + len(own)
        return ids if last == len(ids) else ids[:last].copy()

    def _token_ids(self, tokens: Iterable[object], policy: str | int) -> NDArray[np.int64]:
        """Return the ids of single tokens."""
        if not _is_series_of_tokens(tokens):
            check_text("text", tokens)
        ids = []
        for place, token in enumerate(tokens):
            if isinstance(token, (list, tuple)):
                raise TypeError(
                    f"text[{place}]: expected str, got {type(token).__name__}; of several texts write "
                    "vocabulary.encode_batch(texts)"
                )
            if not isinstance(token, str):
                raise TypeError(f"text[{place}]: expected str, got {type(token).__name__}")
            found = self._id_of.get(token)
            if found is None:
                self._check_token(place, token)
                if policy == "error":
                    raise ValueError(f"text[{place}]: {token!r} is not in the vocabulary")
                if policy == "skip":
                    continue
                found = int(policy)
            ids.append(found)
        return np.array(ids, np.int64)

    def _check_token(self, place: int, token: str) -> None:
        """Refuse a text in the place of a token: it would be one unknown symbol."""
        if len(token) == 1 or (self.level == "word" and token and len(token.split()) == 1):
            return
        what = "a character" if self.level == "char" else "a word"
        raise ValueError(
            f"text[{place}]: expected {what}, got {token!r:.60}; of several texts write "
            "vocabulary.encode_batch(texts)"
        )

    def _character_line_ids(self, lines: Iterable[str], policy: str | int) -> Iterator[list[int]]:
        for number, line in enumerate(lines, 1):
            check_text(f"text, line {number}", line)
            try:
                yield self._character_ids(line, policy).tolist()
            except ValueError as error:
                raise ValueError(f"{error} (line {number})") from None

    def _word_line_ids(
        self, lines: Iterable[tuple[str, bool]], policy: str | int, end: list[int]
    ) -> Iterator[list[int]]:
        """Yield the ids of lines, or of pieces of them, followed by `end` where a line ends."""
        assert self._tokenizer is not None
        split, find = self._tokenizer.split, self._id_of.get
        default = policy if isinstance(policy, int) else _NOT_A_SYMBOL
        before, number = 0, 1  # words before this piece, and its line
        for line, whole in lines:
            tokens = split(line)
            ids = list(map(find, tokens, repeat(default)))
            if default == _NOT_A_SYMBOL and _NOT_A_SYMBOL in ids:
                if policy == "error":
                    index = ids.index(_NOT_A_SYMBOL)
                    word, where = tokens[index], f" (line {number})" if number > 1 else ""
                    raise ValueError(
                        f"text: word {word!r} at position {before + index} is not in the vocabulary{where}"
                    )
                ids = [i for i in ids if i != _NOT_A_SYMBOL]
            before, number = before + len(tokens), number + whole
            yield ids + end if whole else ids


def _is_series_of_tokens(tokens: object) -> bool:
    return isinstance(tokens, Iterable) and not isinstance(
        tokens, (bytes, bytearray, Mapping, Set, os.PathLike)
    )


def _flat(rows: Iterable[list[int]]) -> NDArray[np.int64]:
    return np.fromiter(chain.from_iterable(rows), np.int64)


def _without_ends(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    for number, line in enumerate(lines, 1):
        check_text(f"text, line {number}", line)
        yield line.removesuffix("\n").removesuffix("\r"), True
