"""How often each symbol comes in a text of any size, and which symbols a vocabulary takes."""

from __future__ import annotations

import codecs
import math
import operator
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastrnn._arrays import as_size
from fastrnn.data.tokenize import check_text, tokenizer_of

__all__ = [
    "POLICIES",
    "Coverage",
    "Recipe",
    "checked_counts",
    "checked_symbols",
    "choose_types",
    "count_files",
    "count_text",
    "measure_coverage",
    "read_lines",
    "special_symbols",
    "split_lines",
]

Paths: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
# Tokens of a line; None is the character level, where each character is one.
Split: TypeAlias = Callable[[str], list[str]] | None

# Bytes of a file, or characters of a text, that are looked at at once.
_CHUNK_SIZE = 1 << 22
_MOST_COMMON = 10
POLICIES = ("error", "skip")


def read_lines(paths: Paths) -> Iterator[str]:
    r"""Read the lines of UTF-8 files one after the other, without holding more than a few megabytes.

    Lines end with ``\n`` or ``\r\n``, and where a file ends. A byte order mark at the start of a file is left
    out.

    Parameters
    ----------
    paths : path or iterable of path

    Yields
    ------
    line : str
        Without its end.

    Raises
    ------
    ValueError
        If a file is empty or is not UTF-8 (the message names the file, the byte and its offset).
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastrnn.data import read_lines
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.txt")
    ...     _ = path.write_bytes(b"one\r\n\ntwo")
    ...     list(read_lines(path))
    ['one', '', 'two']
    """
    return chain.from_iterable(_whole_lines(_file_chunks(path)) for path in _as_paths(paths))


def split_lines(text: str) -> Iterator[str]:
    """Give the lines of a text as `read_lines` gives those of a file, without a second copy of it."""
    return _whole_lines(_text_chunks(text))


def count_text(text: str, split: Split) -> Counter[str]:
    """Count the symbols of a text; see `count_files`."""
    if split is None:
        return _count_characters(_text_chunks(text))
    return Counter(chain.from_iterable(map(split, split_lines(text))))


def count_files(paths: Paths, split: Split, *, progress: bool = False) -> Counter[str]:
    """Count the symbols of UTF-8 files, in memory for the different symbols and a few megabytes of text.

    Parameters
    ----------
    paths : path or iterable of path
    split : callable, optional
        Gives the tokens of a line; without it each character is a symbol. Of a line longer than a few million
        characters it sees pieces, cut at white space.
    progress : bool, default False
        Show a bar on standard error.

    Returns
    -------
    counts : collections.Counter

    Raises
    ------
    ValueError, OSError
        As `read_lines`.
    """
    files = _as_paths(paths)
    total = sum(path.stat().st_size for path in files)  # a missing file is found now, not after an hour
    counts: Counter[str] = Counter()
    with _reporter(total, progress) as report:
        for path in files:
            chunks = _file_chunks(path, report)
            if split is None:
                counts.update(_count_characters(chunks))
            else:
                counts.update(chain.from_iterable(map(split, _whole_lines(chunks, _CHUNK_SIZE))))
    return counts


def choose_types(
    name: str, counts: Mapping[str, int], special: Iterable[str], max_types: int | None, min_count: int
) -> list[str]:
    """Give the most frequent symbols beside the special ones, those of one count by code point.

    Raises
    ------
    ValueError
        If there is none, or none comes often enough.

    Examples
    --------
    >>> counts = {"b": 2, "a": 2, "c": 1, "d": 5, "<unk>": 9}
    >>> choose_types("counts", counts, ["<unk>"], max_types=3, min_count=2)
    ['d', 'a', 'b']
    """
    ordinary = sorted(counts.keys() - set(special))
    if not ordinary:
        got = ", ".join(map(repr, sorted(counts)[:_MOST_COMMON])) or "none"
        raise ValueError(f"{name}: no symbols: expected at least one beside special ones, got {got}")
    chosen = [symbol for symbol in ordinary if counts[symbol] >= min_count]
    if not chosen:
        most = max(map(counts.__getitem__, ordinary))
        raise ValueError(f"min_count: expected at most {most}, the greatest count, got {min_count}")
    chosen.sort(key=counts.__getitem__, reverse=True)
    return chosen[:max_types]


