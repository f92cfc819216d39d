"""Networks made of named parts: state dicts of PyTorch's names, chains, classes of one's own, files."""

import copy
import json
import pickle

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fastrnn as fr
from fastrnn.layers import Logistic
from fastrnn.train import Adam, CheckpointError, load_checkpoint
from gradient_check import assert_gradient


def make_chain(dtype="float64"):
    return fr.Composite(
        embedding=fr.Embedding(7, 4, dtype=dtype, seed=0),
        rnn=fr.LSTM(4, 5, num_layers=2, dtype=dtype, seed=1),
        fc=fr.Linear(5, 3, dtype=dtype, seed=2),
    )


def make_nested(dtype="float64"):
    rnn = fr.Sequential({"0": fr.GRU(4, 5, dtype=dtype, seed=1), "act": fr.Activation("tanh", dtype=dtype)})
    encoder = fr.Composite(embedding=fr.Embedding(7, 4, dtype=dtype, seed=0), rnn=rnn)
    return fr.Composite(
        encoder=encoder, above=fr.RNN(5, 6, dtype=dtype, seed=2), fc=fr.Linear(6, 3, dtype=dtype)
    )


class Classifier(fr.Composite):
    """Classifies a sequence by its last state; its parts alone would compute something else."""

    def __call__(self, x, lengths=None):
        _, h = self.rnn(x, lengths=lengths)
        return self.fc(h[-1])

    def forward(self, x, lengths=None):
        _, h, rnn_tape = self.rnn.forward(x, lengths=lengths)
        y, fc_tape = self.fc.forward(h[-1])
        return y, (rnn_tape, fc_tape)

    def backward(self, tape, dy):
        rnn_tape, fc_tape = tape
        dx, _ = self.rnn.backward(rnn_tape, None, self.fc.backward(fc_tape, dy)[np.newaxis])
        return dx


class OwnInit(Classifier):
    def __init__(self, width):
        super().__init__(rnn=fr.GRU(width, 5), fc=fr.Linear(5, 3))


class ChainWithOwnInit(fr.Composite):
    def __init__(self, width):
        super().__init__(rnn=fr.GRU(width, 5), fc=fr.Linear(5, 3))


class HalfWritten(fr.Composite):
    def forward(self, x):
        return x, None


def make_classifier(dtype="float64"):
    return Classifier(rnn=fr.GRU(4, 5, dtype=dtype, seed=1), fc=fr.Linear(5, 3, dtype=dtype, seed=2))


IDS = np.array([[1, 2], [3, -1], [6, 0]])


def test_it_takes_a_state_dict_under_the_names_of_a_module_with_the_same_attributes():
    rng = np.random.default_rng(0)
    shapes = {"embedding.weight": (7, 4), "fc.weight": (3, 5), "fc.bias": (3,)}
    for layer, width in ((0, 4), (1, 5)):
        shapes |= {f"rnn.weight_ih_l{layer}": (20, width), f"rnn.weight_hh_l{layer}": (20, 5)}
        shapes |= {f"rnn.bias_ih_l{layer}": (20,), f"rnn.bias_hh_l{layer}": (20,)}
    state = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    model = make_chain()
    model.load_state_dict(state)
    assert np.array_equal(model.rnn.parameters["weight_hh_l1"], state["rnn.weight_hh_l1"])
    y, _ = model.rnn(state["embedding.weight"][[1, 2, 3]][:, None])
    assert np.array_equal(model([[1], [2], [3]])[0], model.fc(y))


def test_it_takes_the_state_dict_of_a_pytorch_module(torch):
    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(7, 4)
            self.rnn = torch.nn.LSTM(4, 5, num_layers=2)
            self.fc = torch.nn.Linear(5, 3)

        def forward(self, ids):
            return self.fc(self.rnn(self.embedding(ids))[0])

    theirs, ours = Tagger().double(), make_chain()
    ours.load_state_dict(theirs.state_dict())
    ids = IDS.clip(0)
    expected = theirs(torch.from_numpy(ids)).detach().numpy()
    np.testing.assert_allclose(ours(ids)[0], expected, rtol=1e-10, atol=1e-12)


def test_a_chain_has_the_bits_of_a_sequential_of_its_parts():
    model = make_chain()
    chain = fr.Sequential(copy.deepcopy(model.parts))
    y, state, tape = model.forward(IDS, lengths=[3, 2])
    expected, last, other = chain.forward(IDS, lengths=[3, 2])
    assert np.array_equal(y, expected)
    assert np.array_equal(state[0][1], last[0][1])
    dy = np.random.default_rng(0).standard_normal(y.shape)
    dx, dstate = model.backward(tape, dy)
    assert dx is None
    assert np.array_equal(dstate[0][0], chain.backward(other, dy)[1][0][0])
    assert np.array_equal(model.gradients.flat, chain.gradients.flat)
    assert np.array_equal(model(IDS, lengths=[3, 2])[0], y)


