"""``fastrnn sample``."""

from __future__ import annotations

import time

import click
import numpy as np

from fastrnn.cli.output import json_option, print_json
from fastrnn.decode import Sampling, sample_ids
from fastrnn.decode.sampling import first_ids
from fastrnn.train import load_checkpoint

__all__ = ["command"]

_COUNT = click.IntRange(min=0)


@click.command(name="sample")
@click.argument("model", type=click.Path(exists=True, dir_okay=False))
@click.option("--prompt", default="", show_default="as after a line's end", help="Text to go on from.")
@click.option("--length", type=_COUNT, metavar="N", default=500, show_default=True, help="Symbols to write.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0.0),
    metavar="X",
    default=0.8,
    show_default=True,
    help="Below 1 likely symbols become likelier; 0 always takes the likeliest.",
)
@click.option(
    "--top-k", type=click.IntRange(min=1), metavar="N", help="Choose among the N likeliest symbols."
)
@click.option(
    "--top-p",
    type=click.FloatRange(min=0.0, max=1.0, min_open=True),
    metavar="X",
    help="Choose among the likeliest symbols that together hold the probability X.",
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
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Let MODEL write, from a state of zero and, if given, a prompt."""
    checkpoint = load_checkpoint(model)
    used_seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
    generator = np.random.default_rng(used_seed)
    start = first_ids(checkpoint.vocabulary, prompt, generator)
    sampling = Sampling(temperature, top_k, top_p)
    began = time.perf_counter()
    ids = sample_ids(checkpoint.model, start, length, sampling=sampling, seed=generator)
    if not as_json:
        click.echo(prompt, nl=False)
        for symbol in ids:
            click.echo(checkpoint.vocabulary.decode([symbol]), nl=False)
        click.echo()
        return
    text = checkpoint.vocabulary.decode(ids)
    speed = length / (time.perf_counter() - began)
    print_json({"prompt": prompt, "text": text, "seed": used_seed, "symbols_per_second": speed})
