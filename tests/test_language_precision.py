"""The language model in bfloat16 and int8: what it learns, the bits of its passes, and what it refuses."""

import copy
import json

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import ChunkedText, LanguageModel, Vocabulary
from fastrnn.data import load_tales
from fastrnn.decode import Sampling, beam_search, generate, next_probabilities, sample_ids, score
from fastrnn.language import backbone
from fastrnn.train import (
    SGD,
    Adam,
    ExponentialAverage,
    Trainer,
    Validation,
    evaluate,
    load_checkpoint,
    save_checkpoint,
)
from training_cases import IDS, VOCABULARY, make_model, make_trainer, parameters_of, same_arrays, without_time

V, T, N = 11, 7, 5
MODELS = {
    "lstm": lambda: {"hidden_size": 13},
    "gru": lambda: {"cell": "gru", "hidden_size": 13, "embedding_size": 6},
    "gru-before": lambda: {"cell": "gru", "hidden_size": 13, "reset_after": False},
    "rnn": lambda: {"cell": "rnn", "hidden_size": 13, "embedding_size": 6},
    "relu": lambda: {"cell": "rnn", "hidden_size": 13, "nonlinearity": "relu", "embedding_size": 6},
    "tied": lambda: {"hidden_size": 9, "embedding_size": 9, "tied": True},
    "head": lambda: {"hidden_size": 9, "head": {"hidden_sizes": [8], "out_features": 5}},
    "given": lambda: {"rnn": fr.GRU(6, 9, 2, seed=1), "embedding_size": 6},
    "stack": lambda: {
        "rnn": fr.Stack(fr.GRU(6, 9, seed=1), fr.LSTM(9, 7, seed=2), connect="plain"),
        "embedding_size": 6,
    },
}
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)
BOTH = pytest.mark.parametrize("precision", ["bfloat16", "int8"])


def make(name, precision="bfloat16"):
    """Make a model that trains in bfloat16, or one that is quantized to int8."""
    if precision == "int8":
        return fr.quantize(LanguageModel(V, **MODELS[name](), seed=0), "int8")
    return LanguageModel(V, precision=precision, **MODELS[name](), seed=0)


def of_bottles(precision):
    """Make such a model of the vocabulary of the tests."""
    return make_model(precision=precision) if precision == "bfloat16" else fr.quantize(make_model(), "int8")


def make_batch(steps=T, rows=N):
    ids = np.random.default_rng(1).integers(V, size=(steps + 1, rows))
    return ids[:-1], ids[1:]


# --- what it learns ---


def learn(text, held_out, vocabulary, wiggle=None, **options):
    """Train a small model; return its losses on the held-out text every 50 steps, and the model."""
    model = LanguageModel(len(vocabulary), hidden_size=48, num_layers=1, seed=0, **options)
    if wiggle is not None:
        random = np.random.default_rng(wiggle)
        with model.parameters.edit() as views:
            views.flat[...] *= 1 + random.uniform(-(2.0**-9), 2.0**-9, views.flat.size)
    data, validation = ChunkedText(text, 16, 40), Validation(held_out, every=50, batch_size=8)
    trainer = Trainer(model, data, Adam(model, 1e-2), clip_norm=1.0, validation=validation)
    records = list(trainer.run(300))
    return np.array([r.valid_loss for r in records if r.valid_loss is not None]), model


@pytest.fixture(scope="module")
def trained():
    """Train on tales in float32 and in bfloat16, and in float32 from starts that differ in rounding alone."""
    vocabulary = Vocabulary.from_text(load_tales())
    text, held_out = vocabulary.encode(load_tales()), vocabulary.encode(load_tales("valid"))
    float32, model = learn(text, held_out, vocabulary)
    bfloat16, narrow = learn(text, held_out, vocabulary, precision="bfloat16")
    others = [learn(text, held_out, vocabulary, wiggle)[0] for wiggle in (1, 2, 3)]
    return vocabulary, (text, held_out), (float32, bfloat16, others), (model, narrow)


def test_a_model_learns_in_bfloat16_what_it_learns_in_float32(trained):
    vocabulary, (text, held_out), (float32, bfloat16, others), _ = trained
    counts = (
        np.bincount(text, minlength=len(vocabulary)) + 1.0
    )  # of the child's model, which knows no context
    unigram = -np.log(counts / counts.sum())[held_out[1:]].mean()
    assert bfloat16[-1] < 0.86 < unigram  # 0.86: of a trigram model, see `load_tales`
    assert (np.diff(bfloat16) < 0).all()
    # bfloat16 rounds each operand by a fraction of at most 2^-9. Steps of training amplify such differences,
    # whatever their origin: how much, the trainings show whose first weights are off by as much. Their curves
    # are as far from each other as from the first; those that round at every step may be twice as far.
    margin = 2 * max(np.abs(one - other).max() for one in others for other in (float32, *others))
    assert margin < 0.02 * unigram
    assert np.abs(bfloat16 - float32).max() < margin


