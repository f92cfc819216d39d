"""fr.quantize: what is rounded and how, what stays as it was, and what a quantized model refuses."""

import copy
import pickle

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.files.quantized_tensors import rounded_weight
from fastrnn.layers import AdaptiveSoftmax, Softmax
from fastrnn.train import clip_gradient_norm, load_checkpoint, save_checkpoint

PRECISIONS = ("int8", "bfloat16")


def network(seed=0):
    return fr.Sequential(
        {
            "embedding": fr.Embedding(9, 6, seed=seed),
            "rnn": fr.LSTM(6, 8, 2, bidirectional=True, seed=seed),
            "head": fr.Head(16, [7], 9, seed=seed),
        }
    )


def weight_of(rows, columns, seed=0, scale=1.0):
    return (np.random.default_rng(seed).normal(size=(rows, columns)) * scale).astype(np.float32)


def bits(module):
    return module.parameters.flat.tobytes()


def test_bfloat16_rounds_to_nearest_even():
    one = 2.0**-7  # the step of bfloat16 from 1 to 2
    weight = np.float32([[1 + one / 2, 1 + 1.5 * one, 1 + 0.51 * one, -1 - 0.49 * one, -0.0, 3e38]])
    expected = [1, 1 + 2 * one, 1 + one, -1, -0.0, float(np.float32(3e38).view(np.uint32) >> 16)]
    rounded = rounded_weight("w", weight, "bfloat16")[0]
    assert rounded[:5].tolist() == expected[:5]
    assert np.signbit(rounded[4])
    assert abs(rounded[5] - weight[0, 5]) <= weight[0, 5] / 256


def test_an_int8_row_is_a_whole_multiple_of_its_scale():
    weight = weight_of(50, 33) * np.float32(10.0) ** np.arange(-25, 25, dtype=np.float32)[:, None]
    rounded = rounded_weight("w", weight, "int8")
    largest = np.abs(weight).max(axis=1)
    for row, before, most in zip(rounded, weight, largest, strict=True):
        scale = np.abs(row).max() / np.float32(127)
        assert most / 127 * (1 - 1e-6) <= scale <= most / 127 * (1 + 2.0**-15)
        assert scale.view(np.uint32) & 0xFF == 0, "more than 16 significant bits"
        q = row.astype(np.float64) / scale
        assert (q == np.rint(q)).all()
        assert np.abs(q).max() == 127
        assert (np.abs(row.astype(np.float64) - before) <= scale * (0.5 + 1e-6)).all()


