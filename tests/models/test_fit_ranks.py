"""``fit`` on several ranks: the bits of one process with as many shards, for every model and loss."""

import threading
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from fastrnn.models import EchoStateNetwork, SequenceClassifier
from fastrnn.models.base import fitting
from fastrnn.models.base.batch_gradients import BatchGradients
from fastrnn.models.base.same_data import content_hash
from fastrnn.train.distributed import OneProcess
from fit_cases import CASES, CLASSES, SETTINGS, TEXTS, new_model
from thread_ranks import run_ranks

EVERY = pytest.mark.parametrize("name", CASES)


def flat(model):
    return model.network_.parameters.flat.copy()


def history_of(model):
    return {name: values for name, values in model.history_.items() if name != "seconds"}


def predictions_of(model, X):
    return model.predict(3) if hasattr(model, "one_step_predictions") else model.predict(X)


def assert_equal_models(one, other, X):
    np.testing.assert_array_equal(flat(one), flat(other))
    np.testing.assert_equal(history_of(one), history_of(other))
    np.testing.assert_equal(predictions_of(one, X), predictions_of(other, X))


@EVERY
def test_the_bits_depend_on_the_shards_and_not_on_the_ranks(name):
    def fit(ranks):
        model, X, y = new_model(name, early_stopping=True)
        return model.fit(X, y, validation=(X, y), ranks=ranks)

    [alone] = run_ranks(1, fit, shards=4)
    X = CASES[name][2]
    for count in (2, 4):
        for model in run_ranks(count, fit, shards=4):
            assert_equal_models(model, alone, X)
            assert model.history_["validation_score"]


@EVERY
@pytest.mark.parametrize("shards", [2, 3, 30])
def test_the_shards_have_the_gradients_and_the_loss_of_the_batch_with_its_dropout(name, shards):
    own = {"noise": 0.0, "time_mask": 0, "feature_mask": 0} if name == "transcripts" else {}
    model, X, y = new_model(name, dtype="float64", epochs=1, unknown_alpha=0.0, **own)
    network, examples = model.fit(X, y).network_, model._examples(X, y)
    random = network.rng.bit_generator.state
    rows = np.arange(len(examples))
    found = []
    for ranks in (OneProcess(), OneProcess(shards=shards)):
        network.rng.bit_generator.state = random
        loss = BatchGradients(network, examples, ranks).compute(rows, 7.0)
        found.append((loss, network.gradients.flat.copy()))
    (whole, expected), (summed, gradients) = found
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(gradients, expected, rtol=1e-9, atol=1e-12)
    assert summed.mean == pytest.approx(whole.mean, rel=1e-12)
    assert summed.weight == pytest.approx(whole.weight, rel=1e-12)


@pytest.mark.parametrize("name", [name for name in CASES if hasattr(CASES[name][0], "partial_fit")])
def test_partial_fit_has_the_same_bits_on_any_number_of_ranks(name):
    def fit(ranks):
        model, X, y = new_model(name)
        some = None if X is None else X[:9]
        return model.partial_fit(X, y, ranks=ranks).partial_fit(some, y[:9], ranks=ranks)

    [alone] = run_ranks(1, fit, shards=4)
    assert alone.n_iter_ == 2
    for model in run_ranks(2, fit, shards=4):
        assert_equal_models(model, alone, CASES[name][2])


@pytest.mark.parametrize("solve", [False, True])
def test_a_reservoir_is_trained_on_by_several_ranks(solve):
    x = np.sin(np.arange(160) * 0.3)[:, None]

    def fit(ranks):
        model = EchoStateNetwork(
            hidden_size=8, window=10, batch_size=5, epochs=2, solve_readout=solve, random_state=0
        )
        model.fit(x[:100], x[1:101]).unfreeze()
        return model.fit_further(x[:100], x[1:101], validation=(x[100:159], x[101:160]), ranks=ranks)

    [alone] = run_ranks(1, fit, shards=4)
    for count in (2, 4):
        for model in run_ranks(count, fit, shards=4):
            np.testing.assert_array_equal(flat(model), flat(alone))
            np.testing.assert_equal(history_of(model), history_of(alone))


def classifier(**changes):
    return SequenceClassifier(**{**SETTINGS, **changes})


def test_one_process_with_one_shard_takes_the_usual_way():
    usual, other = classifier().fit(TEXTS, CLASSES), classifier().fit(TEXTS, CLASSES, ranks=OneProcess())
    assert_equal_models(usual, other, TEXTS)
    sharded = classifier().fit(TEXTS, CLASSES, ranks=OneProcess(shards=2))
    assert not np.array_equal(flat(usual), flat(sharded))


@pytest.mark.parametrize("options", [{"reduction": "fastest"}, {"wire": "bfloat16"}], ids=str)
def test_all_ranks_have_the_same_model_whichever_way_gradients_are_added(options):
    models = run_ranks(3, lambda ranks: classifier().fit(TEXTS, CLASSES, ranks=ranks), **options)
    for model in models[1:]:
        assert_equal_models(model, models[0], TEXTS)
    [ordered, *_] = run_ranks(3, lambda ranks: classifier().fit(TEXTS, CLASSES, ranks=ranks))
    np.testing.assert_allclose(flat(models[0]), flat(ordered), atol=0.05)


def test_without_a_seed_all_ranks_use_that_of_rank_0():
    def fit(ranks):
        return classifier(random_state=None, early_stopping=True).fit(TEXTS, CLASSES, ranks=ranks)

    one, other = run_ranks(2, fit)
    assert_equal_models(one, other, TEXTS)


