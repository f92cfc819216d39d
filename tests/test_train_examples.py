"""Training networks of one's own on examples: batches, losses, validation, averages, files."""

import functools
import itertools

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.data import ExampleBatches
from fastrnn.train import (
    SGD,
    Adam,
    CheckpointError,
    CosineSchedule,
    ExponentialAverage,
    PlateauSchedule,
    Trainer,
    TrainingDiverged,
    TrainingState,
    Validation,
    evaluate_examples,
    train,
)
from test_composite import Classifier
from training_cases import IDS, make_model, make_trainer, parameters_of, same_arrays, without_time

mean_squared_error, cross_entropy = fr.losses.mean_squared_error, fr.losses.softmax_cross_entropy


def make_ragged(count=60, *, seed=0, dtype=np.float32):
    """Return sequences of numbers, and the running mean at each step."""
    rng = np.random.default_rng(seed)
    x = [rng.normal(size=(steps, 2)).astype(dtype) for steps in rng.integers(1, 9, size=count)]
    return x, [np.cumsum(one.sum(1)) / np.arange(1, len(one) + 1) for one in x]


def make_chain(*, dropout=0.0, dtype="float32", batch_first=False):
    options = {"dtype": dtype, "batch_first": batch_first}
    rnn = fr.GRU(2, 7, num_layers=2, dropout=dropout, seed=1, **options)
    return fr.Composite(rnn=rnn, fc=fr.Head(7, [5], 1, dropout=dropout, dtype=dtype, seed=2))


def running_mean_loss(y, targets, lengths=None):
    return mean_squared_error(y, targets[..., None], lengths=lengths)


def make_full_trainer(*, every=7):
    """Make a trainer that uses every part of a step."""
    model = make_chain(dropout=0.3)
    data, valid = (ExampleBatches(*make_ragged(seed=seed), 8, seed=seed) for seed in (0, 1))
    return Trainer(
        model,
        data,
        Adam(model, 5e-3),
        loss=running_mean_loss,
        schedule=PlateauSchedule(5e-3, warmup=3),
        clip_norm=1.0,
        clip_value=0.5,
        validation=Validation(valid, every=every),
        average=ExponentialAverage(model, 0.9),
        accumulate=2,
    )


# ---- batches


def test_a_batch_is_padded_and_has_the_lengths_of_its_rows():
    x, y = make_ragged(5)
    data = ExampleBatches(x, y, batch_size=5, seed=0)
    batch = data.batch(0)
    rows = [next(i for i, one in enumerate(x) if np.array_equal(one, row[:n])) for row, n in
            zip(batch.inputs.swapaxes(0, 1), batch.lengths, strict=True)]  # fmt: skip
    assert sorted(rows) == [0, 1, 2, 3, 4]
    for column, (row, steps) in enumerate(zip(rows, batch.lengths, strict=True)):
        assert np.array_equal(batch.targets[:steps, column], y[row])
        assert not batch.inputs[steps:, column].any()
        assert not batch.targets[steps:, column].any()
    assert batch.tokens == data.tokens == sum(map(len, x))


def test_an_epoch_has_every_example_once_in_an_order_of_the_seed_and_the_epoch():
    x = np.arange(20.0).reshape(20, 1, 1)
    data, same = (ExampleBatches(x, range(20), 6, seed=3) for _ in range(2))
    epochs = [np.concatenate([data.batch(4 * epoch + i).targets for i in range(4)]) for epoch in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(20))] * 3
    assert not np.array_equal(epochs[0], epochs[1])
    assert all(np.array_equal(data.batch(i).targets, same.batch(i).targets) for i in (11, 2, 7))
    assert np.array_equal(data.batch(5).inputs[0, :, 0], data.batch(5).targets)


