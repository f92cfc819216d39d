"""Sampling: the distribution, and that what is drawn follows it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastrnn import ChunkedText, LanguageModel, Vocabulary
from fastrnn.decode import Sampling, next_probabilities, sample, sample_ids
from fastrnn.train import train
from training_cases import TEXT, VOCABULARY, make_model, make_trainer

LOGITS = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-50, 50, width=32))


@given(LOGITS, st.floats(0.05, 5.0))
def test_a_temperature_is_a_softmax_of_scaled_logits(logits, temperature):
    p = next_probabilities(logits, Sampling(temperature))
    scaled = logits.astype(np.float64) / temperature
    expected = np.exp(scaled - scaled.max())
    np.testing.assert_allclose(p, expected / expected.sum(), rtol=1e-9)


@given(LOGITS, st.integers(1, 50), st.floats(0.01, 1.0), st.floats(0.05, 5.0))
def test_a_cut_keeps_the_likeliest_and_their_proportions(logits, top_k, top_p, temperature):
    full = next_probabilities(logits, Sampling(temperature))
    p = next_probabilities(logits, Sampling(temperature, top_k, top_p))
    kept = np.flatnonzero(p)
    assert p.sum() == pytest.approx(1.0)
    assert 1 <= len(kept) <= min(top_k, len(logits))
    np.testing.assert_allclose(p[kept], full[kept] / full[kept].sum(), rtol=1e-9)
    dropped = np.setdiff1d(np.flatnonzero(full), kept)
    assert not dropped.size or full[dropped].max() <= full[kept].min()


def test_top_p_keeps_the_fewest_that_reach_it():
    logits = np.log([0.1, 0.4, 0.3, 0.2])
    for top_p, kept in ((0.05, [1]), (0.39, [1]), (0.41, [1, 2]), (0.71, [1, 2, 3]), (1.0, [0, 1, 2, 3])):
        assert np.flatnonzero(next_probabilities(logits, Sampling(top_p=top_p))).tolist() == kept


def test_top_p_looks_at_what_top_k_left():
    # Of 0.4 and 0.3 the first alone holds 57 %.
    p = next_probabilities(np.log([0.1, 0.4, 0.3, 0.2]), Sampling(top_k=2, top_p=0.5))
    assert np.flatnonzero(p).tolist() == [1]


def test_among_equals_the_first_are_kept():
    p = next_probabilities(np.zeros(5), Sampling(top_k=2))
    assert p.tolist() == [0.5, 0.5, 0, 0, 0]
    assert next_probabilities([1.0, 3.0, 3.0], Sampling(0.0)).tolist() == [0, 1, 0]


def test_logits_far_apart_do_not_overflow():
    assert next_probabilities([1e30, -1e30, 0.0], Sampling(1e-3)).tolist() == [1, 0, 0]
    assert next_probabilities([-np.inf, 0.0]).tolist() == [0, 1]


@pytest.mark.parametrize("logits", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_logits_that_are_no_distribution_are_refused(logits):
    with pytest.raises(ValueError, match="logits: the highest is"):
        next_probabilities(logits)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": np.nan}, "temperature"),
        ({"temperature": np.inf}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": np.nan}, "top_p"),
    ],
)
def test_options_out_of_range_are_refused(options, name):
    with pytest.raises(ValueError, match=f"^{name}: "):
        Sampling(**options)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("embedding_size", [None, 4])
def test_the_likeliest_text_is_that_of_the_logits(cell, embedding_size):
    model = make_model(cell, embedding_size=embedding_size)
    ids = [3, 1, 2]
    for _ in range(15):
        logits, _ = model.logits(np.array(ids)[:, None])
        ids.append(int(logits[-1, 0].argmax()))
    assert list(sample_ids(model, ids[:3], 15, sampling=Sampling(0.0))) == ids[3:]


def test_symbols_come_as_often_as_they_are_likely():
    model = make_model(hidden_size=3, num_layers=1)
    logits, _ = model.logits([[5]])
    p = next_probabilities(logits[0, 0])
    draws = 4000
    counts = np.bincount([next(sample_ids(model, [5], 1, seed=s)) for s in range(draws)], minlength=len(p))
    # Chi squared with 29 degrees of freedom: above 65 once in 10,000 seeds; these seeds are fixed.
    assert (np.square(counts - draws * p) / (draws * p)).sum() < 65


def test_a_symbol_that_was_cut_is_never_drawn():
    model = make_model()
    ids = [1, *sample_ids(model, [1], 300, sampling=Sampling(2.0, top_k=3), seed=0)]
    logits, _ = model.logits(np.array(ids)[:, None])
    for step, drawn in enumerate(ids[1:]):
        assert drawn in np.argsort(-logits[step, 0])[:3]


def test_a_draw_at_the_very_end_of_the_distribution_is_a_symbol():
    class AlmostOne(np.random.Generator):
        def random(self):
            return 1.0 - 2.0**-53

    model = make_model()
    generator = AlmostOne(np.random.PCG64(0))
    # With top_k the last symbols have no probability; the draw must not fall on them or behind.
    ids = list(sample_ids(model, [1], 50, sampling=Sampling(top_k=5), seed=generator))
    logits, _ = model.logits(np.array([1, *ids])[:, None])
    for step, drawn in enumerate(ids):
        assert next_probabilities(logits[step, 0], Sampling(top_k=5))[drawn] > 0


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_k": 5}, {"top_p": 0.9}])
def test_the_same_seed_writes_the_same_text(options):
    model = make_model()
    one = sample(model, VOCABULARY, "green", 80, seed=7, **options)
    assert one == sample(model, VOCABULARY, "green", 80, seed=7, **options)
    assert one != sample(model, VOCABULARY, "green", 80, seed=8, **options)
    assert len(one) == 80


def test_a_longer_text_begins_like_a_shorter_one():
    model = make_model()
    long = sample(model, VOCABULARY, "", 60, seed=3)
    assert long.startswith(sample(model, VOCABULARY, "", 20, seed=3))


def test_symbols_come_one_by_one():
    ids = sample_ids(make_model(), [1], 10**9, seed=0)
    assert len(list(itertools.islice(ids, 5))) == 5


def test_without_a_prompt_it_writes_as_after_a_lines_end():
    model = make_model()
    assert sample(model, VOCABULARY, "", 40, seed=1) == sample(model, VOCABULARY, "\n", 40, seed=1)


def test_without_a_prompt_and_lines_it_starts_anywhere():
    vocabulary = Vocabulary.from_text("ab")
    model = LanguageModel(2, hidden_size=3, num_layers=1, seed=0)
    texts = {sample(model, vocabulary, "", 8, temperature=0.0, seed=seed) for seed in range(20)}
    assert len(sample(model, vocabulary, "", 8, seed=0)) == 8
    assert texts == {sample(model, vocabulary, start, 8, temperature=0.0) for start in "ab"}


def test_sampling_changes_neither_the_model_nor_its_generator():
    trainer, other = make_trainer(), make_trainer()
    for _ in trainer.run(10):
        sample(trainer.model, VOCABULARY, "", 10, seed=0)
    for _ in other.run(10):
        pass
    assert trainer.model.parameters.flat.tobytes() == other.model.parameters.flat.tobytes()


def test_an_unknown_symbol_in_the_prompt_is_named():
    with pytest.raises(ValueError, match="prompt: 'é' at position 1 is not in the vocabulary"):
        sample(make_model(), VOCABULARY, "gé")


@pytest.mark.parametrize("length", [-1, -100])
def test_a_negative_length_is_refused_at_once(length):
    with pytest.raises(ValueError, match="length: expected 0 or more"):
        sample_ids(make_model(), [1], length)


def test_no_length_gives_no_text():
    assert sample(make_model(), VOCABULARY, "a", 0) == ""


@pytest.mark.parametrize("prompt", [[], [-1], [30]])
def test_prompts_that_are_no_ids_are_refused(prompt):
    with pytest.raises(ValueError, match=r"prompt|ids"):
        sample_ids(make_model(), np.array(prompt, dtype=np.int64), 5)


def test_a_trained_model_writes_what_it_has_read():
    model = make_model(hidden_size=64, num_layers=1, dropout=0.0)
    data = ChunkedText(VOCABULARY.encode(TEXT), 8, 40)
    for _ in train(model, data, 400):
        pass
    text = sample(model, VOCABULARY, "green ", 300, temperature=0.5, seed=0)
    assert "bottles hanging on the wall, and if" in text
