"""The network of sequence taggers: gradients, characters of words, and what stands beside a sequence."""

import numpy as np
import pytest

from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.base.symbol_ids import SymbolIds
from fastrnn.models.tagger_network import TaggedBatch, TaggerNetwork
from fastrnn.models.word_characters import SpelledWords, WordCharacters
from gradient_check import assert_gradient

WORDS = [["the", "cat", "the", "rat"], ["a"], ["cat", "", "Ätna"]]
LENGTHS = np.array([4, 1, 3])
IDS = np.array([[1, 3, 2], [2, 0, 0], [1, 0, 0], [0, 0, 0]])
CHARACTERS = SymbolIds.learn(["the", "cat", "rat"])


def make_network(
    loss, *, characters=None, features=False, dtype="float64", dropout=0.0, unknown=None, **options
):
    rng = np.random.default_rng(7)
    words = None
    if characters is not None:
        words = WordCharacters(
            len(CHARACTERS),
            embedding_size=2,
            cell=characters,
            hidden_size=2,
            dtype=dtype,
            rng=rng,
            unknown=None if unknown is None else CHARACTERS.unknown_probabilities(unknown),
        )
    encoder = SequenceEncoder(
        2 if features else 4,
        embedding_size=None if features else 3,
        cell="gru",
        hidden_size=2,
        num_layers=1,
        bidirectional=True,
        dropout=dropout,
        cell_options=None,
        dtype=dtype,
        rng=rng,
        unknown=None if unknown is None or features else np.array([0.0, 0.3, 0.5, 0.5]),
        joined_size=0 if words is None else words.output_size,
    )
    return TaggerNetwork(encoder, 3, loss=loss, characters=words, rng=rng, **options)


def make_batch(loss, *, characters=None, features=False, dtype="float64"):
    random = np.random.default_rng(1)
    x = random.normal(size=(4, 3, 2)).astype(dtype) if features else IDS
    inside = np.arange(4)[:, None] < LENGTHS
    known = inside & (np.arange(12).reshape(4, 3) != 3)  # one step of the first sequence has no tag
    if loss == "sigmoid":
        targets = np.where(known[:, :, None], random.integers(0, 2, size=(4, 3, 3)), -1).astype(dtype)
        targets[0, 0, 1] = -1
    else:
        targets = np.where(known, random.integers(0, 3, size=(4, 3)), -1)
    weights = np.where(known, 1.0 if loss == "crf" else random.uniform(0.5, 2, size=(4, 3)), 0.0)
    words = None if characters is None else SpelledWords(WORDS, CHARACTERS).batch(np.arange(3))
    return TaggedBatch(x, LENGTHS, words, targets, weights)


CASES = [
    ("softmax", {}),
    ("sigmoid", {}),
    ("crf", {}),
    ("softmax", {"characters": "lstm"}),
    ("sigmoid", {"characters": "rnn", "dropout": 0.3, "unknown": 0.5}),
    ("crf", {"characters": "mingru", "dropout": 0.3, "unknown": 0.5}),
    ("softmax", {"features": True}),
    ("crf", {"features": True, "characters": "gru"}),
]


@pytest.mark.parametrize(
    ("loss", "options"), CASES, ids=lambda case: case if isinstance(case, str) else "-".join(case) or "plain"
)
def test_gradients_are_those_of_central_differences(loss, options):
    extra = {"pos_weight": np.array([0.5, 1.0, 3.0])} if loss == "sigmoid" else {}
    network = make_network(loss, **options, **extra)
    batch = make_batch(loss, characters=options.get("characters"), features=options.get("features", False))
    at_start = network.rng.bit_generator.state

    def run(scale=2.5):
        network.rng.bit_generator.state = at_start  # the same dropout and the same unknown symbols
        return network.loss_and_gradients(batch, scale)

    network.zero_gradients()
    first = run()
    gradients = {name: array.copy() for name, array in network.gradients.items()}
    if "dropout" not in options:
        assert first == pytest.approx(network.loss(batch), rel=1e-12)
    value = run if "dropout" in options else lambda: network.loss(batch)
    for name, gradient in gradients.items():
        with network.parameters.edit() as views:
            assert_gradient(lambda: 2.5 * value(), views[name], gradient)
    network.zero_gradients()
    run()
    assert all(np.array_equal(gradients[name], network.gradients[name]) for name in gradients)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "crf"])
