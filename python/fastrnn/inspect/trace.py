"""Traces: every gate and state of a model while it reads one text or series, and what it expects next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn._checks import as_size
from fastrnn._memory import FEWER_TEXTS, check_memory, named_memory
from fastrnn.inspect.evaluation import evaluate, named_layers, tapes_of
from fastrnn.inspect.fitted import SUPPORTED, read_fitted
from fastrnn.inspect.reading import Reading, read_language_model, read_layers
from fastrnn.language import LanguageModel
from fastrnn.layers import LayerTape, Recurrent, Stack
from fastrnn.layers.recurrent.spec import RecurrentSpec
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.train import Checkpoint

__all__ = ["NextSteps", "Trace", "trace"]

_STEPS = 4096  # read at a time
_LARGEST_PART = 1 << 22  # probabilities, at a time


class NextSteps(NamedTuple):
    """The likeliest next symbols after each step, the likeliest first; ties by id.

    Attributes
    ----------
    ids : ndarray, int64 [T, k]
    symbols : list of list of str, or None
        None if the model's symbols are not known.
    probabilities : ndarray, float64 [T, k]
    """

    ids: Ids
    symbols: list[list[str]] | None
    probabilities: NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """What recurrent layers computed at each of T steps, by `trace`.

    Row t of every array is the step that read symbol t. All arrays are read-only.

    Attributes
    ----------
    steps : int
        T.
    symbols : tuple of str, or None
        What was read; None for numbers, or ids without a vocabulary.
    ids : ndarray, int64 [T], or None
        The ids of what was read, an unknown symbol's where a symbol is unknown; None for numbers.
    layers : tuple of str
        The layers and directions, lowest first: l0, l0_reverse, l1, ..., as the names of their parameters
        end; layer0.l0, ... in a `Stack`.
    gates : dict of str to dict of str to ndarray, float [T, H]
        For each layer its gates by name. LSTM: i, f, g, o. GRU: r, z, n and, with ``reset_after``, hn.
        RNN: none. The other cells and options: see ``gate_names`` of the layer's ``spec``.
    states : dict of str to dict of str to ndarray, float [T, H]
        For each layer its states after the step: h (with a projection [T, P]) and, if the cell has it, c; of
        an SLSTM also n and m.
    outputs : ndarray, float [T, P]
        What the layers pass on: h of the last one, its directions side by side.
    loss : ndarray, float64 [T], or None
        For models of the next step: -log p of each step given those before it, in nats. NaN where nothing
        is predicted: at the first step of a model without a start.
    offset : int
        The step of the data that row 0 read: more than 0 if a `Forecaster` reads differences.
    """

    symbols: tuple[str, ...] | None
    ids: Ids | None
    layers: tuple[str, ...]
    gates: Mapping[str, Mapping[str, Array]]
    states: Mapping[str, Mapping[str, Array]]
    outputs: Array
    loss: NDArray[np.float64] | None
    offset: int = 0
    _reading: Reading | None = field(default=None)
    _version: Any = field(default=None)

    @property
    def steps(self) -> int:
        """T."""
        return len(self.outputs)

    @property
    def nbytes(self) -> int:
        """Bytes of the gates, states, outputs and losses."""
        arrays = [
            one for group in (self.gates, self.states) for own in group.values() for one in own.values()
        ]
        return (
            sum(one.nbytes for one in arrays)
            + self.outputs.nbytes
            + (0 if self.loss is None else self.loss.nbytes)
        )

    def signal(self, layer: str, name: str) -> Array:
        """Return a gate or state of a layer by its name, float [T, H].

        Raises
        ------
        ValueError
            If there is no such layer, or it has no such gate or state; the message lists those there are.
        """
        if layer not in self.layers:
            raise ValueError(f"layer: expected one of {', '.join(self.layers)}, got {layer!r}")
        own = {**self.states[layer], **self.gates[layer]}
        if name not in own:
            raise ValueError(f"name: expected one of {', '.join(own)} of layer {layer}, got {name!r}")
        return own[name]

    def top(self, k: int = 5) -> NextSteps:
        """Return the k likeliest next symbols after each step, with their probabilities.

        Row t is the model's distribution of symbol t + 1. With ``length_model="halt"`` the probabilities
        include the factor that the text goes on, as those of `fastrnn.decode.next_symbols` do.

        The model's output layer is computed now, for some steps at a time: at most 2^22 probabilities (or
        those of one step) are in memory at once, 32 MB.

        Parameters
        ----------
        k : int, default 5
            At most V.

        Raises
        ------
        ValueError
            If k is not in ``1 .. V``, the model does not predict symbols, or its parameters have changed
            since it was traced.
        """
        reading = self._reading
        if reading is None or reading.output is None or reading.output.probabilities is None:
            raise ValueError(
                "top: expected the trace of a model that predicts the next symbol, such as a LanguageModel; "
                "a copy or a pickled trace has left its model"
            )
        if reading.module.parameters.version != self._version:
            raise ValueError("top: the model's parameters have changed since the trace; trace it again")
        output, probabilities = reading.output, reading.output.probabilities
        count = as_size("k", k, most=output.size)
        ids = np.empty((self.steps, count), np.int64)
        found = np.empty((self.steps, count))
        part = max(1, _LARGEST_PART // output.size)
        for first in range(0, self.steps, part):
            rows = slice(first, first + part)
            p = probabilities(self.outputs[rows], first + reading.before)
            ids[rows] = largest(p, count)
            found[rows] = np.take_along_axis(p, ids[rows], axis=1)
        names = output.symbols
        return NextSteps(
            ids, None if names is None else [[names[i] for i in row] for row in ids.tolist()], found
        )

    def __len__(self) -> int:
        return self.steps

    def __getstate__(self) -> dict[str, Any]:
        # The model stays behind: a trace is sent to another process for its arrays.
        return {**self.__dict__, "_reading": None}

    def __repr__(self) -> str:
        return f"<Trace of {self.steps} steps: {', '.join(self.layers)}>"


def trace(
    model: Any, data: Any, *, vocabulary: Any = None, context: Any = None, keep: Sequence[str] | None = None
) -> Trace:
    """Read one text or series with a model in evaluation, and keep every gate and state.

    There is no dropout, and neither the model nor its gradients nor its random generators change. States are
    those that inference computes, to the bit; a long text is read in parts that carry the state.

    Parameters
    ----------
    model : LanguageModel, Checkpoint, Recurrent, Stack or a model with ``fit``
        Of the models with ``fit``: SequenceClassifier, SequenceRegressor, SequenceTagger, SequenceGenerator,
        Forecaster, Transcriber (the steps are its joined frames), and Seq2Seq (its encoder).
    data
        One text or sequence, not a list of them. For a language model a str, a list of symbols or ids, int
        [T]; for a layer numbers, float [T, D], or ids, int [T]; for a model with ``fit`` what one entry of X
        is (SequenceGenerator: of y).
    vocabulary : Vocabulary, optional
        Of a language model; a Checkpoint has it. Ids do not need one. A symbol that it lacks is an error, or
        read as its unknown symbol; with ``unknown="skip"`` it is left out.
    context : optional
        What the model reads besides: for layers with a `context_size` an array, float [C] or [T, C]; for a
        Forecaster the exogenous inputs; for a SequenceGenerator the condition, one entry of its X.
    keep : sequence of str, optional
        Names of the gates and states to keep, such as ``("h", "c")``; default: all.

    Returns
    -------
    trace : Trace

    Raises
    ------
    ValueError
        If there is nothing to read, a symbol is unknown (the message has it and its place), the data do not
        fit the model, no layer has a gate or state of a name in `keep`, or the model is quantized to int8.
    TypeError
        If the model or the data are of a kind that is not supported; the message lists those that are.
    NotFittedError
        If the model is not fitted.
    MemoryError
        If the arrays do not fit into this machine's memory.

    Notes
    -----
    Memory, for T steps in L layers of H units: T * L * H numbers for each gate and state, and T * H for the
    outputs. An LSTM of 256 units in float32 takes 7 KB a symbol, with ``keep=("h", "c")`` 3 KB. The logits
    of at most 4,096 steps are computed at once, without keeping them.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> vocabulary = fr.Vocabulary("ab")
    >>> model = fr.LanguageModel(2, hidden_size=8, num_layers=1, seed=0)
    >>> seen = fr.inspect.trace(model, "abba", vocabulary=vocabulary)
    >>> seen.layers, list(seen.gates["l0"]), list(seen.states["l0"])
    (('l0',), ['i', 'f', 'g', 'o'], ['h', 'c'])
    >>> seen.gates["l0"]["f"].shape
    (4, 8)
    >>> h, c = seen.states["l0"].values()
    >>> bool(np.allclose(h, seen.gates["l0"]["o"] * np.tanh(c)))
    True
    >>> np.isnan(seen.loss).tolist()  # the first symbol is not predicted
    [True, False, False, False]
    >>> after = seen.top(2)
    >>> bool(np.allclose(after.probabilities.sum(axis=1), 1))
    True
    """
    reading = _read(model, data, vocabulary, context)
    if reading.rnn.precision == "int8":  # of which no pass keeps a tape
        raise ValueError(
            "model: expected one that is not quantized to int8; trace the model that it was made of"
        )
    named = named_layers(reading.rnn)
    signals = [_signals(spec) for _, spec in named]
    if keep is not None:
        signals = _chosen(signals, keep)
    T, rnn = reading.steps - reading.before, reading.rnn
    shapes = {
        f"{layer}.{signal.name}": (T, signal.width)
        for (layer, _), own in zip(named, signals, strict=True)
        for signal in own
    }
    shapes["outputs"] = (T, rnn.output_size)
    check_memory("trace", shapes, rnn.dtype, FEWER_TEXTS)
    with named_memory("trace", FEWER_TEXTS):
        arrays = {name: np.empty(shape, rnn.dtype) for name, shape in shapes.items()}
    loss = None if reading.output is None else np.full(reading.steps, np.nan)
    for first, last, y, tape in _parts(
        reading, whole=any(spec.directions == 2 or spec.options.reverse for _, spec in named)
    ):
        skipped = max(reading.before - first, 0)
        rows = slice(first + skipped - reading.before, last - reading.before)
        arrays["outputs"][rows] = y[skipped:]
        for (layer, _), own, kept in zip(named, signals, tapes_of(tape), strict=True):
            for signal in own:
                arrays[f"{layer}.{signal.name}"][rows] = signal.get(kept)[skipped:]
        if loss is not None:
            assert reading.output is not None
            found = reading.output.losses(y, first)
            loss[first + 1 : first + 1 + len(found)] = found
    return _trace_of(reading, [layer for layer, _ in named], signals, arrays, loss)


def _read(model: Any, data: Any, vocabulary: Any, context: Any) -> Reading:
    """Return what a model of any kind reads."""
    if isinstance(model, Checkpoint):
        model, vocabulary = model.model, model.vocabulary if vocabulary is None else vocabulary
    if isinstance(model, LanguageModel):
        return read_language_model(model, data, vocabulary, context)
    if vocabulary is not None:
        raise ValueError(f"vocabulary: expected None, as the model, {type(model).__name__}, has none")
    reading = None
    if isinstance(model, (Recurrent, Stack)):
        reading = read_layers(model, data, context)
    elif isinstance(model, SequenceModel):
        reading = read_fitted(model, data, context)
    if reading is None:
        raise TypeError(
            f"model: expected a LanguageModel, a Checkpoint, a recurrent layer, a Stack, or one of "
            f"{', '.join(SUPPORTED)}, got {type(model).__name__}"
        )
    return reading


def _parts(reading: Reading, *, whole: bool) -> Iterator[tuple[int, int, Array, Any]]:
    """Yield the first step of each part, that after its last, its outputs [t, P] and its tape.

    `whole`: all steps in one part, as a reverse direction needs it.
    """
    state, part = reading.state, reading.steps if whole else _STEPS
    for first in range(0, reading.steps, part):
        last = min(first + part, reading.steps)
        x, context = reading.inputs(first, last), reading.context_of(first, last)
        y, state, tape = evaluate(reading.rnn, x, state, context=context)
        yield first, last, y, tape


class _Signal(NamedTuple):
    """One gate or state of a layer: its name, its width, and how to read it from a tape."""

    name: str
    gate: bool
    width: int
    get: Callable[[LayerTape], Array]


def _signals(spec: RecurrentSpec) -> list[_Signal]:
    """Return the gates of a layer, then its states."""
    H = spec.hidden_size

    def gate(order: int) -> Callable[[LayerTape], Array]:
        return lambda tape: _some(tape.gates)[:, 0, order]

    def carried(order: int) -> Callable[[LayerTape], Array]:
        return lambda tape: _some(tape.c)[:, 0, order * H : (order + 1) * H]

    return [
        *(_Signal(name, True, H, gate(order)) for order, name in enumerate(spec.gate_names)),
        _Signal("h", False, spec.h_size, lambda tape: tape.y[:, 0]),
        *(_Signal(name, False, H, carried(order)) for order, name in enumerate(spec.carried_names)),
    ]


def _some(array: Array | None) -> Array:
    assert array is not None
    return array


def _chosen(signals: list[list[_Signal]], keep: Sequence[str]) -> list[list[_Signal]]:
    """Return the signals with the names to keep."""
    if isinstance(keep, str):
        raise TypeError(f"keep: expected a sequence of names, got a str; write ({keep!r},)")
    known = list(dict.fromkeys(signal.name for own in signals for signal in own))
    for name in keep:
        if name not in known:
            raise ValueError(f"keep: expected names of {', '.join(known)}, got {name!r}")
    return [[signal for signal in own if signal.name in keep] for own in signals]


def _trace_of(
    reading: Reading,
    layers: list[str],
    signals: list[list[_Signal]],
    arrays: dict[str, Array],
    loss: NDArray[np.float64] | None,
) -> Trace:
    """Return the trace of recorded arrays."""
    if reading.backward:
        arrays = {name: array[::-1] for name, array in arrays.items()}
    for array in (*arrays.values(), *([] if loss is None else [loss])):
        array.flags.writeable = False

    def group(*, gates: bool) -> dict[str, dict[str, Array]]:
        return {
            layer: {one.name: arrays[f"{layer}.{one.name}"] for one in own if one.gate is gates}
            for layer, own in zip(layers, signals, strict=True)
        }

    ids = reading.ids
    return Trace(
        reading.symbols,
        ids if ids is None or not reading.backward else ids[::-1],
        tuple(layers),
        group(gates=True),
        group(gates=False),
        arrays["outputs"],
        None if loss is None else loss[reading.before :],
        reading.offset,
        reading,
        reading.module.parameters.version,
    )


def largest(p: NDArray[np.float64], k: int) -> Ids:
    """Return the indices of the k largest of each row, [T, k], in descending order; ties by index."""
    least = np.partition(p, -k, axis=1)[:, -k][:, None]
    above, equal = p > least, p == least
    left = k - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1) <= left))
    ids = np.nonzero(chosen)[1].reshape(len(p), k)
    order = np.argsort(-np.take_along_axis(p, ids, axis=1), axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1)
