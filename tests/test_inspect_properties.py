"""Properties of texts, symbol by symbol, against what a reader says of written examples."""

import re

import numpy as np
import pytest

from fastrnn.inspect import properties


def marked(text, values):
    """Return the symbols where a property is 1."""
    assert set(values.tolist()) <= {0.0, 1.0}
    return "".join(symbol if value else "." for symbol, value in zip(text, values, strict=True))


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ('He said "no".', '........"no..'),
        ('"a" "b"', '"a.."b.'),
        ("“One «two» one” none", "“One «two» one......"),
        ('"I don\'t," she said.', "\"I don't,..........."),
        ('An inch is 1". No more', "......................"),
        ('"Never closed\n\n"closed"', '..............."closed.'),
        ('"Over\na line"', '"Over\na line.'),
        ("'tis the dogs' own", ".................."),
    ],
)
def test_inside_quotes(text, inside):
    assert marked(text, properties.inside_quotes(text)) == inside


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("'I don't know,' he said", "'I don't know,........."),
        ("the dogs' bones, 'a'", ".................'a."),
        ("“He said ‘it’s me’ twice”", "“He said ‘it’s me’ twice."),
        ("‘it’s’ so", "‘it’s...."),
        ("rock 'n' roll", ".....'n......"),
    ],
)
def test_single_marks_are_quotes_where_they_are_asked_for_and_apostrophes_are_not(text, inside):
    found = properties.inside_quotes(text, quotes=("“”", "‘’", "'"))
    assert marked(text, found) == inside


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("a(b)c", "01100"),
        ("([{}])", "123210"),
        ("(()", "010"),
        (":( (a)", "000110"),
        (")(", "00"),
        ("(a] b)", "111110"),
        ("([)]", "1100"),
        ("", ""),
    ],
)
def test_bracket_depth(text, depth):
    found = properties.bracket_depth(text)
    assert "".join(str(int(one)) for one in found) == depth
    np.testing.assert_array_equal(properties.inside_brackets(text), found > 0)


def test_brackets_of_other_kinds():
    assert properties.bracket_depth("<a (b>)", brackets=("<>",)).tolist() == [1, 1, 1, 1, 1, 0, 0]


TEXT = "ab c\n\n  Don't 42!\n"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("line_position", [1, 2, 3, 4, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0]),
        ("line_number", [0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3]),
        ("at_line_start", [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("indentation", [0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0]),
        ("word_position", [1, 2, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 0, 1, 2, 0, 0]),
        ("at_word_start", [1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0]),
        ("word_number", [1, 1, 1, 2, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 0]),
        ("is_upper", [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("is_letter", [1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0]),
        ("is_digit", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0]),
        ("is_space", [0, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]),
        ("is_punctuation", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]),
    ],
)
def test_a_number_for_each_symbol(name, values):
    compute = getattr(properties, name)
    found = compute(TEXT)
    assert found.dtype == np.float64
    assert found.tolist() == values
    np.testing.assert_array_equal(compute(list(TEXT)), found)
    np.testing.assert_array_equal(compute(tuple(TEXT[:9])), compute(TEXT[:9]))


@pytest.mark.parametrize("name", properties.STANDARD)
def test_an_empty_text_has_no_numbers(name):
    assert properties.STANDARD[name]("").shape == (0,)


@pytest.mark.parametrize(
    "name", sorted(set(properties.STANDARD) - {"inside_quotes", "inside_brackets", "bracket_depth"})
)
def test_what_comes_after_does_not_change_a_property(name):
    compute = properties.STANDARD[name]
    whole = compute(TEXT)
    for end in range(len(TEXT)):
        if not (
            name.startswith("word") and TEXT[end - 1 : end] == "'"
        ):  # an apostrophe is part of a word, or not
            np.testing.assert_array_equal(compute(TEXT[:end]), whole[:end])


def test_words_as_symbols():
    words = ["The", "NASA", "said", "(", "in", "1999", ")", "\n", "So"]
    assert properties.is_upper(words).tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert properties.bracket_depth(words).tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert properties.line_position(words).tolist() == [1, 2, 3, 4, 5, 6, 7, 0, 1]
    assert properties.is_digit(words).tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0]


def test_symbols_that_are_looked_for():
    assert properties.is_symbol("banana", "an").tolist() == [0, 1, 1, 1, 1, 1]
    assert properties.is_symbol(["to", "be", "t"], ["to"]).tolist() == [1, 0, 0]
    np.testing.assert_array_equal(properties.steps_since("xaxx", "a"), [np.nan, 0, 1, 2])
    assert properties.steps_since("xaxx", "a", start=0).tolist() == [1, 0, 1, 2]


def test_matches_of_a_regular_expression():
    play = "KATE:\nI am.\nSo, Ann:\n"
    assert marked(play, properties.inside_matches(play, r"^[A-Z]+:$")) == "KATE:................"
    assert marked("aXbX", properties.inside_matches("aXbX", re.compile("x.", re.IGNORECASE))) == ".Xb."
    assert properties.inside_matches(["New", " ", "York", "", "!"], "w Y").tolist() == [1, 1, 1, 0, 0]
    assert properties.inside_matches("ab", "").tolist() == [0, 0]


def test_properties_that_are_the_same_everywhere_are_left_out():
    found = properties.standard_properties("Ab c")
    assert "is_upper" in found
    assert not {"line_number", "inside_quotes", "bracket_depth", "indentation"} & found.keys()
    assert properties.standard_properties("") == {}


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: properties.line_position(7),
            TypeError,
            "text: expected a str, or a list or tuple of them, got int",
        ),
        (lambda: properties.is_upper(["a", 1]), TypeError, "text: expected a str"),
        (
            lambda: properties.bracket_depth("", ["(a)"]),
            ValueError,
            r"brackets: expected two char.*got '\(a\)'",
        ),
        (
            lambda: properties.inside_quotes("", ["abc"]),
            ValueError,
            "quotes: expected one or two characters for",
        ),
    ],
)
def test_what_is_no_text_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(
    ("pattern", "kind", "message"),
    [
        ("(", ValueError, r"pattern: expected a regular expression, got '\('"),
        (b"a", TypeError, "pattern: expected a str or a re.Pattern of str, got bytes"),
        (re.compile(b"a"), TypeError, "pattern: expected a str or a re.Pattern of str"),
    ],
)
def test_what_is_no_pattern_of_a_text_is_named(pattern, kind, message):
    with pytest.raises(kind, match=message):
        properties.inside_matches("(ab)", pattern)


def test_brackets_nested_deeper_than_could_be_searched_each_time_are_counted():
    deep = 200_000
    depth = properties.bracket_depth("(" * deep + ")" * deep)
    assert depth.max() == depth[deep - 1] == deep
    assert depth[-1] == 0
    assert not properties.bracket_depth("(" * deep + "]" * deep).any()
