"""``fastrnn sample``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from fastrnn.cli.output import json_option, print_json
from fastrnn.decode import Generated, Sampling, beam_search, generate, sample_ids
from fastrnn.decode.special_ids import banned_ids, first_ids
from fastrnn.train import Checkpoint, load_checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["command"]

_COUNT, _SIZE = click.IntRange(min=0), click.IntRange(min=1)
_MASS = click.FloatRange(min=0.0, max=1.0, min_open=True)


@click.command(name="sample")
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--prompt", default="", show_default="the start of a text, or a line", help="Text to go on from."
)
@click.option(
    "--length",
    type=_COUNT,
    metavar="N",
    default=500,
    show_default=True,
    help="Symbols to write; of a model that knows where a text ends, the most.",
)
@click.option("--count", type=_SIZE, metavar="N", help="Write that many texts, side by side.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0.0),
    metavar="X",
    default=0.8,
    show_default=True,
    help="Below 1 likely symbols become likelier; 0 always takes the likeliest.",
)
@click.option("--top-k", type=_SIZE, metavar="N", help="Choose among the N likeliest symbols.")
@click.option(
    "--top-p",
    type=_MASS,
    metavar="X",
    help="Choose among the likeliest symbols that together hold the probability X.",
)
@click.option(
    "--typical",
    type=_MASS,
    metavar="X",
    help="Choose among the symbols of the most typical probability that together hold X.",
)
@click.option(
    "--repetition-penalty",
    type=click.FloatRange(min=1.0),
    metavar="X",
    default=1.0,
    show_default=True,
    help="Make symbols that have been written less likely.",
)
@click.option("--reject-unknown", is_flag=True, help="Never write the symbol for unknown ones.")
@click.option("--beam", type=_SIZE, metavar="N", help="Search the likeliest text with N beams instead.")
@click.option(
    "--length-penalty",
    type=click.FloatRange(min=0.0),
    metavar="X",
    default=0.0,
    show_default=True,
    help="Of --beam: above 0 longer texts are favoured.",
)
@click.option(
    "--seed",
    type=_COUNT,
    metavar="N",
    show_default="a new one",
    help="The same seed writes the same text.",
)
@json_option
def command(
    model: str,
    prompt: str,
    length: int,
    count: int | None,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    typical: float | None,
    repetition_penalty: float,
    reject_unknown: bool,
    beam: int | None,
    length_penalty: float,
    seed: int | None,
    as_json: bool,
) -> None:
    """Let MODEL write, from its start or after a prompt.

    A model that was trained on one stream of text writes on and on; one of sentences ends each by itself.
    """
    if beam is not None and count is not None:
        raise click.UsageError("--beam and --count: give one of them")
    checkpoint = load_checkpoint(model)
    used_seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    generator = np.random.default_rng(used_seed)
    start = first_ids(checkpoint.vocabulary, prompt, generator, checkpoint.model)
    sampling = Sampling(
        temperature, top_k, top_p, typical=typical, repetition_penalty=repetition_penalty
    )  # fmt: skip
    sampling = replace(sampling, banned=banned_ids(checkpoint.vocabulary, reject_unknown))
    began = time.perf_counter()
    texts: list[dict[str, Any]]
    if beam is not None:
        found = _search(checkpoint, start, (beam, length, length_penalty), tuple(sampling.banned))
        texts = [_described(checkpoint, prompt, each) for each in found]
    elif count is not None or ends_itself(checkpoint):
        written = generate(
            checkpoint.model, [start] * (count or 1), max_length=length, eos=_eos(checkpoint),
            sampling=sampling, seed=generator,
        )  # fmt: skip
        texts = [_described(checkpoint, prompt, each) for each in written]
    else:
        ids = sample_ids(checkpoint.model, start, length, sampling=sampling, seed=generator)
        if not as_json:
            _generate_symbol(checkpoint, prompt, ids)
            return
        texts = [{"prompt": prompt, "text": checkpoint.vocabulary.decode(ids), "symbols": length}]
    seconds = time.perf_counter() - began
    speed = sum(text["symbols"] for text in texts) / seconds
    if as_json:
        first = {} if count is not None or beam is not None else texts[0]
        several = {"texts": texts} if not first else {}
        print_json({**first, **several, "seed": used_seed, "symbols_per_second": speed})
        return
    for text in texts:
        click.echo(_joined(checkpoint, prompt, text["text"]))


def ends_itself(checkpoint: Checkpoint) -> bool:
    """Say whether the model was trained on texts with ends, not on one stream."""
    return checkpoint.model.start == -1


def _eos(checkpoint: Checkpoint) -> int:
    """Give the id that ends a text; in a stream it is only a line's end."""
    eos = checkpoint.model.eos if ends_itself(checkpoint) else None
    return -1 if eos is None else eos


def _search(
    checkpoint: Checkpoint,
    start: NDArray[np.int64],
    settings: tuple[int, int, float],
    banned: tuple[int, ...],
) -> list[Any]:
    size, length, penalty = settings
    return list(
        beam_search(
            checkpoint.model,
            start,
            beam_size=size,
            max_length=length,
            eos=_eos(checkpoint),
            length_penalty=penalty,
            banned=banned,
        )
    )


def _described(checkpoint: Checkpoint, prompt: str, written: Generated) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "text": checkpoint.vocabulary.decode(written.ids),
        "symbols": len(written.ids),
        "stopped_by": written.stopped_by,
        "log_probability": written.log_probability,
    }


def _joined(checkpoint: Checkpoint, prompt: str, text: str) -> str:
    return prompt + _space(checkpoint, prompt, text) + text


def _generate_symbol(checkpoint: Checkpoint, prompt: str, ids: Iterable[int]) -> None:
    """Write symbol by symbol, as they are drawn."""
    click.echo(prompt, nl=False)
    for piece in _pieces(checkpoint, prompt, ids):
        click.echo(piece, nl=False)
    click.echo()


def _pieces(checkpoint: Checkpoint, prompt: str, ids: Iterable[int]) -> Iterator[str]:
    before = prompt
    for symbol in ids:
        piece = checkpoint.vocabulary.decode([symbol])
        yield _space(checkpoint, before, piece) + piece
        before = piece or before


def _space(checkpoint: Checkpoint, before: str, behind: str) -> str:
    """Give what stands between two pieces of a text: a space between words, nothing at the ends of lines."""
    apart = checkpoint.vocabulary.level == "word" and before and behind
    return " " if apart and not before[-1].isspace() and not behind.startswith("\n") else ""
