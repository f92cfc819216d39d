"""Traces: the states of inference, the gates that lead to them, losses and next symbols, for every model."""

import copy
import importlib
import pickle

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.decode import next_symbols, score
from fastrnn.inspect import trace
from fastrnn.inspect.trace import largest
from fastrnn.train.checkpoint import Checkpoint
from variant_cases import VARIANTS, batch, make

module = importlib.import_module("fastrnn.inspect.trace")
TEXT = "hello, old world\n"
VOCABULARY = fr.Vocabulary.from_text(TEXT)
V = len(VOCABULARY)


def language_model(**options):
    return fr.LanguageModel(V, **{"hidden_size": 6, "num_layers": 1, "seed": 0, **options})


def arrays_of(seen):
    found = {f"{layer}.{name}": one for layer in seen.layers for name, one in seen.states[layer].items()}
    found |= {f"{layer}.{name}": one for layer in seen.layers for name, one in seen.gates[layer].items()}
    found["outputs"] = seen.outputs
    return found if seen.loss is None else {**found, "loss": seen.loss}


def assert_same_bits(one, other):
    mine, its = arrays_of(one), arrays_of(other)
    assert mine.keys() == its.keys()
    for name, array in mine.items():
        np.testing.assert_array_equal(array, its[name], err_msg=name)


def one_series(rnn, steps=7):
    """Draw a series, and the context of a layer that reads one."""
    x, more = batch(rnn, (), steps, 1)
    context = more.get("context")
    if context is not None:
        context = context[0] if context.ndim == 2 else context[:, 0]
    return x[:, 0], context


@pytest.mark.parametrize("name", VARIANTS)
def test_states_are_those_of_inference_and_every_gate_of_the_tape_has_a_name(name):
    rnn = make(name)
    x, context = one_series(rnn)
    seen = trace(rnn, x, context=context)
    y, _ = rnn(x, context=context)
    np.testing.assert_array_equal(seen.outputs, y)
    if rnn.directions == 1:
        np.testing.assert_array_equal(seen.states["l0"]["h"], y)
    tape = rnn.forward(x, context=context)[2].layers[0]
    assert len(seen.gates["l0"]) == (0 if tape.gates is None else tape.gates.shape[2])
    if not rnn.options.random:
        for order, gate in enumerate(seen.gates["l0"].values()):
            np.testing.assert_array_equal(gate, tape.gates[:, 0, order])
        carried = [own for name, own in seen.states["l0"].items() if name != "h"]
        if carried:
            np.testing.assert_array_equal(np.concatenate(carried, axis=1), tape.c[:, 0])


@pytest.mark.parametrize("name", VARIANTS)
def test_a_long_series_read_in_parts_has_the_same_bits(name, monkeypatch):
    rnn = make(name, layers=1 if VARIANTS[name][0] is fr.Jordan else 2)
    x, context = one_series(rnn, 8)
    whole = trace(rnn, x, context=context)
    monkeypatch.setattr(module, "_STEPS", 3)
    assert_same_bits(trace(rnn, x, context=context), whole)


X = np.random.default_rng(2).normal(size=(9, 3))
SIZES = {"dtype": "float64", "seed": 0}


def before(array):
    return np.concatenate([np.zeros((1, array.shape[1])), array[:-1]])


def test_the_gates_of_an_lstm_make_its_states():
    seen = trace(fr.LSTM(3, 5, **SIZES), X)
    i, f, g, o = (seen.signal("l0", name) for name in "ifgo")
    h, c = seen.states["l0"]["h"], seen.states["l0"]["c"]
    np.testing.assert_allclose(c, f * before(c) + i * g, rtol=1e-12)
    np.testing.assert_allclose(h, o * np.tanh(c), rtol=1e-12)