def test_an_int8_row_of_zeros_or_of_hardly_more_is_zero():
    weight = np.zeros((3, 4), np.float32)
    weight[1], weight[2, 0] = 2.0**-101, 2.0**-99
    rounded = rounded_weight("w", weight, "int8")
    assert not rounded[:2].any()
    assert rounded[2, 0] == pytest.approx(2.0**-99, rel=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("scale", [1e-38, 1e-29, 1e-4, 1.0, 1e30])
def test_rounding_a_second_time_changes_nothing(precision, scale):
    once = rounded_weight("w", weight_of(200, 17, seed=3, scale=scale), precision)
    assert rounded_weight("w", once, precision).tobytes() == once.tobytes()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_numbers_that_the_precision_cannot_hold_are_refused_by_name(precision):
    linear = fr.Linear(2, 2, seed=0)
    linear.parameters["weight"] = [[1, 2], [3, np.finfo(np.float32).max]]
    with pytest.raises(ValueError, match=f"^weight: expected numbers that {precision} can hold, got 3.4028"):
        fr.quantize(linear, precision)
    state = {"weight": np.float32([[1, np.nan], [0, 0]]), "bias": np.zeros(2, "f")}
    linear.load_state_dict(state, allow_nonfinite=True)
    with pytest.raises(ValueError, match=r"^weight: expected finite numbers to quantize, got NaN"):
        fr.quantize(linear, precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_copy_has_rounded_weights_and_all_else_as_it_was(precision):
    model = network()
    before = bits(model)
    small = fr.quantize(model, precision)
    assert bits(model) == before
    assert type(small) is type(model)
    assert not model.quantized
    assert model.precision == model.rnn.precision == "float32"
    for part in (small, small.embedding, small.rnn, small.head, small.head.hidden0, small.head.output):
        assert part.quantized
    assert small.precision == small.rnn.precision == small.head.output.precision == precision
    for name, value in model.parameters.items():
        is_weight = "weight" in name
        expected = rounded_weight(name, np.array(value), precision) if is_weight else value
        assert small.parameters[name].tobytes() == expected.tobytes(), name
        assert (small.parameters[name] != value).any() == is_weight, name


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_tied_embedding_lies_on_the_grid_for_both_its_uses(precision):
    small = fr.quantize(fr.LanguageModel(7, hidden_size=5, embedding_size=5, tied=True, seed=0), precision)
    weight = np.array(small.parameters["embedding.weight"])
    assert rounded_weight("w", weight, precision).tobytes() == weight.tobytes()
    assert small.output.embedding is small.embedding
    assert small.output.precision == precision


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (network, ("int4",), ValueError, "precision: expected 'bfloat16' or 'int8'"),
        (network, ("float32",), ValueError, "precision: expected 'bfloat16' or 'int8'"),
        (lambda: fr.LSTM(2, 3, dtype="float64"), ("int8",), ValueError, "expected dtype float32 .*float64"),
        (lambda: fr.quantize(network(), "int8"), ("bfloat16",), ValueError, "quantized already; quantize"),
        (lambda: np.zeros(3), ("int8",), TypeError, "expected a layer or a model, got ndarray"),
        (lambda: fr.models.SequenceClassifier(), ("int8",), ValueError, "not fitted yet; call fit before qu"),
        (lambda: fr.models.SequenceClassifier, ("int8",), TypeError, "expected a layer or a model, got "),
        (lambda: fr.Linear(65_537, 1, seed=0), ("int8",), ValueError, "^weight: expected at most 65,536 col"),
    ],
)  # fmt: skip
def test_what_cannot_be_quantized_is_refused_with_a_reason(make, arguments, error, message):
    with pytest.raises(error, match=message):
        fr.quantize(make(), *arguments)


def test_bfloat16_has_no_limit_of_columns():
    assert fr.quantize(fr.Linear(65_537, 1, seed=0), "bfloat16").quantized