def test_the_same_weights_cost_as_much_in_another_precision(trained):
    _, (_, held_out), _, (model, narrow) = trained
    exact = evaluate(model, held_out).loss
    # A loss changes by at most the spread of the changes of its logits: log-sum-exp is monotonic, and adding
    # one number to all logits changes nothing.
    logits = model.logits(held_out[:2000, None])[0].astype(np.float64)
    for precision, most in (("bfloat16", 0.003), ("int8", 0.005)):
        small = fr.quantize(model, precision)
        assert abs(evaluate(small, held_out).loss - exact) < most
        changes = small.logits(held_out[:2000, None])[0] - logits
        spread = np.ptp(changes, axis=-1).mean()
        one, other = (evaluate(each, held_out[:2001]).loss for each in (model, small))
        assert 0 < abs(one - other) <= spread
    in_bfloat16 = evaluate(narrow, held_out).loss
    assert (
        evaluate(fr.quantize(narrow, "bfloat16"), held_out).loss == in_bfloat16
    )  # it had rounded them before
    assert abs(evaluate(fr.quantize(narrow, "int8"), held_out).loss - in_bfloat16) < 0.005


# --- the bits of its passes ---


@BOTH
@EVERY_MODEL
def test_steps_parts_and_rows_have_the_bits_of_the_whole(name, precision):
    model, (inputs, targets) = make(name, precision), make_batch()
    logits, _ = model.logits(inputs)
    stream = model.stream(N)
    assert np.array([stream.step(ids) for ids in inputs]).tobytes() == logits.tobytes()
    first, carried = model.logits(inputs[:3])
    rest, _ = model.logits(inputs[3:], carried)
    assert np.concatenate([first, rest]).tobytes() == logits.tobytes()
    for row in range(N):
        assert model.logits(inputs[:, row : row + 1])[0].tobytes() == logits[:, row : row + 1].tobytes()
    losses, _, _ = model.target_losses(inputs, targets)
    exact = logits.astype(np.float64)
    expected = np.log(np.exp(exact).sum(-1)) - np.take_along_axis(exact, targets[..., None], -1)[..., 0]
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)


@EVERY_MODEL
def test_the_loss_in_training_is_that_of_a_call_and_threads_change_nothing(name):
    inputs, targets = make_batch(40, 8)
    found, before = set(), fr.get_num_threads()
    try:
        for count in (1, 2):
            fr.set_num_threads(count)
            model = make(name)
            loss, _ = model.loss_and_gradients(inputs, targets)
            assert loss == pytest.approx(model.loss(inputs, targets)[0], rel=1e-6)
            found.add((loss, model.gradients.flat.tobytes()))
    finally:
        fr.set_num_threads(before)
    assert len(found) == 1


@pytest.mark.parametrize("name", [name for name in MODELS if name != "relu"])  # whose derivative jumps
def test_gradients_are_those_of_float32_within_the_rounding(name):
    inputs, targets = make_batch()
    model = make(name)
    wide = LanguageModel.from_config({**model.config, "precision": "float32"})
    wide.load_state_dict(model.state_dict())
    for each in (model, wide):
        each.loss_and_gradients(inputs, targets)
    # The last step's part of a gradient goes through some four products in each direction, whose operands are
    # both off by a fraction of at most 2^-9; parts that come from further off are small.
    most = 4 * 2 * 2.0**-9
    for key in wide.gradients:
        one, other = model.gradients[key].astype(np.float64), wide.gradients[key].astype(np.float64)
        assert 0 < np.linalg.norm(one - other) < most * np.linalg.norm(other), key


def test_an_embedding_is_not_folded_into_rounded_weights(monkeypatch):
    monkeypatch.setattr(backbone, "ProjectedStack", None)  # not to be called
    inputs, targets = make_batch(40, 8)  # many more tokens than ids
    for precision in ("bfloat16", "int8"):
        make("gru", precision).loss(inputs, targets)
    make("gru").loss_and_gradients(inputs, targets)