def test_the_gates_of_coupled_and_relevance_lstms_have_their_own_names():
    seen = trace(fr.LSTM(3, 5, coupled=True, **SIZES), X)
    i, g, _ = (seen.gates["l0"][name] for name in "igo")
    np.testing.assert_allclose(seen.states["l0"]["c"], (1 - i) * before(seen.states["l0"]["c"]) + i * g)
    rnn = fr.LSTM(3, 5, relevance=True, bias=False, **SIZES)
    seen = trace(rnn, X)
    weights, h = rnn.parameters, before(seen.states["l0"]["h"])
    r = 1 / (1 + np.exp(-(X @ weights["weight_ih_l0"][20:].T + h @ weights["weight_hh_l0"][20:].T)))
    np.testing.assert_allclose(seen.gates["l0"]["r"], r)


@pytest.mark.parametrize("reset_after", [True, False])
def test_the_gates_of_a_gru_make_its_states(reset_after):
    rnn = fr.GRU(3, 5, reset_after=reset_after, **SIZES)
    seen = trace(rnn, X)
    r, z, n = (seen.gates["l0"][name] for name in "rzn")
    h = seen.states["l0"]["h"]
    np.testing.assert_allclose(h, (1 - z) * n + z * before(h))
    hidden = before(h) if reset_after else r * before(h)
    hn = hidden @ rnn.parameters["weight_hh_l0"][10:].T + rnn.parameters["bias_hh_l0"][10:]
    if reset_after:
        np.testing.assert_allclose(seen.gates["l0"]["hn"], hn)
        hn = r * hn
    read = X @ rnn.parameters["weight_ih_l0"][10:].T + rnn.parameters["bias_ih_l0"][10:]
    np.testing.assert_allclose(n, np.tanh(read + hn))


def test_the_gates_of_the_other_cells_make_their_states():
    seen = trace(fr.MinGRU(3, 5, **SIZES), X)
    z, n, h = (seen.signal("l0", name) for name in ("z", "n", "h"))
    np.testing.assert_allclose(h, (1 - z) * before(h) + z * n)
    seen = trace(fr.MinLSTM(3, 5, **SIZES), X)
    f, i, n, share, h = (seen.signal("l0", name) for name in ("f", "i", "n", "share", "h"))
    np.testing.assert_allclose(share, i / (f + i))
    np.testing.assert_allclose(h, (1 - share) * before(h) + share * n)
    seen = trace(fr.SLSTM(3, 5, **SIZES), X)
    i, log_f, z, o = (seen.gates["l0"][name] for name in ("i", "log_f", "z", "o"))
    h, c, n, m = (seen.states["l0"][name] for name in "hcnm")
    kept = np.where(before(n) == 0, 0, np.exp(log_f + before(m) - m))
    np.testing.assert_allclose(c, kept * before(c) + i * z)
    np.testing.assert_allclose(n, kept * before(n) + i)
    np.testing.assert_allclose(h, o * c / n)
    seen = trace(fr.RNN(3, 5, leak=0.25, **SIZES), X)
    h, n = seen.states["l0"]["h"], seen.gates["l0"]["n"]
    np.testing.assert_allclose(h, 0.25 * before(h) + 0.75 * n)
    assert trace(fr.RNN(3, 5, **SIZES), X).gates == {"l0": {}}


def test_directions_layers_and_stacks_have_names_in_their_order():
    rnn = fr.GRU(3, 4, num_layers=2, bidirectional=True, dropout=0.5, **SIZES)
    seen = trace(rnn, X)
    assert seen.layers == ("l0", "l0_reverse", "l1", "l1_reverse")
    joined = np.concatenate([seen.states["l1"]["h"], seen.states["l1_reverse"]["h"]], axis=1)
    np.testing.assert_array_equal(joined, rnn(X)[0])
    for connect, width in (("residual", 4), ("dense", 7)):
        stack = fr.Stack(
            fr.GRU(3, 4, **SIZES), fr.LSTM(width, 4, num_layers=2, **SIZES), connect=connect, dropout=0.5
        )
        seen = trace(stack, X)
        assert seen.layers == ("layer0.l0", "layer1.l0", "layer1.l1")
        np.testing.assert_array_equal(seen.outputs, stack(X)[0])
        np.testing.assert_array_equal(seen.states["layer0.l0"]["h"], stack.layers[0](X)[0])
        assert (list(seen.gates["layer0.l0"]), list(seen.states["layer1.l1"])) == (
            ["r", "z", "n", "hn"],
            ["h", "c"],
        )


