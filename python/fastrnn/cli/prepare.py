"""The command ``fastrnn prepare``: a large text, encoded once for all trainings on it."""

from __future__ import annotations

import shlex
import time
from typing import Any

import click

from fastrnn._cpus import count_cpus
from fastrnn.cli.model_argument import load_language_model
from fastrnn.cli.numbers import FiniteRange
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.output_files import check_output, overwrite_option
from fastrnn.cli.rank_errors import together
from fastrnn.cli.ranked_command import RankedCommand, ranks_of
from fastrnn.cli.reading_progress import progress_is_shown
from fastrnn.cli.same_call import check_same_call
from fastrnn.cli.settings import TrainingSettings, encoding_option
from fastrnn.cli.standard_streams import show
from fastrnn.data import PreparedText, Vocabulary, prepare
from fastrnn.data.prepared_text import is_prepared
from fastrnn.train import CheckpointError

__all__ = ["command"]

_FILE = click.Path(exists=True, dir_okay=False)
_SIZE = click.IntRange(min=1)
_SECTIONS = {
    "Files": "out overwrite valid valid_fraction encoding",
    "Text": "level max_types min_count tokenizer vocabulary",
}


@click.command(name="prepare", cls=RankedCommand, sections=_SECTIONS)
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="File to write to: NAME.ids.")
@click.option("--valid", type=_FILE, help="Validation text.  [default: the end of the text]")
@click.option(
    "--valid-fraction",
    type=FiniteRange(min=0.0, max=1.0, max_open=True),
    metavar="X",
    default=TrainingSettings.valid_fraction,
    show_default=True,
    help="Fraction of the text, at its end, to validate on without --valid.",
)
@click.option(
    "--level",
    type=click.Choice(["char", "word"]),
    show_default="char",
    help="Symbols are characters or words.",
)
@click.option(
    "--max-types",
    type=_SIZE,
    metavar="N",
    help="Keep the N most frequent symbols; others become <unk>.  [default: all]",
)
@click.option(
    "--min-count",
    type=_SIZE,
    metavar="N",
    default=1,
    show_default=True,
    help="Keep symbols that occur at least N times; others become <unk>.",
)
@click.option(
    "--tokenizer",
    type=click.Choice(["words", "whitespace"]),
    show_default="words",
    help="How to split text: into words and punctuation, or at white space.",
)
@click.option(
    "--vocabulary",
    type=_FILE,
    metavar="FILE",
    help="Model or prepared text whose vocabulary to use.  [default: that of the text]",
)
@encoding_option
@click.option(
    "--processes",
    type=_SIZE,
    metavar="N",
    show_default="one for each CPU; with mpiexec 1 in each rank",
    help="Processes that share the work.",
)
@overwrite_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    files: tuple[str, ...],
    out: str,
    valid: str | None,
    vocabulary: str | None,
    processes: int | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Encode the texts in FILES once, into a file that fastrnn train and eval take in their place.

    The file has the vocabulary and the ids, each of one, two or four bytes, for training and for validation.
    A training maps it into memory: it starts at once and reads what it uses. Preparing needs memory for the
    distinct symbols alone, however large the texts are, and has the same result with any number of processes,
    or of ranks that mpiexec starts.
    """
    began = time.monotonic()
    ranks = ranks_of(context)
    inputs = [*files, *([valid] if valid else []), *([vocabulary] if vocabulary else [])]
    check_same_call(context, ranks, inputs)
    ranks.on_first(lambda: check_output(out, inputs, overwrite=overwrite))
    used = processes or (count_cpus() if ranks.size == 1 else 1)
    with together(ranks):
        known = None if vocabulary is None else _vocabulary_of(vocabulary)
    options |= {"processes": used, "ranks": ranks, "progress": progress_is_shown(as_json)}
    with prepare(files, out, valid=valid, vocabulary=known, **options) as text:
        if ranks.is_first:
            _report(text, out, time.monotonic() - began, as_json)


def _vocabulary_of(path: str) -> Vocabulary:
    if not is_prepared(path):
        try:
            return load_language_model(path).vocabulary
        except CheckpointError as error:
            raise ValueError(
                f"--vocabulary: expected a model of fastrnn train or a prepared text: {error}"
            ) from None
    with PreparedText.open(path) as text:
        return text.vocabulary


def _report(text: PreparedText, out: str, seconds: float, as_json: bool) -> None:
    train, valid, size = len(text.train), len(text.valid), text.train.itemsize
    if as_json:
        result = {
            "out": out,
            "level": text.vocabulary.level,
            "symbols": len(text.vocabulary),
            "train": train,
            "valid": valid,
            "bytes_per_id": size,
            "seconds": round(seconds, 3),
        }
        print_json(result)
        return
    kind = "words and line ends" if text.vocabulary.level == "word" else "symbols"
    show(
        f"text: {text.source}: {train:,} {kind} to train on, {valid:,} to validate on, "
        f"{len(text.vocabulary):,} distinct"
    )
    show(f"saved {out} after {seconds:.1f} s, {size} byte{'s' * (size > 1)} for each; next, type:")
    show(f"  {shlex.join(['fastrnn', 'train', out])}")
