"""The backbone of a language model, everything before its output: embedding, dropout and recurrent layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from fastrnn._arrays import Array, Ids
from fastrnn.language.length_outputs import LengthOutput, ModelBatch
from fastrnn.layers import Recurrent, Stack, activity_penalties
from fastrnn.layers.base.dropout import BETWEEN_LAYERS, draw_key, draw_mask, dropout_mask
from fastrnn.layers.base.kept import frozen
from fastrnn.layers.description import parts_of
from fastrnn.layers.recurrent.folded_embedding import ProjectedStack
from fastrnn.layers.stack.connections import check_context

if TYPE_CHECKING:
    from fastrnn.language.length_outputs import HaltOutput
    from fastrnn.language.settings import Settings
    from fastrnn.layers import Embedding

__all__ = [
    "BackboneModel",
    "BackboneTape",
    "add_penalties",
    "backward_backbone",
    "check_contexts",
    "forward_backbone",
    "infer",
    "layer_inputs",
    "output_mask",
]


class BackboneModel(Protocol):
    """The parts of a `LanguageModel` that come before its output."""

    vocabulary_size: int
    embedding: Embedding | None
    rnn: Recurrent[Any] | Stack
    length: HaltOutput | LengthOutput | None
    dropout: float
    dtype: np.dtype[Any]
    rng: np.random.Generator
    _settings: Settings


class BackboneTape(NamedTuple):
    """What `forward_backbone` keeps for `backward_backbone`."""

    y: Array
    state: Any
    rnn: Any
    batch: ModelBatch
    masks: tuple[Array | None, Array | None]  # of words, of the embedding's values
    projected: ProjectedStack | None


def check_contexts(model: BackboneModel, batch: ModelBatch, dcontext: Any = None) -> None:
    """Check a batch's context, and the array to which its gradient is to be added.

    Raises
    ------
    ValueError
        If there is one and the layers read none or the reverse, or a shape is wrong.
    TypeError
        If a dtype is wrong.
    """
    steps, rows = batch.ids.shape
    check_context(parts_of(model.rnn), batch.context, rows, steps)
    if dcontext is None:
        return
    if batch.context is None:
        raise ValueError("dcontext: expected None, as there is no context")
    if not isinstance(dcontext, np.ndarray) or dcontext.dtype != model.dtype:
        got = dcontext.dtype if isinstance(dcontext, np.ndarray) else type(dcontext).__name__
        raise TypeError(f"dcontext: expected an array of {model.dtype}, got {got}")
    if dcontext.shape != (shape := np.shape(batch.context)):
        raise ValueError(f"dcontext: expected {list(shape)}, got {list(dcontext.shape)}")


def infer(
    model: BackboneModel,
    ids: Ids,
    state: Any,
    lengths: Ids | None = None,
    left: Ids | None = None,
    context: Any = None,
) -> tuple[Array, Any]:
    """Compute the last layer's outputs and the final state."""
    plain = lengths is None and left is None and context is None
    if plain and (projected := _projected(model, ids)) is not None:
        return projected(ids, state)
    return model.rnn(layer_inputs(model, ids, left), state, lengths, context=context)


def forward_backbone(
    model: BackboneModel, batch: ModelBatch, state: Any, checkpoint_every: int | None
) -> BackboneTape:
    """Compute the same in training, with dropout."""
    settings = model._settings
    dropped = settings.dropout > 0.0 or settings.embedding_dropout > 0.0
    plain = not dropped and batch.lengths is None and batch.left is None and batch.context is None
    if plain and (projected := _projected(model, batch.ids)) is not None:
        y, state, tape = projected.forward(batch.ids, state, checkpoint_every)
        return BackboneTape(y, state, tape, batch, (None, None), projected)
    words = _word_mask(model, batch.ids)
    x = layer_inputs(model, batch.ids, batch.left, words)
    mask = None if model.embedding is None else _mask(model, x)
    x = x if mask is None else x * mask
    if model.embedding is not None:
        x = frozen(x)  # no copy for the tape
    every: dict[str, Any] = {} if checkpoint_every is None else {"checkpoint_every": checkpoint_every}
    if every and isinstance(model.rnn, Stack):
        raise ValueError("checkpoint_every: expected None, as a Stack keeps every step")
    y, state, rnn_tape = model.rnn.forward(x, state, batch.lengths, context=batch.context, **every)
    return BackboneTape(y, state, rnn_tape, batch, (words, mask), None)


