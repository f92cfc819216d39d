"""Evaluation and scoring on several ranks: the bits of one process, whatever the number of ranks."""

import math

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.decode import rank, score
from fastrnn.train import Validation, evaluate, evaluate_examples, evaluate_sentences
from fastrnn.train.distributed import OneProcess
from fastrnn.train.evaluation import validate
from fastrnn.train.example_network import ExampleNetwork
from test_scoring import TEXTS, WORDS, make
from thread_ranks import run_ranks

IDS = np.random.default_rng(0).integers(7, size=403)
SENTENCES = [np.random.default_rng(n).integers(7, size=1 + n % 13) for n in range(50)]
EVERY_SIZE = pytest.mark.parametrize("size", [1, 2, 3, 4])


def model_of_ids(**options):
    return fr.LanguageModel(7, hidden_size=5, num_layers=2, cell="gru", seed=0, **options)


def examples(batch_size=4):
    random = np.random.default_rng(1)
    x = [random.normal(size=(1 + n % 5, 3)).astype(np.float32) for n in range(23)]
    y = [random.integers(-1, 2, size=len(one)) for one in x]
    return fr.data.ExampleBatches(x, y, batch_size, seed=0)


def network():
    return fr.Composite(rnn=fr.GRU(3, 4, seed=0), fc=fr.Linear(4, 2, seed=1))


def on_ranks(size, function, **options):
    """Return the one result that all ranks have."""
    results = run_ranks(size, function, **options)
    assert all(result == results[0] for result in results)
    return results[0]


# --- one text ---


@pytest.mark.parametrize("shards", [1, 4, 12])
@pytest.mark.parametrize("streams", [1, 3, 12, 402, 1000])
def test_the_loss_of_a_text_depends_on_the_shards_and_not_on_the_ranks(shards, streams):
    wanted = evaluate(model_of_ids(), IDS, batch_size=streams, ranks=OneProcess(shards))
    for size in (1, 2, 3, 4):
        if shards % size == 0:
            found = on_ranks(
                size,
                lambda ranks: evaluate(model_of_ids(), IDS, batch_size=streams, ranks=ranks),
                shards=shards,
            )
            assert found == wanted
    assert wanted.tokens == 402
    assert wanted.loss == pytest.approx(evaluate(model_of_ids(), IDS, batch_size=streams).loss, rel=1e-6)


def test_one_shard_has_the_bits_of_an_evaluation_without_ranks():
    for streams in (1, 5, 402):
        alone = evaluate(model_of_ids(), IDS, batch_size=streams)
        assert evaluate(model_of_ids(), IDS, batch_size=streams, ranks=OneProcess()) == alone


def test_one_stream_is_read_by_the_first_rank_alone():
    def read(ranks):
        model = model_of_ids()
        calls, loss = [], model.loss
        model.loss = lambda *given, **more: calls.append(1) or loss(*given, **more)
        return evaluate(model, IDS, ranks=ranks), len(calls)

    results = run_ranks(3, read)
    assert [result for result, _ in results] == [evaluate(model_of_ids(), IDS)] * 3
    assert [bool(calls) for _, calls in results] == [True, False, False]


def test_a_rank_reads_only_its_streams_from_a_file(tmp_path):
    path = tmp_path / "ids.npy"
    np.save(path, IDS.astype(np.int32))
    read = {}

    def evaluated(ranks):
        model = model_of_ids()
        loss, own = model.loss, []
        model.loss = lambda x, *more: own.append(x.shape) or loss(x, *more)
        result = evaluate(model, np.load(path, mmap_mode="r"), batch_size=8, seq_length=10, ranks=ranks)
        read[ranks.rank] = own
        return result

    result = on_ranks(4, evaluated)
    assert result == evaluate(model_of_ids(), IDS, batch_size=8, seq_length=10, ranks=OneProcess(4))
    assert {shape for rank in range(4) for shape in read[rank]} == {(10, 2), (2, 1)}
    assert [sum(math.prod(shape) for shape in read[rank]) for rank in range(4)] == [100, 100, 100, 102]


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.uint16, np.int64])
def test_ids_of_every_width_have_the_same_loss(dtype):
    assert evaluate(model_of_ids(), IDS.astype(dtype), batch_size=3) == evaluate(
        model_of_ids(), IDS, batch_size=3
    )


@EVERY_SIZE
def test_an_id_that_is_out_of_range_on_one_rank_is_an_error_on_all(size):
    ids = IDS.copy()
    ids[-2] = 7
    seen = []

    def read(ranks):
        with pytest.raises(ValueError, match="7") as raised:
            evaluate(model_of_ids(), ids, batch_size=8, ranks=ranks)
        seen.append(str(raised.value))

    run_ranks(size, read)
    assert len(seen) == size
    assert len(set(seen)) == 1


