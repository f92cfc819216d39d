"""Turn sequences into other sequences of any length: translate, rewrite, spell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn._checks import as_choice, as_flag, as_generator, as_number, as_size
from fastrnn._plain import as_fields, as_mapping
from fastrnn.data import length_buckets
from fastrnn.decode import Sampling
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.examples import Examples, as_batch
from fastrnn.models.base.input_codec import InputCodec
from fastrnn.models.base.sequences import as_rows, check_counts
from fastrnn.models.seq2seq_network import Seq2SeqBatch, Seq2SeqNetwork
from fastrnn.models.seq2seq_search import END, UNKNOWN, Found, beam_targets, draw_targets

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Seq2Seq"]

_CONTEXTS = ("state", "input", "both")
_ATTENTIONS = ("additive", "multiplicative")


@dataclass(eq=False, repr=False, kw_only=True)
class Seq2Seq(SequenceModel):
    """Turn a sequence into another one of any length, with an encoder and a decoder.

    Sources are texts, tokens, ids or features; targets are texts, or lists of tokens or ids. The settings
    that all models share are those of `fastrnn.models.SequenceModel`; the others:

    Parameters
    ----------
    bidirectional : bool, default True
        Whether the encoder reads a source from both ends.
    context : {"state", "input", "both"}
        What the decoder gets of the encoder's last state: its own first state, through a linear map and
        tanh; an input at each step, through a matrix of its own; or both.
    attention : {"additive", "multiplicative"} or None, default "additive"
        Whether each step of the decoder attends to the steps of the source, and how it is scored.
    input_feeding : bool, default False
        Whether the decoder also reads the attentional vector of the step before. It then runs step by step.
    reverse_source : bool, default False
        Whether the encoder reads sources backwards. Attention is returned in the order of the source.
    copy : bool, default False
        Whether an unknown symbol in a target (one with a count below `min_count`) is replaced by the source's
        symbol with the largest attention. Without it no target has unknown symbols.
    label_smoothing : float, default 0.0
    beam_size : int, default 1
        Hypotheses for each source in `predict`; 1 takes the likeliest symbol at each step.
    length_penalty : float, default 0.0
        Of beam search: higher values favour longer targets.
    max_length : int, optional
        Most symbols of a target, without its end; default: twice the longest one in training.

    Attributes
    ----------
    longest_ : int
        Symbols of the longest target in training.

    References
    ----------
    Sutskever, Vinyals, Le (2014), "Sequence to Sequence Learning with Neural Networks", and for the reversed
    source. Cho et al. (2014) for the context at each step. Bahdanau, Cho, Bengio (2015) and Luong, Pham,
    Manning (2015) for attention, input feeding, and the copy of rare words by alignment. Wu et al. (2016),
    equation 14, for the length penalty.

    Examples
    --------
    >>> import fastrnn as fr
    >>> X = ["ab", "ba", "abb", "bab", "aab", "bb", "aa", "bba"] * 8
    >>> y = [text[::-1].upper() for text in X]
    >>> model = fr.models.Seq2Seq(hidden_size=24, epochs=40, learning_rate=0.01, random_state=0).fit(X, y)
    >>> model.predict(["abb", "ba"])
    ['BBA', 'AB']
    >>> (weights,) = model.attention_weights(["abb"])  # [target steps, source steps]
    >>> weights.shape
    (3, 3)
    """

    bidirectional: bool = True
    context: str = "state"
    attention: str | None = "additive"
    input_feeding: bool = False
    reverse_source: bool = False
    copy: bool = False
    label_smoothing: float = 0.0
    beam_size: int = 1
    length_penalty: float = 0.0
    max_length: int | None = None

    def predict(self, X: Any) -> list[Any]:
        """Return the likeliest target of each source that the search finds.

        Returns
        -------
        targets : list of str, or of lists of symbols

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict")
        return self._decoded(X, self._search(X))

    def sample(
        self,
        X: Any,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        random_state: Any = None,
    ) -> list[Any]:
        """Return a target of each source, drawn at random.

        Parameters
        ----------
        X : sequence of sequences
        temperature, top_k, top_p
            As for `fastrnn.decode.Sampling`.
        random_state : int, numpy.random.Generator or None
        """
        self._check_fitted("sample")
        sampling = Sampling(temperature, top_k, top_p)
        return self._decoded(X, self._search(X, sampling, as_generator(random_state)))

    def attention_weights(self, X: Any) -> list[NDArray[Any]]:
        """Return the attention with which `predict` finds each target.

        Returns
        -------
        weights : list of ndarray, float [target steps, source steps]
            Each row sums to 1. `fastrnn.plots.plot_attention` draws them.

        Raises
        ------
        ValueError
            If the model has no attention.
        """
        self._check_fitted("attention_weights")
        if self.network_.attention is None:
            raise ValueError(
                "attention: expected a model with attention, got None; write attention='additive'"
            )
        steps = [len(array) for array in self._source.encode("X", X, self.dtype)]
        none = [np.zeros((0, count), self.dtype) for count in steps]
        return [
            empty if one.weights is None else self._in_order(one.weights)
            for one, empty in zip(self._search(X), none, strict=True)
        ]

    def log_likelihood(self, X: Any, y: Any) -> NDArray[np.float64]:
        """Return the log-probability of each target, its end included, in nats.

        Returns
        -------
        log_likelihood : ndarray, float64 [N]
        """
        self._check_fitted("log_likelihood")
        examples = self._examples(X, y)
        result = np.empty(len(examples))
        for rows in length_buckets(examples.lengths, self.batch_size, shuffle=False):
            result[rows] = -self.network_.nats(examples.batch(rows)).sum(axis=0)
        return result

    def score(self, X: Any, y: Any) -> float:
        """Return the fraction of targets that `predict` finds exactly."""
        self._check_fitted("score")
        self._examples(X, y)  # checks both
        found = self._symbols(X, self._search(X))
        wanted = [self._target.split("y", row, target) for row, target in enumerate(as_rows("y", y))]
        return sum(map(list.__eq__, found, wanted)) / len(wanted)

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Train for one pass over further data; symbols that the first call did not see stay unknown."""
        if not self.__sklearn_is_fitted__():
            fresh = self._blank()
            fresh._settings()
            fresh._learn(X, y, fresh._generator())
            fresh.history_, fresh.n_iter_ = {}, 0
            fresh._continue(X, y)
            self._adopt(fresh)
        else:
            self._continue(X, y)
        return self

    def _learn(self, X: Any, y: Any, rng: np.random.Generator) -> None:
        self._check_own_settings()
        if y is None:
            raise ValueError("y: requires y to be passed, but the target y is None")
        sources, targets = as_rows("X", X), as_rows("y", y)
        check_counts("X", len(sources), "y", len(targets))
        options: dict[str, Any] = {"level": self.level, "min_count": self.min_count}
        self._source = InputCodec.learn("X", sources, standardize=self.standardize, **options)
        self._target = InputCodec.learn("y", targets, reserved=2, **options)
        if self._target.symbols is None:
            raise TypeError("y: expected texts, or lists of str or int, got features; see SequenceRegressor")
        self._texts = isinstance(targets[0], str)
        self.longest_ = max(map(len, self._target.encode("y", targets)))
        if self._source.symbols is None:
            self.n_features_in_ = self._source.width
        self.network_ = self._make_network(rng)

    def _check_own_settings(self) -> None:
        as_choice("context", self.context, _CONTEXTS)
        if self.attention is not None:
            as_choice("attention", self.attention, _ATTENTIONS)
        for name in ("input_feeding", "copy"):
            if as_flag(name, getattr(self, name)) and self.attention is None:
                raise ValueError(f"{name}: expected False without attention; write attention='additive'")
        as_flag("reverse_source", self.reverse_source)
        as_number("label_smoothing", self.label_smoothing, least=0.0, below=1.0)
        as_size("beam_size", self.beam_size)
        as_number("length_penalty", self.length_penalty, least=0.0)
        if self.max_length is not None:
            as_size("max_length", self.max_length)
        if "context_size" in (self.cell_options or {}):
            raise ValueError("cell_options: expected no context_size; write context='input'")

    def _make_network(self, rng: np.random.Generator) -> Seq2SeqNetwork:
        encoder = self._encoder(self._source, rng)
        options = dict(self.cell_options or {})
        if self.context != "state":
            options["context_size"] = encoder.output_size
        feeds = self.input_feeding and self.attention is not None
        decoder = SequenceEncoder(
            self._target.width,
            # The attentional vector can only be joined to a symbol's vector.
            embedding_size=self.hidden_size if feeds and self.embedding_size is None else self.embedding_size,
            cell=self.cell,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            bidirectional=False,
            dropout=self.dropout,
            cell_options=options,
            dtype=self.dtype,
            rng=rng,
            joined_size=self.hidden_size if feeds else 0,
        )
        return Seq2SeqNetwork(
            encoder,
            decoder,
            self._target.width,
            context=self.context,
            attention=self.attention,
            input_feeding=self.input_feeding,
            label_smoothing=self.label_smoothing,
            rng=rng,
        )

    def _examples(self, X: Any, y: Any) -> Examples:
        sources, targets = self._sources(X), self._target.encode("y", y)
        check_counts("X", len(sources), "y", len(targets))
        inputs = [np.concatenate([[END], target]) for target in targets]
        outputs = [np.concatenate([target, [END]]) for target in targets]

        def make(rows: NDArray[np.int64]) -> Seq2SeqBatch:
            read, lengths = as_batch(inputs, rows)
            return Seq2SeqBatch(*as_batch(sources, rows), read, as_batch(outputs, rows)[0], lengths)

        # Batches are made of sources and targets of similar lengths.
        return Examples([len(a) + len(b) for a, b in zip(sources, inputs, strict=True)], make)

    def _sources(self, X: Any) -> list[NDArray[Any]]:
        arrays = self._source.encode("X", X, self.dtype)
        return [np.ascontiguousarray(array[::-1]) for array in arrays] if self.reverse_source else arrays

    def _in_order(self, weights: NDArray[Any]) -> NDArray[Any]:
        """Return attention weights in the order of the source."""
        return np.ascontiguousarray(weights[:, ::-1]) if self.reverse_source else weights

    def _search(
        self, X: Any, sampling: Sampling | None = None, generator: np.random.Generator | None = None
    ) -> list[Found]:
        """Return the target that is found for each source."""
        arrays = self._sources(X)
        found: list[Any] = [None] * len(arrays)
        for rows in length_buckets([len(array) for array in arrays], self.batch_size, shuffle=False):
            own = self._search_batch(*as_batch(arrays, rows), sampling, generator)
            for row, one in zip(rows.tolist(), own, strict=True):
                found[row] = one
        return found

    def _search_batch(
        self,
        x: Array,
        lengths: NDArray[np.int64],
        sampling: Sampling | None = None,
        generator: np.random.Generator | None = None,
    ) -> list[Found]:
        self._check_own_settings()
        longest = 2 * self.longest_ if self.max_length is None else self.max_length
        if sampling is None and self.beam_size > 1:
            return beam_targets(
                self.network_, x, lengths, longest, self.beam_size, self.length_penalty, unknown=self.copy
            )
        sampling, generator = sampling or Sampling(0.0), generator or np.random.default_rng(0)
        return draw_targets(self.network_, x, lengths, longest, sampling, generator, unknown=self.copy)

    def _decoded(self, X: Any, found: list[Found]) -> list[Any]:
        """Return the targets of ids in the form of those in training."""
        joint = "" if self._target.level == "char" else " "
        targets = self._symbols(X, found)
        return [joint.join(map(str, symbols)) for symbols in targets] if self._texts else targets

    def _symbols(self, X: Any, found: list[Found]) -> list[list[Any]]:
        """Return the symbols of ids, with unknown ones copied from the sources."""
        assert self._target.symbols is not None
        results: list[list[Any]] = []
        for row, (source, one) in enumerate(zip(as_rows("X", X), found, strict=True)):
            symbols = self._target.symbols.symbols
            known = [symbols[i - 2] if i != UNKNOWN else None for i in one.ids.tolist()]
            if UNKNOWN in one.ids and one.weights is not None and self._source.symbols is not None:
                steps = self._source.split("X", row, source)
                best = self._in_order(one.weights).argmax(axis=1)
                known = [steps[best[t]] if symbol is None else symbol for t, symbol in enumerate(known)]
            results.append([symbol for symbol in known if symbol is not None])
        return results

    def _score_examples(self, examples: Examples) -> float:
        # An unknown symbol in a target counts as wrong here: `score` knows what was copied.
        right = 0
        for rows in length_buckets(examples.lengths, self.batch_size, shuffle=False):
            batch = examples.batch(rows)
            found = self._search_batch(batch.sources, batch.source_lengths)
            for column, one in enumerate(found):
                wanted = batch.targets[: batch.lengths[column] - 1, column]
                right += bool(np.array_equal(one.ids, wanted) and UNKNOWN not in wanted)
        return right / len(examples)

    def _learned(self) -> dict[str, Any]:
        return {
            "source": self._source.to_plain(),
            "target": self._target.to_plain(),
            "texts": self._texts,
            "longest": self.longest_,
        }

    def _restore(self, values: Mapping[str, Any]) -> None:
        checks = {"source": as_mapping, "target": as_mapping, "texts": as_flag, "longest": as_size}
        fields = as_fields("learned", values, checks)
        self._check_own_settings()
        self._source, self._target = map(InputCodec.from_plain, (fields["source"], fields["target"]))
        if self._target.symbols is None or self._target.symbols.reserved != 2:
            raise ValueError("learned.target: expected symbols after two reserved ids")
        self._texts, self.longest_ = fields["texts"], fields["longest"]
        if self._source.symbols is None:
            self.n_features_in_ = self._source.width
