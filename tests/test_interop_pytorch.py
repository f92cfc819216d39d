"""Weights of PyTorch in and out, compared with PyTorch itself."""

import itertools

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.interop import ModelFileError, compare, from_state_dict, load_pt, to_state_dict

# PyTorch warns that it has no faster implementation of a projection.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")

T, N, D, H = 5, 3, 4, 6
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def tensors(torch, state):
    return {name: torch.from_numpy(value) for name, value in state.items()}


def through_a_file(torch, module, tmp_path):
    torch.save(module.state_dict(), tmp_path / "model.pt")
    return load_pt(tmp_path / "model.pt")


def arrays(value):
    """Return tensors, in tuples or not, as float64 arrays."""
    if isinstance(value, tuple):
        return tuple(map(arrays, value))
    return value.detach().double().numpy()


SHAPES = [
    (cell, layers, both, proj, bias)
    for cell, layers, both, proj, bias in itertools.product(
        ("RNN", "RNN relu", "GRU", "LSTM"), (1, 2, 3), (False, True), (0, 2), (True, False)
    )
    if cell == "LSTM" or not proj
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_recurrent_layers_of_every_form_give_equal_outputs(dtype, torch, tmp_path):
    torch.manual_seed(0)
    for cell, layers, both, proj, bias in SHAPES:
        name, _, nonlinearity = cell.partition(" ")
        options = {"nonlinearity": nonlinearity or "tanh"} if name == "RNN" else {}
        module = getattr(torch.nn, name)(
            D, H, layers, bidirectional=both, bias=bias, **({"proj_size": proj} if proj else {}), **options
        ).to(getattr(torch, dtype))
        imported = from_state_dict(through_a_file(torch, module, tmp_path), **options)
        (layer,) = imported.layers.values()
        ours = "float64" if dtype == "float64" else "float32"
        assert layer.dtype == ours
        notes = [note for note in imported.notes if "became" in note]
        assert len(notes) == (0 if dtype == ours else len(layer.parameters))
        assert all(note.endswith(f"{dtype} became float32") for note in notes)
        module = module.to(getattr(torch, ours))
        x = torch.randn(T, N, D, dtype=module.weight_ih_l0.dtype)
        with torch.no_grad():
            expected = arrays(module(x))
        parity = compare(layer(x.numpy()), expected, tolerance=TOLERANCE[ours])
        assert parity.equal, (cell, layers, both, proj, bias, str(parity))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell_module_becomes_a_layer(cell, bias, dtype, torch, tmp_path):
    module = getattr(torch.nn, f"{cell}Cell")(D, H, bias=bias, dtype=getattr(torch, dtype))
    (layer,) = from_state_dict(through_a_file(torch, module, tmp_path)).layers.values()
    assert type(layer) is getattr(fr, cell)
    x, state, expected = torch.randn(T, N, D, dtype=module.weight_ih.dtype), None, []
    for t in range(T):
        state = module(x[t], state)
        expected.append(arrays(state[0] if cell == "LSTM" else state))
    assert compare(layer(x.numpy())[0], np.stack(expected), tolerance=TOLERANCE[dtype]).equal


def test_a_checkpoint_with_an_optimizer_and_views_is_read(torch, tmp_path):
    module = torch.nn.Sequential(torch.nn.Embedding(7, D), torch.nn.LSTM(D, H))
    optimizer = torch.optim.Adam(module.parameters())
    module[1](module[0](torch.tensor([[1, 2]])))[0].sum().backward()
    optimizer.step()
    base = torch.arange(20.0)
    checkpoint = {
        "epoch": 3,
        "model_state_dict": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "extra": [base[2:10].view(2, 4).t(), torch.nn.Parameter(base[:2]), base.to(torch.int16), base > 3],
        "size": base.view(4, 5).size(),
        "device": base.device,
        "dtype": base.dtype,
        "rng": torch.get_rng_state(),
    }
    torch.save(checkpoint, tmp_path / "c.pt")
    state = load_pt(tmp_path / "c.pt")
    assert state["size"] == (4, 5)
    assert (state["device"], state["dtype"]) == ("cpu", "torch.float32")
    for found, expected in zip(state["extra"], checkpoint["extra"], strict=True):
        assert np.array_equal(found, expected.detach().numpy())
    assert np.shares_memory(state["extra"][0], state["extra"][1]) is False
    moments = state["optimizer"]["state"][1]["exp_avg"]
    assert np.array_equal(moments, optimizer.state_dict()["state"][1]["exp_avg"].numpy())
    imported = from_state_dict(state)
    assert [repr(layer) for layer in imported.layers.values()] == ["Embedding(7, 4)", "LSTM(4, 6)"]
    assert imported.notes[0].startswith("read 'model_state_dict', left out epoch, optimizer")


def test_what_pytorch_writes_in_other_formats_is_refused(torch, tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelFileError, match=r"torch\.save\(torch\.load\(old\), new\)"):
        load_pt(path)
    torch.save(torch.nn.GRU(2, 3), path)
    with pytest.raises(ModelFileError, match=r"imports torch\.nn\.modules\.rnn\.GRU"):
        load_pt(path)
    for other in (torch.ones(2).to_sparse(), torch.ones(2).to(torch.float8_e5m2)):
        torch.save({"a": other}, path)
        with pytest.raises(ModelFileError, match=r"imports torch\."):
            load_pt(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(protocol, torch, tmp_path):
    torch.save({"a": torch.ones(2), "b": {1, 2}, "c": 2**70}, tmp_path / "m.pt", pickle_protocol=protocol)
    state = load_pt(tmp_path / "m.pt")
    assert (state["b"], state["c"], state["a"].tolist()) == ({1, 2}, 2**70, [1.0, 1.0])


def test_a_file_without_checksums_is_read(torch, tmp_path):
    before = torch.serialization.get_crc32_options()
    try:
        torch.serialization.set_crc32_options(False)
        torch.save({"a": torch.ones(2)}, tmp_path / "m.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert load_pt(tmp_path / "m.pt")["a"].tolist() == [1.0, 1.0]


# --- language models ---


def word_language_model(torch, kind, *, layers=2, tied=False, bias=True, names=("encoder", "rnn", "decoder")):
    """Return a module with the structure and the names of PyTorch's example."""
    encoder = torch.nn.Embedding(9, H if tied else D)
    cell, options = kind.partition("_")[0], {}
    if cell == "RNN":
        options = {"nonlinearity": kind.partition("_")[2].lower()}
    rnn = getattr(torch.nn, cell)(encoder.embedding_dim, H, layers, **options)
    decoder = torch.nn.Linear(H, 9, bias=bias)
    if tied:
        decoder.weight = encoder.weight
    return torch.nn.ModuleDict(dict(zip(names, (encoder, rnn, decoder), strict=True)))


def logits(module, ids):
    encoder, rnn, decoder = module.values()
    return arrays(decoder(rnn(encoder(ids))[0]))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["RNN_TANH", "RNN_RELU", "LSTM", "GRU"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_language_model_has_equal_logits_in_and_out(kind, tied, dtype, torch, tmp_path):
    module = word_language_model(torch, kind, tied=tied).to(getattr(torch, dtype))
    options = {"nonlinearity": kind[4:].lower()} if kind.startswith("RNN") else {}
    imported = from_state_dict(through_a_file(torch, module, tmp_path), **options)
    assert imported.tied == ({"decoder": "encoder"} if tied else {})
    model, vocabulary = imported.to_language_model(list("abcdefghi"))
    assert model.config["tied"] is tied
    assert vocabulary.level == "char"
    ids = torch.randint(0, 9, (T, N))
    expected = logits(module, ids)
    assert compare(model.logits(ids.numpy())[0], expected, tolerance=TOLERANCE[dtype]).equal
    assert compare(imported.to_sequential()(ids.numpy())[0], expected, tolerance=TOLERANCE[dtype]).equal
    assert imported.check(ids.numpy(), expected, tolerance=TOLERANCE[dtype]).equal

    other = word_language_model(torch, kind, tied=tied).to(getattr(torch, dtype))
    names = {"embedding": "encoder", "output": "decoder"}
    other.load_state_dict(tensors(torch, to_state_dict(model, names)), strict=True)
    assert np.array_equal(logits(other, ids), expected)


def test_a_sequential_goes_out_under_its_own_names(torch):
    parts = {"encoder": fr.Embedding(9, D), "rnn": fr.GRU(D, H), "decoder": fr.Linear(H, 9)}
    network = fr.Sequential(parts)
    module = word_language_model(torch, "GRU", layers=1)
    module.load_state_dict(tensors(torch, to_state_dict(network)), strict=True)
    ids = torch.randint(0, 9, (T, N))
    assert compare(network(ids.numpy())[0], logits(module, ids)).equal


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_state_dict_of_every_layer_loads_strictly(dtype, torch):
    kind = getattr(torch, dtype)
    for cell, layers, both, proj, bias in SHAPES:
        name, _, nonlinearity = cell.partition(" ")
        options = {"nonlinearity": nonlinearity or "tanh"} if name == "RNN" else {}
        options |= {"proj_size": proj} if proj else {}
        layer = getattr(fr, name)(D, H, layers, bidirectional=both, bias=bias, dtype=dtype, **options)
        module = getattr(torch.nn, name)(D, H, layers, bidirectional=both, bias=bias, dtype=kind, **options)
        for state in (layer.state_dict(), to_state_dict(layer)):
            module.load_state_dict(tensors(torch, state), strict=True)
        x = torch.randn(T, N, D, dtype=kind)
        assert compare(layer(x.numpy()), arrays(module(x)), tolerance=TOLERANCE[dtype]).equal
    for layer, module in (
        (fr.Linear(D, H, dtype=dtype), torch.nn.Linear(D, H, dtype=kind)),
        (fr.Linear(D, H, bias=False, dtype=dtype), torch.nn.Linear(D, H, bias=False, dtype=kind)),
        (fr.Embedding(D, H, dtype=dtype), torch.nn.Embedding(D, H, dtype=kind)),
    ):
        module.load_state_dict(tensors(torch, layer.state_dict()), strict=True)


def test_an_adaptive_softmax_goes_out_too(torch):
    model = fr.LanguageModel(20, hidden_size=16, embedding_size=D, num_layers=1, cutoffs=[4, 10], seed=0)
    module = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(20, D),
            "rnn": torch.nn.LSTM(D, 16),
            "output": torch.nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], div_value=4.0),
        }
    )
    module.load_state_dict(tensors(torch, to_state_dict(model)), strict=True)
    ids = torch.randint(0, 20, (T, N))
    h = module["rnn"](module["embedding"](ids))[0]
    expected = arrays(module["output"].log_prob(h.reshape(T * N, 16)).reshape(T, N, 20))
    assert compare(model.logits(ids.numpy())[0], expected).equal


def test_tensors_need_no_file(torch):
    module = torch.nn.LSTM(D, H, dtype=torch.bfloat16)
    imported = from_state_dict(module.state_dict())
    assert "weight_ih_l0: bfloat16 became float32" in imported.notes
    assert np.array_equal(
        imported.layers["lstm"].parameters["weight_hh_l0"], module.weight_hh_l0.detach().float().numpy()
    )
    with pytest.raises(TypeError, match=r"got LSTM; write model\.state_dict\(\)"):
        from_state_dict(module)
