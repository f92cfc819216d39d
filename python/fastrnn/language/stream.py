"""Run a language model step by step, keeping its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fastrnn._arrays import Array, as_ids
from fastrnn._dispatch import kernels
from fastrnn.language.length_outputs import HaltOutput, LengthOutput

if TYPE_CHECKING:
    from fastrnn.layers import AdaptiveSoftmax, Embedding, Head, Softmax, StackStream, Stream, TiedSoftmax

__all__ = ["LanguageModelStream"]


class SteppedModel(Protocol):
    """The parts of a `LanguageModel` around its recurrent layers."""

    embedding: Embedding | None
    head: Head | None
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

    batch_size: int

    __slots__ = ("_embedding", "_h", "_head", "_model", "_output", "_step", "_stream", "batch_size")

    def __init__(self, model: SteppedModel, stream: Stream[Any] | StackStream) -> None:
        self._model, self._stream, self._step = model, stream, stream.step
        self._embedding = None if model.embedding is None else model.embedding.parameters
        self._output, self._head = model.output, model.head
        self._h: Array | None = None
        self.batch_size = stream.batch_size

    def step(self, ids: Any, left: Any = None, *, context: Any = None) -> Array:
        """Feed one id of each sequence.

        Parameters
        ----------
        ids : array_like, int [N]
            -1 for a vector of zeros. With one sequence, also a single id.
        left : array_like, int [N], optional
            With ``length_model="tau"``: number of symbols still to come; 0 where it is not known yet.
        context : array_like, float [N, C], optional
            The context of this step alone, in place of the one given to `stream`.

        Returns
        -------
        logits : ndarray, float [N, V]
            [V] for a single id.

        Raises
        ------
        ValueError
            If there are not N ids, one is out of range, or a context is missing or of a wrong shape. The
            state does not change.
        TypeError
            If the ids are not integers, or the context has a wrong dtype.
        """
        alone = self.batch_size == 1 and np.ndim(ids) == 0
        x: Array = as_ids("ids", ids, () if alone else (self.batch_size,))
        x = x.reshape(1) if alone else x
        if self._embedding is not None:
            x = kernels.embedding_forward(x, self._embedding["weight"])
        if left is not None:
            x = x + self._left(left)
        self._h = h = self._step(x) if context is None else self._step(x, context=context)
        h = h if self._head is None else self._head(h)
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

    @property
    def context(self) -> Array | None:
        """The context of all steps, [N, C]; None if there is none, or each step has its own."""
        return self._stream.context

    def join(self, state: Any = None, context: Any = None) -> int:
        """Add one sequence to the batch.

        Parameters
        ----------
        state : as `state`, with N = 1, optional
            The state that it continues from, as `leave` returns it; by default the initial one.
        context : array_like, float [1, C]
            Its context, required if, and only if, the stream was given one for all steps.

        Returns
        -------
        row : int
            Its index in the batch, the last.

        Raises
        ------
        ValueError, TypeError
            If the state or the context does not fit. The batch stays as it was.

        Examples
        --------
        >>> import fastrnn as fr
        >>> stream = fr.LanguageModel(5, hidden_size=8, seed=0).stream(batch_size=2)
        >>> logits = stream.step([3, 1])
        >>> kept = stream.leave(0)  # one is left
        >>> stream.join(kept), stream.batch_size
        (1, 2)
        """
        row = self._stream.join(state, context)
        self.batch_size, self._h = row + 1, None
        return row

    def leave(self, row: int) -> Any:
        """Remove one sequence from the batch; those after it move up.

        Parameters
        ----------
        row : int
            Its index, in ``0 .. batch_size - 1``.

        Returns
        -------
        state : as `state`, with N = 1
            Its state, for `join` or for another stream.

        Raises
        ------
        ValueError
            If the row does not exist, or is the only one.
        """
        gone = self._stream.leave(row)
        self.batch_size -= 1
        self._h = None if self._h is None else np.delete(self._h, row, axis=0)
        return gone

    def copy(self) -> LanguageModelStream:
        """Return an independent stream that continues from the same state."""
        twin = LanguageModelStream(self._model, self._stream.copy())
        twin._h = self._h
        return twin

    def __copy__(self) -> LanguageModelStream:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        # A deep copy or a pickled stream brings its model along.
        return _restored, (self._model, self.batch_size, self.context, self.state, self._h)

    def __repr__(self) -> str:
        return f"<LanguageModelStream of {self._model!r}: {self.batch_size} sequences>"


def _restored(model: Any, batch_size: int, context: Any, state: Any, h: Array | None) -> LanguageModelStream:
    """Return a stream of a copied or unpickled model."""
    stream: LanguageModelStream = model.stream(batch_size, context=context)
    stream.state, stream._h = state, h
    return stream
