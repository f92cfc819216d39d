"""The network of transcribers: gradients, joined frames, augmentation, and the promises about bits."""

import numpy as np
import pytest

from fastrnn import reference
from fastrnn.models.augmentation import Augmentation
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.transcriber_network import TranscriberBatch, TranscriberNetwork, join_frames
from gradient_check import assert_gradient

LENGTHS = np.array([7, 2, 5])
TARGETS = np.array([1, 1, 2, 2])  # [1, 1], nothing, [2, 2]
COUNTS = np.array([2, 0, 2])
NOTHING = Augmentation(noise=0.0, time_mask=0, feature_mask=0, count=1)


def make_network(*, features=True, stacked=1, augmentation=NOTHING, dtype="float64", dropout=0.0, **options):
    rng = np.random.default_rng(7)
    encoder = SequenceEncoder(
        2 * stacked if features else 4,
        embedding_size=None if features else 3,
        cell=options.get("cell", "gru"),
        hidden_size=2,
        num_layers=options.get("num_layers", 1),
        bidirectional=options.get("bidirectional", True),
        dropout=dropout,
        cell_options=None,
        dtype=dtype,
        rng=rng,
        unknown=options.get("unknown"),
    )
    return TranscriberNetwork(encoder, 2, stack_frames=stacked, augmentation=augmentation, rng=rng)


def make_batch(*, features=True, dtype="float64"):
    random = np.random.default_rng(1)
    x = random.normal(size=(7, 3, 2)).astype(dtype) if features else random.integers(0, 4, size=(7, 3))
    return TranscriberBatch(x, LENGTHS, TARGETS, COUNTS)


CASES = {
    "features": {},
    "ids": {"features": False},
    "ids, some unknown": {"features": False, "unknown": np.array([0.0, 0.3, 0.5, 0.5])},
    "two frames joined": {"stacked": 2, "short": True},
    "two layers of one direction with dropout": {
        "cell": "lstm", "num_layers": 2, "bidirectional": False, "dropout": 0.3,
    },
    "augmented features": {"augmentation": Augmentation(0.5, time_mask=1, feature_mask=1, count=1)},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_gradients_are_the_central_differences_of_the_loss(case):
    options = dict(CASES[case])
    batch = make_batch(features=options.get("features", True))
    if options.pop("short", False):  # 4, 1 and 3 joined frames
        batch = batch._replace(targets=np.array([1, 1, 2]), target_lengths=np.array([2, 0, 1]))
    network = make_network(**options)
    kept = network.rng.bit_generator.state

    def loss():
        network.rng.bit_generator.state = kept  # the same dropout, masks and noise
        return network.loss_and_gradients(batch, 0.7) * 0.7

    network.zero_gradients()
    loss()
    gradients = {name: gradient.copy() for name, gradient in network.gradients.items()}
    assert all(gradient.any() for gradient in gradients.values())
    for name, gradient in gradients.items():
        with network.parameters.edit() as views:
            assert_gradient(loss, views[name], gradient)


def test_the_loss_is_that_of_the_reference_for_each_symbol():
    network, batch = make_network(stacked=1), make_batch()
    logits, frames = network(batch.x, batch.lengths)
    losses, _ = reference.ctc_loss(logits, [np.array([1, 1]), np.array([], int), np.array([2, 2])], frames)
    assert network.loss(batch) == pytest.approx(losses.sum() / 5, rel=1e-12)  # an empty text counts as 1
    assert network.loss_and_gradients(batch) == pytest.approx(network.loss(batch), rel=1e-12)


@pytest.mark.parametrize("stacked", [1, 3])
def test_the_logits_of_a_sequence_have_the_same_bits_alone_and_beside_any_padding(stacked):
    network, batch = make_network(stacked=stacked, dtype="float32"), make_batch(dtype="float32")
    dirty = batch.x.copy()
    for row, length in enumerate(LENGTHS):
        dirty[length:, row] = np.nan if stacked > 1 else 9.0
    logits, frames = network(dirty, batch.lengths)
    for row, length in enumerate(LENGTHS):
        alone, own = network(batch.x[:length, row : row + 1], LENGTHS[row : row + 1])
        assert own[0] == frames[row] == -(-length // stacked)
        assert np.array_equal(alone[:, 0], logits[: own[0], row])


def test_joined_frames_are_neighbours_side_by_side_with_zeros_after_the_end():
    x = np.arange(1.0, 15.0).reshape(7, 1, 2)
    joined, lengths = join_frames(x, np.array([5]), 2)
    assert joined[:, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 0, 0], [0, 0, 0, 0]]
    assert lengths.tolist() == [3]
    assert join_frames(x, np.array([5]), 1)[0] is x


def augmented(x, lengths, seed=0, **settings):
    settings = {"noise": 0.0, "time_mask": 0, "feature_mask": 0, "count": 1, **settings}
    return Augmentation.checked(**settings)(x, lengths, np.random.default_rng(seed))


def test_a_time_mask_hides_neighbouring_frames_at_most_a_fifth_of_a_sequence():
    x, widths = np.ones((40, 2, 3), np.float32), set()
    for seed in range(60):
        hidden = augmented(x, np.array([40, 12]), seed, time_mask=5) == 0
        assert (hidden.all(axis=2) == hidden.any(axis=2)).all()
        for row, most in ((0, 5), (1, 2)):
            places = np.flatnonzero(hidden[:, row, 0])
            assert len(places) <= most
            assert not len(places) or places[-1] - places[0] + 1 == len(places)
            assert row == 0 or not len(places) or places[-1] < 12
        widths.add(int(hidden[:, 0, 0].sum()))
    assert widths == {0, 1, 2, 3, 4, 5}


def test_a_feature_mask_hides_neighbouring_features_of_all_frames_of_a_sequence():
    x, columns = np.ones((6, 2, 5), np.float32), set()
    for seed in range(60):
        hidden = augmented(x, np.array([6, 6]), seed, feature_mask=2) == 0
        assert (hidden == hidden[0]).all()
        assert hidden[0].sum(axis=1).max() <= 2
        columns |= {*np.flatnonzero(hidden[0, 0]).tolist()}
    assert columns == {0, 1, 2, 3, 4}


def test_noise_has_its_standard_deviation_and_leaves_padding_alone():
    x = np.zeros((500, 2, 20), np.float32)
    noisy = augmented(x, np.array([500, 100]), noise=0.3)
    assert noisy.dtype == np.float32
    assert noisy[:, 0].std() == pytest.approx(0.3, rel=0.05)
    assert not noisy[100:, 1].any()
    assert not x.any()  # the input does not change


def test_augmentation_is_for_training_alone():
    strong = Augmentation(5.0, time_mask=3, feature_mask=2, count=3)
    network, batch = make_network(augmentation=strong), make_batch()
    plain = make_network()
    assert network.loss(batch) == plain.loss(batch)
    assert network.loss_and_gradients(batch) != pytest.approx(plain.loss(batch), rel=1e-3)
