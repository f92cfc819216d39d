"""Models written as ONNX files, beside what ONNX Runtime and `load_onnx` compute from them.

CI installs onnx and onnxruntime; where they are absent, these tests are skipped. The long form, thousands of
layers with all options, is `tests/fuzz/onnx_export.py`.
"""

import importlib
import json
import sys

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.models.seq2seq_search import _Decoder

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from .fuzz.onnx_export import check, exported, run  # noqa: E402  # after the libraries that it needs

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(5, 3, 4)).astype("f")
IDS = RANDOM.integers(-1, 9, size=(6, 3))
LENGTHS = np.array([5, 0, 2])
TABLE = [index for index in range(30) if exported(index, 0) is not None]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.fixture
def results(path):
    """Write a model, check the file, and return what each of both readers computes."""

    def of(model, feeds, **options):
        fr.interop.save_onnx(path, model, **options)
        onnx.checker.check_model(path, full_check=True)
        return run(path, feeds), fr.interop.load_onnx(path).run(feeds)

    return of


@pytest.fixture
def agree(results):
    """Assert that both readers compute what is wanted."""

    def of(model, feeds, wanted, *, atol=2e-6, **options):
        for got in results(model, feeds, **options):
            for name, array in wanted.items():
                assert got[name].shape == np.shape(array)
                np.testing.assert_allclose(got[name], array, rtol=1e-6, atol=atol, err_msg=name)

    return of


def metadata(path):
    return json.loads({one.key: one.value for one in onnx.load(path).metadata_props}["fastrnn"])


def ends(path):
    graph = onnx.load(path).graph
    return [one.name for one in graph.input], [one.name for one in graph.output]


def operators(path):
    return {node.op_type for node in onnx.load(path).graph.node}


# ---- layers


@pytest.mark.parametrize("index", TABLE)
def test_random_layers_are_equal(index, path):
    plan = exported(index, 0)
    assert check(plan, path, (13, 17, 18, 21)[index % 4]).failure == ""


@pytest.mark.parametrize(
    ("options", "operator"),
    [
        ({}, "LSTM"),
        ({"peephole": True, "coupled": True, "gate_activation": "hard_sigmoid"}, "LSTM"),
        ({"candidate_activation": "identity", "output_activation": "relu"}, "LSTM"),
        ({"bidirectional": True, "merge": "mean", "learn_state": True}, "LSTM"),
        ({"peephole": "previous"}, "Scan"),
        ({"cell_clip": 0.1}, "Scan"),
        ({"proj_size": 2}, "Scan"),
        ({"dtype": "float64"}, "Scan"),
    ],
)
def test_options_that_a_node_has_make_a_node(options, operator, path):
    fr.interop.save_onnx(path, fr.LSTM(4, 3, **options))
    assert operators(path) & {"LSTM", "Scan"} == {operator}


def test_steps_and_rows_may_differ_from_run_to_run(path):
    rnn = fr.GRU(4, 6, num_layers=2, reset_after=False, seed=0)
    fr.interop.save_onnx(path, rnn)
    for steps, rows in ((1, 1), (7, 1), (2, 11)):
        x, h = RANDOM.normal(size=(steps, rows, 4)).astype("f"), np.ones((2, rows, 6), np.float32)
        y, last = rnn(x, h)
        got = run(path, {"x": x, "h_0": h})
        np.testing.assert_allclose(got["y"], y, atol=1e-6)
        np.testing.assert_allclose(got["h_n"], last, atol=1e-6)


def test_rows_without_a_step_keep_their_state(agree):
    for rnn in (fr.RNN(4, 6, seed=0), fr.LSTM(4, 6, seed=0), fr.GRU(4, 6, layer_norm=True, seed=0)):
        state = tuple(np.full((1, 3, 6), 0.5, np.float32) for _ in rnn.state_names)
        y, last = rnn(X, state if len(state) > 1 else state[0], LENGTHS)
        names, lasts = rnn.state_names, last if isinstance(last, tuple) else (last,)
        feeds = {"x": X, "lengths": LENGTHS} | {f"{n}_0": s for n, s in zip(names, state, strict=True)}
        wanted = {"y": y} | {f"{n}_n": s for n, s in zip(names, lasts, strict=True)}
        agree(rnn, feeds, wanted, lengths=True)


def test_ids_stand_for_one_hot_vectors_in_small_and_large_vocabularies(agree):
    for size in (9, 200):
        rnn = fr.GRU(size, 5, seed=0)
        agree(rnn, {"ids": IDS}, {"y": rnn(IDS)[0]}, ids=True, state=False)


