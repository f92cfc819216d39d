"""Files of quantized models: the same bits again, their sizes, other readers, and damaged ones."""

import numpy as np
import pytest
from safetensors import deserialize
from safetensors.numpy import load, save

import fastrnn as fr
from fastrnn.train import SGD, CheckpointError, Trainer, load_checkpoint, save_checkpoint
from stored_tensors import changed, description_of, floats, header_of, q, stored, written

PRECISIONS = ("int8", "bfloat16")
TEXT = "to be, or not to be: that is the question\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def bits(module):
    return module.parameters.flat.tobytes()


def network():
    stack = fr.Stack(fr.GRU(6, 6, seed=1), fr.SLSTM(6, 6, seed=2), fr.RNN(6, 5, seed=3), dropout=0.1, seed=0)
    return fr.Sequential(
        {"embedding": fr.Embedding(9, 6, seed=0), "rnn": stack, "head": fr.Head(5, [7], 9, seed=0)}
    )


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_comes_back_bit_for_bit(path, precision):
    small = fr.quantize(network(), precision)
    small.save(path)
    again = fr.Sequential.load(path)
    assert bits(again) == bits(small)
    assert again.quantized
    assert again.rnn.layer0.quantized
    parts = [again, again.rnn.layer0, again.rnn.layer1, again.head.output]
    assert [part.precision for part in parts] == [
        part.precision for part in (small, small.rnn.layer0, small.rnn.layer1, small.head.output)
    ]
    x = np.arange(9).reshape(3, 3)
    assert again(x)[0].tobytes() == small(x)[0].tobytes()
    content = path.read_bytes()
    again.save(path)
    assert path.read_bytes() == content


class Last(fr.Composite):
    def __call__(self, x):
        return self.fc(self.rnn(x)[1][0])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_network_of_a_class_of_ones_own_comes_back(path, precision):
    small = fr.quantize(Last(rnn=fr.GRU(3, 4, seed=0), fc=fr.Linear(4, 2, seed=0)), precision)
    small.save(path)
    again = Last.load(path)
    assert type(again) is Last
    assert again.quantized
    assert bits(again) == bits(small)


MODELS = {
    "one-hot": {},
    "tied": {"embedding_size": 13, "tied": True},
    "head": {"head": {"hidden_sizes": [4], "out_features": 6}, "embedding_size": 3},
    "adaptive": {"cutoffs": [4], "cell": "gru"},
    "halt": {"length_model": "halt", "start": -1},
    "stack": {"embedding_size": 5, "rnn": {"kind": "GRU", "input_size": 5, "hidden_size": 7}},
}


def language_model(vocabulary, **options):
    sizes = {} if "rnn" in options else {"hidden_size": 13, "num_layers": 2}
    return fr.LanguageModel(len(vocabulary), seed=0, **sizes, **options)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", MODELS)
def test_a_language_model_comes_back_bit_for_bit(path, precision, name):
    vocabulary = fr.Vocabulary.from_text(TEXT)
    small = fr.quantize(language_model(vocabulary, **MODELS[name]), precision)
    save_checkpoint(path, small, vocabulary)
    again = load_checkpoint(path).model
    assert bits(again) == bits(small)
    assert again.config == small.config
    assert again.quantized
    assert again.precision == precision
    x = vocabulary.encode(TEXT)[:, None]
    if name != "halt":
        assert again.logits(x)[0].tobytes() == small.logits(x)[0].tobytes()


def fitted():
    small = {"hidden_size": 6, "epochs": 1, "random_state": 0}
    words, labels = ["lili", "mimi", "lulu", "mumu"] * 3, ["i", "i", "u", "u"] * 3
    series = np.sin(np.arange(60, dtype=np.float32) / 3)
    numbers = [float(len(word)) for word in words]
    yield fr.models.SequenceClassifier(**small, pooling="attention").fit(words, labels), words
    yield fr.models.SequenceRegressor(**small, cell="gru").fit(words, numbers), words
    yield fr.models.SequenceTagger(**small, crf=True).fit(words, [list(word) for word in words]), words
    yield fr.models.Seq2Seq(**small).fit(words, words), words
    yield fr.models.Forecaster(**small, window=8).fit(series), None


