"""How sequences become arrays: kinds, levels, unknown symbols, standardized features, plain values."""

import json

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.models.base.input_codec import InputCodec
from fastrnn.models.base.symbol_ids import SymbolIds


def symbols(values, **options):
    codec = InputCodec.learn("X", values, **options)
    return codec.symbols.symbols, [ids.tolist() for ids in codec.encode("X", values)]


def test_symbols_are_numbered_by_frequency_after_the_unknown_one():
    assert symbols(["abb", "bc"]) == (("b", "a", "c"), [[2, 1, 1], [1, 3]])
    assert symbols(["to be or", "to be"], level="word") == (("be", "to", "or"), [[2, 1, 3], [2, 1]])
    assert symbols([["to", "be"], ("to",)]) == (("to", "be"), [[1, 2], [1]])
    assert symbols([[7, 5], np.array([5, 5], np.int32)]) == ((5, 7), [[2, 1], [1, 1]])
    assert symbols([np.array(["x", "y"]), ["y"]]) == (("y", "x"), [[2, 1], [1]])
    assert symbols([["a", 1], ["1"]]) == ((1, "1", "a"), [[3, 1], [2]])  # 1 is not "1"


def test_rare_symbols_and_new_ones_are_the_unknown_one():
    codec = InputCodec.learn("X", ["aab", "a"], min_count=2)
    assert codec.symbols.symbols == ("a",)
    assert codec.width == 2
    assert [ids.tolist() for ids in codec.encode("X", ["ab?"])] == [[1, 0, 0]]
    assert codec.symbols.unknown_probabilities(1.0).tolist() == [0.0, 0.25]
    assert codec.symbols.unknown_probabilities(0.0) is None


def test_reserved_ids_come_before_the_symbols():
    codec = InputCodec.learn("X", ["ab"], reserved=3)
    assert codec.encode("X", ["ab"])[0].tolist() == [3, 4]
    assert codec.symbols.decode([0, 2, 4, 3]) == ["b", "a"]


def test_features_have_mean_0_and_deviation_1_over_all_steps_of_training():
    random = np.random.default_rng(0)
    X = [random.normal([5.0, -100.0], [2.0, 30.0], (length, 2)) for length in (3, 7, 50)]
    codec = InputCodec.learn("X", X)
    steps = np.concatenate(codec.encode("X", X, np.float64))
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(steps.std(axis=0), 1)
    plain = InputCodec.learn("X", X, standardize=False)
    np.testing.assert_array_equal(plain.encode("X", X, np.float64)[1], X[1])
    assert codec.encode("X", X)[0].dtype == np.float32


def test_a_constant_feature_is_only_shifted_and_huge_ones_are_refused():
    codec = InputCodec.learn("X", [[[3.5, 1.0], [3.5, 2.0]]])
    assert codec.encode("X", [[[3.5, 1.5]]])[0].tolist() == [[0.0, 0.0]]
    with pytest.raises(ValueError, match="X: the features are too large to standardize"):
        InputCodec.learn("X", [[1e308, -1e308, 1.5e308]])


def test_numbers_are_ids_unless_one_has_a_fraction():
    assert InputCodec.learn("X", [[1, 2], [3]]).symbols is not None
    assert InputCodec.learn("X", [[1, 2], [3.5]]).symbols is None
    assert InputCodec.learn("X", [[1.0, 2.0]]).symbols is None
    assert InputCodec.learn("X", [np.zeros((3, 2), int)]).symbols is None
    assert InputCodec.learn("X", [[True, False]]).symbols is None


def test_a_series_of_numbers_has_one_feature():
    codec = InputCodec.learn("X", [[0.5, 1.5], np.array([2.5])])
    assert codec.width == 1
    assert [array.shape for array in codec.encode("X", [[1, 2, 3]])] == [(3, 1)]


