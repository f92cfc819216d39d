"""Three ways a text may end: a symbol, a halting probability, a length predicted first."""

import itertools

import numpy as np
import pytest

from fastrnn.language import LanguageModel
from gradient_check import assert_slope

V, START = 3, -1
WAYS = {"halt": {"length_model": "halt"}, "tau": {"length_model": "tau", "max_length": 4}, "eos": {"eos": 0}}
MODELS = {
    "gru": {"cell": "gru", "embedding_size": 4},
    "lstm": {"num_layers": 2, "embedding_size": 5, "tied": True},
    "adaptive": {"cell": "rnn", "embedding_size": 4, "cutoffs": [1]},
    "norm": {"cell": "gru", "embedding_size": 4, "cell_options": {"layer_norm": True}},
    "no embedding": {"cell": "gru"},
}
PAIRS = [pair for pair in itertools.product(WAYS, MODELS) if pair != ("tau", "no embedding")]
EVERY_MODEL = pytest.mark.parametrize(("way", "name"), PAIRS)
TEXTS = [(0, 2, 1), (2,), (1, 1, 0, 2), (0,), (2, 0)]


def make(way, name="gru", **more):
    options = {"hidden_size": 5, "num_layers": 1, "dtype": "float64", "seed": 0, "start": START}
    model = LanguageModel(V, **{**options, **WAYS[way], **MODELS[name], **more})
    random = np.random.default_rng(1)
    with model.parameters.edit() as views:  # far from uniform probabilities
        views.flat[...] += 0.6 * random.normal(size=views.flat.size)
        if way == "halt":
            views["length.bias"][...] = -1
    return model


def batch(texts, start=START):
    """Make inputs, targets and lengths of a batch of texts; padding is arbitrary but valid."""
    longest = max(map(len, texts))
    inputs, targets = np.full((longest, len(texts)), V - 1), np.full((longest, len(texts)), -1)
    for n, text in enumerate(texts):
        inputs[: len(text), n], targets[: len(text), n] = [start, *text[:-1]], text
    return inputs, targets, np.array([len(text) for text in texts])


def probabilities(model, texts):
    """Return the probability of each text, its end included."""
    inputs, targets, lengths = batch(texts)
    losses, of_lengths, _ = model.target_losses(inputs, targets, lengths=lengths)
    return np.exp(-(losses.sum(0) + of_lengths))


def all_texts(lengths, symbols=range(V)):
    return [text for n in lengths for text in itertools.product(symbols, repeat=n)]


