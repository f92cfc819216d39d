"""Parameters and gradients: flat arrays, names, writing, versions, saving and loading."""

import copy
import math
import pickle

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers import Composite
from fastrnn.train import SGD


def make_lstm(seed=0, **options):
    return fr.LSTM(3, 5, num_layers=2, bidirectional=True, seed=seed, **options)


def make_input(rows=2):
    return np.random.default_rng(1).standard_normal((4, rows, 3), dtype=np.float32)


def test_names_shapes_and_order_are_pytorchs(torch):
    for ours, theirs in [
        (make_lstm(), torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True)),
        (fr.GRU(3, 5, 2, bias=False), torch.nn.GRU(3, 5, 2, bias=False)),
        (fr.RNN(3, 5), torch.nn.RNN(3, 5)),
        (fr.Linear(3, 5), torch.nn.Linear(3, 5)),
        (fr.Embedding(3, 5), torch.nn.Embedding(3, 5)),
    ]:
        expected = [(name, tuple(tensor.shape)) for name, tensor in theirs.state_dict().items()]
        assert [(name, array.shape) for name, array in ours.parameters.items()] == expected


def test_all_parameters_are_one_flat_array():
    rnn = make_lstm()
    assert np.array_equal(np.concatenate([p.ravel() for p in rnn.parameters.values()]), rnn.parameters.flat)
    assert all(np.shares_memory(p, rnn.parameters.flat) for p in rnn.parameters.values())
    assert rnn.num_parameters == rnn.parameters.flat.size == sum(p.size for p in rnn.parameters.values())


def test_gradients_have_the_same_layout():
    rnn = make_lstm()
    rnn.gradients.flat[...] = rnn.parameters.flat
    assert list(rnn.gradients) == list(rnn.parameters)
    assert all(np.array_equal(rnn.gradients[name], array) for name, array in rnn.parameters.items())
    rnn.gradients["bias_hh_l1"] += 1.0
    assert np.array_equal(rnn.gradients["bias_hh_l1"], rnn.parameters["bias_hh_l1"] + 1)
    rnn.zero_gradients()
    assert not rnn.gradients.flat.any()


def test_parameters_start_as_in_pytorch():
    bound = 1 / math.sqrt(64)
    for flat in (fr.LSTM(8, 64, seed=0).parameters.flat, fr.Linear(64, 300, seed=0).parameters.flat):
        assert -bound <= flat.min() < -0.99 * bound
        assert 0.99 * bound < flat.max() < bound
        assert abs(flat.mean()) < 0.01 * bound
    normal = fr.Embedding(200, 100, seed=0).parameters.flat
    assert abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1) < 0.03


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_seed_determines_the_initial_parameters(dtype):
    one, same, other = (make_lstm(seed, dtype=dtype).parameters.flat for seed in (7, 7, 8))
    assert one.tobytes() == same.tobytes() != other.tobytes()
    assert make_lstm(None).parameters.flat.tobytes() != make_lstm(None).parameters.flat.tobytes()
    generator = np.random.default_rng(7)
    assert make_lstm(generator, dtype=dtype).parameters.flat.tobytes() == one.tobytes()
    assert make_lstm(generator, dtype=dtype).parameters.flat.tobytes() != one.tobytes()


def test_parameters_are_read_only():
    rnn = make_lstm()
    for array in (rnn.parameters.flat, rnn.parameters["weight_hh_l0"]):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0


def test_setting_one_by_name_checks_it():
    parameters = fr.Linear(3, 2, seed=0).parameters
    before = parameters.flat.copy()
    with pytest.raises(ValueError, match=r"^weight: expected \[2, 3\], got \[3, 2\]$"):
        parameters["weight"] = np.zeros((3, 2), np.float32)
    with pytest.raises(TypeError, match=r"^bias: expected floats, got int64$"):
        parameters["bias"] = np.zeros(2, np.int64)
    with pytest.raises(KeyError, match="wait"):
        parameters["wait"] = np.zeros(2, np.float32)
    assert np.array_equal(parameters.flat, before)
    parameters["bias"] = np.array([1 / 3, 2.0])
    assert parameters["bias"].tolist() == [np.float32(1 / 3), 2.0]


def test_an_edit_ends_with_its_block():
    parameters = fr.Linear(3, 2, seed=0).parameters
    before = parameters.version
    with parameters.edit() as views:
        views["bias"][0] = 5.0
        views["weight"] *= 0.0
        views.flat[-1] = 6.0
        assert parameters.version != parameters.version
    assert parameters.version > before
    assert parameters.flat.tolist() == [0.0] * 6 + [5.0, 6.0]
    for array in (views["bias"], views.flat):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0


def test_an_edit_ends_with_an_exception_too():
    parameters = fr.Linear(3, 2, seed=0).parameters
    with pytest.raises(ZeroDivisionError), parameters.edit() as views:
        views["bias"][0] = 1 / 0
    assert parameters.version == parameters.version
    with parameters.edit(), parameters.edit():
        pass
    assert parameters.version == parameters.version


