"""The training loop: what a step does, and that it completes or has no effect."""

import contextlib
import itertools
import json
import math
import signal
import struct
import sys
import threading
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrnn import ChunkedText, LanguageModel
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.train import (
    SGD,
    Adam,
    Diagnosis,
    ExponentialAverage,
    Record,
    TensorBoardLog,
    Trainer,
    TrainingDiverged,
    TrainingState,
    TrainingWarning,
    Validation,
    evaluate,
    train,
)
from fastrnn.train.diagnosing import begin_diagnosis
from fastrnn.train.gradients import step_gradients
from training_cases import IDS, VOCABULARY, make_model, make_trainer, parameters_of, same_arrays, without_time

CELLS = ["rnn", "gru", "lstm"]


def make_full_trainer(**options):
    """Make a trainer that uses every part of a step."""
    parts = {"accumulate": 3, "label_smoothing": 0.1, "checkpoint_every": 7, "diagnose_every": 2}
    trainer = make_trainer(**parts, **options)
    trainer.data = ChunkedText(IDS[:3000], 4, 20, backward_length=33)
    trainer.average = ExponentialAverage(trainer.model, 0.9)
    return trainer


TRAINERS = [make_trainer, make_full_trainer]


@pytest.mark.parametrize("cell", CELLS)
def test_the_loss_falls(cell):
    data = ChunkedText(IDS, 8, 25)
    losses = [record.loss for record in train(make_model(cell, dropout=0.0), data, 150, clip_norm=5.0)]
    assert losses[0] == pytest.approx(math.log(len(VOCABULARY)), rel=0.1)
    assert np.mean(losses[-10:]) < 0.8 * losses[0]


def test_records_say_where_training_is():
    model, data = make_model(), ChunkedText(IDS, 8, 25)
    records = list(Trainer(model, data, SGD(model, 0.25)).run(5))
    assert [record.step for record in records] == [1, 2, 3, 4, 5]
    assert [record.epoch for record in records] == [step / len(data) for step in range(1, 6)]
    assert {record.learning_rate for record in records} == {0.25}
    assert all(record.tokens_per_second > 0 for record in records)
    assert all(record.gradient_norm > 0 for record in records)
    assert {record.valid_loss for record in records} == {None}


@pytest.mark.parametrize("cell", CELLS)
def test_the_state_goes_from_chunk_to_chunk_and_is_zero_at_the_start_of_an_epoch(cell):
    model = make_model(cell, dropout=0.0)
    data = ChunkedText(IDS[:500], 3, 40)
    trainer = Trainer(model, data, SGD(model, 0.0))  # a rate of zero: all steps see the same parameters
    losses = [record.loss for record in trainer.run(2 * len(data) + 1)]
    state, expected = None, []
    for inputs, targets in data:
        loss, state = model.loss(inputs, targets, state)
        expected.append(loss)
    assert losses == pytest.approx([*expected, *expected, expected[0]], rel=1e-6)
    reset = [model.loss(*data.chunk(index))[0] for index in range(len(data))]
    assert losses[1:3] != pytest.approx(reset[1:3], rel=1e-6)


def test_a_step_is_what_it_says():
    model = make_model(dtype="float64", dropout=0.0)
    by_hand = LanguageModel.from_config(model.config)
    by_hand.load_state_dict(model.state_dict())
    data = ChunkedText(IDS, 8, 25)
    trainer = Trainer(model, data, SGD(model, 0.5), clip_norm=0.01, clip_value=0.005)
    record = next(trainer.run(1))
    loss, _ = by_hand.loss_and_gradients(*data.chunk(0))
    g = by_hand.gradients.flat
    assert record.loss == loss
    assert record.gradient_norm == pytest.approx(np.linalg.norm(g))
    g = g.clip(-0.005, 0.005)
    g *= min(1.0, 0.01 / (np.linalg.norm(g) + 1e-6))
    np.testing.assert_allclose(model.parameters.flat, by_hand.parameters.flat - 0.5 * g, rtol=1e-9)


def test_the_same_seed_gives_the_same_training():
    assert without_time(make_trainer().run(30)) == without_time(make_trainer().run(30))


def test_validation_comes_when_it_is_due_and_the_best_is_known():
    trainer = make_trainer(every=7)
    records = list(trainer.run(30))
    assert [record.step for record in records if record.valid_loss is not None] == [7, 14, 21, 28]
    best = min((r for r in records if r.valid_loss is not None), key=lambda r: r.valid_loss)
    assert (trainer.best_loss, trainer.best_step) == (best.valid_loss, best.step)


