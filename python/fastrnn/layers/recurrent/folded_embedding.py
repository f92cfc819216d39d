"""Recurrent layers after an embedding, with the first product computed once per id, not once per token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._dispatch import kernels
from fastrnn._memory import SMALLER_LAYER, named_memory
from fastrnn.layers.recurrent.engine.packed import PassWeights, pack
from fastrnn.layers.recurrent.engine.sequence_pass import infer
from fastrnn.layers.recurrent.shapes import Group
from fastrnn.layers.recurrent.spec import RecurrentSpec

if TYPE_CHECKING:
    from fastrnn.layers.dense.embedding import Embedding
    from fastrnn.layers.recurrent.engine.segments import AnyTape
    from fastrnn.layers.recurrent.layer import Recurrent

__all__ = ["ProjectedStack"]


class ProjectedStack:
    """A snapshot of an embedding and the recurrent layers above it, for passes over more tokens than ids.

    A first layer that reads ``E[id]`` needs ``W_ih E[id] + b``, which has one value per id: these rows are
    computed once, and each token takes its row. The outputs are those of the two modules in turn, to the bit.
    BPTT sums the gate gradients of all tokens of an id before it multiplies them with the weights: the same
    gradients, summed in another order.

    In float32 only: a layer of another precision looks ids up in its weights as rounded, which would round
    the products once more.

    Parameters
    ----------
    embedding : Embedding
        [V, E].
    rnn : Recurrent
        Its `input_size` is E.
    """

    embedding: Embedding
    rnn: Recurrent[Any]

    def __init__(self, embedding: Embedding, rnn: Recurrent[Any]) -> None:
        self.embedding, self.rnn = embedding, rnn
        self._packed = list(rnn._weights.current().packed)
        for i, group in enumerate(rnn._weights.groups()[: rnn.directions]):
            self._packed[i] = pack(rnn.spec, self._projected(group))

    def _projected(self, group: Group) -> Group:
        """Return a layer's weights for one-hot ids: weight_ih is ``(E W_ih^T + b)^T``."""
        folded, rest = fold_biases(self.rnn.spec, group)
        table = kernels.linear_forward(
            kernels.linear_pack(group["weight_ih"], folded), self.embedding.parameters["weight"]
        )
        projected = {"weight_ih": np.ascontiguousarray(table.T), "weight_hh": group["weight_hh"]}
        return projected if rest is None else {**projected, "bias_hh": rest}

    def __call__(self, ids: Any, state: Any = None) -> tuple[Array, Any]:
        """Do what ``rnn(embedding(ids), state)`` does."""
        batch = self.rnn._weights.batch(ids, state)
        return self.rnn._result(*infer(self.rnn.spec, PassWeights(self._packed), batch), alone=batch.alone)

    def forward(
        self, ids: Any, state: Any = None, checkpoint_every: int | None = None
    ) -> tuple[Array, Any, AnyTape]:
        """Do what ``rnn.forward(embedding(ids), state)`` does; the tape's first x is the ids."""
        batch = self.rnn._weights.batch(ids, state, keep=True)
        return self.rnn._forward(batch, checkpoint_every, initial=state is None, packed=self._packed)

    @named_memory("gradients", SMALLER_LAYER)
    def backward(self, tape: AnyTape, dy: Array) -> Any:
        """Add to the gradients of both modules; return that of the first state."""
        own = self.rnn._weights.gradient_groups(self.rnn.gradients)
        gradients, tables = list(own), []
        for i, group in enumerate(own[: self.rnn.directions]):
            rows = group["weight_ih"].shape[0]
            tables.append(np.zeros((rows, self.embedding.num_embeddings), self.rnn.dtype))
            gradients[i] = {**group, "weight_ih": tables[i]}
        _, dstate = self.rnn._backward(tape, gradients, dy, None, need_dx=False)
        weights = self.rnn._weights.groups()
        weight, dweight = self.embedding.parameters["weight"], self.embedding.gradients["weight"]
        for i, table in enumerate(tables):
            dweight += kernels.linear_backward(
                weight,
                weights[i]["weight_ih"],
                np.ascontiguousarray(table.T),
                own[i]["weight_ih"],
                None,
                True,
            )
        return dstate


def fold_biases(spec: RecurrentSpec, group: Group) -> tuple[Array | None, Array | None]:
    """Return the bias to be added to ``W_ih x``, and the one that must stay a bias_hh."""
    if "bias_ih" not in group:
        return None, None
    bias_ih, bias_hh = group["bias_ih"], group["bias_hh"]
    if spec.options.kind != "gru_after":
        return bias_ih + bias_hh, None
    # b_hn is multiplied with r.
    folded, rest, candidate = bias_ih.copy(), np.zeros_like(bias_hh), 2 * spec.hidden_size
    folded[:candidate] += bias_hh[:candidate]
    rest[candidate:] = bias_hh[candidate:]
    return folded, rest
