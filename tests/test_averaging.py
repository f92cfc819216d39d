"""Parameter averaging: formulas, when it begins, and that training with it can be resumed."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn import ChunkedText, LanguageModel
from fastrnn.train import (
    SGD,
    ExponentialAverage,
    NonMonotonicAverage,
    Trainer,
    TrainingState,
    Validation,
    evaluate,
    load_checkpoint,
    save_checkpoint,
)
from training_cases import IDS, VOCABULARY, make_model, parameters_of, same_arrays, without_time

AVERAGES = {
    "exponential": lambda model: ExponentialAverage(model, 0.9),
    "exponential-cold": lambda model: ExponentialAverage(model, 0.9, warmup=False),
    "non-monotonic": lambda model: NonMonotonicAverage(model, 1),
}


def tiny(dtype="float32", seed=0):
    return LanguageModel(3, hidden_size=5, num_layers=1, dtype=dtype, seed=seed)


def move(model, step):
    """Change the parameters as an optimizer step would, and return them."""
    with model.parameters.edit() as views:
        views.flat += np.random.default_rng(step).normal(size=views.flat.size)
    return model.parameters.flat.astype(np.float64)


def tolerance(model):
    return 1e-12 if model.dtype == np.float64 else 1e-5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("warmup", [True, False])
def test_the_exponential_average_is_its_formula(dtype, warmup):
    model = tiny(dtype)
    average = ExponentialAverage(model, 0.8, warmup=warmup)
    expected = model.parameters.flat.astype(np.float64)
    for step in range(60):
        decay = min(0.8, (1 + step) / (10 + step)) if warmup else 0.8
        expected = decay * expected + (1 - decay) * move(model, step)
        average.update()
        flat = average.averaged.parameters.flat
        np.testing.assert_allclose(flat, expected, rtol=tolerance(model), atol=tolerance(model))
    assert average.updates == 60


def algorithm_1(losses, patience):
    """Return the number of evaluations before averaging begins, by the authors' condition word for word."""
    logs = []
    for v in losses:
        if len(logs) > patience and v > min(logs[:-patience]):
            return len(logs) + 1
        logs.append(v)
    return None


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0]), max_size=25), st.integers(1, 6))
def test_averaging_begins_where_the_papers_does(losses, patience):
    average = NonMonotonicAverage(tiny(), patience)
    began = None
    for index, loss in enumerate(losses, 1):
        average.observe(loss)
        if average.started and began is None:
            began = index
    assert began == algorithm_1(losses, patience)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_non_monotonic_average_is_the_mean_since_it_began(dtype):
    model = tiny(dtype)
    average = NonMonotonicAverage(model, patience=1)
    history = []
    for step in range(40):
        history.append(move(model, step))
        average.update()
        if step < 10:
            assert average.averaged is model
        if step in (
            0,
            5,
            10,
            15,
        ):  # not lower at 5 than at 0, but all losses except the last count
            average.observe({0: 1.0, 5: 2.0, 10: 2.0, 15: 9.0}[step])
            history = history[-1:] if step == 10 else history
    expected = np.mean(history, axis=0)
    assert average.updates == len(history) == 30
    flat = average.averaged.parameters.flat
    np.testing.assert_allclose(flat, expected, rtol=tolerance(model), atol=tolerance(model))


@pytest.fixture(params=AVERAGES)
def average(request):
    """Return a started average of a model that has changed since."""
    model = make_model()
    average = AVERAGES[request.param](model)
    for step in range(5):
        move(model, step)
        average.update()
        average.observe(1.0 + step)
    assert average.started
    return average


def test_applied_averages_are_in_the_model_and_then_out_again(average):
    model = average.model
    own = model.parameters.flat.tobytes()
    before = evaluate(model, IDS[:200])
    with average.applied():
        assert model.parameters.flat.tobytes() == average.averaged.parameters.flat.tobytes() != own
        assert evaluate(model, IDS[:200]) == evaluate(average.averaged, IDS[:200]) != before
    assert model.parameters.flat.tobytes() == own
    assert evaluate(model, IDS[:200]) == before
    with pytest.raises(ZeroDivisionError), average.applied():
        1 / 0  # noqa: B018 - an exception in the middle
    assert model.parameters.flat.tobytes() == own


def test_at_the_end_a_model_can_become_its_average(average):
    other = make_model(seed=1)
    for model in (other, average.model):
        average.copy_to(model)
        assert model.parameters.flat.tobytes() == average.averaged.parameters.flat.tobytes()
    with pytest.raises(ValueError, match="expected"):
        average.copy_to(make_model(hidden_size=7))


def test_an_average_that_has_not_begun_is_the_model_itself():
    model = tiny()
    average = NonMonotonicAverage(model)
    own = model.parameters.flat.tobytes()
    assert average.averaged is model
    with average.applied():
        assert model.parameters.flat.tobytes() == own
    average.copy_to(model)
    assert model.parameters.flat.tobytes() == own
    assert average.state().arrays == {}


@pytest.mark.parametrize("name", AVERAGES)
@pytest.mark.parametrize("cut", [0, 2, 7])
def test_the_state_carries_an_average_on_to_the_same_bits(name, cut):
    one, two = tiny(), tiny()
    first, second = AVERAGES[name](one), AVERAGES[name](two)
    for step in range(12):
        if step == cut:
            state = first.state()
            two.load_state_dict(one.state_dict())
            second.restore(TrainingState(json.loads(json.dumps(state.values)), state.arrays))
        for average in (first, second):
            move(average.model, step)
            average.update()
            average.observe(float(step))
    assert first.started
    assert second.state().values == first.state().values
    assert same_arrays(second.state().arrays, first.state().arrays)