def test_equal_lengths_need_no_lengths_and_integers_are_padded_with_minus_one():
    assert ExampleBatches(np.zeros((4, 3, 2)), np.zeros((4, 3)), 2).batch(0).lengths is None
    data = ExampleBatches([[1, 2, 3], [4]], [[1, -1, 0], [1]], 2, seed=0)
    batch = data.batch(0)
    assert sorted(batch.targets.T.tolist()) == [[1, -1, -1], [1, -1, 0]]
    assert sorted(batch.inputs.T.tolist()) == [[1, 2, 3], [4, 0, 0]]
    assert batch.tokens == 3
    assert repr(data) == "<ExampleBatches: 2 sequences of 1 to 3 steps, 1 batches an epoch>"


def test_targets_are_of_steps_or_of_sequences():
    x = np.zeros((4, 3, 2), np.float32)
    assert ExampleBatches(x, np.zeros((4, 3))).per_step
    assert not ExampleBatches(x, np.zeros((4, 5))).per_step
    assert not ExampleBatches(x, np.zeros((4, 3)), per_step=False).per_step
    assert ExampleBatches(x, np.zeros((4, 3)), per_step=False).batch(0).targets.shape == (4, 3)
    assert ExampleBatches(x, np.zeros((4, 3, 6)), batch_first=True).batch(0).targets.shape == (4, 3, 6)
    assert ExampleBatches(x, np.zeros((4, 3, 6))).batch(0).targets.shape == (3, 4, 6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], []), ValueError, "inputs: expected at least one, got none"),
        (([[1]], [1, 2]), ValueError, "targets: expected 1, one for each input, got 2"),
        (([[1], [2]], [-1, -1]), ValueError, "targets: expected at least one that is not -1, got none"),
        (([[1], []], [1, 2]), TypeError, r"inputs\[1\]: expected int64, got float64"),
        ((np.zeros((2, 0, 1)), [1, 2]), ValueError, r"inputs\[0\]: expected at least one step, got none"),
        (
            (np.zeros((2, 1, 1, 1)), [1, 2]),
            ValueError,
            r"inputs: expected examples of \[T\] or \[T, D\], got",
        ),
        ((5.0, [1]), TypeError, "inputs: expected an entry for each example, got float"),
        (([["a"]], [1]), TypeError, r"inputs(\[0\])?: expected integers or floats, got <U1"),
        (
            ([np.zeros((1, 2)), np.zeros((1, 3))], [1, 2]),
            ValueError,
            r"inputs\[1\]: expected \[T, 2\], got \[1, 3\]",
        ),
        (
            ([[1], [1, 2]], [[1, 1], [1]]),
            ValueError,
            r"targets\[1\]: expected \[2\], as of the first, or a value",
        ),
        (([[1], [1, 2]], [1, [1, 2]]), ValueError, r"targets\[1\]: expected \[\], got \[2\]"),
    ],
)
def test_examples_that_are_refused(arguments, error, message):
    with pytest.raises(error, match=f"^{message}"):
        ExampleBatches(*arguments)


def test_targets_without_a_value_for_each_step_are_named():
    with pytest.raises(ValueError, match=r"^targets\[1\]: expected 2 steps, as its input has, got \[1\]$"):
        ExampleBatches([[1], [1, 2]], [[1], [1]], per_step=True)


# ---- training


def test_a_step_is_what_it_says():
    x, y = make_ragged(8, dtype=np.float64)
    model, by_hand = make_chain(dtype="float64"), make_chain(dtype="float64")
    data = ExampleBatches(x, y, 8, seed=0)
    record = next(Trainer(model, data, SGD(model, 0.5), loss=running_mean_loss, clip_norm=0.01).run(1))
    total = 0.0
    for one, target in zip(x, y, strict=True):  # each sequence alone
        out, _, tape = by_hand.forward(one[:, None])
        difference = out[:, 0, 0] - target
        total += (difference**2).sum() / data.tokens
        by_hand.backward(tape, 2 * difference[:, None, None] / data.tokens)
    norm = np.linalg.norm(by_hand.gradients.flat)
    assert record.loss == pytest.approx(total)
    assert record.gradient_norm == pytest.approx(norm)
    moved = by_hand.parameters.flat - 0.5 * by_hand.gradients.flat * 0.01 / (norm + 1e-6)
    np.testing.assert_allclose(model.parameters.flat, moved, rtol=1e-9, atol=1e-12)
    assert record.epoch == 1.0


