"""Scores of texts: the product of the model's probabilities step by step, whatever else is in the batch."""

import itertools
import math

import numpy as np
import pytest

from fastrnn import LanguageModel, Vocabulary
from fastrnn.decode import next_symbols, rank, score
from fastrnn.decode.scoring import UNITS, Score

WORDS = Vocabulary(["a", "b", "c"], level="word", unknown="<unk>", eos="<eos>")
EOS = WORDS.eos_id
WAYS = {
    "start": {"start": -1},
    "start id": {"start": EOS},
    "first given": {},
    "eos": {"start": -1, "eos": EOS},
    "eos, first given": {"eos": EOS},
    "halt": {"start": -1, "length_model": "halt"},
    "halt, first given": {"length_model": "halt"},
    "tau": {"start": -1, "length_model": "tau", "max_length": 9},
    "tau, start id": {"start": EOS, "length_model": "tau", "max_length": 9},
}
ENDED = [way for way, options in WAYS.items() if "eos" in options or "length_model" in options]
EVERY_WAY = pytest.mark.parametrize("way", WAYS)
TEXTS = ["a b", "c a zzz b a", "b b a c a c b b a", "a b c", "zzz c", "c b a a"]


def make(way, biases=None, **more):
    options = {"hidden_size": 6, "num_layers": 2, "embedding_size": 4, "dtype": "float64", "seed": 0}
    model = LanguageModel(len(WORDS), **{**options, **WAYS[way], **more})
    with model.parameters.edit() as views:  # far from uniform probabilities
        views.flat[...] += 0.6 * np.random.default_rng(1).normal(size=views.flat.size)
        if biases is not None:  # each symbol has one probability everywhere
            views["output.weight"][...], views["output.bias"][...] = 0.0, biases
    return model


def softmax(logits):
    return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()


def step_by_step(model, text, end):
    """Return the probability of each predicted token and of the length, from a stream of one id per call."""
    ids = [*WORDS.encode(text), *([EOS] if end and model.eos is not None else [])]
    read = ids if model.start is None else [model.start, *ids]
    stream, tokens, of_length = model.stream(), [], 1.0
    if model.length_model == "tau":
        stream.step(np.array(read[:1]))
        of_length = softmax(stream.length_logits[0])[len(ids) - 1]
    for place, (one, following) in enumerate(itertools.pairwise(read)):
        left = [[len(ids) - place]] if model.length_model == "tau" else []
        p = softmax(stream.step(np.array([one]), *left)[0])
        if model.length_model == "halt" and place:
            of_length *= 1.0 - stream.halt_probability[0]
        tokens.append(p[following])
    if model.length_model == "halt":
        stream.step(np.array(read[-1:]))
        of_length *= stream.halt_probability[0]
    return np.array(tokens), of_length if end else 1.0


@EVERY_WAY
@pytest.mark.parametrize("end", [None, False])
def test_a_score_is_the_product_of_the_conditionals(way, end):
    model, counted = make(way), way in ENDED and end is None
    given, ends = int(model.start is None), ["<eos>"] if counted and model.eos is not None else []
    for text, result in zip(TEXTS, score(model, WORDS, TEXTS, end=end), strict=True):
        tokens, of_length = step_by_step(model, text, counted)
        assert np.exp(result.log_probabilities) == pytest.approx(tokens, rel=1e-12)
        assert math.exp(result.length_log_probability) == pytest.approx(of_length, rel=1e-12)
        assert math.exp(result.total) == pytest.approx(np.prod(tokens) * of_length, rel=1e-12)
        assert (of_length != 1.0) == (counted and model.length_model is not None)
        words = [WORDS.symbols[i] for i in WORDS.encode(text)]
        assert (result.text, list(result.given)) == (text, words[:given])
        assert list(result.tokens) == words[given:] + ends
    if counted:
        assert score(model, WORDS, TEXTS[-1:], end=True)[0].total == result.total


