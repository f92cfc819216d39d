"""The command ``fastrnn next``: the most likely next symbols."""

from __future__ import annotations

import click

from fastrnn.cli.model_argument import load_language_model, model_argument
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.precision import precision_option
from fastrnn.cli.prompt_input import check_prompt, read_prompt
from fastrnn.cli.standard_streams import show
from fastrnn.cli.threads import threads_option
from fastrnn.decode import next_symbols

__all__ = ["command"]


@click.command(name="next")
@model_argument("fastrnn train TEXT.txt --out NAME.safetensors")
@click.argument("prefix", default="")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    default=10,
    show_default=True,
    help="Number of symbols to show.",
)
@precision_option
@threads_option
@json_option
def command(model: str, prefix: str, top: int, precision: str | None, as_json: bool) -> None:
    r"""Show the most likely symbols after PREFIX according to MODEL.

    If PREFIX is -, it is read from standard input, without its final line end. $'one\ntwo' is a text of two
    lines in bash and zsh; in 'one\ntwo' are a backslash and an n.
    """
    checkpoint = load_language_model(model, precision)
    prefix = read_prompt("PREFIX", prefix, instead="give - and redirect standard input")
    check_prompt("PREFIX", checkpoint.vocabulary, prefix)
    if not prefix and checkpoint.model.start is None:
        raise click.UsageError("PREFIX: this model knows no start of a text; give a text to go on from")
    found = next_symbols(checkpoint.model, checkpoint.vocabulary, prefix, top=top)
    if as_json:
        print_json(
            {
                "prefix": prefix,
                "symbols": list(found.symbols),
                "probabilities": found.probabilities.tolist(),
                "end": found.end,
            }
        )
        return
    if found.end is not None:
        show(f"{found.end:10.6f}  (the text ends here)")
    for symbol, probability in zip(found.symbols, found.probabilities, strict=True):
        visible = symbol.isprintable() and not symbol.isspace()
        show(f"{probability:10.6f}  {symbol if visible else repr(symbol)}")