def test_accumulated_batches_are_one_large_batch():
    x, y = make_ragged(24, dtype=np.float64)
    models = [make_chain(dtype="float64") for _ in range(2)]
    for model, size in zip(models, (24, 8), strict=True):
        data = ExampleBatches(x, y, size, seed=0)
        list(Trainer(model, data, SGD(model, 0.5), loss=running_mean_loss, accumulate=24 // size).run(2))
    np.testing.assert_allclose(models[0].parameters.flat, models[1].parameters.flat, rtol=1e-9)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_layer_that_is_batch_first_trains_alike(batch_first):
    x, y = make_ragged(20, dtype=np.float64)
    models = [make_chain(dtype="float64", batch_first=first) for first in (False, batch_first)]
    for model, first in zip(models, (False, batch_first), strict=True):
        data = ExampleBatches(x, y, 8, seed=0, batch_first=first)
        list(train(model, data, 5, SGD(model, 0.1), loss=running_mean_loss))
    np.testing.assert_allclose(models[0].parameters.flat, models[1].parameters.flat, rtol=1e-9)


def test_a_class_of_ones_own_learns_to_classify():
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(steps, 1)).astype(np.float32) for steps in rng.integers(2, 9, size=300)]
    classes = [int(one.mean() > 0) for one in x]
    model = Classifier(rnn=fr.GRU(1, 16, seed=0), fc=fr.Linear(16, 2, seed=1))
    training, held = (
        ExampleBatches(x[:200], classes[:200], 20, seed=0),
        ExampleBatches(x[200:], classes[200:]),
    )
    schedule = CosineSchedule(1e-2, steps=150)
    list(Trainer(model, training, Adam(model), loss=cross_entropy, schedule=schedule, clip_norm=1.0).run(150))
    result = evaluate_examples(model, held, cross_entropy)
    assert result.loss < 0.35
    assert result.tokens == 100


def test_any_layer_can_be_trained():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3, 2)).astype(np.float32)
    for layer, wanted in ((fr.Linear(2, 2, seed=0), x * 2), (fr.LSTM(2, 2, seed=0), x.clip(-0.5, 0.5))):
        data = ExampleBatches(x, wanted, 8, seed=0)
        records = list(train(layer, data, 100, Adam(layer, 1e-2), loss=mean_squared_error))
        assert records[-1].loss < 0.8 * records[0].loss


def test_validation_is_the_mean_over_all_targets_without_dropout():
    trainer = make_full_trainer()
    x, y = make_ragged(seed=1)
    list(trainer.run(10))
    outputs = [trainer.evaluated(one[:, None])[0][:, 0, 0] for one in x]
    squares = [((out - wanted) ** 2).sum() for out, wanted in zip(outputs, y, strict=True)]
    result = trainer.evaluate()
    assert result.loss == pytest.approx(sum(squares) / sum(map(len, y)), rel=1e-5)
    assert trainer.evaluate() == result


def test_training_ends_when_patience_has_run_out():
    model, (x, y) = make_chain(), make_ragged()
    validation = Validation(ExampleBatches(x, y), every=2, patience=3)
    trainer = Trainer(
        model, ExampleBatches(x, y), SGD(model, 0.0), loss=running_mean_loss, validation=validation
    )
    assert len(list(trainer.run(100))) == 2 + 3 * 2
    assert trainer.stopped_early


def test_a_training_resumed_from_its_file_has_the_same_bits(tmp_path):
    undisturbed, trainer = make_full_trainer(), make_full_trainer()
    records = list(trainer.run(10))
    trainer.save(tmp_path / "training")
    list(trainer.run(13))  # lost
    resumed = make_full_trainer()
    list(resumed.run(3))  # overwritten
    resumed.load(tmp_path / "training")
    records += resumed.run(30)
    assert without_time(records) == without_time(undisturbed.run(30))
    assert parameters_of(resumed) == parameters_of(undisturbed)
    assert same_arrays(resumed.state().arrays, undisturbed.state().arrays)


