"""Turn sequences into other sequences of any length: translate, rewrite, spell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn._checks import as_choice, as_flag, as_number, as_size
from fastrnn._plain import as_fields, as_mapping
from fastrnn.decode import Sampling
from fastrnn.decode.categorical import UniformStreams
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.examples import Examples, as_batch, batches_of, fraction_of
from fastrnn.models.base.input_codec import InputCodec
from fastrnn.models.base.sequences import as_pairs, as_rows, check_counts
from fastrnn.models.seq2seq_network import Seq2SeqBatch, Seq2SeqNetwork
from fastrnn.models.seq2seq_search import END, UNKNOWN, Found, Limits, beam_targets, draw_targets

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastrnn.train.distributed import Ranks

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
        Whether `predict` may find the unknown symbol, and puts the source's symbol with the largest attention
        in its place. It learns where from targets with symbols that occur fewer than `min_count` times.
        Without it no target has unknown symbols.
    label_smoothing : float, default 0.0
        The fraction of each target's probability that is spread over all symbols.
    beam_size : int, default 1
        Hypotheses for each source in `predict`; 1 takes the likeliest symbol at each step.
    length_penalty : float, default 0.0
        Of beam search: higher values favour longer targets.
    max_length : int, optional
        Most symbols of a target; default: twice the longest one in training.

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
    >>> targets, weights = model.predict(["abb"], return_attention=True)
    >>> targets, weights[0].shape  # [target steps, source steps]
    (['BBA'], (3, 3))
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

    def predict(self, X: Any, *, return_attention: bool = False) -> Any:
        """Return the likeliest target of each source that the search finds.

        Parameters
        ----------
        X : sequence of sequences
        return_attention : bool, default False

        Returns
        -------
        targets : list of str, or of lists of symbols
        weights : list of ndarray, float [target steps, source steps]
            With `return_attention`. Each row sums to 1. `fastrnn.plots.plot_attention` draws them.

        Raises
        ------
        NotFittedError, ValueError, TypeError
            Also if the attention of a model without attention is asked for.
        """
        self._check_fitted("predict")
        if as_flag("return_attention", return_attention) and self.attention is None:
            raise ValueError("return_attention: expected False, as the model has attention=None")
        rows = as_rows("X", X)
        found = self._search(rows)
        targets = self._decoded(rows, found)
        return (targets, [self._in_order(one.weights) for one in found]) if return_attention else targets

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
            With an int, the same source at the same place of X has the same target, in a batch of any size.

        Returns
        -------
        targets : list of str, or of lists of symbols

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("sample")
        rows = as_rows("X", X)
        streams = UniformStreams(len(rows), random_state)
        return self._decoded(rows, self._search(rows, Sampling(temperature, top_k, top_p), streams))

    def log_likelihood(self, X: Any, y: Any) -> NDArray[np.float64]:
        """Return the log-probability of each target, its end included, in nats.

        Returns
        -------
        log_likelihood : ndarray, float64 [N]
        """
        self._check_fitted("log_likelihood")
        examples = self._examples(X, y)
        result = np.empty(len(examples))
        for rows, batch in examples.batches(self.batch_size):
            result[rows] = -self.network_.nats(batch).sum(axis=0)
        return result

    def score(self, X: Any, y: Any) -> float:
        """Return the fraction of targets that `predict` finds exactly, symbols that it copies included."""
        self._check_fitted("score")
        sources, targets = as_pairs(X, y)
        wanted = [self._target.split("y", row, target) for row, target in enumerate(targets)]
        found = self._found_symbols(sources, self._search(sources))
        return sum(one == other for one, other in zip(found, wanted, strict=True)) / len(wanted)

    def partial_fit(self, X: Any, y: Any, *, ranks: Ranks | None = None) -> Self:
        """Train for one pass over further data; symbols that the first call did not see stay unknown."""
        return self._fit_further(X, y, ranks)

    def _learn(self, X: Any, y: Any, rng: np.random.Generator) -> None:
        self._check_own_settings()
        sources, targets = as_pairs(X, y)
        self._learn_input(sources)
        self._target = InputCodec.learn("y", targets, level=self.level, min_count=self.min_count, reserved=2)
        if self._target.symbols is None:
            raise TypeError("y: expected texts, or lists of str or int, got features; see SequenceRegressor")
        if self.copy and self._codec.symbols is None:
            raise ValueError("copy: expected False for features, of which there is no symbol to copy")
        self._texts = isinstance(targets[0], str)
        self.longest_: int = max(map(len, self._target.encode("y", targets)))
        self.network_: Any = self._new_network(rng)

    def _check_own_settings(self) -> None:
        as_choice("context", self.context, _CONTEXTS)
        if self.attention is not None:
            as_choice("attention", self.attention, _ATTENTIONS)
        if (as_flag("input_feeding", self.input_feeding) | as_flag("copy", self.copy)) and not self.attention:
            name = "input_feeding" if self.input_feeding else "copy"
            raise ValueError(f"{name}: expected False without attention; write attention='additive'")
        if self.copy and self.min_count == 1:
            raise ValueError(
                "min_count: expected at least 2 with copy=True, got 1: no symbol of a target would be unknown"
            )
        as_flag("reverse_source", self.reverse_source)
        as_number("label_smoothing", self.label_smoothing, least=0.0, below=1.0)
        as_size("beam_size", self.beam_size)
        as_number("length_penalty", self.length_penalty, least=0.0)
        if self.max_length is not None:
            as_size("max_length", self.max_length)
        if "context_size" in (self.cell_options or {}):
            raise ValueError("cell_options: expected no context_size; write context='input'")

    def _make_network(self, rng: np.random.Generator) -> Seq2SeqNetwork:
        encoder = self._encoder(self._codec, rng)
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
        arrays = self._encoded(X)
        return [np.ascontiguousarray(array[::-1]) for array in arrays] if self.reverse_source else arrays

    def _in_order(self, weights: Array | None) -> Array:
        """Return attention weights in the order of the source."""
        assert weights is not None
        return np.ascontiguousarray(weights[:, ::-1]) if self.reverse_source else weights

    def _search(
        self, sources: list[Any], sampling: Sampling | None = None, streams: UniformStreams | None = None
    ) -> list[Found]:
        """Return the target that is found for each source."""
        self._check_own_settings()
        arrays = self._sources(sources)
        found: list[Any] = [None] * len(arrays)
        for rows, x, lengths in batches_of(arrays, self.batch_size):
            random = None if streams is None else partial(_points, streams, rows)
            own = self._find(x, lengths, sampling, random)
            for row, one in zip(rows.tolist(), own, strict=True):
                found[row] = one
        return found

    def _find(
        self, x: Array, lengths: Ids, sampling: Sampling | None = None, random: Any = None
    ) -> list[Found]:
        """Return the targets of a batch: drawn, or without a sampling, those that the settings search for."""
        limits = Limits(2 * self.longest_ if self.max_length is None else self.max_length, self.copy)
        if sampling is None and self.beam_size > 1:
            return beam_targets(self.network_, x, lengths, limits, self.beam_size, self.length_penalty)
        return draw_targets(self.network_, x, lengths, limits, sampling or Sampling(0.0), random)

    def _found_symbols(self, sources: list[Any], found: list[Found]) -> list[list[Any]]:
        """Return the symbols of targets, with those of the sources in place of the unknown ones."""
        assert self._target.symbols is not None
        symbols, reserved = self._target.symbols.symbols, self._target.symbols.reserved
        results = []
        for row, one in enumerate(found):
            ids = one.ids.tolist()
            steps, best = [], ids
            if UNKNOWN in ids:
                steps = self._codec.split("X", row, sources[row])
                best = self._in_order(one.weights).argmax(axis=1).tolist()
            pairs = zip(ids, best, strict=True)
            results.append([steps[place] if i == UNKNOWN else symbols[i - reserved] for i, place in pairs])
        return results

    def _decoded(self, sources: list[Any], found: list[Found]) -> list[Any]:
        """Return targets in the form that those of training had."""
        results = self._found_symbols(sources, found)
        joint = "" if self._target.level == "char" else " "
        return [joint.join(map(str, symbols)) for symbols in results] if self._texts else results

    def _measure(self, rows: NDArray[np.int64], batch: Seq2SeqBatch) -> tuple[int, int]:
        right = 0
        for column, one in enumerate(self._find(batch.sources, batch.source_lengths)):
            wanted = batch.targets[: batch.lengths[column] - 1, column]
            right += np.array_equal(one.ids, wanted) and (self.copy or UNKNOWN not in wanted)
        return right, len(rows)

    def _score_of(self, measured: list[tuple[int, int]]) -> float:
        return fraction_of(measured)

    def _learned(self) -> dict[str, Any]:
        return {
            "source": self._codec.to_plain(),
            "target": self._target.to_plain(),
            "texts": self._texts,
            "longest": self.longest_,
        }

    def _restore(self, values: Mapping[str, Any]) -> None:
        checks = {"source": as_mapping, "target": as_mapping, "texts": as_flag, "longest": as_size}
        fields = as_fields("learned", values, checks)
        self._check_own_settings()
        self._set_codec(InputCodec.from_plain(fields["source"]))
        self._target = InputCodec.from_plain(fields["target"])
        if self._target.symbols is None or self._target.symbols.reserved != 2:
            raise ValueError("learned.target: expected symbols after two reserved ids")
        self._texts, self.longest_ = fields["texts"], fields["longest"]


def _points(streams: UniformStreams, rows: Ids, places: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the next random number of each of these places of a batch, whose rows are these of all."""
    return streams(rows[places])
