"""What quantized layers and models compute: weights as kernels round them, and the same bits in any call."""

import copy

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.decode import next_symbols, samples, score
from fastrnn.files.quantized_tensors import rounded_weight

PRECISIONS = ("int8", "bfloat16")
LAYERS = {
    "lstm": lambda: fr.LSTM(6, 17, 2, seed=0),
    "bidirectional": lambda: fr.LSTM(6, 9, bidirectional=True, seed=0),
    "gru": lambda: fr.GRU(6, 17, seed=0),
    "gru before": lambda: fr.GRU(6, 17, reset_after=False, seed=0),
    "rnn": lambda: fr.RNN(6, 17, nonlinearity="relu", seed=0),
    "linear": lambda: fr.Linear(6, 33, seed=0),
    "head": lambda: fr.Head(6, [20], 5, seed=0),
}


def spread(layer):
    """Give the rows of each weight sizes from very small to large."""
    with layer.parameters.edit() as views:
        for name, view in views.items():
            if "weight" in name:
                view *= np.float32(2.0) ** np.linspace(-110, 3, len(view), dtype=np.float32)[:, None]
    return layer


def result(layer, x):
    y = layer(x)
    return y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", LAYERS)
def test_kernels_round_a_weight_as_quantize_does(name, precision):
    layer, x = spread(LAYERS[name]()), np.random.default_rng(0).normal(size=(5, 3, 6)).astype(np.float32)
    rounding = copy.deepcopy(layer)
    rounding._set_precision(precision)
    small = fr.quantize(layer, precision)
    assert result(small, x).tobytes() == result(rounding, x).tobytes()
    assert result(small, x).tobytes() != result(layer, x).tobytes()


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in ("linear", "head")])
def test_ids_look_columns_of_the_rounded_weight_up(name):
    layer = LAYERS[name]()
    ids = np.array([[0, 5], [3, -1], [2, 2]])
    for precision in PRECISIONS:
        small = fr.quantize(layer, precision)
        first = [key for key in layer.parameters if "weight_ih_l0" in key]
        alike = copy.deepcopy(layer)
        alike._set_precision(precision)
        with alike.parameters.edit() as views:
            for key in first:
                views[key] = rounded_weight(key, np.array(views[key]), precision)
        assert small(ids)[0].tobytes() == alike(ids)[0].tobytes()


def language_model(**options):
    return fr.LanguageModel(11, hidden_size=24, embedding_size=24, seed=0, **options)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("options", [{}, {"tied": True}, {"cell": "gru", "num_layers": 1}], ids=str)
def test_a_quantized_model_has_the_same_bits_in_any_form_of_call(precision, options):
    small = fr.quantize(language_model(**options), precision)
    ids = np.random.default_rng(0).integers(0, 11, (9, 5))
    whole = small.logits(ids)[0]
    parts, state = [], None
    for chunk in np.split(ids, [1, 4]):
        y, state = small.logits(chunk, state)
        parts.append(y)
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert small.logits(ids[:, 2:3])[0].tobytes() == np.ascontiguousarray(whole[:, 2:3]).tobytes()
    stream = small.stream(5)
    assert np.stack([stream.step(row) for row in ids]).tobytes() == whole.tobytes()
    before = fr.get_num_threads()
    try:
        fr.set_num_threads(2 if before == 1 else 1)
        assert small.logits(ids)[0].tobytes() == whole.tobytes()
    finally:
        fr.set_num_threads(before)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_losses_are_those_of_the_logits(precision):
    small = fr.quantize(language_model(), precision)
    ids = np.random.default_rng(0).integers(0, 11, (9, 5))
    logits = small.logits(ids[:-1])[0].astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.take_along_axis(log_p, ids[1:, :, None], -1)[..., 0]
    np.testing.assert_allclose(small.target_losses(ids[:-1], ids[1:])[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_scores_and_samples_come_from_a_quantized_model(precision):
    vocabulary, model = fr.Vocabulary([*"abcdefghijk"]), language_model()
    small = fr.quantize(model, precision)
    text = "abcabkjihgaaabbb" * 4
    found, expected = (score(one, vocabulary, [text])[0] for one in (small, model))
    assert found.total != expected.total
    assert found.total == pytest.approx(expected.total, rel=1e-3)
    assert len(next_symbols(small, vocabulary, "abc", top=3)) == 3
    first, second = (samples(small, vocabulary, 2, max_length=20, prompt="a", seed=0) for _ in range(2))
    assert first == second