@BOTH
@pytest.mark.parametrize("sampling", [None, Sampling(0.8, 20, 0.95, repetition_penalty=1.3)])
def test_samples_with_a_seed_have_the_probabilities_of_their_scores(precision, sampling):
    model = of_bottles(precision)
    start = VOCABULARY.encode("3 green")
    ids, again = (list(sample_ids(model, start, 30, sampling=sampling, seed=7)) for _ in range(2))
    assert ids == again
    whole = np.concatenate([start, ids])
    of_calls = next_probabilities(model.logits(whole[:-1, None])[0][:, 0])
    expected = np.log(of_calls[np.arange(len(whole) - 1), whole[1:]])
    stream = model.stream()
    of_steps = np.array([next_probabilities(stream.step(one)[None])[0] for one in whole[:-1]])
    assert np.array_equal(of_steps, of_calls)
    [found] = score(model, VOCABULARY, [VOCABULARY.decode(whole)], end=False)
    scored = found.log_probabilities[-len(ids) :]
    np.testing.assert_allclose(scored, expected[-len(ids) :], rtol=1e-5)
    [text] = generate(model, [start], max_length=30, eos=-1, sampling=sampling, seed=7)
    assert len(text.ids) == 30
    if sampling is None:
        [of_text] = score(
            model, VOCABULARY, [VOCABULARY.decode(np.concatenate([start, text.ids]))], end=False
        )
        assert text.log_probability == pytest.approx(of_text.log_probabilities[-30:].sum(), rel=1e-5)


@BOTH
def test_a_beam_has_the_probability_of_its_score(precision):
    model = of_bottles(precision)
    start = VOCABULARY.encode("3 green")
    best, *_ = beam_search(model, start, beam_size=4, max_length=9, eos=-1)
    [found] = score(model, VOCABULARY, [VOCABULARY.decode(np.concatenate([start, best.ids]))], end=False)
    assert best.log_probability == pytest.approx(found.log_probabilities[-9:].sum(), rel=1e-5)


# --- training: resumed, averaged, diagnosed ---


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_training_that_is_resumed_from_a_file_has_the_bits_of_one_that_was_not(cell, tmp_path):
    def trainer(model=None):
        model = model or make_model(cell, embedding_size=8, precision="bfloat16")
        return make_trainer(model, average=ExponentialAverage(model, 0.9), accumulate=2)

    whole, first = trainer(), trainer()
    records = list(whole.run(24))
    list(first.run(11))
    save_checkpoint(tmp_path / "m.safetensors", first.model, VOCABULARY, first.state())
    loaded = load_checkpoint(tmp_path / "m.safetensors")
    assert loaded.model.precision == "bfloat16"
    second = trainer(loaded.model)
    second.restore(loaded.training)
    assert without_time(second.run(24)) == without_time(records[11:])
    assert parameters_of(second) == parameters_of(whole)
    assert same_arrays(second.state().arrays, whole.state().arrays)


def test_an_average_and_a_validation_have_the_precision_of_the_model():
    model = make_model(precision="bfloat16")
    trainer = make_trainer(model, average=ExponentialAverage(model, 0.5), every=3)
    record = list(trainer.run(3))[-1]
    assert trainer.evaluated is not model
    assert trainer.evaluated.precision == "bfloat16"
    assert record.valid_loss == evaluate(trainer.evaluated, IDS[3000:], batch_size=3).loss


def test_a_diagnosis_changes_no_bit_of_the_training():
    plain, watched = (
        make_trainer(make_model(precision="bfloat16"), **o) for o in ({}, {"diagnose_every": 2})
    )
    list(plain.run(7))
    records = list(watched.run(7))
    assert parameters_of(plain) == parameters_of(watched)
    ratios = records[1].diagnosis.update_ratios
    assert set(ratios) == set(watched.model.parameters)
    assert all(0 < ratio < 1 for ratio in ratios.values())


def test_a_training_step_reads_and_writes_float32():
    trainer = make_trainer(make_model(precision="bfloat16"))
    list(trainer.run(2))
    arrays = [trainer.model.parameters.flat, trainer.model.gradients.flat, *trainer.state().arrays.values()]
    assert {array.dtype.name for array in arrays} == {"float32"}
    for array in arrays:
        if array.any():
            assert (np.ascontiguousarray(array).view(np.uint32) & 0xFFFF).any()  # not rounded to bfloat16


# --- configurations and errors ---


@EVERY_MODEL
def test_a_config_and_a_copy_have_the_precision(name):
    model = make(name)
    config = json.loads(json.dumps(model.config))
    assert config["precision"] == "bfloat16"
    twins = [LanguageModel.from_config(config), copy.deepcopy(model)]
    twins[0].load_state_dict(model.state_dict())
    logits = model.logits(make_batch()[0])[0]
    for twin in twins:
        assert twin.precision == "bfloat16"
        assert twin.config == config
        assert twin.logits(make_batch()[0])[0].tobytes() == logits.tobytes()
    assert "precision='bfloat16'" in repr(model)


