"""``fastrnn eval``."""

from __future__ import annotations

import math

import click

from fastrnn.cli.output import json_option, print_json
from fastrnn.data import read_text
from fastrnn.train import evaluate, load_checkpoint

__all__ = ["command"]


@click.command(name="eval")
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--unknown",
    type=click.Choice(["error", "skip"]),
    default="error",
    show_default=True,
    help="What to do with symbols that the model does not know.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Read the text as that many streams side by side: faster; each stream but the first starts afresh.",
)
@json_option
def command(model: str, file: str, unknown: str, batch_size: int, as_json: bool) -> None:
    """Measure MODEL on the text in FILE, the state carried from its start to its end.

    The first symbol is given; all others are predicted and count the same.
    """
    checkpoint = load_checkpoint(model)
    text = read_text([file])
    ids = checkpoint.vocabulary.encode(text, unknown=unknown)
    result = evaluate(checkpoint.model, ids, batch_size=batch_size)
    if not math.isfinite(result.loss):
        raise click.ClickException(
            f"{model}: the loss is {result.loss}; the model's parameters are not usable"
        )
    skipped = len(text) - len(ids)
    if as_json:
        perplexity = result.perplexity if math.isfinite(result.perplexity) else None
        print_json(
            {
                "loss": result.loss,
                "perplexity": perplexity,
                "bits": result.bits,
                "tokens": result.tokens,
                "skipped": skipped,
            }
        )
        return
    click.echo(
        f"loss {result.loss:.4f} nats a token, perplexity {result.perplexity:.4f}, "
        f"{result.bits:.4f} bits a token, {result.tokens:,} tokens"
    )
    if skipped:
        click.echo(f"{skipped:,} unknown symbols were left out")
