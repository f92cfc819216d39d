"""Optimisers with moments on sparse embeddings: lazy, as PyTorch's SparseAdam."""

import math
from functools import partial

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from fastrnn.layers import Composite
from fastrnn.train import SGD, Adam, AdamW, RMSprop, Trainer, load_checkpoint, save_checkpoint
from fastrnn.train.clipping import clip_gradients
from fastrnn.train.training_state import TrainingState

V, E, RATE = 12, 5, 0.05
OPTIMIZERS = {
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.8, nesterov=True),
    "rmsprop": partial(RMSprop, alpha=0.9),
    "adam": Adam,
    "adamw": partial(AdamW, weight_decay=0.0),
}
REFERENCE = {
    "momentum": (reference.sgd_step, 1, {"momentum": 0.9}),
    "nesterov": (reference.sgd_step, 1, {"momentum": 0.8, "nesterov": True}),
    "rmsprop": (reference.rmsprop_step, 1, {"alpha": 0.9}),
    "adam": (reference.adam_step, 2, {}),
    "adamw": (reference.adamw_step, 2, {"weight_decay": 0.0}),
}
ALL = pytest.mark.parametrize("name", OPTIMIZERS)


def ids_of(step):
    """Draw ids with repetitions; every fourth step has none, the last id comes only in step 5."""
    random = np.random.default_rng(step)
    if step % 4 == 3:
        return np.empty(0, np.int64)
    return np.append(random.integers(V - 1, size=6), V - 1 if step == 5 else 0)


def add_gradient(embedding, step):
    """Return the rows, after a backward pass in two parts."""
    ids = ids_of(step)
    dy = np.random.default_rng(100 + step).normal(size=(len(ids), E)).astype(embedding.dtype)
    embedding.zero_gradients()
    for part in (slice(0, 3), slice(3, None)):
        embedding.backward(ids[part], dy[part])
    return np.unique(ids)


@ALL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_are_those_of_the_reference_and_other_rows_stand_still(name, dtype):
    embedding = fr.Embedding(V, E, sparse=True, dtype=dtype, seed=0)
    optimizer = OPTIMIZERS[name](embedding, RATE)
    p = embedding.parameters["weight"].astype(np.float64)
    step_of, count, settings = REFERENCE[name]
    moments = [np.zeros_like(p) for _ in range(count)]
    for step in range(20):
        before = embedding.parameters["weight"].copy()
        old = {key: moment.reshape(V, E).copy() for key, moment in optimizer.moments.items()}
        rows = add_gradient(embedding, step)
        optimizer.step()
        if count == 2:
            settings = {**settings, "step": step + 1}
        g = embedding.gradients["weight"].astype(np.float64)
        reference.rows_step(step_of, rows, p, g, *moments, learning_rate=RATE, **settings)
        others = np.setdiff1d(np.arange(V), rows)
        assert embedding.parameters["weight"][others].tobytes() == before[others].tobytes()
        for key, moment in optimizer.moments.items():
            assert moment.reshape(V, E)[others].tobytes() == old[key][others].tobytes()
    tolerance = 1e-12 if dtype == "float64" else 3e-5
    np.testing.assert_allclose(embedding.parameters["weight"], p, rtol=tolerance, atol=tolerance)
    for moment, wanted in zip(optimizer.moments.values(), moments, strict=True):
        np.testing.assert_allclose(moment.reshape(V, E), wanted, rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5)])
def test_adam_is_pytorchs_sparse_adam(torch, betas):
    """Judge the default epsilon too: SparseAdam adds its own before v is corrected, so it gets another."""
    embedding = fr.Embedding(V, E, sparse=True, dtype="float64", seed=0)
    twin = torch.nn.Embedding(V, E, sparse=True, dtype=torch.float64)
    with torch.no_grad():
        twin.weight.copy_(torch.tensor(embedding.parameters["weight"].copy()))
    ours, theirs = Adam(embedding, RATE, betas=betas), torch.optim.SparseAdam(twin.parameters(), RATE, betas)
    for step in range(30):
        add_gradient(embedding, step)
        ours.step()
        ids = torch.tensor(ids_of(step))
        theirs.zero_grad()
        dy = torch.tensor(np.random.default_rng(100 + step).normal(size=(len(ids), E)))
        (twin(ids) * dy).sum().backward()
        theirs.param_groups[0]["eps"] = 1e-8 * math.sqrt(1 - betas[1] ** (step + 1))
        theirs.step()
    np.testing.assert_allclose(
        embedding.parameters["weight"], twin.weight.detach().numpy(), rtol=1e-11, atol=1e-13
    )
    state = theirs.state[twin.weight]
    for moment, wanted in zip(ours.moments.values(), (state["exp_avg"], state["exp_avg_sq"]), strict=True):
        np.testing.assert_allclose(moment.reshape(V, E), wanted.numpy(), rtol=1e-11, atol=1e-15)