def special_symbols(unknown: Any, eos: str | None, bos: str | None, pad: str | None) -> dict[str, str]:
    """Give the special symbols by what they are for: unknown (unless that is a policy), eos, bos, pad.

    Raises
    ------
    ValueError
        If one is empty or two are the same.
    TypeError
        If one is no str.
    """
    if not isinstance(unknown, str) or not unknown:
        raise ValueError(f'unknown: expected "error", "skip" or a replacement symbol, got {unknown!r}')
    special = {} if unknown in POLICIES else {"unknown": unknown}
    for part, symbol in (("eos", eos), ("bos", bos), ("pad", pad)):
        if symbol is None:
            continue
        check_text(part, symbol)
        if not symbol:
            raise ValueError(f"{part}: expected a symbol, got ''")
        if symbol in special.values():
            raise ValueError(f"{part}: expected a symbol of its own, got {symbol!r}, which is another's")
        special[part] = symbol
    return special


def checked_symbols(symbols: Iterable[str], level: str, special: Mapping[str, str]) -> tuple[str, ...]:
    """Check the symbols of a vocabulary, and put special ones that are missing behind them."""
    if isinstance(symbols, str) and level == "word":
        raise TypeError("symbols: expected an iterable of words, got str")
    names = tuple(symbols)
    marks = set(special.values())
    for symbol in names:
        check_text("symbols", symbol)
        if level == "char" and len(symbol) != 1 and symbol not in marks:
            raise ValueError(f"symbols: expected single characters, got {symbol!r}")
        if not symbol:
            raise ValueError("symbols: expected words, got ''")
    given = set(names)
    if len(given) != len(names):
        twice = next(symbol for symbol, count in Counter(names).items() if count > 1)
        raise ValueError(f"symbols: {twice!r} comes twice")
    if level == "char" and len(special.get("unknown", "")) == 1:
        marks.remove(special["unknown"])  # a character that stands for others is one of the text's too
    if given <= marks:
        raise ValueError("symbols: expected at least one beside special symbols, got none")
    return names + tuple(symbol for symbol in special.values() if symbol not in given)


def checked_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Check counted symbols that a user gives."""
    if not isinstance(counts, Mapping):
        raise TypeError(f"counts: expected a mapping of symbols to counts, got {type(counts).__name__}")
    checked = {}
    for symbol, count in counts.items():
        check_text("counts", symbol)
        try:
            checked[symbol] = operator.index(count)
        except TypeError:
            raise TypeError(
                f"counts: expected an integer for {symbol!r}, got {type(count).__name__}"
            ) from None
    return checked


class Recipe(NamedTuple):
    """How a vocabulary is made of counted symbols: the arguments beside them."""

    level: str
    max_types: int | None
    min_count: int
    unknown: str | None
    eos: str | None
    bos: str | None
    pad: str | None
    tokenizer: Any

    def checked(self) -> Recipe:
        """Give the recipe itself, having refused what makes no vocabulary of any text."""
        tokenizer_of(self.level, self.tokenizer)
        if self.max_types is not None:
            as_size("max_types", self.max_types)
        as_size("min_count", self.min_count)
        special_symbols(self.policy, self.eos, self.bos, self.pad)
        return self

    @property
    def policy(self) -> str:
        """What to do with unknown symbols; words have a replacement if nothing else is asked for."""
        default = "error" if self.level == "char" else "<unk>"
        return default if self.unknown is None else self.unknown

    @property
    def split(self) -> Split:
        """What cuts a line into tokens."""
        tokenizer = tokenizer_of(self.level, self.tokenizer)
        return None if tokenizer is None else tokenizer.split

    def options(self) -> dict[str, Any]:
        """Give the arguments of the vocabulary beside its symbols."""
        given = {name: getattr(self, name) for name in ("level", "eos", "bos", "pad", "tokenizer")}
        return given | {"unknown": self.policy}

    def symbols(self, name: str, counts: Mapping[str, int]) -> list[str]:
        """Choose the symbols; `name` is what errors call the counted text."""
        if not counts:
            raise ValueError(f"{name}: no symbols: expected at least one, got none")
        if self.level == "char" and self.max_types is None and self.min_count == 1:
            return sorted(symbol for symbol, count in counts.items() if count > 0)
        special = list(special_symbols(self.policy, self.eos, self.bos, self.pad).values())
        return special + choose_types(name, counts, special, self.max_types, self.min_count)


class Coverage(NamedTuple):
    """How much of a text a vocabulary knows.

    Attributes
    ----------
    tokens, unknown_tokens : int
        Tokens of the text, and those of them that are no symbols of the vocabulary. A token that is one of
        the vocabulary's special symbols is known.
    types, unknown_types : int
        The same for different tokens.
    most_common_unknown : tuple of (str, int)
        The ten most frequent unknown types with their counts; those of one count by code point.
    """

    tokens: int
    unknown_tokens: int
    types: int
    unknown_types: int
    most_common_unknown: tuple[tuple[str, int], ...]

    @property
    def fraction(self) -> float:
        """Share of the tokens that are known; 1.0 for a text without tokens."""
        return 1.0 - self.unknown_tokens / self.tokens if self.tokens else 1.0


def measure_coverage(counts: Mapping[str, int], known: Mapping[str, int]) -> Coverage:
    """Compare the symbols of a text, counted, with those of a vocabulary."""
    unknown = sorted(counts.keys() - known.keys())
    unknown.sort(key=counts.__getitem__, reverse=True)
    unknown_tokens = sum(map(counts.__getitem__, unknown))
    most_common = tuple((symbol, counts[symbol]) for symbol in unknown[:_MOST_COMMON])
    return Coverage(sum(counts.values()), unknown_tokens, len(counts), len(unknown), most_common)


@contextmanager
def _reporter(total: int, progress: bool) -> Iterator[Callable[[int], object] | None]:
    """Give what is to be told of bytes read: a bar's update, or nothing."""
    if not progress:
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit="B", unit_scale=True, desc="counting") as bar:
        yield bar.update


