"""The command ``fastrnn quantize``: a smaller file of a model, for inference."""

from __future__ import annotations

import os
from typing import Any

import click

import fastrnn.layers
import fastrnn.models
from fastrnn._plain import errors_of_library
from fastrnn.cli.model_argument import load_language_model, model_argument, model_kind
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.output_files import check_output, overwrite_option
from fastrnn.cli.precision import QuantizedPrecision, quantized
from fastrnn.cli.standard_streams import show
from fastrnn.files.quantized_tensors import SCALE
from fastrnn.models.base.model_file import source_of_file, write_model
from fastrnn.train import Checkpoint, save_checkpoint

__all__ = ["command"]

_NAMES = {"I8": "int8", "BF16": "bfloat16", "F32": "float32"}


@click.command(name="quantize")
@model_argument("fastrnn train TEXT.txt --out NAME.safetensors")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="File to write to.")
@click.option(
    "--precision",
    type=QuantizedPrecision(),
    default="int8",
    show_default=True,
    help="int8: a quarter of the size, a scale per row. bfloat16: half the size.",
)
@overwrite_option
@json_option
def command(model: str, out: str, precision: str, overwrite: bool, as_json: bool) -> None:
    """Write a smaller copy of MODEL whose weights are bytes or bfloat16, for inference.

    Biases, initial states and layers that have no other precision stay float32. sample, eval, score, next
    and predict read the copy. It cannot be trained; MODEL stays as it is.
    """
    check_output(out, [model], overwrite=overwrite)
    read = _load(model)
    if isinstance(read, Checkpoint):
        small: Any = quantized(model, read.model, precision)
        save_checkpoint(out, small, read.vocabulary)
    else:
        small = quantized(model, read, precision)
        _save(out, small, model)
    report = _report(
        model, out, precision, trained=isinstance(read, Checkpoint) and read.training is not None
    )
    if as_json:
        print_json(report)
    else:
        show(_as_text(report))


def _load(path: str) -> Any:
    """Return the model in a file; a language model as a checkpoint."""
    kind = model_kind(path)
    if kind == "LanguageModel":
        return load_language_model(path)
    if kind in ("Sequential", "Composite"):
        return getattr(fastrnn.layers, kind).load(path)
    if kind not in fastrnn.models.__all__:
        raise ValueError(f"{path}: expected a model of this version of fastrnn, got {kind!r}")
    return getattr(fastrnn.models, kind).load(path)


def _save(out: str, small: Any, source: str) -> None:
    """Write a network, or a model with ``fit`` and what its file remembers of the data."""
    if hasattr(small, "network_"):
        write_model(out, small, source_of_file(source) or None)
    else:
        small.save(out)


def _report(model: str, out: str, precision: str, *, trained: bool) -> dict[str, Any]:
    """Return what became of a file, as the file that was written has it."""
    return {
        "model": model,
        "out": out,
        "precision": precision,
        "size_before": os.path.getsize(model),
        "size": os.path.getsize(out),
        "training_left_out": trained,
        "stored": _stored(out),
    }


def _stored(path: str) -> dict[str, list[str]]:
    """Return the names of a file's parameters by the kind of number that each is stored in."""
    from safetensors import safe_open

    with errors_of_library(path), safe_open(path, "np") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118  # no mapping
    found: dict[str, list[str]] = {}
    for name, kind in sorted(kinds.items()):
        if not (name.endswith(SCALE) and kinds.get(name.removesuffix(SCALE)) == "I8"):
            found.setdefault(_NAMES.get(kind, kind), []).append(name)
    return dict(sorted(found.items(), key=lambda item: item[0] == "float32"))  # what is smaller first


def _as_text(report: dict[str, Any]) -> str:
    before, size = report["size_before"], report["size"]
    without = ", without the state of its training" if report["training_left_out"] else ""
    lines = [
        f"{report['model']}: {before:,} bytes",
        f"{report['out']}: {size:,} bytes, {size / before:.0%}{without}",
    ]
    for kind, names in report["stored"].items():
        scales = ", with a float32 scale per row" if kind == "int8" else ""
        lines.append(f"{kind}{scales}: {', '.join(names)}")
    return "\n".join(lines)
