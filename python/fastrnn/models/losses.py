"""The losses of a language model: checking a batch, and the losses of its targets and lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fastrnn._arrays import NO_TARGET, Array, as_ids, as_lengths
from fastrnn._memory import FEWER_TOKENS, named_memory
from fastrnn.models.backbone import infer
from fastrnn.models.length_outputs import HaltOutput, LengthOutput, ModelBatch

if TYPE_CHECKING:
    from fastrnn.layers import AdaptiveSoftmax, Softmax, TiedSoftmax
    from fastrnn.models.backbone import BackboneModel

    Output: TypeAlias = Softmax | TiedSoftmax | AdaptiveSoftmax

__all__ = ["arrange", "output_gradients", "target_losses", "total"]


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
def target_losses(
    model: BackboneModel, output: Output, batch: ModelBatch, state: Any
) -> tuple[Array, Array, Any]:
    """Compute ``-log p`` of each target [T, N] and of each row's length [N], and the final state."""
    y, state = infer(model, batch.ids, state, batch.lengths, batch.left)
    counted = batch.targets != NO_TARGET
    losses = np.zeros(batch.targets.shape, model.dtype)
    losses[counted] = output.losses(_counted(y, counted), batch.targets[counted])
    of_lengths = np.zeros(batch.targets.shape[1])
    if model.length is not None:
        of_lengths = model.length.losses(y, batch).astype(np.float64)
    return losses, of_lengths, state


@named_memory("dh", FEWER_TOKENS)
def output_gradients(
    output: Output,
    h: Array,
    batch: ModelBatch,
    scale: float,
    smoothing: float,
) -> tuple[Array, Array]:
    """Compute the losses of the counted targets and the gradient of h; add into the output's gradients."""
    counted = batch.targets != NO_TARGET
    rows = _counted(h, counted)
    losses, drows = output.losses_and_gradients(
        rows, batch.targets[counted], scale=scale, smoothing=smoothing
    )
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