def backward_backbone(
    model: BackboneModel, tape: BackboneTape, dy: Array, dcontext: Array | None = None
) -> Any:
    """Backpropagate, adding into the gradients of the parts before the output; return the first state's."""
    if tape.projected is not None:
        return tape.projected.backward(tape.rnn, dy)
    dx, dstate = model.rnn.backward(tape.rnn, dy, need_dx=model.embedding is not None, dcontext=dcontext)
    if model.embedding is None:
        return dstate
    assert dx is not None
    words, mask = tape.masks
    if mask is not None:
        dx *= mask
    if isinstance(model.length, LengthOutput):
        assert tape.batch.left is not None
        model.length.left.backward(tape.batch.left, dx)
    if words is not None:
        dx *= words
    model.embedding.backward(tape.batch.ids, dx)
    return dstate


def output_mask(model: BackboneModel, y: Array) -> Array | None:
    """Draw the dropout mask of the last layer's output, unless the layer has applied it itself."""
    settings = model._settings
    return None if settings.locked_dropout and settings.rnn is None else _mask(model, y)


def _mask(model: BackboneModel, values: Array) -> Array | None:
    """Draw a dropout mask for values [T, N, width]; locked dropout uses the same mask at every step."""
    shape = (1, *values.shape[1:]) if model._settings.locked_dropout else values.shape
    return dropout_mask(shape, model.dropout, model.dtype, model.rng)


def add_penalties(
    settings: Settings,
    batch: ModelBatch,
    outputs: tuple[Array, Array],
    mask: Array | None,
    dh: Array,
    scale: float,
) -> Array:
    """Return the gradient of y from that of h (y after dropout), with the gradients of AR and TAR added."""
    y, h = outputs
    if settings.ar > 0.0:
        dh += activity_penalties(h, batch.lengths, ar=settings.ar * scale)[1]
    if mask is not None:
        dh *= mask
    if settings.tar > 0.0:
        dh += activity_penalties(y, batch.lengths, tar=settings.tar * scale)[1]
    return dh


def layer_inputs(model: BackboneModel, ids: Ids, left: Ids | None, words: Array | None = None) -> Array:
    """Return the input of the recurrent layers: ids, or their vectors times the mask `words`."""
    if model.embedding is None:
        return ids
    x = model.embedding(ids)
    if words is not None:
        x *= words
    if left is not None:
        assert isinstance(model.length, LengthOutput)
        x += model.length.left(left)
    return x


def _projected(model: BackboneModel, ids: Ids) -> ProjectedStack | None:
    """Return the layers with the first one's products computed per id, if that pays for so many tokens."""
    embedding, rnn = model.embedding, model.rnn
    if embedding is None or ids.size < 2 * embedding.num_embeddings or int(ids.min()) < 0:
        return None
    if embedding.sparse:  # products per id would touch all rows
        return None
    if not isinstance(rnn, Recurrent) or not rnn.options.plain or rnn.precision != "float32":
        return None
    return ProjectedStack(embedding, rnn)


def _word_mask(model: BackboneModel, ids: Ids) -> Array | None:
    """Draw which words are dropped, and return the factor of each token, [T, N, 1]."""
    probability = model._settings.embedding_dropout
    if probability == 0.0:
        return None
    size = model.vocabulary_size  # words are no rows: the mask is the same for all parts of a batch
    mask = draw_mask(draw_key(model.rng), BETWEEN_LAYERS, range(1), size, probability, model.dtype)
    factors: Array = mask[0][ids][:, :, None]
    return factors
