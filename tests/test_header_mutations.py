"""Mutated checkpoint headers, in short; `header_mutations` has the long form."""

import json
import struct
import sys

import pytest

import header_mutations
from fastrnn.cli.resumed_settings import saved_settings
from fastrnn.train import CheckpointError
from fastrnn.train.checkpoint import parse_checkpoint
from header_mutations import check, seeds


@pytest.fixture(scope="module")
def goods():
    return seeds()


def checkpoint_of(seed, entries=None, description=None):
    metadata = {"fastrnn": json.dumps(seed.description if description is None else description)}
    header = json.dumps({"__metadata__": metadata, **(seed.entries if entries is None else entries)}).encode()
    return struct.pack("<Q", len(header)) + header + seed.data


def test_the_seeds_load_and_train(goods):
    assert [check(seed, checkpoint_of(seed)) for seed in goods] == ["trained"] * 6 + ["loaded"] * 4


def test_a_mutated_header_loads_or_is_refused_with_a_checkpoint_error():
    failures = []
    outcomes = header_mutations.run(3000, seed=1, report=failures.append)
    assert not failures
    assert outcomes["FAILED"] == 0
    assert outcomes["refused"] > 2000
    assert outcomes["trained"] > 20


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("model", "rnn"), "x", "rnn: expected a mapping, got str"),
        (("model", "rnn"), {"kind": "Stack", "layers": []}, "layers: expected at least one, got none"),
        (("model", "num_layers"), float("inf"), "expected finite numbers, got Infinity"),
        (("model", "num_layers"), "2", "num_layers: expected an integer, got str"),
        (("model", "dtype"), ",", "dtype: expected float32 or float64, got ','"),
        (("model", "dropout"), float("nan"), "expected finite numbers, got NaN"),
        (("model", "cell_options"), {"proj_size": None}, "proj_size: expected an integer, got NoneType"),
        (("vocabulary", "symbols"), {"a": 1}, r"vocabulary\.symbols: expected a list, got dict"),
        (("vocabulary", "symbols"), ["a", 7], r"vocabulary\.symbols\[1\]: expected str, got int"),
        (("training", "step"), -1, r"training\.step: expected 0 \.\. \d+, got -1"),
        (("training", "best"), [1.0], r"training\.best: expected 2 entries, got 1"),
        (("training", "best"), ["x", 3], r"training\.best\[0\]: expected a number, got str"),
        (("training", "schedule"), {"decays": 10**30}, r"training\.schedule\.decays: expected 0 \.\."),
        (("training", "unfinished"), {"step": 3}, r"training\.unfinished\.epoch: missing"),
        (("training", "random"), 5, r"training\.random: expected a mapping, got int"),
        (("training", "average"), {"kind": 3}, r"training\.average\.updates: missing"),
    ],
)
def test_a_field_of_a_wrong_kind_or_range_is_named(goods, path, value, message):
    description = json.loads(json.dumps(goods[0].description))
    description[path[0]][path[1]] = value
    with pytest.raises(CheckpointError, match=message):
        parse_checkpoint(checkpoint_of(goods[0], description=description))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("accumulate", "2", r"training\.settings\.accumulate: expected an integer, got str"),
        ("accumulate", 0, r"training\.settings\.accumulate: expected 1 \.\. \d+, got 0"),
        ("files", None, r"training\.settings\.files: expected a list, got NoneType"),
        ("cutoffs", [0.5], r"training\.settings\.cutoffs\[0\]: expected an integer, got float"),
        ("dropout", 1, r"training\.settings\.dropout: expected a number in \[0, 1\), got 1"),
        ("tied", 1, r"training\.settings\.tied: expected True or False, got int"),
        ("optimizer", "lbfgs", r"training\.settings\.optimizer: expected one of 'sgd'"),
        ("hidden", 3, r"training\.settings\.hidden: unknown"),
    ],
)
def test_a_setting_of_a_wrong_kind_or_range_is_named(goods, name, value, message):
    description = json.loads(json.dumps(goods[0].description))
    description["training"]["settings"][name] = value
    checkpoint = parse_checkpoint(checkpoint_of(goods[0], description=description))
    with pytest.raises(CheckpointError, match=message):
        saved_settings(checkpoint)


def test_control_characters_of_a_file_do_not_reach_the_message(goods):
    description = json.loads(json.dumps(goods[0].description))
    description["model"]["\x1b[2J"] = 1
    with pytest.raises(CheckpointError, match=r"unknown \\x1b\[2J"):
        parse_checkpoint(checkpoint_of(goods[0], description=description))


class PanicException(BaseException):
    """What libraries written in Rust raise when they panic."""


def test_a_tokenizer_that_panics_is_an_error_of_the_file(goods, monkeypatch):
    class Tokenizer:
        @staticmethod
        def from_str(text):
            raise PanicException("index out of bounds")

    monkeypatch.setitem(sys.modules, "tokenizers", type("Fake", (), {"Tokenizer": Tokenizer}))
    description = json.loads(json.dumps(goods[-1].description))
    description["vocabulary"]["tokenizer"] = {"kind": "huggingface", "value": "{}"}
    with pytest.raises(CheckpointError, match="its tokenizer cannot be read: index out of bounds"):
        parse_checkpoint(checkpoint_of(goods[-1], description=description))


def test_the_state_of_a_stack_with_lstms_survives(tmp_path):
    fr = header_mutations.fr
    vocabulary = fr.Vocabulary.from_text("abc")
    ids = vocabulary.encode("abc" * 60)

    def trainer(model):
        return header_mutations.Trainer(model, fr.ChunkedText(ids, 2, 8))

    def model():
        stack = fr.Stack(fr.GRU(3, 4, seed=0), fr.LSTM(4, 4, seed=1))
        return fr.LanguageModel(3, rnn=stack, seed=0)

    straight, half = trainer(model()), trainer(model())
    expected = [record.loss for record in straight.run(8)]
    losses = [record.loss for record in half.run(4)]
    path = tmp_path / "model.safetensors"
    fr.train.save_checkpoint(path, half.model, vocabulary, half.state())
    checkpoint = fr.train.load_checkpoint(path)
    again = trainer(checkpoint.model)
    again.restore(checkpoint.training)
    assert losses + [record.loss for record in again.run(8)] == expected
