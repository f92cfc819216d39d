"""Copies of texts in UTF-8, which can be cut at any line or character."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from fastrnn.data.reading import file_chunks
from fastrnn.files.atomic_files import name_file_in_errors, name_file_in_unnamed_errors
from fastrnn.files.temporary_files import create_temporary

__all__ = ["utf8_files"]


def utf8_files(
    stack: ExitStack, files: Iterable[Path], encoding: str, out: str | os.PathLike[str]
) -> list[Path]:
    """Return files of the same texts in UTF-8: the files themselves, or temporary ones beside `out`.

    Parameters
    ----------
    stack : ExitStack
        Removes the temporary files.
    files : iterable of path
    encoding : str
    out : path

    Raises
    ------
    ValueError
        If a file is empty or has another encoding.
    OSError
        If one cannot be read, or its copy not be written.
    """
    if codecs.lookup(encoding).name == "utf-8":
        return list(files)
    copies = []
    for path in files:
        stack.enter_context(name_file_in_unnamed_errors(out))
        with name_file_in_errors(out):
            temporary, copy = stack.enter_context(create_temporary(Path(os.path.realpath(out))))
        for chunk in file_chunks(path, encoding=encoding):
            copy.write(chunk.encode())
        copy.flush()
        copies.append(temporary.path)
    return copies
