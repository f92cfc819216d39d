"""Diagnoses in training: update ratios, gradients through time, and warnings when these vanish or explode."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import ChunkedText, LanguageModel
from fastrnn.data import SentenceBatches
from fastrnn.inspect import update_ratios
from fastrnn.train import (
    SGD,
    Adam,
    Diagnosis,
    Record,
    Trainer,
    TrainingDiverged,
    TrainingState,
    TrainingWarning,
)
from fastrnn.train.gradient_watch import GradientWatch
from fastrnn.train.state_measures import lags_within, measure_states
from training_cases import IDS, VOCABULARY, make_model, make_trainer, parameters_of, same_arrays, without_time

V = len(VOCABULARY)
CELLS = ["rnn", "gru", "lstm", "slstm", "mingru", "minlstm"]


# --- update ratios ---


def test_the_ratio_is_that_of_the_norms():
    before = {"w": [[3.0, 4.0]], "b": [0.0, 0.0], "zero": [0.0], "same": [2.0]}
    after = {"w": [[3.0, 3.0]], "b": [0.0, 1.0], "zero": [0.0], "same": [2.0]}
    assert update_ratios(before, after) == {"w": 0.2, "b": math.inf, "zero": 0.0, "same": 0.0}


@pytest.mark.parametrize(
    ("before", "after", "error", "message"),
    [
        ([1.0], {"w": [1.0]}, TypeError, "before: expected a mapping of names to arrays, got list"),
        ({"w": [1.0]}, {"v": [1.0]}, ValueError, "after: expected the names of before, w, got v"),
        ({"w": [1.0]}, {"w": [1.0, 2.0]}, ValueError, r"after\['w'\]: expected \[1\], got \[2\]"),
        ({"w": ["a"]}, {"w": ["b"]}, TypeError, r"before\['w'\]: expected an array of numbers"),
    ],
)
def test_parameters_that_cannot_be_compared_are_refused(before, after, error, message):
    with pytest.raises(error, match=f"^{message}"):
        update_ratios(before, after)


def test_the_ratios_of_sgd_are_the_rate_times_the_clipped_gradient():
    model = make_model(dtype="float64", dropout=0.0)
    model.freeze("output.bias")
    data = ChunkedText(IDS, 8, 25)
    by_hand = LanguageModel.from_config(model.config)
    by_hand.load_state_dict(model.state_dict())
    by_hand.freeze("output.bias")
    by_hand.loss_and_gradients(*data.chunk(0))
    scale = 0.01 / (fr.train.gradient_norm(by_hand) + 1e-6)
    expected = {
        name: 0.5 * scale * np.linalg.norm(by_hand.gradients[name]) / np.linalg.norm(by_hand.parameters[name])
        for name in by_hand.parameters
        if name != "output.bias"  # frozen: it has no update
    }
    record = next(Trainer(model, data, SGD(model, 0.5), clip_norm=0.01, diagnose_every=1).run(1))
    assert record.diagnosis.update_ratios == pytest.approx(expected, rel=1e-9)


def test_the_ratios_of_adam_are_those_of_its_formula():
    model = make_model(dtype="float64", dropout=0.0)
    data, rate, m, v = ChunkedText(IDS, 8, 25), 0.01, 0.0, 0.0
    by_hand = LanguageModel.from_config(model.config)
    by_hand.load_state_dict(model.state_dict())
    state = None
    for step, record in enumerate(Trainer(model, data, Adam(model, rate), diagnose_every=1).run(3), 1):
        by_hand.zero_gradients()
        _, state = by_hand.loss_and_gradients(*data.chunk(step - 1), state)
        g, before = by_hand.gradients.flat.copy(), by_hand.state_dict()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        update = rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        parameters = by_hand.parameters.flat - update
        sizes = np.cumsum([value.size for value in before.values()])[:-1]
        expected = {
            name: np.linalg.norm(part) / np.linalg.norm(before[name])
            for name, part in zip(before, np.split(update, sizes), strict=True)
        }
        assert record.diagnosis.update_ratios == pytest.approx(expected, rel=1e-6)
        by_hand.load_state_dict(
            {n: p.reshape(before[n].shape) for n, p in zip(before, np.split(parameters, sizes), strict=True)}
        )


# --- gradients through time ---


def test_lags_grow_by_half_and_end_with_the_window():
    assert lags_within(1) == (1,)
    assert lags_within(2) == (1, 2)
    assert lags_within(64) == (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
    assert lags_within(65)[-2:] == (64, 65)


def stacked(**options):
    layers = fr.GRU(V, 6, num_layers=2, dtype="float64", seed=1), fr.LSTM(6, 6, dtype="float64", seed=2)
    return LanguageModel(V, rnn=fr.Stack(*layers, connect="residual"), dtype="float64", seed=0, **options)


MODELS = {
    **{cell: {"cell": cell} for cell in CELLS},
    "layer norm": {"cell_options": {"layer_norm": True}},
    "projection": {"cell_options": {"proj_size": 5}},
    "embedding": {"embedding_size": 13, "tied": True},
    "adaptive": {"cutoffs": (5, 12)},
    "head": {"head": {"hidden_sizes": (7,), "out_features": 9}},
    "learned start": {"cell_options": {"learn_state": True}},
    "stack": None,
}


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_at_a_lag_is_that_of_the_state_before_so_many_steps(name):
    """Take the state by the public way, and the gradient of the first state of what is left of the batch."""
    options = MODELS[name]
    model = stacked() if options is None else make_model(dtype="float64", dropout=0.0, **options)
    data = ChunkedText(IDS[:600], 3, 21)
    batch, state = data.batch(1), model.advance(data.batch(0).inputs)
    lags, norms, _ = measure_states(model, batch, state)
    assert lags == (1, 2, 3, 4, 6, 8, 12, 16, 21)
    targets = np.full_like(batch.targets, -1)
    targets[-1] = batch.targets[-1]
    found = []
    for lag in lags:
        start = state if lag == 21 else model.advance(batch.inputs[:-lag], state)
        result = model.loss_and_gradients(batch.inputs[-lag:], targets[-lag:], start, return_dstate=True)
        found.append(by_layer(result[2], model))
    for layer, norm in norms.items():
        rows = np.stack([each[layer] for each in found])  # [lags, N]
        np.testing.assert_allclose(norm, np.sqrt(((rows / rows[0]) ** 2).mean(axis=1)), rtol=1e-9)
    assert list(norms) == (["l0", "l1"] if options else ["layer0.l0", "layer0.l1", "layer1.l0"])


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_the_gradients_are_those_that_inspect_finds_for_every_step(cell):
    model = make_model(cell, num_layers=1, dtype="float64", dropout=0.0)
    batch = ChunkedText(IDS, 3, 21).batch(0)
    lags, norms, _ = measure_states(model, batch, None)
    y, _, tape = model.rnn.forward(batch.inputs)
    dy = np.zeros_like(y)
    dy[-1] = model.output.losses_and_gradients(np.ascontiguousarray(y[-1]), batch.targets[-1], scale=1.0)[1]
    rows = np.linalg.norm(fr.inspect.state_gradients(model.rnn, tape, dy).h[0], axis=-1)  # [T, N]
    expected = [np.sqrt(((rows[20 - lag] / rows[19]) ** 2).mean()) for lag in lags[:-1]]
    assert norms["l0"][:-1] == pytest.approx(expected, rel=1e-9)


def test_checkpoints_change_no_bit_of_the_gradients():
    model, batch = make_model(dropout=0.0), ChunkedText(IDS, 3, 40).batch(0)
    assert measure_states(model, batch, None, 6) == measure_states(model, batch, None)._replace(saturation={})


@pytest.mark.parametrize("name", ["rnn", "lstm", "slstm", "layer norm", "stack"])
def test_the_saturation_is_that_of_the_whole_batch(name):
    options = MODELS[name]
    model = stacked() if options is None else make_model(dtype="float64", dropout=0.0, **options)
    scaled(model, 8.0)
    batch = ChunkedText(IDS, 3, 21).batch(0)
    found = measure_states(model, batch, None).saturation
    tape = model.rnn.forward(batch.inputs)[2]
    parts = zip(model.rnn.layers, tape.layers, strict=True) if options is None else [(model.rnn, tape)]
    expected = [gates for layer, part in parts for gates in fr.inspect.saturation(layer, part)]
    assert list(found) == (["l0", "l1"] if options else ["layer0.l0", "layer0.l1", "layer1.l0"])
    for gates, own in zip(expected, found.values(), strict=True):
        assert own == pytest.approx({gate: np.mean(one.either) for gate, one in gates.items()}, abs=1e-12)
    assert max(own for gates in found.values() for own in gates.values()) > 0.05


def by_layer(dstate, model):
    """The norm of each row's gradient by the name of the layer, [N] each."""
    if isinstance(model.rnn, fr.Stack):
        parts = {f"layer{i}.": part for i, part in enumerate(dstate)}
    else:
        parts = {"": dstate}
    found = {}
    for prefix, part in parts.items():
        arrays = part if isinstance(part, tuple) else (part,)
        for layer in range(len(arrays[0])):
            found[f"{prefix}l{layer}"] = np.linalg.norm(
                np.concatenate([a[layer] for a in arrays], -1), axis=-1
            )
    return found


