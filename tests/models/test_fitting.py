"""The training of models with ``fit``: validation, early stop, Ctrl-C, failures that lose nothing."""

import io
import sys

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.models import SequenceClassifier
from fastrnn.models.base import fitting
from fastrnn.models.base.examples import Examples
from fastrnn.models.base.fitting import mean_loss, split_examples
from fastrnn.train import TrainingDiverged
from fastrnn.train.distributed import OneProcess

WORDS = ["lili", "mimi", "nini", "kiki", "titi", "lulu", "mumu", "nunu", "kuku", "tutu"]
VOWELS = ["i"] * 5 + ["u"] * 5
SMALL = {"hidden_size": 6, "epochs": 6, "learning_rate": 0.02, "random_state": 0}


def small(**settings):
    return SequenceClassifier(**{**SMALL, **settings})


def flat(model):
    return model.network_.parameters.flat.copy()


def test_the_history_has_an_entry_for_each_epoch():
    model = small().fit(WORDS, VOWELS, validation=(["lala", "kiku"], ["i", "u"]))
    assert model.n_iter_ == 6
    assert set(model.history_) == {
        "loss", "learning_rate", "gradient_norm", "gradient_norm_max", "seconds", "validation_loss",
        "validation_score",
    }  # fmt: skip
    assert all(len(values) == 6 for values in model.history_.values())
    assert not {"validation_loss", "validation_score"} & set(small().fit(WORDS, VOWELS).history_)


def test_the_history_has_the_mean_and_the_largest_norm_of_the_gradients_before_clipping(monkeypatch):
    norms = []

    def watched(*arguments):
        norms.append(update(*arguments))
        return norms[-1]

    update = fitting.clipped_update
    monkeypatch.setattr(fitting, "clipped_update", watched)
    history = small(epochs=2, batch_size=3, clip_norm=1e-3).fit(WORDS, VOWELS).history_
    epochs = np.split(np.array(norms), 2)
    assert min(norms) > 1e-3
    assert history["gradient_norm"] == pytest.approx([np.mean(epoch) for epoch in epochs])
    assert history["gradient_norm_max"] == [max(epoch) for epoch in epochs]


def test_the_cosine_schedule_ends_near_0_and_the_constant_one_stays():
    rates = small(schedule="cosine", epochs=20).fit(WORDS, VOWELS).history_["learning_rate"]
    assert rates[0] == max(rates) == 0.02
    assert rates[-1] < 0.001
    assert set(small(schedule="constant").fit(WORDS, VOWELS).history_["learning_rate"]) == {0.02}