def test_a_bidirectional_layer_is_read_whole(monkeypatch):
    monkeypatch.setattr(module, "_STEPS", 2)
    rnn = fr.LSTM(3, 4, bidirectional=True, **SIZES)
    np.testing.assert_array_equal(trace(rnn, X).outputs, rnn(X)[0])


MODELS = {
    "one-hot": {},
    "embedding": {"embedding_size": 5, "dropout": 0.3},
    "start": {"start": VOCABULARY.encode("\n")[0], "embedding_size": 4},
    "zeros at the start": {"start": -1},
    "halt": {"length_model": "halt", "start": -1},
    "head": {"head": {"hidden_sizes": [5], "out_features": 4}},
    "tied": {"tied": True, "embedding_size": 6, "embedding_dropout": 0.2},
    "adaptive": {"cutoffs": [4]},
    "masks": {"cell": "gru", "cell_options": {"zoneout": 0.3, "weight_drop": 0.2, "recurrent_dropout": 0.2}},
    "learned state": {"cell_options": {"learn_state": True}, "locked_dropout": True, "dropout": 0.2},
    "layers": {"num_layers": 3, "cell": "slstm", "dropout": 0.2},
}


@pytest.mark.parametrize("options", MODELS.values(), ids=MODELS)
def test_losses_and_next_symbols_are_those_of_the_model(options, monkeypatch):
    model = language_model(**options)
    monkeypatch.setattr(module, "_STEPS", 5)
    monkeypatch.setattr(module, "_LARGEST_PART", 3 * V)
    seen = trace(model, TEXT, vocabulary=VOCABULARY)
    (scored,) = score(model, VOCABULARY, TEXT, end=False)
    np.testing.assert_array_equal(seen.loss[seen.steps - len(scored.tokens) :], -scored.log_probabilities)
    assert np.isnan(seen.loss[0]) == (model.start is None)
    assert ("".join(seen.symbols), seen.ids.tolist()) == (TEXT, VOCABULARY.encode(TEXT).tolist())
    top = seen.top(3)
    for end in (1, 4, len(TEXT)):
        expected = next_symbols(model, VOCABULARY, TEXT[:end], top=3)
        np.testing.assert_allclose(top.probabilities[end - 1], expected.probabilities, rtol=1e-6)
        assert top.symbols[end - 1] == list(expected.symbols)
    if options.get("length_model") is None:
        logits, _ = model.logits(seen.ids[:, None], None) if model.start is None else (None, None)
        if logits is not None:
            p = np.exp(logits[:, 0].astype(np.float64))
            np.testing.assert_allclose(
                seen.top(V).probabilities, -np.sort(-p / p.sum(1, keepdims=True)), rtol=1e-6
            )


def test_a_trace_read_in_parts_has_the_losses_of_one_read_whole(monkeypatch):
    model = language_model(start=-1, num_layers=2)
    whole = trace(model, TEXT, vocabulary=VOCABULARY)
    for steps in (1, 2, 7):
        monkeypatch.setattr(module, "_STEPS", steps)
        assert_same_bits(trace(model, TEXT, vocabulary=VOCABULARY), whole)


@pytest.mark.parametrize("options", [MODELS["masks"], MODELS["learned state"], MODELS["layers"]])
def test_tracing_changes_nothing_of_a_model(options):
    model = language_model(**options)
    model.loss_and_gradients([[0], [1]], [[1], [2]])
    kept = copy.deepcopy((model.parameters.flat, model.gradients.flat, model.rng.bit_generator.state))
    version = model.parameters.version
    trace(model, TEXT, vocabulary=VOCABULARY).top(2)
    np.testing.assert_array_equal(model.parameters.flat, kept[0])
    np.testing.assert_array_equal(model.gradients.flat, kept[1])
    assert model.rng.bit_generator.state == kept[2]
    assert model.parameters.version == version