def linear_model(decay, units=4):
    """A network without a nonlinearity in which a state falls, or grows, by the same factor at each step."""
    rnn = fr.RNN(V, units, nonlinearity="identity", seed=0)
    fr.init.identity(rnn, decay)
    return LanguageModel(V, rnn=rnn, seed=0)


@pytest.mark.parametrize(("decay", "horizon"), [(0.5, 1 + math.log(1000) / math.log(2)), (0.9, 40.0)])
def test_the_horizon_of_a_linear_network_is_known(decay, horizon):
    record = next(Trainer(linear_model(decay), ChunkedText(IDS, 4, 40), diagnose_every=1).run(1))
    diagnosis = record.diagnosis
    expected = [decay ** (lag - 1) for lag in diagnosis.lags]
    assert diagnosis.gradient_norms["l0"] == pytest.approx(expected, rel=1e-4)
    assert diagnosis.horizon == pytest.approx(horizon, rel=1e-4)
    assert diagnosis.window == 40
    assert diagnosis.growth == 1.0


def test_a_gradient_that_grows_or_overflows_says_so():
    data = ChunkedText(IDS, 4, 40)
    (norms,) = measure_states(linear_model(1.5), data.batch(0), None).gradient_norms.values()
    assert norms[-1] == pytest.approx(1.5**39, rel=1e-4)
    model = linear_model(100.0)
    for name in ("rnn.weight_ih_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0"):
        model.parameters[name] = np.zeros_like(model.parameters[name])  # h stays 0, and only gradients grow
    diagnosis = Diagnosis({"w": 0.5}, *measure_states(model, data.batch(0), None))
    assert diagnosis.growth == math.inf
    assert diagnosis.horizon == 40
    assert Diagnosis.from_json(json.loads(json.dumps(diagnosis.to_json(), allow_nan=False))) == diagnosis


