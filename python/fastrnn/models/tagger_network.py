"""The network of sequence taggers: layers that read words and their characters, an output at each step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.data import pad_batch
from fastrnn.layers import CRF, Linear, Module
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.base.row_losses import row_losses, sigmoid, softmax
from fastrnn.models.word_characters import WordBatch, WordCharacters

__all__ = ["LOSSES", "TaggedBatch", "TaggerNetwork"]

LOSSES = ("softmax", "sigmoid", "crf")


class TaggedBatch(NamedTuple):
    """A batch of sequences with targets at their steps.

    Attributes
    ----------
    x : ndarray, int64 [T, N] or float [T, N, D]
    lengths : ndarray, int64 [N]
    words : WordBatch or None
    targets : ndarray
        Indices of tags, int64 [T, N]; for "sigmoid" 0 and 1, float [T, N, K]. -1 where none is known.
    weights : ndarray, float64 [T, N]
        0 where no target is known.
    """

    x: Array
    lengths: Ids
    words: WordBatch | None
    targets: Array
    weights: Array

    @property
    def weight(self) -> float:
        """The sum of the weights."""
        return float(self.weights.sum())


class TaggerNetwork(ModuleGroup):
    """Read a sequence, and map the outputs at each step to K tags.

    Parameters
    ----------
    encoder : SequenceEncoder
    outputs : int
        K.
    loss : {"softmax", "sigmoid", "crf"}
        The cross-entropy of one tag a step, of K questions a step, or of the tags of the whole sequence.
    characters : WordCharacters, optional
        Its vectors are joined to those of the words.
    allowed : array_like, bool [K + 1, K + 1], optional
        For "crf", which tag may follow which.
    pos_weight : ndarray, float64 [K], optional
        For "sigmoid", the weight of each yes.
    rng : numpy.random.Generator

    Attributes
    ----------
    characters : WordCharacters or None
    output : Linear
        Its outputs are logits; for "crf" they are emissions.
    crf : CRF or None
    """

    loss_kind: str
    rng: np.random.Generator

    encoder: SequenceEncoder
    characters: WordCharacters | None
    output: Linear
    crf: CRF | None

    def __init__(
        self,
        encoder: SequenceEncoder,
        outputs: int,
        *,
        loss: str,
        characters: WordCharacters | None = None,
        allowed: NDArray[np.bool_] | None = None,
        pos_weight: NDArray[np.float64] | None = None,
        rng: np.random.Generator,
    ) -> None:
        parts: dict[str, Module] = {"encoder": encoder}
        self.characters, self.crf = None, None
        if characters is not None:
            parts["characters"] = characters
        parts["output"] = Linear(encoder.output_size, outputs, dtype=encoder.dtype, seed=rng)
        if loss == "crf":
            parts["crf"] = CRF(outputs, allowed=allowed, dtype=encoder.dtype, seed=rng)
        super().__init__(**parts)
        self.loss_kind, self.rng = loss, rng
        self._pos_weight = None if pos_weight is None else pos_weight.astype(encoder.dtype)

    def __call__(self, x: Array, lengths: Ids, words: WordBatch | None = None) -> Array:
        """Return the logits, or the emissions, [T, N, K]."""
        joined = None
        if self.characters is not None:
            assert words is not None
            joined = self.characters(words)
        return self.output(self.encoder(x, lengths, joined)[0])

    def choose(self, z: Array, lengths: Ids, threshold: float) -> Array:
        """Return the tags of outputs: indices [T, N], or for "sigmoid" bool [T, N, K].

        Parameters
        ----------
        z : ndarray, float [T, N, K]
            What a call returned.
        lengths : ndarray, int64 [N]
        threshold : float
            The least probability of a yes.
        """
        if self.crf is not None:
            paths, _ = self.crf.decode(z, lengths)
            return pad_batch(paths, fill=0)[0]
        if self.loss_kind == "softmax":
            return np.asarray(z.argmax(axis=2))
        return np.asarray(sigmoid(z) >= threshold)

    def probabilities(self, z: Array, lengths: Ids) -> Array:
        """Return the probability of each tag, or of each yes, float64 [T, N, K]."""
        if self.crf is not None:
            return self.crf.marginals(z, lengths)[0].astype(np.float64)
        if self.loss_kind == "sigmoid":
            return sigmoid(z)
        return softmax(z)

    def loss(self, batch: TaggedBatch) -> float:
        """Return the weighted mean loss of a batch's targets, without dropout."""
        z = self(batch.x, batch.lengths, batch.words)
        if self.crf is not None:
            total = self.crf.losses(z, batch.targets, batch.lengths).sum(dtype=np.float64)
            return float(total) / batch.weight
        counted = batch.weights > 0
        losses, _ = row_losses(self.loss_kind, z[counted], batch.targets[counted], self._pos_weight)
        return float(losses @ batch.weights[counted]) / batch.weight

    def loss_and_gradients(self, batch: TaggedBatch, scale: float = 1.0) -> float:
        """Return the weighted mean loss in training, and add `scale` times its gradients."""
        joined = characters = None
        if self.characters is not None:
            assert batch.words is not None
            joined, characters = self.characters.forward(batch.words)
        y, _, tape = self.encoder.forward(batch.x, batch.lengths, joined)
        dy: Array | None
        if self.crf is not None:
            z, output = self.output.forward(y)
            losses, dz = self.crf.losses_and_gradients(
                z, batch.targets, batch.lengths, scale=scale / batch.weight
            )
            loss = float(losses.sum(dtype=np.float64)) / batch.weight
            dy = self.output.backward(output, dz)
        else:
            counted = batch.weights > 0
            weights = batch.weights[counted]
            z, output = self.output.forward(y[counted])
            losses, dz = row_losses(self.loss_kind, z, batch.targets[counted], self._pos_weight)
            loss = float(losses @ weights) / batch.weight
            dz *= (weights * (scale / batch.weight)).astype(dz.dtype)[:, None]
            dy = np.zeros_like(y)
            dy[counted] = self.output.backward(output, dz)
        djoined, _ = self.encoder.backward(tape, dy)
        if self.characters is not None:
            assert characters is not None
            assert djoined is not None
            self.characters.backward(characters, djoined)
        return loss
