"""Encode large texts once, into a file of ids, in parallel and in little memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from fastrnn._checks import as_flag, as_probability, as_size
from fastrnn.data.ids_file import write_ids
from fastrnn.data.prepared_text import PreparedText, describe_text
from fastrnn.data.reading import Paths, as_encoding, as_paths
from fastrnn.data.shared_counts import count_blocks
from fastrnn.data.shared_work import Alone, RankGroup, Workers
from fastrnn.data.symbols import Recipe
from fastrnn.data.text_spans import (
    Text,
    count_characters,
    cut_at_line,
    file_spans,
    part_of_text,
    text_blocks,
    text_digest,
    text_pieces,
    text_size,
)
from fastrnn.data.utf8_copies import utf8_files
from fastrnn.data.vocabulary import Vocabulary
from fastrnn.files.atomic_files import check_writable

__all__ = ["prepare"]

_UNKNOWN, _EOS = "<unk>", "<eos>"


def prepare(
    paths: Paths,
    out: str | os.PathLike[str],
    *,
    level: str | None = None,
    max_types: int | None = None,
    min_count: int = 1,
    tokenizer: Any = None,
    encoding: str = "utf-8",
    valid: str | os.PathLike[str] | None = None,
    valid_fraction: float = 0.1,
    vocabulary: Vocabulary | None = None,
    processes: int = 1,
    progress: bool = False,
    ranks: RankGroup | None = None,
) -> PreparedText:
    r"""Count the symbols of a text, encode it, and write its ids to a file that trainings map into memory.

    The ids are those of `Vocabulary.encode_stream`. The vocabulary is that of ``fastrnn train``: the words of
    the training text, or all characters of both texts; if some are left out, those of the training text.
    Memory is needed for the distinct symbols and a few megabytes of text. The file has the same bytes however
    many processes and ranks make it, and replaces another one only when it is complete.

    Parameters
    ----------
    paths : path or iterable of path
        At least one file. Their texts are joined.
    out : path
        The file to write.
    level : {"char", "word"}, optional
        Default: "char", or that of the vocabulary.
    max_types, min_count
        As for `Vocabulary.from_text`. What is left out becomes ``<unk>``.
    tokenizer : str, callable or tokenizers.Tokenizer, optional
        As for `Vocabulary`. A line of more than a few megabytes comes in pieces, split at white space.
    encoding : str, default "utf-8"
        A text encoding of Python. Files in others than UTF-8 are first copied beside `out`.
    valid : path, optional
        The validation text.
    valid_fraction : float, default 0.1
        Without `valid`, the fraction of the text, at its end, to validate on; words are cut at a line end.
    vocabulary : Vocabulary, optional
        One to use instead of that of the text.
    processes : int, default 1
        Processes of this machine to use. A script that starts some must have the line
        ``if __name__ == "__main__":``.
    progress : bool, default False
        Show progress bars on standard error; of several ranks, the share of the first.
    ranks : optional
        What `fastrnn.train.distributed.start` returns: share the work among the processes of MPI, which see
        the same files. Every rank calls this function.

    Returns
    -------
    text : PreparedText
        The file, opened.

    Raises
    ------
    ValueError
        If a text is empty, is not in its encoding, changes meanwhile, or has a symbol that the given
        vocabulary refuses, if `out` is one of the inputs, or if options contradict each other.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastrnn as fr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.txt")
    ...     _ = path.write_text("to be\nor not\nto be\n", encoding="utf-8")
    ...     with fr.data.prepare(path, f"{folder}/a.ids", level="word", valid_fraction=0.3) as text:
    ...         text.vocabulary.symbols, text.train.tolist(), text.valid.tolist()
    (('<unk>', '<eos>', 'be', 'not', 'or', 'to'), [5, 2, 1, 4, 3, 1], [5, 2, 1])
    """
    files, encoding = as_paths(paths), as_encoding("encoding", encoding)
    inputs = [*files, *([] if valid is None else [Path(valid)])]
    fraction = as_probability("valid_fraction", valid_fraction)
    workers = Workers(
        Alone() if ranks is None else ranks,
        as_size("processes", processes),
        shown=as_flag("progress", progress),
    )
    recipe = _recipe(level, max_types, min_count, tokenizer, vocabulary)
    words = recipe.level == "word"
    with ExitStack() as stack:
        workers.from_first(lambda: _check_output(out, inputs))
        copies = workers.from_first(lambda: utf8_files(stack, inputs, encoding, out))
        spans = workers.together(lambda: file_spans(copies, map(str, inputs)))
        texts: tuple[Text, Text] = (spans[:-1], spans[-1:])
        if valid is None:
            texts = _split(workers, spans, fraction, words=words)
        if vocabulary is None:
            vocabulary = _vocabulary(workers, recipe, texts)
        options = {
            **{"level": recipe.level, "max_types": max_types, "min_count": min_count},
            "tokenizer": _tokenizer_name(recipe),
            **{"valid": None if valid is None else str(valid), "valid_fraction": fraction},
        }
        # The digest of the text itself, so that a training can go on with either.
        digest = workers.from_first(lambda: text_digest(texts))
        source = ", ".join(map(str, files))
        header = partial(describe_text, vocabulary, source, options, digest)
        write_ids(out, header, vocabulary, [text_blocks(text, lines=words) for text in texts], workers)
    return PreparedText.open(out, tokenizer=tokenizer if callable(tokenizer) else None)


def _recipe(
    level: str | None, max_types: int | None, min_count: int, tokenizer: Any, vocabulary: Vocabulary | None
) -> Recipe:
    """Return how the vocabulary is made, or the level of the one that is given."""
    if vocabulary is None:
        kept = level in (None, "char") and max_types is None and min_count == 1
        eos = _EOS if level == "word" else None
        unknown = None if kept else _UNKNOWN
        return Recipe(level or "char", max_types, min_count, unknown, eos, None, None, tokenizer).checked()
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError(f"vocabulary: expected a Vocabulary, got {type(vocabulary).__name__}")
    for name, value, usual in (("max_types", max_types, None), ("min_count", min_count, 1)):
        if value != usual:
            raise ValueError(f"{name}: expected none with a vocabulary, got {value}")
    if level not in (None, vocabulary.level):
        raise ValueError(f"level: expected {vocabulary.level!r}, that of the vocabulary, got {level!r}")
    if tokenizer not in (None, vocabulary.tokenizer):
        raise ValueError(f"tokenizer: expected {vocabulary.tokenizer!r}, that of the vocabulary")
    return Recipe(vocabulary.level, None, 1, None, None, None, None, vocabulary.tokenizer)


def _tokenizer_name(recipe: Recipe) -> str | None:
    """Return the name of the tokeniser of words, if it has one."""
    if recipe.level == "char" or not isinstance(recipe.tokenizer, str | None):
        return None
    return recipe.tokenizer or "words"


def _check_output(out: str | os.PathLike[str], inputs: Sequence[Path]) -> None:
    """Check that the file can be written and is none of the texts, before hours of work depend on it."""
    for path in inputs:
        if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise ValueError(f"out: {os.fspath(out)}: is an input; it would be overwritten")
    check_writable(out)


def _split(workers: Workers, text: Text, fraction: float, *, words: bool) -> tuple[Text, Text]:
    """Split off the validation text as ``fastrnn train`` does: a fraction of the characters, at the end."""
    pieces = workers.own(text_pieces(text)) if fraction else []
    counted = workers.together(lambda: [count_characters(piece) for piece in pieces])
    counts = list(chain.from_iterable(workers.ranks.gather(counted)))
    held_out = int(sum(counts) * fraction)
    if held_out < 2:  # too short to predict one symbol from another
        return text, []
    cut = workers.together(lambda: cut_at_line(text, sum(counts) - held_out, counts, lines=words))
    return part_of_text(text, 0, cut), part_of_text(text, cut, text_size(text))


def _vocabulary(workers: Workers, recipe: Recipe, texts: tuple[Text, Text]) -> Vocabulary:
    """Return the vocabulary of the training text; of both if it has all characters."""
    every = recipe.policy == "error"
    text = [*texts[0], *texts[1]] if every else texts[0]
    counts = count_blocks(workers, recipe.split, text_blocks(text, lines=recipe.level == "word"))
    return Vocabulary(recipe.symbols("paths", counts), **recipe.options())