def test_the_horizon_of_a_dead_network_is_0():
    model = make_model("rnn", nonlinearity="relu", num_layers=1, dropout=0.0)
    model.parameters["rnn.bias_ih_l0"] = np.full(13, -100.0)
    diagnosis = next(Trainer(model, ChunkedText(IDS, 4, 20), diagnose_every=1).run(1)).diagnosis
    assert set(diagnosis.gradient_norms["l0"]) == {0.0}
    assert diagnosis.horizon == 0.0


def test_of_sentences_the_longest_rows_count():
    model = linear_model(0.5)
    rows = [np.resize(IDS, size) for size in (3, 9, 5, 9)]
    batch = SentenceBatches(rows, 4, seed=0).batch(0)
    lags, norms, _ = measure_states(model, batch, None)
    assert lags[-1] == 9
    assert norms["l0"] == pytest.approx([0.5 ** (lag - 1) for lag in lags], rel=1e-4)


# --- a diagnosis changes nothing ---


def text_trainer(**options):
    model = options.pop("model", None) or make_model(**{"dropout": 0.2, **options.pop("options", {})})
    return make_trainer(model, **options)


def sentence_trainer(**options):
    rows = [np.resize(IDS[start:], 3 + start % 7) for start in range(40)]
    model = make_model(start=-1, eos=None, **options.pop("options"))
    return Trainer(model, SentenceBatches(rows, 6, seed=0), Adam(model, 5e-3), **options)


