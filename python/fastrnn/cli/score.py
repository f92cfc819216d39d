"""The command ``fastrnn score``: log-probabilities of texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from fastrnn.cli.model_argument import load_language_model, model_argument
from fastrnn.cli.output import json_option, print_json, warn
from fastrnn.cli.precision import precision_option
from fastrnn.cli.rank_errors import ending_all, together
from fastrnn.cli.ranked_command import RankedCommand, ranks_of
from fastrnn.cli.reading_progress import progress_is_shown, watched
from fastrnn.cli.same_call import check_same_call
from fastrnn.cli.settings import encoding_option
from fastrnn.cli.standard_streams import show
from fastrnn.cli.text_input import (
    STANDARD_INPUT,
    check_standard_input,
    name_text,
    share_standard_input,
    standard_input_chunks,
    warn_of_file,
)
from fastrnn.cli.threads import threads_option
from fastrnn.data.reading import whole_lines
from fastrnn.decode import Score, score

if TYPE_CHECKING:
    from fastrnn.data import Vocabulary

__all__ = ["command"]


@click.command(name="score", cls=RankedCommand)
@model_argument("fastrnn train TEXT.txt --out NAME.safetensors")
@click.argument("texts", nargs=-1)
@click.option(
    "--unit",
    type=click.Choice(["nats", "bits", "log10"]),
    default="nats",
    show_default=True,
    help="Unit of the log-probabilities.",
)
@click.option(
    "--end/--no-end",
    default=None,
    help="Include the probability that the text ends.  [default: if the model predicts ends]",
)
@click.option("--rank", "ranked", is_flag=True, help="Sort the texts, most likely first.")
@click.option("--tokens", "by_token", is_flag=True, help="Also print a line for each token.")
@click.option(
    "--unknown",
    type=click.Choice(["error", "skip"]),
    show_default="<unk> if the model has it, else error",
    help="How to handle symbols that the model does not know.",
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
    texts: tuple[str, ...],
    unit: str,
    end: bool | None,
    ranked: bool,
    by_token: bool,
    unknown: str | None,
    encoding: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Print the log-probability of each of TEXTS under MODEL.

    - stands for the lines of standard input, which is also read if there are no TEXTS. The processes of
    mpiexec share the texts.
    """
    ranks, texts = ranks_of(context), texts or (STANDARD_INPUT,)
    check_same_call(context, ranks, [model])
    share_standard_input(ranks, texts)
    with together(ranks):
        given = list(_given(texts, encoding))
        if not given:
            raise click.UsageError("TEXTS: expected at least one text, got none")
        checkpoint = load_language_model(model, precision)
    shown = ranks.size == 1 and progress_is_shown(as_json)
    tokens = sum(len(checkpoint.vocabulary.tokens(text)) for text in given) if shown else 0
    options: dict[str, Any] = {"end": end, "unit": unit, "unknown": unknown}
    with (
        ending_all(ranks, (Exception,)),
        name_text(STANDARD_INPUT),
        watched(checkpoint.model, tokens, shown=shown) as reader,
    ):
        scores = score(reader, checkpoint.vocabulary, given, **options, ranks=ranks)
    summary: dict[str, object] = {"unit": unit}
    if ranked:
        scores.sort(key=lambda each: each.total, reverse=True)
        summary["comparable"] = _comparable(checkpoint.vocabulary, given)
    if as_json:
        print_json({**summary, "texts": [_as_json(each) for each in scores]})
        return
    for each in scores:
        show(f"{each.total:.4f} {unit}  perplexity {each.perplexity:,.2f}  {each.text}{_unknown_note(each)}")
        if by_token:
            for token, value in zip(each.tokens, each.log_probabilities, strict=True):
                show(f"    {value:10.4f}  {token!r}")
            if each.length_log_probability:
                show(f"    {each.length_log_probability:10.4f}  (the length)")


def _given(texts: Sequence[str], encoding: str) -> Iterator[str]:
    """Yield the texts to score: those given, and the lines of standard input in place of -."""
    check_standard_input(texts)
    for text in texts:
        if text == STANDARD_INPUT:
            yield from (line for line in whole_lines(standard_input_chunks(encoding)) if line.strip())
        else:
            warn_of_file("TEXTS", text, instead="give - and redirect standard input; a line is a text")
            yield text


def _comparable(vocabulary: Vocabulary, texts: Sequence[str]) -> bool:
    """Return whether texts have as many unknown words each; warn if they do not."""
    counts = [vocabulary.coverage(text).unknown_tokens for text in texts]
    least, most = min(counts), max(counts)
    if least == most:
        return True
    kind = "characters" if vocabulary.level == "char" else "words"
    warn(
        f"--rank: the texts have from {least} to {most} unknown {kind}; the model does not tell those apart, "
        "and one that is unknown can be likelier than one that is rare, so this order says little"
    )
    return False


def _unknown_note(result: Score) -> str:
    return f"  ({result.unknown} unknown)" if result.unknown else ""


def _as_json(result: Score) -> dict[str, object]:
    return {
        "text": result.text,
        "total": result.total,
        "per_token": result.per_token,
        "perplexity": result.perplexity if math.isfinite(result.perplexity) else None,
        "unknown": result.unknown,
        "tokens": list(result.tokens),
        "log_probabilities": result.log_probabilities.tolist(),
        "length_log_probability": result.length_log_probability,
        "given": list(result.given),
    }