def test_the_layers_of_nested_composites_are_one_chain():
    model = make_nested()
    assert list(model.parameters)[:2] == ["encoder.embedding.weight", "encoder.rnn.0.weight_ih_l0"]
    y, (below, above) = model(IDS)
    hidden, expected = model.encoder(IDS)
    assert np.array_equal(below, expected[0])
    hidden, expected = model.above(hidden)
    assert np.array_equal(above, expected)
    assert np.array_equal(y, model.fc(hidden))
    stream = model.stream(batch_size=2)
    assert np.array_equal([stream.step(ids) for ids in IDS], y)
    assert np.array_equal(stream.state[1], above)


def assert_all_gradients(model, loss, dy_of):
    """Assert that `backward` is right for every parameter; `loss` calls, `dy_of` runs both passes."""
    dy_of()
    with model.parameters.edit() as views:
        for name, view in views.items():
            assert_gradient(loss, view, model.gradients[name])


def test_gradients_of_a_nested_chain_against_central_differences():
    model, rng = make_nested(), np.random.default_rng(1)
    y, _, tape = model.forward(IDS, lengths=[3, 2])
    dy = rng.standard_normal(y.shape)
    assert_all_gradients(
        model,
        lambda: float((model(IDS, lengths=[3, 2])[0] * dy).sum()),
        lambda: model.backward(tape, dy),
    )


def test_gradients_of_a_class_of_ones_own_against_central_differences():
    model, rng = make_classifier(), np.random.default_rng(1)
    x, classes = rng.standard_normal((5, 3, 4)), [0, 2, 1]

    def loss():
        return fr.losses.softmax_cross_entropy(model(x, lengths=[5, 2, 4]), classes)[0]

    y, tape = model.forward(x, lengths=[5, 2, 4])
    _, dy = fr.losses.softmax_cross_entropy(y, classes)
    dx = model.backward(tape, dy)
    assert_gradient(loss, x, dx)
    assert_all_gradients(model, loss, lambda: None)


def test_parts_are_found_by_name_position_attribute_and_in_a_loop():
    model = make_chain()
    assert model["rnn"] is model.rnn is model[1] is model[-2]
    assert [*model] == [*model.parts.values()]
    assert len(model) == 3
    assert repr(make_classifier("float32")) == "Classifier(rnn=GRU(4, 5), fc=Linear(5, 3))"
    assert repr(fr.Composite(**{"0": fr.Linear(2, 3)})) == "Composite(**{'0': Linear(2, 3)})"
    with pytest.raises(KeyError, match="expected one of embedding, rnn, fc or a position, got 'lstm'"):
        model["lstm"]
    with pytest.raises(IndexError, match="expected one of embedding, rnn, fc or a position, got 3"):
        model[3]
    assert model[1:] == (model.rnn, model.fc)
    with pytest.raises(AttributeError, match="no attribute 'lstm'; its parts are embedding, rnn, fc"):
        model.lstm  # noqa: B018 - the access is what is tested


def test_parts_are_all_there_from_the_start():
    model = make_chain()
    with pytest.raises(
        AttributeError, match=r"^fc: parts cannot be replaced one by one.*Composite\(fc=\.\.\."
    ):
        model.fc = fr.Linear(5, 2)
    with pytest.raises(
        AttributeError, match=r"^head: parts cannot be added .*super\(\).__init__\(head=\.\.\.\)"
    ):
        model.head = fr.Linear(3, 2)
    with pytest.raises(AttributeError, match=r"^fc: parts cannot be removed; make a composite of the others"):
        del model.fc
    model.note = "of one's own"
    assert model.note == "of one's own"

    class Empty(fr.Composite):
        def __init__(self):
            super().__init__()

    with pytest.raises(
        ValueError, match=r"at least one, got none; write super\(\).__init__\(rnn=\.\.\., fc=\.\.\.\)"
    ):
        Empty()

    class Forgetful(fr.Composite):
        def __init__(self):
            pass

    with pytest.raises(AttributeError, match=r"no attribute 'parameters'; call super\(\).__init__\(\.\.\.\)"):
        Forgetful().parameters  # noqa: B018 - the access is what is tested


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stream", "'stream' is reserved; choose another name"),
        ("parts", "'parts' is reserved; choose another name"),
        ("_own", "'_own' is reserved; choose another name"),
        ("a.b", "expected names without dots, got 'a.b'; nest composites instead"),
    ],
)
def test_names_that_a_part_cannot_have(name, message):
    with pytest.raises(ValueError, match=f"^modules: {message}$"):
        fr.Composite(**{name: fr.Linear(2, 2)})


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (fr.Composite(a=fr.Linear(2, 3), b=fr.Linear(2, 3)), "b: expected a layer that reads 3 numbers"),
        (fr.Composite(a=fr.Linear(2, 3), crf=fr.CRF(3)), "crf: expected one of Recurrent, .*, got CRF"),
        (fr.Composite(own=make_classifier()), "own: Classifier is a class with passes of its own"),
    ],
)
def test_what_makes_parts_no_chain_is_said(model, reason):
    for use in (model, model.forward, lambda x: model.backward(x, x), lambda _: model.stream()):
        with pytest.raises(
            TypeError, match=f"^Composite: its parts are no chain: {reason}.*write a subclass"
        ):
            use(np.zeros((1, 2), np.float32))