TRAININGS = {
    **{cell: (text_trainer, {"options": {"cell": cell}}) for cell in CELLS},
    "masks": (text_trainer, {"options": {
        "cell_options": {"zoneout": 0.1, "weight_drop": 0.2}, "embedding_size": 13,
        "embedding_dropout": 0.2, "locked_dropout": True, "ar": 0.5, "tar": 0.5,
    }}),
    "adaptive": (text_trainer, {"options": {"cutoffs": (5, 12)}}),
    "sparse": (text_trainer, {"options": {"embedding_size": 8, "sparse_embedding": True}}),
    "accumulated": (text_trainer, {"accumulate": 3, "checkpoint_every": 7, "label_smoothing": 0.1}),
    "stack": (text_trainer, {"model": "stack"}),
    "sentences": (sentence_trainer, {"options": {}}),
    "halt": (sentence_trainer, {"options": {"length_model": "halt"}}),
    "tau": (sentence_trainer, {"options": {"length_model": "tau", "max_length": 20, "embedding_size": 8}}),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAININGS)
def test_a_diagnosed_training_has_the_same_bits(name):
    make, options = TRAININGS[name]

    def trainer(every):
        own = {"model": stacked(dropout=0.2)} if options.get("model") else {}
        return make(diagnose_every=every, **{**options, **own})

    plain, diagnosed = trainer(None), trainer(2)
    records, others = list(plain.run(9)), list(diagnosed.run(9))
    assert [record.step for record in others if record.diagnosis] == [1, 2, 4, 6, 8]
    assert without_time(records) == without_time([replace(one, diagnosis=None) for one in others])
    assert parameters_of(plain) == parameters_of(diagnosed)
    assert same_arrays(plain.state().arrays, diagnosed.state().arrays)
    diagnosis = others[-2].diagnosis
    assert set(diagnosis.update_ratios) == set(diagnosed.model.parameters)
    assert all(0.0 <= ratio < 1.0 for ratio in diagnosis.update_ratios.values())
    assert all(norms[0] == 1.0 and math.isfinite(sum(norms)) for norms in diagnosis.gradient_norms.values())


def test_the_numbers_of_an_unread_layer_are_not_drawn_twice():
    """The generator of a diagnosed training stands where that of the other stands, after each step."""
    one, other = make_trainer(), make_trainer(diagnose_every=1)
    for _ in zip(one.run(4), other.run(4), strict=True):
        assert one.model.rng.bit_generator.state == other.model.rng.bit_generator.state


@pytest.mark.parametrize("value", [0, -1])
def test_an_interval_below_1_is_refused(value):
    with pytest.raises(ValueError, match=r"^diagnose_every: "):
        make_trainer(diagnose_every=value)


# --- warnings ---

LSTM, RNN = fr.LSTM(2, 3), fr.RNN(2, 3)


def record_of(step, norm=1.0, horizon=None, growth=1.0, window=100):
    diagnosis = None
    if horizon is not None:
        norms = {"l0": (1.0, 1e-3, 1e-6), "l1": (1.0, 1e-5, growth if growth > 1.0 else 1e-6)}
        diagnosis = Diagnosis({"w": 1e-3}, (1, horizon, window), norms)
    return Record(step, 0.1, 2.0, norm, 1000.0, 0.01, diagnosis=diagnosis)


def watched(records, rnn=RNN, clip_norm=5.0):
    watch, found = GradientWatch(), []
    for record in records:
        watch, warnings = watch.observed(record, rnn, clip_norm, clipped=clip_norm is not None)
        watch = GradientWatch.from_json(json.loads(json.dumps(watch.to_json())))  # as a resumed training
        found += warnings
    return found


