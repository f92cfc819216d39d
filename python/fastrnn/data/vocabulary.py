"""The vocabulary of a character or word model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastrnn.data.counting import count_files, count_text
from fastrnn.data.symbols import Recipe, checked_counts, level_of
from fastrnn.data.text_codec import TextCodec
from fastrnn.data.tokenize import check_text

if TYPE_CHECKING:
    from fastrnn.data.reading import Paths

__all__ = ["Vocabulary"]


class Vocabulary(TextCodec):
    """Characters or words and their ids: symbol ``i`` of ``symbols`` has id ``i``.

    Parameters
    ----------
    symbols : iterable of str
        The symbols in the order of their ids, without duplicates: single characters, or any words.
    level : {"char", "word"}, default "char"
        Whether a text is a sequence of characters or of words.
    unknown : str, default "error"
        What `encode` does with a character or word that is not a symbol. ``"error"``: raise a ValueError with
        it and its position. ``"skip"``: leave it out. Anything else is a replacement symbol, for example
        ``"<unk>"`` or ``"?"``, whose id it gets.
    eos, bos, pad : str, optional
        Special symbols for the end of a text or line, for its beginning, and for padding, for example
        ``"<eos>"``. Like the replacement they are appended to the symbols, in the order unknown, eos, bos,
        pad, unless they are already included.
    tokenizer : str, callable or tokenizers.Tokenizer, optional
        At the word level, splits a line of text into tokens: ``"words"`` (the default; see `split_words`),
        ``"whitespace"`` (``str.split``), a function from str to a list of str, or a tokeniser of the package
        ``tokenizers``. It gets one line at a time, without its line end.

    Attributes
    ----------
    symbols : tuple of str
        All symbols, including the special ones.
    level, unknown, tokenizer
        As given; `tokenizer` is ``"words"`` if none was given, and None at the character level.

    Raises
    ------
    ValueError
        If there is no symbol besides special ones, two symbols are the same, a symbol is empty, or at the
        character level an ordinary symbol has more than one character.
    TypeError
        If a symbol is not a str.

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
        """Return the vocabulary of a text.

        If all characters of the text are taken, they are sorted by code point and followed by the missing
        special symbols. Otherwise, for words or a selection of characters, the special symbols come first
        (unknown, eos, bos, pad), then the others in descending order of count, ties by code point. A token
        equal to a special symbol is that symbol.

        Parameters
        ----------
        text : str
            At least one character or word.
        max_types : int, optional
            Maximum number of symbols, the most frequent ones, not counting special symbols.
        min_count : int, default 1
            Leave out symbols that occur less often.
        unknown : str, optional
            As for the constructor; default: ``"error"`` for characters, ``"<unk>"`` for words.
        level, eos, bos, pad, tokenizer
            As for the constructor.

        Raises
        ------
        ValueError
            If the text has no symbol besides special ones, or none occurs `min_count` times.
        TypeError
            If the text is not a str.
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
        encoding: str = "utf-8",
    ) -> Vocabulary:
        """Return the vocabulary of text files of any size.

        It is that of their text (see `from_text`; a word ends with its file). Memory is needed for the
        distinct symbols and a few megabytes of text. A tokeniser gets a line longer than that in pieces,
        split at white space; this matters only to tokenisers that are not the package's own.

        Parameters
        ----------
        paths : path or iterable of path
            At least one file.
        level, max_types, min_count, unknown, eos, bos, pad, tokenizer
            As for `from_text`.
        progress : bool, default False
            Show a progress bar on standard error.
        encoding : str, default "utf-8"
            A text encoding of Python.

        Raises
        ------
        ValueError
            As `from_text`, or if a file is empty or has another encoding.
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
        counts = count_files(paths, recipe.split, progress=progress, encoding=encoding)
        return cls(recipe.symbols("paths", counts), **recipe.options())

    @classmethod
    def from_counts(
        cls,
        counts: Mapping[str, int],
        *,
        level: str | None = None,
        max_types: int | None = None,
        min_count: int = 1,
        unknown: str | None = None,
        eos: str | None = None,
        bos: str | None = None,
        pad: str | None = None,
        tokenizer: Any = None,
    ) -> Vocabulary:
        """Return the vocabulary of symbols that have been counted.

        Parameters
        ----------
        counts : mapping of str to int
            Symbols and their counts, for example a ``collections.Counter``.
        level : {"char", "word"}, optional
            Default: "char" if every symbol but the special ones is a single character and there is no
            tokenizer, else "word". Give it where words may all be of one letter.
        max_types, min_count, unknown, eos, bos, pad, tokenizer
            As for `from_text`.

        Raises
        ------
        ValueError, TypeError
            As `from_text`, or if a count is not an integer.

        Examples
        --------
        >>> Vocabulary.from_counts({"to": 7, "be": 9, "or": 1}, min_count=2).symbols
        ('<unk>', 'be', 'to')
        """
        checked = checked_counts(counts)
        if level is None:
            level = level_of(checked, (unknown, eos, bos, pad), tokenizer)
        recipe = Recipe(level, max_types, min_count, unknown, eos, bos, pad, tokenizer).checked()
        return cls(recipe.symbols("counts", checked), **recipe.options())
