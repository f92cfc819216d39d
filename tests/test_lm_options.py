"""Every option of the language model: files, gradients, streams, ragged batches, and contradictions."""

import json

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import LanguageModel
from fastrnn.language import backbone
from gradient_check import assert_slope

V, T, N = 11, 7, 5
F64 = {"dtype": "float64"}


def stack(top=9, **options):
    return fr.Stack(fr.GRU(6, 9, seed=1, **F64), fr.LSTM(9, top, seed=2, **F64), **options)


OPTIONS = {  # a model owns the recurrent layers passed to it: each model needs new ones
    "mingru": lambda: {"cell": "mingru", "embedding_size": 6},
    "minlstm": lambda: {"cell": "minlstm", "cell_options": {"nonlinearity": "positive"}},
    "layer norm": lambda: {"cell": "gru", "cell_options": {"layer_norm": True}, "embedding_size": 6},
    "masks": lambda: {"cell_options": {"zoneout": (0.2, 0.1), "weight_drop": 0.3}},
    "projection": lambda: {"cell_options": {"proj_size": 4, "peephole": True}, "embedding_size": 6},
    "leak": lambda: {"cell": "rnn", "cell_options": {"leak": "learned", "bias": False}},
    "learned state": lambda: {"cell_options": {"learn_state": True}, "embedding_size": 3},
    "given lstm": lambda: {"rnn": fr.LSTM(6, 9, 2, dropout=0.2, seed=1, **F64), "embedding_size": 6},
    "given gru of ids": lambda: {"rnn": fr.GRU(V, 9, reset_after=False, bias=False, seed=1, **F64)},
    "stack": lambda: {"rnn": stack(connect="residual", dropout=0.3), "embedding_size": 6},
    "tied": lambda: {"embedding_size": 9, "tied": True},
    "tied stack": lambda: {"rnn": stack(6), "embedding_size": 6, "tied": True, "locked_dropout": True},
    "locked": lambda: {"locked_dropout": True, "embedding_size": 6},
    "word dropout": lambda: {"embedding_dropout": 0.4, "embedding_size": 3},
    "ar and tar of a stack": lambda: {"rnn": stack(), "embedding_size": 6, "ar": 0.7, "tar": 0.9},
    "adaptive": lambda: {"cutoffs": [3, 7], "embedding_size": 6},
    "jordan": lambda: {"rnn": fr.Jordan(V, 9, 4, hidden_recurrence=True, seed=1, **F64)},
    "jordan in a stack": lambda: {
        "rnn": fr.Stack(fr.GRU(6, 9, seed=1, **F64), fr.Jordan(9, 5, 7, output_activation="tanh", **F64)),
        "embedding_size": 6,
    },
    "head": lambda: {
        "head": {"hidden_sizes": [8, 5], "out_features": 4, "activation": "relu", "dropout": 0.2},
        "embedding_size": 6,
    },
    "given head, tied, halt": lambda: {
        "head": fr.Head(9, [8], 6, bias=False, seed=4, **F64),
        "embedding_size": 6,
        "tied": True,
        "length_model": "halt",
    },
    "linear head, adaptive, tau": lambda: {
        "head": fr.Head(9, [], 5, seed=4, **F64),
        "embedding_size": 6,
        "cutoffs": [3, 7],
        "length_model": "tau",
        "max_length": 9,
    },
    "start and end": lambda: {"start": -1, "eos": 0, "embedding_size": 6},
    "halt": lambda: {"length_model": "halt", "ar": 0.7, "tar": 0.3},
    "tau": lambda: {"length_model": "tau", "max_length": 9, "embedding_size": 6, "tar": 0.3},
}
EVERY_OPTION = pytest.mark.parametrize("name", OPTIONS)


def make(name, **more):
    given = OPTIONS[name]()
    own = {} if "rnn" in given else {"hidden_size": 9}
    model, random = LanguageModel(V, **{**own, "seed": 0, **F64, **given, **more}), np.random.default_rng(2)
    with model.parameters.edit() as views:  # no option is without effect
        views.flat[...] += 0.3 * random.normal(size=views.flat.size)
    return model


