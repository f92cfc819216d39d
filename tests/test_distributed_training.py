"""Training on several ranks: the bits of one process, in all that a trainer does."""

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.data import ExampleBatches, SentenceBatches
from fastrnn.train import (
    SGD,
    Adam,
    ExponentialAverage,
    NonMonotonicAverage,
    PlateauSchedule,
    RMSprop,
    Trainer,
    TrainingDiverged,
    Validation,
)
from fastrnn.train.distributed import OneProcess
from thread_ranks import run_ranks
from training_cases import IDS, VOCABULARY, make_model, without_time

RANKS = [1, 2, 3, 4]


def text_trainer(ranks, *, batch_size=12, model=None, optimizer=Adam, data=None, **options):
    model = model or make_model(hidden_size=9)
    data = data or fr.ChunkedText(IDS[:3000], batch_size, 20)
    return Trainer(model, data, optimizer(model, 5e-3), clip_norm=0.5, ranks=ranks, **options)


def result(trainer, steps=25):
    """Return all that a training leaves: records, parameters, and the state for a checkpoint."""
    records = without_time(trainer.run(steps))
    for record in records:
        record["unfinished"] = None
    state = trainer.state()
    arrays = {name: array.tobytes() for name, array in state.arrays.items()}
    return records, trainer.model.parameters.flat.tobytes(), state.values, arrays


def same_on_all(make, steps=25, counts=RANKS, shards=12):
    """Check that any number of ranks leaves what one process with the same shards does; return that."""
    wanted = result(make(OneProcess(shards=shards)), steps)
    for count in counts:
        for found in run_ranks(count, lambda ranks: result(make(ranks), steps), shards=shards):
            assert found == wanted
    return wanted


MODELS = {
    "dropout": {},
    "gru": {"cell": "gru"},
    "words": {"embedding_size": 7, "embedding_dropout": 0.2},
    "tied": {"embedding_size": 9, "tied": True, "locked_dropout": True},
    "sparse": {"embedding_size": 7, "sparse_embedding": True},
    "zoneout": {"cell_options": {"zoneout": 0.2, "weight_drop": 0.3, "layer_norm": True}},
    "penalties": {"ar": 1.0, "tar": 1.0},
    "cutoffs": {"cutoffs": [10, 20]},
    "bfloat16": {"precision": "bfloat16"},
    "float64": {"dtype": "float64"},
}


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_a_text_trains_to_the_same_bits_on_any_number_of_ranks(options):
    same_on_all(lambda ranks: text_trainer(ranks, model=make_model(**{"hidden_size": 9, **options})), steps=9)


@pytest.mark.parametrize("optimizer", [SGD, RMSprop, Adam])
def test_every_optimizer_makes_the_same_steps(optimizer):
    same_on_all(lambda ranks: text_trainer(ranks, optimizer=optimizer))


def test_the_layers_of_a_stack_carry_their_states_by_row():
    def make(ranks):
        rnn = fr.Stack(fr.GRU(7, 8, seed=1), fr.LSTM(8, 9, seed=2), connect="plain", dropout=0.2, seed=3)
        model = fr.LanguageModel(len(VOCABULARY), embedding_size=7, rnn=rnn, seed=0)
        return text_trainer(ranks, model=model)

    same_on_all(make, steps=9)


def test_gradients_through_more_steps_than_a_chunk_advance_by_row():
    data = fr.ChunkedText(IDS[:3000], 12, 10, backward_length=25)
    same_on_all(lambda ranks: text_trainer(ranks, data=data), steps=30)


def test_accumulated_batches_are_summed_shard_by_shard():
    same_on_all(lambda ranks: text_trainer(ranks, accumulate=3), steps=8)


def test_averages_schedules_and_validation_decide_the_same():
    def make(ranks):
        model = make_model(hidden_size=9)
        return text_trainer(
            ranks,
            model=model,
            schedule=PlateauSchedule(5e-3, factor=0.5),
            average=NonMonotonicAverage(model, patience=1),
            validation=Validation(IDS[3000:], every=4, patience=3, batch_size=5),
            label_smoothing=0.1,
            clip_value=0.1,
        )

    same_on_all(make)


