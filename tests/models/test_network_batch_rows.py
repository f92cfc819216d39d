"""The networks of the models with fit compute the rows of a batch as in the whole batch."""

import numpy as np
import pytest

import fastrnn as fr
from batch_parts import ROWS, SPLITS, Replay, assert_sums, parts
from fastrnn.layers.base.batch_rows import batch_rows
from fastrnn.layers.base.random import even_draws, rows_generator

TEXTS = ["abca", "b", "cabac", "ba"]
OTHERS = ["yz", "zzyzy", "y", "zy"]
SENTENCES = [["the", "cat", "the", "rat"], ["a"], ["cat", "ran", "in"], ["the", "end"]]
TAGS = [["D", "N", "D", "N"], ["D"], ["N", "V", "D"], ["D", "N"]]
FRAMES = [np.random.default_rng(row).normal(size=(steps, 2)) for row, steps in enumerate([9, 4, 7, 12])]
SERIES = [np.cumsum(np.random.default_rng(row).normal(size=steps)) for row, steps in enumerate([9, 9, 9, 9])]
USUAL = {"hidden_size": 5, "num_layers": 2, "dropout": 0.4, "dtype": "float64", "random_state": 3}
WORDS = {"embedding_size": 4}
PLAIN_FRAMES = {"noise": 0.0, "time_mask": 0, "feature_mask": 0}
MASKS = {  # a model, the data, and settings: all that is drawn is masks
    "classifier": (fr.models.SequenceClassifier, TEXTS, ["i", "u", "i", "u"], WORDS),
    "attention": (fr.models.SequenceClassifier, FRAMES, [0, 1, 1, 0], {"pooling": "attention"}),
    "regressor": (fr.models.SequenceRegressor, FRAMES, [0.1, 0.2, 0.9, -1.0], {"bidirectional": True}),
    "tagger": (fr.models.SequenceTagger, SENTENCES, TAGS, WORDS),
    "tagger, characters": (fr.models.SequenceTagger, SENTENCES, TAGS, WORDS | {"char_features": "gru"}),
    "tagger, crf": (fr.models.SequenceTagger, SENTENCES, TAGS, WORDS | {"crf": True}),
    "transcriber": (fr.models.Transcriber, FRAMES, ["ab", "a", "bb", "aba"], PLAIN_FRAMES),
    "translation": (fr.models.Seq2Seq, TEXTS, OTHERS, WORDS),
    "translation, input feeding": (fr.models.Seq2Seq, TEXTS, OTHERS, WORDS | {"input_feeding": True}),
    "texts": (fr.models.SequenceGenerator, None, OTHERS, WORDS),
    "forecasts": (fr.models.Forecaster, SERIES, None, {"window": 8}),
}
DRAWS = {  # of which more is drawn
    "unknown symbols": (fr.models.SequenceClassifier, TEXTS, ["i", "u", "i", "u"], WORDS),
    "unknown characters": (fr.models.SequenceTagger, SENTENCES, TAGS, WORDS | {"char_features": "lstm"}),
    "noise and hidden frames": (
        fr.models.Transcriber,
        FRAMES,
        ["ab", "a", "bb", "aba"],
        {"noise": 0.5, "time_mask": 2, "feature_mask": 1},
    ),
    "steps drawn by itself": (fr.models.SequenceGenerator, None, OTHERS, WORDS | {"scheduled_sampling": 0.9}),
    "input feeding": (fr.models.Seq2Seq, TEXTS, OTHERS, WORDS | {"input_feeding": True}),
}


def learn(case, **settings):
    """Return a network with random parameters, and what makes batches."""
    kind, X, y, own = case
    settings = {name: value for name, value in settings.items() if name in kind.__dataclass_fields__}
    model = kind(**USUAL | settings | own)
    model._learn(X, y, model._generator())
    network = model.network_
    if hasattr(network, "probability"):
        network.probability = network.scheduled_sampling
    return network, model._examples(X, y).batch


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", MASKS)
def test_the_parts_of_a_batch_add_up_to_the_whole(name, split):
    network, batch_of = learn(MASKS[name], unknown_alpha=0.0)
    whole, replay = batch_of(np.arange(ROWS)), Replay(network)
    loss = replay.whole(lambda: network.loss_and_gradients(whole, 1.0))
    gradients = {name: g.copy() for name, g in network.gradients.items()}
    total, sums, after = 0.0, {name: np.zeros_like(g) for name, g in gradients.items()}, set()
    for rows in parts(split):
        own = batch_of(np.arange(rows.start, rows.stop))
        share = own.weight / whole.weight
        total += share * replay.part(rows, lambda: network.loss_and_gradients(own, share))  # noqa: B023
        after.add(str(replay.after()))
        for part, gradient in network.gradients.items():
            sums[part] += gradient
    assert len(after) == 1
    assert total == pytest.approx(loss, rel=1e-12)
    assert_sums(sums, gradients)


@pytest.mark.parametrize("name", DRAWS)
def test_what_is_drawn_for_rows_follows_from_the_part_alone(name):
    network, batch_of = learn(DRAWS[name], unknown_alpha=2.0)
    replay, batch, states = Replay(network), batch_of(np.arange(2)), set()

    def bits():
        return network.loss_and_gradients(batch, 1.0), network.gradients.flat.tobytes()

    results = {first: replay.part(slice(first, first + 2), bits) for first in (0, 2)}
    assert results[0] != results[2]
    for first, result in results.items():
        assert replay.part(slice(first, first + 2), bits) == result
        states.add(str(replay.after()))
    replay.part(
        slice(1, 2), lambda: network.loss_and_gradients(batch_of(np.array([2])))
    )  # longer, or shorter
    states.add(str(replay.after()))
    assert len(states) == 1
    assert replay.part(slice(0, 2), bits, total=2) == replay.whole(bits)  # the whole batch


def test_a_generator_of_rows_is_new_for_each_part():
    random = np.random.default_rng(3)
    start = random.bit_generator.state
    assert rows_generator(random) is random
    drawn, after = [], set()
    for first in (0, 1, 2):
        random.bit_generator.state = start
        with batch_rows(first, 1, 3):
            own = rows_generator(random)
        drawn.append(own.random(1000))
        after.add(str(random.bit_generator.state))
    assert len(after) == 1
    assert abs(np.corrcoef(drawn)[np.triu_indices(3, 1)]).max() < 0.15  # more than four standard deviations


@pytest.mark.parametrize(
    "numbers", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM]
)
def test_a_generator_goes_on_alike_however_much_was_drawn(numbers):
    def draw(count):
        random = np.random.Generator(numbers(5))
        with even_draws(random):
            inside = random.integers(1 << 63, size=count)
        return inside, random.integers(1 << 63, size=4)

    plain = np.random.Generator(numbers(5)).integers(1 << 63, size=9)
    assert np.array_equal(np.concatenate(draw(5)), plain)
    with batch_rows(0, 1, 2):
        few, many = draw(2), draw(5)
    assert np.array_equal(few[0], plain[:2])
    assert np.array_equal(many[0], plain[:5])
    assert np.array_equal(few[1], many[1])
    assert not set(few[1]) & set(plain)