def log_softmax(logits):
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_of_halting_texts_sum_to_one(name):
    model, shorter, longest = make("halt", name), all_texts(range(1, 6)), all_texts([6])
    stream, longer = model.stream(len(longest)), np.ones(len(longest))
    logits = stream.step(np.full(len(longest), START))
    for symbols in np.array(longest).T:  # that a text is begun by these six symbols and goes on
        longer *= np.exp(log_softmax(logits))[np.arange(len(symbols)), symbols]
        logits = stream.step(symbols)
        longer *= 1 - stream.halt_probability
    total = probabilities(model, shorter + longest).sum()
    assert 0.01 < longer.sum() < 0.99
    assert abs(total + longer.sum() - 1) < 1e-12


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"no embedding"}))
def test_probabilities_of_texts_with_a_predicted_length_sum_to_one(name):
    model, texts = make("tau", name), all_texts(range(1, 5))
    share, stream = probabilities(model, texts), model.stream()
    assert abs(share.sum() - 1) < 1e-12
    stream.step(START)
    of_each_length = [share[[len(text) == n for text in texts]].sum() for n in range(1, 5)]
    expected = np.exp(log_softmax(stream.length_logits))[0]
    np.testing.assert_allclose(of_each_length, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("start", [START, 0])
@pytest.mark.parametrize("name", MODELS)
def test_probabilities_of_texts_with_an_end_symbol_sum_to_one(name, start):
    model = make("eos", name, start=start)
    ended, longer = [(*text, 0) for text in all_texts(range(7), (1, 2))], all_texts([7], (1, 2))
    assert ended[0] == (0,)
    inputs, targets, lengths = batch(ended + longer, start)
    losses, of_lengths, _ = model.target_losses(inputs, targets, lengths=lengths)
    assert not of_lengths.any()
    share = np.exp(-losses.sum(0))
    assert 1e-6 < share[len(ended) :].sum() < 0.99
    assert abs(share.sum() - 1) < 1e-12


@EVERY_MODEL
def test_a_padded_batch_gives_each_text_its_own_losses(way, name):
    model, (inputs, targets, lengths) = make(way, name), batch(TEXTS)
    losses, of_lengths, state = model.target_losses(inputs, targets, lengths=lengths)
    assert losses.shape == targets.shape
    for n, text in enumerate(TEXTS):
        one, two, _ = batch([text])
        alone, of_length, last = model.target_losses(one, two)
        assert losses[: len(text), n].tobytes() == alone[:, 0].tobytes()
        assert of_lengths[n] == of_length[0]
        for both, own in zip(np.atleast_1d(state), np.atleast_1d(last), strict=True):
            assert both[..., n, :].tobytes() == own[..., 0, :].tobytes()
        for given in ([len(text)], None):
            assert model.loss(one, two, lengths=given)[0] == (alone.sum() + of_length.sum()) / len(text)
    assert not losses[targets == -1].any()
    again = model.target_losses(np.where(targets == -1, -1, inputs), targets, lengths=lengths)
    assert [a.tobytes() for a in again[:2]] == [losses.tobytes(), of_lengths.tobytes()]  # of another padding


@EVERY_MODEL
def test_the_loss_is_a_mean_over_symbols(way, name):
    model, (inputs, targets, lengths) = make(way, name), batch(TEXTS)
    losses, of_lengths, _ = model.target_losses(inputs, targets, lengths=lengths)
    assert of_lengths.any() == (way != "eos")
    for run in (model.loss, model.loss_and_gradients):
        loss, _ = run(inputs, targets, lengths=lengths)
        assert abs(loss - (losses.sum() + of_lengths.sum()) / sum(map(len, TEXTS))) < 1e-12


@EVERY_MODEL
def test_a_stream_finds_the_same_likelihood_step_by_step(way, name):
    model = make(way, name)
    for text in TEXTS:
        stream, wanted, n, of_length = model.stream(), [], len(text), 0.0
        logits = stream.step([START])[0]
        if way == "tau":
            of_length = -log_softmax(stream.length_logits)[0, n - 1]
            logits = stream.step([START], left=[n])[0]
        for t, symbol in enumerate(text):
            wanted.append(-log_softmax(logits)[symbol])
            left = {"left": [max(n - 1 - t, 0)]} if way == "tau" else {}
            logits = stream.step([symbol], **left)[0]
            if way == "halt":
                share = stream.halt_probability[0]
                of_length -= np.log(share if t == n - 1 else 1 - share)
        inputs, targets, _ = batch([text])
        losses, got, _ = model.target_losses(inputs, targets)
        np.testing.assert_allclose(losses[:, 0], wanted, rtol=0, atol=1e-12)
        assert abs(got[0] - of_length) < 1e-12


@EVERY_MODEL
@pytest.mark.parametrize("options", [{}, {"dropout": 0.4}, {"dropout": 0.4, "locked_dropout": True}], ids=str)
def test_gradients_are_central_differences(way, name, options):
    model, (inputs, targets, lengths) = make(way, name, **options), batch(TEXTS)
    random, directions = model.random_state(), np.random.default_rng(3)

    def loss():
        model.set_random_state(random)  # the same dropout masks
        return model.loss_and_gradients(inputs, targets, lengths=lengths)[0]

    loss()
    gradients = {key: array.copy() for key, array in model.gradients.items()}
    assert all(gradient.any() for gradient in gradients.values())
    with model.parameters.edit() as views:
        for key, gradient in gradients.items():
            assert_slope(loss, views[key], gradient, directions)


def test_a_dropped_word_leaves_the_count_of_what_is_left():
    model, (inputs, targets, lengths) = make("tau", embedding_dropout=0.5), batch(TEXTS)
    with model.parameters.edit() as views:
        views["embedding.weight"][...] = 0  # so that it does not matter which words are dropped
    trained, _ = model.loss_and_gradients(inputs, targets, lengths=lengths)
    assert abs(trained - model.loss(inputs, targets, lengths=lengths)[0]) < 1e-12


def test_a_text_longer_than_any_that_is_predicted():
    model, (inputs, targets, lengths) = make("tau"), batch([(0, 1), (0, 1, 2, 0, 1)])
    for run in (model.loss, model.target_losses, model.loss_and_gradients):
        with pytest.raises(ValueError, match=r"^lengths: expected at most max_length=4, got 5$"):
            run(inputs, targets, lengths=lengths)
    assert not model.gradients.flat.any()


@pytest.mark.parametrize("way", ["halt", "tau"])
@pytest.mark.parametrize("lengths", [None, [2, 3], [1, 1]], ids=str)
def test_every_step_needs_a_target_where_lengths_are_modelled(way, lengths):
    model, targets = make(way), [[0, 1], [1, 2], [-1, -1]]
    for run in (model.loss, model.target_losses, model.loss_and_gradients):
        with pytest.raises(
            ValueError,
            match=rf"^targets: expected (one for every step, .*='{way}'|-1 after a row's end, .*)$",
        ):
            run([[-1, -1], [0, 1], [1, 2]], targets, lengths=lengths)
    assert not model.gradients.flat.any()


@pytest.mark.parametrize("way", ["halt", "tau"])
def test_a_missing_target_inside_and_an_extra_one_after_the_end(way):
    with pytest.raises(ValueError, match=r"^targets: "):
        make(way).loss([[-1], [0], [1]], [[0], [-1], [2]], lengths=[2])


def test_what_streams_say_without_a_length_model():
    stream = make("eos").stream()
    with pytest.raises(ValueError, match=r"^left: expected None, as length_model=None$"):
        stream.step([0], left=[1])
    for way, name in (("halt", "halt_probability"), ("tau", "length_logits")):
        with pytest.raises(ValueError, match=rf"^{name}: expected a model with length_model='{way}'$"):
            getattr(stream, name)
        with pytest.raises(ValueError, match=r"^stream: expected a step first$"):
            getattr(make(way).stream(), name)


@pytest.mark.parametrize(("way", "what"), [("halt", "halt_probability"), ("tau", "length_logits")])
def test_a_copied_stream_knows_its_last_step(way, what):
    stream = make(way).stream()
    stream.step(START)
    assert np.array_equal(getattr(stream.copy(), what), getattr(stream, what))
