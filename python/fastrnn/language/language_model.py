"""A recurrent language model: ids in, logits of the next id out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastrnn._arrays import Array, as_ids
from fastrnn._checks import as_flag, as_generator, as_number
from fastrnn._foreign import of_others
from fastrnn._memory import check_memory
from fastrnn._other_words import answers_other_words
from fastrnn.language.backbone import check_contexts, infer
from fastrnn.language.configured import ConfiguredModel
from fastrnn.language.length_outputs import HaltOutput, LengthOutput, ModelBatch
from fastrnn.language.losses import arrange, loss_and_gradients, target_losses, total
from fastrnn.language.parts import make_parts, set_precision
from fastrnn.language.settings import Settings
from fastrnn.language.stream import LanguageModelStream
from fastrnn.layers import AdaptiveSoftmax, Embedding, Head, Recurrent, Softmax, Stack, TiedSoftmax

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastrnn._checks import Seed

__all__ = ["LanguageModel"]


class LanguageModel(ConfiguredModel):
    """Predicts the next id of a sequence with an optional embedding, recurrent layers and an output layer.

    Parameters are ``embedding.weight [V, E]``, those of the recurrent layer (``rnn.weight_ih_l0``, ...),
    ``output.weight [V, H]`` and ``output.bias [V]``, in one flat array. Dropout is applied to all connections
    that are not recurrent: after the embedding, between the layers and before the output.

    Parameters
    ----------
    vocabulary_size : int
        V, the number of ids.
    cell : str, default "lstm"
        A recurrent layer in lower case: "rnn", "gru", "lstm", ...
    hidden_size : int, default 256
        H.
    num_layers : int, default 2
    embedding_size : int, optional
        E. Without it the recurrent layer reads the ids directly, as one-hot vectors.
    dropout : float, default 0.0
        Probability in [0, 1); in training only.
    dtype : {"float32", "float64"}
    seed : int or numpy.random.Generator, optional
        For the parameters, then for dropout.
    reset_after, nonlinearity
        Of `fastrnn.GRU` and `fastrnn.RNN` alone, as there.
    cell_options : mapping, optional
        Further keywords of the cell: ``layer_norm``, ``zoneout``, ``weight_drop``, ... See `fastrnn.LSTM`.
    rnn : Recurrent or Stack, optional
        Recurrent layers of any kind, instead of `cell` and its options; they become part of the model. With
        layers that have a `context_size`, every pass takes a `context`.
    head : Head or mapping of its arguments, optional
        Linear layers between the recurrent layers and the output, which then reads the head's `out_features`.
    tied : bool, default False
        Use the embedding's weight in the output; needs an `embedding_size` equal to the output width of the
        layers, or of the head.
    locked_dropout : bool, default False
        Drop the same units at every step of a pass (Gal, Ghahramani 2016). The layers then apply the dropout
        to their outputs, so that `tar` includes it too, unless `rnn` is given.
    embedding_dropout : float, default 0.0
        Probability that a word is dropped at all its positions in a pass.
    sparse_embedding : bool, default False
        Update only the embeddings of the words in a batch; see `Embedding`.
    ar, tar : float, default 0.0
        Activation regularization of the last layer's output, see `fastrnn.activity_penalties`; part of the
        gradients, but not of the returned loss.
    cutoffs : sequence of int, optional
        Use an adaptive softmax with these cutoffs, for ids in descending order of frequency; see
        `AdaptiveSoftmax`.
    length_model : {None, "halt", "tau"}
        A separate output for the end of a text: a halting probability at each step, or the length, predicted
        first. None: an id of the vocabulary (`eos`) ends a text, or nothing does.
    max_length : int, optional
        The maximum length that "tau" can predict.
    start : int, optional
        The input before a text: an id, or -1 for a vector of zeros. None: the model does not predict the
        first symbol of a text, which must be given.
    eos : int, optional
        The id that ends a text.
    precision : {"float32", "bfloat16"}
        Of the products of recurrent layers, head and output, in training too; all else stays float32, and so
        do cells with options, cells other than LSTM, GRU and RNN, and the adaptive softmax.

    Attributes
    ----------
    embedding : Embedding or None
    rnn : Recurrent or Stack
    head : Head or None
    output : Softmax, TiedSoftmax or AdaptiveSoftmax
    length : HaltOutput, LengthOutput or None
    rng : numpy.random.Generator
        Draws the dropout masks; its state is needed to resume training.

    Raises
    ------
    ValueError
        If a size is less than 1, a probability is out of range, a name is unknown, an option does not belong
        to the cell, or two options contradict each other.
    TypeError
        If a size is not an integer, or the dtype is not supported.
    MemoryError
        If the parameters cannot be allocated; the message has the number of bytes.

    References
    ----------
    Mikolov et al. (2010), "Recurrent neural network based language model". Zaremba, Sutskever, Vinyals
    (2014), "Recurrent Neural Network Regularization", for the positions of dropout. Merity, Keskar, Socher
    (2017), "Regularizing and Optimizing LSTM Language Models", for the other regularisers. Goodfellow,
    Bengio, Courville (2016), "Deep Learning", section 10.2.3, for the ways a text may end.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(5, hidden_size=8, num_layers=1, seed=0)
    >>> model
    LanguageModel(5, cell='lstm', hidden_size=8, num_layers=1)
    >>> ids = np.array([[0, 1], [2, 3], [4, 0]])  # three steps of two sequences
    >>> loss, state = model.loss_and_gradients(ids[:-1], ids[1:])
    >>> bool(abs(loss - np.log(5)) < 0.5)
    True
    >>> model.gradients["output.bias"].shape
    (5,)

    Layers of different kinds, and tied weights:

    >>> stack = fr.Stack(fr.GRU(8, 16), fr.LSTM(16, 8), connect="plain")
    >>> fr.LanguageModel(5, embedding_size=8, rnn=stack, tied=True).logits([[0, 1]])[0].shape
    (1, 2, 5)
    """

    embedding: Embedding | None
    rnn: Recurrent[Any] | Stack
    head: Head | None
    output: Softmax | TiedSoftmax | AdaptiveSoftmax
    length: HaltOutput | LengthOutput | None

    @answers_other_words
    def __init__(
        self,
        vocabulary_size: int,
        *,
        cell: str = "lstm",
        hidden_size: int = 256,
        num_layers: int = 2,
        embedding_size: int | None = None,
        dropout: float = 0.0,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
        reset_after: bool = True,
        nonlinearity: str = "tanh",
        cell_options: Mapping[str, Any] | None = None,
        rnn: Recurrent[Any] | Stack | Mapping[str, Any] | None = None,
        tied: bool = False,
        locked_dropout: bool = False,
        embedding_dropout: float = 0.0,
        sparse_embedding: bool = False,
        ar: float = 0.0,
        tar: float = 0.0,
        cutoffs: Sequence[int] | None = None,
        length_model: str | None = None,
        max_length: int | None = None,
        start: int | None = None,
        eos: int | None = None,
        head: Head | Mapping[str, Any] | None = None,
        precision: str = "float32",
    ) -> None:
        given = {name: value for name, value in locals().items() if name in Settings._fields}
        self._settings = settings = Settings(**given).checked()
        check_memory("parameters", settings.shapes(), settings.dtype)
        self.vocabulary_size: int = settings.vocabulary_size
        self.dropout: float = settings.dropout
        self.start: int | None = settings.start
        self.eos: int | None = settings.eos
        self.length_model: str | None = settings.length_model
        self.rng: np.random.Generator = as_generator(seed)
        self.embedding = self.length = self.head = None
        parts = make_parts(settings, rnn, head, self.rng)
        super().__init__(**parts)
        if settings.precision != "float32":
            set_precision(self, settings.precision)

    def loss(
        self, inputs: Any, targets: Any, state: Any = None, *, lengths: Any = None, context: Any = None
    ) -> tuple[float, Any]:
        """Compute the mean loss over a batch, without dropout and without keeping a tape.

        Parameters
        ----------
        inputs : array_like, int [T, N]
            Ids in ``0 .. V - 1``; -1 for a vector of zeros.
        targets : array_like, int [T, N]
            The id after each input; -1 does not count.
        state : ndarray, float [L, N, H], or for LSTM a pair of them, optional
            The state before the first step; default: zero.
        lengths : array_like, int [N], optional
            Steps of each row, in ``0 .. T``, if not all have T.
        context : array_like, float [N, C] or [T, N, C]
            Required if, and only if, the layers have a `context_size`: one for all steps, or one of each. A
            length model makes T + 1 steps: "tau" one more before the first, "halt" one more after the last.

        Returns
        -------
        loss : float
            Mean over the targets that count, in nats; includes the loss of a length model.
        state : as `state`
            The state after the last step.

        Raises
        ------
        ValueError
            If a shape does not fit, an id is out of range or no target counts.
        TypeError
            If an array has the wrong dtype.
        """
        batch = self._arrange(inputs, targets, lengths, context)
        losses, of_lengths, state = target_losses(self, batch, state)
        return (total(losses) + total(of_lengths)) / int(batch.symbols.sum()), state

    def target_losses(
        self, inputs: Any, targets: Any, state: Any = None, *, lengths: Any = None, context: Any = None
    ) -> tuple[Array, Array, Any]:
        """Compute ``-log p`` of each target, and of each row's length.

        Parameters
        ----------
        inputs, targets, state, lengths, context
            As for `loss`.

        Returns
        -------
        losses : ndarray, float64 [T, N]
            In nats; 0 where a target does not count.
        length_losses : ndarray, float64 [N]
            In nats; 0 without a length model.
        state : as `state`

        Raises
        ------
        ValueError, TypeError
            As for `loss`.
        """
        batch = self._arrange(inputs, targets, lengths, context)
        losses, of_lengths, state = target_losses(self, batch, state)
        steps = len(of_others("targets", targets))
        # "tau" adds a step before the first, "halt" one after the last.
        own = losses[1:] if self.length_model == "tau" else losses[:steps]
        return own.astype(np.float64), of_lengths, state

    @overload
    def loss_and_gradients(
        self, inputs: Any, targets: Any, state: Any = None, *, lengths: Any = None, scale: float = 1.0,
        label_smoothing: float = 0.0, checkpoint_every: int | None = None, context: Any = None,
        dcontext: Array | None = None, return_dstate: Literal[False] = False,
    ) -> tuple[float, Any]: ...  # fmt: skip

    @overload
    def loss_and_gradients(
        self, inputs: Any, targets: Any, state: Any = None, *, lengths: Any = None, scale: float = 1.0,
        label_smoothing: float = 0.0, checkpoint_every: int | None = None, context: Any = None,
        dcontext: Array | None = None, return_dstate: bool,
    ) -> tuple[float, Any] | tuple[float, Any, Any]: ...  # fmt: skip

    def loss_and_gradients(
        self,
        inputs: Any,
        targets: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        scale: float = 1.0,
        label_smoothing: float = 0.0,
        checkpoint_every: int | None = None,
        context: Any = None,
        dcontext: Array | None = None,
        return_dstate: bool = False,
    ) -> tuple[float, Any] | tuple[float, Any, Any]:
        """Compute the mean loss over a batch in training, and add its gradients into `gradients`.

        Backpropagation goes through the T steps of the batch and stops at the initial state.

        Parameters
        ----------
        inputs, targets, state, lengths, context
            As for `loss`.
        scale : float, default 1.0
            Factor of the gradients.
        label_smoothing : float, default 0.0
            The fraction of each target's probability that is spread over the whole vocabulary, in [0, 1).
        checkpoint_every : int, optional
            Steps between the states that the recurrent layers keep for BPTT, as in their `forward`: saves
            memory for long sequences; the result has the same bits.
        dcontext : ndarray, float, of the context's shape, optional
            The gradient of the loss, times `scale`, with respect to the context is added to it.
        return_dstate : bool, default False
            Whether to return `dstate` too.

        Returns
        -------
        loss, state
            As for `loss`, with dropout and label smoothing.
        dstate : as `state`, with `return_dstate` only
            Gradient of the loss, times `scale`, with respect to the state before the first step: where the
            gradient of an encoder begins whose last state is the state here.

        Raises
        ------
        ValueError, TypeError
            As for `loss`; the gradients are then unchanged.
        """
        smoothing = as_number("label_smoothing", label_smoothing, least=0.0, below=1.0)
        with_dstate = as_flag("return_dstate", return_dstate)
        batch = self._arrange(inputs, targets, lengths, context, dcontext)
        loss, last, dstate = loss_and_gradients(
            self,
            batch,
            state,
            scale=scale,
            smoothing=smoothing,
            checkpoint_every=checkpoint_every,
            dcontext=dcontext,
        )
        return (loss, last, dstate) if with_dstate else (loss, last)

    def _arrange(
        self, inputs: Any, targets: Any, lengths: Any, context: Any, dcontext: Array | None = None
    ) -> ModelBatch:
        """Check all that a pass reads, before it draws or adds anything."""
        batch = arrange(self.length, inputs, targets, lengths)._replace(context=context)
        check_contexts(self, batch, dcontext)
        return batch

    def advance(self, inputs: Any, state: Any = None, *, context: Any = None) -> Any:
        """Return the state after reading ids, without dropout.

        Parameters
        ----------
        inputs : array_like, int [T, N]
            As for `loss`.
        state, context
            As for `loss`; T steps with a length model too.

        Returns
        -------
        state : as `state`

        Raises
        ------
        ValueError, TypeError
            As for `loss`.
        """
        return infer(self, as_ids("inputs", inputs, ("T", "N")), state, context=context)[1]

    def logits(self, ids: Any, state: Any = None, *, context: Any = None) -> tuple[Array, Any]:
        """Compute the logits of each next id; with an adaptive softmax, the log-probabilities.

        Parameters
        ----------
        ids : array_like, int [T, N]
            -1 for a vector of zeros.
        state, context
            As for `advance`.

        Returns
        -------
        logits : ndarray, float [T, N, V]
        state : as `state`

        Raises
        ------
        ValueError, TypeError
            As for `loss`.
        """
        y, state = infer(self, as_ids("ids", ids, ("T", "N")), state, context=context)
        return self.output(y if self.head is None else self.head(y)), state

    def stream(self, batch_size: int = 1, *, context: Any = None) -> LanguageModelStream:
        """Return a stream that keeps the state: it reads an id of each sequence and returns the next logits.

        Parameters
        ----------
        batch_size : int, default 1
            N, the number of parallel sequences.
        context : array_like, float [N, C], optional
            As for a layer's stream: for all steps; else each step needs its own.
        """
        return LanguageModelStream(self, self.rnn.stream(batch_size, context=context))
