"""The command ``fastrnn inspect``: an HTML report of what a model does while it reads a text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import fastrnn.models
from fastrnn.cli.model_argument import load_language_model, model_argument, model_kind
from fastrnn.cli.model_tasks import task_of_kind
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.output_files import check_output, overwrite_option
from fastrnn.cli.precision import network_of
from fastrnn.cli.settings import TEXT_FILE, encoding_option
from fastrnn.cli.standard_streams import show
from fastrnn.cli.text_input import STANDARD_INPUT, read_input
from fastrnn.cli.threads import threads_option
from fastrnn.inspect import Report, report

__all__ = ["command"]


@click.command(name="inspect")
@model_argument("fastrnn train TEXT.txt --out NAME.safetensors")
@click.option("--text", required=True, type=TEXT_FILE, help="File of the text, or - for standard input.")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="HTML file to write.")
@overwrite_option
@click.option(
    "--length",
    type=click.IntRange(min=1),
    metavar="N",
    default=3000,
    show_default=True,
    help="Symbols to show, the first of the text.",
)
@encoding_option
@threads_option
@json_option
def command(
    model: str, text: str, out: str, overwrite: bool, length: int, encoding: str, as_json: bool
) -> None:
    """Write a report of what the units of MODEL do while it reads a text: one HTML file for a browser.

    It shows the text coloured by any gate or state of any unit, or by the loss; the units that track a
    property best; the likeliest next symbols; the norm of the gradient against lag. MODEL is a file of
    `fastrnn train`, or of `fastrnn fit` if it reads text.
    """
    check_output(out, [model, text], overwrite=overwrite)
    loaded = _load(model)
    content = read_input([text], encoding)
    with _named(text, model):
        written = report(loaded, content, out, length=length, title=Path(model).name)
    if as_json:
        print_json(_as_json(written))
    else:
        show(_as_text(written))


@contextmanager
def _named(text: str, model: str) -> Iterator[None]:
    """Name the files where an error names the arguments."""
    try:
        yield
    except ValueError as error:
        argument, colon, rest = str(error).partition(":")
        files = {"text": "standard input" if text == STANDARD_INPUT else text, "model": model}
        raise ValueError(f"{files.get(argument, argument)}{colon}{rest}") from None


def _load(path: str) -> Any:
    """Return the model in a file, with its vocabulary if it is a language model."""
    kind = model_kind(path)
    loaded: Any
    if kind == "LanguageModel":
        loaded = load_language_model(path)
        network = loaded.model
    else:
        loaded = getattr(fastrnn.models, task_of_kind(path, kind).kind).load(path)
        network = network_of(loaded)
    if network.quantized:
        raise ValueError(f"{path}: is quantized, for inference; inspect the model that it was made of")
    return loaded


def _as_json(written: Report) -> dict[str, Any]:
    best = {
        name: {"layer": score.layer, "name": score.name, "unit": score.unit, "correlation": score.correlation}
        for name, score in written.best.items()
    }
    return {
        "path": written.path,
        "size": written.size,
        "symbols": written.symbols,
        "loss": written.loss,
        "perplexity": _perplexity(written.loss),
        "units": written.units,
        "left_out": written.left_out,
        "best": best,
    }


def _perplexity(loss: float | None) -> float | None:
    return None if loss is None or loss > 700.0 else math.exp(loss)


def _as_text(written: Report) -> str:
    lines = [f"{written.symbols:,} symbols"]
    if written.loss is not None:
        perplexity = _perplexity(written.loss)
        lines[0] += f", loss {written.loss:.4f} nats per symbol"
        lines[0] += "" if perplexity is None else f", perplexity {perplexity:,.2f}"
    if written.best:
        lines.append("the unit that tracks each property best, and its correlation:")
        width = max(map(len, written.best))
        for name, (layer, signal, unit, correlation, *_) in written.best.items():
            lines.append(f"  {name:{width}}  {layer} {signal:2} {unit:4}  {correlation:+.2f}")
    for layer, count in written.left_out.items():
        kept = written.units[layer]
        lines.append(
            f"{layer}: the file has {kept:,} of {kept + count:,} units, those that track a property best; "
            "a smaller --length leaves room for more"
        )
    lines.append(f"written: {written.path}, {written.size / 1e6:.1f} MB; open it in a browser")
    return "\n".join(lines)
