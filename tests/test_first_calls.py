"""What people who know PyTorch, Keras or NumPy type first: it works, or the answer is the line to type."""

import copy
import pickle
from collections import namedtuple

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.train import SGD, Adam, AdamW, RMSprop

T, N, D, H = 5, 2, 3, 4


@pytest.fixture
def lstm():
    return fr.LSTM(D, H, seed=0)


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((T, N, D)).astype(np.float32)


def stack():
    return fr.Stack(fr.GRU(D, H, seed=0), fr.LSTM(H, 6, seed=1))


def network():
    return fr.Sequential({"rnn": fr.LSTM(D, H, seed=0), "output": fr.Linear(H, 2, seed=1)})


@pytest.mark.parametrize("name", ["zero_grad", "zero_gradients"])
def test_gradients_are_set_to_zero_under_both_names(lstm, name):
    lstm.gradients.flat[...] = 1
    getattr(lstm, name)()
    assert not lstm.gradients.flat.any()


def test_an_optimizer_sets_the_gradients_of_all_its_modules_to_zero(lstm):
    output = fr.Linear(H, 2)
    lstm.gradients.flat[...] = output.gradients.flat[...] = 1
    Adam([lstm, output]).zero_grad()
    assert not lstm.gradients.flat.any()
    assert not output.gradients.flat.any()


def test_parameters_can_be_called_and_named(lstm):
    assert [p.shape for p in lstm.parameters()] == [v.shape for v in lstm.parameters.values()]
    assert sum(p.size for p in lstm.parameters()) == lstm.num_parameters
    assert list(dict(lstm.named_parameters())) == list(lstm.parameters)
    assert all(np.shares_memory(p, lstm.parameters.flat) for _, p in lstm.named_parameters())


def test_a_parameter_is_an_attribute(lstm):
    assert np.array_equal(lstm.weight_ih_l0, lstm.parameters["weight_ih_l0"])
    assert fr.Linear(3, 2).weight.shape == (2, 3)
    assert fr.Embedding(3, 2).weight.shape == (3, 2)
    assert not lstm.weight_ih_l0.flags.writeable
    assert {"weight_ih_l0", "bias_hh_l0", "forward"} <= set(dir(lstm))


def test_assigning_to_a_parameters_attribute_writes_it_and_repacks_the_weights(lstm, x):
    before = lstm(x)[0]
    lstm.weight_ih_l0 = np.zeros((4 * H, D))
    assert not lstm.parameters["weight_ih_l0"].any()
    assert not np.array_equal(lstm(x)[0], before)
    with pytest.raises(ValueError, match=r"^weight_ih_l0: expected \[16, 3\], got \[16, 2\]"):
        lstm.weight_ih_l0 = np.zeros((4 * H, 2))


def test_a_misspelt_parameter_is_not_set_in_silence(lstm):
    with pytest.raises(
        AttributeError, match=r"^weight_ih_10: expected one of the parameters, weight_ih_l0, "
    ):
        lstm.weight_ih_10 = np.zeros((4 * H, D))
    with pytest.raises(AttributeError, match=r"no attribute 'weight'; the parameters are weight_ih_l0, "):
        _ = lstm.weight
    lstm.note = "mine"
    assert lstm.note == "mine"


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize(
    "make", [lambda: fr.LSTM(D, H, seed=0), stack, network], ids=["lstm", "stack", "net"]
)
def test_attributes_leave_copies_and_pickles_as_they_were(make, twin, x):
    module = make()
    other = twin(module)
    assert repr(other) == repr(module)
    assert np.array_equal(other(x)[0], module(x)[0])
    assert not hasattr(other, "to")
    assert not hasattr(type(module).__new__(type(module)), "weight_ih_l0")  # as a copy that is being made


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("train", "forward(x) is the pass in training"),
        ("eval", "there is no mode"),
        ("to", "leave it out: fastrnn computes on the CPU"),
        ("cuda", "leave it out: fastrnn computes on the CPU"),
        ("requires_grad_", "write freeze() or unfreeze()"),
        ("double", 'make the layer with dtype="float64"'),
        ("flatten_parameters", "leave it out"),
        ("all_weights", "write parameters"),
        ("grad", "write gradients"),
        ("step", "stream = layer.stream(), then stream.step(x_t)"),
        ("save", "write fr.Sequential(layer).save(path)"),
        ("fit", "fr.train.Trainer"),
        ("skip", "write options.skip"),
    ],
)
def test_a_word_of_another_library_is_answered_with_the_line_to_type(lstm, name, answer):
    assert not hasattr(lstm, name)
    with pytest.raises(AttributeError) as caught:
        getattr(lstm, name)
    assert str(caught.value).startswith(f"'LSTM' object has no attribute {name!r}; ")
    assert answer in str(caught.value)
    assert (caught.value.name, caught.value.obj) == (name, lstm)  # for Python's own suggestions


