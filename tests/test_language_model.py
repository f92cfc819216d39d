"""The language model: loss, gradients, logits, streams, configuration."""

import json
import math

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.language import LanguageModel
from gradient_check import assert_slope

V, T, N = 11, 7, 5
MODELS = {
    "lstm": {"cell": "lstm"},
    "lstm-embedding": {"cell": "lstm", "embedding_size": 6},
    "gru": {"cell": "gru"},
    "gru-before": {"cell": "gru", "reset_after": False, "embedding_size": 6},
    "rnn": {"cell": "rnn", "num_layers": 1},
    "rnn-relu": {"cell": "rnn", "nonlinearity": "relu", "embedding_size": 6},
}


def make_model(name, **more):
    return LanguageModel(V, **{"hidden_size": 9, "dtype": "float64", "seed": 0, **MODELS[name], **more})


def make_batch(seed=1):
    random = np.random.default_rng(seed)
    ids = random.integers(V, size=(T + 1, N))
    return ids[:-1], ids[1:]


def cross_entropy(logits, targets):
    """Compute the mean over the targets that are not -1, from the definition."""
    log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    counted = targets != -1
    picked = np.take_along_axis(log_softmax, np.maximum(targets, 0)[..., None], -1)[..., 0]
    return -picked[counted].mean()


def test_parameters_have_their_modules_names():
    assert {name: p.shape for name, p in make_model("gru-before", num_layers=1).parameters.items()} == {
        "embedding.weight": (11, 6),
        "rnn.weight_ih_l0": (27, 6),
        "rnn.weight_hh_l0": (27, 9),
        "rnn.bias_ih_l0": (27,),
        "rnn.bias_hh_l0": (27,),
        "output.weight": (11, 9),
        "output.bias": (11,),
    }
    assert make_model("lstm").parameters["rnn.weight_ih_l0"].shape == (36, 11)


@pytest.mark.parametrize("name", MODELS)
def test_the_loss_is_the_mean_cross_entropy_of_the_logits(name):
    model = make_model(name)
    inputs, targets = make_batch()
    logits, state = model.logits(inputs)
    assert logits.shape == (T, N, V)
    loss, state_ = model.loss(inputs, targets)
    assert isinstance(loss, float)
    assert abs(loss - cross_entropy(logits, targets)) < 1e-12
    assert np.array_equal(state_, state)
    trained, state_ = model.loss_and_gradients(inputs, targets)
    assert trained == loss
    assert np.array_equal(state_, state)


@pytest.mark.parametrize("name", MODELS)
def test_the_state_is_carried(name):
    model = make_model(name)
    inputs, targets = make_batch()
    whole, end = model.logits(inputs)
    first, state = model.logits(inputs[:3])
    second, last = model.logits(inputs[3:], state)
    assert np.concatenate([first, second]).tobytes() == whole.tobytes()
    assert np.array_equal(last, end)
    before, _ = model.loss(inputs[:3], targets[:3])
    after, _ = model.loss(inputs[3:], targets[3:], state)
    assert abs((3 * before + 4 * after) / 7 - model.loss(inputs, targets)[0]) < 1e-12


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_central_differences(name, dropout):
    model = make_model(name, dropout=dropout)
    inputs, targets = make_batch()
    targets = np.where(np.random.default_rng(2).random(targets.shape) < 0.2, -1, targets)
    random = model.random_state()

    def loss():
        model.set_random_state(random)  # the same dropout masks
        return model.loss_and_gradients(inputs, targets)[0]

    loss()
    gradients = {name: array.copy() for name, array in model.gradients.items()}
    assert all(array.any() for array in gradients.values())
    directions = np.random.default_rng(3)
    with model.parameters.edit() as views:
        for parameter, gradient in gradients.items():
            assert_slope(loss, views[parameter], gradient, directions)