SENTENCES = [IDS[first : first + 1 + 7 * first % 11] for first in range(0, 500, 9)]


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("batch_size", [12, 24])
def test_sentences_are_weighted_by_their_tokens_in_uneven_and_empty_shards(accumulate, batch_size):
    assert len(SENTENCES) % batch_size < 12  # so that shards of the last batch are empty

    def make(ranks):
        model = make_model(hidden_size=9, eos=0)
        data = SentenceBatches(SENTENCES, batch_size, eos=0, seed=3)
        average = ExponentialAverage(model, 0.9)
        return text_trainer(ranks, model=model, data=data, accumulate=accumulate, average=average)

    same_on_all(make, steps=12)


class LastState(fr.Composite):
    """Reads the last layer's last state, for a target of each sequence."""

    def __call__(self, x, lengths=None):
        return self.fc(self.rnn(x, lengths=lengths)[1][-1])

    def forward(self, x, lengths=None):
        y, state, tape = self.rnn.forward(x, lengths=lengths)
        out, dense = self.fc.forward(state[-1])
        return out, (tape, dense, np.zeros_like(y), np.zeros_like(state))

    def backward(self, tape, dout):
        recurrent, dense, dy, dstate = tape
        dstate[-1] = self.fc.backward(dense, dout)
        self.rnn.backward(recurrent, dy, dstate)


@pytest.mark.parametrize("per_step", [True, False])
def test_examples_train_to_the_same_bits_on_any_number_of_ranks(per_step):
    random = np.random.default_rng(0)
    inputs = [random.normal(size=(steps, 3)).astype(np.float32) for steps in random.integers(2, 9, 53)]
    targets = [random.integers(-1, 4, len(x)) if per_step else random.integers(4) for x in inputs]

    def make(ranks):
        rnn = fr.GRU(3, 8, 2, dropout=0.3, seed=0)
        kind = fr.Composite if per_step else LastState
        model = kind(rnn=rnn, fc=fr.Linear(8, 4, seed=1))
        data = ExampleBatches(inputs, targets, 12, seed=0, per_step=per_step)
        loss = fr.losses.softmax_cross_entropy
        return Trainer(model, data, loss=loss, clip_norm=1.0, ranks=ranks, accumulate=2)

    same_on_all(make, steps=12)


def test_one_shard_is_the_training_without_ranks():
    def one(ranks):
        return text_trainer(ranks, validation=Validation(IDS[3000:], every=5, batch_size=3))

    assert result(one(None)) == result(one(OneProcess()))


def test_shards_change_the_result_in_the_last_digits_only():
    whole, shards = (result(text_trainer(OneProcess(count)))[0] for count in (1, 12))
    np.testing.assert_allclose([r["loss"] for r in whole], [r["loss"] for r in shards], rtol=1e-4)
    assert [r["loss"] for r in whole] != [r["loss"] for r in shards]


def test_a_training_goes_on_with_another_number_of_ranks_to_the_same_bits():
    wanted = result(text_trainer(OneProcess(shards=12)), 24)
    trainer = text_trainer(OneProcess(shards=12))
    list(trainer.run(6))
    state, parameters = trainer.state(), trainer.model.state_dict()

    def go_on(steps):
        def run(ranks):
            trainer = text_trainer(ranks)
            trainer.model.load_state_dict(parameters)
            trainer.restore(state)
            found = result(trainer, steps)
            return found, trainer.state(), trainer.model.state_dict()

        return run

    for count, steps in ((4, 12), (3, 18), (2, 24)):
        found, state, parameters = run_ranks(count, go_on(steps), shards=12)[-1]
    assert (found[1:], found[0][-1]) == (wanted[1:], wanted[0][-1])


def test_a_diagnosis_is_of_the_first_shard_on_any_number_of_ranks():
    records = same_on_all(lambda ranks: text_trainer(ranks, diagnose_every=5), steps=11)[0]
    assert [record["step"] for record in records if record["diagnosis"] is not None] == [1, 5, 10]