def test_a_loss_that_is_not_a_number_is_so_on_all_ranks():
    def read(ranks):
        model = model_of_ids()
        loss = model.loss

        def broken(x, *more):
            value, state = loss(x, *more)
            return (math.nan if ranks.rank == 1 else value), state

        model.loss = broken
        return evaluate(model, IDS, batch_size=4, ranks=ranks).loss

    assert all(map(math.isnan, run_ranks(3, read)))


# --- sentences and examples ---


@EVERY_SIZE
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_sentences_have_the_bits_of_one_process(size, batch_size):
    model = model_of_ids(eos=0, start=-1)
    wanted = evaluate_sentences(model, SENTENCES, batch_size=batch_size)
    found = on_ranks(
        size,
        lambda ranks: evaluate_sentences(
            model_of_ids(eos=0, start=-1), SENTENCES, batch_size=batch_size, ranks=ranks
        ),
        shards=12,
    )
    assert found == wanted


@EVERY_SIZE
@pytest.mark.parametrize("batch_size", [1, 4])  # of one: some batches have no target that counts
def test_examples_have_the_bits_of_one_process(size, batch_size):
    loss = fr.losses.softmax_cross_entropy
    assert batch_size > 1 or not all(batch.tokens for batch in examples(1))
    wanted = evaluate_examples(network(), examples(batch_size), loss)
    found = on_ranks(
        size, lambda ranks: evaluate_examples(network(), examples(batch_size), loss, ranks=ranks)
    )
    assert found == wanted


@EVERY_SIZE
def test_a_trainer_validates_each_kind_of_data_with_the_bits_of_one_process(size):
    sentences = fr.data.SentenceBatches(SENTENCES, 4, eos=0, seed=0)
    data = examples()
    kinds = [
        (lambda: model_of_ids(), Validation(IDS, batch_size=8)),
        (lambda: model_of_ids(eos=0, start=-1), Validation(sentences)),
        (lambda: ExampleNetwork(network(), fr.losses.softmax_cross_entropy, data), Validation(data)),
    ]
    for make_network, validation in kinds:
        wanted = validate(make_network(), validation, OneProcess(12))
        found = on_ranks(size, lambda ranks: validate(make_network(), validation, ranks), shards=12)  # noqa: B023
        assert found == wanted


# --- scores ---


def reader_of_contexts():
    rnn = fr.GRU(4, 6, context_size=3, seed=0, dtype="float64")
    return fr.LanguageModel(len(WORDS), embedding_size=4, rnn=rnn, start=-1, seed=1, dtype="float64")


def as_bytes(scores):
    return [(each._replace(log_probabilities=each.log_probabilities.tobytes())) for each in scores]


@EVERY_SIZE
@pytest.mark.parametrize("way", ["start", "first given", "eos", "halt", "tau"])
def test_scores_have_the_bits_of_one_process_and_the_order_of_the_texts(size, way, monkeypatch):
    monkeypatch.setattr("fastrnn.decode.scoring._BATCH_SIZE", 2)
    wanted = as_bytes(score(make(way), WORDS, TEXTS, unit="bits"))
    found = on_ranks(size, lambda ranks: as_bytes(score(make(way), WORDS, TEXTS, unit="bits", ranks=ranks)))
    assert found == wanted
    assert [each.text for each in found] == TEXTS


def test_a_context_goes_with_its_text_to_the_rank_that_scores_it(monkeypatch):
    monkeypatch.setattr("fastrnn.decode.scoring._BATCH_SIZE", 1)
    context = np.random.default_rng(0).normal(size=(len(TEXTS), 3))
    wanted = as_bytes(score(reader_of_contexts(), WORDS, TEXTS, context=context))
    found = on_ranks(
        3,
        lambda ranks: as_bytes(score(reader_of_contexts(), WORDS, TEXTS, context=context, ranks=ranks)),
    )
    assert found == wanted


def test_more_ranks_than_texts_are_fine():
    wanted = as_bytes(rank(make("eos"), WORDS, TEXTS[:2]))
    assert on_ranks(4, lambda ranks: as_bytes(rank(make("eos"), WORDS, TEXTS[:2], ranks=ranks))) == wanted


def test_each_rank_scores_its_share_of_the_batches(monkeypatch):
    monkeypatch.setattr("fastrnn.decode.scoring._BATCH_SIZE", 1)

    def scored(ranks):
        model = make("eos")
        calls, losses = [], model.target_losses
        model.target_losses = lambda *given, **more: calls.append(1) or losses(*given, **more)
        score(model, WORDS, TEXTS, ranks=ranks)
        return len(calls)

    assert run_ranks(4, scored) == [2, 2, 1, 1]
