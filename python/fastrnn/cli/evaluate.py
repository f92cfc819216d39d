"""The command ``fastrnn eval``: the loss of a model on a text."""

from __future__ import annotations

import math
from typing import Any

import click
from numpy.typing import NDArray

from fastrnn.cli.model_argument import load_language_model, model_argument
from fastrnn.cli.output import json_option, print_json, warn
from fastrnn.cli.precision import precision_option
from fastrnn.cli.prepared_texts import EncodedText, count_id, encoded_text, open_prepared, stream_ids
from fastrnn.cli.rank_errors import ending_all, together
from fastrnn.cli.ranked_command import RankedCommand, ranks_of
from fastrnn.cli.ranks_options import start_ranks
from fastrnn.cli.reading_progress import progress_is_shown, watched
from fastrnn.cli.same_call import check_same_call
from fastrnn.cli.sample import is_sentence_model
from fastrnn.cli.settings import TEXT_FILE, encoding_option
from fastrnn.cli.standard_streams import show
from fastrnn.cli.text_input import name_text, read_input, share_standard_input
from fastrnn.cli.threads import threads_option
from fastrnn.cli.training_parts import encode_lines, text_lines
from fastrnn.train import Checkpoint, Evaluation, evaluate, evaluate_sentences
from fastrnn.train.distributed import Ranks
from fastrnn.train.distributed.shards import MOST_SHARDS

__all__ = ["command"]


@click.command(name="eval", cls=RankedCommand)
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
@click.option(
    "--shards",
    type=click.IntRange(min=1, max=MOST_SHARDS),
    metavar="N",
    help="Parts of the streams, whose losses are added in order: the result's last bits depend on N, and "
    "not on the number of processes, which must divide N.  [default: the number of processes]",
)
@encoding_option
@precision_option
@threads_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    model: str,
    file: str,
    unknown: str | None,
    batch_size: int,
    shards: int | None,
    encoding: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Evaluate MODEL on the text in FILE, or in standard input if that is -.

    Of a text that fastrnn prepare made with the vocabulary of MODEL, it is the validation text, if there is
    one.

    A model trained on one stream carries its state through the whole text; all symbols but the first are
    predicted, with equal weight. A model trained on sentences starts each line from a zero state, and the end
    of the line is predicted too. The processes of mpiexec share the streams, or the lines.
    """
    check_same_call(context, ranks_of(context), [model, file])
    ranks = start_ranks(shards, "ordered", "float32")
    share_standard_input(ranks, [file])
    with together(ranks), name_text(file):
        checkpoint = load_language_model(model, precision)
        prepared = open_prepared([file])
        text = read_input([file], encoding) if prepared is None else encoded_text(prepared)
        rows = _encoded(checkpoint, text, unknown)
    _warn_of_idle(ranks, batch_size, checkpoint)
    with ending_all(ranks, (Exception,)), name_text(file):
        shown = ranks.size == 1 and progress_is_shown(as_json)
        result = _evaluate(checkpoint, rows, batch_size, ranks, shown=shown)
    if not math.isfinite(result.loss):
        raise click.ClickException(f"{model}: the loss is {result.loss}; the model's parameters are unusable")
    if not ranks.is_first:  # nor does it read the streams of others to count what is unknown
        return
    unknown_id = checkpoint.vocabulary.unknown_id
    unknown_tokens = sum(count_id(ids, unknown_id) for ids in rows)
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


def _warn_of_idle(ranks: Ranks, streams: int, checkpoint: Checkpoint) -> None:
    """Say that processes have nothing to do, and what gives them work."""
    if streams < ranks.size and not is_sentence_model(checkpoint):
        warn(
            f"{ranks.size - streams} of {ranks.size} processes have no stream to read; "
            f"type --batch-size {ranks.size} or more"
        )


def _encoded(checkpoint: Checkpoint, text: str | EncodedText, unknown: str | None) -> list[NDArray[Any]]:
    """Return the ids of each line for a model of sentences, else those of the whole text."""
    if not is_sentence_model(checkpoint):
        return [stream_ids(checkpoint.vocabulary, text, unknown=unknown)]
    if isinstance(text, EncodedText):
        raise ValueError(f"{text.path}: is one stream of ids; the model was trained on sentences")
    return encode_lines(checkpoint.vocabulary, text, unknown)


def _evaluate(
    checkpoint: Checkpoint, rows: list[NDArray[Any]], streams: int, ranks: Ranks, *, shown: bool
) -> Evaluation:
    model = checkpoint.model
    if is_sentence_model(checkpoint):
        tokens = sum(map(len, rows)) + (0 if model.eos is None else len(rows))
        with watched(model, tokens, shown=shown) as reader:
            return evaluate_sentences(reader, rows, ranks=ranks)
    with watched(model, len(rows[0]) - 1, shown=shown) as reader:
        return evaluate(reader, rows[0], batch_size=streams, ranks=ranks)


def _count_unknown(checkpoint: Checkpoint, text: str | EncodedText) -> int:
    """Count the tokens that are not in the vocabulary; for sentences, line ends are not tokens."""
    if isinstance(text, EncodedText):
        return 0
    parts = text_lines(text) if is_sentence_model(checkpoint) else [text]
    return sum(checkpoint.vocabulary.coverage(part).unknown_tokens for part in parts)
