"""The command ``fastrnn eval``: the loss of a model on a text."""

from __future__ import annotations

import math
from typing import Any

import click
import numpy as np

from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.sample import is_sentence_model
from fastrnn.cli.standard_streams import show
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
    show_default="<unk> if the model has it, else error",
    help="How to handle symbols that the model does not know.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Read the text as N parallel streams: faster, but all except the first start without prior text.",
)
@json_option
def command(model: str, file: str, unknown: str | None, batch_size: int, as_json: bool) -> None:
    """Evaluate MODEL on the text in FILE.

    A model trained on one stream carries its state through the whole text; all symbols but the first are
    predicted, with equal weight. A model trained on sentences starts each line from a zero state, and the end
    of the line is predicted too.
    """
    checkpoint = load_checkpoint(model)
    text = read_text([file])
    result, ids = _evaluate(checkpoint, text, unknown, batch_size)
    if not math.isfinite(result.loss):
        raise click.ClickException(f"{model}: the loss is {result.loss}; the model's parameters are unusable")
    unknown_id = checkpoint.vocabulary.unknown_id
    unknown_tokens = 0 if unknown_id is None else int(np.count_nonzero(ids == unknown_id))
    skipped = _count_unknown(checkpoint, text) if unknown == "skip" else 0
    if as_json:
        perplexity = result.perplexity if math.isfinite(result.perplexity) else None
        print_json(
            {
                "loss": result.loss,
                "perplexity": perplexity,
                "bits": result.bits,
                "tokens": result.tokens,
                "skipped": skipped,
                "unknown": unknown_tokens,
            }
        )
        return
    show(
        f"loss {result.loss:.4f} nats per token, perplexity {result.perplexity:.4f}, "
        f"{result.bits:.4f} bits per token, {result.tokens:,} tokens"
    )
    if unknown_tokens:
        show(f"{unknown_tokens:,} of them unknown, {unknown_tokens / result.tokens:.2%}")
    if skipped:
        show(f"{skipped:,} unknown symbols were skipped")


def _evaluate(
    checkpoint: Checkpoint, text: str, unknown: str | None, batch_size: int
) -> tuple[Evaluation, Any]:
    """Return the evaluation and the ids that were read."""
    vocabulary = checkpoint.vocabulary
    if not is_sentence_model(checkpoint):
        ids = vocabulary.encode_stream(text, unknown=unknown)
        return evaluate(checkpoint.model, ids, batch_size=batch_size), ids
    rows = encode_lines(vocabulary, text, unknown)
    return evaluate_sentences(checkpoint.model, rows), np.concatenate(rows)


def _count_unknown(checkpoint: Checkpoint, text: str) -> int:
    """Count the tokens that are not in the vocabulary; for sentences, line ends are not tokens."""
    parts = text_lines(text) if is_sentence_model(checkpoint) else [text]
    return sum(checkpoint.vocabulary.coverage(part).unknown_tokens for part in parts)