def test_words_of_other_libraries_are_answered_as_a_sequential_answers_them():
    model, x = make_chain(), [[1], [2]]
    for run in (model, model.forward, fr.Sequential({"rnn": fr.GRU(1, 2)})):
        with pytest.raises(TypeError, match=r"^hx: not an argument; write state="):
            run(x, hx=None)


def test_a_network_whose_part_went_to_another_one_is_not_trained_in_vain():
    model = make_chain()
    outer = fr.Composite(inner=model)
    fr.Sequential(copy.deepcopy(model[0]))
    assert np.shares_memory(model[0].parameters.flat, outer.parameters.flat)
    other = fr.Sequential(model[0])
    for left in (model, outer):
        with pytest.raises(AttributeError, match=r"belongs to another network now; .* copy.deepcopy\(part\)"):
            Adam(left)
        for name in ("parameters", "gradients", "quantized", "frozen"):
            with pytest.raises(AttributeError, match="belongs to another network now"):
                getattr(left, name)
        assert "forward" in dir(left)
    assert np.shares_memory(model[0].parameters.flat, other.parameters.flat)


def test_passes_that_a_class_lacks_are_named():
    model = HalfWritten(a=fr.Linear(2, 3))
    with pytest.raises(
        TypeError, match=r"^HalfWritten: .* as it has forward; write __call__ and backward too$"
    ):
        model(np.zeros((1, 2), np.float32))
    with pytest.raises(TypeError, match=r"as it has __call__ and forward and backward; write a stream too$"):
        make_classifier().stream()


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_independent(twin_of):
    model = make_nested()
    y, _ = model(IDS)
    twin = twin_of(model)
    assert np.array_equal(twin(IDS)[0], y)
    twin.encoder.rnn.parameters["0.bias_ih_l0"] = np.ones(15)
    assert not np.array_equal(twin(IDS)[0], y)
    assert np.array_equal(model(IDS)[0], y)


@pytest.mark.parametrize("make", [make_chain, make_nested])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_chain_is_saved_with_its_architecture(make, dtype, tmp_path):
    model, path = make(dtype), tmp_path / "model.safetensors"
    model.save(path)
    again = fr.Composite.load(path)
    assert [*again.parts] == [*model.parts]
    assert list(again.parameters) == list(model.parameters)
    assert np.array_equal(again(IDS)[0], model(IDS)[0])
    flat = fr.Sequential.load(path)  # the same file as a chain, with the same names of parameters
    assert list(flat.parameters) == list(model.parameters)
    assert np.array_equal(flat(IDS)[0], model(IDS)[0])


def test_the_file_of_a_chain_is_that_of_a_sequential(tmp_path):
    model = make_chain()
    model.save(tmp_path / "composite")
    fr.Sequential(copy.deepcopy(model.parts)).save(tmp_path / "sequential")
    assert (tmp_path / "composite").read_bytes() == (tmp_path / "sequential").read_bytes()
    assert repr(fr.Composite.load(tmp_path / "sequential")) == repr(model)


def test_parts_that_are_no_chain_are_saved_too(tmp_path):
    path = tmp_path / "model.safetensors"
    model = fr.Composite(
        rnn=fr.GRU(3, 4),
        attention=fr.AdditiveAttention(4, 4, 5),
        pooling=fr.AttentionPooling(4, 3),
        scores=fr.MultiplicativeAttention(4, 4, weight=False, scale=0.5),
        output=Logistic(4, 2, bias=False),
    )
    model.save(path)
    again = fr.Composite.load(path)
    assert repr(again) == repr(model)
    assert np.array_equal(again.parameters.flat, model.parameters.flat)
    with pytest.raises(
        CheckpointError, match=r"expected a Sequential, got a Composite; write Composite.load\(path\)"
    ):
        fr.Sequential.load(path)


