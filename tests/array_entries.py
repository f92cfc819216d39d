"""Every place where users pass arrays: functions of a converter, with the same results for any library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastrnn as fr
from fastrnn import decode, inspect, losses, models, train
from fastrnn.layers import AdaptiveSoftmax, Logistic, Softmax

T, N, D, H = 5, 3, 4, 3
#: From NumPy's array to another library's.
Converter = Callable[[np.ndarray], Any]


def floats(*shape: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    """Draw numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def ids(*shape: int, most: int = D, seed: int = 0) -> np.ndarray:
    """Draw ids."""
    return np.random.default_rng(seed).integers(0, most, shape)


def bools(*shape: int) -> np.ndarray:
    """Draw a mask."""
    return np.random.default_rng(0).random(shape) < 0.6


def _layer(of: Converter) -> Any:
    rnn, state = fr.LSTM(D, H, context_size=2, seed=0), (floats(1, N, H), floats(1, N, H))
    return rnn(
        of(floats(T, N, D)),
        tuple(map(of, state)),
        of(np.array([5, 2, 4])),
        of(bools(T, N)),
        context=of(floats(N, 2)),
        mask=of(~bools(T, N)),
    )


def _backward(of: Converter) -> Any:
    rnn = fr.GRU(D, H, seed=0)
    y, _, tape = rnn.forward(of(floats(T, N, D)))
    return rnn.backward(tape, of(y.copy()), of(floats(1, N, H))), rnn.gradients.flat


def _sequence(of: Converter) -> Any:
    rnn = fr.RNN(D, H, seed=0)
    y, _, tape = rnn.forward(of(floats(T, D)), of(floats(1, H)), reset=of(bools(T)))
    return rnn.backward(tape, of(y.copy())), rnn(of(ids(T)))


def _streams(of: Converter) -> Any:
    stream = fr.GRU(D, H, seed=0).stream(N)
    stream.state = of(floats(1, N, H))
    net = fr.Sequential(fr.LSTM(D, H, seed=0), fr.Linear(H, 2, seed=0)).stream(N)
    stack = fr.Stack(fr.GRU(D, D, seed=0), fr.GRU(2 * D, H, seed=0), connect="dense").stream(N)
    return (
        stream.step(of(floats(N, D)), mask=of(bools(N))),
        fr.RNN(D, H, seed=0).stream(N).step(of(ids(N))),
        net.step(of(floats(N, D))),
        stack.step(of(floats(N, D))),
    )


def _stacks(of: Converter) -> Any:
    stack = fr.Stack(fr.GRU(D, D, seed=0), fr.LSTM(D, D, seed=1), connect="residual")
    y, _, tape = stack.forward(of(floats(T, N, D)), lengths=of(np.array([5, 2, 4])), mask=of(bools(T, N)))
    net = fr.Sequential(fr.Embedding(D, H, seed=0), fr.RNN(H, 2, seed=0), fr.Linear(2, 2, seed=0))
    return stack.backward(tape, of(y.copy())), net(of(ids(T, N)))


def _jordan(of: Converter) -> Any:
    return fr.Jordan(D, H, 2, seed=0)(of(floats(T, N, D)), targets=of(floats(T, N, 2)))


def _dense(of: Converter) -> Any:
    linear, embedding, head = fr.Linear(D, H, seed=0), fr.Embedding(D, H, seed=0), fr.Head(D, [3], 2, seed=0)
    y, tape = linear.forward(of(floats(N, D)))
    rows, looked_up = embedding.forward(of(ids(T, N)))
    embedding.backward(looked_up, of(rows.copy()))
    return linear.backward(tape, of(y.copy())), embedding.gradients.flat, head(of(floats(N, D)))


def _softmax(of: Converter) -> Any:
    h, wanted = of(floats(N, D)), of(ids(N))
    return [
        layer(D, *sizes, seed=0).losses_and_gradients(h, wanted)
        for layer, *sizes in ((Softmax, 5), (AdaptiveSoftmax, 6, [2]))
    ] + [Logistic(D, 2, seed=0).losses(h, of(bools(N, 2).astype("float32")))]


