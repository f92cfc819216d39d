"""Beam search: against exhaustive search, and against the likeliest symbol at each step."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decoding_cases import MarkovModel, random_markov_model
from fastrnn import LanguageModel
from fastrnn.decode import beam_search, greedy
from training_cases import make_model


def tiny_model(size, seed=0, **options):
    model = LanguageModel(size, hidden_size=4, num_layers=1, dtype="float64", seed=seed, **options)
    model.load_state_dict({name: 4.0 * value for name, value in model.state_dict().items()})
    return model


def all_texts(size, longest, eos):
    """Return every text: the symbols drawn, the end symbol included."""
    others = [symbol for symbol in range(size) if symbol != eos]
    texts = list(itertools.product(others, repeat=longest))
    if eos is not None:
        texts += [
            (*ids, eos) for length in range(longest) for ids in itertools.product(others, repeat=length)
        ]
    return texts


def log_probability_of(model, prompt, drawn):
    logits, _ = model.logits(np.array([*prompt, *drawn])[:, None])
    table = logits[len(prompt) - 1 : -1, 0]
    table = table - np.logaddexp.reduce(table, axis=1, keepdims=True)
    return float(table[np.arange(len(drawn)), drawn].sum())


def exhaustive(model, prompt, longest, eos, alpha):
    found = []
    for drawn in all_texts(model.vocabulary_size, longest, eos):
        nats = log_probability_of(model, prompt, drawn)
        ended = eos is not None and drawn[-1] == eos
        found.append((nats / ((5 + len(drawn)) / 6) ** alpha, drawn[:-1] if ended else drawn, nats, ended))
    return sorted(found, key=lambda one: (-one[0], one[1]))


@pytest.mark.parametrize("alpha", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("eos", [None, 0, 2])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_beam_wide_enough_finds_all_texts(cell, eos, alpha):
    model = tiny_model(3, cell=cell)
    best = exhaustive(model, [1, 2], 4, eos, alpha)
    found = beam_search(model, [1, 2], beam_size=3**4, max_length=4, eos=eos, length_penalty=alpha)
    assert [tuple(one.ids.tolist()) for one in found] == [ids for _, ids, _, _ in best]
    np.testing.assert_allclose([one.score for one in found], [one[0] for one in best], rtol=1e-10)
    np.testing.assert_allclose([one.log_probability for one in found], [one[2] for one in best], rtol=1e-10)
    assert [one.stopped_by == "eos" for one in found] == [one[3] for one in best]


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 6), st.floats(0.0, 2.0))
@settings(max_examples=60)
def test_what_a_narrow_beam_finds_are_texts_with_their_scores(seed, size, longest, alpha):
    model = random_markov_model(4, seed=seed, eos=3)
    found = beam_search(model, beam_size=size, max_length=longest, length_penalty=alpha)
    assert 1 <= len(found) <= size
    assert len({one.ids.tobytes() + one.stopped_by.encode() for one in found}) == len(found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    for one in found:
        drawn = [*one.ids, *([3] if one.stopped_by == "eos" else [])]
        assert 3 not in one.ids
        assert one.stopped_by == "eos" or len(one.ids) == longest
        assert one.log_probability == pytest.approx(model.log_probability(drawn))
        assert one.score == pytest.approx(one.log_probability / ((5 + len(drawn)) / 6) ** alpha)


def slow_beam_search(model, prompt, size, longest, eos, alpha):
    """Run the same search, written plainly and without stopping early."""

    def nats(ids):
        return log_probability_of(model, prompt, ids)

    beam, finished = [()], []
    for _ in range(longest):
        grown = [(*ids, symbol) for ids in beam for symbol in range(model.vocabulary_size)]
        grown.sort(key=nats, reverse=True)
        finished += [ids for ids in grown[:size] if ids[-1] == eos]
        beam = [ids for ids in grown if ids[-1] != eos][:size]
    finished += beam
    return sorted(finished, key=lambda ids: -nats(ids) / ((5 + len(ids)) / 6) ** alpha)[:size]


@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 5), st.sampled_from([0.0, 0.6, 1.5]))
@settings(max_examples=60)
def test_ending_early_loses_nothing(seed, size, longest, alpha):
    model = tiny_model(4, seed=seed)
    found = beam_search(model, [2], beam_size=size, max_length=longest, eos=3, length_penalty=alpha)
    drawn = [(*one.ids.tolist(), *([3] if one.stopped_by == "eos" else [])) for one in found]
    assert drawn == slow_beam_search(model, [2], size, longest, 3, alpha)


def test_the_search_ends_early():
    # After the first symbol the end is almost certain.
    model = MarkovModel([[0.0, 0.0, 20.0], [0.0, 0.0, 20.0], [0.0, 0.0, 0.0], [1.0, 0.5, -9.0]], eos=2)
    found = beam_search(model, beam_size=2, max_length=1000)
    assert [one.ids.tolist() for one in found] == [[0], [1]]
    assert len(model.steps) < 5


@pytest.mark.parametrize("eos", [None, 0, 5, 17])
def test_a_beam_of_one_is_greedy(eos):
    for seed in range(5):
        model = make_model(seed=seed)
        text = greedy(model, [3, 1], max_length=25, eos=eos)
        (found,) = beam_search(model, [3, 1], beam_size=1, max_length=25, eos=eos)
        assert found.ids.tolist() == text.ids.tolist()
        assert found.stopped_by == text.stopped_by
        assert found.log_probability == pytest.approx(text.log_probability)
        assert found.score == found.log_probability


def test_a_wider_beam_finds_what_greedy_search_misses():
    # 0 is likelier at first, but 1 leads to a certain end.
    logits = [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 50.0], [0.0] * 4, [0.0] * 4, [1.0, 0.9, 0.0, 0.0]]
    model = MarkovModel(logits, eos=3)
    assert greedy(model, max_length=2).ids[0] == 0
    assert beam_search(model, beam_size=2, max_length=2)[0].ids.tolist() == [1]


def test_ties_are_broken_by_smaller_ids():
    model = MarkovModel(np.zeros((4, 3)))
    found = beam_search(model, beam_size=4, max_length=3)
    assert [one.ids.tolist() for one in found] == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0]]


def test_ties_are_broken_by_ids_not_by_prefixes():
    # 1 comes before 0 in the beam, but 00 and 10 are equally likely.
    model = MarkovModel(np.log([[3.0, 1.0], [1.0, 3.0], [1.0, 3.0]]))
    found = beam_search(model, beam_size=2, max_length=2)
    assert [one.ids.tolist() for one in found] == [[1, 1], [0, 0]]


def test_the_search_continues_for_a_longer_text_that_the_penalty_favours():
    # To end at once is likelier than 0, after which all is certain.
    model = MarkovModel([[50.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.6, 0.4, 1.0]], eos=2)
    for alpha, best in ((0.0, []), (2.0, [0] * 20)):
        (found,) = beam_search(model, beam_size=1, max_length=20, length_penalty=alpha)
        assert found.ids.tolist() == best


def test_a_length_penalty_prefers_longer_texts():
    model = random_markov_model(4, seed=3, eos=0)
    lengths = [
        len(beam_search(model, beam_size=20, max_length=8, length_penalty=alpha)[0].ids)
        for alpha in (0.0, 1.0, 3.0)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_banned_ids_are_in_no_text():
    model = tiny_model(4)
    found = beam_search(model, [0], beam_size=100, max_length=3, banned=[1, 3])
    texts = sorted(tuple(one.ids.tolist()) for one in found)
    assert texts == list(itertools.product((0, 2), repeat=3))
    # A banned end symbol ends no text.
    assert {one.stopped_by for one in beam_search(model, [0], max_length=3, eos=1, banned=[1])} == {"length"}


def test_there_may_be_fewer_texts_than_the_beam_holds():
    model = LanguageModel(1, hidden_size=2, num_layers=1, seed=0)
    (only,) = beam_search(model, [0], beam_size=5, max_length=3)
    assert (only.ids.tolist(), only.log_probability, only.stopped_by) == ([0, 0, 0], 0.0, "length")
    (only,) = beam_search(model, [0], beam_size=5, max_length=3, eos=0)
    assert (only.ids.tolist(), only.stopped_by) == ([], "eos")


def test_impossible_symbols_are_in_no_text():
    model = MarkovModel([[-np.inf, 0.0], [0.0, -np.inf], [0.0, 0.0]])
    found = beam_search(model, beam_size=4, max_length=3)
    assert [one.ids.tolist() for one in found] == [[0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prompt": None}, ValueError, "prompt: expected at least one symbol"),
        ({"prompt": [30]}, ValueError, "prompt: 30 is out of range"),
        ({"prompt": [0.5]}, TypeError, "prompt: expected integers"),
        ({"beam_size": 0}, ValueError, "beam_size: expected 1 or more"),
        ({"beam_size": 2.0}, TypeError, "beam_size: expected an integer"),
        ({"max_length": 0}, ValueError, "max_length: expected 1 or more"),
        ({"eos": 30}, ValueError, "eos: expected -1 .. 29, got 30"),
        ({"length_penalty": -0.1}, ValueError, "length_penalty: expected a finite number >= 0"),
        ({"length_penalty": np.nan}, ValueError, "length_penalty: "),
        ({"banned": [30]}, ValueError, "banned: 30 is out of range"),
        ({"banned": [-1]}, ValueError, "banned: expected ids >= 0"),
        ({"banned": range(30)}, ValueError, "banned: nothing is left to generate"),
    ],
)
def test_bad_arguments_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        beam_search(make_model(), **{"prompt": [1], "max_length": 5, **options})


def test_models_without_an_end_symbol_are_refused():
    with pytest.raises(ValueError, match="got length_model='halt'"):
        beam_search(random_markov_model(3, halt=np.full(4, 0.5)), max_length=3)
