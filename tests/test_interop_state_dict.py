"""State dicts read without PyTorch: which layers are found, what is not, and models made of them."""

import numpy as np
import pytest
from numpy.random import default_rng
from safetensors.numpy import save_file

import fastrnn as fr
from fastrnn.interop import compare, from_state_dict, load_pt, to_state_dict
from torch_files import bfloat16, saved

F32 = np.float32


def under(prefix, state):
    return {f"{prefix}.{name}": value for name, value in state.items()}


def random(shape, dtype=F32):
    return default_rng(0).normal(size=shape).astype(dtype)


def language_model(**options):
    given = {"embedding_size": 3, "hidden_size": 4, "num_layers": 1, "seed": 0, **options}
    return fr.LanguageModel(5, **given)


def word_state(model):
    """Return a model's parameters by the names of PyTorch's word_language_model."""
    names = {"embedding": "encoder"} if model.embedding else {}
    return to_state_dict(model, names | {"output": "decoder"})


# --- what is found ---


@pytest.mark.parametrize("prefix", ["rnn", "module.rnn", "encoder.layers.0.lstm", "a.b.c.d"])
def test_a_layer_is_found_under_any_prefix(prefix):
    lstm = fr.LSTM(3, 5, 2, bidirectional=True, proj_size=2, bias=False, seed=0)
    imported = from_state_dict(under(prefix, lstm.state_dict()))
    assert list(imported.layers) == [prefix]
    assert repr(imported.layers[prefix]) == repr(lstm)
    assert np.array_equal(imported.layers[prefix].parameters.flat, lstm.parameters.flat)
    assert (imported.unplaced, imported.notes) == ({}, [])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM", "Linear", "Embedding"])
def test_a_layer_without_a_prefix_is_named_after_its_class(kind):
    layer = getattr(fr, kind)(3, 5, seed=0)
    imported = from_state_dict(layer.state_dict(), kinds={"linear": kind} if kind == "Embedding" else None)
    assert list(imported.layers) == [kind.lower()]
    assert type(imported.layers[kind.lower()]) is getattr(fr, kind)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net", "module"])
def test_the_state_dict_in_a_checkpoint_is_found(key):
    state = fr.GRU(3, 5).state_dict()
    checkpoint = {"epoch": 3, key: state, "optimizer": {"state": {0: {"exp_avg": random((15, 3))}}}}
    imported = from_state_dict(checkpoint)
    assert imported.notes == [f"read {key!r}, left out epoch, optimizer"]
    assert list(imported.layers) == ["gru"]
    assert list(from_state_dict({"checkpoint": 1, "model": {"state_dict": state}}).layers) == ["gru"]


def test_state_dicts_of_several_modules_are_joined():
    checkpoint = {
        "encoder": fr.GRU(3, 5).state_dict(),
        "decoder": {"rnn": fr.LSTM(5, 2).state_dict()},
        "optimizer": {"state": {0: {"exp_avg": random((15, 3))}}},
    }
    imported = from_state_dict(checkpoint)
    assert str(imported) == "encoder: GRU(3, 5)\ndecoder.rnn: LSTM(5, 2)"


def test_names_that_python_or_a_chain_needs_do_not_get_lost():
    names = ["forward", "forward_", "_frozen", "parts", "linear"]
    state = {f"{name}.weight": random((3, 3)) for name in names} | {"weight": random((3, 3))}
    imported = from_state_dict(state)
    assert list(imported.layers) == [*names, "linear_"]
    parts = imported.to_sequential().parts
    assert list(parts) == ["forward__", "forward_", "part_frozen", "parts_", "linear", "linear_"]


def test_control_characters_of_names_are_not_printed():
    imported = from_state_dict({"\x1b[2J.weight": random((3, 3)), "\x1b[1m.bias": random(3)})
    assert "\x1b" not in str(imported)


def test_cells_and_raw_weights_of_weight_drop_are_layers():
    lstm = fr.LSTM(3, 5, seed=0)
    cell = {name.removesuffix("_l0"): value for name, value in lstm.state_dict().items()}
    (layer,) = from_state_dict(under("cells.0", cell)).layers.values()
    assert np.array_equal(layer.parameters.flat, lstm.parameters.flat)
    raw = {**lstm.state_dict(), "weight_hh_l0": np.zeros((20, 5), F32), "weight_hh_l0_raw": cell["weight_hh"]}
    (layer,) = from_state_dict(raw).layers.values()
    assert np.array_equal(layer.parameters.flat, lstm.parameters.flat)