def make_model(sparse, **options):
    given = {"hidden_size": 7, "num_layers": 1, "embedding_size": 5, "dropout": 0.1, "seed": 0, **options}
    return fr.LanguageModel(8, sparse_embedding=sparse, **given)


@ALL
@pytest.mark.parametrize("clip", [(None, None), (None, 0.004), (0.05, None)])
def test_with_every_id_in_every_batch_it_is_the_dense_optimizer(name, clip):
    models, losses = [], []
    for sparse in (False, True):
        model, random = make_model(sparse), np.random.default_rng(0)
        optimizer, found = OPTIMIZERS[name](model, 0.01), []
        for _ in range(10):
            inputs = random.permuted(np.tile(np.arange(8), (3, 1)), axis=1).T
            model.zero_gradients()
            found.append(model.loss_and_gradients(inputs, random.integers(8, size=(8, 3)))[0])
            optimizer.step(gradient_scale=clip_gradients(model, *clip)[1])
        models.append(model)
        losses.append(found)
    if clip[0] is None:
        assert losses[0] == losses[1]
        assert models[0].parameters.flat.tobytes() == models[1].parameters.flat.tobytes()
    else:  # the norm is summed in other parts
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_it_trains_within_other_modules_and_beside_them():
    def modules(sparse):
        embedding = fr.Embedding(V, E, sparse=sparse, seed=0)
        inner = Composite(first=fr.Linear(2, 2, seed=1), words=embedding, last=fr.Linear(2, 2, seed=2))
        return embedding, [Composite(front=fr.Linear(1, 1, seed=3), inner=inner), fr.Linear(2, 3, seed=4)]

    (one, dense), (two, sparse) = modules(False), modules(True)
    for embedding, both in ((one, dense), (two, sparse)):
        optimizer = Adam(both, RATE)
        for step in range(6):
            for module in both:
                module.zero_gradients()
            embedding.backward(np.arange(V), np.full((V, E), 1.0 + step, np.float32))
            both[0].gradients["inner.last.bias"][...] = both[1].gradients["bias"][...] = step
            optimizer.step()
    for module, other in zip(dense, sparse, strict=True):
        assert module.parameters.flat.tobytes() == other.parameters.flat.tobytes()


@ALL
def test_a_training_resumed_from_a_file_goes_on_to_the_same_bits(name, tmp_path):
    vocabulary, path = fr.Vocabulary.from_text("abcdefgh"), tmp_path / "model.safetensors"
    data = fr.ChunkedText(np.random.default_rng(0).integers(6, size=300), 2, 9)  # two ids never come
    model = make_model(True)
    trainer = Trainer(model, data, OPTIMIZERS[name](model, 0.01), clip_norm=1.0)
    list(trainer.run(7))
    save_checkpoint(path, model, vocabulary, trainer.state())
    before = model.parameters["embedding.weight"][6:].copy()
    list(trainer.run(20))
    loaded = load_checkpoint(path)
    other = Trainer(loaded.model, data, OPTIMIZERS[name](loaded.model, 0.01), clip_norm=1.0)
    assert isinstance(loaded.training, TrainingState)
    other.restore(loaded.training)
    list(other.run(20))
    assert loaded.model.parameters.flat.tobytes() == model.parameters.flat.tobytes()
    assert model.parameters["embedding.weight"][6:].tobytes() == before.tobytes()


def test_a_trainers_default_optimizer_trains_a_sparse_embedding():
    model = make_model(True)
    data = fr.ChunkedText(np.tile(np.arange(8), 40), 2, 9)
    losses = [record.loss for record in Trainer(model, data).run(200)]
    assert losses[-1] < losses[0] - 0.5