def test_what_was_frozen_is_frozen_after_resuming(tmp_path):
    trainer = make_full_trainer()
    trainer.model.freeze("rnn.*_l0")
    list(trainer.run(2))
    trainer.save(tmp_path / "training")
    again = make_full_trainer()
    again.load(tmp_path / "training")
    assert again.model.frozen == trainer.model.frozen


def test_a_file_of_something_else_is_refused_and_nothing_changes(tmp_path):
    trainer = make_full_trainer()
    trainer.model.save(tmp_path / "model")
    trainer.save(tmp_path / "training")
    other = Trainer(make_chain(), trainer.data, loss=running_mean_loss)
    list(other.run(1))
    before, state = parameters_of(other), other.state()
    with pytest.raises(CheckpointError, match=r"expected a Trainer, got a Sequential; write Sequential.load"):
        other.load(tmp_path / "model")
    with pytest.raises(
        CheckpointError, match=r"training: expected a Composite, got a Trainer; write trainer.load"
    ):
        fr.Composite.load(tmp_path / "training")
    with pytest.raises(CheckpointError, match="average: the trainer has none, the training state has Exp"):
        other.load(tmp_path / "training")
    content = (tmp_path / "training").read_bytes()
    for length in (0, 7, 100, len(content) - 1):
        (tmp_path / "training").write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            other.load(tmp_path / "training")
    assert parameters_of(other) == before
    assert other.state().values == state.values
    assert same_arrays(other.state().arrays, state.arrays)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"random": {}}, "random state: expected those of"),
        ({"random": {"generators": [{"bit_generator": "x"}] * 2}}, "random state: expected"),
        ({"random": {"generators": [7] * 2}}, "random state: expected"),
        ({"carried": []}, "carried: expected none, as examples start from zero"),
    ],
)
def test_a_state_that_is_damaged_somewhere_changes_nothing(damage, message):
    trainer, other = make_full_trainer(), make_full_trainer()
    list(trainer.run(5))
    list(other.run(2))
    state, before, parameters = trainer.state(), other.state(), parameters_of(other)
    with pytest.raises(ValueError, match=message):
        other.restore(TrainingState({**state.values, **damage}, state.arrays))
    assert parameters_of(other) == parameters
    assert other.state().values == before.values
    assert same_arrays(other.state().arrays, before.arrays)


def test_a_trainer_of_a_language_model_names_the_line_that_saves_it(tmp_path):
    for use in (make_trainer().save, make_trainer().load):
        with pytest.raises(TypeError, match=r"write save_checkpoint\(path, trainer.model, vocabulary"):
            use(tmp_path / "model")


def test_a_step_that_diverges_changes_nothing_but_is_named():
    trainer = make_full_trainer()
    list(trainer.run(3))
    with trainer.model.parameters.edit() as views:
        views["fc.output.weight"][0, 0] = np.nan
    parameters, state = parameters_of(trainer), trainer.state()
    with pytest.raises(TrainingDiverged, match="step 4: the loss is nan"):
        next(trainer.run(10))
    assert parameters_of(trainer) == parameters
    assert trainer.state().values == state.values


def test_an_interrupt_in_a_step_leaves_no_trace():
    undisturbed, trainer = make_full_trainer(), make_full_trainer()
    records, calls = list(trainer.run(3)), itertools.count()
    honest = trainer._network.loss_of_outputs

    def interrupted(*arguments, **options):
        if next(calls) == 1:  # in the second batch of the step, when dropout has been drawn
            raise KeyboardInterrupt
        return honest(*arguments, **options)

    trainer._network.loss_of_outputs = interrupted
    with pytest.raises(KeyboardInterrupt):
        next(trainer.run(10))
    assert trainer.step == 3
    records += trainer.run(10)
    assert without_time(records) == without_time(undisturbed.run(10))


def test_targets_of_minus_one_do_not_count():
    x = np.random.default_rng(0).normal(size=(6, 4, 2))
    model = fr.Composite(fc=fr.Linear(2, 3, dtype="float64", seed=0))
    targets = np.full((6, 4), -1)
    targets[2, 1], targets[4, 3] = 2, 0
    data = ExampleBatches(x, targets, 2, seed=0)
    expected = cross_entropy(model(x)[0], targets)[0]
    assert evaluate_examples(model, data, cross_entropy).loss == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"^targets: expected one that counts in each step, got none"):
        list(Trainer(model, data, loss=cross_entropy).run(3))