@pytest.mark.parametrize(
    ("dtype", "given", "expected"),
    [("float16", None, "float32"), ("float64", None, "float64"), ("float64", "float32", "float32")],
)
def test_dtypes_are_converted_and_the_notes_say_so(dtype, given, expected):
    state = {name: value.astype(dtype) for name, value in fr.GRU(3, 5, bias=False).state_dict().items()}
    imported = from_state_dict(under("rnn", state), dtype=given)
    assert imported.layers["rnn"].dtype == expected
    changed = [f"rnn.weight_{end}_l0: {dtype} became {expected}" for end in ("ih", "hh")]
    assert imported.notes == (changed if dtype != expected else [])


def test_bfloat16_of_a_file_is_said_in_the_notes(tmp_path):
    (tmp_path / "m.pt").write_bytes(
        saved({"fc.weight": bfloat16(random((2, 3))), "fc.bias": np.ones(2, F32)})
    )
    imported = from_state_dict(load_pt(tmp_path / "m.pt"))
    assert imported.notes == ["fc.weight: bfloat16 became float32"]
    assert imported.layers["fc"].parameters["bias"].tolist() == [1, 1]


def test_an_rnn_is_tanh_unless_told_and_the_notes_say_so():
    state = under("a", fr.RNN(2, 3).state_dict()) | under("b", fr.RNN(3, 3).state_dict())
    imported = from_state_dict(state)
    assert [layer.nonlinearity for layer in imported.layers.values()] == ["tanh", "tanh"]
    assert "a: weights of an RNN do not say its activation, tanh is assumed" in imported.notes[0]
    imported = from_state_dict(state, nonlinearity={"b": "relu"})
    assert [layer.nonlinearity for layer in imported.layers.values()] == ["tanh", "relu"]
    assert len(imported.notes) == 1
    assert [layer.nonlinearity for layer in from_state_dict(state, nonlinearity="relu").layers.values()] == [
        "relu",
        "relu",
    ]


def test_a_function_that_may_be_between_two_linear_layers_is_named_in_the_notes():
    shapes = {"rnn": fr.GRU(3, 4), "fc.0": fr.Linear(4, 4), "fc.3": fr.Linear(4, 2), "other": fr.Linear(4, 2)}
    state = {
        name: value for own, layer in shapes.items() for name, value in under(own, layer.state_dict()).items()
    }
    (note,) = from_state_dict(state).notes
    assert note.startswith("fc.0, fc.3: weights do not say which function is between them, none is assumed")


# --- embeddings and linear layers ---


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (("embedding", "rnn", "fc"), ["Embedding", "Linear"]),
        (("encoder", "rnn", "decoder"), ["Embedding", "Linear"]),
        (("0", "1", "2"), ["Embedding", "Linear"]),
        (("x", "rnn", "y"), ["Embedding", "Linear"]),
        (("word_embeddings", "gru", "h2o"), ["Embedding", "Linear"]),
    ],
)
def test_a_matrix_without_a_bias_is_told_by_its_name_or_its_place(names, kinds):
    state = {f"{names[0]}.weight": random((9, 4))}
    state |= under(names[1], fr.GRU(4, 4).state_dict()) | {f"{names[2]}.weight": random((9, 4)) + 1}
    layers = [*from_state_dict(state).layers.values()]
    assert [type(layers[0]).__name__, type(layers[2]).__name__] == kinds


def test_a_guess_is_noted_and_can_be_corrected():
    state = {"x.weight": random((9, 4))} | under("rnn", fr.GRU(4, 4).state_dict())
    (note,) = from_state_dict(state).notes
    assert note.endswith("is taken for Embedding; if it is not, write kinds={'x': 'Linear'}")
    imported = from_state_dict(state, kinds={"x": "Linear"})
    assert repr(imported.layers["x"]) == "Linear(4, 9, bias=False)"
    assert imported.notes == []


