"""What an import found: layers by name, what it could not place, and what it converted."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, overload

from fastrnn._plain import printable
from fastrnn.interop.imported_chain import chain, checked, refuse_unplaced
from fastrnn.interop.imported_language_model import language_model, with_vocabulary
from fastrnn.interop.parity import Parity

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastrnn.data import Vocabulary
    from fastrnn.language import LanguageModel
    from fastrnn.layers import Module, Sequential

__all__ = ["Imported"]


@dataclass
class Imported:
    """Layers read from another library's model.

    Attributes
    ----------
    layers : dict of str to Module
        The layers by the names that they have there, in the order in which the model lists them.
    unplaced : dict of str to str
        What became no layer, by name: the reason of each.
    notes : list of str
        Conversions, one sentence each: ``"rnn.weight_ih_l0: float16 became float32"``.
    tied : dict of str to str
        Layers whose weight is another layer's, by name: ``{"decoder": "encoder"}``.
    orders : tuple of tuple of str
        Orders in which the layers fit together, if the file keeps none and several do; else none.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(5, cell="gru", embedding_size=3, hidden_size=4, num_layers=1, seed=0)
    >>> imported = fr.interop.from_state_dict(model.state_dict())
    >>> print(imported)
    embedding: Embedding(5, 3)
    rnn: GRU(3, 4)
    output: Linear(4, 5)
    >>> imported.to_sequential()([[0], [1]])[0].shape
    (2, 1, 5)
    """

    layers: dict[str, Module] = field(default_factory=dict)
    unplaced: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    tied: dict[str, str] = field(default_factory=dict)
    orders: tuple[tuple[str, ...], ...] = ()
    _has_graph: ClassVar[bool] = False  # whether the file says how the layers are connected

    def __str__(self) -> str:
        lines = [f"{name}: {layer!r}" for name, layer in self.layers.items()]
        lines += [f"{name}: not placed, {reason}" for name, reason in self.unplaced.items()]
        return "\n".join(map(printable, [*lines, *self.notes]))  # names come from files

    @overload
    def to_language_model(self) -> LanguageModel: ...

    @overload
    def to_language_model(self, vocabulary: Sequence[str]) -> tuple[LanguageModel, Vocabulary]: ...

    def to_language_model(self, vocabulary: Any = None) -> Any:
        """Return the language model that an embedding, recurrent layers and a linear layer are.

        Parameters
        ----------
        vocabulary : sequence of str or Vocabulary, optional
            The symbols in the order of their ids.

        Returns
        -------
        model : LanguageModel
            With the logits of the imported layers. Without an embedding it reads ids as one-hot vectors;
            tied weights stay tied.
        vocabulary : Vocabulary
            Only if one is given: of characters if all symbols are single characters, else of words.

        Raises
        ------
        ValueError
            If something is not placed, the layers are others or their widths do not fit; the message says
            which.

        Examples
        --------
        >>> import numpy as np
        >>> import fastrnn as fr
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"encoder.weight": (4, 3), "rnn.weight_ih_l0": (15, 3), "rnn.weight_hh_l0": (15, 5)}
        >>> shapes |= {"decoder.weight": (4, 5), "decoder.bias": (4,)}
        >>> state = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        >>> model, vocabulary = fr.interop.from_state_dict(state).to_language_model(["a", "b", "c", "d"])
        >>> model
        LanguageModel(4, cell='gru', hidden_size=5, num_layers=1, embedding_size=3, dtype='float64', ...)
        >>> vocabulary.decode([3, 0])
        'da'
        """
        refuse_unplaced(self.unplaced, self.orders)
        model = language_model(self.layers)
        return model if vocabulary is None else (model, with_vocabulary(model, vocabulary))

    def to_sequential(self) -> Sequential:
        """Return the layers as a chain, each reading what the one before it returns.

        The layers are copied, so that this object keeps its own.

        Raises
        ------
        ValueError
            If something is not placed, or the layers do not fit together in their order, or their file keeps
            no order and several fit (`in_order` chooses one).
        """
        refuse_unplaced(self.unplaced, self.orders)
        return chain(self.layers)

    def in_order(self, *names: str) -> Self:
        """Return the same layers in another order.

        Parameters
        ----------
        *names : str
            All names of `layers`.

        Raises
        ------
        ValueError
            If these are not the names, or the model is one of ONNX or Keras, which says its order.

        Examples
        --------
        >>> import fastrnn as fr
        >>> rnn, out = fr.RNN(1, 1, bias=False).parameters, fr.Linear(1, 1).parameters
        >>> state = {f"out.{name}": value for name, value in out.items()}
        >>> state |= {f"rnn.{name}": value for name, value in rnn.items()}
        >>> fr.interop.from_state_dict(state).in_order("rnn", "out").to_sequential()
        Sequential({'rnn': RNN(1, 1, bias=False), 'out': Linear(1, 1)})
        """
        if self._has_graph:
            raise ValueError(
                "names: expected no order, as the model's file says how its layers are connected"
            )
        if sorted(names) != sorted(self.layers):
            raise ValueError(f"names: expected all of {', '.join(self.layers)}, got {', '.join(names)}")
        other = copy.copy(self)
        other.layers, other.orders = {name: self.layers[name] for name in names}, ()
        return other

    def check(
        self, inputs: Any, outputs: Any, *, tolerance: float = 1e-5, batch_first: bool = False
    ) -> Parity:
        """Compare what the layers compute, as a chain, with what the original model computed.

        Weights do not say which activation an RNN has, nor in which order the gates are. If the outputs
        differ, other orders and activations are tried, and `Parity.hints` names those that fit.

        Parameters
        ----------
        inputs : array_like, float [T, N, D] or int [T, N]
        outputs : array_like
            Of the original model: y; where the only layer is a recurrent one also (y, state), as it returns.
        tolerance : float, default 1e-5
            As for `compare`.
        batch_first : bool, default False
            Whether the arrays have the axes [N, T, ...].

        Returns
        -------
        parity : Parity

        Raises
        ------
        ValueError, TypeError
            As for `to_sequential`, or if the inputs do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> import fastrnn as fr
        >>> original = fr.RNN(3, 4, nonlinearity="relu", seed=0)
        >>> x = np.ones((5, 2, 3), np.float32)
        >>> imported = fr.interop.from_state_dict(original.state_dict())
        >>> print(imported.check(x, original(x)[0]))
        DIFFERENT: largest difference output ... (outputs up to ...); equal with nonlinearity={'rnn': 'relu'}
        """
        refuse_unplaced(self.unplaced, self.orders)
        return checked(self.layers, inputs, outputs, tolerance=tolerance, batch_first=batch_first)
