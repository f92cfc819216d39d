"""The losses of a language model: checking a batch, and the losses of its targets and lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastrnn._arrays import NO_TARGET, Array, as_ids, as_lengths
from fastrnn.models.backbone import (
    BackboneModel,
    add_penalties,
    backward_backbone,
    forward_backbone,
    infer,
    output_mask,
)
from fastrnn.models.length_outputs import HaltOutput, LengthOutput, ModelBatch

if TYPE_CHECKING:
    from fastrnn.layers import AdaptiveSoftmax, Head, Softmax, TiedSoftmax

__all__ = ["arrange", "loss_and_gradients", "target_losses", "total"]


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


def target_losses(model: WholeModel, batch: ModelBatch, state: Any) -> tuple[Array, Array, Any]:
    """Compute ``-log p`` of each target [T, N] and of each row's length [N], and the final state."""
    y, state = infer(model, batch.ids, state, batch.lengths, batch.left, batch.context)
    counted = batch.targets != NO_TARGET
    losses = np.zeros(batch.targets.shape, model.dtype)
    rows = _counted(y, counted)
    rows = rows if model.head is None else model.head(rows)
    losses[counted] = model.output.losses(rows, batch.targets[counted])
    of_lengths = np.zeros(batch.targets.shape[1])
    if model.length is not None:
        of_lengths = model.length.losses(y, batch).astype(np.float64)
    return losses, of_lengths, state


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
        rows, tape = model.head.forward(rows)
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
