"""The base class of all models with ``fit``, in scikit-learn's manner: settings, fitting, files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import as_dtype
from fastrnn._checks import as_choice, as_flag, as_number, as_probability, as_size
from fastrnn.layers.base.precision import as_precision
from fastrnn.models.base.encoder import CELL_NAMES, SequenceEncoder
from fastrnn.models.base.examples import Examples
from fastrnn.models.base.fitted_model import FittedModel, validation_examples
from fastrnn.models.base.fitting import (
    FitSettings,
    History,
    fit_network,
    new_optimizer,
    split_examples,
)
from fastrnn.models.base.input_codec import InputCodec, ReadsSequences
from fastrnn.models.base.same_data import check_same
from fastrnn.train.distributed.agreement import as_ranks
from fastrnn.train.example_network import generators_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastrnn.train import Optimizer
    from fastrnn.train.distributed import Ranks

__all__ = ["SequenceModel"]


@dataclass(eq=False, repr=False, kw_only=True)
class SequenceModel(ReadsSequences, FittedModel, ABC):
    """The base class of all models with ``fit``, not for direct use, with the settings that they share.

    Parameters
    ----------
    cell : str, default "lstm"
        A recurrent layer in lower case: "rnn", "gru", "lstm", "slstm", "mingru", "minlstm".
    hidden_size : int, default 64
        H, the units of each layer and direction.
    num_layers : int, default 1
        Recurrent layers, each on the output of the one before.
    bidirectional : bool
        Whether a second set of layers reads each sequence from its end.
    embedding_size : int, optional, default 64
        The width of a symbol's vector; None: symbols are read as one-hot vectors. Not used for features.
    dropout : float, default 0.0
        Probability of dropping a connection that is not recurrent: after the embedding, between layers,
        before the output. In training only.
    cell_options : mapping, optional
        Further keywords of the cell, such as ``layer_norm`` or ``zoneout``; see `fastrnn.LSTM`.
    initialize : callable, optional
        Called with the new network before the training, to change its initial parameters in place: a function
        of `fastrnn.init` such as ``fr.init.identity``, or one of your own. Files do not keep it.
    level : {"char", "word"}
        What a sequence given as one str is a sequence of.
    min_count : int, default 1
        Symbols that occur less often in training are read as the unknown symbol.
    unknown_alpha : float, default 0.25
        In training a symbol is read as the unknown one with the probability ``alpha / (alpha + count)``, so
        that the model learns what to do with symbols that it never saw.
    standardize : bool, default True
        Whether features are given mean 0 and standard deviation 1, as measured in training.
    epochs : int, default 10
        Passes over the training data.
    batch_size : int, default 32
        Sequences in a batch; all of similar lengths.
    learning_rate : float, default 0.003
        Of Adam; the highest one, if it changes.
    schedule : {"cosine", "constant"}
        "cosine": after a short warm-up the learning rate falls to 0 along half a cosine.
    weight_decay : float, default 0.0
        Decoupled from the gradient, as in AdamW.
    clip_norm : float or None, default 1.0
        Limit of the gradient's global norm.
    early_stopping : bool, default False
        Hold out a part of the training data, score it after each epoch, stop when the score has not risen for
        `n_iter_no_change` epochs, and keep the best parameters (of equal scores, those of the lowest loss).
    validation_fraction : float, default 0.1
        The part that is held out. Not used if ``fit`` is given a validation set.
    n_iter_no_change : int, default 5
        Epochs without a higher score after which ``early_stopping`` stops.
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None
        For the parameters, the order of the examples and dropout. With an int, ``fit`` is repeatable.
    dtype : {"float32", "float64"}
        Of the parameters and of all that is computed.
    precision : {"float32", "bfloat16"}
        Of the products of plain recurrent, linear and softmax layers. "bfloat16": their operands are rounded
        to 8 significant bits; sums, states, losses, gradients and parameters stay float32. Attention, CRF,
        CTC, logistic outputs, and cells with options or of another kind than RNN, GRU and LSTM are computed
        in float32. For inference in int8 write ``fastrnn.quantize(model, "int8")``.
    verbose : bool, default False
        Show a progress bar.

    Attributes
    ----------
    network_ : Module
        The layers, with their parameters and gradients.
    history_ : dict of str to list of float
        For each epoch: "loss", "learning_rate", "gradient_norm" (mean over its steps, before clipping),
        "gradient_norm_max", "seconds"; with validation also "validation_loss" and "validation_score".
    n_iter_ : int
        Epochs made.
    """

    cell: str = "lstm"
    hidden_size: int = 64
    num_layers: int = 1
    bidirectional: bool = False
    embedding_size: int | None = 64
    dropout: float = 0.0
    cell_options: Mapping[str, Any] | None = None
    initialize: Callable[[Any], object] | None = None
    level: str = "char"
    min_count: int = 1
    unknown_alpha: float = 0.25
    standardize: bool = True
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 0.003
    schedule: str = "cosine"
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 5
    random_state: Any = None
    dtype: str = "float32"
    precision: str = "float32"
    verbose: bool = False

    # Set by `fit`.
    network_: Any = field(init=False)
    history_: History = field(init=False)
    n_iter_: int = field(init=False)

    # ---- what a model defines

    @abstractmethod
    def _learn(self, X: Any, y: Any, rng: np.random.Generator) -> None:
        """Check the training data and the model's own settings; set the learned attributes and `network_`.

        Called on a blank copy of the model: nothing is lost if it raises.
        """

    @abstractmethod
    def _examples(self, X: Any, y: Any) -> Examples:
        """Encode data for training or validation with what `_learn` has set."""

    @abstractmethod
    def _measure(self, rows: NDArray[np.int64], batch: Any) -> Any:
        """Return what `_score_of` needs of a batch, and of the numbers of its rows; it can be pickled."""

    @abstractmethod
    def _score_of(self, measured: list[Any]) -> float:
        """Return the score, higher is better, of what `_measure` returned for each batch."""

    def _split(self, training: Examples, rng: np.random.Generator) -> tuple[Examples, Examples]:
        """Return the examples to train on and those held out for an early stop."""
        return split_examples(training, self.validation_fraction, rng, getattr(self, "classes_", None))

    def _end_training(self, X: Any, y: Any) -> None:
        """Measure what predictions need of the training data and the trained network; by default nothing."""

    # ---- what users call

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation: tuple[Any, Any] | None = None,
        ranks: Ranks | None = None,
    ) -> Self:
        """Train the model from the beginning.

        Parameters
        ----------
        X : sequence of sequences
            Each a str, a list of tokens or ids, or an array of features [T, D] or [T]; of any lengths.
        y : sequence
            The targets, one for each sequence.
        validation : (X, y), optional
            Measured after each epoch; with `early_stopping` it decides when to stop.
        ranks : Ranks, optional
            What `fastrnn.train.distributed.start` returned: the processes that train the model together, each
            with the same settings and data. All of them have the same model in the end.

        Returns
        -------
        self
            If an error is raised, the model is as it was before.

        Raises
        ------
        ValueError, TypeError
            If a setting is wrong, there are not as many targets as sequences, a sequence is empty, or a
            feature is not finite; the message names the row. Also if ranks have different data or settings.
        """
        ranks = as_ranks(ranks)
        self._check_trainable("fit")
        check_same(ranks, {"X": X, "y": y, "validation": validation, **self._shared_settings()})
        fresh = self._blank()
        settings, rng = fresh._settings(), fresh._shared_generator(ranks)
        fresh._begin(X, y, rng)
        check_same(ranks, {"initial parameters": fresh._started()})
        training, held_out = fresh._examples(X, y), None
        if validation is not None:
            held_out = validation_examples(validation, fresh._examples)
        elif settings.early_stopping:
            training, held_out = fresh._split(training, rng)
        fresh.history_ = fit_network(
            fresh.network_, training, held_out, settings, score=fresh._score_examples, ranks=ranks
        )
        fresh.n_iter_ = len(fresh.history_["loss"])
        fresh._end_training(X, y)
        self._adopt(fresh)
        return self

    @property
    def quantized(self) -> bool:
        """Whether `fastrnn.quantize` made the model: then ``network_.precision`` is that of its weights."""
        return self.__sklearn_is_fitted__() and bool(self.network_.quantized)

    # ---- what models use

    def _settings(self) -> FitSettings:
        """Check the settings that all models share; return those of the training loop."""
        as_choice("cell", self.cell, CELL_NAMES)
        for name in ("hidden_size", "num_layers", "min_count"):
            as_size(name, getattr(self, name))
        if self.embedding_size is not None:
            as_size("embedding_size", self.embedding_size)
        as_probability("dropout", self.dropout)
        as_flag("bidirectional", self.bidirectional)
        as_number("unknown_alpha", self.unknown_alpha, least=0.0)
        as_precision(self.precision, as_dtype(self.dtype))
        if self.initialize is not None and not callable(self.initialize):
            raise TypeError(f"initialize: expected a function, got {type(self.initialize).__name__}")
        return self._training_settings()

    def _begin(self, X: Any, y: Any, rng: np.random.Generator, **known: Any) -> None:
        """Learn from the training data what `_learn` does, and set the network's first parameters."""
        learn: Any = self._learn
        learn(X, y, rng, **known)
        if self.initialize is not None:
            self.initialize(self.network_)

    def _new_network(self, rng: np.random.Generator) -> Any:
        network = self._make_network(rng)
        network._set_precision(as_precision(self.precision, network.dtype))
        return network

    def _check_trainable(self, method: str) -> None:
        """Check that the model is not a quantized one, which has no parameters that could be trained."""
        if self.quantized:
            kind = type(self).__name__
            raise ValueError(
                f"quantized: {kind} is for inference; call {method} of the model it was made of, or of a new "
                f"one, {kind}(**model.get_params())"
            )

    def _encoder(
        self, codec: InputCodec, rng: np.random.Generator, joined_size: int = 0, *, stacked: int = 1
    ) -> SequenceEncoder:
        """Return the layers that read sequences of a codec, `stacked` steps of features at once."""
        symbols = codec.symbols
        return SequenceEncoder(
            stacked * codec.width,
            embedding_size=None if symbols is None else self.embedding_size,
            cell=self.cell,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=self.bidirectional,
            dropout=self.dropout,
            cell_options=self.cell_options,
            dtype=self.dtype,
            rng=rng,
            unknown=None if symbols is None else symbols.unknown_probabilities(self.unknown_alpha),
            joined_size=joined_size,
        )

    def _encoded(self, X: Any) -> list[NDArray[Any]]:
        """Return sequences as arrays."""
        return self._codec.encode("X", X, self.dtype)

    def _score_examples(self, examples: Examples, ranks: Ranks) -> float:
        """Return the score of encoded examples, higher is better. Collective."""
        return self._score_of(examples.map_batches(self._measure, self.batch_size, ranks))

    def _shared_settings(self) -> dict[str, Any]:
        """Return the settings that have to be the same on all ranks."""
        free = () if self.random_state is not None else ("random_state",)
        return {name: value for name, value in self.get_params().items() if name not in (*free, "verbose")}

    def _shared_generator(self, ranks: Ranks) -> np.random.Generator:
        """Return the generator of `random_state`, without one that of rank 0. Collective."""
        rng = self._generator()
        if self.random_state is None and ranks.size > 1:
            rng.bit_generator.state = ranks.broadcast(rng.bit_generator.state)
        return rng

    def _started(self) -> list[Any]:
        """Return what a training starts from: it has to be the same on all ranks."""
        return [self._learned(), self.network_.parameters.flat, *generators_of(self.network_)]

    def _fit_further(self, X: Any, y: Any, ranks: Ranks | None, **known: Any) -> Self:
        """Do what ``partial_fit`` does; the first time `_learn` gets what is known of later calls."""
        ranks = as_ranks(ranks)
        self._check_trainable("partial_fit")
        check_same(ranks, {"X": X, "y": y, **known, **self._shared_settings()})
        if self.__sklearn_is_fitted__():
            check_same(ranks, {"parameters": self._started()})
            self._continue(X, y, ranks)
            return self
        fresh = self._blank()
        fresh._settings()
        fresh._begin(X, y, fresh._shared_generator(ranks), **known)
        check_same(ranks, {"initial parameters": fresh._started()})
        fresh.history_, fresh.n_iter_ = {}, 0
        fresh._continue(X, y, ranks)
        self._adopt(fresh)
        return self

    def _continue(self, X: Any, y: Any, ranks: Ranks) -> None:
        """Train a fitted model for one more pass, with the constant learning rate."""
        settings = replace(self._settings(), epochs=1, schedule="constant", early_stopping=False)
        optimizer: Optimizer = self.__dict__.get("_optimizer") or new_optimizer(self.network_, settings)
        before = self.network_.parameters.flat.copy()
        try:
            history = fit_network(
                self.network_, self._examples(X, y), None, settings,
                score=self._score_examples, optimizer=optimizer, ranks=ranks,
            )  # fmt: skip
        except BaseException:
            self.network_.parameters._writable_flat()[...] = before
            raise
        self._optimizer = optimizer
        for name, values in history.items():
            self.history_.setdefault(name, []).extend(values)
        self.n_iter_ = len(self.history_["loss"])
        self._end_training(X, y)