def test_a_context_is_of_each_step_or_of_all(results):
    rnn, context = fr.RNN(4, 6, context_size=2, batch_first=True, seed=0), np.ones((3, 1, 2), np.float32)
    x = X.swapaxes(0, 1)
    for got in results(rnn, {"x": x, "context": context}, state=False):
        np.testing.assert_allclose(got["y"], rnn(x, context=context[:, 0])[0], atol=1e-6)


def test_stacks_have_a_state_for_each_layer(agree, path):
    stack = fr.Stack(fr.GRU(4, 8, seed=0), fr.LSTM(8, 8, seed=1), connect="residual")
    h, c = np.ones((2, 1, 3, 8), np.float32) * 0.3
    y, (h0, (h1, c1)) = stack(X, (h, (c, h)))
    feeds = {"x": X, "layer0.h_0": h, "layer1.h_0": c, "layer1.c_0": h}
    agree(stack, feeds, {"y": y, "layer0.h_n": h0, "layer1.h_n": h1, "layer1.c_n": c1})
    dense = fr.Stack(fr.GRU(4, 8), fr.MinGRU(12, 4), fr.RNN(16, 6, bidirectional=True), connect="dense")
    agree(dense, {"x": X, "lengths": LENGTHS}, {"y": dense(X, lengths=LENGTHS)[0]}, lengths=True)
    assert ends(path) == (["x", "lengths"], ["y"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", fr.layers.dense.activation.FUNCTIONS)
def test_chains_with_every_activation(function, dtype, agree):
    parts = {
        "encoder": fr.Embedding(9, 4, dtype=dtype, seed=0),
        "rnn": fr.LSTM(4, 6, dtype=dtype, seed=1),
        "decoder": fr.Linear(6, 5, dtype=dtype, seed=2),
        "activation": fr.Activation(function, dtype=dtype),
        "head": fr.Head(5, [3], 2, dtype=dtype, seed=3),
    }
    net = fr.Sequential(parts)
    atol = 1e-6 if dtype == "float32" else 1e-12
    agree(net, {"ids": IDS}, {"y": net(IDS)[0]}, state=False, atol=atol)


def test_a_chain_comes_back_from_its_file(path):
    net = fr.Sequential(fr.Embedding(9, 4), fr.LSTM(4, 6, num_layers=2), fr.Linear(6, 5))
    fr.interop.save_onnx(path, net)
    again = fr.interop.load_onnx(path).to_sequential()
    np.testing.assert_allclose(again(np.maximum(IDS, 0))[0], net(np.maximum(IDS, 0))[0], atol=1e-6)


def test_the_layers_of_nested_composites_are_one_chain(agree):
    encoder = fr.Composite(embedding=fr.Embedding(9, 4, seed=0), rnn=fr.GRU(4, 6, seed=1))
    net = fr.Composite(encoder=encoder, act=fr.Activation("tanh"), fc=fr.Linear(6, 5, seed=2))
    agree(net, {"ids": IDS}, {"y": net(IDS)[0]}, state=False, atol=1e-6)


def test_parts_that_are_no_chain_are_refused(path):
    with pytest.raises(
        TypeError, match=r"^Composite: its parts are no chain: b: expected a layer that reads 3"
    ):
        fr.interop.save_onnx(path, fr.Composite(a=fr.Linear(2, 3), b=fr.Linear(2, 3)))


def test_attention_pooling(agree):
    pooling = fr.AttentionPooling(4, 5, seed=0)
    pooled, weights = pooling(X, LENGTHS)
    feeds, wanted = {"x": X, "lengths": LENGTHS}, {"pooled": pooled, "weights": weights}
    agree(pooling, feeds, wanted, lengths=True)


# ---- language models


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"embedding_size": 8, "tied": True},
        {"embedding_size": 4, "head": {"hidden_sizes": [7], "out_features": 6}, "cell": "slstm"},
        {"embedding_size": 4, "cutoffs": [3, 6], "cell": "gru"},
        {"rnn": fr.Stack(fr.GRU(9, 8, seed=0), fr.LSTM(8, 8, seed=1)), "hidden_size": 256},
    ],
)
def test_language_models_are_equal(options, agree):
    model = fr.LanguageModel(9, **{"hidden_size": 8, "seed": 0, **options})
    name = "log_probabilities" if "cutoffs" in options else "logits"
    agree(model, {"ids": IDS}, {name: model.logits(IDS)[0]}, state=False)


