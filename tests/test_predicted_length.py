"""Texts whose length is drawn first: lengths, probabilities and prompts match the model."""

import itertools
from collections import Counter

import numpy as np
import pytest

from fastrnn import LanguageModel
from fastrnn.decode import PlannedLength, Sampling, generate, greedy
from fastrnn.train import SGD

V, LONGEST = 3, 6
PROMPTS = [[], [1], [2, 0, 1, 1], [0, 0], [1, 2, 0, 1, 2]]


def make(longest=LONGEST, size=V, spread=0.6, **more):
    model = LanguageModel(
        size, cell="gru", hidden_size=6, num_layers=1, embedding_size=4, dtype="float64", seed=0,
        length_model="tau", max_length=longest, **{"start": -1, **more},
    )  # fmt: skip
    with model.parameters.edit() as views:  # far from uniform probabilities
        views.flat[...] += spread * np.random.default_rng(1).normal(size=views.flat.size)
    return model


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def of_lengths(model):
    """Return ln p of the lengths 1, 2, ..."""
    stream = model.stream()
    stream.step(np.array([model.start]))
    return log_softmax(stream.length_logits[0])


def of_symbols(model, text, length):
    """Return ln p of each symbol of a text that begins one of that length."""
    stream, read = model.stream(), [model.start, *text[:-1]]
    stream.step(np.array([model.start]))  # from which the length was drawn
    left = range(length, 0, -1)
    logits = [stream.step(np.array([one]), [n])[0] for one, n in zip(read, left, strict=False)]
    return log_softmax(np.array(logits))[np.arange(len(text)), text]


def plain(texts):
    return [(text.ids.tolist(), text.stopped_by, text.log_probability) for text in texts]


def chi_square(got, expected):
    return (np.square(got - expected) / expected).sum()


def test_frequencies_of_lengths_match_the_model():
    model, draws = make(), 4000
    texts = generate(model, count=draws, seed=0)
    got = np.bincount([len(text.ids) for text in texts], minlength=LONGEST + 1)
    assert got[0] == 0
    # Chi squared with 5 degrees of freedom: above 26 once in 10,000 seeds; this seed is fixed.
    assert chi_square(got[1:], draws * np.exp(of_lengths(model))) < 26
    assert {text.stopped_by for text in texts} == {"tau"}


def test_frequencies_of_texts_match_their_probabilities():
    model, draws = make(3, 2), 5000
    counts = Counter(tuple(text.ids.tolist()) for text in generate(model, count=draws, seed=0))
    texts = [text for n in (1, 2, 3) for text in itertools.product(range(2), repeat=n)]
    logs = [of_lengths(model)[len(text) - 1] + of_symbols(model, text, len(text)).sum() for text in texts]
    assert np.exp(logs).sum() == pytest.approx(1.0)
    # 13 degrees of freedom: above 40 once in 7,000 seeds.
    assert chi_square(np.array([counts[text] for text in texts]), draws * np.exp(logs)) < 40


@pytest.mark.parametrize("start", [-1, 2])
@pytest.mark.parametrize("sampling", [None, Sampling(0.5, top_k=2), Sampling(0.0)])
def test_log_probabilities_are_the_losses_that_the_model_was_trained_for(start, sampling):
    model = make(start=start)
    for text in generate(model, count=30, sampling=sampling, seed=1):
        ids = text.ids[:, None]
        inputs = np.concatenate([[[start]], ids[:-1]])
        losses, of_length, _ = model.target_losses(inputs, ids)
        assert text.log_probability == pytest.approx(-losses.sum() - of_length.sum(), rel=1e-12)


def test_a_model_writes_the_lengths_that_it_was_trained_on():
    model = make(spread=0.0)
    optimizer = SGD(model, 0.5)
    inputs, targets = np.zeros((4, 2), np.int64), np.array([[0, 0], [0, 0], [-1, 0], [-1, 1]])
    inputs[0] = -1
    for _ in range(300):
        model.zero_gradients()
        model.loss_and_gradients(inputs, targets, lengths=[2, 4])
        optimizer.step()
    texts = Counter(tuple(text.ids.tolist()) for text in generate(model, count=200, seed=0))
    assert set(texts) >= {(0, 0), (0, 0, 0, 1)}
    assert texts[0, 0] + texts[0, 0, 0, 1] > 180
    assert 60 < texts[0, 0] < 140


def test_lengths_cover_the_prompt_and_what_is_too_short_is_not_drawn():
    model, draws = make(), 1500
    texts = generate(model, [prompt for prompt in PROMPTS for _ in range(draws)], seed=0)
    for number, prompt in enumerate(PROMPTS):
        lengths = [len(text.ids) for text in texts[number * draws : (number + 1) * draws]]
        expected = np.exp(of_lengths(model))[len(prompt) :]
        got = np.bincount(lengths, minlength=len(expected) + 1)
        assert got[0] == 0
        assert len(got) == len(expected) + 1
        assert chi_square(got[1:], draws * expected / expected.sum()) < 26


@pytest.mark.parametrize("min_length", [0, 1])
def test_log_probabilities_after_a_prompt_are_given_that_the_text_goes_on(min_length):
    model = make()
    texts = generate(model, PROMPTS * 20, min_length=min_length, seed=3)
    for prompt, text in zip(PROMPTS * 20, texts, strict=True):
        whole = [*prompt, *text.ids]
        length = of_lengths(model)[len(whole) - 1] - np.log(np.exp(of_lengths(model)[len(prompt) :]).sum())
        symbols = of_symbols(model, whole, len(whole))[len(prompt) :].sum()
        assert text.log_probability == pytest.approx(length + symbols, rel=1e-12)
        assert text.stopped_by == "tau"


