"""Weights from elsewhere: prefixes, narrow floats, numbers that do not fit, and parts that do not match."""

import json
import warnings

import numpy as np
import pytest
from safetensors.numpy import save

import fastrnn as fr
from fastrnn.data import SentenceBatches
from fastrnn.decode import next_symbols, sample, samples, score
from fastrnn.train import (
    CheckpointError,
    Trainer,
    Validation,
    evaluate_sentences,
    load_checkpoint,
    save_checkpoint,
)
from fastrnn.train.checkpoint import describe_checkpoint


@pytest.fixture
def layer():
    return fr.Linear(3, 2, seed=0)


def bits(layer):
    return layer.parameters.flat.tobytes()


def with_prefix(prefix, state):
    return {prefix + name: value for name, value in state.items()}


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- prefixes ---


def test_a_part_of_a_larger_model_is_loaded_by_its_prefix(layer):
    other = fr.Linear(3, 2, seed=1)
    state = with_prefix("model.out.", other.state_dict()) | {"model.rnn.weight": np.zeros(3), 7: None}
    layer.load_state_dict(state, prefix="model.out.")
    assert bits(layer) == bits(other)


def test_a_prefix_that_all_names_share_is_proposed(layer):
    state = with_prefix("model.rnn.", layer.state_dict())
    with pytest.raises(
        ValueError, match=r"^state_dict: no weight, .* pass prefix='model\.rnn\.' to load them$"
    ):
        layer.load_state_dict(state)
    both = state | with_prefix("ema.", layer.state_dict())
    with pytest.raises(ValueError, match=r"pass prefix='model\.rnn\.' or prefix='ema\.' to load them$"):
        layer.load_state_dict(both)


def test_a_prefix_under_which_a_name_is_missing_is_not_proposed(layer):
    with pytest.raises(ValueError, match=r"^state_dict: missing weight, bias; unknown m\.weight$"):
        layer.load_state_dict({"m.weight": np.zeros((2, 3))})


def test_a_prefix_of_nothing_is_named_and_the_module_unchanged(layer):
    before = bits(layer)
    with pytest.raises(
        ValueError, match=r"^prefix: expected the beginning of a name .* got 'rnn\.'; it has weight"
    ):
        layer.load_state_dict(layer.state_dict(), prefix="rnn.")
    with pytest.raises(ValueError, match=r"^state_dict: missing bias$"):
        layer.load_state_dict({"a.weight": np.zeros((2, 3))}, prefix="a.")
    assert bits(layer) == before


# --- narrow floats ---

HALVES = [1.0, -2.5, 0.15625, 3.0e38, 1e-40, -0.0]  # of bfloat16, subnormal and large ones too


def torch_bfloat16():
    torch = pytest.importorskip("torch")
    return torch.tensor(HALVES).reshape(2, 3).to(torch.bfloat16)


def ml_dtypes_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    return np.array(HALVES, np.float32).reshape(2, 3).astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("make", [pytest.param(torch_bfloat16, marks=pytest.mark.torch), ml_dtypes_bfloat16])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bfloat16_is_widened_exactly(make, dtype):
    given = make()
    layer = fr.Linear(3, 2, dtype=dtype, seed=0)
    layer.load_state_dict({"weight": given, "bias": np.zeros(2, np.float16)})
    expected = given.float().numpy() if hasattr(given, "float") else given.astype(np.float32)
    np.testing.assert_array_equal(layer.parameters["weight"], expected.astype(dtype))
    layer.parameters["weight"] = given.T.reshape(2, 3)
    turned = expected.T.reshape(2, 3)
    np.testing.assert_array_equal(layer.parameters["weight"], turned)


def test_float16_is_widened_exactly(layer):
    given = np.array([[1.5, -2.0, 65504.0], [6e-8, 0.0, -0.0]], np.float16)
    layer.load_state_dict({"weight": given, "bias": np.zeros(2, np.float16)})
    np.testing.assert_array_equal(layer.parameters["weight"], given.astype(np.float32))


def checkpoint_with(path, dtype):
    """Write a checkpoint whose parameters have half the width, and return the exact values."""
    vocabulary = fr.Vocabulary("abc")
    model = fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0)
    tensors, description = describe_checkpoint(model, vocabulary)
    if dtype == "F16":
        tensors = {name: array.astype(np.float16) for name, array in tensors.items()}
        exact = {name: array.astype(np.float32) for name, array in tensors.items()}
    else:  # the upper halves, which is truncation
        tensors = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in tensors.items()}
        exact = {name: (array.astype(np.uint32) << 16).view(np.float32) for name, array in tensors.items()}
    content = save(tensors, {"fastrnn": json.dumps(description)})
    if dtype == "BF16":
        content = content.replace(b'"dtype":"U16"', b'"dtype":"BF16"')
        length = int.from_bytes(content[:8], "little") + len(tensors)
        content = length.to_bytes(8, "little") + content[8:]
    path.write_bytes(content)
    return exact


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_a_checkpoint_of_half_the_width_is_widened_exactly(tmp_path, dtype):
    path = tmp_path / "model.safetensors"
    exact = checkpoint_with(path, dtype)
    model = load_checkpoint(path).model
    assert model.dtype == np.float32
    for name, values in exact.items():
        np.testing.assert_array_equal(model.parameters[name], values)


