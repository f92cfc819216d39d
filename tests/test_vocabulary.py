"""Vocabularies: symbols to numbers and back."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrnn.data import Coverage, Vocabulary

# All of Unicode, lone surrogates included: a Python str may hold them.
ANY_TEXT = st.text(st.characters(exclude_categories=()), min_size=1)


@given(ANY_TEXT)
def test_every_text_comes_back(text):
    vocabulary = Vocabulary.from_text(text)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64
    assert ids.shape == (len(text),)
    assert vocabulary.decode(ids) == text


@given(ANY_TEXT)
def test_symbols_are_sorted_and_each_is_its_own_id(text):
    vocabulary = Vocabulary.from_text(text)
    assert list(vocabulary.symbols) == sorted(set(text))
    assert vocabulary.encode("".join(vocabulary.symbols)).tolist() == list(range(len(vocabulary)))


@given(ANY_TEXT, ANY_TEXT, st.sampled_from(["error", "skip", "<unk>", "\ufffd"]))
def test_unknown_symbols_follow_the_policy(known, text, unknown):
    vocabulary = Vocabulary.from_text(known, unknown=unknown)
    strange = [index for index, symbol in enumerate(text) if symbol not in vocabulary]
    if unknown == "error" and strange:
        with pytest.raises(ValueError, match=f"position {strange[0]} "):
            vocabulary.encode(text)
    elif unknown in ("error", "skip"):
        assert vocabulary.decode(vocabulary.encode(text)) == "".join(s for s in text if s in vocabulary)
    else:
        expected = [symbol if symbol in vocabulary else unknown for symbol in text]
        assert [vocabulary.symbols[i] for i in vocabulary.encode(text)] == expected


def test_the_error_names_the_symbol():
    with pytest.raises(ValueError, match=r"text: 'é' at position 3 is not in the vocabulary"):
        Vocabulary.from_text("caf").encode("café")


def test_a_replacement_symbol_is_added_once_and_last():
    assert Vocabulary.from_text("ba", unknown="<unk>").symbols == ("a", "b", "<unk>")
    assert Vocabulary.from_text("b?a", unknown="?").symbols == ("?", "a", "b")


def test_the_policy_can_be_another_for_one_call():
    vocabulary = Vocabulary.from_text("abc")
    assert vocabulary.encode("axb", unknown="skip").tolist() == [0, 1]
    with pytest.raises(ValueError, match="is not in the vocabulary"):
        vocabulary.encode("axb")
    with pytest.raises(ValueError, match="'<unk>' is not a symbol"):
        vocabulary.encode("axb", unknown="<unk>")


@given(ANY_TEXT, st.sampled_from(["error", "skip", "<unk>"]))
def test_json_brings_the_same_vocabulary_back(text, unknown):
    vocabulary = Vocabulary.from_text(text, unknown=unknown)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)
    assert again != Vocabulary.from_text(text + "another\x00", unknown=unknown) or "\x00" in text


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"level": "letter", "symbols": ["a"], "unknown": "error"},
        {"level": ["char"], "symbols": ["a"], "unknown": "error"},
        {"level": "char", "symbols": "ab", "unknown": "error"},
        {"level": "char", "symbols": ["a", "a"], "unknown": "error"},
        {"level": "char", "symbols": ["ab"], "unknown": "error"},
        {"level": "char", "symbols": [7], "unknown": "error"},
        {"level": "char", "symbols": [["a"]], "unknown": "error"},
        {"level": "char", "symbols": [], "unknown": "error"},
        {"level": "char", "symbols": ["a"], "unknown": None},
        {"level": "char", "symbols": ["a"], "unknown": 7},
        {"level": "char", "symbols": ["<unk>"], "unknown": "<unk>"},
        {"level": "char", "symbols": ["a"], "unknown": "error", "eos": 7},
        {"level": "char", "symbols": ["a"], "unknown": "error", "eos": ""},
        {"level": "char", "symbols": ["a"], "unknown": "<x>", "pad": "<x>"},
        {"level": "char", "symbols": ["a"], "unknown": "error", "tokenizer": {"kind": "words"}},
    ],
)
def test_json_that_is_not_a_vocabulary_is_refused(value):
    with pytest.raises(
        ValueError, match=r"vocabulary(\.\w+(\[\d\])?)?: |(symbols|unknown|eos|pad|tokenizer): "
    ):
        Vocabulary.from_json(value)


def test_json_without_special_symbols_is_read_and_written_unchanged():
    value = {"level": "char", "symbols": ["b", "a", "<unk>"], "unknown": "<unk>"}
    vocabulary = Vocabulary.from_json(value)
    assert vocabulary == Vocabulary("ba", unknown="<unk>")
    assert vocabulary.to_json() == value


@pytest.mark.parametrize("unknown", ["error", "<unk>", "?"])
def test_an_empty_text_makes_no_vocabulary(unknown):
    with pytest.raises(ValueError, match="text: no symbols: expected at least one"):
        Vocabulary.from_text("", unknown=unknown)
    with pytest.raises(ValueError, match="symbols: expected at least one"):
        Vocabulary("", unknown=unknown)


def test_an_empty_text_can_be_encoded():
    assert Vocabulary.from_text("a").encode("").shape == (0,)


@pytest.mark.parametrize("number", [-1, 3, 2**40])
def test_ids_out_of_range_are_refused(number):
    with pytest.raises(ValueError, match=f"ids: {number} is out of range for 3 symbols"):
        Vocabulary.from_text("abc").decode([0, number])


def test_ids_that_are_not_integers_are_refused():
    with pytest.raises(TypeError):
        Vocabulary.from_text("abc").decode([0.5])


def test_membership_and_length():
    vocabulary = Vocabulary.from_text("hello")
    assert len(vocabulary) == 4
    assert "h" in vocabulary
    assert "x" not in vocabulary
    assert "4 symbols" in repr(vocabulary)


@pytest.mark.parametrize(("unknown", "error"), [("", ValueError), (None, TypeError), (3, TypeError)])
def test_an_unknown_policy_is_refused(unknown, error):
    with pytest.raises(error, match="unknown: expected"):
        Vocabulary("abc", unknown=unknown)


# --- special symbols ---

SPECIAL = {"eos": "<eos>", "bos": "<bos>", "pad": "_"}


def test_special_symbols_come_last_and_have_ids():
    vocabulary = Vocabulary.from_text("ba", unknown="<unk>", **SPECIAL)
    assert vocabulary.symbols == ("a", "b", "<unk>", "<eos>", "<bos>", "_")
    ids = (vocabulary.unknown_id, vocabulary.eos_id, vocabulary.bos_id, vocabulary.pad_id)
    assert ids == (2, 3, 4, 5)
    assert repr(vocabulary) == "<Vocabulary of 6 symbols, unknown='<unk>', eos='<eos>', bos='<bos>', pad='_'>"


def test_special_symbols_that_are_there_keep_their_places():
    vocabulary = Vocabulary(["_", "<eos>", "a"], **SPECIAL)
    assert vocabulary.symbols == ("_", "<eos>", "a", "<bos>")
    assert (vocabulary.pad_id, vocabulary.eos_id, vocabulary.bos_id) == (0, 1, 3)


def test_without_special_symbols_there_are_no_ids_of_them():
    vocabulary = Vocabulary("ab")
    ids = (vocabulary.unknown_id, vocabulary.eos_id, vocabulary.bos_id, vocabulary.pad_id)
    assert ids == (None, None, None, None)
    assert vocabulary.level == "char"
    assert vocabulary.tokenizer is None


@given(ANY_TEXT)
def test_special_symbols_around_a_text_are_not_in_what_comes_back(text):
    vocabulary = Vocabulary.from_text(text, eos="<eos>", bos="<bos>", pad="<pad>")
    ids = vocabulary.encode(text, bos=True, eos=True)
    assert ids.dtype == np.int64
    assert ids[[0, -1]].tolist() == [vocabulary.bos_id, vocabulary.eos_id]
    assert ids[1:-1].tolist() == vocabulary.encode(text).tolist()
    assert vocabulary.decode([*ids, vocabulary.pad_id]) == text
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary


def test_a_character_that_is_a_special_symbol_is_that_symbol():
    vocabulary = Vocabulary.from_text("a\nb", eos="\n")
    assert vocabulary.symbols == ("\n", "a", "b")
    assert vocabulary.encode("b\n").tolist() == [2, vocabulary.eos_id]
    assert vocabulary.decode([1, 0, 2]) == "ab"


def test_a_special_symbol_makes_another_vocabulary():
    plain, marked = Vocabulary(["a", "<eos>"], pad="<eos>"), Vocabulary(["a", "<eos>"], eos="<eos>")
    assert plain.symbols == marked.symbols
    assert plain != marked
    assert plain != "a"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"eos": ""}, ValueError, "eos: expected a symbol"),
        ({"bos": 7}, TypeError, "bos: expected str, got int"),
        ({"eos": "<s>", "bos": "<s>"}, ValueError, "bos: expected a symbol of its own, got '<s>'"),
        ({"unknown": "<unk>", "pad": "<unk>"}, ValueError, "pad: expected a symbol of its own"),
        ({"level": "line"}, ValueError, "level: expected 'char' or 'word', got 'line'"),
        ({"tokenizer": "words"}, ValueError, "tokenizer: expected None at level"),
        ({"symbols": ["a", 7]}, TypeError, "symbols: expected str, got int"),
        ({"symbols": ["a", ""]}, ValueError, "symbols: expected single characters, got ''"),
        ({"symbols": ["ab"]}, ValueError, "symbols: expected single characters, got 'ab'"),
        ({"symbols": "aba"}, ValueError, "symbols: expected distinct symbols, got 'a' twice"),
        (
            {"symbols": ["<eos>"], "eos": "<eos>"},
            ValueError,
            "symbols: expected at least one besides special",
        ),
        ({"symbols": "\n", "eos": "\n"}, ValueError, "symbols: expected at least one besides special"),
    ],
)
def test_what_cannot_be_a_vocabulary_is_named(options, error, message):
    with pytest.raises(error, match=message):
        Vocabulary(**{"symbols": "ab", **options})


def test_a_missing_special_symbol_cannot_be_added():
    vocabulary = Vocabulary("ab", eos="<eos>")
    with pytest.raises(ValueError, match="bos: expected a vocabulary that has this special symbol"):
        vocabulary.encode("a", bos=True)
    with pytest.raises(ValueError, match="bos: expected a vocabulary"):
        vocabulary.encode_batch(["a"], bos=True)


# --- a choice of characters ---


def test_the_most_frequent_characters_come_first_after_special_symbols():
    vocabulary = Vocabulary.from_text("abbcccdd", max_types=3, unknown="?", eos="<eos>")
    assert vocabulary.symbols == ("?", "<eos>", "c", "b", "d")
    assert Vocabulary.from_text("abbcccdd", min_count=2).symbols == ("c", "b", "d")
    assert Vocabulary.from_text("b?a?b", max_types=1, unknown="?").symbols == ("?", "b")


@given(ANY_TEXT, st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 3))
def test_the_choice_does_not_depend_on_the_order(text, random, max_types, min_count):
    characters = list(text)
    random.shuffle(characters)
    options = {"max_types": max_types, "min_count": min_count, "unknown": "<unk>"}
    counts = Counter(text)
    if max(counts.values()) < min_count:
        with pytest.raises(ValueError, match=f"min_count: expected at most {max(counts.values())}, "):
            Vocabulary.from_text(text, **options)
        return
    vocabulary = Vocabulary.from_text(text, **options)
    assert vocabulary == Vocabulary.from_text("".join(characters), **options)
    assert vocabulary == Vocabulary.from_counts(counts, **options)
    if min_count == 1:  # which is otherwise the default, sorted by code point
        expected = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[:max_types]
        assert list(vocabulary.symbols) == ["<unk>", *expected]


@given(ANY_TEXT)
def test_counted_characters_make_the_same_vocabulary(text):
    assert Vocabulary.from_counts(Counter(text)) == Vocabulary.from_text(text)


@pytest.mark.parametrize(
    ("counts", "error", "message"),
    [
        ({}, ValueError, "counts: no symbols"),
        ({"a": 0}, ValueError, "symbols: expected at least one"),
        ({"a": 1.5}, TypeError, r"counts\['a'\]: expected an integer, got float"),
        ({7: 1}, TypeError, "counts: expected str, got int"),
        (["a"], TypeError, "counts: expected a mapping of symbols to counts, got list"),
        ({"": 1}, ValueError, "symbols: expected words, got ''"),
    ],
)
def test_counts_that_make_no_vocabulary_are_named(counts, error, message):
    with pytest.raises(error, match=message):
        Vocabulary.from_counts(counts)


@pytest.mark.parametrize("name", ["max_types", "min_count"])
@pytest.mark.parametrize("level", ["char", "word"])
def test_limits_below_one_are_refused(name, level):
    with pytest.raises(ValueError, match=f"{name}: expected 1 or more, got 0"):
        Vocabulary.from_text("a b", level=level, **{name: 0})
    with pytest.raises(TypeError, match=f"{name}: expected an integer"):
        Vocabulary.from_text("a b", level=level, **{name: 1.5})


# --- arguments that are not text, and other forms ---


@pytest.mark.parametrize("call", ["from_text", "encode", "tokens", "coverage"])
@pytest.mark.parametrize("level", ["char", "word"])
def test_what_is_not_a_text_is_refused(call, level):
    vocabulary = Vocabulary(["a"], level=level)
    with pytest.raises(TypeError, match="text: expected str, got bytes"):
        getattr(vocabulary, call)(b"a")


def test_many_texts_are_encoded_and_named_in_errors():
    vocabulary = Vocabulary("ab", eos="<eos>")
    ids = vocabulary.encode_batch(["ab", "", "b"], eos=True)
    assert [row.tolist() for row in ids] == [[0, 1, 2], [2], [1, 2]]
    assert vocabulary.decode_batch(ids) == ["ab", "", "b"]
    assert vocabulary.decode_batch(np.array([[0, 1], [1, 2]])) == ["ab", "b"]
    assert [row.tolist() for row in vocabulary.encode_batch(["axb"], unknown="skip")] == [[0, 1]]
    with pytest.raises(ValueError, match=r"^texts\[1\]: 'x' at position 2 is not in the vocabulary"):
        vocabulary.encode_batch(["ab", "abx"])
    with pytest.raises(TypeError, match=r"^texts\[1\]: expected str, got int"):
        vocabulary.encode_batch(["ab", 7])
    with pytest.raises(TypeError, match="texts: expected an iterable of str, got str"):
        vocabulary.encode_batch("ab")


@given(ANY_TEXT)
def test_a_stream_of_characters_is_the_text(text):
    vocabulary = Vocabulary.from_text(text, eos="<eos>")
    expected = vocabulary.encode(text).tolist()
    assert vocabulary.encode_stream(text).tolist() == expected
    assert vocabulary.encode_stream(text.splitlines(keepends=True)).tolist() == expected


def test_errors_in_a_stream_of_characters_name_the_line():
    vocabulary = Vocabulary("ab\n")
    with pytest.raises(ValueError, match=r"text: 'x' at position 1 is not in the vocabulary \(line 2\)"):
        vocabulary.encode_stream(["ab\n", "ax\n"])
    with pytest.raises(TypeError, match="text, line 2: expected str, got bytes"):
        vocabulary.encode_stream(["ab\n", b"a"])
    assert vocabulary.encode_stream(["ab\n", "ax\n"], unknown="skip").tolist() == [0, 1, 2, 0, 2]
    assert vocabulary.encode_stream([]).shape == (0,)


def test_ids_come_as_arrays_and_iterators_too():
    vocabulary = Vocabulary("abc")
    for ids in (np.array([2, 0], np.uint8), iter([2, 0]), (2, 0), np.array([2, 0])):
        assert vocabulary.decode(ids) == "ca"
    assert vocabulary.decode(np.array([])) == ""
    with pytest.raises(TypeError, match="ids: expected integers, got float64"):
        vocabulary.decode(np.array([0.0]))
    with pytest.raises(ValueError, match=r"ids: expected \[symbols\], got \[1, 2\]"):
        vocabulary.decode(np.array([[0, 1]]))
    with pytest.raises(ValueError, match=f"ids: {2**70} is out of range"):
        vocabulary.decode([2**70])


@pytest.mark.parametrize("ids", [1, [], [2, 0], [[0, 1, 2], [2, 2, 0]]])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_hot_vectors_are_rows_of_the_identity(ids, dtype):
    vectors = Vocabulary("abc").one_hot(ids, dtype)
    assert vectors.dtype == dtype
    assert np.array_equal(vectors, np.eye(3)[np.array(ids, dtype=np.int64)])


def test_one_hot_refuses_what_is_not_an_id():
    with pytest.raises(ValueError, match="ids: 3 is out of range for 3 symbols"):
        Vocabulary("abc").one_hot([[0, 3]])
    with pytest.raises(ValueError, match="ids: -1 is out of range"):
        Vocabulary("abc").one_hot([-1])
    with pytest.raises(TypeError, match="ids: expected integers"):
        Vocabulary("abc").one_hot([0.5])
    with pytest.raises(TypeError, match="dtype: expected float32 or float64"):
        Vocabulary("abc").one_hot([0], "int8")


@pytest.mark.parametrize("level", ["char", "word"])
def test_a_vocabulary_of_one_type_works(level):
    vocabulary = Vocabulary.from_text("a", level=level, unknown="error")
    assert vocabulary.symbols == ("a",)
    assert vocabulary.encode("a").tolist() == [0]
    assert vocabulary.encode_stream("a").tolist() == [0]
    assert vocabulary.decode([0]) == "a"
    assert vocabulary.one_hot([0, 0]).tolist() == [[1.0], [1.0]]
    assert vocabulary.coverage("a").fraction == 1.0
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


def test_coverage_of_characters():
    coverage = Vocabulary("ab").coverage("abacxxyc")
    assert coverage == Coverage(8, 5, 5, 3, (("c", 2), ("x", 2), ("y", 1)))
    assert coverage.fraction == 3 / 8
    assert Vocabulary("ab").coverage("").fraction == 1.0


@given(ANY_TEXT, ANY_TEXT)
def test_coverage_counts_what_encoding_skips(known, text):
    vocabulary = Vocabulary.from_text(known)
    coverage = vocabulary.coverage(text)
    assert coverage.tokens - coverage.unknown_tokens == len(vocabulary.encode(text, unknown="skip"))
    assert coverage.types == len(set(text))
    assert coverage.unknown_types == len(set(text) - set(known))