def test_a_state_is_a_copy(average):
    before = average.averaged.parameters.flat.tobytes()
    average.state().arrays["parameters"][...] = 7.0
    assert average.averaged.parameters.flat.tobytes() == before


@pytest.mark.parametrize("change", ["kind", "none", "shape", "dtype"])
def test_a_state_that_does_not_fit_changes_nothing(average, change):
    state, before = average.state(), average.state()
    if change == "kind":
        state.values["kind"] = "Other"
    elif change == "none":
        del state.arrays["parameters"]
    elif change == "shape":
        state.arrays["parameters"] = np.ones(3, np.float32)
    else:
        state.arrays["parameters"] = state.arrays["parameters"].astype(np.float64)
    state.values["updates"] += 1
    with pytest.raises(ValueError, match="average: expected"):
        average.restore(state)
    assert average.state().values == before.values
    assert same_arrays(average.state().arrays, before.arrays)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda model: ExponentialAverage(model, 1.0), "decay"),
        (lambda model: ExponentialAverage(model, -0.1), "decay"),
        (lambda model: NonMonotonicAverage(model, 0), "patience"),
    ],
)
def test_options_out_of_range_are_refused(make, name):
    with pytest.raises(ValueError, match=f"^{name}: "):
        make(tiny())


# --- in training ---


def averaging_trainer(name, model=None, rate=1.0):
    """Return a trainer whose validation loss soon rises, so that averages of both kinds begin."""
    model = model or make_model()
    return Trainer(
        model,
        ChunkedText(IDS[:3000], 4, 20),
        SGD(model, rate),
        validation=Validation(IDS[3000:], every=3, batch_size=3),
        average=AVERAGES[name](model),
    )


@pytest.mark.parametrize("name", AVERAGES)
def test_averaging_changes_no_step_of_the_training(name):
    trainer, plain = averaging_trainer(name), averaging_trainer(name)
    plain.average = None
    for one, two in zip(trainer.run(40), plain.run(40), strict=True):
        assert (one.loss, one.gradient_norm) == (two.loss, two.gradient_norm)
    assert parameters_of(trainer) == parameters_of(plain)


@pytest.mark.parametrize("name", AVERAGES)
def test_validation_is_that_of_the_average(name):
    trainer = averaging_trainer(name, rate=8.0)
    began = 0
    for record in trainer.run(40):
        if record.valid_loss is not None:
            if began:
                assert record.valid_loss != evaluate(trainer.model, IDS[3000:], batch_size=3).loss
            assert record.valid_loss == trainer.evaluate().loss
            began += trainer.average.started
    assert began > 1
    assert trainer.evaluated is trainer.average.averaged
    assert trainer.average.averaged is not trainer.model


@pytest.mark.parametrize("name", AVERAGES)
def test_an_average_has_seen_every_step(name):
    trainer = averaging_trainer(name, rate=8.0)
    by_hand = AVERAGES[name](trainer.model)
    # Nothing can be inspected between a step and its validation, so the check sees each step a moment later.
    for record in trainer.run(40):
        by_hand.update()
        if record.valid_loss is not None:
            by_hand.observe(record.valid_loss)
    assert by_hand.started
    assert by_hand.state().values == trainer.average.state().values
    assert same_arrays(by_hand.state().arrays, trainer.average.state().arrays)


@settings(max_examples=20)  # three trainings each
@given(st.sampled_from(list(AVERAGES)), st.integers(0, 20), st.integers(0, 10))
def test_resuming_from_a_file_goes_on_with_the_same_bits(tmp_path_factory, name, first, more):
    path = tmp_path_factory.mktemp("resume") / "model.safetensors"
    straight, half = averaging_trainer(name, rate=8.0), averaging_trainer(name, rate=8.0)
    expected = list(straight.run(first + more))
    records = list(half.run(first))
    save_checkpoint(path, half.model, VOCABULARY, half.state())
    checkpoint = load_checkpoint(path)
    again = averaging_trainer(name, checkpoint.model, rate=8.0)
    again.restore(checkpoint.training)
    records += again.run(first + more)
    assert without_time(records) == without_time(expected)
    assert parameters_of(again) == parameters_of(straight)
    assert again.evaluated.parameters.flat.tobytes() == straight.evaluated.parameters.flat.tobytes()


def test_the_best_model_on_disk_is_the_one_that_was_evaluated(tmp_path):
    path, trainer = tmp_path / "best.safetensors", averaging_trainer("exponential")
    for record in trainer.run(9):
        if record.valid_loss is not None and trainer.best_step == trainer.step:
            save_checkpoint(path, trainer.evaluated, VOCABULARY)
    best = load_checkpoint(path).model
    assert evaluate(best, IDS[3000:], batch_size=3).loss == trainer.best_loss


def test_a_training_is_resumed_with_its_own_kind_of_average():
    trainers = [averaging_trainer("exponential") for _ in range(3)]
    trainers[1].average = None
    trainers[2].average = NonMonotonicAverage(trainers[2].model)
    for trainer in trainers:
        list(trainer.run(4))
    for trainer in trainers:
        for other in trainers:
            if other is not trainer:
                before = trainer.state()
                with pytest.raises(ValueError, match="average: the training has"):
                    trainer.restore(other.state())
                assert trainer.state().values == before.values


def test_the_average_of_another_model_is_refused():
    model = make_model()
    with pytest.raises(ValueError, match="average: expected one of this trainer's model"):
        Trainer(model, ChunkedText(IDS, 4, 20), average=ExponentialAverage(make_model()))
