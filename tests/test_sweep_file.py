"""The file of fastrnn sweep: which trials it means, how values are drawn, and what it refuses."""

from itertools import islice

import numpy as np
import pytest

from fastrnn.cli.trials.random_values import RandomValue
from fastrnn.cli.trials.sweep_file import read_sweep
from fastrnn.cli.trials.sweep_plan import Sweep
from test_cli import folder

__all__ = ["folder"]  # a fixture

TRAIN = '[command]\nname = "train"\nfiles = ["text.txt"]\n'
RANDOM = "[random]\ntrials = 3\nlearning-rate = {log = [1e-3, 1e-1]}\n"
GRID = '[grid]\nhidden_size = [8, 16]\ncell = ["gru", "lstm"]\n'


def read(folder, text):
    (folder / "s.toml").write_text(text)
    return read_sweep("s.toml")


def test_every_combination_of_the_grid_is_tried_with_each_draw(folder):
    sweep = read(folder, TRAIN + GRID + RANDOM)
    trials = list(sweep)
    assert len(sweep) == len(trials) == 12
    assert [(one["hidden-size"], one["cell"]) for one in trials] == [
        (8, "gru"), (8, "lstm"), (16, "gru"), (16, "lstm"),
    ] * 3  # fmt: skip
    rates = [one["learning-rate"] for one in trials]
    assert [len(set(rates[i : i + 4])) for i in (0, 4, 8)] == [1, 1, 1]
    assert len(set(rates)) == 3
    assert sweep.fixed == {"files": ["text.txt"]}


def test_a_seed_means_the_same_trials_and_another_one_others(folder):
    seeds = [list(read(folder, f"{TRAIN}{RANDOM}seed = {seed}\n")) for seed in (1, 1, 2)]
    assert seeds[0] == seeds[1]
    assert not {str(one) for one in seeds[0]} & {str(one) for one in seeds[2]}
    assert list(read(folder, TRAIN + RANDOM)) == list(read(folder, f"{TRAIN}{RANDOM}seed = 0\n"))


def test_more_draws_leave_the_first_trials_as_they_are(folder):
    few, many = (read(folder, TRAIN + GRID + RANDOM.replace("3", n, 1)) for n in ("3", "30"))
    assert len(many) == 120
    assert list(islice(many, len(few))) == list(few)


def test_numbers_are_drawn_from_the_whole_range_with_four_digits():
    places = [*np.linspace(0, 1, 1000, endpoint=False), np.nextafter(1.0, 0.0)]
    log = [RandomValue("log", (1e-4, 1e-2)).draw(place) for place in places]
    assert (min(log), max(log)) == (1e-4, 1e-2)
    assert np.median(log) == pytest.approx(1e-3, rel=0.02)
    assert all(float(f"{each:.4g}") == each for each in log)
    uniform = [RandomValue("uniform", (0, 0.123456)).draw(place) for place in places]
    assert (min(uniform), max(uniform)) == (0.0, 0.123456)
    integers = [RandomValue("integers", (1, 3)).draw(place) for place in places]
    assert [integers.count(each) for each in (1, 2, 3)] == [334, 333, 334]
    assert RandomValue("choice", ("a", "b")).draw(places[-1]) == "b"


def test_options_whose_values_are_lists_are_tried_as_lists(folder):
    text = f'{TRAIN}level = "word"\n[grid]\ncutoffs = [[2, 4], [3]]\n'
    assert list(read(folder, text)) == [{"cutoffs": [2, 4]}, {"cutoffs": [3]}]