def _as_paths(paths: Paths) -> list[Path]:
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    files = [Path(path) for path in given]
    if not files:
        raise ValueError("paths: expected at least one file, got none")
    return files


def _text_chunks(text: str) -> Iterator[str]:
    return (text[start : start + _CHUNK_SIZE] for start in range(0, len(text), _CHUNK_SIZE))


def _file_chunks(path: Path, report: Callable[[int], object] | None = None) -> Iterator[str]:
    """Decode a file piece by piece, cut anywhere between two characters."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, begun, empty = 0, False, True
    with path.open("rb") as file:
        while True:
            content = file.read(_CHUNK_SIZE)
            text = _decode(path, decoder, content, offset)
            if text and not begun:
                text, begun = text.removeprefix("\ufeff"), True
            if text:
                empty = False
                yield text
            if not content:
                break
            offset += len(content)
            if report is not None:
                report(len(content))
    if empty:
        raise ValueError(f"{path}: the file is empty")


def _decode(path: Path, decoder: codecs.IncrementalDecoder, content: bytes, offset: int) -> str:
    held = len(decoder.getstate()[0])  # the beginning of a character that the last piece ended in
    try:
        return decoder.decode(content, final=not content)
    except UnicodeDecodeError as error:
        byte, place = error.object[error.start], offset - held + error.start
        raise ValueError(f"{path}: not UTF-8: byte 0x{byte:02x} at offset {place} ({error.reason})") from None


def _whole_lines(chunks: Iterable[str], longest: float = math.inf) -> Iterator[str]:
    """Put lines together; one that grows longer than `longest` comes in pieces, cut at white space."""
    parts: list[str] = []  # of a line that has not ended yet
    for chunk in chunks:
        first, *others = chunk.split("\n")
        parts.append(first)
        if others:
            yield "".join(parts).removesuffix("\r")
            yield from (line.removesuffix("\r") for line in others[:-1])
            parts = [others[-1]]
        elif sum(map(len, parts)) > longest and (place := _behind_last_space(chunk)):
            parts[-1] = chunk[:place]
            yield "".join(parts)
            parts = [chunk[place:]]
    if rest := "".join(parts):
        yield rest.removesuffix("\r")


def _behind_last_space(text: str) -> int:
    """Where the last token of a text begins; 0 if there is no white space."""
    return len(text) if text[-1].isspace() else len(text) - len(text.rsplit(None, 1)[-1])


def _count_characters(chunks: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for chunk in chunks:
        codes = np.frombuffer(chunk.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        found = np.bincount(codes)
        present = np.flatnonzero(found)
        counts.update(dict(zip(map(chr, present.tolist()), found[present].tolist(), strict=True)))
    return counts