# --- numbers that do not fit ---


@pytest.mark.parametrize("value", [1e300, -1e39])
def test_a_number_too_large_for_the_dtype_is_named_with_its_parameter(layer, value):
    before = bits(layer)
    state = {"weight": np.zeros((2, 3)), "bias": np.array([0.0, value])}
    for allow in (False, True):
        with pytest.raises(ValueError, match=r"^bias: -?1e\+\d+ at \[1\] is too large for float32$"):
            layer.load_state_dict(state, allow_nonfinite=allow)
    with pytest.raises(ValueError, match=r"^bias: .* too large for float32$"):
        layer.parameters["bias"] = state["bias"]
    assert bits(layer) == before
    fr.Linear(3, 2, dtype="float64").load_state_dict(state)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_load_only_on_request(layer, value):
    before = bits(layer)
    weight = np.zeros((2, 3), np.float32)
    weight[1, 2] = value
    state = {"weight": weight, "bias": np.zeros(2)}
    with pytest.raises(
        ValueError, match=rf"^weight: expected finite numbers, got {value} at \[1, 2\]; .*allow_n"
    ):
        layer.load_state_dict(state)
    assert bits(layer) == before
    layer.load_state_dict(state, allow_nonfinite=True)
    np.testing.assert_array_equal(layer.parameters["weight"], weight)


def test_an_average_or_a_moment_that_is_not_a_number_is_refused(tmp_path):
    vocabulary = fr.Vocabulary("abc")
    model = fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0)
    trainer = Trainer(model, fr.ChunkedText([0, 1, 2] * 20, 2, 5))
    list(trainer.run(2))
    state = trainer.state()
    state.arrays["optimizer.first"][5] = np.nan
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, model, vocabulary, state)
    with pytest.raises(
        CheckpointError, match=r"training\.optimizer\.first: expected finite numbers, got nan"
    ):
        load_checkpoint(path)
    assert load_checkpoint(path, allow_nonfinite=True).training is not None


# --- vocabulary, model and data ---


def lm(**options):
    return fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0, **options)


@pytest.mark.parametrize(
    ("vocabulary", "options", "message"),
    [
        (fr.Vocabulary("ab"), {}, "the vocabulary has 2 symbols, the model 3"),
        (
            fr.Vocabulary("ab", eos="<eos>"),
            {"eos": 1},
            "eos: the model ends texts with id 1, the vocabulary with id 2",
        ),
        (
            fr.Vocabulary("ab", bos="<bos>"),
            {"start": 0},
            "start: the model starts texts with id 0, the vocabulary",
        ),
        (fr.Vocabulary("ab", bos="<bos>"), {"start": -1}, "start: the model starts texts with no symbol"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused_at_saving_and_decoding(
    tmp_path, vocabulary, options, message
):
    model, path = lm(**options), tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    for use in (
        lambda: save_checkpoint(path, model, vocabulary),
        lambda: score(model, vocabulary, "ab"),
        lambda: next_symbols(model, vocabulary, "ab"),
        lambda: sample(model, vocabulary, "a", 3),
        lambda: samples(model, vocabulary, 2, "a", max_length=3),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            use()
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("vocabulary", "options"),
    [
        (fr.Vocabulary("abc"), {"eos": 2, "start": 2}),
        (fr.Vocabulary("ab", eos="<eos>"), {}),
        (fr.Vocabulary("ab", eos="<eos>"), {"eos": 2, "start": -1}),
        (fr.Vocabulary("ab", bos="<bos>"), {"start": 2}),
        (fr.Vocabulary("ab", bos="<bos>"), {}),
    ],
)
def test_a_vocabulary_that_fits_is_saved(tmp_path, vocabulary, options):
    save_checkpoint(tmp_path / "m", lm(**options), vocabulary)
    assert load_checkpoint(tmp_path / "m").vocabulary == vocabulary


@pytest.mark.parametrize(
    ("options", "batches", "message"),
    [
        ({"eos": 0, "start": -1}, {"eos": 2}, "eos: the model ends texts with id 0, {} with id 2"),
        ({"start": 1}, {}, "start: the model starts texts with id 1, {} with id -1"),
        ({"start": -1}, {"start": 1}, "start: the model starts texts with id -1, {} with id 1"),
    ],
)
def test_sentences_that_start_or_end_otherwise_are_refused(options, batches, message):
    model, data = lm(**options), SentenceBatches([[1, 0], [1]], 2, seed=0, **batches)
    with pytest.raises(ValueError, match=f"^{message.format('data')}$"):
        Trainer(model, data)
    with pytest.raises(ValueError, match=f"^{message.format('validation')}$"):
        Trainer(model, fr.ChunkedText([0, 1, 2] * 9, 1, 3), validation=Validation(data))
    with pytest.raises(ValueError, match=f"^{message.format('sentences')}$"):
        evaluate_sentences(model, data)


def test_sentences_that_say_the_same_or_nothing_are_taken():
    data = SentenceBatches([[1, 0], [1]], 2, eos=2, seed=0)
    for options in ({}, {"eos": 2}, {"start": -1}, {"eos": 2, "start": -1}):
        list(Trainer(lm(**options), data).run(1))