@pytest.fixture(scope="module")
def models():
    return list(fitted())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("index", range(5))
def test_a_model_with_fit_comes_back_bit_for_bit(path, models, precision, index):
    model, rows = models[index]
    before = bits(model.network_)
    small = fr.quantize(model, precision)
    assert type(small) is type(model)
    assert bits(model.network_) == before
    assert not model.network_.quantized
    assert small.network_.quantized
    small.save(path)
    again = type(model).load(path)
    assert again.network_.quantized
    assert again.network_.precision == precision
    assert bits(again.network_) == bits(small.network_)
    given = () if rows is None else (rows,)
    np.testing.assert_array_equal(again.predict(*given), small.predict(*given))


def test_a_model_that_partial_fit_trains_leaves_its_optimizer_behind(path):
    model = fr.models.SequenceClassifier(hidden_size=4, random_state=0)
    model.partial_fit(["lili", "lulu"], ["i", "u"], classes=["i", "u"])
    small = fr.quantize(model, "int8")
    assert "_optimizer" in model.__dict__
    assert "_optimizer" not in small.__dict__


@pytest.mark.parametrize(("precision", "most"), [("int8", 0.26), ("bfloat16", 0.51)])
def test_a_file_has_a_quarter_or_half_of_the_bytes(path, precision, most):
    model = fr.Sequential(fr.Embedding(2000, 200, seed=0), fr.LSTM(200, 200, seed=0), fr.Linear(200, 500))
    model.save(path)
    before = path.stat().st_size
    fr.quantize(model, precision).save(path)
    assert path.stat().st_size < most * before


def test_a_file_of_a_float32_model_has_the_bytes_that_it_had(path):
    model, vocabulary = network(), fr.Vocabulary.from_text(TEXT)
    model.save(path)
    content = path.read_bytes()
    assert "quantized" not in description_of(content)
    assert description_of(content)["format_version"] == 1
    assert content == save(model.state_dict(), header_of(content)["__metadata__"])
    save_checkpoint(path, language_model(vocabulary), vocabulary)
    described = description_of(path.read_bytes())
    assert list(described) == ["format_version", "package_version", "model", "vocabulary", "training"]
    assert "precision" not in described["model"]


def test_older_versions_refuse_the_file_by_its_format_version(path):
    fr.quantize(network(), "int8").save(path)
    assert description_of(path.read_bytes())["format_version"] == 2


def test_int8_is_stored_as_whole_numbers_and_a_scale_for_each_row(path):
    small = fr.quantize(network(), "int8")
    small.save(path)
    tensors = load(path.read_bytes())
    names = {name for name in tensors if f"{name}.scale" in tensors}
    assert {"embedding.weight", "rnn.layer0.weight_hh_l0", "head.output.weight"} <= names
    assert all("weight" in name for name in names)
    for name, value in small.parameters.items():
        if name not in names:
            assert tensors[name].tobytes() == value.tobytes()
            continue
        q, scale = tensors[name], tensors[f"{name}.scale"]
        assert (q.dtype, scale.dtype, scale.shape) == (np.int8, np.float32, (len(value),))
        assert (q * scale[:, None]).tobytes() == value.tobytes()


def test_bfloat16_is_read_by_other_programs(path):
    small = fr.quantize(network(), "bfloat16")
    small.save(path)
    ml_dtypes = pytest.importorskip("ml_dtypes")
    parts = dict(deserialize(path.read_bytes()))
    for name in ("embedding.weight", "head.output.weight"):
        assert parts[name]["dtype"] == "BF16"
        array = np.frombuffer(parts[name]["data"], ml_dtypes.bfloat16).reshape(parts[name]["shape"])
        assert array.astype(np.float32).tobytes() == small.parameters[name].tobytes()
    assert parts["head.output.bias"]["dtype"] == "F32"


