"""``fastrnn eval``."""

from __future__ import annotations

import math
from typing import Any

import click
import numpy as np

from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.sample import is_sentence_model
from fastrnn.cli.training_parts import encode_lines, text_lines
from fastrnn.data import read_text
from fastrnn.train import Checkpoint, Evaluation, evaluate, evaluate_sentences, load_checkpoint

__all__ = ["command"]


@click.command(name="eval")
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--unknown",
    type=click.Choice(["error", "skip"]),
    show_default="as <unk> where the model has it, else error",
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
def command(model: str, file: str, unknown: str | None, batch_size: int, as_json: bool) -> None:
    """Measure MODEL on the text in FILE.

    A model of one stream carries its state from the text's start to its end; the first symbol is given, all
    others are predicted and count the same. A model of sentences reads each line from a state of zero, and
    its end counts too.
    """
    checkpoint = load_checkpoint(model)
    text = read_text([file])
    result, ids = _evaluated(checkpoint, text, unknown, batch_size)
    if not math.isfinite(result.loss):
        raise click.ClickException(
            f"{model}: the loss is {result.loss}; the model's parameters are not usable"
        )
    known = checkpoint.vocabulary.unknown_id
    charged = 0 if known is None else int(np.count_nonzero(ids == known))
    skipped = _unknown_tokens(checkpoint, text) if unknown == "skip" else 0
    if as_json:
        perplexity = result.perplexity if math.isfinite(result.perplexity) else None
        print_json(
            {
                "loss": result.loss,
                "perplexity": perplexity,
                "bits": result.bits,
                "tokens": result.tokens,
                "skipped": skipped,
                "unknown": charged,
            }
        )
        return
    click.echo(
        f"loss {result.loss:.4f} nats a token, perplexity {result.perplexity:.4f}, "
        f"{result.bits:.4f} bits a token, {result.tokens:,} tokens"
    )
    if charged:
        click.echo(f"{charged:,} of them unknown, {charged / result.tokens:.2%}")
    if skipped:
        click.echo(f"{skipped:,} unknown symbols were left out")


def _evaluated(
    checkpoint: Checkpoint, text: str, unknown: str | None, batch_size: int
) -> tuple[Evaluation, Any]:
    """Give the evaluation, and the ids that were read."""
    vocabulary = checkpoint.vocabulary
    if not is_sentence_model(checkpoint):
        ids = vocabulary.encode_stream(text, unknown=unknown)
        return evaluate(checkpoint.model, ids, batch_size=batch_size), ids
    rows = encode_lines(vocabulary, text, unknown)
    return evaluate_sentences(checkpoint.model, rows), np.concatenate(rows)


def _unknown_tokens(checkpoint: Checkpoint, text: str) -> int:
    """Count the tokens that the vocabulary lacks; where lines are texts, their ends are no tokens."""
    parts = text_lines(text) if is_sentence_model(checkpoint) else [text]
    return sum(checkpoint.vocabulary.coverage(part).unknown_tokens for part in parts)
