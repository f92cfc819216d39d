"""Count the symbols of a text of any size, and measure how many of them a vocabulary covers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

import numpy as np

from fastrnn._checks import as_flag
from fastrnn.data.reading import Paths, as_encoding, as_paths, file_chunks, split_long_lines, text_chunks
from fastrnn.data.symbols import Split

__all__ = ["Coverage", "byte_progress", "count_files", "count_text", "measure_coverage"]

_MOST_COMMON = 10


def count_text(text: str, split: Split) -> Counter[str]:
    """Count the symbols of a text; see `count_files`."""
    if split is None:
        return _count_characters(text_chunks(text))
    return Counter(chain.from_iterable(map(split, split_long_lines(text_chunks(text)))))


def count_files(
    paths: Paths, split: Split, *, progress: bool = False, encoding: str = "utf-8"
) -> Counter[str]:
    """Count the symbols of text files, in memory for the distinct symbols and a few megabytes of text.

    Parameters
    ----------
    paths : path or iterable of path
    split : callable, optional
        Returns the tokens of a line; without it each character is a symbol. A line longer than a few million
        characters is passed in pieces, split at white space.
    progress : bool, default False
        Show a progress bar on standard error.
    encoding : str, default "utf-8"
        As for `read_lines`.

    Returns
    -------
    counts : collections.Counter

    Raises
    ------
    ValueError, OSError
        As `read_lines`.
    """
    files, progress = as_paths(paths), as_flag("progress", progress)
    name = as_encoding("encoding", encoding)
    total = sum(path.stat().st_size for path in files)  # a missing file fails here, not after an hour
    counts: Counter[str] = Counter()
    with byte_progress(total, "counting", shown=progress) as report:
        for path in files:
            chunks = file_chunks(path, report, encoding=name)
            if split is None:
                counts.update(_count_characters(chunks))
            else:
                counts.update(chain.from_iterable(map(split, split_long_lines(chunks))))
    return counts


class Coverage(NamedTuple):
    """How much of a text a vocabulary covers.

    Attributes
    ----------
    tokens, unknown_tokens : int
        Number of tokens in the text, and of those that are not in the vocabulary. The vocabulary's special
        symbols are known.
    types, unknown_types : int
        The same for distinct tokens.
    most_common_unknown : tuple of (str, int)
        The ten most frequent unknown types with their counts; ties by code point.
    """

    tokens: int
    unknown_tokens: int
    types: int
    unknown_types: int
    most_common_unknown: tuple[tuple[str, int], ...]

    @property
    def fraction(self) -> float:
        """Fraction of the tokens that are known; 1.0 for a text without tokens."""
        return 1.0 - self.unknown_tokens / self.tokens if self.tokens else 1.0


def measure_coverage(counts: Mapping[str, int], known: Mapping[str, int]) -> Coverage:
    """Compare the counted symbols of a text with those of a vocabulary."""
    unknown = sorted(counts.keys() - known.keys())
    unknown.sort(key=counts.__getitem__, reverse=True)
    unknown_tokens = sum(map(counts.__getitem__, unknown))
    most_common = tuple((symbol, counts[symbol]) for symbol in unknown[:_MOST_COMMON])
    return Coverage(sum(counts.values()), unknown_tokens, len(counts), len(unknown), most_common)


@contextmanager
def byte_progress(total: int, what: str, *, shown: bool) -> Iterator[Callable[[int], object] | None]:
    """Yield a function to call with the number of bytes read, which updates a progress bar, or None."""
    if not shown:
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit="B", unit_scale=True, desc=what) as bar:
        yield bar.update


def _count_characters(chunks: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for chunk in chunks:
        codes = np.frombuffer(chunk.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        found = np.bincount(codes)
        present = np.flatnonzero(found)
        counts.update(dict(zip(map(chr, present.tolist()), found[present].tolist(), strict=True)))
    return counts