def test_a_checkpoint_in_training_keeps_float32(path):
    vocabulary = fr.Vocabulary.from_text(TEXT)
    model = language_model(vocabulary)
    trainer = Trainer(model, fr.ChunkedText(vocabulary.encode(TEXT * 4), 2, 8), SGD(model, 0.1))
    list(trainer.run(2))
    save_checkpoint(path, model, vocabulary, trainer.state())
    tensors = deserialize(path.read_bytes())
    assert {part["dtype"] for name, part in tensors if not name.startswith("training.")} == {"F32"}


WEIGHT = "rnn.weight_ih_l0"


def small_network(precision):
    parts = {"rnn": fr.LSTM(3, 4, seed=0), "fc": fr.Linear(4, 2, seed=0)}
    return fr.quantize(fr.Sequential(parts), precision)


DAMAGES = {
    "a scale of another shape": (lambda t: {**t, f"{WEIGHT}.scale": floats(np.ones(15))}, "one scale for"),
    "a scale for all rows": (lambda t: {**t, f"{WEIGHT}.scale": floats(1.0)}, "one scale for each row"),
    "a scale of another dtype": (
        lambda t: {**t, f"{WEIGHT}.scale": ("BF16", np.ones(16, np.uint16))},
        f"{WEIGHT}.scale: expected I8 or F32 in a file in int8, got BF16",
    ),
    "no scale": (lambda t: {n: a for n, a in t.items() if n != f"{WEIGHT}.scale"}, f"{WEIGHT}.scale with it"),
    "a scale of nothing": (lambda t: {**t, "x.scale": floats([1.0])}, "unknown x.scale"),
    "a scale of a bias": (lambda t: {**t, "fc.bias.scale": floats([1.0])}, "unknown fc.bias.scale"),
    "a NaN": (lambda t: changed(t, f"{WEIGHT}.scale", 3, np.nan), "expected finite scales"),
    "an infinity": (lambda t: changed(t, f"{WEIGHT}.scale", 3, np.inf), "expected finite scales"),
    "a negative scale": (lambda t: changed(t, f"{WEIGHT}.scale", 3, -1.0), "scales of at least 0"),
    "too large a scale": (lambda t: changed(t, f"{WEIGHT}.scale", 3, 3e38), "expected finite numbers"),
    "-128": (lambda t: changed(t, WEIGHT, (2, 1), -128), "in -127 .. 127, got -128"),
    "a scale of 24 bits": (
        lambda t: changed(t, f"{WEIGHT}.scale", 3, np.float32(1 + 2.0**-23)), "as fr.quantize rounds them"
    ),
    "a row without 127": (lambda t: changed(t, WEIGHT, 2, 100), "as fr.quantize rounds them"),
    "a weight in float32": (
        lambda t: {
            **{n: a for n, a in t.items() if n != f"{WEIGHT}.scale"}, WEIGHT: floats(np.zeros((16, 3)))
        },
        f"{WEIGHT}: expected I8 .* got F32",
    ),
    "a bias in int8": (
        lambda t: {**t, "fc.bias": q([[1, 2]]), "fc.bias.scale": floats([1.0])}, "fc.bias: .*shape|fc.bias"
    ),
    "a vector in int8": (
        lambda t: {**t, "fc.bias": q([1, 2]), "fc.bias.scale": floats([1.0, 1.0])}, "one scale for each row"
    ),
    "another shape": (
        lambda t: {**t, WEIGHT: q(np.full((16, 2), 127))}, r"weight_ih_l0.*\[16, 3\]|weight_ih_l0"
    ),
    "no weight": (
        lambda t: {n: a for n, a in t.items() if not n.startswith(WEIGHT)}, f"missing {WEIGHT}"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_in_int8_is_refused_with_the_reason(path, name):
    damage, message = DAMAGES[name]
    small_network("int8").save(path)
    content = path.read_bytes()
    written(path, stored(content), description_of(content))
    fr.Sequential.load(path)  # what `written` writes is good
    written(path, damage(stored(content)), description_of(content))
    with pytest.raises(CheckpointError, match=message):
        fr.Sequential.load(path)


def test_a_file_in_bfloat16_with_other_dtypes_is_refused(path):
    small_network("bfloat16").save(path)
    content = path.read_bytes()
    tensors = stored(content)
    wide = floats(np.zeros((16, 3)))
    for damaged, message in (
        ({**tensors, WEIGHT: wide}, f"{WEIGHT}: expected BF16 in a file in bfloat16, got F32"),
        ({**tensors, "fc.bias": ("BF16", np.zeros(2, np.uint16))}, "fc.bias: expected F32 .* got BF16"),
        (
            {**tensors, WEIGHT: q(np.zeros((16, 3)))},
            f"{WEIGHT}: expected BF16 or F32 in a file in bfloat16, got I8",
        ),
        (changed(tensors, WEIGHT, (0, 0), 0x7FC0), "expected finite numbers"),
    ):
        written(path, damaged, description_of(content))
        with pytest.raises(CheckpointError, match=message):
            fr.Sequential.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantized": "bfloat16"}, "expected BF16 or F32 in a file in bfloat16, got I8"),
        ({"quantized": "float32"}, "quantized: expected 'bfloat16' or 'int8', got 'float32'"),
        ({"quantized": None}, "quantized: expected 'bfloat16' or 'int8'"),
        ({"quantized": ["int8"]}, "quantized: expected 'bfloat16' or 'int8'"),
        ({"format_version": 1}, "unknown .*scale"),
        ({"format_version": True}, "format version True; this fastrnn"),
        ({"format_version": 3}, "format version 3; this fastrnn .* reads 1 and 2"),
    ],
)
def test_a_wrong_header_is_refused(path, change, message):
    small_network("int8").save(path)
    content = path.read_bytes()
    written(path, stored(content), {**description_of(content), **change})
    with pytest.raises(CheckpointError, match=message):
        fr.Sequential.load(path)


