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
    assert any(gradient.any() for gradient in gradients.values())
    for name in network.parameters:
        with network.parameters.writable() if hasattr(network.parameters, "writable") else _nothing():
            assert_gradient(loss, network.parameters[name], gradients[name])