@pytest.mark.parametrize("every", [1, 3, 100])
@pytest.mark.parametrize("name", MODELS)
def test_checkpointing_gives_the_same_bits(name, every):
    results = []
    for checkpoint_every in (None, every):
        model = make_model(name, dropout=0.3)
        loss, _ = model.loss_and_gradients(*make_batch(), checkpoint_every=checkpoint_every)
        results.append((loss, model.gradients.flat.tobytes(), model.random_state()))
    assert results[0] == results[1]


def test_gradients_add_up_and_loss_leaves_them():
    model = make_model("lstm-embedding")
    inputs, targets = make_batch()
    model.loss_and_gradients(inputs, targets)
    once = model.gradients.flat.copy()
    model.loss(inputs, targets)
    assert np.array_equal(model.gradients.flat, once)
    model.loss_and_gradients(inputs, targets)
    np.testing.assert_allclose(model.gradients.flat, 2 * once, rtol=1e-12, atol=1e-18)


def test_targets_of_minus_one_are_not_counted():
    model = make_model("lstm")
    inputs, targets = make_batch()
    targets = targets.copy()
    targets[3:, 2:] = -1
    logits, _ = model.logits(inputs)
    loss, _ = model.loss_and_gradients(inputs, targets)
    assert abs(loss - cross_entropy(logits, targets)) < 1e-12
    assert abs(model.loss(inputs, targets)[0] - loss) < 1e-15


def test_a_batch_of_more_rows_than_one_chunk_of_the_loss():
    model = LanguageModel(300, hidden_size=8, num_layers=1, seed=0, dtype="float64")
    ids = np.random.default_rng(4).integers(300, size=(101, 20))
    logits, _ = model.logits(ids[:-1])
    loss, _ = model.loss_and_gradients(ids[:-1], ids[1:])
    assert abs(loss - cross_entropy(logits, ids[1:])) < 1e-11
    _, dlogits = fr.softmax_cross_entropy(logits, ids[1:])
    np.testing.assert_allclose(model.gradients["output.bias"], dlogits.sum((0, 1)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"gru-before"}))
def test_pytorch_gives_the_same_loss_and_gradients(torch, name):
    model = make_model(name)
    settings = model.config
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[settings["cell"]]
    options = {"nonlinearity": settings["nonlinearity"]} if settings["cell"] == "rnn" else {}
    width = settings["embedding_size"] or V
    modules = {
        "rnn": kind(width, 9, settings["num_layers"], **options),
        "output": torch.nn.Linear(9, V),
    }
    if settings["embedding_size"]:
        modules["embedding"] = torch.nn.Embedding(V, width)
    theirs = torch.nn.ModuleDict(modules).double()
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in model.state_dict().items()})
    inputs, targets = make_batch()
    ids = torch.from_numpy(inputs)
    x = theirs["embedding"](ids) if settings["embedding_size"] else torch.eye(V, dtype=torch.float64)[ids]
    logits = theirs["output"](theirs["rnn"](x)[0])
    expected = torch.nn.functional.cross_entropy(logits.reshape(-1, V), torch.from_numpy(targets).reshape(-1))
    expected.backward()
    loss, _ = model.loss_and_gradients(inputs, targets)
    assert abs(loss - expected.item()) < 1e-12
    for key, parameter in theirs.named_parameters():
        np.testing.assert_allclose(model.gradients[key], parameter.grad.numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_a_stream_gives_the_same_bits(name, dtype):
    model = make_model(name, dtype=dtype)
    inputs, _ = make_batch()
    logits, state = model.logits(inputs)
    stream = model.stream(N)
    assert np.array([stream.step(ids) for ids in inputs[:3]]).tobytes() == logits[:3].tobytes()
    twin = stream.copy()
    assert np.array([stream.step(ids) for ids in inputs[3:]]).tobytes() == logits[3:].tobytes()
    assert np.array_equal(stream.state, state)
    assert np.array_equal(twin.step(inputs[3]), logits[3])
    stream.reset()
    assert np.array_equal(stream.step(inputs[0]), logits[0])
    alone = model.stream()
    assert np.array([alone.step(int(i)) for i in inputs[:, 1]]).tobytes() == logits[:, 1].tobytes()
    alone.state = None
    assert alone.step([inputs[0, 1]]).tobytes() == logits[0, 1].tobytes()


def test_a_stream_follows_its_models_parameters():
    model = make_model("lstm-embedding")
    stream = model.stream()
    stream.step(1)
    state = stream.state
    model.load_state_dict(make_model("lstm-embedding", seed=5).state_dict())
    expected, _ = model.logits([[2]], state)
    assert np.array_equal(stream.step(2), expected[0, 0])


def test_dropout_is_in_training_only_and_follows_the_seed():
    model, twin = (make_model("lstm-embedding", dropout=0.5) for _ in range(2))
    inputs, targets = make_batch()
    assert model.loss(inputs, targets)[0] == twin.loss(inputs, targets)[0]
    losses = [model.loss_and_gradients(inputs, targets)[0] for _ in range(3)]
    assert len(set(losses)) == 3
    assert [twin.loss_and_gradients(inputs, targets)[0] for _ in range(3)] == losses
    assert model.rng is model.rnn.rng
    assert np.array_equal(model.gradients.flat, twin.gradients.flat)


def test_the_random_state_goes_through_json():
    for bits in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64):
        model = make_model("lstm", dropout=0.5, seed=np.random.Generator(bits(3)))
        inputs, targets = make_batch()
        state = json.loads(json.dumps(model.random_state()))
        losses = [model.loss_and_gradients(inputs, targets)[0] for _ in range(2)]
        model.set_random_state(state)
        assert [model.loss_and_gradients(inputs, targets)[0] for _ in range(2)] == losses