def set_by_name(rnn):
    rnn.parameters["bias_ih_l0"] = rnn.parameters["bias_ih_l0"] + 1.0


def set_in_an_edit(rnn):
    with rnn.parameters.edit() as views:
        views["weight_hh_l1_reverse"][...] += 1.0


def set_flat(rnn):
    with rnn.parameters.edit() as views:
        views.flat[...] *= 0.5


def load(rnn):
    rnn.load_state_dict(make_lstm(99).state_dict())


def optimise(rnn):
    rnn.gradients.flat[...] = 1.0
    SGD(rnn, learning_rate=0.1).step()


def set_through_an_owner(rnn):
    model = Composite(rnn=rnn, output=fr.Linear(10, 2, seed=0))
    model.parameters["rnn.bias_ih_l0"] = rnn.parameters["bias_ih_l0"] + 1.0


@pytest.mark.parametrize(
    "write", [set_by_name, set_in_an_edit, set_flat, load, optimise, set_through_an_owner]
)
def test_no_way_of_writing_leaves_a_stale_pack(write):
    rnn, x = make_lstm(), make_input()
    before, _ = rnn(x)
    write(rnn)
    fresh = make_lstm(1)
    fresh.load_state_dict(rnn.state_dict())
    after, _ = rnn(x)
    assert after.tobytes() == fresh(x)[0].tobytes() != before.tobytes()
    assert rnn.forward(x)[0].tobytes() == after.tobytes()


def set_by_name_of_linear(linear):
    linear.parameters["bias"] = [1.0, 2.0]


def set_linear_in_an_edit(linear):
    with linear.parameters.edit() as views:
        views["weight"][...] += 1.0


def load_linear(linear):
    linear.load_state_dict(fr.Linear(3, 2, seed=99).state_dict())


def set_linear_through_an_owner(linear):
    Composite(rnn=fr.GRU(2, 3, seed=0), output=linear).parameters["output.bias"] = [1.0, 2.0]


@pytest.mark.parametrize(
    "write",
    [
        set_by_name_of_linear,
        set_linear_in_an_edit,
        set_flat,
        load_linear,
        optimise,
        set_linear_through_an_owner,
    ],
)
def test_no_way_of_writing_leaves_a_stale_pack_of_a_linear_layer(write):
    linear, x = fr.Linear(3, 2, seed=0), np.ones((4, 3), np.float32)
    before = linear(x)
    assert linear._packed_weights() is linear._packed_weights()
    write(linear)
    fresh = fr.Linear(3, 2, seed=1)
    fresh.load_state_dict(linear.state_dict())
    assert linear(x).tobytes() == fresh(x).tobytes() != before.tobytes()


def test_a_call_inside_an_edit_sees_what_is_written_so_far():
    rnn, x = make_lstm(), make_input()
    seen = []
    with rnn.parameters.edit() as views:
        for scale in (1.0, 0.5, 0.5):
            views.flat[...] *= scale
            seen.append(rnn(x)[0].tobytes())
    assert len(set(seen)) == 3
    assert rnn(x)[0].tobytes() == seen[-1]


def test_packs_are_kept_while_nothing_changes():
    rnn, x = make_lstm(), make_input()
    rnn(x)
    version = rnn.parameters.version
    rnn.backward(rnn.forward(x)[2], np.ones((4, 2, 10), np.float32))
    rnn.state_dict()
    assert rnn.parameters.version == version


def test_a_state_dict_is_a_copy():
    rnn = make_lstm()
    state = rnn.state_dict()
    assert list(state) == list(rnn.parameters)
    state["bias_ih_l0"][...] = 9.0
    assert not (rnn.parameters["bias_ih_l0"] == 9.0).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.pop("bias"), ValueError, "state_dict: missing bias"),
        (lambda s: s.update(wait=0.0), ValueError, "state_dict: unknown wait"),
        (
            lambda s: s.update(Bias=s.pop("bias")),
            ValueError,
            "state_dict: missing bias; unknown Bias",
        ),
        (lambda s: s.update(bias=np.zeros(3)), ValueError, "bias: expected [2], got [3]"),
        (lambda s: s.update(bias=np.zeros((1, 2))), ValueError, "bias: expected [2], got [1, 2]"),
        (lambda s: s.update(bias=np.zeros(2, bool)), TypeError, "bias: expected floats, got bool"),
        (lambda s: s.update(bias="two"), TypeError, "bias: expected an array, got str"),
        (lambda s: s.update(bias=None), TypeError, "bias: expected an array, got NoneType"),
    ],
)
def test_loading_what_does_not_fit_changes_nothing(change, error, message):
    linear = fr.Linear(3, 2, seed=0)
    before, version = linear.parameters.flat.copy(), linear.parameters.version
    state = {"weight": np.ones((2, 3)), "bias": np.ones(2)}
    change(state)
    with pytest.raises(error) as caught:
        linear.load_state_dict(state)
    assert str(caught.value) == message
    assert np.array_equal(linear.parameters.flat, before)
    assert linear.parameters.version == version


