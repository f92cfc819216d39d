"""Recurrent layers behind an embedding, with the first products made once an id instead of once a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels
from fastrnn.layers.recurrent.shapes import Group

if TYPE_CHECKING:
    from fastrnn.layers.dense.embedding import Embedding
    from fastrnn.layers.recurrent.engine.tape import AnyTape
    from fastrnn.layers.recurrent.layer import Recurrent

__all__ = ["ProjectedStack"]


class ProjectedStack:
    """An embedding and the recurrent layers above it as they are now, for passes over more tokens than ids.

    A first layer that reads ``E[id]`` needs ``W_ih E[id] + b``, of which there are only as many as ids: they
    are made once, and a token takes its row. The outputs are those of the two modules one after the other, to
    the bit. On the way back the gate gradients of all tokens of an id are summed before they meet the
    weights: the same gradients, summed in another order.

    Parameters
    ----------
    embedding : Embedding
        [V, E].
    rnn : Recurrent
        Its `input_size` is E.
    """

    def __init__(self, embedding: Embedding, rnn: Recurrent[Any]) -> None:
        self.embedding, self.rnn = embedding, rnn
        self._panels = list(rnn._panels())
        for i, group in enumerate(rnn._layer_weights()[: rnn.directions]):
            self._panels[i] = rnn._pack(self._projected(group))

    def _projected(self, group: Group) -> Group:
        """Give a layer's weights as they are for one-hot rows of ids: weight_ih is ``(E W_ih^T + b)^T``."""
        weight_ih, weight_hh, bias_ih, bias_hh = group
        folded, rest = self.rnn._fold_biases(bias_ih, bias_hh)
        table = kernels.linear_forward(
            kernels.linear_pack(weight_ih, folded), self.embedding.parameters["weight"]
        )
        return np.ascontiguousarray(table.T), weight_hh, None, rest

    def __call__(self, ids: Any, state: Any = None) -> tuple[Array, Any]:
        """Do what ``rnn(embedding(ids), state)`` does."""
        return self.rnn._infer(self._panels, ids, state)

    def forward(
        self, ids: Any, state: Any = None, checkpoint_every: int | None = None
    ) -> tuple[Array, Any, AnyTape]:
        """Do what ``rnn.forward(embedding(ids), state)`` does; the tape's first x is the ids."""
        return self.rnn._forward(self._panels, ids, state, checkpoint_every=checkpoint_every)

    def backward(self, tape: AnyTape, dy: Array) -> None:
        """Add into the gradients of both modules."""
        gradients = list(self.rnn._layer_gradients())
        rows, ids = gradients[0][0].shape[0], self.embedding.num_embeddings
        tables = []
        for i, group in enumerate(gradients[: self.rnn.directions]):
            tables.append(np.zeros((rows, ids), self.rnn.dtype))
            gradients[i] = (tables[i], *group[1:])
        self.rnn._backward(tape, gradients, dy, None, need_dx=False)
        weight, dweight = self.embedding.parameters["weight"], self.embedding.gradients["weight"]
        weights, own = self.rnn._layer_weights(), self.rnn._layer_gradients()
        for i, table in enumerate(tables):
            dweight += kernels.linear_backward(
                weight, weights[i][0], np.ascontiguousarray(table.T), own[i][0], None, True
            )