@EVERY_WAY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_text_scores_the_same_alone_and_among_others(way, dtype):
    model, random = make(way, dtype=dtype), np.random.default_rng(0)
    texts = [" ".join(random.choice(["a", "b", "c"], n)) for n in random.integers(2, 10, 150)]
    assert len({len(text) for text in texts}) == 8
    for text, result in zip(texts, score(model, WORDS, texts), strict=True):
        [alone] = score(model, WORDS, text)
        assert alone.text == result.text == text
        assert alone.log_probabilities.tobytes() == result.log_probabilities.tobytes()
        assert alone.length_log_probability == pytest.approx(result.length_log_probability, rel=1e-12)
        assert alone[4:] == result[4:]


@EVERY_WAY
def test_units_are_logarithms_of_one_probability(way):
    for each in zip(*(score(make(way), WORDS, TEXTS, unit=unit) for unit in UNITS), strict=True):
        probability = math.exp(each[0].total)
        for base, unit, result in zip((math.e, 2.0, 10.0), ("nats", "bits", "log10"), each, strict=True):
            assert result.unit == unit
            assert base**result.total == pytest.approx(probability, rel=1e-12)
            assert base**result.per_token == pytest.approx(probability ** (1 / len(result.tokens)), rel=1e-12)
            assert result.perplexity == pytest.approx(probability ** (-1 / len(result.tokens)), rel=1e-12)


def test_a_perplexity_too_large_for_a_float_is_infinite():
    assert Score("a", ("a",), np.array([-800.0]), 0.0, 0, "nats").perplexity == math.inf
    assert Score("a", ("a", "b"), np.array([-800.0, 0.0]), 0.0, 0, "nats").perplexity == math.exp(400)


def test_unknown_words_are_counted_where_they_are_predicted():
    texts = ["a zzz b yyy", "zzz zzz", "a b"]
    assert [result.unknown for result in score(make("eos"), WORDS, texts)] == [2, 2, 0]
    assert [result.unknown for result in score(make("first given"), WORDS, texts)] == [2, 1, 0]
    [all_unknown], [literal] = (score(make("start"), WORDS, text) for text in ("yyy zzz", "<unk> <unk>"))
    assert all_unknown.tokens == ("<unk>", "<unk>")
    assert all_unknown.total == literal.total < 0.0
    skipping = Vocabulary(["a", "b", "c", "d", "e"], level="word", unknown="skip")
    one, two = score(make("start"), skipping, ["a zzz b", "a b"])
    assert (one.total, one.tokens, one.unknown) == (two.total, ("a", "b"), 0)


def test_a_vocabulary_of_one_symbol_is_certain_of_it():
    vocabulary, model = Vocabulary("a"), LanguageModel(1, hidden_size=4, num_layers=1, start=-1, seed=0)
    [result] = score(model, vocabulary, "aaa")
    assert (result.total, result.perplexity, len(result.tokens)) == (0.0, 1.0, 3)
    assert not np.signbit([*result.log_probabilities, result.length_log_probability]).any()
    assert str(next_symbols(model, vocabulary)[:2]) == "(('a',), array([1.]))"
    assert score(model, vocabulary, []) == []


@EVERY_WAY
@pytest.mark.parametrize("per_token", [False, True])
def test_candidates_come_sorted_by_their_scores(way, per_token):
    model = make(way)
    ranked = rank(model, WORDS, TEXTS, per_token=per_token, unit="bits")
    values = {each.text: each.per_token if per_token else each.total for each in ranked}
    assert list(values.values()) == sorted(values.values(), reverse=True)
    for each in score(model, WORDS, TEXTS, unit="bits"):
        assert values.pop(each.text) == (each.per_token if per_token else each.total)


def test_means_favour_longer_texts_than_sums_and_equals_keep_their_order():
    model = make("start", biases=[9.0, 7.0, 5.0, 5.0, 5.0])
    texts = ["b", "b a a a a a a a a"]
    assert [each.text for each in rank(model, WORDS, texts[::-1])] == texts
    assert [each.text for each in rank(model, WORDS, texts, per_token=True)] == texts[::-1]
    for same in itertools.permutations(["a  b", "a b", " a b"]):
        assert [each.text for each in rank(model, WORDS, same)] == list(same)