def test_a_language_model_runs_step_by_step(path):
    model = fr.LanguageModel(3, hidden_size=8, num_layers=2, seed=0)
    vocabulary = fr.Vocabulary("abc")
    fr.interop.save_onnx(path, model, vocabulary=vocabulary)
    state = {"h_0": np.zeros((2, 1, 8), np.float32), "c_0": np.zeros((2, 1, 8), np.float32)}
    stream = model.stream()
    for step in (0, 2, 1):
        got = run(path, {"ids": np.array([[step]]), **state})
        np.testing.assert_allclose(got["logits"][0, 0], stream.step(step), atol=1e-6)
        state = {f"{name}_0": got[f"{name}_n"] for name in "hc"}
    assert fr.Vocabulary.from_json(metadata(path)["vocabulary"]) == vocabulary


def test_language_models_with_lengths_of_texts(agree, path):
    halting = fr.LanguageModel(9, hidden_size=8, length_model="halt", seed=0)
    y = halting.rnn(IDS)[0]
    agree(halting, {"ids": IDS}, {"halt": halting.length.probability(y)}, state=False)
    counting = fr.LanguageModel(
        9, hidden_size=8, embedding_size=4, length_model="tau", max_length=7, start=0, seed=0
    )
    left = RANDOM.integers(-1, 7, size=IDS.shape)
    y = counting.rnn(counting.embedding(IDS) + counting.length.left(left))[0]
    wanted = {"logits": counting.output(y), "length_logits": counting.length.output(y)}
    agree(counting, {"ids": IDS, "left": left}, wanted, state=False)


# ---- models with fit

FEATURES = [(1e4 + 100 * RANDOM.normal(size=(3 + n % 5, 2))).astype("f") for n in range(10)]
WORDS = [["Ada", "met", "Bob", "ran", "x"][: 1 + n % 5] for n in range(10)]
FIT = {"hidden_size": 6, "epochs": 1, "random_state": 0}


def padded(rows):
    lengths = np.array([len(row) for row in rows])
    result = np.zeros((lengths.max(), len(rows), *np.shape(rows[0])[1:]), rows[0].dtype)
    for column, row in enumerate(rows):
        result[: len(row), column] = row
    return result, lengths


def by_row(array, lengths):
    return [array[:end, column] for column, end in enumerate(lengths)]


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_classifiers_and_regressors_read_features_in_their_own_unit(pooling, agree, path):
    x, lengths = padded(FEATURES)
    y = [int(row.mean() > 1e4) for row in FEATURES]
    classifier = fr.models.SequenceClassifier(pooling=pooling, **FIT).fit(FEATURES, y)
    wanted = {"probabilities": classifier.predict_proba(FEATURES)}
    agree(classifier, {"x": x, "lengths": lengths}, wanted)
    assert metadata(path)["classes"] == [0, 1]
    regressor = fr.models.SequenceRegressor(pooling=pooling, num_layers=2, **FIT)
    regressor.fit(FEATURES, [row.mean() for row in FEATURES])
    agree(regressor, {"x": x, "lengths": lengths}, {"values": regressor.predict(FEATURES)})
    whole = np.stack([row[:3] for row in FEATURES], 1)  # without padding there need be no lengths
    wanted = {"values": regressor.predict(list(whole.swapaxes(0, 1)))}
    agree(regressor, {"x": whole}, wanted, lengths=False)


def test_classifiers_of_symbols_with_several_labels(agree, path):
    model = fr.models.SequenceClassifier(embedding_size=None, **FIT)
    model.fit(WORDS, [{"a", "b"} if len(words) > 2 else {"c"} for words in WORDS])
    ids, lengths = padded([model._codec.symbols.encode(words) for words in WORDS])
    agree(model, {"ids": ids, "lengths": lengths}, {"probabilities": model.predict_proba(WORDS)})
    described = metadata(path)
    assert described["multilabel"]
    assert described["symbols"][ids[0, 0] - described["first_id"]] == "Ada"


