"""Masks with holes, beside the batch of the counted steps that is packed by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .batch import Batch
from .subject import EVERY, Arrays, Subject


def draw_mask(subject: Subject) -> np.ndarray | None:
    """Draw which steps count, [T, N], within the rows' lengths; None if they are all in front."""
    random = np.random.default_rng([subject.plan.seed, 3])
    mask = random.random(subject.batch.x.shape[:2]) < random.choice((0.2, 0.5, 0.9))
    mask &= ~subject.batch.padding()
    in_front = np.arange(len(mask))[:, None] < mask.sum(axis=0)
    return None if np.array_equal(mask, in_front) else mask


def with_resets(subject: Subject, mask: np.ndarray) -> tuple[Batch, np.ndarray | None]:
    """Return the batch, without resets at masked steps if there are two directions, and where they act."""
    batch, rnn = subject.batch, subject.rnn
    if batch.reset is None:
        return batch, None
    if rnn.directions == 2:
        return replace(batch, reset=batch.reset & mask), batch.reset & mask
    acting = np.zeros_like(mask)
    for n in range(batch.rows):
        waiting = False
        for t in range(batch.steps)[:: -1 if rnn.options.reverse else 1]:
            waiting |= bool(batch.reset[t, n]) and not batch.padding()[t, n]
            if mask[t, n]:
                acting[t, n], waiting = waiting, False
    return batch, acting


def packed(batch: Batch, mask: np.ndarray, acting: np.ndarray | None) -> Batch:
    """Return the batch of each row's counted steps."""
    counts = mask.sum(axis=0)

    def take(array: Any) -> Any:
        if array is None:
            return None
        result = np.zeros((counts.max(), *array.shape[1:]), array.dtype)
        for n, count in enumerate(counts):
            result[:count, n] = array[mask[:, n], n]
        return result

    of_steps = batch.context is not None and batch.context.ndim == 3
    return replace(
        batch,
        x=take(batch.x),
        lengths=counts,
        reset=take(acting),
        context=take(batch.context) if of_steps else batch.context,
        targets=take(batch.targets),
        dy=take(batch.dy),
    )


def unpacked(results: Arrays, mask: np.ndarray) -> Arrays:
    """Return the results of the packed batch at the steps of the whole one, zero at masked steps."""

    def put(array: np.ndarray) -> np.ndarray:
        result = np.zeros((*mask.shape, *array.shape[2:]), array.dtype)
        for n, count in enumerate(mask.sum(axis=0)):
            result[mask[:, n], n] = array[:count, n]
        return result

    moved = {"y", "dx"} | ({"dcontext"} if np.ndim(results.get("dcontext")) == 3 else set())
    assert not any(name.startswith(EVERY) for name in moved)  # which are the tape's own, packed
    return {name: put(array) if name in moved else array for name, array in results.items()}
