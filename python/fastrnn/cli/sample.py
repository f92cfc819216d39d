"""The command ``fastrnn sample``: generate text."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from fastrnn.cli.model_argument import load_language_model, model_argument
from fastrnn.cli.numbers import FiniteRange
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.precision import precision_option
from fastrnn.cli.prompt_input import check_prompt, read_prompt
from fastrnn.cli.sample_text import pieces, prompt_and_text, separated
from fastrnn.cli.settings import TEXT_FILE
from fastrnn.cli.standard_streams import show
from fastrnn.cli.threads import threads_option
from fastrnn.decode import Generated, Sampling, beam_search, generate, sample_ids
from fastrnn.decode.special_ids import banned_ids, first_ids
from fastrnn.train import Checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["command"]

_COUNT, _SIZE = click.IntRange(min=0), click.IntRange(min=1)
_MASS = FiniteRange(min=0.0, max=1.0, min_open=True)


@click.command(name="sample")
@model_argument("fastrnn train TEXT.txt --out NAME.safetensors")
@click.option(
    "--prompt",
    default="",
    metavar="TEXT",
    show_default="the start of a text or a line",
    help="Text to continue, or - for standard input. In plain quotes \\n is a backslash and an n; "
    "$'one\\ntwo' is two lines in bash and zsh.",
)
@click.option(
    "--prompt-file",
    type=TEXT_FILE,
    metavar="FILE",
    help="Read the prompt in FILE, without its final line end.",
)
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
@precision_option
@threads_option
@json_option
def command(
    model: str,
    prompt: str,
    prompt_file: str | None,
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
    precision: str | None,
    as_json: bool,
) -> None:
    """Generate text with MODEL, from the start or after a prompt.

    A model trained on one stream generates --length symbols; one trained on sentences may end earlier.
    Before each of several texts of a stream is a line such as ---- 2 of 5 ----, with more dashes if a text
    has that line.
    """
    if beam is not None and count is not None:
        raise click.UsageError("--beam and --count: give only one of them")
    if prompt and prompt_file is not None:
        raise click.UsageError("--prompt and --prompt-file: give only one of them")
    checkpoint = load_language_model(model, precision)
    prompt = read_prompt("--prompt", prompt, prompt_file, instead=f"--prompt-file {prompt}")
    check_prompt("--prompt" if prompt_file is None else prompt_file, checkpoint.vocabulary, prompt)
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
    whole = [prompt_and_text(checkpoint.vocabulary, prompt, text["text"]) for text in texts]
    for line in separated(whole, always=not is_sentence_model(checkpoint)):
        show(line)


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


def _write(checkpoint: Checkpoint, prompt: str, ids: Iterable[int]) -> None:
    """Print each symbol as soon as it is generated."""
    show(prompt, end="")
    for piece in pieces(checkpoint.vocabulary, prompt, ids):
        show(piece, end="")
    show()
