"""The argument MODEL of the commands that use one, and what to type where a file is none of theirs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fastrnn.cli.precision import in_precision
from fastrnn.models.base.model_file import kind_of_file
from fastrnn.train import Checkpoint, CheckpointError, load_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["load_language_model", "model_argument", "model_kind"]

_SUFFIX = ".safetensors"
_MOST_NAMED = 5
_FOREIGN = (".pt", ".pth", ".ckpt", ".bin", ".onnx", ".keras", ".h5")  # what fastrnn convert reads

T = TypeVar("T")


class _ModelFile(click.Path):
    """The path of a file that exists; a message names the models in the folder, or how to make one."""

    def __init__(self, maker: str) -> None:
        super().__init__(exists=True, dir_okay=False)
        self._maker = maker

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            if os.path.exists(value):
                raise
            self.fail(f"File {value!r} does not exist; {self._hint()}", param, ctx)

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"{self._hint()[0].upper()}{self._hint()[1:]}"

    def _hint(self) -> str:
        found = sorted(path.name for path in Path().glob(f"*{_SUFFIX}"))
        if not found:
            return f"to make one, type: {self._maker}"
        return f"in this folder: {', '.join(found[:_MOST_NAMED])}{', ...' * (len(found) > _MOST_NAMED)}"


def model_argument(maker: str) -> Callable[[Any], Any]:
    """Return the argument MODEL of a command.

    Parameters
    ----------
    maker : str
        The command line that makes such a model.
    """
    return click.argument("model", type=_ModelFile(maker))


def load_language_model(path: str, precision: str | None = None) -> Checkpoint:
    """Return the language model in a file, with its vocabulary.

    Parameters
    ----------
    path : str
    precision : str, optional
        What ``--precision`` asks for: quantize the model.

    Raises
    ------
    CheckpointError
        If the file is damaged or holds something else; the message has what to type instead.
    ValueError
        If the model cannot be quantized, or has been to another precision.
    OSError
        If it cannot be read.
    """
    checkpoint = _read(load_checkpoint, path)
    return replace(checkpoint, model=in_precision(path, checkpoint.model, precision))


def model_kind(path: str) -> str:
    """Return the class of the model in a file, as `kind_of_file` does.

    Raises
    ------
    CheckpointError
        If the file is damaged or holds no model; the message has what to type instead.
    OSError
        If it cannot be read.
    """
    return _read(kind_of_file, path)


def _read(reader: Callable[[str], T], path: str) -> T:
    """Call a reader of a file; where it refuses the file, say what to type instead."""
    try:
        return reader(path)
    except CheckpointError as error:
        raise CheckpointError(_explained(path, str(error))) from error.__cause__


def _explained(path: str, message: str) -> str:
    suffix = Path(path).suffix.lower()
    if suffix in _FOREIGN:
        target = Path(path).with_suffix(_SUFFIX)
        return f"{path}: expected a model of fastrnn; to convert this one: fastrnn convert {path} {target}"
    if "not a safetensors file" in message:
        return f"{message}; MODEL, the first argument, is a file that fastrnn train or fit saved"
    try:
        kind = kind_of_file(path)
    except CheckpointError:
        return message
    if kind == "LanguageModel":
        return message
    return f"{path}: expected a model of fastrnn train, got a {kind}; type fastrnn predict {path} FILE"