def _losses(of: Converter) -> Any:
    z, wanted, mask = floats(N, D), of(floats(N, D, seed=1)), of(bools(N, D))
    zero_or_one = of((floats(N, D, seed=1) > 0).astype("float32"))
    return (
        fr.softmax_cross_entropy(of(z), of(ids(N))),
        losses.mean_squared_error(of(z), wanted, mask=mask),
        losses.mean_absolute_error(of(z), wanted, mask=mask),
        losses.huber(of(z), wanted),
        fr.softmax_cross_entropy(of(z), of(ids(N)), class_weight=of(np.full(D, 2, "float32"))),
        losses.quantile(of(z), of(floats(N)), of(np.array([0.1, 0.4, 0.5, 0.9]))),
        losses.binary_cross_entropy(of(z), zero_or_one, pos_weight=of(np.full(D, 2, "float32"))),
        fr.activity_penalties(of(floats(T, N, D)), of(np.array([5, 2, 4])), ar=1.0, tar=1.0),
    )


def _ctc(of: Converter) -> Any:
    z, lengths = of(floats(T, N, D)), of(np.array([5, 4, 5]))
    padded, counts = of(ids(N, 2, most=3) + 1), of(np.array([1, 2, 0]))
    given = fr.ctc_loss(z, padded, lengths, target_lengths=counts)
    listed = fr.ctc_loss(z, [of(np.array([1])), of(np.array([2, 1])), of(np.array([3]))], lengths)
    found = decode.ctc_greedy(z, lengths), decode.ctc_beam(z, lengths)[0][0].ids
    return given, listed, found, fr.ctc_align(z, padded, lengths, target_lengths=counts).positions


def _crf(of: Converter) -> Any:
    crf, z, lengths = fr.CRF(D, seed=0), of(floats(T, N, D)), of(np.array([5, 2, 4]))
    return (
        crf.losses_and_gradients(z, of(ids(T, N)), lengths),
        crf.decode(z, lengths),
        crf.marginals(z, lengths),
    )


def _attention(of: Converter) -> Any:
    attention = fr.AdditiveAttention(H, D, 2, seed=0)
    memory = attention.prepare(of(floats(T, N, D)), lengths=of(np.array([5, 2, 4])))
    return (
        attention(of(floats(2, N, H)), memory),
        fr.AttentionPooling(D, 2, seed=0)(of(floats(T, N, D)), of(np.array([5, 2, 4]))),
    )


def _parameters(of: Converter) -> Any:
    linear = fr.Linear(D, H, seed=0)
    linear.load_state_dict({"weight": of(floats(H, D)), "bias": of(floats(H, dtype="float64"))})
    linear.parameters["bias"] = of(floats(H, seed=1))
    optimizer = train.Adam(linear)
    moments = {name: of(value) if np.ndim(value) else value for name, value in optimizer.state_dict().items()}
    optimizer.load_state_dict(moments)
    ratios = inspect.update_ratios({"w": of(floats(H, D))}, {"w": of(floats(H, D, seed=1))})
    return np.asarray(linear.parameters.flat), ratios["w"]


def _data(of: Converter) -> Any:
    chunks = fr.ChunkedText(of(ids(60)), 2, 5)
    buckets = fr.data.length_buckets(of(np.array([3, 1, 2])), 2, seed=0)
    padded = fr.data.pad_batch([of(ids(3)), of(ids(2))], of(np.array([1, 0])))
    sounds = fr.data.log_mel(of(0.1 * floats(800)), 16_000)
    texts = fr.data.SentenceBatches([of(ids(3)), of(ids(2))], batch_size=2, seed=0)
    vocabulary = fr.Vocabulary.from_text("abcd")
    return (
        next(iter(chunks))[:2],
        buckets,
        padded,
        sounds,
        next(iter(texts))[:2],
        vocabulary.decode(of(ids(4))),
    )


def _language_model(of: Converter) -> Any:
    model = fr.LanguageModel(D, hidden_size=H, cell_options={"context_size": 2}, seed=0)
    context, own = of(floats(N, 2)), of(floats(2))
    prompts = [of(ids(2)), of(ids(3))]
    given = of(ids(T, N)), of(ids(T, N, seed=1))
    return (
        model.loss(*given, context=context),
        model.loss_and_gradients(*given, context=context)[0],
        model.stream(N, context=context).step(of(ids(N))),
        decode.greedy(model, of(ids(2)), max_length=4, context=own).ids,
        [text.ids for text in decode.generate(model, prompts, max_length=4, seed=0, context=own)],
        decode.beam_search(model, of(ids(2)), max_length=4, context=own)[0].ids,
        decode.next_probabilities(of(floats(D)), seen=of(ids(2))),
        decode.log_probabilities(of(floats(N, D))),
        list(decode.sample_ids(model, of(ids(2)), 3, seed=0, context=own)),
    )