def make_batch(model, ragged=False):
    ids = np.random.default_rng(1).integers(V, size=(T + 1, N))
    inputs, targets, lengths = ids[:-1], ids[1:].copy(), np.array([7, 3, 1, 6, 7])
    inputs[0] = inputs[0] if model.start is None else model.start
    if ragged:
        targets[np.arange(T)[:, None] >= lengths] = -1
    elif model.length is None:
        targets[4:6, 2:] = -1
    return {"inputs": inputs, "targets": targets, "lengths": lengths if ragged else None}


def bits(state, rows=slice(None)):
    return [bits(part, rows) for part in state] if isinstance(state, tuple) else state[:, rows].tobytes()


@EVERY_OPTION
def test_a_config_and_a_file_give_the_same_model(name, tmp_path):
    model, path = make(name, dropout=0.25), tmp_path / "model.safetensors"
    config, random, results = json.loads(json.dumps(model.config)), model.random_state(), []
    fr.train.save_checkpoint(path, model, fr.Vocabulary.from_text("abcdefghijk"))
    twin, loaded = LanguageModel.from_config(config, seed=7), fr.train.load_checkpoint(path).model
    twin.load_state_dict(model.state_dict())
    for one in (model, twin, loaded):
        assert (repr(one), repr(one.rnn), one.config) == (repr(model), repr(model.rnn), config)
        assert LanguageModel.parameter_shapes(config) == {key: p.shape for key, p in one.parameters.items()}
        one.set_random_state(random)
        loss, _ = one.loss_and_gradients(**make_batch(one))
        results.append((loss, one.gradients.flat.tobytes()))
    assert results[0] == results[1] == results[2]


@pytest.fixture
def penalties(monkeypatch):
    seen = {}  # penalties of the last pass, from the definition, and the outputs that they are of

    def look(y, lengths, *, ar=0.0, tar=0.0):
        assert lengths is not None or y[-1].any(axis=1).all()  # as they are zero after a row's end
        rows = [y[:end, n] for n, end in enumerate(lengths if lengths is not None else [len(y)] * N)]
        squares = np.concatenate([row.ravel() ** 2 for row in rows]).mean()
        changes = np.concatenate([np.diff(row, axis=0).ravel() ** 2 for row in rows]).mean()
        seen["ar" if ar else "tar"] = y, ar * squares + tar * changes
        return fr.activity_penalties(y, lengths, ar=ar, tar=tar)

    monkeypatch.setattr(backbone, "activity_penalties", look)
    return seen


@EVERY_OPTION
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("dropout", "ragged"), [(0.0, False), (0.4, False), (0.4, True)])
def test_gradients_are_central_differences(name, dropout, ragged, smoothing, penalties):
    model = make(name, dropout=dropout)
    batch, random, directions = make_batch(model, ragged), model.random_state(), np.random.default_rng(3)
    smoothed = {} if "adaptive" in name else {"label_smoothing": smoothing}

    def loss(**options):
        model.set_random_state(random)  # the same masks
        own, _ = model.loss_and_gradients(**batch, **smoothed, **options)
        return own + sum(part for _, part in penalties.values())

    loss()
    gradients, once = {key: d.copy() for key, d in model.gradients.items()}, model.gradients.flat.copy()
    assert all(gradient.any() for gradient in gradients.values())
    assert penalties.keys() == {key for key in ("ar", "tar") if model.config[key]}
    loss(scale=3.0)  # adds
    np.testing.assert_allclose(model.gradients.flat, 4 * once, rtol=1e-9, atol=1e-12)
    with model.parameters.edit() as views:
        for key, gradient in gradients.items():
            assert_slope(loss, views[key], gradient, directions)