def test_training_ends_when_patience_has_run_out():
    model = make_model(dropout=0.0)
    validation = Validation(IDS[3000:], every=2, patience=3)
    trainer = Trainer(model, ChunkedText(IDS[:3000], 4, 20), SGD(model, 0.0), validation=validation)
    # With a rate of zero only the first evaluation is a new lowest.
    assert len(list(trainer.run(100))) == 2 + 3 * 2
    assert trainer.stopped_early
    assert list(trainer.run(100)) == []


def test_evaluating_by_hand_changes_nothing_but_the_best():
    one, two = make_trainer(every=7), make_trainer(every=7)
    for _ in one.run(10):
        pass
    for record in two.run(10):
        if record.step == 9:
            two.evaluate()
    assert without_time(one.run(40)) == without_time(two.run(40))
    assert parameters_of(one) == parameters_of(two)


def test_a_trainer_without_validation_cannot_evaluate():
    with pytest.raises(ValueError, match="validation: the trainer was given none"):
        Trainer(make_model(), ChunkedText(IDS, 4, 20)).evaluate()


def spoil(model, value):
    with model.parameters.edit() as views:
        views["output.weight"][0, 0] = value


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_a_number_stops_before_anything_changes(value):
    trainer = make_trainer()
    list(trainer.run(5))
    spoil(trainer.model, value)
    parameters, state = parameters_of(trainer), trainer.state()
    with pytest.raises(TrainingDiverged, match=r"step 6: the loss is nan.*[Tt]ry a lower learning rate"):
        next(trainer.run(10))
    assert parameters_of(trainer) == parameters
    assert trainer.state().values == state.values
    assert same_arrays(trainer.state().arrays, state.arrays)


def test_a_gradient_that_is_not_a_number_stops_before_anything_changes(monkeypatch):
    trainer = make_trainer()
    honest = trainer.model.loss_and_gradients

    def spoiled(*arguments):
        result = honest(*arguments)
        trainer.model.gradients.flat[-1] = math.inf
        return result

    monkeypatch.setattr(trainer.model, "loss_and_gradients", spoiled)
    parameters = parameters_of(trainer)
    with pytest.raises(TrainingDiverged, match="step 1: the gradient norm is inf"):
        next(trainer.run(10))
    assert parameters_of(trainer) == parameters
    assert trainer.step == 0


def test_a_validation_loss_that_is_not_a_number_stops_too():
    trainer = make_trainer(every=100)
    list(trainer.run(3))
    spoil(trainer.model, math.nan)
    with pytest.raises(TrainingDiverged, match="step 3: the validation loss is nan"):
        trainer.evaluate()
    assert math.isinf(trainer.best_loss)


def test_a_message_says_the_truth_about_the_parameters():
    """Check that only a step that was not made is said to have changed nothing."""
    model, validation = make_model(), Validation(IDS[3000:], every=1, batch_size=3)
    trainer = Trainer(model, ChunkedText(IDS[:3000], 4, 20), SGD(model, 1e38), validation=validation)
    before = parameters_of(trainer)
    with pytest.raises(TrainingDiverged) as error:
        list(trainer.run(5))
    assert parameters_of(trainer) != before
    made = trainer.step
    assert made > 0
    assert f"step {made}: the validation loss is" in str(error.value)
    assert f"the parameters are those after step {made}" in str(error.value)
    trainer = make_trainer()
    spoil(trainer.model, math.nan)
    before = parameters_of(trainer)
    with pytest.raises(TrainingDiverged, match="step 1: the loss is nan; it changed no parameters"):
        next(trainer.run(5))
    assert parameters_of(trainer) == before


def interrupt_in(monkeypatch, owner, name, *, before):
    """Raise Ctrl-C at the next call of a method: instead of it, or right after it."""
    honest = getattr(owner, name)

    def hit(*arguments, **options):
        monkeypatch.setattr(owner, name, honest)
        if before:
            signal.raise_signal(signal.SIGINT)
        result = honest(*arguments, **options)
        if not before:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(owner, name, hit)


@pytest.mark.parametrize("make", TRAINERS)
@pytest.mark.parametrize("before", [True, False])
def test_ctrl_c_in_the_middle_of_a_step_leaves_no_trace(monkeypatch, before, make):
    undisturbed, trainer = make(), make()
    records = list(trainer.run(5))
    interrupt_in(monkeypatch, trainer.model, "loss_and_gradients", before=before)
    with pytest.raises(KeyboardInterrupt):
        next(trainer.run(20))
    assert trainer.step == 5
    records += trainer.run(20)
    assert without_time(records) == without_time(undisturbed.run(20))
    assert parameters_of(trainer) == parameters_of(undisturbed)


