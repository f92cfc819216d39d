"""The command ``fastrnn sample``: generate text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from fastrnn.cli.numbers import FiniteRange
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.standard_streams import show
from fastrnn.cli.threads import threads_option
from fastrnn.decode import Generated, Sampling, beam_search, generate, sample_ids
from fastrnn.decode.special_ids import banned_ids, first_ids
from fastrnn.train import Checkpoint, load_checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["command"]

_COUNT, _SIZE = click.IntRange(min=0), click.IntRange(min=1)
_MASS = FiniteRange(min=0.0, max=1.0, min_open=True)


@click.command(name="sample")
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.option("--prompt", default="", show_default="the start of a text or a line", help="Text to continue.")
@click.option(
    "--length",
    type=_COUNT,
    metavar="N",
    default=500,
    show_default=True,
    help="Symbols to generate; the maximum if the model predicts where a text ends.",
)
@click.option("--count", type=_SIZE, metavar="N", help="Generate N texts in one batch.")
@click.option(
    "--temperature",
    type=FiniteRange(min=0.0),
    metavar="X",
    default=0.8,
    show_default=True,
    help="Values below 1 favour likely symbols; 0 always takes the most likely one.",
)
@click.option("--top-k", type=_SIZE, metavar="N", help="Sample from the N most likely symbols.")
@click.option(
    "--top-p",
    type=_MASS,
    metavar="X",
    help="Sample from the most likely symbols whose total probability is X.",
)
@click.option(
    "--typical",
    type=_MASS,
    metavar="X",
    help="Sample from the most typical symbols whose total probability is X.",
)
@click.option(
    "--repetition-penalty",
    type=FiniteRange(min=1.0),
    metavar="X",
    default=1.0,
    show_default=True,
    help="Values above 1 make symbols that have already occurred less likely.",
)
@click.option("--reject-unknown", is_flag=True, help="Never generate the symbol <unk>.")
@click.option("--beam", type=_SIZE, metavar="N", help="Beam search with N beams instead of sampling.")
@click.option(
    "--length-penalty",
    type=FiniteRange(min=0.0),
    metavar="X",
    default=0.0,
    show_default=True,
    help="With --beam: values above 0 favour longer texts.",
)
@click.option(
    "--seed",
    type=_COUNT,
    metavar="N",
    show_default="random",
    help="The same seed generates the same text.",
)
@threads_option
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
    """Generate text with MODEL, from the start or after a prompt.

    A model trained on one stream generates --length symbols; one trained on sentences may end earlier.
    """
    if beam is not None and count is not None:
        raise click.UsageError("--beam and --count: give only one of them")
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
        texts = [_as_json(checkpoint, prompt, each) for each in found]
    elif count is not None or is_sentence_model(checkpoint):
        written = generate(
            checkpoint.model, [start] * (count or 1), max_length=length, eos=_eos(checkpoint),
            sampling=sampling, seed=generator,
        )  # fmt: skip
        texts = [_as_json(checkpoint, prompt, each) for each in written]
    else:
        ids = sample_ids(checkpoint.model, start, length, sampling=sampling, seed=generator)
        if not as_json:
            _write(checkpoint, prompt, ids)
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
        show(_prompt_and_text(checkpoint, prompt, text["text"]))


def is_sentence_model(checkpoint: Checkpoint) -> bool:
    """Return whether the model was trained on separate sentences, not on one stream."""
    return checkpoint.model.start == -1


def _eos(checkpoint: Checkpoint) -> int:
    """Return the id that ends a text, or -1; in a stream this id only ends a line."""
    eos = checkpoint.model.eos if is_sentence_model(checkpoint) else None
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


def _as_json(checkpoint: Checkpoint, prompt: str, written: Generated) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "text": checkpoint.vocabulary.decode(written.ids),
        "symbols": len(written.ids),
        "stopped_by": written.stopped_by,
        "log_probability": written.log_probability,
    }


def _prompt_and_text(checkpoint: Checkpoint, prompt: str, text: str) -> str:
    return prompt + _separator(checkpoint, prompt, text) + text


def _write(checkpoint: Checkpoint, prompt: str, ids: Iterable[int]) -> None:
    """Print each symbol as soon as it is generated."""
    show(prompt, end="")
    for piece in _pieces(checkpoint, prompt, ids):
        show(piece, end="")
    show()


def _pieces(checkpoint: Checkpoint, prompt: str, ids: Iterable[int]) -> Iterator[str]:
    before = prompt
    for symbol in ids:
        piece = checkpoint.vocabulary.decode([symbol])
        yield _separator(checkpoint, before, piece) + piece
        before = piece or before


def _separator(checkpoint: Checkpoint, before: str, after: str) -> str:
    """Return the separator of two pieces of text: a space between words, nothing at line ends."""
    words = checkpoint.vocabulary.level == "word" and before and after
    return " " if words and not before[-1].isspace() and not after.startswith("\n") else ""