def test_the_least_length_is_kept_and_does_not_change_log_probabilities():
    model, draws = make(), 1500
    texts = generate(model, count=draws, min_length=3, seed=0)
    expected = np.exp(of_lengths(model))[2:]
    got = np.bincount([len(text.ids) for text in texts], minlength=LONGEST + 1)
    assert got[:3].sum() == 0
    assert chi_square(got[3:], draws * expected / expected.sum()) < 26
    for text in texts[:50]:
        known = of_lengths(model)[len(text.ids) - 1] + of_symbols(model, text.ids, len(text.ids)).sum()
        assert text.log_probability == pytest.approx(known, rel=1e-12)
    assert {len(text.ids) for text in generate(model, PROMPTS[:4], min_length=2, seed=0)} <= {2, 3, 4, 5, 6}


def test_truncation_at_the_maximum_length_is_not_an_end_of_the_model():
    model, count = make(), 200
    whole, cut = (generate(model, count=count, max_length=n, seed=0) for n in (None, 3))
    assert plain(generate(model, count=count, max_length=LONGEST, seed=0)) == plain(whole)
    assert {text.stopped_by for text in cut} == {"tau", "length"}
    for long, short in zip(whole, cut, strict=True):
        assert short.ids.tolist() == long.ids[:3].tolist()
        assert (short.stopped_by == "tau") == (len(long.ids) <= 3)
        known = of_lengths(model)[len(long.ids) - 1] + of_symbols(model, short.ids, len(long.ids)).sum()
        assert short.log_probability == pytest.approx(known, rel=1e-12)
    after = generate(model, [[1, 2, 0]] * 40, max_length=2, seed=0)
    assert {len(text.ids) for text in after} == {1, 2}
    assert plain(generate(model, max_length=0)) == [([], "length", 0.0)]


def test_greedy_decoding_takes_the_likeliest_length():
    model = make()
    with model.parameters.edit() as views:
        views["length.output.weight"][...] = 0.0
        views["length.output.bias"][...] = [0.0, 3.0, 1.0, 2.0, 0.0, 1.5]
    texts = generate(model, PROMPTS, sampling=Sampling(0.0))
    assert [len(prompt) + len(text.ids) for prompt, text in zip(PROMPTS, texts, strict=True)] == [
        2,
        2,
        6,
        4,
        6,
    ]
    assert len(generate(model, min_length=3, sampling=Sampling(0.0))[0].ids) == 4
    assert plain([greedy(model, [1], max_length=9)]) == plain(texts[1:2])
    for prompt, text in zip(PROMPTS, texts, strict=True):
        whole = [*prompt, *text.ids.tolist()]
        for place in range(len(prompt), len(whole)):
            others = [of_symbols(model, [*whole[:place], one], len(whole))[-1] for one in range(V)]
            assert int(np.argmax(others)) == whole[place]


def test_each_text_is_the_same_alone_and_in_any_batch():
    model = make(12)
    options = {"sampling": Sampling(0.9, repetition_penalty=1.2), "seed": 7}
    together = plain(generate(model, PROMPTS, **options))
    for count in range(1, len(PROMPTS)):
        assert plain(generate(model, PROMPTS[:count], **options)) == together[:count]
    for other in ([], [1] * 11):
        for place, prompt in enumerate(PROMPTS):
            assert plain(generate(model, [other] * place + [prompt], **options))[place] == together[place]
    many = plain(generate(model, [1], count=40, seed=2))
    assert len({len(ids) for ids, _, _ in many}) > 5  # so that rows leave the batch at many times
    assert plain(generate(model, [1], count=3, seed=2)) == many[:3]


def test_lengths_that_are_hardly_possible_can_be_asked_for():
    model = make()
    with model.parameters.edit() as views:
        views["length.output.bias"][...] = [0.0, 0.0, 0.0, -2000.0, -2001.0, -5000.0]
    for options in ({"prompts": [1, 2, 0]}, {"prompts": [1], "min_length": 3}):
        texts = generate(model, count=60, seed=0, **options)
        assert {len(text.ids) + len(options["prompts"]) for text in texts} == {4, 5}
        assert all(np.isfinite(text.log_probability) for text in texts)


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        (
            [1] * 6,
            {},
            "prompts, min_length: expected at most 6 symbols together, .* maximum text .*, got 7",
        ),
        ([[1], [1] * 9], {}, "expected at most 6 symbols together, .* got 10"),
        ([[1], [1, 2, 0]], {"min_length": 4}, "expected at most 6 symbols together, .* got 7"),
        (None, {"min_length": 7}, "expected at most 6 symbols together, .* got 7"),
        ([1], {"min_length": 3, "max_length": 2}, r"min_length: expected 0 \.\. max_length \(2\), got 3"),
    ],
)
def test_a_text_longer_than_the_longest_is_refused(prompts, options, message):
    with pytest.raises(ValueError, match=message):
        generate(make(), prompts, **options)


def test_lengths_of_a_rule_are_checked_when_it_is_made():
    with pytest.raises(ValueError, match="min_length: expected 0 or more"):
        PlannedLength(min_length=-1)
    with pytest.raises(ValueError, match="max_length: expected 0 or more"):
        PlannedLength(max_length=-1)