def test_a_float64_model_is_not_made_of_a_quantized_file(path):
    small_network("int8").save(path)
    content = path.read_bytes()
    described = description_of(content)
    described["dtype"] = "float64"
    described["parts"][0]["dtype"] = "float64"
    written(path, stored(content), described)
    with pytest.raises(CheckpointError, match="expected dtype float32"):
        fr.Sequential.load(path)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_exports_have_exactly_the_values_of_a_quantized_model(precision):
    small = small_network(precision)
    state = fr.interop.to_state_dict(small)
    for name, value in small.parameters.items():
        assert np.asarray(state[name]).tobytes() == value.tobytes(), name


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_onnx_file_is_that_of_a_float32_model_with_these_values(tmp_path, precision):
    onnx = pytest.importorskip("onnx")
    small = small_network(precision)
    wide = fr.Sequential({"rnn": fr.LSTM(3, 4), "fc": fr.Linear(4, 2)})
    wide.load_state_dict(small.state_dict())
    for name, model in (("small", small), ("wide", wide)):
        fr.interop.save_onnx(tmp_path / f"{name}.onnx", model)
    small_graph, wide_graph = (onnx.load(tmp_path / f"{name}.onnx").graph for name in ("small", "wide"))
    assert small_graph.SerializeToString() == wide_graph.SerializeToString()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_converted_to_onnx_is_checked_in_float32(path, tmp_path, precision):
    pytest.importorskip("onnxruntime")
    small = small_network(precision)
    small.save(path)
    conversion = fr.interop.convert(path, tmp_path / "model.onnx", check=True)
    assert conversion.model.quantized
    assert bits(conversion.model) == bits(small)
    assert conversion.parity["target"].equal