@pytest.mark.parametrize("locked", [False, True])
def test_ar_applies_after_dropout_and_tar_before_it(locked, penalties):
    options = {"name": "ar and tar of a stack", "dropout": 0.5, "locked_dropout": locked}
    model, without = make(**options), make(**options, ar=0, tar=0)
    loss, _ = model.loss_and_gradients(**make_batch(model))
    after, before = penalties["ar"][0], penalties["tar"][0]
    assert np.array_equal(after, np.where(after == 0, 0, 2 * before))
    assert 0.3 < (after == 0).mean() < 0.7
    assert np.array_equal(after == 0, (after == 0)[[0] * T]) == locked  # the same units at every step
    assert without.loss_and_gradients(**make_batch(without))[0] == loss  # the loss excludes the penalties


def test_a_word_is_dropped_wherever_it_stands():
    model, twin = make("word dropout"), make("word dropout")
    loss, _ = model.loss_and_gradients(**make_batch(model))
    kept = model.gradients["embedding.weight"].any(axis=1, keepdims=True)
    assert 0 < kept.sum() < V
    twin.parameters["embedding.weight"] = kept * model.parameters["embedding.weight"] / 0.6
    assert abs(twin.loss(**make_batch(twin))[0] - loss) < 1e-12


@EVERY_OPTION
def test_a_stream_and_advance_give_the_bits_of_logits(name):
    model = make(name, dropout=0.3)
    ids = make_batch(model)["inputs"]
    ids[2, 1] = -1
    logits, state = model.logits(ids)
    stream, alone, middle = model.stream(N), model.stream(), model.advance(ids[:3])
    assert np.array([stream.step(step) for step in ids]).tobytes() == logits.tobytes()
    assert np.array([alone.step(int(i)) for i in ids[:, 1]]).tobytes() == logits[:, 1].tobytes()
    assert model.logits(ids[3:], middle)[0].tobytes() == logits[3:].tobytes()
    assert bits(stream.state) == bits(model.advance(ids)) == bits(state)


@EVERY_OPTION
def test_ragged_rows_are_as_alone(name):
    model = make(name)
    batch = make_batch(model, ragged=True)
    losses, of_lengths, state = model.target_losses(**batch)
    wanted = (losses.sum() + of_lengths.sum()) / batch["lengths"].sum()
    assert abs(model.loss(**batch)[0] - wanted) < 1e-12
    for n, end in enumerate(batch["lengths"]):
        alone, of_length, last = model.target_losses(*(batch[k][:end, [n]] for k in ("inputs", "targets")))
        assert losses[:end, n].tobytes() == alone[:, 0].tobytes()
        assert of_lengths[n] == of_length[0]
        assert bits(state, n) == bits(last, 0)


