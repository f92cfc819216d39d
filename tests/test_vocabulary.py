"""Vocabularies: symbols to numbers and back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrnn.data import Vocabulary

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
    with pytest.raises(ValueError, match="'<unk>' is no symbol"):
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
        {"level": "word", "symbols": ["a"], "unknown": "error"},
        {"level": "char", "symbols": "ab", "unknown": "error"},
        {"level": "char", "symbols": ["a", "a"], "unknown": "error"},
        {"level": "char", "symbols": ["ab"], "unknown": "error"},
        {"level": "char", "symbols": [7], "unknown": "error"},
        {"level": "char", "symbols": [["a"]], "unknown": "error"},
        {"level": "char", "symbols": [], "unknown": "error"},
        {"level": "char", "symbols": ["a"], "unknown": None},
    ],
)
def test_json_that_is_no_vocabulary_is_refused(value):
    with pytest.raises(ValueError, match=r"vocabulary: expected|symbols: "):
        Vocabulary.from_json(value)


def test_an_empty_text_makes_no_vocabulary():
    with pytest.raises(ValueError, match="symbols: expected at least one"):
        Vocabulary.from_text("")


def test_an_empty_text_can_be_encoded():
    assert Vocabulary.from_text("a").encode("").shape == (0,)


@pytest.mark.parametrize("number", [-1, 3, 2**40])
def test_ids_out_of_range_are_refused(number):
    with pytest.raises(ValueError, match=f"ids: {number} is out of range for 3 symbols"):
        Vocabulary.from_text("abc").decode([0, number])


def test_ids_that_are_no_integers_are_refused():
    with pytest.raises(TypeError):
        Vocabulary.from_text("abc").decode([0.5])


def test_membership_and_length():
    vocabulary = Vocabulary.from_text("hello")
    assert len(vocabulary) == 4
    assert "h" in vocabulary
    assert "x" not in vocabulary
    assert "4 symbols" in repr(vocabulary)


@pytest.mark.parametrize("unknown", ["", None, 3])
def test_a_policy_that_is_none_is_refused(unknown):
    with pytest.raises(ValueError, match="unknown: expected"):
        Vocabulary("abc", unknown=unknown)
