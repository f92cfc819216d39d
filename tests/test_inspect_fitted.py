"""Traces of models with ``fit``: the outputs of their own layers, whatever they read."""

import numpy as np
import pytest

from fastrnn import models
from fastrnn.inspect import trace

SMALL = {"hidden_size": 5, "epochs": 1, "random_state": 0}
TEXTS = ["abc", "cba", "aabb", "cc"] * 3
random = np.random.default_rng(0)
SERIES = [random.normal(size=(steps, 2)) for steps in (5, 8, 6)]


def outputs(model, x, joined=None):
    return model.network_.encoder(x[:, None], None, joined)[0][:, 0]


def test_a_classifier_of_texts_reads_an_unknown_symbol_as_such():
    model = models.SequenceClassifier(dropout=0.3, **SMALL).fit(TEXTS, ["x", "y", "x"] * 4)
    state = model.network_.rng.bit_generator.state
    seen = trace(model, "ab?")
    assert (seen.symbols, seen.ids[2], seen.loss) == (("a", "b", "?"), 0, None)
    assert seen.layers == ("l0", "l0_reverse")
    np.testing.assert_array_equal(seen.outputs, outputs(model, seen.ids))
    assert model.network_.rng.bit_generator.state == state


def test_a_regressor_reads_standardized_features():
    model = models.SequenceRegressor(cell="gru", **SMALL).fit(SERIES, [1.0, 2.0, 3.0])
    seen = trace(model, SERIES[1])
    assert (seen.symbols, seen.ids, seen.steps) == (None, None, 8)
    (x,) = model._codec.encode("X", [SERIES[1]])
    np.testing.assert_array_equal(seen.outputs, outputs(model, x))


def test_a_tagger_reads_words_and_their_characters():
    sentences = [["to", "be"], ["or", "not", "to"]] * 3
    tags = [["P", "V"], ["C", "N", "P"]] * 3
    model = models.SequenceTagger(char_features="lstm", num_layers=2, **SMALL).fit(sentences, tags)
    seen = trace(model, ["to", "go"])
    assert (seen.symbols, seen.ids[1]) == (("to", "go"), 0)
    z = model.network_.output(seen.outputs[:, None])
    (expected,) = model.predict_proba([["to", "go"]])
    np.testing.assert_allclose(model.network_.probabilities(z, np.array([2]))[:, 0], expected, rtol=1e-6)


def test_a_transcriber_reads_joined_frames():
    frames = [random.normal(size=(9, 2)) for _ in range(4)]
    model = models.Transcriber(stack_frames=2, noise=0.5, **SMALL).fit(frames, ["ab", "b", "a", "ba"])
    seen = trace(model, frames[0])
    assert seen.steps == 5
    (expected,) = model.predict_proba(frames[:1])
    z = model.network_.output(seen.outputs).astype(np.float64)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, expected, rtol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_encoder_of_a_translator_is_shown_in_the_order_of_the_source(reverse):
    model = models.Seq2Seq(reverse_source=reverse, **SMALL).fit(TEXTS, TEXTS)
    seen = trace(model, "abc")
    order = slice(None, None, -1 if reverse else 1)
    ids = model._codec.encode("X", ["abc"])[0]
    np.testing.assert_array_equal(seen.ids, ids)
    np.testing.assert_array_equal(seen.outputs[order], outputs(model, ids[order]))


def test_a_forecaster_reads_differences_and_what_is_known_of_the_next_step():
    series, known = random.normal(size=30).cumsum(), np.arange(30.0)
    model = models.Forecaster(window=9, difference=(1, 2), **SMALL).fit(series, known)
    seen = trace(model, series[:12], context=known[:12])
    assert (seen.offset, seen.steps) == (3, 8)
    x = model._inputs(series[:12, None], known[:12, None])
    np.testing.assert_array_equal(seen.outputs, outputs(model, x))


@pytest.mark.parametrize("learn_end", [False, True])
@pytest.mark.parametrize(
    "sequences",
    [TEXTS, [[["a"], ["a", "b"], []]] * 6, [one[:, 0] for one in SERIES] * 2],
    ids=["tokens", "labels", "numbers"],
)
def test_the_losses_of_a_generator_are_its_own(sequences, learn_end):
    model = models.SequenceGenerator(learn_end=learn_end, num_layers=2, **SMALL).fit(None, sequences)
    seen = trace(model, sequences[0])
    (expected,) = model.step_nats(None, sequences[:1])
    np.testing.assert_allclose(seen.loss, expected[: len(sequences[0])].sum(axis=1), rtol=1e-6)


@pytest.mark.parametrize("condition_as", ["state", "input", "both"])
def test_a_generator_of_texts_reads_its_condition_and_expects_symbols_and_the_end(condition_as):
    conditions = ["x", "y", "x"] * 4
    model = models.SequenceGenerator(condition_as=condition_as, **SMALL).fit(conditions, TEXTS)
    seen = trace(model, "abc", context="y")
    (expected,) = model.step_nats(["y"], ["abc"])
    np.testing.assert_allclose(seen.loss, expected[:3, 0], rtol=1e-6)
    top = seen.top(2)
    ends = seen.top(len(set("abc")) + 2)
    assert set(ends.symbols[0]) == {"<unknown>", "<end>", "a", "b", "c"}
    place = ends.symbols[2].index("<end>")
    np.testing.assert_allclose(-np.log(ends.probabilities[2, place]), expected[3, 0], rtol=1e-5)
    assert top.symbols[0] == ends.symbols[0][:2]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: trace(TEXT, ""), ValueError, "^data: expected at least one step, got an empty sequence"),
        (lambda: trace(TEXT, [0.5]), TypeError, "^data: expected symbols"),
        (lambda: trace(TEXT, "a", context=1), ValueError, "context: expected None, as the model reads none"),
        (lambda: trace(MAKER, "a"), ValueError, "^context: expected a list of classes"),
        (lambda: trace(MAKER, "a", context="z"), ValueError, "^context: .*'z'"),
        (lambda: trace(SEER, [1.0]), ValueError, "^data: expected at least 2 steps"),
        (
            lambda: trace(SEER, [np.arange(5.0)] * 2),
            ValueError,
            "^data: expected one series, got a list of 2",
        ),
        (lambda: trace(SEER, [1.0, 2.0, 3.0], context=[1.0]), ValueError, "^context: expected None"),
    ],
)
def test_what_a_fitted_model_cannot_read_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


TEXT = models.SequenceClassifier(**SMALL).fit(TEXTS, ["x", "y", "x"] * 4)
MAKER = models.SequenceGenerator(**SMALL).fit(["x", "y", "x"] * 4, TEXTS)
SEER = models.Forecaster(window=4, **SMALL).fit(np.arange(12.0))