@pytest.mark.parametrize("options", [{}, {"char_features": "gru"}, {"crf": True, "tag_scheme": "BIO"}])
def test_taggers(options, results, path):
    tags = [["B-X" if word[0].isupper() else "O" for word in words] for words in WORDS]
    model = fr.models.SequenceTagger(**FIT, **options).fit(WORDS, tags)
    ids, lengths = padded([model._codec.symbols.encode(words) for words in WORDS])
    feeds = {"ids": ids, "lengths": lengths}
    if "char_features" in options:
        words = model._spelled(WORDS).batch(np.arange(len(WORDS)))
        feeds |= {"characters": words.characters, "character_lengths": words.lengths, "places": words.places}
    for got in results(model, feeds):
        if "crf" in options:
            wanted = model.network_(ids, lengths)
            np.testing.assert_allclose(got["emissions"], wanted, atol=1e-6)
            continue
        rows = by_row(got["probabilities"], lengths)
        for row, expected in zip(rows, model.predict_proba(WORDS), strict=True):
            np.testing.assert_allclose(row, expected, atol=1e-6)
    described = metadata(path)
    assert described["classes"] == ["B-X", "O"]
    if "crf" in options:  # what may not follow is null
        np.testing.assert_allclose(described["crf"]["end"], model.network_.crf.parameters["end"])


@pytest.mark.parametrize("joined", [1, 3])
def test_transcribers(joined, results):
    frames = [RANDOM.normal(size=(8 + n % 5, 3)).astype("f") for n in range(6)]
    model = fr.models.Transcriber(stack_frames=joined, **FIT).fit(frames, ["ab"] * 6)
    x, lengths = padded(frames)
    x[lengths.min() :, lengths.argmin()] = 7  # whatever follows the end of a row
    for got in results(model, {"x": x, "lengths": lengths}):
        rows = by_row(np.exp(got["log_probabilities"]), got["frame_lengths"])
        for row, expected in zip(rows, model.predict_proba(frames), strict=True):
            np.testing.assert_allclose(row, expected, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"difference": [1, 3], "transform": "log"}])
def test_forecasters_predict_one_step(options, agree):
    series = 2 + RANDOM.random((40, 2))
    known = RANDOM.normal(size=(41, 1))
    model = fr.models.Forecaster(window=8, **FIT, **options).fit(series, known[:40])
    last = 8 + sum(options.get("difference", ()))
    feeds = {"series": series[-last:, None], "exogenous": known[-last:, None]}
    agree(model, feeds, {"forecast": model.predict(1, exogenous=known[40:])}, atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "leak_rate": 0.5}])
def test_echo_state_networks(options, agree, results):
    series = RANDOM.random((60, 2))
    model = fr.models.EchoStateNetwork(hidden_size=12, washout=5, random_state=0, **options).fit(series)
    x = series.astype(model.network_.dtype)[:, None]
    agree(model, {"x": x}, {"y": model.predict(series)[:, None]}, state=False, atol=1e-5)
    names = [f"{name}." for name in model.network_.layer_names] if len(model.network_.layers) > 1 else [""]
    state = {f"{name}h_0": np.zeros((1, 1, 12), x.dtype) for name in names}
    first = results(model, {"x": x[:20], **state})[0]
    state = {f"{name}h_0": first[f"{name}h_n"] for name in names}
    agree(model, {"x": x[20:], **state}, {"y": model.predict(series)[20:, None]}, atol=1e-5)


@pytest.mark.parametrize(
    ("attention", "feeds"), [("additive", True), ("multiplicative", True), ("additive", False), (None, False)]
)
def test_sequence_to_sequence_models_are_two_files(attention, feeds, path):
    sources = ["abc", "ca", "bbac", "a"]
    options = {"attention": attention, "input_feeding": feeds, "context": "both", "num_layers": 2}
    model = fr.models.Seq2Seq(**options, **FIT).fit(sources, [source[::-1] for source in sources])
    network, second = model.network_, path.with_name("decoder.onnx")
    ids, lengths = padded([model._codec.symbols.encode(source) for source in sources])
    fr.interop.save_onnx(path, model, part="encoder")
    fr.interop.save_onnx(second, model, part="decoder")
    onnx.checker.check_model(second, full_check=True)
    state = run(path, {"ids": ids, "lengths": lengths})
    if attention is not None:
        state["lengths"] = lengths
    if network.feeds:
        state["fed_0"] = network.no_vector(4)
    decoder = _Decoder(network, ids, lengths)
    for read in ([metadata(path)["end"]] * 4, [2, 3, 4, 2], [3, 3, 1, 0]):
        logits, weights = decoder.step(np.array(read))
        for got in (run(second, state | {"ids": np.array([read])}),
                    fr.interop.load_onnx(second).run(state | {"ids": np.array([read])})):  # fmt: skip
            np.testing.assert_allclose(got["logits"][0], logits, atol=1e-6)
            if weights is not None:
                np.testing.assert_allclose(got["attention"][0], weights, atol=1e-6)
        state |= {f"{name[:-1]}0": array for name, array in got.items() if name.endswith("_n")}
    with pytest.raises(ValueError, match="part: expected 'encoder' or 'decoder' for a Seq2Seq"):
        fr.interop.save_onnx(path, model)