def test_losses_of_a_batch_are_the_weighted_mean_of_those_of_its_sequences(loss):
    network = make_network(loss, characters="lstm")
    batch = make_batch(loss, characters="lstm")
    total = 0.0
    spelled = SpelledWords(WORDS, CHARACTERS)
    for row, length in enumerate(LENGTHS.tolist()):
        own = TaggedBatch(
            batch.x[:length, [row]],
            LENGTHS[[row]],
            spelled.batch(np.array([row])),
            batch.targets[:length, [row]],
            batch.weights[:length, [row]],
        )
        if own.weight:
            total += network.loss(own) * own.weight
    assert network.loss(batch) == pytest.approx(total / batch.weight, rel=1e-12)


@pytest.mark.parametrize("loss", ["softmax", "crf"])
def test_a_sequence_has_the_same_bits_alone_and_whatever_is_padding(loss):
    network = make_network(loss, characters="lstm", dtype="float32")
    batch = make_batch(loss, characters="lstm", dtype="float32")
    z = network(batch.x, LENGTHS, batch.words)
    alone = network(IDS[:3, [2]], LENGTHS[[2]], SpelledWords(WORDS, CHARACTERS).batch(np.array([2])))
    assert np.array_equal(z[:3, [2]], alone)
    padded = np.where(np.arange(4)[:, None] < LENGTHS, IDS, 3)
    assert np.array_equal(network(padded, LENGTHS, batch.words)[:3, [2]], alone)


def test_each_distinct_word_of_a_batch_is_read_once():
    batch = SpelledWords(WORDS, CHARACTERS).batch(np.arange(3))
    assert batch.characters.shape == (4, 6)  # the, cat, rat, a, the empty word, Ätna
    assert batch.places.T.tolist() == [[0, 1, 0, 2], [3, -1, -1, -1], [1, 4, 5, -1]]
    assert batch.lengths.tolist() == [3, 3, 3, 1, 1, 4]
    assert batch.characters[:, 5].tolist()[1:] == CHARACTERS.encode("tna").tolist()
    assert batch.characters[0, 4:].tolist() == [0, 0]  # no character, and an unknown one


def test_a_batch_without_padding_has_all_its_words():
    batch = SpelledWords(WORDS, CHARACTERS).batch(np.array([1]))
    assert batch.places.tolist() == [[0]]
    assert batch.characters.tolist() == [[int(CHARACTERS.encode("a")[0])]]


def test_the_vector_of_a_word_is_the_two_last_states_over_its_characters():
    network = make_network("softmax", characters="gru")
    characters = network.characters
    vectors = characters(SpelledWords(WORDS, CHARACTERS).batch(np.arange(3)))
    ids = CHARACTERS.encode("rat")[:, None]
    y, _ = characters.rnn(characters.embedding(ids))
    assert np.array_equal(vectors[3, 0], np.concatenate([y[-1, 0, :2], y[0, 0, 2:]]))
    assert np.array_equal(vectors[0, 0], vectors[2, 0])  # twice the same word
    assert not vectors[1:, 1].any()


def test_the_network_computes_what_pytorch_computes(torch):
    network = make_network("softmax", characters="lstm")
    batch = make_batch("softmax", characters="lstm")
    parameters = {name: torch.tensor(array) for name, array in network.parameters.items()}

    def recurrent(prefix, kind, size):
        layer = kind(size, 2, bidirectional=True).double()
        layer.load_state_dict({name: parameters[f"{prefix}.rnn.{name}"] for name in layer.state_dict()})
        return layer

    read, spell = recurrent("encoder", torch.nn.GRU, 7), recurrent("characters", torch.nn.LSTM, 2)
    total = 0.0
    for row, words in enumerate(WORDS):
        vectors = []
        for word in words:
            ids = CHARACTERS.encode(word) if word else np.zeros(1, np.int64)
            _, (h, _) = spell(parameters["characters.embedding.weight"][torch.tensor(ids)])
            vectors.append(torch.cat([h[0], h[1]]))
        known = parameters["encoder.embedding.weight"][torch.tensor(IDS[: len(words), row])]
        y, _ = read(torch.cat([known, torch.stack(vectors)], dim=1))
        z = y @ parameters["output.weight"].T + parameters["output.bias"]
        targets = torch.tensor(batch.targets[: len(words), row])
        losses = torch.nn.functional.cross_entropy(z, targets, ignore_index=-1, reduction="none")
        total += float(losses.detach().numpy() @ batch.weights[: len(words), row])
    assert network.loss(batch) == pytest.approx(total / batch.weight, rel=1e-10)