# --- what is not found ---


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"weight": (8,), "bias": (8,)}, "a LayerNorm or GroupNorm, of its shapes: weight [8], bias [8]"),
        ({"weight": (8,), "running_mean": (8,)}, "a BatchNorm"),
        ({"weight": (8, 4, 3), "bias": (8,)}, "a Conv1d"),
        ({"weight": (8, 4, 3, 3)}, "a Conv2d"),
        ({"in_proj_weight": (12, 4), "in_proj_bias": (12,)}, "a MultiheadAttention"),
        ({"weight_g": (8, 1), "weight_v": (8, 4), "bias": (8,)}, "a parametrisation"),
        ({"weight_ih_l0": (16, 3), "weight_hh_l0_g": (16, 1), "weight_hh_l0_v": (16, 4)}, "parametrisation"),
        ({"weight": (8, 4), "bias": (4,)}, "neither a Linear nor an Embedding"),
        ({"weight": (0, 4)}, "neither a Linear nor an Embedding"),
        ({"weight": (8, 4), "bias": (8,), "extra": (1,)}, "neither"),
        ({"bias": (8,)}, "no layer that fastrnn knows"),
        ({"pe": (8, 1, 4)}, "no layer that fastrnn knows by these names: pe [8, 1, 4]"),
        ({"weight_ih": (8, 3), "weight_hh": (8, 4)}, "8 rows for 4 units, not 1, 3 or 4 gates"),
        ({"weight_ih_l0": (12, 3), "weight_hh_l0": (16, 4)}, "weight_ih_l0: expected [16, 3], got [12, 3]"),
        ({"weight_hh_l0": (16, 4)}, "no weight_ih_l0"),
        ({"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "bias_ih_l0": (16,)}, "no bias_hh_l0"),
        ({"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "weight_ih_l1": (16, 4)}, "no weight_hh_l1"),
        ({"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "weight_hh_l9999": (16, 4)}, "of layer 9999"),
        ({"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "weight_ch_l0": (4, 4)}, "with weight_ch_l0"),
        ({"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "weight_hr_l0": (4, 4)}, "weight_hr_l0 [4, 4]"),
        ({"weight_ih_l0": (16, 0), "weight_hh_l0": (16, 4)}, "not two matrices"),
        ({"weight_ih": (16, 3), "weight_ih_l0": (16, 3), "weight_hh": (16, 4)}, "weight_ih_l0 twice"),
    ],
)  # fmt: skip
def test_what_is_no_layer_is_named_with_a_guess_and_the_rest_is_there(tensors, reason):
    state = under("rnn", fr.GRU(3, 5).state_dict())
    state |= under("strange", {name: random(shape) for name, shape in tensors.items()})
    imported = from_state_dict(state)
    assert list(imported.layers) == ["rnn"]
    assert list(imported.unplaced) == ["strange"]
    assert reason in imported.unplaced["strange"]
    with pytest.raises(ValueError, match=r"^not placed: strange: .*delete these from imported\.unplaced"):
        imported.to_sequential()
    del imported.unplaced["strange"]
    assert imported.to_sequential()(np.ones((2, 1, 3), F32))[0].shape == (2, 1, 5)


def test_weights_that_are_not_finite_or_not_floats_are_not_placed():
    state = under("a", fr.Linear(2, 3).state_dict()) | under("b", fr.Linear(2, 3).state_dict())
    state["a.weight"][1, 1] = np.nan
    state["b.weight"] = np.ones((3, 2), np.int64)
    imported = from_state_dict(state)
    assert "weight: expected finite numbers, got nan" in imported.unplaced["a"]
    assert "weight: expected floats, got int64" in imported.unplaced["b"]


@pytest.mark.parametrize(
    ("given", "options", "error", "words"),
    [
        ([1], {}, TypeError, "expected a mapping of names to arrays, got list"),
        ("model.pt", {}, TypeError, r"got str; write load_pt\(path\)"),
        ({}, {}, ValueError, "expected arrays by name, got none in nothing"),
        ({"epoch": 3}, {}, ValueError, "expected arrays by name, got none in epoch"),
        ({"a.weight": np.ones((2, 3)), "a": {"weight": np.ones((2, 3))}}, {}, ValueError, "each name once"),
        (None, {"nonlinearity": "gelu"}, ValueError, "nonlinearity: expected 'tanh' or 'relu'"),
        (None, {"nonlinearity": {"x": "relu"}}, ValueError, "nonlinearity: expected .* got 'x'"),
        (None, {"gate_order": {"rnn": "ifg"}}, ValueError, "gate_order: expected the letters rzn, got 'ifg'"),
        (None, {"kinds": {"rnn": "Conv"}}, ValueError, r"kinds\['rnn'\]: expected"),
        (None, {"dtype": "int8"}, TypeError, "dtype"),
    ],
)
def test_a_wrong_argument_is_named(given, options, error, words):
    state = under("rnn", fr.GRU(3, 5).state_dict()) if given is None else given
    with pytest.raises(error, match=words):
        from_state_dict(state, **options)


# --- language models ---


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "num_layers": 3},
        {"cell": "rnn", "tied": True, "embedding_size": 4},
        {"cell_options": {"proj_size": 2}},
        {"cell_options": {"bias": False}},
        {"embedding_size": None},
        {"dtype": "float64"},
    ],
)
def test_a_language_model_comes_back_from_its_state_dict(options):
    model = language_model(**options)
    back = from_state_dict(word_state(model)).to_language_model()
    assert repr(back) == repr(model)
    assert np.array_equal(back.parameters.flat, model.parameters.flat)


def test_cells_one_above_another_become_a_stack():
    layers = [fr.LSTM(3, 5, seed=1), fr.GRU(5, 4, seed=2)]
    state = {"emb.weight": random((6, 3))} | under("cells.0", layers[0].state_dict())
    state |= under("cells.1", layers[1].state_dict()) | under("out", fr.Linear(4, 6, seed=0).state_dict())
    imported = from_state_dict(state)
    ids = np.array([[0, 1], [2, 3], [5, 4]])
    assert compare(imported.to_language_model().logits(ids)[0], imported.to_sequential()(ids)[0]).equal


def test_a_decoder_without_a_bias_gets_zeros():
    model = language_model()
    with model.parameters.edit() as views:
        views["output.bias"][...] = 0
    state = word_state(model)
    del state["decoder.bias"]
    ids = [[0, 1], [2, 3]]
    assert np.array_equal(from_state_dict(state).to_language_model().logits(ids)[0], model.logits(ids)[0])


@pytest.mark.parametrize("way", ["shared", "equal", "left out"])
def test_tied_weights_are_recognised(way, tmp_path):
    model = language_model(cell="gru", embedding_size=4, tied=True)
    state = word_state(model)
    if way == "shared":
        state["decoder.weight"] = state["encoder.weight"]
        (tmp_path / "m.pt").write_bytes(saved(state))
        state = load_pt(tmp_path / "m.pt")
        assert np.shares_memory(state["decoder.weight"], state["encoder.weight"])
    elif way == "left out":
        del state["decoder.weight"]
    imported = from_state_dict(state)
    assert imported.tied == {"decoder": "encoder"}
    assert any(note.startswith("decoder: ") for note in imported.notes)
    assert repr(imported.to_language_model()) == repr(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"norm.weight": random(4), "norm.bias": random(4)}, "not placed: norm: a LayerNorm"),
        ({"fc2.weight": random((5, 5)), "fc2.bias": random(5)}, "layers: expected an Embedding"),
        ({"encoder.weight": random((7, 3))}, "as many outputs as symbols, got 5 outputs and 7 symbols"),
        ({"encoder.weight": random((5, 2))}, "rnn: expected input_size 2, the width of the embedding, got 3"),
        ({"decoder.weight": random((5, 6))}, "the output layer reads 6 numbers, rnn returns 4"),
        ({"encoder.weight": random((5, 3), "float64")}, "dtype: expected one for all layers"),
        (under("rnn", fr.LSTM(3, 2, bidirectional=True).state_dict()), "rnn: expected one that runs forward"),
    ],
)
def test_what_is_no_language_model_is_refused_with_the_reason(change, words):
    with pytest.raises(ValueError, match=words):
        from_state_dict(word_state(language_model()) | change).to_language_model()


def test_a_vocabulary_of_characters_or_words_comes_along(tmp_path):
    imported = from_state_dict(word_state(language_model()))
    model, vocabulary = imported.to_language_model(["a", "b", "c", "d", "\n"])
    fr.train.save_checkpoint(tmp_path / "m.safetensors", model, vocabulary)
    assert fr.train.load_checkpoint(tmp_path / "m.safetensors").vocabulary.symbols == vocabulary.symbols
    assert imported.to_language_model(["the", "cat", "sat", "on", "<eos>"])[1].level == "word"
    assert imported.to_language_model(vocabulary)[1] is vocabulary
    with pytest.raises(ValueError, match="vocabulary: expected 5 symbols, got 2"):
        imported.to_language_model(["a", "b"])
    with pytest.raises(TypeError, match="vocabulary: expected a list of str"):
        imported.to_language_model([1, 2, 3, 4, 5])


# --- the parity self-test ---


@pytest.mark.parametrize("batch_first", [False, True])
def test_check_compares_with_the_original_outputs_and_states(batch_first):
    layer = fr.LSTM(3, 5, seed=0)
    imported = from_state_dict(under("rnn", layer.state_dict()))
    x = random((4, 2, 3))
    y, state = layer(x)
    given = [np.swapaxes(array, 0, 1) if batch_first else array for array in (x, y)]
    assert imported.check(*given, batch_first=batch_first).equal
    assert imported.check(given[0], (given[1], state), batch_first=batch_first).equal
    assert not imported.check(given[0], given[1] + 1, batch_first=batch_first).equal


@pytest.mark.parametrize(
    ("kind", "order"), [("LSTM", "ifog"), ("LSTM", "igfo"), ("GRU", "zrn"), ("GRU", "nzr")]
)
def test_a_wrong_gate_order_is_found_by_check_and_corrected(kind, order):
    layer = getattr(fr, kind)(3, 5, seed=0)
    gates = dict(zip({"LSTM": "ifgo", "GRU": "rzn"}[kind], range(4), strict=False))
    places = [gates[gate] for gate in order]
    state = {
        name: np.concatenate([np.split(value, len(order))[place] for place in places])
        for name, value in under("rnn", layer.state_dict()).items()
    }
    x = random((6, 2, 3))
    parity = from_state_dict(state).check(x, layer(x)[0])
    assert not parity.equal
    assert parity.hints == (f"gate_order={{'rnn': {order!r}}}",)
    right = from_state_dict(state, gate_order={"rnn": order})
    assert right.check(x, layer(x)[0]).equal
    assert right.notes == [f"rnn: gates reordered from {order}"]


def test_a_wrong_activation_is_found_by_check():
    layer = fr.RNN(3, 5, nonlinearity="relu", seed=0)
    x = random((6, 2, 3))
    parity = from_state_dict(layer.state_dict()).check(x, layer(x)[0])
    assert parity.hints == ("nonlinearity={'rnn': 'relu'}",)
    assert str(parity).endswith("equal with nonlinearity={'rnn': 'relu'}")
    assert from_state_dict(layer.state_dict(), nonlinearity={"rnn": "relu"}).check(x, layer(x)[0]).equal


# --- out ---


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (fr.GRU(2, 3, reset_after=False), "resets after the recurrent product only"),
        (fr.SLSTM(2, 3), "PyTorch has no such layer"),
        (fr.LSTM(2, 3, peephole=True), "PyTorch's LSTM has no peephole='gers'"),
        (fr.LSTM(2, 3, layer_norm=True), "no layer_norm=True"),
        (fr.GRU(2, 3, proj_size=2), "PyTorch's GRU has no proj_size=2"),
        (fr.RNN(2, 3, nonlinearity="sigmoid"), "PyTorch's RNN has no nonlinearity='sigmoid'"),
        (fr.LSTM(2, 3, reverse=True), "no reverse=True"),
        (fr.RNN(2, 3, zoneout=0.1), "no zoneout"),
    ],
)
def test_a_layer_that_pytorch_lacks_is_refused(layer, words):
    with pytest.raises(ValueError, match=words):
        to_state_dict(layer)
    with pytest.raises(ValueError, match=words):
        to_state_dict(fr.Sequential({"rnn": layer}))


