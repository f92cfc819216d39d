"""Vocabularies of words: tokenisers, order, streams and decoding."""

import json
import pickle
import re
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrnn.data import Coverage, Vocabulary, split_words
from fastrnn.data.tokenize import as_tokenizer

ANY_TEXT = st.text(st.characters(exclude_categories=()))
WORDS = st.lists(st.text(st.sampled_from("aeé語'-<>@."), min_size=1, max_size=4), min_size=1, max_size=30)
LINES = st.lists(WORDS, min_size=1, max_size=5)
MARKS = {"eos": "<eos>", "bos": "<bos>", "pad": "<pad>"}


# --- the tokeniser "words" ---


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        (" \t\n\u3000\u00a0", []),
        ("The cat, the DOG.", "The cat , the DOG ."),
        ("don't can’t dogs' 'tis rock-'n'-roll", "don't can’t dogs ' ' tis rock - ' n ' - roll"),
        ("well-known -- x--y -1 a_b-c9", "well-known - - x - - y - 1 a_b-c9"),
        ("3.14 1,000 $5", "3 . 14 1 , 000 $ 5"),
        ("<unk> <eos>a<b>c <> < a> a<b <<x>>", "<unk> <eos> a <b> c < > < a > a < b < <x> >"),
        ("state @-@ of 1 @,@ 0 2@.@5 @ - @", "state @-@ of 1 @,@ 0 2 @.@ 5 @ - @"),
        ("हिन्दी जन-मन e\u0301te\u0301", "हिन्दी जन-मन e\u0301te\u0301"),
        ("می\u200cخواهم ❤\ufe0f!", "می\u200cخواهم ❤\ufe0f !"),
        ("日本語。\ud800x\0", "日本語 。 \ud800 x \0"),
        ("𑀓𑀺𑀓𑀺 x\U000e0100y", "𑀓𑀺𑀓𑀺 x\U000e0100y"),  # combining marks beyond the first plane
    ],
)
def test_words_are_cut_as_documented(text, tokens):
    assert split_words(text) == (tokens.split() if isinstance(tokens, str) else tokens)


@given(ANY_TEXT)
def test_words_lose_nothing_but_white_space(text):
    tokens = split_words(text)
    assert "".join(tokens) == "".join(text.split())
    assert all(token and not any(map(str.isspace, token)) for token in tokens)


@given(st.text(st.sampled_from("ab-'<>@., \u0301é\n")))
def test_words_cut_at_white_space_first(text):
    assert split_words(text) == [token for piece in text.split() for token in split_words(piece)]


# --- making a vocabulary ---


def test_special_symbols_come_first_then_words_by_count():
    text = "b a c b <eos> a d\nb <unk> c"
    vocabulary = Vocabulary.from_text(text, level="word", **MARKS)
    assert vocabulary.symbols == ("<unk>", "<eos>", "<bos>", "<pad>", "b", "a", "c", "d")
    ids = (vocabulary.unknown_id, vocabulary.eos_id, vocabulary.bos_id, vocabulary.pad_id)
    assert ids == (0, 1, 2, 3)
    assert (vocabulary.level, vocabulary.unknown, vocabulary.tokenizer) == ("word", "<unk>", "words")
    assert Vocabulary.from_text(text, level="word", max_types=2).symbols == ("<unk>", "b", "a")
    assert Vocabulary.from_text(text, level="word", min_count=2).symbols == ("<unk>", "b", "a", "c")
    assert Vocabulary.from_text("a b a", level="word", unknown="error").symbols == ("a", "b")


def test_a_special_symbol_in_the_text_is_not_a_type_of_its_own():
    vocabulary = Vocabulary.from_text("<unk> <unk> <unk> a a b", level="word", max_types=1)
    assert vocabulary.symbols == ("<unk>", "a")
    assert vocabulary.encode("a <unk> b").tolist() == [1, 0, 0]


