"""Generate sequences: texts, chords or numbers, from nothing, a class or a vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_flag, as_number, as_size
from fastrnn._plain import as_fields, as_list, as_mapping
from fastrnn.decode import Sampling
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.examples import Examples, as_batch, fraction_of
from fastrnn.models.base.sequences import as_rows, check_counts
from fastrnn.models.generator_condition import Condition
from fastrnn.models.generator_loop import generate_steps
from fastrnn.models.generator_network import GeneratorBatch, GeneratorNetwork
from fastrnn.models.generator_outputs import NumberOutput
from fastrnn.models.generator_steps import NumberSteps, TokenSteps, learn_steps, steps_from_plain
from fastrnn.train.distributed import OneProcess

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastrnn.train.distributed import Ranks

__all__ = ["SequenceGenerator"]

_REFUSED = {"context_size": "; write condition_as='input'", "reverse": "", "bidirectional": ""}


@dataclass(eq=False, repr=False, kw_only=True)
class SequenceGenerator(SequenceModel):
    """Generate sequences of any lengths, from nothing, from a class, or from a vector.

    In ``fit(X, y)`` the sequences are y. X is what each is conditioned on, and None where they are
    conditioned on nothing: ``fit(None, y)``. The settings that all models share are those of
    `fastrnn.models.SequenceModel`; the others:

    Parameters
    ----------
    condition_as : {"state", "input", "both"}
        How the condition enters: a linear map makes the initial states of all layers from it; each step's
        gates read it through a matrix R of their own (``weight_context``); or both. A class is a one-hot
        vector, so that the map has a state for each class.
    steps : {"auto", "tokens", "labels", "numbers"}
        What y is: texts, or lists of str or int, as the steps of a softmax; for each step a set or a list of
        labels (str or int; it may be empty), with a probability of each label; or arrays of numbers [T, D] or
        [T]. "auto": as the first sequence looks; lists of lists of int are labels, arrays are numbers.
    labels : sequence, optional
        All labels that a step may have; default: those in y.
    numbers_as : {"gaussian", "squared"}
        The loss of numbers: of a normal distribution whose mean and scale the network foresees at each step,
        or the squared error. With the latter, the scale is the root mean square of the training errors.
    learn_end : bool, default True
        Whether the network learns where sequences end: tokens by an end symbol of their own, labels and
        numbers by a further logistic output at each step. If not, ``generate`` makes as many steps as asked
        for.
    scheduled_sampling : float, default 0.0
        In training the network reads the true steps so far. This is the probability, in the last epoch, of
        reading one that it has drawn itself; it rises linearly from 0 in the first epoch. An epoch takes
        several times as long then.
    bidirectional : bool
        Must be False: what comes after is not known.

    Attributes
    ----------
    steps_ : {"tokens", "labels", "numbers"}
    conditions_ : ndarray or None
        The classes, if X is classes.
    labels_ : ndarray [K] or None
        The labels, if steps have several.
    longest_ : int
        Steps of the longest sequence in training.

    Raises
    ------
    ValueError, TypeError
        By ``fit``, if a setting is wrong.

    References
    ----------
    Karpathy, Fei-Fei (2015), "Deep Visual-Semantic Alignments for Generating Image Descriptions", and Vinyals
    et al. (2015), "Show and Tell", for a vector as the beginning of a text. Cho et al. (2014) for the
    condition as an input of each step. Boulanger-Lewandowski, Bengio, Vincent (2012), "Modeling Temporal
    Dependencies in High-Dimensional Sequences", for several labels at once. Bengio et al. (2015), "Scheduled
    Sampling for Sequence Prediction with Recurrent Neural Networks". Graves (2013), "Generating Sequences
    With Recurrent Neural Networks", for numbers and their scales.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.models.SequenceGenerator(hidden_size=16, epochs=40, learning_rate=0.03, random_state=0)
    >>> model = model.fit(["it", "en"] * 20, ["ciao", "hello"] * 20)
    >>> model.predict(["en", "it"])
    ['hello', 'ciao']
    >>> right, wrong = model.log_likelihood(["en", "en"], ["hello", "ciao"])
    >>> model.generate(["en"], count=2, random_state=0), bool(right > -0.5 > -2 > wrong)
    (['hello', 'hello'], True)

    Chords from nothing, here three that always follow each other:

    >>> model = fr.models.SequenceGenerator(hidden_size=16, epochs=40, learning_rate=0.03, random_state=0)
    >>> model = model.fit(None, [[[60, 64], [60, 65], []]] * 20)
    >>> model.steps_, model.predict()
    ('labels', [[[60, 64], [60, 65], []]])
    """

    condition_as: str = "state"
    steps: str = "auto"
    labels: Any = None
    numbers_as: str = "gaussian"
    learn_end: bool = True
    scheduled_sampling: float = 0.0
    steps_: str = field(init=False)
    conditions_: NDArray[Any] | None = field(init=False)
    labels_: NDArray[Any] | None = field(init=False)
    longest_: int = field(init=False)

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
        X : None, sequence of classes, or array_like, float [N, C]
            What each sequence is conditioned on: nothing, a class (str or int), or a vector.
        y : sequence of sequences
            What to generate, of any lengths; see `steps`.
        validation : (X, y), optional
            Measured after each epoch; with `early_stopping` it decides when to stop.
        ranks : Ranks, optional
            The processes that train the model together; see `SequenceModel.fit`.

        Returns
        -------
        self
            If an error is raised, the model is as it was before.

        Raises
        ------
        ValueError, TypeError
            If a setting is wrong, X and y have different numbers of rows, a sequence is empty, or a number is
            not finite; the message names the row.
        """
        return super().fit(X, y, validation=validation, ranks=ranks)

    def partial_fit(self, X: Any, y: Any, *, ranks: Ranks | None = None) -> Self:
        """Train for one pass over further data, after the true steps.

        Parameters
        ----------
        X, y
            As for `fit`. Classes, labels and symbols that the first call did not see stay unknown.
        ranks : Ranks, optional
            As for `fit`.

        Returns
        -------
        self
        """
        return self._fit_further(X, y, ranks)

    def generate(
        self,
        X: Any = None,
        *,
        count: int = 1,
        max_length: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        greedy: bool = False,
        prefix: Any = None,
        random_state: Any = None,
    ) -> list[Any]:
        """Draw sequences.

        Parameters
        ----------
        X : None, sequence of classes, or array_like, float [N, C]
            What to condition them on, as in `fit`.
        count : int, default 1
            Sequences for each row of X, those of the first row first; without X, sequences in all.
        max_length : int, optional
            Sequences that have not ended after so many steps are cut; default: twice the longest one in
            training. Without `learn_end`, the length of all; default: that of the longest one.
        temperature : float, default 1.0
            Divides the logits, and multiplies the scales of numbers.
        top_k : int, optional
            Draw only among the k likeliest tokens; of several labels, at most k at a step.
        top_p : float, optional
            Draw only among the fewest tokens whose probabilities sum to at least this.
        greedy : bool, default False
            Take the likeliest token, the labels with a probability above one half, or the means of numbers:
            as temperature 0.
        prefix : sequence, optional
            What each sequence begins with. It is not part of the result.
        random_state : int, numpy.random.Generator or None
            With an int, the same sequences each time; `count` does not change the first ones.

        Returns
        -------
        sequences : list
            Of str, if those in training were; else of lists of tokens; for labels, a list of sorted labels
            for each step; for numbers, arrays, float64 [T, D]. Without a prefix each has at least one step.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("generate")
        sampling = Sampling(0.0 if as_flag("greedy", greedy) else temperature, top_k, top_p)
        copies = as_size("count", count)
        usual = self.longest_ * (2 if self.learn_end else 1)
        most = usual if max_length is None else as_size("max_length", max_length)
        condition = self._condition.encode(X, self.dtype)
        if condition is not None:
            condition = np.repeat(condition, copies, axis=0)
        rows = copies if condition is None else len(condition)
        before = None if prefix is None else self._steps.encode("prefix", [prefix], self.dtype)[0]
        arrays = generate_steps(self.network_, condition, rows, before, most, sampling, random_state)
        return [self._steps.decode(array) for array in arrays]

    def predict(self, X: Any = None) -> list[Any]:
        """Return a sequence for each row of X, one without X: ``generate`` with ``greedy=True``."""
        return self.generate(X, greedy=True)

    def log_likelihood(self, X: Any, y: Any) -> NDArray[np.float64]:
        """Return the log-likelihood of each sequence, in nats: a density, where steps are numbers.

        Parameters
        ----------
        X, y
            As for `fit`.

        Returns
        -------
        log_likelihood : ndarray, float64 [N]
            Of all steps and, with `learn_end`, of the end.
        """
        return -np.array([nats.sum() for nats in self.step_nats(X, y)])

    def step_nats(self, X: Any, y: Any) -> list[NDArray[np.float64]]:
        """Return for each step of each sequence how unlikely it is after those before it, in nats.

        Parameters
        ----------
        X, y
            As for `fit`.

        Returns
        -------
        nats : list of ndarray, float64 [T + 1, 2]
            The first column is that of the steps themselves, the second that of their not being the end. The
            last row is the end's. Tokens have both in the first column, and zeros in the second. Without
            `learn_end`, [T, 2].
        """
        self._check_fitted("step_nats")
        examples = self._examples(X, y)
        result: list[Any] = [None] * len(examples)
        for rows, batch in examples.batches(self.batch_size):
            for row, own in zip(rows, self._nats(batch), strict=True):
                result[row] = own
        return result

    def score(self, X: Any, y: Any) -> float:
        """Return minus the mean nats of a step; with `learn_end` the end of a sequence is one more step."""
        self._check_fitted("score")
        return self._score_examples(self._examples(X, y), OneProcess())

    def _learn(self, X: Any, y: Any, rng: np.random.Generator) -> None:
        self._check_own_settings()
        if y is None:
            raise ValueError(
                "y: expected the sequences to learn, got None (requires y to be passed, but the target y is "
                "None); X is what they are conditioned on: write fit(None, sequences) if that is nothing"
            )
        rows = as_rows("y", y)
        check_counts("X", len(rows) if X is None else len(as_rows("X", X)), "y", len(rows))
        self._condition = Condition.learn(X, standardize=self.standardize)
        self._steps = learn_steps(
            self.steps, rows, labels=self.labels, level=self.level, min_count=self.min_count,
            standardize=self.standardize,
        )  # fmt: skip
        self.longest_ = max(map(len, self._steps.encode("y", rows, self.dtype)))
        self._noise = [1.0] * self._steps.width
        self._set_attributes()
        self.network_: Any = self._new_network(rng)

    def _check_own_settings(self) -> None:
        as_choice("condition_as", self.condition_as, ("state", "input", "both"))
        as_choice("numbers_as", self.numbers_as, ("gaussian", "squared"))
        as_flag("learn_end", self.learn_end)
        as_number("scheduled_sampling", self.scheduled_sampling, least=0.0, most=1.0)
        if as_flag("bidirectional", self.bidirectional):
            raise ValueError("bidirectional: expected False, as a generator does not know what comes after")
        for name, hint in _REFUSED.items():
            if name in (self.cell_options or {}):
                raise ValueError(f"cell_options: expected no {name}{hint}")

    def _set_attributes(self) -> None:
        condition, steps = self._condition, self._steps
        self.steps_ = steps.kind
        self.conditions_ = None if condition.labels is None else condition.labels.classes
        self.labels_ = steps.labels.classes if hasattr(steps, "labels") else None
        if condition.mean is not None:
            self.n_features_in_: int = condition.size

    def _make_network(self, rng: np.random.Generator) -> GeneratorNetwork:
        steps, size = self._steps, self._condition.size
        symbols = steps.codec.symbols if isinstance(steps, TokenSteps) else None
        options = dict(self.cell_options or {})
        if size and self.condition_as != "state":
            options["context_size"] = size
        encoder = SequenceEncoder(
            steps.width if symbols is not None else 1 + steps.width,
            embedding_size=None if symbols is None else self.embedding_size,
            cell=self.cell, hidden_size=self.hidden_size, num_layers=self.num_layers, bidirectional=False,
            dropout=self.dropout, cell_options=options, dtype=self.dtype, rng=rng,
            unknown=None if symbols is None else symbols.unknown_probabilities(self.unknown_alpha),
        )  # fmt: skip
        network = GeneratorNetwork(
            encoder, steps, gaussian=self.numbers_as == "gaussian", end=self.learn_end, condition_size=size,
            condition_as=self.condition_as, scheduled_sampling=self.scheduled_sampling, rng=rng,
        )  # fmt: skip
        self._set_noise(network)
        return network

    def _examples(self, X: Any, y: Any) -> Examples:
        sequences = self._steps.encode("y", y, self.dtype)
        condition = self._condition.encode(X, self.dtype)
        check_counts("X", len(sequences if condition is None else condition), "y", len(sequences))
        pairs = [self._steps.pair(sequence, end=self.learn_end) for sequence in sequences]
        inputs, targets = [first for first, _ in pairs], [second for _, second in pairs]

        def make(rows: NDArray[np.int64]) -> GeneratorBatch:
            own = None if condition is None else condition[rows]
            return GeneratorBatch(*as_batch(inputs, rows), as_batch(targets, rows)[0], own)

        return Examples([len(one) for one in inputs], make)

    def _nats(self, batch: GeneratorBatch) -> Iterator[NDArray[np.float64]]:
        """Yield the nats of each sequence of a batch; see `step_nats`."""
        wider = self._steps.log_scale if isinstance(self._steps, NumberSteps) else 0.0
        nats = self.network_.nats(batch)
        for column, length in enumerate(batch.lengths):
            own = nats[:length, column]
            own[: length - self.learn_end, 0] += wider
            yield own

    def _measure(self, rows: NDArray[np.int64], batch: GeneratorBatch) -> list[tuple[int, float, int]]:
        pairs = zip(rows.tolist(), self._nats(batch), strict=True)
        return [(row, float(own.sum()), len(own)) for row, own in pairs]

    def _score_of(self, measured: list[list[tuple[int, float, int]]]) -> float:
        rows = sorted(row for batch in measured for row in batch)  # summed in the order of the rows
        return -fraction_of([(nats, steps) for _, nats, steps in rows])

    def _end_training(self, X: Any, y: Any) -> None:
        """Set the scale of numbers that were learned by their squared error."""
        if self.steps_ == "numbers" and self.numbers_as == "squared":
            batches = self._examples(X, y).batches(self.batch_size)
            self._noise = self.network_.measure_noise(batch for _, batch in batches)
            self._set_noise(self.network_)

    def _set_noise(self, network: GeneratorNetwork) -> None:
        if isinstance(network.output, NumberOutput):
            network.output.noise = np.array(self._noise)

    def _learned(self) -> dict[str, Any]:
        return {
            "condition": self._condition.to_plain(),
            "steps": self._steps.to_plain(),
            "longest": self.longest_,
            "noise": list(self._noise),
        }

    def _restore(self, values: Mapping[str, Any]) -> None:
        kinds = {"condition": as_mapping, "steps": as_mapping}
        scales = partial(as_list, check=partial(as_number, above=0.0))
        fields = as_fields("learned", values, {**kinds, "longest": as_size, "noise": scales})
        self._check_own_settings()
        self._condition = Condition.from_plain(fields["condition"])
        self._steps = steps_from_plain(fields["steps"])
        self.longest_, self._noise = fields["longest"], fields["noise"]
        if len(self._noise) != self._steps.width:
            raise ValueError(f"noise: expected {self._steps.width} numbers, got {len(self._noise)}")
        self._set_attributes()
