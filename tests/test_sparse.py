"""Sparse embeddings: a step touches only the batch's rows, and otherwise does what it does to all."""

import copy
import pickle

import numpy as np
import pytest

from fastrnn import ChunkedText, Embedding, LanguageModel, Linear, Vocabulary
from fastrnn.layers import Composite
from fastrnn.layers.base.module import sparse_parts
from fastrnn.train import SGD, Adam, AdamW, RMSprop, Trainer, Validation, load_checkpoint, save_checkpoint
from fastrnn.train.averaging import ExponentialAverage
from fastrnn.train.clipping import clip_gradient_norm, clip_gradient_value, clip_gradients, gradient_norm

V, SEEN = 60, 25  # ids from SEEN on are in no batch
MODELS = {
    "lstm": {},
    "gru": {"cell": "gru", "num_layers": 2, "dropout": 0.2, "embedding_dropout": 0.1},
    "float64": {"dtype": "float64"},
    "adaptive": {"cutoffs": [10, 30]},
    "halt": {"length_model": "halt", "start": -1},
    "tau": {"length_model": "tau", "max_length": 9, "start": -1},
}
CLIPS = {"none": (None, None), "value": (None, 0.004), "norm": (0.05, None), "both": (0.03, 0.004)}
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)


def make(sparse, name="lstm", size=V, **more):
    options = {"cell": "lstm", "hidden_size": 7, "num_layers": 1, "embedding_size": 5, "seed": 0}
    return LanguageModel(size, sparse_embedding=sparse, **{**options, **MODELS[name], **more})