def _inspected(of: Converter) -> Any:
    rnn = fr.LSTM(D, H, dtype="float64", seed=0)
    x = of(floats(T, N, D, dtype="float64"))
    return inspect.jacobian_norms(rnn, x), inspect.lyapunov_exponents(rnn, x)


def _regressor(of: Converter) -> Any:
    X = [floats(4 + i % 2, 2, seed=i, dtype="float64") for i in range(6)]
    model = models.SequenceRegressor(hidden_size=3, epochs=1, random_state=0)
    model.fit([of(x) for x in X], of(floats(6, dtype="float64")))
    table = of(floats(6, 4, dtype="float64"))  # rows are sequences of single numbers
    single = models.SequenceRegressor(hidden_size=3, epochs=1, random_state=0)
    return model.predict([of(x) for x in X]), single.fit(table, of(floats(6, dtype="float64"))).predict(table)


def _classifiers(of: Converter) -> Any:
    X = [floats(4 + i % 2, 2, seed=i, dtype="float64") for i in range(6)]
    classifier = models.SequenceClassifier(hidden_size=3, epochs=1, random_state=0)
    classifier.fit([of(x) for x in X], of(ids(6, most=2)))
    tagger = models.SequenceTagger(hidden_size=3, epochs=1, random_state=0)
    tagger.fit([of(x) for x in X], [of(ids(len(x), most=2, seed=i)) for i, x in enumerate(X)])
    symbols = models.SequenceClassifier(hidden_size=3, epochs=1, random_state=0)
    symbols.fit([of(ids(3, seed=i)) for i in range(6)], of(ids(6, most=2)))
    return (
        classifier.predict_proba([of(x) for x in X]),
        tagger.predict([of(x) for x in X]),
        symbols.predict_proba([of(ids(3))]),
    )


def _forecaster(of: Converter) -> Any:
    series = of(np.sin(np.arange(60.0)))
    forecaster = models.Forecaster(hidden_size=3, epochs=1, window=8, random_state=0)
    several = models.Forecaster(hidden_size=3, epochs=1, window=8, random_state=0)
    pair = [of(floats(40, 2, dtype="float64")), of(floats(30, 2, seed=1, dtype="float64"))]
    return (
        forecaster.fit(series).predict(3, paths=5),
        forecaster.predict(2, of(np.cos(np.arange(20.0))), paths=5),
        several.fit(pair).predict(2, paths=5),
    )


def _reservoirs(of: Converter) -> Any:
    x, y = of(floats(40, 2, dtype="float64")), of(floats(40, dtype="float64", seed=1))
    net = models.EchoStateNetwork(hidden_size=10, random_state=0).fit(x, y)
    pooled = models.EchoStateRegressor(hidden_size=10, random_state=0)
    pooled.fit([of(floats(5, 2, dtype="float64", seed=i)) for i in range(4)], of(floats(4, dtype="float64")))
    return net.predict(x), pooled.predict([of(floats(5, 2, dtype="float64"))])


def _generators(of: Converter) -> Any:
    drawn = models.SequenceGenerator(hidden_size=3, epochs=1, random_state=0)
    series = [of(floats(5, 1, dtype="float64", seed=i)) for i in range(4)]
    drawn.fit(of(floats(4, 2, dtype="float64")), series)
    translated = models.Seq2Seq(hidden_size=3, epochs=1, random_state=0)
    pairs = [of(ids(3, seed=i)) for i in range(4)]
    translated.fit(pairs, pairs)
    heard = models.Transcriber(hidden_size=3, epochs=1, random_state=0)
    sounds = [of(floats(6, 2, dtype="float64", seed=i)) for i in range(4)]
    heard.fit(sounds, [of(ids(2, seed=i)) for i in range(4)])
    return (
        drawn.step_nats(of(floats(1, 2, dtype="float64")), series[:1]),
        translated.predict(pairs),
        heard.predict(sounds),
    )


#: Name of an entry: what it returns for a converter.
ENTRIES: dict[str, Callable[[Converter], Any]] = {
    name.removeprefix("_").replace("_", " "): value
    for name, value in list(globals().items())
    if name.startswith("_") and getattr(value, "__annotations__", {}).get("of") == "Converter"
}
