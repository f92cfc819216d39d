"""Sentences: their layout and order, and training and evaluation on them."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn import LanguageModel
from fastrnn.data.sentences import SentenceBatches
from fastrnn.train import (
    SGD,
    Adam,
    ExponentialAverage,
    Trainer,
    TrainingState,
    Validation,
    evaluate_sentences,
)
from fastrnn.train.gradients import PassOptions, step_gradients
from training_cases import TEXT, VOCABULARY, make_model, parameters_of, same_arrays, without_time

LINES = [VOCABULARY.encode(line) for line in TEXT.splitlines()]
LINES = [line[: 5 + index * 7 % 23] for index, line in enumerate(LINES)]  # of many lengths
SENTENCES = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9), min_size=1, max_size=20)


def rows_of(batches):
    """Return inputs and targets of every row, without padding."""
    return [
        (batch.inputs[:length, row].tolist(), batch.targets[:length, row].tolist())
        for batch in batches
        for row, length in enumerate(batch.lengths)
    ]


@given(SENTENCES, st.integers(1, 7), st.sampled_from([-1, 3]), st.sampled_from([None, 0]), st.booleans())
def test_an_epoch_has_every_sentence_once(sentences, batch_size, start, eos, bucket):
    data = SentenceBatches(sentences, batch_size, start=start, eos=eos, seed=0, bucket=bucket)
    end = [] if eos is None else [eos]
    expected = sorted(([start, *xs, *end][: len(xs) + len(end)], [*xs, *end]) for xs in sentences)
    for epoch in range(3):
        batches = [data.batch(epoch * len(data) + index) for index in range(len(data))]
        assert sorted(rows_of(batches)) == expected
        assert sum(batch.tokens for batch in batches) == data.tokens
        assert all(1 <= batch.inputs.shape[1] <= batch_size for batch in batches)
    assert data.tokens == sum(len(xs) + len(end) for xs in sentences)


@given(SENTENCES, st.integers(1, 7), st.sampled_from([None, 0]))
def test_steps_after_the_end_are_padding(sentences, batch_size, eos):
    for batch in SentenceBatches(sentences, batch_size, eos=eos, seed=0):
        assert len(batch.inputs) == batch.lengths.max()
        padding = np.arange(len(batch.inputs))[:, None] >= batch.lengths
        assert (batch.inputs[padding] == 0).all()
        assert ((batch.targets == -1) == padding).all()
        assert batch.advance == 0
        for array in batch[:3]:
            assert array.dtype == np.int64
            assert array.flags.c_contiguous


def test_the_order_follows_from_seed_and_step_alone():
    def order(seed, steps):
        data = SentenceBatches(LINES, 4, seed=seed)
        return [data.batch(step).targets.tolist() for step in steps]

    steps = list(range(40))
    there = order(7, steps)
    assert there == order(7, reversed(steps))[::-1]
    assert there == order(np.random.default_rng(7), steps)
    assert there != order(8, steps)
    assert there[:15] != there[15:30]  # another epoch
    assert order(None, steps) != order(None, steps)


@pytest.mark.parametrize("bucket", [True, False])
def test_batches_of_similar_lengths_have_little_padding(bucket):
    data = SentenceBatches(LINES, 10, seed=0, bucket=bucket)
    padded = sum(batch.inputs.size for batch in data) / data.tokens
    assert (padded < 1.2) == bucket


def test_a_later_change_of_the_sentences_does_not_reach_the_data():
    sentences = [np.arange(1, 4), np.arange(5, 7)]
    data = SentenceBatches(sentences, 1, seed=0)
    before = rows_of(data)
    sentences[0][:] = 9
    assert rows_of(data) == before


@pytest.mark.parametrize(
    ("sentences", "options", "error", "message"),
    [
        ([], {}, ValueError, "sequences: expected at least one, got none"),
        ([[1], [], [2]], {}, ValueError, r"sequences\[1\]: expected at least one id, got none"),
        ([[1], np.zeros(0)], {}, ValueError, r"sequences\[1\]: expected at least one id, got none"),
        ([[1], [[2, 3]]], {}, ValueError, r"sequences\[1\]: expected \[n\], got \[1, 2\]"),
        ([[1], [1.5]], {}, TypeError, r"sequences\[1\]: expected integers, got float64"),
        ([[1, -1]], {}, ValueError, r"sequences\[0\]: expected ids of 0 or more, got -1"),
        ([[1]], {"batch_size": 0}, ValueError, "batch_size: expected 1 or more, got 0"),
        ([[1]], {"start": -2}, ValueError, "start: expected -1 or more, got -2"),
        ([[1]], {"eos": -1}, ValueError, "eos: expected 0 or more, got -1"),
        ([[1]], {"eos": 1.0}, TypeError, "float"),
    ],
)
def test_invalid_sentences_are_refused(sentences, options, error, message):
    with pytest.raises(error, match=message):
        SentenceBatches(sentences, **{"batch_size": 2, **options})


# --- evaluation ---


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_evaluation_is_the_mean_over_all_tokens_ends_included(batch_size):
    model = make_model(dtype="float64", eos=0)
    result = evaluate_sentences(model, LINES, batch_size=batch_size)
    total = 0.0
    for line in LINES:
        inputs, targets = [-1, *line], [*line, 0]
        total += model.loss(np.array([inputs]).T, np.array([targets]).T)[0] * len(targets)
    assert result.tokens == sum(len(line) + 1 for line in LINES)
    assert result.loss == pytest.approx(total / result.tokens, rel=1e-12)


def test_evaluation_of_batches_is_that_of_their_sentences():
    model = make_model(dtype="float64", start=3)
    batches = SentenceBatches(LINES, 7, start=3, seed=1)
    one, two = evaluate_sentences(model, batches), evaluate_sentences(model, LINES)
    assert one.tokens == two.tokens == sum(map(len, LINES))
    assert one.loss == pytest.approx(two.loss, rel=1e-12)
    assert evaluate_sentences(model, batches) == one


# --- training ---


def make_trainer(*, seed=0, **options):
    model = make_model()
    data = SentenceBatches(LINES, 7, eos=0, seed=seed)
    validation = Validation(SentenceBatches(LINES[:9], 4, eos=0, seed=0), every=4)
    average = ExponentialAverage(model, 0.9)
    return Trainer(
        model, data, clip_norm=1.0, validation=validation, average=average, accumulate=2, **options
    )


def test_the_loss_of_sentences_falls():
    data = SentenceBatches(LINES, 8, eos=0, seed=0)
    losses = [record.loss for record in Trainer(make_model(dropout=0.0), data).run(150)]
    assert np.mean(losses[-10:]) < 0.8 * losses[0]


@pytest.mark.parametrize("length_model", ["halt", "tau"])
def test_models_of_lengths_are_trained_too(length_model):
    options = {"max_length": 30, "embedding_size": 8} if length_model == "tau" else {}
    model = make_model(dropout=0.0, length_model=length_model, **options)
    data = SentenceBatches(LINES, 8, seed=0)
    trainer = Trainer(model, data, validation=Validation(data, every=100))
    losses = [record.valid_loss for record in trainer.run(200) if record.valid_loss is not None]
    assert losses[1] < losses[0]


def test_accumulated_batches_are_one_large_batch():
    """Check the update: of the mean over all tokens, however many each batch has."""
    data = SentenceBatches(LINES[:12], 4, eos=0, seed=3)  # three batches of different lengths
    assert len({batch.tokens for batch in data}) > 1
    large = SentenceBatches(LINES[:12], 12, eos=0, seed=3)
    results = []
    for batches, accumulate in ((data, 3), (large, 1)):
        model = make_model(dtype="float64", dropout=0.0)
        trainer = Trainer(model, batches, SGD(model, 0.5), accumulate=accumulate, label_smoothing=0.1)
        results.append((next(trainer.run(1)), model.parameters.flat))
    (one, p), (two, q) = results
    assert one.loss == pytest.approx(two.loss, rel=1e-12)
    assert one.gradient_norm == pytest.approx(two.gradient_norm, rel=1e-10)
    assert one.epoch == two.epoch == 1.0
    np.testing.assert_allclose(p, q, rtol=1e-10, atol=1e-13)


@settings(max_examples=25)  # a training each
@given(st.integers(0, 12), st.integers(0, 8))
def test_resuming_anywhere_goes_on_with_the_same_records(first, more):
    straight, half = make_trainer(), make_trainer()
    expected = list(straight.run(first + more))
    records = list(half.run(first))
    state = half.state()
    again = make_trainer()
    again.model.load_state_dict(half.model.state_dict())
    again.restore(TrainingState(json.loads(json.dumps(state.values)), state.arrays))
    records += again.run(first + more)
    assert without_time(records) == without_time(expected)
    assert parameters_of(again) == parameters_of(straight)
    assert again.state().values == straight.state().values
    assert same_arrays(again.state().arrays, straight.state().arrays)


def test_another_order_cannot_be_resumed():
    with pytest.raises(ValueError, match="training state: was made with sentences in another order"):
        make_trainer(seed=1).restore(make_trainer(seed=0).state())


def test_a_model_that_ends_texts_itself_learns_where():
    data = SentenceBatches([[1, 2, 3], [2]], 2, eos=0, seed=0)
    model = LanguageModel(4, hidden_size=16, num_layers=1, seed=0)
    list(Trainer(model, data, Adam(model, 2e-2)).run(150))
    # ln 2 for the choice between the two, nothing else to know: six tokens in all.
    assert evaluate_sentences(model, data).loss == pytest.approx(2 * np.log(2) / 6, rel=0.1)


def test_each_token_of_an_epoch_weighs_the_same_whatever_its_sentences_length():
    """Check the weights: batches of short sentences have few tokens, whose means would weigh each more."""
    random = np.random.default_rng(3)
    sequences = [random.integers(5, size=n) for n in (1, 1, 2, 2, 7, 8, 9, 9, 2, 8)]
    model = LanguageModel(5, hidden_size=4, num_layers=1, dtype="float64", start=-1, seed=0)
    data = SentenceBatches(sequences, 4, seed=0)
    total = np.zeros(model.num_parameters)
    for step in range(len(data)):
        step_gradients(model, data, step, None, PassOptions())
        total += model.gradients.flat
    every = SentenceBatches(sequences, len(sequences), seed=0).batch(0)
    model.zero_gradients()
    model.loss_and_gradients(every.inputs, every.targets, lengths=every.lengths)
    np.testing.assert_allclose(total / len(data), model.gradients.flat, rtol=1e-12, atol=1e-15)
