"""Texts and lines of any length: the same result in parts, and memory that does not grow with them."""

import tracemalloc

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.data import SentenceBatches, Vocabulary
from fastrnn.decode import score
from fastrnn.language import losses
from fastrnn.train import evaluate, evaluate_sentences, evaluation

MODELS = {
    "lstm": {"cell": "lstm", "num_layers": 2},
    "embedding": {"cell": "gru", "embedding_size": 5},
    "layer_norm": {"cell": "rnn", "cell_options": {"layer_norm": True}},
    "halt": {"length_model": "halt", "start": -1},
    "tau": {"length_model": "tau", "start": -1, "embedding_size": 5, "max_length": 40},
    "cutoffs": {"cutoffs": [3, 5]},
}


def make_model(name, **options):
    return fr.LanguageModel(7, hidden_size=6, **MODELS[name], **options, dtype="float64", seed=0)


def ragged_batch():
    random = np.random.default_rng(1)
    lengths = np.array([31, 4, 17, 31, 1, 9])
    inputs, targets = random.integers(0, 7, (2, 31, 6))
    targets[np.arange(31)[:, None] >= lengths] = -1
    return inputs, targets, lengths


@pytest.mark.parametrize("part", [1, 7, 40, 100])
@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_a_batch_in_parts_of_its_steps_has_the_same_bits(monkeypatch, name, lengths, part):
    model, (inputs, targets, ends) = make_model(name), ragged_batch()
    if not lengths:
        targets, ends = np.where(targets < 0, 0, targets), None
    whole = model.target_losses(inputs, targets, lengths=ends)
    monkeypatch.setattr(losses, "_LARGEST_PART", part)
    parts = model.target_losses(inputs, targets, lengths=ends)
    for one, two in zip(whole[:2], parts[:2], strict=True):
        assert one.tobytes() == two.tobytes()
    for one, two in zip(np.atleast_1d(whole[2]), np.atleast_1d(parts[2]), strict=True):
        assert np.array_equal(one, two)


@pytest.mark.parametrize("streams", [1, 3, 8, 50])
def test_an_evaluation_in_parts_is_that_of_the_whole(monkeypatch, streams):
    model = make_model("lstm")
    text = np.random.default_rng(0).integers(0, 7, 333)
    whole = evaluate(model, text, batch_size=streams)
    for name, value in (("_MOST_STREAMS", 3), ("_LARGEST_BATCH", 16)):
        monkeypatch.setattr(evaluation, name, value)
    parts = evaluate(model, text, batch_size=streams)
    assert parts.tokens == whole.tokens
    assert parts.loss == pytest.approx(whole.loss, rel=1e-14)


@pytest.mark.parametrize("name", ["lstm", "halt", "tau"])
def test_an_evaluation_of_sentences_in_parts_is_that_of_the_whole(monkeypatch, name):
    model, random = make_model(name), np.random.default_rng(0)
    rows = [random.integers(0, 7, size) for size in random.integers(1, 30, 50)]
    whole = evaluate_sentences(model, rows)
    monkeypatch.setattr(evaluation, "_LARGEST_PADDED", 60)
    monkeypatch.setattr(losses, "_LARGEST_PART", 16)
    parts = evaluate_sentences(model, rows)
    assert parts.tokens == whole.tokens
    assert parts.loss == pytest.approx(whole.loss, rel=1e-14)


def test_batches_within_a_limit_hold_every_sequence_once():
    rows = [np.full(size, size) for size in (1, 2, 3, 4, 50, 6, 7, 8)]
    data = SentenceBatches(rows, 4, eos=0, seed=0)
    batches = list(data.within(20))
    assert all(batch.inputs.size <= 20 or batch.inputs.shape[1] == 1 for batch in batches)
    found = sorted(int(length) for batch in batches for length in batch.lengths)
    assert found == sorted(len(row) + 1 for row in rows)
    assert data.largest == max(batch.inputs.size for batch in data)


def peak_megabytes(action):
    action()  # what is made once
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_an_evaluation_of_many_streams_takes_the_memory_of_a_few():
    model = fr.LanguageModel(9, hidden_size=64, num_layers=1, seed=0)
    text = np.zeros(4096 * 60, np.int64)
    assert peak_megabytes(lambda: evaluate(model, text, batch_size=4096)) < 50  # it was 78 with 60 steps


@pytest.mark.parametrize("length_model", [None, "halt"])
def test_a_long_line_among_short_ones_takes_no_memory_for_padding(length_model):
    model = fr.LanguageModel(9, hidden_size=16, num_layers=1, start=-1, length_model=length_model, seed=0)
    rows = [np.zeros(300_000, np.int64), *np.zeros((40, 5), np.int64)]
    assert peak_megabytes(lambda: evaluate_sentences(model, rows)) < 60  # it was 2,300
    vocabulary = Vocabulary("abcdefghi")
    texts = ["a" * 300_000, *["b"] * 40]
    assert peak_megabytes(lambda: score(model, vocabulary, texts)) < 120


@pytest.mark.parametrize("size", [0, 1, 5, 4000, 10_000])
def test_a_text_in_chunks_is_encoded_as_in_one(monkeypatch, size):
    text = "".join(np.random.default_rng(size).choice(list("ab \nxy"), size))
    vocabularies = [
        Vocabulary("ab \n", unknown="?"),
        Vocabulary(["a", "b", "ab"], level="word", unknown="<unk>", eos="<eos>"),
    ]
    for vocabulary in vocabularies:
        for policy in (None, "skip"):
            whole = vocabulary.encode_stream(text, unknown=policy)
            plain = vocabulary.encode(text, unknown=policy)
            with monkeypatch.context() as patch:
                patch.setattr(fr.data.reading, "_CHUNK_SIZE", 7)
                assert np.array_equal(vocabulary.encode_stream(text, unknown=policy), whole)
                assert np.array_equal(vocabulary.encode(text, unknown=policy), plain)
    if "x" in text or "y" in text:
        strict = Vocabulary("ab \n")
        position = min(text.find(symbol) for symbol in "xy" if symbol in text)
        monkeypatch.setattr(fr.data.reading, "_CHUNK_SIZE", 7)
        with pytest.raises(ValueError, match=f"at position {position} is not in the vocabulary"):
            strict.encode(text)
