"""What must be equal on all ranks of a training, and fit its shards, before it starts."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.train.distributed.ranks import OneProcess, Ranks
from fastrnn.train.distributed.shards import divisors

if TYPE_CHECKING:
    from fastrnn.data.batching import TrainingData
    from fastrnn.layers.base.module import Module

__all__ = ["as_ranks", "check_agreement", "check_options", "check_shards", "digest"]

_ONE = OneProcess()


def as_ranks(ranks: Ranks | None) -> Ranks:
    """Return the ranks, one process for None.

    Raises
    ------
    TypeError
        If they are something else.
    """
    if ranks is None:
        return _ONE
    if not isinstance(ranks, Ranks):
        raise TypeError(
            f"ranks: expected those of fastrnn.train.distributed.start() or None, got {type(ranks).__name__}"
        )
    return ranks


def digest(*arrays: Any) -> str:
    """Return a hash of arrays: their shapes, dtypes and bytes."""
    found = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(array.data if array.size else b"")
    return found.hexdigest()


def check_shards(data: TrainingData, ranks: Ranks) -> None:
    """Check that batches can be split into shards, those of a text into equal ones.

    Raises
    ------
    ValueError, TypeError
        If not; the message has the numbers that do.
    """
    if ranks.shards == 1:
        return
    if not hasattr(data, "part"):
        kinds = "ChunkedText, SentenceBatches or ExampleBatches"
        raise TypeError(f"data: expected {kinds} for {ranks.shards} shards, got {type(data).__name__}")
    rows: int = getattr(data, "batch_size", ranks.shards)
    if rows % ranks.shards:
        fitting = map(str, divisors(rows))
        raise ValueError(
            f"batch_size: {rows} rows cannot be split into {ranks.shards} equal shards; "
            f"write batch_size={-(-rows // ranks.shards) * ranks.shards}, or use {', '.join(fitting)} shards"
        )


def check_agreement(model: Module, data: TrainingData, random: Any, ranks: Ranks) -> None:
    """Check that all ranks have the same parameters, random numbers and data. Collective.

    Raises
    ------
    ValueError
        On every rank, if one has others; the message says which.
    """
    if ranks.size == 1:
        return
    write = "; pass the same seed on all ranks"
    ranks.check_same(f"model: parameters{write}", (len(model.parameters.flat), digest(model.parameters.flat)))
    ranks.check_same(f"model: random numbers{write}", random)
    order = getattr(data, "order", None)
    ranks.check_same(f"data: order of the batches{write}", (len(data), data.tokens, order))
    first = data.part(0, slice(0, 1))
    end = data.rows_of(len(data) - 1)
    last = data.part(len(data) - 1, slice(end - 1, end))  # of a long text nothing else is read
    edges = digest(first.inputs, first.targets, last.inputs, last.targets)
    ranks.check_same("data: first and last rows", edges)


def check_options(trainer: Any) -> None:
    """Check that the trainers of all ranks have the same options, which decide what they do next. Collective.

    A rank without the validation of the others would make a step while they wait for its share.

    Parameters
    ----------
    trainer : Trainer

    Raises
    ------
    ValueError
        On every rank, if one has others; the message names the option.
    """
    if trainer.ranks.size == 1:
        return
    frozen = [sorted(module.frozen) for module in trainer.optimizer.modules]
    options = {
        "frozen parameters": frozen,
        **{name: getattr(trainer, name) for name in ("optimizer", "schedule", "clip_norm", "clip_value")},
        **{name: getattr(trainer, name) for name in ("validation", "average")},
        "diagnose_every": trainer._diagnose_every,
        **trainer._options._asdict(),
    }
    for name, value in options.items():
        shown = re.sub(r" at 0x[0-9a-f]+", "", repr(value))
        trainer.ranks.check_same(name, shown)
