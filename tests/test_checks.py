"""Numbers, flags, names and seeds: one mistake is one exception, from Python's scalars and NumPy's."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import data, decode, train
from fastrnn._checks import (
    as_choice,
    as_flag,
    as_generator,
    as_integers,
    as_number,
    as_probability,
    as_size,
)
from fastrnn.data.sentences import SentenceBatches
from fastrnn.layers import AdaptiveSoftmax, MinGRU
from fastrnn.train.averaging import ExponentialAverage, NonMonotonicAverage
from fastrnn.train.evaluation import evaluate
from fastrnn.train.records import Validation

NOT_INTEGERS = ("3", 3.0, np.float64(3.0), True, np.True_, np.array(True), None, [3], 3j)
NOT_NUMBERS = ("3", True, np.False_, None, [0.5], np.array([0.5]), 3j, np.complex64(3))
NOT_FINITE = (math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf"), 10**400)


@pytest.mark.parametrize("kind", [int, np.int8, np.uint64, np.int64, np.array])
def test_integers_of_every_kind_are_sizes(kind):
    size = as_size("n", kind(3))
    assert size == 3
    assert type(size) is int
    assert as_integers("ids", [kind(3), kind(1)]) == [3, 1]
    assert all(type(number) is int for number in as_integers("ids", [kind(3), kind(1)]))


@pytest.mark.parametrize("value", NOT_INTEGERS)
def test_what_is_not_an_integer_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^n: expected an integer, got \w+$"):
        as_size("n", value)
    with pytest.raises(TypeError, match=r"^ids: expected an integer, got \w+$"):
        as_integers("ids", [1, value])


@pytest.mark.parametrize(
    ("value", "bounds", "expected"),
    [
        (0, {}, "1 or more"),
        (np.int64(-1), {"least": 0}, "0 or more"),
        (5, {"least": -1, "most": 4}, "-1 .. 4"),
        (-2, {"least": -1, "most": 4}, "-1 .. 4"),
    ],
)
def test_sizes_have_bounds(value, bounds, expected):
    with pytest.raises(ValueError, match=f"^n: expected {re.escape(expected)}, got {value}$"):
        as_size("n", value, **bounds)
    assert as_size("n", 4, **bounds) == 4


@pytest.mark.parametrize("value", ["12", 3, None])
def test_what_holds_no_integers_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^ids: expected integers, got \w+$"):
        as_integers("ids", value)


@pytest.mark.parametrize("kind", [float, np.float16, np.float32, np.longdouble, np.array, Fraction])
def test_numbers_of_every_kind_are_numbers(kind):
    for check in (as_number, as_probability):
        number = check("p", kind(0.5))
        assert number == 0.5
        assert type(number) is float
    assert as_number("p", kind(2)) == as_number("p", 2) == as_number("p", np.uint8(2)) == 2.0


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_what_is_not_a_number_is_a_type_error(value):
    for check in (as_number, as_probability):
        with pytest.raises(TypeError, match=r"^p: expected a number, got \w+$"):
            check("p", value)


@pytest.mark.parametrize("value", NOT_FINITE, ids=lambda value: type(value).__name__)
def test_what_is_not_finite_is_out_of_range(value):
    for check in (as_number, as_probability):
        with pytest.raises(ValueError, match=r"^p: expected a (finite number|probability in .*), got "):
            check("p", value)


@pytest.mark.parametrize(
    ("bounds", "inside", "outside", "expected"),
    [
        ({"least": 0}, (0, 5), (-1e-9,), "a finite number >= 0"),
        ({"above": 0}, (1e-9,), (0, -1), "a finite number above 0"),
        ({"above": 0, "most": math.inf}, (1, math.inf), (0, math.nan, -math.inf), "a number above 0"),
        ({"least": 0, "below": 1}, (0, 0.9), (1, -1), "a number in [0, 1)"),
        ({"above": 0, "most": 1}, (0.1, 1), (0, 1.1), "a number in (0, 1]"),
        ({"most": 2}, (-9, 2), (2.5,), "a number in [-inf, 2]"),
    ],
)
def test_numbers_have_bounds(bounds, inside, outside, expected):
    for value in inside:
        assert as_number("p", value, **bounds) == value
    for value in outside:
        with pytest.raises(ValueError, match=f"^{re.escape(f'p: expected {expected}, got {value}')}$"):
            as_number("p", value, **bounds)


@pytest.mark.parametrize("value", [0.0, np.float32(0.999), 0])
def test_probabilities_are_below_one(value):
    assert as_probability("p", value) == value
    for wrong in (1, -0.1, 1.5):
        with pytest.raises(ValueError, match=rf"^p: expected a probability in \[0, 1\), got {wrong}$"):
            as_probability("p", wrong)


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_, np.array(True)])
def test_flags_are_true_or_false(value):
    assert as_flag("f", value) is bool(value)


@pytest.mark.parametrize("value", ["no", "", 0, 1, 2, np.int64(1), 1.0, None, [], np.array([True])])
def test_what_is_not_a_flag_is_a_type_error(value):
    with pytest.raises(TypeError, match=r"^f: expected True or False, got \w+$"):
        as_flag("f", value)


def test_choices_are_names():
    assert type(as_choice("c", np.str_("a"), ("a", "b"))) is str
    for value, error, got in (("x", ValueError, "'x'"), (3, TypeError, "int"), (["a"], TypeError, "list")):
        with pytest.raises(error, match=rf"^c: expected 'a' or 'b', got {got}$"):
            as_choice("c", value, ("a", "b"))
        with pytest.raises(error, match=rf"^c: expected one of 'a', 'b', 'c', got {got}$"):
            as_choice("c", value, {"a": 1, "b": 2, "c": 3})


def test_seeds_are_integers_generators_or_none():
    first = as_generator(7).random()
    for seed in (np.int64(7), np.uint8(7), np.array(7), np.random.SeedSequence(7)):
        assert as_generator(seed).random() == first
    generator = np.random.default_rng(0)
    assert as_generator(generator) is generator
    assert as_generator(None).random() != as_generator(None).random()
    for seed in ("7", b"7", 7.0, np.float64(7), True, np.True_, {}):
        with pytest.raises(TypeError, match=r"^seed: expected an integer, .* got \w+$"):
            as_generator(seed)
    for seed in (-1, np.int64(-1)):
        with pytest.raises(ValueError, match=r"^seed: expected 0 or more, got "):
            as_generator(seed)


# --- everywhere ---

MODEL = fr.LanguageModel(5, hidden_size=4, num_layers=1, start=-1, seed=0)
VOCABULARY = fr.Vocabulary("abcde")
LAYER = fr.Linear(2, 2, seed=0)
TEXT = np.arange(40) % 5
IDS = np.array([[0, 1], [2, 3]])
Y = np.ones((2, 1, 3), np.float32)


def layers(make):
    """The arguments that all recurrent layers have."""
    names = {
        "input_size": ("3", 0),
        "hidden_size": (4.0, 0),
        "num_layers": ("1", 0),
        "dropout": ("0", 1.0),
        "recurrent_dropout": ("0", math.nan),
        "weight_drop": (True, -0.1),
        "zoneout": ("0", 1.5),
        "proj_size": (2.0, -1),
        "skip": ("1", -1),
        "context_size": (True, -1),
        "merge": (3, "max"),
        "learn_state": ("no", None),
        "reverse": (1, None),
        "layer_norm": ("no", None),
        "seed": ("7", -1),
    }
    given = {"input_size": 3, "hidden_size": 4}
    return [
        (lambda value, name=name: make(**{**given, name: value}), name, kind, outside)
        for name, (kind, outside) in names.items()
    ]


def of(make, *cases):
    """Cases of keywords: name, a value of the wrong kind, one out of range (None where there is none)."""
    return [
        (lambda value, name=name: make(**{name: value}), name, kind, outside) for name, kind, outside in cases
    ]


def rows(*arguments):
    """Read the first of what a function yields."""
    return next(iter(arguments[0](*arguments[1:])), None)


# What is called with a value, the argument's name, a value of the wrong kind, and one out of range.
EVERYWHERE = [
    *layers(fr.RNN),
    *layers(fr.GRU),
    *layers(fr.LSTM),
    *layers(MinGRU)[:6],
    *of(lambda **k: fr.RNN(3, 4, **k), ("nonlinearity", 3, "sin"), ("leak", True, 1.0), ("leak", 3j, "x")),
    *of(lambda **k: fr.GRU(3, 4, **k), ("reset_after", "no", None), ("gate_activation", None, "sin")),
    *of(
        lambda **k: fr.LSTM(3, 4, **k),
        ("peephole", 1, "next"),
        ("coupled", 1, None),
        ("relevance", 0, None),
        ("cell_clip", "3", 0.0),
        ("cell_clip", True, math.nan),
        ("output_activation", 3, "sin"),
    ),
    *of(
        lambda **k: fr.Jordan(3, 4, **{"output_size": 2, **k}),
        ("output_size", 2.0, 0),
        ("output_activation", 3, "sin"),
        ("hidden_recurrence", "no", None),
        ("nonlinearity", 3, "sigmoid"),
    ),
    *of(lambda **k: fr.Linear(2, 2, **k), ("bias", 2, None), ("seed", 1.5, -1)),
    *of(lambda **k: fr.Linear(**{"in_features": 2, "out_features": 2, **k}), ("in_features", "2", 0)),
    *of(lambda **k: fr.Embedding(2, 2, **k), ("sparse", "no", None), ("seed", "7", -1)),
    *of(
        lambda **k: fr.Head(2, [3], 2, **k),
        ("activation", 3, "gelu"),
        ("dropout", "0", 1),
        ("bias", "no", None),
    ),
    *of(lambda **k: fr.Stack(fr.GRU(3, 4), **k), ("connect", 3, "skip"), ("dropout", "0", 1)),
    *of(
        lambda **k: AdaptiveSoftmax(4, 9, **{"cutoffs": [3], **k}),
        ("cutoffs", [2.5], [9]),
        ("cutoffs", 4, [0]),
        ("div_value", "4", 0.5),
    ),
    *of(lambda **k: fr.activity_penalties(Y, **k), ("ar", "x", -1), ("tar", True, math.inf)),
    *of(lambda **k: fr.activity_penalties(Y, **k), ("lengths", [1.5], [3])),
    *of(lambda **k: fr.init.uniform(LAYER, **k), ("bound", "x", 0.0), ("seed", "7", -1)),
    *of(lambda **k: fr.init.xavier_normal(LAYER, **k), ("gain", "x", math.nan)),
    *of(lambda **k: fr.init.orthogonal(LAYER, **k), ("inputs", 1, None)),
    *of(lambda **k: fr.init.identity(LAYER, **k), ("scale", "x", math.inf)),
    *of(
        lambda **k: fr.LanguageModel(**{"vocabulary_size": 5, **k}),
        ("vocabulary_size", "5", 0),
        ("cell", 3, "LSTM"),
        ("hidden_size", 4.0, 0),
        ("num_layers", "2", 0),
        ("embedding_size", 2.0, 0),
        ("dropout", "x", 1),
        ("reset_after", "no", None),
        ("nonlinearity", 3, "sin"),
        ("tied", "no", None),
        ("locked_dropout", 1, None),
        ("embedding_dropout", "x", 1),
        ("sparse_embedding", "no", None),
        ("ar", "x", -1),
        ("tar", None, math.nan),
        ("cutoffs", [1.5], [5]),
        ("length_model", 3, "eos"),
        ("max_length", "4", 0),
        ("start", "a", -2),
        ("eos", True, 5),
        ("seed", "7", -1),
    ),
    *of(
        lambda **k: MODEL.loss_and_gradients(IDS, IDS, **k),
        ("label_smoothing", "x", 1.0),
        ("checkpoint_every", 1.5, 0),
        ("lengths", [1.5, 1.5], [3, 0]),
    ),
    *of(MODEL.stream, ("batch_size", "1", 0)),
    *of(lambda **k: fr.set_num_threads(**k), ("threads", True, 0), ("threads", 1.0, 10**6)),
    *of(
        lambda **k: train.SGD(LAYER, **k),
        ("learning_rate", "x", -1),
        ("momentum", "x", 1),
        ("weight_decay", True, math.nan),
        ("nesterov", "no", None),
    ),
    *of(lambda **k: train.RMSprop(LAYER, **k), ("alpha", "x", 1), ("epsilon", None, -1)),
    *of(
        lambda **k: train.Adam(LAYER, **k),
        ("learning_rate", "x", math.inf),
        ("betas", ("x", 0.9), (1, 0.9)),
        ("betas", 0.9, (0.9,)),
        ("epsilon", "x", -1),
    ),
    *of(lambda **k: train.AdamW(LAYER, **k), ("weight_decay", "x", -1)),
    *of(
        lambda **k: train.ConstantSchedule(**{"learning_rate": 0.1, **k}),
        ("learning_rate", "x", 0),
        ("warmup", 1.5, -1),
    ),
    *of(
        lambda **k: train.StepSchedule(0.1, **{"every": 3, **k}),
        ("every", "3", 0),
        ("factor", "x", 1.5),
        ("start", 1.0, -1),
    ),
    *of(lambda **k: train.CosineSchedule(0.1, **{"steps": 3, **k}), ("steps", 3.0, 0), ("minimum", "x", 0.2)),
    *of(
        lambda **k: train.PlateauSchedule(0.1, **k),
        ("patience", 1.0, -1),
        ("factor", None, 0),
        ("minimum", "x", -1),
    ),
    *of(lambda **k: train.clip_gradient_norm(LAYER, **k), ("limit", "x", 0)),
    *of(lambda **k: train.clip_gradient_value(LAYER, **k), ("limit", True, math.nan)),
    *of(lambda **k: ExponentialAverage(MODEL, **k), ("decay", "x", 1), ("warmup", "no", None)),
    *of(lambda **k: NonMonotonicAverage(MODEL, **k), ("patience", 1.0, 0)),
    *of(lambda **k: Validation(TEXT, **k), ("every", 1.0, 0), ("patience", "1", 0), ("batch_size", True, 0)),
    *of(
        lambda **k: train.Trainer(MODEL, data.ChunkedText(TEXT, 2, 5), **k),
        ("clip_norm", "x", 0),
        ("clip_value", True, -1),
        ("accumulate", 1.0, 0),
        ("label_smoothing", "x", 1),
        ("checkpoint_every", "x", 0),
    ),
    *of(
        lambda steps: rows(train.Trainer(MODEL, data.ChunkedText(TEXT, 2, 5)).run, steps), ("steps", "x", -1)
    ),
    *of(lambda **k: evaluate(MODEL, TEXT, **k), ("batch_size", 1.0, 0), ("seq_length", "x", 0)),
    *of(
        decode.Sampling,
        ("temperature", "x", -1),
        ("top_k", 1.0, 0),
        ("top_p", "x", 0),
        ("typical", True, 1.5),
        ("repetition_penalty", "x", 0.5),
        ("banned", [1.5], [-1]),
        ("banned", 3, None),
    ),
    *of(
        lambda **k: decode.generate(MODEL, [[1]], **{"max_length": 3, **k}),
        ("count", 1.0, 0),
        ("max_length", "3", -1),
        ("min_length", 1.0, -1),
        ("eos", "a", 5),
        ("seed", "7", -1),
    ),
    *of(
        lambda **k: decode.beam_search(MODEL, [1], **{"max_length": 3, **k}),
        ("beam_size", 1.0, 0),
        ("max_length", "3", 0),
        ("eos", True, 5),
        ("length_penalty", "x", -1),
        ("banned", [1.5], [5]),
    ),
    *of(
        lambda **k: decode.sample(MODEL, VOCABULARY, "a", **{"length": 3, **k}),
        ("length", 3.0, -1),
        ("reject_unknown", "no", None),
        ("seed", 1.5, -1),
    ),
    *of(
        lambda **k: decode.samples(MODEL, VOCABULARY, **{"count": 2, "max_length": 3, **k}),
        ("count", 1.0, 0),
        ("until_eos", "no", None),
    ),
    *of(lambda **k: decode.sample_ids(MODEL, [1], **k), ("length", "3", -1)),
    *of(lambda **k: decode.score(MODEL, VOCABULARY, "ab", **k), ("unit", 3, "dB"), ("end", "no", None)),
    *of(lambda **k: decode.rank(MODEL, VOCABULARY, ["ab"], **k), ("per_token", "no", None)),
    *of(lambda **k: decode.next_symbols(MODEL, VOCABULARY, "ab", **k), ("top", 1.0, 0)),
    *of(
        lambda **k: data.ChunkedText(TEXT, **{"batch_size": 2, "seq_length": 5, **k}),
        ("batch_size", 2.0, 0),
        ("seq_length", "5", 0),
        ("backward_length", 5.0, 0),
    ),
    *of(
        lambda **k: SentenceBatches([[1, 2]], **{"batch_size": 2, **k}),
        ("batch_size", True, 0),
        ("start", "a", -2),
        ("eos", 1.0, -1),
        ("bucket", "no", None),
        ("seed", "7", -1),
    ),
    *of(
        lambda **k: data.length_buckets([1, 2], **{"batch_size": 2, **k}),
        ("batch_size", 1.0, 0),
        ("tokens", "9", 0),
        ("shuffle", "no", None),
        ("seed", "7", -1),
    ),
    *of(data.standard_library_text, ("limit", 1.0, 0)),
    *of(
        lambda **k: fr.Vocabulary.from_text("aab", **k),
        ("level", 3, "line"),
        ("max_types", 1.0, 0),
        ("min_count", "1", 0),
        ("unknown", 3, ""),
    ),
    *of(lambda **k: VOCABULARY.encode("a", **k), ("eos", "no", True), ("bos", 1, True)),
    *of(VOCABULARY.decode, ("ids", ["a"], [5]), ("ids", [True], [-1])),
]


@pytest.mark.parametrize(
    ("call", "name", "kind", "outside"),
    EVERYWHERE,
    ids=[f"{index}-{name}" for index, (_, name, _, _) in enumerate(EVERYWHERE)],
)
def test_one_mistake_is_one_exception_everywhere(call, name, kind, outside):
    with pytest.raises(TypeError, match=rf"^{name}(\[\S+\])?: expected "):
        call(kind)
    if outside is not None:
        with pytest.raises(ValueError, match=rf"^{name}(\[\S+\])?: "):
            call(outside)


@pytest.mark.parametrize(("name", "value"), [("batch_first", "no"), ("bidirectional", 1), ("bias", 2)])
@pytest.mark.parametrize("layer", [fr.RNN, fr.GRU, fr.LSTM, MinGRU])
def test_flags_of_every_recurrent_layer_are_true_or_false(layer, name, value):
    with pytest.raises(TypeError, match=f"^{name}: expected True or False, got "):
        layer(3, 4, **{name: value})


def test_numbers_of_numpy_can_do_what_those_of_python_can():
    one, two, half, yes = np.int64(1), np.int64(2), np.float32(0.5), np.True_
    layer = fr.LSTM(np.int8(3), np.uint16(4), two, dropout=half, peephole=yes, skip=one, cell_clip=half)
    same = fr.LSTM(3, 4, 2, dropout=0.5, peephole=True, skip=1, cell_clip=0.5)
    assert repr(layer) == repr(same)
    model = fr.LanguageModel(np.int64(5), hidden_size=np.int8(4), ar=half, eos=one, tied=np.False_)
    assert model.config == fr.LanguageModel(5, hidden_size=4, ar=0.5, eos=1, tied=False).config
    assert train.SGD(LAYER, half, momentum=half, nesterov=yes).learning_rate == 0.5
    assert train.StepSchedule(half, every=one, start=np.int64(0)).rate(1) == 0.5
    data.ChunkedText(TEXT, np.int64(2), np.int64(5))
    assert decode.Sampling(half, one, half).top_k == 1
    text = decode.greedy(MODEL, [one], max_length=np.int64(3), eos=np.int64(-1))
    assert text.ids.tolist() == decode.greedy(MODEL, [1], max_length=3, eos=-1).ids.tolist()