HEAD = {"hidden_sizes": [3], "out_features": 4}
GIVEN = {"kind": "GRU", "input_size": V, "hidden_size": 4}
WRONG = [  # how the message begins
    ("cell_options: dropout is not an option of this cell", {"cell_options": {"dropout": 0.1}}),
    ("cell_options: peep is not an option of this cell", {"cell_options": {"peep": 1}}),
    ("cell_options: reverse is not an option of this cell", {"cell_options": {"reverse": True}}),
    ("cell_options: num_layers is not an option of this cell", {"cell_options": {"num_layers": 3}}),
    ("rnn: expected a recurrent layer or a Stack, got str", {"rnn": "lstm"}),
    ("rnn: expected one that runs forward, as it predicts what comes next", {"rnn": {"bidirectional": True}}),
    ("rnn: expected one that runs forward, as it predicts what comes next", {"rnn": {"reverse": True}}),
    ("rnn: expected no batch_first", {"rnn": {"batch_first": True}}),
    ("Jordan: missing output_size", {"rnn": {"kind": "Jordan"}}),
    (
        "num_layers: not an option of this layer",
        {"rnn": {"kind": "Jordan", "output_size": 3, "num_layers": 2}},
    ),
    ("output_size: expected 1 or more, got 0", {"rnn": {"kind": "Jordan", "output_size": 0}}),
    ("cell: expected one of 'rnn', 'gru', 'lstm'", {"cell": "jordan"}),
    ("head: expected a Head or a mapping of its arguments, got list", {"head": [3]}),
    ("head: missing out_features", {"head": {"hidden_sizes": []}}),
    ("head: unknown sizes; expected activation, ", {"head": {"sizes": []}}),
    (
        "head: expected in_features 256, the width of the layers' output, got 3",
        {"head": {**HEAD, "in_features": 3}},
    ),
    ("out_features: expected 1 or more, got 0", {"head": {**HEAD, "out_features": 0}}),
    ("hidden_sizes[0]: expected 1 or more, got 0", {"head": {**HEAD, "hidden_sizes": [0]}}),
    ("activation: expected 'tanh' or 'relu', got 'sin'", {"head": {**HEAD, "activation": "sin"}}),
    ("tied: expected an embedding_size of 4", {"head": HEAD, "tied": True, "embedding_size": 256}),
    ("dtype: expected the rnn's, float64, got float32", {"rnn": {"dtype": "float64"}}),
    ("rnn: expected input_size 11, got 7", {"rnn": {"input_size": 7}}),
    ("num_layers: expected none, as the given rnn determines it", {"rnn": {}, "num_layers": 1}),
    ("tied: expected an embedding_size of 256, the width of the output's input, got None", {"tied": True}),
    ("tied: expected no cutoffs with it", {"tied": True, "embedding_size": 256, "cutoffs": [3]}),
    ("embedding_dropout: expected an embedding_size with it, got None", {"embedding_dropout": 0.5}),
    ("length_model: expected 'halt' or 'tau', got 'eos'", {"length_model": "eos"}),
    ("length_model='halt': a text has one way to end, got eos=0 too", {"length_model": "halt", "eos": 0}),
    ("max_length: expected if and only if length_model='tau'", {"length_model": "tau"}),
    ("max_length: expected if and only if length_model='tau'", {"length_model": "halt", "max_length": 4}),
    ("length_model='tau': expected an embedding_size, got None", {"max_length": 4, "length_model": "tau"}),
    ("start: expected -1 .. 10, got 11", {"start": 11}),
    ("eos: expected 0 .. 10, got -1", {"eos": -1}),
    ("ar: expected a finite number >= 0, got -1", {"ar": -1}),
    ("tar: expected a finite number >= 0, got nan", {"tar": float("nan")}),
]


@pytest.mark.parametrize(("message", "settings"), WRONG)
def test_wrong_settings_are_named(message, settings):
    if isinstance(settings.get("rnn"), dict):
        settings = {**settings, "rnn": {**GIVEN, **settings["rnn"]}}
    kind = TypeError if message.endswith(("got str", "got list", "this layer")) else ValueError
    for run in (LanguageModel.from_config, LanguageModel.parameter_shapes, lambda s: LanguageModel(**s)):
        with pytest.raises(kind) as caught:
            run({"vocabulary_size": V, **settings})
        assert str(caught.value).startswith(message)


def test_label_smoothing_that_is_not_a_probability_or_has_no_softmax():
    for name, value in (("tied", -0.1), ("tied", 1.0), ("tied", float("nan")), ("adaptive", 0.1)):
        model = make(name)
        with pytest.raises(
            ValueError, match=r"smoothing: expected (a number in \[0, 1\)|0 with an ad.*), got "
        ):
            model.loss_and_gradients(**make_batch(model), label_smoothing=value)
        assert not model.gradients.flat.any()


def test_no_description_asks_for_memory():
    huge = {"kind": "GRU", "input_size": 5, "hidden_size": 2**40}
    shapes = LanguageModel.parameter_shapes({"vocabulary_size": 5, "rnn": huge})
    assert shapes["rnn.weight_hh_l0"] == (3 * 2**40, 2**40)


def test_checkpoints_of_a_pass_are_refused_over_a_stack():
    model = LanguageModel(V, rnn=fr.Stack(fr.GRU(V, 4, seed=0)), seed=0)
    with pytest.raises(ValueError, match=r"^checkpoint_every: expected None"):
        model.loss_and_gradients([[0]], [[1]], checkpoint_every=1)