def test_a_word_of_nobody_has_the_usual_message(lstm):
    with pytest.raises(AttributeError, match=r"^'LSTM' object has no attribute 'hiden_size'$"):
        _ = lstm.hiden_size


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"hx": 0}, "hx: not an argument; write state=, for an LSTM state=(h, c)"),
        ({"initial_state": 0}, "initial_state: not an argument; write state=, for an LSTM state=(h, c)"),
        ({"sequence_length": [5, 5]}, "sequence_length: not an argument; write lengths="),
        ({"length": [5, 5]}, "length: not an argument; did you mean lengths?"),
        ({"nothing_of_the_kind": 1}, "nothing_of_the_kind: not an argument"),
    ],
)
@pytest.mark.parametrize("make", [lambda: fr.LSTM(D, H), lambda: fr.Jordan(D, H, 2), stack, network])
def test_an_argument_of_another_library_is_answered_with_ours(make, x, given, answer):
    module = make()
    for call in (module, module.forward):
        with pytest.raises(TypeError) as caught:
            call(x, **given)
        assert str(caught.value) == answer


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (lambda: fr.LSTM(D, H, device="cpu"), "device: not an option of this layer; leave it out"),
        (lambda: fr.Linear(D, H, device="cpu"), "device: not an argument; leave it out: fastrnn"),
        (lambda: fr.Embedding(D, H, device="cuda"), "device: not an argument; leave it out"),
        (lambda: fr.Embedding(D, H, padding_idx=0), "padding_idx: not an argument; leave it out: -1 is"),
        (lambda: fr.LSTM(D, H, return_sequences=True), "return_sequences: not an option of this layer; le"),
        (lambda: fr.LSTM(D, H, num_layer=2), "num_layer: not an option of this layer; did you mean num_la"),
        (lambda: fr.GRU(D, H, layernorm=True), "layernorm: not an option of this layer; did you mean layer"),
        (lambda: fr.LSTM(D, H, quite_unknown=1), "quite_unknown: not an option of this layer"),
        (lambda: fr.LanguageModel(4, n_layers=2), "n_layers: not an argument; write num_layers="),
        (lambda: SGD(fr.Linear(2, 2), lr=0.1), "lr: not an argument; write learning_rate="),
        (lambda: RMSprop(fr.Linear(2, 2), eps=0.1), "eps: not an argument; write epsilon="),
        (lambda: Adam(fr.Linear(2, 2), lr=0.1), "lr: not an argument; write learning_rate="),
        (lambda: AdamW(fr.Linear(2, 2), lr=0.1), "lr: not an argument; write learning_rate="),
        (lambda: Adam(fr.Linear(2, 2).parameters()), "module[0]: expected a module, got an array; pass the"),
    ],
)  # fmt: skip
def test_a_constructor_answers_with_the_line_to_type(make, answer):
    with pytest.raises(TypeError) as caught:
        make()
    assert str(caught.value).startswith(answer)