def test_the_ranks_have_the_seconds_of_rank_0():
    models = run_ranks(2, lambda ranks: classifier().fit(TEXTS, CLASSES, ranks=ranks))
    assert models[0].history_["seconds"] == models[1].history_["seconds"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"X": [*TEXTS[:-1], "abba"]}, "X"),
        ({"X": TEXTS[:-1], "y": CLASSES[:-1]}, "X"),
        ({"y": CLASSES[::-1]}, "y"),
        ({"validation": (TEXTS[:5], CLASSES[:5])}, "validation"),
        ({"learning_rate": 0.1}, "learning_rate"),
        ({"epochs": -1}, "epochs"),
        ({"random_state": np.random.default_rng(1)}, "random_state"),
        ({"initialize": lambda network: network.parameters._writable_flat().fill(0.1)}, "initial parameters"),
    ],
)
def test_what_differs_on_a_rank_is_named(changed, message):
    errors = []

    def fit(ranks):
        given = {
            "X": TEXTS, "y": CLASSES, "validation": None, "random_state": np.random.default_rng(0),
            "initialize": lambda network: None, **(changed if ranks.rank == 2 else {}),
        }  # fmt: skip
        X, y, validation = (given.pop(name) for name in ("X", "y", "validation"))
        try:
            classifier(**given).fit(X, y, validation=validation, ranks=ranks)
        except ValueError as error:
            errors.append(str(error))

    run_ranks(3, fit)
    assert len(errors) == 3
    assert {*errors} == {f"{message}: expected the same on all ranks, got another on rank 2"}


def test_verbose_may_differ_and_rank_0_alone_has_a_bar(capsys):
    pytest.importorskip("tqdm")
    run_ranks(2, lambda ranks: classifier(verbose=ranks.rank == 1).fit(TEXTS, CLASSES, ranks=ranks))
    assert not capsys.readouterr().err
    run_ranks(2, lambda ranks: classifier(verbose=True).fit(TEXTS, CLASSES, ranks=ranks))
    assert capsys.readouterr().err.count("| 0/2 ") == 1


def test_something_else_than_ranks_is_refused():
    with pytest.raises(TypeError, match=r"ranks: expected .*distributed.start\(\) or None, got int"):
        classifier().fit(TEXTS, CLASSES, ranks=4)


def signal_at(monkeypatch, rank_of_thread, chosen, step):
    """Let a rank note a signal after some of its steps; return the list of steps that ranks made."""
    made, update = [], fitting.clipped_update
    notes = {}

    @contextmanager
    def noting():
        yield notes.setdefault(rank_of_thread(), [])

    def watched(*arguments):
        norm = update(*arguments)
        made.append(rank_of_thread())
        if rank_of_thread() == chosen and made.count(chosen) == step:
            notes[chosen].append(2)
        return norm

    monkeypatch.setattr(fitting, "defer_interrupts", noting)
    monkeypatch.setattr(fitting, "clipped_update", watched)
    return made


@pytest.mark.parametrize("step", [8, 10])
def test_a_signal_on_one_rank_stops_all_after_the_same_step_with_one_warning(monkeypatch, step):
    numbers = threading.local()
    made = signal_at(monkeypatch, lambda: numbers.rank, 1, step)

    def fit(ranks):
        numbers.rank = ranks.rank
        return classifier(epochs=9).fit(TEXTS, CLASSES, ranks=ranks)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        models = run_ranks(3, fit)
    # An epoch has 5 steps. After the last one of an epoch, the epoch counts.
    assert [made.count(rank) for rank in range(3)] == [step] * 3
    assert [model.n_iter_ for model in models] == [step // 5] * 3
    assert [str(one.message) for one in caught] == [f"training interrupted after epoch {step // 5} of 9"]
    for model in models[1:]:
        assert_equal_models(model, models[0], TEXTS)


def test_a_signal_in_the_first_epoch_is_raised_on_all_ranks(monkeypatch):
    numbers, raised = threading.local(), []
    signal_at(monkeypatch, lambda: numbers.rank, 0, 2)

    def fit(ranks):
        numbers.rank = ranks.rank
        try:
            classifier().fit(TEXTS, CLASSES, ranks=ranks)
        except KeyboardInterrupt:
            raised.append(ranks.rank)

    run_ranks(2, fit)
    assert sorted(raised) == [0, 1]


def test_a_hash_of_data_is_that_of_their_content():
    same = [
        (["a", "b"], ("a", "b")),
        ([{"x", "y", "z"}], [{"z", "y", "x"}]),
        (np.arange(3), np.arange(3).copy()),
        ([np.ones(2), None], [np.ones(2), None]),
        ({"a": [1.5], "b": 2}, {"b": 2, "a": [1.5]}),
        (np.array(["a", None], object), ["a", None]),
        (np.random.default_rng(1), np.random.default_rng(1)),
        (memoryview(b"ab"), np.frombuffer(b"ab", np.uint8)),
    ]
    for one, other in same:
        assert content_hash(one) == content_hash(other)
    different = [
        ["ab"], ["a", "b"], [["a"], "b"], [["a", "b"]], [1, 2], [1.0, 2], np.arange(3), np.arange(3.0),
        np.zeros((2, 2)), np.zeros(4), None, "None", [], [[]], {"a"}, ["a"], {"a": 1},
        np.random.default_rng(0),
    ]  # fmt: skip
    assert len({*map(content_hash, different)}) == len(different)