@pytest.mark.parametrize("values", [["abc", "b"], [[1, 2, 1]], [["x", 3]], [[[0.5, 1.0]], [[2.0, 0.1]]]])
def test_a_codec_comes_back_from_its_plain_values(values):
    codec = InputCodec.learn("X", values, level="word", min_count=1)
    copy = InputCodec.from_plain(json.loads(json.dumps(codec.to_plain())))
    assert copy.level == "word"
    for one, other in zip(codec.encode("X", values), copy.encode("X", values), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": "line"}, "level: expected 'char' or 'word'"),
        ({"symbols": None}, "expected symbols, or mean and scale of equal length"),
        ({"mean": [0.0], "scale": [1.0]}, "expected symbols, or mean and scale of equal length"),
        ({"symbols": None, "mean": [0.0], "scale": [1.0, 2.0]}, "of equal length"),
        ({"symbols": None, "mean": [], "scale": []}, "of equal length"),
        ({"mean": 3}, "mean: expected a list, got int"),
        ({"symbols": {"symbols": ["a", "a"], "counts": [1, 1], "reserved": 1}}, "expected each once"),
        ({"symbols": {"symbols": ["a"], "counts": [], "reserved": 1}}, "expected a count for each"),
        (
            {"symbols": {"symbols": [0.5], "counts": [1], "reserved": 1}},
            "expected a str or an int, got float",
        ),
        ({"symbols": {"symbols": ["a"], "counts": [1], "reserved": 0}}, "reserved: expected 1"),
    ],
)
def test_damaged_plain_values_are_named(change, message):
    plain = InputCodec.learn("X", ["ab"]).to_plain()
    with pytest.raises((ValueError, TypeError), match=message):
        InputCodec.from_plain({**plain, **change})


def test_a_scale_of_0_in_a_file_is_refused():
    plain = InputCodec.learn("X", [[0.5, 1.5]]).to_plain()
    for scale in ([0.0], [-1.0]):
        with pytest.raises(ValueError, match=r"input.scale\[0\]: expected"):
            InputCodec.from_plain({**plain, "scale": scale})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([["a"], []], r"X\[1\]: expected at least one step, got an empty sequence"),
        ([["a"], 5], r"X\[1\]: expected a sequence of steps, got int"),
        ([["a"], None], r"X\[1\]: expected a sequence of steps, got NoneType"),
        ([["a"], {"b"}], r"X\[1\]: expected a sequence of steps, got set"),
        ([["a", None]], r"X\[0\]: expected"),
        ([["a", b"b"]], r"X\[0\]: expected"),
        ([[0.5], ["a"]], "X: expected symbols or features, got both"),
        ([[0.5], [float("inf")]], r"X\[1\]: expected finite numbers, got inf at step 0"),
        ([[1.5, 2.5], [[1.5], [2.5, 3.5]]], r"X\[1\]: expected the same number of features at each step"),
        ([np.zeros((2, 2, 2))], r"X\[0\]: expected features \[T, D\] or \[T\], got \[2, 2, 2\]"),
        ([np.array([1j, 2])], r"X\[0\]: expected real numbers. Complex data not supported"),
        (5, "X: expected a list of sequences, got int"),
        ({"a": 1}, "X: expected a list of sequences, got dict"),
        ((), "X: expected at least one sequence"),
    ],
)
def test_what_is_no_sequence_is_named(values, message):
    with pytest.raises((ValueError, TypeError), match=message):
        InputCodec.learn("X", values)


def test_words_are_split_and_a_text_without_any_is_refused():
    codec = InputCodec.learn("X", ["one two"], level="word")
    with pytest.raises(ValueError, match=r"X\[1\]: expected at least one word, got '  '"):
        codec.encode("X", ["one", "  "])


def test_a_table_of_symbols_says_what_it_holds():
    table = SymbolIds.learn(["aab"], min_count=1)
    assert len(table) == 3
    assert "a" in table
    assert "z" not in table


def test_numpy_strings_constant_columns_and_iterators():
    X, y = np.array(["abc", "ab", "bca", "ca"] * 3), np.array(["p", "q"] * 6)
    settings = {"hidden_size": 4, "epochs": 1, "random_state": 0}
    one = fr.models.SequenceClassifier(**settings).fit(X, y)
    other = fr.models.SequenceClassifier(**settings).fit(X.tolist(), y.tolist())
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X.tolist()))
    codec = InputCodec.learn("X", [np.c_[np.arange(4.0), np.full(4, 0.1)]] * 3)
    assert codec.scale[1] == 1.0
    with pytest.raises(ValueError, match=r"X\[0\]: the features are too large for float32"):
        codec.encode("X", [np.full((2, 2), 1e300)])
    with pytest.raises(TypeError, match=r"X: expected a list, got generator; write list\(X\)"):
        fr.models.SequenceClassifier(**settings).fit((x for x in X), y)
    for options in ({"hidden_size": 7}, {"kind": "GRU"}):
        with pytest.raises(ValueError, match="cell_options: expected options of the cell alone"):
            fr.models.SequenceClassifier(**settings, cell_options=options).fit(X, y)