class _TorchDtype:
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"torch.{self.name}"


@pytest.mark.parametrize(
    "dtype", [_TorchDtype("float64"), "torch.float64", "torch.double", np.float64, float]
)
def test_a_dtype_may_be_written_as_in_pytorch_and_numpy(dtype):
    assert fr.LSTM(D, H, dtype=dtype).dtype == np.float64
    assert fr.Linear(D, H, dtype=dtype).dtype == np.float64


def test_the_float_of_pytorch_has_32_bits():
    assert fr.Linear(D, H, dtype="torch.float").dtype == np.float32
    # NumPy knows bfloat16 once ml_dtypes is imported.
    with pytest.raises(TypeError, match=r'got (torch\.)?bfloat16; write precision="bfloat16"'):
        fr.Linear(D, H, dtype=_TorchDtype("bfloat16"))


@pytest.mark.torch
def test_dtypes_and_packed_sequences_of_pytorch_itself(torch, lstm):
    assert fr.GRU(D, H, dtype=torch.float64).dtype == np.float64
    pack = torch.nn.utils.rnn.pack_padded_sequence
    with pytest.raises(TypeError, match="got a PackedSequence; write x, lengths = pad_packed_sequence"):
        lstm(pack(torch.zeros(T, N, D), [5, 3]))


def test_a_packed_sequence_is_answered_with_lengths(lstm):
    kind = namedtuple("PackedSequence", "data batch_sizes sorted_indices unsorted_indices")
    packed = kind(np.zeros((7, D), np.float32), np.array([3, 2, 2]), None, None)
    for call in (lstm, lstm.forward, fr.Linear(D, 2)):
        with pytest.raises(
            TypeError, match=r"^x: expected a padded array, got a PackedSequence; .*lengths=lengths"
        ):
            call(packed)


@pytest.mark.parametrize("cell", [fr.RNN, fr.GRU, fr.LSTM])
def test_dropout_with_one_layer_is_a_warning_that_points_at_the_caller(cell):
    with pytest.warns(UserWarning, match=r"^dropout: 0.5 has no effect on one layer.*num_layers=2") as caught:
        cell(D, H, dropout=0.5)
    assert caught[0].filename == __file__
    assert cell(D, H, num_layers=2, dropout=0.5).dropout == 0.5  # warnings are errors here


def test_a_stack_is_a_sequence_of_its_layers():
    one = stack()
    assert len(one) == 2
    assert list(one) == list(one.layers)
    assert one[0] is one.layer0
    assert one[-1] is one.layer1
    assert one[1:] == (one.layer1,)
    with pytest.raises(IndexError):
        one[2]


def test_a_network_is_a_sequence_of_its_parts():
    one = network()
    assert len(one) == 2
    assert list(one) == [one.rnn, one.output]
    assert one[0] is one["rnn"] is one.rnn
    assert one[-1] is one.output
    assert one[:1] == (one.rnn,)
    with pytest.raises(KeyError):
        one["nothing"]


def test_sizes_have_the_names_of_pytorch():
    rnn = fr.LSTM(D, H, 2, bidirectional=True, batch_first=True, dropout=0.1, bias=False, proj_size=2)
    names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
    assert [getattr(rnn, name) for name in names] == [D, H, 2, False, True, 0.1, True]
    assert (rnn.proj_size, fr.GRU(D, H).proj_size) == (2, 0)
    assert fr.RNN(D, H, nonlinearity="relu").nonlinearity == "relu"


