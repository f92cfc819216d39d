"""The losses of a language model: checking a batch, and the losses of its targets and lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastrnn._arrays import NO_TARGET, Array, Ids, as_ids, as_lengths
from fastrnn._foreign import of_others
from fastrnn._memory import FEWER_TOKENS, named_memory
from fastrnn.language.backbone import (
    BackboneModel,
    add_penalties,
    backward_backbone,
    forward_backbone,
    infer,
    output_mask,
)
from fastrnn.language.length_outputs import HaltOutput, LengthOutput, ModelBatch
from fastrnn.layers.base.precision import check_trainable

if TYPE_CHECKING:
    from fastrnn.layers import AdaptiveSoftmax, Head, Softmax, TiedSoftmax

__all__ = ["arrange", "loss_and_gradients", "select_rows", "target_losses", "total"]


# Steps times rows of a batch that are computed at a time where no gradient is wanted.
_LARGEST_PART = 1 << 16


class WholeModel(BackboneModel, Protocol):
    """The parts of a `LanguageModel`, those after its layers included."""

    head: Head | None
    output: Softmax | TiedSoftmax | AdaptiveSoftmax


def arrange(length: HaltOutput | LengthOutput | None, inputs: Any, targets: Any, lengths: Any) -> ModelBatch:
    """Return a checked batch, with the extra step of a length model."""
    ids = as_ids("inputs", inputs, ("T", "N"))
    wanted = as_ids("targets", targets, ids.shape)
    ends = as_lengths(lengths, *ids.shape)
    counted = wanted != NO_TARGET
    if ends is not None and (counted & (np.arange(len(ids))[:, None] >= ends)).any():
        raise ValueError(f"targets: expected {NO_TARGET} after a row's end, got another")
    symbols = np.count_nonzero(counted, axis=0)
    if not symbols.sum():
        raise ValueError(f"targets: expected at least one that is not {NO_TARGET}, got none")
    batch = ModelBatch(ids, wanted, ends, symbols)
    if length is None:
        return batch
    if (symbols != (len(ids) if ends is None else ends)).any():
        kind = "halt" if isinstance(length, HaltOutput) else "tau"
        raise ValueError(f"targets: expected one for every step, as length_model={kind!r}")
    return length.add_step(batch)


@named_memory("losses", FEWER_TOKENS)
def target_losses(model: WholeModel, batch: ModelBatch, state: Any) -> tuple[Array, Array, Any]:
    """Compute ``-log p`` of each target [T, N] and of each row's length [N], and the final state.

    A long batch is computed in parts of its steps, which carry the state: memory for the layers' outputs is
    bounded, and the bits are the same.
    """
    T, N = batch.ids.shape
    losses = np.zeros((T, N), model.dtype)
    of_lengths = np.zeros(N)
    steps = max(1, _LARGEST_PART // N)
    for first in range(0, T, steps):
        part, rows = slice(first, first + steps), _rows_after(batch.lengths, first)
        own = _part_of(batch, part, rows)
        y, after = infer(model, own.ids, select_rows(state, rows), own.lengths, own.left, own.context)
        state = after if rows is None else replace_rows(state, rows, after)
        counted = own.targets != NO_TARGET
        found = np.zeros(own.targets.shape, model.dtype)
        if counted.any():
            h = _counted(y, counted)
            h = h if model.head is None else model.head(h)
            found[counted] = model.output.losses(h, own.targets[counted])
        columns = slice(None) if rows is None else rows
        losses[part, columns] = found
        if isinstance(model.length, HaltOutput):
            decisions = model.length.losses_by_step(y, batch.symbols[columns], first)
            before = of_lengths[None, columns]
            of_lengths[columns] = np.add.accumulate(np.concatenate([before, decisions]), axis=0)[-1]
        elif model.length is not None and first == 0:  # the length is predicted before all symbols
            of_lengths = model.length.losses(y, batch).astype(np.float64)
    return losses, of_lengths, state


def _rows_after(lengths: Ids | None, first: int) -> Ids | None:
    """Return the rows that have a step ``first``; None for all."""
    if lengths is None or first == 0 or (lengths > first).all():
        return None
    return np.flatnonzero(lengths > first)


def _part_of(batch: ModelBatch, part: slice, rows: Ids | None) -> ModelBatch:
    """Return some steps of some rows of a batch."""
    if rows is None and part.start == 0 and part.stop >= len(batch.ids):
        return batch
    columns = slice(None) if rows is None else rows
    ids = np.ascontiguousarray(batch.ids[part, columns])
    lengths = None
    if batch.lengths is not None:
        left = batch.lengths[columns] - part.start
        lengths = None if (left >= len(ids)).all() else np.minimum(left, len(ids))
    return batch._replace(
        ids=ids,
        targets=np.ascontiguousarray(batch.targets[part, columns]),
        lengths=lengths,
        left=None if batch.left is None else np.ascontiguousarray(batch.left[part, columns]),
        context=_part_of_context(batch.context, part, columns),
    )


def _part_of_context(context: Any, part: slice, columns: Any) -> Any:
    """Return the context of some steps of some rows: one for all steps, [N, C], or one of each."""
    if context is None:
        return None
    array = np.asarray(of_others("context", context))
    return np.ascontiguousarray(array[columns] if array.ndim == 2 else array[part][:, columns])


def select_rows(state: Any, rows: Any) -> Any:
    """Return the state of some rows of a batch; all for None."""
    if rows is None or state is None:
        return state
    if isinstance(state, tuple):
        return tuple(select_rows(part, rows) for part in state)
    return np.ascontiguousarray(state[:, rows])


def replace_rows(state: Any, rows: Ids, new: Any) -> Any:
    """Put the state of some rows into that of a batch, in place, and return it."""
    if isinstance(state, tuple):
        return tuple(replace_rows(part, rows, own) for part, own in zip(state, new, strict=True))
    state[:, rows] = new
    return state


def loss_and_gradients(
    model: WholeModel,
    batch: ModelBatch,
    state: Any,
    *,
    scale: float,
    smoothing: float,
    checkpoint_every: int | None,
    dcontext: Array | None,
) -> tuple[float, Any, Any]:
    """Return the loss, the last state and the gradient of the first; add into all other gradients."""
    check_trainable(model)  # before dropout is drawn
    count = int(batch.symbols.sum())
    tape = forward_backbone(model, batch, state, checkpoint_every)
    y, mask = tape.y, output_mask(model, tape.y)
    h = y if mask is None else y * mask
    losses, dh = output_gradients(model, h, batch, scale / count, smoothing)
    of_lengths = None
    if model.length is not None:
        of_lengths = model.length.losses_and_gradients(h, batch, scale / count, dh)
    dy = add_penalties(model._settings, batch, (y, h), mask, dh, scale)
    dstate = backward_backbone(model, tape, dy, dcontext)
    return (total(losses) + total(of_lengths)) / count, tape.state, dstate


@named_memory("dh", FEWER_TOKENS)
def output_gradients(
    model: WholeModel,
    h: Array,
    batch: ModelBatch,
    scale: float,
    smoothing: float,
) -> tuple[Array, Array]:
    """Compute the losses of the counted targets and the gradient of h; add into the outputs' gradients."""
    counted = batch.targets != NO_TARGET
    rows = _counted(h, counted)
    tape = None
    if model.head is not None:
        rows, tape = model.head._forward(rows, counted)
    losses, drows = model.output.losses_and_gradients(
        rows, batch.targets[counted], scale=scale, smoothing=smoothing
    )
    if model.head is not None:
        assert tape is not None
        below = model.head.backward(tape, drows)
        assert below is not None
        drows = below
    if counted.all():
        return losses, drows.reshape(h.shape)
    dh = np.zeros_like(h)
    dh[counted] = drows
    return losses, dh


def total(losses: Array | None) -> float:
    """Compute the sum of losses in float64; 0 for None."""
    return 0.0 if losses is None else float(losses.sum(dtype=np.float64))


def _counted(y: Array, counted: Array) -> Array:
    """Return the rows of y that have a target, [M, K]."""
    return y.reshape(-1, y.shape[-1]) if counted.all() else y[counted]