def test_an_invalid_random_state_is_refused():
    model = make_model("lstm")
    before = model.random_state()
    other = make_model("lstm", seed=np.random.Generator(np.random.MT19937(0))).random_state()
    for wrong in (
        {},
        other,
        {"bit_generator": "PCG64"},
        {**before, "state": 3},
        {**before, "has_uint32": "a"},
    ):
        with pytest.raises(ValueError, match=r"^random state: "):
            model.set_random_state(wrong)
        assert model.random_state() == before


@pytest.mark.parametrize("name", MODELS)
def test_a_config_makes_the_same_model(name):
    model = make_model(name, dropout=0.25, dtype="float32")
    config = json.loads(json.dumps(model.config))
    twin = LanguageModel.from_config(config, seed=0)
    assert twin.config == model.config == config
    assert np.array_equal(twin.parameters.flat, model.parameters.flat)
    assert LanguageModel.parameter_shapes(config) == {n: p.shape for n, p in model.parameters.items()}


def test_shapes_of_a_model_too_large_to_allocate():
    shapes = LanguageModel.parameter_shapes({"vocabulary_size": 2**50, "hidden_size": 2**50})
    assert shapes["output.weight"] == (2**50, 2**50)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"cell": "LSTM"},
            ValueError,
            "cell: expected one of 'rnn', 'gru', 'lstm', 'slstm', 'mingru', 'minlstm', got 'LSTM'",
        ),
        (
            {"cell": ["gru"]},
            TypeError,
            "cell: expected one of 'rnn', 'gru', 'lstm', 'slstm', 'mingru', 'minlstm', got list",
        ),
        ({"cells": 3, "wide": 4}, ValueError, "config: unknown cells, wide"),
        ({"hidden_size": 0}, ValueError, "hidden_size: expected 1 or more, got 0"),
        ({"num_layers": 1.5}, TypeError, "num_layers: expected an integer, got float"),
        ({"dropout": 1}, ValueError, "dropout: expected a probability in [0, 1), got 1"),
        ({"dropout": "0.5"}, TypeError, "dropout: expected a number, got str"),
        ({"dtype": "int64"}, TypeError, "dtype: expected float32 or float64, got int64"),
        ({"reset_after": False}, ValueError, "reset_after=False does not apply to cell='lstm'"),
        ({"nonlinearity": "relu"}, ValueError, "nonlinearity='relu' does not apply to cell='lstm'"),
        (
            {"cell": "rnn", "nonlinearity": "sin"},
            ValueError,
            "nonlinearity: expected 'tanh' or 'relu', got 'sin'",
        ),
    ],
)
def test_wrong_configs_are_named(change, error, message):
    config = {"vocabulary_size": V, **change}
    makers = [LanguageModel.from_config, LanguageModel.parameter_shapes]
    if "unknown" not in message:
        makers.append(lambda config: LanguageModel(**config))
    for make in makers:
        with pytest.raises(error) as caught:
            make(config)
        assert str(caught.value) == message


