"""The network of transcribers: frames joined, layers that read them, the CTC loss of a text."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array, Ids
from fastrnn._dispatch import kernels
from fastrnn.layers import Linear
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.random import rows_generator
from fastrnn.models.augmentation import Augmentation
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.base.examples import steps_inside

__all__ = ["BLANK", "TranscriberBatch", "TranscriberNetwork", "check_frames", "join_frames"]

BLANK = 0  # the id of CTC's blank; symbols follow


class TranscriberBatch(NamedTuple):
    """A batch of sequences with a text each.

    Attributes
    ----------
    x : ndarray, int64 [T, N] or float [T, N, D]
    lengths : ndarray, int64 [N]
    targets : ndarray, int64 [sum of target_lengths]
        The ids of all texts, one after the other.
    target_lengths : ndarray, int64 [N]
    """

    x: Array
    lengths: Ids
    targets: Ids
    target_lengths: Ids

    @property
    def weight(self) -> float:
        """The number of symbols; an empty text counts as one."""
        return float(np.maximum(self.target_lengths, 1).sum())


class TranscriberNetwork(ModuleGroup):
    """Read frames, and compute logits of the blank and of K symbols at each.

    Parameters
    ----------
    encoder : SequenceEncoder
        Reads ``stack_frames * D`` features, or ids.
    symbols : int
        K.
    stack_frames : int
        How many neighbouring frames are joined into one.
    augmentation : Augmentation
        Applied to features in training.
    rng : numpy.random.Generator

    Attributes
    ----------
    output : Linear
        To ``1 + K`` logits; the blank is the first.
    """

    stack_frames: int
    augmentation: Augmentation
    rng: np.random.Generator

    encoder: SequenceEncoder
    output: Linear

    def __init__(
        self,
        encoder: SequenceEncoder,
        symbols: int,
        *,
        stack_frames: int,
        augmentation: Augmentation,
        rng: np.random.Generator,
    ) -> None:
        output = Linear(encoder.output_size, 1 + symbols, dtype=encoder.dtype, seed=rng)
        super().__init__(encoder=encoder, output=output)
        self.stack_frames, self.augmentation, self.rng = stack_frames, augmentation, rng

    def __call__(self, x: Array, lengths: Ids) -> tuple[Array, Ids]:
        """Return the logits [T', N, 1 + K] and the lengths, int64 [N], after joining; no dropout."""
        joined, frames = join_frames(x, lengths, self.stack_frames)
        y, _ = self.encoder(joined, frames)
        return self.output(y), frames

    def loss(self, batch: TranscriberBatch) -> float:
        """Return the loss of a batch in nats a symbol, without dropout and augmentation."""
        z, frames = self(batch.x, batch.lengths)
        losses, _ = self._losses(z, frames, batch, 1.0)
        return float(losses.sum(dtype=np.float64)) / batch.weight

    def loss_and_gradients(self, batch: TranscriberBatch, scale: float = 1.0) -> float:
        """Return the loss in training, in nats a symbol, and add `scale` times its gradients."""
        x = batch.x
        if x.ndim == 3 and self.augmentation.changes:
            x = self.augmentation(x, batch.lengths, rows_generator(self.rng))
        joined, frames = join_frames(x, batch.lengths, self.stack_frames)
        y, _, tape = self.encoder.forward(joined, frames)
        z, output_tape = self.output.forward(y)
        losses, dz = self._losses(z, frames, batch, scale / batch.weight)
        self.encoder.backward(tape, self.output.backward(output_tape, dz))
        return float(losses.sum(dtype=np.float64)) / batch.weight

    def _losses(self, z: Array, frames: Ids, batch: TranscriberBatch, scale: float) -> tuple[Array, Array]:
        """Return the loss of each row in nats, and `scale` times the gradient of their sum."""
        scales = np.full(len(frames), scale, z.dtype)
        losses, dz = kernels.ctc_loss(z, batch.targets, batch.target_lengths, frames, BLANK, False, scales)
        return losses, dz


def join_frames(x: Array, lengths: Ids, count: int) -> tuple[Array, Ids]:
    """Join neighbouring frames: those from ``count * t`` to ``count * t + count - 1`` become frame t.

    Parameters
    ----------
    x : ndarray, float [T, N, D]
        Whatever lies after the end of a row is read as 0.
    lengths : ndarray, int64 [N]
    count : int

    Returns
    -------
    joined : ndarray, float [ceil(T / count), N, count * D]
    lengths : ndarray, int64 [N]

    Examples
    --------
    >>> import numpy as np
    >>> joined, lengths = join_frames(np.array([[[1.0]], [[2.0]], [[3.0]]]), np.array([3]), 2)
    >>> joined.tolist(), lengths.tolist()
    ([[[1.0, 2.0]], [[3.0, 0.0]]], [2])
    """
    if count == 1:
        return x, lengths
    steps, rows, width = x.shape
    after = _frames_after(steps, count)
    wide = np.zeros((after * count, rows, width), x.dtype)
    inside = steps_inside(steps, lengths)[:, :, None]
    np.copyto(wide[:steps], x, where=inside)
    joined = wide.reshape(after, count, rows, width).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(joined.reshape(after, rows, count * width)), _frames_after(lengths, count)


def check_frames(row: int, ids: Ids, steps: int, count: int) -> None:
    """Check that a text's symbols have a frame each, and one for a blank between two equal ones.

    Parameters
    ----------
    row : int
    ids : ndarray, int64 [L]
    steps : int
        Frames, before `count` of them are joined.
    count : int

    Raises
    ------
    ValueError
        If not; the message names the row and the frames.

    Examples
    --------
    >>> import numpy as np
    >>> check_frames(2, np.array([5, 5]), 4, 2)
    Traceback (most recent call last):
    ValueError: y[2]: 2 symbols need 3 frames (1 between equals), but X[2] has 2: 4, joined by stack_frames=2
    """
    frames, between = _frames_after(steps, count), int((ids[1:] == ids[:-1]).sum())
    if len(ids) + between > frames:
        repeats = f" ({between} between equals)" if between else ""
        joined = f": {steps}, joined by stack_frames={count}" if count > 1 else ""
        raise ValueError(
            f"y[{row}]: {len(ids)} symbols need {len(ids) + between} frames{repeats}, but X[{row}] has "
            f"{frames}{joined}"
        )


def _frames_after(frames: Any, count: int) -> Any:
    """Return how many frames are left after `count` neighbours are joined; the last may be incomplete."""
    return -(-frames // count)
