"""Symbols and their numbers: the vocabulary of a model of characters or words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrnn._arrays import as_dtype, as_ids
from fastrnn._checks import as_flag, as_integers
from fastrnn.data.counting import Coverage, count_files, count_text, measure_coverage
from fastrnn.data.reading import split_lines
from fastrnn.data.symbols import POLICIES, Recipe, checked_counts, checked_symbols, special_symbols
from fastrnn.data.tokenize import check_text, tokenizer_from_json, tokenizer_of

if TYPE_CHECKING:
    from fastrnn.data.reading import Paths

__all__ = ["Vocabulary"]

_NOT_A_SYMBOL = -1
_MARKS = ("eos", "bos", "pad")


class Vocabulary:
    """Characters or words and their ids: symbol ``i`` of ``symbols`` has id ``i``.

    Parameters
    ----------
    symbols : iterable of str
        The symbols in the order of their ids, each once: single characters, or words of any kind.
    level : {"char", "word"}, default "char"
        Whether a text is a sequence of characters or of a tokeniser's words.
    unknown : str, default "error"
        What `encode` does with a character or word that is no symbol. ``"error"``: raise ValueError with it
        and its position. ``"skip"``: leave it out. Anything else is a replacement symbol, for example
        ``"<unk>"`` or ``"?"``: it gets that symbol's id.
    eos, bos, pad : str, optional
        Special symbols for the end of a text or line, its beginning, and what fills up a batch, for example
        ``"<eos>"``. Like the replacement they are added behind the other symbols, in the order unknown, eos,
        bos, pad, if they are not among them.
    tokenizer : str, callable or tokenizers.Tokenizer, optional
        At the word level, what cuts a line of text into tokens: ``"words"`` (the default; see `split_words`),
        ``"whitespace"`` (``str.split``), a function from str to a list of str, or a tokeniser of the package
        ``tokenizers``, whose tokens are then the words. It sees one line at a time, without its end.

    Attributes
    ----------
    symbols : tuple of str
        All symbols, the special ones included.
    level, unknown, tokenizer
        As given; `tokenizer` is ``"words"`` where none was given, and None at the character level.

    Raises
    ------
    ValueError
        If there is no symbol beside special ones, a symbol comes twice, is empty or (at the character level)
        more than one character and not special, or two special symbols are the same.
    TypeError
        If a symbol is no str.

    Examples
    --------
    >>> from fastrnn.data import Vocabulary
    >>> vocabulary = Vocabulary.from_text("hello")
    >>> vocabulary.symbols
    ('e', 'h', 'l', 'o')
    >>> vocabulary.encode("hole")
    array([1, 3, 2, 0])
    >>> vocabulary.decode([1, 0, 2, 2, 3])
    'hello'

    Words, the most frequent first:

    >>> text = "the cat saw the dog , the dog saw a bird"
    >>> words = Vocabulary.from_text(text, level="word", max_types=3, eos="<eos>")
    >>> words.symbols
    ('<unk>', '<eos>', 'the', 'dog', 'saw')
    >>> words.encode("the dog saw the moon", eos=True)
    array([2, 3, 4, 2, 0, 1])
    >>> words.decode([2, 3, 4, 2, 0])
    'the dog saw the <unk>'
    """

    def __init__(
        self,
        symbols: Iterable[str],
        *,
        level: str = "char",
        unknown: str = "error",
        eos: str | None = None,
        bos: str | None = None,
        pad: str | None = None,
        tokenizer: Any = None,
    ) -> None:
        self._tokenizer = tokenizer_of(level, tokenizer)
        special = special_symbols(unknown, eos, bos, pad)
        self.symbols = checked_symbols(symbols, level, special)
        self.level, self.unknown = level, unknown
        self._id_of = {symbol: index for index, symbol in enumerate(self.symbols)}
        self._special = {part: self._id_of[symbol] for part, symbol in special.items()}
        self._id_of_code = self._lookup_table() if level == "char" else np.empty(0, np.int64)

    @classmethod
    def from_text(
        cls,
        text: str,
        *,
        level: str = "char",
        max_types: int | None = None,
        min_count: int = 1,
        unknown: str | None = None,
        eos: str | None = None,
        bos: str | None = None,
        pad: str | None = None,
        tokenizer: Any = None,
    ) -> Vocabulary:
        """Make the vocabulary of a text.

        All the characters of a text come sorted by code point, special symbols that are not among them
        behind. In any other case, words or a choice of characters, the special symbols come first (unknown,
        eos, bos, pad), then all others by falling count, those of one count by code point. A token that is a
        special symbol is that symbol.

        Parameters
        ----------
        text : str
            At least one character or word.
        max_types : int, optional
            Take only so many of the most frequent symbols, not counting special ones.
        min_count : int, default 1
            Leave out what comes less often.
        unknown : str, optional
            As for the constructor; default ``"error"`` for characters, ``"<unk>"`` for words.
        level, eos, bos, pad, tokenizer
            As for the constructor.

        Raises
        ------
        ValueError
            If the text has no symbol beside special ones, or none comes often enough.
        TypeError
            If the text is no str.
        """
        check_text("text", text)
        recipe = Recipe(level, max_types, min_count, unknown, eos, bos, pad, tokenizer).checked()
        return cls(recipe.symbols("text", count_text(text, recipe.split)), **recipe.options())

    @classmethod
    def from_files(
        cls,
        paths: Paths,
        *,
        level: str = "char",
        max_types: int | None = None,
        min_count: int = 1,
        unknown: str | None = None,
        eos: str | None = None,
        bos: str | None = None,
        pad: str | None = None,
        tokenizer: Any = None,
        progress: bool = False,
    ) -> Vocabulary:
        """Make the vocabulary of UTF-8 files of any size.

        It is that of the text in them (see `from_text`; a word ends with its file), made in memory for the
        different symbols and a few megabytes of text. A tokeniser other than the package's own sees a line
        longer than that in pieces, cut at white space.

        Parameters
        ----------
        paths : path or iterable of path
            At least one file.
        level, max_types, min_count, unknown, eos, bos, pad, tokenizer
            As for `from_text`.
        progress : bool, default False
            Show a progress bar on standard error.

        Raises
        ------
        ValueError
            As `from_text`, or if a file is empty or not UTF-8.
        OSError
            If a file cannot be read.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "a.txt")
        ...     _ = path.write_text("one two two", encoding="utf-8")
        ...     Vocabulary.from_files([path], level="word").symbols
        ('<unk>', 'two', 'one')
        """
        recipe = Recipe(level, max_types, min_count, unknown, eos, bos, pad, tokenizer).checked()
        return cls(
            recipe.symbols("paths", count_files(paths, recipe.split, progress=progress)), **recipe.options()
        )

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[str, int],
        *,
        level: str = "char",
        max_types: int | None = None,
        min_count: int = 1,
        unknown: str | None = None,
        eos: str | None = None,
        bos: str | None = None,
        pad: str | None = None,
        tokenizer: Any = None,
    ) -> Vocabulary:
        """Make the vocabulary of symbols that are counted already.

        Parameters
        ----------
        counts : mapping of str to int
            Symbols and how often they come, for example a ``collections.Counter``.
        level, max_types, min_count, unknown, eos, bos, pad, tokenizer
            As for `from_text`.

        Raises
        ------
        ValueError, TypeError
            As `from_text`, or if a count is no integer.

        Examples
        --------
        >>> Vocabulary.from_counts({"to": 7, "be": 9, "or": 1}, level="word", min_count=2).symbols
        ('<unk>', 'be', 'to')
        """
        recipe = Recipe(level, max_types, min_count, unknown, eos, bos, pad, tokenizer).checked()
        return cls(recipe.symbols("counts", checked_counts(counts)), **recipe.options())

    @classmethod
    def from_json(cls, value: Any, *, tokenizer: Any = None) -> Vocabulary:
        """Make the vocabulary that `to_json` described.

        Parameters
        ----------
        value : mapping
        tokenizer : str, callable or tokenizers.Tokenizer, optional
            Take this one instead of the one described; needed where that was a function.

        Raises
        ------
        ValueError
            If the value does not describe a vocabulary, or its tokeniser was a function and none is given.
        ImportError
            If its tokeniser needs the package ``tokenizers`` and that is not installed.
        """
        if not isinstance(value, Mapping) or value.get("level") not in ("char", "word"):
            raise ValueError('vocabulary: expected a description with level "char" or "word"')
        symbols, marks = value.get("symbols"), {part: value.get(part) for part in _MARKS}
        if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
            raise ValueError("vocabulary: expected a list of symbols")
        if not all(mark is None or isinstance(mark, str) for mark in marks.values()):
            raise ValueError(f"vocabulary: expected special symbols or null, got {marks}")
        if tokenizer is None and "tokenizer" in value:
            tokenizer = tokenizer_from_json(value["tokenizer"])
        unknown = value.get("unknown")
        if not isinstance(unknown, str):
            raise ValueError(f"vocabulary: expected a policy for unknown symbols, got {unknown!r}")
        return cls(symbols, level=value["level"], unknown=unknown, tokenizer=tokenizer, **marks)

    def to_json(self) -> dict[str, Any]:
        """Describe the vocabulary in plain values, ready for ``json.dumps``.

        A tokeniser that is a function is not part of it: `from_json` has to be given it again.

        Examples
        --------
        >>> Vocabulary("ab", eos="<eos>").to_json()
        {'level': 'char', 'symbols': ['a', 'b', '<eos>'], 'unknown': 'error', 'eos': '<eos>'}
        """
        value = {"level": self.level, "symbols": list(self.symbols), "unknown": self.unknown}
        value |= {part: self.symbols[self._special[part]] for part in _MARKS if part in self._special}
        return value if self._tokenizer is None else value | {"tokenizer": self._tokenizer.to_json()}

    @property
    def tokenizer(self) -> Any:
        """What cuts lines into words; None at the character level."""
        return None if self._tokenizer is None else self._tokenizer.given

    @property
    def unknown_id(self) -> int | None:
        """Id of the replacement symbol."""
        return self._special.get("unknown")

    @property
    def eos_id(self) -> int | None:
        """Id of the symbol for an end."""
        return self._special.get("eos")

    @property
    def bos_id(self) -> int | None:
        """Id of the symbol for a beginning."""
        return self._special.get("bos")

    @property
    def pad_id(self) -> int | None:
        """Id of the symbol that fills up."""
        return self._special.get("pad")

    def tokens(self, text: str) -> list[str]:
        """Give the characters or words that `encode` sees in a text.

        Parameters
        ----------
        text : str

        Returns
        -------
        tokens : list of str

        Examples
        --------
        >>> Vocabulary(["a"], level="word").tokens("It's a <unk>, again.")
        ["It's", 'a', '<unk>', ',', 'again', '.']
        """
        check_text("text", text)
        if self._tokenizer is None:
            return list(text)
        return list(chain.from_iterable(map(self._tokenizer.split, split_lines(text))))

    def encode(
        self, text: str, *, unknown: str | None = None, bos: bool = False, eos: bool = False
    ) -> NDArray[np.int64]:
        """Turn a text into ids.

        At the word level a line end is as good as any other white space.

        Parameters
        ----------
        text : str
            Any text, empty included.
        unknown : str, optional
            Another policy for this call alone: ``"error"``, ``"skip"`` or a symbol of the vocabulary.
        bos, eos : bool, default False
            Put the special symbol before the text, behind it.

        Returns
        -------
        ids : ndarray, int64, shape [symbols]
            An id for each of `tokens` (fewer where unknown ones are skipped).

        Raises
        ------
        ValueError
            If the policy is "error" and a character or word is no symbol (the message names it and its
            position, in characters or words), or if `bos` or `eos` is asked for and there is none.
        TypeError
            If the text is no str.
        """
        check_text("text", text)
        policy = self._policy(unknown)
        before, behind = self._mark("bos", bos), self._mark("eos", eos)
        if self.level == "char":
            ids = self._character_ids(text, policy)
        else:
            ids = _flat(self._word_line_ids(split_lines(text), policy, []))
        if before or behind:
            return np.concatenate([np.array(part, dtype=np.int64) for part in (before, ids, behind)])
        return ids

    def encode_batch(
        self, texts: Iterable[str], *, unknown: str | None = None, bos: bool = False, eos: bool = False
    ) -> list[NDArray[np.int64]]:
        """Turn texts into ids, each as `encode` does.

        Parameters
        ----------
        texts : iterable of str
        unknown, bos, eos
            As for `encode`.

        Returns
        -------
        ids : list of ndarray, int64, shape [symbols]

        Raises
        ------
        ValueError, TypeError
            As `encode`; the message says which text.

        Examples
        --------
        >>> Vocabulary("ab", eos="<eos>").encode_batch(["ab", ""], eos=True)
        [array([0, 1, 2]), array([2])]
        """
        if isinstance(texts, str):
            raise TypeError("texts: expected an iterable of str, got str")
        result = []
        for index, text in enumerate(texts):
            try:
                result.append(self.encode(text, unknown=unknown, bos=bos, eos=eos))
            except (ValueError, TypeError) as error:
                message = str(error)
                if not message.startswith("text: "):
                    raise
                raise type(error)(f"texts[{index}]: {message.removeprefix('text: ')}") from None
        return result

    def encode_stream(self, text: str | Iterable[str], *, unknown: str | None = None) -> NDArray[np.int64]:
        r"""Turn a corpus into one stream of ids, in memory for the result and a few lines.

        At the word level each line's words are followed by ``eos`` where the vocabulary has it, as is usual
        for language models since Mikolov et al. (2010); a line without any word is ``eos`` alone.
        At the character level this is `encode`, line ends included as they come.

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
            As `encode`; positions count from the start of the stream at the word level, and in a line where
            lines of characters are given.

        References
        ----------
        Mikolov, Karafiát, Burget, Černocký, Khudanpur (2010). Recurrent neural network based language model.

        Examples
        --------
        >>> vocabulary = Vocabulary(["a", "b"], level="word", eos="<eos>")
        >>> vocabulary.encode_stream("a b\n\nb\n")
        array([0, 1, 2, 2, 1, 2])
        """
        policy = self._policy(unknown)
        if self.level == "char":
            if isinstance(text, str):
                return self._character_ids(text, policy)
            return _flat(self._character_line_ids(text, policy))
        lines = split_lines(text) if isinstance(text, str) else _without_ends(text)
        return _flat(self._word_line_ids(lines, policy, self._mark("eos", self.eos_id is not None)))

    def decode(self, ids: Iterable[int]) -> str:
        r"""Turn ids into a text.

        ``bos`` and ``pad`` are left out. At the character level ``eos`` is left out too; at the word level it
        becomes a line end and words are joined by single spaces: which of them the text had is not known. A
        tokeniser of the package ``tokenizers`` with a decoder joins the tokens of a line itself.

        Parameters
        ----------
        ids : iterable of int
            Each in ``0 .. len(vocabulary) - 1``.

        Raises
        ------
        ValueError
            If an id is out of range; the message names it.
        TypeError
            If an id is no integer.

        Examples
        --------
        >>> vocabulary = Vocabulary(["a", "b"], level="word", eos="<eos>")
        >>> vocabulary.decode([0, 1, 2, 1])
        'a b\nb'
        """
        numbers = self._checked_ids(ids)
        if self._tokenizer is None:
            silent = {self._special[part] for part in _MARKS if part in self._special}
            return "".join([self.symbols[number] for number in numbers if number not in silent])
        eos, bos, pad = map(self._special.get, _MARKS)
        lines: list[list[str]] = [[]]
        for number in numbers:
            if number == eos:
                lines.append([])
            elif number not in (bos, pad):
                lines[-1].append(self.symbols[number])
        return "\n".join([self._tokenizer.join(line) if line else "" for line in lines])

    def decode_batch(self, ids: Iterable[Iterable[int]]) -> list[str]:
        """Turn many rows of ids into texts, each as `decode` does."""
        return [self.decode(row) for row in ids]

    def coverage(self, text: str) -> Coverage:
        """Tell how much of a text the vocabulary knows.

        Parameters
        ----------
        text : str

        Returns
        -------
        coverage : Coverage

        Examples
        --------
        >>> coverage = Vocabulary.from_text("a b c", level="word").coverage("a b x x b a y a")
        >>> coverage.fraction, coverage.most_common_unknown
        (0.625, (('x', 2), ('y', 1)))
        """
        check_text("text", text)
        split = None if self._tokenizer is None else self._tokenizer.split
        return measure_coverage(count_text(text, split), self._id_of)

    def one_hot(self, ids: ArrayLike, dtype: DTypeLike = "float32") -> NDArray[Any]:
        """Give the vectors that ids stand for, to look at: layers and models take the ids themselves.

        Parameters
        ----------
        ids : array_like, int, any shape
        dtype : {"float32", "float64"}, default "float32"

        Returns
        -------
        vectors : ndarray of `dtype`, shape [..., V]

        Raises
        ------
        ValueError
            If an id is out of range.
        TypeError
            If ids are no integers.

        Examples
        --------
        >>> Vocabulary("abc").one_hot([2, 0])
        array([[0., 0., 1.],
               [1., 0., 0.]], dtype=float32)
        """
        numbers = as_ids("ids", ids, ("...",))
        self._checked_ids(numbers.ravel())
        vectors = np.zeros((*numbers.shape, len(self)), as_dtype(dtype))
        np.put_along_axis(vectors, numbers[..., None], 1, axis=-1)
        return vectors

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._id_of

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return (
            (self.level, self.unknown, self._special) == (other.level, other.unknown, other._special)
            and self.symbols == other.symbols
            and self._tokenizer == other._tokenizer
        )

    def __hash__(self) -> int:
        return hash((self.symbols, self.unknown))

    def __repr__(self) -> str:
        level = "" if self.level == "char" else f"level={self.level!r}, "
        marks = [
            f", {part}={self.symbols[self._special[part]]!r}" for part in _MARKS if part in self._special
        ]
        return f"<Vocabulary of {len(self)} symbols, {level}unknown={self.unknown!r}{''.join(marks)}>"

    def _lookup_table(self) -> NDArray[np.int64]:
        """Id of each code point up to the highest symbol; the last entry stands for everything above."""
        single = {ord(symbol): index for symbol, index in self._id_of.items() if len(symbol) == 1}
        table = np.full(max(single, default=0) + 2, _NOT_A_SYMBOL, dtype=np.int64)
        for code, index in single.items():
            table[code] = index
        return table

    def _policy(self, unknown: str | None) -> str | int:
        """Give the policy of a call: its name, or the replacement's id."""
        policy = self.unknown if unknown is None else unknown
        if policy in POLICIES:
            return policy
        if policy not in self._id_of:
            raise ValueError(f"unknown: {policy!r} is no symbol of the vocabulary")
        return self._id_of[policy]

    def _mark(self, part: str, wanted: bool) -> list[int]:
        if not as_flag(part, wanted):
            return []
        if part not in self._special:
            raise ValueError(f"{part}: expected a vocabulary that has this special symbol, got one without")
        return [self._special[part]]

    def _character_ids(self, text: str, policy: str | int) -> NDArray[np.int64]:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        ids: NDArray[np.int64] = self._id_of_code[np.minimum(codes, len(self._id_of_code) - 1)]
        strange: NDArray[np.bool_] = ids == _NOT_A_SYMBOL
        if not strange.any():
            return ids
        if policy == "error":
            position = int(strange.argmax())
            raise ValueError(f"text: {text[position]!r} at position {position} is not in the vocabulary")
        if policy == "skip":
            return ids[~strange]
        ids[strange] = policy
        return ids

    def _character_line_ids(self, lines: Iterable[str], policy: str | int) -> Iterator[list[int]]:
        for number, line in enumerate(lines, 1):
            check_text(f"text, line {number}", line)
            try:
                yield self._character_ids(line, policy).tolist()
            except ValueError as error:
                raise ValueError(f"{error} (line {number})") from None

    def _word_line_ids(self, lines: Iterable[str], policy: str | int, end: list[int]) -> Iterator[list[int]]:
        """Give the ids of each line, with `end` behind them."""
        assert self._tokenizer is not None
        split, find = self._tokenizer.split, self._id_of.get
        default = policy if isinstance(policy, int) else _NOT_A_SYMBOL
        before = 0  # words before this line
        for number, line in enumerate(lines, 1):
            tokens = split(line)
            ids = list(map(find, tokens, repeat(default)))
            if default == _NOT_A_SYMBOL and _NOT_A_SYMBOL in ids:
                if policy == "error":
                    place = ids.index(_NOT_A_SYMBOL)
                    word, where = tokens[place], f" (line {number})" if number > 1 else ""
                    raise ValueError(
                        f"text: word {word!r} at position {before + place} is not in the vocabulary{where}"
                    )
                ids = [i for i in ids if i != _NOT_A_SYMBOL]
            before += len(tokens)
            yield ids + end

    def _checked_ids(self, ids: Iterable[int]) -> list[int]:
        if isinstance(ids, np.ndarray) and ids.size:
            numbers: list[int] = as_ids("ids", ids, ("symbols",)).tolist()
        else:
            numbers = as_integers("ids", ids)
        if numbers and not 0 <= min(numbers) <= max(numbers) < len(self):
            strange = next(number for number in numbers if not 0 <= number < len(self))
            raise ValueError(f"ids: {strange} is out of range for {len(self)} symbols")
        return numbers


def _flat(rows: Iterable[list[int]]) -> NDArray[np.int64]:
    return np.fromiter(chain.from_iterable(rows), np.int64)


def _without_ends(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        check_text(f"text, line {number}", line)
        yield line.removesuffix("\n").removesuffix("\r")
