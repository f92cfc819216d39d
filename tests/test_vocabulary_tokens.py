"""Vocabularies given tokens in the place of texts, and what a first try finds instead of a text."""

import pathlib
import re
from collections import Counter

import numpy as np
import pytest

from fastrnn.data import ChunkedText, SentenceBatches, Vocabulary, read_series, read_table, split_words

WORDS = Vocabulary.from_text("the cat sat on the mat", level="word", eos="<eos>")
CHARACTERS = Vocabulary.from_text("hello world", eos="<eos>")


@pytest.mark.parametrize("vocabulary", [WORDS, CHARACTERS], ids=["word", "char"])
@pytest.mark.parametrize("kind", [list, tuple, iter, np.array], ids=["list", "tuple", "iterator", "array"])
def test_tokens_have_the_ids_of_their_text(vocabulary, kind):
    text = "the cat sat" if vocabulary is WORDS else "hello"
    tokens = vocabulary.tokens(text)
    assert vocabulary.encode(kind(tokens), eos=True).tolist() == vocabulary.encode(text, eos=True).tolist()
    assert vocabulary.encode(kind(tokens)).dtype == np.int64


def test_special_symbols_are_tokens_like_others():
    assert CHARACTERS.encode(["h", "<eos>"]).tolist() == [CHARACTERS.encode("h")[0], CHARACTERS.eos_id]
    assert WORDS.encode(["<unk>", "<eos>"]).tolist() == [0, WORDS.eos_id]


def test_no_tokens_are_no_ids():
    assert WORDS.encode([]).shape == (0,)
    assert WORDS.encode([]).dtype == np.int64


def test_unknown_tokens_follow_the_policy():
    assert WORDS.encode(["the", "dog"]).tolist() == WORDS.encode("the dog").tolist()
    assert WORDS.encode(["the", "dog"], unknown="skip").tolist() == WORDS.encode("the").tolist()
    with pytest.raises(ValueError, match=re.escape("text[1]: 'dog' is not in the vocabulary")):
        WORDS.encode(["the", "dog"], unknown="error")


def test_a_batch_takes_texts_and_lists_of_tokens():
    rows = WORDS.encode_batch([["the", "cat"], "the mat"])
    assert [row.tolist() for row in rows] == [WORDS.encode(t).tolist() for t in ("the cat", "the mat")]
    with pytest.raises(TypeError, match=re.escape("texts[1][0]: expected str, got int")):
        WORDS.encode_batch([["the"], [3]])
    with pytest.raises(TypeError, match=re.escape("texts[0]: expected str, got bytes; write text.decode()")):
        WORDS.encode_batch([b"the"])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: WORDS.encode(["the cat", "sat"]), ValueError, "text[0]: expected a word, got 'the cat'; of"),
        (lambda: CHARACTERS.encode(["he", "lo"]), ValueError, "text[0]: expected a character, got 'he'; of"),
        (lambda: WORDS.encode([["the"], ["cat"]]), TypeError, "write vocabulary.encode_batch(texts)"),
        (lambda: WORDS.encode([1, 2]), TypeError, "text[0]: expected str, got int"),
        (lambda: WORDS.encode(b"the"), TypeError, "text: expected str, got bytes; write text.decode()"),
        (lambda: WORDS.encode(pathlib.Path("a.txt")), TypeError, "write fastrnn.data.read_text(path)"),
        (lambda: WORDS.encode({"the": 1}), TypeError, "text: expected str, got dict"),
        (lambda: WORDS.encode({"the"}), TypeError, "text: expected str, got set"),
        (lambda: WORDS.encode(None), TypeError, "text: expected str, got NoneType"),
        (lambda: WORDS.encode_batch("the"), TypeError, "expected an iterable of str, got str; write [text]"),
        (lambda: WORDS.encode_stream(pathlib.Path("a")), TypeError, "write fastrnn.data.read_text(path)"),
        (lambda: WORDS.encode_stream(3), TypeError, "text: expected str, got int"),
        (lambda: Vocabulary.from_text(["the", "cat"]), TypeError, "got list; write '\\n'.join(texts)"),
        (lambda: Vocabulary(["the", "cat"]), ValueError, "got 'the'; for words write level='word'"),
        (lambda: Vocabulary.from_counts(["a"]), TypeError, "got list; write collections.Counter(symbols)"),
        (
            lambda: ChunkedText("hello", 1, 2),
            TypeError,
            "ids: expected integers, got str; write vocabulary.encode",
        ),
        (lambda: SentenceBatches(["ab"], 2), TypeError, "got str; write vocabulary.encode_batch(sequences)"),
        (lambda: split_words(["a b"]), TypeError, "text: expected str, got list"),
        (lambda: split_words(b"a b"), TypeError, "text: expected str, got bytes; write text.decode()"),
    ],
)
def test_what_is_no_text_is_answered_with_the_line_to_type(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_counts_of_words_make_a_vocabulary_of_words_and_counts_of_characters_one_of_characters():
    words = Vocabulary.from_counts(Counter("the cat saw the cat".split()))
    assert (words.level, words.symbols) == ("word", ("<unk>", "cat", "the", "saw"))
    characters = Vocabulary.from_counts(Counter("hello"), eos="<eos>")
    assert (characters.level, characters.symbols) == ("char", ("e", "h", "l", "o", "<eos>"))
    assert Vocabulary.from_counts({"a": 2, "<eos>": 1}, eos="<eos>").level == "char"
    assert Vocabulary.from_counts({"a": 2, "b": 1}, level="word").level == "word"
    assert Vocabulary.from_counts({"a": 2, "b": 1}, tokenizer="whitespace").level == "word"


def test_a_table_with_another_delimiter_is_not_one_column(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfx;y\r\n1;2\r\n")
    with pytest.raises(ValueError, match=r"no ',' but ';' in its first line; write delimiter=';'"):
        read_table(path)
    assert read_table(path, delimiter=";") == {"x": ["1"], "y": ["2"]}
    assert read_table(path, delimiter=",") == {"x;y": ["1;2"]}
    path.write_text('"one, two"\nthree\n')  # the delimiter itself, in quotes
    assert read_table(path) == {"one, two": ["three"]}
    path.write_text("a;b\nc\n")  # no header: a text
    assert read_table(path, header=False) == {"0": ["a;b", "c"]}


def test_a_column_of_a_series_is_named_not_counted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n")
    with pytest.raises(TypeError, match="column: expected the name of a column, or several, got int"):
        read_series(path, column=1)
