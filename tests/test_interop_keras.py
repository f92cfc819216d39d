"""Models of Keras: files that Keras wrote give the same numbers here, and weights go out again."""

import json
import zipfile

import numpy as np
import pytest

import fastrnn as fr
import keras_mutations
from fastrnn.interop import ModelFileError, load_keras, to_keras_weights
from keras_fixtures import FIXTURES, inputs_of

TEXT_FILES = [
    f"keras{version}_text.{form}" for version in (2, 3) for form in ("keras", "h5", "weights.h5")
] + ["keras2_text_legacy_weights.h5"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    with zipfile.ZipFile(FIXTURES) as archive:
        archive.extractall(folder)
    return folder


def config_of(files, name):
    return (files / f"{name[:6]}_text.json").read_text() if "weights" in name else None


def expected_of(files, name, call=0):
    with np.load(files / f"{name}.npz") as arrays:
        outputs = [arrays[key] for key in arrays if key.startswith(f"y{call}_")]
    return outputs if len(outputs) > 1 else outputs[0]


def differences(found, expected):
    return fr.interop.compare(found, expected).largest


def changed(path, target, change):
    """Write an archive with another config.json."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target


# --- in ---


@pytest.mark.parametrize("name", TEXT_FILES)
def test_a_model_of_every_form_of_file_predicts_as_keras_does(files, name):
    model = load_keras(files / name, config=config_of(files, name))
    (ids,) = inputs_of("text")
    assert differences(model(ids), expected_of(files, f"{name[:6]}_text")) < 1e-6
    assert list(model.layers) == ["words", "both", "gru", "simple_rnn", "output"]
    assert repr(model.layers["both"]) == "LSTM(3, 2, bidirectional=True)"
    assert model.notes == ["both: dropout 0.2 is of training, and is left out"]


@pytest.mark.parametrize("version", ["keras2", "keras3"])
def test_a_model_with_branches_states_and_masks_returns_all_outputs(files, version):
    model = load_keras(files / f"{version}_branched.keras")
    found = model(inputs_of("branched"))
    assert differences(found, expected_of(files, f"{version}_branched")) < 1e-6
    x, ids = inputs_of("branched")
    assert np.array_equal(model({"ids": ids, "x": x})[0], found[0])


@pytest.mark.parametrize(
    "name", ["keras2_nested.keras", "keras2_nested.h5", "keras3_nested.keras", "keras3_nested.h5"]
)
def test_a_stateful_model_within_a_model_keeps_its_states_between_calls(files, name):
    model = load_keras(files / name)
    (x,) = inputs_of("nested")
    for call in (0, 1):
        assert differences(model(x), expected_of(files, name.split(".")[0], call)) < 1e-6
    model.reset_states()
    assert differences(model(x), expected_of(files, name.split(".")[0], 0)) < 1e-6
    assert "inner/gru" in model.layers
    with pytest.raises(
        ValueError, match=r"is stateful with 2 sequences, got 1; write model\.reset_states\(\)"
    ):
        model(x[:1])


def test_a_call_that_fails_leaves_the_states_as_they_were(tmp_path, h5py):
    layers = [
        layer("GRU", "g", units=2, reset_after=True, return_sequences=True, stateful=True),
        layer("Reshape", "r", target_shape=[2, 2]),
    ]
    path = save_model(tmp_path / "m.h5", h5py, layers, {"g": to_keras_weights(fr.GRU(1, 2, seed=0))})
    model, other = load_keras(path), load_keras(path)
    x = np.ones((1, 2, 1), np.float32)
    assert np.array_equal(model(x), other(x))
    with pytest.raises(ValueError, match="r: cannot reshape"):
        model(x[:, :1])
    assert np.array_equal(model(x), other(x))
    assert not np.array_equal(model(x), load_keras(path)(x))


def test_weights_of_another_instance_of_the_model_go_by_their_order(files):
    config = json.loads((files / "keras2_text.json").read_text())
    for number, one in enumerate(config["config"]["layers"]):
        one["config"]["name"] = f"layer_{number}"
    (ids,) = inputs_of("text")
    model = load_keras(files / "keras2_text_legacy_weights.h5", config=config)
    assert differences(model(ids), expected_of(files, "keras2_text")) < 1e-6
    del config["config"]["layers"][-1]
    with pytest.raises(
        ModelFileError, match=r"has weights of 6 layers, words, .*; the model has 5 with weights"
    ):
        load_keras(files / "keras2_text_legacy_weights.h5", config=config)


@pytest.mark.parametrize("name", [name for name in TEXT_FILES if "weights" in name])
def test_weights_alone_become_the_layers_that_names_and_shapes_tell(files, name):
    model = load_keras(files / name)
    whole = load_keras(files / name, config=config_of(files, name))
    kinds = sorted(repr(layer) for layer in model.layers.values())
    assert kinds == [
        "Embedding(9, 3)",
        "GRU(4, 3)",
        "LSTM(3, 2, bidirectional=True)",
        "Linear(2, 2)",
        "RNN(3, 2)",
    ]
    both = [layer for layer in model.layers.values() if isinstance(layer, fr.LSTM)]
    assert np.array_equal(both[0].parameters.flat, whole.layers["both"].parameters.flat)
    assert "what it does is not certain without config=" in next(iter(model.unplaced.values()))
    with pytest.raises(ValueError, match="expected a whole model, got weights alone; pass config="):
        model([[1]])


def test_an_explicit_mask_is_that_of_the_embedding(files, tmp_path):
    (ids,) = inputs_of("text")
    without = changed(
        files / "keras3_text.keras",
        tmp_path / "m.keras",
        lambda config: config["config"]["layers"][1]["config"].update(mask_zero=False),
    )
    model, masked = load_keras(without), load_keras(files / "keras3_text.keras")
    assert np.array_equal(model(ids, mask=ids != 0), masked(ids))
    assert not np.array_equal(model(ids), masked(ids))
    with pytest.raises(ValueError, match=r"mask: expected \[3, 5\], got \[3, 4\]"):
        model(ids, mask=np.ones((3, 4), bool))


def test_hard_sigmoid_of_keras_3_is_that_of_keras_2_with_five_sixths_of_the_weights(files):
    config = json.loads((files / "keras3_text.json").read_text())
    third = load_keras(files / "keras3_text.weights.h5", config=config).layers["gru"]
    second = load_keras(files / "keras3_text.weights.h5", config={**config, "keras_version": "2.15.0"})
    ratio = third.parameters["weight_ih_l0"] / second.layers["gru"].parameters["weight_ih_l0"]
    assert np.allclose(ratio[:6], 5 / 6)
    assert np.array_equal(ratio[6:], np.ones((3, 4)))
    assert third.options.gate_activation == "hard_sigmoid"
    for one in config["config"]["layers"]:
        one["config"].pop("batch_shape", None)
        one["config"]["dtype"] = "float32"
    with pytest.raises(
        ModelFileError, match="another function in Keras 2 and 3; put keras_version into config"
    ):
        load_keras(files / "keras3_text.weights.h5", config=config)


def test_a_chain_becomes_a_sequential_and_says_what_differs(files, tmp_path):
    def plain(config):
        layers = config["config"]["layers"]
        del layers[4]  # LayerNormalization
        layers[3]["config"]["recurrent_activation"] = "sigmoid"

    model = load_keras(changed(files / "keras3_text.keras", tmp_path / "m.keras", plain))
    network = model.to_sequential()
    assert list(network.parts) == ["words", "both", "gru", "simple_rnn", "output", "output_activation"]
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    y, _ = network(ids.T)
    assert np.allclose(y[-1], model(ids), atol=1e-6)
    assert model.notes[1:] == [
        "words: makes masks, which a Sequential lacks; pass lengths",
        "simple_rnn: in a Sequential, y has the outputs of all steps, Keras's is the last",
    ]
    with pytest.raises(ValueError, match="layer_normalization has no counterpart in a Sequential"):
        load_keras(files / "keras3_text.keras").to_sequential()
    with pytest.raises(ValueError, match="expected a plain chain of layers: it has 2 inputs and 2 outputs"):
        load_keras(files / "keras3_branched.keras").to_sequential()


def test_embedding_recurrent_layers_and_a_softmax_become_a_language_model(tmp_path, h5py):
    model = load_keras(save_language_model(tmp_path, h5py))
    language = model.to_language_model()
    ids = np.array([[1, 4, 0]])
    logits, _ = language.logits(ids.T)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    assert np.allclose(powers / powers.sum(axis=-1, keepdims=True), model(ids).swapaxes(0, 1), atol=1e-6)


def layer(kind, name, **config):
    return {"class_name": kind, "config": {"name": name, **config}}


def save_model(path, h5py, layers, weights, version="2.15.0"):
    """Write a model as Keras 2 does, with weights by the layers' names."""
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": layers}}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["model_config"] = version, json.dumps(config)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        for name, arrays in weights.items():
            own = group.create_group(name)
            own.attrs["weight_names"] = [f"w{index}".encode() for index in range(len(arrays))]
            for index, array in enumerate(arrays):
                own[f"w{index}"] = array
    return path


def save_language_model(folder, h5py):
    embedding, rnn, dense = fr.Embedding(6, 3, seed=0), fr.LSTM(3, 4, seed=1), fr.Linear(4, 6, seed=2)
    layers = [
        layer("Embedding", "e", input_dim=6, output_dim=3),
        layer("LSTM", "r", units=4, return_sequences=True),
        layer("Dense", "d", units=6, activation="softmax"),
    ]
    weights = dict(zip("erd", map(to_keras_weights, (embedding, rnn, dense)), strict=True))
    return save_model(folder / "m.h5", h5py, layers, weights)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_weights_of_other_dtypes_are_converted_and_that_is_said(dtype, tmp_path, h5py):
    kernel = np.array([[1.5, -2.0], [0.25, 3.0]], np.float32)
    weights = [kernel, kernel, kernel[0]]
    if dtype == "bfloat16":  # as Keras stores it
        weights = [(array.view(np.uint32) >> 16).astype(np.uint16).view("V2") for array in weights]
    else:
        weights = [array.astype(dtype) for array in weights]
    path = save_model(tmp_path / "m.h5", h5py, [layer("SimpleRNN", "r", units=2)], {"r": weights})
    model = load_keras(path)
    assert np.array_equal(model.layers["r"].parameters["weight_ih_l0"], kernel.T)
    assert model.layers["r"].dtype == ("float64" if dtype == "float64" else "float32")
    assert model.notes == ([] if dtype == "float64" else [f"weights of {dtype} became float32"])


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
def test_a_masked_step_carries_the_state_on_in_the_order_in_which_steps_are_computed(
    zero, sequences, tmp_path, h5py
):
    options = {"units": 2, "return_sequences": sequences, "zero_output_for_mask": zero, "go_backwards": True}
    gru = fr.GRU(1, 2, seed=3)
    layers = [layer("Masking", "m"), layer("GRU", "g", reset_after=True, **options)]
    model = load_keras(save_model(tmp_path / "m.h5", h5py, layers, {"g": to_keras_weights(gru)}))
    x = np.array([[0, 1, 0, 2, 0], [0, 0, 0, 0, 0]], np.float32)[..., None]
    two, both = gru(x[0, [3]])[0], gru(x[0, [3, 1]])[0]
    none = np.zeros(2)
    carried = [none, two[0], two[0], both[1], both[1]]
    if zero:
        carried = [none, two[0], none, both[1], none]
    y = model(x)
    assert np.array_equal(y[0], carried if sequences else carried[-1])
    assert not y[1].any()


# --- out ---


@pytest.mark.parametrize(
    "rnn",
    [
        fr.RNN(3, 5, seed=0),
        fr.GRU(3, 5, seed=0),
        fr.GRU(3, 5, reset_after=False, bias=False, seed=0),
        fr.GRU(3, 5, reset_after=False, seed=0),
        fr.LSTM(3, 5, bidirectional=True, dtype="float64", seed=0),
    ],
    ids=repr,
)
def test_weights_go_out_and_come_in_again(rnn, tmp_path, h5py):
    kind = {"RNN": "SimpleRNN"}.get(type(rnn).__name__, type(rnn).__name__)
    options = {"units": 5, "use_bias": rnn.bias, "return_sequences": True}
    if kind == "GRU":
        options["reset_after"] = rnn.reset_after
    described = layer(kind, "r", **options)
    if rnn.bidirectional:
        described = layer("Bidirectional", "r", layer=described, merge_mode="concat")
    weights = to_keras_weights(rnn)
    path = save_model(tmp_path / "m.h5", h5py, [described], {"r": weights})
    again = load_keras(path).layers["r"]
    assert repr(again) == repr(rnn)
    assert all(map(np.array_equal, to_keras_weights(again), weights))
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(rnn.dtype)
    assert np.allclose(again(x)[0], rnn(x)[0], atol=1e-6)


def test_weights_of_a_chain_follow_one_another():
    net = fr.Sequential(fr.Embedding(6, 3), fr.Stack(fr.RNN(3, 4), fr.GRU(4, 2)), fr.Head(2, [3], 1))
    shapes = [array.shape for array in to_keras_weights(net)]
    assert shapes == [(6, 3), (3, 4), (4, 4), (4,), (4, 6), (2, 6), (2, 6), (2, 3), (3,), (3, 1), (1,)]


def test_what_keras_lacks_does_not_go_out():
    with pytest.raises(ValueError, match=r"expected one without peephole, which Keras's layers lack"):
        to_keras_weights(fr.LSTM(2, 3, peephole=True))
    with pytest.raises(TypeError, match=r"layer: expected RNN, GRU, LSTM, .* got MinGRU"):
        to_keras_weights(fr.MinGRU(2, 3))


# --- what is refused ---


def test_unknown_layers_are_all_named_and_the_others_load_on_request(files, tmp_path):
    def change(config):
        layers = config["config"]["layers"]
        layers[4] = {"class_name": "Lambda", "config": {"name": "trick", "function": ["code", None, None]}}
        layers[6] = {"module": "mine.layers", "class_name": "Magic", "config": {"name": "magic"}}
        layers[3]["config"]["activation"] = "softsign"

    path = changed(files / "keras3_text.keras", tmp_path / "m.keras", change)
    with pytest.raises(ModelFileError) as caught:
        load_keras(path)
    for part in (
        str(path),
        "gru has the activation 'softsign'; recurrent layers here have tanh",
        "trick Lambda holds code, which is never run",
        "magic is of a class of its own, mine.layers.Magic, whose code is not here",
        "partial=True loads the other layers",
    ):
        assert part in str(caught.value)
    model = load_keras(path, partial=True)
    assert list(model.layers) == ["words", "both", "simple_rnn", "output"]
    assert list(model.unplaced) == ["gru", "trick", "magic"]
    with pytest.raises(ValueError, match="it is loaded in part: gru has the activation 'softsign'"):
        model([[1]])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("layers", 1, "config", "input_dim"), 10, r"words embeddings: expected \[10, 3\], got \[9, 3\]"),
        (("layers", 3, "config", "units"), 4, r"gru kernel: expected \[4, 12\], got \[4, 9\]"),
        (("layers", 3, "config", "use_bias"), False, "gru expected 2 weights, kernel, recurrent_kernel; the"),
        (("layers", 3, "config", "reset_after"), False, r"gru has reset_after=False and a bias \[2, 9\]"),
        (("layers", 2, "config", "merge_mode"), "max", "both has merge_mode 'max'"),
        (("layers", 2, "config", "layer", "class_name"), "ConvLSTM1D", "both holds a ConvLSTM1D"),
        (("layers", 7, "config", "activation"), "cubic", "output has the activation 'cubic', which is not"),
        (("layers", 5, "config", "name"), "gru", "layers: expected different names"),
        (("layers", 5, "config", "name"), 3, r"layers\[5\]\.name: expected str, got int"),
        (("layers",), {}, "config.layers: expected a list, got dict"),
        (("layers", 1), [], r"config.layers\[1\]: expected a mapping, got list"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_with_its_layer(files, tmp_path, path, value, message):
    def change(config):
        place = config["config"]
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    with pytest.raises(ModelFileError, match=message):
        load_keras(changed(files / "keras3_text.keras", tmp_path / "m.keras", change))


def test_a_subclassed_model_is_refused_as_its_code_is_not_in_the_file(files, tmp_path):
    path = changed(
        files / "keras3_text.keras", tmp_path / "m.keras", lambda config: config.update(class_name="MyModel")
    )
    with pytest.raises(ModelFileError, match=r"got MyModel, whose code is not in the file"):
        load_keras(path)


def test_names_that_reach_a_terminal_and_endless_nesting_are_refused(files, tmp_path):
    def rename(config):
        config["config"]["layers"][3]["config"]["name"] = "\x1b[2J"

    def nest(config):
        inner = config["config"]["layers"][7]
        for _ in range(300):
            inner = {"class_name": "TimeDistributed", "config": {"name": "t", "layer": inner}}
        config["config"]["layers"][7] = inner

    for change, message in (
        (rename, r"expected the name of a layer, got '\\x1b\[2J'"),
        (nest, "expected|nested"),
    ):
        with pytest.raises(ModelFileError, match=message):
            load_keras(changed(files / "keras3_text.keras", tmp_path / "m.keras", change))


def test_a_model_of_many_layers_in_the_wrong_order_is_put_into_order(files, tmp_path):
    def change(config):
        config["class_name"] = "Functional"
        own = config["config"]
        own["input_layers"], own["output_layers"] = ["input_layer", 0, 0], ["l0", 0, 0]
        own["layers"] = [own["layers"][0], *(one(index) for index in range(3000))]
        own["layers"][0]["inbound_nodes"] = []

    def one(index):
        before = f"l{index + 1}" if index < 2999 else "input_layer"
        tensor = {"class_name": "__keras_tensor__", "config": {"keras_history": [before, 0, 0]}}
        return {
            "class_name": "Activation",
            "config": {"name": f"l{index}", "activation": "relu" if index == 7 else "linear"},
            "inbound_nodes": [{"args": [tensor], "kwargs": {}}],
        }

    model = load_keras(changed(files / "keras3_text.keras", tmp_path / "m.keras", change))
    assert model([[-1.0, 2.0]]).tolist() == [[0, 2]]


def archive_of(path, members, how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_archives_that_are_bombs_or_lack_something_are_refused(files, tmp_path):
    path = tmp_path / "m.keras"
    config = zipfile.ZipFile(files / "keras3_text.keras").read("config.json")
    cases = [
        ({"config.json": b"0" * 10**7}, "claims 10000000 bytes, compressed to"),
        ({"config.json": b"[" * 60000}, "nested too deep"),
        ({"config.json": b'{"class_name": "Sequential"'}, "Expecting"),
        ({"config.json": config}, "no model.weights.h5 in the archive"),
        ({"other.json": config}, "is no model of Keras: an archive without config.json, with other.json"),
        ({"config.json": config, "model.weights.json": b""}, "has its weights in several files"),
        ({"config.json": config, "model.weights.h5": b"PK"}, "is not an HDF5 file|is damaged"),
    ]
    for members, message in cases:
        archive_of(path, members, zipfile.ZIP_DEFLATED)
        with pytest.raises(ModelFileError, match=message):
            load_keras(path)
    for content, message in ((b"", "is neither a .keras archive"), (b"PK\x03\x04", "not a readable archive")):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=message):
            load_keras(path)


def test_a_config_of_a_wrong_kind_is_refused_before_the_file_is_read():
    with pytest.raises(
        TypeError, match=r"config: expected the JSON of model.to_json\(\) or a mapping, got int"
    ):
        load_keras("nowhere.h5", config=3)


def test_a_mutated_file_loads_or_is_refused_with_a_model_file_error():
    failures = []
    outcomes = keras_mutations.run(150, seed=1, report=failures.append)
    assert not failures
    assert outcomes["refused"] > 20
    assert outcomes["loaded"] > 10