# ---- what does not belong together


EXAMPLES = ExampleBatches(np.zeros((4, 3, 2), np.float32), np.zeros((4, 3, 1)), 2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: Trainer(make_chain(), EXAMPLES),
            ValueError,
            "loss: expected one for ExampleBatches, got None; write",
        ),
        (
            lambda: Trainer(make_chain(), (1, 2), loss=mean_squared_error),
            TypeError,
            "data: expected .*, got tuple; write",
        ),
        (
            lambda: Trainer(make_chain(), fr.ChunkedText(IDS, 2, 5)),
            TypeError,
            "model: expected a LanguageModel for ChunkedText, got Composite; write",
        ),
        (
            lambda: Trainer(make_model(), fr.ChunkedText(IDS, 2, 5), loss=mean_squared_error),
            TypeError,
            "data: expected ExampleBatches with a loss, got ChunkedText",
        ),
        (
            lambda: Trainer(make_model(), EXAMPLES, loss=mean_squared_error),
            TypeError,
            "model: expected a module with __call__, forward and backward, got LanguageModel",
        ),
        (
            lambda: Trainer("model", EXAMPLES, loss=mean_squared_error),
            TypeError,
            "model: expected a module, got str",
        ),
        (
            lambda: Trainer(make_chain(), EXAMPLES, loss="mse"),
            TypeError,
            "loss: expected a function of fastrnn.losses",
        ),
        (
            lambda: Trainer(make_chain(), EXAMPLES, loss=mean_squared_error, label_smoothing=0.1),
            ValueError,
            r"label_smoothing, .*write loss=functools.partial\(loss, label_smoothing=",
        ),
        (
            lambda: Trainer(make_chain(), EXAMPLES, loss=mean_squared_error, validation=Validation(IDS)),
            TypeError,
            "validation: expected ExampleBatches, as the training data, got ndarray",
        ),
        (
            lambda: Trainer(make_model(), fr.ChunkedText(IDS, 2, 5), validation=Validation(EXAMPLES)),
            TypeError,
            "validation: expected a text or SentenceBatches, as the training data, got ExampleBatches",
        ),
        (
            lambda: evaluate_examples(make_chain(), [1], mean_squared_error),
            TypeError,
            "data: expected ExampleBatches",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused_with_the_line_to_write(make, error, message):
    with pytest.raises(error, match=f"^{message}"):
        make()


def test_a_loss_of_each_element_is_refused_with_what_to_leave_out():
    loss = functools.partial(fr.losses.mean_squared_error, reduction="none")
    data = ExampleBatches(np.zeros((4, 3, 1), np.float32), np.zeros((4, 3, 1)), 2)
    with pytest.raises(
        TypeError, match=r"loss: expected one that returns a number, got \[3, 2, 1\]; leave out"
    ):
        list(Trainer(fr.Linear(1, 1), data, loss=loss).run(1))


def test_a_loss_without_lengths_is_refused_where_it_needs_them():
    x, y = make_ragged()
    data = ExampleBatches(x, [one[:, None] for one in y], 8, seed=0)
    with pytest.raises(TypeError, match=r"^loss: expected one that takes lengths"):
        list(train(make_chain(), data, 20, loss=lambda y, targets: mean_squared_error(y, targets)))
    list(train(make_chain(), data, 2, loss=functools.partial(fr.losses.huber, delta=0.5)))


def test_a_forward_pass_without_a_tape_is_named():
    class NoTape(fr.Composite):
        def __call__(self, x):
            return self.fc(x)

        def forward(self, x):
            return self.fc(x)

        def backward(self, tape, dy):
            return None

    with pytest.raises(TypeError, match=r"^NoTape.forward: expected y, or y and more, and a tape at the end"):
        list(train(NoTape(fc=fr.Linear(2, 1)), EXAMPLES, 1, loss=mean_squared_error))