def test_the_loss_of_an_epoch_is_the_mean_over_all_examples_whatever_the_batches():
    settings = {"learning_rate": 1e-30, "unknown_alpha": 0.0, "epochs": 1, "batch_size": 3}
    model = small(**settings, class_weight={"u": 3.0}).fit(WORDS, VOWELS)
    whole = model._examples(WORDS, VOWELS)
    expected = model.network_.loss(whole.batch(np.arange(10)))
    assert model.history_["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert mean_loss(model.network_, whole, 4, OneProcess()) == pytest.approx(expected, rel=1e-5)


def scores(monkeypatch, values):
    """Let the validation scores be these; return the parameters after each epoch."""
    seen = []

    def score(model, examples, ranks):
        seen.append(flat(model))
        return values[len(seen) - 1]

    monkeypatch.setattr(SequenceClassifier, "_score_examples", score)
    return seen


def test_early_stopping_keeps_the_parameters_of_the_best_score(monkeypatch):
    seen = scores(monkeypatch, [0.1, 0.7, 0.5, 0.7, 0.6, 0.9])
    model = small(early_stopping=True, n_iter_no_change=3).fit(WORDS, VOWELS, validation=(WORDS, VOWELS))
    assert model.n_iter_ == 5  # an equal score is no rise
    assert model.history_["validation_loss"][3] < model.history_["validation_loss"][1]
    np.testing.assert_array_equal(flat(model), seen[3])  # of equal scores the lower loss
    network = model._make_network(np.random.default_rng(0))
    network.load_state_dict(model.network_.state_dict())
    batch = model._examples(WORDS, VOWELS).batch(np.arange(10))
    assert network.loss(batch) == model.network_.loss(batch)  # also in what the layers keep packed


def test_without_early_stopping_the_last_parameters_stay(monkeypatch):
    seen = scores(monkeypatch, [0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    model = small(n_iter_no_change=1).fit(WORDS, VOWELS, validation=(WORDS, VOWELS))
    assert model.n_iter_ == 6
    np.testing.assert_array_equal(flat(model), seen[5])


def stop_in_epoch(monkeypatch, number, error=KeyboardInterrupt):
    run = fitting._Loop.run_epoch

    def stopped(self, epoch):
        if epoch == number:
            raise error
        run(self, epoch)

    monkeypatch.setattr(fitting._Loop, "run_epoch", stopped)


def test_ctrl_c_after_an_epoch_keeps_what_there_is_with_a_warning(monkeypatch):
    stop_in_epoch(monkeypatch, 2)
    with pytest.warns(UserWarning, match="training interrupted after epoch 2 of 6"):
        model = small().fit(WORDS, VOWELS)
    assert model.n_iter_ == len(model.history_["loss"]) == 2
    assert len(model.predict(WORDS)) == 10


def test_ctrl_c_in_the_first_epoch_is_raised_and_the_model_is_as_before(monkeypatch):
    model, fresh = small().fit(WORDS, VOWELS), small()
    before, history = flat(model), model.history_
    stop_in_epoch(monkeypatch, 0)
    for each in (model, fresh):
        with pytest.raises(KeyboardInterrupt):
            each.fit(WORDS, VOWELS)
    np.testing.assert_array_equal(flat(model), before)
    assert model.history_ is history
    assert not fresh.__sklearn_is_fitted__()


@pytest.mark.parametrize(
    ("X", "y", "settings"),
    [
        (["a", ""], ["x", "y"], {}),
        (["a", "b"], ["x"], {}),
        (["a", "b"], ["x", "y"], {"pooling": "sum"}),
        (["a", "b"], ["x", "y"], {"early_stopping": True}),
    ],
)
def test_a_failed_fit_leaves_the_old_model(X, y, settings):
    model = small().fit(WORDS, VOWELS)
    before, expected = flat(model), model.predict_proba(WORDS)
    model.set_params(**settings)
    with pytest.raises(ValueError, match=r"\w"):
        model.fit(X, y)
    np.testing.assert_array_equal(flat(model), before)
    np.testing.assert_array_equal(model.predict_proba(WORDS), expected)
    assert model.classes_.tolist() == ["i", "u"]


def test_a_training_that_fails_at_any_moment_leaves_the_old_model(monkeypatch):
    model = small().fit(WORDS, VOWELS)
    before = flat(model)
    stop_in_epoch(monkeypatch, 3, MemoryError("no more"))
    with pytest.raises(MemoryError):
        model.fit(WORDS[::-1], VOWELS)
    with pytest.raises(ValueError, match="got an empty sequence"):
        model.partial_fit(["a", ""], ["i", "u"])
    monkeypatch.undo()
    with pytest.raises(TrainingDiverged):
        model.set_params(learning_rate=1e300, clip_norm=None, epochs=5).fit(WORDS, VOWELS)
    np.testing.assert_array_equal(flat(model), before)


def test_a_refit_forgets_everything_learned_before():
    model = small().fit([[0.5, 1.0], [1.5]], [{1}, {2}])
    model.fit(WORDS, VOWELS)
    assert not hasattr(model, "n_features_in_")
    assert not model.multilabel_
    np.testing.assert_array_equal(flat(model), flat(small().fit(WORDS, VOWELS)))


def test_each_class_has_its_share_of_a_split_and_one_example_in_both_parts_at_least():
    strata = np.array([0] * 40 + [1] * 10 + [2] * 2)
    parts = split_examples(Examples([1] * 52, lambda rows: rows, strata), 0.2, np.random.default_rng(0))
    training, held_out = (np.bincount(part.strata).tolist() for part in parts)
    assert (training, held_out) == ([32, 8, 1], [8, 2, 1])
    rows = [part.batch(np.arange(len(part))).tolist() for part in parts]
    assert sorted(rows[0] + rows[1]) == list(range(52))


def test_a_class_with_one_example_cannot_be_split_and_the_message_says_what_to_do():
    X, y = [*WORDS, "lolo"], [*VOWELS, "o"]
    with pytest.raises(ValueError, match=r"the class 'o' has 1; add one, leave it out, pass"):
        small(early_stopping=True).fit(X, y)
    small(early_stopping=True, epochs=1).fit(X, y, validation=(WORDS, VOWELS))
    with pytest.raises(ValueError, match=r"X: expected at least 2 sequences for a validation split, got 1"):
        split_examples(Examples([3], lambda rows: rows), 0.1, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (WORDS, r"validation: expected a pair \(X, y\), got list"),
        ((WORDS, VOWELS[:3]), r"validation: y: expected 10 entries, .* got 3: X\[3\] has none"),
        (([], []), "validation: X: expected at least one sequence"),
        ((["a"], ["o"]), r"validation: y\[0\]: expected a label seen in training"),
    ],
)
def test_wrong_validation_data_are_said_to_be_those(validation, message):
    with pytest.raises((ValueError, TypeError), match=message):
        small().fit(WORDS, VOWELS, validation=validation)


def test_a_progress_bar_is_drawn_when_asked_for(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    small().fit(WORDS, VOWELS)
    assert stream.getvalue() == ""
    small(verbose=True).fit(WORDS, VOWELS, validation=(WORDS, VOWELS))
    assert "6/6" in stream.getvalue()
    assert "validation" in stream.getvalue()


def test_the_network_is_initialized_by_the_given_function_before_it_is_trained(tmp_path):
    seen = []

    def start(network):
        fr.init.identity(network)
        seen.append(network.encoder.rnn.parameters["weight_hh_l0"].copy())

    settings = {"cell": "rnn", "bidirectional": False, "learning_rate": 1e-30, "initialize": start}
    for model in (small(**settings).fit(WORDS, VOWELS), small(**settings).partial_fit(WORDS, VOWELS)):
        recurrent = model.network_.encoder.rnn.parameters["weight_hh_l0"]
        assert np.allclose(recurrent, np.eye(6), rtol=0, atol=1e-20)
    model.partial_fit(WORDS, VOWELS)  # a network that is trained already
    assert len(seen) == 2

    model.save(tmp_path / "model.safetensors")
    loaded = SequenceClassifier.load(tmp_path / "model.safetensors")
    assert loaded.initialize is None
    assert np.array_equal(flat(loaded), flat(model))


def test_a_function_that_fails_leaves_the_model_as_it_was():
    model = small().fit(WORDS, VOWELS)
    before = flat(model)
    model.set_params(initialize=fr.init.identity)  # of an LSTM
    with pytest.raises(ValueError, match="module: expected RNN layers, got LSTM"):
        model.fit(WORDS, VOWELS)
    assert np.array_equal(flat(model), before)


def test_what_initializes_is_a_function():
    with pytest.raises(TypeError, match="initialize: expected a function, got str"):
        small(initialize="identity").fit(WORDS, VOWELS)


def test_partial_fit_after_a_second_fit_trains_the_new_network():
    X, y = ["lili", "mimi", "lulu", "mumu"] * 2, ["i", "i", "u", "u"] * 2
    model = fr.models.SequenceClassifier(hidden_size=4, epochs=1, random_state=0).fit(X, y)
    model.partial_fit(X, y).fit(X, y)
    before = model.predict_proba(X)
    assert (model.partial_fit(X, y).predict_proba(X) != before).any()