def test_loading_what_fits_returns_what_does_not(lstm):
    before = lstm.state_dict()
    state = {"weight_ih_l0": np.ones((4 * H, D)), "fc.weight": np.ones(3)}
    unmatched = lstm.load_state_dict(state, strict=False)
    assert unmatched.missing_keys == ["weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert unmatched.unexpected_keys == ["fc.weight"]
    assert (lstm.weight_ih_l0 == 1).all()
    assert np.array_equal(lstm.weight_hh_l0, before["weight_hh_l0"])
    assert lstm.load_state_dict(before) == ([], [])


def test_what_has_another_shape_is_refused_without_strict_too(lstm):
    before = lstm.state_dict()
    state = {"bias_ih_l0": np.ones(4 * H), "weight_ih_l0": np.ones((4 * H, 2))}
    with pytest.raises(ValueError, match=r"^weight_ih_l0: expected \[16, 3\], got \[16, 2\]"):
        lstm.load_state_dict(state, strict=False)
    assert all(np.array_equal(value, before[name]) for name, value in lstm.parameters.items())


def test_a_part_is_loaded_by_prefix_without_strict(lstm):
    state = {"encoder.weight_ih_l0": np.ones((4 * H, D)), "decoder.weight": 0}
    assert lstm.load_state_dict(state, strict=False, prefix="encoder.").unexpected_keys == []
    assert (lstm.weight_ih_l0 == 1).all()


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        (fr.Linear(2, 2), "got Linear; write state_dict()"),
        ("model.pt", "got str; read the file first: fr.interop.load_pt(path)"),
        (3, "got int"),
    ],
)
def test_what_is_no_state_dict_is_answered(lstm, state, answer):
    with pytest.raises(TypeError, match=r"^state_dict: expected a mapping of names to arrays, ") as caught:
        lstm.load_state_dict(state)
    assert str(caught.value).endswith(answer)


def test_parts_of_the_states_gradient_may_be_none(lstm, x):
    y, (h, c), tape = lstm.forward(x)
    dy, dh, dc = (np.ones_like(a) for a in (y, h, c))
    zero = np.zeros_like(h)
    for given, full in (((dh, None), (dh, zero)), ((None, dc), (zero, dc)), ([None, dc], (zero, dc))):
        for own in (dy, None):
            lstm.zero_grad()
            dx, (dh0, dc0) = lstm.backward(tape, own, dstate=given)
            gradients = lstm.gradients.flat.copy()
            lstm.zero_grad()
            expected, (dh1, dc1) = lstm.backward(tape, own, full)
            assert np.array_equal(dx, expected)
            assert np.array_equal(dh0, dh1)
            assert np.array_equal(dc0, dc1)
            assert np.array_equal(gradients, lstm.gradients.flat)


@pytest.mark.parametrize(
    ("make", "parts"), [(lambda: fr.LSTM(D, H), (None, None)), (stack, (None, None)), (network, (None,))]
)
def test_there_must_be_a_gradient(make, parts, x):
    module = make()
    _, _, tape = module.forward(x)
    for nothing in (None, parts):
        with pytest.raises(ValueError, match=r"^dy, dstate: expected at least one gradient, got None"):
            module.backward(tape, None, nothing)


def test_stacks_and_networks_go_backwards_from_the_state_alone(x):
    for module, dstate in (
        (stack(), (None, (None, np.ones((1, N, 6), np.float32)))),
        (network(), ((np.ones((1, N, H), np.float32), None),)),
    ):
        y, _, tape = module.forward(x)
        dx, _ = module.backward(tape, None, dstate)
        expected, _ = module.backward(tape, np.zeros_like(y), dstate)
        assert dx.any()
        assert np.array_equal(dx, expected)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("nn", "; layers are names of fastrnn itself: fr.LSTM"),
        ("no_grad", "; leave it out: a call keeps nothing for gradients"),
        ("Adam", "; write fr.train.Adam"),
        ("SequenceClassifier", "; write fr.models.SequenceClassifier"),
        ("softmax_crossentropy", ""),
        ("_nothing", ""),
    ],
)
def test_a_name_that_the_package_lacks_is_answered_with_its_place(name, answer):
    with pytest.raises(AttributeError) as caught:
        getattr(fr, name)
    assert str(caught.value) == f"module 'fastrnn' has no attribute {name!r}{answer}"
