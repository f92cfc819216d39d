"""A shipped data set: what it is, what to train on it, and its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastrnn._checks import as_flag
from fastrnn.data.shipped.subsets import SUBSETS
from fastrnn.files.atomic_files import write_atomically

__all__ = ["DataSet"]


@dataclass(frozen=True)
class DataSet:
    """A data set that comes with fastrnn, in memory and as files for the program ``fastrnn``.

    Attributes
    ----------
    name : str
    summary : str
        What it is, in one line.
    task : str
        The word after ``fastrnn fit`` that trains on it, or "text": then it is ``fastrnn train``.
    origin : str
        Where it comes from and under which terms it may be used.
    files : tuple of str
        The names of its files: the training part and the part to measure on.
    command : str
        The line to type where the files are.

    Examples
    --------
    >>> import tempfile
    >>> from fastrnn.data.shipped import DATA_SETS
    >>> DATA_SETS["names"].task, DATA_SETS["names"].files
    ('classify', ('names.csv', 'names-valid.csv'))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in DATA_SETS["names"].write(folder)]
    ['names.csv', 'names-valid.csv']
    """

    name: str
    summary: str
    task: str
    origin: str
    files: tuple[str, str]
    command: str
    _load: Callable[[str], Any] = field(repr=False)
    _as_text: Callable[[Any], str] = field(repr=False)

    def load(self, subset: str = "train") -> Any:
        """Return the data as a model's ``fit`` takes it: ``(X, y)``, or one object where there is no X.

        Parameters
        ----------
        subset : {"train", "valid"}, default "train"

        Raises
        ------
        ValueError, TypeError
            If there is no such part.
        """
        return self._load(subset)

    def write(self, folder: str | os.PathLike[str] = ".", *, overwrite: bool = False) -> list[Path]:
        """Write the files, each all or nothing, and return their paths.

        Parameters
        ----------
        folder : path, default "."
            It must exist.
        overwrite : bool, default False
            Whether files of these names may be replaced.

        Raises
        ------
        FileExistsError
            If a file exists; then none is written.
        OSError
            If a file cannot be written.
        TypeError
            If an argument is of another kind.
        """
        paths = [Path(folder, name) for name in self.files]
        if not as_flag("overwrite", overwrite):
            for path in paths:
                if os.path.lexists(path):
                    raise FileExistsError(f"{path}: exists; to replace it, write overwrite=True")
        for path, subset in zip(paths, SUBSETS, strict=True):
            write_atomically(path, self._as_text(self.load(subset)).encode("utf-8"))
        return paths
