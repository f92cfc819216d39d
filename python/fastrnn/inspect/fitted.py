"""What models with ``fit`` read of one sequence, as the layers see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.inspect.reading import Output, Reading
from fastrnn.models import (
    Forecaster,
    Seq2Seq,
    SequenceClassifier,
    SequenceGenerator,
    SequenceRegressor,
    SequenceTagger,
    Transcriber,
)
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.input_codec import InputCodec
from fastrnn.models.base.row_losses import softmax
from fastrnn.models.generator_steps import NumberSteps, TokenSteps
from fastrnn.models.transcriber_network import join_frames

__all__ = ["SUPPORTED", "read_fitted"]


def read_fitted(model: SequenceModel, data: Any, context: Any) -> Reading | None:
    """Return what a fitted model reads of a sequence; None if a model of this kind is not supported.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    ValueError, TypeError
        If the model cannot read the sequence, or the context.
    """
    for kind, read in _READERS.items():
        if isinstance(model, kind):
            model._check_fitted("trace")
            return _with_own_name(read, model, data, context)
    return None


def _with_own_name(read: Callable[..., Reading], model: Any, data: Any, context: Any) -> Reading:
    """Call a reader; what it says of the first row of a list, it says of the data."""
    try:
        return read(model, data, context)
    except (ValueError, TypeError) as error:
        text = str(error).replace("data[0]", "data").replace("X[0]", "context").replace("X: ", "context: ")
        raise type(error)(text.replace("exogenous: ", "context: ")) from None


def _read_one(model: Any, data: Any, context: Any) -> Reading:
    """Return what classifiers, regressors and encoders of sequences read."""
    _refuse_context(context)
    (x,) = model._codec.encode("data", [data], model.dtype)
    backward = isinstance(model, Seq2Seq) and model.reverse_source
    x = np.ascontiguousarray(x[::-1]) if backward else x
    symbols = _symbols(model._codec, data)
    return _reading(model, x, symbols=symbols, ids=_ids(model._codec, x), backward=backward)


def _read_tagger(model: SequenceTagger, data: Any, context: Any) -> Reading:
    _refuse_context(context)
    (x,) = model._codec.encode("data", [data], model.dtype)
    spelled, joined = model._spelled([data]), None
    if spelled is not None:
        joined = model.network_.characters(spelled.batch(np.zeros(1, np.int64)))[:, 0]
    return _reading(model, x, joined, symbols=_symbols(model._codec, data), ids=_ids(model._codec, x))


def _read_transcriber(model: Transcriber, data: Any, context: Any) -> Reading:
    _refuse_context(context)
    (x,) = model._codec.encode("data", [data], model.dtype)
    if x.ndim == 1:
        return _reading(model, x, symbols=_symbols(model._codec, data), ids=x)
    joined, _ = join_frames(x[:, None], np.array([len(x)]), model.network_.stack_frames)
    return _reading(model, joined[:, 0])


def _read_forecaster(model: Forecaster, data: Any, context: Any) -> Reading:
    """Return what a forecaster reads: each value but the last, with what is known of the next step."""
    panel, single = model._panel(data, "data", model._transform.lost + 2)
    if not single:
        raise ValueError(f"data: expected one series, got a list of {len(panel)}")
    (series,) = panel
    (known,) = model._known(context, True, [len(series)])
    return _reading(model, model._inputs(series, known))._replace(offset=model._transform.lost)


def _read_generator(model: SequenceGenerator, data: Any, context: Any) -> Reading:
    """Return what a generator reads: a start, then every step."""
    network, steps = model.network_, model._steps
    (sequence,) = steps.encode("data", [data], model.dtype)
    condition = model._condition.encode(None if context is None else [context], model.dtype)
    x = np.concatenate([steps.start(1, sequence.dtype), steps.as_inputs(sequence)])
    targets = steps.pair(sequence, end=model.learn_end)[1][: len(sequence)]
    wider = steps.log_scale if isinstance(steps, NumberSteps) else 0.0
    state, own_context = network._condition(condition)

    def losses(y: Array, first: int) -> NDArray[np.float64]:
        wanted = targets[first : first + len(y)]
        nats = network.output.nats(np.ascontiguousarray(y[: len(wanted)]), wanted)
        return np.asarray(nats.sum(axis=1) + wider)

    output, symbols, ids = Output(losses), None, None
    if isinstance(steps, TokenSteps):
        symbols, ids = _symbols(steps.codec, data), sequence
        assert steps.codec.symbols is not None
        names = ("<unknown>", "<end>", *map(str, steps.codec.symbols.symbols))
        output = Output(losses, lambda y, first: softmax(network.output(y)), len(names), names)
    return _reading(model, x, symbols=symbols, ids=ids)._replace(
        before=1,
        output=output,
        state=_first_row(state),
        context=None if own_context is None else own_context[0],
    )


def _reading(
    model: Any,
    x: Array,
    joined: Array | None = None,
    *,
    symbols: tuple[str, ...] | None = None,
    ids: Ids | None = None,
    backward: bool = False,
) -> Reading:
    """Return what the encoder of a network reads of x, float [T, D] or ids [T], and of `joined`, [T, J]."""
    encoder: SequenceEncoder = model.network_.encoder

    def inputs(first: int, last: int) -> Array:
        own = x[first:last] if encoder.embedding is None else encoder.embedding(x[first:last])
        return own if joined is None else np.concatenate([own, joined[first:last]], axis=1)

    return Reading(model.network_, encoder.rnn, inputs, len(x), symbols=symbols, ids=ids, backward=backward)


def _symbols(codec: InputCodec, data: Any) -> tuple[str, ...] | None:
    return None if codec.symbols is None else tuple(map(str, codec.split("data", 0, data)))


def _ids(codec: InputCodec, x: Array) -> Ids | None:
    return None if codec.symbols is None else x


def _first_row(state: Any) -> Any:
    """Return the state [L, H] of the first sequence of a batch."""
    if state is None:
        return None
    return tuple(part[:, 0] for part in state) if isinstance(state, tuple) else state[:, 0]


def _refuse_context(context: Any) -> None:
    if context is not None:
        raise ValueError("context: expected None, as the model reads none")


_READERS: dict[type, Callable[..., Reading]] = {
    SequenceClassifier: _read_one,
    SequenceRegressor: _read_one,
    Seq2Seq: _read_one,
    SequenceTagger: _read_tagger,
    Transcriber: _read_transcriber,
    Forecaster: _read_forecaster,
    SequenceGenerator: _read_generator,
}
#: The models with ``fit`` that can be traced.
SUPPORTED = tuple(kind.__name__ for kind in _READERS)