def diagnoses(horizons, every=250, **options):
    return [record_of(max(every * i, 1), horizon=horizon, **options) for i, horizon in enumerate(horizons)]


def test_gradients_that_vanish_for_long_are_told_once():
    (warning,) = watched(diagnoses([5] * 8))
    assert (warning.about, warning.step) == ("vanishing_gradients", 750)
    assert str(warning) == (
        "gradients vanish: less than 1/1000 is left after 5 of the 100 steps back, so hardly anything "
        "further back is learnt; try an LSTM or GRU, orthogonal or identity recurrent weights or a shorter "
        "window, which costs less and loses little"
    )
    (warning,) = watched(diagnoses([5] * 8), LSTM)
    assert warning.advice[0] == "a larger bias of the forget gate"


@pytest.mark.parametrize(
    "horizons", [[5, 5, 5], [10] * 20, [5, 5, 5, 40] * 6], ids=["soon", "not so few", "with breaks"]
)
def test_a_network_that_sees_little_for_a_while_is_not_told(horizons):
    assert not watched(diagnoses(horizons))


def test_the_short_rest_of_a_text_at_an_epochs_end_counts_neither_way():
    records = diagnoses([5] * 8)
    for i in (1, 3, 4):
        records[i] = record_of(250 * i, horizon=4, window=4)  # seen whole, but less than a tenth of 100 steps
    (warning,) = watched(records)
    assert warning.step == 1500
    records[5] = record_of(1250, horizon=11, window=11)
    (warning,) = watched(records[:8] + diagnoses([5] * 11)[8:])
    assert warning.step == 2250


def test_frequent_diagnoses_do_not_warn_before_500_steps():
    (warning,) = watched(diagnoses([5] * 80, every=10))
    assert warning.step == 510


def test_gradients_that_grow_are_told_where_nothing_clips():
    records = [record_of(1, horizon=50, growth=200.0)]
    (warning,) = watched(records, clip_norm=None)
    assert warning.about == "exploding_gradients"
    assert "clipping the gradient's norm" in warning.advice
    assert not watched(records, clip_norm=5.0)


def test_a_norm_far_above_the_usual_is_told_where_nothing_clips():
    records = [record_of(step, norm=1.5 if step % 2 else 0.5) for step in range(1, 40)]
    records += [record_of(40, norm=15.0), record_of(41, norm=200.0), record_of(42, norm=1e5)]
    (warning,) = watched(records, clip_norm=None)
    assert warning.step == 41
    assert warning.message == "gradients explode: their norm is 200, usually 0.94, and nothing clips them"
    assert not watched(records, clip_norm=5.0)


def test_norms_far_above_the_limit_in_most_steps_are_told():
    usual = [record_of(step, norm=60.0 if step % 3 == 0 else 1.0) for step in range(1, 300)]
    assert not watched(usual, clip_norm=5.0)
    often = [record_of(step, norm=1.0 if step % 3 == 0 else 60.0) for step in range(1, 300)]
    (warning,) = watched(often, clip_norm=5.0)
    assert warning.message == "gradients explode: in most steps their norm is more than 10 times the limit 5"
    assert "clipping the gradient's norm" not in warning.advice
    assert warning.step > 50


def warnings_of(trainer, steps):
    return [warning for record in trainer.run(steps) for warning in record.warnings]


def scaled(model, factor):
    with model.parameters.edit() as views:
        for name, view in views.items():
            if "weight_hh" in name:
                view *= factor
    return model


def test_a_vanilla_network_with_small_weights_and_a_long_window_is_warned_of():
    model = scaled(make_model("rnn", num_layers=1, dropout=0.0), 0.2)
    trainer = Trainer(model, ChunkedText(IDS, 2, 150), SGD(model, 0.01), clip_norm=5.0, diagnose_every=170)
    (warning,) = warnings_of(trainer, 520)
    assert (warning.about, warning.step) == ("vanishing_gradients", 510)


