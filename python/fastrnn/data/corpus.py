"""Read text from files, or from the source of the Python standard library."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.machinery import PathFinder
from typing import Any

from fastrnn._checks import as_size
from fastrnn.data.reading import as_encoding, as_paths, file_chunks

__all__ = ["read_text", "standard_library_text"]

# Modules that are a single file in every Python since 3.10 and are not frozen into the interpreter: about
# 3 MB of code, docstrings and comments by many authors.
_MODULES = (
    "argparse ast base64 bdb bisect calendar cmd code codeop colorsys compileall configparser "
    "contextlib copy copyreg csv dataclasses difflib dis doctest enum fileinput filecmp fnmatch "
    "fractions ftplib functools getopt getpass gettext glob graphlib gzip hashlib heapq hmac imaplib "
    "inspect ipaddress linecache locale mailbox mimetypes modulefinder netrc numbers operator "
    "optparse pdb pickle pickletools pkgutil platform plistlib poplib pprint profile pstats pyclbr "
    "pydoc queue quopri random reprlib rlcompleter sched secrets selectors shelve shlex shutil "
    "smtplib socket socketserver ssl statistics string stringprep subprocess symtable tarfile "
    "tempfile textwrap threading timeit token tokenize trace traceback tracemalloc turtle types "
    "typing uuid warnings wave weakref webbrowser zipapp"
).split()


def read_text(paths: Iterable[str | os.PathLike[str]], *, encoding: str = "utf-8") -> str:
    r"""Read text files and join them in the order given.

    A byte order mark at the start of a file is dropped; line ends stay as they are.

    Parameters
    ----------
    paths : iterable of path
        At least one file.
    encoding : str, default "utf-8"
        A text encoding of Python.

    Returns
    -------
    text : str

    Raises
    ------
    ValueError
        If a file is empty or has another encoding (the message names the file, the byte and its offset), or
        the encoding is unknown.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.txt")
    ...     _ = path.write_text("one\n", encoding="utf-8")
    ...     read_text([path, path])
    'one\none\n'
    """
    name = as_encoding("encoding", encoding)
    parts = [chunk for path in as_paths(paths) for chunk in file_chunks(path, encoding=name)]
    return "".join(parts)


def standard_library_text(limit: int = 1_000_000) -> str:
    """Return source text of the Python standard library, up to a limit, the same on every call.

    A fixed list of modules is read in a fixed, mixed order until the limit is reached. Characters outside
    ASCII are dropped, so the vocabulary has fewer than a hundred symbols. The text differs between versions
    of Python.

    Parameters
    ----------
    limit : int, default 1_000_000
        Maximum number of characters.

    Returns
    -------
    text : str

    Raises
    ------
    ValueError
        If the limit is not positive, or if this Python was installed without its source.

    Examples
    --------
    >>> len(standard_library_text(5000))
    5000
    """
    wanted = as_size("limit", limit)
    parts: list[str] = []
    for name in _mixed(_MODULES):
        if wanted <= 0:
            break
        source = _module_source(name)[:wanted]
        parts.append(source)
        wanted -= len(source)
    text = "".join(parts)
    if not text:
        raise ValueError("this Python has no standard library source; pass a text file")
    return text


def _mixed(names: list[str]) -> list[str]:
    """Mix the alphabetical order, so that related modules do not all end up in the last tenth of the text."""
    stride = 7
    return [name for start in range(stride) for name in names[start::stride]]


def _module_source(name: str) -> str:
    """Return the source of a standard module in ASCII, or "" if it is missing, without importing it."""
    folder = os.path.dirname(os.__file__)
    spec = PathFinder.find_spec(name, [folder])
    loader: Any = getattr(spec, "loader", None)
    source = loader.get_source(name) if hasattr(loader, "get_source") else None
    return (source or "").encode("ascii", "ignore").decode("ascii")
