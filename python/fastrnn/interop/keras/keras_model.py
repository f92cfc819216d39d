"""A model read from a file of Keras, which runs as Keras's `predict` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import as_array, as_mask
from fastrnn.interop.imported import Imported
from fastrnn.interop.keras.activations import Unsupported
from fastrnn.interop.keras.chain import ChainParts, chain_parts
from fastrnn.interop.keras.graph import Graph
from fastrnn.interop.parity import Parity, compare

if TYPE_CHECKING:
    from fastrnn.layers import Sequential

__all__ = ["KerasModel"]


class KerasModel(Imported):
    """A model of Keras: its layers, and the whole as a function.

    A stateful model keeps the states of its layers from call to call, as Keras does, until `reset_states`.

    Attributes
    ----------
    layers : dict of str to Module
        Embeddings, recurrent layers (time-major) and linear layers by Keras's names; those of a model within
        the model as ``model/layer``.
    unplaced : dict of str to str
        Layers that are not known here, with the reason of each.
    described : bool
        Whether the file, or `config`, says how the layers are connected.
    notes : list of str
        Conversions, and what is left out because it is of training.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.interop.load_keras("sentiment.keras")  # doctest: +SKIP
    >>> print(model)  # doctest: +SKIP
    embedding: Embedding(20000, 64)
    bidirectional: LSTM(64, 32, bidirectional=True)
    dense: Linear(64, 1)
    >>> model([[12, 7, 0, 0], [3, 5, 8, 2]])  # doctest: +SKIP
    """

    described: bool

    _has_graph = True

    def __init__(
        self,
        layers: dict[str, Any],
        unplaced: dict[str, str],
        notes: list[str],
        graph: Graph | None,
        *,
        described: bool = True,
    ) -> None:
        super().__init__(layers, unplaced, notes)
        self._graph, self.described = graph, described

    def __call__(self, x: Any, mask: Any = None) -> Any:
        """Run the model as Keras's ``predict`` does: axes as in Keras, without dropout.

        Parameters
        ----------
        x : array_like, or a list or mapping of them for a model of several inputs
            [N, T, D] floats or [N, T] ids, in general.
        mask : array_like, bool [N, T], optional
            False where a step is masked: a recurrent layer carries its state on. With several inputs a list.
            `Masking` and `Embedding` layers make their own.

        Returns
        -------
        y : ndarray, or a list of them for a model of several outputs

        Raises
        ------
        ValueError
            If the model is only partly loaded, or an array has a wrong shape; the message names the layer.
            A stateful model keeps the states that it had.
        TypeError
            If an array has a wrong dtype.
        """
        graph = self._whole()
        inputs = self._inputs(graph, "x", x)
        arrays = [as_array(name, value) for name, value in inputs.items()]
        for name, array in zip(inputs, arrays, strict=True):
            if array.dtype.kind not in "fiub":
                raise TypeError(f"{name}: expected numbers, got {array.dtype}")
            if not array.ndim:
                raise ValueError(f"{name}: expected [N, ...], got a number")
        given = [None] * len(arrays) if mask is None else [*self._inputs(graph, "mask", mask).values()]
        masks = [
            None if one is None else as_mask("mask", one, array.shape[:2])
            for one, array in zip(given, arrays, strict=True)
        ]
        kept = [(operation, operation.kept) for operation in graph.within()]
        try:
            with np.errstate(all="ignore"):  # an overflow is infinite, as in Keras
                outputs = [np.ascontiguousarray(y) for y in graph(arrays, masks)[0]]
        except BaseException:
            for operation, state in kept:
                operation.kept = state
            raise
        return outputs[0] if len(outputs) == 1 else outputs

    def reset_states(self) -> None:
        """Forget the states of stateful layers: the next call begins with zeros."""
        for operation in self._graph.within() if self._graph else ():
            operation.kept = None

    def check(
        self, inputs: Any, outputs: Any, *, tolerance: float = 1e-5, batch_first: bool = True
    ) -> Parity:
        """Compare what the model computes with what Keras's ``predict`` computed.

        Parameters
        ----------
        inputs, outputs : array_like, or lists of them
        tolerance : float, default 1e-5
            As for `compare`.
        batch_first : bool, default True
            False is refused: the axes are those of Keras.

        Raises
        ------
        ValueError, TypeError
            As for a call, or if the outputs have other shapes.
        """
        if not batch_first:
            raise ValueError("batch_first: expected True, as the axes are those of Keras")
        return compare(self(inputs), outputs, tolerance=tolerance)

    def to_sequential(self) -> Sequential:
        """Return a model that is a plain chain as a `Sequential`, which is time-major.

        Of a last recurrent layer that returns only its last output, the `Sequential` returns the outputs of
        all steps. It has no masks: pass `lengths`. `notes` of this model says so where it matters.

        Raises
        ------
        ValueError
            If a layer has no counterpart there, or the model is none or only partly loaded.
        """
        return Imported(self._chain().parts).to_sequential()

    def to_language_model(self, vocabulary: Any = None) -> Any:
        """Return the language model that an embedding, recurrent layers and a dense layer are.

        A softmax at the end is left out: a `LanguageModel` returns logits. For the parameters and the
        result, see `Imported.to_language_model`.

        Raises
        ------
        ValueError
            If the model is another.
        """
        chain = self._chain()
        parts = dict(chain.parts)
        last = [*parts][-1] if parts else ""
        if getattr(parts.get(last), "function", "") in ("softmax", "log_softmax"):
            del parts[last]
        return Imported(parts).to_language_model(vocabulary)

    def _chain(self) -> ChainParts:
        try:
            chain = chain_parts(self._whole())
        except Unsupported as reason:
            raise ValueError(f"expected a plain chain of layers: {reason}") from None
        self.notes += [note for note in chain.notes if note not in self.notes]
        return chain

    def _whole(self) -> Graph:
        if not self.described:
            raise ValueError(
                "expected a whole model, got weights alone; pass config=, the JSON of model.to_json()"
            )
        if self._graph is None:
            reasons = "; ".join(f"{name} {reason}" for name, reason in self.unplaced.items())
            raise ValueError(f"expected a whole model, and it is loaded in part: {reasons}")
        return self._graph

    def _inputs(self, graph: Graph, name: str, value: Any) -> dict[str, Any]:
        """Return the arrays that are passed, by what messages call them."""
        names = [one.layer for one in graph.inputs]
        if isinstance(value, Mapping):
            if set(value) != set(names):
                raise ValueError(
                    f"{name}: expected the inputs {', '.join(names)}, got {', '.join(map(str, value))}"
                )
            return {f"{name}[{one!r}]": value[one] for one in names}
        if len(names) == 1:
            return {name: value}
        if not isinstance(value, (list, tuple)) or len(value) != len(names):
            got = len(value) if isinstance(value, (list, tuple)) else type(value).__name__
            raise ValueError(f"{name}: expected a list of {len(names)} inputs, {', '.join(names)}, got {got}")
        return {f"{name}[{index}]": one for index, one in enumerate(value)}