def test_a_loss_that_is_not_finite_ends_all_ranks_with_nothing_changed():
    def run(ranks):
        trainer = text_trainer(ranks, optimizer=SGD)
        list(trainer.run(3))
        before = result(trainer, 3)
        with trainer.model.parameters.edit() as views:
            views["output.bias"][0] = np.nan
        with pytest.raises(TrainingDiverged):
            list(trainer.run(4))
        return before[2:], (trainer.step, trainer.state().values["random"]) == (3, before[2]["random"])

    assert run_ranks(2, run, shards=4) == [(run(OneProcess(shards=4))[0], True)] * 2


def test_a_trainer_of_a_network_saves_once_and_loads_on_every_rank(tmp_path):
    path = tmp_path / "training.safetensors"
    x = np.random.default_rng(0).normal(size=(24, 5, 2)).astype(np.float32)

    def make(ranks):
        model = fr.Composite(rnn=fr.GRU(2, 8, dropout=0.0, seed=0), fc=fr.Linear(8, 1, seed=1))
        data = ExampleBatches(x, x.sum(2, keepdims=True), 8, seed=0)
        return Trainer(model, data, loss=fr.losses.mean_squared_error, ranks=ranks)

    def run(ranks):
        trainer = make(ranks)
        list(trainer.run(5))
        trainer.save(path)
        other = make(ranks)
        other.load(path)
        return result(trainer, 9)[1:] == result(other, 9)[1:]

    assert run_ranks(2, run, shards=4) == [True, True]


def test_a_file_that_cannot_be_written_is_every_ranks_error(tmp_path):
    x = np.ones((8, 5, 1), np.float32)

    def run(ranks):
        model = fr.Composite(rnn=fr.GRU(1, 8, seed=0), fc=fr.Linear(8, 1, seed=1))
        loss = fr.losses.mean_squared_error
        trainer = Trainer(model, ExampleBatches(x, x, 8, seed=0), loss=loss, ranks=ranks)
        with pytest.raises(FileNotFoundError) as caught:
            trainer.save(tmp_path / "missing" / "training.safetensors")
        return str(caught.value)

    one, two = run_ranks(2, run)
    assert one == two


WRONG = {
    "parameters": (lambda rank: {"model": make_model(seed=rank)}, "model: parameters; pass the same seed"),
    "order": (
        lambda rank: {
            "model": make_model(eos=0),
            "data": SentenceBatches(SENTENCES, 12, eos=0, seed=rank),
        },
        "data: order of the batches",
    ),
    "length": (lambda rank: {"data": fr.ChunkedText(IDS[: 3000 - 20 * rank], 12, 20)}, "data"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_what_differs_between_the_ranks_is_refused_on_all(options, message):
    def run(ranks):
        with pytest.raises(ValueError, match=message) as caught:
            text_trainer(ranks, **options(ranks.rank))
        return str(caught.value)

    messages = run_ranks(3, run)
    assert len(set(messages)) == 1
    assert "got another on ranks 1, 2" in messages[0]


def test_a_batch_that_the_shards_do_not_divide_is_refused_with_those_that_do():
    message = r"batch_size: 10 rows .* 4 equal shards; write batch_size=12, or use 1, 2, 5, 10 shards"
    with pytest.raises(ValueError, match=message):
        text_trainer(OneProcess(shards=4), batch_size=10)


def test_a_number_of_processes_that_does_not_divide_the_shards_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match=r"shards: 3 processes .* 4 shards; start 1, 2 or 4 of them"):
        run_ranks(3, lambda ranks: ranks, shards=4)


def test_ranks_of_another_kind_are_refused():
    with pytest.raises(TypeError, match=r"ranks: expected those of fastrnn.train.distributed.start\(\)"):
        text_trainer(4)


def test_a_wire_that_the_reduction_cannot_have_is_refused():
    with pytest.raises(ValueError, match="wire: expected float32 with reduction='fastest'"):
        OneProcess(reduction="fastest", wire="bfloat16")


def test_an_exception_of_one_rank_ends_the_others():
    def run(ranks):
        if ranks.rank == 1:
            raise MemoryError("rank 1")
        return ranks.gather(1)

    with pytest.raises(MemoryError, match="rank 1"):
        run_ranks(3, run)