def test_a_task_of_fit_has_its_own_options(folder):
    (folder / "words.csv").write_text("word,vowel\nlili,i\n")
    text = '[command]\nname = "fit classify"\nfiles = ["words.csv"]\nearly-stopping = true\n'
    sweep = read(folder, text + "[grid]\nepochs = [1, 2]\ny = [['vowel'], ['word']]\n")
    assert sweep.command == "fit classify"
    assert len(sweep) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r'\[command\]: expected name = one of "train", "fit classify", .*got none'),
        ('[command]\nname = "eval"\n', 'expected name = one of .*got "eval"'),
        ("[comand]\n", r"expected the tables .*got comand; did you mean \[command\]\?"),
        ("grid = 3\n", r"expected a table: \[grid\]"),
        (TRAIN, "expected options to try"),
        (TRAIN + "hiden-size = 8\n" + GRID, "line 4: hiden-size: no such option; did you mean hidden-size"),
        (TRAIN + "lr = 8\n" + GRID, "line 4: lr: no such option; in fastrnn: --learning-rate X"),
        (TRAIN + "hidden-size = 8\n" + GRID, r"hidden-size: expected it in one of \[command\], \[grid\]"),
        (TRAIN + GRID + "hidden-size = [1]\n", "expected each option once"),
        (TRAIN + GRID + RANDOM + "cell = {choice = ['gru']}\n", "cell: expected it in one of"),
        (TRAIN + "[grid]\nhidden-size = []\n", r"line 5: hidden-size: expected at least one value"),
        (TRAIN + "[grid]\nhidden-size = 8\n", r"hidden-size: expected a list of the values .*\[command\]"),
        (TRAIN + "[grid]\nhidden-size = [8, 8]\n", r"expected different values, got \[8, 8\]"),
        (TRAIN + "[grid]\nhidden-size = [8, 'x']\n", 'hidden-size: expected an integer, got "x"'),
        (TRAIN + "[grid]\ndropout = [0.5, 1.5]\n", "dropout: 1.5 is not in the range"),
        (TRAIN + "[grid]\nhiden-size = [8]\n", "line 5: hiden-size: no such option"),
        (TRAIN + "[random]\ndropout = {uniform = [0.0, 0.5]}\n", "expected trials = N.*got none"),
        (TRAIN + "[random]\ntrials = 0\n", "expected trials = N.*got 0"),
        (TRAIN + RANDOM + "seed = -1\n", "seed: expected an integer >= 0, got -1"),
        (TRAIN + RANDOM + "dropout = [0.0, 0.5]\n", r"dropout: expected one of \{uniform = \[0.0, 0.5\]\}"),
        (TRAIN + RANDOM + "dropout = {uniform = [0.5, 0.5]}\n", r"the lower end first, got \[0.5, 0.5\]"),
        (TRAIN + RANDOM + "dropout = {uniform = [0.5]}\n", "expected two numbers"),
        (TRAIN + RANDOM + "dropout = {uniform = [0, nan]}\n", "expected two numbers"),
        (TRAIN + RANDOM + "dropout = {uniform = [0.0, 1.0]}\n", "1.0 is not in the range"),
        (TRAIN + RANDOM + "dropout = {log = [0.0, 0.5]}\n", "expected positive numbers"),
        (TRAIN + RANDOM + "hidden-size = {integers = [1.5, 2]}\n", "expected two integers"),
        (TRAIN + RANDOM + "hidden-size = {uniform = [1, 20]}\n", "expected an integer, got 1.0"),
        (TRAIN + RANDOM + "cell = {choice = []}\n", "cell: expected a list"),
        (TRAIN + GRID + "threads = [1, 2]\n", "threads: expected no such option here; type fastrnn sweep"),
        (TRAIN + "out = 'm'\n" + GRID, "out: expected no such option here; each trial has a folder"),
        (TRAIN + "valid-fraction = 0\n" + GRID, "expected data to validate on.*valid = \"FILE\""),
        (TRAIN.replace("text.txt", "-") + GRID, "expected files, got -; trials cannot share standard input"),
        (TRAIN.replace("text.txt", "gone.txt") + GRID, "line 3: files: .*'gone.txt' does not exist"),
        ('[command]\nname = "fit tag"\n[grid]\nepochs = [1]\n', "early-stopping = true"),
        ('[command]\nname = "fit tag"\nearly-stopping = true\n[grid]\nepochs = [1]\n', "Missing.*FILES"),
        (TRAIN + "[grid\n", "expected TOML"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_its_place(folder, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read(folder, text)
    assert str(error.value).startswith("s.toml")


def test_a_sweep_counts_without_listing():
    assert len(Sweep("train", grid={str(i): list(range(1000)) for i in range(4)})) == 10**12
