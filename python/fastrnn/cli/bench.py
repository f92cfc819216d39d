"""The command ``fastrnn bench``: measure this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from fastrnn.cli.benchmark.cases import CELLS, MODES, Shape
from fastrnn.cli.benchmark.peers import PEERS
from fastrnn.cli.benchmark.process import run_in_process
from fastrnn.cli.benchmark.timing import geometric_mean, ratio
from fastrnn.cli.benchmark.verify import Disagreement
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.standard_streams import show

__all__ = ["command"]

# One step, one sequence, a character model, a large batch; the suite in benchmarks/ has more.
_SHAPES = (Shape(1, 1, 64, 128), Shape(100, 1, 40, 128), Shape(20, 20, 200, 200, 2), Shape(64, 64, 256, 256))
_FORM = "T,N,D,H[,layers]"
_ROUNDS = 9
F = TypeVar("F", bound=Callable[..., Any])


def _parse_shapes(context: click.Context, option: click.Parameter, values: Sequence[str]) -> list[Shape]:
    shapes = []
    for value in values:
        try:
            shape = Shape(*map(int, value.split(",")))
        except (TypeError, ValueError):
            shape = Shape(0, 0, 0, 0)
        if min(shape) < 1:
            raise click.BadParameter(
                f"expected {_FORM}, integers of at least 1, got {value!r}", context, option
            )
        shapes.append(shape)
    return shapes


def _choices(
    name: str, values: Iterable[str], defaults: Iterable[str], text: str, **options: Any
) -> Callable[[F], F]:
    return click.option(
        f"--{name}",
        f"{name}s",
        type=click.Choice(list(values)),
        multiple=True,
        default=list(defaults),
        help=f"{text} May be given several times.",
        **{"show_default": True, **options},
    )


@click.command(name="bench")
@_choices("cell", CELLS, CELLS, "Recurrent cell.")
@_choices("mode", MODES, MODES, "Work to time.")
@_choices(
    "peer",
    PEERS,
    [name for name in PEERS if name != "pytorch-bf16"],
    f"Library to measure: {', '.join(PEERS)}.",
    metavar="NAME",
    show_default="all but pytorch-bf16",
)
@click.option(
    "--shape",
    "shapes",
    metavar=_FORM,
    callback=_parse_shapes,
    multiple=True,
    default=[str(shape) for shape in _SHAPES],
    show_default=True,
    help="Steps, sequences, input width, hidden width, layers. May be given several times.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads and CPUs of each peer.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.0),
    default=0.3,
    show_default=True,
    help="Time limit for each peer and case; five rounds are run in any case.",
)
@json_option
def command(
    cells: Sequence[str],
    modes: Sequence[str],
    peers: Sequence[str],
    shapes: Sequence[Shape],
    threads: int,
    seconds: float,
    as_json: bool,
) -> None:
    """Benchmark fastrnn on this machine against the NumPy reference and the installed peers.

    Every result is compared with the reference before timing; a difference ends the run. The peers take
    turns. Peers that are not installed are listed.
    """
    cases = [(cell, mode, shape) for shape in shapes for mode in modes for cell in cells]
    peers = ["fastrnn", *(name for name in peers if name != "fastrnn")]
    job = {"cases": cases, "peers": peers, "threads": threads, "clock": [_ROUNDS, seconds]}
    results = run_in_process("fastrnn.cli.benchmark.worker", job)
    try:
        start = next(results)
        if as_json:
            print_json({**start, "threads": threads, "points": list(results)})
        else:
            _print_table(start, threads, results)
    except (Disagreement, RuntimeError) as error:
        raise click.ClickException(str(error)) from error


def _print_table(start: dict[str, Any], threads: int, results: Iterable[dict[str, Any]]) -> None:
    machine, names = start["machine"], start["peers"]
    show(
        f"fastrnn {machine['fastrnn']} ({machine['isa']}), {machine['cpu']}, "
        f"{threads} thread{'s' if threads > 1 else ''}.\n"
        "Median time in microseconds; in brackets, as a multiple of fastrnn's."
    )
    for name, reason in start["missing"].items():
        show(f"not measured: {PEERS[name].title}: {reason}")
    show(f"{'T,N,D,H,layers':<28}" + "".join(f"{PEERS[name].title:>22}" for name in names))
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for point in results:
        found = point["peers"]
        case = point["case"]
        label = f"{case['cell']} {case['mode']} {Shape(*(case[key] for key in Shape._fields))}"
        line = f"{label:<28}"
        for name in names:
            if name not in found:
                line += f"{point['unsupported'][name]:>22}"
                continue
            ratios[name].append(ratio(found[name], found["fastrnn"]))
            times = "" if name == "fastrnn" else f" ({_multiple(ratios[name][-1])})"
            line += f"{found[name]['median_us']:,.1f}{times}".rjust(22)
        show(line)
    means = ["" if name == "fastrnn" else f"({_multiple(geometric_mean(ratios[name]))})" for name in names]
    show(f"{'geometric mean':<28}" + "".join(mean.rjust(22) for mean in means))


def _multiple(times: float) -> str:
    return f"{times:.2f}x" if times < 1 else f"{times:.1f}x"