def test_ctrl_c_in_the_middle_of_accumulation_leaves_no_trace(monkeypatch):
    undisturbed, trainer = make_full_trainer(), make_full_trainer()
    records = list(trainer.run(5))
    parameters, state = parameters_of(trainer), trainer.state()
    interrupt_in(monkeypatch, trainer.model, "advance", before=False)  # after the first of three batches
    with pytest.raises(KeyboardInterrupt):
        next(trainer.run(20))
    assert parameters_of(trainer) == parameters
    assert trainer.state().values == state.values
    assert same_arrays(trainer.state().arrays, state.arrays)
    records += trainer.run(20)
    assert without_time(records) == without_time(undisturbed.run(20))
    assert same_arrays(trainer.state().arrays, undisturbed.state().arrays)


@pytest.mark.parametrize("before", [True, False])
def test_ctrl_c_while_parameters_move_waits_for_the_whole_step(monkeypatch, before):
    undisturbed, trainer = make_trainer(), make_trainer()
    records = list(trainer.run(5))
    interrupt_in(monkeypatch, trainer.optimizer, "step", before=before)
    with pytest.raises(KeyboardInterrupt):
        next(trainer.run(20))
    assert trainer.step == 6
    assert trainer.unfinished  # the record has not been handed out yet
    records += trainer.run(20)
    assert without_time(records) == without_time(undisturbed.run(20))
    assert parameters_of(trainer) == parameters_of(undisturbed)


def interrupt_at_line(trainer, number):
    """Run a step and raise Ctrl-C at a given line of it; return False past the last line."""
    functions = (
        Trainer._make_step, defer_interrupts.__wrapped__, step_gradients, ExponentialAverage.update,
        begin_diagnosis,
    )  # fmt: skip
    codes = [function.__code__ for function in functions]
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        lines += event == "line"
        if event == "line" and lines == number:
            signal.raise_signal(signal.SIGINT)
        return trace

    sys.settrace(lambda frame, event, argument: trace if frame.f_code in codes else None)
    try:
        trainer._make_step()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize("make", TRAINERS)
def test_ctrl_c_at_any_line_of_a_step_leaves_it_whole_or_not_made(make):
    undisturbed = make()
    list(undisturbed.run(10))
    ends = {}
    for number in itertools.count(1):
        trainer = make()
        list(trainer.run(5))
        handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
        if not interrupt_at_line(trainer, number):
            break
        assert handlers == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
        ends[number] = trainer.step
        list(trainer.run(10))
        assert parameters_of(trainer) == parameters_of(undisturbed), f"line {number}"
        assert same_arrays(trainer.state().arrays, undisturbed.state().arrays), f"line {number}"
    assert set(ends.values()) == {5, 6}