def test_loading_rounds_to_the_layers_dtype():
    linear = fr.Linear(1, 1, seed=0)
    for dtype in (np.float16, np.float32, np.float64):
        linear.load_state_dict({"weight": np.full((1, 1), 1 / 3, dtype), "bias": [0]})
        assert linear.parameters["weight"][0, 0] == np.float32(dtype(1 / 3))


def test_loading_takes_tensors(torch):
    theirs = torch.nn.Linear(3, 2)
    ours = fr.Linear(3, 2)
    ours.load_state_dict(theirs.state_dict())
    assert np.array_equal(ours.parameters["weight"], theirs.weight.detach().numpy())
    with torch.no_grad():
        theirs.weight.zero_()
    assert ours.parameters["weight"].any()


def make_composite(dtype="float32"):
    return Composite(
        rnn=fr.GRU(3, 4, seed=0, dtype=dtype),
        output=fr.Linear(4, 2, seed=1, dtype=dtype),
    )


def test_a_composite_has_one_flat_array_for_all():
    rnn, linear = fr.GRU(3, 4, seed=0), fr.Linear(4, 2, seed=1)
    values = np.concatenate([rnn.parameters.flat, linear.parameters.flat])
    parts = rnn.parameters
    model = Composite(rnn=rnn, output=linear)
    assert np.array_equal(model.parameters.flat, values)
    assert model.rnn is rnn
    assert rnn.parameters is parts
    for name, array in model.parameters.items():
        owner, _, own_name = name.partition(".")
        assert np.shares_memory(array, getattr(model, owner).parameters[own_name])
    rnn.gradients["bias_hh_l0"] += 2.0
    linear.gradients["bias"] += 1.0
    assert model.gradients["rnn.bias_hh_l0"].tolist() == [2.0] * 12
    assert model.gradients.flat.sum() == 24 + 2
    rnn.zero_gradients()
    assert model.gradients.flat.sum() == 2


def test_a_composite_and_its_parts_share_one_version():
    model = make_composite()
    before = model.parameters.version
    model.output.parameters["bias"] = [1.0, 2.0]
    assert model.parameters["output.bias"].tolist() == [1.0, 2.0]
    assert model.parameters.version == model.rnn.parameters.version > before


def test_composites_nest():
    model = Composite(lower=make_composite(), upper=fr.Linear(2, 2, seed=3))
    assert next(iter(model.parameters)) == "lower.rnn.weight_ih_l0"
    x = np.ones((2, 1, 3), np.float32)
    before, _ = model.lower.rnn(x)
    model.parameters["lower.rnn.bias_hh_l0"] = np.ones(12)
    after, _ = model.lower.rnn(x)
    assert not np.array_equal(before, after)


def test_streams_made_before_a_composite_follow_it():
    model = fr.LanguageModel(5, cell="gru", hidden_size=4, embedding_size=3, seed=0)
    streams = model.stream(), model.rnn.stream()
    owner = Composite(model=model, other=fr.Linear(2, 2, seed=1))
    owner.load_state_dict({name: np.ones(p.shape) for name, p in owner.parameters.items()})
    assert np.array_equal(streams[0].step(3), model.stream().step(3))
    assert np.array_equal(
        streams[1].step(np.ones(3, np.float32)), model.rnn.stream().step(np.ones(3, np.float32))
    )


def test_composites_of_modules_that_do_not_fit():
    linear = fr.Linear(2, 2)
    with pytest.raises(ValueError, match=r"^two: expected each module only once, but it is one too$"):
        Composite(one=linear, two=linear)
    with pytest.raises(ValueError, match="at least one"):
        Composite()
    for name in ("gradients", "parameters", "dtype", "state_dict"):
        with pytest.raises(ValueError, match=f"^modules: '{name}' is reserved; choose another name$"):
            Composite(**{name: linear})
    with pytest.raises(ValueError, match=r"^modules: expected one dtype, got one: float32, two: float64$"):
        Composite(one=linear, two=fr.Linear(2, 2, dtype="float64"))


@pytest.mark.parametrize(
    "twin_of", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_a_copied_model_is_independent(twin_of):
    model, x = make_composite(), make_input()
    model.gradients["rnn.bias_hh_l0"] += 3.0
    before, _ = model.rnn(x)  # makes a pack
    twin = twin_of(model)
    assert np.array_equal(twin.parameters.flat, model.parameters.flat)
    assert np.array_equal(twin.gradients.flat, model.gradients.flat)
    assert np.shares_memory(twin.parameters.flat, twin.rnn.parameters["weight_ih_l0"])
    with pytest.raises(ValueError, match="read-only"):
        twin.parameters.flat[0] = 1.0
    twin.parameters["rnn.bias_hh_l0"] = np.ones(12)
    assert model.rnn(x)[0].tobytes() == before.tobytes() != twin.rnn(x)[0].tobytes()


def test_representations():
    linear = fr.Linear(3, 2, seed=0)
    expected = "<Parameters, 8 scalars\n  weight: float32 [2, 3]\n  bias: float32 [2]>"
    assert repr(linear.parameters) == expected
    assert repr(linear.gradients) == expected.replace("Parameters", "Gradients")
    assert linear.parameters == linear.parameters != linear.gradients