def test_names_are_changed_by_part_and_the_longest_counts(tmp_path):
    model = language_model(cell="gru")
    state = to_state_dict(model, {"": "module", "embedding": "encoder", "output": ""})
    assert list(state) == [
        "encoder.weight",
        *(f"module.rnn.{name}" for name in fr.GRU(3, 4).parameters),
        "weight",
        "bias",
    ]
    save_file(state, tmp_path / "m.safetensors")
    assert sorted(load_pt(tmp_path / "m.safetensors")) == sorted(state)
    with pytest.raises(ValueError, match="names: expected parts of the model, got 'decoder'"):
        to_state_dict(model, {"decoder": "x"})
    with pytest.raises(ValueError, match="different names for all parameters"):
        to_state_dict(model, {"embedding": "output"})
    with pytest.raises(TypeError, match="model: expected a layer"):
        to_state_dict({})
    with pytest.raises(TypeError, match="names: expected str, got int"):
        to_state_dict(model, {"output": 3})


def test_a_linear_layer_before_the_recurrent_one_is_not_taken_for_the_output():
    layers = {"emb": fr.Embedding(4, 4), "proj": fr.Linear(4, 4), "rnn": fr.GRU(4, 4)}
    state = {f"{name}.{key}": value for name, one in layers.items() for key, value in one.parameters.items()}
    with pytest.raises(ValueError, match="layers: expected an Embedding"):
        fr.interop.from_state_dict(state).to_language_model()
    in_order = {key: state[key] for key in sorted(state, key=lambda key: key.startswith("proj"))}
    assert isinstance(fr.interop.from_state_dict(in_order).to_language_model(), fr.LanguageModel)
