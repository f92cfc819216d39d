"""A recurrent language model: ids in, logits of the next id out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array, Ids, as_ids
from fastrnn._dispatch import kernels
from fastrnn.layers import Composite, Embedding, Linear, Module, Recurrent
from fastrnn.layers.loss import count_targets, mean_loss
from fastrnn.layers.masks import dropout_mask
from fastrnn.layers.projection import ProjectedStack
from fastrnn.layers.random import as_generator, random_state, set_random_state
from fastrnn.models.settings import Settings
from fastrnn.models.stream import LanguageModelStream

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastrnn.layers.random import Seed

__all__ = ["LanguageModel"]


class LanguageModel(Composite):
    """Predicts each next id of a sequence: an embedding if asked for, recurrent layers, a linear layer.

    Parameters are ``embedding.weight [V, E]``, ``rnn.weight_ih_l0``, ... as of the recurrent layer,
    ``output.weight [V, H]`` and ``output.bias [V]``, in one flat array. Dropout is on all connections that
    are not recurrent: behind the embedding, between the layers and before the output.

    Parameters
    ----------
    vocabulary_size : int
        V, the number of different ids.
    cell : {"lstm", "gru", "rnn"}
    hidden_size : int, default 256
        H.
    num_layers : int, default 2
    embedding_size : int, optional
        E. Without one, ids go straight into the recurrent layer, as if they were one-hot vectors.
    dropout : float, default 0.0
        Probability in [0, 1); in training only.
    dtype : {"float32", "float64"}
    seed : int or numpy.random.Generator, optional
        For the parameters, then for dropout.
    reset_after : bool, default True
        GRU only, see `fastrnn.GRU`.
    nonlinearity : {"tanh", "relu"}
        RNN only.

    Attributes
    ----------
    embedding : Embedding or None
    rnn : LSTM, GRU or RNN
    output : Linear
    rng : numpy.random.Generator
        Draws the dropout masks; its state is part of what a training run needs to be resumed.

    Raises
    ------
    ValueError
        If a size is less than 1, a probability out of range, a name unknown, or an option is another cell's.
    TypeError
        If a size is no integer, or the dtype another.
    MemoryError
        If the parameters cannot be allocated; it says how many bytes.

    References
    ----------
    Mikolov et al. (2010), "Recurrent neural network based language model". Zaremba, Sutskever, Vinyals
    (2014), "Recurrent Neural Network Regularization", for where dropout is.

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
    """

    embedding: Embedding | None
    rnn: Recurrent[Any]
    output: Linear

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
    ) -> None:
        given = Settings(
            vocabulary_size,
            cell,
            hidden_size,
            num_layers,
            embedding_size,
            dropout,
            dtype,
            reset_after,
            nonlinearity,
        )
        self._settings = settings = given.checked()
        self.vocabulary_size, self.dropout = settings.vocabulary_size, settings.dropout
        self.rng: np.random.Generator = as_generator(seed)
        self.embedding = None
        modules: dict[str, Module] = {}
        if settings.embedding_size is not None:
            sizes = (settings.vocabulary_size, settings.embedding_size)
            modules["embedding"] = Embedding(*sizes, dtype=settings.dtype, seed=self.rng)
        modules["rnn"] = settings.recurrent_layer(self.rng)
        sizes = (settings.hidden_size, settings.vocabulary_size)
        modules["output"] = Linear(*sizes, dtype=settings.dtype, seed=self.rng)
        super().__init__(**modules)

    @property
    def config(self) -> dict[str, Any]:
        """Plain values, ready for ``json.dumps``, of which `from_config` makes a model of the same form."""
        return self._settings._asdict()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, seed: Seed = None) -> LanguageModel:
        """Make a model from what `config` gave.

        Parameters
        ----------
        config : mapping
        seed : int or numpy.random.Generator, optional
            As for the constructor.

        Raises
        ------
        ValueError, TypeError
            If a setting is unknown, missing or wrong.

        Examples
        --------
        >>> import fastrnn as fr
        >>> fr.LanguageModel.from_config({"vocabulary_size": 5, "cell": "gru", "hidden_size": 8})
        LanguageModel(5, cell='gru', hidden_size=8)
        """
        return cls(**Settings.from_mapping(config)._asdict(), seed=seed)

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Give name and shape of each parameter that a model of a config has. Nothing is allocated.

        Parameters
        ----------
        config : mapping

        Returns
        -------
        shapes : dict of str to tuple of int

        Raises
        ------
        ValueError, TypeError
            As for `from_config`.
        """
        return Settings.from_mapping(config).shapes()

    def random_state(self) -> dict[str, Any]:
        """Give the state of `rng` in plain values, ready for ``json.dumps``."""
        return random_state(self.rng)

    def set_random_state(self, state: Mapping[str, Any]) -> None:
        """Set the state of `rng` that `random_state` gave.

        Raises
        ------
        ValueError
            If it is none, or one of another kind of generator.
        """
        set_random_state(self.rng, state)

    def loss(self, inputs: Any, targets: Any, state: Any = None) -> tuple[float, Any]:
        """Give the mean loss over a batch, without dropout and keeping nothing.

        Parameters
        ----------
        inputs : array_like, int [T, N]
            Ids in ``0 .. V - 1``.
        targets : array_like, int [T, N]
            The id after each; -1 is not counted.
        state : ndarray, float [L, N, H], or for LSTM a pair of them, optional
            The state before the first step; default zero.

        Returns
        -------
        loss : float
            Mean over the counted targets, in nats.
        state : as `state`
            The state after the last step.

        Raises
        ------
        ValueError
            If a shape does not fit, an id is out of range or no target is counted.
        TypeError
            If an array has a wrong dtype.
        """
        ids, wanted = _as_batch(inputs, targets)
        count = count_targets(wanted)
        y, state = self._outputs(ids, state)
        weight, bias = self.output.parameters["weight"], self.output.parameters["bias"]
        losses, _ = kernels.linear_cross_entropy(
            _rows(y), weight, bias, wanted.reshape(-1), 0.0, None, None, False
        )
        return mean_loss(losses, count), state

    def loss_and_gradients(
        self, inputs: Any, targets: Any, state: Any = None, *, checkpoint_every: int | None = None
    ) -> tuple[float, Any]:
        """Give the mean loss over a batch in training, and add its gradients into `gradients`.

        Backpropagation goes through the T steps of the batch and stops at the first state.

        Parameters
        ----------
        inputs, targets, state
            As for `loss`.
        checkpoint_every : int, optional
            Steps between the states that the recurrent layers keep for BPTT, as for their `forward`: less
            memory for long sequences, the same bits.

        Returns
        -------
        loss, state
            As for `loss`, with dropout.

        Raises
        ------
        ValueError, TypeError
            As for `loss`; the gradients are then as before.
        """
        ids, wanted = _as_batch(inputs, targets)
        count = count_targets(wanted)
        projected = self._projected(ids, self.dropout)
        if projected is not None:
            y, state, tape = projected.forward(ids, state, checkpoint_every)
        else:
            x, embedding_tape = (ids, ids) if self.embedding is None else self.embedding.forward(ids)
            x_mask = None if self.embedding is None else self._mask(x)
            x = x if x_mask is None else x * x_mask
            y, state, tape = self.rnn.forward(x, state, checkpoint_every=checkpoint_every)
        y_mask = self._mask(y)
        weight, bias = self.output.parameters["weight"], self.output.parameters["bias"]
        losses, dh = kernels.linear_cross_entropy(
            _rows(y if y_mask is None else y * y_mask),
            weight,
            bias,
            wanted.reshape(-1),
            1.0 / count,
            self.output.gradients["weight"],
            self.output.gradients["bias"],
            True,
        )
        assert dh is not None
        dy = dh.reshape(y.shape)
        if y_mask is not None:
            dy *= y_mask
        if projected is not None:
            projected.backward(tape, dy)
        else:
            dx, _ = self.rnn.backward(tape, dy, need_dx=self.embedding is not None)
            if self.embedding is not None:
                self.embedding.backward(embedding_tape, dx if x_mask is None else dx * x_mask)
        return mean_loss(losses, count), state

    def logits(self, ids: Any, state: Any = None) -> tuple[Array, Any]:
        """Give the logits of every next id.

        Parameters
        ----------
        ids : array_like, int [T, N]
        state : as for `loss`, optional

        Returns
        -------
        logits : ndarray, float [T, N, V]
        state : as `state`

        Raises
        ------
        ValueError, TypeError
            As for `loss`.
        """
        y, state = self._outputs(as_ids("ids", ids, ("T", "N")), state)
        return self.output(y), state

    def stream(self, batch_size: int = 1) -> LanguageModelStream:
        """Make a stepper that keeps the state: one id of each sequence in, the logits of the next out.

        Parameters
        ----------
        batch_size : int, default 1
            N, the number of sequences side by side.
        """
        return LanguageModelStream(self, self.rnn.stream(batch_size))

    def _outputs(self, ids: Ids, state: Any) -> tuple[Array, Any]:
        """Give every h of the last layer, and the last state."""
        projected = self._projected(ids)
        if projected is not None:
            return projected(ids, state)
        return self.rnn(ids if self.embedding is None else self.embedding(ids), state)

    def _projected(self, ids: Ids, dropout: float = 0.0) -> ProjectedStack | None:
        """Give the first layer's products by id, where there are enough tokens for it to pay."""
        if self.embedding is None or dropout > 0.0 or ids.size < 2 * self.embedding.num_embeddings:
            return None
        return ProjectedStack(self.embedding, self.rnn)

    def _mask(self, values: Array) -> Array | None:
        return dropout_mask(values.shape, self.dropout, self.dtype, self.rng)

    def __repr__(self) -> str:
        return f"LanguageModel{self._settings!r}"


def _as_batch(inputs: Any, targets: Any) -> tuple[Ids, Ids]:
    ids = as_ids("inputs", inputs, ("T", "N"))
    return ids, as_ids("targets", targets, ids.shape)


def _rows(y: Array) -> Array:
    return y.reshape(-1, y.shape[-1])
