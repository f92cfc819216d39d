"""Plots: what is drawn, and where it is written."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from fastrnn.plots import (
    plot_attention,
    plot_forecast,
    plot_gates,
    plot_gradient_norms,
    plot_piano_roll,
    plot_unit,
)

pytestmark = pytest.mark.usefixtures("matplotlib")

LEVELS = {0.1: [1, 2], 0.5: [2, 3], 0.9: [3, 5]}


def test_a_piano_roll_has_a_bar_for_each_note_that_sounds():
    (axes,) = plot_piano_roll([[60, 64], [60], [], [60]]).axes
    bars = [path.get_extents().bounds for bar in axes.collections for path in bar.get_paths()]
    assert sorted((x, width, round(y + height / 2)) for x, y, width, height in bars) == [
        (0, 1, 64), (0, 2, 60), (3, 1, 60)
    ]  # fmt: skip
    assert "C4" in [label.get_text() for label in axes.get_yticklabels()]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Step", "Note")


def test_attention_is_drawn_with_its_symbols():
    weights = np.array([[0.9, 0.1, 0], [0.2, 0.3, 0.5]], np.float32)
    figure = plot_attention(weights, ["a", " ", "$x$"], "yz")
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), weights.astype(float))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "␣", r"\$x\$"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["y", "z"]


def test_a_forecast_has_a_band_a_median_and_the_truth():
    (axes,) = plot_forecast([1, 2, 3], LEVELS, truth=[2, 4]).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "History", "80 % band", "Median", "Truth"
    ]  # fmt: skip
    assert axes.lines[1].get_xydata().tolist() == [[3, 2], [4, 3]]
    assert axes.collections[0].get_paths()[0].get_extents().bounds == (3, 1, 1, 4)


def test_gates_are_drawn_one_below_the_other():
    f, c = np.array([[0.5, 0.25, 1], [0, 1, 0.5]]), np.array([[0, -2, 5], [1, 0.5, 7]])
    figure = plot_gates({"f": f, "c": c}, "a\n", units=[1, 0])
    upper, lower, *_ = figure.axes
    np.testing.assert_array_equal(upper.images[0].get_array(), f[:, [1, 0]].T)
    np.testing.assert_array_equal(lower.images[0].get_array(), c[:, [1, 0]].T)
    assert (upper.images[0].get_clim(), lower.images[0].get_clim()) == ((0, 1), (-2, 2))
    assert (upper.get_ylabel(), lower.get_ylabel(), lower.get_xlabel()) == ("f", "c", "Symbol")
    assert [label.get_text() for label in lower.get_xticklabels()] == ["a", "⏎"]
    assert [label.get_text() for label in lower.get_yticklabels()] == ["1", "0"]
    assert plot_gates({"f": f}).axes[0].get_xlabel() == "Step"


def test_gradient_norms_are_drawn_with_the_slope_that_begins_at_the_first():
    norms = np.exp(-0.5 * np.arange(6.0))[:, None] * [1.0, np.e**2]
    norms[4] = 0.0  # not drawn
    (axes,) = plot_gradient_norms({"tanh": norms, "lstm": np.ones(6)}, {"tanh": -0.5}).axes
    curve, slope, other = axes.lines
    assert curve.get_xdata().tolist() == [0, 1, 2, 3, 5]
    np.testing.assert_allclose(curve.get_ydata(), slope.get_ydata()[[0, 1, 2, 3, 5]])  # geometric mean
    assert curve.get_label() == "tanh, predicted -0.500 a step"
    assert other.get_label() == "lstm"
    assert other.get_ydata().tolist() == [1] * 6
    assert axes.get_yscale() == "log"
    (axes,) = plot_gradient_norms([1.0, 0.5], lags=[3, 9]).axes
    assert axes.lines[0].get_xdata().tolist() == [3, 9]
    assert axes.get_legend() is None


def test_a_unit_is_drawn_over_the_lines_of_its_text():
    values = [1.0, 2.0, -4.0, 0.0, 3.0, 0.5]
    axes = plot_unit(values, "a $\nbc", columns=3).axes[0]
    grid = axes.images[0].get_array().filled(np.nan)
    np.testing.assert_array_equal(grid, [[1, 2, -4], [0, np.nan, np.nan], [3, 0.5, np.nan]])
    assert axes.images[0].get_clim() == (-4, 4)
    assert [(text.get_text(), text.get_position()) for text in axes.texts] == [
        ("a", (0, 0)), ("$", (2, 0)), ("⏎", (0, 1)), ("b", (0, 2)), ("c", (1, 2))
    ]  # fmt: skip


def test_words_stand_apart_and_activations_that_are_never_negative_begin_at_zero():
    axes = plot_unit([0.5, 0.25, 2.0], ["to", "\t", "be"], columns=4).axes[0]
    grid = axes.images[0].get_array().filled(np.nan)
    np.testing.assert_array_equal(grid, [[0.5, 0.5, np.nan, 0.25], [2, 2, np.nan, np.nan]])
    assert axes.images[0].get_clim() == (0, 2)
    assert "".join(text.get_text() for text in axes.texts) == "to⇥be"
    assert plot_unit([0.5], "a", limits=(0, 3)).axes[0].images[0].get_clim() == (0, 3)


def test_the_attention_over_one_sequence_can_be_drawn_as_a_row_or_over_its_text():
    weights = np.array([0.2, 0.8], np.float32)
    assert plot_attention(weights[None], "ab", ["class"]).axes[0].images[0].get_array().shape == (1, 2)
    assert plot_unit(weights, "ab", label="Attention").axes[1].get_xlabel() == "Attention"


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
@pytest.mark.parametrize(
    "draw",
    [
        lambda path: plot_piano_roll([[60]], path),
        lambda path: plot_attention([[1.0]], ["a"], ["b"], path),
        lambda path: plot_forecast([1], LEVELS, path=path),
        lambda path: plot_gates({"f": [[0.5]]}, "a", path),
        lambda path: plot_unit([0.0], "$", path),
        lambda path: plot_gradient_norms([1.0, 0.5], path=path),
    ],
)
def test_a_plot_is_written_in_the_format_of_its_suffix(kind, draw, tmp_path):
    draw(tmp_path / f"a.{kind}")
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert (tmp_path / f"a.{kind}").read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{kind}"]


def test_a_suffix_that_names_no_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"path: expected one that ends in \.png"):
        plot_piano_roll([[60]], tmp_path / "a.mid")


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plot_piano_roll([[], []]), "chords: expected at least one note"),
        (lambda: plot_piano_roll([[60], [-1]]), r"chords\[1\]\[0\]: expected"),
        (lambda: plot_attention([[1.0]], "ab", "c"), r"here \[1, 2\], got \[1, 1\]"),
        (lambda: plot_attention([[np.nan]], "a", "c"), r"weights: expected numbers in \[0, 1\]"),
        (lambda: plot_forecast([1], {}), "quantiles: expected at least one level"),
        (lambda: plot_forecast([1], {1.5: [1]}), "quantiles: expected"),
        (lambda: plot_forecast([1], {0.5: [1], 0.9: [1, 2]}), r"quantiles\[0.9\]: expected 1 steps"),
        (lambda: plot_forecast([1], LEVELS, truth=[1]), "truth: expected 2 steps"),
        (lambda: plot_forecast([], LEVELS), r"history: expected shape \[T\]"),
        (lambda: plot_gates({}), "gates: expected at least one; an RNN has none: draw its states"),
        (lambda: plot_gates({"f": [1.0]}), r"gates\['f'\]: expected \[T, H\].*got \[1\]"),
        (
            lambda: plot_gates({"f": [[1.0]], "i": [[1.0, 2.0]]}),
            r"gates\['i'\]: .* here \[1, 1\], got \[1, 2\]",
        ),
        (lambda: plot_gates({"f": [[np.inf]]}), r"gates\['f'\]: expected finite numbers"),
        (lambda: plot_gates({"f": [[1.0]]}, "ab"), "symbols: expected one for each of 1 steps, got 2"),
        (lambda: plot_gates({"f": [[1.0]]}, units=[1]), "units: expected 0 .. 0, got 1"),
        (lambda: plot_gradient_norms({}), "norms: expected at least one array"),
        (lambda: plot_gradient_norms([0.0, np.nan]), "norms: expected a norm above 0"),
        (lambda: plot_gradient_norms({"a": [np.inf]}), r"norms\['a'\]: expected finite numbers"),
        (lambda: plot_gradient_norms({"a": [1.0], "b": [1.0, 2.0]}), r"norms\['b'\]: expected 1 lags"),
        (lambda: plot_gradient_norms([[[1.0]]]), r"norms: expected \[K\] or \[K, N\]"),
        (lambda: plot_gradient_norms({"a": [1.0]}, {"b": -1.0}), "rates: expected names of norms"),
        (lambda: plot_gradient_norms([1.0], lags=[0, 1]), "lags: expected 1 integers"),
        (lambda: plot_unit([1.0], "ab"), r"activation: expected a number .* here 2, .* got shape \[1\]"),
        (
            lambda: plot_unit([], ""),
            "activation: expected a number for each of the symbols, here 0, at least one",
        ),
        (lambda: plot_unit([np.nan], "a"), "activation: expected finite numbers"),
        (
            lambda: plot_unit(np.zeros(5001), "a" * 5001),
            "symbols: expected at most 5000 .* got 5001; draw a part",
        ),
        (lambda: plot_unit([1.0], "a", limits=(1, 1)), "limits: expected two finite numbers in ascending"),
        (lambda: plot_unit([1.0], "a", limits=(0, np.inf)), "limits: expected two finite numbers"),
    ],
)
def test_what_cannot_be_drawn_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_without_matplotlib_the_error_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "fastrnn\[plot\]"'):
        plot_piano_roll([[60]])


def test_no_global_state_of_pyplot_is_touched():
    code = "import sys, fastrnn; fastrnn.plots.plot_piano_roll([[60]]); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "matplotlib.figure" in run.stdout
    assert "matplotlib.pyplot" not in run.stdout


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_half_of_a_surrogate_pair_can_be_drawn(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    plot_unit([1.0, 2.0], "a\ud83d", path)
    plot_gates({"f": [[1.0], [2.0]]}, "a\ud83d", path)
    assert path.stat().st_size > 1000


def test_rates_without_names_are_refused():
    with pytest.raises(TypeError, match="rates: expected a mapping of names to numbers, got list"):
        plot_gradient_norms([1.0, 2.0], [0.5])


def test_a_notebook_shows_a_picture_without_pyplot():
    figure = plot_piano_roll([[60]])
    assert figure._repr_png_().startswith(b"\x89PNG")
    again = pickle.loads(pickle.dumps(figure))
    assert again._repr_png_().startswith(b"\x89PNG")