@given(LINES, st.randoms(use_true_random=False), st.none() | st.integers(1, 4), st.integers(1, 2))
def test_the_order_of_the_text_does_not_matter(lines, random, max_types, min_count):
    options = {"level": "word", "max_types": max_types, "min_count": min_count, "tokenizer": "whitespace"}
    words = [word for line in lines for word in line]
    counts = Counter(words)
    if max(counts.values()) < min_count:
        with pytest.raises(ValueError, match="min_count: expected at most 1, the greatest count"):
            Vocabulary.from_text(" ".join(words), **options)
        return
    vocabulary = Vocabulary.from_text("\n".join(map(" ".join, lines)), **options)
    random.shuffle(words)
    assert vocabulary == Vocabulary.from_text(" ".join(words), **options)
    assert vocabulary == Vocabulary.from_counts(
        dict(random.sample(list(counts.items()), len(counts))), **options
    )
    expected = sorted((w for w in counts if counts[w] >= min_count), key=lambda word: (-counts[word], word))
    assert list(vocabulary.symbols) == ["<unk>", *expected[:max_types]]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "text: no symbols: expected at least one, got none"),
        (" \n\t", {}, "text: no symbols: expected at least one, got none"),
        ("<unk> <unk>", {}, "text: no symbols: expected at least one besides special ones, got '<unk>'"),
        ("a b b", {"min_count": 3}, "min_count: expected at most 2, the greatest count, got 3"),
        ("a", {"tokenizer": "letters"}, 'tokenizer: expected "words", "whitespace", a function or'),
        ("a", {"eos": "<unk>"}, "eos: expected a symbol of its own"),
    ],
)
def test_what_cannot_be_a_vocabulary_is_named(text, options, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_text(text, level="word", **options)


@pytest.mark.parametrize(
    ("symbols", "error", "message"),
    [
        ([], ValueError, "symbols: expected at least one besides special symbols"),
        (["<unk>"], ValueError, "symbols: expected at least one besides special symbols"),
        (["a", ""], ValueError, "symbols: expected words, got ''"),
        (["a", "b", "a"], ValueError, "symbols: expected distinct symbols, got 'a' twice"),
        (["a", None], TypeError, "symbols: expected str, got NoneType"),
        ("the cat", TypeError, "symbols: expected an iterable of words, got str"),
    ],
)
def test_symbols_that_are_not_words_are_named(symbols, error, message):
    with pytest.raises(error, match=message):
        Vocabulary(symbols, level="word", unknown="<unk>")


def test_a_word_may_be_called_like_a_policy():
    vocabulary = Vocabulary.from_text("error skip words", level="word", unknown="skip")
    assert vocabulary.encode("error other skip").tolist() == [0, 1]
    assert vocabulary.unknown_id is None


# --- to ids and back ---


def test_unknown_words_follow_the_policy():
    vocabulary = Vocabulary.from_text("the cat", level="word")
    assert vocabulary.encode("a dog\nsat").tolist() == [0, 0, 0]
    assert vocabulary.encode("a dog\nsat", unknown="skip").tolist() == []
    assert vocabulary.encode("a dog\nthe cat", unknown="cat").tolist() == [1, 1, 2, 1]
    with pytest.raises(ValueError, match=r"^text: word 'dog' at position 2 is not in the vocabulary$"):
        vocabulary.encode("the cat dog", unknown="error")
    with pytest.raises(ValueError, match=r"word 'dog' at position 2 is not in the vocabulary \(line 3\)$"):
        vocabulary.encode("the\n\ncat dog", unknown="error")
    with pytest.raises(ValueError, match=r"^texts\[1\]: word 'dog' at position 0 is not in"):
        vocabulary.encode_batch(["the", "dog"], unknown="error")
    with pytest.raises(ValueError, match="unknown: '<x>' is not a symbol of the vocabulary"):
        vocabulary.encode("the", unknown="<x>")


def test_a_line_end_is_white_space_to_encode():
    vocabulary = Vocabulary.from_text("a b", level="word", **MARKS)
    assert vocabulary.encode("a\nb\r\n\n a").tolist() == vocabulary.encode("a b a").tolist()
    assert vocabulary.tokens("a\nb,") == ["a", "b", ","]
    ids = vocabulary.encode("a\nb", bos=True, eos=True)
    assert [vocabulary.symbols[i] for i in ids] == ["<bos>", "a", "b", "<eos>"]
    assert vocabulary.encode("").dtype == vocabulary.encode_stream("").dtype == np.int64
    assert vocabulary.encode("").shape == vocabulary.encode("\n \n").shape == (0,)


@given(LINES)
def test_a_text_of_words_comes_back(lines):
    text = " ".join(word for line in lines for word in line)
    vocabulary = Vocabulary.from_text(text, level="word", tokenizer="whitespace", unknown="error", **MARKS)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert vocabulary.tokens(text) == [vocabulary.symbols[i] for i in ids]
    framed = vocabulary.encode(text, bos=True, eos=True)
    assert vocabulary.decode([*framed, vocabulary.pad_id]) == text + "\n"


@given(LINES, st.sampled_from(["\n", "\r\n"]))
def test_a_stream_of_lines_comes_back(lines, end):
    lines = [" ".join(line) for line in lines]
    text = end.join(lines)
    vocabulary = Vocabulary.from_text(text, level="word", tokenizer="whitespace", eos="<eos>")
    ids = vocabulary.encode_stream(text)
    assert vocabulary.decode(ids) == "".join(line + "\n" for line in lines)
    for given_lines in (lines, text.splitlines(keepends=True), iter(text.split(end))):
        assert vocabulary.encode_stream(given_lines).tolist() == ids.tolist()
    words_alone = Vocabulary(vocabulary.symbols, level="word", tokenizer="whitespace", unknown="<unk>")
    assert words_alone.encode_stream(text).tolist() == [i for i in ids if i != vocabulary.eos_id]


def test_a_line_without_a_word_is_its_end_alone():
    vocabulary = Vocabulary(["a", "b"], level="word", unknown="skip", eos="<eos>")
    assert vocabulary.encode_stream("a\n\n \nb x\nx").tolist() == [0, 2, 2, 2, 1, 2, 2]
    assert vocabulary.encode_stream(["a\n", "\n", "b"]).tolist() == [0, 2, 2, 1, 2]
    with pytest.raises(ValueError, match=r"word 'x' at position 2 is not in the vocabulary \(line 2\)"):
        vocabulary.encode_stream(["a", "b x"], unknown="error")
    with pytest.raises(TypeError, match="text, line 2: expected str, got int"):
        vocabulary.encode_stream(["a", 7])


def test_lines_are_split_at_line_feeds_only():
    vocabulary = Vocabulary(["a", "b"], level="word", eos="<eos>")
    assert vocabulary.encode_stream("a\u2028b\x0ca\rb\u0085a\nb").tolist() == [0, 1, 0, 1, 0, 2, 1, 2]


def test_lines_are_read_one_by_one():
    read = []

    def lines():
        for line in ("a b", "c", "never"):
            read.append(line)
            yield line

    vocabulary = Vocabulary(["a", "b"], level="word")
    with pytest.raises(ValueError, match="word 'c'"):
        vocabulary.encode_stream(lines())
    assert read == ["a b", "c"]


def test_coverage_of_words():
    vocabulary = Vocabulary.from_text("the cat sat", level="word")
    coverage = vocabulary.coverage("the dog sat,\nthe <unk> dog sat")
    assert coverage == Coverage(8, 3, 5, 2, (("dog", 2), (",", 1)))
    assert coverage.fraction == 5 / 8
    many = vocabulary.coverage(" ".join(f"w{i:02} " * (i // 2 + 1) for i in range(40)))
    assert many.fraction == 0.0
    assert many.most_common_unknown[:3] == (("w38", 20), ("w39", 20), ("w36", 19))
    assert len(many.most_common_unknown) == 10


def test_one_hot_vectors_of_words():
    vocabulary = Vocabulary.from_text("b a b", level="word")
    assert vocabulary.one_hot(vocabulary.encode("a b c")).argmax(-1).tolist() == [2, 1, 0]


def test_membership_length_and_repr():
    vocabulary = Vocabulary.from_text("a b", level="word", eos="<eos>")
    assert "a" in vocabulary
    assert "<eos>" in vocabulary
    assert "c" not in vocabulary
    assert len(vocabulary) == 4
    assert repr(vocabulary) == "<Vocabulary of 4 symbols, level='word', unknown='<unk>', eos='<eos>'>"


# --- JSON ---


def through_json(vocabulary, **options):
    return Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())), **options)


@given(LINES, st.sampled_from(["words", "whitespace"]), st.sampled_from(["error", "skip", "<unk>"]))
def test_json_brings_the_same_vocabulary_back(lines, tokenizer, unknown):
    text = "\n".join(map(" ".join, lines)) + " a"
    vocabulary = Vocabulary.from_text(text, level="word", tokenizer=tokenizer, unknown=unknown, **MARKS)
    again = through_json(vocabulary)
    assert again == vocabulary
    assert hash(again) == hash(vocabulary)
    assert again.tokens(text) == vocabulary.tokens(text)
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary


def test_json_without_a_tokenizer_means_words():
    value = {"level": "word", "symbols": ["a"], "unknown": "error"}
    assert Vocabulary.from_json(value) == Vocabulary(["a"], level="word")


def test_another_level_or_tokenizer_makes_another_vocabulary():
    different = [
        Vocabulary(["a"]),
        Vocabulary(["a"], level="word"),
        Vocabulary(["a"], level="word", tokenizer="whitespace"),
        Vocabulary(["a"], level="word", tokenizer=str.split),
        Vocabulary(["a"], level="word", tokenizer=str.splitlines),
        Vocabulary(["a"], level="word", tokenizer=FakeTokenizer()),
    ]
    assert len({id(v) for v in different}) == 6
    assert not [(a, b) for a in different for b in different if a is not b and a == b]
    assert Vocabulary(["a"], level="word", tokenizer=str.split) == different[3]


@pytest.mark.parametrize(
    "tokenizer", [None, "words", {}, {"kind": "letters"}, {"kind": ["words"]}, {"kind": "huggingface"}]
)
def test_json_that_is_not_a_tokenizer_is_refused(tokenizer):
    value = {"level": "word", "symbols": ["a"], "unknown": "error", "tokenizer": tokenizer}
    with pytest.raises(ValueError, match="vocabulary: expected the description of a tokenizer"):
        Vocabulary.from_json(value)


# --- functions as tokenisers ---


def lower_case_words(text):
    return re.findall(r"\w+", text.lower())


def test_a_function_cuts_line_by_line():
    seen = []

    def tokenizer(line):
        seen.append(line)
        return tuple(line.lower().split("-"))

    vocabulary = Vocabulary.from_text("A-b\r\nb-C", level="word", tokenizer=tokenizer)
    assert seen == ["A-b", "b-C"]
    assert vocabulary.symbols == ("<unk>", "b", "a", "c")
    assert vocabulary.encode("C-x\nA").tolist() == [3, 0, 2]
    assert vocabulary.tokenizer is tokenizer


def test_a_function_is_not_stored_and_asked_for_again():
    vocabulary = Vocabulary.from_text("The cat. The dog.", level="word", tokenizer=lower_case_words)
    assert vocabulary.to_json()["tokenizer"] == {"kind": "callable"}
    with pytest.raises(ValueError, match=r"a function, which is not saved; pass it as tokenizer="):
        through_json(vocabulary)
    again = through_json(vocabulary, tokenizer=lower_case_words)
    assert again == vocabulary
    assert again.encode("the DOG").tolist() == vocabulary.encode("THE dog").tolist()
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary


@pytest.mark.parametrize(
    ("tokenizer", "error", "message"),
    [
        (lambda line: line, TypeError, "tokenizer: expected a list of str for a line, got str"),
        (lambda line: None, TypeError, "tokenizer: expected a list of str for a line, got NoneType"),
        (lambda line: [1, 2], TypeError, "tokenizer: expected str, got int"),
        (
            lambda line: line.split(" "),
            ValueError,
            r"tokenizer: expected no empty tokens, got \['a', '', 'b'\]",
        ),
        (7, TypeError, "tokenizer: expected .*, got int"),
    ],
)
def test_what_is_not_a_tokenizer_is_named(tokenizer, error, message):
    with pytest.raises(error, match=message):
        Vocabulary.from_text("a  b", level="word", tokenizer=tokenizer)


# --- tokenisers of the package tokenizers ---


class FakeTokenizer:
    """Cut pieces of up to two characters, marked where a word continues."""

    def __init__(self, decoder=None):
        self.decoder = decoder

    def encode(self, text, *, add_special_tokens):
        assert add_special_tokens is False
        pieces = [
            ("##" if start else "") + word[start : start + 2]
            for word in text.split()
            for start in range(0, len(word), 2)
        ]
        return SimpleNamespace(tokens=pieces, ids=list(range(len(pieces))))

    def token_to_id(self, token):
        raise AssertionError("the vocabulary has its own ids")

    def to_str(self):
        return json.dumps({"decoder": self.decoder is not None})

    def __call__(self, text):
        raise AssertionError("a tokenizer is not a function, even if it is callable")


class FakeDecoder:
    def decode(self, tokens):
        return " ".join(tokens).replace(" ##", "")


def test_an_object_like_a_tokenizer_cuts_and_joins():
    text = "hello yellow\nbell"
    vocabulary = Vocabulary.from_text(text, level="word", eos="<eos>", tokenizer=FakeTokenizer(FakeDecoder()))
    assert vocabulary.tokens(text) == ["he", "##ll", "##o", "ye", "##ll", "##ow", "be", "##ll"]
    assert vocabulary.symbols[:3] == ("<unk>", "<eos>", "##ll")
    assert vocabulary.decode(vocabulary.encode_stream(text)) == "hello yellow\nbell\n"
    plain = Vocabulary(vocabulary.symbols, level="word", eos="<eos>", tokenizer=FakeTokenizer())
    assert plain.decode(plain.encode("hello")) == "he ##ll ##o"
    assert plain != vocabulary
    assert plain == Vocabulary(plain.symbols, level="word", eos="<eos>", tokenizer=FakeTokenizer())
    assert as_tokenizer(FakeTokenizer()) != "words"
    assert len({as_tokenizer(FakeTokenizer()), as_tokenizer(FakeTokenizer())}) == 1


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    vocabulary = Vocabulary.from_text("a b", level="word", tokenizer=FakeTokenizer())
    value = vocabulary.to_json()
    assert value["tokenizer"] == {"kind": "huggingface", "value": '{"decoder": false}'}
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[tokenizers\]"'):
        Vocabulary.from_json(value)
    assert Vocabulary.from_json(value, tokenizer=FakeTokenizer()) == vocabulary


@pytest.fixture(scope="module")
def real():
    """Train a byte-pair tokeniser on a few lines."""
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    lines = ["the cat sat on the mat", "the dög sat on the cat"] * 10
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    return tokenizer


def test_a_real_tokenizer_goes_through_json_and_back(real):
    text = "the cat sat on the dög\nthe mat\n"
    vocabulary = Vocabulary.from_text(text, level="word", eos="<eos>", tokenizer=real)
    assert vocabulary.tokens("the mat") == real.encode("the mat", add_special_tokens=False).tokens
    assert vocabulary.decode(vocabulary.encode_stream(text)) == text
    again = through_json(vocabulary)
    assert again == vocabulary
    assert again.encode(text).tolist() == vocabulary.encode(text).tolist()
    assert again.decode(again.encode("the dög sat")) == "the dög sat"
    assert through_json(vocabulary, tokenizer=real).tokenizer is real


def test_a_damaged_description_of_a_real_tokenizer_is_refused(real):
    value = Vocabulary.from_text("the cat", level="word", tokenizer=real).to_json()
    value["tokenizer"]["value"] = value["tokenizer"]["value"][:-5]
    with pytest.raises(ValueError, match="vocabulary: its tokenizer cannot be read"):
        Vocabulary.from_json(value)