@pytest.mark.parametrize("prefix", ["", "a", "a b zzz", "c c c c c"])
@pytest.mark.parametrize("way", [way for way in WAYS if "tau" not in way])
def test_what_comes_next_agrees_with_scores_of_continuations(way, prefix):
    model, prefix = make(way), prefix or ("b" if "given" in way else "")
    found = next_symbols(model, WORDS, prefix)
    assert (found.end is None) == (model.length_model is None)
    assert found.probabilities.sum() + (found.end or 0.0) == pytest.approx(1.0, abs=1e-12)
    assert sorted(found.symbols) == sorted(WORDS.symbols)
    assert (np.diff(found.probabilities) <= 0.0).all()
    for symbol, p in zip(found.symbols, found.probabilities, strict=True):
        [longer] = score(model, WORDS, f"{prefix} {symbol}", end=False)
        going_on = 1.0 - (found.end or 0.0)
        assert p == pytest.approx(going_on * math.exp(longer.log_probabilities[-1]), rel=1e-12)


def test_the_end_of_a_halting_model_is_what_scores_say_of_lengths():
    model, going_on = make("halt"), 1.0
    for prefix in ("a", "a b", "a b b", "a b b c"):
        [result], end = score(model, WORDS, prefix), next_symbols(model, WORDS, prefix).end
        assert 0.01 < end < 0.99
        assert math.exp(result.length_log_probability) == pytest.approx(going_on * end, rel=1e-12)
        going_on *= 1.0 - end
    assert next_symbols(model, WORDS).end == 0.0
    assert next_symbols(make("halt, first given"), WORDS, "a").end == 0.0


def test_equally_likely_symbols_come_by_id_and_top_cuts_them():
    vocabulary, model = Vocabulary(map(chr, range(200))), LanguageModel(200, hidden_size=3, seed=0)
    model.load_state_dict({name: 0 * value for name, value in model.state_dict().items()})
    model.parameters["output.bias"] = [0.0, 1.0] * 100
    expected = (*map(chr, range(1, 200, 2)), *map(chr, range(0, 200, 2)))
    for top in (None, 999, 120):
        assert next_symbols(model, vocabulary, "a", top=top).symbols == expected[:top]
    best = next_symbols(model, vocabulary, "a", top=1).probabilities[0]
    assert best == pytest.approx(math.e / (100 + 100 * math.e), rel=1e-12)


@pytest.mark.parametrize(
    ("function", "way", "given", "options", "message"),
    [
        (score, "start", ["a", ""], {}, r"texts\[1\]: expected at least 1 token to score, got 0 in ''"),
        (score, "first given", ["a b", "a"], {}, r"texts\[1\]: .* at least 2 tokens to score, got 1 in 'a'"),
        (score, "eos, first given", ["a"], {"end": False}, r"texts\[0\]: expected at least 2 tokens"),
        (score, "halt, first given", ["a"], {}, r"texts\[0\]: expected at least 2 tokens to score"),
        (score, "tau", ["a", "a " * 10], {}, r"texts\[1\]: expected at most 9 tokens, .* got 10"),
        (score, "start", "a", {"end": True}, "end: expected a model with an end symbol or a length model"),
        (score, "start", "a", {"unit": "dB"}, "unit: expected one of 'nats', 'bits', 'log10', got 'dB'"),
        (rank, "start", ["a", ""], {}, r"texts\[1\]: expected at least 1 token to score"),
        (rank, "start", [], {}, r"candidates: expected a list of at least one text, got \[\]"),
        (rank, "start", "abc", {}, "candidates: expected a list of at least one text, got 'abc'"),
        (next_symbols, "start", "a", {"top": 0}, "top: expected 1 or more, got 0"),
        (next_symbols, "tau", "a", {}, "model: expected one whose next symbol does not depend on a length"),
        (next_symbols, "first given", "", {}, "prefix: expected at least one token, as the model has no"),
    ],
)
def test_what_cannot_be_scored_is_refused(function, way, given, options, message):
    with pytest.raises(ValueError, match=message):
        function(make(way), WORDS, given, **options)


def test_texts_that_the_vocabulary_refuses_are_named():
    sure = Vocabulary(["a", "b", "c", "d", "e"], level="word", unknown="error")
    with pytest.raises(ValueError, match=r"^texts\[2\]: word 'zzz' at position 1 is not in the vocabulary"):
        score(make("start"), sure, ["a", "b", "a zzz"])
    with pytest.raises(ValueError, match=r"^prefix: word 'zzz' at position 2 is not in the vocabulary"):
        next_symbols(make("start"), sure, "a b zzz")