def test_a_class_of_ones_own_made_of_its_parts_is_saved_under_its_name(tmp_path):
    path, model = tmp_path / "model.safetensors", make_classifier()
    model.save(path)
    again = Classifier.load(path)
    x = np.random.default_rng(0).standard_normal((5, 2, 4))
    assert type(again) is Classifier
    assert np.array_equal(again(x), model(x))
    for other in (fr.Composite, fr.Sequential, HalfWritten):
        message = rf"expected a {other.__name__}, got a Classifier; write Classifier.load\(path\)"
        with pytest.raises(CheckpointError, match=message):
            other.load(path)
    with pytest.raises(
        CheckpointError, match=r"expected a LanguageModel, got a Classifier; write Classifier.load"
    ):
        load_checkpoint(path)


def test_what_a_file_cannot_describe_is_named_with_the_lines_that_save_the_parameters(tmp_path):
    path, model = tmp_path / "model.safetensors", OwnInit(4)
    lines = r"write safetensors.numpy.save_file\(model.state_dict\(\), path\), and model.load_state_dict"
    with pytest.raises(TypeError, match=f"^save: OwnInit has an __init__ of its own.*{lines}"):
        model.save(path)
    with pytest.raises(TypeError, match=rf"^save: crf: a file can describe .*, not CRF\(3\); {lines}"):
        fr.Composite(crf=fr.CRF(3)).save(path)
    with pytest.raises(TypeError, match=f"^save: own: Classifier is a class with passes of its own; {lines}"):
        fr.Composite(own=make_classifier()).save(path)
    assert not path.exists()
    save_file(model.state_dict(), path)
    again = OwnInit(4)
    again.load_state_dict(load_file(path))
    assert np.array_equal(again.parameters.flat, model.parameters.flat)


def test_a_chain_with_an_init_of_its_own_is_saved_as_a_chain(tmp_path):
    path, model = tmp_path / "model.safetensors", ChainWithOwnInit(4)
    model.save(path)
    assert repr(fr.Composite.load(path)) == "Composite(rnn=GRU(4, 5), fc=Linear(5, 3))"
    with pytest.raises(
        TypeError, match=r"ChainWithOwnInit has an __init__ .*write fr.Composite.load\(path\)"
    ):
        ChainWithOwnInit.load(path)


def rewritten(path, change):
    """Write the file again with another description of the network."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    described = json.loads(header["__metadata__"]["fastrnn"])
    change(described)
    header["__metadata__"]["fastrnn"] = json.dumps(described)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.x", "b", "a.y"], "parts: a is not one part; write Sequential.load, which keeps these names"),
        (["a", "a.x", "b"], "parts: a is not one part"),
        (["a..x", "b", "c"], "modules: '' is reserved"),
        ([".".join("a" * 40), "b", "c"], "parts: expected at most 16 composites within each other, got more"),
        (["a.save", "b", "c"], "modules: 'save' is reserved"),
    ],
)
def test_names_in_a_file_that_make_no_composite_are_refused(names, message, tmp_path):
    path = tmp_path / "model.safetensors"
    make_chain().save(path)

    def rename(described):
        for part, name in zip(described["parts"], names, strict=True):
            part["name"] = name

    rewritten(path, rename)
    with pytest.raises(CheckpointError, match=message):
        fr.Composite.load(path)


@pytest.mark.parametrize("own", [5, None, "Other", ["Classifier"]])
def test_a_class_in_a_file_that_is_not_the_one_asked_for_is_refused(own, tmp_path):
    path = tmp_path / "model.safetensors"
    make_classifier().save(path)
    rewritten(
        path, lambda described: described.update({"class": own, "kind": "Composite" if own else "Other"})
    )
    with pytest.raises(CheckpointError, match=r"class: expected str|expected a Classifier, got a"):
        Classifier.load(path)


def test_composites_nest_only_so_deep():
    model = fr.Composite(part=fr.Linear(2, 2))
    for _ in range(15):
        model = fr.Composite(part=model)
    with pytest.raises(ValueError, match="at most 16 composites within each other"):
        fr.Composite(part=model)


def test_a_deep_composite_comes_back_from_its_file(tmp_path):
    model = fr.Composite(part=fr.Linear(64, 64))
    for _ in range(15):
        model = fr.Composite(part=model)
    model.save(tmp_path / "model")
    assert repr(fr.Composite.load(tmp_path / "model")) == repr(model)
