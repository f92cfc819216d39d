"""Fit the cost model of a data-parallel step, check it against measured steps, and simulate 1 to 1,024 ranks.

    python -m benchmarks.distributed_model       reads what distributed_reduction and distributed_steps wrote

step(K) = compute(rows of a rank) + latency * messages(K) + seconds a byte * bytes(K). The computation is that
of one process of one thread, measured with several numbers of rows; the costs are fitted to the reductions
that were measured in shared memory. On a network its published latency and time a byte are added.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.run import RESULTS, origin, save
from benchmarks.compare.tables import markdown
from benchmarks.distributed.cost import REDUCTIONS, Fit, break_even, bytes_sent, compute_seconds
from benchmarks.distributed.networks import NETWORKS, Network
from benchmarks.distributed.picture import draw
from benchmarks.distributed.simulation import (
    RANKS,
    Measured,
    efficiencies,
    fastest,
    largest_efficient,
    measured_models,
    step_seconds,
)

MODULE = "benchmarks.distributed_model"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "distributed-model.png"
BATCH = 1024  # rows of all ranks together, in strong scaling
OVERLAPPED = ("25 Gbit Ethernet, RDMA", "100 Gbit Ethernet, RDMA")
SHOWN = ("characters", "words")
CONTENDERS = {"ordered": "2 x 1", "fastest": "2 x 1 fastest", "bfloat16": "2 x 1 bfloat16"}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.split("\n")[0])
    parser.add_argument("--reductions", type=Path, default=RESULTS / "distributed-reduction.json")
    parser.add_argument("--steps", type=Path, default=RESULTS / "distributed-steps.json")
    parser.add_argument("--out", type=Path, default=RESULTS / "distributed-model.json")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    return parser.parse_args(arguments)


def checks(models: dict[str, Measured], fits: dict[str, Fit]) -> Iterator[dict[str, Any]]:
    """Yield what the model says and what was measured of one and two processes of one thread."""
    for name, model in models.items():
        measured, predicted = model.contenders["1 x 1"], compute_seconds(model.steps, model.rows)
        yield check(name, 1, "-", measured, predicted)
        for reduction, contender in CONTENDERS.items():
            predicted = step_seconds(model, model.rows / 2, 2, reduction, fits[reduction])
            yield check(name, 2, reduction, model.contenders[contender], predicted)


def check(name: str, ranks: int, reduction: str, measured: float, predicted: float) -> dict[str, Any]:
    """Return one comparison."""
    result: dict[str, Any] = {"model": name, "ranks": ranks, "reduction": reduction}
    return result | {"measured": measured, "predicted": predicted, "error": predicted / measured - 1}


def simulate(model: Measured, fits: dict[str, Fit]) -> dict[str, Any]:
    """Return efficiencies by kind of scaling, network and reduction."""

    def of_network(network: Network, rows: int, *, strong: bool) -> dict[str, list[float]]:
        return {
            reduction: efficiencies(model, rows, reduction, fits[reduction], network, strong=strong)
            for reduction in REDUCTIONS
        }

    return {
        kind: {name: of_network(network, rows, strong=kind == "strong") for name, network in NETWORKS.items()}
        for kind, rows in (("strong", BATCH), ("weak", model.rows))
    }


def most_hidden(point: dict[str, Any], model: Measured, fit: Fit) -> Iterator[dict[str, Any]]:
    """Yield the most that sending the output's gradients during the backward pass below it could save.

    It is their time on the wire, as a fraction of a step; each rank has as many rows as were measured.
    """
    parameters = point["V"] * (point["H"] + 1)
    for name in OVERLAPPED:
        for ranks in (2, 16):
            hidden = bytes_sent("ordered", ranks, parameters) / NETWORKS[name].bandwidth
            step = step_seconds(model, model.rows, ranks, "ordered", fit, NETWORKS[name])
            yield {"model": point["model"], "network": name, "ranks": ranks, "fraction": hidden / step}


def document(result: dict[str, Any]) -> str:
    """Return the tables: fitted costs, the check, and where more ranks stop paying."""
    fits = {name: Fit(**fit) for name, fit in result["fit"].items()}
    costs = [
        [name, f"{1e6 * fit.latency:.1f}", f"{1e9 * fit.per_byte:.2f}", f"{100 * fit.error:.0f} %"]
        for name, fit in fits.items()
    ]
    compared = ["model", "1 process", *(f"2, {reduction}" for reduction in CONTENDERS)]
    limits = ["model", "network", "its batch: fastest with K", f"{BATCH:,} rows: fastest with K"]
    limits += ["over 50 % efficient up to K", f"own rows: speed of a rank of {RANKS[-1]:,}", "with bfloat16"]
    pays = 8e-9 * break_even(fits["ordered"], fits["bfloat16"])
    return "\n\n".join(
        [
            markdown(["reduction", "us a message", "ns a byte", "median error"], costs),
            markdown(compared, list(compared_rows(result["checks"]))),
            markdown(limits, list(rows(result["simulated"], result["own batch"]))),
            "\n".join(
                f"{one['network']}, {one['ranks']} ranks: the output of {one['model']} takes "
                f"{100 * one['fraction']:.1f} % of a step on the wire"
                for one in result["hidden"]
            ),
            f"bfloat16 on the wire pays on networks slower than {pays:.1f} Gbit/s",
        ]
    )


def compared_rows(checks: list[dict[str, Any]]) -> Iterator[list[str]]:
    """Yield a row for each model: measured and predicted milliseconds, and the error."""
    for model in dict.fromkeys(one["model"] for one in checks):
        yield [model] + [
            f"{1e3 * one['measured']:.2f} / {1e3 * one['predicted']:.2f} ({100 * one['error']:+.0f} %)"
            for one in checks
            if one["model"] == model
        ]


def rows(simulated: dict[str, Any], own_batch: dict[str, Any]) -> Iterator[list[str]]:
    """Yield a row for each model and network, of the ordered reduction but for the last cell."""
    for name, kinds in simulated.items():
        for network, reductions in kinds["strong"].items():
            strong, weak = reductions["ordered"], kinds["weak"][network]
            speeds = {ranks: ranks * value for ranks, value in zip(RANKS, strong, strict=True)}
            best = max(speeds, key=speeds.__getitem__)
            ranks, speed = own_batch[name][network]
            yield [
                *(name, network, f"{ranks} ({speed:.1f}x)", f"{best:,} ({speeds[best]:.0f}x)"),
                f"{largest_efficient(strong):,}",
                *(f"{100 * weak[reduction][-1]:.0f} %" for reduction in ("ordered", "bfloat16")),
            ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read, fit, check, simulate; save, draw and print."""
    options = parse(arguments)
    reductions, steps = (json.loads(path.read_text()) for path in (options.reductions, options.steps))
    fits = {name: Fit(**fit) for name, fit in reductions["fit"].items()}
    models = measured_models(steps["points"])
    result = {**origin("fastrnn-distributed-model 1", MODULE), "machine": steps["machine"]}
    result |= {"fit": reductions["fit"], "checks": list(checks(models, fits)), "ranks": RANKS}
    result["networks"] = {name: network._asdict() for name, network in NETWORKS.items()}
    result["simulated"] = {name: simulate(models[name], fits) for name in SHOWN if name in models}
    result["own batch"] = {
        name: {
            key: fastest(models[name], "ordered", fits["ordered"], network)
            for key, network in NETWORKS.items()
        }
        for name in result["simulated"]
    }
    result["hidden"] = [
        row
        for point in steps["points"]
        if point["model"] == "words"
        for row in most_hidden(point, models["words"], fits["ordered"])
    ]
    save(result, options.out)
    draw(result["simulated"], BATCH, options.picture)
    print(f"{document(result)}\n\nsaved {options.out} and {options.picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