def test_a_gated_network_is_not_warned_of():
    model = make_model("lstm", num_layers=1, dropout=0.0, hidden_size=20)
    data = ChunkedText(IDS, 4, 64)
    assert not warnings_of(Trainer(model, data, Adam(model, 3e-3), clip_norm=5.0, diagnose_every=100), 600)


def test_a_network_that_explodes_is_warned_of_before_it_diverges():
    model = scaled(make_model("rnn", nonlinearity="relu", num_layers=1, dropout=0.0, hidden_size=32), 4.0)
    trainer = Trainer(model, ChunkedText(IDS, 4, 50), SGD(model, 0.5), diagnose_every=100)
    found = []

    def train():
        for record in trainer.run(400):
            found.extend(record.warnings)

    with pytest.raises(TrainingDiverged):
        train()
    assert found[0].about == "exploding_gradients"
    assert found[0].step <= trainer.step


# --- the records ---


@pytest.mark.parametrize("with_loss", [True, False])
def test_a_record_survives_json(with_loss):
    warning = TrainingWarning("vanishing_gradients", 7, "gradients vanish", ("one thing", "another"))
    diagnosis = Diagnosis({"w": math.inf, "b": 0.25}, (1, 2), {"l0": (1.0, 0.5)}, {"l0": {"h": 0.5}})
    record = Record(7, 0.5, 2.0, 1.0, 1e3, 0.1, 2.5 if with_loss else None, diagnosis, (warning,))
    values = json.loads(json.dumps(record.to_json(), allow_nan=False))
    assert Record.from_json(values) == record
    assert values["warnings"][0] == {
        "kind": "warning", "about": "vanishing_gradients", "step": 7, "message": "gradients vanish",
        "advice": ["one thing", "another"],
    }  # fmt: skip
    assert (values["diagnosis"]["horizon"], values["diagnosis"]["growth"]) == (2.0, 1.0)
    assert set(replace(record, diagnosis=None, warnings=()).to_json()) == set(values) - {
        "diagnosis",
        "warnings",
    }


def test_an_interrupted_evaluation_keeps_the_diagnosis_and_the_warning(monkeypatch):
    def diverging():
        model = scaled(make_model("rnn", dropout=0.0), 8.0)
        return Trainer(
            model, ChunkedText(IDS[:3000], 4, 20), SGD(model, 0.01),
            validation=fr.train.Validation(IDS[3000:], every=1), diagnose_every=1,
        )  # fmt: skip

    straight, half, again = diverging(), diverging(), diverging()
    expected = list(straight.run(3))
    assert expected[0].diagnosis is not None
    assert expected[0].warnings[0].about == "exploding_gradients"
    half._make_step()  # an interrupt comes before its validation
    state = half.state()
    again.model.load_state_dict(half.model.state_dict())
    again.restore(TrainingState(json.loads(json.dumps(state.values, allow_nan=False)), state.arrays))
    assert again.unfinished
    assert without_time(again.run(3)) == without_time(expected)
    assert sum(len(record.warnings) for record in expected) == 1


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("diagnosis", "lags"), [], "expected a number for each of the lags"),
        (("diagnosis", "lags"), [1, 2, 3], "expected a number for each of the lags"),
        (("diagnosis", "gradient_norms"), {"l0": [1.0, "x"]}, r"gradient_norms.l0\[1\]"),
        (("diagnosis", "update_ratios"), {"w": -1.0}, "update_ratios.w"),
        (("diagnosis", "saturation"), {"l0": {"i": 1.5}}, "saturation.l0.i"),
        (("warnings",), [{"kind": "warning"}], "about: missing"),
        (("warnings",), 3, "warnings: expected a list"),
    ],
)
def test_a_damaged_diagnosis_in_a_file_is_refused(place, value, message):
    trainer = make_trainer(diagnose_every=1, every=1)
    trainer._make_step()
    state = trainer.state()
    values = json.loads(json.dumps(state.values))
    inner = values["unfinished"]
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(ValueError, match=message):
        make_trainer().restore(TrainingState(values, state.arrays))