def batches(count, seed=0):
    """Draw batches of three ragged rows, padded with an unused id: 27 tokens, few distinct ids."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        ids, lengths = random.integers(0, SEEN, (9, 3)), np.array([9, 4, 7])
        inputs, targets = np.concatenate([[[-1] * 3], ids[:-1]]), ids.copy()
        padding = np.arange(9)[:, None] >= lengths
        inputs[padding], targets[padding] = V - 1, -1
        yield inputs, targets, lengths


def train(model, steps, clip="none", seed=0):
    """Return losses and gradient norms of some steps of SGD."""
    optimizer, records = SGD(model, 0.7), []
    for inputs, targets, lengths in batches(steps, seed):
        model.zero_gradients()
        loss, _ = model.loss_and_gradients(inputs, targets, lengths=lengths)
        norm, scale = clip_gradients(model, *CLIPS[clip])
        optimizer.step(gradient_scale=scale)
        records.append((loss, norm))
    return np.array(records)


def with_gradients(sparse, name="lstm", seed=0):
    model = make(sparse, name)
    for inputs, targets, lengths in batches(2, seed):  # the second adds to what the first left
        model.loss_and_gradients(inputs, targets, lengths=lengths)
    return model


@EVERY_MODEL
@pytest.mark.parametrize("clip", CLIPS)
def test_training_is_the_same_as_with_a_dense_gradient(name, clip):
    dense, sparse = make(False, name), make(True, name)
    before = sparse.parameters["embedding.weight"].copy()
    one, other = train(dense, 10, clip), train(sparse, 10, clip)
    if clip in ("none", "value"):
        assert one[:, 0].tobytes() == other[:, 0].tobytes()
        assert dense.parameters.flat.tobytes() == sparse.parameters.flat.tobytes()
    else:
        assert (one[:, 1] > CLIPS[clip][0]).all()  # clipping acts
        np.testing.assert_allclose(other[:, 0], one[:, 0], rtol=1e-6)
        np.testing.assert_allclose(sparse.parameters.flat, dense.parameters.flat, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(other[:, 1], one[:, 1], rtol=1e-6)
    after = sparse.parameters["embedding.weight"]
    assert (after[:SEEN] != before[:SEEN]).any(axis=1).all()
    assert after[SEEN:].tobytes() == before[SEEN:].tobytes()


@EVERY_MODEL
def test_gradients_are_the_same_and_their_norm_is_that_of_all(name):
    dense, sparse = with_gradients(False, name), with_gradients(True, name)
    assert sparse.gradients.flat.tobytes() == dense.gradients.flat.tobytes()
    assert gradient_norm(sparse) == pytest.approx(gradient_norm(dense), rel=1e-6)
    assert gradient_norm(sparse) == pytest.approx(np.linalg.norm(sparse.gradients.flat), rel=1e-6)


def test_clipping_in_place_changes_what_it_changes_of_a_dense_gradient():
    dense, sparse = with_gradients(False), with_gradients(True)
    for model in (dense, sparse):
        clip_gradient_value(model, 0.005)
    assert np.abs(sparse.gradients["embedding.weight"]).max() == np.float32(0.005)
    assert sparse.gradients.flat.tobytes() == dense.gradients.flat.tobytes()
    norms = [clip_gradient_norm(model, 0.02) for model in (dense, sparse)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-6)
    np.testing.assert_allclose(sparse.gradients.flat, dense.gradients.flat, rtol=1e-6)
    assert gradient_norm(sparse) == pytest.approx(0.02, rel=1e-3)


@EVERY_MODEL
def test_zeroed_gradients_are_zero_everywhere(name):
    model = with_gradients(True, name)
    touched = np.flatnonzero(model.gradients["embedding.weight"].any(axis=1))
    assert 10 < len(touched) <= SEEN
    for _ in range(2):  # the second time there is nothing to do
        model.zero_gradients()
        assert model.gradients.flat.tobytes() == bytes(model.gradients.flat.nbytes)
        assert gradient_norm(model) == 0.0
        assert len(sparse_parts(model)[0].rows) == 0
    before = model.parameters.flat.tobytes()
    SGD(model, 1.0).step()
    assert model.parameters.flat.tobytes() == before


def test_not_a_number_in_a_gradient_is_zeroed_too():
    model = with_gradients(True)
    model.gradients["embedding.weight"][sparse_parts(model)[0].rows] = np.nan
    assert np.isnan(gradient_norm(model))
    model.zero_gradients()
    assert not model.gradients.flat.any()


def test_a_small_vocabulary_is_trained_as_a_large_one():
    ids = np.random.default_rng(0).integers(0, 5, (20, 3))
    dense, sparse = make(False, size=5), make(True, size=5)
    for model in (dense, sparse):
        optimizer = SGD(model, 0.5)
        for _ in range(5):
            model.zero_gradients()
            model.loss_and_gradients(ids[:-1], ids[1:])
            optimizer.step()
    np.testing.assert_allclose(sparse.parameters.flat, dense.parameters.flat, rtol=1e-5, atol=1e-6)
    sparse.zero_gradients()
    assert not sparse.gradients.flat.any()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_trainer_makes_the_same_steps(accumulate):
    ids, held_out = np.random.default_rng(0).integers(0, SEEN, (2, 400))
    trainers, records = [], []
    for sparse in (False, True):
        model = make(sparse, dropout=0.1)
        trainer = Trainer(
            model, ChunkedText(ids, 3, 8), SGD(model, 0.5), clip_value=0.01, accumulate=accumulate,
            validation=Validation(held_out, 5), average=ExponentialAverage(model, 0.9),
        )  # fmt: skip
        records.append([(record.loss, record.valid_loss) for record in trainer.run(20)])
        trainers.append(trainer)
    assert records[0] == records[1]
    for one, other in zip(*((t.model, t.evaluated) for t in trainers), strict=True):
        assert one.parameters.flat.tobytes() == other.parameters.flat.tobytes()


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_goes_on_as_the_model_does(clone):
    model = make(True)
    train(model, 3)
    other = clone(model)
    assert gradient_norm(other) == gradient_norm(model) > 0.0
    assert train(model, 3, seed=1)[:, 0].tobytes() == train(other, 3, seed=1)[:, 0].tobytes()
    assert model.parameters.flat.tobytes() == other.parameters.flat.tobytes()
    other.zero_gradients()
    assert gradient_norm(model) > 0.0  # each has its own rows
    assert not other.gradients.flat.any()


def test_a_checkpoint_brings_a_sparse_embedding_back(tmp_path):
    path, model = tmp_path / "model.safetensors", make(True)
    train(model, 3)
    save_checkpoint(path, model, Vocabulary([f"w{i}" for i in range(V)], level="word"))
    loaded = load_checkpoint(path).model
    assert loaded.embedding.sparse
    assert loaded.config == model.config
    train(model, 3, seed=1)
    train(loaded, 3, seed=1)
    assert model.parameters.flat.tobytes() == loaded.parameters.flat.tobytes()


def test_an_embedding_alone_and_within_other_modules():
    embedding = Embedding(6, 2, sparse=True, seed=0)
    inner = Composite(first=Linear(2, 2, seed=0), words=embedding, last=Linear(2, 2, seed=0))
    both = Composite(front=Linear(1, 1, seed=0), inner=inner)
    before = embedding.parameters["weight"].copy()
    for ids in ([[5, 1]], np.empty((0, 2), np.int64), [[5, 5]], [[-1, 1]]):
        y, tape = embedding.forward(ids)
        embedding.backward(tape, np.ones_like(y))
    with pytest.raises(ValueError, match="dy: expected"):
        embedding.backward(np.array([2]), np.ones((2, 2), np.float32))
    both.gradients["inner.last.bias"][...] = 1.0
    assert both.gradients["inner.words.weight"][:, 0].tolist() == [0.0, 2.0, 0.0, 0.0, 0.0, 3.0]
    assert gradient_norm(both) == pytest.approx(np.sqrt(2 * (4 + 9) + 2))
    SGD(both, 0.5).step()
    assert (before - embedding.parameters["weight"]).round(6)[:, 1].tolist() == [0.0, 1.0, 0.0, 0.0, 0.0, 1.5]
    both.zero_gradients()
    assert not both.gradients.flat.any()


def test_weight_decay_which_moves_rows_without_a_gradient_is_refused():
    model, message = make(True), "weight_decay: expected 0 with a sparse embedding, .* some rows, got 0.1"
    for kind in (SGD, Adam, AdamW, RMSprop):
        with pytest.raises(ValueError, match=message):
            kind([Linear(2, 2), model], weight_decay=0.1)
        kind([Linear(2, 2), make(False)], weight_decay=0.1)
        kind(model, weight_decay=0.0)
    with pytest.raises(ValueError, match=r"got 0\.01"):
        AdamW(model)


def test_models_that_cannot_have_a_sparse_embedding_are_refused():
    with pytest.raises(ValueError, match="sparse_embedding: expected tied=False, as the output's gradient"):
        make(True, embedding_size=7, tied=True)
    with pytest.raises(ValueError, match="sparse_embedding: expected an embedding_size with it, got None"):
        make(True, embedding_size=None)