# ---- files


def test_files_are_of_the_asked_version_and_say_who_wrote_them(path):
    for opset in (13, 17, onnx.defs.onnx_opset_version()):
        fr.interop.save_onnx(path, fr.GRU(4, 3, layer_norm=True), opset=opset)
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert model.opset_import[0].version == opset
        assert (model.producer_name, model.producer_version) == ("fastrnn", fr.__version__)
    fr.interop.save_onnx(path, fr.GRU(4, 3))
    assert onnx.load(path).ir_version == 8


def test_a_failed_export_leaves_the_old_file(path, monkeypatch):
    path.write_bytes(b"old")

    def fail(model):
        raise onnx.checker.ValidationError("no")

    with monkeypatch.context() as patched:
        patched.setattr(onnx.checker, "check_model", fail)
        with pytest.raises(onnx.checker.ValidationError):
            fr.interop.save_onnx(path, fr.GRU(4, 3))
    with pytest.raises(ValueError, match="ids"):
        fr.interop.save_onnx(path, fr.Linear(4, 3), ids=True)
    assert path.read_bytes() == b"old"
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    with pytest.raises(OSError, match="none"):
        fr.interop.save_onnx(path.parent / "none" / "model.onnx", fr.GRU(4, 3))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (fr.Linear(4, 3), {"state": True}, "state: expected False or None, as no layer has a state"),
        (fr.Linear(4, 3), {"lengths": True}, "lengths: expected False or None for a Linear"),
        (fr.LanguageModel(4), {"ids": True}, "ids: expected False for a LanguageModel"),
        (fr.GRU(4, 3), {"vocabulary": fr.Vocabulary("abcd")}, "vocabulary: expected None for a GRU"),
        (fr.LanguageModel(4), {"vocabulary": fr.Vocabulary("ab")}, "the vocabulary has 2 symbols"),
        (
            fr.Stack(fr.GRU(4, 3), fr.GRU(7, 2), connect="dense"),
            {"ids": True},
            "ids: expected False, as conn",
        ),
        (fr.GRU(4, 3), {"opset": 12}, "opset: expected"),
        (fr.GRU(4, 3), {"part": "encoder"}, "part: expected None for a GRU"),
        (fr.GRU(4, 3), {"part": "output"}, "part: expected"),
        (fr.models.SequenceGenerator(), {}, "model: SequenceGenerator cannot"),
        (fr.models.EchoStateClassifier(), {}, "model: EchoStateClassifier cannot"),
    ],
)
def test_what_a_file_cannot_say_is_refused(model, options, message, path):
    with pytest.raises(ValueError, match=message):
        fr.interop.save_onnx(path, model, **options)
    assert not path.exists()


def test_too_large_models_and_a_missing_library_are_named(path, monkeypatch):
    writing = importlib.import_module("fastrnn.interop.onnx.writing")
    with monkeypatch.context() as patched:
        patched.setattr(writing, "_LARGEST", 1000)
        with pytest.raises(ValueError, match="at most 1,000 bytes, its parameters take"):
            fr.interop.save_onnx(path, fr.GRU(40, 30))
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "onnx", None)
        with pytest.raises(ImportError, match=r'pip install "fastrnn\[onnx\]"'):
            fr.interop.save_onnx(path, fr.GRU(4, 3))
    assert not path.exists()


def test_other_objects_are_refused(path):
    with pytest.raises(TypeError, match=r"model: expected one of Recurrent, .*, got dict"):
        fr.interop.save_onnx(path, {})
    with pytest.raises(TypeError, match="state: expected"):
        fr.interop.save_onnx(path, fr.GRU(4, 3), state="yes")


def test_options_that_contradict_a_model_with_fit_are_refused(path):
    model = fr.models.SequenceClassifier(**FIT).fit(FEATURES, [0, 1] * 5)
    for options in ({"state": True}, {"ids": True}):
        with pytest.raises(ValueError, match="for a SequenceClassifier"):
            fr.interop.save_onnx(path, model, **options)
    forecaster = fr.models.Forecaster(window=8, **FIT).fit(RANDOM.random(40))
    with pytest.raises(ValueError, match="lengths: expected False or None for a Forecaster"):
        fr.interop.save_onnx(path, forecaster, lengths=True)
    with pytest.raises(Exception, match="fit"):
        fr.interop.save_onnx(path, fr.models.SequenceTagger())
