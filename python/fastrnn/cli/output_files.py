"""The files that commands write, each with a name of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import click

from fastrnn.cli.command_line import command_line, launcher, typed_again
from fastrnn.cli.saved_config import config_path
from fastrnn.cli.standard_streams import show
from fastrnn.files.atomic_files import check_writable
from fastrnn.files.file_systems import file_system_of, renames_atomically

__all__ = ["OutputFiles", "check_new", "check_output", "overwrite_option"]

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace files that exist.")


class OutputFiles:
    """Paths that a training writes, of which the first has the name that was given.

    They are ``NAME.safetensors``, ``NAME.best.safetensors``, ``NAME.jsonl`` and ``NAME.config.toml``.

    Parameters
    ----------
    out : str
        The first of them.
    resumed : str, optional
        The checkpoint to resume from, which the first may replace.

    Attributes
    ----------
    continued : bool
        Whether they are those of the training to resume.
    """

    def __init__(self, out: str, resumed: str | None = None) -> None:
        self.last: Path = Path(out)
        self.resumed = resumed
        self.continued: bool = resumed is not None and _same(out, resumed)
        self.best: Path = self.last.with_name(f"{self.last.stem}.best{self.last.suffix}")
        self.log: Path = self.last.with_name(f"{self.last.stem}.jsonl")
        self.config: Path = config_path(out)

    def check(self, texts: Iterable[str], tensorboard: str | None = None) -> None:
        """Check that each file can be written and overwrites neither another nor an input.

        Parameters
        ----------
        texts : iterable of str
            The files that training reads.
        tensorboard : str, optional
            The folder of the curves.

        Raises
        ------
        ValueError
            If two names are those of one file.
        OSError
            If a file cannot be written.
        """
        if any(_same(*pair) for pair in combinations((self.last, self.best, self.log, self.config), 2)):
            stem = self.last.stem if self.last.suffix == ".jsonl" else f"{self.last.stem}-2"
            other = self.last.with_name(f"{stem}.safetensors")
            raise ValueError(
                f"--out: {self.last}: {self.best}, {self.log} or {self.config} would overwrite it; "
                f"try {other}"
            )
        outputs = (self.last, self.best, self.log, self.config)
        for path in outputs:
            if any(_same(path, text) for text in texts):
                raise ValueError(f"{path}: is an input text; --out would overwrite it")
            if self.resumed is not None and path is not self.last and _same(path, self.resumed):
                raise ValueError(f"{path}: is the checkpoint to resume; --out would overwrite it")
            if tensorboard is not None and _same(path, tensorboard):
                raise ValueError(f"--tensorboard: {tensorboard}: expected a folder of its own, not --out's")
        for path in outputs:
            check_writable(path)
        _warn_of_renames(self.last)

    def check_new(self) -> None:
        """Check that none of the files exists, unless they are those of the training to resume.

        Raises
        ------
        ValueError
            If one exists; the message has the command lines that resume it or replace it.
        """
        if self.continued:
            return
        line = launcher() + command_line("train", "--resume", str(self.last))
        resume = f"to continue its training, type: {line}; "
        check_new(
            (self.last, self.best, self.log, self.config),
            otherwise=resume if self.resumed is None and self.last.exists() else "",
        )


def check_new(paths: Iterable[str | Path], *, argument: str = "--out", otherwise: str = "") -> None:
    """Check that no file exists.

    Parameters
    ----------
    paths : iterable of str
    argument : str, default "--out"
        How the message calls them.
    otherwise : str, default ""
        What else to do than to replace them.

    Raises
    ------
    ValueError
        If one exists; the message has the command line that replaces it.
    """
    found = [str(path) for path in paths if os.path.lexists(path)]
    if found:
        raise ValueError(
            f"{argument}: {', '.join(found)}: already there; {otherwise}"
            f"to replace {'it' if len(found) == 1 else 'them'}, type: {typed_again('--overwrite')}"
        )


def check_output(
    out: str, inputs: Iterable[str], *, argument: str = "--out", overwrite: bool = False
) -> None:
    """Check that a command's file can be written, and overwrites no input and nothing else unasked.

    Parameters
    ----------
    out : str
    inputs : iterable of str
    argument : str, default "--out"
        How messages call it.
    overwrite : bool, default False
        Whether it may exist.

    Raises
    ------
    ValueError
        If it is one of the inputs, or exists.
    OSError
        If it cannot be written.
    """
    if any(_same(out, path) for path in inputs):
        raise ValueError(f"{argument}: {out}: is an input; it would be overwritten")
    check_writable(out)
    if not overwrite:
        check_new([out], argument=argument)


def _warn_of_renames(path: Path) -> None:
    """Say on standard error that a file is where a failure during a save may lose it."""
    kind = file_system_of(path)
    if not renames_atomically(kind):
        show(
            f"{click.get_current_context().command_path}: warning: --out: {path} is on a file system of type "
            f"{kind}, where a failure during a save may lose the saved model too; "
            "save to a local disk, and copy the files from there",
            err=True,
        )


def _same(one: str | Path, other: str | Path) -> bool:
    """Return whether two names are those of one file, links followed."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)