def test_a_config_names_its_vocabulary_size():
    with pytest.raises(ValueError, match=r"^config: missing vocabulary_size$"):
        LanguageModel.from_config({"cell": "gru"})


@pytest.mark.parametrize(
    ("inputs", "targets", "error", "message"),
    [
        ([[0, V]], [[0, 1]], ValueError, "ids in 0 .. 10 (-1: none), got 11 at position 1"),
        ([[0, 1]], [[0, V]], ValueError, "targets: expected ids in 0 .. 10 (-1: none), got 11 at position 1"),
        (
            [[0, 1]],
            [[-2, 1]],
            ValueError,
            "targets: expected ids in 0 .. 10 (-1: none), got -2 at position 0",
        ),
        ([[0, 1]], [[-1, -1]], ValueError, "targets: expected at least one that is not -1, got none"),
        ([[0, 1]], [[0], [1]], ValueError, "targets: expected [1, 2], got [2, 1]"),
        ([0, 1], [0, 1], ValueError, "inputs: expected [T, N], got [2]"),
        ([[0.0, 1.0]], [[0, 1]], TypeError, "inputs: expected integers, got float64"),
        ([[0, 1]], [[0.0, 1.0]], TypeError, "targets: expected integers, got float64"),
    ],
)
@pytest.mark.parametrize("name", ["lstm", "lstm-embedding"])
def test_wrong_batches_are_named_and_change_no_gradient(name, inputs, targets, error, message):
    model = make_model(name)
    for run in (model.loss, model.loss_and_gradients):
        with pytest.raises(error) as caught:
            run(inputs, targets)
        assert str(caught.value).endswith(message)
    assert not model.gradients.flat.any()


def test_a_wrong_id_or_state_of_a_stream_is_named():
    for name in ("lstm", "lstm-embedding"):
        stream = make_model(name).stream(2)
        with pytest.raises(ValueError, match=r"expected ids in 0 .. 10 \(-1: none\), got 11 at position 1$"):
            stream.step([0, V])
        with pytest.raises(ValueError, match=r"^ids: expected \[2\], got \[3\]$"):
            stream.step([0, 1, 2])
        with pytest.raises(TypeError, match=r"^ids: expected integers, got float64$"):
            stream.step([0.0, 1.0])
        with pytest.raises(TypeError, match=r"^state: expected the pair \(h, c\), got ndarray$"):
            stream.state = np.zeros((2, 2, 9))
        assert not np.any(stream.state)


def test_a_model_learns_to_count():
    model = LanguageModel(5, cell="gru", hidden_size=16, num_layers=1, seed=0)
    ids = (np.arange(21)[:, None] + np.arange(4)) % 5
    optimizer = fr.train.Adam(model, learning_rate=0.02)
    losses = []
    for _ in range(120):
        model.zero_gradients()
        loss, _ = model.loss_and_gradients(ids[:-1], ids[1:])
        optimizer.step()
        losses.append(loss)
    assert abs(losses[0] - math.log(5)) < 0.3
    assert losses[-1] < 0.02
    logits, _ = model.logits(ids[:-1])
    assert np.array_equal(logits.argmax(-1), ids[1:])


def test_representations():
    model = make_model("gru-before")
    assert repr(model) == (
        "LanguageModel(11, cell='gru', hidden_size=9, embedding_size=6, dtype='float64', reset_after=False)"
    )
    assert repr(model.stream(3)) == f"<LanguageModelStream of {model!r}: 3 sequences>"
