"""Run a language model step by step, keeping its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastrnn._arrays import Array, as_ids
from fastrnn._dispatch import kernels
from fastrnn.models.length_outputs import HaltOutput, LengthOutput

if TYPE_CHECKING:
    from fastrnn.layers import AdaptiveSoftmax, Embedding, Softmax, StackStream, Stream, TiedSoftmax

__all__ = ["LanguageModelStream"]


class SteppedModel(Protocol):
    """The parts of a `LanguageModel` around its recurrent layers."""

    embedding: Embedding | None
    output: Softmax | TiedSoftmax | AdaptiveSoftmax
    length: HaltOutput | LengthOutput | None
    length_model: str | None


class LanguageModelStream:
    """A language model that reads one id per sequence at a time and keeps its state; see ``model.stream()``.

    Attributes
    ----------
    batch_size : int
        N, the number of sequences side by side.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(5, hidden_size=8, seed=0)
    >>> stream = model.stream()
    >>> stream.step(3).shape
    (5,)
    >>> both, _ = model.logits([[3], [1]])
    >>> np.array_equal(stream.step(1), both[1, 0])
    True
    """

    __slots__ = ("_embedding", "_h", "_model", "_output", "_step", "_stream", "batch_size")

    def __init__(self, model: SteppedModel, stream: Stream[Any] | StackStream) -> None:
        self._model, self._stream, self._step = model, stream, stream.step
        self._embedding = None if model.embedding is None else model.embedding.parameters
        self._output = model.output
        self._h: Array | None = None
        self.batch_size = stream.batch_size

    def step(self, ids: Any, left: Any = None) -> Array:
        """Feed one id of each sequence.

        Parameters
        ----------
        ids : array_like, int [N]
            -1 for a vector of zeros. With one sequence, also a single id.
        left : array_like, int [N], optional
            With ``length_model="tau"``: number of symbols still to come; 0 where it is not known yet.

        Returns
        -------
        logits : ndarray, float [N, V]
            [V] for a single id.

        Raises
        ------
        ValueError
            If there are not N ids or one is out of range. The state does not change.
        TypeError
            If they are not integers.
        """
        alone = self.batch_size == 1 and np.ndim(ids) == 0
        x: Array = as_ids("ids", ids, () if alone else (self.batch_size,))
        x = x.reshape(1) if alone else x
        if self._embedding is not None:
            x = kernels.embedding_forward(x, self._embedding["weight"])
        if left is not None:
            x = x + self._left(left)
        self._h = h = self._step(x)
        packed = getattr(self._output, "_packed_weights", None)
        logits = self._output(h) if packed is None else kernels.linear_forward(packed(), h)
        return logits[0] if alone else logits

    def _left(self, left: Any) -> Array:
        length = self._model.length
        if not isinstance(length, LengthOutput):
            raise ValueError(f"left: expected None, as length_model={self._model.length_model!r}")
        return length.left(as_ids("left", left, (self.batch_size,)) - 1)

    @property
    def halt_probability(self) -> Array:
        """With ``length_model="halt"``: the probability that the text ends here, float [N].

        Raises
        ------
        ValueError
            If the model has no such output, or no step has been made.
        """
        length = self._model.length
        if not isinstance(length, HaltOutput):
            raise ValueError("halt_probability: expected a model with length_model='halt'")
        return length.probability(self._last_output())

    @property
    def length_logits(self) -> Array:
        """With ``length_model="tau"``, after the start alone: logits of the lengths 1, 2, ..., float [N, L].

        Raises
        ------
        ValueError
            If the model has no such output, or no step has been made.
        """
        length = self._model.length
        if not isinstance(length, LengthOutput):
            raise ValueError("length_logits: expected a model with length_model='tau'")
        return length.output(self._last_output())

    def _last_output(self) -> Array:
        if self._h is None:
            raise ValueError("stream: expected a step first")
        return self._h

    @property
    def state(self) -> Any:
        """A copy of the state: h [L, N, H], for LSTM the pair (h, c). Setting it copies; None is zero."""
        return self._stream.state

    @state.setter
    def state(self, value: Any) -> None:
        self._stream.state = value
        self._h = None

    def reset(self) -> None:
        """Set the state to zero."""
        self._stream.reset()
        self._h = None

    def copy(self) -> LanguageModelStream:
        """Return an independent stream that continues from the same state."""
        twin = LanguageModelStream(self._model, self._stream.copy())
        twin._h = self._h
        return twin

    def __copy__(self) -> LanguageModelStream:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        # A deep copy or a pickled stream brings its model along.
        return _restored, (self._model, self.batch_size, self.state, self._h)

    def __repr__(self) -> str:
        return f"<LanguageModelStream of {self._model!r}: {self.batch_size} sequences>"


def _restored(model: Any, batch_size: int, state: Any, h: Array | None) -> LanguageModelStream:
    """Return a stream of a copied or unpickled model."""
    stream: LanguageModelStream = model.stream(batch_size)
    stream.state, stream._h = state, h
    return stream