def test_a_head_in_bfloat16_alone_keeps_its_precision_in_a_config_and_a_file(tmp_path):
    heads = [{"hidden_sizes": [8], "out_features": 5, "precision": "bfloat16"}]
    heads += [fr.Head(9, [8], 5, precision="bfloat16")]
    size = len(VOCABULARY)
    for head in heads:
        model = LanguageModel(size, hidden_size=9, head=head, seed=0)
        save_checkpoint(tmp_path / "m.safetensors", model, VOCABULARY)
        loaded = load_checkpoint(tmp_path / "m.safetensors").model
        for twin in (model, LanguageModel.from_config(model.config), loaded):
            assert (twin.head.precision, twin.rnn.precision) == ("bfloat16", "float32")
            assert "'precision': 'bfloat16'" in repr(twin)
    plain = LanguageModel(size, hidden_size=9, head=fr.Head(9, [8], 5))
    assert "precision" not in plain.config["head"]


@pytest.mark.parametrize("trained_in", ["float32", "bfloat16"])
def test_a_quantized_model_shows_the_precision_that_it_computes_in(trained_in):
    model = LanguageModel(V, hidden_size=9, num_layers=1, precision=trained_in)
    small = fr.quantize(model, "int8")
    assert repr(small) == "LanguageModel(11, cell='lstm', hidden_size=9, num_layers=1, precision='int8')"
    assert small.config == model.config
    assert f"of {small!r}:" in repr(small.stream())


def test_float32_is_not_in_a_config_or_a_file(tmp_path):
    plain, named = make_model(), make_model(precision="float32")
    assert "precision" not in plain.config
    for name, model in (("plain", plain), ("named", named)):
        save_checkpoint(tmp_path / name, model, VOCABULARY)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "named").read_bytes()
    assert b"precision" not in (tmp_path / "plain").read_bytes()


def test_parts_without_a_precision_stay_float32():
    options = {"cell_options": {"layer_norm": True}, "embedding_size": 6, "length_model": "halt"}
    model = LanguageModel(V, hidden_size=9, precision="bfloat16", seed=0, **options)
    assert (model.rnn.precision, model.output.precision, model.precision) == (
        "float32",
        "bfloat16",
        "bfloat16",
    )
    model = LanguageModel(V, hidden_size=9, precision="bfloat16", cutoffs=[4], seed=0)
    assert (model.rnn.precision, model.output.precision) == ("bfloat16", "float32")
    stack = fr.Stack(fr.GRU(V, 9, seed=1), fr.LSTM(9, 7, layer_norm=True, seed=2), connect="plain")
    model = LanguageModel(V, rnn=stack, precision="bfloat16")
    assert [layer.precision for layer in model.rnn.layers] == ["bfloat16", "float32"]
    model.loss_and_gradients(*make_batch())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, r"precision: int8 is for inference; write fr\.quantize\(layer, 'int8'\)"),
        ({"precision": "float16"}, "precision: expected .*'bfloat16'.*, got 'float16'"),
        ({"precision": "bfloat16", "dtype": "float64"}, "precision: expected 'float32' for dtype float64"),
        (
            {"precision": "bfloat16", "cell": "slstm", "cutoffs": [4]},
            "precision: expected 'float32', as no part of this model has bfloat16; LSTM, GRU and RNN without",
        ),
    ],
)
def test_a_precision_that_a_model_cannot_have_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LanguageModel(V, hidden_size=9, **options)
    config = {"vocabulary_size": V, "hidden_size": 9, **options}
    with pytest.raises(ValueError, match=message):
        LanguageModel.from_config(config)


@BOTH
def test_a_quantized_model_is_evaluated_and_not_trained(precision):
    model = make_model(embedding_size=8)
    small = fr.quantize(model, precision)
    before, random = small.parameters.flat.tobytes(), small.random_state()
    assert evaluate(small, IDS).loss == pytest.approx(evaluate(model, IDS).loss, abs=0.01)
    message = "quantized.*for inference"
    with pytest.raises(ValueError, match=message):
        SGD(small, 0.1)
    with pytest.raises(ValueError, match=message):
        Trainer(small, ChunkedText(IDS, 4, 20))
    with pytest.raises(ValueError, match=message):
        small.loss_and_gradients(IDS[:20].reshape(10, 2), IDS[1:21].reshape(10, 2))
    assert small.parameters.flat.tobytes() == before
    assert small.random_state() == random
