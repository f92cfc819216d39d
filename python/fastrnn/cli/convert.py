"""The command ``fastrnn convert``: models of PyTorch, ONNX and Keras in, fastrnn's files or ONNX out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from fastrnn._files import read_regular
from fastrnn._plain import as_texts, errors_of_library
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.output_files import check_output, overwrite_option
from fastrnn.cli.standard_streams import show
from fastrnn.cli.threads import threads_option
from fastrnn.interop.conversion import READS, Conversion, convert
from fastrnn.train import Checkpoint

__all__ = ["command"]

_FILE = click.Path(exists=True, dir_okay=False)


@click.command(name="convert")
@click.argument("source", type=_FILE)
@click.argument("target", type=click.Path(dir_okay=False))
@click.option(
    "--vocabulary",
    type=_FILE,
    help="The symbols of a language model in the order of their ids: a JSON list, or a symbol a line.",
)
@click.option("--order", metavar="NAME,...", help="The order of the layers, if the source keeps none.")
@click.option(
    "--check", is_flag=True, help="Compare with the library of the source, and with what was written."
)
@click.option(
    "--sample",
    type=_FILE,
    help="An .npz with an input x and the output y that the source gives, to compare with.",
)
@overwrite_option
@threads_option
@json_option
def command(
    source: str,
    target: str,
    vocabulary: str | None,
    order: str | None,
    check: bool,
    sample: str | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Convert a model: read SOURCE, write TARGET.

    SOURCE is a state dict of PyTorch (.pt, .pth, .ckpt, .bin, .safetensors), a graph (.onnx), a model of
    Keras (.keras, .h5) or a model of fastrnn. TARGET is a file of fastrnn (.safetensors) or a graph (.onnx).
    If the outputs differ from those of the source, nothing is written.
    """
    inputs = [source, *filter(None, (vocabulary, sample))]
    check_output(target, inputs, argument="TARGET", overwrite=overwrite)
    symbols = None if vocabulary is None else _symbols(vocabulary)
    arrays = None if sample is None else _arrays(sample)
    names = None if order is None else order.split(",")
    done = convert(source, target, vocabulary=symbols, order=names, check=check, sample=arrays)
    if as_json:
        print_json(_as_json(target, done))
    else:
        by_layer = sample is None and READS[Path(source).suffix.lower()] in ("PyTorch", "safetensors")
        show(_as_text(target, done, "each layer beside the source" if by_layer else "beside the source"))
    if not all(parity.equal for parity in done.parity.values()):
        raise click.ClickException(f"{target}: computes something else than the model that was written")


def _symbols(path: str) -> list[str]:
    """Return the symbols in a file: a list in JSON, or one on each line."""
    try:
        text = read_regular(path).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8: {error}") from None
    if Path(path).suffix.lower() != ".json":
        symbols = text.removesuffix("\n").split("\n")
        if "" in symbols:
            raise ValueError(f"{path}: line {symbols.index('') + 1}: expected a symbol, got an empty line")
        return symbols
    try:
        return as_texts(path, json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: expected a JSON list of texts: {error}") from None


def _arrays(path: str) -> dict[str, Any]:
    """Return the arrays of an .npz file."""
    with errors_of_library(path), np.load(path, allow_pickle=False) as content:
        if not hasattr(content, "files"):
            raise ValueError("expected an .npz with the arrays x and y, got one array")
        return {name: content[name] for name in content.files}


def _as_json(target: str, done: Conversion) -> dict[str, Any]:
    return {
        "path": target,
        "size": done.size,
        "model": _shown(done.model),
        "notes": done.notes,
        "parity": {
            name: {"equal": parity.equal, "largest": parity.largest, "differences": parity.differences}
            for name, parity in done.parity.items()
        },
    }


def _as_text(target: str, done: Conversion, beside: str) -> str:
    lines = [_shown(done.model), *done.notes]
    names = {"source": beside, "target": "beside what was written"}
    lines += [f"{names[name]}: {parity}" for name, parity in done.parity.items()]
    return "\n".join([*lines, f"written: {target}, {done.size:,} bytes"])


def _shown(model: Any) -> str:
    return repr(model.model if isinstance(model, Checkpoint) else model)