def test_ctrl_c_in_validation_makes_it_begin_again(monkeypatch):
    undisturbed, trainer = make_trainer(every=7), make_trainer(every=7)
    records = list(trainer.run(6))
    interrupt_in(monkeypatch, trainer.model, "loss", before=False)
    with pytest.raises(KeyboardInterrupt):
        next(trainer.run(20))
    assert trainer.step == 7
    records += trainer.run(20)
    assert without_time(records) == without_time(undisturbed.run(20))
    assert parameters_of(trainer) == parameters_of(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_held_signals_are_delivered_after_the_body(number):
    came = []
    before = signal.signal(number, lambda *_: came.append("handler"))
    try:
        with defer_interrupts():
            signal.raise_signal(number)
            came.append("body")
        assert came == ["body", "handler"]
        with contextlib.suppress(ZeroDivisionError), defer_interrupts():
            signal.raise_signal(number)
            came.append(1 / 0)
        assert came == ["body", "handler", "handler"]
    finally:
        signal.signal(number, before)


def test_a_held_signal_that_is_ignored_does_not_take_the_place_of_another():
    came = []
    before = (
        signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.signal(signal.SIGTERM, lambda number, _: came.append(number)),
    )
    try:
        with defer_interrupts():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
        assert came == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_another_thread_trains_as_well():
    records = []
    thread = threading.Thread(target=lambda: records.extend(make_trainer().run(10)))
    thread.start()
    thread.join()
    assert without_time(records) == without_time(make_trainer().run(10))


@given(st.integers(2, 120), st.integers(1, 9), st.integers(1, 30))
def test_evaluation_counts_every_token_but_the_first(size, batch_size, seq_length):
    model = make_model(hidden_size=5, num_layers=1, dtype="float64")
    ids = IDS[:size]
    result = evaluate(model, ids, batch_size=batch_size, seq_length=seq_length)
    # By hand: each stream in one pass, the remainder with the last one.
    streams = min(batch_size, size - 1)
    steps = (size - 1) // streams
    starts = [stream * steps for stream in range(streams)]
    ends = [*starts[1:], size - 1]
    total = sum(
        model.loss(ids[a:b, None], ids[a + 1 : b + 1, None])[0] * (b - a)
        for a, b in zip(starts, ends, strict=True)
    )
    assert result.tokens == size - 1
    assert result.loss == pytest.approx(total / (size - 1), rel=1e-12)
    assert result.perplexity == pytest.approx(math.exp(result.loss))
    assert result.bits == pytest.approx(result.loss / math.log(2))


def test_evaluation_ignores_dropout_and_leaves_the_generator_alone():
    model = make_model(dropout=0.5)
    state = model.rng.bit_generator.state
    assert evaluate(model, IDS[:500]) == evaluate(model, IDS[:500])
    assert model.rng.bit_generator.state == state


@pytest.mark.parametrize("size", [0, 1])
def test_a_text_without_anything_to_predict_is_refused(size):
    with pytest.raises(ValueError, match="text: expected at least 2 tokens"):
        evaluate(make_model(), IDS[:size])


@pytest.mark.parametrize(("option", "value"), [("every", 0), ("patience", 0), ("batch_size", 0)])
def test_validation_options_out_of_range_are_refused(option, value):
    with pytest.raises(ValueError, match=f"^{option}: "):
        Validation(IDS, **{option: value})


def torch_twin(torch, model):
    """Make the same language model in PyTorch, with the same parameters."""
    config = model.config
    embedding = torch.nn.Embedding(config["vocabulary_size"], config["embedding_size"])
    rnn = torch.nn.LSTM(config["embedding_size"], config["hidden_size"], config["num_layers"])
    output = torch.nn.Linear(config["hidden_size"], config["vocabulary_size"])
    twin = torch.nn.ModuleDict({"embedding": embedding, "rnn": rnn, "output": output})
    twin.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    return twin


def test_two_hundred_steps_give_the_losses_of_pytorch(torch):
    model = make_model(hidden_size=48, embedding_size=24, dropout=0.0)
    twin = torch_twin(torch, model)
    torch.set_num_threads(1)  # two libraries' threads on the same few cores wait for each other
    by_hand = torch.optim.Adam(twin.parameters(), lr=2e-3)
    data = ChunkedText(IDS, 8, 32)
    trainer = Trainer(model, data, Adam(model, 2e-3), clip_norm=1.0)
    state = None
    for step, record in enumerate(trainer.run(200)):
        chunk = step % len(data)
        inputs, targets = (torch.from_numpy(array) for array in data.chunk(chunk))
        state = None if chunk == 0 else tuple(part.detach() for part in state)
        y, state = twin["rnn"](twin["embedding"](inputs), state)
        loss = torch.nn.functional.cross_entropy(twin["output"](y).flatten(0, 1), targets.flatten())
        by_hand.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        by_hand.step()
        assert record.loss == pytest.approx(loss.item(), abs=1e-4)
        assert record.gradient_norm == pytest.approx(norm.item(), rel=1e-2)
    assert record.loss < 2.0


# --- truncated backpropagation with windows longer than a step ---


def frozen_trainer(backward_length, **options):
    """Make a trainer of a small float64 model whose parameters stay unchanged."""
    model = make_model(hidden_size=7, dtype="float64", dropout=0.0, **options)
    data = ChunkedText(IDS[:80], 2, 5, backward_length=backward_length)
    return Trainer(model, data, SGD(model, 0.0))


@pytest.mark.parametrize("cell", CELLS)
def test_a_window_over_all_that_was_read_gives_the_full_gradient(cell):
    trainer = frozen_trainer(10_000, cell=cell)
    by_hand = LanguageModel.from_config(trainer.model.config)
    by_hand.load_state_dict(trainer.model.state_dict())
    plain = ChunkedText(IDS[:80], 2, 5)
    inputs, targets = (np.concatenate(parts) for parts in zip(*plain, strict=True))
    for record in trainer.run(2 * len(plain)):
        index = (record.step - 1) % len(plain)
        wanted = targets[: (index + 1) * 5].copy()
        wanted[: index * 5] = -1
        by_hand.zero_gradients()
        loss, _ = by_hand.loss_and_gradients(inputs[: len(wanted)], wanted)
        assert record.loss == pytest.approx(loss, rel=1e-12)
        g = by_hand.gradients.flat
        np.testing.assert_allclose(trainer.model.gradients.flat, g, rtol=1e-9, atol=1e-12 * abs(g).max())


@pytest.mark.parametrize("backward_length", [6, 7, 10, 23])
def test_a_window_begins_with_the_state_of_the_text_before_it(backward_length):
    trainer = frozen_trainer(backward_length)
    model, data = trainer.model, trainer.data
    inputs = np.concatenate([inputs for inputs, _ in ChunkedText(IDS[:80], 2, 5)])
    for record in trainer.run(len(data)):
        index = record.step - 1
        first = max(0, (index + 1) * 5 - backward_length)
        state = model.advance(inputs[:first]) if first else None
        expected = model.gradients.flat.copy()
        model.zero_gradients()
        loss, _ = model.loss_and_gradients(*data.chunk(index), state)
        assert record.loss == loss
        assert np.array_equal(model.gradients.flat, expected)


def test_a_window_of_one_chunk_is_the_training_of_chunks_to_the_bit(monkeypatch):
    one, two = make_trainer(), make_trainer()
    two.data = ChunkedText(IDS[:3000], 4, 20, backward_length=20)
    monkeypatch.delattr(LanguageModel, "advance")  # no step is read twice
    assert without_time(one.run(50)) == without_time(two.run(50))
    assert parameters_of(one) == parameters_of(two)
    assert same_arrays(one.state().arrays, two.state().arrays)


# --- several batches per step, label smoothing, checkpointed passes ---


def test_accumulated_chunks_give_the_mean_over_their_tokens():
    model = make_model(dtype="float64", dropout=0.0)
    by_hand = LanguageModel.from_config(model.config)
    by_hand.load_state_dict(model.state_dict())
    data = ChunkedText(IDS[:100], 3, 9)  # 33 steps a stream: the last chunk is shorter
    trainer = Trainer(model, data, SGD(model, 0.5), accumulate=3)
    records = list(trainer.run(5))
    assert [record.epoch for record in records] == [step * 3 / 4 for step in range(1, 6)]
    assert trainer.steps_per_epoch == 4 / 3
    state = None
    for record in records:
        loss, g, tokens = 0.0, np.zeros_like(by_hand.gradients.flat), 0
        for number in range(3 * record.step - 3, 3 * record.step):
            state = state if number % 4 else None
            inputs, targets = data.chunk(number % 4)
            by_hand.zero_gradients()
            mean, state = by_hand.loss_and_gradients(inputs, targets, state)
            loss, g = loss + targets.size * mean, g + targets.size * by_hand.gradients.flat
            tokens += targets.size
        assert record.loss == pytest.approx(loss / tokens, rel=1e-12)
        assert record.gradient_norm == pytest.approx(np.linalg.norm(g / tokens), rel=1e-9)
        with by_hand.parameters.edit() as views:
            views.flat -= 0.5 * g / tokens
    np.testing.assert_allclose(model.parameters.flat, by_hand.parameters.flat, rtol=1e-9, atol=1e-12)


def test_labels_are_smoothed_in_training_and_not_in_validation():
    trainer = make_trainer(label_smoothing=0.2)
    by_hand = make_model()
    record = next(trainer.run(1))
    batch = trainer.data.batch(0)
    expected, _ = by_hand.loss_and_gradients(batch.inputs, batch.targets, label_smoothing=0.2)
    assert record.loss == expected
    assert trainer.evaluate() == evaluate(trainer.model, IDS[3000:], batch_size=3)


def test_checkpointed_passes_change_no_bit():
    one, two = make_trainer(), make_trainer(checkpoint_every=6)
    assert without_time(one.run(10)) == without_time(two.run(10))
    assert parameters_of(one) == parameters_of(two)


@pytest.mark.parametrize(
    ("option", "value"),
    [("accumulate", 0), ("label_smoothing", 1.0), ("label_smoothing", -0.1), ("checkpoint_every", 0)],
)
def test_options_of_a_step_out_of_range_are_refused(option, value):
    with pytest.raises(ValueError, match=f"^{option}: "):
        make_trainer(**{option: value})


@pytest.mark.parametrize("make", TRAINERS)
@pytest.mark.parametrize("cut", [0, 1, 7, 26, 33])  # 38 chunks an epoch
def test_resuming_goes_on_with_the_same_bits(make, cut):
    straight, half, again = make(), make(), make()
    expected = list(straight.run(40))
    records = list(half.run(cut))
    state = half.state()
    again.model.load_state_dict(half.model.state_dict())
    again.restore(TrainingState(json.loads(json.dumps(state.values)), state.arrays))
    records += again.run(40)
    assert without_time(records) == without_time(expected)
    assert parameters_of(again) == parameters_of(straight)
    assert same_arrays(again.state().arrays, straight.state().arrays)


def test_a_training_saved_before_there_was_more_to_save_goes_on():
    straight, half, again = make_trainer(), make_trainer(), make_trainer()
    records = list(half.run(9))
    state = half.state()
    for name in ("batches", "order", "average"):
        del state.values[name]
    again.model.load_state_dict(half.model.state_dict())
    again.restore(state)
    records += again.run(50)
    assert without_time(records) == without_time(straight.run(50))


# --- TensorBoard ---

DIAGNOSIS = Diagnosis({"w": 0.25}, (1, 2), {"l0": (1.0, 4.0), "l1": (1.0, 0.5)}, {"l0": {"i": 0.125}})
WARNING = TrainingWarning("exploding_gradients", 2, "gradients explode", ("this", "that"))
RECORDS = [
    Record(1, 0.5, 2.25, 1.5, 1000.0, 0.125),
    Record(2, 1.0, 2.0, 1.0, 1000.0, 0.125, 2.5, DIAGNOSIS, (WARNING,)),
]
TEXT_OF_WARNING = "gradients explode; try this or that"


def scalars_of(record):
    named = {
        "train/loss": record.loss,
        "train/gradient_norm": record.gradient_norm,
        "train/learning_rate": record.learning_rate,
        "train/tokens_per_second": record.tokens_per_second,
        "train/epoch": record.epoch,
        "validation/loss": record.valid_loss,
    }
    if record.diagnosis is not None:
        named |= {
            "update_ratio/w": 0.25,
            "gradient_horizon/l0": 2.0,
            "gradient_horizon/l1": 2.0,
            "gradients/horizon": 2.0,
            "saturation/l0.i": 0.125,
            "gradients/growth": 4.0,
        }
    return {(name, value, record.step) for name, value in named.items() if value is not None}


def test_records_become_scalars(monkeypatch, tmp_path):
    calls = []

    class Writer:
        def __init__(self, logdir, purge_step, **_):
            calls.append(("open", logdir, purge_step))

        def add_scalar(self, tag, value, step):
            calls.append((tag, value, step))

        def add_text(self, tag, text, step):
            calls.append((tag, text, step))

        def close(self):
            calls.append("close")

    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    with TensorBoardLog(tmp_path) as log:
        for record in RECORDS:
            log.write(record)
    assert calls[0] == ("open", str(tmp_path), None)
    texts = {("warnings/exploding_gradients", TEXT_OF_WARNING, 2)}
    assert set(calls[1:-1]) == scalars_of(RECORDS[0]) | scalars_of(RECORDS[1]) | texts
    assert calls[-1] == "close"
    TensorBoardLog(tmp_path, resumed_at=7)
    assert calls[-1] == ("open", str(tmp_path), 8)  # hides an earlier log's entries from step 8 on


def test_without_tensorboardx_the_way_to_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[tensorboard\]"'):
        TensorBoardLog(tmp_path)


def test_tensorboardx_writes_what_tensorboard_reads(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    with TensorBoardLog(tmp_path) as log:
        for record in RECORDS:
            log.write(record)
    log.close()  # closing again does nothing
    (file,) = tmp_path.iterdir()
    content, found, texts = file.read_bytes(), set(), []
    while content:  # a length, its checksum, an event, its checksum
        size = struct.unpack("<Q", content[:8])[0]
        event = Event.FromString(content[12 : 12 + size])
        for value in event.summary.value:
            if value.tensor.string_val:
                texts.append((value.tag, value.tensor.string_val[0].decode(), event.step))
            else:
                found.add((value.tag, value.simple_value, event.step))
        content = content[16 + size :]
    assert found == scalars_of(RECORDS[0]) | scalars_of(RECORDS[1])
    assert texts == [("warnings/exploding_gradients/text_summary", TEXT_OF_WARNING, 2)]