WRITES = {
    "an item": lambda q: q.parameters.__setitem__("rnn.weight_ih_l0", q.parameters["rnn.weight_ih_l0"] * 2),
    "an attribute": lambda q: setattr(q.rnn, "weight_hh_l0", np.array(q.rnn.weight_hh_l0)),
    "a bias": lambda q: q.parameters.__setitem__("head.output.bias", np.zeros(9)),
    "flat": lambda q: setattr(q.parameters, "flat", np.zeros(q.num_parameters)),
    "edit": lambda q: q.parameters.edit().__enter__(),
    "edit of a part": lambda q: q.rnn.parameters.edit().__enter__(),
    "load_state_dict": lambda q: q.load_state_dict(q.state_dict()),
    "init": lambda q: fr.init.orthogonal(q.rnn),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_parameters_of_a_quantized_model_cannot_be_written(write):
    small = fr.quantize(network(), "int8")
    before = bits(small)
    with pytest.raises(ValueError, match=r"quantized: these parameters .* then fr.quantize\(model, \.\.\.\)"):
        write(small)
    assert bits(small) == before


TRAINING = {
    "forward": lambda q: q.forward(np.zeros((2, 1), int)),
    "forward of a part": lambda q: q.rnn.forward(np.zeros((2, 1, 6), "f")),
    "forward of a linear layer": lambda q: q.head.output.forward(np.zeros((2, 7), "f")),
    "gradients": lambda q: q.gradients,
    "zero_grad": lambda q: q.zero_grad(),
    "clipping": lambda q: clip_gradient_norm(q, 1.0),
}


@pytest.mark.parametrize("train", TRAINING.values(), ids=TRAINING)
def test_a_quantized_model_refuses_to_be_trained(train):
    with pytest.raises(ValueError, match=r"^quantized: this .* is for inference; train the model that it"):
        train(fr.quantize(network(), "bfloat16"))


def test_a_quantized_language_model_and_its_softmax_refuse_to_be_trained():
    small = fr.quantize(fr.LanguageModel(5, hidden_size=4, num_layers=1, seed=0), "int8")
    with pytest.raises(ValueError, match=r"^quantized: "):
        small.loss_and_gradients([[0], [1]], [[1], [2]])
    softmax = fr.quantize(Softmax(3, 4, seed=0), "int8")
    with pytest.raises(ValueError, match=r"^quantized: "):
        softmax.losses_and_gradients(np.ones((2, 3), "f"), np.array([1, 3]))


def test_the_state_of_a_quantized_model_loads_into_one_that_is_not():
    small = fr.quantize(network(), "int8")
    other = network(seed=5)
    other.load_state_dict(small.state_dict())
    assert bits(other) == bits(small)
    assert not other.quantized
    assert bits(fr.quantize(other, "int8")) == bits(small)


def test_a_quantized_layer_is_no_part_of_a_new_network():
    with pytest.raises(ValueError, match="part0: expected a module that is not quantized; join the modules"):
        fr.Sequential(fr.quantize(fr.LSTM(2, 3, seed=0), "int8"), fr.Linear(3, 1))


@pytest.mark.parametrize("how", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_and_pickles_of_a_quantized_model_are_quantized(how):
    small = fr.quantize(network(), "int8")
    twin = how(small)
    assert twin.quantized
    assert twin.precision == twin.rnn.precision == "int8"
    assert bits(twin) == bits(small)
    with pytest.raises(ValueError, match="quantized"):
        twin.parameters["head.output.bias"] = np.zeros(9)


def test_a_part_is_quantized_alone_and_leaves_its_network():
    model = network()
    rnn = fr.quantize(model.rnn, "int8")
    assert rnn.quantized
    assert not model.quantized
    model.parameters["head.output.bias"] = np.ones(9)


def test_frozen_parameters_stay_frozen():
    model = network()
    model.freeze("embedding")
    assert fr.quantize(model, "int8").frozen == ("embedding.weight",)


def test_cells_with_options_and_the_adaptive_softmax_stay_float32():
    model = fr.LanguageModel(
        12, rnn=fr.Stack(fr.LSTM(4, 4, layer_norm=True, seed=0), fr.GRU(4, 4, seed=1)), embedding_size=4,
        cutoffs=[4], seed=0,
    )  # fmt: skip
    small = fr.quantize(model, "int8")
    changed = {name for name in model.parameters if (small.parameters[name] != model.parameters[name]).any()}
    assert changed == {"embedding.weight", "rnn.layer1.weight_ih_l0", "rnn.layer1.weight_hh_l0"}
    assert isinstance(small.output, AdaptiveSoftmax)
    assert small.output.precision == small.rnn.layer0.precision == "float32"


@pytest.mark.parametrize(
    "module",
    [
        fr.CRF(3),
        fr.SLSTM(3, 4),
        fr.MinGRU(3, 4),
        fr.LSTM(3, 4, peephole=True),
        fr.Jordan(3, 4, 2),
        fr.AdditiveAttention(3, 4, 5),
        fr.AttentionPooling(3, 4),
        fr.layers.Logistic(3, 2),
        fr.layers.TiedSoftmax(fr.Embedding(4, 3)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_a_layer_of_float32_only_has_nothing_to_quantize(module):
    with pytest.raises(ValueError, match=f"got none in this {type(module).__name__}; LSTM, GRU"):
        fr.quantize(module, "int8")


def test_a_checkpoint_is_answered_with_the_attribute_to_pass(tmp_path):
    vocabulary = fr.Vocabulary("ab")
    model = fr.LanguageModel(2, hidden_size=3)
    save_checkpoint(tmp_path / "m.safetensors", model, vocabulary)
    checkpoint = load_checkpoint(tmp_path / "m.safetensors")
    with pytest.raises(TypeError, match=r"^model: expected .*, got Checkpoint; pass its attribute model$"):
        fr.quantize(checkpoint, "int8")
    assert fr.quantize(checkpoint.model, "int8").quantized