def test_what_is_traced_does_not_depend_on_the_form_of_the_text():
    model = language_model(embedding_size=3)
    seen = trace(model, TEXT, vocabulary=VOCABULARY)
    for data in (list(TEXT), VOCABULARY.encode(TEXT), VOCABULARY.encode(TEXT).tolist()):
        again = trace(model, data, vocabulary=VOCABULARY)
        assert_same_bits(again, seen)
        assert again.symbols == seen.symbols
    assert_same_bits(trace(Checkpoint(model, VOCABULARY, None, "0"), TEXT), seen)
    alone = trace(model, seen.ids)
    assert_same_bits(alone, seen)
    assert (alone.symbols, alone.top(2).symbols) == (None, None)
    np.testing.assert_array_equal(alone.top(2).ids, seen.top(2).ids)


def test_unknown_symbols_are_read_as_the_vocabulary_says():
    known = fr.Vocabulary(["<unk>", *"ab"], unknown="<unk>")
    model = fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0)
    seen = trace(model, "a?b", vocabulary=known)
    assert (seen.symbols, seen.ids.tolist()) == (("a", "?", "b"), [1, 0, 2])
    skipping = fr.Vocabulary("abc", unknown="skip")
    assert trace(model, "a?b", vocabulary=skipping).symbols == ("a", "b")
    words = fr.Vocabulary.from_text("to be or not", level="word", max_types=1, eos="<eos>")
    seen = trace(model, "to be\nto", vocabulary=words)
    assert seen.symbols == ("to", "be", "<eos>", "to", "<eos>")
    assert seen.ids.tolist() == words.encode_stream("to be\nto").tolist()


def test_only_the_names_that_are_asked_for_are_kept():
    rnn = fr.LSTM(3, 4, num_layers=2, **SIZES)
    seen = trace(rnn, X, keep=("c", "f"))
    assert {layer: list(own) for layer, own in seen.states.items()} == {"l0": ["c"], "l1": ["c"]}
    assert {layer: list(own) for layer, own in seen.gates.items()} == {"l0": ["f"], "l1": ["f"]}
    assert seen.nbytes == 9 * 4 * 8 * 5
    np.testing.assert_array_equal(seen.outputs, rnn(X)[0])


def test_traces_are_read_only_and_say_what_they_are():
    seen = trace(language_model(), TEXT, vocabulary=VOCABULARY)
    assert (repr(seen), len(seen), seen.steps) == (f"<Trace of {len(TEXT)} steps: l0>", len(TEXT), len(TEXT))
    for array in arrays_of(seen).values():
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_pickled_trace_has_its_arrays_and_not_its_model():
    seen = trace(language_model(), TEXT, vocabulary=VOCABULARY)
    again = pickle.loads(pickle.dumps(seen))
    assert_same_bits(again, seen)
    assert again.symbols == seen.symbols
    with pytest.raises(ValueError, match=r"top: .* a pickled trace has left its model"):
        again.top()


def test_the_largest_come_in_order_and_ties_by_index():
    p = np.array([[0.2, 0.3, 0.2, 0.3], [0.1, 0.1, 0.1, 0.7], [0.25, 0.25, 0.25, 0.25]])
    assert largest(p, 3).tolist() == [[1, 3, 0], [3, 0, 1], [0, 1, 2]]
    assert largest(p, 1).tolist() == [[1], [3], [0]]
    assert largest(p, 4).tolist() == [[1, 3, 0, 2], [3, 0, 1, 2], [0, 1, 2, 3]]


def read(data, vocabulary=None, *, model=None, **options):
    return trace(language_model() if model is None else model, data, vocabulary=vocabulary, **options)


