"""Whole training steps in each precision: embedding, LSTM layers, softmax loss, clipping, Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np

from benchmarks.compare.special.character import Batch, Size, fastrnn_task, make_batch, numpy_task, torch_task
from fastrnn.cli.benchmark.points import Point
from fastrnn.cli.benchmark.task import Task

__all__ = ["SIZES", "step_points"]

#: The character model that ``fastrnn train`` makes by default, a larger one, and a model of 10,002 words.
SIZES = {
    "characters": Size(T=64, N=16, V=65, E=256, H=256, layers=2),
    "characters-large": Size(T=48, N=32, V=65, E=512, H=512, layers=2),
    "words": Size(T=20, N=20, V=10_002, E=200, H=200, layers=2),
    "words-large": Size(T=35, N=32, V=10_002, E=512, H=512, layers=2),
}
#: Of losses and gradient norms over four steps of Adam, which amplifies small differences.
TOLERANCES = {"float32": 1e-3, "bfloat16": 0.05}

TASKS: dict[str, Callable[[Batch, int], Task]] = {
    "fastrnn-float32": fastrnn_task,
    "fastrnn-bfloat16": partial(fastrnn_task, precision="bfloat16"),
    "pytorch-float32": torch_task,
    "pytorch-bfloat16": partial(torch_task, dtype="bfloat16"),
    "pytorch-bfloat16-autocast": partial(torch_task, autocast=True),
}


def step_points(sizes: dict[str, list[int]], libraries: Iterable[str], threads: int) -> Iterator[Point]:
    """Yield the point of each model, from equal parameters and one batch."""
    libraries = set(libraries)
    for model, size in sizes.items():
        batch = make_batch(Size(*size))
        precise = {name: value.astype(np.float64) for name, value in batch.parameters.items()}
        exact = numpy_task(Batch(batch.size, precise, batch.inputs, batch.targets))
        exact.before()
        case = {"model": model, **batch.size._asdict()}
        point = Point("step", case, threads, exact.answer(exact.run()))
        for name, make in TASKS.items():
            library, precision, *_ = name.split("-")
            if library in libraries:
                point.add(name, make(batch, threads), TOLERANCES[precision])
        yield point
