"""The memory that a training needs, against what the machine has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastrnn._memory import available_memory
from fastrnn.layers.recurrent.options import CELLS

if TYPE_CHECKING:
    from fastrnn.cli.settings import TrainingSettings

__all__ = ["check_training_memory", "describe_bytes", "smaller", "training_memory"]

_FLOAT = 4  # bytes
_MOMENTS = {"sgd": 1, "rmsprop": 1, "adam": 2, "adamw": 2}


def training_memory(
    settings: TrainingSettings, shapes: Mapping[str, tuple[int, ...]], largest_batch: int
) -> int:
    """Estimate the memory that the arrays of a training take, in bytes.

    Of parameters, there are the gradients, the optimizer's moments, an average, packed copies for both
    passes, and three times what a checkpoint holds while it is written. Of the largest batch, there is what
    backpropagation keeps of each layer.

    Parameters
    ----------
    settings : TrainingSettings
    shapes : mapping of str to tuple of int
        Of the model's parameters.
    largest_batch : int
        Steps times rows.
    """
    moments = _MOMENTS[settings.optimizer] if settings.momentum or settings.optimizer != "sgd" else 0
    averages = 0 if settings.average == "none" else 1
    saved = 1 + moments + averages
    copies = 2 + moments + 2 * averages + 2 + 3 * saved
    parameters = sum(map(math.prod, shapes.values()))
    gates = {cell.name: cell.gates for cell in CELLS.values()}[settings.cell]
    per_step = settings.num_layers * settings.hidden_size * (gates + 6) + 2 * (settings.embedding_width or 0)
    return _FLOAT * (copies * parameters + largest_batch * (per_step + 16))


def check_training_memory(
    settings: TrainingSettings,
    needed: int,
    largest_batch: int,
    parameters: int,
    symbols: int,
    processes: int = 1,
) -> None:
    """Refuse a training that needs more memory than there is, before anything is allocated.

    Parameters
    ----------
    settings : TrainingSettings
    needed : int
        Bytes, of a process.
    largest_batch, parameters, symbols : int
        What needs it.
    processes : int, default 1
        Those that train on this machine.

    Raises
    ------
    MemoryError
        With what would need less.
    """
    available = available_memory()
    if available is None or needed * processes <= available:
        return
    wanted = describe_bytes(needed) + (f" for each of {processes} processes" if processes > 1 else "")
    raise MemoryError(
        f"training needs about {wanted}, and {describe_bytes(available)} are available: "
        f"{parameters:,} parameters for {symbols:,} distinct symbols, and batches of up to {largest_batch:,} "
        f"tokens; {smaller(settings)}; --force trains all the same"
    )


def smaller(settings: TrainingSettings) -> str:
    """Return which options would need less memory."""
    length = "--longest-line" if settings.sentences else "--seq-length"
    return (
        "--max-types N keeps the N most frequent symbols, and a smaller --hidden-size, --batch-size or "
        f"{length} needs less too"
    )


def describe_bytes(count: float) -> str:
    """Return a number of bytes as people write it: ``12.9 GB``."""
    for unit in ("kB", "MB"):
        count /= 1000.0
        if count < 1000.0:
            return f"{count:.3g} {unit}"
    return f"{count / 1000.0:,.1f} GB"