GRU, LSTM, OTHER = fr.GRU(3, 4), fr.LSTM(3, 4), fr.GRU(3, 4, context_size=2)
TAU = language_model(length_model="tau", max_length=9, embedding_size=2, start=0)
UNKNOWN = r"data: .*got 'y' at position 2, '\?' at position 3, 'ä' at position 5; remove or replace them"
INT8 = "model: expected one that is not quantized to int8; trace the model that it was made of"
KEEP = "keep: expected names of i, f, g, o, h, c, got 'z'"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: read("hey? ä?", VOCABULARY), ValueError, UNKNOWN),
        (lambda: read(TEXT), ValueError, r"vocabulary: .*write trace\(model, text, vocabulary=vocabulary"),
        (lambda: read("", VOCABULARY), ValueError, "at least one symbol, got none"),
        (lambda: read([0, V]), ValueError, rf"data: expected ids in 0 .. {V - 1}, got {V} at position 1"),
        (lambda: read([0.5]), TypeError, "data: "),
        (lambda: read("a", fr.Vocabulary("a")), ValueError, "the vocabulary has 1 symbols"),
        (lambda: read("a", "a"), TypeError, "vocabulary: expected a Vocabulary, got str"),
        (lambda: read([0], context=[1.0]), ValueError, "context: expected None"),
        (lambda: read([0], model=TAU), ValueError, "model: expected one whose next symbol"),
        (lambda: trace(GRU, X), TypeError, "data: expected float32, got float64"),
        (lambda: trace(GRU, np.zeros((2, 2, 3))), ValueError, r"one series \[T, 3\].*\[2, 2, 3\]"),
        (lambda: trace(GRU, np.zeros((2, 4), "f")), ValueError, r"data: expected \[T, 3\]"),
        (lambda: trace(GRU, [0, -2]), ValueError, "data: expected ids in -1 .. 2, got -2 at position 1"),
        (lambda: trace(GRU, []), ValueError, "data: expected"),
        (lambda: trace(GRU, [0], vocabulary=VOCABULARY), ValueError, "vocabulary: expected None, as"),
        (lambda: trace(OTHER, [0]), ValueError, r"context: expected \[2\] or \[1, 2\].*got None"),
        (lambda: trace(OTHER, [0], context=[[1.0], [2.0]]), ValueError, r"context: expected \[1, 2\]"),
        (lambda: trace(fr.Linear(3, 4), [0]), TypeError, "or one of SequenceClassifier, .* got Linear"),
        (lambda: trace(fr.models.Seq2Seq(), "a"), ValueError, "not fitted yet; call fit before trace"),
        (lambda: trace(fr.quantize(LSTM, "int8"), [0]), ValueError, INT8),
        (lambda: read([0], model=fr.quantize(TAU, "int8")), ValueError, "model: expected one whose next"),
        (lambda: read([0], model=fr.quantize(language_model(), "int8")), ValueError, INT8),
        (lambda: trace(LSTM, [0], keep=("z",)), ValueError, KEEP),
        (lambda: trace(LSTM, [0], keep="h"), TypeError, r"keep: .*write \('h',\)"),
        (lambda: trace(LSTM, [0]).signal("l1", "h"), ValueError, "layer: expected one of l0, got 'l1'"),
        (lambda: trace(GRU, [0]).signal("l0", "c"), ValueError, "name: expected one of h, r, z, n, hn of"),
        (lambda: trace(LSTM, [0]).top(), ValueError, "top: expected the trace of a model that predicts"),
        (lambda: read([0]).top(V + 1), ValueError, f"k: expected 1 .. {V}"),
    ],
)
def test_what_cannot_be_traced_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_next_symbols_of_a_model_that_has_changed_since_are_refused():
    model = language_model()
    seen = trace(model, TEXT, vocabulary=VOCABULARY)
    with model.parameters.edit() as views:
        views["output.bias"][0] += 1
    with pytest.raises(ValueError, match="parameters have changed since the trace; trace it again"):
        seen.top()
