"""The command ``fastrnn eval``: the loss of a model on a text."""

from __future__ import annotations

import math

import click

from fastrnn.cli.model_argument import load_language_model, model_argument
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.precision import precision_option
from fastrnn.cli.prepared_texts import EncodedText, count_id, encoded_text, open_prepared, stream_ids
from fastrnn.cli.reading_progress import progress_is_shown, watched
from fastrnn.cli.sample import is_sentence_model
from fastrnn.cli.settings import TEXT_FILE, encoding_option
from fastrnn.cli.standard_streams import show
from fastrnn.cli.text_input import name_text, read_input
from fastrnn.cli.threads import threads_option
from fastrnn.cli.training_parts import encode_lines, text_lines
from fastrnn.train import Checkpoint, Evaluation, evaluate, evaluate_sentences

__all__ = ["command"]


@click.command(name="eval")
@model_argument("fastrnn train TEXT.txt --out NAME.safetensors")
@click.argument("file", type=TEXT_FILE)
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
@encoding_option
@precision_option
@threads_option
@json_option
def command(
    model: str,
    file: str,
    unknown: str | None,
    batch_size: int,
    encoding: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Evaluate MODEL on the text in FILE, or in standard input if that is -.

    Of a text that fastrnn prepare made with the vocabulary of MODEL, it is the validation text, if there is
    one.

    A model trained on one stream carries its state through the whole text; all symbols but the first are
    predicted, with equal weight. A model trained on sentences starts each line from a zero state, and the end
    of the line is predicted too.
    """
    checkpoint = load_language_model(model, precision)
    prepared = open_prepared([file])
    text = read_input([file], encoding) if prepared is None else encoded_text(prepared)
    with name_text(file):
        result, unknown_tokens = _evaluate(
            checkpoint, text, unknown, batch_size, shown=progress_is_shown(as_json)
        )
    if not math.isfinite(result.loss):
        raise click.ClickException(f"{model}: the loss is {result.loss}; the model's parameters are unusable")
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
    checkpoint: Checkpoint, text: str | EncodedText, unknown: str | None, batch_size: int, *, shown: bool
) -> tuple[Evaluation, int]:
    """Return the evaluation, and how many of the tokens were read as the unknown symbol."""
    vocabulary, model = checkpoint.vocabulary, checkpoint.model
    if is_sentence_model(checkpoint):
        if isinstance(text, EncodedText):
            raise ValueError(f"{text.path}: is one stream of ids; the model was trained on sentences")
        rows = encode_lines(vocabulary, text, unknown)
        tokens = sum(map(len, rows)) + (0 if model.eos is None else len(rows))
        with watched(model, tokens, shown=shown) as reader:
            result = evaluate_sentences(reader, rows)
    else:
        rows = [stream_ids(vocabulary, text, unknown=unknown)]
        with watched(model, len(rows[0]) - 1, shown=shown) as reader:
            result = evaluate(reader, rows[0], batch_size=batch_size)
    if vocabulary.unknown_id is None:
        return result, 0
    return result, sum(count_id(ids, vocabulary.unknown_id) for ids in rows)


def _count_unknown(checkpoint: Checkpoint, text: str | EncodedText) -> int:
    """Count the tokens that are not in the vocabulary; for sentences, line ends are not tokens."""
    if isinstance(text, EncodedText):
        return 0
    parts = text_lines(text) if is_sentence_model(checkpoint) else [text]
    return sum(checkpoint.vocabulary.coverage(part).unknown_tokens for part in parts)
